/*
 * test_scaler.c - the scale of a loss against torch.amp.GradScaler: steps that don't happen, the
 * scale's growth, clipping in between, saving, every rule.
 */
#include "tests/files.h"

#ifndef TP_GOLDEN
#define TP_GOLDEN "tests/golden"
#endif

enum { STEPS = 12 };

static tp_module *five(tp_dtype d, tp_device *dev)
{
    tp_module *m = tp_nn_container("five");
    TP_NO_GRAD;
    TP_SCOPE;

    tp_nn_param(m, "p", TP_SHAPE(5), (tp_init){ 0 });
    CHECK(tp_nn_cast(m, d) && tp_nn_init(m, dev));
    CHECK(tp_copy_(tp_nn_tensor(m, "p"), tp_from((double[]){ -1, -.5, 0, .5, 1 }, TP_SHAPE(5), TP_F64, dev)));
    return m;
}

static tp_scaler *eager(tp_device *dev) /* as in the file */
{
    return tp_scaler_new(dev, (tp_scaler_opts){ 8, 4, .25, 2, true });
}

static tp_optim *optimizer(tp_module *m, bool adam)
{
    tp_sgd_opts o = tp_sgd(.1);

    o.momentum = .9, o.weight_decay = .01;
    return adam ? tp_optim_adamw(tp_nn_params(m, "*"), tp_adamw(.1)) : tp_optim_sgd(tp_nn_params(m, "*"), o);
}

static bool backward(tp_scaler *s, tp_module *m, tp_optim *o, tp_tensor *g)
{
    tp_tensor *p = tp_nn_tensor(m, "p");

    return tp_optim_zero_grad(o) && tp_backward(tp_scaler_scale(s, tp_sum(tp_mul(p, tp_cast(g, tp_dtype_of(p))), TP_ALL)));
}

static tp_tensor *get(const tp_file *f, const char *rule, const char *what, tp_device *dev)
{
    char full[64];

    snprintf(full, sizeof full, "scaler.%s.%s", rule, what);
    return tp_file_read(f, tp_file_find(f, full), dev);
}

static void follow(const tp_file *f, bool adam, bool unscale, tp_device *dev)
{
    TP_SCOPE;
    const char *rule = adam ? "adamw" : "sgd";
    tp_module *m = five(TP_F64, dev);
    tp_optim *o = optimizer(m, adam);
    tp_scaler *s = eager(dev);
    tp_tensor *grad = get(f, rule, "grad", dev), *after = get(f, rule, "after", dev), *scale = get(f, rule, "scale", dev);

    for (int i = 0; i < STEPS; i++) {
        CASE("%s%s on %s, step %d", rule, unscale ? ", unscaled before" : "", tp_device_name(dev), i);
        CHECK(backward(s, m, o, tp_flatten(tp_slice(grad, 0, i, i + 1), 0)));
        CHECK(!unscale || tp_scaler_unscale(s, o));
        if (unscale && i == 0) CHECK_NEAR(check_at(tp_grad(tp_nn_tensor(m, "p")), 1), check_at(grad, 1), 0); /* a power of two */
        CHECK(tp_scaler_step(s, o) && tp_scaler_update(s) && tp_scaler_value(s) == check_at(scale, i));
        for (int e = 0; e < 5; e++)
            CHECK_NEAR(check_at(tp_nn_tensor(m, "p"), e), check_at(after, 5 * i + e), 1e-8);
        CHECK(tp_optim_steps(o) == i + 1 - (i >= 3) - (i >= 4) - (i >= 8)); /* those that happened */
    }
    tp_scaler_free(s), tp_optim_free(o), tp_nn_free(m);
}

ON_EACH_DEVICE(scaler, as_in_pytorch)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/schedules.safetensors");

    for (int i = 0; i < 4; i++)
        follow(f, i & 1, i & 2, dev);
    tp_file_close(f);
}

/* ---- every rule divides by the scale, and stands still when told ---- */

static tp_optim *made(int rule, tp_params p)
{
    tp_adam_opts amsgrad = tp_adam(.1);

    amsgrad.amsgrad = true;
    switch (rule) {
    case 0: return tp_optim_sgd(p, tp_sgd(.1));
    case 1: return tp_optim_adam(p, amsgrad);
    case 2: return tp_optim_rmsprop(p, tp_rmsprop(.1));
    case 3: return tp_optim_adagrad(p, tp_adagrad(.1));
    case 4: return tp_optim_adadelta(p, tp_adadelta(1));
    case 5: return tp_optim_adamax(p, tp_adamax(.1));
    case 6: return tp_optim_nadam(p, tp_nadam(.1));
    case 7: return tp_optim_radam(p, tp_radam(.1));
    case 8: return tp_optim_lion(p, tp_lion(.1));
    default: return tp_optim_muon(p, tp_muon(.1));
    }
}

static tp_module *matrix(tp_device *dev)
{
    tp_module *m = tp_nn_container("matrix");

    tp_nn_param(m, "p", TP_SHAPE(2, 3), tp_init_constant(1));
    return tp_nn_init(m, dev);
}

static bool still(void *user, const char *name, tp_tensor **t)
{
    double *sum = user;
    TP_SCOPE;

    if (!strstr(name, "lr")) *sum += tp_item(tp_sum(tp_cast(*t, TP_F64), TP_ALL));
    return true;
}

ON_EACH_DEVICE(scaler, every_rule)
{
    for (int r = 0; r < 10; r++) {
        TP_SCOPE;
        tp_module *a = matrix(dev), *b = matrix(dev);
        tp_optim *oa = made(r, tp_nn_params(a, "*")), *ob = made(r, tp_nn_params(b, "*"));
        tp_scaler *s = eager(dev);
        tp_tensor *g = tp_from((float[]){ 1, -2, .5f, .25f, 4, -1 }, TP_SHAPE(2, 3), TP_F32, dev);
        tp_tensor *bad = tp_from((float[]){ 1, -2, NAN, .25f, 4, -1 }, TP_SHAPE(2, 3), TP_F32, dev);
        double before = 0, after = 0;

        CASE("rule %d on %s", r, tp_device_name(dev));
        CHECK(backward(s, a, oa, g) && tp_backward(tp_sum(tp_mul(tp_nn_tensor(b, "p"), g), TP_ALL)));
        CHECK(tp_optim_step(ob) && tp_scaler_step(s, oa) && tp_scaler_update(s));
        for (int e = 0; e < 6; e++) /* a power of two divides exactly */
            CHECK(check_at(tp_nn_tensor(a, "p"), e) == check_at(tp_nn_tensor(b, "p"), e));
        CHECK(tp_optim_each(oa, still, &before) > 0 && backward(s, a, oa, bad) && tp_scaler_step(s, oa) && tp_scaler_update(s));
        CHECK(tp_optim_each(oa, still, &after) > 0 && before == after && tp_scaler_value(s) == 2);
        for (int e = 0; e < 6; e++)
            CHECK(check_at(tp_nn_tensor(a, "p"), e) == check_at(tp_nn_tensor(b, "p"), e));
        tp_scaler_free(s), tp_optim_free(oa), tp_optim_free(ob), tp_nn_free(a), tp_nn_free(b);
    }
}

/* ---- two optimizers: each skips for itself, the scale falls for both ---- */

ON_EACH_DEVICE(scaler, two_optimizers_and_bf16)
{
    TP_SCOPE;
    tp_module *a = five(TP_F32, dev), *b = five(TP_BF16, dev);
    tp_optim *oa = tp_optim_sgd(tp_nn_params(a, "*"), tp_sgd(1)), *ob = tp_optim_sgd(tp_nn_params(b, "*"), tp_sgd(1));
    tp_scaler *s = eager(dev);
    tp_tensor *ones = tp_ones(TP_SHAPE(5), TP_F32, dev), *bad = tp_full(TP_SHAPE(5), INFINITY, TP_F32, dev);

    CHECK(backward(s, a, oa, ones) && backward(s, b, ob, bad));
    CHECK(tp_scaler_unscale(s, oa) && tp_item(tp_optim_clip_norm(oa, 1)) == sqrt(5));
    CHECK(tp_scaler_step(s, oa) && tp_scaler_step(s, ob) && tp_scaler_update(s) && tp_scaler_value(s) == 2);
    CHECK_NEAR(check_at(tp_nn_tensor(a, "p"), 4), 1 - 1 / sqrt(5), 1e-6);
    CHECK(check_at(tp_nn_tensor(b, "p"), 4) == 1 && tp_optim_steps(oa) == 1 && tp_optim_steps(ob) == 0);
    CHECK(backward(s, b, ob, ones) && tp_scaler_step(s, ob) && tp_scaler_update(s) && tp_scaler_value(s) == 2);
    CHECK(check_at(tp_nn_tensor(b, "p"), 4) == 0); /* what was found before is forgotten */
    tp_optim_free(oa), tp_nn_free(a), tp_nn_free(b), tp_scaler_free(s), tp_optim_free(ob);
}

/* ---- saved, and refused ---- */

ON_EACH_DEVICE(scaler, saved)
{
    TP_SCOPE;
    tp_module *m = five(TP_F32, dev);
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
    tp_scaler *s[2] = { eager(dev), tp_scaler_new(dev, tp_scaler_options()) };
    tp_state *state[2] = { tp_state_new(), tp_state_new() };
    tp_tensor *ones = tp_ones(TP_SHAPE(5), TP_F32, dev);

    make_test_folder();
    CHECK(tp_scaler_value(s[1]) == 65536);
    for (int i = 0; i < 2; i++)
        CHECK(tp_state_scaler(state[i], "scaler", s[i]));
    CHECK(backward(s[0], m, o, ones) && tp_scaler_step(s[0], o) && tp_scaler_update(s[0]));
    CHECK(tp_state_save(state[0], in_folder("state")) && tp_state_load(state[1], in_folder("state")) && tp_scaler_value(s[1]) == 8);
    CHECK(backward(s[0], m, o, ones) && tp_scaler_step(s[0], o) && tp_scaler_update(s[0]) && tp_scaler_value(s[0]) == 32);
    CHECK(tp_state_load(state[0], in_folder("state")) && tp_scaler_value(s[0]) == 8); /* one good step behind it */
    CHECK(backward(s[0], m, o, ones) && tp_scaler_step(s[0], o) && tp_scaler_update(s[0]) && tp_scaler_value(s[0]) == 32);
    for (int i = 0; i < 2; i++)
        tp_state_free(state[i]), tp_scaler_free(s[i]);
    tp_optim_free(o), tp_nn_free(m), remove_test_folder();
}

ON_EACH_DEVICE(scaler, refusals)
{
    TP_SCOPE;
    tp_module *m = five(TP_F32, dev);
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1)), *many[16];
    tp_scaler *s = eager(dev);
    tp_tensor *ones = tp_ones(TP_SHAPE(5), TP_F32, dev);

    CHECK_REFUSED(tp_scaler_new(NULL, tp_scaler_options()), TP_ERR_ARG, "missing device");
    CHECK_REFUSED(tp_scaler_new(dev, (tp_scaler_opts){ 0 }), TP_ERR_ARG, "start from tp_scaler_options()");
    CHECK_REFUSED(tp_scaler_new(dev, ((tp_scaler_opts){ 0, 2, .5, 2, true })), TP_ERR_ARG, "init_scale 0: a positive number");
    CHECK_REFUSED(tp_scaler_new(dev, ((tp_scaler_opts){ 1, 1, .5, 2, true })), TP_ERR_ARG, "growth_factor 1: more than 1");
    CHECK_REFUSED(tp_scaler_new(dev, ((tp_scaler_opts){ 1, 2, 1, 2, true })), TP_ERR_ARG, "backoff_factor 1: between 0 and 1");
    CHECK_REFUSED(tp_scaler_new(dev, ((tp_scaler_opts){ 1, 2, .5, 0, true })), TP_ERR_ARG, "growth_interval 0");
    CHECK_REFUSED(tp_scaler_scale(NULL, ones), TP_ERR_ARG, "missing scaler");
    CHECK_REFUSED(tp_scaler_scale(s, tp_from((int64_t[]){ 1 }, TP_SHAPE(1), TP_I64, dev)), TP_ERR_DTYPE, "the loss is i64 (1)");
    CHECK_REFUSED(tp_scaler_update(s), TP_ERR_ARG, "no optimizer has been stepped with this scaler");
    CHECK_REFUSED(tp_scaler_step(s, o), TP_ERR_ARG, "no gradient has arrived: call tp_backward first");
    CHECK_REFUSED(tp_scaler_step(s, NULL), TP_ERR_ARG, "missing optimizer");
    CHECK(backward(s, m, o, ones) && tp_scaler_unscale(s, o));
    CHECK_REFUSED(tp_scaler_unscale(s, o), TP_ERR_ARG, "unscaled already: call tp_scaler_update first");
    CHECK(tp_scaler_step(s, o));
    CHECK_REFUSED(tp_scaler_step(s, o), TP_ERR_ARG, "it has stepped already");
    CHECK_REFUSED(tp_scaler_unscale(s, o), TP_ERR_ARG, "after tp_scaler_step");
    CHECK(tp_scaler_update(s));
    CHECK_REFUSED(tp_scaler_each(s, NULL, NULL) >= 0, TP_ERR_ARG, "missing function");
    for (int i = 0; i < 16; i++) {
        many[i] = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
        if (i < 15) CHECK(tp_scaler_step(s, many[i]));
        else CHECK_REFUSED(tp_scaler_step(s, many[i]), TP_ERR_ARG, "a scaler serves at most 16 optimizers");
    }
    for (int i = 0; i < 16; i++)
        tp_optim_free(many[i]);
    tp_scaler_free(s), tp_scaler_free(NULL), tp_optim_free(o), tp_nn_free(m);
}
