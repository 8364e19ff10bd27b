/*
 * norm.h - what the files of norms share.
 */
#ifndef TP_AUTOGRAD_OPS_NORM_H
#define TP_AUTOGRAD_OPS_NORM_H

#include "autograd/op.h"

/* Inputs of every norm; the first two are saved first. */
enum { TP_NORM_X, TP_NORM_WEIGHT, TP_NORM_BIAS };

typedef struct tp_norm_attr {
    double eps;
    bool rms;     /* by the mean square: nothing is subtracted */
    tp_axes over; /* the axes of the statistics, in the shape that the op works on: */
    tp_shape as, weight_as; /* rank 0: as they are */
} tp_norm_attr;

/* The dtype of statistics and weights beside T. */
static inline tp_dtype tp__norm_wide(const tp_tensor *x)
{
    return x->dtype == TP_F64 ? TP_F64 : TP_F32;
}

/* Where the gradient of a weight goes, if it is wanted. */
static inline tp_tensor *tp__norm_room(tp_node *n, int i, const tp_tensor *x)
{
    return tp__wants(n, i) ? tp__new(tp__in_shape(n, i), tp__norm_wide(x), tp__device(x)) : NULL;
}

/* The backward of any of them, written out in ops, which record themselves. */
void tp__norm_backward_in_ops(tp_node *n);

#endif
