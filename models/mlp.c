/*
 * mlp.c - a multilayer perceptron, trained by back-propagation (Rumelhart et al. 1986).
 */
#include "models/fits.h"

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    tp_tensor *x = in.t[0];

    (void)room;
    if (!given(self, in, 1, 1)) return -1;
    for (int i = 0; i < tp_nn_children(self); i++)
        x = tp_nn_forward(tp_nn_child(self, i), x);
    return tp_nn_gives(out, x);
}

tp_module *tp_model_mlp(const int64_t *sizes, int n)
{
    tp_module *m = tp_nn_from("mlp", NULL, forward, NULL);

    if (!sizes || n < 2)
        tp_fail(TP_ERR_ARG,
                "tp_model_mlp: %d sizes, and those of the input and of each layer are wanted",
                sizes ? n : 0);
    for (int i = 0; tp_ok() && i < n; i++)
        in_range("tp_model_mlp", "size", sizes[i], 1, MOST_SIZE);
    for (int i = 1; tp_ok() && i < n; i++) {
        tp_linear_layer_opts o = { i < n - 1 ? TP_RELU : TP_LINEAR, false };
        char name[16];

        snprintf(name, sizeof name, "fc%d", i);
        tp_nn_add(m, name, tp_nn_linear_with(sizes[i - 1], sizes[i], o));
    }
    return tp_nn_made(m);
}
