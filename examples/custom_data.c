/*
 * custom_data.c - a data set of one's own: a function that makes sample i, called by worker
 * threads; on top of it augmentation; a small convolutional network learns it.
 *
 *   custom_data [--epochs 4] [--device auto] [--out out] ...    custom_data --help
 *
 * The pictures are made up: a disc, a square or a cross, somewhere, of some size.  A program with
 * a camera, a simulation or a format of its own writes draw_shape() anew and keeps the rest.
 */
#include <taper.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 24, SHAPES = 3, TRAINING = 3000, TESTING = 600 };

/* A number in [low, high), the same for the same sample and use. */
static double pick(uint64_t sample, uint64_t use, double low, double high)
{
    uint64_t v = (sample * 8 + use + 1) * 0x9E3779B97F4A7C15u;

    v = (v ^ v >> 32) * 0xD6E8FEB86659FD93u;
    return low + (high - low) * (double)(v >> 40) * 0x1p-24;
}

/* Is a place within the shape, centre and size 1? */
static bool inside(int shape, double x, double y)
{
    if (shape == 0) return x * x + y * y < 1;
    if (shape == 1) return fabs(x) < 0.9 && fabs(y) < 0.9;
    return (fabs(x) < 0.35 && fabs(y) < 1) || (fabs(y) < 0.35 && fabs(x) < 1);
}

/* Sample i: the picture into fields[0], (1, SIDE, SIDE) f32, the label into fields[1], i64.
 * Several threads call it at once, so it changes nothing but these. */
static tp_got draw_shape(void *user, int64_t i, void *const *fields)
{
    uint64_t sample = (uint64_t)(i + *(int64_t *)user);
    int shape = (int)(sample % SHAPES);
    double size = pick(sample, 0, 4, 9), left = pick(sample, 1, 8, SIDE - 8), top = pick(sample, 2, 8, SIDE - 8);
    double ink = pick(sample, 3, 0.4, 1);
    float *to = fields[0];

    for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < SIDE; c++)
            *to++ = (float)(inside(shape, (c - left) / size, (r - top) / size) ? ink : 0);
    *(int64_t *)fields[1] = shape;
    return TP_ITEM;
}

/* `user` is passed to draw_shape: here the number of the first sample. */
static tp_dataset *shapes(int64_t *first, int64_t count)
{
    return tp_data_source((tp_source){ .count = count, .fields = 2, .shape = { TP_SHAPE(1, SIDE, SIDE), TP_SCALAR },
                                       .dtype = { TP_F32, TP_I64 }, .get = draw_shape, .user = first });
}

static tp_dataset *augmented(tp_dataset *d)
{
    tp_augment steps[] = {
        tp_augment_crop(SIDE, SIDE, 2, TP_EDGE_ZERO),
        tp_augment_flip(0.5),
        tp_augment_rotation(10, true),
        tp_augment_noise(0.1),
    };

    return tp_data_augment(d, steps, TP_LEN(steps)); /* takes d, also when it fails */
}

static tp_module *network(void)
{
    tp_module *layers[] = {
        tp_nn_conv2d(1, 8, 3, (tp_conv2d_opts){ .padding = 1 }),  tp_nn_relu(), tp_nn_max_pool2d(2),
        tp_nn_conv2d(8, 16, 3, (tp_conv2d_opts){ .padding = 1 }), tp_nn_relu(), tp_nn_max_pool2d(2),
        tp_nn_flatten(), tp_nn_linear(16 * (SIDE / 4) * (SIDE / 4), SHAPES),
    };

    return tp_nn_sequential(layers, TP_LEN(layers));
}

static void step(tp_module *net, tp_optim *opt, tp_scaler *scaler, tp_batch b, tp_dtype amp, tp_logger *log)
{
    TP_SCOPE;
    TP_AUTOCAST(amp);
    tp_tensor *loss = tp_cross_entropy(tp_nn_forward(net, b.x), b.y);

    tp_optim_zero_grad(opt);
    tp_backward(scaler ? tp_scaler_scale(scaler, loss) : loss);
    if (scaler) tp_scaler_step(scaler, opt), tp_scaler_update(scaler);
    else tp_optim_step(opt);
    tp_log_add(log, "loss", loss);
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "a data set made by a function", .epochs = 4, .batch = 32, .lr = 2e-3, .seed = 1 };
    int status = tp_train_parse(&a, argc, argv);
    int64_t first_train = 0, first_test = TRAINING, done = 0;
    double accuracy = NAN;
    char path[4096];
    tp_batch b;

    if (status >= 0) return status;
    tp_train_catch_interrupt();
    snprintf(path, sizeof path, "%s/state.safetensors", a.out);
    tp_device *dev = tp_device_open(a.device);
    tp_loader_opts how = { .batch = a.batch, .shuffle = true, .workers = 2, .seed = a.seed, .device = dev, .endless = true };
    tp_loader *train = tp_data_loader(augmented(shapes(&first_train, TRAINING)), how);
    tp_loader *test = tp_data_loader(shapes(&first_test, TESTING), (tp_loader_opts){ .batch = 100, .device = dev });
    tp_module *net = tp_nn_init(network(), dev);
    tp_optim *opt = tp_optim_adamw(tp_nn_params(net, "*"), tp_adamw(a.lr));
    int64_t total = a.steps ? a.steps : a.epochs * tp_data_batches(train);
    tp_scaler *scaler = tp_train_amp(&a) == TP_F16 ? tp_scaler_new(dev, tp_scaler_options()) : NULL;
    tp_state *run = tp_state_new();

    tp_state_module(run, "net", net), tp_state_optim(run, "opt", opt);
    tp_state_loader(run, "train", train), tp_state_i64(run, "done", &done), tp_state_text(run, "options", a.options);
    if (scaler) tp_state_scaler(run, "scaler", scaler);
    if (a.resume && !tp_state_load(run, a.resume)) done = total;
    tp_logger *log = tp_log_open((tp_log_opts){ .dir = a.out, .total = total, .from = done, .items = a.batch, .unit = "pictures",
                                                .bar = true, .plot = a.plot, .append = a.resume != NULL });

    for (; done < total && !tp_train_interrupted() && tp_data_next(train, &b); done++)
        step(net, opt, scaler, b, tp_train_amp(&a), log), tp_log_step(log);
    if (tp_state_save(run, path) && !tp_train_interrupted()) accuracy = tp_train_accuracy(net, test);
    double rate = tp_log_rate(log);

    tp_log_close(log);
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    else if (tp_train_interrupted()) fprintf(stderr, "\n%s: stopped at step %lld; go on with --resume %s\n", a.program, (long long)done, path);
    else printf("result model=custom_data test_accuracy=%.4f steps=%lld pictures_per_second=%.0f\n", accuracy, (long long)done, rate);
    tp_state_free(run), tp_scaler_free(scaler), tp_optim_free(opt), tp_nn_free(net), tp_data_free(train), tp_data_free(test);
    return tp_train_status();
}
