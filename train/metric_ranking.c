/*
 * metric_ranking.c - how well scores order two classes: area under ROC, average precision.
 *
 * All pairs are kept; a value sorts them.  Equal scores are one threshold in both.
 */
#include "train/metric.h"

#include <math.h>
#include <stdlib.h>

typedef struct pair {
    double score;
    int64_t label;
} pair;

typedef struct ranking {
    tp_metric base; /* seen: the pairs */
    pair *pair;
    int64_t room;
} ranking;

static bool make_room(ranking *m, int64_t n)
{
    int64_t room = m->room ? m->room : 256;
    pair *p;

    while (room < n)
        room *= 2;
    if (room == m->room) return true;
    if (!(p = tp__grow(m->pair, (size_t)m->room * sizeof *p, (size_t)room * sizeof *p))) return false;
    m->pair = p, m->room = room;
    return true;
}

static bool pairs_ok(const char *where, const double *score, const int64_t *label, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        TP_REQUIRE_IN(where, label[i] == 0 || label[i] == 1, TP_ERR_ARG, "label %lld: 0 or 1 is wanted", (long long)label[i]);
        TP_REQUIRE_IN(where, !isnan(score[i]), TP_ERR_ARG, "score %lld of the batch is NaN, which has no rank", (long long)i);
    }
    return true;
}

static bool ranking_update(tp_metric *base, tp_tensor *x, tp_tensor *y)
{
    ranking *m = (ranking *)base;
    int64_t n = tp_count(y), *label;
    size_t x_bytes = 0, y_bytes = 0;
    double *score;
    bool ok;

    TP_REQUIRE_IN(base->kind->name, tp__is_float(x) && tp__metric_is_labels(y) && tp_rank(x) == 1 && tp_rank(y) == 1 &&
                  tp_count(x) == n, TP_ERR_SHAPE, "scores are %s and labels %s: floats (N) and integers (N) are wanted",
                  tp__text(x), tp__text(y));
    score = tp__metric_f64(x, &x_bytes), label = score ? tp__metric_i64(y, &y_bytes) : NULL;
    ok = label && pairs_ok(base->kind->name, score, label, n) && make_room(m, base->seen + n);
    for (int64_t i = 0; ok && i < n; i++)
        m->pair[base->seen++] = (pair){ score[i], label[i] };
    tp__release(score, x_bytes), tp__release(label, y_bytes);
    return ok;
}

/* The highest first. */
static int by_score(const void *a, const void *b)
{
    double x = ((const pair *)a)->score, y = ((const pair *)b)->score;

    return (x < y) - (x > y);
}

/* The positives and negatives of one score, from place `from` on; gives the place behind them. */
static int64_t threshold(const ranking *m, int64_t from, double *positives, double *negatives)
{
    int64_t i = from;

    *positives = *negatives = 0;
    for (; i < m->base.seen && m->pair[i].score == m->pair[from].score; i++)
        *(m->pair[i].label ? positives : negatives) += 1;
    return i;
}

static double auc(tp_metric *base)
{
    ranking *m = (ranking *)base;
    double above = 0, below = 0, area = 0, p, n;

    qsort(m->pair, (size_t)base->seen, sizeof *m->pair, by_score);
    for (int64_t i = 0; i < base->seen;) {
        i = threshold(m, i, &p, &n);
        area += n * (above + p / 2);
        above += p, below += n;
    }
    return above > 0 && below > 0 ? area / (above * below) : (double)NAN;
}

static double average_precision(tp_metric *base)
{
    ranking *m = (ranking *)base;
    double right = 0, wrong = 0, sum = 0, p, n;

    qsort(m->pair, (size_t)base->seen, sizeof *m->pair, by_score);
    for (int64_t i = 0; i < base->seen;) {
        i = threshold(m, i, &p, &n);
        right += p, wrong += n;
        sum += p * (right / (right + wrong));
    }
    return right > 0 ? sum / right : 0;
}

static void ranking_reset(tp_metric *m)
{
    (void)m; /* the room is used again */
}

static void ranking_release(tp_metric *base)
{
    ranking *m = (ranking *)base;

    tp__release(m->pair, (size_t)m->room * sizeof *m->pair);
}

tp_metric *tp_metric_roc_auc(void)
{
    static const tp_metric_kind kind = { .name = "tp_metric_roc_auc", .bytes = sizeof(ranking), .update = ranking_update,
                                         .value = auc, .reset = ranking_reset, .release = ranking_release };

    return tp__metric_new(&kind);
}

tp_metric *tp_metric_average_precision(void)
{
    static const tp_metric_kind kind = { .name = "tp_metric_average_precision", .bytes = sizeof(ranking),
                                         .update = ranking_update, .value = average_precision, .reset = ranking_reset,
                                         .release = ranking_release };

    return tp__metric_new(&kind);
}
