/*
 * cost.h - how much work an op is: floating-point operations of its products, and bytes.
 */
#ifndef TP_AUTOGRAD_COST_H
#define TP_AUTOGRAD_COST_H

#include "autograd/node.h"

/* What a recorded op leaves in its node while somebody watches or looks for NaN. */
struct tp_note {
    size_t size; /* of this block */
    tp_cost cost; /* with the ops inside */
    char path[];  /* where in the model */
};
typedef struct tp_note tp_note;

tp_cost tp__cost_own(const char *op, tp_list in, tp_list out);   /* without the ops inside */
tp_cost tp__cost_whole(const char *op, tp_list in, tp_list out);
tp_cost tp__cost_backward(const tp_node *n); /* of the gradients that are wanted */

#endif
