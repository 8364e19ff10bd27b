/*
 * curve.c - functions of mathematics, element by element; see curve.h.
 *
 *   reciprocal 1 / x,  rsqrt 1 / sqrt x,  sin, cos, erf, log1p, expm1, abs;  clamp
 */
#include "autograd/ops/curve.h"

#include <math.h>

enum { X };
enum { DY, AT };

typedef struct curve_attr {
    const tp__curve *f;
    double k[3];
} curve_attr;

/* ---- what all curves share ---- */

static const void *slots(const tp_tensor *x, size_t at)
{
    return *(const void *const *)(const void *)((const char *)tp__backend(x) + at);
}

/* v f'(x), or v f''(x): every kernel of a kind has the type of one of them. */
static tp_tensor *slope(tp_sink to, const tp_op *op, size_t at, tp_tensor *v, tp_tensor *x, const curve_attr *k)
{
    tp__fn_abs_dx *const *slot;
    tp_place y;
    tp_loop l;

    if (!v || !x) return NULL;
    slot = slots(x, at);
    y = tp__place(to, x->shape, x, tp__layout_of(x), TP_ANY_STRIDES);
    if (!y.t) return NULL;
    l = tp__loop(&x->shape, TP_LIST(y.t, v, x));
    if (!TP_RUN_SLOT(op->name, slot, x, &l, tp__data(v), tp__data(x), k->k, y.add, tp__data(y.t))) return NULL;
    return tp__record(op, TP_LIST(v, x), y.t, TP_LIST(v, x), k, sizeof *k);
}

void tp__slope_backward(tp_node *n)
{
    const curve_attr *k = tp__attr(n);
    tp_tensor *u = tp__dy(n, 0), *x = tp__saved(n, AT);

    if (tp__wants(n, DY)) tp__give(n, DY, slope(tp__sink(n, DY), &k->f->dx, k->f->dx_at, u, x, k));
    if (tp__wants(n, AT) && k->f->ddx_at)
        tp__give(n, AT, slope(tp__sink(n, AT), &k->f->ddx, k->f->ddx_at, tp_mul(u, tp__saved(n, DY)), x, k));
}

void tp__curve_backward(tp_node *n)
{
    const curve_attr *k = tp__attr(n);

    tp__give(n, X, slope(tp__sink(n, X), &k->f->dx, k->f->dx_at, tp__dy(n, 0), tp__saved(n, X), k));
}

tp_tensor *tp__curve_of(const tp__curve *f, tp_tensor *x, double k0, double k1, double k2)
{
    curve_attr k = { f, { k0, k1, k2 } };
    tp__fn_abs *const *slot;
    tp_tensor *y;
    tp_loop l;

    if (!tp__check(f->op.name, TP_LIST(x), 1)) return NULL;
    if (!(y = tp__new_as(x->shape, (tp_dtype)x->dtype, tp__device(x), tp__layout_of(x)))) return NULL;
    slot = slots(x, f->at);
    l = tp__loop(&x->shape, TP_LIST(y, x));
    if (!TP_RUN_SLOT(f->op.name, slot, x, &l, tp__data(x), k.k, false, tp__data(y))) return NULL;
    return tp__record(&f->op, TP_LIST(x), y, TP_LIST(x), &k, sizeof k);
}

/* ---- the functions ---- */

TP__CURVE(reciprocal);
TP__CURVE(rsqrt);
TP__CURVE(sin);
TP__CURVE(cos);
TP__CURVE(erf);
TP__CURVE(log1p);
TP__CURVE(expm1);
TP__BENT(abs);
TP__BENT(clamp);

tp_tensor *tp_reciprocal(tp_tensor *x)
{
    return tp__curve_of(&reciprocal_curve, tp__autocast_wide(x), 0, 0, 0);
}

tp_tensor *tp_rsqrt(tp_tensor *x)
{
    return tp__curve_of(&rsqrt_curve, tp__autocast_wide(x), 0, 0, 0);
}

tp_tensor *tp_sin(tp_tensor *x)
{
    return tp__curve_of(&sin_curve, x, 0, 0, 0);
}

tp_tensor *tp_cos(tp_tensor *x)
{
    return tp__curve_of(&cos_curve, x, 0, 0, 0);
}

tp_tensor *tp_erf(tp_tensor *x)
{
    return tp__curve_of(&erf_curve, x, 0, 0, 0);
}

tp_tensor *tp_log1p(tp_tensor *x)
{
    return tp__curve_of(&log1p_curve, tp__autocast_wide(x), 0, 0, 0);
}

tp_tensor *tp_expm1(tp_tensor *x)
{
    return tp__curve_of(&expm1_curve, tp__autocast_wide(x), 0, 0, 0);
}

tp_tensor *tp_abs(tp_tensor *x)
{
    return tp__curve_of(&abs_curve, x, 0, 0, 0);
}

static bool is_whole(double bound)
{
    return bound == floor(bound); /* infinities too */
}

tp_tensor *tp_clamp(tp_tensor *x, double lo, double hi)
{
    TP_SCOPE;
    if (!tp__check("clamp", TP_LIST(x), 1)) return NULL;
    TP_REQUIRE_IN("clamp", lo == lo && hi == hi, TP_ERR_ARG, "from %g to %g: bounds are numbers", lo, hi);
    if (!tp__is_float(x) && !(is_whole(lo) && is_whole(hi))) x = tp_cast(x, TP_F32);
    return x ? tp_pass(tp__curve_of(&clamp_curve, x, lo, hi, 0)) : NULL;
}
