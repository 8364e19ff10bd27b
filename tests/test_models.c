/*
 * test_models.c - the reference models as modules: what each must do whatever its numbers, and what
 * its forward refuses.  What constructors refuse is in test_model_options.c, numbers against PyTorch
 * are in test_model_golden.c, what programs do with them in test_model_uses.c.
 */
#include "tests/files.h"
#include "tests/oom.h"

/* ---- all of them, small ---- */

enum { MOST_INPUTS = 3 };

typedef struct kind {
    const char *name;
    tp_module *(*make)(void);
    int (*inputs)(tp_tensor **in, int64_t N, tp_device *dev); /* gives how many */
    int outputs;
} kind;

static tp_tensor *numbers(tp_shape s, tp_device *dev)
{
    return check_numbers(s, TP_F32, -1, 1, dev);
}
static tp_tensor *whole(int64_t below, tp_shape s, tp_device *dev)
{
    return tp_cast(check_numbers(s, TP_F64, 0, (double)below, dev), TP_I64);
}

static tp_module *mlp(void)
{
    return tp_model_mlp((int64_t[]){ 5, 7, 3 }, 3);
}
static int rows(tp_tensor **in, int64_t N, tp_device *dev)
{
    return in[0] = numbers(TP_SHAPE(N, 5), dev), 1;
}
static tp_module *cnn(void)
{
    return tp_model_cnn((tp_cnn_opts){ .size = 8, .width = 2, .hidden = 5, .dropout = .2 });
}
static int maps(tp_tensor **in, int64_t N, tp_device *dev)
{
    return in[0] = numbers(TP_SHAPE(N, 1, 8, 8), dev), 1;
}
static tp_module *padded(void)
{
    return tp_model_resnet((tp_resnet_opts){
        .channels = 1, .width = 3, .stages = 2, .blocks = { 1, 1 }, .pad_shortcut = true });
}
static tp_module *down(void)
{
    return tp_model_resnet(
        (tp_resnet_opts){ .channels = 1, .width = 3, .stages = 2, .blocks = { 1, 1 } });
}
static tp_module *lstm(void)
{
    return tp_model_lstm((tp_lstm_model_opts){ .vocabulary = 7, .width = 4, .dropout = .2 });
}
static tp_module *lstm_tied(void)
{
    return tp_model_lstm(
        (tp_lstm_model_opts){ .vocabulary = 7, .width = 4, .layers = 1, .tied = true });
}
static int symbols(tp_tensor **in, int64_t N, tp_device *dev)
{
    return in[0] = whole(7, TP_SHAPE(N, 6), dev), 1;
}
static tp_gpt_opts gpt_opts(bool rotary)
{
    return (tp_gpt_opts){ .vocabulary = 7, .context = 8, .layers = 2, .heads = 2, .width = 8,
                          .dropout = .1, .rotary = rotary };
}
static tp_module *gpt(void)
{
    return tp_model_gpt(gpt_opts(false));
}
static tp_module *gpt_rotary(void)
{
    return tp_model_gpt(gpt_opts(true));
}
static tp_module *bert(void)
{
    return tp_model_bert((tp_bert_opts){
        .vocabulary = 7, .context = 8, .classes = 3, .layers = 2, .heads = 2, .width = 8, .dropout = .1 });
}
static int masked(tp_tensor **in, int64_t N, tp_device *dev)
{
    in[0] = whole(7, TP_SHAPE(N, 6), dev), in[1] = whole(2, TP_SHAPE(N, 6), dev),
    in[2] = whole(2, TP_SHAPE(N, 6), dev);
    return 3;
}
static tp_translate_opts translate_opts(bool first)
{
    return (tp_translate_opts){ .vocabulary = 7,
                                .context = 8,
                                .layers = 2,
                                .heads = 2,
                                .width = 8,
                                .dropout = .1,
                                .padding = 6,
                                .norm_first = first,
                                .learned = first };
}
static tp_module *translate(void)
{
    return tp_model_translate(translate_opts(false));
}
static tp_module *translate_first(void)
{
    return tp_model_translate(translate_opts(true));
}
static int pairs(tp_tensor **in, int64_t N, tp_device *dev)
{
    return in[0] = whole(7, TP_SHAPE(N, 6), dev), in[1] = whole(7, TP_SHAPE(N, 5), dev), 2;
}
static tp_module *forecast(void)
{
    return tp_model_forecast((tp_forecast_opts){
        .columns = 2, .steps_in = 6, .ahead = 4, .segment = 2, .width = 8, .dropout = .2 });
}
static int series(tp_tensor **in, int64_t N, tp_device *dev)
{
    return in[0] = numbers(TP_SHAPE(N, 6, 2), dev), 1;
}
static tp_module *vae(void)
{
    return tp_model_vae((tp_vae_opts){ .pixels = 5, .hidden = 6, .latent = 2 });
}
static tp_dcgan_opts gan_opts(int64_t classes)
{
    return (tp_dcgan_opts){ .latent = 3, .width = 1, .classes = classes };
}
static tp_module *generator(void)
{
    return tp_model_generator(gan_opts(2));
}
static int codes(tp_tensor **in, int64_t N, tp_device *dev)
{
    return in[0] = numbers(TP_SHAPE(N, 3), dev), in[1] = whole(2, TP_SHAPE(N), dev), 2;
}
static tp_module *discriminator(void)
{
    return tp_model_discriminator(gan_opts(2));
}
static int pictures(tp_tensor **in, int64_t N, tp_device *dev)
{
    return in[0] = numbers(TP_SHAPE(N, 1, 32, 32), dev), in[1] = whole(2, TP_SHAPE(N), dev), 2;
}
static tp_unet_opts unet_opts(void)
{
    return (tp_unet_opts){
        .base = 8, .levels = 2, .mults = { 1, 2 }, .blocks = 1, .classes = 2, .dropout = .1
    };
}
static tp_module *unet(void)
{
    return tp_model_unet(unet_opts());
}
static int noisy(tp_tensor **in, int64_t N, tp_device *dev)
{
    in[0] = numbers(TP_SHAPE(N, 1, 4, 4), dev), in[1] = whole(1000, TP_SHAPE(N), dev),
    in[2] = whole(3, TP_SHAPE(N), dev);
    return 3;
}

static tp_module *conv_vae(void)
{
    return tp_model_vae((tp_vae_opts){ .conv = true, .size = 8, .width = 2, .classes = 2 });
}
static int labelled_maps(tp_tensor **in, int64_t N, tp_device *dev)
{
    return maps(in, N, dev), in[1] = whole(2, TP_SHAPE(N), dev), 2;
}
static tp_module *vqvae(void)
{
    return tp_model_vqvae((tp_vqvae_opts){ .width = 4, .codes = 5, .dims = 3, .blocks = 1 });
}
static tp_module *text_encoder(void)
{
    return tp_model_text_encoder((tp_text_encoder_opts){
        .vocabulary = 7, .context = 6, .width = 8, .layers = 1, .heads = 2, .dropout = .1 });
}
static tp_module *diffusion(void)
{
    return tp_model_diffusion((tp_diffusion_opts){ .unet = unet_opts(), .size = 4 });
}
static tp_module *diffusion_text(void)
{
    tp_unet_opts o = unet_opts();

    o.classes = 0;
    return tp_model_diffusion((tp_diffusion_opts){
        .unet = o, .text = { .vocabulary = 7, .context = 6, .width = 8, .layers = 1, .heads = 2 }, .size = 4 });
}
static int described(tp_tensor **in, int64_t N, tp_device *dev)
{
    return noisy(in, N, dev), symbols(in + 2, N, dev), 3;
}

static const kind kinds[] = {
    { "mlp", mlp, rows, 1 },
    { "cnn", cnn, maps, 1 },
    { "resnet", padded, maps, 1 },
    { "resnet with downsample", down, maps, 1 },
    { "lstm", lstm, symbols, 3 },
    { "tied lstm", lstm_tied, symbols, 3 },
    { "gpt", gpt, symbols, 5 },
    { "rotary gpt", gpt_rotary, symbols, 5 },
    { "vae", vae, rows, 3 },
    { "generator", generator, codes, 1 },
    { "discriminator", discriminator, pictures, 1 },
    { "unet", unet, noisy, 1 },
    { "bert", bert, masked, 1 },
    { "translate", translate, pairs, 1 },
    { "translate, norms first", translate_first, pairs, 1 },
    { "forecast", forecast, series, 1 },
    { "conv vae", conv_vae, labelled_maps, 3 },
    { "vqvae", vqvae, maps, 4 },
    { "text encoder", text_encoder, symbols, 1 },
    { "diffusion", diffusion, noisy, 1 },
    { "diffusion by text", diffusion_text, described, 1 },
};

static tp_module *ready(const kind *k, int64_t seed, tp_device *dev)
{
    CASE("%s on %s", k->name, tp_device_name(dev));
    tp_seed((uint64_t)seed);
    return tp_nn_init(k->make(), dev);
}

/* The first output for a batch of N. */
static tp_tensor *output(const kind *k, tp_module *m, int64_t N, tp_dtype d, tp_device *dev)
{
    tp_tensor *in[MOST_INPUTS], *out[8] = { NULL };
    int n = k->inputs(in, N, dev);

    for (int i = 0; i < n; i++)
        if (tp__is_float(in[i])) in[i] = tp_cast(in[i], d);
    CHECK(tp_nn_apply(m, (tp_list){ in, n }, out, 8) == k->outputs || !tp_ok());
    return out[0];
}

static double largest(tp_tensor *a)
{
    return tp_count(a) ? tp_item(tp_amax(tp_abs(tp_cast(a, TP_F64)), TP_ALL)) : 0;
}

static bool equal(tp_tensor *a, tp_tensor *b)
{
    tp_shape s = tp_shape_of(a), t = tp_shape_of(b);

    return a && b && tp__same(&s, &t) && largest(tp_sub(a, b)) == 0;
}

static bool has_gradient(void *user, const char *name, tp_tensor **t)
{
    TP_SCOPE;
    (void)user;
    if (!strcmp(name, "codebook.weight")) return true; /* straight through */
    cr_expect(tp_grad(*t) && isfinite(largest(tp_grad(*t))), "%s: %s has no gradient", check_name,
              name);
    tp_zero_grad(*t);
    return true;
}

typedef enum how { IN_F32, IN_BF16, AUTOCAST, HOWS } how;
static const char *const how_name[] = { "f32", "bf16", "f32 under autocast" };

static void one_batch(const kind *k, int64_t N, how h, tp_device *dev)
{
    TP_SCOPE;
    TP_AUTOCAST(h == AUTOCAST ? TP_BF16 : TP_F32);
    tp_module *m = ready(k, 1, dev);
    tp_tensor *y;

    CASE("%s, a batch of %lld in %s on %s", k->name, (long long)N, how_name[h],
         tp_device_name(dev));
    CHECK(h != IN_BF16 || tp_nn_cast(m, TP_BF16));
    CHECK(N || tp_nn_train(m, "*", false) > 0); /* batch norm wants a batch */
    y = output(k, m, N, h == IN_BF16 ? TP_BF16 : TP_F32, dev);
    CHECK(y && tp_dim(y, 0) == N && isfinite(largest(y)) &&
          (h == AUTOCAST || tp_dtype_of(y) == (h ? TP_BF16 : TP_F32)));
    CHECK(tp_backward(tp_sum(tp_square(y), TP_ALL)));
    CHECK(N < 3 || tp_nn_each(tp_nn_params(m, "*"), false, has_gradient, NULL) > 0);
    tp_nn_free(m);
}

ON_EACH_DEVICE(models, batches_of_any_size)
{
    for (int i = 0; i < TP_LEN(kinds); i++)
        for (how h = IN_F32; h < HOWS; h++)
            one_batch(&kinds[i], 3, h, dev), one_batch(&kinds[i], 1, h, dev),
                one_batch(&kinds[i], 0, h, dev);
}

/* ---- copies and files ---- */

ON_EACH_DEVICE(models, clones_and_files)
{
    make_test_folder();
    for (int i = 0; i < TP_LEN(kinds); i++) {
        const kind *k = &kinds[i];
        TP_SCOPE;
        tp_module *m = ready(k, 1, dev), *copy, *other = ready(k, 2, dev);
        tp_tensor *in[MOST_INPUTS], *a = NULL, *b = NULL, *c = NULL;
        int n = k->inputs(in, 2, dev);

        CHECK(tp_nn_train(m, "*", false) > 0 && tp_nn_train(other, "*", false) > 0 &&
              (copy = tp_nn_clone(m)));
        CHECK(tp_nn_save(m, in_folder("m")) &&
              tp_nn_load(other, in_folder("m"), (tp_load_opts){ 0 }));
        tp_nn_apply(m, (tp_list){ in, n }, &a, 1);
        tp_nn_free(m);
        tp_nn_apply(copy, (tp_list){ in, n }, &b, 1), tp_nn_apply(other, (tp_list){ in, n }, &c, 1);
        CHECK(equal(a, b) && equal(a, c));
        tp_nn_free(copy), tp_nn_free(other);
    }
    remove_test_folder();
}

/* In evaluation a run draws nothing; in training what drops or samples does. */
ON_EACH_DEVICE(models, train_and_eval)
{
    for (int i = 0; i < TP_LEN(kinds); i++) {
        TP_SCOPE;
        tp_module *m = ready(&kinds[i], 1, dev);
        tp_tensor *in[MOST_INPUTS], *a = NULL, *b = NULL;
        tp_list list = { in, kinds[i].inputs(in, 2, dev) };
        bool draws = strstr("cnn lstm gpt rotary gpt conv vae unet text encoder bert translate, norms first forecast diffusion by text", kinds[i].name) != NULL;

        tp_nn_apply(m, list, &a, 1), tp_nn_apply(m, list, &b, 1);
        CHECK(a && b && equal(a, b) == !draws);
        CHECK(tp_nn_train(m, "*", false) > 0);
        tp_nn_apply(m, list, &a, 1), tp_nn_apply(m, list, &b, 1);
        CHECK(equal(a, b));
        {
            TP_NO_GRAD;
            tp_nn_apply(m, list, &a, 1);
            CHECK(equal(a, b) && !tp_needs_grad(a));
        }
        tp_nn_free(m);
    }
}

ON_EACH_DEVICE(models, summaries)
{
    for (int i = 0; i < TP_LEN(kinds); i++) {
        TP_SCOPE;
        tp_module *m = ready(&kinds[i], 1, dev);
        tp_tensor *in[MOST_INPUTS];
        tp_list list = { in, kinds[i].inputs(in, 2, dev) };
        char text[16384];
        size_t n = tp_summary_text(m, list, text, sizeof text);

        CHECK(n > 100 && n < sizeof text && strstr(text, tp_nn_child_name(m, 0)));
        for (const char *line = text, *end; *line; line = end + 1) {
            end = strchr(line, '\n');
            CHECK(end && end - line <= 100);
        }
        tp_nn_free(m);
    }
}

/* ---- out of memory ---- */

typedef struct tight {
    const kind *k;
    tp_module *m;
    tp_tensor *in[MOST_INPUTS];
    int n;
    tp_device *dev;
    long live;
} tight;

static bool make(void *user)
{
    tight *t = user;

    return (t->m = tp_nn_init(t->k->make(), t->dev)) && tp_ok();
}

static void unmake(void *user, bool done)
{
    tight *t = user;

    CHECK(!done || t->m);
    tp_nn_free(t->m), tp_thread_end();
    CHECK(tp__live() == t->live);
}

static bool step(void *user)
{
    tight *t = user;
    tp_tensor *out[8];
    TP_SCOPE;

    return tp_nn_apply(t->m, (tp_list){ t->in, t->n }, out, 8) == t->k->outputs &&
           tp_backward(tp_sum(tp_square(out[0]), TP_ALL));
}

static bool drop(void *user, const char *name, tp_tensor **t)
{
    (void)user, (void)name;
    return tp_zero_grad(*t);
}

static void after_step(void *user, bool done)
{
    tight *t = user;

    (void)done;
    CHECK(tp_nn_each(tp_nn_params(t->m, "*"), false, drop, NULL) > 0);
    tp_thread_end();
    CHECK(tp__live() == t->live);
}

ON_EACH_DEVICE(models, out_of_memory)
{
    for (int i = 0; i < TP_LEN(kinds); i++) {
        tight t = { .k = &kinds[i], .dev = dev };

        tp_thread_end(), t.live = tp__live();
        CASE("making %s on %s", t.k->name, tp_device_name(dev));
        at_every_allocation(make, unmake, &t);
        t.m = ready(t.k, 1, dev);
        {
            TP_SCOPE;
            t.n = t.k->inputs(t.in, 2, dev);
            for (int j = 0; j < t.n; j++)
                tp_keep(t.in[j]);
        }
        CHECK(step(&t) && tp_nn_each(tp_nn_params(t.m, "*"), false, drop, NULL) > 0);
        tp_thread_end(), t.live = tp__live();
        CASE("a step of %s on %s", t.k->name, tp_device_name(dev));
        at_every_allocation(step, after_step, &t);
        for (int j = 0; j < t.n; j++)
            tp_free(t.in[j]);
        tp_nn_free(t.m);
    }
}

/* ---- refusals ---- */

/* The inputs are of a model and of no other: a missing one, one more, another number of axes. */
ON_EACH_DEVICE(models, inputs_that_cannot_be)
{
    for (int i = 0; i < TP_LEN(kinds); i++) {
        TP_SCOPE;
        tp_module *m = ready(&kinds[i], 1, dev);
        tp_tensor *in[MOST_INPUTS + 1], *out[8];
        int n = kinds[i].inputs(in, 2, dev);

        in[n] = in[0];
        CHECK_REFUSED(tp_nn_apply(m, (tp_list){ NULL, 0 }, out, 8) >= 0, TP_ERR_ARG,
                      ", not 0");
        CHECK_REFUSED(tp_nn_apply(m, (tp_list){ in, n + 1 }, out, 8) >= 0, TP_ERR_ARG, "not ");
        for (int j = 0; j < n; j++) {
            tp_tensor *was = in[j];

            in[j] = NULL;
            CHECK_REFUSED(tp_nn_apply(m, (tp_list){ in, n }, out, 8) >= 0, TP_ERR_ARG,
                          "is missing");
            in[j] = tp_unsqueeze(tp_unsqueeze(was, 0), 0);
            CHECK(tp_nn_apply(m, (tp_list){ in, n }, out, 8) < 0 || !strcmp(kinds[i].name, "mlp") ||
                  !strcmp(kinds[i].name, "vae"));
            CHECK(tp_ok() || tp_error_code() == TP_ERR_SHAPE);
            tp_clear_error(), in[j] = was;
        }
        CHECK(tp_nn_apply(m, (tp_list){ in, n }, out, 8) == kinds[i].outputs);
        tp_nn_free(m);
    }
}

static bool refuses(tp_module *m, tp_list in, tp_code code, const char *text)
{
    tp_tensor *out[8];
    bool ok = tp_nn_apply(m, in, out, 8) < 0 && tp_error_code() == code && strstr(tp_error(), text);

    cr_expect(ok, "%s: refused with \"%s\", not \"%s\"", check_name, tp_error(), text);
    tp_clear_error();
    return ok;
}

ON_EACH_DEVICE(models, inputs_by_name)
{
    TP_SCOPE;
    tp_module *g = ready(&kinds[9], 1, dev), *d = ready(&kinds[10], 1, dev),
              *u = ready(&kinds[11], 1, dev);
    tp_module *t = ready(&kinds[6], 1, dev), *l = ready(&kinds[4], 1, dev),
              *c = ready(&kinds[1], 1, dev), *b = ready(&kinds[12], 1, dev), *r = ready(&kinds[13], 1, dev),
              *w = ready(&kinds[15], 1, dev);
    tp_tensor *one = whole(2, TP_SHAPE(2), dev), *x = numbers(TP_SHAPE(2, 1, 28, 28), dev),
              *z = numbers(TP_SHAPE(2, 4), dev);
    tp_tensor *s = whole(7, TP_SHAPE(2, 9), dev), *k = numbers(TP_SHAPE(2, 2, 3, 4), dev),
              *h = numbers(TP_SHAPE(2, 2, 4), dev);
    tp_tensor *two = whole(7, TP_SHAPE(2, 2), dev), *longer = numbers(TP_SHAPE(2, 2, 4, 4), dev);

    CHECK(refuses(g, TP_LIST(z, one), TP_ERR_SHAPE, "z must be (N, latent), not (2, 4)"));
    CHECK(refuses(g, TP_LIST(z), TP_ERR_ARG, "it is conditional, and labels are missing"));
    CHECK(refuses(d, TP_LIST(x, one), TP_ERR_SHAPE,
                  "x must be (N, channels, 32, 32), not (2, 1, 28, 28)"));
    CHECK(refuses(c, TP_LIST(x), TP_ERR_SHAPE,
                  "cnn: x must be (N, channels, size, size), not (2, 1, 28, 28)"));
    CHECK(
        refuses(u, TP_LIST(x, one), TP_ERR_ARG, "unet: it is conditional, and labels are missing"));
    CHECK(refuses(u, TP_LIST(tp_slice(x, 2, 0, 7), one, one), TP_ERR_SHAPE,
                  "maps of 7x28 can't be halved 1 times"));
    CHECK(refuses(u, TP_LIST(x, tp_slice(one, 0, 0, 1), one), TP_ERR_SHAPE,
                  "time must be (N), not (1)"));
    CHECK(refuses(t, TP_LIST(one), TP_ERR_SHAPE, "tokens must be (N, T), not (2)"));
    CHECK(refuses(t, TP_LIST(s), TP_ERR_SHAPE, "9 tokens are more than its context of 8"));
    CHECK(refuses(t, TP_LIST(two, k, k), TP_ERR_ARG,
                  "keys and values of all 2 layers or of none, not 3 inputs"));
    CHECK(refuses(t, TP_LIST(two, k, k, k, h), TP_ERR_SHAPE,
                  "values must be (N, heads, past, width / heads)"));
    CHECK(refuses(t, TP_LIST(two, k, k, k, longer), TP_ERR_SHAPE, "values must be"));
    CHECK(refuses(b, TP_LIST(s), TP_ERR_SHAPE, "bert: 9 tokens, and 1 to its context of 8"));
    CHECK(refuses(b, TP_LIST(two, s), TP_ERR_SHAPE, "mask must be (N, T) as the tokens are, not (2, 9)"));
    CHECK(refuses(r, TP_LIST(two, s), TP_ERR_SHAPE, "translate: 9 symbols are more than its context of 8"));
    CHECK(refuses(r, TP_LIST(two, one), TP_ERR_SHAPE, "target must be (N, T), not (2)"));
    CHECK(refuses(w, TP_LIST(h), TP_ERR_SHAPE, "x must be (N, steps_in, columns), not (2, 2, 4)"));
    CHECK(refuses(l, TP_LIST(two, h), TP_ERR_ARG,
                  "tokens, or tokens, h and c are wanted, not 2 inputs"));
    CHECK(refuses(l, TP_LIST(two, k, k), TP_ERR_SHAPE, "h is"));
    CASE("not drawn yet");
    tp_nn_free(l), l = kinds[4].make();
    CHECK(refuses(l, TP_LIST(two), TP_ERR_ARG, "call tp_nn_init first"));
    CASE("the parts of a model");
    CHECK_REFUSED(tp_model_cnn_features(g, x), TP_ERR_ARG, "a model of tp_model_cnn is wanted, not generator");
    tp_nn_free(g), tp_nn_free(d), tp_nn_free(u), tp_nn_free(t), tp_nn_free(l), tp_nn_free(c);
    tp_nn_free(b), tp_nn_free(r), tp_nn_free(w);
}
