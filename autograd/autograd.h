/*
 * autograd.h - gradients: reverse mode, once or several times.
 */
#ifndef TP_AUTOGRAD_H
#define TP_AUTOGRAD_H

#include "tensor/tensor.h"

TP_API_BEGIN

/* ---- leaves and their gradients ---- */

/* Makes t a leaf whose gradient is gathered, or plain again; gives t.  Only for a float tensor
 * that is no op's result. */
tp_tensor *tp_requires_grad(tp_tensor *t, bool on);
bool tp_needs_grad(const tp_tensor *t); /* a leaf, or made from one */
/* What backward has gathered for a leaf: lent, dense, in t's layout, without history.  NULL
 * without an error when nothing has arrived. */
tp_tensor *tp_grad(tp_tensor *t);
/* Drops it; where a captured step writes it, sets it to 0. */
bool tp_zero_grad(tp_tensor *t);

/* ---- backward ---- */

typedef struct tp_backward_opts {
    bool retain_graph;      /* what the graph saved is kept for another backward */
    tp_tensor *grad_output; /* of loss's shape; NULL: 1, for a loss of one element */
} tp_backward_opts;

/* Adds the gradient of loss to every leaf it was made from.  It is never itself recorded.
 * When it fails, no leaf is left with half a sum: nothing has changed, or, if it failed on the
 * way (memory, a hook, a user's op, anomaly), the leaves that it reaches have none. */
bool tp_backward(tp_tensor *loss);
bool tp_backward_with(tp_tensor *loss, tp_backward_opts o);

typedef struct tp_grad_opts {
    bool create_graph; /* the gradient can itself be differentiated; implies retain_graph */
    bool retain_graph;
    bool allow_unused; /* NULL for an x that y doesn't depend on, instead of an error */
    tp_tensor *grad_output;
} tp_grad_opts;

/* The gradient of y in x, leaving every .grad alone and computing nothing else.  x: a leaf, or
 * a result on the way.  Lent. */
tp_tensor *tp_grad_of(tp_tensor *y, tp_tensor *x, tp_grad_opts o);
/* Of the sum of ys in each of xs, into out[xs.n].  grad_output is for the first of ys. */
bool tp_grads_of(tp_list ys, tp_list xs, tp_tensor **out, tp_grad_opts o);

/* ---- modes of this thread, as declarations at the top of a block ---- */

/* The environment variable TP_ANOMALY, when it is neither empty nor 0 at its first use, turns anomaly
 * mode on in every thread; tp_anomaly_begin(false) still turns it off for a block. */

typedef struct tp_mode {
    unsigned char what, old;
} tp_mode;

#define TP__MODE(begin)                                                                  \
    tp_mode TP__CAT(tp__mode, __COUNTER__)                                                  \
        __attribute__((cleanup(tp__mode_close), unused)) = begin
#define TP_NO_GRAD         TP__MODE(tp_grad_begin(false)) /* nothing is recorded */
#define TP_WITH_GRAD       TP__MODE(tp_grad_begin(true))  /* recorded again, inside TP_NO_GRAD */
/* As torch.autocast("cpu"): products (linear, matmul, einsum, convolutions, attention, recurrent
 * layers) take narrower or f32 operands in dtype and give it; losses and prod take theirs in f32 (cross
 * entropy of labels reads them as they are, its sums are f32); all other ops run in what they are
 * given.  On a GPU as torch.autocast("cuda"): exp, expm1, log, log1p, pow, reciprocal, rsqrt, softplus, softmax, log_softmax, logsumexp, sum, mean, norm, var, cumsum,
 * cumprod and layer, group and rms norms take theirs in f32 too.  f16 is for GPUs alone, and its
 * gradients want a scaler (optim/optim.h).  A parameter is cast once in the outermost region, and again after
 * tp_copy_, tp_fill_ or an optimizer's step; what is written through tp_f32 isn't seen. */
#define TP_AUTOCAST(dtype) TP__MODE(tp_autocast_begin(dtype))
#define TP_ANOMALY         TP__MODE(tp_anomaly_begin(true))   /* the first NaN is an error */

/* The same without the cleanup attribute: end each, the last begun first. */
tp_mode tp_grad_begin(bool on);
tp_mode tp_autocast_begin(tp_dtype d); /* TP_BF16 or TP_F16; TP_F32 turns it off */
tp_mode tp_anomaly_begin(bool on);
void tp_mode_end(tp_mode m); /* as it was before m began */
void tp__mode_close(tp_mode *m);

bool tp_grad_enabled(void); /* ops are recorded */

/* ---- in place: never recorded; refused where a gradient would be wrong ---- */

bool tp_fill_(tp_tensor *t, double v);         /* v everywhere */
bool tp_copy_(tp_tensor *to, tp_tensor *from); /* from broadcasts, and is cast */

/* ---- hooks ---- */

/* Called with the gradient of t when all of it has arrived; gives another in its place, or
 * NULL to keep it.  Hooks live as long as t's graph; they run in the order added. */
typedef tp_tensor *tp_hook_fn(tp_tensor *grad, void *user);
bool tp_add_hook(tp_tensor *t, tp_hook_fn *f, void *user);
/* Called when the gradient of leaf t has been added to tp_grad(t), during backward. */
typedef void tp_leaf_hook_fn(tp_tensor *leaf_grad, void *user);
bool tp_add_leaf_hook(tp_tensor *t, tp_leaf_hook_fn *f, void *user);

/* ---- checkpointing (Chen et al. 2016): f again instead of keeping what it saved ---- */

/* Gives up to `room` outputs and returns how many, or -1. */
typedef int tp_multi_fn(tp_list in, void *user, tp_tensor **out, int room);
/* out = f(in): what ops inside would save is computed again when backward first asks.  The
 * second run sees the same random numbers and modes, and moves no buffers and no hooks.
 * user must stay valid until the graph is gone. */
int tp_checkpoint(tp_multi_fn *f, tp_list in, void *user, tp_tensor **out, int room);
bool tp_recomputing(void); /* this is a second run: leave buffers of one's own alone */

/* ---- ops of one's own ---- */

enum { TP_CALL_SAVED = 8 };

/* One call of a user's op, in forward and in backward. */
typedef struct tp_call {
    tp_list in;                      /* in backward too */
    tp_tensor *out[TP_CALL_SAVED];   /* forward sets them; in backward as they were */
    tp_tensor *saved[TP_CALL_SAVED]; /* forward sets what backward will need */
    int n_out;                       /* forward sets it; 1 at first */
    const void *opts;
} tp_call;

/* It must live as long as what it made: make it static. */
typedef struct tp_user_op {
    const char *name;
    bool (*forward)(tp_call *c); /* runs without recording */
    /* dx[i] is the gradient of input i, or NULL for zero; dy[k] NULL means zero.  Written in
     * ops, it can be differentiated in its turn. */
    bool (*backward)(tp_call *c, tp_tensor *const *dy, tp_tensor **dx);
} tp_user_op;

/* Runs op and records it.  opts are copied.  out[0..] receives the outputs; gives their number
 * or -1.  tp_apply is for one output. */
int tp_apply_all(const tp_user_op *op, tp_list in, const void *opts, size_t opts_bytes,
                 tp_tensor **out, int room);
tp_tensor *tp_apply(const tp_user_op *op, tp_list in, const void *opts, size_t opts_bytes);

/* ---- checking ---- */

/* Where a gradient differs most from the finite difference. */
typedef struct tp_gradcheck_report {
    double worst;   /* relative to the largest gradient, or to 1 */
    char where[64]; /* "input 1 element 7" */
} tp_gradcheck_report;
/* What is checked: one float output, the same for the same inputs. */
typedef tp_tensor *tp_function(tp_list in, void *user);

/* Finite differences against backward, for each input that requires a gradient: dense f64 on
 * any device.  True if the worst error is at most 1e-6.  The second checks the gradient's own
 * gradient. */
bool tp_gradcheck(tp_function *f, tp_list in, void *user, tp_gradcheck_report *r);
bool tp_gradgradcheck(tp_function *f, tp_list in, void *user, tp_gradcheck_report *r);

TP_API_END

#endif
