/*
 * test_model_golden.c - the reference models against the same models in PyTorch.
 *
 * tests/golden/family_models.py and family_diffusion.py tell the names in the files.  The loss and all gradients of a
 * first step, in f64 and f32, with inputs dense, strided and channels-last, may differ by
 * golden.h's rule, length being the elements of the largest parameter or input.  Gradients are
 * stored in f32, so that in f64 its epsilon is allowed.  In f64 the losses of ten steps stay within
 * 1e-8, relative.
 */
#include "tests/golden.h"

enum { STEPS = 10, MOST_INPUTS = 4, MOST_PARTS = 2 };

typedef struct lesson lesson;
typedef struct reference {
    const char *name;
    tp_module *(*make)(void);
    tp_tensor *(*loss)(const lesson *k, int part);
    double beta; /* of the autoencoder */
    bool sgd;
    bool two_parts; /* a discriminator d and a generator g */
} reference;

struct lesson {
    const reference *r;
    const tp_file *f;
    tp_device *dev;
    tp_dtype dtype;
    dress how;
    tp_module *m;
    tp_tensor *in[MOST_INPUTS]; /* of one step */
    int n;
};

/* ---- losses: of one part, for the inputs of one step ---- */

static tp_tensor *run(tp_module *m, tp_list in)
{
    tp_tensor *y = NULL;

    tp_nn_apply(m, in, &y, 1);
    return y;
}

static tp_tensor *classify(const lesson *k, int part)
{
    (void)part;
    return tp_cross_entropy(tp_nn_forward(k->m, k->in[0]), k->in[1]);
}

static tp_tensor *likelihood(tp_tensor *logits, tp_tensor *next)
{
    return tp_cross_entropy(tp_reshape(logits, TP_SHAPE(-1, tp_dim(logits, -1))),
                            tp_reshape(next, TP_SHAPE(-1)));
}

static tp_tensor *next_symbol(const lesson *k, int part)
{
    int64_t T = tp_dim(k->in[0], 1) - 1;

    (void)part;
    return likelihood(tp_nn_forward(k->m, tp_slice(k->in[0], 1, 0, T)),
                      tp_slice(k->in[0], 1, 1, T + 1));
}

/* Two halves of a sequence: the second begins with the first's state. */
static tp_tensor *carried(const lesson *k, int part)
{
    tp_tensor *x = k->in[0], *a[3], *b[3], *loss;
    int64_t half = tp_dim(x, 1) / 2;

    (void)part;
    if (tp_nn_apply(k->m, TP_LIST(tp_slice(x, 1, 0, half)), a, 3) != 3) return NULL;
    loss = likelihood(a[0], tp_slice(x, 1, 1, half + 1));
    if (tp_nn_apply(k->m, TP_LIST(tp_slice(x, 1, half, 2 * half), a[1], a[2]), b, 3) != 3)
        return NULL;
    return tp_add(loss, likelihood(b[0], tp_slice(x, 1, half + 1, 2 * half + 1)));
}

/* With the noise of the file: in evaluation the model draws none. */
static tp_tensor *elbo(const lesson *k, int part)
{
    tp_tensor *x = k->in[0], *noise = k->in[1], *labels = k->n > 2 ? k->in[2] : NULL, *out[3], *z;

    (void)part;
    tp_nn_train(k->m, "*", false);
    if (tp_nn_apply(k->m, labels ? TP_LIST(x, labels) : TP_LIST(x), out, 3) != 3) return NULL;
    z = tp_add(out[1], tp_mul(tp_exp(tp_scale(out[2], 0.5)), noise));
    return tp_model_vae_loss(tp_model_vae_decode(k->m, z, labels), x, out[1], out[2], k->r->beta);
}

static tp_tensor *quantized(const lesson *k, int part)
{
    tp_tensor *out[4];

    (void)part;
    if (tp_nn_apply(k->m, TP_LIST(k->in[0]), out, 4) != 4) return NULL;
    return tp_model_vqvae_loss(out[0], k->in[0], out[1], out[2]);
}

static tp_tensor *judged(const lesson *k, tp_tensor *x)
{
    tp_module *d = tp_nn_get(k->m, "d");

    return k->n > 2 ? run(d, TP_LIST(x, k->in[2])) : run(d, TP_LIST(x));
}

static tp_tensor *adversarial(const lesson *k, int part)
{
    tp_module *g = tp_nn_get(k->m, "g");
    tp_tensor *fake = k->n > 2 ? run(g, TP_LIST(k->in[1], k->in[2])) : run(g, TP_LIST(k->in[1]));

    if (part == 1) return tp_model_generator_loss(judged(k, fake));
    return tp_model_discriminator_loss(judged(k, k->in[0]), judged(k, tp_detach(fake)));
}

/* The penalty is of the file's samples between the two: between equal ones there are no others. */
static tp_tensor *wgan_gp(const lesson *k, int part)
{
    tp_tensor *real = k->in[0], *fake = k->in[1], *mid = tp_lerp(fake, real, k->in[2]);

    (void)part;
    return tp_add(tp_sub(tp_mean(tp_nn_forward(k->m, fake), TP_ALL),
                         tp_mean(tp_nn_forward(k->m, real), TP_ALL)),
                  tp_scale(tp_model_gradient_penalty(k->m, mid, mid, NULL), 10));
}

static tp_tensor *denoise(const lesson *k, int part)
{
    tp_tensor *a[] = { k->in[0], k->in[2], k->in[3] };

    (void)part;
    return tp_mse(run(k->m, (tp_list){ a, k->n - 1 }), k->in[1]);
}

/* tokens, labels [, mask, types] */
static tp_tensor *marked(const lesson *k, int part)
{
    tp_tensor *a[] = { k->in[0], k->in[2], k->in[3] };

    (void)part;
    return tp_cross_entropy(run(k->m, (tp_list){ a, k->n - 1 }), k->in[1]);
}

static tp_tensor *translated(const lesson *k, int part)
{
    const tp_translate_opts *t = tp_nn_opts(k->m);
    tp_cross_entropy_opts o = tp_cross_entropy_defaults();
    int64_t T = tp_dim(k->in[1], 1) - 1;
    tp_tensor *y = run(k->m, TP_LIST(k->in[0], tp_slice(k->in[1], 1, 0, T)));

    (void)part;
    o.ignore_index = t->padding, o.label_smoothing = 0.1;
    return tp_cross_entropy_with(
        tp_reshape(y, TP_SHAPE(-1, tp_dim(y, 2))),
        tp_reshape(tp_slice(k->in[1], 1, 1, T + 1), TP_SHAPE(-1)), o);
}

static tp_tensor *forecasted(const lesson *k, int part)
{
    tp_tensor *scale = tp_from((double[]){ 0.5, 2, 1 }, TP_SHAPE(3), TP_F64, k->dev);

    (void)part;
    if (!tp_copy_(tp_nn_tensor(k->m, "scale"), scale)) return NULL;
    return tp_mse(tp_nn_forward(k->m, k->in[0]), k->in[1]);
}

/* Of pictures, times, noise and a condition. */
static tp_tensor *diffuse(const lesson *k, int part)
{
    tp_tensor *x = k->in[0], *t = k->in[1], *noise = k->in[2];

    (void)part;
    return tp_mse(run(k->m, TP_LIST(tp_model_diffusion_noised(k->m, x, t, noise), t, k->in[3])),
                  tp_model_diffusion_target(k->m, x, t, noise));
}

/* ---- the models ---- */

static tp_module *mlp(void)
{
    return tp_model_mlp((int64_t[]){ 12, 10, 8, 4 }, 4);
}
static tp_module *cnn(void)
{
    return tp_model_cnn(
        (tp_cnn_opts){ .channels = 2, .size = 9, .classes = 5, .width = 3, .hidden = 10 });
}
static tp_module *cnn_norm(void)
{
    return tp_model_cnn((tp_cnn_opts){
        .channels = 2, .size = 9, .classes = 5, .width = 3, .hidden = 10, .norm = true });
}
static tp_module *resnet20(void)
{
    tp_resnet_opts o = tp_resnet20();

    o.width = 4;
    return tp_model_resnet(o);
}
static tp_module *resnet_down(void)
{
    return tp_model_resnet((tp_resnet_opts){ .width = 4, .stages = 2, .blocks = { 1, 2 } });
}
static tp_module *resnet_large(void)
{
    return tp_model_resnet((tp_resnet_opts){
        .channels = 1, .classes = 3, .width = 4, .stages = 2, .blocks = { 1, 1 }, .large = true });
}
static tp_module *lstm(void)
{
    return tp_model_lstm((tp_lstm_model_opts){ .vocabulary = 11, .width = 8 });
}
static tp_module *lstm_tied(void)
{
    return tp_model_lstm((tp_lstm_model_opts){ .vocabulary = 11, .width = 8, .tied = true });
}
static tp_gpt_opts small_gpt(void)
{
    return (tp_gpt_opts){ .vocabulary = 13, .context = 10, .layers = 2, .heads = 2, .width = 16 };
}
static tp_module *gpt(void)
{
    return tp_model_gpt(small_gpt());
}
static tp_module *gpt_rotary(void)
{
    tp_gpt_opts o = small_gpt();

    o.rotary = true;
    return tp_model_gpt(o);
}
static tp_module *gpt_plain(void)
{
    tp_gpt_opts o = small_gpt();

    o.no_bias = o.untied = o.erf_gelu = true;
    return tp_model_gpt(o);
}
static tp_module *bert(void)
{
    return tp_model_bert((tp_bert_opts){ .vocabulary = 11,
                                         .context = 9,
                                         .classes = 4,
                                         .layers = 2,
                                         .heads = 2,
                                         .width = 8,
                                         .hidden = 12 });
}
static tp_module *bert_plain(void)
{
    return tp_model_bert((tp_bert_opts){ .vocabulary = 11,
                                         .context = 9,
                                         .classes = 4,
                                         .layers = 1,
                                         .heads = 2,
                                         .width = 8 });
}
static tp_module *translate(void)
{
    return tp_model_translate((tp_translate_opts){ .vocabulary = 11,
                                                   .context = 9,
                                                   .layers = 2,
                                                   .heads = 2,
                                                   .width = 8,
                                                   .hidden = 12,
                                                   .padding = 3 });
}
static tp_module *translate_first(void)
{
    return tp_model_translate((tp_translate_opts){ .vocabulary = 11,
                                                   .context = 9,
                                                   .layers = 1,
                                                   .heads = 2,
                                                   .width = 8,
                                                   .padding = 3,
                                                   .norm_first = true,
                                                   .learned = true });
}
static tp_module *forecast(void)
{
    return tp_model_forecast((tp_forecast_opts){
        .columns = 3, .steps_in = 8, .ahead = 4, .segment = 2, .width = 8 });
}
static tp_module *vae(void)
{
    return tp_model_vae((tp_vae_opts){ .pixels = 12, .hidden = 9, .latent = 3 });
}
static tp_module *vae_labels(void)
{
    return tp_model_vae((tp_vae_opts){ .pixels = 12, .hidden = 9, .latent = 3, .classes = 5 });
}
static tp_module *vae_conv(void)
{
    return tp_model_vae((tp_vae_opts){
        .conv = true, .channels = 2, .size = 8, .width = 3, .hidden = 9, .latent = 3 });
}
static tp_module *vae_conv_labels(void)
{
    return tp_model_vae((tp_vae_opts){
        .conv = true, .size = 8, .width = 2, .hidden = 9, .latent = 3, .classes = 5 });
}
static tp_module *vqvae(void)
{
    return tp_model_vqvae((tp_vqvae_opts){ .channels = 2, .width = 6, .codes = 7, .dims = 3 });
}
static tp_module *both(tp_dcgan_opts o)
{
    tp_module *m = tp_nn_container("gan");

    tp_nn_add(m, "d", tp_model_discriminator(o)), tp_nn_add(m, "g", tp_model_generator(o));
    return m;
}
static tp_module *gan(void)
{
    return both((tp_dcgan_opts){ .latent = 6, .width = 3 });
}
static tp_module *gan_labels(void)
{
    return both((tp_dcgan_opts){ .latent = 6, .width = 2, .classes = 4 });
}
static tp_module *critic(void)
{
    return tp_model_discriminator((tp_dcgan_opts){ .width = 3, .critic = true });
}
static tp_module *unet_plain(void)
{
    return tp_model_unet(
        (tp_unet_opts){ .channels = 2, .base = 8, .levels = 2, .mults = { 2, 2 }, .blocks = 1 });
}
static tp_module *unet_labels(void)
{
    return tp_model_unet((tp_unet_opts){
        .base = 8, .levels = 1, .mults = { 2 }, .blocks = 1, .attention = 1, .classes = 3 });
}
static tp_module *unet_text(void)
{
    return tp_model_unet((tp_unet_opts){
        .base = 8, .levels = 1, .mults = { 2 }, .blocks = 1, .attention = 2, .context = 5 });
}
static tp_module *diffusion_labels(void)
{
    return tp_model_diffusion((tp_diffusion_opts){
        .unet = { .base = 8, .levels = 1, .mults = { 2 }, .blocks = 1, .attention = 1, .classes = 3 },
        .size = 4, .steps = 100 });
}
static tp_module *diffusion_text(void)
{
    return tp_model_diffusion((tp_diffusion_opts){
        .unet = { .channels = 2, .base = 8, .levels = 2, .mults = { 2, 2 }, .blocks = 1, .attention = 2 },
        .text = { .vocabulary = 5, .context = 4, .width = 8, .layers = 2, .heads = 2 },
        .size = 4, .steps = 50, .schedule = TP_NOISE_COSINE, .target = TP_TARGET_V });
}

/* ---- one case ---- */

static const char *part_of(const reference *r, int part)
{
    return !r->two_parts ? "*" : part ? "g.*" : "d.*";
}

static tp_tensor *need(const lesson *k, const char *role, const char *name)
{
    char full[160];
    int at;

    snprintf(full, sizeof full, "%s.%s%s%s", k->r->name, role, *name ? "." : "", name);
    cr_assert((at = tp_file_find(k->f, full)) >= 0, "no %s", full);
    return tp_file_read(k->f, at, k->dev);
}

/* Does the file hold these parameters and no others? */
static void open_model(lesson *k, const char *path)
{
    char prefix[64];
    tp_load_report r;
    int there = 0;

    snprintf(prefix, sizeof prefix, "%s.init.", k->r->name);
    for (int i = 0; i < tp_file_count(k->f); i++)
        there += !strncmp(tp_file_name(k->f, i), prefix, strlen(prefix));
    k->m = k->r->make();
    CHECK(tp_nn_cast(k->m, k->dtype) && tp_nn_init(k->m, k->dev) &&
          tp_nn_load(k->m, path,
                     (tp_load_opts){ .strip_prefix = prefix, .partial = true, .report = &r }));
    CHECK(there > 0 && r.loaded == there && r.misshaped == 0);
}

static void take_inputs(lesson *k, int step)
{
    char name[16], full[80];

    for (k->n = 0; k->n < MOST_INPUTS; k->n++) {
        tp_tensor *all;
        tp_shape s;

        snprintf(name, sizeof name, "%d", k->n),
            snprintf(full, sizeof full, "%s.in.%s", k->r->name, name);
        if (tp_file_find(k->f, full) < 0) break;
        all = need(k, "in", name), s = tp_shape_of(all);
        step %= (int)s.n[0];
        memmove(s.n, s.n + 1, sizeof *s.n * (size_t)--s.rank);
        all = tp_reshape(tp_slice(all, 0, step, step + 1), s);
        k->in[k->n] = dressed(tp__is_float(all) ? tp_cast(all, k->dtype) : all, k->how);
    }
}

typedef struct judge {
    const lesson *k;
    double length, worst;
} judge;

static bool measure(void *user, const char *name, tp_tensor **t)
{
    judge *j = user;

    (void)name;
    j->length = fmax(j->length, (double)tp_count(*t));
    return true;
}

static judge judge_of(const lesson *k)
{
    judge j = { .k = k, .length = 1 };

    tp_nn_each(tp_nn_params(k->m, "*"), false, measure, &j);
    for (int i = 0; i < k->n; i++)
        j.length = fmax(j.length, (double)tp_count(k->in[i]));
    return j;
}

/* size: of what the error is measured by, as a rule want itself */
static void close_enough(judge *j, const char *what, tp_tensor *got, tp_tensor *want,
                         double size, double epsilon)
{
    int64_t n = tp_count(want);
    double *x = values(got), *y = values(want), norm = size * size, error = 0, bound;

    cr_assert(tp_count(got) == n, "%s: %s has %lld numbers, not %lld", check_name, what,
              (long long)tp_count(got), (long long)n);
    for (int64_t i = 0; i < n; i++)
        norm += size > 0 ? 0 : y[i] * y[i], error += (x[i] - y[i]) * (x[i] - y[i]);
    bound = fmax(tolerance_factor * (j->k->dtype == TP_F64 ? 0x1p-52 : 0x1p-23) * sqrt(j->length),
                 epsilon) *
            sqrt(norm);
    cr_expect(sqrt(error) <= bound, "%s: %s is off by %.3g, %.3g is allowed", check_name, what,
              sqrt(error), bound);
    if (bound > 0) j->worst = fmax(j->worst, sqrt(error) / bound);
    free(x), free(y);
}

static bool compare_gradient(void *user, const char *name, tp_tensor **t)
{
    judge *j = user;
    TP_SCOPE;
    tp_tensor *want = need(j->k, "grad", name), *got = tp_grad(*t);
    const char *bias =
        strstr(name, "key.bias"); /* it moves no softmax: what is there is rounding */
    double size = 0;

    if (bias) {
        char weight[160];

        snprintf(weight, sizeof weight, "%.*skey.weight", (int)(bias - name), name);
        size = tp_item(tp_norm(tp_cast(need(j->k, "grad", weight), TP_F64), 2, TP_ALL));
    }
    cr_assert(got, "%s: no gradient of %s", check_name, name);
    got = tp_reshape(got, TP_SHAPE(-1));
    if (tp_count(got) > 512) got = tp_slice_step(got, 0, 0, tp_count(got), 3);
    close_enough(j, name, got, want, size, 0x1p-23);
    return true;
}

static bool forget(void *user, const char *name, tp_tensor **t)
{
    (void)user, (void)name;
    tp_zero_grad(*t);
    return true;
}

/* The first step without its update. */
static double first_step(const reference *r, const tp_file *f, const char *path, tp_dtype d,
                         dress how, tp_device *dev)
{
    lesson k = { .r = r, .f = f, .dev = dev, .dtype = d, .how = how };
    TP_SCOPE;
    tp_tensor *loss, *want = need(&k, "loss", "");
    judge j;

    CASE("%s, %s, %s on %s", r->name, tp_dtype_name(d), dress_name[how], tp_device_name(dev));
    open_model(&k, path), take_inputs(&k, 0), j = judge_of(&k);
    for (int part = 0; part < 1 + r->two_parts; part++) {
        loss = r->loss(&k, part);
        CHECK(tp_nn_each(tp_nn_params(k.m, "*"), false, forget, NULL) > 0 && tp_backward(loss));
        if (part == 0)
            close_enough(&j, "the loss", loss,
                         tp_slice(tp_reshape(want, TP_SHAPE(-1)), 0, 0, 1), 0, 0);
        CHECK(tp_nn_each(tp_nn_params(k.m, part_of(r, part)), false, compare_gradient, &j) > 0);
    }
    tp_nn_free(k.m);
    return j.worst;
}

static tp_optim *optimizer(const lesson *k, int part, tp_tensor *o)
{
    tp_params all = tp_nn_params(k->m, part_of(k->r, part));
    tp_sgd_opts sgd = tp_sgd(check_at(o, 0));
    tp_adam_opts adam = check_at(o, 3) > 0 ? tp_adamw(check_at(o, 0)) : tp_adam(check_at(o, 0));

    sgd.momentum = adam.beta1 = check_at(o, 1), adam.beta2 = check_at(o, 2);
    sgd.weight_decay = adam.weight_decay = check_at(o, 3);
    if (k->r->sgd) return tp_optim_sgd(all, sgd);
    return adam.weight_decay > 0 ? tp_optim_adamw(all, adam) : tp_optim_adam(all, adam);
}

static void ten_steps(const reference *r, const tp_file *f, const char *path, tp_device *dev)
{
    lesson k = { .r = r, .f = f, .dev = dev, .dtype = TP_F64 };
    tp_optim *rule[MOST_PARTS] = { NULL };
    int parts = 1 + r->two_parts;
    TP_SCOPE;
    tp_tensor *want = need(&k, "loss", ""), *fopts = need(&k, "fopts", "");

    open_model(&k, path);
    for (int i = 0; i < parts; i++)
        rule[i] = optimizer(&k, i, fopts);
    for (int i = 0; tp_ok() && i < STEPS * parts; i++) {
        TP_SCOPE;
        tp_optim *o = rule[i % parts];
        tp_tensor *loss;
        double w = check_at(want, i), clip = check_at(fopts, 4);

        CASE("%s on %s, step %d, part %d", r->name, tp_device_name(dev), i / parts, i % parts);
        take_inputs(&k, i / parts);
        loss = r->loss(&k, i % parts);
        CHECK(tp_optim_zero_grad(o) && tp_backward(loss) &&
              (clip == 0 || tp_optim_clip_norm(o, clip)) && tp_optim_step(o));
        CHECK_NEAR(tp_item(loss), w, 1e-8 * fabs(w));
    }
    for (int i = 0; i < parts; i++)
        tp_optim_free(rule[i]);
    tp_nn_free(k.m);
}

static void check_models(const char *stem, const reference *r, int n, tp_device *dev)
{
    tp_file *f = open_golden(stem);
    char path[512];

    snprintf(path, sizeof path, "%s/%s.safetensors", TP_GOLDEN, stem);
    cr_assert(f, "%s", tp_error());
    for (int i = 0; i < n; i++) {
        double worst = 0;

        for (dress how = DENSE; how < DRESSES; how++) {
            first_step(&r[i], f, path, TP_F64, how, dev);
            worst = fmax(worst, first_step(&r[i], f, path, TP_F32, how, dev));
        }
        ten_steps(&r[i], f, path, dev);
        fprintf(stderr, "%s in f32: off by %.2g of what is allowed\n", r[i].name, worst);
    }
    tp_file_close(f);
}

#define MODELS(stem, ...)                                                                          \
    ON_EACH_DEVICE(models, stem)                                                      \
    {                                                                                              \
        static const reference r[] = { __VA_ARGS__ };                                              \
        check_models("model_" #stem, r, TP_LEN(r), dev);                                           \
    }

MODELS(classifiers, { "mlp", mlp, classify }, { "cnn", cnn, classify },
       { "cnn_norm", cnn_norm, classify },
       { "resnet20", resnet20, classify, .sgd = true },
       { "resnet_down", resnet_down, classify, .sgd = true },
       { "resnet_large", resnet_large, classify, .sgd = true })
MODELS(language, { "lstm", lstm, carried }, { "lstm_tied", lstm_tied, carried },
       { "gpt", gpt, next_symbol }, { "gpt_rotary", gpt_rotary, next_symbol },
       { "gpt_plain", gpt_plain, next_symbol })
MODELS(texts, { "bert", bert, marked }, { "bert_plain", bert_plain, marked },
       { "translate", translate, translated },
       { "translate_first", translate_first, translated },
       { "forecast", forecast, forecasted })
MODELS(generative, { "vae", vae, elbo, .beta = 1 }, { "vae_beta", vae, elbo, .beta = 4 },
       { "gan", gan, adversarial, .two_parts = true },
       { "gan_labels", gan_labels, adversarial, .two_parts = true }, { "critic", critic, wgan_gp })
MODELS(autoencoders, { "vae_labels", vae_labels, elbo, .beta = 1 },
       { "vae_conv", vae_conv, elbo, .beta = 1 },
       { "vae_conv_labels", vae_conv_labels, elbo, .beta = 4 }, { "vqvae", vqvae, quantized })
MODELS(unet, { "unet", unet_plain, denoise }, { "unet_labels", unet_labels, denoise },
       { "unet_text", unet_text, denoise })
MODELS(diffusion, { "diffusion_labels", diffusion_labels, diffuse },
       { "diffusion_text", diffusion_text, diffuse })
