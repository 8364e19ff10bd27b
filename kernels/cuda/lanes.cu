/*
 * lanes.cu - largest, smallest, product, sums and variance along lanes, and the place of the largest of
 * a row; kernels.def has the formulas.
 */
#include "kernels/cuda/lanes.cuh"
#include "kernels/cuda/number.cuh"
#include "kernels/cuda/rows.cuh"

/* ---- folds: a start, what one number gives, and how two are joined ---- */

template <class A> __device__ inline bool is_nan(A v)
{
    return v != v;
}

template <class A> __device__ inline A lowest()
{
    if constexpr (std::is_floating_point<A>::value) return A(-INFINITY);
    else if constexpr (std::is_unsigned<A>::value) return A(0);
    else return A(sizeof(A) == 8 ? INT64_MIN : INT32_MIN);
}

template <class A> __device__ inline A highest()
{
    if constexpr (std::is_floating_point<A>::value) return A(INFINITY);
    else if constexpr (std::is_same<A, bool>::value) return true;
    else if constexpr (std::is_unsigned<A>::value) return A(255);
    else return A(sizeof(A) == 8 ? INT64_MAX : INT32_MAX);
}

/* NaN wins. */
template <class A> struct most {
    typedef A state;
    __device__ A start() const { return lowest<A>(); }
    __device__ A take(A v) const { return v; }
    __device__ A operator()(A a, A b) const { return b > a || is_nan(b) ? b : a; }
};

template <class A> struct least {
    typedef A state;
    __device__ A start() const { return highest<A>(); }
    __device__ A take(A v) const { return v; }
    __device__ A operator()(A a, A b) const { return b < a || is_nan(b) ? b : a; }
};

template <class A> struct product {
    typedef A state;
    __device__ A start() const { return A(1); }
    __device__ A take(A v) const { return v; }
    __device__ A operator()(A a, A b) const { return A((tp_wide<A>)a * (tp_wide<A>)b); }
};

template <class A> struct whole_sum {
    typedef int64_t state;
    __device__ int64_t start() const { return 0; }
    __device__ int64_t take(A v) const { return (int64_t)v; }
    __device__ int64_t operator()(int64_t a, int64_t b) const { return tp_sum(a, b); }
};

template <class A> struct powers {
    typedef A state;
    A p;
    __device__ A start() const { return 0; }
    __device__ A take(A v) const
    {
        return p == 0 ? A(v != 0) : p == 1 ? fabs(v) : p == 2 ? v * v : pow(fabs(v), p);
    }
    __device__ A operator()(A a, A b) const { return a + b; }
};

/* ---- the kernel ---- */

template <bool ALONG, class T, class U, class F>
static __global__ void fold_lanes(tp_lanes d, int64_t tiles, F f, const T *x, U *y)
{
    for (int64_t b = blockIdx.x; b < tiles; b += gridDim.x) {
        tp_lane w = tp_lane_of<ALONG>(d, b);
        typename F::state v = f.start();

        if (ALONG)
            tp_each_of_row(x + w.base, d.n, [&](int64_t, tp_acc<T> a) { v = f(v, f.take(a)); });
        for (int64_t i = w.first; !ALONG && w.live && i < d.n; i += w.step)
            v = f(v, f.take(tp_load(x[w.base + i * w.stride])));
        v = tp_lane_fold<ALONG>(v, f);
        if (w.leader) tp_put(&y[w.lane], v);
    }
}

template <class T, class U, class F> static int fold(tp_ctx *c, const char *op, tp_lanes d, F f, const void *x, void *y)
{
    return TP_LAUNCH_LANES(c, op, d, (fold_lanes<true, T, U, F>), (fold_lanes<false, T, U, F>), f, (const T *)x, (U *)y);
}

#define LANES(name, by, U)                                                               \
    template <class T> static int name(tp_ctx *c, tp_lanes d, const void *x, void *y)    \
    {                                                                                    \
        return fold<T, U>(c, #name, d, by<tp_acc<T>>(), x, y);                           \
    }

LANES(amax, most, T)
LANES(amin, least, T)
LANES(prod, product, T)
LANES(total, whole_sum, int64_t)

template <class T> static int power_sum(tp_ctx *c, tp_lanes d, const void *x, double p, void *y)
{
    return fold<T, T>(c, __func__, d, powers<tp_acc<T>>{ tp_acc<T>(p) }, x, y);
}

TP_ALL_DTYPES(amax)
TP_ALL_DTYPES(amin)
TP_FLOATS_I64_BY(prod, prod)
TP_BITS_BY(total, total)
TP_FLOATS(power_sum)

/* ---- variance: squares about a mean ---- */

template <class T>
static __global__ void vary_rows(tp_lanes d, int64_t rows, double over, const T *x, T *y)
{
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        tp_rows<T, 1> row;
        tp_acc<T> mean, squares;

        row.take({ x + r * d.n }, d.n, NULL);
        tp_mean_and_squares(row, &mean, &squares);
        if (threadIdx.x == 0) tp_put(&y[r], squares / tp_acc<T>(over));
    }
}

/* Each thread keeps the mean of what it has seen, and the squares about that (Welford 1962). */
template <class T>
static __global__ void vary_across(tp_lanes d, int64_t tiles, double over, const T *x, T *y)
{
    for (int64_t b = blockIdx.x; b < tiles; b += gridDim.x) {
        tp_lane w = tp_lane_of<false>(d, b);
        tp_acc<T> mine = 0, squares = 0, seen = 0, mean;

        for (int64_t i = w.first; w.live && i < d.n; i += w.step) {
            tp_acc<T> off = tp_load(x[w.base + i * w.stride]) - mine;

            seen += 1, mine += off / seen;
            squares += off * ((seen - 1) / seen) * off; /* 0 at first, however large off is */
        }
        mean = tp_lane_fold<false>(mine * seen, tp_plus()) / tp_acc<T>(d.n);
        squares = tp_lane_fold<false>(squares + seen * (mine - mean) * (mine - mean), tp_plus());
        if (w.leader) tp_put(&y[w.lane], squares / tp_acc<T>(over));
    }
}

template <class T> static int variance(tp_ctx *c, tp_lanes d, const void *x, double correction, void *y)
{
    double over = (double)d.n > correction ? (double)d.n - correction : 0;

    return TP_LAUNCH_LANES(c, __func__, d, vary_rows<T>, vary_across<T>, over, (const T *)x, (T *)y);
}

TP_FLOATS(variance)

/* ---- the first place of the largest of a row ---- */

struct earlier {
    __device__ int64_t operator()(int64_t a, int64_t b) const { return b < a ? b : a; }
};

template <class T> static __global__ void find_largest(int64_t rows, int64_t cols, const T *x, int64_t *y)
{
    most<tp_acc<T>> f;

    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        tp_acc<T> best = f.start(), top;
        int64_t place = INT64_MAX;

        tp_each_of_row(x + r * cols, cols, [&](int64_t i, tp_acc<T> v) {
            if (place == INT64_MAX || v > best || (is_nan(v) && !is_nan(best))) best = v, place = i;
        });
        top = tp_block_fold(best, f);
        if (!(best == top || (is_nan(best) && is_nan(top)))) place = INT64_MAX;
        place = tp_block_fold(place, earlier());
        if (threadIdx.x == 0) y[r] = place;
    }
}

template <class T> static int argmax(tp_ctx *c, int64_t rows, int64_t cols, const void *x, int64_t *y)
{
    if (rows > 0 && cols < 1) return tp__kernel_error(c, "argmax of no elements");
    return TP_LAUNCH(c, find_largest<T>, tp_row_blocks(rows), tp_row_threads(cols), rows, cols, (const T *)x, y);
}

TP_NUMBERS_BY(argmax, argmax)
