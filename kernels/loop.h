/*
 * loop.h - an iteration space of up to 8 axes with a stride per operand, as a value.
 *
 * Axes of size 1 are gone, axes are ordered by the strides of the output, and neighbours
 * that every operand walks evenly are merged: operands of one dense layout, row-major or
 * channels-last, are one row.
 */
#ifndef TP_KERNELS_LOOP_H
#define TP_KERNELS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

enum { TP_MAX_RANK = 8, TP_LOOP_OPERANDS = 4 };

typedef struct tp_loop {
    int rank, operands;                            /* rank is at least 1 */
    int64_t n[TP_MAX_RANK];                        /* innermost last */
    int64_t stride[TP_LOOP_OPERANDS][TP_MAX_RANK]; /* in elements; operand 0 is the output */
} tp_loop;

/* The space of n[0..rank), operand k walking it with stride[k][0..rank).  Ordered: axes may
 * be swapped to follow the output; else they stay in logical order, for kernels to which
 * the logical index of an element matters. */
tp_loop tp_loop_make(int rank, const int64_t *n, int operands, const int64_t *const *stride,
                     bool ordered);
tp_loop tp_loop_flat(int64_t n, int operands); /* all operands dense */
int64_t tp_loop_count(const tp_loop *l);       /* elements */

/* Walks the rows of a loop:  for (tp_row r = tp_row_first(l); r.more; tp_row_next(l, &r))
 * at[k] is the offset of operand k at the row's first element, step[k] its inner stride.
 * tp_row_at starts at row `first`, counted from 0, and rows = count / n of the last axis. */
typedef struct tp_row {
    bool more;
    int64_t n, at[TP_LOOP_OPERANDS], step[TP_LOOP_OPERANDS], i[TP_MAX_RANK];
} tp_row;

tp_row tp_row_first(const tp_loop *l);
tp_row tp_row_at(const tp_loop *l, int64_t first);
void tp_row_next(const tp_loop *l, tp_row *r);

#endif
