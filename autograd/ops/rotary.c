/*
 * rotary.c - Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding".
 *
 *   (y_a, y_b) = R(p f_i) (x_a, x_b)     f_i = base^(-2i / dims),  R a rotation
 *   dx: R(-p f_i) of dy
 */
#include "autograd/op.h"

#include <math.h>

enum { X, POSITIONS };

typedef struct rotary_attr {
    double base;
    int64_t dims, offset;
    bool halves, inverse;
} rotary_attr;

static tp_tensor *rotary(tp_tensor *x, tp_tensor *positions, rotary_attr k);

static void rotary_backward(tp_node *n)
{
    rotary_attr k = *(const rotary_attr *)tp__attr(n);

    k.inverse = !k.inverse;
    tp__give(n, X, rotary(tp__dy(n, 0), tp__saved(n, 0), k));
}

static const tp_op rotary_op = { "rotary", rotary_backward, NULL };

/* Rows outermost where they are in x. */
static tp_tensor *room_for(const tp_tensor *x)
{
    int64_t heads = tp_dim(x, 1), T = tp_dim(x, 2), D = tp_dim(x, 3),
            step[4] = { T * heads * D, D, heads * D, 1 };
    tp_tensor *y;

    if (x->stride[1] >= x->stride[2]) return tp__new_like(x, x->shape);
    y = tp__new_like(x, TP_SHAPE(tp_dim(x, 0), T, heads, D));
    return y ? tp__view(y, x->shape, step, 0) : NULL;
}

static tp_rotary_args geometry(const tp_tensor *x, const tp_tensor *positions, const tp_tensor *y,
                               rotary_attr k)
{
    tp_rotary_args g = { .N = tp_dim(x, 0),
                         .heads = tp_dim(x, 1),
                         .T = tp_dim(x, 2),
                         .D = tp_dim(x, 3),
                         .dims = k.dims,
                         .base = k.base,
                         .halves = k.halves,
                         .inverse = k.inverse,
                         .offset = k.offset,
                         .positions = tp__data(positions) };

    for (int i = 0; i < 3; i++)
        g.x[i] = x->stride[i], g.y[i] = y->stride[i];
    if (positions) g.position_step[1] = positions->stride[positions->shape.rank - 1];
    if (positions && positions->shape.rank == 2) g.position_step[0] = positions->stride[0];
    return g;
}

static tp_tensor *rotary(tp_tensor *x, tp_tensor *positions, rotary_attr k)
{
    tp_rotary_args g;
    tp_tensor *y;

    if (x && x->stride[3] != 1 && tp_dim(x, 3) > 1) x = tp__rows(x);
    if (!x || !(y = room_for(x))) return NULL;
    g = geometry(x, positions, y, k);
    if (!TP_RUN(rotary, x, &g, tp__data(x), tp__data(y))) return NULL;
    return tp__record(&rotary_op, TP_LIST(x, positions), y, TP_LIST(positions), &k, sizeof k);
}

static bool positions_fit(const tp_tensor *x, const tp_tensor *p)
{
    TP_REQUIRE_IN("rotary", !tp__is_float(p) && p->dtype != TP_BOOL, TP_ERR_DTYPE,
                  "positions must be i64, i32 or u8, not %s", tp__text(p));
    TP_REQUIRE_IN(
        "rotary",
        (p->shape.rank == 1 && tp_dim(p, 0) == tp_dim(x, 2)) ||
            (p->shape.rank == 2 && tp_dim(p, 0) == tp_dim(x, 0) && tp_dim(p, 1) == tp_dim(x, 2)),
        TP_ERR_SHAPE, "positions %s for x %s: (T) or (N, T) are wanted", tp__text(p), tp__text(x));
    return true;
}

static bool fits(const tp_tensor *x, const rotary_attr *k)
{
    TP_REQUIRE_IN("rotary", tp__is_float(x), TP_ERR_DTYPE, "not offered for %s", tp__text(x));
    TP_REQUIRE_IN("rotary", x->shape.rank == 4, TP_ERR_SHAPE, "x must be (N, heads, T, D), not %s",
                  tp__text(x));
    TP_REQUIRE_IN("rotary", k->dims >= 0 && k->dims % 2 == 0 && k->dims <= tp_dim(x, 3), TP_ERR_ARG,
                  "%lld numbers of the rows of x %s can't turn in pairs", (long long)k->dims,
                  tp__text(x));
    TP_REQUIRE_IN("rotary", k->base > 0 && isfinite(k->base), TP_ERR_ARG,
                  "base %g: a number above 0 is wanted", k->base);
    return true;
}

tp_tensor *tp_rotary(tp_tensor *x, tp_rotary_opts o)
{
    rotary_attr k = { o.base != 0 ? o.base : 10000, o.dims, o.offset, o.halves, false };

    TP_SCOPE;
    if (!tp__check("rotary", TP_LIST(x, o.positions), 1)) return NULL;
    if (!k.dims && x->shape.rank == 4) k.dims = tp_dim(x, 3);
    if (!fits(x, &k) || (o.positions && !positions_fit(x, o.positions))) return NULL;
    if (o.positions && !(o.positions = tp_cast(o.positions, TP_I64))) return NULL;
    return tp_pass(rotary(x, o.positions, k));
}
