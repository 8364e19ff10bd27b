/*
 * lanes.h - folds of a dense (outer, n, inner) over n: the driver.
 *
 * A fold gives two loops: one along a run of one lane, one down the rows of many lanes side
 * by side.  The driver cuts n into groups by shape alone, spreads groups and lanes over
 * threads, and joins what the groups gave in their order.
 */
#ifndef TP_KERNELS_CPU_LANES_H
#define TP_KERNELS_CPU_LANES_H

#include "kernels/cpu/generic.h"

/* What is gathered: of integers any sum fits better in 64 bits. */
#if TP_IS_FLOAT
typedef A R;
typedef A UR;
#else
typedef int64_t R;
typedef uint64_t UR; /* where it wraps around */
#endif

enum {
    TP__LANES_RUN = 16384,    /* elements of a group along one lane */
    TP__LANES_WIDTH = 512,    /* lanes side by side */
    TP__LANES_ROWS = 1024,    /* of a group of many lanes: longer sums would lose digits */
    TP__LANES_WAYS = 32,      /* sums side by side in a run; compilers unroll 16 to single numbers */
    TP__LANES_GRAIN = 16384   /* elements worth a thread */
};

typedef struct tp__lanes_fold {
    R (*run)(int64_t n, const T *x, A k);
    void (*rows)(int64_t n, int64_t width, const T *x, int64_t step, A k, R *y);
    R (*join)(R a, R b);
} tp__lanes_fold;

typedef struct tp__lanes_job {
    tp_lanes d;
    const tp__lanes_fold *f;
    A k;
    int64_t length, groups, width, blocks;
    const T *x;
    R *partial; /* (outer, groups, inner), or NULL with one group */
    T *y;
    int64_t *wide; /* in place of y, or NULL */
} tp__lanes_job;

static inline int64_t tp__lanes_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline void tp__lanes_put(const tp__lanes_job *j, int64_t at, R v)
{
    if (j->wide)
        j->wide[at] = (int64_t)v;
    else
        j->y[at] = STORE((A)v);
}

/* One group of one block of lanes. */
static inline void tp__lanes_part(const tp__lanes_job *j, int64_t item)
{
    int64_t block = item % j->blocks, g = item / j->blocks % j->groups;
    int64_t o = item / j->blocks / j->groups, first = g * j->length, lane = block * j->width;
    int64_t n = tp__lanes_least(j->d.n - first, j->length);
    int64_t width = tp__lanes_least(j->d.inner - lane, j->width);
    const T *x = j->x + (o * j->d.n + first) * j->d.inner + lane;
    R own[TP__LANES_WIDTH], *to = own;

    if (j->partial) to = j->partial + (o * j->groups + g) * j->d.inner + lane;
    if (j->d.inner == 1)
        *to = j->f->run(n, x, j->k);
    else
        j->f->rows(n, width, x, j->d.inner, j->k, to);
    for (int64_t i = 0; !j->partial && i < width; i++)
        tp__lanes_put(j, o * j->d.inner + lane + i, to[i]);
}

static inline void tp__lanes_body(void *user, int worker, int64_t from, int64_t to)
{
    (void)worker;
    for (int64_t i = from; i < to; i++)
        tp__lanes_part(user, i);
}

static inline void tp__lanes_finish(const tp__lanes_job *j)
{
    for (int64_t o = 0; o < j->d.outer; o++)
        for (int64_t i = 0; i < j->d.inner; i++) {
            const R *p = j->partial + o * j->groups * j->d.inner + i;
            R v = p[0];

            for (int64_t g = 1; g < j->groups; g++)
                v = j->f->join(v, p[g * j->d.inner]);
            tp__lanes_put(j, o * j->d.inner + i, v);
        }
}

static inline int tp__lanes_over(tp_ctx *c, tp_lanes d, const tp__lanes_fold *f,
                                 const void *x, A k, void *y, int64_t *wide)
{
    tp__lanes_job j = { .d = d, .f = f, .k = k, .x = x, .y = y, .wide = wide };

    if (d.outer * d.inner == 0) return 0;
    j.width = tp__lanes_least(d.inner, TP__LANES_WIDTH);
    j.blocks = (d.inner + j.width - 1) / j.width;
    j.length = d.inner == 1 ? TP__LANES_RUN : TP__LANES_ROWS;
    j.groups = d.n > j.length ? (d.n + j.length - 1) / j.length : 1;
    if (j.groups > 1) {
        j.partial = tp_scratch(c, (size_t)(d.outer * j.groups * d.inner) * sizeof(R));
        if (!j.partial) return TP_KERNEL_NO_MEMORY;
    }
    tp__parallel(c, d.outer * j.groups * j.blocks,
                 1 + TP__LANES_GRAIN / (1 + tp__lanes_least(d.n, j.length) * j.width),
                 tp__lanes_body, &j);
    if (j.partial) tp__lanes_finish(&j);
    return 0;
}

/* Defines name_fold: `start`, then `next` of the gathered s and an element v with k. */
#define TP__LANES_FOLD(name, start, next, joined)                                        \
    static R name##_join(R a, R b)                                                       \
    {                                                                                    \
        return joined;                                                                   \
    }                                                                                    \
    static R name##_run(int64_t n, const T *x, A k)                                      \
    {                                                                                    \
        R way[TP__LANES_WAYS];                                                           \
        int64_t i = 0;                                                                   \
                                                                                         \
        (void)k;                                                                         \
        for (int w = 0; w < TP__LANES_WAYS; w++)                                         \
            way[w] = start;                                                              \
        for (; i + TP__LANES_WAYS <= n; i += TP__LANES_WAYS)                             \
            for (int w = 0; w < TP__LANES_WAYS; w++) {                                   \
                A v = LOAD(x[i + w]);                                                    \
                R s = way[w];                                                            \
                way[w] = next;                                                           \
            }                                                                            \
        for (int w = 0; i < n; i++, w++) {                                               \
            A v = LOAD(x[i]);                                                            \
            R s = way[w];                                                                \
            way[w] = next;                                                               \
        }                                                                                \
        for (int half = TP__LANES_WAYS / 2; half; half /= 2)                             \
            for (int w = 0; w < half; w++)                                               \
                way[w] = name##_join(way[w], way[w + half]);                             \
        return way[0];                                                                   \
    }                                                                                    \
    static void name##_rows(int64_t n, int64_t width, const T *x, int64_t step, A k,     \
                            R *restrict y)                                               \
    {                                                                                    \
        (void)k;                                                                         \
        for (int64_t i = 0; i < width; i++)                                              \
            y[i] = start;                                                                \
        for (int64_t r = 0; r < n; r++, x += step)                                       \
            for (int64_t i = 0; i < width; i++) {                                        \
                A v = LOAD(x[i]);                                                        \
                R s = y[i];                                                              \
                y[i] = next;                                                             \
            }                                                                            \
    }                                                                                    \
    static const tp__lanes_fold name##_fold = { name##_run, name##_rows, name##_join };

#endif
