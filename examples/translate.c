/*
 * translate.c - a Transformer from one language to another (Vaswani et al. 2017), on byte pairs (Sennrich et al. 2016).
 *
 *   translate --data pairs.tsv [--epochs 10] ...                  a text, a tab, its translation; translate --help
 *   translate --text "In the beginning" [--beams 4]               translates, from OUT/translate.safetensors
 *
 * Without --data it reads what scripts/texts.sh made of Debian's Bibles, English to Spanish.  --held of the pairs, drawn by the
 * seed, are kept for the test.  Byte pairs are learned from the rest, both sides together, and kept in the model's file.
 * BLEU is of words and marks as sacrebleu cuts them (13a), case and all.
 */
#include <taper.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text;
static int64_t layers = 3, heads = 4, width = 192, context = 128, tokens = 6000, held = 2000;
static tp_beam_opts how = { .beams = 4, .length_penalty = 0.6 };

static const tp_train_flag flags[] = {
    { "layers", "of the encoder, and of the decoder", TP_FLAG_WHOLE, &layers, 1, 64 },
    { "heads", "of each layer", TP_FLAG_WHOLE, &heads, 1, 256 },
    { "width", "of the model", TP_FLAG_WHOLE, &width, 1, 65536 },
    { "context", "tokens of a text; what is longer is cut", TP_FLAG_WHOLE, &context, 4, 1 << 16 },
    { "tokens", "byte pairs and bytes that are learned", TP_FLAG_WHOLE, &tokens, 259, 1 << 24 },
    { "held", "pairs to test", TP_FLAG_WHOLE, &held, 1, 1 << 30 },
    { "beams", "translations that are kept side by side", TP_FLAG_WHOLE, &how.beams, 1, 64 },
    { "penalty", "for short ones; 0: none", TP_FLAG_REAL, &how.length_penalty, 0, 10 },
    { "text", "to translate, and no training", TP_FLAG_TEXT, &text, 0, 0 },
};

/* A side of a batch (N, 2, tokens) without columns of padding alone. */
static tp_tensor *side(tp_batch b, int i)
{
    tp_tensor *x = tp_squeeze(tp_slice(b.x, 1, i, i + 1), TP_AXES(1));

    return tp_data_trim(x, tp_squeeze(tp_slice(b.y, 1, i, i + 1), TP_AXES(1)));
}

static tp_tensor *run(tp_module *m, tp_batch b, void *unused)
{
    tp_tensor *y = NULL;

    tp_nn_apply(m, TP_LIST(side(b, 0), tp_slice(side(b, 1), 1, 0, -1)), &y, 1);
    return (void)unused, tp_reshape(y, TP_SHAPE(-1, tp_dim(y, 2)));
}

static tp_tensor *next_token_loss(tp_tensor *logits, tp_batch b, void *model)
{
    const tp_translate_opts *k = tp_nn_opts(model);
    tp_cross_entropy_opts o = tp_cross_entropy_defaults();
    tp_tensor *y = side(b, 1);

    o.ignore_index = k->padding, o.label_smoothing = tp_nn_training(model) ? 0.1 : 0;
    return tp_cross_entropy_with(logits, tp_reshape(tp_slice(y, 1, 1, tp_dim(y, 1)), TP_SHAPE(-1)), o);
}

/* BLEU over a pass, and some translations. */
static void test(tp_module *m, tp_loader *l, const tp_tokenizer *t, tp_rows_opts o, tp_fit_at at)
{
    tp_metric *bleu = tp_metric_bleu((tp_bleu_opts){ .smoothing = TP_BLEU_EXP });
    char source[8192], own[8192], wanted[8192];
    int64_t seen = 0, every = tp_data_count(tp_data_of(l)) / 8 + 1;

    how.begin = o.begin, how.end = o.end;
    for (tp_batch b; !tp_train_interrupted() && tp_data_next(l, &b);) {
        TP_SCOPE;
        tp_tensor *x = side(b, 0), *y = side(b, 1), *z = tp_model_beam(m, x, how);

        for (int64_t i = 0; tp_ok() && i < b.size; i++) {
            tp_data_row(t, x, i, o, source, sizeof source), tp_data_row(t, y, i, o, wanted, sizeof wanted), tp_data_row(t, z, i, o, own, sizeof own);
            tp_metric_bleu_text(bleu, own, (const char *const[]){ wanted }, 1);
            if (seen++ % every == every / 2) tp_train_print("%s\n  ours  %s\n  pair  %s\n", source, own, wanted);
        }
    }
    if (!tp_train_interrupted())
        tp_train_print("result model=translate bleu=%.2f validation_loss=%.4f steps=%lld\n", 100 * tp_metric_value(bleu), at.score, (long long)at.step);
    tp_metric_free(bleu);
}

static void train(const tp_train_args *a, const char *weights, const char *state)
{
    TP_SCOPE;
    tp_device *dev = tp_device_open(a->device);
    tp_table *table = tp_data_table(a->data, (tp_csv_opts){ .delimiter = '\t', .no_quotes = true, .header = TP_HEADER_NO });
    int64_t n = tp_data_table_rows(table), rest = n - held, cut = 0, *row = calloc((size_t)n + 1, sizeof *row);
    const char **texts = calloc(2 * (size_t)n + 1, sizeof *texts); /* a pair after the other, those held last */

    if (!texts || !row) tp_fail(TP_ERR_MEMORY, "%s", a->data);
    if (table && tp_data_table_columns(table) != 2) tp_fail(TP_ERR_ARG, "%s: %lld columns, not a text, a tab and its translation", a->data, (long long)tp_data_table_columns(table));
    if (table && rest < 1) tp_fail(TP_ERR_ARG, "%s: %lld pairs: with --held %lld none is left to learn from", a->data, (long long)n, (long long)held);
    for (int64_t i = 0, ok = tp_read(tp_randperm(n, tp_device_open("cpu")), row, sizeof *row * (size_t)n); ok && i < 2 * n; i++)
        texts[i] = tp_data_table_at(table, row[i / 2], i % 2);
    tp_tokenizer *t = tp_ok() ? tp_data_bpe_learn(texts, 2 * rest, tokens - 3) : NULL;
    tp_rows_opts o = tp_rows_marked(t, context);
    tp_tensor *rows, *lengths;

    o.cut = &cut, rows = tp_reshape(tp_data_rows(t, texts, 2 * n, o, &lengths), TP_SHAPE(n, 2, context)), lengths = tp_reshape(lengths, TP_SHAPE(n, 2));
    tp_loader_opts load = { .batch = a->batch, .shuffle = true, .workers = 1, .seed = a->seed, .device = dev }, plain = { .batch = a->batch, .workers = 1, .device = dev };
    tp_loader *training = tp_data_rows_loader(TP_LIST(rows, lengths), lengths, 0, rest, load), *testing = tp_data_rows_loader(TP_LIST(rows, lengths), lengths, rest, n, plain);
    tp_translate_opts k = { .vocabulary = tp_data_tokens(t), .context = context, .layers = (int)layers, .heads = (int)heads, .width = width,
                            .dropout = 0.1, .padding = o.padding, .norm_first = true };
    tp_module *m = t ? tp_nn_init(tp_model_translate(k), dev) : NULL;
    tp_optim *opt = tp_optim_adamw(tp_nn_params(m, "*"), tp_adamw(a->lr));
    int64_t total = a->steps ? a->steps : a->epochs * tp_data_batches(training);
    tp_sched *sched = tp_sched_cosine(opt, total / 10, total, 0.01);
    tp_fit_result f;
    tp_fit_opts fit = { .optim = opt, .sched = sched, .train = training, .validation = testing, .forward = run, .loss = next_token_loss, .user = m,
                        .steps = total, .clip_norm = 1, .checkpoint = state, .resume = a->resume, .options = a->options, .amp = tp_train_amp(a),
                        .log = { .dir = a->out, .unit = "pairs", .bar = true, .plot = a->plot } };

    if (tp_ok()) fprintf(stderr, "%lld pairs, %lld held; %lld of their texts cut; %lld tokens; %lld parameters\n", (long long)n, (long long)(n - rest), (long long)cut, (long long)k.vocabulary, (long long)tp_nn_count(m));
    if (tp_model_set_tokenizer(m, t) && tp_train_fit(m, fit, &f) && f.why == TP_FIT_DONE && tp_model_save(m, weights)) test(m, testing, t, o, f.at);
    if (tp_ok() && tp_train_interrupted()) fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a->program, (long long)f.at.step, state);
    tp_sched_free(sched), tp_optim_free(opt), tp_nn_free(m), tp_data_free(training), tp_data_free(testing), tp_data_tokenizer_free(t), tp_data_table_free(table), free(texts), free(row);
}

static void translate(const tp_train_args *a, const char *weights)
{
    TP_SCOPE;
    tp_module *m = tp_model_load(weights, "translate", tp_device_open(a->device));
    tp_tokenizer *t = m ? tp_model_tokenizer(m) : NULL;
    const tp_translate_opts *k = tp_nn_opts(m);
    tp_rows_opts o = tp_rows_marked(t, k ? k->context : 4);
    int64_t cut = 0;
    char own[65536];

    how.begin = o.begin, how.end = o.end, o.cut = &cut;
    if (tp_data_row(t, tp_model_beam(m, tp_data_rows(t, &text, 1, o, NULL), how), 0, o, own, sizeof own)) tp_train_print("%s\n", own);
    if (cut) fprintf(stderr, "%s: the text is longer than the %lld tokens that are read\n", a->program, (long long)o.most);
    tp_nn_free(m), tp_data_tokenizer_free(t);
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "translates, by what pairs of texts show", .epochs = 10, .batch = 64, .lr = 1.5e-3, .seed = 1, .flags = flags, .n_flags = TP_LEN(flags), .may_differ = "beams penalty text" };
    int status = tp_train_parse(&a, argc, argv);
    char weights[4096], state[4096], pairs[4096];

    if (status >= 0) return status;
    snprintf(weights, sizeof weights, "%s/translate.safetensors", a.out), snprintf(state, sizeof state, "%s/state.safetensors", a.out);
    snprintf(pairs, sizeof pairs, "%s/.cache/taper/kjv-rv.tsv", getenv("HOME") ? getenv("HOME") : ".");
    if (!a.data && !tp_file_exists(a.data = pairs) && !text) tp_fail(TP_ERR_IO, "%s isn't there: scripts/texts.sh makes it; or --data FILE", pairs);
    tp_train_catch_interrupt();
    text ? translate(&a, weights) : train(&a, weights, state);
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    return tp_train_status();
}
