/*
 * recurrent.h - what a recurrent layer and its adjoint share: the product of a step, with weights that
 * are packed once, and where each row of the batch is in time.
 *
 * Rows of the batch don't depend on each other, so a worker takes a range of rows through all of
 * time: nobody waits for anybody between steps.
 */
#ifndef TP_KERNELS_CPU_RECURRENT_H
#define TP_KERNELS_CPU_RECURRENT_H

#include "kernels/cpu/brgemm_pack.h"
#include "kernels/cpu/vmath.h"

/* Inlined, the cells would lose what restrict says, and with it their vectors. */
#define NOINLINE __attribute__((noinline))

enum { FLOPS = 1 << 21 }; /* not worth a thread below */

typedef struct job {
    tp_recurrent_args g;
    int64_t G; /* columns of gates: 4 H, 3 H or H */
    const T *w, *h0, *c0, *gates_in, *more_in, *y_in, *dy, *dh, *dc;
    T *gates, *gates_h, *more, *y, *hn, *cn, *first, *dh0, *dc0;
    /* the product of a step: rows of `depth` numbers by packed (depth, cols) */
    int64_t depth, cols, near, pitch; /* rows of left and right lie near, pitch apart */
    A *packed;
    A *left, *right;  /* (N, depth), (N, cols) */
    A *state, *carry; /* (N, H): c, or dc; what dh gets beside the product */
    A *bias;          /* (cols) */
} job;

static inline int64_t gates_of(const tp_recurrent_args *g)
{
    return g->H * (g->cell == TP_CELL_LSTM ? 4 : g->cell == TP_CELL_GRU ? 3 : 1);
}

/* How long row n is. */
static inline int64_t length_of(const job *k, int64_t n)
{
    return k->g.lengths ? k->g.lengths[n] : k->g.T;
}

/* At what time row n is in step s of its length. */
static inline int64_t time_of(const job *k, int64_t n, int64_t s)
{
    return k->g.reverse ? length_of(k, n) - 1 - s : s;
}

static inline int lengths_fit(tp_ctx *c, const tp_recurrent_args *g)
{
    for (int64_t n = 0; g->lengths && n < g->N; n++)
        if (g->lengths[n] < 1 || g->lengths[n] > g->T)
            return tp__kernel_error(c, "length %lld of sequence %lld is outside 1..%lld", (long long)g->lengths[n],
                                    (long long)n, (long long)g->T);
    return 0;
}

static inline int64_t pitch_of(int64_t cols)
{
    return br_vecs(cols) * BR_LANES;
}

/* right = left packed, rows [from, to). */
static inline void multiply(const job *k, int64_t from, int64_t to)
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
static inline void pack(const job *k, bool transposed, int64_t from, int64_t to)
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
static inline bool prepare(tp_ctx *c, job *k, int64_t depth, int64_t cols)
{
    int64_t N = k->g.N, H = k->g.H;
    size_t packed, left, right, state = (size_t)(N * H);

    k->depth = depth, k->cols = cols, k->pitch = pitch_of(cols);
    k->near = br_round_up(depth, 16) + 16; /* a power of two would crowd few lines of the cache */
    packed = (size_t)(k->pitch * depth), left = (size_t)(N * k->near), right = (size_t)(N * k->pitch);
    k->packed = tp_scratch(c, (packed + left + right + 2 * state + (size_t)cols) * sizeof(A) + 64);
    if (!k->packed) return false;
    k->left = k->packed + packed, k->right = k->left + left;
    k->state = k->right + right, k->carry = k->state + state, k->bias = k->carry + state;
    return true;
}

static inline int64_t grain_of(const job *k)
{
    int64_t flops = 2 * k->G * k->g.H * (k->g.T + 1) + 1;

    return flops < FLOPS ? FLOPS / flops : 1;
}

static inline void load_row(const T *from, int64_t n, A *to)
{
    for (int64_t j = 0; j < n; j++)
        to[j] = from ? LOAD(from[j]) : 0;
}

static inline void store_row(const A *from, int64_t n, T *to)
{
    for (int64_t j = 0; to && j < n; j++)
        to[j] = STORE(from[j]);
}

static inline T *row_of(T *p, int64_t i, int64_t n)
{
    return p ? p + i * n : NULL;
}

static inline const T *given_row(const T *p, int64_t i, int64_t n)
{
    return p ? p + i * n : NULL;
}

#endif
