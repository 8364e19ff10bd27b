/*
 * cross_entropy.c - softmax and negative log-likelihood, as one op.
 *
 *   forward     loss_r  = -log p[r, y_r]                    p = softmax(x);  0 in rows left out
 *   backward    dx[r,c] = g_r (p[r,c] - [c == y_r])         g_r = dloss_r, or dloss / n for the mean
 *   again       of dx, given u:   ddloss_r = sum_c u (p - [c == y_r])  (over n for the mean)
 *                                 ddx      = g_r p (u - sum_c u p)
 *
 * They are fused because apart they divide by p, which underflows: together the gradient
 * is exact however confident, and wrong, the network is.  p isn't kept: it is computed again
 * from the logits and two numbers a row.  Sums are f32 or f64 whatever the logits are, so
 * autocast needs no wider copy of them.
 */
#include "autograd/op.h"

/* Inputs, and what is saved of them and of the forward, in this order in both ops. */
enum { LOGITS, LABELS, DLOSS };
enum { SAVED_LOGITS, SAVED_LABELS, SOFT, COUNT, SAVED_DLOSS };

typedef struct loss_attr {
    int64_t ignore;
    tp_reduce reduction;
} loss_attr;

static tp_dtype wide(const tp_tensor *x)
{
    return x->dtype == TP_F64 ? TP_F64 : TP_F32;
}

/* ---- again: not differentiable, so a third derivative is refused by this name ---- */

static const tp_op cross_entropy_ddx_op = { .name = "cross_entropy_ddx" };

static tp_tensor *folded(tp_tensor *each, loss_attr k) /* one dloss for all rows, or one a row */
{
    return k.reduction == TP_NONE ? each : tp_sum(each, TP_ALL);
}

static void cross_entropy_dx_backward(tp_node *n)
{
    tp_tensor *x = tp__saved(n, SAVED_LOGITS), *y = tp__saved(n, SAVED_LABELS);
    tp_tensor *soft = tp__saved_constant(n, SOFT), *count = tp__saved_constant(n, COUNT);
    tp_tensor *dloss = tp__saved(n, SAVED_DLOSS), *u = tp__rows(tp__dy(n, 0)), *ddx, *ddloss;
    loss_attr k = *(const loss_attr *)tp__attr(n);

    if (!x || !y || !soft || !count || !dloss || !u) return;
    ddx = tp__new_like(x, x->shape), ddloss = tp__new(y->shape, wide(x), tp__device(x));
    if (!ddx || !ddloss) return;
    if (!TP_RUN(cross_entropy_ddx, x, tp_dim(x, 0), tp_dim(x, 1), tp__data(x), tp__data(soft), tp__data(y), k.ignore,
                k.reduction == TP_MEAN, tp__data(dloss), k.reduction == TP_NONE, tp__data(count),
                tp__data(u), tp__data(ddx), tp__data(ddloss)))
        return;
    if (!tp__record_all(&cross_entropy_ddx_op, TP_LIST(u, x, dloss), TP_LIST(ddx, ddloss), TP_NONE_SAVED,
                        NULL, 0))
        return;
    tp__give(n, LOGITS, ddx);
    if (tp__wants(n, DLOSS)) tp__give(n, DLOSS, folded(ddloss, k));
}

/* ---- backward ---- */

static const tp_op cross_entropy_dx_op = { .name = "cross_entropy_dx",
                                           .backward = cross_entropy_dx_backward };

/* soft and count are constants here: they follow from x, which is an input beside them, and
 * the derivative above accounts for it. */
static tp_tensor *cross_entropy_dx(tp_sink to, tp_tensor *x, tp_tensor *y, tp_tensor *dloss,
                                   tp_tensor *soft, tp_tensor *count, loss_attr k)
{
    tp_place dx;

    dloss = tp__rows(dloss);
    if (!x || !y || !dloss || !soft || !count) return NULL;
    dx = tp__place(to, x->shape, x, TP_ROW_MAJOR, TP_DENSE_ONLY);
    if (!dx.t || !TP_RUN(cross_entropy_dx, x, tp_dim(x, 0), tp_dim(x, 1), tp__data(x), tp__data(soft), tp__data(y), k.ignore,
                         k.reduction == TP_MEAN, tp__data(dloss), k.reduction == TP_NONE,
                         tp__data(count), dx.add, tp__data(dx.t)))
        return NULL;
    return tp__record(&cross_entropy_dx_op, TP_LIST(x, y, dloss), dx.t, TP_LIST(x, y, soft, count, dloss), &k,
                      sizeof k);
}

static void cross_entropy_backward(tp_node *n)
{
    tp_tensor *x = tp__saved(n, SAVED_LOGITS), *y = tp__saved(n, SAVED_LABELS);
    tp_tensor *soft = tp__saved_constant(n, SOFT), *count = tp__saved_constant(n, COUNT);

    tp__give(n, LOGITS, cross_entropy_dx(tp__sink(n, LOGITS), x, y, tp__dy(n, 0), soft, count,
                                         *(const loss_attr *)tp__attr(n)));
}

/* ---- forward ---- */

static const tp_op cross_entropy_op = { .name = "cross_entropy", .backward = cross_entropy_backward };

static bool fits(const tp_tensor *x, const tp_tensor *y)
{
    TP_REQUIRE_IN("cross_entropy", x->shape.rank == 2, TP_ERR_SHAPE, "logits must be (N, C), not %s", tp__text(x));
    TP_REQUIRE_IN("cross_entropy", y->dtype == TP_I64 || y->dtype == TP_I32 || y->dtype == TP_U8, TP_ERR_DTYPE,
                  "labels must be i64, i32 or u8, not %s", tp__text(y));
    TP_REQUIRE_IN("cross_entropy", y->shape.rank == 1 && tp_dim(y, 0) == tp_dim(x, 0), TP_ERR_SHAPE,
                  "labels must be (%lld), not %s", (long long)tp_dim(x, 0), tp__text(y));
    TP_REQUIRE_IN("cross_entropy", tp_dim(x, 1) > 0, TP_ERR_SHAPE, "logits %s have no classes", tp__text(x));
    return true;
}

static tp_tensor *fused(tp_tensor *x, tp_tensor *y, tp_cross_entropy_opts o)
{
    loss_attr k = { o.ignore_index, o.reduction };
    tp_tensor *soft, *row, *loss, *count;

    if (!fits(x, y)) return NULL;
    x = tp__rows(x), y = tp__rows(tp_cast(y, TP_I64));
    if (!x || !y) return NULL;
    soft = tp__new(TP_SHAPE(tp_dim(x, 0), 2), wide(x), tp__device(x)), row = tp__new(y->shape, wide(x), tp__device(x));
    loss = tp__new(TP_SCALAR, wide(x), tp__device(x)), count = tp__new(TP_SCALAR, wide(x), tp__device(x));
    if (!soft || !row || !loss || !count) return NULL;
    if (!TP_RUN(cross_entropy, x, tp_dim(x, 0), tp_dim(x, 1), tp__data(x), tp__data(y), o.ignore_index,
                o.reduction == TP_MEAN, tp__data(soft), tp__data(row), tp__data(loss), tp__data(count)))
        return NULL;
    return tp__record(&cross_entropy_op, TP_LIST(x, y), o.reduction == TP_NONE ? row : loss,
                      TP_LIST(x, y, soft, count), &k, sizeof k);
}

/* (N, C, ...) as rows (N ..., C) */
static tp_tensor *class_rows(tp_tensor *x)
{
    return tp_reshape(tp_moveaxis(x, 1, -1), TP_SHAPE(tp_dim(x, 1) ? tp_count(x) / tp_dim(x, 1) : 0, tp_dim(x, 1)));
}

/* A picture of logits: each place is a row. */
static tp_tensor *over_places(tp_tensor *x, tp_tensor *y, tp_cross_entropy_opts o)
{
    bool probable = tp__is_float(y);
    tp_shape places = x->shape;
    tp_tensor *loss;

    places.rank--;
    for (int a = 1; a < places.rank; a++)
        places.n[a] = x->shape.n[a + 1];
    TP_REQUIRE_IN("cross_entropy", tp__same(&y->shape, probable ? &x->shape : &places), TP_ERR_SHAPE,
                  "for logits %s labels must be %s, or probabilities of the logits' shape, not %s", tp__text(x),
                  tp__shape_text(places), tp__text(y));
    loss = tp_cross_entropy_with(class_rows(x), probable ? class_rows(y) : tp_reshape(y, TP_SHAPE(-1)), o);
    return o.reduction == TP_NONE ? tp_reshape(loss, places) : loss;
}

tp_tensor *tp_cross_entropy_with(tp_tensor *x, tp_tensor *y, tp_cross_entropy_opts o)
{
    bool plain;
    TP_SCOPE; /* row, and soft and count unless a gradient is wanted, die here */

    if (!tp__check("cross_entropy", TP_LIST(x, y), 2) || !tp__label_opts_ok("cross_entropy", x, o)) return NULL;
    if (x->shape.rank > 2 && tp_count(x)) return tp_pass(over_places(x, y, o));
    plain = !tp__is_float(y) && !o.weight && o.label_smoothing == 0;
    if (!plain || !tp__backend(x)->cross_entropy[x->dtype]) x = tp__autocast_loss(x);
    if (!x) return NULL;
    if (plain) return tp_pass(fused(x, y, o));
    return tp_pass(tp__is_float(y) ? tp__cross_entropy_probable(x, y, o) : tp__cross_entropy_labels(x, y, o));
}

tp_tensor *tp_cross_entropy(tp_tensor *x, tp_tensor *y)
{
    return tp_cross_entropy_with(x, y, tp_cross_entropy_defaults());
}

tp_cross_entropy_opts tp_cross_entropy_defaults(void)
{
    return (tp_cross_entropy_opts){ .ignore_index = -100, .filled = true };
}
