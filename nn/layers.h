/*
 * layers.h - the catalogue of layers.  Read nn/nn.h first.
 *
 * Defaults, parameter names and initial values are PyTorch's.  A layer is one of autograd/ops*.h
 * with what it keeps: parameters, options, a mode; formulas, shapes and errors are told there.
 * Options are checked when the layer is made, or, where they depend on x, when it runs.
 */
#ifndef TP_NN_LAYERS_H
#define TP_NN_LAYERS_H

#include "nn/nn.h"

TP_API_BEGIN

/* ---- products and tables ---- */

/* y = x weight' + bias.  weight (out, in), bias (out): uniform within 1 / sqrt(in) */
tp_module *tp_nn_linear(int64_t in, int64_t out);

typedef struct tp_linear_layer_opts {
    tp_activation activation; /* fused into the product */
    bool no_bias;
} tp_linear_layer_opts;
tp_module *tp_nn_linear_with(int64_t in, int64_t out, tp_linear_layer_opts o); /* activation(y) */

/* Integers (...) -> (..., cols).  weight (rows, cols): normal; a padding row is zeros. */
tp_module *tp_nn_embedding(int64_t rows, int64_t cols);
tp_module *tp_nn_embedding_with(int64_t rows, int64_t cols, tp_embedding_opts o);

/* ---- convolution ---- */

/* weight (out, in / groups, kernel, kernel or o.kernel_w), bias (out) unless o.no_bias: uniform
 * within 1 / sqrt(fan in).  o.padding_mode as tp_pad's, zeros by default. */
tp_module *tp_nn_conv2d(int64_t in, int64_t out, int kernel, tp_conv2d_opts o);
/* The same over (N, C, L), weight (out, in / groups, kernel). */
tp_module *tp_nn_conv1d(int64_t in, int64_t out, int kernel, tp_conv2d_opts o);
/* weight (in, out / groups, kernel, kernel), bias (out): uniform within 1 / sqrt(fan in), which
 * PyTorch counts on the second axis here too: out / groups times the kernel's size */
tp_module *tp_nn_conv_transpose2d(int64_t in, int64_t out, int kernel, tp_conv2d_opts o);
tp_module *tp_nn_conv_transpose1d(int64_t in, int64_t out, int kernel, tp_conv2d_opts o);

/* ---- normalization; weights stay f32 under bf16 ---- */

/* weight 1, bias 0 (channels); running_mean 0, running_var 1, moved in training;
 * num_batches_tracked.  eps 1e-5, momentum 0.1. */
tp_module *tp_nn_batch_norm(int64_t channels);
tp_module *tp_nn_batch_norm_with(int64_t channels, tp_batch_norm_opts o);

typedef struct tp_norm_layer_opts {
    double eps;     /* below 0, as tp_norm_layer_defaults(): 1e-5, of rms_norm that of x's dtype */
    bool no_affine; /* neither weight nor bias */
    bool no_bias;
    bool filled;
} tp_norm_layer_opts;
tp_norm_layer_opts tp_norm_layer_defaults(void); /* weight and bias */

/* weight 1, bias 0, both of shape `shape`; eps 1e-5 */
tp_module *tp_nn_layer_norm(tp_shape shape);
tp_module *tp_nn_layer_norm_with(tp_shape shape, tp_norm_layer_opts o);
/* weight 1, bias 0 (channels); groups divide channels; eps 1e-5 */
tp_module *tp_nn_group_norm(int64_t groups, int64_t channels);
tp_module *tp_nn_group_norm_with(int64_t groups, int64_t channels, tp_norm_layer_opts o);
/* weight 1 of shape `shape`, never a bias; eps that of x's dtype */
tp_module *tp_nn_rms_norm(tp_shape shape);
tp_module *tp_nn_rms_norm_with(tp_shape shape, tp_norm_layer_opts o);

typedef struct tp_instance_norm_opts {
    double eps, momentum; /* tp_instance_norm_defaults(): 1e-5, 0.1 */
    bool affine;          /* weight 1, bias 0 (channels); off in the defaults */
    /* running_mean 0, running_var 1, moved in training by the mean over the samples and used
     * otherwise; num_batches_tracked, which stays 0 as PyTorch's.  Off in the defaults */
    bool track_running_stats;
    bool filled;
} tp_instance_norm_opts;
tp_instance_norm_opts tp_instance_norm_defaults(void); /* PyTorch's */
/* (N, channels, ...): each channel of each sample by itself */
tp_module *tp_nn_instance_norm(int64_t channels);
tp_module *tp_nn_instance_norm_with(int64_t channels, tp_instance_norm_opts o);

/* ---- activations; the numbers as the ops of these names have them ---- */

tp_module *tp_nn_relu(void);      /* max(0, x) */
tp_module *tp_nn_relu6(void);     /* min(max(0, x), 6) */
tp_module *tp_nn_tanh(void);      /* (e^x - e^-x) / (e^x + e^-x) */
tp_module *tp_nn_sigmoid(void);   /* 1 / (1 + e^-x) */
tp_module *tp_nn_gelu(void);      /* x Phi(x) */
tp_module *tp_nn_gelu_tanh(void); /* PyTorch's approximate="tanh" */
tp_module *tp_nn_silu(void);        /* x sigmoid(x) */
tp_module *tp_nn_mish(void);        /* x tanh(log(1 + e^x)) */
tp_module *tp_nn_selu(void);        /* 1.0507 elu(x, 1.6733) */
tp_module *tp_nn_log_sigmoid(void); /* log(1 / (1 + e^-x)) */
tp_module *tp_nn_softsign(void);    /* x / (1 + |x|) */
tp_module *tp_nn_tanhshrink(void);  /* x - tanh x */
tp_module *tp_nn_hardsigmoid(void); /* min(max(x + 3, 0), 6) / 6 */
tp_module *tp_nn_hardswish(void);   /* x hardsigmoid(x) */
tp_module *tp_nn_leaky_relu(double negative_slope);               /* torch's 0.01 */
tp_module *tp_nn_elu(double alpha);                               /* torch's 1 */
tp_module *tp_nn_celu(double alpha);                              /* torch's 1; not 0 */
tp_module *tp_nn_softplus(double beta, double threshold);         /* torch's 1, 20; beta not 0 */
tp_module *tp_nn_softshrink(double lambda);                       /* torch's 0.5; not below 0 */
tp_module *tp_nn_hardshrink(double lambda);                       /* torch's 0.5 */
tp_module *tp_nn_hardtanh(double lo, double hi);                  /* torch's -1, 1; lo <= hi */
tp_module *tp_nn_threshold(double threshold, double value); /* x where x > threshold, else value */
/* weight (n): 1, or one for each channel; a = torch's 0.25 at first */
tp_module *tp_nn_prelu(int64_t n, double a);
tp_module *tp_nn_glu(int axis); /* torch's -1 */
tp_module *tp_nn_softmax(int axis);     /* e^x / sum e^x */
tp_module *tp_nn_log_softmax(int axis); /* its logarithm */

/* ---- dropping and passing ---- */

/* In training; nothing otherwise.  p is torch's 0.5. */
tp_module *tp_nn_dropout(double p);
tp_module *tp_nn_dropout2d(double p);     /* whole channels of (N, C, ...) */
tp_module *tp_nn_alpha_dropout(double p); /* for selu */
tp_module *tp_nn_identity(void);    /* x itself */

/* ---- pooling ---- */

/* The largest, or the mean, of windows of (N, C, H, W) or (N, C, L); stride = kernel, or o's. */
tp_module *tp_nn_max_pool2d(int kernel);
tp_module *tp_nn_max_pool2d_with(int kernel, tp_pool2d_opts o);
tp_module *tp_nn_avg_pool2d(int kernel);
tp_module *tp_nn_avg_pool2d_with(int kernel, tp_pool2d_opts o);
tp_module *tp_nn_max_pool1d(int kernel);
tp_module *tp_nn_max_pool1d_with(int kernel, tp_pool2d_opts o);
tp_module *tp_nn_avg_pool1d(int kernel);
tp_module *tp_nn_avg_pool1d_with(int kernel, tp_pool2d_opts o);

/* Of h by w parts of the map, or of all of it: (N, C, h, w), or (N, C, 1, 1). */
tp_module *tp_nn_adaptive_avg_pool2d(int64_t h, int64_t w);
tp_module *tp_nn_adaptive_max_pool2d(int64_t h, int64_t w);
tp_module *tp_nn_global_avg_pool2d(void);
tp_module *tp_nn_global_max_pool2d(void);

/* ---- places and shapes ---- */

tp_module *tp_nn_upsample(tp_interpolate_opts o); /* (N, C, H, W) -> (N, C, h, w) */
tp_module *tp_nn_pixel_shuffle(int64_t r);   /* (N, C r r, H, W) -> (N, C, H r, W r) */
tp_module *tp_nn_pixel_unshuffle(int64_t r); /* and back */
/* PyTorch's ConstantPad, ReflectionPad, ReplicationPad and CircularPad, for any number of axes */
tp_module *tp_nn_pad(tp_shape pads, tp_pad_opts o);
tp_module *tp_nn_flatten(void); /* (N, ...) -> (N, all the rest) */
tp_module *tp_nn_unflatten(int axis, tp_shape sizes); /* one axis becomes several; one may be -1 */

/* ---- recurrence ---- */

typedef struct tp_lstm_opts {
    int layers; /* 0: 1 */
    double dropout; /* between layers, in training */
    bool batch_first, bidirectional, no_bias;
    bool relu; /* of rnn, instead of tanh */
} tp_lstm_opts;
/* weight_ih_l0 (4H, in), weight_hh_l0 (4H, H), bias_ih_l0, bias_hh_l0 (4H), ..._l1, and
 * ..._l0_reverse: uniform within 1 / sqrt(H).  As a one-to-one layer it gives y alone. */
tp_module *tp_nn_lstm(int64_t in, int64_t hidden, tp_lstm_opts o);
/* x (T, N, in), or (N, T, in) with batch_first.  h, c (layers * directions, N, H) or NULL.
 * y (T, N, H * directions), h and c as given. */
tp_lstm_out tp_nn_lstm_forward(tp_module *m, tp_tensor *x, tp_tensor *h, tp_tensor *c);
/* Sequences of these lengths, integers (N) from 1 to T; NULL: all T.  Beyond its length y is 0; h
 * and c are those at it. */
tp_lstm_out tp_nn_lstm_lengths(tp_module *m, tp_tensor *x, tp_tensor *lengths, tp_tensor *h,
                               tp_tensor *c);
/* The same of GRU, with 3H for 4H, and of plain cells, with H. */
tp_module *tp_nn_gru(int64_t in, int64_t hidden, tp_lstm_opts o);
tp_module *tp_nn_rnn(int64_t in, int64_t hidden, tp_lstm_opts o);
/* Of either; lengths and h may be NULL. */
tp_recurrent_out tp_nn_recurrent_forward(tp_module *m, tp_tensor *x, tp_tensor *lengths,
                                         tp_tensor *h);

/* ---- containers: they own what they are given, also after a failure ---- */

/* Its layers are its children "0", "1", ...; each takes what the one before gives. */
tp_module *tp_nn_sequential(tp_module **layers, int n);
/* y = x + body(x) (He et al. 2015), or shortcut(x) + body(x); children "body" and "shortcut", which
 * may be NULL.  The two have one shape. */
tp_module *tp_nn_residual(tp_module *body, tp_module *shortcut);
/* Children "0", "1", ... that the program runs itself; no forward. */
tp_module *tp_nn_list(tp_module **modules, int n);
/* One more layer of a sequential or a list, by the next number; gives it. */
tp_module *tp_nn_append(tp_module *m, tp_module *layer);
/* Children by these names, which the program runs itself (tp_nn_get); no forward. */
tp_module *tp_nn_dict(const char *const *names, tp_module **modules, int n);

/* A C function as a layer: y = fn(x, user).  It gives a tensor, lent by it or x itself, or NULL
 * after tp_fail.  user stays the caller's and must outlive the layer and its clones. */
typedef tp_tensor *tp_nn_lambda_fn(tp_tensor *x, void *user);
tp_module *tp_nn_lambda(const char *kind, tp_nn_lambda_fn *fn, void *user);

TP_API_END

#endif
