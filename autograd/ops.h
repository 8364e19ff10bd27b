/*
 * ops.h - the differentiable operations.
 *
 * What holds for every function here, unless its comment says otherwise:
 *
 * - Inputs share a device.  Dtypes are promoted as PyTorch's; f32, f64 and bf16 compute.
 * - Shapes broadcast as NumPy's.  A negative axis counts from the end.
 * - The result is lent: it dies with the innermost open scope.  Inputs are never consumed,
 *   and no op returns its own argument: views share the bytes, under a handle of their own.
 * - A failure gives NULL and records the error; until it is cleared every op gives NULL.
 * - Options are a struct by value: zero means the default, or, where a comment says so, a
 *   function fills it and the caller edits.
 */
#ifndef TP_AUTOGRAD_OPS_H
#define TP_AUTOGRAD_OPS_H

#include "tensor/tensor.h"

TP_API_BEGIN

/* ---- elementwise; second derivatives: all ---- */
tp_tensor *tp_add(tp_tensor *a, tp_tensor *b); /* a + b */
tp_tensor *tp_sub(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_mul(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_div(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_affine(tp_tensor *x, double a, double b); /* a x + b */
tp_tensor *tp_scale(tp_tensor *x, double a);            /* a x */
tp_tensor *tp_shift(tp_tensor *x, double b);            /* x + b */
tp_tensor *tp_neg(tp_tensor *x);
tp_tensor *tp_square(tp_tensor *x);
tp_tensor *tp_sqrt(tp_tensor *x);
tp_tensor *tp_exp(tp_tensor *x);
tp_tensor *tp_log(tp_tensor *x);
tp_tensor *tp_relu(tp_tensor *x); /* max(0, x); derivative 0 at 0 */
tp_tensor *tp_tanh(tp_tensor *x);
tp_tensor *tp_sigmoid(tp_tensor *x);
tp_tensor *tp_gelu(tp_tensor *x);      /* x Phi(x) (Hendrycks & Gimpel 2016) */
tp_tensor *tp_gelu_tanh(tp_tensor *x); /* its approximation by tanh, as GPT-2's */
tp_tensor *tp_lerp(tp_tensor *a, tp_tensor *b, tp_tensor *weight); /* a + weight (b - a) */

/* ---- folding over axes; an empty sum is 0, an empty mean NaN ---- */
tp_tensor *tp_sum(tp_tensor *x, tp_axes axes);
tp_tensor *tp_mean(tp_tensor *x, tp_axes axes);
/* i64: the first place of the largest along axis, which is dropped.  No gradient. */
tp_tensor *tp_argmax(tp_tensor *x, int axis);

/* ---- the same elements, otherwise arranged ---- */
/* One size may be -1: what is left.  A view where strides allow it, else a copy. */
tp_tensor *tp_reshape(tp_tensor *x, tp_shape s);
tp_tensor *tp_flatten(tp_tensor *x, int from); /* axes from, from + 1, ... become one */
tp_tensor *tp_transpose(tp_tensor *x, int a, int b); /* a view: two axes swapped */
tp_tensor *tp_permute(tp_tensor *x, tp_axes order);  /* a view: axis i is x's order.axis[i] */
/* x[..., from:to, ...] along axis, a view; negative places count from the end.  Unlike Python's,
 * places past the end are refused. */
tp_tensor *tp_slice(tp_tensor *x, int axis, int64_t from, int64_t to);
tp_tensor *tp_slice_step(tp_tensor *x, int axis, int64_t from, int64_t to, int64_t step); /* step > 0 */
bool tp_split(tp_tensor *x, int axis, int n, tp_tensor **out); /* n equal views */
/* Views of the given sizes, which must add up. */
bool tp_split_sizes(tp_tensor *x, int axis, const int64_t *sizes, int n, tp_tensor **out);
tp_tensor *tp_concat(tp_list xs, int axis); /* shapes equal but along axis */
tp_tensor *tp_flip(tp_tensor *x, int axis);     /* backwards along axis, a copy */
tp_tensor *tp_expand(tp_tensor *x, tp_shape s); /* a view: axes of size 1 repeated */
tp_tensor *tp_contiguous(tp_tensor *x);         /* row-major; the same bytes if they are */
tp_tensor *tp_channels_last(tp_tensor *x);      /* (N, C, H, W) with C innermost in memory */
tp_tensor *tp_clone(tp_tensor *x);              /* a copy, in x's layout */
tp_tensor *tp_detach(tp_tensor *x);             /* the same bytes, without history */
tp_tensor *tp_cast(tp_tensor *x, tp_dtype d);   /* the same bytes if it has dtype d */
tp_tensor *tp_to(tp_tensor *x, tp_device *d);   /* on d; the same bytes if it is there */

/* ---- products ---- */
/* (m, k), (k, n) -> (m, n);  vectors and batches as torch.matmul: batch axes broadcast */
tp_tensor *tp_matmul(tp_tensor *a, tp_tensor *b);

typedef struct tp_linear_opts {
    tp_activation activation; /* fused into the product */
} tp_linear_opts;
/* y = act(x weight' + bias)    x (..., in), weight (out, in), bias (out) or NULL -> (..., out) */
tp_tensor *tp_linear(tp_tensor *x, tp_tensor *weight, tp_tensor *bias);
tp_tensor *tp_linear_with(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_linear_opts o);

/* For both axes; 0 where 1 is the default, so .padding = 1 alone says what it says. */
typedef struct tp_conv2d_opts {
    int stride, padding, dilation, groups;
    bool no_bias;     /* of the layer; the op takes bias NULL */
    bool rectangular; /* the width has its own, below */
    int stride_w, padding_w, dilation_w;
} tp_conv2d_opts;
/* x (N, C, H, W), weight (O, C / groups, KH, KW), bias (O) or NULL -> (N, O, OH, OW),
 * channels-last;  OH = (H + 2 padding - dilation (KH - 1) - 1) / stride + 1 */
tp_tensor *tp_conv2d(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_conv2d_opts o);

typedef struct tp_pool2d_opts {
    int stride, padding, dilation; /* stride 0: the kernel's size */
    bool rectangular;              /* the width has its own: */
    int kernel_w, stride_w, padding_w, dilation_w;
} tp_pool2d_opts;
tp_tensor *tp_max_pool2d(tp_tensor *x, int kernel, tp_pool2d_opts o); /* channels-last */
tp_tensor *tp_global_avg_pool2d(tp_tensor *x); /* (N, C, H, W) -> (N, C, 1, 1) */

/* ---- normalization ---- */
typedef struct tp_batch_norm_opts {
    double eps, momentum; /* tp_batch_norm_defaults(): 1e-5, 0.1 */
    bool training;        /* by the batch's own statistics; true in the defaults */
    bool filled;
} tp_batch_norm_opts;
tp_batch_norm_opts tp_batch_norm_defaults(void);
/* Over all axes but 1 (Ioffe & Szegedy 2015).  x (N, C) or (N, C, ...); weight, bias (C) or
 * NULL.  running_mean, running_var (C) are moved in training, unless NULL, and used otherwise;
 * the variance that they gather is unbiased. */
tp_tensor *tp_batch_norm(tp_tensor *x, tp_tensor *weight, tp_tensor *bias,
                         tp_tensor *running_mean, tp_tensor *running_var, tp_batch_norm_opts o);
/* Over the last axes, those of `shape` (Ba et al. 2016); weight, bias of that shape or NULL. */
tp_tensor *tp_layer_norm(tp_tensor *x, tp_shape shape, tp_tensor *weight, tp_tensor *bias,
                         double eps);

/* ---- looking up ---- */
typedef struct tp_embedding_opts {
    int64_t padding_idx; /* its row gets no gradient; -1, as tp_embedding_defaults(): none */
    bool filled;
} tp_embedding_opts;
tp_embedding_opts tp_embedding_defaults(void);
/* index (...) of i64, i32 or u8, weight (rows, cols) -> (..., cols) */
tp_tensor *tp_embedding(tp_tensor *index, tp_tensor *weight);
tp_tensor *tp_embedding_with(tp_tensor *index, tp_tensor *weight, tp_embedding_opts o);

/* ---- dropout (Srivastava et al. 2014): x / (1 - p) with probability 1 - p, else 0 ---- */
tp_tensor *tp_dropout(tp_tensor *x, double p); /* always; nn's layer minds the mode */

/* ---- recurrence ---- */
typedef struct tp_lstm_out {
    tp_tensor *y, *h, *c; /* (T, N, H), (N, H), (N, H); all NULL after a failure */
} tp_lstm_out;
/* One layer over a sequence (Hochreiter & Schmidhuber 1997), gates in PyTorch's order i f g o.
 *   x (T, N, in), h0, c0 (N, H) or NULL for zeros, w_ih (4H, in), w_hh (4H, H),
 *   b_ih, b_hh (4H) or both NULL.  No second derivative. */
tp_lstm_out tp_lstm(tp_tensor *x, tp_tensor *h0, tp_tensor *c0, tp_tensor *w_ih, tp_tensor *w_hh,
                    tp_tensor *b_ih, tp_tensor *b_hh);

/* ---- losses ---- */
typedef enum tp_reduce { TP_MEAN, TP_SUM, TP_NONE } tp_reduce;
typedef struct tp_loss_opts {
    tp_reduce reduction;
} tp_loss_opts;

/* -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), without overflow; shapes equal */
tp_tensor *tp_bce_with_logits(tp_tensor *x, tp_tensor *t);
tp_tensor *tp_bce_with_logits_with(tp_tensor *x, tp_tensor *t, tp_loss_opts o);

typedef struct tp_cross_entropy_opts {
    int64_t ignore_index; /* tp_cross_entropy_defaults(): -100 */
    tp_reduce reduction;
    bool filled;
} tp_cross_entropy_opts;
tp_cross_entropy_opts tp_cross_entropy_defaults(void);
/* Softmax over the last axis, then the negative log-likelihood of the labels.
 *   x (N, C) logits, y (N) labels of i64, i32 or u8 -> () or, unreduced, (N)
 * Rows labelled ignore_index count for nothing; any other label outside 0..C-1 is an error.
 * The mean is NaN when every row is ignored.  Two derivatives.  Of bf16 logits the loss is f32. */
tp_tensor *tp_cross_entropy(tp_tensor *x, tp_tensor *y);
tp_tensor *tp_cross_entropy_with(tp_tensor *x, tp_tensor *y, tp_cross_entropy_opts o);
tp_tensor *tp_mse(tp_tensor *x, tp_tensor *t); /* the mean of (x - t)^2 */

TP_API_END

#endif
