/*
 * copy.c - the same elements in other bytes: layouts, dtypes, devices; and concatenation.
 *
 *   dense, clone   dx = dy
 *   cast           dx = dy cast back
 *   to             dx = dy moved back
 *   concat         dx_i = the slice of dy that x_i became
 */
#include "autograd/op.h"

#include <string.h>

enum { X };

static void same_backward(tp_node *n)
{
    tp__give(n, X, tp__dy(n, 0));
}

static const tp_op dense_op = { "contiguous", same_backward, NULL };
static const tp_op clone_op = { "clone", same_backward, NULL };

static tp_tensor *copied(const tp_op *op, tp_tensor *x, tp_layout layout)
{
    tp_tensor *y = tp__new_as(x->shape, (tp_dtype)x->dtype, tp__device(x), layout);

    if (!y || !tp__copy(y, x, false)) return NULL;
    return tp__record(op, TP_LIST(x), y, TP_NONE_SAVED, NULL, 0);
}

tp_tensor *tp__dense_of(tp_tensor *x, tp_layout layout)
{
    return !x || tp__dense(x, layout) ? x : copied(&dense_op, x, layout);
}

static tp_tensor *dense_handle(const char *where, tp_tensor *x, tp_layout layout)
{
    if (!tp__check(where, TP_LIST(x), 1)) return NULL;
    return tp__dense(x, layout) ? tp_reshape(x, x->shape) : copied(&dense_op, x, layout);
}

tp_tensor *tp_contiguous(tp_tensor *x)
{
    return dense_handle("contiguous", x, TP_ROW_MAJOR);
}

tp_tensor *tp_channels_last(tp_tensor *x)
{
    TP_REQUIRE_IN("channels_last", !x || x->shape.rank == 4, TP_ERR_SHAPE,
                  "%s: (N, C, H, W) is wanted", tp__text(x));
    return dense_handle("channels_last", x, TP_CHANNELS_LAST);
}

tp_tensor *tp_clone(tp_tensor *x)
{
    if (!tp__check("clone", TP_LIST(x), 1)) return NULL;
    return copied(&clone_op, x, tp__layout_of(x));
}

tp_tensor *tp_detach(tp_tensor *x)
{
    return tp__check("detach", TP_LIST(x), 1) ? tp__alias(x) : NULL;
}

/* ---- flip: backwards along one axis, copied ---- */

static void flip_backward(tp_node *n)
{
    tp__give(n, X, tp_flip(tp__dy(n, 0), *(const int *)tp__attr(n)));
}

static const tp_op flip_op = { "flip", flip_backward, NULL };

tp_tensor *tp_flip(tp_tensor *x, int axis)
{
    int64_t stride[TP_MAX_AXES], last;
    tp_tensor *y, *back;
    int a;

    TP_SCOPE;
    if (!tp__check("flip", TP_LIST(x), 1) || (a = tp__axis("flip", x, axis)) < 0) return NULL;
    memcpy(stride, x->stride, sizeof stride);
    last = x->shape.n[a] ? (x->shape.n[a] - 1) * x->stride[a] : 0, stride[a] = -x->stride[a];
    back = tp__view(x, x->shape, stride, x->offset + last);
    y = tp__new_as(x->shape, (tp_dtype)x->dtype, tp__device(x), tp__layout_of(x));
    if (!back || !y || !tp__copy(y, back, false)) return NULL;
    return tp_pass(tp__record(&flip_op, TP_LIST(x), y, TP_NONE_SAVED, &a, sizeof a));
}

/* ---- cast ---- */

static void cast_backward(tp_node *n)
{
    const tp_dtype *from = tp__attr(n);

    tp__give(n, X, tp_cast(tp__dy(n, 0), *from));
}

static const tp_op cast_op = { "cast", cast_backward, NULL };

tp_tensor *tp_cast(tp_tensor *x, tp_dtype d)
{
    tp_dtype from;
    tp_tensor *y;
    tp_loop l;

    if (!tp__check("cast", TP_LIST(x), 1)) return NULL;
    TP_REQUIRE_IN("cast", (unsigned)d < TP_DTYPES, TP_ERR_DTYPE, "there is no dtype %d", (int)d);
    from = (tp_dtype)x->dtype;
    if (from == d) return tp_reshape(x, x->shape);
    if (!(y = tp__new_as(x->shape, d, tp__device(x), tp__layout_of(x)))) return NULL;
    l = tp__loop(&x->shape, TP_LIST(y, x));
    if (!TP_RUN(cast, x, &l, tp__data(x), d, tp__data(y))) return NULL;
    if (!tp__is_float(y)) return y; /* integers have no gradient */
    return tp__record(&cast_op, TP_LIST(x), y, TP_NONE_SAVED, &from, sizeof from);
}

/* ---- to another device ---- */

static void to_backward(tp_node *n)
{
    tp_device *const *from = tp__attr(n);

    tp__give(n, X, tp_to(tp__dy(n, 0), *from));
}

static const tp_op to_op = { "to", to_backward, NULL };

/* Device to device goes through the host. */
static bool carry(tp_tensor *to, tp_tensor *from)
{
    size_t bytes = to->storage->bytes;
    bool from_host = tp__device(from) == tp__cpu();
    void *host = from_host ? tp__data(from) : tp__device(to) == tp__cpu() ? tp__data(to) : NULL;
    void *between = host || !bytes ? NULL : tp__alloc(bytes);
    bool may = tp__replayable("tp_to", "nothing crosses to or from the host in it; tp_copy_ between steps");
    tp_ctx *c = may && (host || between || !bytes) ? tp__ctx(to) : NULL;
    bool ok = c != NULL;

    if (!host) host = between;
    if (ok && !from_host) ok = tp_read(from, host, bytes);
    if (ok && host != tp__data(to)) ok = tp__upload("to", c, tp__data(to), host, bytes);
    tp__release(between, bytes);
    return ok;
}

tp_tensor *tp_to(tp_tensor *x, tp_device *d)
{
    tp_device *from;
    tp_tensor *y;

    TP_SCOPE;
    if (!tp__check("to", TP_LIST(x), 1)) return NULL;
    TP_REQUIRE_IN("to", d, TP_ERR_DEVICE, "missing device");
    from = tp__device(x);
    if (from == d) return tp_pass(tp_reshape(x, x->shape));
    if (!(x = tp__rows(x))) return NULL;
    if (!(y = tp__new(x->shape, (tp_dtype)x->dtype, d)) || !carry(y, x)) return NULL;
    return tp_pass(tp__record(&to_op, TP_LIST(x), y, TP_NONE_SAVED, &from, sizeof from));
}

/* ---- concat: x_i begins at start[i] ---- */

typedef struct joints {
    int axis;
    int64_t start[];
} joints;

static void concat_backward(tp_node *n)
{
    const joints *j = tp__attr(n);

    for (int i = 0; i < tp__inputs(n); i++)
        if (tp__wants(n, i))
            tp__give(n, i, tp_slice(tp__dy(n, 0), j->axis, j->start[i], j->start[i + 1]));
}

static const tp_op concat_op = { "concat", concat_backward, NULL };

/* Do they fit along the other axes?  Then *s is what they become. */
static bool fit(tp_list xs, int a, joints *j, tp_shape *s)
{
    *s = xs.t[0]->shape;
    j->axis = a, j->start[0] = 0;
    for (int i = 0; i < xs.n; i++) {
        tp_shape other = xs.t[i]->shape;

        TP_REQUIRE_IN("concat", !__builtin_add_overflow(j->start[i], a < other.rank ? other.n[a] : 0, &j->start[i + 1]),
                      TP_ERR_SHAPE, "the %d tensors have too many elements along axis %d", xs.n, a);
        if (a < other.rank) other.n[a] = s->n[a];
        TP_REQUIRE_IN("concat", tp__same(&other, s), TP_ERR_SHAPE, "%s doesn't fit behind %s along axis %d",
                      tp__text(xs.t[i]), tp__text(xs.t[0]), a);
    }
    s->n[a] = j->start[xs.n];
    return true;
}

/* All in one dtype: PyTorch's promotion of them, as casts that are recorded. */
static bool promoted(tp_list xs, tp_tensor **same)
{
    tp_dtype d = (tp_dtype)xs.t[0]->dtype;

    for (int i = 1; i < xs.n; i++)
        d = tp_promote(d, (tp_dtype)xs.t[i]->dtype);
    for (int i = 0; i < xs.n; i++)
        if (!(same[i] = xs.t[i]->dtype == d ? xs.t[i] : tp_cast(xs.t[i], d))) return false;
    return true;
}

static tp_tensor *joined(tp_list xs, const joints *j, tp_shape s, size_t bytes)
{
    tp_tensor *y = tp__new_as(s, (tp_dtype)xs.t[0]->dtype, tp__device(xs.t[0]), tp__layout_among(xs));

    if (!y) return NULL;
    for (int i = 0; i < xs.n; i++) {
        tp_shape part = xs.t[i]->shape;
        tp_tensor *to = tp__view(y, part, y->stride, j->start[i] * y->stride[j->axis]);

        if (!to || !tp__copy(to, xs.t[i], false)) return NULL;
    }
    return tp__record(&concat_op, xs, y, TP_NONE_SAVED, j, bytes);
}

tp_tensor *tp_concat(tp_list xs, int axis)
{
    size_t bytes = sizeof(joints) + sizeof(int64_t) * (size_t)(xs.n > 0 ? xs.n + 1 : 1), lists;
    tp_tensor *y = NULL, **same;
    tp_shape s;
    joints *j;
    int a;

    TP_SCOPE;
    if (!tp__check("concat", xs, xs.n)) return NULL;
    TP_REQUIRE_IN("concat", xs.n > 0 && xs.n < 1 << 15, TP_ERR_ARG, "%d tensors", xs.n);
    if ((a = tp__axis("concat", xs.t[0], axis)) < 0) return NULL;
    lists = sizeof(tp_tensor *) * (size_t)xs.n;
    j = tp__alloc(bytes), same = tp__alloc(lists);
    if (j && same && fit(xs, a, j, &s) && promoted(xs, same)) y = joined((tp_list){ same, xs.n }, j, s, bytes);
    tp__release(j, bytes), tp__release(same, lists);
    return tp_pass(y);
}
