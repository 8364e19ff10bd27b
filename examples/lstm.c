/*
 * lstm.c - a recurrent network that writes (Graves 2013), character by character.
 *
 *   lstm --data input.txt [--steps 4000] ...                        lstm --help
 *   lstm --sample 500 --prompt "ROMEO:" [--temperature 0.8] ...     writes, from OUT/lstm.safetensors
 *
 * Embedding, 2 layers of 256, linear layer.  Without --data it reads what scripts/texts.sh made of Debian's
 * bible-kjv.  90 % of the text train, by windows of 64 characters; the rest validates, read from its
 * beginning to its end with the states carried on.
 */
#include <taper.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *prompt = "\n";
static int64_t sample, layers = 2, width = 256, window = 64, top_k, every = 500;
static double temperature = 0.8, top_p = 1, repetition = 1, dropout = 0.1;

static const tp_train_flag flags[] = {
    { "layers", "of the model", TP_FLAG_WHOLE, &layers, 1, 32 },
    { "width", "of each layer", TP_FLAG_WHOLE, &width, 1, 65536 },
    { "window", "characters in a step", TP_FLAG_WHOLE, &window, 1, 1 << 20 },
    { "dropout", "around and between the layers", TP_FLAG_REAL, &dropout, 0, 0.99 },
    { "every", "steps between validations", TP_FLAG_WHOLE, &every, 1, 1 << 30 },
    { "sample", "characters to write, and no training", TP_FLAG_WHOLE, &sample, 0, 1 << 30 },
    { "prompt", "what it goes on from", TP_FLAG_TEXT, &prompt, 0, 0 },
    { "temperature", "of the draws; 0: the likeliest", TP_FLAG_REAL, &temperature, 0, 100 },
    { "top_k", "draws from so many; 0: all", TP_FLAG_WHOLE, &top_k, 0, 1 << 30 },
    { "top_p", "draws from this share", TP_FLAG_REAL, &top_p, 0.001, 1 },
    { "repetition", "penalty; 1: none", TP_FLAG_REAL, &repetition, 0.01, 100 },
};

static tp_tensor *next_symbol_loss(tp_tensor *logits, tp_batch b, void *unused)
{
    (void)unused;
    return tp_cross_entropy(tp_reshape(logits, TP_SHAPE(-1, tp_dim(logits, 2))), tp_reshape(b.y, TP_SHAPE(-1)));
}

/* Nats a character over the whole validation text: each lane goes on where it was. */
static double validate(tp_module *m, tp_loader *lanes, void *unused)
{
    tp_tensor *h = NULL, *c = NULL;
    double sum = 0, n = 0;

    TP_NO_GRAD;
    tp_nn_train(m, "*", false);
    for (tp_batch b; tp_data_next(lanes, &b); n++) {
        TP_SCOPE;
        tp_tensor *in[] = { b.x, h, c }, *out[3];

        if (tp_nn_apply(m, (tp_list){ in, h ? 3 : 1 }, out, 3) < 0) break;
        tp_store(&h, out[1]), tp_store(&c, out[2]);
        sum += tp_item(next_symbol_loss(out[0], b, unused));
    }
    tp_nn_train(m, "*", true);
    tp_free(h), tp_free(c);
    return sum / n;
}

static void train(tp_train_args *a, const char *weights, const char *state)
{
    enum { LANES = 16 };
    TP_SCOPE;
    tp_device *dev = tp_device_open(a->device);
    tp_tokenizer *t = tp_data_chars_of(a->data, NULL); /* goes into the model's file */
    tp_tensor *text = t ? tp_data_text(a->data, t) : NULL;
    int64_t n = tp_count(text), cut = n * 9 / 10;
    tp_loader_opts how = { .batch = a->batch, .shuffle = true, .endless = true, .workers = 1, .seed = a->seed, .device = dev };
    tp_loader_opts lanes = { .batch = LANES, .workers = 1, .device = dev };

    if (t && tp_data_tokens(t) < 2) tp_fail(TP_ERR_ARG, "%s has one symbol: there is nothing to learn", a->data);
    tp_loader *training = tp_data_loader(tp_data_windows(tp_slice(text, 0, 0, cut), (tp_windows_opts){ .steps = window }), how);
    tp_loader *validation = tp_data_loader(tp_data_lanes(tp_slice(text, 0, cut, n), LANES, window), lanes);
    tp_module *m = tp_nn_init(tp_model_lstm((tp_lstm_model_opts){ .vocabulary = tp_data_tokens(t), .width = width,
                                                                  .layers = (int)layers, .dropout = dropout }), dev);
    tp_optim *opt = tp_optim_adam(tp_nn_params(m, "*"), tp_adam(a->lr));
    int64_t total = a->steps ? a->steps : a->epochs * tp_data_batches(training);
    tp_sched *sched = tp_sched_cosine(opt, total / 20, total, 0.05);
    tp_fit_result r;
    tp_fit_opts fit = { .optim = opt, .sched = sched, .train = training, .validation = validation, .loss = next_symbol_loss,
                        .score = validate, .steps = total, .clip_norm = 1, .validate_every = every, .checkpoint = state,
                        .checkpoint_every = every, .resume = a->resume, .options = a->options, .amp = tp_train_amp(a),
                        .log = { .dir = a->out, .unit = "windows", .bar = true, .plot = a->plot } };

    if (tp_ok()) fprintf(stderr, "%lld characters, %lld symbols; %lld parameters\n", (long long)n, (long long)tp_data_tokens(t), (long long)tp_nn_count(m));
    if (tp_model_set_tokenizer(m, t) && tp_train_fit(m, fit, &r) && r.why == TP_FIT_DONE && tp_model_save(m, weights))
        tp_train_print("result model=lstm validation_loss=%.4f steps=%lld\n", r.at.score, (long long)r.at.step);
    else if (tp_ok()) fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a->program, (long long)r.at.step, state);
    tp_sched_free(sched), tp_optim_free(opt), tp_nn_free(m), tp_data_tokenizer_free(t);
    tp_data_free(training), tp_data_free(validation);
}

static bool show(int64_t symbol, void *tokenizer)
{
    size_t bytes;
    const char *text = tp_data_token(tokenizer, symbol, &bytes);

    return tp_train_print("%.*s", (int)bytes, text) && !tp_train_interrupted();
}

static void write_text(const tp_train_args *a, const char *weights)
{
    TP_SCOPE;
    tp_module *m = tp_model_load(weights, "lstm model", tp_device_open(a->device));
    tp_tokenizer *t = m ? tp_model_tokenizer(m) : NULL;
    tp_draw_opts o = tp_draw_defaults();

    o.temperature = temperature, o.top_k = top_k, o.top_p = top_p, o.repetition = repetition;
    tp_tensor *begin = t ? tp_data_encode(t, prompt, strlen(prompt)) : NULL;
    if (begin && !*prompt) tp_fail(TP_ERR_ARG, "an empty prompt: there is nothing to go on from");
    if (begin && tp_train_print("%s", prompt) && tp_model_write(m, begin, sample, o, show, t)) tp_train_print("\n");
    tp_nn_free(m), tp_data_tokenizer_free(t);
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "a recurrent network that writes", .steps = 4000, .batch = 32, .lr = 2e-3, .seed = 1,
                        .flags = flags, .n_flags = TP_LEN(flags), .may_differ = "every sample prompt temperature top_k top_p repetition" };
    int status = tp_train_parse(&a, argc, argv);
    char weights[4096], state[4096], text[4096];

    if (status >= 0) return status;
    snprintf(weights, sizeof weights, "%s/lstm.safetensors", a.out), snprintf(state, sizeof state, "%s/state.safetensors", a.out);
    snprintf(text, sizeof text, "%s/.cache/taper/kjv.txt", getenv("HOME") ? getenv("HOME") : ".");
    if (!a.data && !tp_file_exists(a.data = text) && !sample) tp_fail(TP_ERR_IO, "%s isn't there: scripts/texts.sh makes it; or --data FILE", text);
    tp_train_catch_interrupt();
    if (sample) write_text(&a, weights);
    else train(&a, weights, state);
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    return tp_train_status();
}
