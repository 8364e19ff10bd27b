/*
 * schedule_forms.c - the ready-made schedules, each a closed form of the step.
 */
#include "optim/internal.h"

#include <math.h>

static const double pi = 3.141592653589793;

static bool positive(const char *where, const char *name, int64_t n)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, n > 0, TP_ERR_ARG, "%s %lld: a positive number is wanted", name, (long long)n);
    return true;
}

static bool number(const char *where, const char *name, double x)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, x >= 0 && isfinite(x), TP_ERR_ARG, "%s %g: a finite number of 0 or more is wanted", name, x);
    return true;
}

typedef double form(const tp_sched *s, double base, int64_t step);

static tp_sched *simple(const char *where, tp_optim *o, form *rate, tp_sched numbers)
{
    tp_sched *s = tp__sched_new(where, o);

    if (!s) return NULL;
    s->rate = rate, s->k = numbers.k;
    return tp__sched_begin(s);
}
#define SIMPLE(rate, ...) simple(__func__, o, rate, (tp_sched){ .k = { __VA_ARGS__ } })

/* ---- shares of the base ---- */

static double cosine(const tp_sched *s, double base, int64_t step)
{
    double done;

    if (step < s->k.warmup) return base * ((double)step / (double)s->k.warmup);
    done = (double)(step - s->k.warmup) / fmax(1, (double)(s->k.total - s->k.warmup));
    return base * (s->k.least + (1 - s->k.least) * 0.5 * (1 + cos(pi * fmin(1, done))));
}

tp_sched *tp_sched_cosine(tp_optim *o, int64_t warmup, int64_t total, double min_ratio)
{
    if (!tp_ok()) return NULL;
    TP_REQUIRE(warmup >= 0 && total > 0 && warmup <= total && min_ratio >= 0, TP_ERR_ARG,
               "warm-up %lld of %lld steps, down to %g: steps above 0, a warm-up of 0 to "
               "as many, and a "
               "share of 0 or more are wanted",
               (long long)warmup, (long long)total, min_ratio);
    return SIMPLE(cosine, .warmup = warmup, .total = total, .least = min_ratio);
}

static double stairs(const tp_sched *s, double base, int64_t step)
{
    return base * pow(s->k.gamma, (double)(step / s->k.every));
}

tp_sched *tp_sched_step(tp_optim *o, int64_t every, double gamma)
{
    if (!tp_ok()) return NULL;
    TP_REQUIRE(every > 0 && gamma >= 0, TP_ERR_ARG,
               "every %lld steps by %g: 1 step or more, and 0 or more, are wanted",
               (long long)every, gamma);
    return SIMPLE(stairs, .every = every, .gamma = gamma);
}

static double landings(const tp_sched *s, double base, int64_t step)
{
    int n = 0;

    while (n < s->n_milestones && step >= s->milestones[n])
        n++;
    return base * pow(s->k.gamma, n);
}

tp_sched *tp_sched_multi_step(tp_optim *o, const int64_t *milestones, int n, double gamma)
{
    tp_sched *s;

    if (!number(__func__, "gamma", gamma)) return NULL;
    TP_REQUIRE(n >= 0, TP_ERR_ARG, "%d milestones: 0 or more are wanted", n);
    if (!(s = tp__sched_new(__func__, o))) return NULL;
    s->rate = landings, s->k.gamma = gamma;
    if (tp__sched_milestones(__func__, s, milestones, n)) return tp__sched_begin(s);
    tp_sched_free(s);
    return NULL;
}

static double constant(const tp_sched *s, double base, int64_t step)
{
    return step < s->k.total ? base * s->k.start : base;
}

tp_sched *tp_sched_constant(tp_optim *o, double factor, int64_t total_iters)
{
    if (!positive(__func__, "total_iters", total_iters) || !number(__func__, "factor", factor)) return NULL;
    TP_REQUIRE(factor <= 1, TP_ERR_ARG, "factor %g: at most 1 is wanted", factor);
    return SIMPLE(constant, .total = total_iters, .start = factor);
}

static double line(const tp_sched *s, double base, int64_t step)
{
    double done = fmin((double)step, (double)s->k.total) / (double)s->k.total;

    return base * (s->k.start + (s->k.end - s->k.start) * done);
}

tp_sched *tp_sched_linear(tp_optim *o, double start_factor, double end_factor, int64_t total_iters)
{
    if (!positive(__func__, "total_iters", total_iters)) return NULL;
    TP_REQUIRE(start_factor > 0 && start_factor <= 1 && end_factor >= 0 && end_factor <= 1, TP_ERR_ARG,
               "factors %g to %g: up to 1 are wanted, and more than 0 at first", start_factor, end_factor);
    return SIMPLE(line, .total = total_iters, .start = start_factor, .end = end_factor);
}

static double powers(const tp_sched *s, double base, int64_t step)
{
    return base * pow(s->k.gamma, (double)step);
}

tp_sched *tp_sched_exponential(tp_optim *o, double gamma)
{
    if (!number(__func__, "gamma", gamma)) return NULL;
    return SIMPLE(powers, .gamma = gamma);
}

static double polynomial(const tp_sched *s, double base, int64_t step)
{
    return base * pow(1 - fmin((double)step, (double)s->k.total) / (double)s->k.total, s->k.power);
}

tp_sched *tp_sched_polynomial(tp_optim *o, int64_t total_iters, double power)
{
    if (!positive(__func__, "total_iters", total_iters) || !number(__func__, "power", power)) return NULL;
    return SIMPLE(polynomial, .total = total_iters, .power = power);
}

/* ---- to the rate of averaged weights ---- */

static double swa_share(const tp_sched *s, int64_t step)
{
    double done = fmin(1, (double)step / fmax(1, (double)s->k.total));

    return s->k.power > 0 ? done : (1 - cos(pi * done)) / 2;
}

static double swa(const tp_sched *s, double base, int64_t step)
{
    double share = swa_share(s, step);

    return s->k.end * share + base * (1 - share);
}

tp_sched *tp_sched_swa(tp_optim *o, double swa_lr, int64_t anneal_steps, bool linear)
{
    if (!number(__func__, "swa_lr", swa_lr)) return NULL;
    TP_REQUIRE(anneal_steps >= 0, TP_ERR_ARG, "anneal_steps %lld: 0 or more are wanted", (long long)anneal_steps);
    return SIMPLE(swa, .end = swa_lr, .total = anneal_steps, .power = linear);
}

/* ---- cosines down to a rate ---- */

static double between(double least, double base, double done)
{
    return least + (base - least) * (1 + cos(pi * done)) / 2;
}

static double annealing(const tp_sched *s, double base, int64_t step)
{
    return between(s->k.least, base, (double)step / (double)s->k.total);
}

tp_sched *tp_sched_cosine_annealing(tp_optim *o, int64_t T_max, double eta_min)
{
    if (!positive(__func__, "T_max", T_max) || !number(__func__, "eta_min", eta_min)) return NULL;
    return SIMPLE(annealing, .total = T_max, .least = eta_min);
}

static double restarts(const tp_sched *s, double base, int64_t step)
{
    double at = (double)step, length = (double)s->k.restart;

    if (s->k.times == 1) return between(s->k.least, base, (double)(step % s->k.restart) / length);
    for (; at >= length; length *= (double)s->k.times)
        at -= length;
    return between(s->k.least, base, at / length);
}

tp_sched *tp_sched_cosine_restarts(tp_optim *o, int64_t T_0, int64_t T_mult, double eta_min)
{
    if (!positive(__func__, "T_0", T_0) || !positive(__func__, "T_mult", T_mult) || !number(__func__, "eta_min", eta_min))
        return NULL;
    return SIMPLE(restarts, .restart = T_0, .times = T_mult, .least = eta_min);
}

/* ---- cycles, which may take the momentum along ---- */

static bool may_cycle(const char *where, const tp_optim *o, double base, double max)
{
    TP_REQUIRE_IN(where, !o || (o->rule->momentum && o->group[0].keeps[TP_M]), TP_ERR_ARG,
                  "%s has no momentum to cycle: set cycle_momentum to false", o ? o->rule->name : "");
    TP_REQUIRE_IN(where, base >= 0 && base < 1 && max >= 0 && max < 1, TP_ERR_ARG,
                  "momentum %g to %g: 0 or more and less than 1 is wanted", base, max);
    for (int i = 0; o && i < o->n_group; i++)
        TP_REQUIRE_IN(where, o->group[i].keeps[TP_M], TP_ERR_ARG, "group %d has no momentum to cycle", i);
    return true;
}

tp_one_cycle_opts tp_one_cycle(double max_lr, int64_t total_steps)
{
    return (tp_one_cycle_opts){ .max_lr = max_lr, .total_steps = total_steps, .pct_start = 0.3, .base_momentum = 0.85,
                                .max_momentum = 0.95, .div_factor = 25, .final_div_factor = 1e4,
                                .cycle_momentum = true, .filled = true };
}

/* The value at `step` on the way from value to value: v[0] at step 0, v[i] at end[i - 1]. */
static double phased(const tp_one_cycle_opts *k, int64_t step, const double v[4])
{
    double up = k->pct_start * (double)k->total_steps, last = (double)k->total_steps - 1;
    double end[3] = { up - 1, k->three_phase ? 2 * up - 2 : last, last }, from = 0, done;
    int i = 0, phases = k->three_phase ? 3 : 2;

    for (; i < phases - 1 && (double)step > end[i]; i++)
        from = end[i];
    done = end[i] != from ? fmin(1, ((double)step - from) / (end[i] - from)) : 1;
    if (k->linear) return v[i] + (v[i + 1] - v[i]) * done;
    return v[i + 1] + (v[i] - v[i + 1]) / 2 * (1 + cos(pi * done));
}

static double one_cycle_rate(const tp_sched *s, double base, int64_t step)
{
    const tp_one_cycle_opts *k = &s->one;
    double start = k->max_lr / k->div_factor, least = start / k->final_div_factor;

    (void)base;
    return phased(k, step, (double[]){ start, k->max_lr, k->three_phase ? start : least, least });
}

static double one_cycle_momentum(const tp_sched *s, int64_t step)
{
    const tp_one_cycle_opts *k = &s->one;

    return phased(k, step, (double[]){ k->max_momentum, k->base_momentum, k->max_momentum, k->max_momentum });
}

tp_sched *tp_sched_one_cycle(tp_optim *o, tp_one_cycle_opts k)
{
    tp_sched *s;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(k.filled, TP_ERR_ARG, "options are not filled: start from tp_one_cycle(max_lr, total_steps)");
    if (!positive(__func__, "total_steps", k.total_steps) || !number(__func__, "max_lr", k.max_lr)) return NULL;
    TP_REQUIRE(k.pct_start >= 0 && k.pct_start <= 1, TP_ERR_ARG, "pct_start %g: 0 to 1 is wanted", k.pct_start);
    TP_REQUIRE(k.div_factor > 0 && k.final_div_factor > 0, TP_ERR_ARG, "div_factor %g, final_div_factor %g", k.div_factor,
               k.final_div_factor);
    if (k.cycle_momentum && !may_cycle(__func__, o, k.base_momentum, k.max_momentum)) return NULL;
    if (!(s = tp__sched_new(__func__, o))) return NULL;
    s->rate = one_cycle_rate, s->momentum = k.cycle_momentum ? one_cycle_momentum : NULL;
    s->one = k, s->most = k.total_steps;
    return tp__sched_begin(s);
}

tp_cyclic_opts tp_cyclic(double base_lr, double max_lr)
{
    return (tp_cyclic_opts){ .base_lr = base_lr, .max_lr = max_lr, .step_size_up = 2000, .gamma = 1, .base_momentum = 0.8,
                             .max_momentum = 0.9, .cycle_momentum = true, .filled = true };
}

/* How high the step stands, from 0 to 1. */
static double height(const tp_cyclic_opts *k, int64_t step)
{
    int64_t down = k->step_size_down ? k->step_size_down : k->step_size_up, all = k->step_size_up + down;
    double x = (double)(step % all), up = (double)k->step_size_up, h = x <= up ? x / up : ((double)all - x) / (double)down;

    if (k->mode == TP_CYCLIC_TRIANGULAR2) return h * pow(0.5, (double)(step / all));
    return k->mode == TP_CYCLIC_EXP_RANGE ? h * pow(k->gamma, (double)step) : h;
}

static double cyclic_rate(const tp_sched *s, double base, int64_t step)
{
    (void)base;
    return s->cyclic.base_lr + (s->cyclic.max_lr - s->cyclic.base_lr) * height(&s->cyclic, step);
}

static double cyclic_momentum(const tp_sched *s, int64_t step)
{
    return s->cyclic.max_momentum - (s->cyclic.max_momentum - s->cyclic.base_momentum) * height(&s->cyclic, step);
}

tp_sched *tp_sched_cyclic(tp_optim *o, tp_cyclic_opts k)
{
    tp_sched *s;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(k.filled, TP_ERR_ARG, "options are not filled: start from tp_cyclic(base_lr, max_lr)");
    if (!positive(__func__, "step_size_up", k.step_size_up) || !number(__func__, "base_lr", k.base_lr) ||
        !number(__func__, "max_lr", k.max_lr) || !number(__func__, "gamma", k.gamma))
        return NULL;
    TP_REQUIRE(k.step_size_down >= 0, TP_ERR_ARG, "step_size_down %lld", (long long)k.step_size_down);
    TP_REQUIRE(k.step_size_up < INT64_MAX / 2 && k.step_size_down < INT64_MAX / 2, TP_ERR_ARG, "a cycle of too many steps");
    TP_REQUIRE(k.mode >= TP_CYCLIC_TRIANGULAR && k.mode <= TP_CYCLIC_EXP_RANGE, TP_ERR_ARG, "mode %d is no tp_cyclic_mode",
               (int)k.mode);
    if (k.cycle_momentum && !may_cycle(__func__, o, k.base_momentum, k.max_momentum)) return NULL;
    if (!(s = tp__sched_new(__func__, o))) return NULL;
    s->rate = cyclic_rate, s->momentum = k.cycle_momentum ? cyclic_momentum : NULL, s->cyclic = k;
    return tp__sched_begin(s);
}
