/*
 * random.c - uniform and normal numbers, and dropout.
 *
 * Element i of the logical order is drawn from counter offset + add + i / 4, lane i % 4, so
 * its number depends on nothing else: not on strides, threads, or instruction set.  Counters
 * are worked through side by side, a batch at a time.  Compiled without contraction, as
 * philox.h asks.
 */
#include "kernels/cpu/map.h"
#include "kernels/philox.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

enum {
    BATCH = 64, /* counters; four numbers each */
    NUMBERS = 4 * BATCH,
    LENGTH = 4096, /* elements of a run */
    GRAIN = 8192   /* elements worth a thread */
};

/* Makes elements of one row out of bits: bits[skip + i] belongs to element i, and bits[0] is
 * lane 0 of a counter. */
typedef struct draw_job draw_job;
typedef void draw_run(const draw_job *j, int64_t n, const uint32_t *bits, int skip,
                      const T *x, int64_t sx, T *y, int64_t sy);

struct draw_job {
    const tp_loop *l;
    draw_run *run;
    uint64_t key, counter;
    int64_t length, cuts;
    const T *x;
    T *y;
    double a, b;        /* y = a + b number */
    uint32_t threshold; /* dropout keeps what is not below */
    A scale;
    bool add;
};

#if defined(__SSE2__) && !defined(TP_PLAIN)

/* Words of 32 bits, each in 64: the product of two is then one instruction, and what it
 * leaves above 32 bits is never looked at. */
#if defined(__AVX512F__)
typedef uint64_t words __attribute__((vector_size(64)));
#define TIMES(a, b) (words) _mm512_mul_epu32((__m512i)(a), (__m512i)(b))
#elif defined(__AVX2__)
typedef uint64_t words __attribute__((vector_size(32)));
#define TIMES(a, b) (words) _mm256_mul_epu32((__m256i)(a), (__m256i)(b))
#else
typedef uint64_t words __attribute__((vector_size(16)));
#define TIMES(a, b) (words) _mm_mul_epu32((__m128i)(a), (__m128i)(b))
#endif

enum { WORDS = sizeof(words) / 8 };

/* bits[4 i + k] = lane k of counter + i, for i < count, a multiple of 16: philox.h's rounds. */
static void philox_batch(uint64_t key, uint64_t counter, int count, uint32_t *bits)
{
    const words m0 = (words){ 0 } + 0xD2511F53u, m2 = (words){ 0 } + 0xCD9E8D57u;
    const words low = (words){ 0 } + UINT32_MAX;
    uint64_t first[WORDS], second[WORDS], *to = (uint64_t *)(void *)bits;

    for (int i = 0; i < count; i += WORDS) {
        words x0, x1, x2 = { 0 }, x3 = { 0 };
        uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);

        for (int k = 0; k < WORDS; k++)
            first[k] = counter + (uint64_t)(i + k);
        memcpy(&x0, first, sizeof x0), x1 = x0 >> 32;
        for (int round = 0; round < 10; round++) {
            words a = TIMES(m0, x0), b = TIMES(m2, x2);

            x0 = (b >> 32) ^ x1 ^ k0, x1 = b;
            x2 = (a >> 32) ^ x3 ^ k1, x3 = a;
            k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
        }
        x0 = (x0 & low) | x1 << 32, x2 = (x2 & low) | x3 << 32; /* little endian */
        memcpy(first, &x0, sizeof x0), memcpy(second, &x2, sizeof x2);
        for (int k = 0; k < WORDS; k++)
            to[2 * (i + k)] = first[k], to[2 * (i + k) + 1] = second[k];
    }
}

#else

/* bits[4 i + k] = lane k of counter + i, for i < count, a multiple of 16: philox.h's rounds,
 * with a loop over counters inside. */
static void philox_batch(uint64_t key, uint64_t counter, int count, uint32_t *bits)
{
    uint32_t x0[BATCH], x1[BATCH], x2[BATCH], x3[BATCH];
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

/* Elements first .. first + n of the logical order. */
static void draw_elements(const draw_job *j, int64_t first, int64_t n, const T *x,
                          int64_t sx, T *y, int64_t sy)
{
    _Alignas(64) uint32_t bits[NUMBERS];

    while (n > 0) {
        int skip = (int)(first % 4);
        int64_t some = n < NUMBERS - skip ? n : NUMBERS - skip;
        int count = (int)((skip + some + 3) / 4);

        philox_batch(j->key, j->counter + (uint64_t)first / 4, (count + 15) & ~15, bits);
        j->run(j, some, bits, skip, x, sx, y, sy);
        first += some, n -= some, x += some * sx, y += some * sy;
    }
}

static void draw_body(void *user, int worker, int64_t from, int64_t to)
{
    const draw_job *j = user;
    tp_row r = tp_row_at(j->l, from / j->cuts);
    int64_t row = from / j->cuts, cut = from % j->cuts;
    int in = j->l->operands > 1;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        int64_t first = cut * j->length, left = r.n - first;

        draw_elements(j, row * r.n + first, left < j->length ? left : j->length,
                      j->x + r.at[in] + first * r.step[in], r.step[in],
                      j->y + r.at[0] + first * r.step[0], r.step[0]);
        if (++cut == j->cuts) tp_row_next(j->l, &r), row++, cut = 0;
    }
}

static int draw(tp_ctx *c, tp_draw d, draw_job *j)
{
    int64_t n = j->l->n[j->l->rank - 1], count = tp_loop_count(j->l);

    if (count == 0) return 0;
    j->key = d.state[0], j->counter = d.state[1] + d.add;
    j->length = n < LENGTH ? n : LENGTH, j->cuts = (n + j->length - 1) / j->length;
    tp__parallel(c, count / n * j->cuts, 1 + (GRAIN - 1) / j->length, draw_body, j);
    return 0;
}

/* In double and then rounded, so that a float is the rounded double of the same draw. */
static void scaled(const draw_job *j, int64_t n, const float *v, T *y, int64_t sy)
{
    double a = j->a, b = j->b;

    if (sy == 1)
        for (int64_t i = 0; i < n; i++)
            y[i] = STORE((A)(a + b * (double)v[i]));
    else
        for (int64_t i = 0; i < n; i++)
            y[i * sy] = STORE((A)(a + b * (double)v[i]));
}

static void uniform_run(const draw_job *j, int64_t n, const uint32_t *bits, int skip,
                        const T *x, int64_t sx, T *y, int64_t sy)
{
    float v[NUMBERS];

    (void)x, (void)sx;
    for (int64_t i = 0; i < n; i++)
        v[i] = tp_philox_uniform(bits[skip + i]);
    scaled(j, n, v, y, sy);
}

static void normal_run(const draw_job *j, int64_t n, const uint32_t *bits, int skip,
                       const T *x, int64_t sx, T *y, int64_t sy)
{
    float v[NUMBERS];

    (void)x, (void)sx;
    for (int64_t i = 0; i < (skip + n + 1) / 2; i++)
        tp_philox_normal(bits[2 * i], bits[2 * i + 1], v + 2 * i);
    scaled(j, n, v + skip, y, sy);
}

static void dropout_run(const draw_job *j, int64_t n, const uint32_t *bits, int skip,
                        const T *x, int64_t sx, T *y, int64_t sy)
{
    uint32_t threshold = j->threshold;
    A scale = j->scale;

    bits += skip;
    if (sx != 1 || sy != 1 || j->add) {
        for (int64_t i = 0; i < n; i++) {
            A v = bits[i] >> 8 >= threshold ? LOAD(x[i * sx]) * scale : 0;

            y[i * sy] = STORE(j->add ? LOAD(y[i * sy]) + v : v);
        }
        return;
    }
    TP__INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        A v = LOAD(x[i]) * scale;

        y[i] = STORE(bits[i] >> 8 >= threshold ? v : 0);
    }
}

int KERNEL(uniform)(tp_ctx *c, const tp_loop *l, tp_draw d, double lo, double hi, void *y)
{
    draw_job j = { .l = l, .run = uniform_run, .x = y, .y = y, .a = lo, .b = hi - lo };

    return draw(c, d, &j);
}

int KERNEL(normal)(tp_ctx *c, const tp_loop *l, tp_draw d, double mean, double std,
                   void *y)
{
    draw_job j = { .l = l, .run = normal_run, .x = y, .y = y, .a = mean, .b = std };

    return draw(c, d, &j);
}

/* A number is m 2^-24 for an integer m, so number >= p where m >= p 2^24 rounded up. */
int KERNEL(dropout)(tp_ctx *c, const tp_loop *l, const void *x, double p, tp_draw d,
                    bool add, void *y)
{
    draw_job j = { .l = l, .run = dropout_run, .x = x, .y = y, .add = add };

    j.threshold = (uint32_t)ceil(p * 0x1p24), j.scale = (A)(1 / (1 - p));
    return draw(c, d, &j);
}
