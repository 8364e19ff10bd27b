/*
 * chars.c - a token for each character.
 */
#include "data/tokens.h"

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
