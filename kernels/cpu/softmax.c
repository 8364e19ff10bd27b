/*
 * softmax.c - softmax and its logarithm along any axis, and their derivatives; kernels.def has
 * the formulas.
 *
 * Along the innermost axis a row is a vector; along another, neighbouring rows are worked through
 * side by side, COLUMNS at a time.
 */
#include "kernels/cpu/softmax.h"
#include "kernels/cpu/map.h"

enum {
    COLUMNS = 128,
    PIECE = 128 /* terms that are added one by one */
};

typedef struct job {
    int64_t n, inner, blocks; /* blocks: of columns in one outer place */
    const T *x, *dy;
    T *y;
    tp_softmax_kind kind;
    bool add;
} job;

/* ---- forward, rows ---- */

static A top_of(int64_t n, const T *x)
{
    A top = LOAD(x[0]);

    if (n >= TP__LANES) return tp__row_top(n, x);
    for (int64_t i = 1; i < n; i++)
        top = LOAD(x[i]) > top ? LOAD(x[i]) : top;
    return top;
}

static void log_row(int64_t n, const T *x, T *y)
{
    A e[TP__SOFTMAX_BUFFER], top = top_of(n, x), shift;
    tp__cascade s;

    s.count = 0;
    for (int64_t i = 0; i < n; i += TP__SOFTMAX_BUFFER) {
        int64_t some = n - i < TP__SOFTMAX_BUFFER ? n - i : TP__SOFTMAX_BUFFER;

        for (int64_t k = 0; k < some; k++)
            e[k] = tp_exp(LOAD(x[i + k]) - top);
        tp__cascade_push(&s, tp__fold(some, e));
    }
    shift = tp_log(tp__cascade_sum(&s));
    for (int64_t k = 0; k < n; k++)
        y[k] = STORE((LOAD(x[k]) - top) - shift);
}

static bool all_masked(int64_t n, const T *x)
{
    for (int64_t k = 0; k < n; k++)
        if (!(LOAD(x[k]) == -(A)INFINITY)) return false;
    return true;
}

static void rows_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t r = from; r < to; r++) {
        const T *x = j->x + r * j->n;
        T *y = j->y + r * j->n;

        if (j->kind == TP_SOFTMAX_LOG)
            log_row(j->n, x, y);
        else if (isnan(tp__softmax_row(j->n, x, y)) && j->kind == TP_SOFTMAX_MASKED && all_masked(j->n, x))
            memset(y, 0, (size_t)j->n * sizeof(T));
    }
}

/* ---- forward, columns ---- */

/* A block of w columns; element (i, k) is at i * step + k. */
typedef struct block {
    int64_t at, n, step, w;
} block;

static block block_of(const job *j, int64_t i)
{
    int64_t first = i % j->blocks * COLUMNS, left = j->inner - first;

    return (block){ i / j->blocks * j->n * j->inner + first, j->n, j->inner, left < COLUMNS ? left : COLUMNS };
}

static void tops(const block *b, const T *x, A *restrict top)
{
    for (int64_t k = 0; k < b->w; k++)
        top[k] = LOAD(x[k]);
    for (int64_t i = 1; i < b->n; i++)
        for (int64_t k = 0; k < b->w; k++) {
            A v = LOAD(x[i * b->step + k]);

            top[k] = v > top[k] ? v : top[k];
        }
}

/* sum += part, part = 0 */
static void carry(int64_t w, A *restrict part, A *restrict sum)
{
    for (int64_t k = 0; k < w; k++)
        sum[k] += part[k], part[k] = 0;
}

static void exp_sums(const block *b, const T *x, const A *restrict top, A *restrict sum)
{
    A part[COLUMNS] = { 0 };

    for (int64_t i = 0; i < b->n; i++) {
        for (int64_t k = 0; k < b->w; k++)
            part[k] += tp_exp(LOAD(x[i * b->step + k]) - top[k]);
        if (i % PIECE == PIECE - 1) carry(b->w, part, sum);
    }
    carry(b->w, part, sum);
}

static void columns(const block *b, tp_softmax_kind kind, const T *x, T *restrict y)
{
    A top[COLUMNS], sum[COLUMNS] = { 0 };

    tops(b, x, top);
    if (kind == TP_SOFTMAX_MASKED) /* the rest follows: sums of 0 */
        for (int64_t k = 0; k < b->w; k++)
            top[k] = top[k] == -(A)INFINITY ? 0 : top[k];
    exp_sums(b, x, top, sum);
    for (int64_t k = 0; k < b->w; k++)
        sum[k] = kind == TP_SOFTMAX_LOG ? tp_log(sum[k]) : sum[k] == 0 ? 0 : 1 / sum[k];
    for (int64_t i = 0; i < b->n; i++)
        if (kind == TP_SOFTMAX_LOG)
            for (int64_t k = 0; k < b->w; k++)
                y[i * b->step + k] = STORE((LOAD(x[i * b->step + k]) - top[k]) - sum[k]);
        else
            for (int64_t k = 0; k < b->w; k++)
                y[i * b->step + k] = STORE(tp_exp(LOAD(x[i * b->step + k]) - top[k]) * sum[k]);
}

static void columns_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        block b = block_of(j, i);

        columns(&b, j->kind, j->x + b.at, j->y + b.at);
    }
}

/* Runs over rows, or over blocks of columns. */
static int run(tp_ctx *c, job *j, int64_t outer, tp_body *rows, tp_body *blocks)
{
    int64_t w = j->inner < COLUMNS ? j->inner : COLUMNS;

    if (outer * j->n * j->inner == 0) return 0;
    j->blocks = (j->inner + COLUMNS - 1) / COLUMNS;
    tp__parallel(c, outer * j->blocks, 1 + TP__MAP_DEAR / (j->n * w), j->inner == 1 ? rows : blocks, j);
    return 0;
}

int KERNEL(softmax)(tp_ctx *c, int64_t outer, int64_t n, int64_t inner, const void *x, tp_softmax_kind kind, void *y)
{
    job j = { .n = n, .inner = inner, .x = x, .y = y, .kind = kind };

    return run(c, &j, outer, rows_body, columns_body);
}

/* ---- the derivative ---- */

/* dx of n neighbours; s is what they are shifted by: one number, or s_step 1: one for each. */
static inline __attribute__((always_inline)) void shifted(int64_t n, const T *dy, const T *y, const A *s,
                                                          int64_t s_step, bool log, bool add, T *restrict dx)
{
    for (int64_t k = 0; k < n; k++) {
        A g = LOAD(dy[k]), p = LOAD(y[k]), v;

        v = log ? g - tp_exp(p) * s[k * s_step] : p * (g - s[k * s_step]);
        dx[k] = STORE(add ? LOAD(dx[k]) + v : v);
    }
}

static inline __attribute__((always_inline)) void shift(const job *j, int64_t n, const T *dy, const T *y, const A *s,
                                                        int64_t s_step, T *dx)
{
    bool log = j->kind == TP_SOFTMAX_LOG;

    if (log && j->add) shifted(n, dy, y, s, s_step, true, true, dx);
    else if (log) shifted(n, dy, y, s, s_step, true, false, dx);
    else if (j->add) shifted(n, dy, y, s, s_step, false, true, dx);
    else shifted(n, dy, y, s, s_step, false, false, dx);
}

static A sum_row(int64_t n, const T *x)
{
    A v[TP__SOFTMAX_BUFFER];
    tp__cascade s;

    s.count = 0;
    for (int64_t i = 0; i < n; i += TP__SOFTMAX_BUFFER) {
        int64_t some = n - i < TP__SOFTMAX_BUFFER ? n - i : TP__SOFTMAX_BUFFER;

        for (int64_t k = 0; k < some; k++)
            v[k] = LOAD(x[i + k]);
        tp__cascade_push(&s, tp__fold(some, v));
    }
    return tp__cascade_sum(&s);
}

static void rows_dx_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t r = from; r < to; r++) {
        const T *dy = j->dy + r * j->n, *y = j->x + r * j->n;
        A s = j->kind == TP_SOFTMAX_LOG ? sum_row(j->n, dy) : tp__dot_row(j->n, dy, y, NULL);

        shift(j, j->n, dy, y, &s, 0, j->y + r * j->n);
    }
}

static void column_sums(const job *j, const block *b, A *restrict sum)
{
    const T *dy = j->dy + b->at, *y = j->x + b->at;
    A part[COLUMNS] = { 0 };

    for (int64_t i = 0; i < b->n; i++, dy += b->step, y += b->step) {
        if (j->kind == TP_SOFTMAX_LOG)
            for (int64_t k = 0; k < b->w; k++)
                part[k] += LOAD(dy[k]);
        else
            for (int64_t k = 0; k < b->w; k++)
                part[k] += LOAD(dy[k]) * LOAD(y[k]);
        if (i % PIECE == PIECE - 1) carry(b->w, part, sum);
    }
    carry(b->w, part, sum);
}

static void columns_dx_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        block b = block_of(j, i);
        A s[COLUMNS] = { 0 };

        column_sums(j, &b, s);
        for (int64_t r = 0; r < b.n; r++) {
            int64_t at = b.at + r * b.step;

            shift(j, b.w, j->dy + at, j->x + at, s, 1, j->y + at);
        }
    }
}

int KERNEL(softmax_dx)(tp_ctx *c, int64_t outer, int64_t n, int64_t inner, const void *dy, const void *y,
                       tp_softmax_kind kind, bool add, void *dx)
{
    job j = { .n = n, .inner = inner, .x = y, .dy = dy, .y = dx, .kind = kind, .add = add };

    return run(c, &j, outer, rows_dx_body, columns_dx_body);
}
