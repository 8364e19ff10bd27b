/*
 * recurrent.cu - one recurrent layer over a sequence, and its adjoint: LSTM (Hochreiter & Schmidhuber
 * 1997), GRU (Cho et al. 2014), and the plain cell (Elman 1990); kernels.def has the formulas.
 *
 * Each step is a product by cuBLAS and a kernel for all that happens to a row's cell.
 */
#include "kernels/cuda/math.cuh"

#include <cublasLt.h>

extern "C" {
#include "kernels/cuda/lt.h"
}

static int64_t gates_of(tp_cell cell)
{
    return cell == TP_CELL_LSTM ? 4 : cell == TP_CELL_GRU ? 3 : 1;
}

/* ---- where a row is in step s ---- */

/* One that can't be is reported once, and goes on as the nearest that can. */
__device__ inline int64_t length_of(const tp_recurrent_args &g, int64_t n)
{
    int64_t length = g.lengths ? g.lengths[n] : g.T;

    return length < 1 ? 1 : length > g.T ? g.T : length;
}

__device__ inline int64_t time_of(const tp_recurrent_args &g, int64_t n, int64_t s)
{
    return g.reverse ? length_of(g, n) - 1 - s : s;
}

static __global__ void check_lengths(tp_recurrent_args g, tp_faults faults)
{
    for (int64_t n = threadIdx.x; n < g.N; n += blockDim.x)
        if (g.lengths[n] < 1 || g.lengths[n] > g.T) tp_report(faults, TP_FAULT_LENGTH, g.lengths[n], g.T);
}

/* ---- forward ---- */

template <class T> struct tp_cells {
    tp_recurrent_args g;
    int64_t G;              /* numbers of all gates of a row */
    const T *sum, *bias;    /* h w' (N, G) */
    T *gates, *more, *y, *h; /* h (N, H): the state, as stored */
    tp_acc<T> *c;           /* (N, H) */
};

/* Number j of row n in step s, at `at` in (T, N). */
template <class T> __device__ inline void lstm_cell(const tp_cells<T> &k, int64_t n, int64_t j, int64_t at)
{
    typedef tp_acc<T> A;
    int64_t H = k.g.H;
    T *gate = k.gates + at * k.G + j;
    const T *sum = k.sum + n * k.G + j;
    A i = tp_sigmoid(tp_load(gate[0]) + tp_load(sum[0])), f = tp_sigmoid(tp_load(gate[H]) + tp_load(sum[H]));
    A g = tanh(tp_load(gate[2 * H]) + tp_load(sum[2 * H])), o = tp_sigmoid(tp_load(gate[3 * H]) + tp_load(sum[3 * H]));
    A c = f * k.c[n * H + j] + i * g;

    k.c[n * H + j] = c;
    tp_put(&gate[0], i), tp_put(&gate[H], f), tp_put(&gate[2 * H], g), tp_put(&gate[3 * H], o);
    tp_put(&k.more[at * H + j], c), tp_put(&k.y[at * H + j], o * tanh(c));
}

template <class T> __device__ inline void gru_cell(const tp_cells<T> &k, int64_t n, int64_t j, int64_t at)
{
    typedef tp_acc<T> A;
    int64_t H = k.g.H;
    T *gate = k.gates + at * k.G + j;
    const T *sum = k.sum + n * k.G + j, *b = k.bias ? k.bias + j : NULL;
    A r = tp_sigmoid(tp_load(gate[0]) + (tp_load(sum[0]) + (b ? tp_load(b[0]) : A(0))));
    A z = tp_sigmoid(tp_load(gate[H]) + (tp_load(sum[H]) + (b ? tp_load(b[H]) : A(0))));
    A part = tp_load(sum[2 * H]) + (b ? tp_load(b[2 * H]) : A(0)), v = tanh(tp_load(gate[2 * H]) + r * part);

    tp_put(&gate[0], r), tp_put(&gate[H], z), tp_put(&gate[2 * H], v);
    tp_put(&k.more[at * H + j], part), tp_put(&k.y[at * H + j], (1 - z) * v + z * tp_load(k.h[n * H + j]));
}

template <class T> static __global__ void run_cells(tp_cells<T> k, int64_t s)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, H = k.g.H;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < k.g.N * H; i += step) {
        int64_t n = i / H, j = i % H, at;

        if (s >= length_of(k.g, n)) { /* beyond a row's length nothing moves */
            k.y[(s * k.g.N + n) * H + j] = T(0);
            if (k.more) k.more[(s * k.g.N + n) * H + j] = T(0);
            continue;
        }
        at = time_of(k.g, n, s) * k.g.N + n;
        if (k.g.cell == TP_CELL_LSTM) {
            lstm_cell(k, n, j, at);
        } else if (k.g.cell == TP_CELL_GRU) {
            gru_cell(k, n, j, at);
        } else {
            tp_acc<T> v = tp_load(k.gates[at * H + j]) + tp_load(k.sum[n * H + j]);

            tp_put(&k.y[at * H + j], k.g.cell == TP_CELL_TANH ? tanh(v) : tp_relu(v));
        }
        k.h[i] = k.y[at * H + j]; /* as stored, which is what the adjoint will see */
    }
}

/* to (n) = from, in another type, or 0. */
template <class U, class T> static __global__ void put_state(int64_t n, const T *from, U *to)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        to[i] = U(from ? tp_load(from[i]) : tp_acc<T>(0));
}

template <class U, class T> static int keep_state(tp_ctx *c, const char *op, int64_t n, const void *from, void *to)
{
    if (!to) return 0;
    return TP_LAUNCH_FOR(c, op, (put_state<U, T>), tp_blocks(n), TP_THREADS, n, (const T *)from, (U *)to);
}

/* One product a step:  y (N, cols) = x (N, depth) w or w' */
template <class T>
static int find_product(tp_ctx *c, int64_t N, int64_t cols, int64_t depth, const void *w, bool turned, tp_gemm_args *g,
                        tp_lt *p)
{
    *g = {};
    g->batch = 1, g->m = N, g->n = cols, g->k = depth, g->lda = depth, g->ldb = turned ? depth : cols, g->ldy = cols;
    g->tb = turned;
    return tp_lt_find_steps(c, tp_dtype_of<T>(), g, w, p);
}

static int lengths_checked(tp_ctx *c, const char *op, const tp_recurrent_args *g)
{
    return g->lengths ? TP_LAUNCH_FOR(c, op, check_lengths, 1, TP_THREADS, *g, tp_faults_of(c, op)) : 0;
}

template <class T>
static int recurrent(tp_ctx *c, const tp_recurrent_args *g, const void *w, const void *bias, const void *h0,
                     const void *c0, void *gates, void *more, void *y, void *hn, void *cn)
{
    typedef tp_acc<T> A;
    int64_t G = gates_of(g->cell) * g->H, states = g->N * g->H;
    tp_cells<T> k = { *g, G, NULL, (const T *)bias, (T *)gates, (T *)more, (T *)y, NULL, NULL };
    size_t of_c = tp_cuda_rounded((size_t)states * sizeof(A)), of_h = tp_cuda_rounded((size_t)states * sizeof(T));
    size_t of_sum = tp_cuda_rounded((size_t)(g->N * G) * sizeof(T));
    tp_gemm_args sizes;
    tp_lt product;
    char *room;
    int failed = lengths_checked(c, __func__, g);

    if (failed || g->T == 0 || states == 0) return failed;
    if ((failed = find_product<T>(c, g->N, G, g->H, w, true, &sizes, &product))) return failed;
    if (!(room = tp_cuda_scratch(c, of_c + of_h + of_sum + product.workspace))) return TP_KERNEL_NO_MEMORY;
    k.c = (A *)room, k.h = (T *)(room + of_c), k.sum = (T *)(room + of_c + of_h);
    product.a = k.h, product.y = (void *)k.sum;
    failed = keep_state<T, T>(c, __func__, states, h0, k.h);
    if (!failed && c0) failed = keep_state<A, T>(c, __func__, states, c0, k.c);
    for (int64_t s = 0; !failed && s < g->T; s++) {
        failed = tp_lt_run(c, &product, room + of_c + of_h + of_sum);
        if (!failed) failed = TP_LAUNCH(c, run_cells<T>, tp_blocks(states), TP_THREADS, k, s);
    }
    if (!failed) failed = keep_state<T, T>(c, __func__, states, k.h, hn);
    return failed || !c0 ? failed : keep_state<T, A>(c, __func__, states, k.c, cn);
}

/* ---- backward ---- */

template <class T> struct tp_slopes {
    tp_recurrent_args g;
    int64_t G;
    const T *h0, *c0, *gates, *more, *y, *dy;
    T *dgates, *dgates_h, *first;
    T *left;                  /* (N, G): of h's side in this step, for the product */
    const T *right;           /* (N, H): that product, of the step after */
    tp_acc<T> *dh, *dc, *carry; /* (N, H): of the last state at first; carried past the product */
};

template <class T> __device__ inline void lstm_slope(const tp_slopes<T> &k, int64_t i, int64_t j, int64_t at, tp_acc<T> dh, tp_acc<T> before)
{
    typedef tp_acc<T> A;
    int64_t H = k.g.H;
    const T *gate = k.gates + at * k.G + j;
    A in = tp_load(gate[0]), f = tp_load(gate[H]), g = tp_load(gate[2 * H]), o = tp_load(gate[3 * H]);
    A s = tanh(tp_load(k.more[at * H + j])), d = k.dc[i] + dh * o * (1 - s * s);
    T *out = k.dgates + at * k.G + j;

    tp_put(&out[0], d * g * in * (1 - in)), tp_put(&out[H], d * before * f * (1 - f));
    tp_put(&out[2 * H], d * in * (1 - g * g)), tp_put(&out[3 * H], dh * s * o * (1 - o));
    k.dc[i] = d * f;
}

template <class T> __device__ inline void gru_slope(const tp_slopes<T> &k, int64_t i, int64_t j, int64_t at, tp_acc<T> dh, tp_acc<T> before)
{
    typedef tp_acc<T> A;
    int64_t H = k.g.H;
    const T *gate = k.gates + at * k.G + j;
    A r = tp_load(gate[0]), z = tp_load(gate[H]), v = tp_load(gate[2 * H]);
    A dn = dh * (1 - z) * (1 - v * v), dz = dh * (before - v) * z * (1 - z), dr = dn * tp_load(k.more[at * H + j]) * r * (1 - r);
    T *out = k.dgates + at * k.G + j, *of_h = k.dgates_h + at * k.G + j;

    tp_put(&out[0], dr), tp_put(&out[H], dz), tp_put(&out[2 * H], dn);
    tp_put(&of_h[0], dr), tp_put(&of_h[H], dz), tp_put(&of_h[2 * H], dn * r);
    k.carry[i] = dh * z;
}

/* last: the step after has no product yet. */
template <class T> static __global__ void run_slopes(tp_slopes<T> k, int64_t s, bool last)
{
    typedef tp_acc<T> A;
    int64_t step = (int64_t)gridDim.x * blockDim.x, H = k.g.H, N = k.g.N;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < N * H; i += step) {
        int64_t n = i / H, j = i % H, at = (s < length_of(k.g, n) ? time_of(k.g, n, s) : s) * N + n;
        A dh = (last ? k.dh[i] : tp_load(k.right[i])) + k.carry[i];
        const T *of_h = (k.dgates_h ? k.dgates_h : k.dgates) + at * k.G + j;

        k.carry[i] = 0;
        if (s >= length_of(k.g, n)) { /* dh goes by */
            k.carry[i] = dh;
            for (int64_t q = 0; q < k.G; q += H) {
                k.left[n * k.G + q + j] = T(0), k.dgates[at * k.G + q + j] = T(0);
                if (k.dgates_h) k.dgates_h[at * k.G + q + j] = T(0);
            }
            continue;
        }
        if (k.dy) dh += tp_load(k.dy[at * H + j]);
        if (k.g.cell == TP_CELL_LSTM) {
            int64_t before = s ? time_of(k.g, n, s - 1) * N + n : 0;

            lstm_slope(k, i, j, at, dh, tp_load(s ? k.more[before * H + j] : k.c0[i]));
        } else if (k.g.cell == TP_CELL_GRU) {
            int64_t before = s ? time_of(k.g, n, s - 1) * N + n : 0;

            gru_slope(k, i, j, at, dh, tp_load(s ? k.y[before * H + j] : k.h0[i]));
        } else {
            A y = tp_load(k.y[at * H + j]);

            tp_put(&k.dgates[at * H + j], k.g.cell == TP_CELL_TANH ? dh * (1 - y * y) : y > 0 ? dh : A(0));
        }
        for (int64_t q = 0; q < k.G; q += H) {
            k.left[n * k.G + q + j] = of_h[q];
            if (s == 0 && k.first) k.first[n * k.G + q + j] = of_h[q];
        }
    }
}

/* dh0 = right + carry */
template <class T> static __global__ void end_slopes(tp_slopes<T> k, bool none, T *dh0)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < k.g.N * k.g.H; i += step)
        tp_put(&dh0[i], (none ? k.dh[i] : tp_load(k.right[i])) + k.carry[i]);
}

template <class T>
static int recurrent_dx(tp_ctx *c, const tp_recurrent_args *g, const void *w, const void *h0, const void *c0,
                        const void *gates, const void *more, const void *y, const void *dy, const void *dh,
                        const void *dc, void *dgates, void *dgates_h, void *first, void *dh0, void *dc0)
{
    typedef tp_acc<T> A;
    int64_t G = gates_of(g->cell) * g->H, states = g->N * g->H;
    tp_slopes<T> k = { *g, G, (const T *)h0, (const T *)c0, (const T *)gates, (const T *)more, (const T *)y,
                       (const T *)dy, (T *)dgates, (T *)dgates_h, (T *)first, NULL, NULL, NULL, NULL, NULL };
    size_t of_sums = tp_cuda_rounded((size_t)(3 * states) * sizeof(A));
    size_t of_left = tp_cuda_rounded((size_t)(g->N * G) * sizeof(T)), of_right = tp_cuda_rounded((size_t)states * sizeof(T));
    tp_gemm_args sizes;
    tp_lt product;
    char *room;
    int failed;

    if (states == 0) return 0;
    if ((failed = find_product<T>(c, g->N, g->H, G, w, false, &sizes, &product))) return failed;
    if (!(room = tp_cuda_scratch(c, of_sums + of_left + of_right + product.workspace))) return TP_KERNEL_NO_MEMORY;
    k.dh = (A *)room, k.dc = k.dh + states, k.carry = k.dc + states;
    k.left = (T *)(room + of_sums), k.right = (T *)(room + of_sums + of_left);
    product.a = k.left, product.y = (void *)k.right;
    failed = keep_state<A, T>(c, __func__, states, dh, k.dh);
    if (!failed) failed = keep_state<A, T>(c, __func__, states, dc, k.dc);
    if (!failed) failed = keep_state<A, T>(c, __func__, states, NULL, k.carry);
    for (int64_t s = g->T - 1; !failed && s >= 0; s--) {
        failed = TP_LAUNCH(c, run_slopes<T>, tp_blocks(states), TP_THREADS, k, s, s == g->T - 1);
        if (!failed) failed = tp_lt_run(c, &product, room + of_sums + of_left + of_right);
    }
    if (!failed && dh0) failed = TP_LAUNCH(c, end_slopes<T>, tp_blocks(states), TP_THREADS, k, g->T == 0, (T *)dh0);
    return failed ? failed : keep_state<T, A>(c, __func__, states, k.dc, dc0);
}

TP_FLOATS(recurrent)
TP_FLOATS(recurrent_dx)
