/*
 * test_compare.c - questions answered in bool, and arithmetic of integers and bools.
 */
#include "tests/check.h"

static const tp_dtype all_dtypes[] = { TP_F32, TP_F64, TP_BF16, TP_F16, TP_I64, TP_I32, TP_U8, TP_BOOL };

static void check_values(tp_tensor *t, tp_dtype d, const double *want, int64_t n)
{
    CHECK(tp_count(t) == n && tp_dtype_of(t) == d);
    for (int64_t i = 0; t && i < n; i++)
        CHECK_NEAR(check_at(t, i), want[i], 0);
}

#define VALUES(t, d, ...) check_values(t, d, (double[]){ __VA_ARGS__ }, TP_LEN(((double[]){ __VA_ARGS__ })))
#define YES_NO(t, ...)    VALUES(t, TP_BOOL, __VA_ARGS__)

static tp_tensor *row_of(tp_dtype d, tp_device *dev, const double *v, int64_t n)
{
    return tp_cast(tp_from(v, TP_SHAPE(n), TP_F64, dev), d);
}
#define ROW(d, ...) row_of(d, dev, (double[]){ __VA_ARGS__ }, TP_LEN(((double[]){ __VA_ARGS__ })))

/* ---- comparisons ---- */

ON_EACH_DEVICE(compare, every_dtype)
{
    for (int i = 0; i < TP_LEN(all_dtypes); i++) {
        tp_dtype d = all_dtypes[i];
        tp_tensor *a, *b;

        TP_SCOPE;
        CASE("%s on %s", tp_dtype_name(d), tp_device_name(dev));
        a = ROW(d, 0, 1, 1, 0), b = ROW(d, 0, 0, 1, 1);
        YES_NO(tp_eq(a, b), 1, 0, 1, 0);
        YES_NO(tp_ne(a, b), 0, 1, 0, 1);
        YES_NO(tp_lt(a, b), 0, 0, 0, 1);
        YES_NO(tp_le(a, b), 1, 0, 1, 1);
        YES_NO(tp_gt(a, b), 0, 1, 0, 0);
        YES_NO(tp_ge(a, b), 1, 1, 1, 0);
        YES_NO(tp_logical_and(a, b), 0, 0, 1, 0);
        YES_NO(tp_logical_or(a, b), 0, 1, 1, 1);
        YES_NO(tp_logical_xor(a, b), 0, 1, 0, 1);
        YES_NO(tp_logical_not(a), 1, 0, 0, 1);
        YES_NO(tp_eq_scalar(a, 1), 0, 1, 1, 0);
        YES_NO(tp_ne_scalar(a, 1), 1, 0, 0, 1);
        YES_NO(tp_lt_scalar(a, 0.5), 1, 0, 0, 1);
        YES_NO(tp_le_scalar(a, 0), 1, 0, 0, 1);
        YES_NO(tp_gt_scalar(a, 0.5), 0, 1, 1, 0);
        YES_NO(tp_ge_scalar(a, 1), 0, 1, 1, 0);
        YES_NO(tp_isnan(a), 0, 0, 0, 0);
        YES_NO(tp_isinf(a), 0, 0, 0, 0);
        YES_NO(tp_isfinite(a), 1, 1, 1, 1);
        VALUES(tp_where(tp_gt_scalar(a, 0), b, a), d, 0, 0, 1, 0);
        YES_NO(tp_any(a, TP_ALL), 1);
        YES_NO(tp_all(a, TP_ALL), 0);
        VALUES(tp_count_nonzero(a, TP_ALL), TP_I64, 2);
        CHECK(tp_count(tp_lt(tp_zeros(TP_SHAPE(0, 4), d, dev), b)) == 0 && tp_ok());
    }
}

ON_EACH_DEVICE(compare, special_numbers)
{
    static const tp_dtype floats[] = { TP_F32, TP_F64, TP_BF16, TP_F16 };

    for (int i = 0; i < TP_LEN(floats); i++) {
        tp_tensor *x, *y;

        TP_SCOPE;
        CASE("%s on %s", tp_dtype_name(floats[i]), tp_device_name(dev));
        x = ROW(floats[i], NAN, INFINITY, -INFINITY, 0, -0.0), y = ROW(floats[i], NAN, INFINITY, INFINITY, -0.0, 1);
        YES_NO(tp_isnan(x), 1, 0, 0, 0, 0);
        YES_NO(tp_isinf(x), 0, 1, 1, 0, 0);
        YES_NO(tp_isfinite(x), 0, 0, 0, 1, 1);
        YES_NO(tp_eq(x, y), 0, 1, 0, 1, 0);
        YES_NO(tp_ne(x, y), 1, 0, 1, 0, 1);
        YES_NO(tp_lt(x, y), 0, 0, 1, 0, 1);
        YES_NO(tp_ge(x, y), 0, 1, 0, 1, 0);
        YES_NO(tp_logical_not(x), 0, 0, 0, 1, 1); /* a NaN is not 0 */
        YES_NO(tp_eq_scalar(x, INFINITY), 0, 1, 0, 0, 0);
        YES_NO(tp_eq_scalar(ROW(floats[i], 0.1), 0.1), 1); /* the nearest that the dtype has */
    }
}

/* Numbers that the integers don't have, and integers that floats don't have. */
ON_EACH_DEVICE(compare, integers_and_numbers)
{
    const int64_t large = ((int64_t)1 << 53) + 1;
    tp_tensor *u, *i;

    TP_SCOPE;
    CASE("on %s", tp_device_name(dev));
    u = ROW(TP_U8, 0, 200, 255), i = tp_from((int64_t[]){ large, large - 1, INT64_MAX }, TP_SHAPE(3), TP_I64, dev);
    YES_NO(tp_lt_scalar(u, 300), 1, 1, 1);
    YES_NO(tp_gt_scalar(u, -1), 1, 1, 1);
    YES_NO(tp_eq_scalar(u, 256), 0, 0, 0);
    YES_NO(tp_ge_scalar(u, 199.5), 0, 1, 1);
    YES_NO(tp_eq_scalar(i, 0x1p53), 0, 1, 0);
    YES_NO(tp_lt_scalar(i, INFINITY), 1, 1, 1);
    YES_NO(tp_lt_scalar(i, 0x1p63), 1, 1, 0); /* both meet in f64, where the largest is 2^63 */
    YES_NO(tp_eq(i, tp_from(&large, TP_SCALAR, TP_I64, dev)), 1, 0, 0);
    YES_NO(tp_lt(ROW(TP_I64, 1, 3), ROW(TP_F32, 1.5, 2.5)), 1, 0);
    YES_NO(tp_gt(ROW(TP_BOOL, 1, 0), ROW(TP_U8, 0, 3)), 1, 0);
}

ON_EACH_DEVICE(compare, layouts)
{
    tp_tensor *x, *y, *t;
    tp_device *cpu = tp_device_open("cpu");

    TP_SCOPE;
    CASE("on %s", tp_device_name(dev));
    x = check_numbers(TP_SHAPE(3, 700), TP_F32, -1, 1, dev), y = check_numbers(TP_SHAPE(700, 3), TP_F32, -1, 1, dev);
    t = tp_to(tp_lt(x, tp_transpose(y, 0, 1)), cpu);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 700; j += 13)
            CHECK_NEAR(check_at(t, i * 700 + j), check_at(x, i * 700 + j) < check_at(y, j * 3 + i), 0);
    t = tp_where(tp_to(tp_transpose(t, 0, 1), dev), y, tp_reshape(tp_slice(y, 0, 0, 1), TP_SHAPE(3)));
    CHECK(tp_dim(t, 0) == 700);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 700; j += 13)
            CHECK_NEAR(check_at(t, j * 3 + i), check_at(y, (check_at(x, i * 700 + j) < check_at(y, j * 3 + i)) ? j * 3 + i : i), 0);
    x = tp_channels_last(tp_randn(TP_SHAPE(2, 3, 2, 2), dev));
    CHECK(tp_is_channels_last(tp_gt_scalar(x, 0)) && tp_is_channels_last(tp_where(tp_gt_scalar(x, 0), x, x)));
}

ON_EACH_DEVICE(compare, close)
{
    tp_tensor *a, *b;

    TP_SCOPE;
    CASE("on %s", tp_device_name(dev));
    a = ROW(TP_F64, 1, 1, INFINITY, INFINITY, NAN, 0, 0), b = ROW(TP_F64, 1 + 1e-6, 1 + 1e-3, INFINITY, -INFINITY, NAN, 1e-9, 1e-7);
    YES_NO(tp_isclose(a, b, 1e-5, 1e-8), 1, 0, 1, 0, 0, 1, 0);
    YES_NO(tp_isclose(ROW(TP_U8, 1, 200), ROW(TP_U8, 2, 100), 0, 1), 1, 0); /* no wrapping around */
    CHECK(tp_allclose(a, a, 0, 0) == false);
    CHECK(tp_allclose(b, tp_where(tp_isnan(b), b, b), 1e-5, 1e-8) == false);
    CHECK(tp_allclose(ROW(TP_F32, 1, 2), ROW(TP_F32, 1, 2), 0, 0) && tp_allclose(tp_zeros(TP_SHAPE(0), TP_F32, dev), tp_zeros(TP_SHAPE(0), TP_F32, dev), 0, 0));
    CHECK_REFUSED(tp_allclose(a, NULL, 0, 0), TP_ERR_ARG, "isclose: input 1 is missing");
    CHECK_REFUSED(tp_isclose(a, b, -1, 0), TP_ERR_ARG, "rtol is -1");
}

/* ---- integers ---- */

ON_EACH_DEVICE(compare, integer_arithmetic)
{
    static const tp_dtype dtypes[] = { TP_I64, TP_I32, TP_U8 };

    for (int i = 0; i < TP_LEN(dtypes); i++) {
        tp_dtype d = dtypes[i];
        tp_tensor *a, *b;

        TP_SCOPE;
        CASE("%s on %s", tp_dtype_name(d), tp_device_name(dev));
        a = ROW(d, 7, 2, 9), b = ROW(d, 2, 7, 3);
        VALUES(tp_add(a, b), d, 9, 9, 12);
        VALUES(tp_mul(a, b), d, 14, 14, 27);
        VALUES(tp_div(a, b), TP_F32, 3.5, (double)(2.0f / 7), 3);
        VALUES(tp_square(b), d, 4, 49, 9);
        VALUES(tp_abs(a), d, 7, 2, 9);
        VALUES(tp_sign(a), d, 1, 1, 1);
        VALUES(tp_maximum(a, b), d, 7, 7, 9);
        VALUES(tp_minimum(a, b), d, 2, 2, 3);
        VALUES(tp_clamp(a, 3, INFINITY), d, 7, 3, 9);
        VALUES(tp_clamp(a, 2.5, 8), TP_F32, 7, 2.5, 8);
        VALUES(tp_affine(a, 3, 1), d, 22, 7, 28);
        VALUES(tp_scale(a, 0.5), TP_F32, 3.5, 1, 4.5);
        VALUES(tp_remainder(a, b), d, 1, 2, 0);
        VALUES(tp_fmod(a, b), d, 1, 2, 0);
        VALUES(tp_floor_divide(a, b), d, 3, 0, 3);
        VALUES(tp_bitwise_and(a, b), d, 2, 2, 1);
        VALUES(tp_bitwise_or(a, b), d, 7, 7, 11);
        VALUES(tp_bitwise_xor(a, b), d, 5, 5, 10);
        VALUES(tp_bitwise_left_shift(a, b), d, 28, d == TP_U8 ? 0 : 256, 72);
        VALUES(tp_bitwise_right_shift(a, b), d, 1, 0, 1);
        VALUES(tp_sum(a, TP_ALL), TP_I64, 18);
        VALUES(tp_prod(a, TP_ALL), TP_I64, 126);
        VALUES(tp_cumsum(a, 0), TP_I64, 7, 9, 18);
        VALUES(tp_cumprod(a, 0), TP_I64, 7, 14, 126);
        VALUES(tp_amax(a, TP_ALL), d, 9);
        VALUES(tp_amin(a, TP_ALL), d, 2);
        VALUES(tp_argmax(a, 0), TP_I64, 2);
        VALUES(tp_argmin(a, 0), TP_I64, 1);
        VALUES(tp_add(a, ROW(TP_F32, 0.5)), TP_F32, 7.5, 2.5, 9.5);
        CHECK_REFUSED_BY_DATA(dev, tp_remainder(a, ROW(d, 1, 0, 1)), TP_ERR_ARG, "an integer is divided by 0",
                              "remainder: an integer is divided by 0");
        CHECK_REFUSED_BY_DATA(dev, tp_floor_divide(a, tp_zeros(TP_SCALAR, d, dev)), TP_ERR_ARG, "an integer is divided by 0",
                              "floor_divide: an integer is divided by 0");
        CHECK_REFUSED(tp_mean(a, TP_ALL), TP_ERR_DTYPE, "the mean is no integer, cast it to floats");
    }
}

/* Wrapping around, and the quotients that trap. */
ON_EACH_DEVICE(compare, integer_extremes)
{
    const int64_t least = INT64_MIN, most = INT64_MAX, minus = -1;
    tp_tensor *a, *b, *m;

    TP_SCOPE;
    CASE("on %s", tp_device_name(dev));
    a = tp_from((int64_t[]){ least, most }, TP_SHAPE(2), TP_I64, dev), m = tp_from(&minus, TP_SCALAR, TP_I64, dev);
    CHECK(check_at(tp_eq(tp_add(a, m), tp_from((int64_t[]){ most, most - 1 }, TP_SHAPE(2), TP_I64, dev)), 0) == 1);
    CHECK(tp_item(tp_all(tp_eq(tp_neg(a), tp_from((int64_t[]){ least, -most }, TP_SHAPE(2), TP_I64, dev)), TP_ALL)) == 1);
    CHECK(tp_item(tp_all(tp_eq(tp_abs(a), tp_from((int64_t[]){ least, most }, TP_SHAPE(2), TP_I64, dev)), TP_ALL)) == 1);
    CHECK(tp_item(tp_all(tp_eq(tp_floor_divide(a, m), tp_from((int64_t[]){ least, -most }, TP_SHAPE(2), TP_I64, dev)), TP_ALL)) == 1);
    VALUES(tp_remainder(a, m), TP_I64, 0, 0);
    VALUES(tp_fmod(a, m), TP_I64, 0, 0);
    VALUES(tp_mul(a, ROW(TP_I64, 2)), TP_I64, 0, -2);
    VALUES(tp_square(a), TP_I64, 0, 1);
    VALUES(tp_sum(a, TP_ALL), TP_I64, -1);
    a = ROW(TP_I32, -7, 7, -7, INT32_MIN), b = ROW(TP_I32, 3, -3, -3, -1);
    VALUES(tp_remainder(a, b), TP_I32, 2, -2, -1, 0);
    VALUES(tp_fmod(a, b), TP_I32, -1, 1, -1, 0);
    VALUES(tp_floor_divide(a, b), TP_I32, -3, -3, 2, INT32_MIN);
    VALUES(tp_sign(a), TP_I32, -1, 1, -1, -1);
    VALUES(tp_argmin(a, 0), TP_I64, 3);
    VALUES(tp_sub(ROW(TP_U8, 1), ROW(TP_U8, 3)), TP_U8, 254);
    VALUES(tp_neg(ROW(TP_U8, 3)), TP_U8, 253);
    VALUES(tp_bitwise_not(ROW(TP_U8, 3)), TP_U8, 252);
    VALUES(tp_bitwise_not(ROW(TP_I32, 3)), TP_I32, -4);
    VALUES(tp_bitwise_left_shift(ROW(TP_I64, -8, 8, -1), ROW(TP_I64, 1, 64, -1)), TP_I64, -16, 0, 0);
    VALUES(tp_bitwise_right_shift(ROW(TP_I64, -8, 8, -1), ROW(TP_I64, 70, -1, 63)), TP_I64, -1, 0, -1);
}

ON_EACH_DEVICE(compare, bools)
{
    tp_tensor *a, *b, *f = NULL;

    TP_SCOPE;
    CASE("on %s", tp_device_name(dev));
    a = ROW(TP_BOOL, 0, 1, 1, 0), b = ROW(TP_BOOL, 0, 0, 1, 1), f = ROW(TP_F32, 1, 2, 3, 4);
    VALUES(tp_add(a, b), TP_BOOL, 0, 1, 1, 1);
    VALUES(tp_mul(a, b), TP_BOOL, 0, 0, 1, 0);
    VALUES(tp_maximum(a, b), TP_BOOL, 0, 1, 1, 1);
    VALUES(tp_minimum(a, b), TP_BOOL, 0, 0, 1, 0);
    VALUES(tp_bitwise_xor(a, b), TP_BOOL, 0, 1, 0, 1);
    VALUES(tp_bitwise_and(a, b), TP_BOOL, 0, 0, 1, 0);
    VALUES(tp_bitwise_or(a, b), TP_BOOL, 0, 1, 1, 1);
    VALUES(tp_bitwise_not(a), TP_BOOL, 1, 0, 0, 1);
    VALUES(tp_scale(a, 3), TP_I64, 0, 3, 3, 0);
    VALUES(tp_scale(a, 0.5), TP_F32, 0, 0.5, 0.5, 0);
    VALUES(tp_square(a), TP_I64, 0, 1, 1, 0);
    VALUES(tp_div(a, tp_add(a, tp_logical_not(a))), TP_F32, 0, 1, 1, 0);
    VALUES(tp_sum(a, TP_ALL), TP_I64, 2);
    VALUES(tp_prod(a, TP_ALL), TP_I64, 0);
    VALUES(tp_amax(a, TP_ALL), TP_BOOL, 1);
    VALUES(tp_amin(a, TP_ALL), TP_BOOL, 0);
    VALUES(tp_cumsum(a, 0), TP_I64, 0, 1, 2, 2);
    VALUES(tp_mul(a, f), TP_F32, 0, 2, 3, 0);
    VALUES(tp_argsort(a, 0, false), TP_I64, 0, 3, 1, 2);
    CHECK_REFUSED(tp_sub(a, b), TP_ERR_DTYPE, "sub: bools are not subtracted: tp_logical_xor");
    CHECK_REFUSED(tp_neg(a), TP_ERR_DTYPE, "neg: a bool has no negative: tp_logical_not");
    CHECK_REFUSED(tp_argmax(a, 0), TP_ERR_DTYPE, "argmax: not offered for bool");
    CHECK_REFUSED(tp_argmin(a, 0), TP_ERR_DTYPE, "argmin: not offered for bool");
    CHECK_REFUSED(tp_remainder(a, b), TP_ERR_DTYPE, "remainder: not offered for bool");
    CHECK_REFUSED(tp_bitwise_left_shift(a, b), TP_ERR_DTYPE, "bitwise_left_shift: not offered for bool");
    CHECK_REFUSED(tp_sign(a), TP_ERR_DTYPE, "sign: not offered for bool");
    CHECK_REFUSED(tp_bitwise_and(f, f), TP_ERR_DTYPE, "bitwise_and: not offered for f32");
}

ON_EACH_DEVICE(compare, refusals)
{
    tp_tensor *x, *y;

    TP_SCOPE;
    x = tp_ones(TP_SHAPE(2, 3), TP_F32, dev), y = tp_ones(TP_SHAPE(4), TP_F32, dev);
    CASE("refusals on %s", tp_device_name(dev));
    CHECK_REFUSED(tp_eq(x, y), TP_ERR_SHAPE, "eq: f32 (2, 3) and f32 (4) don't broadcast");
    CHECK_REFUSED(tp_lt(x, NULL), TP_ERR_ARG, "lt: input 1 is missing");
    CHECK_REFUSED(tp_ge_scalar(NULL, 1), TP_ERR_ARG, "ge_scalar: missing input");
    CHECK_REFUSED(tp_isnan(NULL), TP_ERR_ARG, "isnan: missing input");
    CHECK_REFUSED(tp_logical_not(NULL), TP_ERR_ARG, "logical_not: missing input");
    CHECK_REFUSED(tp_logical_xor(NULL, x), TP_ERR_ARG, "logical_xor: input 0 is missing");
    CHECK_REFUSED(tp_floor_divide(x, NULL), TP_ERR_ARG, "floor_divide: input 1 is missing");
    CHECK_REFUSED(tp_bitwise_not(NULL), TP_ERR_ARG, "bitwise_not: missing input");
    CHECK_REFUSED(tp_any(x, TP_AXES(2)), TP_ERR_ARG, "no axis 2");
    CHECK_REFUSED(tp_all(NULL, TP_ALL), TP_ERR_ARG, "all: missing input");
}
