/*
 * window.h - the geometry of convolution and pooling.
 */
#ifndef TP_KERNELS_WINDOW_H
#define TP_KERNELS_WINDOW_H

#include <stdint.h>

/* Two spatial axes, height first.  Activations are channels-last: x is (N, H, W, C) and y is
 * (N, OH, OW, O) in memory, dense.  Weights are (O, C / groups, KH, KW), dense. */
typedef struct tp_window {
    int64_t N, H, W, C, O, OH, OW;
    int64_t KH, KW, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;
} tp_window;

/* How many places a window of k has along n elements; below 1 when it doesn't fit. */
static inline int64_t tp_window_out(int64_t n, int64_t k, int64_t stride, int64_t pad,
                                    int64_t dilation)
{
    int64_t last = n + 2 * pad - 1; /* place that a window may cover */

    return last < 0 || k - 1 > last / dilation ? 0 : (last - dilation * (k - 1)) / stride + 1;
}

#endif
