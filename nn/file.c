/*
 * file.c - a module's parameters and buffers in a safetensors file, by PyTorch's names.
 *
 * Loading compares the whole file with the whole module, then reads all that it needs; only
 * then is anything changed.
 */
#include "nn/internal.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

/* Is the name left alone? */
static bool left_out(const char *name, const char *skip, const char *only)
{
    return (skip && !fnmatch(skip, name, 0)) || (only && fnmatch(only, name, 0));
}

/* ---- saving ---- */

typedef struct gathering {
    tp_save_opts o;
    tp_named *list;
    char (*name)[TP_NAME];
    int n;
} gathering;

static bool count_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    gathering *g = user;

    (void)m;
    if (left_out(name, g->o.skip, g->o.only)) return true;
    TP_REQUIRE_IN("tp_nn_save", e->t, TP_ERR_ARG, "%s isn't there yet: call tp_nn_init first", name);
    g->n++;
    return true;
}

static bool gather_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    gathering *g = user;

    (void)m;
    if (left_out(name, g->o.skip, g->o.only)) return true;
    snprintf(g->name[g->n], TP_NAME, "%s", name);
    g->list[g->n] = (tp_named){ g->name[g->n], e->t };
    g->n++;
    return true;
}

/* PyTorch's mark, the caller's texts, the module's notes. */
static int gather_texts(const tp_module *m, const tp_save_opts *o, tp_meta *to)
{
    int n = 0;

    to[n++] = (tp_meta){ "format", "pt" };
    for (int i = 0; i < o->n_meta; i++)
        to[n++] = o->meta[i];
    for (int i = 0; i < m->notes.n; i++)
        to[n++] = (tp_meta){ m->notes.note[i].key, m->notes.note[i].text };
    return n;
}

static bool write_file(tp_module *m, const char *path, gathering *g)
{
    int n = g->n, texts = 1 + g->o.n_meta + m->notes.n;
    tp_meta *meta = tp__alloc(sizeof *meta * (size_t)texts);
    bool ok;

    g->n = 0;
    g->list = tp__alloc(sizeof *g->list * (size_t)n), g->name = tp__alloc(sizeof *g->name * (size_t)n);
    ok = g->list && g->name && meta && tp__entries(m, gather_one, g) &&
         tp_file_save(path, g->list, n, meta, gather_texts(m, &g->o, meta));
    tp__release(g->list, sizeof *g->list * (size_t)n), tp__release(g->name, sizeof *g->name * (size_t)n);
    tp__release(meta, sizeof *meta * (size_t)texts);
    return ok;
}

bool tp_nn_save_with(tp_module *m, const char *path, tp_save_opts o)
{
    gathering g = { .o = o };

    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_nn_save", m, TP_ERR_ARG, "missing module");
    if (!tp__entries(m, count_one, &g)) return false;
    TP_REQUIRE_IN("tp_nn_save", g.n || (!o.skip && !o.only), TP_ERR_ARG,
                  "no name is left by skip \"%s\" and only \"%s\"", o.skip ? o.skip : "", o.only ? o.only : "*");
    TP_REQUIRE_IN("tp_nn_save", o.n_meta >= 0 && (o.meta || !o.n_meta), TP_ERR_ARG, "%d texts, and where?", o.n_meta);
    return write_file(m, path, &g);
}

bool tp_nn_save(tp_module *m, const char *path)
{
    return tp_nn_save_with(m, path, (tp_save_opts){ 0 });
}

/* ---- comparing ---- */

typedef struct loading {
    tp_module *m;
    tp_file *f;
    tp_load_opts o;
    tp_load_report r;
    bool fetch;        /* the second walk: read what was found to fit */
    tp_tensor **fresh; /* for each entry, what it becomes; NULL: it stays */
    int n, at, wanted;
} loading;

static void note(loading *l, const char *what, const char *name, const char *detail)
{
    size_t n = strlen(l->r.text);

    snprintf(l->r.text + n, sizeof l->r.text - n, "  %-10s %s%s\n", what, name, detail);
}

static bool skipped(const loading *l, const char *name)
{
    return left_out(name, l->o.skip, l->o.only);
}

/* What the file's name is called in the module: without the prefix, and renamed. */
static const char *own_name(const loading *l, const char *name, char text[2 * TP_NAME])
{
    size_t prefix = l->o.strip_prefix ? strlen(l->o.strip_prefix) : 0;
    const char *to = l->o.rename ? strchr(l->o.rename, '=') : NULL;

    if (prefix && !strncmp(name, l->o.strip_prefix, prefix)) name += prefix;
    if (!to || strncmp(name, l->o.rename, (size_t)(to - l->o.rename))) return name;
    snprintf(text, 2 * TP_NAME, "%s%s", to + 1, name + (to - l->o.rename));
    return text;
}

/* The file's tensor for a name of the module's; one of just that name comes first. */
static int find(const loading *l, const char *name)
{
    char text[2 * TP_NAME];
    int i = tp_file_find(l->f, name);

    if (i >= 0 && !strcmp(own_name(l, name, text), name)) return i;
    if (!l->o.strip_prefix && !l->o.rename) return -1;
    for (i = tp_file_count(l->f) - 1; i >= 0; i--)
        if (!strcmp(own_name(l, tp_file_name(l->f, i), text), name)) break;
    return i;
}

/* What the entry becomes, with nothing changed yet. */
static bool fetch(loading *l, const tp_entry *e, int i)
{
    tp_device *dev = e->t ? tp_device_of(e->t) : tp_device_open("cpu");
    tp_tensor *t = tp_cast(tp_file_read(l->f, i, dev), e->dtype);

    if (!t || (!e->t && !e->buffer && !e->frozen && !tp_requires_grad(t, true))) return false;
    l->fresh[l->at] = tp__keep(t);
    return true;
}

static void judge(loading *l, const char *name, const tp_entry *e, int i)
{
    tp_shape s = tp_file_shape(l->f, i);
    char detail[300];

    if (i < 0) {
        l->r.missing++, note(l, "missing", name, "");
    } else if (!tp__same(&s, &e->shape)) {
        snprintf(detail, sizeof detail, ": %s in the file, %s in the model", tp__shape_text(s),
                 tp__shape_text(e->shape));
        l->r.misshaped++, note(l, "misshaped", name, detail);
    }
}

static bool visit(void *user, const char *name, tp_module *m, tp_entry *e)
{
    loading *l = user;
    int i = find(l, name);
    tp_shape s = tp_file_shape(l->f, i);
    bool ok = true;

    TP_SCOPE;
    (void)m;
    if (!l->fetch) {
        l->n++;
        if (!skipped(l, name)) l->wanted++, judge(l, name, e, i);
    } else {
        if (i >= 0 && tp__same(&s, &e->shape) && !skipped(l, name)) ok = fetch(l, e, i);
        l->at++;
    }
    return ok;
}

/* A copy that allocates nothing, so that all entries change or none. */
static bool commit(void *user, const char *name, tp_module *m, tp_entry *e)
{
    loading *l = user;
    tp_tensor **t = &l->fresh[l->at++];

    (void)name, (void)m;
    if (!*t) return true;
    l->r.loaded++;
    if (!e->t) return tp__entry_put(e, *t), *t = NULL, true;
    e->t->storage->version++;
    return tp__copy(e->t, *t, false);
}

static void find_unexpected(loading *l)
{
    char text[2 * TP_NAME];

    for (int i = 0; i < tp_file_count(l->f); i++) {
        const char *name = own_name(l, tp_file_name(l->f, i), text);

        if (tp__entry_find(l->m, name) || skipped(l, name)) continue;
        l->r.unexpected++;
        note(l, "unexpected", name, "");
    }
}

/* ---- loading ---- */

static bool is_partial(const tp_load_opts *o)
{
    return o->partial || o->skip || o->only;
}

static bool accept(const loading *l, const char *path)
{
    const tp_load_report *r = &l->r;
    bool fits = !r->missing && !r->unexpected && !r->misshaped;

    TP_REQUIRE_IN("tp_nn_load", l->wanted || !l->o.only, TP_ERR_ARG, "no name matches \"%s\"",
                  l->o.only);
    TP_REQUIRE_IN("tp_nn_load", fits || l->o.partial, TP_ERR_FORMAT,
                  "%s doesn't fit: %d missing, %d unexpected, %d misshaped\n%s", path, r->missing, r->unexpected,
                  r->misshaped, r->text);
    return true;
}

static bool load(loading *l)
{
    size_t bytes = sizeof *l->fresh * (size_t)l->n;
    tp_notes notes = { 0 }, gone;
    bool ok;

    if (!(l->fresh = tp__alloc_zeroed(bytes))) return false;
    l->fetch = true;
    ok = tp__notes_copy(&notes, &l->m->notes) && (is_partial(&l->o) || tp__notes_read(&notes, l->f)) &&
         tp__entries(l->m, visit, l);
    l->at = 0;
    ok = ok && tp__entries(l->m, commit, l);
    if (ok) gone = l->m->notes, l->m->notes = notes, notes = gone;
    tp__notes_free(&notes);
    for (int i = 0; i < l->n; i++)
        tp__free(l->fresh[i]);
    tp__release(l->fresh, bytes);
    return ok;
}

bool tp_nn_load(tp_module *m, const char *path, tp_load_opts o)
{
    loading l = { .m = m, .o = o };
    bool ok;

    if (o.report) *o.report = l.r;
    if (!tp_ok()) return false;
    TP_REQUIRE(m, TP_ERR_ARG, "missing module");
    TP_REQUIRE(!o.rename || strchr(o.rename, '='), TP_ERR_ARG, "rename \"%s\" isn't \"from=to\"",
               o.rename);
    if (!(l.f = tp_file_open(path))) return false;
    ok = tp__entries(m, visit, &l);
    if (ok) find_unexpected(&l), ok = accept(&l, path);
    ok = ok && load(&l);
    tp_file_close(l.f);
    if (o.report) *o.report = l.r;
    return ok;
}
