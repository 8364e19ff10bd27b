/*
 * map.cuh - y (+)= f(x) or f(a, b), element by element, for the families of elementwise kernels.
 *
 * A formula is a struct that is called with one number or two; what it needs beside them are its
 * members.  Operands whose rows run densely, or are one number each, go 16 bytes at a time; others by their strides.
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

/* N numbers from p on, or N times the one there. */
template <class T, int N> __device__ inline tp_pack<T, N> tp_along(const T *p, bool one)
{
    tp_pack<T, N> x;

    if (!one) return TP_WHOLE((const tp_pack<T, N> *)p);
    T v = *p;

    TP_UNROLL
    for (int k = 0; k < N; k++)
        x.v[k] = v;
    return x;
}

/* y of U, inputs of T; U is no wider.  The last axis is whole packs, or there is no other. */
template <int K, class T, class U, class F>
static __global__ void tp_map_packs(tp_loop l, int64_t n, F f, const T *a, const T *b, bool add, U *y)
{
    const int N = 16 / sizeof(T);
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, step = (int64_t)gridDim.x * blockDim.x, at[K + 1];
    bool one_a = l.stride[1][l.rank - 1] == 0, one_b = l.stride[K][l.rank - 1] == 0;

    for (int64_t p = i; p < n / N; p += step) {
        tp_at(l, p * N, at);
        tp_pack<T, N> pa = tp_along<T, N>(a + at[1], one_a), pb = pa;
        tp_pack<U, N> py = {};

        if (K == 2) pb = tp_along<T, N>(b + at[K], one_b);
        if (add) py = TP_WHOLE((const tp_pack<U, N> *)(y + at[0]));
        for (int k = 0; k < N; k++)
            tp_put(&py.v[k], tp_apply<K>(f, tp_load(pa.v[k]), tp_load(pb.v[k])), add);
        *(tp_pack<U, N> *)(y + at[0]) = py;
    }
    for (int64_t j = n / N * N + i; j < n; j += step) {
        tp_at(l, j, at);
        tp_put(&y[at[0]], tp_apply<K>(f, tp_load(a[at[1]]), tp_load(K == 2 ? b[at[K]] : a[at[1]])), add);
    }
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

/* Operand k goes by packs of N numbers along the last axis, from p on; an input may also stand still there. */
inline bool tp_packed(const tp_loop *l, int k, int N, const void *p)
{
    int last = l->rank - 1;
    bool fits = (last == 0 || l->n[last] % N == 0) && l->stride[k][last] == 1 && tp_aligned(p);

    if (k > 0 && l->stride[k][last] == 0) return last == 0 || l->n[last] % N == 0;
    for (int j = 0; j < last; j++)
        fits = fits && l->stride[k][j] % N == 0;
    return fits;
}

template <int K, class T, class U, class F>
static int tp_map(tp_ctx *c, const char *op, const tp_loop *l, F f, const void *a, const void *b, bool add,
                  void *y)
{
    const int N = 16 / sizeof(T);
    int64_t n = tp_loop_count(l);

    if (n == 0) return 0;
    if (tp_packed(l, 0, N, y) && tp_packed(l, 1, N, a) && (K == 1 || tp_packed(l, K, N, b)))
        return TP_LAUNCH_FOR(c, op, (tp_map_packs<K, T, U, F>), tp_blocks(n / N + 1), TP_THREADS, *l, n, f,
                             (const T *)a, (const T *)b, add, (U *)y);
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
