/*
 * recurrent.c - one recurrent layer over a sequence: LSTM (Hochreiter & Schmidhuber 1997), GRU (Cho et
 * al. 2014), and the plain cell (Elman 1990); kernels.def has the formulas.
 */
#include "kernels/cpu/recurrent.h"

/* ---- cells ---- */

/* One row of one step; `sum` is what h[t-1] adds to the gates, c the carried cell. */
static NOINLINE void lstm_cell(int64_t H, const A *restrict sum, T *restrict gates,
                               A *restrict c, T *restrict cells, T *restrict y, A *restrict h)
{
    for (int64_t j = 0; j < H; j++) {
        A i = tp_sigmoid(LOAD(gates[j]) + sum[j]);
        A f = tp_sigmoid(LOAD(gates[H + j]) + sum[H + j]);
        A g = tp_tanh(LOAD(gates[2 * H + j]) + sum[2 * H + j]);
        A o = tp_sigmoid(LOAD(gates[3 * H + j]) + sum[3 * H + j]);

        c[j] = f * c[j] + i * g;
        gates[j] = STORE(i), gates[H + j] = STORE(f);
        gates[2 * H + j] = STORE(g), gates[3 * H + j] = STORE(o);
        cells[j] = STORE(c[j]);
        y[j] = STORE(o * tp_tanh(c[j]));
        h[j] = LOAD(y[j]); /* as stored, which is what the adjoint will see */
    }
}

/* h holds h[t-1], and then h[t]; bias is of its side. */
static NOINLINE void gru_cell(int64_t H, const A *restrict sum, const A *restrict bias, T *restrict gates,
                              T *restrict more, T *restrict y, A *restrict h)
{
    for (int64_t j = 0; j < H; j++) {
        A r = tp_sigmoid(LOAD(gates[j]) + (sum[j] + bias[j]));
        A z = tp_sigmoid(LOAD(gates[H + j]) + (sum[H + j] + bias[H + j]));
        A part = sum[2 * H + j] + bias[2 * H + j];
        A n = tp_tanh(LOAD(gates[2 * H + j]) + r * part);

        gates[j] = STORE(r), gates[H + j] = STORE(z), gates[2 * H + j] = STORE(n);
        more[j] = STORE(part);
        y[j] = STORE((1 - z) * n + z * h[j]);
        h[j] = LOAD(y[j]); /* as stored, which is what the adjoint will see */
    }
}

static NOINLINE void tanh_cell(int64_t H, const A *restrict sum, const T *restrict gates, T *restrict y, A *restrict h)
{
    for (int64_t j = 0; j < H; j++)
        y[j] = STORE(tp_tanh(LOAD(gates[j]) + sum[j])), h[j] = LOAD(y[j]);
}

static NOINLINE void relu_cell(int64_t H, const A *restrict sum, const T *restrict gates, T *restrict y, A *restrict h)
{
    for (int64_t j = 0; j < H; j++) {
        A v = LOAD(gates[j]) + sum[j];

        y[j] = STORE(v < 0 ? 0 : v), h[j] = LOAD(y[j]); /* NaN stays */
    }
}

/* ---- the sequence ---- */

static void step(const job *k, int64_t n, int64_t at)
{
    int64_t H = k->g.H;
    const A *sum = k->right + n * k->pitch;
    T *gates = k->gates + at * k->G, *y = k->y + at * H;
    A *h = k->left + n * k->near;

    switch (k->g.cell) {
    case TP_CELL_LSTM:
        lstm_cell(H, sum, gates, k->state + n * H, k->more + at * H, y, h);
        break;
    case TP_CELL_GRU:
        gru_cell(H, sum, k->bias, gates, k->more + at * H, y, h);
        break;
    case TP_CELL_TANH:
        tanh_cell(H, sum, gates, y, h);
        break;
    case TP_CELL_RELU:
        relu_cell(H, sum, gates, y, h);
        break;
    }
}

/* Beyond a row's length nothing moves. */
static void rest(const job *k, int64_t at)
{
    size_t bytes = (size_t)k->g.H * sizeof(T);

    memset(k->y + at * k->g.H, 0, bytes);
    if (k->more) memset(k->more + at * k->g.H, 0, bytes);
}

/* Row n in step s, counted over time and batch; beyond its length, the one to fill. */
static int64_t row_at(const job *k, int64_t n, int64_t s)
{
    return (s < length_of(k, n) ? time_of(k, n, s) : s) * k->g.N + n;
}

/* The gates of the row that comes next come near meanwhile: a row is about a page long, where the
 * processor's own prefetching ends. */
static void fetch_gates(const job *k, int64_t n, int64_t s)
{
    const T *p = k->gates + row_at(k, n, s) * k->G;

    for (int64_t j = 0; j < k->G; j += 64 / (int64_t)sizeof(T))
        __builtin_prefetch(p + j, 1);
}

static void rows(void *user, int worker, int64_t from, int64_t to)
{
    const job *k = user;
    int64_t H = k->g.H;

    (void)worker;
    for (int64_t n = from; n < to; n++) {
        load_row(k->h0 + n * H, H, k->left + n * k->near);
        load_row(given_row(k->c0, n, H), H, k->state + n * H);
    }
    for (int64_t s = 0; s < k->g.T; s++) {
        fetch_gates(k, from, s);
        multiply(k, from, to);
        for (int64_t n = from; n < to; n++) {
            if (n + 1 < to) fetch_gates(k, n + 1, s);
            if (s < length_of(k, n)) step(k, n, row_at(k, n, s));
            else rest(k, row_at(k, n, s));
        }
    }
    for (int64_t n = from; n < to; n++) {
        store_row(k->left + n * k->near, H, row_of(k->hn, n, H));
        store_row(k->state + n * H, H, row_of(k->cn, n, H));
    }
}

static void pack_rows(void *user, int worker, int64_t from, int64_t to)
{
    (void)worker;
    pack(user, true, from, to);
}

int KERNEL(recurrent)(tp_ctx *c, const tp_recurrent_args *g, const void *w, const void *bias, const void *h0,
                      const void *c0, void *gates, void *more, void *y, void *hn, void *cn)
{
    job k = { .g = *g, .G = gates_of(g), .w = w, .h0 = h0, .c0 = c0 };
    int bad = lengths_fit(c, g);

    k.gates = gates, k.more = more, k.y = y, k.hn = hn, k.cn = cn;
    if (bad || g->T == 0 || g->N == 0 || g->H == 0) return bad;
    if (!prepare(c, &k, g->H, k.G)) return TP_KERNEL_NO_MEMORY;
    load_row(bias, k.G, k.bias);
    tp__parallel(c, br_pieces(br_vecs(k.cols), BR_VECS), 4, pack_rows, &k);
    tp__parallel(c, g->N, grain_of(&k), rows, &k);
    return 0;
}
