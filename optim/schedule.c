/*
 * schedule.c - learning rates over time, as a share of what each group had at first.
 */
#include "optim/internal.h"

#include <math.h>

struct tp_sched {
    tp_optim *o;
    double (*share)(int64_t step, void *user);
    void *user;
    struct {
        int64_t warmup, total, every;
        double ratio;
    } own; /* of the ready-made ones */
    double *first;
    int n;
    int64_t at;
};

static double cosine(int64_t step, void *user)
{
    const tp_sched *s = user;
    double done;

    if (step < s->own.warmup) return (double)step / (double)s->own.warmup;
    done = (double)(step - s->own.warmup) / fmax(1, (double)(s->own.total - s->own.warmup));
    return s->own.ratio + (1 - s->own.ratio) * 0.5 * (1 + cos(3.141592653589793 * fmin(1, done)));
}

static double stairs(int64_t step, void *user)
{
    const tp_sched *s = user;

    return pow(s->own.ratio, (double)(step / s->own.every));
}

static bool apply(tp_sched *s)
{
    double share = s->share(s->at, s->user);

    for (int i = 0; i < s->n; i++)
        if (!tp_optim_set_lr(s->o, i, s->first[i] * share)) return false;
    return true;
}

void tp_sched_free(tp_sched *s)
{
    if (!s) return;
    tp_optim_free(s->o);
    tp__release(s->first, sizeof *s->first * (size_t)s->n);
    tp__release(s, sizeof *s);
}

/* The rate of step 0 is set at once. */
static tp_sched *begun(tp_sched *s)
{
    if (!s || apply(s)) return s;
    tp_sched_free(s);
    return NULL;
}

static tp_sched *made(tp_optim *o, double (*share)(int64_t step, void *user), void *user)
{
    tp_sched *s;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("schedule", o && share, TP_ERR_ARG, "missing optimizer or function");
    if (!(s = tp__alloc_zeroed(sizeof *s))) return NULL;
    s->o = tp__optim_retain(o), s->share = share, s->user = user, s->n = o->n_group;
    if ((s->first = tp__alloc(sizeof *s->first * (size_t)s->n)))
        for (int i = 0; i < s->n; i++)
            s->first[i] = o->group[i].host_lr;
    if (s->first) return s;
    tp_sched_free(s);
    return NULL;
}

tp_sched *tp_sched_from(tp_optim *o, double (*share)(int64_t step, void *user), void *user)
{
    return begun(made(o, share, user));
}

/* A ready-made one is its own user. */
static tp_sched *ready(tp_optim *o, double (*share)(int64_t, void *), tp_sched own)
{
    tp_sched *s = made(o, share, NULL);

    if (s) s->own = own.own, s->user = s;
    return begun(s);
}

tp_sched *tp_sched_cosine(tp_optim *o, int64_t warmup, int64_t total, double min_ratio)
{
    if (!tp_ok()) return NULL;
    TP_REQUIRE(warmup >= 0 && total > 0 && warmup <= total && min_ratio >= 0, TP_ERR_ARG,
               "warm-up %lld of %lld steps, down to %g", (long long)warmup, (long long)total, min_ratio);
    return ready(o, cosine, (tp_sched){ .own = { .warmup = warmup, .total = total, .ratio = min_ratio } });
}

tp_sched *tp_sched_step(tp_optim *o, int64_t every, double gamma)
{
    if (!tp_ok()) return NULL;
    TP_REQUIRE(every > 0 && gamma >= 0, TP_ERR_ARG, "every %lld steps by %g", (long long)every, gamma);
    return ready(o, stairs, (tp_sched){ .own = { .every = every, .ratio = gamma } });
}

bool tp_sched_advance(tp_sched *s)
{
    if (!tp_ok()) return false;
    TP_REQUIRE(s, TP_ERR_ARG, "missing schedule");
    TP_REQUIRE(s->at < INT64_MAX, TP_ERR_ARG, "step %lld is the last there is", (long long)s->at);
    return tp_sched_seek(s, s->at + 1);
}

int64_t tp_sched_at(const tp_sched *s)
{
    return s ? s->at : 0;
}

bool tp_sched_seek(tp_sched *s, int64_t step)
{
    int64_t before = tp_sched_at(s);

    if (!tp_ok()) return false;
    TP_REQUIRE(s && step >= 0, TP_ERR_ARG, "missing schedule, or step %lld", (long long)step);
    s->at = step;
    if (apply(s)) return true;
    s->at = before;
    return false;
}
