/*
 * number.cuh - from a number to each dtype, and where integers wrap around.
 */
#ifndef TP_KERNELS_CUDA_NUMBER_CUH
#define TP_KERNELS_CUDA_NUMBER_CUH

#include "kernels/cuda/launch.cuh"

#include <type_traits>

/* To an integer towards zero; what doesn't fit becomes the nearest that does, NaN 0. */
template <class U, class A>
__host__ __device__ inline U tp_to_integer(A x, A low, A high, U least, U most)
{
    if (x != x) return 0;
    return x >= high ? most : x <= low ? least : U(x);
}

/* Integers wrap, as in C; to f16 and bf16 by way of f32. */
template <class U, class A> struct tp_convert {
    static __host__ __device__ U of(A x) { return U(x); }
};
template <class A> struct tp_convert<tp_bf16, A> {
    static __host__ __device__ tp_bf16 of(A x) { return tp_bf16(float(x)); }
};
template <class A> struct tp_convert<tp_f16, A> {
    static __host__ __device__ tp_f16 of(A x) { return tp_f16(float(x)); }
};
template <class A> struct tp_convert<bool, A> {
    static __host__ __device__ bool of(A x) { return x != A(0); }
};

#define TP_FROM_FLOAT(A)                                                                 \
    template <> struct tp_convert<int64_t, A> {                                          \
        static __host__ __device__ int64_t of(A x)                                       \
        {                                                                                \
            return tp_to_integer<int64_t, A>(x, A(-0x1p63), A(0x1p63), INT64_MIN,        \
                                          INT64_MAX);                                    \
        }                                                                                \
    };                                                                                   \
    template <> struct tp_convert<int32_t, A> {                                          \
        static __host__ __device__ int32_t of(A x)                                       \
        {                                                                                \
            return tp_to_integer<int32_t, A>(x, A(-0x1p31), A(0x1p31), INT32_MIN,        \
                                          INT32_MAX);                                    \
        }                                                                                \
    };                                                                                   \
    template <> struct tp_convert<uint8_t, A> {                                          \
        static __host__ __device__ uint8_t of(A x)                                       \
        {                                                                                \
            return tp_to_integer<uint8_t, A>(x, A(0), A(256), 0, 255);                   \
        }                                                                                \
    };
TP_FROM_FLOAT(float)
TP_FROM_FLOAT(double)

/* What A makes of a double. */
template <class A> __host__ __device__ inline A tp_number(double v)
{
    return tp_convert<A, double>::of(v);
}

/* The same, but an integer wraps around: -1 in u8 is 255, what is added to take 1 away. */
template <class A> __host__ __device__ inline A tp_wrapped(double v)
{
    if constexpr (std::is_integral<A>::value && !std::is_same<A, bool>::value)
        return (A)(uint64_t)tp_convert<int64_t, double>::of(v);
    else return tp_convert<A, double>::of(v);
}

#endif
