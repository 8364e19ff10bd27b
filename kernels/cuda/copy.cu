/*
 * copy.cu - fill, copy and cast, for every dtype.
 */
#include "kernels/cuda/number.cuh"

/* ---- kernels ---- */

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

    return TP_LAUNCH(c, fill_all<T>, tp_blocks(n), TP_THREADS, *l, n, value, (T *)y);
}

template <class T>
static int copy(tp_ctx *c, const tp_loop *l, const void *x, bool add, void *y)
{
    int64_t n = tp_loop_count(l);

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
