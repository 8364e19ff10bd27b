/*
 * ops_loss.h - losses.  Read autograd/ops.h first.
 */
#ifndef TP_AUTOGRAD_OPS_LOSS_H
#define TP_AUTOGRAD_OPS_LOSS_H

#include "tensor/tensor.h"

TP_API_BEGIN

/* ---- losses: floats; twice ---- */
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
