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

/* y[i] = v in dtype `to`: a switch that all threads take alike, and not 64 kernels. */
template <class A> static __device__ void put_as(tp_dtype to, void *y, int64_t i, A v)
{
    switch (to) {
    case TP_F32:
        ((float *)y)[i] = tp_convert<float, A>::of(v);
        break;
    case TP_F64:
        ((double *)y)[i] = tp_convert<double, A>::of(v);
        break;
    case TP_BF16:
        ((tp_bf16 *)y)[i] = tp_convert<tp_bf16, A>::of(v);
        break;
    case TP_F16:
        ((tp_f16 *)y)[i] = tp_convert<tp_f16, A>::of(v);
        break;
    case TP_I64:
        ((int64_t *)y)[i] = tp_convert<int64_t, A>::of(v);
        break;
    case TP_I32:
        ((int32_t *)y)[i] = tp_convert<int32_t, A>::of(v);
        break;
    case TP_U8:
        ((uint8_t *)y)[i] = tp_convert<uint8_t, A>::of(v);
        break;
    case TP_BOOL:
        ((bool *)y)[i] = tp_convert<bool, A>::of(v);
        break;
    }
}

template <class T>
static __global__ void cast_all(tp_loop l, int64_t n, const T *x, tp_dtype to, void *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[2];

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_at(l, i, at);
        put_as(to, y, at[0], tp_load(x[at[1]]));
    }
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
    int64_t n = tp_loop_count(l);

    if (tp_dense(l, 1)) return move_all<T>(c, __func__, n, T(), x, add, y);
    return TP_LAUNCH(c, copy_all<T>, tp_blocks(n), TP_THREADS, *l, n, (const T *)x, add,
                     (T *)y);
}

template <class T>
static int cast(tp_ctx *c, const tp_loop *l, const void *x, tp_dtype to, void *y)
{
    int64_t n = tp_loop_count(l);

    return TP_LAUNCH(c, cast_all<T>, tp_blocks(n), TP_THREADS, *l, n, (const T *)x, to,
                     y);
}

TP_ALL_DTYPES(fill)
TP_ALL_DTYPES(copy)
TP_ALL_DTYPES(cast)
