/*
 * softmax.c - along one axis.
 *
 *   softmax      y = e^x / sum e^x           dx = y (dy - s)        s = sum dy y
 *   log_softmax  y = x - log(sum e^x)        dx = dy - e^y s        s = sum dy
 *   again        of dx, given u:
 *                softmax      ddy = y (u - sum u y)      dY = u (dy - s) - dy sum u y
 *                log_softmax  ddy = u - sum u e^y        dY = -u e^y s
 *
 * dx follows from the result alone, so x isn't kept.
 */
#include "autograd/op.h"

enum { X = 0, Y = 0 };
enum { DY, OF_Y };

typedef struct soft_attr {
    int axis;
    tp_softmax_kind kind;
} soft_attr;

/* x as (outer, n, inner) in memory. */
typedef struct extent {
    int64_t outer, n, inner;
} extent;

static extent extent_of(const tp_shape *s, tp_layout layout, int axis)
{
    static const int last[] = { 0, 2, 3, 1 }; /* the order of axes in memory, channels-last */
    extent e = { 1, s->n[axis], 1 };
    bool after = false;

    for (int i = 0; i < s->rank; i++) {
        int a = layout == TP_CHANNELS_LAST ? last[i] : i;

        if (a == axis) after = true;
        else if (after) e.inner *= s->n[a];
        else e.outer *= s->n[a];
    }
    return e;
}

/* ---- the derivative, an op itself ---- */

static tp_tensor *along(tp_tensor *x, soft_attr k)
{
    return tp_sum(x, TP_KEEPDIM(k.axis));
}

static void softmax_dx_backward(tp_node *n)
{
    soft_attr k = *(const soft_attr *)tp__attr(n);
    tp_tensor *u = tp__dy(n, 0), *dy = tp__saved(n, DY), *y = tp__saved(n, OF_Y), *p;

    if (!u || !dy || !y) return;
    if (k.kind == TP_SOFTMAX_LOG) {
        p = tp_exp(y);
        if (tp__wants(n, DY)) tp__give(n, DY, tp_sub(u, along(tp_mul(u, p), k)));
        if (tp__wants(n, OF_Y)) tp__give(n, OF_Y, tp_neg(tp_mul(tp_mul(u, p), along(dy, k))));
        return;
    }
    if (tp__wants(n, DY)) tp__give(n, DY, tp__softmax_dx(tp__sink(n, DY), u, y, k.axis, k.kind));
    if (tp__wants(n, OF_Y))
        tp__give(n, OF_Y, tp_sub(tp_mul(u, tp_sub(dy, along(tp_mul(dy, y), k))), tp_mul(dy, along(tp_mul(u, y), k))));
}

static const tp_op softmax_dx_op = { "softmax_dx", softmax_dx_backward, NULL };

tp_tensor *tp__softmax_dx(tp_sink to, tp_tensor *dy, tp_tensor *y, int axis, tp_softmax_kind kind)
{
    soft_attr k = { axis, kind };
    tp_layout layout;
    tp_place dx;
    extent e;

    if (!dy || !y) return NULL;
    layout = tp__layout_of(y), e = extent_of(&y->shape, layout, axis);
    dy = tp__dense_of(dy, layout), y = tp__dense_of(y, layout);
    if (!dy || !y) return NULL;
    dx = tp__place(to, y->shape, y, layout, TP_DENSE_ONLY);
    if (!dx.t || !TP_RUN(softmax_dx, y, e.outer, e.n, e.inner, tp__data(dy), tp__data(y), kind, dx.add, tp__data(dx.t)))
        return NULL;
    return tp__record(&softmax_dx_op, TP_LIST(dy, y), dx.t, TP_LIST(dy, y), &k, sizeof k);
}

/* ---- forward ---- */

static void softmax_backward(tp_node *n)
{
    soft_attr k = *(const soft_attr *)tp__attr(n);

    tp__give(n, X, tp__softmax_dx(tp__sink(n, X), tp__dy(n, 0), tp__saved(n, Y), k.axis, k.kind));
}

static const tp_op ops[] = { { "softmax", softmax_backward, NULL },
                             { "log_softmax", softmax_backward, NULL },
                             { "softmax", softmax_backward, NULL } };

tp_tensor *tp__softmax(tp_tensor *x, int axis, tp_softmax_kind kind)
{
    soft_attr k = { axis, kind };
    tp_layout layout;
    tp_tensor *y;
    extent e;

    if (!x) return NULL;
    layout = tp__layout_of(x), e = extent_of(&x->shape, layout, axis);
    if (!(x = tp__dense_of(x, layout))) return NULL;
    y = tp__new_as(x->shape, (tp_dtype)x->dtype, tp__device(x), layout);
    if (!y || !TP_RUN(softmax, x, e.outer, e.n, e.inner, tp__data(x), kind, tp__data(y))) return NULL;
    return tp__record(&ops[kind], TP_LIST(x), y, TP_LIST(y), &k, sizeof k);
}

/* As PyTorch, a scalar counts as one axis. */
static tp_tensor *softmax(tp_tensor *x, int axis, tp_softmax_kind kind)
{
    const char *name = ops[kind].name;

    TP_SCOPE;
    x = tp__autocast_wide(x);
    if (!tp__check(name, TP_LIST(x), 1)) return NULL;
    TP_REQUIRE_IN(name, tp__is_float(x), TP_ERR_DTYPE, "not offered for %s", tp__text(x));
    if (x->shape.rank == 0) {
        x = tp_reshape(x, TP_SHAPE(1));
        if (!x || (axis = tp__axis(name, x, axis)) < 0) return NULL;
        x = tp__softmax(x, axis, kind);
        return tp_pass(x ? tp_reshape(x, TP_SCALAR) : NULL);
    }
    if ((axis = tp__axis(name, x, axis)) < 0) return NULL;
    return tp_pass(tp__softmax(x, axis, kind));
}

tp_tensor *tp_softmax(tp_tensor *x, int axis)
{
    return softmax(x, axis, TP_SOFTMAX);
}

tp_tensor *tp_log_softmax(tp_tensor *x, int axis)
{
    return softmax(x, axis, TP_SOFTMAX_LOG);
}
