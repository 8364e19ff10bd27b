/*
 * tokenizer_json.c - tokenizers of all kinds as JSON, in a file or as text.
 */
#include "data/tokens.h"
#include "tensor/part.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

static bool put_new(json_t *all, const char *key, json_t *v)
{
    return !json_object_set_new(all, key, v);
}

json_t *tp__vocab_json(const tp_tokenizer *t)
{
    json_t *vocab = json_object();

    for (int64_t i = 0; i < t->n; i++)
        if (!vocab || !put_new(vocab, t->token[i].key, json_integer(i)))
            return json_decref(vocab), NULL;
    return vocab;
}

/* As texts have them. */
static json_t *special_json(const tp_tokenizer *t)
{
    json_t *special = json_array();

    for (int i = 0; i < t->specials; i++)
        if (json_array_append_new(special, json_string(t->token[t->special[i]].bytes)))
            return json_decref(special), NULL;
    return special;
}

static json_t *merges_json(const tp_tokenizer *t)
{
    size_t bytes = sizeof(tp_pair *) * (t->pairs.n + 1);
    const tp_pair **in_order = tp__bpe_in_order(t);
    json_t *merges = in_order ? json_array() : NULL;
    bool ok = merges;

    for (size_t i = 0; ok && i < t->pairs.n; i++)
        ok = !json_array_append_new(
            merges, json_sprintf("%s %s", t->token[in_order[i]->key >> 32].key,
                                 t->token[in_order[i]->key & UINT32_MAX].key));
    tp__release(in_order, bytes);
    return ok ? merges : (json_decref(merges), NULL);
}

static json_t *as_json(const tp_tokenizer *t)
{
    json_t *all = json_object();
    bool ok =
        all && put_new(all, "vocab", tp__vocab_json(t)) &&
        put_new(all, "special", special_json(t)) &&
        put_new(all, "unknown",
                t->unknown < 0 ? json_null() : json_string(t->token[t->unknown].key)) &&
        (!t->words || put_new(all, "words", json_true())) &&
        (!t->bpe || put_new(all, "merges", merges_json(t))) &&
        (!t->wordpiece ||
         put_new(all, "wordpiece", json_pack("{s:b}", "lower", t->lower)));

    if (ok) return all;
    tp__fail(TP_ERR_ARG, "tp_data_tokenizer",
             "a token is no UTF-8, or there is no memory for its vocabulary");
    json_decref(all);
    return NULL;
}

bool tp_data_tokenizer_save(const tp_tokenizer *t, const char *path)
{
    json_t *all;
    tp_part part;
    bool ok;

    if (!tp_ok()) return false;
    TP_REQUIRE(t && path, TP_ERR_ARG, "missing tokenizer or path");
    if (!(all = as_json(t))) return false;
    errno = 0, ok = tp__part_open(&part, path);
    if (ok && json_dumpf(all, part.f, JSON_INDENT(1))) tp__part_drop(&part), ok = false;
    ok = ok && tp__part_take(&part);
    json_decref(all);
    TP_REQUIRE(ok, TP_ERR_IO, "%s can't be written: %s", path,
               strerror(errno ? errno : ENOMEM));
    return true;
}

size_t tp_data_tokenizer_text(const tp_tokenizer *t, char *text, size_t room)
{
    size_t n, shown;
    json_t *all;
    char *s;

    if (text && room) *text = 0;
    if (!tp_ok()) return 0;
    if (!t) return tp__fail(TP_ERR_ARG, __func__, "missing tokenizer"), 0;
    if (!(all = as_json(t))) return 0;
    s = json_dumps(all, JSON_COMPACT), json_decref(all);
    if (!s) return tp__fail(TP_ERR_MEMORY, __func__, "no memory for the vocabulary"), 0;
    n = strlen(s), shown = n < room ? n : room ? room - 1 : 0;
    if (text && room) memcpy(text, s, shown), text[shown] = 0;
    free(s);
    return n;
}

/* ---- reading ---- */

static const char where[] = "tp_data_tokenizer_load";

static json_t *object_of(const char *at, const char *path, const char *text, size_t n)
{
    json_error_t e;
    json_t *v = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);

    if (!v) return tp__fail(TP_ERR_FORMAT, at, "%s: line %d: %s", path, e.line, e.text);
    if (json_is_object(v)) return v;
    json_decref(v);
    return tp__fail(TP_ERR_FORMAT, at, "%s: it is no JSON object", path);
}

json_t *tp__json_file(const char *at, const char *path)
{
    tp_bytes b;
    json_t *v;

    if (!tp__input(at, path, &b)) return NULL;
    v = object_of(at, path, b.p, b.n);
    tp__bytes_free(&b);
    return v;
}

bool tp__vocab_keys(const char *at, const char *path, json_t *object, const char ***keys,
                    int64_t *n)
{
    const char *key;
    json_t *v;

    *n = (int64_t)json_object_size(object);
    TP_REQUIRE_IN(at, *n > 0 && *n < INT32_MAX / 2, TP_ERR_FORMAT, "%s: it has no tokens",
                  path);
    if (!(*keys = tp__alloc_zeroed(sizeof **keys * (size_t)*n))) return false;
    json_object_foreach(object, key, v)
    {
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;

        TP_REQUIRE_IN(at, id >= 0 && id < *n && !(*keys)[id] && *key, TP_ERR_FORMAT,
                      "%s: token \"%s\" is number %lld: the numbers 0 to %lld are "
                      "wanted, each once",
                      path, key, (long long)id, (long long)*n - 1);
        (*keys)[id] = key;
    }
    return true;
}

static bool one_character(const char *key)
{
    uint32_t code;

    return tp__utf8(key, strlen(key), &code) == strlen(key);
}

static bool is_among(json_t *list, const char *key)
{
    json_t *v;
    size_t i;

    json_array_foreach(list, i, v) if (json_is_string(v) &&
                                       !strcmp(json_string_value(v), key)) return true;
    return false;
}

/* Characters or words; what is longer than a character is unknown or special. */
static bool add_keys(tp_tokenizer *t, const char *path, const char *const *keys,
                     int64_t n, json_t *all)
{
    const char *unknown = json_string_value(json_object_get(all, "unknown"));
    json_t *special = json_object_get(all, "special");

    for (int64_t k = 0; k < n; k++) {
        bool known = t->words || one_character(keys[k]) ||
                     (unknown && !strcmp(unknown, keys[k])) || is_among(special, keys[k]);

        TP_REQUIRE_IN(where, known, TP_ERR_FORMAT,
                      "%s: token \"%s\" is no single character", path, keys[k]);
        if (!tp__add_token(t, keys[k], strlen(keys[k]), NULL, 0)) return false;
    }
    return true;
}

static bool add_pieces(tp_tokenizer *t, const char *path, const char *const *keys,
                       int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        if (!tp__wordpiece_add(t, path, keys[k], strlen(keys[k]))) return false;
    return true;
}

static bool add_merges(tp_tokenizer *t, const char *path, json_t *merges)
{
    json_t *v;
    size_t i;

    json_array_foreach(merges, i, v)
    {
        const char *pair = json_string_value(v);

        TP_REQUIRE_IN(where, pair, TP_ERR_FORMAT, "%s: merge %zu is no text", path, i);
        if (!tp__bpe_add_merge(t, (tp_merge_at){ where, path, "merge", (int)i }, pair,
                               strlen(pair)))
            return false;
    }
    return true;
}

static bool add_tokens(tp_tokenizer *t, const char *path, json_t *vocab, json_t *all)
{
    const char **keys = NULL;
    int64_t n = 0;
    bool ok = tp__vocab_keys(where, path, vocab, &keys, &n);

    if (ok && t->bpe)
        ok = tp__bpe_vocab(t, keys, n) &&
             add_merges(t, path, json_object_get(all, "merges"));
    else if (ok)
        ok =
            t->wordpiece ? add_pieces(t, path, keys, n) : add_keys(t, path, keys, n, all);
    tp__release(keys, sizeof *keys * (size_t)n);
    return ok;
}

static bool set_unknown(tp_tokenizer *t, const char *path, json_t *v)
{
    const char *unknown = json_string_value(v);

    TP_REQUIRE_IN(where, unknown || !t->wordpiece, TP_ERR_FORMAT,
                  "%s: pieces of words have an unknown token", path);
    if (!unknown) return true;
    t->unknown = tp__text_map_find(&t->keys, unknown, strlen(unknown));
    TP_REQUIRE_IN(where, t->unknown >= 0, TP_ERR_FORMAT,
                  "%s: the unknown token \"%s\" is not in its vocabulary", path, unknown);
    return true;
}

static bool set_special(tp_tokenizer *t, const char *path, json_t *special)
{
    json_t *v;
    size_t i;

    json_array_foreach(special, i, v)
    {
        const char *text = json_string_value(v);

        TP_REQUIRE_IN(where, text && tp_data_token_id(t, text) >= 0, TP_ERR_FORMAT,
                      "%s: special token \"%s\" is not in its vocabulary", path,
                      text ? text : "");
        if (!tp_data_special(t, text)) return false;
    }
    return true;
}

static tp_tokenizer *from_json(const char *path, json_t *all)
{
    json_t *vocab = json_object_get(all, "vocab"),
           *pieces = json_object_get(all, "wordpiece");
    tp_tokenizer *t = tp__alloc_zeroed(sizeof *t);

    if (!t) return NULL;
    t->unknown = -1;
    if (!json_is_object(vocab)) vocab = all, all = NULL; /* {"a": 0, ...} alone */
    if (all) {
        t->words = json_is_true(json_object_get(all, "words")),
        t->bpe = json_is_array(json_object_get(all, "merges"));
        t->wordpiece = json_is_object(pieces),
        t->lower = json_is_true(json_object_get(pieces, "lower"));
    }
    if (add_tokens(t, path, vocab, all) &&
        set_unknown(t, path, json_object_get(all, "unknown")) &&
        set_special(t, path, json_object_get(all, "special")))
        return t;
    tp_data_tokenizer_free(t);
    return NULL;
}

tp_tokenizer *tp_data_tokenizer_load(const char *path)
{
    json_t *all = tp_ok() ? tp__json_file(__func__, path) : NULL;
    tp_tokenizer *t = all ? from_json(path, all) : NULL;

    json_decref(all);
    return t;
}

tp_tokenizer *tp_data_tokenizer_parse(const char *json, size_t bytes)
{
    json_t *all;
    tp_tokenizer *t;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(json, TP_ERR_ARG, "missing text");
    all = object_of(__func__, "the text", json, bytes);
    t = all ? from_json("the text", all) : NULL;
    json_decref(all);
    return t;
}
