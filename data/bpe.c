/*
 * bpe.c - byte pairs as GPT-2 has them.
 *
 * A piece of text is a chain of tokens, at first one a byte.  A heap holds each neighbouring pair
 * that the file merges, by rank, then place.  All pairs of the lowest rank are taken out before
 * the first is merged, so that, as in GPT-2, all of them are merged from left to right before a
 * pair that this makes is looked at.  n log n for a piece of n bytes.
 */
#include "data/tokens.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- bytes as characters of a vocabulary ---- */

/* GPT-2 writes the printable bytes of Latin-1 as themselves, the other 68 as U+0100 and on. */
static uint32_t symbol_of(unsigned char b)
{
    uint32_t odd = 0;

    if ((b >= 33 && b <= 126) || (b >= 161 && b != 173)) return b;
    for (unsigned char k = 0; k < b; k++)
        odd += !((k >= 33 && k <= 126) || (k >= 161 && k != 173));
    return 256 + odd;
}

size_t tp__bpe_key(const char *bytes, size_t n, char *key)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++)
        at += tp__utf8_put(symbol_of((unsigned char)bytes[i]), key + at);
    return at;
}

typedef struct symbols {
    int byte[512]; /* of each code; -1: of none */
} symbols;

static symbols all_symbols(void)
{
    symbols s;

    memset(s.byte, -1, sizeof s.byte);
    for (int b = 0; b < 256; b++)
        s.byte[symbol_of((unsigned char)b)] = b;
    return s;
}

/* The bytes of a key, as many as it has characters at most; false: it isn't written so. */
static bool bytes_of(const symbols *s, const char *key, size_t n, char *bytes, size_t *count)
{
    uint32_t code;

    *count = 0;
    for (size_t at = 0, length; at < n; at += length) {
        length = tp__utf8(key + at, n - at, &code);
        if (!length || code >= 512 || s->byte[code] < 0) return false;
        bytes[(*count)++] = (char)s->byte[code];
    }
    return true;
}

/* ---- pairs ---- */

static tp_pair *pair_slot(const tp_pair_map *m, uint64_t key)
{
    size_t at = (size_t)((key * 0x9E3779B97F4A7C15u) >> 20) & (m->room - 1);

    while (m->slot[at].id >= 0 && m->slot[at].key != key)
        at = (at + 1) & (m->room - 1);
    return &m->slot[at];
}

static bool make_pairs(tp_pair_map *m, size_t n)
{
    for (m->room = 16; m->room < 2 * n + 2; m->room *= 2) {
    }
    if (!(m->slot = tp__alloc(sizeof *m->slot * m->room))) return false;
    for (size_t i = 0; i < m->room; i++)
        m->slot[i].id = -1;
    return true;
}

static const tp_pair *pair_of(const tp_tokenizer *t, int32_t left, int32_t right)
{
    const tp_pair *p;

    if (left < 0 || right < 0 || !t->pairs.room) return NULL;
    p = pair_slot(&t->pairs, (uint64_t)left << 32 | (uint32_t)right);
    return p->id < 0 ? NULL : p;
}

bool tp__bpe_merge(tp_tokenizer *t, int32_t left, int32_t right, int32_t made)
{
    uint64_t key = (uint64_t)left << 32 | (uint32_t)right;
    tp_pair_map wider;

    if (2 * (t->pairs.n + 1) > t->pairs.room) {
        wider = (tp_pair_map){ .n = t->pairs.n };
        if (!make_pairs(&wider, 2 * (t->pairs.n + 1))) return false;
        for (size_t i = 0; i < t->pairs.room; i++)
            if (t->pairs.slot[i].id >= 0)
                *pair_slot(&wider, t->pairs.slot[i].key) = t->pairs.slot[i];
        if (t->pairs.slot)
            tp__release(t->pairs.slot, sizeof *t->pairs.slot * t->pairs.room);
        t->pairs = wider;
    }
    *pair_slot(&t->pairs, key) = (tp_pair){ key, (int32_t)t->pairs.n, made };
    t->pairs.n++;
    return true;
}

const tp_pair **tp__bpe_in_order(const tp_tokenizer *t)
{
    const tp_pair **line = tp__alloc_zeroed(sizeof *line * (t->pairs.n + 1));

    for (size_t i = 0; line && i < t->pairs.room; i++)
        if (t->pairs.slot[i].id >= 0) line[t->pairs.slot[i].rank] = &t->pairs.slot[i];
    return line;
}

/* GPT-2's first 256: those that are written as themselves come first. */
tp_tokenizer *tp__bpe_bytes(void)
{
    tp_tokenizer *t = tp__alloc_zeroed(sizeof *t);
    bool ok = t;

    if (t) t->bpe = true, t->unknown = -1;
    for (int odd = 0; odd < 2; odd++)
        for (int b = 0; ok && b < 256; b++) {
            char key[4], byte = (char)b;

            if ((symbol_of((unsigned char)b) >= 256) != odd) continue;
            t->byte[b] = (int32_t)t->n;
            ok = tp__add_token(t, key, tp__utf8_put(symbol_of((unsigned char)b), key),
                               &byte, 1);
        }
    if (ok) return t;
    tp_data_tokenizer_free(t);
    return NULL;
}

/* ---- files ---- */

static const char where[] = "tp_data_bpe";

static bool refuse(tp_merge_at at, const char *why, const char *text, size_t n)
{
    tp__fail(TP_ERR_FORMAT, at.reader, "%s: %s %d: %s: \"%.*s\"", at.path, at.unit, at.number, why,
             (int)(n < 80 ? n : 80), text);
    return false;
}

/* A pair: both parts and their sum are in the vocabulary. */
static bool add_merge(tp_tokenizer *t, tp_merge_at at, const char *s, size_t n, char *sum)
{
    const char *gap = memchr(s, ' ', n);
    size_t left = gap ? (size_t)(gap - s) : 0, right = n - left - 1;
    int32_t a, b, c;

    if (!gap || !left || !right || memchr(gap + 1, ' ', right))
        return refuse(at, "no pair with a space between", s, n);
    memcpy(sum, s, left), memcpy(sum + left, gap + 1, right);
    a = tp__text_map_find(&t->keys, s, left), b = tp__text_map_find(&t->keys, gap + 1, right);
    c = tp__text_map_find(&t->keys, sum, left + right);
    if (a < 0 || b < 0) return refuse(at, "a part is not in the vocabulary", s, n);
    if (c < 0) return refuse(at, "what it makes is not in the vocabulary", s, n);
    if (pair_of(t, a, b)) return refuse(at, "a pair that was there before", s, n);
    return tp__bpe_merge(t, a, b, c);
}

bool tp__bpe_add_merge(tp_tokenizer *t, tp_merge_at at, const char *s, size_t n)
{
    char *sum = tp__alloc(n + 1);
    bool ok = sum && add_merge(t, at, s, n, sum);

    tp__release(sum, n + 1);
    return ok;
}

static bool add_merges(tp_tokenizer *t, const char *path, const tp_bytes *b)
{
    const char *end;
    int line = 1;

    for (const char *s = b->p; s < b->p + b->n; s = end + 1, line++) {
        size_t n;

        end = memchr(s, '\n', (size_t)(b->p + b->n - s));
        if (!end) end = b->p + b->n;
        n = (size_t)(end - s);
        if (n && s[n - 1] == '\r') n--;
        if (!n || (line == 1 && n > 8 && !memcmp(s, "#version", 8))) continue;
        if (!tp__bpe_add_merge(t, (tp_merge_at){ where, path, "line", line }, s, n)) return false;
    }
    return true;
}

static bool read_merges(tp_tokenizer *t, const char *path)
{
    tp_bytes b;
    bool ok;

    if (!tp__input(where, path, &b)) return false;
    ok = add_merges(t, path, &b);
    tp__bytes_free(&b);
    return ok;
}

bool tp__bpe_vocab(tp_tokenizer *t, const char *const *keys, int64_t count)
{
    symbols s = all_symbols();

    for (int64_t i = 0; i < count; i++) {
        size_t n = strlen(keys[i]), bytes_n;
        char *bytes = tp__alloc(n + 1);
        bool ok = bytes && (bytes_of(&s, keys[i], n, bytes, &bytes_n)
                                ? tp__add_token(t, keys[i], n, bytes, bytes_n)
                                : tp__add_token(t, keys[i], n, NULL, 0));

        tp__release(bytes, n + 1);
        if (!ok) return false;
    }
    for (int b = 0; b < 256; b++) {
        char key[4];

        t->byte[b] =
            tp__text_map_find(&t->keys, key, tp__utf8_put(symbol_of((unsigned char)b), key));
    }
    return true;
}

static bool read_vocab(tp_tokenizer *t, const char *path)
{
    json_t *object = tp__json_file(where, path);
    const char **keys = NULL;
    int64_t n = 0;
    bool ok;

    if (!object) return false;
    ok = tp__vocab_keys(where, path, object, &keys, &n) && tp__bpe_vocab(t, keys, n);
    tp__release(keys, sizeof *keys * (size_t)n);
    json_decref(object);
    return ok;
}

static bool set_unknown(tp_tokenizer *t, const char *path, const char *unknown)
{
    if (!unknown) return true;
    t->unknown = tp__text_map_find(&t->keys, unknown, strlen(unknown));
    TP_REQUIRE_IN(where, t->unknown >= 0, TP_ERR_ARG, "%s: the unknown token \"%s\" is not in it",
                  path, unknown);
    return true;
}

tp_tokenizer *tp_data_bpe(const char *vocab, const char *merges, const char *unknown)
{
    tp_tokenizer *t = tp_ok() ? tp__alloc_zeroed(sizeof *t) : NULL;

    if (!t) return NULL;
    t->bpe = true, t->unknown = -1;
    if (read_vocab(t, vocab) && read_merges(t, merges) && set_unknown(t, vocab, unknown)) return t;
    tp_data_tokenizer_free(t);
    return NULL;
}

tp_tokenizer *tp_data_gpt2(const char *dir)
{
    static const char *const name[][2] = { { "encoder.json", "vocab.bpe" },
                                           { "vocab.json", "merges.txt" } };
    char vocab[4096], merges[4096];

    if (!tp_ok()) return NULL;
    TP_REQUIRE(dir, TP_ERR_ARG, "missing folder");
    for (int i = 0; i < TP_LEN(name); i++) {
        snprintf(vocab, sizeof vocab, "%s/%s", dir, name[i][0]),
            snprintf(merges, sizeof merges, "%s/%s", dir, name[i][1]);
        if (!access(vocab, F_OK)) return tp_data_bpe(vocab, merges, NULL);
    }
    return tp__fail(TP_ERR_IO, __func__, "there is neither encoder.json nor vocab.json in %s", dir);
}

/* ---- one piece ---- */

/* The chain of a piece, and the heap; all in one block, kept for the next piece. */
typedef struct chain {
    int32_t *id, *next, *before; /* next n: the end; before -1: the start; id -1: merged away */
    uint64_t *heap, *batch;      /* rank << 32 | place */
    size_t heaped, n, room;
    void *block;
} chain;

static size_t chain_bytes(size_t room) /* each merge takes one pair away and adds two at most */
{
    return room * (3 * sizeof(int32_t) + 2 * 3 * sizeof(uint64_t));
}

static bool chain_room(chain *c, size_t n)
{
    size_t room = c->room ? c->room : 256;
    void *block;

    TP_REQUIRE_IN("tp_data_encode", n < INT32_MAX, TP_ERR_ARG,
                  "a piece of %zu bytes without a gap is too long", n);
    if (n <= c->room) return true;
    while (room < n)
        room *= 2;
    if (!(block = tp__alloc(chain_bytes(room)))) return false;
    tp__release(c->block, chain_bytes(c->room));
    c->block = block, c->room = room;
    c->heap = block, c->batch = c->heap + 3 * room;
    c->id = (int32_t *)(c->batch + 3 * room), c->next = c->id + room, c->before = c->next + room;
    return true;
}

static void heap_push(chain *c, uint64_t v)
{
    size_t at = c->heaped++;

    for (; at && c->heap[(at - 1) / 2] > v; at = (at - 1) / 2)
        c->heap[at] = c->heap[(at - 1) / 2];
    c->heap[at] = v;
}

static uint64_t heap_pop(chain *c)
{
    uint64_t first = c->heap[0], v = c->heap[--c->heaped];
    size_t at = 0;

    for (size_t child; (child = 2 * at + 1) < c->heaped; at = child) {
        child += child + 1 < c->heaped && c->heap[child + 1] < c->heap[child];
        if (c->heap[child] >= v) break;
        c->heap[at] = c->heap[child];
    }
    c->heap[at] = v;
    return first;
}

/* Puts the pair that begins at a place on the heap, if it can be merged. */
static void offer(const tp_tokenizer *t, chain *c, int32_t at)
{
    const tp_pair *p;

    if (at < 0 || (size_t)c->next[at] >= c->n || !(p = pair_of(t, c->id[at], c->id[c->next[at]])))
        return;
    heap_push(c, (uint64_t)p->rank << 32 | (uint32_t)at);
}

/* Merges the pair at a place, if it is still the one of this rank. */
static void merge(const tp_tokenizer *t, chain *c, int32_t at, int32_t rank)
{
    const tp_pair *p;
    int32_t gone = c->next[at];

    if (c->id[at] < 0 || (size_t)gone >= c->n || !(p = pair_of(t, c->id[at], c->id[gone])) ||
        p->rank != rank)
        return;
    c->id[at] = p->id, c->id[gone] = -1;
    c->next[at] = c->next[gone];
    if ((size_t)c->next[at] < c->n) c->before[c->next[at]] = at;
    offer(t, c, c->before[at]), offer(t, c, at);
}

static void merge_all(const tp_tokenizer *t, chain *c)
{
    while (c->heaped) {
        uint64_t rank = c->heap[0] >> 32;
        size_t n = 0;

        while (c->heaped && c->heap[0] >> 32 == rank)
            c->batch[n++] = heap_pop(c);
        for (size_t i = 0; i < n; i++)
            merge(t, c, (int32_t)(c->batch[i] & INT32_MAX), (int32_t)rank);
    }
}

static bool begin_chain(const tp_tokenizer *t, chain *c, const char *s, size_t n, size_t from)
{
    if (!chain_room(c, n)) return false;
    c->n = n, c->heaped = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t id = t->byte[(unsigned char)s[i]];

        c->id[i] = id < 0 ? t->unknown : id, c->next[i] = (int32_t)i + 1,
        c->before[i] = (int32_t)i - 1;
        TP_REQUIRE_IN("tp_data_encode", c->id[i] >= 0, TP_ERR_ARG,
                      "byte 0x%02X at %zu has no token in the vocabulary", (unsigned char)s[i],
                      from + i);
    }
    for (size_t i = 0; i + 1 < n; i++)
        offer(t, c, (int32_t)i);
    return true;
}

static bool encode_piece(const tp_tokenizer *t, chain *c, const char *text, size_t from, size_t n,
                         tp_bytes *out)
{
    if (!begin_chain(t, c, text + from, n, from)) return false;
    merge_all(t, c);
    for (size_t i = 0; i < n; i = (size_t)c->next[i])
        if (!tp__put_id(out, c->id[i])) return false;
    return true;
}

static bool is_utf8(const char *text, size_t from, size_t to)
{
    uint32_t code;

    for (size_t length; from < to; from += length) {
        length = tp__utf8(text + from, to - from, &code);
        TP_REQUIRE_IN("tp_data_encode", length, TP_ERR_FORMAT, "byte %zu of the text is no UTF-8",
                      from);
    }
    return true;
}

bool tp__encode_bpe(const tp_tokenizer *t, const char *text, size_t from, size_t to, tp_bytes *out)
{
    chain c = { 0 };
    bool ok = is_utf8(text, from, to);

    while (ok && from < to) {
        size_t n = tp__piece(text + from, to - from);

        ok = encode_piece(t, &c, text, from, n, out);
        from += n;
    }
    tp__release(c.block, chain_bytes(c.room));
    return ok;
}
