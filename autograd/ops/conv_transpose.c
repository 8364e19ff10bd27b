/*
 * conv_transpose.c - transposed convolution (Zeiler et al. 2010): the adjoint of conv2d in x, as an op
 * of its own.
 *
 *   y[n,c,i s + k d - p, j s + l d - p] += x[n,o,i,j] w[o,c,k,l]          and bias[c]
 *
 * x stands where conv2d's gradient stood, so the geometry is that of the convolution that leads from y
 * to x, and the derivatives are conv2d and its adjoint in w.
 */
#include "autograd/ops/conv.h"

static int64_t or_one(int v)
{
    return v ? v : 1;
}

static bool shapes_fit(const char *name, const tp_tensor *x, const tp_tensor *w, const tp_tensor *bias, int64_t groups)
{
    TP_REQUIRE_IN(name, tp_dim(x, 1) == tp_dim(w, 0) && tp_dim(w, 0) % groups == 0, TP_ERR_SHAPE,
                  "x is %s: weight %s in %lld groups wants %lld channels, a multiple of the groups", tp__text(x),
                  tp__text(w), (long long)groups, (long long)tp_dim(w, 0));
    TP_REQUIRE_IN(name, !bias || (bias->shape.rank == 1 && tp_dim(bias, 0) == tp_dim(w, 1) * groups), TP_ERR_SHAPE,
                  "bias is %s, not (%lld)", tp__text(bias), (long long)(tp_dim(w, 1) * groups));
    return tp__conv_dtypes_fit(name, x, w, bias);
}

/* The size of y along one axis; more: what is added behind. */
static bool extent(const char *name, int64_t n, int64_t k, int64_t stride, int64_t pad, int64_t dilation, int more,
                   int64_t *out)
{
    TP_REQUIRE_IN(name, more >= 0 && (more < stride || more < dilation), TP_ERR_ARG,
                  "output padding %d: less than the stride, %lld, or the dilation, %lld, is wanted", more,
                  (long long)stride, (long long)dilation);
    TP_REQUIRE_IN(name, n > 0 && k > 0 && stride <= INT32_MAX / n && dilation <= INT32_MAX / k, TP_ERR_SHAPE,
                  "a kernel of %lld over %lld elements", (long long)k, (long long)n);
    *out = (n - 1) * stride - 2 * pad + dilation * (k - 1) + more + 1;
    TP_REQUIRE_IN(name, *out > 0, TP_ERR_SHAPE, "a padding of %lld leaves %lld elements", (long long)pad, (long long)*out);
    return true;
}

static bool geometry(const char *name, const tp_tensor *x, const tp_tensor *w, tp_conv2d_opts o, tp_window *g)
{
    if (!o.rectangular)
        o.stride_w = o.stride, o.padding_w = o.padding, o.dilation_w = o.dilation,
        o.output_padding_w = o.output_padding;
    *g = (tp_window){ .N = tp_dim(x, 0), .OH = tp_dim(x, 2), .OW = tp_dim(x, 3), .O = tp_dim(x, 1),
                      .KH = tp_dim(w, 2), .KW = tp_dim(w, 3), .stride_h = or_one(o.stride),
                      .stride_w = or_one(o.stride_w), .pad_h = o.padding, .pad_w = o.padding_w,
                      .dilation_h = or_one(o.dilation), .dilation_w = or_one(o.dilation_w),
                      .groups = or_one(o.groups) };
    g->C = tp_dim(w, 1) * g->groups;
    return extent(name, g->OH, g->KH, g->stride_h, g->pad_h, g->dilation_h, o.output_padding, &g->H) &&
           extent(name, g->OW, g->KW, g->stride_w, g->pad_w, g->dilation_w, o.output_padding_w, &g->W);
}

/* Of one place, onto which the kernel falls once: a product, without a window to look for. */
static bool one_place(const tp_window *g)
{
    return g->OH * g->OW == 1 && g->groups == 1 && g->H == g->KH && g->W == g->KW && !g->pad_h && !g->pad_w &&
           g->dilation_h * g->dilation_w == 1;
}

static tp_tensor *onto_kernel(tp_tensor *x, tp_tensor *w, const tp_window *g)
{
    tp_tensor *rows = tp_reshape(x, TP_SHAPE(g->N, g->O));
    tp_tensor *cols = tp_reshape(tp_permute(w, TP_AXES(0, 2, 3, 1)), TP_SHAPE(g->O, g->KH * g->KW * g->C));
    tp_tensor *y = tp_reshape(tp_matmul(rows, cols), TP_SHAPE(g->N, g->KH, g->KW, g->C));

    return tp_permute(y, TP_AXES(0, 3, 1, 2));
}

static tp_tensor *transposed(const char *name, tp_tensor *x, tp_tensor *w, tp_tensor *bias, tp_conv2d_opts o)
{
    tp_window g;

    TP_REQUIRE_IN(name, !o.same, TP_ERR_ARG, "the same size isn't offered: choose padding and output padding");
    x = tp__autocast(x), w = tp__autocast(w), bias = tp__autocast(bias);
    if (!tp_ok() || !shapes_fit(name, x, w, bias, or_one(o.groups)) || !geometry(name, x, w, o, &g)) return NULL;
    x = one_place(&g) ? onto_kernel(x, w, &g) : tp__conv2d_dx(TP_FRESH, x, w, &g);
    return x && bias ? tp_add(x, tp_reshape(bias, TP_SHAPE(1, g.C, 1, 1))) : x;
}

tp_tensor *tp_conv_transpose2d(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_conv2d_opts o)
{
    const char *name = "conv_transpose2d";

    TP_SCOPE;
    if (!tp__check(name, TP_LIST(x, weight, bias), 2) || !tp__conv_opts_fit(name, o)) return NULL;
    TP_REQUIRE_IN(name, x->shape.rank == 4, TP_ERR_SHAPE, "x must be (N, C, H, W), not %s", tp__text(x));
    TP_REQUIRE_IN(name, weight->shape.rank == 4, TP_ERR_SHAPE, "weight must be (C, O / groups, KH, KW), not %s",
                  tp__text(weight));
    return tp_pass(transposed(name, x, weight, bias, o));
}

tp_tensor *tp_conv_transpose1d(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_conv2d_opts o)
{
    const char *name = "conv_transpose1d";

    TP_SCOPE;
    if (!tp__check(name, TP_LIST(x, weight, bias), 2) || !tp__conv_opts_fit(name, o)) return NULL;
    if (!tp__conv_has_one_axis(name, x, weight, o)) return NULL;
    o = tp__conv_flat(o), o.output_padding_w = o.output_padding, o.output_padding = 0;
    x = tp__conv_as_map(x), weight = tp__conv_as_map(weight);
    if (!x || !weight) return NULL;
    return tp_pass(tp__conv_as_line(transposed(name, x, weight, bias, o)));
}
