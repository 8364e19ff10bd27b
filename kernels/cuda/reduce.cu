/*
 * reduce.cu - sums over axes.
 *
 * The loop is split in two: the kept axes, one element of y each, and the folded ones.
 * Where x runs along a folded axis a block folds one element of y; where it runs along a
 * kept one, a block folds 32 neighbours, a warp's lanes side by side.  Few elements of y
 * that fold much are cut into chunks, by shape alone, and folded in a second launch.
 */
#include "kernels/cuda/pack.cuh"

enum { COLUMNS = 32, DEPTH = TP_THREADS / COLUMNS, ROW_CHUNK = 8192, COLUMN_CHUNK = 512 };

/* In `kept` operand 0 is y and 1 is x; in `folded` operand 0 is x. */
struct split {
    tp_loop kept, folded;
    int64_t outputs, terms, chunk, chunks;
    bool run; /* the terms of an output are neighbours */
};

template <class T>
static __device__ void finish(const split &s, int64_t o, int64_t chunk, tp_acc<T> sum,
                              tp_acc<T> *part, bool add, T *y)
{
    int64_t at[2];

    if (part) {
        part[chunk * s.outputs + o] = sum;
        return;
    }
    tp_at(s.kept, o, at);
    tp_put(&y[at[0]], sum, add);
}

/* The sum of every step-th term of output o, from first on, within a chunk. */
template <class T>
static __device__ tp_acc<T> some_terms(const split &s, int64_t o, int64_t chunk,
                                       int first, int step, const T *x)
{
    int64_t end = (chunk + 1) * s.chunk, at[2], term[1];
    tp_acc<T> sum = 0;

    if (end > s.terms) end = s.terms;
    tp_at(s.kept, o, at);
    for (int64_t i = chunk * s.chunk + first; i < end; i += step) {
        tp_at(s.folded, i, term);
        sum += tp_load(x[at[1] + term[0]]);
    }
    return sum;
}

/* This thread's of neighbouring terms. */
template <class T> static __device__ tp_acc<T> some_packs(const split &s, int64_t o, int64_t chunk, const T *x)
{
    int64_t first = chunk * s.chunk, n = s.terms - first < s.chunk ? s.terms - first : s.chunk, at[2];
    tp_acc<T> sum = 0;

    tp_at(s.kept, o, at);
    tp_each_of_row(x + at[1] + first, n, [&](int64_t, tp_acc<T> v) { sum += v; });
    return sum;
}

template <class T>
static __global__ void sum_rows(split s, const T *x, tp_acc<T> *part, bool add, T *y)
{
    for (int64_t b = blockIdx.x; b < s.outputs * s.chunks; b += gridDim.x) {
        int64_t o = b / s.chunks, chunk = b % s.chunks;
        tp_acc<T> sum = s.run ? some_packs(s, o, chunk, x)
                              : some_terms(s, o, chunk, (int)threadIdx.x, (int)blockDim.x, x);

        sum = tp_block_fold(sum, tp_plus());
        if (threadIdx.x == 0) finish(s, o, chunk, sum, part, add, y);
    }
}

template <class T>
static __global__ void sum_columns(split s, const T *x, tp_acc<T> *part, bool add, T *y)
{
    TP_SHARED(tp_acc<T>, sums, TP_THREADS);
    int64_t tiles = (s.outputs + COLUMNS - 1) / COLUMNS;
    int lane = (int)threadIdx.x % COLUMNS, depth = (int)threadIdx.x / COLUMNS;

    for (int64_t b = blockIdx.x; b < tiles * s.chunks; b += gridDim.x) {
        int64_t o = b % tiles * COLUMNS + lane, chunk = b / tiles;
        tp_acc<T> sum = 0;

        if (o < s.outputs) sum = some_terms(s, o, chunk, depth, DEPTH, x);
        sums[threadIdx.x] = sum;
        __syncthreads();
        for (int k = 1; depth == 0 && k < DEPTH; k++)
            sum += sums[k * COLUMNS + lane];
        if (depth == 0 && o < s.outputs) finish(s, o, chunk, sum, part, add, y);
        __syncthreads(); /* the next tile writes sums */
    }
}

template <class T>
static __global__ void sum_chunks(split s, const tp_acc<T> *part, bool add, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t o = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; o < s.outputs;
         o += step) {
        tp_acc<T> sum = 0;

        for (int64_t k = 0; k < s.chunks; k++)
            sum += part[k * s.outputs + o];
        finish<T>(s, o, 0, sum, NULL, add, y);
    }
}

/* ---- the slot ---- */

static void append(tp_loop *l, const tp_loop *from, int j, int operand)
{
    int to = l->rank++;

    l->n[to] = from->n[j], l->stride[0][to] = from->stride[operand][j];
    l->stride[1][to] = from->stride[1][j];
}

static int64_t least_stride(const tp_loop *l, int operand)
{
    int64_t least = INT64_MAX;

    for (int j = 0; j < l->rank; j++) {
        int64_t s = l->stride[operand][j];

        if (s < 0) s = -s;
        if (l->n[j] > 1 && s < least) least = s;
    }
    return least;
}

static split split_of(const tp_loop *l, bool *rows)
{
    split s = {};

    s.kept.operands = 2, s.folded.operands = 1;
    for (int j = 0; j < l->rank; j++)
        if (l->stride[0][j] == 0 && l->n[j] != 1)
            append(&s.folded, l, j, 1);
        else
            append(&s.kept, l, j, 0);
    s.outputs = tp_loop_count(&s.kept),
    s.terms = tp_loop_count(&s.folded); /* rank 0: one */
    *rows = s.outputs < COLUMNS || least_stride(&s.folded, 0) < least_stride(&s.kept, 1);
    s.run = s.folded.rank == 1 && s.folded.stride[0][0] == 1;
    s.chunk = *rows ? ROW_CHUNK : COLUMN_CHUNK;
    if (s.outputs >= 4096) s.chunk = s.terms; /* enough blocks without */
    while ((s.terms + s.chunk - 1) / (s.chunk + !s.chunk) > 1024)
        s.chunk *= 2;
    s.chunks = s.terms > s.chunk ? (s.terms + s.chunk - 1) / s.chunk : 1;
    return s;
}

template <class T>
static int sum(tp_ctx *c, const tp_loop *l, const void *x, bool add, void *y)
{
    bool rows;
    split s = split_of(l, &rows);
    int64_t tiles = (s.outputs + COLUMNS - 1) / COLUMNS;
    tp_acc<T> *part = NULL;
    int failed;

    if (s.chunks > 1) {
        part = (tp_acc<T> *)tp_scratch(c, (size_t)(s.chunks * s.outputs) * sizeof *part);
        if (!part) return TP_KERNEL_NO_MEMORY;
    }
    if (rows)
        failed = TP_LAUNCH(c, sum_rows<T>, tp_row_blocks(s.outputs * s.chunks),
                           tp_row_threads(s.terms), s, (const T *)x, part, add, (T *)y);
    else
        failed = TP_LAUNCH(c, sum_columns<T>, tp_row_blocks(tiles * s.chunks), TP_THREADS,
                           s, (const T *)x, part, add, (T *)y);
    if (failed || s.chunks == 1) return failed;
    return TP_LAUNCH(c, sum_chunks<T>, tp_blocks(s.outputs), TP_THREADS, s, part, add,
                     (T *)y);
}

/* ---- how many are NaN: counts of blocks, then their sum; whole numbers, exact in any order ---- */

template <class T> static __global__ void nan_blocks(tp_loop l, int64_t n, const T *x, int64_t *part)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[1], count = 0;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        tp_at(l, i, at);
        count += isnan(tp_load(x[at[0]]));
    }
    count = tp_block_fold(count, tp_plus());
    if (threadIdx.x == 0) part[blockIdx.x] = count;
}

static __global__ void fold_counts(int64_t n, const int64_t *part, int64_t *count)
{
    int64_t sum = 0;

    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
        sum += part[i];
    sum = tp_block_fold(sum, tp_plus());
    if (threadIdx.x == 0) *count = sum;
}

template <class T> static int count_nan(tp_ctx *c, const tp_loop *l, const void *x, int64_t *n)
{
    int64_t elements = tp_loop_count(l), blocks = tp_blocks(elements), *part;
    int failed;

    if (blocks > 1024) blocks = 1024;
    part = (int64_t *)tp_scratch(c, (size_t)(blocks + 1) * sizeof *part);
    if (!part) return TP_KERNEL_NO_MEMORY;
    failed = TP_LAUNCH(c, nan_blocks<T>, blocks, TP_THREADS, *l, elements, (const T *)x, part);
    return failed ? failed : TP_LAUNCH(c, fold_counts, 1, TP_THREADS, blocks, part, n);
}

TP_FLOATS(sum)
TP_FLOATS(count_nan)
