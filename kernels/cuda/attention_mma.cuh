/*
 * attention_mma.cuh - what the two directions of attention by tensor cores share: tiles in shared memory,
 * and the products of a warp's 16 rows with the rows of a tile.
 *
 * Heads are W numbers wide, what is missing of them being 0.  mma.cuh tells the layout of fragments.
 */
#ifndef TP_KERNELS_CUDA_ATTENTION_MMA_CUH
#define TP_KERNELS_CUDA_ATTENTION_MMA_CUH

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/mma.cuh"

enum {
    LANES = 32,
    WARPS = 4,
    ROWS = 16 * WARPS,
    TILE = 32,
    PARTS = TILE / 8,
    NARROW = 64,
    WIDEST = 128
};

/* A row of a tile in 16 bytes, and a tile; one more, so that the rows of a fragment lie in different
 * banks. */
template <int W> constexpr int row_of = W / 8 + 1;
template <int W> constexpr int tile_of = TILE *row_of<W>;

/* Where a block is: its rows are first ... first + ROWS - 1. */
struct place {
    int64_t n, h, kv, first;
};

/* ---- tiles and fragments ---- */

/* TILE rows, by all threads of the block. */
template <int W, class T>
__device__ inline void load_tile(uint4 *tile, const tp_head<T> &a)
{
    for (int i = (int)threadIdx.x; i < TILE * W / 8; i += (int)blockDim.x) {
        int r = i / (W / 8), e = i % (W / 8);
        bool there = a.first + r < a.n && e * 8 < a.width;

        tile[r * row_of<W> + e] =
            there ? *(const uint4 *)(a.x + (a.first + r) * a.step + e * 8)
                  : make_uint4(0, 0, 0, 0);
    }
}

/* Numbers e and e + 1 of row r. */
template <class T> __device__ inline uint32_t two(const tp_head<T> &a, int r, int e)
{
    if (a.first + r >= a.n || e >= a.width) return 0;
    return *(const uint32_t *)(a.x + (a.first + r) * a.step + e);
}

/* The lane's part of the warp's 16 rows of a: left sides of products over the width. */
template <int W, class T>
__device__ inline void load_left(uint32_t (&left)[W / 16][4], const tp_head<T> &a)
{
    int row = (int)threadIdx.x / LANES * 16 + (int)threadIdx.x % LANES / 4,
        e = (int)threadIdx.x % 4 * 2;

    TP_UNROLL
    for (int k = 0; k < W / 16; k++)
        TP_UNROLL
    for (int i = 0; i < 4; i++)
        left[k][i] = two(a, row + i % 2 * 8, 16 * k + e + i / 2 * 8);
}

/* d += the warp's rows times the rows of the tile, which are the columns of d. */
template <class T, int W>
__device__ inline void multiply(float (&d)[PARTS][4], const uint32_t (&left)[W / 16][4],
                                const uint4 *tile)
{
    int lane = (int)threadIdx.x % LANES;

    TP_UNROLL
    for (int k = 0; k < W / 16; k++)
        TP_UNROLL
    for (int n = 0; n < PARTS; n++) {
        const uint32_t *at =
            (const uint32_t *)(tile + (8 * n + lane / 4) * row_of<W> + 2 * k) + lane % 4;
        uint32_t b[2] = { at[0], at[4] };

        tp_mma_16x8x16<T>(d[n], left[k], b);
    }
}

/* out += the sum of the tile's rows, each times its column of p; p is rounded to T. */
template <class T, int W>
__device__ inline void add_rows(float (&out)[W / 8][4], const float (&p)[PARTS][4],
                                const uint4 *tile)
{
    int lane = (int)threadIdx.x % LANES;

    TP_UNROLL
    for (int k = 0; k < TILE / 16; k++) {
        const float(&a)[4] = p[2 * k], (&b)[4] = p[2 * k + 1];
        uint32_t left[4] = { tp_join<T>(a[0], a[1]), tp_join<T>(a[2], a[3]),
                             tp_join<T>(b[0], b[1]), tp_join<T>(b[2], b[3]) };
        const uint4 *row = tile + (16 * k + lane % 16) * row_of<W> + lane / 16;

        TP_UNROLL
        for (int n = 0; n < W / 8; n += 2) {
            uint32_t turned[4];

            tp_load_turned(turned, row + n);
            uint32_t low[2] = { turned[0], turned[1] },
                     high[2] = { turned[2], turned[3] };

            tp_mma_16x8x16<T>(out[n], left, low);
            tp_mma_16x8x16<T>(out[n + 1], left, high);
        }
    }
}

#endif
