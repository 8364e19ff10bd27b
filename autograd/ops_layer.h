/*
 * ops_layer.h - what layers are made of.  Read autograd/ops.h first.
 */
#ifndef TP_AUTOGRAD_OPS_LAYER_H
#define TP_AUTOGRAD_OPS_LAYER_H

#include "autograd/ops_shape.h"

TP_API_BEGIN

/* ---- products: floats; twice ---- */
/* (m, k), (k, n) -> (m, n);  vectors and batches as torch.matmul: batch axes broadcast */
tp_tensor *tp_matmul(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_outer(tp_tensor *a, tp_tensor *b); /* (n), (m) -> (n, m) */
tp_tensor *tp_dot(tp_tensor *a, tp_tensor *b);   /* (n), (n) -> () */
/* Sums of products by letters, as torch.einsum without "...": "bij,bjk->bik".  Up to 16 operands,
 * taken from left to right. */
tp_tensor *tp_einsum(const char *equation, tp_list xs);

typedef struct tp_linear_opts {
    tp_activation activation; /* fused into the product */
} tp_linear_opts;
/* y = act(x weight' + bias)    x (..., in), weight (out, in), bias (out) or NULL -> (..., out) */
tp_tensor *tp_linear(tp_tensor *x, tp_tensor *weight, tp_tensor *bias);
tp_tensor *tp_linear_with(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_linear_opts o);

/* ---- softmax: floats; twice ---- */
/* e^x / sum e^x along axis, in x's layout; the largest of x is taken off first, so nothing
 * overflows.  A row of -infinity alone gives NaN. */
tp_tensor *tp_softmax(tp_tensor *x, int axis);
tp_tensor *tp_log_softmax(tp_tensor *x, int axis); /* x - log(sum e^x) */

/* ---- attention: floats; twice ---- */
/* The two masks keep PyTorch's opposite meanings: of scaled_dot_product_attention, and of
 * nn.MultiheadAttention. */
typedef struct tp_attention_opts {
    double scale; /* 0: 1 / sqrt(E) */
    bool causal;  /* row i meets columns 0 .. i alone */
    /* broadcast to (N, heads, L, S): bool, true where it meets, or added to the scores */
    tp_tensor *mask;
    tp_tensor *key_padding_mask; /* bool (N, S): true where a key is left out */
    double dropout; /* probability that a weight is dropped; always: nn's layer minds the mode */
} tp_attention_opts;
/* softmax(scale q k' + mask) v (Vaswani et al. 2017), by tiles: the scores are never stored (Dao
 * et al. 2022).
 *   q (N, heads, L, E), k (N, kv heads, S, E), v (N, kv heads, S, Ev) -> (N, heads, L, Ev)
 * kv heads divide heads: neighbours among q's share one.  Views need no copy while the numbers of a
 * row lie side by side; y lies in memory as q does, heads or rows outermost.  A row that meets no
 * key gives 0.  With a mask that wants a gradient, and for second derivatives, scores are stored.
 */
tp_tensor *tp_attention(tp_tensor *q, tp_tensor *k, tp_tensor *v, tp_attention_opts o);

typedef struct tp_rotary_opts {
    double base; /* 0: 10000 */
    /* false: numbers 2i and 2i + 1 are a pair, as in the paper and GPT-J; true: i and i + dims / 2,
     * as in GPT-NeoX and Llama */
    bool halves;
    int64_t dims;         /* how many of a row's numbers turn, the first ones; even; 0: all */
    int64_t offset;       /* the position of the first row: keys that are cached already */
    tp_tensor *positions; /* integers (T) or (N, T), added to offset; NULL: 0 .. T - 1 */
} tp_rotary_opts;
/* Position embedding for queries and keys (Su et al. 2021): pair i of a row at position p turns by
 * the angle p base^(-2i / dims).  x (N, heads, T, D) -> the same, lying in memory as x does, heads
 * or rows outermost; views need no copy while the numbers of a row lie side by side. */
tp_tensor *tp_rotary(tp_tensor *x, tp_rotary_opts o);

/* ---- convolution and pooling: floats; twice ---- */
/* For both axes; 0 where 1 is the default, so .padding = 1 alone says what it says. */
typedef struct tp_conv2d_opts {
    int stride, padding, dilation, groups;
    bool no_bias;     /* of the layer; the op takes bias NULL */
    bool rectangular; /* the width has its own, below */
    int stride_w, padding_w, dilation_w;
    /* padding so that y has x's size, PyTorch's "same"; stride 1.  Not of transposed ones */
    bool same;
    int output_padding, output_padding_w; /* of transposed ones */
    /* of the layer: the kernel's width where it is rectangular, 0: its height; and what it pads
     * with, not of transposed ones */
    int kernel_w;
    tp_pad_mode padding_mode;
} tp_conv2d_opts;
/* x (N, C, H, W), weight (O, C / groups, KH, KW), bias (O) or NULL -> (N, O, OH, OW),
 * channels-last;  OH = (H + 2 padding - dilation (KH - 1) - 1) / stride + 1 */
tp_tensor *tp_conv2d(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_conv2d_opts o);
/* The same of (N, C, L), weight (O, C / groups, K) -> (N, O, OL), channels innermost in memory;
 * o.rectangular is refused. */
tp_tensor *tp_conv1d(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_conv2d_opts o);
/* The adjoint of conv2d (Zeiler et al. 2010).  x (N, C, H, W), weight (C, O / groups, KH, KW), bias
 * (O) or NULL -> (N, O, OH, OW), channels-last;
 *   OH = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1 */
tp_tensor *tp_conv_transpose2d(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_conv2d_opts o);
tp_tensor *tp_conv_transpose1d(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_conv2d_opts o);

typedef struct tp_pool2d_opts {
    int stride, padding, dilation; /* stride 0: the kernel's size */
    bool rectangular;              /* the width has its own: */
    int kernel_w, stride_w, padding_w, dilation_w;
    bool ceil_mode; /* a last window that begins within x or its padding before may reach beyond */
    bool exclude_pad; /* of means: padding isn't counted, PyTorch's count_include_pad = false */
    int divisor;      /* of means: what sums are divided by; 0: the size of the window */
} tp_pool2d_opts;
/* Over windows of (N, C, H, W) -> (N, C, OH, OW), channels-last; padding is at most half the
 * kernel, which has at most 2^31 - 1 places.  The largest: the first of equals, NaN before numbers,
 * padding never; the mean: padding counts as 0, and dilation is refused. */
tp_tensor *tp_max_pool2d(tp_tensor *x, int kernel, tp_pool2d_opts o);
tp_tensor *tp_avg_pool2d(tp_tensor *x, int kernel, tp_pool2d_opts o);
/* The same of (N, C, L) -> (N, C, OL); o.rectangular is refused. */
tp_tensor *tp_max_pool1d(tp_tensor *x, int kernel, tp_pool2d_opts o);
tp_tensor *tp_avg_pool1d(tp_tensor *x, int kernel, tp_pool2d_opts o);
/* Of h by w parts of about equal size, which may overlap: part i of n is floor(i H / n) up to
 * ceil((i + 1) H / n).  (N, C, H, W) -> (N, C, h, w), channels-last. */
tp_tensor *tp_adaptive_avg_pool2d(tp_tensor *x, int64_t h, int64_t w);
tp_tensor *tp_adaptive_max_pool2d(tp_tensor *x, int64_t h, int64_t w);
tp_tensor *tp_global_avg_pool2d(tp_tensor *x); /* (N, C, H, W) -> (N, C, 1, 1) */
tp_tensor *tp_global_max_pool2d(tp_tensor *x); /* the same, of the largest */

/* ---- resizing: floats; twice ---- */
/* The nearest element, or a mean of the four around, weighted by how near they are. */
typedef enum tp_interpolation { TP_NEAREST, TP_BILINEAR } tp_interpolation;
typedef struct tp_interpolate_opts {
    tp_interpolation mode;
    int64_t h, w; /* of the result; or both 0, and */
    double scale, scale_w; /* the factor; of the width where it has its own */
    bool align_corners; /* bilinear: the outermost elements stay where they are */
} tp_interpolate_opts;
/* (N, C, H, W) -> (N, C, h, w), channels-last, as torch.nn.functional.interpolate. */
tp_tensor *tp_interpolate(tp_tensor *x, tp_interpolate_opts o);
/* (N, C r r, H, W) -> (N, C, H r, W r) (Shi et al. 2016) and back, in x's layout.  Any dtype. */
tp_tensor *tp_pixel_shuffle(tp_tensor *x, int64_t r);
tp_tensor *tp_pixel_unshuffle(tp_tensor *x, int64_t r);

/* ---- normalization: floats; twice ---- */
typedef struct tp_batch_norm_opts {
    double eps, momentum; /* tp_batch_norm_defaults(): 1e-5, 0.1 */
    bool training;        /* by the batch's own statistics; true in the defaults */
    bool cumulative; /* of a module: momentum is 1 / batches seen, PyTorch's None */
    /* of the layer: neither weight nor bias; no running statistics, the batch's own in eval too */
    bool no_affine, no_running;
    bool filled;
} tp_batch_norm_opts;
tp_batch_norm_opts tp_batch_norm_defaults(void); /* PyTorch's, in training */
/* Over all axes but 1 (Ioffe & Szegedy 2015).  x (N, C) or (N, C, ...); weight, bias (C) or
 * NULL.  running_mean, running_var (C) are moved in training, unless NULL, and used otherwise;
 * the variance that they gather is unbiased.  An x without elements gives one, and moves nothing;
 * one value per channel is refused in training.  eps and momentum are not negative. */
tp_tensor *tp_batch_norm(tp_tensor *x, tp_tensor *weight, tp_tensor *bias,
                         tp_tensor *running_mean, tp_tensor *running_var, tp_batch_norm_opts o);
/* Over the last axes, those of `shape` (Ba et al. 2016); weight, bias of that shape or NULL. */
tp_tensor *tp_layer_norm(tp_tensor *x, tp_shape shape, tp_tensor *weight, tp_tensor *bias,
                         double eps);

/* Over the axes behind 1 and the C / groups channels of each group (Wu & He 2018).  x (N, C, ...);
 * weight, bias (C) or NULL.  Channels-last. */
tp_tensor *tp_group_norm(tp_tensor *x, int64_t groups, tp_tensor *weight, tp_tensor *bias,
                         double eps);
/* Each channel of each sample by itself (Ulyanov et al. 2016): C groups, which must be of more than
 * one value. */
tp_tensor *tp_instance_norm(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, double eps);
/* x / sqrt(mean of x^2 + eps) weight over the last axes, those of `shape` (Zhang & Sennrich 2019);
 * weight of that shape or NULL.  eps below 0: that of x's dtype, PyTorch's default. */
tp_tensor *tp_rms_norm(tp_tensor *x, tp_shape shape, tp_tensor *weight, double eps);

/* ---- dropping: floats; twice ---- */
/* x / (1 - p) with probability 1 - p, else 0 (Srivastava et al. 2014); always: nn's layer minds
 * the mode. */
tp_tensor *tp_dropout(tp_tensor *x, double p);
/* x / (1 - p) or 0 for each whole channel of x (N, C, ...) (Tompson et al. 2015), drawn in the
 * order of (N, C) whatever the layout. */
tp_tensor *tp_dropout2d(tp_tensor *x, double p);
/* For selu: x with probability 1 - p, else -1.7581, selu's limit; then all is scaled and moved so
 * that mean 0 and deviation 1 stay what they are (Klambauer et al. 2017). */
tp_tensor *tp_alpha_dropout(tp_tensor *x, double p);

/* ---- recurrence: floats; once ---- */
typedef struct tp_recurrent_opts {
    /* integers (N), from 1 to T; NULL: all T.  Beyond its length y is 0, and the last state is that
     * at it, as of PyTorch's packed sequences */
    tp_tensor *lengths;
    bool reverse;       /* from the end, or the length's, to the beginning; y stays in its place */
    bool relu;          /* of rnn, instead of tanh */
} tp_recurrent_opts;

typedef struct tp_lstm_out {
    tp_tensor *y, *h, *c; /* (T, N, H), (N, H), (N, H); all NULL after a failure */
} tp_lstm_out;
/* One layer over a sequence (Hochreiter & Schmidhuber 1997), gates in PyTorch's order i f g o.
 *   x (T, N, in), h0, c0 (N, H) or NULL for zeros, w_ih (4H, in), w_hh (4H, H),
 *   b_ih, b_hh (4H) or both NULL.  No second derivative. */
tp_lstm_out tp_lstm(tp_tensor *x, tp_tensor *h0, tp_tensor *c0, tp_tensor *w_ih, tp_tensor *w_hh,
                    tp_tensor *b_ih, tp_tensor *b_hh);
tp_lstm_out tp_lstm_with(tp_tensor *x, tp_tensor *h0, tp_tensor *c0, tp_tensor *w_ih,
                         tp_tensor *w_hh, tp_tensor *b_ih, tp_tensor *b_hh, tp_recurrent_opts o);

typedef struct tp_recurrent_out {
    tp_tensor *y, *h; /* (T, N, H), (N, H); both NULL after a failure */
} tp_recurrent_out;
/* Gated recurrent units (Cho et al. 2014), gates in PyTorch's order r z n, weights (3H, ...):
 *   n = tanh(W_in x + b_in + r (W_hn h + b_hn)),  h' = (1 - z) n + z h.  No second derivative. */
tp_recurrent_out tp_gru(tp_tensor *x, tp_tensor *h0, tp_tensor *w_ih, tp_tensor *w_hh,
                        tp_tensor *b_ih, tp_tensor *b_hh, tp_recurrent_opts o);
/* h' = tanh(x w_ih' + b_ih + h w_hh' + b_hh) (Elman 1990), weights (H, ...).  No second
 * derivative. */
tp_recurrent_out tp_rnn(tp_tensor *x, tp_tensor *h0, tp_tensor *w_ih, tp_tensor *w_hh,
                        tp_tensor *b_ih, tp_tensor *b_hh, tp_recurrent_opts o);

TP_API_END

#endif
