/*
 * pool.c - pooling over windows.
 *
 *   max      y = the largest of each window            dx = dy at each window's winner
 *   ddy      of that dx, given u:  u at the winners
 *   global   y = the mean of each channel
 */
#include "autograd/op.h"

enum { X };

static tp_tensor *max_ddy(tp_tensor *u, tp_tensor *place, const tp_window *g);

static tp_tensor *max_dx(tp_sink to, tp_tensor *dy, tp_tensor *place, const tp_window *g);

static void max_ddy_backward(tp_node *n)
{
    tp__give(n, X, max_dx(tp__sink(n, X), tp__dy(n, 0), tp__saved(n, 0), tp__attr(n)));
}

static void max_dx_backward(tp_node *n)
{
    tp__give(n, X, max_ddy(tp__dy(n, 0), tp__saved(n, 0), tp__attr(n)));
}

static const tp_op max_ddy_op = { "max_pool2d_ddy", max_ddy_backward, NULL };
static const tp_op max_dx_op = { "max_pool2d_dx", max_dx_backward, NULL };

static tp_tensor *max_ddy(tp_tensor *u, tp_tensor *place, const tp_window *g)
{
    tp_tensor *y;

    if (!(u = tp__dense_of(u, TP_CHANNELS_LAST)) || !place) return NULL;
    y = tp__new_as(TP_SHAPE(g->N, g->C, g->OH, g->OW), (tp_dtype)u->dtype, tp__device(u), TP_CHANNELS_LAST);
    if (!y || !TP_RUN(max_pool2d_ddy, u, g, tp__data(u), tp__data(place), tp__data(y))) return NULL;
    return tp__record(&max_ddy_op, TP_LIST(u, place), y, TP_LIST(place), g, sizeof *g);
}

static tp_tensor *max_dx(tp_sink to, tp_tensor *dy, tp_tensor *place, const tp_window *g)
{
    tp_place dx;

    if (!(dy = tp__dense_of(dy, TP_CHANNELS_LAST)) || !place) return NULL;
    dx = tp__place(to, TP_SHAPE(g->N, g->C, g->H, g->W), dy, TP_CHANNELS_LAST, TP_DENSE_ONLY);
    if (!dx.t || !TP_RUN(max_pool2d_dx, dy, g, tp__data(dy), tp__data(place), dx.add, tp__data(dx.t)))
        return NULL;
    return tp__record(&max_dx_op, TP_LIST(dy, place), dx.t, TP_LIST(place), g, sizeof *g);
}

static void max_backward(tp_node *n) /* where the winners lie doesn't move with x */
{
    tp__give(n, X, max_dx(tp__sink(n, X), tp__dy(n, 0), tp__saved_constant(n, 0), tp__attr(n)));
}

static const tp_op max_op = { "max_pool2d", max_backward, NULL };

static bool window_ok(int kernel, int stride, int padding, int dilation)
{
    TP_REQUIRE_IN("max_pool2d", kernel > 0 && stride >= 0 && dilation >= 0 && padding >= 0, TP_ERR_ARG,
                  "kernel %d, stride %d, dilation %d, padding %d: none may be negative, and a kernel is at least 1",
                  kernel, stride, dilation, padding);
    TP_REQUIRE_IN("max_pool2d", padding <= kernel / 2, TP_ERR_ARG,
                  "kernel %d, padding %d: padding is at most half the kernel", kernel, padding);
    return true;
}

static bool geometry(const tp_tensor *x, int kernel, tp_pool2d_opts o, tp_window *g)
{
    TP_REQUIRE_IN("max_pool2d", x->shape.rank == 4, TP_ERR_SHAPE, "x must be (N, C, H, W), not %s", tp__text(x));
    if (!o.rectangular)
        o.kernel_w = kernel, o.stride_w = o.stride, o.padding_w = o.padding, o.dilation_w = o.dilation;
    if (!window_ok(kernel, o.stride, o.padding, o.dilation) ||
        !window_ok(o.kernel_w, o.stride_w, o.padding_w, o.dilation_w))
        return false;
    TP_REQUIRE_IN("max_pool2d", kernel <= INT32_MAX / o.kernel_w, TP_ERR_ARG,
                  "a kernel of %d by %d has more than %d places", kernel, o.kernel_w, INT32_MAX);
    *g = (tp_window){ .N = tp_dim(x, 0), .H = tp_dim(x, 2), .W = tp_dim(x, 3), .C = tp_dim(x, 1),
                      .O = tp_dim(x, 1), .KH = kernel, .KW = o.kernel_w,
                      .stride_h = o.stride ? o.stride : kernel,
                      .stride_w = o.stride_w ? o.stride_w : o.kernel_w, .pad_h = o.padding,
                      .pad_w = o.padding_w, .dilation_h = o.dilation ? o.dilation : 1,
                      .dilation_w = o.dilation_w ? o.dilation_w : 1, .groups = 1 };
    g->OH = tp_window_out(g->H, g->KH, g->stride_h, g->pad_h, g->dilation_h);
    g->OW = tp_window_out(g->W, g->KW, g->stride_w, g->pad_w, g->dilation_w);
    TP_REQUIRE_IN("max_pool2d", g->OH > 0 && g->OW > 0, TP_ERR_SHAPE, "a kernel of %d by %d doesn't fit %s padded by %d",
                  kernel, o.kernel_w, tp__text(x), o.padding);
    return tp__shape_ok("max_pool2d", TP_SHAPE(g->N, g->C, g->OH, g->OW));
}

tp_tensor *tp_max_pool2d(tp_tensor *x, int kernel, tp_pool2d_opts o)
{
    tp_tensor *y, *place;
    tp_window g;

    TP_SCOPE;
    if (!tp__check("max_pool2d", TP_LIST(x), 1) || !geometry(x, kernel, o, &g)) return NULL;
    if (!(x = tp__dense_of(x, TP_CHANNELS_LAST))) return NULL;
    y = tp__new_as(TP_SHAPE(g.N, g.C, g.OH, g.OW), (tp_dtype)x->dtype, tp__device(x), TP_CHANNELS_LAST);
    place = tp__new_as(TP_SHAPE(g.N, g.C, g.OH, g.OW), TP_I32, tp__device(x), TP_CHANNELS_LAST);
    if (!y || !place || !TP_RUN(max_pool2d, x, &g, tp__data(x), tp__data(y), tp__data(place))) return NULL;
    return tp_pass(tp__record(&max_op, TP_LIST(x), y, TP_LIST(place), &g, sizeof g));
}

tp_tensor *tp_global_avg_pool2d(tp_tensor *x)
{
    if (!tp__check("global_avg_pool2d", TP_LIST(x), 1)) return NULL;
    TP_REQUIRE_IN("global_avg_pool2d", x->shape.rank == 4, TP_ERR_SHAPE, "x must be (N, C, H, W), not %s",
                  tp__text(x));
    return tp_mean(x, TP_KEEPDIM(2, 3));
}
