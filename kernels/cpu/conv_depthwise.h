/*
 * conv_depthwise.h - convolution where each channel has a filter of its own, and its adjoint
 * in x as the same sum (conv_sum.h): channels are the vectors, nothing is shared between
 * them, so the work is to read each number once.
 */
#ifndef TP_KERNELS_CPU_CONV_DEPTHWISE_H
#define TP_KERNELS_CPU_CONV_DEPTHWISE_H

#include "kernels/cpu/brgemm.h"

enum { DEPTHWISE_LANES = 64, DEPTHWISE_CHUNKS = 8 };

/* ---- in the weights ---- */

typedef struct depthwise_dw_job {
    const tp_window *g;
    const T *x, *dy;
    T *dw;
    A *sums; /* (chunks, taps, C) */
    int64_t chunks;
    bool add;
} depthwise_dw_job;

/* sum[c] += x[c] dy[c] of all pixels of an image that tap (kh, kw) reaches. */
static void depthwise_dw_tap(const tp_window *g, const T *x, const T *dy, int64_t kh, int64_t kw,
                             A *restrict sum)
{
    int64_t C = g->C;

    for (int64_t i = 0; i < g->OH; i++) {
        int64_t r = i * g->stride_h - g->pad_h + kh * g->dilation_h;

        if (r < 0 || r >= g->H) continue;
        for (int64_t j = 0; j < g->OW; j++) {
            int64_t s = j * g->stride_w - g->pad_w + kw * g->dilation_w;
            const T *restrict a = x + (r * g->W + s) * C, *restrict b = dy + (i * g->OW + j) * C;

            if (s < 0 || s >= g->W) continue;
            for (int64_t c = 0; c < C; c++)
                sum[c] += LOAD(a[c]) * LOAD(b[c]);
        }
    }
}

static void depthwise_dw_range(void *user, int worker, int64_t from, int64_t to)
{
    const depthwise_dw_job *w = user;
    const tp_window *g = w->g;
    int64_t taps = g->KH * g->KW;

    (void)worker;
    for (int64_t i = from; i < to; i++) { /* a tap of a chunk */
        int64_t chunk = i / taps, tap = i % taps;
        A *sum = w->sums + i * g->C;

        memset(sum, 0, (size_t)g->C * sizeof(A));
        for (int64_t n = br_cut(g->N, w->chunks, chunk); n < br_cut(g->N, w->chunks, chunk + 1);
             n++)
            depthwise_dw_tap(g, w->x + n * g->H * g->W * g->C, w->dy + n * g->OH * g->OW * g->C,
                             tap / g->KW, tap % g->KW, sum);
    }
}

static inline int depthwise_dw(tp_ctx *c, const tp_window *g, const void *x, const void *dy,
                               bool add, void *dw)
{
    depthwise_dw_job w = { .g = g, .x = x, .dy = dy, .dw = dw, .add = add };
    int64_t taps = g->KH * g->KW;

    w.chunks = g->N < DEPTHWISE_CHUNKS ? g->N : DEPTHWISE_CHUNKS;
    w.sums = tp_scratch(c, (size_t)(w.chunks * taps * g->C) * sizeof(A));
    if (!w.sums) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, w.chunks * taps, 1, depthwise_dw_range, &w);
    for (int64_t i = 0; i < g->C * taps; i++) {
        A v = add ? LOAD(w.dw[i]) : 0;

        for (int64_t k = 0; k < w.chunks; k++)
            v += w.sums[(k * taps + i % taps) * g->C + i / taps];
        w.dw[i] = STORE(v);
    }
    return 0;
}

#endif
