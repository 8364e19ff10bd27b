/*
 * plateau.c - the learning rate falls when a value doesn't get better: PyTorch's ReduceLROnPlateau.
 */
#include "optim/internal.h"

#include <math.h>

tp_plateau_opts tp_plateau(void)
{
    return (tp_plateau_opts){ .factor = 0.1, .patience = 10, .threshold = 1e-4, .eps = 1e-8, .filled = true };
}

tp_sched *tp_sched_plateau(tp_optim *o, tp_plateau_opts k)
{
    tp_sched *s;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(k.filled, TP_ERR_ARG, "options are not filled: start from tp_plateau()");
    TP_REQUIRE(k.factor >= 0 && k.factor < 1, TP_ERR_ARG, "factor %g: 0 or more and less than 1 is wanted", k.factor);
    TP_REQUIRE(k.patience >= 0 && k.cooldown >= 0, TP_ERR_ARG, "patience %lld, cooldown %lld", (long long)k.patience,
               (long long)k.cooldown);
    TP_REQUIRE(isfinite(k.threshold) && k.min_lr >= 0 && isfinite(k.min_lr) && k.eps >= 0, TP_ERR_ARG,
               "threshold %g, min_lr %g, eps %g", k.threshold, k.min_lr, k.eps);
    if (!(s = tp__sched_new(__func__, o))) return NULL;
    s->values = true, s->plateau.opts = k, s->plateau.best = k.max ? -INFINITY : INFINITY;
    return s;
}

static bool better(const tp_plateau_opts *k, double value, double best)
{
    if (k->max) return value > (k->absolute ? best + k->threshold : best * (1 + k->threshold));
    return value < (k->absolute ? best - k->threshold : best * (1 - k->threshold));
}

static bool reduce(tp_sched *s)
{
    const tp_plateau_opts *k = &s->plateau.opts;

    for (int i = 0; i < s->n; i++) {
        double old = tp_optim_lr(s->o, i), now = fmax(old * k->factor, k->min_lr);

        if (old - now > k->eps && !tp_optim_set_lr(s->o, i, now)) return false;
    }
    return true;
}

bool tp_sched_observe(tp_sched *s, double value)
{
    int64_t bad;

    if (!tp_ok()) return false;
    TP_REQUIRE(s, TP_ERR_ARG, "missing schedule");
    TP_REQUIRE(s->values, TP_ERR_ARG, "this schedule follows steps, not values: call tp_sched_advance");
    bad = better(&s->plateau.opts, value, s->plateau.best) ? 0 : s->plateau.bad + 1;
    if (s->plateau.cooling > 0) bad = 0;
    if (bad > s->plateau.opts.patience && !reduce(s)) return false;
    if (better(&s->plateau.opts, value, s->plateau.best)) s->plateau.best = value;
    if (s->plateau.cooling > 0) s->plateau.cooling--;
    if (bad > s->plateau.opts.patience) s->plateau.cooling = s->plateau.opts.cooldown, bad = 0;
    s->plateau.bad = bad, s->at++;
    return true;
}
