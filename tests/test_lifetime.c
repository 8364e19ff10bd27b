/*
 * test_lifetime.c - scopes, kept tensors, and how long graphs and gradients live.
 */
#include "tests/check.h"

#include <pthread.h>

static tp_tensor *ones(int64_t n, tp_device *dev)
{
    return tp_ones(TP_SHAPE(n), TP_F32, dev);
}

static tp_tensor *leaf_of(int64_t n, double v, tp_device *dev)
{
    return tp_requires_grad(tp_full(TP_SHAPE(n), v, TP_F32, dev), true);
}

static double first(tp_tensor *t)
{
    TP_SCOPE;
    return check_at(t, 0);
}

/* Blocks that one tensor takes. */
static long cost(tp_device *dev)
{
    TP_SCOPE;
    long before;

    ones(1, dev), before = tp__live(); /* the thread's own records are made */
    ones(3, dev);
    return tp__live() - before;
}

/* ---- scopes ---- */

static tp_tensor *by_return(tp_device *dev, int *rounds)
{
    for (;;) {
        TP_SCOPE;
        tp_tensor *t = ones(2, dev);

        if (++*rounds == 3) return tp_pass(t);
        if (*rounds == 2) continue;
        ones(4, dev);
    }
}

static void by_break(tp_device *dev)
{
    while (true) {
        TP_SCOPE;
        ones(2, dev), ones(3, dev);
        break;
    }
}

static void by_goto(tp_device *dev)
{
    {
        TP_SCOPE;
        TP_SCOPE;
        if (ones(2, dev)) goto out;
        CHECK(!"not reached");
    }
out:
    return;
}

ON_EACH_DEVICE(lifetime, scopes_leave_control_flow_alone)
{
    TP_SCOPE;
    long one, before;
    int rounds = 0;
    tp_tensor *t;

    ones(1, dev), one = cost(dev), before = tp__live();
    t = by_return(dev, &rounds);
    CHECK(rounds == 3 && tp_dim(t, 0) == 2);
    CHECK(tp__live() == before + one); /* what was passed, and nothing else */
    by_break(dev), by_goto(dev);
    CHECK(tp__live() == before + one);
    CHECK(first(t) == 1);
}

ON_EACH_DEVICE(lifetime, passed_any_number_of_times)
{
    enum { DEEP = 40 };
    tp_scope open[DEEP];
    tp_tensor *t, *kept, *other;
    long one = cost(dev), before;
    tp_scope outer = tp_scope_begin();

    ones(1, dev), before = tp__live();
    for (int i = 0; i < DEEP; i++)
        open[i] = tp_scope_begin(), ones(2, dev);
    t = ones(5, dev), other = ones(6, dev), kept = tp_keep(ones(7, dev)), ones(8, dev);
    tp_pass(other), tp_pass(t), tp_pass(t), tp_pass(kept); /* twice is once; a kept one is nobody's */
    tp_scope_end(open[DEEP - 1]);
    for (int i = DEEP - 2; i >= 0; i--) {
        tp_pass(t);
        if (i > DEEP / 2) tp_pass(other);
        tp_scope_end(open[i]);
    }
    CHECK(tp_dim(t, 0) == 5 && first(t) == 1 && tp_dim(kept, 0) == 7);
    CHECK(tp__live() == before + 2 * one); /* t and kept; other died half way */
    CHECK(!tp_pass(NULL) && tp_ok());
    tp_scope_end(outer);
    CHECK(first(kept) == 1);
    tp_free(kept);
}

ON_EACH_DEVICE(lifetime, passed_over_holes)
{
    TP_SCOPE;
    tp_tensor *kept[6], *passed[6];
    {
        TP_SCOPE;
        for (int i = 0; i < 6; i++)
            kept[i] = tp_keep(ones(i + 1, dev)), passed[i] = ones(i + 11, dev);
        for (int i = 5; i >= 0; i--)
            tp_pass(passed[i]);
    }
    for (int i = 0; i < 6; i++) {
        CHECK(tp_dim(kept[i], 0) == i + 1 && tp_dim(passed[i], 0) == i + 11 && first(passed[i]) == 1);
        tp_free(kept[i]);
    }
}

ON_EACH_DEVICE(lifetime, kept_tensors)
{
    TP_SCOPE;
    long one = cost(dev), before;
    tp_tensor *t;

    ones(1, dev), before = tp__live();
    {
        TP_SCOPE;
        t = tp_keep(tp_keep(ones(3, dev))); /* two owners now */
    }
    CHECK(first(t) == 1 && tp__live() == before + one);
    tp_free(t);
    CHECK(first(t) == 1);
    tp_free(t), tp_free(NULL);
    CHECK(tp__live() == before && !tp_keep(NULL) && tp_ok());
}

ON_EACH_DEVICE(lifetime, stored_tensors_keep_no_history)
{
    tp_tensor *h = NULL, *w;
    long after[50];
    TP_SCOPE;

    w = tp_requires_grad(check_numbers(TP_SHAPE(4, 4), TP_F32, -1, 1, dev), true);
    CHECK(tp_store(&h, tp_ones(TP_SHAPE(1, 4), TP_F32, dev)));
    for (int i = 0; i < TP_LEN(after); i++) {
        {
            TP_SCOPE;
            CHECK(tp_store(&h, tp_tanh(tp_matmul(h, w))) && !tp_needs_grad(h));
        }
        after[i] = tp__live();
    }
    CHECK(after[49] == after[0]); /* a hidden state that grew its graph would grow with it */
    CHECK(tp_store(&h, h) && tp_dim(h, 1) == 4);
    CHECK_REFUSED(tp_store(NULL, h), TP_ERR_ARG, "missing slot");
    tp_fail(TP_ERR_USER, "pending");
    CHECK_REFUSED(tp_store(&h, NULL), TP_ERR_USER, "pending");
    CHECK(h && tp_store(&h, NULL) && !h);
}

ON_EACH_DEVICE(lifetime, forgotten_scopes_end_with_the_outer)
{
    TP_SCOPE;
    long before;
    tp_scope outer, inner;

    ones(1, dev), before = tp__live();
    outer = tp_scope_begin(), ones(2, dev);
    inner = tp_scope_begin(), ones(3, dev);
    tp_scope_begin(), ones(4, dev);
    tp_scope_end(outer);
    CHECK(tp__live() == before);
    tp_scope_end(inner); /* ended already */
    CHECK(first(ones(1, dev)) == 1);
}

ON_EACH_DEVICE(lifetime, scopes_255_deep)
{
    enum { MOST = 255, TRIED = 300 };
    tp_scope open[TRIED];
    tp_tensor *deep;
    long before;
    TP_SCOPE;

    ones(1, dev), before = tp__live();
    for (int i = 1; i < MOST; i++) {
        open[i] = tp_scope_begin();
        if (i % 10 == 0) ones(2, dev);
    }
    CHECK(tp_ok());
    deep = ones(3, dev);
    CHECK_REFUSED(first(tp_pass(deep)) == 1, TP_ERR_ARG, "more than 255 scopes are open"); /* reading opens one */
    for (int i = MOST; i < TRIED; i++) {
        open[i] = tp_scope_begin();
        CHECK_REFUSED(ones(2, dev), TP_ERR_ARG, "more than 255 scopes are open");
    }
    for (int i = TRIED - 1; i >= 1; i--)
        tp_scope_end(open[i]);
    CHECK(tp__live() == before);
    open[0] = tp_scope_begin();
    CHECK(tp_ok());
    tp_scope_end(open[0]);
}

/* ---- borrowed memory ---- */

static void count_done(void *user)
{
    ++*(int *)user;
}

ON_EACH_DEVICE(lifetime, wrapped_memory_is_given_back_once)
{
    float v[6] = { 1, 2, 3, 4, 5, 6 };
    tp_tensor *x, *kept, *loss;
    int done = 0;

    {
        TP_SCOPE;
        x = tp_wrap(v, TP_SHAPE(2, 3), TP_F32, count_done, &done);
        kept = tp_keep(tp_slice(x, 0, 1, 2));
        CHECK(tp_f32(kept) == v + 3);
    }
    CHECK(done == 0);
    tp_free(kept);
    CHECK(done == 1);
    {
        TP_SCOPE;
        x = tp_requires_grad(tp_wrap(v, TP_SHAPE(2, 3), TP_F32, count_done, &done), true);
        loss = tp_keep(tp_sum(tp_square(x), TP_ALL)); /* the graph holds the bytes */
    }
    CHECK(done == 1);
    tp_free(loss);
    CHECK(done == 2);
    CHECK_REFUSED(tp_wrap(v, TP_SHAPE(2, -3), TP_F32, count_done, &done), TP_ERR_SHAPE, "negative size in (2, -3)");
    CHECK_REFUSED(tp_wrap(NULL, TP_SHAPE(2), TP_F32, count_done, &done), TP_ERR_ARG, "missing memory");
    CHECK_REFUSED(tp_wrap(v, TP_SHAPE(2), (tp_dtype)99, count_done, &done), TP_ERR_DTYPE, "there is no dtype 99");
    CHECK_REFUSED(tp_wrap(v, (tp_shape){ .rank = 1 << 20 }, TP_F32, count_done, &done), TP_ERR_SHAPE, "axes");
    CHECK_REFUSED(tp_wrap(v, TP_SHAPE(INT64_MAX, 4), TP_F32, count_done, &done), TP_ERR_SHAPE, "too many elements");
    CHECK(done == 7);
    (void)dev;
}

/* ---- graphs ---- */

/* On a stack that a recursion over a million nodes, forwards or in release, would overflow. */
static void *million(void *unused)
{
    tp_device *dev = tp_device_open("cpu");
    tp_tensor *x = NULL, *y, *loss;
    long before;

    before = tp__live();
    {
        TP_SCOPE;
        y = x = tp_keep(leaf_of(1, 1, dev));
        for (int i = 0; i < 1000000; i++) {
            TP_SCOPE;
            y = tp_pass(tp_affine(y, 1, 0));
        }
        loss = tp_keep(tp_sum(y, TP_ALL));
    }
    CHECK(tp_backward_with(loss, (tp_backward_opts){ .retain_graph = true }));
    CHECK(first(tp_grad(x)) == 1);
    tp_free(loss), tp_free(x);
    tp_thread_end();
    CHECK(tp__live() == before);
    return unused;
}

Test(lifetime, a_chain_of_a_million)
{
    pthread_attr_t small;
    pthread_t t;

    CASE("a million");
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 512 << 10);
    cr_assert(pthread_create(&t, &small, million, NULL) == 0);
    pthread_join(t, NULL);
}

ON_EACH_DEVICE(lifetime, nodes_die_with_their_tensors)
{
    TP_SCOPE;
    tp_tensor *w = leaf_of(8, 1, dev), *part[2];
    long before;

    tp_exp(w), before = tp__live();
    for (int i = 0; i < 100; i++) { /* evaluation without no-grad: nothing piles up */
        TP_SCOPE;
        tp_tanh(tp_exp(tp_mul(w, w)));
        tp_split(tp_square(w), 0, 2, part);
        tp_keep(part[1]), tp_free(part[1]);
    }
    CHECK(tp__live() == before);
}

ON_EACH_DEVICE(lifetime, a_kept_loss_after_its_scope)
{
    TP_SCOPE;
    tp_tensor *w = leaf_of(2, 3, dev), *loss;
    {
        TP_SCOPE;
        loss = tp_keep(tp_sum(tp_square(w), TP_ALL));
    }
    CHECK(tp_backward(loss) && first(tp_grad(w)) == 6);
    CHECK_REFUSED(tp_backward(loss), TP_ERR_ARG, "square was already differentiated");
    CHECK(first(tp_grad(w)) == 6); /* refused before anything was touched */
    tp_free(loss);
}

ON_EACH_DEVICE(lifetime, retained_graphs)
{
    TP_SCOPE;
    tp_backward_opts retain = { .retain_graph = true };
    tp_tensor *w = leaf_of(2, 3, dev), *h = tp_square(w), *a = tp_sum(h, TP_ALL), *b = tp_sum(tp_mul(h, h), TP_ALL);

    for (int i = 1; i <= 3; i++)
        CHECK(tp_backward_with(a, retain) && first(tp_grad(w)) == 6 * i);
    CHECK(tp_backward(b)); /* the other loss, and the graph is gone */
    CHECK(first(tp_grad(w)) == 18 + 4 * 27);
    CHECK_REFUSED(tp_backward(a), TP_ERR_ARG, "square was already differentiated: retain_graph keeps");
    CHECK(tp_zero_grad(w) && !tp_grad(w) && tp_ok());
}

ON_EACH_DEVICE(lifetime, a_refused_backward_changes_nothing)
{
    TP_SCOPE;
    tp_tensor *x = ones(2, dev), *w = leaf_of(2, 3, dev), *y = tp_square(w);
    tp_backward_opts wrong = { .grad_output = ones(3, dev) }, wide = { .grad_output = tp_cast(ones(2, dev), TP_F64) };

    CHECK_REFUSED(tp_backward(tp_sum(x, TP_ALL)), TP_ERR_ARG, "nothing that f32 () was made from requires a gradient");
    CHECK_REFUSED(tp_backward(NULL), TP_ERR_ARG, "tp_backward: missing input");
    CHECK_REFUSED(tp_backward(y), TP_ERR_SHAPE, "f32 (2) is no scalar: give grad_output");
    CHECK_REFUSED(tp_backward_with(y, wrong), TP_ERR_SHAPE, "grad_output is f32 (3) for f32 (2)");
    CHECK_REFUSED(tp_backward_with(y, wide), TP_ERR_SHAPE, "grad_output is f64 (2) for f32 (2)");
    CHECK(!tp_grad(w) && tp_ok());
    CHECK(tp_backward_with(y, (tp_backward_opts){ .grad_output = ones(2, dev) }) && first(tp_grad(w)) == 6);
    CHECK_REFUSED(tp_requires_grad(y, true), TP_ERR_ARG, "the result of square is no leaf");
    CHECK_REFUSED(tp_requires_grad(tp_cast(x, TP_I64), true), TP_ERR_DTYPE, "i64 (2) can't have a gradient");
}

/* ---- gradients of leaves ---- */

static tp_tensor *dense_use(tp_tensor *w) { return tp_sum(tp_square(w), TP_ALL); }
static tp_tensor *given_use(tp_tensor *w) { return tp_sum(tp_add(w, w), TP_ALL); }
static tp_tensor *matmul_use(tp_tensor *w) { return tp_sum(tp_matmul(tp_reshape(w, TP_SHAPE(4, 24)), tp_reshape(w, TP_SHAPE(24, 4))), TP_ALL); }
static tp_tensor *slice_use(tp_tensor *w) { return tp_sum(tp_exp(tp_slice(w, 1, 1, 3)), TP_ALL); }
static tp_tensor *view_use(tp_tensor *w) { return tp_sum(tp_tanh(tp_permute(w, TP_AXES(3, 0, 2, 1))), TP_ALL); }

static void watch(tp_tensor *g, void *user)
{
    (void)g, ++*(int *)user;
}

static void accumulates(tp_tensor *w, tp_tensor *(*use)(tp_tensor *), bool hooked)
{
    tp_tensor *g;
    void *where;
    double once;
    int seen = 0;

    if (hooked) CHECK(tp_add_leaf_hook(w, watch, &seen));
    CHECK(tp_backward(use(w)));
    g = tp_grad(w), where = tp__data(g), once = check_at(g, 30);
    CHECK(tp__dense(g, tp__layout_of(w)) && !tp_needs_grad(g));
    for (int i = 2; i <= 4; i++) {
        CHECK(tp_backward(use(w)));
        CHECK(tp__data(tp_grad(w)) == where);
        CHECK_NEAR(check_at(g, 30), i * once, 1e-6 * fabs(i * once)); /* through the handle that we hold */
    }
    CHECK(seen == (hooked ? 4 : 0));
}

ON_EACH_DEVICE(lifetime, leaves_accumulate_in_place)
{
    static tp_tensor *(*const use[])(tp_tensor *) = { dense_use, given_use, matmul_use, slice_use, view_use };

    for (int i = 0; i < TP_LEN(use); i++)
        for (int last = 0; last < 2; last++)
            for (int hooked = 0; hooked < 2; hooked++) {
                TP_SCOPE;
                tp_tensor *w = check_numbers(TP_SHAPE(2, 4, 3, 4), TP_F32, .5, 1, dev);

                CASE("use %d, %s, %s on %s", i, last ? "channels-last" : "row-major", hooked ? "hooked" : "plain",
                     tp_device_name(dev));
                w = tp_requires_grad(tp_detach(last ? tp_channels_last(w) : w), true);
                accumulates(w, use[i], hooked);
            }
}

ON_EACH_DEVICE(lifetime, given_gradients_are_not_shared_by_leaves)
{
    TP_SCOPE;
    tp_tensor *a = leaf_of(3, 2, dev), *b = leaf_of(3, 5, dev), *seed = ones(3, dev), *ga, *gb;

    CHECK(tp_backward_with(tp_add(a, tp_reshape(b, TP_SHAPE(3))), (tp_backward_opts){ .grad_output = seed }));
    ga = tp_grad(a), gb = tp_grad(b);
    CHECK(tp__data(ga) != tp__data(gb) && tp__data(ga) != tp__data(seed) && tp__data(gb) != tp__data(seed));
    CHECK(tp_fill_(ga, 7) && first(gb) == 1 && first(seed) == 1);
    CHECK(tp_backward(tp_sum(tp_mul(a, b), TP_ALL)));
    CHECK(first(ga) == 12 && first(gb) == 3);
    CHECK(tp_backward_with(a, (tp_backward_opts){ .grad_output = seed })); /* the leaf itself as root */
    CHECK(first(ga) == 13 && first(seed) == 1);
}

/* A gradient that a saved tensor needs may not be added to unnoticed. */
ON_EACH_DEVICE(lifetime, a_used_gradient_that_grows_is_noticed)
{
    for (int hooked = 0; hooked < 2; hooked++) {
        TP_SCOPE;
        tp_tensor *a = leaf_of(3, 2, dev), *w = leaf_of(3, 1, dev), *loss;
        int seen = 0;

        CASE("%s on %s", hooked ? "hooked" : "plain", tp_device_name(dev));
        if (hooked) tp_add_leaf_hook(a, watch, &seen);
        CHECK(tp_backward(tp_sum(tp_square(a), TP_ALL)));
        loss = tp_sum(tp_mul(w, tp_grad(a)), TP_ALL);
        CHECK(tp_backward(tp_sum(tp_square(a), TP_ALL)));
        CHECK_REFUSED(tp_backward(loss), TP_ERR_ARG, "a tensor that mul needs for its gradient was changed in place");
    }
}

/* ---- views ---- */

ON_EACH_DEVICE(lifetime, gradients_of_views_are_written_into_their_base)
{
    TP_SCOPE;
    tp_tensor *x = tp_requires_grad(check_numbers(TP_SHAPE(4, 6), TP_F32, .5, 1, dev), true), *q[3], *g;

    CHECK(tp_split(x, 1, 3, q));
    CHECK(tp_backward(tp_sum(tp_mul(tp_tanh(q[0]), tp_exp(q[2])), TP_ALL))); /* q[1] unused */
    g = tp_grad(x);
    for (int i = 0; i < 24; i++)
        CHECK((check_at(g, i) == 0) == (i % 6 == 2 || i % 6 == 3));
    CHECK(tp_zero_grad(x) && tp_split(x, 1, 3, q));
    CHECK(tp_backward(tp_sum(q[1], TP_ALL))); /* one part alone, by a gradient that is given */
    for (int i = 0; i < 24; i++)
        CHECK(check_at(tp_grad(x), i) == (i % 6 == 2 || i % 6 == 3));
}

ON_EACH_DEVICE(lifetime, asked_for_together_with_their_base)
{
    TP_SCOPE;
    tp_grad_opts keep = { .allow_unused = true, .retain_graph = true };
    tp_tensor *x = check_leaf(TP_SHAPE(2, 4), -1, 1, dev), *q[2], *g[4], *loss;
    double v[8], sum;

    CHECK(tp_split(x, 1, 2, q) && tp_read(x, v, sizeof v));
    sum = v[0] + v[1] + v[2] + v[3];
    loss = tp_sum(tp_mul(tp_exp(q[0]), tp_sum(x, TP_KEEPDIM(1))), TP_ALL);
    CHECK(tp_grads_of(TP_LIST(loss), TP_LIST(q[0], x, q[1], x), g, keep));
    CHECK(g[0] && g[1] && !g[2] && g[3] && tp_ok());
    CHECK_NEAR(check_at(g[0], 0), exp(v[0]) * sum, 1e-12);
    CHECK_NEAR(check_at(g[1], 3), exp(v[0]) + exp(v[1]), 1e-12);
    CHECK_NEAR(check_at(g[1], 0), check_at(g[0], 0) + exp(v[0]) + exp(v[1]), 1e-12);
    CHECK(check_at(g[3], 0) == check_at(g[1], 0)); /* asked for twice */
    CHECK_REFUSED(tp_grad_of(loss, check_leaf(TP_SHAPE(2), 0, 1, dev), (tp_grad_opts){ 0 }), TP_ERR_ARG,
                  "input 0 was not used");
    CHECK_REFUSED(tp_grad_of(loss, tp_detach(x), (tp_grad_opts){ 0 }), TP_ERR_ARG, "input 0 doesn't require a gradient");
}

ON_EACH_DEVICE(lifetime, a_functional_pass_leaves_gradients_alone)
{
    TP_SCOPE;
    tp_grad_opts graph = { .create_graph = true };
    tp_tensor *w = leaf_of(2, 3, dev), *u = leaf_of(2, 1, dev), *g, *y = tp_square(w);
    void *where;

    CHECK(tp_backward_with(tp_sum(y, TP_ALL), (tp_backward_opts){ .retain_graph = true }));
    where = tp__data(tp_grad(w));
    g = tp_grad_of(tp_sum(tp_mul(tp_mul(w, y), u), TP_ALL), w, graph);
    CHECK(first(g) == 27 && first(tp_grad(w)) == 6 && tp__data(tp_grad(w)) == where && !tp_grad(u));
    CHECK_REFUSED(tp_grad_of(tp_sum(tp_log(w), TP_ALL), u, graph), TP_ERR_ARG, "input 0 was not used");
    CHECK(first(tp_grad(w)) == 6);
    CHECK(tp_backward(tp_sum(g, TP_ALL))); /* 6 w u for w, 3 w^2 for u */
    CHECK(first(tp_grad(w)) == 6 + 18 && first(tp_grad(u)) == 27);
}

/* ---- threads ---- */

static void *reads(void *t)
{
    double *v = malloc(sizeof *v);

    *v = first(t);
    ones(3, tp_device_of(t)); /* lent outside of a scope: dies with the thread */
    return v;
}

ON_EACH_DEVICE(lifetime, a_kept_tensor_crosses_threads)
{
    TP_SCOPE;
    tp_tensor *t = tp_keep(ones(3, dev));
    size_t before = tp_memory_stats(dev).now;
    pthread_t other;
    void *v;

    cr_assert(pthread_create(&other, NULL, reads, t) == 0);
    pthread_join(other, &v);
    CHECK(*(double *)v == 1 && tp_memory_stats(dev).now == before);
    free(v), tp_free(t);
}

/* ---- after its end ---- */

#ifdef TP_DEBUG
static tp_tensor *ended(tp_device *dev)
{
    TP_SCOPE;
    return ones(3, dev);
}

#define DEAD(call, name) CASE("%s", #call); CHECK_REFUSED(call, TP_ERR_ARG, name)

ON_EACH_DEVICE(lifetime, debug_builds_tell_a_tensor_used_after_its_end)
{
    TP_SCOPE;
    tp_tensor *x = ended(dev), *slot = NULL, *kept;
    char text[64];

    DEAD(tp_sum(x, TP_ALL), "sum: input 0 has left its scope");
    DEAD(tp_square(x), "square: input 0 has left its scope");
    DEAD(tp_relu(x), "relu: input 0 has left its scope");
    DEAD(tp_add(x, x), "add: input 0 has left its scope");
    DEAD(tp_bce_with_logits(x, x), "bce_with_logits: input 0 has left its scope");
    DEAD(tp_keep(x), "tp_keep: the tensor has left its scope");
    DEAD(tp_pass(x), "tp_pass: the tensor has left its scope");
    DEAD(tp_store(&slot, x), "tp_store: the tensor has left its scope");
    DEAD(tp_count(x), "tp_count: the tensor has left its scope");
    DEAD(tp_rank(x), "tp_rank: the tensor has left its scope");
    DEAD(tp_dim(x, 0), "tp_dim: the tensor has left its scope");
    DEAD(tp_needs_grad(x), "tp_needs_grad: the tensor has left its scope");
    DEAD(tp_print(x, text, sizeof text), "tp_print: input 0 has left its scope");
    DEAD(tp_fill_(x, 1), "tp_fill_: input 0 has left its scope");
    kept = tp_keep(ones(3, dev));
    tp_free(kept);
    DEAD((tp_free(kept), false), "tp_free: the tensor has left its scope, or was freed");
}
#endif

ON_EACH_DEVICE(lifetime, a_schedule_outlives_its_optimizer)
{
    for (int first = 0; first < 2; first++) {
        tp_module *m = tp_nn_init(tp_nn_linear(2, 2), dev);
        tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
        tp_sched *s = tp_sched_step(o, 1, .5);

        CASE("%s first on %s", first ? "schedule" : "optimizer", tp_device_name(dev));
        tp_nn_free(m);
        if (first) tp_sched_free(s);
        tp_optim_free(o);
        if (first) continue;
        CHECK(tp_sched_advance(s) && tp_sched_at(s) == 1); /* of an optimizer that the schedule alone holds */
        tp_sched_free(s);
    }
}
