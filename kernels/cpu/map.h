/*
 * map.h - y[i] (+)= f(a[i], b[i]) over a tp_loop: the driver of elementwise kernels.
 *
 * A kernel gives f as two loops over dense elements, one that sets y and one that adds to
 * it.  The driver cuts the space into runs by shape alone, spreads them over threads, and
 * passes strided or broadcast operands through small buffers.  y may be a or b.
 */
#ifndef TP_KERNELS_CPU_MAP_H
#define TP_KERNELS_CPU_MAP_H

#include "kernels/cpu/generic.h"

enum { TP__MAP_NUMBERS = 3 }; /* of the kernel's own: k0, k1, k2 */

typedef void tp__map_block(int64_t n, const T *a, const T *b, const A *k, T *y);

typedef struct tp__map {
    tp__map_block *f;
    bool add;
    int inputs; /* 0, 1: a, or 2 */
    const T *a, *b;
    T *y;
    A k[TP__MAP_NUMBERS];
    const tp_loop *l;
    int64_t length, cuts; /* of a run; runs in a row */
} tp__map;

enum {
    TP__MAP_BUFFER = 512,
    TP__MAP_CHEAP = 16384, /* elements that are worth a thread: sums and products */
    TP__MAP_DEAR = 4096    /* exponentials */
};

/* Iterations are independent although y may be a: no run-time test for overlap. */
#if defined(__GNUC__) && !defined(__clang__)
#define TP__INDEPENDENT _Pragma("GCC ivdep")
#else
#define TP__INDEPENDENT
#endif

/* Defines name_set and name_add; `value` is an expression in a, b, k0, k1 and k2, all of type A. */
#define TP__MAP_LOOPS(name, value)                                                       \
    static void name##_set(int64_t n, const T *pa, const T *pb, const A *k, T *y)        \
    {                                                                                    \
        A k0 = k[0], k1 = k[1], k2 = k[2];                                               \
        (void)k0, (void)k1, (void)k2;                                                    \
        TP__INDEPENDENT                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                \
            A a = LOAD(pa[i]), b = LOAD(pb[i]);                                          \
            (void)a, (void)b;                                                            \
            y[i] = STORE(value);                                                         \
        }                                                                                \
    }                                                                                    \
    static void name##_add(int64_t n, const T *pa, const T *pb, const A *k, T *y)        \
    {                                                                                    \
        A k0 = k[0], k1 = k[1], k2 = k[2];                                               \
        (void)k0, (void)k1, (void)k2;                                                    \
        TP__INDEPENDENT                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                \
            A a = LOAD(pa[i]), b = LOAD(pb[i]);                                          \
            (void)a, (void)b;                                                            \
            y[i] = STORE(LOAD(y[i]) + (value));                                          \
        }                                                                                \
    }

/* Defines name_blocks of the two. */
#define TP__MAP_BLOCKS(name, value)                                                      \
    TP__MAP_LOOPS(name, value)                                                           \
    static tp__map_block *const name##_blocks[2] = { name##_set, name##_add };

static inline void tp__gather(int64_t n, const T *x, int64_t step, T *to)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = x[i * step];
}

static inline void tp__scatter(int64_t n, const T *from, T *y, int64_t step)
{
    for (int64_t i = 0; i < n; i++)
        y[i * step] = from[i];
}

/* The next n elements of an input: where they lie, or in the buffer.  A number that is
 * broadcast along the run was put there by its first block. */
static inline const T *tp__map_input(int64_t n, const T *x, int64_t step, bool first,
                                     T *buffer)
{
    if (step == 1) return x;
    if (step || first) tp__gather(n, x, step, buffer);
    return buffer;
}

static inline void tp__map_buffered(const tp__map *m, int64_t n, const T *a, int64_t sa,
                                    const T *b, int64_t sb, T *y, int64_t sy)
{
    T ba[TP__MAP_BUFFER], bb[TP__MAP_BUFFER], by[TP__MAP_BUFFER];

    for (int64_t i = 0; i < n; i += TP__MAP_BUFFER) {
        int64_t some = n - i < TP__MAP_BUFFER ? n - i : TP__MAP_BUFFER;
        T *to = sy == 1 ? y + i : by;
        const T *pa = to, *pb;

        if (m->inputs > 0) pa = tp__map_input(some, a + i * sa, sa, i == 0, ba);
        pb = m->inputs > 1 ? tp__map_input(some, b + i * sb, sb, i == 0, bb) : pa;
        if (m->add && sy != 1) tp__gather(some, y + i * sy, sy, by);
        m->f(some, pa, pb, m->k, to);
        if (sy != 1) tp__scatter(some, by, y + i * sy, sy);
    }
}

static inline void tp__map_run(const tp__map *m, int64_t n, const T *a, int64_t sa,
                               const T *b, int64_t sb, T *y, int64_t sy)
{
    if (sa == 1 && sb == 1 && sy == 1)
        m->f(n, a, b, m->k, y);
    else
        tp__map_buffered(m, n, a, sa, b, sb, y, sy);
}

static inline void tp__map_body(void *user, int worker, int64_t from, int64_t to)
{
    const tp__map *m = user;
    tp_row r = tp_row_at(m->l, from / m->cuts);
    int64_t cut = from % m->cuts;
    int ka = m->inputs > 0 ? 1 : 0, kb = m->inputs > 1 ? 2 : ka;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        int64_t first = cut * m->length, left = r.n - first;
        int64_t n = left < m->length ? left : m->length;
        int64_t sa = r.step[ka], sb = r.step[kb], sy = r.step[0];

        tp__map_run(m, n, m->a + r.at[ka] + first * sa, sa, m->b + r.at[kb] + first * sb,
                    sb, m->y + r.at[0] + first * sy, sy);
        if (++cut == m->cuts) tp_row_next(m->l, &r), cut = 0;
    }
}

/* Inputs that f hasn't are passed as NULL. */
static inline int tp__map_with(tp_ctx *c, const tp_loop *l, int64_t grain,
                               tp__map_block *const f[2], const void *a, const void *b,
                               const A k[TP__MAP_NUMBERS], bool add, void *y)
{
    tp__map m = { .f = f[add],
                  .add = add,
                  .inputs = b   ? 2
                            : a ? 1
                                : 0,
                  .k = { k[0], k[1], k[2] } };
    int64_t n = l->n[l->rank - 1], count;

    m.l = l, m.y = y, m.a = a ? a : y, m.b = b ? b : m.a;
    if (l->rank == 1 && n <= grain) {
        const int64_t *sa = l->stride[m.inputs > 0],
                      *sb = m.inputs > 1 ? l->stride[2] : sa;

        if (n > 0) tp__map_run(&m, n, m.a, sa[0], m.b, sb[0], m.y, l->stride[0][0]);
        return 0;
    }
    count = tp_loop_count(l);
    if (count == 0) return 0;
    m.length = n < grain ? n : grain, m.cuts = (n + m.length - 1) / m.length;
    tp__parallel(c, count / n * m.cuts, (grain + m.length - 1) / m.length, tp__map_body,
                 &m);
    return 0;
}

static inline int tp__map_over(tp_ctx *c, const tp_loop *l, int64_t grain,
                               tp__map_block *const f[2], const void *a, const void *b,
                               A k0, A k1, bool add, void *y)
{
    return tp__map_with(c, l, grain, f, a, b, (const A[]){ k0, k1, 0 }, add, y);
}

#endif
