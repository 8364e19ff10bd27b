/*
 * layers.c - linear, embedding, PReLU: a parameter or two for one op each.
 */
#include "nn/internal.h"

#include <math.h>

enum { WEIGHT, BIAS };

/* ---- linear ---- */

static int linear(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const tp_linear_layer_opts *o = m->opts;

    (void)room;
    return tp_nn_gives(out, tp_linear_with(in.t[0], tp__param(m, WEIGHT), tp__param(m, BIAS),
                                       (tp_linear_opts){ o->activation }));
}

/* He et al. 2015 with a = sqrt 5, as PyTorch: both uniform within 1 / sqrt(in). */
tp_module *tp_nn_linear_with(int64_t in, int64_t out, tp_linear_layer_opts o)
{
    tp_module *m;
    tp_init init;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_nn_linear", in > 0 && out > 0, TP_ERR_ARG,
                  "%lld in, %lld out: 1 or more of each are wanted", (long long)in,
                  (long long)out);
    TP_REQUIRE_IN("tp_nn_linear", (unsigned)o.activation <= TP_GELU_TANH, TP_ERR_ARG,
                  "there is no activation %d", (int)o.activation);
    init = tp_init_uniform(-1 / sqrt((double)in), 1 / sqrt((double)in));
    m = tp_nn_layer("linear", linear, &o, sizeof o);
    return tp__made(m, tp_nn_param(m, "weight", TP_SHAPE(out, in), init) &&
                           (o.no_bias || tp_nn_param(m, "bias", TP_SHAPE(out), init)));
}

tp_module *tp_nn_linear(int64_t in, int64_t out)
{
    return tp_nn_linear_with(in, out, (tp_linear_layer_opts){ TP_LINEAR, false });
}

/* ---- embedding ---- */

static int embedding(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;

    (void)room;
    return tp_nn_gives(
        out, tp_embedding_with(in.t[0], tp__param(m, WEIGHT), *(const tp_embedding_opts *)m->opts));
}

tp_module *tp_nn_embedding_with(int64_t rows, int64_t cols, tp_embedding_opts o)
{
    tp_module *m;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_nn_embedding", o.filled, TP_ERR_ARG, "start from tp_embedding_defaults()");
    TP_REQUIRE_IN("tp_nn_embedding", rows > 0 && cols > 0, TP_ERR_ARG,
                  "%lld rows, %lld columns: 1 or more of each are wanted",
                  (long long)rows, (long long)cols);
    TP_REQUIRE_IN("tp_nn_embedding", o.padding_idx >= -1 && o.padding_idx < rows, TP_ERR_ARG,
                  "padding_idx %lld of %lld rows", (long long)o.padding_idx, (long long)rows);
    m = tp_nn_layer("embedding", embedding, &o, sizeof o);
    if (!tp_nn_param(m, "weight", TP_SHAPE(rows, cols), tp_init_normal(0, 1)))
        return tp__made(m, false);
    m->entry[WEIGHT].zero_row = o.padding_idx + 1;
    return m;
}

tp_module *tp_nn_embedding(int64_t rows, int64_t cols)
{
    return tp_nn_embedding_with(rows, cols, tp_embedding_defaults());
}

/* ---- PReLU ---- */

static int prelu(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;

    (void)room;
    return tp_nn_gives(out, tp_prelu(in.t[0], tp__param(m, WEIGHT)));
}

tp_module *tp_nn_prelu(int64_t n, double a)
{
    tp_module *m;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(n > 0, TP_ERR_ARG, "%lld slopes: 1 or more are wanted", (long long)n);
    m = tp_nn_layer("prelu", prelu, NULL, 0);
    return tp__made(m, tp_nn_param(m, "weight", TP_SHAPE(n), tp_init_constant(a)));
}
