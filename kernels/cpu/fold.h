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
#include "kernels/cpu/vector.h"

#if TP_IS(f64)
#define TP__LANES (TP__VECTOR / 8)
typedef int64_t tp__lane_mask;
#else
#define TP__LANES (TP__VECTOR / 4)
typedef int32_t tp__lane_mask;
#endif

enum { TP__PIECE = 1024 /* the most that tp__fold is meant for */ };

typedef A tp__lanes __attribute__((vector_size(TP__VECTOR)));
typedef tp__lane_mask tp__mask __attribute__((vector_size(TP__VECTOR)));

/* Lanes i and i ^ k change places. */
#if TP__LANES == 16
#define TP__IOTA 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define TP__SWAP8(v)                                                                     \
    __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
#define TP__SWAP4(v)                                                                     \
    __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
#define TP__SWAP2(v)                                                                     \
    __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
#define TP__SWAP1(v)                                                                     \
    __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
#elif TP__LANES == 8
#define TP__IOTA     0, 1, 2, 3, 4, 5, 6, 7
#define TP__SWAP4(v) __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3)
#define TP__SWAP2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5)
#define TP__SWAP1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6)
#elif TP__LANES == 4
#define TP__IOTA     0, 1, 2, 3
#define TP__SWAP2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1)
#define TP__SWAP1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2)
#else
#define TP__IOTA     0, 1
#define TP__SWAP1(v) __builtin_shufflevector(v, v, 1, 0)
#endif

/* Vectors go by pointer: how they are passed depends on the instruction set. */

/* v = x[0..TP__LANES) */
static inline void tp__load(tp__lanes *v, const T *x)
{
#if TP_IS(bf16)
    typedef uint16_t halves __attribute__((vector_size(TP__VECTOR / 2)));
    typedef uint32_t words __attribute__((vector_size(TP__VECTOR)));
    halves h;

    memcpy(&h, x, sizeof h);
    *v = (tp__lanes)(__builtin_convertvector(h, words) << 16);
#else
    memcpy(v, x, sizeof *v);
#endif
}

/* v = x[0..n) and zeros, for n < TP__LANES; only those are read. */
static inline void tp__load_some(tp__lanes *v, const T *x, int64_t n)
{
    T some[TP__LANES] = { 0 };

    for (int64_t i = 0; i < n; i++)
        some[i] = x[i];
    tp__load(v, some);
}

/* Zeros lanes n and up. */
static inline void tp__keep_some(tp__lanes *v, int64_t n)
{
    const tp__mask iota = { TP__IOTA };

    *v = (tp__lanes)((tp__mask)*v & (iota < (tp__lane_mask)n));
}

static inline A tp__lanes_sum(const tp__lanes *s)
{
    tp__lanes v = *s;

#if TP__LANES > 8
    v += TP__SWAP8(v);
#endif
#if TP__LANES > 4
    v += TP__SWAP4(v);
#endif
#if TP__LANES > 2
    v += TP__SWAP2(v);
#endif
    v += TP__SWAP1(v);
    return v[0];
}

/* a = the larger of a and b, lane by lane; a where either is NaN. */
static inline void tp__lanes_max(tp__lanes *a, const tp__lanes *b)
{
    tp__mask more = *b > *a;

    *a = (tp__lanes)(((tp__mask)*b & more) | ((tp__mask)*a & ~more));
}

static inline A tp__lanes_top(const tp__lanes *s)
{
    tp__lanes v = *s, w;

#if TP__LANES > 8
    w = TP__SWAP8(v), tp__lanes_max(&v, &w);
#endif
#if TP__LANES > 4
    w = TP__SWAP4(v), tp__lanes_max(&v, &w);
#endif
#if TP__LANES > 2
    w = TP__SWAP2(v), tp__lanes_max(&v, &w);
#endif
    w = TP__SWAP1(v), tp__lanes_max(&v, &w);
    return v[0];
}

/* The sum of x[0..n). */
static inline A tp__fold(int64_t n, const A *x)
{
    tp__lanes s[4] = { 0 }, v;
    A rest = 0;
    int64_t i = 0;

    for (; i + 4 * TP__LANES <= n; i += 4 * TP__LANES)
        for (int k = 0; k < 4; k++) {
            memcpy(&v, x + i + k * TP__LANES, sizeof v);
            s[k] += v;
        }
    for (; i + TP__LANES <= n; i += TP__LANES) {
        memcpy(&v, x + i, sizeof v);
        s[0] += v;
    }
    for (; i < n; i++)
        rest += x[i];
    if (n < TP__LANES) return rest;
    s[0] = (s[0] + s[1]) + (s[2] + s[3]);
    return tp__lanes_sum(s) + rest;
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
