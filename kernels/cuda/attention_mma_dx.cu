/*
 * attention_mma_dx.cu - attention's gradients in bf16 and f16 by tensor cores; Dao 2023, "FlashAttention-2".
 *
 *     p = e^(s - lse)   z: what drops multiply by   D = sum dy y     ds = p (z dy v' - D)
 *     dq = scale ds k   dk = scale ds' q            dv = (z p)' dy
 *
 * A block owns 64 rows, of queries for dq and of keys for dk and dv, a warp 16 of them, and meets TILE of
 * the others at a time from shared memory.  Scores are computed again, by either; turned where keys are
 * owned, so that p and ds, rounded to T, are always the left side of the second product.  The rows of a
 * key's gradient are summed over the query heads that share it by its one block: no atomics, and the
 * same bits each time.
 */
#include "kernels/cuda/attention_mma.cuh"

/* What a launch gives: by way of ds, dq or dk; by way of p, dv. */
enum { BY_SLOPE = 1, BY_WEIGHT = 2 };

/* Where the gradients go, NULL: nowhere; level: D. */
template <class T> struct target {
    T *slope, *weight;
    const float *level;
};

/* p: of scores, the weights times what drops make of them; d: of dy v', ds.  The tile's rows begin at
 * `from`; outside of the problem both are 0, whatever is there. */
template <bool KEYS, class T>
__device__ inline void weigh(const tp_attention<T> &j, const place &at, int64_t from,
                             const float *level, float (&p)[PARTS][4],
                             float (&d)[PARTS][4])
{
    int lane = (int)threadIdx.x % LANES;

    TP_UNROLL
    for (int i = 0; i < TILE / 2; i++) {
        int64_t own = at.first + threadIdx.x / LANES * 16 + lane / 4 + i % 4 / 2 * 8;
        int64_t met = from + i / 4 * 8 + lane % 4 * 2 + i % 2;
        int64_t l = KEYS ? met : own, s = KEYS ? own : met;
        float &weight = p[i / 4][i % 4], &slope = d[i / 4][i % 4];

        if (l < j.g.L && s < j.g.S) {
            int64_t row = (at.n * j.g.heads + at.h) * j.g.L + l;
            float kept = tp_kept(j, at.n, at.h, l, s);

            weight = expf(weight * float(j.g.scale) + tp_mask_of(j, at.n, at.h, l, s) -
                          j.lse[row]);
            slope = weight * (kept * slope - level[row]);
            weight *= kept;
        } else
            weight = slope = 0;
    }
}

/* The warp's rows of a gradient (first ... n - 1, width). */
template <class T, int W>
__device__ inline void put_rows(const float (&out)[W / 8][4], float factor, T *to,
                                const int64_t (&step)[3], const place &at, int64_t h,
                                int64_t n, int64_t width)
{
    int lane = (int)threadIdx.x % LANES;

    TP_UNROLL
    for (int half = 0; half < 2; half++) {
        int64_t r = at.first + threadIdx.x / LANES * 16 + lane / 4 + 8 * half;
        T *row = to + at.n * step[0] + h * step[1] + r * step[2] + lane % 4 * 2;

        if (r >= n) continue;
        TP_UNROLL
        for (int e = 0; e < W / 8; e++)
            if (8 * e < width)
                *(uint32_t *)(row + 8 * e) =
                    tp_join<T>(out[e][2 * half] * factor, out[e][2 * half + 1] * factor);
    }
}

/* What the block's rows meet: [from, to). */
template <bool KEYS>
__device__ inline void span(const tp_attention_args &g, const place &at, int64_t *from,
                            int64_t *to)
{
    *from = KEYS && g.causal ? at.first / TILE * TILE : 0;
    *to = KEYS ? g.L : g.causal && at.first + ROWS < g.S ? at.first + ROWS : g.S;
}

/* Adds what one query head gives to the gradients of the block's rows. */
template <class T, int W, bool KEYS, int OUT>
__device__ inline void add_head(const tp_attention<T> &j, const place &at,
                                const float *level, const uint32_t (&left)[W / 16][4],
                                const uint32_t (&back)[W / 16][4], uint4 *tile,
                                uint4 *other, float (&by_slope)[W / 8][4],
                                float (&by_weight)[W / 8][4])
{
    const tp_attention_args &g = j.g;
    int64_t from, to;

    for (span<KEYS>(g, at, &from, &to); from < to; from += TILE) {
        float p[PARTS][4] = {}, d[PARTS][4] = {};

        __syncthreads(); /* the tiles before have been read */
        load_tile<W>(tile, KEYS ? tp_head_of(j.q, g.q, at.n, at.h, from, g.L, g.E)
                                : tp_head_of(j.k, g.k, at.n, at.kv, from, g.S, g.E));
        load_tile<W>(other, KEYS ? tp_head_of(j.dy, g.dy, at.n, at.h, from, g.L, g.Ev)
                                 : tp_head_of(j.v, g.v, at.n, at.kv, from, g.S, g.Ev));
        __syncthreads();
        multiply<T, W>(p, left, tile);
        if constexpr (OUT & BY_SLOPE) multiply<T, W>(d, back, other);
        weigh<KEYS>(j, at, from, level, p, d);
        if constexpr (OUT & BY_WEIGHT) add_rows<T, W>(by_weight, p, other);
        if constexpr (OUT & BY_SLOPE) add_rows<T, W>(by_slope, d, tile);
    }
}

template <class T, int W, bool KEYS, int OUT>
__device__ inline void slopes_of_rows(const tp_attention<T> &j, place at,
                                      const target<T> &to, uint4 *tile, uint4 *other)
{
    const tp_attention_args &g = j.g;
    int64_t group = g.heads / g.kv_heads, n = KEYS ? g.S : g.L;
    uint32_t left[W / 16][4], back[W / 16][4] = {};
    float by_slope[W / 8][4] = {}, by_weight[W / 8][4] = {};

    load_left<W>(left, KEYS ? tp_head_of(j.k, g.k, at.n, at.kv, at.first, n, g.E)
                            : tp_head_of(j.q, g.q, at.n, at.h, at.first, n, g.E));
    if constexpr (OUT & BY_SLOPE)
        load_left<W>(back, KEYS ? tp_head_of(j.v, g.v, at.n, at.kv, at.first, n, g.Ev)
                                : tp_head_of(j.dy, g.dy, at.n, at.h, at.first, n, g.Ev));
    for (int64_t i = 0; i < (KEYS ? group : 1); i++) {
        if (KEYS) at.h = at.kv * group + i;
        add_head<T, W, KEYS, OUT>(j, at, to.level, left, back, tile, other, by_slope,
                                  by_weight);
    }
    if ((OUT & BY_SLOPE) && to.slope)
        put_rows<T, W>(by_slope, float(g.scale), to.slope, KEYS ? g.dk : g.dq, at,
                       KEYS ? at.kv : at.h, n, g.E);
    if ((OUT & BY_WEIGHT) && to.weight)
        put_rows<T, W>(by_weight, 1, to.weight, g.dv, at, at.kv, n, g.Ev);
}

template <class T, int W, bool KEYS, int OUT>
static __global__ void slopes_mma(tp_attention<T> j, target<T> to)
{
    if constexpr (tp_mma_here<T>()) {
        TP_SHARED(uint4, tile, tile_of<W>);
        TP_SHARED(uint4, other, tile_of<W>);
        const tp_attention_args &g = j.g;
        int64_t tiles = ((KEYS ? g.S : g.L) + ROWS - 1) / ROWS;
        int64_t heads = KEYS ? g.kv_heads : g.heads, group = g.heads / g.kv_heads;

        for (int64_t b = blockIdx.x; b < g.N * heads * tiles; b += gridDim.x) {
            int64_t n = b / tiles / heads, h = b / tiles % heads;

            slopes_of_rows<T, W, KEYS, OUT>(
                j, { n, h, KEYS ? h : h / group, b % tiles * ROWS }, to, tile, other);
        }
    }
}

/* ---- what attention.cu calls ---- */

template <class T, int W, bool KEYS, int OUT>
static int slopes(tp_ctx *c, const tp_attention<T> &j, const target<T> &to)
{
    int64_t tiles = ((KEYS ? j.g.S : j.g.L) + ROWS - 1) / ROWS;
    int64_t blocks = tp_row_blocks(j.g.N * (KEYS ? j.g.kv_heads : j.g.heads) * tiles);
    bool wanted = ((OUT & BY_SLOPE) && to.slope) || ((OUT & BY_WEIGHT) && to.weight);

    if (!wanted) return 0;
    return TP_LAUNCH_FOR(c, "attention_dx", (slopes_mma<T, W, KEYS, OUT>), blocks,
                         WARPS * LANES, j, to);
}

/* Wide heads leave registers for one gradient at a time. */
template <class T>
int tp_attend_mma_dx(tp_ctx *c, const tp_attention<T> &j, const float *level, T *dq,
                     T *dk, T *dv)
{
    target<T> queries = { dq, NULL, level }, keys = { dk, dv, level };
    int failed;

    if (j.g.E <= NARROW && j.g.Ev <= NARROW) {
        failed = slopes<T, NARROW, false, BY_SLOPE>(c, j, queries);
        return failed ? failed
                      : slopes<T, NARROW, true, BY_SLOPE | BY_WEIGHT>(c, j, keys);
    }
    failed = slopes<T, WIDEST, false, BY_SLOPE>(c, j, queries);
    if (!failed) failed = slopes<T, WIDEST, true, BY_SLOPE>(c, j, keys);
    return failed ? failed : slopes<T, WIDEST, true, BY_WEIGHT>(c, j, keys);
}

template int tp_attend_mma_dx(tp_ctx *, const tp_attention<tp_bf16> &, const float *,
                              tp_bf16 *, tp_bf16 *, tp_bf16 *);
template int tp_attend_mma_dx(tp_ctx *, const tp_attention<tp_f16> &, const float *,
                              tp_f16 *, tp_f16 *, tp_f16 *);
