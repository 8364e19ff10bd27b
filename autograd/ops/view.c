/*
 * view.c - other looks at the same bytes.
 *
 *   reshape   dx = reshape of dy                              (given: no copy)
 *   permute   dx = permute of dy, the other way
 *   slice     dx = 0 but dy in the slice                      (written into x's gradient)
 *   split     one node, n slices; those nobody used are zero
 */
#include "autograd/op.h"

#include <string.h>

enum { X };

/* ---- reshape ---- */

/* Strides for the same elements as `to`: axes of `from` that lie evenly are one run, and every
 * run must be cut into whole axes of `to`. */
static bool reshaped(const tp_shape *from, const int64_t *stride, const tp_shape *to, int64_t *out)
{
    int j = to->rank - 1;
    int64_t run = 1, cut = 1, inner;

    if (tp__same(from, to)) return memcpy(out, stride, sizeof *out * (size_t)to->rank), true;
    if (tp__elements(from) == 0) return tp__strides(to, TP_ROW_MAJOR, out), true;
    inner = from->rank ? stride[from->rank - 1] : 1;
    for (int i = from->rank - 1; i >= 0; i--) {
        run *= from->n[i];
        if (i > 0 && (from->n[i - 1] == 1 || stride[i - 1] == run * inner)) continue;
        for (; j >= 0 && (cut < run || to->n[j] == 1); j--)
            out[j] = cut * inner, cut *= to->n[j];
        if (cut != run) return false;
        if (i > 0) inner = stride[i - 1], run = cut = 1;
    }
    for (; j >= 0; j--)
        out[j] = 1; /* only ones are left */
    return true;
}

static void reshape_backward(tp_node *n)
{
    tp__give(n, X, tp_reshape(tp__dy(n, 0), tp__in_shape(n, X)));
}

static bool reshape_view(const tp_node *n, int k, const tp_shape *base, const int64_t *stride,
                         tp_look *look)
{
    const tp_shape *to = tp__attr(n);

    (void)k;
    look->offset = 0;
    return reshaped(base, stride, to, look->stride);
}

static const tp_op reshape_op = { "reshape", reshape_backward, reshape_view };

/* -1 becomes what is left. */
static bool complete(const tp_tensor *x, tp_shape *s)
{
    int64_t known;
    tp_shape asked = *s;
    int open = -1;

    TP_REQUIRE_IN("reshape", s->rank >= 0 && s->rank <= TP_MAX_AXES, TP_ERR_SHAPE, "%d axes: 0 to %d",
                  s->rank, TP_MAX_AXES);
    for (int i = 0; i < s->rank; i++) {
        TP_REQUIRE_IN("reshape", s->n[i] >= 0 || (s->n[i] == -1 && open < 0), TP_ERR_SHAPE,
                      "%s: one size may be -1, none below", tp__shape_text(*s));
        if (s->n[i] < 0) open = i;
    }
    if (open >= 0) s->n[open] = 1;
    if (!tp__shape_ok("reshape", *s)) return false;
    known = tp__elements(s);
    if (open >= 0 && known) s->n[open] = tp_count(x) / known;
    TP_REQUIRE_IN("reshape", (open < 0 || known) && tp__elements(s) == tp_count(x), TP_ERR_SHAPE,
                  "%s can't become %s", tp__text(x), tp__shape_text(asked));
    return true;
}

tp_tensor *tp_reshape(tp_tensor *x, tp_shape s)
{
    int64_t stride[TP_MAX_AXES];

    if (!tp__check("reshape", TP_LIST(x), 1) || !complete(x, &s)) return NULL;
    if (!reshaped(&x->shape, x->stride, &s, stride)) {
        if (!(x = tp__rows(x))) return NULL;
        tp__strides(&s, TP_ROW_MAJOR, stride);
    }
    return tp__record(&reshape_op, TP_LIST(x), tp__view(x, s, stride, x->offset), TP_NONE_SAVED, &s,
                      sizeof s);
}

tp_tensor *tp_flatten(tp_tensor *x, int from)
{
    tp_shape s;
    int a;

    TP_SCOPE;
    if (!tp__check("flatten", TP_LIST(x), 1)) return NULL;
    if (x->shape.rank == 0) return tp_pass(tp_reshape(x, TP_SHAPE(1)));
    if ((a = tp__axis("flatten", x, from)) < 0) return NULL;
    s = x->shape, s.rank = a + 1;
    for (int i = a + 1; i < x->shape.rank; i++)
        s.n[a] *= x->shape.n[i];
    return tp_pass(tp_reshape(tp__rows(x), s));
}

/* ---- permute ---- */

static bool permute_view(const tp_node *n, int k, const tp_shape *base, const int64_t *stride, tp_look *look)
{
    const tp_axes *order = tp__attr(n);

    (void)k, (void)base;
    look->offset = 0;
    for (int i = 0; i < order->n; i++)
        look->stride[i] = stride[order->axis[i]];
    return true;
}

static void permute_backward(tp_node *n)
{
    const tp_axes *order = tp__attr(n);
    tp_axes back = { .n = order->n };

    for (int i = 0; i < order->n; i++)
        back.axis[order->axis[i]] = i;
    tp__give(n, X, tp_permute(tp__dy(n, 0), back));
}

static const tp_op permute_op = { "permute", permute_backward, permute_view };

tp_tensor *tp_permute(tp_tensor *x, tp_axes order)
{
    bool seen[TP_MAX_AXES];
    int64_t stride[TP_MAX_AXES];
    tp_shape s = { 0 };

    if (!tp__check("permute", TP_LIST(x), 1)) return NULL;
    TP_REQUIRE_IN("permute", order.n == x->shape.rank, TP_ERR_ARG, "%d axes for %s", order.n, tp__text(x));
    if (order.n && !tp__axes_mask("permute", x, order, seen)) return NULL;
    s.rank = order.n;
    for (int i = 0; i < order.n; i++) {
        order.axis[i] = tp__axis("permute", x, order.axis[i]);
        s.n[i] = x->shape.n[order.axis[i]], stride[i] = x->stride[order.axis[i]];
    }
    return tp__record(&permute_op, TP_LIST(x), tp__view(x, s, stride, x->offset), TP_NONE_SAVED, &order,
                      sizeof order);
}

tp_tensor *tp_transpose(tp_tensor *x, int a, int b)
{
    tp_axes order = { 0 };

    if (!tp__check("transpose", TP_LIST(x), 1)) return NULL;
    if ((a = tp__axis("transpose", x, a)) < 0 || (b = tp__axis("transpose", x, b)) < 0) return NULL;
    order.n = x->shape.rank;
    for (int i = 0; i < order.n; i++)
        order.axis[i] = i == a ? b : i == b ? a : i;
    return tp_permute(x, order);
}

/* ---- slice and split: piece k begins at start[k] ---- */

enum { MOST_PARTS = (1 << 15) - 1 };

typedef struct pieces {
    int axis;
    int64_t step; /* between elements of a piece */
    tp_shape whole;
    int64_t start[]; /* one more than there are pieces */
} pieces;

static tp_tensor *look_at(const tp_tensor *x, int axis, int64_t from, int64_t to, int64_t step)
{
    int64_t stride[TP_MAX_AXES];
    tp_shape s = x->shape;

    memcpy(stride, x->stride, sizeof stride);
    s.n[axis] = to > from ? (to - from - 1) / step + 1 : 0, stride[axis] *= s.n[axis] > 1 ? step : 1;
    return tp__view(x, s, stride, x->offset + from * x->stride[axis]);
}

static bool piece_view(const tp_node *n, int k, const tp_shape *base, const int64_t *stride, tp_look *look)
{
    const pieces *c = tp__attr(n);

    memcpy(look->stride, stride, sizeof *stride * (size_t)base->rank);
    look->offset = c->start[k] * stride[c->axis];
    look->stride[c->axis] *= c->step;
    return true;
}

typedef struct hole {
    int axis;
    int64_t from, to, step;
} hole;

static void unslice_backward(tp_node *n)
{
    const hole *h = tp__attr(n);

    tp__give(n, X, tp_slice_step(tp__dy(n, 0), h->axis, h->from, h->to, h->step));
}

static const tp_op unslice_op = { "unslice", unslice_backward, NULL };

/* Zeros of the whole's shape but dy in one piece. */
static tp_tensor *unslice(tp_sink to, tp_tensor *dy, tp_shape whole, hole h)
{
    tp_place dx = tp__place(to, whole, dy, tp__layout_of(dy), TP_ANY_STRIDES);
    tp_tensor *part;
    tp_loop l;

    if (!dx.t) return NULL;
    l = tp__loop(&whole, TP_LIST(dx.t));
    if (!dx.add && !TP_RUN(fill, dx.t, &l, 0, tp__data(dx.t))) return NULL;
    if (!(part = look_at(dx.t, h.axis, h.from, h.to, h.step)) || !tp__copy(part, dy, true)) return NULL;
    return tp__record(&unslice_op, TP_LIST(dy), dx.t, TP_NONE_SAVED, &h, sizeof h);
}

static void pieces_backward(tp_node *n)
{
    const pieces *c = tp__attr(n);

    for (int k = 0; k < tp__outputs(n); k++) {
        hole h = { c->axis, c->start[k], c->start[k + 1], c->step };

        if (tp__dy(n, k) && tp__wants(n, X)) tp__give(n, X, unslice(tp__sink(n, X), tp__dy(n, k), c->whole, h));
    }
}

static const tp_op slice_op = { "slice", pieces_backward, piece_view };
static const tp_op split_op = { "split", pieces_backward, piece_view };

tp_tensor *tp_slice(tp_tensor *x, int axis, int64_t from, int64_t to)
{
    return tp_slice_step(x, axis, from, to, 1);
}

tp_tensor *tp_slice_step(tp_tensor *x, int axis, int64_t from, int64_t to, int64_t step)
{
    union {
        pieces c;
        char room[sizeof(pieces) + 2 * sizeof(int64_t)];
    } at;
    int64_t size;
    int a;

    if (!tp__check("slice", TP_LIST(x), 1) || (a = tp__axis("slice", x, axis)) < 0) return NULL;
    size = x->shape.n[a];
    from = from < 0 ? from + size : from, to = to < 0 ? to + size : to;
    TP_REQUIRE_IN("slice", from >= 0 && from <= to && to <= size && step > 0, TP_ERR_ARG,
                  "%lld..%lld by %lld of axis %d of %s", (long long)from, (long long)to, (long long)step, axis,
                  tp__text(x));
    memset(&at, 0, sizeof at); /* padding too: the node keeps its bytes */
    at.c.axis = a, at.c.step = step, at.c.whole = x->shape, at.c.start[0] = from, at.c.start[1] = to;
    return tp__record(&slice_op, TP_LIST(x), look_at(x, a, from, to, step), TP_NONE_SAVED, &at, sizeof at);
}

static bool cut(tp_tensor *x, pieces *c, int n, size_t bytes, tp_tensor **out)
{
    for (int k = 0; k < n; k++)
        if (!(out[k] = look_at(x, c->axis, c->start[k], c->start[k + 1], 1))) return false;
    return tp__record_all(&split_op, TP_LIST(x), (tp_list){ out, n }, TP_NONE_SAVED, c, bytes);
}

static bool sizes_fit(const tp_tensor *x, int a, const int64_t *sizes, int n)
{
    int64_t sum = 0;

    for (int k = 0; k < n; k++) {
        TP_REQUIRE_IN("split", sizes[k] >= 0 && !__builtin_add_overflow(sum, sizes[k], &sum), TP_ERR_ARG,
                      "size %lld of part %d", (long long)sizes[k], k);
    }
    TP_REQUIRE_IN("split", sum == x->shape.n[a], TP_ERR_ARG, "parts of %lld for axis %d of %s",
                  (long long)sum, a, tp__text(x));
    return true;
}

bool tp_split_sizes(tp_tensor *x, int axis, const int64_t *sizes, int n, tp_tensor **out)
{
    size_t bytes = sizeof(pieces) + sizeof(int64_t) * ((size_t)(n > 0 ? n : 0) + 1);
    pieces *c;
    bool ok;
    int a;

    if (out && n > 0 && n <= MOST_PARTS) memset(out, 0, sizeof *out * (size_t)n);
    if (!tp__check("split", TP_LIST(x), 1) || (a = tp__axis("split", x, axis)) < 0) return false;
    TP_REQUIRE_IN("split", out && sizes && n > 0 && n <= MOST_PARTS, TP_ERR_ARG, "%d parts: 1 to %d", n, MOST_PARTS);
    if (!sizes_fit(x, a, sizes, n) || !(c = tp__alloc(bytes))) return false;
    c->axis = a, c->step = 1, c->whole = x->shape, c->start[0] = 0;
    for (int k = 0; k < n; k++)
        c->start[k + 1] = c->start[k] + sizes[k];
    ok = cut(x, c, n, bytes, out);
    tp__release(c, bytes);
    if (!ok) memset(out, 0, sizeof *out * (size_t)n);
    return ok;
}

bool tp_split(tp_tensor *x, int axis, int n, tp_tensor **out)
{
    size_t bytes = sizeof(int64_t) * (size_t)(n > 0 ? n : 1);
    int64_t *sizes;
    bool ok;
    int a;

    if (out && n > 0 && n <= MOST_PARTS) memset(out, 0, sizeof *out * (size_t)n);
    if (!tp__check("split", TP_LIST(x), 1) || (a = tp__axis("split", x, axis)) < 0) return false;
    TP_REQUIRE_IN("split", n > 0 && n <= MOST_PARTS && x->shape.n[a] % n == 0, TP_ERR_ARG, "%d equal parts of axis %d of %s", n,
                  axis, tp__text(x));
    if (!(sizes = tp__alloc(bytes))) return false;
    for (int k = 0; k < n; k++)
        sizes[k] = x->shape.n[a] / n;
    ok = tp_split_sizes(x, a, sizes, n, out);
    tp__release(sizes, bytes);
    return ok;
}
