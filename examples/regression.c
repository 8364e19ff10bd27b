/*
 * regression.c - predicts a column of a table from the others.
 *
 *   regression [--data table.csv[:column]] [--epochs 60] [--out out] ...    regression --help
 *
 * Any CSV file will do, gzip or plain; the column is a number, the last one unless it is named.
 * Columns of text become columns of 0 and 1, rows that lack something are left out.  Without
 * --data a small table is made up, OUT/made.csv.  70 % of the rows train, 15 % validate, 15 % test.
 */
#include <taper.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* y = 10 sin(pi a b) + 20 (c - 1/2)^2 + 10 d + 5 e (Friedman 1991), and a word that counts. */
static bool write_table(const char *dir, const char *path)
{
    static const char *const word[] = { "low", "middle", "high" };
    FILE *f = mkdir(dir, 0777) && errno != EEXIST ? NULL : fopen(path, "w");
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

static tp_module *network(int64_t inputs)
{
    tp_linear_layer_opts relu = { .activation = TP_RELU };
    tp_module *layers[] = { tp_nn_linear_with(inputs, 64, relu), tp_nn_linear_with(64, 64, relu), tp_nn_linear(64, 1) };

    return tp_nn_sequential(layers, TP_LEN(layers));
}

static void step(tp_module *net, tp_optim *opt, tp_scaler *scaler, tp_batch b, tp_dtype amp, tp_logger *log)
{
    TP_SCOPE;
    TP_AUTOCAST(amp);
    tp_tensor *loss = tp_mse(tp_nn_forward(net, b.x), b.y);

    tp_optim_zero_grad(opt);
    tp_backward(scaler ? tp_scaler_scale(scaler, loss) : loss);
    if (scaler) tp_scaler_step(scaler, opt), tp_scaler_update(scaler);
    else tp_optim_step(opt);
    tp_log_add(log, "loss", loss);
}

/* Mean squared error over one pass, and the share of y's variance that is explained. */
static double evaluate(tp_module *net, tp_loader *l, double *r2)
{
    double error = 0, sum = 0, squares = 0, n = 0;

    for (tp_batch b; tp_data_next(l, &b); n += (double)b.size) {
        TP_SCOPE;
        double size = (double)b.size;

        error += tp_item(tp_mse(tp_nn_predict(net, b.x), b.y)) * size;
        sum += tp_item(tp_sum(b.y, TP_ALL)), squares += tp_item(tp_sum(tp_mul(b.y, b.y), TP_ALL));
    }
    *r2 = 1 - error / (squares - sum * sum / n);
    return error / n;
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "a column of a table from the others; --data table.csv[:column]", .epochs = 60, .batch = 32, .lr = 3e-3, .seed = 1 };
    int status = tp_train_parse(&a, argc, argv);
    char made[4096], state[4096];
    tp_dataset *part[3] = { NULL };
    tp_tensor *mean[2] = { NULL }, *std[2] = { NULL };
    tp_loader *l[3];
    int64_t done = 0;
    double r2 = NAN, mse = NAN, unit;
    tp_batch b;

    if (status >= 0) return status;
    snprintf(made, sizeof made, "%s/made.csv", a.out), snprintf(state, sizeof state, "%s/state.safetensors", a.out);
    if (!a.data && write_table(a.out, made)) a.data = made;

    tp_device *dev = tp_device_open(a.device);
    if (tp_data_split(read_table(a.data), (double[]){ .7, .15, .15 }, 3, a.seed, part) && !tp_data_count(part[2]))
        tp_fail(TP_ERR_ARG, "%s: so few rows leave none to test", a.data);
    for (int f = 0; f < 2; f++) { /* the rows that train tell how all are scaled */
        tp_data_measure(part[0], f, &mean[f], &std[f]);
        for (int k = 0; k < 3; k++)
            part[k] = tp_data_standardize(part[k], f, mean[f], std[f]);
    }
    int64_t inputs = tp_data_shape(part[0], 0).n[0];
    for (int k = 0; k < 3; k++)
        l[k] = tp_data_loader(part[k], (tp_loader_opts){ .batch = k ? 256 : a.batch, .shuffle = !k, .seed = a.seed, .device = dev });
    int64_t total = a.steps ? a.steps : a.epochs * tp_data_batches(l[0]);
    tp_module *net = tp_nn_init(network(inputs), dev);
    tp_optim *opt = tp_optim_adamw(tp_nn_params(net, "*"), tp_adamw(a.lr));
    tp_sched *sched = tp_sched_cosine(opt, total / 20, total, 0.01);
    tp_scaler *scaler = tp_train_amp(&a) == TP_F16 ? tp_scaler_new(dev, tp_scaler_options()) : NULL;
    tp_state *run = tp_state_new();

    tp_state_module(run, "net", net), tp_state_optim(run, "opt", opt), tp_state_sched(run, "sched", sched);
    tp_state_loader(run, "train", l[0]), tp_state_i64(run, "done", &done), tp_state_text(run, "options", a.options);
    if (scaler) tp_state_scaler(run, "scaler", scaler);
    if (a.resume && !tp_state_load(run, a.resume)) done = total;
    tp_logger *log = tp_log_open((tp_log_opts){ .dir = a.out, .total = total, .from = done, .items = a.batch, .unit = "rows",
                                                .bar = true, .plot = a.plot, .append = a.resume != NULL });

    tp_train_catch_interrupt();
    while (tp_ok() && done < total && !tp_train_interrupted()) {
        if (tp_data_next(l[0], &b)) step(net, opt, scaler, b, tp_train_amp(&a), log), tp_sched_advance(sched), tp_log_step(log), done++;
        else if (tp_ok()) tp_log_value(log, "validation_loss", evaluate(net, l[1], &r2)); /* a pass has ended */
    }
    if (tp_state_save(run, state) && !tp_train_interrupted()) mse = evaluate(net, l[2], &r2);
    tp_log_close(log);
    unit = tp_item(std[1]), mse *= unit * unit; /* as the table has it */
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    else if (tp_train_interrupted()) fprintf(stderr, "\n%s: stopped; go on with --resume %s\n", a.program, state);
    else printf("result model=regression rmse=%.6g r2=%.4f mse=%.6g steps=%lld\n", sqrt(mse), r2, mse, (long long)done);
    tp_state_free(run), tp_scaler_free(scaler), tp_sched_free(sched), tp_optim_free(opt), tp_nn_free(net);
    for (int k = 0; k < 3; k++)
        tp_data_free(l[k]);
    return tp_train_status();
}
