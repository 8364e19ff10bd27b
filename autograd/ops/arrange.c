/*
 * arrange.c - axes added and removed, and whole tensors side by side: made of reshape, expand,
 * split and concat, whose gradients they have.
 */
#include "autograd/op.h"

/* ---- axes of size 1 ---- */

tp_tensor *tp_squeeze(tp_tensor *x, tp_axes axes)
{
    bool gone[TP_MAX_AXES];
    tp_shape s = { 0 };

    if (!tp__check("squeeze", TP_LIST(x), 1) || !tp__axes_mask("squeeze", x, axes, gone)) return NULL;
    for (int a = 0; a < x->shape.rank; a++)
        if (!gone[a] || x->shape.n[a] != 1) s.n[s.rank++] = x->shape.n[a];
    return tp_reshape(x, s);
}

/* x's shape with a 1 before axis a; a counts from 0 to x's rank, or from the end. */
static bool with_axis(const char *where, const tp_tensor *x, int axis, int *a, tp_shape *s)
{
    int rank = x->shape.rank;

    *a = axis < 0 ? axis + rank + 1 : axis;
    TP_REQUIRE_IN(where, *a >= 0 && *a <= rank && rank < TP_MAX_AXES, TP_ERR_ARG, "%s can't have a new axis %d",
                  tp__text(x), axis);
    s->rank = rank + 1;
    for (int i = 0; i <= rank; i++)
        s->n[i] = i == *a ? 1 : x->shape.n[i - (i > *a)];
    return true;
}

tp_tensor *tp_unsqueeze(tp_tensor *x, int axis)
{
    tp_shape s = { 0 };
    int a;

    if (!tp__check("unsqueeze", TP_LIST(x), 1) || !with_axis("unsqueeze", x, axis, &a, &s)) return NULL;
    return tp_reshape(x, s);
}

tp_tensor *tp_stack(tp_list xs, int axis)
{
    size_t bytes = sizeof(tp_tensor *) * (size_t)(xs.n > 0 ? xs.n : 1);
    tp_tensor **open, *y = NULL;
    int a = 0, i;

    TP_SCOPE;
    if (!tp__check("stack", xs, xs.n)) return NULL;
    TP_REQUIRE_IN("stack", xs.n > 0 && xs.n < 1 << 15, TP_ERR_ARG, "%d tensors", xs.n);
    if (!(open = tp__alloc(bytes))) return NULL;
    for (i = 0; i < xs.n; i++) {
        tp_shape s = { 0 };

        if (!tp__same(&xs.t[i]->shape, &xs.t[0]->shape)) break;
        if (!with_axis("stack", xs.t[i], axis, &a, &s) || !(open[i] = tp_reshape(xs.t[i], s))) break;
    }
    if (i == xs.n) y = tp_concat((tp_list){ open, xs.n }, a);
    else if (tp_ok())
        tp__fail(TP_ERR_SHAPE, "stack", "%s and %s must have one shape", tp__text(xs.t[0]), tp__text(xs.t[i]));
    tp__release(open, bytes);
    return tp_pass(y);
}

bool tp_unbind(tp_tensor *x, int axis, int n, tp_tensor **out)
{
    tp_shape s = { 0 };
    int a;

    if (!tp__check("unbind", TP_LIST(x), 1) || (a = tp__axis("unbind", x, axis)) < 0) return false;
    TP_REQUIRE_IN("unbind", n == x->shape.n[a] && n > 0, TP_ERR_ARG, "room for %d along axis %d of %s", n, axis,
                  tp__text(x));
    if (!tp_split(x, a, n, out)) return false;
    for (int i = 0; i < x->shape.rank; i++)
        if (i != a) s.n[s.rank++] = x->shape.n[i];
    for (int i = 0; i < n; i++) {
        tp_tensor *piece = out[i];

        out[i] = tp_reshape(piece, s);
        tp__drop(piece);
    }
    return tp_ok();
}

tp_tensor *tp_moveaxis(tp_tensor *x, int from, int to)
{
    tp_axes order = { 0 };

    if (!tp__check("moveaxis", TP_LIST(x), 1)) return NULL;
    if ((from = tp__axis("moveaxis", x, from)) < 0 || (to = tp__axis("moveaxis", x, to)) < 0) return NULL;
    for (int i = 0, left = 0; i < x->shape.rank; i++) {
        if (left == from) left++;
        order.axis[order.n++] = i == to ? from : left++;
    }
    return tp_permute(x, order);
}

/* ---- copies side by side ---- */

/* x with each slice (each: every element along the axis) n times. */
static tp_tensor *repeated(tp_tensor *x, int axis, int64_t n, bool each)
{
    int64_t before = 1, size = x->shape.n[axis], after = 1;
    tp_shape wide = x->shape;

    for (int a = 0; a < wide.rank; a++)
        if (a < axis) before *= wide.n[a];
        else if (a > axis) after *= wide.n[a];
    wide.n[axis] *= n;
    x = each ? tp_reshape(x, TP_SHAPE(before * size, 1, after)) : tp_reshape(x, TP_SHAPE(before, 1, size * after));
    x = tp_expand(x, each ? TP_SHAPE(before * size, n, after) : TP_SHAPE(before, n, size * after));
    return tp_reshape(x, wide);
}

static bool can_repeat(const char *where, const tp_tensor *x, int axis, int64_t n)
{
    TP_REQUIRE_IN(where, n >= 0 && (n == 0 || tp_count(x) <= INT64_MAX / 8 / n), TP_ERR_ARG,
                  "%lld times along axis %d of %s", (long long)n, axis, tp__text(x));
    return true;
}

tp_tensor *tp_repeat(tp_tensor *x, tp_shape times)
{
    tp_shape s = { .rank = times.rank };

    TP_SCOPE;
    if (!tp__check("repeat", TP_LIST(x), 1)) return NULL;
    TP_REQUIRE_IN("repeat", times.rank >= x->shape.rank && times.rank <= TP_MAX_AXES, TP_ERR_ARG,
                  "%d numbers for %s: at least one for each axis", times.rank, tp__text(x));
    for (int a = 0; a < s.rank; a++) {
        int at = a - (s.rank - x->shape.rank);

        s.n[a] = at < 0 ? 1 : x->shape.n[at];
    }
    x = tp_reshape(x, s);
    for (int a = 0; x && a < s.rank; a++) {
        if (!can_repeat("repeat", x, a, times.n[a])) return NULL;
        if (times.n[a] != 1) x = repeated(x, a, times.n[a], false);
    }
    return tp_pass(x);
}

tp_tensor *tp_repeat_interleave(tp_tensor *x, int64_t n, int axis)
{
    int a;

    TP_SCOPE;
    if (!tp__check("repeat_interleave", TP_LIST(x), 1) || (a = tp__axis("repeat_interleave", x, axis)) < 0) return NULL;
    return can_repeat("repeat_interleave", x, axis, n) ? tp_pass(repeated(x, a, n, true)) : NULL;
}

tp_tensor *tp_roll(tp_tensor *x, int64_t shift, int axis)
{
    int64_t n;
    int a;

    TP_SCOPE;
    if (!tp__check("roll", TP_LIST(x), 1) || (a = tp__axis("roll", x, axis)) < 0) return NULL;
    n = x->shape.n[a];
    if (n) shift = (shift % n + n) % n;
    if (!n || !shift) return tp_pass(tp_reshape(x, x->shape));
    return tp_pass(tp_concat(TP_LIST(tp_slice(x, a, n - shift, n), tp_slice(x, a, 0, n - shift)), a));
}
