/*
 * norm.cuh - one sum, or two, over the rows of each column, as norms need them.
 *
 * The rows are cut into chunks by shape alone, whose sums are folded in a second launch.
 */
#ifndef TP_KERNELS_CUDA_NORM_CUH
#define TP_KERNELS_CUDA_NORM_CUH

#include "kernels/cuda/launch.cuh"

enum { TP_COLUMNS = 32, TP_DEPTH = TP_THREADS / TP_COLUMNS };

/* What is summed up at once. */
template <class A> struct tp_one {
    A a;

    __device__ void operator+=(const tp_one &v) { a += v.a; }
};

template <class A> struct tp_two {
    A a, b;

    __device__ void operator+=(const tp_two &v) { a += v.a, b += v.b; }
};

/* What (r, k) gives to the sums for weight and bias: dy h and dy.  mean and rstd: of rows, or of columns. */
template <class T> struct tp_norm_part {
    const T *dy, *x;
    const tp_acc<T> *mean, *rstd;
    int64_t cols;
    bool of_rows;
    tp_acc<T> level, scale; /* mean and rstd of the column */

    __device__ void column(int64_t k)
    {
        if (!of_rows) level = mean[k], scale = rstd[k];
    }
    __device__ tp_two<tp_acc<T>> operator()(int64_t r, int64_t k) const
    {
        tp_acc<T> g = tp_load(dy[r * cols + k]), m = of_rows ? mean[r] : level, s = of_rows ? rstd[r] : scale;

        return { g * ((tp_load(x[r * cols + k]) - m) * s), g };
    }
};

/* Over a chunk of rows, for 32 columns: part (chunks, cols) = sums of what f(r, k) gives, an S, after
 * f.column(k). */
template <class S, class F>
static __global__ void tp_sum_columns(int64_t rows, int64_t cols, int64_t chunk, F f, S *part)
{
    TP_SHARED(S, each, TP_THREADS);
    int64_t tiles = (cols + TP_COLUMNS - 1) / TP_COLUMNS, first = blockIdx.x / tiles * chunk;
    int lane = (int)threadIdx.x % TP_COLUMNS, depth = (int)threadIdx.x / TP_COLUMNS;
    int64_t k = blockIdx.x % tiles * TP_COLUMNS + lane, end = first + chunk;
    S sum = {};

    if (end > rows) end = rows;
    if (k < cols) f.column(k);
    for (int64_t r = first + depth; k < cols && r < end; r += TP_DEPTH)
        sum += f(r, k);
    each[threadIdx.x] = sum;
    __syncthreads();
    if (depth > 0 || k >= cols) return;
    for (int i = 1; i < TP_DEPTH; i++)
        sum += each[i * TP_COLUMNS + lane];
    part[blockIdx.x / tiles * cols + k] = sum;
}

/* end(k, the sums of column k) for each column. */
template <class S, class End>
static __global__ void tp_end_columns(int64_t cols, int64_t chunks, const S *part, End end)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t k = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; k < cols; k += step) {
        S sum = {};

        for (int64_t i = 0; i < chunks; i++)
            sum += part[i * cols + k];
        end(k, sum);
    }
}

inline int64_t tp_column_chunk(int64_t rows)
{
    int64_t chunk = 64;

    while ((rows + chunk - 1) / chunk > 256)
        chunk *= 2;
    return chunk;
}

/* Scratch for tp_columns, behind `spare` sums of the caller's own; NULL: out of memory. */
template <class S> static S *tp_columns_room(tp_ctx *c, int64_t rows, int64_t cols, int64_t spare)
{
    int64_t chunk = tp_column_chunk(rows), chunks = (rows + chunk - 1) / chunk;

    return (S *)tp_scratch(c, (size_t)(chunks * cols + spare + 1) * sizeof(S));
}

/* end(k, sum over r of f(r, k)) for each column k. */
template <class S, class F, class End>
static int tp_columns(tp_ctx *c, const char *op, int64_t rows, int64_t cols, S *part, F f, End end)
{
    int64_t tiles = (cols + TP_COLUMNS - 1) / TP_COLUMNS, chunk = tp_column_chunk(rows), chunks = (rows + chunk - 1) / chunk;
    int failed = TP_LAUNCH_FOR(c, op, (tp_sum_columns<S, F>), tiles * chunks, TP_THREADS, rows, cols, chunk, f, part);

    return failed ? failed : TP_LAUNCH_FOR(c, op, (tp_end_columns<S, End>), tp_blocks(cols), TP_THREADS, cols, chunks,
                                           (const S *)part, end);
}

/* Into dweight and dbias, either of which may be NULL. */
template <class A> struct tp_store_two {
    A *a, *b;

    __device__ void operator()(int64_t k, tp_two<A> sum) const
    {
        if (a) a[k] = sum.a;
        if (b) b[k] = sum.b;
    }
};

#endif
