/*
 * stateless.c - activations, softmax, dropout: an op with its numbers, and no parameters.
 */
#include "nn/internal.h"

/* A layer of no, one and two numbers, and one along an axis. */
#define LAYER(name, y)                                                                             \
    static int run_##name(void *self, tp_list in, tp_tensor **out, int room)                       \
    {                                                                                              \
        (void)self, (void)room;                                                                    \
        return tp_nn_gives(out, y);                                                                    \
    }                                                                                              \
    tp_module *tp_nn_##name(void)                                                                  \
    {                                                                                              \
        return tp_nn_layer(#name, run_##name, NULL, 0);                                              \
    }
#define LAYER_OF(type, name, p, fits, ...)                                                         \
    static int run_##name(void *self, tp_list in, tp_tensor **out, int room)                       \
    {                                                                                              \
        (void)room;                                                                                \
        return tp_nn_gives(out, tp_##name(in.t[0], *(const type *)((const tp_module *)self)->opts));   \
    }                                                                                              \
    tp_module *tp_nn_##name(type p)                                                                \
    {                                                                                              \
        if (!tp_ok()) return NULL;                                                                 \
        TP_REQUIRE(fits, TP_ERR_ARG, __VA_ARGS__);                                                 \
        return tp_nn_layer(#name, run_##name, &p, sizeof p);                                         \
    }
#define LAYER_OF_TWO(name, p, q, fits, ...)                                                        \
    static int run_##name(void *self, tp_list in, tp_tensor **out, int room)                       \
    {                                                                                              \
        const double *k = ((const tp_module *)self)->opts;                                         \
        (void)room;                                                                                \
        return tp_nn_gives(out, tp_##name(in.t[0], k[0], k[1]));                                       \
    }                                                                                              \
    tp_module *tp_nn_##name(double p, double q)                                                    \
    {                                                                                              \
        if (!tp_ok()) return NULL;                                                                 \
        TP_REQUIRE(fits, TP_ERR_ARG, __VA_ARGS__);                                                 \
        return tp_nn_layer(#name, run_##name, (double[]){ p, q }, 2 * sizeof(double));               \
    }

/* ---- activations ---- */

LAYER(relu, tp_relu(in.t[0]))
LAYER(relu6, tp_relu6(in.t[0]))
LAYER(tanh, tp_tanh(in.t[0]))
LAYER(sigmoid, tp_sigmoid(in.t[0]))
LAYER(gelu, tp_gelu(in.t[0]))
LAYER(gelu_tanh, tp_gelu_tanh(in.t[0]))
LAYER(silu, tp_silu(in.t[0]))
LAYER(mish, tp_mish(in.t[0]))
LAYER(selu, tp_selu(in.t[0]))
LAYER(log_sigmoid, tp_log_sigmoid(in.t[0]))
LAYER(softsign, tp_softsign(in.t[0]))
LAYER(tanhshrink, tp_tanhshrink(in.t[0]))
LAYER(hardsigmoid, tp_hardsigmoid(in.t[0]))
LAYER(hardswish, tp_hardswish(in.t[0]))
LAYER_OF(double, leaky_relu, negative_slope, negative_slope == negative_slope,
         "the slope isn't a number")
LAYER_OF(double, elu, alpha, alpha == alpha, "alpha isn't a number")
LAYER_OF(double, celu, alpha, alpha == alpha && alpha != 0, "alpha is %g, and divides", alpha)
LAYER_OF(double, softshrink, lambda, lambda >= 0, "lambda is %g: 0 or more is wanted", lambda)
LAYER_OF(double, hardshrink, lambda, lambda == lambda, "lambda isn't a number")
LAYER_OF_TWO(softplus, beta, threshold, beta == beta && beta != 0, "beta is %g, and divides", beta)
LAYER_OF_TWO(hardtanh, lo, hi, lo <= hi, "from %g to %g", lo, hi)
LAYER_OF_TWO(threshold, threshold, value, threshold == threshold, "the threshold isn't a number")
LAYER_OF(int, glu, axis, axis >= -TP_MAX_AXES && axis < TP_MAX_AXES, "axis %d", axis)
LAYER_OF(int, softmax, axis, axis >= -TP_MAX_AXES && axis < TP_MAX_AXES, "axis %d", axis)
LAYER_OF(int, log_softmax, axis, axis >= -TP_MAX_AXES && axis < TP_MAX_AXES, "axis %d", axis)

/* ---- dropping and passing ---- */

#define DROPPING(name)                                                                   \
    static int name(void *self, tp_list in, tp_tensor **out, int room)                   \
    {                                                                                    \
        const tp_module *m = self;                                                       \
        double p = *(const double *)m->opts;                                             \
                                                                                         \
        (void)room;                                                                      \
        if (m->training && p > 0) return tp_nn_gives(out, tp_##name(in.t[0], p));        \
        return tp_nn_gives(out, tp__check(#name, TP_LIST(in.t[0]), 1) ? in.t[0] : NULL); \
    }                                                                                    \
    tp_module *tp_nn_##name(double p)                                                    \
    {                                                                                    \
        if (!tp_ok()) return NULL;                                                       \
        TP_REQUIRE(p >= 0 && p <= 1, TP_ERR_ARG, "p is %g: a probability is wanted", p); \
        return tp_nn_layer(#name, name, &p, sizeof p);                                   \
    }

DROPPING(dropout)
DROPPING(dropout2d)
DROPPING(alpha_dropout)

LAYER(identity, tp__check("identity", TP_LIST(in.t[0]), 1) ? in.t[0] : NULL)
