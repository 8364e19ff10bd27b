/*
 * conv.c - two-dimensional convolution (cross-correlation, as in every framework).
 *
 *   y = x * w + bias     y[n,o,i,j] = bias[o] + sum_c,k,l x[n,c,i s + k d - p, j s + l d - p] w[o,c,k,l]
 *
 * It is linear in x and in w, so its derivatives are made of each other:
 *   conv2d_dx(dy, w)     given u:   ddy = u * w                  dw = conv2d_dw(u, dy)
 *   conv2d_dw(x, dy)     given u:   dx = conv2d_dx(dy, u)        ddy = x * u
 * Activations are channels-last in memory, weights (O, C / groups, KH, KW) row-major.
 */
#include "autograd/ops/conv.h"

enum { X, WEIGHT, BIAS };       /* of conv2d */
enum { DX_DY, DX_WEIGHT };      /* of conv2d_dx */
enum { DW_X, DW_DY };           /* of conv2d_dw */

static tp_tensor *conv(tp_tensor *x, tp_tensor *w, tp_tensor *bias, const tp_window *g);
static tp_tensor *conv_dw(tp_sink to, tp_tensor *x, tp_tensor *dy, const tp_window *g);

/* ---- in x ---- */

static void conv_dx_backward(tp_node *n)
{
    const tp_window *g = tp__attr(n);
    tp_tensor *u = tp__dy(n, 0);

    if (tp__wants(n, DX_DY)) tp__give(n, DX_DY, conv(u, tp__saved(n, DX_WEIGHT), NULL, g));
    if (tp__wants(n, DX_WEIGHT))
        tp__give(n, DX_WEIGHT, conv_dw(tp__sink(n, DX_WEIGHT), u, tp__saved(n, DX_DY), g));
}

static const tp_op conv_dx_op = { "conv2d_dx", conv_dx_backward, NULL };

tp_tensor *tp__conv2d_dx(tp_sink to, tp_tensor *dy, tp_tensor *w, const tp_window *g)
{
    tp_place dx;

    dy = tp__dense_of(dy, TP_CHANNELS_LAST), w = tp__rows(w);
    if (!dy || !w) return NULL;
    dx = tp__place(to, TP_SHAPE(g->N, g->C, g->H, g->W), dy, TP_CHANNELS_LAST, TP_DENSE_ONLY);
    if (!dx.t || !TP_RUN(conv2d_dx, dy, g, tp__data(dy), tp__data(w), dx.add, tp__data(dx.t))) return NULL;
    return tp__record(&conv_dx_op, TP_LIST(dy, w), dx.t, TP_LIST(dy, w), g, sizeof *g);
}

/* ---- in w ---- */

static void conv_dw_backward(tp_node *n)
{
    const tp_window *g = tp__attr(n);
    tp_tensor *u = tp__dy(n, 0);

    if (tp__wants(n, DW_X)) tp__give(n, DW_X, tp__conv2d_dx(tp__sink(n, DW_X), tp__saved(n, DW_DY), u, g));
    if (tp__wants(n, DW_DY)) tp__give(n, DW_DY, conv(tp__saved(n, DW_X), u, NULL, g));
}

static const tp_op conv_dw_op = { "conv2d_dw", conv_dw_backward, NULL };

static tp_tensor *conv_dw(tp_sink to, tp_tensor *x, tp_tensor *dy, const tp_window *g)
{
    tp_place dw;

    x = tp__dense_of(x, TP_CHANNELS_LAST), dy = tp__dense_of(dy, TP_CHANNELS_LAST);
    if (!x || !dy) return NULL;
    dw = tp__place(to, TP_SHAPE(g->O, g->C / g->groups, g->KH, g->KW), x, TP_ROW_MAJOR, TP_DENSE_ONLY);
    if (!dw.t || !TP_RUN(conv2d_dw, x, g, tp__data(x), tp__data(dy), dw.add, tp__data(dw.t))) return NULL;
    return tp__record(&conv_dw_op, TP_LIST(x, dy), dw.t, TP_LIST(x, dy), g, sizeof *g);
}

/* ---- forward ---- */

static void conv_backward(tp_node *n)
{
    const tp_window *g = tp__attr(n);
    tp_tensor *dy = tp__dy(n, 0);

    if (tp__wants(n, X)) tp__give(n, X, tp__conv2d_dx(tp__sink(n, X), dy, tp__saved(n, WEIGHT), g));
    if (tp__wants(n, WEIGHT)) tp__give(n, WEIGHT, conv_dw(tp__sink(n, WEIGHT), tp__saved(n, X), dy, g));
    if (tp__wants(n, BIAS)) /* channels as the last axis, and all others summed */
        tp__give(n, BIAS, tp__sum_to(tp__sink(n, BIAS), tp_permute(dy, TP_AXES(0, 2, 3, 1)), TP_SHAPE(g->O)));
}

static const tp_op conv_op = { "conv2d", conv_backward, NULL };

static tp_tensor *conv(tp_tensor *x, tp_tensor *w, tp_tensor *bias, const tp_window *g)
{
    tp_tensor *y;

    x = tp__dense_of(x, TP_CHANNELS_LAST), w = tp__rows(w), bias = tp__rows(bias);
    if (!x || !w || !tp_ok()) return NULL;
    y = tp__new_as(TP_SHAPE(g->N, g->O, g->OH, g->OW), (tp_dtype)x->dtype, tp__device(x), TP_CHANNELS_LAST);
    if (!y || !TP_RUN(conv2d, x, g, tp__data(x), tp__data(w), tp__data(bias), tp__data(y))) return NULL;
    return tp__record(&conv_op, TP_LIST(x, w, bias), y, TP_LIST(x, w), g, sizeof *g);
}

bool tp__conv_dtypes_fit(const char *name, const tp_tensor *x, const tp_tensor *w, const tp_tensor *bias)
{
    TP_REQUIRE_IN(name, x->dtype == w->dtype && (!bias || bias->dtype == w->dtype), TP_ERR_DTYPE,
                  "x is %s, weight %s, bias %s: one dtype is wanted", tp__text(x), tp__text(w), tp__text(bias));
    return true;
}

static bool shapes_fit(const char *name, const tp_tensor *x, const tp_tensor *w, const tp_tensor *bias, int64_t groups)
{
    TP_REQUIRE_IN(name, tp_dim(x, 1) == tp_dim(w, 1) * groups && tp_dim(w, 0) % groups == 0, TP_ERR_SHAPE,
                  "x is %s: weight %s in %lld groups wants %lld channels", tp__text(x), tp__text(w),
                  (long long)groups, (long long)(tp_dim(w, 1) * groups));
    TP_REQUIRE_IN(name, !bias || (bias->shape.rank == 1 && tp_dim(bias, 0) == tp_dim(w, 0)), TP_ERR_SHAPE,
                  "bias is %s, not (%lld)", tp__text(bias), (long long)tp_dim(w, 0));
    return tp__conv_dtypes_fit(name, x, w, bias);
}

static int or_one(int v)
{
    return v ? v : 1;
}

static bool geometry(const char *name, const tp_tensor *x, const tp_tensor *w, tp_conv2d_opts o, tp_window *g)
{
    if (!o.rectangular) o.stride_w = o.stride, o.padding_w = o.padding, o.dilation_w = o.dilation;
    *g = (tp_window){ .N = tp_dim(x, 0), .H = tp_dim(x, 2), .W = tp_dim(x, 3), .C = tp_dim(x, 1),
                      .O = tp_dim(w, 0), .KH = tp_dim(w, 2), .KW = tp_dim(w, 3),
                      .stride_h = or_one(o.stride), .stride_w = or_one(o.stride_w), .pad_h = o.padding,
                      .pad_w = o.padding_w, .dilation_h = or_one(o.dilation),
                      .dilation_w = or_one(o.dilation_w), .groups = or_one(o.groups) };
    g->OH = tp_window_out(g->H, g->KH, g->stride_h, g->pad_h, g->dilation_h);
    g->OW = tp_window_out(g->W, g->KW, g->stride_w, g->pad_w, g->dilation_w);
    TP_REQUIRE_IN(name, g->KH > 0 && g->KW > 0 && g->OH > 0 && g->OW > 0, TP_ERR_SHAPE,
                  "a kernel of %lld by %lld, dilated by %lld and %lld, doesn't fit %s padded by %lld and %lld",
                  (long long)g->KH, (long long)g->KW, (long long)g->dilation_h, (long long)g->dilation_w,
                  tp__text(x), (long long)g->pad_h, (long long)g->pad_w);
    return tp__shape_ok(name, TP_SHAPE(g->N, g->O, g->OH, g->OW));
}

bool tp__conv_opts_fit(const char *name, tp_conv2d_opts o)
{
    bool ok = o.stride >= 0 && o.padding >= 0 && o.dilation >= 0 && o.groups >= 0 &&
              (!o.rectangular || (o.stride_w >= 0 && o.padding_w >= 0 && o.dilation_w >= 0));

    TP_REQUIRE_IN(name, ok || !o.rectangular, TP_ERR_ARG, "stride %d by %d, padding %d by %d, dilation %d by %d, groups %d: "
                  "none may be negative", o.stride, o.stride_w, o.padding, o.padding_w, o.dilation, o.dilation_w, o.groups);
    TP_REQUIRE_IN(name, ok, TP_ERR_ARG, "stride %d, padding %d, dilation %d, groups %d: none may be negative",
                  o.stride, o.padding, o.dilation, o.groups);
    return true;
}

/* o.same: padding of dilation (k - 1) along each axis; where that is odd, x gets one more behind. */
static tp_tensor *padded(const char *name, tp_tensor *x, const tp_tensor *w, tp_conv2d_opts *o)
{
    int64_t h, across;

    TP_REQUIRE_IN(name, o->stride <= 1 && o->stride_w <= 1 && o->padding == 0 && o->padding_w == 0, TP_ERR_ARG,
                  "the same size takes stride 1 and no padding of one's own, not %d and %d", o->stride, o->padding);
    if (!o->rectangular) o->dilation_w = o->dilation;
    h = or_one(o->dilation) * (tp_dim(w, 2) - 1), across = or_one(o->dilation_w) * (tp_dim(w, 3) - 1);
    TP_REQUIRE_IN(name, h >= 0 && across >= 0 && h <= INT32_MAX && across <= INT32_MAX, TP_ERR_SHAPE,
                  "a weight %s has no middle", tp__text(w));
    o->rectangular = true, o->padding = (int)(h / 2), o->padding_w = (int)(across / 2);
    if (h % 2 == 0 && across % 2 == 0) return x;
    return tp_pad(x, TP_SHAPE(0, across % 2, 0, h % 2), (tp_pad_opts){ 0 });
}

static tp_tensor *checked(const char *name, tp_tensor *x, tp_tensor *w, tp_tensor *bias, tp_conv2d_opts o)
{
    tp_window g;

    x = tp__autocast(x), w = tp__autocast(w), bias = tp__autocast(bias);
    if (!tp_ok() || !shapes_fit(name, x, w, bias, o.groups ? o.groups : 1)) return NULL;
    if (o.same && !(x = padded(name, x, w, &o))) return NULL;
    return geometry(name, x, w, o, &g) ? conv(x, w, bias, &g) : NULL;
}

tp_tensor *tp_conv2d(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_conv2d_opts o)
{
    TP_SCOPE;
    if (!tp__check("conv2d", TP_LIST(x, weight, bias), 2)) return NULL;
    if (!tp__conv_opts_fit("conv2d", o)) return NULL;
    TP_REQUIRE_IN("conv2d", x->shape.rank == 4, TP_ERR_SHAPE, "x must be (N, C, H, W), not %s", tp__text(x));
    TP_REQUIRE_IN("conv2d", weight->shape.rank == 4, TP_ERR_SHAPE, "weight must be (O, C / groups, KH, KW), not %s",
                  tp__text(weight));
    return tp_pass(checked("conv2d", x, weight, bias, o));
}

/* ---- one axis: a map of height 1 ---- */

bool tp__conv_has_one_axis(const char *name, const tp_tensor *x, const tp_tensor *w, tp_conv2d_opts o)
{
    TP_REQUIRE_IN(name, x->shape.rank == 3, TP_ERR_SHAPE, "x must be (N, C, L), not %s", tp__text(x));
    TP_REQUIRE_IN(name, w->shape.rank == 3, TP_ERR_SHAPE, "weight must have three axes, not %s", tp__text(w));
    TP_REQUIRE_IN(name, !o.rectangular, TP_ERR_ARG, "one axis has no other of its own: o.rectangular");
    return true;
}

tp_conv2d_opts tp__conv_flat(tp_conv2d_opts o)
{
    o.rectangular = true, o.stride_w = o.stride, o.padding_w = o.padding, o.dilation_w = o.dilation;
    o.stride = o.padding = o.dilation = 0;
    return o;
}

tp_tensor *tp__conv_as_map(tp_tensor *x)
{
    return tp_reshape(x, TP_SHAPE(tp_dim(x, 0), tp_dim(x, 1), 1, tp_dim(x, 2)));
}

tp_tensor *tp__conv_as_line(tp_tensor *y)
{
    return y ? tp_reshape(y, TP_SHAPE(tp_dim(y, 0), tp_dim(y, 1), tp_dim(y, 3))) : NULL;
}

tp_tensor *tp_conv1d(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_conv2d_opts o)
{
    TP_SCOPE;
    if (!tp__check("conv1d", TP_LIST(x, weight, bias), 2) || !tp__conv_opts_fit("conv1d", o)) return NULL;
    if (!tp__conv_has_one_axis("conv1d", x, weight, o)) return NULL;
    x = tp__conv_as_map(x), weight = tp__conv_as_map(weight);
    if (!x || !weight) return NULL;
    return tp_pass(tp__conv_as_line(checked("conv1d", x, weight, bias, tp__conv_flat(o))));
}
