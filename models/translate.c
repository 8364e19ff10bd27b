/*
 * translate.c - the Transformer (Vaswani et al. 2017, "Attention is all you need") from one
 * sequence to another, of nn/transformer.h's encoder and decoder.
 *
 *     x = embedding[tokens] sqrt(width) + positions;
 *     logits = decoder(x of target, encoder(x of source)) embedding'
 *
 * Positions p have sin(p / 10000^(i / width)) at even i, at odd ones cos of the angle before.
 * The table is normal with deviation 1 / sqrt(width), so that both its uses have size 1 at
 * first.
 */
#include "models/fits.h"
#include "models/translate.h"
#include "nn/transformer.h"

static tp_tensor *dropped(tp_module *m, tp_tensor *x)
{
    const tp_translate_opts *o = tp_nn_opts(m);

    return tp_nn_training(m) && o->dropout > 0 ? tp_dropout(x, o->dropout) : x;
}

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_translate_opts *o = tp_nn_opts(self);
    tp_tensor *left_out, *x, *memory;

    (void)room;
    if (!given(self, in, 2, 2) ||
        !shaped(self, in.t[0], "source", TP_SHAPE(0, 0), "(N, S)") ||
        !shaped(self, in.t[1], "target", TP_SHAPE(0, 0), "(N, T)"))
        return -1;
    left_out = tp_eq_scalar(in.t[0], (double)o->padding);
    x = dropped(self, embedded(self, in.t[0], 0));
    memory = tp_nn_transformer_encoder_forward(
        tp_nn_get(self, "encoder"), x,
        (tp_encoder_masks){ .src_key_padding_mask = left_out });
    x = dropped(self, embedded(self, in.t[1], 0));
    x = tp_nn_transformer_decoder_forward(
        tp_nn_get(self, "decoder"), x, memory,
        (tp_decoder_masks){ .tgt_is_causal = true, .memory_key_padding_mask = left_out });
    return tp_nn_gives(out, tp_linear(x, tp_nn_tensor(self, "embedding.weight"), NULL));
}

static bool filled(tp_translate_opts *o)
{
    static const char where[] = "tp_model_translate";

    if (!in_range(where, "vocabulary", o->vocabulary, 1, MOST_SIZE) ||
        !in_range(where, "padding", o->padding, 0, o->vocabulary - 1) ||
        !in_range(where, "context", o->context, 1, MOST_SIZE) ||
        !in_range(where, "layers", o->layers, 1, MOST_DEPTH) ||
        !in_range(where, "width", o->width, 1, MOST_WIDTH) ||
        !in_range(where, "heads", o->heads, 1, o->width) || !is_rate(where, o->dropout))
        return false;
    o->hidden = o->hidden ? o->hidden : 4 * o->width;
    if (!in_range(where, "hidden", o->hidden, 1, 4 * MOST_WIDTH)) return false;
    return splits(where, o->width, o->heads);
}

static tp_module *table(int64_t rows, int64_t width)
{
    tp_module *m = tp_nn_embedding(rows, width);

    tp_nn_init_as(tp_nn_params(m, "weight"), tp_init_normal(0, 1 / sqrt((double)width)));
    return m;
}

tp_module *tp_model_translate(tp_translate_opts o)
{
    tp_module *m = filled(&o) ? tp_nn_layer("translate", forward, &o, sizeof o) : NULL;
    tp_transformer_opts k = tp_transformer_defaults();

    if (!m) return NULL;
    k.dim_feedforward = o.hidden, k.dropout = o.dropout, k.batch_first = true,
    k.norm_first = o.norm_first;
    tp_nn_add(m, "embedding", table(o.vocabulary, o.width));
    if (o.learned) tp_nn_add(m, "positions", table(o.context, o.width));
    tp_nn_add(m, "encoder",
              tp_nn_transformer_encoder(
                  tp_nn_transformer_encoder_layer(o.width, o.heads, k), o.layers,
                  o.norm_first ? tp_nn_layer_norm(TP_SHAPE(o.width)) : NULL));
    tp_nn_add(m, "decoder",
              tp_nn_transformer_decoder(
                  tp_nn_transformer_decoder_layer(o.width, o.heads, k), o.layers,
                  o.norm_first ? tp_nn_layer_norm(TP_SHAPE(o.width)) : NULL));
    return tp_nn_made(m);
}
