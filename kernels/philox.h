/*
 * philox.h - counter-based random numbers, Philox 4x32-10 (Salmon et al. 2011), in C and CUDA.
 *
 * Uniform and normal numbers are made of +, -, *, /, sqrt and explicit fma alone, so that
 * every machine gives the same bits.  Include it only where contraction is off
 * (-ffp-contract=off, nvcc -fmad=false).
 */
#ifndef TP_KERNELS_PHILOX_H
#define TP_KERNELS_PHILOX_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define TP_PHILOX_FN static inline __host__ __device__
#else
#define TP_PHILOX_FN static inline
#endif

TP_PHILOX_FN void tp_philox(uint64_t key, uint64_t counter, uint32_t out[4])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t x0 = (uint32_t)counter, x1 = (uint32_t)(counter >> 32), x2 = 0, x3 = 0;

    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * x0, b = (uint64_t)0xCD9E8D57u * x2;

        x0 = (uint32_t)(b >> 32) ^ x1 ^ k0, x2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
        x1 = (uint32_t)b, x3 = (uint32_t)a;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    out[0] = x0, out[1] = x1, out[2] = x2, out[3] = x3;
}

/* In [0, 1), a multiple of 2^-24: the same number as float and as double. */
TP_PHILOX_FN float tp_philox_uniform(uint32_t bits)
{
    return (float)(bits >> 8) * 0x1p-24f;
}

/* log x for x in [2^-24, 1]: x = m 2^e with m in [sqrt(1/2), sqrt 2), log m by the series of
 * atanh in s = (m - 1) / (m + 1). */
TP_PHILOX_FN float tp__philox_log(float x)
{
    int32_t bits, e;
    float m, s, q, p;

    memcpy(&bits, &x, sizeof bits);
    e = (bits - 0x3f3504f3) >> 23; /* bits of sqrt(1/2) */
    bits -= (int32_t)((uint32_t)e << 23);
    memcpy(&m, &bits, sizeof m);
    s = (m - 1.0f) / (m + 1.0f), q = s * s;
    p = fmaf(q, fmaf(q, fmaf(q, fmaf(q, 0.22222222f, 0.2857143f), 0.4f), 0.6666667f), 2.0f);
    return fmaf((float)e, 0.69314718f, s * p);
}

/* sin and cos of 2 pi u for u in [0, 1), a multiple of 2^-24: the turn is cut into eighths
 * exactly, then Taylor series on [-pi/4, pi/4]. */
TP_PHILOX_FN void tp__philox_turn(float u, float *sine, float *cosine)
{
    int quarter = (int)(u * 4.0f + 0.5f);
    float r = (u - (float)quarter * 0.25f) * 6.2831855f, q = r * r, s, c;

    s = r * fmaf(q, fmaf(q, fmaf(q, fmaf(q, 2.7557319e-6f, -1.9841270e-4f), 8.3333333e-3f),
                         -0.16666667f), 1.0f);
    c = fmaf(q, fmaf(q, fmaf(q, fmaf(q, 2.4801587e-5f, -1.3888889e-3f), 4.1666667e-2f), -0.5f),
             1.0f);
    *sine = quarter & 1 ? (quarter & 2 ? -c : c) : (quarter & 2 ? -s : s);
    *cosine = quarter & 1 ? (quarter & 2 ? s : -s) : (quarter & 2 ? -c : c);
}

/* Two normal numbers of two uniforms (Box & Muller 1958). */
TP_PHILOX_FN void tp_philox_normal(uint32_t a, uint32_t b, float out[2])
{
    float radius = sqrtf(-2.0f * tp__philox_log(1.0f - tp_philox_uniform(a))), sine, cosine;

    tp__philox_turn(tp_philox_uniform(b), &sine, &cosine);
    out[0] = radius * cosine, out[1] = radius * sine;
}

#endif
