/*
 * metric_classes.c - labels against predictions: top-k, and all that a confusion matrix tells.
 */
#include "train/metric.h"

#include <math.h>
#include <string.h>

/* ---- top-k ---- */

typedef struct top_k {
    tp_metric base;
    int64_t k, classes, right;
} top_k;

/* Is a, at place i, better than b, at place j?  NaN is above all; then the first. */
static bool better(double a, int64_t i, double b, int64_t j)
{
    if (isnan(a) || isnan(b)) return isnan(a) && (!isnan(b) || i < j);
    return a > b || (a == b && i < j);
}

static bool among_best(const double *score, int64_t C, int64_t label, int64_t k)
{
    int64_t above = 0;

    for (int64_t j = 0; j < C && above < k; j++)
        above += better(score[j], j, score[label], label);
    return above < k;
}

/* Are labels from 0 to C - 1? */
static bool labels_ok(const char *where, const int64_t *label, int64_t n, int64_t C)
{
    for (int64_t i = 0; i < n; i++)
        TP_REQUIRE_IN(where, label[i] >= 0 && label[i] < C, TP_ERR_ARG, "label %lld is none of %lld classes",
                      (long long)label[i], (long long)C);
    return true;
}

static bool top_k_update(tp_metric *base, tp_tensor *x, tp_tensor *y)
{
    top_k *m = (top_k *)base;
    int64_t C = tp_dim(x, -1), n = tp_count(y), right = 0, *label;
    size_t x_bytes = 0, y_bytes = 0;
    double *score;
    bool ok;

    if (!tp__metric_scores_fit(base->kind->name, x, y)) return false;
    TP_REQUIRE_IN(base->kind->name, C >= m->k && (!m->classes || C == m->classes), TP_ERR_SHAPE,
                  "scores are %s: %lld classes or more are wanted, as many each time", tp__text(x), (long long)m->k);
    score = tp__metric_f64(x, &x_bytes), label = score ? tp__metric_i64(y, &y_bytes) : NULL;
    ok = label && labels_ok(base->kind->name, label, n, C);
    for (int64_t i = 0; ok && i < n; i++)
        right += among_best(score + i * C, C, label[i], m->k);
    if (ok) m->classes = C, m->right += right, base->seen += n;
    tp__release(score, x_bytes), tp__release(label, y_bytes);
    return ok;
}

static double top_k_value(tp_metric *m)
{
    return (double)((top_k *)m)->right / (double)m->seen;
}

static void top_k_reset(tp_metric *m)
{
    ((top_k *)m)->right = ((top_k *)m)->classes = 0;
}

tp_metric *tp_metric_top_k(int64_t k)
{
    static const tp_metric_kind kind = { .name = "tp_metric_top_k", .bytes = sizeof(top_k), .update = top_k_update,
                                         .value = top_k_value, .reset = top_k_reset };
    top_k *m;

    TP_REQUIRE(k > 0, TP_ERR_ARG, "k is %lld: 1 or more is wanted", (long long)k);
    if ((m = tp__metric_new(&kind))) m->k = k;
    return m ? &m->base : NULL;
}

/* ---- the confusion matrix ---- */

typedef struct confusion {
    tp_metric base;
    int64_t classes, *count; /* (label, prediction) */
    tp_class_score what;
    tp_average average;
    bool accuracy;
} confusion;

static size_t count_bytes(const confusion *m)
{
    return (size_t)(m->classes * m->classes) * sizeof *m->count;
}

/* The best class of each row, in place of its first score's index. */
static int64_t *best_of(tp_tensor *x, int64_t n, int64_t C, size_t *bytes)
{
    size_t x_bytes;
    double *score = tp__metric_f64(x, &x_bytes);
    int64_t *best = score ? tp__alloc(*bytes = (size_t)n * sizeof *best + 1) : NULL;

    for (int64_t i = 0; best && i < n; i++) {
        const double *row = score + i * C;

        best[i] = 0;
        for (int64_t j = 1; j < C; j++)
            if (better(row[j], j, row[best[i]], best[i])) best[i] = j;
    }
    tp__release(score, x_bytes);
    return best;
}

/* Predicted labels as they are, or those of the scores. */
static int64_t *predicted(const confusion *m, tp_tensor *x, tp_tensor *y, size_t *bytes)
{
    const char *where = m->base.kind->name;
    tp_shape s = tp_shape_of(x), t = tp_shape_of(y);

    if (tp__metric_is_labels(x)) {
        TP_REQUIRE_IN(where, tp__metric_is_labels(y) && tp__same(&s, &t), TP_ERR_SHAPE,
                      "predictions are %s and labels %s: integers of one shape are wanted", tp__text(x), tp__text(y));
        return tp__metric_i64(x, bytes);
    }
    if (!tp__metric_scores_fit(where, x, y)) return NULL;
    TP_REQUIRE_IN(where, tp_dim(x, -1) == m->classes, TP_ERR_SHAPE, "scores are %s: (..., %lld) is wanted", tp__text(x),
                  (long long)m->classes);
    return best_of(x, tp_count(y), m->classes, bytes);
}

static bool confusion_update(tp_metric *base, tp_tensor *x, tp_tensor *y)
{
    confusion *m = (confusion *)base;
    size_t got_bytes = 0, want_bytes = 0;
    int64_t n = tp_count(y), *got = predicted(m, x, y, &got_bytes), *want = got ? tp__metric_i64(y, &want_bytes) : NULL;
    bool ok = want && labels_ok(base->kind->name, got, n, m->classes) && labels_ok(base->kind->name, want, n, m->classes);

    for (int64_t i = 0; ok && i < n; i++)
        m->count[want[i] * m->classes + got[i]]++;
    if (ok) base->seen += n;
    tp__release(got, got_bytes), tp__release(want, want_bytes);
    return ok;
}

/* Of class c: right, taken for it, and labelled it. */
typedef struct tally {
    int64_t right, taken, labelled;
} tally;

static tally tally_of(const confusion *m, int64_t c)
{
    tally t = { m->count[c * m->classes + c], 0, 0 };

    for (int64_t i = 0; i < m->classes; i++)
        t.taken += m->count[i * m->classes + c], t.labelled += m->count[c * m->classes + i];
    return t;
}

static double score_of(tally t, tp_class_score what)
{
    double below = what == TP_PRECISION ? (double)t.taken : what == TP_RECALL ? (double)t.labelled
                                                           : (double)(t.taken + t.labelled) / 2;

    return below > 0 ? (double)t.right / below : 0;
}

static double accuracy_of(const confusion *m)
{
    int64_t right = 0;

    for (int64_t c = 0; c < m->classes; c++)
        right += m->count[c * m->classes + c];
    return (double)right / (double)m->base.seen;
}

static double confusion_value(tp_metric *base)
{
    const confusion *m = (const confusion *)base;
    double sum = 0, weights = 0;

    if (m->accuracy || m->average == TP_MICRO) return accuracy_of(m); /* each error is one fp and one fn */
    for (int64_t c = 0; c < m->classes; c++) {
        tally t = tally_of(m, c);
        double weight = m->average == TP_WEIGHTED ? (double)t.labelled : t.taken || t.labelled;

        sum += weight * score_of(t, m->what), weights += weight;
    }
    return sum / weights;
}

static void confusion_reset(tp_metric *m)
{
    memset(((confusion *)m)->count, 0, count_bytes((confusion *)m));
}

static void confusion_release(tp_metric *base)
{
    confusion *m = (confusion *)base;

    tp__release(m->count, count_bytes(m));
}

static const tp_metric_kind confusion_kind = { .name = "tp_metric_confusion", .bytes = sizeof(confusion),
                                               .update = confusion_update, .value = confusion_value,
                                               .reset = confusion_reset, .release = confusion_release };
static const tp_metric_kind score_kind = { .name = "tp_metric_class_score", .bytes = sizeof(confusion),
                                           .update = confusion_update, .value = confusion_value,
                                           .reset = confusion_reset, .release = confusion_release };

static confusion *counting(const tp_metric_kind *kind, int64_t classes)
{
    confusion *m;

    TP_REQUIRE_IN(kind->name, classes > 0 && classes <= 32768, TP_ERR_ARG, "%lld classes: 1 to 32768 are wanted",
                  (long long)classes);
    if (!(m = tp__metric_new(kind))) return NULL;
    m->classes = classes;
    if ((m->count = tp__alloc_zeroed(count_bytes(m)))) return m;
    tp__release(m, sizeof *m);
    return NULL;
}

tp_metric *tp_metric_confusion(int64_t classes)
{
    confusion *m = counting(&confusion_kind, classes);

    if (m) m->accuracy = true;
    return m ? &m->base : NULL;
}

tp_metric *tp_metric_class_score(int64_t classes, tp_class_score what, tp_average average)
{
    confusion *m;

    TP_REQUIRE(what >= TP_PRECISION && what <= TP_F1 && average >= TP_MACRO && average <= TP_WEIGHTED, TP_ERR_ARG,
               "no such score (%d) or average (%d)", (int)what, (int)average);
    if ((m = counting(&score_kind, classes))) m->what = what, m->average = average;
    return m ? &m->base : NULL;
}

int64_t tp_metric_classes(const tp_metric *m)
{
    return m && (m->kind == &confusion_kind || m->kind == &score_kind) ? ((const confusion *)m)->classes : 0;
}

/* NULL and an error unless m counts classes and room is what it needs. */
static const confusion *counts_of(const char *where, const tp_metric *base, const void *out, int64_t room, bool square)
{
    const confusion *m = (const confusion *)base;
    int64_t need;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(where, tp_metric_classes(base) && out, TP_ERR_ARG,
                  "a metric that counts classes, and room, are wanted");
    need = square ? m->classes * m->classes : m->classes;
    TP_REQUIRE_IN(where, room == need, TP_ERR_ARG, "room for %lld numbers: %lld are wanted", (long long)room, (long long)need);
    return m;
}

bool tp_metric_counts(const tp_metric *base, int64_t *counts, int64_t room)
{
    const confusion *m = counts_of(__func__, base, counts, room, true);

    if (m) memcpy(counts, m->count, count_bytes(m));
    return m != NULL;
}

bool tp_metric_per_class(const tp_metric *base, tp_class_score what, double *out, int64_t room)
{
    const confusion *m = counts_of(__func__, base, out, room, false);

    for (int64_t c = 0; m && c < m->classes; c++)
        out[c] = score_of(tally_of(m, c), what);
    return m != NULL;
}
