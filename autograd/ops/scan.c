/*
 * scan.c - running sums, products and extremes along one axis.
 *
 *   cumsum    dx = cumsum of dy from the end
 *   cumprod   dx_j = (product of x before j) r_j,   r_j = dy_j + x_(j+1) r_(j+1)
 *   cummax    y = x at the last place of the largest so far      dx = dy summed there
 */
#include "autograd/ops/lanes.h"

enum { X };

typedef struct scan_attr {
    int axis;
    bool reverse, exclusive;
} scan_attr;

static bool starts(const char *where, tp_tensor *x, int axis, int *a)
{
    return tp__check(where, TP_LIST(x), 1) && (*a = tp__axis(where, x, axis)) >= 0;
}

/* ---- cumsum ---- */

static tp_tensor *cumsum(tp_tensor *x, scan_attr k);

static void cumsum_backward(tp_node *n)
{
    scan_attr k = *(const scan_attr *)tp__attr(n);

    k.reverse = !k.reverse;
    tp__give(n, X, cumsum(tp__dy(n, 0), k));
}

static const tp_op cumsum_op = { "cumsum", cumsum_backward, NULL };

static tp_tensor *cumsum(tp_tensor *x, scan_attr k)
{
    tp_tensor *rows, *y;
    tp_lanes d;

    if (!x || !(rows = tp__axis_lanes(x, k.axis, &d)) || !(y = tp__new_like(x, x->shape))) return NULL;
    if (!TP_RUN(cumsum, x, d, k.reverse, tp__data(rows), tp__data(y))) return NULL;
    return tp__record(&cumsum_op, TP_LIST(x), y, TP_NONE_SAVED, &k, sizeof k);
}

tp_tensor *tp_cumsum(tp_tensor *x, int axis)
{
    scan_attr k = { 0 };

    TP_SCOPE;
    x = tp__autocast_wide(x);
    if (!starts("cumsum", x, axis, &k.axis)) return NULL;
    return tp_pass(cumsum(tp__is_float(x) ? x : tp_cast(x, TP_I64), k));
}

/* ---- cumprod ---- */

static tp_tensor *cumprod_dx(tp_tensor *dy, tp_tensor *x, scan_attr k)
{
    tp_tensor *dy_rows, *x_rows, *dx;
    tp_lanes d;

    if (!dy || !x || !(dy_rows = tp__axis_lanes(dy, k.axis, &d)) || !(x_rows = tp__axis_lanes(x, k.axis, &d))) return NULL;
    if (!(dx = tp__new_like(x, x->shape))) return NULL;
    return TP_RUN(cumprod_dx, x, d, k.reverse, k.exclusive, tp__data(dy_rows), tp__data(x_rows), tp__data(dx)) ? dx : NULL;
}

static void cumprod_backward(tp_node *n)
{
    tp__give(n, X, cumprod_dx(tp__dy(n, 0), tp__saved(n, 0), *(const scan_attr *)tp__attr(n)));
}

static const tp_op cumprod_op = { "cumprod", cumprod_backward, NULL };

tp_tensor *tp__cumprod(tp_tensor *x, int axis, bool reverse, bool exclusive)
{
    scan_attr k = { .reverse = reverse, .exclusive = exclusive };
    tp_tensor *rows, *y;
    tp_lanes d;

    if (!starts("cumprod", x, axis, &k.axis)) return NULL;
    if (!(rows = tp__axis_lanes(x, k.axis, &d)) || !(y = tp__new_like(x, x->shape))) return NULL;
    if (!TP_RUN(cumprod, x, d, reverse, exclusive, tp__data(rows), tp__data(y))) return NULL;
    return tp__record(&cumprod_op, TP_LIST(x), y, TP_LIST(tp__alias(x)), &k, sizeof k); /* once: without its history */
}

tp_tensor *tp_cumprod(tp_tensor *x, int axis)
{
    TP_SCOPE;
    x = tp__autocast_wide(x);
    if (!tp__check("cumprod", TP_LIST(x), 1)) return NULL;
    if (!tp__is_float(x)) x = tp_cast(x, TP_I64);
    return x ? tp_pass(tp__cumprod(x, axis, false, false)) : NULL;
}

/* ---- cummax, cummin ---- */

static tp_tensor *extreme_places(const char *where, tp_tensor *x, int axis, bool least)
{
    tp_tensor *rows, *y;
    tp_lanes d;

    if (!(rows = tp__axis_lanes(x, axis, &d)) || !(y = tp__new(x->shape, TP_I64, tp__device(x)))) return NULL;
    return TP_RUN_SLOT(where, tp__backend(x)->cummax, x, d, least, tp__data(rows), tp__data(y)) ? y : NULL;
}

static tp_tensor *running(const char *where, tp_tensor *x, int axis, bool least, tp_tensor **index)
{
    tp_tensor *place, *y;
    int a;

    TP_SCOPE;
    if (index) *index = NULL;
    if (!starts(where, x, axis, &a) || !(place = extreme_places(where, x, a, least))) return NULL;
    if (!(y = tp_gather(x, a, place))) return NULL;
    if (index) *index = tp_pass(place);
    return tp_pass(y);
}

tp_tensor *tp_cummax(tp_tensor *x, int axis, tp_tensor **index)
{
    return running("cummax", x, axis, false, index);
}

tp_tensor *tp_cummin(tp_tensor *x, int axis, tp_tensor **index)
{
    return running("cummin", x, axis, true, index);
}
