/*
 * map.cuh - y (+)= f(x) or f(a, b), element by element, for the families of elementwise kernels.
 *
 * A formula is a struct that is called with one number or two; what it needs beside them are its
 * members.  Dense operands go 16 bytes at a time; others by their strides.
 */
#ifndef TP_KERNELS_CUDA_MAP_CUH
#define TP_KERNELS_CUDA_MAP_CUH

#include "kernels/cuda/math.cuh"
#include "kernels/cuda/number.cuh"
#include "kernels/cuda/pack.cuh"

template <int K, class F, class A> __device__ inline auto tp_apply(const F &f, A a, A b)
{
    if constexpr (K == 1) return f(a);
    else return f(a, b);
}

/* y of U, inputs of T; U is no wider. */
template <int K, class T, class U, class F>
static __global__ void tp_map_packs(int64_t n, F f, const T *a, const T *b, bool add, U *y)
{
    const int N = 16 / sizeof(T);
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t p = i; p < n / N; p += step) {
        tp_pack<T, N> pa = TP_WHOLE((const tp_pack<T, N> *)a + p), pb = pa;
        tp_pack<U, N> py = {};

        if (K == 2) pb = TP_WHOLE((const tp_pack<T, N> *)b + p);
        if (add) py = TP_WHOLE((const tp_pack<U, N> *)y + p);
        for (int k = 0; k < N; k++)
            tp_put(&py.v[k], tp_apply<K>(f, tp_load(pa.v[k]), tp_load(pb.v[k])), add);
        ((tp_pack<U, N> *)y)[p] = py;
    }
    for (int64_t j = n / N * N + i; j < n; j += step)
        tp_put(&y[j], tp_apply<K>(f, tp_load(a[j]), tp_load(K == 2 ? b[j] : a[j])), add);
}

template <int K, class T, class U, class F>
static __global__ void tp_map_strided(tp_loop l, int64_t n, F f, const T *a, const T *b, bool add, U *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[K + 1];

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_at(l, i, at);
        tp_put(&y[at[0]], tp_apply<K>(f, tp_load(a[at[1]]), tp_load(K == 2 ? b[at[K]] : a[at[1]])), add);
    }
}

/* Operands 0 to k of a loop run densely side by side. */
inline bool tp_dense(const tp_loop *l, int k)
{
    bool dense = l->rank == 1;

    for (int i = 0; i <= k; i++)
        dense = dense && l->stride[i][0] == 1;
    return dense;
}

template <int K, class T, class U, class F>
static int tp_map(tp_ctx *c, const char *op, const tp_loop *l, F f, const void *a, const void *b, bool add,
                  void *y)
{
    int64_t n = tp_loop_count(l), packs = n / (16 / (int64_t)sizeof(T)) + 1;

    if (n == 0) return 0;
    if (tp_dense(l, K) && tp_aligned(a) && (K == 1 || tp_aligned(b)) && tp_aligned(y))
        return TP_LAUNCH_FOR(c, op, (tp_map_packs<K, T, U, F>), tp_blocks(packs), TP_THREADS, n, f, (const T *)a,
                         (const T *)b, add, (U *)y);
    return TP_LAUNCH_FOR(c, op, (tp_map_strided<K, T, U, F>), tp_blocks(n), TP_THREADS, *l, n, f, (const T *)a,
                     (const T *)b, add, (U *)y);
}

/* ---- slots by their formula; SET is one of launch.cuh's, FLOATS, NUMBERS ... ---- */

/* value: an expression in a */
#define TP_UNARY(set, name, value)                                                       \
    struct name##_of {                                                                   \
        template <class A> __device__ A operator()(A a) const { return A(value); }       \
    };                                                                                   \
    template <class T>                                                                   \
    static int k_##name(tp_ctx *c, const tp_loop *l, const void *x, bool add, void *y)   \
    {                                                                                    \
        return tp_map<1, T, T>(c, #name, l, name##_of(), x, x, add, y);                         \
    }                                                                                    \
    TP_##set##_BY(name, k_##name)

/* value: an expression in a and b */
#define TP_BINARY(set, name, value)                                                      \
    struct name##_of {                                                                   \
        template <class A> __device__ A operator()(A a, A b) const { return A(value); }  \
    };                                                                                   \
    template <class T>                                                                   \
    static int k_##name(tp_ctx *c, const tp_loop *l, const void *a, const void *b,       \
                        bool add, void *y)                                               \
    {                                                                                    \
        return tp_map<2, T, T>(c, #name, l, name##_of(), a, b, add, y);                         \
    }                                                                                    \
    TP_##set##_BY(name, k_##name)

/* value: an expression in a and in k0, k1, k2, the function's numbers */
#define TP_CURVE_VALUE(set, name, value)                                                 \
    template <class A> struct name##_of {                                                \
        A k0, k1, k2;                                                                    \
        __device__ A operator()(A a) const { return A(value); }                          \
    };                                                                                   \
    template <class T>                                                                   \
    static int k_##name(tp_ctx *c, const tp_loop *l, const void *x, const double *k,     \
                        bool add, void *y)                                               \
    {                                                                                    \
        name##_of<tp_acc<T>> f = { tp_number<tp_acc<T>>(k[0]), tp_number<tp_acc<T>>(k[1]), \
                                   tp_number<tp_acc<T>>(k[2]) };                         \
                                                                                         \
        return tp_map<1, T, T>(c, #name, l, f, x, x, add, y);                                   \
    }                                                                                    \
    TP_##set##_BY(name, k_##name)

/* a times value, an expression in b, k0, k1, k2 */
#define TP_CURVE_SLOPE(name, value)                                                      \
    template <class A> struct name##_of {                                                \
        A k0, k1, k2;                                                                    \
        __device__ A operator()(A a, A b) const { return a * A(value); }                 \
    };                                                                                   \
    template <class T>                                                                   \
    static int k_##name(tp_ctx *c, const tp_loop *l, const void *a, const void *b,       \
                        const double *k, bool add, void *y)                              \
    {                                                                                    \
        name##_of<tp_acc<T>> f = { tp_acc<T>(k[0]), tp_acc<T>(k[1]), tp_acc<T>(k[2]) };  \
                                                                                         \
        return tp_map<2, T, T>(c, #name, l, f, a, b, add, y);                                   \
    }                                                                                    \
    TP_FLOATS_BY(name, k_##name)

/* F, DF and DDF are functions or macros of one number, which may use k0, k1, k2. */
#define TP_BENT(set, name, F, DF)                                                        \
    TP_CURVE_VALUE(set, name, F(a))                                                      \
    TP_CURVE_SLOPE(name##_dx, DF(b))
#define TP_CURVE(name, F, DF, DDF)                                                       \
    TP_BENT(FLOATS, name, F, DF)                                                         \
    TP_CURVE_SLOPE(name##_ddx, DDF(b))

#endif
