/*
 * bpe_learn.c - byte pairs learned from texts (Sennrich et al. 2016, "Neural machine translation
 * of rare words with subword units"), over bytes as GPT-2, and their files.
 *
 * The different pieces of the texts are words, each a row of tokens with how often it occurs.
 * The pair that occurs most becomes a token wherever it stands; of equals the one of the lower
 * numbers.  Each pair keeps how often it occurs and in which words it ever did; a heap, whose
 * entries may be out of date, finds the most frequent.
 */
#include "data/tokens.h"
#include "tensor/part.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char where[] = "tp_data_bpe_learn";

typedef struct word {
    int32_t *id;
    int32_t n;
    int64_t count;
} word;

typedef struct pair {
    int32_t left, right, last; /* last: the word that was noted last */
    bool changed;
    int64_t count;
    int32_t *word;
    int32_t n, room;
} pair;

typedef struct waiting {
    int64_t count;
    int32_t pair;
} waiting;

typedef struct learner {
    tp_tokenizer *t;
    tp_text_map words; /* pieces by their text, which lies in the texts */
    word *word;
    int32_t n_words, word_room;
    int32_t *ids; /* of all words */
    size_t n_ids;
    pair *pair;
    int32_t n_pairs, pair_room;
    int32_t *slot; /* pair + 1 by hash; 0: free */
    size_t slots;
    waiting *heap;
    int32_t heaped, heap_room;
    int32_t *changed;
    int32_t n_changed, changed_room;
} learner;

/* Room for one more in an array; false after an error. */
#define ROOM(array, n, room)                                                             \
    ((n) < (room) || grow((void **)&(array), sizeof *(array), &(room)))

static bool grow(void **array, size_t size, int32_t *room)
{
    int32_t more = *room ? 2 * *room : 16;
    void *p;

    TP_REQUIRE_IN(where, *room < INT32_MAX / 2, TP_ERR_ARG, "the texts are too long");
    if (!(p = tp__grow(*array, size * (size_t)*room, size * (size_t)more))) return false;
    *array = p, *room = more;
    return true;
}

/* ---- words ---- */

static bool add_piece(learner *l, const char *s, size_t n)
{
    int32_t at = tp__text_map_find(&l->words, s, n);

    if (at < 0) {
        if (!ROOM(l->word, l->n_words, l->word_room) ||
            !tp__text_map_add(&l->words, s, n, l->n_words))
            return false;
        at = l->n_words++;
        l->word[at] = (word){ .n = (int32_t)n }, l->n_ids += n;
    }
    l->word[at].count++;
    return true;
}

static bool add_text(learner *l, const char *text, int64_t number)
{
    size_t n = strlen(text), length;
    uint32_t code;

    TP_REQUIRE_IN(where, n < INT32_MAX, TP_ERR_ARG, "text %lld is too long",
                  (long long)number);
    for (size_t at = 0; at < n; at += length)
        TP_REQUIRE_IN(where, (length = tp__utf8(text + at, n - at, &code)) > 0,
                      TP_ERR_FORMAT, "byte %zu of text %lld is no UTF-8", at,
                      (long long)number);
    for (size_t at = 0; at < n; at += length)
        if (!add_piece(l, text + at, length = tp__piece(text + at, n - at))) return false;
    return true;
}

/* The bytes of each word as tokens. */
static bool spell(learner *l)
{
    size_t at = 0;

    if (!(l->ids = tp__alloc(sizeof *l->ids * (l->n_ids + 1)))) return false;
    for (size_t i = 0; i < l->words.room; i++) {
        const struct tp_text_slot *s = &l->words.slot[i];

        if (!s->key) continue;
        l->word[s->id].id = l->ids + at, at += s->n;
        for (size_t k = 0; k < s->n; k++)
            l->word[s->id].id[k] = l->t->byte[(unsigned char)s->key[k]];
    }
    return true;
}

/* ---- pairs ---- */

static size_t slot_of(const learner *l, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)left << 32 | (uint32_t)right;
    size_t at = (size_t)((key * 0x9E3779B97F4A7C15u) >> 20) & (l->slots - 1);

    while (l->slot[at] && (l->pair[l->slot[at] - 1].left != left ||
                           l->pair[l->slot[at] - 1].right != right))
        at = (at + 1) & (l->slots - 1);
    return at;
}

static bool more_slots(learner *l)
{
    size_t before = l->slots, now = before ? 2 * before : 1024;
    int32_t *slot = tp__alloc_zeroed(sizeof *slot * now), *old = l->slot;

    if (!slot) return false;
    l->slot = slot, l->slots = now;
    for (int32_t i = 0; i < l->n_pairs; i++)
        slot[slot_of(l, l->pair[i].left, l->pair[i].right)] = i + 1;
    tp__release(old, sizeof *old * before);
    return true;
}

/* The pair's number, newly made where there was none; -1 after an error. */
static int32_t pair_of(learner *l, int32_t left, int32_t right)
{
    size_t at;

    if (2 * ((size_t)l->n_pairs + 1) > l->slots && !more_slots(l)) return -1;
    if (l->slot[at = slot_of(l, left, right)]) return l->slot[at] - 1;
    if (!ROOM(l->pair, l->n_pairs, l->pair_room)) return -1;
    l->pair[l->n_pairs] = (pair){ .left = left, .right = right, .last = -1 };
    return l->slot[at] = ++l->n_pairs, l->n_pairs - 1;
}

/* Pair i of word w occurs `by` more times. */
static bool count_pair(learner *l, int32_t w, int32_t left, int32_t right, int64_t by)
{
    int32_t i = pair_of(l, left, right);
    pair *p = i < 0 ? NULL : &l->pair[i];

    if (!p) return false;
    p->count += by;
    if (by > 0 && p->last != w) {
        if (!ROOM(p->word, p->n, p->room)) return false;
        p->word[p->n++] = p->last = w;
    }
    if (by <= 0 || p->changed) return true;
    if (!ROOM(l->changed, l->n_changed, l->changed_room)) return false;
    l->changed[l->n_changed++] = i;
    return p->changed = true;
}

static bool count_word(learner *l, int32_t w, int64_t sign)
{
    const word *v = &l->word[w];

    for (int32_t i = 0; i + 1 < v->n; i++)
        if (!count_pair(l, w, v->id[i], v->id[i + 1], sign * v->count)) return false;
    return true;
}

/* ---- the most frequent ---- */

static bool above(const learner *l, waiting a, waiting b)
{
    const pair *p = &l->pair[a.pair], *q = &l->pair[b.pair];

    if (a.count != b.count) return a.count > b.count;
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static bool push(learner *l, int32_t i)
{
    waiting v = { l->pair[i].count, i };
    int32_t at;

    if (v.count < 2) return true;
    if (!ROOM(l->heap, l->heaped, l->heap_room)) return false;
    for (at = l->heaped++; at && above(l, v, l->heap[(at - 1) / 2]); at = (at - 1) / 2)
        l->heap[at] = l->heap[(at - 1) / 2];
    l->heap[at] = v;
    return true;
}

static waiting pop(learner *l)
{
    waiting first = l->heap[0], v = l->heap[--l->heaped];
    int32_t at = 0;

    for (int32_t child; (child = 2 * at + 1) < l->heaped; at = child) {
        child += child + 1 < l->heaped && above(l, l->heap[child + 1], l->heap[child]);
        if (!above(l, l->heap[child], v)) break;
        l->heap[at] = l->heap[child];
    }
    l->heap[at] = v;
    return first;
}

static bool push_changed(learner *l)
{
    bool ok = true;

    for (int32_t i = 0; i < l->n_changed; i++)
        l->pair[l->changed[i]].changed = false, ok = ok && push(l, l->changed[i]);
    l->n_changed = 0;
    return ok;
}

/* -1: none occurs twice, or an error. */
static int32_t most_frequent(learner *l)
{
    while (l->heaped) {
        waiting v = pop(l);

        if (v.count == l->pair[v.pair].count) return v.pair;
        if (!push(l, v.pair)) return -1;
    }
    return -1;
}

/* ---- merging ---- */

/* The token of a pair: bytes of both; it may be there already, by another pair. */
static int32_t token_of(tp_tokenizer *t, int32_t left, int32_t right)
{
    size_t a = t->token[left].key_n, b = t->token[right].key_n, m = t->token[left].n,
           n = t->token[right].n;
    char *key = tp__alloc(a + b + m + n), *bytes = key ? key + a + b : NULL;
    int32_t id;

    if (!key) return -1;
    memcpy(key, t->token[left].key, a), memcpy(key + a, t->token[right].key, b);
    memcpy(bytes, t->token[left].bytes, m), memcpy(bytes + m, t->token[right].bytes, n);
    id = tp__text_map_find(&t->keys, key, a + b);
    if (id < 0) id = tp__add_token(t, key, a + b, bytes, m + n) ? (int32_t)t->n - 1 : -1;
    tp__release(key, a + b + m + n);
    return id;
}

static void merge_in(word *v, int32_t left, int32_t right, int32_t made)
{
    int32_t n = 0;

    for (int32_t i = 0; i < v->n; i++, n++) {
        bool both = i + 1 < v->n && v->id[i] == left && v->id[i + 1] == right;

        v->id[n] = both ? made : v->id[i], i += both;
    }
    v->n = n;
}

static bool has(const word *v, int32_t left, int32_t right)
{
    for (int32_t i = 0; i + 1 < v->n; i++)
        if (v->id[i] == left && v->id[i + 1] == right) return true;
    return false;
}

static bool merge(learner *l, int32_t i)
{
    pair p = l->pair[i]; /* its list moves when pairs are added, but is not added to */
    int32_t made = token_of(l->t, p.left, p.right);

    if (made < 0 || !tp__bpe_merge(l->t, p.left, p.right, made)) return false;
    for (int32_t k = 0; k < p.n; k++) {
        int32_t w = p.word[k];

        if (!has(&l->word[w], p.left, p.right)) continue;
        if (!count_word(l, w, -1)) return false;
        merge_in(&l->word[w], p.left, p.right, made);
        if (!count_word(l, w, 1)) return false;
    }
    return push_changed(l);
}

static bool learn(learner *l, int64_t tokens)
{
    for (int32_t w = 0; w < l->n_words; w++)
        if (!count_word(l, w, 1)) return false;
    if (!push_changed(l)) return false;
    while (l->t->n < tokens) {
        int32_t i = most_frequent(l);

        if (i < 0) break;
        if (!merge(l, i)) return false;
    }
    return tp_ok();
}

static void end(learner *l)
{
    for (int32_t i = 0; i < l->n_pairs; i++)
        if (l->pair[i].word)
            tp__release(l->pair[i].word,
                        sizeof *l->pair[i].word * (size_t)l->pair[i].room);
    tp__release(l->pair, sizeof *l->pair * (size_t)l->pair_room);
    tp__release(l->slot, sizeof *l->slot * l->slots);
    tp__release(l->heap, sizeof *l->heap * (size_t)l->heap_room);
    tp__release(l->changed, sizeof *l->changed * (size_t)l->changed_room);
    tp__release(l->word, sizeof *l->word * (size_t)l->word_room);
    tp__release(l->ids, sizeof *l->ids * (l->n_ids + 1));
    tp__text_map_free(&l->words);
}

tp_tokenizer *tp_data_bpe_learn(const char *const *text, int64_t n, int64_t tokens)
{
    learner l = { 0 };
    bool ok = true;

    if (!tp_ok()) return NULL;
    TP_REQUIRE((text || !n) && n >= 0, TP_ERR_ARG, "missing texts");
    TP_REQUIRE(tokens >= 256 && tokens < INT32_MAX / 4, TP_ERR_ARG,
               "%lld tokens: 256 at least, one of each byte", (long long)tokens);
    if (!(l.t = tp__bpe_bytes())) return NULL;
    for (int64_t i = 0; ok && i < n; i++)
        ok = text[i] ? add_text(&l, text[i], i)
                     : (tp__fail(TP_ERR_ARG, where, "text %lld is missing", (long long)i),
                        false);
    ok = ok && spell(&l) && learn(&l, tokens);
    end(&l);
    if (ok) return l.t;
    tp_data_tokenizer_free(l.t);
    return NULL;
}

/* ---- files ---- */

/* The file that is whole, or the one that was there. */
static bool write_file(const char *path, const tp_tokenizer *t, bool (*write)(FILE *f, const tp_tokenizer *t))
{
    tp_part part;
    bool ok;

    errno = 0, ok = tp__part_open(&part, path);
    if (ok && !write(part.f, t)) tp__part_drop(&part), ok = false;
    ok = ok && tp__part_take(&part);
    TP_REQUIRE_IN("tp_data_bpe_save", ok || !tp_ok(), TP_ERR_IO, "%s can't be written: %s", path,
                  strerror(errno ? errno : ENOMEM));
    return ok;
}

static bool write_merges(FILE *f, const tp_tokenizer *t)
{
    const tp_pair **line = tp__bpe_in_order(t);
    bool ok = line && fputs("#version: 0.2\n", f) >= 0;

    for (size_t i = 0; ok && i < t->pairs.n; i++)
        ok = fprintf(f, "%s %s\n", t->token[line[i]->key >> 32].key,
                     t->token[line[i]->key & UINT32_MAX].key) > 0;
    tp__release(line, sizeof *line * (t->pairs.n + 1));
    return ok;
}

static bool write_vocab(FILE *f, const tp_tokenizer *t)
{
    json_t *vocab = tp__vocab_json(t);
    bool ok = vocab && !json_dumpf(vocab, f, JSON_COMPACT);

    json_decref(vocab);
    return ok;
}

bool tp_data_bpe_save(const tp_tokenizer *t, const char *dir)
{
    char vocab[4096], merges[4096];

    if (!tp_ok()) return false;
    TP_REQUIRE(t && dir && t->bpe, TP_ERR_ARG,
               "missing tokenizer or folder, or none of byte pairs");
    snprintf(vocab, sizeof vocab, "%s/encoder.json", dir),
        snprintf(merges, sizeof merges, "%s/vocab.bpe", dir);
    return write_file(vocab, t, write_vocab) && write_file(merges, t, write_merges);
}
