/*
 * metric.c - how good a model is over a data set.
 */
#include "train/train.h"

#include "tensor/internal.h"

#include <math.h>

static bool fit(tp_tensor *scores, tp_tensor *labels)
{
    TP_REQUIRE_IN("tp_train_accuracy", labels, TP_ERR_ARG, "the loader gives no labels: a second field is wanted");
    if (!scores) return false;
    TP_REQUIRE_IN("tp_train_accuracy", tp_rank(scores) > 0 && tp_dim(scores, -1) > 0 &&
                  tp_count(scores) / tp_dim(scores, -1) == tp_count(labels), TP_ERR_SHAPE,
                  "scores are %s and labels %s: (N, C) and (N) are wanted", tp__text(scores), tp__text(labels));
    return true;
}

static int64_t hits(tp_tensor *scores, tp_tensor *labels)
{
    size_t n = (size_t)tp_count(labels), bytes = n * sizeof(int64_t);
    int64_t *got = NULL, *want = NULL, same = 0, C = tp_dim(scores, -1);

    if (!fit(scores, labels)) return 0;
    got = tp__alloc(bytes), want = tp__alloc(bytes);
    if (got && want && tp_read(tp_argmax(scores, -1), got, bytes) && tp_read(tp_cast(labels, TP_I64), want, bytes))
        for (size_t i = 0; i < n; i++) {
            if (want[i] < 0 || want[i] >= C)
                tp__fail(TP_ERR_ARG, "tp_train_accuracy", "label %lld is none of %lld classes", (long long)want[i], (long long)C);
            same += got[i] == want[i];
        }
    tp__release(got, bytes), tp__release(want, bytes);
    return same;
}

double tp_train_accuracy(tp_module *m, tp_loader *l)
{
    int64_t right = 0, seen = 0;

    if (tp_ok() && (!m || !l))
        tp__fail(TP_ERR_ARG, __func__, "missing %s", m ? "loader" : "module");
    if (tp_ok() && tp_data_opts(l).endless) tp__fail(TP_ERR_ARG, __func__, "an endless loader has no pass that ends");
    for (tp_batch b; tp_data_next(l, &b);) {
        TP_SCOPE;
        right += hits(tp_nn_predict(m, b.x), b.y);
        seen += b.size;
    }
    return tp_ok() && seen ? (double)right / (double)seen : (double)NAN;
}
