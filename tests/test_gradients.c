/*
 * test_gradients.c - every op against finite differences in f64, once and twice.
 *
 * The ops of the spine; families that came later have tests of their own.
 */
#include "tests/gradients.h"

/* ---- elementwise ---- */
F(f_add, tp_add(a, b))
F(f_add_self, tp_square(tp_add(a, a)))
F(f_sub, tp_sub(a, b))
F(f_mul, tp_mul(a, b))
F(f_mul_self, tp_mul(a, a))
F(f_div, tp_div(a, b))
F(f_affine, tp_affine(a, -1.5, 2))
F(f_square, tp_square(a))
F(f_sqrt, tp_sqrt(a))
F(f_exp, tp_exp(a))
F(f_log, tp_log(a))
F(f_relu, tp_relu(a))
F(f_tanh, tp_tanh(a))
F(f_sigmoid, tp_sigmoid(a))
F(f_gelu, tp_gelu(a))
F(f_gelu_tanh, tp_gelu_tanh(a))
F(f_lerp, tp_lerp(a, b, c))
F(f_bce, tp_bce_with_logits(a, b))
F(f_bce_sum, tp_bce_with_logits_with(a, b, (tp_bce_opts){ .reduction = TP_SUM }))
F(f_mse, tp_mse(a, b))

/* ---- folds and views ---- */
F(f_sum, tp_sum(a, TP_ALL))
F(f_sum_axis, tp_sum(tp_square(a), TP_AXES(1)))
F(f_sum_keep, tp_mul(a, tp_sum(a, TP_KEEPDIM(0, -1))))
F(f_mean, tp_mean(tp_mul(a, a), TP_AXES(0)))
F(f_reshape, tp_square(tp_reshape(tp_square(a), TP_SHAPE(2, -1))))
F(f_flatten, tp_square(tp_flatten(tp_permute(tp_tanh(a), TP_AXES(1, 0, 2)), 1)))
F(f_transpose, tp_mul(tp_transpose(tp_tanh(a), 0, 1), b))
F(f_slice, tp_tanh(tp_slice(tp_square(a), 1, 1, 3)))
F(f_slice_step, tp_tanh(tp_slice_step(tp_square(a), 1, 0, 4, 3)))
F(f_to, tp_square(tp_to(tp_tanh(a), tp_device_of(a))))
F(f_slice_back, tp_tanh(tp_slice(tp_slice(tp_square(a), 1, -3, -1), 0, 1, 3)))
F(f_expand, tp_mul(tp_expand(tp_tanh(a), TP_SHAPE(2, 3, 4)), b))
F(f_concat, tp_square(tp_concat(TP_LIST(tp_tanh(a), b, a), 1)))
F(f_flip, tp_mul(tp_flip(tp_tanh(a), 0), a))
F(f_clone, tp_square(tp_clone(tp_transpose(a, 0, 1))))
F(f_contiguous, tp_square(tp_contiguous(tp_transpose(tp_exp(a), 0, 1))))
F(f_channels_last, tp_mul(tp_channels_last(tp_tanh(a)), a))

static tp_tensor *f_split(tp_list in, void *user)
{
    static const int64_t sizes[] = { 1, 2, 1 };
    tp_tensor *p[4], *q[3];

    (void)user; /* the fourth part is not used */
    if (!tp_split(tp_square(in.t[0]), 1, 4, p) || !tp_split_sizes(tp_exp(in.t[0]), 1, sizes, 3, q)) return NULL;
    return tp_add(tp_add(tp_tanh(p[0]), tp_mul(p[1], p[2])), tp_mul(q[1], q[2]));
}

/* Overlapping views, a view of a view, a dense consumer, and x itself. */
static tp_tensor *f_overlap(tp_list in, void *user)
{
    tp_tensor *x = tp_exp(in.t[0]);
    tp_tensor *a = tp_slice(x, 1, 0, 3), *b = tp_slice(x, 1, 1, 4), *c = tp_slice(a, 0, 1, 2);
    tp_tensor *product = tp_matmul(tp_reshape(x, TP_SHAPE(4, 3)), tp_slice(x, 1, 0, 4));

    (void)user;
    return tp_add(tp_add(tp_mul(a, tp_tanh(b)), tp_tanh(c)), tp_sum(product, TP_KEEPDIM(0, 1)));
}

/* A gradient written through a slice of a permuted, reshaped view. */
static tp_tensor *f_view_chain(tp_list in, void *user)
{
    tp_tensor *x = tp_tanh(in.t[0]), *v = tp_permute(tp_reshape(x, TP_SHAPE(2, 3, 2)), TP_AXES(2, 0, 1));

    (void)user;
    return tp_add(tp_square(tp_slice(v, 2, 1, 3)), tp_exp(tp_slice(tp_slice(v, 2, 0, 2), 1, 0, 2)));
}

/* ---- products ---- */
F(f_matmul, tp_matmul(a, b))
F(f_matmul_t, tp_matmul(tp_transpose(a, 0, 1), tp_transpose(b, 0, 1)))
F(f_linear, tp_linear(a, b, c))
F(f_linear_no_bias, tp_linear(a, b, NULL))
#define ACTIVATED(name, act) F(name, tp_linear_with(a, b, c, (tp_linear_opts){ act }))
ACTIVATED(f_linear_relu, TP_RELU)
ACTIVATED(f_linear_gelu, TP_GELU)
ACTIVATED(f_linear_gelu_tanh, TP_GELU_TANH)
ACTIVATED(f_linear_tanh, TP_TANH)
ACTIVATED(f_linear_sigmoid, TP_SIGMOID)
#define CONV(name, ...) F(name, tp_conv2d(a, b, c, (tp_conv2d_opts){ __VA_ARGS__ }))
CONV(f_conv, .padding = 1)
CONV(f_conv_stride, .stride = 2, .padding = 1)
CONV(f_conv_dilated, .dilation = 2, .padding = 1)
CONV(f_conv_groups, .groups = 2)
F(f_conv_last, tp_conv2d(tp_channels_last(tp_tanh(a)), b, NULL, (tp_conv2d_opts){ .padding = 1 }))
F(f_max_pool, tp_square(tp_max_pool2d(a, 2, (tp_pool2d_opts){ 0 })))
F(f_max_pool_over, tp_square(tp_max_pool2d(a, 3, (tp_pool2d_opts){ .stride = 1, .padding = 1 })))
F(f_avg_pool, tp_square(tp_global_avg_pool2d(a)))

/* ---- normalization ---- */
F(f_batch_norm, tp_batch_norm(a, b, c, NULL, NULL, tp_batch_norm_defaults()))
F(f_batch_norm_plain, tp_batch_norm(a, NULL, NULL, NULL, NULL, tp_batch_norm_defaults()))
F(f_layer_norm, tp_layer_norm(a, TP_SHAPE(4), b, c, 1e-5))
F(f_layer_norm_2, tp_layer_norm(a, TP_SHAPE(3, 4), b, c, 1e-5))
F(f_layer_norm_plain, tp_layer_norm(a, TP_SHAPE(4), NULL, NULL, 1e-5))

static tp_tensor *f_batch_norm_eval(tp_list in, void *user)
{
    tp_batch_norm_opts o = tp_batch_norm_defaults();
    tp_device *dev = tp_device_of(in.t[0]);
    tp_tensor *m = tp_full(TP_SHAPE(3), 0.2, TP_F64, dev), *v = tp_full(TP_SHAPE(3), 1.5, TP_F64, dev);

    (void)user;
    o.training = false;
    return tp_batch_norm(in.t[0], in.t[1], in.t[2], m, v, o);
}

/* ---- looking up, dropping, recurring, losing ---- */
static tp_tensor *f_embedding(tp_list in, void *user)
{
    return tp_tanh(tp_embedding(user, in.t[0]));
}

static tp_tensor *f_embedding_padded(tp_list in, void *user)
{
    tp_embedding_opts o = tp_embedding_defaults();
    tp_tensor *w = in.t[0], *y;

    o.padding_idx = 3; /* its row gets no gradient, so it must not matter to the value */
    y = tp_embedding_with(user, w, o);
    return tp_mul(tp_tanh(y), tp_reshape(tp_from((double[]){ 1, 1, 0, 1 }, TP_SHAPE(4), TP_F64, tp_device_of(w)),
                                         TP_SHAPE(4, 1)));
}

static tp_tensor *f_dropout(tp_list in, void *user) /* the same numbers each time */
{
    (void)user;
    tp_seed(3);
    return tp_mul(tp_dropout(tp_exp(in.t[0]), 0.4), in.t[0]);
}

static tp_tensor *f_cross_entropy(tp_list in, void *user)
{
    return tp_cross_entropy(in.t[0], user);
}

static tp_tensor *f_cross_entropy_each(tp_list in, void *user)
{
    tp_cross_entropy_opts o = tp_cross_entropy_defaults();

    o.reduction = TP_NONE;
    return tp_mul(tp_cross_entropy_with(in.t[0], user, o), in.t[1]);
}

static tp_tensor *f_cross_entropy_sum(tp_list in, void *user)
{
    tp_cross_entropy_opts o = tp_cross_entropy_defaults();

    o.reduction = TP_SUM;
    return tp_scale(tp_cross_entropy_with(tp_slice(in.t[0], 1, 0, 4), user, o), 3);
}

static tp_tensor *f_lstm(tp_list in, void *user)
{
    tp_lstm_out o = tp_lstm(in.t[0], in.t[1], in.t[2], in.t[3], in.t[4], in.t[5], in.t[6]);
    int which = (int)(intptr_t)user;

    if (which == 1) return o.h;
    if (which == 2) return o.c;
    return tp_add(tp_sum(tp_tanh(o.y), TP_AXES(0)), tp_mul(o.h, o.c));
}

/* ---- networks ---- */
static tp_tensor *f_residual(tp_list in, void *user) /* the given gradient is shared, then added to */
{
    tp_tensor *h = tp_tanh(in.t[0]);

    (void)user;
    return tp_add(tp_add(h, tp_tanh(tp_linear(h, in.t[1], in.t[2]))), h);
}

static tp_tensor *f_mlp(tp_list in, void *user)
{
    return tp_cross_entropy(tp_linear(tp_tanh(tp_linear(in.t[0], in.t[1], in.t[2])), in.t[1], in.t[2]), user);
}

static tp_tensor *f_cnn(tp_list in, void *user)
{
    tp_tensor *h = tp_conv2d(in.t[0], in.t[1], NULL, (tp_conv2d_opts){ .padding = 1 });

    (void)user;
    h = tp_batch_norm(h, NULL, NULL, NULL, NULL, tp_batch_norm_defaults());
    return tp_flatten(tp_add(tp_tanh(h), h), 1);
}

static int checkpointed(tp_list in, void *user, tp_tensor **out, int room)
{
    (void)user, (void)room;
    out[0] = tp_tanh(tp_linear(tp_dropout(tp_exp(in.t[0]), 0.3), in.t[1], in.t[2]));
    return out[0] ? 1 : -1;
}

static tp_tensor *f_checkpoint(tp_list in, void *user)
{
    tp_tensor *y = NULL;

    tp_seed(5);
    tp_checkpoint(checkpointed, in, user, &y, 1);
    return y;
}

/* ---- the rows ---- */

static void *labels(tp_device *dev)
{
    return tp_from((int64_t[]){ 1, -100, 3, 0 }, TP_SHAPE(4), TP_I64, dev);
}

static void *places(tp_device *dev)
{
    return tp_from((int64_t[]){ 1, 0, 3, 1 }, TP_SHAPE(4), TP_I64, dev);
}

/* Which output alone is used. */
static void *first(tp_device *dev)
{
    (void)dev;
    return (void *)1;
}

static void *second(tp_device *dev)
{
    (void)dev;
    return (void *)2;
}

static const row rows[] = {
    { "add", f_add, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "add row", f_add, 2, { R2(3, 4), R1(4) }, -1, NULL, 0 },
    { "add column", f_add, 2, { R2(3, 1), R2(3, 4) }, -1, NULL, 0 },
    { "add scalar", f_add, 2, { R2(3, 4), R0 }, -1, NULL, 0 },
    { "add middle", f_add, 2, { R3(2, 1, 3), R3(2, 4, 3) }, -1, NULL, 0 },
    { "add nothing", f_add, 2, { R2(0, 4), R1(4) }, -1, NULL, 0 },
    { "add one", f_add, 2, { R0, R0 }, -1, NULL, 0 },
    { "add itself", f_add_self, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "sub", f_sub, 2, { R2(3, 4), R1(4) }, -1, NULL, 0 },
    { "mul", f_mul, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "mul outer", f_mul, 2, { R2(3, 1), R2(1, 4) }, -1, NULL, 0 },
    { "mul itself", f_mul_self, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "div", f_div, 2, { R2(3, 4), R1(4) }, .5, NULL, 0 },
    { "affine", f_affine, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "square", f_square, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "sqrt", f_sqrt, 1, { R2(3, 4) }, .5, NULL, 0 },
    { "exp", f_exp, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "log", f_log, 1, { R2(3, 4) }, .5, NULL, 0 },
    { "relu", f_relu, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "tanh", f_tanh, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "sigmoid", f_sigmoid, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "gelu", f_gelu, 1, { R2(3, 4) }, -2, NULL, 0 },
    { "gelu_tanh", f_gelu_tanh, 1, { R2(3, 4) }, -2, NULL, 0 },
    { "lerp", f_lerp, 3, { R2(3, 4), R2(3, 4), R2(3, 1) }, -1, NULL, 0 },
    { "bce", f_bce, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "bce sum", f_bce_sum, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "mse", f_mse, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "sum", f_sum, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "sum axis", f_sum_axis, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "sum keep", f_sum_keep, 1, { R3(3, 4, 2) }, -1, NULL, 0 },
    { "mean", f_mean, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "reshape", f_reshape, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "flatten", f_flatten, 1, { R3(2, 3, 2) }, -1, NULL, 0 },
    { "transpose", f_transpose, 2, { R2(3, 4), R2(4, 3) }, -1, NULL, 0 },
    { "slice", f_slice, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "slice by 3", f_slice_step, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "to", f_to, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "slice of slice", f_slice_back, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "expand", f_expand, 2, { R2(3, 1), R3(2, 3, 4) }, -1, NULL, 0 },
    { "concat", f_concat, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "flip", f_flip, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "clone", f_clone, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "contiguous", f_contiguous, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "channels_last", f_channels_last, 1, { R4(2, 3, 2, 2) }, -1, NULL, 0 },
    { "split", f_split, 1, { R2(2, 4) }, -1, NULL, 0 },
    { "views", f_overlap, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "chain of views", f_view_chain, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "matmul", f_matmul, 2, { R2(3, 4), R2(4, 2) }, -1, NULL, 0 },
    { "matmul transposed", f_matmul_t, 2, { R2(4, 3), R2(2, 4) }, -1, NULL, 0 },
    { "matmul batches", f_matmul, 2, { R3(2, 3, 4), R3(2, 4, 2) }, -1, NULL, 0 },
    { "matmul broadcast", f_matmul, 2, { R4(2, 1, 3, 4), R3(2, 4, 2) }, -1, NULL, 0 },
    { "matmul one matrix", f_matmul, 2, { R3(2, 3, 4), R2(4, 2) }, -1, NULL, 0 },
    { "matmul vectors", f_matmul, 2, { R1(4), R1(4) }, -1, NULL, 0 },
    { "matmul vector left", f_matmul, 2, { R1(4), R3(2, 4, 3) }, -1, NULL, 0 },
    { "matmul vector right", f_matmul, 2, { R3(2, 3, 4), R1(4) }, -1, NULL, 0 },
    { "matmul k 0", f_matmul, 2, { R2(3, 0), R2(0, 2) }, -1, NULL, 0 },
    { "linear", f_linear, 3, { R2(3, 4), R2(5, 4), R1(5) }, -1, NULL, 0 },
    { "linear 3-D", f_linear, 3, { R3(2, 3, 4), R2(5, 4), R1(5) }, -1, NULL, 0 },
    { "linear no bias", f_linear_no_bias, 2, { R2(3, 4), R2(5, 4) }, -1, NULL, 0 },
    { "linear relu", f_linear_relu, 3, { R2(3, 4), R2(5, 4), R1(5) }, -1, NULL, 0 },
    { "linear gelu", f_linear_gelu, 3, { R2(3, 4), R2(5, 4), R1(5) }, -1, NULL, 0 },
    { "linear gelu_tanh", f_linear_gelu_tanh, 3, { R2(3, 4), R2(5, 4), R1(5) }, -1, NULL, 0 },
    { "linear tanh", f_linear_tanh, 3, { R2(3, 4), R2(5, 4), R1(5) }, -1, NULL, 0 },
    { "linear sigmoid", f_linear_sigmoid, 3, { R2(3, 4), R2(5, 4), R1(5) }, -1, NULL, 0 },
    { "conv2d", f_conv, 3, { R4(2, 3, 4, 4), R4(2, 3, 3, 3), R1(2) }, -1, NULL, 0 },
    { "conv2d stride", f_conv_stride, 3, { R4(2, 2, 5, 4), R4(3, 2, 3, 3), R1(3) }, -1, NULL, 0 },
    { "conv2d dilated", f_conv_dilated, 3, { R4(1, 2, 5, 5), R4(2, 2, 3, 3), R1(2) }, -1, NULL, 0 },
    { "conv2d groups", f_conv_groups, 3, { R4(1, 4, 4, 3), R4(6, 2, 2, 2), R1(6) }, -1, NULL, 0 },
    { "conv2d 1x1", f_conv_stride, 3, { R4(2, 3, 3, 3), R4(2, 3, 1, 1), R1(2) }, -1, NULL, 0 },
    { "conv2d channels-last", f_conv_last, 2, { R4(2, 3, 3, 4), R4(2, 3, 3, 3) }, -1, NULL, 0 },
    { "max_pool2d", f_max_pool, 1, { R4(2, 3, 4, 5) }, -1, NULL, 0 },
    { "max_pool2d overlapping", f_max_pool_over, 1, { R4(1, 2, 4, 3) }, -1, NULL, 0 },
    { "global_avg_pool2d", f_avg_pool, 1, { R4(2, 3, 4, 2) }, -1, NULL, 0 },
    { "batch_norm 4-D", f_batch_norm, 3, { R4(2, 3, 2, 2), R1(3), R1(3) }, -1, NULL, 0 },
    { "batch_norm 2-D", f_batch_norm, 3, { R2(5, 3), R1(3), R1(3) }, -1, NULL, 0 },
    { "batch_norm 3-D", f_batch_norm, 3, { R3(2, 3, 4), R1(3), R1(3) }, -1, NULL, 0 },
    { "batch_norm plain", f_batch_norm_plain, 1, { R4(2, 3, 2, 2) }, -1, NULL, 0 },
    { "batch_norm eval", f_batch_norm_eval, 3, { R4(2, 3, 2, 2), R1(3), R1(3) }, -1, NULL, 0 },
    { "layer_norm", f_layer_norm, 3, { R3(2, 3, 4), R1(4), R1(4) }, -1, NULL, 0 },
    { "layer_norm 2 axes", f_layer_norm_2, 3, { R3(2, 3, 4), R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "layer_norm plain", f_layer_norm_plain, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "embedding", f_embedding, 1, { R2(5, 3) }, -1, places, 0 },
    { "embedding padded", f_embedding_padded, 1, { R2(5, 3) }, -1, places, 0 },
    { "dropout", f_dropout, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "lstm", f_lstm, 7, { R3(3, 2, 3), R2(2, 4), R2(2, 4), R2(16, 3), R2(16, 4), R1(16), R1(16) }, -.7, NULL, ONCE },
    { "lstm one step", f_lstm, 7, { R3(1, 2, 3), R2(2, 4), R2(2, 4), R2(16, 3), R2(16, 4), R1(16), R1(16) }, -.7, NULL, ONCE },
    { "lstm h alone", f_lstm, 7, { R3(2, 1, 1), R2(1, 2), R2(1, 2), R2(8, 1), R2(8, 2), R1(8), R1(8) }, -.7, first, ONCE },
    { "lstm c alone", f_lstm, 7, { R3(2, 1, 1), R2(1, 2), R2(1, 2), R2(8, 1), R2(8, 2), R1(8), R1(8) }, -.7, second, ONCE },
    { "cross_entropy", f_cross_entropy, 1, { R2(4, 5) }, -1, labels, 0 },
    { "cross_entropy unreduced", f_cross_entropy_each, 2, { R2(4, 5), R1(4) }, -1, labels, 0 },
    { "cross_entropy sum of a slice", f_cross_entropy_sum, 1, { R2(4, 5) }, -1, labels, 0 },
    { "residual", f_residual, 3, { R2(3, 4), R2(4, 4), R1(4) }, -1, NULL, 0 },
    { "mlp", f_mlp, 3, { R2(4, 4), R2(4, 4), R1(4) }, -1, labels, 0 },
    { "cnn", f_cnn, 2, { R4(2, 2, 3, 3), R4(3, 2, 3, 3) }, -1, NULL, 0 },
    { "checkpoint", f_checkpoint, 3, { R2(3, 4), R2(5, 4), R1(5) }, -1, NULL, 0 },
};

GRADIENTS(gradients, rows)

Test(gradients, a_third_is_refused_by_name)
{
    TP_SCOPE;
    tp_device *dev = tp_device_open("cpu");
    tp_tensor *x = check_leaf(TP_SHAPE(3, 4), -1, 1, dev);
    tp_tensor *y = tp_from((int64_t[]){ 1, 2, 3 }, TP_SHAPE(3), TP_I64, dev);
    tp_grad_opts graph = { .create_graph = true };
    tp_tensor *g = tp_grad_of(tp_cross_entropy(x, y), x, graph);
    tp_tensor *h = tp_grad_of(tp_sum(tp_square(g), TP_ALL), x, graph);

    CASE("third derivative");
    CHECK(h != NULL);
    CHECK_REFUSED(tp_grad_of(tp_sum(h, TP_ALL), x, graph), TP_ERR_ARG, "cross_entropy_ddx has no derivative");
}
