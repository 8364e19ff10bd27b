/*
 * diffusion.c - pictures out of noise (Ho et al. 2020): of a class, or by a text.
 *
 *   diffusion [--data DIR] [--steps 12000] ...       trains on Fashion-MNIST, or four files like MNIST's
 *   diffusion --text [--data DIR] ...                on a folder of pictures whose names are what they show
 *   diffusion --sample 10 [--class K] ...            draws so many of each class, from OUT/diffusion.safetensors
 *   diffusion --sample 40 --prompt "red apple" ...   diffusion --help
 *
 * Without --data, --text reads what scripts/emoji.sh makes.  Saved are averages of the weights.  Drawing writes
 * samples.png, the classes by turns, and strip.png, how some came out of noise, from above.
 */
#include <taper.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES = 10, ROOM = 4096 };

static const char *prompt, *cnn;
static int64_t base = 32, size, sample, class = -1, ddim_steps = 20;
static double guidance = 1.3, eta;
static bool text, linear, epsilon;
static char weights[ROOM], state[ROOM], samples[ROOM], strip[ROOM], emoji[ROOM];
static tp_tensor *frame[FRAMES]; /* of strip.png, evenly through the steps of the first batch */

static const tp_train_flag flags[] = {
    { "text", "by texts: pictures named after what they show", TP_FLAG_YES, &text, 0, 0 },
    { "size", "of these pictures' sides; 0: as they are", TP_FLAG_WHOLE, &size, 0, 4096 },
    { "base", "channels of the network's first level", TP_FLAG_WHOLE, &base, 8, 1024 },
    { "linear", "schedule of the noise, instead of the cosine", TP_FLAG_YES, &linear, 0, 0 },
    { "epsilon", "the noise is learned, instead of v", TP_FLAG_YES, &epsilon, 0, 0 },
    { "sample", "pictures of each class to draw into OUT/samples.png, and no training", TP_FLAG_WHOLE, &sample, 0, 100000 },
    { "class", "to draw; -1: all", TP_FLAG_WHOLE, &class, -1, 1 << 20 },
    { "prompt", "what to draw", TP_FLAG_TEXT, &prompt, 0, 0 },
    { "guidance", "how much the condition counts; 1: as learned", TP_FLAG_REAL, &guidance, 0, 100 },
    { "ddim_steps", "of drawing", TP_FLAG_WHOLE, &ddim_steps, FRAMES, 1000 },
    { "eta", "fresh noise in each of them", TP_FLAG_REAL, &eta, 0, 1 },
    { "cnn", "file of examples/cnn that judges the pictures", TP_FLAG_TEXT, &cnn, 0, 0 },
};

static tp_tensor *loss(tp_module *m, tp_batch b, void *unused)
{
    (void)unused;
    return tp_model_diffusion_loss(m, tp_affine(b.x, 2, -1), b.y, 0.1);
}

/* The data, and what the model is to be for it. */
static tp_dataset *data(const tp_train_args *a, tp_diffusion_opts *o, tp_tokenizer **words)
{
    tp_dataset *d = text ? tp_data_images(a->data, (tp_images_opts){ .height = size }) : tp_data_fashion_mnist(a->data, "train");

    if (text && (*words = tp_data_caption_words(d))) d = tp_data_captions(d, *words);
    o->text.vocabulary = tp_data_tokens(*words), o->text.context = text ? tp_data_shape(d, 1).n[0] : 0;
    o->unet.channels = tp_data_shape(d, 0).n[0], o->unet.classes = tp_data_classes(d), o->size = tp_data_shape(d, 0).n[1];
    return d;
}

static void train(const tp_train_args *a)
{
    TP_SCOPE;
    tp_device *dev = tp_device_open(a->device);
    tp_diffusion_opts o = { .unet = { .base = base, .blocks = 1 }, .schedule = linear ? TP_NOISE_LINEAR : TP_NOISE_COSINE,
                            .target = epsilon ? TP_TARGET_EPSILON : TP_TARGET_V };
    tp_loader_opts how = { .batch = a->batch, .shuffle = true, .endless = true, .workers = 1, .seed = a->seed, .device = dev };
    tp_tokenizer *words = NULL; /* go into the model's file */
    tp_loader *train = tp_data_loader(data(a, &o, &words), how);
    tp_module *m = tp_nn_init(tp_model_diffusion(o), dev);
    tp_optim *opt = tp_optim_adamw(tp_nn_params(m, "*"), tp_adamw(a->lr));
    int64_t total = a->steps ? a->steps : a->epochs * tp_data_batches(train);
    tp_sched *sched = tp_sched_cosine(opt, total / 20, total, 0);
    tp_ema *average = tp_ema_new_warm(m, 0.999);
    tp_fit_result r;
    tp_fit_opts fit = { .optim = opt, .sched = sched, .average = average, .train = train, .forward = loss, .steps = total, .clip_norm = 1,
                        .checkpoint = state, .checkpoint_every = 500, .resume = a->resume, .options = a->options, .amp = tp_train_amp(a),
                        .log = { .dir = a->out, .unit = "pictures", .bar = true, .plot = a->plot } };

    if (words) tp_model_set_tokenizer(m, words);
    if (tp_train_fit(m, fit, &r) && r.why == TP_FIT_DONE && tp_ema_copy_to(average, m) && tp_model_save(m, weights))
        tp_train_print("result model=diffusion loss=%.4f steps=%lld\n", r.at.loss, (long long)r.at.step);
    else if (tp_ok()) fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a->program, (long long)r.at.step, state);
    tp_data_tokenizer_free(words), tp_ema_free(average), tp_sched_free(sched), tp_optim_free(opt), tp_nn_free(m), tp_data_free(train);
}

/* What to draw: labels, the tokens of a text, or NULL of a model that isn't conditional. */
static tp_tensor *wishes(const tp_module *m, tp_device *dev)
{
    const tp_diffusion_opts *o = tp_nn_opts(m);
    tp_tokenizer *words = o->text.vocabulary ? tp_model_tokenizer(m) : NULL;
    int64_t n = o->unet.classes, cut = 0;
    tp_rows_opts rows = tp_rows_defaults();

    rows.padding = o->text.vocabulary, rows.most = o->text.context, rows.cut = &cut;
    if (!words != !prompt || (words && class >= 0)) tp_fail(TP_ERR_ARG, "%s draws by %s", weights, words ? "texts: --prompt says what" : "class");
    if (n && class >= n) tp_fail(TP_ERR_ARG, "there is no class %lld: the last is %lld", (long long)class, (long long)n - 1);
    tp_tensor *y = words ? tp_to(tp_data_rows(words, &prompt, 1, rows, NULL), dev) : !n ? NULL :
                   class < 0 ? tp_arange(0, (double)n, 1, TP_I64, dev) : tp_full(TP_SHAPE(1), (double)class, TP_I64, dev);
    if (cut) tp_fail(TP_ERR_ARG, "the prompt has more than %lld words, the most that %s knows", (long long)rows.most, weights);
    tp_data_tokenizer_free(words);
    return y ? tp_repeat(y, tp_rank(y) > 1 ? TP_SHAPE(sample, 1) : TP_SHAPE(sample)) : NULL; /* by turns */
}

static bool watch(int64_t step, int64_t of, tp_tensor *x, tp_tensor *x0, void *bar)
{
    if (step <= ddim_steps) tp_store(&frame[(step - 1) * FRAMES / ddim_steps], tp_affine(tp_slice_step(x, 0, 0, tp_dim(x, 0), tp_dim(x, 0) / 5 + 1), 0.5, 0.5));
    tp_log_step(bar);
    return (void)of, (void)x0, !tp_train_interrupted();
}

static void draw(const tp_train_args *a)
{
    TP_SCOPE;
    tp_device *dev = tp_device_open(a->device);
    tp_module *m = tp_model_load(weights, "diffusion", dev), *net = cnn ? tp_model_load(cnn, "cnn", dev) : NULL;
    tp_loader *real = cnn ? tp_data_loader(tp_data_fashion_mnist(a->data, "test"), (tp_loader_opts){ .batch = 250, .device = dev }) : NULL;
    tp_tensor *y = m ? wishes(m, dev) : NULL, *x;
    int64_t n = y ? tp_dim(y, 0) : sample;
    tp_logger *bar = tp_log_open((tp_log_opts){ .total = (n + 99) / 100 * ddim_steps, .bar = true });
    tp_denoise_opts d = tp_denoise_defaults();
    tp_judged j;

    d.steps = ddim_steps, d.eta = eta, d.guidance = y ? guidance : 1, d.batch = 100, d.progress = watch, d.user = bar;
    x = !tp_train_folder(a->out) ? NULL : tp_affine(tp_model_diffusion_sample(m, n, y, d), 0.5, 0.5), tp_log_close(bar);
    if (!tp_train_interrupted() && tp_image_grid(samples, tp_slice(x, 0, 0, n < 100 ? n : 100), (tp_grid_opts){ .columns = 10 }) &&
        tp_image_grid(strip, tp_concat((tp_list){ frame, FRAMES }, 0), (tp_grid_opts){ .columns = (int)tp_dim(*frame, 0) }) && cnn &&
        tp_train_judge(net, tp_model_cnn_features, real, x, y, &j))
        tp_train_print_judged("diffusion", j);
    for (int i = 0; i < FRAMES; i++) tp_free(frame[i]);
    tp_nn_free(m), tp_nn_free(net), tp_data_free(real);
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "pictures out of noise", .steps = 12000, .batch = 16, .lr = 1e-3, .seed = 1,
                        .flags = flags, .n_flags = TP_LEN(flags), .may_differ = "sample class prompt guidance ddim_steps eta cnn" };
    int status = tp_train_parse(&a, argc, argv);

    if (status >= 0) return status;
    snprintf(weights, ROOM, "%s/diffusion.safetensors", a.out), snprintf(state, ROOM, "%s/state.safetensors", a.out), snprintf(samples, ROOM, "%s/samples.png", a.out);
    snprintf(strip, ROOM, "%s/strip.png", a.out), snprintf(emoji, ROOM, "%s/.cache/taper/emoji", getenv("HOME") ? getenv("HOME") : ".");
    if (!a.data && text && !sample && !tp_file_exists(a.data = emoji)) tp_fail(TP_ERR_IO, "%s isn't there: scripts/emoji.sh makes it; or --data DIR", emoji);
    sample = prompt && !sample ? 40 : sample;
    tp_train_catch_interrupt();
    sample ? draw(&a) : train(&a);
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    return tp_train_status();
}
