/*
 * conv.cu - convolution over channels-last maps and its adjoints; window.h has the geometry.
 *
 * cuDNN computes what it has a plan for (dnn.c); the kernels here the rest, directly.
 *
 * Weights are packed first so that the threads of a warp, whose results lie side by side along the
 * channels, read theirs side by side.  A weight's gradient is a sum over all places: norm.cuh's sums
 * of columns, a column for each weight.
 */
#include "kernels/cuda/norm.cuh"

extern "C" {
#include "kernels/cuda/dnn.h"
}

/* Weight number i of (O, C / groups, KH, KW), as its indices. */
struct tp_tap {
    int64_t o, c, kh, kw;

    __device__ tp_tap(const tp_window &g, int64_t i)
        : o(i / g.KW / g.KH / (g.C / g.groups)), c(i / g.KW / g.KH % (g.C / g.groups)), kh(i / g.KW % g.KH), kw(i % g.KW)
    {
    }
};

static int64_t weights_of(const tp_window *g)
{
    return g->O * (g->C / g->groups) * g->KH * g->KW;
}

/* by_out: to (KH, KW, C / groups, O); else to (KH, KW, O / groups, C). */
template <class T> static __global__ void pack(tp_window g, int64_t n, bool by_out, const T *w, T *to)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, C = g.C / g.groups, O = g.O / g.groups;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_tap t(g, i);
        int64_t at = t.kh * g.KW + t.kw;

        to[by_out ? (at * C + t.c) * g.O + t.o : (at * O + t.o % O) * g.C + t.o / O * C + t.c] = w[i];
    }
}

/* ---- y = x * w + bias ---- */

template <class T>
static __global__ void convolve(tp_window g, int64_t n, const T *x, const T *w, const T *bias, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, C = g.C / g.groups;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        int64_t o = i % g.O, ow = i / g.O % g.OW, oh = i / g.O / g.OW % g.OH, image = i / g.O / g.OW / g.OH;
        int64_t first = o / (g.O / g.groups) * C;
        tp_acc<T> sum = 0;

        for (int64_t k = 0; k < g.KH * g.KW; k++) {
            int64_t h = oh * g.stride_h - g.pad_h + k / g.KW * g.dilation_h;
            int64_t v = ow * g.stride_w - g.pad_w + k % g.KW * g.dilation_w;

            if (h < 0 || h >= g.H || v < 0 || v >= g.W) continue;
            for (int64_t c = 0; c < C; c++)
                sum += tp_load(x[((image * g.H + h) * g.W + v) * g.C + first + c]) * tp_load(w[(k * C + c) * g.O + o]);
        }
        tp_put(&y[i], bias ? sum + tp_load(bias[o]) : sum);
    }
}

template <class T>
static int conv2d(tp_ctx *c, const tp_window *g, const void *x, const void *w, const void *bias, void *y)
{
    int64_t n = g->N * g->OH * g->OW * g->O, weights = weights_of(g);
    int failed = tp_dnn_conv2d(c, tp_dtype_of<T>(), g, x, w, bias, y);
    T *packed;

    if (failed != TP_NO_KERNEL) return failed;
    packed = (T *)tp_scratch(c, (size_t)(weights + 1) * sizeof *packed);
    if (!packed) return TP_KERNEL_NO_MEMORY;
    failed = TP_LAUNCH(c, pack<T>, tp_blocks(weights), TP_THREADS, *g, weights, true, (const T *)w, packed);
    return failed ? failed : TP_LAUNCH(c, convolve<T>, tp_blocks(n), TP_THREADS, *g, n, (const T *)x, (const T *)packed,
                                       (const T *)bias, (T *)y);
}

/* ---- dx (+)= the adjoint in x: each place asks the windows that it lies in ---- */

template <class T> static __global__ void convolve_dx(tp_window g, int64_t n, const T *dy, const T *w, bool add, T *dx)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, O = g.O / g.groups;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        int64_t c = i % g.C, v = i / g.C % g.W, h = i / g.C / g.W % g.H, image = i / g.C / g.W / g.H;
        int64_t first = c / (g.C / g.groups) * O;
        tp_acc<T> sum = 0;

        for (int64_t k = 0; k < g.KH * g.KW; k++) {
            int64_t oh = h + g.pad_h - k / g.KW * g.dilation_h, ow = v + g.pad_w - k % g.KW * g.dilation_w;

            if (oh < 0 || ow < 0 || oh % g.stride_h || ow % g.stride_w) continue;
            oh /= g.stride_h, ow /= g.stride_w;
            if (oh >= g.OH || ow >= g.OW) continue;
            for (int64_t o = 0; o < O; o++)
                sum += tp_load(dy[((image * g.OH + oh) * g.OW + ow) * g.O + first + o]) * tp_load(w[(k * O + o) * g.C + c]);
        }
        tp_put(&dx[i], sum, add);
    }
}

template <class T> static int conv2d_dx(tp_ctx *c, const tp_window *g, const void *dy, const void *w, bool add, void *dx)
{
    int64_t n = g->N * g->H * g->W * g->C, weights = weights_of(g);
    int failed = tp_dnn_conv2d_dx(c, tp_dtype_of<T>(), g, dy, w, add, dx);
    T *packed;

    if (failed != TP_NO_KERNEL) return failed;
    packed = (T *)tp_scratch(c, (size_t)(weights + 1) * sizeof *packed);
    if (!packed) return TP_KERNEL_NO_MEMORY;
    failed = TP_LAUNCH(c, pack<T>, tp_blocks(weights), TP_THREADS, *g, weights, false, (const T *)w, packed);
    return failed ? failed : TP_LAUNCH(c, convolve_dx<T>, tp_blocks(n), TP_THREADS, *g, n, (const T *)dy,
                                       (const T *)packed, add, (T *)dx);
}

/* ---- dw (+)= the adjoint in w: column k is (KH, KW, C / groups, O), row r a place of dy ---- */

template <class T> struct weight_part {
    enum { N = 1 };
    tp_window g;
    const T *x, *dy;

    __device__ void columns(int64_t, int) {}
    __device__ void add(int64_t r, int64_t k, int, tp_one<tp_acc<T>> (&sum)[N]) const
    {
        int64_t C = g.C / g.groups, o = k % g.O, c = k / g.O % C, tap = k / g.O / C;
        int64_t h = r / g.OW % g.OH * g.stride_h - g.pad_h + tap / g.KW * g.dilation_h;
        int64_t v = r % g.OW * g.stride_w - g.pad_w + tap % g.KW * g.dilation_w, image = r / g.OW / g.OH;

        if (h < 0 || h >= g.H || v < 0 || v >= g.W) return;
        sum[0] += { tp_load(dy[r * g.O + o]) * tp_load(x[((image * g.H + h) * g.W + v) * g.C + o / (g.O / g.groups) * C + c]) };
    }
};

template <class T> struct weight_end {
    tp_window g;
    bool add;
    T *dw;

    __device__ void operator()(int64_t k, tp_one<tp_acc<T>> sum) const
    {
        int64_t C = g.C / g.groups, o = k % g.O, c = k / g.O % C, tap = k / g.O / C;

        tp_put(&dw[(o * C + c) * g.KH * g.KW + tap], sum.a, add);
    }
};

template <class T> static int conv2d_dw(tp_ctx *c, const tp_window *g, const void *x, const void *dy, bool add, void *dw)
{
    int64_t rows = g->N * g->OH * g->OW, cols = weights_of(g);
    int failed = tp_dnn_conv2d_dw(c, tp_dtype_of<T>(), g, x, dy, add, dw);
    tp_one<tp_acc<T>> *part;

    if (failed != TP_NO_KERNEL) return failed;
    part = tp_columns_room<tp_one<tp_acc<T>>>(c, rows, cols, 0);
    if (!part) return TP_KERNEL_NO_MEMORY;
    return tp_columns(c, __func__, rows, cols, part, weight_part<T>{ *g, (const T *)x, (const T *)dy },
                      weight_end<T>{ *g, add, (T *)dw });
}

TP_FLOATS(conv2d)
TP_FLOATS(conv2d_dx)
TP_FLOATS(conv2d_dw)
