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

/* What becomes of x by its 32 bits: kept where the number, m 2^-24, is not below p: where m >= threshold. */
template <class T> struct kept {
    uint32_t threshold;
    tp_acc<T> scale;

    __device__ tp_acc<T> operator()(uint32_t bits, T x) const
    {
        return bits >> 8 >= threshold ? tp_load(x) * scale : tp_acc<T>(0);
    }
};

/* 1 where the number, rounded as T stores it, is below x; a report where x is no probability. */
template <class T> struct tossed {
    tp_faults faults;

    __device__ tp_acc<T> operator()(uint32_t bits, T x) const
    {
        tp_acc<T> u = tp_load(T(tp_acc<T>(tp_philox_uniform(bits)))), p = tp_load(x);

        if (!(p >= 0 && p <= 1)) tp_report(faults, TP_FAULT_PROBABILITY, 0, 0);
        return tp_acc<T>(u < p);
    }
};

template <class T, class F>
static __global__ void decide(tp_loop l, int64_t n, tp_draw d, F f, const T *x, bool add, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[2];

    for (int64_t q = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; 4 * q < n; q += step) {
        uint32_t bits[4];

        bits_of(d, q, bits);
        for (int k = 0; k < 4 && 4 * q + k < n; k++) {
            tp_at(l, 4 * q + k, at);
            tp_put(&y[at[0]], f(bits[k], x[at[1]]), add);
        }
    }
}

/* The same of dense operands, 16 bytes at a time; behind the end x is 0, a probability. */
template <class T, class F>
static __global__ void decide_packs(int64_t n, tp_draw d, F f, const T *x, bool add, T *y)
{
    const int N = 16 / sizeof(T);
    int64_t step = (int64_t)gridDim.x * blockDim.x * N;
    bool aligned = tp_aligned(x) && tp_aligned(y);
    uint64_t key = d.state[0], first = d.state[1] + d.add;

    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N; i < n; i += step) {
        int m = n - i < N ? (int)(n - i) : N;
        bool whole = aligned && m == N, late = N < 4 && i % 4;
        tp_pack<T, N> from = tp_fetch<T, N>(x + i, m, whole), to = tp_fetch<T, N>(add ? y + i : NULL, m, whole);
        uint32_t bits[4];

        TP_UNROLL
        for (int j = 0; j < N; j++) {
            if (j % 4 == 0) tp_philox(key, first + (uint64_t)(i + j) / 4, bits);
            tp_put(&to.v[j], f(late ? bits[2 + j % 2] : bits[j % 4], from.v[j]), add);
        }
        tp_keep<T, N>(y + i, to, m, whole);
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

template <class T, class F>
static int decided(tp_ctx *c, const char *op, const tp_loop *l, tp_draw d, F f, const void *x, bool add, void *y)
{
    int64_t n = tp_loop_count(l);

    if (tp_dense(l, 1))
        return TP_LAUNCH_FOR(c, op, (decide_packs<T, F>), tp_pack_blocks<T>(n), TP_THREADS, n, d, f, (const T *)x, add, (T *)y);
    return TP_LAUNCH_FOR(c, op, (decide<T, F>), tp_blocks((n + 3) / 4), TP_THREADS, *l, n, d, f, (const T *)x, add, (T *)y);
}

template <class T> static int dropout(tp_ctx *c, const tp_loop *l, const void *x, double p, tp_draw d, bool add, void *y)
{
    kept<T> f = { (uint32_t)ceil(p * 0x1p24), tp_acc<T>(1 / (1 - p)) };

    return decided<T>(c, __func__, l, d, f, x, add, y);
}

template <class T> static int bernoulli(tp_ctx *c, const tp_loop *l, const void *p, tp_draw d, void *y)
{
    return decided<T>(c, __func__, l, d, tossed<T>{ tp_faults_of(c, __func__) }, p, false, y);
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
