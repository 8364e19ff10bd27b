/*
 * dropout.c - Srivastava et al. 2014, "Dropout: a simple way to prevent overfitting".
 *
 *   y = x / (1 - p) where a uniform number is >= p, else 0        dx: the same of dy
 *
 * No mask is kept: the draw itself is, 16 bytes, and is drawn again.
 */
#include "autograd/op.h"

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

tp_tensor *tp_dropout(tp_tensor *x, double p)
{
    tp_rng before = tp_rng_save();
    tp_tensor *y;

    TP_SCOPE;
    if (!tp__check("dropout", TP_LIST(x), 1)) return NULL;
    TP_REQUIRE_IN("dropout", p >= 0 && p <= 1, TP_ERR_ARG, "p is %g: a probability is wanted", p);
    TP_REQUIRE_IN("dropout", tp__is_float(x), TP_ERR_DTYPE, "not offered for %s", tp__text(x));
    y = tp__dropout(TP_FRESH, x, tp__draw_state(tp__device(x), tp_count(x)), p);
    if (!y) tp__me()->rng = before; /* a failed op consumes no random numbers */
    return tp_pass(y);
}
