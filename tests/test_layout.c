/*
 * test_layout.c - which layout a result has, and that training in channels-last never turns back.
 */
#include "tests/check.h"

/* ---- a table: what an op makes of channels-last and row-major operands ---- */

#define C4(n, c, h, w) tp_channels_last(tp_randn(TP_SHAPE(n, c, h, w), dev))
#define R4(n, c, h, w) tp_randn(TP_SHAPE(n, c, h, w), dev)
#define LAST(t) CASE("%s on %s", #t, tp_device_name(dev)), expect_layout(t, true)
#define ROWS(t) CASE("%s on %s", #t, tp_device_name(dev)), expect_layout(t, false)

static void expect_layout(tp_tensor *t, bool last)
{
    CHECK(t && tp_is_channels_last(t) == last && tp_is_contiguous(t) == !last);
    tp_clear_error();
}

ON_EACH_DEVICE(layout, elementwise_keeps_it)
{
    tp_tensor *x, *gate, *bias;

    TP_SCOPE;
    x = C4(2, 3, 4, 5), gate = R4(2, 3, 1, 1), bias = R4(1, 3, 1, 1);
    LAST(tp_relu(x)), LAST(tp_affine(x, 2, 1)), LAST(tp_cast(x, TP_BF16)), LAST(tp_clone(x)), LAST(tp_dropout(x, .5));
    LAST(tp_add(x, x)), LAST(tp_add(x, R4(2, 3, 4, 5))), ROWS(tp_add(R4(2, 3, 4, 5), x)); /* the first decides */
    LAST(tp_mul(gate, x)), LAST(tp_add(bias, x)), LAST(tp_add(tp_randn(TP_SHAPE(5), dev), x)); /* these can't */
    LAST(tp_add(R4(2, 1, 4, 5), x)); /* one channel lies both ways */
    LAST(tp_relu(tp_slice(x, 1, 0, 2))), LAST(tp_relu(tp_slice(x, 2, 1, 3))), LAST(tp_relu(tp_slice(x, 0, 1, 2)));
    LAST(tp_concat(TP_LIST(x, x), 1)), LAST(tp_concat(TP_LIST(R4(2, 1, 4, 5), x), 1));
    LAST(tp_pad(x, TP_SHAPE(1, 1, 1, 1), (tp_pad_opts){ 0 })), LAST(tp_flip(x, 3)), LAST(tp_zeros_like(x)), LAST(tp_rand_like(x));
    LAST(tp_mean(x, TP_KEEPDIM(3)));
    ROWS(tp_relu(R4(2, 3, 4, 5))), ROWS(tp_relu(tp_transpose(x, 0, 1))), ROWS(tp_relu(tp_slice(R4(2, 3, 4, 5), 3, 0, 2)));
    LAST(tp_relu(tp_permute(tp_randn(TP_SHAPE(2, 4, 5, 3), dev), TP_AXES(0, 3, 1, 2))));
}

ON_EACH_DEVICE(layout, images_are_channels_last_and_all_else_in_rows)
{
    tp_batch_norm_opts o = tp_batch_norm_defaults();
    tp_tensor *x, *w;

    TP_SCOPE;
    x = R4(2, 3, 6, 6), w = R4(4, 3, 3, 3);
    LAST(tp_conv2d(x, w, NULL, (tp_conv2d_opts){ 0 })), LAST(tp_max_pool2d(x, 2, (tp_pool2d_opts){ 0 }));
    LAST(tp_batch_norm(x, NULL, NULL, NULL, NULL, o));
    x = C4(2, 3, 6, 6);
    ROWS(tp_flatten(x, 1)), ROWS(tp_matmul(x, R4(2, 3, 6, 6))), ROWS(tp_layer_norm(x, TP_SHAPE(6), NULL, NULL, 1e-5));
    ROWS(tp_contiguous(x)), ROWS(tp_linear(x, tp_randn(TP_SHAPE(2, 6), dev), NULL));
}

/* ---- a step: nothing is turned but the input, and what is flattened ---- */

static tp_tensor *network(tp_tensor *x, tp_tensor *const *w)
{
    tp_conv2d_opts same = { .padding = 1 };
    tp_tensor *h = tp_relu(tp_batch_norm(tp_conv2d(x, w[0], NULL, same), NULL, NULL, NULL, NULL, tp_batch_norm_defaults()));
    tp_tensor *a = tp_relu(tp_conv2d(h, w[1], NULL, same)), *gate = tp_sigmoid(tp_global_avg_pool2d(a));
    tp_tensor *parts[2];

    h = tp_add(tp_mul(gate, a), h); /* squeeze and excite, and a residual */
    if (!tp_split(h, 1, 2, parts)) return NULL;
    h = tp_concat(TP_LIST(tp_relu(parts[0]), tp_tanh(parts[1])), 1);
    h = tp_max_pool2d(tp_dropout(h, .1), 2, (tp_pool2d_opts){ 0 });
    return tp_linear(tp_flatten(h, 1), w[2], NULL);
}

ON_EACH_DEVICE(layout, a_step_turns_only_its_ends)
{
    tp_tensor *w[3], *x, *y;
    long before;

    TP_SCOPE;
    w[0] = tp_requires_grad(R4(8, 3, 3, 3), true), w[1] = tp_requires_grad(R4(8, 8, 3, 3), true);
    w[2] = tp_requires_grad(tp_randn(TP_SHAPE(5, 8 * 4 * 4), dev), true);
    x = R4(4, 3, 8, 8), y = tp_zeros(TP_SHAPE(4), TP_I64, dev);
    for (int step = 0; step < 2; step++) {
        TP_SCOPE;
        CASE("step %d", step);
        before = atomic_load(&tp__layout_copies);
        CHECK(tp_backward(tp_cross_entropy(network(x, w), y)));
        /* the input, to the flattened, and back in its gradient */
        cr_expect(atomic_load(&tp__layout_copies) - before <= 3, "%ld layout copies", atomic_load(&tp__layout_copies) - before);
    }
    CHECK(tp_is_contiguous(tp_grad(w[0]))); /* a gradient lies as its tensor */
}
