/*
 * forecast.c - what comes next in a table of measurements, all its columns at once (SegRNN, Lin et al. 2023).
 *
 *   forecast --data series.csv [--steps_in 96] [--ahead 24] ...     forecast --help
 *   forecast --data series.csv --sample >next.csv                   what comes after its end, from OUT/forecast.safetensors
 *
 * A row is a time, a column a series, but for those of text, dates say.  Without --data it reads what scripts/series.sh made: a day's weather a row.
 * Rows train, validate and test in this order.  Errors are in deviations of each column, beside those of the last value and of a --season before.
 */
#include <taper.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *columns, *delimiter = ",";
static int64_t steps_in = 96, ahead = 24, season = 24, segment = 12, width = 128, rows[2];
static bool sample;
static char weights[4096], state[4096], series[4096], names[1 << 16]; /* of files; of the table's columns, commas between */

static const tp_train_flag flags[] = {
    { "steps_in", "rows that a forecast is made of", TP_FLAG_WHOLE, &steps_in, 1, 1 << 20 },
    { "ahead", "rows that are forecast", TP_FLAG_WHOLE, &ahead, 1, 1 << 20 },
    { "season", "rows after which all is alike, for the comparison", TP_FLAG_WHOLE, &season, 1, 1 << 20 },
    { "segment", "rows that are read at once", TP_FLAG_WHOLE, &segment, 1, 1 << 20 },
    { "width", "of the model", TP_FLAG_WHOLE, &width, 2, 65536 },
    { "columns", "names or numbers, \"a,b\"; otherwise all", TP_FLAG_TEXT, &columns, 0, 0 },
    { "delimiter", "of columns: one character, or \\t", TP_FLAG_TEXT, &delimiter, 0, 0 },
    { "train", "rows; 0: 60 % of all", TP_FLAG_WHOLE, &rows[0], 0, 1 << 30 },
    { "validation", "rows, and as many to test; 0: 20 %", TP_FLAG_WHOLE, &rows[1], 0, 1 << 30 },
    { "sample", "forecast what is after the table's end, and no training", TP_FLAG_YES, &sample, 0, 0 },
};

static tp_dataset *read_table(const char *path) /* columns of text are dates, or the like: they are passed over */
{
    tp_csv_opts o = { .x = columns, .delimiter = strcmp(delimiter, "\\t") ? *delimiter : '\t', .words = TP_WORDS_LEAVE_OUT };

    if (o.delimiter != '\t' && strlen(delimiter) != 1) tp_fail(TP_ERR_ARG, "--delimiter \"%s\": one character, or \\t, is wanted", delimiter);
    return tp_data_csv(path, o);
}

static tp_loader *windows(tp_tensor *x, int64_t from, int64_t to, int64_t stride, tp_loader_opts how) /* of which the rows ahead are from .. to - 1 */
{
    return tp_data_loader(tp_data_windows(tp_contiguous(tp_slice(x, 0, from > steps_in ? from - steps_in : 0, to)), (tp_windows_opts){ .steps = steps_in, .ahead = ahead, .stride = stride }), how);
}

static tp_tensor *scaled_squares(tp_tensor *y, tp_batch b, void *scale)
{
    return tp_mse(tp_div(y, scale), tp_div(b.y, scale));
}

static tp_tensor *repeated(tp_tensor *x, int64_t n) /* the last n rows of each window, again and again */
{
    return tp_slice(tp_repeat(tp_slice(x, 1, steps_in - n, steps_in), TP_SHAPE(1, (ahead + n - 1) / n, 1)), 1, 0, ahead);
}

static void test(tp_module *m, tp_loader *l, tp_tensor *scale, int64_t passes)
{
    tp_metric *k[] = { tp_metric_mse(), tp_metric_mae(), tp_metric_mse(), tp_metric_mae(), tp_metric_mse() };
    double v[TP_LEN(k)];

    for (tp_batch b; tp_data_next(l, &b);) {
        TP_SCOPE;
        tp_tensor *y = tp_nn_predict(m, b.x), *last = repeated(b.x, 1), *of[] = { y, y, last, last, repeated(b.x, season) };

        for (int i = 0; i < TP_LEN(k); i++) tp_metric_update(k[i], tp_div(of[i], scale), tp_div(b.y, scale));
    }
    for (int i = 0; i < TP_LEN(k); i++) v[i] = tp_metric_value(k[i]), tp_metric_free(k[i]);
    tp_train_print("result model=forecast mse=%.4f mae=%.4f rmse=%.4f naive_mse=%.4f naive_mae=%.4f naive_rmse=%.4f season_mse=%.4f epochs=%lld\n",
                   v[0], v[1], sqrt(v[0]), v[2], v[3], sqrt(v[2]), v[4], (long long)passes);
}

static void draw(const char *dir, tp_module *m, tp_loader *l, const tp_dataset *table)
{
    tp_batch b = { 0 };
    int64_t n = tp_data_next(l, &b) ? b.size * ahead : 0, C = tp_data_shape(table, 0).n[0];
    tp_tensor *y = tp_reshape(tp_stack(TP_LIST(b.y, tp_nn_predict(m, b.x), repeated(b.x, 1)), 0), TP_SHAPE(3, n, C));
    double *v = calloc((size_t)(3 * C * n + 1), sizeof *v);
    bool ok = v && tp_read(tp_cast(tp_transpose(y, 1, 2), TP_F64), v, sizeof *v * (size_t)(3 * C * n)); /* (3, C, n) */
    char png[4096];

    for (int c = 0; ok && c < C && c < 8; c++) {
        tp_series s[] = { { "truth", NULL, v + c * n, n }, { "forecast", NULL, v + (C + c) * n, n }, { "the last value", NULL, v + (2 * C + c) * n, n } };

        snprintf(png, sizeof png, "%s/forecast_%d.png", dir, c);
        ok = tp_plot_lines(png, s, 3, (tp_plot_opts){ .title = tp_data_column(table, c), .x_label = "row of the test" });
    }
    free(v);
}

static void write_next(tp_module *m, tp_tensor *x, const tp_dataset *table) /* behind x, as CSV */
{
    const tp_forecast_opts *o = tp_nn_opts(m);
    int64_t n = tp_dim(x, 0), C = tp_dim(x, 1), first = o && o->steps_in < n ? n - o->steps_in : 0;
    tp_tensor *y = tp_to(tp_nn_predict(m, tp_to(tp_unsqueeze(tp_slice(x, 0, first, n), 0), tp_device_of(tp_nn_tensor(m, "scale")))), tp_device_open("cpu"));

    if (o && n < o->steps_in) tp_fail(TP_ERR_ARG, "%lld rows are there: %lld are wanted to go on from", (long long)n, (long long)o->steps_in);
    for (int64_t c = 0; tp_ok() && c < C; c++) {
        const char *is = tp_data_column(table, c), *quotes = strpbrk(is, ",\"\n") ? "\"" : "";

        for (tp_train_print("%s", quotes); *is; is++) tp_train_print(*is == '"' ? "\"\"" : "%c", *is);
        tp_train_print("%s%s", quotes, c + 1 < C ? "," : "\n");
    }
    for (int64_t i = 0; tp_ok() && i < tp_count(y); i++) tp_train_print("%.9g%s", (double)tp_f32(y)[i], (i + 1) % C ? "," : "\n");
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "what comes next in a table", .epochs = 30, .batch = 32, .lr = 1e-3, .seed = 1, .flags = flags, .n_flags = TP_LEN(flags), .may_differ = "season sample" };
    int status = tp_train_parse(&a, argc, argv);
    tp_tensor *mean, *scale = NULL;
    tp_fit_result r;
    tp_batch b = { 0 };

    if (status >= 0) return status;
    snprintf(weights, sizeof weights, "%s/forecast.safetensors", a.out), snprintf(state, sizeof state, "%s/state.safetensors", a.out);
    snprintf(series, sizeof series, "%s/.cache/taper/series.csv", getenv("HOME") ? getenv("HOME") : ".");
    tp_train_catch_interrupt();
    TP_SCOPE;
    tp_device *dev = tp_device_open(a.device);
    tp_dataset *table = read_table(a.data ? a.data : series), *seen = NULL;
    if (!a.data && tp_error_code() == TP_ERR_IO) tp_clear_error(), tp_fail(TP_ERR_IO, "%s can't be read: scripts/series.sh makes it; or --data FILE.csv", series);
    int64_t n = tp_data_count(table), v = rows[1] ? rows[1] : n / 5, first = rows[0] ? rows[0] : n - 2 * v, end[] = { 0, first, first + v, first + 2 * v };
    tp_loader *all = tp_data_loader(table, (tp_loader_opts){ .batch = n }), *l[4] = { NULL };
    int64_t C = tp_data_next(all, &b) ? tp_dim(b.x, 1) : 0;
    tp_forecast_opts o = { .columns = C, .steps_in = steps_in, .ahead = ahead, .segment = segment, .width = width, .dropout = 0.3 };
    tp_module *m = sample ? tp_model_load(weights, "forecast", dev) : tp_nn_init(tp_model_forecast(o), dev);
    for (size_t c = 0, at = 0; c < (size_t)C && at < sizeof names; c++) at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", c ? "," : "", tp_data_column(table, (int64_t)c));
    const char *of = sample ? tp_nn_noted(m, "columns") : tp_nn_note(m, "columns", names) ? names : NULL;
    if (of && strcmp(of, names)) tp_fail(TP_ERR_ARG, "%s forecasts the columns %s; the table has %s", weights, of, names);
    if (!sample && season > steps_in) tp_fail(TP_ERR_ARG, "--season %lld is more than --steps_in %lld", (long long)season, (long long)steps_in);
    if (!sample && (end[3] > n || first < steps_in + ahead || v < ahead)) tp_fail(TP_ERR_ARG, "%lld rows are there: %lld to train (at least %lld) and twice %lld (%lld) are wanted", (long long)n, (long long)first, (long long)(steps_in + ahead), (long long)v, (long long)ahead);
    for (int i = 0; !sample && i < 3; i++) /* to train, to validate, to test; the fourth is to draw */
        l[i] = windows(b.x, end[i], end[i + 1], 1, (tp_loader_opts){ .batch = i ? 256 : a.batch, .shuffle = !i, .seed = a.seed, .device = dev });
    if (!sample && tp_data_measure(seen = tp_data_range(tp_data_retain(table), 0, end[1]), 0, &mean, &scale)) tp_nn_set(m, "scale", scale = tp_to(scale, dev));
    tp_fit_opts fit = { .optim = sample ? NULL : tp_optim_adamw(tp_nn_params(m, "*"), tp_adamw(a.lr)), .train = l[0], .validation = l[1], .loss = scaled_squares,
                        .user = scale, .epochs = a.steps ? 0 : a.epochs, .steps = a.steps, .clip_norm = 1, .patience = 5, .restore_best = true, .checkpoint = state,
                        .resume = a.resume, .options = a.options, .amp = tp_train_amp(&a), .log = { .dir = a.out, .unit = "windows", .bar = true, .plot = a.plot } };
    if (tp_ok()) fprintf(stderr, "%lld rows; columns %s\n", (long long)n, names);
    if (sample) write_next(m, b.x, table);
    else if (tp_train_fit(m, fit, &r) && r.why != TP_FIT_INTERRUPTED && tp_model_save(m, weights)) {
        test(m, l[2], scale, r.at.epoch);
        if (a.plot) draw(a.out, m, l[3] = windows(b.x, end[2], end[3], ahead, (tp_loader_opts){ .batch = 7, .device = dev }), table);
    } else if (tp_ok()) fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a.program, (long long)r.at.step, state);
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    tp_optim_free(fit.optim), tp_nn_free(m), tp_data_set_free(seen), tp_data_free(all), tp_data_free(l[0]), tp_data_free(l[1]), tp_data_free(l[2]), tp_data_free(l[3]);
    return tp_train_status();
}
