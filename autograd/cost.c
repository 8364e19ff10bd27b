/*
 * cost.c - a table of the ops that are products, from their shapes.  Elementwise work is left out:
 * what those ops cost is their bytes.
 */
#include "autograd/cost.h"

#include <string.h>

static double count(const tp_tensor *t)
{
    return t ? (double)tp__elements(&t->shape) : 0;
}

static double dim(const tp_tensor *t, int axis)
{
    axis = axis < 0 ? t->shape.rank + axis : axis;
    return axis >= 0 && axis < t->shape.rank ? (double)t->shape.n[axis] : 1;
}

/* A filter's elements for one place and channel of the side that has its first axis. */
static double filter(const tp_tensor *w)
{
    return dim(w, 0) > 0 ? count(w) / dim(w, 0) : 0;
}

/* x (rows, in), w (out, in) */
static double linear(const tp_list *in, const tp_list *out)
{
    return 2 * count(out->t[0]) * dim(in->t[1], -1);
}

/* Either operand may be transposed: the summed axis is what a has beside y's rows. */
static double matmul(const tp_list *in, const tp_list *out)
{
    double rows = count(out->t[0]) / (dim(out->t[0], -1) > 0 ? dim(out->t[0], -1) : 1);

    return rows > 0 ? 2 * count(out->t[0]) * (count(in->t[0]) / rows) : 0;
}

static double conv(const tp_list *in, const tp_list *out)
{
    return 2 * count(out->t[0]) * filter(in->t[1]);
}

static double conv_dx(const tp_list *in, const tp_list *out)
{
    (void)out;
    return 2 * count(in->t[0]) * filter(in->t[1]);
}

static double conv_dw(const tp_list *in, const tp_list *out)
{
    return 2 * count(in->t[1]) * filter(out->t[0]);
}

/* q (N, heads, L, E), k (N, kv heads, S, E), v (N, kv heads, S, Ev): all scores, causal or not */
static double attention(const tp_list *in, const tp_list *out)
{
    const tp_tensor *q = in->t[0];

    (void)out;
    return 2 * dim(q, 0) * dim(q, 1) * dim(q, 2) * dim(in->t[1], 2) *
           (dim(q, 3) + dim(in->t[2], 3));
}

/* x (T, N, in), w_ih (gates, in), w_hh (gates, H): the steps alone, and with the inputs' product */
enum { W_IH = 3, W_HH };
static double steps(const tp_list *in, const tp_list *out)
{
    (void)out;
    return 2 * dim(in->t[0], 0) * dim(in->t[0], 1) * count(in->t[W_HH]);
}
static double recurrent(const tp_list *in, const tp_list *out)
{
    return steps(in, out) + 2 * dim(in->t[0], 0) * dim(in->t[0], 1) * count(in->t[W_IH]);
}

typedef double flops_fn(const tp_list *in, const tp_list *out);
static const struct formula {
    const char *op;
    flops_fn *whole, *own; /* own NULL: no ops are inside */
    int products; /* the first inputs, the gradient of each of which is as large a product */
    double back;           /* or: all gradients together, in products as large */
} table[] = {
    { "linear", linear, NULL, 2, 0 },          { "matmul", matmul, NULL, 2, 0 },
    { "conv2d", conv, NULL, 2, 0 },            { "conv2d_dx", conv_dx, NULL, 2, 0 },
    { "conv2d_dw", conv_dw, NULL, 2, 0 },      { "attention", attention, NULL, 0, 2.5 },
    { "lstm", recurrent, steps, 0, 2 },        { "gru", recurrent, steps, 0, 2 },
    { "rnn", recurrent, steps, 0, 2 },
};

static const struct formula *find(const char *op)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].op, op)) return &table[i];
    return NULL;
}

static double bytes_of(tp_list l)
{
    double sum = 0;

    for (int i = 0; i < l.n; i++)
        if (l.t[i]) sum += count(l.t[i]) * (double)tp_dtype_size((tp_dtype)l.t[i]->dtype);
    return sum;
}

static tp_cost cost(const char *op, tp_list in, tp_list out, bool own)
{
    const struct formula *f = find(op);
    double flops = !f ? 0 : own && f->own ? f->own(&in, &out) : f->whole(&in, &out);

    return (tp_cost){ flops, bytes_of(in) + bytes_of(out) };
}

tp_cost tp__cost_own(const char *op, tp_list in, tp_list out)
{
    return cost(op, in, out, true);
}

tp_cost tp__cost_whole(const char *op, tp_list in, tp_list out)
{
    return cost(op, in, out, false);
}

static double gradient_bytes(const tp_slot *s)
{
    double n = (double)tp_dtype_size((tp_dtype)s->dtype);

    for (int i = 0; i < s->rank; i++)
        n *= (double)s->n[i];
    return n;
}

tp_cost tp__cost_backward(const tp_node *n)
{
    const struct formula *f = find(tp__node_name(n));
    tp_cost c = { 0, 0 };
    double products = 0;

    if (!n->note) return c;
    c.bytes = n->note->cost.bytes;
    for (int i = 0; i < n->n_in; i++) {
        if (!tp__wants(n, i)) continue;
        c.bytes += gradient_bytes(&n->in[i].node->out[n->in[i].out]);
        if (f && i < f->products) products++;
    }
    c.flops = n->note->cost.flops * (f && f->back > 0 ? f->back : products);
    return c;
}
