/*
 * pack.cuh - numbers that are read and written 16 bytes at a time.
 */
#ifndef TP_KERNELS_CUDA_PACK_CUH
#define TP_KERNELS_CUDA_PACK_CUH

#include "kernels/cuda/launch.cuh"

/* N numbers; up to 16 bytes of them move at once. */
template <class T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) tp_pack {
    T v[N];
};

/* Blocks for packs of 16 bytes of n numbers, a thread each. */
template <class T> inline int64_t tp_pack_blocks(int64_t n)
{
    const int64_t N = 16 / sizeof(T);

    return tp_blocks((n + N - 1) / N);
}

__host__ __device__ inline bool tp_aligned(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

/* The first n of N numbers at p, the others 0; whole: all N, and p is aligned.  NULL: zeros. */
template <class T, int N>
static __device__ inline tp_pack<T, N> tp_fetch(const T *p, int n, bool whole)
{
    const int once = N * sizeof(T) > 16 ? (int)(16 / sizeof(T)) : N;
    tp_pack<T, N> x = {};

    if (!p) return x;
    TP_UNROLL
    for (int k = 0; whole && k < N; k += once) {
        tp_pack<T, once> part = TP_WHOLE((const tp_pack<T, once> *)(p + k));

        TP_UNROLL
        for (int j = 0; j < once; j++)
            x.v[k + j] = part.v[j];
    }
    TP_UNROLL
    for (int k = 0; !whole && k < N; k++)
        if (k < n) x.v[k] = p[k];
    return x;
}

/* f(i, number i) for this thread's of n neighbours: packs of 16 bytes, dealt out to the block in turn. */
template <class T, class F> static __device__ inline void tp_each_of_row(const T *row, int64_t n, F f)
{
    const int N = 16 / sizeof(T);
    bool aligned = tp_aligned(row);

    for (int64_t i = (int64_t)threadIdx.x * N; i < n; i += (int64_t)blockDim.x * N) {
        int m = n - i < N ? (int)(n - i) : N;
        tp_pack<T, N> v = tp_fetch<T, N>(row + i, m, aligned && m == N);

        TP_UNROLL
        for (int j = 0; j < N; j++)
            if (j < m) f(i + j, tp_load(v.v[j]));
    }
}

template <class T, int N>
static __device__ inline void tp_keep(T *p, const tp_pack<T, N> &x, int n, bool whole)
{
    static_assert(N * sizeof(T) <= 16, "a pack is one access");

    if (!p) return;
    if (whole) {
        TP_PUT_WHOLE((tp_pack<T, N> *)p, x);
        return;
    }
    TP_UNROLL
    for (int k = 0; k < N; k++)
        if (k < n) p[k] = x.v[k];
}

#endif
