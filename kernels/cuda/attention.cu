/*
 * attention.cu - scaled dot-product attention that never stores its scores, and its gradients; Dao et
 * al. 2022, "FlashAttention".
 *
 * A warp takes a row of queries, and 32 keys at a time, a lane each; a block's warps share the keys in
 * shared memory, WIDE numbers of each at a time.  The gradient of keys and values goes the other way: a
 * warp takes a key, a lane a row of queries.  All is summed in tp_acc<T> in one order.  A launch sums MOST
 * columns of a head, from `from` on; of a wider one, each part has a launch, which computes the scores again.
 *
 * bf16 and f16 go to attention_mma.cu and attention_mma_dx.cu where tensor cores, head sizes and strides allow.
 */
#include "kernels/cuda/attention.cuh"

enum { LANES = 32, WARPS = 8, WIDE = 64, MOST = 256, PARTS = MOST / WIDE, OWN = MOST / LANES };

/* ---- rows in shared memory ---- */

/* tile[r][e] = numbers [from, from + WIDE) of row first + r, 0 where there are none; by all threads of the
 * block, which must come here. */
template <class T, int SIZE> __device__ inline void load_rows(tp_acc<T> (&tile)[SIZE], const tp_head<T> &a, int64_t from)
{
    __syncthreads(); /* what was there has been read */
    for (int i = (int)threadIdx.x; i < SIZE / (WIDE + 1) * WIDE; i += (int)blockDim.x) {
        int r = i / WIDE, e = i % WIDE;
        bool there = a.first + r < a.n && from + e < a.width;

        tile[r * (WIDE + 1) + e] = there ? tp_load(a.x[(a.first + r) * a.step + from + e]) : tp_acc<T>(0);
    }
    __syncthreads();
}

/* The product of the warp's row of a and the lane's row of b. */
template <class T, class A>
__device__ inline A product(A (&of_warps)[WARPS * (WIDE + 1)], A (&of_lanes)[LANES * (WIDE + 1)], const tp_head<T> &a,
                            const tp_head<T> &b)
{
    int warp = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    A dot = 0;

    for (int64_t from = 0; from < a.width; from += WIDE) {
        load_rows<T>(of_warps, a, from);
        load_rows<T>(of_lanes, b, from);
        for (int e = 0; e < WIDE; e++)
            dot += of_warps[warp * (WIDE + 1) + e] * of_lanes[lane * (WIDE + 1) + e];
    }
    return dot;
}

/* The columns of a head from `from` on. */
template <class T> __device__ inline tp_head<T> beyond(tp_head<T> a, int64_t from)
{
    a.x += from, a.width -= from;
    return a;
}

/* out += the first MOST columns of the rows of b, each times its lane's weight; a lane has numbers lane, lane + LANES, ... of the sum. */
template <class T, class A>
__device__ inline void add_rows(A (&tile)[LANES * (WIDE + 1)], const tp_head<T> &b, A weight, A (&out)[OWN])
{
    int lane = (int)threadIdx.x % LANES;

    TP_UNROLL
    for (int part = 0; part < PARTS; part++) {
        if (part * WIDE >= b.width) continue;
        load_rows<T>(tile, b, part * WIDE);
        for (int r = 0; r < LANES; r++) {
            A w = __shfl_sync(0xffffffffu, weight, r);

            out[2 * part] += w * tile[r * (WIDE + 1) + lane];
            out[2 * part + 1] += w * tile[r * (WIDE + 1) + LANES + lane];
        }
    }
}

/* ---- forward ---- */

template <class T> static __global__ void attend(tp_attention<T> j, int64_t from, T *ys, tp_acc<T> *lse)
{
    typedef tp_acc<T> A;
    TP_SHARED(A, queries, WARPS * (WIDE + 1));
    TP_SHARED(A, keys, LANES * (WIDE + 1));
    const tp_attention_args &g = j.g;
    int64_t tiles = (g.L + WARPS - 1) / WARPS;
    int warp = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;

    for (int64_t b = blockIdx.x; b < g.N * g.heads * tiles; b += gridDim.x) {
        int64_t n = b / tiles / g.heads, h = b / tiles % g.heads, first = b % tiles * WARPS, l = first + warp;
        int64_t kv = h / (g.heads / g.kv_heads), end = g.causal && first + WARPS < g.S ? first + WARPS : g.S;
        tp_head<T> q = tp_head_of(j.q, g.q, n, h, first, g.L, g.E);
        A top = A(-INFINITY), sum = 0, out[OWN] = {};

        for (int64_t s0 = 0; s0 < end; s0 += LANES) {
            tp_head<T> k = tp_head_of(j.k, g.k, n, kv, s0, g.S, g.E);
            tp_head<T> v = tp_head_of(j.v, g.v, n, kv, s0, g.S, g.Ev);
            A score = product<T>(queries, keys, q, k) * A(g.scale) + tp_mask_of(j, n, h, l, s0 + lane), high = score, fade, weight;

            for (int far = LANES / 2; far; far /= 2)
                high = tp_larger()(high, __shfl_xor_sync(0xffffffffu, high, far));
            high = high > top ? high : top;
            fade = high == A(-INFINITY) ? A(1) : exp(top - high);
            weight = high == A(-INFINITY) && score == score ? A(0) : exp(score - high);
            top = high, high = weight;
            for (int far = LANES / 2; far; far /= 2)
                high += __shfl_xor_sync(0xffffffffu, high, far);
            sum = sum * fade + high;
            if (l < g.L && s0 + lane < g.S) weight *= tp_kept(j, n, h, l, s0 + lane);
            TP_UNROLL
            for (int i = 0; i < OWN; i++)
                out[i] *= fade;
            add_rows<T>(keys, beyond(v, from), weight, out);
        }
        if (l >= g.L) continue;
        T *y = ys + n * g.y[0] + h * g.y[1] + l * g.y[2] + from;

        TP_UNROLL
        for (int i = 0; i < OWN; i++)
            if (from + i * LANES + lane < g.Ev) tp_put(&y[i * LANES + lane], sum == 0 ? A(0) : out[i] / sum);
        if (lane == 0 && from == 0) lse[(n * g.heads + h) * g.L + l] = sum == 0 ? A(INFINITY) : top + log(sum);
    }
}

template <class T>
static int attention(tp_ctx *c, const tp_attention_args *g, const void *q, const void *k, const void *v, void *y, void *lse)
{
    int64_t blocks = g->N * g->heads * ((g->L + WARPS - 1) / WARPS), from = 0;
    tp_attention<T> j = tp_attention_of<T>(g, q, k, v);
    int failed;

    if (!blocks) return 0;
    if constexpr (sizeof(T) == 2)
        if (tp_mma_takes(c, j) && tp_aligned(y, g->y)) return tp_attend_mma(c, j, (T *)y, (float *)lse);
    do /* also where heads are 0 wide: lse is wanted */
        failed = TP_LAUNCH(c, attend<T>, tp_row_blocks(blocks), WARPS * LANES, j, from, (T *)y, (tp_acc<T> *)lse);
    while (!failed && (from += MOST) < g->Ev);
    return failed;
}

/* ---- backward:  D = sum dy y;  p = e^(s - lse);  ds = p (keep dy v' - D)
 *      dv = sum keep p dy,  dk = scale sum ds q,  dq = scale sum ds k ---- */

template <class T> static __global__ void row_sums(tp_attention<T> j, tp_acc<T> *level)
{
    const tp_attention_args &g = j.g;
    int64_t step = (int64_t)gridDim.x * (blockDim.x / LANES), rows = g.N * g.heads * g.L;
    int lane = (int)threadIdx.x % LANES;

    for (int64_t r = (int64_t)blockIdx.x * (blockDim.x / LANES) + threadIdx.x / LANES; r < rows; r += step) {
        int64_t n = r / g.L / g.heads, h = r / g.L % g.heads, l = r % g.L;
        const T *y = j.y + n * g.y[0] + h * g.y[1] + l * g.y[2], *dy = j.dy + n * g.dy[0] + h * g.dy[1] + l * g.dy[2];
        tp_acc<T> sum = 0;

        for (int64_t e = lane; e < g.Ev; e += LANES)
            sum += tp_load(y[e]) * tp_load(dy[e]);
        for (int far = LANES / 2; far; far /= 2)
            sum += __shfl_xor_sync(0xffffffffu, sum, far);
        if (lane == 0) level[r] = sum;
    }
}

/* A warp a row of queries: dq. */
template <class T> static __global__ void query_slopes(tp_attention<T> j, int64_t from, const tp_acc<T> *level, T *dqs)
{
    typedef tp_acc<T> A;
    TP_SHARED(A, rows, WARPS * (WIDE + 1));
    TP_SHARED(A, keys, LANES * (WIDE + 1));
    const tp_attention_args &g = j.g;
    int64_t tiles = (g.L + WARPS - 1) / WARPS;
    int warp = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;

    for (int64_t b = blockIdx.x; b < g.N * g.heads * tiles; b += gridDim.x) {
        int64_t n = b / tiles / g.heads, h = b / tiles % g.heads, first = b % tiles * WARPS, l = first + warp;
        int64_t kv = h / (g.heads / g.kv_heads), end = g.causal && first + WARPS < g.S ? first + WARPS : g.S;
        int64_t row = (n * g.heads + h) * g.L + (l < g.L ? l : 0);
        tp_head<T> q = tp_head_of(j.q, g.q, n, h, first, g.L, g.E);
        tp_head<T> dy = tp_head_of(j.dy, g.dy, n, h, first, g.L, g.Ev);
        A out[OWN] = {};

        for (int64_t s0 = 0; s0 < end; s0 += LANES) {
            tp_head<T> k = tp_head_of(j.k, g.k, n, kv, s0, g.S, g.E);
            tp_head<T> v = tp_head_of(j.v, g.v, n, kv, s0, g.S, g.Ev);
            A dot = product<T>(rows, keys, q, k), back = product<T>(rows, keys, dy, v), slope = 0;

            if (l < g.L && s0 + lane < g.S)
                slope = exp(dot * A(g.scale) + tp_mask_of(j, n, h, l, s0 + lane) - j.lse[row]) *
                        (tp_kept(j, n, h, l, s0 + lane) * back - level[row]);
            add_rows<T>(keys, beyond(k, from), slope, out);
        }
        if (l >= g.L) continue;
        T *dq = dqs + n * g.dq[0] + h * g.dq[1] + l * g.dq[2] + from;

        TP_UNROLL
        for (int i = 0; i < OWN; i++)
            if (from + i * LANES + lane < g.E) tp_put(&dq[i * LANES + lane], out[i] * A(g.scale));
    }
}

/* A warp a key, a lane a row of queries: dk and dv, of which either may be NULL. */
template <class T> static __global__ void TP_ROOMY key_slopes(tp_attention<T> j, int64_t from, const tp_acc<T> *level, T *dks, T *dvs)
{
    typedef tp_acc<T> A;
    TP_SHARED(A, rows, LANES * (WIDE + 1));
    TP_SHARED(A, keys, WARPS * (WIDE + 1));
    const tp_attention_args &g = j.g;
    int64_t tiles = (g.S + WARPS - 1) / WARPS, group = g.heads / g.kv_heads;
    int warp = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;

    for (int64_t b = blockIdx.x; b < g.N * g.kv_heads * tiles; b += gridDim.x) {
        int64_t n = b / tiles / g.kv_heads, kv = b / tiles % g.kv_heads, first = b % tiles * WARPS, s = first + warp;
        tp_head<T> k = tp_head_of(j.k, g.k, n, kv, first, g.S, g.E);
        tp_head<T> v = tp_head_of(j.v, g.v, n, kv, first, g.S, g.Ev);
        A of_k[OWN] = {}, of_v[OWN] = {};

        for (int64_t h = kv * group; h < (kv + 1) * group; h++)
            for (int64_t l0 = g.causal ? first / LANES * LANES : 0; l0 < g.L; l0 += LANES) {
                tp_head<T> q = tp_head_of(j.q, g.q, n, h, l0, g.L, g.E);
                tp_head<T> dy = tp_head_of(j.dy, g.dy, n, h, l0, g.L, g.Ev);
                int64_t l = l0 + lane, row = (n * g.heads + h) * g.L + (l < g.L ? l : 0);
                A dot = product<T>(keys, rows, k, q), back = product<T>(keys, rows, v, dy), weight = 0, slope = 0, part_kept;

                if (l < g.L && s < g.S) {
                    weight = exp(dot * A(g.scale) + tp_mask_of(j, n, h, l, s) - j.lse[row]), part_kept = tp_kept(j, n, h, l, s);
                    slope = weight * (part_kept * back - level[row]), weight *= part_kept;
                }
                add_rows<T>(rows, beyond(dy, from), weight, of_v);
                add_rows<T>(rows, beyond(q, from), slope, of_k);
            }
        if (s >= g.S) continue;
        T *dk = dks + n * g.dk[0] + kv * g.dk[1] + s * g.dk[2] + from;
        T *dv = dvs + n * g.dv[0] + kv * g.dv[1] + s * g.dv[2] + from;

        TP_UNROLL
        for (int i = 0; i < OWN; i++) {
            if (dks && from + i * LANES + lane < g.E) tp_put(&dk[i * LANES + lane], of_k[i] * A(g.scale));
            if (dvs && from + i * LANES + lane < g.Ev) tp_put(&dv[i * LANES + lane], of_v[i]);
        }
    }
}

template <class T>
static int attention_dx(tp_ctx *c, const tp_attention_args *g, const void *q, const void *k, const void *v, const void *y,
                        const void *lse, const void *dy, void *dq, void *dk, void *dv)
{
    typedef tp_acc<T> A;
    tp_attention<T> j = tp_attention_of<T>(g, q, k, v);
    int64_t rows = g->N * g->heads * g->L, tiles = (g->L + WARPS - 1) / WARPS, key_tiles = (g->S + WARPS - 1) / WARPS;
    A *level = (A *)tp_scratch(c, (size_t)(rows + 1) * sizeof *level);
    int failed;

    if (!level) return TP_KERNEL_NO_MEMORY;
    j.y = (const T *)y, j.dy = (const T *)dy, j.lse = (const A *)lse;
    failed = TP_LAUNCH(c, row_sums<T>, tp_row_blocks((rows + WARPS - 1) / WARPS), WARPS * LANES, j, level);
    if constexpr (sizeof(T) == 2)
        if (!failed && tp_mma_takes(c, j) && tp_aligned(dy, g->dy) && tp_aligned(dq, g->dq) && tp_aligned(dk, g->dk) && tp_aligned(dv, g->dv))
            return tp_attend_mma_dx(c, j, level, (T *)dq, (T *)dk, (T *)dv);
    for (int64_t from = 0; !failed && dq && from < g->E; from += MOST)
        failed = TP_LAUNCH(c, query_slopes<T>, tp_row_blocks(g->N * g->heads * tiles), WARPS * LANES, j, from, (const A *)level, (T *)dq);
    for (int64_t from = 0; !failed && (dk || dv) && (from < g->E || from < g->Ev); from += MOST)
        failed = TP_LAUNCH(c, key_slopes<T>, tp_row_blocks(g->N * g->kv_heads * key_tiles), WARPS * LANES, j, from, (const A *)level,
                           (T *)dk, (T *)dv);
    return failed;
}

TP_FLOATS(attention)
TP_FLOATS(attention_dx)
