/*
 * judge.c - pictures that a model has made, judged by a classifier of real ones: the distance of its
 * features (Heusel et al. 2017) and the classes that it sees.
 */
#include "nn/internal.h"
#include "train/train.h"

#include "autograd/ops.h"

#include <math.h>

enum { AT_ONCE = 250 };

typedef struct judge {
    tp_module *net;
    tp_features_fn *features;
    int64_t n;
    tp_metric *made, *next;                    /* distances from the first n real ones */
    tp_metric *of_made, *of_next, *of_all;     /* classes */
} judge;

/* ---- one batch ---- */

static bool see_features(const judge *j, tp_tensor *x, tp_metric **k, int sides, bool second)
{
    tp_tensor *f = j->features(j->net, x);

    TP_REQUIRE_IN("tp_train_judge", !f || tp_rank(f) == 2, TP_ERR_SHAPE, "the features are %s: (N, features) is wanted",
                  tp__text(f));
    for (int i = 0; i < sides; i++) {
        if (!k[i]) k[i] = tp_metric_frechet(tp_dim(f, 1));
        if (!tp_metric_update(k[i], second ? NULL : f, second ? f : NULL)) return false;
    }
    return tp_ok();
}

static bool see_classes(tp_tensor *scores, tp_tensor *labels, tp_metric **k)
{
    TP_REQUIRE_IN("tp_train_judge", !scores || tp_rank(scores) == 2, TP_ERR_SHAPE,
                  "the classifier gives %s: scores (N, classes) are wanted", tp__text(scores));
    if (!*k) *k = tp_metric_confusion(tp_dim(scores, 1));
    return tp_metric_update(*k, scores, labels ? labels : tp_argmax(scores, 1));
}

/* Those rows of a batch, which starts at row `at` of all, that lie in [from, to); NULL: none. */
static tp_tensor *rows_in(tp_tensor *t, int64_t at, int64_t from, int64_t to)
{
    int64_t n = tp_dim(t, 0);

    from = from > at ? from - at : 0, to = to - at < n ? to - at : n;
    return t && from < to ? tp_slice(t, 0, from, to) : NULL;
}

static bool see_real(judge *j, tp_batch b, int64_t at)
{
    TP_SCOPE;
    tp_tensor *scores = tp_nn_forward(j->net, b.x);
    tp_tensor *first = rows_in(b.x, at, 0, j->n), *next = rows_in(b.x, at, j->n, 2 * j->n);
    tp_metric *both[2] = { j->made, j->next };
    bool ok = b.y && see_classes(scores, b.y, &j->of_all) && (!first || see_features(j, first, both, 2, false));

    j->made = both[0], j->next = both[1];
    if (!b.y) return tp__fail(TP_ERR_ARG, "tp_train_judge", "the real pictures have no labels");
    return ok && (!next || (see_features(j, next, &j->next, 1, true) &&
                            see_classes(rows_in(scores, at, j->n, 2 * j->n), rows_in(b.y, at, j->n, 2 * j->n), &j->of_next)));
}

static bool see_made(judge *j, tp_tensor *x, tp_tensor *labels, int64_t at)
{
    TP_SCOPE;
    tp_tensor *part = rows_in(x, 0, at, at + AT_ONCE);

    return see_features(j, part, &j->made, 1, true) &&
           see_classes(tp_nn_forward(j->net, part), rows_in(labels, 0, at, at + AT_ONCE), &j->of_made);
}

/* ---- all of them ---- */

typedef struct question {
    judge j;
    tp_loader *real;
    tp_tensor *made, *labels;
} question;

static bool look(void *user)
{
    question *q = user;
    int64_t seen = 0;

    for (tp_batch b; tp_data_next(q->real, &b); seen += b.size)
        if (!see_real(&q->j, b, seen)) return false;
    if (tp_ok() && seen < 2 * q->j.n)
        return tp__fail(TP_ERR_SHAPE, "tp_train_judge", "%lld real pictures for %lld made ones: twice as many are wanted",
                        (long long)seen, (long long)q->j.n);
    for (int64_t at = 0; tp_ok() && at < q->j.n; at += AT_ONCE)
        if (!see_made(&q->j, q->made, q->labels, at)) return false;
    return tp_ok();
}

/* The share of each class among the predictions: the rarest and the commonest. */
static bool shares(tp_metric *m, int64_t n, double *least, double *most)
{
    int64_t c = tp_metric_classes(m), *count = tp__alloc(sizeof *count * (size_t)(c * c));
    bool ok = count && tp_metric_counts(m, count, c * c);

    *least = 1, *most = 0;
    for (int64_t j = 0; ok && j < c; j++) {
        double share = 0;

        for (int64_t i = 0; i < c; i++)
            share += (double)count[i * c + j] / (double)n;
        *least = fmin(*least, share), *most = fmax(*most, share);
    }
    tp__release(count, sizeof *count * (size_t)(c * c));
    return ok;
}

static bool tell(const judge *j, bool labelled, tp_judged *out)
{
    tp_judged r = { .recognised = labelled ? tp_metric_value(j->of_made) : (double)NAN };

    r.frechet = tp_metric_value(j->made), r.real_frechet = tp_metric_value(j->next);
    r.real_recognised = tp_metric_value(j->of_next), r.accuracy = tp_metric_value(j->of_all);
    if (!shares(j->of_made, j->n, &r.least, &r.most) || !tp_ok()) return false;
    *out = r;
    return true;
}

static bool askable(const question *q, const tp_judged *out)
{
    int64_t n = tp_dim(q->made, 0);

    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_train_judge", q->j.net && q->j.features && q->real && q->made && out, TP_ERR_ARG, "missing %s",
                  !q->j.net ? "classifier" : !q->j.features ? "features" : !q->real ? "real pictures" :
                  !q->made ? "made pictures" : "room for the answer");
    TP_REQUIRE_IN("tp_train_judge", tp_rank(q->made) > 1 && n > 1, TP_ERR_SHAPE, "made is %s: (n, ...) with n > 1 is wanted",
                  tp__text(q->made));
    TP_REQUIRE_IN("tp_train_judge", !q->labels || (tp_rank(q->labels) == 1 && tp_dim(q->labels, 0) == n), TP_ERR_SHAPE,
                  "labels are %s, not (%lld)", tp__text(q->labels), (long long)n);
    return true;
}

bool tp_train_judge(tp_module *classifier, tp_features_fn *features, tp_loader *real, tp_tensor *made,
                    tp_tensor *labels, tp_judged *out)
{
    question q = { { .net = classifier, .features = features, .n = tp_dim(made, 0) }, real, made, labels };
    judge *j = &q.j;
    bool ok;

    TP_NO_GRAD;
    if (out) *out = (tp_judged){ NAN, NAN, NAN, NAN, NAN, NAN, NAN };
    ok = askable(&q, out) && tp__in_mode(classifier, false, look, &q) && tell(j, labels != NULL, out);
    tp_metric_free(j->made), tp_metric_free(j->next);
    tp_metric_free(j->of_made), tp_metric_free(j->of_next), tp_metric_free(j->of_all);
    return ok;
}

bool tp_train_print_judged(const char *model, tp_judged j)
{
    return tp_train_print("result model=%s frechet=%.2f recognised=%.4f least=%.4f most=%.4f real_frechet=%.2f "
                          "real_recognised=%.4f cnn_accuracy=%.4f\n",
                          model, j.frechet, j.recognised, j.least, j.most, j.real_frechet, j.real_recognised, j.accuracy);
}
