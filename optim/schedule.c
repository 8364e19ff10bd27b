/*
 * schedule.c - learning rates over time: setting them, moving on, and sequences of schedules.
 *
 * The rate of a step is a function of the step and of what each group had before any schedule:
 * nothing is carried along, so a schedule can be sought and resumed.
 */
#include "optim/internal.h"

#include <math.h>
#include <string.h>

/* ---- making ---- */

void tp_sched_free(tp_sched *s)
{
    if (!s) return;
    for (int i = 0; i < s->n_parts; i++)
        tp_sched_free(s->parts[i]);
    tp__release(s->parts, sizeof *s->parts * (size_t)s->n_parts);
    tp__release(s->milestones, sizeof *s->milestones * (size_t)s->n_milestones);
    tp__release(s->rates, sizeof *s->rates * (size_t)s->n);
    s->o->schedules--;
    tp_optim_free(s->o);
    tp__release(s, sizeof *s);
}

tp_sched *tp__sched_new(const char *where, tp_optim *o)
{
    tp_sched *s;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(where, o, TP_ERR_ARG, "missing optimizer or function");
    if (!(s = tp__alloc_zeroed(sizeof *s))) return NULL;
    s->o = tp__optim_retain(o), s->n = o->n_group, s->most = INT64_MAX;
    for (int i = 0; i < o->n_group && o->schedules == 0; i++)
        o->group[i].base_lr = o->group[i].host_lr;
    o->schedules++;
    if ((s->rates = tp__alloc(sizeof *s->rates * (size_t)s->n))) return s;
    tp_sched_free(s);
    return NULL;
}

bool tp__sched_milestones(const char *where, tp_sched *s, const int64_t *at, int n)
{
    TP_REQUIRE_IN(where, at || !n, TP_ERR_ARG, "missing milestones");
    for (int i = 0; i < n; i++)
        TP_REQUIRE_IN(where, at[i] > (i ? at[i - 1] : 0), TP_ERR_ARG,
                      "milestone %lld after %lld: positive steps that rise are wanted", (long long)at[i],
                      (long long)(i ? at[i - 1] : 0));
    if (!n) return true;
    if (!(s->milestones = tp__alloc(sizeof *at * (size_t)n))) return false;
    memcpy(s->milestones, at, sizeof *at * (size_t)n);
    s->n_milestones = n;
    return true;
}

/* ---- setting rates: all of them or none ---- */

static bool cycle(tp_sched *s, double momentum)
{
    for (int i = 0; i < s->n; i++)
        *s->o->rule->momentum(&s->o->group[i]) = momentum;
    return true;
}

/* The schedule of a step, and its step there: itself, or a part. */
static const tp_sched *part_at(const tp_sched *s, int64_t *step)
{
    int i = 0;

    if (!s->n_parts) return s;
    while (i < s->n_milestones && *step >= s->milestones[i])
        i++;
    if (i) *step -= s->milestones[i - 1];
    return part_at(s->parts[i], step);
}

static bool apply(const char *where, tp_sched *s, int64_t step)
{
    int64_t own = step;
    const tp_sched *k = part_at(s, &own);

    TP_REQUIRE_IN(where, own <= k->most, TP_ERR_ARG, "step %lld of a schedule of %lld", (long long)own, (long long)k->most);
    for (int i = 0; i < s->n; i++) {
        double lr = s->rates[i] = k->rate(k, s->o->group[i].base_lr, own);

        TP_REQUIRE_IN(where, lr >= 0 && isfinite(lr), TP_ERR_ARG, "learning rate %g", lr);
    }
    for (int i = 0; i < s->n; i++)
        if (!tp_optim_set_lr(s->o, i, s->rates[i])) return false;
    return !k->momentum || cycle(s, k->momentum(k, own));
}

tp_sched *tp__sched_begin(tp_sched *s)
{
    if (!s || apply("schedule", s, 0)) return s;
    tp_sched_free(s);
    return NULL;
}

/* ---- of the user's own ---- */

static double share_of(const tp_sched *s, double base, int64_t step)
{
    return base * s->share(step, s->user);
}

tp_sched *tp_sched_from(tp_optim *o, double (*share)(int64_t step, void *user), void *user)
{
    tp_sched *s;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(o && share, TP_ERR_ARG, "missing optimizer or function");
    if (!(s = tp__sched_new(__func__, o))) return NULL;
    s->rate = share_of, s->share = share, s->user = user;
    return tp__sched_begin(s);
}

static double product_of(const tp_sched *s, double base, int64_t step)
{
    for (int64_t i = 1; i <= step; i++)
        base *= s->share(i, s->user);
    return base;
}

tp_sched *tp_sched_multiplicative(tp_optim *o, double (*share)(int64_t step, void *user), void *user)
{
    tp_sched *s;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(o && share, TP_ERR_ARG, "missing optimizer or function");
    if (!(s = tp__sched_new(__func__, o))) return NULL;
    s->rate = product_of, s->share = share, s->user = user;
    return tp__sched_begin(s);
}

/* ---- one after the other ---- */

static bool fit(tp_sched *const *parts, int n)
{
    static const char where[] = "tp_sched_sequence";

    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, parts && n > 0, TP_ERR_ARG, "%d schedules", n);
    for (int i = 0; i < n; i++) {
        TP_REQUIRE_IN(where, parts[i], TP_ERR_ARG, "schedule %d is missing", i);
        TP_REQUIRE_IN(where, !parts[i]->values, TP_ERR_ARG, "schedule %d is a plateau: it follows values, not steps", i);
        TP_REQUIRE_IN(where, parts[i]->o == parts[0]->o && parts[i]->n == parts[0]->o->n_group, TP_ERR_ARG,
                      "schedule %d is of another optimizer, or older than a group of it", i);
        for (int j = 0; j < i; j++)
            TP_REQUIRE_IN(where, parts[i] != parts[j], TP_ERR_ARG, "schedule %d is schedule %d again", i, j);
    }
    return true;
}

/* Those that nothing took; the same one twice is freed once. */
static void free_parts(tp_sched *const *parts, int n)
{
    for (int i = 0; parts && i < n; i++) {
        bool again = false;

        for (int j = 0; j < i; j++)
            again = again || parts[j] == parts[i];
        if (!again) tp_sched_free(parts[i]);
    }
}

tp_sched *tp_sched_sequence(tp_sched *const *parts, const int64_t *milestones, int n)
{
    tp_sched *s = fit(parts, n) ? tp__sched_new(__func__, parts[0]->o) : NULL;

    if (s && tp__sched_milestones(__func__, s, milestones, n - 1) && (s->parts = tp__alloc(sizeof *parts * (size_t)n))) {
        memcpy(s->parts, parts, sizeof *parts * (size_t)n);
        s->n_parts = n;
        return tp__sched_begin(s);
    }
    tp_sched_free(s), free_parts(parts, n);
    return NULL;
}

/* ---- moving on ---- */

static bool seek(const char *where, tp_sched *s, int64_t step)
{
    TP_REQUIRE_IN(where, !s->values, TP_ERR_ARG,
                  "a plateau follows values, not steps: call tp_sched_observe");
    if (!apply(where, s, step)) return false;
    s->at = step;
    return true;
}

bool tp_sched_advance(tp_sched *s)
{
    if (!tp_ok()) return false;
    TP_REQUIRE(s, TP_ERR_ARG, "missing schedule");
    TP_REQUIRE(s->at < INT64_MAX, TP_ERR_ARG, "step %lld is the last there is", (long long)s->at);
    return seek(__func__, s, s->at + 1);
}

int64_t tp_sched_at(const tp_sched *s)
{
    return s ? s->at : 0;
}

bool tp_sched_seek(tp_sched *s, int64_t step)
{
    if (!tp_ok()) return false;
    TP_REQUIRE(s && step >= 0, TP_ERR_ARG, "missing schedule, or step %lld", (long long)step);
    return seek(__func__, s, step);
}

int tp__sched_numbers(const tp_sched *s, int64_t *v)
{
    v[0] = s->at, v[1] = 0;
    if (!s->values) return 2;
    v[2] = s->plateau.bad, v[3] = s->plateau.cooling;
    memcpy(&v[4], &s->plateau.best, sizeof *v);
    return TP_SCHED_NUMBERS;
}

/* Seeks; another rate than the optimizer had there is told: the schedule, or its first rate, isn't what it was. */
static bool note_rate(tp_sched *s, double had, int64_t at)
{
    if (!tp_sched_seek(s, at)) return false;
    if (fabs(tp_optim_lr(s->o, 0) - had) > 1e-9 * had)
        tp__log(1, "step %lld goes on with a rate of %g, and the run that is resumed had %g: the schedule is another",
                (long long)at, tp_optim_lr(s->o, 0), had);
    return true;
}

/* The rates that a plateau has set are the optimizer's state. */
bool tp__sched_restore(tp_sched *s, const int64_t *v)
{
    if (!s->values) return note_rate(s, tp_optim_lr(s->o, 0), v[0]);
    s->at = v[0], s->plateau.bad = v[2], s->plateau.cooling = v[3];
    memcpy(&s->plateau.best, &v[4], sizeof *v);
    return true;
}
