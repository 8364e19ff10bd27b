/*
 * matmul.c - matrix products:  y = op(a) op(b),  d op(a) = dy op(b)',  d op(b) = op(a)' dy.
 */
#include "autograd/ops/matmul.h"

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

bool tp__product(tp_tensor *a, bool ta, tp_tensor *b, bool tb, tp_product *p)
{
    operand oa, ob;

    a = readable(a), b = readable(b);
    if (!a || !b) return false;
    oa = view_of(a, ta), ob = view_of(b, tb);
    p->g = (tp_gemm_args){ .batch = a->shape.rank == 3 ? a->shape.n[0] : 1, .m = oa.rows, .n = ob.cols,
                           .k = oa.cols, .lda = oa.ld, .ldb = ob.ld, .ldy = at_least(ob.cols, 1),
                           .step_a = oa.step, .step_b = ob.step, .step_y = oa.rows * ob.cols, .ta = oa.t,
                           .tb = ob.t };
    p->a = oa.p, p->b = ob.p;
    return true;
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
    tp_product p;
    tp_shape s;
    tp_place y;

    if (!tp__check("matmul", TP_LIST(a, b), 2) || !gemm_fits(a, ta, b, tb)) return NULL;
    if (!tp__product(a, ta, b, tb, &p)) return NULL;
    s = a->shape.rank == 3 ? TP_SHAPE(p.g.batch, p.g.m, p.g.n) : TP_SHAPE(p.g.m, p.g.n);
    y = tp__place(to, s, a, TP_ROW_MAJOR, TP_DENSE_ONLY);
    if (!y.t) return NULL;
    p.g.add = y.add;
    if (!TP_RUN(gemm, a, &p.g, p.a, p.b, tp__data(y.t))) return NULL;
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
