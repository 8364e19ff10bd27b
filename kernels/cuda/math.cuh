/*
 * math.cuh - the formulas of activations, for elementwise.cu and the epilogue of a product.
 */
#ifndef TP_KERNELS_CUDA_MATH_CUH
#define TP_KERNELS_CUDA_MATH_CUH

#include "kernels/cuda/launch.cuh"

template <class A> __device__ inline A tp_sigmoid(A x)
{
    return A(1) / (A(1) + exp(-x)); /* e^-x may be infinite: 0, as it should be */
}

/* Phi(x), the normal distribution; erfc keeps the digits of its left tail */
template <class A> __device__ inline A tp_phi(A x)
{
    return A(0.5) * erfc(x * A(-0.70710678118654752440));
}

/* Within where Phi isn't 0 or 1: infinity times 0 would be NaN.  A NaN stays. */
template <class A> __device__ inline A tp_near(A x)
{
    return x < -40 ? A(-40) : x > 40 ? A(40) : x;
}

template <class A> __device__ inline A tp_gelu(A x)
{
    return (x < 0 ? tp_near(x) : x) * tp_phi(x);
}

template <class A> __device__ inline A tp_gelu_dx(A x)
{
    A near = tp_near(x);

    return tp_phi(x) + near * A(0.39894228040143267794) * exp(A(-0.5) * near * near);
}

/* x (1 + tanh u) / 2 = x sigmoid(2 u), which loses no digits where tanh is near -1 */
template <class A> __device__ inline A tp_gelu_tanh(A x)
{
    A u = A(0.79788456080286535588) * (x + A(0.044715) * x * x * x);

    return (x < 0 ? tp_near(x) : x) * tp_sigmoid(2 * u);
}

template <class A> __device__ inline A tp_gelu_tanh_dx(A x)
{
    A k = A(0.79788456080286535588), u = k * (x + A(0.044715) * x * x * x);
    A s = tp_sigmoid(2 * u), slope = k * (1 + A(3 * 0.044715) * x * x);

    if (s == 0 || s == 1) return s; /* 0 times infinity, far out */
    return s + 2 * x * s * (1 - s) * slope;
}

template <class A> __device__ inline A tp_relu(A x)
{
    return x < 0 ? A(0) : x; /* a NaN isn't less */
}

template <class A> __device__ inline A tp_activate(tp_activation f, A x)
{
    switch (f) {
    case TP_RELU:
        return tp_relu(x);
    case TP_GELU:
        return tp_gelu(x);
    case TP_GELU_TANH:
        return tp_gelu_tanh(x);
    case TP_TANH:
        return tanh(x);
    case TP_SIGMOID:
        return tp_sigmoid(x);
    default:
        return x;
    }
}

#endif
