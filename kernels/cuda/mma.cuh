/*
 * mma.cuh - the tensor cores' product of small matrices, one call for a whole warp.
 *
 * With g = lane / 4 and t = lane % 4 a lane holds, a register of two 16-bit numbers being side by side in k:
 *
 *     a[0], a[1]   A[g][2t, 2t + 1], A[g + 8][..];  a[2], a[3] the same 8 columns further   A (16 x 16)
 *     b[0], b[1]   B[2t, 2t + 1][g];                b[1] 8 rows further                     B (16 x 8)
 *     d[0..3]      D[g][2t, 2t + 1], D[g + 8][2t, 2t + 1]                                   D (16 x 8), f32
 *
 * (PTX ISA, "Matrix Fragments for mma.m16n8k16"; m16n8k8 is its first half).  Where B's rows lie in shared
 * memory, its columns are what tp_load_turned reads.
 */
#ifndef TP_KERNELS_CUDA_MMA_CUH
#define TP_KERNELS_CUDA_MMA_CUH

#include "kernels/cuda/launch.cuh"

#include <type_traits>

/* Of a GPU of compute capability sm / 10: does it multiply T? */
template <class T> inline bool tp_mma_on(int sm)
{
    return sm >= (std::is_same<T, tp_f16>::value ? 75 : 80);
}

/* The same of the GPU that this code is compiled for: a kernel is empty elsewhere, and never launched. */
template <class T> __device__ constexpr bool tp_mma_here()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    return std::is_same<T, tp_f16>::value;
#else
    return true;
#endif
}

/* Two numbers as a register of a fragment, each rounded to T. */
template <class T> __device__ inline uint32_t tp_join(float low, float high)
{
    T pair[2] = { T(low), T(high) };
    uint32_t bits;

    memcpy(&bits, pair, sizeof bits);
    return bits;
}

#ifdef TP_CUDASIM
template <class T>
inline void tp_mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    cudasim_mma(d, a, b, std::is_same<T, tp_bf16>::value);
}

inline void tp_load_turned(uint32_t (&r)[4], const uint4 *row)
{
    cudasim_load_turned(r, row);
}
#else
/* "+f"(d) of a statement named `shape` that takes `A` and `B` */
#define TP_MMA(shape, types, A, B, ...)                                                  \
    asm volatile("mma.sync.aligned." shape ".row.col.f32." types                         \
                 ".f32 {%0, %1, %2, %3}, " A ", " B ", {%0, %1, %2, %3};"                \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                        \
                 : __VA_ARGS__)
#define TP_MMA_16(types)                                                                 \
    TP_MMA("m16n8k16", types, "{%4, %5, %6, %7}", "{%8, %9}", "r"(a[0]), "r"(a[1]),      \
           "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#define TP_MMA_8(a0, a1, b0)                                                             \
    TP_MMA("m16n8k8", "f16.f16", "{%4, %5}", "{%6}", "r"(a0), "r"(a1), "r"(b0))

/* d += a b, by all lanes of the warp. */
template <class T>
__device__ inline void tp_mma_16x8x16(float (&d)[4], const uint32_t (&a)[4],
                                      const uint32_t (&b)[2])
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
    TP_MMA_8(a[0], a[1], b[0]);
    TP_MMA_8(a[2], a[3], b[1]);
#elif defined(__CUDA_ARCH__)
    if constexpr (std::is_same<T, tp_bf16>::value)
        TP_MMA_16("bf16.bf16");
    else
        TP_MMA_16("f16.f16");
#endif
}

/* Four matrices of 8 x 8 16-bit numbers in shared memory, turned; row i % 8 of matrix i / 8 is at lane i's
 * `row`.  r[m] = numbers g of rows 2t and 2t + 1 of matrix m: b[0] or b[1] of the product with its rows. */
__device__ inline void tp_load_turned(uint32_t (&r)[4], const uint4 *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(row))
                 : "memory");
}
#endif

#endif
