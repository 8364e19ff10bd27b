/*
 * grads_of.c - gradients as values: of chosen tensors, leaving every .grad alone.
 */
#include "autograd/pass.h"

#include <string.h>

/* What was in a slot before it was asked for. */
typedef struct before {
    tp_tensor *grad;
    bool own, asked;
} before;

static tp_slot *slot_of(const tp_tensor *x)
{
    return &((tp_node *)x->node)->out[x->out];
}

static void ask(tp_list xs, before *b)
{
    for (int i = 0; i < xs.n; i++) {
        tp_slot *s = slot_of(xs.t[i]);

        b[i] = (before){ s->grad, s->own, s->asked };
        s->grad = NULL, s->own = false, s->asked = true;
    }
}

/* The gradient with its graph, as a lent handle. */
static tp_tensor *result(const tp_slot *s)
{
    tp_tensor *g = tp__alias(s->grad);

    if (g && s->grad->node) tp__attach(g, (tp_node *)s->grad->node, s->grad->out);
    return g;
}

static bool collect(tp_list xs, tp_tensor **out, bool allow_unused)
{
    for (int i = 0; i < xs.n; i++) {
        const tp_slot *s = slot_of(xs.t[i]);

        TP_REQUIRE_IN("tp_grads_of", s->grad || allow_unused, TP_ERR_ARG,
                      "input %d was not used: allow_unused gives NULL for it", i);
        if (s->grad && !(out[i] = result(s))) return false;
    }
    return true;
}

static void put_back(tp_list xs, const before *b)
{
    for (int i = xs.n - 1; i >= 0; i--) { /* the same x twice: the first holds what was there */
        tp_slot *s = slot_of(xs.t[i]);

        tp__slot_forget(s);
        s->grad = b[i].grad, s->own = b[i].own, s->asked = b[i].asked;
    }
}

bool tp_grads_of(tp_list ys, tp_list xs, tp_tensor **out, tp_grad_opts o)
{
    size_t bytes = sizeof(before) * (size_t)(xs.n > 0 ? xs.n : 0);
    before *b;
    bool ok;

    if (out && xs.n > 0) memset(out, 0, sizeof *out * (size_t)xs.n);
    if (!tp__roots_ok(__func__, ys) || !tp__check(__func__, xs, xs.n)) return false;
    TP_REQUIRE(out && ys.n > 0, TP_ERR_ARG, "no roots, or no room for the gradients");
    for (int i = 0; i < xs.n; i++)
        TP_REQUIRE(xs.t[i]->node, TP_ERR_ARG, "input %d doesn't require a gradient", i);
    if (!(b = tp__alloc(bytes))) return false;
    ask(xs, b);
    ok = tp__pass_run(ys, o, false) && collect(xs, out, o.allow_unused);
    put_back(xs, b);
    tp__release(b, bytes);
    if (!ok) memset(out, 0, sizeof *out * (size_t)xs.n);
    return ok;
}

tp_tensor *tp_grad_of(tp_tensor *y, tp_tensor *x, tp_grad_opts o)
{
    tp_tensor *g = NULL;

    return tp_grads_of(TP_LIST(y), TP_LIST(x), &g, o) ? g : NULL;
}
