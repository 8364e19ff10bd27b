/*
 * optim.h - from gradients to parameters.
 *
 * Optimizers are made and hold their parameters: free them in any order.  A step happens whole
 * or not at all.  Options are filled by a function with PyTorch's defaults and then edited:
 * zero is zero.
 */
#ifndef TP_OPTIM_H
#define TP_OPTIM_H

#include "nn/nn.h"

TP_API_BEGIN

typedef struct tp_optim tp_optim;

typedef struct tp_sgd_opts {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, filled;
} tp_sgd_opts;
tp_sgd_opts tp_sgd(double lr); /* the rest 0 */
tp_optim *tp_optim_sgd(tp_params p, tp_sgd_opts o);

typedef struct tp_adam_opts {
    double lr, beta1, beta2, eps, weight_decay;
    bool filled;
} tp_adam_opts;
tp_adam_opts tp_adam(double lr);  /* 0.9, 0.999, 1e-8, 0 (Kingma & Ba 2015) */
tp_adam_opts tp_adamw(double lr); /* decay 0.01, decoupled (Loshchilov & Hutter 2019) */
tp_optim *tp_optim_adam(tp_params p, tp_adam_opts o);
tp_optim *tp_optim_adamw(tp_params p, tp_adam_opts o);

/* More parameters, under options of their own; none may be there already. */
bool tp_optim_add_sgd_group(tp_optim *o, tp_params p, tp_sgd_opts opts);
bool tp_optim_add_adam_group(tp_optim *o, tp_params p, tp_adam_opts opts);

bool tp_optim_zero_grad(tp_optim *o);
/* Parameters without a gradient are left alone.  Refused once tp_nn_set or tp_nn_replace has put
 * another tensor in a parameter's place: it would train what no module uses. */
bool tp_optim_step(tp_optim *o);
/* Scales all gradients so that their joint norm is at most max; gives the norm before, lent,
 * without waiting for the device. */
tp_tensor *tp_optim_clip_norm(tp_optim *o, double max);

int tp_optim_groups(const tp_optim *o);
double tp_optim_lr(const tp_optim *o, int group);
bool tp_optim_set_lr(tp_optim *o, int group, double lr); /* -1: all groups */
int64_t tp_optim_steps(tp_optim *o);                     /* waits for the device */
void tp_optim_free(tp_optim *o);

/* The optimizer's tensors by group and name, for saving: "0.lr", "0.fc.weight.step", ".m", ".v". */
int tp_optim_each(tp_optim *o, tp_nn_each_fn *f, void *user);
/* Around a change of what tp_optim_each shows, as loading makes. */
bool tp_optim_load_begin(tp_optim *o);
bool tp_optim_load_end(tp_optim *o);

/* ---- schedules: the learning rate of every group as a share of what it was ---- */

typedef struct tp_sched tp_sched; /* holds its optimizer: free the two in any order */
/* Linear from 0 over `warmup` steps, then a half cosine down to min_ratio at `total`
 * (Loshchilov & Hutter 2017). */
tp_sched *tp_sched_cosine(tp_optim *o, int64_t warmup, int64_t total, double min_ratio);
tp_sched *tp_sched_step(tp_optim *o, int64_t every, double gamma); /* gamma^(step / every) */
/* share(step, user), called for step 0 at once; groups added later keep their own rate */
tp_sched *tp_sched_from(tp_optim *o, double (*share)(int64_t step, void *user), void *user);
bool tp_sched_advance(tp_sched *s); /* after each optimizer step */
int64_t tp_sched_at(const tp_sched *s);
bool tp_sched_seek(tp_sched *s, int64_t step);
void tp_sched_free(tp_sched *s);

TP_API_END

#endif
