/*
 * loss.c - losses of numbers, of distributions, of pairs and of triples, made of other ops.
 *
 * Each gives a loss per element (or per row) and folds it: mean, sum, or not at all.
 */
#include "autograd/op.h"

#include <math.h>

tp_tensor *tp__reduced(tp_tensor *each, tp_reduce how)
{
    if (how == TP_NONE || !each) return each;
    return how == TP_SUM ? tp_sum(each, TP_ALL) : tp_mean(each, TP_ALL);
}

static bool reduction_ok(const char *where, tp_reduce how)
{
    TP_REQUIRE_IN(where, (unsigned)how <= TP_NONE, TP_ERR_ARG, "there is no reduction %d", (int)how);
    return true;
}

/* Two tensors of one shape. */
static bool alike(const char *where, tp_tensor *x, tp_tensor *t)
{
    if (!tp__check(where, TP_LIST(x, t), 2)) return false;
    TP_REQUIRE_IN(where, tp__is_float(x) || tp__is_float(t), TP_ERR_DTYPE,
                  "not offered for %s and %s", tp__text(x), tp__text(t));
    TP_REQUIRE_IN(where, tp__same(&x->shape, &t->shape), TP_ERR_SHAPE,
                  "%s and %s must have one shape", tp__text(x), tp__text(t));
    return true;
}

/* The same, in f32 where autocast would have them smaller. */
static bool pair(const char *where, tp_tensor **x, tp_tensor **t, tp_reduce how)
{
    *x = tp__autocast_loss(*x), *t = tp__autocast_loss(*t);
    return tp__check(where, TP_LIST(*x, *t), 2) && reduction_ok(where, how) && alike(where, *x, *t);
}

/* ---- of numbers ---- */

tp_tensor *tp_l1_loss(tp_tensor *x, tp_tensor *t, tp_loss_opts o)
{
    TP_SCOPE;
    if (!pair("l1_loss", &x, &t, o.reduction)) return NULL;
    return tp_pass(tp__reduced(tp_abs(tp_sub(x, t)), o.reduction));
}

static tp_tensor *mse(const char *where, tp_tensor *x, tp_tensor *t, tp_reduce how)
{
    TP_SCOPE;
    return pair(where, &x, &t, how) ? tp_pass(tp__reduced(tp_square(tp_sub(x, t)), how)) : NULL;
}

tp_tensor *tp_mse_loss(tp_tensor *x, tp_tensor *t, tp_loss_opts o)
{
    return mse("mse_loss", x, t, o.reduction);
}

tp_tensor *tp_mse(tp_tensor *x, tp_tensor *t)
{
    return mse("mse", x, t, TP_MEAN);
}

/* (d^2 / 2) where |d| < delta, else delta (|d| - delta / 2):  with c = min(|d|, delta) it is
 * c (|d| - c / 2), without a branch. */
static tp_tensor *huber(tp_tensor *x, tp_tensor *t, double delta)
{
    tp_tensor *d = tp_abs(tp_sub(x, t)), *c = tp_clamp(d, -INFINITY, delta);

    return tp_mul(c, tp_sub(d, tp_scale(c, 0.5)));
}

tp_tensor *tp_huber_loss(tp_tensor *x, tp_tensor *t, double delta, tp_loss_opts o)
{
    TP_SCOPE;
    if (!pair("huber_loss", &x, &t, o.reduction)) return NULL;
    TP_REQUIRE_IN("huber_loss", delta > 0, TP_ERR_ARG, "delta %g must be above 0", delta);
    return tp_pass(tp__reduced(huber(x, t, delta), o.reduction));
}

tp_tensor *tp_smooth_l1_loss(tp_tensor *x, tp_tensor *t, double beta, tp_loss_opts o)
{
    TP_SCOPE;
    if (!pair("smooth_l1_loss", &x, &t, o.reduction)) return NULL;
    TP_REQUIRE_IN("smooth_l1_loss", beta >= 0, TP_ERR_ARG, "beta %g must not be negative", beta);
    if (beta == 0) return tp_pass(tp__reduced(tp_abs(tp_sub(x, t)), o.reduction));
    return tp_pass(tp__reduced(tp_scale(huber(x, t, beta), 1 / beta), o.reduction));
}

/* ---- of distributions ---- */

/* y, or -100 where a logarithm is below that: there y was made from safe numbers, so that no
 * infinity meets the 0 that its gradient is multiplied with. */
static tp_tensor *floored(tp_tensor *low, tp_tensor *y)
{
    return tp_where(low, tp_full_like(y, -100), y);
}

/* Logarithms are at least -100, as PyTorch's, so that a sure and wrong p costs 100. */
tp_tensor *tp_bce(tp_tensor *p, tp_tensor *t, tp_loss_opts o)
{
    tp_tensor *none, *sure, *yes, *no;

    TP_SCOPE;
    if (!pair("bce", &p, &t, o.reduction)) return NULL;
    none = tp_lt_scalar(tp_abs(p), exp(-100)), sure = tp_eq_scalar(p, 1);
    yes = floored(none, tp_log(tp_masked_fill(p, none, 1)));
    no = floored(sure, tp_log1p(tp_neg(tp_masked_fill(p, sure, 0))));
    return tp_pass(tp__reduced(tp_neg(tp_add(tp_mul(t, yes), tp_mul(tp_affine(t, -1, 1), no))), o.reduction));
}

tp_tensor *tp_kl_div(tp_tensor *log_q, tp_tensor *p, tp_kl_div_opts o)
{
    tp_tensor *each, *some, *safe, *log_p;
    double rows;

    TP_SCOPE;
    if (!pair("kl_div", &log_q, &p, o.reduction)) return NULL;
    if (o.log_target) {
        each = tp_mul(tp_exp(p), tp_sub(p, log_q));
    } else { /* p log p is 0 at 0, and so is its gradient there */
        some = tp_gt_scalar(p, 0), safe = tp_where(some, p, tp_ones(TP_SCALAR, tp_dtype_of(p), tp_device_of(p)));
        log_p = tp_log(safe);
        each = tp_sub(tp_mul(p, log_p), tp_mul(p, log_q));
    }
    if (!o.batch_mean || !each) return tp_pass(tp__reduced(each, o.reduction));
    TP_REQUIRE_IN("kl_div", each->shape.rank > 0, TP_ERR_SHAPE, "a mean over the first axis of a tensor without one");
    rows = (double)tp_dim(each, 0);
    return tp_pass(tp_scale(tp_sum(each, TP_ALL), 1 / rows));
}

/* ---- of pairs ---- */

tp_tensor *tp_cosine_similarity(tp_tensor *a, tp_tensor *b, int axis, double eps)
{
    tp_axes along = { .n = 1, .axis = { axis } };

    TP_SCOPE;
    if (!alike("cosine_similarity", a, b) || tp__axis("cosine_similarity", a, axis) < 0)
        return NULL;
    TP_REQUIRE_IN("cosine_similarity", eps >= 0, TP_ERR_ARG, "eps %g", eps);
    return tp_pass(tp_div(tp_sum(tp_mul(a, b), along), tp_mul(tp_clamp(tp_norm(a, 2, along), eps, INFINITY),
                                                              tp_clamp(tp_norm(b, 2, along), eps, INFINITY))));
}

/* `near` where y is 1, `far` where it is -1. */
static tp_tensor *by_sign(const char *where, tp_tensor *y, tp_tensor *near, tp_tensor *far)
{
    tp_shape s;

    if (!near || !far) return NULL;
    s = near->shape;
    TP_REQUIRE_IN(where, tp__same(&y->shape, &s), TP_ERR_SHAPE, "y must be %s, of 1 and -1, not %s", tp__shape_text(s),
                  tp__text(y));
    return tp_where(tp_gt_scalar(y, 0), near, far);
}

tp_tensor *tp_hinge_embedding_loss(tp_tensor *x, tp_tensor *y, double margin, tp_loss_opts o)
{
    TP_SCOPE;
    x = tp__autocast_loss(x);
    if (!tp__check("hinge_embedding_loss", TP_LIST(x, y), 2) || !reduction_ok("hinge_embedding_loss", o.reduction)) return NULL;
    return tp_pass(tp__reduced(by_sign("hinge_embedding_loss", y, tp_reshape(x, x->shape), tp_relu(tp_affine(x, -1, margin))),
                           o.reduction));
}

/* PyTorch's own small number under the root. */
static tp_tensor *cosine_of_rows(tp_tensor *a, tp_tensor *b)
{
    const double tiny = 1e-12;
    tp_axes last = { .n = 1, .axis = { -1 } };
    tp_tensor *aa = tp_shift(tp_sum(tp_square(a), last), tiny), *bb = tp_shift(tp_sum(tp_square(b), last), tiny);

    return tp_mul(tp_sum(tp_mul(a, b), last), tp_rsqrt(tp_mul(aa, bb)));
}

tp_tensor *tp_cosine_embedding_loss(tp_tensor *a, tp_tensor *b, tp_tensor *y, tp_cosine_embedding_opts o)
{
    tp_tensor *cosine;

    TP_SCOPE;
    if (!tp__check("cosine_embedding_loss", TP_LIST(a, b, y), 3) || !pair("cosine_embedding_loss", &a, &b, o.reduction)) return NULL;
    TP_REQUIRE_IN("cosine_embedding_loss", a->shape.rank > 0, TP_ERR_SHAPE, "rows are wanted, not %s", tp__text(a));
    cosine = cosine_of_rows(a, b);
    return tp_pass(tp__reduced(by_sign("cosine_embedding_loss", y, tp_affine(cosine, -1, 1), tp_relu(tp_shift(cosine, -o.margin))),
                           o.reduction));
}

tp_tensor *tp_margin_ranking_loss(tp_tensor *a, tp_tensor *b, tp_tensor *y, tp_margin_ranking_opts o)
{
    TP_SCOPE;
    if (!tp__check("margin_ranking_loss", TP_LIST(a, b, y), 3) || !pair("margin_ranking_loss", &a, &b, o.reduction)) return NULL;
    return tp_pass(tp__reduced(tp_relu(tp_shift(tp_mul(tp_cast(y, tp_dtype_of(a)), tp_sub(b, a)), o.margin)), o.reduction));
}

/* ---- of triples ---- */

tp_triplet_opts tp_triplet_defaults(void)
{
    return (tp_triplet_opts){ .margin = 1, .p = 2, .eps = 1e-6, .filled = true };
}

static tp_tensor *distance(tp_tensor *a, tp_tensor *b, tp_triplet_opts o)
{
    tp_axes last = { .n = 1, .axis = { -1 } };

    return tp_norm(tp_shift(tp_sub(a, b), o.eps), o.p, last);
}

tp_tensor *tp_triplet_margin_loss(tp_tensor *anchor, tp_tensor *positive, tp_tensor *negative, tp_triplet_opts o)
{
    const char *where = "triplet_margin_loss";
    tp_tensor *near, *far;

    TP_SCOPE;
    if (!tp__check(where, TP_LIST(anchor, positive, negative), 3)) return NULL;
    TP_REQUIRE_IN(where, o.filled, TP_ERR_ARG, "start from tp_triplet_defaults()");
    if (!pair(where, &anchor, &positive, o.reduction) || !pair(where, &positive, &negative, o.reduction)) return NULL;
    TP_REQUIRE_IN(where, anchor->shape.rank > 0, TP_ERR_SHAPE, "rows are wanted, not %s", tp__text(anchor));
    TP_REQUIRE_IN(where, o.margin > 0, TP_ERR_ARG, "margin %g must be above 0", o.margin);
    near = distance(anchor, positive, o), far = distance(anchor, negative, o);
    if (o.swap) far = tp_minimum(far, distance(positive, negative, o));
    return tp_pass(tp__reduced(tp_relu(tp_shift(tp_sub(near, far), o.margin)), o.reduction));
}
