/*
 * dropout.c - Srivastava et al. 2014, "Dropout: a simple way to prevent overfitting".
 *
 *   y = x / (1 - p) where a uniform number is >= p, else 0        dx: the same of dy
 *
 * No mask is kept: the draw itself is, 16 bytes, and is drawn again.  Of whole channels and alpha
 * dropout are made of it.
 */
#include "autograd/op.h"

#include <math.h>

enum { X, STATE };

static void dropout_backward(tp_node *n)
{
    tp__give(n, X, tp__dropout(tp__sink(n, X), tp__dy(n, 0), tp__saved(n, 0), *(const double *)tp__attr(n)));
}

static const tp_op dropout_op = { "dropout", dropout_backward, NULL };

tp_tensor *tp__dropout(tp_sink to, tp_tensor *x, tp_tensor *state, double p)
{
    tp_draw d = { tp__data(state), 0 };
    tp_place y;
    tp_loop l;

    if (!x || !state) return NULL;
    y = tp__place(to, x->shape, x, tp__layout_of(x), TP_ANY_STRIDES);
    if (!y.t) return NULL;
    l = tp__loop_logical(&x->shape, TP_LIST(y.t, x));
    if (!TP_RUN(dropout, x, &l, tp__data(x), p, d, y.add, tp__data(y.t))) return NULL;
    return tp__record(&dropout_op, TP_LIST(x, state), y.t, TP_LIST(state), &p, sizeof p);
}

tp_tensor *tp__draw_state(tp_device *dev, int64_t n)
{
    tp_tensor *state = tp__new(TP_SHAPE(2), TP_I64, dev);
    tp_draw d;

    if (!state || !tp__draw(dev, n, &d)) return NULL;
    return TP_RUN(draw_save, state, d, tp__data(state)) ? state : NULL;
}

static bool droppable(const char *where, tp_tensor *x, double p)
{
    if (!tp__check(where, TP_LIST(x), 1)) return false;
    TP_REQUIRE_IN(where, p >= 0 && p <= 1, TP_ERR_ARG, "p is %g: a probability is wanted", p);
    TP_REQUIRE_IN(where, tp__is_float(x), TP_ERR_DTYPE, "not offered for %s", tp__text(x));
    return true;
}

tp_tensor *tp_dropout(tp_tensor *x, double p)
{
    tp_rng before = tp_rng_save();
    tp_tensor *y;

    TP_SCOPE;
    if (!droppable("dropout", x, p)) return NULL;
    y = tp__dropout(TP_FRESH, x, tp__draw_state(tp__device(x), tp_count(x)), p);
    if (!y) tp__me()->rng = before; /* a failed op consumes no random numbers */
    return tp_pass(y);
}

/* ---- whole channels ---- */

static tp_tensor *channels_kept(const tp_tensor *x, double p)
{
    tp_shape s = x->shape;

    for (int i = 2; i < s.rank; i++)
        s.n[i] = 1;
    return tp_dropout(tp_ones(s, (tp_dtype)x->dtype, tp__device(x)), p);
}

tp_tensor *tp_dropout2d(tp_tensor *x, double p)
{
    tp_rng before = tp_rng_save();
    tp_tensor *y;

    TP_SCOPE;
    if (!droppable("dropout2d", x, p)) return NULL;
    TP_REQUIRE_IN("dropout2d", x->shape.rank >= 2, TP_ERR_SHAPE, "x must be (N, C, ...), not %s",
                  tp__text(x));
    y = tp_mul(x, channels_kept(x, p));
    if (!y) tp__me()->rng = before;
    return tp_pass(y);
}

/* ---- alpha ----
 *
 *   y = a (x where it is kept, else alpha) + b
 *   a = 1 / sqrt((1 - p)(1 + p alpha^2)),  b = -a p alpha
 */

static tp_tensor *alpha_dropped(tp_tensor *x, double p)
{
    const double alpha = -1.7580993408473766; /* -scale alpha of selu */
    double a = 1 / sqrt((1 - p) * (1 + p * alpha * alpha));
    tp_tensor *kept = tp_dropout(tp_full_like(x, 1), p); /* 1 / (1 - p) or 0 */

    x = tp_mul(x, tp_scale(kept, a * (1 - p)));
    return tp_add(x, tp_affine(kept, -a * alpha * (1 - p), a * alpha * (1 - p)));
}

tp_tensor *tp_alpha_dropout(tp_tensor *x, double p)
{
    tp_rng before = tp_rng_save();
    tp_tensor *y;

    TP_SCOPE;
    if (!droppable("alpha_dropout", x, p)) return NULL;
    y = p < 1 ? alpha_dropped(x, p) : tp_scale(x, 0);
    if (!y) tp__me()->rng = before;
    return tp_pass(y);
}
