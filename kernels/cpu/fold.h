/*
 * fold.h - sums of A whose order is fixed by their length alone.
 *
 * Many lanes are summed side by side and folded as a tree, and sums of pieces are added in
 * pairs (the cascade of pairwise summation: Higham 1993, "The accuracy of floating point
 * summation"), so rounding errors grow like the logarithm of the length.
 */
#ifndef TP_KERNELS_CPU_FOLD_H
#define TP_KERNELS_CPU_FOLD_H

#include "kernels/cpu/generic.h"

enum {
    TP__LANES = 64 / sizeof(A),
    TP__PIECE = 1024 /* the most that tp__fold is meant for */
};

typedef A tp__lanes __attribute__((vector_size(64)));

static inline void tp__lanes_add(tp__lanes *s, const A *x)
{
    tp__lanes v;

    memcpy(&v, x, sizeof v);
    *s += v;
}

/* The sum of x[0..n). */
static inline A tp__fold(int64_t n, const A *x)
{
    tp__lanes s[4] = { 0 };
    A half[TP__LANES], rest = 0;
    int64_t i = 0;

    if (n >= TP__LANES) {
        for (; i + 4 * TP__LANES <= n; i += 4 * TP__LANES)
            for (int k = 0; k < 4; k++)
                tp__lanes_add(&s[k], x + i + k * TP__LANES);
        for (; i + TP__LANES <= n; i += TP__LANES)
            tp__lanes_add(&s[0], x + i);
        s[0] = (s[0] + s[1]) + (s[2] + s[3]);
        memcpy(half, s, sizeof half);
        for (int w = TP__LANES / 2; w; w /= 2)
            for (int k = 0; k < w; k++)
                half[k] += half[k + w];
        rest = half[0];
    }
    for (; i < n; i++)
        rest += x[i];
    return rest;
}

/* Sums pushed one by one are added as the leaves of a balanced tree. */
typedef struct tp__cascade {
    uint64_t count;
    A level[64]; /* level[k] is the sum of 2^k, where bit k of count is set */
} tp__cascade;

static inline void tp__cascade_push(tp__cascade *s, A v)
{
    int k = 0;

    for (uint64_t full = s->count++; full & 1; full >>= 1)
        v = s->level[k++] + v;
    s->level[k] = v;
}

static inline A tp__cascade_sum(const tp__cascade *s)
{
    A v = 0;

    for (int k = 0; s->count >> k; k++)
        if (s->count >> k & 1) v = s->level[k] + v;
    return v;
}

#endif
