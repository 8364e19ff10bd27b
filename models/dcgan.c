/*
 * dcgan.c - the networks of DCGAN (Radford et al. 2016, "Unsupervised representation learning with
 * deep convolutional generative adversarial networks") for pictures of 32x32, as PyTorch's example.
 *
 * Conditional ones (Mirza & Osindero 2014): an embedding of the label is more of z for the
 * generator, and one more map for the discriminator.  A critic for gradient penalties has no batch
 * norm (Gulrajani et al. 2017): the penalty is of each sample by itself.
 */
#include "models/fits.h"

enum { SIZE = 32, LABEL_WIDTH = 16 };

static bool filled(const char *where, tp_dcgan_opts *o)
{
    o->channels = o->channels ? o->channels : 1, o->latent = o->latent ? o->latent : 100;
    o->width = o->width ? o->width : 64;
    return in_range(where, "channels", o->channels, 1, MOST_WIDTH) &&
           in_range(where, "latent", o->latent, 1, MOST_WIDTH) &&
           in_range(where, "width", o->width, 1, MOST_WIDTH) &&
           in_range(where, "classes", o->classes, 0, MOST_SIZE);
}

/* normal around 0, and around 1 for the weights of norms, deviation 0.02, as in the paper */
static tp_module *drawn_as_published(tp_module *m)
{
    tp_module *main = tp_nn_get(m, "main");

    for (int i = 0; tp_ok() && i < tp_nn_children(main); i++) {
        tp_module *layer = tp_nn_child(main, i);
        bool norm = tp_nn_has(layer, "running_mean");

        if (tp_nn_has(layer, "weight"))
            tp_nn_init_as(tp_nn_params(layer, "weight"), tp_init_normal(norm, 0.02));
    }
    return tp_nn_made(m);
}

/* ---- the generator ---- */

static int generate(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_dcgan_opts *o = tp_nn_opts(self);
    tp_tensor *z = in.t[0];

    (void)room;
    if (!labelled(self, o->classes, in) ||
        !shaped(self, z, "z", TP_SHAPE(0, o->latent), "(N, latent)"))
        return -1;
    if (o->classes) z = tp_concat(TP_LIST(z, tp_nn_call(self, "label", in.t[1])), 1);
    return tp_nn_gives(out, tp_nn_call(self, "main", tp_unsqueeze(tp_unsqueeze(z, -1), -1)));
}

static tp_module *up(int64_t in, int64_t out)
{
    return tp_nn_conv_transpose2d(in, out, 4,
                                  (tp_conv2d_opts){ .stride = 2, .padding = 1, .no_bias = true });
}

tp_module *tp_model_generator(tp_dcgan_opts o)
{
    tp_module *m =
        filled("tp_model_generator", &o) ? tp_nn_layer("generator", generate, &o, sizeof o) : NULL;
    int64_t w = m ? o.width : 0, z = m ? o.latent + (o.classes ? LABEL_WIDTH : 0) : 0;
    tp_module *l[] = { tp_nn_conv_transpose2d(z, 4 * w, 4, (tp_conv2d_opts){ .no_bias = true }),
                       tp_nn_batch_norm(4 * w), tp_nn_relu(),                   /* (N, 4 w, 4, 4) */
                       up(4 * w, 2 * w), tp_nn_batch_norm(2 * w), tp_nn_relu(), /* (N, 2 w, 8, 8) */
                       up(2 * w, w), tp_nn_batch_norm(w), tp_nn_relu(),         /* (N, w, 16, 16) */
                       up(w, o.channels), tp_nn_tanh() };

    tp_nn_add(m, "main", tp_nn_sequential(l, TP_LEN(l)));
    if (o.classes) tp_nn_add(m, "label", tp_nn_embedding(o.classes, LABEL_WIDTH));
    return drawn_as_published(m);
}

/* ---- the discriminator ---- */

/* (N, 1024) -> (N, 1, 32, 32) */
static tp_tensor *map_of(tp_tensor *label)
{
    return tp_reshape(label, TP_SHAPE(tp_dim(label, 0), 1, SIZE, SIZE));
}

static int discriminate(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_dcgan_opts *o = tp_nn_opts(self);
    tp_tensor *x = in.t[0];

    (void)room;
    if (!labelled(self, o->classes, in) ||
        !shaped(self, x, "x", TP_SHAPE(0, o->channels, SIZE, SIZE), "(N, channels, 32, 32)"))
        return -1;
    if (o->classes) x = tp_concat(TP_LIST(x, map_of(tp_nn_call(self, "label", in.t[1]))), 1);
    return tp_nn_gives(out, tp_flatten(tp_nn_call(self, "main", x), 0));
}

static tp_module *down(int64_t in, int64_t out)
{
    return tp_nn_conv2d(in, out, 4, (tp_conv2d_opts){ .stride = 2, .padding = 1, .no_bias = true });
}

static tp_module *norm(const tp_dcgan_opts *o, int64_t channels)
{
    return o->critic ? tp_nn_identity() : tp_nn_batch_norm(channels);
}

tp_module *tp_model_discriminator(tp_dcgan_opts o)
{
    tp_module *m = filled("tp_model_discriminator", &o)
                       ? tp_nn_layer("discriminator", discriminate, &o, sizeof o)
                       : NULL;
    int64_t w = m ? o.width : 0, channels = m ? o.channels + (o.classes ? 1 : 0) : 0;
    tp_module *l[] = { down(channels, w), tp_nn_leaky_relu(0.2),                    /* 16x16 */
                       down(w, 2 * w), norm(&o, 2 * w), tp_nn_leaky_relu(0.2),     /* 8x8 */
                       down(2 * w, 4 * w), norm(&o, 4 * w), tp_nn_leaky_relu(0.2), /* 4x4 */
                       tp_nn_conv2d(4 * w, 1, 4, (tp_conv2d_opts){ .no_bias = true }) };

    tp_nn_add(m, "main", tp_nn_sequential(l, TP_LEN(l)));
    if (o.classes) tp_nn_add(m, "label", tp_nn_embedding(o.classes, SIZE * SIZE));
    return drawn_as_published(m);
}
