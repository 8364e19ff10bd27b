/*
 * pad.c - more elements around the edges, or fewer.
 *
 *   constant    y = a number around x        dx = the part of dy that x became
 *   reflect     y = x mirrored at its edges, which are not repeated      3 2 | 1 2 3 | 2 1
 *   replicate   y = the edges, repeated                                  1 1 | 1 2 3 | 3 3
 *   circular    y = x again                                              2 3 | 1 2 3 | 1 2
 *
 * The last three pick places along each axis in turn, and have the gradient of that.
 */
#include "autograd/op.h"

enum { X };

typedef struct frame {
    int64_t before[TP_MAX_AXES], after[TP_MAX_AXES]; /* negative: taken away */
} frame;

static tp_tensor *constant(tp_tensor *x, frame f, double value);

static void constant_backward(tp_node *n)
{
    frame f = *(const frame *)tp__attr(n);

    for (int a = 0; a < TP_MAX_AXES; a++)
        f.before[a] = -f.before[a], f.after[a] = -f.after[a];
    tp__give(n, X, constant(tp__dy(n, 0), f, 0));
}

static const tp_op constant_op = { "pad", constant_backward, NULL };

/* The parts of x and of y that are the same, as views. */
static bool shared_part(const tp_tensor *x, const tp_tensor *y, const frame *f, tp_tensor **from, tp_tensor **to)
{
    int64_t x_at = x->offset, y_at = y->offset;
    tp_shape s = x->shape;

    for (int a = 0; a < s.rank; a++) {
        int64_t lost = (f->before[a] < 0 ? f->before[a] : 0) + (f->after[a] < 0 ? f->after[a] : 0);

        s.n[a] = s.n[a] + lost > 0 ? s.n[a] + lost : 0;
        if (f->before[a] < 0) x_at -= f->before[a] * x->stride[a];
        else y_at += f->before[a] * y->stride[a];
    }
    if (tp__elements(&s) == 0) x_at = x->offset, y_at = y->offset;
    *from = tp__view(x, s, x->stride, x_at), *to = tp__view(y, s, y->stride, y_at);
    return *from && *to;
}

static tp_tensor *constant(tp_tensor *x, frame f, double value)
{
    tp_tensor *y, *from, *to;
    tp_shape s;
    tp_loop l;

    if (!x) return NULL;
    s = x->shape;
    for (int a = 0; a < s.rank; a++)
        s.n[a] += f.before[a] + f.after[a];
    if (!(y = tp__new_as(s, (tp_dtype)x->dtype, tp__device(x), tp__layout_of(x)))) return NULL;
    l = tp__loop(&s, TP_LIST(y));
    if (!TP_RUN(fill, y, &l, value, tp__data(y)) || !shared_part(x, y, &f, &from, &to) || !tp__copy(to, from, false))
        return NULL;
    return tp__record(&constant_op, TP_LIST(x), y, TP_NONE_SAVED, &f, sizeof f);
}

/* ---- the other modes ---- */

/* Which place of an axis of n stands at place i of the padded one, counted from x's first. */
static int64_t source(tp_pad_mode mode, int64_t i, int64_t n)
{
    int64_t period = 2 * (n - 1);

    switch (mode) {
    case TP_PAD_REFLECT:
        i = period ? (i % period + period) % period : 0;
        return i < n ? i : period - i;
    case TP_PAD_REPLICATE: return i < 0 ? 0 : i < n ? i : n - 1;
    case TP_PAD_CIRCULAR: return (i % n + n) % n;
    case TP_PAD_CONSTANT: break;
    }
    return i;
}

static tp_tensor *along(tp_tensor *x, int axis, int64_t before, int64_t after, tp_pad_mode mode)
{
    int64_t n = x->shape.n[axis], m = n + before + after;
    int64_t *place = tp__alloc(sizeof *place * (size_t)(m + 1));
    tp_tensor *index;

    if (!place) return NULL;
    for (int64_t i = 0; i < m; i++)
        place[i] = source(mode, i - before, n);
    index = tp__constant("pad", place, TP_SHAPE(m), TP_I64, tp_device_of(x));
    tp__release(place, sizeof *place * (size_t)(m + 1));
    return tp_index_select(x, axis, index);
}

/* Padding may take as much as there is: reflected without the edge, and circular, at most one turn. */
static bool mode_fits(const tp_tensor *x, int a, int64_t before, int64_t after, tp_pad_mode mode)
{
    int64_t n = x->shape.n[a], most = mode == TP_PAD_REFLECT ? n - 1 : mode == TP_PAD_CIRCULAR ? n : INT64_MAX / 4;

    TP_REQUIRE_IN("pad", n > 0 && before <= most && after <= most, TP_ERR_SHAPE,
                  "%lld and %lld around axis %d of %s: at most %lld in this mode", (long long)before,
                  (long long)after, a, tp__text(x), (long long)(n ? most : 0));
    return true;
}

static bool frame_of(const tp_tensor *x, tp_shape pads, tp_pad_opts o, frame *f)
{
    int rank = x->shape.rank;

    *f = (frame){ 0 };
    TP_REQUIRE_IN("pad", (unsigned)o.mode <= TP_PAD_CIRCULAR, TP_ERR_ARG, "there is no mode %d", (int)o.mode);
    TP_REQUIRE_IN("pad", pads.rank >= 0 && pads.rank % 2 == 0 && pads.rank / 2 <= rank && pads.rank <= TP_MAX_AXES,
                  TP_ERR_ARG, "%d numbers for %s: two for each axis, the last axis first", pads.rank, tp__text(x));
    for (int i = 0; i < pads.rank / 2; i++) {
        int a = rank - 1 - i;
        int64_t before = pads.n[2 * i], after = pads.n[2 * i + 1], limit = INT64_MAX / 4;

        TP_REQUIRE_IN("pad", before > -limit && before < limit && after > -limit && after < limit &&
                                 x->shape.n[a] + before + after >= 0, TP_ERR_SHAPE,
                      "%lld and %lld around axis %d of %s", (long long)before, (long long)after, a, tp__text(x));
        if (o.mode != TP_PAD_CONSTANT && (before || after) && !mode_fits(x, a, before, after, o.mode)) return false;
        f->before[a] = before, f->after[a] = after;
    }
    return true;
}

tp_tensor *tp_pad(tp_tensor *x, tp_shape pads, tp_pad_opts o)
{
    frame f;

    TP_SCOPE;
    if (!tp__check("pad", TP_LIST(x), 1) || !frame_of(x, pads, o, &f)) return NULL;
    if (o.mode == TP_PAD_CONSTANT) return tp_pass(constant(x, f, o.value));
    for (int a = 0; x && a < x->shape.rank; a++)
        if (f.before[a] || f.after[a]) x = along(x, a, f.before[a], f.after[a], o.mode);
    return x ? tp_pass(tp_reshape(x, x->shape)) : NULL;
}
