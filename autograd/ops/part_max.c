/*
 * part_max.c - the largest of each part of a map.
 *
 *   y = the largest       dx = dy at each part's winner       ddy of that dx, given u: u at the winners
 */
#include "autograd/ops/resample.h"

enum { X };

static tp_tensor *ddy(tp_tensor *u, tp_tensor *place, const tp_resample *g);
static tp_tensor *dx(tp_sink to, tp_tensor *dy, tp_tensor *place, const tp_resample *g);

static void ddy_backward(tp_node *n)
{
    tp__give(n, X, dx(tp__sink(n, X), tp__dy(n, 0), tp__saved(n, 0), tp__attr(n)));
}

static void dx_backward(tp_node *n)
{
    tp__give(n, X, ddy(tp__dy(n, 0), tp__saved(n, 0), tp__attr(n)));
}

static const tp_op ddy_op = { "adaptive_max_pool2d_ddy", ddy_backward, NULL };
static const tp_op dx_op = { "adaptive_max_pool2d_dx", dx_backward, NULL };

static tp_tensor *ddy(tp_tensor *u, tp_tensor *place, const tp_resample *g)
{
    tp_tensor *y;

    if (!(u = tp__dense_of(u, TP_CHANNELS_LAST)) || !place) return NULL;
    y = tp__new_as(place->shape, (tp_dtype)u->dtype, tp__device(u), TP_CHANNELS_LAST);
    if (!y || !TP_RUN(part_max2d_ddy, u, g, tp__data(u), tp__data(place), tp__data(y))) return NULL;
    return tp__record(&ddy_op, TP_LIST(u, place), y, TP_LIST(place), g, sizeof *g);
}

static tp_tensor *dx(tp_sink to, tp_tensor *dy, tp_tensor *place, const tp_resample *g)
{
    tp_place d;

    if (!(dy = tp__dense_of(dy, TP_CHANNELS_LAST)) || !place) return NULL;
    d = tp__place(to, TP_SHAPE(g->N, g->C, g->h.n, g->w.n), dy, TP_CHANNELS_LAST, TP_DENSE_ONLY);
    if (!d.t || !TP_RUN(part_max2d_dx, dy, g, tp__data(dy), tp__data(place), d.add, tp__data(d.t))) return NULL;
    return tp__record(&dx_op, TP_LIST(dy, place), d.t, TP_LIST(place), g, sizeof *g);
}

static void max_backward(tp_node *n) /* where the winners lie doesn't move with x */
{
    tp__give(n, X, dx(tp__sink(n, X), tp__dy(n, 0), tp__saved_constant(n, 0), tp__attr(n)));
}

static const tp_op max_op = { "adaptive_max_pool2d", max_backward, NULL };

static tp_tensor *largest(const char *name, tp_tensor *x, int64_t h, int64_t w)
{
    tp_tensor *y, *place;
    tp_resample g;

    if (!tp__parts(name, x, h, w, &g) || !(x = tp__dense_of(x, TP_CHANNELS_LAST))) return NULL;
    y = tp__new_as(TP_SHAPE(g.N, g.C, h, w), (tp_dtype)x->dtype, tp__device(x), TP_CHANNELS_LAST);
    place = tp__new_as(TP_SHAPE(g.N, g.C, h, w), TP_I32, tp__device(x), TP_CHANNELS_LAST);
    if (!y || !place || !TP_RUN(part_max2d, x, &g, tp__data(x), tp__data(y), tp__data(place))) return NULL;
    return tp__record(&max_op, TP_LIST(x), y, TP_LIST(place), &g, sizeof g);
}

tp_tensor *tp_adaptive_max_pool2d(tp_tensor *x, int64_t h, int64_t w)
{
    TP_SCOPE;
    if (!tp__check("adaptive_max_pool2d", TP_LIST(x), 1)) return NULL;
    return tp_pass(largest("adaptive_max_pool2d", x, h, w));
}

tp_tensor *tp_global_max_pool2d(tp_tensor *x)
{
    TP_SCOPE;
    if (!tp__check("global_max_pool2d", TP_LIST(x), 1)) return NULL;
    return tp_pass(largest("global_max_pool2d", x, 1, 1));
}
