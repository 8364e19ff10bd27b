/*
 * inplace.c - writes into tensors: never recorded, so refused where a gradient would miss them.
 */
#include "autograd/node.h"

static bool may_write(const char *where, const tp_tensor *t, const tp_tensor *from, const char *instead)
{
    bool recorded = tp__recording() && (t->node || (from && from->node));

    TP_REQUIRE_IN(where, !recorded, TP_ERR_ARG,
                  "in-place writes are not recorded, and %s requires a gradient: use %s, or TP_NO_GRAD",
                  tp__text(t->node ? t : from), instead);
    return true;
}

static bool one_for_each(const char *where, const tp_tensor *t)
{
    for (int i = 0; i < t->shape.rank; i++)
        TP_REQUIRE_IN(where, t->stride[i] || t->shape.n[i] < 2, TP_ERR_ARG,
                      "%s is expanded: several of its elements are one number in memory", tp__text(t));
    return true;
}

bool tp_fill_(tp_tensor *t, double v)
{
    tp_loop l;

    if (!tp__check(__func__, TP_LIST(t), 1) || !may_write(__func__, t, NULL, "tp_full") ||
        !one_for_each(__func__, t))
        return false;
    l = tp__loop(&t->shape, TP_LIST(t));
    t->storage->version++;
    return TP_RUN(fill, t, &l, v, tp__data(t));
}

bool tp_copy_(tp_tensor *to, tp_tensor *from)
{
    int64_t stride[TP_MAX_AXES];

    TP_SCOPE;
    if (!tp__check(__func__, TP_LIST(to), 1) || !tp__check(__func__, TP_LIST(from), 1)) return false;
    if (!may_write(__func__, to, from, "tp_concat or tp_add")) return false;
    TP_REQUIRE(tp__expanded(from, &to->shape, stride), TP_ERR_SHAPE, "%s can't be copied into %s",
               tp__text(from), tp__text(to));
    if (!one_for_each(__func__, to)) return false;
    { /* like to like allocates nothing: loading relies on it */
        TP_NO_GRAD;
        if (tp__device(from) != tp__device(to)) from = tp_to(from, tp__device(to));
        if (from && from->dtype != to->dtype) from = tp_cast(from, (tp_dtype)to->dtype);
        if (from && from->storage == to->storage) from = tp_clone(from); /* they may overlap */
    }
    if (!from) return false;
    to->storage->version++;
    return tp__copy(to, from, false);
}
