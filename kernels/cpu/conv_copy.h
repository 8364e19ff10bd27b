/*
 * conv_copy.h - an image with its padding, copied.
 */
#ifndef TP_KERNELS_CPU_CONV_COPY_H
#define TP_KERNELS_CPU_CONV_COPY_H

#include "kernels/cpu/generic.h"

#include <string.h>

static inline void conv_copy_run(const T *src, int64_t n, A *dst)
{
#if TP_IS(bf16)
    for (int64_t i = 0; i < n; i++)
        dst[i] = LOAD(src[i]);
#else
    memcpy(dst, src, (size_t)n * sizeof(A));
#endif
}

/* dst (rows, cols, some) = the first `some` of x's C channels from (top, left) on, which may
 * lie outside: 0 there. */
static inline void conv_copy_some(const T *x, int64_t H, int64_t W, int64_t C, int64_t some,
                                  int64_t top, int64_t left, int64_t rows, int64_t cols, A *dst)
{
    int64_t from = left < 0 ? -left : 0, to = W - left < cols ? W - left : cols;

    if (from > cols) from = cols;
    if (to < from) to = from;
    for (int64_t r = top; r < top + rows; r++, dst += cols * some) {
        bool inside = r >= 0 && r < H;

        if (!inside || from) memset(dst, 0, (size_t)((inside ? from : cols) * some) * sizeof(A));
        if (!inside) continue;
        if (some == C)
            conv_copy_run(x + (r * W + left + from) * C, (to - from) * C, dst + from * C);
        else
            for (int64_t j = from; j < to; j++)
                conv_copy_run(x + (r * W + left + j) * C, some, dst + j * some);
        if (to < cols) memset(dst + to * some, 0, (size_t)((cols - to) * some) * sizeof(A));
    }
}

static inline void conv_copy(const T *x, int64_t H, int64_t W, int64_t C, int64_t top,
                             int64_t left, int64_t rows, int64_t cols, A *dst)
{
    conv_copy_some(x, H, W, C, C, top, left, rows, cols, dst);
}

#endif
