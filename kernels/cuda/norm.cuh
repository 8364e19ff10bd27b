/*
 * norm.cuh - one sum, or two, over the rows of each column, as norms need them.
 *
 * The rows are cut into chunks by shape alone, whose sums are folded in a second launch.
 */
#ifndef TP_KERNELS_CUDA_NORM_CUH
#define TP_KERNELS_CUDA_NORM_CUH

#include "kernels/cuda/pack.cuh"

/* What is summed up at once. */
template <class A> struct tp_one {
    A a;

    __device__ void operator+=(const tp_one &v) { a += v.a; }
};

template <class A> struct tp_two {
    A a, b;

    __device__ void operator+=(const tp_two &v) { a += v.a, b += v.b; }
};

/* Do packs of N numbers of each row lie whole and aligned in a and b? */
template <class T> inline bool tp_columns_packed(int64_t cols, const void *a, const void *b)
{
    return cols % (16 / (int64_t)sizeof(T)) == 0 && tp_aligned(a) && tp_aligned(b);
}

/* What row r gives to the sums for weight and bias: dy h and dy.  mean and rstd: of rows, or of columns. */
template <class T> struct tp_norm_part {
    enum { N = 16 / sizeof(T) };
    typedef tp_acc<T> A;
    const T *dy, *x;
    const A *mean, *rstd;
    int64_t cols;
    bool of_rows, whole;
    A level[N], scale[N]; /* mean and rstd of the columns */

    __device__ void columns(int64_t k, int m)
    {
        TP_UNROLL
        for (int j = 0; j < N; j++)
            if (!of_rows && j < m) level[j] = mean[k + j], scale[j] = rstd[k + j];
    }
    __device__ void add(int64_t r, int64_t k, int m, tp_two<A> (&sum)[N]) const
    {
        tp_pack<T, N> g = tp_fetch<T, N>(dy + r * cols + k, m, whole), v = tp_fetch<T, N>(x + r * cols + k, m, whole);
        A of_mean = of_rows ? mean[r] : 0, of_rstd = of_rows ? rstd[r] : 0;

        TP_UNROLL
        for (int j = 0; j < N; j++) {
            A h = of_rows ? (tp_load(v.v[j]) - of_mean) * of_rstd : (tp_load(v.v[j]) - level[j]) * scale[j];

            if (j < m) sum[j] += { tp_load(g.v[j]) * h, tp_load(g.v[j]) };
        }
    }
};

/* Over a chunk of rows: part (chunks, cols) = the sums, each an S, of what f.add(r, k, m, sums) adds for
 * columns k to k + m - 1, F::N at most, after f.columns(k, m).  A block takes `lanes` times N columns, its
 * threads side by side along a row, and then on further rows. */
template <class S, class F>
static __global__ void TP_ROOMY tp_sum_columns(int64_t rows, int64_t cols, int64_t chunk, int lanes, F f, S *part)
{
    const int N = F::N;
    TP_SHARED(S, each, TP_THREADS * N);
    int64_t width = (int64_t)lanes * N, tiles = (cols + width - 1) / width, first = blockIdx.x / tiles * chunk;
    int lane = (int)threadIdx.x % lanes, depth = (int)threadIdx.x / lanes, deep = TP_THREADS / lanes;
    int64_t start = blockIdx.x % tiles * width, k = start + lane * N, end = first + chunk;
    int m = cols - k < N ? (int)(cols - k) : N;
    S sum[N] = {};

    if (end > rows) end = rows;
    if (m > 0) f.columns(k, m);
    for (int64_t r = first + depth; m > 0 && r < end; r += deep)
        f.add(r, k, m, sum);
    TP_UNROLL
    for (int j = 0; j < N; j++)
        each[j * TP_THREADS + threadIdx.x] = sum[j];
    __syncthreads();
    k = start + threadIdx.x; /* a thread a column */
    if (threadIdx.x >= width || k >= cols) return;
    const S *mine = each + threadIdx.x % N * TP_THREADS + threadIdx.x / N;
    S total = mine[0];

    for (int i = 1; i < deep; i++)
        total += mine[i * lanes];
    part[blockIdx.x / tiles * cols + k] = total;
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

/* end(k, the sum of what f adds for column k) for each column k. */
template <class S, class F, class End>
static int tp_columns(tp_ctx *c, const char *op, int64_t rows, int64_t cols, S *part, F f, End end)
{
    int64_t chunk = tp_column_chunk(rows), chunks = (rows + chunk - 1) / chunk;
    int lanes = 1, failed;

    while (lanes < 32 && lanes * F::N < cols)
        lanes *= 2;
    failed = TP_LAUNCH_FOR(c, op, (tp_sum_columns<S, F>), (cols + lanes * F::N - 1) / (lanes * F::N) * chunks, TP_THREADS,
                           rows, cols, chunk, lanes, f, part);
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
