/*
 * metric.c - how good a model is over a data set.
 */
#include "train/train.h"

#include "tensor/internal.h"

#include <math.h>

static int64_t hits(tp_tensor *scores, tp_tensor *labels)
{
    size_t n = (size_t)tp_count(labels), bytes = n * sizeof(int64_t);
    int64_t *got = tp__alloc(bytes), *want = tp__alloc(bytes), same = 0;

    if (got && want && tp_read(tp_argmax(scores, -1), got, bytes) && tp_read(tp_cast(labels, TP_I64), want, bytes))
        for (size_t i = 0; i < n; i++)
            same += got[i] == want[i];
    tp__release(got, bytes), tp__release(want, bytes);
    return same;
}

double tp_train_accuracy(tp_module *m, tp_loader *l)
{
    int64_t right = 0, seen = 0;

    for (tp_batch b; tp_data_next(l, &b);) {
        TP_SCOPE;
        right += hits(tp_nn_predict(m, b.x), b.y);
        seen += b.size;
    }
    return tp_ok() && seen ? (double)right / (double)seen : (double)NAN;
}
