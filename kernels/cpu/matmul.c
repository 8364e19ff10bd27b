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
 * A transposed A is packed too, for a short block of k all of its rows, so that every panel
 * finds it near; many rows are first cut into products of their own, so that a worker packs
 * but its share.  Packing the columns of B where it is transposed means turning it.  Where B is the larger,
 * Y' = B' A' is computed instead: A is turned, and so is each tile's result.
 */
#include "kernels/cpu/blas.h"
#include "kernels/cpu/brgemm_pack.h"
#include "kernels/cpu/brgemm_tiles.h"
#include "kernels/cpu/dot_bf16.h"

enum {
    K_BLOCK = 1024, /* a panel of that many rows stays in the second-level cache */
    STRIP = 8,  /* tiles whose rows are packed, or whose results are turned, at once */
    SLICE = 64, /* rows of a transposed A that lie side by side when packed */
    SHARE = 256, /* such rows of one product, if they can be halved down to that */
    NEAR = 3 << 18,  /* bytes of a transposed A that are packed at once */
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
    int64_t m, n, products, step_y;
    T *y;
    bool turned, strips, slices; /* how A is packed, if it is: bf16; transposed */
    int64_t k_blocks, panels;    /* cuts of k, and of the vectors of n */
    int64_t wide, tall;          /* wide panels come first; tiles in each of them */
    int64_t small;               /* tiles in each of the others */
    int64_t tiles;               /* in all panels of one product */
    A *scratch;
    size_t panel, part, turn,
        room; /* numbers in a worker's buffers, and in all of them */
} job;

/* One panel of one product, and a block of k. */
typedef struct piece {
    const T *a, *b;
    T *y;
    int64_t col, cols, first, last; /* columns of the tiles' side; tiles */
    int64_t tiles;                  /* that the rows are cut into */
    int64_t k, depth;               /* first k and how many */
    int64_t row[BR_MAX_ROWS], to[BR_WIDTH > BR_MAX_ROWS ? BR_WIDTH : BR_MAX_ROWS];
    A *panel, *packed_a, *sums, *turn;
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
static void end_turned(const job *w, const piece *p, int64_t r0, int64_t rows,
                       int64_t width)
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

/* Rows [r0, r0 + rows), some tiles, of a bf16 A. */
static void pack_strip(const job *w, const piece *p, int64_t r0, int64_t rows,
                       int64_t width)
{
    const T *a = p->a + r0 * w->a.next + p->k * w->a.step;
    int64_t readable =
        w->m - r0 < width ? w->m - r0 : width; /* whole vectors, if there are */

    if (w->a.step == 1)
        br_pack_rows(a, w->a.next, rows, p->depth, p->depth, p->packed_a);
    else
        br_pack_rows(a, w->a.step, p->depth, readable, width, p->packed_a);
}

/* All rows of a transposed A: slices (depth, SLICE). */
static void pack_slices(const job *w, const piece *p)
{
    for (int64_t r = 0; r < w->m; r += SLICE)
        br_pack_rows(p->a + r + p->k * w->a.step, w->a.step, p->depth,
                     w->m - r < SLICE ? w->m - r : SLICE, SLICE,
                     p->packed_a + r * p->depth);
}

/* Where the rows of the tile that starts with row r of A lie. */
static void find_rows(const job *w, piece *p, int64_t r, int64_t strip, br_tile *t)
{
    if (w->slices) {
        t->a = p->packed_a;
        for (int64_t i = 0; i < BR_MAX_ROWS; i++)
            p->row[i] = (r + i) / SLICE * SLICE * p->depth + (r + i) % SLICE;
    } else if (w->strips)
        t->a = p->packed_a + (r - strip) * p->row[1];
    else
        t->a = (const A *)(const void *)(p->a + r * w->a.next + p->k * w->a.step);
}

/* Tiles [first, last), all of a strip, B at hand. */
static void run_strip(const job *w, piece *p, int64_t first, int64_t last, br_tile *t)
{
    int64_t even = w->m / p->tiles, rest = w->m % p->tiles,
            width = br_vecs(p->cols) * BR_LANES;
    int64_t r0 = first * even + (first < rest ? first : rest);
    int64_t end = last * even + (last < rest ? last : rest), rows;
    int64_t packed = br_round_up(end - r0, BR_LANES);
    br_out out = { .cols = p->cols, .sums_row = width };

    if (w->strips) {
        bool by_k = w->a.step != 1;

        pack_strip(w, p, r0, end - r0, packed);
        t->a_step = by_k ? packed : 1;
        for (int64_t r = 0; r < BR_MAX_ROWS; r++)
            p->row[r] = by_k ? r : r * p->depth;
    }
    for (int64_t i = first, r = r0; i < last; i++, r += rows) {
        rows = even + (i < rest);
        find_rows(w, p, r, r0, t);
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
    br_tile t = { .b = b,
                  .row = p->row,
                  .at = zero,
                  .b_row = b_row,
                  .blocks = 1,
                  .k = p->depth,
                  .a_step = w->slices ? SLICE : w->a.step };

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

/* Fills in the panel that item `i` of a product lies in, its tiles from there on but not
 * beyond item `to`, and gives the next item. */
static int64_t find_panel(const job *w, int64_t i, int64_t to, piece *p)
{
    int64_t vecs = br_vecs(w->n), in_wide = w->wide * w->tall, panel, start, end;
    bool wide = i < in_wide;

    p->tiles = wide ? w->tall : w->small;
    panel = wide ? i / w->tall : w->wide + (i - in_wide) / w->small;
    start = wide ? panel * w->tall : in_wide + (panel - w->wide) * w->small;
    p->col = br_cut(vecs, w->panels, panel) * BR_LANES;
    p->cols = br_cut(vecs, w->panels, panel + 1) * BR_LANES;
    p->cols = (p->cols < w->n ? p->cols : w->n) - p->col;
    end = start + p->tiles < to ? start + p->tiles : to;
    p->first = i - start, p->last = end - start;
    return end;
}

static void find_block(const job *w, int64_t i, piece *p)
{
    p->k = br_cut(w->g->k, w->k_blocks, i);
    p->depth = br_cut(w->g->k, w->k_blocks, i + 1) - p->k;
}

/* Items [from, to) of one product.  A packed in slices is used by all panels before the next
 * block of k; else a panel goes through all blocks, its results staying near. */
static void run_product(const job *w, piece *p, int64_t from, int64_t to)
{
    for (int64_t i = 0; w->slices && i < w->k_blocks; i++) {
        find_block(w, i, p);
        pack_slices(w, p);
        for (int64_t at = from; at < to;) {
            at = find_panel(w, at, to, p);
            run_piece(w, p);
        }
    }
    while (!w->slices && from < to) {
        from = find_panel(w, from, to, p);
        for (int64_t i = 0; i < w->k_blocks; i++) {
            find_block(w, i, p);
            run_piece(w, p);
        }
    }
}

static void run_range(void *user, int worker, int64_t from, int64_t to)
{
    const job *w = user;
    piece p;

    p.panel = w->scratch + (size_t)worker * w->room;
    p.packed_a = p.panel + w->panel, p.sums = p.packed_a + w->part,
    p.turn = p.sums + w->turn;
    for (int64_t r = 0; r < (int64_t)(sizeof p.to / sizeof *p.to); r++)
        p.to[r] = r * w->g->ldy;
    while (from < to) {
        int64_t batch = from / w->tiles, base = batch * w->tiles;
        int64_t end = base + w->tiles < to ? base + w->tiles : to;

        p.a = w->a.p + batch * w->a.batch, p.b = w->b.p + batch * w->b.batch;
        p.y = w->y + batch * w->step_y;
        run_product(w, &p, from - base, end - base);
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
    w->strips = TP_IS(bf16);
    /* columns of A far apart would push each other out of the cache */
    w->slices = !w->strips && w->a.step > 64 && w->n > BR_WIDTH;
    w->products = g->batch, w->step_y = g->step_y;
}

/* Parts of the rows of one product as products with the same B. */
static void part_rows(job *w)
{
    if (!w->slices || w->products > 1) return;
    while (w->m > SHARE && w->m % (2 * SLICE) == 0)
        w->m /= 2, w->products *= 2;
    w->a.batch = w->m * w->a.next, w->b.batch = 0, w->step_y = w->m * w->g->ldy;
}

static void plan(job *w)
{
    const tp_gemm_args *g = w->g;
    int64_t vecs = br_vecs(w->n), each, depth, most;

    w->panels = br_pieces(vecs, BR_VECS);
    each = vecs / w->panels, w->wide = vecs % w->panels;
    w->small = br_pieces(w->m, br_height(each * BR_LANES));
    w->tall = w->wide ? br_pieces(w->m, br_height((each + 1) * BR_LANES)) : 0;
    w->tiles = w->wide * w->tall + (w->panels - w->wide) * w->small;
    most = w->slices ? NEAR / (int64_t)sizeof(A) / w->m : K_BLOCK;
    most = most < 64 ? 64 : most < K_BLOCK ? most : K_BLOCK;
    /* bf16 would lose digits between blocks; k = 0 is one block of nothing */
    w->k_blocks = TP_IS(bf16) || g->k == 0 ? 1 : br_pieces(g->k, most);
    depth = br_pieces(g->k, w->k_blocks);
    w->panel = (size_t)((depth + 1) * BR_WIDTH);
    w->part = w->strips ? (size_t)((depth + 1) * STRIP_ROWS) : 0;
    if (w->slices) w->part = (size_t)(br_round_up(w->m, SLICE) * (depth + 1));
    w->turn = w->turned ? (size_t)(STRIP_ROWS * BR_WIDTH) : 0;
    w->room = w->panel + w->part + 2 * w->turn;
}

int KERNEL(gemm)(tp_ctx *c, const tp_gemm_args *g, const void *a, const void *b, void *y)
{
    job w = { .g = g, .a.p = a, .b.p = b, .y = y };
    int64_t items, grain, flops;

    if (g->batch == 0 || g->m == 0 || g->n == 0) return 0;
#if TP_IS(f64)
    if (tp__blas_wants(g)) return tp__blas_gemm_f64(c, g, a, b, y);
#endif
#if TP_IS(bf16) && defined(TP_DOT_BF16)
    if (tp__dot_bf16_runs()) return tp__dot_bf16(c, g, a, b, y);
#endif
    choose_sides(&w), part_rows(&w), plan(&w);
    items = w.products * w.tiles;
    flops = 2 * w.m * w.n * (g->k + 1) / w.tiles + 1;
    grain = flops < FLOPS ? FLOPS / flops : 1;
    w.scratch = tp_scratch(c, (size_t)tp__workers(c, items, grain) * w.room * sizeof(A));
    if (!w.scratch) return TP_KERNEL_NO_MEMORY;
    tp__parallel(c, items, grain, run_range, &w);
    return 0;
}
