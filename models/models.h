/*
 * models.h - reference models: one paper, one file.
 *
 * Each is a module of nn/nn.h: described here, drawn by tp_nn_init; the U-Net and diffusion are in
 * models/diffusion.h.  Parameters have the names of the PyTorch code that made each model known, so
 * that its checkpoints load.  Zero in an option is the default that its comment tells.  Options and
 * inputs that can't be are errors that name model, option and numbers; a model that isn't conditional
 * takes no labels.
 */
#ifndef TP_MODELS_H
#define TP_MODELS_H

#include "autograd/autograd.h"
#include "data/tokenizer.h"
#include "models/diffusion.h"
#include "nn/layers.h"

TP_API_BEGIN

/* ---- perceptrons ---- */

/* Linear layers fc1, fc2, ... with ReLU between them.  (N, sizes[0]) -> (N, sizes[n - 1]) */
tp_module *tp_model_mlp(const int64_t *sizes, int n);

/* ---- convolutional networks ---- */

typedef struct tp_cnn_opts {
    int64_t channels, size, classes; /* 0: 1, 28, 10 */
    int64_t width, hidden;           /* 0: 32 channels, twice that behind them; 128 */
    double dropout;                  /* before each of the two linear layers */
    bool norm;                       /* batch norm behind the convolutions: bn1, bn2 */
} tp_cnn_opts;
/* Two 3x3 convolutions, each with ReLU and max-pool, then two linear layers (LeCun et al. 1998,
 * with what is usual now).  conv1, conv2, fc1, fc2.  (N, channels, size, size) -> (N, classes) */
tp_module *tp_model_cnn(tp_cnn_opts o);
/* What fc2 of the CNN takes: (N, hidden), for distances between pictures. */
tp_tensor *tp_model_cnn_features(tp_module *cnn, tp_tensor *x);

typedef struct tp_resnet_opts {
    int64_t channels, classes; /* 0: 3, 10 */
    int64_t width;             /* of the first stage; each of the others has twice the one before */
    int stages, blocks[4];     /* in each stage; all but the first halve the map */
    bool large;                /* a 7x7 stem of stride 2 with max-pool, for pictures of 224x224 */
    bool pad_shortcut; /* shortcuts take every other place and pad with zeros: no parameters */
} tp_resnet_opts;
/* Of basic blocks, for 32x32 (He et al. 2015): ResNet-20 as in the paper's section 4.2, 0.27
 * million parameters; ResNet-18 with a 3x3 stem, 11.2 million. */
tp_resnet_opts tp_resnet20(void);
tp_resnet_opts tp_resnet18(void);
/* conv1, bn1, layer1.0.conv1, layer1.0.bn1, ..., layer2.0.downsample.0, ..., fc, torchvision's
 * names.  (N, channels, H, W) -> (N, classes) */
tp_module *tp_model_resnet(tp_resnet_opts o);

/* ---- recurrent language model ---- */

typedef struct tp_lstm_model_opts {
    int64_t vocabulary;
    int64_t width;  /* of the embedding and the states; 0: 256 */
    int layers;     /* 0: 2 */
    double dropout; /* before, between and behind the layers */
    bool tied;      /* the decoder's weight is the encoder's */
} tp_lstm_model_opts;
/* encoder.weight, rnn.weight_ih_l0, ..., decoder.weight, decoder.bias, as PyTorch's word language
 * model; tied, there is no decoder.weight, and encoder.weight is uniform within 0.1 as there.
 * tokens (N, T) [, h, c (layers, N, width)] -> logits (N, T, vocabulary) [, h, c] */
tp_module *tp_model_lstm(tp_lstm_model_opts o);

/* ---- Transformer language model ---- */

typedef struct tp_gpt_opts {
    int64_t vocabulary, context;
    int layers, heads;
    int64_t width;
    double dropout; /* of embeddings, attention and residuals */
    bool no_bias;   /* of the products; layer norms keep theirs */
    bool untied;    /* lm_head.weight of its own */
    bool rotary;    /* positions by rotation (Su et al. 2021) instead of learned ones */
    bool erf_gelu;  /* the exact one, instead of GPT-2's by tanh */
} tp_gpt_opts;
tp_gpt_opts tp_gpt2(void); /* 50257, 1024, 12, 12, 768, 0.1: 124 million parameters */
/* GPT-2 (Radford et al. 2019) in its files' names and layout: transformer.wte.weight, .wpe.weight,
 * transformer.h.0.ln_1.weight, .attn.c_attn.weight (width, 3 width), ..., transformer.ln_f.weight.
 *   tokens (N, T) -> logits (N, T, vocabulary)
 * For sampling, keys and values of what came before, (N, heads, past, width / heads) of each layer:
 *   tokens, k_0, v_0, k_1, v_1, ... -> logits, k_0, v_0, ... with those of the tokens behind */
tp_module *tp_model_gpt(tp_gpt_opts o);

/* ---- Transformer for classes of texts ---- */

typedef struct tp_bert_opts {
    int64_t vocabulary, context, classes;
    int layers, heads;
    int64_t width, hidden; /* hidden 0: 4 width */
    int64_t types;         /* of segments; 0: 2 */
    double dropout;        /* of embeddings, attention, residuals and before the classifier */
} tp_bert_opts;
tp_bert_opts tp_bert_base(void); /* 30522, 512, 2, 12, 12, 768, 0.1: 109 million parameters */
/* BERT (Devlin et al. 2018) with a classifier of its first token, in the names of Hugging Face's
 * BertForSequenceClassification: bert.embeddings.word_embeddings.weight,
 * bert.encoder.layer.0.attention.self.query.weight, ..., bert.pooler.dense.weight,
 * classifier.weight; norms behind the residuals, the exact GELU.
 *   tokens (N, T) [, mask (N, T), 0 where one is padding [, types (N, T) of segments, else 0]]
 *   -> logits (N, classes) */
tp_module *tp_model_bert(tp_bert_opts o);

/* ---- Transformer from one sequence to another ---- */

typedef struct tp_translate_opts {
    int64_t vocabulary, context; /* of both sides together; symbols on each side */
    int layers, heads;           /* layers of the encoder, and as many of the decoder */
    int64_t width, hidden;       /* hidden 0: 4 width */
    double dropout;              /* of embeddings, attention, residuals and feed-forward parts */
    int64_t padding; /* the symbol that fills rows up; in the source it is never looked at */
    bool norm_first; /* norms before each part (Xiong et al. 2020), and one behind each side */
    bool learned;    /* positions are learned, instead of sines and cosines */
} tp_translate_opts;
/* The Transformer (Vaswani et al. 2017), embeddings of both sides and the last product being one
 * table: embedding.weight, [positions.weight,] encoder.layers.0.self_attn.in_proj_weight, ...,
 * decoder.layers.0.multihead_attn.in_proj_weight, ..., as torch.nn.Transformer's.
 *   source (N, S), target (N, T) -> logits (N, T, vocabulary) of what follows each of target */
tp_module *tp_model_translate(tp_translate_opts o);

typedef struct tp_beam_opts {
    int64_t begin, end;    /* the symbols that begin and end a target; neither is the padding */
    int64_t most;          /* symbols, begin and end included; 0: the model's context */
    int64_t beams;         /* kept side by side, at most 64; 0: 1, the likeliest symbol each time */
    double length_penalty; /* log p is divided by ((5 + n) / 6)^this (Wu et al. 2016) */
} tp_beam_opts;
/* The likeliest targets of source (N, S) that a beam search finds, i64 (N, T) on the CPU, lent:
 * begin, symbols, end, then padding; begin and padding are never among the symbols, and a target that
 * is `most` long is ended there.  The encoder runs once, each step of the decoder with the keys and
 * values of those before; nothing is dropped. */
tp_tensor *tp_model_beam(tp_module *m, tp_tensor *source, tp_beam_opts o);

/* ---- forecasts ---- */

typedef struct tp_forecast_opts {
    int64_t columns, steps_in, ahead;
    int64_t segment; /* places that are read, and forecast, at once; divides both; 0: 12 */
    int64_t width;   /* even; 0: 128 */
    double dropout;  /* before the last layer */
} tp_forecast_opts;
/* SegRNN (Lin et al. 2023) with the names of its authors' code: valueEmbedding.0, rnn, pos_emb,
 * channel_emb, predict.1.  A buffer, scale (columns), 1 at first: what each column is divided by,
 * as its deviation.
 *   x (N, steps_in, columns) -> what follows, (N, ahead, columns) */
tp_module *tp_model_forecast(tp_forecast_opts o);

/* ---- files that know their model ---- */

/* tp_nn_save with the model's kind and options as metadata: of what a tp_model_... function made. */
bool tp_model_save(tp_module *m, const char *path) __attribute__((warn_unused_result));
/* The model of such a file, drawn by it, on dev; kind: what it must be ("gpt"), or NULL. */
tp_module *tp_model_load(const char *path, const char *kind, tp_device *dev);

/* How texts become the model's numbers, as tp_nn_note "tokenizer": it goes into the model's file.  t stays
 * the caller's, and has as many tokens as m's vocabulary, or less. */
bool tp_model_set_tokenizer(tp_module *m, const tp_tokenizer *t);
tp_tokenizer *tp_model_tokenizer(const tp_module *m); /* made; without one an error */
/* Names of its classes, as tp_nn_note "class.0" ... */
bool tp_model_set_classes(tp_module *m, const char *const *name, int64_t n);
bool tp_model_set_classes_of(tp_module *m, const tp_dataset *d); /* those that d has names for */
const char *tp_model_class(const tp_module *m, int64_t i); /* the model's; NULL where there is none */

/* ---- writing ---- */

typedef struct tp_draw_opts {
    double temperature; /* logits are divided by it; 0: the likeliest symbol is taken */
    int64_t top_k;      /* the k likeliest alone (Fan et al. 2018); 0: all */
    double top_p;       /* the likeliest that together have this probability (Holtzman et al. 2020) */
    double repetition;  /* logits of symbols that were there are divided by it, or times it below 0 (Keskar
                         * et al. 2019) */
    bool filled;
} tp_draw_opts;
tp_draw_opts tp_draw_defaults(void); /* 1, 0, 1, 1: by the model's own probabilities */
/* A symbol by logits (vocabulary), by the thread's generator; seen: the n symbols before.  -1 after an
 * error. */
int64_t tp_model_draw(tp_tensor *logits, const int64_t *seen, int64_t n, tp_draw_opts o);
/* Called with each symbol; false ends the writing. */
typedef bool tp_write_fn(int64_t symbol, void *user);
/* n symbols behind the prompt, i64 (symbols), by a model of tp_model_lstm or tp_model_gpt, which is in
 * evaluation meanwhile; one at a time, with what the model keeps of those before.  A GPT whose context is
 * full goes on from its second half. */
bool tp_model_write(tp_module *m, tp_tensor *prompt, int64_t n, tp_draw_opts o, tp_write_fn *f, void *user);

/* ---- variational autoencoder ---- */

typedef struct tp_vae_opts {
    int64_t pixels, hidden, latent; /* 0: 784, 400, 20 */
    int64_t classes;                /* of a conditional one (Sohn et al. 2015); 0: none */
    bool conv;                      /* of pictures, and pixels isn't read, but these are: */
    int64_t channels, size, width;  /* 0: 1, 28, 32 channels of the first convolution */
} tp_vae_opts;
/* Kingma & Welling 2014: fc1, fc21 (the mean), fc22 (the logarithm of the variance), fc3, fc4, as
 * PyTorch's example; with conv also conv1, conv2, up1 and up2, 4x4 of stride 2, and a size that is
 * a multiple of 4.  In evaluation the code is the mean.
 *   x (N, pixels) or, conv, (N, channels, size, size) [, labels (N)]
 *   -> logits of the reconstruction, shaped as x [, mean, logvar (N, latent)] */
tp_module *tp_model_vae(tp_vae_opts o);
/* z (N, latent) -> logits; labels (N) of a conditional one, else NULL */
tp_tensor *tp_model_vae_decode(tp_module *vae, tp_tensor *z, tp_tensor *labels);
/* beta KL(q(z | x) || N(0, 1)) - log p(x | z), summed: nats.  Burgess et al. 2018 for beta. */
tp_tensor *tp_model_vae_loss(tp_tensor *logits, tp_tensor *x, tp_tensor *mean, tp_tensor *logvar,
                             double beta);
/* The same of each sample, (N), for a code that is drawn, in evaluation too: a bound, with beta 1,
 * on -log p(x).  Large where x is unlike what the model has seen. */
tp_tensor *tp_model_vae_nats(tp_module *vae, tp_tensor *x, tp_tensor *labels, double beta);

/* ---- autoencoder of codes ---- */

typedef struct tp_vqvae_opts {
    int64_t channels, width; /* 0: 1, 64 channels inside */
    int64_t codes, dims;     /* how many codes there are, and numbers in each; 0: 128, 4 */
    int blocks;              /* residual ones, of encoder and decoder each; 0: 2 */
} tp_vqvae_opts;
/* van den Oord et al. 2017: encoder, codebook.weight (codes, dims), decoder.  Each place of a map a
 * quarter as high and wide becomes the nearest code; gradients pass it as if it weren't there.
 *   x (N, channels, H, W), H and W multiples of 4 -> logits of the reconstruction, shaped as x
 *   [, distance (), commitment ()] [, codes i64 (N, H / 4, W / 4)]
 * distance: sum |sg(e) - code|^2, by which codes go where the encoder's e are; commitment:
 * sum |e - sg(code)|^2; sg stops the gradient.  The loss is -log p(x | codes) + distance
 * + 0.25 commitment. */
tp_module *tp_model_vqvae(tp_vqvae_opts o);
tp_tensor *tp_model_vqvae_decode(tp_module *vqvae, tp_tensor *codes); /* (N, h, w) -> logits */
tp_tensor *tp_model_vqvae_loss(tp_tensor *logits, tp_tensor *x, tp_tensor *distance,
                               tp_tensor *commitment); /* summed: nats */
/* How many of the codes are used: e^(-sum p log p), p their shares; ().  No gradient. */
tp_tensor *tp_model_vqvae_perplexity(tp_module *vqvae, tp_tensor *codes);

/* ---- adversarial networks ---- */

typedef struct tp_dcgan_opts {
    int64_t channels, latent, width; /* 0: 1, 100, 64 */
    int64_t classes;                 /* of a conditional one (Mirza & Osindero 2014); 0: none */
    bool critic; /* no batch norm: for gradient penalties (Gulrajani et al. 2017) */
} tp_dcgan_opts;
/* DCGAN (Radford et al. 2016) for 32x32: main.0, main.1, ... as PyTorch's example.
 *   generator       z (N, latent) [, labels (N)] -> (N, channels, 32, 32) in -1 .. 1
 *   discriminator   x (N, channels, 32, 32) [, labels (N)] -> logits (N) */
tp_module *tp_model_generator(tp_dcgan_opts o);
tp_module *tp_model_discriminator(tp_dcgan_opts o);

/* What they are trained by, of the scores (N) of real and of made pictures: means (Goodfellow et
 * al. 2014).
 *   discriminator   -log sigmoid(real) - log(1 - sigmoid(fake))
 *   generator       -log sigmoid(fake), the form that doesn't saturate */
tp_tensor *tp_model_discriminator_loss(tp_tensor *real, tp_tensor *fake);
tp_tensor *tp_model_generator_loss(tp_tensor *fake);
/* mean over samples of (|dcritic / dx| - 1)^2 (Gulrajani et al. 2017), each x somewhere between a
 * real and a made sample: x = fake + t (real - fake), t uniform in [0, 1) by the thread's generator.
 * real, fake (N, ...) of one shape; labels (N) of a conditional critic, or NULL.  Differentiable in
 * the critic's parameters, by its second derivatives; under TP_NO_GRAD the number alone. */
tp_tensor *tp_model_gradient_penalty(tp_module *critic, tp_tensor *real, tp_tensor *fake,
                                     tp_tensor *labels);
/* n pictures (n, channels, 32, 32) in 0 .. 1, by codes of the thread's generator, in evaluation and
 * without gradients, a hundred at a time; by a conditional one those of a label, or, label -1, of
 * all by turns.  labels, unless it is NULL, gets theirs, i64 (n), or NULL where there are none. */
tp_tensor *tp_model_generate(tp_module *generator, int64_t n, int64_t label, tp_tensor **labels);

TP_API_END

#endif
