/*
 * test_slots_maps.c - CUDA's norms, pooling and resizing against the CPU's.
 */
#include "tests/cudasim/slots.h"

TestSuite(slots, .init = open_machines, .fini = close_machines);

static buffer maybe(tp_dtype t, int64_t n, bool drawn)
{
    return drawn ? numbers(t, n, -1, 1) : blank(t, n);
}

/* ---- norms ---- */

static void try_batch_norm(tp_dtype t, int64_t rows, int64_t cols, bool affine, bool add)
{
    tp_dtype A = sum_of(t);
    buffer x = numbers(t, rows * cols, 4, 9), w = numbers(A, cols, -1, 1), b = numbers(A, cols, -1, 1);
    buffer mean = blank(A, cols), rstd = blank(A, cols), y = blank(t, rows * cols), dy = numbers(t, rows * cols, -1, 1);
    buffer rm = numbers(A, cols, 0, 1), rv = numbers(A, cols, 0, 1), dx = maybe(t, rows * cols, add);
    buffer dw = blank(A, cols), db = blank(A, cols);

    CASE("batch norm (%d, %d), %s, affine %d", (int)rows, (int)cols, dtype_names[t], affine);
    RUN(batch_norm, t, rows, cols, AT(x), affine ? AT(w) : NULL, affine ? AT(b) : NULL, 1e-5, 0.1, affine ? AT(rm) : NULL,
        affine ? AT(rv) : NULL, AT(mean), AT(rstd), AT(y));
    check_close(&mean, 16), check_close(&rstd, 256), check_close(&y, 256), check_close(&rm, 16), check_close(&rv, 256);
    RUN(batch_norm_dx, t, rows, cols, AT(dy), AT(x), AT(mean), AT(rstd), affine ? AT(w) : NULL, add, AT(dx),
        affine ? AT(dw) : NULL, affine ? AT(db) : NULL);
    check_close(&dx, 256);
    if (affine) check_close(&dw, 256), check_close(&db, 64);
    release_all();
}

Test(slots, batch_norm)
{
    static const int64_t sizes[][2] = { { 3, 3 }, { 300, 5 }, { 70, 40 }, { 2000, 2 } };

    for (int i = 0; i < LEN(sizes) * LEN(floats) * 2; i++)
        try_batch_norm(floats[i / 2 % LEN(floats)], sizes[i / 2 / LEN(floats)][0], sizes[i / 2 / LEN(floats)][1], i % 2, i / 2 % 2);
}

/* CUDA counts a group's numbers in 32 bits: more are refused before anything is touched. */
Test(slots, groups_of_too_many)
{
    tp_ctx *c = &ctx[CUDA];
    const int64_t rows = (int64_t)1 << 31, cols = 2;

    cr_expect(c->backend->group_norm[TP_F32](c, 1, rows, cols, 1, NULL, NULL, NULL, 1e-5, NULL, NULL, NULL) == TP_KERNEL_FAILED);
    cr_expect(strstr(c->error, "group_norm: groups of 2^32 numbers or more"), "%s", c->error);
    cr_expect(c->backend->group_norm_dx[TP_F32](c, 1, rows, cols, 1, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL) == TP_KERNEL_FAILED);
    cr_expect(strstr(c->error, "group_norm_dx: groups of 2^32 numbers or more"), "%s", c->error);
}

static void try_group_norm(tp_dtype t, const int64_t *s, bool affine, bool add)
{
    int64_t N = s[0], rows = s[1], cols = s[2], groups = s[3], n = N * rows * cols;
    tp_dtype A = sum_of(t);
    buffer x = numbers(t, n, -1, 3), w = numbers(A, cols, -1, 1), b = numbers(A, cols, -1, 1);
    buffer mean = blank(A, N * groups), rstd = blank(A, N * groups), y = blank(t, n), dy = numbers(t, n, -1, 1);
    buffer dx = maybe(t, n, add), dw = blank(A, cols), db = blank(A, cols);

    CASE("group norm (%d, %d, %d) in %d, %s", (int)N, (int)rows, (int)cols, (int)groups, dtype_names[t]);
    RUN(group_norm, t, N, rows, cols, groups, AT(x), affine ? AT(w) : NULL, affine ? AT(b) : NULL, 1e-5, AT(mean), AT(rstd), AT(y));
    check_close(&mean, 16), check_close(&rstd, 64), check_close(&y, 64);
    RUN(group_norm_dx, t, N, rows, cols, groups, AT(dy), AT(x), AT(mean), AT(rstd), affine ? AT(w) : NULL, add, AT(dx),
        affine ? AT(dw) : NULL, affine ? AT(db) : NULL);
    check_close(&dx, 64);
    if (affine) check_close(&dw, 64), check_close(&db, 64);
    release_all();
}

/* Any of the three gradients may be NULL: what isn't asked for. */
Test(slots, norms_some_of_whose_gradients_are_wanted)
{
    const int64_t rows = 12, cols = 8, n = rows * cols;

    for (int wanted = 0; wanted < 8; wanted++) {
        buffer dy = numbers(TP_F32, n, -1, 1), x = numbers(TP_F32, n, -1, 3), w = numbers(TP_F32, cols, -1, 1);
        buffer mean = numbers(TP_F32, 16, 0, 1), rstd = numbers(TP_F32, 16, 0.5, 1), dx = numbers(TP_F32, n, 0, 1);
        buffer dw = numbers(TP_F32, cols, 0, 1), db = numbers(TP_F32, cols, 0, 1);
        buffer *all[] = { &dx, &dw, &db };

#define WANTED(i) (wanted >> i & 1 ? AT(*all[i]) : NULL)
        CASE("gradients of norms, %d%d%d", wanted & 1, wanted >> 1 & 1, wanted >> 2);
        RUN(batch_norm_dx, TP_F32, rows, cols, AT(dy), AT(x), AT(mean), AT(rstd), AT(w), true, WANTED(0), WANTED(1), WANTED(2));
        RUN(layer_norm_dx, TP_F32, rows, cols, AT(dy), AT(x), AT(mean), AT(rstd), AT(w), true, WANTED(0), WANTED(1), WANTED(2));
        RUN(group_norm_dx, TP_F32, 2, rows / 2, cols, 4, AT(dy), AT(x), AT(mean), AT(rstd), AT(w), true, WANTED(0), WANTED(1),
            WANTED(2));
        RUN(rms_norm_dx, TP_F32, rows, cols, AT(dy), AT(x), AT(rstd), AT(w), true, WANTED(0), WANTED(1));
#undef WANTED
        check_close(&dx, 256), check_close(&dw, 256), check_close(&db, 256);
        release_all();
    }
}

Test(slots, group_norm)
{
    static const int64_t sizes[][4] = { { 2, 9, 6, 3 }, { 1, 1, 8, 2 }, { 3, 50, 40, 4 }, { 2, 300, 8, 8 }, { 2, 400, 6, 1 },
        { 2, 70, 48, 4 }, { 1, 300, 32, 2 }, { 1, 3000, 4, 2 } }; /* the last two: beyond the registers */

    for (int i = 0; i < LEN(sizes) * LEN(floats) * 2; i++)
        try_group_norm(floats[i / 2 % LEN(floats)], sizes[i / 2 / LEN(floats)], i % 2, i / 2 % 2);
}

Test(slots, rms_norm)
{
    static const int64_t sizes[][2] = { { 3, 5 }, { 1, 33 }, { 200, 8 }, { 4, 300 }, { 2, 1500 } };

    for (int i = 0; i < LEN(sizes) * LEN(floats) * 2; i++) {
        int64_t rows = sizes[i / 2 / LEN(floats)][0], cols = sizes[i / 2 / LEN(floats)][1];
        tp_dtype t = floats[i / 2 % LEN(floats)], A = sum_of(t);
        bool affine = i % 2, add = i / 2 % 2;
        buffer x = numbers(t, rows * cols, -1, 3), w = numbers(A, cols, -1, 1), rstd = blank(A, rows), y = blank(t, rows * cols);
        buffer dy = numbers(t, rows * cols, -1, 1), dx = maybe(t, rows * cols, add), dw = blank(A, cols);

        CASE("rms norm (%d, %d), %s, affine %d", (int)rows, (int)cols, dtype_names[t], affine);
        RUN(rms_norm, t, rows, cols, AT(x), affine ? AT(w) : NULL, 1e-5, AT(rstd), AT(y));
        check_close(&rstd, 16), check_close(&y, 16);
        RUN(rms_norm_dx, t, rows, cols, AT(dy), AT(x), AT(rstd), affine ? AT(w) : NULL, add, AT(dx), affine ? AT(dw) : NULL);
        check_close(&dx, 64);
        if (affine) check_close(&dw, 64);
        release_all();
    }
}

/* ---- pooling ---- */

static tp_window window(int64_t n, int64_t h, int64_t w, int64_t c, int64_t k, int64_t stride, int64_t pad, int64_t dilation)
{
    tp_window g = { .N = n, .H = h, .W = w, .C = c, .O = c, .KH = k, .KW = k + (stride > 2), .stride_h = stride, .stride_w = stride,
                    .pad_h = pad, .pad_w = pad, .dilation_h = dilation, .dilation_w = dilation, .groups = 1 };

    g.OH = tp_window_out(h, g.KH, stride, pad, dilation), g.OW = tp_window_out(w, g.KW, stride, pad, dilation);
    return g;
}

/* Of the last three some windows lie in padding alone. */
Test(slots, max_pool)
{
    const tp_window windows[] = { window(2, 6, 6, 3, 2, 2, 0, 1), window(1, 7, 5, 4, 3, 1, 1, 1), window(1, 9, 9, 2, 3, 2, 1, 2),
                                  window(2, 8, 9, 5, 3, 3, 0, 1), window(1, 1, 1, 1, 1, 1, 0, 1),
                                  window(1, 3, 1, 2, 2, 1, 1, 2), window(2, 1, 3, 1, 2, 1, 1, 2), window(1, 1, 1, 3, 2, 1, 1, 2) };

    for (int i = 0; i < LEN(windows) * LEN(floats) * 2; i++) {
        tp_window g = windows[i / 2 / LEN(floats)];
        tp_dtype t = floats[i / 2 % LEN(floats)];
        int64_t in = g.N * g.H * g.W * g.C, out = g.N * g.OH * g.OW * g.C;
        buffer x = numbers(t, in, -3, 3), y = blank(t, out), place = blank(TP_I32, out), dy = numbers(t, out, -1, 1);
        buffer dx = maybe(t, in, i % 2), ddy = blank(t, out);

        CASE("max pool %d, %s", i / 2 / LEN(floats), dtype_names[t]);
        RUN(max_pool2d, t, &g, AT(x), AT(y), AT(place));
        check_same(&y), check_same(&place);
        RUN(max_pool2d_dx, t, &g, AT(dy), AT(place), i % 2, AT(dx));
        check_close(&dx, 4);
        RUN(max_pool2d_ddy, t, &g, AT(x), AT(place), AT(ddy));
        check_same(&ddy);
        release_all();
    }
}

Test(slots, max_pool_of_nan)
{
    static const double v[] = { 1, NAN, 3, 4, -INFINITY, -INFINITY, -INFINITY, -INFINITY, 5, 5, 2, 5, 0, 1, NAN, NAN };
    tp_window g = window(4, 2, 2, 1, 2, 2, 0, 1);

    for (int i = 0; i < LEN(floats); i++) {
        buffer x = values(floats[i], 16, v), y = blank(floats[i], 4), place = blank(TP_I32, 4);

        CASE("max pool of NaN, %s", dtype_names[floats[i]]);
        RUN(max_pool2d, floats[i], &g, AT(x), AT(y), AT(place));
        check_same(&y), check_same(&place);
        release_all();
    }
}

/* ---- convolution ---- */

typedef struct layer {
    int64_t n, h, w, c, o, kh, kw, stride, pad, dilation, groups;
} layer;

static const layer layers[] = { { 2, 6, 5, 3, 4, 3, 3, 1, 1, 1, 1 },  { 1, 7, 7, 4, 6, 3, 2, 2, 1, 1, 2 }, { 2, 5, 5, 6, 6, 3, 3, 1, 1, 1, 6 },
                                { 1, 9, 8, 2, 40, 2, 2, 1, 0, 3, 1 }, { 2, 4, 4, 5, 3, 1, 1, 1, 0, 1, 1 }, { 3, 20, 20, 1, 2, 4, 4, 2, 1, 1, 1 } };

Test(slots, convolution)
{
    for (int i = 0; i < LEN(layers) * LEN(floats) * 2; i++) {
        layer k = layers[i / 2 / LEN(floats)];
        tp_dtype t = floats[i / 2 % LEN(floats)];
        tp_window g = { k.n, k.h, k.w, k.c, k.o, tp_window_out(k.h, k.kh, k.stride, k.pad, k.dilation),
                        tp_window_out(k.w, k.kw, k.stride, k.pad, k.dilation), k.kh, k.kw, k.stride, k.stride, k.pad, k.pad,
                        k.dilation, k.dilation, k.groups };
        int64_t in = k.n * k.h * k.w * k.c, out = k.n * g.OH * g.OW * k.o, weights = k.o * (k.c / k.groups) * k.kh * k.kw;
        bool add = i % 2;
        buffer x = numbers(t, in, -1, 1), w = numbers(t, weights, -1, 1), b = numbers(t, k.o, -1, 1), y = blank(t, out);
        buffer dy = numbers(t, out, -1, 1), dx = maybe(t, in, add), dw = maybe(t, weights, add);

        CASE("convolution %d, %s, add %d", i / 2 / LEN(floats), dtype_names[t], add);
        RUN(conv2d, t, &g, AT(x), AT(w), add ? AT(b) : NULL, AT(y));
        check_close(&y, 16);
        RUN(conv2d_dx, t, &g, AT(dy), AT(w), add, AT(dx));
        check_close(&dx, 16);
        RUN(conv2d_dw, t, &g, AT(x), AT(dy), add, AT(dw));
        check_close(&dw, 64);
        release_all();
    }
}

/* ---- averages and resizing ---- */

static tp_resample_axis windows_of(int64_t n, int64_t k, int64_t stride, int64_t pad, bool skip, int64_t divisor)
{
    return (tp_resample_axis){ .n = n, .out = tp_window_out(n, k, stride, pad, 1), .rule = TP_BY_WINDOW, .kernel = k,
                               .stride = stride, .pad = pad, .skip_pad = skip, .divisor = divisor };
}

static tp_resample_axis resized(int64_t n, int64_t out, tp_resample_rule rule)
{
    double scale = rule == TP_BY_CORNERS ? (out > 1 ? (double)(n - 1) / (double)(out - 1) : 0) : (double)n / (double)out;

    return (tp_resample_axis){ .n = n, .out = out, .rule = rule, .scale = scale };
}

Test(slots, resample)
{
    const tp_resample_axis axes[][2] = {
        { windows_of(6, 2, 2, 0, false, 0), windows_of(7, 3, 1, 1, false, 0) },
        { windows_of(5, 3, 2, 1, true, 0), windows_of(5, 3, 2, 1, true, 0) },
        { windows_of(5, 3, 2, 1, false, 3), windows_of(4, 2, 1, 0, false, 2) },
        { resized(7, 3, TP_BY_PART), resized(5, 5, TP_BY_PART) },
        { resized(3, 7, TP_BY_PART), resized(4, 1, TP_BY_PART) },
        { resized(4, 8, TP_BY_NEAREST), resized(5, 3, TP_BY_NEAREST) },
        { resized(4, 9, TP_BY_LINE), resized(6, 3, TP_BY_LINE) },
        { resized(4, 9, TP_BY_CORNERS), resized(5, 1, TP_BY_CORNERS) },
    };

    for (int i = 0; i < LEN(axes) * LEN(floats) * 2; i++) {
        tp_resample g = { .N = 2, .C = 3, .h = axes[i / 2 / LEN(floats)][0], .w = axes[i / 2 / LEN(floats)][1] };
        tp_dtype t = floats[i / 2 % LEN(floats)];
        int64_t in = g.N * g.h.n * g.w.n * g.C, out = g.N * g.h.out * g.w.out * g.C;
        buffer x = numbers(t, in, -3, 3), y = maybe(t, out, i % 2), dy = numbers(t, out, -1, 1), dx = maybe(t, in, i % 2);

        CASE("resample %d, %s, add %d", i / 2 / LEN(floats), dtype_names[t], i % 2);
        RUN(resample2d, t, &g, AT(x), i % 2, AT(y));
        check_close(&y, 8);
        RUN(resample2d_dx, t, &g, AT(dy), i % 2, AT(dx));
        check_close(&dx, 8);
        release_all();
    }
}

Test(slots, part_max)
{
    const tp_resample_axis axes[][2] = { { resized(7, 3, TP_BY_PART), resized(5, 5, TP_BY_PART) },
                                         { resized(3, 7, TP_BY_PART), resized(4, 1, TP_BY_PART) } };

    for (int i = 0; i < LEN(axes) * LEN(floats) * 2; i++) {
        tp_resample g = { .N = 2, .C = 3, .h = axes[i / 2 / LEN(floats)][0], .w = axes[i / 2 / LEN(floats)][1] };
        tp_dtype t = floats[i / 2 % LEN(floats)];
        int64_t in = g.N * g.h.n * g.w.n * g.C, out = g.N * g.h.out * g.w.out * g.C;
        buffer x = numbers(t, in, -3, 3), y = blank(t, out), place = blank(TP_I32, out), dy = numbers(t, out, -1, 1);
        buffer dx = maybe(t, in, i % 2), ddy = blank(t, out);

        CASE("part max %d, %s", i / 2 / LEN(floats), dtype_names[t]);
        RUN(part_max2d, t, &g, AT(x), AT(y), AT(place));
        check_same(&y), check_same(&place);
        RUN(part_max2d_dx, t, &g, AT(dy), AT(place), i % 2, AT(dx));
        check_close(&dx, 8);
        RUN(part_max2d_ddy, t, &g, AT(x), AT(place), AT(ddy));
        check_same(&ddy);
        release_all();
    }
}
