/*
 * matmul.c - matrix products, and the linear layer as one op.
 *
 *   gemm     y = op(a) op(b)              d op(a) = dy op(b)',  d op(b) = op(a)' dy
 *   linear   y = act(x w' + bias)         g = dy act'(y):  dx = g w,  dw = g' x,  dbias = sum of g's rows
 */
#include "autograd/op.h"

enum { A, B };

/* A matrix, or a batch of them, as a kernel reads it; transposed views are read as they lie. */
typedef struct operand {
    const void *p;
    int64_t ld, step, rows, cols; /* rows and cols of op(x) */
    bool t;
} operand;

/* x where its last two axes can be read with one leading dimension, else a dense copy. */
static tp_tensor *readable(tp_tensor *x)
{
    int r = x->shape.rank - 2, c = x->shape.rank - 1;
    int64_t rows = x->shape.n[r], cols = x->shape.n[c], sr = x->stride[r], sc = x->stride[c];

    if ((sc == 1 || cols == 1) && (sr >= cols || rows == 1)) return x;
    if ((sr == 1 || rows == 1) && (sc >= rows || cols == 1)) return x;
    return tp__rows(x);
}

static int64_t at_least(int64_t v, int64_t least)
{
    return v < least ? least : v;
}

static operand view_of(const tp_tensor *x, bool t)
{
    int r = x->shape.rank - 2, c = x->shape.rank - 1;
    int64_t rows = x->shape.n[r], cols = x->shape.n[c], sr = x->stride[r], sc = x->stride[c];
    operand o = { .p = tp__data(x), .step = r ? x->stride[0] : 0 };

    o.rows = t ? cols : rows, o.cols = t ? rows : cols;
    if ((sc == 1 || cols == 1) && (sr >= cols || rows == 1))
        o.ld = rows == 1 ? at_least(cols, 1) : at_least(sr, 1), o.t = t;
    else
        o.ld = cols == 1 ? at_least(rows, 1) : at_least(sc, 1), o.t = !t;
    return o;
}

/* ---- gemm ---- */

typedef struct gemm_attr {
    bool ta, tb;
} gemm_attr;

static void gemm_backward(tp_node *n)
{
    const gemm_attr *k = tp__attr(n);
    tp_tensor *a = tp__saved(n, A), *b = tp__saved(n, B), *dy = tp__dy(n, 0);
    tp_sink da = tp__sink(n, A), db = tp__sink(n, B);

    if (tp__wants(n, A))
        tp__give(n, A, k->ta ? tp__gemm(da, b, k->tb, dy, true) : tp__gemm(da, dy, false, b, !k->tb));
    if (tp__wants(n, B))
        tp__give(n, B, k->tb ? tp__gemm(db, dy, true, a, k->ta) : tp__gemm(db, a, !k->ta, dy, false));
}

static const tp_op gemm_op = { "matmul", gemm_backward, NULL };

static bool gemm_fits(const tp_tensor *a, bool ta, const tp_tensor *b, bool tb)
{
    int r = a->shape.rank;
    bool ok = r == b->shape.rank && (r == 2 || (r == 3 && a->shape.n[0] == b->shape.n[0])) &&
              a->shape.n[ta ? r - 2 : r - 1] == b->shape.n[tb ? r - 1 : r - 2];

    TP_REQUIRE_IN("matmul", a->dtype == b->dtype, TP_ERR_DTYPE, "%s by %s: one dtype is wanted",
                  tp__text(a), tp__text(b));
    TP_REQUIRE_IN("matmul", ok, TP_ERR_SHAPE, "%s%s by %s%s", tp__text(a), ta ? " transposed" : "",
                  tp__text(b), tb ? " transposed" : "");
    return true;
}

tp_tensor *tp__gemm(tp_sink to, tp_tensor *a, bool ta, tp_tensor *b, bool tb)
{
    gemm_attr k = { ta, tb };
    operand oa, ob;
    tp_gemm_args g;
    tp_shape s;
    tp_place y;

    if (!tp__check("matmul", TP_LIST(a, b), 2) || !gemm_fits(a, ta, b, tb)) return NULL;
    a = readable(a), b = readable(b);
    if (!a || !b) return NULL;
    oa = view_of(a, ta), ob = view_of(b, tb);
    s = a->shape.rank == 3 ? TP_SHAPE(a->shape.n[0], oa.rows, ob.cols) : TP_SHAPE(oa.rows, ob.cols);
    y = tp__place(to, s, a, TP_ROW_MAJOR, TP_DENSE_ONLY);
    if (!y.t) return NULL;
    g = (tp_gemm_args){ .batch = s.rank == 3 ? s.n[0] : 1, .m = oa.rows, .n = ob.cols, .k = oa.cols,
                        .lda = oa.ld, .ldb = ob.ld, .ldy = at_least(ob.cols, 1), .step_a = oa.step,
                        .step_b = ob.step, .step_y = oa.rows * ob.cols, .ta = oa.t, .tb = ob.t,
                        .add = y.add };
    if (!TP_RUN(gemm, a, &g, oa.p, ob.p, tp__data(y.t))) return NULL;
    return tp__record(&gemm_op, TP_LIST(a, b), y.t, TP_LIST(a, b), &k, sizeof k);
}

/* ---- matmul: PyTorch's rules for vectors and batches ---- */

/* x with its batch axes broadcast to `batch` and made one; the matrix stays. */
static tp_tensor *batched(tp_tensor *x, tp_shape batch, int64_t count)
{
    tp_shape s = batch;

    if (!x) return NULL;
    s.n[s.rank++] = tp_dim(x, -2), s.n[s.rank++] = tp_dim(x, -1);
    return tp_reshape(tp__expand(x, s), TP_SHAPE(count, tp_dim(x, -2), tp_dim(x, -1)));
}

static tp_shape batch_axes(const tp_tensor *x)
{
    tp_shape s = x->shape;

    s.rank -= 2;
    return s;
}

static tp_tensor *many(tp_tensor *a, tp_tensor *b)
{
    tp_shape ba = batch_axes(a), bb = batch_axes(b), s = tp__broadcast(&ba, &bb);
    tp_tensor *y;
    int64_t count;

    TP_REQUIRE_IN("matmul", s.rank >= 0 && s.rank + 2 <= TP_MAX_AXES && tp_dim(a, -1) == tp_dim(b, -2),
                  TP_ERR_SHAPE, "%s by %s", tp__text(a), tp__text(b));
    count = tp__elements(&s);
    if (bb.rank == 0) /* one matrix for all: the batch is more rows */
        y = tp__gemm(TP_FRESH, tp_reshape(a, TP_SHAPE(count * tp_dim(a, -2), tp_dim(a, -1))), false, b, false);
    else
        y = tp__gemm(TP_FRESH, batched(a, s, count), false, batched(b, s, count), false);
    s.n[s.rank++] = tp_dim(a, -2), s.n[s.rank++] = tp_dim(b, -1);
    return y ? tp_reshape(y, s) : NULL;
}

/* y without the axis that a vector was given. */
static tp_tensor *without(tp_tensor *y, int axis)
{
    tp_shape s;

    if (!y) return NULL;
    s = y->shape, s.rank--;
    if (axis == -2) s.n[s.rank - 1] = y->shape.n[s.rank];
    return tp_reshape(y, s);
}

tp_tensor *tp_matmul(tp_tensor *a, tp_tensor *b)
{
    bool va, vb;
    tp_tensor *y;

    TP_SCOPE;
    if (!tp__check("matmul", TP_LIST(a, b), 2)) return NULL;
    va = a->shape.rank == 1, vb = b->shape.rank == 1;
    TP_REQUIRE_IN("matmul", a->shape.rank && b->shape.rank, TP_ERR_SHAPE, "%s by %s: both need an axis",
                  tp__text(a), tp__text(b));
    a = tp__autocast(a), b = tp__autocast(b);
    if (va && a) a = tp_reshape(a, TP_SHAPE(1, tp_dim(a, 0)));
    if (vb && b) b = tp_reshape(b, TP_SHAPE(tp_dim(b, 0), 1));
    if (!a || !b) return NULL;
    y = a->shape.rank == 2 && b->shape.rank == 2 ? tp__gemm(TP_FRESH, a, false, b, false) : many(a, b);
    if (vb) y = without(y, -1);
    if (va) y = without(y, vb ? -1 : -2);
    return tp_pass(y);
}

/* ---- linear ---- */

enum { X, WEIGHT, BIAS };
enum { SAVED_PREACT = BIAS + 1, SAVED_Y };

/* What the activation was applied to: as the kernel left it, or, for a second derivative,
 * with its history. */
static tp_tensor *preact(tp_node *n, tp_tensor *w, tp_activation act)
{
    if (act != TP_GELU && act != TP_GELU_TANH) return NULL;
    if (!tp__recording()) return tp__saved_constant(n, SAVED_PREACT);
    return tp_linear(tp__saved(n, X), w, tp__saved(n, BIAS));
}

static void linear_backward(tp_node *n)
{
    const tp_activation *act = tp__attr(n);
    tp_tensor *w = tp__saved(n, WEIGHT), *g = tp__dy(n, 0);

    if (*act != TP_LINEAR)
        g = tp__activation_dx(TP_FRESH, *act, g, preact(n, w, *act), tp__saved(n, SAVED_Y));
    if (tp__wants(n, X)) tp__give(n, X, tp__gemm(tp__sink(n, X), g, false, w, false));
    if (tp__wants(n, WEIGHT))
        tp__give(n, WEIGHT, tp__gemm(tp__sink(n, WEIGHT), g, true, tp__saved(n, X), false));
    if (tp__wants(n, BIAS) && w)
        tp__give(n, BIAS, tp__sum_to(tp__sink(n, BIAS), g, TP_SHAPE(tp_dim(w, 0))));
}

static const tp_op linear_op = { "linear", linear_backward, NULL };

static bool linear_fits(tp_tensor *x, tp_tensor *w, tp_tensor *bias)
{
    TP_REQUIRE_IN("linear", w->shape.rank == 2, TP_ERR_SHAPE, "weight must be (out, in), not %s", tp__text(w));
    TP_REQUIRE_IN("linear", x->shape.rank >= 1 && tp_dim(x, -1) == tp_dim(w, 1), TP_ERR_SHAPE,
                  "x is %s, its last axis should be %lld as in weight %s", tp__text(x),
                  (long long)tp_dim(w, 1), tp__text(w));
    TP_REQUIRE_IN("linear", !bias || (bias->shape.rank == 1 && tp_dim(bias, 0) == tp_dim(w, 0)),
                  TP_ERR_SHAPE, "bias is %s, not (%lld)", tp__text(bias), (long long)tp_dim(w, 0));
    TP_REQUIRE_IN("linear", x->dtype == w->dtype && (!bias || bias->dtype == w->dtype), TP_ERR_DTYPE,
                  "x is %s, weight %s, bias %s: one dtype is wanted", tp__text(x), tp__text(w), tp__text(bias));
    return true;
}

/* The product for x (rows, in).  GELU's derivative needs its input, the others their output. */
static tp_tensor *linear_rows(tp_tensor *x, tp_tensor *w, tp_tensor *bias, tp_activation act)
{
    bool keeps = (act == TP_GELU || act == TP_GELU_TANH) && tp__will_record(TP_LIST(x, w, bias));
    tp_tensor *y, *before = NULL;
    tp_shape s = TP_SHAPE(tp_dim(x, 0), tp_dim(w, 0));
    operand ox, ow;
    tp_gemm_args g;

    x = readable(x), w = readable(w), bias = tp__rows(bias);
    if (!x || !w || !tp_ok()) return NULL;
    ox = view_of(x, false), ow = view_of(w, true);
    y = tp__new_like(x, s);
    if (keeps) before = tp__new_like(x, s);
    if (!tp_ok()) return NULL;
    g = (tp_gemm_args){ .batch = 1, .m = ox.rows, .n = ow.cols, .k = ox.cols, .lda = ox.ld, .ldb = ow.ld,
                        .ldy = at_least(ow.cols, 1), .ta = ox.t, .tb = ow.t, .activation = act,
                        .bias = tp__data(bias), .preact = tp__data(before) };
    if (!TP_RUN(gemm, x, &g, ox.p, ow.p, tp__data(y))) return NULL;
    return tp__record(&linear_op, TP_LIST(x, w, bias), y,
                      TP_LIST(x, w, bias, before, act != TP_LINEAR && !keeps ? y : NULL), &act, sizeof act);
}

tp_tensor *tp_linear_with(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_linear_opts o)
{
    tp_shape s, rows;
    tp_tensor *y;

    TP_SCOPE;
    if (!tp__check("linear", TP_LIST(x, weight, bias), 2)) return NULL;
    TP_REQUIRE_IN("linear", o.activation <= TP_SIGMOID, TP_ERR_ARG, "there is no activation %d", o.activation);
    x = tp__autocast(x), weight = tp__autocast(weight), bias = tp__autocast(bias);
    if (!tp_ok() || !linear_fits(x, weight, bias)) return NULL;
    s = x->shape, s.n[s.rank - 1] = tp_dim(weight, 0);
    if (x->shape.rank == 2) return tp_pass(linear_rows(x, weight, bias, o.activation));
    rows = x->shape, rows.rank--;
    y = tp_reshape(x, TP_SHAPE(tp__elements(&rows), tp_dim(x, -1)));
    y = y ? linear_rows(y, weight, bias, o.activation) : NULL;
    return y ? tp_pass(tp_reshape(y, s)) : NULL;
}

tp_tensor *tp_linear(tp_tensor *x, tp_tensor *weight, tp_tensor *bias)
{
    return tp_linear_with(x, weight, bias, (tp_linear_opts){ TP_LINEAR });
}
