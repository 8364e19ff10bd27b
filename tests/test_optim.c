/*
 * test_optim.c - optimizers against PyTorch's trajectories and against their formulas.
 *
 * tests/golden/trajectories.py tells the names in the files.  In f64, ten steps stay within
 * 1e-8 of PyTorch's.  In f32 each loss may be as far from the f64 one as three times PyTorch's
 * own f32 loss is, and one unit in the last place.
 */
#include "tests/check.h"

#ifndef TP_GOLDEN
#define TP_GOLDEN "tests/golden"
#endif

enum { STEPS = 10 };

/* ---- the golden files ---- */

static const char *path_of(const char *stem)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s.safetensors", TP_GOLDEN, stem);
    return path;
}

static tp_tensor *get(const tp_file *f, const char *name, tp_device *dev)
{
    int i = tp_file_find(f, name);

    cr_assert(i >= 0, "no %s", name);
    return tp_file_read(f, i, dev);
}

static tp_tensor *getf(const tp_file *f, const char *prefix, const char *name, int i, tp_device *dev)
{
    char full[128];

    if (i < 0) snprintf(full, sizeof full, "%s.%s", prefix, name);
    else snprintf(full, sizeof full, "%s.%s.%d", prefix, name, i);
    return get(f, full, dev);
}

/* ---- the two models ---- */

typedef struct model {
    tp_module *m;
    bool lstm;
} model;

static tp_module *part(const model *k, const char *name)
{
    return tp_nn_get(k->m, name);
}

static tp_tensor *logits(const model *k, tp_tensor *x)
{
    tp_tensor *h;

    if (k->lstm) {
        h = tp_nn_forward(part(k, "lstm"), tp_nn_forward(part(k, "embed"), x));
        return tp_nn_forward(part(k, "fc"), tp_flatten(tp_slice(h, 1, -1, tp_dim(h, 1)), 1));
    }
    h = tp_relu(tp_nn_forward(part(k, "bn"), tp_nn_forward(part(k, "conv1"), x)));
    h = tp_relu(tp_nn_forward(part(k, "conv2"), tp_max_pool2d(h, 2, (tp_pool2d_opts){ 0 })));
    return tp_nn_forward(part(k, "fc"), tp_flatten(h, 1));
}

static tp_module *new_model(bool lstm)
{
    tp_conv2d_opts padded = { .padding = 1 };
    tp_module *m = tp_nn_container(lstm ? "lstm" : "cnn");

    if (lstm) {
        tp_nn_add(m, "embed", tp_nn_embedding(11, 5));
        tp_nn_add(m, "lstm", tp_nn_lstm(5, 6, (tp_lstm_opts){ .layers = 2, .batch_first = true }));
        tp_nn_add(m, "fc", tp_nn_linear(6, 3));
    } else {
        tp_nn_add(m, "conv1", tp_nn_conv2d(1, 4, 3, padded)), tp_nn_add(m, "bn", tp_nn_batch_norm(4));
        tp_nn_add(m, "conv2", tp_nn_conv2d(4, 6, 3, padded)), tp_nn_add(m, "fc", tp_nn_linear(96, 3));
    }
    return m;
}

static void start(model *k, const char *stem, tp_dtype d, tp_device *dev)
{
    tp_load_report r;

    k->m = new_model(k->lstm);
    CHECK(tp_nn_cast(k->m, d) && tp_nn_init(k->m, dev) &&
          tp_nn_load(k->m, path_of(stem), (tp_load_opts){ .strip_prefix = "init.", .partial = true, .report = &r }));
    CHECK(r.loaded == (k->lstm ? 11 : 10) && r.missing == !k->lstm && r.misshaped == 0); /* num_batches_tracked */
}

static tp_optim *optimizer(const tp_file *f, const model *k, const char *rule, tp_device *dev)
{
    tp_tensor *o = getf(f, rule, "fopts", -1, dev);
    tp_params all = tp_nn_params(k->m, "*");
    tp_adam_opts adam = tp_adamw(check_at(o, 0));
    tp_sgd_opts sgd = tp_sgd(check_at(o, 0));

    if (!strcmp(rule, "adamw")) {
        CHECK(adam.beta1 == check_at(o, 1) && adam.beta2 == check_at(o, 2) && adam.eps == check_at(o, 3) &&
              adam.weight_decay == check_at(o, 4)); /* PyTorch's defaults */
        return tp_optim_adamw(all, adam);
    }
    sgd.momentum = check_at(o, 1), sgd.dampening = check_at(o, 2), sgd.weight_decay = check_at(o, 3);
    sgd.nesterov = check_at(getf(f, rule, "opts", -1, dev), 0);
    return tp_optim_sgd(all, sgd);
}

static void train(const tp_file *f, model *k, tp_optim *o, tp_dtype d, double *loss, tp_device *dev)
{
    tp_tensor *x = get(f, "x", dev), *y = get(f, "y", dev);

    for (int i = 0; i < STEPS; i++) {
        TP_SCOPE;
        tp_tensor *xs = tp_slice(x, 0, i, i + 1), *ys = tp_flatten(tp_slice(y, 0, i, i + 1), 0), *l;
        tp_shape s = tp_shape_of(xs);

        memmove(s.n, s.n + 1, sizeof *s.n * (size_t)--s.rank);
        xs = tp_reshape(xs, s);
        l = tp_cross_entropy(logits(k, k->lstm ? xs : tp_cast(xs, d)), ys);
        CHECK(tp_optim_zero_grad(o) && tp_backward(l) && tp_optim_step(o));
        loss[i] = tp_item(l);
    }
    CHECK(tp_optim_steps(o) == STEPS);
}

typedef struct finals {
    const tp_file *f;
    const char *rule;
    tp_device *dev;
    double worst;
} finals;

static bool compare_final(void *user, const char *name, tp_tensor **t)
{
    finals *k = user;
    char full[128];
    tp_tensor *want;

    TP_SCOPE;
    if (strstr(name, "num_batches_tracked")) return tp_item(*t) == STEPS;
    snprintf(full, sizeof full, "%s.final.%s", k->rule, name);
    want = get(k->f, full, k->dev);
    for (int64_t i = 0; i < tp_count(want); i++)
        k->worst = fmax(k->worst, fabs(check_at(*t, i) - check_at(want, i)));
    return true;
}

static void trajectory(const char *stem, const char *rule, tp_dtype d, tp_device *dev)
{
    model k = { .lstm = !strcmp(stem, "train_lstm") };
    tp_file *f = tp_file_open(path_of(stem));
    double loss[STEPS] = { 0 };
    finals last = { f, rule, dev, 0 };
    tp_optim *o;
    TP_SCOPE;
    tp_tensor *want = getf(f, rule, "loss", -1, dev), *theirs = getf(f, rule, "loss32", -1, dev);

    CASE("%s, %s in %s on %s", stem, rule, tp_dtype_name(d), tp_device_name(dev));
    start(&k, stem, d, dev), o = optimizer(f, &k, rule, dev);
    train(f, &k, o, d, loss, dev);
    for (int i = 0; i < STEPS; i++) {
        double w = check_at(want, i), ulp = ldexp(1, ilogb(w) - 23);

        CASE("%s, %s in %s on %s, step %d", stem, rule, tp_dtype_name(d), tp_device_name(dev), i);
        CHECK_NEAR(loss[i], w, d == TP_F64 ? 1e-8 : 3 * fabs(check_at(theirs, i) - w) + ulp);
    }
    if (d == TP_F64) CHECK(tp_nn_each(tp_nn_params(k.m, "*"), true, compare_final, &last) > 0 && last.worst <= 1e-8);
    tp_optim_free(o), tp_nn_free(k.m), tp_file_close(f);
}

ON_EACH_DEVICE(optim, trajectories)
{
    static const char *const stem[] = { "train_cnn", "train_lstm" }, *const rule[] = { "sgd", "adamw" };
    static const tp_dtype dtype[] = { TP_F64, TP_F32 };

    for (int s = 0; s < 2; s++)
        for (int r = 0; r < 2; r++)
            for (int d = 0; d < 2; d++)
                trajectory(stem[s], rule[r], dtype[d], dev);
}

/* ---- second derivatives ---- */

static tp_tensor *perceptron(tp_tensor *x, tp_tensor **p, int n)
{
    for (int i = 0; i + 2 < n; i += 2)
        x = tp_tanh(tp_linear(x, p[i], p[i + 1]));
    return tp_linear(x, p[n - 2], p[n - 1]);
}

static void params_of(const tp_file *f, const char *name, tp_tensor **p, int n, tp_device *dev)
{
    for (int i = 0; i < n; i++)
        p[i] = tp_requires_grad(getf(f, name, "param", i, dev), true);
}

/* By joint norm: c epsilon sqrt(length) for each of the 16 products one behind the other. */
static void compare_all(const tp_file *f, const char *name, const char *role, tp_tensor **got, int n, tp_device *dev)
{
    double error = 0, norm = 0, length = 0;

    for (int i = 0; i < n; i++) {
        tp_tensor *want = getf(f, name, role, i, dev);
        tp_shape a = tp_shape_of(want), b = tp_shape_of(got[i]);

        CHECK(tp__same(&a, &b));
        for (int64_t j = 0; j < tp_count(want); j++) {
            double w = check_at(want, j), e = check_at(got[i], j) - w;

            error += e * e, norm += w * w, length++;
        }
    }
    CASE("%s.%s on %s", name, role, tp_device_name(dev));
    CHECK(sqrt(error) <= 16 * 8 * 0x1p-52 * sqrt(length) * sqrt(norm));
}

ON_EACH_DEVICE(optim, wgan_gp)
{
    tp_file *f = tp_file_open(path_of("second"));
    TP_SCOPE;
    tp_tensor *p[6], *g[6], *real = get(f, "wgan_gp.in.0", dev), *fake = get(f, "wgan_gp.in.1", dev);
    tp_tensor *mid = tp_requires_grad(tp_detach(tp_lerp(fake, real, get(f, "wgan_gp.in.2", dev))), true), *slope, *loss;

    params_of(f, "wgan_gp", p, 6, dev);
    slope = tp_grad_of(tp_sum(perceptron(mid, p, 6), TP_ALL), mid, (tp_grad_opts){ .create_graph = true });
    loss = tp_mean(tp_square(tp_shift(tp_sqrt(tp_sum(tp_square(slope), TP_AXES(1))), -1)), TP_ALL);
    loss = tp_add(tp_sub(tp_mean(perceptron(fake, p, 6), TP_ALL), tp_mean(perceptron(real, p, 6), TP_ALL)), tp_scale(loss, 10));
    compare_all(f, "wgan_gp", "out", &loss, 1, dev);
    CHECK(tp_backward(loss));
    for (int i = 0; i < 6; i++)
        g[i] = tp_grad(p[i]);
    if (!g[5]) g[5] = tp_zeros_like(p[5]);
    compare_all(f, "wgan_gp", "grad", g, 6, dev);
    tp_file_close(f);
}

ON_EACH_DEVICE(optim, hessian_vector_product)
{
    tp_file *f = tp_file_open(path_of("second"));
    tp_grad_opts graph = { .create_graph = true };
    TP_SCOPE;
    tp_tensor *p[4], *g[4], *hv[4], *dot = NULL, *loss;

    params_of(f, "hvp", p, 4, dev);
    loss = tp_mse(perceptron(get(f, "hvp.in.0", dev), p, 4), get(f, "hvp.in.1", dev));
    compare_all(f, "hvp", "out", &loss, 1, dev);
    CHECK(tp_grads_of(TP_LIST(loss), (tp_list){ p, 4 }, g, graph));
    compare_all(f, "hvp", "grad", g, 4, dev);
    for (int i = 0; i < 4; i++) {
        tp_tensor *d = tp_sum(tp_mul(g[i], getf(f, "hvp", "v", i, dev)), TP_ALL);

        dot = dot ? tp_add(dot, d) : d;
    }
    CHECK(tp_grads_of(TP_LIST(dot), (tp_list){ p, 4 }, hv, (tp_grad_opts){ 0 }));
    compare_all(f, "hvp", "hv", hv, 4, dev);
    tp_file_close(f);
}

/* ---- the formulas, one parameter at a time ---- */

typedef struct rule {
    bool adam, decoupled;
    tp_sgd_opts sgd;
    tp_adam_opts adam_opts;
    double m, v;
    int step;
} rule;

static double updated(rule *r, double p, double g)
{
    double lr = r->adam ? r->adam_opts.lr : r->sgd.lr, decay = r->adam ? r->adam_opts.weight_decay : r->sgd.weight_decay;

    r->step++;
    if (r->decoupled) p -= lr * decay * p;
    else g += decay * p;
    if (r->adam) {
        r->m = r->adam_opts.beta1 * r->m + (1 - r->adam_opts.beta1) * g;
        r->v = r->adam_opts.beta2 * r->v + (1 - r->adam_opts.beta2) * g * g;
        return p - lr * r->m / (1 - pow(r->adam_opts.beta1, r->step)) /
                       (sqrt(r->v / (1 - pow(r->adam_opts.beta2, r->step))) + r->adam_opts.eps);
    }
    if (r->sgd.momentum != 0) {
        r->m = r->step == 1 ? g : r->sgd.momentum * r->m + (1 - r->sgd.dampening) * g;
        g = r->sgd.nesterov ? g + r->sgd.momentum * r->m : r->m;
    }
    return p - lr * g;
}

static tp_module *scalars(int n, tp_dtype d, tp_device *dev) /* p0, p1, ...: one number each */
{
    tp_module *m = tp_nn_container("scalars");

    for (int i = 0; i < n; i++) {
        char name[8];

        snprintf(name, sizeof name, "p%d", i);
        tp_nn_param(m, name, TP_SHAPE(1), tp_init_constant(1 + .5 * i));
    }
    tp_nn_cast(m, d);
    return tp_nn_init(m, dev);
}

static tp_tensor *param(tp_module *m, int i)
{
    char name[8];

    snprintf(name, sizeof name, "p%d", i);
    return tp_nn_tensor(m, name);
}

static bool give(tp_tensor *p, double g)
{
    TP_SCOPE;
    return tp_zero_grad(p) && tp_backward(tp_sum(tp_scale(p, g), TP_ALL));
}

static double gradient_at(int step, int i)
{
    return sin(3 * step + 1.7 * i) + .2 * i;
}

static tp_optim *make(const rule *r, tp_params p)
{
    if (!r->adam) return tp_optim_sgd(p, r->sgd);
    return r->decoupled ? tp_optim_adamw(p, r->adam_opts) : tp_optim_adam(p, r->adam_opts);
}

ON_EACH_DEVICE(optim, formulas)
{
    rule rules[] = {
        { .sgd = tp_sgd(.1) },
        { .sgd = { .1, .9, 0, 0, false, true } },
        { .sgd = { .1, .9, .3, .05, false, true } },
        { .sgd = { .1, .9, 0, .05, true, true } },
        { .adam = true, .adam_opts = tp_adam(.1) },
        { .adam = true, .adam_opts = { .1, .8, .95, 1e-3, .05, true } },
        { .adam = true, .decoupled = true, .adam_opts = tp_adamw(.1) },
        { .adam = true, .decoupled = true, .adam_opts = { .1, 0, 0, 1e-2, .1, true } },
    };

    for (int k = 0; k < TP_LEN(rules); k++) {
        tp_module *m = scalars(2, TP_F64, dev);
        tp_optim *o = make(&rules[k], tp_nn_params(m, "*"));
        rule each[2] = { rules[k], rules[k] };
        double p[2] = { 1, 1.5 };

        CASE("rule %d on %s", k, tp_device_name(dev));
        for (int s = 0; s < 6; s++) {
            for (int i = 0; i < 2; i++)
                give(param(m, i), gradient_at(s, i)), p[i] = updated(&each[i], p[i], gradient_at(s, i));
            CHECK(tp_optim_step(o) && tp_optim_steps(o) == s + 1);
        }
        for (int i = 0; i < 2; i++) /* a dozen roundings a step */
            CHECK_NEAR(check_at(param(m, i), 0), p[i], 6 * 12 * 0x1p-52 * 2);
        tp_optim_free(o), tp_nn_free(m);
    }
}

/* p1 has a gradient in odd steps alone, p2 never: each counts its own steps. */
ON_EACH_DEVICE(optim, parameters_without_a_gradient_are_left_alone)
{
    for (int adam = 0; adam < 2; adam++) {
        rule r = { .adam = adam, .adam_opts = tp_adam(.1), .sgd = { .1, .9, 0, .1, false, true } };
        tp_module *m = scalars(3, TP_F64, dev);
        tp_optim *o = make(&r, tp_nn_params(m, "*"));
        rule each[2] = { r, r };
        double p[2] = { 1, 1.5 };

        CASE("%s on %s", adam ? "adam" : "sgd", tp_device_name(dev));
        for (int s = 0; s < 7; s++) {
            CHECK(tp_optim_zero_grad(o) && !tp_grad(param(m, 0)));
            for (int i = 0; i < 1 + s % 2; i++)
                give(param(m, i), gradient_at(s, i)), p[i] = updated(&each[i], p[i], gradient_at(s, i));
            CHECK(tp_optim_step(o));
        }
        CHECK_NEAR(check_at(param(m, 0), 0), p[0], 7 * 12 * 0x1p-52 * 2);
        CHECK_NEAR(check_at(param(m, 1), 0), p[1], 7 * 12 * 0x1p-52 * 2);
        CHECK(check_at(param(m, 2), 0) == 2 && tp_optim_steps(o) == 7);
        tp_optim_free(o), tp_nn_free(m);
    }
}

/* A clock ticks once a step, whatever dtypes share it. */
ON_EACH_DEVICE(optim, dtypes_in_one_group)
{
    tp_module *m = scalars(4, TP_F64, dev);
    rule r = { .adam = true, .adam_opts = tp_adam(.1) }, each[4] = { r, r, r, r };
    double p[4] = { 1, 1.5, 2, 2.5 };
    tp_optim *o;

    for (int i = 1; i < 4; i += 2) {
        TP_SCOPE;
        tp_nn_set(m, i == 1 ? "p1" : "p3", tp_requires_grad(tp_detach(tp_cast(param(m, i), TP_F32)), true));
    }
    o = make(&r, tp_nn_params(m, "*"));
    for (int s = 0; s < 5; s++) {
        for (int i = 0; i < 4; i++)
            give(param(m, i), gradient_at(s, i)), p[i] = updated(&each[i], p[i], gradient_at(s, i));
        CHECK(tp_optim_step(o));
    }
    CHECK(tp_optim_steps(o) == 5);
    for (int i = 0; i < 4; i++)
        CHECK_NEAR(check_at(param(m, i), 0), p[i], 5 * 12 * (i % 2 ? 0x1p-23 : 0x1p-52) * 2);
    tp_optim_free(o), tp_nn_free(m);
}

/* ---- groups ---- */

static bool list_names(void *user, const char *name, tp_tensor **t)
{
    (void)t, strcat(user, name), strcat(user, " ");
    return true;
}

ON_EACH_DEVICE(optim, groups)
{
    tp_module *m = scalars(4, TP_F64, dev);
    tp_sgd_opts slow = tp_sgd(.01), still = tp_sgd(0);
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "p[12]"), tp_sgd(1));
    char names[256] = "";

    slow.momentum = .9;
    CHECK(tp_optim_add_sgd_group(o, tp_nn_params(m, "p3"), slow) && tp_optim_groups(o) == 2);
    CHECK_REFUSED(tp_optim_add_sgd_group(o, tp_nn_params(m, "p3"), slow), TP_ERR_ARG, "p3 is in another group already");
    CHECK_REFUSED(tp_optim_add_sgd_group(o, tp_nn_params(m, "*"), slow), TP_ERR_ARG, "p1 is in another group already"); /* p0 was new */
    CHECK_REFUSED(tp_optim_add_adam_group(o, tp_nn_params(m, "p0"), tp_adam(1)), TP_ERR_ARG, "one of another kind");
    CHECK_REFUSED(tp_optim_add_sgd_group(o, tp_nn_params(m, "q*"), slow), TP_ERR_ARG, "no name matches \"q*\"");
    CHECK_REFUSED(tp_optim_add_sgd_group(o, tp_nn_params(m, "p0"), (tp_sgd_opts){ .lr = 1 }), TP_ERR_ARG, "not filled");
    CHECK_REFUSED(tp_optim_add_sgd_group(NULL, tp_nn_params(m, "p0"), slow), TP_ERR_ARG, "missing optimizer");
    for (int i = 0; i < 4; i++)
        give(param(m, i), 1);
    CHECK(tp_optim_step(o)); /* p0 isn't in it, and what was refused has left nothing behind */
    CHECK(check_at(param(m, 0), 0) == 1 && check_at(param(m, 1), 0) == .5 && check_at(param(m, 2), 0) == 1);
    CHECK_NEAR(check_at(param(m, 3), 0), 2.49, 4 * 0x1p-52);
    CHECK(tp_optim_add_sgd_group(o, tp_nn_params(m, "p0"), still) && tp_optim_groups(o) == 3 && tp_optim_step(o));
    CHECK(check_at(param(m, 0), 0) == 1 && check_at(param(m, 1), 0) == -.5);
    CHECK(tp_optim_lr(o, 0) == 1 && tp_optim_lr(o, 1) == .01);
    CHECK(tp_optim_set_lr(o, 1, 2) && tp_optim_lr(o, 0) == 1 && tp_optim_lr(o, 1) == 2);
    CHECK(tp_optim_set_lr(o, -1, 3) && tp_optim_lr(o, 0) == 3 && tp_optim_lr(o, 2) == 3);
    CHECK_REFUSED(tp_optim_set_lr(o, 3, 1), TP_ERR_ARG, "there is no group 3");
    CHECK_REFUSED(tp_optim_set_lr(o, 0, -1), TP_ERR_ARG, "learning rate -1");
    CHECK(tp_optim_each(o, list_names, names) == 8);
    CHECK(!strcmp(names, "0.lr 1.lr 2.lr 0.p1.step 0.p2.step 1.p3.step 1.p3.m 2.p0.step "));
    tp_nn_free(m); /* in any order */
    CHECK(tp_optim_step(o) && tp_optim_steps(o) == 3);
    tp_optim_free(o), tp_optim_free(NULL);
}

ON_EACH_DEVICE(optim, tied_weights_are_updated_once)
{
    tp_module *m = scalars(3, TP_F64, dev);
    tp_optim *o;
    TP_SCOPE;
    tp_tensor *loss;

    CHECK(tp_nn_set(m, "p2", param(m, 0)) && param(m, 2) == param(m, 0));
    o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(.125));
    loss = tp_sum(tp_add(tp_scale(param(m, 0), 2), tp_scale(param(m, 2), 3)), TP_ALL);
    CHECK(tp_backward_with(loss, (tp_backward_opts){ .retain_graph = true }) && check_at(tp_grad(param(m, 0)), 0) == 5);
    CHECK(tp_optim_step(o) && check_at(param(m, 2), 0) == 1 - .625);
    loss = tp_sum(tp_square(param(m, 0)), TP_ALL);
    CHECK(tp_optim_step(o)); /* what was saved has changed */
    CHECK_REFUSED(tp_backward(loss), TP_ERR_ARG, "square needs for its gradient was changed in place");
    tp_optim_free(o), tp_nn_free(m);
}

/* ---- clipping: PyTorch's factor is max / (norm + 1e-6), at most 1 ---- */

ON_EACH_DEVICE(optim, clip_norm)
{
    static const double most[] = { 0, .5, 1, 3, 1e9 };
    static const tp_dtype dtype[] = { TP_F64, TP_F32 };

    for (int d = 0; d < 2; d++)
        for (int k = 0; k < TP_LEN(most); k++) {
            double epsilon = dtype[d] == TP_F64 ? 0x1p-52 : 0x1p-23, g[3], norm = 0, factor;
            tp_module *m = scalars(4, dtype[d], dev);
            tp_optim *o = tp_optim_sgd(tp_nn_params(m, "p[01]"), tp_sgd(1));
            TP_SCOPE;
            tp_tensor *got;

            CASE("at most %g in %s on %s", most[k], tp_dtype_name(dtype[d]), tp_device_name(dev));
            CHECK(tp_optim_add_sgd_group(o, tp_nn_params(m, "p[23]"), tp_sgd(2)));
            CHECK(tp_item(tp_optim_clip_norm(o, most[k])) == 0); /* nothing has arrived */
            for (int i = 0; i < 3; i++)
                give(param(m, i), gradient_at(k, i)), g[i] = check_at(tp_grad(param(m, i)), 0), norm += g[i] * g[i];
            norm = sqrt(norm), factor = fmin(1, most[k] / (norm + 1e-6));
            got = tp_optim_clip_norm(o, most[k]);
            CHECK_NEAR(tp_item(got), norm, 8 * epsilon * norm);
            for (int i = 0; i < 3; i++)
                CHECK_NEAR(check_at(tp_grad(param(m, i)), 0), factor * g[i], factor == 1 ? 0 : 8 * epsilon * factor * fabs(g[i]));
            CHECK(!tp_grad(param(m, 3)) && tp_ok());
            CHECK_REFUSED(tp_optim_clip_norm(o, -1), TP_ERR_ARG, "a norm of at most -1");
            CHECK_REFUSED(tp_optim_clip_norm(o, NAN), TP_ERR_ARG, "a norm of at most nan");
            tp_optim_free(o), tp_nn_free(m);
        }
    CASE("no optimizer");
    CHECK_REFUSED(tp_optim_clip_norm(NULL, 1), TP_ERR_ARG, "missing optimizer");
}

/* ---- schedules ---- */

static double halves(int64_t step, void *user)
{
    return step == 5 ? *(double *)user : 1 / (1 + (double)step);
}

ON_EACH_DEVICE(optim, schedules)
{
    tp_module *m = scalars(2, TP_F32, dev);
    tp_optim *o = tp_optim_adam(tp_nn_params(m, "p0"), tp_adam(.8));
    tp_sched *s;
    double odd = -1;

    CHECK(tp_optim_add_adam_group(o, tp_nn_params(m, "p1"), tp_adam(.2)));
    s = tp_sched_cosine(o, 4, 12, .1);
    for (int i = 0; i <= 14; i++) {
        double share = i < 4 ? i / 4. : .1 + .9 * .5 * (1 + cos(acos(-1) * fmin(1, (i - 4) / 8.)));

        CASE("cosine, step %d on %s", i, tp_device_name(dev));
        CHECK(tp_sched_at(s) == i);
        CHECK_NEAR(tp_optim_lr(o, 0), .8 * share, 1e-15);
        CHECK_NEAR(tp_optim_lr(o, 1), .2 * share, 1e-15);
        CHECK(tp_sched_advance(s));
    }
    CHECK(tp_sched_seek(s, 4) && tp_sched_at(s) == 4 && tp_optim_lr(o, 0) == .8);
    CHECK_REFUSED(tp_sched_seek(s, -1), TP_ERR_ARG, "step -1");
    tp_sched_free(s);
    s = tp_sched_step(o, 3, .5);
    for (int i = 0; i < 10; i++, tp_sched_advance(s)) {
        CASE("stairs, step %d on %s", i, tp_device_name(dev));
        CHECK_NEAR(tp_optim_lr(o, 0), .8 * pow(.5, i / 3), 1e-15);
    }
    tp_sched_seek(s, 0), tp_sched_free(s);
    CASE("schedules on %s", tp_device_name(dev));
    s = tp_sched_from(o, halves, &odd);
    CHECK(tp_sched_seek(s, 4) && tp_optim_lr(o, 0) == .8 * (1 / 5.));
    CHECK_REFUSED(tp_sched_advance(s), TP_ERR_ARG, "learning rate -0.8");
    CHECK(tp_sched_at(s) == 4 && tp_optim_lr(o, 0) == .8 * (1 / 5.) && tp_optim_lr(o, 1) == .2 * (1 / 5.)); /* it stays where it was */
    odd = .5;
    CHECK(tp_sched_advance(s) && tp_sched_at(s) == 5 && tp_optim_lr(o, 1) == .1);
    CHECK_REFUSED(tp_sched_cosine(o, 5, 4, 0), TP_ERR_ARG, "warm-up 5 of 4 steps");
    CHECK_REFUSED(tp_sched_cosine(o, 0, 0, 0), TP_ERR_ARG, "warm-up 0 of 0 steps");
    CHECK_REFUSED(tp_sched_step(o, 0, .5), TP_ERR_ARG, "every 0 steps");
    CHECK_REFUSED(tp_sched_from(NULL, halves, NULL), TP_ERR_ARG, "missing optimizer or function");
    CHECK_REFUSED(tp_sched_advance(NULL), TP_ERR_ARG, "missing schedule");
    tp_optim_free(o), tp_sched_free(s), tp_sched_free(NULL), tp_nn_free(m);
}

/* ---- an update that fails half way ---- */

static int fails(tp_ctx *c, int count, const tp_update *u, tp_sgd_args a, tp_scalars s)
{
    (void)count, (void)u, (void)a, (void)s;
    snprintf(c->error, sizeof c->error, "it was asked to fail");
    return 1;
}

Test(optim, a_failed_update_is_told_until_the_state_is_loaded)
{
    tp_device *dev = tp_device_open("cpu");
    const tp_backend *whole = dev->backend;
    static tp__fn_sgd *const failing[TP_DTYPES] = { fails, fails, fails };
    tp_backend half = *whole;
    tp_module *m = tp_nn_init(tp_nn_linear(2, 2), dev);
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
    double before;

    TP_SCOPE;
    CASE("failing");
    half.sgd = failing;
    CHECK(tp_backward(tp_sum(tp_nn_forward(m, tp_ones(TP_SHAPE(1, 2), TP_F32, dev)), TP_ALL)));
    before = check_at(tp_nn_tensor(m, "weight"), 0);
    dev->backend = &half;
    CHECK_REFUSED(tp_optim_step(o), TP_ERR_ARG, "it was asked to fail");
    dev->backend = whole;
    CASE("broken");
    CHECK_REFUSED(tp_optim_step(o), TP_ERR_ARG, "an update of this optimizer failed half way: load its state or free it");
    CHECK_REFUSED(tp_optim_clip_norm(o, 1), TP_ERR_ARG, "failed half way");
    CHECK(check_at(tp_nn_tensor(m, "weight"), 0) == before);
    CASE("repaired");
    CHECK(tp_optim_load_begin(o) && tp_optim_load_end(o) && tp_optim_step(o));
    CHECK_NEAR(check_at(tp_nn_tensor(m, "weight"), 0), before - 1, 1e-6);
    tp_optim_free(o), tp_nn_free(m);
}
