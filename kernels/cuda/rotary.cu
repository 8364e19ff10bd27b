/*
 * rotary.cu - Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding".
 *
 *   pair i of a row at position p turns by  p base^(-2i / dims)
 *
 * Angles are computed and reduced in double, so that far positions are as sharp as near ones.  A
 * table of sines and cosines is made first, for all rows that share a position.
 */
#include "kernels/cuda/launch.cuh"

struct tp_angles {
    int64_t half, places; /* pairs of a row; rows of the table: T, or N T */
    bool per_sample;
};

__device__ inline void sine_and_cosine(float turns, float *s, float *c)
{
    sincospif(2 * turns, s, c);
}

__device__ inline void sine_and_cosine(double turns, double *s, double *c)
{
    sincospi(2 * turns, s, c);
}

/* An angle as a share of a turn, whole turns dropped: 2 pi in two parts loses nothing. */
__device__ inline double turns_of(double angle)
{
    double whole = rint(angle * 0.15915494309189533577), rest = fma(-whole, 6.283185307179586232, angle);

    return fma(-whole, 2.4492935982947064e-16, rest) * 0.15915494309189533577;
}

template <class A> static __global__ void make_angles(tp_rotary_args g, tp_angles a, A *table)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.places * a.half; i += step) {
        int64_t row = i / a.half, pair = i % a.half, n = row / g.T, t = row % g.T;
        int64_t p = g.offset + (g.positions ? g.positions[n * g.position_step[0] + t * g.position_step[1]] : t);
        A s, c;

        sine_and_cosine(A(turns_of((double)p * pow(g.base, -2 * (double)pair / (double)g.dims))), &s, &c);
        table[2 * row * a.half + pair] = c, table[(2 * row + 1) * a.half + pair] = g.inverse ? -s : s;
    }
}

/* A thread turns a pair, or copies a number that doesn't turn. */
template <class T>
static __global__ void turn(tp_rotary_args g, tp_angles a, const tp_acc<T> *table, const T *x, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, wide = a.half + g.D - 2 * a.half;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < g.N * g.heads * g.T * wide; i += step) {
        int64_t k = i % wide, t = i / wide % g.T, h = i / wide / g.T % g.heads, n = i / wide / g.T / g.heads;
        int64_t row = (a.per_sample ? n * g.T : 0) + t, one = g.halves ? k : 2 * k, other = g.halves ? k + a.half : 2 * k + 1;
        const T *from = x + n * g.x[0] + h * g.x[1] + t * g.x[2];
        T *to = y + n * g.y[0] + h * g.y[1] + t * g.y[2];

        if (k >= a.half) {
            to[k + a.half] = from[k + a.half];
            continue;
        }
        tp_acc<T> c = table[2 * row * a.half + k], s = table[(2 * row + 1) * a.half + k];
        tp_acc<T> u = tp_load(from[one]), v = tp_load(from[other]);

        tp_put(&to[one], u * c - v * s), tp_put(&to[other], v * c + u * s);
    }
}

template <class T> static int rotary(tp_ctx *c, const tp_rotary_args *g, const void *x, void *y)
{
    typedef tp_acc<T> A;
    tp_angles a = { g->dims / 2, g->T, g->positions && g->position_step[0] };
    int64_t threads = g->N * g->heads * g->T * (g->D - a.half);
    A *table;
    int failed;

    if (threads == 0) return 0;
    if (a.per_sample) a.places *= g->N;
    table = (A *)tp_scratch(c, (size_t)(2 * a.places * a.half + 1) * sizeof *table);
    if (!table) return TP_KERNEL_NO_MEMORY;
    failed = TP_LAUNCH(c, make_angles<A>, tp_blocks(a.places * a.half), TP_THREADS, *g, a, table);
    return failed ? failed : TP_LAUNCH(c, turn<T>, tp_blocks(threads), TP_THREADS, *g, a, (const A *)table, (const T *)x, (T *)y);
}

TP_FLOATS(rotary)
