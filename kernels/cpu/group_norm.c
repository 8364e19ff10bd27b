/*
 * group_norm.c - Wu & He 2018, "Group normalization", over channels-last maps; kernels.def has the
 * formulas.
 *
 * Each sample's rows are cut into chunks by shape alone.  Columns of a chunk are summed first, then
 * merged for each group by the rule of Chan, Golub & LeVeque 1983, in order and in double, so threads
 * change no bit.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/norm.h"

#include <math.h>

enum { COLUMNS = 256 };

typedef struct job {
    int64_t N, rows, cols, groups, each; /* each: columns of a group */
    int64_t chunk, chunks, blocks;       /* of a sample: rows in a chunk, chunks, blocks of columns */
    const T *x, *dy;
    T *y, *dx;
    const A *weight, *bias;
    A *mean, *rstd, *dweight, *dbias;
    A *partial; /* (N, chunks, 2, cols) */
    A *scale, *centre, *level, *slope; /* (N, cols): what a column is mapped by */
    double eps;
    bool add;
} job;

static bool plan(tp_ctx *c, job *j)
{
    int64_t w = tp__smaller(j->cols, COLUMNS), plane = j->N * j->cols;

    j->each = j->cols / j->groups;
    j->chunk = tp__norm_chunk(w, 64, 512);
    j->chunks = (j->rows + j->chunk - 1) / j->chunk, j->blocks = (j->cols + COLUMNS - 1) / COLUMNS;
    j->partial = tp_scratch(c, (size_t)(plane * (2 * j->chunks + 4)) * sizeof(A) + 64);
    if (!j->partial) return false;
    j->scale = j->partial + 2 * j->chunks * plane, j->centre = j->scale + plane;
    j->level = j->centre + plane, j->slope = j->level + plane;
    return true;
}

/* A block of columns of a chunk of a sample. */
typedef struct part {
    int64_t n, rows, col, w, at; /* at: of the first element */
    A *low, *high;               /* its two rows of partial */
} part;

static part part_of(const job *j, int64_t i)
{
    int64_t piece = i / j->blocks, n = piece / j->chunks, first = piece % j->chunks * j->chunk;
    int64_t col = i % j->blocks * COLUMNS;
    A *low = j->partial + 2 * piece * j->cols + col;

    return (part){ n, tp__smaller(j->rows - first, j->chunk), col, tp__smaller(j->cols - col, COLUMNS),
                   (n * j->rows + first) * j->cols + col, low, low + j->cols };
}

static void over_parts(tp_ctx *c, job *j, tp_body *body)
{
    int64_t each = tp__smaller(j->cols, COLUMNS) * tp__smaller(j->rows, j->chunk);

    tp__parallel(c, j->N * j->chunks * j->blocks, 1 + TP__MAP_CHEAP / (1 + each), body, j);
}

static void over_groups(tp_ctx *c, job *j, tp_body *body)
{
    tp__parallel(c, j->N * j->groups, 1 + TP__MAP_DEAR / (1 + j->each * j->chunks), body, j);
}

/* Rows of partial for chunk i of sample n. */
static const A *lows(const job *j, int64_t n, int64_t i)
{
    return j->partial + 2 * (n * j->chunks + i) * j->cols;
}

/* ---- forward ---- */

/* low = mean, high = sum of centred squares, of each column of a chunk */
static void moments_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        part p = part_of(j, i);

        tp__sum_of_rows(p.w, j->x + p.at, j->cols, p.rows, p.low);
        for (int64_t k = 0; k < p.w; k++)
            p.low[k] /= (A)p.rows;
        tp__squares_of_rows(p.w, j->x + p.at, j->cols, p.rows, p.low, p.high);
    }
}

static void merge_group(const job *j, int64_t n, int64_t g)
{
    double count = (double)(j->rows * j->each), mean = 0, squares = 0, rstd;

    for (int64_t i = 0; i < j->chunks; i++) {
        double rows = (double)tp__smaller(j->rows - i * j->chunk, j->chunk), sum = 0;

        for (int64_t k = g * j->each; k < (g + 1) * j->each; k++)
            sum += (double)lows(j, n, i)[k];
        mean += rows * sum;
    }
    mean /= count;
    for (int64_t i = 0; i < j->chunks; i++) {
        double rows = (double)tp__smaller(j->rows - i * j->chunk, j->chunk);

        for (int64_t k = g * j->each; k < (g + 1) * j->each; k++) {
            double off = (double)lows(j, n, i)[k] - mean;

            squares += (double)lows(j, n, i)[j->cols + k] + rows * off * off;
        }
    }
    rstd = 1 / sqrt(squares / count + j->eps);
    j->mean[n * j->groups + g] = (A)mean, j->rstd[n * j->groups + g] = (A)rstd;
    for (int64_t k = g * j->each; k < (g + 1) * j->each; k++) {
        j->scale[n * j->cols + k] = (A)rstd * (j->weight ? j->weight[k] : 1);
        j->centre[n * j->cols + k] = (A)mean, j->level[n * j->cols + k] = j->bias ? j->bias[k] : 0;
    }
}

static void merge_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++)
        merge_group(j, i / j->groups, i % j->groups);
}

static void normalize_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        part p = part_of(j, i);
        const A *scale = j->scale + p.n * j->cols + p.col, *centre = j->centre + p.n * j->cols + p.col;
        const A *level = j->level + p.n * j->cols + p.col;

        for (int64_t r = 0; r < p.rows; r++) {
            const T *x = j->x + p.at + r * j->cols;
            T *restrict y = j->y + p.at + r * j->cols;

            for (int64_t k = 0; k < p.w; k++)
                y[k] = STORE((LOAD(x[k]) - centre[k]) * scale[k] + level[k]);
        }
    }
}

int KERNEL(group_norm)(tp_ctx *c, int64_t N, int64_t rows, int64_t cols, int64_t groups, const void *x,
                       const void *weight, const void *bias, double eps, void *mean, void *rstd, void *y)
{
    job j = { .N = N, .rows = rows, .cols = cols, .groups = groups, .x = x, .y = y, .eps = eps };

    j.weight = weight, j.bias = bias, j.mean = mean, j.rstd = rstd;
    if (!plan(c, &j)) return TP_KERNEL_NO_MEMORY;
    over_parts(c, &j, moments_body), over_groups(c, &j, merge_body), over_parts(c, &j, normalize_body);
    return 0;
}

/* ---- its gradient ---- */

/* low = sum of dy, high = sum of dy (x - mean), of each column of a chunk */
static void slopes_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        part p = part_of(j, i);
        A *restrict low = p.low, *restrict high = p.high, mean[COLUMNS];

        for (int64_t k = 0; k < p.w; k++)
            low[k] = high[k] = 0, mean[k] = j->mean[p.n * j->groups + (p.col + k) / j->each];
        for (int64_t r = 0; r < p.rows; r++) {
            const T *x = j->x + p.at + r * j->cols, *dy = j->dy + p.at + r * j->cols;

            for (int64_t k = 0; k < p.w; k++) {
                A g = LOAD(dy[k]);

                low[k] += g, high[k] += g * (LOAD(x[k]) - mean[k]);
            }
        }
    }
}

/* With g = dy weight:  dx = rstd (g - mean of g - (x - mean) rstd^2 mean of g (x - mean)) */
static void merge_slopes(const job *j, int64_t n, int64_t g)
{
    double count = (double)(j->rows * j->each), level = 0, slope = 0, rstd = (double)j->rstd[n * j->groups + g];

    for (int64_t i = 0; i < j->chunks; i++)
        for (int64_t k = g * j->each; k < (g + 1) * j->each; k++) {
            double w = j->weight ? (double)j->weight[k] : 1;

            level += w * (double)lows(j, n, i)[k], slope += w * (double)lows(j, n, i)[j->cols + k];
        }
    for (int64_t k = g * j->each; k < (g + 1) * j->each; k++) {
        int64_t at = n * j->cols + k;

        j->scale[at] = (A)rstd * (j->weight ? j->weight[k] : 1), j->centre[at] = j->mean[n * j->groups + g];
        j->level[at] = (A)(rstd * level / count), j->slope[at] = (A)(rstd * rstd * rstd * slope / count);
    }
}

static void merge_slopes_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++)
        merge_slopes(j, i / j->groups, i % j->groups);
}

static void dx_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        part p = part_of(j, i);
        int64_t at = p.n * j->cols + p.col;
        const A *scale = j->scale + at, *centre = j->centre + at, *level = j->level + at, *slope = j->slope + at;

        for (int64_t r = 0; r < p.rows; r++) {
            const T *x = j->x + p.at + r * j->cols, *dy = j->dy + p.at + r * j->cols;
            T *restrict dx = j->dx + p.at + r * j->cols;

            if (j->add)
                for (int64_t k = 0; k < p.w; k++)
                    dx[k] = STORE(LOAD(dx[k]) +
                                  (scale[k] * LOAD(dy[k]) - level[k] - (LOAD(x[k]) - centre[k]) * slope[k]));
            else
                for (int64_t k = 0; k < p.w; k++)
                    dx[k] = STORE(scale[k] * LOAD(dy[k]) - level[k] - (LOAD(x[k]) - centre[k]) * slope[k]);
        }
    }
}

/* dweight = sum of dy (x - mean) rstd, dbias = sum of dy, over samples and chunks in order */
static void weights_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t k = from; k < to; k++) {
        double dw = 0, db = 0;

        for (int64_t n = 0; n < j->N; n++)
            for (int64_t i = 0; i < j->chunks; i++) {
                dw += (double)lows(j, n, i)[j->cols + k] * (double)j->rstd[n * j->groups + k / j->each];
                db += (double)lows(j, n, i)[k];
            }
        if (j->dweight) j->dweight[k] = (A)dw;
        if (j->dbias) j->dbias[k] = (A)db;
    }
}

int KERNEL(group_norm_dx)(tp_ctx *c, int64_t N, int64_t rows, int64_t cols, int64_t groups, const void *dy,
                          const void *x, const void *mean, const void *rstd, const void *weight, bool add, void *dx,
                          void *dweight, void *dbias)
{
    job j = { .N = N, .rows = rows, .cols = cols, .groups = groups, .x = x, .dy = dy, .dx = dx, .add = add };

    j.weight = weight, j.dweight = dweight, j.dbias = dbias;
    j.mean = (A *)(uintptr_t)mean, j.rstd = (A *)(uintptr_t)rstd; /* read only here */
    if (!plan(c, &j)) return TP_KERNEL_NO_MEMORY;
    over_parts(c, &j, slopes_body);
    if (dx) over_groups(c, &j, merge_slopes_body), over_parts(c, &j, dx_body);
    if (dweight || dbias) tp__parallel(c, cols, 1 + TP__MAP_CHEAP / (1 + N * j.chunks), weights_body, &j);
    return 0;
}
