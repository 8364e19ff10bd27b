/*
 * table.c - the fields of a table as text.
 */
#include "data/csv.h"
#include "tensor/internal.h"

#include <string.h>

struct tp_table {
    tp_csv c;
};

/* ---- is the first row one of names? ---- */

/* Are all fields of a column but the first numbers? */
static bool numbers_below(const tp_csv *c, int64_t col)
{
    double v;

    for (int64_t r = 1; r < c->rows; r++)
        if (!tp__number(tp__csv_at(c, r, col), &v)) return false;
    return c->rows > 1;
}

/* Are they categories, and the first is none of them? */
static bool categories_below(const tp_csv *c, int64_t col)
{
    const char *seen[MOST_WORDS] = { tp__csv_at(c, 0, col) };
    int64_t most = c->rows / 10 < MOST_WORDS ? c->rows / 10 : MOST_WORDS - 1, n = 1;

    for (int64_t r = 1, i; r < c->rows; r++) {
        for (i = 0; i < n && strcmp(seen[i], tp__csv_at(c, r, col)) != 0; i++)
            ;
        if (!i || i > most) return false;
        if (i == n) seen[n++] = tp__csv_at(c, r, col);
    }
    return n > 1;
}

static bool names_first(const tp_csv *c)
{
    bool found = false;
    double v;

    for (int64_t i = 0; i < c->cols; i++)
        if (tp__number(tp__csv_at(c, 0, i), &v)) return false;
    for (int64_t i = 0; i < c->cols && !found; i++)
        found = numbers_below(c, i) || categories_below(c, i);
    return found;
}

/* ---- the table ---- */

static bool is_text(const tp_csv *c)
{
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t i = 0; i < c->cols; i++)
            TP_REQUIRE_IN("tp_data_table", tp__is_utf8(tp__csv_at(c, r, i)), TP_ERR_FORMAT,
                          "%s: line %lld, column %lld is no UTF-8", c->path, (long long)c->line[r],
                          (long long)i);
    return true;
}

static bool read_table(tp_csv *c, const char *path, tp_csv_opts o)
{
    bool look = o.header == TP_HEADER_AUTO;

    if (look) o.header = TP_HEADER_NO;
    if (!tp__csv_parse(c, "tp_data_table", path, &o) || !is_text(c)) return false;
    if (look && names_first(c)) tp__csv_take_header(c);
    return true;
}

tp_table *tp_data_table(const char *path, tp_csv_opts o)
{
    tp_table *t = tp_ok() ? tp__alloc_zeroed(sizeof *t) : NULL;

    if (!t || read_table(&t->c, path, o)) return t;
    tp_data_table_free(t);
    return NULL;
}

int64_t tp_data_table_rows(const tp_table *t)
{
    return t ? t->c.rows : 0;
}

int64_t tp_data_table_columns(const tp_table *t)
{
    return t ? t->c.cols : 0;
}

const char *tp_data_table_at(const tp_table *t, int64_t row, int64_t column)
{
    if (!t || row < 0 || row >= t->c.rows || column < 0 || column >= t->c.cols)
        return NULL;
    return tp__csv_at(&t->c, row, column);
}

void tp_data_table_free(tp_table *t)
{
    if (!t) return;
    tp__csv_free(&t->c);
    tp__release(t, sizeof *t);
}
