/*
 * conv_depthwise.h - convolution where each channel has a filter of its own, and its
 * adjoint in x: channels are the vectors.  Nothing is shared between them, so the work is to keep sums in
 * registers and read each number from the nearest cache.
 */
#ifndef TP_KERNELS_CPU_CONV_DEPTHWISE_H
#define TP_KERNELS_CPU_CONV_DEPTHWISE_H

#include "kernels/cpu/generic.h"

enum { DEPTHWISE_LANES = 64 }; /* channels of one go */

/* out[c] += a[c] b[c] for some channels, 64 at a time in one loop of constant length */
static inline void depthwise_add(const T *restrict a, const A *restrict b, int64_t n,
                                 A *restrict out)
{
    if (n == DEPTHWISE_LANES)
        for (int c = 0; c < DEPTHWISE_LANES; c++)
            out[c] += LOAD(a[c]) * b[c];
    else
        for (int64_t c = 0; c < n; c++)
            out[c] += LOAD(a[c]) * b[c];
}

/* A result's place h takes, of tap k, the source's place (h * step + offset - k * back) / by
 * where that divides: the convolution has back = -dilation, by = 1; its adjoint step = 1. */
typedef struct depthwise_axis {
    int64_t x, y, taps, step, offset, back, by;
} depthwise_axis;

typedef struct depthwise_job {
    depthwise_axis h, w;
    int64_t C;
    const T *x, *bias;
    const A *weights; /* (taps, C) */
    T *y;
    bool add;
} depthwise_job;

/* Where tap k of place i reads; -1: nowhere. */
static inline int64_t depthwise_source(const depthwise_axis *a, int64_t i, int64_t k)
{
    int64_t at = i * a->step + a->offset - k * a->back;

    if (at < 0 || at % a->by) return -1;
    return at / a->by < a->x ? at / a->by : -1;
}

/* Channels [c, c + n) of pixel (i, j) of an image. */
static void depthwise_pixel(const depthwise_job *k, const T *x, int64_t i, int64_t j,
                            int64_t c, int64_t n, T *y)
{
    A sum[DEPTHWISE_LANES];

    for (int64_t l = 0; l < n; l++)
        sum[l] = k->bias ? LOAD(k->bias[c + l]) : 0;
    for (int64_t kh = 0; kh < k->h.taps; kh++) {
        int64_t r = depthwise_source(&k->h, i, kh);

        for (int64_t kw = 0; r >= 0 && kw < k->w.taps; kw++) {
            int64_t s = depthwise_source(&k->w, j, kw);

            if (s >= 0)
                depthwise_add(x + (r * k->w.x + s) * k->C + c,
                              k->weights + (kh * k->w.taps + kw) * k->C + c, n, sum);
        }
    }
    for (int64_t l = 0; l < n; l++)
        y[l] = STORE(k->add ? LOAD(y[l]) + sum[l] : sum[l]);
}

/* Rows [from, to) of the results of all images. */
static void depthwise_range(void *user, int worker, int64_t from, int64_t to)
{
    const depthwise_job *k = user;

    (void)worker;
    for (int64_t row = from; row < to; row++) {
        const T *x = k->x + row / k->h.y * k->h.x * k->w.x * k->C;

        for (int64_t c = 0; c < k->C; c += DEPTHWISE_LANES) {
            int64_t n = k->C - c < DEPTHWISE_LANES ? k->C - c : DEPTHWISE_LANES;

            for (int64_t j = 0; j < k->w.y; j++)
                depthwise_pixel(k, x, row % k->h.y, j, c, n,
                                k->y + (row * k->w.y + j) * k->C + c);
        }
    }
}

/* w is (C, taps) in memory. */
static int depthwise(tp_ctx *c, depthwise_job *k, int64_t N, const T *w)
{
    int64_t taps = k->h.taps * k->w.taps;
    A *weights = tp_scratch(c, (size_t)(taps * k->C) * sizeof(A) + 64);

    if (!weights) return TP_KERNEL_NO_MEMORY;
    for (int64_t i = 0; i < k->C; i++)
        for (int64_t t = 0; t < taps; t++)
            weights[t * k->C + i] = LOAD(w[i * taps + t]);
    k->weights = weights;
    tp__parallel(c, N * k->h.y, 1 + 4096 / (k->w.y * k->C + 1), depthwise_range, k);
    return 0;
}

#endif
