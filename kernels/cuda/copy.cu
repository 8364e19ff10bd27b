/*
 * copy.cu - fill, copy and cast, for every dtype.
 */
#include "kernels/cuda/map.cuh"

/* ---- dense operands, 16 bytes at a time ---- */

/* y = v, or, with x, y (+)= x, whose bits stay where nothing is added. */
template <class T> static __global__ void move_packs(int64_t n, T v, const T *x, bool add, T *y)
{
    const int N = 16 / sizeof(T);
    int64_t step = (int64_t)gridDim.x * blockDim.x * N;
    bool aligned = tp_aligned(x) && tp_aligned(y);

    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N; i < n; i += step) {
        int m = n - i < N ? (int)(n - i) : N;
        bool whole = aligned && m == N;
        tp_pack<T, N> from = tp_fetch<T, N>(x ? x + i : NULL, m, whole), to = tp_fetch<T, N>(add ? y + i : NULL, m, whole);

        TP_UNROLL
        for (int j = 0; j < N; j++) {
            if (add) tp_put(&to.v[j], tp_load(from.v[j]), true);
            else to.v[j] = x ? from.v[j] : v;
        }
        tp_keep<T, N>(y + i, to, m, whole);
    }
}

template <class T> static int move_all(tp_ctx *c, const char *op, int64_t n, T v, const void *x, bool add, void *y)
{
    return TP_LAUNCH_FOR(c, op, move_packs<T>, tp_pack_blocks<T>(n), TP_THREADS, n, v,
                         (const T *)x, add, (T *)y);
}

/* ---- by strides ---- */

template <class T>
static __global__ void fill_all(tp_loop l, int64_t n, double value, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[1];
    T v = tp_convert<T, double>::of(value);

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_at(l, i, at);
        y[at[0]] = v;
    }
}

/* The last axis is whole packs. */
template <class T> static __global__ void copy_rows(tp_loop l, int64_t n, const T *x, bool add, T *y)
{
    const int N = 16 / sizeof(T);
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[2];
    bool one = l.stride[1][l.rank - 1] == 0;

    for (int64_t p = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; p < n / N; p += step) {
        tp_at(l, p * N, at);
        tp_pack<T, N> from = tp_along<T, N>(x + at[1], one), to = from;

        if (add) to = TP_WHOLE((const tp_pack<T, N> *)(y + at[0]));
        TP_UNROLL
        for (int j = 0; add && j < N; j++)
            tp_put(&to.v[j], tp_load(from.v[j]), true);
        *(tp_pack<T, N> *)(y + at[0]) = to;
    }
}

template <class T>
static __global__ void copy_all(tp_loop l, int64_t n, const T *x, bool add, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[2];

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_at(l, i, at);
        if (add)
            tp_put(&y[at[0]], tp_load(x[at[1]]), true);
        else
            y[at[0]] = x[at[1]];
    }
}

/* f(a number of dtype `to`): a switch that all threads take alike, and not 64 kernels. */
template <class F> static __device__ void as_dtype(tp_dtype to, F f)
{
    switch (to) {
    case TP_F32:
        return f(float());
    case TP_F64:
        return f(double());
    case TP_BF16:
        return f(tp_bf16());
    case TP_F16:
        return f(tp_f16());
    case TP_I64:
        return f(int64_t());
    case TP_I32:
        return f(int32_t());
    case TP_U8:
        return f(uint8_t());
    case TP_BOOL:
        return f(bool());
    }
}

template <class T>
static __global__ void cast_all(tp_loop l, int64_t n, const T *x, tp_dtype to, void *y)
{
    as_dtype(to, [&](auto as) {
        typedef decltype(as) U;
        int64_t step = (int64_t)gridDim.x * blockDim.x, at[2];

        for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
            tp_at(l, i, at);
            ((U *)y)[at[0]] = tp_convert<U, tp_acc<T>>::of(tp_load(x[at[1]]));
        }
    });
}

/* 16 bytes at a time of the wider side, as many numbers of the other. */
template <class T> static __global__ void cast_packs(int64_t n, const T *x, tp_dtype to, void *ys)
{
    as_dtype(to, [&](auto as) {
        typedef decltype(as) U;
        const int N = 16 / (sizeof(T) > sizeof(U) ? sizeof(T) : sizeof(U));
        int64_t step = (int64_t)gridDim.x * blockDim.x * N;
        bool aligned = tp_aligned(x) && tp_aligned(ys);
        U *y = (U *)ys;

        for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N; i < n; i += step) {
            int m = n - i < N ? (int)(n - i) : N;
            tp_pack<T, N> from = tp_fetch<T, N>(x + i, m, aligned && m == N);
            tp_pack<U, N> v;

            TP_UNROLL
            for (int j = 0; j < N; j++)
                v.v[j] = tp_convert<U, tp_acc<T>>::of(tp_load(from.v[j]));
            tp_keep<U, N>(y + i, v, m, aligned && m == N);
        }
    });
}

/* ---- the slots ---- */

template <class T> static int fill(tp_ctx *c, const tp_loop *l, double value, void *y)
{
    int64_t n = tp_loop_count(l);

    if (tp_dense(l, 0)) return move_all<T>(c, __func__, n, tp_convert<T, double>::of(value), NULL, false, y);
    return TP_LAUNCH(c, fill_all<T>, tp_blocks(n), TP_THREADS, *l, n, value, (T *)y);
}

template <class T>
static int copy(tp_ctx *c, const tp_loop *l, const void *x, bool add, void *y)
{
    const int N = 16 / sizeof(T);
    int64_t n = tp_loop_count(l);

    if (tp_dense(l, 1)) return move_all<T>(c, __func__, n, T(), x, add, y);
    if (l->n[l->rank - 1] % N == 0 && tp_packed(l, 0, N, y) && tp_packed(l, 1, N, x))
        return TP_LAUNCH(c, copy_rows<T>, tp_blocks(n / N), TP_THREADS, *l, n, (const T *)x, add, (T *)y);
    return TP_LAUNCH(c, copy_all<T>, tp_blocks(n), TP_THREADS, *l, n, (const T *)x, add,
                     (T *)y);
}

template <class T>
static int cast(tp_ctx *c, const tp_loop *l, const void *x, tp_dtype to, void *y)
{
    int64_t n = tp_loop_count(l), bytes = (int64_t)tp__bytes_of(to), wide = bytes > (int64_t)sizeof(T) ? bytes : (int64_t)sizeof(T);

    if (tp_dense(l, 1))
        return TP_LAUNCH(c, cast_packs<T>, tp_blocks((n * wide + 15) / 16), TP_THREADS, n, (const T *)x, to, y);
    return TP_LAUNCH(c, cast_all<T>, tp_blocks(n), TP_THREADS, *l, n, (const T *)x, to,
                     y);
}

TP_ALL_DTYPES(fill)
TP_ALL_DTYPES(copy)
TP_ALL_DTYPES(cast)
