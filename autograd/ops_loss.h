/*
 * ops_loss.h - losses.  Read autograd/ops.h first.
 */
#ifndef TP_AUTOGRAD_OPS_LOSS_H
#define TP_AUTOGRAD_OPS_LOSS_H

#include "tensor/tensor.h"

TP_API_BEGIN

/* ---- losses: floats; twice ---- */
/* What becomes of the losses of single elements: their mean, their sum, or as they are. */
typedef enum tp_reduce { TP_MEAN, TP_SUM, TP_NONE } tp_reduce;
/* Of losses without other options. */
typedef struct tp_loss_opts {
    tp_reduce reduction;
} tp_loss_opts;

typedef struct tp_bce_opts {
    tp_reduce reduction;
    tp_tensor *weight;     /* of each element, a constant that broadcasts to x; NULL: 1 */
    tp_tensor *pos_weight; /* p of -p t log sigmoid(x), of each class (C) as a rule, likewise */
} tp_bce_opts;
/* -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), without overflow; shapes equal.  The mean is over
 * all elements, whatever they weigh. */
tp_tensor *tp_bce_with_logits(tp_tensor *x, tp_tensor *t);
tp_tensor *tp_bce_with_logits_with(tp_tensor *x, tp_tensor *t, tp_bce_opts o);

typedef struct tp_cross_entropy_opts {
    int64_t ignore_index;   /* tp_cross_entropy_defaults(): -100 */
    tp_reduce reduction;
    tp_tensor *weight;      /* of each class (C), a constant; NULL: 1 */
    double label_smoothing; /* e: a label becomes 1 - e of itself and e / C of each class */
    bool filled;
} tp_cross_entropy_opts;
tp_cross_entropy_opts tp_cross_entropy_defaults(void); /* PyTorch's: the mean, unweighted */
/* Softmax over the classes, then the negative log-likelihood of the labels.
 *   x (N, C) logits, y (N) labels of i64, i32 or u8, or float probabilities (N, C)
 *   -> () or, unreduced, (N).   x (N, C, ...) with y (N, ...) or (N, C, ...) -> (N, ...)
 * Rows labelled ignore_index count for nothing; any other label outside 0..C-1 is an error.
 * The mean is over rows, weighted by the weights of their labels; NaN when every row is ignored.
 * Of bf16 logits the loss is f32. */
tp_tensor *tp_cross_entropy(tp_tensor *x, tp_tensor *y);
tp_tensor *tp_cross_entropy_with(tp_tensor *x, tp_tensor *y, tp_cross_entropy_opts o);
/* -log_probs at the label: cross-entropy after tp_log_softmax.  (N, C), (N); no smoothing. */
tp_tensor *tp_nll_loss(tp_tensor *log_probs, tp_tensor *labels, tp_cross_entropy_opts o);

tp_tensor *tp_mse(tp_tensor *x, tp_tensor *t);                      /* the mean of (x - t)^2 */
tp_tensor *tp_mse_loss(tp_tensor *x, tp_tensor *t, tp_loss_opts o); /* (x - t)^2; shapes equal, as below */
tp_tensor *tp_l1_loss(tp_tensor *x, tp_tensor *t, tp_loss_opts o);  /* |x - t| */
/* d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), d = x - t (Huber 1964); torch's delta 1 */
tp_tensor *tp_huber_loss(tp_tensor *x, tp_tensor *t, double delta, tp_loss_opts o);
/* huber / beta; |x - t| for beta 0; torch's beta 1 (Girshick 2015) */
tp_tensor *tp_smooth_l1_loss(tp_tensor *x, tp_tensor *t, double beta, tp_loss_opts o);
/* -t log p - (1 - t) log(1 - p) of probabilities p, each logarithm at least -100; where it is that
 * the gradient is 0 (PyTorch's is large).  tp_bce_with_logits is the safer one. */
tp_tensor *tp_bce(tp_tensor *p, tp_tensor *t, tp_loss_opts o);

typedef struct tp_kl_div_opts {
    tp_reduce reduction;
    bool batch_mean; /* the sum over the first axis's size: the divergence proper */
    bool log_target; /* p is given as its logarithm */
} tp_kl_div_opts;
tp_tensor *tp_kl_div(tp_tensor *log_q, tp_tensor *p, tp_kl_div_opts o); /* p (log p - log q) */

/* ---- losses of pairs and triples: floats; twice ---- */
/* a . b / (max(|a|, eps) max(|b|, eps)) along axis; torch's eps 1e-8 */
tp_tensor *tp_cosine_similarity(tp_tensor *a, tp_tensor *b, int axis, double eps);
/* x where y is 1, max(0, margin - x) where y is -1; torch's margin 1 */
tp_tensor *tp_hinge_embedding_loss(tp_tensor *x, tp_tensor *y, double margin, tp_loss_opts o);
typedef struct tp_cosine_embedding_opts {
    double margin;
    tp_reduce reduction;
} tp_cosine_embedding_opts;
/* Of rows, cos their cosine: 1 - cos where y is 1, max(0, cos - margin) where y is -1. */
tp_tensor *tp_cosine_embedding_loss(tp_tensor *a, tp_tensor *b, tp_tensor *y, tp_cosine_embedding_opts o);
typedef struct tp_margin_ranking_opts {
    double margin;
    tp_reduce reduction;
} tp_margin_ranking_opts;
/* max(0, margin - y (a - b)): a should be the larger where y is 1 */
tp_tensor *tp_margin_ranking_loss(tp_tensor *a, tp_tensor *b, tp_tensor *y, tp_margin_ranking_opts o);
typedef struct tp_triplet_opts {
    double margin, p, eps; /* tp_triplet_defaults(): 1, 2, 1e-6 */
    bool swap;             /* the nearer of anchor and positive to the negative (Balntas et al. 2016) */
    tp_reduce reduction;
    bool filled;
} tp_triplet_opts;
tp_triplet_opts tp_triplet_defaults(void); /* PyTorch's: the mean */
/* max(0, margin + |anchor - positive + eps|_p - |anchor - negative + eps|_p) of rows */
tp_tensor *tp_triplet_margin_loss(tp_tensor *anchor, tp_tensor *positive, tp_tensor *negative, tp_triplet_opts o);

/* ---- losses of sequences: floats; once ---- */

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
 * gradient is that of log_probs themselves: PyTorch's leaves out what log_softmax cancels. */
tp_tensor *tp_ctc_loss(tp_tensor *log_probs, tp_tensor *labels, tp_tensor *input_lengths,
                       tp_tensor *target_lengths, tp_ctc_opts o);

TP_API_END

#endif
