/*
 * group_norm.c - norms over groups of channels, and by the mean square alone.
 *
 *   group     xh = (x - mean) rstd over each group of channels of a sample,   y = xh w + b
 *   instance  a group is a channel
 *   rms       y = x rstd w,   rstd = 1 / sqrt(mean of x^2 + eps)
 *
 * norm.c has the derivatives in ops; here kernels compute them.
 */
#include "autograd/ops/norm.h"

enum { X = TP_NORM_X, WEIGHT = TP_NORM_WEIGHT, BIAS = TP_NORM_BIAS };
enum { GROUP_MEAN = BIAS, GROUP_RSTD, RMS_RSTD = BIAS };

static bool fits(const char *name, const tp_tensor *x, const tp_tensor *t, tp_shape s)
{
    TP_REQUIRE_IN(name, !t || tp__same(&t->shape, &s), TP_ERR_SHAPE, "weight or bias is %s, not %s", tp__text(t),
                  tp__shape_text(s));
    TP_REQUIRE_IN(name, !t || t->dtype == tp__norm_wide(x), TP_ERR_DTYPE, "weight and bias of %s are %s, not %s",
                  tp__text(x), tp_dtype_name(tp__norm_wide(x)), tp__text(t));
    return true;
}

/* ---- group: x is (N, C, H, W) ---- */

static int64_t places(const tp_tensor *x)
{
    return tp_dim(x, 2) * tp_dim(x, 3);
}

static void group_backward(tp_node *n)
{
    const tp_norm_attr *k = tp__attr(n);
    tp_tensor *x, *w, *mean, *rstd, *dw, *db, *dy;
    tp_place dx = { 0 };

    if (tp__recording()) {
        tp__norm_backward_in_ops(n);
        return;
    }
    x = tp__saved(n, X), w = tp__saved(n, WEIGHT), dy = tp__dense_of(tp__dy(n, 0), TP_CHANNELS_LAST);
    mean = tp__saved_constant(n, GROUP_MEAN), rstd = tp__saved_constant(n, GROUP_RSTD);
    if (!x || !dy) return;
    dw = tp__norm_room(n, WEIGHT, x), db = tp__norm_room(n, BIAS, x);
    if (tp__wants(n, X)) dx = tp__place(tp__sink(n, X), x->shape, x, TP_CHANNELS_LAST, TP_DENSE_ONLY);
    if (!tp_ok() || !TP_RUN(group_norm_dx, x, tp_dim(x, 0), places(x), tp_dim(x, 1), k->as.n[1], tp__data(dy),
                            tp__data(x), tp__data(mean), tp__data(rstd), tp__data(w), dx.add, tp__data(dx.t),
                            tp__data(dw), tp__data(db)))
        return;
    tp__give(n, X, dx.t), tp__give(n, WEIGHT, dw), tp__give(n, BIAS, db);
}

static const tp_op group_op = { "group_norm", group_backward, NULL };

static tp_tensor *group_norm(tp_tensor *x, int64_t groups, tp_tensor *w, tp_tensor *b, double eps)
{
    int64_t N = tp_dim(x, 0), C = tp_dim(x, 1);
    tp_norm_attr k = { .eps = eps, .over = TP_KEEPDIM(2, 3, 4),
                       .as = TP_SHAPE(N, groups, C / groups, tp_dim(x, 2), tp_dim(x, 3)),
                       .weight_as = TP_SHAPE(1, groups, C / groups, 1, 1) };
    tp_tensor *y, *mean, *rstd;

    x = tp__dense_of(x, TP_CHANNELS_LAST), w = tp__rows(w), b = tp__rows(b);
    if (!tp_ok()) return NULL;
    y = tp__new_as(x->shape, (tp_dtype)x->dtype, tp__device(x), TP_CHANNELS_LAST);
    mean = tp__new(TP_SHAPE(N, groups), tp__norm_wide(x), tp__device(x));
    rstd = tp__new(TP_SHAPE(N, groups), tp__norm_wide(x), tp__device(x));
    if (!y || !mean || !rstd) return NULL;
    if (!TP_RUN(group_norm, x, N, places(x), C, groups, tp__data(x), tp__data(w), tp__data(b), eps, tp__data(mean),
                tp__data(rstd), tp__data(y)))
        return NULL;
    return tp__record(&group_op, TP_LIST(x, w, b), y, TP_LIST(x, w, mean, rstd), &k, sizeof k);
}

/* x in four axes, whatever it has, and back. */
static tp_tensor *in_four(tp_tensor *x, int64_t groups, tp_tensor *w, tp_tensor *b, double eps)
{
    tp_shape s = x->shape, four = TP_SHAPE(s.n[0], s.n[1], s.rank > 2 ? s.n[2] : 1, 1);
    tp_tensor *y;

    if (s.rank == 4) return group_norm(x, groups, w, b, eps);
    for (int i = 3; i < s.rank; i++)
        four.n[3] *= s.n[i];
    x = tp_reshape(x, four), y = x ? group_norm(x, groups, w, b, eps) : NULL;
    return y ? tp_reshape(y, s) : NULL;
}

tp_tensor *tp_group_norm(tp_tensor *x, int64_t groups, tp_tensor *weight, tp_tensor *bias, double eps)
{
    tp_shape channels;

    TP_SCOPE;
    x = tp__autocast_wide(x);
    if (!tp__check("group_norm", TP_LIST(x, weight, bias), 1)) return NULL;
    TP_REQUIRE_IN("group_norm", x->shape.rank >= 2, TP_ERR_SHAPE, "x must be (N, C, ...), not %s", tp__text(x));
    TP_REQUIRE_IN("group_norm", tp__is_float(x), TP_ERR_DTYPE, "not offered for %s", tp__text(x));
    TP_REQUIRE_IN("group_norm", groups > 0 && tp_dim(x, 1) % groups == 0, TP_ERR_ARG,
                  "%lld groups of the channels of %s", (long long)groups, tp__text(x));
    TP_REQUIRE_IN("group_norm", tp_count(x) != groups, TP_ERR_SHAPE,
                  "more than one value per group is needed, x is %s", tp__text(x));
    channels = TP_SHAPE(tp_dim(x, 1));
    if (!fits("group_norm", x, weight, channels) || !fits("group_norm", x, bias, channels)) return NULL;
    return tp_pass(in_four(x, groups, weight, bias, eps));
}

tp_tensor *tp_instance_norm(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, double eps)
{
    tp_shape channels;

    TP_SCOPE;
    if (!tp__check("instance_norm", TP_LIST(x, weight, bias), 1)) return NULL;
    TP_REQUIRE_IN("instance_norm", x->shape.rank >= 3, TP_ERR_SHAPE, "x must be (N, C, L, ...), not %s", tp__text(x));
    TP_REQUIRE_IN("instance_norm", tp__is_float(x), TP_ERR_DTYPE, "not offered for %s", tp__text(x));
    channels = TP_SHAPE(tp_dim(x, 1));
    TP_REQUIRE_IN("instance_norm", tp_dim(x, 1) > 0 && tp_count(x) != tp_dim(x, 0) * tp_dim(x, 1), TP_ERR_SHAPE,
                  "more than one value per channel is needed, x is %s", tp__text(x));
    if (!fits("instance_norm", x, weight, channels) || !fits("instance_norm", x, bias, channels)) return NULL;
    return tp_pass(in_four(x, tp_dim(x, 1), weight, bias, eps));
}

/* ---- rms: x is (rows, cols) ---- */

static void rms_backward(tp_node *n)
{
    tp_tensor *x, *w, *rstd, *dw, *dy;
    tp_place dx = { 0 };

    if (tp__recording()) {
        tp__norm_backward_in_ops(n);
        return;
    }
    x = tp__saved(n, X), w = tp__saved(n, WEIGHT), dy = tp__rows(tp__dy(n, 0)), rstd = tp__saved_constant(n, RMS_RSTD);
    if (!x || !dy) return;
    dw = tp__norm_room(n, WEIGHT, x);
    if (tp__wants(n, X)) dx = tp__place(tp__sink(n, X), x->shape, x, TP_ROW_MAJOR, TP_DENSE_ONLY);
    if (!tp_ok() || !TP_RUN(rms_norm_dx, x, tp_dim(x, 0), tp_dim(x, 1), tp__data(dy), tp__data(x), tp__data(rstd),
                            tp__data(w), dx.add, tp__data(dx.t), tp__data(dw)))
        return;
    tp__give(n, X, dx.t), tp__give(n, WEIGHT, dw);
}

static const tp_op rms_op = { "rms_norm", rms_backward, NULL };

static tp_tensor *rms_norm(tp_tensor *x, tp_tensor *w, double eps)
{
    tp_norm_attr k = { .eps = eps, .rms = true, .over = TP_KEEPDIM(1) };
    tp_tensor *y, *rstd;

    x = tp__rows(x), w = tp__rows(w);
    if (!tp_ok()) return NULL;
    y = tp__new_like(x, x->shape), rstd = tp__new(TP_SHAPE(tp_dim(x, 0)), tp__norm_wide(x), tp__device(x));
    if (!y || !rstd) return NULL;
    if (!TP_RUN(rms_norm, x, tp_dim(x, 0), tp_dim(x, 1), tp__data(x), tp__data(w), eps, tp__data(rstd), tp__data(y)))
        return NULL;
    return tp__record(&rms_op, TP_LIST(x, w, NULL), y, TP_LIST(x, w, rstd), &k, sizeof k);
}

static double epsilon_of(const tp_tensor *x)
{
    return x->dtype == TP_F64 ? 0x1p-52 : x->dtype == TP_F32 ? 0x1p-23 : x->dtype == TP_F16 ? 0x1p-10 : 0x1p-7;
}

tp_tensor *tp_rms_norm(tp_tensor *x, tp_shape shape, tp_tensor *weight, double eps)
{
    int64_t cols;
    tp_shape s;
    tp_tensor *y;

    TP_SCOPE;
    x = tp__autocast_wide(x);
    if (!tp__check("rms_norm", TP_LIST(x, weight), 1) || !tp__shape_ok("rms_norm", shape)) return NULL;
    TP_REQUIRE_IN("rms_norm", tp__is_float(x), TP_ERR_DTYPE, "not offered for %s", tp__text(x));
    TP_REQUIRE_IN("rms_norm", shape.rank > 0, TP_ERR_SHAPE, "no axes to normalize over");
    s = x->shape, cols = tp__elements(&shape);
    for (int i = 1; i <= shape.rank; i++)
        TP_REQUIRE_IN("rms_norm", i <= s.rank && s.n[s.rank - i] == shape.n[shape.rank - i], TP_ERR_SHAPE,
                      "x is %s, its last axes should be %s", tp__text(x), tp__shape_text(shape));
    if (!fits("rms_norm", x, weight, shape)) return NULL;
    x = tp_reshape(x, TP_SHAPE(cols ? tp_count(x) / cols : 0, cols));
    if (weight && shape.rank != 1) weight = tp_reshape(weight, TP_SHAPE(cols));
    if (!tp_ok()) return NULL;
    y = rms_norm(x, weight, eps < 0 ? epsilon_of(x) : eps);
    return y ? tp_pass(tp_reshape(y, s)) : NULL;
}
