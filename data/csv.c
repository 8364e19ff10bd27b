/*
 * csv.c - cuts a table into fields, in place: RFC 4180, with quoted fields, doubled quotes and
 * line ends inside them; lines end with LF, CRLF or CR; empty lines are passed over.
 */
#include "data/csv.h"

#include "tensor/internal.h"

#include <stdio.h>
#include <string.h>

typedef struct cutter {
    tp_csv *c;
    char *r, *w, *end; /* read, written (never behind r), the end */
    int64_t line;      /* of r, from 1 */
    char delimiter;
    bool quotes;
} cutter;

static bool refuse_line(const cutter *k, int64_t line, const char *why)
{
    tp__fail(TP_ERR_FORMAT, k->c->where, "%s: line %lld %s", k->c->path, (long long)line, why);
    return false;
}

/* ---- growing ---- */

static bool add_field(tp_csv *c, char *at)
{
    int64_t room = c->field_room ? 2 * c->field_room : 256;
    char **p;

    if (c->fields == c->field_room) {
        p = tp__grow(c->field, sizeof *p * (size_t)c->field_room, sizeof *p * (size_t)room);
        if (!p) return false;
        c->field = p, c->field_room = room;
    }
    c->field[c->fields++] = at;
    return true;
}

static bool add_row(tp_csv *c, int64_t line)
{
    int64_t room = c->row_room ? 2 * c->row_room : 64, *p;

    if (c->rows == c->row_room) {
        p = tp__grow(c->line, sizeof *p * (size_t)c->row_room, sizeof *p * (size_t)room);
        if (!p) return false;
        c->line = p, c->row_room = room;
    }
    c->line[c->rows++] = line;
    return true;
}

/* ---- one field ---- */

static bool at_line_end(const cutter *k)
{
    return k->r == k->end || *k->r == '\n' || *k->r == '\r';
}

static void pass_line_end(cutter *k)
{
    if (k->r == k->end) return;
    if (*k->r == '\r' && k->r + 1 < k->end && k->r[1] == '\n') k->r++;
    k->r++, k->line++;
}

static bool take_quoted(cutter *k)
{
    int64_t begun = k->line;

    for (k->r++;; *k->w++ = *k->r++) {
        if (k->r == k->end) return refuse_line(k, begun, "begins a quoted field that never ends");
        if (*k->r == '\n' || (*k->r == '\r' && (k->r + 1 == k->end || k->r[1] != '\n'))) k->line++;
        if (*k->r != '"') continue;
        if (k->r + 1 == k->end || k->r[1] != '"') break;
        k->r++;
    }
    k->r++;
    return at_line_end(k) || *k->r == k->delimiter ||
           refuse_line(k, k->line, "has text behind a quoted field");
}

static void take_plain(cutter *k)
{
    while (!at_line_end(k) && *k->r != k->delimiter)
        *k->w++ = *k->r++;
}

/* One field and what ends it, which the final 0 may overwrite: `more` tells what it was. */
static bool take_field(cutter *k, bool *more)
{
    char *from = k->w = k->r;

    if (k->quotes && k->r < k->end && *k->r == '"') {
        if (!take_quoted(k)) return false;
    } else {
        take_plain(k);
    }
    *more = k->r < k->end && *k->r == k->delimiter;
    if (*more)
        k->r++;
    else
        pass_line_end(k);
    *k->w = 0;
    return add_field(k->c, from);
}

/* ---- rows ---- */

static bool take_row(cutter *k)
{
    tp_csv *c = k->c;
    int64_t before = c->fields, line = k->line;
    bool more = true;

    while (more)
        if (!take_field(k, &more)) return false;
    if (!c->rows) c->cols = c->fields;
    TP_REQUIRE_IN(c->where, c->fields - before == c->cols, TP_ERR_FORMAT,
                  "%s: line %lld has %lld fields: %lld are wanted", c->path, (long long)line,
                  (long long)(c->fields - before), (long long)c->cols);
    return add_row(c, line);
}

static bool take_rows(cutter *k, int64_t skip)
{
    if (k->end - k->r >= 3 && !memcmp(k->r, "\xEF\xBB\xBF", 3)) k->r += 3; /* a byte order mark */
    for (; skip > 0 && k->r < k->end; skip--) {
        while (!at_line_end(k))
            k->r++;
        pass_line_end(k);
    }
    while (k->r < k->end) {
        if (at_line_end(k))
            pass_line_end(k);
        else if (!take_row(k))
            return false;
    }
    TP_REQUIRE_IN(k->c->where, k->c->rows, TP_ERR_FORMAT, "%s: there are no rows in it",
                  k->c->path);
    return true;
}

void tp__csv_take_header(tp_csv *c)
{
    c->header = c->field, c->field += c->cols, c->fields -= c->cols;
    c->rows--;
    memmove(c->line, c->line + 1, sizeof *c->line * (size_t)c->rows);
}

static bool numbers_first(const tp_csv *c)
{
    double v;

    for (int64_t i = 0; i < c->cols; i++)
        if (tp__number(c->field[i], &v)) return true;
    return false;
}

static bool opts_ok(const char *where, const tp_csv_opts *o)
{
    TP_REQUIRE_IN(where, (unsigned)o->header <= TP_HEADER_NO, TP_ERR_ARG,
                  "header %d: a tp_header is wanted", o->header);
    TP_REQUIRE_IN(where, o->skip >= 0, TP_ERR_ARG, "skip %lld: 0 or more lines are wanted",
                  (long long)o->skip);
    TP_REQUIRE_IN(where, !strchr("\n\r\"", o->delimiter) || !o->delimiter, TP_ERR_ARG,
                  "a delimiter that ends lines or quotes");
    return true;
}

bool tp__csv_parse(tp_csv *c, const char *where, const char *path, const tp_csv_opts *o)
{
    cutter k = {
        .c = c, .line = 1, .delimiter = o->delimiter ? o->delimiter : ',', .quotes = !o->no_quotes
    };

    *c = (tp_csv){ .where = where, .path = path };
    if (!opts_ok(where, o) || !tp__input(where, path, &c->text)) return false;
    k.r = c->text.p, k.end = c->text.p + c->text.n;
    TP_REQUIRE_IN(where, strlen(c->text.p) == c->text.n, TP_ERR_FORMAT,
                  "%s: byte %zu is 0: this is no text", path, strlen(c->text.p));
    if (!take_rows(&k, o->skip)) return false;
    if (o->header == TP_HEADER_YES || (o->header == TP_HEADER_AUTO && !numbers_first(c)))
        tp__csv_take_header(c);
    TP_REQUIRE_IN(where, c->rows, TP_ERR_FORMAT, "%s: there are no rows below its header",
                  path);
    return true;
}

void tp__csv_free(tp_csv *c)
{
    char **all = c->header ? c->header : c->field;

    tp__release(all, sizeof *all * (size_t)c->field_room);
    tp__release(c->line, sizeof *c->line * (size_t)c->row_room);
    tp__bytes_free(&c->text);
}

const char *tp__csv_column_text(const tp_csv *c, int64_t col)
{
    char *text = tp__text_room();

    if (c->header)
        snprintf(text, TP_TEXT, "column %lld (%.80s)", (long long)col, c->header[col]);
    else
        snprintf(text, TP_TEXT, "column %lld", (long long)col);
    return text;
}
