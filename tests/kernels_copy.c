/*
 * kernels_copy.c - fill, copy and cast of all dtypes, on the CPU, element by element.
 */
#include "tests/kernels_memory.h"

/* ---- fill, copy ---- */

static void try_copy(const tp_backend *b, tp_dtype t, const space *s, layout ky,
                     layout kx, bool add)
{
    operand o[2];
    size_t bytes;
    unsigned char *start;

    o[0] = make_operand(t, ky, s->rank, s->n, 0, 100);
    o[1] = make_operand(t, kx, s->rank, s->n, 0, 100);
    bytes = (size_t)o[0].room * type_size(t), start = malloc(bytes + 1);
    memcpy(start, o[0].bytes, bytes);
    CASE("copy %s %s, y %s, x %s, rank %d (%lld, %lld), add %d", level, type_names[t],
         layout_names[ky], layout_names[kx], s->rank, (long long)s->n[0],
         (long long)s->n[1], add);
    for (int ordered = 0; ordered < 2; ordered++)
        for (int threads = 1; threads <= 3; threads++) {
            tp_loop l = loop_of(o, 2, ordered);
            tp_ctx c = make_ctx(b, threads);
            operand old = o[0];
            bool same = true;

            memcpy(o[0].bytes, start, bytes);
            CHECK(b->copy[t](&c, &l, at(&o[1]), add, at(&o[0])) == 0);
            old.bytes = start;
            for (int64_t i = 0; i < o[0].count; i++) {
                double want = value(&o[1], i);
                uint64_t wide[2] = { 0 };

                if (add && t == TP_BOOL) want = want || value(&old, i);
                if (add && t != TP_BOOL) want += value(&old, i);
                set_element(t, wide, 0, want); /* rounded as T is */
                if (t == TP_U8) want = (double)(uint8_t)(int)want;
                same = same &&
                       value(&o[0], i) == (t == TP_U8 ? want : get_element(t, wide, 0));
            }
            CHECK(same);
        }
    free(start), free(o[0].bytes), free(o[1].bytes);
}

Test(kernels_copy, copies)
{
    static const space more[] = { { 2, { 67, 45 } },
                                  { 4, { 2, 33, 17, 9 } },
                                  { 3, { 3, 64, 80 } } };

    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (tp_dtype t = TP_F32; b && t <= TP_BOOL; t++)
            for (int add = 0; add < (t == TP_F16 ? 1 : 2); add++)
                for (layout ky = DENSE; ky < ROW; ky++)
                    for (layout kx = DENSE; kx < LAYOUTS; kx++) {
                        for (int s = 0; s < LEN(spaces); s++)
                            try_copy(b, t, &spaces[s], ky, kx, add);
                        for (int s = 0; s < LEN(more); s++)
                            try_copy(b, t, &more[s], ky, kx, add);
                    }
    }
}

Test(kernels_copy, fills)
{
    static const double values[] = { 0, 1, 3.5, -2, 300, 1e30 };
    static const double want[TP_DTYPES][LEN(values)] = {
        [TP_I64] = { 0, 1, 3, -2, 300, 0x1p63 },
        [TP_I32] = { 0, 1, 3, -2, 300, INT32_MAX },
        [TP_U8] = { 0, 1, 3, 0, 255, 255 },
        [TP_BOOL] = { 0, 1, 1, 1, 1, 1 },
    };

    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (int i = 0; b && i < TP_DTYPES * LEN(values) * ROW; i++) {
            tp_dtype t = i % TP_DTYPES;
            int k = i / TP_DTYPES % LEN(values);
            operand y = make_operand(t, (layout)(i / TP_DTYPES / LEN(values)), 2,
                                     (int64_t[]){ 37, 29 }, 0, 100);
            tp_loop l = loop_of(&y, 1, true);
            tp_ctx c = make_ctx(b, 2);
            uint64_t wide[2];
            bool same = true;

            set_element(t, wide, 0, t <= TP_F16 ? values[k] : 0);
            CASE("fill %s %s with %g", level, type_names[t], values[k]);
            CHECK(b->fill[t](&c, &l, values[k], at(&y)) == 0);
            for (int64_t n = 0; n < y.count; n++)
                same = same && value(&y, n) ==
                                   (t <= TP_F16 ? get_element(t, wide, 0) : want[t][k]);
            CHECK(same);
            free(y.bytes);
        }
    }
}

/* ---- cast ---- */

/* What x of dtype `from` is in dtype `to`. */
static double cast_one(double x, tp_dtype from, tp_dtype to)
{
    static const double low[] = { [TP_I64] = -0x1p63, [TP_I32] = INT32_MIN, [TP_U8] = 0 };
    static const double high[] = {
        [TP_I64] = 0x1p63, [TP_I32] = INT32_MAX, [TP_U8] = 255
    };
    uint64_t wide[2] = { 0 };

    if (to == TP_BOOL) return x != 0;
    if (to >= TP_I64 && from <= TP_F16)
        return isnan(x)        ? 0
               : x <= low[to]  ? low[to]
               : x >= high[to] ? high[to]
                               : trunc(x);
    if (to == TP_I32) return (double)(int32_t)(int64_t)x;
    if (to == TP_U8) return (double)(uint8_t)(int64_t)x;
    set_element(to, wide, 0, x);
    return get_element(to, wide, 0);
}

static void try_cast(const tp_backend *b, tp_dtype from, tp_dtype to, layout ky,
                     layout kx, int rank, const int64_t *n, const double *special,
                     int specials)
{
    operand o[2];
    tp_loop l;

    o[0] = make_operand(to, ky, rank, n, 0, 1);
    o[1] = make_operand(from, kx, rank, n, from == TP_U8 ? 0 : -300, 300);
    for (int64_t i = 0; i < specials && i < o[1].room; i++)
        set_element(from, o[1].bytes, i, special[i]);
    l = loop_of(o, 2, true);
    CASE("cast %s %s to %s, y %s, x %s", level, type_names[from], type_names[to],
         layout_names[ky], layout_names[kx]);
    for (int threads = 1; threads <= 3; threads++) {
        tp_ctx c = make_ctx(b, threads);

        CHECK(b->cast[from](&c, &l, at(&o[1]), to, at(&o[0])) == 0);
        for (int64_t i = 0; i < o[0].count; i++) {
            double x = value(&o[1], i), got = value(&o[0], i),
                   want = cast_one(x, from, to);

            if (got == want || (isnan(got) && isnan(want))) continue;
            cr_expect(false, "%s: %g became %g, not %g", case_name, x, got, want);
            break;
        }
    }
    free(o[0].bytes), free(o[1].bytes);
}

Test(kernels_copy, casts)
{
    static const double reals[] = {
        NAN,   INFINITY, -INFINITY, 1e30,  -1e30, 0.9,  -0.9,
        255.5, -0.0,     65519,     65520, 1e-7,  6e-8, 3e-8
    };
    static const double integers[] = { 0,  1,    255,          256,
                                       -1, -257, 2147483648.0, -4294967297.0 };
    static const double bytes[] = { 0, 1, 127, 128, 255 };
    static const int64_t small[] = { 5, 7 }, large_n[] = { 3, 41001 };

    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (int i = 0; b && i < TP_DTYPES * TP_DTYPES; i++) {
            tp_dtype from = i / TP_DTYPES, to = i % TP_DTYPES;
            const double *special = from <= TP_F16   ? reals
                                    : from == TP_I64 ? integers
                                                     : bytes;
            int specials = from <= TP_F16   ? LEN(reals)
                           : from == TP_I64 ? LEN(integers)
                                            : 5;

            if (from == TP_BOOL) specials = 2;
            if (from == TP_I32) specials = 0;
            for (layout kx = DENSE; kx < LAYOUTS; kx++)
                for (layout ky = DENSE; ky < ROW; ky++)
                    try_cast(b, from, to, ky, kx, 2, small, special, specials);
            try_cast(b, from, to, DENSE, DENSE, 2, large_n, special, specials);
        }
    }
}
