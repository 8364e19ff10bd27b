/*
 * vae.c - the variational autoencoder of Kingma & Welling 2014, "Auto-encoding variational Bayes".
 *
 *     z = mean + exp(logvar / 2) noise        in training; the mean otherwise
 *     loss = -log p(x | z) + beta KL,   KL = -1/2 sum(1 + logvar - mean^2 - exp(logvar))
 */
#include "models/fits.h"

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    tp_tensor *h, *mean, *logvar, *z;

    if (!given(self, in, 1, 1)) return -1;
    h = tp_nn_call(self, "fc1", in.t[0]);
    z = mean = tp_nn_call(self, "fc21", h), logvar = tp_nn_call(self, "fc22", h);
    if (tp_nn_training(self))
        z = tp_add(mean, tp_mul(tp_exp(tp_scale(logvar, 0.5)), tp_randn_like(mean)));
    if (tp_nn_gives(out, tp_model_vae_decode(self, z)) < 0 || room < 3) return tp_ok() ? 1 : -1;
    out[1] = mean, out[2] = logvar;
    return 3;
}

static bool filled(tp_vae_opts *o)
{
    static const char where[] = "tp_model_vae";

    o->pixels = o->pixels ? o->pixels : 784, o->hidden = o->hidden ? o->hidden : 400;
    o->latent = o->latent ? o->latent : 20;
    return in_range(where, "pixels", o->pixels, 1, MOST_SIZE) &&
           in_range(where, "hidden", o->hidden, 1, MOST_SIZE) &&
           in_range(where, "latent", o->latent, 1, MOST_SIZE);
}

tp_module *tp_model_vae(tp_vae_opts o)
{
    tp_module *m = filled(&o) ? tp_nn_layer("vae", forward, &o, sizeof o) : NULL;
    tp_linear_layer_opts relu = { TP_RELU, false };

    if (!m) return NULL;
    tp_nn_add(m, "fc1", tp_nn_linear_with(o.pixels, o.hidden, relu));
    tp_nn_add(m, "fc21", tp_nn_linear(o.hidden, o.latent));
    tp_nn_add(m, "fc22", tp_nn_linear(o.hidden, o.latent));
    tp_nn_add(m, "fc3", tp_nn_linear_with(o.latent, o.hidden, relu));
    tp_nn_add(m, "fc4", tp_nn_linear(o.hidden, o.pixels));
    return tp_nn_made(m);
}

tp_tensor *tp_model_vae_decode(tp_module *vae, tp_tensor *z)
{
    TP_SCOPE;
    return tp_pass(tp_nn_call(vae, "fc4", tp_nn_call(vae, "fc3", z)));
}

tp_tensor *tp_model_vae_loss(tp_tensor *logits, tp_tensor *x, tp_tensor *mean, tp_tensor *logvar,
                             double beta)
{
    TP_SCOPE;
    tp_bce_opts sum = { .reduction = TP_SUM };
    tp_tensor *likelihood = tp_bce_with_logits_with(logits, x, sum), *kl;

    if (tp_ok() && (tp_rank(mean) != tp_rank(logvar) || tp_count(mean) != tp_count(logvar)))
        tp_fail(TP_ERR_SHAPE,
                "tp_model_vae_loss: the mean has %lld numbers, logvar %lld: one shape is wanted",
                (long long)tp_count(mean), (long long)tp_count(logvar));
    kl = tp_sub(tp_add(tp_square(mean), tp_exp(logvar)), tp_shift(logvar, 1));

    return tp_pass(tp_add(likelihood, tp_scale(tp_sum(kl, TP_ALL), 0.5 * beta)));
}
