/*
 * attention.cuh - what attention.cu and attention_mma*.cu share: the arguments on the device, masks and drops.
 */
#ifndef TP_KERNELS_CUDA_ATTENTION_CUH
#define TP_KERNELS_CUDA_ATTENTION_CUH

#include "kernels/cuda/launch.cuh"
#include "kernels/philox.h"

template <class T> struct tp_attention {
    typedef tp_acc<T> A;
    tp_attention_args g;
    const T *q, *k, *v, *y, *dy;
    const A *lse;
    uint32_t threshold; /* of a draw that is kept */
    A keep;             /* what is kept is multiplied by */
};

template <class T>
inline tp_attention<T> tp_attention_of(const tp_attention_args *g, const void *q,
                                       const void *k, const void *v)
{
    tp_attention<T> j = { *g,   (const T *)q, (const T *)k, (const T *)v,
                          NULL, NULL,         NULL,         0,
                          0 };

    j.threshold = (uint32_t)ceil(g->p * 0x1p24),
    j.keep = tp_acc<T>(1 / (1 - g->p)); /* where p is 1, nothing is kept */
    return j;
}

/* ---- one score ---- */

/* What key s adds to the score of row l, or -infinity where they don't meet. */
template <class T>
__device__ inline tp_acc<T> tp_mask_of(const tp_attention<T> &j, int64_t n, int64_t h,
                                       int64_t l, int64_t s)
{
    const tp_attention_args &g = j.g;
    const int64_t *b = g.bias_step, *w = g.allowed_step, *p = g.padding_step;
    bool hidden = l >= g.L || s >= g.S || (g.causal && s > l);

    if (!hidden && g.allowed)
        hidden = !((const uint8_t *)g.allowed)[n * w[0] + h * w[1] + l * w[2] + s * w[3]];
    if (!hidden && g.padding) hidden = ((const uint8_t *)g.padding)[n * p[0] + s * p[1]];
    if (hidden) return tp_acc<T>(-INFINITY);
    return g.bias
               ? tp_load(((const T *)g.bias)[n * b[0] + h * b[1] + l * b[2] + s * b[3]])
               : tp_acc<T>(0);
}

/* What weight (l, s) is multiplied by: 0, or 1 / (1 - p). */
template <class T>
__device__ inline tp_acc<T> tp_kept(const tp_attention<T> &j, int64_t n, int64_t h,
                                    int64_t l, int64_t s)
{
    uint64_t i = (uint64_t)(((n * j.g.heads + h) * j.g.L + l) * j.g.S + s);
    uint32_t bits[4];

    if (j.g.p == 0) return tp_acc<T>(1);
    tp_philox(j.g.state[0], j.g.state[1] + i / 4, bits);
    uint32_t mine = i % 4 == 0   ? bits[0]
                    : i % 4 == 1 ? bits[1]
                    : i % 4 == 2 ? bits[2]
                                 : bits[3];
    return mine >> 8 >= j.threshold ? j.keep : tp_acc<T>(0);
}

/* Rows first .. n - 1 of a head: of `width` numbers, `step` apart. */
template <class T> struct tp_head {
    const T *x;
    int64_t step, first, n, width;
};

/* Of head h of sample b. */
template <class T>
__device__ inline tp_head<T> tp_head_of(const T *x, const int64_t (&step)[3], int64_t b, int64_t h, int64_t first,
                                        int64_t n, int64_t width)
{
    return { x + b * step[0] + h * step[1], step[2], first, n, width };
}

/* 16 bytes at the start of every row. */
inline bool tp_aligned(const void *x, const int64_t (&step)[3])
{
    return (uintptr_t)x % 16 == 0 && (step[0] | step[1] | step[2]) % 8 == 0;
}

/* ---- attention_mma.cu, attention_mma_dx.cu: the same by tensor cores ---- */

/* Can it take these heads, on this device? */
template <class T> bool tp_mma_takes(tp_ctx *c, const tp_attention<T> &j);
template <class T>
int tp_attend_mma(tp_ctx *c, const tp_attention<T> &j, T *y, float *lse);
/* level (N, heads, L) = sum dy y; gradients may be NULL. */
template <class T>
int tp_attend_mma_dx(tp_ctx *c, const tp_attention<T> &j, const float *level, T *dq,
                     T *dk, T *dv);

#endif
