/*
 * softmax.cu - softmax, its logarithm, and their derivative along lanes of a dense (outer, n, inner).
 */
#include "kernels/cuda/lanes.cuh"

/* ---- what a lane's numbers are; short lanes stay in registers, KEPT numbers a thread ---- */

enum { KEPT = 8 };

template <bool ALONG, class T>
static __global__ void soften(tp_lanes d, int64_t tiles, tp_softmax_kind kind, const T *x, T *y)
{
    typedef tp_acc<T> A;

    for (int64_t b = blockIdx.x; b < tiles; b += gridDim.x) {
        tp_lane w = tp_lane_of<ALONG>(d, b);
        bool kept = d.n <= KEPT * (int64_t)w.step, masked;
        A top = A(-INFINITY), sum = 0, shift, v[KEPT];

        TP_UNROLL
        for (int k = 0; k < KEPT; k++) {
            int64_t i = w.first + (int64_t)k * w.step;

            v[k] = kept && w.live && i < d.n ? tp_load(x[w.base + i * w.stride]) : A(-INFINITY);
            top = tp_nan_wins()(top, v[k]);
        }
        for (int64_t i = w.first; !kept && w.live && i < d.n; i += w.step)
            top = tp_nan_wins()(top, tp_load(x[w.base + i * w.stride]));
        top = tp_lane_fold<ALONG>(top, tp_nan_wins());
        TP_UNROLL
        for (int k = 0; k < KEPT; k++)
            if (kept && w.live && w.first + (int64_t)k * w.step < d.n) sum += exp(v[k] - top);
        for (int64_t i = w.first; !kept && w.live && i < d.n; i += w.step)
            sum += exp(tp_load(x[w.base + i * w.stride]) - top);
        sum = tp_lane_fold<ALONG>(sum, tp_plus());
        masked = kind == TP_SOFTMAX_MASKED && top == A(-INFINITY);
        shift = kind == TP_SOFTMAX_LOG ? log(sum) : 1 / sum;
        TP_UNROLL
        for (int k = 0; k < KEPT; k++) {
            int64_t i = w.first + (int64_t)k * w.step;

            if (kept && w.live && i < d.n)
                tp_put(&y[w.base + i * w.stride], masked ? A(0) : kind == TP_SOFTMAX_LOG ? v[k] - top - shift : exp(v[k] - top) * shift);
        }
        for (int64_t i = w.first; !kept && w.live && i < d.n; i += w.step) {
            A u = tp_load(x[w.base + i * w.stride]);

            tp_put(&y[w.base + i * w.stride], masked ? A(0) : kind == TP_SOFTMAX_LOG ? u - top - shift : exp(u - top) * shift);
        }
    }
}

template <class T>
static int softmax(tp_ctx *c, int64_t outer, int64_t n, int64_t inner, const void *x, tp_softmax_kind kind, void *y)
{
    tp_lanes d = { outer, n, inner };

    return TP_LAUNCH_LANES(c, __func__, d, (soften<true, T>), (soften<false, T>), kind, (const T *)x, (T *)y);
}

/* ---- dx (+)= y (dy - sum dy y), or of the logarithm  dy - e^y sum dy ---- */

template <bool ALONG, class T>
static __global__ void soften_dx(tp_lanes d, int64_t tiles, bool logarithm, const T *dy, const T *y, bool add, T *dx)
{
    typedef tp_acc<T> A;

    for (int64_t b = blockIdx.x; b < tiles; b += gridDim.x) {
        tp_lane w = tp_lane_of<ALONG>(d, b);
        A sum = 0;

        for (int64_t i = w.first; w.live && i < d.n; i += w.step) {
            A g = tp_load(dy[w.base + i * w.stride]);

            sum += logarithm ? g : g * tp_load(y[w.base + i * w.stride]);
        }
        sum = tp_lane_fold<ALONG>(sum, tp_plus());
        for (int64_t i = w.first; w.live && i < d.n; i += w.step) {
            int64_t at = w.base + i * w.stride;
            A g = tp_load(dy[at]), v = tp_load(y[at]);

            tp_put(&dx[at], logarithm ? g - exp(v) * sum : v * (g - sum), add);
        }
    }
}

template <class T>
static int softmax_dx(tp_ctx *c, int64_t outer, int64_t n, int64_t inner, const void *dy, const void *y,
                      tp_softmax_kind kind, bool add, void *dx)
{
    tp_lanes d = { outer, n, inner };
    bool logarithm = kind == TP_SOFTMAX_LOG;

    return TP_LAUNCH_LANES(c, __func__, d, (soften_dx<true, T>), (soften_dx<false, T>), logarithm, (const T *)dy,
                           (const T *)y, add, (T *)dx);
}

TP_FLOATS(softmax)
TP_FLOATS(softmax_dx)
