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

typedef enum tp_rule { TP_RULE_SGD, TP_RULE_ADAM } tp_rule;

/* One parameter and its state; m or v is NULL where the rule has none. */
typedef struct tp_slotted {
    char *name;
    tp_tensor *p, *m, *v;
    tp_tensor *step; /* f64: how often it was updated; shared by those updated as often */
    tp_tensor *grad; /* during a step; NULL: none arrived */
    int group;
    bool done; /* during a step */
} tp_slotted;

typedef struct tp_group {
    tp_sgd_args sgd;
    tp_adam_args adam;
    tp_tensor *lr; /* f64, on the device */
    double host_lr;
} tp_group;

struct tp_optim {
    atomic_int refs; /* the owner's, and one of each schedule */
    tp_rule rule;
    tp_device *device;
    tp_slotted *each;
    tp_group *group;
    tp_update *update; /* room for one launch */
    int n, room, n_group;
    bool loading; /* its state is being replaced */
    bool broken; /* a kernel of an update failed to launch: nobody knows what was written */
};

tp_optim *tp__optim_retain(tp_optim *o);
tp_optim *tp__optim_new(tp_rule rule, tp_params p, tp_group g);
bool tp__optim_add(const char *where, tp_optim *o, tp_rule rule, tp_params p, tp_group g);

#endif
