/*
 * internal.h - what is behind tp_optim, for the files of optim/ alone.
 *
 * Learning rate and step count are device scalars, so that a captured step may be replayed.
 * A step first gathers all that can fail, then runs kernels alone: it happens whole or not
 * at all.
 */
#ifndef TP_OPTIM_INTERNAL_H
#define TP_OPTIM_INTERNAL_H

#include "optim/optim.h"
#include "tensor/internal.h"

/* What a rule may keep of each parameter. */
enum { TP_M, TP_V, TP_W, TP_STATES };

/* One parameter and its state. */
typedef struct tp_slotted {
    char *name;
    tp_tensor *p;
    tp_tensor *state[TP_STATES]; /* NULL: its group has none */
    tp_tensor *step; /* f64: how often it was updated; shared by those updated as often */
    tp_tensor *grad; /* during a step; NULL: none arrived */
    tp_tensor *made; /* during a step: what the rule has prepared, lent */
    int group;
    bool done; /* during a step */
} tp_slotted;

typedef struct tp_group {
    union {
        tp_sgd_args sgd;
        tp_adam_args adam;
        tp_rmsprop_args rmsprop;
        tp_adagrad_args adagrad;
        tp_adadelta_args adadelta;
        tp_adamax_args adamax;
        tp_nadam_args nadam;
        tp_radam_args radam;
        tp_lion_args lion;
        tp_muon_args muon;
    };
    tp_muon_opts matrix; /* muon: how the direction is made */
    bool keeps[TP_STATES];
    double start;  /* what v begins with */
    tp_tensor *lr; /* f64, on the device */
    double host_lr, base_lr; /* base: before the schedules that live now */
} tp_group;

/* What one optimizer does differently from another. */
typedef struct tp_rule {
    const char *name;
    /* runs its kernel over n tensors of p's dtype; u.w is k->made where there is one.  NULL: it
     * steps with a closure alone */
    bool (*launch)(const tp_tensor *p, int n, const tp_update *u, const tp_group *g, tp_scalars s);
    /* NULL, or: can it train t?  An error tells why not. */
    bool (*takes)(const char *where, const char *name, const tp_tensor *t);
    /* NULL, or: makes k->made before anything changes */
    bool (*prepare)(tp_slotted *k, const tp_group *g, const tp_tensor *scale);
    /* NULL, or: where a group keeps its momentum or beta1, for schedules that cycle it */
    double *(*momentum)(tp_group *g);
} tp_rule;

struct tp_optim {
    atomic_int refs; /* the owner's, and one of each schedule and scaler */
    const tp_rule *rule;
    tp_device *device;
    tp_slotted *each;
    tp_group *group;
    tp_update *update; /* room for one launch */
    int n, room, n_group;
    int schedules; /* that live */
    struct tp_bfgs *lbfgs; /* of that rule alone, which has no launch */
    bool loading; /* its state is being replaced */
    bool broken; /* a kernel of an update failed to launch: nobody knows what was written */
};

tp_optim *tp__optim_retain(tp_optim *o);
tp_optim *tp__optim_new(const char *where, const tp_rule *rule, tp_params p, tp_group g);
bool tp__optim_add(const char *where, tp_optim *o, const tp_rule *rule, tp_params p, tp_group g);

/* Each parameter's grad, after checking all that a step, or clipping, needs. */
bool tp__optim_gather(const char *where, tp_optim *o);
/* The rest of a step, in the caller's scope: gradients are divided by scale (NULL: 1), and nothing
 * happens, on the device, if *skip isn't 0 (NULL: never). */
bool tp__optim_step(tp_optim *o, const tp_tensor *scale, const double *skip);
/* Fills o->update with the parameters of one launch with the first-th: how many. */
int tp__optim_launch_of(tp_optim *o, int first);

/* Casts *state to p's dtype. */
bool tp__optim_follow(tp_tensor **state, const tp_tensor *p);

/* lbfgs.c */
typedef struct tp_bfgs tp_bfgs;
tp_tensor *tp__lbfgs_step(tp_optim *o, tp_closure_fn *closure,
                          void *user); /* kept; after tp__optim_gather */
int tp__lbfgs_each(tp_bfgs *k, tp_nn_each_fn *f, void *user);
bool tp__lbfgs_loaded(tp_bfgs *k); /* can what was loaded be? */
bool tp__lbfgs_follow(tp_optim *o, tp_bfgs *k);
void tp__lbfgs_free(tp_bfgs *k);

/* ---- schedules ---- */

/* A schedule is a closed form of the step, so that it can be sought. */
struct tp_sched {
    tp_optim *o;
    double (*rate)(const tp_sched *s, double base, int64_t step);
    double (*momentum)(const tp_sched *s, int64_t step); /* NULL: left alone */
    double (*share)(int64_t step, void *user);           /* tp_sched_from */
    void *user;
    int64_t most; /* the last step that may be sought */
    int64_t at;
    int n; /* groups */
    double *rates; /* of each, while they are set */
    union {
        struct {
            int64_t warmup, total, every, restart, times;
            double gamma, start, end, power, least;
        } k; /* the numbers of the simple ones */
        tp_one_cycle_opts one;
        tp_cyclic_opts cyclic;
        struct {
            tp_plateau_opts opts;
            double best;
            int64_t bad, cooling;
        } plateau;
    };
    bool values; /* a plateau: it follows values, not steps */
    int64_t *milestones;
    tp_sched **parts; /* of a sequence */
    int n_milestones, n_parts;
};

tp_sched *tp__sched_new(const char *where, tp_optim *o);
tp_sched *tp__sched_begin(tp_sched *s); /* sets the rate of step 0; frees s when that fails */
bool tp__sched_milestones(const char *where, tp_sched *s, const int64_t *at, int n);

/* What must be saved of a schedule: the step first; how many numbers, at most TP_SCHED_NUMBERS. */
enum { TP_SCHED_NUMBERS = 5 };
int tp__sched_numbers(const tp_sched *s, int64_t *v);
bool tp__sched_restore(tp_sched *s, const int64_t *v);

/* muon.c: whether t is a matrix, and the direction of its step */
bool tp__muon_takes(const char *where, const char *name, const tp_tensor *t);
bool tp__muon_prepare(tp_slotted *k, const tp_group *g, const tp_tensor *scale);

#endif
