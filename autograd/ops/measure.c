/*
 * measure.c - products, variances, norms and sums of exponentials over axes.
 *
 *   prod        dx_i = dy times the product of all others, from before and from behind
 *   var         dx = dy 2 (x - mean) / max(0, n - correction)
 *   std         y = sqrt var                dx = dy (x - mean) / (y max(0, n - correction)), 0 where y = 0
 *   norm        y = (sum |x|^p)^(1/p)       dx = dy sign(x) |x|^(p - 1) / y^(p - 1), 0 where y = 0
 *   logsumexp   y = m + log sum e^(x - m), m the largest      dx = dy e^(x - m) / sum e^(x - m)
 *
 * What is recorded has its folded axes with size 1, so that it broadcasts against x.
 */
#include "autograd/ops/elementwise.h"
#include "autograd/ops/lanes.h"

#include <math.h>

enum { X, Y };

static tp_tensor *zero_of(const tp_tensor *t)
{
    return tp_zeros(TP_SCALAR, (tp_dtype)t->dtype, tp__device(t));
}

/* a / b, but 0 where b is. */
static tp_tensor *over(tp_tensor *a, tp_tensor *b)
{
    return a && b ? tp_where(tp_eq_scalar(b, 0), zero_of(b), tp_div(a, b)) : NULL;
}

/* ---- prod ---- */

/* The axes in `folded`, or all when it is empty; those first that stay. */
static tp_axes stay_first(const tp_tensor *x, tp_axes folded, int *kept)
{
    bool gone[TP_MAX_AXES];
    tp_axes order = { 0 };

    tp__axes_mask("prod", x, folded, gone);
    for (int a = 0; a < x->shape.rank; a++)
        if (!gone[a]) order.axis[order.n++] = a;
    *kept = order.n;
    for (int a = 0; a < x->shape.rank; a++)
        if (gone[a]) order.axis[order.n++] = a;
    return order;
}

/* For each element the product of all others: no division, since one may be 0. */
static tp_tensor *products_of_others(tp_tensor *x, tp_axes folded)
{
    tp_axes order, back = { 0 };
    tp_tensor *z, *flat;
    int kept;

    if (!x || !x->shape.rank) return x ? tp_full_like(x, 1) : NULL;
    order = stay_first(x, folded, &kept), back.n = order.n;
    for (int i = 0; i < order.n; i++)
        back.axis[order.axis[i]] = i;
    if (!(z = tp_permute(x, order)) || !(flat = kept < order.n ? tp_flatten(z, kept) : z)) return NULL;
    z = tp_reshape(tp_mul(tp__cumprod(flat, -1, false, true), tp__cumprod(flat, -1, true, true)), z->shape);
    return tp_permute(z, back);
}

static void prod_backward(tp_node *n)
{
    tp_tensor *dy = tp__expand(tp__dy(n, 0), tp__in_shape(n, X));

    tp__give(n, X, tp__mul(tp__sink(n, X), products_of_others(tp__saved(n, X), *(const tp_axes *)tp__attr(n)), dy));
}

static const tp_op prod_op = { "prod", prod_backward, NULL };

tp_tensor *tp_prod(tp_tensor *x, tp_axes axes)
{
    tp__folded f;
    tp_tensor *y;

    TP_SCOPE;
    x = tp__autocast_loss(x);
    if (!tp__check("prod", TP_LIST(x), 1)) return NULL;
    if (!tp__is_float(x)) x = tp_cast(x, TP_I64);
    if (!x || !tp__fold_lanes("prod", x, axes, &f) || !(y = tp__new_like(x, f.ones))) return NULL;
    if (!TP_RUN(prod, x, f.d, tp__data(f.x), tp__data(y))) return NULL;
    y = tp__record(&prod_op, TP_LIST(x), y, TP_LIST(x), &axes, sizeof axes);
    return tp_pass(tp_reshape(y, f.left));
}

/* ---- var, std ---- */

typedef struct var_attr {
    tp_axes axes;
    double freedom; /* max(0, n - correction) */
} var_attr;

static tp_tensor *around_mean(tp_tensor *x, tp_axes axes)
{
    axes.keep = true;
    return tp_sub(x, tp_mean(x, axes));
}

static void var_backward(tp_node *n)
{
    const var_attr *k = tp__attr(n);
    tp_tensor *dy = tp_scale(tp__dy(n, 0), 2 / k->freedom);

    tp__give(n, X, tp__mul(tp__sink(n, X), around_mean(tp__saved(n, X), k->axes), dy));
}

static void std_backward(tp_node *n)
{
    const var_attr *k = tp__attr(n);
    tp_tensor *dy = tp_scale(over(tp__dy(n, 0), tp__saved(n, Y)), 1 / k->freedom);

    tp__give(n, X, tp__mul(tp__sink(n, X), around_mean(tp__saved(n, X), k->axes), dy));
}

static const tp_op var_op = { "var", var_backward, NULL };
static const tp_op std_op = { "std", std_backward, NULL };

static tp_tensor *root(tp_tensor *y)
{
    TP_NO_GRAD;
    return tp_sqrt(y);
}

static tp_tensor *variance(const tp_op *op, tp_tensor *x, tp_axes axes, double correction)
{
    var_attr k = { .axes = axes };
    tp__folded f;
    tp_tensor *y;

    TP_SCOPE;
    x = tp__autocast_wide(x);
    if (!tp__check(op->name, TP_LIST(x), 1) || !tp__fold_lanes(op->name, x, axes, &f)) return NULL;
    TP_REQUIRE_IN(op->name, isfinite(correction), TP_ERR_ARG, "the correction is %g", correction);
    if (!(y = tp__new_like(x, f.ones))) return NULL;
    if (!TP_RUN_SLOT(op->name, tp__backend(x)->variance, x, f.d, tp__data(f.x), correction, tp__data(y))) return NULL;
    if (op == &std_op) y = root(y);
    k.freedom = fmax(0, (double)f.d.n - correction);
    y = tp__record(op, TP_LIST(x), y, TP_LIST(x, y), &k, sizeof k);
    return tp_pass(tp_reshape(y, f.left));
}

tp_tensor *tp_var(tp_tensor *x, tp_axes axes, double correction)
{
    return variance(&var_op, x, axes, correction);
}

tp_tensor *tp_std(tp_tensor *x, tp_axes axes, double correction)
{
    return variance(&std_op, x, axes, correction);
}

tp_tensor *tp_var_mean(tp_tensor *x, tp_axes axes, double correction, tp_tensor **mean)
{
    tp_tensor *y = tp_var(x, axes, correction), *m = mean ? tp_mean(x, axes) : NULL;

    if (mean) *mean = m;
    return tp_ok() ? y : NULL;
}

/* ---- norm ---- */

/* sign(x) |x|^(p - 1); with p < 1 it would be infinite at 0, and is 0. */
static tp_tensor *norm_slope(tp_tensor *x, double p)
{
    tp_tensor *w;

    if (p == 1) return tp_sign(x);
    if (p == 2) return x;
    w = tp_mul(tp_sign(x), tp_pow_scalar(tp_abs(x), p - 1));
    return w && p < 1 ? tp_where(tp_eq_scalar(x, 0), zero_of(x), w) : w;
}

static void norm_backward(tp_node *n)
{
    double p = *(const double *)tp__attr(n);
    tp_tensor *dy = tp__dy(n, 0), *x = tp__saved(n, X), *y = tp__saved(n, Y);

    if (p != 1) dy = y ? tp_where(tp_eq_scalar(y, 0), zero_of(y), tp_div(dy, tp_pow_scalar(y, p - 1))) : NULL;
    tp__give(n, X, tp__mul(tp__sink(n, X), norm_slope(x, p), tp__expand(dy, tp__in_shape(n, X))));
}

static const tp_op norm_op = { "norm", norm_backward, NULL };

static tp_tensor *power_root(tp_tensor *y, double p)
{
    TP_NO_GRAD;
    return tp_pow_scalar(y, 1 / p);
}

static tp_tensor *norm(tp_tensor *x, double p, tp_axes axes)
{
    tp__folded f;
    tp_tensor *y;

    if (!tp__fold_lanes("norm", x, axes, &f) || !(y = tp__new_like(x, f.ones))) return NULL;
    if (!TP_RUN_SLOT("norm", tp__backend(x)->power_sum, x, f.d, tp__data(f.x), p, tp__data(y))) return NULL;
    if (p == 0) return tp_reshape(y, f.left);
    if (p != 1) y = power_root(y, p);
    y = tp__record(&norm_op, TP_LIST(x), y, TP_LIST(x, y), &p, sizeof p);
    return tp_reshape(y, f.left);
}

tp_tensor *tp_norm(tp_tensor *x, double p, tp_axes axes)
{
    TP_SCOPE;
    x = tp__autocast_wide(x);
    if (!tp__check("norm", TP_LIST(x), 1)) return NULL;
    TP_REQUIRE_IN("norm", p == p, TP_ERR_ARG, "p is no number");
    TP_REQUIRE_IN("norm", tp__is_float(x), TP_ERR_DTYPE, "not offered for %s", tp__text(x));
    if (p == INFINITY && tp_count(x)) return tp_pass(tp_amax(tp_abs(x), axes));
    if (p == -INFINITY && tp_count(x)) return tp_pass(tp_amin(tp_abs(x), axes));
    return tp_pass(norm(x, isinf(p) ? 1 : p, axes)); /* of nothing it is 0 */
}

/* ---- logsumexp ---- */

/* Not e^(x - y): y may be large, and rounded.  What all are shifted by is no function of x here. */
static void logsumexp_backward(tp_node *n)
{
    tp_tensor *dy = tp__expand(tp__dy(n, 0), tp__in_shape(n, X));
    tp_tensor *m = tp__saved_constant(n, 1), *e = tp_exp(tp_sub(tp__saved(n, X), m)), *share;

    if (!e) return;
    share = tp_div(e, tp__sum_to(TP_FRESH, e, m->shape));
    tp__give(n, X, tp__mul(tp__sink(n, X), share, dy));
}

static const tp_op logsumexp_op = { "logsumexp", logsumexp_backward, NULL };

/* The largest, by which all are shifted; an infinite one would leave NaN, and shifts by 0. */
static tp_tensor *shift_of(tp_tensor *x, tp_axes axes, tp_shape ones)
{
    tp_tensor *m;

    axes.keep = true;
    if (!tp_count(x)) return tp_zeros(ones, (tp_dtype)x->dtype, tp__device(x));
    m = tp_amax(x, axes);
    return m ? tp_where(tp_isinf(m), zero_of(m), m) : NULL;
}

static tp_tensor *logsumexp(tp_tensor *x, tp_axes axes, tp_shape ones)
{
    tp_tensor *m, *y = NULL;

    {
        TP_NO_GRAD;
        m = shift_of(x, axes, ones);
        if (m) y = tp_add(tp_log(tp__sum_to(TP_FRESH, tp_exp(tp_sub(x, m)), ones)), m);
    }
    return tp__record(&logsumexp_op, TP_LIST(x), y, TP_LIST(x, m), NULL, 0);
}

tp_tensor *tp_logsumexp(tp_tensor *x, tp_axes axes)
{
    tp_shape ones, left;

    TP_SCOPE;
    x = tp__autocast_wide(x);
    if (!tp__check("logsumexp", TP_LIST(x), 1) || !tp__fold_shapes("logsumexp", x, axes, &ones, &left)) return NULL;
    TP_REQUIRE_IN("logsumexp", tp__is_float(x), TP_ERR_DTYPE, "not offered for %s", tp__text(x));
    return tp_pass(tp_reshape(logsumexp(x, axes, ones), left));
}

/* ---- how many are not 0 ---- */

static tp_tensor *count_nonzero(const char *where, tp_tensor *x, tp_axes axes, bool zeros)
{
    if (!tp__check(where, TP_LIST(x), 1)) return NULL;
    return tp_sum(zeros ? tp_logical_not(x) : tp_ne_scalar(x, 0), axes);
}

tp_tensor *tp_count_nonzero(tp_tensor *x, tp_axes axes)
{
    TP_SCOPE;
    return tp_pass(count_nonzero("count_nonzero", x, axes, false));
}

tp_tensor *tp_any(tp_tensor *x, tp_axes axes)
{
    TP_SCOPE;
    return tp_pass(tp_ne_scalar(count_nonzero("any", x, axes, false), 0));
}

tp_tensor *tp_all(tp_tensor *x, tp_axes axes)
{
    TP_SCOPE;
    return tp_pass(tp_eq_scalar(count_nonzero("all", x, axes, true), 0));
}
