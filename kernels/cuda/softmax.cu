/*
 * softmax.cu - softmax, its logarithm, and their derivative along lanes of a dense (outer, n, inner).
 */
#include "kernels/cuda/lanes.cuh"
#include "kernels/cuda/rows.cuh"

/* ---- y from what is known of a lane ---- */

template <class A> struct softened {
    A top, shift;
    bool logarithm, masked;

    __device__ softened(tp_softmax_kind kind, A top, A sum) : top(top), logarithm(kind == TP_SOFTMAX_LOG)
    {
        masked = kind == TP_SOFTMAX_MASKED && top == A(-INFINITY);
        shift = logarithm ? log(sum) : 1 / sum;
    }
    __device__ A operator()(A x) const
    {
        return masked ? A(0) : logarithm ? x - top - shift : exp(x - top) * shift;
    }
};

template <class T>
static __global__ void soften_rows(int64_t rows, int64_t n, tp_softmax_kind kind, const T *xs, T *ys)
{
    typedef tp_acc<T> A;
    const int N = tp_rows<T, 1>::N;
    typedef tp_pack<T, N> pack;

    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        tp_rows<T, 1> x;
        A top, sum;

        x.take({ xs + r * n }, n, ys + r * n);
        tp_top_and_sum(x, &top, &sum);
        softened<A> y(kind, top, sum);
        x.put(false, [&](int64_t, int, const pack(&v)[1], A(&to)[N]) {
            TP_UNROLL
            for (int j = 0; j < N; j++)
                to[j] = y(tp_load(v[0].v[j]));
        });
    }
}

/* Short lanes stay in registers, KEPT numbers a thread. */
enum { KEPT = 8 };

template <class T>
static __global__ void soften_across(tp_lanes d, int64_t tiles, tp_softmax_kind kind, const T *x, T *y)
{
    typedef tp_acc<T> A;

    for (int64_t b = blockIdx.x; b < tiles; b += gridDim.x) {
        tp_lane w = tp_lane_of<false>(d, b);
        bool kept = d.n <= KEPT * (int64_t)w.step;
        A top = A(-INFINITY), sum = 0, v[KEPT];

        TP_UNROLL
        for (int k = 0; k < KEPT; k++) {
            int64_t i = w.first + (int64_t)k * w.step;

            v[k] = kept && w.live && i < d.n ? tp_load(x[w.base + i * w.stride]) : A(-INFINITY);
            top = tp_nan_wins()(top, v[k]);
        }
        A mine = top; /* beyond the registers the sum shrinks where a larger number comes */

        for (int64_t i = w.first; !kept && w.live && i < d.n; i += w.step) {
            A v = tp_load(x[w.base + i * w.stride]), best = tp_nan_wins()(mine, v);

            if (best == A(-INFINITY)) continue; /* e^(-inf + inf) */
            sum = (best == mine ? sum : sum * exp(mine - best)) + exp(v - best), mine = best;
        }
        top = tp_lane_fold<false>(mine, tp_nan_wins());
        if (!kept) sum = mine == A(-INFINITY) ? A(0) : sum * exp(mine - top);
        TP_UNROLL
        for (int k = 0; k < KEPT; k++)
            if (kept && w.live && w.first + (int64_t)k * w.step < d.n) sum += exp(v[k] - top);
        softened<A> to(kind, top, tp_lane_fold<false>(sum, tp_plus()));
        TP_UNROLL
        for (int k = 0; k < KEPT; k++) {
            int64_t i = w.first + (int64_t)k * w.step;

            if (kept && w.live && i < d.n) tp_put(&y[w.base + i * w.stride], to(v[k]));
        }
        for (int64_t i = w.first; !kept && w.live && i < d.n; i += w.step)
            tp_put(&y[w.base + i * w.stride], to(tp_load(x[w.base + i * w.stride])));
    }
}

template <class T>
static int softmax(tp_ctx *c, int64_t outer, int64_t n, int64_t inner, const void *x, tp_softmax_kind kind, void *y)
{
    tp_lanes d = { outer, n, inner };

    if (inner == 1)
        return TP_LAUNCH(c, soften_rows<T>, tp_row_blocks(outer), tp_row_threads(n), outer, n, kind, (const T *)x, (T *)y);
    return TP_LAUNCH(c, soften_across<T>, tp_row_blocks(tp_lane_tiles(d)), TP_THREADS, d, tp_lane_tiles(d), kind,
                     (const T *)x, (T *)y);
}

/* ---- dx (+)= y (dy - sum dy y), or of the logarithm  dy - e^y sum dy ---- */

template <class A> __device__ inline A slope(bool logarithm, A dy, A y, A sum)
{
    return logarithm ? dy - exp(y) * sum : y * (dy - sum);
}

template <class T>
static __global__ void soften_rows_dx(int64_t rows, int64_t n, bool logarithm, const T *dys, const T *ys, bool add, T *dxs)
{
    typedef tp_acc<T> A;
    const int N = tp_rows<T, 1>::N;
    typedef tp_pack<T, N> pack;

    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        tp_rows<T, 2> x; /* dy and y */
        A sum;

        x.take({ dys + r * n, ys + r * n }, n, dxs + r * n);
        sum = x.sum([&](int j, const pack(&v)[2]) {
            return logarithm ? tp_load(v[0].v[j]) : tp_load(v[0].v[j]) * tp_load(v[1].v[j]);
        });
        x.put(add, [&](int64_t, int, const pack(&v)[2], A(&to)[N]) {
            TP_UNROLL
            for (int j = 0; j < N; j++)
                to[j] = slope<A>(logarithm, tp_load(v[0].v[j]), tp_load(v[1].v[j]), sum);
        });
    }
}

template <class T>
static __global__ void TP_ROOMY soften_across_dx(tp_lanes d, int64_t tiles, bool logarithm, const T *dy, const T *y, bool add, T *dx)
{
    typedef tp_acc<T> A;
    enum { BOTH = KEPT / 2 }; /* numbers of dy and of y */

    for (int64_t b = blockIdx.x; b < tiles; b += gridDim.x) {
        tp_lane w = tp_lane_of<false>(d, b);
        int64_t n = w.live ? d.n : 0, far = w.first + (int64_t)BOTH * w.step; /* from there on numbers are read again */
        A sum = 0, g[BOTH], p[BOTH];

        TP_UNROLL
        for (int k = 0; k < BOTH; k++) {
            int64_t i = w.first + (int64_t)k * w.step;

            g[k] = i < n ? tp_load(dy[w.base + i * w.stride]) : A(0), p[k] = i < n ? tp_load(y[w.base + i * w.stride]) : A(0);
            sum += logarithm ? g[k] : g[k] * p[k];
        }
        for (int64_t i = far; i < n; i += w.step) {
            A far_g = tp_load(dy[w.base + i * w.stride]);

            sum += logarithm ? far_g : far_g * tp_load(y[w.base + i * w.stride]);
        }
        sum = tp_lane_fold<false>(sum, tp_plus());
        TP_UNROLL
        for (int k = 0; k < BOTH; k++) {
            int64_t i = w.first + (int64_t)k * w.step;

            if (i < n) tp_put(&dx[w.base + i * w.stride], slope<A>(logarithm, g[k], p[k], sum), add);
        }
        for (int64_t i = far; i < n; i += w.step) {
            int64_t at = w.base + i * w.stride;

            tp_put(&dx[at], slope<A>(logarithm, tp_load(dy[at]), tp_load(y[at]), sum), add);
        }
    }
}

template <class T>
static int softmax_dx(tp_ctx *c, int64_t outer, int64_t n, int64_t inner, const void *dy, const void *y,
                      tp_softmax_kind kind, bool add, void *dx)
{
    tp_lanes d = { outer, n, inner };
    bool logarithm = kind == TP_SOFTMAX_LOG;

    if (inner == 1)
        return TP_LAUNCH(c, soften_rows_dx<T>, tp_row_blocks(outer), tp_row_threads(n), outer, n, logarithm, (const T *)dy,
                         (const T *)y, add, (T *)dx);
    return TP_LAUNCH(c, soften_across_dx<T>, tp_row_blocks(tp_lane_tiles(d)), TP_THREADS, d, tp_lane_tiles(d), logarithm,
                     (const T *)dy, (const T *)y, add, (T *)dx);
}

TP_FLOATS(softmax)
TP_FLOATS(softmax_dx)
