/*
 * test_nn.c - modules: names, initial values, the tree, modes, hooks, copies, ownership.
 */
#include "tests/check.h"

/* ---- names and shapes are PyTorch's ---- */

static bool list_one(void *user, const char *name, tp_tensor **t)
{
    char *text = user;

    strcat(strcat(text, name), " ");
    strcat(strcat(text, tp__shape_text(tp_shape_of(*t))), "; ");
    return true;
}

static tp_module *sequential_of(tp_module *a, tp_module *b, tp_module *c)
{
    return tp_nn_sequential((tp_module *[]){ a, b, c }, c ? 3 : 2);
}

static void has_names(tp_module *m, tp_device *dev, const char *names, int64_t count)
{
    char text[2048] = "";

    tp_nn_init(m, dev);
    CHECK(tp_nn_each(tp_nn_params(m, "*"), true, list_one, text) > 0);
    cr_expect(!strcmp(text, names), "%s: %s", check_name, text);
    CHECK(tp_nn_count(m) == count);
    tp_nn_free(m);
}

ON_EACH_DEVICE(nn, names_are_pytorchs)
{
    tp_lstm_opts two = { .layers = 2, .bidirectional = true };

    has_names(sequential_of(tp_nn_linear(3, 4), tp_nn_relu(),
                            tp_nn_linear_with(4, 2, (tp_linear_layer_opts){ .no_bias = true })),
              dev, "0.weight (4, 3); 0.bias (4); 2.weight (2, 4); ", 24);
    has_names(tp_nn_conv2d(4, 6, 3, (tp_conv2d_opts){ .groups = 2 }), dev, "weight (6, 2, 3, 3); bias (6); ", 114);
    has_names(tp_nn_batch_norm(5), dev,
              "weight (5); bias (5); running_mean (5); running_var (5); num_batches_tracked (); ", 10);
    has_names(sequential_of(tp_nn_linear(2, 1), tp_nn_max_pool2d_with(3, (tp_pool2d_opts){ .stride = 2 }), NULL), dev,
              "0.weight (1, 2); 0.bias (1); ", 3);
    has_names(tp_nn_layer_norm(TP_SHAPE(2, 3)), dev, "weight (2, 3); bias (2, 3); ", 12);
    has_names(tp_nn_embedding(7, 3), dev, "weight (7, 3); ", 21);
    has_names(tp_nn_lstm(3, 2, (tp_lstm_opts){ .no_bias = true }), dev, "weight_ih_l0 (8, 3); weight_hh_l0 (8, 2); ",
              40);
    has_names(
        tp_nn_lstm(3, 2, two), dev,
        "weight_ih_l0 (8, 3); weight_hh_l0 (8, 2); bias_ih_l0 (8); bias_hh_l0 (8); "
        "weight_ih_l0_reverse (8, 3); weight_hh_l0_reverse (8, 2); bias_ih_l0_reverse (8); bias_hh_l0_reverse (8); "
        "weight_ih_l1 (8, 4); weight_hh_l1 (8, 2); bias_ih_l1 (8); bias_hh_l1 (8); "
        "weight_ih_l1_reverse (8, 4); weight_hh_l1_reverse (8, 2); bias_ih_l1_reverse (8); bias_hh_l1_reverse (8); ",
        2 * (24 + 16 + 16) + 2 * (32 + 16 + 16));
}

/* ---- initial values ---- */

typedef struct spread {
    double lo, hi, mean, square;
} spread;

static spread spread_of(tp_tensor *t)
{
    spread s = { INFINITY, -INFINITY, 0, 0 };
    double n = (double)tp_count(t);

    for (int64_t i = 0; i < tp_count(t); i++) {
        double v = check_at(t, i);

        s.lo = fmin(s.lo, v), s.hi = fmax(s.hi, v), s.mean += v / n, s.square += v * v / n;
    }
    return s;
}

/* Within five deviations of what the mean and the mean square of n such numbers are. */
static void is_uniform(tp_module *m, const char *name, double bound)
{
    spread s = spread_of(tp_nn_tensor(m, name));
    double n = (double)tp_count(tp_nn_tensor(m, name));

    CASE("%s of %s", name, tp_nn_kind(m));
    CHECK(s.lo >= -bound && s.hi <= bound && s.hi - s.lo > 2 * bound * (1 - 12 / n));
    CHECK_NEAR(s.mean, 0, 5 * bound / sqrt(3 * n));
    CHECK_NEAR(s.square, bound * bound / 3, 5 * bound * bound * sqrt(4 / 45. / n));
}

ON_EACH_DEVICE(nn, initial_values)
{
    tp_module *l = tp_nn_linear(50, 40), *c = tp_nn_conv2d(8, 10, 5, (tp_conv2d_opts){ .groups = 2 });
    tp_module *r = tp_nn_lstm(5, 16, (tp_lstm_opts){ 0 }), *e = tp_nn_embedding(100, 20), *b = tp_nn_batch_norm(4);
    spread s;

    tp_seed(3);
    tp_nn_init(l, dev), tp_nn_init(c, dev), tp_nn_init(r, dev), tp_nn_init(e, dev), tp_nn_init(b, dev);
    is_uniform(l, "weight", 1 / sqrt(50)), is_uniform(l, "bias", 1 / sqrt(50));
    is_uniform(c, "weight", 1 / sqrt(100)), is_uniform(r, "weight_hh_l0", .25), is_uniform(r, "bias_ih_l0", .25);
    CASE("normal and constant");
    s = spread_of(tp_nn_tensor(e, "weight"));
    CHECK_NEAR(s.mean, 0, 5 / sqrt(2000));
    CHECK_NEAR(s.square, 1, 5 * sqrt(2 / 2000.));
    CHECK(check_at(tp_nn_tensor(b, "weight"), 3) == 1 && check_at(tp_nn_tensor(b, "bias"), 3) == 0);
    CHECK(check_at(tp_nn_tensor(b, "running_mean"), 3) == 0 && check_at(tp_nn_tensor(b, "running_var"), 3) == 1);
    CHECK(tp_needs_grad(tp_nn_tensor(b, "weight")) && !tp_needs_grad(tp_nn_tensor(b, "running_mean")));
    tp_nn_free(l), tp_nn_free(c), tp_nn_free(r), tp_nn_free(e), tp_nn_free(b);
}

static tp_module *drawn(uint64_t seed, tp_dtype d, tp_device *dev)
{
    tp_module *m = sequential_of(tp_nn_linear(3, 4), tp_nn_embedding(5, 2), tp_nn_linear(2, 2));

    tp_seed(seed);
    CHECK(tp_nn_cast(m, d));
    return tp_nn_init(m, dev);
}

static bool equal(tp_module *a, tp_module *b, const char *name)
{
    tp_tensor *x = tp_nn_tensor(a, name), *y = tp_nn_tensor(b, name);

    for (int64_t i = 0; i < tp_count(x); i++)
        if (check_at(x, i) != check_at(y, i)) return false;
    return x && y && tp_count(x) == tp_count(y);
}

ON_EACH_DEVICE(nn, a_seed_means_one_network)
{
    TP_SCOPE;
    tp_module *a = drawn(5, TP_F32, dev), *again = drawn(5, TP_F32, dev), *wide = drawn(5, TP_F64, dev);
    tp_module *host = drawn(5, TP_F32, tp_device_open("cpu")), *other = drawn(6, TP_F32, dev), *loaded;
    tp_rng rng;

    CHECK(equal(a, again, "0.weight") && equal(a, again, "2.bias") && equal(a, wide, "1.weight") &&
          equal(a, host, "2.weight"));
    CHECK(!equal(a, other, "0.weight") && tp_dtype_of(tp_nn_tensor(wide, "0.bias")) == TP_F64);
    rng = tp_rng_save(), tp_nn_init(a, dev);
    CHECK(equal(a, again, "0.weight") && tp_rng_save().offset == rng.offset); /* drawn once */
    loaded = sequential_of(tp_nn_linear(3, 4), tp_nn_embedding(5, 2), tp_nn_linear(2, 2));
    CHECK(tp_nn_set(loaded, "0.weight", tp_nn_tensor(other, "0.weight")));
    tp_nn_init(loaded, dev);
    CHECK(equal(loaded, other, "0.weight") && tp_nn_tensor(loaded, "0.bias"));
    tp_nn_free(a), tp_nn_free(again), tp_nn_free(wide), tp_nn_free(host), tp_nn_free(other), tp_nn_free(loaded);
}

/* ---- the tree ---- */

ON_EACH_DEVICE(nn, getting_setting_replacing)
{
    tp_module *m =
        sequential_of(tp_nn_linear(3, 4), sequential_of(tp_nn_relu(), tp_nn_linear(4, 2), NULL), tp_nn_tanh());
    TP_SCOPE;
    tp_tensor *t = tp_full(TP_SHAPE(4), 5, TP_F32, dev);

    tp_nn_init(m, dev);
    CHECK(tp_nn_get(m, "") == m && !strcmp(tp_nn_kind(tp_nn_get(m, "1.0")), "relu") && !strcmp(tp_nn_kind(NULL), ""));
    CHECK_REFUSED(tp_nn_get(m, "1.2"), TP_ERR_ARG, "there is no module 1.2");
    CHECK_REFUSED(tp_nn_get(m, "1..0"), TP_ERR_ARG, "there is no module 1..0");
    CHECK_REFUSED(tp_nn_get(NULL, ""), TP_ERR_ARG, "missing module or path");
    CHECK(tp_nn_tensor(m, "1.1.weight") && !tp_nn_has(m, "1.1.w") &&
          !tp_nn_has(m, "weight") && tp_ok());
    CHECK_REFUSED(tp_nn_tensor(m, "1.1.w"), TP_ERR_ARG, "there is no parameter or buffer 1.1.w");
    CHECK_REFUSED(tp_nn_tensor(m, "weight"), TP_ERR_ARG, "there is no parameter or buffer weight");
    CHECK_REFUSED(tp_nn_tensor(m, "3.weight"), TP_ERR_ARG,
                  "there is no parameter or buffer 3.weight");
    CHECK(tp_nn_set(m, "0.bias", t) && tp_nn_tensor(m, "0.bias") == t);
    CHECK_REFUSED(tp_nn_set(m, "0.weight", t), TP_ERR_SHAPE, "0.weight is (4, 3), not f32 (4)");
    CHECK_REFUSED(tp_nn_set(m, "0.b", t), TP_ERR_ARG, "there is no parameter 0.b");
    CHECK_REFUSED(tp_nn_set(m, "0.bias", NULL), TP_ERR_ARG, "missing");
    CHECK_REFUSED(tp_nn_replace(m, "1.3", tp_nn_relu()), TP_ERR_ARG, "there is no module 1.3");
    CHECK_REFUSED(tp_nn_replace(m, "", tp_nn_relu()), TP_ERR_ARG, "missing module or path");
    CHECK_REFUSED(tp_nn_replace(m, "0", tp_nn_get(m, "1")), TP_ERR_ARG, "the new one has a parent");
    CHECK_REFUSED(tp_nn_replace(tp_nn_get(m, "1"), "0", m), TP_ERR_ARG,
                  "sequential can't be a child of its own part");
    CHECK(!strcmp(tp_nn_kind(tp_nn_replace(m, "1.0", tp_nn_gelu())), "gelu"));
    CHECK(tp_nn_forward(m, tp_ones(TP_SHAPE(2, 3), TP_F32, dev)) != NULL);
    tp_nn_free(m), tp_nn_free(NULL);
}

ON_EACH_DEVICE(nn, tied_weights_stay_tied)
{
    tp_module *m = sequential_of(tp_nn_linear(3, 3), tp_nn_tanh(), tp_nn_linear(3, 3)), *c;
    TP_SCOPE;

    tp_nn_init(m, dev);
    CHECK(tp_nn_set(m, "2.weight", tp_nn_tensor(m, "0.weight")));
    c = tp_nn_clone(m);
    CHECK(tp_nn_tensor(c, "2.weight") == tp_nn_tensor(c, "0.weight") &&
          tp_nn_tensor(c, "0.weight") != tp_nn_tensor(m, "0.weight"));
    CHECK(tp_nn_tensor(c, "2.bias") != tp_nn_tensor(c, "0.bias"));
    CHECK(tp_nn_cast(c, TP_F64) && tp_nn_tensor(c, "2.weight") == tp_nn_tensor(c, "0.weight"));
    CHECK(tp_dtype_of(tp_nn_tensor(c, "2.weight")) == TP_F64 && tp_needs_grad(tp_nn_tensor(c, "2.weight")));
    tp_nn_init(c, tp_device_open("cpu"));
    CHECK(tp_nn_tensor(c, "2.weight") == tp_nn_tensor(c, "0.weight"));
    tp_nn_free(m), tp_nn_free(c);
}

ON_EACH_DEVICE(nn, by_pattern)
{
    tp_module *m = sequential_of(tp_nn_linear(3, 4), sequential_of(tp_nn_dropout(.5), tp_nn_linear(4, 2), NULL),
                                 tp_nn_batch_norm(2));
    char text[512] = "";

    CHECK(tp_nn_freeze(m, "0.*", true) == 2); /* described, not drawn yet */
    tp_nn_init(m, dev);
    CHECK(!tp_needs_grad(tp_nn_tensor(m, "0.bias")) && tp_needs_grad(tp_nn_tensor(m, "1.1.bias")));
    CHECK(tp_nn_freeze(m, "*", false) == 6 && tp_needs_grad(tp_nn_tensor(m, "0.bias")));
    CHECK(tp_nn_freeze(m, "*.bias", true) == 3 && !tp_needs_grad(tp_nn_tensor(m, "2.bias")) &&
          tp_needs_grad(tp_nn_tensor(m, "2.weight")));
    CHECK(tp_nn_each(tp_nn_params(m, "1.?.[wb]*"), false, list_one, text) == 2 &&
          !strcmp(text, "1.1.weight (2, 4); 1.1.bias (2); "));
    CHECK(tp_nn_train(m, "1*", false) == 3 && tp_nn_training(m) && !tp_nn_training(tp_nn_get(m, "1.0")) &&
          tp_nn_training(tp_nn_get(m, "2")));
    CHECK(tp_nn_train(m, "*", true) == 6 && tp_nn_training(tp_nn_get(m, "1.0")) && !tp_nn_training(NULL));
    CHECK_REFUSED(tp_nn_freeze(m, "3.*", true) >= 0, TP_ERR_ARG, "no parameter's name matches \"3.*\"");
    CHECK_REFUSED(tp_nn_freeze(m, "*running*", true) >= 0, TP_ERR_ARG, "no parameter's name matches");
    CHECK_REFUSED(tp_nn_train(m, "x", true) >= 0, TP_ERR_ARG, "no module's name matches \"x\"");
    CHECK_REFUSED(tp_nn_train(NULL, "*", true) >= 0, TP_ERR_ARG, "missing module or pattern");
    CHECK_REFUSED(tp_nn_each(tp_nn_params(m, "*running*"), false, list_one, text) >= 0, TP_ERR_ARG,
                  "no name matches");
    CHECK_REFUSED(tp_nn_each(tp_nn_params(m, NULL), false, list_one, text) >= 0, TP_ERR_ARG,
                  "missing module, pattern");
    tp_nn_free(m);
}

/* ---- modes and buffers ---- */

ON_EACH_DEVICE(nn, buffers_move_in_training)
{
    tp_module *m = sequential_of(tp_nn_batch_norm(2), tp_nn_dropout(.5), NULL);
    TP_SCOPE;
    tp_tensor *x = tp_from((float[]){ 1, 10, 3, 30 }, TP_SHAPE(2, 2), TP_F32, dev), *y;

    tp_nn_init(m, dev);
    y = tp_nn_predict(m, x); /* (x - 0) / sqrt(1 + eps) */
    CHECK_NEAR(check_at(y, 3), 30 / sqrt(1 + 1e-5), 30 * 8 * 0x1p-23);
    CHECK(!tp_needs_grad(y) && tp_nn_training(tp_nn_get(m, "0")) &&
          check_at(tp_nn_tensor(m, "0.num_batches_tracked"), 0) == 0);
    CHECK(tp_nn_forward(m, x) && tp_nn_forward(m, x) && check_at(tp_nn_tensor(m, "0.num_batches_tracked"), 0) == 2);
    CHECK_NEAR(check_at(tp_nn_tensor(m, "0.running_mean"), 1), .9 * 2 + 2, 4 * 8 * 0x1p-23); /* of 20 twice */
    CHECK_NEAR(check_at(tp_nn_tensor(m, "0.running_var"), 1), .81 + (.09 + .1) * 200,
               40 * 8 * 0x1p-23); /* unbiased */
    tp_nn_train(m, "0", false);
    CHECK(tp_nn_forward(m, x) && check_at(tp_nn_tensor(m, "0.num_batches_tracked"), 0) == 2);
    CHECK(!tp_nn_predict(m, tp_ones(TP_SHAPE(2, 3), TP_F32, dev))); /* modes come back after a failure too */
    tp_clear_error();
    CHECK(!tp_nn_training(tp_nn_get(m, "0")) && tp_nn_training(tp_nn_get(m, "1")) && tp_nn_training(m) &&
          tp_grad_enabled());
    CHECK_REFUSED(tp_nn_predict(NULL, x), TP_ERR_ARG, "missing module");
    tp_nn_free(m);
}

/* ---- modules of one's own, hooks ---- */

typedef struct own {
    tp_tensor *cached;
    int released, called, hooked, order;
} own;

static void release_own(void *self)
{
    ((own *)self)->released++;
}

static int run_cached(void *self, tp_list in, tp_tensor **out, int room)
{
    own *k = self;

    (void)in;
    k->called++;
    for (int i = 0; i < room && i < 2; i++)
        out[i] = k->cached;
    return room > 1 ? 2 : 1;
}

static int run_wrong(void *self, tp_list in, tp_tensor **out, int room)
{
    (void)self, (void)in, (void)out;
    return room + 1;
}

static int run_mute(void *self, tp_list in, tp_tensor **out, int room)
{
    CHECK(!strcmp(tp_nn_kind(self), "mute")); /* without a self: the module */
    (void)in, (void)out, (void)room;
    return -1;
}

static void note_hook(tp_module *m, tp_list in, tp_list out, void *user)
{
    own *k = user;

    CHECK(m && in.n <= 1 && out.n == 1 && out.t[0]);
    k->hooked++;
    k->order = 2 * k->order + 1;
}

static void second_hook(tp_module *m, tp_list in, tp_list out, void *user)
{
    (void)m, (void)in, (void)out;
    ((own *)user)->order *= 2;
}

ON_EACH_DEVICE(nn, modules_of_ones_own)
{
    own k = { 0 }, other = { 0 };
    tp_module *cached = tp_nn_from("cached", &k, run_cached, release_own),
              *m = sequential_of(tp_nn_tanh(), cached, tp_nn_relu());
    tp_module *bad = tp_nn_from("bad", &k, run_wrong, NULL), *mute = tp_nn_from("mute", NULL, run_mute, NULL);
    TP_SCOPE;
    tp_tensor *x = tp_ones(TP_SHAPE(2), TP_F32, dev), *out[2] = { NULL };

    k.cached = tp_full(TP_SHAPE(3), 7, TP_F32, dev); /* lent by this scope, not by the layer's */
    CHECK(tp_nn_add_hook(cached, note_hook, &k) && tp_nn_add_hook(cached, second_hook, &k));
    CHECK(check_at(tp_nn_forward(m, x), 2) == 7 && check_at(tp_nn_forward(m, x), 2) == 7);
    CHECK(check_at(k.cached, 1) == 7 && k.called == 2 && k.hooked == 2 && k.order == 10); /* in order */
    CHECK(tp_nn_apply(cached, (tp_list){ 0 }, out, 1) == 1 && out[0] == k.cached);
    CHECK_REFUSED(tp_nn_add_hook(NULL, note_hook, &k), TP_ERR_ARG, "missing module or function");
    CHECK_REFUSED(tp_nn_clone(m), TP_ERR_ARG, "cached was made with a self");
    CHECK_REFUSED(tp_nn_forward(bad, x), TP_ERR_ARG, "bad: its forward gave 2 outputs where there is room for 1");
    CHECK_REFUSED(tp_nn_forward(mute, x), TP_ERR_USER, "mute: its forward failed without an error");
    tp_nn_free(m), tp_nn_free(bad), tp_nn_free(mute);
    CHECK(k.released == 1);
    CHECK_REFUSED(tp_nn_from(NULL, &other, run_cached, release_own), TP_ERR_ARG, "missing kind");
    CHECK(other.released == 1); /* also after a failure */
}

ON_EACH_DEVICE(nn, sequences_pass_through)
{
    tp_module *none = tp_nn_sequential(NULL, 0),
              *idle = sequential_of(tp_nn_dropout(.5), tp_nn_dropout(.5), tp_nn_flatten());
    TP_SCOPE;
    tp_tensor *x = tp_ones(TP_SHAPE(2, 3), TP_F32, dev), *y;

    CHECK(tp_nn_forward(none, x) == x);
    tp_nn_train(idle, "*", false);
    y = tp_nn_forward(idle, x);
    CHECK(y && y != x && tp__data(y) == tp__data(x) && check_at(x, 5) == 1);
    tp_nn_train(idle, "*", true), tp_seed(1);
    y = tp_nn_forward(idle, x);
    for (int i = 0; i < 6; i++)
        CHECK(check_at(y, i) == 0 || check_at(y, i) == 2 || check_at(y, i) == 4);
    tp_nn_free(none), tp_nn_free(idle);
}

/* ---- LSTM: states, order of axes, one output ---- */

ON_EACH_DEVICE(nn, lstm_layers)
{
    tp_module *m =
        tp_nn_init(tp_nn_lstm(3, 2, (tp_lstm_opts){ .layers = 2, .bidirectional = true, .batch_first = true }), dev);
    TP_SCOPE;
    tp_tensor *x = check_numbers(TP_SHAPE(5, 4, 3), TP_F32, -1, 1, dev),
              *zero = tp_zeros(TP_SHAPE(4, 5, 2), TP_F32, dev), *y;
    tp_lstm_out a = tp_nn_lstm_forward(m, x, NULL, NULL), b = tp_nn_lstm_forward(m, x, zero, zero);

    CHECK(tp_dim(a.y, 0) == 5 && tp_dim(a.y, 1) == 4 && tp_dim(a.y, 2) == 4);
    CHECK(tp_dim(a.h, 0) == 4 && tp_dim(a.h, 1) == 5 && tp_dim(a.c, 2) == 2);
    y = tp_nn_forward(m, x);
    for (int i = 0; i < 80; i++)
        CHECK(check_at(a.y, i) == check_at(b.y, i) && check_at(y, i) == check_at(b.y, i));
    CHECK(check_at(a.y, 3 * 4 + 0) == check_at(a.h, 2 * 10 + 0)); /* the last step of batch 0, forwards, layer 1 */
    CHECK(check_at(a.y, 0 * 4 + 2) == check_at(a.h, 3 * 10 + 0)); /* the first, backwards */
    CHECK_REFUSED(tp_nn_lstm_forward(m, x, tp_zeros(TP_SHAPE(2, 5, 2), TP_F32, dev), NULL).y, TP_ERR_SHAPE,
                  "h is f32 (2, 5, 2), not (4, 5, 2)");
    CHECK_REFUSED(tp_nn_lstm_forward(m, tp_ones(TP_SHAPE(5, 3), TP_F32, dev), NULL, NULL).y, TP_ERR_SHAPE,
                  "x must have 3 axes, not f32 (5, 3)");
    CHECK_REFUSED(tp_nn_lstm_forward(m, NULL, NULL, NULL).y, TP_ERR_ARG, "lstm: input 0 is missing");
    tp_nn_free(m);
}

/* ---- who owns what ---- */

ON_EACH_DEVICE(nn, children_are_taken_also_after_a_failure)
{
    tp_module *m = tp_nn_container("m"), *a = tp_nn_add(m, "a", tp_nn_relu()), *twice = tp_nn_tanh(), *deep;
    char name[80];

    memset(name, 'x', sizeof name), name[64] = 0;
    CHECK_REFUSED(tp_nn_add(m, "a", tp_nn_relu()), TP_ERR_ARG, "there is a a already");
    CHECK_REFUSED(tp_nn_add(m, "", tp_nn_relu()), TP_ERR_ARG, "\"\" can't be a name");
    CHECK_REFUSED(tp_nn_add(m, "b.c", tp_nn_relu()), TP_ERR_ARG, "\"b.c\" can't be a name");
    CHECK_REFUSED(tp_nn_add(m, name, tp_nn_relu()), TP_ERR_ARG, "1 to 63 characters");
    CHECK_REFUSED(tp_nn_add(m, NULL, tp_nn_relu()), TP_ERR_ARG, "can't be a name");
    CHECK_REFUSED(tp_nn_add(NULL, "b", tp_nn_relu()), TP_ERR_ARG, "missing parent for b");
    CHECK_REFUSED(tp_nn_add(m, "b", NULL), TP_ERR_ARG, "missing child for b");
    CHECK_REFUSED(tp_nn_add(m, "b", a), TP_ERR_ARG, "b already has a parent");
    CHECK_REFUSED(tp_nn_add(m, "b", m), TP_ERR_ARG, "m can't be a child of its own part");
    CHECK_REFUSED(tp_nn_add(a, "b", m), TP_ERR_ARG, "m can't be a child of its own part");
    CHECK_REFUSED(tp_nn_sequential((tp_module *[]){ tp_nn_relu(), NULL, tp_nn_tanh() }, 3), TP_ERR_ARG,
                  "missing child for 1");
    CHECK_REFUSED(tp_nn_sequential((tp_module *[]){ twice, tp_nn_relu(), twice }, 3), TP_ERR_ARG,
                  "layer 2 is there already");
    twice = tp_nn_tanh(), tp_fail(TP_ERR_USER, "pending");
    CHECK_REFUSED(tp_nn_sequential((tp_module *[]){ twice, twice }, 2), TP_ERR_USER, "pending");
    CHECK_REFUSED(tp_nn_param(m, "a", TP_SHAPE(2), (tp_init){ 0 }), TP_ERR_ARG, "there is a a already");
    CHECK_REFUSED(tp_nn_param(m, "w", TP_SHAPE(-2), (tp_init){ 0 }), TP_ERR_SHAPE, "negative size in (-2)");
    CHECK_REFUSED(tp_nn_param(NULL, "w", TP_SHAPE(2), (tp_init){ 0 }), TP_ERR_ARG, "missing module for w");
    CHECK_REFUSED(tp_nn_buffer(m, "a.b", TP_SHAPE(2), TP_F32, 0), TP_ERR_ARG, "can't be a name");
    deep = m, name[60] = 0;
    for (int i = 0; i < 5; i++)
        deep = tp_nn_add(deep, name, tp_nn_container("deep"));
    CHECK(deep && tp_nn_param(deep, "w", TP_SCALAR, (tp_init){ 0 }));
    CHECK_REFUSED(tp_nn_init(m, dev) && tp_ok(), TP_ERR_ARG, "names are too deep");
    CHECK(tp_nn_init(m, dev) == m);
    tp_clear_error(), tp_nn_free(m);
}

/* ---- a parameter that becomes another after an optimizer was made ---- */

static double step_of(tp_module *m, tp_optim *o, tp_dtype d, tp_device *dev)
{
    TP_SCOPE;
    double before = check_at(tp_nn_tensor(m, "weight"), 0);

    CHECK(tp_optim_zero_grad(o) && tp_backward(tp_sum(tp_nn_forward(m, tp_ones(TP_SHAPE(1, 2), d, dev)), TP_ALL)));
    CHECK(tp_optim_step(o));
    return before - check_at(tp_nn_tensor(m, "weight"), 0);
}

ON_EACH_DEVICE(nn, a_cast_keeps_what_the_optimizer_holds)
{
    for (int steps = 0; steps < 2; steps++) {
        tp_module *m = tp_nn_init(tp_nn_linear(2, 1), dev);
        tp_tensor *w = tp_nn_tensor(m, "weight");
        tp_optim *o = tp_optim_adam(tp_nn_params(m, "*"), tp_adam(.25));
        double v = check_at(w, 1);

        CASE("%d steps before on %s", steps, tp_device_name(dev));
        for (int i = 0; i < steps; i++)
            CHECK_NEAR(step_of(m, o, TP_F32, dev), .25, 1e-6);
        CHECK(tp_nn_cast(m, TP_F64) && tp_nn_tensor(m, "weight") == w && tp_dtype_of(w) == TP_F64 && tp_needs_grad(w));
        CHECK_NEAR(check_at(w, 1), v - .25 * steps, 1e-6);
        CHECK(!tp_grad(w));
        CHECK_NEAR(step_of(m, o, TP_F64, dev), .25, 1e-7); /* m and v follow: a constant gradient, bias corrected */
        CHECK(tp_optim_steps(o) == steps + 1);
        tp_nn_free(m), tp_optim_free(o);
    }
}

ON_EACH_DEVICE(nn, an_optimizer_refuses_what_was_replaced)
{
    TP_SCOPE;
    tp_module *l[] = { tp_nn_linear(2, 2), tp_nn_linear(2, 2) }, *m = tp_nn_init(tp_nn_sequential(l, 2), dev);
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
    tp_tensor *x = tp_ones(TP_SHAPE(1, 2), TP_F32, dev), *loss;

    CHECK(tp_nn_set(m, "1.weight", tp_nn_tensor(m, "1.weight"))); /* by itself: nothing has changed */
    CHECK(tp_optim_zero_grad(o));
    CHECK(tp_nn_set(m, "1.weight", tp_nn_tensor(m, "0.weight"))); /* tied */
    loss = tp_sum(tp_nn_forward(m, x), TP_ALL);
    CHECK(tp_backward(loss));
    CHECK_REFUSED(tp_optim_step(o), TP_ERR_ARG, "tp_optim_step: 1.weight was replaced by tp_nn_set or tp_nn_replace");
    CHECK_REFUSED(tp_optim_zero_grad(o), TP_ERR_ARG, "tp_optim_zero_grad: 1.weight was replaced");
    CHECK_REFUSED(tp_optim_clip_norm(o, 1), TP_ERR_ARG, "1.weight was replaced");
    tp_optim_free(o);
    o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
    CHECK(tp_optim_step(o));
    CHECK(tp_nn_set(m, "1.weight", tp_ones(TP_SHAPE(2, 2), TP_F32, dev))); /* 0.weight is there still */
    CHECK(tp_optim_zero_grad(o));
    CHECK(tp_nn_init(tp_nn_replace(m, "0", tp_nn_linear(2, 2)), dev) && tp_ok());
    CHECK_REFUSED(tp_optim_step(o), TP_ERR_ARG, "0.weight was replaced");
    tp_nn_free(m);
    tp_optim_free(o);
    o = tp_optim_sgd(tp_nn_params(m = tp_nn_init(tp_nn_linear(2, 2), dev), "*"), tp_sgd(1));
    tp_nn_free(m); /* freed is not replaced: the optimizer goes on with what it holds */
    CHECK(tp_optim_zero_grad(o) && tp_optim_step(o));
    tp_optim_free(o);
}
