/*
 * compare.c - questions about elements, and the choice by an answer.
 *
 *   eq ... ge, isnan ..., logical_and ...    bool, no gradient
 *   where   y = a where cond, else b         da = dy where cond, else 0    db = the rest
 */
#include "autograd/ops/elementwise.h"

#include <math.h>

enum { COND, A, B };

/* ---- one kernel answers all ---- */

static tp_tensor *compare(const char *where, tp_relation r, tp_tensor *a, tp_tensor *b)
{
    tp_shape s;
    tp_tensor *y;
    tp_loop l;

    TP_SCOPE;
    TP_NO_GRAD;
    if (!tp__meet(where, &a, &b)) return NULL;
    s = tp__broadcast(&a->shape, &b->shape);
    TP_REQUIRE_IN(where, s.rank >= 0, TP_ERR_SHAPE, "%s and %s don't broadcast", tp__text(a), tp__text(b));
    y = tp__new_as(s, TP_BOOL, tp__device(a), s.rank == 4 ? tp__layout_among(TP_LIST(a, b)) : TP_ROW_MAJOR);
    if (!y) return NULL;
    l = tp__loop(&s, TP_LIST(y, a, b));
    return TP_RUN_SLOT(where, tp__backend(a)->compare, a, &l, r, tp__data(a), tp__data(b), tp__data(y)) ? tp_pass(y)
                                                                                                        : NULL;
}

static tp_tensor *ask(const char *where, tp_relation r, tp_tensor *x)
{
    return tp__check(where, TP_LIST(x), 1) ? compare(where, r, x, x) : NULL;
}

/* Does an integer dtype have the number v? */
static bool has_number(tp_dtype d, double v)
{
    if (v != floor(v)) return false;
    switch (d) {
    case TP_I64: return v >= -0x1p63 && v < 0x1p63;
    case TP_I32: return v >= -0x1p31 && v < 0x1p31;
    case TP_U8: return v >= 0 && v < 256;
    default: return false;
    }
}

/* A number that x's integers don't have is compared in f64: there integers on its two sides stay
 * on them. */
static tp_tensor *compare_number(const char *where, tp_relation r, tp_tensor *x, double v)
{
    TP_SCOPE;
    if (!tp__check(where, TP_LIST(x), 1)) return NULL;
    if (!tp__is_float(x) && !has_number((tp_dtype)x->dtype, v)) x = tp_cast(x, TP_F64);
    return x ? tp_pass(compare(where, r, x, tp_full(TP_SCALAR, v, (tp_dtype)x->dtype, tp__device(x)))) : NULL;
}

/* ---- comparisons ---- */

tp_tensor *tp_eq(tp_tensor *a, tp_tensor *b)
{
    return compare("eq", TP__EQ, a, b);
}

tp_tensor *tp_ne(tp_tensor *a, tp_tensor *b)
{
    return compare("ne", TP__NE, a, b);
}

tp_tensor *tp_lt(tp_tensor *a, tp_tensor *b)
{
    return compare("lt", TP__LT, a, b);
}

tp_tensor *tp_le(tp_tensor *a, tp_tensor *b)
{
    return compare("le", TP__LE, a, b);
}

tp_tensor *tp_gt(tp_tensor *a, tp_tensor *b)
{
    return compare("gt", TP__GT, a, b);
}

tp_tensor *tp_ge(tp_tensor *a, tp_tensor *b)
{
    return compare("ge", TP__GE, a, b);
}

tp_tensor *tp_eq_scalar(tp_tensor *x, double v)
{
    return compare_number("eq_scalar", TP__EQ, x, v);
}

tp_tensor *tp_ne_scalar(tp_tensor *x, double v)
{
    return compare_number("ne_scalar", TP__NE, x, v);
}

tp_tensor *tp_lt_scalar(tp_tensor *x, double v)
{
    return compare_number("lt_scalar", TP__LT, x, v);
}

tp_tensor *tp_le_scalar(tp_tensor *x, double v)
{
    return compare_number("le_scalar", TP__LE, x, v);
}

tp_tensor *tp_gt_scalar(tp_tensor *x, double v)
{
    return compare_number("gt_scalar", TP__GT, x, v);
}

tp_tensor *tp_ge_scalar(tp_tensor *x, double v)
{
    return compare_number("ge_scalar", TP__GE, x, v);
}

/* ---- of one tensor, and of truth ---- */

tp_tensor *tp_isnan(tp_tensor *x)
{
    return ask("isnan", TP__ISNAN, x);
}

tp_tensor *tp_isinf(tp_tensor *x)
{
    return ask("isinf", TP__ISINF, x);
}

tp_tensor *tp_isfinite(tp_tensor *x)
{
    return ask("isfinite", TP__ISFINITE, x);
}

tp_tensor *tp_logical_not(tp_tensor *x)
{
    return ask("logical_not", TP__NOT, x);
}

tp_tensor *tp_logical_and(tp_tensor *a, tp_tensor *b)
{
    return compare("logical_and", TP__AND, a, b);
}

tp_tensor *tp_logical_or(tp_tensor *a, tp_tensor *b)
{
    return compare("logical_or", TP__OR, a, b);
}

tp_tensor *tp_logical_xor(tp_tensor *a, tp_tensor *b)
{
    return compare("logical_xor", TP__XOR, a, b);
}

/* ---- nearly the same ---- */

/* Integers would wrap around. */
static tp_tensor *in_floats(tp_tensor *x)
{
    return tp__is_float(x) ? x : tp_cast(x, TP_F64);
}

tp_tensor *tp_isclose(tp_tensor *a, tp_tensor *b, double rtol, double atol)
{
    tp_tensor *distance, *allowed, *near;

    TP_SCOPE;
    TP_NO_GRAD;
    if (!tp__meet("isclose", &a, &b)) return NULL;
    TP_REQUIRE_IN("isclose", rtol >= 0 && atol >= 0, TP_ERR_ARG, "rtol is %g, atol %g: 0 or more is wanted", rtol, atol);
    a = in_floats(a), b = in_floats(b);
    distance = tp_abs(tp_sub(a, b)), allowed = tp_affine(tp_abs(b), rtol, atol);
    near = tp_logical_and(tp_isfinite(distance), tp_le(distance, allowed));
    return tp_pass(tp_logical_or(tp_eq(a, b), near));
}

bool tp_allclose(tp_tensor *a, tp_tensor *b, double rtol, double atol)
{
    tp_tensor *close;
    uint8_t all = 0;

    TP_SCOPE;
    close = tp_all(tp_isclose(a, b, rtol, atol), TP_ALL);
    return close && tp_read(close, &all, sizeof all) && all;
}

/* ---- where ---- */

static tp_tensor *choose(tp_sink to, tp_tensor *cond, tp_tensor *a, tp_tensor *b);

/* dy where cond is `yes`, else 0. */
static void give_part(tp_node *n, int i, bool yes)
{
    tp_tensor *dy = tp__dy(n, 0), *cond = tp__saved(n, COND), *zero;
    tp_shape in = tp__in_shape(n, i);
    tp_sink to;

    if (!dy || !tp__wants(n, i)) return;
    to = tp__same(&in, &dy->shape) ? tp__sink(n, i) : TP_FRESH;
    zero = tp_zeros(TP_SCALAR, (tp_dtype)dy->dtype, tp__device(dy));
    dy = yes ? choose(to, cond, dy, zero) : choose(to, cond, zero, dy);
    if (to.node) tp__give(n, i, dy);
    else tp__give_summed(n, i, dy);
}

static void where_backward(tp_node *n)
{
    give_part(n, A, true), give_part(n, B, false);
}

static const tp_op where_op = { "where", where_backward, NULL };

static tp_tensor *choose(tp_sink to, tp_tensor *cond, tp_tensor *a, tp_tensor *b)
{
    tp_shape s;
    tp_place y;
    tp_loop l;

    if (!tp__check("where", TP_LIST(cond, a, b), 3) || !tp__meet("where", &a, &b)) return NULL;
    TP_REQUIRE_IN("where", cond->dtype == TP_BOOL, TP_ERR_DTYPE, "the condition must be bool, not %s", tp__text(cond));
    s = tp__broadcast(&a->shape, &b->shape);
    if (s.rank >= 0) s = tp__broadcast(&s, &cond->shape);
    TP_REQUIRE_IN("where", s.rank >= 0, TP_ERR_SHAPE, "%s, %s and %s don't broadcast", tp__text(cond),
                  tp__text(a), tp__text(b));
    y = tp__place(to, s, a, s.rank == 4 ? tp__layout_among(TP_LIST(a, b, cond)) : TP_ROW_MAJOR, TP_ANY_STRIDES);
    if (!y.t) return NULL;
    l = tp__loop(&s, TP_LIST(y.t, cond, a, b));
    if (!TP_RUN(where, a, &l, tp__data(cond), tp__data(a), tp__data(b), y.add, tp__data(y.t))) return NULL;
    return tp__record(&where_op, TP_LIST(cond, a, b), y.t, TP_LIST(cond), NULL, 0);
}

tp_tensor *tp_where(tp_tensor *cond, tp_tensor *a, tp_tensor *b)
{
    TP_SCOPE;
    return tp_pass(choose(TP_FRESH, cond, a, b));
}
