/*
 * norm.cuh - two sums over the rows of each column, as norms need them.
 *
 * The rows are cut into chunks by shape alone, whose sums are folded in a second launch.
 */
#ifndef TP_KERNELS_CUDA_NORM_CUH
#define TP_KERNELS_CUDA_NORM_CUH

#include "kernels/cuda/launch.cuh"

enum { TP_COLUMNS = 32, TP_DEPTH = TP_THREADS / TP_COLUMNS };

template <class A> struct tp_two {
    A a, b;
};

/* What (r, k) gives to the sums for weight and bias: dy h and dy.  mean and rstd: of rows, or of columns. */
template <class T> struct tp_norm_part {
    const T *dy, *x;
    const tp_acc<T> *mean, *rstd;
    int64_t cols;
    bool of_rows;

    __device__ tp_two<tp_acc<T>> operator()(int64_t r, int64_t k) const
    {
        int64_t of = of_rows ? r : k;
        tp_acc<T> g = tp_load(dy[r * cols + k]);

        return { g * ((tp_load(x[r * cols + k]) - mean[of]) * rstd[of]), g };
    }
};

/* Over a chunk of rows, for 32 columns: part (chunks, 2, cols) = sums of what f(r, k) gives. */
template <class A, class F>
static __global__ void tp_sum_columns(int64_t rows, int64_t cols, int64_t chunk, F f, A *part)
{
    TP_SHARED(A, low, TP_THREADS);
    TP_SHARED(A, high, TP_THREADS);
    int64_t tiles = (cols + TP_COLUMNS - 1) / TP_COLUMNS, first = blockIdx.x / tiles * chunk;
    int lane = (int)threadIdx.x % TP_COLUMNS, depth = (int)threadIdx.x / TP_COLUMNS;
    int64_t k = blockIdx.x % tiles * TP_COLUMNS + lane, end = first + chunk;
    tp_two<A> sum = { 0, 0 };

    if (end > rows) end = rows;
    for (int64_t r = first + depth; k < cols && r < end; r += TP_DEPTH) {
        tp_two<A> v = f(r, k);

        sum.a += v.a, sum.b += v.b;
    }
    low[threadIdx.x] = sum.a, high[threadIdx.x] = sum.b;
    __syncthreads();
    if (depth > 0 || k >= cols) return;
    for (int i = 1; i < TP_DEPTH; i++)
        sum.a += low[i * TP_COLUMNS + lane], sum.b += high[i * TP_COLUMNS + lane];
    part += blockIdx.x / tiles * 2 * cols;
    part[k] = sum.a, part[cols + k] = sum.b;
}

/* end(k, the sums of column k) for each column. */
template <class A, class End>
static __global__ void tp_end_columns(int64_t cols, int64_t chunks, const A *part, End end)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t k = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; k < cols; k += step) {
        tp_two<A> sum = { 0, 0 };

        for (int64_t i = 0; i < chunks; i++)
            sum.a += part[2 * i * cols + k], sum.b += part[(2 * i + 1) * cols + k];
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

/* Scratch for tp_columns, behind `spare` numbers of the caller's own; NULL: out of memory. */
template <class A> static A *tp_columns_room(tp_ctx *c, int64_t rows, int64_t cols, int64_t spare)
{
    int64_t chunk = tp_column_chunk(rows), chunks = (rows + chunk - 1) / chunk;

    return (A *)tp_scratch(c, (size_t)(2 * chunks * cols + spare + 1) * sizeof(A));
}

/* end(k, sum over r of f(r, k)) for each column k. */
template <class A, class F, class End>
static int tp_columns(tp_ctx *c, const char *op, int64_t rows, int64_t cols, A *part, F f, End end)
{
    int64_t tiles = (cols + TP_COLUMNS - 1) / TP_COLUMNS, chunk = tp_column_chunk(rows), chunks = (rows + chunk - 1) / chunk;
    int failed = TP_LAUNCH_FOR(c, op, (tp_sum_columns<A, F>), tiles * chunks, TP_THREADS, rows, cols, chunk, f, part);

    return failed ? failed : TP_LAUNCH_FOR(c, op, (tp_end_columns<A, End>), tp_blocks(cols), TP_THREADS, cols, chunks,
                                           (const A *)part, end);
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
