/*
 * power.c - powers.
 *
 *   pow      y = a^b     da = dy b a^(b - 1), 0 where b = 0
 *                        db = dy a^b log a, 0 where a = 0 and b >= 0
 *   power    y = x^p, p a number: the simplest function that is the same
 */
#include "autograd/ops/curve.h"

#include <math.h>

enum { A, B };
enum { X, Y = 2 };

static tp_tensor *zero_of(const tp_tensor *t)
{
    return tp_zeros(TP_SCALAR, (tp_dtype)t->dtype, tp__device(t));
}

static tp_tensor *slope_of_base(tp_tensor *a, tp_tensor *b)
{
    if (!a || !b) return NULL;
    return tp_where(tp_eq_scalar(b, 0), zero_of(a), tp_mul(b, tp_pow(a, tp_shift(b, -1))));
}

static tp_tensor *slope_of_exponent(tp_tensor *a, tp_tensor *b, tp_tensor *y)
{
    if (!a || !b || !y) return NULL;
    return tp_where(tp_logical_and(tp_eq_scalar(a, 0), tp_ge_scalar(b, 0)), zero_of(a), tp_mul(y, tp_log(a)));
}

static void pow_backward(tp_node *n)
{
    tp_tensor *dy = tp__dy(n, 0), *a = tp__saved(n, A), *b = tp__saved(n, B);

    if (tp__wants(n, A)) tp__give_product(n, A, dy, slope_of_base(a, b));
    if (tp__wants(n, B)) tp__give_product(n, B, dy, slope_of_exponent(a, b, tp__saved(n, Y)));
}

static const tp_op pow_op = { "pow", pow_backward, NULL };

tp_tensor *tp_pow(tp_tensor *a, tp_tensor *b)
{
    tp_tensor *y;
    tp_shape s;
    tp_loop l;

    TP_SCOPE;
    a = tp__autocast_wide(a), b = tp__autocast_wide(b);
    if (!tp__meet("pow", &a, &b)) return NULL;
    s = tp__broadcast(&a->shape, &b->shape);
    TP_REQUIRE_IN("pow", s.rank >= 0, TP_ERR_SHAPE, "%s and %s don't broadcast", tp__text(a), tp__text(b));
    y = tp__new_as(s, (tp_dtype)a->dtype, tp__device(a), s.rank == 4 ? tp__layout_among(TP_LIST(a, b)) : TP_ROW_MAJOR);
    if (!y) return NULL;
    l = tp__loop(&s, TP_LIST(y, a, b));
    if (!TP_RUN(pow, a, &l, tp__data(a), tp__data(b), false, tp__data(y))) return NULL;
    return tp_pass(tp__record(&pow_op, TP_LIST(a, b), y, TP_LIST(a, b, y), NULL, 0));
}

/* ---- a number as exponent ---- */

TP__CURVE_OF(pow_scalar, power);

/* x^0 is 1, of a NaN too; so its derivative is 0 everywhere. */
static void one_backward(tp_node *n)
{
    tp_tensor *dy = tp__dy(n, 0);

    if (dy) tp__give(n, X, tp__expand(zero_of(dy), tp__in_shape(n, X)));
}

static const tp_op one_op = { "power", one_backward, NULL };

static tp_tensor *one_of(tp_tensor *x)
{
    return tp__record(&one_op, TP_LIST(x), tp_full_like(x, 1), TP_NONE_SAVED, NULL, 0);
}

tp_tensor *tp_pow_scalar(tp_tensor *x, double p)
{
    TP_SCOPE;
    x = tp__autocast_wide(x);
    if (!tp__check("pow_scalar", TP_LIST(x), 1)) return NULL;
    TP_REQUIRE_IN("pow_scalar", tp__is_float(x), TP_ERR_DTYPE, "not offered for %s", tp__text(x));
    if (p == 0) return tp_pass(one_of(x));
    if (p == 0.5) return tp_pass(tp_sqrt(x));
    if (p == 1) return tp_pass(tp_scale(x, 1));
    if (p == 2) return tp_pass(tp_square(x));
    if (p == 3) return tp_pass(tp_mul(tp_square(x), x));
    if (p == -0.5) return tp_pass(tp_rsqrt(x));
    if (p == -1) return tp_pass(tp_reciprocal(x));
    if (p == -2) return tp_pass(tp_reciprocal(tp_square(x)));
    return tp_pass(tp__curve_of(&pow_scalar_curve, x, p, 0, 0));
}
