/*
 * container.c - modules of modules: in a row, around a shortcut, by number, by name; and a C
 * function as a layer.
 */
#include "nn/internal.h"

#include <stdio.h>
#include <string.h>

/* ---- in a row ---- */

static int sequential(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    tp_tensor *x = in.t[0];

    (void)room;
    if (!tp__check("sequential", TP_LIST(x), 1)) return -1;
    for (int i = 0; x && i < m->n_child; i++) {
        tp_tensor *y = tp_nn_forward(m->child[i].m, x);

        if (x != in.t[0] && y != x) tp__drop(x); /* lives on only in what backward saved */
        x = y;
    }
    return tp_nn_gives(out, x);
}

static bool named_before(tp_module *const *layers, int i)
{
    for (int j = 0; j < i; j++)
        if (layers[i] && layers[j] == layers[i]) return true;
    return false;
}

/* m with these children, by their numbers or by `names`; takes every one, also after a failure. */
static tp_module *filled(const char *where, tp_module *m, const char *const *names,
                         tp_module **layers, int n)
{
    char number[16];
    bool all = true;

    if (n < 0 || (n && !layers))
        all =
            tp__fail(TP_ERR_ARG, where, "%d layers%s", n, layers ? "" : ", and no pointer to them");
    for (int i = 0; layers && i < n; i++) {
        if (named_before(layers, i)) {
            all = tp__fail(TP_ERR_ARG, where, "layer %d is there already", i);
            continue;
        }
        snprintf(number, sizeof number, "%d", i);
        all = tp_nn_add(m, names ? names[i] : number, layers[i]) && all;
    }
    return tp__made(m, all);
}

tp_module *tp_nn_sequential(tp_module **layers, int n)
{
    return filled(__func__, tp_nn_layer("sequential", sequential, NULL, 0), NULL, layers, n);
}

/* ---- by number and by name ---- */

static const char list_kind[] = "list";

tp_module *tp_nn_list(tp_module **modules, int n)
{
    return filled(__func__, tp_nn_container(list_kind), NULL, modules, n);
}

tp_module *tp_nn_append(tp_module *m, tp_module *layer)
{
    char number[16];

    if (tp_ok() && m && m->forward != sequential && strcmp(m->kind, list_kind) != 0)
        tp__fail(TP_ERR_ARG, __func__, "%s is neither a list nor sequential", m->kind);
    snprintf(number, sizeof number, "%d", m ? m->n_child : 0);
    return tp_nn_add(m, number, layer); /* takes the layer, also after a failure */
}

tp_module *tp_nn_dict(const char *const *names, tp_module **modules, int n)
{
    if (tp_ok() && n && !names)
        tp__fail(TP_ERR_ARG, __func__, "%d modules, and no pointer to their names", n);
    return filled(__func__, tp_nn_container("dict"), names, modules, n);
}

/* ---- around a shortcut ---- */

static int residual(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    tp_tensor *x = in.t[0], *y = tp_nn_forward(m->child[0].m, x);

    (void)room;
    if (y && m->n_child > 1) x = tp_nn_forward(m->child[1].m, x);
    if (!x || !y) return -1;
    if (!tp__same(&x->shape, &y->shape))
        return tp__fail(TP_ERR_SHAPE, m->kind, "the body gives %s, the shortcut %s", tp__text(y),
                        tp__text(x)),
               -1;
    return tp_nn_gives(out, tp_add(x, y));
}

tp_module *tp_nn_residual(tp_module *body, tp_module *shortcut)
{
    static const char *const names[] = { "body", "shortcut" };
    tp_module *both[] = { body, shortcut };

    return filled(__func__, tp_nn_layer("residual", residual, NULL, 0), names, both,
                  shortcut ? 2 : 1);
}

/* ---- a function ---- */

typedef struct lambda {
    tp_nn_lambda_fn *fn;
    void *user;
} lambda;

static int run_lambda(void *self, tp_list in, tp_tensor **out, int room)
{
    const lambda *k = ((const tp_module *)self)->opts;

    (void)room;
    return tp_nn_gives(out, k->fn(in.t[0], k->user));
}

tp_module *tp_nn_lambda(const char *kind, tp_nn_lambda_fn *fn, void *user)
{
    lambda k = { fn, user };

    if (!tp_ok()) return NULL;
    TP_REQUIRE(kind && fn, TP_ERR_ARG, "missing %s", kind ? "function" : "kind");
    return tp_nn_layer(kind, run_lambda, &k, sizeof k);
}
