/*
 * test_functions.c - functions of elements, rectifiers and the choice between two.
 */
#include "tests/golden.h"
#include "tests/gradients.h"

/* ---- derivatives ---- */

F(f_reciprocal, tp_reciprocal(a))
F(f_rsqrt, tp_rsqrt(a))
F(f_sin, tp_sin(a))
F(f_cos, tp_cos(a))
F(f_erf, tp_erf(a))
F(f_log1p, tp_log1p(a))
F(f_expm1, tp_expm1(a))
F(f_abs, tp_abs(a))
F(f_sign, tp_add(tp_sign(a), tp_square(a)))
F(f_floor, tp_add(tp_floor(a), tp_square(a)))
F(f_ceil, tp_mul(tp_ceil(a), a))
F(f_round, tp_mul(tp_round(a), a))
F(f_trunc, tp_mul(tp_trunc(a), a))
F(f_neg, tp_mul(tp_neg(a), tp_shift(a, 2)))
F(f_clamp, tp_clamp(a, -0.7, 0.9))
F(f_pow, tp_pow(a, b))
F(f_pow_scalar, tp_pow_scalar(a, 1.7))
F(f_pow_third, tp_pow_scalar(a, 3))
F(f_pow_half, tp_pow_scalar(a, 0.5))
F(f_pow_minus, tp_pow_scalar(a, -2))
F(f_pow_none, tp_add(tp_pow_scalar(a, 0), tp_square(a)))
F(f_pow_one, tp_pow_scalar(a, 1))
F(f_remainder, tp_remainder(a, b))
F(f_fmod, tp_fmod(a, b))
F(f_maximum, tp_mul(tp_maximum(a, b), a))
F(f_minimum, tp_mul(tp_minimum(a, b), b))
F(f_where, tp_where(tp_gt(a, b), tp_mul(a, b), tp_square(b)))
F(f_silu, tp_silu(a))
F(f_mish, tp_mish(a))
F(f_softplus, tp_softplus(a, 1.5, 2))
F(f_log_sigmoid, tp_log_sigmoid(a))
F(f_softsign, tp_softsign(a))
F(f_tanhshrink, tp_tanhshrink(a))
F(f_hardswish, tp_hardswish(tp_scale(a, 3)))
F(f_hardsigmoid, tp_hardsigmoid(tp_scale(a, 3)))
F(f_hardtanh, tp_hardtanh(a, -0.5, 0.7))
F(f_relu6, tp_relu6(tp_scale(a, 5)))
F(f_leaky_relu, tp_leaky_relu(a, 0.1))
F(f_softshrink, tp_softshrink(a, 0.3))
F(f_hardshrink, tp_hardshrink(a, 0.3))
F(f_threshold, tp_threshold(a, 0.2, -1))
F(f_elu, tp_elu(a, 0.8))
F(f_celu, tp_celu(a, 0.7))
F(f_selu, tp_selu(a))
F(f_prelu, tp_prelu(a, b))
F(f_glu, tp_glu(a, 1))

static const row rows[] = {
    { "reciprocal", f_reciprocal, 1, { R2(2, 3) }, 0.5, NULL, 0 },
    { "rsqrt", f_rsqrt, 1, { R2(2, 3) }, 0.5, NULL, 0 },
    { "sin", f_sin, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "cos", f_cos, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "erf", f_erf, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "log1p", f_log1p, 1, { R2(2, 3) }, -0.5, NULL, 0 },
    { "expm1", f_expm1, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "abs", f_abs, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "sign", f_sign, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "floor", f_floor, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "ceil", f_ceil, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "round", f_round, 1, { R2(2, 3) }, -1.4, NULL, 0 },
    { "trunc", f_trunc, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "neg, shift", f_neg, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "clamp", f_clamp, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "pow", f_pow, 2, { R2(2, 3), R1(3) }, 0.5, NULL, 0 },
    { "pow broadcast", f_pow, 2, { R2(2, 1), R2(1, 3) }, 0.5, NULL, 0 },
    { "pow_scalar", f_pow_scalar, 1, { R2(2, 3) }, 0.5, NULL, 0 },
    { "pow_scalar 3", f_pow_third, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "pow_scalar 1/2", f_pow_half, 1, { R2(2, 3) }, 0.5, NULL, 0 },
    { "pow_scalar -2", f_pow_minus, 1, { R2(2, 3) }, 0.5, NULL, 0 },
    { "pow_scalar 0", f_pow_none, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "pow_scalar 1", f_pow_one, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "remainder", f_remainder, 2, { R2(2, 3), R1(3) }, 0.4, NULL, 0 },
    { "fmod", f_fmod, 2, { R2(2, 3), R2(2, 3) }, 0.4, NULL, 0 },
    { "maximum", f_maximum, 2, { R2(2, 3), R1(3) }, -1.5, NULL, 0 },
    { "minimum", f_minimum, 2, { R2(2, 3), R2(2, 3) }, -1.5, NULL, 0 },
    { "where", f_where, 2, { R2(2, 3), R2(2, 3) }, -1.5, NULL, 0 },
    { "where broadcast", f_where, 2, { R2(2, 1), R1(3) }, -1.5, NULL, 0 },
    { "silu", f_silu, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "mish", f_mish, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "softplus", f_softplus, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "log_sigmoid", f_log_sigmoid, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "softsign", f_softsign, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "tanhshrink", f_tanhshrink, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "hardswish", f_hardswish, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "hardsigmoid", f_hardsigmoid, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "hardtanh", f_hardtanh, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "relu6", f_relu6, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "leaky_relu", f_leaky_relu, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "softshrink", f_softshrink, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "hardshrink", f_hardshrink, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "threshold", f_threshold, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "elu", f_elu, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "celu", f_celu, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "selu", f_selu, 1, { R2(2, 3) }, -1.5, NULL, 0 },
    { "prelu", f_prelu, 2, { R3(2, 3, 2), R1(3) }, -1.5, NULL, 0 },
    { "prelu one", f_prelu, 2, { R1(4), R1(1) }, -1.5, NULL, 0 },
    { "glu", f_glu, 1, { R2(2, 4) }, -1.5, NULL, 0 },
};

GRADIENTS(functions, rows)

/* ---- PyTorch's values ---- */

#define WITH1(op) static bool run_##op(kase *k) { return ONE(k, tp_##op(k->in[0], k->fopts[0])); }
#define WITH2(op) static bool run_##op(kase *k) { return ONE(k, tp_##op(k->in[0], k->fopts[0], k->fopts[1])); }

UNARY(sin) UNARY(cos) UNARY(erf) UNARY(expm1) UNARY(log1p) UNARY(rsqrt) UNARY(reciprocal) UNARY(abs) UNARY(sign)
UNARY(floor) UNARY(ceil) UNARY(round) UNARY(trunc) WITH2(clamp) WITH1(pow_scalar) BINARY(pow) BINARY(remainder) BINARY(fmod)
UNARY(silu) UNARY(mish) UNARY(log_sigmoid) UNARY(softsign) UNARY(relu6) UNARY(tanhshrink) UNARY(hardswish) UNARY(hardsigmoid)
UNARY(selu) WITH1(leaky_relu) WITH1(elu) WITH1(celu) WITH2(softplus) WITH1(softshrink) WITH1(hardshrink) WITH2(hardtanh)
WITH2(threshold) BINARY(prelu) BINARY(maximum) BINARY(minimum)

static bool run_glu(kase *k)
{
    return ONE(k, tp_glu(k->in[0], (int)k->opts[0]));
}

static bool run_where(kase *k)
{
    return ONE(k, tp_where(tp_gt_scalar(k->in[0], 0), k->in[1], k->in[2]));
}

GOLDEN(functions, R(sin), R(cos), R(erf), R(expm1), R(log1p), R(rsqrt), R(reciprocal), R(abs), R(sign), R(floor), R(ceil),
       R(round), R(trunc), R(clamp), R(pow_scalar), R(pow), R(remainder), R(fmod))
GOLDEN(rectifier, R(silu), R(mish), R(log_sigmoid), R(softsign), R(relu6), R(tanhshrink), R(hardswish), R(hardsigmoid), R(selu),
       R(leaky_relu), R(elu), R(celu), R(softplus), R(softshrink), R(hardshrink), R(hardtanh), R(threshold), R(prelu), R(glu))
GOLDEN(choose, R(maximum), R(minimum), R(where))

/* ---- nothing, infinities, NaN ---- */

typedef tp_tensor *unary(tp_tensor *x);

static tp_tensor *leaky(tp_tensor *x) { return tp_leaky_relu(x, 0.01); }
static tp_tensor *softplus(tp_tensor *x) { return tp_softplus(x, 1, 20); }
static tp_tensor *shrunk(tp_tensor *x) { return tp_softshrink(x, 0.5); }
static tp_tensor *squeezed(tp_tensor *x) { return tp_hardshrink(x, 0.5); }
static tp_tensor *elu(tp_tensor *x) { return tp_elu(x, 1); }
static tp_tensor *power(tp_tensor *x) { return tp_pow_scalar(x, 1.5); }

static const struct limit {
    const char *name;
    unary *f;
    double high, low; /* f(infinity), f(-infinity), as PyTorch's */
} limits[] = {
    { "silu", tp_silu, INFINITY, NAN },
    { "mish", tp_mish, INFINITY, NAN },
    { "softplus", softplus, INFINITY, 0 },
    { "hardswish", tp_hardswish, INFINITY, NAN },
    { "hardsigmoid", tp_hardsigmoid, 1, 0 },
    { "relu6", tp_relu6, 6, 0 },
    { "log_sigmoid", tp_log_sigmoid, 0, -INFINITY },
    { "softsign", tp_softsign, NAN, NAN },
    { "tanhshrink", tp_tanhshrink, INFINITY, -INFINITY },
    { "softshrink", shrunk, INFINITY, -INFINITY },
    { "hardshrink", squeezed, INFINITY, -INFINITY },
    { "elu", elu, INFINITY, -1 },
    { "selu", tp_selu, INFINITY, -1.7580993408473766 },
    { "leaky_relu", leaky, INFINITY, -INFINITY },
    { "pow_scalar", power, INFINITY, INFINITY },
    { "reciprocal", tp_reciprocal, 0, -0.0 },
    { "rsqrt", tp_rsqrt, 0, NAN },
    { "sin", tp_sin, NAN, NAN },
    { "cos", tp_cos, NAN, NAN },
    { "erf", tp_erf, 1, -1 },
    { "log1p", tp_log1p, INFINITY, NAN },
    { "expm1", tp_expm1, INFINITY, -1 },
    { "abs", tp_abs, INFINITY, INFINITY },
    { "floor", tp_floor, INFINITY, -INFINITY },
    { "round", tp_round, INFINITY, -INFINITY },
};

ON_EACH_DEVICE(functions, extremes)
{
    static const tp_dtype dtypes[] = { TP_F32, TP_F64, TP_BF16 };

    for (int i = 0; i < TP_LEN(limits) * TP_LEN(dtypes); i++) {
        const struct limit *k = &limits[i / TP_LEN(dtypes)];
        tp_dtype d = dtypes[i % TP_LEN(dtypes)];
        double tolerance = d == TP_BF16 ? 0x1p-7 : 1e-6;
        tp_tensor *y;

        TP_SCOPE;
        CASE("%s of %s on %s", k->name, tp_dtype_name(d), tp_device_name(dev));
        y = k->f(tp_cast(tp_from((double[]){ INFINITY, -INFINITY, NAN }, TP_SHAPE(3), TP_F64, dev), d));
        CHECK_NEAR(check_at(y, 0), k->high, tolerance);
        CHECK_NEAR(check_at(y, 1), k->low, tolerance);
        CHECK(isnan(check_at(y, 2)));
        CHECK(tp_count(k->f(tp_zeros(TP_SHAPE(0, 3), d, dev))) == 0);
        CHECK(tp_rank(k->f(tp_ones(TP_SCALAR, d, dev))) == 0);
        CHECK(tp_is_channels_last(k->f(tp_channels_last(tp_ones(TP_SHAPE(2, 3, 2, 2), d, dev)))));
    }
}

/* ---- the same bits for any number of threads ---- */

ON_EACH_DEVICE(functions, threads_change_nothing)
{
    enum { N = 70000 };
    float *want = malloc(sizeof *want * N), *got = malloc(sizeof *got * N);
    int before = tp_threads();

    for (int i = 0; i < TP_LEN(limits); i++)
        for (int threads = 1; threads <= 3; threads++) {
            tp_tensor *x;

            TP_SCOPE;
            CASE("%s with %d threads on %s", limits[i].name, threads, tp_device_name(dev));
            tp_set_threads(threads), tp_seed(4);
            x = tp_scale(tp_rand(TP_SHAPE(N), dev), 9);
            CHECK(tp_read(limits[i].f(x), threads == 1 ? want : got, sizeof *got * N));
            if (threads > 1) CHECK(!memcmp(want, got, sizeof *got * N));
        }
    tp_set_threads(before);
    free(want), free(got);
}

/* A block with one far number is computed otherwise, but the near ones keep their bits. */
ON_EACH_DEVICE(functions, sine_of_near_and_far)
{
    float x[100], alone[100], together[100];

    TP_SCOPE;
    for (int i = 0; i < 100; i++)
        x[i] = (float)(i * i) * 97.3f;
    CHECK(tp_read(tp_sin(tp_from(x, TP_SHAPE(100), TP_F32, dev)), alone, sizeof alone));
    x[50] = 1e30f;
    CHECK(tp_read(tp_sin(tp_from(x, TP_SHAPE(100), TP_F32, dev)), together, sizeof together));
    for (int i = 0; i < 100; i++)
        if (i != 50) CHECK(alone[i] == together[i]);
    CHECK_NEAR(together[50], sin((double)x[50]), 1e-6);
}

/* ---- memory that ends anywhere: the error says so, and nothing leaks ---- */

static bool survives(tp_tensor *f(tp_tensor *x), long after, tp_device *dev)
{
    tp_tensor *x, *y;
    bool ok;

    TP_SCOPE;
    x = check_leaf(TP_SHAPE(4, 6), 0.5, 2, dev);
    tp__fail_after = after;
    y = f(x);
    if (y && tp__is_float(y)) tp_backward(tp_sum(y, TP_ALL));
    tp__fail_after = -1;
    ok = tp_ok();
    CHECK(ok ? y != NULL : tp_error_code() == TP_ERR_MEMORY);
    tp_clear_error();
    return ok;
}

static tp_tensor *powers(tp_tensor *x) { return tp_pow(x, tp_square(x)); }
static tp_tensor *chosen(tp_tensor *x) { return tp_where(tp_gt_scalar(x, 1), tp_neg(x), tp_maximum(x, tp_sin(x))); }
static tp_tensor *gated(tp_tensor *x) { return tp_glu(tp_prelu(x, tp_mean(x, TP_AXES(0))), 1); }
static tp_tensor *left_over(tp_tensor *x) { return tp_remainder(tp_fmod(x, tp_cos(x)), tp_exp(x)); }
static tp_tensor *near(tp_tensor *x) { return tp_isclose(x, tp_round(x), 0.1, 0.1); }

ON_EACH_DEVICE(functions, memory_ends)
{
    static unary *const more[] = { powers, gated, chosen, left_over, near };

    for (int i = 0; i < TP_LEN(limits) + TP_LEN(more); i++) {
        unary *f = i < TP_LEN(limits) ? limits[i].f : more[i - TP_LEN(limits)];
        long after = 0;

        CASE("function %d on %s", i, tp_device_name(dev));
        while (after < 500 && !survives(f, after, dev))
            after++;
        CHECK(after > 0 && after < 500);
    }
}

/* ---- refusals ---- */

ON_EACH_DEVICE(functions, refusals)
{
    tp_tensor *x, *i, *y;

    TP_SCOPE;
    x = tp_ones(TP_SHAPE(2, 3), TP_F32, dev), i = tp_ones(TP_SHAPE(2, 3), TP_I64, dev), y = tp_ones(TP_SHAPE(4), TP_F32, dev);
    CASE("refusals on %s", tp_device_name(dev));
    for (int k = 0; k < TP_LEN(limits); k++) {
        CASE("%s without x", limits[k].name);
        CHECK_REFUSED(limits[k].f(NULL), TP_ERR_ARG, ": missing input");
        if (limits[k].f == tp_abs) continue;
        CHECK_REFUSED(limits[k].f(i), TP_ERR_DTYPE, "not offered for i64 (2, 3)");
    }
    CHECK_REFUSED_ON_CPU(dev, tp_silu(tp_cast(x, TP_F16)), TP_ERR_DTYPE, "silu: not offered for f16 (2, 3)");
    CHECK_REFUSED(tp_abs(tp_cast(x, TP_BOOL)), TP_ERR_DTYPE, "abs: not offered for bool");
    CHECK_REFUSED(tp_pow(x, y), TP_ERR_SHAPE, "pow: f32 (2, 3) and f32 (4) don't broadcast");
    CHECK_REFUSED(tp_pow(x, NULL), TP_ERR_ARG, "pow: input 1 is missing");
    CHECK_REFUSED(tp_maximum(x, y), TP_ERR_SHAPE, "maximum: f32 (2, 3) and f32 (4) don't broadcast");
    CHECK_REFUSED(tp_where(x, x, x), TP_ERR_DTYPE, "where: the condition must be bool, not f32 (2, 3)");
    CHECK_REFUSED(tp_where(tp_cast(x, TP_BOOL), x, y), TP_ERR_SHAPE, "where: bool (2, 3), f32 (2, 3) and f32 (4) don't broadcast");
    CHECK_REFUSED(tp_where(tp_cast(y, TP_BOOL), x, x), TP_ERR_SHAPE, "bool (4), f32 (2, 3) and f32 (2, 3) don't broadcast");
    CHECK_REFUSED(tp_where(NULL, x, x), TP_ERR_ARG, "where: input 0 is missing");
    CHECK_REFUSED(tp_clamp(x, NAN, 1), TP_ERR_ARG, "clamp: from nan to 1");
    CHECK_REFUSED(tp_celu(x, 0), TP_ERR_ARG, "celu: alpha is 0");
    CHECK_REFUSED(tp_softplus(x, 0, 20), TP_ERR_ARG, "softplus: beta is 0");
    CHECK_REFUSED(tp_softshrink(x, -1), TP_ERR_ARG, "softshrink: lambda is -1");
    CHECK_REFUSED(tp_hardshrink(x, NAN), TP_ERR_ARG, "hardshrink: lambda is nan");
    CHECK_REFUSED(tp_hardtanh(x, 1, -1), TP_ERR_ARG, "hardtanh: from 1 to -1");
    CHECK_REFUSED(tp_prelu(x, y), TP_ERR_SHAPE, "f32 (4) has neither one number nor one for each channel of f32 (2, 3)");
    CHECK_REFUSED(tp_prelu(x, tp_cast(y, TP_F64)), TP_ERR_DTYPE, "prelu: x is f32 (2, 3), the weight f64 (4)");
    CHECK_REFUSED(tp_prelu(x, NULL), TP_ERR_ARG, "prelu: input 1 is missing");
    CHECK_REFUSED(tp_glu(x, 1), TP_ERR_SHAPE, "glu: f32 (2, 3) has no halves along axis 1");
    CHECK_REFUSED(tp_glu(x, 2), TP_ERR_ARG, "no axis 2");
    CHECK_REFUSED(tp_glu(NULL, 0), TP_ERR_ARG, "glu: missing input");
}

/* Far out a slope is 1, not what is left of a vanishing factor times x. */
ON_EACH_DEVICE(functions, mish_far_out)
{
    TP_SCOPE;
    static const tp_dtype dtypes[] = { TP_F32, TP_F64, TP_BF16 };

    for (int i = 0; i < 3; i++) {
        tp_tensor *x = tp_requires_grad(tp_full(TP_SHAPE(1), 1e30, dtypes[i], dev), true);

        CHECK(tp_backward(tp_mish(x)) && check_at(tp_grad(x), 0) == 1);
    }
}
