/*
 * cnn.c - trains a small convolutional network on Fashion-MNIST (Xiao et al. 2017).
 *
 *   cnn [--epochs 3] [--device auto] [--out out] [--resume out/state.safetensors] ...    cnn --help
 *
 * Into the folder --out go log.csv, curve.png, predictions.png, cnn.safetensors (the weights, which
 * Python reads as they are, and tp_model_load) and state.safetensors (the whole run, to --resume from).
 * Ctrl-C finishes the step, saves, says where and ends with status 130.
 */
#include <taper.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static tp_tensor *loss_of(tp_module *net, tp_batch b)
{
    return tp_cross_entropy(tp_nn_forward(net, b.x), b.y);
}

/* scaler: of f16, whose small numbers end early; else NULL */
static void step(tp_module *net, tp_optim *opt, tp_scaler *scaler, tp_batch b, tp_dtype amp, int64_t at, tp_logger *log)
{
    TP_SCOPE; /* every tensor made here dies at the closing brace */
    TP_AUTOCAST(amp);
    tp_tensor *loss = loss_of(net, b);

    tp_optim_zero_grad(opt);
    if (!tp_backward(scaler ? tp_scaler_scale(scaler, loss) : loss)) return;
    if (!isfinite(tp_item(loss))) { /* again, to say which op first gave that; nothing is saved any more */
        char why[512] = "no op gave NaN";
        TP_ANOMALY;

        tp_backward(loss_of(net, b));
        if (!tp_ok()) snprintf(why, sizeof why, "%s", tp_error()), tp_clear_error();
        tp_fail(TP_ERR_NONFINITE, "the loss of step %lld isn't finite: %s", (long long)at, why);
    }
    if (scaler) tp_scaler_step(scaler, opt), tp_scaler_update(scaler);
    else tp_optim_step(opt); /* nothing moves if anything above failed */
    tp_log_add(log, "loss", loss);
}

/* The first test pictures with what the network takes them for; errors in red. */
static bool draw_predictions(const char *png, tp_module *net, tp_batch b)
{
    enum { SHOWN = 40 };
    static char text[SHOWN][64];
    const char *label[SHOWN];
    bool wrong[SHOWN];
    int64_t got[SHOWN], want[SHOWN];
    TP_SCOPE;
    int n = b.size < SHOWN ? (int)b.size : SHOWN;
    tp_tensor *x = tp_slice(b.x, 0, 0, n), *y = tp_argmax(tp_nn_predict(net, x), 1);

    if (!tp_read(y, got, sizeof *got * (size_t)n) ||
        !tp_read(tp_slice(b.y, 0, 0, n), want, sizeof *want * (size_t)n))
        return false;
    for (int i = 0; i < n; i++) {
        const char *a = tp_data_fashion_mnist_class((int)got[i]), *t = tp_data_fashion_mnist_class((int)want[i]);

        wrong[i] = got[i] != want[i], label[i] = text[i];
        snprintf(text[i], sizeof text[i], wrong[i] ? "%s, not %s" : "%s", t ? t : "?", a ? a : "?");
    }
    return tp_image_grid(png, x, (tp_grid_opts){ .columns = 8, .scale = 3, .label = label, .mark = wrong });
}

/* One line for scripts; how fast it was is told by a run that trained something. */
static void tell_result(double accuracy, int64_t epochs, int64_t images, double seconds)
{
    char speed[64] = "";
    if (images) snprintf(speed, sizeof speed, " seconds=%.1f images_per_second=%.0f", seconds, (double)images / seconds);
    tp_train_print("result model=cnn test_accuracy=%.4f epochs=%lld%s\n", accuracy, (long long)epochs, speed);
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "a convolutional network on Fashion-MNIST", .epochs = 3, .batch = 64, .lr = 2e-3,
                        .seed = 1, .plot = true };
    int status = tp_train_parse(&a, argc, argv);
    char state[4096], weights[4096], picture[4096];
    int64_t done = 0;
    double accuracy = NAN;
    tp_batch b;

    if (status >= 0) return status; /* --help, or one line on what is wrong */
    tp_train_catch_interrupt();
    snprintf(state, sizeof state, "%s/state.safetensors", a.out);
    snprintf(weights, sizeof weights, "%s/cnn.safetensors", a.out);
    snprintf(picture, sizeof picture, "%s/predictions.png", a.out);

    tp_device *dev = tp_device_open(a.device);
    tp_loader_opts how = { .batch = a.batch, .shuffle = true, .workers = 1, .seed = a.seed, .device = dev };
    tp_loader_opts plain = { .batch = 250, .workers = 1, .device = dev };
    tp_loader *train = tp_data_loader(tp_data_fashion_mnist(a.data, "train"), how);
    tp_loader *test = tp_data_loader(tp_data_fashion_mnist(a.data, "test"), plain);
    int64_t total = a.steps ? a.steps : a.epochs * tp_data_batches(train);

    tp_cnn_opts o = { .norm = true, .dropout = 0.2 };
    tp_module *net = tp_nn_init(tp_model_cnn(o), dev); /* draws the weights, in layer order */
    tp_optim *opt = tp_optim_adamw(tp_nn_params(net, "*"), tp_adamw(a.lr));
    tp_sched *sched = tp_sched_cosine(opt, total / 20, total, 0.01);
    tp_dtype amp = tp_train_amp(&a);
    tp_scaler *scaler = amp == TP_F16 ? tp_scaler_new(dev, tp_scaler_options()) : NULL;
    tp_state *run = tp_state_new();
    if (scaler) tp_state_scaler(run, "scaler", scaler);
    tp_state_module(run, "net", net), tp_state_optim(run, "opt", opt), tp_state_sched(run, "sched", sched);
    tp_state_loader(run, "train", train), tp_state_count(run, "done", &done), tp_state_text(run, "options", a.options);
    if (a.resume && tp_state_load(run, a.resume) && done > total) total = done; /* nothing is left to train */

    tp_logger *log = tp_log_open((tp_log_opts){ .dir = a.out, .total = total, .from = done, .items = a.batch,
                                                .unit = "images", .bar = true, .plot = a.plot,
                                                .append = a.resume != NULL });
    int64_t images = 0; /* of this run, without what it resumes */
    bool there = tp_state_try(run, state); /* no place to save to is told now, not after an epoch */

    while (there && tp_ok() && done < total && !tp_train_interrupted()) {
        if (tp_data_next(train, &b)) { /* the loader's, until its next call */
            step(net, opt, scaler, b, amp, done + 1, log);
            tp_sched_advance(sched), tp_log_items(log, b.size);
            tp_log_step(log), done++, images += b.size;
        } else if (tp_ok()) { /* a pass has ended */
            tp_log_value(log, "accuracy", tp_train_accuracy(net, test));
            if (!tp_state_save(run, state)) break;
        }
    }
    double seconds = tp_log_seconds(log);
    bool stopped = tp_train_interrupted();

    if (stopped) {
        if (!tp_state_save(run, state)) done = 0; /* the error is told below */
    } else if (tp_ok()) {
        accuracy = tp_train_accuracy(net, test);
        tp_log_value(log, "accuracy", accuracy);
        if (tp_model_save(net, weights) && tp_state_save(run, state) && tp_data_next(test, &b))
            draw_predictions(picture, net, b);
    }
    tp_log_close(log);
    if (!stopped && tp_ok()) tell_result(accuracy, done / tp_data_batches(train), images, seconds);
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    else if (stopped) fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a.program, (long long)done, state);
    tp_state_free(run), tp_scaler_free(scaler), tp_sched_free(sched), tp_optim_free(opt), tp_nn_free(net);
    tp_data_free(train), tp_data_free(test);
    return stopped || !tp_ok() ? tp_train_status() : 0;
}
