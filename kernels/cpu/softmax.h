/*
 * softmax.h - one row of a softmax, what makes it, and what its derivative sums.
 */
#ifndef TP_KERNELS_CPU_SOFTMAX_H
#define TP_KERNELS_CPU_SOFTMAX_H

#include "kernels/cpu/fold.h"
#include "kernels/cpu/vmath.h"

enum { TP__SOFTMAX_BUFFER = 512 };

/* The largest of a row of at least TP__LANES. */
static inline A tp__row_top(int64_t n, const T *x)
{
    tp__lanes top, v;
    int64_t i = TP__LANES;

    for (tp__load(&top, x); i + TP__LANES <= n; i += TP__LANES)
        tp__load(&v, x + i), tp__lanes_max(&top, &v);
    tp__load(&v, x + n - TP__LANES), tp__lanes_max(&top, &v);
    return tp__lanes_top(&top);
}

/* softmax(x) = e^(x - top) / sum.  Shifted by the largest, no exponential overflows. */
typedef struct tp__soft {
    A top, sum;
} tp__soft;

/* e = e^(x - top) of a row that fits the buffer; padding of -infinity spares the odd end. */
static inline tp__soft tp__soft_short(int64_t n, const T *x, A *e)
{
    int64_t padded = (n + TP__LANES - 1) & -(int64_t)TP__LANES;
    tp__lanes most, v;
    A top;

    for (int64_t k = padded - TP__LANES; k < padded; k++)
        e[k] = (A)-INFINITY;
    for (int64_t k = 0; k < n; k++)
        e[k] = LOAD(x[k]);
    memcpy(&most, e, sizeof most);
    for (int64_t k = TP__LANES; k < padded; k += TP__LANES)
        memcpy(&v, e + k, sizeof v), tp__lanes_max(&most, &v);
    top = tp__lanes_top(&most);
    for (int64_t k = 0; k < padded; k++)
        e[k] = tp_exp(e[k] - top);
    return (tp__soft){ top, tp__fold(padded, e) };
}

/* p = e^(x - top) of a longer row; p may be NULL. */
static inline tp__soft tp__soft_long(int64_t n, const T *x, T *p)
{
    A e[TP__SOFTMAX_BUFFER], top = tp__row_top(n, x);
    tp__cascade s;

    s.count = 0;
    for (int64_t i = 0; i < n; i += TP__SOFTMAX_BUFFER) {
        int64_t some = n - i < TP__SOFTMAX_BUFFER ? n - i : TP__SOFTMAX_BUFFER;

        for (int64_t k = 0; k < some; k++)
            e[k] = tp_exp(LOAD(x[i + k]) - top);
        for (int64_t k = 0; p && k < some; k++)
            p[i + k] = STORE(e[k]);
        tp__cascade_push(&s, tp__fold(some, e));
    }
    return (tp__soft){ top, tp__cascade_sum(&s) };
}

static inline tp__soft tp__soft_of(int64_t n, const T *x)
{
    A e[TP__SOFTMAX_BUFFER];

    return n <= TP__SOFTMAX_BUFFER ? tp__soft_short(n, x, e) : tp__soft_long(n, x, NULL);
}

/* p = softmax(x); gives log(sum(e^x)). */
static inline A tp__softmax_row(int64_t n, const T *x, T *p)
{
    A e[TP__SOFTMAX_BUFFER], scale;
    tp__soft s;

    if (n <= TP__SOFTMAX_BUFFER) {
        s = tp__soft_short(n, x, e), scale = 1 / s.sum;
        for (int64_t k = 0; k < n; k++)
            p[k] = STORE(e[k] * scale);
        return s.top + tp_log(s.sum);
    }
    s = tp__soft_long(n, x, p), scale = 1 / s.sum;
    for (int64_t k = 0; k < n; k++)
#if TP_IS(bf16) /* anew, or p would be rounded twice */
        p[k] = STORE(tp_exp(LOAD(x[k]) - s.top) * scale);
#else
        p[k] *= scale;
#endif
    return s.top + tp_log(s.sum);
}

/* p = softmax(x), of one number, from its row's top and scale = 1 / sum. */
static inline A tp__soft_at(A x, const A *soft)
{
    return tp_exp(x - soft[0]) * soft[1];
}

/* sum_c u p; where soft isn't NULL p holds the row that its softmax is of. */
static inline A tp__dot_row(int64_t n, const T *u, const T *p, const A *soft)
{
    A v[TP__SOFTMAX_BUFFER];
    tp__cascade s;

    s.count = 0;
    for (int64_t i = 0; i < n; i += TP__SOFTMAX_BUFFER) {
        int64_t some = n - i < TP__SOFTMAX_BUFFER ? n - i : TP__SOFTMAX_BUFFER;

        for (int64_t k = 0; k < some; k++)
            v[k] = LOAD(u[i + k]) * (soft ? tp__soft_at(LOAD(p[i + k]), soft) : LOAD(p[i + k]));
        tp__cascade_push(&s, tp__fold(some, v));
    }
    return tp__cascade_sum(&s);
}

#endif
