/*
 * pretokenize.c - UTF-8, and the pieces that GPT-2's expression cuts a text into:
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 */
#include "data/tokens.h"
#include "data/unicode.h"

#include <string.h>

size_t tp__utf8(const char *s, size_t n, uint32_t *code)
{
    const unsigned char *u = (const unsigned char *)s;
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t length;

    if (!n) return 0;
    if (u[0] < 0x80) return *code = u[0], 1;
    length = u[0] >> 5 == 6 ? 2 : u[0] >> 4 == 14 ? 3 : u[0] >> 3 == 30 ? 4 : 0;
    if (!length || length > n) return 0;
    *code = u[0] & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if (u[i] >> 6 != 2) return 0;
        *code = *code << 6 | (u[i] & 0x3F);
    }
    return *code < least[length] || *code > 0x10FFFF || *code >> 11 == 0x1B ? 0 : length;
}

size_t tp__utf8_put(uint32_t code, char *to)
{
    if (code < 0x80) return to[0] = (char)code, 1;
    if (code < 0x800)
        return to[0] = (char)(0xC0 | code >> 6), to[1] = (char)(0x80 | (code & 0x3F)), 2;
    if (code < 0x10000) {
        to[0] = (char)(0xE0 | code >> 12), to[1] = (char)(0x80 | (code >> 6 & 0x3F)),
        to[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | code >> 18), to[1] = (char)(0x80 | (code >> 12 & 0x3F));
    to[2] = (char)(0x80 | (code >> 6 & 0x3F)), to[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* ---- categories ---- */

typedef enum category { OTHER, LETTER, NUMBER, SPACE, END } category;

bool tp__within(uint32_t c, const uint32_t (*range)[2], int n)
{
    int low = 0, high = n - 1;

    while (low <= high) {
        int middle = (low + high) / 2;

        if (c < range[middle][0])
            high = middle - 1;
        else if (c > range[middle][1])
            low = middle + 1;
        else
            return true;
    }
    return false;
}

static category category_of(uint32_t c)
{
    if ((c | 32) >= 'a' && (c | 32) <= 'z') return LETTER;
    if (c >= '0' && c <= '9') return NUMBER;
    if (TP_WITHIN(c, unicode_spaces)) return SPACE;
    if (c < 128) return OTHER;
    if (TP_WITHIN(c, unicode_letters)) return LETTER;
    return TP_WITHIN(c, unicode_numbers) ? NUMBER : OTHER;
}

/* Of the character at s, and its length. */
static category look(const char *s, size_t n, size_t *length)
{
    uint32_t c;

    if (!(*length = tp__utf8(s, n, &c))) return END;
    return category_of(c);
}

/* ---- pieces ---- */

static size_t contraction(const char *s, size_t n)
{
    static const char *const tail[] = { "s", "t", "re", "ve", "m", "ll", "d" };

    for (int i = 0; n && *s == '\'' && i < TP_LEN(tail); i++)
        if (strlen(tail[i]) < n && !memcmp(s + 1, tail[i], strlen(tail[i])))
            return 1 + strlen(tail[i]);
    return 0;
}

/* \s+(?!\S)|\s+  All of a run of spaces, less the last where something follows it, if more than
 * one is there. */
static size_t spaces(const char *s, size_t n)
{
    size_t at = 0, last = 0, length;

    while (look(s + at, n - at, &length) == SPACE)
        last = at, at += length;
    return at < n && last ? last : at;
}

size_t tp__piece(const char *s, size_t n)
{
    size_t at = contraction(s, n), length;
    category first;

    if (at) return at;
    at = *s == ' '; /* " ?": it belongs to what follows, unless that is a space */
    first = look(s + at, n - at, &length);
    if (first == SPACE || first == END) return spaces(s, n);
    do
        at += length;
    while (look(s + at, n - at, &length) == first);
    return at;
}
