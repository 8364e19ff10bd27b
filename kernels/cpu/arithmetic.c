/*
 * arithmetic.c - signs, bounds, rounding and division with remainder, element by element, of
 * floats and integers; kernels.def has the formulas.
 */
#include "kernels/cpu/curve.h"
#include "kernels/cpu/number.h"

#include <math.h>

#define UNARY(name, value)                                                               \
    TP__MAP_BLOCKS(name, value)                                                          \
    int KERNEL(name)(tp_ctx * c, const tp_loop *l, const void *x, bool add, void *y)     \
    {                                                                                    \
        return tp__map_over(c, l, TP__MAP_CHEAP, name##_blocks, x, NULL, 0, 0, add, y);  \
    }

#define BINARY(name, grain, value)                                                       \
    TP__MAP_BLOCKS(name, value)                                                          \
    int KERNEL(name)(tp_ctx * c, const tp_loop *l, const void *x, const void *z,         \
                     bool add, void *y)                                                  \
    {                                                                                    \
        return tp__map_over(c, l, grain, name##_blocks, x, z, 0, 0, add, y);             \
    }

/* ---- the larger, the smaller: a where it is NaN, and b where that is ---- */

#if TP_IS_FLOAT
BINARY(maximum, TP__MAP_CHEAP, (a > b) | (a != a) ? a : b)
BINARY(minimum, TP__MAP_CHEAP, (a < b) | (a != a) ? a : b)
BINARY(larger_share, TP__MAP_CHEAP, a < b ? 0 : a == b ? (A)0.5 : 1)
#else
BINARY(maximum, TP__MAP_CHEAP, a > b ? a : b)
BINARY(minimum, TP__MAP_CHEAP, a < b ? a : b)
#endif

/* ---- floats ---- */

#if TP_IS_FLOAT

#if TP_IS(f64)
#define FLOOR(x)   floor(x)
#define CEIL(x)    ceil(x)
#define ROUND(x)   rint(x)
#define TRUNC(x)   trunc(x)
#define FMOD(x, y) fmod(x, y)
#else
#define FLOOR(x)   floorf(x)
#define CEIL(x)    ceilf(x)
#define ROUND(x)   rintf(x)
#define TRUNC(x)   truncf(x)
#define FMOD(x, y) fmodf(x, y)
#endif

UNARY(sign, (A)(a > 0) - (A)(a < 0))
UNARY(floor, FLOOR(a))
UNARY(ceil, CEIL(a))
UNARY(round, ROUND(a))
UNARY(trunc, TRUNC(a))

#define F(x)  ABS(x)
#define DF(x) ((A)((x) > 0) - (A)((x) < 0))
BENT(abs, TP__MAP_CHEAP, F, DF)
#undef F
#undef DF

static inline A between(A x, A low, A high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* An infinite bound is none: infinity itself lies within. */
static inline A within(A x, A low, A high)
{
    int above = (x > low) | (low == -INFINITY), below = (x < high) | (high == INFINITY);

    return (A)(above & below & (x == x));
}

#define F(x)  between(x, k0, k1)
#define DF(x) within(x, k0, k1)
BENT(clamp, TP__MAP_CHEAP, F, DF)
#undef F
#undef DF

static inline A modulus(A a, A b)
{
    A r = FMOD(a, b);

    return (r != 0) & ((b < 0) != (r < 0)) ? r + b : r;
}

/* (a - r) / b is an integer but for its rounding; a / b, rounded down, may be one too high. */
static inline A divided_down(A a, A b)
{
    A r = FMOD(a, b), q = (a - r) / b, down;

    q = (r != 0) & ((b < 0) != (r < 0)) ? q - 1 : q;
    down = FLOOR(q), down = q - down > (A)0.5 ? down + 1 : down;
    return b == 0 ? a / b : down;
}

BINARY(fmod, TP__MAP_DEAR, FMOD(a, b))
BINARY(remainder, TP__MAP_DEAR, modulus(a, b))
BINARY(floor_divide, TP__MAP_DEAR, divided_down(a, b))

/* ---- integers ---- */

#elif !TP_IS(b8)

#if TP_IS(u8)
#define NEGATIVE(v)     0
#define IS_MINUS_ONE(v) 0
#else
#define NEGATIVE(v)     ((v) < 0)
#define IS_MINUS_ONE(v) ((v) == -1)
#endif

UNARY(sign, (A)((a != 0) - 2 * NEGATIVE(a)))

TP__MAP_BLOCKS(abs, (A)(NEGATIVE(a) ? 0 - (W)a : (W)a))

int KERNEL(abs)(tp_ctx *c, const tp_loop *l, const void *x, const double *k, bool add,
                void *y)
{
    (void)k;
    return tp__map_over(c, l, TP__MAP_CHEAP, abs_blocks, x, NULL, 0, 0, add, y);
}

static inline A between(A x, A low, A high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

TP__MAP_BLOCKS(clamp, between(a, k0, k1))

int KERNEL(clamp)(tp_ctx *c, const tp_loop *l, const void *x, const double *k, bool add,
                  void *y)
{
    return tp__map_over(c, l, TP__MAP_CHEAP, clamp_blocks, x, NULL, tp__from_double(k[0]),
                        tp__from_double(k[1]), add, y);
}

/* The smallest integer over -1 doesn't fit, and traps: the quotient is the negative. */
static inline A rest(A a, A b)
{
    return IS_MINUS_ONE(b) ? 0 : (A)(a % b);
}

static inline A modulus(A a, A b)
{
    A r = rest(a, b);

    return (A)(r != 0 && NEGATIVE(b) != NEGATIVE(r) ? r + b : r);
}

static inline A divided_down(A a, A b)
{
    A r = rest(a, b);

    if (IS_MINUS_ONE(b)) return (A)(0 - (W)a);
    return (A)(a / b - (r != 0 && NEGATIVE(b) != NEGATIVE(r)));
}

static bool has_zero(const tp_loop *l, const T *b)
{
    for (tp_row r = tp_row_first(l); r.more; tp_row_next(l, &r))
        for (int64_t i = 0; i < r.n; i++)
            if (b[r.at[2] + i * r.step[2]] == 0) return true;
    return false;
}

#define DIVISION(name, value)                                                            \
    TP__MAP_BLOCKS(name, value)                                                          \
    int KERNEL(name)(tp_ctx * c, const tp_loop *l, const void *x, const void *z,         \
                     bool add, void *y)                                                  \
    {                                                                                    \
        if (has_zero(l, z)) return tp__kernel_error(c, "an integer is divided by 0");    \
        return tp__map_over(c, l, TP__MAP_DEAR, name##_blocks, x, z, 0, 0, add, y);      \
    }

DIVISION(fmod, rest(a, b))
DIVISION(remainder, modulus(a, b))
DIVISION(floor_divide, divided_down(a, b))
#endif
