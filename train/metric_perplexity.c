/*
 * metric_perplexity.c - exp of the mean of logsumexp(row) - row[label], in f64.
 */
#include "train/metric.h"

#include <math.h>

typedef struct perplexity {
    tp_metric base; /* seen: the labels that count */
    int64_t ignore;
    double sum;
} perplexity;

static double surprise(const double *row, int64_t C, int64_t label)
{
    double most = row[0], sum = 0;

    for (int64_t j = 1; j < C; j++)
        most = row[j] > most || isnan(row[j]) ? row[j] : most;
    if (isinf(most) && most < 0) return NAN; /* every class impossible: as PyTorch's log_softmax */
    for (int64_t j = 0; j < C; j++)
        sum += exp(row[j] - most);
    return most + log(sum) - row[label];
}

static bool perplexity_update(tp_metric *base, tp_tensor *x, tp_tensor *y)
{
    perplexity *m = (perplexity *)base;
    int64_t C = tp_dim(x, -1), n = tp_count(y), counted = 0, *label;
    size_t x_bytes = 0, y_bytes = 0;
    double *row, sum = 0;

    if (!tp__metric_scores_fit(base->kind->name, x, y)) return false;
    row = tp__metric_f64(x, &x_bytes), label = row ? tp__metric_i64(y, &y_bytes) : NULL;
    for (int64_t i = 0; label && tp_ok() && i < n; i++) {
        if (label[i] == m->ignore) continue;
        if (label[i] < 0 || label[i] >= C)
            tp__fail(TP_ERR_ARG, base->kind->name, "label %lld is none of %lld classes", (long long)label[i], (long long)C);
        else sum += surprise(row + i * C, C, label[i]), counted++;
    }
    if (tp_ok()) m->sum += sum, base->seen += counted;
    tp__release(row, x_bytes), tp__release(label, y_bytes);
    return tp_ok();
}

static double perplexity_value(tp_metric *m)
{
    return exp(((perplexity *)m)->sum / (double)m->seen);
}

static void perplexity_reset(tp_metric *m)
{
    ((perplexity *)m)->sum = 0;
}

tp_metric *tp_metric_perplexity(int64_t ignore_index)
{
    static const tp_metric_kind kind = { .name = "tp_metric_perplexity", .bytes = sizeof(perplexity),
                                         .update = perplexity_update, .value = perplexity_value,
                                         .reset = perplexity_reset };
    perplexity *m = tp__metric_new(&kind);

    if (m) m->ignore = ignore_index;
    return m ? &m->base : NULL;
}
