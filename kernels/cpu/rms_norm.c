/*
 * rms_norm.c - Zhang & Sennrich 2019, "Root mean square layer normalization"; kernels.def has the
 * formula.
 *
 *   dx (+)= rstd g - x rstd^3 mean of g x       g = dy weight       dweight = sum over rows of dy x rstd
 *
 * Rows are cut into chunks by shape alone, and chunks of dweight added in order.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/norm.h"

#include <math.h>

typedef struct job {
    int64_t rows, cols, chunk, chunks;
    const T *x, *dy;
    T *y, *dx;
    const A *weight; /* ones in scratch where none is given */
    A *rstd, *dweight, *partial; /* partial: (chunks, cols) */
    double eps;
    bool add;
} job;

/* Scratch for `floats` and a weight of ones. */
static bool take_scratch(tp_ctx *c, job *j, int64_t floats)
{
    A *ones = tp_scratch(c, (size_t)(j->cols + floats) * sizeof(A) + 64);

    if (!ones) return false;
    j->partial = ones + j->cols;
    for (int64_t k = 0; k < j->cols; k++)
        ones[k] = 1;
    if (!j->weight) j->weight = ones;
    return true;
}

static void rows_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;
    const A *weight = j->weight;

    (void)worker;
    for (int64_t r = from; r < to; r++) {
        const T *x = j->x + r * j->cols;
        T *restrict y = j->y + r * j->cols;
        A rstd = (A)(1 / sqrt((double)(tp__row_squares(j->cols, x, 0) / (A)j->cols) + j->eps));

        j->rstd[r] = rstd;
        for (int64_t k = 0; k < j->cols; k++)
            y[k] = STORE(LOAD(x[k]) * rstd * weight[k]);
    }
}

int KERNEL(rms_norm)(tp_ctx *c, int64_t rows, int64_t cols, const void *x, const void *weight, double eps, void *rstd,
                     void *y)
{
    job j = { .rows = rows, .cols = cols, .x = x, .weight = weight, .eps = eps, .rstd = rstd, .y = y };

    if (!weight && !take_scratch(c, &j, 0)) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, rows, 1 + TP__MAP_CHEAP / (cols + 1), rows_body, &j);
    return 0;
}

/* ---- its gradient ---- */

/* sum of dy weight x */
static A row_slope(int64_t n, const T *dy, const T *x, const A *weight)
{
    A total = 0;

    for (int64_t i = 0; i < n;) {
        int64_t end = tp__smaller(i + TP__PIECE, n);
        tp__lanes s = { 0 }, g, v, w;

        for (; i + TP__LANES <= end; i += TP__LANES) {
            tp__load(&g, dy + i), tp__load(&v, x + i), memcpy(&w, weight + i, sizeof w);
            s += g * w * v;
        }
        for (; i < end; i++)
            total += LOAD(dy[i]) * weight[i] * LOAD(x[i]);
        total += tp__lanes_sum(&s);
    }
    return total;
}

static void dx_row(const job *j, int64_t r)
{
    const T *x = j->x + r * j->cols, *dy = j->dy + r * j->cols;
    T *restrict dx = j->dx + r * j->cols;
    const A *weight = j->weight;
    A rstd = j->rstd[r], slope = row_slope(j->cols, dy, x, weight) / (A)j->cols * rstd * rstd * rstd;

    if (j->add)
        for (int64_t k = 0; k < j->cols; k++)
            dx[k] = STORE(LOAD(dx[k]) + (rstd * (LOAD(dy[k]) * weight[k]) - LOAD(x[k]) * slope));
    else
        for (int64_t k = 0; k < j->cols; k++)
            dx[k] = STORE(rstd * (LOAD(dy[k]) * weight[k]) - LOAD(x[k]) * slope);
}

static void dx_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        A *restrict sum = j->partial + i * j->cols;
        int64_t end = tp__smaller((i + 1) * j->chunk, j->rows);

        if (j->dweight) memset(sum, 0, (size_t)j->cols * sizeof(A));
        for (int64_t r = i * j->chunk; r < end; r++) {
            const T *x = j->x + r * j->cols, *dy = j->dy + r * j->cols;
            A rstd = j->rstd[r];

            if (j->dweight)
                for (int64_t k = 0; k < j->cols; k++)
                    sum[k] += LOAD(dy[k]) * (LOAD(x[k]) * rstd);
            if (j->dx) dx_row(j, r);
        }
    }
}

static void merge_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t k = from; k < to; k++) {
        double sum = 0;

        for (int64_t i = 0; i < j->chunks; i++)
            sum += (double)j->partial[i * j->cols + k];
        j->dweight[k] = (A)sum;
    }
}

int KERNEL(rms_norm_dx)(tp_ctx *c, int64_t rows, int64_t cols, const void *dy, const void *x, const void *rstd,
                        const void *weight, bool add, void *dx, void *dweight)
{
    job j = { .rows = rows, .cols = cols, .x = x, .dy = dy, .weight = weight, .dx = dx, .dweight = dweight, .add = add };

    j.rstd = (A *)(uintptr_t)rstd; /* read only here */
    j.chunk = tp__norm_chunk(cols, 16, 128), j.chunks = (rows + j.chunk - 1) / j.chunk;
    if (!take_scratch(c, &j, j.chunks * cols)) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, j.chunks, 1 + TP__MAP_CHEAP / (j.chunk * cols + 1), dx_body, &j);
    if (dweight) tp__parallel(c, cols, 16 + TP__MAP_CHEAP / (j.chunks + 1), merge_body, &j);
    return 0;
}
