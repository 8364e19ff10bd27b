/*
 * kernels_compute.c - products, convolutions and recurrences of every instruction set and
 * dtype against plain loops in double, and the same bits for 1, 2 and 3 threads.
 *
 * Tolerance: an element that sums n products of numbers in [-1, 1] may be off by
 *     BOUND (eps(dtype) |element| + eps(accumulator) sqrt(n + 2) * sqrt(n + 2))
 * one square root for how errors add up, one for how large the sums grow.  Sums are held in
 * f32, or f64 for f64; a recurrence passes through what it stores, so there it is the dtype.
 */
/* brgemm.h as the f32 sources of the base level see it */
#define TP_FOR   f32
#define TP_LEVEL base
#include "kernels/cpu/brgemm.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEN(a) ((int)(sizeof(a) / sizeof *(a)))
#define BOUND  4.0

enum { THREADS = 3 };

static const char *const levels[] = { "base", "v3", "v4" };
static const tp_dtype dtypes[] = { TP_F32, TP_F64, TP_BF16 };
static const char *const dtype_names[] = { "f32", "f64", "bf16" };

/* ---- a context, and arrays of a dtype ---- */

static bool grow(tp_ctx *c, size_t bytes)
{
    free(c->scratch);
    c->scratch_bytes = (bytes + 63) & ~(size_t)63;
    c->scratch = aligned_alloc(64, c->scratch_bytes);
    /* what a kernel doesn't write it must not read */
    memset(c->scratch, 0xff, c->scratch_bytes);
    return true;
}

static tp_ctx context(const tp_backend *b, int threads)
{
    return (tp_ctx){ .backend = b, .threads = threads, .grow = grow };
}

static size_t size_of(tp_dtype t)
{
    return t == TP_F64 ? 8 : t == TP_F32 ? 4 : 2;
}

static double epsilon(tp_dtype t)
{
    return t == TP_F64 ? 0x1p-53 : t == TP_F32 ? 0x1p-24 : 0x1p-8;
}

static double get(tp_dtype t, const void *p, int64_t i)
{
    if (t == TP_F64) return ((const double *)p)[i];
    if (t == TP_F32) return (double)((const float *)p)[i];
    return (double)tp_bf16_to_f32(((const tp_bf16 *)p)[i]);
}

static void put(tp_dtype t, void *p, int64_t i, double v)
{
    if (t == TP_F64)
        ((double *)p)[i] = v;
    else if (t == TP_F32)
        ((float *)p)[i] = (float)v;
    else
        ((tp_bf16 *)p)[i] = tp_bf16_of((float)v);
}

static uint64_t seed = 1;

static double number(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 40) * 0x1p-23 - 1;
}

static void *numbers(tp_dtype t, int64_t n)
{
    void *p = malloc((size_t)n * size_of(t) + 1);

    for (int64_t i = 0; i < n; i++)
        put(t, p, i, number());
    return p;
}

static void *copy_of(tp_dtype t, const void *p, int64_t n)
{
    void *q = malloc((size_t)n * size_of(t) + 1);

    memcpy(q, p, (size_t)n * size_of(t));
    return q;
}

/* A result and what it should be; `terms` how many products an element sums. */
static void check_close(tp_dtype t, tp_dtype held, const void *y, const double *want,
                        int64_t n, int64_t terms, const char *what)
{
    double sums = epsilon(held) * (double)(terms + 2);

    for (int64_t i = 0; i < n; i++) {
        double got = get(t, y, i), room = BOUND * (epsilon(t) * fabs(want[i]) + sums);

        if (isnan(want[i]) ? isnan(got) : fabs(got - want[i]) <= room) continue;
        cr_assert_fail("%s: element %lld is %.9g, not %.9g", what, (long long)i, got,
                       want[i]);
    }
}

/* ---- every level, dtype and thread count ---- */

/* Calls a kernel with y as its output. */
typedef int call(tp_ctx *c, tp_dtype t, const void *user, void *y);

static void check_held(call *f, const void *user, tp_dtype t, tp_dtype held,
                       const void *start, const double *want, int64_t n, int64_t terms,
                       const char *what)
{
    for (int l = 0; l < LEN(levels); l++) {
        const tp_backend *b = tp_cpu_backend_level(levels[l]);
        void *first = NULL;

        for (int threads = 1; b && threads <= THREADS; threads++) {
            tp_ctx c = context(b, threads);
            void *y = copy_of(t, start, n);
            char name[400];

            snprintf(name, sizeof name, "%s, %s, %s, %d threads", what, levels[l],
                     dtype_names[t], threads);
            cr_assert_eq(f(&c, t, user, y), 0, "%s: %s", name, c.error);
            if (!first) {
                check_close(t, held, y, want, n, terms, name);
                first = y;
            } else {
                cr_assert(memcmp(first, y, (size_t)n * size_of(t)) == 0,
                          "%s: other bits than with 1 thread", name);
                free(y);
            }
            free(c.scratch);
        }
        free(first);
    }
}

static void check_kernel(call *f, const void *user, tp_dtype t, const void *start,
                         const double *want, int64_t n, int64_t terms, const char *what)
{
    check_held(f, user, t, t == TP_F64 ? TP_F64 : TP_F32, start, want, n, terms, what);
}

/* ---- the tile, against its oracle ---- */

static void check_tile(const br_tile *t, const br_out *o, int64_t rows, int64_t count)
{
    float *y = o->y, *want = numbers(TP_F32, count);
    br_out oracle = *o;

    for (int64_t i = 0; i < count; i++)
        y[i] = want[i];
    oracle.y = want, oracle.preact = o->preact ? want + count / 2 : NULL;
    br_run(t, o, rows);
    br_reference(t, &oracle, rows);
    for (int64_t i = 0; i < count; i++)
        cr_assert(fabsf(y[i] - want[i]) <= 1e-5f,
                  "tile of %lld rows, %lld columns, element %lld", (long long)rows,
                  (long long)o->cols, (long long)i);
    free(want);
}

Test(kernels_brgemm, every_tile)
{
    enum { PITCH = 40, COUNT = 2 * BR_MAX_ROWS * PITCH };
    int64_t row[BR_MAX_ROWS], to[BR_MAX_ROWS], at[3] = { 50, 0, 7 };
    float *a = numbers(TP_F32, 400), *b = numbers(TP_F32, 40 * BR_WIDTH), y[COUNT];
    float *bias = numbers(TP_F32, BR_WIDTH);

    for (int64_t r = 0; r < BR_MAX_ROWS; r++)
        row[r] = r * 13 % 17, to[r] = (BR_MAX_ROWS - 1 - r) * PITCH;
    for (int64_t cols = 1; cols <= BR_WIDTH; cols++)
        for (int64_t rows = 1; rows <= br_height(cols); rows++)
            for (int64_t k = 0; k <= 5; k++) {
                int64_t width = br_vecs(cols) * BR_LANES;
                br_tile t = { .a = a,
                              .b = b,
                              .row = row,
                              .at = at,
                              .a_step = 3 + k % 2,
                              .b_row = width,
                              .b_step = k * width,
                              .blocks = k % 4,
                              .k = k };
                br_out o = { .y = y,
                             .row = to,
                             .cols = cols,
                             .bias = k & 1 ? bias : NULL,
                             .add = k & 2,
                             .activation = k & 4 ? TP_TANH : TP_LINEAR };

                o.preact = k & 4 ? y + COUNT / 2 : NULL;
                check_tile(&t, &o, rows, COUNT);
            }
    free(a), free(b), free(bias);
}

/* ---- gemm ---- */

typedef struct gemm_case {
    tp_gemm_args g;
    const void *a, *b;
    int64_t y_count;
    bool with_preact;
} gemm_case;

/* y and, behind it, preact. */
static int call_gemm(tp_ctx *c, tp_dtype t, const void *user, void *y)
{
    const gemm_case *k = user;
    tp_gemm_args g = k->g;

    g.preact = k->with_preact ? (char *)y + (size_t)k->y_count * size_of(t) : NULL;
    return c->backend->gemm[t](c, &g, k->a, k->b, y);
}

static double activate(tp_activation a, double x)
{
    switch (a) {
    case TP_RELU:
        return x < 0 ? 0 : x;
    case TP_GELU:
        return 0.5 * x * erfc(-x * 0.70710678118654752);
    case TP_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
    case TP_TANH:
        return tanh(x);
    case TP_SIGMOID:
        return 1 / (1 + exp(-x));
    default:
        return x;
    }
}

static void gemm_reference(const gemm_case *k, tp_dtype t, double *y)
{
    const tp_gemm_args *g = &k->g;

    for (int64_t i = 0; i < g->batch; i++)
        for (int64_t r = 0; r < g->m; r++)
            for (int64_t s = 0; s < g->n; s++) {
                int64_t at = i * g->step_y + r * g->ldy + s;
                double sum = g->bias ? get(t, g->bias, s) : 0;

                for (int64_t j = 0; j < g->k; j++)
                    sum +=
                        get(t, k->a,
                            i * g->step_a + (g->ta ? j * g->lda + r : r * g->lda + j)) *
                        get(t, k->b,
                            i * g->step_b + (g->tb ? s * g->ldb + j : j * g->ldb + s));
                if (k->with_preact) y[k->y_count + at] = sum;
                y[at] = g->add ? y[at] + sum : activate(g->activation, sum);
            }
}

/* The product of sizes s = { batch, m, n, k }, each ld wider by `wider`. */
static void check_gemm(tp_dtype t, const int64_t *s, bool ta, bool tb, int64_t wider,
                       bool add, bool bias, tp_activation activation, bool preact)
{
    gemm_case k = { .g = { .batch = s[0],
                           .m = s[1],
                           .n = s[2],
                           .k = s[3],
                           .ta = ta,
                           .tb = tb,
                           .add = add,
                           .activation = activation } };
    tp_gemm_args *g = &k.g;
    int64_t rows_a = ta ? s[3] : s[1], rows_b = tb ? s[2] : s[3], count;
    void *start;
    double *want;
    char what[200];

    g->lda = (ta ? s[1] : s[3]) + wider, g->ldb = (tb ? s[3] : s[2]) + wider;
    g->ldy = s[2] + wider;
    g->step_a = rows_a * g->lda + wider, g->step_b = rows_b * g->ldb + wider;
    g->step_y = s[1] * g->ldy + wider;
    k.a = numbers(t, s[0] * g->step_a), k.b = numbers(t, s[0] * g->step_b);
    g->bias = bias ? numbers(t, s[2]) : NULL;
    k.y_count = s[0] * g->step_y, k.with_preact = preact;
    count = k.y_count * (preact ? 2 : 1);
    start = numbers(t, count), want = malloc((size_t)(count + 1) * sizeof *want);
    for (int64_t i = 0; i < count; i++)
        want[i] = get(t, start, i);
    gemm_reference(&k, t, want);
    snprintf(what, sizeof what,
             "gemm %lldx %lldx%lldx%lld %c%c wider %lld add %d bias %d act %d pre %d",
             (long long)s[0], (long long)s[1], (long long)s[2], (long long)s[3],
             ta ? 'T' : 'N', tb ? 'T' : 'N', (long long)wider, add, bias, (int)activation,
             preact);
    check_kernel(call_gemm, &k, t, start, want, count, s[3], what);
    free((void *)k.a), free((void *)k.b), free((void *)g->bias), free(start), free(want);
}

Test(kernels_gemm, shapes)
{
    static const int64_t sizes[][4] = {
        { 1, 1, 1, 1 },       { 1, 0, 3, 2 },     { 1, 3, 0, 2 },      { 1, 3, 2, 0 },
        { 0, 3, 2, 1 },       { 1, 1, 17, 33 },   { 1, 33, 1, 17 },    { 1, 6, 64, 16 },
        { 3, 7, 65, 31 },     { 2, 29, 80, 19 },  { 1, 64, 10, 96 },   { 1, 15, 49, 128 },
        { 5, 13, 12, 14 },    { 1, 5, 35, 2100 }, { 1, 100, 130, 70 }, { 1, 257, 31, 5 },
        { 1, 1500, 66, 140 },
    };

    for (int d = 0; d < LEN(dtypes); d++)
        for (int i = 0; i < LEN(sizes); i++)
            for (int form = 0; form < 8; form++)
                check_gemm(dtypes[d], sizes[i], form & 1, form & 2, form & 4 ? 3 : 0,
                           form & 4, false, TP_LINEAR, false);
}

Test(kernels_gemm, epilogues)
{
    static const int64_t sizes[][4] = {
        { 1, 20, 37, 33 }, { 2, 9, 64, 8 }, { 1, 4, 16, 1500 }, { 1, 3, 2, 0 }
    };

    for (int d = 0; d < LEN(dtypes); d++)
        for (int i = 0; i < LEN(sizes); i++)
            for (int a = TP_LINEAR; a <= TP_SIGMOID; a++) {
                check_gemm(dtypes[d], sizes[i], false, true, 0, false, true,
                           (tp_activation)a, true);
                check_gemm(dtypes[d], sizes[i], false, false, 1, false, a & 1,
                           (tp_activation)a, false);
            }
}

Test(kernels_gemm, nan_and_infinity_pass)
{
    float a[2] = { 0, 0 }, b[2] = { NAN, 1 }, y = 7;
    tp_gemm_args g = { .batch = 1,
                       .m = 1,
                       .n = 1,
                       .k = 2,
                       .lda = 2,
                       .ldb = 1,
                       .ldy = 1,
                       .activation = TP_RELU };

    for (int l = 0; l < LEN(levels); l++) {
        const tp_backend *backend = tp_cpu_backend_level(levels[l]);
        tp_ctx c;

        if (!backend) continue;
        c = context(backend, 1);
        cr_assert_eq(backend->gemm[TP_F32](&c, &g, a, b, &y), 0);
        cr_assert(isnan(y), "0 * NaN is NaN, and relu keeps it");
        b[0] = INFINITY, b[1] = 0, a[0] = 1;
        backend->gemm[TP_F32](&c, &g, a, b, &y);
        cr_assert(isinf(y));
        a[0] = 0, b[0] = NAN, b[1] = 1;
        free(c.scratch);
    }
}

/* ---- convolution ---- */

typedef struct conv_case {
    tp_window g;
    const void *x, *w, *dy, *bias;
    bool add;
} conv_case;

static int call_conv2d(tp_ctx *c, tp_dtype t, const void *user, void *y)
{
    const conv_case *k = user;

    return c->backend->conv2d[t](c, &k->g, k->x, k->w, k->bias, y);
}

static int call_conv2d_dx(tp_ctx *c, tp_dtype t, const void *user, void *dx)
{
    const conv_case *k = user;

    return c->backend->conv2d_dx[t](c, &k->g, k->dy, k->w, k->add, dx);
}

static int call_conv2d_dw(tp_ctx *c, tp_dtype t, const void *user, void *dw)
{
    const conv_case *k = user;

    return c->backend->conv2d_dw[t](c, &k->g, k->x, k->dy, k->add, dw);
}

/* Every product of x, w and y that a convolution is made of: y += x w, dx += dy w,
 * dw += x dy, whichever are not NULL. */
static void conv_reference(const conv_case *k, tp_dtype t, double *y, double *dx,
                           double *dw)
{
    const tp_window *g = &k->g;
    int64_t K = g->C / g->groups, M = g->O / g->groups;

    for (int64_t n = 0; n < g->N; n++)
        for (int64_t i = 0; i < g->OH * g->OW; i++)
            for (int64_t o = 0; o < g->O; o++)
                for (int64_t tap = 0; tap < g->KH * g->KW; tap++) {
                    int64_t r =
                        i / g->OW * g->stride_h - g->pad_h + tap / g->KW * g->dilation_h;
                    int64_t s =
                        i % g->OW * g->stride_w - g->pad_w + tap % g->KW * g->dilation_w;
                    int64_t at = (n * g->OH * g->OW + i) * g->O + o;

                    if (r < 0 || r >= g->H || s < 0 || s >= g->W) continue;
                    for (int64_t c = 0; c < K; c++) {
                        int64_t from = ((n * g->H + r) * g->W + s) * g->C + o / M * K + c;
                        int64_t by = (o * K + c) * g->KH * g->KW + tap;

                        if (y) y[at] += get(t, k->x, from) * get(t, k->w, by);
                        if (dx) dx[from] += get(t, k->dy, at) * get(t, k->w, by);
                        if (dw) dw[by] += get(t, k->dy, at) * get(t, k->x, from);
                    }
                }
}

static double *doubles(tp_dtype t, const void *p, int64_t n)
{
    double *d = malloc((size_t)(n + 1) * sizeof *d);

    for (int64_t i = 0; i < n; i++)
        d[i] = p ? get(t, p, i) : 0;
    return d;
}

static void check_conv(tp_dtype t, tp_window g, bool add)
{
    conv_case k = { .add = add };
    int64_t nx, nw, ny;
    void *x, *w, *dy, *bias;
    double *y_want, *dx_want, *dw_want;
    char what[300];

    g.OH = tp_window_out(g.H, g.KH, g.stride_h, g.pad_h, g.dilation_h);
    g.OW = tp_window_out(g.W, g.KW, g.stride_w, g.pad_w, g.dilation_w);
    nx = g.N * g.H * g.W * g.C, ny = g.N * g.OH * g.OW * g.O;
    nw = g.O * (g.C / g.groups) * g.KH * g.KW;
    k.g = g, k.x = x = numbers(t, nx), k.w = w = numbers(t, nw),
    k.dy = dy = numbers(t, ny);
    k.bias = bias = add ? numbers(t, g.O) : NULL;
    y_want = doubles(t, NULL, ny);
    for (int64_t i = 0; bias && i < ny; i++)
        y_want[i] = get(t, bias, i % g.O);
    dx_want = doubles(t, add ? x : NULL, nx), dw_want = doubles(t, add ? w : NULL, nw);
    conv_reference(&k, t, y_want, dx_want, dw_want);
    snprintf(what, sizeof what,
             "N%lld %lldx%lld C%lld O%lld k%lldx%lld s%lld,%lld p%lld,%lld d%lld,%lld "
             "g%lld add %d",
             (long long)g.N, (long long)g.H, (long long)g.W, (long long)g.C,
             (long long)g.O, (long long)g.KH, (long long)g.KW, (long long)g.stride_h,
             (long long)g.stride_w, (long long)g.pad_h, (long long)g.pad_w,
             (long long)g.dilation_h, (long long)g.dilation_w, (long long)g.groups, add);
    check_kernel(call_conv2d, &k, t, dy, y_want, ny, nw / (g.O ? g.O : 1), what);
    check_kernel(call_conv2d_dx, &k, t, x, dx_want, nx, nw / (g.C ? g.C : 1) * g.groups,
                 what);
    check_kernel(call_conv2d_dw, &k, t, w, dw_want, nw, g.N * g.OH * g.OW, what);
    free(x), free(w), free(dy), free(bias), free(y_want), free(dx_want), free(dw_want);
}

/* N, H, W, C, O, kernel, stride, padding, dilation, groups; the second axis differs in some. */
static tp_window window(const int64_t *s)
{
    return (tp_window){ .N = s[0],
                        .H = s[1],
                        .W = s[2],
                        .C = s[3],
                        .O = s[4],
                        .KH = s[5] / 10,
                        .KW = s[5] % 10,
                        .stride_h = s[6] / 10,
                        .stride_w = s[6] % 10,
                        .pad_h = s[7] / 10,
                        .pad_w = s[7] % 10,
                        .dilation_h = s[8] / 10,
                        .dilation_w = s[8] % 10,
                        .groups = s[9] };
}

Test(kernels_conv, shapes)
{
    static const int64_t sizes[][10] = {
        { 1, 1, 1, 1, 1, 11, 11, 0, 11, 1 },
        { 2, 5, 7, 3, 4, 33, 11, 11, 11, 1 },
        { 3, 9, 8, 1, 18, 33, 11, 11, 11, 1 },
        { 2, 14, 14, 32, 64, 33, 11, 11, 11, 1 },
        { 5, 4, 4, 33, 70, 33, 11, 11, 11, 1 },
        { 2, 8, 8, 16, 24, 44, 22, 11, 11, 1 },
        { 2, 7, 9, 5, 6, 33, 22, 11, 11, 1 },
        { 2, 6, 6, 8, 12, 11, 11, 0, 11, 1 },
        { 2, 6, 7, 8, 12, 11, 22, 0, 11, 1 },
        { 1, 11, 12, 4, 6, 33, 11, 22, 22, 1 },
        { 2, 10, 11, 6, 9, 32, 12, 10, 21, 3 },
        { 1, 12, 9, 4, 4, 23, 32, 12, 23, 2 },
        { 2, 9, 9, 19, 19, 33, 11, 11, 11, 19 },
        { 2, 8, 9, 40, 40, 33, 22, 11, 11, 40 },
        { 1, 7, 7, 6, 12, 33, 11, 11, 11, 6 },
        { 1, 6, 5, 4, 3, 11, 11, 11, 11, 1 },
        { 1, 3, 3, 2, 2, 55, 11, 22, 11, 1 },
        { 1, 5, 5, 2, 3, 33, 44, 0, 11, 1 },
        { 1, 30, 33, 3, 8, 77, 22, 33, 11, 1 },
        { 4, 2, 2, 130, 20, 33, 11, 11, 11, 1 },
        { 0, 5, 5, 2, 3, 33, 11, 11, 11, 1 },
        { 2, 2, 2, 3, 3, 33, 11, 0, 11, 1 },
        { 1, 4, 4, 2, 2, 22, 33, 11, 11, 1 },
        { 1, 40, 41, 2, 2, 33, 11, 11, 11, 1 },
        { 1, 5, 5, 1500, 5, 11, 11, 0, 11, 1 },
        { 1, 5, 5, 5, 500, 33, 11, 11, 11, 1 },
        { 2, 6, 7, 1, 40, 44, 22, 11, 11, 1 },
        { 2, 5, 6, 3, 19, 33, 11, 11, 21, 1 },
        { 2, 5, 6, 24, 1, 33, 11, 11, 12, 1 },
        { 1, 7, 6, 30, 2, 53, 21, 20, 11, 1 },
        { 1, 6, 7, 2, 17, 32, 32, 11, 11, 1 },
        { 2, 9, 9, 70, 70, 33, 22, 11, 11, 70 },
        { 9, 3, 3, 4, 4, 33, 11, 11, 11, 4 },
        { 1, 4, 5, 500, 17, 33, 11, 11, 11, 1 },
        { 1, 37, 36, 50, 17, 33, 22, 11, 12, 1 },
        { 2, 5, 5, 4, 4, 33, 11, 55, 11, 1 },
    };

    for (int d = 0; d < LEN(dtypes); d++)
        for (int i = 0; i < LEN(sizes); i++)
            check_conv(dtypes[d], window(sizes[i]), i & 1);
}

/* ---- LSTM ---- */

typedef struct lstm_case {
    int64_t steps, N, H;
    const void *w, *h0, *c0, *gates, *cells, *dy, *dh, *dc;
} lstm_case;

/* y holds gates, y and cells, one behind the other; or dgates, dh0 and dc0. */
static int call_lstm(tp_ctx *c, tp_dtype t, const void *user, void *y)
{
    const lstm_case *k = user;
    size_t size = (size_t)(k->steps * k->N * k->H) * size_of(t);
    char *p = y;
    tp_recurrent_args g = { .T = k->steps, .N = k->N, .H = k->H };

    return c->backend->recurrent[t](c, &g, k->w, NULL, k->h0, k->c0, p, p + 5 * size,
                                    p + 4 * size, NULL, NULL);
}

static int call_lstm_dx(tp_ctx *c, tp_dtype t, const void *user, void *y)
{
    const lstm_case *k = user;
    size_t size = (size_t)(k->N * k->H) * size_of(t), steps = (size_t)k->steps;
    char *p = y;
    tp_recurrent_args g = { .T = k->steps, .N = k->N, .H = k->H };

    return c->backend->recurrent_dx[t](c, &g, k->w, NULL, k->c0, k->gates, k->cells, NULL,
                                       k->dy, k->dh, k->dc, p, NULL, NULL,
                                       p + 4 * steps * size, p + (4 * steps + 1) * size);
}

/* One step of one row: gates, y and cells from what is before them. */
static void lstm_step(const lstm_case *k, tp_dtype t, int64_t n, const double *h,
                      const double *c, double *gates, double *y, double *cells)
{
    int64_t H = k->H;

    for (int64_t j = 0; j < 4 * H; j++) {
        for (int64_t i = 0; i < H; i++)
            gates[n * 4 * H + j] += h[n * H + i] * get(t, k->w, j * H + i);
        gates[n * 4 * H + j] =
            activate(j / H == 2 ? TP_TANH : TP_SIGMOID, gates[n * 4 * H + j]);
    }
    for (int64_t j = 0; j < H; j++) {
        const double *g = gates + n * 4 * H + j;

        cells[n * H + j] = g[H] * c[n * H + j] + g[0] * g[2 * H];
        y[n * H + j] = g[3 * H] * tanh(cells[n * H + j]);
    }
}

static void lstm_reference(const lstm_case *k, tp_dtype t, double *out)
{
    int64_t size = k->N * k->H, all = k->steps * size;
    double *y = out + 4 * all, *cells = y + all;
    double *h0 = doubles(t, k->h0, size), *c0 = doubles(t, k->c0, size);

    for (int64_t s = 0; s < k->steps; s++)
        for (int64_t n = 0; n < k->N; n++)
            lstm_step(k, t, n, s ? y + (s - 1) * size : h0,
                      s ? cells + (s - 1) * size : c0, out + 4 * s * size, y + s * size,
                      cells + s * size);
    free(h0), free(c0);
}

/* out holds dgates, dh0 and dc0; the last two are carried from step to step. */
static void lstm_dx_reference(const lstm_case *k, tp_dtype t, double *out)
{
    int64_t H = k->H, size = k->N * H;
    double *dh = out + 4 * k->steps * size, *dc = dh + size;

    for (int64_t i = 0; i < size; i++) {
        dh[i] = k->dh ? get(t, k->dh, i) : 0;
        dc[i] = k->dc ? get(t, k->dc, i) : 0;
    }
    for (int64_t s = k->steps - 1; s >= 0; s--) {
        double *d = out + 4 * s * size;

        for (int64_t e = 0; e < size; e++) {
            int64_t at = e / H * 4 * H + e % H, g = 4 * s * size + at;
            double i = get(t, k->gates, g), f = get(t, k->gates, g + H);
            double u = get(t, k->gates, g + 2 * H), o = get(t, k->gates, g + 3 * H);
            double c = tanh(get(t, k->cells, s * size + e));
            double before = s ? get(t, k->cells, (s - 1) * size + e) : get(t, k->c0, e);

            if (k->dy) dh[e] += get(t, k->dy, s * size + e);
            dc[e] += dh[e] * o * (1 - c * c);
            d[at] = dc[e] * u * i * (1 - i), d[at + H] = dc[e] * before * f * (1 - f);
            d[at + 2 * H] = dc[e] * i * (1 - u * u),
                       d[at + 3 * H] = dh[e] * c * o * (1 - o);
            dc[e] *= f, dh[e] = 0;
        }
        for (int64_t e = 0; e < size; e++)
            for (int64_t j = 0; j < 4 * H; j++)
                dh[e] += d[e / H * 4 * H + j] * get(t, k->w, j * H + e % H);
    }
}

static void check_lstm(tp_dtype t, int64_t steps, int64_t N, int64_t H, bool given)
{
    lstm_case k = { .steps = steps, .N = N, .H = H };
    int64_t size = N * H, all = steps * size, count = 6 * all,
            dx_count = 4 * all + 2 * size;
    void *w = numbers(t, 4 * H * H), *h0 = numbers(t, size), *c0 = numbers(t, size);
    void *start = numbers(t, count), *gates = numbers(t, 4 * all),
         *cells = numbers(t, all);
    void *dy = numbers(t, all), *dh = numbers(t, size), *dc = numbers(t, size);
    void *dx_start = numbers(t, dx_count);
    double *want = doubles(t, start, count), *dx_want = doubles(t, NULL, dx_count);
    char what[100];

    k.w = w, k.h0 = h0, k.c0 = c0, k.gates = gates, k.cells = cells;
    k.dy = given ? dy : NULL, k.dh = given ? dh : NULL, k.dc = given ? NULL : dc;
    lstm_reference(&k, t, want), lstm_dx_reference(&k, t, dx_want);
    snprintf(what, sizeof what, "lstm T%lld N%lld H%lld", (long long)steps, (long long)N,
             (long long)H);
    check_held(call_lstm, &k, t, t, start, want, count, H * (steps + 1), what);
    check_held(call_lstm_dx, &k, t, t, dx_start, dx_want, dx_count, 4 * H * (steps + 1),
               what);
    free(w), free(h0), free(c0), free(start), free(gates), free(cells), free(dy),
        free(dh);
    free(dc), free(dx_start), free(want), free(dx_want);
}

Test(kernels_lstm, shapes)
{
    static const int64_t sizes[][3] = { { 1, 1, 1 },  { 3, 2, 5 },   { 0, 2, 3 },
                                        { 2, 0, 3 },  { 4, 13, 17 }, { 2, 7, 64 },
                                        { 3, 33, 40 } };

    for (int d = 0; d < LEN(dtypes); d++)
        for (int i = 0; i < LEN(sizes); i++)
            for (int given = 0; given < 2; given++)
                check_lstm(dtypes[d], sizes[i][0], sizes[i][1], sizes[i][2], given);
}
