/*
 * ops_math.h - element by element, and folds over axes.  Read autograd/ops.h first.
 */
#ifndef TP_AUTOGRAD_OPS_MATH_H
#define TP_AUTOGRAD_OPS_MATH_H

#include "tensor/tensor.h"

TP_API_BEGIN

/* ---- arithmetic: floats and integers; twice ---- */
/* Integers wrap around.  Of two bools a sum is "or", a product "and". */
tp_tensor *tp_add(tp_tensor *a, tp_tensor *b); /* a + b */
tp_tensor *tp_sub(tp_tensor *a, tp_tensor *b); /* a - b */
tp_tensor *tp_mul(tp_tensor *a, tp_tensor *b); /* a b */
tp_tensor *tp_div(tp_tensor *a, tp_tensor *b); /* a / b; of two integers: f32 */
/* a x + b.  An integer x stays one if both numbers are whole, else it becomes f32; a bool i64. */
tp_tensor *tp_affine(tp_tensor *x, double a, double b);
tp_tensor *tp_scale(tp_tensor *x, double a); /* a x, as tp_affine */
tp_tensor *tp_shift(tp_tensor *x, double b); /* x + b, as tp_affine */
tp_tensor *tp_neg(tp_tensor *x);             /* -x */
tp_tensor *tp_square(tp_tensor *x);          /* x^2 */
/* a + weight (b - a).  Floats. */
tp_tensor *tp_lerp(tp_tensor *a, tp_tensor *b, tp_tensor *weight);
tp_tensor *tp_abs(tp_tensor *x); /* |x|; derivative 0 at 0 */
/* -1, 0 or 1; 0 for NaN; derivative 0. */
tp_tensor *tp_sign(tp_tensor *x);
/* min(max(x, lo), hi); -INFINITY and INFINITY: no bound.  The derivative is 1 between the bounds,
 * 0 at them and beyond.  An integer x becomes f32 if a bound is not whole. */
tp_tensor *tp_clamp(tp_tensor *x, double lo, double hi);
/* The larger, the smaller; NaN if one is.  Equals get half the gradient each.  Bool too. */
tp_tensor *tp_maximum(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_minimum(tp_tensor *a, tp_tensor *b);
/* a - q b with q = a / b rounded down, so the result has b's sign; fmod: q rounded to zero, a's
 * sign.  An integer over 0 is an error on the CPU. */
tp_tensor *tp_remainder(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_fmod(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_floor_divide(tp_tensor *a, tp_tensor *b); /* a / b rounded down.  No gradient. */

/* ---- functions: floats; twice ---- */
tp_tensor *tp_sqrt(tp_tensor *x);       /* x^(1/2); NaN below 0 */
tp_tensor *tp_rsqrt(tp_tensor *x);      /* 1 / sqrt x */
tp_tensor *tp_reciprocal(tp_tensor *x); /* 1 / x */
/* a^b; at a = 0 no gradient to a where b = 0, none to b where b >= 0. */
tp_tensor *tp_pow(tp_tensor *a, tp_tensor *b);
/* x^p; -2, -1, -1/2, 0, 1/2, 1, 2, 3 without a logarithm */
tp_tensor *tp_pow_scalar(tp_tensor *x, double p);
tp_tensor *tp_exp(tp_tensor *x);   /* e^x */
tp_tensor *tp_expm1(tp_tensor *x); /* e^x - 1, exact for small x */
tp_tensor *tp_log(tp_tensor *x);   /* the natural one; -infinity at 0, NaN below */
tp_tensor *tp_log1p(tp_tensor *x); /* log(1 + x), exact for small x */
tp_tensor *tp_sin(tp_tensor *x); /* of radians, however large; NaN at infinity */
tp_tensor *tp_cos(tp_tensor *x); /* as tp_sin's */
tp_tensor *tp_erf(tp_tensor *x); /* 2 / sqrt(pi) times the integral of e^-t^2 from 0 to x */
/* To an integer; derivative 0. */
tp_tensor *tp_floor(tp_tensor *x); /* down */
tp_tensor *tp_ceil(tp_tensor *x);  /* up */
tp_tensor *tp_round(tp_tensor *x); /* half to even */
tp_tensor *tp_trunc(tp_tensor *x); /* to zero */

/* ---- bits: integers and bool; no gradient ---- */
/* Of each bit: both, one or both, one alone, none. */
tp_tensor *tp_bitwise_and(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_bitwise_or(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_bitwise_xor(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_bitwise_not(tp_tensor *x);
/* a times, over 2^b; integers alone.  By a negative count, or by all bits: left 0, right 0 or -1 as
 * the sign is. */
tp_tensor *tp_bitwise_left_shift(tp_tensor *a, tp_tensor *b);
tp_tensor *tp_bitwise_right_shift(tp_tensor *a, tp_tensor *b);

/* ---- questions, answered in bool: all; no gradient ---- */
tp_tensor *tp_eq(tp_tensor *a, tp_tensor *b); /* a = b, in the dtype where they meet */
tp_tensor *tp_ne(tp_tensor *a, tp_tensor *b); /* not equal: true for NaN */
tp_tensor *tp_lt(tp_tensor *a, tp_tensor *b); /* a < b */
tp_tensor *tp_le(tp_tensor *a, tp_tensor *b); /* a <= b */
tp_tensor *tp_gt(tp_tensor *a, tp_tensor *b); /* a > b */
tp_tensor *tp_ge(tp_tensor *a, tp_tensor *b); /* a >= b */
/* Against a number: for floats the nearest that x's dtype has; integers as they are. */
tp_tensor *tp_eq_scalar(tp_tensor *x, double v);
tp_tensor *tp_ne_scalar(tp_tensor *x, double v);
tp_tensor *tp_lt_scalar(tp_tensor *x, double v);
tp_tensor *tp_le_scalar(tp_tensor *x, double v);
tp_tensor *tp_gt_scalar(tp_tensor *x, double v);
tp_tensor *tp_ge_scalar(tp_tensor *x, double v);
tp_tensor *tp_isnan(tp_tensor *x);    /* x != x */
tp_tensor *tp_isinf(tp_tensor *x);    /* |x| = infinity */
tp_tensor *tp_isfinite(tp_tensor *x); /* |x| < infinity: no NaN either */
tp_tensor *tp_logical_and(tp_tensor *a, tp_tensor *b); /* of a != 0 and b != 0 */
tp_tensor *tp_logical_or(tp_tensor *a, tp_tensor *b);  /* one or both */
tp_tensor *tp_logical_xor(tp_tensor *a, tp_tensor *b); /* one alone */
tp_tensor *tp_logical_not(tp_tensor *x); /* x = 0 */
/* a = b, or |a - b| <= atol + rtol |b| and finite; torch's rtol 1e-5, atol 1e-8.  NaN is close to
 * nothing.  Not f16. */
tp_tensor *tp_isclose(tp_tensor *a, tp_tensor *b, double rtol, double atol);
/* Whether all are close; false after a failure too. */
bool tp_allclose(tp_tensor *a, tp_tensor *b, double rtol, double atol);

/* ---- choice: all; twice ---- */
tp_tensor *tp_where(tp_tensor *cond, tp_tensor *a, tp_tensor *b); /* a where cond (bool), else b */

/* ---- activations: floats; twice ---- */
tp_tensor *tp_relu(tp_tensor *x);      /* max(0, x); derivative 0 at 0 */
tp_tensor *tp_relu6(tp_tensor *x);     /* min(max(0, x), 6) */
tp_tensor *tp_tanh(tp_tensor *x); /* (e^x - e^-x) / (e^x + e^-x) */
tp_tensor *tp_sigmoid(tp_tensor *x);   /* 1 / (1 + e^-x) */
tp_tensor *tp_gelu(tp_tensor *x);      /* x Phi(x) (Hendrycks & Gimpel 2016) */
tp_tensor *tp_gelu_tanh(tp_tensor *x); /* its approximation by tanh, as GPT-2's */
tp_tensor *tp_silu(tp_tensor *x);      /* x sigmoid(x) (Elfwing et al. 2017; "swish") */
tp_tensor *tp_mish(tp_tensor *x);      /* x tanh(log(1 + e^x)) (Misra 2019) */
/* x where x > 0, else slope x; torch's slope 0.01 */
tp_tensor *tp_leaky_relu(tp_tensor *x, double negative_slope);
/* x where x > 0, else weight x; weight has one number, or one for each channel, axis 1 (He et al.
 * 2015). */
tp_tensor *tp_prelu(tp_tensor *x, tp_tensor *weight);
/* x where x > 0, else alpha (e^x - 1); torch's alpha 1 (Clevert et al. 2015) */
tp_tensor *tp_elu(tp_tensor *x, double alpha);
/* x where x > 0, else alpha (e^(x / alpha) - 1) (Barron 2017) */
tp_tensor *tp_celu(tp_tensor *x, double alpha);
tp_tensor *tp_selu(tp_tensor *x); /* 1.0507 elu(x, 1.6733) (Klambauer et al. 2017) */
/* log(1 + e^(beta x)) / beta; x itself where beta x > threshold.  torch's are 1 and 20. */
tp_tensor *tp_softplus(tp_tensor *x, double beta, double threshold);
tp_tensor *tp_log_sigmoid(tp_tensor *x); /* log(1 / (1 + e^-x)) */
tp_tensor *tp_softsign(tp_tensor *x);    /* x / (1 + |x|) */
tp_tensor *tp_tanhshrink(tp_tensor *x);  /* x - tanh x */
/* towards 0 by lambda, 0 within it; torch's is 0.5 */
tp_tensor *tp_softshrink(tp_tensor *x, double lambda);
/* 0 where |x| <= lambda, else x; torch's is 0.5 */
tp_tensor *tp_hardshrink(tp_tensor *x, double lambda);
/* min(max(x, lo), hi); torch's are -1 and 1 */
tp_tensor *tp_hardtanh(tp_tensor *x, double lo, double hi);
tp_tensor *tp_hardsigmoid(tp_tensor *x); /* min(max(x + 3, 0), 6) / 6 (Howard et al. 2019) */
tp_tensor *tp_hardswish(tp_tensor *x);   /* x hardsigmoid(x) */
/* x where x > threshold, else value */
tp_tensor *tp_threshold(tp_tensor *x, double threshold, double value);
/* a sigmoid(b), the halves of x along axis (Dauphin et al. 2016) */
tp_tensor *tp_glu(tp_tensor *x, int axis);

/* ---- folds over axes: floats; twice ---- */
tp_tensor *tp_sum(tp_tensor *x, tp_axes axes); /* an empty one is 0; integers and bool too, in i64 */
tp_tensor *tp_mean(tp_tensor *x, tp_axes axes); /* integers are refused: cast them first */
/* The product; integers and bool too, in i64; an empty one is 1. */
tp_tensor *tp_prod(tp_tensor *x, tp_axes axes);
/* Largest and smallest; NaN wins.  Equals share the gradient evenly.  Integers and bool too.
 * Nothing to choose from is an error. */
tp_tensor *tp_amax(tp_tensor *x, tp_axes axes);
tp_tensor *tp_amin(tp_tensor *x, tp_axes axes);
/* sum (x - mean)^2 / max(0, n - correction), torch's correction 1; std: its root. */
tp_tensor *tp_var(tp_tensor *x, tp_axes axes, double correction);
tp_tensor *tp_std(tp_tensor *x, tp_axes axes, double correction);
/* The variance, and in *mean, which may be NULL, the mean; *mean is NULL after a failure. */
tp_tensor *tp_var_mean(tp_tensor *x, tp_axes axes, double correction, tp_tensor **mean);
/* (sum |x|^p)^(1/p); INFINITY, -INFINITY: the largest, smallest |x|; 0: how many are not 0,
 * without a gradient.  Where the norm is 0 so is the gradient. */
tp_tensor *tp_norm(tp_tensor *x, double p, tp_axes axes);
tp_tensor *tp_logsumexp(tp_tensor *x, tp_axes axes); /* log sum e^x, without overflow */
/* Of any dtype: is one not 0, are all, how many (i64).  No gradient. */
tp_tensor *tp_any(tp_tensor *x, tp_axes axes);
tp_tensor *tp_all(tp_tensor *x, tp_axes axes);
tp_tensor *tp_count_nonzero(tp_tensor *x, tp_axes axes);

/* ---- along one axis: floats and integers; twice ---- */
/* i64: the first place of the largest, smallest along axis, which is dropped.  No gradient. */
tp_tensor *tp_argmax(tp_tensor *x, int axis);
tp_tensor *tp_argmin(tp_tensor *x, int axis);
/* The largest, smallest along axis, which is dropped, and its place as tp_argmax's; the gradient
 * goes there.  index may be NULL; after a failure *index is NULL. */
tp_tensor *tp_max_along(tp_tensor *x, int axis, tp_tensor **index);
tp_tensor *tp_min_along(tp_tensor *x, int axis, tp_tensor **index);
/* The smaller middle one; NaN if there is one. */
tp_tensor *tp_median(tp_tensor *x, int axis, tp_tensor **index);
tp_tensor *tp_cumsum(tp_tensor *x, int axis);  /* x_1 + ... + x_i; integers and bool in i64 */
tp_tensor *tp_cumprod(tp_tensor *x, int axis); /* x_1 ... x_i; integers and bool in i64.  Once. */
/* The largest, smallest so far, and the last place where it is. */
tp_tensor *tp_cummax(tp_tensor *x, int axis, tp_tensor **index);
tp_tensor *tp_cummin(tp_tensor *x, int axis, tp_tensor **index);
/* In order along axis, equals in theirs, NaN above all, and the places they came from.  Any
 * dtype. */
tp_tensor *tp_sort(tp_tensor *x, int axis, bool descending, tp_tensor **index);
/* The places alone.  No gradient. */
tp_tensor *tp_argsort(tp_tensor *x, int axis, bool descending);
/* The k largest along axis, in falling order, or the k smallest in rising order; the first of
 * equals first.  Any dtype. */
tp_tensor *tp_topk(tp_tensor *x, int64_t k, int axis, bool largest, tp_tensor **index);

TP_API_END

#endif
