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

typedef struct tp_ctc_opts {
    int64_t blank;
    tp_reduce reduction;
    bool zero_infinity; /* a sample whose labels don't fit its times counts 0, not infinity */
} tp_ctc_opts;
/* Connectionist temporal classification (Graves et al. 2006): -log of what all paths that read as
 * the labels have together.
 *   log_probs (T, N, C), after log_softmax; labels (N, S); input_lengths, target_lengths (N)
 *   -> () or, unreduced, (N).  Integers are i64, i32 or u8.
 * The mean is over samples, each divided by its number of labels (at least 1), as PyTorch's.  The
 * gradient is that of log_probs themselves: PyTorch's leaves out what log_softmax cancels.  Once. */
tp_tensor *tp_ctc_loss(tp_tensor *log_probs, tp_tensor *labels, tp_tensor *input_lengths,
                       tp_tensor *target_lengths, tp_ctc_opts o);

TP_API_END

#endif
