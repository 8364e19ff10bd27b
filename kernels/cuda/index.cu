/*
 * index.cu - picking along an axis by index, tables of rows by index, and tensors made of their own
 * indices.
 *
 * What is added at an index is sorted by it first, stably: a thread then adds all that one place gets, in
 * its order.  So nothing is added atomically, and a result has the same bits each time.
 */
#include "kernels/cuda/number.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/sort.cuh"

enum { PICKED, INDEX, WHOLE };

/* What stands where an index is outside: NaN, or 0. */
template <class T> static __device__ T nothing()
{
    return tp_number<T>(NAN);
}

/* ---- gather ---- */

template <class T>
static __global__ void pick(tp_pick p, int64_t lanes, tp_faults faults, const T *x, const int64_t *index, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[3];

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < lanes * p.n; i += step) {
        /* neighbours lie along the lanes, where operands mostly run side by side */
        int64_t k = i / lanes, place;

        tp_at(p.lanes, i % lanes, at);
        place = index[at[INDEX] + k * p.step[INDEX]];
        if (place < 0 || place >= p.size) tp_report(faults, TP_FAULT_INDEX, place, p.size);
        y[at[PICKED] + k * p.step[PICKED]] =
            place < 0 || place >= p.size ? nothing<T>() : x[at[WHOLE] + place * p.step[WHOLE]];
    }
}

template <class T> static int gather(tp_ctx *c, const tp_pick *p, const void *x, const int64_t *index, void *y)
{
    int64_t lanes = tp_loop_count(&p->lanes);

    return TP_LAUNCH(c, pick<T>, tp_blocks(lanes * p->n), TP_THREADS, *p, lanes, tp_faults_of(c, __func__),
                     (const T *)x, index, (T *)y);
}

/* ---- scatter: keys are the places, a row for each lane ---- */

static __global__ void index_keys(tp_pick p, tp_keys k, tp_faults faults, const int64_t *index)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[3];

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < k.rows * k.width; i += step) {
        int64_t col = i % k.width, place = -1;

        if (col < p.n) {
            tp_at(p.lanes, i / k.width, at);
            place = index[at[INDEX] + col * p.step[INDEX]];
            if (place < 0 || place >= p.size) tp_report(faults, TP_FAULT_INDEX, place, p.size), place = -1;
        }
        k.key[i] = (uint64_t)place, k.place[i] = col; /* -1 is above all places */
    }
}

template <class T> static __global__ void put(tp_pick p, tp_keys k, const T *x, bool add, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, at[3];

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < k.rows * k.width; i += step) {
        const uint64_t *key = k.key + i / k.width * k.width;
        const int64_t *place = k.place + i / k.width * k.width;
        int64_t col = i % k.width;

        if ((int64_t)key[col] < 0 || (col && key[col - 1] == key[col])) continue; /* the first of a run works */
        tp_at(p.lanes, i / k.width, at);
        T *to = &y[at[WHOLE] + (int64_t)key[col] * p.step[WHOLE]];
        tp_acc<T> sum = add ? tp_load(*to) : tp_acc<T>(0);
        T last = x[at[PICKED] + place[col] * p.step[PICKED]];

        for (int64_t j = col; j < k.width && key[j] == key[col]; j++) {
            last = x[at[PICKED] + place[j] * p.step[PICKED]];
            if (add) sum = tp_load(T(tp_sum(sum, tp_load(last))));
        }
        if (add) tp_put(to, sum);
        else *to = last;
    }
}

template <class T>
static int scatter(tp_ctx *c, const tp_pick *p, const void *x, const int64_t *index, bool add, void *y)
{
    int64_t lanes = tp_loop_count(&p->lanes);
    tp_keys k;
    void *scratch;
    int failed;

    if (!lanes || !p->n) return 0;
    scratch = tp_scratch(c, tp_sort_bytes(lanes, p->n));
    if (!scratch) return TP_KERNEL_NO_MEMORY;
    k = tp_keys_in(scratch, lanes, p->n);
    failed = TP_LAUNCH(c, index_keys, tp_blocks(lanes * k.width), TP_THREADS, *p, k, tp_faults_of(c, __func__), index);
    if (!failed) failed = tp_sort_rows(c, __func__, k);
    return failed ? failed : TP_LAUNCH(c, put<T>, tp_blocks(lanes * k.width), TP_THREADS, *p, k, (const T *)x, add, (T *)y);
}

/* ---- tables ---- */

template <class T>
static __global__ void table_rows(int64_t n, int64_t rows, int64_t cols, tp_faults faults, const int64_t *index,
                                  const T *w, T *y)
{
    for (int64_t i = blockIdx.x; i < n; i += gridDim.x) {
        const int N = 16 / sizeof(T);
        int64_t r = index[i];
        bool there = r >= 0 && r < rows;
        bool aligned = tp_aligned(y + i * cols) && (!there || tp_aligned(w + r * cols));

        if (!there && threadIdx.x == 0) tp_report(faults, TP_FAULT_INDEX, r, rows);
        for (int64_t j = (int64_t)threadIdx.x * N; j < cols; j += (int64_t)blockDim.x * N) {
            int m = cols - j < N ? (int)(cols - j) : N;
            tp_pack<T, N> row = tp_fetch<T, N>(there ? w + r * cols + j : NULL, m, aligned && m == N);

            TP_UNROLL
            for (int k = 0; k < N; k++)
                if (!there) row.v[k] = nothing<T>();
            tp_keep<T, N>(y + i * cols + j, row, m, aligned && m == N);
        }
    }
}

template <class T>
static int embedding(tp_ctx *c, int64_t n, int64_t rows, int64_t cols, const int64_t *index, const void *w, void *y)
{
    return TP_LAUNCH(c, table_rows<T>, tp_row_blocks(n), tp_row_threads(cols), n, rows, cols,
                     tp_faults_of(c, __func__), index, (const T *)w, (T *)y);
}

static __global__ void table_keys(tp_keys k, int64_t n, int64_t rows, int64_t padding, tp_faults faults,
                                  const int64_t *index)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < k.width; i += step) {
        int64_t r = i < n ? index[i] : -1;

        if (i < n && (r < 0 || r >= rows)) tp_report(faults, TP_FAULT_INDEX, r, rows), r = -1;
        k.key[i] = (uint64_t)(r == padding ? -1 : r), k.place[i] = i;
    }
}

template <class T>
static __global__ void table_slopes(tp_keys k, int64_t rows, int64_t cols, const T *dy, bool add, T *dw)
{
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        int64_t first = tp_keys_below(k.key, k.width, (uint64_t)r), end = tp_keys_below(k.key, k.width, (uint64_t)r + 1);

        for (int64_t j = threadIdx.x; j < cols; j += blockDim.x) {
            tp_acc<T> sum = add ? tp_load(dw[r * cols + j]) : tp_acc<T>(0);

            for (int64_t i = first; i < end; i++)
                sum += tp_load(dy[k.place[i] * cols + j]);
            tp_put(&dw[r * cols + j], sum);
        }
    }
}

template <class T>
static int embedding_dw(tp_ctx *c, int64_t n, int64_t rows, int64_t cols, const int64_t *index, const void *dy,
                        int64_t padding, bool add, void *dw)
{
    void *scratch = tp_scratch(c, tp_sort_bytes(1, n));
    tp_keys k;
    int failed;

    if (!scratch) return TP_KERNEL_NO_MEMORY;
    k = tp_keys_in(scratch, 1, n);
    failed = TP_LAUNCH(c, table_keys, tp_blocks(k.width), TP_THREADS, k, n, rows, padding, tp_faults_of(c, __func__), index);
    if (!failed) failed = tp_sort_rows(c, __func__, k);
    return failed ? failed : TP_LAUNCH(c, table_slopes<T>, tp_row_blocks(rows), tp_row_threads(cols), k, rows, cols,
                                       (const T *)dy, add, (T *)dw);
}

/* ---- numbers in a row, and bands of matrices ---- */

template <class T> static __global__ void count_up(int64_t n, double start, double by, T *y)
{
    const int N = 16 / sizeof(T);
    int64_t step = (int64_t)gridDim.x * blockDim.x * N;

    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N; i < n; i += step) {
        int m = n - i < N ? (int)(n - i) : N;
        tp_pack<T, N> to;

        TP_UNROLL
        for (int k = 0; k < N; k++)
            to.v[k] = tp_number<T>(start + (double)(i + k) * by);
        tp_keep<T, N>(y + i, to, m, m == N && tp_aligned(y));
    }
}

template <class T> static int iota(tp_ctx *c, int64_t n, double start, double step, void *y)
{
    return TP_LAUNCH(c, count_up<T>, tp_pack_blocks<T>(n), TP_THREADS, n, start, step, (T *)y);
}

template <class T>
static __global__ void cut_band(int64_t n, int64_t rows, int64_t cols, int64_t low, int64_t high, const T *x, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        int64_t off = i % cols - i / cols % rows;

        y[i] = low <= off && off <= high ? x[i] : tp_number<T>(0);
    }
}

template <class T>
static int band(tp_ctx *c, int64_t matrices, int64_t rows, int64_t cols, int64_t low, int64_t high, const void *x, void *y)
{
    int64_t n = matrices * rows * cols;

    return TP_LAUNCH(c, cut_band<T>, tp_blocks(n), TP_THREADS, n, rows, cols, low, high, (const T *)x, (T *)y);
}

TP_ALL_DTYPES(gather)
TP_ALL_DTYPES(scatter)
TP_FLOATS(embedding)
TP_FLOATS(embedding_dw)
TP_ALL_DTYPES(iota)
TP_ALL_DTYPES(band)
