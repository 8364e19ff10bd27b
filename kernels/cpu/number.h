/*
 * number.h - from a number to each dtype, and where integers wrap around.
 */
#ifndef TP_KERNELS_CPU_NUMBER_H
#define TP_KERNELS_CPU_NUMBER_H

#include "kernels/cpu/generic.h"

/* Integers wrap around: W is where their sums and products are defined. */
typedef float tp__w_f32, tp__w_bf16, tp__w_f16;
typedef double tp__w_f64;
typedef uint64_t tp__w_i64;
typedef uint32_t tp__w_i32, tp__w_u8, tp__w_b8;
typedef TP__JOIN(tp__w_, TP_FOR) W;

/* To an integer towards zero; what doesn't fit becomes the nearest that does, NaN 0.  The
 * bounds are powers of two, exact in any float. */
#define TO_INTEGER(U, x, low, high, least, most)                                         \
    ((x) != (x) ? 0 : (x) >= (high) ? (most) : (x) <= (low) ? (least) : (U)(x))

#define TO_I64(x) TO_INTEGER(int64_t, x, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX)
#define TO_I32(x) TO_INTEGER(int32_t, x, -0x1p31, 0x1p31, INT32_MIN, INT32_MAX)
#define TO_U8(x)  TO_INTEGER(uint8_t, x, 0, 256, 0, 255)

/* What T itself makes of a double. */
static inline A tp__from_double(double value)
{
#if TP_IS(b8)
    return value != 0;
#elif TP_IS(i64)
    return TO_I64(value);
#elif TP_IS(i32)
    return TO_I32(value);
#elif TP_IS(u8)
    return (A)TO_U8(value);
#else
    return (A)value;
#endif
}

/* The same, but an integer wraps around: -1 in u8 is 255, what is added to take 1 away. */
static inline A tp__wrapped_from_double(double value)
{
#if TP_IS_FLOAT
    return (A)value;
#else
    return (A)(W)TO_I64(value);
#endif
}

#endif
