/*
 * test_model_uses.c - what programs do with the reference models: published sizes and initial
 * values, files that know their model, writing, going on from a state, sampling, and real ones.
 */
#include "tests/files.h"
#include "tests/oom.h"

#include <jansson.h>

static tp_tensor *numbers(tp_shape s, tp_device *dev)
{
    return check_numbers(s, TP_F32, -1, 1, dev);
}
static tp_tensor *whole(int64_t below, tp_shape s, tp_device *dev)
{
    return tp_cast(check_numbers(s, TP_F64, 0, (double)below, dev), TP_I64);
}

static double largest(tp_tensor *a)
{
    return tp_item(tp_amax(tp_abs(tp_cast(a, TP_F64)), TP_ALL));
}

static bool equal(tp_tensor *a, tp_tensor *b)
{
    tp_shape s = tp_shape_of(a), t = tp_shape_of(b);

    return a && b && tp__same(&s, &t) && largest(tp_sub(a, b)) == 0;
}

/* ---- initial values and sizes, as published ---- */

Test(models, sizes)
{
    tp_resnet_opts large = tp_resnet18();
    tp_module *m[] = { tp_model_resnet(tp_resnet20()), tp_model_resnet(tp_resnet18()),
                       tp_model_gpt(tp_gpt2()), NULL };
    const int64_t want[] = { 269722, 11173962, 124439808, 11689512 };

    large.large = true, large.classes = 1000, m[3] = tp_model_resnet(large);
    for (int i = 0; i < TP_LEN(m); i++) {
        CASE("%s, %lld parameters", tp_nn_kind(m[i]), (long long)tp_nn_count(m[i]));
        CHECK(tp_nn_count(m[i]) == want[i]);
        tp_nn_free(m[i]);
    }
}

static double deviation(tp_module *m, const char *name)
{
    TP_SCOPE;
    tp_tensor *t = tp_cast(tp_nn_tensor(m, name), TP_F64);

    return tp_item(tp_sqrt(tp_mean(tp_square(t), TP_ALL)));
}

ON_EACH_DEVICE(models, initial_values)
{
    tp_module *g, *t, *l;

    tp_seed(1);
    g = tp_nn_init(tp_model_discriminator((tp_dcgan_opts){ .width = 16 }), dev);
    t = tp_nn_init(tp_model_gpt((tp_gpt_opts){
                       .vocabulary = 99, .context = 50, .layers = 8, .heads = 1, .width = 64 }),
                   dev);
    l = tp_nn_init(
        tp_model_lstm((tp_lstm_model_opts){ .vocabulary = 99, .width = 64, .tied = true }), dev);
    CASE("initial values on %s", tp_device_name(dev));
    CHECK_NEAR(deviation(g, "main.2.weight"), 0.02, 1e-3);
    CHECK_NEAR(tp_item(tp_mean(tp_nn_tensor(g, "main.3.weight"), TP_ALL)), 1, 0.02);
    CHECK_NEAR(deviation(t, "transformer.wte.weight"), 0.02, 1e-3);
    CHECK_NEAR(deviation(t, "transformer.h.3.attn.c_attn.weight"), 0.02, 1e-3);
    CHECK_NEAR(deviation(t, "transformer.h.3.mlp.c_proj.weight"), 0.02 / 4, 3e-4);
    CHECK_NEAR(deviation(l, "encoder.weight"), 0.1 / sqrt(3), 2e-3);
    tp_nn_free(g), tp_nn_free(t), tp_nn_free(l);
}

/* ---- sampling ---- */

/* Runs tokens from .. to behind what state holds, which becomes what came out. */
static tp_tensor *more_of(tp_module *m, tp_tensor *tokens, int64_t from, int64_t to,
                          tp_tensor **state)
{
    tp_tensor *in[5] = { tp_slice(tokens, 1, from, to) }, *out[5];

    for (int i = 0; i < 4; i++)
        in[1 + i] = state[i];
    if (tp_nn_apply(m, (tp_list){ in, state[0] ? 5 : 1 }, out, 5) != 5) return NULL;
    memcpy(state, out + 1, 4 * sizeof *out);
    return out[0];
}

/* Logits of pieces of these lengths, one behind the other. */
static tp_tensor *in_pieces(tp_module *m, tp_tensor *tokens, const int *length)
{
    tp_tensor *state[4] = { NULL }, *all[8];
    int64_t at = 0;
    int n = 0;

    for (; length[n]; at += length[n++])
        all[n] = more_of(m, tokens, at, at + length[n], state);
    return tp_concat((tp_list){ all, n }, 1);
}

ON_EACH_DEVICE(models, a_gpt_goes_on_from_keys_and_values)
{
    static const int pieces[][9] = {
        { 1, 1, 1, 1, 1, 1, 1, 1, 0 }, { 3, 1, 4, 0 }, { 1, 5, 2, 0 }, { 8, 0 }
    };
    static const tp_dtype dtypes[] = { TP_F64, TP_F32 };

    for (int r = 0; r < 2; r++)
        for (int d = 0; d < 2; d++)
            for (int i = 0; i < TP_LEN(pieces); i++) {
                TP_SCOPE;
                TP_NO_GRAD;
                tp_gpt_opts o = { .vocabulary = 7,
                                  .context = 8,
                                  .layers = 2,
                                  .heads = 2,
                                  .width = 8,
                                  .dropout = .1,
                                  .rotary = r };
                tp_module *m = tp_nn_init(tp_model_gpt(o), dev);
                tp_tensor *tokens = whole(7, TP_SHAPE(2, 8), dev), *y;
                double bound = d ? 8 * 0x1p-23 * sqrt(7 * 8) : 1e-12;

                CASE("pieces %d, %s positions, %s on %s", i, r ? "rotary" : "learned",
                     tp_dtype_name(dtypes[d]), tp_device_name(dev));
                CHECK(tp_nn_cast(m, dtypes[d]) && tp_nn_train(m, "*", false) > 0);
                y = tp_nn_forward(m, tokens);
                CHECK(largest(y) > 0.01 &&
                      largest(tp_sub(in_pieces(m, tokens, pieces[i]), y)) <= bound * largest(y));
                tp_nn_free(m);
            }
}

ON_EACH_DEVICE(models, an_lstm_goes_on_from_its_state)
{
    TP_SCOPE;
    tp_module *m =
        tp_nn_init(tp_model_lstm((tp_lstm_model_opts){ .vocabulary = 7, .width = 4 }), dev);
    tp_tensor *tokens = whole(7, TP_SHAPE(2, 6), dev), *a[3], *b[3], *y[3];

    CHECK(tp_nn_train(m, "*", false) > 0 && tp_nn_apply(m, TP_LIST(tokens), y, 3) == 3);
    CHECK(tp_nn_apply(m, TP_LIST(tp_slice(tokens, 1, 0, 2)), a, 3) == 3);
    CHECK(tp_nn_apply(m, TP_LIST(tp_slice(tokens, 1, 2, 6), a[1], a[2]), b, 3) == 3);
    CHECK(largest(tp_sub(tp_concat(TP_LIST(a[0], b[0]), 1), y[0])) <= 8 * 0x1p-23 * 4);
    CHECK(largest(tp_sub(b[1], y[1])) <= 8 * 0x1p-23 * 4 &&
          largest(tp_sub(b[2], y[2])) <= 8 * 0x1p-23 * 4);
    tp_nn_free(m);
}

/* z is the mean plus the deviation times what tp_randn_like draws there; in evaluation the mean. */
ON_EACH_DEVICE(models, an_autoencoder_samples)
{
    TP_SCOPE;
    tp_module *m =
        tp_nn_init(tp_model_vae((tp_vae_opts){ .pixels = 5, .hidden = 6, .latent = 2 }), dev);
    tp_tensor *x = numbers(TP_SHAPE(4, 5), dev), *out[3], *z;

    tp_seed(9);
    CHECK(tp_nn_apply(m, TP_LIST(x), out, 3) == 3);
    tp_seed(9), z = tp_add(out[1], tp_mul(tp_exp(tp_scale(out[2], 0.5)), tp_randn_like(out[1])));
    CHECK(equal(tp_model_vae_decode(m, z, NULL), out[0]) &&
          !equal(tp_model_vae_decode(m, out[1], NULL), out[0]));
    CHECK(tp_nn_train(m, "*", false) > 0 && tp_nn_apply(m, TP_LIST(x), out, 3) == 3);
    CHECK(equal(tp_model_vae_decode(m, out[1], NULL), out[0]));
    tp_nn_free(m);
}

ON_EACH_DEVICE(models, features_of_a_cnn)
{
    TP_SCOPE;
    tp_module *m = tp_nn_init(
        tp_model_cnn((tp_cnn_opts){ .size = 8, .width = 2, .hidden = 5, .dropout = .2 }), dev);
    tp_tensor *x = numbers(TP_SHAPE(4, 1, 8, 8), dev), *f;

    CHECK(tp_nn_train(m, "*", false) > 0);
    f = tp_model_cnn_features(m, x);
    CHECK(tp_dim(f, 0) == 4 && tp_dim(f, 1) == 5);
    CHECK(equal(tp_nn_call(m, "fc2", f), tp_nn_forward(m, x)));
    tp_nn_free(m);
}

/* ---- files that know their model ---- */

static tp_tensor *first_output(tp_module *m, tp_list in)
{
    tp_tensor *y = NULL;

    CHECK(tp_nn_train(m, "*", false) > 0 && tp_nn_apply(m, in, &y, 1) == 1);
    return y;
}

/* m goes into a file; what comes out of it gives the same. */
static void round_trip(tp_module *m, tp_list in, tp_device *dev)
{
    TP_SCOPE;
    const char *kind = tp_nn_kind(m);
    tp_tensor *y = first_output(tp_nn_init(m, dev), in);
    tp_module *back;

    CASE("%s on %s", kind, tp_device_name(dev));
    CHECK(tp_model_save(m, in_folder("m")) && (back = tp_model_load(in_folder("m"), kind, dev)));
    CHECK(!strcmp(tp_nn_kind(back), kind) && equal(first_output(back, in), y));
    tp_nn_free(back);
    CHECK_REFUSED(tp_model_load(in_folder("m"), "another", dev), TP_ERR_FORMAT, "not a another");
    tp_nn_free(m);
}

ON_EACH_DEVICE(models, files_tell_their_model)
{
    TP_SCOPE;
    tp_tensor *x = numbers(TP_SHAPE(2, 1, 32, 32), dev), *z = numbers(TP_SHAPE(2, 5), dev);
    tp_tensor *one = whole(2, TP_SHAPE(2), dev), *t = whole(7, TP_SHAPE(2, 4), dev);
    tp_resnet_opts resnet = {
        .channels = 1, .width = 2, .stages = 2, .blocks = { 1, 2 }, .large = true
    };
    tp_lstm_model_opts lstm = { .vocabulary = 7, .width = 4, .layers = 3, .tied = true };
    tp_gpt_opts gpt = {
        .vocabulary = 7, .context = 8, .layers = 1, .heads = 2, .width = 8, .dropout = .1
    };
    tp_dcgan_opts gan = { .latent = 5, .width = 2, .classes = 2, .critic = true };
    tp_unet_opts unet = { .base = 8, .levels = 2, .mults = { 1, 2 }, .blocks = 1, .classes = 2 };
    tp_vae_opts conv = { .conv = true, .size = 32, .width = 2, .hidden = 6, .classes = 2 };

    make_test_folder();
    round_trip(
        tp_model_cnn((tp_cnn_opts){ .size = 32, .width = 2, .hidden = 3, .dropout = 1. / 3 }),
        TP_LIST(x), dev);
    round_trip(tp_model_resnet(resnet), TP_LIST(x), dev);
    round_trip(tp_model_lstm(lstm), TP_LIST(t), dev);
    gpt.rotary = gpt.no_bias = gpt.untied = gpt.erf_gelu = true;
    round_trip(tp_model_gpt(gpt), TP_LIST(t), dev);
    round_trip(tp_model_vae((tp_vae_opts){ .pixels = 5, .hidden = 6, .latent = 2 }), TP_LIST(z),
               dev);
    round_trip(tp_model_vae(conv), TP_LIST(x, one), dev);
    round_trip(tp_model_vqvae((tp_vqvae_opts){ .width = 4, .codes = 5, .dims = 3, .blocks = 1 }),
               TP_LIST(x), dev);
    round_trip(tp_model_generator(gan), TP_LIST(z, one), dev);
    round_trip(tp_model_discriminator(gan), TP_LIST(x, one), dev);
    round_trip(tp_model_unet(unet), TP_LIST(x, one, one), dev);
    remove_test_folder();
}

ON_EACH_DEVICE(models, files_that_tell_none)
{
    tp_module *m = tp_nn_init(tp_nn_linear(2, 2), dev);

    make_test_folder();
    CHECK_REFUSED(tp_model_save(m, in_folder("m")), TP_ERR_ARG, "linear is none of the models");
    CHECK_REFUSED(tp_model_save(NULL, in_folder("m")), TP_ERR_ARG, "nothing is none of the models");
    CHECK(tp_nn_save(m, in_folder("m")));
    CHECK_REFUSED(tp_model_load(in_folder("m"), NULL, dev), TP_ERR_FORMAT,
                  "doesn't tell which model it holds");
    CHECK_REFUSED(tp_model_load(in_folder("none"), NULL, dev), TP_ERR_IO, "can't be read");
    CHECK_REFUSED(tp_model_load(NULL, NULL, dev), TP_ERR_ARG, "missing path");
    tp_nn_free(m), remove_test_folder();
}

/* ---- drawing and writing ---- */

/* m, which goes, keeps t in its file. */
static void check_tokens_kept(tp_module *m, const tp_tokenizer *t, tp_device *dev)
{
    tp_module *back = NULL;
    tp_tokenizer *own = NULL;

    CASE("tokens of a %s", tp_nn_kind(m));
    CHECK(tp_model_set_tokenizer(m, t) && tp_model_save(tp_nn_init(m, dev), in_folder("m")) && (back = tp_model_load(in_folder("m"), NULL, dev)));
    CHECK((own = tp_model_tokenizer(back)) && tp_data_tokens(own) == 3 && tp_data_token_id(own, "c") == 2);
    tp_nn_free(m), tp_nn_free(back), tp_data_tokenizer_free(own);
}

ON_EACH_DEVICE(models, files_know_their_tokens)
{
    tp_tokenizer *t = tp_data_chars("abc", 3, NULL);
    tp_diffusion_opts o = { .unet = { .base = 8, .levels = 2, .mults = { 1, 2 }, .blocks = 1 }, .size = 8, .text = { .vocabulary = 3, .context = 4 } };
    tp_module *m, *cnn = tp_model_cnn((tp_cnn_opts){ 0 });

    make_test_folder();
    check_tokens_kept(tp_model_gpt((tp_gpt_opts){ .vocabulary = 3, .context = 4, .layers = 1, .heads = 1, .width = 8 }), t, dev);
    check_tokens_kept(tp_model_lstm((tp_lstm_model_opts){ .vocabulary = 3, .width = 8 }), t, dev);
    check_tokens_kept(tp_model_bert((tp_bert_opts){ .vocabulary = 3, .context = 4, .classes = 2, .layers = 1, .heads = 1, .width = 8 }), t, dev);
    check_tokens_kept(tp_model_translate((tp_translate_opts){ .vocabulary = 5, .context = 4, .layers = 1, .heads = 1, .width = 8 }), t, dev);
    check_tokens_kept(tp_model_diffusion(o), t, dev);
    CASE("classes");
    CHECK(tp_model_set_classes(cnn, (const char *const[]){ "cat", "dog" }, 2) && !strcmp(tp_model_class(cnn, 1), "dog") && !tp_model_class(cnn, 2));
    CHECK(!tp_model_class(NULL, 0) && !tp_model_class(cnn, -1));
    CHECK(tp_model_set_classes_of(cnn, NULL) && !strcmp(tp_model_class(cnn, 0), "cat")); /* none are named */
    CHECK_REFUSED(tp_model_set_classes(NULL, NULL, 0), TP_ERR_ARG, "missing model or names");
    CHECK_REFUSED(tp_model_set_classes(cnn, (const char *const[]){ "\xFF" }, 1), TP_ERR_ARG, "no UTF-8");
    CASE("refused");
    m = tp_model_gpt((tp_gpt_opts){ .vocabulary = 2, .context = 4, .layers = 1, .heads = 1, .width = 8 });
    CHECK_REFUSED(tp_model_set_tokenizer(m, t), TP_ERR_ARG, "3 tokens, and a gpt of 2");
    CHECK_REFUSED(tp_model_tokenizer(m), TP_ERR_ARG, "the gpt came without one");
    CHECK_REFUSED(tp_model_set_tokenizer(cnn, t), TP_ERR_ARG, "3 tokens, and a cnn of 0");
    CHECK_REFUSED(tp_model_set_tokenizer(m, NULL), TP_ERR_ARG, "missing model or tokenizer");
    CHECK_REFUSED(tp_model_set_tokenizer(NULL, t), TP_ERR_ARG, "missing model or tokenizer");
    CHECK_REFUSED(tp_model_tokenizer(NULL), TP_ERR_ARG, "missing model");
    CHECK(tp_nn_note(m, "tokenizer", "{}"));
    CHECK_REFUSED(tp_model_tokenizer(m), TP_ERR_FORMAT, "it has no tokens");
    tp_nn_free(m), tp_nn_free(cnn), tp_data_tokenizer_free(t), remove_test_folder();
}

ON_EACH_DEVICE(models, drawing)
{
    TP_SCOPE;
    tp_tensor *logits = tp_from((float[]){ 1, 4, 3.5f, -2 }, TP_SHAPE(4), TP_F32, dev);
    tp_draw_opts o = tp_draw_defaults(), wrong = { 0 };
    int count[4] = { 0 };

    tp_seed(1);
    CASE("drawing on %s", tp_device_name(dev));
    for (int i = 0; i < 4000; i++)
        count[tp_model_draw(logits, NULL, 0, o)]++;
    for (int i = 0; i < 4; i++) { /* 5 deviations of a binomial */
        double p = exp(check_at(logits, i)) / (exp(1) + exp(4) + exp(3.5) + exp(-2));

        CHECK_NEAR(count[i], 4000 * p, 5 * sqrt(4000 * p * (1 - p)) + 1);
    }
    o.temperature = 0;
    CHECK(tp_model_draw(logits, NULL, 0, o) == 1);
    o.repetition = 2; /* 4 becomes 2, -2 becomes -4 */
    CHECK(tp_model_draw(logits, (int64_t[]){ 1, 1, 3 }, 3, o) == 2);
    o = tp_draw_defaults(), o.top_k = 1;
    CHECK(tp_model_draw(logits, NULL, 0, o) == 1);
    o = tp_draw_defaults(), o.top_p = 0.1;
    CHECK(tp_model_draw(logits, NULL, 0, o) == 1);
    CHECK_REFUSED(tp_model_draw(logits, NULL, 0, wrong) >= 0, TP_ERR_ARG,
                  "start from tp_draw_defaults()");
    o.top_p = 2;
    CHECK_REFUSED(tp_model_draw(logits, NULL, 0, o) >= 0, TP_ERR_ARG, "top_p 2");
    o = tp_draw_defaults();
    CHECK_REFUSED(tp_model_draw(tp_ones(TP_SHAPE(1, 4), TP_F32, dev), NULL, 0, o) >= 0,
                  TP_ERR_SHAPE, "logits (vocabulary)");
    CHECK_REFUSED(tp_model_draw(tp_full(TP_SHAPE(2), NAN, TP_F32, dev), NULL, 0, o) >= 0,
                  TP_ERR_NONFINITE, "logit 0 is NaN");
}

typedef struct written {
    int64_t symbol[16];
    int n, most;
} written;

static bool take(int64_t symbol, void *user)
{
    written *w = user;

    w->symbol[w->n++] = symbol;
    return w->n < w->most;
}

/* The likeliest symbol behind the whole sequence, as long as it fits the context. */
ON_EACH_DEVICE(models, writing)
{
    tp_gpt_opts gpt = {
        .vocabulary = 7, .context = 8, .layers = 2, .heads = 2, .width = 8, .dropout = .5
    };
    tp_draw_opts greedy = tp_draw_defaults();

    greedy.temperature = 0;
    for (int i = 0; i < 2; i++) {
        TP_SCOPE;
        tp_module *m =
            tp_nn_init(i ? tp_model_lstm((tp_lstm_model_opts){ .vocabulary = 7, .width = 4 })
                         : tp_model_gpt(gpt),
                       dev);
        int64_t all[16] = { 3, 1, 6 };
        tp_tensor *prompt = tp_from(all, TP_SHAPE(3), TP_I64, dev);
        written w = { .most = 16 }, two = { .most = 2 };

        CASE("%s on %s", tp_nn_kind(m), tp_device_name(dev));
        CHECK(tp_model_write(m, prompt, 12, greedy, take, &w) && w.n == 12 &&
              tp_nn_training(m)); /* beyond the context */
        CHECK(tp_model_write(m, prompt, 9, greedy, take, &two) && two.n == 2 &&
              !memcmp(two.symbol, w.symbol, 2 * sizeof *all));
        for (int n = 3; n < 8; n++) {
            tp_tensor *y = tp_nn_predict(m, tp_from(all, TP_SHAPE(1, n), TP_I64, dev));

            all[n] = (int64_t)tp_item(
                tp_argmax(tp_slice(tp_reshape(y, TP_SHAPE(n, 7)), 0, n - 1, n), 1));
            CHECK(w.symbol[n - 3] == all[n]);
        }
        CHECK_REFUSED(tp_model_write(m, tp_unsqueeze(prompt, 0), 1, greedy, take, &w), TP_ERR_ARG,
                      "a prompt of i64");
        CHECK_REFUSED(tp_model_write(m, prompt, 1, greedy, NULL, NULL), TP_ERR_ARG, "a prompt");
        tp_nn_free(m);
    }
    CHECK_REFUSED(tp_model_write(NULL, NULL, 1, greedy, take, NULL), TP_ERR_ARG,
                  "a language model");
}

/* Many inputs and outputs in evaluation, without gradients; each module's mode is as before. */
ON_EACH_DEVICE(models, predicting)
{
    TP_SCOPE;
    tp_module *m =
        tp_nn_init(tp_model_vae((tp_vae_opts){ .pixels = 5, .hidden = 6, .latent = 2 }), dev);
    tp_tensor *x = numbers(TP_SHAPE(4, 5), dev), *out[3];

    CHECK(tp_nn_train(m, "fc3", false) == 1);
    CHECK(tp_nn_predict_all(m, TP_LIST(x), out, 3) == 3 && !tp_needs_grad(out[0]));
    CHECK(equal(tp_model_vae_decode(m, out[1], NULL), out[0]) && equal(tp_nn_predict(m, x), out[0]));
    CHECK(tp_nn_training(m) && tp_nn_training(tp_nn_get(m, "fc1")) &&
          !tp_nn_training(tp_nn_get(m, "fc3")));
    CHECK_REFUSED(tp_nn_predict_all(m, TP_LIST(x, x), out, 3) >= 0, TP_ERR_ARG,
                  "vae: it takes 1 input, not 2");
    CHECK(!out[0] && tp_nn_training(m) && !tp_nn_training(tp_nn_get(m, "fc3")));
    CHECK_REFUSED(tp_nn_predict_all(NULL, TP_LIST(x), out, 3) >= 0, TP_ERR_ARG,
                  "tp_nn_predict: missing module");
    tp_nn_free(m);
}

/* ---- out of memory ---- */

typedef struct tight {
    tp_module *m, *back;
    tp_device *dev;
    long live;
} tight;

static bool save_load_write(void *user)
{
    tight *t = user;
    written w = { .most = 4 };
    TP_SCOPE;
    tp_tensor *prompt = tp_from((int64_t[]){ 3, 1 }, TP_SHAPE(2), TP_I64, t->dev);

    return tp_model_save(t->m, in_folder("m")) &&
           (t->back = tp_model_load(in_folder("m"), "gpt", t->dev)) &&
           tp_model_write(t->back, prompt, 4, tp_draw_defaults(), take, &w);
}

static void after_writing(void *user, bool done)
{
    tight *t = user;

    CHECK((!done || t->back) && tp_nn_training(t->m));
    CHECK(!t->back || tp_nn_training(t->back));
    tp_nn_free(t->back), t->back = NULL, tp_thread_end();
    CHECK(tp__live() == t->live);
}

ON_EACH_DEVICE(models, files_and_writing_out_of_memory)
{
    tp_gpt_opts o = { .vocabulary = 5, .context = 4, .layers = 1, .heads = 1, .width = 4 };
    tight t = { .m = tp_nn_init(tp_model_gpt(o), dev), .dev = dev };

    make_test_folder();
    tp_thread_end(), t.live = tp__live();
    at_every_allocation(save_load_write, after_writing, &t);
    tp_nn_free(t.m), remove_test_folder();
}

/* ---- real checkpoints, from the folder that TAPER_TEST_DATA names ---- */

static const char *in_data(const char *name)
{
    static char path[2][1024];
    static int at;

    if (!getenv("TAPER_TEST_DATA"))
        cr_skip_test("TAPER_TEST_DATA names no folder with checkpoints");
    snprintf(path[at ^= 1], sizeof *path, "%s/%s", getenv("TAPER_TEST_DATA"), name);
    return path[at];
}

/* The numbers of a JSON array, of arrays too. */
static int flat_numbers(const json_t *a, double *to)
{
    int n = 0;

    for (size_t i = 0; i < json_array_size(a); i++) {
        const json_t *it = json_array_get(a, i);

        if (json_is_array(it))
            n += flat_numbers(it, to + n);
        else
            to[n++] = json_number_value(it);
    }
    return n;
}

static json_t *expected(const char *name)
{
    json_t *all = json_load_file(in_data(name), 0, NULL);

    cr_assert(all, "%s can't be read", name);
    return all;
}

static void compare_numbers(tp_tensor *y, const json_t *want, double tolerance)
{
    double w[64];
    int n = flat_numbers(want, w);

    CHECK(n > 0 && tp_count(y) == n);
    for (int i = 0; i < n; i++)
        CHECK_NEAR(check_at(y, i), w[i], tolerance);
}

/* Logits of x[i] = sin(0.01 i), told with six decimals. */
Test(models, a_published_resnet20)
{
    json_t *want = expected("resnet-cifar10/expected.json");
    tp_load_opts o = { .rename = "linear.=fc.", .skip = "*num_batches_tracked" };
    tp_device *dev = tp_device_open("cpu");
    TP_SCOPE;
    tp_module *m = tp_nn_init(tp_model_resnet(tp_resnet20()), dev);
    tp_tensor *x = tp_sin(tp_scale(tp_arange(0, 3072, 1, TP_F64, dev), 0.01));

    CASE("resnet20");
    x = tp_reshape(x, TP_SHAPE(1, 3, 32, 32));
    CHECK(tp_nn_cast(m, TP_F64) &&
          tp_nn_load(m, in_data("resnet-cifar10/resnet20-12fca82f.safetensors"), o));
    compare_numbers(tp_nn_predict(m, x), json_object_get(want, "synthetic_logits"), 1e-5);
    tp_nn_free(m), json_decref(want);
}

static void keep_output(tp_module *m, tp_list in, tp_list out, void *user)
{
    (void)m, (void)in;
    *(tp_tensor **)user = tp_keep(out.t[0]);
}

/* The state behind ln_f, told with six decimals. */
Test(models, a_published_gpt2)
{
    json_t *want = expected("tiny_gpt2_random/expected.json");
    tp_gpt_opts o = { .vocabulary = 21, .context = 1024, .layers = 1, .heads = 1, .width = 2 };
    tp_device *dev = tp_device_open("cpu");
    TP_SCOPE;
    tp_module *m = tp_nn_init(tp_model_gpt(o), dev);
    tp_tensor *state = NULL, *tokens;
    tp_load_opts plain = { 0 };
    double id[64];
    int n = flat_numbers(json_object_get(want, "input_ids"), id);

    CASE("gpt2");
    tokens = tp_cast(tp_from(id, TP_SHAPE(1, n), TP_F64, dev), TP_I64);
    CHECK(tp_nn_cast(m, TP_F64) &&
          tp_nn_load(tp_nn_get(m, "transformer"), in_data("tiny_gpt2_random/model.safetensors"),
                     plain));
    CHECK(tp_nn_add_hook(tp_nn_get(m, "transformer.ln_f"), keep_output, &state));
    CHECK(tp_nn_predict(m, tokens) != NULL);
    compare_numbers(state, json_object_get(want, "last_hidden_state"), 1e-6);
    tp_free(state), tp_nn_free(m);
    m = tp_nn_init(tp_model_gpt(o), dev);
    CHECK(tp_nn_load(m, in_data("tiny_gpt2_random/model.safetensors"),
                     (tp_load_opts){ .rename = "=transformer." }));
    tp_nn_free(m), json_decref(want);
}
