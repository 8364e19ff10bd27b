/*
 * copy.cu - fill, copy and cast, for every dtype.
 */
#include "kernels/cuda/launch.cuh"

/* ---- from one element type to another ---- */

/* To an integer towards zero; what doesn't fit becomes the nearest that does, NaN 0. */
template <class U, class A>
__device__ inline U to_integer(A x, A low, A high, U least, U most)
{
    if (x != x) return 0;
    return x >= high ? most : x <= low ? least : U(x);
}

/* Integers wrap, as in C; to f16 and bf16 by way of f32. */
template <class U, class A> struct convert {
    static __device__ U of(A x) { return U(x); }
};
template <class A> struct convert<tp_bf16, A> {
    static __device__ tp_bf16 of(A x) { return tp_bf16(float(x)); }
};
template <class A> struct convert<tp_f16, A> {
    static __device__ tp_f16 of(A x) { return tp_f16(float(x)); }
};
template <class A> struct convert<bool, A> {
    static __device__ bool of(A x) { return x != A(0); }
};

#define FROM_FLOAT(A)                                                                    \
    template <> struct convert<int64_t, A> {                                             \
        static __device__ int64_t of(A x)                                                \
        {                                                                                \
            return to_integer<int64_t, A>(x, A(-0x1p63), A(0x1p63), INT64_MIN,           \
                                          INT64_MAX);                                    \
        }                                                                                \
    };                                                                                   \
    template <> struct convert<int32_t, A> {                                             \
        static __device__ int32_t of(A x)                                                \
        {                                                                                \
            return to_integer<int32_t, A>(x, A(-0x1p31), A(0x1p31), INT32_MIN,           \
                                          INT32_MAX);                                    \
        }                                                                                \
    };                                                                                   \
    template <> struct convert<uint8_t, A> {                                             \
        static __device__ uint8_t of(A x)                                                \
        {                                                                                \
            return to_integer<uint8_t, A>(x, A(0), A(256), 0, 255);                      \
        }                                                                                \
    };
FROM_FLOAT(float)
FROM_FLOAT(double)

/* ---- kernels ---- */

template <class T>
static __global__ void fill_all(tp_loop l, int64_t n, double value, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[1];
    T v = convert<T, double>::of(value);

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
        ((float *)y)[i] = convert<float, A>::of(v);
        break;
    case TP_F64:
        ((double *)y)[i] = convert<double, A>::of(v);
        break;
    case TP_BF16:
        ((tp_bf16 *)y)[i] = convert<tp_bf16, A>::of(v);
        break;
    case TP_F16:
        ((tp_f16 *)y)[i] = convert<tp_f16, A>::of(v);
        break;
    case TP_I64:
        ((int64_t *)y)[i] = convert<int64_t, A>::of(v);
        break;
    case TP_I32:
        ((int32_t *)y)[i] = convert<int32_t, A>::of(v);
        break;
    case TP_U8:
        ((uint8_t *)y)[i] = convert<uint8_t, A>::of(v);
        break;
    case TP_BOOL:
        ((bool *)y)[i] = convert<bool, A>::of(v);
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
