/*
 * test_ctc.c - connectionist temporal classification.
 */
#include "tests/golden.h"
#include "tests/gradients.h"

static tp_tensor *whole(tp_device *dev, tp_shape s, const int64_t *v)
{
    return tp_from(v, s, TP_I64, dev);
}

/* Labels with a repeat, an empty one, one shorter than its room. */
static tp_tensor *loss_of(tp_tensor *x, tp_ctc_opts o)
{
    tp_device *dev = tp_device_of(x);

    return tp_ctc_loss(x, whole(dev, TP_SHAPE(3, 2), (int64_t[]){ 1, 1, 2, 0, 1, 2 }), whole(dev, TP_SHAPE(3), (int64_t[]){ 4, 3, 4 }),
                       whole(dev, TP_SHAPE(3), (int64_t[]){ 2, 0, 2 }), o);
}

F(f_mean, loss_of(a, (tp_ctc_opts){ 0 }))
F(f_each, tp_mul(loss_of(a, (tp_ctc_opts){ .reduction = TP_NONE }), b))

static const row rows[] = {
    { "ctc_loss", f_mean, 1, { R3(4, 3, 3) }, -2, NULL, ONCE },
    { "ctc_loss unreduced", f_each, 2, { R3(4, 3, 3), R1(3) }, -2, NULL, ONCE },
};

GRADIENTS(ctc, rows)

static bool run_ctc_loss(kase *k)
{
    tp_ctc_opts o = { k->opts[0], (tp_reduce)k->opts[1], k->opts[2] != 0 };
    tp_tensor *x = k->in[0];

    x = tp_sub(x, tp_log(tp_sum(tp_exp(x), TP_KEEPDIM(-1))));
    return ONE(k, tp_ctc_loss(x, k->in[1], k->in[2], k->in[3], o));
}

GOLDEN(ctc, R(ctc_loss))

/* ---- by hand: two times, one label; the paths are _a, a_, aa ---- */

ON_EACH_DEVICE(ctc, by_hand)
{
    const double p[] = { .6, .4, .3, .7 }; /* blank and a, at each time */
    double lp[4], sum = .6 * .7 + .4 * .3 + .4 * .7;
    tp_tensor *x, *one, *y;

    TP_SCOPE;
    for (int i = 0; i < 4; i++)
        lp[i] = log(p[i]);
    x = tp_from(lp, TP_SHAPE(2, 1, 2), TP_F64, dev), one = tp_ones(TP_SHAPE(1), TP_I64, dev);
    y = tp_ctc_loss(x, tp_reshape(one, TP_SHAPE(1, 1)), tp_full(TP_SHAPE(1), 2, TP_I32, dev), tp_cast(one, TP_U8),
                    (tp_ctc_opts){ 0 });
    CHECK_NEAR(tp_item(y), -log(sum), 4 * 0x1p-52);
}

/* ---- what has no path: infinite, or 0 without a gradient; nothing at all ---- */

ON_EACH_DEVICE(ctc, extremes)
{
    tp_ctc_opts each = { .reduction = TP_NONE }, zero = { .reduction = TP_NONE, .zero_infinity = true };
    tp_tensor *x, *y, *labels, *one, *two;

    TP_SCOPE;
    x = check_leaf(TP_SHAPE(2, 1, 3), -2, 0, dev), labels = whole(dev, TP_SHAPE(1, 2), (int64_t[]){ 1, 1 });
    one = tp_ones(TP_SHAPE(1), TP_I64, dev), two = tp_full(TP_SHAPE(1), 2, TP_I64, dev);
    y = tp_ctc_loss(x, labels, two, two, each); /* 1 1 needs a blank between: three times */
    CHECK_NEAR(tp_item(y), INFINITY, 0);
    y = tp_ctc_loss(x, labels, two, two, zero);
    CHECK_NEAR(tp_item(y), 0, 0);
    CHECK(tp_backward(tp_sum(y, TP_ALL)) && tp_item(tp_sum(tp_square(tp_grad(x)), TP_ALL)) == 0);
    y = tp_ctc_loss(x, labels, tp_zeros(TP_SHAPE(1), TP_I64, dev), tp_zeros(TP_SHAPE(1), TP_I64, dev), each);
    CHECK_NEAR(tp_item(y), 0, 0); /* no time and no label: one path, the empty one */
    y = tp_ctc_loss(x, tp_zeros(TP_SHAPE(1, 0), TP_I64, dev), one, tp_zeros(TP_SHAPE(1), TP_I64, dev), each);
    CHECK_NEAR(tp_item(y), -check_at(x, 0), 0); /* the blank alone */
    CHECK(tp_count(tp_ctc_loss(tp_zeros(TP_SHAPE(2, 0, 3), TP_F32, dev), tp_zeros(TP_SHAPE(0, 1), TP_I64, dev),
                               tp_zeros(TP_SHAPE(0), TP_I64, dev), tp_zeros(TP_SHAPE(0), TP_I64, dev), each)) == 0);
}

ON_EACH_DEVICE(ctc, refusals)
{
    tp_ctc_opts o = { 0 };
    tp_tensor *x, *y, *n;

    TP_SCOPE;
    x = tp_zeros(TP_SHAPE(3, 2, 4), TP_F32, dev), y = tp_ones(TP_SHAPE(2, 2), TP_I64, dev), n = tp_ones(TP_SHAPE(2), TP_I64, dev);
    CASE("ctc_loss on %s", tp_device_name(dev));
    CHECK_REFUSED(tp_ctc_loss(NULL, y, n, n, o), TP_ERR_ARG, "ctc_loss");
    CHECK_REFUSED(tp_ctc_loss(tp_ones(TP_SHAPE(3, 2), TP_F32, dev), y, n, n, o), TP_ERR_SHAPE, "must be (T, N, C), not f32 (3, 2)");
    CHECK_REFUSED(tp_ctc_loss(x, n, n, n, o), TP_ERR_SHAPE, "labels must be (2, S), not i64 (2)");
    CHECK_REFUSED(tp_ctc_loss(x, y, y, n, o), TP_ERR_SHAPE, "lengths must be (2), not i64 (2, 2)");
    CHECK_REFUSED(tp_ctc_loss(x, tp_cast(y, TP_F32), n, n, o), TP_ERR_DTYPE, "labels must be i64, i32 or u8");
    o.blank = 4;
    CHECK_REFUSED(tp_ctc_loss(x, y, n, n, o), TP_ERR_ARG, "blank 4 of 4 classes");
    o.blank = 0;
}

/* Of the second of two samples; forward and backward stay within their operands. */
ON_EACH_DEVICE(ctc, data_outside)
{
    static const struct {
        int64_t label, times, count;
        const char *at_once, *later;
    } wrong[] = {
        { 7, 3, 1, "label 7 of sample 1 is outside 0..3", "ctc: label 7 is outside 0..3" },
        { -1, 3, 1, "label -1 of sample 1 is outside 0..3", "ctc: label -1 is outside 0..3" },
        { INT64_MAX, 3, 2, "of sample 1 is outside 0..3", "is outside 0..3" },
        { 1, 4, 1, "sample 1 has 4 times of 3", "ctc: 4 times or labels of a sample are outside 0..3" },
        { 1, -1, 1, "sample 1 has -1 times of 3", "ctc: -1 times or labels of a sample are outside 0..3" },
        { 1, INT64_MIN, 1, "sample 1 has -9223372036854775808 times of 3", "ctc: -9223372036854775808 times" },
        { 1, 3, 3, "sample 1 has 3 labels, and room for 2", "ctc: 3 times or labels of a sample are outside 0..2" },
        { 1, 3, INT64_MAX, "labels, and room for 2", "outside 0..2" },
    };

    for (int i = 0; i < TP_LEN(wrong); i++) {
        tp_tensor *x, *labels, *times, *counts, *y;

        TP_SCOPE;
        CASE("ctc_loss on %s, %s", tp_device_name(dev), wrong[i].at_once);
        x = check_leaf(TP_SHAPE(3, 2, 4), -2, 0, dev), labels = whole(dev, TP_SHAPE(2, 2), (int64_t[]){ 1, 2, wrong[i].label, 3 });
        times = whole(dev, TP_SHAPE(2), (int64_t[]){ 3, wrong[i].times }), counts = whole(dev, TP_SHAPE(2), (int64_t[]){ 2, wrong[i].count });
        y = tp_ctc_loss(x, labels, times, counts, (tp_ctc_opts){ 0 });
        CHECK_REFUSED_BY_DATA(dev, y && tp_backward(y), TP_ERR_ARG, wrong[i].at_once, wrong[i].later);
        CHECK(tp_device_wait(dev)); /* told once */
    }
}

/* NaN isn't hidden: it is in the gradient of its sample, and only there. */
ON_EACH_DEVICE(ctc, nan_comes_through)
{
    tp_tensor *x, *one, *y;
    double v[3 * 2 * 3];

    TP_SCOPE;
    for (int i = 0; i < TP_LEN(v); i++)
        v[i] = -1 - .1 * i;
    v[6] = v[7] = v[8] = NAN; /* sample 0 at time 1 */
    x = tp_requires_grad(tp_detach(tp_from(v, TP_SHAPE(3, 2, 3), TP_F64, dev)), true);
    one = tp_ones(TP_SHAPE(2), TP_I64, dev);
    y = tp_ctc_loss(x, tp_reshape(one, TP_SHAPE(2, 1)), tp_full(TP_SHAPE(2), 3, TP_I64, dev), one, (tp_ctc_opts){ .reduction = TP_SUM });
    CHECK(isnan(tp_item(y)) && tp_backward(y));
    for (int i = 0; i < TP_LEN(v); i++) {
        bool used = i % 3 < 2; /* the blank and the label */

        CASE("ctc_loss of NaN on %s, gradient %d", tp_device_name(dev), i);
        CHECK(i / 3 % 2 == 0 && used ? isnan(check_at(tp_grad(x), i)) : isfinite(check_at(tp_grad(x), i)));
    }
}
