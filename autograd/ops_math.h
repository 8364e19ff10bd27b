/*
 * ops_math.h - element by element, and folds over axes.  Read autograd/ops.h first.
 */
#ifndef TP_AUTOGRAD_OPS_MATH_H
#define TP_AUTOGRAD_OPS_MATH_H

#include "tensor/tensor.h"

TP_API_BEGIN

/* ---- arithmetic: floats; twice ---- */
tp_tensor *tp_add(tp_tensor *a, tp_tensor *b); /* a + b */
tp_tensor *tp_sub(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_mul(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_div(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_affine(tp_tensor *x, double a, double b); /* a x + b */
tp_tensor *tp_scale(tp_tensor *x, double a);            /* a x */
tp_tensor *tp_shift(tp_tensor *x, double b);            /* x + b */
tp_tensor *tp_neg(tp_tensor *x);
tp_tensor *tp_square(tp_tensor *x);
tp_tensor *tp_sqrt(tp_tensor *x);
tp_tensor *tp_exp(tp_tensor *x);
tp_tensor *tp_log(tp_tensor *x);
tp_tensor *tp_relu(tp_tensor *x); /* max(0, x); derivative 0 at 0 */
tp_tensor *tp_tanh(tp_tensor *x);
tp_tensor *tp_sigmoid(tp_tensor *x);
tp_tensor *tp_gelu(tp_tensor *x);      /* x Phi(x) (Hendrycks & Gimpel 2016) */
tp_tensor *tp_gelu_tanh(tp_tensor *x); /* its approximation by tanh, as GPT-2's */
tp_tensor *tp_lerp(tp_tensor *a, tp_tensor *b, tp_tensor *weight); /* a + weight (b - a) */

/* ---- folds over axes: floats; twice ---- */
/* An empty sum is 0, an empty mean NaN. */
tp_tensor *tp_sum(tp_tensor *x, tp_axes axes);
tp_tensor *tp_mean(tp_tensor *x, tp_axes axes);
/* i64: the first place of the largest along axis, which is dropped.  No gradient. */
tp_tensor *tp_argmax(tp_tensor *x, int axis);

TP_API_END

#endif
