/*
 * notes.c - texts that go with a module: kept in it, and in its file as metadata, "note.NAME".
 */
#include "nn/internal.h"

#include <stdio.h>
#include <string.h>

static const char prefix[] = "note.";

/* ---- a list of them ---- */

static void free_note(tp_note *e)
{
    tp__free_text(e->key), tp__free_text(e->text);
}

void tp__notes_free(tp_notes *l)
{
    for (int i = 0; i < l->n; i++)
        free_note(&l->note[i]);
    tp__release(l->note, sizeof *l->note * (size_t)l->room);
    *l = (tp_notes){ 0 };
}

static int find(const tp_notes *l, const char *key)
{
    for (int i = 0; i < l->n; i++)
        if (!strcmp(l->note[i].key, key)) return i;
    return -1;
}

static bool room_for_one(tp_notes *l)
{
    int room = l->room ? 2 * l->room : 8;
    tp_note *grown;

    if (l->n < l->room) return true;
    grown =
        tp__grow(l->note, sizeof *grown * (size_t)l->room, sizeof *grown * (size_t)room);
    if (!grown) return false;
    l->note = grown, l->room = room;
    return true;
}

/* One more, or another text of one that is there. */
static bool put(tp_notes *l, const char *key, const char *text)
{
    int i = find(l, key);
    tp_note e = { tp__strdup(key), tp__strdup(text) };

    if (!e.key || !e.text || (i < 0 && !room_for_one(l))) return free_note(&e), false;
    if (i < 0)
        i = l->n++;
    else
        free_note(&l->note[i]);
    l->note[i] = e;
    return true;
}

static void take_away(tp_notes *l, int i)
{
    if (i < 0) return;
    free_note(&l->note[i]);
    memmove(&l->note[i], &l->note[i + 1], sizeof *l->note * (size_t)(--l->n - i));
}

bool tp__notes_copy(tp_notes *to, const tp_notes *from)
{
    for (int i = 0; i < from->n; i++)
        if (!put(to, from->note[i].key, from->note[i].text)) return false;
    return true;
}

bool tp__notes_read(tp_notes *to, const tp_file *f)
{
    for (int i = 0; i < tp_file_meta_count(f); i++) {
        tp_meta line = tp_file_meta_at(f, i);

        if (!strncmp(line.key, prefix, sizeof prefix - 1) &&
            !put(to, line.key, line.value))
            return false;
    }
    return true;
}

/* ---- those of a module ---- */

/* As the file has it. */
static bool key_of(char key[TP_NAME], const char *name)
{
    if (!name || !*name || strlen(name) + sizeof prefix > TP_NAME) return false;
    snprintf(key, TP_NAME, "%s%s", prefix, name);
    return true;
}

bool tp_nn_note(tp_module *m, const char *name, const char *text)
{
    char key[TP_NAME];

    if (!tp_ok()) return false;
    TP_REQUIRE(m && key_of(key, name), TP_ERR_ARG,
               "missing module, or \"%.64s\" can't be a name: 1 to %d characters",
               name ? name : "", (int)(TP_NAME - sizeof prefix));
    TP_REQUIRE(tp__is_utf8(name) && (!text || tp__is_utf8(text)), TP_ERR_ARG,
               "\"%s\": name or text is no UTF-8", name);
    if (text) return put(&m->notes, key, text);
    take_away(&m->notes, find(&m->notes, key));
    return true;
}

const char *tp_nn_noted(const tp_module *m, const char *name)
{
    char key[TP_NAME];
    int i = m && key_of(key, name) ? find(&m->notes, key) : -1;

    return i < 0 ? NULL : m->notes.note[i].text;
}

tp_meta tp_nn_note_at(const tp_module *m, int i)
{
    if (!m || i < 0 || i >= m->notes.n) return (tp_meta){ NULL, NULL };
    return (tp_meta){ m->notes.note[i].key, m->notes.note[i].text };
}
