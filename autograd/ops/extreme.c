/*
 * extreme.c - the larger and the smaller, of two tensors and along axes.
 *
 *   maximum     da = dy [a > b], half of dy each where a = b
 *   amax        dx = dy [x = y] / how many they are
 *   max_along   y = x at the first place of the largest      dx = dy there
 */
#include "autograd/ops/elementwise.h"
#include "autograd/ops/lanes.h"

enum { A, B };
enum { X = 0, Y = 1 };

/* ---- of two: whose it is doesn't move with them ---- */

static const tp_op share_op = { "larger_share", NULL, NULL };

static tp_tensor *larger_share(tp_tensor *a, tp_tensor *b)
{
    TP_NO_GRAD;
    return tp__binary(TP_FRESH, &share_op, TP_SLOT(a, larger_share), a, b, false);
}

static void maximum_backward(tp_node *n)
{
    tp_tensor *dy = tp__dy(n, 0), *a = tp__saved(n, A), *b = tp__saved(n, B);

    if (tp__wants(n, A)) tp__give_product(n, A, dy, larger_share(a, b));
    if (tp__wants(n, B)) tp__give_product(n, B, dy, larger_share(b, a));
}

static void minimum_backward(tp_node *n)
{
    tp_tensor *dy = tp__dy(n, 0), *a = tp__saved(n, A), *b = tp__saved(n, B);

    if (tp__wants(n, A)) tp__give_product(n, A, dy, larger_share(b, a));
    if (tp__wants(n, B)) tp__give_product(n, B, dy, larger_share(a, b));
}

static const tp_op maximum_op = { "maximum", maximum_backward, NULL };
static const tp_op minimum_op = { "minimum", minimum_backward, NULL };

tp_tensor *tp_maximum(tp_tensor *a, tp_tensor *b)
{
    return tp__binary(TP_FRESH, &maximum_op, TP_SLOT(a, maximum), a, b, true);
}

tp_tensor *tp_minimum(tp_tensor *a, tp_tensor *b)
{
    return tp__binary(TP_FRESH, &minimum_op, TP_SLOT(a, minimum), a, b, true);
}

/* ---- over axes ---- */

static tp_tensor *shares(tp_tensor *x, tp_tensor *y)
{
    tp_tensor *mine;

    TP_NO_GRAD;
    if (!x || !y || !(mine = tp_cast(tp_eq(x, y), (tp_dtype)x->dtype))) return NULL;
    return tp_div(mine, tp__sum_to(TP_FRESH, mine, y->shape));
}

static void extreme_backward(tp_node *n)
{
    tp_tensor *w = shares(tp__saved(n, X), tp__saved(n, Y));

    tp__give(n, X, tp__mul(tp__sink(n, X), w, tp__expand(tp__dy(n, 0), tp__in_shape(n, X))));
}

static const tp_op amax_op = { "amax", extreme_backward, NULL };
static const tp_op amin_op = { "amin", extreme_backward, NULL };

static tp_tensor *extreme(const tp_op *op, tp__fn_amax *const *slot, tp_tensor *x, tp_axes axes)
{
    tp__folded f;
    tp_tensor *y;

    TP_SCOPE;
    if (!tp__check(op->name, TP_LIST(x), 1) || !tp__fold_lanes(op->name, x, axes, &f)) return NULL;
    TP_REQUIRE_IN(op->name, f.d.n || tp__elements(&f.left) == 0, TP_ERR_SHAPE, "%s has nothing along these axes",
                  tp__text(x));
    if (!(y = tp__new_like(x, f.ones))) return NULL;
    if (!TP_RUN_SLOT(op->name, slot, x, f.d, tp__data(f.x), tp__data(y))) return NULL;
    y = tp__record(op, TP_LIST(x), y, TP_LIST(x, y), NULL, 0);
    return tp_pass(tp_reshape(y, f.left));
}

tp_tensor *tp_amax(tp_tensor *x, tp_axes axes)
{
    return extreme(&amax_op, TP_SLOT(x, amax), x, axes);
}

tp_tensor *tp_amin(tp_tensor *x, tp_axes axes)
{
    return extreme(&amin_op, TP_SLOT(x, amin), x, axes);
}

/* ---- along one axis, with the place ---- */

static tp_tensor *at_place(tp_tensor *x, int axis, tp_tensor *place, tp_tensor **index)
{
    tp_tensor *y;

    if (!place) return NULL;
    y = tp_squeeze(tp_gather(x, axis, tp_unsqueeze(place, axis)), TP_AXES(axis));
    if (y && index) *index = place;
    return y;
}

static tp_tensor *along(const char *where, tp_tensor *x, int axis, tp_tensor *f(tp_tensor *, int), tp_tensor **index)
{
    tp_tensor *y;
    int a;

    TP_SCOPE;
    if (index) *index = NULL;
    if (!tp__has_places(where, x, axis, &a)) return NULL;
    y = at_place(x, a, f(x, a), index);
    if (y && index) tp_pass(*index);
    return tp_pass(y);
}

tp_tensor *tp_max_along(tp_tensor *x, int axis, tp_tensor **index)
{
    return along("max_along", x, axis, tp_argmax, index);
}

tp_tensor *tp_min_along(tp_tensor *x, int axis, tp_tensor **index)
{
    return along("min_along", x, axis, tp_argmin, index);
}

/* Where the smaller middle one is; where a NaN is, the first of them. */
static tp_tensor *middle_place(tp_tensor *x, int axis)
{
    int64_t n = x->shape.n[axis];
    tp_tensor *first, *middle;

    TP_NO_GRAD;
    if (!(first = tp_argmax(x, axis))) return NULL;
    middle = tp_slice(tp_argsort(x, axis, false), axis, (n - 1) / 2, (n - 1) / 2 + 1);
    middle = tp_squeeze(middle, TP_AXES(axis));
    return tp_where(tp_isnan(at_place(x, axis, first, NULL)), first, middle);
}

tp_tensor *tp_median(tp_tensor *x, int axis, tp_tensor **index)
{
    return along("median", x, axis, middle_place, index);
}
