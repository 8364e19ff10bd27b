/*
 * test_bytes.c - the bytes that CUDA's kernels move: element by element, and over groups of tensors.
 */
#include "tests/cudasim/bytes.h"

TestSuite(bytes, .init = open_counted, .fini = close_machines);

/* ---- functions of one number, of two ---- */

#define EACH_UNARY(F)                                                                    \
    F(relu)                                                                              \
    F(tanh) F(sigmoid) F(exp) F(log) F(square) F(sqrt) F(gelu) F(gelu_tanh) F(sign)      \
        F(floor) F(ceil) F(round) F(trunc)
#define EACH_BINARY(F)                                                                   \
    F(add)                                                                               \
    F(sub) F(mul) F(div) F(relu_dx) F(tanh_dx) F(sigmoid_dx) F(gelu_dx) F(gelu_tanh_dx)  \
        F(bce) F(bce_dx) F(maximum) F(minimum) F(larger_share) F(pow) F(remainder)       \
            F(fmod) F(floor_divide)
#define EACH_BENT(F)                                                                     \
    F(reciprocal)                                                                        \
    F(rsqrt) F(power) F(sin) F(cos) F(erf) F(log1p) F(expm1) F(silu) F(mish) F(softplus) \
        F(log_sigmoid) F(softsign) F(tanhshrink) F(hardswish) F(elu) F(abs) F(clamp)     \
            F(hardtanh) F(hardsigmoid) F(leaky_relu) F(softshrink) F(hardshrink)         \
                F(threshold)

enum { N = 16384 };

Test(bytes, unary)
{
    tp_loop l = tp_loop_flat(N, 2);

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        buffer x = numbers(t, N, 0.1, 1), y = blank(t, N);

#define F(name) COST(name, t, 2 * bytes_of(N, t), 15, NULL, &l, ON(x), false, ON(y));
        EACH_UNARY(F)
#undef F
        COST(relu, t, 3 * bytes_of(N, t), 15, NULL, &l, ON(x), true, ON(y));
        COST(affine, t, 2 * bytes_of(N, t), 15, NULL, &l, ON(x), 2, 1, false, ON(y));
        release_all();
    }
}

Test(bytes, binary)
{
    tp_loop l = tp_loop_flat(N, 3);

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        buffer a = numbers(t, N, 0.1, 1), b = numbers(t, N, 0.1, 1), y = blank(t, N);

#define F(name)                                                                          \
    COST(name, t, 3 * bytes_of(N, t), 15, NULL, &l, ON(a), ON(b), false, ON(y));
        EACH_BINARY(F)
#undef F
        COST(add, t, 4 * bytes_of(N, t), 15, NULL, &l, ON(a), ON(b), true, ON(y));
        release_all();
    }
}

Test(bytes, curves)
{
    tp_loop one = tp_loop_flat(N, 2), two = tp_loop_flat(N, 3);
    const double k[3] = { 0.5, 0.75, 1 };

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        buffer a = numbers(t, N, 0.1, 1), b = numbers(t, N, 0.1, 1), y = blank(t, N);

#define F(name)                                                                          \
    COST(name, t, 2 * bytes_of(N, t), 15, NULL, &one, ON(a), k, false, ON(y));           \
    COST(name##_dx, t, 3 * bytes_of(N, t), 15, NULL, &two, ON(a), ON(b), k, false, ON(y));
        EACH_BENT(F)
#undef F
        COST(elu_ddx, t, 3 * bytes_of(N, t), 15, NULL, &two, ON(a), ON(b), k, false,
             ON(y));
        release_all();
    }
}

Test(bytes, choices)
{
    tp_loop three = tp_loop_flat(N, 3), four = tp_loop_flat(N, 4);
    buffer yes = numbers(TP_BOOL, N, 0, 1), answer = blank(TP_BOOL, N);

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        buffer a = numbers(t, N, 0, 1), b = numbers(t, N, 0, 1), y = blank(t, N);

        COST(compare, t, 2 * bytes_of(N, t) + N, 12, NULL, &three, TP__LT, ON(a), ON(b),
             ON(answer));
        COST(where, t, 3 * bytes_of(N, t) + N, 12, NULL, &four, ON(yes), ON(a), ON(b),
             false, ON(y));
    }
    release_all();
}

/* ---- moved, cast, drawn ---- */

Test(bytes, copies)
{
    static const tp_dtype all[] = { TP_F32, TP_F64, TP_BF16, TP_F16,
                                    TP_I64, TP_I32, TP_U8,   TP_BOOL };
    tp_loop one = tp_loop_flat(N, 1), two = tp_loop_flat(N, 2);

    for (int i = 0; i < LEN(all); i++) {
        tp_dtype t = all[i];
        buffer x = numbers(t, N, 0, 2), y = blank(t, N);

        COST(fill, t, bytes_of(N, t), 15, NULL, &one, 3, ON(y));
        COST(copy, t, 2 * bytes_of(N, t), 15, NULL, &two, ON(x), false, ON(y));
        COST(iota, t, bytes_of(N, t), 15, NULL, N, 1, 2, ON(y));
        for (int j = 0; j < LEN(all); j++) {
            buffer z = blank(all[j], N);

            double a = (double)dtype_size[t], b = (double)dtype_size[all[j]];

            /* 16 bytes of the wider, as many numbers of the other */
            COST(cast, t, (a + b) * N, 8 * (1 + fmin(a, b) / fmax(a, b)), NULL, &two,
                 ON(x), all[j], ON(z));
        }
        release_all();
    }
}

Test(bytes, random)
{
    tp_loop one = tp_loop_flat(N, 1), two = tp_loop_flat(N, 2);
    tp_draw draw = { .state = NULL };

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        buffer state = values(TP_I64, 2, (double[]){ 123, 4 }), x = numbers(t, N, 0, 1),
               y = blank(t, N);

        draw.state = ON(state);
        COST(uniform, t, bytes_of(N, t), 15, NULL, &one, draw, 0, 1, ON(y));
        COST(normal, t, bytes_of(N, t), 15, NULL, &one, draw, 0, 1, ON(y));
        COST(dropout, t, 2 * bytes_of(N, t), 15, NULL, &two, ON(x), 0.25, draw, false,
             ON(y));
        COST(dropout, t, 3 * bytes_of(N, t), 15, NULL, &two, ON(x), 0.25, draw, true,
             ON(y));
        COST(bernoulli, t, 2 * bytes_of(N, t), 15, NULL, &two, ON(x), draw, ON(y));
        release_all();
    }
}

/* ---- operands that don't lie side by side ---- */

enum { ROWS = 128, COLS = 128 };

/* Rows of COLS, `a` as they are, b by its strides. */
static tp_loop loop_by(int64_t row, int64_t col)
{
    const int64_t *strides[] = { (int64_t[]){ COLS, 1 }, (int64_t[]){ row, col } };

    return loop_of(2, (int64_t[]){ ROWS, COLS }, 2, strides, true);
}

Test(bytes, broadcast)
{
    tp_loop row = loop_by(0, 1), column = loop_by(1, 0), number = loop_by(0, 0), first = column;

    memcpy(first.stride[1], column.stride[2], sizeof first.stride[1]);
    memcpy(first.stride[2], column.stride[1], sizeof first.stride[2]);
    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        buffer a = numbers(t, N, 0, 1), b = numbers(t, ROWS, 0, 1), y = blank(t, N);

        COST(add, t, bytes_of(2 * N + COLS, t), 15, NULL, &row, ON(a), ON(b), false,
             ON(y));
        COST(add, t, bytes_of(2 * N + ROWS, t), 15, NULL, &column, ON(a), ON(b), false,
             ON(y));
        COST(add, t, bytes_of(2 * N + ROWS, t), 15, NULL, &first, ON(b), ON(a), false,
             ON(y));
        COST(add, t, bytes_of(2 * N + 1, t), 15, NULL, &number, ON(a), ON(b), false,
             ON(y));
        release_all();
    }
}

Test(bytes, turned)
{
    const int64_t *strides[] = { (int64_t[]){ 1, ROWS } };
    tp_loop l = loop_of(2, (int64_t[]){ ROWS, COLS }, 1, strides, true),
            two = loop_by(1, ROWS);

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        double e = (double)dtype_size[t];
        buffer x = numbers(t, N, 0, 1), b = numbers(t, N, 0, 1), y = blank(t, N),
               z = blank(TP_F64, N);

        COST(copy, t, 2 * bytes_of(N, t), e, NULL, &l, ON(x), false, ON(y));
        COST(relu, t, 2 * bytes_of(N, t), e, NULL, &l, ON(x), false, ON(y));
        COST(cast, t, bytes_of(N, t) + bytes_of(N, TP_F64), e, NULL, &l, ON(x), TP_F64,
             ON(z));
        COST(add, t, 3 * bytes_of(N, t), e, NULL, &two, ON(x), ON(b), false, ON(y));
        release_all();
    }
}

/* ---- groups of tensors ---- */

Test(bytes, updates)
{
    const int64_t n = 20000; /* 16 bytes at a time end with it */
    buffer lr = values(TP_F64, 1, (double[]){ 0.1 }),
           step = values(TP_F64, 1, (double[]){ 3 });
    tp_scalars s = { ON(lr), ON(step), NULL, NULL };

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        buffer g = numbers(t, n, -1, 1), p = numbers(t, n, -1, 1),
               m = numbers(t, n, -1, 1), v = numbers(t, n, 0, 1), w = numbers(t, n, 0, 1);
        tp_update plain = { n, ON(g), ON(p), NULL, NULL, NULL },
                  one = { n, ON(g), ON(p), ON(m), NULL, NULL },
                  two = { n, ON(g), ON(p), ON(m), ON(v), NULL },
                  three = { n, ON(g), ON(p), ON(m), ON(v), ON(w) },
                  rates = { n, ON(g), ON(p), NULL, ON(v), NULL },
                  to = { n, ON(g), ON(p), ON(m), NULL, ON(w) };
        double each = bytes_of(n, t);

/* each operand once: g and p, `states` of the rule, those that change once more */
#define UPDATE(name, tensors, u, ...)                                                    \
    COST(name, t, (tensors)*each, 15, NULL, 1, u, (tp_##name##_args){ __VA_ARGS__ }, s)
        UPDATE(sgd, 3, &plain, .weight_decay = 0.1);
        UPDATE(sgd, 5, &one, .momentum = 0.9);
        UPDATE(adam, 7, &two, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8,
               .weight_decay = 0.1);
        UPDATE(adam, 7, &two, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8,
               .weight_decay = 0.1, .decoupled = true);
        UPDATE(adam, 9, &three, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8,
               .amsgrad = true);
        UPDATE(rmsprop, 5, &rates, .alpha = 0.9, .eps = 1e-8);
        UPDATE(rmsprop, 9, &three, .alpha = 0.9, .eps = 1e-2, .momentum = 0.9,
               .centered = true);
        UPDATE(adagrad, 5, &rates, .eps = 1e-8);
        UPDATE(adadelta, 7, &two, .rho = 0.9, .eps = 1e-6);
        UPDATE(adamax, 7, &two, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8);
        UPDATE(nadam, 7, &two, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8,
               .momentum_decay = 0.004);
        UPDATE(radam, 7, &two, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8);
        UPDATE(lion, 5, &one, .beta1 = 0.9, .beta2 = 0.99);
        UPDATE(muon, 6, &to, .momentum = 0.9);
#undef UPDATE
    }
    release_all();
}

Test(bytes, gradients)
{
    const int64_t n = 20000;

    for (int i = 0; i < LEN(kinds); i++) {
        tp_dtype t = kinds[i];
        buffer g = numbers(t, n, -1, 1), p = numbers(t, n, -1, 1),
               norm = values(TP_F64, 1, (double[]){ 9 }),
               scale = values(TP_F64, 1, (double[]){ 2 }), found = blank(TP_F64, 1),
               times = values(TP_F64, 1, (double[]){ 3 });
        tp_update u = { n, ON(g), ON(p), NULL, NULL, NULL };
        double each = bytes_of(n, t);

        COST(sum_squares, t, each, 15, NULL, 1, &u, false, ON(norm));
        COST(clip_norm, t, 2 * each, 15, NULL, 1, &u, ON(norm), 0.5);
        COST(clip_value, t, 2 * each, 15, NULL, 1, &u, 0.5);
        COST(unscale, t, 2 * each, 15, NULL, 1, &u, ON(scale), false, ON(found));
        COST(average, t, 3 * each, 15, NULL, 1, &u,
             ((tp_average_args){ .kind = TP_AVERAGE_DECAY, .decay = 0.9 }), ON(times));
    }
    release_all();
}

/* Of one call on `count` tensors, since this was asked last; wanted -1: any. */
static void launches_are(const char *what, int count, int wanted, int failed)
{
    static uint64_t before;
    cudasim_stats now;

    get_stats(&now);
    cr_expect(!failed && (wanted < 0 || (int)(now.launches - before) == wanted) && !ctx[CUDA].backend->wait(&ctx[CUDA]),
              "%s of %d tensors: %d launches, not %d", what, count, (int)(now.launches - before), wanted);
    before = now.launches;
}

/* A group is one launch, for GPT-2's 148 tensors, too; what is summed over all has one more. */
Test(bytes, launches_of_groups)
{
    enum { TENSORS = 256 };
    static tp_update u[TENSORS + 1];
    buffer g = numbers(TP_F32, TENSORS + 1, -1, 1), p = numbers(TP_F32, TENSORS + 1, -1, 1);
    buffer m = numbers(TP_F32, TENSORS + 1, 0, 1), v = numbers(TP_F32, TENSORS + 1, 0, 1), w = numbers(TP_F32, TENSORS + 1, 0, 1);
    buffer lr = values(TP_F64, 1, (double[]){ 0.05 }), step = values(TP_F64, 1, (double[]){ 1 });
    tp_scalars s = { ON(lr), ON(step), NULL, NULL };

    for (int i = 0; i <= TENSORS; i++)
        u[i] = (tp_update){ 1, (float *)ON(g) + i, (float *)ON(p) + i, (float *)ON(m) + i, (float *)ON(v) + i, (float *)ON(w) + i };
#define RULE(name)        LAUNCHES(0, name, u, (tp_##name##_args){ 0 }, s)
#define LAUNCHES(more, name, ...)                                                                                      \
    for (int count = TENSORS; count <= TENSORS + 1; count++) {                                                         \
        launches_are(#name, count, (count <= TENSORS ? 1 : 2) + more, ctx[CUDA].backend->name[TP_F32](&ctx[CUDA], count, __VA_ARGS__)); \
    }
    launches_are("what came before", 0, -1, 0);
    RULE(sgd) RULE(adam) RULE(rmsprop) RULE(adagrad) RULE(adadelta) RULE(adamax) RULE(nadam) RULE(radam) RULE(lion) RULE(muon)
    LAUNCHES(1, sum_squares, u, false, ON(step))
    LAUNCHES(0, clip_norm, u, ON(step), 0.5)
    LAUNCHES(0, clip_value, u, 0.5)
    LAUNCHES(0, average, u, (tp_average_args){ .kind = TP_AVERAGE_MEAN }, ON(lr))
    LAUNCHES(1, unscale, u, ON(lr), false, ON(step))
    release_all();
}
