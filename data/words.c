/*
 * words.c - a token for each word, words being what blanks part.
 */
#include "data/tokens.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Where the next word from `at` on begins, and *n its length, 0 at the end. */
static size_t next_word(const char *text, size_t at, size_t to, size_t *n)
{
    while (at < to && is_blank(text[at]))
        at++;
    for (*n = 0; at + *n < to && !is_blank(text[at + *n]);)
        ++*n;
    return at;
}

static bool is_text(const char *text, size_t from, size_t n)
{
    uint32_t code = 0;

    for (size_t at = from, length; at < from + n; at += length) {
        length = tp__utf8(text + at, from + n - at, &code);
        TP_REQUIRE_IN("tp_data_words", length && code, TP_ERR_FORMAT, "byte %zu of the text is no UTF-8, or 0", at);
    }
    return true;
}

static bool list_words(const char *text, size_t bytes, tp_names *l)
{
    size_t n;

    for (size_t at = next_word(text, 0, bytes, &n); n; at = next_word(text, at + n, bytes, &n))
        if (!is_text(text, at, n) || !tp__names_add(l, text + at, n)) return false;
    TP_REQUIRE_IN("tp_data_words", l->n, TP_ERR_ARG, "there is no word in the text");
    tp__names_sort(l);
    return true;
}

static bool add_words(tp_tokenizer *t, const tp_names *l, const char *unknown)
{
    for (int64_t i = 0; i < l->n; i++)
        if ((!i || strcmp(l->name[i], l->name[i - 1])) && !tp__add_token(t, l->name[i], strlen(l->name[i]), NULL, 0))
            return false;
    if (!unknown) return true;
    TP_REQUIRE_IN("tp_data_words", *unknown && tp__text_map_find(&t->keys, unknown, strlen(unknown)) < 0, TP_ERR_ARG,
                  "\"%s\" can't be the unknown token: it is empty, or a word of the text", unknown);
    t->unknown = (int32_t)t->n;
    return tp__add_token(t, unknown, strlen(unknown), NULL, 0);
}

tp_tokenizer *tp_data_words(const char *text, size_t bytes, const char *unknown)
{
    tp_names l = { 0 };
    tp_tokenizer *t;
    bool ok;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(text || !bytes, TP_ERR_ARG, "missing text");
    if (!(t = tp__alloc_zeroed(sizeof *t))) return NULL;
    t->unknown = -1, t->words = true;
    ok = list_words(text ? text : "", bytes, &l) && add_words(t, &l, unknown);
    tp__names_free(&l);
    if (ok) return t;
    tp_data_tokenizer_free(t);
    return NULL;
}

bool tp__encode_words(const tp_tokenizer *t, const char *text, size_t from, size_t to, tp_bytes *out)
{
    size_t n;

    for (size_t at = next_word(text, from, to, &n); n; at = next_word(text, at + n, to, &n)) {
        int32_t id = tp__text_map_find(&t->keys, text + at, n);

        if (id < 0) id = t->unknown;
        TP_REQUIRE_IN("tp_data_encode", id >= 0, TP_ERR_ARG, "\"%.*s\" is not in the vocabulary of %lld words",
                      n < 64 ? (int)n : 64, text + at, (long long)t->n);
        if (!tp__put_id(out, id)) return false;
    }
    return true;
}
