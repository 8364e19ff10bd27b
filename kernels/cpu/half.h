/*
 * half.h - bf16 and f16 as stored, to and from f32; rounding to nearest even.
 */
#ifndef TP_KERNELS_CPU_HALF_H
#define TP_KERNELS_CPU_HALF_H

#include <stdint.h>
#include <string.h>

typedef struct tp_bf16 { uint16_t bits; } tp_bf16;
typedef struct tp_f16 { uint16_t bits; } tp_f16;

static inline float tp__float_of_bits(uint32_t b)
{
    float f;

    memcpy(&f, &b, sizeof f);
    return f;
}

static inline uint32_t tp__bits_of_float(float f)
{
    uint32_t b;

    memcpy(&b, &f, sizeof b);
    return b;
}

static inline float tp_bf16_to_f32(tp_bf16 v)
{
    return tp__float_of_bits((uint32_t)v.bits << 16);
}

static inline tp_bf16 tp_bf16_of(float f)
{
    uint32_t b = tp__bits_of_float(f), rounded = b + 0x7fffu + (b >> 16 & 1);
    uint32_t quiet = b | 0x400000u; /* a NaN must not round to infinity */

    return (tp_bf16){ (uint16_t)((f != f ? quiet : rounded) >> 16) };
}

static inline float tp_f16_to_f32(tp_f16 v)
{
    uint32_t sign = (uint32_t)(v.bits & 0x8000) << 16, rest = v.bits & 0x7fff;

    if (rest >= 0x7c00) return tp__float_of_bits(sign | 0x7f800000u | rest << 13);
    if (rest >= 0x0400) return tp__float_of_bits(sign | ((rest << 13) + 0x38000000u));
    return tp__float_of_bits(sign | tp__bits_of_float((float)rest * 0x1p-24f));
}

static inline tp_f16 tp_f16_of(float f)
{
    uint32_t b = tp__bits_of_float(f), sign = b >> 16 & 0x8000, rest = b & 0x7fffffff, half;

    if (rest > 0x7f800000) return (tp_f16){ (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff)) };
    if (rest >= 0x477ff000) return (tp_f16){ (uint16_t)(sign | 0x7c00) }; /* rounds past 65504 */
    if (rest < 0x38800000) { /* below 2^-14: adding 0.5 rounds at 2^-24 */
        half = tp__bits_of_float(tp__float_of_bits(rest) + 0.5f) - 0x3f000000u;
        return (tp_f16){ (uint16_t)(sign | half) };
    }
    half = (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1)) >> 13;
    return (tp_f16){ (uint16_t)(sign | half) };
}

#endif
