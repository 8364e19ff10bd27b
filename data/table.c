/*
 * table.c - the fields of a table as text.
 */
#include "data/csv.h"
#include "tensor/internal.h"

struct tp_table {
    tp_csv c;
};

tp_table *tp_data_table(const char *path, tp_csv_opts o)
{
    tp_table *t = tp_ok() ? tp__alloc_zeroed(sizeof *t) : NULL;

    if (!t || tp__csv_parse(&t->c, path, &o)) return t;
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
