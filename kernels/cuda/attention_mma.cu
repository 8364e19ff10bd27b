/*
 * attention_mma.cu - attention's forward in bf16 and f16 by tensor cores; Dao 2023, "FlashAttention-2".
 *
 * A warp takes 16 rows of queries, a block 64, and TILE keys at a time from shared memory: the keys as they
 * are, the values with two keys side by side, as the second product wants them.  Scores stay in registers,
 * where the sums of the first product are, once rounded to T, the left side of the second.
 */
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/mma.cuh"

enum {
    LANES = 32,
    WARPS = 4,
    ROWS = 16 * WARPS,
    TILE = 32,
    PARTS = TILE / 8,
    TURNED = TILE / 2 + 4
};

/* 32-bit words of a row of W numbers; 4 more, so that the rows of a fragment lie in different banks. */
template <int W> constexpr int words_of = W / 2 + 4;

/* ---- tiles and fragments ---- */

template <class T> __device__ inline uint4 eight(const tp_rows<T> &a, int r, int from)
{
    if (a.first + r >= a.n || from >= a.width) return make_uint4(0, 0, 0, 0);
    return *(const uint4 *)(a.x + (a.first + r) * a.step + from);
}

/* TILE rows as they are. */
template <int W, class T>
__device__ inline void load_plain(uint4 *tile, const tp_rows<T> &a)
{
    for (int i = (int)threadIdx.x; i < TILE * W / 8; i += (int)blockDim.x)
        tile[i / (W / 8) * (words_of<W> / 4) + i % (W / 8)] =
            eight(a, i / (W / 8), i % (W / 8) * 8);
}

/* Word r of row e holds number e of rows 2r and 2r + 1. */
template <int W, class T>
__device__ inline void load_turned(uint32_t *tile, const tp_rows<T> &a)
{
    for (int i = (int)threadIdx.x; i < TILE / 2 * W / 8; i += (int)blockDim.x) {
        int r = i % (TILE / 2), e = i / (TILE / 2) * 8;
        uint4 low = eight(a, 2 * r, e), high = eight(a, 2 * r + 1, e);
        uint32_t l[4] = { low.x, low.y, low.z, low.w },
                 h[4] = { high.x, high.y, high.z, high.w };

        TP_UNROLL
        for (int p = 0; p < 4; p++) {
            tile[(e + 2 * p) * TURNED + r] = (l[p] & 0xFFFF) | h[p] << 16;
            tile[(e + 2 * p + 1) * TURNED + r] = l[p] >> 16 | (h[p] & 0xFFFF0000u);
        }
    }
}

/* Numbers e and e + 1 of row r. */
template <class T> __device__ inline uint32_t two(const tp_rows<T> &a, int r, int e)
{
    if (a.first + r >= a.n || e >= a.width) return 0;
    return *(const uint32_t *)(a.x + (a.first + r) * a.step + e);
}

/* The lane's part of 16 rows from row `warp` of a: left sides of products over the width. */
template <int W, class T>
__device__ inline void load_left(uint32_t (&left)[W / 16][4], const tp_rows<T> &a)
{
    int row = (int)threadIdx.x / LANES * 16 + (int)threadIdx.x % LANES / 4,
        e = (int)threadIdx.x % 4 * 2;

    TP_UNROLL
    for (int k = 0; k < W / 16; k++)
        TP_UNROLL
    for (int i = 0; i < 4; i++)
        left[k][i] = two(a, row + i % 2 * 8, 16 * k + e + i / 2 * 8);
}

/* d[n] += left times the 8 columns from 8 n on, which are rows of `right`, `step` words apart. */
template <class T, int N>
__device__ inline void multiply(float (&d)[N][4], const uint32_t (&left)[4],
                                const uint32_t *right, int step)
{
    int lane = (int)threadIdx.x % LANES;

    TP_UNROLL
    for (int n = 0; n < N; n++) {
        const uint32_t *at = right + (8 * n + lane / 4) * step + lane % 4;
        uint32_t b[2] = { at[0], at[4] };

        tp_mma_16x8x16<T>(d[n], left, b);
    }
}

/* ---- forward ---- */

/* Of the four lanes that share a row. */
template <class Fold> __device__ inline float fold_row(float v, Fold fold)
{
    v = fold(v, __shfl_xor_sync(0xffffffffu, v, 1));
    return fold(v, __shfl_xor_sync(0xffffffffu, v, 2));
}

/* Where the block is. */
struct place {
    int64_t n, h, kv, first;
};

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
                    tp_pack<T>(out[n][2 * half] * part, out[n][2 * half + 1] * part);
        if (lane % 4 == 0)
            lse[(at.n * j.g.heads + at.h) * j.g.L + l] =
                m.sum[half] == 0 ? INFINITY : m.top[half] + logf(m.sum[half]);
    }
}

template <class T, int W>
__device__ inline void attend_rows(const tp_attention<T> &j, const place &at, uint4 *keys,
                                   uint32_t *values, T *y, float *lse)
{
    const tp_attention_args &g = j.g;
    int64_t end = g.causal && at.first + ROWS < g.S ? at.first + ROWS : g.S;
    tp_rows<T> q = { j.q + at.n * g.q[0] + at.h * g.q[1], g.q[2], at.first, g.L, g.E };
    uint32_t left[W / 16][4];
    float out[W / 8][4] = {};
    level m = { { -INFINITY, -INFINITY }, {} };

    load_left<W>(left, q);
    for (int64_t s0 = 0; s0 < end; s0 += TILE) {
        float p[PARTS][4] = {}, fade[2];

        __syncthreads(); /* the tiles before have been read */
        load_plain<W>(keys, tp_rows<T>{ j.k + at.n * g.k[0] + at.kv * g.k[1], g.k[2], s0,
                                        g.S, g.E });
        load_turned<W>(values, tp_rows<T>{ j.v + at.n * g.v[0] + at.kv * g.v[1], g.v[2],
                                           s0, g.S, g.Ev });
        __syncthreads();
        TP_UNROLL
        for (int k = 0; k < W / 16; k++)
            multiply<T>(p, left[k], (const uint32_t *)keys + 8 * k, words_of<W>);
        weigh(j, at, s0, p, &m, fade);
        TP_UNROLL
        for (int i = 0; i < W / 2; i++)
            out[i / 4][i % 4] *= fade[i % 4 / 2];
        TP_UNROLL
        for (int k = 0; k < TILE / 16; k++) {
            float(&a)[4] = p[2 * k], (&b)[4] = p[2 * k + 1];
            uint32_t weights[4] = { tp_pack<T>(a[0], a[1]), tp_pack<T>(a[2], a[3]),
                                    tp_pack<T>(b[0], b[1]), tp_pack<T>(b[2], b[3]) };

            multiply<T>(out, weights, values + 8 * k, TURNED);
        }
    }
    finish<T, W>(j, at, out, m, y, lse);
}

template <class T, int W>
static __global__ void attend_mma(tp_attention<T> j, T *y, float *lse)
{
    if constexpr (tp_mma_here<T>()) {
        TP_SHARED(uint4, keys, TILE * words_of<W> / 4);
        TP_SHARED(uint32_t, values, W * TURNED);
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

enum { NARROW = 64, WIDEST = 128 };

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
