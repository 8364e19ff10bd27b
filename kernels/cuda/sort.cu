/*
 * sort.cu - the order of each row, stable, and places in rows that rise.
 */
#include "kernels/cuda/number.cuh"
#include "kernels/cuda/sort.cuh"

#include <string.h>

/* An unsigned number that orders as v does: NaN above all, -0 as 0. */
template <class T> static __device__ uint64_t key_of(T v)
{
    if constexpr (std::is_floating_point<tp_acc<T>>::value) {
        double d = tp_load(v);
        uint64_t bits;

        if (d != d) return ~(uint64_t)0 - 1; /* below what fills a row up */
        if (d == 0) d = 0;
        memcpy(&bits, &d, sizeof bits);
        return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
    } else if constexpr (std::is_signed<T>::value) {
        return (uint64_t)(int64_t)v ^ (uint64_t)1 << 63;
    } else {
        return (uint64_t)v;
    }
}

template <class T> static __global__ void make_keys(tp_keys k, int64_t cols, bool descending, const T *x)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < k.rows * k.width; i += step) {
        int64_t col = i % k.width;
        uint64_t key = col < cols ? key_of(x[i / k.width * cols + col]) : 0;

        k.key[i] = col < cols ? (descending ? ~key : key) : ~(uint64_t)0, k.place[i] = col;
    }
}

static __global__ void give_places(tp_keys k, int64_t cols, int64_t *place)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < k.rows * cols; i += step)
        place[i] = k.place[i / cols * k.width + i % cols];
}

template <class T> static int sort(tp_ctx *c, int64_t rows, int64_t cols, bool descending, const void *x, int64_t *place)
{
    tp_keys k;
    void *scratch;
    int failed;

    if (rows * cols == 0) return 0;
    scratch = tp_scratch(c, tp_sort_bytes(rows, cols));
    if (!scratch) return TP_KERNEL_NO_MEMORY;
    k = tp_keys_in(scratch, rows, cols);
    failed = TP_LAUNCH(c, make_keys<T>, tp_blocks(rows * k.width), TP_THREADS, k, cols, descending, (const T *)x);
    if (!failed) failed = tp_sort_rows(c, __func__, k);
    return failed ? failed : TP_LAUNCH(c, give_places, tp_blocks(rows * cols), TP_THREADS, k, cols, place);
}

/* ---- search: how many of a rising row are below x, or, to its right, not above ---- */

template <class T>
static __global__ void find_places(int64_t rows, int64_t cols, int64_t n, const T *sorted, const T *x, bool right,
                                   int64_t *place)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < rows * n; i += step) {
        const T *row = sorted + i / n * cols;
        tp_acc<T> v = tp_load(x[i]);
        int64_t low = 0, high = cols;

        while (low < high) {
            int64_t middle = low + (high - low) / 2;
            tp_acc<T> at = tp_load(row[middle]);

            if (at < v || (right && at == v)) low = middle + 1;
            else high = middle;
        }
        place[i] = low;
    }
}

template <class T>
static int search(tp_ctx *c, int64_t rows, int64_t cols, int64_t n, const void *sorted, const void *x, bool right,
                  int64_t *place)
{
    return TP_LAUNCH(c, find_places<T>, tp_blocks(rows * n), TP_THREADS, rows, cols, n, (const T *)sorted, (const T *)x,
                     right, place);
}

TP_ALL_DTYPES(sort)
TP_FLOATS(search)
