/*
 * conv_few.h - sums as conv_sum.h's whose result has so few channels that they don't fill a
 * vector: the last layer of a generator, the first layer's adjoint.
 *
 *     G[q, (tap, m)] = sum over c of x[q, c] w[tap, c, m]      one product for an image
 *     y[p, m] (+)= bias[m] + sum over taps of G[where tap of p reads, (tap, m)]
 */
#ifndef TP_KERNELS_CPU_CONV_FEW_H
#define TP_KERNELS_CPU_CONV_FEW_H

#include "kernels/cpu/conv_sum.h"

typedef struct conv_few {
    const conv_sum *sums; /* that share x, y and the weights, each with taps of its own */
    int64_t count;
    int64_t taps, K, M, width;
    const T *w;
    int64_t w_k, w_m; /* steps in w from one c, and from one m, to the next; tap's is 1 */
    const int64_t *place; /* of a tap of w in G; NULL: its own number */
    A *packed;            /* panels of (K, taps * M), side by side in `width` columns */
    A *scratch;
    size_t room;
} conv_few;

/* Is this way better?  `waste`: how many places of x are multiplied for one that counts. */
static bool conv_is_few(int64_t groups, int64_t taps, int64_t K, int64_t M, int64_t waste)
{
    return groups == 1 && taps > 1 && K >= 8 && 2 * M * waste <= BR_LANES;
}

static void conv_few_size(conv_few *f, const conv_sum *s)
{
    f->width = br_vecs(f->taps * f->M) * BR_LANES;
    f->room = (size_t)(s->h.x * s->w.x * (f->width + (TP_IS(bf16) ? f->K : 0)) + 64);
}

/* Numbers of scratch: the weights, then each worker's G and, for bf16, x. */
static size_t conv_few_scratch(const tp_ctx *c, const conv_few *f, int64_t N)
{
    return (size_t)(f->K * f->width) + (size_t)tp__workers(c, N, 1) * f->room;
}

static void conv_few_pack(const conv_few *f)
{
    int64_t vecs = f->width / BR_LANES, panels = br_pieces(vecs, BR_VECS);

    memset(f->packed, 0, (size_t)(f->K * f->width) * sizeof(A));
    for (int64_t t = 0; t < f->taps; t++)
        for (int64_t m = 0; m < f->M; m++) {
            int64_t col = (f->place ? f->place[t] : t) * f->M + m, panel = 0, from, wide;

            while (br_cut(vecs, panels, panel + 1) * BR_LANES <= col)
                panel++;
            from = br_cut(vecs, panels, panel) * BR_LANES;
            wide = br_cut(vecs, panels, panel + 1) * BR_LANES - from;
            for (int64_t k = 0; k < f->K; k++)
                f->packed[from * f->K + k * wide + col - from] =
                    LOAD(f->w[k * f->w_k + m * f->w_m + t]);
        }
}

/* G of one image. */
static void conv_few_multiply(const conv_few *f, const A *x, int64_t pixels, A *G)
{
    static const int64_t zero[1] = { 0 };
    int64_t vecs = f->width / BR_LANES, panels = br_pieces(vecs, BR_VECS),
            row[BR_MAX_ROWS];
    br_tile t = { .row = row, .at = zero, .a_step = 1, .blocks = 1, .k = f->K };
    br_out o = { .sums_row = f->width };

    for (int64_t r = 0; r < BR_MAX_ROWS; r++)
        row[r] = r * f->K;
    for (int64_t p = 0; p < panels; p++) {
        int64_t col = br_cut(vecs, panels, p) * BR_LANES, tiles, rows;

        t.b_row = o.cols = br_cut(vecs, panels, p + 1) * BR_LANES - col;
        t.b = f->packed + col * f->K, tiles = br_pieces(pixels, br_height(o.cols));
        for (int64_t i = 0, r = 0; i < tiles; i++, r += rows) {
            rows = br_cut(pixels, tiles, i + 1) - r;
            t.a = x + r * f->K, o.sums = G + r * f->width + col;
            br_run(&t, &o, rows);
        }
    }
}

/* The taps of places i, j along both axes that lie inside of x: [*from, *to). */
static void conv_few_taps(const conv_axis *a, int64_t i, int64_t *from, int64_t *to)
{
    *from = 0, *to = a->taps;
    while (*from < *to && i * a->stride + a->least + *from * a->step < 0)
        ++*from;
    while (*from < *to && i * a->stride + a->least + (*to - 1) * a->step >= a->x)
        --*to;
}

/* Gathers one row of one sum's results. */
static void conv_few_row(const conv_few *f, const conv_sum *s, const A *G, int64_t i,
                         T *y)
{
    int64_t down, low, left, right, width = f->width;

    conv_few_taps(&s->h, i, &down, &low);
    for (int64_t j = 0; j < s->w.count; j++, y += s->w.out * s->O) {
        conv_few_taps(&s->w, j, &left, &right);
        for (int64_t m = 0; m < f->M; m++) {
            A sum = s->bias ? LOAD(s->bias[m]) : 0;

            for (int64_t kh = down; kh < low; kh++) {
                int64_t r = i * s->h.stride + s->h.least + kh * s->h.step;
                const A *g =
                    G + r * s->w.x * width + (s->first_tap + kh * s->w.taps) * f->M + m;

                g += (j * s->w.stride + s->w.least) * width;
                for (int64_t kw = left; kw < right; kw++)
                    sum += g[kw * (s->w.step * width + f->M)];
            }
            y[m] = STORE(s->add ? LOAD(y[m]) + sum : sum);
        }
    }
}

static void conv_few_range(void *user, int worker, int64_t from, int64_t to)
{
    const conv_few *f = user;
    const conv_sum *s = f->sums;
    int64_t pixels = s->h.x * s->w.x;
    A *G = f->scratch + (size_t)worker * f->room;

    for (int64_t n = from; n < to; n++) {
        const T *image = s->x + n * pixels * f->K;
        const A *x = (const A *)(const void *)image;

#if TP_IS(bf16)
        for (int64_t i = 0; i < pixels * f->K; i++)
            G[pixels * f->width + i] = LOAD(image[i]);
        x = G + pixels * f->width;
#endif
        conv_few_multiply(f, x, pixels, G);
        for (int64_t k = 0; k < f->count; k++)
            for (int64_t i = 0; i < s[k].h.count; i++) {
                int64_t row = n * s[k].h.y + s[k].h.first + i * s[k].h.out;

                conv_few_row(f, &s[k], G, i,
                             s[k].y + (row * s[k].w.y + s[k].w.first) * s[k].O);
            }
    }
}

/* Packs the weights and runs. */
static void conv_few_run(const tp_ctx *c, conv_few *f, A *scratch, int64_t N)
{
    f->packed = scratch, f->scratch = scratch + f->K * f->width;
    conv_few_pack(f);
    tp__parallel(c, N, 1, conv_few_range, f);
}

#endif
