/*
 * test_transformer.c - multi-head attention, encoder and decoder blocks and their stacks: PyTorch's
 * values, gradients and names; finite differences; masks; modes; refusals.
 */
#include "tests/calls.h"
#include "tests/files.h"
#include "tests/golden.h"
#include "tests/oom.h"

static const tp_multihead_attention_opts plain;
static const tp_attention_masks no_masks;

static tp_transformer_opts small(bool batch_first, bool norm_first)
{
    tp_transformer_opts o = tp_transformer_defaults();

    o.dim_feedforward = 12, o.dropout = 0, o.batch_first = batch_first, o.norm_first = norm_first;
    return o;
}

/* ---- PyTorch ---- */

typedef struct handing {
    kase *k;
    tp_module *m;
    int next;
} handing;

static bool hand_one(void *user, const char *name, tp_tensor **t)
{
    handing *h = user;

    (void)t;
    return tp_nn_set(h->m, name, h->k->in[h->next++]);
}

/* The case's operands from `next` on become the parameters, which are in PyTorch's order. */
static void hand_over(kase *k, tp_module *m, int next)
{
    handing h = { k, m, next };

    CHECK(tp_nn_each(tp_nn_params(m, "*"), false, hand_one, &h) == k->n_in - next);
}

static tp_tensor *boolean(tp_tensor *x)
{
    return tp_cast(x, TP_BOOL);
}

static bool run_multihead(kase *k)
{
    enum { KIND, BATCH_FIRST, BIAS, HEADS, MASK, PADDED, CAUSAL };
    const int64_t *o = k->opts;
    tp_multihead_attention_opts opts = { .batch_first = o[BATCH_FIRST], .no_bias = !o[BIAS] };
    tp_attention_masks masks = { .is_causal = o[CAUSAL] };
    tp_tensor *x[3];
    tp_module *m;
    int next = 0;

    if (o[KIND] == 3) opts.kdim = 5, opts.vdim = 6;
    for (int i = 0; i < 3; i++)
        x[i] = i == 0 || o[KIND] >= i ? k->in[next++] : x[i - 1];
    if (o[MASK]) masks.attn_mask = o[MASK] % 2 ? boolean(k->in[next++]) : k->in[next++];
    if (o[PADDED]) masks.key_padding_mask = boolean(k->in[next++]);
    hand_over(k, m = tp_nn_multihead_attention(8, o[HEADS], opts), next);
    k->n_out = 1, k->out[0] = tp_nn_multihead_attention_forward(m, x[0], x[1], x[2], masks);
    tp_nn_free(m);
    return k->out[0];
}

enum { LAYERS, FIRST, NORM_FIRST, BIAS, GELU, MASKED, PADDED, END };

static tp_module *stack_of(const int64_t *o, bool decoder)
{
    tp_transformer_opts opts = small(o[FIRST], o[NORM_FIRST]);
    tp_module *m, *end;

    opts.no_bias = !o[BIAS], opts.activation = o[GELU] ? TP_GELU : TP_RELU;
    m = (decoder ? tp_nn_transformer_decoder_layer : tp_nn_transformer_encoder_layer)(8, 2, opts);
    if (!o[LAYERS]) return m;
    end = o[END] ? tp_nn_layer_norm(TP_SHAPE(8)) : NULL;
    return (decoder ? tp_nn_transformer_decoder : tp_nn_transformer_encoder)(m, (int)o[LAYERS],
                                                                             end);
}

static bool run_encoder(kase *k)
{
    tp_module *m = stack_of(k->opts, false);
    tp_encoder_masks masks = { 0 };
    int next = 1;

    if (k->opts[MASKED]) masks.mask = boolean(k->in[next++]);
    if (k->opts[PADDED]) masks.src_key_padding_mask = boolean(k->in[next++]);
    hand_over(k, m, next);
    k->n_out = 1, k->out[0] = tp_nn_transformer_encoder_forward(m, k->in[0], masks);
    tp_nn_free(m);
    return k->out[0];
}

static bool run_decoder(kase *k)
{
    tp_module *m = stack_of(k->opts, true);
    tp_decoder_masks masks = { 0 };
    int next = 2;

    if (k->opts[MASKED]) masks.tgt_mask = boolean(k->in[next++]);
    if (k->opts[PADDED]) masks.tgt_key_padding_mask = boolean(k->in[next++]);
    if (k->opts[MASKED]) masks.memory_mask = boolean(k->in[next++]);
    if (k->opts[PADDED]) masks.memory_key_padding_mask = boolean(k->in[next++]);
    hand_over(k, m, next);
    k->n_out = 1, k->out[0] = tp_nn_transformer_decoder_forward(m, k->in[0], k->in[1], masks);
    tp_nn_free(m);
    return k->out[0];
}

/* Parameters must be dense, and norms' are not bf16: dense cases in f64 and f32. */
static void check_layers(const char *stem, const char *op, bool (*run)(kase *k))
{
    tp_file *f = open_golden(stem);
    tp_device *dev;
    int n = 0;

    cr_assert(f, "%s", tp_error());
    for (int d = 0; (dev = check_device(d)); d++)
        for (int c = 0;; c++) {
            kase k = { .f = f, .dev = dev };

            snprintf(k.name, sizeof k.name, "%s.%d", op, c);
            if (tp_file_find(f, strcat(strcpy(check_name, k.name), ".out.0")) < 0) break;
            for (int t = 0; t < 2; t++) {
                TP_SCOPE;
                k.dtype = t ? TP_F32 : TP_F64;
                CASE("%s, %s, %s", k.name, tp_dtype_name(k.dtype), tp_device_name(dev));
                get_options(&k), load_operands(&k, DENSE), check_case(&k, run), n++;
            }
        }
    fprintf(stderr, "golden %s: %d cases of %s\n", stem, n, op);
    CHECK(n > 0);
    tp_file_close(f);
}

Test(golden, multihead)
{
    check_layers("multihead", "multihead", run_multihead);
}

Test(golden, encoder)
{
    check_layers("transformer", "encoder", run_encoder);
}

Test(golden, decoder)
{
    check_layers("transformer", "decoder", run_decoder);
}

/* ---- names: PyTorch's state dicts load strictly ---- */

ON_EACH_DEVICE(transformer, names_are_pytorchs)
{
    tp_multihead_attention_opts other = { .kdim = 3, .vdim = 5, .no_bias = true };
    tp_transformer_opts o = small(true, true);
    tp_module *net = tp_nn_container("net");
    tp_load_report r;
    char path[512];

    CASE("layer_names on %s", tp_device_name(dev));
    snprintf(path, sizeof path, "%s/layer_names.safetensors", TP_GOLDEN);
    tp_nn_add(net, "same", tp_nn_multihead_attention(4, 2, plain));
    tp_nn_add(net, "other", tp_nn_multihead_attention(4, 2, other));
    tp_nn_add(net, "encoder",
              tp_nn_transformer_encoder(tp_nn_transformer_encoder_layer(8, 2, o), 2,
                                        tp_nn_layer_norm(TP_SHAPE(8))));
    o.no_bias = true;
    tp_nn_add(net, "decoder",
              tp_nn_transformer_decoder(tp_nn_transformer_decoder_layer(8, 2, o), 1, NULL));
    tp_nn_add(net, "lengths",
              tp_nn_weight_norm(tp_nn_linear(3, 2), "weight", (tp_weight_norm_opts){ 0 }));
    tp_nn_add(
        net, "length",
        tp_nn_weight_norm(tp_nn_linear(3, 2), "weight", (tp_weight_norm_opts){ .whole = true }));
    tp_nn_add(net, "spectral",
              tp_nn_spectral_norm(tp_nn_conv2d(3, 2, 2, plain_conv), "weight",
                                  (tp_spectral_norm_opts){ 0 }));
    CHECK(tp_nn_load(net, path, (tp_load_opts){ .report = &r }));
    CHECK(r.loaded == 53 && !r.missing && !r.unexpected);
    tp_nn_free(net);
}

/* ---- initial values ---- */

static void is_within(tp_module *m, const char *name, double bound)
{
    double most = tp_item(tp_amax(tp_abs(tp_nn_tensor(m, name)), TP_ALL));

    cr_expect(most <= bound && most > .9 * bound, "%s: %s is within %g, not %g", check_name, name,
              most, bound);
}

ON_EACH_DEVICE(transformer, initial_values)
{
    tp_multihead_attention_opts wide = { .kdim = 24 };
    tp_module *m, *w;

    TP_SCOPE;
    CASE("initial values on %s", tp_device_name(dev));
    m = tp_nn_init(tp_nn_multihead_attention(16, 2, plain), dev),
    w = tp_nn_init(tp_nn_multihead_attention(16, 2, wide), dev);
    is_within(m, "in_proj_weight", sqrt(6. / 64)), is_within(m, "out_proj.weight", .25);
    is_within(w, "q_proj_weight", sqrt(6. / 32)), is_within(w, "k_proj_weight", sqrt(6. / 40)),
        is_within(w, "v_proj_weight", sqrt(6. / 32));
    CHECK(tp_item(tp_norm(tp_nn_tensor(m, "in_proj_bias"), 2, TP_ALL)) == 0);
    CHECK(tp_item(tp_norm(tp_nn_tensor(m, "out_proj.bias"), 2, TP_ALL)) == 0);
    CHECK(tp_nn_count(m) == 3 * 16 * 16 + 48 + 16 * 16 + 16);
    tp_nn_free(m), tp_nn_free(w);
    /* the layers of a stack are drawn each by itself */
    m = tp_nn_init(tp_nn_transformer_encoder(
                       tp_nn_transformer_encoder_layer(8, 2, small(true, true)), 2, NULL),
                   dev);
    CHECK(!tp_allclose(tp_nn_tensor(m, "layers.0.linear1.weight"),
                       tp_nn_tensor(m, "layers.1.linear1.weight"), 0, 0));
    tp_nn_free(m);
}

/* ---- finite differences, of inputs and parameters ---- */

static tp_tensor *run_module(tp_list in, void *user)
{
    return tp_nn_forward(user, in.t[0]);
}

static tp_tensor *run_decoding(tp_list in, void *user)
{
    return tp_nn_transformer_decoder_forward(user, in.t[0], in.t[1],
                                             (tp_decoder_masks){ .tgt_is_causal = true });
}

static void check_slopes(const char *what, tp_function *f, tp_list in, tp_module *m)
{
    tp_gradcheck_report r;

    for (int twice = 0; twice < 2; twice++) {
        bool ok = (twice ? tp_gradgradcheck : tp_gradcheck)(f, in, m, &r);

        CASE("%s, %s", what, twice ? "twice" : "once");
        cr_expect(ok, "%s: worst %.3g at %s  [%s]", check_name, r.worst, r.where, tp_error());
        tp_clear_error();
    }
    tp_nn_free(m);
}

ON_EACH_DEVICE(transformer, slopes)
{
    tp_transformer_opts o = small(true, false);
    tp_module *m;

    TP_SCOPE;
    tp_seed(4), o.activation = TP_GELU, o.dim_feedforward = 3;
    m = tp_nn_init(
        tp_nn_multihead_attention(4, 2, (tp_multihead_attention_opts){ .batch_first = true }), dev),
    tp_nn_cast(m, TP_F64);
    check_slopes("multihead", run_module,
                 TP_LIST(check_leaf(TP_SHAPE(1, 3, 4), -1, 1, dev),
                         tp_nn_tensor(m, "in_proj_weight"), tp_nn_tensor(m, "in_proj_bias"),
                         tp_nn_tensor(m, "out_proj.weight")),
                 m);
    m = tp_nn_init(tp_nn_transformer_encoder_layer(4, 2, o), dev), tp_nn_cast(m, TP_F64);
    check_slopes("encoder", run_module,
                 TP_LIST(check_leaf(TP_SHAPE(1, 3, 4), -1, 1, dev),
                         tp_nn_tensor(m, "linear1.weight"), tp_nn_tensor(m, "norm1.weight")),
                 m);
    o.norm_first = true;
    m = tp_nn_init(tp_nn_transformer_decoder_layer(4, 2, o), dev), tp_nn_cast(m, TP_F64);
    check_slopes("decoder", run_decoding,
                 TP_LIST(check_leaf(TP_SHAPE(1, 2, 4), -1, 1, dev),
                         check_leaf(TP_SHAPE(1, 3, 4), -1, 1, dev)),
                 m);
}

/* ---- positions that are left out give no NaN, and change nothing elsewhere ---- */

static bool has_nan(tp_tensor *x)
{
    return tp_item(tp_any(tp_isnan(x), TP_ALL)) != 0;
}

ON_EACH_DEVICE(transformer, padding)
{
    tp_module *m =
        tp_nn_init(tp_nn_transformer_encoder(
                       tp_nn_transformer_encoder_layer(8, 2, small(true, false)), 2, NULL),
                   dev);
    tp_encoder_masks masks = { 0 };
    tp_tensor *x, *longer, *y, *all;

    TP_SCOPE;
    CASE("padding on %s", tp_device_name(dev));
    x = check_numbers(TP_SHAPE(2, 3, 8), TP_F32, -1, 1, dev);
    longer = tp_requires_grad(
        tp_detach(tp_concat(TP_LIST(x, tp_full(TP_SHAPE(2, 2, 8), 7, TP_F32, dev)), 1)), true);
    masks.src_key_padding_mask = tp_cast(
        tp_from((uint8_t[]){ 0, 0, 0, 1, 1, 0, 0, 0, 1, 1 }, TP_SHAPE(2, 5), TP_U8, dev), TP_BOOL);
    y = tp_nn_transformer_encoder_forward(m, longer, masks);
    CHECK(!has_nan(y) && tp_allclose(tp_slice(y, 1, 0, 3), tp_nn_forward(m, x), 1e-5, 1e-6));
    masks.src_key_padding_mask = tp_ones(TP_SHAPE(2, 5), TP_BOOL, dev); /* nothing is left */
    all = tp_nn_transformer_encoder_forward(m, longer, masks);
    CHECK(!has_nan(all) && tp_backward(tp_sum(all, TP_ALL)) && !has_nan(tp_grad(longer)));
    CHECK(!has_nan(tp_grad(tp_nn_tensor(m, "layers.0.self_attn.in_proj_weight"))));
    tp_nn_free(m);
}

/* Row i of causal attention sees nothing behind it; as a mask and as a word. */
ON_EACH_DEVICE(transformer, causal)
{
    tp_module *m = tp_nn_init(tp_nn_transformer_decoder_layer(8, 2, small(false, true)), dev);
    tp_decoder_masks word = { .tgt_is_causal = true }, mask = { 0 };
    tp_tensor *x, *memory, *a, *b;

    TP_SCOPE;
    CASE("causal on %s", tp_device_name(dev));
    x = check_numbers(TP_SHAPE(5, 2, 8), TP_F32, -1, 1, dev),
    memory = check_numbers(TP_SHAPE(3, 2, 8), TP_F32, -1, 1, dev);
    a = tp_nn_transformer_decoder_forward(m, x, memory, word);
    b = tp_nn_transformer_decoder_forward(m, tp_slice(x, 0, 0, 3), memory, word);
    CHECK(tp_allclose(tp_slice(a, 0, 0, 3), b, 1e-5, 1e-6));
    mask.tgt_mask = tp_cast(tp_triu(tp_ones(TP_SHAPE(5, 5), TP_F32, dev), 1), TP_BOOL);
    CHECK(tp_allclose(a, tp_nn_transformer_decoder_forward(m, x, memory, mask), 1e-5, 1e-6));
    tp_nn_free(m);
}

/* ---- modes, precision, clones, files, checkpoints ---- */

ON_EACH_DEVICE(transformer, modes)
{
    tp_transformer_opts o = small(true, true);
    tp_module *m, *copy;
    tp_tensor *x, *y;

    TP_SCOPE;
    CASE("modes on %s", tp_device_name(dev));
    o.dropout = .5;
    m = tp_nn_init(tp_nn_transformer_encoder(tp_nn_transformer_encoder_layer(8, 2, o), 2,
                                             tp_nn_layer_norm(TP_SHAPE(8))),
                   dev);
    x = check_numbers(TP_SHAPE(2, 4, 8), TP_F32, -1, 1, dev);
    CHECK(!tp_allclose(tp_nn_forward(m, x), tp_nn_forward(m, x), 1e-3, 1e-3));
    tp_seed(2), y = tp_nn_forward(m, x), tp_seed(2);
    CHECK(tp_allclose(y, tp_nn_forward(m, x), 0, 0));
    y = tp_nn_predict(m, x), copy = tp_nn_clone(m);
    CHECK(tp_allclose(y, tp_nn_predict(m, x), 0, 0) &&
          tp_allclose(y, tp_nn_predict(copy, x), 0, 0));
    CHECK(tp_nn_training(m) && !tp_needs_grad(y));
    {
        TP_AUTOCAST(TP_BF16);
        CHECK(tp_allclose(y, tp_cast(tp_nn_predict(m, x), TP_F32), .05, .05));
    }
    CHECK(tp_nn_cast(copy, TP_BF16) &&
          tp_dtype_of(tp_nn_tensor(copy, "layers.0.norm1.weight")) == TP_F32);
    CHECK(tp_allclose(y, tp_cast(tp_nn_predict(copy, tp_cast(x, TP_BF16)), TP_F32), .05, .05));
    tp_nn_free(m), tp_nn_free(copy);
}

/* One output of a checkpointed module is what it is outside, bit for bit; so are its gradients. */
ON_EACH_DEVICE(transformer, checkpointed)
{
    tp_transformer_opts o = small(true, false);
    tp_module *m;
    tp_tensor *x, *pad, *a, *b = NULL, *da;

    TP_SCOPE;
    CASE("checkpoint on %s", tp_device_name(dev));
    o.dropout = .3;
    m = tp_nn_init(tp_nn_transformer_encoder_layer(8, 2, o), dev);
    x = check_numbers(TP_SHAPE(2, 4, 8), TP_F32, -1, 1, dev);
    pad = tp_cast(tp_from((uint8_t[]){ 0, 0, 0, 1, 0, 0, 0, 0 }, TP_SHAPE(2, 4), TP_U8, dev),
                  TP_BOOL);
    tp_seed(6), a = tp_nn_transformer_encoder_forward(
                    m, x, (tp_encoder_masks){ .src_key_padding_mask = pad, .is_causal = true });
    CHECK(tp_backward(tp_sum(tp_square(a), TP_ALL)));
    da = tp_clone(tp_grad(tp_nn_tensor(m, "self_attn.in_proj_weight")));
    tp_zero_grad(tp_nn_tensor(m, "self_attn.in_proj_weight"));
    tp_seed(6), tp_nn_checkpoint(m, TP_LIST(x, pad, NULL, x), &b, 1);
    CHECK(tp_backward(tp_sum(tp_square(b), TP_ALL)));
    CHECK(tp_allclose(a, b, 0, 0) &&
          tp_allclose(da, tp_grad(tp_nn_tensor(m, "self_attn.in_proj_weight")), 0, 0));
    tp_nn_free(m);
}

/* Of one tensor it is one product, with what it reads copied nowhere: the layer's results are
 * linear's and attention's. */
ON_EACH_DEVICE(transformer, equals_its_parts)
{
    tp_module *m = tp_nn_init(
        tp_nn_multihead_attention(8, 2, (tp_multihead_attention_opts){ .batch_first = true }), dev);
    tp_tensor *x, *part[3], *y;

    TP_SCOPE;
    CASE("parts on %s", tp_device_name(dev));
    x = check_numbers(TP_SHAPE(2, 5, 8), TP_F32, -1, 1, dev);
    y = tp_linear(x, tp_nn_tensor(m, "in_proj_weight"), tp_nn_tensor(m, "in_proj_bias"));
    y = tp_permute(tp_reshape(y, TP_SHAPE(2, 5, 3, 2, 4)), TP_AXES(2, 0, 3, 1, 4));
    CHECK(tp_unbind(y, 0, 3, part));
    y = tp_reshape(
        tp_transpose(tp_attention(part[0], part[1], part[2], (tp_attention_opts){ 0 }), 1, 2),
        TP_SHAPE(2, 5, 8));
    y = tp_linear(y, tp_nn_tensor(m, "out_proj.weight"), tp_nn_tensor(m, "out_proj.bias"));
    CHECK(tp_allclose(y, tp_nn_forward(m, x), 0, 0));
    CHECK(tp_allclose(y,
                      tp_nn_multihead_attention_forward(m, x, tp_clone(x), tp_clone(x), no_masks),
                      1e-5, 1e-6));
    y = tp_nn_forward(m, tp_squeeze(tp_slice(x, 0, 1, 2), TP_AXES(0)));
    CHECK(tp_rank(y) == 2 && tp_allclose(y, tp_slice(tp_nn_forward(m, x), 0, 1, 2), 1e-5, 1e-6));
    CHECK(tp_count(tp_nn_forward(m, F32(0, 5, 8))) == 0 &&
          tp_count(tp_nn_forward(m, F32(2, 0, 8))) == 0);
    tp_nn_free(m);
}

/* ---- memory ends ---- */

typedef struct decoding {
    tp_module *m;
    tp_tensor *x;
    long live;
} decoding;

static bool train_once(void *user)
{
    decoding *k = user;
    tp_module *copy;
    bool ok;

    TP_SCOPE;
    copy = tp_nn_clone(k->m);
    ok = tp_backward(tp_sum(tp_nn_transformer_decoder_forward(
                                copy, k->x, k->x, (tp_decoder_masks){ .tgt_is_causal = true }),
                            TP_ALL));
    tp_nn_free(copy);
    copy = tp_nn_init(
        tp_nn_transformer_decoder(tp_nn_transformer_decoder_layer(4, 2, small(true, true)), 2,
                                  tp_nn_layer_norm(TP_SHAPE(4))),
        tp_device_of(k->x));
    tp_nn_free(copy);
    return ok && copy && tp_ok();
}

static void nothing_stays(void *user, bool done)
{
    decoding *k = user;

    (void)done;
    tp_thread_end();
    CHECK(tp__live() == k->live);
}

ON_EACH_DEVICE(transformer, memory_ends)
{
    decoding k = { .m = tp_nn_init(tp_nn_transformer_decoder_layer(4, 2, small(true, true)), dev) };

    k.x = tp_keep(check_numbers(TP_SHAPE(1, 2, 4), TP_F32, -1, 1, dev));
    CASE("decoder");
    CHECK(train_once(&k));
    tp_thread_end(), k.live = tp__live();
    CHECK(at_every_allocation(train_once, nothing_stays, &k) > 100);
    tp_nn_free(k.m), tp_free(k.x);
}

/* ---- refusals ---- */

ON_EACH_DEVICE(transformer, refusals)
{
    tp_multihead_attention_opts bad = { .dropout = 2 };
    tp_transformer_opts o = small(false, false);
    tp_module *m, *e, *d, *lone;
    tp_tensor *x;

    TP_SCOPE;
    ARG(tp_nn_multihead_attention(8, 3, plain),
        "embed_dim 8, num_heads 3: the second must divide the first");
    ARG(tp_nn_multihead_attention(8, 0, plain), "num_heads 0");
    ARG(tp_nn_multihead_attention(-8, 2, plain), "embed_dim -8");
    ARG(tp_nn_multihead_attention(8, 2, bad), "dropout is 2: a probability is wanted");
    ARG(tp_nn_multihead_attention(8, 2, (tp_multihead_attention_opts){ .kdim = -1 }), "kdim -1");
    m = tp_nn_multihead_attention(8, 2, plain), x = F32(3, 2, 8);
    ARG(tp_nn_forward(m, x),
        "multihead_attention: in_proj_weight isn't there yet: call tp_nn_init first");
    tp_nn_init(m, dev);
    SHAPE(tp_nn_forward(m, F32(8)), "the query is f32 (8), not (length, N, 8)");
    SHAPE(tp_nn_multihead_attention_forward(m, F32(3, 8), x, x, no_masks), "one N, and as many");
    SHAPE(tp_nn_multihead_attention_forward(m, x, F32(3, 2, 7), x, no_masks),
          "the key is f32 (3, 2, 7), not (length, N, 8)");
    SHAPE(tp_nn_multihead_attention_forward(m, x, F32(3, 1, 8), x, no_masks),
          "one N, and as many values as keys, are wanted");
    SHAPE(tp_nn_multihead_attention_forward(m, x, x, F32(4, 2, 8), no_masks),
          "as many values as keys");
    ARG(tp_nn_multihead_attention_forward(m, x, NULL, x, no_masks), "missing query, key or value");
    ARG(tp_nn_multihead_attention_forward(NULL, x, x, x, no_masks),
        "nothing is no multihead_attention");
    SHAPE(tp_nn_multihead_attention_forward(m, x, x, x,
                                            (tp_attention_masks){ .attn_mask = F32(3, 2) }),
          "attn_mask is f32 (3, 2), not (3, 3) or (4, 3, 3)");
    DTYPE(tp_nn_multihead_attention_forward(m, x, x, x,
                                            (tp_attention_masks){ .attn_mask = I64(3, 3) }),
          "attn_mask is i64 (3, 3), not bool or a float");
    DTYPE(tp_nn_multihead_attention_forward(m, x, x, x,
                                            (tp_attention_masks){ .key_padding_mask = F32(2, 3) }),
          "key padding mask is f32 (2, 3), not bool");
    ARG(tp_nn_transformer_encoder_layer(8, 2, (tp_transformer_opts){ 0 }),
        "start from tp_transformer_defaults()");
    ARG(tp_nn_transformer_encoder_layer(8, 3, o), "num_heads 3");
    o.layer_norm_eps = -1;
    ARG(tp_nn_transformer_decoder_layer(8, 2, o), "layer_norm_eps -1: at least 0");
    o.layer_norm_eps = 1e-5, o.dim_feedforward = 0;
    ARG(tp_nn_transformer_decoder_layer(8, 2, o), "8 in, 0 out");
    o.dim_feedforward = 4;
    ARG(tp_nn_transformer_encoder(tp_nn_transformer_decoder_layer(8, 2, o), 2, NULL),
        "transformer_decoder_layer is no transformer_encoder_layer");
    ARG(tp_nn_transformer_encoder(tp_nn_transformer_encoder_layer(8, 2, o), 0, tp_nn_relu()),
        "0 layers");
    ARG(tp_nn_transformer_decoder(NULL, 1, tp_nn_relu()),
        "nothing is no transformer_decoder_layer");
    lone = tp_nn_transformer_encoder_layer(8, 2, o);
    ARG(tp_nn_transformer_encoder(lone, 1, lone), "the norm is the layer");
    e = tp_nn_init(tp_nn_transformer_encoder_layer(8, 2, o), dev),
    d = tp_nn_init(tp_nn_transformer_decoder_layer(8, 2, o), dev);
    ARG(tp_nn_transformer_decoder_forward(e, x, x, (tp_decoder_masks){ 0 }),
        "transformer_encoder_layer is no transformer_decoder");
    ARG(tp_nn_transformer_encoder_forward(m, x, (tp_encoder_masks){ 0 }),
        "multihead_attention is no transformer_encoder");
    ARG(tp_nn_transformer_decoder_forward(d, x, NULL, (tp_decoder_masks){ 0 }),
        "transformer_decoder_layer: input 1 is missing");
    ARG(tp_nn_transformer_encoder_forward(e, NULL, (tp_encoder_masks){ 0 }),
        "transformer_encoder_layer: missing input");
    SHAPE(tp_nn_transformer_encoder_forward(e, F32(3, 2, 9), (tp_encoder_masks){ 0 }),
          "the query is f32 (3, 2, 9)");
    tp_nn_free(m), tp_nn_free(e), tp_nn_free(d);
}
