/*
 * test_misuse.c - what a user gets wrong, and what the library then says: freeing what is lent,
     loops
 * that would not end, options that can't be, names that aren't there.
 */
#include "tests/calls.h"
#include "tests/data.h"

/* A call that gives nothing is refused for this reason. */
#define VOID(call, code, text) REFUSED(((call), false), code, text)

/* ---- lifetimes ---- */

ON_EACH_DEVICE(misuse, what_is_lent_is_not_freed)
{
    tp_module *parts[] = { tp_nn_linear(3, 2), tp_nn_relu() },
        *m = tp_nn_init(tp_nn_sequential(parts, 2), dev);
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
    tp_tensor *w = tp_nn_tensor(m, "0.weight"), *kept;

    {
        TP_SCOPE;
        tp_tensor *t = F32(2, 3);

        VOID(tp_free(t), TP_ERR_ARG, "tp_free: it is lent: its scope frees f32 (2, 3)");
        CHECK(tp_item(tp_sum(t, TP_ALL)) == 6);
        VOID(tp_free(w), TP_ERR_ARG, "tp_free: it is lent: what owns f32 (2, 3) frees it");
        CHECK(tp_nn_forward(m, t) && tp_keep(w) == w);
        tp_free(w);
        CHECK(tp_ok());
        VOID(tp_free(w), TP_ERR_ARG, "no tp_keep is left to undo");
        kept = tp_keep(t);
        CHECK(tp_nn_set(m, "0.weight", kept)); /* the module is another owner */
        tp_free(kept);
        CHECK(tp_ok());
        VOID(tp_free(kept), TP_ERR_ARG, "it is lent: what owns");
    }
    VOID(tp_nn_free(tp_nn_child(m, 0)), TP_ERR_ARG, "tp_nn_free: 0 has a parent, which frees it");
    CHECK(tp_nn_children(m) == 2);
    tp_optim_free(o), tp_nn_free(m);
}

ON_EACH_DEVICE(misuse, a_slot_that_holds_a_lent_tensor)
{
    TP_SCOPE;
    tp_tensor *h = F32(2), *first = h;

    CHECK(tp_store(&h, F32(3)) && tp_count(h) == 3 && tp_count(first) == 2);
    CHECK(tp_store(&h, F32(4)) && tp_count(h) == 4);
    tp_free(h);
}

/* Two in one block, and on one line. */
ON_EACH_DEVICE(misuse, modes_side_by_side)
{
    tp_module *m = tp_nn_init(tp_nn_linear(3, 2), dev), *n = tp_nn_init(tp_nn_linear(3, 2), dev);
    tp_ema *a = tp_ema_new(m, 0.5), *b = tp_ema_new(n, 0.5);

    CHECK(a && b && tp_ema_update(a) && tp_ema_update(b));
    {
        TP_WITH_EMA(a); TP_WITH_EMA(b);
        TP_SCOPE; TP_NO_GRAD; TP_AUTOCAST(TP_BF16);
        tp_tensor *y = tp_nn_forward(m, F32(1, 3));

        CHECK(y && !tp_needs_grad(y) && tp_dtype_of(y) == TP_BF16);
        CHECK(!tp_ema_update(a) && !tp_ok());
        tp_clear_error();
    }
    CHECK(tp_ema_update(a) && tp_ema_update(b));
    tp_ema_free(a), tp_ema_free(b), tp_nn_free(m), tp_nn_free(n);
}

/* ---- loaders without a batch ---- */

static tp_dataset *three(void)
{
    return tp_data_tensors(TP_LIST(tp_ones(TP_SHAPE(3, 2), TP_F32, tp_device_open("cpu"))));
}

static tp_got nothing(void *user, void *const *fields)
{
    (void)user, (void)fields;
    return TP_END;
}

static bool again(void *user)
{
    (void)user;
    return true;
}

Test(misuse, passes_without_a_batch)
{
    static const char text[] =
        "tp_data_next: a second pass without a batch: 3 samples, batch 8, drop_last";
    tp_source s = { .count = -1, .fields = 1, .dtype = { TP_F32 }, .shape = { TP_SHAPE(2) },
        .next = nothing, .rewind = again };
    tp_batch b;

    TP_SCOPE;
    for (int workers = 0; workers < 2; workers++) {
        tp_loader *l = tp_data_loader(three(), (tp_loader_opts){ .batch = 8, .drop_last = true,
            .workers = workers });

        CHECK(!tp_data_next(l, &b) && tp_ok()); /* as with an empty set: the pass's end */
        ARG(tp_data_next(l, &b), text);
        ARG(tp_data_next(l, &b), text);
        CHECK(tp_data_seek(l, (tp_position){ 0, 0 }) && !tp_data_next(l, &b) && tp_ok());
        tp_data_free(l);
        l = tp_data_loader(three(), (tp_loader_opts){ .batch = 3, .workers = workers });
        for (int i = 0; i < 4; i++) /* ends that follow a batch are no such passes */
            CHECK(tp_data_next(l, &b) && !tp_data_next(l, &b) && tp_ok());
        CHECK(tp_data_seek(l, (tp_position){ 1, 1 }) && !tp_data_next(l, &b) && tp_data_next(l,
            &b) && tp_ok());
        tp_data_free(l);
        l = tp_data_loader(tp_data_source(s), (tp_loader_opts){ .batch = 2, .endless = true,
            .workers = workers });
        ARG(tp_data_next(l, &b),
            "a second pass without a batch: the stream ends before one of 2 is whole");
        tp_data_free(l);
    }
}

/* ---- probabilities ---- */

ON_EACH_DEVICE(misuse, bernoulli_of_what_is_no_probability)
{
    static const double bad[] = { 2, -0.25, NAN, INFINITY };
    static const tp_dtype d[] = { TP_F32, TP_F64, TP_BF16 };

    if (dev != tp_device_open("cpu")) return;
    for (int i = 0; i < TP_LEN(d) * TP_LEN(bad); i++) {
        TP_SCOPE;
        tp_tensor *p = tp_full(TP_SHAPE(40, 3), 0.5, d[i % 3], dev), *y;
        tp_rng before = tp_rng_save();

        CHECK(tp_fill_(tp_slice(p, 0, 39, 40), bad[i / 3]));
        ARG(tp_bernoulli(p), "bernoulli: a p is outside 0..1, or isn't a number");
        ARG(tp_bernoulli(tp_transpose(p, 0, 1)), "bernoulli: a p is outside 0..1");
        CHECK(tp_rng_save().offset == before.offset);
        CHECK(tp_fill_(p, 0.25) && (y = tp_bernoulli(tp_transpose(p, 0, 1))));
        tp_rng_restore(before); /* the same numbers as tp_rand_like's */
        CHECK(tp_allclose(y, tp_cast(tp_lt(tp_rand_like(tp_transpose(p, 0, 1)), tp_transpose(p, 0,
            1)), d[i % 3]), 0, 0));
    }
    TP_SCOPE;
    CHECK(tp_item(tp_sum(tp_bernoulli(F32(7)), TP_ALL)) == 7 &&
        tp_count(tp_bernoulli(F32(0))) == 0);
}

/* ---- nothing is silent ---- */

ON_EACH_DEVICE(misuse, names_and_numbers_that_are_not_there)
{
    tp_module *m = tp_nn_init(tp_nn_linear(3, 2), dev);
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));

    TP_SCOPE;
    ARG(tp_nn_tensor(m, "bias.x"), "tp_nn_tensor: there is no parameter or buffer bias.x");
    CHECK(!tp_nn_has(m, "bias.x") && tp_nn_has(m, "bias") && tp_ok());
    ARG(tp_nn_tensor(NULL, "bias"), "missing module");
    ARG(tp_metric_update(NULL, F32(1), F32(1)), "tp_metric_update: missing metric");
    ARG(!isnan(tp_metric_value(NULL)), "tp_metric_value: missing metric");
    ARG(tp_optim_lr(o, 9) != 0, "tp_optim_lr: there is no group 9 of 1");
    ARG(tp_optim_lr(NULL, 0) != 0, "missing optimizer");
    CHECK(tp_optim_lr(o, 0) == 1 && !strcmp(tp_optim_kind(o), "sgd") &&
        !strcmp(tp_optim_kind(NULL), ""));
    CHECK(tp_optim_has(o, tp_nn_tensor(m, "bias")) && !tp_optim_has(o, F32(2)) &&
        !tp_optim_has(NULL, NULL));
    tp_optim_free(o), tp_nn_free(m);
}

/* ---- what can't be built ---- */

ON_EACH_DEVICE(misuse, options_that_are_refused_at_once)
{
    tp_module *m = tp_nn_init(tp_nn_linear(3, 2), dev);

    TP_SCOPE;
    ARG(tp_nn_conv2d(3, 4, 3, (tp_conv2d_opts){ .same = true, .stride = 2 }),
        "tp_nn_conv2d: the same size needs stride 1, not 2");
    ARG(tp_nn_conv2d(3, 4, 3, (tp_conv2d_opts){ .same = true, .rectangular = true,
        .stride_w = 3 }), "stride 1, not 3");
    ARG(tp_nn_lstm(3, 4, (tp_lstm_opts){ .relu = true }), "lstm: relu is rnn's");
    ARG(tp_nn_gru(3, 4, (tp_lstm_opts){ .relu = true }), "gru: relu is rnn's");
    tp_nn_free(tp_nn_rnn(3, 4, (tp_lstm_opts){ .relu = true }));
    tp_nn_weight_norm(m, "weight", (tp_weight_norm_opts){ 0 });
    ARG(tp_nn_lora(m, "*", (tp_lora_opts){ 0 }) >= 0,
        "tp_nn_lora: weight is computed: remove its parametrization first");
    CHECK(tp_nn_forward(m, F32(1, 3)) && !tp_nn_has(m, "lora_A"));
    tp_nn_free(m);
}

/* ---- the op that was called is the one that is named, and what it wants is said ---- */

ON_EACH_DEVICE(misuse, errors_name_the_call)
{
    tp_module *m = tp_nn_init(tp_nn_linear(3, 2), dev);
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
    tp_lbfgs_opts l = tp_lbfgs(1);
    tp_loader *none = NULL;
    tp_batch b;

    TP_SCOPE;
    DTYPE(tp_median(make(TP_BOOL, dev, TP_SHAPE(3)), 0, NULL), "median: not offered for bool (3)");
    SHAPE(tp_median(F32(0), 0, NULL), "median: f32 (0) has nothing along axis 0");
    SHAPE(tp_max_along(F32(2, 0), 1, NULL), "max_along: f32 (2, 0) has nothing along axis 1");
    SHAPE(tp_eye(-1, 2, TP_F32, dev), "eye: ");
    DEVICE(tp_eye(1, 2, TP_F32, NULL), "eye: missing device");
    SHAPE(tp_randperm(-1, dev), "randperm: ");
    DEVICE(tp_randperm(3, NULL), "randperm: missing device");
    ARG(tp_nn_clone(NULL), "tp_nn_clone: missing module");
    ARG(tp_train_accuracy(m, NULL) > 0, "tp_train_accuracy: missing loader");
    ARG(tp_train_accuracy(NULL, NULL) > 0, "tp_train_accuracy: missing module");
    ARG(tp_nn_forward(NULL, F32(2)), "tp_nn_forward: missing module");
    ARG(tp_nn_apply(NULL, TP_LIST(F32(2)), &b.x, 1) >= 0, "tp_nn_apply: missing module");
    ARG(tp_data_next(none, &b), "tp_data_next: missing loader");
    ARG(tp_nn_linear(0, 3), "tp_nn_linear: 0 in, 3 out: 1 or more of each are wanted");
    ARG(tp_nn_lora(m, "*", (tp_lora_opts){ .rank = -2 }) >= 0, "rank -2: 1 or more is wanted");
    ARG(tp_nn_conv2d(3, 4, 3, (tp_conv2d_opts){ .groups = 2 }),
        "2 groups: numbers above 0 are wanted, and groups that divide in and out");
    ARG(tp_sched_step(o, 0, .1), "every 0 steps by 0.1: 1 step or more, and 0 or more, are wanted");
    ARG(tp_sched_cosine(o, 0, 0, 0), "warm-up 0 of 0 steps, down to 0: steps above 0");
    ARG(tp_arange(0, 10, 0, TP_F32, dev), "from 0 to 10 by 0: a step towards the end is wanted");
    ARG(tp_data_mixup(three(), 0), "alpha 0: a finite number above 0 is wanted");
    l.history_size = 2000000000;
    ARG(tp_optim_lbfgs(tp_nn_params(m, "*"), l), "history_size 2000000000: 1 to 1048576 is wanted");
    tp_optim_free(o), tp_nn_free(m);
    if (dev != tp_device_open("cpu")) return;
    ARG(tp_one_hot(tp_full(TP_SHAPE(2), 5, TP_I64, dev), 3), "one_hot: index 5 is outside 0..2");
    ARG(tp_index_select(F32(3, 2), 0, tp_full(TP_SHAPE(2), 5, TP_I64, dev)),
        "index_select: index 5");
    ARG(tp_index_select(F32(2, 3), 1, tp_full(TP_SHAPE(2), 5, TP_I64, dev)),
        "index_select: index 5");
    ARG(tp_scatter_add(F32(3), 0, tp_full(TP_SHAPE(2), 5, TP_I64, dev), F32(2)),
        "scatter_add: index 5");
    ARG(tp_multinomial(tp_zeros(TP_SHAPE(3), TP_F32, dev), 2, true),
        "multinomial: a row has no weight above 0: one is wanted");
    ARG(tp_multinomial(F32(3), 4, false),
        "fewer weights above 0 than the 4 samples without replacement");
}

/* A schedule's end, by the call that went beyond it. */
Test(misuse, past_a_schedule)
{
    tp_module *m = tp_nn_init(tp_nn_linear(3, 2), tp_device_open("cpu"));
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
    tp_one_cycle_opts k = tp_one_cycle(1, 2);
    tp_sched *s;

    k.cycle_momentum = false, s = tp_sched_one_cycle(o, k);
    CHECK(s && tp_sched_advance(s) && tp_sched_advance(s));
    ARG(tp_sched_advance(s), "tp_sched_advance: step 3 of a schedule of 2");
    ARG(tp_sched_seek(s, 3), "tp_sched_seek: step 3 of a schedule of 2");
    tp_sched_free(s), tp_optim_free(o), tp_nn_free(m);
}

/* ---- the processor; each in a process of its own, as it is asked once ---- */

static void level(const char *name, const char *text)
{
    setenv("TAPER_CPU", name, 1);
    DEVICE(tp_device_open("cpu"), text);
    DEVICE(tp_device_open("cpu"), text);
}

Test(misuse, a_level_that_does_not_exist)
{
    tp_tensor *x;
    float one = 1;

    level("foo", "tp_device_open: cpu: TAPER_CPU is \"foo\": this build has ");
    x = tp_wrap(&one, TP_SCALAR, TP_F32, NULL, NULL); /* a tensor without tp_device_open */
    DEVICE(tp_exp(x), "TAPER_CPU is \"foo\"");
}

Test(misuse, a_level_that_is_not_said)
{
    setenv("TAPER_CPU", "", 1);
    CHECK(tp_device_open("cpu"));
}
