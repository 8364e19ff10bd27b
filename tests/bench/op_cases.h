/*
 * op_cases.h - the ops that ops.c times, at the shapes of the nine workloads: an MLP, a CNN, a VAE,
 * an LSTM, two GPTs (128 and 384 wide), a DCGAN, a diffusion U-Net and a ResNet-18.
 *
 * Inputs are told in words, which ops.py reads as well: 64x784 is f32 and wants a gradient; before
 * the sizes - means that it wants none, c that it is channels-last, h that it is bf16; i96: labels below
 * 96, b: bool.
 */
#ifndef TP_BENCH_OP_CASES_H
#define TP_BENCH_OP_CASES_H

#include "taper.h"

enum { MOST_INPUTS = 6 };

typedef tp_tensor *op_call(tp_tensor **x);

typedef struct op_case {
    const char *family, *op, *inputs;
    op_call *call;
    double mflop; /* of the forward's products; 0: it moves bytes */
} op_case;

/* ---- what is called ---- */

static tp_tensor *linear(tp_tensor **x) { return tp_linear(x[0], x[1], x[2]); }
static tp_tensor *linear_relu(tp_tensor **x)
{
    return tp_linear_with(x[0], x[1], x[2], (tp_linear_opts){ TP_RELU });
}
static tp_tensor *linear_gelu(tp_tensor **x)
{
    return tp_linear_with(x[0], x[1], x[2], (tp_linear_opts){ TP_GELU });
}
static tp_tensor *matmul(tp_tensor **x) { return tp_matmul(x[0], x[1]); }
static tp_tensor *einsum(tp_tensor **x) { return tp_einsum("bij,bkj->bik", (tp_list){ x, 2 }); }
static tp_tensor *conv(tp_tensor **x) { return tp_conv2d(x[0], x[1], NULL, (tp_conv2d_opts){ .padding = 1 }); }
static tp_tensor *conv_1x1(tp_tensor **x) { return tp_conv2d(x[0], x[1], NULL, (tp_conv2d_opts){ 0 }); }
static tp_tensor *conv_half(tp_tensor **x)
{
    return tp_conv2d(x[0], x[1], NULL, (tp_conv2d_opts){ .stride = 2, .padding = 1 });
}
static tp_tensor *conv_1x1_half(tp_tensor **x)
{
    return tp_conv2d(x[0], x[1], NULL, (tp_conv2d_opts){ .stride = 2 });
}
static tp_tensor *conv_transpose(tp_tensor **x)
{
    return tp_conv_transpose2d(x[0], x[1], NULL, (tp_conv2d_opts){ .stride = 2, .padding = 1 });
}
static tp_tensor *conv_transpose_first(tp_tensor **x)
{
    return tp_conv_transpose2d(x[0], x[1], NULL, (tp_conv2d_opts){ 0 });
}
static tp_tensor *max_pool(tp_tensor **x) { return tp_max_pool2d(x[0], 2, (tp_pool2d_opts){ 0 }); }
static tp_tensor *avg_pool(tp_tensor **x) { return tp_avg_pool2d(x[0], 2, (tp_pool2d_opts){ 0 }); }
static tp_tensor *global_avg(tp_tensor **x) { return tp_global_avg_pool2d(x[0]); }
static tp_tensor *nearest(tp_tensor **x) { return tp_interpolate(x[0], (tp_interpolate_opts){ .scale = 2 }); }
static tp_tensor *bilinear(tp_tensor **x)
{
    return tp_interpolate(x[0], (tp_interpolate_opts){ .mode = TP_BILINEAR, .scale = 2 });
}
static tp_tensor *pixel_shuffle(tp_tensor **x) { return tp_pixel_shuffle(x[0], 2); }
static tp_tensor *batch_norm(tp_tensor **x)
{
    return tp_batch_norm(x[0], x[1], x[2], x[3], x[4], tp_batch_norm_defaults());
}
static tp_tensor *layer_norm(tp_tensor **x)
{
    return tp_layer_norm(x[0], tp_shape_of(x[1]), x[1], x[2], 1e-5);
}
static tp_tensor *rms_norm(tp_tensor **x) { return tp_rms_norm(x[0], tp_shape_of(x[1]), x[1], 1e-5); }
static tp_tensor *group_norm(tp_tensor **x) { return tp_group_norm(x[0], 8, x[1], x[2], 1e-5); }
static tp_tensor *instance_norm(tp_tensor **x) { return tp_instance_norm(x[0], NULL, NULL, 1e-5); }
static tp_tensor *relu(tp_tensor **x) { return tp_relu(x[0]); }
static tp_tensor *leaky_relu(tp_tensor **x) { return tp_leaky_relu(x[0], 0.2); }
static tp_tensor *gelu(tp_tensor **x) { return tp_gelu(x[0]); }
static tp_tensor *gelu_tanh(tp_tensor **x) { return tp_gelu_tanh(x[0]); }
static tp_tensor *silu(tp_tensor **x) { return tp_silu(x[0]); }
static tp_tensor *tanh_of(tp_tensor **x) { return tp_tanh(x[0]); }
static tp_tensor *sigmoid(tp_tensor **x) { return tp_sigmoid(x[0]); }
static tp_tensor *exp_of(tp_tensor **x) { return tp_exp(x[0]); }
static tp_tensor *log_of(tp_tensor **x) { return tp_log(x[0]); }
static tp_tensor *sin_of(tp_tensor **x) { return tp_sin(x[0]); }
static tp_tensor *sqrt_of(tp_tensor **x) { return tp_sqrt(x[0]); }
static tp_tensor *add(tp_tensor **x) { return tp_add(x[0], x[1]); }
static tp_tensor *mul(tp_tensor **x) { return tp_mul(x[0], x[1]); }
static tp_tensor *divide(tp_tensor **x) { return tp_div(x[0], x[1]); }
static tp_tensor *scale(tp_tensor **x) { return tp_scale(x[0], 0.5); }
static tp_tensor *square(tp_tensor **x) { return tp_square(x[0]); }
static tp_tensor *lerp(tp_tensor **x) { return tp_lerp(x[0], x[1], x[2]); }
static tp_tensor *where(tp_tensor **x) { return tp_where(x[0], x[1], x[2]); }
static tp_tensor *greater(tp_tensor **x) { return tp_gt(x[0], x[1]); }
static tp_tensor *clamp(tp_tensor **x) { return tp_clamp(x[0], 0.2, 0.8); }
static tp_tensor *sum(tp_tensor **x) { return tp_sum(x[0], TP_ALL); }
static tp_tensor *sum_rows(tp_tensor **x) { return tp_sum(x[0], TP_AXES(0)); }
static tp_tensor *mean_last(tp_tensor **x) { return tp_mean(x[0], TP_AXES(-1)); }
static tp_tensor *variance(tp_tensor **x) { return tp_var(x[0], TP_AXES(-1), 1); }
static tp_tensor *amax(tp_tensor **x) { return tp_amax(x[0], TP_AXES(-1)); }
static tp_tensor *norm(tp_tensor **x) { return tp_norm(x[0], 2, TP_ALL); }
static tp_tensor *logsumexp(tp_tensor **x) { return tp_logsumexp(x[0], TP_AXES(-1)); }
static tp_tensor *argmax(tp_tensor **x) { return tp_argmax(x[0], -1); }
static tp_tensor *cumsum(tp_tensor **x) { return tp_cumsum(x[0], -1); }
static tp_tensor *sort(tp_tensor **x) { return tp_sort(x[0], -1, false, NULL); }
static tp_tensor *topk(tp_tensor **x) { return tp_topk(x[0], 5, -1, true, NULL); }
static tp_tensor *softmax(tp_tensor **x) { return tp_softmax(x[0], -1); }
static tp_tensor *log_softmax(tp_tensor **x) { return tp_log_softmax(x[0], -1); }
static tp_tensor *attention(tp_tensor **x) { return tp_attention(x[0], x[1], x[2], (tp_attention_opts){ 0 }); }
static tp_tensor *attention_causal(tp_tensor **x)
{
    return tp_attention(x[0], x[1], x[2], (tp_attention_opts){ .causal = true });
}
static tp_tensor *embedding(tp_tensor **x) { return tp_embedding(x[0], x[1]); }
static tp_tensor *lstm(tp_tensor **x) { return tp_lstm(x[0], NULL, NULL, x[1], x[2], x[3], x[4]).y; }
static tp_tensor *gru(tp_tensor **x)
{
    return tp_gru(x[0], NULL, x[1], x[2], x[3], x[4], (tp_recurrent_opts){ 0 }).y;
}
static tp_tensor *rnn(tp_tensor **x)
{
    return tp_rnn(x[0], NULL, x[1], x[2], x[3], x[4], (tp_recurrent_opts){ 0 }).y;
}
static tp_tensor *dropout(tp_tensor **x) { return tp_dropout(x[0], 0.1); }
static tp_tensor *cross_entropy(tp_tensor **x) { return tp_cross_entropy(x[0], x[1]); }
static tp_tensor *bce_with_logits(tp_tensor **x) { return tp_bce_with_logits(x[0], x[1]); }
static tp_tensor *mse(tp_tensor **x) { return tp_mse(x[0], x[1]); }
static tp_tensor *l1_loss(tp_tensor **x) { return tp_l1_loss(x[0], x[1], (tp_loss_opts){ 0 }); }
static tp_tensor *huber(tp_tensor **x) { return tp_huber_loss(x[0], x[1], 1, (tp_loss_opts){ 0 }); }
static tp_tensor *swap_axes(tp_tensor **x) { return tp_contiguous(tp_transpose(x[0], 1, 2)); }
static tp_tensor *concat(tp_tensor **x) { return tp_concat((tp_list){ x, 2 }, 1); }
static tp_tensor *pad(tp_tensor **x) { return tp_pad(x[0], TP_SHAPE(4, 4, 4, 4), (tp_pad_opts){ 0 }); }
static tp_tensor *flip(tp_tensor **x) { return tp_flip(x[0], 3); }
static tp_tensor *roll(tp_tensor **x) { return tp_roll(x[0], 7, 1); }
static tp_tensor *repeat(tp_tensor **x) { return tp_repeat(x[0], TP_SHAPE(4, 1)); }
static tp_tensor *to_bf16(tp_tensor **x) { return tp_cast(x[0], TP_BF16); }
static tp_tensor *gather(tp_tensor **x) { return tp_gather(x[0], 1, x[1]); }
static tp_tensor *scatter_add(tp_tensor **x) { return tp_scatter_add(x[0], 1, x[1], x[2]); }
static tp_tensor *index_select(tp_tensor **x) { return tp_index_select(x[0], 0, x[1]); }
static tp_tensor *masked_fill(tp_tensor **x) { return tp_masked_fill(x[0], x[1], 0); }
static tp_tensor *one_hot(tp_tensor **x) { return tp_one_hot(x[0], 96); }
static tp_tensor *tril(tp_tensor **x) { return tp_tril(x[0], 0); }
static tp_tensor *normal(tp_tensor **x) { return tp_randn_like(x[0]); }
static tp_tensor *bernoulli(tp_tensor **x) { return tp_bernoulli(x[0]); }

/* ---- where ---- */

static const op_case op_cases[] = {
    { "linear", "linear_relu", "-64x784 512x784 512", linear_relu, 51.4 },
    { "linear", "linear_relu", "64x512 512x512 512", linear_relu, 33.6 },
    { "linear", "linear", "64x512 10x512 10", linear, 0.66 },
    { "linear", "linear_relu", "64x3136 128x3136 128", linear_relu, 51.4 },
    { "linear", "linear", "128x400 784x400 784", linear, 80.3 },
    { "linear", "linear", "768x128 384x128 384", linear, 75.5 },
    { "linear", "linear_gelu", "768x128 512x128 512", linear_gelu, 100.7 },
    { "linear", "linear", "2048x384 1152x384 1152", linear, 1812 },
    { "linear", "linear_gelu", "2048x384 1536x384 1536", linear_gelu, 2416 },
    { "linear", "linear", "2048x1536 384x1536 384", linear, 2416 },
    { "linear", "linear", "2048x384 96x384", linear, 151 },
    { "linear", "linear", "h768x128 h384x128 h384", linear, 75.5 },
    { "linear", "linear", "h2048x384 h1536x384 h1536", linear, 2416 },
    { "matmul", "matmul", "48x64x32 48x32x64", matmul, 12.6 },
    { "matmul", "matmul", "48x256x64 48x64x256", matmul, 403 },
    { "matmul", "einsum", "48x64x32 48x64x32", einsum, 12.6 },
    { "conv", "conv", "-c64x1x28x28 32x1x3x3", conv, 28.9 },
    { "conv", "conv", "c64x32x14x14 64x32x3x3", conv, 462.4 },
    { "conv", "conv_half", "-c64x1x32x32 64x1x4x4", conv_half, 33.6 },
    { "conv", "conv_half", "c64x64x16x16 128x64x4x4", conv_half, 1073.7 },
    { "conv", "conv_half", "c64x128x8x8 256x128x4x4", conv_half, 1073.7 },
    { "conv", "conv_1x1", "c64x256x4x4 1x256x4x4", conv_1x1, 0.52 },
    { "conv", "conv", "c32x32x32x32 32x32x3x3", conv, 604 },
    { "conv", "conv", "c32x64x16x16 64x64x3x3", conv, 604 },
    { "conv", "conv", "c32x64x8x8 64x64x3x3", conv, 151 },
    { "conv", "conv_1x1", "c32x64x16x16 192x64x1x1", conv_1x1, 201.3 },
    { "conv", "conv", "-c32x3x32x32 64x3x3x3", conv, 113.2 },
    { "conv", "conv", "c32x64x32x32 64x64x3x3", conv, 2415.9 },
    { "conv", "conv_half", "c32x64x32x32 128x64x3x3", conv_half, 1208 },
    { "conv", "conv_1x1_half", "c32x64x32x32 128x64x1x1", conv_1x1_half, 134.2 },
    { "conv", "conv", "c32x128x16x16 128x128x3x3", conv, 2415.9 },
    { "conv", "conv", "c32x256x8x8 256x256x3x3", conv, 2415.9 },
    { "conv", "conv", "c32x512x4x4 512x512x3x3", conv, 2415.9 },
    { "conv_transpose", "conv_transpose_first", "-64x100x1x1 100x256x4x4", conv_transpose_first, 52.4 },
    { "conv_transpose", "conv_transpose", "c64x256x4x4 256x128x4x4", conv_transpose, 1073.7 },
    { "conv_transpose", "conv_transpose", "c64x128x8x8 128x64x4x4", conv_transpose, 1073.7 },
    { "conv_transpose", "conv_transpose", "c64x64x16x16 64x1x4x4", conv_transpose, 33.6 },
    { "attention", "attention_causal", "12x4x64x32 12x4x64x32 12x4x64x32", attention_causal, 12.8 },
    { "attention", "attention_causal", "8x6x256x64 8x6x256x64 8x6x256x64", attention_causal, 404 },
    { "attention", "attention", "32x1x256x64 32x1x256x64 32x1x256x64", attention, 536.9 },
    { "recurrent", "lstm", "64x32x256 1024x256 1024x256 1024 1024", lstm, 2147.5 },
    { "recurrent", "gru", "64x32x256 768x256 768x256 768 768", gru, 1610.6 },
    { "recurrent", "rnn", "64x32x256 256x256 256x256 256 256", rnn, 536.9 },
    { "pool", "max_pool", "c64x32x28x28", max_pool, 0 },
    { "pool", "max_pool", "c64x64x14x14", max_pool, 0 },
    { "pool", "avg_pool", "c64x64x14x14", avg_pool, 0 },
    { "pool", "global_avg", "c32x512x4x4", global_avg, 0 },
    { "resize", "nearest", "c32x64x16x16", nearest, 0 },
    { "resize", "bilinear", "c32x64x16x16", bilinear, 0 },
    { "resize", "pixel_shuffle", "c32x64x16x16", pixel_shuffle, 0 },
    { "norm", "batch_norm", "c32x64x32x32 64 64 -64 -64", batch_norm, 0 },
    { "norm", "batch_norm", "c32x512x4x4 512 512 -512 -512", batch_norm, 0 },
    { "norm", "batch_norm", "c64x128x8x8 128 128 -128 -128", batch_norm, 0 },
    { "norm", "layer_norm", "768x128 128 128", layer_norm, 0 },
    { "norm", "layer_norm", "2048x384 384 384", layer_norm, 0 },
    { "norm", "rms_norm", "2048x384 384", rms_norm, 0 },
    { "norm", "group_norm", "c32x32x32x32 32 32", group_norm, 0 },
    { "norm", "group_norm", "c32x64x8x8 64 64", group_norm, 0 },
    { "norm", "instance_norm", "c32x32x32x32", instance_norm, 0 },
    { "activation", "relu", "c64x32x28x28", relu, 0 },
    { "activation", "relu", "c32x64x32x32", relu, 0 },
    { "activation", "leaky_relu", "c64x64x16x16", leaky_relu, 0 },
    { "activation", "gelu", "2048x1536", gelu, 0 },
    { "activation", "gelu_tanh", "2048x1536", gelu_tanh, 0 },
    { "activation", "silu", "c32x32x32x32", silu, 0 },
    { "activation", "tanh", "c64x1x32x32", tanh_of, 0 },
    { "activation", "sigmoid", "128x784", sigmoid, 0 },
    { "arithmetic", "add", "2048x384 2048x384", add, 0 },
    { "arithmetic", "add", "c32x64x32x32 c32x64x32x32", add, 0 },
    { "arithmetic", "add", "c32x64x16x16 32x64x1x1", add, 0 },
    { "arithmetic", "mul", "2048x384 2048x384", mul, 0 },
    { "arithmetic", "mul", "32x1x32x32 -32x1x1x1", mul, 0 },
    { "arithmetic", "div", "2048x384 2048x384", divide, 0 },
    { "arithmetic", "scale", "2048x384", scale, 0 },
    { "arithmetic", "square", "128x20", square, 0 },
    { "arithmetic", "lerp", "2048x384 2048x384 2048x384", lerp, 0 },
    { "arithmetic", "where", "b2048x384 2048x384 2048x384", where, 0 },
    { "arithmetic", "greater", "-2048x384 -2048x384", greater, 0 },
    { "arithmetic", "clamp", "2048x384", clamp, 0 },
    { "function", "exp", "128x20", exp_of, 0 },
    { "function", "exp", "2048x384", exp_of, 0 },
    { "function", "log", "2048x384", log_of, 0 },
    { "function", "sin", "2048x384", sin_of, 0 },
    { "function", "sqrt", "2048x384", sqrt_of, 0 },
    { "fold", "sum", "128x20", sum, 0 },
    { "fold", "sum", "2048x384", sum, 0 },
    { "fold", "sum_rows", "2048x384", sum_rows, 0 },
    { "fold", "mean_last", "2048x384", mean_last, 0 },
    { "fold", "var", "2048x384", variance, 0 },
    { "fold", "amax", "2048x384", amax, 0 },
    { "fold", "norm", "2048x384", norm, 0 },
    { "fold", "logsumexp", "2048x384", logsumexp, 0 },
    { "along", "argmax", "-2048x96", argmax, 0 },
    { "along", "cumsum", "2048x384", cumsum, 0 },
    { "along", "sort", "2048x96", sort, 0 },
    { "along", "topk", "2048x96", topk, 0 },
    { "softmax", "softmax", "12288x256", softmax, 0 },
    { "softmax", "log_softmax", "2048x96", log_softmax, 0 },
    { "loss", "cross_entropy", "64x10 i10:64", cross_entropy, 0 },
    { "loss", "cross_entropy", "2048x96 i96:2048", cross_entropy, 0 },
    { "loss", "bce_with_logits", "128x784 -128x784", bce_with_logits, 0 },
    { "loss", "mse", "32x1x32x32 -32x1x32x32", mse, 0 },
    { "loss", "l1_loss", "32x1x32x32 -32x1x32x32", l1_loss, 0 },
    { "loss", "huber", "32x1x32x32 -32x1x32x32", huber, 0 },
    { "copy", "swap_axes", "8x256x6x64", swap_axes, 0 },
    { "copy", "concat", "c32x64x16x16 c32x64x16x16", concat, 0 },
    { "copy", "pad", "-32x3x32x32", pad, 0 },
    { "copy", "flip", "-32x3x32x32", flip, 0 },
    { "copy", "roll", "2048x384", roll, 0 },
    { "copy", "repeat", "512x384", repeat, 0 },
    { "copy", "to_bf16", "2048x384", to_bf16, 0 },
    { "index", "embedding", "i96:8x256 96x384", embedding, 0 },
    { "index", "embedding", "i96:12x64 96x128", embedding, 0 },
    { "index", "gather", "2048x96 i96:2048x1", gather, 0 },
    { "index", "scatter_add", "2048x96 i96:2048x64 2048x64", scatter_add, 0 },
    { "index", "index_select", "2048x384 i2048:512", index_select, 0 },
    { "index", "masked_fill", "2048x384 b2048x384", masked_fill, 0 },
    { "index", "one_hot", "i96:2048", one_hot, 0 },
    { "index", "tril", "48x256x256", tril, 0 },
    { "random", "dropout", "2048x384", dropout, 0 },
    { "random", "normal", "-128x20", normal, 0 },
    { "random", "normal", "-2048x384", normal, 0 },
    { "random", "bernoulli", "-2048x384", bernoulli, 0 },
};

#endif
