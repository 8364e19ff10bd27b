/*
 * test_slots_lanes.c - CUDA's folds, scans, softmax and orders along lanes against the CPU's.
 */
#include "tests/cudasim/slots.h"

TestSuite(slots, .init = open_machines, .fini = close_machines);

static const tp_dtype number_types[] = { TP_F32, TP_F64, TP_BF16, TP_F16, TP_I64, TP_I32, TP_U8 };
static const tp_dtype bit_types[] = { TP_I64, TP_I32, TP_U8, TP_BOOL };
static const tp_dtype every_type[] = { TP_F32, TP_F64, TP_BF16, TP_F16, TP_I64, TP_I32, TP_U8, TP_BOOL };
static const tp_dtype scan_types[] = { TP_F32, TP_F64, TP_BF16, TP_F16, TP_I64 };

static const tp_lanes shapes[] = { { 1, 1, 1 },   { 7, 5, 1 },  { 3, 300, 1 }, { 2, 3000, 1 },
                                   { 2, 33, 40 }, { 1, 9, 70 }, { 3, 1, 5 }, { 5, 6, 2 } };

static int64_t count_of(tp_lanes d)
{
    return d.outer * d.n * d.inner;
}

#define FOLD(slot, types, to, lo, hi, c, ...)                                            \
    for (int i = 0; i < LEN(shapes) * LEN(types); i++) {                                 \
        tp_lanes d = shapes[i / LEN(types)];                                             \
        tp_dtype t = types[i % LEN(types)];                                              \
        buffer x = numbers(t, count_of(d), lo, hi), y = blank(to, d.outer * d.inner);    \
                                                                                         \
        CASE("%s of (%d, %d, %d), %s", #slot, (int)d.outer, (int)d.n, (int)d.inner,      \
             dtype_names[t]);                                                            \
        RUN(slot, t, d, AT(x), __VA_ARGS__);                                             \
        check_close(&y, c);                                                              \
        release_all();                                                                   \
    }

Test(slots, extremes_of_lanes)
{
    FOLD(amax, every_type, t, -50, 50, 0, AT(y)) FOLD(amin, every_type, t, -50, 50, 0, AT(y))
}

Test(slots, sums_of_lanes)
{
    FOLD(total, bit_types, TP_I64, -50, 50, 0, AT(y)) FOLD(prod, scan_types, t, 0.99, 1.01, 64, AT(y))
    FOLD(power_sum, floats, t, -2, 2, 64, 3, AT(y)) FOLD(power_sum, floats, t, -2, 2, 64, 1, AT(y))
    FOLD(power_sum, floats, t, -2, 2, 64, 2, AT(y)) FOLD(power_sum, floats, t, -2, 2, 64, 0, AT(y))
    FOLD(variance, floats, t, 9, 12, 64, 1, AT(y)) FOLD(variance, floats, t, 9, 12, 64, 0, AT(y))
}

Test(slots, a_nan_wins)
{
    static const double v[] = { 1, NAN, 3, -INFINITY, 5, 2, 7, INFINITY, 7 };

    for (int i = 0; i < LEN(floats); i++) {
        buffer x = values(floats[i], 9, v), y = blank(floats[i], 3), place = blank(TP_I64, 3), best = blank(TP_I64, 9);

        CASE("a NaN, %s", dtype_names[floats[i]]);
        RUN(amax, floats[i], ((tp_lanes){ 3, 3, 1 }), AT(x), AT(y));
        check_same(&y);
        RUN(amin, floats[i], ((tp_lanes){ 1, 3, 3 }), AT(x), AT(y));
        check_same(&y);
        RUN(argmax, floats[i], 3, 3, AT(x), AT(place));
        check_same(&place);
        RUN(cummax, floats[i], ((tp_lanes){ 3, 3, 1 }), false, AT(x), AT(best));
        check_same(&best);
        release_all();
    }
}

/* ---- scans ---- */

#define SCAN(slot, types, lo, hi, c, ...)                                                \
    for (int i = 0; i < LEN(shapes) * LEN(types) * 2; i++) {                             \
        tp_lanes d = shapes[i / 2 / LEN(types)];                                         \
        tp_dtype t = types[i / 2 % LEN(types)];                                          \
        bool reverse = i % 2;                                                            \
        buffer x = numbers(t, count_of(d), lo, hi), y = blank(t, count_of(d));           \
                                                                                         \
        CASE("%s of (%d, %d, %d), %s", #slot, (int)d.outer, (int)d.n, (int)d.inner,      \
             dtype_names[t]);                                                            \
        RUN(slot, t, d, reverse, __VA_ARGS__);                                           \
        check_close(&y, c);                                                              \
        release_all();                                                                   \
    }

Test(slots, scans)
{
    SCAN(cumsum, scan_types, -9, 9, 8, AT(x), AT(y)) SCAN(cumprod, scan_types, 0.99, 1.02, 64, false, AT(x), AT(y))
    SCAN(cumprod, floats, -1.01, 1.01, 64, true, AT(x), AT(y))
}

Test(slots, slopes_of_products)
{
    for (int i = 0; i < LEN(shapes) * (LEN(floats) - 1) * 4; i++) { /* products of f16 vanish in other places */
        tp_lanes d = shapes[i / 4 / (LEN(floats) - 1)];
        tp_dtype t = floats[i / 4 % (LEN(floats) - 1)];
        buffer x = numbers(t, count_of(d), 0.9, 1.1), dy = numbers(t, count_of(d), -1, 1), dx = blank(t, count_of(d));

        CASE("cumprod_dx of (%d, %d, %d), %s", (int)d.outer, (int)d.n, (int)d.inner, dtype_names[t]);
        RUN(cumprod_dx, t, d, i % 2, i & 2, AT(dy), AT(x), AT(dx));
        check_close(&dx, 64);
        release_all();
    }
}

Test(slots, best_so_far)
{
    f16_as_stored = false;
    for (int i = 0; i < LEN(shapes) * LEN(number_types) * 2; i++) {
        tp_lanes d = shapes[i / 2 / LEN(number_types)];
        tp_dtype t = number_types[i / 2 % LEN(number_types)];
        buffer x = numbers(t, count_of(d), 0, 9), place = blank(TP_I64, count_of(d));

        CASE("cummax of (%d, %d, %d), %s", (int)d.outer, (int)d.n, (int)d.inner, dtype_names[t]);
        RUN(cummax, t, d, i % 2, AT(x), AT(place));
        check_same(&place);
        release_all();
    }
}

/* ---- softmax ---- */

Test(slots, softmax)
{
    static const tp_lanes more[] = { { 5, 10, 1 }, { 3, 4000, 1 }, { 2, 33, 40 }, { 4, 100, 1 }, { 1, 300, 33 }, { 9, 1, 1 } };

    for (int i = 0; i < LEN(more) * LEN(floats) * 4; i++) {
        tp_lanes d = more[i / 4 / LEN(floats)];
        tp_dtype t = floats[i / 4 % LEN(floats)];
        tp_softmax_kind kind = i & 1 ? TP_SOFTMAX_LOG : TP_SOFTMAX;
        bool add = i & 2;
        buffer x = numbers(t, count_of(d), -9, 9), y = blank(t, count_of(d)), dy = numbers(t, count_of(d), -1, 1);
        buffer dx = add ? numbers(t, count_of(d), -1, 1) : blank(t, count_of(d));

        CASE("softmax %d of (%d, %d, %d), %s", (int)kind, (int)d.outer, (int)d.n, (int)d.inner, dtype_names[t]);
        RUN(softmax, t, d.outer, d.n, d.inner, AT(x), kind, AT(y));
        check_close(&y, 32);
        RUN(softmax_dx, t, d.outer, d.n, d.inner, AT(dy), AT(y), kind, add, AT(dx));
        check_close(&dx, 64);
        release_all();
    }
}

Test(slots, masked_softmax)
{
    static const double v[] = { 1, -INFINITY, 2, -INFINITY, -INFINITY, -INFINITY, NAN, 1, 2, INFINITY, 1, 0 };

    for (int kind = 0; kind <= TP_SOFTMAX_MASKED; kind++) {
        buffer x = values(TP_F32, 12, v), y = blank(TP_F32, 12);

        CASE("masked rows, kind %d", kind);
        RUN(softmax, TP_F32, 4, 3, 1, AT(x), (tp_softmax_kind)kind, AT(y));
        check_close(&y, 8);
        release_all();
    }
}

/* ---- orders ---- */

Test(slots, argmax)
{
    static const int64_t sizes[][2] = { { 5, 1 }, { 3, 40 }, { 2, 3000 }, { 300, 7 } };

    for (int i = 0; i < LEN(sizes) * LEN(number_types); i++) {
        const int64_t *s = sizes[i / LEN(number_types)];
        tp_dtype t = number_types[i % LEN(number_types)];
        buffer x = numbers(t, s[0] * s[1], 0, 9), y = blank(TP_I64, s[0]);

        CASE("argmax (%d, %d), %s", (int)s[0], (int)s[1], dtype_names[t]);
        RUN(argmax, t, s[0], s[1], AT(x), AT(y));
        check_same(&y);
        release_all();
    }
}

Test(slots, sort)
{
    static const int64_t sizes[][2] = { { 3, 1 }, { 2, 37 }, { 1, 1024 }, { 2, 3000 }, { 40, 6 } };
    static const double v[] = { NAN, 1, -0.0, 0, INFINITY, -1, NAN, -INFINITY, 1 };

    f16_as_stored = true;
    for (int i = 0; i < LEN(sizes) * LEN(every_type) * 2; i++) {
        const int64_t *s = sizes[i / 2 / LEN(every_type)];
        tp_dtype t = every_type[i / 2 % LEN(every_type)];
        buffer x = numbers(t, s[0] * s[1], -40, 40), place = blank(TP_I64, s[0] * s[1]);

        if (s[1] == 3000 && t > TP_F64) continue; /* the network doesn't see dtypes */
        CASE("sort (%d, %d), %s", (int)s[0], (int)s[1], dtype_names[t]);
        RUN(sort, t, s[0], s[1], i % 2, AT(x), AT(place));
        check_same(&place);
        release_all();
    }
    for (int i = 0; i < 8; i++) {
        buffer x = values(every_type[i / 2], LEN(v), v), place = blank(TP_I64, LEN(v));

        CASE("sort with NaN, %s", dtype_names[every_type[i / 2]]);
        RUN(sort, every_type[i / 2], 1, LEN(v), i % 2, AT(x), AT(place));
        check_same(&place);
        release_all();
    }
}

Test(slots, search)
{
    for (int i = 0; i < LEN(floats) * 2; i++) {
        static const double rising[] = { -2, -1, -1, 0, 3, 7, -5, 0, 0, 0, 1, 1 };
        buffer sorted = values(floats[i / 2], 12, rising), x = numbers(floats[i / 2], 40, -6, 8), place = blank(TP_I64, 40);

        CASE("search, %s", dtype_names[floats[i / 2]]);
        RUN(search, floats[i / 2], 2, 6, 20, AT(sorted), AT(x), i % 2, AT(place));
        check_same(&place);
        RUN(search, floats[i / 2], 2, 6, 6, AT(sorted), AT(sorted), i % 2, AT(place));
        check_some(&place, 12, 0);
        release_all();
    }
}
