/*
 * optimizer.c - groups of parameters, and the step that all rules share.
 */
#include "optim/internal.h"

#include "autograd/op.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- making ---- */

/* Forgets all parameters but the first n. */
static void take_back(tp_optim *o, int n)
{
    while (o->n > n) {
        tp_slotted *k = &o->each[--o->n];

        tp__free(k->p), tp__free(k->step);
        for (int i = 0; i < TP_STATES; i++)
            tp__free(k->state[i]);
        tp__free_text(k->name);
    }
}

tp_optim *tp__optim_retain(tp_optim *o)
{
    atomic_fetch_add(&o->refs, 1);
    return o;
}

void tp_optim_free(tp_optim *o)
{
    if (!o || atomic_fetch_sub(&o->refs, 1) != 1) return;
    take_back(o, 0);
    tp__lbfgs_free(o->lbfgs);
    for (int i = 0; i < o->n_group; i++)
        tp__free(o->group[i].lr);
    tp__release(o->each, sizeof *o->each * (size_t)o->room);
    tp__release(o->update, sizeof *o->update * (size_t)o->room);
    tp__release(o->group, sizeof *o->group * (size_t)o->n_group);
    tp__release(o, sizeof *o);
}

static bool make_room(tp_optim *o)
{
    int room = o->room ? 2 * o->room : 16;
    tp_slotted *each;
    tp_update *update;

    if (o->n < o->room) return true;
    if (!(update = tp__alloc(sizeof *update * (size_t)room))) return false;
    if (!(each = tp__grow(o->each, sizeof *each * (size_t)o->room, sizeof *each * (size_t)room))) {
        tp__release(update, sizeof *update * (size_t)room);
        return false;
    }
    tp__release(o->update, sizeof *o->update * (size_t)o->room);
    o->each = each, o->update = update, o->room = room;
    return true;
}

typedef struct taking {
    const char *where;
    tp_optim *o;
    tp_group *g;
    tp_tensor *step; /* the group's clock */
    int first;       /* parameter of this group */
} taking;

/* Is it there already?  Twice in one group is one parameter with two names. */
static bool known(const taking *k, const tp_tensor *t, bool *elsewhere)
{
    for (int i = 0; i < k->o->n; i++)
        if (k->o->each[i].p == t) return *elsewhere = i < k->first, true;
    return *elsewhere = false;
}

static bool state_of(const taking *k, tp_slotted *s, tp_tensor *t)
{
    for (int i = 0; i < TP_STATES; i++)
        if (k->g->keeps[i]) s->state[i] = tp__keep(tp_zeros_like(t));
    return tp_ok() && (!k->g->keeps[TP_V] || k->g->start == 0 || tp_fill_(s->state[TP_V], k->g->start));
}

static bool take(void *user, const char *name, tp_tensor **t)
{
    taking *k = user;
    tp_optim *o = k->o;
    tp_slotted *s;
    bool elsewhere;

    TP_SCOPE;
    TP_REQUIRE_IN(k->where, *t, TP_ERR_ARG, "%s isn't there yet: call tp_nn_init first", name);
    TP_REQUIRE_IN(k->where, tp__dense(*t, TP_ROW_MAJOR) || tp__dense(*t, TP_CHANNELS_LAST), TP_ERR_ARG,
                  "%s is a strided view: tp_contiguous makes it a parameter", name);
    if (o->rule->takes && !o->rule->takes(k->where, name, *t)) return false;
    if (known(k, *t, &elsewhere)) {
        TP_REQUIRE_IN(k->where, !elsewhere, TP_ERR_ARG, "%s is in another group already", name);
        return true;
    }
    if (!o->device) o->device = tp_device_of(*t);
    TP_REQUIRE_IN(k->where, tp_device_of(*t) == o->device, TP_ERR_DEVICE, "%s is on %s, others on %s", name,
                  tp_device_name(tp_device_of(*t)), tp_device_name(o->device));
    if (!k->step && !(k->step = tp__keep(tp_zeros(TP_SCALAR, TP_F64, o->device)))) return false;
    if (!make_room(o)) return false;
    s = &o->each[o->n];
    *s = (tp_slotted){ .group = o->n_group };
    if (!(s->name = tp__strdup(name))) return false;
    o->n++;
    s->p = tp__retain(*t), s->step = tp__retain(k->step);
    return state_of(k, s, *t);
}

bool tp__optim_add(const char *where, tp_optim *o, const tp_rule *rule, tp_params p, tp_group g)
{
    taking k = { where, o, &g, NULL, 0 };
    tp_group *grown;

    TP_SCOPE;
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, o && o->rule == rule, TP_ERR_ARG, "missing optimizer, or one of another kind");
    TP_REQUIRE_IN(where, g.host_lr >= 0 && isfinite(g.host_lr), TP_ERR_ARG, "learning rate %g", g.host_lr);
    k.first = o->n;
    if (tp_nn_each(p, false, take, &k) > 0)
        g.lr = tp__keep(tp_full(TP_SCALAR, g.host_lr, TP_F64, o->device));
    tp__free(k.step);
    grown = g.lr ? tp__grow(o->group, sizeof g * (size_t)o->n_group, sizeof g * (size_t)(o->n_group + 1)) : NULL;
    if (!grown) {
        tp__free(g.lr), take_back(o, k.first); /* the optimizer stays as it was */
        return false;
    }
    g.base_lr = g.host_lr;
    o->group = grown;
    o->group[o->n_group++] = g;
    return true;
}

tp_optim *tp__optim_new(const char *where, const tp_rule *rule, tp_params p, tp_group g)
{
    tp_optim *o = tp_ok() ? tp__alloc_zeroed(sizeof *o) : NULL;

    if (!o) return NULL;
    atomic_init(&o->refs, 1), o->rule = rule;
    if (tp__optim_add(where, o, rule, p, g)) return o;
    tp_optim_free(o);
    return NULL;
}

/* ---- gather: all that can fail, and nothing has changed ---- */

static bool usable(const char *where, const tp_optim *o)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, o, TP_ERR_ARG, "missing optimizer");
    TP_REQUIRE_IN(where, !o->broken, TP_ERR_ARG,
                  "an update of this optimizer failed half way: load its state or free it");
    return true;
}

/* Are its parameters still those of a module? */
static bool current(const char *where, const tp_optim *o)
{
    for (int i = 0; i < o->n; i++)
        TP_REQUIRE_IN(where, !o->each[i].p->replaced, TP_ERR_ARG,
                      "%s was replaced by tp_nn_set or tp_nn_replace: make the optimizer after that", o->each[i].name);
    return true;
}

bool tp__optim_follow(tp_tensor **state, const tp_tensor *p)
{
    tp_tensor *t;

    if (!*state || (*state)->dtype == p->dtype) return true;
    if (!(t = tp_cast(*state, (tp_dtype)p->dtype))) return false;
    tp__free(*state);
    *state = tp__keep(t);
    return true;
}

/* After tp_nn_cast the state is cast too. */
static bool follow_dtypes(tp_optim *o)
{
    TP_SCOPE;
    TP_NO_GRAD;
    for (int i = 0; i < o->n; i++)
        for (int j = 0; j < TP_STATES; j++)
            if (!tp__optim_follow(&o->each[i].state[j], o->each[i].p)) return false;
    return !o->lbfgs || tp__lbfgs_follow(o, o->lbfgs);
}

bool tp__optim_gather(const char *where, tp_optim *o)
{
    if (!usable(where, o) || !current(where, o) || !follow_dtypes(o) || !tp__device_ctx(o->device)) return false;
    for (int i = 0; i < o->n; i++) {
        tp_slotted *k = &o->each[i];

        TP_REQUIRE_IN(where, tp__device(k->p) == o->device, TP_ERR_DEVICE,
                      "%s is on %s and the optimizer on %s: make it after tp_nn_init", k->name, tp__device(k->p)->name,
                      o->device->name);

        k->grad = tp__grad_peek(k->p), k->made = NULL, k->done = false;
        TP_REQUIRE_IN(where, !k->grad || k->grad->dtype == k->p->dtype, TP_ERR_DTYPE, "%s is %s, its gradient %s", k->name, tp__text(k->p), tp__text(k->grad));
    }
    return true;
}

/* Those that are updated and those that aren't must not share a count. */
static bool split_clock(tp_optim *o, tp_tensor *step)
{
    tp_tensor *copy = tp_clone(step);

    if (!copy) return false;
    for (int i = 0; i < o->n; i++)
        if (o->each[i].step == step && !o->each[i].grad) {
            tp__free(o->each[i].step);
            o->each[i].step = tp__keep(copy);
        }
    return true;
}

static bool split_clocks(tp_optim *o)
{
    for (int i = 0; i < o->n; i++)
        for (int j = 0; o->each[i].grad && j < o->n; j++)
            if (!o->each[j].grad && o->each[j].step == o->each[i].step && !split_clock(o, o->each[i].step))
                return false;
    return true;
}

static bool prepare(tp_optim *o, const tp_tensor *scale)
{
    TP_NO_GRAD;
    for (int i = 0; o->rule->prepare && i < o->n; i++)
        if (o->each[i].grad && !o->rule->prepare(&o->each[i], &o->group[o->each[i].group], scale)) return false;
    return true;
}

/* ---- commit: kernels alone ---- */

/* All parameters of one launch with the i-th: one group, dtype and clock. */
int tp__optim_launch_of(tp_optim *o, int first)
{
    const tp_slotted *lead = &o->each[first];
    int n = 0;

    for (int i = first; i < o->n; i++) {
        tp_slotted *k = &o->each[i];

        if (!k->grad || k->done || k->group != lead->group || k->step != lead->step ||
            k->p->dtype != lead->p->dtype)
            continue;
        o->update[n++] = (tp_update){ tp_count(k->p), tp__data(k->grad), tp__data(k->p),
                                      tp__data(k->state[TP_M]), tp__data(k->state[TP_V]),
                                      tp__data(k->made ? k->made : k->state[TP_W]) };
        k->done = true;
    }
    return n;
}

/* A clock ticks once a step, though the dtypes that share it are launched apart. */
static bool ticked(const tp_optim *o, const tp_slotted *lead)
{
    for (const tp_slotted *k = o->each; k < lead; k++)
        if (k->grad && k->step == lead->step) return true;
    return false;
}

static bool launch(tp_optim *o, const tp_slotted *lead, int n, tp_scalars s)
{
    const tp_group *g = &o->group[lead->group];

    s.lr = tp__data(g->lr), s.step = tp__data(lead->step);
    if (!ticked(o, lead) && !TP_RUN(tick, lead->step, tp__data(lead->step), s.skip)) return false;
    return o->rule->launch(lead->p, n, o->update, g, s);
}

bool tp__optim_step(tp_optim *o, const tp_tensor *scale, const double *skip)
{
    tp_scalars s = { .scale = tp__data(scale), .skip = skip };
    bool ok = true;

    TP_REQUIRE_IN("tp_optim_step", o->rule->launch, TP_ERR_ARG,
                  "%s evaluates the loss again and again: call tp_optim_step_with", o->rule->name);
    if (!split_clocks(o) || !prepare(o, scale)) return false;
    for (int i = 0; i < o->n; i++)
        o->each[i].done = false;
    for (int i = 0; i < o->n; i++) {
        tp_slotted *k = &o->each[i];

        if (!k->grad || k->done) continue;
        if (!(ok = launch(o, k, tp__optim_launch_of(o, i), s))) break;
    }
    for (int i = 0; i < o->n; i++)
        if (o->each[i].grad) o->each[i].p->storage->version++;
    o->broken = !ok;
    return ok;
}

bool tp_optim_step(tp_optim *o)
{
    TP_SCOPE;
    return tp__optim_gather(__func__, o) && tp__optim_step(o, NULL, NULL);
}

/* One evaluation, then a step as any other. */
static tp_tensor *plain_step(tp_optim *o, tp_closure_fn *closure, void *user)
{
    tp_tensor *loss;
    TP_WITH_GRAD;

    loss = closure(user);
    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_optim_step_with", loss, TP_ERR_USER,
                  "the closure gave no loss, and no error that says why");
    return tp_optim_step(o) ? tp__keep(tp_detach(loss)) : NULL;
}

tp_tensor *tp_optim_step_with(tp_optim *o, tp_closure_fn *closure, void *user)
{
    tp_tensor *loss, *lent = NULL;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(closure, TP_ERR_ARG, "missing closure");
    {
        TP_SCOPE;
        if (!tp__optim_gather(__func__, o)) return NULL;
        tp__optim_retain(o); /* the closure may free it */
        loss = o->lbfgs ? tp__lbfgs_step(o, closure, user) : plain_step(o, closure, user);
        tp_optim_free(o);
        if (loss) lent = tp_pass(tp__alias(loss));
        tp__free(loss);
    }
    return lent;
}

bool tp_optim_zero_grad(tp_optim *o)
{
    if (!tp_ok()) return false;
    TP_REQUIRE(o, TP_ERR_ARG, "missing optimizer");
    if (!current(__func__, o)) return false;
    for (int i = 0; i < o->n; i++)
        if (!tp_zero_grad(o->each[i].p)) return false;
    return true;
}

/* ---- learning rates and counts ---- */

int tp_optim_groups(const tp_optim *o)
{
    return o ? o->n_group : 0;
}

double tp_optim_lr(const tp_optim *o, int group)
{
    bool there = o && group >= 0 && group < o->n_group;

    if (!there && !o) tp__fail(TP_ERR_ARG, __func__, "missing optimizer");
    else if (!there)
        tp__fail(TP_ERR_ARG, __func__, "there is no group %d of %d", group, o->n_group);
    return there ? o->group[group].host_lr : 0;
}

const char *tp_optim_kind(const tp_optim *o)
{
    return o ? o->rule->name : "";
}

bool tp_optim_has(const tp_optim *o, const tp_tensor *t)
{
    for (int i = 0; o && t && i < o->n; i++)
        if (o->each[i].p == t) return true;
    return false;
}

static bool has(void *user, const char *name, tp_tensor **t)
{
    const tp_optim **o = user;

    (void)name;
    if (*o && tp_optim_has(*o, *t)) *o = NULL; /* found */
    return true;
}

bool tp_optim_trains(const tp_optim *o, tp_module *m)
{
    return o && m && tp_nn_each(tp_nn_params(m, "*"), false, has, &o) > 0 && !o;
}

bool tp_optim_set_lr(tp_optim *o, int group, double lr)
{
    if (!tp_ok()) return false;
    TP_REQUIRE(o && group >= -1 && group < o->n_group, TP_ERR_ARG, "there is no group %d", group);
    TP_REQUIRE(lr >= 0 && isfinite(lr), TP_ERR_ARG, "learning rate %g", lr);
    if (!tp__replayable(__func__, "each replay would set the same rate; set it between steps")) return false;
    for (int i = 0; i < o->n_group; i++) {
        if (group >= 0 && i != group) continue;
        if (!tp_fill_(o->group[i].lr, lr)) return false;
        o->group[i].host_lr = lr;
    }
    return true;
}

int64_t tp_optim_steps(tp_optim *o)
{
    double most = 0;

    for (int i = 0; o && i < o->n; i++) {
        double steps = i && o->each[i].step == o->each[i - 1].step ? 0 : tp_item(o->each[i].step);

        if (steps > most) most = steps;
    }
    return (int64_t)most;
}

/* ---- all its tensors ---- */

static const char *const state_name[TP_STATES] = { "m", "v", "w" };

static bool show(const tp_slotted *k, const char *what, tp_tensor **t, tp_nn_each_fn *f, void *user, int *n)
{
    char name[300];

    if (!*t) return true;
    snprintf(name, sizeof name, "%d.%s.%s", k->group, k->name, what);
    return ++*n, f(user, name, t);
}

int tp_optim_each(tp_optim *o, tp_nn_each_fn *f, void *user)
{
    char name[32];
    int n = 0;

    if (!tp_ok()) return -1;
    if (!o || !f) return tp__fail(TP_ERR_ARG, __func__, "missing optimizer or function"), -1;
    if ((!o->loading && !usable(__func__, o)) || !follow_dtypes(o)) return -1;
    for (int i = 0; i < o->n_group; i++) {
        snprintf(name, sizeof name, "%d.lr", i);
        if (n++, !f(user, name, &o->group[i].lr)) return -1;
    }
    if (o->lbfgs) {
        int own = tp__lbfgs_each(o->lbfgs, f, user);

        if (own < 0) return -1;
        n += own;
    }
    for (int i = 0; i < o->n; i++) {
        tp_slotted *k = &o->each[i];

        if (!show(k, "step", &k->step, f, user, &n)) return -1;
        for (int j = 0; j < TP_STATES; j++)
            if (!show(k, state_name[j], &k->state[j], f, user, &n)) return -1;
    }
    return n;
}

/* Every parameter gets a clock of its own, so that each can be loaded. */
bool tp_optim_load_begin(tp_optim *o)
{
    TP_SCOPE;
    if (!tp_ok()) return false;
    TP_REQUIRE(o, TP_ERR_ARG, "missing optimizer");
    for (int i = 0; i < o->n; i++) {
        tp_tensor *own = tp_clone(o->each[i].step);

        if (!own) return false;
        tp__free(o->each[i].step);
        o->each[i].step = tp__keep(own);
    }
    return o->loading = true;
}

/* Equal clocks of a group become one again. */
bool tp_optim_load_end(tp_optim *o)
{
    if (!tp_ok()) return false;
    TP_REQUIRE(o, TP_ERR_ARG, "missing optimizer");
    if (o->lbfgs && !tp__lbfgs_loaded(o->lbfgs)) return o->broken = true, false;
    for (int i = 0; i < o->n_group; i++)
        o->group[i].host_lr = tp_item(o->group[i].lr);
    for (int i = 1; i < o->n; i++) {
        tp_slotted *k = &o->each[i], *before = k - 1;

        if (k->group != before->group || tp_item(k->step) != tp_item(before->step)) continue;
        tp__free(k->step);
        k->step = tp__retain(before->step);
    }
    o->loading = false, o->broken = o->broken && !tp_ok();
    return tp_ok();
}
