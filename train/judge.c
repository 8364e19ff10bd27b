/*
 * judge.c - pictures that a model has made, judged by a classifier of real ones: the distance of its
 * features (Heusel et al. 2017) and the classes that it sees.
 */
#include "nn/internal.h"
#include "train/metric.h"
#include "train/train.h"

#include "autograd/ops.h"

#include <math.h>
#include <stdlib.h>

enum { AT_ONCE = 250, FEWEST = 2 };

typedef struct judge {
    tp_module *net;
    tp_features_fn *features;
    int64_t n; /* compared: so many made ones, and the real ones that are asked for */
    int64_t *asked,
        n_asked; /* labels of the made, ascending; none: all real ones are asked for */
    size_t asked_bytes;
    tp_metric *made, *next;                /* distances from the first n real ones */
    tp_metric *of_made, *of_next, *of_all; /* classes */
} judge;

/* Rows of a batch of real ones. */
typedef struct rows {
    tp_tensor *x, *scores, *y;
} rows;

/* ---- which of the real ones are compared ---- */

static int by_label(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Puts the numbers of y's rows that are asked for into at, which may be y's own labels, and gives how many. */
static int64_t asked_for(const judge *j, const int64_t *y, int64_t n, int64_t *at)
{
    int64_t found = 0;

    for (int64_t i = 0; i < n; i++)
        if (bsearch(&y[i], j->asked, (size_t)j->n_asked, sizeof *y, by_label))
            at[found++] = i;
    return found;
}

static rows compared(const judge *j, rows all)
{
    size_t bytes = 0;
    int64_t *at = j->asked ? tp__metric_i64(all.y, &bytes) : NULL;
    tp_tensor *index;

    if (!at) return all;
    index = tp_from(at, TP_SHAPE(asked_for(j, at, tp_dim(all.y, 0), at)), TP_I64,
                    tp_device_of(all.x));
    tp__release(at, bytes);
    return (rows){ tp_index_select(all.x, 0, index),
                   tp_index_select(all.scores, 0, index),
                   tp_index_select(all.y, 0, index) };
}

/* How many of a batch are asked for; -1 after an error. */
static int64_t count_asked(const judge *j, tp_tensor *y)
{
    TP_SCOPE;
    size_t bytes = 0;
    int64_t *at, n = -1;

    if (!y) tp__fail(TP_ERR_ARG, "tp_train_judge", "the real pictures have no labels");
    if ((at = tp__metric_i64(y, &bytes))) n = asked_for(j, at, tp_count(y), at);
    tp__release(at, bytes);
    return n;
}

/* Where the labels leave out classes of the real ones, as many are compared as those that they have allow. */
static bool choose(judge *j, tp_loader *real, tp_tensor *labels)
{
    tp_position from = tp_data_position(real);
    int64_t all = 0, asked = 0, n = 0;

    if (!(j->asked = tp__metric_i64(labels, &j->asked_bytes))) return false;
    j->n_asked = tp_count(labels);
    qsort(j->asked, (size_t)j->n_asked, sizeof *j->asked, by_label);
    for (tp_batch b; n >= 0 && tp_data_next(real, &b); all += b.size, asked += n)
        n = count_asked(j, b.y);
    if (!tp_ok() || !tp_data_seek(real, from)) return false;
    if (asked == all) return true;
    TP_REQUIRE_IN(
        "tp_train_judge", asked >= 2 * FEWEST, TP_ERR_SHAPE,
        "%lld real pictures of the classes that the labels have: %d or more are wanted",
        (long long)asked, 2 * FEWEST);
    if (asked / 2 < j->n) j->n = asked / 2;
    return true;
}

/* ---- one batch ---- */

static bool see_features(const judge *j, tp_tensor *x, tp_metric **k, int sides,
                         bool second)
{
    tp_tensor *f = j->features(j->net, x);

    TP_REQUIRE_IN("tp_train_judge", !f || tp_rank(f) == 2, TP_ERR_SHAPE,
                  "the features are %s: (N, features) is wanted", tp__text(f));
    for (int i = 0; i < sides; i++) {
        if (!k[i]) k[i] = tp_metric_frechet(tp_dim(f, 1));
        if (!tp_metric_update(k[i], second ? NULL : f, second ? f : NULL)) return false;
    }
    return tp_ok();
}

static bool see_classes(tp_tensor *scores, tp_tensor *labels, tp_metric **k)
{
    TP_REQUIRE_IN("tp_train_judge", !scores || tp_rank(scores) == 2, TP_ERR_SHAPE,
                  "the classifier gives %s: scores (N, classes) are wanted",
                  tp__text(scores));
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

static bool see_real(judge *j, tp_batch b, int64_t *at)
{
    TP_SCOPE;
    rows all = { b.x, tp_nn_forward(j->net, b.x), b.y }, r;
    tp_metric *both[2] = { j->made, j->next };
    tp_tensor *first, *next;

    if (!b.y)
        return tp__fail(TP_ERR_ARG, "tp_train_judge", "the real pictures have no labels");
    if (!see_classes(all.scores, b.y, &j->of_all)) return false;
    r = compared(j, all);
    first = rows_in(r.x, *at, 0, j->n), next = rows_in(r.x, *at, j->n, 2 * j->n);
    if (first && !see_features(j, first, both, 2, false))
        return j->made = both[0], j->next = both[1], false;
    j->made = both[0], j->next = both[1];
    if (next && !(see_features(j, next, &j->next, 1, true) &&
                  see_classes(rows_in(r.scores, *at, j->n, 2 * j->n),
                              rows_in(r.y, *at, j->n, 2 * j->n), &j->of_next)))
        return false;
    *at += tp_dim(r.x, 0);
    return tp_ok();
}

static bool see_made(judge *j, tp_tensor *x, tp_tensor *labels, int64_t at)
{
    TP_SCOPE;
    tp_tensor *part = rows_in(x, 0, at, at + AT_ONCE), *f = rows_in(part, at, 0, j->n);

    return (!f || see_features(j, f, &j->made, 1, true)) &&
           see_classes(tp_nn_forward(j->net, part), rows_in(labels, 0, at, at + AT_ONCE),
                       &j->of_made);
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
    int64_t seen = 0, n = tp_dim(q->made, 0);

    TP_REQUIRE_IN("tp_train_judge", !tp_data_opts(q->real).endless, TP_ERR_ARG,
                  "an endless loader has no pass that ends");
    if (q->labels && !choose(&q->j, q->real, q->labels)) return false;
    for (tp_batch b; tp_data_next(q->real, &b);)
        if (!see_real(&q->j, b, &seen)) return false;
    if (tp_ok() && seen < 2 * q->j.n)
        return tp__fail(TP_ERR_SHAPE, "tp_train_judge",
                        "%lld real pictures for %lld made ones: twice as many are wanted",
                        (long long)seen, (long long)n);
    for (int64_t at = 0; tp_ok() && at < n; at += AT_ONCE)
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

static bool tell(const question *q, tp_judged *out)
{
    const judge *j = &q->j;
    tp_judged r = { .recognised = q->labels ? tp_metric_value(j->of_made) : (double)NAN,
                    .compared = j->n };

    r.frechet = tp_metric_value(j->made), r.real_frechet = tp_metric_value(j->next);
    r.real_recognised = tp_metric_value(j->of_next),
    r.accuracy = tp_metric_value(j->of_all);
    if (!shares(j->of_made, tp_dim(q->made, 0), &r.least, &r.most) || !tp_ok())
        return false;
    *out = r;
    return true;
}

static bool askable(const question *q, const tp_judged *out)
{
    int64_t n = tp_dim(q->made, 0);

    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_train_judge",
                  q->j.net && q->j.features && q->real && q->made && out, TP_ERR_ARG,
                  "missing %s",
                  !q->j.net        ? "classifier"
                  : !q->j.features ? "features"
                  : !q->real       ? "real pictures"
                  : !q->made       ? "made pictures"
                                   : "room for the answer");
    TP_REQUIRE_IN("tp_train_judge", tp_rank(q->made) > 1 && n >= FEWEST, TP_ERR_SHAPE,
                  "made is %s: (n, ...) with n > 1 is wanted", tp__text(q->made));
    TP_REQUIRE_IN("tp_train_judge",
                  !q->labels || (tp_rank(q->labels) == 1 && tp_dim(q->labels, 0) == n),
                  TP_ERR_SHAPE, "labels are %s, not (%lld)", tp__text(q->labels),
                  (long long)n);
    return true;
}

bool tp_train_judge(tp_module *classifier, tp_features_fn *features, tp_loader *real,
                    tp_tensor *made, tp_tensor *labels, tp_judged *out)
{
    question q = { { .net = classifier, .features = features, .n = tp_dim(made, 0) },
                   real,
                   made,
                   labels };
    judge *j = &q.j;
    bool ok;

    TP_NO_GRAD;
    if (out) *out = (tp_judged){ NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0 };
    ok = askable(&q, out) && tp__in_mode(classifier, false, look, &q) && tell(&q, out);
    tp_metric_free(j->made), tp_metric_free(j->next);
    tp_metric_free(j->of_made), tp_metric_free(j->of_next), tp_metric_free(j->of_all);
    tp__release(j->asked, j->asked_bytes);
    return ok;
}

bool tp_train_print_judged(const char *model, tp_judged j)
{
    return tp_train_print("result model=%s frechet=%.2f recognised=%.4f least=%.4f "
                          "most=%.4f real_frechet=%.2f "
                          "real_recognised=%.4f cnn_accuracy=%.4f compared=%lld\n",
                          model, j.frechet, j.recognised, j.least, j.most, j.real_frechet,
                          j.real_recognised, j.accuracy, (long long)j.compared);
}
