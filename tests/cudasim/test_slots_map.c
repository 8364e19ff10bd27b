/*
 * test_slots_map.c - CUDA slots that work element by element against the CPU's, over dtypes, shapes and
 * strides.
 */
#include "tests/cudasim/spaces.h"

TestSuite(slots, .init = open_machines, .fini = close_machines);

/* ---- arithmetic and activations ---- */

/* y at an odd element too: vector accesses must not assume alignment */
#define UNARY(slot, lo, hi, c)                                                           \
    EACH(s, t, add)                                                                      \
    {                                                                                    \
        tp_loop l = loop_in(s, 1);                                                       \
        buffer x = numbers(t, s->room, lo, hi);                                          \
        buffer y = add ? numbers(t, count_in(s) + 1, -1, 1) : blank(t, count_in(s) + 1); \
                                                                                         \
        CASE("%s of %s, %s, add %d", #slot, s->name, dtype_names[t], add);               \
        RUN(slot, t, &l, AT(x), add, AT(y));                                             \
        check_inside(&y, count_in(s), c);                                                \
        release_all();                                                                   \
    }

#define BINARY(slot, lo, hi, c)                                                          \
    EACH(s, t, add)                                                                      \
    {                                                                                    \
        tp_loop l = loop_in(s, 2);                                                       \
        buffer a = numbers(t, s->room, lo, hi), b = numbers(t, s->room, lo, hi);         \
        buffer y = numbers(t, count_in(s) + 1, -1, 1);                                   \
                                                                                         \
        CASE("%s of %s, %s, add %d", #slot, s->name, dtype_names[t], add);               \
        RUN(slot, t, &l, AT(a), AT(b), add, offset(&y, side, 1));                        \
        check_close(&y, c);                                                              \
        release_all();                                                                   \
    }

Test(slots, arithmetic){ BINARY(add, -2, 2, 2) BINARY(sub, -2, 2, 2) BINARY(mul, -2, 2, 2)
                             BINARY(div, 0.5, 2, 2) BINARY(relu_dx, -2, 2, 2) }

Test(slots, derivatives){ BINARY(tanh_dx, -1, 1, 4) BINARY(sigmoid_dx, 0, 1, 4)
                              BINARY(gelu_dx, -4, 4, 16) BINARY(gelu_tanh_dx, -4, 4, 16)
                                  BINARY(bce, -3, 3, 8) BINARY(bce_dx, -3, 3, 8) }

Test(slots, functions){ UNARY(relu, -2, 2, 2) UNARY(square, -2, 2, 2) UNARY(sqrt, 0, 4, 2)
                            UNARY(exp, -4, 4, 8) UNARY(log, 0.1, 9, 8) }

Test(slots, activations){ UNARY(tanh, -3, 3, 8) UNARY(sigmoid, -9, 9, 8)
                              UNARY(gelu, -4, 4, 8) UNARY(gelu_tanh, -4, 4, 8) }

Test(slots, extremes)
{
    static const double v[] = { 0, -0.0, INFINITY, -INFINITY, NAN, 1e30, -1e30, 90, -90 };
    tp_loop l = tp_loop_flat(LEN(v), 2);

#define EXTREME(slot)                                                                    \
    {                                                                                    \
        buffer y = blank(floats[i], LEN(v));                                             \
                                                                                         \
        CASE("%s of extremes, %s", #slot, dtype_names[floats[i]]);                       \
        RUN(slot, floats[i], &l, AT(x), false, AT(y));                                   \
        check_close(&y, 4);                                                              \
    }
    for (int i = 0; i < LEN(floats); i++) {
        buffer x = values(floats[i], LEN(v), v);

        EXTREME(relu)
        EXTREME(tanh)
        EXTREME(sigmoid)
        EXTREME(gelu)
        EXTREME(gelu_tanh)
        EXTREME(square)
        EXTREME(sqrt)
        EXTREME(exp)
        EXTREME(log)
        release_all();
    }
}

Test(slots, extreme_slopes)
{
    static const double v[] = { 0, -0.0, INFINITY, -INFINITY, NAN, 1e4, -1e4, 90, -90, 20, -20 };
    tp_loop l = tp_loop_flat(LEN(v), 3);

    for (int i = 0; i < LEN(floats); i++) {
        buffer x = values(floats[i], LEN(v), v), dy = numbers(floats[i], LEN(v), 1, 2), y = blank(floats[i], LEN(v));

        CASE("gelu_dx of extremes, %s", dtype_names[floats[i]]);
        RUN(gelu_dx, floats[i], &l, AT(dy), AT(x), false, AT(y));
        check_close(&y, 16);
        CASE("gelu_tanh_dx of extremes, %s", dtype_names[floats[i]]);
        RUN(gelu_tanh_dx, floats[i], &l, AT(dy), AT(x), false, AT(y));
        check_close(&y, 16);
        release_all();
    }
}

Test(slots, affine)
{
    EACH(s, t, add)
    {
        tp_loop l = loop_in(s, 1);
        buffer x = numbers(t, s->room, -2, 2), y = numbers(t, count_in(s), -1, 1);

        CASE("affine of %s, %s, add %d", s->name, dtype_names[t], add);
        RUN(affine, t, &l, AT(x), 1.5, -0.25, add, AT(y));
        check_close(&y, 4);
        release_all();
    }
}


/* ---- functions with numbers of their own, and their derivatives ---- */

static const space few[] = {
    { "a tail", 1, { 37 }, { 1 }, { 1 }, 37 },
    { "many blocks", 1, { 3001 }, { 1 }, { 1 }, 3001 },
    { "gaps", 4, { 2, 3, 2, 7 }, { 96, 32, 16, 2 }, { 0, 14, 0, 1 }, 192 },
    { "nothing", 2, { 3, 0 }, { 1, 1 }, { 1, 1 }, 1 },
};

/* One operand; between it and the rest of the arguments what else the slot takes. */
#define ONE(slot, types, lo, hi, c, ...)                                                 \
    for (int i = 0; i < LEN(few) * LEN(types) * 2; i++) {                                \
        const space *s = &few[i / 2 / LEN(types)];                                       \
        tp_dtype t = types[i / 2 % LEN(types)];                                          \
        tp_loop l = loop_in(s, 1);                                                       \
        buffer x = numbers(t, s->room, lo, hi), y = numbers(t, count_in(s), 0, 3);       \
                                                                                         \
        CASE("%s of %s, %s, add %d", #slot, s->name, dtype_names[t], i % 2);             \
        RUN(slot, t, &l, AT(x), __VA_ARGS__ i % 2, AT(y));                               \
        check_close(&y, c);                                                              \
        release_all();                                                                   \
    }

#define VALUE(slot, types, lo, hi, k, c) ONE(slot, types, lo, hi, c, k,)

#define SLOPE(slot, lo, hi, k, c)                                                        \
    for (int i = 0; i < LEN(few) * LEN(floats) * 2; i++) {                               \
        const space *s = &few[i / 2 / LEN(floats)];                                      \
        tp_dtype t = floats[i / 2 % LEN(floats)];                                        \
        tp_loop l = loop_in(s, 2);                                                       \
        buffer a = numbers(t, s->room, -1, 1), b = numbers(t, s->room, lo, hi);          \
        buffer y = numbers(t, count_in(s), 0, 3);                                        \
                                                                                         \
        CASE("%s of %s, %s, add %d", #slot, s->name, dtype_names[t], i % 2);             \
        RUN(slot, t, &l, AT(a), AT(b), k, i % 2, AT(y));                                 \
        check_close(&y, c);                                                              \
        release_all();                                                                   \
    }

#define K(...) ((const double[]){ __VA_ARGS__, 0, 0, 0 })
#define BENT(slot, lo, hi, k, c)                                                         \
    VALUE(slot, floats, lo, hi, k, c)                                                    \
    SLOPE(slot##_dx, lo, hi, k, c)
#define CURVE(slot, lo, hi, k, c)                                                        \
    BENT(slot, lo, hi, k, c)                                                             \
    SLOPE(slot##_ddx, lo, hi, k, c)

Test(slots, curves)
{
    CURVE(reciprocal, 0.5, 2, K(0), 8) CURVE(rsqrt, 0.5, 2, K(0), 8) CURVE(power, 0.1, 3, K(2.5), 8)
    CURVE(sin, -9, 9, K(0), 4) CURVE(cos, -1e4, 1e4, K(0), 4) CURVE(erf, -3, 3, K(0), 8)
    CURVE(log1p, -0.5, 9, K(0), 8) CURVE(expm1, -3, 3, K(0), 8)
}

Test(slots, rectifiers)
{
    CURVE(silu, -6, 6, K(0), 8) CURVE(mish, -6, 30, K(0), 16) CURVE(softplus, -6, 30, K(1.5, 20), 8)
    CURVE(log_sigmoid, -6, 6, K(0), 8) CURVE(softsign, -6, 6, K(0), 8) CURVE(tanhshrink, -3, 3, K(0), 8)
    CURVE(hardswish, -6, 6, K(0), 4) CURVE(elu, -3, 3, K(0.7, 1.2, 0.9), 8)
}

Test(slots, bent)
{
    static const tp_dtype numbers_[] = { TP_F32, TP_F64, TP_BF16, TP_F16, TP_I64, TP_I32, TP_U8 };

    VALUE(abs, numbers_, -100, 100, K(0), 2) SLOPE(abs_dx, -1, 1, K(0), 2)
    VALUE(clamp, numbers_, -100, 100, K(-20, 30), 2) SLOPE(clamp_dx, -1, 1, K(-0.5, INFINITY), 2)
    BENT(hardtanh, -2, 2, K(-1, 1), 2) BENT(hardsigmoid, -6, 6, K(0), 4) BENT(leaky_relu, -2, 2, K(0.1), 4)
    BENT(softshrink, -2, 2, K(0.5), 4) BENT(hardshrink, -2, 2, K(0.5), 2) BENT(threshold, -2, 2, K(0.1, 7), 2)
}

Test(slots, curves_of_extremes)
{
    static const double v[] = { 0, -0.0, INFINITY, -INFINITY, NAN, 1e30, -1e30, 90, -90, 1, -1 };
    tp_loop one = tp_loop_flat(LEN(v), 2);

#define FAR(slot, k)                                                                     \
    CASE("%s of extremes, %s", #slot, dtype_names[floats[i]]);                           \
    RUN(slot, floats[i], &one, AT(x), k, false, AT(y));                                  \
    check_close(&y, 4);
    for (int i = 0; i < 2; i++) { /* half floats overflow at 1e30 */
        buffer x = values(floats[i], LEN(v), v), y = blank(floats[i], LEN(v));

        FAR(silu, K(0)) FAR(softplus, K(1, 20)) FAR(log_sigmoid, K(0)) FAR(erf, K(0)) FAR(expm1, K(0))
        FAR(hardswish, K(0)) FAR(elu, K(1, 1, 1)) FAR(clamp, K(-1, 1)) FAR(softshrink, K(0.5)) FAR(abs, K(0))
        FAR(reciprocal, K(0)) FAR(tanhshrink, K(0)) FAR(softsign, K(0))
        release_all();
    }
}

/* x^0 and x have no slope, or no bend, at 0 too, where x^(p - 1) or x^(p - 2) has a pole. */
Test(slots, powers_of_zero)
{
    static const double v[] = { 0, -0.0, 1, -1, 2 };
    tp_loop one = tp_loop_flat(LEN(v), 2), two = tp_loop_flat(LEN(v), 3);

    for (int i = 0; i < LEN(floats) * 4; i++) {
        tp_dtype t = floats[i / 4];
        buffer x = values(t, LEN(v), v), u = numbers(t, LEN(v), 1, 2);
        buffer y = blank(t, LEN(v)), slope = blank(t, LEN(v)), bend = blank(t, LEN(v));

        CASE("x^%d, %s", i % 4, dtype_names[t]);
        RUN(power, t, &one, AT(x), K(i % 4), false, AT(y));
        RUN(power_dx, t, &two, AT(u), AT(x), K(i % 4), false, AT(slope));
        RUN(power_ddx, t, &two, AT(u), AT(x), K(i % 4), false, AT(bend));
        check_close(&y, 8), check_close(&slope, 8), check_close(&bend, 8);
        release_all();
    }
}

/* ---- integers, bool, rounding ---- */

static const tp_dtype number_types[] = { TP_F32, TP_F64, TP_BF16, TP_F16, TP_I64, TP_I32, TP_U8 };
static const tp_dtype whole_types[] = { TP_I64, TP_I32, TP_U8 };
static const tp_dtype bit_types[] = { TP_I64, TP_I32, TP_U8, TP_BOOL };
static const tp_dtype every_type[] = { TP_F32, TP_F64, TP_BF16, TP_F16, TP_I64, TP_I32, TP_U8, TP_BOOL };

/* b from blo to bhi */
#define PAIRS(slot, types, lo, hi, blo, bhi, c)                                          \
    for (int i = 0; i < LEN(few) * LEN(types) * 2; i++) {                                \
        const space *s = &few[i / 2 / LEN(types)];                                       \
        tp_dtype t = types[i / 2 % LEN(types)];                                          \
        tp_loop l = loop_in(s, 2);                                                       \
        buffer a = numbers(t, s->room, lo, hi), b = numbers(t, s->room, blo, bhi);       \
        buffer y = numbers(t, count_in(s), 0, 3);                                        \
                                                                                         \
        CASE("%s of %s, %s, add %d", #slot, s->name, dtype_names[t], i % 2);             \
        RUN(slot, t, &l, AT(a), AT(b), i % 2, AT(y));                                    \
        check_close(&y, c);                                                              \
        release_all();                                                                   \
    }

#define SINGLES(slot, types, lo, hi) ONE(slot, types, lo, hi, 1, )

Test(slots, integers)
{
    PAIRS(add, bit_types, -1e9, 1e9, -3e9, 3e9, 0) PAIRS(mul, bit_types, -1e9, 1e9, -3e9, 3e9, 0)
    PAIRS(sub, whole_types, -1e9, 1e9, -3e9, 3e9, 0) SINGLES(square, whole_types, -1e9, 1e9)
    PAIRS(maximum, every_type, -50, 50, -50, 50, 0) PAIRS(minimum, every_type, -50, 50, -50, 50, 0)
    PAIRS(bit_and, bit_types, 0, 1e9, 0, 1e9, 0) PAIRS(bit_or, bit_types, 0, 1e9, 0, 1e9, 0)
    PAIRS(bit_xor, bit_types, -1e9, 1e9, -1e9, 1e9, 0) SINGLES(bit_not, bit_types, 0, 100)
    PAIRS(shift_left, whole_types, 0, 100, -3, 70, 0) PAIRS(shift_right, whole_types, -1e9, 1e9, -3, 70, 0)
}

Test(slots, divisions)
{
    PAIRS(fmod, whole_types, -50, 50, 1, 9, 0) PAIRS(remainder, whole_types, -50, 50, 1, 9, 0)
    PAIRS(floor_divide, whole_types, -50, 50, 1, 9, 0) PAIRS(remainder, floats, -50, 50, -7, -2, 8)
    PAIRS(fmod, floats, -50, 50, 2, 7, 8) PAIRS(pow, floats, 0.1, 3, -2, 3, 16)
    PAIRS(larger_share, floats, -1, 1, -1, 1, 0)
    /* also where (a - r) / b comes out a little below the integer that it is */
    PAIRS(floor_divide, floats, -50, 50, -7, 7, 0) PAIRS(floor_divide, floats, -60000, 60000, 0.1, 7, 0)
}

/* By as many bits as there are, by more, and by fewer than none. */
Test(slots, shifts_of_extremes)
{
    static const double a[] = { INT64_MIN, INT64_MIN, INT64_MIN, 0x1p62, 0x1p62, -1, 255, 255, 3 };
    static const double b[] = { 63, 64, -1, 64, 62, 64, 7, 8, -9 };

    for (int i = 0; i < LEN(whole_types); i++) {
        tp_dtype t = whole_types[i];
        double by = t == TP_I32 ? 0x1p-32 : 1, less = t == TP_I32 ? 32 : 0, large[LEN(a)], few_bits[LEN(a)];
        buffer x, n, left = blank(t, LEN(a)), right = blank(t, LEN(a));
        tp_loop l = tp_loop_flat(LEN(a), 3);

        for (int k = 0; k < LEN(a); k++) { /* u8 holds the last ones alone */
            large[k] = t == TP_U8 && k < 6 ? 200 : fabs(a[k]) > 1e9 ? a[k] * by : a[k];
            few_bits[k] = t == TP_U8 ? k + 4 : b[k] > 9 ? b[k] - less : b[k];
        }
        x = values(t, LEN(a), large), n = values(t, LEN(a), few_bits);
        CASE("shifts of %s", dtype_names[t]);
        RUN(shift_left, t, &l, AT(x), AT(n), false, AT(left));
        RUN(shift_right, t, &l, AT(x), AT(n), false, AT(right));
        check_same(&left), check_same(&right);
        release_all();
    }
}

Test(slots, division_by_nothing)
{
    static const double a[] = { 7, -7, INT32_MIN, 5, 0 }, b[] = { -2, 2, -1, -1, 3 };
    buffer x = values(TP_I32, LEN(a), a), z = values(TP_I32, LEN(b), b), y = blank(TP_I32, LEN(a));
    tp_loop l = tp_loop_flat(LEN(a), 3);

    CASE("the smallest integer");
    RUN(floor_divide, TP_I32, &l, AT(x), AT(z), false, AT(y));
    check_same(&y);
    RUN(remainder, TP_I32, &l, AT(x), AT(z), false, AT(y));
    check_same(&y);
    release_all();
}

Test(slots, floats_over_nothing)
{
    static const double a[] = { 7, -7, 0, 3, INFINITY, 5, -5 }, b[] = { 0, 0, 0, -0.0, 2, INFINITY, INFINITY };
    tp_loop l = tp_loop_flat(LEN(a), 3);

    for (int i = 0; i < LEN(floats); i++) {
        buffer x = values(floats[i], LEN(a), a), z = values(floats[i], LEN(b), b), y = blank(floats[i], LEN(a));

        CASE("over 0 and infinity, %s", dtype_names[floats[i]]);
        RUN(floor_divide, floats[i], &l, AT(x), AT(z), false, AT(y));
        check_close(&y, 0);
        RUN(remainder, floats[i], &l, AT(x), AT(z), false, AT(y));
        check_close(&y, 0);
        RUN(fmod, floats[i], &l, AT(x), AT(z), false, AT(y));
        check_close(&y, 0);
        release_all();
    }
}

Test(slots, rounding)
{
    SINGLES(floor, floats, -5, 5) SINGLES(ceil, floats, -5, 5) SINGLES(round, floats, -5, 5)
    SINGLES(trunc, floats, -5, 5) SINGLES(sign, number_types, -5, 5)
}

/* ---- questions ---- */

Test(slots, compare)
{
    static const double v[] = { 0, 1, -1, NAN, INFINITY, -INFINITY, 2, 2 }, w[] = { 0, 2, -1, 1, INFINITY, 0, NAN, 3 };

    f16_as_stored = true;
    for (int i = 0; i < TP__RELATIONS * LEN(every_type); i++) {
        tp_relation r = (tp_relation)(i / LEN(every_type));
        tp_dtype t = every_type[i % LEN(every_type)];
        bool wide = t <= TP_F16;
        buffer a = wide ? values(t, LEN(v), v) : numbers(t, LEN(v), 0, 3);
        buffer b = wide ? values(t, LEN(w), w) : numbers(t, LEN(v), 0, 3), y = blank(TP_BOOL, LEN(v));
        tp_loop flat = tp_loop_flat(LEN(v), 3);

        CASE("relation %d, %s", (int)r, dtype_names[t]);
        RUN(compare, t, &flat, r, AT(a), AT(b), AT(y));
        check_same(&y);
        release_all();
        for (int k = 0; k < LEN(few); k++) {
            tp_loop l = loop_in(&few[k], 2);
            buffer x = numbers(t, few[k].room, 0, 3), z = numbers(t, few[k].room, 0, 3), u = blank(TP_BOOL, count_in(&few[k]));

            RUN(compare, t, &l, r, AT(x), AT(z), AT(u));
            check_same(&u);
            release_all();
        }
    }
}

Test(slots, where)
{
    f16_as_stored = true;
    for (int i = 0; i < LEN(few) * LEN(every_type) * 2; i++) {
        const space *s = &few[i / 2 / LEN(every_type)];
        tp_dtype t = every_type[i / 2 % LEN(every_type)];
        const int64_t *strides[] = { s->b, s->b, s->b };
        tp_loop l;
        buffer cond = numbers(TP_BOOL, s->room, 0, 1), a = numbers(t, s->room, 0, 9), b = numbers(t, s->room, 0, 9);
        buffer y = numbers(t, count_in(s), 0, 3);

        strides[i / 2 % 3] = s->a, l = loop_of(s->rank, s->n, 3, strides, true);
        CASE("where of %s, %s, add %d", s->name, dtype_names[t], i % 2);
        RUN(where, t, &l, AT(cond), AT(a), AT(b), i % 2, AT(y));
        check_same(&y);
        release_all();
    }
}
