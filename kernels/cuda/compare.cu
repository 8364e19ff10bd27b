/*
 * compare.cu - questions about elements, answered in bool, and the choice between two tensors by
 * such an answer; kernels.def has the formulas.
 */
#include "kernels/cuda/map.cuh"

/* All threads take the same way. */
template <class A> __device__ inline bool holds(tp_relation r, A a, A b)
{
    switch (r) {
    case TP__EQ:
        return a == b;
    case TP__NE:
        return a != b;
    case TP__LT:
        return a < b;
    case TP__LE:
        return a <= b;
    case TP__GT:
        return a > b;
    case TP__GE:
        return a >= b;
    case TP__AND:
        return a != A(0) && b != A(0);
    case TP__OR:
        return a != A(0) || b != A(0);
    case TP__XOR:
        return (a != A(0)) != (b != A(0));
    case TP__NOT:
        return a == A(0);
    default:
        break;
    }
    if constexpr (std::is_floating_point<A>::value)
        return r == TP__ISNAN ? a != a : r == TP__ISINF ? fabs(a) == INFINITY : fabs(a) < INFINITY;
    else return r == TP__ISFINITE;
}

template <class A> struct relation_of {
    tp_relation r;

    __device__ uint8_t operator()(A a, A b) const { return holds(r, a, b); }
};

template <class T>
static int compare(tp_ctx *c, const tp_loop *l, tp_relation r, const void *a, const void *b, uint8_t *y)
{
    relation_of<tp_acc<T>> f = { r };

    return tp_map<2, T, uint8_t>(c, __func__, l, f, a, b, false, y);
}

/* ---- where: operands y, cond, a, b ---- */

template <class T>
static __device__ void choose_one(const tp_loop &l, int64_t i, const uint8_t *cond, const T *a, const T *b, bool add, T *y)
{
    int64_t at[4];

    tp_at(l, i, at);
    T v = cond[at[1]] ? a[at[2]] : b[at[3]];

    if (add) tp_put(&y[at[0]], tp_load(v), true);
    else y[at[0]] = v;
}

template <class T>
static __global__ void choose(tp_loop l, int64_t n, const uint8_t *cond, const T *a, const T *b, bool add, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        choose_one(l, i, cond, a, b, add, y);
}

template <class T>
static __global__ void choose_packs(tp_loop l, int64_t n, const uint8_t *cond, const T *a, const T *b, bool add, T *y)
{
    const int N = 16 / sizeof(T), last = l.rank - 1;
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, step = (int64_t)gridDim.x * blockDim.x, at[4];

    for (int64_t p = i; p < n / N; p += step) {
        tp_at(l, p * N, at);
        tp_pack<uint8_t, N> yes = tp_along<uint8_t, N>(cond + at[1], l.stride[1][last] == 0);
        tp_pack<T, N> pa = tp_along<T, N>(a + at[2], l.stride[2][last] == 0);
        tp_pack<T, N> pb = tp_along<T, N>(b + at[3], l.stride[3][last] == 0), py = {};

        if (add) py = TP_WHOLE((const tp_pack<T, N> *)(y + at[0]));
        for (int k = 0; k < N; k++) {
            T v = yes.v[k] ? pa.v[k] : pb.v[k];

            if (add) tp_put(&py.v[k], tp_load(v), true);
            else py.v[k] = v;
        }
        *(tp_pack<T, N> *)(y + at[0]) = py;
    }
    for (int64_t j = n / N * N + i; j < n; j += step)
        choose_one(l, j, cond, a, b, add, y);
}

template <class T>
static int where(tp_ctx *c, const tp_loop *l, const uint8_t *cond, const void *a, const void *b, bool add, void *y)
{
    const int N = 16 / sizeof(T);
    int64_t n = tp_loop_count(l);

    if (n == 0) return 0;
    if (tp_packed(l, 0, N, y) && tp_packed(l, 1, N, cond) && tp_packed(l, 2, N, a) && tp_packed(l, 3, N, b))
        return TP_LAUNCH(c, choose_packs<T>, tp_blocks(n / N + 1), TP_THREADS, *l, n, cond, (const T *)a,
                         (const T *)b, add, (T *)y);
    return TP_LAUNCH(c, choose<T>, tp_blocks(n), TP_THREADS, *l, n, cond, (const T *)a, (const T *)b, add, (T *)y);
}

TP_ALL_DTYPES(compare)
TP_ALL_DTYPES(where)
