/*
 * test_bytes.c - what CUDA's kernels read and write of device memory, as the simulator counts it.
 *
 * Most kernels wait for memory: their time is the bytes they move.  Each is held against the least
 * that it could move, every operand once, and may exceed it by a tenth.  One that can't says why.
 * Then, how many bytes an access moves: a GPU's threads move 16 at most.  Counted are the accesses of
 * threads: what all of a warp read at one place is one transaction on a GPU, and here 32.
 */
#include "kernels/window.h"
#include "tests/cudasim/cudasim.h"
#include "tests/cudasim/slots.h"

static void (*get_stats)(cudasim_stats *);
static cudasim_stats before, after;

static void open_counted(void)
{
    const char *file = getenv("TAPER_CUDA_LIBRARY");
    void *library;

    open_machines();
    library = dlopen(file ? file : "libtaper_cuda.so", RTLD_NOW | RTLD_LOCAL);
    *(void **)&get_stats = dlsym(library, "cudasim_get_stats");
    if (!get_stats) cr_skip_test("a GPU doesn't count bytes");
}

TestSuite(bytes, .init = open_counted, .fini = close_machines);

/* ---- a line of the table ---- */

typedef struct limit {
    double most, at_once; /* bytes over the least; bytes an access, at least */
    const char *why;      /* it is more than a tenth */
} limit;

static limit within(double most, double at_once, const char *why)
{
    return (limit){ most, at_once, why };
}

static void line(const char *slot, tp_dtype t, double least, limit is)
{
    double moved = (double)(after.bytes_read + after.bytes_written - before.bytes_read -
                            before.bytes_written);
    double at_once = moved / (double)(after.accesses - before.accesses);

    printf("%-18s %-5s %9.0f %9.0f %6.2f <= %4.2f %6.1f >= %4.1f  %s\n", slot,
           dtype_names[t], least, moved, moved / least, is.most, at_once, is.at_once,
           is.why ? is.why : "");
    cr_expect(moved <= is.most * least, "%s, %s: moves %.2f times the least", slot,
              dtype_names[t], moved / least);
    cr_expect(moved >= 0.99 * least, "%s, %s: the least is wrong", slot, dtype_names[t]);
    cr_expect(at_once >= is.at_once, "%s, %s: %.1f bytes at once", slot, dtype_names[t],
              at_once);
}

/* least: bytes */
#define COST(slot, t, least, is, ...)                                                    \
    do {                                                                                 \
        tp_ctx *c_ = &ctx[CUDA];                                                         \
                                                                                         \
        get_stats(&before);                                                              \
        cr_expect(!c_->backend->slot[t](c_, __VA_ARGS__) && !c_->backend->wait(c_),      \
                  "%s", c_->error);                                                      \
        get_stats(&after);                                                               \
        line(#slot, t, (double)(least), is);                                             \
    } while (0)

#define ON(b) ((b).at[CUDA])

static const tp_dtype kinds[] = { TP_F32, TP_BF16 };

static double bytes_of(int64_t n, tp_dtype t)
{
    return (double)n * (double)dtype_size[t];
}

/* ---- element by element ---- */

Test(bytes, elementwise)
{
    const int64_t n = 32768;
    tp_loop two = tp_loop_flat(n, 2), three = tp_loop_flat(n, 3),
            one = tp_loop_flat(n, 1);
    buffer state = values(TP_I64, 2, (double[]){ 123, 4 });

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i], other = kinds[1 - i];
        buffer a = numbers(t, n, -1, 1), b = numbers(t, n, -1, 1), y = blank(t, n),
               z = blank(other, n);
        double each = bytes_of(n, t);

        COST(add, t, 3 * each, within(1.1, 15, NULL), &three, ON(a), ON(b), false, ON(y));
        COST(gelu, t, 2 * each, within(1.1, 15, NULL), &two, ON(a), false, ON(y));
        COST(gelu_dx, t, 3 * each, within(1.1, 15, NULL), &three, ON(a), ON(b), false,
             ON(y));
        COST(gelu_dx, t, 4 * each, within(1.1, 15, NULL), &three, ON(a), ON(b), true,
             ON(y));
        COST(fill, t, each, within(1.1, 15, NULL), &one, 3, ON(y));
        COST(copy, t, 2 * each, within(1.1, 15, NULL), &two, ON(a), false, ON(y));
        COST(cast, t, each + bytes_of(n, other), within(1.1, 0, NULL), &two, ON(a), other,
             ON(z));
        COST(dropout, t, 2 * each, within(1.2, 13, "each thread reads the state"), &two,
             ON(a), 0.25, ((tp_draw){ .state = ON(state) }), false, ON(y));
    }
    release_all();
}

/* ---- along rows ---- */

static void try_softmax(tp_dtype t, int64_t rows, int64_t cols, limit is, limit dx_is)
{
    const int64_t n = rows * cols;
    buffer x = numbers(t, n, -1, 1), dy = numbers(t, n, -1, 1), y = blank(t, n),
           dx = blank(t, n);

    COST(softmax, t, 2 * bytes_of(n, t), is, rows, cols, 1, ON(x), TP_SOFTMAX, ON(y));
    COST(softmax_dx, t, 3 * bytes_of(n, t), dx_is, rows, cols, 1, ON(dy), ON(y),
         TP_SOFTMAX, false, ON(dx));
    release_all();
}

Test(bytes, softmax)
{
    static const char *const twice = "a row beyond the registers is read again";

    for (int i = 0; i < LEN(kinds); i++) {
        try_softmax(kinds[i], 64, 512, within(1.1, 15, NULL), within(1.1, 15, NULL));
        try_softmax(kinds[i], 3, 20000, within(1.5, 15, twice), within(1.67, 15, twice));
    }
}

static void try_norm(tp_dtype t, int64_t rows, int64_t cols, bool affine, limit is,
                     limit dx_is)
{
    const int64_t n = rows * cols;
    tp_dtype A = sum_of(t);
    buffer x = numbers(t, n, -1, 1), dy = numbers(t, n, -1, 1), y = blank(t, n),
           dx = blank(t, n);
    buffer w = numbers(A, cols, -1, 1), b = numbers(A, cols, -1, 1),
           mean = blank(A, rows), rstd = blank(A, rows);
    double each = bytes_of(n, t), weights = affine ? bytes_of(cols, A) : 0;
    void *pw = affine ? ON(w) : NULL, *pb = affine ? ON(b) : NULL;

    COST(layer_norm, t, 2 * each + 2 * weights, is, rows, cols, ON(x), pw, pb, 1e-5,
         ON(mean), ON(rstd), ON(y));
    COST(layer_norm_dx, t, 3 * each + weights, dx_is, rows, cols, ON(dy), ON(x), ON(mean),
         ON(rstd), pw, false, ON(dx), NULL, NULL);
    COST(rms_norm, t, 2 * each + weights, is, rows, cols, ON(x), pw, 1e-5, ON(rstd),
         ON(y));
    COST(rms_norm_dx, t, 3 * each + weights, dx_is, rows, cols, ON(dy), ON(x), ON(rstd),
         pw, false, ON(dx), NULL);
    release_all();
}

Test(bytes, row_norms)
{
    static const char *const weights =
        "weights, in f32, come from the cache again for each row";

    for (int i = 0; i < LEN(kinds); i++) {
        double e = (double)dtype_size[kinds[i]];

        try_norm(kinds[i], 32, 1024, false, within(1.1, 15, NULL),
                 within(1.2, 11, "each thread reads mean and rstd"));
        try_norm(kinds[i], 32, 1024, true, within(1 + 4 / e, 15, weights),
                 within(1.2 + 8 / (3 * e), 13, weights));
    }
}

Test(bytes, weight_slopes_of_norms)
{
    const int64_t rows = 128, cols = 256, n = rows * cols;

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i], A = sum_of(t);
        buffer x = numbers(t, n, -1, 1), dy = numbers(t, n, -1, 1),
               mean = numbers(A, rows, 0, 1), rstd = numbers(A, rows, 1, 2);
        buffer dw = blank(A, cols), db = blank(A, cols);

        COST(layer_norm_dx, t, 2 * bytes_of(n, t),
             within(1.1 + 4 / (double)dtype_size[t], 0,
                    "mean and rstd come again for each number"),
             rows, cols, ON(dy), ON(x), ON(mean), ON(rstd), NULL, false, NULL, ON(dw),
             ON(db));
        release_all();
    }
}

Test(bytes, batch_norm)
{
    const int64_t rows = 512, cols = 64, n = rows * cols;
    static const char *const sums =
        "two readings, for sums and results; statistics from the cache";

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i], A = sum_of(t);
        buffer x = numbers(t, n, -1, 1), dy = numbers(t, n, -1, 1), y = blank(t, n),
               dx = blank(t, n), mean = blank(A, cols), rstd = blank(A, cols);
        double e = (double)dtype_size[t];

        COST(batch_norm, t, 2 * bytes_of(n, t), within(1.7 + 4 / e, 7, sums), rows, cols,
             ON(x), NULL, NULL, 1e-5, 0.1, NULL, NULL, ON(mean), ON(rstd), ON(y));
        COST(batch_norm_dx, t, 3 * bytes_of(n, t), within(1.9 + 16 / (3 * e), 7, sums),
             rows, cols, ON(dy), ON(x), ON(mean), ON(rstd), NULL, false, ON(dx), NULL,
             NULL);
        release_all();
    }
}

Test(bytes, cross_entropy)
{
    static const int64_t shapes[][2] = { { 64, 512 }, { 3, 20000 } };

    for (int i = 0; i < LEN(kinds) * LEN(shapes); i++) {
        const int64_t rows = shapes[i / LEN(kinds)][0], cols = shapes[i / LEN(kinds)][1],
                      n = rows * cols;
        tp_dtype t = kinds[i % LEN(kinds)], A = sum_of(t);
        buffer x = numbers(t, n, -1, 1), label = numbers(TP_I64, rows, 0, 9),
               p = blank(t, n), row = blank(A, rows);
        buffer loss = blank(A, 1), count = blank(A, 1), dloss = numbers(A, 1, 1, 2),
               dx = blank(t, n);
        double e = (double)dtype_size[t];

        COST(cross_entropy, t, 2 * bytes_of(n, t),
             within(cols < 4096 ? 1.1 : 1.5, 14,
                    cols < 4096 ? NULL : "a row beyond the registers is read again"),
             rows, cols, ON(x), ON(label), -100, true, ON(p), ON(row), ON(loss),
             ON(count));
        COST(cross_entropy_dx, t, 2 * bytes_of(n, t),
             within(1.1 + 2 * 512 / (double)cols / e, 7,
                    "each thread reads label, slope and count"),
             rows, cols, ON(p), ON(label), -100, true, ON(dloss), 0, ON(count), false,
             ON(dx));
        release_all();
    }
}

/* ---- groups of tensors ---- */

Test(bytes, updates)
{
    const int64_t n = 20000; /* 16 bytes at a time end with it */
    buffer lr = values(TP_F64, 1, (double[]){ 0.1 }),
           step = values(TP_F64, 1, (double[]){ 3 }), norm = blank(TP_F64, 1);
    tp_scalars s = { ON(lr), ON(step), NULL, NULL };

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        buffer g = numbers(t, n, -1, 1), p = numbers(t, n, -1, 1),
               m = numbers(t, n, -1, 1), v = numbers(t, n, 0, 1);
        tp_update plain = { n, ON(g), ON(p), NULL, NULL, NULL },
                  one = { n, ON(g), ON(p), ON(m), NULL, NULL };
        tp_update two = { n, ON(g), ON(p), ON(m), ON(v), NULL };
        tp_adam_args adam = { .beta1 = 0.9,
                              .beta2 = 0.99,
                              .eps = 1e-8,
                              .weight_decay = 0.1 },
                     adamw = adam;
        double each = bytes_of(n, t);

        adamw.decoupled = true;
        COST(sgd, t, 3 * each, within(1.1, 15, NULL), 1, &plain,
             ((tp_sgd_args){ .weight_decay = 0.1 }), s);
        COST(sgd, t, 5 * each, within(1.1, 15, NULL), 1, &one,
             ((tp_sgd_args){ .momentum = 0.9 }), s);
        COST(adam, t, 7 * each, within(1.1, 15, NULL), 1, &two, adam, s);
        COST(adam, t, 7 * each, within(1.1, 15, NULL), 1, &two, adamw, s);
        COST(lion, t, 5 * each, within(1.1, 15, NULL), 1, &one,
             ((tp_lion_args){ .beta1 = 0.9, .beta2 = 0.99 }), s);
        COST(sum_squares, t, each, within(1.1, 15, NULL), 1, &plain, false, ON(norm));
        COST(clip_norm, t, 2 * each, within(1.2, 14, "each thread reads the norm"), 1,
             &plain, ON(norm), 0.5);
        COST(clip_value, t, 2 * each, within(1.1, 15, NULL), 1, &plain, 0.5);
    }
    release_all();
}

/* ---- maps and tables ---- */

Test(bytes, pool)
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
        double e = (double)dtype_size[t];

        COST(max_pool2d, t, bytes_of(in + out, t) + 4 * (double)out, within(1.1, 0, NULL),
             &g, ON(x), ON(y), ON(place));
        COST(max_pool2d_dx, t, bytes_of(in + out, t) + 4 * (double)out,
             within(
                 (16 + 5 * e) / (4 + 5 * e) + 0.1, 0,
                 "a window's winner is asked for by each of its places, from the cache"),
             &g, ON(y), ON(place), false, ON(dx));
        release_all();
    }
}

Test(bytes, embedding)
{
    const int64_t n = 64, rows = 100, cols = 256;
    buffer index = numbers(TP_I64, n, 0, 99);

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        buffer w = numbers(t, rows * cols, -1, 1), y = blank(t, n * cols);

        COST(embedding, t, 2 * bytes_of(n * cols, t),
             within(1.1 + 2 / (double)dtype_size[t], 10, "each thread reads the index"),
             n, rows, cols, ON(index), ON(w), ON(y));
    }
    release_all();
}
