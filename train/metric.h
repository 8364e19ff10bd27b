/*
 * metric.h - what the files of the metrics share.
 */
#ifndef TP_TRAIN_METRIC_H
#define TP_TRAIN_METRIC_H

#include "tensor/internal.h"
#include "train/metrics.h"

/* What a kind of metric does.  A metric begins with a tp_metric; bytes is all of it. */
typedef struct tp_metric_kind {
    const char *name; /* of the maker, for errors */
    size_t bytes;
    bool one_sided; /* x or y may be absent */
    bool (*update)(tp_metric *m, tp_tensor *x, tp_tensor *y); /* NULL: it has a function of its own */
    double (*value)(tp_metric *m); /* something was seen */
    void (*reset)(tp_metric *m);
    void (*release)(tp_metric *m); /* of what it holds; NULL: nothing */
} tp_metric_kind;

struct tp_metric {
    const tp_metric_kind *kind;
    int64_t seen;
};

void *tp__metric_new(const tp_metric_kind *k); /* all else zero */

/* A tensor's elements on the host: give them back with tp__release(p, bytes). */
double *tp__metric_f64(tp_tensor *t, size_t *bytes);
int64_t *tp__metric_i64(tp_tensor *t, size_t *bytes);
bool tp__metric_is_labels(const tp_tensor *t);
/* x (..., C) and labels y (...)? */
bool tp__metric_scores_fit(const char *where, tp_tensor *x, tp_tensor *y);

/* Eigenvalues of the symmetric a (n, n), in no order; a becomes the vectors, row i that of value[i].
 * value and scratch hold n each.  false: NaN or infinity in a, or it didn't converge. */
bool tp__symmetric_eigen(double *a, int64_t n, double *value, double *scratch);

#endif
