/*
 * test_slots.c - CUDA slots against the CPU's, over dtypes, shapes and strides; those that work element
 * by element are in test_slots_map.c.
 *
 * Runs on the simulator, where faults of memory, barriers and races fail the waits of RUN,
 * and as it is on a GPU.
 */
#include "tests/cudasim/spaces.h"

TestSuite(slots, .init = open_machines, .fini = close_machines);

/* ---- fill, copy, cast ---- */

Test(slots, fill_and_copy)
{
    f16_as_stored = true;
    for (int i = 0; i < LEN(spaces) * TP_DTYPES; i++) {
        const space *s = &spaces[i / TP_DTYPES];
        tp_dtype t = (tp_dtype)(i % TP_DTYPES);
        tp_loop l = loop_in(s, 1), flat = tp_loop_flat(count_in(s), 1);
        buffer x = numbers(t, s->room, 0, 50), y = blank(t, count_in(s)),
               z = blank(t, count_in(s));

        CASE("%s, %s", s->name, dtype_names[t]);
        RUN(copy, t, &l, AT(x), false, AT(y));
        check_same(&y);
        RUN(copy, t, &l, AT(x), true, AT(y));
        check_same(&y);
        RUN(fill, t, &flat, t == TP_U8 ? 7.9 : t == TP_BOOL ? 0.5 : -7.9, AT(z));
        check_same(&z);
        release_all();
    }
}

Test(slots, cast)
{
    f16_as_stored = true;

    static const double v[] = { 0,    1,     -1,   2.5,  -2.9, 200,  300.7,    -300,
                                1e10, -1e10, 1e20, 1e39, NAN,  1e-8, INFINITY, 65520 };
    tp_loop l = tp_loop_flat(LEN(v), 2);

    for (int i = 0; i < TP_DTYPES * TP_DTYPES; i++) {
        tp_dtype from = (tp_dtype)(i / TP_DTYPES), to = (tp_dtype)(i % TP_DTYPES);
        bool wide = from == TP_F32 || from == TP_F64 || from == TP_BF16;
        buffer x = wide ? values(from, LEN(v), v) : numbers(from, LEN(v), 0, 100);
        buffer y = blank(to, LEN(v));

        CASE("%s to %s", dtype_names[from], dtype_names[to]);
        RUN(cast, from, &l, AT(x), to, AT(y));
        check_same(&y);
        release_all();
    }
}

/* ---- sums ---- */

Test(slots, sum)
{
    static const struct {
        const char *name;
        int rank;
        int64_t n[4], y[4], x[4], outputs;
    } cases[] = {
        { "all of few", 1, { 37 }, { 0 }, { 1 }, 1 },
        { "all of many", 1, { 20000 }, { 0 }, { 1 }, 1 },
        { "rows", 2, { 5, 300 }, { 1, 0 }, { 300, 1 }, 5 },
        { "short rows", 2, { 100, 7 }, { 1, 0 }, { 7, 1 }, 100 },
        { "columns", 2, { 70, 45 }, { 0, 1 }, { 45, 1 }, 45 },
        { "many rows, columns", 2, { 1300, 40 }, { 0, 1 }, { 40, 1 }, 40 },
        { "the middle", 3, { 4, 30, 40 }, { 40, 0, 1 }, { 1200, 40, 1 }, 160 },
        { "outside and inside", 3, { 9, 5, 11 }, { 0, 1, 0 }, { 55, 11, 1 }, 5 },
        { "turned", 3, { 6, 50, 3 }, { 50, 1, 0 }, { 1, 6, 300 }, 300 },
        { "a broadcast input", 2, { 8, 6 }, { 0, 1 }, { 0, 1 }, 6 },
        { "nothing along", 2, { 6, 0 }, { 1, 0 }, { 1, 1 }, 6 },
        { "no axis", 2, { 5, 7 }, { 7, 1 }, { 7, 1 }, 35 },
    };

    for (int i = 0; i < LEN(cases) * LEN(floats) * 2; i++) {
        int k = i / 2 / LEN(floats), add = i % 2;
        tp_dtype t = floats[i / 2 % LEN(floats)];
        const int64_t *strides[] = { cases[k].y, cases[k].x };
        int64_t room = 1; /* exactly what x spans */
        tp_loop l = tp_loop_make(cases[k].rank, cases[k].n, 2, strides, true);
        buffer x;
        buffer y = add ? numbers(t, cases[k].outputs, -1, 1) : blank(t, cases[k].outputs);

        for (int j = 0; j < cases[k].rank; j++)
            room += cases[k].n[j] ? (cases[k].n[j] - 1) * cases[k].x[j] : 0;
        x = numbers(t, room, -1, 2);
        CASE("sum of %s, %s, add %d", cases[k].name, dtype_names[t], add);
        RUN(sum, t, &l, AT(x), add, AT(y));
        check_close(&y, 16);
        release_all();
    }
}

/* ---- cross entropy ---- */

static buffer labels(int64_t rows, int64_t cols, int64_t ignored)
{
    buffer y = blank(TP_I64, rows);

    for (int64_t r = 0; r < rows; r++)
        ((int64_t *)y.at[CPU])[r] = r % 5 == 2 || r < ignored ? -100 : r * 7 % cols;
    upload(&y);
    return y;
}

static void try_cross_entropy(tp_dtype t, int64_t rows, int64_t cols, bool mean, bool add)
{
    tp_dtype A = sum_of(t);
    int64_t step = mean ? 0 : 1;
    buffer x = numbers(t, rows * cols, -9, 9), y = labels(rows, cols, 0);
    buffer soft = blank(A, rows * 2), row = blank(A, rows), loss = blank(A, 1);
    buffer count = blank(A, 1), dloss = numbers(A, rows, 0.5, 2),
           u = numbers(t, rows * cols, -1, 1);
    buffer dx = add ? numbers(t, rows * cols, -1, 1) : blank(t, rows * cols);
    buffer ddx = blank(t, rows * cols), ddloss = blank(A, rows);

    CASE("cross entropy (%d, %d), %s, mean %d", (int)rows, (int)cols, dtype_names[t],
         mean);
    RUN(cross_entropy, t, rows, cols, AT(x), AT(y), -100, mean, AT(soft), AT(row),
        AT(loss), AT(count));
    check_close(&soft, 16), check_close(&row, 16), check_close(&loss, 16),
        check_same(&count);
    RUN(cross_entropy_dx, t, rows, cols, AT(x), AT(soft), AT(y), -100, mean, AT(dloss),
        step, AT(count), add, AT(dx));
    check_close(&dx, 16);
    RUN(cross_entropy_ddx, t, rows, cols, AT(x), AT(soft), AT(y), -100, mean, AT(dloss),
        step, AT(count), AT(u), AT(ddx), AT(ddloss));
    check_close(&ddx, 32), check_close(&ddloss, 32);
    release_all();
}

Test(slots, cross_entropy)
{
    static const int64_t cols[] = { 1, 10, 33, 200, 1500 };

    for (int i = 0; i < LEN(cols) * LEN(floats) * 2; i++)
        try_cross_entropy(floats[i / 2 % LEN(floats)], i % 3 ? 7 : 300 / cols[i / 2 / LEN(floats)] + 1,
                          cols[i / 2 / LEN(floats)], i % 2, i / 2 % 2);
    for (int i = 0; i < 2; i++) /* more rows than the block that adds them has threads */
        try_cross_entropy(TP_F32, 700, 3, i, false);
}

Test(slots, cross_entropy_without_labels)
{
    buffer x = numbers(TP_F32, 12, -1, 1), y = labels(3, 4, 3), soft = blank(TP_F32, 6);
    buffer row = blank(TP_F32, 3), loss = blank(TP_F32, 1), count = blank(TP_F32, 1);

    CASE("every row ignored");
    RUN(cross_entropy, TP_F32, 3, 4, AT(x), AT(y), -100, true, AT(soft), AT(row),
        AT(loss), AT(count));
    check_same(&loss), check_same(&count);
    release_all();
}

/* The row of the good label has numbers, that of the bad one NaN. */
static void derivatives_of_a_bad_label(buffer *x, buffer *soft, buffer *y, buffer *count)
{
    tp_ctx *c = &ctx[CUDA];
    buffer dloss = values(TP_F32, 1, (double[]){ 1 }), u = numbers(TP_F32, 8, -1, 1), dx = blank(TP_F32, 8);
    buffer ddx = blank(TP_F32, 8), ddloss = blank(TP_F32, 2);
    float got[18];

    cr_expect_eq(c->backend->cross_entropy_dx[TP_F32](c, 2, 4, x->at[CUDA], soft->at[CUDA], y->at[CUDA], -100, true, dloss.at[CUDA], 0,
                                                      count->at[CUDA], false, dx.at[CUDA]), 0);
    cr_expect_eq(c->backend->cross_entropy_ddx[TP_F32](c, 2, 4, x->at[CUDA], soft->at[CUDA], y->at[CUDA], -100, true, dloss.at[CUDA], 0,
                                                       count->at[CUDA], u.at[CUDA], ddx.at[CUDA], ddloss.at[CUDA]), 0);
    cr_expect(c->backend->download(c, got, dx.at[CUDA], 32) == 0 && c->backend->download(c, got + 8, ddx.at[CUDA], 32) == 0 &&
              c->backend->download(c, got + 16, ddloss.at[CUDA], 8) == 0);
    for (int i = 0; i < 18; i++)
        cr_expect_eq(isnan(got[i]), i < 16 ? i % 8 >= 4 : i == 17, "number %d is %g", i, got[i]);
}

Test(slots, cross_entropy_of_a_bad_label)
{
    tp_ctx *c = &ctx[CUDA];
    buffer x = numbers(TP_F32, 8, -1, 1), y = values(TP_I64, 2, (double[]){ 1, 4 });
    buffer soft = blank(TP_F32, 4), row = blank(TP_F32, 2), loss = blank(TP_F32, 1);
    buffer count = blank(TP_F32, 1);
    float result = 0;

    cr_expect_eq(c->backend->cross_entropy[TP_F32](c, 2, 4, x.at[CUDA], y.at[CUDA], -100,
                                                   true, soft.at[CUDA], row.at[CUDA],
                                                   loss.at[CUDA], count.at[CUDA]),
                 0);
    cr_expect(c->backend->download(c, &result, loss.at[CUDA], sizeof result) != 0);
    cr_expect(isnan(result) && strstr(c->error, "cross_entropy: label 4 is outside 0..3"), "%s", c->error);
    cr_expect(c->backend->wait(c) == 0, "told twice: %s", c->error);
    derivatives_of_a_bad_label(&x, &soft, &y, &count);
    release_all();
}

/* ---- layer norm ---- */

static void try_layer_norm(tp_dtype t, int64_t rows, int64_t cols, bool affine, bool add)
{
    tp_dtype A = sum_of(t);
    buffer x = numbers(t, rows * cols, -1, 3), w = numbers(A, cols, -1, 1);
    buffer b = numbers(A, cols, -1, 1), mean = blank(A, rows), rstd = blank(A, rows);
    buffer y = blank(t, rows * cols), dy = numbers(t, rows * cols, -1, 1);
    buffer dx = add ? numbers(t, rows * cols, -1, 1) : blank(t, rows * cols);
    buffer dw = blank(A, cols), db = blank(A, cols);

    CASE("layer norm (%d, %d), %s, affine %d", (int)rows, (int)cols, dtype_names[t],
         affine);
    RUN(layer_norm, t, rows, cols, AT(x), affine ? AT(w) : NULL, affine ? AT(b) : NULL,
        1e-5, AT(mean), AT(rstd), AT(y));
    check_close(&mean, 16), check_close(&rstd, 64), check_close(&y, 64);
    RUN(layer_norm_dx, t, rows, cols, AT(dy), AT(x), AT(mean), AT(rstd),
        affine ? AT(w) : NULL, add, AT(dx), affine ? AT(dw) : NULL,
        affine ? AT(db) : NULL);
    check_close(&dx, 64);
    if (affine) check_close(&dw, 64), check_close(&db, 64);
    release_all();
}

Test(slots, layer_norm)
{
    static const int64_t sizes[][2] = {
        { 3, 5 }, { 1, 33 }, { 200, 8 }, { 4, 300 }, { 2, 1500 }
    };

    for (int i = 0; i < LEN(sizes) * LEN(floats) * 2; i++)
        try_layer_norm(floats[i / 2 % LEN(floats)], sizes[i / 2 / LEN(floats)][0],
                       sizes[i / 2 / LEN(floats)][1], i % 2, i / 2 % 2);
}

/* ---- products ---- */

static void try_gemm(tp_dtype t, tp_gemm_args g, bool bias, bool preact)
{
    int64_t rows_a = g.ta ? g.k : g.m, rows_b = g.tb ? g.n : g.k;
    int64_t size_y = g.batch * g.m * g.ldy;
    buffer a = numbers(t, g.batch * rows_a * g.lda + 1, -1, 1);
    buffer b = numbers(t, g.batch * rows_b * g.ldb + 1, -1, 1);
    buffer y = numbers(t, size_y, -1, 1), pre = numbers(t, size_y, -1, 1);
    buffer shift = numbers(t, g.n, -1, 1);
    tp_gemm_args with[SIDES] = { g, g };

    for (int s = 0; s < SIDES; s++) {
        with[s].bias = bias ? shift.at[s] : NULL;
        with[s].preact = preact ? pre.at[s] : NULL;
    }
    CASE("gemm %dx(%d, %d, %d)%s%s%s, activation %d, %s", (int)g.batch, (int)g.m,
         (int)g.n, (int)g.k, g.ta ? " ta" : "", g.tb ? " tb" : "", g.add ? " add" : "",
         g.activation, dtype_names[t]);
    RUN(gemm, t, &with[side], AT(a), AT(b), AT(y));
    check_close(&y, 16), check_close(&pre, 16);
    release_all();
}

static tp_gemm_args product(int64_t batch, int64_t m, int64_t n, int64_t k, bool ta,
                            bool tb, int64_t gap)
{
    tp_gemm_args g = { .batch = batch, .m = m, .n = n, .k = k, .ta = ta, .tb = tb };

    g.lda = (ta ? m : k) + gap, g.ldb = (tb ? k : n) + gap, g.ldy = n + gap;
    g.step_a = (ta ? k : m) * g.lda, g.step_b = (tb ? n : k) * g.ldb,
    g.step_y = m * g.ldy;
    return g;
}

Test(slots, gemm)
{
    static const int64_t sizes[][4] = { { 1, 1, 1, 1 },    { 1, 5, 7, 3 },
                                        { 1, 33, 17, 40 }, { 3, 4, 6, 5 },
                                        { 2, 1, 9, 12 },   { 1, 8, 3, 0 } };

    for (int i = 0; i < LEN(sizes) * LEN(floats) * 8; i++) {
        const int64_t *s = sizes[i / 8 / LEN(floats)];
        tp_gemm_args g = product(s[0], s[1], s[2], s[3], i & 1, i & 2, i & 4 ? 2 : 0);
        tp_dtype t = floats[i / 8 % LEN(floats)];

        g.add = i % 3 == 0;
        try_gemm(t, g, false, false);
        if (g.batch > 1) g.step_b = 0, try_gemm(t, g, false, false);
    }
}

Test(slots, linear)
{
    for (int i = 0; i < (TP_SIGMOID + 1) * LEN(floats) * 4; i++) {
        tp_gemm_args g = product(i % 5 == 4 ? 2 : 1, 9, i % 2 ? 16 : 13, 6, false, true, i / 2 % 3);

        g.activation = (tp_activation)(i / 4 / LEN(floats));
        try_gemm(floats[i / 4 % LEN(floats)], g, i & 1, i & 2);
    }
}

/* ---- random ---- */

#define DRAW(b) ((tp_draw){ .state = AT(b), .add = 3 })

Test(slots, random_bits)
{
    static const int64_t sizes[] = { 1, 3, 4, 1000, 4099 };
    buffer state = values(TP_I64, 2, (double[]){ 123456789, 77 });

    for (int i = 0; i < LEN(sizes) * LEN(floats); i++) {
        int64_t n = sizes[i / LEN(floats)];
        tp_dtype t = floats[i % LEN(floats)];
        tp_loop l = tp_loop_flat(n, 1), two = tp_loop_flat(n, 2);
        buffer u = blank(t, n), v = blank(t, n), x = numbers(t, n, -1, 1),
               y = blank(t, n);

        CASE("%d numbers, %s", (int)n, dtype_names[t]);
        RUN(uniform, t, &l, DRAW(state), -1.3, 2.1, AT(u));
        check_same(&u);
        RUN(normal, t, &l, DRAW(state), 0.7, 1.9, AT(v));
        check_same(&v);
        RUN(dropout, t, &two, AT(x), 0.3, DRAW(state), false, AT(y));
        check_same(&y);
        RUN(dropout, t, &two, AT(x), 0.3, DRAW(state), true, AT(y));
        check_same(&y);
    }
    release_all();
}

Test(slots, random_strides)
{
    buffer state = values(TP_I64, 2, (double[]){ 5, 0 }), y = numbers(TP_F32, 60, 0, 1);
    buffer saved = blank(TP_I64, 2);
    const int64_t *strides[] = { I64S(1, 3, 12) };
    tp_loop l = tp_loop_make(3, I64S(3, 4, 5), 1, strides, false);

    CASE("a turned output");
    RUN(normal, TP_F32, &l, DRAW(state), 0, 1, AT(y));
    check_same(&y);
    RUN(draw_save, TP_I64, DRAW(state), AT(saved));
    check_same(&saved);
    release_all();
}

Test(slots, count_nan)
{
    for (int i = 0; i < LEN(floats); i++) {
        int64_t n = 5000;
        buffer x = numbers(floats[i], n, -1, 1), count = blank(TP_I64, 1);
        double holes[] = { NAN, 1, NAN, NAN };
        buffer few = values(floats[i], 4, holes);
        const int64_t *strides[] = { I64S(2) };
        tp_loop all = tp_loop_flat(n, 1), every_other = tp_loop_make(1, I64S(2), 1, strides, false);

        CASE("count_nan, %s", dtype_names[floats[i]]);
        RUN(count_nan, floats[i], &all, AT(x), AT(count));
        check_same(&count);
        RUN(count_nan, floats[i], &every_other, AT(few), AT(count));
        check_same(&count);
        cr_expect_eq(*(int64_t *)count.at[CPU], 2);
        release_all();
    }
}

/* ---- memory ---- */

Test(slots, large_uploads)
{
    buffer x = numbers(TP_F64, 1200000, -1, 1); /* more than all stages hold */

    CASE("a large upload");
    check_same(&x);
    release_all();
}

Test(slots, description)
{
    cr_expect(strlen(ctx[CUDA].backend->describe(&ctx[CUDA])) > 4);
}
