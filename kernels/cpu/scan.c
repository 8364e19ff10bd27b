/*
 * scan.c - running sums, products and extremes along lanes of a dense (outer, n, inner).
 *
 * Lanes are spread over threads, some side by side; each is followed in its order.  Sums and
 * products of floats run in double: their errors would pile up.
 *
 *     cumprod   dx_j = (product of x before j) r_j,   r_j = dy_j + x_(j+1) r_(j+1)
 *     exclusive                                       r_j = dy_(j+1) + x_(j+1) r_(j+1)
 *
 * which divides by nothing, and so is right where x is 0.
 */
#include "kernels/cpu/generic.h"

#if !TP_IS(b8)

enum { WIDTH = 64, LANES = 8, GRAIN = 16384 };

#if TP_IS_FLOAT
typedef double S;
#else
typedef uint64_t S; /* wraps around */
#endif

typedef struct job {
    tp_lanes d;
    bool reverse, exclusive, least;
    int64_t width, blocks;
    const T *x, *dy;
    T *y;
    int64_t *place;
} job;

/* Lanes of one block: n steps from `first`, `step` elements apart. */
typedef struct walk {
    int64_t first, step, width;
} walk;

static walk walk_of(const job *j, int64_t item, bool backwards)
{
    int64_t lane = item % j->blocks * j->width, left = j->d.inner - lane;
    int64_t first = item / j->blocks * j->d.n * j->d.inner + lane, step = j->d.inner;

    if (backwards) first += (j->d.n - 1) * step, step = -step;
    return (walk){ first, step, left < j->width ? left : j->width };
}

static int over(tp_ctx *c, job *j, tp_body *body)
{
    if (j->d.outer * j->d.n * j->d.inner == 0) return 0;
    j->width = j->d.inner < WIDTH ? j->d.inner : WIDTH;
    j->blocks = (j->d.inner + j->width - 1) / j->width;
    tp__parallel(c, j->d.outer * j->blocks, 1 + GRAIN / (j->d.n * j->width), body, j);
    return 0;
}

/* ---- sums and products ---- */

#if TP_IS_FLOAT || TP_IS(i64)
/* LANES lanes that lie one behind the other: one alone would wait for each of its additions. */
static void cumsum_lanes(const job *j, int64_t first)
{
    walk w = walk_of(j, first, j->reverse);
    S s[LANES] = { 0 };

    for (int64_t i = 0, at = w.first; i < j->d.n; i++, at += w.step)
        for (int64_t k = 0; k < LANES; k++) {
            s[k] += (S)LOAD(j->x[at + k * j->d.n]);
            j->y[at + k * j->d.n] = STORE((A)s[k]);
        }
}

static void cumsum_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (; j->d.inner == 1 && from + LANES <= to; from += LANES)
        cumsum_lanes(j, from);
    for (int64_t item = from; item < to; item++) {
        walk w = walk_of(j, item, j->reverse);
        S s[WIDTH] = { 0 };

        for (int64_t i = 0, at = w.first; i < j->d.n; i++, at += w.step)
            for (int64_t k = 0; k < w.width; k++) {
                s[k] += (S)LOAD(j->x[at + k]);
                j->y[at + k] = STORE((A)s[k]);
            }
    }
}

int KERNEL(cumsum)(tp_ctx *c, tp_lanes d, bool reverse, const void *x, void *y)
{
    job j = { .d = d, .reverse = reverse, .x = x, .y = y };

    return over(c, &j, cumsum_body);
}

static void products(const job *j, walk w)
{
    S s[WIDTH];

    for (int64_t k = 0; k < w.width; k++)
        s[k] = 1;
    for (int64_t i = 0, at = w.first; i < j->d.n; i++, at += w.step)
        for (int64_t k = 0; k < w.width; k++) {
            S before = s[k];

            s[k] *= (S)LOAD(j->x[at + k]);
            j->y[at + k] = STORE((A)(j->exclusive ? before : s[k]));
        }
}

static void cumprod_body(void *user, int worker, int64_t from, int64_t to)
{
    (void)worker;
    for (int64_t item = from; item < to; item++)
        products(user, walk_of(user, item, ((const job *)user)->reverse));
}

int KERNEL(cumprod)(tp_ctx *c, tp_lanes d, bool reverse, bool exclusive, const void *x,
                    void *y)
{
    job j = { .d = d, .reverse = reverse, .exclusive = exclusive, .x = x, .y = y };

    return over(c, &j, cumprod_body);
}
#endif

#if TP_IS_FLOAT
static void cumprod_dx_body(void *user, int worker, int64_t from, int64_t to)
{
    job before = *(const job *)user;
    const job *j = user;

    (void)worker;
    before.exclusive = true; /* what is before j, put where dx will be */
    for (int64_t item = from; item < to; item++) {
        walk w = walk_of(j, item, !j->reverse);
        S carry[WIDTH] = { 0 };

        products(&before, walk_of(j, item, j->reverse));
        for (int64_t i = 0, at = w.first; i < j->d.n; i++, at += w.step)
            for (int64_t k = 0; k < w.width; k++) {
                S dy = LOAD(j->dy[at + k]), r = j->exclusive ? carry[k] : dy + carry[k];

                j->y[at + k] = STORE((A)((S)LOAD(j->y[at + k]) * r));
                carry[k] = (j->exclusive ? dy : 0) + (S)LOAD(j->x[at + k]) * r;
            }
    }
}

int KERNEL(cumprod_dx)(tp_ctx *c, tp_lanes d, bool reverse, bool exclusive, const void *dy,
                       const void *x, void *dx)
{
    job j = { .d = d, .reverse = reverse, .exclusive = exclusive, .x = x, .dy = dy, .y = dx };

    return over(c, &j, cumprod_dx_body);
}
#endif

/* ---- extremes ---- */

static bool takes_over(A v, A best, bool least)
{
#if TP_IS_FLOAT
    if (v != v) return true;
#endif
    return least ? v <= best : v >= best;
}

static void cummax_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t item = from; item < to; item++) {
        walk w = walk_of(j, item, false);
        int64_t place[WIDTH] = { 0 };
        A best[WIDTH];

        for (int64_t k = 0; k < w.width; k++)
            best[k] = LOAD(j->x[w.first + k]);
        for (int64_t i = 0, at = w.first; i < j->d.n; i++, at += w.step)
            for (int64_t k = 0; k < w.width; k++) {
                A v = LOAD(j->x[at + k]);

                if (takes_over(v, best[k], j->least)) best[k] = v, place[k] = i;
                j->place[at + k] = place[k];
            }
    }
}

int KERNEL(cummax)(tp_ctx *c, tp_lanes d, bool least, const void *x, int64_t *place)
{
    job j = { .d = d, .least = least, .x = x, .place = place };

    return over(c, &j, cummax_body);
}

#endif
