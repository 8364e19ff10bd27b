/*
 * conv_depthwise_dw.h - the adjoint in the weights of a convolution where each channel has a
 * filter of its own: one sum per tap and channel, in registers over an image, images cut into
 * chunks by shape alone and the chunks' sums folded in order.
 */
#ifndef TP_KERNELS_CPU_CONV_DEPTHWISE_DW_H
#define TP_KERNELS_CPU_CONV_DEPTHWISE_DW_H

#include "kernels/cpu/brgemm.h"

#include <string.h>

enum { DEPTHWISE_CHUNKS = 8, DEPTHWISE_LANES = 64 };

typedef struct depthwise_dw_job {
    const tp_window *g;
    const T *x, *dy;
    A *sums; /* (chunks, taps, C) */
    int64_t chunks;
} depthwise_dw_job;

/* sum[c] += x[c] dy[c] of all pixels of an image that tap (kh, kw) reaches, n channels. */
static void depthwise_dw_tap(const tp_window *g, const T *x, const T *dy, int64_t kh,
                             int64_t kw, int64_t n, A *restrict total)
{
    A sum[DEPTHWISE_LANES];

    for (int64_t c = 0; c < n; c++)
        sum[c] = total[c];
    for (int64_t i = 0; i < g->OH; i++) {
        int64_t r = i * g->stride_h - g->pad_h + kh * g->dilation_h;

        for (int64_t j = 0; r >= 0 && r < g->H && j < g->OW; j++) {
            int64_t s = j * g->stride_w - g->pad_w + kw * g->dilation_w;
            const T *a = x + (r * g->W + s) * g->C, *b = dy + (i * g->OW + j) * g->C;

            if (s < 0 || s >= g->W) continue;
            if (n == DEPTHWISE_LANES)
                for (int c = 0; c < DEPTHWISE_LANES; c++)
                    sum[c] += LOAD(a[c]) * LOAD(b[c]);
            else
                for (int64_t c = 0; c < n; c++)
                    sum[c] += LOAD(a[c]) * LOAD(b[c]);
        }
    }
    for (int64_t c = 0; c < n; c++)
        total[c] = sum[c];
}

/* Chunks of images [from, to). */
static void depthwise_dw_range(void *user, int worker, int64_t from, int64_t to)
{
    const depthwise_dw_job *w = user;
    const tp_window *g = w->g;
    int64_t taps = g->KH * g->KW;

    (void)worker;
    memset(w->sums + from * taps * g->C, 0,
           (size_t)((to - from) * taps * g->C) * sizeof(A));
    for (int64_t chunk = from; chunk < to; chunk++)
        for (int64_t n = br_cut(g->N, w->chunks, chunk);
             n < br_cut(g->N, w->chunks, chunk + 1); n++)
            for (int64_t c = 0; c < g->C; c += DEPTHWISE_LANES)
                for (int64_t tap = 0; tap < taps; tap++)
                    depthwise_dw_tap(
                        g, w->x + n * g->H * g->W * g->C + c,
                        w->dy + n * g->OH * g->OW * g->C + c, tap / g->KW, tap % g->KW,
                        g->C - c < DEPTHWISE_LANES ? g->C - c : DEPTHWISE_LANES,
                        w->sums + (chunk * taps + tap) * g->C + c);
}

static int depthwise_dw(tp_ctx *c, const tp_window *g, const T *x, const T *dy, bool add,
                        T *dw)
{
    depthwise_dw_job w = { .g = g, .x = x, .dy = dy };
    int64_t taps = g->KH * g->KW;

    w.chunks = g->N < DEPTHWISE_CHUNKS ? g->N : DEPTHWISE_CHUNKS;
    w.sums = tp_scratch(c, (size_t)(w.chunks * taps * g->C) * sizeof(A));
    if (!w.sums) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, w.chunks, 1, depthwise_dw_range, &w);
    for (int64_t i = 0; i < g->C * taps; i++) {
        A v = add ? LOAD(dw[i]) : 0;

        for (int64_t k = 0; k < w.chunks; k++)
            v += w.sums[(k * taps + i % taps) * g->C + i / taps];
        dw[i] = STORE(v);
    }
    return 0;
}

#endif
