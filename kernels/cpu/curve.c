/*
 * curve.c - functions of mathematics with two derivatives, element by element; kernels.def
 * has the formulas, vmath.h their error bounds.
 */
#include "kernels/cpu/curve.h"
#include "kernels/cpu/vmath.h"

/* ---- 1 / x, 1 / sqrt x ---- */

#define F(x)   (1 / (x))
#define DF(x)  (-(1 / (x)) * (1 / (x)))
#define DDF(x) (2 * (1 / (x)) * (1 / (x)) * (1 / (x)))
CURVE(reciprocal, TP__MAP_CHEAP, F, DF, DDF)
#undef F
#undef DF
#undef DDF

static inline A root_slope(A x)
{
    A r = 1 / ROOT(x);

    return (A)-0.5 * r * r * r;
}

static inline A root_bend(A x)
{
    A r = 1 / ROOT(x), q = r * r;

    return (A)0.75 * q * q * r;
}

#define F(x) (1 / ROOT(x))
CURVE(rsqrt, TP__MAP_CHEAP, F, root_slope, root_bend)
#undef F

/* ---- x^k0: the C library, which is right in all its corners ---- */

#if TP_IS(f64)
#define POWER(x, p) pow(x, p)
#else
#define POWER(x, p) powf(x, p)
#endif

static inline A power_slope(A x, A p)
{
    return p == 0 ? 0 : p * POWER(x, p - 1);
}

static inline A power_bend(A x, A p)
{
    return p == 0 || p == 1 ? 0 : p * (p - 1) * POWER(x, p - 2);
}

#define F(x)   POWER(x, k0)
#define DF(x)  power_slope(x, k0)
#define DDF(x) power_bend(x, k0)
CURVE(power, TP__MAP_DEAR, F, DF, DDF)
#undef F
#undef DF
#undef DDF

TP__MAP_BLOCKS(pow, POWER(a, b))

int KERNEL(pow)(tp_ctx *c, const tp_loop *l, const void *x, const void *z, bool add, void *y)
{
    return tp__map_over(c, l, TP__MAP_DEAR, pow_blocks, x, z, 0, 0, add, y);
}

/* ---- sine and cosine ----
 * A block in which all numbers are near is one vector loop; in any other block each number
 * that is far goes to the C library, and the rest have the same bits as in the loop. */

#if TP_IS(f64)
#define SINE(x)   sin(x)
#define COSINE(x) cos(x)
CURVE_VALUE(sin, TP__MAP_DEAR, SINE(a))
CURVE_SLOPE(sin_dx, TP__MAP_DEAR, (a * COSINE(b)))
CURVE_SLOPE(sin_ddx, TP__MAP_DEAR, (-a * SINE(b)))
CURVE_VALUE(cos, TP__MAP_DEAR, COSINE(a))
CURVE_SLOPE(cos_dx, TP__MAP_DEAR, (-a * SINE(b)))
CURVE_SLOPE(cos_ddx, TP__MAP_DEAR, (-a * COSINE(b)))
#else

static bool all_near(int64_t n, const T *x)
{
    int far = 0;

    for (int64_t i = 0; i < n; i++)
        far |= fabsf(LOAD(x[i])) > TP__NEAR;
    return !far;
}

static float sine_anywhere(float x)
{
    return fabsf(x) > TP__NEAR ? sinf(x) : tp_sin(x);
}

static float cosine_anywhere(float x)
{
    return fabsf(x) > TP__NEAR ? cosf(x) : tp_cos(x);
}

/* `of` is the operand that is asked for, pa or pb. */
#define CIRCULAR(name, of, near_value, far_value)                                        \
    TP__MAP_LOOPS(name##_near, near_value)                                               \
    TP__MAP_LOOPS(name##_far, far_value)                                                 \
    static void name##_block_set(int64_t n, const T *pa, const T *pb, const A *k, T *y)  \
    {                                                                                    \
        (all_near(n, of) ? name##_near_set : name##_far_set)(n, pa, pb, k, y);           \
    }                                                                                    \
    static void name##_block_add(int64_t n, const T *pa, const T *pb, const A *k, T *y)  \
    {                                                                                    \
        (all_near(n, of) ? name##_near_add : name##_far_add)(n, pa, pb, k, y);           \
    }                                                                                    \
    static tp__map_block *const name##_blocks[2] = { name##_block_set, name##_block_add };

#define CIRCULAR_VALUE(name, near_value, far_value)                                      \
    CIRCULAR(name, pa, near_value, far_value)                                            \
    int KERNEL(name)(tp_ctx * c, const tp_loop *l, const void *x, const double *k,       \
                     bool add, void *y)                                                  \
    {                                                                                    \
        (void)k;                                                                         \
        return tp__map_over(c, l, TP__MAP_DEAR, name##_blocks, x, NULL, 0, 0, add, y);   \
    }

#define CIRCULAR_SLOPE(name, near_value, far_value)                                      \
    CIRCULAR(name, pb, near_value, far_value)                                            \
    int KERNEL(name)(tp_ctx * c, const tp_loop *l, const void *x, const void *z,         \
                     const double *k, bool add, void *y)                                 \
    {                                                                                    \
        (void)k;                                                                         \
        return tp__map_over(c, l, TP__MAP_DEAR, name##_blocks, x, z, 0, 0, add, y);      \
    }

CIRCULAR_VALUE(sin, tp_sin(a), sine_anywhere(a))
CIRCULAR_SLOPE(sin_dx, (a * tp_cos(b)), (a * cosine_anywhere(b)))
CIRCULAR_SLOPE(sin_ddx, (-a * tp_sin(b)), (-a * sine_anywhere(b)))
CIRCULAR_VALUE(cos, tp_cos(a), cosine_anywhere(a))
CIRCULAR_SLOPE(cos_dx, (-a * tp_sin(b)), (-a * sine_anywhere(b)))
CIRCULAR_SLOPE(cos_ddx, (-a * tp_cos(b)), (-a * cosine_anywhere(b)))
#endif

/* ---- erf: 2 / sqrt(pi) times a bell ---- */

static inline A erf_slope(A x)
{
#if TP_IS(f64)
    return 1.1283791670955126 * exp(-x * x);
#else
    float t = x > 10.0f ? 10.0f : x < -10.0f ? -10.0f : x; /* split as in tp__bell */
    float head = tp__float_of_bits(tp__bits_of_float(t) & 0xfffff000u);

    return 1.12837917f * tp__exp_sum(-head * head, (head - t) * (head + t));
#endif
}

#define DDF(x) (-2 * (x) * erf_slope(x))
CURVE(erf, TP__MAP_DEAR, tp_erf, erf_slope, DDF)
#undef DDF

/* ---- log(1 + x), e^x - 1 ---- */

#define DF(x)  (1 / (1 + (x)))
#define DDF(x) (-(1 / (1 + (x))) * (1 / (1 + (x))))
CURVE(log1p, TP__MAP_DEAR, tp_log1p, DF, DDF)
#undef DF
#undef DDF

CURVE(expm1, TP__MAP_DEAR, tp_expm1, tp_exp, tp_exp)
