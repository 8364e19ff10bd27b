/*
 * pool.cu - the largest of each window, or of each part, of a channels-last map, and the derivatives;
 * kernels.def has the rules.
 *
 * A thread makes one result, neighbours side by side along the channels.  A gradient is gathered: each
 * place asks the windows that it lies in whether it won there.
 */
#include "kernels/cuda/taps.cuh"

/* Result i of (N, H, W, C): its image, place and channel. */
struct tp_spot {
    int64_t n, h, w, c;

    __device__ tp_spot(int64_t i, int64_t H, int64_t W, int64_t C)
        : n(i / C / W / H), h(i / C / W % H), w(i / C % W), c(i % C)
    {
    }
};

/* Does v take over from best?  The first of equals stays, and so does the first NaN. */
template <class A> __device__ inline bool wins(A v, A best, bool begun)
{
    return !begun || (!(v <= best) && best == best);
}

/* Of `taps` places from h on, `dilation` apart, those within n: from *first to before *end. */
__device__ inline void inside(int64_t h, int64_t dilation, int64_t taps, int64_t n, int64_t *first, int64_t *end)
{
    int64_t after = n - h > 0 ? (n - h - 1) / dilation + 1 : 0;

    *first = h < 0 ? (-h - 1) / dilation + 1 : 0;
    *end = taps < after ? taps : after;
}

/* The windows that place h may lie in: from *first to before *end. */
__device__ inline void around(int64_t h, int64_t pad, int64_t stride, int64_t reach, int64_t outs, int64_t *first, int64_t *end)
{
    int64_t low = h + pad - reach, last = (h + pad) / stride;

    *first = low > 0 ? (low + stride - 1) / stride : 0;
    *end = last + 1 < outs ? last + 1 : outs;
}

/* ---- windows ---- */

template <class T> static __global__ void pool(tp_window g, int64_t n, const T *x, T *y, int32_t *place)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_spot o(i, g.OH, g.OW, g.C);
        int64_t h = o.h * g.stride_h - g.pad_h, w = o.w * g.stride_w - g.pad_w, kh0, kh1, kw0, kw1;
        tp_acc<T> best = tp_acc<T>(-INFINITY);
        int32_t at = 0;
        bool begun = false;

        inside(h, g.dilation_h, g.KH, g.H, &kh0, &kh1), inside(w, g.dilation_w, g.KW, g.W, &kw0, &kw1);
        for (int64_t kh = kh0; kh < kh1; kh++)
            for (int64_t kw = kw0; kw < kw1; kw++) {
                tp_acc<T> v = tp_load(x[((o.n * g.H + h + kh * g.dilation_h) * g.W + w + kw * g.dilation_w) * g.C + o.c]);

                if (wins(v, best, begun)) best = v, at = (int32_t)(kh * g.KW + kw);
                begun = true;
            }
        tp_put(&y[i], best), place[i] = at;
    }
}

template <class T>
static __global__ void TP_ROOMY pool_dx(tp_window g, int64_t n, const T *dy, const int32_t *place, bool add, T *dx)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_spot p(i, g.H, g.W, g.C);
        int64_t h0, h1, w0, w1;
        tp_acc<T> sum = 0;

        around(p.h, g.pad_h, g.stride_h, (g.KH - 1) * g.dilation_h, g.OH, &h0, &h1);
        around(p.w, g.pad_w, g.stride_w, (g.KW - 1) * g.dilation_w, g.OW, &w0, &w1);
        for (int64_t oh = h0; oh < h1; oh++) {
            int64_t kh = p.h + g.pad_h - oh * g.stride_h;
            const int64_t row = ((p.n * g.OH + oh) * g.OW) * g.C + p.c;

            if (kh % g.dilation_h) continue;
            kh /= g.dilation_h;
            for (int64_t ow = w0; ow < w1; ow++) {
                int64_t kw = p.w + g.pad_w - ow * g.stride_w, at = row + ow * g.C;
                int chosen = place[at], KW = (int)g.KW; /* in 64 bits a division takes 12 registers more */

                if (chosen / KW == kh && chosen % KW * g.dilation_w == kw) sum += tp_load(dy[at]);
            }
        }
        tp_put(&dx[i], sum, add);
    }
}

/* A window that lay in padding alone has no winner. */
template <class T> static __global__ void pool_ddy(tp_window g, int64_t n, const T *u, const int32_t *place, T *ddy)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_spot o(i, g.OH, g.OW, g.C);
        int64_t h = o.h * g.stride_h - g.pad_h + place[i] / g.KW * g.dilation_h;
        int64_t w = o.w * g.stride_w - g.pad_w + place[i] % g.KW * g.dilation_w;
        bool in = h >= 0 && h < g.H && w >= 0 && w < g.W;

        ddy[i] = in ? u[((o.n * g.H + h) * g.W + w) * g.C + o.c] : T(0);
    }
}

static int64_t outputs(const tp_window *g)
{
    return g->N * g->OH * g->OW * g->C;
}

template <class T> static int max_pool2d(tp_ctx *c, const tp_window *g, const void *x, void *y, int32_t *place)
{
    int64_t n = outputs(g);

    return TP_LAUNCH(c, pool<T>, tp_blocks(n), TP_THREADS, *g, n, (const T *)x, (T *)y, place);
}

template <class T>
static int max_pool2d_dx(tp_ctx *c, const tp_window *g, const void *dy, const int32_t *place, bool add, void *dx)
{
    int64_t n = g->N * g->H * g->W * g->C;

    return TP_LAUNCH(c, pool_dx<T>, tp_blocks(n), TP_THREADS, *g, n, (const T *)dy, place, add, (T *)dx);
}

template <class T>
static int max_pool2d_ddy(tp_ctx *c, const tp_window *g, const void *u, const int32_t *place, void *ddy)
{
    int64_t n = outputs(g);

    return TP_LAUNCH(c, pool_ddy<T>, tp_blocks(n), TP_THREADS, *g, n, (const T *)u, place, (T *)ddy);
}

/* ---- parts ---- */

template <class T> static __global__ void part(tp_resample g, int64_t n, const T *x, T *y, int32_t *place)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_spot o(i, g.h.out, g.w.out, g.C);
        tp_taps h = tp_resample_taps(&g.h, o.h), w = tp_resample_taps(&g.w, o.w);
        tp_acc<T> best = tp_acc<T>(-INFINITY);
        int32_t at = -1;

        for (int64_t a = h.from; a < h.from + h.count; a++)
            for (int64_t b = w.from; b < w.from + w.count; b++) {
                tp_acc<T> v = tp_load(x[((o.n * g.h.n + a) * g.w.n + b) * g.C + o.c]);

                if (wins(v, best, at >= 0)) best = v, at = (int32_t)(a * g.w.n + b);
            }
        tp_put(&y[i], best), place[i] = at;
    }
}

template <class T>
static __global__ void part_dx(tp_resample g, int64_t n, const T *dy, const int32_t *place, bool add, T *dx)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_spot p(i, g.h.n, g.w.n, g.C);
        tp_reach h = tp_reached(&g.h, p.h), w = tp_reached(&g.w, p.w);
        tp_acc<T> sum = 0;

        for (int64_t a = h.from; a < h.end; a++)
            for (int64_t b = w.from; b < w.end; b++) {
                int64_t at = ((p.n * g.h.out + a) * g.w.out + b) * g.C + p.c;

                if (place[at] == p.h * g.w.n + p.w) sum += tp_load(dy[at]);
            }
        tp_put(&dx[i], sum, add);
    }
}

template <class T> static __global__ void part_ddy(tp_resample g, int64_t n, const T *u, const int32_t *place, T *ddy)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_spot o(i, g.h.out, g.w.out, g.C);

        ddy[i] = u[(o.n * g.h.n * g.w.n + place[i]) * g.C + o.c];
    }
}

template <class T> static int part_max2d(tp_ctx *c, const tp_resample *g, const void *x, void *y, int32_t *place)
{
    int64_t n = g->N * g->h.out * g->w.out * g->C;

    return TP_LAUNCH(c, part<T>, tp_blocks(n), TP_THREADS, *g, n, (const T *)x, (T *)y, place);
}

template <class T>
static int part_max2d_dx(tp_ctx *c, const tp_resample *g, const void *dy, const int32_t *place, bool add, void *dx)
{
    int64_t n = g->N * g->h.n * g->w.n * g->C;

    return TP_LAUNCH(c, part_dx<T>, tp_blocks(n), TP_THREADS, *g, n, (const T *)dy, place, add, (T *)dx);
}

template <class T>
static int part_max2d_ddy(tp_ctx *c, const tp_resample *g, const void *u, const int32_t *place, void *ddy)
{
    int64_t n = g->N * g->h.out * g->w.out * g->C;

    return TP_LAUNCH(c, part_ddy<T>, tp_blocks(n), TP_THREADS, *g, n, (const T *)u, place, (T *)ddy);
}

TP_FLOATS(max_pool2d)
TP_FLOATS(max_pool2d_dx)
TP_FLOATS(max_pool2d_ddy)
TP_FLOATS(part_max2d)
TP_FLOATS(part_max2d_dx)
TP_FLOATS(part_max2d_ddy)
