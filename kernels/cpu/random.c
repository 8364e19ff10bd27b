/*
 * random.c - uniform and normal numbers, dropout, and choices by a probability.
 *
 * Element i of the logical order is drawn from counter offset + add + i / 4, lane i % 4, so
 * its number depends on nothing else: not on strides, threads, or instruction set.  Counters
 * are worked through side by side, a batch at a time.  Compiled without contraction, as
 * philox.h asks.
 */
#include "kernels/cpu/counters.h"
#include "kernels/cpu/map.h"
#include "kernels/philox.h"

enum {
    NUMBERS = 4 * TP__COUNTERS,
    LENGTH = 4096, /* elements of a run */
    GRAIN = 8192   /* elements worth a thread */
};

/* Makes elements of one row out of bits: bits[skip + i] belongs to element i, and bits[0] is
 * lane 0 of a counter. */
typedef struct draw_job draw_job;
typedef void draw_run(const draw_job *j, int64_t n, const uint32_t *bits, int skip,
                      const T *x, int64_t sx, T *y, int64_t sy);

struct draw_job {
    const tp_loop *l;
    draw_run *run;
    uint64_t key, counter;
    int64_t length, cuts;
    const T *x;
    T *y;
    double a, b;        /* y = a + b number */
    uint32_t threshold; /* dropout keeps what is not below */
    A scale;
    bool add;
    int *unlikely; /* bernoulli: some p is no probability */
};

/* Elements first .. first + n of the logical order. */
static void draw_elements(const draw_job *j, int64_t first, int64_t n, const T *x,
                          int64_t sx, T *y, int64_t sy)
{
    _Alignas(64) uint32_t bits[NUMBERS];

    while (n > 0) {
        int skip = (int)(first % 4);
        int64_t some = n < NUMBERS - skip ? n : NUMBERS - skip;
        int count = (int)((skip + some + 3) / 4);

        tp__philox_batch(j->key, j->counter + (uint64_t)first / 4, (count + 15) & ~15, bits);
        j->run(j, some, bits, skip, x, sx, y, sy);
        first += some, n -= some, x += some * sx, y += some * sy;
    }
}

static void draw_body(void *user, int worker, int64_t from, int64_t to)
{
    const draw_job *j = user;
    tp_row r = tp_row_at(j->l, from / j->cuts);
    int64_t row = from / j->cuts, cut = from % j->cuts;
    int in = j->l->operands > 1;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        int64_t first = cut * j->length, left = r.n - first;

        draw_elements(j, row * r.n + first, left < j->length ? left : j->length,
                      j->x + r.at[in] + first * r.step[in], r.step[in],
                      j->y + r.at[0] + first * r.step[0], r.step[0]);
        if (++cut == j->cuts) tp_row_next(j->l, &r), row++, cut = 0;
    }
}

static int draw(tp_ctx *c, tp_draw d, draw_job *j)
{
    int64_t n = j->l->n[j->l->rank - 1], count = tp_loop_count(j->l);

    if (count == 0) return 0;
    j->key = d.state[0], j->counter = d.state[1] + d.add;
    j->length = n < LENGTH ? n : LENGTH, j->cuts = (n + j->length - 1) / j->length;
    tp__parallel(c, count / n * j->cuts, 1 + (GRAIN - 1) / j->length, draw_body, j);
    return 0;
}

/* In double and then rounded, so that a float is the rounded double of the same draw. */
static void scaled(const draw_job *j, int64_t n, const float *v, T *y, int64_t sy)
{
    double a = j->a, b = j->b;

    if (sy == 1)
        for (int64_t i = 0; i < n; i++)
            y[i] = STORE((A)(a + b * (double)v[i]));
    else
        for (int64_t i = 0; i < n; i++)
            y[i * sy] = STORE((A)(a + b * (double)v[i]));
}

static void uniform_run(const draw_job *j, int64_t n, const uint32_t *bits, int skip,
                        const T *x, int64_t sx, T *y, int64_t sy)
{
    float v[NUMBERS];

    (void)x, (void)sx;
    for (int64_t i = 0; i < n; i++)
        v[i] = tp_philox_uniform(bits[skip + i]);
    scaled(j, n, v, y, sy);
}

static void normal_run(const draw_job *j, int64_t n, const uint32_t *bits, int skip,
                       const T *x, int64_t sx, T *y, int64_t sy)
{
    float v[NUMBERS];

    (void)x, (void)sx;
    for (int64_t i = 0; i < (skip + n + 1) / 2; i++)
        tp_philox_normal(bits[2 * i], bits[2 * i + 1], v + 2 * i);
    scaled(j, n, v + skip, y, sy);
}

static void dropout_run(const draw_job *j, int64_t n, const uint32_t *bits, int skip,
                        const T *x, int64_t sx, T *y, int64_t sy)
{
    uint32_t threshold = j->threshold;
    A scale = j->scale;

    bits += skip;
    if (sx != 1 || sy != 1 || j->add) {
        for (int64_t i = 0; i < n; i++) {
            A v = bits[i] >> 8 >= threshold ? LOAD(x[i * sx]) * scale : 0;

            y[i * sy] = STORE(j->add ? LOAD(y[i * sy]) + v : v);
        }
        return;
    }
    TP__INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        A v = LOAD(x[i]) * scale;

        y[i] = STORE(bits[i] >> 8 >= threshold ? v : 0);
    }
}

/* The number is rounded as a tensor of them would be. */
static void bernoulli_run(const draw_job *j, int64_t n, const uint32_t *bits, int skip,
                          const T *x, int64_t sx, T *y, int64_t sy)
{
    int bad = 0;

    for (int64_t i = 0; i < n; i++) {
        A p = LOAD(x[i * sx]), u = (A)LOAD(STORE((A)tp_philox_uniform(bits[skip + i])));

        bad |= !(p >= 0 && p <= 1);
        y[i * sy] = STORE((A)(u < p));
    }
    if (bad) __atomic_store_n(j->unlikely, 1, __ATOMIC_RELAXED);
}

int KERNEL(uniform)(tp_ctx *c, const tp_loop *l, tp_draw d, double lo, double hi, void *y)
{
    draw_job j = { .l = l, .run = uniform_run, .x = y, .y = y, .a = lo, .b = hi - lo };

    return draw(c, d, &j);
}

int KERNEL(normal)(tp_ctx *c, const tp_loop *l, tp_draw d, double mean, double std,
                   void *y)
{
    draw_job j = { .l = l, .run = normal_run, .x = y, .y = y, .a = mean, .b = std };

    return draw(c, d, &j);
}

/* A number is m 2^-24 for an integer m, so number >= p where m >= p 2^24 rounded up. */
int KERNEL(dropout)(tp_ctx *c, const tp_loop *l, const void *x, double p, tp_draw d,
                    bool add, void *y)
{
    draw_job j = { .l = l, .run = dropout_run, .x = x, .y = y, .add = add };

    j.threshold = (uint32_t)ceil(p * 0x1p24), j.scale = (A)(1 / (1 - p));
    return draw(c, d, &j);
}

int KERNEL(bernoulli)(tp_ctx *c, const tp_loop *l, const void *p, tp_draw d, void *y)
{
    int unlikely = 0;
    draw_job j = { .l = l, .run = bernoulli_run, .x = p, .y = y, .unlikely = &unlikely };

    draw(c, d, &j);
    return unlikely ? tp__kernel_error(c, "a p is outside 0..1, or isn't a number") : 0;
}
