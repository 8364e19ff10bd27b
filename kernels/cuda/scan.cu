/*
 * scan.cu - running sums, products and extremes along lanes of a dense (outer, n, inner).
 *
 * With inner 1 a block takes a lane, a stretch of it at a time: each thread joins SPAN numbers, then the
 * threads' results are scanned in shared memory and what came before is carried on.  Else a thread
 * follows a lane.  Sums and products of floats run in double: their errors would pile up.
 */
#include "kernels/cuda/number.cuh"

enum { SPAN = 4 };

template <class T> using wide_acc = typename std::conditional<std::is_floating_point<tp_acc<T>>::value, double, uint64_t>::type;

/* Where number i of lane l lies, in the order of the scan. */
__device__ inline int64_t place_of(const tp_lanes &d, bool reverse, int64_t l, int64_t i)
{
    return l / d.inner * d.n * d.inner + (reverse ? d.n - 1 - i : i) * d.inner + l % d.inner;
}

struct adds {
    template <class S> static __device__ S start() { return S(0); }
    template <class S> __device__ S operator()(S a, S b) const { return a + b; }
};
struct multiplies {
    template <class S> static __device__ S start() { return S(1); }
    template <class S> __device__ S operator()(S a, S b) const { return a * b; }
};

/* The fold of what the threads before this one have; *all: of all of them.  All threads come here. */
template <class S, class F> static __device__ S before_me(S v, F f, S *all)
{
    TP_SHARED(S, part, 2 * TP_THREADS);
    S *from = part, *to = part + TP_THREADS;
    int t = (int)threadIdx.x;

    from[t] = v;
    __syncthreads();
    for (int far = 1; far < (int)blockDim.x; far *= 2) {
        to[t] = t >= far ? f(from[t - far], from[t]) : from[t];
        __syncthreads();
        S *swap = from;

        from = to, to = swap;
    }
    *all = from[blockDim.x - 1], v = t ? from[t - 1] : F::template start<S>();
    __syncthreads(); /* the next scan writes part */
    return v;
}

template <class T, class F>
static __global__ void scan_rows(tp_lanes d, F f, bool reverse, bool exclusive, const T *x, T *y)
{
    typedef wide_acc<T> S;

    for (int64_t l = blockIdx.x; l < d.outer; l += gridDim.x) {
        S carry = F::template start<S>(), all;

        for (int64_t from = 0; from < d.n; from += SPAN * (int64_t)blockDim.x) {
            int64_t first = from + SPAN * (int64_t)threadIdx.x;
            S v[SPAN], mine = F::template start<S>(), run;

            TP_UNROLL
            for (int k = 0; k < SPAN; k++) {
                v[k] = first + k < d.n ? S(tp_load(x[place_of(d, reverse, l, first + k)])) : F::template start<S>();
                mine = f(mine, v[k]);
            }
            run = f(carry, before_me(mine, f, &all));
            TP_UNROLL
            for (int k = 0; k < SPAN; k++) {
                S joined = f(run, v[k]);

                if (first + k < d.n) tp_put(&y[place_of(d, reverse, l, first + k)], tp_acc<T>(exclusive ? run : joined));
                run = joined;
            }
            carry = f(carry, all);
        }
    }
}

template <class T, class F>
static __global__ void scan_lanes(tp_lanes d, F f, bool reverse, bool exclusive, const T *x, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t l = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; l < d.outer * d.inner; l += step) {
        wide_acc<T> run = F::template start<wide_acc<T>>();

        for (int64_t i = 0; i < d.n; i++) {
            int64_t at = place_of(d, reverse, l, i);
            wide_acc<T> joined = f(run, wide_acc<T>(tp_load(x[at])));

            tp_put(&y[at], tp_acc<T>(exclusive ? run : joined)), run = joined;
        }
    }
}

template <class T, class F>
static int scan(tp_ctx *c, const char *op, tp_lanes d, F f, bool reverse, bool exclusive, const void *x, void *y)
{
    if (d.outer * d.n * d.inner == 0) return 0;
    if (d.inner == 1)
        return TP_LAUNCH_FOR(c, op, (scan_rows<T, F>), tp_row_blocks(d.outer), tp_row_threads(d.n), d, f, reverse,
                             exclusive, (const T *)x, (T *)y);
    return TP_LAUNCH_FOR(c, op, (scan_lanes<T, F>), tp_blocks(d.outer * d.inner), TP_THREADS, d, f, reverse,
                         exclusive, (const T *)x, (T *)y);
}

template <class T> static int cumsum(tp_ctx *c, tp_lanes d, bool reverse, const void *x, void *y)
{
    return scan<T>(c, __func__, d, adds(), reverse, false, x, y);
}

template <class T> static int cumprod(tp_ctx *c, tp_lanes d, bool reverse, bool exclusive, const void *x, void *y)
{
    return scan<T>(c, __func__, d, multiplies(), reverse, exclusive, x, y);
}

/* ---- cumprod's derivative: dx_j = (product of x before j) r_j,   r_j = dy_j + x_(j+1) r_(j+1)
 *      exclusive                                                  r_j = dy_(j+1) + x_(j+1) r_(j+1) ---- */

template <class T>
static __global__ void product_slopes(tp_lanes d, bool reverse, bool exclusive, const T *dy, const T *x, T *dx)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t l = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; l < d.outer * d.inner; l += step) {
        double carry = 0;

        for (int64_t i = d.n - 1; i >= 0; i--) {
            int64_t at = place_of(d, reverse, l, i);
            double g = tp_load(dy[at]), r = exclusive ? carry : g + carry;

            tp_put(&dx[at], tp_acc<T>(tp_load(dx[at]) * r)); /* dx holds the products before */
            carry = (exclusive ? g : 0) + tp_load(x[at]) * r;
        }
    }
}

template <class T>
static int cumprod_dx(tp_ctx *c, tp_lanes d, bool reverse, bool exclusive, const void *dy, const void *x, void *dx)
{
    int failed = scan<T>(c, __func__, d, multiplies(), reverse, true, x, dx);

    if (failed || d.n == 0) return failed;
    return TP_LAUNCH(c, product_slopes<T>, tp_blocks(d.outer * d.inner), TP_THREADS, d, reverse, exclusive,
                     (const T *)dy, (const T *)x, (T *)dx);
}

/* ---- extremes so far: the last place of the best; NaN wins ---- */

template <class T> static __global__ void best_places(tp_lanes d, bool least, const T *x, int64_t *place)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t l = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; l < d.outer * d.inner; l += step) {
        tp_acc<T> best = tp_load(x[place_of(d, false, l, 0)]);
        int64_t found = 0;

        for (int64_t i = 0; i < d.n; i++) {
            int64_t at = place_of(d, false, l, i);
            tp_acc<T> v = tp_load(x[at]);

            if (v != v || (least ? v <= best : v >= best)) best = v, found = i;
            place[at] = found;
        }
    }
}

template <class T> static int cummax(tp_ctx *c, tp_lanes d, bool least, const void *x, int64_t *place)
{
    if (d.n == 0) return 0;
    return TP_LAUNCH(c, best_places<T>, tp_blocks(d.outer * d.inner), TP_THREADS, d, least, (const T *)x, place);
}

TP_FLOATS_I64_BY(cumsum, cumsum)
TP_FLOATS_I64_BY(cumprod, cumprod)
TP_FLOATS(cumprod_dx)
TP_NUMBERS_BY(cummax, cummax)
