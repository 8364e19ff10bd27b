/*
 * transformer.c - Vaswani et al. 2017, "Attention is all you need"; norm first: Xiong et al. 2020,
 * "On Layer Normalization in the Transformer Architecture".
 *
 * A block is a row of parts f.  Each gives x + f(norm(x)), or norm(x + f(x)).
 */
#include "nn/internal.h"
#include "nn/transformer.h"

#include <stdio.h>
#include <string.h>

enum { X, PADDING, MASK, CAUSAL, ENCODER_INPUTS };
enum { MEMORY = 1, TGT_MASKS, MEMORY_MASKS = TGT_MASKS + 3, DECODER_INPUTS = MEMORY_MASKS + 3 };

typedef struct block {
    bool decoder;
    tp_transformer_opts o;
} block;

/* ---- a block ---- */

/* The module `name`, with a number behind it unless it is 0. */
static tp_tensor *through(const tp_module *m, const char *name, int number, tp_tensor *x)
{
    char full[32];

    snprintf(full, sizeof full, number ? "%s%d" : "%s", name, number);
    return tp_nn_forward(tp__child_of(m, full), x);
}

/* masks: key padding, scores, causal */
static tp_tensor *attend(const tp_module *m, const char *name, tp_tensor *x, tp_tensor *memory,
                         tp_tensor *const *masks)
{
    tp_tensor *y = NULL;

    tp_nn_apply(tp__child_of(m, name), TP_LIST(x, memory, memory, masks[0], masks[1], masks[2]), &y, 1);
    return y;
}

static tp_tensor *feed_forward(const tp_module *m, tp_tensor *x)
{
    return through(m, "linear", 2, through(m, "dropout", 0, through(m, "linear", 1, x)));
}

/* What part `number` of the block does. */
static tp_tensor *part(const tp_module *m, const block *k, int number, tp_tensor *x,
                       tp_tensor *const *in)
{
    if (number == 1) return attend(m, "self_attn", x, x, in + (k->decoder ? TGT_MASKS : PADDING));
    if (number == 2 && k->decoder)
        return attend(m, "multihead_attn", x, in[MEMORY], in + MEMORY_MASKS);
    return feed_forward(m, x);
}

static int run_block(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const block *k = m->opts;
    tp_tensor *all[DECODER_INPUTS] = { NULL }, *x, *y;

    (void)room;
    if (in.n > 0)
        memcpy(all, in.t, sizeof *all * (size_t)(in.n < DECODER_INPUTS ? in.n : DECODER_INPUTS));
    if (!tp__check(m->kind, (tp_list){ all, k->decoder ? 2 : 1 }, k->decoder ? 2 : 1)) return -1;
    x = all[X];
    for (int i = 1; i <= (k->decoder ? 3 : 2); i++) {
        y = k->o.norm_first ? through(m, "norm", i, x) : x;
        x = tp_add(x, through(m, "dropout", i, part(m, k, i, y, all)));
        if (!k->o.norm_first) x = through(m, "norm", i, x);
    }
    return tp_nn_gives(out, x);
}

/* ---- making a block ---- */

static tp_module *norm_of(int64_t width, const tp_transformer_opts *o)
{
    tp_norm_layer_opts norm = tp_norm_layer_defaults();

    norm.eps = o->layer_norm_eps, norm.no_bias = o->no_bias;
    return tp_nn_layer_norm_with(TP_SHAPE(width), norm);
}

static tp_module *attention_of(int64_t width, int64_t heads, const tp_transformer_opts *o)
{
    return tp_nn_multihead_attention(
        width, heads,
        (tp_multihead_attention_opts){
            .dropout = o->dropout, .no_bias = o->no_bias, .batch_first = o->batch_first });
}

static tp_module *linear_of(int64_t in, int64_t out, tp_activation a, const tp_transformer_opts *o)
{
    return tp_nn_linear_with(in, out, (tp_linear_layer_opts){ a, o->no_bias });
}

/* norm1, norm2, ..., then dropout1, dropout2, ... */
static bool add_numbered(tp_module *m, int n, int64_t width, const tp_transformer_opts *o)
{
    char name[16];

    for (int i = 0; i < 2 * n; i++) {
        snprintf(name, sizeof name, i < n ? "norm%d" : "dropout%d", i % n + 1);
        if (!tp_nn_add(m, name, i < n ? norm_of(width, o) : tp_nn_dropout(o->dropout)))
            return false;
    }
    return true;
}

static tp_module *make_block(const char *kind, const char *where, int64_t width, int64_t heads,
                             tp_transformer_opts o, bool decoder)
{
    block k = { decoder, o };
    int64_t hidden = o.dim_feedforward;
    tp_module *m;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(where, o.filled, TP_ERR_ARG, "start from tp_transformer_defaults()");
    TP_REQUIRE_IN(where, o.layer_norm_eps >= 0, TP_ERR_ARG, "layer_norm_eps %g: at least 0",
                  o.layer_norm_eps);
    m = tp_nn_layer(kind, run_block, &k, sizeof k);
    return tp__made(
        m, tp_nn_add(m, "self_attn", attention_of(width, heads, &o)) &&
               (!decoder || tp_nn_add(m, "multihead_attn", attention_of(width, heads, &o))) &&
               tp_nn_add(m, "linear1", linear_of(width, hidden, o.activation, &o)) &&
               tp_nn_add(m, "dropout", tp_nn_dropout(o.dropout)) &&
               tp_nn_add(m, "linear2", linear_of(hidden, width, TP_LINEAR, &o)) &&
               add_numbered(m, decoder ? 3 : 2, width, &o));
}

tp_transformer_opts tp_transformer_defaults(void)
{
    return (tp_transformer_opts){ .dim_feedforward = 2048,
                                  .dropout = 0.1,
                                  .activation = TP_RELU,
                                  .layer_norm_eps = 1e-5,
                                  .filled = true };
}

tp_module *tp_nn_transformer_encoder_layer(int64_t d_model, int64_t nhead, tp_transformer_opts o)
{
    return make_block("transformer_encoder_layer", __func__, d_model, nhead, o, false);
}

tp_module *tp_nn_transformer_decoder_layer(int64_t d_model, int64_t nhead, tp_transformer_opts o)
{
    return make_block("transformer_decoder_layer", __func__, d_model, nhead, o, true);
}

/* ---- stacks ---- */

static int run_stack(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self, *layers = tp__child_of(m, "layers");
    tp_tensor *all[DECODER_INPUTS] = { NULL };

    (void)room;
    if (in.n > 0)
        memcpy(all, in.t, sizeof *all * (size_t)(in.n < DECODER_INPUTS ? in.n : DECODER_INPUTS));
    for (int i = 0; tp_ok() && i < layers->n_child; i++) {
        tp_tensor *y = NULL;

        tp_nn_apply(layers->child[i].m, (tp_list){ all, DECODER_INPUTS }, &y, 1);
        if (i && y != all[X]) tp__drop(all[X]); /* lives on only in what backward saved */
        all[X] = y;
    }
    if (tp__child_find(m, "norm") >= 0) all[X] = through(m, "norm", 0, all[X]);
    return tp_nn_gives(out, all[X]);
}

/* layers.0, ... into m; `layer` is taken, also after a failure. */
static bool add_layers(tp_module *m, tp_module *layer, int n)
{
    tp_module *layers = tp_nn_add(m, "layers", tp_nn_container("module_list"));
    char name[16];

    if (!tp_nn_add(layers, "0", layer)) return false; /* which frees it */
    for (int i = 1; i < n; i++) {
        snprintf(name, sizeof name, "%d", i);
        if (!tp_nn_add(layers, name, tp_nn_clone(layer))) return false;
    }
    return true;
}

static tp_module *make_stack(const char *kind, const char *where, tp_module *layer, int n,
                             tp_module *end, bool decoder)
{
    const block *k = layer && layer->forward == run_block ? layer->opts : NULL;
    tp_module *m;
    bool ok;

    if (tp_ok() && (!k || k->decoder != decoder))
        tp__fail(TP_ERR_ARG, where, "%s is no %s_layer", layer ? layer->kind : "nothing", kind);
    if (tp_ok() && n <= 0) tp__fail(TP_ERR_ARG, where, "%d layers", n);
    if (end && end == layer) tp__fail(TP_ERR_ARG, where, "the norm is the layer"), end = NULL;
    m = tp_nn_layer(kind, run_stack, NULL, 0);
    ok = add_layers(m, layer, n);
    if (end) ok = tp_nn_add(m, "norm", end) && ok; /* takes it, also after a failure */
    return tp__made(m, ok);
}

tp_module *tp_nn_transformer_encoder(tp_module *layer, int num_layers, tp_module *end)
{
    return make_stack("transformer_encoder", __func__, layer, num_layers, end, false);
}

tp_module *tp_nn_transformer_decoder(tp_module *layer, int num_layers, tp_module *end)
{
    return make_stack("transformer_decoder", __func__, layer, num_layers, end, true);
}

/* ---- running ---- */

/* Is m a block or a stack of this side? */
static bool is_side(const char *where, const tp_module *m, bool decoder)
{
    const char *side = decoder ? "transformer_decoder" : "transformer_encoder";

    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where,
                  m && (m->forward == run_block || m->forward == run_stack) &&
                      !strncmp(m->kind, side, strlen(side)),
                  TP_ERR_ARG, "%s is no %s", m ? m->kind : "nothing", side);
    return true;
}

tp_tensor *tp_nn_transformer_encoder_forward(tp_module *m, tp_tensor *src, tp_encoder_masks masks)
{
    tp_tensor *y = NULL;

    if (!is_side(__func__, m, false)) return NULL;
    tp_nn_apply(m,
                TP_LIST(src, masks.src_key_padding_mask, masks.mask, masks.is_causal ? src : NULL),
                &y, 1);
    return y;
}

tp_tensor *tp_nn_transformer_decoder_forward(tp_module *m, tp_tensor *tgt, tp_tensor *memory,
                                             tp_decoder_masks k)
{
    tp_tensor *y = NULL;

    if (!is_side(__func__, m, true)) return NULL;
    tp_nn_apply(m,
                TP_LIST(tgt, memory, k.tgt_key_padding_mask, k.tgt_mask,
                        k.tgt_is_causal ? tgt : NULL, k.memory_key_padding_mask, k.memory_mask,
                        k.memory_is_causal ? tgt : NULL),
                &y, 1);
    return y;
}
