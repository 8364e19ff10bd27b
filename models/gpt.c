/*
 * gpt.c - GPT-2 (Radford et al. 2019, "Language models are unsupervised multitask learners"): a
 * Transformer decoder with the layer norms first, in the names and the layout of its files.
 *
 *     x = wte[tokens] + wpe[positions];   x += attn(ln_1(x)), x += mlp(ln_2(x)) for each h;
 *     logits = ln_f(x) wte'
 *
 * Products have weights (in, out), as the files do.  Initial values as in the paper: normal with
 * deviation 0.02, 0.02 / sqrt(2 layers) where they lead back into the residual stream.
 */
#include "models/fits.h"

#include <math.h>

/* ---- products with weight (in, out) ---- */

static int product_forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_linear_opts *o = tp_nn_opts(self);
    tp_tensor *w = tp_transpose(tp_nn_tensor(self, "weight"), 0, 1);

    (void)room;
    return tp_nn_gives(
        out, tp_linear_with(in.t[0], w, tp_nn_has(self, "bias") ? tp_nn_tensor(self, "bias") : NULL,
                            *o));
}

static tp_module *product(const tp_gpt_opts *g, int64_t in, int64_t out, double deviation,
                          tp_activation activation)
{
    tp_linear_opts o = { activation };
    tp_module *m = tp_nn_layer("product", product_forward, &o, sizeof o);

    tp_nn_param(m, "weight", TP_SHAPE(in, out), tp_init_normal(0, deviation));
    if (!g->no_bias) tp_nn_param(m, "bias", TP_SHAPE(out), tp_init_constant(0));
    return tp_nn_made(m);
}

/* ---- attention ---- */

/* (N, T, width) -> (N, heads, T, width / heads), a view */
static tp_tensor *heads_of(tp_tensor *x, int heads)
{
    return tp_transpose(
        tp_reshape(x, TP_SHAPE(tp_dim(x, 0), tp_dim(x, 1), heads, tp_dim(x, 2) / heads)), 1, 2);
}

/* Rows past .. past + T - 1 meet columns up to their own. */
static tp_tensor *seen(int64_t T, int64_t past, tp_tensor *like)
{
    tp_device *dev = tp_device_of(like);

    TP_NO_GRAD;
    return tp_tril(tp_ones(TP_SHAPE(T, past + T), TP_BOOL, dev), past);
}

/* in: x and, when sampling, k and v of what came before; out: y, k, v. */
static int attention_forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_gpt_opts *g = tp_nn_opts(self);
    tp_tensor *x = in.t[0], *part[3], *q, *k, *v, *y;
    int64_t N = tp_dim(x, 0), T = tp_dim(x, 1), past = in.n > 1 ? tp_dim(in.t[1], 2) : 0;
    tp_attention_opts o = { .causal = past == 0, .dropout = tp_nn_training(self) ? g->dropout : 0 };

    if (!tp_split(tp_nn_call(self, "c_attn", x), 2, 3, part)) return -1;
    q = heads_of(part[0], g->heads), k = heads_of(part[1], g->heads),
    v = heads_of(part[2], g->heads);
    if (g->rotary)
        q = tp_rotary(q, (tp_rotary_opts){ .offset = past }),
        k = tp_rotary(k, (tp_rotary_opts){ .offset = past });
    if (past) k = tp_concat(TP_LIST(in.t[1], k), 2), v = tp_concat(TP_LIST(in.t[2], v), 2);
    if (past && T > 1) o.mask = seen(T, past, x);
    y = tp_reshape(tp_transpose(tp_attention(q, k, v, o), 1, 2), TP_SHAPE(N, T, g->width));
    if (tp_nn_gives(out, tp_nn_call(self, "c_proj", y)) < 0) return -1;
    if (room < 3) return 1;
    out[1] = k, out[2] = v;
    return 3;
}

static tp_module *attention(const tp_gpt_opts *g, double deviation)
{
    tp_module *m = tp_nn_layer("attention", attention_forward, g, sizeof *g);

    tp_nn_add(m, "c_attn", product(g, g->width, 3 * g->width, 0.02, TP_LINEAR));
    tp_nn_add(m, "c_proj", product(g, g->width, g->width, deviation, TP_LINEAR));
    return tp_nn_made(m);
}

/* ---- a block ---- */

static int mlp_forward(void *self, tp_list in, tp_tensor **out, int room)
{
    (void)room;
    return tp_nn_gives(out, tp_nn_call(self, "c_proj", tp_nn_call(self, "c_fc", in.t[0])));
}

static tp_module *mlp(const tp_gpt_opts *g, double deviation)
{
    tp_module *m = tp_nn_from("mlp", NULL, mlp_forward, NULL);

    tp_nn_add(m, "c_fc",
              product(g, g->width, 4 * g->width, 0.02, g->erf_gelu ? TP_GELU : TP_GELU_TANH));
    tp_nn_add(m, "c_proj", product(g, 4 * g->width, g->width, deviation, TP_LINEAR));
    return tp_nn_made(m);
}

static int block_forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_gpt_opts *g = tp_nn_opts(self);
    double p = tp_nn_training(self) ? g->dropout : 0;
    tp_tensor *x = in.t[0], *a[3] = { tp_nn_call(self, "ln_1", x) }, *y;

    for (int i = 1; i < in.n; i++)
        a[i] = in.t[i];
    if (tp_nn_apply(tp_nn_get(self, "attn"), (tp_list){ a, in.n }, out, room < 3 ? 1 : 3) < 0)
        return -1;
    x = tp_add(x, p > 0 ? tp_dropout(out[0], p) : out[0]);
    y = tp_nn_call(self, "mlp", tp_nn_call(self, "ln_2", x));
    out[0] = tp_add(x, p > 0 ? tp_dropout(y, p) : y);
    return tp_ok() ? room < 3 ? 1 : 3 : -1;
}

static tp_module *block(const tp_gpt_opts *g)
{
    double deviation = 0.02 / sqrt(2.0 * g->layers);
    tp_module *m = tp_nn_layer("block", block_forward, g, sizeof *g);

    tp_nn_add(m, "ln_1", tp_nn_layer_norm(TP_SHAPE(g->width)));
    tp_nn_add(m, "attn", attention(g, deviation));
    tp_nn_add(m, "ln_2", tp_nn_layer_norm(TP_SHAPE(g->width)));
    tp_nn_add(m, "mlp", mlp(g, deviation));
    return tp_nn_made(m);
}

/* ---- the model ---- */

/* Keys and values of the tokens before: all alike. */
static bool past_fits(tp_module *m, const tp_gpt_opts *g, tp_list in)
{
    tp_shape s = TP_SHAPE(tp_dim(in.t[0], 0), g->heads, tp_dim(in.t[1], 2), g->width / g->heads);
    bool fits = true;

    for (int i = 1; fits && i < in.n; i++)
        fits = shaped(m, in.t[i], i % 2 ? "keys" : "values", s,
                      "(N, heads, past, width / heads), as long for each layer") &&
               tp_dim(in.t[i], 2) == s.n[2];
    return fits;
}

static bool inputs_fit(tp_module *m, const tp_gpt_opts *g, tp_list in)
{
    int most = 1 + 2 * g->layers;

    if (!given(m, in, 1, most) || !shaped(m, in.t[0], "tokens", TP_SHAPE(0, 0), "(N, T)"))
        return false;
    if (in.n == 1) return true;
    if (in.n == most) return past_fits(m, g, in);
    return tp_fail(TP_ERR_ARG,
                   "gpt: tokens, then keys and values of all %d layers or of none, not %d inputs",
                   g->layers, in.n);
}

static tp_tensor *embedded(tp_module *t, const tp_gpt_opts *g, tp_tensor *tokens, int64_t past)
{
    int64_t T = tp_dim(tokens, 1);
    tp_tensor *x = tp_nn_call(t, "wte", tokens);

    if (tp_ok() && past + T > g->context)
        tp_fail(TP_ERR_SHAPE, "gpt: %lld tokens are more than its context of %lld",
                (long long)(past + T), (long long)g->context);
    if (!g->rotary) x = tp_add(x, tp_slice(tp_nn_tensor(t, "wpe.weight"), 0, past, past + T));
    return tp_nn_training(t) && g->dropout > 0 ? tp_dropout(x, g->dropout) : x;
}

/* in: tokens [, k_0, v_0, ...]; out: logits [, k_0, v_0, ...] */
static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_gpt_opts *g = tp_nn_opts(self);
    tp_module *t = tp_nn_get(self, "transformer"), *h = tp_nn_get(t, "h");
    int n = room < 1 + 2 * g->layers ? 1 : 3;
    tp_tensor *x;

    if (!inputs_fit(self, g, in)) return -1;
    x = embedded(t, g, in.t[0], in.n > 1 ? tp_dim(in.t[1], 2) : 0);
    for (int i = 0; tp_ok() && i < g->layers; i++) {
        tp_tensor *a[3] = { x, in.n > 1 ? in.t[1 + 2 * i] : NULL,
                            in.n > 1 ? in.t[2 + 2 * i] : NULL },
                  *b[3];

        if (tp_nn_apply(tp_nn_child(h, i), (tp_list){ a, in.n > 1 ? 3 : 1 }, b, n) < 0) return -1;
        x = b[0];
        if (n == 3) out[1 + 2 * i] = b[1], out[2 + 2 * i] = b[2];
    }
    x = tp_nn_call(t, "ln_f", x);
    out[0] = tp_linear(
        x, tp_nn_tensor(self, g->untied ? "lm_head.weight" : "transformer.wte.weight"), NULL);
    return out[0] ? n == 3 ? 1 + 2 * g->layers : 1 : -1;
}

tp_gpt_opts tp_gpt2(void)
{
    return (tp_gpt_opts){ .vocabulary = 50257,
                          .context = 1024,
                          .layers = 12,
                          .heads = 12,
                          .width = 768,
                          .dropout = 0.1 };
}

static bool fits(const tp_gpt_opts *g)
{
    static const char where[] = "tp_model_gpt";

    if (!in_range(where, "vocabulary", g->vocabulary, 1, MOST_SIZE) ||
        !in_range(where, "context", g->context, 1, MOST_SIZE) ||
        !in_range(where, "layers", g->layers, 1, MOST_DEPTH) ||
        !in_range(where, "width", g->width, 1, MOST_WIDTH) ||
        !in_range(where, "heads", g->heads, 1, g->width) || !is_rate(where, g->dropout))
        return false;
    if (!splits(where, g->width, g->heads)) return false;
    if (!g->rotary || g->width / g->heads % 2 == 0) return true;
    return tp_fail(TP_ERR_ARG, "%s: rotation wants heads of an even width, not %lld", where,
                   (long long)(g->width / g->heads));
}

static tp_module *table(int64_t rows, int64_t width)
{
    tp_module *m = tp_nn_embedding(rows, width);

    tp_nn_init_as(tp_nn_params(m, "weight"), tp_init_normal(0, 0.02));
    return m;
}

tp_module *tp_model_gpt(tp_gpt_opts g)
{
    tp_module *m = fits(&g) ? tp_nn_layer("gpt", forward, &g, sizeof g) : NULL;
    tp_module *t = m ? tp_nn_add(m, "transformer", tp_nn_container("transformer")) : NULL, *h;

    if (!m) return NULL;
    tp_nn_add(t, "wte", table(g.vocabulary, g.width));
    if (!g.rotary) tp_nn_add(t, "wpe", table(g.context, g.width));
    h = tp_nn_add(t, "h", tp_nn_list(NULL, 0));
    for (int i = 0; tp_ok() && i < g.layers; i++)
        tp_nn_append(h, block(&g));
    tp_nn_add(t, "ln_f", tp_nn_layer_norm(TP_SHAPE(g.width)));
    if (g.untied)
        tp_nn_add(
            m, "lm_head",
            tp_nn_linear_with(g.width, g.vocabulary, (tp_linear_layer_opts){ .no_bias = true }));
    return tp_nn_made(m);
}
