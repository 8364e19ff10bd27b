/*
 * vqvae.c - pictures as a few symbols each (van den Oord et al. 2017), and a Transformer that writes such symbols.
 *
 *   vqvae [--data DIR] [--epochs 8] ...       vqvae --help
 *   vqvae --prior [--epochs 8] ...            then: the Transformer, on the symbols of OUT/vqvae.safetensors
 *   vqvae --sample [--cnn CNN.safetensors]    then: new pictures, by both
 *
 * Trains on Fashion-MNIST, or a folder with MNIST's four files: 28x28 pixels become 7x7 symbols.  Into --out go log.csv, prior/log.csv,
 * both models, states to resume from, reconstructions.png (pictures above, what becomes of them below) and samples.png.
 * Losses are nats a picture: the first's test_loss has all symbols equally likely, the second's is of symbols alone.
 */
#include <taper.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { H = 7, PLACES = H * H, LAYERS = 3, JUDGED = 2000, AT_ONCE = 50 };
static int64_t codes = 128;
static bool prior, sample;
static const char *cnn;
static double perplexity; /* of the symbols of the last batch of test pictures */
static tp_device *dev;
static tp_module *vqvae;

static const tp_train_flag flags[] = {
    { "codes", "how many symbols there are", TP_FLAG_WHOLE, &codes, 2, 65536 },
    { "prior", "train the Transformer", TP_FLAG_YES, &prior, 0, 0 },
    { "sample", "draw into OUT/samples.png, and no training", TP_FLAG_YES, &sample, 0, 0 },
    { "cnn", "judge samples by this classifier", TP_FLAG_TEXT, &cnn, 0, 0 },
};

static tp_tensor *autoencode(tp_module *m, tp_batch b, void *unused)
{
    tp_tensor *out[4];

    if (tp_nn_apply(m, TP_LIST(b.x), out, 4) < 0) return (void)unused, NULL;
    if (tp_nn_training(m)) return tp_scale(tp_model_vqvae_loss(out[0], b.x, out[1], out[2]), 1.0 / (double)b.size);
    perplexity = tp_item(tp_model_vqvae_perplexity(m, out[3]));
    return tp_shift(tp_scale(tp_bce_with_logits_with(out[0], b.x, (tp_bce_opts){ .reduction = TP_SUM }), 1.0 / (double)b.size), PLACES * log((double)codes));
}

/* Of each place, by those before it; the first follows a symbol that stands for nothing. */
static tp_tensor *next_symbol(tp_module *gpt, tp_batch b, void *unused)
{
    tp_tensor *out[4], *y, *before;

    if (tp_nn_predict_all(vqvae, TP_LIST(b.x), out, 4) < 0) return (void)unused, NULL;
    y = tp_flatten(out[3], 1);
    before = tp_pad(tp_slice(y, 1, 0, PLACES - 1), TP_SHAPE(1, 0), (tp_pad_opts){ .value = (double)codes });
    return tp_scale(tp_cross_entropy(tp_reshape(tp_nn_forward(gpt, before), TP_SHAPE(-1, codes + 1)), tp_reshape(y, TP_SHAPE(-1))), PLACES);
}

/* Symbols of n pictures, one after the other; keys and values of those before are kept. */
static tp_tensor *written(tp_module *gpt, int64_t n)
{
    tp_tensor *in[1 + 2 * LAYERS] = { tp_full(TP_SHAPE(n, 1), (double)codes, TP_I64, dev) }, *out[1 + 2 * LAYERS], *y[PLACES];

    for (int i = 0; i < PLACES; i++) {
        if (tp_nn_predict_all(gpt, (tp_list){ in, i ? TP_LEN(in) : 1 }, out, TP_LEN(out)) < 0) return NULL;
        y[i] = tp_multinomial(tp_softmax(tp_slice(tp_reshape(out[0], TP_SHAPE(n, codes + 1)), 1, 0, codes), 1), 1, true);
        memcpy(in, out, sizeof in), in[0] = y[i];
    }
    return tp_reshape(tp_concat((tp_list){ y, PLACES }, 1), TP_SHAPE(n, H, H));
}

static tp_tensor *invented(tp_module *gpt, int64_t n)
{
    TP_NO_GRAD;
    tp_tensor *part[JUDGED / AT_ONCE];

    for (int64_t i = 0; i < n / AT_ONCE; i++) {
        TP_SCOPE;
        part[i] = tp_pass(tp_sigmoid(tp_model_vqvae_decode(vqvae, written(gpt, AT_ONCE))));
    }
    return tp_concat((tp_list){ part, (int)(n / AT_ONCE) }, 0);
}

/* What the prior's symbols mean is told by one codebook alone: its file says which. */
static void tie(tp_module *gpt)
{
    float v[3] = { 0 };
    char is[64] = "";

    if (tp_read(tp_slice(tp_reshape(tp_nn_tensor(vqvae, "codebook.weight"), TP_SHAPE(-1)), 0, 0, 3), v, sizeof v)) snprintf(is, sizeof is, "%.9g %.9g %.9g", v[0], v[1], v[2]);
    if (!sample) tp_nn_note(gpt, "codebook", is);
    else if (!tp_nn_noted(gpt, "codebook") || strcmp(tp_nn_noted(gpt, "codebook"), is)) tp_fail(TP_ERR_ARG, "prior.safetensors is of another codebook than vqvae.safetensors: train it again, with --prior");
}

static bool save_grid(const char *dir, const char *name, tp_tensor *x)
{
    char png[4096];

    snprintf(png, sizeof png, "%s/%s", dir, name);
    return tp_image_grid(png, x, (tp_grid_opts){ .columns = 10, .scale = 2 });
}

static bool draw_reconstructions(const char *dir, tp_loader *test)
{
    tp_batch b;
    tp_tensor *some = tp_data_next(test, &b) ? tp_slice(b.x, 0, 0, 20) : NULL;

    return some && save_grid(dir, "reconstructions.png", tp_concat(TP_LIST(some, tp_sigmoid(tp_nn_predict(vqvae, some))), 0));
}

static void draw_samples(const char *dir, tp_module *gpt, tp_loader *real)
{
    tp_module *net = cnn ? tp_model_load(cnn, "cnn", dev) : NULL;
    tp_tensor *x = tp_ok() ? invented(gpt, cnn ? JUDGED : 2 * AT_ONCE) : NULL;
    tp_judged r;

    if (save_grid(dir, "samples.png", tp_slice(x, 0, 0, 80)) && cnn && tp_train_judge(net, tp_model_cnn_features, real, x, NULL, &r))
        tp_train_print_judged("vqvae", r);
    tp_nn_free(net);
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "pictures as symbols, and symbols in turn", .epochs = 8, .batch = 64, .lr = 1e-3, .seed = 1,
                        .flags = flags, .n_flags = TP_LEN(flags), .may_differ = "sample cnn" };
    int status = tp_train_parse(&a, argc, argv);
    char weights[4096], state[4096], written_by[4096], logs[4096];

    if (status >= 0) return status;
    snprintf(weights, sizeof weights, "%s/vqvae.safetensors", a.out), snprintf(written_by, sizeof written_by, "%s/prior.safetensors", a.out);
    snprintf(state, sizeof state, "%s/%sstate.safetensors", a.out, prior ? "prior_" : ""), snprintf(logs, sizeof logs, "%s%s", a.out, prior ? "/prior" : ""), dev = tp_device_open(a.device), tp_train_catch_interrupt();
    TP_SCOPE;
    tp_loader *train = tp_data_loader(tp_data_fashion_mnist(a.data, "train"), (tp_loader_opts){ .batch = a.batch, .shuffle = true, .workers = 1, .seed = a.seed, .device = dev });
    tp_loader *test = tp_data_loader(tp_data_fashion_mnist(a.data, "test"), (tp_loader_opts){ .batch = 500, .device = dev });
    tp_fit_opts fit = { .train = train, .validation = test, .epochs = a.steps ? 0 : a.epochs, .steps = a.steps, .checkpoint = state,
                        .resume = a.resume, .options = a.options, .forward = prior ? next_symbol : autoencode, .amp = tp_train_amp(&a),
                        .log = { .dir = logs, .unit = "pictures", .bar = true, .plot = a.plot } };
    tp_fit_result r = { .why = TP_FIT_DONE };
    vqvae = prior || sample ? tp_model_load(weights, "vqvae", dev) : tp_nn_init(tp_model_vqvae((tp_vqvae_opts){ .codes = codes }), dev);
    if (vqvae) codes = ((const tp_vqvae_opts *)tp_nn_opts(vqvae))->codes;
    tp_gpt_opts g = { .vocabulary = codes + 1, .context = PLACES, .layers = LAYERS, .heads = 4, .width = 128 };
    tp_module *gpt = sample ? tp_model_load(written_by, "gpt", dev) : prior ? tp_nn_init(tp_model_gpt(g), dev) : NULL, *learns = prior ? gpt : vqvae;
    if (gpt && vqvae) tie(gpt);
    fit.optim = sample ? NULL : tp_optim_adam(tp_nn_params(learns, "*"), tp_adam(a.lr));
    if (!sample && tp_train_fit(learns, fit, &r) && r.why == TP_FIT_DONE && tp_model_save(learns, prior ? written_by : weights))
        tp_train_print("result model=%s test_loss=%.3f epochs=%lld perplexity=%.1f\n", prior ? "prior" : "vqvae", r.at.score,
                       (long long)r.at.epoch, prior ? exp(r.at.score / PLACES) : perplexity);
    if (tp_ok() && r.why == TP_FIT_INTERRUPTED) fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a.program, (long long)r.at.step, state);
    else if (tp_ok() && sample) draw_samples(a.out, gpt, test);
    else if (tp_ok() && !prior) draw_reconstructions(a.out, test);
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    tp_optim_free(fit.optim), tp_nn_free(vqvae), tp_nn_free(gpt), tp_data_free(train), tp_data_free(test);
    return tp_train_status();
}
