/*
 * conv_dw.c - the adjoint of a convolution in its weights.
 *
 *     dw[o, c, kh, kw] = sum over n, i, j of
 *                        x[n, i s - p + kh d, j s - p + kw d, c] dy[n, i, j, o]
 *
 * Rows of a tile are taps and channels of x, columns are channels of dy, and the pixels are
 * summed.  A worker copies x of a block of images once for each kw, with its padding, the
 * rows that one kh reads side by side and a few channels together: what a tile reads for all
 * pixels of an image is then one run of numbers, a fixed step apart.  (For very few channels
 * one copy serves all kw, and the runs are rows.)  Images are cut into chunks by shape
 * alone; each chunk has sums of its own, folded in order at the end: the same bits for any
 * number of threads.
 */
#include "kernels/cpu/brgemm_pack.h"
#include "kernels/cpu/conv_copy.h"
#include "kernels/cpu/conv_depthwise_dw.h"

enum {
    DW_PIXELS = 160,      /* summed in one go, about: what a tile reads stays in cache, */
    DW_MORE_PIXELS = 512, /* but sums that don't should not come and go too often */
    DW_SLICE = 48,        /* channels of x that lie side by side, at most */
    DW_APART = 8,         /* channels from which on x is copied for each kw */
    DW_CHUNKS = 8,
    DW_LARGE = 1 << 17 /* weights from which on the tiles are enough to share out */
};

typedef struct dw_job {
    const tp_window *g;
    const T *x, *dy;
    T *dw;
    bool add, apart;
    int64_t K, M, taps, rows; /* of one group; rows = taps * K */
    int64_t panels, tiles;    /* of one group */
    int64_t slices;           /* cuts of K; rows go by slice, then tap, then channel */
    int64_t chunks, images, strips; /* blocks: images, or strips of rows of one */
    int64_t pitch;                  /* columns of a copy: OW, or all that its rows read */
    A *sums;                        /* (chunks, groups, panels, rows, width of panel) */
    int64_t sum_size;
    char *scratch;
    size_t room, at_bytes, x_bytes, y_bytes;
} dw_job;

/* Images [n, n + images), rows [row, row + rows) of dy.  An image of x's copy has `area`
 * pixels: (kw, remainder of its row by the stride, one of `high` quotients, pitch). */
typedef struct dw_block {
    int64_t n, images, row, rows, high, area;
    A *x, *y;
    int64_t *at;
} dw_block;

static int64_t high_of(const tp_window *g, int64_t rows)
{
    return rows + (g->KH - 1) * g->dilation_h / g->stride_h;
}

/* ---- what a block reads ---- */

static int64_t area_of(const dw_job *w, int64_t high)
{
    return (w->apart ? w->g->KW : 1) * w->g->stride_h * high * w->pitch;
}

static bool row_is_read(const tp_window *g, int64_t remainder)
{
    for (int64_t kh = 0; kh < g->KH; kh++)
        if (kh * g->dilation_h % g->stride_h == remainder) return true;
    return false;
}

/* One image's copy of `some` channels from x on. */
static void copy_image(const dw_job *w, const dw_block *b, const T *x, int64_t some,
                       A *dst)
{
    const tp_window *g = w->g;

    for (int64_t kw = 0; kw < (w->apart ? g->KW : 1); kw++)
        for (int64_t i = 0; i < g->stride_h; i++) {
            int64_t left = kw * g->dilation_w - g->pad_w;

            for (int64_t q = 0; q < b->high; q++, dst += w->pitch * some) {
                int64_t r = (b->row + q) * g->stride_h + i - g->pad_h;

                if (!row_is_read(g, i)) continue;
                conv_copy_row(r >= 0 && r < g->H ? x + r * g->W * g->C : NULL, g->W, g->C,
                              some, left, w->apart ? g->stride_w : 1, w->pitch, dst);
            }
        }
}

/* x of one group: slices one after another, each (images, area, its channels). */
static void copy_x(const dw_job *w, const dw_block *b, int64_t group)
{
    const tp_window *g = w->g;

    for (int64_t s = 0; s < w->slices; s++) {
        int64_t c = br_cut(w->K, w->slices, s), wide = br_cut(w->K, w->slices, s + 1) - c;
        A *dst = b->x + c * b->images * b->area;

        for (int64_t i = 0; i < b->images; i++)
            copy_image(w, b, w->x + (b->n + i) * g->H * g->W * g->C + group * w->K + c,
                       wide, dst + i * b->area * wide);
    }
}

/* ---- tiles ---- */

/* Where rows (kh, kw, c) of a slice of `wide` channels read x: `count` of them, moving on. */
typedef struct place {
    int64_t kh, kw, c;
} place;

static void find_rows(const dw_job *w, int64_t high, int64_t wide, place *p,
                      int64_t count, int64_t *row)
{
    const tp_window *g = w->g;

    for (int64_t i = 0; i < count;) {
        int64_t down = p->kh * g->dilation_h, copy = down % g->stride_h, at;

        if (w->apart) copy += p->kw * g->stride_h;
        at = (copy * high + down / g->stride_h) * w->pitch;
        if (!w->apart) at += p->kw * g->dilation_w;
        for (at *= wide; i < count && p->c < wide; i++, p->c++)
            row[i] = at + p->c;
        if (p->c < wide) break;
        p->c = 0;
        if (++p->kw == g->KW) p->kw = 0, p->kh++;
    }
}

/* Tiles [from, to) of the `each` of a slice: channels [c, c + wide) of x. */
static void run_slice(const dw_job *w, const dw_block *b, br_tile *t, br_out *o,
                      int64_t c, int64_t wide, int64_t from, int64_t to, int64_t each)
{
    int64_t row[BR_MAX_ROWS], even = wide * w->taps / each, rest = wide * w->taps % each;
    int64_t r = from * even + (from < rest ? from : rest), rows = w->apart ? 1 : b->rows;
    place p = { r / wide / w->g->KW, r / wide % w->g->KW, r % wide };

    t->row = row, t->a = b->x + c * b->images * b->area;
    t->a_step = w->apart ? wide : wide * w->g->stride_w;
    for (int64_t n = 0; n < t->blocks; n++)
        b->at[n] = (n / rows * b->area + n % rows * w->pitch) * wide;
    o->sums += r * o->sums_row;
    for (int64_t i = from; i < to; i++) {
        int64_t count = even + (i < rest);

        if (count == 0) break;
        find_rows(w, b->high, wide, &p, count, row);
        br_run(t, o, count);
        o->sums += count * o->sums_row;
    }
}

/* The tiles [from, to) of one panel of y. */
static void run_tiles(const dw_job *w, const dw_block *b, br_tile *t, int64_t cols,
                      int64_t from, int64_t to, bool first, A *sum)
{
    int64_t width = br_vecs(cols) * BR_LANES, each = w->tiles / w->slices;
    br_out o = { .cols = cols, .add = !first, .sums_row = width };

    t->at = b->at;
    while (from < to) {
        int64_t slice = from / each, c = br_cut(w->K, w->slices, slice),
                start = slice * each;
        int64_t wide = br_cut(w->K, w->slices, slice + 1) - c;
        int64_t end = start + each < to ? start + each : to;

        o.sums = sum + c * w->taps * width;
        run_slice(w, b, t, &o, c, wide, from - start, end - start, each);
        from = end;
    }
}

/* All tiles but a few are worth packing y for; bf16 and odd widths must be. */
static br_tile open_panel(const dw_job *w, const dw_block *b, int64_t group, int64_t col,
                          int64_t cols, int64_t tiles)
{
    const tp_window *g = w->g;
    int64_t width = br_vecs(cols) * BR_LANES, row = g->O;
    const T *y = w->dy + (b->n * g->OH + b->row) * g->OW * g->O + group * w->M + col;
    br_tile t = { .b = (const A *)(const void *)y };

    if (TP_IS(bf16) || cols != width || tiles > 3) {
        br_pack_rows(y, g->O, b->images * b->rows * g->OW, cols, width, b->y);
        t.b = b->y, row = width;
    }
    t.blocks = b->images * (w->apart ? 1 : b->rows),
    t.k = g->OW * (w->apart ? b->rows : 1);
    t.b_row = row, t.b_step = t.k * row;
    return t;
}

/* Items [from, to) of the (group, panel, tile) of a chunk, for one block. */
static void run_block(const dw_job *w, const dw_block *b, int64_t from, int64_t to,
                      bool first, A *sums)
{
    int64_t vecs = br_vecs(w->M), copied = -1;

    while (from < to) {
        int64_t group = from / w->tiles / w->panels, panel = from / w->tiles % w->panels;
        int64_t col = br_cut(vecs, w->panels, panel) * BR_LANES;
        int64_t last = br_cut(vecs, w->panels, panel + 1) * BR_LANES;
        int64_t cols = (last < w->M ? last : w->M) - col, base = from - from % w->tiles;
        int64_t end = base + w->tiles < to ? base + w->tiles : to;
        br_tile t;

        if (group != copied) copy_x(w, b, copied = group);
        t = open_panel(w, b, group, col, cols, end - from);
        run_tiles(w, b, &t, cols, from - base, end - base, first,
                  sums + (group * vecs * BR_LANES + col) * w->rows);
        from = end;
    }
}

static void run_chunk(const dw_job *w, int64_t chunk, int64_t from, int64_t to,
                      char *scratch)
{
    const tp_window *g = w->g;
    int64_t n = br_cut(g->N, w->chunks, chunk), end = br_cut(g->N, w->chunks, chunk + 1);
    dw_block b = { .at = (int64_t *)(void *)scratch };

    b.x = (A *)(void *)(scratch + w->at_bytes);
    b.y = (A *)(void *)(scratch + w->at_bytes + w->x_bytes);
    for (b.n = n; b.n < end; b.n += b.images)
        for (int64_t i = 0; i < w->strips; i++) {
            b.images = end - b.n < w->images ? end - b.n : w->images;
            b.row = br_cut(g->OH, w->strips, i),
            b.rows = br_cut(g->OH, w->strips, i + 1) - b.row;
            b.high = high_of(g, b.rows), b.area = area_of(w, b.high);
            run_block(w, &b, from, to, b.n == n && i == 0, w->sums + chunk * w->sum_size);
        }
}

static void run_range(void *user, int worker, int64_t from, int64_t to)
{
    const dw_job *w = user;
    int64_t each = w->g->groups * w->panels * w->tiles;

    while (from < to) {
        int64_t chunk = from / each,
                end = (chunk + 1) * each < to ? (chunk + 1) * each : to;

        run_chunk(w, chunk, from - chunk * each, end - chunk * each,
                  w->scratch + (size_t)worker * w->room);
        from = end;
    }
}

/* ---- the end ---- */

/* Walks dw of an output channel, (c, tap), through the rows of sums, (slice, tap, c). */
typedef struct walk {
    int64_t slice, from, wide, c, tap;
} walk;

static int64_t next_row(const dw_job *w, walk *p)
{
    int64_t row;

    if (p->c == p->from + p->wide) {
        p->from = p->c, p->slice++;
        p->wide = br_cut(w->K, w->slices, p->slice) - p->from;
    }
    row = p->from * w->taps + p->tap * p->wide + p->c - p->from;
    if (++p->tap == w->taps) p->tap = 0, p->c++;
    return row;
}

static void store_run(const dw_job *w, br_vec v, int64_t n, T *dw)
{
    A run[BR_LANES];

    *(br_vec_at *)run = v;
    for (int64_t i = 0; i < n; i++)
        dw[i] = STORE(w->add ? LOAD(dw[i]) + run[i] : run[i]);
}

/* dw of a vector of output channels: the chunks' sums, in order, turned. */
static void fold(const dw_job *w, const A *sum, int64_t width, int64_t channels, T *dw)
{
    walk p = { 0 };

    for (int64_t e = 0; e < w->rows; e += BR_LANES) {
        int64_t n = w->rows - e < BR_LANES ? w->rows - e : BR_LANES;
        br_vec m[BR_LANES];

        for (int64_t i = 0; i < BR_LANES; i++) {
            int64_t row = i < n ? next_row(w, &p) : 0;

            m[i] = *(const br_vec_at *)(sum + row * width);
            for (int64_t k = 1; k < w->chunks; k++)
                m[i] += *(const br_vec_at *)(sum + k * w->sum_size + row * width);
        }
        br_turn(m);
        for (int64_t o = 0; o < channels; o++)
            store_run(w, m[o], n, dw + o * w->rows + e);
    }
}

/* Vectors of output channels [from, to) of all groups. */
static void fold_range(void *user, int worker, int64_t from, int64_t to)
{
    const dw_job *w = user;
    int64_t vecs = br_vecs(w->M);

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        int64_t group = i / vecs, vec = i % vecs, panel = 0, first, width, o;

        while (br_cut(vecs, w->panels, panel + 1) <= vec)
            panel++;
        first = br_cut(vecs, w->panels, panel), o = vec * BR_LANES;
        width = (br_cut(vecs, w->panels, panel + 1) - first) * BR_LANES;
        fold(w,
             w->sums + (group * vecs + first) * BR_LANES * w->rows +
                 (vec - first) * BR_LANES,
             width, w->M - o < BR_LANES ? w->M - o : BR_LANES,
             w->dw + (group * w->M + o) * w->rows);
    }
}

/* ---- cutting it up ---- */

static void plan(dw_job *w)
{
    const tp_window *g = w->g;
    int64_t pixels = g->OH * g->OW, vecs = br_vecs(w->M), most, wide, area, go;

    w->panels = br_pieces(vecs, BR_VECS), w->slices = br_pieces(w->K, DW_SLICE);
    wide = br_pieces(w->K, w->slices);
    w->tiles = w->slices * br_pieces(wide * w->taps,
                                     br_height(br_pieces(vecs, w->panels) * BR_LANES));
    w->chunks = w->rows * g->O >= DW_LARGE ? 1 : g->N < DW_CHUNKS ? g->N : DW_CHUNKS;
    go = w->rows * g->O >= 4 * DW_LARGE ? DW_MORE_PIXELS : DW_PIXELS;
    most = br_pieces(g->N, w->chunks), w->images = br_pieces(go, pixels);
    w->images = w->images < most ? w->images : most;
    w->strips = (pixels + go / 2) / go;
    w->strips = w->strips < 1 ? 1 : w->strips < g->OH ? w->strips : g->OH;
    most = br_pieces(g->OH, w->strips);
    w->apart = w->K >= DW_APART, w->pitch = g->OW;
    if (!w->apart) w->pitch = (g->OW - 1) * g->stride_w + (g->KW - 1) * g->dilation_w + 1;
    area = area_of(w, high_of(g, most));
    w->sum_size = g->groups * vecs * BR_LANES * w->rows;
    w->at_bytes = (size_t)br_round_up(w->images * most * (int64_t)sizeof(int64_t), 64);
    w->x_bytes = (size_t)br_round_up(w->images * area * w->K, 16) * sizeof(A);
    w->y_bytes = (size_t)(w->images * most * g->OW * BR_WIDTH) * sizeof(A);
    w->room = (w->at_bytes + w->x_bytes + w->y_bytes + 63) & ~(size_t)63;
}

static void clear(dw_job *w)
{
    int64_t n = w->g->O * w->rows;

    for (int64_t i = 0; i < n && !w->add; i++)
        w->dw[i] = STORE((A)0);
}

int KERNEL(conv2d_dw)(tp_ctx *c, const tp_window *g, const void *x, const void *dy,
                      bool add, void *dw)
{
    dw_job w = { .g = g, .x = x, .dy = dy, .dw = dw, .add = add, .taps = g->KH * g->KW };
    int64_t items;
    size_t sums;

    if (g->O == 0 || g->C == 0) return 0;
    w.K = g->C / g->groups, w.M = g->O / g->groups, w.rows = w.taps * w.K;
    if (g->N * g->OH * g->OW == 0) return clear(&w), 0;
    if (w.K == 1 && w.M == 1) return depthwise_dw(c, g, x, dy, add, dw);
    plan(&w);
    items = w.chunks * g->groups * w.panels * w.tiles;
    sums = ((size_t)(w.chunks * w.sum_size) * sizeof(A) + 63) & ~(size_t)63;
    w.scratch = tp_scratch(c, sums + (size_t)tp__workers(c, items, 1) * w.room);
    if (!w.scratch) return TP_KERNEL_NO_MEMORY;
    w.sums = (A *)(void *)w.scratch, w.scratch += sums;
    tp__parallel(c, items, 1, run_range, &w);
    tp__parallel(c, g->groups * br_vecs(w.M), 1, fold_range, &w);
    return 0;
}
