/*
 * test_resample.c - pooling by mean, by parts and along one axis, resizing, and pixels for channels.
 */
#include "tests/golden.h"
#include "tests/gradients.h"

static const tp_pool2d_opts plain;

/* ---- finite differences ---- */

F(f_avg, tp_square(tp_avg_pool2d(tp_exp(a), 2, plain)))
F(f_avg_pad, tp_square(tp_avg_pool2d(a, 3, (tp_pool2d_opts){ .stride = 2, .padding = 1, .exclude_pad = true, .ceil_mode = true })))
F(f_avg_line, tp_square(tp_avg_pool1d(a, 2, (tp_pool2d_opts){ .stride = 1 })))
F(f_max_ceil, tp_square(tp_max_pool2d(a, 2, (tp_pool2d_opts){ .ceil_mode = true })))
F(f_max_line, tp_square(tp_max_pool1d(a, 2, (tp_pool2d_opts){ .stride = 1 })))
F(f_parts, tp_square(tp_adaptive_avg_pool2d(a, 2, 3)))
F(f_largest, tp_square(tp_adaptive_max_pool2d(a, 2, 3)))
F(f_global, tp_square(tp_global_max_pool2d(a)))
F(f_nearest, tp_square(tp_interpolate(a, (tp_interpolate_opts){ .scale = 1.5 })))
F(f_line, tp_square(tp_interpolate(a, (tp_interpolate_opts){ .mode = TP_BILINEAR, .h = 4, .w = 2 })))
F(f_corners, tp_square(tp_interpolate(a, (tp_interpolate_opts){ .mode = TP_BILINEAR, .scale = 2, .align_corners = true })))
F(f_shuffle, tp_square(tp_pixel_shuffle(tp_exp(a), 2)))
F(f_unshuffle, tp_square(tp_pixel_unshuffle(tp_exp(a), 2)))

static const row rows[] = {
    { "avg_pool2d", f_avg, 1, { R4(1, 2, 4, 4) }, -1, NULL, 0 },
    { "avg_pool2d padded", f_avg_pad, 1, { R4(1, 2, 4, 3) }, -1, NULL, 0 },
    { "avg_pool1d", f_avg_line, 1, { R3(2, 2, 4) }, -1, NULL, 0 },
    { "max_pool2d ceil", f_max_ceil, 1, { R4(1, 2, 3, 3) }, -1, NULL, 0 },
    { "max_pool1d", f_max_line, 1, { R3(2, 2, 4) }, -1, NULL, 0 },
    { "adaptive_avg_pool2d", f_parts, 1, { R4(1, 2, 3, 4) }, -1, NULL, 0 },
    { "adaptive_max_pool2d", f_largest, 1, { R4(1, 2, 3, 4) }, -1, NULL, 0 },
    { "global_max_pool2d", f_global, 1, { R4(2, 2, 2, 3) }, -1, NULL, 0 },
    { "interpolate nearest", f_nearest, 1, { R4(1, 2, 3, 2) }, -1, NULL, 0 },
    { "interpolate bilinear", f_line, 1, { R4(1, 2, 3, 3) }, -1, NULL, 0 },
    { "interpolate corners", f_corners, 1, { R4(1, 1, 3, 2) }, -1, NULL, 0 },
    { "pixel_shuffle", f_shuffle, 1, { R4(1, 4, 2, 1) }, -1, NULL, 0 },
    { "pixel_unshuffle", f_unshuffle, 1, { R4(1, 1, 2, 4) }, -1, NULL, 0 },
};

GRADIENTS(resample, rows)

/* ---- PyTorch ---- */

static tp_pool2d_opts opts_of(const kase *k)
{
    const int64_t *o = k->opts;

    return (tp_pool2d_opts){ .rectangular = true, .kernel_w = (int)o[1], .stride = (int)o[2], .stride_w = (int)o[3],
                             .padding = (int)o[4], .padding_w = (int)o[5], .ceil_mode = o[6] != 0,
                             .exclude_pad = o[7] >= 16, .divisor = (int)o[7] % 16 };
}

static tp_pool2d_opts line_of(const kase *k)
{
    return (tp_pool2d_opts){ .stride = (int)k->opts[1], .padding = (int)k->opts[2], .ceil_mode = k->opts[3] != 0 };
}

#define RUN(op, call) static bool run_##op(kase *k) { tp_tensor *x = k->in[0]; return ONE(k, call); }
RUN(avg_pool2d, tp_avg_pool2d(x, (int)k->opts[0], opts_of(k)))
RUN(max_pool2d_ceil, tp_max_pool2d(x, (int)k->opts[0], opts_of(k)))
RUN(avg_pool1d, tp_avg_pool1d(x, (int)k->opts[0], line_of(k)))
RUN(max_pool1d, tp_max_pool1d(x, (int)k->opts[0], line_of(k)))
RUN(adaptive_avg_pool2d, tp_adaptive_avg_pool2d(x, k->opts[0], k->opts[1]))
RUN(adaptive_max_pool2d, tp_adaptive_max_pool2d(x, k->opts[0], k->opts[1]))
RUN(pixel_shuffle, tp_pixel_shuffle(x, k->opts[0]))
RUN(pixel_unshuffle, tp_pixel_unshuffle(x, k->opts[0]))
RUN(interpolate, tp_interpolate(x, (tp_interpolate_opts){ .mode = (tp_interpolation)k->opts[0], .h = k->opts[1], .w = k->opts[2],
                                                          .align_corners = k->opts[3] != 0, .scale = k->fopts[0],
                                                          .scale_w = k->fopts[1] }))

GOLDEN(pool2d, R(avg_pool2d), R(max_pool2d_ceil), R(avg_pool1d), R(max_pool1d), R(adaptive_avg_pool2d), R(adaptive_max_pool2d))
GOLDEN(resize, R(interpolate), R(pixel_shuffle), R(pixel_unshuffle))

/* ---- ties, NaN, nothing, and more channels than are worked on at a time ---- */

ON_EACH_DEVICE(resample, extremes)
{
    tp_tensor *x, *y;
    float ties[] = { 1, 3, 3, NAN, 2, NAN };

    TP_SCOPE;
    x = tp_requires_grad(tp_from(ties, TP_SHAPE(1, 1, 1, 6), TP_F32, dev), true);
    y = tp_adaptive_max_pool2d(x, 1, 2);
    CHECK(check_at(y, 0) == 3 && isnan(check_at(y, 1)));
    CHECK(tp_backward(tp_sum(y, TP_ALL)));
    for (int i = 0; i < 6; i++) /* the first of equals, the first NaN */
        CHECK_NEAR(check_at(tp_grad(x), i), i == 1 || i == 3, 0);
    y = tp_adaptive_max_pool2d(tp_full(TP_SHAPE(1, 2, 2, 2), -INFINITY, TP_F32, dev), 1, 1);
    CHECK(check_at(y, 0) == -INFINITY && check_at(y, 1) == -INFINITY);
    CHECK(tp_count(tp_avg_pool2d(tp_zeros(TP_SHAPE(0, 3, 4, 4), TP_F32, dev), 2, plain)) == 0);
    CHECK(tp_count(tp_interpolate(tp_zeros(TP_SHAPE(2, 0, 4, 4), TP_F32, dev), (tp_interpolate_opts){ .scale = 2 })) == 0);
    x = check_leaf(TP_SHAPE(1, 300, 3, 3), -1, 1, dev), y = tp_avg_pool2d(x, 3, plain);
    CHECK_NEAR(tp_item(tp_sum(tp_square(tp_sub(y, tp_mean(x, TP_KEEPDIM(2, 3)))), TP_ALL)), 0, 1e-28);
    y = tp_global_max_pool2d(x);
    CHECK(tp_backward(tp_sum(y, TP_ALL)) && tp_item(tp_sum(tp_grad(x), TP_ALL)) == 300);
    y = tp_pixel_shuffle(tp_cast(tp_ones(TP_SHAPE(1, 4, 1, 1), TP_F32, dev), TP_I64), 2);
    CHECK(tp_dtype_of(y) == TP_I64 && tp_dim(y, 2) == 2);
    y = tp_pixel_shuffle(tp_channels_last(tp_ones(TP_SHAPE(2, 8, 3, 3), TP_F32, dev)), 2);
    CHECK(tp__dense(y, TP_CHANNELS_LAST) && !tp_is_contiguous(y));
}

/* ---- the same bits for any number of threads ---- */

ON_EACH_DEVICE(resample, threads)
{
    enum { N = 2 * 5 * 31 * 23 };
    float *want = malloc(sizeof(float) * N), *got = malloc(sizeof(float) * N);
    int before = tp_threads();

    for (int threads = 1; threads <= 3; threads++) {
        tp_tensor *x, *y;

        TP_SCOPE;
        CASE("%d threads on %s", threads, tp_device_name(dev));
        tp_set_threads(threads), tp_seed(3);
        x = tp_requires_grad(tp_detach(tp_randn(TP_SHAPE(2, 5, 31, 23), dev)), true);
        y = tp_interpolate(x, (tp_interpolate_opts){ .mode = TP_BILINEAR, .h = 40, .w = 17 });
        y = tp_add(tp_adaptive_max_pool2d(y, 7, 9), tp_adaptive_avg_pool2d(tp_avg_pool2d(x, 3, plain), 7, 9));
        CHECK(tp_backward(tp_sum(tp_square(y), TP_ALL)));
        CHECK(tp_read(tp_grad(x), threads == 1 ? want : got, sizeof(float) * N));
        if (threads > 1) CHECK(!memcmp(want, got, sizeof(float) * N));
    }
    tp_set_threads(before);
    free(want), free(got);
}

/* ---- refusals ---- */

ON_EACH_DEVICE(resample, refusals)
{
    tp_tensor *x, *line, *none;

    TP_SCOPE;
    x = tp_ones(TP_SHAPE(1, 3, 4, 4), TP_F32, dev), line = tp_ones(TP_SHAPE(1, 3, 4), TP_F32, dev);
    none = tp_ones(TP_SHAPE(1, 3, 0, 4), TP_F32, dev);
    CASE("resample on %s", tp_device_name(dev));
    CHECK_REFUSED(tp_avg_pool2d(NULL, 2, plain), TP_ERR_ARG, "avg_pool2d: missing input");
    CHECK_REFUSED(tp_avg_pool2d(line, 2, plain), TP_ERR_SHAPE, "avg_pool2d: x must be (N, C, H, W), not f32 (1, 3, 4)");
    CHECK_REFUSED(tp_avg_pool2d(x, 2, (tp_pool2d_opts){ .padding = 2 }), TP_ERR_ARG, "padding is at most half the kernel");
    CHECK_REFUSED(tp_avg_pool2d(x, 2, (tp_pool2d_opts){ .dilation = 2 }), TP_ERR_ARG, "a dilation isn't offered");
    CHECK_REFUSED(tp_avg_pool2d(x, 2, (tp_pool2d_opts){ .divisor = -1 }), TP_ERR_ARG, "the divisor is -1");
    CHECK_REFUSED(tp_avg_pool2d(x, 5, plain), TP_ERR_SHAPE, "a kernel of 5 by 5 doesn't fit");
    CHECK_REFUSED(tp_avg_pool2d(tp_cast(x, TP_I32), 2, plain), TP_ERR_DTYPE, "i32");
    CHECK_REFUSED(tp_max_pool1d(x, 2, plain), TP_ERR_SHAPE, "max_pool1d: x must be (N, C, L)");
    CHECK_REFUSED(tp_max_pool1d(NULL, 2, plain), TP_ERR_ARG, "max_pool1d: missing input");
    CHECK_REFUSED(tp_max_pool1d(line, 0, plain), TP_ERR_ARG, "kernel 0");
    CHECK_REFUSED(tp_avg_pool1d(NULL, 2, plain), TP_ERR_ARG, "avg_pool1d: missing input");
    CHECK_REFUSED(tp_avg_pool1d(line, 2, (tp_pool2d_opts){ .rectangular = true }), TP_ERR_ARG, "one axis has no other of its own");
    CHECK_REFUSED(tp_adaptive_avg_pool2d(NULL, 1, 1), TP_ERR_ARG, "adaptive_avg_pool2d: missing input");
    CHECK_REFUSED(tp_adaptive_avg_pool2d(x, 0, 1), TP_ERR_ARG, "0 by 1 parts of f32 (1, 3, 4, 4)");
    CHECK_REFUSED(tp_adaptive_avg_pool2d(none, 1, 1), TP_ERR_SHAPE, "f32 (1, 3, 0, 4) has no places");
    CHECK_REFUSED(tp_adaptive_max_pool2d(line, 1, 1), TP_ERR_SHAPE, "adaptive_max_pool2d: x must be (N, C, H, W)");
    CHECK_REFUSED(tp_adaptive_max_pool2d(NULL, 1, 1), TP_ERR_ARG, "adaptive_max_pool2d: missing input");
    CHECK_REFUSED(tp_global_max_pool2d(NULL), TP_ERR_ARG, "global_max_pool2d: missing input");
    CHECK_REFUSED(tp_global_max_pool2d(none), TP_ERR_SHAPE, "has no places");
    CHECK_REFUSED(tp_interpolate(NULL, (tp_interpolate_opts){ .scale = 2 }), TP_ERR_ARG, "interpolate: missing input");
    CHECK_REFUSED(tp_interpolate(x, (tp_interpolate_opts){ 0 }), TP_ERR_ARG, "a size or a positive scale is wanted");
    CHECK_REFUSED(tp_interpolate(x, (tp_interpolate_opts){ .h = 2, .w = 2, .scale = 2 }), TP_ERR_ARG, "a size or a positive scale");
    CHECK_REFUSED(tp_interpolate(x, (tp_interpolate_opts){ .scale = NAN }), TP_ERR_ARG, "a size or a positive scale");
    CHECK_REFUSED(tp_interpolate(x, (tp_interpolate_opts){ .scale = .1 }), TP_ERR_ARG, "4 elements become 0");
    CHECK_REFUSED(tp_interpolate(x, (tp_interpolate_opts){ .scale = 1e300 }), TP_ERR_ARG, "4 elements become 4e+300");
    CHECK_REFUSED(tp_interpolate(x, (tp_interpolate_opts){ .mode = (tp_interpolation)7, .scale = 2 }), TP_ERR_ARG, "no mode 7");
    CHECK_REFUSED(tp_interpolate(x, (tp_interpolate_opts){ .scale = 2, .align_corners = true }), TP_ERR_ARG, "no corners to align");
    CHECK_REFUSED(tp_interpolate(line, (tp_interpolate_opts){ .scale = 2 }), TP_ERR_SHAPE, "(N, C, H, W)");
    CHECK_REFUSED(tp_pixel_shuffle(x, 2), TP_ERR_SHAPE, "the channels of f32 (1, 3, 4, 4) are no multiple of 4");
    CHECK_REFUSED(tp_pixel_shuffle(x, 0), TP_ERR_ARG, "blocks of 0 by 0");
    CHECK_REFUSED(tp_pixel_shuffle(NULL, 2), TP_ERR_ARG, "pixel_shuffle: missing input");
    CHECK_REFUSED(tp_pixel_unshuffle(x, 3), TP_ERR_SHAPE, "doesn't consist of blocks of 3 by 3");
    CHECK_REFUSED(tp_pixel_unshuffle(line, 2), TP_ERR_SHAPE, "pixel_unshuffle: x must be (N, C, H, W)");
    CHECK_REFUSED(tp_pixel_unshuffle(NULL, 2), TP_ERR_ARG, "pixel_unshuffle: missing input");
}
