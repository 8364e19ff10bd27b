/*
 * activation.c - the curved functions of each element.
 *
 *   exp      y = e^x              dx = dy y
 *   log      y = log x            dx = dy / x
 *   tanh     y = tanh x           dx = dy (1 - y^2)
 *   sigmoid  y = 1 / (1 + e^-x)   dx = dy y (1 - y)
 *   gelu     y = x Phi(x)         dx = dy (Phi(x) + x phi(x))      phi, Phi: the normal density
 *   gelu_tanh                     y = x (1 + t) / 2,  t = tanh(u),  u = k (x + c x^3)
 *   bce      y = max(x, 0) - x t + log(1 + e^-|x|)     dx = dy (sigmoid(x) - t)   dt = -dy x
 */
#include "autograd/ops/elementwise.h"

enum { A, B };
enum { X = 0, Y = 0 };

static void exp_backward(tp_node *n)
{
    tp__give(n, X, tp__mul(tp__sink(n, X), tp__dy(n, 0), tp__saved(n, Y)));
}

static const tp_op exp_op = { "exp", exp_backward, NULL };

tp_tensor *tp_exp(tp_tensor *x)
{
    x = tp__autocast_wide(x);
    return tp__unary(TP_FRESH, &exp_op, TP_SLOT(x, exp), x, TP_KEEP_Y);
}

static void log_backward(tp_node *n)
{
    tp__give(n, X, tp_div(tp__dy(n, 0), tp__saved(n, X)));
}

static const tp_op log_op = { "log", log_backward, NULL };

tp_tensor *tp_log(tp_tensor *x)
{
    x = tp__autocast_wide(x);
    return tp__unary(TP_FRESH, &log_op, TP_SLOT(x, log), x, TP_KEEP_X);
}

/* ---- tanh ---- */

static tp_tensor *tanh_dx(tp_sink to, tp_tensor *dy, tp_tensor *y);

/* Given u for dx = dy (1 - y^2):  u (1 - y^2) for dy,  -2 u dy y for y. */
static void tanh_dx_backward(tp_node *n)
{
    tp_tensor *u = tp__dy(n, 0), *dy = tp__saved(n, A), *y = tp__saved(n, B);

    if (tp__wants(n, A)) tp__give(n, A, tanh_dx(tp__sink(n, A), u, y));
    if (tp__wants(n, B)) tp__give(n, B, tp__affine(tp__sink(n, B), tp_mul(u, tp_mul(dy, y)), -2, 0));
}

static const tp_op tanh_dx_op = { "tanh_dx", tanh_dx_backward, NULL };

static tp_tensor *tanh_dx(tp_sink to, tp_tensor *dy, tp_tensor *y)
{
    return tp__binary(to, &tanh_dx_op, TP_SLOT(dy, tanh_dx), dy, y, true);
}

static void tanh_backward(tp_node *n)
{
    tp__give(n, X, tanh_dx(tp__sink(n, X), tp__dy(n, 0), tp__saved(n, Y)));
}

static const tp_op tanh_op = { "tanh", tanh_backward, NULL };

tp_tensor *tp_tanh(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &tanh_op, TP_SLOT(x, tanh), x, TP_KEEP_Y);
}

/* ---- sigmoid ---- */

static tp_tensor *sigmoid_dx(tp_sink to, tp_tensor *dy, tp_tensor *y);

/* Given u for dx = dy y (1 - y):  u y (1 - y) for dy,  u dy (1 - 2 y) for y. */
static void sigmoid_dx_backward(tp_node *n)
{
    tp_tensor *u = tp__dy(n, 0), *dy = tp__saved(n, A), *y = tp__saved(n, B);

    if (tp__wants(n, A)) tp__give(n, A, sigmoid_dx(tp__sink(n, A), u, y));
    if (tp__wants(n, B)) tp__give(n, B, tp__mul(tp__sink(n, B), tp_mul(u, dy), tp_affine(y, -2, 1)));
}

static const tp_op sigmoid_dx_op = { "sigmoid_dx", sigmoid_dx_backward, NULL };

static tp_tensor *sigmoid_dx(tp_sink to, tp_tensor *dy, tp_tensor *y)
{
    return tp__binary(to, &sigmoid_dx_op, TP_SLOT(dy, sigmoid_dx), dy, y, true);
}

static void sigmoid_backward(tp_node *n)
{
    tp__give(n, X, sigmoid_dx(tp__sink(n, X), tp__dy(n, 0), tp__saved(n, Y)));
}

static const tp_op sigmoid_op = { "sigmoid", sigmoid_backward, NULL };

tp_tensor *tp_sigmoid(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &sigmoid_op, TP_SLOT(x, sigmoid), x, TP_KEEP_Y);
}

/* ---- gelu ---- */

static tp_tensor *gelu_dx(tp_sink to, tp_tensor *dy, tp_tensor *x);

/* gelu'' = phi(x) (2 - x^2) */
static void gelu_dx_backward(tp_node *n)
{
    tp_tensor *u = tp__dy(n, 0), *x = tp__saved(n, B), *x2, *second;

    if (tp__wants(n, A)) tp__give(n, A, gelu_dx(tp__sink(n, A), u, x));
    if (!tp__wants(n, B)) return;
    x2 = tp_square(x);
    second = tp_mul(tp_exp(tp_scale(x2, -0.5)), tp_affine(x2, -0.3989422804014327, 0.7978845608028654));
    tp__give(n, B, tp__mul(tp__sink(n, B), tp_mul(u, tp__saved(n, A)), second));
}

static const tp_op gelu_dx_op = { "gelu_dx", gelu_dx_backward, NULL };

static tp_tensor *gelu_dx(tp_sink to, tp_tensor *dy, tp_tensor *x)
{
    return tp__binary(to, &gelu_dx_op, TP_SLOT(dy, gelu_dx), dy, x, true);
}

static void gelu_backward(tp_node *n)
{
    tp__give(n, X, gelu_dx(tp__sink(n, X), tp__dy(n, 0), tp__saved(n, X)));
}

static const tp_op gelu_op = { "gelu", gelu_backward, NULL };

tp_tensor *tp_gelu(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &gelu_op, TP_SLOT(x, gelu), x, TP_KEEP_X);
}

/* ---- gelu_tanh ---- */

static tp_tensor *gelu_tanh_dx(tp_sink to, tp_tensor *dy, tp_tensor *x);

/* With s = 1 - t^2, u' = k (1 + 3 c x^2), u'' = 6 k c x:  y'' = s u' + x s u'' / 2 - x t s u'^2 */
static tp_tensor *gelu_tanh_second(tp_tensor *x)
{
    const double k = 0.7978845608028654, c = 0.044715;
    tp_tensor *x2 = tp_square(x), *t = tp_tanh(tp_mul(x, tp_affine(x2, k * c, k)));
    tp_tensor *s = tp_affine(tp_square(t), -1, 1), *du = tp_affine(x2, 3 * k * c, k);
    tp_tensor *flat = tp_affine(x2, 6 * k * c, k), *bent = tp_mul(tp_mul(x, t), tp_square(du));

    return tp_mul(s, tp_sub(flat, bent)); /* s u' + s x u'' / 2 = s k (1 + 6 c x^2) */
}

static void gelu_tanh_dx_backward(tp_node *n)
{
    tp_tensor *u = tp__dy(n, 0), *x = tp__saved(n, B);

    if (tp__wants(n, A)) tp__give(n, A, gelu_tanh_dx(tp__sink(n, A), u, x));
    if (tp__wants(n, B))
        tp__give(n, B, tp__mul(tp__sink(n, B), tp_mul(u, tp__saved(n, A)), gelu_tanh_second(x)));
}

static const tp_op gelu_tanh_dx_op = { "gelu_tanh_dx", gelu_tanh_dx_backward, NULL };

static tp_tensor *gelu_tanh_dx(tp_sink to, tp_tensor *dy, tp_tensor *x)
{
    return tp__binary(to, &gelu_tanh_dx_op, TP_SLOT(dy, gelu_tanh_dx), dy, x, true);
}

static void gelu_tanh_backward(tp_node *n)
{
    tp__give(n, X, gelu_tanh_dx(tp__sink(n, X), tp__dy(n, 0), tp__saved(n, X)));
}

static const tp_op gelu_tanh_op = { "gelu_tanh", gelu_tanh_backward, NULL };

tp_tensor *tp_gelu_tanh(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &gelu_tanh_op, TP_SLOT(x, gelu_tanh), x, TP_KEEP_X);
}

/* ---- of a fused layer: y = act(x), by what each needs ---- */

tp_tensor *tp__activation_dx(tp_sink to, tp_activation act, tp_tensor *dy, tp_tensor *x, tp_tensor *y)
{
    switch (act) {
    case TP_RELU: return tp__relu_dx(to, dy, y);
    case TP_TANH: return tanh_dx(to, dy, y);
    case TP_SIGMOID: return sigmoid_dx(to, dy, y);
    case TP_GELU: return gelu_dx(to, dy, x);
    case TP_GELU_TANH: return gelu_tanh_dx(to, dy, x);
    case TP_LINEAR: break;
    }
    return dy;
}

/* ---- binary cross-entropy of logits ---- */

static void bce_dx_backward(tp_node *n) /* of sigmoid(x) - t */
{
    tp_tensor *u = tp__dy(n, 0), *y = tp_sigmoid(tp__saved(n, A));

    if (tp__wants(n, A)) tp__give(n, A, sigmoid_dx(tp__sink(n, A), u, y));
    if (tp__wants(n, B)) tp__give(n, B, tp__affine(tp__sink(n, B), u, -1, 0));
}

static const tp_op bce_dx_op = { "bce_with_logits_dx", bce_dx_backward, NULL };

static void bce_backward(tp_node *n)
{
    tp_tensor *dy = tp__dy(n, 0), *x = tp__saved(n, A);

    if (tp__wants(n, A))
        tp__give_product(n, A, dy, tp__binary(TP_FRESH, &bce_dx_op, TP_SLOT(x, bce_dx), x, tp__saved(n, B), true));
    if (tp__wants(n, B)) tp__give_product(n, B, dy, tp_neg(x));
}

static const tp_op bce_op = { "bce_with_logits", bce_backward, NULL };

/* The constant w in x's dtype; false and an error where it doesn't broadcast to x. */
static bool bce_weight(const char *what, const tp_tensor *x, tp_tensor **w)
{
    int64_t stride[TP_MAX_AXES];

    if (!*w) return true;
    if (!tp__check("bce_with_logits", TP_LIST((tp_tensor *)x, *w), 2)) return false;
    TP_REQUIRE_IN("bce_with_logits", tp__expanded(*w, &x->shape, stride), TP_ERR_SHAPE,
                  "%s %s doesn't broadcast to %s", what, tp__text(*w), tp__text(x));
    return (*w = tp_cast(tp_detach(*w), (tp_dtype)x->dtype)) != NULL;
}

static tp_tensor *bce_each(tp_tensor *x, tp_tensor *t)
{
    return tp__binary(TP_FRESH, &bce_op, TP_SLOT(x, bce), x, t, true);
}

/* (1 - t) x + (1 + (p - 1) t) log(1 + e^-x), whose logarithm is the loss of target 1. */
static tp_tensor *bce_of_positives(tp_tensor *x, tp_tensor *t, tp_tensor *p)
{
    tp_tensor *share = tp_shift(tp_mul(t, tp_shift(p, -1)), 1);

    return tp_add(tp_mul(tp_affine(t, -1, 1), x), tp_mul(share, bce_each(x, tp_full_like(t, 1))));
}

tp_tensor *tp_bce_with_logits_with(tp_tensor *x, tp_tensor *t, tp_bce_opts o)
{
    tp_tensor *each;

    TP_SCOPE;
    x = tp__autocast_loss(x), t = tp__autocast_loss(t);
    if (!tp__meet("bce_with_logits", &x, &t)) return NULL;
    TP_REQUIRE_IN("bce_with_logits", (unsigned)o.reduction <= TP_NONE, TP_ERR_ARG, "there is no reduction %d",
                  o.reduction);
    TP_REQUIRE_IN("bce_with_logits", tp__same(&x->shape, &t->shape), TP_ERR_SHAPE,
                  "logits %s and targets %s must have one shape", tp__text(x), tp__text(t));
    if (!bce_weight("weight", x, &o.weight) ||
        !bce_weight("pos_weight", x, &o.pos_weight))
        return NULL;
    each = o.pos_weight ? bce_of_positives(x, t, o.pos_weight) : bce_each(x, t);
    if (o.weight) each = tp_mul(each, o.weight);
    return tp_pass(tp__reduced(each, o.reduction));
}

tp_tensor *tp_bce_with_logits(tp_tensor *x, tp_tensor *t)
{
    return tp_bce_with_logits_with(x, t, (tp_bce_opts){ .reduction = TP_MEAN });
}
