/*
 * vmath.h - elementary functions in A, written so that a plain loop over them becomes
 * vector code.
 *
 * In float there are no branches, tables or library calls: the argument is reduced, a
 * polynomial gives the rest (minimax in the relative error), and selects put in what is
 * special: infinities, NaN, overflow to infinity, underflow to 0.  Largest errors over all
 * floats, in units in the last place (ulp) of the true value, with fused multiply-add and
 * without; tests/kernels_memory.c holds them:
 *
 *     exp 1, log 1, log1p 1.5, expm1 1.5, tanh 2.5, erf 2.5, sigmoid 2.5
 *     sin, cos     2 for |x| up to TP__NEAR; further away the C library computes them
 *     gelu         7, its tail of tiny negative numbers included (9 beyond x = -12)
 *     gelu_tanh    3 + 6 |u|, u being what the tanh is taken of: e^2u at a rounded u
 *     d gelu       8 ulp of the larger of its two terms, which cancel near -0.75
 *
 * In double the C library computes them.
 */
#ifndef TP_KERNELS_CPU_VMATH_H
#define TP_KERNELS_CPU_VMATH_H

#include "kernels/cpu/generic.h"

#include <math.h>

#define TP__SQRT1_2    0.70710678118654752 /* sqrt(1/2) */
#define TP__SQRT2      1.41421356237309505
#define TP__SQRT_2_PI  0.79788456080286536 /* sqrt(2/pi) */
#define TP__1_SQRT_2PI 0.39894228040143268 /* 1 / sqrt(2 pi) */
#define TP__GELU_CUBE  0.044715

#if TP_IS(f64)

static inline double tp_exp(double x)
{
    return exp(x);
}

static inline double tp_log(double x)
{
    return log(x);
}

static inline double tp_log1p(double x)
{
    return log1p(x);
}

static inline double tp__log1p_unit(double x)
{
    return log1p(x);
}

static inline double tp_expm1(double x)
{
    return expm1(x);
}

static inline double tp_sin(double x)
{
    return sin(x);
}

static inline double tp_cos(double x)
{
    return cos(x);
}

static inline double tp_tanh(double x)
{
    return tanh(x);
}

static inline double tp_erf(double x)
{
    return erf(x);
}

/* Phi(x), the normal distribution function, and its density. */
static inline double tp__normal(double x, double *density)
{
    *density = TP__1_SQRT_2PI * exp(-0.5 * x * x);
    return 0.5 * erfc(-TP__SQRT1_2 * x);
}

enum { TP__GELU_ZERO = 40 }; /* Phi(-40) is 0 */

#else

/* 2^k of an int, for k in -126..127. */
static inline float tp__power2(int32_t k)
{
    return tp__float_of_bits((uint32_t)(k + 127) << 23);
}

/* x = k ln 2 + r with |r| <= ln 2 / 2; gives k.  Adding 1.5 * 2^23 rounds to an integer,
 * which then stands in the low bits; ln 2 is split so that k times its head is exact. */
static inline int32_t tp__reduce(float x, float *r)
{
    float shifted = x * 1.44269504f + 12582912.0f, k = shifted - 12582912.0f;

    *r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
    return (int32_t)(tp__bits_of_float(shifted) - 0x4b400000u);
}

/* e^r - 1 for |r| <= ln 2 / 2. */
static inline float tp__expm1_small(float r)
{
    float p = 1.9918525e-4f;

    p = p * r + 1.3946176e-3f;
    p = p * r + 8.3332639e-3f;
    p = p * r + 4.1666269e-2f;
    p = p * r + 0.16666667f;
    p = p * r + 0.5f;
    return p * (r * r) + r;
}

/* e^(x + low), low tiny: 2^k in two factors, so that it overflows and underflows as a
 * product does; a NaN passes through all of it. */
static inline float tp__exp_sum(float x, float low)
{
    float r;
    int32_t k, half;

    x = x > 89.0f ? 89.0f : x;
    x = x < -105.0f ? -105.0f : x;
    k = tp__reduce(x, &r), half = k >> 1;
    return (tp__expm1_small(r + low) + 1.0f) * tp__power2(half) * tp__power2(k - half);
}

static inline float tp_exp(float x)
{
    return tp__exp_sum(x, 0.0f);
}

/* log(1 + f) + k ln 2 for 1 + f in [sqrt(1/2), sqrt 2]; the polynomial is Moshier's (Cephes). */
static inline float tp__log_sum(float f, float k)
{
    float p = 7.0376836292e-2f, q = f * f;

    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    p = p * f * q - 2.12194440e-4f * k - 0.5f * q;
    return f + p + 0.693359375f * k;
}

static inline float tp_log(float x)
{
    int denormal = x < 0x1p-126f;
    uint32_t bits = tp__bits_of_float(denormal ? x * 0x1p23f : x);
    int32_t k = (int32_t)(bits - 0x3f3504f3u) >> 23; /* bits of sqrt(1/2) */
    float y = tp__log_sum(tp__float_of_bits(bits - ((uint32_t)k << 23)) - 1.0f,
                          (float)(denormal ? k - 23 : k));

    y = x < INFINITY ? y : x; /* infinity and NaN */
    return x > 0 ? y : x == 0 ? -INFINITY : NAN;
}

/* log(1 + x) for x in [0, 1]: 1 + x is never formed, so that small x keep their digits. */
static inline float tp__log1p_unit(float x)
{
    int big = x > 0.41421356f;

    return tp__log_sum(big ? 0.5f * (x - 1.0f) : x, big ? 1.0f : 0.0f);
}

/* log(1 + x) = log u + c / u, u being 1 + x rounded and c what the rounding took. */
static inline float tp_log1p(float x)
{
    float u = 1.0f + x, y = tp_log(u), c = x - (u - 1.0f);

    return (u > 0) & (u < INFINITY) ? y + c / u : y;
}

/* e^x - 1 = 2 (s (e^r - 1) + (s - 1/2)), s = 2^(k - 1): 2^k itself may overflow */
static inline float tp_expm1(float x)
{
    float r, s;

    x = x > 89.0f ? 89.0f : x;
    x = x < -20.0f ? -20.0f : x;
    s = tp__power2(tp__reduce(x, &r) - 1);
    return 2.0f * (s * tp__expm1_small(r) + (s - 0.5f));
}

/* x = k pi/2 + r with |r| <= pi/4, for |x| up to TP__NEAR, gives k; in double, pi/2 split so that
 * k times its head is exact. */
static inline int32_t tp__quarter(float x, float *r)
{
    double shifted = (double)x * 0.63661977236758134 + 6755399441055744.0; /* 1.5 * 2^52 */
    double k = shifted - 6755399441055744.0;
    uint64_t bits;

    memcpy(&bits, &shifted, sizeof bits);
    *r = (float)(((double)x - k * 1.57079632673412561417) - k * 6.07710050650619224932e-11);
    return (int32_t)(uint32_t)bits;
}

/* sin(r + k pi/2); the polynomials are Moshier's (Cephes). */
static inline float tp__sine(float r, int32_t k)
{
    float q = r * r, s = -1.9515295891e-4f, c = 2.443315711809948e-5f, y;

    s = s * q + 8.3321608736e-3f;
    s = s * q - 1.6666654611e-1f;
    s = s * q * r + r;
    c = c * q - 1.388731625493765e-3f;
    c = c * q + 4.166664568298827e-2f;
    c = c * q * q - 0.5f * q + 1.0f;
    y = k & 1 ? c : s;
    return tp__float_of_bits(tp__bits_of_float(y) ^ (uint32_t)(k & 2) << 30);
}

static inline float tp_sin(float x)
{
    float r;
    int32_t k = tp__quarter(x, &r);

    return tp__sine(r, k);
}

static inline float tp_cos(float x)
{
    float r;
    int32_t k = tp__quarter(x, &r);

    return tp__sine(r, k + 1);
}

/* tanh |x| = -m / (2 + m), m = e^(-2|x|) - 1 = 2^k (e^r - 1) + (2^k - 1) */
static inline float tp_tanh(float x)
{
    uint32_t sign = tp__bits_of_float(x) & 0x80000000u;
    float a = fabsf(x), r, m, scale;

    a = a > 10.0f ? 10.0f : a;
    scale = tp__power2(tp__reduce(-2.0f * a, &r));
    m = scale * tp__expm1_small(r) + (scale - 1.0f);
    return tp__float_of_bits(tp__bits_of_float(-m / (2.0f + m)) | sign);
}

/* Phi(-t) / e^(-t^2/2) for t >= 0: a polynomial in q = (t - 4) / (t + 4), over t + 4. */
static inline float tp__tail(float t)
{
    float w = 1.0f / (t + 4.0f), q = (t - 4.0f) * w, p = -1.34195652e-4f;

    p = p * q + 1.74660367e-4f;
    p = p * q + 1.56840787e-3f;
    p = p * q - 3.51021206e-3f;
    p = p * q - 7.52400421e-3f;
    p = p * q + 6.04034886e-2f;
    p = p * q - 1.86523661e-1f;
    p = p * q + 3.87136906e-1f;
    p = p * q - 6.07896566e-1f;
    p = p * q + 7.55285144e-1f;
    return p * w;
}

/* e^(-t^2/2): t^2 is rounded, and a rounding of a large exponent is a large relative error;
 * so t is split, the square of its head being exact. */
static inline float tp__bell(float t)
{
    float head = tp__float_of_bits(tp__bits_of_float(t) & 0xfffff000u);

    return tp__exp_sum(-0.5f * head * head, -0.5f * (t - head) * (t + head));
}

/* Phi(x), the normal distribution function, and its density. */
static inline float tp__normal(float x, float *density)
{
    float t = fabsf(x), bell, tail;

    t = t > 15.0f ? 15.0f : t;
    bell = tp__bell(t), tail = bell * tp__tail(t);
    *density = (float)TP__1_SQRT_2PI * bell;
    return x < 0 ? tail : 1.0f - tail;
}

static inline float tp_erf(float x)
{
    uint32_t sign = tp__bits_of_float(x) & 0x80000000u;
    float a = fabsf(x), q = a * a, p = 7.85386146e-5f, t, large;

    p = p * q - 8.01019371e-4f;
    p = p * q + 5.18832775e-3f;
    p = p * q - 2.68538129e-2f;
    p = p * q + 1.12835854e-1f;
    p = p * q - 3.7612626e-1f;
    p = p * q + 1.12837911f;
    t = (a > 10.0f ? 10.0f : a) * (float)TP__SQRT2;
    large = 1.0f - 2.0f * tp__bell(t) * tp__tail(t);
    return a < 1.0f ? p * x : tp__float_of_bits(tp__bits_of_float(large) | sign);
}

enum {
    TP__GELU_ZERO = 15, /* Phi(-15) is 0 */
    TP__NEAR = 1000000  /* how far sin and cos are reduced; k has 20 bits */
};

#endif

static inline A tp_sigmoid(A x)
{
    return 1 / (1 + tp_exp(-x));
}

/* x Phi(x); from -TP__GELU_ZERO down it is -0, which -infinity times 0 would not be. */
static inline A tp_gelu(A x)
{
    A density, low = x < -TP__GELU_ZERO ? (A)-TP__GELU_ZERO : x;

    return low * tp__normal(low, &density);
}

/* d gelu = Phi(x) + x phi(x); both ends are where x phi(x) has vanished. */
static inline A tp_gelu_dx(A x)
{
    A density, near = x < -TP__GELU_ZERO ? (A)-TP__GELU_ZERO : x, p;

    near = near > TP__GELU_ZERO ? (A)TP__GELU_ZERO : near;
    p = tp__normal(near, &density);
    return p + near * density;
}

/* (1 + tanh u) / 2 = sigmoid(2u), which keeps its digits where tanh u is near -1. */
static inline A tp_gelu_tanh(A x)
{
    A low = x < -TP__GELU_ZERO ? (A)-TP__GELU_ZERO : x;

    return low *
           tp_sigmoid(2 * (A)TP__SQRT_2_PI * (low + (A)TP__GELU_CUBE * low * low * low));
}

static inline A tp_gelu_tanh_dx(A x)
{
    A near = x < -TP__GELU_ZERO ? (A)-TP__GELU_ZERO : x, q, s;

    near = near > TP__GELU_ZERO ? (A)TP__GELU_ZERO : near, q = near * near;
    s = tp_sigmoid(2 * (A)TP__SQRT_2_PI * (near + (A)TP__GELU_CUBE * near * q));
    return s + near * s * (1 - s) * 2 * (A)TP__SQRT_2_PI * (1 + 3 * (A)TP__GELU_CUBE * q);
}

#endif
