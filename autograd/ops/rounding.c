/*
 * rounding.c - steps, which are flat between, and division with remainder.
 *
 *   sign, floor, ceil, round, trunc    dx = 0
 *   remainder   y = a - q b            da = dy    db = -dy q    q = a / b rounded down
 *   fmod        the same, q rounded to zero
 *   floor_divide                       no gradient
 */
#include "autograd/ops/elementwise.h"

enum { A, B };
enum { X };

/* ---- steps ---- */

static void flat_backward(tp_node *n)
{
    tp_tensor *dy = tp__dy(n, 0);

    if (dy) tp__give(n, X, tp__expand(tp_zeros(TP_SCALAR, (tp_dtype)dy->dtype, tp__device(dy)), tp__in_shape(n, X)));
}

static const tp_op sign_op = { "sign", flat_backward, NULL };
static const tp_op floor_op = { "floor", flat_backward, NULL };
static const tp_op ceil_op = { "ceil", flat_backward, NULL };
static const tp_op round_op = { "round", flat_backward, NULL };
static const tp_op trunc_op = { "trunc", flat_backward, NULL };

tp_tensor *tp_sign(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &sign_op, TP_SLOT(x, sign), x, TP_KEEP_NOTHING);
}

tp_tensor *tp_floor(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &floor_op, TP_SLOT(x, floor), x, TP_KEEP_NOTHING);
}

tp_tensor *tp_ceil(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &ceil_op, TP_SLOT(x, ceil), x, TP_KEEP_NOTHING);
}

tp_tensor *tp_round(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &round_op, TP_SLOT(x, round), x, TP_KEEP_NOTHING);
}

tp_tensor *tp_trunc(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &trunc_op, TP_SLOT(x, trunc), x, TP_KEEP_NOTHING);
}

/* ---- division with remainder: between its steps the quotient is a constant ---- */

static tp_tensor *quotient_down(tp_tensor *a, tp_tensor *b)
{
    TP_NO_GRAD;
    return tp_neg(tp_floor_divide(a, b));
}

/* Not a / b itself: rounded, it may lie on the next step. */
static tp_tensor *quotient_to_zero(tp_tensor *a, tp_tensor *b)
{
    TP_NO_GRAD;
    return tp_neg(tp_round(tp_div(tp_sub(a, tp_fmod(a, b)), b)));
}

static void remainder_backward(tp_node *n)
{
    tp__give_summed(n, A, tp__dy(n, 0));
    if (tp__wants(n, B)) tp__give_product(n, B, tp__dy(n, 0), quotient_down(tp__saved(n, A), tp__saved(n, B)));
}

static void fmod_backward(tp_node *n)
{
    tp__give_summed(n, A, tp__dy(n, 0));
    if (tp__wants(n, B)) tp__give_product(n, B, tp__dy(n, 0), quotient_to_zero(tp__saved(n, A), tp__saved(n, B)));
}

static const tp_op remainder_op = { "remainder", remainder_backward, NULL };
static const tp_op fmod_op = { "fmod", fmod_backward, NULL };
static const tp_op floor_divide_op = { "floor_divide", NULL, NULL };

tp_tensor *tp_remainder(tp_tensor *a, tp_tensor *b)
{
    return tp__binary(TP_FRESH, &remainder_op, TP_SLOT(a, remainder), a, b, true);
}

tp_tensor *tp_fmod(tp_tensor *a, tp_tensor *b)
{
    return tp__binary(TP_FRESH, &fmod_op, TP_SLOT(a, fmod), a, b, true);
}

tp_tensor *tp_floor_divide(tp_tensor *a, tp_tensor *b)
{
    TP_NO_GRAD;
    return tp__binary(TP_FRESH, &floor_divide_op, TP_SLOT(a, floor_divide), a, b, false);
}
