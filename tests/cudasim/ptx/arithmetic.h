/*
 * arithmetic.h - PTX's arithmetic where C's differs, by the PTX ISA.
 */
#ifndef CUDASIM_PTX_ARITHMETIC_H
#define CUDASIM_PTX_ARITHMETIC_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BITS(name, to, from)                                                             \
    static inline to name(from v)                                                        \
    {                                                                                    \
        to r;                                                                            \
        memcpy(&r, &v, sizeof r);                                                        \
        return r;                                                                        \
    }
BITS(F32, float, uint32_t)
BITS(U32, uint32_t, float)
BITS(F64, double, uint64_t)
BITS(U64, uint64_t, double)

/* ---- integers; a division by zero gives all ones, as GPUs do ---- */

#define UNSIGNED_DIVISION(n)                                                             \
    static inline uint##n##_t div_u##n(uint##n##_t a, uint##n##_t b)                     \
    {                                                                                    \
        return b ? (uint##n##_t)(a / b) : (uint##n##_t) ~0ull;                           \
    }                                                                                    \
    static inline uint##n##_t rem_u##n(uint##n##_t a, uint##n##_t b)                     \
    {                                                                                    \
        return b ? (uint##n##_t)(a % b) : a;                                             \
    }                                                                                    \
    static inline int##n##_t div_s##n(int##n##_t a, int##n##_t b)                        \
    {                                                                                    \
        return (int##n##_t)(!b        ? -1                                               \
                            : b == -1 ? (int##n##_t)(0 - (uint##n##_t)a)                 \
                                      : a / b);                                          \
    }                                                                                    \
    static inline int##n##_t rem_s##n(int##n##_t a, int##n##_t b)                        \
    {                                                                                    \
        return (int##n##_t)(!b ? a : b == -1 ? 0 : a % b);                               \
    }
UNSIGNED_DIVISION(16)
UNSIGNED_DIVISION(32)
UNSIGNED_DIVISION(64)

static inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t selector)
{
    uint64_t both = (uint64_t)b << 32 | a;
    uint32_t r = 0;

    for (int i = 0; i < 4; i++) {
        uint32_t s = selector >> 4 * i & 15, v = (uint32_t)(both >> 8 * (s & 7)) & 255;

        if (s & 8) v = v & 128 ? 255 : 0; /* its sign, spread */
        r |= v << 8 * i;
    }
    return r;
}

static inline uint64_t bfi(uint64_t a, uint64_t b, uint32_t at, uint32_t n,
                           uint32_t width)
{
    uint64_t ones;

    at &= 255, n &= 255;
    if (at >= width || !n) return b;
    ones = n >= 64 ? ~0ull : (1ull << n) - 1;
    return (b & ~(ones << at)) | (a & ones) << at;
}

static inline uint32_t bfe_u32(uint32_t a, uint32_t at, uint32_t n)
{
    at &= 255, n &= 255;
    return at >= 32 ? 0 : (a >> at) & (n >= 32 ? ~0u : (1u << n) - 1);
}

/* ---- floats ---- */

static inline float ftz(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

/* The upper half alone of a double, subnormal ones being 0: what approximations of f64 take and give. */
static inline double upper(double x)
{
    return fabs(x) < 0x1p-1022 ? copysign(0, x) : F64(U64(x) >> 32 << 32);
}

/* a (1 / b), where 1 / b may be flushed */
static inline float div_approx(float a, float b)
{
    return fabsf(b) > 0x1p126f && fabsf(b) < INFINITY ? a * 0.0f * copysignf(1, b)
                                                      : a / b;
}

/* A number rather than NaN, and -0 < +0. */
#define LEAST_AND_MOST(t, T, nan)                                                        \
    static inline T min_##t(T a, T b)                                                    \
    {                                                                                    \
        if (a != a || b != b) return a == a ? a : b == b ? b : nan;                      \
        return a < b || (a == b && signbit(a)) ? a : b;                                  \
    }                                                                                    \
    static inline T max_##t(T a, T b)                                                    \
    {                                                                                    \
        if (a != a || b != b) return a == a ? a : b == b ? b : nan;                      \
        return a > b || (a == b && signbit(b)) ? a : b;                                  \
    }
LEAST_AND_MOST(f32, float, F32(0x7fffffff))
LEAST_AND_MOST(f64, double, F64(0x7fffffffffffffff))

static inline float sat(float x)
{
    return x > 0 ? x < 1 ? x : 1 : 0; /* NaN: 0 */
}

/* Of a value that double holds to 53 bits, `exact` more or less than it by `rest`. */
static inline float toward(double v, double rest, int direction)
{
    float f = (float)v;
    double over = ((double)f - v) - rest; /* f minus the exact value: its sign is right */

    if (direction < 0 && over > 0) return nextafterf(f, -INFINITY);
    if (direction > 0 && over < 0) return nextafterf(f, INFINITY);
    return f;
}

/* A product of floats is a double; the sum's rounding error is found by two-sum. */
static inline float fma_toward(float a, float b, float c, int direction)
{
    double p = (double)a * b, s = p + c, t = s - p, rest = (p - (s - t)) + (c - t);

    if (!isfinite(s)) return (float)s;
    if (direction == 0) direction = s > 0 || (s == 0 && rest > 0) ? -1 : 1;
    return toward(s, rest, direction);
}

static inline float fma_rm(float a, float b, float c)
{
    return fma_toward(a, b, c, -1);
}
static inline float fma_rp(float a, float b, float c)
{
    return fma_toward(a, b, c, 1);
}
static inline float fma_rz(float a, float b, float c)
{
    return fma_toward(a, b, c, 0);
}

/* To integers: the nearest that fits.  NaN is `nan`: 0, but the top bit from f64 and to 64 bits. */
static inline int32_t to_s32(double x, uint64_t nan)
{
    return x != x         ? (int32_t)nan
           : x >= 0x1p31  ? INT32_MAX
           : x <= -0x1p31 ? INT32_MIN
                          : (int32_t)x;
}
static inline uint32_t to_u32(double x, uint64_t nan)
{
    return x != x ? (uint32_t)nan : x <= 0 ? 0 : x >= 0x1p32 ? UINT32_MAX : (uint32_t)x;
}
static inline int64_t to_s64(double x, uint64_t nan)
{
    return x != x         ? (int64_t)nan
           : x >= 0x1p63  ? INT64_MAX
           : x <= -0x1p63 ? INT64_MIN
                          : (int64_t)x;
}
static inline uint64_t to_u64(double x, uint64_t nan)
{
    return x != x ? nan : x <= 0 ? 0 : x >= 0x1p64 ? UINT64_MAX : (uint64_t)x;
}

static inline float from_f16(uint16_t bits)
{
    _Float16 h;

    memcpy(&h, &bits, 2);
    return (float)h;
}
static inline uint16_t to_f16(float x)
{
    _Float16 h = (_Float16)x;
    uint16_t bits;

    memcpy(&bits, &h, 2);
    return x != x ? 0x7fff : bits;
}
static inline float from_bf16(uint16_t bits)
{
    return F32((uint32_t)bits << 16);
}
static inline uint16_t to_bf16(float x)
{
    uint32_t u = U32(x);

    return x != x ? 0x7fff : (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

#endif
