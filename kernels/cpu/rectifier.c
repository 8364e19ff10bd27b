/*
 * rectifier.c - relatives of the rectified linear unit, with their derivatives; kernels.def
 * has the formulas.  Largest errors in ulp, held by tests/kernels_curve.c: silu 2.5, mish 5,
 * softplus 2, log_sigmoid 2, elu 1.5.
 */
#include "kernels/cpu/curve.h"
#include "kernels/cpu/vmath.h"

/* ---- silu: s = sigmoid(x) ---- */

static inline A silu_slope(A x)
{
    A s = tp_sigmoid(x);

    return s * (1 + x * (1 - s));
}

static inline A silu_bend(A x)
{
    A s = tp_sigmoid(x);

    return s * (1 - s) * (2 + x * (1 - 2 * s));
}

#define F(x) ((x) * tp_sigmoid(x))
CURVE(silu, TP__MAP_DEAR, F, silu_slope, silu_bend)
#undef F

/* ---- mish: t = tanh(log(1 + e)) = m / (m + 2) with m = e^2 + 2 e, e = e^x ----
 * t is 1 from x = 20 on, where e^2 is still far from overflow. */

static inline A mish_tanh(A x, A *slope, A *sigmoid)
{
    A e = tp_exp(x > 20 ? 20 : x), m = e * (e + 2), w = 1 / (m + 2);

    *sigmoid = e / (1 + e);
    *slope = x > 20 ? 0 : 4 * (m + 1) * w * w * *sigmoid; /* (1 - t^2) s; x times it vanishes too */
    return m * w;
}

static inline A mish_value(A x)
{
    A slope, s;

    return x * mish_tanh(x, &slope, &s);
}

static inline A mish_slope(A x)
{
    A slope, s, t = mish_tanh(x, &slope, &s);

    return t + x * slope;
}

static inline A mish_bend(A x)
{
    A slope, s, t = mish_tanh(x, &slope, &s);

    return slope * (2 + x * (1 - s - 2 * t * s));
}

CURVE(mish, TP__MAP_DEAR, mish_value, mish_slope, mish_bend)

/* ---- softplus: k0 is beta, k1 the threshold ---- */

static inline A softplus_value(A x, A beta, A threshold)
{
    A z = beta * x, y = tp_log1p(tp_exp(z > threshold ? threshold : z)) / beta;

    return z > threshold ? x : y;
}

static inline A softplus_slope(A x, A beta, A threshold)
{
    A s = tp_sigmoid(beta * x);

    return beta * x > threshold ? 1 : s;
}

static inline A softplus_bend(A x, A beta, A threshold)
{
    A s = tp_sigmoid(beta * x);

    return beta * x > threshold ? 0 : beta * s * (1 - s);
}

#define F(x)   softplus_value(x, k0, k1)
#define DF(x)  softplus_slope(x, k0, k1)
#define DDF(x) softplus_bend(x, k0, k1)
CURVE(softplus, TP__MAP_DEAR, F, DF, DDF)
#undef F
#undef DF
#undef DDF

/* ---- log_sigmoid, softsign, tanhshrink ---- */

static inline A log_sigmoid_bend(A x)
{
    A s = tp_sigmoid(x);

    return -s * (1 - s);
}

#define F(x)  (((x) > 0 ? 0 : (x)) - tp__log1p_unit(tp_exp(-ABS(x))))
#define DF(x) tp_sigmoid(-(x))
CURVE(log_sigmoid, TP__MAP_DEAR, F, DF, log_sigmoid_bend)
#undef F
#undef DF

static inline A softsign_slope(A x)
{
    A w = 1 / (1 + ABS(x));

    return w * w;
}

static inline A softsign_bend(A x)
{
    A w = 1 / (1 + ABS(x)), v = 2 * w * w * w;

    return x > 0 ? -v : x < 0 ? v : x * 0;
}

#define F(x) ((x) / (1 + ABS(x)))
CURVE(softsign, TP__MAP_CHEAP, F, softsign_slope, softsign_bend)
#undef F

static inline A tanhshrink_slope(A x)
{
    A t = tp_tanh(x);

    return t * t;
}

static inline A tanhshrink_bend(A x)
{
    A t = tp_tanh(x);

    return 2 * t * (1 - t * t);
}

#define F(x) ((x) - tp_tanh(x))
CURVE(tanhshrink, TP__MAP_DEAR, F, tanhshrink_slope, tanhshrink_bend)
#undef F

/* ---- of straight pieces; a NaN is neither less nor more ---- */

static inline A between(A x, A low, A high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

static inline A hardswish_slope(A x)
{
    A inner = x / 3 + (A)0.5;

    return x <= -3 ? 0 : x >= 3 ? 1 : inner;
}

#define F(x)   ((x) * between((x) + 3, 0, 6) / 6)
#define DDF(x) (ABS(x) < 3 ? (A)1 / 3 : 0)
CURVE(hardswish, TP__MAP_CHEAP, F, hardswish_slope, DDF)
#undef F
#undef DDF

#define F(x)  (between((x) + 3, 0, 6) / 6)
#define DF(x) (ABS(x) < 3 ? (A)1 / 6 : 0)
BENT(hardsigmoid, TP__MAP_CHEAP, F, DF)
#undef F
#undef DF

#define F(x)  between(x, k0, k1)
#define DF(x) (((x) <= k0) | ((x) >= k1) ? 0 : (A)1)
BENT(hardtanh, TP__MAP_CHEAP, F, DF)
#undef F
#undef DF

#define F(x)  ((x) > 0 ? (x) : k0 * (x))
#define DF(x) ((x) > 0 ? 1 : k0)
BENT(leaky_relu, TP__MAP_CHEAP, F, DF)
#undef F
#undef DF

static inline A softshrink(A x, A width)
{
    A above = x - width, below = x + width;

    return x > width ? above : x < -width ? below : x * 0; /* NaN stays */
}

#define F(x)  softshrink(x, k0)
#define DF(x) (((x) >= -k0) & ((x) <= k0) ? 0 : (A)1)
BENT(softshrink, TP__MAP_CHEAP, F, DF)
#undef F
#define F(x) (((x) >= -k0) & ((x) <= k0) ? 0 : (x))
BENT(hardshrink, TP__MAP_CHEAP, F, DF)
#undef F
#undef DF

#define F(x)  ((x) <= k0 ? k1 : (x))
#define DF(x) ((x) <= k0 ? 0 : (A)1)
BENT(threshold, TP__MAP_CHEAP, F, DF)
#undef F
#undef DF

/* ---- elu, selu, celu: k0 below, k1 above, k2 inside the exponential ---- */

static inline A elu_value(A x, A below, A above, A inside)
{
    A y = below * tp_expm1(inside * (x > 0 ? 0 : x));

    return x > 0 ? above * x : y;
}

static inline A elu_slope(A x, A below, A above, A inside)
{
    A y = below * inside * tp_exp(inside * (x > 0 ? 0 : x));

    return x > 0 ? above : y;
}

static inline A elu_bend(A x, A below, A inside)
{
    A y = below * inside * inside * tp_exp(inside * (x > 0 ? 0 : x));

    return x > 0 ? 0 : y;
}

#define F(x)   elu_value(x, k0, k1, k2)
#define DF(x)  elu_slope(x, k0, k1, k2)
#define DDF(x) elu_bend(x, k0, k2)
CURVE(elu, TP__MAP_DEAR, F, DF, DDF)
#undef F
#undef DF
#undef DDF
