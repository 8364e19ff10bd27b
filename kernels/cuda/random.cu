/*
 * random.cu - uniform and normal numbers, dropout: the CPU's, bit for bit.
 *
 * A thread makes the numbers of whole counters, four each.  Compiled without contraction, as
 * philox.h asks.
 */
#include "kernels/cuda/map.cuh"
#include "kernels/philox.h"

/* What is made of four lanes of bits. */
struct as_uniform {
    static __device__ void of(const uint32_t *bits, float *v)
    {
        for (int k = 0; k < 4; k++)
            v[k] = tp_philox_uniform(bits[k]);
    }
};
struct as_normal {
    static __device__ void of(const uint32_t *bits, float *v)
    {
        tp_philox_normal(bits[0], bits[1], v);
        tp_philox_normal(bits[2], bits[3], v + 2);
    }
};

static __device__ void bits_of(tp_draw d, int64_t counter, uint32_t *bits)
{
    tp_philox(d.state[0], d.state[1] + d.add + (uint64_t)counter, bits);
}

/* In double and then rounded, so that a float is the rounded double of the same draw. */
template <class T, class As>
static __global__ void draw(tp_loop l, int64_t n, tp_draw d, double a, double b, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[1];

    for (int64_t q = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; 4 * q < n;
         q += step) {
        uint32_t bits[4];
        float v[4];

        bits_of(d, q, bits);
        As::of(bits, v);
        for (int k = 0; k < 4 && 4 * q + k < n; k++) {
            tp_at(l, 4 * q + k, at);
            tp_put(&y[at[0]], tp_acc<T>(a + b * double(v[k])));
        }
    }
}

/* The same of a dense y, 16 bytes at a time.  Two f64 are half of what a counter gives. */
template <class T, class As>
static __global__ void draw_packs(int64_t n, tp_draw d, double a, double b, T *y)
{
    const int N = 16 / sizeof(T);
    int64_t step = (int64_t)gridDim.x * blockDim.x * N;
    uint64_t key = d.state[0], first = d.state[1] + d.add;

    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N; i < n; i += step) {
        int m = n - i < N ? (int)(n - i) : N;
        bool late = N < 4 && i % 4;
        tp_pack<T, N> to;
        uint32_t bits[4];
        float v[4];

        TP_UNROLL
        for (int j = 0; j < N; j++) {
            if (j % 4 == 0) tp_philox(key, first + (uint64_t)(i + j) / 4, bits), As::of(bits, v);
            tp_put(&to.v[j], tp_acc<T>(a + b * double(late ? v[2 + j % 2] : v[j % 4])));
        }
        tp_keep<T, N>(y + i, to, m, m == N && tp_aligned(y));
    }
}

/* Keeps x where the number, m 2^-24, is not below p: where m >= threshold. */
template <class T> static __device__ tp_acc<T> kept(uint32_t bits, uint32_t threshold, T x, tp_acc<T> scale)
{
    return bits >> 8 >= threshold ? tp_load(x) * scale : tp_acc<T>(0);
}

template <class T>
static __global__ void drop(tp_loop l, int64_t n, tp_draw d, uint32_t threshold,
                            tp_acc<T> scale, const T *x, bool add, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[2];

    for (int64_t q = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; 4 * q < n;
         q += step) {
        uint32_t bits[4];

        bits_of(d, q, bits);
        for (int k = 0; k < 4 && 4 * q + k < n; k++) {
            tp_at(l, 4 * q + k, at);
            tp_put(&y[at[0]], kept(bits[k], threshold, x[at[1]], scale), add);
        }
    }
}

/* The same of dense operands, 16 bytes at a time. */
template <class T>
static __global__ void drop_packs(int64_t n, tp_draw d, uint32_t threshold, tp_acc<T> scale, const T *x, bool add, T *y)
{
    const int N = 16 / sizeof(T);
    int64_t step = (int64_t)gridDim.x * blockDim.x * N;
    bool aligned = tp_aligned(x) && tp_aligned(y);
    uint64_t key = d.state[0], first = d.state[1] + d.add;

    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N; i < n; i += step) {
        int m = n - i < N ? (int)(n - i) : N;
        bool whole = aligned && m == N;
        tp_pack<T, N> from = tp_fetch<T, N>(x + i, m, whole), to = tp_fetch<T, N>(add ? y + i : NULL, m, whole);
        bool late = N < 4 && i % 4;
        uint32_t bits[4];

        TP_UNROLL
        for (int j = 0; j < N; j++) {
            if (j % 4 == 0) tp_philox(key, first + (uint64_t)(i + j) / 4, bits);
            tp_put(&to.v[j], kept(late ? bits[2 + j % 2] : bits[j % 4], threshold, from.v[j], scale), add);
        }
        tp_keep<T, N>(y + i, to, m, whole);
    }
}

/* 1 where the number, rounded as T stores it, is below x; a report where x is no probability. */
template <class T> static __device__ tp_acc<T> tossed(uint32_t bits, T x, tp_fault *fault)
{
    tp_acc<T> u = tp_load(T(tp_acc<T>(tp_philox_uniform(bits)))), p = tp_load(x);

    if (!(p >= 0 && p <= 1)) tp_report(fault, TP_FAULT_PROBABILITY, 0, 0);
    return tp_acc<T>(u < p);
}

template <class T> static __global__ void toss(tp_loop l, int64_t n, tp_draw d, tp_fault *fault, const T *x, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[2];

    for (int64_t q = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; 4 * q < n; q += step) {
        uint32_t bits[4];

        bits_of(d, q, bits);
        for (int k = 0; k < 4 && 4 * q + k < n; k++) {
            tp_at(l, 4 * q + k, at);
            tp_put(&y[at[0]], tossed(bits[k], x[at[1]], fault));
        }
    }
}

template <class T> static __global__ void toss_packs(int64_t n, tp_draw d, tp_fault *fault, const T *x, T *y)
{
    const int N = 16 / sizeof(T);
    int64_t step = (int64_t)gridDim.x * blockDim.x * N;
    bool aligned = tp_aligned(x) && tp_aligned(y);
    uint64_t key = d.state[0], first = d.state[1] + d.add;

    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N; i < n; i += step) {
        int m = n - i < N ? (int)(n - i) : N;
        tp_pack<T, N> p = tp_fetch<T, N>(x + i, m, aligned && m == N), to; /* behind the end 0, a probability */
        bool late = N < 4 && i % 4;
        uint32_t bits[4];

        TP_UNROLL
        for (int j = 0; j < N; j++) {
            if (j % 4 == 0) tp_philox(key, first + (uint64_t)(i + j) / 4, bits);
            tp_put(&to.v[j], tossed(late ? bits[2 + j % 2] : bits[j % 4], p.v[j], fault));
        }
        tp_keep<T, N>(y + i, to, m, aligned && m == N);
    }
}

static __global__ void save(tp_draw d, int64_t *to)
{
    to[0] = (int64_t)d.state[0], to[1] = (int64_t)(d.state[1] + d.add);
}

/* ---- the slots ---- */

template <class T>
static int uniform(tp_ctx *c, const tp_loop *l, tp_draw d, double lo, double hi, void *y)
{
    int64_t n = tp_loop_count(l);

    if (tp_dense(l, 0))
        return TP_LAUNCH(c, (draw_packs<T, as_uniform>), tp_pack_blocks<T>(n), TP_THREADS, n, d, lo, hi - lo, (T *)y);
    return TP_LAUNCH(c, (draw<T, as_uniform>), tp_blocks((n + 3) / 4), TP_THREADS, *l, n,
                     d, lo, hi - lo, (T *)y);
}

template <class T>
static int normal(tp_ctx *c, const tp_loop *l, tp_draw d, double mean, double std,
                  void *y)
{
    int64_t n = tp_loop_count(l);

    if (tp_dense(l, 0))
        return TP_LAUNCH(c, (draw_packs<T, as_normal>), tp_pack_blocks<T>(n), TP_THREADS, n, d, mean, std, (T *)y);
    return TP_LAUNCH(c, (draw<T, as_normal>), tp_blocks((n + 3) / 4), TP_THREADS, *l, n,
                     d, mean, std, (T *)y);
}

template <class T>
static int dropout(tp_ctx *c, const tp_loop *l, const void *x, double p, tp_draw d,
                   bool add, void *y)
{
    int64_t n = tp_loop_count(l);
    uint32_t threshold = (uint32_t)ceil(p * 0x1p24);
    tp_acc<T> scale = tp_acc<T>(1 / (1 - p));

    if (tp_dense(l, 1))
        return TP_LAUNCH(c, drop_packs<T>, tp_pack_blocks<T>(n), TP_THREADS, n, d, threshold, scale,
                         (const T *)x, add, (T *)y);
    return TP_LAUNCH(c, drop<T>, tp_blocks((n + 3) / 4), TP_THREADS, *l, n, d, threshold, scale, (const T *)x, add, (T *)y);
}

template <class T> static int bernoulli(tp_ctx *c, const tp_loop *l, const void *p, tp_draw d, void *y)
{
    int64_t n = tp_loop_count(l);

    if (tp_dense(l, 1))
        return TP_LAUNCH(c, toss_packs<T>, tp_pack_blocks<T>(n), TP_THREADS, n, d, tp_faults(c), (const T *)p, (T *)y);
    return TP_LAUNCH(c, toss<T>, tp_blocks((n + 3) / 4), TP_THREADS, *l, n, d, tp_faults(c), (const T *)p, (T *)y);
}

static int draw_save(tp_ctx *c, tp_draw d, int64_t *to)
{
    return TP_LAUNCH(c, save, 1, 1, d, to);
}

TP_FLOATS(uniform)
TP_FLOATS(normal)
TP_FLOATS(dropout)
TP_FLOATS(bernoulli)
TP_SLOTS(draw_save, NULL, NULL, NULL, NULL, draw_save) /* i64 */
