/*
 * counters.h - philox.h's random bits of many counters side by side.
 */
#ifndef TP_KERNELS_CPU_COUNTERS_H
#define TP_KERNELS_CPU_COUNTERS_H

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <immintrin.h>
#endif

enum { TP__COUNTERS = 64 /* the most that are worked through at a time; four numbers each */ };

#if defined(__SSE2__) && !defined(TP_PLAIN)

/* Words of 32 bits, each in 64: the product of two is then one instruction, and what it
 * leaves above 32 bits is never looked at. */
#if defined(__AVX512F__)
typedef uint64_t tp__words __attribute__((vector_size(64)));
#define TP__TIMES(a, b) (tp__words) _mm512_mul_epu32((__m512i)(a), (__m512i)(b))
#elif defined(__AVX2__)
typedef uint64_t tp__words __attribute__((vector_size(32)));
#define TP__TIMES(a, b) (tp__words) _mm256_mul_epu32((__m256i)(a), (__m256i)(b))
#else
typedef uint64_t tp__words __attribute__((vector_size(16)));
#define TP__TIMES(a, b) (tp__words) _mm_mul_epu32((__m128i)(a), (__m128i)(b))
#endif

enum { TP__WORDS = sizeof(tp__words) / 8 };

/* bits[4 i + k] = lane k of counter + i, for i < count, a multiple of 16: philox.h's rounds. */
static inline void tp__philox_batch(uint64_t key, uint64_t counter, int count, uint32_t *bits)
{
    const tp__words m0 = (tp__words){ 0 } + 0xD2511F53u, m2 = (tp__words){ 0 } + 0xCD9E8D57u;
    const tp__words low = (tp__words){ 0 } + UINT32_MAX;
    uint64_t first[TP__WORDS], second[TP__WORDS], *to = (uint64_t *)(void *)bits;

    for (int i = 0; i < count; i += TP__WORDS) {
        tp__words x0, x1, x2 = { 0 }, x3 = { 0 };
        uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);

        for (int k = 0; k < TP__WORDS; k++)
            first[k] = counter + (uint64_t)(i + k);
        memcpy(&x0, first, sizeof x0), x1 = x0 >> 32;
        for (int round = 0; round < 10; round++) {
            tp__words a = TP__TIMES(m0, x0), b = TP__TIMES(m2, x2);

            x0 = (b >> 32) ^ x1 ^ k0, x1 = b;
            x2 = (a >> 32) ^ x3 ^ k1, x3 = a;
            k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
        }
        x0 = (x0 & low) | x1 << 32, x2 = (x2 & low) | x3 << 32; /* little endian */
        memcpy(first, &x0, sizeof x0), memcpy(second, &x2, sizeof x2);
        for (int k = 0; k < TP__WORDS; k++)
            to[2 * (i + k)] = first[k], to[2 * (i + k) + 1] = second[k];
    }
}

#else

/* bits[4 i + k] = lane k of counter + i, for i < count, a multiple of 16: philox.h's rounds,
 * with a loop over counters inside. */
static inline void tp__philox_batch(uint64_t key, uint64_t counter, int count, uint32_t *bits)
{
    uint32_t x0[TP__COUNTERS], x1[TP__COUNTERS], x2[TP__COUNTERS], x3[TP__COUNTERS];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);

    for (int i = 0; i < count; i++) {
        x0[i] = (uint32_t)(counter + (uint64_t)i);
        x1[i] = (uint32_t)((counter + (uint64_t)i) >> 32);
        x2[i] = x3[i] = 0;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < count; i++) {
            uint64_t a = (uint64_t)0xD2511F53u * x0[i], b = (uint64_t)0xCD9E8D57u * x2[i];

            x0[i] = (uint32_t)(b >> 32) ^ x1[i] ^ k0, x1[i] = (uint32_t)b;
            x2[i] = (uint32_t)(a >> 32) ^ x3[i] ^ k1, x3[i] = (uint32_t)a;
        }
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < count; i++) {
        bits[4 * i] = x0[i], bits[4 * i + 1] = x1[i];
        bits[4 * i + 2] = x2[i], bits[4 * i + 3] = x3[i];
    }
}

#endif

#endif
