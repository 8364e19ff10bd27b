/*
 * conv_sum.h - the sum that a convolution and its adjoint in x both are: pixels of one image
 * times panels of packed weights.
 *
 *     y[n, f + i o, f' + j o', m] (+)= bias[m] + sum over taps (e, e') and c of
 *         x[n, i s + e, j s' + e', c] w[(e, e'), c, m]             0 outside of x
 *
 * Per axis: e = least, least + step, ...; the convolution has o = 1, its adjoint s = 1.
 * The result's rows are cut into blocks, its channels into panels, by shape alone.  A worker
 * takes (block, panel) in turn; the part of x that a block needs is copied with its padding,
 * as A, unless x can be read where it lies.
 */
#ifndef TP_KERNELS_CPU_CONV_SUM_H
#define TP_KERNELS_CPU_CONV_SUM_H

#include "kernels/cpu/brgemm_pack.h"
#include "kernels/cpu/conv_copy.h"

enum {
    CONV_PIXELS = 256, /* of a block, about */
    CONV_DEPTH = 1280  /* rows of a panel of weights, to stay in cache */
};

typedef struct conv_axis {
    int64_t x, y;              /* sizes of the arrays */
    int64_t count, first, out; /* of the result's places: how many, f, o */
    int64_t stride;            /* s */
    int64_t taps, least, step; /* e */
} conv_axis;

typedef struct conv_sum {
    conv_axis h, w;
    int64_t N, C, O;      /* channels of x and y, all groups together */
    int64_t groups, K, M; /* channels of x and y in one group */
    int64_t weight_taps,
        first_tap; /* in the packed weights: of all sums, and this one's */
    bool add;
    const T *x, *bias;
    T *y;
    const A *weights;
    /* filled in by conv_plan */
    int64_t images, split; /* of a block: how many, or into how many one is cut */
    int64_t blocks, panels;
    int64_t runs, run, parts; /* taps that lie side by side are one run of numbers */
    bool copy;
    size_t room; /* bytes of a worker's scratch: at (runs), then the copy */
    char *scratch;
} conv_sum;

/* ---- weights: for each group, panels of (tap, c, m); m padded to whole vectors ---- */

static inline int64_t conv_group_size(int64_t taps, int64_t k, int64_t m)
{
    return taps * k * br_vecs(m) * BR_LANES;
}

/* ---- a block's part of x ---- */

/* Images [n, n + images), result rows [row, row + rows); x of an image as the tiles see it:
 * `pitch` pixels a row, `area` an image. */
typedef struct conv_block {
    int64_t n, images, row, rows, pitch, area;
    const A *x;
} conv_block;

static int64_t conv_extent(const conv_axis *a, int64_t count)
{
    return (count - 1) * a->stride + (a->taps - 1) * a->step + 1;
}

static conv_block conv_open_block(const conv_sum *s, int64_t i, A *copy)
{
    const conv_axis *h = &s->h, *w = &s->w;
    conv_block b;

    if (s->split > 1) {
        b.n = i / s->split, b.images = 1,
        b.row = br_cut(h->count, s->split, i % s->split);
        b.rows = br_cut(h->count, s->split, i % s->split + 1) - b.row;
    } else {
        b.n = i * s->images, b.row = 0, b.rows = h->count;
        b.images = s->N - b.n < s->images ? s->N - b.n : s->images;
    }
    if (!s->copy) { /* no taps, or A is T */
        b.pitch = w->x, b.area = h->x * w->x, b.x = NULL;
        if (h->taps && w->taps)
            b.x = (const A *)(const void *)s->x +
                  (b.n * b.area + (b.row * h->stride + h->least) * b.pitch + w->least) *
                      s->C;
        return b;
    }
    b.pitch = conv_extent(w, w->count), b.area = b.pitch * conv_extent(h, b.rows);
    for (int64_t n = 0; n < b.images; n++)
        conv_copy(s->x + (b.n + n) * h->x * w->x * s->C, h->x, w->x, s->C,
                  b.row * h->stride + h->least, w->least, b.area / b.pitch, b.pitch,
                  copy + n * b.area * s->C);
    b.x = copy;
    return b;
}

/* ---- tiles ---- */

/* A pixel of a block, walking: its place, and where x and y of it start. */
typedef struct conv_walk {
    int64_t n, i, j, x, y;
} conv_walk;

static inline void conv_row(const conv_sum *s, const conv_block *b, conv_walk *p)
{
    const conv_axis *h = &s->h, *w = &s->w;
    int64_t y_row = (b->n + p->n) * h->y + h->first + (b->row + p->i) * h->out;

    p->j = 0, p->x = (p->n * b->area + p->i * h->stride * b->pitch) * s->C;
    p->y = (y_row * w->y + w->first) * s->O;
}

/* Where x and y of the next `rows` pixels start. */
static inline void conv_pixels(const conv_sum *s, const conv_block *b, conv_walk *p,
                               int64_t rows, int64_t *x_at, int64_t *y_at)
{
    for (int64_t r = 0; r < rows; r++) {
        x_at[r] = p->x, y_at[r] = p->y;
        p->x += s->w.stride * s->C, p->y += s->w.out * s->O;
        if (++p->j < s->w.count) continue;
        if (++p->i == b->rows) p->i = 0, p->n++;
        conv_row(s, b, p);
    }
}

/* Runs [run, run + runs) of the sum for all pixels of the block. */
static void conv_panel(const conv_sum *s, const conv_block *b, int64_t group, int64_t col,
                       int64_t cols, int64_t part, int64_t *at)
{
    int64_t width = br_vecs(cols) * BR_LANES, from = br_cut(s->runs, s->parts, part);
    int64_t pixels = b->images * b->rows * s->w.count;
    int64_t tiles = br_pieces(pixels, br_height(cols)), each = s->run * s->K;
    int64_t to = br_cut(s->runs, s->parts, part + 1);
    int64_t x_at[BR_MAX_ROWS], y_at[BR_MAX_ROWS], channel = group * s->M + col;
    br_tile t = { .row = x_at, .at = at, .a_step = 1, .b_row = width };
    br_out o = { .y = s->y + channel, .row = y_at, .cols = cols };
    conv_walk walk = { 0 };

    t.a = b->x + group * s->K, t.k = each, t.b_step = each * width;
    t.b = s->weights + group * conv_group_size(s->weight_taps, s->K, s->M) +
          col * s->weight_taps * s->K + (s->first_tap * s->K + from * each) * width;
    t.blocks = to - from;
    for (int64_t i = from; i < to; i++) {
        int64_t tap = i * s->run, row = s->w.taps ? tap / s->w.taps : 0;

        at[i - from] =
            (row * s->h.step * b->pitch + (tap - row * s->w.taps) * s->w.step) * s->C;
    }
    o.add = s->add || part > 0;
    o.bias = s->bias && part + 1 == s->parts ? s->bias + channel : NULL;
    conv_row(s, b, &walk);
    for (int64_t i = 0; i < tiles; i++) {
        int64_t rows = pixels / tiles + (i < pixels % tiles);

        conv_pixels(s, b, &walk, rows, x_at, y_at);
        br_run(&t, &o, rows);
    }
}

static size_t conv_at_bytes(const conv_sum *s)
{
    return (size_t)br_round_up(s->runs * (int64_t)sizeof(int64_t), 64);
}

static void conv_range(void *user, int worker, int64_t from, int64_t to)
{
    const conv_sum *s = user;
    int64_t vecs = br_vecs(s->M), panels = s->groups * s->panels, opened = -1;
    int64_t *at = (int64_t *)(void *)(s->scratch + (size_t)worker * s->room);
    A *copy = (A *)(void *)((char *)at + conv_at_bytes(s));
    conv_block b = { 0 };

    for (int64_t i = from; i < to; i++) {
        int64_t group = i % panels / s->panels, panel = i % s->panels;
        int64_t col = br_cut(vecs, s->panels, panel) * BR_LANES;
        int64_t end = br_cut(vecs, s->panels, panel + 1) * BR_LANES;

        if (i / panels != opened) {
            opened = i / panels;
            b = conv_open_block(s, opened, copy);
        }
        for (int64_t part = 0; part < s->parts; part++)
            conv_panel(s, &b, group, col, (end < s->M ? end : s->M) - col, part, at);
    }
}

/* ---- the whole ---- */

static bool conv_inside(const conv_axis *a)
{
    return a->taps == 0 ||
           (a->least >= 0 &&
            (a->count - 1) * a->stride + a->least + (a->taps - 1) * a->step < a->x);
}

/* Decides how the work is cut. */
static void conv_plan(conv_sum *s)
{
    int64_t pixels = s->h.count * s->w.count, taps = s->h.taps * s->w.taps, images, rows;

    s->split = pixels > 0 ? (pixels + CONV_PIXELS / 2) / CONV_PIXELS : 1;
    s->split = s->split < 1 ? 1 : s->split < s->h.count ? s->split : s->h.count;
    images = pixels ? br_pieces(CONV_PIXELS, pixels) : 1;
    s->images = s->split > 1 ? 1 : images < s->N ? images : s->N;
    s->blocks = s->split > 1 ? s->N * s->split : br_pieces(s->N, s->images);
    s->panels = br_pieces(br_vecs(s->M), BR_VECS);
    s->run = s->groups == 1 && (s->w.step == 1 || s->w.taps == 1) && taps ? s->w.taps : 1;
    s->runs = taps / s->run;
    s->parts = TP_IS(bf16) ? 1 : br_pieces(s->runs * s->run * s->K, CONV_DEPTH);
    if (s->parts > s->runs) s->parts = s->runs;
    if (s->parts < 1) s->parts = 1;
    s->copy = taps && (TP_IS(bf16) || !conv_inside(&s->h) || !conv_inside(&s->w));
    rows = s->split > 1 ? br_pieces(s->h.count, s->split) : s->h.count;
    s->room = conv_at_bytes(s);
    if (s->copy && pixels)
        s->room += (size_t)br_round_up(s->images * conv_extent(&s->h, rows) *
                                           conv_extent(&s->w, s->w.count) * s->C,
                                       64) *
                   sizeof(A);
}

static int64_t conv_items(const conv_sum *s)
{
    return s->h.count && s->w.count ? s->blocks * s->groups * s->panels : 0;
}

/* Bytes of scratch, of all workers. */
static size_t conv_scratch(const tp_ctx *c, const conv_sum *s)
{
    return (size_t)tp__workers(c, conv_items(s), 1) * s->room;
}

static void conv_run(const tp_ctx *c, conv_sum *s)
{
    tp__parallel(c, conv_items(s), 1, conv_range, s);
}

#endif
