/*
 * curve.cu - functions of mathematics with two derivatives, element by element; kernels.def has
 * the formulas.
 */
#include "kernels/cuda/map.cuh"

/* ---- 1 / x, 1 / sqrt x ---- */

template <class A> __device__ inline A inverse(A x)
{
    return 1 / x;
}

template <class A> __device__ inline A inverse_slope(A x)
{
    return -(1 / x) * (1 / x);
}

template <class A> __device__ inline A inverse_bend(A x)
{
    return 2 * (1 / x) * (1 / x) * (1 / x);
}

template <class A> __device__ inline A root(A x)
{
    return 1 / sqrt(x);
}

template <class A> __device__ inline A root_slope(A x)
{
    A r = 1 / sqrt(x);

    return A(-0.5) * r * r * r;
}

template <class A> __device__ inline A root_bend(A x)
{
    A r = 1 / sqrt(x), q = r * r;

    return A(0.75) * q * q * r;
}

TP_CURVE(reciprocal, inverse, inverse_slope, inverse_bend)
TP_CURVE(rsqrt, root, root_slope, root_bend)

/* ---- x^k0 ---- */

template <class A> __device__ inline A power_slope(A x, A p)
{
    return p == 0 ? A(0) : p * pow(x, p - 1);
}

template <class A> __device__ inline A power_bend(A x, A p)
{
    return p == 0 || p == 1 ? A(0) : p * (p - 1) * pow(x, p - 2);
}

#define F(x)   pow(x, k0)
#define DF(x)  power_slope(x, k0)
#define DDF(x) power_bend(x, k0)
TP_CURVE(power, F, DF, DDF)
#undef F
#undef DF
#undef DDF
TP_BINARY(FLOATS, pow, pow(a, b))

/* ---- erf: 2 / sqrt(pi) times a bell ---- */

template <class A> __device__ inline A erf_slope(A x)
{
    return A(1.1283791670955126) * exp(-x * x);
}

#define DDF(x) (-2 * (x) * erf_slope(x))
TP_CURVE(erf, erf, erf_slope, DDF)
#undef DDF

/* ---- log(1 + x), e^x - 1 ---- */

#define DF(x)  (1 / (1 + (x)))
#define DDF(x) (-(1 / (1 + (x))) * (1 / (1 + (x))))
TP_CURVE(log1p, log1p, DF, DDF)
#undef DF
#undef DDF
TP_CURVE(expm1, expm1, exp, exp)
