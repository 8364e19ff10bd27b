/*
 * attention.c - Vaswani et al. 2017, "Attention is all you need".
 *
 *   s = scale q k' + masks     p = softmax(s)     z = what dropout multiplies p by     y = (p z) v
 *   dv = (p z)' dy     dp = z (dy v')     ds = p (dp - sum p dp)     dq = scale ds k     dk = scale ds' q
 *
 * Kernels go through blocks of scores and keep none (Dao et al. 2022); the backward computes them
 * again.  While a graph of the gradient is wanted, and where a mask wants a gradient, the same
 * formulas are written out in ops: heads that share keys are then one matrix, (kv heads, group L, E).
 */
#include "autograd/op.h"

#include <math.h>
#include <string.h>

enum { Q, K, V, INPUTS };
enum { SAVED_Y = INPUTS, LSE, MASK, PADDING, STATE };

typedef struct attn_attr {
    double scale, p;
    bool causal;
} attn_attr;

/* What attention works on; NULL where there is none. */
typedef struct operands {
    tp_tensor *q, *k, *v, *mask, *padding, *state;
} operands;

/* ---- written out in ops ---- */

/* Rows of all heads that share keys, one behind the other; and apart again. */
static tp_tensor *together(tp_tensor *x, const tp_tensor *k)
{
    return x ? tp_reshape(x, TP_SHAPE(tp_dim(x, 0), tp_dim(k, 1), tp_dim(x, 1) / tp_dim(k, 1) * tp_dim(x, 2), tp_dim(x, 3)))
             : NULL;
}

static tp_tensor *apart(tp_tensor *x, const tp_tensor *q)
{
    return x ? tp_reshape(x, TP_SHAPE(tp_dim(q, 0), tp_dim(q, 1), tp_dim(q, 2), tp_dim(x, 3))) : NULL;
}

/* 0 where `met` is 1, -infinity where it is 0. */
static tp_tensor *hiding(tp_tensor *met)
{
    return tp_log(met);
}

static tp_tensor *weights(const operands *x, attn_attr a)
{
    tp_dtype d = (tp_dtype)x->q->dtype;
    int64_t N = tp_dim(x->q, 0), L = tp_dim(x->q, 2), S = tp_dim(x->k, 2);
    tp_tensor *s = apart(tp_matmul(together(x->q, x->k), tp_transpose(x->k, 2, 3)), x->q);

    s = tp_scale(s, a.scale);
    if (x->mask) s = tp_add(s, x->mask->dtype == TP_BOOL ? hiding(tp_cast(x->mask, d)) : x->mask);
    if (x->padding)
        s = tp_add(s, hiding(tp_affine(tp_cast(tp_reshape(x->padding, TP_SHAPE(N, 1, 1, S)), d), -1, 1)));
    if (a.causal) s = tp_add(s, hiding(tp_tril(tp_ones(TP_SHAPE(L, S), d, tp__device(x->q)), 0)));
    return tp__softmax(s, 3, TP_SOFTMAX_MASKED);
}

static tp_tensor *dropped(tp_tensor *p, const operands *x, attn_attr a)
{
    return x->state ? tp__dropout(TP_FRESH, p, x->state, a.p) : p;
}

static tp_tensor *in_ops(const operands *x, attn_attr a)
{
    tp_tensor *p = dropped(weights(x, a), x, a);

    return apart(tp_matmul(together(p, x->k), x->v), x->q);
}

static void backward_in_ops(tp_node *n, const operands *x, attn_attr a, tp_tensor *dy)
{
    tp_tensor *p = weights(x, a), *pz = dropped(p, x, a), *dp, *ds;

    dy = together(dy, x->k);
    if (tp__wants(n, V)) tp__give(n, V, tp_matmul(tp_transpose(together(pz, x->k), 2, 3), dy));
    dp = dropped(apart(tp_matmul(dy, tp_transpose(x->v, 2, 3)), x->q), x, a);
    ds = together(tp_scale(tp__softmax_dx(TP_FRESH, dp, p, 3, TP_SOFTMAX_MASKED), a.scale), x->k);
    if (tp__wants(n, Q)) tp__give(n, Q, apart(tp_matmul(ds, x->k), x->q));
    if (tp__wants(n, K)) tp__give(n, K, tp_matmul(tp_transpose(ds, 2, 3), together(x->q, x->k)));
}

/* ---- by kernels ---- */

static void strides_of(const tp_tensor *x, int64_t to[3])
{
    for (int i = 0; x && i < 3; i++)
        to[i] = x->stride[i];
}

static tp_attention_args geometry(const operands *x, const tp_tensor *y, attn_attr a)
{
    tp_attention_args g = { .N = tp_dim(x->q, 0), .heads = tp_dim(x->q, 1), .kv_heads = tp_dim(x->k, 1),
                            .L = tp_dim(x->q, 2), .S = tp_dim(x->k, 2), .E = tp_dim(x->q, 3), .Ev = tp_dim(x->v, 3),
                            .scale = a.scale, .p = a.p, .causal = a.causal };
    tp_shape scores = TP_SHAPE(g.N, g.heads, g.L, g.S);
    int64_t step[TP_MAX_AXES] = { 0 };

    strides_of(x->q, g.q), strides_of(x->k, g.k), strides_of(x->v, g.v), strides_of(y, g.y);
    if (x->mask) {
        bool allows = x->mask->dtype == TP_BOOL;

        tp__expanded(x->mask, &scores, step);
        memcpy(allows ? g.allowed_step : g.bias_step, step, sizeof g.bias_step);
        *(allows ? &g.allowed : &g.bias) = tp__data(x->mask);
    }
    if (x->padding) {
        g.padding = tp__data(x->padding);
        g.padding_step[0] = x->padding->stride[0], g.padding_step[1] = x->padding->stride[1];
    }
    g.state = tp__data(x->state);
    return g;
}

/* x itself if the numbers of a row lie side by side. */
static tp_tensor *readable(tp_tensor *x)
{
    return x && x->stride[3] != 1 && tp_dim(x, 3) > 1 ? tp__rows(x) : x;
}

static tp_tensor *room_for(tp_node *n, int i, const tp_tensor *x, int64_t step[3])
{
    tp_tensor *t = tp__wants(n, i) ? tp__new_like(x, x->shape) : NULL;

    strides_of(t, step);
    return t;
}

static void attention_backward(tp_node *n)
{
    attn_attr a = *(const attn_attr *)tp__attr(n);
    operands x = { tp__saved(n, Q), tp__saved(n, K), tp__saved(n, V), tp__saved_constant(n, MASK),
                   tp__saved_constant(n, PADDING), tp__saved_constant(n, STATE) };
    tp_tensor *dy = tp__dy(n, 0), *y, *lse, *dq, *dk, *dv;
    tp_attention_args g;

    if (!x.q || !x.k || !x.v || !dy) return;
    if (tp__recording()) {
        backward_in_ops(n, &x, a, dy);
        return;
    }
    y = tp__saved(n, SAVED_Y), lse = tp__saved_constant(n, LSE), dy = readable(dy);
    if (!y || !lse || !dy) return;
    g = geometry(&x, y, a), strides_of(dy, g.dy);
    dq = room_for(n, Q, x.q, g.dq), dk = room_for(n, K, x.k, g.dk), dv = room_for(n, V, x.v, g.dv);
    if (!tp_ok() || !TP_RUN(attention_dx, x.q, &g, tp__data(x.q), tp__data(x.k), tp__data(x.v), tp__data(y),
                            tp__data(lse), tp__data(dy), tp__data(dq), tp__data(dk), tp__data(dv)))
        return;
    tp__give(n, Q, dq), tp__give(n, K, dk), tp__give(n, V, dv);
}

static const tp_op attention_op = { "attention", attention_backward, NULL };

/* Rows outermost where they are in q: what a projection of all heads wants to read. */
static tp_tensor *room_for_y(const tp_tensor *q, int64_t Ev)
{
    int64_t N = tp_dim(q, 0), heads = tp_dim(q, 1), L = tp_dim(q, 2), step[4] = { L * heads * Ev, Ev, heads * Ev, 1 };
    tp_tensor *y;

    if (q->stride[1] >= q->stride[2]) return tp__new_like(q, TP_SHAPE(N, heads, L, Ev));
    y = tp__new_like(q, TP_SHAPE(N, L, heads, Ev));
    return y ? tp__view(y, TP_SHAPE(N, heads, L, Ev), step, 0) : NULL;
}

static tp_tensor *by_kernel(const operands *x, attn_attr a)
{
    tp_dtype wide = x->q->dtype == TP_F64 ? TP_F64 : TP_F32;
    tp_tensor *y = room_for_y(x->q, tp_dim(x->v, 3));
    tp_tensor *lse = tp__new(TP_SHAPE(tp_dim(x->q, 0), tp_dim(x->q, 1), tp_dim(x->q, 2)), wide, tp__device(x->q));
    tp_attention_args g;

    if (!y || !lse) return NULL;
    g = geometry(x, y, a);
    if (!TP_RUN(attention, x->q, &g, tp__data(x->q), tp__data(x->k), tp__data(x->v), tp__data(y), tp__data(lse)))
        return NULL;
    return tp__record(&attention_op, TP_LIST(x->q, x->k, x->v), y,
                      TP_LIST(x->q, x->k, x->v, y, lse, x->mask, x->padding, x->state), &a, sizeof a);
}

/* ---- the public op ---- */

static bool masks_fit(const operands *x)
{
    int64_t N = tp_dim(x->q, 0), S = tp_dim(x->k, 2), step[TP_MAX_AXES];
    tp_shape scores = TP_SHAPE(N, tp_dim(x->q, 1), tp_dim(x->q, 2), S);
    const tp_tensor *m = x->mask, *p = x->padding;

    TP_REQUIRE_IN("attention", !m || m->dtype == TP_BOOL || tp__is_float(m), TP_ERR_DTYPE,
                  "the mask is %s, not bool or a float", tp__text(m));
    TP_REQUIRE_IN("attention", !m || tp__expanded(m, &scores, step), TP_ERR_SHAPE,
                  "a mask %s doesn't broadcast to scores %s", tp__text(m), tp__shape_text(scores));
    TP_REQUIRE_IN("attention", !p || p->dtype == TP_BOOL, TP_ERR_DTYPE, "the key padding mask is %s, not bool",
                  tp__text(p));
    TP_REQUIRE_IN("attention", !p || (p->shape.rank == 2 && tp_dim(p, 0) == N && tp_dim(p, 1) == S), TP_ERR_SHAPE,
                  "the key padding mask is %s, not (%lld, %lld)", tp__text(p), (long long)N, (long long)S);
    return true;
}

static bool fits(const operands *x)
{
    const tp_tensor *q = x->q, *k = x->k, *v = x->v;

    TP_REQUIRE_IN("attention", q->shape.rank == 4 && k->shape.rank == 4 && v->shape.rank == 4 &&
                  tp_dim(k, 0) == tp_dim(q, 0) && tp_dim(v, 0) == tp_dim(q, 0) && tp_dim(v, 1) == tp_dim(k, 1) &&
                  tp_dim(v, 2) == tp_dim(k, 2) && tp_dim(k, 3) == tp_dim(q, 3), TP_ERR_SHAPE,
                  "q %s, k %s, v %s: (N, heads, L, E), (N, kv heads, S, E), (N, kv heads, S, Ev) are wanted",
                  tp__text(q), tp__text(k), tp__text(v));
    TP_REQUIRE_IN("attention", tp_dim(k, 1) > 0 && tp_dim(q, 1) % tp_dim(k, 1) == 0, TP_ERR_SHAPE,
                  "the heads of k %s don't divide those of q %s", tp__text(k), tp__text(q));
    TP_REQUIRE_IN("attention", tp__is_float(q) && q->dtype == k->dtype && q->dtype == v->dtype, TP_ERR_DTYPE,
                  "q %s, k %s, v %s: floats of one dtype are wanted", tp__text(q), tp__text(k), tp__text(v));
    return masks_fit(x);
}

static tp_tensor *attention(operands *x, const tp_attention_opts *o)
{
    attn_attr a = { o->scale, o->dropout, o->causal };
    bool slope = x->mask && x->mask->dtype != TP_BOOL && tp__will_record(TP_LIST(x->mask));

    if (a.scale == 0) a.scale = 1 / sqrt((double)tp_dim(x->q, 3));
    x->q = readable(x->q), x->k = readable(x->k), x->v = readable(x->v);
    if (x->mask && x->mask->dtype != TP_BOOL) x->mask = tp_cast(x->mask, (tp_dtype)x->q->dtype);
    if (a.p > 0)
        x->state = tp__draw_state(tp__device(x->q), tp_dim(x->q, 0) * tp_dim(x->q, 1) * tp_dim(x->q, 2) * tp_dim(x->k, 2));
    if (!tp_ok()) return NULL;
    return slope ? in_ops(x, a) : by_kernel(x, a);
}

tp_tensor *tp_attention(tp_tensor *q, tp_tensor *k, tp_tensor *v, tp_attention_opts o)
{
    operands x = { q, k, v, o.mask, o.key_padding_mask, NULL };
    tp_rng before = tp_rng_save();
    tp_tensor *y;

    TP_SCOPE;
    if (!tp__check("attention", TP_LIST(q, k, v, o.mask, o.key_padding_mask), 3)) return NULL;
    x.q = tp__autocast(q), x.k = tp__autocast(k), x.v = tp__autocast(v);
    TP_REQUIRE_IN("attention", o.dropout >= 0 && o.dropout <= 1, TP_ERR_ARG, "dropout is %g: a probability is wanted",
                  o.dropout);
    if (!tp_ok() || !fits(&x)) return NULL;
    y = attention(&x, &o);
    if (!y) tp__me()->rng = before; /* a failed op consumes no random numbers */
    return tp_pass(y);
}
