/*
 * elementwise.cu - arithmetic and activations, element by element; kernels.def has the
 * formulas.
 *
 * A formula is a struct that is called with two numbers.  Dense operands go 16 bytes at a
 * time; others by their strides.
 */
#include "kernels/cuda/math.cuh"

/* 16 bytes of T. */
template <class T> struct alignas(16) pack {
    T v[16 / sizeof(T)];
};

template <class T, class F>
static __global__ void map_packs(int64_t n, F f, const T *a, const T *b, bool add, T *y)
{
    const int width = 16 / sizeof(T);
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t p = i; p < n / width; p += step) {
        pack<T> pa = ((const pack<T> *)a)[p], pb = ((const pack<T> *)b)[p], py;

        if (add) py = ((pack<T> *)y)[p];
        for (int k = 0; k < width; k++)
            tp_put(&py.v[k], f(tp_load(pa.v[k]), tp_load(pb.v[k])), add);
        ((pack<T> *)y)[p] = py;
    }
    for (int64_t j = n / width * width + i; j < n; j += step)
        tp_put(&y[j], f(tp_load(a[j]), tp_load(b[j])), add);
}

template <class T, class F>
static __global__ void map_strided(tp_loop l, int64_t n, F f, const T *a, const T *b,
                                   bool add, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[3];

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_at(l, i, at);
        tp_put(&y[at[0]], f(tp_load(a[at[1]]), tp_load(b[at[2]])), add);
    }
}

static bool aligned(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

/* y (+)= f(a, b); a kernel with one operand passes it twice. */
template <class T, class F>
static int map(tp_ctx *c, const tp_loop *loop, F f, const void *a, const void *b,
               bool add, void *y)
{
    tp_loop l = *loop;
    int64_t n = tp_loop_count(&l);

    if (l.operands == 2)
        for (int j = 0; j < l.rank; j++)
            l.stride[2][j] = l.stride[1][j];
    if (l.rank == 1 && l.stride[0][0] == 1 && l.stride[1][0] == 1 &&
        l.stride[2][0] == 1 && aligned(a) && aligned(b) && aligned(y))
        return TP_LAUNCH(c, (map_packs<T, F>), tp_blocks((n + 3) / 4), TP_THREADS, n, f,
                         (const T *)a, (const T *)b, add, (T *)y);
    return TP_LAUNCH(c, (map_strided<T, F>), tp_blocks(n), TP_THREADS, l, n, f,
                     (const T *)a, (const T *)b, add, (T *)y);
}

/* ---- the slots ---- */

#define UNARY(name, value)                                                               \
    struct name##_of {                                                                   \
        template <class A> __device__ A operator()(A a, A) const { return value; }       \
    };                                                                                   \
    template <class T>                                                                   \
    static int k_##name(tp_ctx *c, const tp_loop *l, const void *x, bool add, void *y)   \
    {                                                                                    \
        return map<T>(c, l, name##_of(), x, x, add, y);                                  \
    }                                                                                    \
    TP_SLOTS(name, k_##name<float>, k_##name<double>, k_##name<tp_bf16>)

#define BINARY(name, value)                                                              \
    struct name##_of {                                                                   \
        template <class A> __device__ A operator()(A a, A b) const { return value; }     \
    };                                                                                   \
    template <class T>                                                                   \
    static int k_##name(tp_ctx *c, const tp_loop *l, const void *a, const void *b,       \
                        bool add, void *y)                                               \
    {                                                                                    \
        return map<T>(c, l, name##_of(), a, b, add, y);                                  \
    }                                                                                    \
    TP_SLOTS(name, k_##name<float>, k_##name<double>, k_##name<tp_bf16>)

template <class A> struct affine_of {
    A scale, shift;

    __device__ A operator()(A a, A) const { return scale * a + shift; }
};

template <class T>
static int affine(tp_ctx *c, const tp_loop *l, const void *x, double a, double b,
                  bool add, void *y)
{
    affine_of<tp_acc<T>> f = { tp_acc<T>(a), tp_acc<T>(b) };

    return map<T>(c, l, f, x, x, add, y);
}

TP_FLOATS(affine)
UNARY(relu, tp_relu(a))
UNARY(tanh, tanh(a))
UNARY(sigmoid, tp_sigmoid(a))
UNARY(exp, exp(a))
UNARY(log, log(a))
UNARY(square, a *a)
UNARY(sqrt, sqrt(a))
UNARY(gelu, tp_gelu(a))
UNARY(gelu_tanh, tp_gelu_tanh(a))
BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(div, a / b)
BINARY(relu_dx, b > 0 ? a : A(0))
BINARY(tanh_dx, a *(1 - b * b))
BINARY(sigmoid_dx, a *b *(1 - b))
BINARY(gelu_dx, a *tp_gelu_dx(b))
BINARY(gelu_tanh_dx, a *tp_gelu_tanh_dx(b))
BINARY(bce, tp_relu(a) - a * b + log1p(exp(-fabs(a))))
BINARY(bce_dx, tp_sigmoid(a) - b)
