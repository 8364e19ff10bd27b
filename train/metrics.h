/*
 * metrics.h - how good results are, gathered batch by batch.  Included by train/train.h.
 *
 * A metric is made; give it batches with tp_metric_update (or the function named beside its
 * maker), ask for tp_metric_value at any time, and free it with tp_metric_free.  Numbers are
 * gathered in f64 on the host, so an update waits for the device.  An update that is refused
 * changes nothing.  Labels are of i64, i32, u8 or bool; scores of any float dtype.
 */
#ifndef TP_TRAIN_METRICS_H
#define TP_TRAIN_METRICS_H

#include "data/data.h"
#include "nn/nn.h"

TP_API_BEGIN

typedef struct tp_metric tp_metric; /* made: tp_metric_free */

/* One more batch.  Gradients are not recorded; the tensors may lie on any device. */
bool tp_metric_update(tp_metric *m, tp_tensor *x, tp_tensor *y);
/* Of all since it was made or reset; NaN where nothing was seen, and after an error. */
double tp_metric_value(tp_metric *m);
int64_t tp_metric_seen(const tp_metric *m); /* samples, or tokens that count */
void tp_metric_reset(tp_metric *m); /* as newly made */
void tp_metric_free(tp_metric *m);  /* NULL is allowed */

/* ---- classes ---- */

/* Share of rows whose label is among the k best scores: x (..., C), y (...), C the same each time.
 * Among equal scores the first is the better one; NaN is above all, as PyTorch's argmax has it.
 * k 1 is the accuracy. */
tp_metric *tp_metric_top_k(int64_t k);

typedef enum tp_average {
    TP_MACRO,   /* the mean over classes that occur in y or among the predictions */
    TP_MICRO,   /* of all counts together: what the accuracy is */
    TP_WEIGHTED /* the mean over classes, weighted by how often each occurs in y */
} tp_average;
typedef enum tp_class_score { TP_PRECISION, TP_RECALL, TP_F1 } tp_class_score;

/* How often class i was taken for class j.  y (...) holds labels from 0 to classes - 1; x is
 * scores (..., classes), or predicted labels (...) of an integer dtype.  The value is the accuracy. */
tp_metric *tp_metric_confusion(int64_t classes);
/* The same counts; the value is, as scikit-learn's with zero_division 0,
 *   precision tp / (tp + fp),   recall tp / (tp + fn),   F1 2 tp / (2 tp + fp + fn)
 * where a quotient 0 / 0 is 0. */
tp_metric *tp_metric_class_score(int64_t classes, tp_class_score what, tp_average average);
int64_t tp_metric_classes(const tp_metric *m); /* 0 for one that doesn't count them */
/* Of a metric that counts classes.  counts[i * classes + j]: label i taken for j. */
bool tp_metric_counts(const tp_metric *m, int64_t *counts, int64_t room);
bool tp_metric_per_class(const tp_metric *m, tp_class_score what, double *out, int64_t room);

/* ---- rankings of two classes: x (N) scores without NaN, y (N) labels 0 and 1 ---- */

/* Area under the curve of true against false positives: the chance that a positive is above a
 * negative, equal scores counting half (Hanley & McNeil 1982).  NaN unless both classes occur. */
tp_metric *tp_metric_roc_auc(void);
/* Sum over thresholds of (recall's growth) (precision there), without interpolation; equal scores
 * are one threshold.  0 without a positive, as scikit-learn's. */
tp_metric *tp_metric_average_precision(void);

/* ---- numbers: x predicted and y true, of one shape, any dtype; every element is a sample ---- */

tp_metric *tp_metric_mae(void);  /* mean |x - y| */
tp_metric *tp_metric_mse(void);  /* mean (x - y)^2 */
tp_metric *tp_metric_rmse(void); /* its root */
/* mean |x - y| / max(|y|, 2^-52), as scikit-learn's: a share, not per cent */
tp_metric *tp_metric_mape(void);
/* 1 - sum (x - y)^2 / sum (y - mean y)^2.  NaN below two samples; of constant y 1 where x is the
 * same, else 0, as scikit-learn's.  All elements are one output. */
tp_metric *tp_metric_r2(void);

/* ---- language ---- */

/* exp of the mean negative log-likelihood: x (..., C) logits, y (...) labels; those equal to
 * ignore_index don't count (-100 is PyTorch's). */
tp_metric *tp_metric_perplexity(int64_t ignore_index);

/* What becomes of a length of which no n-gram matches (Chen & Cherry 2014). */
typedef enum tp_bleu_smoothing {
    TP_BLEU_NONE,  /* 0 as soon as no n-gram of some length matches */
    TP_BLEU_EXP,   /* the k-th length without a match counts 1 / 2^k (sacrebleu's default) */
    TP_BLEU_FLOOR, /* it counts 0.1 */
    TP_BLEU_ADD_K  /* 1 is added to matches and totals of every length but the first */
} tp_bleu_smoothing;
typedef struct tp_bleu_opts {
    int max_n; /* 0: 4; at most 16 */
    tp_bleu_smoothing smoothing;
} tp_bleu_opts;
/* BLEU of a corpus (Papineni et al. 2002), from 0 to 1: the geometric mean of the precisions of
 * n-grams up to max_n, each clipped by its largest count in one reference, times
 * exp(1 - r / c) where the c tokens are fewer than r, the closest references' length.
 * Numbers are those of sacrebleu's corpus_bleu / 100. */
tp_metric *tp_metric_bleu(tp_bleu_opts o);

/* A sentence as numbers. */
typedef struct tp_tokens_view {
    const int64_t *id; /* NULL where n is 0 */
    int64_t n;
} tp_tokens_view;
/* One more candidate and its references. */
bool tp_metric_bleu_tokens(tp_metric *m, tp_tokens_view candidate, const tp_tokens_view *refs, int n_refs);
/* Words between white space (ASCII); nothing else is split off. */
bool tp_metric_bleu_words(tp_metric *m, const char *candidate, const char *const *refs, int n_refs);

/* Plain text, cut into words and punctuation marks by the rules of mteval-v13a, sacrebleu's
 * default, so that numbers compare with its. */
bool tp_metric_bleu_text(tp_metric *m, const char *candidate, const char *const *refs, int n_refs);

/* ---- distributions ---- */

/* Frechet distance of two sets of features, each taken as normal (Heusel et al. 2017):
 *   |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)),   C with n - 1.
 * x and y are (N, features) of the one and the other set; either may be NULL, the other must not.
 * NaN below two samples of either.  A value costs some 20 features^3 operations; at most 8192. */
tp_metric *tp_metric_frechet(int64_t features);
/* The same for all that a pass over each loader gives, seen through m, e.g. a network up to its last
 * layer but one; what m gives is flattened to (N, features).  NaN after an error. */
double tp_train_frechet(tp_module *m, tp_loader *real, tp_loader *made);

/* ---- pictures that a model has made, as a classifier of real ones sees them ---- */

/* (N, features) of x: what the last layer of the classifier takes, as tp_model_cnn_features. */
typedef tp_tensor *tp_features_fn(tp_module *classifier, tp_tensor *x);

/* How good made pictures are.  Beside it what the same questions give for real ones, and how well the
 * classifier knows those: the best that can be hoped for. */
typedef struct tp_judged {
    double frechet;         /* distance of the made from the first real pictures */
    double recognised;      /* share of the made that are taken for their label; NaN without labels */
    double least, most;     /* share of the made that the rarest class has, and the commonest */
    double real_frechet;    /* distance of the next real pictures from the first */
    double real_recognised; /* share of those next ones that are taken for their label */
    double accuracy;        /* share of all the real ones */
    int64_t compared;       /* pictures on either side of each distance, and as many "next" ones */
} tp_judged;
/* classifier: x -> scores (N, classes), in evaluation meanwhile; real: one pass of x and labels,
 * 2 n or more; made (n, ...), n 2 or more, in the scale of the real ones, and labels (n), or NULL.
 * All distances are of n against n, as they depend on n: they mean something beside those of as many.
 *
 * Where the labels leave out classes, made pictures are compared with real ones of the classes that
 * the labels have: the first n of those, and the next n.  Where there are fewer than 2 n, but 4 or more,
 * half of what there is takes the place of n, of the made too: their labels come by turns.  With labels the pass is gone through
 * twice, at first for its labels alone; without, all real ones count. */
bool tp_train_judge(tp_module *classifier, tp_features_fn *features, tp_loader *real,
                    tp_tensor *made, tp_tensor *labels, tp_judged *out);
/* "result model=gan frechet=18.90 recognised=0.8650 ...", a line on stdout; as tp_train_print. */
bool tp_train_print_judged(const char *model, tp_judged judged);

TP_API_END

#endif
