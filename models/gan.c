/*
 * gan.c - what adversarial networks are trained by: the losses of Goodfellow et al. 2014, and the
 * gradient penalty of Gulrajani et al. 2017, "Improved training of Wasserstein GANs".
 */
#include "models/fits.h"

static tp_tensor *against(tp_tensor *scores, double target)
{
    return tp_bce_with_logits(scores, tp_full_like(scores, target));
}

tp_tensor *tp_model_discriminator_loss(tp_tensor *real, tp_tensor *fake)
{
    TP_SCOPE;
    return tp_pass(tp_add(against(real, 1), against(fake, 0)));
}

tp_tensor *tp_model_generator_loss(tp_tensor *fake)
{
    TP_SCOPE;
    return tp_pass(against(fake, 1));
}

static bool pairs(tp_tensor *real, tp_tensor *fake)
{
    if (!tp_ok()) return false;
    if (!real || !fake) return tp_fail(TP_ERR_ARG, "tp_model_gradient_penalty: missing samples");
    return (tp_rank(real) > 1 && same_shape(real, fake)) ||
           tp_fail(TP_ERR_SHAPE, "tp_model_gradient_penalty: samples of one shape (N, ...) are wanted, not %s and %s",
                   text_of_shape(real).s, text_of_shape(fake).s);
}

/* A leaf, each of its samples somewhere between a real and a made one. */
static tp_tensor *between(tp_tensor *real, tp_tensor *fake)
{
    tp_shape s = tp_shape_of(real);
    tp_tensor *t;

    for (int i = 1; i < s.rank; i++)
        s.n[i] = 1;
    t = tp_cast(tp_rand(s, tp_device_of(real)), tp_dtype_of(real));
    return tp_requires_grad(tp_detach(tp_lerp(fake, real, t)), true);
}

tp_tensor *tp_model_gradient_penalty(tp_module *critic, tp_tensor *real, tp_tensor *fake,
                                     tp_tensor *labels)
{
    TP_SCOPE;
    tp_grad_opts o = { .create_graph = tp_grad_enabled() };
    TP_WITH_GRAD;
    tp_tensor *x, *scores = NULL, *slope;

    if (!pairs(real, fake)) return NULL;
    x = between(real, fake);
    tp_nn_apply(critic, labels ? TP_LIST(x, labels) : TP_LIST(x), &scores, 1);
    slope = tp_norm(tp_flatten(tp_grad_of(tp_sum(scores, TP_ALL), x, o), 1), 2, TP_AXES(1));
    return tp_pass(tp_mean(tp_square(tp_shift(slope, -1)), TP_ALL));
}

/* ---- pictures ---- */

enum { AT_ONCE = 100 };

static bool can_generate(tp_module *generator, int64_t n, int64_t label)
{
    const tp_dcgan_opts *o = tp_nn_opts(generator);

    if (!is_model("tp_model_generate", generator, "generator")) return false;
    if (!in_range("tp_model_generate", "pictures", n, 1, MOST_WIDTH)) return false;
    if (!o->classes && label >= 0)
        return tp_fail(TP_ERR_ARG,
                       "tp_model_generate: label %lld, and the generator has no classes",
                       (long long)label);
    return !o->classes || in_range("tp_model_generate", "label", label, -1, o->classes - 1);
}

/* i64 (n): of one class, or 0, 1, ... by turns */
static tp_tensor *labels_of(int64_t n, int64_t label, int64_t classes, tp_device *dev)
{
    if (label >= 0) return tp_full(TP_SHAPE(n), (double)label, TP_I64, dev);
    return tp_remainder(tp_arange(0, (double)n, 1, TP_I64, dev),
                        tp_full(TP_SCALAR, (double)classes, TP_I64, dev));
}

/* Pictures from .. to of them, so that a hundred at a time are in memory. */
static bool fill(tp_module *generator, tp_tensor *all, int64_t from, int64_t to, tp_tensor *labels)
{
    const tp_dcgan_opts *o = tp_nn_opts(generator);
    TP_SCOPE;
    tp_tensor *z = tp_randn(TP_SHAPE(to - from, o->latent), tp_device_of(all)), *x = NULL;

    z = tp_cast(z, tp_dtype_of(all));
    if (labels) labels = tp_slice(labels, 0, from, to);
    tp_nn_predict_all(generator, labels ? TP_LIST(z, labels) : TP_LIST(z), &x, 1);
    return tp_copy_(tp_slice(all, 0, from, to), tp_affine(x, 0.5, 0.5));
}

tp_tensor *tp_model_generate(tp_module *generator, int64_t n, int64_t label, tp_tensor **labels)
{
    TP_SCOPE;
    TP_NO_GRAD;
    const tp_dcgan_opts *o = tp_nn_opts(generator);
    tp_tensor *weight, *all, *y = NULL;

    if (labels) *labels = NULL;
    if (!can_generate(generator, n, label)) return NULL;
    weight = tp_nn_tensor(generator, "main.0.weight");
    if (!weight) return tp_fail(TP_ERR_ARG, "tp_model_generate: call tp_nn_init first");
    all = tp_zeros(TP_SHAPE(n, o->channels, 32, 32), tp_dtype_of(weight), tp_device_of(weight));
    if (o->classes) y = labels_of(n, label, o->classes, tp_device_of(weight));
    for (int64_t i = 0; i < n; i += AT_ONCE)
        if (!fill(generator, all, i, i + AT_ONCE < n ? i + AT_ONCE : n, y)) return NULL;
    if (labels && y) *labels = tp_pass(y);
    return tp_pass(all);
}
