/*
 * test_softmax.c - softmax and its logarithm, along any axis.
 */
#include "autograd/op.h"
#include "tests/golden.h"
#include "tests/gradients.h"

F(f_last, tp_square(tp_softmax(a, -1)))
F(f_first, tp_mul(tp_softmax(a, 0), b))
F(f_channels, tp_square(tp_softmax(tp_channels_last(a), 1)))
F(f_log_last, tp_mul(tp_log_softmax(a, -1), b))
F(f_log_middle, tp_square(tp_log_softmax(tp_tanh(a), 1)))
F(f_log_channels, tp_square(tp_log_softmax(tp_channels_last(a), 1)))

static const row rows[] = {
    { "softmax", f_last, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "softmax axis 0", f_first, 2, { R3(3, 2, 2), R3(3, 2, 2) }, -1, NULL, 0 },
    { "softmax channels-last", f_channels, 1, { R4(2, 3, 2, 2) }, -1, NULL, 0 },
    { "log_softmax", f_log_last, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "log_softmax axis 1", f_log_middle, 1, { R3(2, 3, 2) }, -1, NULL, 0 },
    { "log_softmax channels-last", f_log_channels, 1, { R4(2, 3, 2, 2) }, -1, NULL, 0 },
};

GRADIENTS(softmax, rows)

static bool run_softmax(kase *k)
{
    return ONE(k, tp_softmax(k->in[0], (int)k->opts[0]));
}

static bool run_log_softmax(kase *k)
{
    return ONE(k, tp_log_softmax(k->in[0], (int)k->opts[0]));
}

GOLDEN(softmax, R(softmax), R(log_softmax))

/* ---- infinities, NaN, huge numbers, nothing; along rows and along columns ---- */

static const double inf = INFINITY;

static void check_row_of(const char *name, tp_device *dev, int axis, const double *x, const double *p, const double *log_p)
{
    static const tp_dtype dtypes[] = { TP_F64, TP_F32, TP_BF16 };
    static const double epsilon[] = { 0x1p-52, 0x1p-23, 0x1p-8 };

    for (int t = 0; t < TP_LEN(dtypes); t++) {
        tp_tensor *v, *y, *z;

        TP_SCOPE;
        v = tp_cast(tp_from(x, axis ? TP_SHAPE(1, 3) : TP_SHAPE(3, 1), TP_F64, dev), dtypes[t]);
        if (!axis) v = tp_expand(v, TP_SHAPE(3, 5)); /* columns, all alike */
        y = tp_softmax(v, axis), z = tp_log_softmax(v, axis);
        CASE("%s, axis %d, %s on %s", name, axis, tp_dtype_name(dtypes[t]), tp_device_name(dev));
        for (int i = 0; i < 3; i++) {
            int64_t at = axis ? i : 5 * i + 4;

            CHECK_NEAR(check_at(y, at), p[i], p[i] * epsilon[t]);
            CHECK_NEAR(check_at(z, at), log_p[i], isfinite(log_p[i]) ? -log_p[i] * epsilon[t] : 0);
        }
    }
}

ON_EACH_DEVICE(softmax, extremes)
{
    TP_SCOPE;
    for (int axis = 0; axis < 2; axis++) {
#define ROW(name, x, p, l) check_row_of(name, dev, axis, (double[]) x, (double[]) p, (double[]) l)
#define _(...) { __VA_ARGS__ }
        ROW("huge", _(1e30, 1e30, -1e30), _(.5, .5, 0), _(-M_LN2, -M_LN2, -2e30));
        ROW("one masked", _(0, -inf, -inf), _(1, 0, 0), _(0, -inf, -inf));
        ROW("all masked", _(-inf, -inf, -inf), _(NAN, NAN, NAN), _(NAN, NAN, NAN));
        ROW("infinity", _(0, inf, -inf), _(NAN, NAN, NAN), _(NAN, NAN, NAN));
        ROW("NaN first", _(NAN, 1, 2), _(NAN, NAN, NAN), _(NAN, NAN, NAN));
        ROW("NaN last", _(1, 2, NAN), _(NAN, NAN, NAN), _(NAN, NAN, NAN));
    }
}

ON_EACH_DEVICE(softmax, empty_and_masked)
{
    tp_tensor *x, *y;

    TP_SCOPE;
    x = tp_softmax(tp_zeros(TP_SHAPE(2, 0), TP_F32, dev), 1);
    CHECK(x && tp_count(x) == 0 && tp_dim(x, 0) == 2);
    CHECK(tp_count(tp_log_softmax(tp_zeros(TP_SHAPE(0, 3), TP_F32, dev), 0)) == 0);
    x = tp_requires_grad(tp_ones(TP_SCALAR, TP_F64, dev), true), y = tp_softmax(x, -1);
    CHECK(tp_rank(y) == 0 && tp_item(y) == 1 && tp_backward(y) && tp_item(tp_grad(x)) == 0);
    for (int axis = 0; axis < 2; axis++) { /* scores that are all masked have no weight and no slope */
        double v[] = { -inf, -inf, -inf, 0 };

        x = tp_requires_grad(tp_transpose(tp_from(v, TP_SHAPE(2, 2), TP_F64, dev), 0, !axis), true);
        x = tp_requires_grad(tp_detach(x), true);
        y = tp__softmax(x, axis, TP_SOFTMAX_MASKED);
        CASE("masked, axis %d on %s", axis, tp_device_name(dev));
        CHECK(check_at(y, 0) == 0 && check_at(y, axis ? 1 : 2) == 0 && check_at(y, 3) == 1);
        CHECK(tp_backward(tp_sum(tp_square(y), TP_ALL)) && tp_item(tp_sum(tp_square(tp_grad(x)), TP_ALL)) == 0);
        x = tp__softmax(tp_full(TP_SHAPE(2, 2), NAN, TP_F64, dev), axis, TP_SOFTMAX_MASKED);
        CHECK(isnan(check_at(x, 0)) && isnan(check_at(x, 3)));
    }
}

/* ---- the same bits for any number of threads ---- */

ON_EACH_DEVICE(softmax, threads)
{
    enum { N = 40, C = 700 };
    float *got[2] = { malloc(sizeof(float) * N * C), malloc(sizeof(float) * N * C) };
    int before = tp_threads();

    for (int axis = 0; axis < 2; axis++)
        for (int threads = 1; threads <= 3; threads++) {
            tp_tensor *x;

            TP_SCOPE;
            tp_set_threads(threads), tp_seed(3);
            x = tp_requires_grad(tp_detach(tp_randn(TP_SHAPE(N, C), dev)), true);
            tp_backward(tp_sum(tp_square(tp_log_softmax(tp_softmax(x, axis), axis)), TP_ALL));
            CASE("axis %d, %d threads on %s", axis, threads, tp_device_name(dev));
            CHECK(tp_read(tp_grad(x), got[threads > 1], sizeof(float) * N * C));
            if (threads > 1) CHECK(!memcmp(got[0], got[1], sizeof(float) * N * C));
        }
    tp_set_threads(before);
    free(got[0]), free(got[1]);
}

ON_EACH_DEVICE(softmax, refusals)
{
    tp_tensor *x;

    TP_SCOPE;
    x = tp_ones(TP_SHAPE(2, 3), TP_F32, dev);
    CASE("softmax on %s", tp_device_name(dev));
    CHECK_REFUSED(tp_softmax(NULL, 0), TP_ERR_ARG, "softmax: missing input");
    CHECK_REFUSED(tp_log_softmax(NULL, 0), TP_ERR_ARG, "log_softmax: missing input");
    CHECK_REFUSED(tp_softmax(x, 2), TP_ERR_ARG, "softmax: f32 (2, 3) has no axis 2");
    CHECK_REFUSED(tp_log_softmax(x, -3), TP_ERR_ARG, "log_softmax: f32 (2, 3) has no axis -3");
    CHECK_REFUSED(tp_softmax(tp_ones(TP_SCALAR, TP_F32, dev), 1), TP_ERR_ARG, "has no axis 1");
    CHECK_REFUSED(tp_softmax(tp_cast(x, TP_I64), 0), TP_ERR_DTYPE, "softmax: not offered for i64 (2, 3)");
    CHECK_REFUSED_ON_CPU(dev, tp_softmax(tp_cast(x, TP_F16), 0), TP_ERR_DTYPE, "f16");
}
