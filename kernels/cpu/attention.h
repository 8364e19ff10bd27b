/*
 * attention.h - what the two directions of attention share: blocks of rows and keys, their
 * scores, masks and draws.
 *
 * Dao et al. 2022, "FlashAttention": scores live in blocks of ROWS by KEYS that stay in cache.
 * Everything is computed in A.  Keys are turned once for all rows that meet them, into panels of
 * BR_WIDTH keys, (E, BR_WIDTH) each, so that brgemm.h's tiles can read them.
 */
#ifndef TP_KERNELS_CPU_ATTENTION_H
#define TP_KERNELS_CPU_ATTENTION_H

#include "kernels/cpu/brgemm_pack.h"
#include "kernels/cpu/counters.h"
#include "kernels/cpu/fold.h"
#include "kernels/cpu/vmath.h"

enum { ROWS = 64, KEYS = 128 /* a multiple of BR_WIDTH */ };

typedef struct job {
    const tp_attention_args *g;
    const T *q, *k, *v, *y, *dy;
    T *out, *dq, *dk, *dv;
    A *lse;
    int64_t group, blocks;    /* heads that share keys; blocks of rows in a head */
    int64_t chunks;           /* backward: pieces that the rows of a group are cut into */
    int64_t wide, wide_v;     /* E and Ev in whole vectors */
    char *scratch;
    size_t room; /* of a worker, in bytes */
    A *partial;  /* backward: dk and dv of each piece of work, or of each worker */
    uint32_t threshold;       /* of a draw that is kept */
    A keep;                   /* what is kept is multiplied by */
} job;

static inline int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t panels_of(int64_t S)
{
    return br_pieces(S, BR_WIDTH);
}

static inline job job_of(const tp_attention_args *g)
{
    return (job){ .g = g,
                  .group = g->kv_heads ? g->heads / g->kv_heads : 0,
                  .blocks = br_pieces(g->L, ROWS),
                  .wide = br_round_up(g->E, BR_LANES),
                  .wide_v = br_round_up(g->Ev, BR_LANES),
                  .threshold = (uint32_t)ceil(g->p * 0x1p24),
                  .keep = g->p < 1 ? (A)(1 / (1 - g->p)) : 0 };
}

/* A piece of scratch that is handed out from its start; without memory it only counts. */
typedef struct arena {
    char *p;
    size_t used;
} arena;

static inline A *take(arena *a, int64_t floats)
{
    A *p = a->p ? (A *)(void *)(a->p + a->used) : NULL;

    a->used += (size_t)br_round_up(floats * (int64_t)sizeof(A), 64);
    return p;
}

/* ---- rows and panels ---- */

/* dst[r] = factor src[r], in rows of whole vectors. */
static inline void load_rows(int64_t rows, int64_t cols, int64_t wide, const T *src, int64_t step, A factor, A *dst)
{
    for (int64_t r = 0; r < rows; r++, src += step, dst += wide) {
        for (int64_t c = 0; c < cols; c++)
            dst[c] = factor * LOAD(src[c]);
        for (int64_t c = cols; c < wide; c++)
            dst[c] = 0;
    }
}

/* Can tiles read rows of src where they lie? */
static inline bool in_place(int64_t cols)
{
    return !TP_IS(bf16) && cols % BR_LANES == 0;
}

static inline void turn(int64_t S, int64_t E, const T *src, int64_t step, A *dst)
{
    for (int64_t p = 0; p < panels_of(S); p++)
        br_pack_columns(src + p * BR_WIDTH * step, step, E, 1, least(S - p * BR_WIDTH, BR_WIDTH), BR_WIDTH,
                        dst + p * E * BR_WIDTH);
}

/* One side of a product: rows lie `row` apart; step is from one number of a left side's row to
 * the next, and from one panel of BR_WIDTH columns of a right side to the next. */
typedef struct side {
    const A *p;
    int64_t row, step;
} side;

/* y (rows, cols), in rows of y_row, (+)= a (rows, k) b (k, cols); b and y are whole vectors wide. */
static inline void product(side a, side b, int64_t rows, int64_t k, int64_t cols, bool add, A *y, int64_t y_row)
{
    static const int64_t at[1] = { 0 };
    int64_t row[BR_MAX_ROWS];

    for (int r = 0; r < BR_MAX_ROWS; r++)
        row[r] = r * a.row;
    for (int64_t c = 0; c < cols; c += BR_WIDTH) {
        br_tile t = { .row = row, .at = at, .a_step = a.step, .b_row = b.row, .blocks = 1, .k = k };
        br_out o = { .cols = least(cols - c, BR_WIDTH), .add = add, .sums_row = y_row };
        int64_t tiles = br_pieces(rows, br_height(o.cols));

        t.b = b.p + c / BR_WIDTH * b.step;
        for (int64_t i = 0; i < tiles; i++) {
            int64_t first = br_cut(rows, tiles, i);

            t.a = a.p + first * a.row, o.sums = y + first * y_row + c;
            br_run(&t, &o, br_cut(rows, tiles, i + 1) - first);
        }
    }
}

/* ---- scores ---- */

/* Rows [i, i + rows) of head h of sample n, against keys [j, j + keys). */
typedef struct tile {
    int64_t n, h, i, rows, j, keys;
} tile;

static inline void hide_row(const tp_attention_args *g, const tile *t, int64_t i, A *s)
{
    const int64_t *b = g->bias_step, *w = g->allowed_step, *p = g->padding_step;

    if (g->bias) {
        const T *bias = (const T *)g->bias + t->n * b[0] + t->h * b[1] + i * b[2] + t->j * b[3];

        for (int64_t c = 0; c < t->keys; c++)
            s[c] += LOAD(bias[c * b[3]]);
    }
    if (g->allowed) {
        const uint8_t *allowed = (const uint8_t *)g->allowed + t->n * w[0] + t->h * w[1] + i * w[2] + t->j * w[3];

        for (int64_t c = 0; c < t->keys; c++)
            s[c] = allowed[c * w[3]] ? s[c] : -(A)INFINITY;
    }
    if (g->padding) {
        const uint8_t *padding = (const uint8_t *)g->padding + t->n * p[0] + t->j * p[1];

        for (int64_t c = 0; c < t->keys; c++)
            s[c] = padding[c * p[1]] ? -(A)INFINITY : s[c];
    }
    for (int64_t c = g->causal && i >= t->j ? i - t->j + 1 : g->causal ? 0 : t->keys; c < t->keys; c++)
        s[c] = -(A)INFINITY;
    for (int64_t c = t->keys; c < br_round_up(t->keys, BR_LANES); c++)
        s[c] = -(A)INFINITY; /* what fills up the last vector */
}

/* s (ROWS, KEYS) = q k' + masks; q is scaled. */
static inline void scores(const job *j, const tile *t, const A *q, const A *turned, A *s)
{
    int64_t E = j->g->E;

    product((side){ q, j->wide, 1 }, (side){ turned + t->j * E, BR_WIDTH, E * BR_WIDTH }, t->rows, E, t->keys,
            false, s, KEYS);
    for (int64_t r = 0; r < t->rows; r++)
        hide_row(j->g, t, t->i + r, s + r * KEYS);
}

/* keep[c] = what weight (i, t->j + c) is multiplied by: 0, or 1 / (1 - p). */
static inline void draw_row(const job *j, const tile *t, int64_t i, A *keep)
{
    const tp_attention_args *g = j->g;
    uint64_t first = (uint64_t)(((t->n * g->heads + t->h) * g->L + i) * g->S + t->j);
    int skip = (int)(first % 4), count = (int)((skip + t->keys + 3) / 4);
    _Alignas(64) uint32_t bits[4 * TP__COUNTERS];

    tp__philox_batch(g->state[0], g->state[1] + first / 4, (count + 15) & ~15, bits);
    for (int64_t c = 0; c < t->keys; c++)
        keep[c] = bits[skip + c] >> 8 >= j->threshold ? j->keep : 0;
}

/* How many of the keys rows before `end` can meet. */
static inline int64_t keys_before(const tp_attention_args *g, int64_t end)
{
    return g->causal ? least(end, g->S) : g->S;
}

#endif
