/*
 * test_errors.c - what is refused, why it says so, and that nothing happens after an error.
 */
#include "tests/calls.h"

#include <unistd.h>

/* ops(a, b, c, y, i): every op of ops.h, valid for a, b (2, 3), c (2, 2, 4, 4), weights y (2,
 * 2, 3, 3), labels i (2). */
#define EVERY_OP(DO, a, b, c, y, i)                                                      \
    DO("add", tp_add(a, b)) DO("sub", tp_sub(a, b)) DO("mul", tp_mul(a, b)) DO("div", tp_div(a, b)) \
    DO("affine", tp_affine(a, 2, 3)) DO("scale", tp_scale(a, 2)) DO("shift", tp_shift(a, 2)) \
    DO("neg", tp_neg(a)) DO("square", tp_square(a)) DO("sqrt", tp_sqrt(a)) DO("exp", tp_exp(a)) \
    DO("log", tp_log(a)) DO("relu", tp_relu(a)) DO("tanh", tp_tanh(a)) DO("sigmoid", tp_sigmoid(a)) \
    DO("gelu", tp_gelu(a)) DO("gelu_tanh", tp_gelu_tanh(a)) DO("lerp", tp_lerp(a, b, a)) \
    DO("sum", tp_sum(a, TP_ALL)) DO("mean", tp_mean(a, TP_AXES(1))) DO("argmax", tp_argmax(a, 1)) \
    DO("reshape", tp_reshape(a, TP_SHAPE(3, 2))) DO("flatten", tp_flatten(a, 0)) \
    DO("transpose", tp_transpose(a, 0, 1)) DO("permute", tp_permute(a, TP_AXES(1, 0))) \
    DO("slice", tp_slice(a, 1, 0, 2)) DO("slice", tp_slice_step(a, 1, 0, 3, 2)) DO("split", split_of(a, 1, 3)) \
    DO("split", sizes_of(a, 1, 1, 2)) DO("concat", concat2(a, b, 0)) DO("flip", tp_flip(a, 0)) \
    DO("expand", tp_expand(a, TP_SHAPE(4, 2, 3))) DO("contiguous", tp_contiguous(a)) \
    DO("channels_last", tp_channels_last(c)) DO("clone", tp_clone(a)) DO("detach", tp_detach(a)) \
    DO("cast", tp_cast(a, TP_F64)) DO("to", tp_to(a, dev)) DO("matmul", tp_matmul(a, F32(3, 2))) \
    DO("linear", tp_linear(a, b, NULL)) DO("conv2d", tp_conv2d(c, y, NULL, plain_conv)) \
    DO("max_pool2d", tp_max_pool2d(c, 2, plain_pool)) DO("global_avg_pool2d", tp_global_avg_pool2d(c)) \
    DO("batch_norm", tp_batch_norm(a, NULL, NULL, NULL, NULL, norm_opts(true))) \
    DO("layer_norm", tp_layer_norm(a, TP_SHAPE(3), NULL, NULL, 1e-5)) DO("embedding", tp_embedding(i, b)) \
    DO("dropout", tp_dropout(a, .5)) DO("bce_with_logits", tp_bce_with_logits(a, b)) \
    DO("cross_entropy", tp_cross_entropy(a, i)) DO("mse", tp_mse(a, b)) \
    DO("lstm", lstm_of(tp_reshape(a, TP_SHAPE(1, 2, 3)), NULL, NULL, F32(8, 3), F32(8, 2), NULL, NULL)) \
    DO("abs", tp_abs(a)) DO("sign", tp_sign(a)) DO("rsqrt", tp_rsqrt(a)) \
    DO("reciprocal", tp_reciprocal(a)) DO("expm1", tp_expm1(a)) DO("log1p", tp_log1p(a)) \
    DO("sin", tp_sin(a)) DO("cos", tp_cos(a)) DO("erf", tp_erf(a)) DO("floor", tp_floor(a)) \
    DO("ceil", tp_ceil(a)) DO("round", tp_round(a)) DO("trunc", tp_trunc(a)) \
    DO("relu6", tp_relu6(a)) DO("silu", tp_silu(a)) DO("mish", tp_mish(a)) DO("selu", tp_selu(a)) \
    DO("log_sigmoid", tp_log_sigmoid(a)) DO("softsign", tp_softsign(a)) \
    DO("tanhshrink", tp_tanhshrink(a)) DO("hardsigmoid", tp_hardsigmoid(a)) \
    DO("hardswish", tp_hardswish(a)) DO("isnan", tp_isnan(a)) DO("isinf", tp_isinf(a)) \
    DO("isfinite", tp_isfinite(a)) DO("logical_not", tp_logical_not(a)) \
    DO("maximum", tp_maximum(a, b)) DO("minimum", tp_minimum(a, b)) \
    DO("remainder", tp_remainder(a, b)) DO("fmod", tp_fmod(a, b)) \
    DO("floor_divide", tp_floor_divide(a, b)) DO("pow", tp_pow(a, b)) DO("eq", tp_eq(a, b)) \
    DO("ne", tp_ne(a, b)) DO("lt", tp_lt(a, b)) DO("le", tp_le(a, b)) DO("gt", tp_gt(a, b)) \
    DO("ge", tp_ge(a, b)) DO("logical_and", tp_logical_and(a, b)) \
    DO("logical_or", tp_logical_or(a, b)) DO("logical_xor", tp_logical_xor(a, b)) \
    DO("eq_scalar", tp_eq_scalar(a, 1)) DO("ne_scalar", tp_ne_scalar(a, 1)) \
    DO("lt_scalar", tp_lt_scalar(a, 1)) DO("le_scalar", tp_le_scalar(a, 1)) \
    DO("gt_scalar", tp_gt_scalar(a, 1)) DO("ge_scalar", tp_ge_scalar(a, 1)) \
    DO("pow_scalar", tp_pow_scalar(a, .5)) DO("leaky_relu", tp_leaky_relu(a, .5)) \
    DO("elu", tp_elu(a, .5)) DO("celu", tp_celu(a, .5)) DO("softshrink", tp_softshrink(a, .5)) \
    DO("hardshrink", tp_hardshrink(a, .5)) DO("clamp", tp_clamp(a, 1, 2)) \
    DO("hardtanh", tp_hardtanh(a, 1, 2)) DO("softplus", tp_softplus(a, 1, 2)) \
    DO("threshold", tp_threshold(a, 1, 2)) DO("prod", tp_prod(a, TP_ALL)) \
    DO("amax", tp_amax(a, TP_ALL)) DO("amin", tp_amin(a, TP_ALL)) \
    DO("logsumexp", tp_logsumexp(a, TP_ALL)) DO("any", tp_any(a, TP_ALL)) \
    DO("all", tp_all(a, TP_ALL)) DO("count_nonzero", tp_count_nonzero(a, TP_ALL)) \
    DO("var", tp_var(a, TP_AXES(1), 1)) DO("std", tp_std(a, TP_AXES(1), 1)) \
    DO("norm", tp_norm(a, 2, TP_ALL)) DO("max_along", tp_max_along(a, 1, NULL)) \
    DO("min_along", tp_min_along(a, 1, NULL)) DO("median", tp_median(a, 1, NULL)) \
    DO("cummax", tp_cummax(a, 1, NULL)) DO("cummin", tp_cummin(a, 1, NULL)) \
    DO("argmin", tp_argmin(a, 1)) DO("cumsum", tp_cumsum(a, 1)) DO("cumprod", tp_cumprod(a, 1)) \
    DO("sort", tp_sort(a, 1, true, NULL)) DO("argsort", tp_argsort(a, 1, true)) \
    DO("topk", tp_topk(a, 2, 1, true, NULL)) DO("isclose", tp_isclose(a, b, 1, 1)) \
    DO("glu", tp_glu(c, 1)) DO("bitwise_not", tp_bitwise_not(i)) \
    DO("bitwise_and", tp_bitwise_and(i, i)) DO("bitwise_or", tp_bitwise_or(i, i)) \
    DO("bitwise_xor", tp_bitwise_xor(i, i)) DO("bitwise_left_shift", tp_bitwise_left_shift(i, i)) \
    DO("bitwise_right_shift", tp_bitwise_right_shift(i, i))

#define WORKS(name, call) CASE("%.150s", #call); CHECK((call) != NULL && tp_ok());
#define MISSING(name, call) REFUSED(call, TP_ERR_ARG, strcmp(name, "lstm") ? name ": " : "reshape: ");
#define IS_PENDING(name, call) CASE("%.150s", #call); CHECK(!(call) && tp_error_code() == TP_ERR_USER);

ON_EACH_DEVICE(errors, every_op_wants_its_inputs)
{
    TP_SCOPE;
    tp_tensor *a = F32(2, 3), *b = F32(2, 3), *c = F32(2, 2, 4, 4), *y = F32(2, 2, 3, 3), *i = tp_zeros(TP_SHAPE(2), TP_I64, dev);

    EVERY_OP(WORKS, a, b, c, y, i)
    a = b = c = y = i = NULL;
    EVERY_OP(MISSING, a, b, c, y, i)
    a = F32(2, 3), c = F32(2, 2, 4, 4), i = tp_zeros(TP_SHAPE(2), TP_I64, dev);
    ARG(tp_add(a, NULL), "add: input 1 is missing");
    ARG(tp_matmul(a, NULL), "matmul: input 1 is missing");
    ARG(tp_linear(a, NULL, a), "linear: input 1 is missing");
    ARG(tp_conv2d(c, NULL, NULL, plain_conv), "conv2d: input 1 is missing");
    ARG(tp_embedding(i, NULL), "embedding: input 1 is missing");
    ARG(tp_cross_entropy(a, NULL), "cross_entropy: input 1 is missing");
    ARG(tp_mse(a, NULL), "mse: input 1 is missing");
    ARG(tp_bce_with_logits(a, NULL), "bce_with_logits: input 1 is missing");
    ARG(tp_lerp(a, a, NULL), "lerp: input 2 is missing");
    ARG(concat2(a, NULL, 0), "concat: input 1 is missing");
    ARG(tp_concat((tp_list){ 0 }, 0), "concat: 0 tensors");
    ARG(lstm_of(F32(1, 2, 3), NULL, NULL, NULL, F32(8, 2), NULL, NULL), "lstm: input 1 is missing");
    DEVICE(tp_to(a, NULL), "to: missing device");
}

/* ---- shapes, with the shapes in the text ---- */

ON_EACH_DEVICE(errors, shapes_that_do_not_fit)
{
    TP_SCOPE;
    tp_tensor *a = F32(2, 3);

    SHAPE(tp_add(a, F32(2)), "add: f32 (2, 3) and f32 (2) don't broadcast");
    SHAPE(tp_sub(a, F32(3, 3)), "sub: f32 (2, 3) and f32 (3, 3) don't broadcast");
    SHAPE(tp_mul(a, F32(2, 2)), "mul: f32 (2, 3) and f32 (2, 2) don't broadcast");
    SHAPE(tp_div(a, F32(0, 3)), "div: f32 (2, 3) and f32 (0, 3) don't broadcast");
    SHAPE(tp_lerp(a, a, F32(4)), "f32 (4)");
    SHAPE(tp_reshape(a, TP_SHAPE(4)), "reshape: f32 (2, 3) can't become (4)");
    SHAPE(tp_reshape(a, TP_SHAPE(-1, -1)), "reshape: (-1, -1): one size may be -1");
    SHAPE(tp_reshape(a, TP_SHAPE(-2, 3)), "reshape: (-2, 3)");
    SHAPE(tp_reshape(a, TP_SHAPE(-1, 4)), "reshape: f32 (2, 3) can't become (-1, 4)");
    SHAPE(tp_reshape(F32(0, 3), TP_SHAPE(0, -1)), "reshape: f32 (0, 3) can't become");
    SHAPE(tp_reshape(a, TP_SHAPE(1LL << 62, 1LL << 62)), "too many elements");
    SHAPE(tp_reshape(a, (tp_shape){ .rank = 9 }), "reshape: 9 axes: 0 to 8");
    SHAPE(tp_expand(a, TP_SHAPE(2, 4)), "expand: f32 (2, 3) can't become (2, 4)");
    SHAPE(tp_expand(a, TP_SHAPE(3)), "expand: f32 (2, 3) can't become (3)");
    SHAPE(tp_expand(a, TP_SHAPE(-1, 2, 3)), "negative size in (-1, 2, 3)");
    SHAPE(tp_expand(a, (tp_shape){ .rank = -1 }), "expand: -1 axes: 0 to 8 are possible");
    SHAPE(tp_channels_last(a), "channels_last: f32 (2, 3)");
    SHAPE(concat2(a, F32(2, 4), 0), "concat: f32 (2, 4) doesn't fit behind f32 (2, 3) along axis 0");
    SHAPE(concat2(a, F32(3), 0), "concat: f32 (3) doesn't fit behind f32 (2, 3)");
    SHAPE(concat2(a, SCALAR, 0), "concat: f32 () doesn't fit behind f32 (2, 3)");
    SHAPE(tp_matmul(a, F32(2, 3)), "matmul: f32 (2, 3) by f32 (2, 3)");
    SHAPE(tp_matmul(a, F32(2)), "matmul: f32 (2, 3) by f32 (2");
    SHAPE(tp_matmul(F32(3), a), "matmul: f32 (1, 3) by f32 (2, 3)");
    SHAPE(tp_matmul(a, SCALAR), "matmul: f32 (2, 3) by f32 (): both need an axis");
    SHAPE(tp_matmul(F32(2, 2, 3), F32(3, 3, 2)), "matmul: f32 (2, 2, 3) by f32 (3, 3, 2)");
    SHAPE(tp_linear(a, F32(4, 2), NULL), "linear: x is f32 (2, 3), its last axis should be 2 as in weight f32 (4, 2)");
    SHAPE(tp_linear(a, F32(3), NULL), "linear: weight must be (out, in), not f32 (3)");
    SHAPE(tp_linear(SCALAR, F32(4, 3), NULL), "linear: x is f32 ()");
    SHAPE(tp_linear(a, F32(4, 3), F32(3)), "linear: bias is f32 (3), not (4)");
    SHAPE(tp_linear(a, F32(4, 3), F32(1, 4)), "linear: bias is f32 (1, 4), not (4)");
}

ON_EACH_DEVICE(errors, shapes_that_do_not_fit_a_layer)
{
    TP_SCOPE;
    tp_tensor *a = F32(2, 3), *four = F32(2, 4, 5, 5), *w = F32(3, 2, 3, 3);
    tp_batch_norm_opts o = norm_opts(true);

    SHAPE(tp_conv2d(a, w, NULL, plain_conv), "conv2d: x must be (N, C, H, W), not f32 (2, 3)");
    SHAPE(tp_conv2d(four, a, NULL, plain_conv), "conv2d: weight must be (O, C / groups, KH, KW), not f32 (2, 3)");
    SHAPE(tp_conv2d(four, w, NULL, plain_conv), "conv2d: x is f32 (2, 4, 5, 5): weight f32 (3, 2, 3, 3) in 1 groups wants 2 channels");
    SHAPE(tp_conv2d(four, w, NULL, (tp_conv2d_opts){ .groups = 2 }), "conv2d: x is f32 (2, 4, 5, 5)"); /* 3 outputs */
    SHAPE(tp_conv2d(four, F32(2, 4, 3, 3), a, plain_conv), "conv2d: bias is f32 (2, 3), not (2)");
    SHAPE(tp_conv2d(four, F32(2, 4, 6, 1), NULL, plain_conv), "a kernel of 6 by 1");
    SHAPE(tp_conv2d(four, F32(2, 4, 0, 1), NULL, plain_conv), "a kernel of 0 by 1");
    SHAPE(tp_conv2d(four, F32(2, 4, 3, 3), NULL, (tp_conv2d_opts){ .dilation = 3 }), "dilated by 3 and 3");
    SHAPE(tp_max_pool2d(a, 2, plain_pool), "max_pool2d: x must be (N, C, H, W), not f32 (2, 3)");
    SHAPE(tp_max_pool2d(four, 6, plain_pool), "max_pool2d: a kernel of 6 by 6 doesn't fit f32 (2, 4, 5, 5)");
    SHAPE(tp_global_avg_pool2d(a), "global_avg_pool2d: x must be (N, C, H, W), not f32 (2, 3)");
    SHAPE(tp_batch_norm(F32(3), NULL, NULL, NULL, NULL, o), "batch_norm: x must be (N, C, ...), not f32 (3)");
    SHAPE(tp_batch_norm(a, F32(2), NULL, NULL, NULL, o), "batch_norm: f32 (2) for x f32 (2, 3): (3) is wanted");
    SHAPE(tp_batch_norm(a, NULL, NULL, F32(3), F32(3, 1), o), "batch_norm: f32 (3, 1) for x f32 (2, 3)");
    SHAPE(tp_batch_norm(F32(1, 3), NULL, NULL, NULL, NULL, o), "more than one value per channel");
    SHAPE(tp_layer_norm(a, TP_SHAPE(2), NULL, NULL, 1e-5), "layer_norm: x is f32 (2, 3), its last axes should be (2)");
    SHAPE(tp_layer_norm(a, TP_SHAPE(1, 2, 3), NULL, NULL, 1e-5), "layer_norm: x is f32 (2, 3)");
    SHAPE(tp_layer_norm(a, TP_SCALAR, NULL, NULL, 1e-5), "no axes to normalize over");
    SHAPE(tp_layer_norm(a, TP_SHAPE(3), F32(2), NULL, 1e-5), "layer_norm: weight or bias is f32 (2), not (3)");
    SHAPE(tp_layer_norm(a, (tp_shape){ .rank = 1 << 20 }, NULL, NULL, 1e-5), "axes");
    SHAPE(tp_embedding(I64(2), F32(3)), "embedding: weight must be (rows, cols), not f32 (3)");
    SHAPE(tp_embedding(I64(1, 1, 1, 1, 1, 1, 1, 1), a), "too many axes");
    SHAPE(tp_bce_with_logits(a, F32(3)), "logits f32 (2, 3) and targets f32 (3)");
    SHAPE(tp_mse(a, F32(3)), "mse: f32 (2, 3) and f32 (3) must have one shape");
    SHAPE(tp_cross_entropy(F32(3), I64(3)), "cross_entropy: logits must be (N, C), not f32 (3)");
    SHAPE(tp_cross_entropy(a, I64(3)), "cross_entropy: labels must be (2), not i64 (3)");
    SHAPE(tp_cross_entropy(F32(2, 0), I64(2)), "logits f32 (2, 0) have no classes");
    SHAPE(lstm_of(a, NULL, NULL, F32(8, 3), F32(8, 2), NULL, NULL), "lstm: x must be (T, N, in) with T > 0, not f32 (2, 3)");
    SHAPE(lstm_of(F32(0, 2, 3), NULL, NULL, F32(8, 3), F32(8, 2), NULL, NULL), "not f32 (0, 2, 3)");
    SHAPE(lstm_of(F32(1, 2, 3), NULL, NULL, F32(8, 4), F32(8, 2), NULL, NULL), "w_ih f32 (8, 4)");
    SHAPE(lstm_of(F32(1, 2, 3), NULL, NULL, F32(8, 3), F32(6, 2), NULL, NULL), "w_hh f32 (6, 2)");
    SHAPE(lstm_of(F32(1, 2, 3), F32(2, 3), NULL, F32(8, 3), F32(8, 2), NULL, NULL), "h0 is f32 (2, 3), not (2, 2)");
    SHAPE(lstm_of(F32(1, 2, 3), NULL, F32(1, 2), F32(8, 3), F32(8, 2), NULL, NULL), "c0 is f32 (1, 2), not (2, 2)");
    SHAPE(lstm_of(F32(1, 2, 3), NULL, NULL, F32(8, 3), F32(8, 2), F32(8), F32(2)), "a bias is f32 (2), not (8)");
    ARG(lstm_of(F32(1, 2, 3), NULL, NULL, F32(8, 3), F32(8, 2), F32(8), NULL), "one bias without the other");
    SHAPE(tp_argmax(F32(2, 0), 1), "argmax: f32 (2, 0) has nothing along axis 1");
    SHAPE(tp_copy_(a, F32(2)), "tp_copy_: f32 (2) can't be copied into f32 (2, 3)");
    SHAPE(!isnan(tp_item(a)), "tp_item: f32 (2, 3) has more or less than one element");
    SHAPE(tp_zeros(TP_SHAPE(2, -3), TP_F32, dev), "negative size in (2, -3)");
    SHAPE(tp_rand(TP_SHAPE(1LL << 40, 1LL << 40), dev), "too many elements");
    SHAPE(tp_from((float[]){ 1 }, (tp_shape){ .rank = 9 }, TP_F32, dev), "9 axes: 0 to 8");
}

/* ---- axes and places ---- */

ON_EACH_DEVICE(errors, axes_and_places_that_are_not_there)
{
    TP_SCOPE;
    tp_tensor *a = F32(2, 3);
    tp_axes many = { .n = 9 };

    ARG(tp_sum(a, TP_AXES(2)), "sum: f32 (2, 3) has no axis 2");
    ARG(tp_sum(a, TP_AXES(1, -1)), "sum: axis -1 is named twice");
    ARG(tp_sum(a, many), "sum: 9 axes");
    ARG(tp_mean(a, TP_AXES(-3)), "mean: f32 (2, 3) has no axis -3");
    ARG(tp_argmax(a, 2), "argmax: f32 (2, 3) has no axis 2");
    ARG(tp_argmax(SCALAR, 0), "argmax: f32 () has no axis 0");
    ARG(tp_flatten(a, 2), "flatten: f32 (2, 3) has no axis 2");
    ARG(tp_transpose(a, 0, 2), "transpose: f32 (2, 3) has no axis 2");
    ARG(tp_permute(a, TP_AXES(0)), "permute: 1 axes for f32 (2, 3)");
    ARG(tp_permute(a, TP_AXES(0, -2)), "permute: axis -2 is named twice");
    ARG(tp_permute(a, TP_AXES(0, 2)), "permute: f32 (2, 3) has no axis 2");
    ARG(tp_slice(a, 2, 0, 1), "slice: f32 (2, 3) has no axis 2");
    ARG(tp_slice(a, 1, 0, 4), "slice: 0..4 by 1 of axis 1 of f32 (2, 3)");
    ARG(tp_slice(a, 1, 2, 1), "slice: 2..1");
    ARG(tp_slice(a, 1, -4, 1), "slice: -1..1");
    ARG(tp_slice_step(a, 1, 0, 3, 0), "slice: 0..3 by 0");
    ARG(tp_slice_step(a, 1, 0, 3, -1), "slice: 0..3 by -1");
    ARG(split_of(a, 1, 2), "split: 2 equal parts of axis 1 of f32 (2, 3)");
    ARG(split_of(a, 1, 0), "split: 0 equal parts");
    ARG(split_of(a, 2, 1), "split: f32 (2, 3) has no axis 2");
    ARG(sizes_of(a, 1, 2, 2), "split: parts of 4 for axis 1 of f32 (2, 3)");
    ARG(sizes_of(a, 1, 4, -1), "split: size -1 of part 1");
    ARG(tp_split_sizes(a, 1, NULL, 1, &a), "split: 1 parts");
    a = F32(2, 3);
    ARG(concat2(a, a, 2), "concat: f32 (2, 3) has no axis 2");
    ARG(concat2(SCALAR, SCALAR, 0), "concat: f32 () has no axis 0");
    ARG(tp_flip(a, -3), "flip: f32 (2, 3) has no axis -3");
    if (dev != tp_device_open("cpu")) return; /* there the rest is found at the next wait */
    ARG(tp_embedding(tp_full(TP_SHAPE(1), 2, TP_I64, dev), a), "embedding");
    ARG(tp_embedding(tp_full(TP_SHAPE(1), -1, TP_I64, dev), a), "embedding");
    ARG(tp_cross_entropy(a, tp_full(TP_SHAPE(2), 3, TP_I64, dev)), "cross_entropy");
    ARG(tp_cross_entropy(a, tp_full(TP_SHAPE(2), -1, TP_I64, dev)), "cross_entropy");
}

/* ---- dtypes ---- */

ON_EACH_DEVICE(errors, dtypes_that_are_not_offered)
{
    TP_SCOPE;
    tp_tensor *a = F32(2, 3), *i = I64(2, 3), *half = make(TP_F16, dev, TP_SHAPE(2, 3)), *four = F32(2, 2, 3, 3);
    tp_batch_norm_opts o = norm_opts(true);

    CHECK_REFUSED_ON_CPU(dev, tp_add(half, half), TP_ERR_DTYPE, "add: not offered for f16 (2, 3) on c");
    DTYPE(tp_tanh(i), "tanh: not offered for i64 (2, 3)");
    CHECK_REFUSED_ON_CPU(dev, tp_sum(half, TP_ALL), TP_ERR_DTYPE, "sum: not offered for f16 (2, 3)");
    DTYPE(tp_dropout(i, .5), "dropout: not offered for i64 (2, 3)");
    CHECK_REFUSED_ON_CPU(dev, tp_argmax(half, 0), TP_ERR_DTYPE, "argmax: not offered for f16");
    DTYPE(tp_cast(a, (tp_dtype)99), "cast: there is no dtype 99");
    DTYPE(tp_zeros(TP_SHAPE(2), (tp_dtype)8, dev), "there is no dtype 8");
    DTYPE(tp_from(NULL, TP_SHAPE(0), (tp_dtype)-1, dev), "there is no dtype");
    DTYPE(tp_matmul(a, F64(3, 2)), "matmul: f32 (2, 3) by f64 (3, 2): one dtype is wanted");
    DTYPE(tp_linear(a, F64(2, 3), NULL), "linear: x is f32 (2, 3), weight f64 (2, 3), bias nothing");
    DTYPE(tp_linear(a, F32(2, 3), F64(2)), "bias f64 (2)");
    DTYPE(tp_conv2d(four, F64(1, 2, 3, 3), NULL, plain_conv), "conv2d: x is f32 (2, 2, 3, 3), weight f64 (1, 2, 3, 3)");
    DTYPE(tp_batch_norm(a, F64(3), NULL, NULL, NULL, o), "weights and statistics of f32 (2, 3) are f32, not f64 (3)");
    DTYPE(tp_layer_norm(a, TP_SHAPE(3), F64(3), NULL, 1e-5), "weight and bias of f32 (2, 3) are f32, not f64 (3)");
    DTYPE(tp_embedding(a, a), "embedding: the index must be i64, i32 or u8, not f32 (2, 3)");
    DTYPE(tp_embedding(make(TP_BOOL, dev, TP_SHAPE(2)), a), "not bool (2)");
    DTYPE(tp_cross_entropy(a, make(TP_BOOL, dev, TP_SHAPE(2))), "cross_entropy: labels must be i64, i32 or u8, not bool (2)");
    DTYPE(lstm_of(F32(1, 2, 3), NULL, NULL, F64(8, 3), F32(8, 2), NULL, NULL), "lstm: x is f32 (1, 2, 3) and another input f64");
    DTYPE(tp_requires_grad(i, true), "i64 (2, 3) can't have a gradient");
    ARG(!tp_f32(i) ? NULL : a, "contiguous f32 on the CPU is wanted");
    ARG(!tp_f32(tp_transpose(a, 0, 1)) ? NULL : a, "contiguous f32 on the CPU is wanted");
    {
        TP_AUTOCAST(TP_I32);
        REFUSED(tp_exp(a), TP_ERR_DTYPE, "autocast: to i32 isn't offered");
    }
}

/* ---- options ---- */

ON_EACH_DEVICE(errors, options_that_are_not_possible)
{
    TP_SCOPE;
    tp_tensor *a = F32(2, 3), *four = F32(2, 2, 4, 4), *w = F32(2, 2, 3, 3);
    tp_module *m = tp_nn_init(tp_nn_linear(3, 2), dev);
    tp_params p = tp_nn_params(m, "*");
    tp_adam_opts adam = tp_adam(.1);
    tp_sgd_opts sgd = tp_sgd(.1);

    ARG(tp_batch_norm(a, NULL, NULL, NULL, NULL, (tp_batch_norm_opts){ .eps = 1 }), "start from tp_batch_norm_defaults()");
    ARG(tp_batch_norm(a, NULL, NULL, NULL, NULL, norm_opts(false)), "outside of training it needs running_mean and running_var");
    ARG(tp_embedding_with(I64(2), a, (tp_embedding_opts){ 0 }), "start from tp_embedding_defaults()");
    ARG(tp_embedding_with(I64(1), a, (tp_embedding_opts){ 2, true }), "padding_idx 2 for 2 rows");
    ARG(tp_cross_entropy_with(a, I64(2), (tp_cross_entropy_opts){ 0 }), "start from tp_cross_entropy_defaults()");
    ARG(tp_cross_entropy_with(a, I64(2), (tp_cross_entropy_opts){ .reduction = 7, .filled = true }), "there is no reduction 7");
    ARG(tp_bce_with_logits_with(a, a, (tp_bce_opts){ .reduction = 7 }), "there is no reduction 7");
    ARG(tp_linear_with(a, a, NULL, (tp_linear_opts){ 9 }), "linear: there is no activation 9");
    ARG(tp_conv2d(four, w, NULL, (tp_conv2d_opts){ .stride = -1 }), "stride -1");
    ARG(tp_conv2d(four, w, NULL, (tp_conv2d_opts){ .padding = -1 }), "padding -1");
    ARG(tp_max_pool2d(four, 0, plain_pool), "kernel 0");
    ARG(tp_max_pool2d(four, 2, (tp_pool2d_opts){ .padding = 2 }), "padding 2: padding is at most half the kernel");
    ARG(tp_dropout(a, 1.5), "dropout: p is 1.5");
    ARG(tp_dropout(a, NAN), "dropout: p is nan");
    ARG(tp_nn_dropout(-1), "p is -1");
    ARG(tp_nn_batch_norm_with(3, (tp_batch_norm_opts){ 0 }), "start from tp_batch_norm_defaults()");
    ARG(tp_nn_embedding_with(3, 2, (tp_embedding_opts){ 0 }), "start from tp_embedding_defaults()");
    ARG(tp_nn_linear(0, 2), "tp_nn_linear: 0 in, 2 out");
    ARG(tp_nn_conv2d(3, 4, 3, (tp_conv2d_opts){ .groups = 2 }), "3 in, 4 out, kernel 3, 2 groups");
    ARG(tp_nn_lstm(3, 4, (tp_lstm_opts){ .layers = 33 }), "33 layers");
    ARG(tp_optim_adam(p, (tp_adam_opts){ .lr = 1 }), "options are not filled: start from tp_adam(lr)");
    ARG(tp_optim_sgd(p, (tp_sgd_opts){ .lr = 1 }), "options are not filled: start from tp_sgd(lr)");
    ARG(tp_optim_adam(tp_nn_params(m, "head.*"), adam), "no name matches \"head.*\"");
    ARG(tp_optim_adam(tp_nn_params(NULL, "*"), adam), "missing module");
    ARG(tp_optim_sgd(p, tp_sgd(-1)), "learning rate -1");
    adam.beta1 = 1, sgd.nesterov = true;
    ARG(tp_optim_adamw(p, adam), "beta1 1");
    ARG(tp_optim_sgd(p, sgd), "nesterov needs a momentum");
    tp_nn_free(m);
}

/* ---- devices ---- */

ON_EACH_DEVICE(errors, names_of_devices)
{
    static const char *const unknown[] = { "", "gpu", "CPU", "cuda:", "cuda:x", "cuda1", "cuda:-1", "cuda:1x", "cuda:+0", "cuda: 0", "cpu:0", "autox" };
    char name[32];

    TP_SCOPE;
    for (int i = 0; i < TP_LEN(unknown); i++) {
        CASE("\"%s\"", unknown[i]);
        snprintf(name, sizeof name, "named \"%s\"", unknown[i]);
        CHECK_REFUSED(tp_device_open(unknown[i]), TP_ERR_DEVICE, name);
    }
    DEVICE(tp_device_open("cuda:77"), "cuda:77 isn't there");
    ARG(tp_device_open(NULL), "missing name");
    CHECK(tp_device_open("cpu") == tp_device_open("cpu") && tp_device_open("auto"));
    DEVICE(tp_zeros(TP_SHAPE(2), TP_F32, NULL), "missing device");
    DEVICE(tp_rand(TP_SHAPE(2), NULL), "missing device");
    DEVICE(tp_from(name, TP_SHAPE(2), TP_U8, NULL), "missing device");
    CHECK(!strcmp(tp_device_name(NULL), "no device") && dev);
}

/* Each in a process of its own: CUDA is looked for once. */
static void remember(void *user, int level, const char *message)
{
    (void)level;
    snprintf(user, 256, "%s", message);
}

Test(errors, a_missing_library_is_named)
{
    char note[256] = "";

    setenv("TAPER_CUDA_LIBRARY", "/nowhere/libtaper_cuda.so", 1);
    DEVICE(tp_device_open("cuda"), "cuda isn't there: the library can't be loaded: /nowhere/libtaper_cuda.so");
    tp_set_log(remember, note);
    CHECK(tp_device_open("auto") == tp_device_open("cpu") && strstr(note, "using the CPU: no CUDA device, the library can't be loaded"));
}

Test(errors, a_missing_driver_is_named)
{
    tp_device *dev;

    unsetenv("TAPER_CUDA_LIBRARY");
    if ((dev = tp_device_open("cuda"))) return; /* this machine has one */
    CASE("cuda");
    CHECK(strstr(tp_error(), "driver") || strstr(tp_error(), "GPU"));
    tp_clear_error();
}

#define APART(name, call) REFUSED(call, TP_ERR_DEVICE, " is on ");

ON_EACH_DEVICE(errors, tensors_on_different_devices)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_tensor *a = F32(2, 3), *b = tp_ones(TP_SHAPE(2, 3), TP_F32, cpu), *i = tp_zeros(TP_SHAPE(2), TP_I64, cpu);

    if (dev == cpu) return;
    APART(0, tp_add(a, b)) APART(0, tp_matmul(a, tp_transpose(b, 0, 1))) APART(0, tp_linear(a, b, NULL))
    APART(0, concat2(a, b, 0)) APART(0, tp_embedding(i, a)) APART(0, tp_cross_entropy(a, i)) APART(0, tp_mse(a, b))
    APART(0, tp_bce_with_logits(a, b)) APART(0, tp_lerp(a, a, b))
    CHECK(tp_copy_(a, b) && tp_add(a, tp_to(b, dev)));
}

/* ---- nothing happens while an error is pending ---- */

typedef struct world {
    tp_module *net;
    tp_optim *opt;
    tp_sched *sched;
    tp_loader *loader;
    tp_state *state;
    tp_tensor *x, *kept;
} world;

static tp_tensor *never(tp_list in, void *user)
{
    (void)user;
    return in.t[0];
}

static int never_many(tp_list in, void *user, tp_tensor **out, int room)
{
    (void)in, (void)out, (void)room, ++*(int *)user;
    return -1;
}

static bool never_each(void *user, const char *name, tp_tensor **t)
{
    (void)name, (void)t, ++*(int *)user;
    return true;
}

static tp_tensor *never_hook(tp_tensor *g, void *user)
{
    ++*(int *)user;
    return g;
}

static bool never_forward(tp_call *c)
{
    (void)c;
    return tp_fail(TP_ERR_USER, "never"), false;
}

static bool never_backward(tp_call *c, tp_tensor *const *dy, tp_tensor **dx)
{
    (void)dy, (void)dx;
    return never_forward(c);
}

#define NO(call) CASE("%.150s", #call); CHECK(!(call) && !strcmp(tp_error(), "pending"))

static void effects_refuse(world *k, tp_tensor *loss, tp_device *dev)
{
    static const tp_user_op op = { "never", never_forward, never_backward };
    tp_tensor *w = k->x, *out[2] = { w, w };
    tp_batch batch;
    int calls = 0;

    NO(tp_backward(loss)); NO(tp_grad_of(loss, w, (tp_grad_opts){ 0 })); NO(tp_grad(w));
    NO(tp_zero_grad(w)); NO(tp_requires_grad(w, false)); NO(tp_fill_(w, 5)); NO(tp_copy_(w, w));
    NO(tp_add_hook(w, never_hook, &calls)); NO(tp_gradcheck(never, TP_LIST(w), NULL, NULL));
    NO(tp_checkpoint(never_many, TP_LIST(w), &calls, out, 2) >= 0); NO(tp_apply(&op, TP_LIST(w), NULL, 0));
    NO(tp_optim_step(k->opt)); NO(tp_optim_zero_grad(k->opt)); NO(tp_optim_clip_norm(k->opt, 1));
    NO(tp_optim_set_lr(k->opt, 0, 5)); NO(tp_sched_advance(k->sched)); NO(tp_sched_seek(k->sched, 7));
    NO(tp_optim_each(k->opt, never_each, &calls) >= 0); NO(tp_optim_load_begin(k->opt)); NO(tp_optim_load_end(k->opt));
    NO(tp_data_next(k->loader, &batch)); NO(tp_data_seek(k->loader, (tp_position){ 1, 0 }));
    NO(tp_state_save(k->state, "never")); NO(tp_state_load(k->state, "never")); NO(tp_state_new());
    NO(tp_nn_save(k->net, "never")); NO(tp_nn_load(k->net, "never", (tp_load_opts){ 0 })); NO(tp_file_open("never"));
    NO(tp_file_save("never", NULL, 0, NULL, 0)); NO(tp_nn_forward(k->net, w)); NO(tp_nn_predict(k->net, w));
    NO(tp_nn_linear(1, 1)); NO(tp_nn_relu()); NO(tp_nn_container("x")); NO(tp_nn_lstm(1, 1, (tp_lstm_opts){ 0 }));
    NO(tp_nn_sequential((tp_module *[]){ NULL }, 1)); NO(tp_nn_clone(k->net)); NO(tp_nn_copy(k->net, k->net));
    NO(tp_nn_get(k->net, "0")); NO(tp_nn_tensor(k->net, "weight")); NO(tp_nn_set(k->net, "weight", w));
    NO(tp_nn_cast(k->net, TP_F64)); NO(tp_nn_freeze(k->net, "*", true) >= 0); NO(tp_nn_train(k->net, "*", false) >= 0);
    NO(tp_nn_each(tp_nn_params(k->net, "*"), true, never_each, &calls) >= 0); NO(tp_nn_param(k->net, "p", TP_SCALAR, (tp_init){ 0 }));
    NO(tp_nn_init(k->net, dev) != k->net); /* gives what it was given, also then */
    NO(tp_optim_sgd(tp_nn_params(k->net, "*"), tp_sgd(1))); NO(tp_sched_step(k->opt, 1, .5));
    NO(tp_rand(TP_SHAPE(2), dev)); NO(tp_randn_like(w)); NO(tp_ones(TP_SHAPE(2), TP_F32, dev)); NO(tp_zeros_like(w));
    NO(tp_device_open("cpu")); NO(!isnan(tp_item(w))); NO(tp_read(w, &calls, sizeof calls)); NO(tp_f32(w));
    CHECK(calls == 0 && access("never", F_OK) != 0);
}

ON_EACH_DEVICE(errors, everything_refuses_while_one_is_pending)
{
    TP_SCOPE;
    tp_tensor *a = F32(2, 3), *b = F32(2, 3), *c = F32(2, 2, 4, 4), *y = F32(2, 2, 3, 3), *i = tp_zeros(TP_SHAPE(2), TP_I64, dev);
    tp_tensor *x = tp_requires_grad(tp_full(TP_SCALAR, 3, TP_F32, dev), true), *loss;
    world k = { .net = tp_nn_init(tp_nn_linear(1, 1), dev), .x = x };
    double w0 = check_at(tp_nn_tensor(k.net, "weight"), 0);
    tp_rng rng;

    k.opt = tp_optim_sgd(tp_nn_params(k.net, "*"), tp_sgd(1)), k.sched = tp_sched_step(k.opt, 1, .5);
    k.loader = tp_data_loader(tp_data_tensors(TP_LIST(tp_ones(TP_SHAPE(4), TP_F32, tp_device_open("cpu")))), (tp_loader_opts){ 0 });
    k.state = tp_state_new();
    loss = tp_mul(x, tp_sum(tp_nn_forward(k.net, tp_reshape(x, TP_SHAPE(1, 1))), TP_ALL));
    rng = tp_rng_save();
    CHECK(tp_backward_with(loss, (tp_backward_opts){ .retain_graph = true }));
    tp_fail(TP_ERR_USER, "pending");
    tp_fail(TP_ERR_ARG, "a later one is not kept");
    EVERY_OP(IS_PENDING, a, b, c, y, i)
    effects_refuse(&k, loss, dev);
    CHECK(tp_dim(x, 0) == 0 && tp_count(x) == 1 && tp_pass(x) == x); /* questions are answered */
    CASE("after tp_clear_error");
    tp_clear_error();
    CHECK(!*tp_error() && tp_ok());
    CHECK(check_at(tp_nn_tensor(k.net, "weight"), 0) == w0 && tp_optim_steps(k.opt) == 0 && tp_optim_lr(k.opt, 0) == 1);
    CHECK(tp_sched_at(k.sched) == 0 && tp_data_position(k.loader).batch == 0 && tp_data_position(k.loader).pass == 0);
    CHECK(tp_rng_save().offset == rng.offset && tp_nn_training(k.net) && tp_needs_grad(x) && check_at(x, 0) == 3);
    CHECK(tp_backward(loss) && tp_optim_step(k.opt) && check_at(tp_nn_tensor(k.net, "weight"), 0) != w0);
    tp_optim_free(k.opt), tp_sched_free(k.sched), tp_data_free(k.loader), tp_state_free(k.state), tp_nn_free(k.net);
}

/* ---- where in the model ---- */

ON_EACH_DEVICE(errors, messages_tell_the_module)
{
    TP_SCOPE;
    tp_module *block[] = { tp_nn_linear(3, 4), tp_nn_relu(), tp_nn_linear(5, 2) };
    tp_module *net = tp_nn_container("net"), *all[] = { tp_nn_sequential(block, 3) };
    tp_module *outer = tp_nn_init(tp_nn_sequential(all, 1), dev);

    REFUSED(tp_nn_forward(outer, F32(2, 3)), TP_ERR_SHAPE, "linear: x is f32 (2, 4), its last axis should be 5");
    tp_nn_forward(outer, F32(2, 3));
    CHECK(strstr(tp_error(), "  [in 0.2]") != NULL);
    tp_clear_error();
    REFUSED(tp_nn_forward(outer, F32(2, 7)), TP_ERR_SHAPE, "  [in 0.0]");
    CHECK(!tp_add(F32(2), F32(3)) && !strstr(tp_error(), "[in")); /* and no path outside of a module */
    tp_clear_error();
    tp_nn_add(net, "body", tp_nn_linear(3, 3));
    REFUSED(tp_nn_forward(net, F32(2, 3)), TP_ERR_ARG, "net: a container has no forward");
    REFUSED(tp_nn_forward(tp_nn_get(net, "body"), F32(2, 3)), TP_ERR_ARG, "linear: weight isn't there yet: call tp_nn_init first");
    REFUSED(tp_nn_forward(NULL, F32(2, 3)), TP_ERR_ARG, "missing module");
    REFUSED(tp_nn_apply(outer, (tp_list){ 0 }, &(tp_tensor *){ NULL }, 1) > 0, TP_ERR_ARG, "sequential: missing input");
    REFUSED(tp_nn_forward(tp_nn_get(outer, "0.0"), NULL), TP_ERR_ARG, "linear: input 0 is missing");
    REFUSED(tp_nn_apply(outer, TP_LIST(F32(2, 3)), NULL, 0) > 0, TP_ERR_ARG, "no room for an output of sequential");
    tp_nn_free(net), tp_nn_free(outer);
}

/* ---- sizes that can't be ---- */

ON_EACH_DEVICE(errors, results_too_large_to_count)
{
    TP_SCOPE;
    tp_tensor *x = F32(1, 1, 4, 4), *w = F32(1, 1, 3, 3), *one = F32(1), *wide, *high;
    int64_t sizes[] = { INT64_MAX, INT64_MAX };
    tp_tensor *out[2];

    SHAPE(tp_conv2d(x, w, NULL, (tp_conv2d_opts){ .padding = INT32_MAX }),
          "conv2d: (1, 1, 4294967296, 4294967296) has too many elements");
    SHAPE(tp_conv2d(x, F32(1, 1, 3, 0), NULL, (tp_conv2d_opts){ .dilation = INT32_MAX }), "doesn't fit");
    SHAPE(tp_conv2d(F32(1, 0, 4, 4), tp_expand(F32(1, 0, 1, 1), TP_SHAPE(1, 0, 1LL << 40, 1)), NULL,
                    (tp_conv2d_opts){ .dilation = INT32_MAX }), "doesn't fit");
    wide = tp_expand(one, TP_SHAPE(1LL << 40)), high = tp_expand(F32(1, 1), TP_SHAPE(1LL << 40, 1));
    CHECK(wide && high && tp_count(wide) == 1LL << 40);
    SHAPE(tp_add(wide, high), "(1099511627776, 1099511627776) has too many elements");
    SHAPE(tp_outer(wide, wide), "too many elements");
    wide = tp_expand(one, TP_SHAPE(1LL << 58));
    {
        tp_tensor *many[40];

        for (int i = 0; i < 40; i++)
            many[i] = wide;
        SHAPE(tp_concat((tp_list){ many, 40 }, 0), "too many elements");
    }
    ARG(tp_split_sizes(wide, 0, sizes, 2, out), "split: size 9223372036854775807 of part 1");
    SHAPE(tp_nn_conv2d(1 << 20, 1 << 20, INT32_MAX, plain_conv), "(1048576, 1048576, 2147483647, 2147483647) has too many elements");
}

/* Only the part of a window that lies in x is walked, so its size doesn't matter. */
ON_EACH_DEVICE(errors, pooling_windows_larger_than_x)
{
    TP_SCOPE;
    tp_tensor *x = tp_requires_grad(check_numbers(TP_SHAPE(1, 1, 3, 4), TP_F32, -1, 1, dev), true), *y;
    tp_pool2d_opts o = { .stride = 1, .padding = INT32_MAX / 2, .rectangular = true, .kernel_w = 1 };
    float v[12], got[12];

    y = tp_max_pool2d(x, INT32_MAX, o); /* each column's maximum, wherever the window is */
    CHECK(y && tp_dim(y, 2) == 3 && tp_dim(y, 3) == 4 && tp_read(x, v, sizeof v));
    CHECK(tp_read(y, got, sizeof got));
    for (int k = 0; k < 12; k++)
        CHECK(got[k] == fmaxf(v[8 + k % 4], fmaxf(v[k % 4], v[4 + k % 4])));
    CHECK(tp_backward(tp_sum(y, TP_ALL)) && tp_read(tp_grad(x), got, sizeof got));
    for (int k = 0; k < 4; k++)
        CHECK(got[k] + got[4 + k] + got[8 + k] == 3);
    ARG(tp_max_pool2d(x, INT32_MAX, (tp_pool2d_opts){ .padding = INT32_MAX / 2 }),
        "a kernel of 2147483647 by 2147483647 has more than 2147483647 places");
    ARG(tp_max_pool2d(x, 0, plain_pool), "kernel 0, stride 0, dilation 0, padding 0: none may be negative, and a kernel is at least 1");
    ARG(tp_max_pool2d(x, 2, (tp_pool2d_opts){ .stride = -1 }), "stride -1, dilation 0, padding 0: none may be negative");
    ARG(tp_conv2d(F32(1, 1, 4, 4), F32(1, 1, 1, 1), NULL, (tp_conv2d_opts){ .rectangular = true, .stride_w = -7 }), "stride 0 by -7");
}

/* ---- pointers that are not there, lists that can't be ---- */

static tp_tensor *no_function(tp_list in, void *user)
{
    (void)user;
    return in.t[0];
}

static int nothing_out(void *self, tp_list in, tp_tensor **out, int room)
{
    (void)in, (void)out, (void)room;
    return *(int *)self;
}

ON_EACH_DEVICE(errors, pointers_that_are_not_there)
{
    TP_SCOPE;
    tp_tensor *x = tp_requires_grad(F64(2, 3), true), *g = x, *y = tp_sum(tp_square(x), TP_ALL);
    tp_list lost = { NULL, 2 }, minus = { &x, -1 };
    tp_module *net = tp_nn_init(tp_nn_linear(3, 2), dev);
    tp_gradcheck_report r;
    int one = 1, none = 0;
    char text[8];

    tp_fail(TP_ERR_USER, NULL);
    CHECK(!strcmp(tp_error(), "no reason was given"));
    tp_clear_error();
    CHECK(tp_print(x, NULL, 0) > 10 && tp_ok());
    ARG(tp_print(x, NULL, 10), "no text for 10 bytes");
    ARG(tp_print(NULL, text, sizeof text), "missing input");
    ARG(tp_concat(lost, 0), "concat: a list of 2 tensors, and no pointer");
    ARG(tp_concat(minus, 0), "concat: a list of -1 tensors");
    ARG(tp_stack(minus, 0), "a list of -1 tensors");
    ARG(tp_einsum("ij->ij", lost), "a list of 2 tensors, and no pointer");
    ARG(tp_grads_of(lost, TP_LIST(x), &g, (tp_grad_opts){ 0 }), "a list of 2 tensors, and no pointer");
    ARG(tp_grads_of(TP_LIST(y), lost, (tp_tensor *[2]){ NULL }, (tp_grad_opts){ 0 }), "a list of 2 tensors, and no pointer");
    ARG(tp_grads_of(TP_LIST(y), minus, &g, (tp_grad_opts){ 0 }), "a list of -1 tensors");
    ARG(tp_grads_of(TP_LIST(y), TP_LIST(x), NULL, (tp_grad_opts){ 0 }), "no room for the gradients");
    ARG(tp_data_tensors(lost), "a list of 2 tensors, and no pointer");
    ARG(tp_gradcheck(NULL, (tp_list){ 0 }, NULL, &r), "missing function");
    ARG(tp_gradgradcheck(NULL, (tp_list){ 0 }, NULL, &r), "missing function");
    ARG(tp_gradgradcheck(no_function, lost, NULL, &r), "a list of 2 tensors, and no pointer");
    ARG(tp_nn_apply(net, TP_LIST(x), NULL, 4) > 0, "no room for an output of linear");
    ARG(tp_nn_apply(net, lost, &g, 1) > 0, "a list of 2 inputs, or no pointer");
    ARG(tp_nn_sequential(NULL, 3), "3 layers, and no pointer");
    ARG(tp_nn_sequential(NULL, -1), "-1 layers");
    ARG(tp_nn_lstm_forward(net, x, NULL, NULL).y, "tp_nn_lstm_forward: linear is no LSTM");
    ARG(tp_nn_lstm_forward(NULL, x, NULL, NULL).y, "tp_nn_lstm_forward: nothing is no LSTM");
    tp_nn_free(net);
    net = tp_nn_from("mine", &one, nothing_out, NULL);
    REFUSED(tp_nn_forward(net, x), TP_ERR_USER, "mine: its forward gave no output 0");
    tp_nn_free(net);
    net = tp_nn_from("mine", &none, nothing_out, NULL);
    REFUSED(tp_nn_forward(net, x), TP_ERR_USER, "mine: its forward gave no output where one is wanted");
    tp_nn_free(net);
}

/* ---- numbers that can't be, at construction too ---- */

ON_EACH_DEVICE(errors, numbers_that_are_not_possible)
{
    TP_SCOPE;
    tp_tensor *a = F32(2, 3);
    tp_module *m = tp_nn_init(tp_nn_linear(3, 2), dev);
    tp_params p = tp_nn_params(m, "*");
    tp_batch_norm_opts o = norm_opts(true);
    tp_optim *opt = tp_optim_sgd(p, tp_sgd(.5));
    tp_sched *s = tp_sched_step(opt, 10, .5);
    char room[64];
    int before = tp_threads();

    ARG(tp_layer_norm(a, TP_SHAPE(3), NULL, NULL, -1), "layer_norm: eps -1");
    ARG(tp_layer_norm(a, TP_SHAPE(3), NULL, NULL, NAN), "layer_norm: eps nan");
    o.eps = -1;
    ARG(tp_batch_norm(a, NULL, NULL, NULL, NULL, o), "batch_norm: eps -1");
    ARG(tp_nn_batch_norm_with(3, o), "eps -1");
    o.eps = 1e-5, o.momentum = NAN;
    ARG(tp_batch_norm(a, NULL, NULL, NULL, NULL, o), "momentum nan");
    ARG(tp_optim_adam(p, tp_adam(INFINITY)), "learning rate inf");
    ARG(tp_optim_sgd(p, tp_sgd(NAN)), "learning rate nan");
    ARG(tp_optim_set_lr(opt, 0, INFINITY), "learning rate inf");
    ARG(tp_optim_sgd(p, ((tp_sgd_opts){ .lr = 1, .momentum = INFINITY, .filled = true })), "momentum inf");
    ARG(tp_nn_param(m, "p", TP_SHAPE(2), (tp_init){ .kind = (tp_init_kind)99 }), "p: there is no kind 99");
    DTYPE(tp_nn_buffer(m, "b", TP_SHAPE(2), TP_U8, 0), "b can't be u8");
    DTYPE(tp_nn_buffer(m, "b", TP_SHAPE(2), (tp_dtype)99, 0), "b can't be");
    ARG(tp_nn_conv2d(1, 1, 3, (tp_conv2d_opts){ .stride = -1 }), "tp_nn_conv2d: stride -1");
    ARG(tp_nn_conv2d(1, 1, 3, (tp_conv2d_opts){ .rectangular = true, .padding_w = -2 }), "tp_nn_conv2d: stride_w 0, padding_w -2");
    ARG(tp_nn_linear_with(2, 2, (tp_linear_layer_opts){ .activation = (tp_activation)99 }), "there is no activation 99");
    SHAPE(tp_nn_layer_norm(TP_SCALAR), "tp_nn_layer_norm: no axes to normalize over");
    ARG(tp_wrap(room + 1, TP_SHAPE(2), TP_F32, NULL, NULL), "isn't aligned for f32: a multiple of 4");
    ARG(tp_fill_(tp_expand(F32(1, 3), TP_SHAPE(2, 3)), 5), "f32 (2, 3) is expanded");
    tp_set_threads(1 << 30);
    CHECK(tp_threads() == 1024);
    tp_set_threads(before);
    CHECK(!tp_tf32());
    tp_set_tf32(true);
    CHECK(tp_tf32());
    tp_set_tf32(false);
    CHECK(tp_sched_seek(s, INT64_MAX) && tp_sched_at(s) == INT64_MAX);
    ARG(tp_sched_advance(s), "step 9223372036854775807 is the last");
    tp_optim_free(opt), tp_sched_free(s), tp_nn_free(m);
}

ON_EACH_DEVICE(errors, the_function_that_was_called_is_named)
{
    TP_SCOPE;
    tp_tensor *i = I64(2, 3), *half = tp_cast(F32(2, 3), TP_F16);

    CHECK_REFUSED_ON_CPU(dev, tp_neg(half), TP_ERR_DTYPE, "neg: not offered for f16 (2, 3)");
    CHECK_REFUSED_ON_CPU(dev, tp_shift(half, 1), TP_ERR_DTYPE, "shift: not offered for f16 (2, 3)");
    DTYPE(tp_mse(i, i), "mse: not offered for i64 (2, 3) and i64 (2, 3)");
    DTYPE(tp_lerp(i, i, i), "lerp: not offered for i64 (2, 3)");
    SHAPE(tp_lerp(F32(2, 3), F32(2, 3), F32(4)), "lerp: f32 (2, 3), f32 (2, 3) and weight f32 (4) don't broadcast");
    DTYPE(tp_zeros(TP_SHAPE(2), (tp_dtype)99, dev), "tp_zeros: there is no dtype 99");
    SHAPE(tp_ones(TP_SHAPE(-2), TP_F32, dev), "tp_ones: negative size in (-2)");
}
