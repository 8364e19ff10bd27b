/*
 * matmul.c - products of matrices, one or a batch; see backend.h for what gemm computes.
 *
 *     Y (m, n) = act(A B + bias)
 *
 * The columns of Y are cut into panels of a few vectors, the rows into tiles, both by shape
 * alone.  A worker takes a range of (batch, panel, tile), packs B of each panel that it
 * meets into cache and runs brgemm.h's tiles over it; A is read where it lies.  Long sums
 * are cut into blocks of k, added in order: the same bits for any number of threads.
 *
 * Packing the columns of B where it is transposed means turning it.  Where B is the larger,
 * Y' = B' A' is computed instead: A is turned, and so is each tile's result.
 */
#include "kernels/cpu/brgemm_pack.h"
#include "kernels/cpu/brgemm_tiles.h"

enum {
    K_BLOCK = 1024,  /* a panel of that many rows stays in the second-level cache */
    STRIP = 8,       /* tiles whose rows are packed, or whose results are turned, at once */
    FLOPS = 1 << 20, /* not worth a thread below */
    STRIP_ROWS = (STRIP * BR_MAX_ROWS + BR_LANES - 1) / BR_LANES * BR_LANES
};

/* A or B: number k of row or column i lies at p + i * next + k * step. */
typedef struct operand {
    const T *p;
    int64_t next, step, batch;
} operand;

typedef struct job {
    const tp_gemm_args *g;
    operand a, b; /* rows and columns of the tiles: exchanged when Y is turned */
    int64_t m, n;
    T *y;
    bool turned, pack_a;
    int64_t k_blocks, panels; /* cuts of k, and of the vectors of n */
    int64_t wide, tall;       /* wide panels come first; tiles in each of them */
    int64_t small;            /* tiles in each of the others */
    int64_t tiles;            /* in all panels of one product */
    A *scratch;
    size_t panel, strip, turn, room; /* numbers in a worker's buffers, and in all of them */
} job;

/* One panel of one product, and a block of k. */
typedef struct piece {
    const T *a, *b;
    T *y;
    int64_t col, cols, first, last;   /* columns of the tiles' side; tiles */
    int64_t tiles;                    /* that the rows are cut into */
    int64_t k, depth;                 /* first k and how many */
    int64_t row[BR_MAX_ROWS], to[BR_WIDTH > BR_MAX_ROWS ? BR_WIDTH : BR_MAX_ROWS];
    A *panel, *strip, *sums, *turn;
} piece;

/* ---- tiles ---- */

/* The end of a tile, or of a strip of turned ones, whose first element is y[r, col]. */
static br_out output(const job *w, const piece *p, int64_t r, int64_t col, int64_t cols)
{
    const tp_gemm_args *g = w->g;
    br_out out = { .y = p->y + r * g->ldy + col, .row = p->to, .cols = cols };

    out.add = g->add || p->k > 0;
    if (p->k + p->depth < g->k) return out;
    if (g->bias) out.bias = (const T *)g->bias + col;
    if (g->preact) out.preact = (T *)g->preact + (out.y - w->y);
    out.activation = g->activation;
    return out;
}

/* Turns sums (rows, width) and ends them. */
static void end_turned(const job *w, const piece *p, int64_t r0, int64_t rows, int64_t width)
{
    int64_t padded = br_round_up(rows, BR_LANES);
    br_out out = output(w, p, p->col, r0, rows);

    for (int64_t r = 0; r < rows; r += BR_LANES)
        for (int64_t j = 0; j < p->cols; j += BR_LANES) {
            br_vec m[BR_LANES];

            for (int i = 0; i < BR_LANES; i++)
                m[i] = *(const br_vec_at *)(p->sums + (r + i) * width + j);
            br_turn(m);
            for (int i = 0; i < BR_LANES; i++)
                *(br_vec_at *)(p->turn + (j + i) * padded + r) = m[i];
        }
    finish(&out, p->cols, padded, p->turn);
}

/* Rows [r0, r0 + rows), some tiles, of an A that isn't read where it lies. */
static void pack_strip(const job *w, const piece *p, int64_t r0, int64_t rows, int64_t width)
{
    const T *a = p->a + r0 * w->a.next + p->k * w->a.step;
    int64_t readable = w->m - r0 < width ? w->m - r0 : width; /* whole vectors, if there are */

    if (w->a.step == 1)
        br_pack_rows(a, w->a.next, rows, p->depth, p->depth, p->strip);
    else
        br_pack_rows(a, w->a.step, p->depth, readable, width, p->strip);
}

/* Tiles [first, last), all of a strip, B at hand. */
static void run_strip(const job *w, piece *p, int64_t first, int64_t last, br_tile *t)
{
    int64_t even = w->m / p->tiles, rest = w->m % p->tiles, width = br_vecs(p->cols) * BR_LANES;
    int64_t r0 = first * even + (first < rest ? first : rest);
    int64_t end = last * even + (last < rest ? last : rest), rows;
    int64_t packed = br_round_up(end - r0, BR_LANES);
    br_out out = { .cols = p->cols, .sums_row = width };

    if (w->pack_a) {
        bool by_k = w->a.step != 1;

        pack_strip(w, p, r0, end - r0, packed);
        t->a_step = by_k ? packed : 1;
        for (int64_t r = 0; r < BR_MAX_ROWS; r++)
            p->row[r] = by_k ? r : r * p->depth;
    }
    for (int64_t i = first, r = r0; i < last; i++, r += rows) {
        rows = even + (i < rest);
        t->a = (const A *)(const void *)(p->a + r * w->a.next + p->k * w->a.step);
        if (w->pack_a) t->a = p->strip + (r - r0) * p->row[1];
        if (w->turned)
            out.sums = p->sums + (r - r0) * width;
        else
            out = output(w, p, r, p->col, p->cols);
        br_run(t, &out, rows);
    }
    if (w->turned) end_turned(w, p, r0, end - r0, width);
}

static void run_tiles(const job *w, piece *p, const A *b, int64_t b_row)
{
    static const int64_t zero[1] = { 0 };
    br_tile t = { .b = b, .row = p->row, .at = zero, .a_step = w->a.step, .b_row = b_row,
                  .blocks = 1, .k = p->depth };

    for (int64_t r = 0; r < BR_MAX_ROWS; r++)
        p->row[r] = r * w->a.next;
    for (int64_t i = p->first; i < p->last; i += STRIP)
        run_strip(w, p, i, i + STRIP < p->last ? i + STRIP : p->last, &t);
}

static void run_piece(const job *w, piece *p)
{
    int64_t width = br_vecs(p->cols) * BR_LANES;
    const T *b = p->b + p->col * w->b.next + p->k * w->b.step;

    if (!TP_IS(bf16) && w->b.next == 1 && p->cols == width && p->last - p->first < 3) {
        run_tiles(w, p, (const A *)(const void *)b, w->b.step); /* too few to pack for */
        return;
    }
    if (w->b.next == 1)
        br_pack_rows(b, w->b.step, p->depth, p->cols, width, p->panel);
    else
        br_pack_columns(b, w->b.next, p->depth, 1, p->cols, width, p->panel);
    run_tiles(w, p, p->panel, width);
}

/* ---- the work, counted in tiles ---- */

/* Fills in the panel that item `i` of its product lies in, and gives the item after the
 * panel's last. */
static int64_t find_panel(const job *w, int64_t i, piece *p)
{
    int64_t vecs = br_vecs(w->n), in_wide = w->wide * w->tall, panel, start;
    bool wide = i < in_wide;

    p->tiles = wide ? w->tall : w->small;
    panel = wide ? i / w->tall : w->wide + (i - in_wide) / w->small;
    start = wide ? panel * w->tall : in_wide + (panel - w->wide) * w->small;
    p->col = br_cut(vecs, w->panels, panel) * BR_LANES;
    p->cols = br_cut(vecs, w->panels, panel + 1) * BR_LANES;
    p->cols = (p->cols < w->n ? p->cols : w->n) - p->col;
    p->first = i - start;
    return start + p->tiles;
}

static void run_range(void *user, int worker, int64_t from, int64_t to)
{
    const job *w = user;
    const tp_gemm_args *g = w->g;
    piece p;

    p.panel = w->scratch + (size_t)worker * w->room;
    p.strip = p.panel + w->panel, p.sums = p.strip + w->strip, p.turn = p.sums + w->turn;
    for (int64_t r = 0; r < (int64_t)(sizeof p.to / sizeof *p.to); r++)
        p.to[r] = r * g->ldy;
    while (from < to) {
        int64_t batch = from / w->tiles, base = batch * w->tiles;
        int64_t end = base + find_panel(w, from - base, &p);

        end = end < to ? end : to;
        p.last = p.first + (end - from);
        p.a = w->a.p + batch * w->a.batch, p.b = w->b.p + batch * w->b.batch;
        p.y = w->y + batch * g->step_y;
        for (int64_t i = 0; i < w->k_blocks; i++) {
            p.k = br_cut(g->k, w->k_blocks, i);
            p.depth = br_cut(g->k, w->k_blocks, i + 1) - p.k;
            run_piece(w, &p);
        }
        from = end;
    }
}

/* ---- cutting it up ---- */

static void choose_sides(job *w)
{
    const tp_gemm_args *g = w->g;
    operand a = { w->a.p, g->ta ? 1 : g->lda, g->ta ? g->lda : 1, g->step_a };
    operand b = { w->b.p, g->tb ? g->ldb : 1, g->tb ? 1 : g->ldb, g->step_b };

    /* numbers turned: A and Y, or B */
    w->turned = !g->ta && g->tb && g->m * (g->k + g->n) < g->n * g->k;
    w->a = w->turned ? b : a, w->b = w->turned ? a : b;
    w->m = w->turned ? g->n : g->m, w->n = w->turned ? g->m : g->n;
    /* columns of A far apart would push each other out of the cache */
    w->pack_a = TP_IS(bf16) || (w->a.step > 64 && w->n > BR_WIDTH);
}

static void plan(job *w)
{
    const tp_gemm_args *g = w->g;
    int64_t vecs = br_vecs(w->n), each, depth;

    w->panels = br_pieces(vecs, BR_VECS);
    each = vecs / w->panels, w->wide = vecs % w->panels;
    w->small = br_pieces(w->m, br_height(each * BR_LANES));
    w->tall = w->wide ? br_pieces(w->m, br_height((each + 1) * BR_LANES)) : 0;
    w->tiles = w->wide * w->tall + (w->panels - w->wide) * w->small;
    /* bf16 would lose digits between blocks; k = 0 is one block of nothing */
    w->k_blocks = TP_IS(bf16) || g->k == 0 ? 1 : br_pieces(g->k, K_BLOCK);
    depth = br_pieces(g->k, w->k_blocks);
    w->panel = (size_t)((depth + 1) * BR_WIDTH);
    w->strip = w->pack_a ? (size_t)((depth + 1) * STRIP_ROWS) : 0;
    w->turn = w->turned ? (size_t)(STRIP_ROWS * BR_WIDTH) : 0;
    w->room = w->panel + w->strip + 2 * w->turn;
}

int KERNEL(gemm)(tp_ctx *c, const tp_gemm_args *g, const void *a, const void *b, void *y)
{
    job w = { .g = g, .a.p = a, .b.p = b, .y = y };
    int64_t items, grain, flops;

    if (g->batch == 0 || g->m == 0 || g->n == 0) return 0;
    choose_sides(&w), plan(&w);
    items = g->batch * w.tiles;
    flops = 2 * g->m * g->n * (g->k + 1) / w.tiles + 1;
    grain = flops < FLOPS ? FLOPS / flops : 1;
    w.scratch = tp_scratch(c, (size_t)tp__workers(c, items, grain) * w.room * sizeof(A));
    if (!w.scratch) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, items, grain, run_range, &w);
    return 0;
}
