/*
 * test_oom.c - the n-th allocation fails, for every n of whatever a program does.
 *
 * What must hold each time: nothing crashes or leaks, the error is TP_ERR_MEMORY, parameters,
 * optimizer and step count are as before, and the next step gives what it would have given.
 */
#include "tests/files.h"
#include "tests/oom.h"
#include "tests/trainer.h"

/* ---- what must hold ---- */

static bool count_grads(void *user, const char *name, tp_tensor **t)
{
    TP_SCOPE;
    (void)name;
    ((int *)user)[0]++, ((int *)user)[1] += tp_grad(*t) != NULL;
    return true;
}

static void after_step(void *user, bool done)
{
    trainer *k = user;
    int grads[2] = { 0, 0 };
    int64_t steps;

    tp_nn_each(tp_nn_params(k->net, "*"), false, count_grads, grads);
    CHECK(grads[1] == 0 || grads[1] == grads[0]); /* never some of them */
    CHECK(tp_optim_zero_grad(k->opt));
    steps = tp_optim_steps(k->opt);
    CHECK(steps == done);
    all_tensors(&k->now, k->net, k->opt);
    CHECK(same(&k->now, done ? &k->after : &k->start));
    if (!done) {
        CHECK(step(k));
        all_tensors(&k->now, k->net, k->opt);
        CHECK(same(&k->now, &k->after)); /* as if nothing had happened */
        trainer_rewind(k);
    }
    tp_optim_zero_grad(k->opt);
    tp_thread_end();
    CHECK(tp__live() == k->live);
}

static void train_out_of_memory(const char *name, bool adam, bool anomaly, tp_dtype autocast, tp_device *dev)
{
    trainer k = { .anomaly = anomaly, .autocast = autocast };

    CASE("%s on %s", name, tp_device_name(dev));
    trainer_open(&k, adam, dev);
    CHECK(at_every_allocation(step, after_step, &k) > 300);
    trainer_close(&k);
}

ON_EACH_DEVICE(oom, a_step_of_sgd)
{
    train_out_of_memory("sgd", false, false, TP_F32, dev);
}

ON_EACH_DEVICE(oom, a_step_of_adamw_in_anomaly_mode)
{
    train_out_of_memory("adamw, anomaly", true, true, TP_F32, dev);
}

ON_EACH_DEVICE(oom, a_step_under_autocast)
{
    train_out_of_memory("autocast", true, false, TP_BF16, dev);
}

/* ---- a backward over gradients that were there ---- */

typedef struct graph {
    tp_tensor *w, *loss;
} graph;

static bool differentiate(void *user)
{
    const graph *g = user;

    return tp_backward_with(g->loss, (tp_backward_opts){ .retain_graph = true });
}

static void after_backward(void *user, bool done)
{
    const graph *g = user;
    TP_SCOPE;
    tp_tensor *d = tp_grad(g->w);

    if (done || d) CHECK(check_at(d, 0) == (done ? 1 + 6 + 1 : 1)); /* refused at once, or none is left */
    if (done) return;
    tp_zero_grad(g->w); /* each begins with a gradient of 1 */
    CHECK(tp_backward(tp_sum(g->w, TP_ALL)) && check_at(tp_grad(g->w), 0) == 1);
}

ON_EACH_DEVICE(oom, a_failed_backward_leaves_no_half_gradient)
{
    TP_SCOPE;
    graph g = { .w = tp_requires_grad(tp_full(TP_SHAPE(2), 3, TP_F32, dev), true) };
    tp_tensor *h = tp_exp(tp_affine(g.w, 0, 0)), *part[2];

    CHECK(tp_split(tp_mul(h, g.w), 0, 2, part) && tp_backward(tp_sum(g.w, TP_ALL)));
    g.loss = tp_add(tp_sum(tp_square(g.w), TP_ALL), tp_sum(tp_concat(TP_LIST(part[1], part[0]), 0), TP_ALL));
    CASE("backward on %s", tp_device_name(dev));
    at_every_allocation(differentiate, after_backward, &g);
}

/* ---- making everything ---- */

typedef struct made {
    tp_module *net, *copy;
    tp_optim *opt;
    tp_sched *sched;
    tp_loader *loader;
    tp_state *state;
    tp_device *dev;
    int64_t step;
    double ema;
    tp_tensor *y; /* lent */
    int begun, ended; /* modules with a self */
    long live;
} made;

static int identity(void *self, tp_list in, tp_tensor **out, int room)
{
    (void)self, (void)room;
    out[0] = in.t[0];
    return 1;
}

static void ended(void *self)
{
    ++*(int *)self;
}

static tp_module *own_layer(made *k)
{
    k->begun++;
    return tp_nn_from("own", &k->ended, identity, ended);
}

static tp_module *tracked(void)
{
    tp_instance_norm_opts o = tp_instance_norm_defaults();

    o.affine = o.track_running_stats = true;
    return tp_nn_list((tp_module *[]){ tp_nn_instance_norm_with(2, o), tp_nn_prelu(2, .25),
                                       tp_nn_conv_transpose1d(2, 3, 2, (tp_conv2d_opts){ 0 }) }, 3);
}

static tp_module *a_network(made *k)
{
    tp_module *net = tp_nn_container("net");

    tp_nn_add(net, "body", sequential_of(tp_nn_linear(3, 4), tp_nn_relu(), own_layer(k), tp_nn_dropout(.5), own_layer(k)));
    tp_nn_add(net, "norm", sequential_of(tp_nn_batch_norm(4), tp_nn_layer_norm(TP_SHAPE(4)), tp_nn_global_avg_pool2d(),
                                         tp_nn_conv2d(2, 2, 3, (tp_conv2d_opts){ .groups = 2 }), tp_nn_max_pool2d(2)));
    tp_nn_add(net, "lstm", tp_nn_lstm(2, 3, (tp_lstm_opts){ .layers = 2, .bidirectional = true }));
    tp_nn_add(net, "embed", tp_nn_embedding(4, 2));
    tp_nn_add(net, "more", tp_nn_dict((const char *const[]){ "around", "row" },
                                      (tp_module *[]){ tp_nn_residual(tp_nn_linear(3, 3), own_layer(k)), tracked() }, 2));
    tp_nn_append(tp_nn_get(net, "more.row"), own_layer(k));
    tp_nn_param(net, "scale", TP_SHAPE(2), tp_init_normal(0, 1));
    tp_nn_buffer(net, "seen", TP_SCALAR, TP_I64, 0);
    return net;
}

static tp_dataset *a_dataset(void)
{
    TP_SCOPE;
    return tp_data_range(tp_data_tensors(TP_LIST(tp_zeros(TP_SHAPE(8, 3), TP_F32, tp_device_open("cpu")))), 2, 8);
}

static bool make_all(void *user)
{
    made *k = user;
    TP_SCOPE;

    k->net = a_network(k);
    tp_nn_init_as(tp_nn_params(k->net, "body.0.weight"), tp_init_orthogonal(1));
    k->net = tp_nn_init(k->net, k->dev);
    tp_nn_init_as(tp_nn_params(k->net, "lstm.weight*"), tp_init_trunc_normal(0, 1, -2, 2));
    tp_summary_text(tp_nn_get(k->net, "more.row.0"), TP_LIST(tp_ones(TP_SHAPE(1, 2, 3), TP_F32, k->dev)), NULL, 0);
    tp_nn_apply(tp_nn_get(k->net, "more.row.0"), TP_LIST(tp_ones(TP_SHAPE(1, 2, 3), TP_F32, k->dev)), &k->y, 1);
    tp_nn_freeze(k->net, "embed.*", true);
    tp_nn_replace(k->net, "body.1", own_layer(k));
    k->copy = tp_nn_clone(tp_nn_get(k->net, "lstm"));
    tp_nn_cast(k->copy, TP_F64);
    k->opt = tp_optim_adamw(tp_nn_params(k->net, "body.*"), tp_adamw(.1));
    tp_optim_add_adam_group(k->opt, tp_nn_params(k->net, "norm.*"), tp_adam(.2));
    k->sched = tp_sched_cosine(k->opt, 2, 10, 0);
    k->loader = tp_data_loader(a_dataset(), (tp_loader_opts){ .batch = 2, .shuffle = true });
    k->state = tp_state_new();
    return tp_state_module(k->state, "net", k->net) && tp_state_optim(k->state, "opt", k->opt) &&
           tp_state_sched(k->state, "sched", k->sched) && tp_state_loader(k->state, "loader", k->loader) &&
           tp_state_i64(k->state, "step", &k->step) && tp_state_f64(k->state, "ema", &k->ema) && tp_ok();
}

static bool give_gradient(void *user, const char *name, tp_tensor **t)
{
    TP_SCOPE;
    (void)user, (void)name;
    return !tp_needs_grad(*t) || tp_backward(tp_sum(*t, TP_ALL));
}

static void free_all(void *user, bool done)
{
    made *k = user;

    CHECK(!done || (k->net && k->copy && k->opt && k->sched && k->loader && k->state));
    if (k->opt) { /* it is whole, whatever failed later */
        CHECK(tp_nn_each(tp_nn_params(k->net, "*"), false, give_gradient, NULL) > 0);
        CHECK(tp_optim_step(k->opt));
    }
    tp_clear_error();
    tp_nn_free(k->net), tp_state_free(k->state), tp_data_free(k->loader), tp_nn_free(k->copy);
    tp_optim_free(k->opt), tp_sched_free(k->sched);
    CHECK(k->begun == k->ended);
    tp_thread_end();
    CHECK(tp__live() == k->live);
    *k = (made){ .dev = k->dev, .live = k->live };
}

ON_EACH_DEVICE(oom, making_everything)
{
    made k = { .dev = dev, .live = tp__live() };

    CASE("making on %s", tp_device_name(dev));
    CHECK(at_every_allocation(make_all, free_all, &k) > 200);
}

/* ---- files ---- */

typedef struct filing {
    made of;
    snapshot start, stored, now;
    bool (*io)(struct filing *k);
    bool loads;
} filing;

static bool load_module(filing *k) { return tp_nn_load(k->of.net, in_folder("file"), (tp_load_opts){ 0 }); }
static bool save_module(filing *k) { return tp_nn_save(k->of.net, in_folder("file")); }
static bool load_state(filing *k) { return tp_state_load(k->of.state, in_folder("file")); }
static bool save_state(filing *k) { return tp_state_save(k->of.state, in_folder("file")); }

static bool run_io(void *user)
{
    filing *k = user;

    return k->io(k);
}

static void after_io(void *user, bool done)
{
    filing *k = user;

    all_tensors(&k->now, k->of.net, k->of.opt);
    CHECK(same(&k->now, done && k->loads ? &k->stored : &k->start));
    CHECK(tp_optim_load_end(k->of.opt)); /* a load that began gave each parameter its own clock */
    tp_thread_end();
    CHECK(tp__live() == k->of.live);
}

static void check_io(const char *name, bool (*save)(filing *), bool (*load)(filing *), tp_device *dev)
{
    filing k = { .of = { .dev = dev } };
    snapshot *all[] = { &k.start, &k.stored, &k.now };

    make_test_folder();
    CASE("making for %s", name);
    CHECK(make_all(&k.of));
    all_tensors(&k.stored, k.of.net, k.of.opt);
    CHECK(save(&k) && load(&k)); /* and the clocks of the optimizer are as after loading */
    all_tensors(&k.start, k.of.net, k.of.opt);
    tp_thread_end(), k.of.live = tp__live();
    CASE("saving %s", name);
    k.io = save, at_every_allocation(run_io, after_io, &k);
    memset(k.start.bytes, 0, k.start.n);
    k.start.write = true, all_tensors(&k.start, k.of.net, k.of.opt), k.start.write = false;
    CASE("loading %s", name);
    tp_thread_end(), k.of.live = tp__live();
    k.io = load, k.loads = true, at_every_allocation(run_io, after_io, &k);
    for (int i = 0; i < TP_LEN(all); i++)
        free(all[i]->bytes);
    k.of.live = 0;
    tp_nn_free(k.of.net), tp_nn_free(k.of.copy), tp_state_free(k.of.state), tp_data_free(k.of.loader);
    tp_optim_free(k.of.opt), tp_sched_free(k.of.sched);
    remove_test_folder();
}

/* ---- other initial values: all or none, and the generator as it was ---- */

typedef struct redraw {
    tp_module *m;
    snapshot before, now;
    tp_rng rng;
} redraw;

static bool redraw_all(void *user)
{
    redraw *k = user;

    return tp_nn_init_as(tp_nn_params(k->m, "*.weight"), tp_init_orthogonal(1)) == 2;
}

static void nothing_redrawn(void *user, bool done)
{
    redraw *k = user;

    all_tensors(&k->now, k->m, NULL);
    CHECK(same(&k->before, &k->now) == !done && (tp_rng_save().offset == k->rng.offset) == !done);
}

ON_EACH_DEVICE(oom, other_initial_values)
{
    redraw k = { .m = tp_nn_init(sequential_of(tp_nn_linear(3, 4), tp_nn_relu(), tp_nn_linear(4, 2), tp_nn_relu(),
                                               tp_nn_relu()), dev), .rng = tp_rng_save() };

    CASE("drawing anew on %s", tp_device_name(dev));
    all_tensors(&k.before, k.m, NULL);
    at_every_allocation(redraw_all, nothing_redrawn, &k);
    free(k.before.bytes), free(k.now.bytes), tp_nn_free(k.m);
}

ON_EACH_DEVICE(oom, modules_and_files)
{
    check_io("a module", save_module, load_module, dev);
}

ON_EACH_DEVICE(oom, states_and_files)
{
    check_io("a state", save_state, load_state, dev);
}
