/*
 * random.cu - uniform and normal numbers, dropout: the CPU's, bit for bit.
 *
 * A thread makes the four numbers of one counter.  Compiled without contraction, as
 * philox.h asks.
 */
#include "kernels/cuda/launch.cuh"
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

/* Keeps x where the number, m 2^-24, is not below p: where m >= threshold. */
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
            tp_put(&y[at[0]],
                   bits[k] >> 8 >= threshold ? tp_load(x[at[1]]) * scale : tp_acc<T>(0),
                   add);
        }
    }
}

/* 1 where the number, rounded as T stores it, is below x; a report where x is no probability. */
template <class T> static __global__ void toss(tp_loop l, int64_t n, tp_draw d, tp_fault *fault, const T *x, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[2];

    for (int64_t q = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; 4 * q < n; q += step) {
        uint32_t bits[4];

        bits_of(d, q, bits);
        for (int k = 0; k < 4 && 4 * q + k < n; k++) {
            tp_acc<T> u = tp_load(T(tp_acc<T>(tp_philox_uniform(bits[k])))), p;

            tp_at(l, 4 * q + k, at), p = tp_load(x[at[1]]);
            if (!(p >= 0 && p <= 1)) tp_report(fault, TP_FAULT_PROBABILITY, 0, 0);
            tp_put(&y[at[0]], tp_acc<T>(u < p));
        }
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

    return TP_LAUNCH(c, (draw<T, as_uniform>), tp_blocks((n + 3) / 4), TP_THREADS, *l, n,
                     d, lo, hi - lo, (T *)y);
}

template <class T>
static int normal(tp_ctx *c, const tp_loop *l, tp_draw d, double mean, double std,
                  void *y)
{
    int64_t n = tp_loop_count(l);

    return TP_LAUNCH(c, (draw<T, as_normal>), tp_blocks((n + 3) / 4), TP_THREADS, *l, n,
                     d, mean, std, (T *)y);
}

template <class T>
static int dropout(tp_ctx *c, const tp_loop *l, const void *x, double p, tp_draw d,
                   bool add, void *y)
{
    int64_t n = tp_loop_count(l);

    return TP_LAUNCH(c, drop<T>, tp_blocks((n + 3) / 4), TP_THREADS, *l, n, d,
                     (uint32_t)ceil(p * 0x1p24), tp_acc<T>(1 / (1 - p)), (const T *)x,
                     add, (T *)y);
}

template <class T> static int bernoulli(tp_ctx *c, const tp_loop *l, const void *p, tp_draw d, void *y)
{
    int64_t n = tp_loop_count(l);

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
