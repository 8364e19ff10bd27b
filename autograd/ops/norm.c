/*
 * norm.c - normalization by statistics of the data itself.
 *
 *   xh = (x - mean) rstd,   y = xh w + b,   rstd = 1 / sqrt(var + eps)
 *   dw = sum dy xh,  db = sum dy,  g = dy w:
 *   dx = rstd (g - mean g - xh mean(g xh))
 *
 * batch: statistics over all axes but 1, a weight per channel; layer: over the last axes, a
 * weight per element of them.  One fused kernel computes the derivative.  While a graph of the
 * gradient is wanted the same formula is written out in ops, which record themselves.
 */
#include "autograd/ops/norm.h"

enum { X = TP_NORM_X, WEIGHT = TP_NORM_WEIGHT, BIAS = TP_NORM_BIAS };
enum { SAVED_MEAN = BIAS, SAVED_RSTD };

/* ---- the derivative in ops: second derivatives ---- */

static tp_tensor *centred(tp_tensor *x, const tp_norm_attr *k)
{
    return k->rms ? x : tp_sub(x, tp_mean(x, k->over));
}

static tp_tensor *as(tp_tensor *x, const tp_shape *s)
{
    return x && s->rank ? tp_reshape(x, *s) : x;
}

/* dw and db have the weight's shape in the shape that the op works on. */
static tp_tensor *summed(tp_node *n, int i, tp_tensor *d, const tp_norm_attr *k)
{
    tp_shape s = tp__in_shape(n, i);

    if (!k->weight_as.rank) return tp__sum_to(TP_FRESH, d, s);
    d = tp__sum_to(TP_FRESH, d, k->weight_as);
    return d ? tp_reshape(d, s) : NULL;
}

void tp__norm_backward_in_ops(tp_node *n)
{
    const tp_norm_attr *k = tp__attr(n);
    tp_tensor *x = as(tp__saved(n, X), &k->as), *w = as(tp__saved(n, WEIGHT), &k->weight_as);
    tp_tensor *dy = as(tp__dy(n, 0), &k->as), *c, *rstd, *xh, *g, *dx;

    if (!x || !dy) return;
    c = centred(tp_cast(x, tp__norm_wide(x)), k);
    rstd = tp_div(tp_ones(TP_SCALAR, tp__norm_wide(x), tp__device(x)),
                  tp_sqrt(tp_shift(tp_mean(tp_square(c), k->over), k->eps)));
    xh = tp_mul(c, rstd), g = w ? tp_mul(dy, w) : dy;
    dx = tp_sub(centred(g, k), tp_mul(xh, tp_mean(tp_mul(g, xh), k->over)));
    if (tp__wants(n, X) && tp_ok())
        tp__give(n, X, tp_reshape(tp_cast(tp_mul(rstd, dx), (tp_dtype)x->dtype), tp__in_shape(n, X)));
    if (tp__wants(n, WEIGHT)) tp__give(n, WEIGHT, summed(n, WEIGHT, tp_mul(dy, xh), k));
    if (tp__wants(n, BIAS)) tp__give(n, BIAS, summed(n, BIAS, tp_cast(dy, tp__norm_wide(x)), k));
}

/* ---- batch: x is (N, C, H, W), weights are (1, C, 1, 1) ---- */

static void batch_norm_backward(tp_node *n)
{
    tp_tensor *x, *w, *mean, *rstd, *dw, *db, *dy;
    tp_place dx = { 0 };

    if (tp__recording()) {
        tp__norm_backward_in_ops(n);
        return;
    }
    x = tp__saved(n, X), w = tp__saved(n, WEIGHT), dy = tp__dense_of(tp__dy(n, 0), TP_CHANNELS_LAST);
    mean = tp__saved_constant(n, SAVED_MEAN), rstd = tp__saved_constant(n, SAVED_RSTD);
    if (!x || !dy) return;
    dw = tp__norm_room(n, WEIGHT, x), db = tp__norm_room(n, BIAS, x);
    if (tp__wants(n, X)) dx = tp__place(tp__sink(n, X), x->shape, x, TP_CHANNELS_LAST, TP_DENSE_ONLY);
    if (!tp_ok() || !TP_RUN(batch_norm_dx, x, tp_count(x) / tp_dim(x, 1), tp_dim(x, 1), tp__data(dy),
                            tp__data(x), tp__data(mean), tp__data(rstd), tp__data(w), dx.add,
                            tp__data(dx.t), tp__data(dw), tp__data(db)))
        return;
    tp__give(n, X, dx.t), tp__give(n, WEIGHT, dw), tp__give(n, BIAS, db);
}

static const tp_op batch_norm_op = { "batch_norm", batch_norm_backward, NULL };

static tp_tensor *batch_norm(tp_tensor *x, tp_tensor *w, tp_tensor *b, tp_tensor *rm, tp_tensor *rv,
                             tp_batch_norm_opts o)
{
    tp_norm_attr k = { .eps = o.eps, .over = TP_KEEPDIM(0, 2, 3) };
    int64_t C = tp_dim(x, 1);
    tp_tensor *y, *mean, *rstd;
    bool moves = !tp__me()->second_run; /* not again in a checkpoint's second run */

    x = tp__dense_of(x, TP_CHANNELS_LAST), w = tp__rows(w), b = tp__rows(b);
    if (!tp_ok()) return NULL;
    y = tp__new_as(x->shape, (tp_dtype)x->dtype, tp__device(x), TP_CHANNELS_LAST);
    mean = tp__new(TP_SHAPE(C), tp__norm_wide(x), tp__device(x));
    rstd = tp__new(TP_SHAPE(C), tp__norm_wide(x), tp__device(x));
    if (!y || !mean || !rstd) return NULL;
    if (!TP_RUN(batch_norm, x, tp_count(x) / C, C, tp__data(x), tp__data(w), tp__data(b), o.eps, o.momentum,
                moves ? tp__data(rm) : NULL, moves ? tp__data(rv) : NULL, tp__data(mean), tp__data(rstd),
                tp__data(y)))
        return NULL;
    if (moves && rm) rm->storage->version++;
    if (moves && rv) rv->storage->version++;
    return tp__record(&batch_norm_op, TP_LIST(x, w, b), y, TP_LIST(x, w, mean, rstd), &k, sizeof k);
}

/* With fixed statistics it is a multiplication and an addition for each channel. */
static tp_tensor *by_running(tp_tensor *x, tp_tensor *w, tp_tensor *b, tp_tensor *rm, tp_tensor *rv, double eps)
{
    tp_tensor *scale, *shift;
    tp_shape s = TP_SHAPE(1, tp_dim(x, 1), 1, 1);

    TP_REQUIRE_IN("batch_norm", rm && rv, TP_ERR_ARG, "outside of training it needs running_mean and running_var");
    scale = tp_div(tp_ones(TP_SCALAR, (tp_dtype)rv->dtype, tp__device(rv)), tp_sqrt(tp_shift(rv, eps)));
    if (w) scale = tp_mul(scale, tp_reshape(w, rv->shape));
    shift = tp_neg(tp_mul(rm, scale));
    if (b) shift = tp_add(shift, tp_reshape(b, rv->shape));
    if (!tp_ok()) return NULL;
    scale = tp_cast(tp_reshape(scale, s), (tp_dtype)x->dtype);
    shift = tp_cast(tp_reshape(shift, s), (tp_dtype)x->dtype);
    return tp_add(tp_mul(x, scale), shift);
}

/* Without a value there are no statistics to move, and no gradient but zeros. */
static tp_tensor *of_nothing(tp_tensor *x, tp_tensor *w, tp_tensor *b)
{
    tp_tensor *y = tp_clone(x);

    if (w) y = tp_mul(y, tp_cast(w, (tp_dtype)x->dtype));
    return y && b ? tp_add(y, tp_cast(b, (tp_dtype)x->dtype)) : y;
}

static bool channels_fit(const tp_tensor *x, tp_list of_channels)
{
    for (int i = 0; i < of_channels.n; i++) {
        const tp_tensor *t = of_channels.t[i];

        TP_REQUIRE_IN("batch_norm", !t || (t->shape.rank == 1 && tp_dim(t, 0) == tp_dim(x, 1)), TP_ERR_SHAPE,
                      "%s for x %s: (%lld) is wanted", tp__text(t), tp__text(x), (long long)tp_dim(x, 1));
        TP_REQUIRE_IN("batch_norm", !t || t->dtype == tp__norm_wide(x), TP_ERR_DTYPE,
                      "weights and statistics of %s are %s, not %s", tp__text(x), tp_dtype_name(tp__norm_wide(x)),
                      tp__text(t));
    }
    return true;
}

tp_batch_norm_opts tp_batch_norm_defaults(void)
{
    return (tp_batch_norm_opts){ .eps = 1e-5, .momentum = 0.1, .training = true, .filled = true };
}

tp_tensor *tp_batch_norm(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_tensor *running_mean,
                         tp_tensor *running_var, tp_batch_norm_opts o)
{
    tp_shape s, four, channels;
    tp_tensor *y;

    TP_SCOPE;
    if (!tp__check("batch_norm", TP_LIST(x, weight, bias, running_mean, running_var), 1)) return NULL;
    TP_REQUIRE_IN("batch_norm", o.filled, TP_ERR_ARG, "start from tp_batch_norm_defaults()");
    TP_REQUIRE_IN("batch_norm", o.eps >= 0 && o.momentum >= 0, TP_ERR_ARG,
                  "eps %g, momentum %g: neither may be negative", o.eps, o.momentum);
    TP_REQUIRE_IN("batch_norm", x->shape.rank >= 2, TP_ERR_SHAPE, "x must be (N, C, ...), not %s", tp__text(x));
    if (!channels_fit(x, TP_LIST(weight, bias, running_mean, running_var))) return NULL;
    s = x->shape, channels = TP_SHAPE(1, tp_dim(x, 1), 1, 1);
    TP_REQUIRE_IN("batch_norm", !o.training || tp_count(x) > tp_dim(x, 1) || !tp_count(x), TP_ERR_SHAPE,
                  "more than one value per channel is needed in training, x is %s", tp__text(x));
    four = s.rank == 4 ? s : TP_SHAPE(s.n[0], s.n[1], s.rank > 2 ? s.n[2] : 1, 1);
    for (int i = 3; s.rank != 4 && i < s.rank; i++)
        four.n[3] *= s.n[i];
    if (s.rank != 4) x = tp_reshape(x, four);
    if (weight) weight = tp_reshape(weight, channels);
    if (bias) bias = tp_reshape(bias, channels);
    if (!tp_ok()) return NULL;
    y = o.training && !tp_count(x) ? of_nothing(x, weight, bias)
        : o.training             ? batch_norm(x, weight, bias, running_mean, running_var, o)
                                 : by_running(x, weight, bias, running_mean, running_var, o.eps);
    return tp_pass(y && s.rank != 4 ? tp_reshape(y, s) : y);
}

/* ---- layer: x is (rows, cols), weights are (cols) ---- */

static void layer_norm_backward(tp_node *n)
{
    tp_tensor *x, *w, *mean, *rstd, *dw, *db, *dy;
    tp_place dx = { 0 };

    if (tp__recording()) {
        tp__norm_backward_in_ops(n);
        return;
    }
    x = tp__saved(n, X), w = tp__saved(n, WEIGHT), dy = tp__rows(tp__dy(n, 0));
    mean = tp__saved_constant(n, SAVED_MEAN), rstd = tp__saved_constant(n, SAVED_RSTD);
    if (!x || !dy) return;
    dw = tp__norm_room(n, WEIGHT, x), db = tp__norm_room(n, BIAS, x);
    if (tp__wants(n, X)) dx = tp__place(tp__sink(n, X), x->shape, x, TP_ROW_MAJOR, TP_DENSE_ONLY);
    if (!tp_ok() || !TP_RUN(layer_norm_dx, x, tp_dim(x, 0), tp_dim(x, 1), tp__data(dy), tp__data(x),
                            tp__data(mean), tp__data(rstd), tp__data(w), dx.add, tp__data(dx.t),
                            tp__data(dw), tp__data(db)))
        return;
    tp__give(n, X, dx.t), tp__give(n, WEIGHT, dw), tp__give(n, BIAS, db);
}

static const tp_op layer_norm_op = { "layer_norm", layer_norm_backward, NULL };

static tp_tensor *layer_norm(tp_tensor *x, tp_tensor *w, tp_tensor *b, double eps)
{
    tp_norm_attr k = { .eps = eps, .over = TP_KEEPDIM(1) };
    tp_tensor *y, *mean, *rstd;

    x = tp__rows(x), w = tp__rows(w), b = tp__rows(b);
    if (!tp_ok()) return NULL;
    y = tp__new_like(x, x->shape);
    mean = tp__new(TP_SHAPE(tp_dim(x, 0)), tp__norm_wide(x), tp__device(x));
    rstd = tp__new(TP_SHAPE(tp_dim(x, 0)), tp__norm_wide(x), tp__device(x));
    if (!y || !mean || !rstd) return NULL;
    if (!TP_RUN(layer_norm, x, tp_dim(x, 0), tp_dim(x, 1), tp__data(x), tp__data(w), tp__data(b), eps,
                tp__data(mean), tp__data(rstd), tp__data(y)))
        return NULL;
    return tp__record(&layer_norm_op, TP_LIST(x, w, b), y, TP_LIST(x, w, mean, rstd), &k, sizeof k);
}

static bool weight_fits(const tp_tensor *x, const tp_tensor *t, const tp_shape *shape)
{
    TP_REQUIRE_IN("layer_norm", !t || tp__same(&t->shape, shape), TP_ERR_SHAPE, "weight or bias is %s, not %s",
                  tp__text(t), tp__shape_text(*shape));
    TP_REQUIRE_IN("layer_norm", !t || t->dtype == tp__norm_wide(x), TP_ERR_DTYPE, "weight and bias of %s are %s, not %s",
                  tp__text(x), tp_dtype_name(tp__norm_wide(x)), tp__text(t));
    return true;
}

tp_tensor *tp_layer_norm(tp_tensor *x, tp_shape shape, tp_tensor *weight, tp_tensor *bias, double eps)
{
    int64_t cols;
    tp_shape s, flat;
    tp_tensor *y;

    TP_SCOPE;
    x = tp__autocast_wide(x);
    if (!tp__check("layer_norm", TP_LIST(x, weight, bias), 1) || !tp__shape_ok("layer_norm", shape)) return NULL;
    s = x->shape, cols = tp__elements(&shape), flat = TP_SHAPE(cols);
    for (int i = 1; i <= shape.rank; i++)
        TP_REQUIRE_IN("layer_norm", i <= s.rank && s.n[s.rank - i] == shape.n[shape.rank - i], TP_ERR_SHAPE,
                      "x is %s, its last axes should be %s", tp__text(x), tp__shape_text(shape));
    TP_REQUIRE_IN("layer_norm", eps >= 0, TP_ERR_ARG, "eps %g: at least 0", eps);
    TP_REQUIRE_IN("layer_norm", shape.rank > 0, TP_ERR_SHAPE, "no axes to normalize over");
    if (!weight_fits(x, weight, &shape) || !weight_fits(x, bias, &shape)) return NULL;
    x = tp_reshape(x, TP_SHAPE(cols ? tp_count(x) / cols : 0, cols));
    if (weight && shape.rank != 1) weight = tp_reshape(weight, flat);
    if (bias && shape.rank != 1) bias = tp_reshape(bias, flat);
    if (!tp_ok()) return NULL;
    y = layer_norm(x, weight, bias, eps);
    return y ? tp_pass(tp_reshape(y, s)) : NULL;
}
