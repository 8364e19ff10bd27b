/*
 * input.c - see input.h.
 */
#include "data/input.h"

#include "tensor/internal.h"
#include "tensor/plain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>

/* ---- bytes ---- */

bool tp__bytes_room(tp_bytes *b, size_t n)
{
    size_t room = b->room ? b->room : 1 << 12;
    char *p;

    if (n <= b->room - b->n) return true;
    TP_REQUIRE_IN("data", n < SIZE_MAX / 4 && b->n < SIZE_MAX / 4, TP_ERR_MEMORY,
                  "%zu bytes are too many", n);
    while (room - b->n < n)
        room *= 2;
    if (!(p = tp__grow(b->p, b->room, room))) return false;
    b->p = p, b->room = room;
    return true;
}

void tp__bytes_free(tp_bytes *b)
{
    tp__release(b->p, b->room);
    *b = (tp_bytes){ 0 };
}

static bool read_all(const char *where, const char *path, gzFile f, tp_bytes *b)
{
    int n, code;
    const char *why;

    do {
        if (!tp__bytes_room(b, 1 << 12)) return false;
        n = gzread(f, b->p + b->n,
                   (unsigned)(b->room - b->n - 1 < 1 << 30 ? b->room - b->n - 1 : 1 << 30));
        b->n += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    why = gzerror(f, &code);
    TP_REQUIRE_IN(where, code != Z_BUF_ERROR, TP_ERR_FORMAT, "%s: it is cut short", path);
    TP_REQUIRE_IN(where, code == Z_OK, TP_ERR_FORMAT, "%s: %s", path,
                  code == Z_ERRNO ? strerror(errno) : why);
    b->p[b->n] = 0;
    return true;
}

/* A device may never end, nor say so.  errno says what is wrong. */
static bool ends(const char *path)
{
    struct stat st;

    if (stat(path, &st)) return false;
    if (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode)) return true;
    return errno = S_ISDIR(st.st_mode) ? EISDIR : 0, false;
}

bool tp__input_ends(const char *where, const char *path)
{
    if (ends(path)) return true;
    return tp__fail(TP_ERR_IO, where, "%s can't be read: %s", path,
                    errno ? strerror(errno) : "it is neither a regular file nor a pipe");
}

bool tp__input(const char *where, const char *path, tp_bytes *b)
{
    gzFile f;
    bool ok;

    *b = (tp_bytes){ 0 };
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, path, TP_ERR_ARG, "missing path");
    if (!tp__input_ends(where, path)) return false;
    errno = ENOMEM;
    if (!(f = gzopen(path, "rb")))
        return tp__fail(TP_ERR_IO, where, "%s can't be read: %s", path, strerror(errno));
    ok = read_all(where, path, f, b);
    gzclose_r(f);
    if (!ok) tp__bytes_free(b);
    return ok;
}

static bool read_raw(const char *where, const char *path, FILE *f, size_t most, tp_bytes *b)
{
    size_t n;

    do {
        if (!tp__bytes_room(b, 1 << 12)) return false;
        b->n += n = fread(b->p + b->n, 1, b->room - b->n - 1, f);
        TP_REQUIRE_IN(where, b->n <= most, TP_ERR_FORMAT, "%s: it has more than %zu bytes", path,
                      most);
    } while (n);
    TP_REQUIRE_IN(where, !ferror(f), TP_ERR_IO, "%s can't be read: %s", path, strerror(errno));
    b->p[b->n] = 0;
    return true;
}

bool tp__input_raw(const char *where, const char *path, size_t most, tp_bytes *b)
{
    FILE *f;
    bool ok;

    *b = (tp_bytes){ 0 };
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, path, TP_ERR_ARG, "missing path");
    if (!tp__input_ends(where, path)) return false;
    if (!(f = fopen(path, "rb")))
        return tp__fail(TP_ERR_IO, where, "%s can't be read: %s", path, strerror(errno));
    ok = read_raw(where, path, f, most, b);
    fclose(f);
    if (!ok) tp__bytes_free(b);
    return ok;
}

/* ---- names ---- */

bool tp__names_add(tp_names *l, const char *name, size_t n)
{
    int64_t room = l->room ? 2 * l->room : 16;
    char **p;

    if (l->n == l->room) {
        if (!(p = tp__grow(l->name, sizeof *p * (size_t)l->room, sizeof *p * (size_t)room)))
            return false;
        l->name = p, l->room = room;
    }
    if (!(l->name[l->n] = tp__alloc(n + 1))) return false;
    memcpy(l->name[l->n], name, n);
    l->name[l->n++][n] = 0;
    return true;
}

bool tp__names_lines(tp_names *l, const tp_bytes *b, int64_t most)
{
    for (const char *at = b->p, *end; at < b->p + b->n && l->n < most; at = end + 1) {
        const char *last;

        end = memchr(at, '\n', (size_t)(b->p + b->n - at));
        if (!end) end = b->p + b->n;
        for (last = end; last > at && strchr(" \t\r", last[-1]); last--) {
        }
        while (at < last && (*at == ' ' || *at == '\t'))
            at++;
        if (last > at && !tp__names_add(l, at, strnlen(at, (size_t)(last - at)))) return false;
    }
    return true;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void tp__names_sort(tp_names *l)
{
    if (l->n) qsort(l->name, (size_t)l->n, sizeof *l->name, by_bytes);
}

void tp__names_free(tp_names *l)
{
    for (int64_t i = 0; i < l->n; i++)
        tp__release(l->name[i], strlen(l->name[i]) + 1);
    tp__release(l->name, sizeof *l->name * (size_t)l->room);
    *l = (tp_names){ 0 };
}

/* ---- numbers ---- */

static const char *digits(const char *s)
{
    while (*s >= '0' && *s <= '9')
        s++;
    return s;
}

/* Where a decimal number that begins at s ends; s when none does.  strtod alone would take
 * hexadecimal ones and nan(...) too. */
static const char *end_of_number(const char *s)
{
    const char *from = s + (*s == '+' || *s == '-'), *at = digits(from), *exponent;

    if (!strncasecmp(from, "infinity", 8)) return from + 8;
    if (!strncasecmp(from, "inf", 3)) return from + 3;
    if (*at == '.') at = digits(at + 1);
    if (at == from || (at == from + 1 && *from == '.')) return s;
    if (*at != 'e' && *at != 'E') return at;
    exponent = at + 1 + (at[1] == '+' || at[1] == '-');
    return digits(exponent) > exponent ? digits(exponent) : at;
}

bool tp__number(const char *text, double *v)
{
    const char *end;

    while (*text == ' ' || *text == '\t')
        text++;
    if ((end = end_of_number(text)) == text) return false;
    while (*end == ' ' || *end == '\t')
        end++;
    if (*end) return false;
    *v = tp__strtod(text, NULL);
    return true;
}
