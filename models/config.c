/*
 * config.c - the options of a model as text in its file, "layers=4 heads=4 dropout=0.1 ...", and the
 * model made of them.
 */
#include "models/models.h"

#include <locale.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what options there are ---- */

typedef enum type { INT, I64, REAL, YES, PART } type;

typedef struct field {
    const char *name;
    type type;
    size_t at;
    int n;                    /* of an array, or of the fields of a part; 0: one */
    const struct field *part; /* options within these, "name." before their names */
} field;

/* clang-format off */
#define F(opts, t, name)    { #name, t, offsetof(opts, name), 0, NULL }
#define MANY(opts, name, n) { #name, INT, offsetof(opts, name), n, NULL }
#define WITHIN(opts, name, fields) \
    { #name, PART, offsetof(opts, name), TP_LEN(fields), fields }
/* clang-format on */

static const field cnn_fields[] = {
    F(tp_cnn_opts, I64, channels), F(tp_cnn_opts, I64, size),
    F(tp_cnn_opts, I64, classes),  F(tp_cnn_opts, I64, width),
    F(tp_cnn_opts, I64, hidden),   F(tp_cnn_opts, REAL, dropout),
    F(tp_cnn_opts, YES, norm)
};
static const field resnet_fields[] = {
    F(tp_resnet_opts, I64, channels),    F(tp_resnet_opts, I64, classes),
    F(tp_resnet_opts, I64, width),       F(tp_resnet_opts, INT, stages),
    MANY(tp_resnet_opts, blocks, 4),     F(tp_resnet_opts, YES, large),
    F(tp_resnet_opts, YES, pad_shortcut)
};
static const field lstm_fields[] = { F(tp_lstm_model_opts, I64, vocabulary),
                                     F(tp_lstm_model_opts, I64, width),
                                     F(tp_lstm_model_opts, INT, layers),
                                     F(tp_lstm_model_opts, REAL, dropout),
                                     F(tp_lstm_model_opts, YES, tied) };
static const field gpt_fields[] = {
    F(tp_gpt_opts, I64, vocabulary), F(tp_gpt_opts, I64, context),
    F(tp_gpt_opts, INT, layers),     F(tp_gpt_opts, INT, heads),
    F(tp_gpt_opts, I64, width),      F(tp_gpt_opts, REAL, dropout),
    F(tp_gpt_opts, YES, no_bias),    F(tp_gpt_opts, YES, untied),
    F(tp_gpt_opts, YES, rotary),     F(tp_gpt_opts, YES, erf_gelu)
};
static const field bert_fields[] = {
    F(tp_bert_opts, I64, vocabulary), F(tp_bert_opts, I64, context),
    F(tp_bert_opts, I64, classes),    F(tp_bert_opts, INT, layers),
    F(tp_bert_opts, INT, heads),      F(tp_bert_opts, I64, width),
    F(tp_bert_opts, I64, hidden),     F(tp_bert_opts, I64, types),
    F(tp_bert_opts, REAL, dropout)
};
static const field translate_fields[] = {
    F(tp_translate_opts, I64, vocabulary), F(tp_translate_opts, I64, context),
    F(tp_translate_opts, INT, layers),     F(tp_translate_opts, INT, heads),
    F(tp_translate_opts, I64, width),      F(tp_translate_opts, I64, hidden),
    F(tp_translate_opts, REAL, dropout),   F(tp_translate_opts, I64, padding),
    F(tp_translate_opts, YES, norm_first), F(tp_translate_opts, YES, learned)
};
static const field forecast_fields[] = {
    F(tp_forecast_opts, I64, columns), F(tp_forecast_opts, I64, steps_in),
    F(tp_forecast_opts, I64, ahead),   F(tp_forecast_opts, I64, segment),
    F(tp_forecast_opts, I64, width),   F(tp_forecast_opts, REAL, dropout)
};
static const field vae_fields[] = {
    F(tp_vae_opts, I64, pixels), F(tp_vae_opts, I64, hidden),
    F(tp_vae_opts, I64, latent), F(tp_vae_opts, I64, classes),
    F(tp_vae_opts, YES, conv),   F(tp_vae_opts, I64, channels),
    F(tp_vae_opts, I64, size),   F(tp_vae_opts, I64, width)
};
static const field vqvae_fields[] = { F(tp_vqvae_opts, I64, channels),
                                      F(tp_vqvae_opts, I64, width),
                                      F(tp_vqvae_opts, I64, codes),
                                      F(tp_vqvae_opts, I64, dims),
                                      F(tp_vqvae_opts, INT, blocks) };
static const field dcgan_fields[] = { F(tp_dcgan_opts, I64, channels),
                                      F(tp_dcgan_opts, I64, latent),
                                      F(tp_dcgan_opts, I64, width),
                                      F(tp_dcgan_opts, I64, classes),
                                      F(tp_dcgan_opts, YES, critic) };
static const field unet_fields[] = {
    F(tp_unet_opts, I64, channels), F(tp_unet_opts, I64, base),
    F(tp_unet_opts, INT, levels),   MANY(tp_unet_opts, mults, 6),
    F(tp_unet_opts, INT, blocks),   F(tp_unet_opts, INT, attention),
    F(tp_unet_opts, I64, classes),  F(tp_unet_opts, I64, context),
    F(tp_unet_opts, REAL, dropout)
};
static const field text_fields[] = {
    F(tp_text_encoder_opts, I64, vocabulary), F(tp_text_encoder_opts, I64, context),
    F(tp_text_encoder_opts, I64, width),      F(tp_text_encoder_opts, INT, layers),
    F(tp_text_encoder_opts, INT, heads),      F(tp_text_encoder_opts, REAL, dropout)
};
static const field diffusion_fields[] = { F(tp_diffusion_opts, I64, size),
                                          F(tp_diffusion_opts, I64, steps),
                                          F(tp_diffusion_opts, INT, schedule),
                                          F(tp_diffusion_opts, INT, target),
                                          WITHIN(tp_diffusion_opts, unet, unet_fields),
                                          WITHIN(tp_diffusion_opts, text, text_fields) };

/* ---- what models there are ---- */

typedef union any_opts {
    tp_cnn_opts cnn;
    tp_resnet_opts resnet;
    tp_lstm_model_opts lstm;
    tp_gpt_opts gpt;
    tp_bert_opts bert;
    tp_translate_opts translate;
    tp_forecast_opts forecast;
    tp_vae_opts vae;
    tp_vqvae_opts vqvae;
    tp_dcgan_opts dcgan;
    tp_unet_opts unet;
    tp_text_encoder_opts text;
    tp_diffusion_opts diffusion;
} any_opts;

#define MAKES(name, function)                              \
    static tp_module *make_##name(const any_opts *o)       \
    {                                                      \
        return function(o->name);                          \
    }
MAKES(cnn, tp_model_cnn)
MAKES(resnet, tp_model_resnet)
MAKES(lstm, tp_model_lstm)
MAKES(gpt, tp_model_gpt)
MAKES(bert, tp_model_bert)
MAKES(translate, tp_model_translate)
MAKES(forecast, tp_model_forecast)
MAKES(vae, tp_model_vae)
MAKES(vqvae, tp_model_vqvae)
MAKES(unet, tp_model_unet)
MAKES(text, tp_model_text_encoder)
MAKES(diffusion, tp_model_diffusion)

static tp_module *make_generator(const any_opts *o)
{
    return tp_model_generator(o->dcgan);
}

static tp_module *make_discriminator(const any_opts *o)
{
    return tp_model_discriminator(o->dcgan);
}

typedef struct model {
    const char *kind; /* as tp_nn_kind has it */
    const field *fields;
    int n;
    tp_module *(*make)(const any_opts *o);
} model;

/* clang-format off */
#define MODEL(kind, fields, make) { kind, fields, TP_LEN(fields), make }
/* clang-format on */

static const model models[] = {
    MODEL("cnn", cnn_fields, make_cnn),
    MODEL("resnet", resnet_fields, make_resnet),
    MODEL("lstm model", lstm_fields, make_lstm),
    MODEL("gpt", gpt_fields, make_gpt),
    MODEL("bert", bert_fields, make_bert),
    MODEL("translate", translate_fields, make_translate),
    MODEL("forecast", forecast_fields, make_forecast),
    MODEL("vae", vae_fields, make_vae),
    MODEL("vqvae", vqvae_fields, make_vqvae),
    MODEL("generator", dcgan_fields, make_generator),
    MODEL("discriminator", dcgan_fields, make_discriminator),
    MODEL("unet", unet_fields, make_unet),
    MODEL("text encoder", text_fields, make_text),
    MODEL("diffusion", diffusion_fields, make_diffusion),
};

static const model *model_of(const char *kind)
{
    for (int i = 0; kind && i < TP_LEN(models); i++)
        if (!strcmp(models[i].kind, kind)) return &models[i];
    return NULL;
}

/* ---- as text ---- */

enum { ROOM = 1024 };

/* Numbers with a point, whatever the locale of the program: files are read under others. */
static locale_t plain;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_plain(void)
{
    plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static void put(char *text, const char *name, double v)
{
    size_t used = strlen(text);
    locale_t before;

    pthread_once(&once, make_plain);
    before = uselocale(plain);
    snprintf(text + used, ROOM - used, "%s%s=%.17g", used ? " " : "", name, v);
    uselocale(before);
}

static double number_in(const char *text)
{
    pthread_once(&once, make_plain);
    return plain ? strtod_l(text, NULL, plain) : strtod(text, NULL);
}

static double number_at(const field *f, int i, const void *opts)
{
    const char *at = (const char *)opts + f->at;

    if (f->type == INT) return ((const int *)(const void *)at)[i];
    if (f->type == I64) return (double)*(const int64_t *)(const void *)at;
    return f->type == REAL ? *(const double *)(const void *)at
                           : *(const bool *)(const void *)at;
}

static void set_number(const field *f, int i, void *opts, double v)
{
    char *at = (char *)opts + f->at;

    if (f->type == INT)
        ((int *)(void *)at)[i] = (int)v;
    else if (f->type == I64)
        *(int64_t *)(void *)at = (int64_t)v;
    else if (f->type == REAL)
        *(double *)(void *)at = v;
    else
        *(bool *)(void *)at = v != 0;
}

enum { NAME = 64 };

static const char *name_of(const char *before, const field *f, int i, char room[NAME])
{
    snprintf(room, NAME, f->n ? "%s%s%d" : "%s%s", before, f->name, i);
    return room;
}

/* What f, a number within opts, is called, and the number. */
typedef bool number_fn(void *user, const char *name, const field *f, int i, void *opts);

static bool each_number(const field *f, int n, const char *before, void *opts,
                        number_fn *visit, void *user)
{
    char name[NAME];
    bool ok = true;

    for (const field *stop = f + n; ok && f < stop; f++) {
        if (f->type == PART) {
            snprintf(name, sizeof name, "%s.", f->name);
            ok = each_number(f->part, f->n, name, (char *)opts + f->at, visit, user);
        } else
            for (int i = 0; ok && i < (f->n ? f->n : 1); i++)
                ok = visit(user, name_of(before, f, i, name), f, i, opts);
    }
    return ok;
}

static bool describe_one(void *text, const char *name, const field *f, int i, void *opts)
{
    put(text, name, number_at(f, i, opts));
    return true;
}

/* The number of that name in the text; what isn't there is 0. */
static double look_up(const char *text, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = text; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (!strncmp(at, name, n) && at[n] == '=') return number_in(at + n + 1);
    }
    return 0;
}

static bool understand_one(void *text, const char *name, const field *f, int i,
                           void *opts)
{
    double v = look_up(text, name);

    if (!(v >= 0 && v <= 1e9))
        return tp_fail(TP_ERR_FORMAT, "tp_model_load: %s=%g can't be", name, v);
    set_number(f, i, opts, v);
    return true;
}

/* ---- tokenizers ---- */

static bool vocabulary_one(void *most, const char *name, const field *f, int i,
                           void *opts)
{
    const char *last = strrchr(name, '.');

    if (!strcmp(last ? last + 1 : name, "vocabulary"))
        *(int64_t *)most = (int64_t)number_at(f, i, opts);
    return true;
}

bool tp_model_set_tokenizer(tp_module *m, const tp_tokenizer *t)
{
    const model *k = model_of(tp_nn_kind(m));
    int64_t most = -1;
    size_t n;
    char *text;
    bool ok;

    if (!tp_ok()) return false;
    if (!m || !t)
        return tp_fail(TP_ERR_ARG, "tp_model_set_tokenizer: missing model or tokenizer");
    if (k && tp_nn_opts(m))
        each_number(k->fields, k->n, "", (void *)tp_nn_opts(m), vocabulary_one, &most);
    if (tp_data_tokens(t) > most)
        return tp_fail(TP_ERR_ARG,
                       "tp_model_set_tokenizer: %lld tokens, and a %s of %lld",
                       (long long)tp_data_tokens(t), tp_nn_kind(m),
                       (long long)(most < 0 ? 0 : most));
    if (!(n = tp_data_tokenizer_text(t, NULL, 0))) return false;
    if (!(text = malloc(n + 1))) return tp_fail(TP_ERR_MEMORY, "tp_model_set_tokenizer");
    ok = tp_data_tokenizer_text(t, text, n + 1) && tp_nn_note(m, "tokenizer", text);
    free(text);
    return ok;
}

tp_tokenizer *tp_model_tokenizer(const tp_module *m)
{
    const char *text = tp_nn_noted(m, "tokenizer");

    if (!tp_ok()) return NULL;
    if (!text)
        return tp_fail(TP_ERR_ARG, "tp_model_tokenizer: the %s came without one",
                       m ? tp_nn_kind(m) : "missing model");
    return tp_data_tokenizer_parse(text, strlen(text));
}

/* ---- classes ---- */

static const char *class_key(int64_t i, char room[NAME])
{
    snprintf(room, NAME, "class.%lld", (long long)i);
    return room;
}

bool tp_model_set_classes(tp_module *m, const char *const *name, int64_t n)
{
    char key[NAME];

    if (!tp_ok()) return false;
    if (!m || (n && !name))
        return tp_fail(TP_ERR_ARG, "tp_model_set_classes: missing model or names");
    for (int64_t i = 0; i < n; i++)
        if (!tp_nn_note(m, class_key(i, key), name[i] ? name[i] : "")) return false;
    return true;
}

bool tp_model_set_classes_of(tp_module *m, const tp_dataset *d)
{
    for (int64_t i = 0; tp_ok() && i < tp_data_classes(d); i++) {
        const char *name = tp_data_class(d, i);
        char key[NAME];

        if (name && !tp_nn_note(m, class_key(i, key), name)) return false;
    }
    return tp_ok();
}

const char *tp_model_class(const tp_module *m, int64_t i)
{
    char key[NAME];

    return tp_nn_noted(m, class_key(i, key));
}

/* ---- files ---- */

bool tp_model_save(tp_module *m, const char *path)
{
    const model *k = model_of(tp_nn_kind(m));
    char text[ROOM] = "";
    tp_meta meta[2];

    if (!tp_ok()) return false;
    if (!k)
        return tp_fail(TP_ERR_ARG, "tp_model_save: %s is none of the models of models.h",
                       m ? tp_nn_kind(m) : "nothing");
    if (tp_nn_opts(m))
        each_number(k->fields, k->n, "", (void *)tp_nn_opts(m), describe_one, text);
    meta[0] = (tp_meta){ "taper.model", k->kind },
    meta[1] = (tp_meta){ "taper.options", text };
    return tp_nn_save_with(m, path, (tp_save_opts){ .meta = meta, .n_meta = 2 });
}

static tp_module *described(tp_file *f, const char *path, const char *kind)
{
    const char *is = f ? tp_file_meta(f, "taper.model") : NULL,
               *text = is ? tp_file_meta(f, "taper.options") : NULL;
    const model *k = model_of(is);
    any_opts o;

    if (!f) return NULL;
    if (!k || !text)
        return tp_fail(TP_ERR_FORMAT,
                       "%s doesn't tell which model it holds: tp_model_save writes that",
                       path);
    if (kind && strcmp(kind, is))
        return tp_fail(TP_ERR_FORMAT, "%s holds a %s, not a %s", path, is, kind);
    memset(&o, 0, sizeof o);
    return each_number(k->fields, k->n, "", &o, understand_one, (void *)text)
               ? k->make(&o)
               : NULL;
}

tp_module *tp_model_load(const char *path, const char *kind, tp_device *dev)
{
    tp_file *f = path && tp_ok() ? tp_file_open(path) : NULL;
    tp_module *m = described(f, path, kind);

    if (!path) tp_fail(TP_ERR_ARG, "tp_model_load: missing path");
    tp_file_close(f);
    if (m && tp_nn_load(m, path, (tp_load_opts){ 0 }))
        tp_nn_init(m, dev); /* which draws nothing */
    return tp_nn_made(m);
}
