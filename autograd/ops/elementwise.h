/*
 * elementwise.h - what the files of elementwise ops share.
 */
#ifndef TP_AUTOGRAD_OPS_ELEMENTWISE_H
#define TP_AUTOGRAD_OPS_ELEMENTWISE_H

#include "autograd/op.h"

/* The slot array of a kernel on x's device; NULL without x, which
 * the op then refuses. */
#define TP_SLOT(x, name) ((x) && tp__alive(x) ? tp__backend(x)->name : NULL)

typedef enum tp_keep_what { TP_KEEP_NOTHING, TP_KEEP_X, TP_KEEP_Y } tp_keep_what;

/* y = f(x), and y = f(a, b) broadcast, by one kernel each; the second saves a and b if asked. */
tp_tensor *tp__unary(tp_sink to, const tp_op *op, tp__fn_tanh *const *slot, tp_tensor *x,
                     tp_keep_what keep);
tp_tensor *tp__binary(tp_sink to, const tp_op *op, tp__fn_add *const *slot, tp_tensor *a,
                      tp_tensor *b, bool save);
tp_tensor *tp__relu_dx(tp_sink to, tp_tensor *dy, tp_tensor *y);
/* Gives input i the gradient g, summed over the axes along which it was broadcast. */
void tp__give_summed(tp_node *n, int i, tp_tensor *g);
/* The same for a b, in one pass when nothing was broadcast. */
void tp__give_product(tp_node *n, int i, tp_tensor *a, tp_tensor *b);

#endif
