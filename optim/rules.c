/*
 * rules.c - the optimizers: their options, checked, and their defaults, which are PyTorch's.
 */
#include "optim/internal.h"

#include <math.h>

/* ---- SGD (Sutskever et al. 2013 for momentum) ---- */

tp_sgd_opts tp_sgd(double lr)
{
    return (tp_sgd_opts){ .lr = lr, .filled = true };
}

static bool sgd_group(const char *where, tp_sgd_opts o, tp_group *g)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, o.filled, TP_ERR_ARG, "options are not filled: start from tp_sgd(lr)");
    TP_REQUIRE_IN(where, o.momentum >= 0 && isfinite(o.momentum) && o.weight_decay >= 0 &&
                  isfinite(o.weight_decay) && isfinite(o.dampening), TP_ERR_ARG, "momentum %g, dampening %g, weight_decay %g",
                  o.momentum, o.dampening, o.weight_decay);
    TP_REQUIRE_IN(where, !o.nesterov || (o.momentum > 0 && o.dampening == 0), TP_ERR_ARG,
                  "nesterov needs a momentum and no dampening");
    *g = (tp_group){ .host_lr = o.lr, .sgd = { o.momentum, o.dampening, o.weight_decay, o.nesterov } };
    return true;
}

tp_optim *tp_optim_sgd(tp_params p, tp_sgd_opts o)
{
    tp_group g;

    return sgd_group(__func__, o, &g) ? tp__optim_new(TP_RULE_SGD, p, g) : NULL;
}

bool tp_optim_add_sgd_group(tp_optim *o, tp_params p, tp_sgd_opts opts)
{
    tp_group g;

    return sgd_group(__func__, opts, &g) && tp__optim_add(__func__, o, TP_RULE_SGD, p, g);
}

/* ---- Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019) ---- */

tp_adam_opts tp_adam(double lr)
{
    return (tp_adam_opts){ lr, 0.9, 0.999, 1e-8, 0, true };
}

tp_adam_opts tp_adamw(double lr)
{
    return (tp_adam_opts){ lr, 0.9, 0.999, 1e-8, 0.01, true };
}

static bool adam_group(const char *where, tp_adam_opts o, bool decoupled, tp_group *g)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, o.filled, TP_ERR_ARG, "options are not filled: start from tp_adam(lr) or tp_adamw(lr)");
    TP_REQUIRE_IN(where, o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1 && o.eps >= 0 &&
                  isfinite(o.eps) && o.weight_decay >= 0 && isfinite(o.weight_decay), TP_ERR_ARG, "beta1 %g, beta2 %g, eps %g, weight_decay %g", o.beta1,
                  o.beta2, o.eps, o.weight_decay);
    *g = (tp_group){ .host_lr = o.lr, .adam = { o.beta1, o.beta2, o.eps, o.weight_decay, decoupled } };
    return true;
}

tp_optim *tp_optim_adam(tp_params p, tp_adam_opts o)
{
    tp_group g;

    return adam_group(__func__, o, false, &g) ? tp__optim_new(TP_RULE_ADAM, p, g) : NULL;
}

tp_optim *tp_optim_adamw(tp_params p, tp_adam_opts o)
{
    tp_group g;

    return adam_group(__func__, o, true, &g) ? tp__optim_new(TP_RULE_ADAM, p, g) : NULL;
}

bool tp_optim_add_adam_group(tp_optim *o, tp_params p, tp_adam_opts opts)
{
    bool decoupled = o && o->n_group && o->group[0].adam.decoupled;
    tp_group g;

    return adam_group(__func__, opts, decoupled, &g) && tp__optim_add(__func__, o, TP_RULE_ADAM, p, g);
}
