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

typedef struct tp_optim tp_optim; /* made: tp_optim_free */

/* ---- the rules: options with PyTorch's names and defaults, learning rates aside ----
 * weight_decay goes into the gradient, or, decoupled, shrinks the weight itself by lr weight_decay.
 * maximize climbs.  tp_optim_NAME is refused with options that are not filled, negative, not finite
 * or, betas, not below 1.  State is kept in the parameter's dtype, from the start. */

/* v = momentum v + (1 - dampening) g, the first v being g;  p -= lr v, or, nesterov,
 * lr (g + momentum v) (Sutskever et al. 2013); without momentum p -= lr g */
typedef struct tp_sgd_opts {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, filled, maximize;
} tp_sgd_opts;
tp_sgd_opts tp_sgd(double lr); /* the rest 0 */
tp_optim *tp_optim_sgd(tp_params p, tp_sgd_opts o);

/* m, v = running means of g, g^2, corrected for their start at 0;  p -= lr m / (sqrt v + eps) */
typedef struct tp_adam_opts {
    double lr, beta1, beta2, eps, weight_decay;
    bool filled, amsgrad, maximize; /* amsgrad: Reddi et al. 2018 */
} tp_adam_opts;
tp_adam_opts tp_adam(double lr);  /* 0.9, 0.999, 1e-8, 0 (Kingma & Ba 2015) */
tp_adam_opts tp_adamw(double lr); /* decay 0.01, decoupled (Loshchilov & Hutter 2019) */
tp_optim *tp_optim_adam(tp_params p, tp_adam_opts o);
tp_optim *tp_optim_adamw(tp_params p, tp_adam_opts o);

/* v = alpha v + (1 - alpha) g^2;  p -= lr g / (sqrt v + eps)  (Hinton 2012); centered: less the
 * square of the mean gradient (Graves 2013) */
typedef struct tp_rmsprop_opts {
    double lr, alpha, eps, weight_decay, momentum;
    bool centered, maximize, filled;
} tp_rmsprop_opts;
tp_rmsprop_opts tp_rmsprop(double lr); /* 0.99, 1e-8, 0, 0 */
tp_optim *tp_optim_rmsprop(tp_params p, tp_rmsprop_opts o);

/* v += g^2;  p -= lr / (1 + (step - 1) lr_decay) g / (sqrt v + eps)  (Duchi et al. 2011) */
typedef struct tp_adagrad_opts {
    double lr, lr_decay, weight_decay, initial_accumulator_value, eps;
    bool maximize, filled;
} tp_adagrad_opts;
tp_adagrad_opts tp_adagrad(double lr); /* 0, 0, 0, 1e-10 */
tp_optim *tp_optim_adagrad(tp_params p, tp_adagrad_opts o);

/* s = sqrt(m + eps) / sqrt(v + eps) g, mean squares m of s, v of g;  p -= lr s  (Zeiler 2012) */
typedef struct tp_adadelta_opts {
    double lr, rho, eps, weight_decay;
    bool maximize, filled;
} tp_adadelta_opts;
tp_adadelta_opts tp_adadelta(double lr); /* 0.9, 1e-6, 0; PyTorch's lr is 1 */
tp_optim *tp_optim_adadelta(tp_params p, tp_adadelta_opts o);

/* Adam with v = max(beta2 v, |g| + eps) for the root (Kingma & Ba 2015, section 7.1) */
typedef struct tp_adamax_opts {
    double lr, beta1, beta2, eps, weight_decay;
    bool maximize, filled;
} tp_adamax_opts;
tp_adamax_opts tp_adamax(double lr); /* 0.9, 0.999, 1e-8, 0 */
tp_optim *tp_optim_adamax(tp_params p, tp_adamax_opts o);

/* Adam one momentum step ahead (Dozat 2016) */
typedef struct tp_nadam_opts {
    double lr, beta1, beta2, eps, weight_decay, momentum_decay;
    bool decoupled_weight_decay, maximize, filled;
} tp_nadam_opts;
tp_nadam_opts tp_nadam(double lr); /* 0.9, 0.999, 1e-8, 0, 0.004 */
tp_optim *tp_optim_nadam(tp_params p, tp_nadam_opts o);

/* Adam that divides only once v is known well enough (Liu et al. 2020) */
typedef struct tp_radam_opts {
    double lr, beta1, beta2, eps, weight_decay;
    bool decoupled_weight_decay, maximize, filled;
} tp_radam_opts;
tp_radam_opts tp_radam(double lr); /* 0.9, 0.999, 1e-8, 0 */
tp_optim *tp_optim_radam(tp_params p, tp_radam_opts o);

/* p -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay p);  m = beta2 m + (1 - beta2) g
 * (Chen et al. 2023, whose defaults these are) */
typedef struct tp_lion_opts {
    double lr, beta1, beta2, weight_decay;
    bool maximize, filled;
} tp_lion_opts;
tp_lion_opts tp_lion(double lr); /* 0.9, 0.99, 0 */
tp_optim *tp_optim_lion(tp_params p, tp_lion_opts o);

/* How the rate depends on the matrix's shape. */
typedef enum tp_muon_adjust {
    TP_MUON_ORIGINAL,  /* lr sqrt(max(1, rows / cols)) */
    TP_MUON_MATCH_RMS_ADAMW /* lr 0.2 sqrt(max(rows, cols)) */
} tp_muon_adjust;
/* The momentum of a matrix, made nearly orthogonal by ns_steps of a Newton-Schulz iteration with
 * ns_coefficients (Jordan 2024); weight_decay is decoupled.  Parameters that aren't matrices are
 * refused: train them with AdamW beside it.  The iteration runs in the parameter's dtype, f32 for
 * bf16, where PyTorch's always runs in bf16. */
typedef struct tp_muon_opts {
    double lr, weight_decay, momentum, ns_coefficients[3], eps;
    int ns_steps; /* 0 to 99 */
    tp_muon_adjust adjust_lr;
    bool nesterov, filled;
} tp_muon_opts;
tp_muon_opts tp_muon(double lr); /* 0.1, 0.95, {3.4445, -4.775, 2.0315}, 1e-7, 5, nesterov */
tp_optim *tp_optim_muon(tp_params p, tp_muon_opts o);

/* How far to go along a direction: lr, or until the strong Wolfe conditions hold. */
typedef enum tp_line_search { TP_LINE_NONE, TP_LINE_STRONG_WOLFE } tp_line_search;
/* Limited-memory BFGS (Liu & Nocedal 1989): max_iter directions a step, made of the last
 * history_size changes of the gradient; each is followed by lr, or as far as the strong Wolfe
 * conditions ask (Nocedal & Wright 2006, algorithms 3.5 and 3.6).  It needs the loss again and
 * again: tp_optim_step_with.  Parameters have one dtype, and there is one group.  It holds
 * 2 history_size + 2 tensors as large as all parameters together, from the start. */
typedef struct tp_lbfgs_opts {
    double lr;
    int64_t max_iter, max_eval; /* max_eval 0: max_iter 5 / 4 */
    double tolerance_grad, tolerance_change;
    int history_size;
    tp_line_search line_search;
    bool maximize, filled;
} tp_lbfgs_opts;
tp_lbfgs_opts tp_lbfgs(double lr); /* 20, 0, 1e-7, 1e-9, 100, none; PyTorch's lr is 1 */
tp_optim *tp_optim_lbfgs(tp_params p, tp_lbfgs_opts o);

/* More parameters, under options of their own; none may be there already. */
bool tp_optim_add_sgd_group(tp_optim *o, tp_params p, tp_sgd_opts opts);
bool tp_optim_add_adam_group(tp_optim *o, tp_params p, tp_adam_opts opts); /* AdamW's too */
bool tp_optim_add_rmsprop_group(tp_optim *o, tp_params p, tp_rmsprop_opts opts);
bool tp_optim_add_adagrad_group(tp_optim *o, tp_params p, tp_adagrad_opts opts);
bool tp_optim_add_adadelta_group(tp_optim *o, tp_params p, tp_adadelta_opts opts);
bool tp_optim_add_adamax_group(tp_optim *o, tp_params p, tp_adamax_opts opts);
bool tp_optim_add_nadam_group(tp_optim *o, tp_params p, tp_nadam_opts opts);
bool tp_optim_add_radam_group(tp_optim *o, tp_params p, tp_radam_opts opts);
bool tp_optim_add_lion_group(tp_optim *o, tp_params p, tp_lion_opts opts);
bool tp_optim_add_muon_group(tp_optim *o, tp_params p, tp_muon_opts opts);

/* ---- a step ---- */

bool tp_optim_zero_grad(tp_optim *o); /* drops the gradients of its parameters */
/* Parameters without a gradient are left alone.  Refused once tp_nn_set or tp_nn_replace has put
 * another tensor in a parameter's place: it would train what no module uses. */
bool tp_optim_step(tp_optim *o);
/* Zeroes the gradients, computes the loss, tp_backward, and gives the loss: one number. */
typedef tp_tensor *tp_closure_fn(void *user);
/* A step that may call closure several times, with gradients recorded: L-BFGS.  The others call it
 * once, before.  The first loss, lent, without history; NULL when closure or the step failed: then
 * the parameters and the optimizer are as they were. */
tp_tensor *tp_optim_step_with(tp_optim *o, tp_closure_fn *closure, void *user);
/* Scales all gradients so that their joint norm is at most max; gives the norm before, lent,
 * without waiting for the device. */
tp_tensor *tp_optim_clip_norm(tp_optim *o, double max);
typedef struct tp_clip_opts {
    double norm_type; /* p > 0 of (sum |g|^p)^(1/p), INFINITY: the largest |g|;  0: 2 */
    bool error_if_nonfinite; /* refuse a norm that is NaN or infinite; this waits for the device */
} tp_clip_opts;
/* The same by another norm, or refused where the norm is no number. */
tp_tensor *tp_optim_clip_norm_with(tp_optim *o, double max, tp_clip_opts opts);
/* Every element of every gradient to within -max and max; NaN stays. */
bool tp_optim_clip_value(tp_optim *o, double max);
tp_tensor *tp_optim_grad_norm(tp_optim *o); /* the joint norm, f64, lent, without waiting */

int tp_optim_groups(const tp_optim *o);                  /* how many; the first is 0 */
const char *tp_optim_kind(const tp_optim *o);            /* "adamw"; the optimizer's */
bool tp_optim_has(const tp_optim *o, const tp_tensor *t); /* t is one of its parameters */
bool tp_optim_trains(const tp_optim *o, tp_module *m);    /* some parameter of m is */
double tp_optim_lr(const tp_optim *o, int group);        /* as it is now; 0 after an error */
bool tp_optim_set_lr(tp_optim *o, int group, double lr); /* -1: all groups */
int64_t tp_optim_steps(tp_optim *o);                     /* waits for the device */
void tp_optim_free(tp_optim *o);                         /* before or after its module */

/* The optimizer's tensors by group and name, for saving: "0.lr", "0.fc.weight.step", and
 * what its rule keeps: ".m" of momentum, ".v" of size, ".w" (amsgrad's top v, RMSprop's mean);
 * L-BFGS has "0.direction", "0.gradient", "0.y.I", "0.s.I" and "0.numbers". */
int tp_optim_each(tp_optim *o, tp_nn_each_fn *f, void *user);
/* Around a change of what tp_optim_each shows, as loading makes. */
bool tp_optim_load_begin(tp_optim *o);
bool tp_optim_load_end(tp_optim *o);

/* ---- schedules: the learning rate of every group, as a function of the step ----
 * base: the rate a group had when the first of the schedules that live now was made.  Each sets the
 * rate of step 0 at once.  Groups added later keep their own rate.  Names, forms and defaults are
 * those of PyTorch's classes; steps that aren't positive are refused. */

typedef struct tp_sched tp_sched; /* holds its optimizer: free the two in any order */
/* Linear from 0 over `warmup` steps, then a half cosine down to min_ratio at `total`
 * (Loshchilov & Hutter 2017). */
tp_sched *tp_sched_cosine(tp_optim *o, int64_t warmup, int64_t total, double min_ratio);
tp_sched *tp_sched_step(tp_optim *o, int64_t every, double gamma); /* base gamma^(step / every) */
/* base gamma^(how many milestones step has reached); they rise.  MultiStepLR */
tp_sched *tp_sched_multi_step(tp_optim *o, const int64_t *milestones, int n, double gamma);
tp_sched *tp_sched_constant(tp_optim *o, double factor, int64_t total_iters); /* then base */
/* base times start_factor ... end_factor over total_iters steps.  LinearLR: 1/3, 1, 5 */
tp_sched *tp_sched_linear(tp_optim *o, double start_factor, double end_factor, int64_t total_iters);
tp_sched *tp_sched_exponential(tp_optim *o, double gamma); /* base gamma^step */
/* base (1 - step / total_iters)^power, then 0 */
tp_sched *tp_sched_polynomial(tp_optim *o, int64_t total_iters, double power);
/* eta_min + (base - eta_min) (1 + cos(pi step / T_max)) / 2, and up again.  CosineAnnealingLR */
tp_sched *tp_sched_cosine_annealing(tp_optim *o, int64_t T_max, double eta_min);
/* The same down alone, again and again, each T_mult times as long as the one before, T_0 at first
 * (Loshchilov & Hutter 2017) */
tp_sched *tp_sched_cosine_restarts(tp_optim *o, int64_t T_0, int64_t T_mult, double eta_min);

/* From max_lr / div_factor up to max_lr for pct_start of total_steps, then down to 1 /
 * final_div_factor of the beginning; with cycle_momentum, momentum or beta1 the other way round
 * (Smith & Topin 2018).  Step total_steps keeps the last rate, where PyTorch goes beyond it; any
 * later one is refused. */
typedef struct tp_one_cycle_opts {
    double max_lr;
    int64_t total_steps;
    double pct_start, base_momentum, max_momentum, div_factor, final_div_factor;
    bool linear, cycle_momentum, three_phase, filled;
} tp_one_cycle_opts;
/* 0.3, 0.85, 0.95, 25, 1e4; cosine, cycling momentum, two phases */
tp_one_cycle_opts tp_one_cycle(double max_lr, int64_t total_steps);
tp_sched *tp_sched_one_cycle(tp_optim *o, tp_one_cycle_opts opts);

/* What becomes of the height from cycle to cycle. */
typedef enum tp_cyclic_mode {
    TP_CYCLIC_TRIANGULAR,
    TP_CYCLIC_TRIANGULAR2,
    TP_CYCLIC_EXP_RANGE
} tp_cyclic_mode;
/* Up and down between base_lr and max_lr in straight lines (Smith 2017); the height is halved each
 * cycle (triangular2), or is gamma^step (exp_range). */
typedef struct tp_cyclic_opts {
    double base_lr, max_lr;
    int64_t step_size_up, step_size_down; /* down 0: as long as up */
    tp_cyclic_mode mode;
    double gamma, base_momentum, max_momentum;
    bool cycle_momentum, filled;
} tp_cyclic_opts;
tp_cyclic_opts tp_cyclic(double base_lr, double max_lr); /* 2000, 0, triangular, 1, 0.8, 0.9 */
tp_sched *tp_sched_cyclic(tp_optim *o, tp_cyclic_opts opts);

/* Every rate times factor, but not below min_lr, after more than `patience` values in a row that
 * weren't better than the best by threshold; then `cooldown` values don't count.  Told by
 * tp_sched_observe instead of tp_sched_advance.  ReduceLROnPlateau */
typedef struct tp_plateau_opts {
    bool max; /* larger is better */
    double factor;
    int64_t patience;
    double threshold;
    bool absolute; /* threshold: a difference, not a share */
    int64_t cooldown;
    double min_lr, eps; /* eps: changes no larger than it aren't made */
    bool filled;
} tp_plateau_opts;
tp_plateau_opts tp_plateau(void); /* min, 0.1, 10, 1e-4, relative, 0, 0, 1e-8 */
tp_sched *tp_sched_plateau(tp_optim *o, tp_plateau_opts opts);
bool tp_sched_observe(tp_sched *s, double value);

/* share(step, user) of base, called for step 0 at once.  LambdaLR */
tp_sched *tp_sched_from(tp_optim *o, double (*share)(int64_t step, void *user), void *user);
/* base share(1) share(2) ... share(step), computed anew at each step.  MultiplicativeLR */
tp_sched *tp_sched_multiplicative(tp_optim *o, double (*share)(int64_t step, void *user), void *user);
/* From base to swa_lr over anneal_steps, by half a cosine or in a straight line, and then swa_lr: for
 * tp_swa_new.  SWALR: cosine, 10 */
tp_sched *tp_sched_swa(tp_optim *o, double swa_lr, int64_t anneal_steps, bool linear);
/* parts[0] up to milestones[0], then parts[1] from its step 0 on, and so on: n parts, n - 1 rising
 * milestones; a warm-up is a tp_sched_linear before another.  It owns the parts, also after a
 * failure; all are of one optimizer, none is a plateau.  SequentialLR */
tp_sched *tp_sched_sequence(tp_sched *const *parts, const int64_t *milestones, int n);

bool tp_sched_advance(tp_sched *s); /* after each optimizer step */
int64_t tp_sched_at(const tp_sched *s); /* the step it is at */
bool tp_sched_seek(tp_sched *s, int64_t step); /* not of a plateau */
void tp_sched_free(tp_sched *s); /* rates stay as they are */

/* ---- the scale of a loss: small gradients survive a narrow dtype (Micikevicius et al. 2018) ----
 *     tp_backward(tp_scaler_scale(s, loss));  tp_scaler_step(s, o);  tp_scaler_update(s);
 * A step whose gradients aren't all finite doesn't happen and makes the scale smaller.  All of it
 * is decided on the device: nothing waits.  torch.amp.GradScaler */

typedef struct tp_scaler tp_scaler; /* holds its optimizers: free them in any order */
typedef struct tp_scaler_opts {
    double init_scale, growth_factor, backoff_factor;
    int64_t growth_interval;
    bool filled;
} tp_scaler_opts;
tp_scaler_opts tp_scaler_options(void); /* 65536, 2, 0.5, 2000 */
tp_scaler *tp_scaler_new(tp_device *dev, tp_scaler_opts o); /* dev: the gradients' */
tp_tensor *tp_scaler_scale(tp_scaler *s, tp_tensor *loss); /* loss times the scale, in its dtype */
/* Divides the gradients by the scale now, for clipping; once between two updates, before a step. */
bool tp_scaler_unscale(tp_scaler *s, tp_optim *o);
/* The step of o, with the gradients divided by the scale unless they are already, or none; neither
 * are its steps counted then.  Once between two updates; at most 16 optimizers share a scaler. */
bool tp_scaler_step(tp_scaler *s, tp_optim *o);
bool tp_scaler_update(tp_scaler *s); /* once all have stepped */
double tp_scaler_value(tp_scaler *s); /* the scale; waits for the device */
/* "scale" and "growth_tracker", for saving after tp_scaler_update */
int tp_scaler_each(tp_scaler *s, tp_nn_each_fn *f, void *user);
void tp_scaler_free(tp_scaler *s); /* before or after its optimizers */

/* ---- averages of a module's parameters over its training, and its buffers as they are ----
 * Made, and hold the parameters: free the module and them in any order.  An update happens whole or
 * not at all; the first copies, as in PyTorch's AveragedModel. */

typedef struct tp_ema tp_ema; /* made: tp_ema_free */
/* average += (1 - decay) (parameter - average);  of 0 to 1.  The module is there already
 * (tp_nn_init) and keeps its dtypes. */
tp_ema *tp_ema_new(tp_module *m, double decay);
/* With min(decay, n / (9 + n)) at the n-th update, so that the first weights are forgotten */
tp_ema *tp_ema_new_warm(tp_module *m, double decay);
/* The mean of all updates: stochastic weight averaging (Izmailov et al. 2018).  Running values of
 * norms are the module's own: tp_swa_update_bn makes those that fit the mean. */
tp_ema *tp_swa_new(tp_module *m);
bool tp_ema_update(tp_ema *e); /* after an optimizer step */
int64_t tp_ema_updates(tp_ema *e); /* waits for the device */
/* The module's values become the averages, and the other way round: do it twice.  In between,
 * updates and saving are refused.  TP_WITH_EMA does it for its block, whatever fails there. */
bool tp_ema_swap(tp_ema *e);
bool tp_ema_copy_to(tp_ema *e, tp_module *m); /* the averages into m, by name; m has all of them */
tp_tensor *tp_ema_tensor(tp_ema *e, const char *name); /* its own, not lent */
/* "updates", then averages and buffers by name, for saving: as many and in the same order. */
int tp_ema_each(tp_ema *e, tp_nn_each_fn *f, void *user);
void tp_ema_free(tp_ema *e); /* swapped averages stay in the module */

tp_ema *tp__ema_enter(tp_ema *e);
void tp__ema_leave(tp_ema **e);
/* At the top of a block: m has the averages up to its end. */
#define TP_WITH_EMA(e)                                                                   \
    tp_ema *TP__CAT(tp__swapped, __COUNTER__)                                            \
        __attribute__((cleanup(tp__ema_leave), unused)) = tp__ema_enter(e)

TP_API_END

#endif
