/*
 * gan.c - pictures from two networks against each other (DCGAN, Radford et al. 2016; WGAN-GP, Gulrajani et al. 2017).
 *
 *   gan [--data DIR] [--conditional] [--wgan] ...         gan --help
 *   gan --sample 80 [--class 3] [--cnn CNN.safetensors]   new pictures, from OUT/generator.safetensors
 *
 * Trains on Fashion-MNIST, a folder with MNIST's four files, or, with --pictures, one of pictures.  Into --out go
 * log.csv, state.safetensors, after each pass samples.png, always of the same codes, and generator.safetensors at
 * the end.  --cnn judges 2,000 samples by a network that the program cnn trained.
 */
#include <taper.h>

#include <stdio.h>
#include <string.h>

enum { SIDE = 32, LATENT = 100, SHOWN = 80, JUDGED = 2000 };

static bool conditional, wgan, pictures;
static int64_t critic, width = 64, sample, only = -1, classes; /* 0: not conditional */
static const char *cnn;
static char weights[4096], state[4096], png[4096];
static tp_device *dev;
static tp_module *g, *d; /* generator and discriminator */

static const tp_train_flag flags[] = {
    { "conditional", "by labels", TP_FLAG_YES, &conditional, 0, 0 },
    { "wgan", "a critic with gradient penalty", TP_FLAG_YES, &wgan, 0, 0 },
    { "critic", "its steps for one of the generator; 0: 5 with --wgan, else 1", TP_FLAG_WHOLE, &critic, 0, 1000 },
    { "width", "of both networks", TP_FLAG_WHOLE, &width, 1, 4096 },
    { "pictures", "--data is a folder of pictures, by class if --conditional", TP_FLAG_YES, &pictures, 0, 0 },
    { "sample", "pictures to draw into OUT/samples.png, and no training", TP_FLAG_WHOLE, &sample, 0, 2000 },
    { "class", "draw this one alone; -1: all", TP_FLAG_WHOLE, &only, -1, 1 << 30 },
    { "cnn", "judge samples by this classifier", TP_FLAG_TEXT, &cnn, 0, 0 },
};

static tp_tensor *run(tp_module *m, tp_tensor *x, tp_tensor *labels)
{
    tp_tensor *y = NULL;

    return tp_nn_apply(m, labels ? TP_LIST(x, labels) : TP_LIST(x), &y, 1) < 0 ? NULL : y;
}

static tp_tensor *discriminator_loss(tp_module *both, tp_batch b, void *unused)
{
    tp_tensor *y = classes ? b.y : NULL, *fake;
    int64_t edge = (SIDE - tp_dim(b.x, 2)) / 2; /* pictures of 0 .. 1 become 32x32, -1 .. 1 */
    tp_tensor *real = tp_affine(tp_pad(b.x, TP_SHAPE(edge, edge, edge, edge), (tp_pad_opts){ 0 }), 2, -1);
    tp_tensor *on_real = run(d, real, y), *on_fake;

    { TP_NO_GRAD; fake = run(g, tp_randn(TP_SHAPE(b.size, LATENT), dev), y); }
    on_fake = run(d, fake, y);
    (void)both, (void)unused;
    if (!wgan) return tp_model_discriminator_loss(on_real, on_fake);
    return tp_add(tp_sub(tp_mean(on_fake, TP_ALL), tp_mean(on_real, TP_ALL)),
                  tp_scale(tp_model_gradient_penalty(d, real, fake, y), 10));
}

static tp_tensor *generator_loss(tp_module *both, tp_batch b, void *unused)
{
    tp_tensor *y = classes ? b.y : NULL, *scores;

    (void)both, (void)unused;
    tp_nn_freeze(d, "*", true); /* no time for gradients that nobody wants */
    scores = run(d, run(g, tp_randn(TP_SHAPE(b.size, LATENT), dev), y), y);
    tp_nn_freeze(d, "*", false);
    return wgan ? tp_neg(tp_mean(scores, TP_ALL)) : tp_model_generator_loss(scores);
}

static bool draw(int64_t n)
{
    return tp_image_grid(png, tp_model_generate(g, n, sample ? only : -1, NULL), (tp_grid_opts){ .columns = 10, .scale = 2 });
}

/* After each pass, and at the end.  The training's random numbers stay as they are. */
static bool show(const tp_fit_at *at, void *unused)
{
    tp_rng before = tp_rng_save();
    bool ok;

    (void)at, (void)unused;
    tp_seed(1), ok = draw(SHOWN);
    tp_rng_restore(before);
    return ok;
}

static tp_dataset *data(const char *dir, const char *split)
{
    if (!pictures) return tp_data_fashion_mnist(dir, split);
    return (conditional ? tp_data_image_folder : tp_data_images)(dir, (tp_images_opts){ .height = SIDE });
}

static void train(const tp_train_args *a)
{
    tp_loader_opts how = { .batch = a->batch, .shuffle = true, .drop_last = true, .workers = 1, .seed = a->seed, .device = dev };
    tp_loader *all = tp_data_loader(data(a->data, "train"), how);
    tp_dcgan_opts o = { .width = width, .channels = pictures ? 3 : 1, .critic = wgan };
    tp_module *both = tp_nn_container("gan");
    tp_adam_opts adam = tp_adam(a->lr);
    tp_fit_result r;

    o.classes = classes = conditional ? tp_data_classes(tp_data_of(all)) : 0;
    adam.beta1 = wgan ? 0 : 0.5, adam.beta2 = wgan ? 0.9 : 0.999;
    g = tp_nn_add(both, "g", tp_model_generator(o)), d = tp_nn_add(both, "d", tp_model_discriminator(o));
    tp_nn_init(both, dev);
    tp_turn turn[] = { { "discriminator", tp_optim_adam(tp_nn_params(both, "d.*"), adam), discriminator_loss, critic },
                       { "generator", tp_optim_adam(tp_nn_params(both, "g.*"), adam), generator_loss, 0 } };
    tp_turns_opts opts = { .turn = turn, .n = 2, .train = all, .on_epoch = show, .on_end = show,
                           .epochs = a->steps ? 0 : a->epochs, .steps = a->steps, .checkpoint = state, .resume = a->resume, .options = a->options,
                           .amp = tp_train_amp(a),
                           .log = { .dir = a->out, .unit = "pictures", .bar = true, .plot = a->plot } };

    if (classes && tp_model_set_classes_of(g, tp_data_of(all))) tp_model_set_classes_of(both, tp_data_of(all)); /* of the file; of a run that is resumed */
    if (tp_train_turns(both, opts, &r) && r.why == TP_FIT_DONE && tp_model_save(g, weights))
        tp_train_print("result model=gan steps=%lld epochs=%lld\n", (long long)r.at.step, (long long)r.at.epoch);
    else if (tp_ok())
        fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a->program, (long long)r.at.step, state);
    tp_optim_free(turn[0].optim), tp_optim_free(turn[1].optim), tp_nn_free(both), tp_data_free(all);
}

static void judge(tp_module *by, tp_dataset *test)
{
    tp_loader *real = tp_data_loader(test, (tp_loader_opts){ .batch = 500, .device = dev });
    int64_t edge = real ? (tp_data_shape(tp_data_of(real), 0).n[1] - SIDE) / 2 : 0;
    tp_tensor *labels, *x = tp_model_generate(g, JUDGED, only, &labels);
    tp_judged r;

    if (tp_train_judge(by, tp_model_cnn_features, real, tp_pad(x, TP_SHAPE(edge, edge, edge, edge), (tp_pad_opts){ 0 }), labels, &r))
        tp_train_print_judged("gan", r);
    tp_nn_free(by), tp_data_free(real);
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "pictures from two networks against each other", .epochs = 8, .lr = 2e-4, .seed = 1,
                        .flags = flags, .n_flags = TP_LEN(flags), .may_differ = "sample class cnn" };
    int status = tp_train_parse(&a, argc, argv);

    if (status >= 0) return status;
    snprintf(weights, sizeof weights, "%s/generator.safetensors", a.out), snprintf(png, sizeof png, "%s/samples.png", a.out);
    snprintf(state, sizeof state, "%s/state.safetensors", a.out);
    dev = tp_device_open(a.device), critic = critic ? critic : wgan ? 5 : 1, tp_train_catch_interrupt();
    TP_SCOPE;
    if (sample) g = tp_model_load(weights, "generator", dev);
    if (!sample) train(&a);
    else if (draw(sample) && cnn) judge(tp_model_load(cnn, "cnn", dev), data(a.data, "test"));
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    if (sample) tp_nn_free(g);
    return tp_train_status();
}
