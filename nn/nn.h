/*
 * nn.h - layers: parameters plus a forward.
 *
 * A module is made: free its root once.  It owns the children that it was given, also when the
 * call that took them failed.  Layers are described first and drawn by tp_nn_init.
 */
#ifndef TP_NN_H
#define TP_NN_H

#include "autograd/ops.h"

TP_API_BEGIN

typedef struct tp_module tp_module;

/* ---- layers; defaults, names and initialization are PyTorch's ---- */

/* y = x weight' + bias.  weight (out, in), bias (out): uniform within 1 / sqrt(in) */
tp_module *tp_nn_linear(int64_t in, int64_t out);
typedef struct tp_linear_layer_opts {
    tp_activation activation; /* fused into the product */
    bool no_bias;
} tp_linear_layer_opts;
tp_module *tp_nn_linear_with(int64_t in, int64_t out, tp_linear_layer_opts o);
/* weight (out, in / groups, kernel, kernel), bias (out): uniform within 1 / sqrt(fan in) */
tp_module *tp_nn_conv2d(int64_t in, int64_t out, int kernel, tp_conv2d_opts o);
tp_module *tp_nn_max_pool2d(int kernel); /* stride = kernel */
tp_module *tp_nn_max_pool2d_with(int kernel, tp_pool2d_opts o);
tp_module *tp_nn_global_avg_pool2d(void);
tp_module *tp_nn_flatten(void); /* (N, ...) -> (N, all the rest) */
tp_module *tp_nn_relu(void);
tp_module *tp_nn_gelu(void);
tp_module *tp_nn_tanh(void);
tp_module *tp_nn_sigmoid(void);
tp_module *tp_nn_dropout(double p); /* in training; nothing otherwise */
/* weight 1, bias 0 (channels); running_mean 0, running_var 1, moved in training;
 * num_batches_tracked.  eps 1e-5, momentum 0.1. */
tp_module *tp_nn_batch_norm(int64_t channels);
tp_module *tp_nn_batch_norm_with(int64_t channels, tp_batch_norm_opts o);
tp_module *tp_nn_layer_norm(tp_shape shape); /* weight 1, bias 0; eps 1e-5 */
tp_module *tp_nn_embedding(int64_t rows, int64_t cols); /* weight normal */
tp_module *tp_nn_embedding_with(int64_t rows, int64_t cols, tp_embedding_opts o);

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

/* Its layers are its children "0", "1", ...; each takes what the one before gives. */
tp_module *tp_nn_sequential(tp_module **layers, int n);

/* ---- modules of one's own ---- */

/* Gives up to `room` outputs and returns how many, or -1. */
typedef int tp_nn_fn(void *self, tp_list in, tp_tensor **out, int room);

tp_module *tp_nn_container(const char *kind); /* children and parameters, no forward */
/* release(self) when the module is freed, also after a failure here; both may be NULL, then
 * forward is given the module itself. */
tp_module *tp_nn_from(const char *kind, void *self, tp_nn_fn *forward, void (*release)(void *self));
tp_module *tp_nn_add(tp_module *parent, const char *name, tp_module *child); /* returns child */

typedef enum tp_init_kind { TP_INIT_CONSTANT, TP_INIT_UNIFORM, TP_INIT_NORMAL } tp_init_kind;
typedef struct tp_init {
    tp_init_kind kind;
    double a, b; /* the constant; from a to b; mean a and deviation b */
} tp_init;
/* A parameter of m, drawn by tp_nn_init. */
bool tp_nn_param(tp_module *m, const char *name, tp_shape s, tp_init init);
/* Saved with the parameters but not trained; dtype i64 or a float. */
bool tp_nn_buffer(tp_module *m, const char *name, tp_shape s, tp_dtype d, double value);

/* ---- the tree ---- */

tp_module *tp_nn_get(tp_module *m, const char *path);     /* "layer1.0.conv1"; "" is m itself */
tp_tensor *tp_nn_tensor(tp_module *m, const char *path);  /* the module's own, not lent */
/* The parameter or buffer becomes t itself, kept: for tied weights.  t is a dense leaf of its
 * shape; a parameter that isn't frozen makes it require a gradient.  An optimizer that holds
 * the tensor before it refuses from then on: make it after tp_nn_set and tp_nn_replace. */
bool tp_nn_set(tp_module *m, const char *path, tp_tensor *t);
/* Puts `with` where path was, which is freed; gives `with`, NULL after a failure. */
tp_module *tp_nn_replace(tp_module *m, const char *path, tp_module *with);
int64_t tp_nn_count(const tp_module *m); /* elements of all parameters */
int64_t tp_nn_count_trained(const tp_module *m); /* elements of those that aren't frozen */
const char *tp_nn_kind(const tp_module *m);
void tp_nn_free(tp_module *m);

/* Draws what isn't there yet, in order, on the host, and puts all of it on dev; gives m.  Make
 * optimizers after it: their state stays where the parameters were. */
tp_module *tp_nn_init(tp_module *m, tp_device *dev);
/* Float parameters and buffers, f32 at first; those of norms stay f32 under bf16.  Each stays the
 * same tp_tensor, as PyTorch's Parameters do: what tp_nn_tensor gave, tied weights and optimizers
 * (whose state follows) go on with it.  Gradients and hooks of the leaves are dropped. */
bool tp_nn_cast(tp_module *m, tp_dtype d);

/* ---- running ---- */

/* Runs m: up to `room` outputs, gives how many, or -1.  tp_nn_forward is for one of each. */
int tp_nn_apply(tp_module *m, tp_list in, tp_tensor **out, int room);
tp_tensor *tp_nn_forward(tp_module *m, tp_tensor *x);
tp_tensor *tp_nn_predict(tp_module *m, tp_tensor *x); /* eval and no-grad, both restored */
/* As tp_checkpoint, with the train and eval modes of the tree restored for the second run. */
int tp_nn_checkpoint(tp_module *m, tp_list in, tp_tensor **out, int room);
/* Called after each forward of m with its outputs. */
typedef void tp_nn_hook_fn(tp_module *m, tp_list in, tp_list out, void *user);
bool tp_nn_add_hook(tp_module *m, tp_nn_hook_fn *f, void *user);

/* ---- by name: patterns as a shell's, "*" is all; no match is an error ---- */

typedef struct tp_params {
    tp_module *m;
    const char *glob;
} tp_params;
tp_params tp_nn_params(tp_module *m, const char *glob);
/* Calls f for each parameter, and each buffer if asked; returns how many, or -1. */
typedef bool tp_nn_each_fn(void *user, const char *name, tp_tensor **t);
int tp_nn_each(tp_params p, bool buffers, tp_nn_each_fn *f, void *user);
int tp_nn_train(tp_module *m, const char *glob, bool on); /* modules; how many, or -1 */
bool tp_nn_training(const tp_module *m);
int tp_nn_freeze(tp_module *m, const char *glob, bool on); /* parameters: no gradient */

/* ---- copies and files ---- */

bool tp_nn_copy(tp_module *to, tp_module *from); /* values, by name */
tp_module *tp_nn_clone(tp_module *m);            /* not of modules made with a self */

typedef struct tp_load_report {
    int loaded, missing, unexpected, misshaped;
    char text[2048]; /* a line each, as a table */
} tp_load_report;
typedef struct tp_load_opts {
    const char *skip;         /* names that are left alone, as a pattern */
    const char *only;         /* names that aren't left alone; NULL: all */
    const char *strip_prefix; /* taken off the file's names: "module." */
    bool partial;             /* load what fits instead of nothing */
    tp_load_report *report;
} tp_load_opts;
/* From a safetensors file.  Strict: a missing, unexpected or mis-shaped tensor refuses all, and
 * the error tells which. */
bool tp_nn_load(tp_module *m, const char *path, tp_load_opts o) __attribute__((warn_unused_result));
bool tp_nn_save(tp_module *m, const char *path) __attribute__((warn_unused_result));
typedef struct tp_save_opts {
    const char *skip, *only; /* patterns, as of loading */
} tp_save_opts;
/* Some of them: with these patterns no name left is an error. */
bool tp_nn_save_with(tp_module *m, const char *path, tp_save_opts o) __attribute__((warn_unused_result));

TP_API_END

#endif
