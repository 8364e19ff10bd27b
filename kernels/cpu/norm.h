/*
 * norm.h - sums over rows and over columns, as the norms take them.
 */
#ifndef TP_KERNELS_CPU_NORM_H
#define TP_KERNELS_CPU_NORM_H

#include "kernels/cpu/fold.h"

static inline int64_t tp__smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How many rows are summed at a time. */
static inline int64_t tp__norm_chunk(int64_t cols, int64_t least, int64_t most)
{
    int64_t rows = 32768 / (cols + 1);

    return rows < least ? least : rows > most ? most : rows;
}

/* ---- rows are summed, for each column ---- */

static inline void tp__sum_of_rows(int64_t n, const T *x, int64_t cols, int64_t rows,
                                   A *restrict sum)
{
    int64_t r = 0;

    for (int64_t k = 0; k < n; k++)
        sum[k] = 0;
    for (; r + 4 <= rows; r += 4, x += 4 * cols)
        for (int64_t k = 0; k < n; k++)
            sum[k] += (LOAD(x[k]) + LOAD(x[cols + k])) +
                      (LOAD(x[2 * cols + k]) + LOAD(x[3 * cols + k]));
    for (; r < rows; r++, x += cols)
        for (int64_t k = 0; k < n; k++)
            sum[k] += LOAD(x[k]);
}

static inline A tp__square(A v)
{
    return v * v;
}

static inline void tp__squares_of_rows(int64_t n, const T *x, int64_t cols, int64_t rows,
                                       const A *restrict mean, A *restrict sum)
{
    int64_t r = 0;

    for (int64_t k = 0; k < n; k++)
        sum[k] = 0;
    for (; r + 4 <= rows; r += 4, x += 4 * cols)
        for (int64_t k = 0; k < n; k++) {
            A m = mean[k];

            sum[k] +=
                (tp__square(LOAD(x[k]) - m) + tp__square(LOAD(x[cols + k]) - m)) +
                (tp__square(LOAD(x[2 * cols + k]) - m) + tp__square(LOAD(x[3 * cols + k]) - m));
        }
    for (; r < rows; r++, x += cols)
        for (int64_t k = 0; k < n; k++)
            sum[k] += tp__square(LOAD(x[k]) - mean[k]);
}

/* ---- a row is summed ---- */

/* Rows are summed in pieces, lanes side by side within a piece. */
static inline A tp__row_sum(int64_t n, const T *x)
{
    A total = 0;

    for (int64_t i = 0; i < n;) {
        int64_t end = tp__smaller(i + TP__PIECE, n);
        tp__lanes s = { 0 }, v;

        for (; i + TP__LANES <= end; i += TP__LANES)
            tp__load(&v, x + i), s += v;
        if (i < end) tp__load_some(&v, x + i, end - i), s += v;
        i = end, total += tp__lanes_sum(&s);
    }
    return total;
}

static inline A tp__row_squares(int64_t n, const T *x, A mean)
{
    A total = 0;

    for (int64_t i = 0; i < n;) {
        int64_t end = tp__smaller(i + TP__PIECE, n);
        tp__lanes s = { 0 }, v;

        for (; i + TP__LANES <= end; i += TP__LANES)
            tp__load(&v, x + i), v -= mean, s += v * v;
        if (i < end) {
            tp__load_some(&v, x + i, end - i), v -= mean;
            tp__keep_some(&v, end - i), s += v * v;
        }
        i = end, total += tp__lanes_sum(&s);
    }
    return total;
}

#endif
