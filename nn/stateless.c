/*
 * stateless.c - layers without parameters, and the sequential container.
 */
#include "nn/internal.h"

#include <stdio.h>

#define LAYER(name, y)                                                                   \
    static int run_##name(void *self, tp_list in, tp_tensor **out, int room)             \
    {                                                                                    \
        (void)self, (void)room;                                                          \
        return tp__one(out, y);                                                          \
    }                                                                                    \
    tp_module *tp_nn_##name(void)                                                        \
    {                                                                                    \
        return tp__layer(#name, run_##name, NULL, 0);                                    \
    }

LAYER(relu, tp_relu(in.t[0]))
LAYER(gelu, tp_gelu(in.t[0]))
LAYER(tanh, tp_tanh(in.t[0]))
LAYER(sigmoid, tp_sigmoid(in.t[0]))
LAYER(flatten, tp_flatten(in.t[0], 1))
LAYER(global_avg_pool2d, tp_global_avg_pool2d(in.t[0]))

/* ---- dropout ---- */

static int dropout(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    double p = *(const double *)m->opts;

    (void)room;
    return tp__one(out, m->training && p > 0 ? tp_dropout(in.t[0], p) : in.t[0]);
}

tp_module *tp_nn_dropout(double p)
{
    if (!tp_ok()) return NULL;
    TP_REQUIRE(p >= 0 && p <= 1, TP_ERR_ARG, "p is %g: a probability is wanted", p);
    return tp__layer("dropout", dropout, &p, sizeof p);
}

/* ---- max pooling ---- */

typedef struct pooling {
    int kernel;
    tp_pool2d_opts o;
} pooling;

static int max_pool2d(void *self, tp_list in, tp_tensor **out, int room)
{
    const pooling *k = ((const tp_module *)self)->opts;

    (void)room;
    return tp__one(out, tp_max_pool2d(in.t[0], k->kernel, k->o));
}

tp_module *tp_nn_max_pool2d_with(int kernel, tp_pool2d_opts o)
{
    pooling k = { kernel, o };

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_nn_max_pool2d", kernel > 0, TP_ERR_ARG, "kernel %d", kernel);
    return tp__layer("max_pool2d", max_pool2d, &k, sizeof k);
}

tp_module *tp_nn_max_pool2d(int kernel)
{
    return tp_nn_max_pool2d_with(kernel, (tp_pool2d_opts){ 0 });
}

/* ---- sequential ---- */

static int sequential(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    tp_tensor *x = in.t[0];

    (void)room;
    for (int i = 0; x && i < m->n_child; i++) {
        tp_tensor *y = tp_nn_forward(m->child[i].m, x);

        if (x != in.t[0] && y != x) tp__drop(x); /* lives on only in what backward saved */
        x = y;
    }
    return tp__one(out, x);
}

static bool named_before(tp_module *const *layers, int i)
{
    for (int j = 0; j < i; j++)
        if (layers[i] && layers[j] == layers[i]) return true;
    return false;
}

tp_module *tp_nn_sequential(tp_module **layers, int n)
{
    tp_module *m = tp__layer("sequential", sequential, NULL, 0);
    char name[16];
    bool all = true;

    if (n < 0 || (n && !layers)) all = tp__fail(TP_ERR_ARG, __func__, "%d layers%s", n, layers ? "" : ", and no pointer to them");
    for (int i = 0; layers && i < n; i++) { /* takes every layer, also after a failure */
        if (named_before(layers, i)) {
            all = tp__fail(TP_ERR_ARG, __func__, "layer %d is there already", i);
            continue;
        }
        snprintf(name, sizeof name, "%d", i);
        all = tp_nn_add(m, name, layers[i]) && all;
    }
    return tp__made(m, all);
}
