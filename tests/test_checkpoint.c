/*
 * test_checkpoint.c - running a function again equals having kept everything, bit for bit.
 */
#include "tests/check.h"

enum { PARAMS = 6, MOST = 1024 };

typedef struct outcome {
    double loss, grads[MOST], buffers[MOST];
    int n_grads, n_buffers;
    tp_rng rng;
} outcome;

static void append(double *to, int *n, tp_tensor *t)
{
    for (int64_t i = 0; i < tp_count(t); i++)
        to[(*n)++] = check_at(t, i);
}

static bool collect(void *user, const char *name, tp_tensor **t)
{
    outcome *o = user;
    TP_SCOPE;

    (void)name;
    if (!tp_needs_grad(*t)) return append(o->buffers, &o->n_buffers, *t), true;
    append(o->grads, &o->n_grads, tp_grad(*t));
    return true;
}

static bool same(const outcome *a, const outcome *b)
{
    return a->loss == b->loss && a->n_grads == b->n_grads && a->n_buffers == b->n_buffers && a->rng.offset == b->rng.offset &&
           !memcmp(a->grads, b->grads, sizeof *a->grads * (size_t)a->n_grads) &&
           !memcmp(a->buffers, b->buffers, sizeof *a->buffers * (size_t)a->n_buffers);
}

/* ---- networks: a body that may be checkpointed, within a network that isn't ---- */

typedef enum how { PLAIN, ONCE, NESTED, HOWS } how;

typedef struct nest {
    tp_module *inner;
    how as;
} nest;

static int run_nest(void *self, tp_list in, tp_tensor **out, int room)
{
    nest *k = self;

    return (k->as == NESTED ? tp_nn_checkpoint : tp_nn_apply)(k->inner, in, out, room);
}

static tp_module *body_of(nest *k)
{
    tp_module *inner[] = { tp_nn_linear(6, 8), tp_nn_dropout(.3), tp_nn_batch_norm(8), tp_nn_gelu() };
    tp_module *outer[4] = { tp_nn_dropout(.2), NULL, tp_nn_linear(8, 4), tp_nn_batch_norm(4) };

    k->inner = tp_nn_sequential(inner, 4);
    outer[1] = tp_nn_from("nest", k, run_nest, NULL);
    tp_nn_add(outer[1], "inner", k->inner);
    return tp_nn_sequential(outer, 4);
}

static bool backward_all(tp_tensor *loss, tp_module *body, bool change_modes, bool twice)
{
    bool ok = true;

    if (change_modes) ok = tp_nn_train(body, "*", false) > 0;
    if (twice) ok = ok && tp_backward_with(loss, (tp_backward_opts){ .retain_graph = true });
    return ok && tp_backward(loss);
}

static void run(how as, tp_dtype cast, bool eval_inner, bool change_modes, bool twice, tp_device *dev, outcome *o)
{
    nest k = { .as = as };
    tp_module *body = body_of(&k);
    TP_SCOPE;
    tp_tensor *x, *y = NULL, *loss;

    tp_seed(9), tp_nn_init(body, dev);
    x = tp_requires_grad(tp_randn(TP_SHAPE(5, 6), dev), true);
    if (eval_inner) tp_nn_train(k.inner, "2", false);
    {
        TP_AUTOCAST(cast);
        CHECK((as == PLAIN ? tp_nn_apply : tp_nn_checkpoint)(body, TP_LIST(tp_square(x)), &y, 1) == 1);
        loss = tp_mean(tp_square(tp_cast(tp_dropout(y, .1), TP_F32)), TP_ALL);
    }
    CHECK(backward_all(loss, body, change_modes, twice));
    CHECK(!change_modes || (!tp_nn_training(body) && !tp_nn_training(k.inner)));
    o->loss = tp_item(loss), o->rng = tp_rng_save(), o->n_grads = o->n_buffers = 0;
    append(o->grads, &o->n_grads, tp_grad(x));
    CHECK(tp_nn_each(tp_nn_params(body, "*"), true, collect, o) > 0 && o->n_grads > 100 && o->n_buffers > 20);
    tp_nn_free(body);
}

ON_EACH_DEVICE(checkpoint, equals_plain)
{
    static const char *const name[] = { "plain", "once", "nested" };
    static outcome plain, again;

    for (int variant = 0; variant < 16; variant++)
        for (how as = ONCE; as < HOWS; as++) {
            tp_dtype cast = variant & 1 ? TP_BF16 : TP_F32;
            bool eval = variant & 2, modes = variant & 4, twice = variant & 8;

            CASE("%s%s%s%s%s on %s", name[as], variant & 1 ? ", autocast" : "", eval ? ", eval inside" : "",
                 modes ? ", modes changed" : "", twice ? ", twice" : "", tp_device_name(dev));
            run(PLAIN, cast, eval, modes, twice, dev, &plain);
            run(as, cast, eval, modes, twice, dev, &again);
            CHECK(same(&plain, &again));
        }
}

/* ---- what it is for ---- */

static tp_tensor *wide(tp_tensor *x)
{
    for (int i = 0; i < 8; i++)
        x = tp_tanh(tp_exp(tp_scale(x, .1)));
    return x;
}

static int wide_again(tp_list in, void *user, tp_tensor **out, int room)
{
    (void)room, ++*(int *)user;
    return (out[0] = wide(in.t[0])) ? 1 : -1;
}

ON_EACH_DEVICE(checkpoint, keeps_less)
{
    TP_SCOPE;
    tp_tensor *x = tp_requires_grad(tp_full(TP_SHAPE(1 << 14), .5, TP_F32, dev), true), *y, *z;
    size_t before, plain, checkpointed;
    int calls = 0;

    before = tp_memory_stats(dev).now;
    {
        TP_SCOPE;
        y = tp_pass(tp_clone(wide(x)));
    }
    plain = tp_memory_stats(dev).now - before, before += plain;
    CHECK(tp_checkpoint(wide_again, TP_LIST(x), &calls, &z, 1) == 1 && calls == 1);
    checkpointed = tp_memory_stats(dev).now - before;
    CHECK(checkpointed <= (1 << 16) + 4096 && plain > 8 * checkpointed); /* its output alone */
    CHECK(tp_backward(tp_sum(y, TP_ALL)));
    y = tp_clone(tp_grad(x));
    CHECK(tp_zero_grad(x) && tp_backward(tp_sum(z, TP_ALL)) && calls == 2);
    CHECK(check_at(tp_grad(x), 7) == check_at(y, 7));
    {
        TP_NO_GRAD;
        CHECK(tp_checkpoint(wide_again, TP_LIST(x), &calls, &z, 1) == 1 && calls == 3 && !tp_needs_grad(z));
    }
}

/* ---- hooks and buffers move once ---- */

static void count_calls(tp_module *m, tp_list in, tp_list out, void *user)
{
    (void)m, (void)in;
    *(int *)user += out.n;
}

static tp_tensor *count_grads(tp_tensor *g, void *user)
{
    (void)g, ++*(int *)user;
    return NULL;
}

typedef struct counting {
    int grads;
} counting;

static int hooked(tp_list in, void *user, tp_tensor **out, int room)
{
    tp_tensor *h = tp_exp(in.t[0]);

    (void)room;
    if (!tp_add_hook(h, count_grads, &((counting *)user)->grads)) return -1;
    return (out[0] = tp_tanh(h)) ? 1 : -1;
}

ON_EACH_DEVICE(checkpoint, hooks_run_once)
{
    TP_SCOPE;
    tp_tensor *x = check_leaf(TP_SHAPE(4, 3), -1, 1, dev), *y = NULL;
    tp_module *m = tp_nn_batch_norm(3);
    counting k = { 0 };
    int calls = 0;

    CHECK(tp_nn_cast(m, TP_F64) && tp_nn_init(m, dev) && tp_nn_add_hook(m, count_calls, &calls));
    CHECK(tp_nn_checkpoint(m, TP_LIST(x), &y, 1) == 1 && tp_backward(tp_sum(tp_square(y), TP_ALL)));
    CHECK(calls == 1 && check_at(tp_nn_tensor(m, "num_batches_tracked"), 0) == 1);
    CHECK(tp_checkpoint(hooked, TP_LIST(x), &k, &y, 1) == 1 && tp_backward(tp_sum(y, TP_ALL)) && k.grads == 1);
    tp_nn_free(m);
}

/* ---- a function that isn't one ---- */

typedef struct fickle {
    int calls, how;
    tp_tensor *w;
} fickle;

static int changes(tp_list in, void *user, tp_tensor **out, int room)
{
    fickle *k = user;
    bool first = k->calls++ == 0;
    tp_tensor *x = tp_mul(in.t[0], k->w);

    (void)room;
    if (!first && k->how == 0) x = tp_exp(x);
    if (first && k->how == 1) x = tp_exp(x);
    if (!first && k->how == 2) x = tp_slice(x, 0, 0, 1);
    if (!first && k->how == 3) x = tp_cast(x, TP_F32);
    if (!first && k->how == 4) return tp_fail(TP_ERR_USER, "only once"), -1;
    if (first && k->how == 5) return -1;
    if (first && k->how == 6) return out[0] = x, 2;
    return (out[0] = tp_tanh(x)) ? 1 : -1;
}

ON_EACH_DEVICE(checkpoint, a_function_that_changes_is_refused)
{
    static const char *const why[] = { "the function saved 3 tensors the first time and 4 the second", "4 tensors the first time and 3",
                                       "f64 (2, 3) the first time and f64 (1, 3) the second",
                                       "f64 (2, 3) the first time and f32 (2, 3) the second", "only once",
                                       "the function failed without an error", "2 outputs where there is room for 1",
                                       "input 0 was changed in place", "a parameter, (2, 3), was changed in place since the first run" };
    static const tp_code code[] = { TP_ERR_ARG, TP_ERR_ARG, TP_ERR_SHAPE, TP_ERR_SHAPE, TP_ERR_USER, TP_ERR_USER, TP_ERR_ARG,
                                    TP_ERR_ARG, TP_ERR_ARG };

    for (int i = 0; i < TP_LEN(why); i++) {
        TP_SCOPE;
        tp_tensor *x = check_leaf(TP_SHAPE(2, 3), .5, 1, dev), *v = check_leaf(TP_SHAPE(2, 3), .5, 1, dev), *y = NULL;
        tp_tensor *in = tp_scale(x, 2);
        fickle k = { .how = i, .w = v };
        int n;

        CASE("change %d on %s", i, tp_device_name(dev));
        n = tp_checkpoint(changes, TP_LIST(in), &k, &y, 1);
        if (n == 1) {
            TP_NO_GRAD;
            CHECK(i < 7 || tp_fill_(i == 7 ? in : v, 1));
        }
        CHECK_REFUSED(n == 1 && tp_backward(tp_sum(tp_add(y, v), TP_ALL)), code[i], why[i]);
        CHECK(!tp_grad(x) && !tp_grad(v) && tp_ok());
        CHECK(k.calls == (i >= 5 ? 1 : 2));
    }
}

ON_EACH_DEVICE(checkpoint, a_model_that_changes_is_refused)
{
    TP_SCOPE;
    tp_tensor *x = tp_requires_grad(tp_ones(TP_SHAPE(4, 3), TP_F32, dev), true), *y = NULL;
    tp_module *l[] = { tp_nn_linear(3, 3), tp_nn_tanh() }, *m = tp_nn_init(tp_nn_sequential(l, 2), dev);

    CHECK(tp_nn_checkpoint(m, TP_LIST(x), &y, 1) == 1);
    tp_nn_add(m, "2", tp_nn_relu()), tp_nn_train(m, "*", false);
    CHECK_REFUSED(tp_backward(tp_sum(y, TP_ALL)), TP_ERR_ARG, "the model has changed since its first run");
    CHECK(!tp_nn_training(m) && !tp_nn_training(l[0]) && !tp_nn_training(l[1]) && !tp_grad(x));
    tp_nn_free(m);
    CHECK_REFUSED(tp_nn_checkpoint(NULL, TP_LIST(x), &y, 1) > 0, TP_ERR_ARG, "missing module");
    CHECK_REFUSED(tp_checkpoint(NULL, TP_LIST(x), NULL, &y, 1) > 0, TP_ERR_ARG, "missing function");
    CHECK_REFUSED(tp_checkpoint(changes, TP_LIST(x), NULL, NULL, 4) > 0, TP_ERR_ARG, "no room for its outputs");
    CHECK_REFUSED(tp_checkpoint(changes, (tp_list){ NULL, 2 }, NULL, &y, 1) > 0, TP_ERR_ARG, "a list of 2 tensors, and no pointer");
}
