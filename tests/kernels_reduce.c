/*
 * kernels_reduce.c - sum, argmax and count_nan on the CPU, against plain loops.
 */
#include "tests/kernels_memory.h"

/* ---- sum ---- */

/* y keeps the axes of bits `kept`; x has layout kx. */
static void try_sum(const tp_backend *b, tp_dtype t, const space *s, int kept, layout ky,
                    layout kx, bool add)
{
    operand o[2];
    int64_t ny[4], length = 1;
    unsigned char *start, *first;
    double *got, *want;
    long double *exact; /* a plain sum in double is no reference for ours in double */
    size_t bytes;

    for (int j = 0; j < s->rank; j++)
        ny[j] = kept >> j & 1 ? s->n[j] : 1, length *= kept >> j & 1 ? 1 : s->n[j];
    o[0] = make_operand(t, ky, s->rank, ny, -1, 1);
    o[1] = make_operand(t, kx, s->rank, s->n, -0.3, 1);
    bytes = (size_t)o[0].room * type_size(t);
    start = malloc(bytes + 1), first = malloc(bytes + 1);
    got = calloc((size_t)(2 * o[0].room + 1), sizeof *got), want = got + o[0].room;
    exact = calloc((size_t)o[0].room + 1, sizeof *exact);
    if (!add) memset(o[0].bytes, 0xff, bytes);
    memcpy(start, o[0].bytes, bytes);
    for (int64_t i = 0; i < o[0].count; i++)
        exact[place(&o[0], i)] = add ? (long double)value(&o[0], i) : 0;
    for (int j = 0; j < s->rank; j++) /* from here on y is as large as x */
        if (!(kept >> j & 1)) o[0].stride[j] = 0, o[0].n[j] = s->n[j];
    for (int64_t i = 0; i < o[1].count; i++)
        exact[place(&o[0], i)] += (long double)value(&o[1], i);
    CASE("sum %s %s, y %s, x %s, rank %d (%lld, %lld, %lld), kept %x, add %d", level,
         type_names[t], layout_names[ky], layout_names[kx], s->rank, (long long)s->n[0],
         (long long)s->n[1], (long long)s->n[2], kept, add);
    for (int i = 0; i < 3; i++) {
        tp_ctx c = make_ctx(b, i + 1);
        tp_loop l = loop_of(o, 2, true);

        memcpy(o[0].bytes, start, bytes);
        CHECK(b->sum[t](&c, &l, at(&o[1]), add, at(&o[0])) == 0);
        if (i == 0) memcpy(first, o[0].bytes, bytes);
        CHECK(memcmp(first, o[0].bytes, bytes) == 0);
        free(c.scratch);
    }
    for (int64_t i = 0; i < o[0].room; i++)
        got[i] = get_element(t, o[0].bytes, i), want[i] = (double)exact[i];
    check_near(t, got, want, o[0].room, t == TP_BF16 ? 1 : sqrt((double)length + 1));
    free(start), free(first), free(got), free(exact), free(o[0].bytes), free(o[1].bytes);
}

Test(kernels_reduce, sums)
{
    static const space sizes[] = {
        { 2, { 3, 0 } },       { 2, { 0, 3 } },       { 3, { 2, 0, 40 } },
        { 0, { 0 } },          { 1, { 0 } },          { 1, { 1 } },
        { 1, { 1031 } },       { 1, { 300007 } },     { 2, { 1000, 10 } },
        { 2, { 3000, 70 } },   { 2, { 7, 2500 } },    { 2, { 2100, 110 } },
        { 3, { 31, 17, 40 } }, { 4, { 6, 5, 8, 9 } }, { 3, { 20, 3, 1500 } },
        { 2, { 9001, 4 } },
    };

    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (int i = 0; b && i < LEN(sizes) * LEN(float_types); i++) {
            const space *s = &sizes[i % LEN(sizes)];
            tp_dtype t = float_types[i / LEN(sizes)];

            for (int kept = 0; kept < 1 << s->rank; kept++)
                for (layout kx = DENSE; kx <= (i % 2 ? TURNED : COLUMN); kx++) {
                    try_sum(b, t, s, kept, DENSE, kx, kx & 1);
                    if (i % 3 == 0) try_sum(b, t, s, kept, TURNED, kx, !(kx & 1));
                }
        }
    }
}

/* Rounding errors must not grow with the length: 16 million numbers near 1. */
Test(kernels_reduce, long_sum)
{
    int64_t n = 1 << 24;
    float *x = malloc((size_t)n * sizeof *x), y;
    double want = 0;

    for (int64_t i = 0; i < n; i++)
        want += (double)(x[i] = (float)number(0.5, 1.5));
    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);
        tp_ctx c = make_ctx(b, 2);
        tp_loop l = tp_loop_flat(n, 2);

        if (!b) continue;
        l.stride[0][0] = 0;
        CASE("long sum %s", level);
        CHECK(b->sum[TP_F32](&c, &l, x, false, &y) == 0);
        CHECK(fabs((double)y - want) <= 4 * 0x1p-23 * want);
        free(c.scratch);
    }
    free(x);
}

/* ---- argmax, count_nan ---- */

Test(kernels_reduce, argmaxes)
{
    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (int i = 0; b && i < 70 * LEN(float_types); i++) {
            tp_dtype t = float_types[i % LEN(float_types)];
            int64_t rows = 61, cols = 1 + i, y[61];
            void *x = numbers(t, rows * cols, -9, 9);

            if (i % 4 == 1) set_element(t, x, 3 * cols + i / 2, NAN);
            if (i % 4 == 2)
                for (int64_t k = 0; k < cols; k++)
                    set_element(t, x, k, -INFINITY), set_element(t, x, cols + k, 7);
            CASE("argmax %s %s of %lld", level, type_names[t], (long long)cols);
            for (int threads = 1; threads <= 3; threads++) {
                tp_ctx c = make_ctx(b, threads);

                CHECK(b->argmax[t](&c, rows, cols, x, y) == 0);
                for (int64_t r = 0; r < rows; r++) {
                    int64_t best = 0;

                    for (int64_t k = 1; k < cols; k++) {
                        double e = get_element(t, x, r * cols + k);
                        double top = get_element(t, x, r * cols + best);

                        if (!isnan(top) && (e > top || isnan(e))) best = k;
                    }
                    CHECK(y[r] == best);
                }
            }
            free(x);
        }
    }
}

Test(kernels_reduce, count_nans)
{
    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (int i = 0; b && i < LEN(float_types) * LAYOUTS * LEN(large); i++) {
            const space *s = &large[i % LEN(large)];
            operand x = make_operand(float_types[i / LEN(large) / LAYOUTS],
                                     i / LEN(large) % LAYOUTS, s->rank, s->n, -1, 1);
            tp_loop l = loop_of(&x, 1, true);
            int64_t want = 0, got = -1;

            set_element(x.t, x.bytes, x.room / 2, NAN),
                set_element(x.t, x.bytes, 0, -NAN);
            if (x.room > 9) set_element(x.t, x.bytes, 7, INFINITY);
            for (int64_t k = 0; k < x.count; k++)
                want += isnan(value(&x, k));
            CASE("count_nan %s %s", level, type_names[x.t]);
            for (int threads = 1; threads <= 3; threads++) {
                tp_ctx c = make_ctx(b, threads);

                CHECK(b->count_nan[x.t](&c, &l, at(&x), &got) == 0);
                CHECK(got == want);
                free(c.scratch);
            }
            free(x.bytes);
        }
    }
}
