/*
 * test_autograd.c - modes, writes in place, hooks, anomaly mode, ops of one's own, threads.
 */
#include "tests/check.h"

#include <pthread.h>

static tp_tensor *leaf_of(double v, tp_device *dev)
{
    return tp_requires_grad(tp_full(TP_SHAPE(2, 3), v, TP_F32, dev), true);
}

static tp_tensor *sum(tp_tensor *x)
{
    return tp_sum(x, TP_ALL);
}

static double grad_of(tp_tensor *leaf)
{
    TP_SCOPE;
    return check_at(tp_grad(leaf), 0);
}

/* ---- modes ---- */

static bool grad_on_by_return(void)
{
    TP_WITH_GRAD;
    return tp_grad_enabled();
}

ON_EACH_DEVICE(autograd, modes)
{
    TP_SCOPE;
    tp_tensor *w = leaf_of(3, dev), *y, *d;

    {
        TP_NO_GRAD;
        CHECK(!tp_grad_enabled() && grad_on_by_return() && !tp_grad_enabled());
        y = tp_exp(w), d = tp_split(w, 1, 3, (tp_tensor *[3]){ NULL }) ? w : NULL;
        CHECK(d && !tp_needs_grad(y) && tp_needs_grad(w));
        {
            TP_WITH_GRAD;
            y = tp_square(w);
        }
        CHECK(tp_needs_grad(y) && tp_backward(sum(w)) == false);
        tp_clear_error();
    }
    CHECK(tp_grad_enabled() && tp_backward(sum(y)) && grad_of(w) == 6);
    d = tp_detach(tp_square(w));
    CHECK(!tp_needs_grad(d) && tp__data(tp_detach(w)) == tp__data(w));
    CHECK(tp_backward(sum(tp_mul(d, w))) && grad_of(w) == 6 + 9);
    CHECK(tp_requires_grad(w, false) == w && !tp_needs_grad(w) && !tp_grad(w) && !tp_needs_grad(tp_exp(w)));
    CHECK(tp_requires_grad(w, true) && tp_requires_grad(w, true) && !tp_grad(w) && tp_ok());
}

/* ---- in place ---- */

ON_EACH_DEVICE(autograd, writes_in_place)
{
    TP_SCOPE;
    tp_tensor *w = leaf_of(3, dev), *x = tp_full(TP_SHAPE(2, 3), 1, TP_F32, dev), *row, *wide;
    const char *why = "in-place writes are not recorded, and f32 (2, 3) requires a gradient: use tp_full, or TP_NO_GRAD";

    CHECK_REFUSED(tp_fill_(w, 1), TP_ERR_ARG, why);
    CHECK_REFUSED(tp_fill_(tp_exp(w), 1), TP_ERR_ARG, "tp_fill_: in-place");
    CHECK_REFUSED(tp_copy_(x, w), TP_ERR_ARG, "f32 (2, 3) requires a gradient: use tp_concat or tp_add");
    CHECK_REFUSED(tp_copy_(w, x), TP_ERR_ARG, "tp_copy_: in-place");
    CHECK(check_at(w, 0) == 3 && check_at(x, 0) == 1);
    {
        TP_NO_GRAD;
        CHECK(tp_fill_(w, 5) && tp_copy_(x, w) && check_at(x, 5) == 5);
    }
    row = tp_from((double[]){ 1, 2, 300 }, TP_SHAPE(3), TP_F64, dev), wide = tp_zeros(TP_SHAPE(2, 3), TP_BF16, dev);
    CHECK(tp_copy_(x, row) && check_at(x, 5) == 300 && check_at(x, 1) == 2); /* broadcast, cast */
    CHECK(tp_copy_(wide, x) && check_at(wide, 5) == 300);
    CHECK(tp_copy_(tp_slice(x, 1, 1, 3), tp_slice(x, 1, 0, 2))); /* they overlap */
    CHECK(check_at(x, 0) == 1 && check_at(x, 1) == 1 && check_at(x, 2) == 2 && check_at(x, 5) == 2);
    CHECK(tp_copy_(tp_transpose(x, 0, 1), tp_reshape(tp_clone(x), TP_SHAPE(3, 2))));
    CHECK(tp_backward(sum(tp_square(w))) && grad_of(w) == 10);
}

/* The tensor that is saved, changed, and whether the backward may still run. */
ON_EACH_DEVICE(autograd, changes_are_noticed_through_views)
{
    for (int k = 0; k < 6; k++) {
        TP_SCOPE;
        tp_tensor *w = leaf_of(1, dev), *x = tp_full(TP_SHAPE(2, 3), 2, TP_F32, dev), *y = tp_exp(w), *loss;
        tp_tensor *views[] = { y, tp_slice(y, 0, 0, 1), tp_detach(y), x, tp_transpose(x, 0, 1), tp_neg(w) };
        bool harmless = k == 5;

        CASE("change %d on %s", k, tp_device_name(dev));
        loss = sum(tp_mul(tp_add(y, views[5]), x));
        {
            TP_NO_GRAD;
            CHECK(tp_fill_(views[k], 0));
        }
        if (harmless) {
            CHECK(tp_backward(loss));
            continue;
        }
        for (int again = 0; again < 2; again++) { /* refused before anything was touched, each time */
            CHECK_REFUSED(tp_backward(loss), TP_ERR_ARG, k < 3 ? "exp needs for its gradient was changed in place"
                                                               : "mul needs for its gradient was changed in place");
            CHECK(!tp_grad(w) && tp_ok());
        }
        CHECK(tp_backward(sum(tp_square(w))) && grad_of(w) == 2);
        CHECK_REFUSED(tp_grad_of(loss, w, (tp_grad_opts){ 0 }), TP_ERR_ARG, "changed in place");
        CHECK(grad_of(w) == 2);
    }
}

/* ---- hooks on tensors ---- */

typedef struct notes {
    char text[64];
    double seen[16];
    int n;
    tp_tensor *of;
} notes;

static tp_tensor *doubles(tp_tensor *g, void *user)
{
    notes *k = user;

    strcat(k->text, "d"), k->seen[k->n++] = check_at(g, 0);
    return tp_scale(g, 2);
}

static tp_tensor *adds_one(tp_tensor *g, void *user)
{
    notes *k = user;

    strcat(k->text, "a"), k->seen[k->n++] = check_at(g, 0);
    return tp_shift(g, 1);
}

static tp_tensor *looks(tp_tensor *g, void *user)
{
    notes *k = user;

    strcat(k->text, "l"), k->seen[k->n++] = check_at(g, 0);
    return NULL;
}

static tp_tensor *wrong(tp_tensor *g, void *user)
{
    (void)user;
    return tp_transpose(g, 0, 1);
}

static tp_tensor *fails(tp_tensor *g, void *user)
{
    return tp_fail(TP_ERR_USER, "the hook says %s", g ? (const char *)user : "");
}

ON_EACH_DEVICE(autograd, hooks_on_results)
{
    TP_SCOPE;
    tp_tensor *w = leaf_of(3, dev), *h = tp_square(w), *part[3], *loss;
    notes k = { .n = 0 };

    CHECK(tp_split(h, 1, 3, part));
    CHECK(tp_add_hook(h, adds_one, &k) && tp_add_hook(h, doubles, &k) && tp_add_hook(h, looks, &k));
    CHECK(tp_add_hook(part[1], looks, &k)); /* of an output that nobody uses */
    loss = tp_add(sum(part[0]), sum(tp_scale(h, 4)));
    CHECK(tp_backward_with(loss, (tp_backward_opts){ .retain_graph = true }));
    CHECK(!strcmp(k.text, "adl") && k.seen[0] == 5 && k.seen[1] == 6 && k.seen[2] == 12); /* in order, all arrived */
    CHECK(grad_of(w) == 12 * 6);
    CHECK(check_at(tp_grad_of(loss, w, (tp_grad_opts){ .retain_graph = true }), 0) == 72 && k.n == 6);
    CHECK(check_at(tp_grad_of(loss, h, (tp_grad_opts){ .retain_graph = true }), 0) == 12 && k.n == 9);
    CHECK(tp_zero_grad(w) && tp_backward(loss) && grad_of(w) == 72 && k.n == 12);
    CHECK_REFUSED(tp_add_hook(tp_detach(h), looks, &k), TP_ERR_ARG, "f32 (2, 3) requires no gradient");
    CHECK_REFUSED(tp_add_hook(h, NULL, &k), TP_ERR_ARG, "missing function");
    CHECK_REFUSED(tp_add_leaf_hook(h, NULL, &k), TP_ERR_ARG, "missing function");
}

ON_EACH_DEVICE(autograd, hooks_that_fail)
{
    for (int on_leaf = 0; on_leaf < 2; on_leaf++)
        for (int how = 0; how < 2; how++) {
            TP_SCOPE;
            tp_tensor *w = leaf_of(3, dev), *v = leaf_of(1, dev), *h = tp_square(w);

            CASE("hook %d on a %s, %s", how, on_leaf ? "leaf" : "result", tp_device_name(dev));
            CHECK(tp_backward(sum(tp_mul(v, w))) && tp_add_hook(on_leaf ? w : h, how ? fails : wrong, "no"));
            CHECK_REFUSED(tp_backward(tp_add(sum(tp_mul(h, v)), sum(h))), how ? TP_ERR_USER : TP_ERR_SHAPE,
                          how ? "the hook says no" : "hook: the gradient of f32 (2, 3) can't be f32 (3, 2)");
            CHECK(!tp_grad(w) && !tp_grad(v) && tp_ok()); /* none is left, rather than half a sum */
        }
}

ON_EACH_DEVICE(autograd, hooks_on_leaves_see_one_pass)
{
    TP_SCOPE;
    tp_tensor *w = leaf_of(3, dev);
    notes k = { .n = 0 };

    CHECK(tp_backward(sum(tp_scale(w, 10))) && tp_add_hook(w, doubles, &k) && tp_add_hook(w, looks, &k));
    CHECK(tp_backward(tp_add(sum(tp_square(w)), sum(w))));
    CHECK(!strcmp(k.text, "dl") && k.seen[0] == 7 && k.seen[1] == 14 && grad_of(w) == 24);
    CHECK(check_at(tp_grad_of(sum(tp_square(w)), w, (tp_grad_opts){ 0 }), 0) == 12 && grad_of(w) == 24);
}

/* ---- hooks when a leaf is done ---- */

static void done(tp_tensor *g, void *user)
{
    notes *k = user;
    char name[2] = { (char)('0' + k->n), 0 };

    CHECK(check_at(g, 0) == grad_of(k->of)); /* all of it */
    k->n++, strcat(k->text, name);
}

typedef struct order {
    notes each[3];
    char fired[16];
} order;

static order *log_of;
static void fire_a(tp_tensor *g, void *user) { done(g, user), strcat(log_of->fired, "a"); }
static void fire_b(tp_tensor *g, void *user) { done(g, user), strcat(log_of->fired, "b"); }
static void fire_c(tp_tensor *g, void *user) { done(g, user), strcat(log_of->fired, "c"); }

ON_EACH_DEVICE(autograd, leaf_hooks_fire_when_the_last_has_given)
{
    static tp_leaf_hook_fn *const fire[] = { fire_a, fire_b, fire_c };
    order o = { .fired = "" };
    TP_SCOPE;
    tp_tensor *w[3], *h, *part[3];

    log_of = &o;
    for (int i = 0; i < 3; i++) {
        w[i] = leaf_of(2, dev), o.each[i].of = w[i];
        CHECK(tp_add_leaf_hook(w[i], fire[i], &o.each[i]));
    }
    h = tp_square(tp_mul(w[0], w[1]));      /* the last to give to a */
    CHECK(tp_split(tp_exp(w[2]), 1, 3, part)); /* nothing arrives here, and c waits no longer for it */
    h = tp_mul(tp_mul(h, w[2]), w[0]);
    CHECK(tp_backward_with(tp_add(sum(h), sum(tp_slice(w[2], 0, 0, 1))), (tp_backward_opts){ 0 }));
    CHECK(!strcmp(o.fired, "cab") || !strcmp(o.fired, "cba"));
    for (int i = 0; i < 3; i++)
        CHECK(o.each[i].n == 1);
    CHECK(tp_backward(tp_add(sum(w[1]), sum(tp_add(w[1], w[1])))) && o.each[1].n == 2 && strlen(o.fired) == 4);
    CHECK(tp_grad_of(sum(tp_square(w[0])), w[0], (tp_grad_opts){ 0 }) && strlen(o.fired) == 4); /* .grad is left alone */
    CHECK(tp_backward(sum(tp_square(w[1]))) && o.each[1].n == 3 && o.each[0].n == 1);
    CHECK_REFUSED(tp_add_leaf_hook(tp_exp(w[0]), done, NULL), TP_ERR_ARG, "the result of exp is no leaf");
}

/* ---- a pass within a pass ---- */

static tp_tensor *differentiates_again(tp_tensor *g, void *user)
{
    (void)g;
    CHECK(!tp_backward(user));
    return NULL;
}

static tp_tensor *differentiates_another(tp_tensor *g, void *user)
{
    notes *k = user;
    TP_WITH_GRAD;
    tp_tensor *inner = sum(tp_square(k->of));

    (void)g;
    CHECK(tp_backward(inner));
    return NULL;
}

ON_EACH_DEVICE(autograd, a_pass_within_a_pass)
{
    TP_SCOPE;
    tp_tensor *w = leaf_of(3, dev), *v = leaf_of(4, dev), *h = tp_square(w), *loss = sum(tp_exp(tp_scale(h, 0)));
    notes k = { .of = v };

    CHECK(tp_add_hook(h, differentiates_again, loss));
    CHECK_REFUSED(tp_backward(loss), TP_ERR_ARG, "is being differentiated already: a pass within a pass over the same graph");
    CHECK(!tp_grad(w) && tp_ok());
    h = tp_square(w);
    CHECK(tp_add_hook(h, differentiates_another, &k) && tp_backward(sum(h)));
    CHECK(grad_of(w) == 6 && grad_of(v) == 8);
}

/* ---- anomaly mode ---- */

static int log_layer(void *self, tp_list in, tp_tensor **out, int room)
{
    (void)self, (void)room;
    return (out[0] = tp_log(in.t[0])) ? 1 : -1;
}

static int root_layer(void *self, tp_list in, tp_tensor **out, int room)
{
    (void)self, (void)room;
    return (out[0] = tp_scale(tp_sqrt(tp_scale(in.t[0], 0)), 0)) ? 1 : -1;
}

static void *log_in_a_thread(void *w)
{
    TP_SCOPE;
    tp_tensor *y = tp_log(w);
    bool named = !y && tp_error_code() == TP_ERR_NONFINITE && strstr(tp_error(), "log: output 0");

    return named ? w : NULL;
}

static void check_environment(const char *says, bool on)
{
    TP_SCOPE;
    tp_tensor *w = tp_full(TP_SHAPE(2), -1, TP_F32, tp_device_open("cpu"));
    pthread_t other;
    void *named;

    CASE("TP_ANOMALY=%s", says);
    setenv("TP_ANOMALY", says, 1);
    if (on) CHECK_REFUSED(tp_log(w), TP_ERR_NONFINITE, "log: output 0, f32 (2), holds NaN");
    else CHECK(tp_log(w));
    setenv("TP_ANOMALY", on ? "0" : "1", 1); /* read once */
    cr_assert(pthread_create(&other, NULL, log_in_a_thread, w) == 0 && pthread_join(other, &named) == 0);
    CHECK((named != NULL) == on);
    tp_mode off = tp_anomaly_begin(false);
    CHECK(tp_log(w));
    tp_mode_end(off);
    if (on) CHECK_REFUSED(tp_log(w), TP_ERR_NONFINITE, "log");
}

Test(autograd, anomaly_mode_by_the_environment)
{
    check_environment("1", true);
}

Test(autograd, anomaly_mode_not_by_the_environment)
{
    check_environment("0", false);
}

ON_EACH_DEVICE(autograd, anomalies_are_named)
{
    tp_module *inner[2], *outer[2], *net;
    TP_SCOPE;
    tp_tensor *w = leaf_of(-1, dev), *bad, *x;

    inner[0] = tp_nn_relu(), inner[1] = tp_nn_from("log", NULL, log_layer, NULL);
    outer[0] = tp_nn_tanh(), outer[1] = tp_nn_sequential(inner, 2), net = tp_nn_sequential(outer, 2);
    tp_nn_free(tp_nn_replace(net, "1.0", tp_nn_sigmoid()) ? NULL : net);
    CHECK(tp_nn_forward(net, w));
    tp_nn_replace(net, "1.0", tp_nn_tanh());
    CHECK(tp_nn_forward(net, w) && tp_ok()); /* NaN flows where nobody asked */
    {
        TP_ANOMALY;
        CHECK_REFUSED(tp_nn_forward(net, w), TP_ERR_NONFINITE, "log: output 0, f32 (2, 3), holds NaN  [in 1.1]");
        CHECK_REFUSED(tp_nn_predict(net, w), TP_ERR_NONFINITE, "log: output 0"); /* recorded or not */
        CHECK(tp_nn_forward(outer[0], w) && tp_exp(tp_full(TP_SCALAR, INFINITY, TP_F64, dev)));
        tp_nn_replace(net, "1.1", tp_nn_from("root", NULL, root_layer, NULL));
        x = tp_nn_forward(net, w);
        CHECK_REFUSED(tp_backward(sum(x)), TP_ERR_NONFINITE, "in the backward of sqrt  [in 1.1]");
        CHECK(!tp_grad(w) && tp_ok());
    }
    bad = tp_full(TP_SHAPE(2, 3), NAN, TP_F32, dev);
    CHECK(tp_backward_with(tp_exp(w), (tp_backward_opts){ .grad_output = bad }) && isnan(grad_of(w)));
    tp_nn_free(net);
}

/* ---- ops of one's own ---- */

typedef struct power {
    double a, p;
} power;

/* y0 = a x^2 t, y1 = x + t;  t is saved apart from the inputs too. */
static bool mix_forward(tp_call *c)
{
    const power *o = c->opts;

    c->out[0] = tp_scale(tp_mul(tp_square(c->in.t[0]), c->in.t[1]), o->a);
    c->out[1] = tp_add(c->in.t[0], c->in.t[1]);
    c->saved[0] = c->in.t[1], c->n_out = 2;
    return c->out[1];
}

static bool mix_backward(tp_call *c, tp_tensor *const *dy, tp_tensor **dx)
{
    const power *o = c->opts;
    tp_tensor *x = c->in.t[0], *t = c->saved[0];

    if (dy[0]) dx[0] = tp_scale(tp_mul(dy[0], tp_mul(x, t)), 2 * o->a), dx[1] = tp_scale(tp_mul(dy[0], tp_square(x)), o->a);
    for (int i = 0; dy[1] && i < 2; i++)
        dx[i] = dx[i] ? tp_add(dx[i], dy[1]) : dy[1];
    return tp_ok();
}

static const tp_user_op mix = { "mix", mix_forward, mix_backward };

static tp_tensor *f_mix(tp_list in, void *user)
{
    power o = { 1.5, 2 };
    tp_tensor *y[2];
    int n = tp_apply_all(&mix, in, &o, sizeof o, y, 2), which = (int)(intptr_t)user;

    o.a = NAN; /* they were copied */
    return n != 2 ? NULL : which ? y[which - 1] : tp_mul(tp_tanh(y[0]), y[1]);
}

ON_EACH_DEVICE(autograd, ops_of_ones_own)
{
    for (intptr_t which = 0; which < 3; which++) {
        TP_SCOPE;
        tp_tensor *in[] = { check_leaf(TP_SHAPE(2, 3), -1, 1, dev), check_leaf(TP_SHAPE(2, 3), -1, 1, dev) };
        tp_gradcheck_report r;

        CASE("output %d on %s", (int)which, tp_device_name(dev));
        CHECK(tp_gradcheck(f_mix, (tp_list){ in, 2 }, (void *)which, &r) && r.worst < 1e-6);
        CHECK(tp_gradgradcheck(f_mix, (tp_list){ in, 2 }, (void *)which, &r) && r.worst < 1e-6);
        {
            TP_NO_GRAD;
            CHECK(!tp_needs_grad(f_mix((tp_list){ in, 2 }, (void *)which)));
        }
    }
}

static const char *mood;

static bool moody_forward(tp_call *c)
{
    tp_tensor *inner = tp_exp(c->in.t[0]);

    CHECK(!tp_grad_enabled() && !tp_needs_grad(inner));
    c->out[0] = c->in.t[0];
    if (!strcmp(mood, "forward")) return tp_fail(TP_ERR_USER, "not today"), false;
    if (!strcmp(mood, "silent")) return false;
    if (!strcmp(mood, "none")) c->out[0] = NULL;
    if (!strcmp(mood, "many")) c->n_out = 99;
    if (!strcmp(mood, "inner")) c->saved[0] = inner;
    return true;
}

static bool moody_backward(tp_call *c, tp_tensor *const *dy, tp_tensor **dx)
{
    if (!strcmp(mood, "backward")) return tp_fail(TP_ERR_USER, "not this way"), false;
    if (!strcmp(mood, "dumb")) return false;
    if (!strcmp(mood, "nan")) return (dx[0] = tp_full(TP_SHAPE(2, 3), NAN, TP_F32, tp_device_of(dy[0]))) != NULL;
    dx[0] = !strcmp(mood, "shape") ? tp_transpose(dy[0], 0, 1) : !strcmp(mood, "inner") ? tp_mul(dy[0], c->saved[0]) : dy[0];
    return true;
}

static const tp_user_op moody = { "moody", moody_forward, moody_backward };

ON_EACH_DEVICE(autograd, ops_of_ones_own_that_fail)
{
    static const struct {
        const char *mood, *text;
        tp_code code;
    } cases[] = { { "forward", "not today", TP_ERR_USER }, { "silent", "moody: its forward failed without an error", TP_ERR_USER },
                  { "none", "moody: its forward gave no output 0", TP_ERR_ARG }, { "many", "moody: 99 outputs", TP_ERR_ARG },
                  { "backward", "not this way", TP_ERR_USER }, { "dumb", "moody: its backward failed without an error", TP_ERR_USER },
                  { "shape", "moody: the gradient of f32 (2, 3) can't be f32 (3, 2)", TP_ERR_SHAPE } };
    TP_SCOPE;
    tp_tensor *w = leaf_of(3, dev), *y;

    for (int i = 0; i < TP_LEN(cases); i++) {
        CASE("%s on %s", cases[i].mood, tp_device_name(dev));
        mood = cases[i].mood;
        y = tp_apply(&moody, TP_LIST(w), NULL, 0);
        if (i >= 4) CHECK(y && y != w && tp_needs_grad(y));
        CHECK_REFUSED(y && tp_backward(sum(y)), cases[i].code, cases[i].text);
        CHECK(!tp_grad(w));
    }
    CASE("in all moods on %s", tp_device_name(dev));
    {
        TP_ANOMALY;
        mood = "nan", y = tp_apply(&moody, TP_LIST(w), NULL, 0); /* a gradient that no op has made */
        CHECK_REFUSED(tp_backward(sum(y)), TP_ERR_NONFINITE, "moody: the gradient of input 0, f32 (2, 3), holds NaN");
    }
    mood = "inner", y = sum(tp_apply(&moody, TP_LIST(w), NULL, 0));
    CHECK_REFUSED(tp_grad_of(y, w, (tp_grad_opts){ .create_graph = true }), TP_ERR_ARG, "moody has no second derivative");
    CHECK(tp_backward(y));
    CHECK_NEAR(grad_of(w), exp(3), 8 * 0x1p-23 * exp(3));
    CHECK_REFUSED(tp_apply(NULL, TP_LIST(w), NULL, 0), TP_ERR_ARG, "an op has a name, forward, backward");
    CHECK_REFUSED(tp_apply(&(tp_user_op){ "half", moody_forward, NULL }, TP_LIST(w), NULL, 0), TP_ERR_ARG, "an op has a name");
}

/* ---- autocast ---- */

static void gradients(tp_module *m, tp_tensor *x, tp_dtype cast, double *out)
{
    TP_SCOPE;
    TP_AUTOCAST(cast);
    tp_tensor *y = tp_nn_forward(m, x), *g[2];

    CHECK(tp_dtype_of(y) == cast && tp_backward(tp_mean(tp_square(tp_cast(y, TP_F32)), TP_ALL)));
    g[0] = tp_grad(tp_nn_tensor(m, "0.weight")), g[1] = tp_grad(x);
    CHECK(tp_dtype_of(g[0]) == TP_F32 && tp_dtype_of(g[1]) == TP_F32);
    CHECK(tp_read(tp_cast(g[0], TP_F64), out, 32 * 16 * sizeof *out) && tp_read(tp_cast(g[1], TP_F64), out + 32 * 16, 8 * 16 * sizeof *out));
    tp_zero_grad(x);
    CHECK(tp_zero_grad(tp_nn_tensor(m, "0.weight")) && tp_zero_grad(tp_nn_tensor(m, "2.weight")));
}

/* Each of the four products in a chain rounds its operands and its result to 8 bits. */
ON_EACH_DEVICE(autograd, autocast_gradients_are_close)
{
    enum { N = 32 * 16 + 8 * 16 };
    double full[N], half[N], error = 0, norm = 0;
    tp_module *l[] = { tp_nn_linear(16, 32), tp_nn_tanh(), tp_nn_linear(32, 4) }, *m;
    TP_SCOPE;
    tp_tensor *x = tp_requires_grad(check_numbers(TP_SHAPE(8, 16), TP_F32, -1, 1, dev), true);

    tp_seed(4), m = tp_nn_init(tp_nn_sequential(l, 3), dev);
    gradients(m, x, TP_F32, full), gradients(m, x, TP_BF16, half);
    for (int i = 0; i < N; i++)
        error += (full[i] - half[i]) * (full[i] - half[i]), norm += full[i] * full[i];
    CHECK(sqrt(error) <= 3 * 4 * 0x1p-8 * sqrt(norm) && error > 0);
    tp_nn_free(m);
}

/* ---- threads ---- */

static void *trains(void *user)
{
    double *losses = user;
    tp_device *dev = tp_device_open("cpu");
    tp_module *l[] = { tp_nn_linear(6, 8), tp_nn_dropout(.2), tp_nn_tanh(), tp_nn_linear(8, 3) }, *m;
    tp_optim *opt;

    tp_seed(11), m = tp_nn_init(tp_nn_sequential(l, 4), dev), opt = tp_optim_adamw(tp_nn_params(m, "*"), tp_adamw(.05));
    for (int i = 0; i < 50; i++) {
        TP_SCOPE;
        tp_tensor *x = tp_randn(TP_SHAPE(5, 6), dev), *y = tp_argmax(tp_randn(TP_SHAPE(5, 3), dev), 1);
        tp_tensor *loss = tp_cross_entropy(tp_nn_forward(m, x), y);

        if (!tp_optim_zero_grad(opt) || !tp_backward(loss) || !tp_optim_step(opt)) break;
        losses[i] = tp_item(loss);
    }
    tp_optim_free(opt), tp_nn_free(m);
    return user;
}

Test(autograd, threads_do_not_see_each_other)
{
    double losses[5][50] = { { 0 } };
    pthread_t t[4];

    CASE("threads");
    for (int i = 0; i < 4; i++)
        cr_assert(pthread_create(&t[i], NULL, trains, losses[i]) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    trains(losses[4]);
    CHECK(losses[4][49] != 0);
    for (int i = 0; i < 4; i++)
        CHECK(!memcmp(losses[i], losses[4], sizeof losses[4])); /* bit for bit */
}
