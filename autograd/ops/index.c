/*
 * index.c - elements picked by an index along one axis.
 *
 *   gather        y[i] = x[index[i]]                 dx = scatter_add of dy into zeros
 *   scatter       y = x, then y[index[i]] = s[i]     ds = gather of dy;  dx = dy, 0 where written
 *   scatter_add   y = x, then y[index[i]] += s[i]    ds = gather of dy;  dx = dy
 *   index_select  y = whole slices of x              gather, or for tables the embedding's kernels
 *   one_hot       y = 0, then y[index] = 1           no gradient
 *
 * i runs along the axis, for each place along the others.
 */
#include "autograd/op.h"

enum { X, INDEX, SOURCE };

/* ---- checks and geometry ---- */

/* The index as i64, strided as it may be. */
static tp_tensor *places(const char *where, tp_tensor *index)
{
    TP_REQUIRE_IN(where, index->dtype == TP_I64 || index->dtype == TP_I32 || index->dtype == TP_U8, TP_ERR_DTYPE,
                  "the index must be i64, i32 or u8, not %s", tp__text(index));
    return tp_cast(index, TP_I64);
}

/* Is `small` no larger than `large`, along all axes but one? */
static bool within(const char *where, const tp_tensor *small, const tp_tensor *large, int but, const char *what)
{
    bool fits = small->shape.rank == large->shape.rank;

    for (int a = 0; fits && a < small->shape.rank; a++)
        fits = a == but || small->shape.n[a] <= large->shape.n[a];
    TP_REQUIRE_IN(where, fits, TP_ERR_SHAPE, "the index %s doesn't lie within %s %s%s", tp__text(small), what,
                  tp__text(large), but >= 0 ? " along the other axes" : "");
    return true;
}

static tp_pick picks(const tp_tensor *picked, const tp_tensor *index, const tp_tensor *whole, int axis)
{
    const tp_tensor *const t[] = { picked, index, whole };
    const int64_t *stride[3];
    tp_shape lanes = index->shape;
    tp_pick p = { .n = lanes.n[axis], .size = whole->shape.n[axis] };

    lanes.n[axis] = 1;
    for (int k = 0; k < 3; k++)
        stride[k] = t[k]->stride, p.step[k] = t[k]->stride[axis];
    p.lanes = tp_loop_make(lanes.rank, lanes.n, 3, stride, true);
    return p;
}

/* ---- gather ---- */

static tp_tensor *gathered(const char *where, tp_tensor *x, tp_tensor *index, int axis)
{
    tp_tensor *y = tp__new_like(x, index->shape);
    tp_pick p;

    if (!y) return NULL;
    p = picks(y, index, x, axis);
    return TP_RUN_SLOT(where, tp__backend(x)->gather, x, &p, tp__data(x), tp__data(index), tp__data(y)) ? y : NULL;
}

static tp_tensor *gather(const char *where, tp_tensor *x, tp_tensor *index, int axis);

static void gather_dx_backward(tp_node *n)
{
    tp__give(n, X, gather("gather", tp__dy(n, 0), tp__saved(n, 0), *(const int *)tp__attr(n)));
}

static const tp_op gather_dx_op = { "gather_dx", gather_dx_backward, NULL };

static tp_tensor *gather_dx(tp_sink to, tp_tensor *dy, tp_tensor *index, int axis, tp_shape s)
{
    tp_place dx;
    tp_loop l;
    tp_pick p;

    if (!dy || !index) return NULL;
    dx = tp__place(to, s, dy, TP_ROW_MAJOR, TP_ANY_STRIDES);
    if (!dx.t) return NULL;
    l = tp__loop(&s, TP_LIST(dx.t)), p = picks(dy, index, dx.t, axis);
    if ((!dx.add && !TP_RUN(fill, dx.t, &l, 0, tp__data(dx.t))) ||
        !TP_RUN(scatter, dy, &p, tp__data(dy), tp__data(index), true, tp__data(dx.t)))
        return NULL;
    return tp__record(&gather_dx_op, TP_LIST(dy, index), dx.t, TP_LIST(index), &axis, sizeof axis);
}

static void gather_backward(tp_node *n)
{
    tp__give(n, X, gather_dx(tp__sink(n, X), tp__dy(n, 0), tp__saved(n, 0), *(const int *)tp__attr(n),
                             tp__in_shape(n, X)));
}

static const tp_op gather_op = { "gather", gather_backward, NULL };

static tp_tensor *gather(const char *where, tp_tensor *x, tp_tensor *index, int axis)
{
    tp_tensor *y = x && index ? gathered(where, x, index, axis) : NULL;

    return y ? tp__record(&gather_op, TP_LIST(x, index), y, TP_LIST(index), &axis, sizeof axis) : NULL;
}

tp_tensor *tp_gather(tp_tensor *x, int axis, tp_tensor *index)
{
    int a;

    TP_SCOPE;
    if (!tp__check("gather", TP_LIST(x, index), 2) || (a = tp__axis("gather", x, axis)) < 0) return NULL;
    if (!within("gather", index, x, a, "x") || !(index = places("gather", index))) return NULL;
    return tp_pass(gather("gather", x, index, a));
}

/* ---- scatter ---- */

typedef struct scatter_attr {
    int axis;
    bool add;
} scatter_attr;

static tp_tensor *scatter(const char *where, tp_tensor *x, tp_tensor *index,
                          tp_tensor *source, scatter_attr k);

/* dy, but 0 where something was written. */
static tp_tensor *unwritten(tp_tensor *dy, tp_tensor *index, scatter_attr k)
{
    return dy && index
               ? scatter("scatter", dy, index,
                         tp_expand(tp_zeros(TP_SCALAR, tp_dtype_of(dy), tp_device_of(dy)),
                                   index->shape),
                         k)
               : NULL;
}

/* The source may be larger than the index: what was not used gets 0. */
static tp_tensor *used(tp_tensor *dsource, tp_shape s)
{
    for (int a = 0; dsource && a < s.rank; a++) {
        tp_shape rest = dsource->shape;

        rest.n[a] = s.n[a] - rest.n[a];
        if (rest.n[a])
            dsource = tp_concat(TP_LIST(dsource, tp_zeros(rest, tp_dtype_of(dsource), tp_device_of(dsource))), a);
    }
    return dsource;
}

static void scatter_backward(tp_node *n)
{
    scatter_attr k = *(const scatter_attr *)tp__attr(n);
    tp_tensor *dy = tp__dy(n, 0), *index = tp__saved(n, 0);

    if (tp__wants(n, X)) tp__give(n, X, k.add ? dy : unwritten(dy, index, k));
    if (tp__wants(n, SOURCE))
        tp__give(n, SOURCE,
                 used(gather("gather", dy, index, k.axis), tp__in_shape(n, SOURCE)));
}

static const tp_op scatter_op = { "scatter", scatter_backward, NULL };

static tp_tensor *scatter(const char *where, tp_tensor *x, tp_tensor *index,
                          tp_tensor *source, scatter_attr k)
{
    tp_tensor *y;
    tp_pick p;

    if (!x || !index || !source) return NULL;
    y = tp__new_as(x->shape, (tp_dtype)x->dtype, tp__device(x), tp__layout_of(x));
    if (!y || !tp__copy(y, x, false)) return NULL;
    p = picks(source, index, y, k.axis);
    if (!TP_RUN_SLOT(where, tp__backend(x)->scatter, x, &p, tp__data(source),
                     tp__data(index), k.add, tp__data(y)))
        return NULL;
    return tp__record(&scatter_op, TP_LIST(x, index, source), y, TP_LIST(index), &k, sizeof k);
}

static tp_tensor *checked_scatter(const char *where, tp_tensor *x, int axis, tp_tensor *index, tp_tensor *source, bool add)
{
    scatter_attr k = { .add = add };

    TP_SCOPE;
    if (!tp__check(where, TP_LIST(x, index, source), 3) || (k.axis = tp__axis(where, x, axis)) < 0) return NULL;
    TP_REQUIRE_IN(where, x->dtype == source->dtype, TP_ERR_DTYPE, "x is %s, the source %s", tp__text(x), tp__text(source));
    if (!within(where, index, x, k.axis, "x") || !within(where, index, source, -1, "the source")) return NULL;
    return (index = places(where, index)) ? tp_pass(scatter(where, x, index, source, k)) : NULL;
}

tp_tensor *tp_scatter(tp_tensor *x, int axis, tp_tensor *index, tp_tensor *source)
{
    return checked_scatter("scatter", x, axis, index, source, false);
}

tp_tensor *tp_scatter_add(tp_tensor *x, int axis, tp_tensor *index, tp_tensor *source)
{
    return checked_scatter("scatter_add", x, axis, index, source, true);
}

/* ---- index_select ---- */

/* The index along axis, repeated along all others without a copy. */
static tp_tensor *spread(tp_tensor *index, const tp_tensor *x, int axis)
{
    tp_shape column = { .rank = x->shape.rank }, s = x->shape;

    for (int a = 0; a < column.rank; a++)
        column.n[a] = 1;
    column.n[axis] = s.n[axis] = tp_count(index);
    return tp_expand(tp_reshape(index, column), s);
}

/* Rows of a table, at the embedding's speed: its kernels copy whole rows, and sort for the sum. */
static tp_tensor *select_rows(tp_tensor *x, tp_tensor *index)
{
    tp_shape s = x->shape;
    tp_tensor *table = tp_reshape(x, TP_SHAPE(s.n[0], s.n[0] ? tp_count(x) / s.n[0] : 0));

    s.n[0] = tp_count(index);
    return tp_reshape(tp__embedding("index_select", index, table), s);
}

tp_tensor *tp_index_select(tp_tensor *x, int axis, tp_tensor *index)
{
    int a;

    TP_SCOPE;
    if (!tp__check("index_select", TP_LIST(x, index), 2) || (a = tp__axis("index_select", x, axis)) < 0) return NULL;
    TP_REQUIRE_IN("index_select", index->shape.rank == 1, TP_ERR_SHAPE, "the index must be (n), not %s", tp__text(index));
    if (!(index = places("index_select", index))) return NULL;
    if (a == 0 && x->shape.n[0] && x->dtype != TP_F16 && tp__is_float(x) && tp__dense(x, TP_ROW_MAJOR))
        return tp_pass(select_rows(x, index));
    return tp_pass(gather("index_select", x, spread(index, x, a), a));
}

/* ---- masked_fill ---- */

tp_tensor *tp_masked_fill(tp_tensor *x, tp_tensor *mask, double v)
{
    tp_shape s;

    TP_SCOPE;
    if (!tp__check("masked_fill", TP_LIST(x, mask), 2)) return NULL;
    TP_REQUIRE_IN("masked_fill", mask->dtype == TP_BOOL, TP_ERR_DTYPE, "the mask must be bool, not %s", tp__text(mask));
    s = tp__broadcast(&x->shape, &mask->shape);
    TP_REQUIRE_IN("masked_fill", s.rank >= 0 && tp__same(&s, &x->shape), TP_ERR_SHAPE, "the mask %s doesn't broadcast to %s",
                  tp__text(mask), tp__text(x));
    return tp_pass(tp_where(mask, tp_full(TP_SCALAR, v, (tp_dtype)x->dtype, tp__device(x)), x));
}

/* ---- one_hot ---- */

tp_tensor *tp_one_hot(tp_tensor *labels, int64_t classes)
{
    tp_shape s;
    tp_tensor *zeros, *ones;

    TP_SCOPE;
    if (!tp__check("one_hot", TP_LIST(labels), 1)) return NULL;
    TP_REQUIRE_IN("one_hot", classes > 0, TP_ERR_ARG,
                  "%lld classes: 1 or more are wanted", (long long)classes);
    TP_REQUIRE_IN("one_hot", labels->shape.rank < TP_MAX_AXES, TP_ERR_SHAPE, "the labels are %s: too many axes",
                  tp__text(labels));
    if (!(labels = places("one_hot", labels))) return NULL;
    s = labels->shape, s.n[s.rank++] = classes;
    zeros = tp_zeros(s, TP_I64, tp_device_of(labels)), s.n[s.rank - 1] = 1;
    ones = tp_expand(tp_ones(TP_SCALAR, TP_I64, tp_device_of(labels)), s);
    return tp_pass(scatter("one_hot", zeros, tp_reshape(labels, s), ones,
                           (scatter_attr){ s.rank - 1, false }));
}
