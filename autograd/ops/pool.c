/*
 * pool.c - pooling over windows.
 *
 *   max      y = the largest of each window            dx = dy at each window's winner
 *   ddy      of that dx, given u:  u at the winners
 *   mean     resample.c's map
 *   global   y = the mean of each channel
 */
#include "autograd/ops/conv.h"
#include "autograd/ops/resample.h"

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

static bool window_ok(const char *name, int kernel, int stride, int padding, int dilation)
{
    TP_REQUIRE_IN(name, kernel > 0 && stride >= 0 && dilation >= 0 && padding >= 0, TP_ERR_ARG,
                  "kernel %d, stride %d, dilation %d, padding %d: none may be negative, and a kernel is at least 1",
                  kernel, stride, dilation, padding);
    TP_REQUIRE_IN(name, padding <= kernel / 2, TP_ERR_ARG,
                  "kernel %d, padding %d: padding is at most half the kernel", kernel, padding);
    return true;
}

/* How many windows there are; with ceil_mode one more may reach beyond the padding behind, but begins
 * before it. */
static int64_t windows(int64_t n, int64_t k, int64_t stride, int64_t pad, int64_t dilation, bool ceil_mode)
{
    int64_t out = tp_window_out(n, k, stride, pad, dilation), room = n + 2 * pad - dilation * (k - 1) - 1;

    if (!ceil_mode || room + stride - 1 < 0) return out;
    out = (room + stride - 1) / stride + 1;
    return (out - 1) * stride >= n + pad ? out - 1 : out;
}

static bool geometry(const char *name, const tp_tensor *x, int kernel, tp_pool2d_opts o, tp_window *g)
{
    TP_REQUIRE_IN(name, x->shape.rank == 4, TP_ERR_SHAPE, "x must be (N, C, H, W), not %s", tp__text(x));
    if (!o.rectangular)
        o.kernel_w = kernel, o.stride_w = o.stride, o.padding_w = o.padding, o.dilation_w = o.dilation;
    if (!window_ok(name, kernel, o.stride, o.padding, o.dilation) ||
        !window_ok(name, o.kernel_w, o.stride_w, o.padding_w, o.dilation_w))
        return false;
    TP_REQUIRE_IN(name, kernel <= INT32_MAX / o.kernel_w, TP_ERR_ARG,
                  "a kernel of %d by %d has more than %d places", kernel, o.kernel_w, INT32_MAX);
    *g = (tp_window){ .N = tp_dim(x, 0), .H = tp_dim(x, 2), .W = tp_dim(x, 3), .C = tp_dim(x, 1),
                      .O = tp_dim(x, 1), .KH = kernel, .KW = o.kernel_w,
                      .stride_h = o.stride ? o.stride : kernel,
                      .stride_w = o.stride_w ? o.stride_w : o.kernel_w, .pad_h = o.padding,
                      .pad_w = o.padding_w, .dilation_h = o.dilation ? o.dilation : 1,
                      .dilation_w = o.dilation_w ? o.dilation_w : 1, .groups = 1 };
    g->OH = windows(g->H, g->KH, g->stride_h, g->pad_h, g->dilation_h, o.ceil_mode);
    g->OW = windows(g->W, g->KW, g->stride_w, g->pad_w, g->dilation_w, o.ceil_mode);
    TP_REQUIRE_IN(name, g->OH > 0 && g->OW > 0, TP_ERR_SHAPE, "a kernel of %d by %d doesn't fit %s padded by %d",
                  kernel, o.kernel_w, tp__text(x), o.padding);
    return tp__shape_ok(name, TP_SHAPE(g->N, g->C, g->OH, g->OW));
}

static tp_tensor *max_pool(tp_tensor *x, const tp_window *g)
{
    tp_shape s = TP_SHAPE(g->N, g->C, g->OH, g->OW);
    tp_tensor *y, *place;

    if (!(x = tp__dense_of(x, TP_CHANNELS_LAST))) return NULL;
    y = tp__new_as(s, (tp_dtype)x->dtype, tp__device(x), TP_CHANNELS_LAST);
    place = tp__new_as(s, TP_I32, tp__device(x), TP_CHANNELS_LAST);
    if (!y || !place || !TP_RUN(max_pool2d, x, g, tp__data(x), tp__data(y), tp__data(place))) return NULL;
    return tp__record(&max_op, TP_LIST(x), y, TP_LIST(place), g, sizeof *g);
}

tp_tensor *tp_max_pool2d(tp_tensor *x, int kernel, tp_pool2d_opts o)
{
    tp_window g;

    TP_SCOPE;
    if (!tp__check("max_pool2d", TP_LIST(x), 1) || !geometry("max_pool2d", x, kernel, o, &g)) return NULL;
    return tp_pass(max_pool(x, &g));
}

/* ---- mean ---- */

static tp_tensor *avg_pool(const char *name, tp_tensor *x, int kernel, tp_pool2d_opts o)
{
    tp_resample r;
    tp_window g = { 0 };

    TP_REQUIRE_IN(name, o.dilation <= 1 && o.dilation_w <= 1, TP_ERR_ARG, "a dilation isn't offered");
    TP_REQUIRE_IN(name, o.divisor >= 0, TP_ERR_ARG, "the divisor is %d", o.divisor);
    if (!geometry(name, x, kernel, o, &g)) return NULL;
    r = (tp_resample){ g.N, g.C,
                       { .n = g.H, .out = g.OH, .kernel = g.KH, .stride = g.stride_h, .pad = g.pad_h,
                         .divisor = o.divisor, .skip_pad = o.exclude_pad },
                       { .n = g.W, .out = g.OW, .kernel = g.KW, .stride = g.stride_w, .pad = g.pad_w,
                         .divisor = o.divisor ? 1 : 0, .skip_pad = o.exclude_pad } };
    return tp__resample(TP_FRESH, x, &r);
}

tp_tensor *tp_avg_pool2d(tp_tensor *x, int kernel, tp_pool2d_opts o)
{
    TP_SCOPE;
    if (!tp__check("avg_pool2d", TP_LIST(x), 1)) return NULL;
    return tp_pass(avg_pool("avg_pool2d", x, kernel, o));
}

/* ---- one axis: a map of height 1 ---- */

static tp_pool2d_opts flat(tp_pool2d_opts o)
{
    o.rectangular = true, o.stride_w = o.stride, o.padding_w = o.padding, o.dilation_w = o.dilation;
    o.stride = o.padding = o.dilation = 0;
    return o;
}

static bool has_one_axis(const char *name, const tp_tensor *x, const tp_pool2d_opts *o)
{
    TP_REQUIRE_IN(name, x->shape.rank == 3, TP_ERR_SHAPE, "x must be (N, C, L), not %s", tp__text(x));
    TP_REQUIRE_IN(name, !o->rectangular, TP_ERR_ARG, "one axis has no other of its own: o.rectangular");
    return true;
}

tp_tensor *tp_max_pool1d(tp_tensor *x, int kernel, tp_pool2d_opts o)
{
    tp_window g;

    TP_SCOPE;
    if (!tp__check("max_pool1d", TP_LIST(x), 1) || !has_one_axis("max_pool1d", x, &o)) return NULL;
    o = flat(o), o.kernel_w = kernel, x = tp__conv_as_map(x);
    if (!x || !geometry("max_pool1d", x, 1, o, &g)) return NULL;
    return tp_pass(tp__conv_as_line(max_pool(x, &g)));
}

tp_tensor *tp_avg_pool1d(tp_tensor *x, int kernel, tp_pool2d_opts o)
{
    TP_SCOPE;
    if (!tp__check("avg_pool1d", TP_LIST(x), 1) || !has_one_axis("avg_pool1d", x, &o)) return NULL;
    o = flat(o), o.kernel_w = kernel, x = tp__conv_as_map(x);
    return tp_pass(x ? tp__conv_as_line(avg_pool("avg_pool1d", x, 1, o)) : NULL);
}

tp_tensor *tp_global_avg_pool2d(tp_tensor *x)
{
    if (!tp__check("global_avg_pool2d", TP_LIST(x), 1)) return NULL;
    TP_REQUIRE_IN("global_avg_pool2d", x->shape.rank == 4, TP_ERR_SHAPE, "x must be (N, C, H, W), not %s",
                  tp__text(x));
    return tp_mean(x, TP_KEEPDIM(2, 3));
}
