/*
 * lanes.cuh - folds along lanes of a dense (outer, n, inner).
 *
 * With inner 1 a block folds one lane, its threads side by side along it; else 32 neighbouring lanes,
 * a warp's threads side by side across them.  The order of a fold depends on the shape alone.
 */
#ifndef TP_KERNELS_CUDA_LANES_CUH
#define TP_KERNELS_CUDA_LANES_CUH

#include "kernels/cuda/launch.cuh"

enum { TP_ACROSS = 32, TP_DEEP = TP_THREADS / TP_ACROSS };

/* Where this thread works: every `step`-th number of its lane from `first` on. */
struct tp_lane {
    bool live, leader; /* there is such a lane; the thread that writes its result */
    int64_t lane, base, stride;
    int first, step;
};

/* Of tile b: a lane, or 32. */
template <bool ALONG> __device__ inline tp_lane tp_lane_of(const tp_lanes &d, int64_t b)
{
    tp_lane w;

    w.stride = d.inner;
    if (ALONG) {
        w.live = true, w.leader = threadIdx.x == 0, w.lane = b, w.base = b * d.n;
        w.first = (int)threadIdx.x, w.step = (int)blockDim.x;
        return w;
    }
    int64_t tiles = (d.inner + TP_ACROSS - 1) / TP_ACROSS, column = b % tiles * TP_ACROSS + threadIdx.x % TP_ACROSS;

    w.live = column < d.inner, w.leader = w.live && threadIdx.x < TP_ACROSS;
    w.lane = b / tiles * d.inner + column, w.base = b / tiles * d.n * d.inner + column;
    w.first = (int)threadIdx.x / TP_ACROSS, w.step = TP_DEEP;
    return w;
}

/* Folds v over the threads of a lane; every one of them gets the result, and all must come here. */
template <bool ALONG, class A, class Fold> __device__ inline A tp_lane_fold(A v, Fold fold)
{
    if constexpr (ALONG) {
        return tp_block_fold(v, fold);
    } else {
        TP_SHARED(A, part, TP_THREADS);

        part[threadIdx.x] = v;
        __syncthreads();
        v = part[threadIdx.x % TP_ACROSS];
        for (int k = 1; k < TP_DEEP; k++)
            v = fold(v, part[k * TP_ACROSS + threadIdx.x % TP_ACROSS]);
        __syncthreads(); /* the next fold writes part */
        return v;
    }
}

inline int64_t tp_lane_tiles(tp_lanes d)
{
    return d.inner == 1 ? d.outer : d.outer * ((d.inner + TP_ACROSS - 1) / TP_ACROSS);
}

inline unsigned tp_lane_threads(tp_lanes d)
{
    return d.inner == 1 ? tp_row_threads(d.n) : (unsigned)TP_THREADS;
}

/* along(d, tiles, ...) where inner is 1, across(d, tiles, ...) else, for all lanes of d. */
#define TP_LAUNCH_LANES(c, op, d, along, across, ...)                                    \
    ((d).inner == 1 ? TP_LAUNCH_FOR(c, op, along, tp_row_blocks(tp_lane_tiles(d)),       \
                                    tp_lane_threads(d), d, tp_lane_tiles(d), __VA_ARGS__) \
                    : TP_LAUNCH_FOR(c, op, across, tp_row_blocks(tp_lane_tiles(d)),      \
                                    tp_lane_threads(d), d, tp_lane_tiles(d), __VA_ARGS__))

#endif
