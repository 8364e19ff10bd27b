/*
 * csv.h - a parsed table, for csv.c and csv_columns.c alone.
 */
#ifndef TP_DATA_CSV_H
#define TP_DATA_CSV_H

#include "data/datasets.h"
#include "data/input.h"

enum { MOST_MIXED = 20 }; /* numbers of a column that may have text too, and be categories */
enum { MOST_WORDS = 1000 }; /* different texts in a column: more are no categories */

typedef struct tp_csv {
    const char *where, *path; /* the call that reads it, for errors */
    tp_bytes text;
    char **field; /* rows * cols, each ended by 0, in text */
    int64_t *line; /* where each row begins in the file, from 1 */
    int64_t fields, field_room, rows, row_room, cols;
    char **header; /* cols names; NULL: none.  They are the first row, and rows doesn't count it */
} tp_csv;

/* Reads and cuts the file into fields; false and an error when it is no table, or o's header, skip or
 * delimiter is none. */
bool tp__csv_parse(tp_csv *c, const char *where, const char *path, const tp_csv_opts *o);
/* The first row becomes the header. */
void tp__csv_take_header(tp_csv *c);
void tp__csv_free(tp_csv *c);
static inline char *tp__csv_at(const tp_csv *c, int64_t row, int64_t col)
{
    return c->field[row * c->cols + col];
}
/* "column 3 (age)", in one of a few rotating buffers. */
const char *tp__csv_column_text(const tp_csv *c, int64_t col);

#endif
