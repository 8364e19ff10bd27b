/*
 * conv_copy.h - an image with its padding, copied.
 */
#ifndef TP_KERNELS_CPU_CONV_COPY_H
#define TP_KERNELS_CPU_CONV_COPY_H

#include "kernels/cpu/brgemm_pack.h"

static inline void conv_copy_run(const T *src, int64_t n, A *dst)
{
    int64_t i = 0;

    for (; i + BR_LANES <= n; i += BR_LANES)
        *(br_vec_at *)(dst + i) = br_load(src + i);
    if (i && i < n) /* the last vector may overlap the one before */
        *(br_vec_at *)(dst + n - BR_LANES) = br_load(src + n - BR_LANES), i = n;
    for (; i < n; i++)
        dst[i] = LOAD(src[i]);
}

/* dst (count, some) = the first `some` channels of pixels left, left + step, ... of a row of x,
 * 0 outside of it; x is NULL for a row that is all outside. */
static inline void conv_copy_row(const T *x, int64_t W, int64_t C, int64_t some,
                                 int64_t left, int64_t step, int64_t count, A *dst)
{
    int64_t from = left < 0 ? (step - 1 - left) / step : 0, to;

    if (!x || left >= W) from = count;
    from = from < count ? from : count;
    to = left < W ? (W - 1 - left) / step + 1 : from;
    to = to < count ? to : count;
    if (to < from) to = from;
    for (int64_t j = 0; j < from * some; j++)
        dst[j] = 0;
    if (step == 1 && some == C)
        conv_copy_run(x + (x ? (left + from) * C : 0), (to - from) * C, dst + from * C);
    else
        for (int64_t j = from; j < to; j++)
            conv_copy_run(x + (left + j * step) * C, some, dst + j * some);
    for (int64_t j = to * some; j < count * some; j++)
        dst[j] = 0;
}

/* dst (rows, cols, C) = x from (top, left) on, which may lie outside: 0 there. */
static inline void conv_copy(const T *x, int64_t H, int64_t W, int64_t C, int64_t top,
                             int64_t left, int64_t rows, int64_t cols, A *dst)
{
    for (int64_t r = top; r < top + rows; r++, dst += cols * C)
        conv_copy_row(r >= 0 && r < H ? x + r * W * C : NULL, W, C, C, left, 1, cols,
                      dst);
}

#endif
