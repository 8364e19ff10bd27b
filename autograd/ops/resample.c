/*
 * resample.c - means of parts, and resizing: linear maps y = R x, whose derivative is dx = R' dy and
 * whose second is R again.
 */
#include "autograd/ops/resample.h"

#include <math.h>

enum { X };

static tp_tensor *adjoint(tp_sink to, tp_tensor *dy, const tp_resample *g);

static void resample_backward(tp_node *n)
{
    tp__give(n, X, adjoint(tp__sink(n, X), tp__dy(n, 0), tp__attr(n)));
}

static void adjoint_backward(tp_node *n)
{
    tp__give(n, X, tp__resample(tp__sink(n, X), tp__dy(n, 0), tp__attr(n)));
}

static const tp_op resample_op = { "resample2d", resample_backward, NULL };
static const tp_op adjoint_op = { "resample2d_dx", adjoint_backward, NULL };

static tp_tensor *adjoint(tp_sink to, tp_tensor *dy, const tp_resample *g)
{
    tp_place dx;

    if (!(dy = tp__dense_of(dy, TP_CHANNELS_LAST))) return NULL;
    dx = tp__place(to, TP_SHAPE(g->N, g->C, g->h.n, g->w.n), dy, TP_CHANNELS_LAST, TP_DENSE_ONLY);
    if (!dx.t || !TP_RUN(resample2d_dx, dy, g, tp__data(dy), dx.add, tp__data(dx.t))) return NULL;
    return tp__record(&adjoint_op, TP_LIST(dy), dx.t, TP_NONE_SAVED, g, sizeof *g);
}

tp_tensor *tp__resample(tp_sink to, tp_tensor *x, const tp_resample *g)
{
    tp_place y;

    if (!(x = tp__dense_of(x, TP_CHANNELS_LAST))) return NULL;
    y = tp__place(to, TP_SHAPE(g->N, g->C, g->h.out, g->w.out), x, TP_CHANNELS_LAST, TP_DENSE_ONLY);
    if (!y.t || !TP_RUN(resample2d, x, g, tp__data(x), y.add, tp__data(y.t))) return NULL;
    return tp__record(&resample_op, TP_LIST(x), y.t, TP_NONE_SAVED, g, sizeof *g);
}

/* ---- parts ---- */

static bool is_map(const char *name, const tp_tensor *x)
{
    TP_REQUIRE_IN(name, x->shape.rank == 4, TP_ERR_SHAPE, "x must be (N, C, H, W), not %s", tp__text(x));
    TP_REQUIRE_IN(name, tp_dim(x, 2) > 0 && tp_dim(x, 3) > 0, TP_ERR_SHAPE, "%s has no places", tp__text(x));
    TP_REQUIRE_IN(name, tp_dim(x, 2) <= INT32_MAX / tp_dim(x, 3), TP_ERR_SHAPE, "%s has too many places", tp__text(x));
    return true;
}

bool tp__parts(const char *name, const tp_tensor *x, int64_t h, int64_t w, tp_resample *g)
{
    if (!is_map(name, x)) return false;
    TP_REQUIRE_IN(name, h > 0 && w > 0 && h <= INT32_MAX && w <= INT32_MAX, TP_ERR_ARG, "%lld by %lld parts of %s",
                  (long long)h, (long long)w, tp__text(x));
    *g = (tp_resample){ tp_dim(x, 0), tp_dim(x, 1), { .n = tp_dim(x, 2), .out = h, .rule = TP_BY_PART },
                        { .n = tp_dim(x, 3), .out = w, .rule = TP_BY_PART } };
    return true;
}

tp_tensor *tp_adaptive_avg_pool2d(tp_tensor *x, int64_t h, int64_t w)
{
    tp_resample g;

    TP_SCOPE;
    if (!tp__check("adaptive_avg_pool2d", TP_LIST(x), 1) || !tp__parts("adaptive_avg_pool2d", x, h, w, &g)) return NULL;
    return tp_pass(tp__resample(TP_FRESH, x, &g));
}

/* ---- resizing ---- */

/* One axis: by the size of the result, or by a factor. */
static bool axis_of(const tp_interpolate_opts *o, int64_t n, int64_t size, double factor, tp_resample_axis *a)
{
    double out = size ? (double)size : floor((double)n * factor);

    TP_REQUIRE_IN("interpolate", out >= 1 && out <= INT32_MAX, TP_ERR_ARG, "%lld elements become %g", (long long)n, out);
    *a = (tp_resample_axis){ .n = n, .out = (int64_t)out, .rule = TP_BY_NEAREST };
    a->scale = size ? (double)n / out : 1 / factor;
    if (o->mode == TP_NEAREST) return true;
    a->rule = o->align_corners ? TP_BY_CORNERS : TP_BY_LINE;
    if (o->align_corners) a->scale = out > 1 ? (double)(n - 1) / (out - 1) : 0;
    return true;
}

static bool opts_fit(const tp_interpolate_opts *o)
{
    bool sized = o->h > 0 && o->w > 0 && o->scale == 0 && o->scale_w == 0;
    bool scaled = o->h == 0 && o->w == 0 && o->scale > 0 && o->scale_w >= 0;

    TP_REQUIRE_IN("interpolate", sized || scaled, TP_ERR_ARG,
                  "h %lld, w %lld, scale %g, %g: a size or a positive scale is wanted", (long long)o->h, (long long)o->w,
                  o->scale, o->scale_w);
    TP_REQUIRE_IN("interpolate", (unsigned)o->mode <= TP_BILINEAR, TP_ERR_ARG, "there is no mode %d", o->mode);
    TP_REQUIRE_IN("interpolate", o->mode == TP_BILINEAR || !o->align_corners, TP_ERR_ARG,
                  "the nearest element has no corners to align");
    return true;
}

tp_tensor *tp_interpolate(tp_tensor *x, tp_interpolate_opts o)
{
    tp_resample g;

    TP_SCOPE;
    if (!tp__check("interpolate", TP_LIST(x), 1) || !opts_fit(&o) || !is_map("interpolate", x)) return NULL;
    g = (tp_resample){ .N = tp_dim(x, 0), .C = tp_dim(x, 1) };
    if (!axis_of(&o, tp_dim(x, 2), o.h, o.scale, &g.h) ||
        !axis_of(&o, tp_dim(x, 3), o.w, o.scale_w > 0 ? o.scale_w : o.scale, &g.w))
        return NULL;
    return tp_pass(tp__resample(TP_FRESH, x, &g));
}
