/*
 * mode.c - the modes of a thread: recording, anomaly; autocast.c has its own.
 */
#include "autograd/node.h"

#include <stdlib.h>
#include <string.h>

tp_mode tp_grad_begin(bool on)
{
    tp_thread *me = tp__me();
    tp_mode m = { TP_MODE_GRAD, me->no_grad };

    me->no_grad = !on;
    return m;
}

unsigned char tp__anomaly_first(void)
{
    static atomic_uchar known;
    unsigned char now = atomic_load_explicit(&known, memory_order_relaxed);
    const char *asked = now ? NULL : getenv("TP_ANOMALY");

    if (now) return now;
    now = asked && *asked && strcmp(asked, "0") != 0 ? TP_ANOMALY_ON : TP_ANOMALY_OFF;
    atomic_store_explicit(&known, now, memory_order_relaxed);
    return now;
}

tp_mode tp_anomaly_begin(bool on)
{
    tp_thread *me = tp__me();
    tp_mode m = { TP_MODE_ANOMALY, me->anomaly };

    me->anomaly = on ? TP_ANOMALY_ON : TP_ANOMALY_OFF;
    return m;
}

void tp_mode_end(tp_mode m)
{
    tp_thread *me = tp__me();

    if (m.what == TP_MODE_GRAD) me->no_grad = m.old;
    if (m.what == TP_MODE_AUTOCAST) tp__autocast_end(me, (tp_dtype)m.old);
    if (m.what == TP_MODE_ANOMALY) me->anomaly = m.old;
}

void tp__mode_close(tp_mode *m)
{
    tp_mode_end(*m);
}

bool tp_grad_enabled(void)
{
    return !tp__me()->no_grad;
}

bool tp_recomputing(void)
{
    return tp__me()->second_run;
}

/* Anomaly mode waits for every result, so it is for finding, not for training. */
bool tp__nan_free(const char *op, const char *which, int first, tp_list list)
{
    const char *of = tp__me()->backward_of;

    for (int i = 0; i < list.n; i++) {
        tp_tensor *t = list.t[i], *n;
        tp_loop l;

        if (!t || !tp__is_float(t) || !tp__backend(t)->count_nan[t->dtype]) continue;
        TP_SCOPE;
        if (!(n = tp__new(TP_SCALAR, TP_I64, tp__device(t)))) return false;
        l = tp__loop(&t->shape, TP_LIST(t));
        if (!TP_RUN(count_nan, t, &l, tp__data(t), tp__data(n))) return false;
        TP_REQUIRE_IN(op, tp_item(n) == 0, TP_ERR_NONFINITE, "%s %d, %s, holds NaN%s%s", which, first + i,
                      tp__text(t),
                      of ? ", in the backward of " : "", of ? of : "");
    }
    return true;
}
