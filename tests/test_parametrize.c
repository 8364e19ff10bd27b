/*
 * test_parametrize.c - weight norm and spectral norm: PyTorch's values over several forwards,
 * first and second derivatives, what walks see, modes, failures, taking off.
 */
#include "tests/calls.h"
#include "tests/files.h"
#include "tests/golden.h"
#include "tests/oom.h"

#define ORIGINAL "parametrizations.weight.original"
#define U        "parametrizations.weight.0._u"
#define V        "parametrizations.weight.0._v"

static const tp_weight_norm_opts by_rows;
static const tp_spectral_norm_opts plain;

static double distance(tp_tensor *a, tp_tensor *b)
{
    return tp_item(tp_amax(tp_abs(tp_sub(tp_cast(a, TP_F64), tp_cast(b, TP_F64))), TP_ALL));
}

static double largest_singular_value(tp_tensor *w) /* by many power iterations, in f64 */
{
    tp_tensor *a = tp_flatten(tp_cast(tp_detach(w), TP_F64), 1),
              *v = tp_ones(TP_SHAPE(tp_dim(a, 1)), TP_F64, tp_device_of(w));

    for (int i = 0; i < 500; i++)
        v = tp_matmul(tp_transpose(a, 0, 1), tp_matmul(a, v)), v = tp_div(v, tp_norm(v, 2, TP_ALL));
    return tp_item(tp_norm(tp_matmul(a, v), 2, TP_ALL));
}

/* ---- PyTorch ---- */

static tp_module *layer_of(bool conv)
{
    return conv ? tp_nn_conv2d(3, 4, 2, plain_conv) : tp_nn_linear(5, 3);
}

static bool run_weight_norm(kase *k)
{
    tp_weight_norm_opts o = { .dim = (int)k->opts[0], .whole = k->opts[0] < 0 };
    tp_module *m = tp_nn_weight_norm(layer_of(k->opts[1]), "weight", o);

    tp_nn_set(m, "bias", k->in[1]), tp_nn_set(m, ORIGINAL "0", k->in[2]),
        tp_nn_set(m, ORIGINAL "1", k->in[3]);
    k->n_out = 1, k->out[0] = tp_nn_forward(m, k->in[0]);
    tp_nn_free(m);
    return k->out[0];
}

static bool run_spectral(kase *k)
{
    tp_spectral_norm_opts o = { .n_power_iterations = (int)k->opts[0], .dim = (int)k->opts[1] };
    tp_module *m = tp_nn_spectral_norm(layer_of(k->opts[2]), "weight", o);

    for (int i = 5; i < 7; i++) /* moved: copies, without a gradient */
        k->in[i] = tp_clone(tp_detach(k->in[i]));
    tp_nn_set(m, "bias", k->in[3]), tp_nn_set(m, ORIGINAL, k->in[4]), tp_nn_set(m, U, k->in[5]),
        tp_nn_set(m, V, k->in[6]);
    k->n_out = 5, k->out[0] = tp_nn_forward(m, k->in[0]), k->out[1] = tp_nn_forward(m, k->in[1]);
    tp_nn_train(m, "*", false);
    k->out[2] = tp_nn_forward(m, k->in[2]), k->out[3] = k->in[5], k->out[4] = k->in[6];
    tp_nn_free(m);
    return k->out[2];
}

static void check_layers(const char *op, bool (*run)(kase *k))
{
    tp_file *f = open_golden("parametrize");
    tp_device *dev;
    int n = 0;

    cr_assert(f, "%s", tp_error());
    for (int d = 0; (dev = check_device(d)); d++)
        for (int c = 0;; c++) {
            kase k = { .f = f, .dev = dev };

            snprintf(k.name, sizeof k.name, "%s.%d", op, c);
            if (tp_file_find(f, strcat(strcpy(check_name, k.name), ".out.0")) < 0) break;
            for (int t = 0; t < 2; t++) {
                TP_SCOPE;
                k.dtype = t ? TP_F32 : TP_F64;
                CASE("%s, %s, %s", k.name, tp_dtype_name(k.dtype), tp_device_name(dev));
                get_options(&k), load_operands(&k, DENSE), check_case(&k, run), n++;
            }
        }
    CHECK(n > 0);
    tp_file_close(f);
}

Test(golden, weight_norm)
{
    check_layers("weight_norm", run_weight_norm);
}

Test(golden, spectral_norm)
{
    check_layers("spectral", run_spectral);
}

/* Ten steps of gradient descent with both, in f64: losses, originals, u and v to 1e-8. */

typedef struct state {
    tp_file *f;
    tp_device *dev;
    int next;
} state;

static tp_tensor *from_file(const state *s, const char *role, int i)
{
    tp_tensor *t = get(s->f, "descent.0", role, i, s->dev);

    cr_assert(t, "%s", tp_error());
    return t;
}

static bool set_one(void *user, const char *name, tp_tensor **t)
{
    state *s = user;

    (void)name;
    return tp_copy_(*t, from_file(s, "in", s->next++));
}

static bool compare_one(void *user, const char *name, tp_tensor **t)
{
    state *s = user;
    double off = distance(*t, from_file(s, "out", s->next++));

    cr_expect(off < 1e-8, "%s is off by %g", name, off);
    return true;
}

ON_EACH_DEVICE(parametrize, descent)
{
    state in = { open_golden("parametrize"), dev, 2 }, after = { in.f, dev, 1 };
    tp_module *a = tp_nn_spectral_norm(tp_nn_linear(5, 4), "weight", plain);
    tp_module *b = tp_nn_weight_norm(tp_nn_linear(4, 1), "weight", by_rows);
    tp_module *m = tp_nn_sequential((tp_module *[]){ a, tp_nn_tanh(), b }, 3);
    tp_optim *o;
    tp_tensor *x, *target, *losses;

    TP_SCOPE;
    TP_NO_GRAD;
    CASE("descent on %s", tp_device_name(dev));
    tp_nn_cast(tp_nn_init(m, dev), TP_F64);
    x = from_file(&in, "in", 0), target = from_file(&in, "in", 1);
    CHECK(tp_nn_each(tp_nn_params(m, "*"), true, set_one, &in) == 7);
    losses = from_file(&after, "out", 0), o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(.1));
    for (int i = 0; i < 10; i++) {
        tp_tensor *loss;

        TP_SCOPE;
        TP_WITH_GRAD;
        loss = tp_mean(tp_square(tp_sub(tp_nn_forward(m, x), target)), TP_ALL);
        CHECK_NEAR(tp_item(loss), check_at(losses, i), 1e-8);
        CHECK(tp_optim_zero_grad(o) && tp_backward(loss) && tp_optim_step(o));
    }
    CHECK(tp_nn_each(tp_nn_params(m, "*"), true, compare_one, &after) == 7);
    tp_optim_free(o), tp_nn_free(m), tp_file_close(in.f);
}

/* ---- finite differences, once and twice, of x and of the originals ---- */

static tp_tensor *forward(tp_list in, void *user)
{
    return tp_sigmoid(tp_nn_forward(user, in.t[0]));
}

static void check_slopes(const char *what, tp_list in, tp_module *m)
{
    tp_gradcheck_report r;

    for (int twice = 0; twice < 2; twice++) {
        bool ok = (twice ? tp_gradgradcheck : tp_gradcheck)(forward, in, m, &r);

        CASE("%s, %s", what, twice ? "twice" : "once");
        cr_expect(ok, "%s: worst %.3g at %s  [%s]", check_name, r.worst, r.where, tp_error());
        tp_clear_error();
    }
    tp_nn_free(m);
}

static tp_module *ready(tp_module *m, tp_device *dev)
{
    tp_nn_cast(tp_nn_init(m, dev), TP_F64), tp_nn_train(m, "*", false);
    return m;
}

ON_EACH_DEVICE(parametrize, slopes)
{
    tp_tensor *x, *picture;
    tp_module *m;

    TP_SCOPE;
    tp_seed(1);
    x = check_leaf(TP_SHAPE(2, 3), -1, 1, dev),
    picture = check_leaf(TP_SHAPE(1, 2, 3, 3), -1, 1, dev);
    m = ready(tp_nn_weight_norm(tp_nn_linear(3, 2), "weight", by_rows), dev);
    check_slopes("weight norm",
                 TP_LIST(x, tp_nn_tensor(m, ORIGINAL "0"), tp_nn_tensor(m, ORIGINAL "1")), m);
    m = ready(
        tp_nn_weight_norm(tp_nn_linear(3, 2), "weight", (tp_weight_norm_opts){ .whole = true }),
        dev);
    check_slopes("weight norm, whole",
                 TP_LIST(x, tp_nn_tensor(m, ORIGINAL "0"), tp_nn_tensor(m, ORIGINAL "1")), m);
    m = ready(tp_nn_spectral_norm(tp_nn_linear(3, 2), "weight", plain), dev);
    check_slopes("spectral norm", TP_LIST(x, tp_nn_tensor(m, ORIGINAL)), m);
    m = ready(tp_nn_spectral_norm(tp_nn_conv2d(2, 2, 2, plain_conv), "weight",
                                  (tp_spectral_norm_opts){ .dim = 1 }),
              dev);
    check_slopes("spectral norm of a convolution", TP_LIST(picture, tp_nn_tensor(m, ORIGINAL)), m);
    m = ready(tp_nn_spectral_norm(tp_nn_linear(3, 2), "bias", plain), dev);
    check_slopes("spectral norm of a vector",
                 TP_LIST(x, tp_nn_tensor(m, "parametrizations.bias.original")), m);
}

/* The penalty of a WGAN through a critic of spectral norm: its gradient reaches the originals. */
ON_EACH_DEVICE(parametrize, gradient_penalty)
{
    tp_module *m;
    tp_tensor *x, *y, *g;

    TP_SCOPE;
    CASE("penalty on %s", tp_device_name(dev));
    m = tp_nn_sequential(
        (tp_module *[]){ tp_nn_spectral_norm(tp_nn_linear(4, 5), "weight", plain), tp_nn_tanh(),
                         tp_nn_spectral_norm(tp_nn_linear(5, 1), "weight", plain) },
        3);
    tp_nn_init(m, dev);
    for (int step = 0; step < 3; step++) {
        tp_nn_forward(m, check_numbers(TP_SHAPE(3, 4), TP_F32, -1, 1,
                                       dev)); /* moves u and v under the other graph */
        x = tp_requires_grad(check_numbers(TP_SHAPE(3, 4), TP_F32, -1, 1, dev), true);
        y = tp_nn_forward(m, x);
        tp_nn_forward(m, x);
        g = tp_grad_of(tp_sum(y, TP_ALL), x, (tp_grad_opts){ .create_graph = true });
        CHECK(tp_backward(tp_mean(tp_square(tp_shift(tp_norm(g, 2, TP_AXES(1)), -1)), TP_ALL)));
        CHECK(tp_item(tp_norm(tp_grad(tp_nn_tensor(m, "0." ORIGINAL)), 2, TP_ALL)) > 0);
    }
    tp_nn_free(m);
}

/* ---- names, and what begins as what ---- */

static bool list_one(void *user, const char *name, tp_tensor **t)
{
    strcat(strcat(user, name), " ");
    strcat(strcat(user, tp__shape_text(tp_shape_of(*t))), "; ");
    return true;
}

static void has_names(tp_module *m, const char *names, int64_t count)
{
    char text[1024] = "";

    CHECK(tp_nn_each(tp_nn_params(m, "*"), true, list_one, text) > 0);
    cr_expect(!strcmp(text, names), "%s: %s", check_name, text);
    CHECK(tp_nn_count(m) == count && !tp_nn_tensor(m, "weight"));
}

ON_EACH_DEVICE(parametrize, drawn_before_or_after)
{
    for (int before = 0; before < 2; before++) {
        tp_module *m = tp_nn_linear(6, 4), *s = tp_nn_conv2d(3, 4, 2, plain_conv);
        tp_tensor *w = NULL, *x;

        TP_SCOPE;
        CASE("drawn %s on %s", before ? "before" : "after", tp_device_name(dev));
        tp_seed(8);
        if (before) tp_nn_init(m, dev), tp_nn_init(s, dev), w = tp_nn_tensor(m, "weight");
        CHECK(tp_nn_weight_norm(m, "weight", by_rows) == m &&
              tp_nn_spectral_norm(s, "weight", plain) == s && tp_ok());
        if (!before) tp_nn_init(m, dev), tp_nn_init(s, dev);
        has_names(m, "bias (4); " ORIGINAL "0 (4, 1); " ORIGINAL "1 (4, 6); ", 4 + 4 + 24);
        has_names(s, "bias (4); " ORIGINAL " (4, 3, 2, 2); " U " (4); " V " (12); ", 4 + 48);
        CHECK(!before || tp_nn_tensor(m, ORIGINAL "1") == w);
        CHECK(distance(tp_nn_computed(m, "weight"), tp_nn_tensor(m, ORIGINAL "1")) < 1e-6);
        x = tp_detach(tp_nn_computed(s, "weight"));
        CHECK_NEAR(largest_singular_value(x), 1, .02);                 /* after 15 iterations */
        CHECK(tp_fill_(tp_nn_tensor(s, U), .5) && tp_nn_init(s, dev)); /* a second time: nothing */
        CHECK(check_at(tp_nn_tensor(s, U), 0) == .5 && check_at(tp_nn_tensor(s, U), 3) == .5);
        for (int i = 0; i < 100; i++)
            tp_nn_forward(s, F32(1, 3, 2, 2));
        CHECK_NEAR(largest_singular_value(tp_nn_computed(s, "weight")), 1, 1e-5);
        CHECK(!tp_nn_tensor(s, "weight"));
        tp_nn_free(m), tp_nn_free(s);
    }
}

/* ---- a layer of one's own finds its parameter by name, while it runs ---- */

static int own(void *self, tp_list in, tp_tensor **out, int room)
{
    tp_module *m = *(tp_module **)self;

    (void)room;
    out[0] = tp_linear(in.t[0], tp_nn_tensor(m, "weight"), NULL);
    return out[0] ? 1 : -1;
}

ON_EACH_DEVICE(parametrize, a_layer_of_ones_own)
{
    tp_module *m = NULL;
    tp_tensor *x, *y;

    TP_SCOPE;
    CASE("own on %s", tp_device_name(dev));
    m = tp_nn_from("own", &m, own, NULL);
    tp_nn_param(m, "weight", TP_SHAPE(2, 3), tp_init_normal(0, 1));
    tp_nn_init(tp_nn_weight_norm(m, "weight", by_rows), dev);
    x = F32(4, 3), y = tp_nn_forward(m, x);
    CHECK(distance(y, tp_linear(x, tp_nn_tensor(m, ORIGINAL "1"), NULL)) < 1e-6);
    CHECK(tp_backward(tp_sum(y, TP_ALL)) && tp_grad(tp_nn_tensor(m, ORIGINAL "0")) &&
          !tp_nn_tensor(m, "weight"));
    tp_nn_free(m);
}

/* ---- modes, clones, casts, files, freezing, training ---- */

static tp_module *critic(tp_device *dev)
{
    tp_module *a = tp_nn_spectral_norm(tp_nn_conv2d(1, 2, 3, plain_conv), "weight", plain);
    tp_module *b = tp_nn_weight_norm(tp_nn_linear(8, 2), "weight", by_rows);

    return tp_nn_init(tp_nn_sequential((tp_module *[]){ a, tp_nn_flatten(), b }, 3), dev);
}

ON_EACH_DEVICE(parametrize, modes)
{
    tp_module *m = critic(dev), *copy;
    tp_tensor *x, *y, *u;

    TP_SCOPE;
    CASE("modes on %s", tp_device_name(dev));
    x = check_numbers(TP_SHAPE(2, 1, 4, 4), TP_F32, -1, 1, dev);
    u = tp_clone(tp_nn_tensor(m, "0." U)), y = tp_nn_predict(m, x);
    CHECK(distance(u, tp_nn_tensor(m, "0." U)) == 0 && distance(y, tp_nn_predict(m, x)) == 0);
    tp_nn_train(m, "0", false), tp_nn_forward(m, x); /* the layer's own mode counts */
    CHECK(distance(u, tp_nn_tensor(m, "0." U)) == 0);
    tp_nn_train(m, "0", true);
    {
        TP_NO_GRAD;
        CHECK(tp_fill_(tp_nn_tensor(m, "0." V), 1) && tp_nn_forward(m, x));
        CHECK(distance(u, tp_nn_tensor(m, "0." U)) != 0);
    }
    tp_nn_train(m, "*", false), y = tp_nn_forward(m, x);
    copy = tp_nn_clone(m);
    CHECK(distance(y, tp_nn_forward(copy, x)) == 0 && tp_nn_count(copy) == tp_nn_count(m));
    CHECK(tp_nn_cast(copy, TP_F64) && distance(y, tp_nn_forward(copy, tp_cast(x, TP_F64))) < 1e-5);
    CHECK(tp_dtype_of(tp_nn_tensor(copy, "0." U)) == TP_F64);
    {
        TP_AUTOCAST(TP_BF16); /* the weight itself is as sharp as before */
        CHECK(tp_dtype_of(tp_nn_computed(m, "0.weight")) == TP_F32 &&
              distance(y, tp_nn_forward(m, x)) < .05);
    }
    CHECK(tp_nn_freeze(m, "0.*", true) == 2 && !tp_needs_grad(tp_nn_computed(m, "0.weight")));
    CHECK(tp_nn_count_trained(m) == tp_nn_count(m) - 2 - 18);
    tp_nn_free(m), tp_nn_free(copy);
}

ON_EACH_DEVICE(parametrize, files)
{
    tp_module *m = critic(dev), *other = critic(dev);
    tp_load_report r;
    tp_tensor *x;

    TP_SCOPE;
    make_test_folder();
    CASE("files on %s", tp_device_name(dev));
    x = check_numbers(TP_SHAPE(2, 1, 4, 4), TP_F32, -1, 1, dev), tp_nn_forward(m, x);
    CHECK(tp_nn_save(m, in_folder("m")) &&
          tp_nn_load(other, in_folder("m"), (tp_load_opts){ .report = &r }) && r.loaded == 7);
    CHECK(distance(tp_nn_predict(m, x), tp_nn_predict(other, x)) == 0);
    /* loaded before it is drawn, it stays what was loaded */
    tp_nn_free(other),
        other = tp_nn_sequential(
            (tp_module *[]){
                tp_nn_spectral_norm(tp_nn_conv2d(1, 2, 3, plain_conv), "weight", plain),
                tp_nn_flatten(), tp_nn_weight_norm(tp_nn_linear(8, 2), "weight", by_rows) },
            3);
    CHECK(tp_nn_load(other, in_folder("m"), (tp_load_opts){ 0 }) && tp_nn_init(other, dev));
    CHECK(distance(tp_nn_predict(m, x), tp_nn_predict(other, x)) == 0);
    tp_nn_free(other), other = tp_nn_sequential(
                           (tp_module *[]){ layer_of(true), tp_nn_flatten(), layer_of(false) }, 3);
    CHECK_REFUSED(tp_nn_load(other, in_folder("m"), (tp_load_opts){ 0 }), TP_ERR_FORMAT,
                  "unexpected 0." U);
    CHECK(tp_nn_save(tp_nn_init(other, dev), in_folder("plain")));
    CHECK_REFUSED(tp_nn_load(m, in_folder("plain"), (tp_load_opts){ 0 }), TP_ERR_FORMAT,
                  "unexpected 0.weight");
    remove_test_folder();
    tp_nn_free(m), tp_nn_free(other);
}

ON_EACH_DEVICE(parametrize, training)
{
    tp_module *m = critic(dev);
    tp_optim *o = tp_optim_adam(tp_nn_params(m, "*"), tp_adam(.02));
    double first = 0, last = 0;
    tp_tensor *x;

    TP_SCOPE;
    CASE("training on %s", tp_device_name(dev));
    x = check_numbers(TP_SHAPE(4, 1, 4, 4), TP_F32, -1, 1, dev);
    for (int i = 0; i < 60; i++) {
        tp_tensor *loss;

        TP_SCOPE;
        loss = tp_mean(tp_square(tp_shift(tp_nn_forward(m, x), -.5)), TP_ALL);
        CHECK(tp_optim_zero_grad(o) && tp_backward(loss) && tp_optim_step(o));
        last = tp_item(loss), first = i ? first : last;
    }
    CHECK(last < .2 * first);
    CHECK_NEAR(largest_singular_value(tp_nn_computed(m, "0.weight")), 1, .02);
    tp_optim_free(o), tp_nn_free(m);
}

/* In a checkpoint's second run nothing moves, and the gradient is the same bit for bit. */
ON_EACH_DEVICE(parametrize, checkpointed)
{
    tp_module *m = critic(dev), *copy = tp_nn_clone(m);
    tp_tensor *x, *a, *b = NULL;

    TP_SCOPE;
    CASE("checkpoint on %s", tp_device_name(dev));
    x = check_numbers(TP_SHAPE(2, 1, 4, 4), TP_F32, -1, 1, dev);
    a = tp_nn_forward(m, x), tp_nn_checkpoint(copy, TP_LIST(x), &b, 1);
    CHECK(tp_backward(tp_sum(tp_square(a), TP_ALL)) && tp_backward(tp_sum(tp_square(b), TP_ALL)));
    CHECK(distance(a, b) == 0 &&
          distance(tp_nn_tensor(m, "0." U), tp_nn_tensor(copy, "0." U)) == 0);
    CHECK(distance(tp_grad(tp_nn_tensor(m, "0." ORIGINAL)),
                   tp_grad(tp_nn_tensor(copy, "0." ORIGINAL))) == 0);
    tp_nn_free(m), tp_nn_free(copy);
}

/* ---- taking off ---- */

ON_EACH_DEVICE(parametrize, removal)
{
    tp_module *m = critic(dev), *bare;
    tp_tensor *x, *y;

    TP_SCOPE;
    CASE("removal on %s", tp_device_name(dev));
    x = check_numbers(TP_SHAPE(2, 1, 4, 4), TP_F32, -1, 1, dev), y = tp_nn_predict(m, x);
    tp_nn_freeze(m, "2.*", true);
    CHECK(tp_nn_remove_parametrizations(m, "0.weight") &&
          tp_nn_remove_parametrizations(m, "2.weight"));
    CHECK(distance(y, tp_nn_predict(m, x)) == 0);
    CHECK(tp_needs_grad(tp_nn_tensor(m, "0.weight")) &&
          !tp_needs_grad(tp_nn_tensor(m, "2.weight")));
    CHECK(tp_nn_count(m) == 18 + 2 + 16 + 2 && tp_backward(tp_sum(tp_nn_forward(m, x), TP_ALL)));
    ARG(tp_nn_get(m, "0.parametrizations"), "there is no module");
    CHECK(tp_nn_spectral_norm(m, "0.weight", plain) == m &&
          distance(y, tp_nn_predict(m, x)) < 1);                     /* and on again */
    bare = tp_nn_weight_norm(tp_nn_linear(3, 2), "weight", by_rows); /* not drawn yet */
    CHECK(tp_nn_spectral_norm(bare, "bias", plain) &&
          tp_nn_remove_parametrizations(bare, "weight"));
    CHECK(tp_nn_get(bare, "parametrizations.bias") && tp_nn_init(bare, dev) &&
          tp_nn_tensor(bare, "weight"));
    tp_nn_free(m), tp_nn_free(bare);
}

/* ---- failures: the weight is gone after them as well, and nothing is left half done ---- */

ON_EACH_DEVICE(parametrize, failures)
{
    tp_module *m = tp_nn_init(tp_nn_spectral_norm(tp_nn_linear(3, 2), "weight", plain), dev);
    tp_tensor *w;

    TP_SCOPE;
    CASE("failure on %s", tp_device_name(dev));
    CHECK_REFUSED(tp_nn_forward(m, F32(2, 4)), TP_ERR_SHAPE, "");
    CHECK(!tp_nn_tensor(m, "weight") && tp_nn_forward(m, F32(2, 3)));
    tp_nn_replace(m, "parametrizations.weight", tp_nn_relu());
    CHECK_REFUSED(tp_nn_forward(m, F32(2, 3)), TP_ERR_ARG, "");
    tp_nn_free(m);
    m = tp_nn_init(tp_nn_linear(3, 2), dev), w = tp_nn_tensor(m, "weight");
    for (int after = 0; after < 1000; after++) {
        CASE("putting on, allocation %d", after);
        tp__fail_after = after;
        tp_nn_spectral_norm(m, "weight", plain);
        tp__fail_after = -1;
        if (tp_ok()) break;
        CHECK(tp_error_code() == TP_ERR_MEMORY);
        tp_clear_error();
        CHECK(tp_nn_tensor(m, "weight") == w && !w->replaced && tp_nn_count(m) == 8 &&
              tp_nn_forward(m, F32(1, 3)));
    }
    CHECK(tp_nn_tensor(m, ORIGINAL) == w);
    for (int after = 0; after < 1000; after++) {
        CASE("taking off, allocation %d", after);
        tp__fail_after = after;
        tp_nn_remove_parametrizations(m, "weight");
        tp__fail_after = -1;
        if (tp_ok()) break;
        tp_clear_error();
        CHECK(!tp_nn_tensor(m, "weight") && tp_nn_forward(m, F32(1, 3)));
    }
    CHECK(tp_nn_tensor(m, "weight") && !tp_nn_has(m, ORIGINAL) && w);
    tp_nn_free(m);
}

typedef struct critics {
    tp_device *dev;
    tp_tensor *x;
    tp_module *m;
    long live;
} critics;

static bool train_once(void *user)
{
    critics *k = user;
    tp_module *made;
    bool ok;

    TP_SCOPE;
    ok = tp_backward(tp_sum(tp_nn_forward(k->m, k->x), TP_ALL));
    made = critic(k->dev);
    ok = ok && made && tp_nn_remove_parametrizations(made, "2.weight");
    tp_nn_free(made);
    tp_nn_each(tp_nn_params(k->m, "*"), false, NULL, NULL);
    if (ok) tp_clear_error();
    return ok && tp_ok();
}

static void nothing_stays(void *user, bool done)
{
    critics *k = user;

    (void)done;
    for (int i = 0; i < 2; i++)
        tp_zero_grad(tp_nn_tensor(k->m, i ? "0." ORIGINAL : "0.bias"));
    tp_zero_grad(tp_nn_tensor(k->m, "2.bias"));
    tp_zero_grad(tp_nn_tensor(k->m, "2." ORIGINAL "0")),
        tp_zero_grad(tp_nn_tensor(k->m, "2." ORIGINAL "1"));
    CHECK(!tp_nn_tensor(k->m, "0.weight"));
    tp_thread_end();
    CHECK(tp__live() == k->live);
}

ON_EACH_DEVICE(parametrize, memory_ends)
{
    critics k = { .dev = dev, .m = critic(dev) };

    k.x = tp_keep(check_numbers(TP_SHAPE(1, 1, 4, 4), TP_F32, -1, 1, dev));
    CASE("critic");
    tp_thread_end(), k.live = tp__live();
    CHECK(at_every_allocation(train_once, nothing_stays, &k) > 100);
    tp_nn_free(k.m), tp_free(k.x);
}

/* ---- refusals ---- */

ON_EACH_DEVICE(parametrize, refusals)
{
    tp_module *m = tp_nn_batch_norm(3), *s = tp_nn_linear(3, 2);

    TP_SCOPE;
    ARG(tp_nn_weight_norm(NULL, "weight", by_rows), "tp_nn_weight_norm: missing module or path");
    REFUSED((tp_nn_weight_norm(m, NULL, by_rows), NULL), TP_ERR_ARG, "missing module or path");
    REFUSED((tp_nn_weight_norm(m, "wight", by_rows), NULL), TP_ERR_ARG,
            "there is no parameter wight");
    REFUSED((tp_nn_weight_norm(m, "a.weight", by_rows), NULL), TP_ERR_ARG,
            "there is no parameter a.weight");
    REFUSED((tp_nn_weight_norm(m, "running_mean", by_rows), NULL), TP_ERR_ARG,
            "there is no parameter running_mean");
    REFUSED((tp_nn_weight_norm(s, "weight", (tp_weight_norm_opts){ .dim = 2 }), NULL), TP_ERR_ARG,
            "weight (2, 3) has no axis 2");
    REFUSED((tp_nn_spectral_norm(s, "weight", (tp_spectral_norm_opts){ .dim = -3 }), NULL),
            TP_ERR_ARG, "has no axis -3");
    REFUSED((tp_nn_spectral_norm(s, "weight", (tp_spectral_norm_opts){ .n_power_iterations = -1 }),
             NULL),
            TP_ERR_ARG, "weight (2, 3), -1 power iterations, eps 1e-12");
    REFUSED((tp_nn_spectral_norm(s, "weight", (tp_spectral_norm_opts){ .eps = -1 }), NULL),
            TP_ERR_ARG, "eps -1");
    ARG(tp_nn_remove_parametrizations(s, "weight"), "weight is a plain parameter");
    ARG(tp_nn_computed(s, "weight"), "weight is a plain parameter");
    ARG(tp_nn_remove_parametrizations(NULL, "weight"), "missing module or path");
    tp_nn_spectral_norm(s, "weight", plain);
    ARG(tp_nn_computed(s, "weight"), "original isn't there yet: call tp_nn_init first");
    ARG(tp_nn_forward(s, F32(1, 3)), "isn't there yet: call tp_nn_init first");
    tp_nn_init(s, dev);
    REFUSED((tp_nn_weight_norm(s, "weight", by_rows), NULL), TP_ERR_ARG,
            "weight is computed already: remove that first");
    ARG(tp_nn_set(s, "weight", F32(2, 3)), "there is no parameter weight");
    CHECK(tp_nn_forward(s, F32(1, 3)) != NULL);
    tp_nn_free(m), tp_nn_free(s);
}
