/*
 * op.h - what the author of an op needs.  Not for users of ops.
 *
 * Forward: check the inputs, make the output, run kernels into it, tp__record.
 *
 * Backward: written once, in ops.  tp__dy and tp__saved give tensors, other ops make new
 * ones of them, tp__give hands each input its gradient.  Ops that exist for this alone
 * are named after what they compute, tanh_dx; they are ops like others: recorded while
 * the caller wants a graph of the gradient, and then differentiated by their own
 * backward.
 *
 * Neither looks at a status on the way: what fails records its error, from then on every
 * op refuses and gives NULL, NULL passes through, and the pass ends.
 */
#ifndef TP_AUTOGRAD_OP_H
#define TP_AUTOGRAD_OP_H

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/internal.h"

typedef struct tp_node tp_node; /* a recorded call */

/* How a view lies in its base: strides, and an offset in elements. */
typedef struct tp_look {
    int64_t stride[TP_MAX_AXES], offset;
} tp_look;

typedef struct tp_op {
    const char *name;
    void (*backward)(tp_node *n); /* NULL: not differentiable, an error that says so */
    /* Only where output k is a view of input 0: how the same view of a tensor with this shape
     * and these strides lies in it; false when it can't be viewed so.  It lets the gradient of
     * a view be written into that of its base. */
    bool (*view)(const tp_node *n, int k, const tp_shape *base, const int64_t *stride,
                 tp_look *look);
} tp_op;

/* ---- forward ---- */

/* Remembers y = op(in) if a gradient may be wanted, and gives y; NULL when y is NULL or
 * memory is out.  Entries of `in` may be NULL (absent).  `saved` is kept for backward,
 * without its history, so an output may be saved; attr is copied.  tp__record_all:
 * several outputs. */
tp_tensor *tp__record(const tp_op *op, tp_list in, tp_tensor *y, tp_list saved,
                      const void *attr, size_t bytes);
bool tp__record_all(const tp_op *op, tp_list in, tp_list out, tp_list saved,
                    const void *attr, size_t bytes);
#define TP_NONE_SAVED ((tp_list){ 0 })
/* Will a call with these inputs be recorded?  Then it is worth keeping what backward needs. */
bool tp__will_record(tp_list in);

/* a and b in the dtype where PyTorch's result_type lets them meet: themselves or recorded
 * casts.  false and an error when one is missing or they are on different devices. */
bool tp__meet(const char *where, tp_tensor **a, tp_tensor **b);
/* x in the autocast dtype while autocast is on and x is a float but f64; else x.  A leaf's cast is
 * made once in a region. */
tp_tensor *tp__autocast(tp_tensor *x);
/* The other way, for losses and prod: x in f32 while autocast is on and x is narrower; else x. */
tp_tensor *tp__autocast_loss(tp_tensor *x);
/* What runs in f32 on a GPU: x in f32 while autocast is on there, or to f16, and x is narrower; else x. */
tp_tensor *tp__autocast_wide(tp_tensor *x);

/* A leaf's gradient itself, not a handle of the caller's; NULL when nothing has arrived. */
tp_tensor *tp__grad_peek(const tp_tensor *t);

bool tp__is_leaf(const tp_tensor *t);

/* tp_checkpoint whose user data is freed with the graph, also after a failure. */
int tp__checkpoint(tp_multi_fn *f, tp_list in, void *user, void (*done)(void *user), tp_tensor **out,
                   int room);

/* ---- backward ---- */

/* Does anybody want the gradient of input i?  Ask before computing one of several. */
bool tp__wants(const tp_node *n, int i);

tp_shape tp__in_shape(const tp_node *n, int i);
int tp__inputs(const tp_node *n);
int tp__outputs(const tp_node *n);
const void *tp__attr(const tp_node *n);
bool tp__recording(void);

/* The gradient of output k.  NULL means zero: an output that nobody used. */
tp_tensor *tp__dy(tp_node *n, int k);

/* The call whose only output input i is, or a view of it, if n alone gives to it in this pass and
 * nobody else looks at its gradient; else NULL.  A kernel of n's may then do part of that call's
 * work, and tells: the gradient it finds is of what its activation was applied to. */
tp_node *tp__maker(const tp_node *n, int i);
const tp_op *tp__op(const tp_node *n);
void tp__tell_past(tp_node *n);
bool tp__is_past(const tp_node *n);

/* Saved tensor i, an input or an output of n: a second derivative flows through it.  For
 * any other, tp__saved refuses while a graph is wanted, since its history is lost;
 * tp__saved_constant is for a derivative op that gets what it was made from as well. */
tp_tensor *tp__saved(tp_node *n, int i);
tp_tensor *tp__saved_constant(tp_node *n, int i);

/* Adds dx to the gradient of input i.  The first to arrive is shared, not copied; it is
 * copied only when something is added to it. */
void tp__give(tp_node *n, int i, tp_tensor *dx);

/* ---- derivative ops that accumulate ----
 * Their first argument says where the result should go.
 *     tp__give(n, X, f_dx(tp__sink(n, X), dy))   the kernel adds to x's gradient itself
 *                                                and leaves nothing for tp__give to do
 *     f_dx(TP_FRESH, dy)                         a new tensor
 * The sink of a view is that part of its base's gradient.  Under create_graph every sink
 * is fresh, and tp__give adds by a recorded op: one text serves both. */
typedef struct tp_sink {
    tp_node *node;
    int input;
} tp_sink;
#define TP_FRESH ((tp_sink){ 0 })

static inline tp_sink tp__sink(tp_node *n, int i)
{
    return (tp_sink){ n, i };
}

/* The place itself, and whether the kernel must add to what it holds.  Asked for last, right
 * before the kernel. */
typedef struct tp_place {
    tp_tensor *t; /* NULL: no memory, or an error is pending */
    bool add;
} tp_place;
/* What the kernel can write: any strides (a fresh tensor then gets layout `as`), or only a
 * dense tensor of that layout. */
typedef enum tp_want { TP_ANY_STRIDES, TP_DENSE_ONLY } tp_want;
tp_place tp__place(tp_sink to, tp_shape s, const tp_tensor *like, tp_layout as, tp_want want);

/* ---- ops for backwards and for other ops ---- */
tp_tensor *tp__reduced(tp_tensor *each, tp_reduce how); /* a loss per element: mean, sum, or as it is */
bool tp__label_opts_ok(const char *where, const tp_tensor *x, tp_cross_entropy_opts o);
tp_tensor *tp__cross_entropy_labels(tp_tensor *x, tp_tensor *y, tp_cross_entropy_opts o);
tp_tensor *tp__cross_entropy_probable(tp_tensor *x, tp_tensor *t, tp_cross_entropy_opts o);
tp_tensor *tp__dense_of(tp_tensor *x, tp_layout layout); /* x itself, or a recorded copy */
static inline tp_tensor *tp__rows(tp_tensor *x)
{
    return tp__dense_of(x, TP_ROW_MAJOR);
}
tp_tensor *tp__expand(tp_tensor *x, tp_shape s); /* a view, by stride 0; x when it has shape s */
tp_tensor *tp__sum_to(tp_sink to, tp_tensor *x, tp_shape s); /* x when already of shape s */
tp_tensor *tp__mul(tp_sink to, tp_tensor *a, tp_tensor *b);
tp_tensor *tp__affine(tp_sink to, tp_tensor *x, double a, double b);
tp_tensor *tp__activation_dx(tp_sink to, tp_activation act, tp_tensor *dy, tp_tensor *x,
                             tp_tensor *y);
/* Along an axis from the front; its derivative is of y, the result. */
tp_tensor *tp__softmax(tp_tensor *x, int axis, tp_softmax_kind kind);
tp_tensor *tp__softmax_dx(tp_sink to, tp_tensor *dy, tp_tensor *y, int axis, tp_softmax_kind kind);
/* {key, offset} of a draw of n numbers, on the device; and dropout by what it holds. */
tp_tensor *tp__draw_state(tp_device *dev, int64_t n);
/* Can the larger and smaller along axis be found?  *a: the axis from the front. */
bool tp__has_places(const char *where, tp_tensor *x, int axis, int *a);
tp_tensor *tp__embedding(const char *where, tp_tensor *index, tp_tensor *w); /* index i64 */
tp_tensor *tp__dropout(tp_sink to, tp_tensor *x, tp_tensor *state, double p);
/* y[i] = op(a[i]) op(b[i]) for (batch, m, k) and (batch, k, n), or without batch */
tp_tensor *tp__gemm(tp_sink to, tp_tensor *a, bool ta, tp_tensor *b, bool tb);

#endif
