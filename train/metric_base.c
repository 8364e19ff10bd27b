/*
 * metric_base.c - what all metrics have in common: life, updates, elements on the host.
 */
#include "train/metric.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"

#include <math.h>

void *tp__metric_new(const tp_metric_kind *k)
{
    tp_metric *m = tp_ok() ? tp__alloc_zeroed(k->bytes) : NULL;

    if (m) m->kind = k;
    return m;
}

bool tp_metric_update(tp_metric *m, tp_tensor *x, tp_tensor *y)
{
    TP_SCOPE;
    TP_NO_GRAD;
    if (!tp_ok()) return false;
    TP_REQUIRE(m, TP_ERR_ARG, "missing metric");
    TP_REQUIRE(m->kind->update, TP_ERR_ARG, "%s is given tokens or words, not tensors", m->kind->name);
    TP_REQUIRE(m->kind->one_sided ? x || y : x && y, TP_ERR_ARG, "%s: missing %s", m->kind->name, x ? "y" : "x");
    if ((x && !tp__there(m->kind->name, x)) || (y && !tp__there(m->kind->name, y))) return false;
    return m->kind->update(m, x, y);
}

double tp_metric_value(tp_metric *m)
{
    TP_SCOPE;
    TP_NO_GRAD;
    if (tp_ok() && !m) tp__fail(TP_ERR_ARG, __func__, "missing metric");
    return tp_ok() && m->seen ? m->kind->value(m) : (double)NAN;
}

int64_t tp_metric_seen(const tp_metric *m)
{
    return m ? m->seen : 0;
}

void tp_metric_reset(tp_metric *m)
{
    if (!m) return;
    m->kind->reset(m);
    m->seen = 0;
}

void tp_metric_free(tp_metric *m)
{
    if (!m) return;
    if (m->kind->release) m->kind->release(m);
    tp__release(m, m->kind->bytes);
}

/* ---- elements ---- */

static void *on_host(tp_tensor *t, tp_dtype d, size_t *bytes)
{
    void *p;

    *bytes = (size_t)tp_count(t) * sizeof(double); /* i64 is as large */
    if (!(p = tp__alloc(*bytes + 1))) return NULL;
    (*bytes)++;
    if (tp_read(tp_cast(tp_detach(t), d), p, *bytes - 1)) return p;
    tp__release(p, *bytes);
    return NULL;
}

double *tp__metric_f64(tp_tensor *t, size_t *bytes)
{
    return on_host(t, TP_F64, bytes);
}

int64_t *tp__metric_i64(tp_tensor *t, size_t *bytes)
{
    return on_host(t, TP_I64, bytes);
}

bool tp__metric_is_labels(const tp_tensor *t)
{
    return !tp__is_float(t);
}

bool tp__metric_scores_fit(const char *where, tp_tensor *x, tp_tensor *y)
{
    bool fit = tp__is_float(x) && tp__metric_is_labels(y) && tp_rank(x) == tp_rank(y) + 1 && tp_dim(x, -1) > 0;

    for (int i = 0; fit && i < tp_rank(y); i++)
        fit = tp_dim(x, i) == tp_dim(y, i);
    TP_REQUIRE_IN(where, fit, TP_ERR_SHAPE, "scores are %s and labels %s: floats (..., C) and integers (...) are wanted",
                  tp__text(x), tp__text(y));
    return true;
}
