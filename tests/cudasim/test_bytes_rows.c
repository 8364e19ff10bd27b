/*
 * test_bytes_rows.c - the bytes that CUDA's kernels move: along rows, lanes and maps.
 */
#include "kernels/window.h"
#include "tests/cudasim/bytes.h"

TestSuite(bytes_rows, .init = open_counted, .fini = close_machines);

static const char *const long_row = "a row beyond a block's registers is read again";
static const char *const sums_first = "sums over all places come before the first result";

/* ---- softmax and its losses ---- */

static const struct {
    int64_t rows, cols;
} shapes[] = { { 64, 512 }, { 3, 20000 } };

/* What is read again of `operands` rows of n numbers, in rows: a block's 256 threads keep 4096 numbers of
 * f32 or bf16, of all operands together, and leave registers for others. */
static double again(int64_t n, int operands)
{
    int64_t kept = 4096 / operands;

    return n > kept ? (double)(operands * (n - kept)) / (double)n : 0;
}

Test(bytes_rows, softmax)
{
    static const tp_softmax_kind ways[] = { TP_SOFTMAX, TP_SOFTMAX_LOG,
                                            TP_SOFTMAX_MASKED };

    for (int i = 0; i < LEN(kinds) * LEN(shapes); i++) {
        const int64_t rows = shapes[i / LEN(kinds)].rows,
                      cols = shapes[i / LEN(kinds)].cols, n = rows * cols;
        tp_dtype t = kinds[i % LEN(kinds)];
        buffer x = numbers(t, n, -1, 1), dy = numbers(t, n, -1, 1), y = blank(t, n),
               dx = blank(t, n);
        double one = again(cols, 1), two = again(cols, 2);

        for (int k = 0; k < LEN(ways); k++) {
            COST(softmax, t, (2 + one) * bytes_of(n, t), 15, one > 0 ? long_row : NULL,
                 rows, cols, 1, ON(x), ways[k], ON(y));
            COST(softmax_dx, t, (3 + two) * bytes_of(n, t), 15, two > 0 ? long_row : NULL,
                 rows, cols, 1, ON(dy), ON(y), ways[k], false, ON(dx));
        }
        release_all();
    }
}

/* Lanes that lie side by side, a warp of them at a time: its threads' numbers are neighbours. */
Test(bytes_rows, softmax_across)
{
    static const tp_lanes lanes[] = { { 4, 32, 64 }, { 2, 200, 64 } };

    for (int i = 0; i < LEN(kinds) * LEN(lanes); i++) {
        tp_dtype t = kinds[i % LEN(kinds)];
        tp_lanes d = lanes[i / LEN(kinds)];
        const int64_t n = d.outer * d.n * d.inner;
        double e = (double)dtype_size[t], one = d.n > 64,
               two = d.n > 32 ? 2 * (double)(d.n - 32) / (double)d.n : 0;
        buffer x = numbers(t, n, -1, 1), dy = numbers(t, n, -1, 1), y = blank(t, n),
               dx = blank(t, n);

        COST(softmax, t, (2 + one) * bytes_of(n, t), e, one > 0 ? long_row : NULL,
             d.outer, d.n, d.inner, ON(x), TP_SOFTMAX, ON(y));
        COST(softmax_dx, t, (3 + two) * bytes_of(n, t), e, two > 0 ? long_row : NULL,
             d.outer, d.n, d.inner, ON(dy), ON(y), TP_SOFTMAX, false, ON(dx));
        release_all();
    }
}

Test(bytes_rows, cross_entropy)
{
    for (int i = 0; i < LEN(kinds) * LEN(shapes); i++) {
        const int64_t rows = shapes[i / LEN(kinds)].rows,
                      cols = shapes[i / LEN(kinds)].cols, n = rows * cols;
        tp_dtype t = kinds[i % LEN(kinds)], A = sum_of(t);
        buffer x = numbers(t, n, -1, 1), label = numbers(TP_I64, rows, 0, 9),
               soft = blank(A, 2 * rows), row = blank(A, rows), loss = blank(A, 1),
               count = blank(A, 1), dloss = numbers(A, 1, 1, 2), dx = blank(t, n),
               du = numbers(t, n, -1, 1), ddx = blank(t, n), ddloss = blank(A, rows);
        double two = again(cols, 2);

        COST(cross_entropy, t, bytes_of(n, t), 14, NULL, rows, cols, ON(x), ON(label),
             -100, true, ON(soft), ON(row), ON(loss), ON(count));
        COST(cross_entropy_dx, t, 2 * bytes_of(n, t), 14, NULL, rows, cols, ON(x),
             ON(soft), ON(label), -100, true, ON(dloss), 0, ON(count), false, ON(dx));
        COST(cross_entropy_ddx, t, (3 + two) * bytes_of(n, t), 14,
             two > 0 ? long_row : NULL, rows, cols, ON(x), ON(soft), ON(label), -100,
             true, ON(dloss), 0, ON(count), ON(du), ON(ddx), ON(ddloss));
        release_all();
    }
}

/* ---- norms ---- */

static void try_row_norms(tp_dtype t, int64_t rows, int64_t cols, bool affine)
{
    const int64_t n = rows * cols;
    tp_dtype A = sum_of(t);
    buffer x = numbers(t, n, -1, 1), dy = numbers(t, n, -1, 1), y = blank(t, n),
           dx = blank(t, n), w = numbers(A, cols, -1, 1), b = numbers(A, cols, -1, 1),
           mean = blank(A, rows), rstd = blank(A, rows);
    double one = again(cols, 1) * bytes_of(n, t), two = again(cols, 2) * bytes_of(n, t);
    double each = bytes_of(n, t), weights = affine ? bytes_of(cols, A) : 0,
           stats = bytes_of(rows, A);
    void *pw = affine ? ON(w) : NULL, *pb = affine ? ON(b) : NULL;

    COST(layer_norm, t, 2 * each + one + 2 * weights + 2 * stats, 14,
         one > 0 ? long_row : NULL, rows, cols, ON(x), pw, pb, 1e-5, ON(mean), ON(rstd),
         ON(y));
    COST(layer_norm_dx, t, 3 * each + two + weights + 2 * stats, 14,
         two > 0 ? long_row : NULL, rows, cols, ON(dy), ON(x), ON(mean), ON(rstd), pw,
         false, ON(dx), NULL, NULL);
    COST(rms_norm, t, 2 * each + one + weights + stats, 14, one > 0 ? long_row : NULL,
         rows, cols, ON(x), pw, 1e-5, ON(rstd), ON(y));
    COST(rms_norm_dx, t, 3 * each + two + weights + stats, 14, two > 0 ? long_row : NULL,
         rows, cols, ON(dy), ON(x), ON(rstd), pw, false, ON(dx), NULL);
    release_all();
}

Test(bytes_rows, row_norms)
{
    for (int i = 0; i < LEN(kinds) * 2; i++) {
        try_row_norms(kinds[i / 2], 64, 1024, i % 2);
        try_row_norms(kinds[i / 2], 8, 10000, false);
    }
}

Test(bytes_rows, weight_slopes)
{
    const int64_t rows = 512, cols = 256, n = rows * cols;

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i], A = sum_of(t);
        double stats = bytes_of(rows, A);
        buffer x = numbers(t, n, -1, 1), dy = numbers(t, n, -1, 1),
               mean = numbers(A, rows, 0, 1), rstd = numbers(A, rows, 1, 2),
               dw = blank(A, cols), db = blank(A, cols);

        COST(layer_norm_dx, t, 2 * bytes_of(n, t) + 2 * stats, 12, NULL, rows, cols,
             ON(dy), ON(x), ON(mean), ON(rstd), NULL, false, NULL, ON(dw), ON(db));
        COST(rms_norm_dx, t, 2 * bytes_of(n, t) + stats, 12, NULL, rows, cols, ON(dy),
             ON(x), ON(rstd), NULL, false, NULL, ON(dw));
        COST(group_norm_dx, t, 2 * bytes_of(n, t), 12, NULL, 2, rows / 2, cols, 4, ON(dy),
             ON(x), ON(mean), ON(rstd), NULL, false, NULL, ON(dw), ON(db));
        release_all();
    }
}

Test(bytes_rows, batch_norm)
{
    const int64_t rows = 512, cols = 64, n = rows * cols;

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i], A = sum_of(t);
        buffer x = numbers(t, n, -1, 1), dy = numbers(t, n, -1, 1), y = blank(t, n),
               dx = blank(t, n), mean = blank(A, cols), rstd = blank(A, cols),
               dw = blank(A, cols), db = blank(A, cols);

        COST(batch_norm, t, 3 * bytes_of(n, t), 12, sums_first, rows, cols, ON(x), NULL,
             NULL, 1e-5, 0.1, NULL, NULL, ON(mean), ON(rstd), ON(y));
        COST(batch_norm_dx, t, 5 * bytes_of(n, t), 12, sums_first, rows, cols, ON(dy),
             ON(x), ON(mean), ON(rstd), NULL, false, ON(dx), ON(dw), ON(db));
        release_all();
    }
}

/* Groups of 8 columns, of 1 as in instance norm (whose places lie apart: a number at a time), and of 16,
 * which don't fit a block's registers. */
Test(bytes_rows, group_norm)
{
    static const int64_t maps[][4] = { { 4, 256, 64, 8 },
                                       { 2, 256, 64, 64 },
                                       { 1, 1024, 64, 4 } };

    for (int i = 0; i < LEN(kinds) * LEN(maps); i++) {
        const int64_t *d = maps[i / LEN(kinds)], samples = d[0], rows = d[1], cols = d[2],
                      groups = d[3], n = samples * rows * cols,
                      count = rows * (cols / groups);
        tp_dtype t = kinds[i % LEN(kinds)], A = sum_of(t);
        double one = again(count, 1), two = again(count, 2),
               stats = 2 * bytes_of(samples * groups, A),
               width = groups == cols ? (double)dtype_size[t] : 15;
        buffer x = numbers(t, n, -1, 1), dy = numbers(t, n, -1, 1), y = blank(t, n),
               dx = blank(t, n), mean = blank(A, samples * groups),
               rstd = blank(A, samples * groups);

        COST(group_norm, t, (2 + one) * bytes_of(n, t) + stats, width,
             one > 0 ? sums_first : NULL, samples, rows, cols, groups, ON(x), NULL, NULL,
             1e-5, ON(mean), ON(rstd), ON(y));
        COST(group_norm_dx, t, (3 + two) * bytes_of(n, t) + stats, width,
             two > 0 ? sums_first : NULL, samples, rows, cols, groups, ON(dy), ON(x),
             ON(mean), ON(rstd), NULL, false, ON(dx), NULL, NULL);
        release_all();
    }
}

/* ---- folds ---- */

/* All numbers, rows and columns; columns, and lanes with others between, are summed by a warp's neighbours. */
Test(bytes_rows, sums)
{
    static const int64_t rows = 256, cols = 256, n = rows * cols;
    static const int64_t to[][2] = { { 0, 0 }, { 1, 0 }, { 0, 1 } };

    for (int i = 0; i < LEN(kinds) * LEN(to); i++) {
        tp_dtype t = kinds[i / LEN(to)];
        const int64_t *strides[] = { to[i % LEN(to)], (int64_t[]){ cols, 1 } };
        tp_loop l = tp_loop_make(2, (int64_t[]){ rows, cols }, 2, strides, true);
        buffer x = numbers(t, n, -1, 1), y = blank(t, rows);
        bool columns = i % LEN(to) == 2;

        COST(sum, t, bytes_of(n, t), columns ? (double)dtype_size[t] : 15, NULL, &l,
             ON(x), false, ON(y));
        release_all();
    }
}

Test(bytes_rows, lanes)
{
    static const tp_lanes ways[] = { { 128, 512, 1 }, { 2, 512, 64 } };

    for (int i = 0; i < LEN(kinds) * LEN(ways); i++) {
        tp_dtype t = kinds[i / LEN(ways)];
        tp_lanes d = ways[i % LEN(ways)];
        const int64_t n = d.outer * d.n * d.inner;
        bool along = d.inner == 1;
        double width = along ? 14 : (double)dtype_size[t];
        buffer x = numbers(t, n, -1, 1), y = blank(t, d.outer * d.inner),
               place = blank(TP_I64, d.outer);

        COST(amax, t, bytes_of(n, t), width, NULL, d, ON(x), ON(y));
        COST(amin, t, bytes_of(n, t), width, NULL, d, ON(x), ON(y));
        COST(power_sum, t, bytes_of(n, t), width, NULL, d, ON(x), 2, ON(y));
        COST(prod, t, bytes_of(n, t), width, NULL, d, ON(x), ON(y));
        COST(variance, t, bytes_of(n, t), width, NULL, d, ON(x), 1, ON(y));
        if (along)
            COST(argmax, t, bytes_of(n, t), width, NULL, d.outer, d.n, ON(x), ON(place));
        release_all();
    }
}

Test(bytes_rows, nan)
{
    const int64_t n = 65536;
    tp_loop l = tp_loop_flat(n, 1);
    buffer count = blank(TP_I64, 1);

    for (int i = 0; i < LEN(kinds); i++) {
        buffer x = numbers(kinds[i], n, -1, 1);

        COST(count_nan, kinds[i], bytes_of(n, kinds[i]), (double)dtype_size[kinds[i]],
             NULL, &l, ON(x), ON(count));
    }
    release_all();
}

/* ---- maps and tables ---- */

Test(bytes_rows, pool)
{
    tp_window g = { .N = 2,
                    .H = 16,
                    .W = 16,
                    .C = 32,
                    .O = 32,
                    .OH = 8,
                    .OW = 8,
                    .KH = 2,
                    .KW = 2,
                    .stride_h = 2,
                    .stride_w = 2,
                    .dilation_h = 1,
                    .dilation_w = 1,
                    .groups = 1 };
    const int64_t in = 2 * 16 * 16 * 32, out = in / 4;

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        buffer x = numbers(t, in, -1, 1), y = blank(t, out), place = blank(TP_I32, out),
               dx = blank(t, in);
        double least = bytes_of(in + out, t) + bytes_of(out, TP_I32);

        COST(max_pool2d, t, least, (double)dtype_size[t], NULL, &g, ON(x), ON(y), ON(place));
        COST(max_pool2d_dx, t, least, (double)dtype_size[t], NULL, &g, ON(y), ON(place), false, ON(dx));
        release_all();
    }
}

Test(bytes_rows, embedding)
{
    const int64_t n = 64, rows = 100, cols = 256;

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        buffer index = blank(TP_I64, n), w = numbers(t, rows * cols, -1, 1),
               y = blank(t, n * cols);

        for (int64_t r = 0; r < n; r++)
            ((int64_t *)index.at[CPU])[r] = r * 7 % rows; /* each row once */
        upload(&index);
        COST(embedding, t, 2 * bytes_of(n * cols, t), 14, NULL, n, rows, cols, ON(index),
             ON(w), ON(y));
        release_all();
    }
}
