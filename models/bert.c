/*
 * bert.c - BERT (Devlin et al. 2018, "BERT: Pre-training of deep bidirectional Transformers for
 * language understanding") with a classifier, in Hugging Face's names.
 *
 *     x = norm(word[tokens] + position[place] + type[types]);
 *     x = norm(x + attention(x)), x = norm(x + output(gelu(intermediate(x)))) for each layer;
 *     logits = classifier(tanh(pooler(x of the first token)))
 *
 * Weights and tables are normal with deviation 0.02 at first, biases 0, as in the paper's code.
 */
#include "models/fits.h"

static tp_tensor *dropped(void *self, const tp_bert_opts *o, tp_tensor *x)
{
    return tp_nn_training(self) && o->dropout > 0 ? tp_dropout(x, o->dropout) : x;
}

/* ---- parts ---- */

static tp_module *linear(int64_t in, int64_t out, tp_activation activation)
{
    tp_module *m =
        tp_nn_linear_with(in, out, (tp_linear_layer_opts){ .activation = activation });

    tp_nn_init_as(tp_nn_params(m, "weight"), tp_init_normal(0, 0.02));
    tp_nn_init_as(tp_nn_params(m, "bias"), tp_init_constant(0));
    return m;
}

static tp_module *table(int64_t rows, int64_t width)
{
    tp_module *m = tp_nn_embedding(rows, width);

    tp_nn_init_as(tp_nn_params(m, "weight"), tp_init_normal(0, 0.02));
    return m;
}

static tp_module *norm(int64_t width)
{
    tp_norm_layer_opts o = tp_norm_layer_defaults();

    o.eps = 1e-12;
    return tp_nn_layer_norm_with(TP_SHAPE(width), o);
}

/* dense, and the norm behind the residual */
static tp_module *output(int64_t in, int64_t width)
{
    tp_module *m = tp_nn_container("output");

    tp_nn_add(m, "dense", linear(in, width, TP_LINEAR));
    tp_nn_add(m, "LayerNorm", norm(width));
    return m;
}

/* ---- a layer ---- */

/* (N, T, width) -> (N, heads, T, width / heads), a view */
static tp_tensor *heads_of(tp_tensor *x, int heads)
{
    return tp_transpose(
        tp_reshape(x, TP_SHAPE(tp_dim(x, 0), tp_dim(x, 1), heads, tp_dim(x, 2) / heads)),
        1, 2);
}

static tp_tensor *attended(void *self, const tp_bert_opts *o, tp_tensor *x,
                           tp_tensor *left_out)
{
    tp_attention_opts a = { .key_padding_mask = left_out,
                            .dropout = tp_nn_training(self) ? o->dropout : 0 };
    tp_tensor *q = heads_of(tp_nn_call(self, "attention.self.query", x), o->heads);
    tp_tensor *k = heads_of(tp_nn_call(self, "attention.self.key", x), o->heads);
    tp_tensor *v = heads_of(tp_nn_call(self, "attention.self.value", x), o->heads);
    tp_tensor *y = tp_transpose(tp_attention(q, k, v, a), 1, 2);

    return tp_nn_call(self, "attention.output.dense",
                      tp_reshape(y, TP_SHAPE(tp_dim(x, 0), tp_dim(x, 1), o->width)));
}

/* in: x and, where there is padding, what is left out */
static int layer_forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_bert_opts *o = tp_nn_opts(self);
    tp_tensor *x = in.t[0], *y = attended(self, o, x, in.n > 1 ? in.t[1] : NULL);

    (void)room;
    x = tp_nn_call(self, "attention.output.LayerNorm", tp_add(x, dropped(self, o, y)));
    y = tp_nn_call(self, "output.dense", tp_nn_call(self, "intermediate.dense", x));
    return tp_nn_gives(
        out, tp_nn_call(self, "output.LayerNorm", tp_add(x, dropped(self, o, y))));
}

static tp_module *layer(const tp_bert_opts *o)
{
    tp_module *m = tp_nn_layer("bert layer", layer_forward, o, sizeof *o);
    tp_module *attention = tp_nn_add(m, "attention", tp_nn_container("attention")), *self,
              *between;

    self = tp_nn_add(attention, "self", tp_nn_container("self"));
    tp_nn_add(self, "query", linear(o->width, o->width, TP_LINEAR));
    tp_nn_add(self, "key", linear(o->width, o->width, TP_LINEAR));
    tp_nn_add(self, "value", linear(o->width, o->width, TP_LINEAR));
    tp_nn_add(attention, "output", output(o->width, o->width));
    between = tp_nn_add(m, "intermediate", tp_nn_container("intermediate"));
    tp_nn_add(between, "dense", linear(o->width, o->hidden, TP_GELU));
    tp_nn_add(m, "output", output(o->hidden, o->width));
    return tp_nn_made(m);
}

/* ---- the model ---- */

static bool inputs_fit(tp_module *m, const tp_bert_opts *o, tp_list in)
{
    static const char *const name[] = { "tokens", "mask", "types" };
    tp_shape s = TP_SHAPE(0, 0);

    if (!given(m, in, 1, 3)) return false;
    for (int i = 0; i < in.n; i++) {
        if (!shaped(m, in.t[i], name[i], s, i ? "(N, T) as the tokens are" : "(N, T)"))
            return false;
        if (!i) s = tp_shape_of(in.t[0]);
    }
    if (s.n[1] >= 1 && s.n[1] <= o->context) return true;
    return tp_fail(TP_ERR_SHAPE,
                   "bert: %lld tokens, and 1 to its context of %lld are possible",
                   (long long)s.n[1], (long long)o->context);
}

static tp_tensor *embedded(tp_module *bert, const tp_bert_opts *o, tp_list in)
{
    tp_module *e = tp_nn_get(bert, "embeddings");
    tp_tensor *place = tp_nn_tensor(e, "position_embeddings.weight");
    tp_tensor *type =
        in.n > 2 ? tp_nn_call(e, "token_type_embeddings", in.t[2])
                 : tp_slice(tp_nn_tensor(e, "token_type_embeddings.weight"), 0, 0, 1);
    tp_tensor *x = tp_add(tp_nn_call(e, "word_embeddings", in.t[0]), type);

    x = tp_add(x, tp_slice(place, 0, 0, tp_dim(in.t[0], 1)));
    return dropped(bert, o, tp_nn_call(e, "LayerNorm", x));
}

/* in: tokens [, mask [, types]]; out: logits */
static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_bert_opts *o = tp_nn_opts(self);
    tp_module *bert = tp_nn_get(self, "bert"), *layers = tp_nn_get(bert, "encoder.layer");
    tp_tensor *left_out, *x;

    (void)room;
    if (!inputs_fit(self, o, in)) return -1;
    left_out = in.n > 1 ? tp_eq_scalar(in.t[1], 0) : NULL;
    x = embedded(bert, o, in);
    for (int i = 0; tp_ok() && i < o->layers; i++) {
        tp_tensor *a[] = { x, left_out };

        if (tp_nn_apply(tp_nn_child(layers, i), (tp_list){ a, left_out ? 2 : 1 }, &x, 1) <
            0)
            return -1;
    }
    x = tp_reshape(tp_slice(x, 1, 0, 1), TP_SHAPE(tp_dim(x, 0), o->width));
    x = dropped(self, o, tp_tanh(tp_nn_call(bert, "pooler.dense", x)));
    return tp_nn_gives(out, tp_nn_call(self, "classifier", x));
}

tp_bert_opts tp_bert_base(void)
{
    return (tp_bert_opts){ .vocabulary = 30522,
                           .context = 512,
                           .classes = 2,
                           .layers = 12,
                           .heads = 12,
                           .width = 768,
                           .dropout = 0.1 };
}

static bool filled(tp_bert_opts *o)
{
    static const char where[] = "tp_model_bert";

    if (!in_range(where, "vocabulary", o->vocabulary, 1, MOST_SIZE) ||
        !in_range(where, "context", o->context, 1, MOST_SIZE) ||
        !in_range(where, "classes", o->classes, 1, MOST_SIZE) ||
        !in_range(where, "layers", o->layers, 1, MOST_DEPTH) ||
        !in_range(where, "width", o->width, 1, MOST_WIDTH) ||
        !in_range(where, "heads", o->heads, 1, o->width) || !is_rate(where, o->dropout))
        return false;
    o->hidden = o->hidden ? o->hidden : 4 * o->width, o->types = o->types ? o->types : 2;
    if (!in_range(where, "hidden", o->hidden, 1, 4 * MOST_WIDTH) ||
        !in_range(where, "types", o->types, 1, MOST_SIZE))
        return false;
    return splits(where, o->width, o->heads);
}

static void add_embeddings(tp_module *bert, const tp_bert_opts *o)
{
    tp_module *e = tp_nn_add(bert, "embeddings", tp_nn_container("embeddings"));

    tp_nn_add(e, "word_embeddings", table(o->vocabulary, o->width));
    tp_nn_add(e, "position_embeddings", table(o->context, o->width));
    tp_nn_add(e, "token_type_embeddings", table(o->types, o->width));
    tp_nn_add(e, "LayerNorm", norm(o->width));
}

tp_module *tp_model_bert(tp_bert_opts o)
{
    tp_module *m = filled(&o) ? tp_nn_layer("bert", forward, &o, sizeof o) : NULL;
    tp_module *bert = m ? tp_nn_add(m, "bert", tp_nn_container("bert model")) : NULL,
              *encoder, *layers, *pooler;

    if (!m) return NULL;
    add_embeddings(bert, &o);
    encoder = tp_nn_add(bert, "encoder", tp_nn_container("encoder"));
    layers = tp_nn_add(encoder, "layer", tp_nn_list(NULL, 0));
    for (int i = 0; tp_ok() && i < o.layers; i++)
        tp_nn_append(layers, layer(&o));
    pooler = tp_nn_add(bert, "pooler", tp_nn_container("pooler"));
    tp_nn_add(pooler, "dense", linear(o.width, o.width, TP_LINEAR));
    tp_nn_add(m, "classifier", linear(o.width, o.classes, TP_LINEAR));
    return tp_nn_made(m);
}
