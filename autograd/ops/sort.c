/*
 * sort.c - order along one axis.  A kernel finds the places; the elements are picked by them, and
 * their gradients go back the same way.
 */
#include "autograd/op.h"

/* Where the elements of the sorted x were. */
static tp_tensor *places(const char *where, tp_tensor *x, int axis, bool descending)
{
    tp_tensor *rows, *y;
    int64_t cols = x->shape.n[axis];

    TP_NO_GRAD;
    rows = tp__rows(tp_moveaxis(x, axis, -1));
    if (!rows || !(y = tp__new(rows->shape, TP_I64, tp__device(x)))) return NULL;
    if (!TP_RUN_SLOT(where, tp__backend(x)->sort, x, cols ? tp_count(x) / cols : 0, cols, descending, tp__data(rows),
                     tp__data(y)))
        return NULL;
    return tp_contiguous(tp_moveaxis(y, -1, axis));
}

/* The first k in order, and their places. */
static tp_tensor *sorted(const char *where, tp_tensor *x, int64_t k, int axis, bool descending, tp_tensor **index)
{
    tp_tensor *place = places(where, x, axis, descending), *y;

    if (k < x->shape.n[axis]) place = tp_contiguous(tp_slice(place, axis, 0, k));
    if (!place || !(y = tp_gather(x, axis, place))) return NULL;
    if (index) *index = tp_pass(place);
    return y;
}

tp_tensor *tp_sort(tp_tensor *x, int axis, bool descending, tp_tensor **index)
{
    int a;

    TP_SCOPE;
    if (index) *index = NULL;
    if (!tp__check("sort", TP_LIST(x), 1) || (a = tp__axis("sort", x, axis)) < 0) return NULL;
    return tp_pass(sorted("sort", x, x->shape.n[a], a, descending, index));
}

tp_tensor *tp_argsort(tp_tensor *x, int axis, bool descending)
{
    int a;

    TP_SCOPE;
    if (!tp__check("argsort", TP_LIST(x), 1) || (a = tp__axis("argsort", x, axis)) < 0) return NULL;
    return tp_pass(places("argsort", x, a, descending));
}

tp_tensor *tp_topk(tp_tensor *x, int64_t k, int axis, bool largest, tp_tensor **index)
{
    int a;

    TP_SCOPE;
    if (index) *index = NULL;
    if (!tp__check("topk", TP_LIST(x), 1) || (a = tp__axis("topk", x, axis)) < 0) return NULL;
    TP_REQUIRE_IN("topk", k >= 0 && k <= x->shape.n[a], TP_ERR_ARG, "%lld of %s along axis %d", (long long)k,
                  tp__text(x), axis);
    return tp_pass(sorted("topk", x, k, a, largest, index));
}
