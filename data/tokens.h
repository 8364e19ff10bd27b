/*
 * tokens.h - what is behind tp_tokenizer, for the files of tokenizers alone.
 */
#ifndef TP_DATA_TOKENS_H
#define TP_DATA_TOKENS_H

#include "data/input.h"
#include "data/tokenizer.h"
#include "tensor/internal.h"

/* Texts to numbers: open addressing, at most half full; keys are somebody else's. */
typedef struct tp_text_map {
    struct tp_text_slot {
        const char *key; /* NULL: free */
        size_t n;
        int32_t id;
    } *slot;
    size_t room, n;
} tp_text_map;

bool tp__text_map_add(tp_text_map *m, const char *key, size_t n, int32_t id); /* it isn't there */
int32_t tp__text_map_find(const tp_text_map *m, const char *key, size_t n);   /* -1: not there */
void tp__text_map_free(tp_text_map *m);

/* Pairs of tokens to what they become. */
typedef struct tp_pair {
    uint64_t key; /* left << 32 | right */
    int32_t rank, id; /* rank: the line; id -1: free */
} tp_pair;
typedef struct tp_pair_map {
    tp_pair *slot;
    size_t room, n;
} tp_pair_map;

typedef struct tp_token {
    char *key;   /* as the vocabulary writes it */
    char *bytes; /* as text has it; may be key */
    size_t key_n, n;
} tp_token;

struct tp_tokenizer {
    tp_token *token;
    int64_t n, room;
    tp_text_map keys;
    int32_t unknown; /* -1: none */
    int32_t special[64];
    int specials;
    bool bpe, wordpiece, words; /* none of them: characters */
    bool lower;
    int32_t byte[256]; /* bpe: the token of each byte; -1: none */
    tp_pair_map pairs;
};

/* A token with the next number; bytes NULL: those of the key.  Both are copied. */
bool tp__add_token(tp_tokenizer *t, const char *key, size_t key_n, const char *bytes, size_t n);
/* Appends the numbers of a text without special tokens to out, int64 each. */
bool tp__encode_chars(const tp_tokenizer *t, const char *text, size_t from, size_t to, tp_bytes *out);
bool tp__encode_bpe(const tp_tokenizer *t, const char *text, size_t from, size_t to, tp_bytes *out);
bool tp__encode_wordpiece(const tp_tokenizer *t, const char *text, size_t from, size_t to,
                          tp_bytes *out);
bool tp__encode_words(const tp_tokenizer *t, const char *text, size_t from, size_t to, tp_bytes *out);
static inline bool tp__put_id(tp_bytes *out, int64_t id)
{
    if (!tp__bytes_room(out, sizeof id)) return false;
    *(int64_t *)(void *)(out->p + out->n) = id;
    out->n += sizeof id;
    return true;
}
tp_tokenizer *tp__bpe_bytes(void); /* of 256 tokens, GPT-2's first, and no pairs */
/* One more pair of it, the last to be merged: it wasn't there. */
bool tp__bpe_merge(tp_tokenizer *t, int32_t left, int32_t right, int32_t made);
/* Where a pair is written, for errors: who reads, the file, "line" and its number. */
typedef struct tp_merge_at {
    const char *reader, *path, *unit;
    int number;
} tp_merge_at;
/* One more, as its keys with a blank between; and tokens by their keys. */
bool tp__bpe_add_merge(tp_tokenizer *t, tp_merge_at at, const char *s, size_t n);
bool tp__bpe_vocab(tp_tokenizer *t, const char *const *keys, int64_t n);
/* Its pairs by rank; released by the caller, with room for one more than there are. */
const tp_pair **tp__bpe_in_order(const tp_tokenizer *t);
bool tp__wordpiece_add(tp_tokenizer *t, const char *path, const char *s, size_t n);
/* A key of the vocabulary for bytes, at most 2 n; gives its length. */
size_t tp__bpe_key(const char *bytes, size_t n, char *key);

/* JSON as a file: an object, or NULL and an error.  Frees with json_decref. */
struct json_t;
/* The vocabulary of a JSON object {"key": number}: keys by number; false and an error unless the
 * numbers are 0 to n - 1, each once.  keys is NULL before; n of them, released by the caller. */
bool tp__vocab_keys(const char *where, const char *path, struct json_t *object, const char ***keys, int64_t *n);
struct json_t *tp__json_file(const char *where, const char *path);
struct json_t *tp__vocab_json(const tp_tokenizer *t); /* NULL where a key is no UTF-8, without an error */

/* Length of a character of UTF-8 and its code; 0 where there is none. */
size_t tp__utf8(const char *s, size_t n, uint32_t *code);
size_t tp__utf8_put(uint32_t code, char *to); /* up to 4 bytes */
/* Is c in one of n ranges, which are sorted? */
bool tp__within(uint32_t c, const uint32_t (*range)[2], int n);
#define TP_WITHIN(c, table) tp__within(c, table, TP_LEN(table))
/* Length of the piece of text[0..n) that GPT-2's expression finds first; n > 0, UTF-8. */
size_t tp__piece(const char *text, size_t n);

#endif
