/*
 * test_operands.c - operands that are unusual and right: nothing in a tensor, axes of size 0, dtypes
 * that meet, labels of any integer.
 */
#include "tests/calls.h"

/* ---- nothing in a tensor ---- */

ON_EACH_DEVICE(operands, empty_tensors_are_tensors)
{
    TP_SCOPE;
    tp_tensor *e = tp_requires_grad(F32(0, 3), true), *y[8];
    tp_tensor *i = tp_zeros(TP_SHAPE(0), TP_I64, dev);
    tp_cross_entropy_opts sum = tp_cross_entropy_defaults();

    sum.reduction = TP_SUM;
    CASE("empty on %s", tp_device_name(dev));
    CHECK(tp_item(tp_sum(e, TP_ALL)) == 0 && isnan(tp_item(tp_mean(e, TP_ALL))));
    CHECK(check_at(tp_sum(e, TP_AXES(0)), 2) == 0 && isnan(check_at(tp_mean(e, TP_AXES(0)), 2)));
    y[0] = tp_matmul(e, F32(3, 2)), y[1] = tp_linear(e, F32(4, 3), F32(4)), y[2] = tp_embedding(i, F32(4, 2));
    y[3] = tp_layer_norm(e, TP_SHAPE(3), F32(3), F32(3), 1e-5), y[4] = tp_dropout(e, .5);
    y[5] = tp_conv2d(F32(0, 2, 4, 4), F32(3, 2, 3, 3), F32(3), plain_conv), y[6] = tp_max_pool2d(F32(0, 2, 4, 4), 2, plain_pool);
    y[7] = lstm_of(F32(2, 0, 3), NULL, NULL, F32(8, 3), F32(8, 2), NULL, NULL);
    for (int k = 0; k < 8; k++) {
        CASE("empty %d on %s", k, tp_device_name(dev));
        CHECK(y[k] && tp_count(y[k]) == 0 && tp_ok());
        tp_clear_error();
    }
    CASE("empty on %s", tp_device_name(dev));
    CHECK(tp_item(tp_cross_entropy_with(e, i, sum)) == 0 && isnan(tp_item(tp_cross_entropy(e, i))));
    CHECK(tp_backward(tp_sum(tp_exp(tp_concat(TP_LIST(e, F32(2, 3)), 0)), TP_ALL)) && tp_dim(tp_grad(e), 0) == 0);
    CHECK(check_at(tp_matmul(F32(2, 0), F32(0, 2)), 3) == 0 && check_at(tp_linear(F32(2, 2, 0), F32(3, 0), F32(3)), 11) == 1);
    CHECK(tp_dim(tp_slice(F32(2, 3), 1, 3, 3), 1) == 0 && tp_dim(tp_flip(e, 0), 1) == 3 && tp_rank(tp_argmax(e, 1)) == 1);
}

/* ---- every op over axes of size 0, forward and backward ---- */

static tp_tensor *lstm_over(tp_tensor *x, int64_t hidden, tp_device *dev)
{
    int64_t in = tp_dim(x, 1);

    return lstm_of(tp_reshape(x, TP_SHAPE(2, tp_dim(x, 0), in)), NULL, NULL, tp_requires_grad(F64(4 * hidden, in), true),
                   tp_requires_grad(F64(4 * hidden, hidden), true), F64(4 * hidden), F64(4 * hidden));
}

/* The k-th op of x (n, m), n or m of which is 0; *ended behind the last. */
static tp_tensor *of_zero_axes(int k, tp_tensor *x, tp_device *dev, bool *ended)
{
    int64_t n = tp_dim(x, 0), m = tp_dim(x, 1);
    tp_tensor *w = tp_requires_grad(F64(2, m), true), *u = F64(m);

    switch (k) {
    case 0: return tp_add(x, tp_mul(x, x));
    case 1: return tp_div(tp_sub(x, u), tp_affine(x, 2, 3));
    case 2: return tp_sqrt(tp_square(tp_exp(tp_log(x))));
    case 3: return tp_relu(tp_tanh(tp_sigmoid(x)));
    case 4: return tp_gelu(tp_gelu_tanh(x));
    case 5: return tp_lerp(x, u, x);
    case 6: return tp_sum(x, TP_AXES(0));
    case 7: return tp_sum(x, TP_AXES(1));
    case 8: return tp_mean(x, TP_AXES(0));
    case 9: return tp_mean(x, TP_AXES(1));
    case 10: return tp_reshape(x, TP_SHAPE(m, n));
    case 11: return tp_flatten(x, 0);
    case 12: return tp_transpose(x, 0, 1);
    case 13: return tp_slice(x, 1, 0, m);
    case 14: return tp_concat(TP_LIST(x, x), 0);
    case 15: return tp_concat(TP_LIST(x, x), 1);
    case 16: return tp_flip(tp_flip(x, 1), 0);
    case 17: return tp_expand(x, TP_SHAPE(2, n, m));
    case 18: return tp_clone(tp_contiguous(x));
    case 19: return tp_cast(x, TP_F32);
    case 20: return tp_matmul(x, tp_transpose(x, 0, 1));
    case 21: return tp_matmul(tp_transpose(x, 0, 1), x);
    case 22: return tp_linear(x, w, F64(2));
    case 23: return tp_linear_with(x, w, F64(2), (tp_linear_opts){ TP_GELU });
    case 24: return tp_dropout(x, 0.5);
    case 25: return tp_bce_with_logits_with(x, x, (tp_bce_opts){ .reduction = TP_SUM });
    case 26: return tp_mse(x, x);
    case 27: return n ? tp_embedding(tp_zeros(TP_SHAPE(0), TP_I64, dev), x) : tp_embedding(tp_zeros(TP_SHAPE(0), TP_I64, dev), F64(2, m));
    case 28: return tp_batch_norm(x, F64(m), F64(m), F64(m), F64(m), norm_opts(true));
    case 29: return tp_batch_norm(x, NULL, NULL, F64(m), F64(m), norm_opts(false));
    case 30: return tp_layer_norm(x, TP_SHAPE(m), u, u, 1e-5);
    case 31: return tp_outer(tp_flatten(x, 0), u);
    case 32: return tp_einsum("ij,ik->jk", TP_LIST(x, x));
    case 33: return tp_channels_last(tp_reshape(x, TP_SHAPE(n, 1, m, 1)));
    case 34: return n ? tp_global_avg_pool2d(tp_reshape(x, TP_SHAPE(n, m, 1, 1))) : tp_global_avg_pool2d(tp_reshape(x, TP_SHAPE(0, 1, m, 1)));
    case 35: return n ? tp_sum(x, TP_ALL) : tp_max_pool2d(tp_reshape(x, TP_SHAPE(0, m, 2, 2)), 2, plain_pool);
    case 36: return n ? tp_sum(x, TP_ALL) : tp_conv2d(tp_reshape(x, TP_SHAPE(0, m, 2, 2)), tp_requires_grad(F64(2, m, 2, 2), true), F64(2), plain_conv);
    case 37: return lstm_over(tp_concat(TP_LIST(x, x), 0), 3, dev);
    case 38: return lstm_over(tp_concat(TP_LIST(x, x), 0), 0, dev);
    case 39: return tp_stack(TP_LIST(x, x), 1);
    case 40: return tp_cross_entropy_with(F64(0, 3), tp_zeros(TP_SHAPE(0), TP_I64, dev),
                                          (tp_cross_entropy_opts){ .ignore_index = -100, .reduction = TP_SUM, .filled = true });
    default: return *ended = true, NULL;
    }
}

ON_EACH_DEVICE(operands, axes_of_size_0_forward_and_backward)
{
    static const int64_t sizes[][2] = { { 0, 3 }, { 2, 0 }, { 0, 0 } };
    bool ended = false;

    for (int k = 0; !ended; k++)
        for (int i = 0; i < TP_LEN(sizes) && !ended; i++) {
            TP_SCOPE;
            tp_tensor *x = tp_requires_grad(F64(sizes[i][0], sizes[i][1]), true), *y = of_zero_axes(k, x, dev, &ended), *g;

            if (ended) break;
            CASE("op %d of (%d, %d) on %s", k, (int)sizes[i][0], (int)sizes[i][1], tp_device_name(dev));
            CHECK(y != NULL);
            if (y && tp_needs_grad(y)) {
                CHECK(tp_backward(tp_sum(y, TP_ALL)));
                g = tp_grad(x);
                CHECK(!g || (tp_dim(g, 0) == sizes[i][0] && tp_dim(g, 1) == sizes[i][1]));
            }
            tp_clear_error();
        }
}

ON_EACH_DEVICE(operands, batch_norm_of_nothing_moves_nothing)
{
    TP_SCOPE;
    tp_tensor *rm = tp_full(TP_SHAPE(3), 5, TP_F32, dev), *rv = tp_full(TP_SHAPE(3), 7, TP_F32, dev);
    tp_tensor *w = tp_requires_grad(F32(3), true), *b = tp_requires_grad(F32(3), true), *x = tp_requires_grad(F32(0, 3, 4, 4), true);
    tp_tensor *y = tp_batch_norm(x, w, b, rm, rv, norm_opts(true));

    CASE("no sample");
    CHECK(y && tp_dim(y, 0) == 0 && tp_dim(y, 3) == 4 && check_at(rm, 1) == 5 && check_at(rv, 2) == 7);
    CHECK(tp_backward(tp_sum(y, TP_ALL)) && check_at(tp_grad(w), 0) == 0 && check_at(tp_grad(b), 2) == 0);
    SHAPE(tp_batch_norm(F32(1, 3), NULL, NULL, NULL, NULL, norm_opts(true)), "more than one value per channel");
}

/* ---- dtypes that meet in one ---- */

ON_EACH_DEVICE(operands, concat_promotes_as_pytorch)
{
    static const tp_dtype of[][3] = { { TP_BF16, TP_F16, TP_F32 }, { TP_I64, TP_BF16, TP_BF16 }, { TP_BOOL, TP_U8, TP_U8 },
                                      { TP_F32, TP_F64, TP_F64 }, { TP_I32, TP_I64, TP_I64 } };

    for (int i = 0; i < TP_LEN(of); i++) {
        TP_SCOPE;
        tp_tensor *y = concat2(make(of[i][0], dev, TP_SHAPE(2, 1)), make(of[i][1], dev, TP_SHAPE(2, 2)), 1);

        CASE("%s and %s on %s", tp_dtype_name(of[i][0]), tp_dtype_name(of[i][1]), tp_device_name(dev));
        CHECK(y && tp_dtype_of(y) == of[i][2] && tp_dim(y, 1) == 3 && check_at(y, 5) == 1);
    }
    {
        TP_SCOPE;
        tp_tensor *a = tp_requires_grad(F32(2), true);

        CASE("gradients on %s", tp_device_name(dev));
        CHECK(tp_backward(tp_sum(tp_scale(concat2(a, F64(3), 0), 2), TP_ALL)) && tp_dtype_of(tp_grad(a)) == TP_F32);
        CHECK(check_at(tp_grad(a), 1) == 2);
    }
}

/* ---- labels and indices of other integers ---- */

ON_EACH_DEVICE(operands, labels_and_indices_of_each_integer)
{
    static const tp_dtype of[] = { TP_I64, TP_I32, TP_U8 };
    double loss[3], row[3];

    for (int i = 0; i < TP_LEN(of); i++) {
        TP_SCOPE;
        tp_tensor *index = tp_cast(tp_from((int64_t[]){ 2, 0 }, TP_SHAPE(2), TP_I64, dev), of[i]);
        tp_tensor *w = tp_requires_grad(tp_detach(tp_reshape(tp_arange(0, 12, 1, TP_F32, dev), TP_SHAPE(3, 4))), true);
        tp_tensor *y = tp_embedding(index, w);

        CASE("%s on %s", tp_dtype_name(of[i]), tp_device_name(dev));
        CHECK(y && check_at(y, 1) == 9 && check_at(y, 4) == 0);
        CHECK(tp_backward(tp_sum(y, TP_ALL)) && check_at(tp_grad(w), 0) == 1 && check_at(tp_grad(w), 4) == 0);
        loss[i] = tp_item(tp_cross_entropy(tp_scale(y, 0.1), index)), row[i] = check_at(tp_grad(w), 8);
        CHECK(isfinite(loss[i]) && loss[i] == loss[0] && row[i] == row[0]);
        CHECK_REFUSED_BY_DATA(dev, tp_backward(tp_cross_entropy(tp_requires_grad(tp_detach(y), true), tp_full(TP_SHAPE(2), 4, of[i], dev))),
                              TP_ERR_ARG, "label 4", "cross_entropy: label 4");
        CHECK_REFUSED_BY_DATA(dev, tp_backward(tp_sum(tp_embedding(tp_full(TP_SHAPE(2), 3, of[i], dev), w), TP_ALL)), TP_ERR_ARG,
                              "index 3", "embedding: index 3");
    }
}
