/*
 * elementwise.c - arithmetic of each element, broadcasting.
 *
 *   add      y = a + b          da = dy                  db = dy        (summed where broadcast)
 *   sub      y = a - b          da = dy                  db = -dy
 *   mul      y = a b            da = dy b                db = dy a
 *   div      y = a / b          da = dy / b              db = -dy a / b^2
 *   affine   y = s x + t        dx = s dy                s, t numbers
 *   square   y = x^2            dx = 2 dy x
 *   sqrt     y = sqrt x         dx = dy / 2y
 *   relu     y = max(0, x)      dx = dy [y > 0]          0 at the kink
 */
#include "autograd/ops/elementwise.h"

enum { A, B };
enum { X = 0, Y = 0 };

/* ---- what all share ---- */

static int category(tp_dtype d)
{
    return d <= TP_F16 ? 2 : d == TP_BOOL ? 0 : 1;
}

/* PyTorch's result_type: a tensor without axes decides only by a higher kind of number. */
static tp_dtype result_type(const tp_tensor *a, const tp_tensor *b)
{
    tp_dtype whole = (tp_dtype)a->dtype, point = (tp_dtype)b->dtype;

    if ((a->shape.rank == 0) == (b->shape.rank == 0)) return tp_promote(whole, point);
    if (a->shape.rank == 0) whole = (tp_dtype)b->dtype, point = (tp_dtype)a->dtype;
    return category(point) > category(whole) ? tp_promote(whole, point) : whole;
}

bool tp__meet(const char *where, tp_tensor **a, tp_tensor **b)
{
    tp_dtype d;

    if (!tp__check(where, TP_LIST(*a, *b), 2)) return false;
    if ((*a)->dtype == (*b)->dtype) return true;
    d = result_type(*a, *b);
    if ((*a)->dtype != d) *a = tp_cast(*a, d);
    if ((*b)->dtype != d) *b = tp_cast(*b, d);
    return *a && *b;
}

tp_tensor *tp__unary(tp_sink to, const tp_op *op, tp__fn_tanh *const *slot, tp_tensor *x,
                     tp_keep_what keep)
{
    tp_list saved = { &x, keep == TP_KEEP_X };
    tp_place y;
    tp_loop l;

    if (!tp__check(op->name, TP_LIST(x), 1)) return NULL;
    y = tp__place(to, x->shape, x, tp__layout_of(x), TP_ANY_STRIDES);
    if (!y.t) return NULL;
    l = tp__loop(&x->shape, TP_LIST(y.t, x));
    if (!TP_RUN_SLOT(op->name, slot, x, &l, tp__data(x), y.add, tp__data(y.t))) return NULL;
    if (keep == TP_KEEP_Y) saved = (tp_list){ &y.t, 1 };
    return tp__record(op, TP_LIST(x), y.t, saved, NULL, 0);
}

tp_tensor *tp__binary(tp_sink to, const tp_op *op, tp__fn_add *const *slot, tp_tensor *a,
                      tp_tensor *b, bool save)
{
    tp_shape s;
    tp_place y;
    tp_loop l;

    if (!tp__meet(op->name, &a, &b)) return NULL;
    s = tp__same(&a->shape, &b->shape) ? a->shape : tp__broadcast(&a->shape, &b->shape);
    TP_REQUIRE_IN(op->name, s.rank >= 0, TP_ERR_SHAPE, "%s and %s don't broadcast", tp__text(a),
                  tp__text(b));
    y = tp__place(to, s, a, s.rank == 4 ? tp__layout_among(TP_LIST(a, b)) : TP_ROW_MAJOR, TP_ANY_STRIDES);
    if (!y.t) return NULL;
    l = tp__loop(&s, TP_LIST(y.t, a, b));
    if (!TP_RUN_SLOT(op->name, slot, a, &l, tp__data(a), tp__data(b), y.add, tp__data(y.t)))
        return NULL;
    return tp__record(op, TP_LIST(a, b), y.t, save ? TP_LIST(a, b) : TP_NONE_SAVED, NULL, 0);
}

void tp__give_summed(tp_node *n, int i, tp_tensor *g)
{
    if (g && tp__wants(n, i)) tp__give(n, i, tp__sum_to(tp__sink(n, i), g, tp__in_shape(n, i)));
}

void tp__give_product(tp_node *n, int i, tp_tensor *a, tp_tensor *b)
{
    tp_shape in, s;

    if (!a || !b || !tp__wants(n, i)) return;
    in = tp__in_shape(n, i);
    s = tp__same(&a->shape, &b->shape) ? a->shape : tp__broadcast(&a->shape, &b->shape);
    if (tp__same(&s, &in)) tp__give(n, i, tp__mul(tp__sink(n, i), a, b));
    else tp__give_summed(n, i, tp_mul(a, b));
}

/* ---- add, sub, mul, div ---- */

static void add_backward(tp_node *n)
{
    tp__give_summed(n, A, tp__dy(n, 0));
    tp__give_summed(n, B, tp__dy(n, 0));
}

static const tp_op add_op = { "add", add_backward, NULL };

tp_tensor *tp_add(tp_tensor *a, tp_tensor *b)
{
    return tp__binary(TP_FRESH, &add_op, TP_SLOT(a, add), a, b, false);
}

static void sub_backward(tp_node *n)
{
    tp__give_summed(n, A, tp__dy(n, 0));
    if (tp__wants(n, B)) tp__give_summed(n, B, tp_neg(tp__dy(n, 0)));
}

static const tp_op sub_op = { "sub", sub_backward, NULL };

tp_tensor *tp_sub(tp_tensor *a, tp_tensor *b)
{
    return tp__binary(TP_FRESH, &sub_op, TP_SLOT(a, sub), a, b, false);
}

static void mul_backward(tp_node *n)
{
    if (tp__wants(n, A)) tp__give_product(n, A, tp__dy(n, 0), tp__saved(n, B));
    if (tp__wants(n, B)) tp__give_product(n, B, tp__dy(n, 0), tp__saved(n, A));
}

static const tp_op mul_op = { "mul", mul_backward, NULL };

tp_tensor *tp__mul(tp_sink to, tp_tensor *a, tp_tensor *b)
{
    return tp__binary(to, &mul_op, TP_SLOT(a, mul), a, b, true);
}

tp_tensor *tp_mul(tp_tensor *a, tp_tensor *b)
{
    return tp__mul(TP_FRESH, a, b);
}

static void div_backward(tp_node *n)
{
    tp_tensor *b = tp__saved(n, B), *da = tp_div(tp__dy(n, 0), b);

    tp__give_summed(n, A, da);
    if (tp__wants(n, B)) tp__give_summed(n, B, tp_neg(tp_mul(da, tp_div(tp__saved(n, A), b))));
}

static const tp_op div_op = { "div", div_backward, NULL };

tp_tensor *tp_div(tp_tensor *a, tp_tensor *b)
{
    return tp__binary(TP_FRESH, &div_op, TP_SLOT(a, div), a, b, true);
}

/* ---- affine: numbers, not tensors ---- */

typedef struct affine_attr {
    double a, b;
} affine_attr;

static void affine_backward(tp_node *n)
{
    const affine_attr *k = tp__attr(n);

    tp__give(n, X, tp__affine(tp__sink(n, X), tp__dy(n, 0), k->a, 0));
}

static const tp_op affine_op = { "affine", affine_backward, NULL };
static const tp_op scale_op = { "scale", affine_backward, NULL };
static const tp_op shift_op = { "shift", affine_backward, NULL };
static const tp_op neg_op = { "neg", affine_backward, NULL };

static tp_tensor *affine(const tp_op *op, tp_sink to, tp_tensor *x, double a, double b)
{
    affine_attr k = { a, b };
    tp_place y;
    tp_loop l;

    if (!tp__check(op->name, TP_LIST(x), 1)) return NULL;
    y = tp__place(to, x->shape, x, tp__layout_of(x), TP_ANY_STRIDES);
    if (!y.t) return NULL;
    l = tp__loop(&x->shape, TP_LIST(y.t, x));
    if (!TP_RUN_SLOT(op->name, tp__backend(x)->affine, x, &l, tp__data(x), a, b, y.add, tp__data(y.t))) return NULL;
    return tp__record(op, TP_LIST(x), y.t, TP_NONE_SAVED, &k, sizeof k);
}

tp_tensor *tp__affine(tp_sink to, tp_tensor *x, double a, double b)
{
    return affine(&affine_op, to, x, a, b);
}

tp_tensor *tp_affine(tp_tensor *x, double a, double b)
{
    return tp__affine(TP_FRESH, x, a, b);
}

tp_tensor *tp_scale(tp_tensor *x, double a)
{
    return affine(&scale_op, TP_FRESH, x, a, 0);
}

tp_tensor *tp_shift(tp_tensor *x, double b)
{
    return affine(&shift_op, TP_FRESH, x, 1, b);
}

tp_tensor *tp_neg(tp_tensor *x)
{
    return affine(&neg_op, TP_FRESH, x, -1, 0);
}

tp_tensor *tp_lerp(tp_tensor *a, tp_tensor *b, tp_tensor *weight)
{
    TP_SCOPE;
    tp_shape s, all;

    if (!tp__check("lerp", TP_LIST(a, b, weight), 3)) return NULL;
    s = tp__broadcast(&a->shape, &b->shape), all = s.rank < 0 ? s : tp__broadcast(&s, &weight->shape);
    TP_REQUIRE_IN("lerp", all.rank >= 0, TP_ERR_SHAPE, "%s, %s and weight %s don't broadcast", tp__text(a), tp__text(b),
                  tp__text(weight));
    TP_REQUIRE_IN("lerp", tp__is_float(a) && tp__is_float(b) && tp__is_float(weight), TP_ERR_DTYPE,
                  "not offered for %s, %s and weight %s", tp__text(a), tp__text(b), tp__text(weight));
    return tp_pass(tp_add(a, tp_mul(weight, tp_sub(b, a))));
}

/* ---- square, sqrt ---- */

static void square_backward(tp_node *n)
{
    tp__give(n, X, tp__mul(tp__sink(n, X), tp__dy(n, 0), tp_scale(tp__saved(n, X), 2)));
}

static const tp_op square_op = { "square", square_backward, NULL };

tp_tensor *tp_square(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &square_op, TP_SLOT(x, square), x, TP_KEEP_X);
}

static void sqrt_backward(tp_node *n)
{
    tp__give(n, X, tp__affine(tp__sink(n, X), tp_div(tp__dy(n, 0), tp__saved(n, Y)), 0.5, 0));
}

static const tp_op sqrt_op = { "sqrt", sqrt_backward, NULL };

tp_tensor *tp_sqrt(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &sqrt_op, TP_SLOT(x, sqrt), x, TP_KEEP_Y);
}

/* ---- relu ---- */

static void relu_dx_backward(tp_node *n) /* no gradient to y: [y > 0] is flat */
{
    if (tp__wants(n, A)) tp__give(n, A, tp__relu_dx(tp__sink(n, A), tp__dy(n, 0), tp__saved(n, B)));
}

static const tp_op relu_dx_op = { "relu_dx", relu_dx_backward, NULL };

tp_tensor *tp__relu_dx(tp_sink to, tp_tensor *dy, tp_tensor *y)
{
    return tp__binary(to, &relu_dx_op, TP_SLOT(dy, relu_dx), dy, y, true);
}

static void relu_backward(tp_node *n)
{
    tp__give(n, X, tp__relu_dx(tp__sink(n, X), tp__dy(n, 0), tp__saved(n, Y)));
}

static const tp_op relu_op = { "relu", relu_backward, NULL };

tp_tensor *tp_relu(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &relu_op, TP_SLOT(x, relu), x, TP_KEEP_Y);
}
