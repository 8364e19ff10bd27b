/*
 * vae.c - a variational autoencoder of pictures (Kingma & Welling 2014): 784-400-20.
 *
 *   vae [--data DIR] [--epochs 10] [--conv] [--conditional] ...   vae --help
 *   vae --sample [--cnn CNN.safetensors]                          new pictures, from OUT/vae.safetensors
 *
 * Trains on Fashion-MNIST, or on any folder with MNIST's four files.  Into --out go log.csv,
 * vae.safetensors, state.safetensors and, with --plot or --sample, samples.png, reconstructions.png (pictures
 * above, what becomes of them below), walk.png (from one picture to another through the codes) and strange.png
 * (the test pictures that it explains least, with their nats).  The loss is -ELBO in nats.  --cnn: 2,000 samples judged.
 */
#include <taper.h>

#include <stdio.h>
#include <string.h>

enum { ACROSS = 10, SIDE = 28, PIXELS = SIDE * SIDE, JUDGED = 2000 };
static double beta = 1;
static int64_t latent = 20, hidden = 400;
static bool sample, conv, conditional;
static const char *cnn;

static const tp_train_flag flags[] = {
    { "beta", "weight of the divergence", TP_FLAG_REAL, &beta, 0, 1000 },
    { "latent", "numbers in a code", TP_FLAG_WHOLE, &latent, 1, 4096 },
    { "hidden", "width of the hidden layers", TP_FLAG_WHOLE, &hidden, 1, 65536 },
    { "conv", "with convolutions", TP_FLAG_YES, &conv, 0, 0 },
    { "conditional", "by labels", TP_FLAG_YES, &conditional, 0, 0 },
    { "sample", "draw from OUT/vae.safetensors into OUT/samples.png, and no training", TP_FLAG_YES, &sample, 0, 0 },
    { "cnn", "judge samples by this classifier", TP_FLAG_TEXT, &cnn, 0, 0 },
};

/* -ELBO of each picture of the batch, in nats */
static tp_tensor *each(tp_module *vae, tp_batch b, double weight)
{
    return tp_model_vae_nats(vae, conv ? b.x : tp_flatten(b.x, 1), conditional ? b.y : NULL, weight);
}

static tp_tensor *nats(tp_module *vae, tp_batch b, void *unused)
{
    (void)unused;
    return tp_mean(each(vae, b, tp_nn_training(vae) ? beta : 1), TP_ALL);
}

/* ---- pictures ---- */

static tp_tensor *decoded(tp_module *vae, tp_tensor *z, tp_tensor *y)
{
    return tp_reshape(tp_sigmoid(tp_model_vae_decode(vae, z, conditional ? y : NULL)), TP_SHAPE(-1, 1, SIDE, SIDE));
}

static bool save_grid(const char *dir, const char *name, tp_tensor *x, const char *const *label)
{
    char png[4096];

    snprintf(png, sizeof png, "%s/%s", dir, name);
    return tp_image_grid(png, x, (tp_grid_opts){ .columns = ACROSS, .scale = 2, .label = label });
}

/* The pictures of the batch that explain themselves worst, and their nats. */
static bool draw_strange(const char *dir, tp_module *vae, tp_batch b)
{
    static char text[2 * ACROSS][16];
    const char *label[2 * ACROSS];
    tp_tensor *index;
    float v[2 * ACROSS];

    if (!tp_read(tp_topk(each(vae, b, 1), 2 * ACROSS, 0, true, &index), v, sizeof v)) return false;
    for (int i = 0; i < 2 * ACROSS; i++)
        snprintf(text[i], sizeof text[i], "%.0f nats", v[i]), label[i] = text[i];
    return save_grid(dir, "strange.png", tp_index_select(b.x, 0, index), label);
}

static bool draw(const char *dir, tp_module *vae, tp_batch b)
{
    TP_NO_GRAD;
    tp_tensor *some = tp_slice(b.x, 0, 0, ACROSS), *y = tp_slice(b.y, 0, 0, ACROSS), *out[3], *walk[8], *z, *new;
    tp_tensor *in[] = { conv ? some : tp_flatten(some, 1), y };

    if (tp_nn_apply(vae, (tp_list){ in, conditional ? 2 : 1 }, out, 3) < 0) return false;
    for (int i = 0; i < 8; i++) { /* from each picture's code to the next one's, a column each */
        z = tp_add(out[1], tp_scale(tp_sub(tp_roll(out[1], -1, 0), out[1]), i / 7.0));
        walk[i] = decoded(vae, z, y);
    }
    z = tp_randn(TP_SHAPE(8 * ACROSS, tp_dim(out[1], 1)), tp_device_of(some));
    new = decoded(vae, z, tp_repeat(tp_arange(0, ACROSS, 1, TP_I64, tp_device_of(some)), TP_SHAPE(8)));
    return save_grid(dir, "samples.png", new, NULL) && save_grid(dir, "walk.png", tp_concat((tp_list){ walk, 8 }, 0), NULL) &&
           save_grid(dir, "reconstructions.png", tp_concat(TP_LIST(some, decoded(vae, out[1], y)), 0), NULL) &&
           draw_strange(dir, vae, b);
}

static void judge(tp_module *vae, tp_loader *real, tp_device *dev)
{
    TP_NO_GRAD;
    tp_module *net = tp_model_load(cnn, "cnn", dev);
    tp_tensor *y = tp_remainder(tp_arange(0, JUDGED, 1, TP_I64, dev), tp_full(TP_SCALAR, 10, TP_I64, dev));
    tp_tensor *x = decoded(vae, tp_randn(TP_SHAPE(JUDGED, tp_dim(tp_nn_tensor(vae, "fc21.bias"), 0)), dev), y);
    tp_judged r;

    if (tp_train_judge(net, tp_model_cnn_features, real, x, conditional ? y : NULL, &r))
        tp_train_print_judged("vae", r);
    tp_nn_free(net);
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "a variational autoencoder of pictures", .epochs = 10, .batch = 128, .lr = 1e-3, .seed = 1,
                        .flags = flags, .n_flags = TP_LEN(flags), .may_differ = "sample cnn" };
    int status = tp_train_parse(&a, argc, argv);
    char weights[4096], state[4096];
    tp_batch b;

    if (status >= 0) return status;
    tp_train_catch_interrupt();
    snprintf(weights, sizeof weights, "%s/vae.safetensors", a.out), snprintf(state, sizeof state, "%s/state.safetensors", a.out);

    TP_SCOPE;
    tp_device *dev = tp_device_open(a.device);
    tp_loader_opts how = { .batch = a.batch, .shuffle = true, .workers = 1, .seed = a.seed, .device = dev };
    tp_loader *train = tp_data_loader(tp_data_fashion_mnist(a.data, "train"), how);
    tp_loader *test = tp_data_loader(tp_data_fashion_mnist(a.data, "test"), (tp_loader_opts){ .batch = 1000, .device = dev });
    tp_vae_opts o = { .pixels = PIXELS, .hidden = hidden, .latent = latent, .conv = conv, .classes = conditional ? 10 : 0 };
    tp_module *vae = sample ? tp_model_load(weights, "vae", dev) : tp_nn_init(tp_model_vae(o), dev);
    tp_optim *opt = sample ? NULL : tp_optim_adam(tp_nn_params(vae, "*"), tp_adam(a.lr));
    tp_fit_result r = { .why = TP_FIT_DONE };
    tp_fit_opts fit = { .optim = opt, .train = train, .validation = test, .forward = nats,
                        .epochs = a.steps ? 0 : a.epochs, .steps = a.steps, .checkpoint = state, .resume = a.resume, .options = a.options,
                        .amp = tp_train_amp(&a),
                        .log = { .dir = a.out, .unit = "pictures", .bar = true, .plot = a.plot } };

    if (vae) o = *(const tp_vae_opts *)tp_nn_opts(vae), conv = o.conv, conditional = o.classes > 0;
    if (!sample && tp_train_fit(vae, fit, &r) && r.why == TP_FIT_DONE && tp_model_save(vae, weights))
        tp_train_print("result model=vae test_loss=%.3f epochs=%lld\n", r.at.score, (long long)r.at.epoch);
    if (tp_ok() && r.why == TP_FIT_INTERRUPTED)
        fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a.program, (long long)r.at.step, state);
    tp_nn_train(vae, "*", false);
    if ((sample || a.plot) && tp_data_next(test, &b)) draw(a.out, vae, b);
    if (sample && cnn && tp_data_seek(test, (tp_position){ 0, 0 })) judge(vae, test, dev);
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    tp_optim_free(opt), tp_nn_free(vae), tp_data_free(train), tp_data_free(test);
    return tp_train_status();
}
