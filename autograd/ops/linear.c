/*
 * linear.c - the linear layer as one op:  y = act(x w' + bias),
 *
 *     g = dy act'(y):  dx = g w,  dw = g' x,  dbias = sum of g's rows
 *
 * Where the backend fuses, dbias comes with dw; and dx of a layer behind one with GELU comes
 * multiplied by that GELU's derivative, so that it is that layer's g already.
 */
#include "autograd/ops/matmul.h"

enum { X, WEIGHT, BIAS };
enum { SAVED_PREACT = BIAS + 1, SAVED_Y };

static void linear_backward(tp_node *n);
static const tp_op linear_op = { "linear", linear_backward, NULL };

/* ---- backward ---- */

/* What the activation was applied to: as the kernel left it, or, for a second derivative,
 * with its history. */
static tp_tensor *preact(tp_node *n, tp_tensor *w, tp_activation act)
{
    if (act != TP_GELU && act != TP_GELU_TANH) return NULL;
    if (!tp__recording()) return tp__saved_constant(n, SAVED_PREACT);
    return tp_linear(tp__saved(n, X), w, tp__saved(n, BIAS));
}

/* May a kernel be asked for more than a product with g? */
static bool fuses(const tp_tensor *g)
{
    return g && !tp__recording() && tp__backend(g)->fuses;
}

/* Where gradients are matrices of products: the part of input i's that this call writes. */
static tp_place place_of(tp_node *n, int i, tp_tensor *like, tp_product *p)
{
    tp_place to = tp__place(tp__sink(n, i), TP_SHAPE(p->g.m, p->g.n), like, TP_ROW_MAJOR, TP_DENSE_ONLY);

    p->g.add = to.add;
    return to;
}

/* The product with what it was asked for besides, or alone: then false. */
static bool run_fused(tp_product *p, const tp_tensor *g, tp_tensor *to)
{
    if (TP_TRY(gemm, g, &p->g, p->a, p->b, tp__data(to))) return true;
    p->g.sums = NULL, p->g.slope_at = NULL;
    if (tp_ok()) (void)TP_RUN(gemm, g, &p->g, p->a, p->b, tp__data(to));
    return false;
}

/* In a step that is recorded by the same kernels whether a gradient is there or not. */
static void give_sums(tp_node *n, tp_tensor *db)
{
    tp_place to = { db, false };

    if (tp__me()->tape) {
        to = tp__place(tp__sink(n, BIAS), db->shape, db, TP_ROW_MAJOR, TP_ANY_STRIDES);
        if (!to.t || !tp__copy(to.t, db, to.add)) return;
    }
    tp__give(n, BIAS, to.t);
}

/* dw and db of one kernel, or dw alone: then false. */
static bool give_both(tp_node *n, tp_tensor *g)
{
    tp_tensor *x = tp__saved(n, X), *db = g ? tp__new_like(g, TP_SHAPE(tp_dim(g, 1))) : NULL;
    tp_product p;
    tp_place dw;
    bool both;

    if (!x || !db || !tp__product(g, true, x, false, &p)) return false;
    dw = place_of(n, WEIGHT, g, &p);
    if (!dw.t) return false;
    p.g.sums = tp__data(db);
    both = run_fused(&p, g, dw.t);
    tp__give(n, WEIGHT, dw.t);
    if (both) give_sums(n, db);
    return both;
}

/* The layer with GELU whose result x is, if its gradient comes from here alone. */
static tp_node *gelu_behind(tp_node *n, const tp_tensor *g)
{
    tp_node *m = fuses(g) ? tp__maker(n, X) : NULL;

    return m && tp__op(m) == &linear_op && *(const tp_activation *)tp__attr(m) == TP_GELU_TANH ? m : NULL;
}

/* dx times the derivative of the GELU in m, which is told so. */
static void give_past(tp_node *n, tp_node *m, tp_tensor *g, tp_tensor *w)
{
    tp_tensor *before = tp__saved_constant(m, SAVED_PREACT);
    tp_product p;
    tp_place dx;

    if (!before || !tp__product(g, false, w, false, &p)) return;
    dx = place_of(n, X, g, &p);
    if (!dx.t) return;
    if (!dx.add && tp__dy(m, 0) && tp__data(tp__dy(m, 0)) == tp__data(dx.t)) p.g.slope_at = tp__data(before);
    if (run_fused(&p, g, dx.t) && p.g.slope_at) tp__tell_past(m);
    tp__give(n, X, dx.t);
}

static void linear_backward(tp_node *n)
{
    const tp_activation *act = tp__attr(n);
    tp_tensor *w = tp__saved(n, WEIGHT), *g = tp__dy(n, 0);
    tp_node *behind;
    bool summed = false;

    if (*act != TP_LINEAR && !tp__is_past(n))
        g = tp__activation_dx(TP_FRESH, *act, g, preact(n, w, *act), tp__saved(n, SAVED_Y));
    if (tp__wants(n, X) && (behind = gelu_behind(n, g))) give_past(n, behind, g, w);
    else if (tp__wants(n, X)) tp__give(n, X, tp__gemm(tp__sink(n, X), g, false, w, false));
    if (tp__wants(n, WEIGHT) && tp__wants(n, BIAS) && fuses(g)) summed = give_both(n, g);
    else if (tp__wants(n, WEIGHT))
        tp__give(n, WEIGHT, tp__gemm(tp__sink(n, WEIGHT), g, true, tp__saved(n, X), false));
    if (tp__wants(n, BIAS) && w && !summed)
        tp__give(n, BIAS, tp__sum_to(tp__sink(n, BIAS), g, TP_SHAPE(tp_dim(w, 0))));
}

/* ---- forward ---- */

static bool linear_fits(tp_tensor *x, tp_tensor *w, tp_tensor *bias)
{
    TP_REQUIRE_IN("linear", w->shape.rank == 2, TP_ERR_SHAPE, "weight must be (out, in), not %s", tp__text(w));
    TP_REQUIRE_IN("linear", x->shape.rank >= 1 && tp_dim(x, -1) == tp_dim(w, 1), TP_ERR_SHAPE,
                  "x is %s, its last axis should be %lld as in weight %s", tp__text(x),
                  (long long)tp_dim(w, 1), tp__text(w));
    TP_REQUIRE_IN("linear", !bias || (bias->shape.rank == 1 && tp_dim(bias, 0) == tp_dim(w, 0)),
                  TP_ERR_SHAPE, "bias is %s, not (%lld)", tp__text(bias), (long long)tp_dim(w, 0));
    TP_REQUIRE_IN("linear", x->dtype == w->dtype && (!bias || bias->dtype == w->dtype), TP_ERR_DTYPE,
                  "x is %s, weight %s, bias %s: one dtype is wanted", tp__text(x), tp__text(w), tp__text(bias));
    return true;
}

/* The product for x (rows, in).  GELU's derivative needs its input, the others their output. */
static tp_tensor *linear_rows(tp_tensor *x, tp_tensor *w, tp_tensor *bias, tp_activation act)
{
    bool keeps = (act == TP_GELU || act == TP_GELU_TANH) && tp__will_record(TP_LIST(x, w, bias));
    tp_tensor *y, *before = NULL;
    tp_shape s = TP_SHAPE(tp_dim(x, 0), tp_dim(w, 0));
    tp_product p;

    bias = tp__rows(bias);
    if (!tp__product(x, false, w, true, &p) || !tp_ok()) return NULL;
    y = tp__new_like(x, s);
    if (keeps) before = tp__new_like(x, s);
    if (!tp_ok()) return NULL;
    p.g.activation = act, p.g.bias = tp__data(bias), p.g.preact = tp__data(before);
    if (!TP_RUN(gemm, x, &p.g, p.a, p.b, tp__data(y))) return NULL;
    return tp__record(&linear_op, TP_LIST(x, w, bias), y,
                      TP_LIST(x, w, bias, before, act != TP_LINEAR && !keeps ? y : NULL), &act, sizeof act);
}

tp_tensor *tp_linear_with(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_linear_opts o)
{
    tp_shape s, rows;
    tp_tensor *y;

    TP_SCOPE;
    if (!tp__check("linear", TP_LIST(x, weight, bias), 2)) return NULL;
    TP_REQUIRE_IN("linear", o.activation <= TP_SIGMOID, TP_ERR_ARG, "there is no activation %d", o.activation);
    x = tp__autocast(x), weight = tp__autocast(weight), bias = tp__autocast(bias);
    if (!tp_ok() || !linear_fits(x, weight, bias)) return NULL;
    s = x->shape, s.n[s.rank - 1] = tp_dim(weight, 0);
    if (x->shape.rank == 2) return tp_pass(linear_rows(x, weight, bias, o.activation));
    rows = x->shape, rows.rank--;
    y = tp_reshape(x, TP_SHAPE(tp__elements(&rows), tp_dim(x, -1)));
    y = y ? linear_rows(y, weight, bias, o.activation) : NULL;
    return y ? tp_pass(tp_reshape(y, s)) : NULL;
}

tp_tensor *tp_linear(tp_tensor *x, tp_tensor *weight, tp_tensor *bias)
{
    return tp_linear_with(x, weight, bias, (tp_linear_opts){ TP_LINEAR });
}
