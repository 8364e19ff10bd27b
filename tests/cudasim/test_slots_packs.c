/*
 * test_slots_packs.c - CUDA's kernels that move 16 bytes at a time: operands that aren't aligned give
 * the same bits, and long rows with infinities the CPU's numbers.
 */
#include "tests/cudasim/slots.h"

TestSuite(slots, .init = open_machines, .fini = close_machines);

/* ---- the same numbers twice: aligned, and an element further on ---- */

typedef struct pair {
    buffer b[2];
} pair;

static int off; /* which of them ON is at */
#define ON(p) offset(&(p).b[off], CUDA, off)

static pair pair_of(tp_dtype t, int64_t n, double lo, double hi)
{
    pair p = { { numbers(t, n, lo, hi), blank(t, n + 1) } };
    tp_dtype here = type_at(CPU, t);

    set(here, p.b[1].at[CPU], 0, 0);
    for (int64_t i = 0; i < n; i++)
        set(here, p.b[1].at[CPU], i + 1, get(here, p.b[0].at[CPU], i));
    upload(&p.b[1]);
    return p;
}

static pair nothing(tp_dtype t, int64_t n)
{
    return (pair){ { blank(t, n), blank(t, n + 1) } };
}

static void check_pair(const pair *p)
{
    char *hosts[2] = { malloc(bytes_at(&p->b[0], CUDA) + 1),
                       malloc(bytes_at(&p->b[1], CUDA)) };
    size_t size = dtype_size[p->b[0].t];

    for (int i = 0; i < 2; i++) {
        int64_t n = p->b[0].n;

        cr_expect(!ctx[CUDA].backend->download(
                      &ctx[CUDA], hosts[i], offset(&p->b[i], CUDA, i), (size_t)n * size),
                  "%s: %s", case_name, ctx[CUDA].error);
    }
    cr_expect(!memcmp(hosts[0], hosts[1], (size_t)p->b[0].n * size),
              "%s: other bits where it isn't aligned", case_name);
    free(hosts[0]), free(hosts[1]);
}

/* Both, on CUDA alone. */
#define BOTH(slot, t, ...)                                                               \
    for (off = 0; off < 2; off++) {                                                      \
        tp_ctx *c_ = &ctx[CUDA];                                                         \
                                                                                         \
        cr_expect(!c_->backend->slot[t](c_, __VA_ARGS__) && !c_->backend->wait(c_),      \
                  "%s: %s: %s", case_name, #slot, c_->error);                            \
    }

/* 7: each row begins elsewhere; 4200: beyond the registers of f32, 4201: of all and odd */
static const int64_t widths[] = { 7, 64, 1000, 4200, 4201 };

static void try_softmax(tp_dtype t, int64_t rows, int64_t cols, tp_softmax_kind kind)
{
    pair x = pair_of(t, rows * cols, -5, 5), dy = pair_of(t, rows * cols, -1, 1),
         y = nothing(t, rows * cols);
    pair dx = pair_of(t, rows * cols, -1, 1);

    CASE("softmax %d of (%d, %d), %s", (int)kind, (int)rows, (int)cols, dtype_names[t]);
    BOTH(softmax, t, rows, cols, 1, ON(x), kind, ON(y));
    BOTH(softmax_dx, t, rows, cols, 1, ON(dy), ON(y), kind, true, ON(dx));
    check_pair(&y), check_pair(&dx);
    release_all();
}

static void try_norms(tp_dtype t, int64_t rows, int64_t cols)
{
    tp_dtype A = sum_of(t);
    pair x = pair_of(t, rows * cols, -1, 2), dy = pair_of(t, rows * cols, -1, 1),
         w = pair_of(A, cols, 0, 1);
    pair b = pair_of(A, cols, 0, 1), y = nothing(t, rows * cols),
         dx = nothing(t, rows * cols), mean = nothing(A, rows);
    pair rstd = nothing(A, rows), dw = nothing(A, cols), db = nothing(A, cols);

    CASE("norms of (%d, %d), %s", (int)rows, (int)cols, dtype_names[t]);
    BOTH(layer_norm, t, rows, cols, ON(x), ON(w), ON(b), 1e-5, ON(mean), ON(rstd), ON(y));
    BOTH(layer_norm_dx, t, rows, cols, ON(dy), ON(x), ON(mean), ON(rstd), ON(w), false,
         ON(dx), ON(dw), ON(db));
    check_pair(&mean), check_pair(&rstd), check_pair(&y), check_pair(&dx);
    check_pair(&dw), check_pair(&db);
    BOTH(rms_norm, t, rows, cols, ON(x), ON(w), 1e-5, ON(rstd), ON(y));
    BOTH(rms_norm_dx, t, rows, cols, ON(dy), ON(x), ON(rstd), ON(w), true, ON(dx), ON(dw));
    check_pair(&rstd), check_pair(&y), check_pair(&dx), check_pair(&dw);
    release_all();
}

static void try_batch_norm(tp_dtype t, int64_t rows, int64_t cols)
{
    tp_dtype A = sum_of(t);
    pair x = pair_of(t, rows * cols, -1, 2), dy = pair_of(t, rows * cols, -1, 1),
         w = pair_of(A, cols, 0, 1);
    pair b = pair_of(A, cols, 0, 1), y = nothing(t, rows * cols),
         dx = pair_of(t, rows * cols, -1, 1);
    pair mean = nothing(A, cols), rstd = nothing(A, cols);

    CASE("batch norm of (%d, %d), %s", (int)rows, (int)cols, dtype_names[t]);
    BOTH(batch_norm, t, rows, cols, ON(x), ON(w), ON(b), 1e-5, 0.1, NULL, NULL, ON(mean),
         ON(rstd), ON(y));
    BOTH(batch_norm_dx, t, rows, cols, ON(dy), ON(x), ON(mean), ON(rstd), ON(w), true,
         ON(dx), NULL, NULL);
    check_pair(&y), check_pair(&dx);
    release_all();
}

static void try_group_norm(tp_dtype t, int64_t rows, int64_t cols, int64_t groups)
{
    tp_dtype A = sum_of(t);
    const int64_t n = 2 * rows * cols;
    pair x = pair_of(t, n, -1, 2), dy = pair_of(t, n, -1, 1), w = pair_of(A, cols, 0, 1),
         b = pair_of(A, cols, 0, 1), y = nothing(t, n), dx = pair_of(t, n, -1, 1),
         mean = nothing(A, 2 * groups), rstd = nothing(A, 2 * groups), dw = nothing(A, cols), db = nothing(A, cols);

    CASE("group norm of (%d, %d) in %d, %s", (int)rows, (int)cols, (int)groups, dtype_names[t]);
    BOTH(group_norm, t, 2, rows, cols, groups, ON(x), ON(w), ON(b), 1e-5, ON(mean), ON(rstd), ON(y));
    BOTH(group_norm_dx, t, 2, rows, cols, groups, ON(dy), ON(x), ON(mean), ON(rstd), ON(w), true, ON(dx), ON(dw),
         ON(db));
    check_pair(&mean), check_pair(&rstd), check_pair(&y), check_pair(&dx), check_pair(&dw), check_pair(&db);
    release_all();
}

Test(slots, groups_that_are_not_aligned)
{
    static const int64_t widths_of_groups[] = { 1, 2, 4, 8, 12, 16 }; /* in packs of 1, 2, 4 or 8 */

    for (int i = 0; i < LEN(widths_of_groups) * LEN(floats); i++) {
        int64_t each = widths_of_groups[i / LEN(floats)];

        try_group_norm(floats[i % LEN(floats)], each < 4 ? 50 : 600, 3 * each, 3);
    }
}

static void try_cross_entropy(tp_dtype t, int64_t rows, int64_t cols)
{
    tp_dtype A = sum_of(t);
    pair x = pair_of(t, rows * cols, -5, 5),
         label = pair_of(TP_I64, rows, 0, (double)cols), soft = nothing(A, rows * 2);
    pair row = nothing(A, rows), loss = nothing(A, 1), count = nothing(A, 1),
         dloss = pair_of(A, 1, 1, 2);
    pair dx = nothing(t, rows * cols), u = pair_of(t, rows * cols, -1, 1),
         ddx = nothing(t, rows * cols), ddloss = nothing(A, rows);

    CASE("cross entropy of (%d, %d), %s", (int)rows, (int)cols, dtype_names[t]);
    BOTH(cross_entropy, t, rows, cols, ON(x), ON(label), -100, true, ON(soft), ON(row),
         ON(loss), ON(count));
    BOTH(cross_entropy_dx, t, rows, cols, ON(x), ON(soft), ON(label), -100, true, ON(dloss),
         0, ON(count), false, ON(dx));
    BOTH(cross_entropy_ddx, t, rows, cols, ON(x), ON(soft), ON(label), -100, true, ON(dloss),
         0, ON(count), ON(u), ON(ddx), ON(ddloss));
    check_pair(&soft), check_pair(&loss), check_pair(&dx), check_pair(&ddx),
        check_pair(&ddloss);
    release_all();
}

Test(slots, rows_that_are_not_aligned)
{
    for (int i = 0; i < LEN(widths) * LEN(floats); i++) {
        int64_t cols = widths[i / LEN(floats)], rows = cols < 100 ? 9 : 3;
        tp_dtype t = floats[i % LEN(floats)];

        try_softmax(t, rows, cols, i % 2 ? TP_SOFTMAX : TP_SOFTMAX_LOG);
        try_norms(t, rows, cols);
        try_batch_norm(t, rows, cols);
        try_cross_entropy(t, rows, cols);
    }
}

Test(slots, numbers_that_are_not_aligned)
{
    for (int i = 0; i < LEN(floats); i++) {
        const int64_t n = 5003;
        tp_dtype t = floats[i];
        tp_loop one = tp_loop_flat(n, 1), two = tp_loop_flat(n, 2);
        pair x = pair_of(t, n, -1, 1), y = nothing(t, n), z = nothing(t, n),
             index = pair_of(TP_I64, 9, 0, 5);
        pair rows = nothing(t, 9 * 1000), norm = nothing(TP_F64, 1);
        buffer state = values(TP_I64, 2, (double[]){ 123, 4 });

        CASE("numbers, %s", dtype_names[t]);
        BOTH(fill, t, &one, 3, ON(y));
        BOTH(copy, t, &two, ON(x), true, ON(y));
        BOTH(copy, t, &two, ON(y), false, ON(z));
        check_pair(&y), check_pair(&z);
        BOTH(dropout, t, &two, ON(x), 0.3, ((tp_draw){ .state = state.at[CUDA] }), true,
             ON(y));
        check_pair(&y);
        BOTH(embedding, t, 9, 5, 1000, ON(index), ON(x), ON(rows));
        check_pair(&rows);
        BOTH(sum_squares, t, 1, (&(tp_update){ .n = n, .g = ON(x) }), false, ON(norm));
        check_pair(&norm);
        release_all();
    }
}

Test(slots, draws_that_are_not_aligned)
{
    const int64_t n = 5003;
    tp_loop one = tp_loop_flat(n, 1), two = tp_loop_flat(n, 2);
    buffer state = values(TP_I64, 2, (double[]){ 123, 4 });
    tp_draw draw = { .state = state.at[CUDA], .add = 7 };

    for (int i = 0; i < LEN(floats); i++) {
        tp_dtype t = floats[i];
        pair x = pair_of(t, n, 0, 1), y = nothing(t, n), z = nothing(t, n), u = nothing(t, n), v = nothing(t, n);

        CASE("draws, %s", dtype_names[t]);
        BOTH(uniform, t, &one, draw, -1, 2, ON(y));
        BOTH(normal, t, &one, draw, -1, 2, ON(z));
        BOTH(bernoulli, t, &two, ON(x), draw, ON(u));
        BOTH(iota, t, n, 1, 0.5, ON(v));
        check_pair(&y), check_pair(&z), check_pair(&u), check_pair(&v);
    }
    release_all();
}

Test(slots, casts_that_are_not_aligned)
{
    const int64_t n = 1003;
    tp_loop two = tp_loop_flat(n, 2);

    for (int i = 0; i < TP_DTYPES * TP_DTYPES; i++) {
        tp_dtype from = (tp_dtype)(i / TP_DTYPES), to = (tp_dtype)(i % TP_DTYPES);
        pair x = pair_of(from, n, 0, 2), y = nothing(to, n);

        CASE("cast of %s to %s", dtype_names[from], dtype_names[to]);
        BOTH(cast, from, &two, ON(x), to, ON(y));
        check_pair(&y);
        release_all();
    }
}

/* Rows of 48 that are as they are, lie apart, are the same one, or a number each. */
Test(slots, strides_that_are_not_aligned)
{
    static const int64_t strides[][2] = { { 48, 1 }, { 64, 1 }, { 0, 1 }, { 1, 0 }, { 0, 0 }, { 50, 1 } };
    const int64_t n[] = { 20, 48 }, dense[] = { 48, 1 }, room = 20 * 64;
    buffer some = numbers(TP_BOOL, room, 0, 1);

    for (int i = 0; i < LEN(strides) * LEN(floats); i++) {
        tp_dtype t = floats[i % LEN(floats)];
        const int64_t *by = strides[i / LEN(floats)], *both[] = { dense, by }, *three[] = { by, dense, by };
        tp_loop one = loop_of(2, n, 1, &by, true), two = loop_of(2, n, 2, both, true), all = loop_of(2, n, 3, three, true);
        pair a = pair_of(t, room, -1, 1), b = pair_of(t, room, -1, 1), y = nothing(t, 20 * 48),
             z = nothing(t, 20 * 48), u = pair_of(t, 20 * 48, -1, 1);

        CASE("strides %d, %d, %s", (int)by[0], (int)by[1], dtype_names[t]);
        BOTH(copy, t, &one, ON(a), false, ON(y));
        BOTH(copy, t, &one, ON(a), true, ON(u));
        BOTH(add, t, &two, ON(a), ON(b), false, ON(z));
        check_pair(&y), check_pair(&z), check_pair(&u);
        BOTH(where, t, &all, some.at[CUDA], ON(a), ON(b), false, ON(y));
        check_pair(&y);
    }
    release_all();
}

Test(slots, folds_that_are_not_aligned)
{
    for (int i = 0; i < LEN(widths) * LEN(floats); i++) {
        const int64_t cols = widths[i / LEN(floats)], rows = 40;
        tp_dtype t = floats[i % LEN(floats)];
        const int64_t *to[] = { (int64_t[]){ 1, 0 }, (int64_t[]){ cols, 1 } };
        tp_loop l = tp_loop_make(2, (int64_t[]){ rows, cols }, 2, to, true);
        tp_lanes d = { rows, cols, 1 };
        pair x = pair_of(t, rows * cols, -1, 1), y = nothing(t, rows), z = nothing(t, rows), u = nothing(t, rows),
             place = nothing(TP_I64, rows);

        CASE("folds of (%d, %d), %s", (int)rows, (int)cols, dtype_names[t]);
        BOTH(sum, t, &l, ON(x), false, ON(y));
        BOTH(power_sum, t, d, ON(x), 2, ON(z));
        BOTH(variance, t, d, ON(x), 1, ON(u));
        BOTH(argmax, t, rows, cols, ON(x), ON(place));
        check_pair(&y), check_pair(&z), check_pair(&u), check_pair(&place);
        release_all();
    }
}

/* ---- numbers far from zero: a variance is no difference of large squares ----
 * y is off by the mean's rounding, 1000 epsilon, over a deviation of 1 / sqrt 3, of numbers below 2. */

Test(slots, norms_far_from_zero)
{
    const int64_t rows = 3, cols = 5000, n = rows * cols;
    static const tp_dtype exact[] = { TP_F32, TP_F64 };

    for (int i = 0; i < LEN(exact); i++) {
        tp_dtype t = exact[i];
        buffer x = numbers(t, n, 999, 1001), y = blank(t, n), mean = blank(t, rows), rstd = blank(t, rows),
               var = blank(t, rows);

        CASE("layer norm far from zero, %s", dtype_names[t]);
        RUN(layer_norm, t, rows, cols, AT(x), NULL, NULL, 1e-5, AT(mean), AT(rstd), AT(y));
        check_close(&y, 2000), check_close(&rstd, 64);
        CASE("group norm far from zero, %s", dtype_names[t]);
        RUN(group_norm, t, 1, cols, rows, 1, AT(x), NULL, NULL, 1e-5, AT(mean), AT(rstd), AT(y));
        check_close(&y, 2000);
        CASE("batch norm far from zero, %s", dtype_names[t]);
        RUN(batch_norm, t, cols, rows, AT(x), NULL, NULL, 1e-5, 0.1, NULL, NULL, AT(mean), AT(rstd), AT(y));
        check_close(&y, 2000), check_close(&rstd, 2000); /* each distance is off by a rounding of a mean */
        CASE("variance far from zero, %s", dtype_names[t]);
        RUN(variance, t, ((tp_lanes){ rows, cols, 1 }), AT(x), 1, AT(var));
        check_close(&var, 64);
        release_all();
    }
}

/* A number that is 30 when all others are within 0.5: a thread's mean, of 8 rows, is off by an epsilon of 30
 * with each, and y by that over a deviation of 0.5. */
Test(slots, batch_norm_with_an_outlier)
{
    const int64_t rows = 5000, cols = 3, n = rows * cols;

    for (int place = 0; place < 2; place++) {
        buffer x = numbers(TP_F32, n, -0.5, 0.5), y = blank(TP_F32, n), mean = blank(TP_F32, cols),
               rstd = blank(TP_F32, cols);

        for (int64_t k = 0; k < cols; k++)
            set(TP_F32, x.at[CPU], place * (n / 2 / cols * cols) + k, 30);
        upload(&x);
        CASE("batch norm, an outlier in row %d", place ? (int)rows / 2 : 0);
        RUN(batch_norm, TP_F32, rows, cols, AT(x), NULL, NULL, 1e-5, 0.1, NULL, NULL, AT(mean), AT(rstd), AT(y));
        check_close(&y, 512);
        release_all();
    }
}

/* Their squares are infinite in f32: 0, as on the CPU, not NaN. */
Test(slots, norm_of_huge_numbers)
{
    const int64_t rows = 3, cols = 5000, n = rows * cols;
    buffer x = numbers(TP_F32, n, 1e30, 2e30), y = blank(TP_F32, n), mean = blank(TP_F32, rows),
           rstd = blank(TP_F32, rows);

    CASE("layer norm of huge numbers");
    RUN(layer_norm, TP_F32, rows, cols, AT(x), NULL, NULL, 1e-5, AT(mean), AT(rstd), AT(y));
    check_close(&y, 2000);
    CASE("batch norm of huge numbers");
    RUN(batch_norm, TP_F32, cols, rows, AT(x), NULL, NULL, 1e-5, 0.1, NULL, NULL, AT(mean), AT(rstd), AT(y));
    check_close(&y, 2000);
    release_all();
}

/* ---- infinities in a row that is read in parts ---- */

Test(slots, softmax_of_infinities)
{
    static const int64_t cols[] = { 40, 1000, 9000 };

    for (int i = 0; i < LEN(cols) * LEN(floats) * 2; i++) {
        int64_t n = cols[i / 2 / LEN(floats)];
        tp_softmax_kind kind = i % 2 ? TP_SOFTMAX_MASKED : TP_SOFTMAX_LOG;
        tp_dtype t = floats[i / 2 % LEN(floats)], here = type_at(CPU, t);
        buffer x = numbers(t, 4 * n, -5, 5), y = blank(t, 4 * n);

        for (int64_t k = 0; k < n; k++) {
            if (k < n - 2)
                set(here, x.at[CPU], k, -INFINITY); /* numbers at the end alone */
            if (k % 97 > 2)
                set(here, x.at[CPU], n + k, -INFINITY); /* some packs without any */
            set(here, x.at[CPU], 2 * n + k, -INFINITY); /* none */
            if (k == n / 2) set(here, x.at[CPU], 3 * n + k, NAN);
        }
        upload(&x);
        CASE("softmax %d of infinities, %d, %s", (int)kind, (int)n, dtype_names[t]);
        RUN(softmax, t, 4, n, 1, AT(x), kind, AT(y));
        check_close(&y, 32);
        RUN(softmax, t, 1, n, 4, AT(x), kind, AT(y)); /* lanes of other infinities */
        check_close(&y, 32);
        release_all();
    }
}
