/*
 * test_model_generative.c - what belongs to autoencoders and adversarial networks beside their forward:
 * bounds, codes, losses, the gradient penalty, pictures.  Against PyTorch: test_model_golden.c.
 */
#include "tests/files.h"
#include "tests/golden.h"
#include "tests/oom.h"

static tp_tensor *numbers(tp_shape s, tp_dtype d, tp_device *dev)
{
    return check_numbers(s, d, -1, 1, dev);
}
static tp_tensor *whole(int64_t below, int64_t n, tp_device *dev)
{
    return tp_cast(check_numbers(TP_SHAPE(n), TP_F64, 0, (double)below, dev), TP_I64);
}

static double apart(tp_tensor *a, tp_tensor *b)
{
    tp_shape s = tp_shape_of(a), t = tp_shape_of(b);

    if (!a || !b || !tp__same(&s, &t)) return INFINITY;
    return tp_count(a) ? tp_item(tp_amax(tp_abs(tp_cast(tp_sub(a, b), TP_F64)), TP_ALL)) : 0;
}

/* ---- autoencoders ---- */

static tp_module *conv_vae(tp_device *dev)
{
    tp_vae_opts o = { .conv = true, .size = 8, .width = 2, .hidden = 6, .latent = 2, .classes = 3 };
    tp_module *m = tp_nn_init(tp_model_vae(o), dev);

    CHECK(tp_nn_cast(m, TP_F64));
    return m;
}

/* The sum over the batch is what tp_model_vae_loss gives for the same code, in either mode. */
ON_EACH_DEVICE(generative, nats)
{
    TP_SCOPE;
    tp_module *m = conv_vae(dev);
    tp_tensor *x = tp_sigmoid(numbers(TP_SHAPE(4, 1, 8, 8), TP_F64, dev)), *y = whole(3, 4, dev);
    tp_tensor *out[3], *z, *loss, *each;

    for (int training = 0; training < 2; training++) {
        CASE("training %d on %s", training, tp_device_name(dev));
        CHECK(tp_nn_train(m, "*", training) > 0);
        tp_seed(5), each = tp_model_vae_nats(m, x, y, 2.5);
        CHECK(tp_nn_train(m, "*", false) > 0 && tp_nn_apply(m, TP_LIST(x, y), out, 3) == 3);
        tp_seed(5), z = tp_add(out[1], tp_mul(tp_exp(tp_scale(out[2], 0.5)), tp_randn_like(out[1])));
        loss = tp_model_vae_loss(tp_model_vae_decode(m, z, y), x, out[1], out[2], 2.5);
        CHECK(tp_rank(each) == 1 && tp_dim(each, 0) == 4);
        CHECK_NEAR(tp_item(tp_sum(each, TP_ALL)), tp_item(loss), 1e-12 * tp_item(loss));
    }
    tp_nn_free(m);
}

#define VAE(...)   tp_model_vae((tp_vae_opts){ __VA_ARGS__ })
#define VQVAE(...) tp_model_vqvae((tp_vqvae_opts){ __VA_ARGS__ })

Test(generative, options_that_cannot_be)
{
    tp_module *huge[] = { VAE(.conv = true, .width = 1 << 24, .size = 1 << 15),
                          VQVAE(.width = 1 << 24, .codes = 1 << 30, .dims = 1 << 24) };

    for (int i = 0; i < TP_LEN(huge); i++)
        tp_nn_free(huge[i]);
    tp_clear_error();
    CHECK_REFUSED(VAE(.classes = -1), TP_ERR_ARG, "tp_model_vae: classes -1");
    CHECK_REFUSED(VAE(.conv = true, .size = 30), TP_ERR_ARG, "tp_model_vae: size 30 can't be halved twice");
    CHECK_REFUSED(VAE(.conv = true, .width = -1), TP_ERR_ARG, "tp_model_vae: width -1");
    CHECK_REFUSED(VQVAE(.codes = -1), TP_ERR_ARG, "tp_model_vqvae: codes -1");
    CHECK_REFUSED(VQVAE(.width = 1), TP_ERR_ARG, "tp_model_vqvae: width 1, and 2 to");
    CHECK_REFUSED(VQVAE(.blocks = INT32_MAX), TP_ERR_ARG, "tp_model_vqvae: blocks 2147483647");
}

ON_EACH_DEVICE(generative, autoencoders_refuse)
{
    TP_SCOPE;
    tp_module *m = tp_nn_init(tp_model_vae((tp_vae_opts){ .pixels = 5, .hidden = 4, .latent = 2 }), dev);
    tp_module *by_label = conv_vae(dev), *q = tp_nn_init(tp_model_vqvae((tp_vqvae_opts){ .width = 4 }), dev);
    tp_tensor *x = numbers(TP_SHAPE(3, 5), TP_F32, dev), *z = numbers(TP_SHAPE(3, 2), TP_F32, dev), *out[4];
    tp_tensor *map = numbers(TP_SHAPE(3, 1, 8, 8), TP_F64, dev), *y = whole(3, 3, dev), *far = tp_shift(y, 3);

    CHECK_REFUSED(tp_model_vae_decode(q, z, NULL), TP_ERR_ARG, "tp_model_vae_decode: a model of tp_model_vae is wanted, not");
    CHECK_REFUSED(tp_model_vae_loss(z, tp_sigmoid(z), z, tp_slice(z, 1, 0, 1), 1), TP_ERR_SHAPE,
                  "the mean is (3, 2), logvar (3, 1): one shape is wanted");
    CHECK_REFUSED(tp_model_vae_loss(map, tp_sigmoid(map), map, tp_transpose(tp_reshape(map, TP_SHAPE(3, 1, 4, 16)), 2, 3), 1),
                  TP_ERR_SHAPE, "the mean is (3, 1, 8, 8), logvar (3, 1, 16, 4): one shape is wanted");
    CHECK_REFUSED(tp_model_vae_decode(m, z, y), TP_ERR_ARG, "vae: it takes 1 input, not 2");
    CHECK_REFUSED(tp_model_vae_decode(by_label, z, NULL), TP_ERR_ARG, "vae: it is conditional, and labels are missing");
    CHECK_REFUSED(tp_model_vae_decode(by_label, z, whole(3, 2, dev)), TP_ERR_SHAPE, "vae: labels must be (N), not (2)");
    CHECK_REFUSED(tp_model_vae_nats(by_label, map, NULL, 1), TP_ERR_ARG, "labels are missing");
    CHECK_REFUSED(tp_model_vae_nats(by_label, x, y, 1), TP_ERR_SHAPE, "vae: x must be (N, channels, size, size), not (3, 5)");
    CHECK_REFUSED(tp_model_vae_nats(q, x, NULL, 1), TP_ERR_ARG, "tp_model_vae_nats: a model of tp_model_vae is wanted, not");
    CHECK_REFUSED_BY_DATA(dev, tp_nn_apply(by_label, TP_LIST(map, far), out, 3) > 0, TP_ERR_ARG, "one_hot", "index");
    CHECK_REFUSED(tp_model_vqvae_decode(m, y), TP_ERR_ARG, "tp_model_vqvae_decode: a model of tp_model_vqvae is wanted, not");
    CHECK_REFUSED(tp_model_vqvae_decode(q, y), TP_ERR_SHAPE, "vqvae: codes must be (N, h, w), not (3)");
    CHECK_REFUSED(tp_model_vqvae_perplexity(m, y), TP_ERR_ARG, "tp_model_vqvae_perplexity: a model of tp_model_vqvae");
    CHECK_REFUSED(tp_nn_apply(q, TP_LIST(tp_slice(map, 2, 0, 6)), out, 4) > 0, TP_ERR_SHAPE,
                  "vqvae: pictures of 6x8 can't be halved twice");
    tp_nn_free(m), tp_nn_free(by_label), tp_nn_free(q);
}

/* Each code is the nearest, the first of equals; decoding codes is what the forward does with them. */
ON_EACH_DEVICE(generative, nearest_codes)
{
    TP_SCOPE;
    TP_NO_GRAD;
    enum { CODES = 6, DIMS = 3 };
    tp_module *m = tp_nn_init(tp_model_vqvae((tp_vqvae_opts){ .width = 4, .codes = CODES, .dims = DIMS, .blocks = 1 }), dev);
    tp_tensor *x = numbers(TP_SHAPE(5, 1, 8, 12), TP_F32, dev), *w = tp_nn_tensor(m, "codebook.weight"), *e, *out[4], *gap;
    double *row, *book;
    int64_t code[5 * 2 * 3];

    CHECK(tp_copy_(tp_slice(w, 0, 4, 5), tp_slice(w, 0, 1, 2))); /* 4 is 1 once more */
    CHECK(tp_nn_train(m, "*", false) > 0 && tp_nn_apply(m, TP_LIST(x), out, 4) == 4);
    CHECK(tp_dtype_of(out[3]) == TP_I64 && tp_dim(out[3], 1) == 2 && tp_dim(out[3], 2) == 3 &&
          tp_read(out[3], code, sizeof code));
    e = tp_reshape(tp_permute(tp_nn_call(m, "encoder", x), TP_AXES(0, 2, 3, 1)), TP_SHAPE(-1, DIMS));
    row = values(e), book = values(w);
    for (int i = 0; i < TP_LEN(code); i++) {
        double least = INFINITY, d[CODES] = { 0 };

        for (int k = 0; k < CODES; k++) {
            for (int j = 0; j < DIMS; j++)
                d[k] += (row[i * DIMS + j] - book[k * DIMS + j]) * (row[i * DIMS + j] - book[k * DIMS + j]);
            least = fmin(least, d[k]);
        }
        CHECK(code[i] != 4 && d[code[i]] <= least + 1e-5);
    }
    CHECK(apart(tp_model_vqvae_decode(m, out[3]), out[0]) < 1e-5);
    gap = tp_sum(tp_square(tp_sub(e, tp_embedding(tp_reshape(out[3], TP_SHAPE(-1)), w))), TP_ALL);
    CHECK_NEAR(tp_item(out[1]), tp_item(gap), 1e-5 * tp_item(gap));
    CHECK_NEAR(tp_item(out[2]), tp_item(gap), 1e-5 * tp_item(gap));
    free(row), free(book), tp_nn_free(m);
}

ON_EACH_DEVICE(generative, perplexity)
{
    TP_SCOPE;
    tp_module *m = tp_nn_init(tp_model_vqvae((tp_vqvae_opts){ .width = 4, .codes = 4, .dims = 2 }), dev);
    static const struct { int64_t code[4]; double want; } c[] = {
        { { 0, 1, 2, 3 }, 4 }, { { 2, 2, 2, 2 }, 1 }, { { 1, 3, 3, 1 }, 2 }, { { 0, 0, 0, 1 }, 1.7547654 } };

    for (int i = 0; i < TP_LEN(c); i++) {
        tp_tensor *codes = tp_from(c[i].code, TP_SHAPE(1, 2, 2), TP_I64, dev);

        CHECK_NEAR(tp_item(tp_model_vqvae_perplexity(m, codes)), c[i].want, 1e-5);
    }
    tp_nn_free(m);
}

/* ---- adversarial networks ---- */

ON_EACH_DEVICE(generative, losses_of_both)
{
    TP_SCOPE;
    tp_tensor *real = numbers(TP_SHAPE(7), TP_F64, dev), *fake = numbers(TP_SHAPE(7), TP_F64, dev);
    double *r = values(real), *f = values(fake), d = 0, g = 0;

    for (int i = 0; i < 7; i++)
        d += (log1p(exp(-r[i])) + log1p(exp(f[i]))) / 7, g += log1p(exp(-f[i])) / 7;
    CHECK_NEAR(tp_item(tp_model_discriminator_loss(real, fake)), d, 1e-14);
    CHECK_NEAR(tp_item(tp_model_generator_loss(fake)), g, 1e-14);
    free(r), free(f);
}

static tp_module *critic(int64_t classes, tp_device *dev)
{
    tp_module *m = tp_nn_init(tp_model_discriminator((tp_dcgan_opts){ .width = 2, .classes = classes, .critic = true }), dev);

    CHECK(tp_nn_cast(m, TP_F64));
    return m;
}

/* By hand, for the same random numbers; without gradients the number alone. */
ON_EACH_DEVICE(generative, penalties)
{
    for (int64_t classes = 0; classes < 3; classes += 2) {
        TP_SCOPE;
        tp_module *m = critic(classes, dev);
        tp_tensor *real = numbers(TP_SHAPE(3, 1, 32, 32), TP_F64, dev), *fake = numbers(TP_SHAPE(3, 1, 32, 32), TP_F64, dev);
        tp_tensor *labels = classes ? whole(classes, 3, dev) : NULL, *in[2] = { NULL, labels }, *y, *slope, *t, *penalty;

        tp_seed(4), t = tp_cast(tp_rand(TP_SHAPE(3, 1, 1, 1), dev), TP_F64);
        in[0] = tp_requires_grad(tp_detach(tp_add(fake, tp_mul(t, tp_sub(real, fake)))), true);
        CHECK(tp_nn_apply(m, (tp_list){ in, classes ? 2 : 1 }, &y, 1) == 1);
        slope = tp_grad_of(tp_sum(y, TP_ALL), in[0], (tp_grad_opts){ 0 });
        slope = tp_sqrt(tp_sum(tp_square(tp_flatten(slope, 1)), TP_AXES(1)));
        tp_seed(4), penalty = tp_model_gradient_penalty(m, real, fake, labels);
        CHECK(tp_needs_grad(penalty) && tp_backward(penalty));
        CHECK(tp_grad(tp_nn_tensor(m, "main.0.weight")) && !tp_grad(in[0]));
        CHECK_NEAR(tp_item(penalty), tp_item(tp_mean(tp_square(tp_shift(slope, -1)), TP_ALL)), 1e-12);
        {
            TP_NO_GRAD;
            tp_seed(4), y = tp_model_gradient_penalty(m, real, fake, labels);
            CHECK(!tp_needs_grad(y) && tp_item(y) == tp_item(penalty) && !tp_grad_enabled());
        }
        CHECK_REFUSED(tp_model_gradient_penalty(m, real, tp_slice(fake, 0, 0, 2), labels), TP_ERR_SHAPE, "not (3, 1, 32, 32) and (2, 1, 32, 32)");
        CHECK_REFUSED(tp_model_gradient_penalty(m, real, tp_flatten(fake, 1), labels), TP_ERR_SHAPE, "of one shape (N, ...)");
        CHECK_REFUSED(tp_model_gradient_penalty(m, real, NULL, labels), TP_ERR_ARG, "missing samples");
        CHECK_REFUSED(tp_model_gradient_penalty(NULL, real, fake, labels), TP_ERR_ARG, "missing module");
        tp_nn_free(m);
    }
}

/* A critic whose slope is 0: the penalty is 1, and no gradient is NaN. */
ON_EACH_DEVICE(generative, a_flat_critic)
{
    TP_SCOPE;
    tp_module *m = tp_nn_init(tp_nn_linear(4, 1), dev);
    tp_tensor *x = numbers(TP_SHAPE(3, 4), TP_F32, dev), *penalty;

    CHECK(tp_nn_init_as(tp_nn_params(m, "*"), tp_init_constant(0)) > 0);
    penalty = tp_model_gradient_penalty(m, x, x, NULL);
    CHECK(tp_item(penalty) == 1 && tp_backward(penalty));
    CHECK(apart(tp_grad(tp_nn_tensor(m, "weight")), tp_zeros(TP_SHAPE(1, 4), TP_F32, dev)) == 0);
    tp_nn_free(m);
}

/* More than a hundred, by the same codes as one run on all of them. */
ON_EACH_DEVICE(generative, generating)
{
    TP_SCOPE;
    tp_module *m = tp_nn_init(tp_model_generator((tp_dcgan_opts){ .latent = 3, .width = 2, .classes = 4 }), dev);
    tp_tensor *all, *again, *labels, *z;
    int64_t y[103];

    tp_seed(3), all = tp_model_generate(m, 103, -1, &labels);
    CHECK(tp_dim(all, 0) == 103 && tp_dim(all, 1) == 1 && tp_dim(all, 3) == 32 && tp_nn_training(m) && !tp_needs_grad(all));
    CHECK(tp_item(tp_amin(all, TP_ALL)) >= 0 && tp_item(tp_amax(all, TP_ALL)) <= 1);
    CHECK(tp_read(labels, y, sizeof y) && y[0] == 0 && y[3] == 3 && y[4] == 0 && y[102] == 2);
    tp_seed(3), z = tp_randn(TP_SHAPE(100, 3), dev), again = NULL;
    CHECK(tp_nn_predict_all(m, TP_LIST(z, tp_slice(labels, 0, 0, 100)), &again, 1) == 1);
    CHECK(apart(tp_affine(again, 0.5, 0.5), tp_slice(all, 0, 0, 100)) < 1e-6);
    CHECK(tp_model_generate(m, 2, 1, &labels) && tp_read(labels, y, 2 * sizeof *y) && y[0] == 1 && y[1] == 1);
    CHECK_REFUSED(tp_model_generate(m, 2, 4, &labels), TP_ERR_ARG, "tp_model_generate: label 4, and -1 to 3 is possible");
    CHECK(!labels);
    CHECK_REFUSED(tp_model_generate(m, 0, 1, NULL), TP_ERR_ARG, "pictures 0, and 1 to");
    tp_nn_free(m), m = tp_model_generator((tp_dcgan_opts){ .latent = 3, .width = 2 });
    CHECK_REFUSED(tp_model_generate(m, 2, -1, NULL), TP_ERR_ARG, "call tp_nn_init first");
    CHECK(tp_nn_init(m, dev) && tp_model_generate(m, 2, -1, &labels) && !labels);
    CHECK_REFUSED(tp_model_generate(m, 2, 0, NULL), TP_ERR_ARG, "label 0, and the generator has no classes");
    tp_nn_free(m), m = critic(0, dev);
    CHECK_REFUSED(tp_model_generate(m, 2, -1, NULL), TP_ERR_ARG, "a model of tp_model_generator is wanted");
    tp_nn_free(m);
}

/* ---- out of memory ---- */

typedef struct tight {
    tp_module *g, *d, *vae, *q;
    tp_tensor *x, *y;
    long live;
} tight;

static bool use(void *user)
{
    tight *t = user;
    TP_SCOPE;
    tp_tensor *fake = tp_affine(tp_model_generate(t->g, 2, 1, NULL), 2, -1), *out[4];

    return tp_backward(tp_model_gradient_penalty(t->d, fake, tp_neg(fake), t->y)) &&
           tp_backward(tp_sum(tp_model_vae_nats(t->vae, t->x, t->y, 1), TP_ALL)) &&
           tp_nn_apply(t->q, TP_LIST(t->x), out, 4) == 4 && tp_model_vqvae_perplexity(t->q, out[3]) &&
           tp_backward(tp_model_vqvae_loss(out[0], t->x, out[1], out[2])) && tp_model_vqvae_decode(t->q, out[3]);
}

static bool drop(void *user, const char *name, tp_tensor **t)
{
    (void)user, (void)name;
    return tp_zero_grad(*t);
}

static void after(void *user, bool done)
{
    tight *t = user;
    tp_module *all[] = { t->g, t->d, t->vae, t->q };

    (void)done;
    for (int i = 0; i < TP_LEN(all); i++)
        CHECK(tp_nn_each(tp_nn_params(all[i], "*"), false, drop, NULL) > 0 && tp_nn_training(all[i]));
    tp_thread_end();
    CHECK(tp__live() == t->live);
}

ON_EACH_DEVICE(generative, out_of_memory)
{
    tp_dcgan_opts o = { .latent = 2, .width = 1, .classes = 2, .critic = true };
    tp_vae_opts conv = { .conv = true, .size = 8, .width = 1, .hidden = 2, .latent = 2, .classes = 2 };
    tight t = { .g = tp_nn_init(tp_model_generator(o), dev), .d = tp_nn_init(tp_model_discriminator(o), dev) };

    t.vae = tp_nn_init(tp_model_vae(conv), dev);
    t.q = tp_nn_init(tp_model_vqvae((tp_vqvae_opts){ .width = 2, .codes = 3, .dims = 2, .blocks = 1 }), dev);
    {
        TP_SCOPE;
        t.x = tp_keep(tp_sigmoid(numbers(TP_SHAPE(2, 1, 8, 8), TP_F32, dev))), t.y = tp_keep(whole(2, 2, dev));
    }
    CHECK(use(&t));
    for (int i = 0; i < 4; i++)
        CHECK(tp_nn_each(tp_nn_params((tp_module *[]){ t.g, t.d, t.vae, t.q }[i], "*"), false, drop, NULL) > 0);
    tp_thread_end(), t.live = tp__live();
    at_every_allocation(use, after, &t);
    tp_free(t.x), tp_free(t.y);
    tp_nn_free(t.g), tp_nn_free(t.d), tp_nn_free(t.vae), tp_nn_free(t.q);
}
