/*
 * index.c - picking along an axis by index, and tensors made of their own indices.
 *
 * Lanes are spread over threads; within a lane the index is followed in its order, so sums
 * and collisions have one result.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/number.h"

enum { PICKED, INDEX, WHOLE };

typedef struct job {
    const tp_pick *p;
    const int64_t *index;
    const T *from;
    T *to;
    bool add;
} job;

/* ---- are all numbers of the index within the axis? ---- */

static int outside(tp_ctx *c, const tp_pick *p, int64_t place)
{
    return tp__kernel_error(c, "index %lld is outside 0..%lld", (long long)place, (long long)p->size - 1);
}

static int check(tp_ctx *c, const tp_pick *p, const int64_t *index)
{
    for (tp_row r = tp_row_first(&p->lanes); r.more; tp_row_next(&p->lanes, &r))
        for (int64_t i = 0; i < p->n; i++) {
            const int64_t *at = index + r.at[INDEX] + i * p->step[INDEX];

            for (int64_t j = 0; j < r.n; j++)
                if ((uint64_t)at[j * r.step[INDEX]] >= (uint64_t)p->size)
                    return outside(c, p, at[j * r.step[INDEX]]);
        }
    return 0;
}

/* ---- lanes first .. first + n of one row: the shorter step is the inner loop ---- */

typedef void lanes_fn(const job *j, const tp_row *r, int64_t first, int64_t n);

static inline void gather_one(const job *j, const tp_row *r, int64_t lane, int64_t i)
{
    const int64_t *step = j->p->step;
    int64_t place = j->index[r->at[INDEX] + lane * r->step[INDEX] + i * step[INDEX]];

    j->to[r->at[PICKED] + lane * r->step[PICKED] + i * step[PICKED]] =
        j->from[r->at[WHOLE] + lane * r->step[WHOLE] + place * step[WHOLE]];
}

static inline void scatter_one(const job *j, const tp_row *r, int64_t lane, int64_t i)
{
    const int64_t *step = j->p->step;
    int64_t place = j->index[r->at[INDEX] + lane * r->step[INDEX] + i * step[INDEX]];
    T x = j->from[r->at[PICKED] + lane * r->step[PICKED] + i * step[PICKED]];
    T *y = &j->to[r->at[WHOLE] + lane * r->step[WHOLE] + place * step[WHOLE]];

    *y = j->add ? STORE(LOAD(*y) + LOAD(x)) : x;
}

static bool lanes_are_inner(const job *j, const tp_row *r)
{
    int64_t lane = r->step[PICKED], along = j->p->step[PICKED];

    return (lane < 0 ? -lane : lane) <= (along < 0 ? -along : along);
}

#define LANES(name, one)                                                                 \
    static void name(const job *j, const tp_row *r, int64_t first, int64_t n)            \
    {                                                                                    \
        if (lanes_are_inner(j, r)) {                                                     \
            for (int64_t i = 0; i < j->p->n; i++)                                        \
                for (int64_t k = first; k < first + n; k++)                              \
                    one(j, r, k, i);                                                     \
            return;                                                                      \
        }                                                                                \
        for (int64_t k = first; k < first + n; k++)                                      \
            for (int64_t i = 0; i < j->p->n; i++)                                        \
                one(j, r, k, i);                                                         \
    }

LANES(gather_lanes, gather_one)
LANES(scatter_lanes, scatter_one)

static void walk(const job *j, lanes_fn *f, int64_t from, int64_t to)
{
    const tp_loop *l = &j->p->lanes;
    int64_t length = l->n[l->rank - 1], first = from % length;

    for (tp_row r = tp_row_at(l, from / length); from < to; tp_row_next(l, &r), first = 0) {
        int64_t n = length - first < to - from ? length - first : to - from;

        f(j, &r, first, n);
        from += n;
    }
}

static void gather_body(void *user, int worker, int64_t from, int64_t to)
{
    (void)worker;
    walk(user, gather_lanes, from, to);
}

static void scatter_body(void *user, int worker, int64_t from, int64_t to)
{
    (void)worker;
    walk(user, scatter_lanes, from, to);
}

static int run(tp_ctx *c, const job *j, tp_body *body)
{
    int64_t lanes = tp_loop_count(&j->p->lanes);
    int status;

    if (!lanes || !j->p->n) return 0;
    if ((status = check(c, j->p, j->index))) return status;
    tp__parallel(c, lanes, 1 + TP__MAP_DEAR / j->p->n, body, (void *)j);
    return 0;
}

int KERNEL(gather)(tp_ctx *c, const tp_pick *p, const void *x, const int64_t *index, void *y)
{
    job j = { .p = p, .index = index, .from = x, .to = y };

    return run(c, &j, gather_body);
}

int KERNEL(scatter)(tp_ctx *c, const tp_pick *p, const void *x, const int64_t *index, bool add, void *y)
{
    job j = { .p = p, .index = index, .from = x, .to = y, .add = add };

    return run(c, &j, scatter_body);
}

/* ---- iota ---- */

int KERNEL(iota)(tp_ctx *c, int64_t n, double start, double step, void *y)
{
    T *to = y;

    (void)c;
    for (int64_t i = 0; i < n; i++)
        to[i] = STORE(tp__from_double(start + (double)i * step));
    return 0;
}

/* ---- band ---- */

typedef struct band_job {
    int64_t rows, cols, low, high;
    const T *x;
    T *y;
} band_job;

static int64_t clip(int64_t v, int64_t most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

static void band_body(void *user, int worker, int64_t from, int64_t to)
{
    const band_job *j = user;
    size_t size = sizeof(T);

    (void)worker;
    for (int64_t i = from; i < to; i++) { /* columns first .. last of this row stay */
        int64_t r = i % j->rows, first = clip(j->low + r, j->cols), last = clip(j->high + r + 1, j->cols);
        T *y = j->y + i * j->cols;

        last = last < first ? first : last;
        memset(y, 0, (size_t)first * size);
        memcpy(y + first, j->x + i * j->cols + first, (size_t)(last - first) * size);
        memset(y + last, 0, (size_t)(j->cols - last) * size);
    }
}

int KERNEL(band)(tp_ctx *c, int64_t matrices, int64_t rows, int64_t cols, int64_t low, int64_t high,
                 const void *x, void *y)
{
    band_job j = { rows, cols, low, high, x, y };

    if (cols) tp__parallel(c, matrices * rows, 1 + TP__MAP_CHEAP / cols, band_body, &j);
    return 0;
}
