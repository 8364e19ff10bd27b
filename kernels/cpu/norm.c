/*
 * norm.c - batch and layer normalization, forward and backward; kernels.def has the formulas.
 *
 * Ioffe & Szegedy 2015; Ba, Kiros & Hinton 2016.  A variance is the mean of squares about
 * the mean, never a difference of large numbers: two passes over what fits a cache, and
 * chunks of rows merged by the rule of Chan, Golub & LeVeque 1983.  Sums over rows are cut
 * into chunks by shape alone and added in order, so threads change no bit.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/norm.h"

#include <math.h>

enum { COLUMNS = 256 };

typedef struct norm_job {
    int64_t rows, cols, chunk, chunks, blocks;
    const T *x, *dy;
    T *y, *dx;
    const A *weight, *bias; /* ones and zeros where none are given */
    A *mean, *rstd, *dweight, *dbias, *running_mean, *running_var;
    A *partial; /* (chunks, 2, cols) */
    A *scale, *shift;
    double eps, momentum;
    bool add;
} norm_job;

/* The arrays of a job that live in scratch: partial, scale, shift. */
static bool take_scratch(tp_ctx *c, norm_job *j)
{
    size_t floats = (size_t)(2 * j->chunks * j->cols + 2 * j->cols) * sizeof(A);

    j->partial = tp_scratch(c, floats + 64);
    if (!j->partial) return false;
    j->scale = j->partial + 2 * j->chunks * j->cols, j->shift = j->scale + j->cols;
    return true;
}

/* ---- batch: over rows, by blocks of columns ---- */

/* Items are (chunk, block of columns) in all bodies of the batch kernels. */
typedef struct part {
    int64_t first, rows, col, n, at; /* at: of the first element */
    A *low, *high;                   /* its two rows of partial */
} part;

static part part_of(const norm_job *j, int64_t i)
{
    int64_t chunk = i / j->blocks, col = i % j->blocks * COLUMNS,
            first = chunk * j->chunk;
    A *low = j->partial + 2 * chunk * j->cols + col;

    return (part){ first,
                   tp__smaller(j->rows - first, j->chunk),
                   col,
                   tp__smaller(j->cols - col, COLUMNS),
                   first * j->cols + col,
                   low,
                   low + j->cols };
}

/* Mean and sum of centred squares of each chunk. */
static void moments_body(void *user, int worker, int64_t from, int64_t to)
{
    const norm_job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        part p = part_of(j, i);

        tp__sum_of_rows(p.n, j->x + p.at, j->cols, p.rows, p.low);
        for (int64_t k = 0; k < p.n; k++)
            p.low[k] /= (A)p.rows;
        tp__squares_of_rows(p.n, j->x + p.at, j->cols, p.rows, p.low, p.high);
    }
}

/* Merges the chunks of column k: the sum of squares about the mean of all is what each chunk
 * has about its own, and n (its mean - the mean)^2. */
static void merge_column(const norm_job *j, int64_t k)
{
    double n = (double)j->rows, mean = 0, squares = 0;

    for (int64_t i = 0; i < j->chunks; i++) {
        double rows = (double)tp__smaller(j->rows - i * j->chunk, j->chunk);

        mean += rows * (double)j->partial[2 * i * j->cols + k];
    }
    mean /= n;
    for (int64_t i = 0; i < j->chunks; i++) {
        double rows = (double)tp__smaller(j->rows - i * j->chunk, j->chunk);
        double off = (double)j->partial[2 * i * j->cols + k] - mean;

        squares += (double)j->partial[(2 * i + 1) * j->cols + k] + rows * off * off;
    }
    j->mean[k] = (A)mean, j->rstd[k] = (A)(1 / sqrt(squares / n + j->eps));
    if (j->running_mean)
        j->running_mean[k] += (A)(j->momentum * (mean - (double)j->running_mean[k]));
    if (j->running_var) {
        double unbiased = squares / (n > 1 ? n - 1 : 1);

        j->running_var[k] += (A)(j->momentum * (unbiased - (double)j->running_var[k]));
    }
    j->scale[k] = j->rstd[k] * (j->weight ? j->weight[k] : 1);
    j->shift[k] = j->bias ? j->bias[k] : 0;
}

static void merge_body(void *user, int worker, int64_t from, int64_t to)
{
    (void)worker;
    for (int64_t k = from; k < to; k++)
        merge_column(user, k);
}

static void normalize_body(void *user, int worker, int64_t from, int64_t to)
{
    const norm_job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        part p = part_of(j, i);
        const A *mean = j->mean + p.col, *scale = j->scale + p.col;
        const A *shift = j->shift + p.col;

        for (int64_t r = 0; r < p.rows; r++) {
            const T *x = j->x + p.at + r * j->cols;
            T *restrict y = j->y + p.at + r * j->cols;

            for (int64_t k = 0; k < p.n; k++)
                y[k] = STORE((LOAD(x[k]) - mean[k]) * scale[k] + shift[k]);
        }
    }
}

static void set_parts(norm_job *j)
{
    j->chunk = tp__norm_chunk(tp__smaller(j->cols, COLUMNS), 64, 512);
    j->chunks = (j->rows + j->chunk - 1) / j->chunk;
    j->blocks = (j->cols + COLUMNS - 1) / COLUMNS;
}

static int64_t grain_of(const norm_job *j)
{
    return 1 + (TP__MAP_CHEAP - 1) / (1 + tp__smaller(j->cols, COLUMNS) * j->chunk);
}

int KERNEL(batch_norm)(tp_ctx *c, int64_t rows, int64_t cols, const void *x,
                       const void *weight, const void *bias, double eps, double momentum,
                       void *running_mean, void *running_var, void *mean, void *rstd,
                       void *y)
{
    norm_job j = { .rows = rows, .cols = cols, .x = x, .y = y, .eps = eps };

    j.weight = weight, j.bias = bias, j.momentum = momentum, j.mean = mean, j.rstd = rstd;
    j.running_mean = running_mean, j.running_var = running_var;
    set_parts(&j);
    if (!take_scratch(c, &j)) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, j.chunks * j.blocks, grain_of(&j), moments_body, &j);
    tp__parallel(c, cols, 1 + TP__MAP_DEAR / (j.chunks + 1), merge_body, &j);
    tp__parallel(c, j.chunks * j.blocks, grain_of(&j), normalize_body, &j);
    return 0;
}

/* ---- its gradient ---- */

/* low = sum of dy, high = sum of dy (x - mean), over a chunk */
static void slopes_body(void *user, int worker, int64_t from, int64_t to)
{
    const norm_job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        part p = part_of(j, i);
        const A *mean = j->mean + p.col;
        A *restrict low = p.low, *restrict high = p.high;

        for (int64_t k = 0; k < p.n; k++)
            low[k] = high[k] = 0;
        for (int64_t r = 0; r < p.rows; r++) {
            const T *x = j->x + p.at + r * j->cols, *dy = j->dy + p.at + r * j->cols;

            for (int64_t k = 0; k < p.n; k++) {
                A g = LOAD(dy[k]);

                low[k] += g, high[k] += g * (LOAD(x[k]) - mean[k]);
            }
        }
    }
}

/* Leaves in low and high of the first chunk what dx takes: mean dy, and the slope along
 * x - mean. */
static void merge_slopes(void *user, int worker, int64_t from, int64_t to)
{
    const norm_job *j = user;

    (void)worker;
    for (int64_t k = from; k < to; k++) {
        double low = 0, high = 0, rstd = (double)j->rstd[k];

        for (int64_t i = 0; i < j->chunks; i++) {
            low += (double)j->partial[2 * i * j->cols + k];
            high += (double)j->partial[(2 * i + 1) * j->cols + k];
        }
        if (j->dbias) j->dbias[k] = (A)low;
        if (j->dweight) j->dweight[k] = (A)(high * rstd);
        j->scale[k] = j->rstd[k] * (j->weight ? j->weight[k] : 1);
        if (j->chunks == 0) continue;
        j->partial[k] = (A)(low / (double)j->rows);
        j->partial[j->cols + k] = (A)(high * rstd * rstd / (double)j->rows);
    }
}

/* dx (+)= scale (dy - mean dy - (x - mean) slope) */
static void batch_dx_body(void *user, int worker, int64_t from, int64_t to)
{
    const norm_job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        part p = part_of(j, i);
        const A *mean = j->mean + p.col, *scale = j->scale + p.col;
        const A *level = j->partial + p.col, *slope = level + j->cols;

        for (int64_t r = 0; r < p.rows; r++) {
            const T *x = j->x + p.at + r * j->cols, *dy = j->dy + p.at + r * j->cols;
            T *restrict dx = j->dx + p.at + r * j->cols;

            if (j->add)
                for (int64_t k = 0; k < p.n; k++)
                    dx[k] = STORE(LOAD(dx[k]) +
                                  scale[k] * (LOAD(dy[k]) - level[k] -
                                              (LOAD(x[k]) - mean[k]) * slope[k]));
            else
                for (int64_t k = 0; k < p.n; k++)
                    dx[k] = STORE(scale[k] * (LOAD(dy[k]) - level[k] -
                                              (LOAD(x[k]) - mean[k]) * slope[k]));
        }
    }
}

int KERNEL(batch_norm_dx)(tp_ctx *c, int64_t rows, int64_t cols, const void *dy,
                          const void *x, const void *mean, const void *rstd,
                          const void *weight, bool add, void *dx, void *dweight,
                          void *dbias)
{
    norm_job j = { .rows = rows, .cols = cols, .x = x, .dy = dy, .dx = dx, .add = add };

    j.weight = weight, j.dweight = dweight, j.dbias = dbias;
    j.mean = (A *)(uintptr_t)mean, j.rstd = (A *)(uintptr_t)rstd; /* read only here */
    set_parts(&j);
    if (!take_scratch(c, &j)) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, j.chunks * j.blocks, grain_of(&j), slopes_body, &j);
    tp__parallel(c, cols, 1 + TP__MAP_DEAR / (j.chunks + 1), merge_slopes, &j);
    if (dx) tp__parallel(c, j.chunks * j.blocks, grain_of(&j), batch_dx_body, &j);
    return 0;
}

/* ---- layer: over columns, for each row ---- */

static void layer_body(void *user, int worker, int64_t from, int64_t to)
{
    const norm_job *j = user;
    const A *weight = j->weight, *bias = j->bias;

    (void)worker;
    for (int64_t r = from; r < to; r++) {
        const T *x = j->x + r * j->cols;
        T *restrict y = j->y + r * j->cols;
        A mean = tp__row_sum(j->cols, x) / (A)j->cols;
        A var = tp__row_squares(j->cols, x, mean) / (A)j->cols;
        A rstd = (A)(1 / sqrt((double)var + j->eps));

        j->mean[r] = mean, j->rstd[r] = rstd;
        for (int64_t k = 0; k < j->cols; k++)
            y[k] = STORE((LOAD(x[k]) - mean) * rstd * weight[k] + bias[k]);
    }
}

/* Where weight or bias isn't given, ones and zeros in scratch stand for it. */
static void set_defaults(norm_job *j)
{
    for (int64_t k = 0; k < j->cols; k++)
        j->scale[k] = 1, j->shift[k] = 0;
    if (!j->weight) j->weight = j->scale;
    if (!j->bias) j->bias = j->shift;
}

int KERNEL(layer_norm)(tp_ctx *c, int64_t rows, int64_t cols, const void *x,
                       const void *weight, const void *bias, double eps, void *mean,
                       void *rstd, void *y)
{
    norm_job j = { .rows = rows, .cols = cols, .x = x, .y = y, .eps = eps };

    j.weight = weight, j.bias = bias, j.mean = mean, j.rstd = rstd;
    if (!weight || !bias) {
        if (!take_scratch(c, &j)) return TP_KERNEL_NO_MEMORY;
        set_defaults(&j);
    }
    tp__parallel(c, rows, 1 + TP__MAP_CHEAP / (cols + 1), layer_body, &j);
    return 0;
}

/* ---- its gradient ---- */

/* low = sum of g, high = sum of g (x - mean), where g = dy weight */
static void row_slopes(int64_t n, const T *dy, const T *x, const A *weight, A mean,
                       A *low, A *high)
{
    *low = *high = 0;
    for (int64_t i = 0; i < n;) {
        int64_t end = tp__smaller(i + TP__PIECE, n);
        tp__lanes s = { 0 }, t = { 0 }, g, v, w;

        for (; i + TP__LANES <= end; i += TP__LANES) {
            tp__load(&g, dy + i), tp__load(&v, x + i), memcpy(&w, weight + i, sizeof w);
            g *= w, s += g, t += g * (v - mean);
        }
        for (; i < end; i++) {
            A slope = LOAD(dy[i]) * weight[i];

            *low += slope, *high += slope * (LOAD(x[i]) - mean);
        }
        *low += tp__lanes_sum(&s), *high += tp__lanes_sum(&t);
    }
}

/* With g = dy weight:  dx (+)= rstd (g - mean of g - (x - mean) rstd^2 mean of g (x - mean)) */
static void layer_dx_row(const norm_job *j, int64_t r)
{
    const T *x = j->x + r * j->cols, *dy = j->dy + r * j->cols;
    T *restrict dx = j->dx + r * j->cols;
    const A *weight = j->weight;
    A mean = j->mean[r], rstd = j->rstd[r];
    A level, slope;

    row_slopes(j->cols, dy, x, weight, mean, &level, &slope);
    level /= (A)j->cols, slope *= rstd * rstd / (A)j->cols;
    if (j->add)
        for (int64_t k = 0; k < j->cols; k++)
            dx[k] = STORE(LOAD(dx[k]) + rstd * (LOAD(dy[k]) * weight[k] - level -
                                                (LOAD(x[k]) - mean) * slope));
    else
        for (int64_t k = 0; k < j->cols; k++)
            dx[k] = STORE(
                rstd * (LOAD(dy[k]) * weight[k] - level - (LOAD(x[k]) - mean) * slope));
}

/* low += dy (x - mean) rstd and high += dy */
static void layer_slopes(const norm_job *j, int64_t r, A *restrict low, A *restrict high)
{
    const T *x = j->x + r * j->cols, *dy = j->dy + r * j->cols;
    A mean = j->mean[r], rstd = j->rstd[r];

    for (int64_t k = 0; k < j->cols; k++) {
        A g = LOAD(dy[k]);

        low[k] += g * ((LOAD(x[k]) - mean) * rstd), high[k] += g;
    }
}

/* Items are chunks of rows. */
static void layer_dx_body(void *user, int worker, int64_t from, int64_t to)
{
    const norm_job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        A *low = j->partial + 2 * i * j->cols, *high = low + j->cols;
        int64_t end = tp__smaller((i + 1) * j->chunk, j->rows);

        memset(low, 0, (size_t)(2 * j->cols) * sizeof(A));
        for (int64_t r = i * j->chunk; r < end; r++) {
            if (j->dweight || j->dbias) layer_slopes(j, r, low, high);
            if (j->dx) layer_dx_row(j, r);
        }
    }
}

static void layer_merge(void *user, int worker, int64_t from, int64_t to)
{
    const norm_job *j = user;

    (void)worker;
    for (int64_t s = 1; s < j->chunks; s *= 2)
        for (int64_t i = 0; i + s < j->chunks; i += 2 * s) {
            A *restrict low = j->partial + 2 * i * j->cols;
            const A *other = low + 2 * s * j->cols;

            for (int64_t k = from; k < to; k++)
                low[k] += other[k];
            for (int64_t k = j->cols + from; k < j->cols + to; k++)
                low[k] += other[k];
        }
    for (int64_t k = from; k < to; k++) {
        if (j->dweight) j->dweight[k] = j->chunks ? j->partial[k] : 0;
        if (j->dbias) j->dbias[k] = j->chunks ? j->partial[j->cols + k] : 0;
    }
}

int KERNEL(layer_norm_dx)(tp_ctx *c, int64_t rows, int64_t cols, const void *dy,
                          const void *x, const void *mean, const void *rstd,
                          const void *weight, bool add, void *dx, void *dweight,
                          void *dbias)
{
    norm_job j = { .rows = rows, .cols = cols, .x = x, .dy = dy, .dx = dx, .add = add };

    j.weight = weight, j.dweight = dweight, j.dbias = dbias;
    j.mean = (A *)(uintptr_t)mean, j.rstd = (A *)(uintptr_t)rstd; /* read only here */
    j.chunk = tp__norm_chunk(cols, 16, 128), j.chunks = (rows + j.chunk - 1) / j.chunk;
    if (!take_scratch(c, &j)) return TP_KERNEL_NO_MEMORY;
    set_defaults(&j);
    tp__parallel(c, j.chunks, 1 + TP__MAP_CHEAP / (j.chunk * cols + 1), layer_dx_body,
                 &j);
    if (dweight || dbias)
        tp__parallel(c, cols, 16 + TP__MAP_CHEAP / (j.chunks + 1), layer_merge, &j);
    return 0;
}
