/*
 * vae.c - the variational autoencoder of Kingma & Welling 2014, "Auto-encoding variational Bayes".
 *
 *     z = mean + exp(logvar / 2) noise        in training; the mean otherwise
 *     loss = -log p(x | z) + beta KL,   KL = -1/2 sum(1 + logvar - mean^2 - exp(logvar))
 */
#include "models/models.h"

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    tp_tensor *h = tp_nn_call(self, "fc1", in.t[0]), *mean = tp_nn_call(self, "fc21", h);
    tp_tensor *logvar = tp_nn_call(self, "fc22", h), *z = mean;

    if (tp_nn_training(self)) z = tp_add(mean, tp_mul(tp_exp(tp_scale(logvar, 0.5)), tp_randn_like(mean)));
    if (tp_nn_gives(out, tp_model_vae_decode(self, z)) < 0 || room < 3) return tp_ok() ? 1 : -1;
    out[1] = mean, out[2] = logvar;
    return 3;
}

tp_module *tp_model_vae(tp_vae_opts o)
{
    int64_t pixels = o.pixels ? o.pixels : 784, hidden = o.hidden ? o.hidden : 400, latent = o.latent ? o.latent : 20;
    tp_linear_layer_opts relu = { TP_RELU, false };
    tp_module *m = tp_nn_layer("vae", forward, &o, sizeof o);

    tp_nn_add(m, "fc1", tp_nn_linear_with(pixels, hidden, relu));
    tp_nn_add(m, "fc21", tp_nn_linear(hidden, latent));
    tp_nn_add(m, "fc22", tp_nn_linear(hidden, latent));
    tp_nn_add(m, "fc3", tp_nn_linear_with(latent, hidden, relu));
    tp_nn_add(m, "fc4", tp_nn_linear(hidden, pixels));
    return tp_nn_made(m);
}

tp_tensor *tp_model_vae_decode(tp_module *vae, tp_tensor *z)
{
    TP_SCOPE;
    return tp_pass(tp_nn_call(vae, "fc4", tp_nn_call(vae, "fc3", z)));
}

tp_tensor *tp_model_vae_loss(tp_tensor *logits, tp_tensor *x, tp_tensor *mean, tp_tensor *logvar, double beta)
{
    TP_SCOPE;
    tp_tensor *likelihood = tp_bce_with_logits_with(logits, x, (tp_loss_opts){ TP_SUM });
    tp_tensor *kl = tp_sub(tp_add(tp_square(mean), tp_exp(logvar)), tp_shift(logvar, 1));

    return tp_pass(tp_add(likelihood, tp_scale(tp_sum(kl, TP_ALL), 0.5 * beta)));
}
