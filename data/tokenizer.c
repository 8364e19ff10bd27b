/*
 * tokenizer.c - what tokenizers of all kinds have: tokens, special ones, encoding, decoding.
 */
#include "data/tokens.h"

#include <stdio.h>
#include <string.h>

/* ---- texts to numbers ---- */

static uint64_t hash_of(const char *key, size_t n) /* FNV-1a */
{
    uint64_t h = 0xCBF29CE484222325u;

    while (n--)
        h = (h ^ (unsigned char)*key++) * 0x100000001B3u;
    return h ^ h >> 32;
}

static struct tp_text_slot *slot_of(const tp_text_map *m, const char *key, size_t n)
{
    size_t at = hash_of(key, n) & (m->room - 1);

    while (m->slot[at].key && (m->slot[at].n != n || memcmp(m->slot[at].key, key, n) != 0))
        at = (at + 1) & (m->room - 1);
    return &m->slot[at];
}

static bool map_grow(tp_text_map *m)
{
    tp_text_map wider = { .room = m->room ? 2 * m->room : 256, .n = m->n };

    if (!(wider.slot = tp__alloc_zeroed(sizeof *wider.slot * wider.room))) return false;
    for (size_t i = 0; i < m->room; i++)
        if (m->slot[i].key) *slot_of(&wider, m->slot[i].key, m->slot[i].n) = m->slot[i];
    tp__text_map_free(m);
    *m = wider;
    return true;
}

bool tp__text_map_add(tp_text_map *m, const char *key, size_t n, int32_t id)
{
    if (2 * (m->n + 1) > m->room && !map_grow(m)) return false;
    *slot_of(m, key, n) = (struct tp_text_slot){ key, n, id };
    m->n++;
    return true;
}

int32_t tp__text_map_find(const tp_text_map *m, const char *key, size_t n)
{
    const struct tp_text_slot *s = m->room ? slot_of(m, key, n) : NULL;

    return s && s->key ? s->id : -1;
}

void tp__text_map_free(tp_text_map *m)
{
    tp__release(m->slot, sizeof *m->slot * m->room);
    *m = (tp_text_map){ 0 };
}

/* ---- tokens ---- */

static char *copy_of(const char *s, size_t n)
{
    char *p = tp__alloc(n + 1);

    if (!p) return NULL;
    memcpy(p, s, n), p[n] = 0;
    return p;
}

static bool room_for_token(tp_tokenizer *t)
{
    int64_t room = t->room ? 2 * t->room : 256;
    tp_token *p;

    TP_REQUIRE_IN("data", t->n < INT32_MAX / 2, TP_ERR_ARG, "too many tokens");
    if (t->n < t->room) return true;
    p = tp__grow(t->token, sizeof *p * (size_t)t->room, sizeof *p * (size_t)room);
    if (!p) return false;
    t->token = p, t->room = room;
    return true;
}

bool tp__add_token(tp_tokenizer *t, const char *key, size_t key_n, const char *bytes, size_t n)
{
    tp_token k = { .key_n = key_n, .n = bytes ? n : key_n };

    if (!room_for_token(t) || !(k.key = copy_of(key, key_n))) return false;
    k.bytes = bytes ? copy_of(bytes, n) : k.key;
    if (k.bytes && tp__text_map_add(&t->keys, k.key, key_n, (int32_t)t->n)) {
        t->token[t->n++] = k;
        return true;
    }
    if (k.bytes && k.bytes != k.key) tp__release(k.bytes, n + 1);
    tp__release(k.key, key_n + 1);
    return false;
}

void tp_data_tokenizer_free(tp_tokenizer *t)
{
    if (!t) return;
    for (int64_t i = 0; i < t->n; i++) {
        tp_token *k = &t->token[i];

        if (k->bytes != k->key) tp__release(k->bytes, k->n + 1);
        tp__release(k->key, k->key_n + 1);
    }
    tp__release(t->token, sizeof *t->token * (size_t)t->room);
    tp__release(t->pairs.slot, sizeof *t->pairs.slot * t->pairs.room);
    tp__text_map_free(&t->keys);
    tp__release(t, sizeof *t);
}

int64_t tp_data_tokens(const tp_tokenizer *t)
{
    return t ? t->n : 0;
}

const char *tp_data_token(const tp_tokenizer *t, int64_t id, size_t *bytes)
{
    if (!t || id < 0 || id >= t->n) return NULL;
    if (bytes) *bytes = t->token[id].n;
    return t->token[id].bytes;
}

int64_t tp_data_token_id(const tp_tokenizer *t, const char *text)
{
    size_t n = text ? strlen(text) : 0;
    int32_t id = -1;
    char *key;

    if (!t || !n) return -1;
    if (t->bpe && (key = tp__alloc(2 * n))) {
        id = tp__text_map_find(&t->keys, key, tp__bpe_key(text, n, key));
        tp__release(key, 2 * n);
    }
    return id >= 0 ? id : tp__text_map_find(&t->keys, text, n);
}

/* Byte pairs write bytes by a code; a key that was found as it is, special, is its text. */
static void stand_for_itself(tp_token *k, const char *text)
{
    if (k->bytes == k->key || strcmp(k->key, text)) return;
    tp__release(k->bytes, k->n + 1);
    k->bytes = k->key, k->n = k->key_n;
}

bool tp_data_special(tp_tokenizer *t, const char *text)
{
    int64_t id;

    if (!tp_ok()) return false;
    TP_REQUIRE(t && text && *text, TP_ERR_ARG, "missing tokenizer or text");
    TP_REQUIRE(t->specials < TP_LEN(t->special), TP_ERR_ARG, "%d special tokens are the most",
               TP_LEN(t->special));
    id = tp_data_token_id(t, text);
    if (!tp_ok()) return false;
    for (int i = 0; i < t->specials; i++)
        if (t->special[i] == id) return true;
    if (id < 0 && !tp__add_token(t, text, strlen(text), NULL, 0)) return false;
    if (id < 0) id = t->n - 1;
    stand_for_itself(&t->token[id], text);
    t->special[t->specials++] = (int32_t)id;
    return true;
}

/* ---- encoding ---- */

/* Where each special token stands next. */
typedef struct finder {
    const tp_tokenizer *t;
    const char *text;
    size_t n;
    size_t next[64]; /* n: nowhere */
} finder;

static void look_from(finder *f, int i, size_t from)
{
    const tp_token *k = &f->t->token[f->t->special[i]];
    const char *p = memmem(f->text + from, f->n - from, k->bytes, k->n);

    f->next[i] = p ? (size_t)(p - f->text) : f->n;
}

/* The first special token from `from` on, the longest of several; -1: none. */
static int find_special(finder *f, size_t from)
{
    int first = -1;

    for (int i = 0; i < f->t->specials; i++) {
        const tp_token *k = &f->t->token[f->t->special[i]];

        if (f->next[i] < from) look_from(f, i, from);
        if (f->next[i] == f->n) continue;
        if (first < 0 || f->next[i] < f->next[first] ||
            (f->next[i] == f->next[first] && k->n > f->t->token[f->t->special[first]].n))
            first = i;
    }
    return first;
}

static bool encode_all(const tp_tokenizer *t, const char *text, size_t n, tp_bytes *out)
{
    finder f = { .t = t, .text = text, .n = n };
    size_t at = 0;

    for (int i = 0; i < t->specials; i++)
        look_from(&f, i, 0);
    for (;;) {
        int i = find_special(&f, at);
        size_t end = i < 0 ? n : f.next[i];

        if (!(t->bpe ? tp__encode_bpe : t->wordpiece ? tp__encode_wordpiece : t->words ? tp__encode_words : tp__encode_chars)(
                t, text, at, end, out))
            return false;
        if (i < 0) return true;
        if (!tp__put_id(out, t->special[i])) return false;
        at = end + t->token[t->special[i]].n;
    }
}

tp_tensor *tp_data_encode(const tp_tokenizer *t, const char *text, size_t bytes)
{
    tp_tensor *ids = NULL;
    tp_bytes out = { 0 };

    if (!tp_ok()) return NULL;
    TP_REQUIRE(t && (text || !bytes), TP_ERR_ARG, "missing tokenizer or text");
    if (encode_all(t, text ? text : "", bytes, &out) &&
        (ids = tp__new(TP_SHAPE((int64_t)(out.n / sizeof(int64_t))), TP_I64, tp__cpu())) && out.n)
        memcpy(tp__data(ids), out.p, out.n);
    tp__bytes_free(&out);
    return ids;
}

static void put(char *text, size_t room, size_t at, char c)
{
    if (text && at + 1 < room) text[at] = c, text[at + 1] = 0;
}

size_t tp_data_decode(const tp_tokenizer *t, const tp_tensor *ids, char *text, size_t room)
{
    size_t at = 0;

    if (text && room) *text = 0;
    if (!tp_ok() || !tp__check(__func__, TP_LIST((tp_tensor *)ids), 1)) return 0;
    if (!t || ids->dtype != TP_I64 || tp_rank(ids) != 1 || !tp_is_contiguous(ids) ||
        tp_device_of(ids) != tp__cpu())
        return tp__fail(TP_ERR_ARG, __func__,
                        "missing tokenizer, or %s: i64 (n) on the CPU is wanted", tp__text(ids)),
               0;
    for (int64_t i = 0; i < tp_count(ids); i++) {
        int64_t id = ((const int64_t *)tp__data(ids))[i];
        size_t n;
        const char *bytes = tp_data_token(t, id, &n);

        if (!bytes)
            return tp__fail(TP_ERR_ARG, __func__, "number %lld is %lld: there are %lld tokens",
                            (long long)i, (long long)id, (long long)t->n),
                   0;
        if (t->words && i) put(text, room, at++, ' ');
        for (size_t k = 0; k < n; k++)
            put(text, room, at++, bytes[k]);
    }
    return at;
}

/* What went wrong with the text of a file names it. */
static void name_file(const char *where, const char *path)
{
    char why[1024];
    tp_code code = tp_error_code();

    if (code != TP_ERR_FORMAT && code != TP_ERR_ARG) return;
    snprintf(why, sizeof why, "%s", tp_error());
    tp_clear_error();
    tp__fail(code, where, "%s: %s", path, why);
}

tp_tokenizer *tp_data_chars_of(const char *path, const char *unknown)
{
    tp_tokenizer *t;
    tp_bytes b;

    if (!tp__input(__func__, path, &b)) return NULL;
    if (!(t = tp_data_chars(b.p, b.n, unknown))) name_file(__func__, path);
    tp__bytes_free(&b);
    return t;
}

tp_tensor *tp_data_text(const char *path, const tp_tokenizer *t)
{
    tp_tensor *y;
    tp_bytes b;

    if (!tp__input(__func__, path, &b)) return NULL;
    y = t ? tp_data_encode(t, b.p, b.n) : tp_from(b.p, TP_SHAPE((int64_t)b.n), TP_U8, tp__cpu());
    if (!y) name_file(__func__, path);
    tp__bytes_free(&b);
    return y;
}
