/*
 * elementwise.cu - arithmetic and activations, element by element; kernels.def has the
 * formulas.
 */
#include "kernels/cuda/map.cuh"

template <class A> struct affine_of {
    A scale, shift;

    __device__ A operator()(A a) const
    {
        return A((tp_wide<A>)scale * (tp_wide<A>)a + (tp_wide<A>)shift);
    }
};

template <class T>
static int affine(tp_ctx *c, const tp_loop *l, const void *x, double a, double b,
                  bool add, void *y)
{
    affine_of<tp_acc<T>> f = { tp_wrapped<tp_acc<T>>(a), tp_wrapped<tp_acc<T>>(b) };

    return tp_map<1, T, T>(c, __func__, l, f, x, x, add, y);
}

TP_NUMBERS_BY(affine, affine)
TP_BINARY(ALL, add, (tp_wide<A>)a + (tp_wide<A>)b)
TP_BINARY(ALL, mul, (tp_wide<A>)a *(tp_wide<A>)b)
TP_BINARY(NUMBERS, sub, (tp_wide<A>)a - (tp_wide<A>)b)
TP_UNARY(NUMBERS, square, (tp_wide<A>)a *(tp_wide<A>)a)
TP_BINARY(FLOATS, div, a / b)
TP_UNARY(FLOATS, relu, tp_relu(a))
TP_UNARY(FLOATS, tanh, tanh(a))
TP_UNARY(FLOATS, sigmoid, tp_sigmoid(a))
TP_UNARY(FLOATS, exp, exp(a))
TP_UNARY(FLOATS, log, log(a))
TP_UNARY(FLOATS, sqrt, sqrt(a))
TP_UNARY(FLOATS, gelu, tp_gelu(a))
TP_UNARY(FLOATS, gelu_tanh, tp_gelu_tanh(a))
TP_BINARY(FLOATS, relu_dx, b > 0 ? a : A(0))
TP_BINARY(FLOATS, tanh_dx, a *(1 - b * b))
TP_BINARY(FLOATS, sigmoid_dx, a *b *(1 - b))
TP_BINARY(FLOATS, gelu_dx, a *tp_gelu_dx(b))
TP_BINARY(FLOATS, gelu_tanh_dx, a *tp_gelu_tanh_dx(b))
TP_BINARY(FLOATS, bce, tp_relu(a) - a * b + log1p(exp(-fabs(a))))
TP_BINARY(FLOATS, bce_dx, tp_sigmoid(a) - b)
