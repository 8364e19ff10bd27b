/*
 * wordpiece.c - text cut as BERT does it: words, punctuation, then the longest pieces of the
 * vocabulary.
 */
#include "data/tokens.h"
#include "data/unicode.h"
#include "data/unicode_fold.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_LETTERS = 200 }; /* of a word; max_input_chars_per_word */

static const char where[] = "tp_data_wordpiece";

/* ---- characters ---- */

static bool is_control(uint32_t c)
{
    return !c || c == 0xFFFD ||
           (c != '\t' && c != '\n' && c != '\r' && TP_WITHIN(c, unicode_controls));
}

static bool is_punctuation(uint32_t c)
{
    if (c < 128)
        return c > 32 && c < 127 && !(c >= '0' && c <= '9') &&
               !((c | 32) >= 'a' && (c | 32) <= 'z');
    return TP_WITHIN(c, unicode_punctuation);
}

static bool is_chinese(uint32_t c)
{
    static const uint32_t range[][2] = { { 0x3400, 0x4DBF },   { 0x4E00, 0x9FFF },
                                         { 0xF900, 0xFAFF },   { 0x20000, 0x2A6DF },
                                         { 0x2A700, 0x2B73F }, { 0x2B740, 0x2B81F },
                                         { 0x2B820, 0x2CEAF }, { 0x2F800, 0x2FA1F } };

    return TP_WITHIN(c, range);
}

/* A letter of a script with capitals. */
static bool has_case(uint32_t c)
{
    static const uint32_t range[][2] = {
        { 0x41, 0x58F },      { 0x10A0, 0x10FF },   { 0x13A0, 0x13FF },
        { 0x1C80, 0x1CBF },   { 0x1D00, 0x1FFF },   { 0x2C00, 0x2D2F },
        { 0xA640, 0xA69F },   { 0xA722, 0xA7FF },   { 0xAB30, 0xABBF },
        { 0xFB00, 0xFB1F },   { 0xFF21, 0xFF5A },   { 0x10400, 0x105BF },
        { 0x10C80, 0x10CFF }, { 0x118A0, 0x118DF }, { 0x1D400, 0x1D7FF }
    };

    return TP_WITHIN(c, range) && TP_WITHIN(c, unicode_letters);
}

/* Marks and what stands inside words: a sigma looks past them. */
static bool is_passed_over(uint32_t c)
{
    return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x2019 ||
           TP_WITHIN(c, unicode_marks) || is_control(c);
}

static int by_code(const void *code, const void *entry)
{
    uint32_t c = *(const uint32_t *)code, e = *(const uint32_t *)entry;

    return (c > e) - (c < e);
}

static bool fold_to_one(uint32_t c, uint32_t *to)
{
    const uint32_t *one = bsearch(&c, unicode_folds_of_one, TP_LEN(unicode_folds_of_one),
                                  sizeof *unicode_folds_of_one, by_code);

    for (int i = 0; !one && i < TP_LEN(unicode_folds); i++) {
        const uint32_t *f =
            unicode_folds[i]; /* first, last, step, to, 1 where it moves along */

        if (c >= f[0] && c <= f[1] && (c - f[0]) % f[2] == 0)
            return *to = f[3] + f[4] * (c - f[0]), true;
    }
    return one && (*to = one[1], true);
}

/* The small letter of c, taken apart, without marks: up to 4 codes, maybe none. */
static int folded(uint32_t c, uint32_t to[4])
{
    if (c < 128) return to[0] = c >= 'A' && c <= 'Z' ? c + 32 : c, 1;
    if (TP_WITHIN(c, unicode_marks)) return 0;
    if (c >= 0xAC00 && c < 0xAC00 + 11172) { /* a Korean syllable */
        uint32_t at = c - 0xAC00;

        to[0] = 0x1100 + at / 588, to[1] = 0x1161 + at % 588 / 28,
        to[2] = 0x11A7 + at % 28;
        return at % 28 ? 3 : 2;
    }
    if (fold_to_one(c, to)) return 1;
    for (int i = 0; i < TP_LEN(unicode_folds_to_many); i++)
        if (unicode_folds_to_many[i][0] == c) {
            int n = 0;

            for (; n < 4 && unicode_folds_to_many[i][n + 1]; n++)
                to[n] = unicode_folds_to_many[i][n + 1];
            return n;
        }
    return to[0] = c, 1;
}

/* ---- words ---- */

typedef struct cutter {
    const tp_tokenizer *t;
    tp_bytes *out;
    tp_bytes word; /* UTF-8, behind room for "##" */
    int64_t letters;
} cutter;

/* The longest token that a piece begins with; its end in *end. */
static int32_t longest(const cutter *k, char *piece, bool inside, const char *stop,
                       char **end)
{
    for (char *e = (char *)stop; e > piece; e--) {
        int32_t id;

        if (e < stop && ((unsigned char)*e >> 6) == 2) continue; /* inside a character */
        if (inside) {
            char kept[2] = { piece[-2], piece[-1] };

            piece[-2] = piece[-1] = '#';
            id = tp__text_map_find(&k->t->keys, piece - 2, (size_t)(e - piece) + 2);
            piece[-2] = kept[0], piece[-1] = kept[1];
        } else
            id = tp__text_map_find(&k->t->keys, piece, (size_t)(e - piece));
        if (id >= 0) return *end = e, id;
    }
    return -1;
}

/* The word's pieces; nothing where it is empty. */
static bool end_word(cutter *k)
{
    size_t before = k->out->n;
    char *at = k->word.p + 2, *stop = k->word.p + k->word.n;
    bool known = k->letters <= MOST_LETTERS;

    if (!k->letters) return true;
    for (bool inside = false; known && at < stop; inside = true) {
        int32_t id = longest(k, at, inside, stop, &at);

        known = id >= 0;
        if (known && !tp__put_id(k->out, id)) return false;
    }
    k->word.n = 2, k->letters = 0;
    if (known) return true;
    k->out->n = before;
    return tp__put_id(k->out, k->t->unknown);
}

static bool add_letter(cutter *k, uint32_t c)
{
    bool alone = is_punctuation(c);

    if (alone && !end_word(k)) return false;
    if (!tp__bytes_room(&k->word, 4)) return false;
    k->word.n += tp__utf8_put(c, k->word.p + k->word.n), k->letters++;
    return !alone || end_word(k);
}

/* Is the capital sigma before text[at] the last letter of its word?  Then it becomes another
 * letter. */
static bool is_final(const char *text, size_t at, size_t to, bool letter_before)
{
    uint32_t c;
    size_t n;

    for (; letter_before && (n = tp__utf8(text + at, to - at, &c)) && is_passed_over(c);
         at += n) {
    }
    return letter_before && !((n = tp__utf8(text + at, to - at, &c)) && has_case(c));
}

static bool add_folded(cutter *k, uint32_t c, bool final)
{
    uint32_t to[4] = { c };
    int n = 1;

    if (k->t->lower && final)
        to[0] = 0x3C2;
    else if (k->t->lower)
        n = folded(c, to);
    for (int i = 0; i < n; i++)
        if (!add_letter(k, to[i])) return false;
    return true;
}

static bool cut(cutter *k, const char *text, size_t from, size_t to)
{
    bool letter_before = false;
    uint32_t c;

    for (size_t length; from < to; from += length) {
        bool ok = true, gap, chinese;

        length = tp__utf8(text + from, to - from, &c);
        TP_REQUIRE_IN("tp_data_encode", length, TP_ERR_FORMAT,
                      "byte %zu of the text is no UTF-8", from);
        if (is_control(c)) continue;
        gap = TP_WITHIN(c, unicode_spaces), chinese = is_chinese(c);
        if (gap || chinese) ok = end_word(k);
        if (!gap)
            ok = ok && add_folded(k, c,
                                  c == 0x3A3 &&
                                      is_final(text, from + length, to, letter_before));
        if (chinese) ok = ok && end_word(k);
        if (!ok) return false;
        if (!is_passed_over(c)) letter_before = has_case(c);
    }
    return end_word(k);
}

bool tp__encode_wordpiece(const tp_tokenizer *t, const char *text, size_t from, size_t to,
                          tp_bytes *out)
{
    cutter k = { .t = t, .out = out };
    bool ok = tp__bytes_room(&k.word, 2);

    k.word.n = 2;
    ok = ok && cut(&k, text, from, to);
    tp__bytes_free(&k.word);
    return ok;
}

/* ---- the vocabulary ---- */

bool tp__wordpiece_add(tp_tokenizer *t, const char *path, const char *s, size_t n)
{
    bool inside = n > 2 && s[0] == '#' && s[1] == '#';

    TP_REQUIRE_IN(where, n, TP_ERR_FORMAT, "%s: line %lld is empty: a token is wanted",
                  path, (long long)t->n + 1);
    TP_REQUIRE_IN(where, tp__text_map_find(&t->keys, s, n) < 0, TP_ERR_FORMAT,
                  "%s: line %lld: \"%.*s\" was there before", path, (long long)t->n + 1,
                  (int)(n < 80 ? n : 80), s);
    return tp__add_token(t, s, n, inside ? s + 2 : NULL, inside ? n - 2 : 0);
}

static bool read_tokens(tp_tokenizer *t, const char *path)
{
    static const char unknown[] = "[UNK]";
    tp_bytes b;
    bool ok = tp__input(where, path, &b);

    if (!ok) return false;
    for (const char *s = b.p, *stop = b.p + b.n, *e; ok && s < stop; s = e + 1) {
        e = memchr(s, '\n', (size_t)(stop - s));
        if (!e) e = stop;
        ok = tp__wordpiece_add(t, path, s, (size_t)(e - s) - (e > s && e[-1] == '\r'));
    }
    tp__bytes_free(&b);
    if (!ok) return false;
    t->unknown = tp__text_map_find(&t->keys, unknown, sizeof unknown - 1);
    TP_REQUIRE_IN(where, t->unknown >= 0, TP_ERR_FORMAT,
                  "%s: there is no %s among its %lld tokens", path, unknown,
                  (long long)t->n);
    return true;
}

tp_tokenizer *tp_data_wordpiece(const char *vocab, bool lower)
{
    tp_tokenizer *t = tp_ok() ? tp__alloc_zeroed(sizeof *t) : NULL;

    if (!t) return NULL;
    t->wordpiece = true, t->lower = lower, t->unknown = -1;
    if (read_tokens(t, vocab)) return t;
    tp_data_tokenizer_free(t);
    return NULL;
}
