/*
 * hooks.c - callbacks on gradients; backward.c calls them.
 */
#include "autograd/node.h"

static bool add(const char *where, tp_tensor *t, tp_hook_fn *f, tp_leaf_hook_fn *leaf, void *user)
{
    tp_hook **at, *h;
    tp_node *n;

    if (!tp__check(where, TP_LIST(t), 1)) return false;
    n = (tp_node *)t->node;
    TP_REQUIRE_IN(where, f || leaf, TP_ERR_ARG, "missing function");
    TP_REQUIRE_IN(where, n, TP_ERR_ARG, "%s requires no gradient", tp__text(t));
    TP_REQUIRE_IN(where, !leaf || !n->op, TP_ERR_ARG, "the result of %s is no leaf",
                  tp__node_name(n));
    if (tp__me()->second_run) return true; /* of a checkpointed function */
    if (!(h = tp__alloc(sizeof *h))) return false;
    *h = (tp_hook){ NULL, f, leaf, user };
    for (at = &n->out[t->out].hooks; *at;)
        at = &(*at)->next;
    *at = h;
    return true;
}

bool tp_add_hook(tp_tensor *t, tp_hook_fn *f, void *user)
{
    return add(__func__, t, f, NULL, user);
}

bool tp_add_leaf_hook(tp_tensor *t, tp_leaf_hook_fn *f, void *user)
{
    return add(__func__, t, NULL, f, user);
}
