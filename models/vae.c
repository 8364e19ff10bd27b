/*
 * vae.c - the variational autoencoder of Kingma & Welling 2014, "Auto-encoding variational Bayes".
 *
 *     z = mean + exp(logvar / 2) noise        in training; the mean otherwise
 *     loss = -log p(x | z) + beta KL,   KL = -1/2 sum(1 + logvar - mean^2 - exp(logvar))
 *
 * A convolutional one has two strided convolutions before its linear layers and two transposed ones
 * behind them.  A conditional one (Sohn et al. 2015, "Learning structured output representation
 * using deep conditional generative models") joins the label, one-hot, to what the first linear
 * layer of encoder and decoder takes.
 */
#include "models/fits.h"

/* x with its label beside it, where the model is conditional */
static tp_tensor *joined(const tp_vae_opts *o, tp_tensor *x, tp_tensor *labels)
{
    if (!o->classes) return x;
    return tp_concat(TP_LIST(x, tp_cast(tp_one_hot(labels, o->classes), tp_dtype_of(x))), 1);
}

/* (N, channels, size, size) -> (N, 2 width (size / 4)^2) */
static tp_tensor *maps(tp_module *m, tp_tensor *x)
{
    x = tp_relu(tp_nn_call(m, "conv1", x));
    return tp_flatten(tp_relu(tp_nn_call(m, "conv2", x)), 1);
}

/* and back */
static tp_tensor *picture(tp_module *m, const tp_vae_opts *o, tp_tensor *h)
{
    h = tp_reshape(tp_relu(h), TP_SHAPE(tp_dim(h, 0), 2 * o->width, o->size / 4, o->size / 4));
    return tp_nn_call(m, "up2", tp_relu(tp_nn_call(m, "up1", h)));
}

/* Mean and logarithm of the variance of q(z | x); NULL after an error. */
typedef struct code {
    tp_tensor *mean, *logvar;
} code;

static code encoded(tp_module *m, tp_list in)
{
    const tp_vae_opts *o = tp_nn_opts(m);
    tp_shape s = TP_SHAPE(0, o->channels, o->size, o->size);
    tp_tensor *x = in.t[0], *h;

    if (!labelled(m, o->classes, in)) return (code){ 0 };
    if (o->conv && !shaped(m, x, "x", s, "(N, channels, size, size)")) return (code){ 0 };
    h = joined(o, o->conv ? maps(m, x) : x, o->classes ? in.t[1] : NULL);
    h = tp_nn_call(m, "fc1", h);
    return (code){ tp_nn_call(m, "fc21", h), tp_nn_call(m, "fc22", h) };
}

static tp_tensor *drawn(code q)
{
    return tp_add(q.mean, tp_mul(tp_exp(tp_scale(q.logvar, 0.5)), tp_randn_like(q.mean)));
}

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    code q = encoded(self, in);
    tp_tensor *z = q.mean && tp_nn_training(self) ? drawn(q) : q.mean, *y;

    if (!tp_ok()) return -1;
    y = tp_model_vae_decode(self, z, in.n > 1 ? in.t[1] : NULL);
    if (tp_nn_gives(out, y) < 0 || room < 3) return tp_ok() ? 1 : -1;
    out[1] = q.mean, out[2] = q.logvar;
    return 3;
}

static const char where[] = "tp_model_vae";

static bool filled_conv(tp_vae_opts *o)
{
    o->channels = o->channels ? o->channels : 1, o->size = o->size ? o->size : 28;
    o->width = o->width ? o->width : 32;
    if (!in_range(where, "channels", o->channels, 1, MOST_WIDTH) ||
        !in_range(where, "size", o->size, 4, 1 << 15) ||
        !in_range(where, "width", o->width, 1, MOST_WIDTH))
        return false;
    return o->size % 4 == 0 || tp_fail(TP_ERR_ARG, "%s: size %lld can't be halved twice", where,
                                       (long long)o->size);
}

static bool filled(tp_vae_opts *o)
{
    o->pixels = o->pixels ? o->pixels : 784, o->hidden = o->hidden ? o->hidden : 400;
    o->latent = o->latent ? o->latent : 20;
    return in_range(where, "pixels", o->pixels, 1, MOST_SIZE) &&
           in_range(where, "hidden", o->hidden, 1, MOST_SIZE) &&
           in_range(where, "latent", o->latent, 1, MOST_SIZE) &&
           in_range(where, "classes", o->classes, 0, MOST_SIZE) && (!o->conv || filled_conv(o));
}

tp_module *tp_model_vae(tp_vae_opts o)
{
    tp_module *m = filled(&o) ? tp_nn_layer("vae", forward, &o, sizeof o) : NULL;
    tp_linear_layer_opts relu = { TP_RELU, false };
    tp_conv2d_opts half = { .stride = 2, .padding = 1 };
    int64_t w = o.width, flat = o.conv && m ? 2 * w * (o.size / 4) * (o.size / 4) : o.pixels;

    if (!m) return NULL;
    if (o.conv) {
        tp_nn_add(m, "conv1", tp_nn_conv2d(o.channels, w, 4, half));
        tp_nn_add(m, "conv2", tp_nn_conv2d(w, 2 * w, 4, half));
    }
    tp_nn_add(m, "fc1", tp_nn_linear_with(flat + o.classes, o.hidden, relu));
    tp_nn_add(m, "fc21", tp_nn_linear(o.hidden, o.latent));
    tp_nn_add(m, "fc22", tp_nn_linear(o.hidden, o.latent));
    tp_nn_add(m, "fc3", tp_nn_linear_with(o.latent + o.classes, o.hidden, relu));
    tp_nn_add(m, "fc4", tp_nn_linear(o.hidden, flat));
    if (o.conv) {
        tp_nn_add(m, "up1", tp_nn_conv_transpose2d(2 * w, w, 4, half));
        tp_nn_add(m, "up2", tp_nn_conv_transpose2d(w, o.channels, 4, half));
    }
    return tp_nn_made(m);
}

/* The inputs of m: x, and labels where they are given. */
#define INPUTS(x, labels) ((tp_list){ (tp_tensor *const[]){ x, labels }, labels ? 2 : 1 })

tp_tensor *tp_model_vae_decode(tp_module *vae, tp_tensor *z, tp_tensor *labels)
{
    TP_SCOPE;
    const tp_vae_opts *o = tp_nn_opts(vae);
    tp_tensor *h;

    if (!is_model(__func__, vae, "vae") || !labelled(vae, o->classes, INPUTS(z, labels))) return NULL;
    h = tp_nn_call(vae, "fc4", tp_nn_call(vae, "fc3", joined(o, z, labels)));
    return tp_pass(o->conv ? picture(vae, o, h) : h);
}

/* -(1 + logvar - mean^2 - exp(logvar)) / 2 of each number of the code */
static tp_tensor *divergence(tp_tensor *mean, tp_tensor *logvar)
{
    return tp_scale(tp_sub(tp_add(tp_square(mean), tp_exp(logvar)), tp_shift(logvar, 1)), 0.5);
}

tp_tensor *tp_model_vae_loss(tp_tensor *logits, tp_tensor *x, tp_tensor *mean, tp_tensor *logvar,
                             double beta)
{
    TP_SCOPE;
    tp_bce_opts sum = { .reduction = TP_SUM };
    tp_tensor *likelihood = tp_bce_with_logits_with(logits, x, sum);

    if (tp_ok() && !same_shape(mean, logvar))
        tp_fail(TP_ERR_SHAPE, "tp_model_vae_loss: the mean is %s, logvar %s: one shape is wanted",
                text_of_shape(mean).s, text_of_shape(logvar).s);
    return tp_pass(tp_add(likelihood, tp_scale(tp_sum(divergence(mean, logvar), TP_ALL), beta)));
}

tp_tensor *tp_model_vae_nats(tp_module *vae, tp_tensor *x, tp_tensor *labels, double beta)
{
    TP_SCOPE;
    tp_tensor *logits, *likelihood, *kl;
    code q;

    if (!is_model(__func__, vae, "vae")) return NULL;
    q = encoded(vae, INPUTS(x, labels));
    if (!tp_ok()) return NULL;
    logits = tp_model_vae_decode(vae, drawn(q), labels);
    likelihood = tp_bce_with_logits_with(logits, x, (tp_bce_opts){ .reduction = TP_NONE });
    likelihood = tp_sum(tp_flatten(likelihood, 1), TP_AXES(1));
    kl = tp_sum(divergence(q.mean, q.logvar), TP_AXES(1));
    return tp_pass(tp_add(likelihood, tp_scale(kl, beta)));
}
