/*
 * diffusion.h - denoising diffusion: pictures out of noise, of a class or by a text.  Included by
 * models/models.h, whose rules hold.
 *
 * Pictures are (N, channels, size, size) in -1 .. 1; times are integers (N), 0 .. steps - 1.  A
 * condition is what the model was made for: labels (N), `classes` itself standing for none; tokens
 * (N, T) of a model with a text encoder; a text's embedding (N, context) of one without; NULL of a
 * model that is not conditional.
 */
#ifndef TP_MODELS_DIFFUSION_H
#define TP_MODELS_DIFFUSION_H

#include "nn/layers.h"

TP_API_BEGIN

/* ---- the U-Net ---- */

typedef struct tp_unet_opts {
    int64_t channels, base; /* 0: 1, 32 */
    int levels;      /* 0: three, of 1, 2, 2 times base; each but the last halves the map */
    int mults[6];    /* channels of each level, in units of base */
    int blocks;      /* in a level; 0: 2 */
    int attention;   /* bit l: level l has attention; 0: level 1 alone */
    int64_t classes; /* embedded beside the time; one more stands for none.  0: not conditional */
    int64_t context; /* width of a text's embedding beside the time; 0: none */
    double dropout;
} tp_unet_opts;
/* The U-Net of DDPM (Ho et al. 2020): residual blocks with group norm, SiLU and the time's
 * embedding, attention where the map is small, nearest upsampling.
 *   x (N, channels, H, W), time (N) [, labels (N) or text (N, context)] -> (N, channels, H, W) */
tp_module *tp_model_unet(tp_unet_opts o);

/* ---- texts ---- */

typedef struct tp_text_encoder_opts {
    int64_t vocabulary; /* symbols 0 .. vocabulary - 1; the number `vocabulary` itself is padding */
    int64_t context;    /* the longest text, in symbols */
    int64_t width;      /* 0: 128 */
    int layers, heads;  /* 0: 2, 4 */
    double dropout;
} tp_text_encoder_opts;
/* A text as one vector: the mean over its symbols of what a Transformer encoder with norm first and
 * learned positions gives.  token.weight, position.weight, encoder.layers.0.self_attn.in_proj_weight,
 * ..., encoder.norm.weight.  Padding changes nothing; a text of nothing else gives zeros.
 *   tokens (N, T), T <= context -> (N, width) */
tp_module *tp_model_text_encoder(tp_text_encoder_opts o);

/* ---- the model and its loss ---- */

/* How much noise there is at a time: beta_0, ..., beta_(steps - 1). */
typedef enum tp_noise_schedule {
    TP_NOISE_LINEAR, /* 1e-4 .. 0.02 in 1000 steps (Ho et al. 2020), 1000 / steps times that in others */
    TP_NOISE_COSINE  /* Nichol & Dhariwal 2021, with s = 0.008; both at most 0.999 */
} tp_noise_schedule;
/* What the network tells of a noised picture: the noise, or v (Salimans & Ho 2022). */
typedef enum tp_noise_target { TP_TARGET_EPSILON, TP_TARGET_V } tp_noise_target;

typedef struct tp_diffusion_opts {
    tp_unet_opts unet;
    tp_text_encoder_opts text; /* vocabulary 0: no text encoder; else the U-Net's context is its width */
    int64_t size;              /* the side of a picture; 0: 28 */
    int64_t steps;             /* 0: 1000 */
    tp_noise_schedule schedule;
    tp_noise_target target;
} tp_diffusion_opts;
/* Children unet and, with a text encoder, text, which is trained with it.  With a_t = (1 - beta_0) ...
 * (1 - beta_t), a noised picture is
 *     x_t = sqrt(a_t) x + sqrt(1 - a_t) noise
 * and the target the noise, or v = sqrt(a_t) noise - sqrt(1 - a_t) x.
 *   x_t, time [, condition] -> what the network takes for the target, in x's shape */
tp_module *tp_model_diffusion(tp_diffusion_opts o);

tp_tensor *tp_model_diffusion_alphas(tp_module *m, tp_device *dev); /* a_t: (steps) f64 on dev */
/* x_t and the target of pictures x, times t and noise in x's shape. */
tp_tensor *tp_model_diffusion_noised(tp_module *m, tp_tensor *x, tp_tensor *t, tp_tensor *noise);
tp_tensor *tp_model_diffusion_target(tp_module *m, tp_tensor *x, tp_tensor *t, tp_tensor *noise);
/* The mean square error of the target at times and with noise from the thread's generator.  drop: the
 * probability that a sample's condition is left out, so that sampling can be guided (Ho & Salimans
 * 2022); theirs is 0.1 to 0.2. */
tp_tensor *tp_model_diffusion_loss(tp_module *m, tp_tensor *x, tp_tensor *condition, double drop);

/* ---- from noise to pictures ---- */

/* Called after each of `of` steps of all batches with x, where the batch is now, and x0, what that leads
 * to; false ends it. */
typedef bool tp_denoise_fn(int64_t step, int64_t of, tp_tensor *x, tp_tensor *x0, void *user);
typedef struct tp_denoise_opts {
    int64_t steps;   /* so many of the model's, evenly apart, the last first (Song et al. 2021); 0: all */
    double eta;      /* fresh noise: 0 none, DDIM; 1, with all steps, is DDPM's ancestral sampling */
    double guidance; /* g of u + g (c - u), c being told the condition and u not; 1: c alone */
    bool unclipped;  /* what a step leads to may leave -1 .. 1 */
    int64_t batch;   /* pictures at a time; 0: all */
    tp_tensor *noise; /* (1 + steps, n, channels, size, size): the start's and each step's; NULL: the
                       * thread's generator's */
    tp_denoise_fn *progress; /* or NULL */
    void *user;
    bool filled;
} tp_denoise_opts;
tp_denoise_opts tp_denoise_defaults(void); /* 50, 0, 1, clipped */
/* n pictures out of noise, in evaluation and without gradients; fewer where progress ends it, those
 * of the batch being what they lead to.  Nothing but reading a_t waits for the device, and that once. */
tp_tensor *tp_model_diffusion_sample(tp_module *m, int64_t n, tp_tensor *condition, tp_denoise_opts o);

TP_API_END

#endif
