/*
 * attention_mma.cu - attention's forward in bf16 and f16 by tensor cores; Dao 2023, "FlashAttention-2".
 *
 * A warp takes 16 rows of queries, a block 64, and TILE keys and values at a time from shared memory.
 * Scores stay in registers, where the sums of the first product are, once rounded to T, the left side of
 * the second.
 */
#include "kernels/cuda/attention_mma.cuh"

/* Of the four lanes that share a row. */
template <class Fold> __device__ inline float fold_row(float v, Fold fold)
{
    v = fold(v, __shfl_xor_sync(0xffffffffu, v, 1));
    return fold(v, __shfl_xor_sync(0xffffffffu, v, 2));
}

/* Largest score and sum of weights of the lane's two rows. */
struct level {
    float top[2], sum[2];
};

/* Scores become weights against a new largest; fade: what was summed is multiplied by. */
template <class T>
__device__ inline void weigh(const tp_attention<T> &j, const place &at, int64_t s0,
                             float (&p)[PARTS][4], level *m, float (&fade)[2])
{
    int lane = (int)threadIdx.x % LANES;

    TP_UNROLL
    for (int half = 0; half < 2; half++) {
        int64_t l = at.first + threadIdx.x / LANES * 16 + lane / 4 + 8 * half;
        float high = -INFINITY, sum = 0;

        TP_UNROLL
        for (int i = 0; i < TILE / 4; i++) {
            float &x = p[i / 2][2 * half + i % 2];

            x = x * float(j.g.scale) +
                tp_mask_of(j, at.n, at.h, l, s0 + i / 2 * 8 + lane % 4 * 2 + i % 2);
            high = fmaxf(high, x);
        }
        high = fmaxf(m->top[half], fold_row(high, tp_larger()));
        fade[half] = high == -INFINITY ? 1.0f : expf(m->top[half] - high);
        TP_UNROLL
        for (int i = 0; i < TILE / 4; i++) {
            float &x = p[i / 2][2 * half + i % 2];
            int64_t s = s0 + i / 2 * 8 + lane % 4 * 2 + i % 2;

            x = high == -INFINITY && x == x ? 0.0f : expf(x - high);
            sum += x;
            if (l < j.g.L && s < j.g.S) x *= tp_kept(j, at.n, at.h, l, s);
        }
        m->top[half] = high,
        m->sum[half] = m->sum[half] * fade[half] + fold_row(sum, tp_plus());
    }
}

template <class T, int W>
__device__ inline void finish(const tp_attention<T> &j, const place &at,
                              const float (&out)[W / 8][4], const level &m, T *ys,
                              float *lse)
{
    int lane = (int)threadIdx.x % LANES;

    TP_UNROLL
    for (int half = 0; half < 2; half++) {
        int64_t l = at.first + threadIdx.x / LANES * 16 + lane / 4 + 8 * half;
        T *y = ys + at.n * j.g.y[0] + at.h * j.g.y[1] + l * j.g.y[2] + lane % 4 * 2;
        float part = m.sum[half] == 0 ? 0.0f : 1 / m.sum[half];

        if (l >= j.g.L) continue;
        TP_UNROLL
        for (int n = 0; n < W / 8; n++)
            if (8 * n < j.g.Ev)
                *(uint32_t *)(y + 8 * n) =
                    tp_join<T>(out[n][2 * half] * part, out[n][2 * half + 1] * part);
        if (lane % 4 == 0)
            lse[(at.n * j.g.heads + at.h) * j.g.L + l] =
                m.sum[half] == 0 ? INFINITY : m.top[half] + logf(m.sum[half]);
    }
}

template <class T, int W>
__device__ inline void attend_rows(const tp_attention<T> &j, const place &at, uint4 *keys,
                                   uint4 *values, T *y, float *lse)
{
    const tp_attention_args &g = j.g;
    int64_t end = g.causal && at.first + ROWS < g.S ? at.first + ROWS : g.S;
    uint32_t left[W / 16][4];
    float out[W / 8][4] = {};
    level m = { { -INFINITY, -INFINITY }, {} };

    load_left<W>(left, tp_head_of(j.q, g.q, at.n, at.h, at.first, g.L, g.E));
    for (int64_t s0 = 0; s0 < end; s0 += TILE) {
        float p[PARTS][4] = {}, fade[2];

        __syncthreads(); /* the tiles before have been read */
        load_tile<W>(keys, tp_head_of(j.k, g.k, at.n, at.kv, s0, g.S, g.E));
        load_tile<W>(values, tp_head_of(j.v, g.v, at.n, at.kv, s0, g.S, g.Ev));
        __syncthreads();
        multiply<T, W>(p, left, keys);
        weigh(j, at, s0, p, &m, fade);
        TP_UNROLL
        for (int i = 0; i < W / 2; i++)
            out[i / 4][i % 4] *= fade[i % 4 / 2];
        add_rows<T, W>(out, p, values);
    }
    finish<T, W>(j, at, out, m, y, lse);
}

template <class T, int W>
static __global__ void attend_mma(tp_attention<T> j, T *y, float *lse)
{
    if constexpr (tp_mma_here<T>()) {
        TP_SHARED(uint4, keys, tile_of<W>);
        TP_SHARED(uint4, values, tile_of<W>);
        const tp_attention_args &g = j.g;
        int64_t tiles = (g.L + ROWS - 1) / ROWS;

        for (int64_t b = blockIdx.x; b < g.N * g.heads * tiles; b += gridDim.x) {
            int64_t h = b / tiles % g.heads;

            attend_rows<T, W>(
                j,
                { b / tiles / g.heads, h, h / (g.heads / g.kv_heads), b % tiles * ROWS },
                keys, values, y, lse);
        }
    }
}

/* ---- what attention.cu calls ---- */

template <class T> bool tp_mma_takes(tp_ctx *c, const tp_attention<T> &j)
{
    const tp_attention_args &g = j.g;
    bool fits = g.E <= WIDEST && g.Ev <= WIDEST && g.E % 8 == 0 && g.Ev % 8 == 0;

    return tp_mma_on<T>(((tp_cuda *)c->handles)->sm) && fits && tp_aligned(j.q, g.q) &&
           tp_aligned(j.k, g.k) && tp_aligned(j.v, g.v);
}

template <class T>
int tp_attend_mma(tp_ctx *c, const tp_attention<T> &j, T *y, float *lse)
{
    int64_t blocks = tp_row_blocks(j.g.N * j.g.heads * ((j.g.L + ROWS - 1) / ROWS));

    if (j.g.E <= NARROW && j.g.Ev <= NARROW)
        return TP_LAUNCH_FOR(c, "attention", (attend_mma<T, NARROW>), blocks,
                             WARPS * LANES, j, y, lse);
    return TP_LAUNCH_FOR(c, "attention", (attend_mma<T, WIDEST>), blocks, WARPS * LANES,
                         j, y, lse);
}

#define TP_BOTH(T)                                                                       \
    template bool tp_mma_takes(tp_ctx *, const tp_attention<T> &);                       \
    template int tp_attend_mma(tp_ctx *, const tp_attention<T> &, T *, float *);
TP_BOTH(tp_bf16)
TP_BOTH(tp_f16)
