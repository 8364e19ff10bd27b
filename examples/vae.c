/*
 * vae.c - a variational autoencoder of pictures (Kingma & Welling 2014): 784-400-20.
 *
 *   vae [--data DIR] [--epochs 10] ...        vae --help
 *   vae --sample                              new pictures, from OUT/vae.safetensors
 *
 * Trains on Fashion-MNIST, or on any folder with MNIST's four files.  Into --out go log.csv,
 * vae.safetensors, state.safetensors and, with --plot or --sample, samples.png, reconstructions.png (pictures
 * above, what becomes of them below), walk.png (from one picture to another through the codes) and strange.png
 * (the test pictures that it can explain least, with their nats).  The loss is -ELBO in nats a picture.
 */
#include <taper.h>

#include <stdio.h>
#include <string.h>

enum { ACROSS = 10, SIDE = 28, PIXELS = SIDE * SIDE };

static double beta = 1;
static int64_t latent = 20, hidden = 400;
static bool sample;

static const tp_train_flag flags[] = {
    { "beta", "weight of the divergence", TP_FLAG_REAL, &beta, 0, 1000 },
    { "latent", "numbers in a code", TP_FLAG_WHOLE, &latent, 1, 4096 },
    { "hidden", "width of the hidden layers", TP_FLAG_WHOLE, &hidden, 1, 65536 },
    { "sample", "draw from OUT/vae.safetensors, and no training", TP_FLAG_YES, &sample, 0, 0 },
};

/* -ELBO of the batch, in nats a picture.  In evaluation the model takes the mean for the code, which would be
 * no bound: it is drawn here. */
static tp_tensor *nats(tp_module *vae, tp_tensor *x, double weight)
{
    tp_tensor *flat = tp_flatten(x, 1), *out[3], *noise;

    if (tp_nn_apply(vae, TP_LIST(flat), out, 3) < 0) return NULL;
    if (!tp_nn_training(vae)) {
        noise = tp_mul(tp_exp(tp_scale(out[2], 0.5)), tp_randn_like(out[2]));
        out[0] = tp_model_vae_decode(vae, tp_add(out[1], noise));
    }
    return tp_scale(tp_model_vae_loss(out[0], flat, out[1], out[2], weight), 1.0 / (double)tp_dim(x, 0));
}

static tp_tensor *rows_as_they_are(tp_module *vae, tp_batch b, void *unused)
{
    (void)unused;
    return nats(vae, b.x, tp_nn_training(vae) ? beta : 1);
}

static tp_tensor *itself(tp_tensor *y, tp_batch b, void *unused)
{
    (void)b, (void)unused;
    return y;
}

/* ---- pictures ---- */

static tp_tensor *pictures(tp_tensor *logits)
{
    return tp_reshape(tp_sigmoid(logits), TP_SHAPE(-1, 1, SIDE, SIDE));
}

static tp_tensor *codes(tp_module *vae, tp_tensor *x)
{
    tp_tensor *out[3];

    return tp_nn_apply(vae, TP_LIST(tp_flatten(x, 1)), out, 3) < 0 ? NULL : out[1];
}

static bool save_grid(const char *dir, const char *name, tp_tensor *x, const char *const *label)
{
    char png[4096];

    snprintf(png, sizeof png, "%s/%s", dir, name);
    return tp_image_grid(png, x, (tp_grid_opts){ .columns = ACROSS, .scale = 2, .label = label });
}

/* The first pictures of the test set that explain themselves worst, and their nats. */
static bool draw_strange(const char *dir, tp_module *vae, tp_tensor *x)
{
    static char text[2 * ACROSS][16];
    const char *label[2 * ACROSS];
    tp_tensor *flat = tp_flatten(x, 1), *out[3], *each, *kl, *index, *worst;
    float v[2 * ACROSS];

    if (tp_nn_apply(vae, TP_LIST(flat), out, 3) < 0) return false;
    each = tp_bce_with_logits_with(out[0], flat, (tp_bce_opts){ .reduction = TP_NONE });
    each = tp_sum(each, TP_AXES(1));
    kl = tp_sub(tp_add(tp_square(out[1]), tp_exp(out[2])), tp_shift(out[2], 1));
    worst = tp_topk(tp_add(each, tp_scale(tp_sum(kl, TP_AXES(1)), 0.5)), 2 * ACROSS, 0, true, &index);
    if (!tp_read(worst, v, sizeof v)) return false;
    for (int i = 0; i < 2 * ACROSS; i++)
        snprintf(text[i], sizeof text[i], "%.0f nats", v[i]), label[i] = text[i];
    return save_grid(dir, "strange.png", tp_index_select(x, 0, index), label);
}

static bool draw(const char *dir, tp_module *vae, tp_tensor *x, int64_t size)
{
    TP_NO_GRAD;
    tp_device *dev = tp_device_of(x);
    tp_tensor *some = tp_slice(x, 0, 0, ACROSS), *z = codes(vae, some), *walk[8];
    tp_tensor *again = pictures(tp_model_vae_decode(vae, z)), *drawn = tp_randn(TP_SHAPE(8 * ACROSS, size), dev);

    for (int i = 0; i < 8; i++) { /* from each picture to the next, one a column */
        tp_tensor *next = tp_roll(z, -1, 0);

        walk[i] = pictures(tp_model_vae_decode(vae, tp_add(z, tp_scale(tp_sub(next, z), i / 7.0))));
    }
    return save_grid(dir, "samples.png", pictures(tp_model_vae_decode(vae, drawn)), NULL) &&
           save_grid(dir, "reconstructions.png", tp_concat(TP_LIST(some, again), 0), NULL) &&
           save_grid(dir, "walk.png", tp_concat((tp_list){ walk, 8 }, 0), NULL) && draw_strange(dir, vae, x);
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "a variational autoencoder of pictures", .epochs = 10, .batch = 128, .lr = 1e-3, .seed = 1,
                        .flags = flags, .n_flags = TP_LEN(flags) };
    int status = tp_train_parse(&a, argc, argv);
    char weights[4096], state[4096];
    tp_batch b;

    if (status >= 0) return status;
    snprintf(weights, sizeof weights, "%s/vae.safetensors", a.out), snprintf(state, sizeof state, "%s/state.safetensors", a.out);

    TP_SCOPE;
    tp_device *dev = tp_device_open(a.device);
    tp_loader_opts how = { .batch = a.batch, .shuffle = true, .workers = 1, .seed = a.seed, .device = dev };
    tp_loader *train = tp_data_loader(tp_data_fashion_mnist(a.data, "train"), how);
    tp_loader *test = tp_data_loader(tp_data_fashion_mnist(a.data, "test"), (tp_loader_opts){ .batch = 1000, .device = dev });
    tp_vae_opts o = { .pixels = PIXELS, .hidden = hidden, .latent = latent };
    tp_module *vae = sample ? tp_model_load(weights, "vae", dev) : tp_nn_init(tp_model_vae(o), dev);
    tp_optim *opt = sample ? NULL : tp_optim_adam(tp_nn_params(vae, "*"), tp_adam(a.lr));
    tp_fit_result r = { .why = TP_FIT_DONE };
    tp_fit_opts fit = { .optim = opt, .train = train, .validation = test, .forward = rows_as_they_are, .loss = itself,
                        .epochs = a.steps ? 0 : a.epochs, .steps = a.steps, .checkpoint = state, .resume = a.resume,
                        .amp = strcmp(a.amp, "bf16") ? TP_F32 : TP_BF16,
                        .log = { .dir = a.out, .unit = "pictures", .bar = true, .plot = a.plot } };

    tp_train_catch_interrupt();
    if (!sample && tp_train_fit(vae, fit, &r) && tp_model_save(vae, weights) && r.why == TP_FIT_DONE)
        tp_train_print("result model=vae test_loss=%.3f epochs=%lld\n", r.at.score, (long long)r.at.epoch);
    if (tp_ok() && r.why == TP_FIT_INTERRUPTED)
        fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a.program, (long long)r.at.step, state);
    tp_nn_train(vae, "*", false);
    if ((sample || a.plot) && tp_data_next(test, &b)) draw(a.out, vae, b.x, tp_dim(tp_nn_tensor(vae, "fc21.bias"), 0));
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    tp_optim_free(opt), tp_nn_free(vae), tp_data_free(train), tp_data_free(test);
    return tp_train_status();
}
