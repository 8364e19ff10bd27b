/*
 * rectifier.cu - relatives of the rectified linear unit, with their derivatives; kernels.def has the
 * formulas.
 */
#include "kernels/cuda/map.cuh"

/* ---- silu: s = sigmoid(x) ---- */

template <class A> __device__ inline A silu_slope(A x)
{
    A s = tp_sigmoid(x);

    return s * (1 + x * (1 - s));
}

template <class A> __device__ inline A silu_bend(A x)
{
    A s = tp_sigmoid(x);

    return s * (1 - s) * (2 + x * (1 - 2 * s));
}

#define F(x) ((x) * tp_sigmoid(x))
TP_CURVE(silu, F, silu_slope, silu_bend)
#undef F

/* ---- mish: t = tanh(log(1 + e)) = m / (m + 2) with m = e^2 + 2 e, e = e^x ----
 * t is 1 from x = 20 on, where e^2 is still far from overflow. */

template <class A> __device__ inline A mish_tanh(A x, A *slope, A *sigmoid)
{
    A e = exp(x > 20 ? A(20) : x), m = e * (e + 2), w = 1 / (m + 2);

    *sigmoid = e / (1 + e);
    *slope = x > 20 ? A(0) : 4 * (m + 1) * w * w * *sigmoid; /* (1 - t^2) s; x times it vanishes too */
    return m * w;
}

template <class A> __device__ inline A mish_value(A x)
{
    A slope, s;

    return x * mish_tanh(x, &slope, &s);
}

template <class A> __device__ inline A mish_slope(A x)
{
    A slope, s, t = mish_tanh(x, &slope, &s);

    return t + x * slope;
}

template <class A> __device__ inline A mish_bend(A x)
{
    A slope, s, t = mish_tanh(x, &slope, &s);

    return slope * (2 + x * (1 - s - 2 * t * s));
}

TP_CURVE(mish, mish_value, mish_slope, mish_bend)

/* ---- softplus: k0 is beta, k1 the threshold ---- */

template <class A> __device__ inline A softplus_value(A x, A beta, A threshold)
{
    A z = beta * x, y = log1p(exp(z > threshold ? threshold : z)) / beta;

    return z > threshold ? x : y;
}

template <class A> __device__ inline A softplus_slope(A x, A beta, A threshold)
{
    A s = tp_sigmoid(beta * x);

    return beta * x > threshold ? A(1) : s;
}

template <class A> __device__ inline A softplus_bend(A x, A beta, A threshold)
{
    A s = tp_sigmoid(beta * x);

    return beta * x > threshold ? A(0) : beta * s * (1 - s);
}

#define F(x)   softplus_value(x, k0, k1)
#define DF(x)  softplus_slope(x, k0, k1)
#define DDF(x) softplus_bend(x, k0, k1)
TP_CURVE(softplus, F, DF, DDF)
#undef F
#undef DF
#undef DDF

/* ---- log_sigmoid, softsign, tanhshrink ---- */

template <class A> __device__ inline A log_sigmoid_bend(A x)
{
    A s = tp_sigmoid(x);

    return -s * (1 - s);
}

#define F(x)  (((x) > 0 ? A(0) : (x)) - log1p(exp(-fabs(x))))
#define DF(x) tp_sigmoid(-(x))
TP_CURVE(log_sigmoid, F, DF, log_sigmoid_bend)
#undef F
#undef DF

template <class A> __device__ inline A softsign_slope(A x)
{
    A w = 1 / (1 + fabs(x));

    return w * w;
}

template <class A> __device__ inline A softsign_bend(A x)
{
    A w = 1 / (1 + fabs(x)), v = 2 * w * w * w;

    return x > 0 ? -v : x < 0 ? v : x * 0;
}

#define F(x) ((x) / (1 + fabs(x)))
TP_CURVE(softsign, F, softsign_slope, softsign_bend)
#undef F

template <class A> __device__ inline A tanhshrink_slope(A x)
{
    A t = tanh(x);

    return t * t;
}

template <class A> __device__ inline A tanhshrink_bend(A x)
{
    A t = tanh(x);

    return 2 * t * (1 - t * t);
}

#define F(x) ((x) - tanh(x))
TP_CURVE(tanhshrink, F, tanhshrink_slope, tanhshrink_bend)
#undef F

/* ---- of straight pieces; a NaN is neither less nor more ---- */

template <class A> __device__ inline A between(A x, A low, A high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

template <class A> __device__ inline A hardswish_slope(A x)
{
    A inner = x / 3 + A(0.5);

    return x <= -3 ? A(0) : x >= 3 ? A(1) : inner;
}

#define F(x)   ((x) * between((x) + 3, A(0), A(6)) / 6)
#define DDF(x) (fabs(x) < 3 ? A(1) / 3 : A(0))
TP_CURVE(hardswish, F, hardswish_slope, DDF)
#undef F
#undef DDF

#define F(x)  (between((x) + 3, A(0), A(6)) / 6)
#define DF(x) (fabs(x) < 3 ? A(1) / 6 : A(0))
TP_BENT(FLOATS, hardsigmoid, F, DF)
#undef F
#undef DF

#define F(x)  between(x, k0, k1)
#define DF(x) ((x) <= k0 || (x) >= k1 ? A(0) : A(1))
TP_BENT(FLOATS, hardtanh, F, DF)
#undef F
#undef DF

#define F(x)  ((x) > 0 ? (x) : k0 * (x))
#define DF(x) ((x) > 0 ? A(1) : k0)
TP_BENT(FLOATS, leaky_relu, F, DF)
#undef F
#undef DF

template <class A> __device__ inline A softshrink(A x, A width)
{
    A above = x - width, below = x + width;

    return x > width ? above : x < -width ? below : x * 0; /* NaN stays */
}

#define F(x)  softshrink(x, k0)
#define DF(x) ((x) >= -k0 && (x) <= k0 ? A(0) : A(1))
TP_BENT(FLOATS, softshrink, F, DF)
#undef F
#define F(x) ((x) >= -k0 && (x) <= k0 ? A(0) : (x))
TP_BENT(FLOATS, hardshrink, F, DF)
#undef F
#undef DF

#define F(x)  ((x) <= k0 ? k1 : (x))
#define DF(x) ((x) <= k0 ? A(0) : A(1))
TP_BENT(FLOATS, threshold, F, DF)
#undef F
#undef DF

/* ---- elu, selu, celu: k0 below, k1 above, k2 inside the exponential ---- */

template <class A> __device__ inline A elu_value(A x, A below, A above, A inside)
{
    A y = below * expm1(inside * (x > 0 ? A(0) : x));

    return x > 0 ? above * x : y;
}

template <class A> __device__ inline A elu_slope(A x, A below, A above, A inside)
{
    A y = below * inside * exp(inside * (x > 0 ? A(0) : x));

    return x > 0 ? above : y;
}

template <class A> __device__ inline A elu_bend(A x, A below, A inside)
{
    A y = below * inside * inside * exp(inside * (x > 0 ? A(0) : x));

    return x > 0 ? A(0) : y;
}

#define F(x)   elu_value(x, k0, k1, k2)
#define DF(x)  elu_slope(x, k0, k1, k2)
#define DDF(x) elu_bend(x, k0, k2)
TP_CURVE(elu, F, DF, DDF)
#undef F
#undef DF
#undef DDF
