/*
 * test_capture.c - captured steps: the same bits as the same calls, and what they refuse.
 *
 * On the CPU nothing is recorded: the same tests hold there, but for those that ask the device.
 */
#include "tests/files.h"

enum { BATCH = 6, IN = 5, STEPS = 7 };

/* A run of training; in captured and plain runs the same calls. */
typedef struct run {
    tp_module *m;
    tp_optim *o;
    tp_sched *sched;
    tp_scaler *scaler;
    tp_tensor *x, *y;
    bool conv, zero_last, clip, pad, twice; /* twice: each weight is used twice */
    tp_dtype amp;
    int calls;
    tp_tensor *(*extra)(struct run *r); /* what it does besides, or NULL */
} run;

static tp_module *mlp(void)
{
    tp_module *layer[] = { tp_nn_linear(IN, 16), tp_nn_gelu(), tp_nn_dropout(.3),
                           tp_nn_linear(16, 3) };

    return tp_nn_sequential(layer, 4);
}

static tp_module *cnn(void)
{
    tp_module *layer[] = { tp_nn_conv2d(1, 4, 3, (tp_conv2d_opts){ .padding = 1 }),
                           tp_nn_batch_norm(4), tp_nn_relu(), tp_nn_flatten(),
                           tp_nn_linear(4 * 5 * IN, 3) };

    return tp_nn_sequential(layer, 5);
}

/* Its op uploads an index, the same in each step. */
static tp_tensor *reflected(tp_tensor *x)
{
    return tp_slice(tp_pad(x, TP_SHAPE(2, 0), (tp_pad_opts){ .mode = TP_PAD_REFLECT }), 1,
                    0, IN);
}

static tp_tensor *loss_of(run *r)
{
    TP_AUTOCAST(r->amp);
    tp_tensor *logits = tp_nn_forward(r->m, r->pad ? reflected(r->x) : r->x);

    if (r->twice) logits = tp_add(logits, tp_nn_forward(r->m, tp_neg(r->x)));
    return tp_cross_entropy(logits, r->y);
}

static tp_tensor *step(void *user)
{
    run *r = user;
    tp_tensor *loss;

    r->calls++;
    if (!r->zero_last) tp_optim_zero_grad(r->o);
    loss = loss_of(r);
    tp_backward(r->scaler ? tp_scaler_scale(r->scaler, loss) : loss);
    if (r->extra) r->extra(r);
    if (r->clip) tp_optim_clip_value(r->o, .01);
    if (r->scaler)
        tp_scaler_step(r->scaler, r->o), tp_scaler_update(r->scaler);
    else
        tp_optim_step(r->o);
    if (r->zero_last) tp_optim_zero_grad(r->o);
    return loss;
}

static run start(run as, tp_device *dev)
{
    TP_SCOPE;
    tp_seed(7);
    as.m = as.conv ? cnn() : mlp();
    CHECK(tp_nn_init(as.m, dev));
    as.o = tp_optim_adamw(tp_nn_params(as.m, "*"), tp_adamw(.05));
    as.sched = tp_sched_exponential(as.o, .9);
    if (as.amp == TP_F16) as.scaler = tp_scaler_new(dev, tp_scaler_options());
    as.x = tp_keep(
        tp_zeros(as.conv ? TP_SHAPE(BATCH, 1, 5, IN) : TP_SHAPE(BATCH, IN), TP_F32, dev));
    as.y = tp_keep(tp_zeros(TP_SHAPE(BATCH), TP_I64, dev));
    CHECK(tp_ok());
    return as;
}

static void finish(run *r)
{
    tp_scaler_free(r->scaler), tp_sched_free(r->sched), tp_optim_free(r->o),
        tp_nn_free(r->m);
    tp_free(r->x), tp_free(r->y);
}

/* Losses of STEPS steps, with other data, rate and random numbers each; c NULL: called. */
static void train(run *r, tp_capture *c, double *loss)
{
    for (int i = 0; i < STEPS; i++) {
        TP_SCOPE;
        tp_device *dev = tp_device_of(r->x);

        CHECK(tp_copy_(r->x, tp_randn(r->x->shape, dev)));
        CHECK(tp_copy_(r->y, tp_from((int64_t[]){ i % 3, 0, 1, 2, i % 2, 1 },
                                     TP_SHAPE(BATCH), TP_I64, dev)));
        loss[i] = tp_item(c ? tp_capture_run(c) : step(r));
        CHECK(tp_sched_advance(r->sched));
        CHECK(tp_ok());
        tp_clear_error();
    }
}

static void same_bits(const char *what, run as, tp_device *dev)
{
    double plain[STEPS], captured[STEPS];
    run a = start(as, dev), b;
    tp_capture *c;
    tp_rng after;

    train(&a, NULL, plain);
    after = tp_rng_save();
    b = start(as, dev);
    c = tp_capture_new(dev, step, &b);
    train(&b, c, captured);
    for (int i = 0; i < STEPS; i++) {
        CASE("%s on %s, step %d", what, tp_device_name(dev), i);
        CHECK_NEAR(captured[i], plain[i], 0);
    }
    CHECK(tp_rng_save().offset == after.offset);
    CHECK(b.calls == (dev->backend->record ? 3 : STEPS) &&
          tp_capture_recorded(c) == (dev->backend->record != NULL));
    tp_capture_free(c);
    finish(&a), finish(&b);
}

ON_EACH_DEVICE(capture, gives_the_bits_of_calls)
{
    same_bits("mlp", (run){ 0 }, dev);
    same_bits("gradients dropped last", (run){ .zero_last = true }, dev);
    same_bits("reflected", (run){ .pad = true }, dev);
    same_bits("weights used twice, bf16", (run){ .twice = true, .amp = TP_BF16 }, dev);
    same_bits("clipped", (run){ .clip = true }, dev);
    same_bits("cnn with batch norm", (run){ .conv = true }, dev);
    same_bits("bf16", (run){ .amp = TP_BF16 }, dev);
    if (strcmp(tp_device_name(dev), "cpu"))
        same_bits("f16 with a scaler", (run){ .amp = TP_F16 }, dev);
}

/* ---- what it refuses ---- */

static tp_tensor *reads(run *r)
{
    return (void)tp_item(tp_sum(r->x, TP_ALL)), NULL;
}
static tp_tensor *uploads(run *r)
{
    return tp_from((float[]){ 1 }, TP_SHAPE(1), TP_F32, tp_device_of(r->x));
}
static tp_tensor *stores(run *r)
{
    return (void)tp_store(&r->x, r->x), NULL;
}
static tp_tensor *seeds(run *r)
{
    return (void)r, tp_seed(3), NULL;
}
static tp_tensor *restores(run *r)
{
    return (void)r, tp_rng_restore((tp_rng){ 7, 0 }), NULL; /* as it was before the weights were drawn */
}
static tp_tensor *moves_on(run *r)
{
    return (void)r, tp_rng_restore((tp_rng){ 7, 1ull << 40 }), NULL;
}
static tp_tensor *rates(run *r)
{
    return (void)tp_sched_advance(r->sched), NULL;
}
static tp_tensor *waits(run *r)
{
    return (void)tp_device_wait(tp_device_of(r->x)), NULL;
}
static tp_tensor *crosses(run *r)
{
    return tp_to(r->x, tp_device_open("cpu"));
}
static void nothing(tp_tensor *grad, void *user)
{
    (void)grad, (void)user;
}

static void refused(const char *what, tp_tensor *(*extra)(run *), const char *text,
                    tp_device *dev)
{
    double loss[STEPS];
    run r = start((run){ 0 }, dev);
    tp_capture *c = tp_capture_new(dev, step, &r);

    CASE("%s on %s", what, tp_device_name(dev));
    {
        TP_SCOPE;
        CHECK(tp_capture_run(c) && tp_capture_run(c));
        r.extra = extra;
        CHECK_REFUSED(tp_capture_run(c), TP_ERR_ARG, text);
        r.extra = NULL;
    }
    CHECK(!tp_capture_recorded(c));
    train(&r, c, loss);
    for (int i = 0; i < STEPS; i++)
        CHECK(isfinite(loss[i]));
    tp_capture_free(c), finish(&r);
}

ON_EACH_DEVICE(capture, refuses_what_a_replay_cannot_repeat)
{
    refused("a number", reads, "tp_item: not in a captured step: there is no number yet",
            dev);
    refused("an upload", uploads, "tp_from: not in a captured step", dev);
    refused("tp_store", stores,
            "tp_store: not in a captured step: replays would go on from the old tensor",
            dev);
    refused("a seed", seeds, "tp_seed: not in a captured step", dev);
    refused("a generator of before", restores, "tp_rng_restore: not in a captured step", dev);
    refused("a generator of its own", moves_on, "tp_rng_restore: not in a captured step", dev);
    refused("a schedule", rates, "tp_optim_set_lr: not in a captured step", dev);
    refused("a wait", waits, "tp_device_wait: not in a captured step", dev);
    if (strcmp(tp_device_name(dev), "cpu"))
        refused("a copy to the host", crosses, "tp_to: not in a captured step", dev);
}

static tp_tensor *twice_the_same(void *user)
{
    tp_tensor *x = user, *first;
    tp_rng here = tp_rng_save();

    first = tp_dropout(x, .5);
    tp_rng_restore(here);
    return tp_sum(tp_abs(tp_sub(first, tp_dropout(x, .5))), TP_ALL);
}

ON_EACH_DEVICE(capture, goes_back_to_its_own_random_numbers)
{
    tp_tensor *x;
    tp_capture *c;
    TP_SCOPE;

    tp_seed(7);
    x = tp_ones(TP_SHAPE(1000), TP_F32, dev), c = tp_capture_new(dev, twice_the_same, x);
    for (int i = 0; i < STEPS; i++)
        CHECK_NEAR(tp_item(tp_capture_run(c)), 0, 0);
    CHECK(tp_capture_recorded(c) == (dev->backend->record != NULL));
    tp_capture_free(c);
}

static tp_tensor *more_kernels(run *r)
{
    return tp_exp(r->x);
}

ON_EACH_DEVICE(capture, refuses_other_kernels_hooks_and_anomaly_mode)
{
    run r = start((run){ 0 }, dev);
    tp_capture *c = tp_capture_new(dev, step, &r);
    TP_SCOPE;

    CHECK(tp_capture_run(c) && tp_capture_run(c));
    if (dev->backend->record) {
        TP_ANOMALY;
        CHECK_REFUSED(tp_capture_run(c), TP_ERR_ARG, "anomaly mode");
    }
    r.extra = more_kernels;
    if (dev->backend->record)
        CHECK_REFUSED(tp_capture_run(c), TP_ERR_ARG, "what it does must not change");
    r.extra = NULL;
    CHECK(tp_add_leaf_hook(tp_nn_tensor(r.m, "0.weight"), nothing, NULL));
    CHECK_REFUSED(tp_capture_run(c), TP_ERR_ARG, "hook: not in a captured step");
    CHECK_REFUSED(tp_capture_new(NULL, step, &r), TP_ERR_ARG, "missing device");
    CHECK_REFUSED(tp_capture_new(dev, NULL, &r), TP_ERR_ARG, "missing function");
    CHECK_REFUSED(tp_capture_run(NULL), TP_ERR_ARG, "missing capture");
    tp_capture_free(NULL), tp_capture_free(c), finish(&r);
}

/* ---- memory ---- */

/* A product that needs more scratch than any before: what there was is given back. */
static void grow_scratch(int64_t n, tp_device *dev)
{
    TP_SCOPE;
    TP_NO_GRAD;
    tp_tensor *x = tp_full(TP_SHAPE(n, n), 1, TP_BF16, dev);

    CHECK(tp_linear(x, x, tp_full(TP_SHAPE(n), 1, TP_BF16, dev)));
}

/* Nobody else's tensors are touched by replays, nor replays by them. */
ON_EACH_DEVICE(capture, memory_of_its_own)
{
    double plain[STEPS], captured[STEPS];
    run a = start((run){ .amp = TP_BF16 }, dev), b;
    tp_tensor *mine[40];
    tp_capture *c;

    train(&a, NULL, plain);
    b = start((run){ .amp = TP_BF16 }, dev);
    c = tp_capture_new(dev, step, &b);
    for (int i = 0; i < STEPS; i++) {
        TP_SCOPE;
        CHECK(tp_copy_(b.x, tp_randn(b.x->shape, dev)));
        CHECK(tp_copy_(b.y, tp_from((int64_t[]){ i % 3, 0, 1, 2, i % 2, 1 },
                                    TP_SHAPE(BATCH), TP_I64, dev)));
        if (i > 2) grow_scratch(64 * i, dev);
        for (int k = 0; k < 40; k++)
            mine[k] = tp_full(TP_SHAPE(1 + 100 * k), k, TP_F32, dev);
        captured[i] = tp_item(tp_capture_run(c));
        for (int k = 0; k < 40; k++)
            CHECK(check_at(mine[k], 100 * k) == k && check_at(mine[k], 0) == k);
        CHECK(tp_sched_advance(b.sched));
        CHECK_NEAR(captured[i], plain[i], 0);
    }
    tp_capture_free(c);
    finish(&a), finish(&b);
}

ON_EACH_DEVICE(capture, gradients_stay_where_replays_write_them)
{
    run r = start((run){ 0 }, dev);
    tp_capture *c = tp_capture_new(dev, step, &r);
    tp_tensor *w =
        tp_nn_tensor(r.m, "0.bias"); /* its gradient is none of x, which is 0 */
    TP_SCOPE;

    for (int i = 0; i < 3; i++)
        CHECK(tp_capture_run(c));
    if (dev->backend->record) {
        void *place = tp__data(tp_grad(w));

        CHECK(tp_optim_zero_grad(r.o) && tp_grad(w) && check_at(tp_grad(w), 0) == 0);
        CHECK(tp_capture_run(c) && tp__data(tp_grad(w)) == place);
        CHECK(check_at(tp_norm(tp_grad(w), 2, TP_ALL), 0) > 0);
    }
    tp_capture_free(c);
    CHECK(tp_backward(loss_of(&r)) && tp_optim_step(r.o)); /* life goes on */
    finish(&r);
}

/* ---- what lives longer, or shorter ---- */

/* A log reads a result late, and replays write the next one to the same place. */
ON_EACH_DEVICE(capture, results_in_a_log)
{
    run r = start((run){ 0 }, dev);
    tp_capture *c = tp_capture_new(dev, step, &r);
    char want[400] = "step,loss\n", *got;
    tp_logger *l;

    make_test_folder();
    l = tp_log_open((tp_log_opts){ .dir = in_folder("run") });
    for (int i = 1; i <= STEPS; i++) {
        TP_SCOPE;
        tp_tensor *loss = tp_capture_run(c);

        tp_log_add(l, "loss", loss);
        tp_log_step(l);
        snprintf(want + strlen(want), 40, "%d,%.9g\n", i, tp_item(loss));
    }
    CHECK(tp_log_close(l) && (got = read_whole(in_folder("run/log.csv"), NULL)));
    cr_expect(!strcmp(got, want), "%s: %s, not %s", check_name, got, want);
    free(got), remove_test_folder();
    tp_capture_free(c), finish(&r);
}

/* A graph has addresses of its context, which ends with the thread. */
ON_EACH_DEVICE(capture, a_thread_that_has_ended)
{
    run r = start((run){ 0 }, dev);
    tp_capture *c = tp_capture_new(dev, step, &r);

    for (int i = 0; i < 3; i++) {
        TP_SCOPE;
        CHECK(tp_capture_run(c));
    }
    tp_thread_end();
    if (dev->backend->record) CHECK_REFUSED(tp_capture_run(c), TP_ERR_ARG, "before tp_thread_end");
    tp_capture_free(c), finish(&r);
}

static tp_capture *other;
static tp_tensor *frees(run *r)
{
    (void)r;
    tp_capture_free(other), other = NULL;
    return NULL;
}

ON_EACH_DEVICE(capture, another_is_freed_within)
{
    run a = start((run){ 0 }, dev), b = start((run){ 0 }, dev);
    tp_capture *c = tp_capture_new(dev, step, &b);

    other = tp_capture_new(dev, step, &a);
    for (int i = 0; i < 3; i++) {
        TP_SCOPE;
        b.extra = i == 2 ? frees : NULL;
        CHECK(tp_capture_run(other) && tp_capture_run(c));
    }
    CHECK(!other && tp_capture_recorded(c) == (dev->backend->record != NULL));
    tp_capture_free(c), finish(&a), finish(&b);
}

/* ---- out of memory ---- */

/* Every allocation of a recording fails once: an error, no step, and the next run is one. */
ON_EACH_DEVICE(capture, out_of_memory)
{
    for (long n = 0; n < 400; n += 7) {
        run r = start((run){ 0 }, dev);
        tp_capture *c = tp_capture_new(dev, step, &r);
        bool failed;

        CASE("allocation %ld on %s", n, tp_device_name(dev));
        {
            TP_SCOPE;
            CHECK(tp_capture_run(c) && tp_capture_run(c));
            tp__fail_after = n;
            failed = !tp_capture_run(c);
            tp__fail_after = -1;
            CHECK(failed == !tp_ok() && (!failed || tp_error_code() == TP_ERR_MEMORY));
            tp_clear_error();
            CHECK(isfinite(tp_item(tp_capture_run(c))));
        }
        tp_capture_free(c), finish(&r);
        if (!failed) break;
    }
}

/* ---- gradients of several steps ---- */

static tp_tensor *gather(void *user)
{
    tp_tensor *loss = loss_of(user);

    return tp_backward(loss) ? loss : NULL;
}

static tp_tensor *update(void *user)
{
    run *r = user;

    tp_optim_step(r->o), tp_optim_zero_grad(r->o);
    return NULL;
}

/* Two gradients are gathered before an update: by a step, and by one outside of it. */
static void accumulate(run *r, tp_capture *first, tp_capture *second, double *loss)
{
    for (int i = 0; i < STEPS; i++)
        for (int k = 0; k < 2; k++) {
            TP_SCOPE;

            CHECK(tp_copy_(r->x, tp_randn(r->x->shape, tp_device_of(r->x))));
            loss[i] = tp_item(first ? tp_capture_run(first) : gather(r));
            if (k && second)
                tp_capture_run(second);
            else if (k)
                update(r);
            CHECK(tp_ok());
        }
}

ON_EACH_DEVICE(capture, gradients_that_gather)
{
    for (int captured = 1; captured < 3; captured++) {
        double plain[STEPS], loss[STEPS];
        run a = start((run){ 0 }, dev), b;
        tp_capture *first, *second;

        accumulate(&a, NULL, NULL, plain);
        b = start((run){ 0 }, dev);
        first = tp_capture_new(dev, gather, &b),
        second = captured == 2 ? tp_capture_new(dev, update, &b) : NULL;
        accumulate(&b, first, second, loss);
        for (int i = 0; i < STEPS; i++) {
            CASE("%d captured on %s, step %d", captured, tp_device_name(dev), i);
            CHECK_NEAR(loss[i], plain[i], 0);
        }
        tp_capture_free(second), tp_capture_free(first);
        finish(&a), finish(&b);
    }
}

/* ---- what isn't on the device of the recording ---- */

typedef struct elsewhere {
    tp_tensor *here, *there;
} elsewhere;

static tp_tensor *add_there(void *user)
{
    elsewhere *e = user;
    TP_NO_GRAD;

    tp_copy_(e->there, tp_add(e->there, e->there));
    return tp_add(e->here, e->here);
}

ON_EACH_DEVICE(capture, work_on_another_device)
{
    TP_SCOPE;
    elsewhere e = { tp_ones(TP_SHAPE(3), TP_F32, dev), tp_ones(TP_SHAPE(3), TP_F32, tp_device_open("cpu")) };
    tp_capture *c = tp_capture_new(dev, add_there, &e);

    CHECK(tp_capture_run(c) && tp_capture_run(c));
    if (dev->backend->record)
        CHECK_REFUSED(tp_capture_run(c), TP_ERR_DEVICE, "not in a captured step of cuda:0: work on cpu, which no replay does");
    tp_capture_free(c);
}

/* ---- memory of captures that are gone ---- */

static tp_tensor *double_here(void *user)
{
    return tp_scale(user, 2);
}

ON_EACH_DEVICE(capture, memory_serves_the_next)
{
    TP_SCOPE;
    tp_tensor *x = tp_ones(TP_SHAPE(16), TP_F32, dev);
    size_t first = 0;

    for (int i = 0; i < 5; i++) {
        TP_SCOPE;
        tp_capture *c = tp_capture_new(dev, double_here, x);

        for (int k = 0; k < 4; k++)
            CHECK(check_at(tp_capture_run(c), 15) == 2);
        tp_capture_free(c);
        if (i == 0) first = tp_memory_stats(dev).reserved;
    }
    CHECK(tp_memory_stats(dev).reserved < first + (1 << 20)); /* a recording takes 32 MiB */
}
