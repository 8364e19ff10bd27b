/*
 * gpt.c - a Transformer that writes: GPT-2 (Radford et al. 2019) on characters or byte pairs.
 *
 *   gpt --data input.txt [--steps 2000] ...                          gpt --help
 *   gpt --sample 500 --prompt "ROMEO:" [--temperature 0.8] ...       writes, from OUT/gpt.safetensors
 *
 * The defaults are nanoGPT's for the CPU: 4 layers, 4 heads, 128 wide, context 64, batch 12, 2000 steps.
 * Without --data it reads what scripts/texts.sh made of Debian's bible-kjv.  --tokens DIR takes GPT-2's own byte
 * pairs, from encoder.json and vocab.bpe.  90 % of the text train, the rest validates, all of it.
 */
#include <taper.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *tokens, *prompt = "\n";
static int64_t sample, layers = 4, heads = 4, width = 128, context = 64, top_k, every = 500;
static double temperature = 0.8, top_p = 1, repetition = 1, dropout;
static bool rotary;

static const tp_train_flag flags[] = {
    { "tokens", "folder with GPT-2's byte pairs, instead of characters", TP_FLAG_TEXT, &tokens, 0, 0 },
    { "layers", "of the model", TP_FLAG_WHOLE, &layers, 1, 96 },
    { "heads", "of each layer", TP_FLAG_WHOLE, &heads, 1, 256 },
    { "width", "of the model", TP_FLAG_WHOLE, &width, 1, 65536 },
    { "context", "tokens that it sees", TP_FLAG_WHOLE, &context, 1, 1 << 20 },
    { "dropout", "of embeddings, attention and residuals", TP_FLAG_REAL, &dropout, 0, 1 },
    { "rotary", "positions by rotation", TP_FLAG_YES, &rotary, 0, 0 },
    { "every", "steps between validations", TP_FLAG_WHOLE, &every, 1, 1 << 30 },
    { "sample", "tokens to write, and no training", TP_FLAG_WHOLE, &sample, 0, 1 << 30 },
    { "prompt", "what it goes on from", TP_FLAG_TEXT, &prompt, 0, 0 },
    { "temperature", "of the draws; 0: the likeliest", TP_FLAG_REAL, &temperature, 0, 100 },
    { "top_k", "draws from so many; 0: all", TP_FLAG_WHOLE, &top_k, 0, 1 << 30 },
    { "top_p", "draws from this share", TP_FLAG_REAL, &top_p, 0.001, 1 },
    { "repetition", "penalty; 1: none", TP_FLAG_REAL, &repetition, 0.01, 100 },
};

static tp_tensor *next_token_loss(tp_tensor *logits, tp_batch b, void *unused)
{
    (void)unused;
    return tp_cross_entropy(tp_reshape(logits, TP_SHAPE(-1, tp_dim(logits, 2))), tp_reshape(b.y, TP_SHAPE(-1)));
}

/* Weight decay for matrices alone, as nanoGPT. */
static tp_optim *optimizer(tp_module *gpt, double lr)
{
    tp_adam_opts o = tp_adamw(lr);
    tp_optim *opt;

    o.beta2 = 0.99, o.weight_decay = 0.1;
    opt = tp_optim_adamw(tp_nn_params(gpt, "*[!1-9f].weight"), o);
    o.weight_decay = 0;
    tp_optim_add_adam_group(opt, tp_nn_params(gpt, "*ln_*"), o);
    return opt;
}

static void train(tp_train_args *a, const char *weights, const char *state)
{
    TP_SCOPE;
    tp_device *dev = tp_device_open(a->device);
    tp_tokenizer *t = tokens ? tp_data_gpt2(tokens) : tp_data_chars_of(a->data, NULL); /* goes into the model's file */
    tp_tensor *text = t ? tp_data_text(a->data, t) : NULL;
    int64_t n = tp_count(text), cut = n * 9 / 10;
    tp_windows_opts random = { .steps = context }, all = { .steps = context, .stride = context };
    tp_loader_opts how = { .batch = a->batch, .shuffle = true, .endless = true, .workers = 1, .seed = a->seed, .device = dev };
    tp_loader *training = tp_data_loader(tp_data_windows(tp_slice(text, 0, 0, cut), random), how);
    tp_loader *validation = tp_data_loader(tp_data_windows(tp_slice(text, 0, cut, n), all),
                                           (tp_loader_opts){ .batch = 4 * a->batch, .workers = 1, .device = dev });
    tp_gpt_opts o = { .vocabulary = tp_data_tokens(t), .context = context, .layers = (int)layers, .heads = (int)heads,
                      .width = width, .dropout = dropout, .no_bias = true, .erf_gelu = true, .rotary = rotary };
    tp_module *gpt = tp_nn_init(tp_model_gpt(o), dev);
    tp_optim *opt = optimizer(gpt, a->lr);
    int64_t total = a->steps ? a->steps : a->epochs * tp_data_batches(training);
    tp_sched *sched = tp_sched_cosine(opt, 100 < total / 2 ? 100 : total / 2, total, 0.1);
    tp_fit_result r;
    tp_fit_opts fit = { .optim = opt, .sched = sched, .train = training, .validation = validation, .loss = next_token_loss,
                        .steps = total, .clip_norm = 1, .validate_every = every, .checkpoint = state, .checkpoint_every = every,
                        .resume = a->resume, .options = a->options, .amp = tp_train_amp(a),
                        .log = { .dir = a->out, .unit = "sequences", .bar = true, .plot = a->plot } };

    if (t && o.vocabulary < 2) tp_fail(TP_ERR_ARG, "%s has one symbol: there is nothing to learn", a->data);
    if (tp_ok()) fprintf(stderr, "%lld tokens of %lld symbols; %lld parameters\n", (long long)n, (long long)o.vocabulary, (long long)tp_nn_count(gpt));
    if (tp_model_set_tokenizer(gpt, t) && tp_train_fit(gpt, fit, &r) && r.why == TP_FIT_DONE && tp_model_save(gpt, weights))
        tp_train_print("result model=gpt validation_loss=%.4f steps=%lld\n", r.at.score, (long long)r.at.step);
    else if (tp_ok()) fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a->program, (long long)r.at.step, state);
    tp_sched_free(sched), tp_optim_free(opt), tp_nn_free(gpt), tp_data_tokenizer_free(t);
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
    tp_module *gpt = tp_model_load(weights, "gpt", tp_device_open(a->device));
    tp_tokenizer *t = gpt ? tp_model_tokenizer(gpt) : NULL;
    tp_draw_opts o = tp_draw_defaults();

    o.temperature = temperature, o.top_k = top_k, o.top_p = top_p, o.repetition = repetition;
    tp_tensor *begin = t ? tp_data_encode(t, prompt, strlen(prompt)) : NULL;
    if (begin && !*prompt) tp_fail(TP_ERR_ARG, "an empty prompt: there is nothing to go on from");
    if (begin && tp_train_print("%s", prompt) && tp_model_write(gpt, begin, sample, o, show, t)) tp_train_print("\n");
    tp_nn_free(gpt), tp_data_tokenizer_free(t);
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "a Transformer that writes", .steps = 2000, .batch = 12, .lr = 1e-3, .seed = 1,
                        .flags = flags, .n_flags = TP_LEN(flags), .may_differ = "every sample prompt temperature top_k top_p repetition" };
    int status = tp_train_parse(&a, argc, argv);
    char weights[4096], state[4096], text[4096];

    if (status >= 0) return status;
    snprintf(weights, sizeof weights, "%s/gpt.safetensors", a.out), snprintf(state, sizeof state, "%s/state.safetensors", a.out);
    snprintf(text, sizeof text, "%s/.cache/taper/kjv.txt", getenv("HOME") ? getenv("HOME") : ".");
    if (!a.data && !tp_file_exists(a.data = text) && !sample) tp_fail(TP_ERR_IO, "%s isn't there: scripts/texts.sh makes it; or --data FILE", text);
    tp_train_catch_interrupt();
    if (sample) write_text(&a, weights);
    else train(&a, weights, state);
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a.program, tp_error());
    return tp_train_status();
}
