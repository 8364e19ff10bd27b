/*
 * lanes.h - folds over axes as folds of a dense (outer, n, inner) over n.
 */
#ifndef TP_AUTOGRAD_OPS_LANES_H
#define TP_AUTOGRAD_OPS_LANES_H

#include "autograd/op.h"

typedef struct tp__folded {
    tp_tensor *x; /* as it is, or copied so that the axes are neighbours in memory */
    tp_lanes d;
    tp_shape ones, left; /* x's shape with each folded axis 1, and what is left of it */
} tp__folded;

/* false and an error when an axis is absent or memory is out. */
bool tp__fold_lanes(const char *where, tp_tensor *x, tp_axes axes, tp__folded *f);
bool tp__fold_shapes(const char *where, const tp_tensor *x, tp_axes axes, tp_shape *ones,
                     tp_shape *left);

/* One axis: x in row-major order and its lanes. */
tp_tensor *tp__axis_lanes(tp_tensor *x, int axis, tp_lanes *d);

/* y_i = the product of x before i (exclusive), and x_i itself; reverse: from the end. */
tp_tensor *tp__cumprod(tp_tensor *x, int axis, bool reverse, bool exclusive);

tp_tensor *tp__total(tp_tensor *x, tp_axes axes); /* of integers and bool, in i64 */

#endif
