/*
 * recurrent.c - one LSTM layer over a sequence (Hochreiter & Schmidhuber 1997), and its
 * adjoint; see kernels.def.
 *
 *     i f g o = activated (gates[t] + h[t-1] w')        c[t] = f c[t-1] + i g
 *                                                       h[t] = o tanh(c[t])
 *
 * The recurrent weights are packed once.  Rows of the batch don't depend on each other, so a
 * worker takes a range of rows through all of time: nobody waits for anybody between steps.
 */
#include "kernels/cpu/brgemm_pack.h"
#include "kernels/cpu/vmath.h"

/* Inlined, the cells would lose what restrict says, and with it their vectors. */
#define NOINLINE __attribute__((noinline))

enum { FLOPS = 1 << 21 }; /* not worth a thread below */

typedef struct job {
    int64_t T_, N, H;
    const T *w, *h0, *c0, *gates_in, *cells_in, *dy, *dh, *dc;
    T *gates, *y, *cells, *dh0, *dc0;
    /* the product of a step: rows of `depth` numbers by packed (depth, cols) */
    int64_t depth, cols, near, pitch; /* rows of left and right lie near, pitch apart */
    A *packed;
    A *left, *right; /* (N, depth), (N, cols) */
    A *state;        /* (N, H): c, or dc */
} job;

static int64_t pitch_of(int64_t cols)
{
    return br_vecs(cols) * BR_LANES;
}

/* right = left packed, rows [from, to). */
static void multiply(const job *k, int64_t from, int64_t to)
{
    static const int64_t zero[1] = { 0 };
    int64_t vecs = br_vecs(k->cols), panels = br_pieces(vecs, BR_VECS), row[BR_MAX_ROWS];
    br_tile t = { .row = row, .at = zero, .a_step = 1, .blocks = 1, .k = k->depth };
    br_out o = { .sums_row = k->pitch };

    for (int64_t r = 0; r < BR_MAX_ROWS; r++)
        row[r] = r * k->near;
    for (int64_t p = 0; p < panels; p++) {
        int64_t col = br_cut(vecs, panels, p) * BR_LANES, tiles, rows;

        t.b_row = br_cut(vecs, panels, p + 1) * BR_LANES - col;
        t.b = k->packed + col * k->depth, o.cols = t.b_row;
        tiles = br_pieces(to - from, br_height(o.cols));
        for (int64_t i = 0, r = from; i < tiles; i++, r += rows) {
            rows = from + br_cut(to - from, tiles, i + 1) - r;
            t.a = k->left + r * k->near, o.sums = k->right + r * k->pitch + col;
            br_run(&t, &o, rows);
        }
    }
}

/* Panels [from, to) of the packed weights: w' for the sequence, w for its adjoint. */
static void pack(const job *k, bool transposed, int64_t from, int64_t to)
{
    int64_t vecs = br_vecs(k->cols), panels = br_pieces(vecs, BR_VECS);

    for (int64_t p = from; p < to; p++) {
        int64_t col = br_cut(vecs, panels, p) * BR_LANES;
        int64_t width = br_cut(vecs, panels, p + 1) * BR_LANES - col;
        int64_t cols = k->cols - col < width ? k->cols - col : width;
        A *panel = k->packed + col * k->depth;

        if (transposed)
            br_pack_columns(k->w + col * k->depth, k->depth, k->depth, 1, cols, width,
                            panel);
        else
            br_pack_rows(k->w + col, k->cols, k->depth, cols, width, panel);
    }
}

/* Lays out scratch for products (N, depth) by (depth, cols). */
static bool prepare(tp_ctx *c, job *k, int64_t depth, int64_t cols)
{
    size_t packed, left, right;

    k->depth = depth, k->cols = cols, k->pitch = pitch_of(cols);
    k->near = br_round_up(depth, 16) +
              16; /* a power of two would crowd few lines of the cache */
    packed = (size_t)(k->pitch * depth), left = (size_t)(k->N * k->near);
    right = (size_t)(k->N * k->pitch);
    k->packed =
        tp_scratch(c, (packed + left + right + (size_t)(k->N * k->H)) * sizeof(A) + 64);
    if (!k->packed) return false;
    k->left = k->packed + packed, k->right = k->left + left, k->state = k->right + right;
    return true;
}

static int64_t grain_of(const job *k)
{
    int64_t flops = 8 * k->H * k->H * (k->T_ + 1) + 1;

    return flops < FLOPS ? FLOPS / flops : 1;
}

/* ---- forward ---- */

/* One row of one step; `sum` is what h[t-1] adds to the gates, c the carried cell. */
static NOINLINE void cell(int64_t H, const A *restrict sum, T *restrict gates,
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

static void load_rows(const T *from, int64_t n, A *to)
{
    for (int64_t j = 0; j < n; j++)
        to[j] = from ? LOAD(from[j]) : 0;
}

static void forward_rows(void *user, int worker, int64_t from, int64_t to)
{
    const job *k = user;
    int64_t H = k->H;

    (void)worker;
    for (int64_t n = from; n < to; n++)
        load_rows(k->h0 + n * H, H, k->left + n * k->near);
    load_rows(k->c0 + from * H, (to - from) * H, k->state + from * H);
    for (int64_t t = 0; t < k->T_; t++) {
        multiply(k, from, to);
        for (int64_t n = from; n < to; n++) {
            int64_t at = (t * k->N + n) * H;

            cell(H, k->right + n * k->pitch, k->gates + 4 * at, k->state + n * H,
                 k->cells + at, k->y + at, k->left + n * k->near);
        }
    }
}

static void pack_forward(void *user, int worker, int64_t from, int64_t to)
{
    (void)worker;
    pack(user, true, from, to);
}

int KERNEL(lstm)(tp_ctx *c, int64_t steps, int64_t N, int64_t H, const void *w,
                 const void *h0, const void *c0, void *gates, void *y, void *cells)
{
    job k = { .T_ = steps,
              .N = N,
              .H = H,
              .w = w,
              .h0 = h0,
              .c0 = c0,
              .gates = gates,
              .y = y,
              .cells = cells };

    if (steps == 0 || N == 0 || H == 0) return 0;
    if (!prepare(c, &k, H, 4 * H)) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, br_pieces(br_vecs(k.cols), BR_VECS), 4, pack_forward, &k);
    tp__parallel(c, N, grain_of(&k), forward_rows, &k);
    return 0;
}

/* ---- the adjoint ---- */

/* One row of one step: from dh and the carried dc to the gates before their activations. */
static NOINLINE void cell_dx(int64_t H, const T *restrict gates, const T *restrict c,
                             const T *restrict before, const A *restrict dh,
                             A *restrict dc, T *restrict dgates, A *restrict left)
{
    for (int64_t j = 0; j < H; j++) {
        A i = LOAD(gates[j]), f = LOAD(gates[H + j]), g = LOAD(gates[2 * H + j]);
        A o = LOAD(gates[3 * H + j]), s = tp_tanh(LOAD(c[j]));
        A d = dc[j] + dh[j] * o * (1 - s * s);

        dgates[j] = STORE(d * g * i * (1 - i));
        dgates[H + j] = STORE(d * LOAD(before[j]) * f * (1 - f));
        dgates[2 * H + j] = STORE(d * i * (1 - g * g));
        dgates[3 * H + j] = STORE(dh[j] * s * o * (1 - o));
        dc[j] = d * f;
    }
    for (int64_t j = 0; j < 4 * H; j++)
        left[j] = LOAD(dgates[j]); /* as stored, which is what dw will be made of */
}

static void add_row(int64_t H, const T *restrict dy, A *restrict dh)
{
    for (int64_t j = 0; j < H; j++)
        dh[j] += LOAD(dy[j]);
}

static void store_rows(const A *from, int64_t step, int64_t rows, int64_t cols, T *to)
{
    for (int64_t r = 0; to && r < rows; r++)
        for (int64_t j = 0; j < cols; j++)
            to[r * cols + j] = STORE(from[r * step + j]);
}

static void adjoint_rows(void *user, int worker, int64_t from, int64_t to)
{
    const job *k = user;
    int64_t H = k->H, size = k->N * H;

    (void)worker;
    for (int64_t n = from; n < to; n++)
        load_rows(k->dh ? k->dh + n * H : NULL, H, k->right + n * k->pitch);
    load_rows(k->dc ? k->dc + from * H : NULL, (to - from) * H, k->state + from * H);
    for (int64_t t = k->T_ - 1; t >= 0; t--) {
        const T *before = t ? k->cells_in + (t - 1) * size : k->c0;

        for (int64_t n = from; n < to; n++) {
            int64_t at = t * size + n * H;

            if (k->dy) add_row(H, k->dy + at, k->right + n * k->pitch);
            cell_dx(H, k->gates_in + 4 * at, k->cells_in + at, before + n * H,
                    k->right + n * k->pitch, k->state + n * H, k->gates + 4 * at,
                    k->left + n * k->near);
        }
        multiply(k, from, to);
    }
    store_rows(k->right + from * k->pitch, k->pitch, to - from, H,
               k->dh0 ? k->dh0 + from * H : NULL);
    store_rows(k->state + from * H, H, to - from, H, k->dc0 ? k->dc0 + from * H : NULL);
}

static void pack_adjoint(void *user, int worker, int64_t from, int64_t to)
{
    (void)worker;
    pack(user, false, from, to);
}

int KERNEL(lstm_dx)(tp_ctx *c, int64_t steps, int64_t N, int64_t H, const void *w,
                    const void *c0, const void *gates, const void *cells, const void *dy,
                    const void *dh, const void *dc, void *dgates, void *dh0, void *dc0)
{
    job k = { .T_ = steps,
              .N = N,
              .H = H,
              .w = w,
              .c0 = c0,
              .gates_in = gates,
              .cells_in = cells,
              .dy = dy,
              .dh = dh,
              .dc = dc,
              .gates = dgates,
              .dh0 = dh0,
              .dc0 = dc0 };

    if (N == 0 || H == 0) return 0;
    if (!prepare(c, &k, 4 * H, H)) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, br_pieces(br_vecs(k.cols), BR_VECS), 1, pack_adjoint, &k);
    tp__parallel(c, N, grain_of(&k), adjoint_rows, &k);
    return 0;
}
