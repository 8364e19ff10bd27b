/*
 * compare.c - questions about elements, answered in bool, and the choice between two tensors
 * by such an answer; kernels.def has the formulas.
 *
 * Strided and broadcast operands pass through small buffers, so that the loops themselves
 * are over dense elements.
 */
#include "kernels/cpu/map.h"

#if TP_IS(f64)
#define ABS(x) fabs(x)
#else
#define ABS(x) fabsf(x)
#endif

#include <math.h>

/* ---- one loop for each relation ---- */

typedef void relation_fn(int64_t n, const T *a, const T *b, uint8_t *y);

#define RELATION(name, value)                                                            \
    static void name(int64_t n, const T *pa, const T *pb, uint8_t *y)                    \
    {                                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                \
            A a = LOAD(pa[i]), b = LOAD(pb[i]);                                          \
            (void)a, (void)b;                                                            \
            y[i] = value;                                                                \
        }                                                                                \
    }

RELATION(equal, a == b)
RELATION(unequal, a != b)
RELATION(less, a < b)
RELATION(less_equal, a <= b)
RELATION(greater, a > b)
RELATION(greater_equal, a >= b)
RELATION(both, (a != 0) & (b != 0))
RELATION(either, (a != 0) | (b != 0))
RELATION(one_alone, (a != 0) ^ (b != 0))
RELATION(neither, a == 0)
#if TP_IS_FLOAT
RELATION(is_nan, a != a)
RELATION(is_inf, ABS(a) == INFINITY)
RELATION(is_finite, ABS(a) < INFINITY)
#else
RELATION(is_nan, 0)
RELATION(is_inf, 0)
RELATION(is_finite, 1)
#endif

static relation_fn *const relations[TP__RELATIONS] = {
    [TP__EQ] = equal,        [TP__NE] = unequal,    [TP__LT] = less,
    [TP__LE] = less_equal,   [TP__GT] = greater,    [TP__GE] = greater_equal,
    [TP__AND] = both,        [TP__OR] = either,     [TP__XOR] = one_alone,
    [TP__NOT] = neither,     [TP__ISNAN] = is_nan,  [TP__ISINF] = is_inf,
    [TP__ISFINITE] = is_finite,
};

/* ---- pieces of rows, spread over threads ---- */

typedef struct job {
    const tp_loop *l;
    int64_t length, cuts; /* of a piece; pieces in a row */
    relation_fn *f;
    const uint8_t *cond;
    const T *a, *b;
    uint8_t *answer;
    T *y;
    bool add;
} job;

/* n elements, operand k from at[k] with step[k]. */
typedef void piece_fn(const job *j, int64_t n, const int64_t *at, const int64_t *step);

static void walk(const job *j, int64_t from, int64_t to, piece_fn *f)
{
    tp_row r = tp_row_at(j->l, from / j->cuts);
    int64_t cut = from % j->cuts;

    for (int64_t i = from; i < to; i++) {
        int64_t first = cut * j->length, left = r.n - first, at[TP_LOOP_OPERANDS];

        for (int k = 0; k < j->l->operands; k++)
            at[k] = r.at[k] + first * r.step[k];
        f(j, left < j->length ? left : j->length, at, r.step);
        if (++cut == j->cuts) tp_row_next(j->l, &r), cut = 0;
    }
}

static int over(tp_ctx *c, job *j, tp_body *body)
{
    int64_t n = j->l->n[j->l->rank - 1], count = tp_loop_count(j->l);

    if (count == 0) return 0;
    j->length = n < TP__MAP_CHEAP ? n : TP__MAP_CHEAP, j->cuts = (n + j->length - 1) / j->length;
    tp__parallel(c, count / n * j->cuts, (TP__MAP_CHEAP + j->length - 1) / j->length, body, j);
    return 0;
}

/* ---- compare: operands y, a, b ---- */

static void compare_piece(const job *j, int64_t n, const int64_t *at, const int64_t *step)
{
    T ba[TP__MAP_BUFFER], bb[TP__MAP_BUFFER];
    uint8_t by[TP__MAP_BUFFER];

    if (step[0] == 1 && step[1] == 1 && step[2] == 1) {
        j->f(n, j->a + at[1], j->b + at[2], j->answer + at[0]);
        return;
    }
    for (int64_t i = 0; i < n; i += TP__MAP_BUFFER) {
        int64_t some = n - i < TP__MAP_BUFFER ? n - i : TP__MAP_BUFFER;
        const T *a = tp__map_input(some, j->a + at[1] + i * step[1], step[1], i == 0, ba);
        const T *b = tp__map_input(some, j->b + at[2] + i * step[2], step[2], i == 0, bb);
        uint8_t *y = j->answer + at[0] + i * step[0];

        j->f(some, a, b, step[0] == 1 ? y : by);
        for (int64_t k = 0; step[0] != 1 && k < some; k++)
            y[k * step[0]] = by[k];
    }
}

static void compare_body(void *user, int worker, int64_t from, int64_t to)
{
    (void)worker;
    walk(user, from, to, compare_piece);
}

int KERNEL(compare)(tp_ctx *c, const tp_loop *l, tp_relation r, const void *a,
                    const void *b, uint8_t *y)
{
    job j = { .l = l, .f = relations[r], .a = a, .b = b, .answer = y };

    return over(c, &j, compare_body);
}

/* ---- where: operands y, cond, a, b ---- */

static void choose(int64_t n, const uint8_t *cond, const T *a, const T *b, bool add, T *y)
{
    if (add) {
        TP__INDEPENDENT
        for (int64_t i = 0; i < n; i++) {
            A yes = LOAD(a[i]), no = LOAD(b[i]);
            y[i] = STORE(LOAD(y[i]) + (cond[i] ? yes : no));
        }
        return;
    }
    TP__INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        T yes = a[i], no = b[i];
        y[i] = cond[i] ? yes : no;
    }
}

static const uint8_t *answers(int64_t n, const uint8_t *cond, int64_t step, uint8_t *buffer)
{
    if (step == 1) return cond;
    for (int64_t i = 0; i < n; i++)
        buffer[i] = cond[i * step];
    return buffer;
}

static void where_piece(const job *j, int64_t n, const int64_t *at, const int64_t *step)
{
    T ba[TP__MAP_BUFFER], bb[TP__MAP_BUFFER], by[TP__MAP_BUFFER];
    uint8_t bc[TP__MAP_BUFFER];

    for (int64_t i = 0; i < n; i += TP__MAP_BUFFER) {
        int64_t some = n - i < TP__MAP_BUFFER ? n - i : TP__MAP_BUFFER;
        const uint8_t *cond = answers(some, j->cond + at[1] + i * step[1], step[1], bc);
        const T *a = tp__map_input(some, j->a + at[2] + i * step[2], step[2], i == 0, ba);
        const T *b = tp__map_input(some, j->b + at[3] + i * step[3], step[3], i == 0, bb);
        T *y = j->y + at[0] + i * step[0];

        if (step[0] != 1 && j->add) tp__gather(some, y, step[0], by);
        choose(some, cond, a, b, j->add, step[0] == 1 ? y : by);
        if (step[0] != 1) tp__scatter(some, by, y, step[0]);
    }
}

static void where_body(void *user, int worker, int64_t from, int64_t to)
{
    (void)worker;
    walk(user, from, to, where_piece);
}

int KERNEL(where)(tp_ctx *c, const tp_loop *l, const uint8_t *cond, const void *a,
                  const void *b, bool add, void *y)
{
    job j = { .l = l, .cond = cond, .a = a, .b = b, .add = add, .y = y };

    return over(c, &j, where_body);
}
