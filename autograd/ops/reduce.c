/*
 * reduce.c - folds over axes and their opposite, expansion.
 *
 *   sum_to   y = sum of x over the axes where s is 1 (or absent)      dx = dy expanded
 *   expand   y = x repeated, by stride 0                              dx = sum_to of dy
 *   mean     sum, over the count
 */
#include "autograd/ops/lanes.h"

#include <math.h>

enum { X };

/* ---- sum ---- */

static void sum_to_backward(tp_node *n)
{
    tp__give(n, X, tp__expand(tp__dy(n, 0), tp__in_shape(n, X))); /* stride 0: no pass over memory */
}

static const tp_op sum_to_op = { "sum", sum_to_backward, NULL };

tp_tensor *tp__sum_to(tp_sink to, tp_tensor *x, tp_shape s)
{
    tp_place y;
    tp_loop l;

    if (!tp__check("sum", TP_LIST(x), 1)) return NULL;
    if (tp__same(&x->shape, &s)) return x;
    y = tp__place(to, s, x, s.rank == 4 ? tp__layout_of(x) : TP_ROW_MAJOR, TP_ANY_STRIDES);
    if (!y.t) return NULL;
    l = tp__loop(&x->shape, TP_LIST(y.t, x));
    if (!TP_RUN(sum, x, &l, tp__data(x), y.add, tp__data(y.t))) return NULL;
    return tp__record(&sum_to_op, TP_LIST(x), y.t, TP_NONE_SAVED, NULL, 0);
}

bool tp__fold_shapes(const char *where, const tp_tensor *x, tp_axes axes, tp_shape *ones, tp_shape *left)
{
    bool gone[TP_MAX_AXES];

    if (!tp__axes_mask(where, x, axes, gone)) return false;
    *ones = x->shape, *left = (tp_shape){ 0 };
    for (int a = 0; a < ones->rank; a++) {
        if (gone[a]) ones->n[a] = 1;
        if (axes.keep || !gone[a]) left->n[left->rank++] = ones->n[a];
    }
    return true;
}

tp_tensor *tp_sum(tp_tensor *x, tp_axes axes)
{
    tp_shape ones, left;

    TP_SCOPE;
    x = tp__autocast_wide(x);
    if (!tp__check("sum", TP_LIST(x), 1) || !tp__fold_shapes("sum", x, axes, &ones, &left)) return NULL;
    if (!tp__is_float(x)) return tp_pass(tp__total(x, axes));
    return tp_pass(tp_reshape(tp__sum_to(TP_FRESH, x, ones), left)); /* a new handle in any case */
}

tp_tensor *tp_mean(tp_tensor *x, tp_axes axes)
{
    bool gone[TP_MAX_AXES];
    tp_tensor *s;

    TP_SCOPE;
    if (!tp__check("mean", TP_LIST(x), 1) || !tp__axes_mask("mean", x, axes, gone)) return NULL;
    TP_REQUIRE_IN("mean", tp__is_float(x), TP_ERR_DTYPE, "%s: the mean is no integer, cast it to floats", tp__text(x));
    if (!(s = tp_sum(x, axes))) return NULL;
    if (tp_count(s) == 0) return tp_pass(s);
    return tp_pass(tp_scale(s, tp_count(x) ? (double)tp_count(s) / (double)tp_count(x) : (double)NAN));
}

/* ---- expand ---- */

static void expand_backward(tp_node *n)
{
    tp__give(n, X, tp__sum_to(tp__sink(n, X), tp__dy(n, 0), tp__in_shape(n, X)));
}

static const tp_op expand_op = { "expand", expand_backward, NULL };

tp_tensor *tp_expand(tp_tensor *x, tp_shape s)
{
    int64_t stride[TP_MAX_AXES];

    if (!tp__check("expand", TP_LIST(x), 1) || !tp__shape_ok("expand", s)) return NULL;
    TP_REQUIRE_IN("expand", tp__expanded(x, &s, stride), TP_ERR_SHAPE, "%s can't become %s",
                  tp__text(x), tp__shape_text(s));
    return tp__record(&expand_op, TP_LIST(x), tp__view(x, s, stride, x->offset), TP_NONE_SAVED, NULL, 0);
}

tp_tensor *tp__expand(tp_tensor *x, tp_shape s)
{
    return x && tp__same(&x->shape, &s) ? x : tp_expand(x, s);
}

/* ---- argmax, argmin ---- */

static tp_tensor *argmax(const char *where, tp_tensor *x, int a)
{
    tp_axes order = { 0 };
    tp_shape left;
    tp_tensor *y;

    for (int i = 0; i < x->shape.rank; i++)
        if (i != a) order.axis[order.n++] = i;
    order.axis[order.n++] = a;
    if (!(x = tp__rows(tp_permute(x, order)))) return NULL;
    left = x->shape, left.rank--;
    y = tp__new(left, TP_I64, tp__device(x));
    if (!y || !TP_RUN_SLOT(where, tp__backend(x)->argmax, x, tp__elements(&left), tp_dim(x, -1), tp__data(x), tp__data(y)))
        return NULL;
    return y;
}

bool tp__has_places(const char *where, tp_tensor *x, int axis, int *a)
{
    if (!tp__check(where, TP_LIST(x), 1) || (*a = tp__axis(where, x, axis)) < 0) return false;
    TP_REQUIRE_IN(where, x->shape.n[*a] > 0, TP_ERR_SHAPE, "%s has nothing along axis %d", tp__text(x), axis);
    TP_REQUIRE_IN(where, x->dtype != TP_BOOL && tp__backend(x)->argmax[x->dtype],
                  TP_ERR_DTYPE, "not offered for %s", tp__text(x));
    return true;
}

tp_tensor *tp_argmax(tp_tensor *x, int axis)
{
    int a;

    TP_SCOPE;
    TP_NO_GRAD;
    return tp__has_places("argmax", x, axis, &a) ? tp_pass(argmax("argmax", x, a)) : NULL;
}

/* Turned round: a float by its sign, an integer by its bits, since the least has no negative. */
tp_tensor *tp_argmin(tp_tensor *x, int axis)
{
    int a;

    TP_SCOPE;
    TP_NO_GRAD;
    if (!tp__has_places("argmin", x, axis, &a)) return NULL;
    x = tp__is_float(x) ? tp_neg(x) : tp_bitwise_not(x);
    return x ? tp_pass(argmax("argmin", x, a)) : NULL;
}
