/*
 * test_norms.c - group, instance and RMS normalization.
 */
#include "tests/golden.h"
#include "tests/gradients.h"

F(f_group, tp_square(tp_group_norm(a, 2, b, c, 1e-3)))
F(f_group_last, tp_square(tp_group_norm(tp_channels_last(a), 2, b, c, 1e-3)))
F(f_group_plain, tp_mul(tp_group_norm(tp_tanh(a), 2, NULL, NULL, 1e-3), b))
F(f_instance, tp_square(tp_instance_norm(a, b, c, 1e-3)))
F(f_rms, tp_square(tp_rms_norm(a, TP_SHAPE(4), b, 1e-3)))
F(f_rms_two, tp_square(tp_rms_norm(a, TP_SHAPE(2, 3), b, 1e-3)))
F(f_rms_plain, tp_mul(tp_rms_norm(tp_tanh(a), TP_SHAPE(4), NULL, -1), b))

static const row rows[] = {
    { "group_norm", f_group, 3, { R4(2, 4, 2, 2), R1(4), R1(4) }, -1, NULL, 0 },
    { "group_norm channels-last", f_group_last, 3, { R4(2, 4, 2, 2), R1(4), R1(4) }, -1, NULL, 0 },
    { "group_norm (N, C, L)", f_group_plain, 2, { R3(2, 4, 3), R3(2, 4, 3) }, -1, NULL, 0 },
    { "group_norm (N, C)", f_group_plain, 2, { R2(2, 6), R2(2, 6) }, -1, NULL, 0 },
    { "instance_norm", f_instance, 3, { R4(2, 2, 2, 2), R1(2), R1(2) }, -1, NULL, 0 },
    { "rms_norm", f_rms, 2, { R2(3, 4), R1(4) }, -1, NULL, 0 },
    { "rms_norm two axes", f_rms_two, 2, { R3(2, 2, 3), R2(2, 3) }, -1, NULL, 0 },
    { "rms_norm plain", f_rms_plain, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
};

GRADIENTS(norms, rows)

static bool run_group_norm(kase *k)
{
    return ONE(k, tp_group_norm(k->in[0], k->opts[0], k->n_in > 1 ? k->in[1] : NULL, k->n_in > 1 ? k->in[2] : NULL, k->fopts[0]));
}

static bool run_instance_norm(kase *k)
{
    return ONE(k, tp_instance_norm(k->in[0], k->n_in > 1 ? k->in[1] : NULL, k->n_in > 1 ? k->in[2] : NULL, k->fopts[0]));
}

static bool run_rms_norm(kase *k)
{
    tp_shape s = { .rank = (int)k->opts[0] };

    for (int i = 0; i < s.rank; i++)
        s.n[i] = tp_dim(k->in[0], i - s.rank);
    return ONE(k, tp_rms_norm(k->in[0], s, k->n_in > 1 ? k->in[1] : NULL, k->fopts[0]));
}

GOLDEN(norm_layers, R_WIDE(group_norm), R_WIDE(instance_norm), R_WIDE(rms_norm))

/* ---- far from 0, constant, NaN, nothing ---- */

ON_EACH_DEVICE(norms, extremes)
{
    float far[8], v = 0x1p-23f;
    tp_tensor *x, *y;

    TP_SCOPE;
    for (int i = 0; i < 8; i++)
        far[i] = 1024 + (float)(i % 2); /* a variance of 1/4 beside a mean of 1024 */
    y = tp_group_norm(tp_from(far, TP_SHAPE(1, 2, 4), TP_F32, dev), 1, NULL, NULL, 0);
    for (int i = 0; i < 8; i++)
        CHECK_NEAR(check_at(y, i), i % 2 ? 1 : -1, v);
    y = tp_group_norm(tp_full(TP_SHAPE(2, 4, 3), 7, TP_F32, dev), 2, NULL, NULL, 1e-5);
    CHECK_NEAR(tp_item(tp_sum(tp_square(y), TP_ALL)), 0, 0);
    x = tp_from((float[]){ NAN, 1, 2, 4 }, TP_SHAPE(1, 2, 2), TP_F32, dev), y = tp_instance_norm(x, NULL, NULL, 0);
    CHECK(isnan(check_at(y, 0)) && isnan(check_at(y, 1))); /* its channel alone */
    CHECK_NEAR(check_at(y, 2), -1, v);
    y = tp_rms_norm(tp_from((float[]){ 3, -3, 0, 0 }, TP_SHAPE(2, 2), TP_F32, dev), TP_SHAPE(2), NULL, -1);
    CHECK_NEAR(check_at(y, 0), 1, 2 * v);
    CHECK_NEAR(check_at(y, 1), -1, 2 * v);
    CHECK(check_at(y, 2) == 0 && check_at(y, 3) == 0); /* eps keeps nothing from being divided by 0 */
    x = check_leaf(TP_SHAPE(0, 4, 2), -1, 1, dev), y = tp_group_norm(x, 2, tp_ones(TP_SHAPE(4), TP_F64, dev), NULL, 0);
    CHECK(tp_count(y) == 0 && tp_backward(tp_sum(y, TP_ALL)) && tp_count(tp_grad(x)) == 0);
    x = check_leaf(TP_SHAPE(4), -1, 1, dev); /* a weight of no rows */
    y = tp_rms_norm(tp_zeros(TP_SHAPE(0, 4), TP_F64, dev), TP_SHAPE(4), x, 0);
    CHECK(tp_backward(tp_sum(y, TP_ALL)) && tp_item(tp_sum(tp_square(tp_grad(x)), TP_ALL)) == 0);
}

/* ---- a result of channels is channels-last, and no layout is copied for one that is ---- */

ON_EACH_DEVICE(norms, layout)
{
    tp_tensor *x, *y;
    long before;

    TP_SCOPE;
    x = tp_requires_grad(tp_detach(tp_channels_last(tp_ones(TP_SHAPE(2, 4, 3, 3), TP_F32, dev))), true);
    before = tp__layout_copies, y = tp_group_norm(x, 2, NULL, NULL, 1e-5);
    CHECK(tp__dense(y, TP_CHANNELS_LAST));
    CHECK(tp_backward(tp_sum(tp_square(y), TP_ALL)) && tp__layout_copies == before);
}

/* ---- the same bits for any number of threads ---- */

static void bits_of(tp_device *dev, bool rms, int threads, float *to)
{
    tp_tensor *x, *w, *y;
    tp_shape s = TP_SHAPE(3, 16, 30, 20);

    TP_SCOPE;
    tp_set_threads(threads), tp_seed(3);
    x = tp_requires_grad(tp_detach(tp_randn(s, dev)), true);
    w = tp_requires_grad(tp_detach(tp_randn(TP_SHAPE(rms ? 20 : 16), dev)), true);
    y = rms ? tp_rms_norm(x, TP_SHAPE(20), w, 0) : tp_group_norm(x, 4, w, NULL, 1e-5);
    if (!y) return;
    CHECK(tp_backward(tp_sum(tp_square(tp_square(y)), TP_ALL)));
    CHECK(tp_read(tp_grad(x), to, sizeof(float) * 28800));
    CHECK(tp_read(tp_grad(w), to + 28800, sizeof(float) * (size_t)tp_count(w)));
}

ON_EACH_DEVICE(norms, threads)
{
    enum { BYTES = sizeof(float) * 28820 };
    float *want = calloc(1, BYTES), *got = calloc(1, BYTES);
    int before = tp_threads();

    for (int rms = 0; rms < 2; rms++)
        for (int threads = 1; threads <= 3; threads++) {
            CASE("%s, %d threads on %s", rms ? "rms_norm" : "group_norm", threads, tp_device_name(dev));
            bits_of(dev, rms, threads, threads == 1 ? want : got);
            if (threads > 1) CHECK(!memcmp(want, got, BYTES));
        }
    tp_set_threads(before);
    free(want), free(got);
}

ON_EACH_DEVICE(norms, refusals)
{
    tp_tensor *x, *four, *three;

    TP_SCOPE;
    x = tp_ones(TP_SHAPE(2, 4, 3), TP_F32, dev), four = tp_ones(TP_SHAPE(4), TP_F32, dev), three = tp_ones(TP_SHAPE(3), TP_F32, dev);
    CASE("norms on %s", tp_device_name(dev));
    CHECK_REFUSED(tp_group_norm(NULL, 2, four, four, 0), TP_ERR_ARG, "group_norm: input 0 is missing");
    CHECK_REFUSED(tp_group_norm(four, 2, four, four, 0), TP_ERR_SHAPE, "group_norm: x must be (N, C, ...), not f32 (4)");
    CHECK_REFUSED(tp_group_norm(x, 3, four, four, 0), TP_ERR_ARG, "3 groups of the channels of f32 (2, 4, 3)");
    CHECK_REFUSED(tp_group_norm(x, 0, four, four, 0), TP_ERR_ARG, "0 groups");
    CHECK_REFUSED(tp_group_norm(x, 2, three, NULL, 0), TP_ERR_SHAPE, "weight or bias is f32 (3), not (4)");
    CHECK_REFUSED(tp_group_norm(x, 2, NULL, tp_cast(four, TP_F64), 0), TP_ERR_DTYPE, "weight and bias of f32 (2, 4, 3) are f32, not f64 (4)");
    CHECK_REFUSED(tp_group_norm(tp_cast(x, TP_I64), 2, NULL, NULL, 0), TP_ERR_DTYPE, "not offered for i64 (2, 4, 3)");
    CHECK_REFUSED(tp_group_norm(tp_ones(TP_SHAPE(1, 4), TP_F32, dev), 4, NULL, NULL, 0), TP_ERR_SHAPE, "more than one value per group");
    CHECK_REFUSED(tp_instance_norm(NULL, NULL, NULL, 0), TP_ERR_ARG, "instance_norm");
    CHECK_REFUSED(tp_instance_norm(tp_ones(TP_SHAPE(2, 4), TP_F32, dev), NULL, NULL, 0), TP_ERR_SHAPE, "(N, C, L, ...)");
    CHECK_REFUSED(tp_instance_norm(tp_ones(TP_SHAPE(2, 4, 1), TP_F32, dev), NULL, NULL, 0), TP_ERR_SHAPE, "more than one value per channel");
    CHECK_REFUSED(tp_instance_norm(x, three, NULL, 0), TP_ERR_SHAPE, "instance_norm: weight or bias is f32 (3), not (4)");
    CHECK_REFUSED(tp_instance_norm(tp_cast(x, TP_U8), NULL, NULL, 0), TP_ERR_DTYPE, "not offered for u8");
    CHECK_REFUSED(tp_rms_norm(NULL, TP_SHAPE(3), NULL, 0), TP_ERR_ARG, "rms_norm");
    CHECK_REFUSED(tp_rms_norm(x, TP_SHAPE(4), four, 0), TP_ERR_SHAPE, "its last axes should be (4)");
    CHECK_REFUSED(tp_rms_norm(x, TP_SCALAR, NULL, 0), TP_ERR_SHAPE, "no axes to normalize over");
    CHECK_REFUSED(tp_rms_norm(x, TP_SHAPE(3), four, 0), TP_ERR_SHAPE, "weight or bias is f32 (4), not (3)");
    CHECK_REFUSED_ON_CPU(dev, tp_rms_norm(tp_cast(x, TP_F16), TP_SHAPE(3), NULL, 0), TP_ERR_DTYPE, "f16");
}
