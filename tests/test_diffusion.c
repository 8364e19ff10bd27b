/*
 * test_diffusion.c - diffusion: noise and its schedules, what is learned, and the way from noise to
 * pictures, against PyTorch (tests/golden/family_diffusion.py tells the names) and against identities.
 * The loss and its training against PyTorch are in test_model_golden.c.
 */
#include "tests/files.h"
#include "tests/golden.h"
#include "tests/oom.h"

static tp_tensor *need(const tp_file *f, const char *a, const char *b, tp_device *dev)
{
    tp_tensor *t = get(f, a, b, -1, dev);

    cr_assert(t, "no %s.%s", a, b);
    return t;
}

/* Within golden.h's rule for f64, or, of whole trajectories, 1e-8 relative. */
static void near(const char *what, tp_tensor *got, tp_tensor *want, double share)
{
    double *x, *y, norm = 0, error = 0;
    tp_shape a = tp_shape_of(got), b = tp_shape_of(want);

    cr_assert(got && tp__same(&a, &b), "%s: %s is %s, not %s  [%s]", check_name, what, tp__text(got), tp__text(want), tp_error());
    x = values(got), y = values(want);
    for (int64_t i = 0; i < tp_count(want); i++)
        norm += y[i] * y[i], error += (x[i] - y[i]) * (x[i] - y[i]);
    cr_expect(sqrt(error) <= share * sqrt(norm), "%s: %s is off by %.3g of %.3g", check_name, what, sqrt(error), sqrt(norm));
    free(x), free(y);
}

static double rule(int64_t length)
{
    return tolerance_factor * 0x1p-52 * sqrt((double)length);
}

static tp_diffusion_opts small(tp_noise_schedule schedule, tp_noise_target target, int64_t steps)
{
    return (tp_diffusion_opts){ .unet = { .base = 8, .levels = 1, .mults = { 2 }, .blocks = 1, .attention = 1, .classes = 3 },
                                .size = 4, .steps = steps, .schedule = schedule, .target = target };
}

static tp_diffusion_opts worded(tp_noise_schedule schedule, tp_noise_target target, int64_t steps)
{
    return (tp_diffusion_opts){ .unet = { .channels = 2, .base = 8, .levels = 2, .mults = { 2, 2 }, .blocks = 1, .attention = 2 },
                                .text = { .vocabulary = 5, .context = 4, .width = 8, .layers = 2, .heads = 2 },
                                .size = 4, .steps = steps, .schedule = schedule, .target = target };
}

static tp_module *drawn(tp_diffusion_opts o, tp_device *dev)
{
    tp_seed(1);
    return tp_nn_init(tp_model_diffusion(o), dev);
}

/* ---- against PyTorch ---- */

ON_EACH_DEVICE(diffusion, schedules)
{
    tp_file *f = open_golden("diffusion");
    static const int64_t steps[] = { 1, 7, 50, 1000 };

    for (tp_noise_schedule s = 0; s <= TP_NOISE_COSINE; s++)
        for (int i = 0; i < TP_LEN(steps); i++) {
            TP_SCOPE;
            tp_module *m = tp_model_diffusion(small(s, TP_TARGET_V, steps[i]));
            char name[64];

            snprintf(name, sizeof name, "%s.%lld", s ? "cosine" : "linear", (long long)steps[i]);
            CASE("%s", name);
            near("alphas", tp_model_diffusion_alphas(m, dev), need(f, "alphas", name, dev), rule(steps[i]));
            tp_nn_free(m);
        }
    tp_file_close(f);
}

ON_EACH_DEVICE(diffusion, noised_and_targets)
{
    tp_file *f = open_golden("diffusion");
    TP_SCOPE;
    tp_tensor *x = need(f, "noised", "x", dev), *t = need(f, "noised", "t", dev), *noise = need(f, "noised", "noise", dev);
    tp_module *v = tp_model_diffusion(small(TP_NOISE_COSINE, TP_TARGET_V, 1000)),
              *e = tp_model_diffusion(small(TP_NOISE_COSINE, TP_TARGET_EPSILON, 1000));

    for (dress how = DENSE; how < DRESSES; how++) {
        CASE("%s", dress_name[how]);
        near("noised", tp_model_diffusion_noised(v, dressed(x, how), dressed(t, how), dressed(noise, how)),
             need(f, "noised", "out", dev), rule(1000));
        near("v", tp_model_diffusion_target(v, dressed(x, how), dressed(t, how), dressed(noise, how)), need(f, "noised", "v", dev),
             rule(1000));
        near("epsilon", tp_model_diffusion_target(e, dressed(x, how), t, dressed(noise, how)), noise, 0);
    }
    CASE("f32");
    near("noised", tp_cast(tp_model_diffusion_noised(v, tp_cast(x, TP_F32), t, tp_cast(noise, TP_F32)), TP_F64),
         need(f, "noised", "out", dev), tolerance_factor * 0x1p-23);
    tp_nn_free(v), tp_nn_free(e);
    tp_file_close(f);
}

typedef struct path {
    const char *name, *weights;
    tp_diffusion_opts (*make)(tp_noise_schedule s, tp_noise_target t, int64_t steps);
    tp_noise_schedule schedule;
    tp_noise_target target;
    tp_denoise_opts o;
} path;

static void follow(const tp_file *f, const path *p, int64_t batch, tp_device *dev)
{
    TP_SCOPE;
    tp_module *m = drawn(p->make(p->schedule, p->target, 40), dev);
    tp_tensor *condition = need(f, p->name, "condition", dev);
    tp_denoise_opts o = p->o;
    char file[512], prefix[32];
    tp_load_report r;

    CASE("%s, %lld at a time", p->name, (long long)batch);
    snprintf(file, sizeof file, "%s/diffusion.safetensors", TP_GOLDEN), snprintf(prefix, sizeof prefix, "%s.init.", p->weights);
    CHECK(tp_nn_cast(m, TP_F64) &&
          tp_nn_load(m, file, (tp_load_opts){ .strip_prefix = prefix, .partial = true, .report = &r }) && !r.missing && !r.misshaped);
    o.noise = need(f, p->name, "noise", dev), o.batch = batch;
    near("what comes of it", tp_model_diffusion_sample(m, tp_dim(condition, 0), condition, o), need(f, p->name, "out", dev), 1e-8);
    tp_nn_free(m);
}

ON_EACH_DEVICE(diffusion, from_noise_to_pictures)
{
    tp_file *f = open_golden("diffusion");
    static const path paths[] = {
        { "ddim", "labels", small, TP_NOISE_LINEAR, TP_TARGET_EPSILON, { .steps = 6, .guidance = 1, .filled = true } },
        { "guided", "labels", small, TP_NOISE_COSINE, TP_TARGET_V, { .steps = 7, .guidance = 2.5, .filled = true } },
        { "noisy", "texts", worded, TP_NOISE_COSINE, TP_TARGET_V,
          { .steps = 6, .eta = 1, .guidance = 3, .unclipped = true, .filled = true } },
        { "ancestral", "labels", small, TP_NOISE_LINEAR, TP_TARGET_EPSILON, { .eta = 1, .guidance = 1.5, .filled = true } },
    };

    for (int i = 0; i < TP_LEN(paths); i++)
        follow(f, &paths[i], 0, dev), follow(f, &paths[i], 1, dev), follow(f, &paths[i], 2, dev);
    tp_file_close(f);
}

/* ---- identities ---- */

static tp_tensor *times(int64_t steps, int64_t n, tp_device *dev)
{
    return tp_cast(check_numbers(TP_SHAPE(n), TP_F64, 0, (double)steps, dev), TP_I64);
}

static tp_tensor *coefficient(tp_module *m, tp_tensor *t, bool of_noise)
{
    tp_tensor *a = tp_index_select(tp_model_diffusion_alphas(m, tp_device_of(t)), 0, t);

    return tp_sqrt(tp_reshape(of_noise ? tp_affine(a, -1, 1) : a, TP_SHAPE(-1, 1, 1, 1)));
}

/* Who knows the target knows the picture: by epsilon (x_t - q e) / p, by v p x_t - q v. */
ON_EACH_DEVICE(diffusion, targets_give_the_picture)
{
    for (tp_noise_schedule s = 0; s <= TP_NOISE_COSINE; s++) {
        TP_SCOPE;
        tp_module *m = tp_model_diffusion(small(s, TP_TARGET_V, 100));
        tp_tensor *x = check_numbers(TP_SHAPE(16, 1, 4, 4), TP_F64, -1, 1, dev), *t = times(90, 16, dev);
        tp_tensor *e = check_numbers(TP_SHAPE(16, 1, 4, 4), TP_F64, -2, 2, dev), *p = coefficient(m, t, false), *q = coefficient(m, t, true);
        tp_tensor *xt = tp_model_diffusion_noised(m, x, t, e), *v = tp_model_diffusion_target(m, x, t, e);

        CASE("%s", s ? "cosine" : "linear");
        near("x by v", tp_sub(tp_mul(p, xt), tp_mul(q, v)), x, rule(16));
        near("x by epsilon", tp_div(tp_sub(xt, tp_mul(q, e)), p), x, 100 * rule(16)); /* p is at least 0.01 here */
        near("epsilon by v", tp_add(tp_mul(q, xt), tp_mul(p, v)), e, rule(16));
        tp_nn_free(m);
    }
}

/* A model whose last layer is 0 says v = 0, so that x0 = sqrt(a) x: each step of eta 0 then turns x by the
 * difference of two angles, and multiplies it by its cosine. */
static bool silence(void *user, const char *name, tp_tensor **t)
{
    (void)user, (void)name;
    TP_NO_GRAD;
    return tp_fill_(*t, 0);
}

ON_EACH_DEVICE(diffusion, a_model_that_says_nothing)
{
    TP_SCOPE;
    tp_module *m = drawn(small(TP_NOISE_COSINE, TP_TARGET_V, 10), dev);
    tp_denoise_opts o = tp_denoise_defaults();
    tp_tensor *y, *labels = tp_zeros(TP_SHAPE(3), TP_I64, dev);
    double turn = 1, a[10];

    CHECK(tp_nn_cast(m, TP_F64) && tp_nn_each(tp_nn_params(m, "unet.conv_out.*"), false, silence, NULL) == 2);
    CHECK(tp_read(tp_model_diffusion_alphas(m, dev), a, sizeof a));
    o.steps = 10, o.unclipped = true;
    o.noise = check_numbers(TP_SHAPE(11, 3, 1, 4, 4), TP_F64, -1, 1, dev);
    for (int t = 9; t >= 0; t--) {
        double b = t ? a[t - 1] : 1;

        turn *= sqrt(a[t] * b) + sqrt((1 - a[t]) * (1 - b));
    }
    y = tp_model_diffusion_sample(m, 3, labels, o);
    near("the start, turned", y, tp_scale(tp_squeeze(tp_slice(o.noise, 0, 0, 1), TP_AXES(0)), turn), 100 * rule(10));
    tp_nn_free(m);
}

static tp_tensor *sampled(tp_module *m, int64_t n, tp_tensor *c, tp_denoise_opts o)
{
    tp_seed(7);
    return tp_model_diffusion_sample(m, n, c, o);
}

static bool same(tp_tensor *a, tp_tensor *b)
{
    return a && b && tp_count(a) == tp_count(b) && tp_item(tp_amax(tp_abs(tp_sub(a, b)), TP_ALL)) == 0;
}

/* Guidance 1 is the condition alone, guidance 0 nobody's; a label that stands for none is nobody's too. */
ON_EACH_DEVICE(diffusion, guidance)
{
    for (int texts = 0; texts < 2; texts++) {
        TP_SCOPE;
        tp_module *m = drawn((texts ? worded : small)(TP_NOISE_COSINE, TP_TARGET_V, 20), dev);
        int64_t word[] = { 1, 2, 5, 5, 4, 5, 5, 5 }, label[] = { 2, 0 };
        tp_tensor *c = texts ? tp_from(word, TP_SHAPE(2, 4), TP_I64, dev) : tp_from(label, TP_SHAPE(2), TP_I64, dev);
        tp_tensor *none = texts ? tp_full(TP_SHAPE(2, 3), 5, TP_I64, dev) : tp_full(TP_SHAPE(2), 3, TP_I64, dev), *alone, *nobody;
        tp_denoise_opts o = tp_denoise_defaults();

        CASE(texts ? "by texts" : "by labels");
        o.steps = 4;
        alone = sampled(m, 2, c, o), o.guidance = 0, nobody = sampled(m, 2, c, o);
        CHECK(!same(alone, nobody) && same(sampled(m, 2, NULL, o), nobody));
        o.guidance = 1;
        CHECK(same(sampled(m, 2, none, o), nobody));
        o.guidance = 3;
        CHECK(!same(sampled(m, 2, c, o), alone));
        tp_nn_free(m);
    }
}

/* ---- the loss ---- */

ON_EACH_DEVICE(diffusion, loss)
{
    for (int texts = 0; texts < 2; texts++) {
        TP_SCOPE;
        tp_module *m = drawn((texts ? worded : small)(TP_NOISE_LINEAR, TP_TARGET_EPSILON, 20), dev);
        int64_t word[] = { 1, 2, 5, 5, 4, 5, 5, 5, 0, 0, 0, 0 }, label[] = { 2, 0, 1 };
        tp_tensor *c = texts ? tp_from(word, TP_SHAPE(3, 4), TP_I64, dev) : tp_from(label, TP_SHAPE(3), TP_I64, dev);
        tp_tensor *x = check_numbers(TP_SHAPE(3, texts ? 2 : 1, 4, 4), TP_F32, -1, 1, dev), *t, *noise, *a, *b, *y = NULL;
        tp_tensor *none = texts ? tp_full(TP_SHAPE(3, 4), 5, TP_I64, dev) : tp_full(TP_SHAPE(3), 3, TP_I64, dev);

        CASE(texts ? "by texts" : "by labels");
        tp_seed(3), a = tp_model_diffusion_loss(m, x, c, 0);
        tp_seed(3), t = tp_randint(0, 20, TP_SHAPE(3), dev), noise = tp_randn_like(x);
        tp_nn_apply(m, TP_LIST(tp_model_diffusion_noised(m, x, t, noise), t, c), &y, 1);
        CHECK(same(a, tp_mse(y, tp_model_diffusion_target(m, x, t, noise))) && tp_rank(a) == 0);
        tp_seed(3), b = tp_model_diffusion_loss(m, x, c, 1); /* all left out */
        tp_seed(3), a = tp_model_diffusion_loss(m, x, none, 0);
        CHECK(same(a, b));
        CHECK(tp_backward(tp_model_diffusion_loss(m, x, tp_cast(c, TP_U8), 0.5)));
        tp_nn_free(m);
    }
}

ON_EACH_DEVICE(diffusion, without_a_condition)
{
    TP_SCOPE;
    tp_diffusion_opts o = small(TP_NOISE_COSINE, TP_TARGET_V, 8);
    tp_module *m;
    tp_tensor *x = check_numbers(TP_SHAPE(2, 1, 4, 4), TP_F32, -1, 1, dev), *y;
    tp_denoise_opts d = tp_denoise_defaults();

    o.unet.classes = 0, m = drawn(o, dev), d.steps = 3;
    CHECK(tp_backward(tp_model_diffusion_loss(m, x, NULL, 0.2)));
    y = tp_model_diffusion_sample(m, 2, NULL, d);
    CHECK(y && tp_dim(y, 0) == 2 && tp_dim(y, 3) == 4 && !tp_needs_grad(y));
    CHECK(tp_count(tp_model_diffusion_sample(m, 0, NULL, d)) == 0 && tp_ok());
    d.guidance = 2;
    CHECK_REFUSED(tp_model_diffusion_sample(m, 2, NULL, d), TP_ERR_ARG, "guidance 2, and the model is not conditional");
    d.guidance = 1;
    CHECK_REFUSED(tp_model_diffusion_sample(m, 2, tp_zeros(TP_SHAPE(2), TP_I64, dev), d), TP_ERR_ARG, "unet: it takes 2 inputs, not 3");
    CHECK_REFUSED(tp_model_diffusion_loss(m, x, tp_zeros(TP_SHAPE(2), TP_I64, dev), 0), TP_ERR_ARG, "unet: it takes 2 inputs, not 3");
    tp_nn_free(m);
}

/* ---- finite differences ---- */

static tp_tensor *noised_and_target(tp_list in, void *m)
{
    tp_tensor *t = tp_from((int64_t[]){ 3, 15 }, TP_SHAPE(2), TP_I64, tp_device_of(in.t[0]));

    return tp_mul(tp_model_diffusion_noised(m, in.t[0], t, in.t[1]), tp_model_diffusion_target(m, in.t[0], t, in.t[1]));
}

static tp_tensor *whole_loss(tp_list in, void *m)
{
    tp_seed(5); /* the same times and noise in each call */
    return tp_model_diffusion_loss(m, in.t[0], tp_zeros(TP_SHAPE(2), TP_I64, tp_device_of(in.t[0])), 0.5);
}

ON_EACH_DEVICE(diffusion, finite_differences)
{
    TP_SCOPE;
    tp_module *m = drawn(small(TP_NOISE_COSINE, TP_TARGET_V, 20), dev);
    tp_tensor *x = check_leaf(TP_SHAPE(2, 1, 4, 4), -1, 1, dev), *noise = check_leaf(TP_SHAPE(2, 1, 4, 4), -2, 2, dev);
    tp_gradcheck_report r;

    CHECK(tp_nn_cast(m, TP_F64));
    CASE("noised and target");
    CHECK(tp_gradcheck(noised_and_target, TP_LIST(x, noise), m, &r) && tp_gradgradcheck(noised_and_target, TP_LIST(x, noise), m, &r));
    CASE("the loss");
    CHECK(tp_gradcheck(whole_loss, TP_LIST(x), m, &r));
    tp_nn_free(m);
}

/* NaN in a picture is NaN in its loss, and no error; pictures may lie in memory as they like. */
ON_EACH_DEVICE(diffusion, strange_pictures)
{
    TP_SCOPE;
    tp_module *m = drawn(small(TP_NOISE_COSINE, TP_TARGET_V, 20), dev);
    tp_tensor *c = tp_zeros(TP_SHAPE(2), TP_I64, dev), *x = check_numbers(TP_SHAPE(2, 1, 4, 4), TP_F32, -1, 1, dev), *a, *b;

    CHECK(isnan(tp_item(tp_model_diffusion_loss(m, tp_full(TP_SHAPE(2, 1, 4, 4), NAN, TP_F32, dev), c, 0))));
    tp_seed(2), a = tp_model_diffusion_loss(m, x, c, 0);
    tp_seed(2), b = tp_model_diffusion_loss(m, dressed(x, STRIDED), dressed(c, STRIDED), 0);
    near("a strided loss", tp_cast(b, TP_F64), tp_cast(a, TP_F64), tolerance_factor * 0x1p-23 * 4);
    CHECK(isnan(tp_item(tp_model_diffusion_loss(m, tp_slice(x, 0, 0, 0), tp_slice(c, 0, 0, 0), 0)))); /* of nothing, as PyTorch's */
    {
        TP_NO_GRAD;
        CHECK(!tp_needs_grad(tp_model_diffusion_loss(m, x, c, 0.5)));
    }
    CHECK(tp_nn_init(m, dev) == m && tp_nn_train(m, "*", false) > 0); /* once more; in evaluation */
    tp_seed(2), b = tp_model_diffusion_loss(m, x, c, 0);
    CHECK(same(a, b));
    tp_nn_free(m);
}

/* ---- progress ---- */

typedef struct seen {
    int64_t calls, of, stop;
    bool worse;
} seen;

static bool look(int64_t step, int64_t of, tp_tensor *x, tp_tensor *x0, void *user)
{
    seen *s = user;

    s->worse |= step != ++s->calls || !x || !x0 || tp_dim(x, 0) != tp_dim(x0, 0), s->of = of;
    return step != s->stop;
}

ON_EACH_DEVICE(diffusion, progress_and_modes)
{
    TP_SCOPE;
    tp_module *m = drawn(small(TP_NOISE_COSINE, TP_TARGET_V, 20), dev);
    tp_tensor *c = tp_zeros(TP_SHAPE(5), TP_I64, dev), *y;
    tp_denoise_opts o = tp_denoise_defaults();
    seen s = { 0 };

    o.steps = 4, o.batch = 2, o.progress = look, o.user = &s;
    y = tp_model_diffusion_sample(m, 5, c, o);
    CHECK(tp_dim(y, 0) == 5 && s.calls == 12 && s.of == 12 && !s.worse && tp_nn_training(m) && tp_grad_enabled());
    s = (seen){ .stop = 6 };
    y = tp_model_diffusion_sample(m, 5, c, o); /* ended in the second batch */
    CHECK(tp_dim(y, 0) == 4 && s.calls == 6 && tp_ok());
    CHECK(tp_item(tp_amax(tp_abs(y), TP_ALL)) <= 1);
    tp_nn_free(m);
}

/* ---- files ---- */

ON_EACH_DEVICE(diffusion, files)
{
    make_test_folder();
    for (int texts = 0; texts < 2; texts++) {
        TP_SCOPE;
        tp_diffusion_opts o = (texts ? worded : small)(TP_NOISE_COSINE, TP_TARGET_V, 20);
        tp_module *m = drawn(o, dev), *n = NULL;
        const tp_diffusion_opts *got = NULL;
        tp_tensor *c = texts ? tp_full(TP_SHAPE(2, 2), 1, TP_I64, dev) : tp_zeros(TP_SHAPE(2), TP_I64, dev);
        tp_denoise_opts d = tp_denoise_defaults();

        CASE(texts ? "by texts" : "by labels");
        d.steps = 3, d.eta = 0.5, d.guidance = 2;
        CHECK(tp_model_save(m, in_folder("d")) && (n = tp_model_load(in_folder("d"), "diffusion", dev)) && (got = tp_nn_opts(n)));
        CHECK(!memcmp(got, tp_nn_opts(m), sizeof *got) && got->steps == 20 && got->size == 4 && got->schedule == TP_NOISE_COSINE &&
              got->target == TP_TARGET_V && got->unet.mults[0] == o.unet.mults[0] && got->text.context == o.text.context);
        CHECK(same(sampled(m, 2, c, d), sampled(n, 2, c, d)));
        tp_nn_free(m), tp_nn_free(n);
    }
    {
        tp_module *t = tp_nn_init(tp_model_text_encoder((tp_text_encoder_opts){ 3, 4, 8, 1, 2, 0.5 }), dev), *u = NULL;

        CASE("a text encoder");
        CHECK(tp_model_save(t, in_folder("t")) && (u = tp_model_load(in_folder("t"), NULL, dev)) &&
              !memcmp(tp_nn_opts(t), tp_nn_opts(u), sizeof(tp_text_encoder_opts)));
        CHECK_REFUSED(tp_model_load(in_folder("t"), "diffusion", dev), TP_ERR_FORMAT, "holds a text encoder, not a diffusion");
        tp_nn_free(t), tp_nn_free(u);
    }
    remove_test_folder();
}

/* ---- texts ---- */

/* Padding, however much, and other texts of the batch change nothing; a text of nothing gives zeros. */
ON_EACH_DEVICE(diffusion, padding)
{
    TP_SCOPE;
    int64_t two[] = { 1, 2 }, more[] = { 1, 2, 5, 5, 5, 5, 5, 5, 4, 4, 4, 4 };
    tp_module *m = tp_nn_init(tp_model_text_encoder((tp_text_encoder_opts){ 5, 4, 8, 2, 2, 0 }), dev);
    tp_tensor *y;

    CHECK(tp_nn_cast(m, TP_F64));
    y = tp_nn_forward(m, tp_from(more, TP_SHAPE(3, 4), TP_I64, dev));
    near("two words", tp_slice(y, 0, 0, 1), tp_nn_forward(m, tp_from(two, TP_SHAPE(1, 2), TP_I64, dev)), rule(64));
    CHECK(tp_item(tp_amax(tp_abs(tp_slice(y, 0, 1, 2)), TP_ALL)) == 0);
    CHECK(tp_dim(tp_nn_forward(m, tp_zeros(TP_SHAPE(0, 4), TP_I64, dev)), 0) == 0);
    CHECK(tp_dim(tp_nn_forward(m, tp_zeros(TP_SHAPE(2, 0), TP_I64, dev)), 1) == 8);
    CHECK_REFUSED(tp_nn_forward(m, tp_zeros(TP_SHAPE(1, 5), TP_I64, dev)), TP_ERR_SHAPE, "5 tokens are more than its context of 4");
    CHECK_REFUSED(tp_nn_forward(m, tp_zeros(TP_SHAPE(3), TP_I64, dev)), TP_ERR_SHAPE, "text encoder: tokens must be (N, T), not (3)");
    CHECK_REFUSED_BY_DATA(dev, tp_nn_forward(m, tp_full(TP_SHAPE(1, 1), 6, TP_I64, dev)), TP_ERR_ARG, "index 6", "index 6");
    tp_nn_free(m);
}

/* ---- out of memory ---- */

typedef struct tight {
    tp_module *m;
    tp_tensor *x, *c;
    long live;
} tight;

static bool sample_some(void *user)
{
    tight *t = user;
    tp_denoise_opts o = tp_denoise_defaults();
    TP_SCOPE;

    o.steps = 2, o.eta = 1, o.guidance = 2, o.batch = 1;
    return tp_model_diffusion_sample(t->m, 2, t->c, o) != NULL;
}

static bool lose_some(void *user)
{
    tight *t = user;
    TP_SCOPE;

    return tp_model_diffusion_loss(t->m, t->x, t->c, 0.5) != NULL;
}

static void nothing_left(void *user, bool done)
{
    (void)done;
    tp_thread_end();
    CHECK(tp__live() == ((tight *)user)->live);
}

ON_EACH_DEVICE(diffusion, out_of_memory)
{
    tight t = { .m = drawn(worded(TP_NOISE_COSINE, TP_TARGET_V, 8), dev) };

    t.x = tp_keep(tp_zeros(TP_SHAPE(2, 2, 4, 4), TP_F32, dev)), t.c = tp_keep(tp_zeros(TP_SHAPE(2, 3), TP_I64, dev));
    CHECK(sample_some(&t) && lose_some(&t));
    tp_thread_end(), t.live = tp__live();
    CASE("sampling on %s", tp_device_name(dev));
    at_every_allocation(sample_some, nothing_left, &t);
    CASE("the loss on %s", tp_device_name(dev));
    at_every_allocation(lose_some, nothing_left, &t);
    tp_free(t.x), tp_free(t.c), tp_nn_free(t.m);
}

/* ---- refusals ---- */

Test(diffusion, options_that_cannot_be)
{
    long before = (tp_thread_end(), tp__live());

    CASE("options");
#define NO(text, ...) CHECK_REFUSED(tp_model_diffusion((tp_diffusion_opts){ __VA_ARGS__ }), TP_ERR_ARG, text)
    NO("tp_model_diffusion: size -1, and 1 to", .size = -1);
    NO("tp_model_diffusion: steps 1000001, and 1 to 1000000", .steps = 1000001);
    NO("tp_model_diffusion: schedule 2, and 0 to 1", .schedule = 2);
    NO("tp_model_diffusion: target 7, and 0 to 1", .target = 7);
    NO("tp_model_diffusion: pictures of size 30 can't be halved 2 times", .size = 30);
    NO("tp_model_unet: base 9", .unet = { .base = 9 });
    NO("tp_model_text_encoder: context 0", .text = { .vocabulary = 3 });
    NO("tp_model_text_encoder: vocabulary -3", .text = { .vocabulary = -3, .context = 2 });
    NO("the U-Net takes texts of width 4, and the text encoder gives 8", .unet = { .context = 4 },
       .text = { .vocabulary = 3, .context = 2, .width = 8 });
    NO("tp_model_unet: 3 classes and a context of 128", .unet = { .classes = 3 }, .text = { .vocabulary = 3, .context = 2 });
    CHECK_REFUSED(tp_model_text_encoder((tp_text_encoder_opts){ 3, 2, 10, 1, 3, 0 }), TP_ERR_ARG, "width 10 can't be split into 3 heads");
    CHECK_REFUSED(tp_model_text_encoder((tp_text_encoder_opts){ 3, 2, 8, 1, 2, 2 }), TP_ERR_ARG, "dropout 2");
    CHECK_REFUSED(tp_model_text_encoder((tp_text_encoder_opts){ 3, 2, 8, -1, 2, 0 }), TP_ERR_ARG, "layers -1");
    CHECK(tp__live() == before);
}

ON_EACH_DEVICE(diffusion, calls_that_cannot_be)
{
    TP_SCOPE;
    tp_module *m = drawn(small(TP_NOISE_COSINE, TP_TARGET_V, 20), dev), *other = tp_nn_relu(), *raw = tp_model_diffusion(small(0, 0, 20));
    tp_tensor *x = tp_zeros(TP_SHAPE(2, 1, 4, 4), TP_F32, dev), *t = tp_zeros(TP_SHAPE(2), TP_I64, dev), *out = NULL;
    tp_tensor *wide = tp_zeros(TP_SHAPE(2, 1, 8, 8), TP_F32, dev), *three = tp_zeros(TP_SHAPE(3), TP_I64, dev);
    tp_denoise_opts o = tp_denoise_defaults();

    CASE("refusals");
    CHECK_REFUSED(tp_model_diffusion_alphas(other, dev), TP_ERR_ARG, "a model of tp_model_diffusion is wanted, not relu");
    CHECK_REFUSED(tp_model_diffusion_loss(NULL, x, t, 0), TP_ERR_ARG, "a model of tp_model_diffusion is wanted, not nothing");
    CHECK_REFUSED(tp_model_diffusion_noised(m, x, t, NULL), TP_ERR_ARG, "input 2 is missing");
    CHECK_REFUSED(tp_model_diffusion_noised(m, wide, t, wide), TP_ERR_SHAPE, "diffusion: x must be (N, channels, size, size), not (2, 1, 8, 8)");
    CHECK_REFUSED(tp_model_diffusion_target(m, x, three, x), TP_ERR_SHAPE, "time must be (N), not (3)");
    CHECK_REFUSED(tp_model_diffusion_target(m, x, t, wide), TP_ERR_SHAPE, "noise must be of the shape of x, not (2, 1, 8, 8)");
    CHECK_REFUSED_BY_DATA(dev, tp_model_diffusion_noised(m, x, tp_full(TP_SHAPE(2), 20, TP_I64, dev), x), TP_ERR_ARG, "index 20", "index 20");
    CHECK_REFUSED(tp_model_diffusion_loss(m, x, t, 1.5), TP_ERR_ARG, "drop 1.5, and 0 to 1");
    CHECK_REFUSED(tp_model_diffusion_loss(m, x, t, NAN), TP_ERR_ARG, "drop nan");
    CHECK_REFUSED(tp_model_diffusion_loss(m, x, NULL, 0), TP_ERR_ARG, "unet: it is conditional, and labels are missing");
    CHECK_REFUSED(tp_model_diffusion_loss(m, x, three, 0), TP_ERR_SHAPE, "labels must be (N), not (3)");
    CHECK_REFUSED(tp_nn_apply(m, TP_LIST(x, t), &out, 1) >= 0, TP_ERR_ARG, "it is conditional, and the condition is missing");
    CHECK_REFUSED(tp_model_diffusion_sample(m, 2, NULL, o), TP_ERR_ARG, "steps 50, and 1 to 20");
    o.steps = 5;
    CHECK_REFUSED(tp_model_diffusion_sample(m, 2, NULL, o), TP_ERR_ARG, "the model is conditional, and the condition is missing");
    CHECK_REFUSED(tp_model_diffusion_sample(m, 2, three, o), TP_ERR_SHAPE, "3 conditions for 2 pictures");
    CHECK_REFUSED_BY_DATA(dev, tp_model_diffusion_sample(m, 2, tp_full(TP_SHAPE(2), 4, TP_I64, dev), o), TP_ERR_ARG, "index 4", "index 4");
    CHECK_REFUSED(tp_model_diffusion_sample(m, -1, t, o), TP_ERR_ARG, "n -1");
    CHECK_REFUSED(tp_model_diffusion_sample(raw, 2, t, o), TP_ERR_ARG, "call tp_nn_init first");
    CHECK_REFUSED(tp_model_diffusion_sample(m, 2, t, (tp_denoise_opts){ .steps = 2 }), TP_ERR_ARG, "start from tp_denoise_defaults()");
    o.eta = 2;
    CHECK_REFUSED(tp_model_diffusion_sample(m, 2, t, o), TP_ERR_ARG, "eta 2");
    o.eta = 0, o.guidance = NAN;
    CHECK_REFUSED(tp_model_diffusion_sample(m, 2, t, o), TP_ERR_ARG, "guidance nan");
    o.guidance = 1, o.batch = -1;
    CHECK_REFUSED(tp_model_diffusion_sample(m, 2, t, o), TP_ERR_ARG, "batch -1");
    o.batch = 0, o.noise = x;
    CHECK_REFUSED(tp_model_diffusion_sample(m, 2, t, o), TP_ERR_SHAPE, "the noise must be (1 + steps, n, channels, size, size)");
    tp_nn_free(m), tp_nn_free(other), tp_nn_free(raw);
}
