/*
 * regression.c - predicts a column of a table from the others.
 *
 *   regression [--data table.csv[:column]] [--epochs 60] [--out out] ...    regression --help
 *
 * Any CSV file will do, gzip or plain; the column is a number, the last one unless it is named.
 * Columns of text become columns of 0 and 1, rows that lack something are left out.  Without
 * --data a small table is made up, OUT/made.csv.  70 % of the rows train, 15 % validate, 15 % test.  The
 * model goes into OUT/regression.safetensors.
 */
#include <taper.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* y = 10 sin(pi a b) + 20 (c - 1/2)^2 + 10 d + 5 e (Friedman 1991), and a word that counts. */
static bool write_table(const char *dir, const char *path)
{
    static const char *const word[] = { "low", "middle", "high" };
    FILE *f = tp_train_folder(dir) ? fopen(path, "w") : NULL;
    unsigned seed = 1;

    if (!f) return tp_fail(TP_ERR_IO, "%s can't be written: %s", path, strerror(errno)), false;
    fprintf(f, "a,b,c,d,e,level,y\n");
    for (int i = 0; i < 1000; i++) {
        int v[5], level = i % 3;
        double u[5];

        for (int k = 0; k < 5; k++) /* thousandths, so that no locale writes a comma */
            v[k] = (int)((seed = seed * 1664525u + 1013904223u) >> 8) % 1000, u[k] = v[k] / 1000.0;
        double y = 10 * sin(3.14159265358979 * u[0] * u[1]) + 20 * (u[2] - .5) * (u[2] - .5) + 10 * u[3] + 5 * u[4] + 3 * level;

        for (int k = 0; k < 5; k++)
            fprintf(f, "0.%03d,", v[k]);
        fprintf(f, "%s,%d.%03d\n", word[level], (int)y, (int)(y * 1000) % 1000);
    }
    return !fclose(f) || (tp_fail(TP_ERR_IO, "%s can't be written: %s", path, strerror(errno)), false);
}

static tp_dataset *read_table(const char *data) /* "path" or "path:column" */
{
    const char *colon = data ? strrchr(data, ':') : NULL, *column = colon && !strchr(colon, '/') ? colon + 1 : "-1";
    char path[4096] = "";
    tp_dataset *d;

    if (data) snprintf(path, sizeof path, "%.*s", colon && column == colon + 1 ? (int)(colon - data) : 4095, data);
    d = tp_data_csv(path, (tp_csv_opts){ .y = column, .missing = TP_MISSING_DROP, .words = TP_WORDS_ONE_HOT });
    if (!d || tp_data_dtype(d, 1) == TP_F32) return d;
    tp_data_set_free(d);
    return tp_fail(TP_ERR_ARG, "%s: column %s is no number: there is nothing to regress", path, column);
}

/* ---- the model: rows as the table has them, scaled inside, so that its file is all that it takes ---- */

static int predict(void *self, tp_list in, tp_tensor **out, int room)
{
    tp_module *m = self;
    tp_tensor *x = tp_div(tp_sub(in.t[0], tp_nn_tensor(m, "mean")), tp_nn_tensor(m, "scale"));

    (void)room;
    return tp_nn_gives(out, tp_add(tp_mul(tp_nn_call(m, "net", x), tp_nn_tensor(m, "y_scale")), tp_nn_tensor(m, "y_mean")));
}

static tp_module *network(int64_t inputs)
{
    tp_linear_layer_opts relu = { .activation = TP_RELU };
    tp_module *layers[] = { tp_nn_linear_with(inputs, 64, relu), tp_nn_linear_with(64, 64, relu), tp_nn_linear(64, 1) };
    tp_module *m = tp_nn_from("regression", NULL, predict, NULL);

    tp_nn_add(m, "net", tp_nn_sequential(layers, TP_LEN(layers)));
    tp_nn_buffer(m, "mean", TP_SHAPE(inputs), TP_F32, 0), tp_nn_buffer(m, "scale", TP_SHAPE(inputs), TP_F32, 1);
    tp_nn_buffer(m, "y_mean", TP_SHAPE(1), TP_F32, 0), tp_nn_buffer(m, "y_scale", TP_SHAPE(1), TP_F32, 1);
    return tp_nn_made(m);
}

/* What rows of d are like becomes the module's mean and scale of field f; its columns become notes. */
static bool measure(tp_module *m, tp_dataset *d, int f, tp_device *dev)
{
    tp_tensor *mean, *scale;
    char key[64];

    for (int64_t i = 0; f == 0 && tp_data_column(d, i); i++)
        snprintf(key, sizeof key, "column.%lld", (long long)i), tp_nn_note(m, key, tp_data_column(d, i));
    if (!tp_data_measure(d, f, &mean, &scale)) return false;
    if (f) snprintf(key, sizeof key, "%.9g, %.9g", tp_item(mean), tp_item(scale)), tp_nn_note(m, "target's mean and scale", key);
    return tp_nn_set(m, f ? "y_mean" : "mean", tp_to(mean, dev)) && tp_nn_set(m, f ? "y_scale" : "scale", tp_to(scale, dev));
}

static tp_tensor *scaled_squares(tp_tensor *y, tp_batch b, void *net)
{
    tp_tensor *scale = tp_nn_tensor(net, "y_scale");

    return tp_mse(tp_div(y, scale), tp_div(b.y, scale));
}

static void test(tp_module *net, tp_loader *l, int64_t steps)
{
    tp_metric *k[] = { tp_metric_mse(), tp_metric_r2() };

    for (tp_batch b; tp_data_next(l, &b);) {
        TP_SCOPE;
        tp_tensor *y = tp_nn_predict(net, b.x);

        tp_metric_update(k[0], y, b.y), tp_metric_update(k[1], y, b.y);
    }
    tp_train_print("result model=regression rmse=%.6g r2=%.4f mse=%.6g steps=%lld\n", sqrt(tp_metric_value(k[0])),
                   tp_metric_value(k[1]), tp_metric_value(k[0]), (long long)steps);
    tp_metric_free(k[0]), tp_metric_free(k[1]);
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "a column of a table from the others; --data table.csv[:column]", .epochs = 60, .batch = 32, .lr = 3e-3, .seed = 1 };
    int status = tp_train_parse(&a, argc, argv);
    char made[4096], state[4096], weights[4096];
    tp_dataset *part[3] = { NULL };
    tp_fit_result r = { .why = TP_FIT_FAILED };
    tp_loader *l[3];

    if (status >= 0) return status;
    tp_train_catch_interrupt();
    snprintf(made, sizeof made, "%s/made.csv", a.out), snprintf(state, sizeof state, "%s/state.safetensors", a.out);
    snprintf(weights, sizeof weights, "%s/regression.safetensors", a.out);
    if (!a.data && write_table(a.out, made)) a.data = made;
    TP_SCOPE;
    tp_device *dev = tp_device_open(a.device);
    if (tp_data_split(read_table(a.data), (double[]){ .7, .15, .15 }, 3, a.seed, part) && !tp_data_count(part[2]))
        tp_fail(TP_ERR_ARG, "%s: so few rows leave none to test", a.data);
    tp_module *net = tp_nn_init(network(tp_ok() ? tp_data_shape(part[0], 0).n[0] : 1), dev);
    bool ready = measure(net, part[0], 0, dev) && measure(net, part[0], 1, dev);
    for (int k = 0; k < 3; k++)
        l[k] = tp_data_loader(part[k], (tp_loader_opts){ .batch = k ? 256 : a.batch, .shuffle = !k, .seed = a.seed, .device = dev });
    int64_t total = a.steps ? a.steps : a.epochs * tp_data_batches(l[0]);
    tp_optim *opt = tp_optim_adamw(tp_nn_params(net, "*"), tp_adamw(a.lr));
    tp_sched *sched = tp_sched_cosine(opt, total / 20, total, 0.01);
    tp_fit_opts fit = { .optim = opt, .sched = sched, .train = l[0], .validation = l[1], .loss = scaled_squares, .user = net, .steps = total,
                        .checkpoint = state, .resume = a.resume, .options = a.options, .amp = tp_train_amp(&a),
                        .log = { .dir = a.out, .unit = "rows", .bar = true, .plot = a.plot } };

    if (ready && tp_train_fit(net, fit, &r) && r.why == TP_FIT_DONE && tp_nn_save(net, weights)) test(net, l[2], r.at.step);
    else if (tp_ok()) fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a.program, (long long)r.at.step, state);
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    tp_sched_free(sched), tp_optim_free(opt), tp_nn_free(net);
    for (int k = 0; k < 3; k++)
        tp_data_free(l[k]);
    return tp_train_status();
}
