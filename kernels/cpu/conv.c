/*
 * conv.c - convolution and its adjoint in x; see window.h for shapes and layouts.
 *
 *     y[i]  = sum over k of x[i s - p + k d] w[k]          the convolution
 *     dx[h] = sum over k, s | h + p - k d, of dy[(h + p - k d) / s] w[k]
 *
 * per axis.  For each remainder f of h by s the second is a convolution with stride 1 of some
 * of the taps, so both are sums as in conv_sum.h: one, or s_h * s_w of them.
 */
#include "kernels/cpu/conv_depthwise.h"
#include "kernels/cpu/conv_few.h"
#include "kernels/cpu/conv_sum.h"

/* ---- the convolution ---- */

typedef struct packing {
    const tp_window *g;
    const T *w;
    A *packed;
    int64_t K, M, taps, panels;
    const int64_t *place; /* of a tap of w among the packed ones; NULL: the same */
} packing;

/* Item i is panel i % panels of group i / panels. */
static A *find_panel(const packing *k, int64_t i, int64_t *col, int64_t *cols)
{
    int64_t vecs = br_vecs(k->M), panel = i % k->panels, end;

    *col = br_cut(vecs, k->panels, panel) * BR_LANES;
    end = br_cut(vecs, k->panels, panel + 1) * BR_LANES;
    *cols = (end < k->M ? end : k->M) - *col;
    return k->packed + i / k->panels * conv_group_size(k->taps, k->K, k->M) +
           *col * k->taps * k->K;
}

static void pack_forward(void *user, int worker, int64_t from, int64_t to)
{
    const packing *k = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        int64_t col, cols;
        A *panel = find_panel(k, i, &col, &cols);
        const T *w = k->w + (i / k->panels * k->M + col) * k->K * k->taps;

        br_pack_columns(w, k->K * k->taps, k->K * k->taps, k->taps, cols,
                        br_vecs(cols) * BR_LANES, panel);
    }
}

static conv_axis forward_axis(int64_t x, int64_t y, int64_t taps, int64_t stride,
                              int64_t pad, int64_t dilation)
{
    return (conv_axis){ .x = x,
                        .y = y,
                        .count = y,
                        .first = 0,
                        .out = 1,
                        .stride = stride,
                        .taps = taps,
                        .least = -pad,
                        .step = dilation };
}

static int depthwise_forward(tp_ctx *c, const tp_window *g, const T *x, const T *w,
                             const T *bias, T *y)
{
    depthwise_job k = { .C = g->C, .x = x, .bias = bias, .y = y };

    k.h =
        (depthwise_axis){ g->H, g->OH, g->KH, g->stride_h, -g->pad_h, -g->dilation_h, 1 };
    k.w =
        (depthwise_axis){ g->W, g->OW, g->KW, g->stride_w, -g->pad_w, -g->dilation_w, 1 };
    return depthwise(c, &k, g->N, w);
}

static int few_forward(tp_ctx *c, const conv_sum *s, const T *w)
{
    conv_few f = { .sums = s,
                   .count = 1,
                   .taps = s->weight_taps,
                   .K = s->K,
                   .M = s->M,
                   .w = w,
                   .w_k = s->weight_taps,
                   .w_m = s->K * s->weight_taps };
    A *scratch;

    conv_few_size(&f, s);
    scratch = tp_scratch(c, conv_few_scratch(c, &f, s->N) * sizeof(A));
    if (!scratch) return TP_KERNEL_NO_MEMORY;
    conv_few_run(c, &f, scratch, s->N);
    return 0;
}

int KERNEL(conv2d)(tp_ctx *c, const tp_window *g, const void *x, const void *w,
                   const void *bias, void *y)
{
    conv_sum s = { .N = g->N,
                   .C = g->C,
                   .O = g->O,
                   .groups = g->groups,
                   .x = x,
                   .bias = bias,
                   .y = y,
                   .weight_taps = g->KH * g->KW };
    packing k = { .g = g, .w = w, .taps = g->KH * g->KW };
    size_t packed;

    s.h = forward_axis(g->H, g->OH, g->KH, g->stride_h, g->pad_h, g->dilation_h);
    s.w = forward_axis(g->W, g->OW, g->KW, g->stride_w, g->pad_w, g->dilation_w);
    k.K = s.K = g->C / g->groups, k.M = s.M = g->O / g->groups;
    if (g->N == 0 || g->O == 0 || g->OH == 0 || g->OW == 0) return 0;
    if (k.K == 1 && k.M == 1) return depthwise_forward(c, g, x, w, bias, y);
    if (conv_is_few(g->groups, k.taps, k.K, k.M, g->stride_h * g->stride_w))
        return few_forward(c, &s, w);
    conv_plan(&s);
    k.panels = s.panels;
    packed = (size_t)(g->groups * conv_group_size(k.taps, k.K, k.M)) * sizeof(A);
    packed = (packed + 63) & ~(size_t)63;
    k.packed = tp_scratch(c, packed + conv_scratch(c, &s) + 64);
    if (!k.packed) return TP_KERNEL_NO_MEMORY;
    s.weights = k.packed, s.scratch = (char *)k.packed + packed;
    tp__parallel(c, g->groups * k.panels, 1, pack_forward, &k);
    conv_run(c, &s);
    return 0;
}

/* ---- its adjoint in x ---- */

static int64_t divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;

        a = b, b = rest;
    }
    return a;
}

/* Phase f of an axis: the places h = f + i s.  Their taps are every q-th from `start` on,
 * the last of them reading the least place of dy. */
typedef struct phase {
    conv_axis axis;
    int64_t start, q;
} phase;

static phase adjoint_axis(int64_t f, int64_t x, int64_t y, int64_t taps, int64_t stride,
                          int64_t pad, int64_t dilation)
{
    phase p = { .axis = { .x = y, .y = x, .first = f, .out = stride, .stride = 1 } };
    int64_t common = divisor(stride, dilation);

    p.axis.count = f < x ? (x - f + stride - 1) / stride : 0;
    p.q = stride / common, p.axis.step = dilation / common;
    while (p.start < taps && (f + pad - p.start * dilation) % stride)
        p.start++;
    if (p.start == taps) return p;
    p.axis.taps = (taps - 1 - p.start) / p.q + 1;
    p.axis.least =
        (f + pad - p.start * dilation) / stride - (p.axis.taps - 1) * p.axis.step;
    return p;
}

/* Two axes' phases give a sum; its taps lie in the packed weights from first_tap on, in
 * rising order of the places they read. */
static conv_sum adjoint_sum(const tp_window *g, int64_t fh, int64_t fw,
                            int64_t *first_tap, int64_t *place)
{
    phase h = adjoint_axis(fh, g->H, g->OH, g->KH, g->stride_h, g->pad_h, g->dilation_h);
    phase w = adjoint_axis(fw, g->W, g->OW, g->KW, g->stride_w, g->pad_w, g->dilation_w);
    conv_sum s = { .h = h.axis,
                   .w = w.axis,
                   .N = g->N,
                   .C = g->O,
                   .O = g->C,
                   .groups = g->groups,
                   .K = g->O / g->groups,
                   .M = g->C / g->groups,
                   .weight_taps = g->KH * g->KW,
                   .first_tap = *first_tap };

    for (int64_t i = 0; place && i < h.axis.taps; i++)
        for (int64_t j = 0; j < w.axis.taps; j++) {
            int64_t kh = h.start + (h.axis.taps - 1 - i) * h.q;
            int64_t kw = w.start + (w.axis.taps - 1 - j) * w.q;

            place[kh * g->KW + kw] = *first_tap + i * w.axis.taps + j;
        }
    *first_tap += h.axis.taps * w.axis.taps;
    return s;
}

/* One vector of columns of dst[place[tap]][o][c] = w[o][c][tap], for one o. */
static void pack_taps(const packing *k, const T *w, bool room, int64_t lanes, int64_t row,
                      int64_t width, A *dst)
{
    for (int64_t t = 0; t < k->taps; t += BR_LANES) {
        int64_t n = k->taps - t < BR_LANES ? k->taps - t : BR_LANES;
        br_vec m[BR_LANES];

        br_load_turned(w + t, k->taps, lanes, room ? BR_LANES : n, m);
        for (int64_t i = 0; i < n; i++)
            *(br_vec_at *)(dst + (k->place[t + i] * k->K + row) * width) = m[i];
    }
}

/* Panels for dx: the sum runs over o, its columns are c. */
static void pack_adjoint(void *user, int worker, int64_t from, int64_t to)
{
    const packing *k = user;
    const T *end = k->w + k->g->O * k->M * k->taps;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        int64_t col, cols, width, group = i / k->panels;
        A *panel = find_panel(k, i, &col, &cols);

        width = br_vecs(cols) * BR_LANES;
        for (int64_t o = 0; o < k->K; o++)
            for (int64_t j = 0; j < width; j += BR_LANES) {
                const T *w = k->w + ((group * k->K + o) * k->M + col + j) * k->taps;
                int64_t lanes = cols - j < BR_LANES ? cols - j : BR_LANES;
                int64_t most =
                    br_round_up(k->taps, BR_LANES); /* read of a row, at ease */
                bool room = end - w >= (lanes - 1) * k->taps + most;

                pack_taps(k, w, room, lanes, o, width, panel + j);
            }
    }
}

/* The sum of the i-th phase, planned. */
static conv_sum adjoint_phase(const tp_window *g, int64_t i, int64_t *first_tap,
                              int64_t *place)
{
    conv_sum s = adjoint_sum(g, i / g->stride_w, i % g->stride_w, first_tap, place);

    conv_plan(&s);
    return s;
}

static int depthwise_adjoint(tp_ctx *c, const tp_window *g, const T *dy, const T *w,
                             bool add, T *dx)
{
    depthwise_job k = { .C = g->C, .x = dy, .y = dx, .add = add };

    k.h = (depthwise_axis){ g->OH, g->H, g->KH, 1, g->pad_h, g->dilation_h, g->stride_h };
    k.w = (depthwise_axis){ g->OW, g->W, g->KW, 1, g->pad_w, g->dilation_w, g->stride_w };
    return depthwise(c, &k, g->N, w);
}

static int few_adjoint(tp_ctx *c, const tp_window *g, const T *dy, const T *w, bool add,
                       T *dx)
{
    int64_t phases = g->stride_h * g->stride_w, taps = g->KH * g->KW, first = 0;
    conv_few f = { .count = phases,
                   .taps = taps,
                   .K = g->O,
                   .M = g->C,
                   .w = w,
                   .w_k = g->C * taps,
                   .w_m = taps };
    conv_sum one = adjoint_sum(g, 0, 0, &first, NULL), *sums;
    size_t sum_bytes = ((size_t)phases * sizeof one + 63) & ~(size_t)63;
    size_t place_bytes = ((size_t)taps * sizeof(int64_t) + 63) & ~(size_t)63;
    char *scratch;
    int64_t *place;

    conv_few_size(&f, &one);
    scratch = tp_scratch(c, sum_bytes + place_bytes +
                                conv_few_scratch(c, &f, g->N) * sizeof(A));
    if (!scratch) return TP_KERNEL_NO_MEMORY;
    sums = (conv_sum *)(void *)scratch, place = (int64_t *)(void *)(scratch + sum_bytes);
    first = 0;
    for (int64_t i = 0; i < phases; i++) {
        sums[i] = adjoint_sum(g, i / g->stride_w, i % g->stride_w, &first, place);
        sums[i].x = dy, sums[i].y = dx, sums[i].add = add;
    }
    f.sums = sums, f.place = place;
    conv_few_run(c, &f, (A *)(void *)(scratch + sum_bytes + place_bytes), g->N);
    return 0;
}

int KERNEL(conv2d_dx)(tp_ctx *c, const tp_window *g, const void *dy, const void *w,
                      bool add, void *dx)
{
    int64_t taps = g->KH * g->KW, phases = g->stride_h * g->stride_w, first = 0, *place;
    packing k = { .g = g, .w = w, .taps = taps };
    size_t packed, places = ((size_t)taps * sizeof *place + 63) & ~(size_t)63, most = 0;
    char *scratch;

    if (g->N == 0 || g->C == 0 || g->H == 0 || g->W == 0) return 0;
    k.K = g->O / g->groups, k.M = g->C / g->groups;
    if (k.K == 1 && k.M == 1) return depthwise_adjoint(c, g, dy, w, add, dx);
    if (conv_is_few(g->groups, taps, k.K, k.M, 1))
        return few_adjoint(c, g, dy, w, add, dx);
    k.panels = br_pieces(br_vecs(k.M), BR_VECS);
    packed = (size_t)(g->groups * conv_group_size(taps, k.K, k.M)) * sizeof(A);
    packed = (packed + 63) & ~(size_t)63;
    for (int64_t i = 0; i < phases; i++) {
        conv_sum s = adjoint_phase(g, i, &first, NULL);
        size_t bytes = conv_scratch(c, &s);

        most = bytes > most ? bytes : most;
    }
    scratch = tp_scratch(c, places + packed + most + 64);
    if (!scratch) return TP_KERNEL_NO_MEMORY;
    place = (int64_t *)(void *)scratch, first = 0;
    for (int64_t i = 0; i < phases; i++)
        adjoint_sum(g, i / g->stride_w, i % g->stride_w, &first, place);
    k.place = place, k.packed = (A *)(void *)(scratch + places);
    tp__parallel(c, g->groups * k.panels, 1, pack_adjoint, &k);
    first = 0;
    for (int64_t i = 0; i < phases; i++) {
        conv_sum s = adjoint_phase(g, i, &first, NULL);

        s.add = add, s.x = dy, s.y = dx, s.weights = k.packed;
        s.scratch = scratch + places + packed;
        conv_run(c, &s);
    }
    return 0;
}
