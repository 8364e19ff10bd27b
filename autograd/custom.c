/*
 * custom.c - ops written by users: two functions and a name.
 *
 * The op that is recorded is `custom`; its attributes are the user's op and options.
 */
#include "autograd/node.h"

#include <string.h>

enum { MOST = 32 };

typedef struct attributes {
    tp_op op; /* first: the node's own op, with the user's name */
    const tp_user_op *user;
    int n_saved;
} attributes;

static const void *options(const attributes *a)
{
    return a + 1;
}

/* Saved are the inputs, the outputs and then what forward chose. */
static void custom_backward(tp_node *n)
{
    const attributes *a = tp__attr(n);
    tp_tensor *in[MOST], *dx[MOST] = { NULL }, *dy[TP_CALL_SAVED] = { NULL };
    tp_call c = { .in = { in, n->n_in }, .n_out = n->n_out, .opts = options(a) };

    for (int i = 0; i < n->n_in; i++)
        in[i] = tp__saved(n, i);
    for (int k = 0; k < n->n_out; k++)
        c.out[k] = tp__saved(n, n->n_in + k), dy[k] = tp__dy(n, k);
    for (int i = 0; i < a->n_saved; i++)
        c.saved[i] = tp__saved(n, n->n_in + n->n_out + i);
    if (!tp_ok()) return;
    if (!a->user->backward(&c, dy, dx) && tp_ok())
        tp__fail(TP_ERR_USER, a->user->name, "its backward failed without an error");
    for (int i = 0; i < n->n_in; i++)
        if (dx[i]) tp__give(n, i, dx[i]);
}

static int saved_list(const tp_call *c, tp_list in, tp_tensor **all)
{
    int n = 0;

    for (int i = 0; i < in.n; i++)
        all[n++] = in.t[i];
    for (int k = 0; k < c->n_out; k++)
        all[n++] = c->out[k];
    for (int i = 0; i < TP_CALL_SAVED && c->saved[i]; i++)
        all[n++] = c->saved[i];
    return n;
}

static bool run_forward(const tp_user_op *op, tp_call *c)
{
    TP_NO_GRAD;

    if (!op->forward(c) && tp_ok()) tp__fail(TP_ERR_USER, op->name, "its forward failed without an error");
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(op->name, c->n_out >= 1 && c->n_out <= TP_CALL_SAVED, TP_ERR_ARG, "%d outputs", c->n_out);
    for (int k = 0; k < c->n_out; k++) {
        TP_REQUIRE_IN(op->name, c->out[k], TP_ERR_ARG, "its forward gave no output %d", k);
        c->out[k] = tp__alias(c->out[k]); /* never an input itself, never with a history */
    }
    return tp_ok();
}

static int apply(const tp_user_op *op, tp_list in, const void *opts, size_t opts_bytes,
                 tp_tensor **out, int room)
{
    tp_tensor *all[MOST + 2 * TP_CALL_SAVED];
    size_t bytes = sizeof(attributes) + opts_bytes;
    tp_call c = { .in = in, .n_out = 1, .opts = opts };
    attributes *a;
    int n;

    TP_SCOPE;
    if (!tp__check(op && op->name ? op->name : "tp_apply_all", in, 0)) return -1;
    if (!op || !op->name || !op->forward || !op->backward || in.n > MOST)
        return tp__fail(TP_ERR_ARG, "tp_apply_all",
                        "an op has a name, forward, backward and at most %d inputs", MOST),
               -1;
    if ((opts_bytes && !opts) || (room > 0 && !out))
        return tp__fail(TP_ERR_ARG, op->name, "missing options, or no room for outputs"), -1;
    if (!run_forward(op, &c) || !(a = tp__alloc(bytes))) return -1;
    *a = (attributes){ .op = { op->name, custom_backward, NULL }, .user = op };
    if (opts_bytes) memcpy(a + 1, opts, opts_bytes);
    n = saved_list(&c, in, all);
    a->n_saved = n - in.n - c.n_out;
    if (tp__record_all(&a->op, in, (tp_list){ c.out, c.n_out }, (tp_list){ all, n }, a, bytes))
        for (int k = 0; k < c.n_out; k++) { /* the node's copy of the op lives as long as it */
            tp_node *node = (tp_node *)c.out[k]->node;

            if (node) node->op = &((attributes *)node->attr)->op;
        }
    tp__release(a, bytes);
    for (int k = 0; tp_ok() && k < c.n_out && k < room; k++)
        out[k] = tp_pass(c.out[k]);
    return tp_ok() ? c.n_out : -1;
}

int tp_apply_all(const tp_user_op *op, tp_list in, const void *opts, size_t opts_bytes,
                 tp_tensor **out, int room)
{
    const char *name = op ? op->name : NULL;
    tp_probe *p = name ? tp__me()->probe : NULL;
    int entered = tp__probe_enter(p, TP_PROBE_OP, name, (tp_cost){ 0, 0 });
    int n = apply(op, in, opts, opts_bytes, out, room);

    if (p == tp__me()->probe) tp__probe_leave(p, entered);
    return n;
}

tp_tensor *tp_apply(const tp_user_op *op, tp_list in, const void *opts, size_t opts_bytes)
{
    tp_tensor *y = NULL;

    return tp_apply_all(op, in, opts, opts_bytes, &y, 1) == 1 ? y : NULL;
}
