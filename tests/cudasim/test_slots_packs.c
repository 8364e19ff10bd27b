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
    pair rstd = nothing(A, rows);

    CASE("norms of (%d, %d), %s", (int)rows, (int)cols, dtype_names[t]);
    BOTH(layer_norm, t, rows, cols, ON(x), ON(w), ON(b), 1e-5, ON(mean), ON(rstd), ON(y));
    BOTH(layer_norm_dx, t, rows, cols, ON(dy), ON(x), ON(mean), ON(rstd), ON(w), false,
         ON(dx), NULL, NULL);
    check_pair(&mean), check_pair(&rstd), check_pair(&y), check_pair(&dx);
    BOTH(rms_norm, t, rows, cols, ON(x), ON(w), 1e-5, ON(rstd), ON(y));
    BOTH(rms_norm_dx, t, rows, cols, ON(dy), ON(x), ON(rstd), ON(w), true, ON(dx), NULL);
    check_pair(&rstd), check_pair(&y), check_pair(&dx);
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

static void try_cross_entropy(tp_dtype t, int64_t rows, int64_t cols)
{
    tp_dtype A = sum_of(t);
    pair x = pair_of(t, rows * cols, -5, 5),
         label = pair_of(TP_I64, rows, 0, (double)cols), p = nothing(t, rows * cols);
    pair row = nothing(A, rows), loss = nothing(A, 1), count = nothing(A, 1),
         dloss = pair_of(A, 1, 1, 2);
    pair dx = nothing(t, rows * cols), u = pair_of(t, rows * cols, -1, 1),
         ddx = nothing(t, rows * cols), ddloss = nothing(A, rows);

    CASE("cross entropy of (%d, %d), %s", (int)rows, (int)cols, dtype_names[t]);
    BOTH(cross_entropy, t, rows, cols, ON(x), ON(label), -100, true, ON(p), ON(row),
         ON(loss), ON(count));
    BOTH(cross_entropy_dx, t, rows, cols, ON(p), ON(label), -100, true, ON(dloss), 0,
         ON(count), false, ON(dx));
    BOTH(cross_entropy_ddx, t, rows, cols, ON(p), ON(label), -100, true, ON(dloss), 0,
         ON(count), ON(u), ON(ddx), ON(ddloss));
    check_pair(&p), check_pair(&loss), check_pair(&dx), check_pair(&ddx),
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
        release_all();
    }
}
