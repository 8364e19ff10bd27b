/*
 * test_slots_index.c - CUDA's picking by index, tables and bands against the CPU's.
 */
#include "tests/cudasim/spaces.h"

TestSuite(slots, .init = open_machines, .fini = close_machines);

static const tp_dtype every_type[] = { TP_F32, TP_F64, TP_BF16, TP_F16, TP_I64, TP_I32, TP_U8, TP_BOOL };

static buffer places(int64_t n, int64_t size)
{
    buffer b = blank(TP_I64, n);

    for (int64_t i = 0; i < n; i++)
        ((int64_t *)b.at[CPU])[i] = (int64_t)number(0, (double)size) % size;
    upload(&b);
    return b;
}

/* ---- along an axis: lanes (a, b), an axis of `size` between, n picked ---- */

typedef struct axis {
    int64_t a, b, size, n;
} axis;

static const axis axes[] = { { 1, 1, 5, 9 }, { 3, 4, 6, 5 }, { 1, 70, 9, 3 }, { 1, 1, 3000, 2500 }, { 2, 1, 7, 0 } };

static tp_pick pick_of(axis x)
{
    const int64_t n[] = { x.a, x.b }, picked[] = { x.n * x.b, 1 }, whole[] = { x.size * x.b, 1 };
    const int64_t *strides[] = { picked, picked, whole };
    tp_pick p = { .n = x.n, .size = x.size, .step = { x.b, x.b, x.b } };

    p.lanes = tp_loop_make(2, n, 3, strides, false);
    return p;
}

Test(slots, gather)
{
    f16_as_stored = true;
    for (int i = 0; i < LEN(axes) * LEN(every_type); i++) {
        axis a = axes[i / LEN(every_type)];
        tp_dtype t = every_type[i % LEN(every_type)];
        tp_pick p = pick_of(a);
        buffer x = numbers(t, a.a * a.size * a.b, 0, 50), index = places(a.a * a.n * a.b, a.size);
        buffer y = blank(t, a.a * a.n * a.b);

        CASE("gather (%d, %d, %d), %s", (int)a.a, (int)a.n, (int)a.b, dtype_names[t]);
        RUN(gather, t, &p, AT(x), AT(index), AT(y));
        check_same(&y);
        release_all();
    }
}

Test(slots, scatter)
{
    f16_as_stored = true;
    for (int i = 0; i < LEN(axes) * LEN(every_type) * 2; i++) {
        axis a = axes[i / 2 / LEN(every_type)];
        tp_dtype t = every_type[i / 2 % LEN(every_type)];
        tp_pick p = pick_of(a);
        buffer x = numbers(t, a.a * a.n * a.b, 0, 50), index = places(a.a * a.n * a.b, a.size);
        buffer y = numbers(t, a.a * a.size * a.b, 0, 9);

        if (a.n > 1000 && t != TP_F32) continue;
        CASE("scatter (%d, %d, %d), %s, add %d", (int)a.a, (int)a.n, (int)a.b, dtype_names[t], i % 2);
        RUN(scatter, t, &p, AT(x), AT(index), i % 2, AT(y));
        check_same(&y); /* each place is summed in one order on both */
        release_all();
    }
}

/* The error comes at the next wait, once, and nothing is written outside. */
static void refuse(int status, const char *text)
{
    tp_ctx *c = &ctx[CUDA];

    cr_expect(status == 0 && c->backend->wait(c) != 0 && strstr(c->error, text), "%s", c->error);
    cr_expect(c->backend->wait(c) == 0, "told twice: %s", c->error);
}

Test(slots, indices_outside)
{
    tp_ctx *c = &ctx[CUDA];
    tp_pick p = pick_of((axis){ 1, 1, 3, 2 });
    buffer x = numbers(TP_F32, 3, 0, 1), bad = values(TP_I64, 2, (double[]){ 1, 3 }), y = blank(TP_F32, 6);
    buffer draw = values(TP_I64, 2, (double[]){ 1, 2 }), odds = values(TP_F32, 2, (double[]){ 0.5, 1.5 });
    tp_loop l = tp_loop_flat(2, 2);

    refuse(c->backend->gather[TP_F32](c, &p, x.at[CUDA], bad.at[CUDA], y.at[CUDA]), "gather: index 3 is outside 0..2");
    refuse(c->backend->scatter[TP_F32](c, &p, x.at[CUDA], bad.at[CUDA], false, y.at[CUDA]), "scatter: index 3 is outside 0..2");
    refuse(c->backend->embedding[TP_F32](c, 2, 3, 1, bad.at[CUDA], x.at[CUDA], y.at[CUDA]), "embedding: index 3 is outside 0..2");
    refuse(c->backend->bernoulli[TP_F32](c, &l, odds.at[CUDA], (tp_draw){ draw.at[CUDA], 0 }, y.at[CUDA]), "outside 0..1");
    release_all();
}

/* ---- tables ---- */

Test(slots, embedding)
{
    static const int64_t sizes[][3] = { { 7, 5, 3 }, { 1, 1, 1 }, { 300, 20, 40 }, { 9, 4, 300 }, { 0, 3, 2 } };

    f16_as_stored = false;
    for (int i = 0; i < LEN(sizes) * LEN(floats) * 2; i++) {
        const int64_t *s = sizes[i / 2 / LEN(floats)];
        tp_dtype t = floats[i / 2 % LEN(floats)];
        buffer index = places(s[0], s[1]), w = numbers(t, s[1] * s[2], -1, 1), y = blank(t, s[0] * s[2]);
        buffer dy = numbers(t, s[0] * s[2], -1, 1), dw = numbers(t, s[1] * s[2], -1, 1);

        CASE("embedding %d of (%d, %d), %s", (int)s[0], (int)s[1], (int)s[2], dtype_names[t]);
        RUN(embedding, t, s[0], s[1], s[2], AT(index), AT(w), AT(y));
        check_same(&y);
        RUN(embedding_dw, t, s[0], s[1], s[2], AT(index), AT(dy), i % 4 ? -1 : 0, i % 2, AT(dw));
        check_close(&dw, 4);
        release_all();
    }
}

/* ---- numbers in a row, bands, draws ---- */

Test(slots, iota_and_band)
{
    f16_as_stored = true;
    for (int i = 0; i < LEN(every_type); i++) {
        tp_dtype t = every_type[i];
        buffer y = blank(t, 100), x = numbers(t, 2 * 5 * 7, 0, 9), z = blank(t, 2 * 5 * 7);

        CASE("iota and band, %s", dtype_names[t]);
        RUN(iota, t, 100, 3, -0.5, AT(y));
        check_same(&y);
        RUN(band, t, 2, 5, 7, -1, 2, AT(x), AT(z));
        check_same(&z);
        RUN(band, t, 2, 5, 7, INT64_MIN / 2, 0, AT(x), AT(z));
        check_same(&z);
        release_all();
    }
}

Test(slots, bernoulli)
{
    f16_as_stored = false;
    for (int i = 0; i < LEN(floats) - 1; i++) { /* f16 rounds the draws too */
        buffer state = values(TP_I64, 2, (double[]){ 11, 5 }), p = numbers(floats[i], 1001, 0, 1), y = blank(floats[i], 1001);
        tp_loop l = tp_loop_flat(1001, 2);

        CASE("bernoulli, %s", dtype_names[floats[i]]);
        RUN(bernoulli, floats[i], &l, AT(p), ((tp_draw){ AT(state), 3 }), AT(y));
        check_same(&y);
        release_all();
    }
}
