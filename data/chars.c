/*
 * chars.c - a token for each character, and its file.
 */
#include "data/tokens.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { CODES = 0x110000 };

/* Which codes are in a text; false and an error where it isn't UTF-8. */
static bool mark_codes(const char *text, size_t n, unsigned char *there)
{
    uint32_t code = 0;

    for (size_t at = 0, length; at < n; at += length) {
        length = tp__utf8(text + at, n - at, &code);
        TP_REQUIRE_IN("tp_data_chars", length && code, TP_ERR_FORMAT,
                      "byte %zu of the text is no UTF-8, or 0", at);
        there[code / 8] |= (unsigned char)(1 << code % 8);
    }
    return true;
}

static bool add_codes(tp_tokenizer *t, const unsigned char *there)
{
    for (uint32_t code = 0; code < CODES; code++) {
        char c[4];

        if (!there[code / 8]) code |= 7; /* none of eight */
        if (there[code / 8] >> code % 8 & 1 && !tp__add_token(t, c, tp__utf8_put(code, c), NULL, 0))
            return false;
    }
    return true;
}

static tp_tokenizer *empty(void)
{
    tp_tokenizer *t = tp_ok() ? tp__alloc_zeroed(sizeof *t) : NULL;

    if (t) t->unknown = -1;
    return t;
}

static bool add_unknown(tp_tokenizer *t, const char *text)
{
    if (!text) return true;
    TP_REQUIRE_IN(
        "tp_data_chars", *text && tp__text_map_find(&t->keys, text, strlen(text)) < 0, TP_ERR_ARG,
        "\"%s\" can't be the unknown token: it is empty, or a character of the text", text);
    t->unknown = (int32_t)t->n;
    return tp__add_token(t, text, strlen(text), NULL, 0);
}

tp_tokenizer *tp_data_chars(const char *text, size_t bytes, const char *unknown)
{
    unsigned char *there;
    tp_tokenizer *t;
    bool ok;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(text || !bytes, TP_ERR_ARG, "missing text");
    if (!(there = tp__alloc_zeroed(CODES / 8))) return NULL;
    t = empty();
    ok = t && mark_codes(text, bytes, there) && add_codes(t, there) && add_unknown(t, unknown);
    tp__release(there, CODES / 8);
    if (ok && t->n) return t;
    if (ok) tp__fail(TP_ERR_ARG, __func__, "an empty text has no characters");
    tp_data_tokenizer_free(t);
    return NULL;
}

bool tp__encode_chars(const tp_tokenizer *t, const char *text, size_t from, size_t to,
                      tp_bytes *out)
{
    uint32_t code;

    for (size_t at = from, length; at < to; at += length) {
        int32_t id;

        length = tp__utf8(text + at, to - at, &code);
        TP_REQUIRE_IN("tp_data_encode", length, TP_ERR_FORMAT, "byte %zu of the text is no UTF-8",
                      at);
        id = tp__text_map_find(&t->keys, text + at, length);
        if (id < 0) id = t->unknown;
        TP_REQUIRE_IN("tp_data_encode", id >= 0, TP_ERR_ARG,
                      "\"%.*s\" (U+%04X) at byte %zu is not in the vocabulary of %lld", (int)length,
                      text + at, (unsigned)code, at, (long long)t->n);
        if (!tp__put_id(out, id)) return false;
    }
    return true;
}

/* ---- files ---- */

static bool is_special(const tp_tokenizer *t, int64_t id)
{
    for (int i = 0; i < t->specials; i++)
        if (t->special[i] == id) return true;
    return false;
}

static json_t *as_json(const tp_tokenizer *t)
{
    json_t *vocab = json_object(), *special = json_array(), *all;
    bool ok = vocab && special;

    for (int64_t i = 0; ok && i < t->n; i++)
        ok = !json_object_set_new(vocab, t->token[i].key, json_integer(i));
    for (int64_t i = 0; ok && i < t->n; i++)
        if (is_special(t, i)) ok = !json_array_append_new(special, json_string(t->token[i].key));
    all = ok ? json_pack("{s:O, s:O, s:s?, s:b}", "vocab", vocab, "special", special, "unknown",
                         t->unknown < 0 ? NULL : t->token[t->unknown].key, "words", t->words)
             : NULL;
    json_decref(vocab), json_decref(special);
    return all;
}

bool tp_data_tokenizer_save(const tp_tokenizer *t, const char *path)
{
    json_t *all;
    bool ok;

    if (!tp_ok()) return false;
    TP_REQUIRE(t && path && !t->bpe && !t->wordpiece, TP_ERR_ARG,
               "missing tokenizer or path, or one of byte pairs, which has its files, or of pieces of words");
    if (!(all = as_json(t)))
        return tp__fail(TP_ERR_MEMORY, __func__, "no memory for the vocabulary");
    ok = !json_dump_file(all, path, JSON_INDENT(1));
    json_decref(all);
    TP_REQUIRE(ok, TP_ERR_IO, "%s can't be written", path);
    return true;
}

json_t *tp__json_file(const char *where, const char *path)
{
    json_error_t e;
    tp_bytes b;
    json_t *v;

    if (!tp__input(where, path, &b)) return NULL;
    v = json_loadb(b.p, b.n, JSON_REJECT_DUPLICATES, &e);
    tp__bytes_free(&b);
    if (!v) return tp__fail(TP_ERR_FORMAT, where, "%s: line %d: %s", path, e.line, e.text);
    if (json_is_object(v)) return v;
    json_decref(v);
    return tp__fail(TP_ERR_FORMAT, where, "%s: it is no JSON object", path);
}

bool tp__vocab_keys(const char *where, const char *path, json_t *object, const char ***keys,
                    int64_t *n)
{
    const char *key;
    json_t *v;

    *n = (int64_t)json_object_size(object);
    TP_REQUIRE_IN(where, *n > 0 && *n < INT32_MAX / 2, TP_ERR_FORMAT, "%s: it has no tokens", path);
    if (!(*keys = tp__alloc_zeroed(sizeof **keys * (size_t)*n))) return false;
    json_object_foreach(object, key, v)
    {
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;

        TP_REQUIRE_IN(
            where, id >= 0 && id < *n && !(*keys)[id] && *key, TP_ERR_FORMAT,
            "%s: token \"%s\" is number %lld: the numbers 0 to %lld are wanted, each once", path,
            key, (long long)id, (long long)*n - 1);
        (*keys)[id] = key;
    }
    return true;
}

static bool one_character(const char *key)
{
    uint32_t code;

    return tp__utf8(key, strlen(key), &code) == strlen(key);
}

/* Tokens in order, those of more than a character being unknown or special. */
static bool add_keys(tp_tokenizer *t, const char *path, const char *const *keys, int64_t n,
                     json_t *all)
{
    const char *unknown = json_string_value(json_object_get(all, "unknown"));
    json_t *special = json_object_get(all, "special"), *v;
    size_t i;

    for (int64_t k = 0; k < n; k++) {
        bool is_unknown = unknown && !strcmp(unknown, keys[k]),
             known = t->words || one_character(keys[k]) || is_unknown;

        json_array_foreach(special, i, v) if (json_is_string(v) &&
                                              !strcmp(json_string_value(v), keys[k])) known = true;
        TP_REQUIRE_IN("tp_data_tokenizer_load", known, TP_ERR_FORMAT,
                      "%s: token \"%s\" is no single character", path, keys[k]);
        if (is_unknown) t->unknown = (int32_t)k;
        if (!tp__add_token(t, keys[k], strlen(keys[k]), NULL, 0)) return false;
    }
    TP_REQUIRE_IN("tp_data_tokenizer_load", !unknown || t->unknown >= 0, TP_ERR_FORMAT,
                  "%s: the unknown token \"%s\" is not in its vocabulary", path, unknown);
    json_array_foreach(special, i, v)
    {
        const char *text = json_string_value(v);

        TP_REQUIRE_IN("tp_data_tokenizer_load",
                      text && tp__text_map_find(&t->keys, text, strlen(text)) >= 0, TP_ERR_FORMAT,
                      "%s: special token \"%s\" is not in its vocabulary", path, text ? text : "");
        if (!tp_data_special(t, text)) return false;
    }
    return true;
}

tp_tokenizer *tp_data_tokenizer_load(const char *path)
{
    json_t *all, *vocab;
    const char **keys = NULL;
    tp_tokenizer *t = NULL;
    int64_t n = 0;
    bool ok;

    if (!tp_ok() || !(all = tp__json_file(__func__, path))) return NULL;
    vocab = json_object_get(all, "vocab");
    if (!json_is_object(vocab)) vocab = all;
    if ((t = empty())) t->words = json_is_true(json_object_get(all, "words")) && vocab != all;
    ok = t && tp__vocab_keys(__func__, path, vocab, &keys, &n) &&
         add_keys(t, path, keys, n, vocab == all ? NULL : all);
    if (keys) tp__release(keys, sizeof *keys * (size_t)n);
    json_decref(all);
    if (ok) return t;
    tp_data_tokenizer_free(t);
    return NULL;
}
