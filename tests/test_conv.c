/*
 * test_conv.c - convolutions of one axis, transposed ones, and padding to the same size.
 */
#include "tests/golden.h"
#include "tests/gradients.h"

static const tp_conv2d_opts plain;

F(f_line, tp_square(tp_conv1d(a, b, c, (tp_conv2d_opts){ .stride = 2, .padding = 1 })))
F(f_line_groups, tp_conv1d(a, b, NULL, (tp_conv2d_opts){ .groups = 2, .dilation = 2 }))
F(f_same, tp_square(tp_conv2d(a, b, c, (tp_conv2d_opts){ .same = true })))
F(f_turned, tp_square(tp_conv_transpose2d(a, b, c, (tp_conv2d_opts){ .stride = 2, .padding = 1, .output_padding = 1 })))
F(f_turned_groups, tp_conv_transpose2d(a, b, NULL, (tp_conv2d_opts){ .groups = 2, .dilation = 2 }))
F(f_turned_plain, tp_square(tp_conv_transpose2d(a, b, c, plain)))
F(f_turned_line, tp_square(tp_conv_transpose1d(a, b, c, (tp_conv2d_opts){ .stride = 2 })))

static const row rows[] = {
    { "conv1d", f_line, 3, { R3(2, 2, 5), R3(3, 2, 3), R1(3) }, -1, NULL, 0 },
    { "conv1d groups", f_line_groups, 2, { R3(1, 4, 5), R3(2, 2, 2) }, -1, NULL, 0 },
    { "conv2d same", f_same, 3, { R4(1, 2, 3, 3), R4(2, 2, 2, 3), R1(2) }, -1, NULL, 0 },
    { "conv_transpose2d", f_turned, 3, { R4(1, 2, 2, 3), R4(2, 3, 3, 2), R1(3) }, -1, NULL, 0 },
    { "conv_transpose2d groups", f_turned_groups, 2, { R4(1, 4, 2, 2), R4(4, 1, 2, 2) }, -1, NULL, 0 },
    { "conv_transpose2d of one place", f_turned_plain, 3, { R4(2, 3, 1, 1), R4(3, 2, 2, 3), R1(2) }, -1, NULL, 0 },
    { "conv_transpose1d", f_turned_line, 3, { R3(1, 2, 3), R3(2, 2, 3), R1(2) }, -1, NULL, 0 },
};

GRADIENTS(convolutions, rows)

/* ---- PyTorch ---- */

static tp_tensor *bias_of(const kase *k)
{
    return k->n_in > 2 ? k->in[2] : NULL;
}

static bool run_conv1d(kase *k)
{
    const int64_t *o = k->opts;
    tp_conv2d_opts opts = { .stride = (int)o[0], .padding = (int)o[1], .dilation = (int)o[2], .groups = (int)o[3], .same = o[4] };

    return ONE(k, tp_conv1d(k->in[0], k->in[1], bias_of(k), opts));
}

static bool run_conv2d_same(kase *k)
{
    tp_conv2d_opts opts = { .same = true, .rectangular = true, .dilation = (int)k->opts[0], .dilation_w = (int)k->opts[1] };

    return ONE(k, tp_conv2d(k->in[0], k->in[1], bias_of(k), opts));
}

static bool run_conv_transpose1d(kase *k)
{
    const int64_t *o = k->opts;
    tp_conv2d_opts opts = { .stride = (int)o[0], .padding = (int)o[1], .dilation = (int)o[2], .groups = (int)o[3],
                            .output_padding = (int)o[4] };

    return ONE(k, tp_conv_transpose1d(k->in[0], k->in[1], bias_of(k), opts));
}

static bool run_conv_transpose2d(kase *k)
{
    const int64_t *o = k->opts;
    tp_conv2d_opts opts = { .stride = (int)o[0], .padding = (int)o[2], .dilation = (int)o[4], .groups = (int)o[6],
                            .rectangular = true, .stride_w = (int)o[1], .padding_w = (int)o[3], .dilation_w = (int)o[5],
                            .output_padding = (int)(o[7] / 16), .output_padding_w = (int)(o[7] % 16) };

    return ONE(k, tp_conv_transpose2d(k->in[0], k->in[1], bias_of(k), opts));
}

GOLDEN(conv_more, R(conv1d), R(conv2d_same), R(conv_transpose1d), R(conv_transpose2d))

/* ---- what one layer gives the next reads where it lies ---- */

ON_EACH_DEVICE(convolutions, layout)
{
    tp_tensor *x, *w, *y;
    long before;

    TP_SCOPE;
    x = tp_ones(TP_SHAPE(2, 3, 9), TP_F32, dev), w = tp_ones(TP_SHAPE(3, 3, 3), TP_F32, dev);
    y = tp_conv1d(x, w, NULL, plain);
    before = tp__layout_copies, y = tp_conv1d(y, w, NULL, plain);
    CHECK(tp__layout_copies == before && tp_dim(y, 2) == 5 && check_at(y, 0) == 81);
    x = tp_channels_last(tp_ones(TP_SHAPE(1, 2, 3, 3), TP_F32, dev)), before = tp__layout_copies;
    y = tp_conv_transpose2d(x, tp_ones(TP_SHAPE(2, 4, 2, 2), TP_F32, dev), tp_ones(TP_SHAPE(4), TP_F32, dev), plain);
    CHECK(tp__dense(y, TP_CHANNELS_LAST) && tp__layout_copies == before && check_at(y, 0) == 3);
    CHECK(tp_count(tp_conv_transpose2d(tp_zeros(TP_SHAPE(0, 2, 3, 3), TP_F32, dev), tp_ones(TP_SHAPE(2, 4, 2, 2), TP_F32, dev), NULL, plain)) == 0);
}

/* ---- refusals ---- */

ON_EACH_DEVICE(convolutions, refusals)
{
    tp_tensor *x, *w, *line, *v, *b;

    TP_SCOPE;
    x = tp_ones(TP_SHAPE(1, 2, 4, 4), TP_F32, dev), w = tp_ones(TP_SHAPE(2, 3, 3, 3), TP_F32, dev);
    line = tp_ones(TP_SHAPE(1, 2, 4), TP_F32, dev), v = tp_ones(TP_SHAPE(2, 2, 3), TP_F32, dev), b = tp_ones(TP_SHAPE(5), TP_F32, dev);
    CASE("convolutions on %s", tp_device_name(dev));
    CHECK_REFUSED(tp_conv1d(NULL, v, NULL, plain), TP_ERR_ARG, "conv1d: input 0 is missing");
    CHECK_REFUSED(tp_conv1d(x, v, NULL, plain), TP_ERR_SHAPE, "conv1d: x must be (N, C, L), not f32 (1, 2, 4, 4)");
    CHECK_REFUSED(tp_conv1d(line, w, NULL, plain), TP_ERR_SHAPE, "weight must have three axes");
    CHECK_REFUSED(tp_conv1d(line, v, NULL, (tp_conv2d_opts){ .rectangular = true }), TP_ERR_ARG, "o.rectangular");
    CHECK_REFUSED(tp_conv1d(line, v, NULL, (tp_conv2d_opts){ .stride = -1 }), TP_ERR_ARG, "none may be negative");
    CHECK_REFUSED(tp_conv1d(line, v, b, plain), TP_ERR_SHAPE, "bias is f32 (5), not (2)");
    CHECK_REFUSED(tp_conv1d(line, tp_cast(v, TP_F64), NULL, plain), TP_ERR_DTYPE, "one dtype is wanted");
    CHECK_REFUSED(tp_conv1d(line, tp_ones(TP_SHAPE(2, 2, 5), TP_F32, dev), NULL, plain), TP_ERR_SHAPE, "doesn't fit");
    CHECK_REFUSED(tp_conv2d(x, tp_ones(TP_SHAPE(2, 2, 3, 3), TP_F32, dev), NULL, (tp_conv2d_opts){ .same = true, .stride = 2 }), TP_ERR_ARG,
                  "conv2d: the same size takes stride 1");
    CHECK_REFUSED(tp_conv2d(x, tp_ones(TP_SHAPE(2, 2, 0, 3), TP_F32, dev), NULL, (tp_conv2d_opts){ .same = true }), TP_ERR_SHAPE, "has no middle");
    CHECK_REFUSED(tp_conv_transpose2d(NULL, w, NULL, plain), TP_ERR_ARG, "conv_transpose2d: input 0 is missing");
    CHECK_REFUSED(tp_conv_transpose2d(x, NULL, NULL, plain), TP_ERR_ARG, "input 1 is missing");
    CHECK_REFUSED(tp_conv_transpose2d(line, w, NULL, plain), TP_ERR_SHAPE, "x must be (N, C, H, W)");
    CHECK_REFUSED(tp_conv_transpose2d(x, v, NULL, plain), TP_ERR_SHAPE, "weight must be (C, O / groups, KH, KW)");
    CHECK_REFUSED(tp_conv_transpose2d(x, w, NULL, (tp_conv2d_opts){ .groups = 3 }), TP_ERR_SHAPE, "a multiple of the groups");
    CHECK_REFUSED(tp_conv_transpose2d(x, w, b, plain), TP_ERR_SHAPE, "bias is f32 (5), not (3)");
    CHECK_REFUSED(tp_conv_transpose2d(x, w, NULL, (tp_conv2d_opts){ .output_padding = 1 }), TP_ERR_ARG, "output padding 1: less than the stride, 1");
    CHECK_REFUSED(tp_conv_transpose2d(x, w, NULL, (tp_conv2d_opts){ .padding = 3 }), TP_ERR_SHAPE, "a padding of 3 leaves 0 elements");
    CHECK_REFUSED(tp_conv_transpose2d(x, w, NULL, (tp_conv2d_opts){ .stride = INT32_MAX }), TP_ERR_SHAPE, "a kernel of 3 over 4 elements");
    CHECK_REFUSED(tp_conv_transpose2d(x, w, NULL, (tp_conv2d_opts){ .same = true }), TP_ERR_ARG, "the same size isn't offered");
    CHECK_REFUSED(tp_conv_transpose2d(x, tp_cast(w, TP_F64), NULL, plain), TP_ERR_DTYPE, "one dtype is wanted");
    CHECK_REFUSED(tp_conv_transpose1d(NULL, v, NULL, plain), TP_ERR_ARG, "conv_transpose1d: input 0 is missing");
    CHECK_REFUSED(tp_conv_transpose1d(x, v, NULL, plain), TP_ERR_SHAPE, "conv_transpose1d: x must be (N, C, L)");
    CHECK_REFUSED(tp_conv_transpose1d(line, v, NULL, (tp_conv2d_opts){ .rectangular = true }), TP_ERR_ARG, "o.rectangular");
}
