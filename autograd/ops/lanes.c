/*
 * lanes.c - see lanes.h.  Memory is read in its own order where the folded axes are neighbours
 * in it; otherwise x is copied so that they come last.
 */
#include "autograd/ops/lanes.h"

/* Are the folded axes neighbours among those in `order`?  Axes of size 1 don't matter. */
static bool neighbours(const tp_tensor *x, const int *order, const bool *gone, tp_lanes *d)
{
    bool seen = false;

    *d = (tp_lanes){ 1, 1, 1 };
    for (int i = 0; i < x->shape.rank; i++) {
        int64_t n = x->shape.n[order[i]];

        if (n == 1) continue;
        if (!gone[order[i]]) {
            if (seen) d->inner *= n;
            else d->outer *= n;
            continue;
        }
        if (d->inner != 1) return false;
        seen = true, d->n *= n;
    }
    return true;
}

static tp_tensor *folded_last(tp_tensor *x, const bool *gone, tp_lanes *d)
{
    tp_axes order = { 0 };

    *d = (tp_lanes){ 1, 1, 1 };
    for (int a = 0; a < x->shape.rank; a++)
        if (!gone[a]) order.axis[order.n++] = a, d->outer *= x->shape.n[a];
    for (int a = 0; a < x->shape.rank; a++)
        if (gone[a]) order.axis[order.n++] = a, d->n *= x->shape.n[a];
    return tp__rows(order.n ? tp_permute(x, order) : x);
}

bool tp__fold_lanes(const char *where, tp_tensor *x, tp_axes axes, tp__folded *f)
{
    static const int logical[TP_MAX_AXES] = { 0, 1, 2, 3, 4, 5, 6, 7 }, last[] = { 0, 2, 3, 1 };
    bool gone[TP_MAX_AXES], in_order;

    TP_NO_GRAD;
    if (!tp__fold_shapes(where, x, axes, &f->ones, &f->left) || !tp__axes_mask(where, x, axes, gone)) return false;
    f->x = x;
    if (tp__dense(x, TP_ROW_MAJOR) && neighbours(x, logical, gone, &f->d)) return true;
    in_order = x->shape.rank == 4 && (gone[1] || (gone[2] && gone[3])); /* what is left of channels-last */
    if (in_order && tp__dense(x, TP_CHANNELS_LAST) && neighbours(x, last, gone, &f->d)) return true;
    return (f->x = folded_last(x, gone, &f->d)) != NULL;
}

tp_tensor *tp__axis_lanes(tp_tensor *x, int axis, tp_lanes *d)
{
    TP_NO_GRAD;
    *d = (tp_lanes){ 1, x->shape.n[axis], 1 };
    for (int a = 0; a < x->shape.rank; a++) {
        if (a < axis) d->outer *= x->shape.n[a];
        if (a > axis) d->inner *= x->shape.n[a];
    }
    return tp__rows(x);
}

tp_tensor *tp__total(tp_tensor *x, tp_axes axes)
{
    tp__folded f;
    tp_tensor *y;

    TP_SCOPE;
    if (!tp__fold_lanes("sum", x, axes, &f) || !(y = tp__new(f.ones, TP_I64, tp__device(x)))) return NULL;
    if (!TP_RUN_SLOT("sum", tp__backend(x)->total, x, f.d, tp__data(f.x), tp__data(y))) return NULL;
    return tp_pass(tp_reshape(y, f.left));
}
