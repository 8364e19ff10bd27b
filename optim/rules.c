/*
 * rules.c - the optimizers: their options, checked, and their defaults, which are PyTorch's.
 *
 * Each is a tp_rule, and a function that turns options into a group: the kernel's arguments and
 * what state there is.
 */
#include "optim/internal.h"

#include <math.h>

/* ---- what all rules share ---- */

static bool filled(const char *where, bool is, const char *with)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, is, TP_ERR_ARG, "options are not filled: start from %s", with);
    return true;
}

/* A number that is finite and not negative. */
static bool number(const char *where, const char *name, double x)
{
    TP_REQUIRE_IN(where, x >= 0 && isfinite(x), TP_ERR_ARG, "%s %g: a finite number of 0 or more is wanted", name, x);
    return true;
}

static bool share(const char *where, const char *name, double x)
{
    TP_REQUIRE_IN(where, x >= 0 && x < 1, TP_ERR_ARG, "%s %g: 0 or more and less than 1 is wanted", name, x);
    return true;
}

static bool betas(const char *where, double beta1, double beta2)
{
    return share(where, "beta1", beta1) && share(where, "beta2", beta2);
}

/* Defines what runs a rule's kernel, where its momentum is, the rule, and the two functions that
 * take its options. */
#define LAUNCH(name)                                                                            \
    static bool launch_##name(const tp_tensor *p, int n, const tp_update *u, const tp_group *g, \
                              tp_scalars s)                                                     \
    {                                                                                           \
        return TP_RUN(name, p, n, u, g->name, s);                                               \
    }
#define MAKE(name)                                                                         \
    tp_optim *tp_optim_##name(tp_params p, tp_##name##_opts o)                             \
    {                                                                                      \
        tp_group g;                                                                        \
                                                                                           \
        return name##_group(__func__, o, &g) ? tp__optim_new(__func__, &name##_rule, p, g) \
                                             : NULL;                                       \
    }
#define ADD(name)                                                                          \
    bool tp_optim_add_##name##_group(tp_optim *o, tp_params p, tp_##name##_opts opts)      \
    {                                                                                      \
        tp_group g;                                                                        \
                                                                                           \
        return name##_group(__func__, opts, &g) &&                                         \
               tp__optim_add(__func__, o, &name##_rule, p, g);                             \
    }
#define MOMENTUM(name, field)                                                        \
    static double *cycled_##name(tp_group *g) { return &g->name.field; }
#define RULE(name, cycled)                                                           \
    LAUNCH(name)                                                                     \
    static const tp_rule name##_rule = { #name, launch_##name, NULL, NULL, cycled }; \
    MAKE(name)                                                          \
    ADD(name)

/* ---- SGD (Sutskever et al. 2013 for momentum) ---- */

tp_sgd_opts tp_sgd(double lr)
{
    return (tp_sgd_opts){ .lr = lr, .filled = true };
}

static bool sgd_group(const char *where, tp_sgd_opts o, tp_group *g)
{
    if (!filled(where, o.filled, "tp_sgd(lr)")) return false;
    TP_REQUIRE_IN(where, o.momentum >= 0 && isfinite(o.momentum) && o.weight_decay >= 0 &&
                  isfinite(o.weight_decay) && isfinite(o.dampening), TP_ERR_ARG, "momentum %g, dampening %g, weight_decay %g",
                  o.momentum, o.dampening, o.weight_decay);
    TP_REQUIRE_IN(where, !o.nesterov || (o.momentum > 0 && o.dampening == 0), TP_ERR_ARG,
                  "nesterov needs a momentum and no dampening");
    *g = (tp_group){ .host_lr = o.lr, .keeps = { [TP_M] = o.momentum != 0 } };
    g->sgd = (tp_sgd_args){ o.momentum, o.dampening, o.weight_decay, o.nesterov, o.maximize };
    return true;
}

MOMENTUM(sgd, momentum)
RULE(sgd, cycled_sgd)

/* ---- Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019) ---- */

tp_adam_opts tp_adam(double lr)
{
    return (tp_adam_opts){ .lr = lr, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .filled = true };
}

tp_adam_opts tp_adamw(double lr)
{
    tp_adam_opts o = tp_adam(lr);

    o.weight_decay = 0.01;
    return o;
}

static bool adam_like(const char *where, tp_adam_opts o, bool decoupled, tp_group *g)
{
    if (!filled(where, o.filled, "tp_adam(lr) or tp_adamw(lr)")) return false;
    TP_REQUIRE_IN(where, o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1 && o.eps >= 0 &&
                  isfinite(o.eps) && o.weight_decay >= 0 && isfinite(o.weight_decay), TP_ERR_ARG, "beta1 %g, beta2 %g, eps %g, weight_decay %g", o.beta1,
                  o.beta2, o.eps, o.weight_decay);
    *g = (tp_group){ .host_lr = o.lr, .keeps = { true, true, o.amsgrad } };
    g->adam = (tp_adam_args){ o.beta1, o.beta2, o.eps, o.weight_decay, decoupled, o.amsgrad, o.maximize };
    return true;
}

static bool adam_group(const char *where, tp_adam_opts o, tp_group *g)
{
    return adam_like(where, o, false, g);
}

LAUNCH(adam)
MOMENTUM(adam, beta1)
static const tp_rule adam_rule = { "adam", launch_adam, NULL, NULL, cycled_adam };
MAKE(adam)

tp_optim *tp_optim_adamw(tp_params p, tp_adam_opts o)
{
    tp_group g;

    return adam_like(__func__, o, true, &g) ? tp__optim_new(__func__, &adam_rule, p, g) : NULL;
}

bool tp_optim_add_adam_group(tp_optim *o, tp_params p, tp_adam_opts opts)
{
    bool decoupled = o && o->rule == &adam_rule && o->n_group && o->group[0].adam.decoupled;
    tp_group g;

    return adam_like(__func__, opts, decoupled, &g) && tp__optim_add(__func__, o, &adam_rule, p, g);
}

/* ---- RMSprop (Hinton 2012) ---- */

tp_rmsprop_opts tp_rmsprop(double lr)
{
    return (tp_rmsprop_opts){ .lr = lr, .alpha = 0.99, .eps = 1e-8, .filled = true };
}

static bool rmsprop_group(const char *where, tp_rmsprop_opts o, tp_group *g)
{
    if (!filled(where, o.filled, "tp_rmsprop(lr)") || !number(where, "alpha", o.alpha) || !number(where, "eps", o.eps) ||
        !number(where, "weight_decay", o.weight_decay) || !number(where, "momentum", o.momentum))
        return false;
    *g = (tp_group){ .host_lr = o.lr, .keeps = { o.momentum != 0, true, o.centered } };
    g->rmsprop = (tp_rmsprop_args){ o.alpha, o.eps, o.weight_decay, o.momentum, o.centered, o.maximize };
    return true;
}

MOMENTUM(rmsprop, momentum)
RULE(rmsprop, cycled_rmsprop)

/* ---- Adagrad (Duchi et al. 2011) ---- */

tp_adagrad_opts tp_adagrad(double lr)
{
    return (tp_adagrad_opts){ .lr = lr, .eps = 1e-10, .filled = true };
}

static bool adagrad_group(const char *where, tp_adagrad_opts o, tp_group *g)
{
    if (!filled(where, o.filled, "tp_adagrad(lr)") || !number(where, "lr_decay", o.lr_decay) ||
        !number(where, "weight_decay", o.weight_decay) || !number(where, "eps", o.eps) ||
        !number(where, "initial_accumulator_value", o.initial_accumulator_value))
        return false;
    *g = (tp_group){ .host_lr = o.lr, .keeps = { [TP_V] = true }, .start = o.initial_accumulator_value };
    g->adagrad = (tp_adagrad_args){ o.lr_decay, o.eps, o.weight_decay, o.maximize };
    return true;
}

RULE(adagrad, NULL)

/* ---- Adadelta (Zeiler 2012) ---- */

tp_adadelta_opts tp_adadelta(double lr)
{
    return (tp_adadelta_opts){ .lr = lr, .rho = 0.9, .eps = 1e-6, .filled = true };
}

static bool adadelta_group(const char *where, tp_adadelta_opts o, tp_group *g)
{
    if (!filled(where, o.filled, "tp_adadelta(lr)") || !number(where, "eps", o.eps) ||
        !number(where, "weight_decay", o.weight_decay))
        return false;
    TP_REQUIRE_IN(where, o.rho >= 0 && o.rho <= 1, TP_ERR_ARG, "rho %g: 0 to 1 is wanted", o.rho);
    *g = (tp_group){ .host_lr = o.lr, .keeps = { true, true, false } };
    g->adadelta = (tp_adadelta_args){ o.rho, o.eps, o.weight_decay, o.maximize };
    return true;
}

RULE(adadelta, NULL)

/* ---- Adam's relatives ---- */

tp_adamax_opts tp_adamax(double lr)
{
    return (tp_adamax_opts){ .lr = lr, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .filled = true };
}

static bool adamax_group(const char *where, tp_adamax_opts o, tp_group *g)
{
    if (!filled(where, o.filled, "tp_adamax(lr)") || !betas(where, o.beta1, o.beta2) || !number(where, "eps", o.eps) ||
        !number(where, "weight_decay", o.weight_decay))
        return false;
    *g = (tp_group){ .host_lr = o.lr, .keeps = { true, true, false } };
    g->adamax = (tp_adamax_args){ o.beta1, o.beta2, o.eps, o.weight_decay, o.maximize };
    return true;
}

MOMENTUM(adamax, beta1)
RULE(adamax, cycled_adamax)

tp_nadam_opts tp_nadam(double lr)
{
    return (tp_nadam_opts){ .lr = lr, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .momentum_decay = 4e-3, .filled = true };
}

static bool nadam_group(const char *where, tp_nadam_opts o, tp_group *g)
{
    if (!filled(where, o.filled, "tp_nadam(lr)") || !betas(where, o.beta1, o.beta2) || !number(where, "eps", o.eps) ||
        !number(where, "weight_decay", o.weight_decay) || !number(where, "momentum_decay", o.momentum_decay))
        return false;
    *g = (tp_group){ .host_lr = o.lr, .keeps = { true, true, false } };
    g->nadam = (tp_nadam_args){ o.beta1, o.beta2, o.eps, o.weight_decay, o.momentum_decay,
                                o.decoupled_weight_decay, o.maximize };
    return true;
}

MOMENTUM(nadam, beta1)
RULE(nadam, cycled_nadam)

tp_radam_opts tp_radam(double lr)
{
    return (tp_radam_opts){ .lr = lr, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .filled = true };
}

static bool radam_group(const char *where, tp_radam_opts o, tp_group *g)
{
    if (!filled(where, o.filled, "tp_radam(lr)") || !betas(where, o.beta1, o.beta2) || !number(where, "eps", o.eps) ||
        !number(where, "weight_decay", o.weight_decay))
        return false;
    *g = (tp_group){ .host_lr = o.lr, .keeps = { true, true, false } };
    g->radam = (tp_radam_args){ o.beta1, o.beta2, o.eps, o.weight_decay, o.decoupled_weight_decay, o.maximize };
    return true;
}

MOMENTUM(radam, beta1)
RULE(radam, cycled_radam)

/* ---- Lion (Chen et al. 2023) ---- */

tp_lion_opts tp_lion(double lr)
{
    return (tp_lion_opts){ .lr = lr, .beta1 = 0.9, .beta2 = 0.99, .filled = true };
}

static bool lion_group(const char *where, tp_lion_opts o, tp_group *g)
{
    if (!filled(where, o.filled, "tp_lion(lr)") || !betas(where, o.beta1, o.beta2) ||
        !number(where, "weight_decay", o.weight_decay))
        return false;
    *g = (tp_group){ .host_lr = o.lr, .keeps = { [TP_M] = true } };
    g->lion = (tp_lion_args){ o.beta1, o.beta2, o.weight_decay, o.maximize };
    return true;
}

MOMENTUM(lion, beta1)
RULE(lion, cycled_lion)

/* ---- Muon (Jordan 2024); muon.c makes its direction ---- */

tp_muon_opts tp_muon(double lr)
{
    return (tp_muon_opts){ .lr = lr, .weight_decay = 0.1, .momentum = 0.95, .eps = 1e-7, .ns_steps = 5,
                           .ns_coefficients = { 3.4445, -4.7750, 2.0315 }, .nesterov = true, .filled = true };
}

static bool muon_group(const char *where, tp_muon_opts o, tp_group *g)
{
    if (!filled(where, o.filled, "tp_muon(lr)") || !number(where, "momentum", o.momentum) ||
        !number(where, "weight_decay", o.weight_decay) || !number(where, "eps", o.eps))
        return false;
    TP_REQUIRE_IN(where, o.ns_steps >= 0 && o.ns_steps < 100, TP_ERR_ARG, "%d ns_steps: 0 to 99 are wanted", o.ns_steps);
    TP_REQUIRE_IN(where, o.adjust_lr == TP_MUON_ORIGINAL || o.adjust_lr == TP_MUON_MATCH_RMS_ADAMW, TP_ERR_ARG,
                  "adjust_lr %d is no tp_muon_adjust", (int)o.adjust_lr);
    for (int i = 0; i < 3; i++)
        TP_REQUIRE_IN(where, isfinite(o.ns_coefficients[i]), TP_ERR_ARG, "ns_coefficients[%d] is %g", i, o.ns_coefficients[i]);
    *g = (tp_group){ .host_lr = o.lr, .keeps = { [TP_M] = true }, .matrix = o };
    g->muon = (tp_muon_args){ o.momentum, o.weight_decay };
    return true;
}

LAUNCH(muon)
MOMENTUM(muon, momentum)
static const tp_rule muon_rule = { "muon", launch_muon, tp__muon_takes, tp__muon_prepare, cycled_muon };
MAKE(muon)
ADD(muon)
