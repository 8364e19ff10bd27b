/*
 * text_encoder.c - a text as one vector: a Transformer encoder (Vaswani et al. 2017) with norm first
 * (Xiong et al. 2020), and the mean over its symbols.
 */
#include "models/fits.h"

#include "nn/transformer.h"

#include <math.h>

/* The sum over what is no padding, by how much there is of it; of nothing 0. */
static tp_tensor *mean_of(tp_tensor *x, tp_tensor *padding)
{
    tp_tensor *n = tp_sum(tp_cast(tp_logical_not(padding), tp_dtype_of(x)), TP_KEEPDIM(1));

    x = tp_masked_fill(x, tp_unsqueeze(padding, 2), 0);
    return tp_div(tp_sum(x, TP_AXES(1)), tp_clamp(n, 1, INFINITY));
}

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_text_encoder_opts *o = tp_nn_opts(self);
    tp_tensor *x, *padding;
    int64_t T;

    (void)room;
    if (!given(self, in, 1, 1) || !shaped(self, in.t[0], "tokens", TP_SHAPE(0, 0), "(N, T)")) return -1;
    if ((T = tp_dim(in.t[0], 1)) > o->context)
        return tp_fail(TP_ERR_SHAPE, "text encoder: %lld tokens are more than its context of %lld", (long long)T,
                       (long long)o->context), -1;
    padding = tp_eq_scalar(in.t[0], (double)o->vocabulary);
    x = tp_add(tp_nn_call(self, "token", in.t[0]), tp_slice(tp_nn_tensor(self, "position.weight"), 0, 0, T));
    x = tp_nn_transformer_encoder_forward(tp_nn_get(self, "encoder"), tp_nn_call(self, "dropout", x),
                                          (tp_encoder_masks){ .src_key_padding_mask = padding });
    return tp_nn_gives(out, mean_of(x, padding));
}

static bool filled(tp_text_encoder_opts *o)
{
    static const char where[] = "tp_model_text_encoder";

    o->width = o->width ? o->width : 128;
    o->layers = o->layers ? o->layers : 2, o->heads = o->heads ? o->heads : 4;
    if (!in_range(where, "vocabulary", o->vocabulary, 1, MOST_SIZE) ||
        !in_range(where, "context", o->context, 1, MOST_SIZE) ||
        !in_range(where, "width", o->width, 1, MOST_WIDTH) ||
        !in_range(where, "layers", o->layers, 1, MOST_DEPTH) ||
        !in_range(where, "heads", o->heads, 1, MOST_WIDTH) || !is_rate(where, o->dropout))
        return false;
    return splits(where, o->width, o->heads);
}

static tp_module *layer(const tp_text_encoder_opts *o)
{
    tp_transformer_opts t = tp_transformer_defaults();

    t.dim_feedforward = 4 * o->width, t.dropout = o->dropout, t.activation = TP_GELU;
    t.batch_first = t.norm_first = true;
    return tp_nn_transformer_encoder_layer(o->width, o->heads, t);
}

tp_module *tp_model_text_encoder(tp_text_encoder_opts o)
{
    tp_module *m = filled(&o) ? tp_nn_layer("text encoder", forward, &o, sizeof o) : NULL;
    tp_embedding_opts padded = tp_embedding_defaults();

    if (!m) return NULL;
    padded.padding_idx = o.vocabulary;
    tp_nn_add(m, "token", tp_nn_embedding_with(o.vocabulary + 1, o.width, padded));
    tp_nn_add(m, "position", tp_nn_embedding(o.context, o.width));
    tp_nn_add(m, "dropout", tp_nn_dropout(o.dropout));
    tp_nn_add(m, "encoder",
              tp_nn_transformer_encoder(layer(&o), o.layers, tp_nn_layer_norm(TP_SHAPE(o.width))));
    if (tp_ok()) tp_nn_init_as(tp_nn_params(m, "*n.weight"), tp_init_normal(0, 0.02));
    return tp_nn_made(m);
}
