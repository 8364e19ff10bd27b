/*
 * sort.cuh - the stable order of rows of numbers, by a bitonic network (Batcher 1968).
 *
 * A row of n keys is filled up to a power of two, `width`, with keys above all others; beside each key
 * lies its place, which decides between equals, so that the order is one and stable.  Exchanges of
 * neighbours less than TILE apart happen in shared memory, others in launches of their own.
 */
#ifndef TP_KERNELS_CUDA_SORT_CUH
#define TP_KERNELS_CUDA_SORT_CUH

#include "kernels/cuda/launch.cuh"

enum { TP_TILE = 1024 };

struct tp_keys {
    int64_t rows, width;
    uint64_t *key;
    int64_t *place; /* each (rows, width) */
};

inline int64_t tp_sort_width(int64_t n)
{
    int64_t width = 2;

    while (width < n)
        width *= 2;
    return width;
}

inline size_t tp_sort_bytes(int64_t rows, int64_t n)
{
    return (size_t)(rows * tp_sort_width(n)) * (sizeof(uint64_t) + sizeof(int64_t));
}

inline tp_keys tp_keys_in(void *scratch, int64_t rows, int64_t n)
{
    int64_t width = tp_sort_width(n);
    uint64_t *key = (uint64_t *)scratch;

    return { rows, width, key, (int64_t *)(key + rows * width) };
}

__device__ inline bool tp_behind(uint64_t a, int64_t pa, uint64_t b, int64_t pb)
{
    return a > b || (a == b && pa > pb);
}

/* Puts numbers i and i + far of an array in order: rising where bit `run` of i's place is 0. */
__device__ inline void tp_exchange(uint64_t *key, int64_t *place, int64_t i, int64_t far, bool rising)
{
    uint64_t a = key[i], b = key[i + far];
    int64_t pa = place[i], pb = place[i + far];

    if (tp_behind(a, pa, b, pb) != rising) return;
    key[i] = b, key[i + far] = a, place[i] = pb, place[i + far] = pa;
}

/* All exchanges of runs of `run` numbers at distances up to `far`, less than TILE, in shared memory; whole:
 * of all runs up to TILE. */
static __global__ void tp_sort_tiles(tp_keys k, int64_t run, int64_t far, bool whole)
{
    TP_SHARED(uint64_t, key, TP_TILE);
    TP_SHARED(int64_t, place, TP_TILE);
    int64_t size = k.width < TP_TILE ? k.width : (int64_t)TP_TILE, tiles = k.rows * (k.width / size);

    for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        int64_t base = t * size, inside = base % k.width;

        for (int64_t i = threadIdx.x; i < size; i += blockDim.x)
            key[i] = k.key[base + i], place[i] = k.place[base + i];
        __syncthreads();
        for (int64_t r = whole ? 2 : run; r <= (whole ? size : run); r *= 2)
            for (int64_t f = whole ? r / 2 : far; f > 0; f /= 2) {
                for (int64_t p = threadIdx.x; p < size / 2; p += blockDim.x) {
                    int64_t i = p / f * 2 * f + p % f;

                    tp_exchange(key, place, i, f, ((inside + i) & r) == 0);
                }
                __syncthreads();
            }
        for (int64_t i = threadIdx.x; i < size; i += blockDim.x)
            k.key[base + i] = key[i], k.place[base + i] = place[i]; /* a thread's own, which the next tile writes */
    }
}

static __global__ void tp_sort_far(tp_keys k, int64_t run, int64_t far)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, half = k.width / 2;

    for (int64_t p = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; p < k.rows * half; p += step) {
        int64_t i = p % half / far * 2 * far + p % half % far, row = p / half * k.width;

        tp_exchange(k.key + row, k.place + row, i, far, (i & run) == 0);
    }
}

static inline int tp_sort_rows(tp_ctx *c, const char *op, tp_keys k)
{
    int64_t size = k.width < TP_TILE ? k.width : (int64_t)TP_TILE, tiles = k.rows * (k.width / size);
    int failed = TP_LAUNCH_FOR(c, op, tp_sort_tiles, tp_row_blocks(tiles), TP_THREADS, k, 0, 0, true);

    for (int64_t run = 2 * size; !failed && run <= k.width; run *= 2) {
        for (int64_t far = run / 2; !failed && far >= size; far /= 2)
            failed = TP_LAUNCH_FOR(c, op, tp_sort_far, tp_blocks(k.rows * k.width / 2), TP_THREADS, k, run, far);
        if (!failed) failed = TP_LAUNCH_FOR(c, op, tp_sort_tiles, tp_row_blocks(tiles), TP_THREADS, k, run, size / 2, false);
    }
    return failed;
}

/* How many keys of a sorted row are below v. */
__device__ inline int64_t tp_keys_below(const uint64_t *key, int64_t n, uint64_t v)
{
    int64_t low = 0, high = n;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (key[middle] < v) low = middle + 1;
        else high = middle;
    }
    return low;
}

#endif
