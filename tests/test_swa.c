/*
 * test_swa.c - running statistics for averaged weights, against PyTorch's update_bn; averages
 * inside tp_train_fit against a loop by hand, and resumed.
 */
#include "tests/calls.h"
#include "tests/files.h"

#ifndef TP_GOLDEN
#define TP_GOLDEN "tests/golden"
#endif

#define IN_FOLDER .init = make_test_folder, .fini = remove_test_folder, .timeout = 120

/* ---- tp_swa_update_bn ---- */

typedef struct twice {
    tp_module *norm, *linear;
    int fail_at;
} twice;

static int norm_twice(void *self, tp_list in, tp_tensor **out, int room)
{
    twice *k = self;

    (void)room;
    if (k->fail_at && !--k->fail_at) return tp_fail(TP_ERR_USER, "no more"), -1;
    out[0] = tp_nn_forward(k->norm, tp_nn_forward(k->linear, tp_nn_forward(k->norm, in.t[0])));
    return out[0] ? 1 : -1;
}

static tp_module *make_twice(twice *k)
{
    tp_module *m = tp_nn_from("twice", k, norm_twice, NULL);

    k->norm = tp_nn_add(m, "norm", tp_nn_batch_norm(3)),
    k->linear = tp_nn_add(m, "linear", tp_nn_linear(3, 3));
    CHECK(tp_nn_cast(m, TP_F64) && tp_nn_init(m, tp_device_open("cpu")));
    return m;
}

static tp_loader *loader_of(tp_tensor *x, tp_loader_opts o)
{
    return tp_data_loader(tp_data_tensors(TP_LIST(x)), o);
}

static tp_tensor *named(const tp_file *f, const char *name)
{
    return tp_file_read(f, tp_file_find(f, name), tp_device_open("cpu"));
}

static const char *const of_norm[][2] = { { "mean", "norm.running_mean" },
                                          { "var", "norm.running_var" },
                                          { "tracked", "norm.num_batches_tracked" } };

static void put(tp_module *m, const char *name, tp_tensor *t)
{
    TP_NO_GRAD;
    CHECK(tp_copy_(tp_nn_tensor(m, name), t));
}

static double at(tp_module *m, const char *name, int i)
{
    TP_SCOPE;
    return check_at(tp_nn_tensor(m, name), i);
}

Test(swa, statistics_of_one_pass)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/swa.safetensors");
    TP_SCOPE;
    twice k = { 0 };
    tp_module *m = make_twice(&k);
    tp_loader *l = loader_of(named(f, "x"), (tp_loader_opts){ .batch = 4 });

    for (int i = 0; i < 3; i++)
        put(m, of_norm[i][1], named(f, of_norm[i][0]));
    put(m, "linear.weight", named(f, "weight")), put(m, "linear.bias", named(f, "bias"));
    tp_nn_train(m, "norm", false);
    for (int again = 0; again < 2; again++) {
        CASE("time %d", again);
        CHECK(tp_swa_update_bn(l, m));
        for (int i = 0; i < 3; i++) {
            char name[32];

            snprintf(name, sizeof name, "%s.after", of_norm[i][0]);
            for (int e = 0; e < (i == 2 ? 1 : 3); e++) {
                double want = check_at(named(f, name), e);

                CHECK_NEAR(at(m, of_norm[i][1], e), want,
                           8 * 0x1p-52 * sqrt(28) * fmax(1, fabs(want)));
            }
        }
        CHECK(!tp_nn_training(k.norm) && tp_nn_training(m) &&
              tp_nn_training(k.linear)); /* as they were */
    }
    CASE("the momentum is the norm's own again");
    tp_nn_train(m, "*", true);
    CHECK(tp_nn_forward(k.norm, named(f, "x")) != NULL);
    tp_tensor *mean = tp_mean(named(f, "x"), TP_AXES(0));
    for (int e = 0; e < 3; e++)
        CHECK_NEAR(at(m, "norm.running_mean", e),
                   0.9 * check_at(named(f, "mean.after"), e) + 0.1 * check_at(mean, e), 1e-12);
    tp_data_free(l), tp_nn_free(m), tp_file_close(f);
}

Test(swa, cumulative_is_momentum_none)
{
    tp_batch_norm_opts o = tp_batch_norm_defaults();
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_module *m;
    double sum = 0;

    o.cumulative = true, m = tp_nn_init(tp_nn_batch_norm_with(1, o), cpu);
    for (int i = 1; i < 5; i++) {
        float v[] = { (float)i, (float)(3 * i) };

        CHECK(tp_nn_forward(m, tp_from(v, TP_SHAPE(2, 1), TP_F32, cpu)) != NULL);
        sum += 2 * i;
        CASE("batch %d", i);
        CHECK_NEAR(at(m, "running_mean", 0), sum / i, 1e-6 * sum);
    }
    tp_nn_free(m);
}

Test(swa, update_bn_refuses)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    twice k = { 0 };
    tp_module *m = make_twice(&k), *plain = tp_nn_init(tp_nn_linear(3, 3), cpu);
    tp_tensor *x = tp_randn(TP_SHAPE(9, 3), cpu);
    tp_loader *l = loader_of(tp_cast(x, TP_F64), (tp_loader_opts){ .batch = 3 });
    tp_loader *endless = loader_of(x, (tp_loader_opts){ .batch = 3, .endless = true });
    tp_loader *empty = tp_data_loader(tp_data_range(tp_data_tensors(TP_LIST(x)), 0, 2),
                                      (tp_loader_opts){ .batch = 3, .drop_last = true });
    tp_batch b;

    ARG(tp_swa_update_bn(NULL, m), "missing loader or module");
    ARG(tp_swa_update_bn(l, NULL), "missing loader or module");
    ARG(tp_swa_update_bn(endless, m), "an endless loader has no pass that ends");
    ARG(!isnan(tp_train_accuracy(m, endless)), "tp_train_accuracy: an endless loader has no pass that ends");
    ARG(!isnan(tp_train_frechet(m, endless, endless)), "tp_train_frechet: an endless loader has no pass that ends");
    put(m, "norm.running_mean", tp_full(TP_SHAPE(3), 7, TP_F64, cpu));
    ARG(tp_swa_update_bn(empty, m), "the loader gave no batch");
    CHECK(at(m, "norm.running_mean", 0) == 7);
    CHECK(tp_data_next(l, &b));
    ARG(tp_swa_update_bn(l, m), "the loader stands at batch 1 of its pass");
    while (tp_data_next(l, &b)) continue;
    CASE("a forward that fails: modes and momenta are back");
    k.fail_at = 2;
    CHECK_REFUSED(tp_swa_update_bn(l, m), TP_ERR_USER, "no more");
    CHECK(tp_data_seek(l, (tp_position){ 5, 0 }) && tp_swa_update_bn(l, m));
    CASE("without norms there is nothing to do");
    CHECK(tp_swa_update_bn(l, plain) && tp_data_position(l).batch == 0);
    CASE("norms without statistics, and without weights");
    for (int i = 0; i < 2; i++) {
        tp_batch_norm_opts k2 = tp_batch_norm_defaults();
        tp_module *bare;

        k2.no_running = i == 0, k2.no_affine = i == 1;
        bare = tp_nn_init(tp_nn_batch_norm_with(3, k2), cpu);
        CHECK(tp_nn_cast(bare, TP_F64) && tp_swa_update_bn(l, bare));
        if (i)
            CHECK_NEAR(at(bare, "running_mean", 0),
                       check_at(tp_mean(tp_cast(x, TP_F64), TP_AXES(0)), 0), 1e-14);
        tp_nn_free(bare);
    }
    tp_data_free(l), tp_data_free(endless), tp_data_free(empty), tp_nn_free(m), tp_nn_free(plain);
}

/* ---- averages inside tp_train_fit ---- */

enum { N = 22, BATCH = 4 }; /* 6 batches a pass */

typedef struct bench {
    tp_module *m;
    tp_optim *opt;
    tp_ema *average;
    tp_loader *train, *test, *again;
} bench;

static tp_loader *numbers(bool shuffle)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    float x[N * 3];
    int64_t y[N];

    for (int i = 0; i < N; i++) {
        for (int k = 0; k < 3; k++)
            x[3 * i + k] = (float)sin(i * 3.7 + k);
        y[i] = x[3 * i] > x[3 * i + 1];
    }
    return tp_data_loader(tp_data_tensors(TP_LIST(tp_from(x, TP_SHAPE(N, 3), TP_F32, cpu),
                                                  tp_from(y, TP_SHAPE(N), TP_I64, cpu))),
                          (tp_loader_opts){ .batch = BATCH, .shuffle = shuffle, .seed = 3 });
}

static bench begin(bool swa)
{
    tp_module *layers[] = { tp_nn_linear(3, 8), tp_nn_batch_norm(8), tp_nn_relu(),
                            tp_nn_linear(8, 2) };
    bench b = { .train = numbers(true), .test = numbers(false), .again = numbers(true) };

    tp_seed(11);
    b.m = tp_nn_init(tp_nn_sequential(layers, TP_LEN(layers)), tp_device_open("cpu"));
    b.opt = tp_optim_sgd(tp_nn_params(b.m, "*"), tp_sgd(0.1));
    b.average = swa ? tp_swa_new(b.m) : tp_ema_new(b.m, 0.75);
    return b;
}

static void end(bench b)
{
    tp_ema_free(b.average), tp_optim_free(b.opt), tp_nn_free(b.m), tp_data_free(b.train),
        tp_data_free(b.test), tp_data_free(b.again);
}

static tp_fit_opts opts_of(const bench *b)
{
    return (tp_fit_opts){
        .optim = b->opt, .train = b->train, .validation = b->test, .average = b->average
    };
}

/* The mean loss over b.test of m as it is, in eval mode. */
static double mean_loss(bench *b)
{
    double sum = 0;

    for (tp_batch t; tp_data_next(b->test, &t);) {
        TP_SCOPE;
        sum += tp_item(tp_cross_entropy(tp_nn_predict(b->m, t.x), t.y)) * (double)t.size;
    }
    return sum / N;
}

/* Two passes; the score after each. */
static void by_hand(bench *b, int from, int every, bool statistics, double *score)
{
    int step = 0;

    for (int e = 0; e < 2; e++) {
        for (tp_batch t; tp_data_next(b->train, &t);) {
            TP_SCOPE;
            tp_optim_zero_grad(b->opt);
            CHECK(tp_backward(tp_cross_entropy(tp_nn_forward(b->m, t.x), t.y)) &&
                  tp_optim_step(b->opt));
            if (++step >= from && (step - from) % every == 0) CHECK(tp_ema_update(b->average));
        }
        if (tp_ema_updates(b->average)) {
            TP_WITH_EMA(b->average);
            if (statistics) CHECK(tp_swa_update_bn(b->again, b->m));
            score[e] = mean_loss(b);
        } else {
            score[e] = mean_loss(b);
        }
    }
}

static bool note(const tp_fit_at *at, void *user)
{
    double **score = user;

    return *(*score)++ = at->score, true;
}

Test(swa, fit_does_what_a_loop_does, IN_FOLDER)
{
    static const struct { bool swa, statistics; int from, every;
    } how[] = {
        { false, false, 0, 0 }, { true, true, 3, 2 }, { true, false, 8, 1 }, { false, true, 100, 1 }
    };

    for (int i = 0; i < TP_LEN(how); i++) {
        double want[2] = { 0 }, got[2] = { 0 }, *next = got;
        bench b = begin(how[i].swa);
        tp_fit_opts o = opts_of(&b);

        CASE("variant %d", i);
        o.epochs = 2, o.average_from = how[i].from, o.average_every = how[i].every,
        o.statistics = how[i].statistics ? b.again : NULL;
        o.on_validation = note, o.user = &next;
        CHECK(tp_train_fit(b.m, o, NULL) && tp_nn_save(b.m, in_folder("fit")));
        CHECK(!tp_ema_updates(b.average) ||
              (tp_ema_copy_to(b.average, b.m) && tp_nn_save(b.m, in_folder("fit.average"))));
        end(b), b = begin(how[i].swa);
        by_hand(&b, how[i].from, how[i].every ? how[i].every : 1, how[i].statistics, want);
        CHECK(tp_nn_save(b.m, in_folder("hand")) &&
              same_files(in_folder("fit"), in_folder("hand")));
        if (tp_ema_updates(b.average)) {
            CHECK(tp_ema_copy_to(b.average, b.m) && tp_nn_save(b.m, in_folder("hand.average")));
            CHECK(same_files(in_folder("fit.average"), in_folder("hand.average")));
        }
        CHECK(want[0] == got[0] && want[1] == got[1]);
        end(b);
    }
}

static bool stop_at_7(const tp_fit_at *at, void *user)
{
    (void)user;
    return at->step != 7;
}

Test(swa, the_best_are_averages_and_runs_go_on, IN_FOLDER)
{
    bench b = begin(false);
    tp_fit_opts o = opts_of(&b);
    tp_fit_result whole, r;
    char best[512], state[512];

    snprintf(best, sizeof best, "%s", in_folder("best")),
        snprintf(state, sizeof state, "%s", in_folder("state"));
    CASE("m has the best averages at the end");
    o.epochs = 3, o.restore_best = true, o.best = best;
    CHECK(tp_train_fit(b.m, o, &whole) && tp_nn_save(b.m, in_folder("whole")));
    CHECK(same_files(best, in_folder("whole")));
    CHECK_NEAR(mean_loss(&b), whole.at.best, 0);
    CASE("stopped and resumed");
    end(b), b = begin(false), o.optim = b.opt, o.train = b.train, o.validation = b.test,
            o.average = b.average;
    o.checkpoint = state, o.on_step = stop_at_7;
    CHECK(tp_train_fit(b.m, o, &r) && r.why == TP_FIT_ASKED);
    end(b), b = begin(false), o.optim = b.opt, o.train = b.train, o.validation = b.test,
            o.average = b.average;
    o.on_step = NULL, o.resume = state;
    CHECK(tp_train_fit(b.m, o, &r) && r.at.best == whole.at.best && r.at.score == whole.at.score);
    CHECK(tp_nn_save(b.m, in_folder("again")) &&
          same_files(in_folder("whole"), in_folder("again")));
    end(b);
}

static double failing(tp_module *m, tp_loader *l, void *user)
{
    (void)m, (void)l, (void)user;
    tp_fail(TP_ERR_USER, "no score");
    return 0;
}

Test(swa, fit_refuses, IN_FOLDER)
{
    bench b = begin(true);
    tp_fit_opts good = opts_of(&b), o;

    good.epochs = 1;
    o = good, o.average_from = -1;
    ARG(tp_train_fit(b.m, o, NULL), "average_from and average_every can't be below 0");
    o = good, o.average = NULL, o.average_every = 2;
    ARG(tp_train_fit(b.m, o, NULL), "average_from, average_every and statistics need an average");
    o = good, o.average = NULL, o.statistics = b.again;
    ARG(tp_train_fit(b.m, o, NULL), "need an average");
    o = good, o.statistics = b.train;
    ARG(tp_train_fit(b.m, o, NULL), "statistics needs a loader of its own");
    CASE("a score that fails leaves m its own weights");
    CHECK(tp_nn_save(b.m, in_folder("before")));
    o = good, o.score = failing;
    CHECK(tp_optim_set_lr(b.opt, -1, 0));
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_USER, "no score");
    CHECK(tp_ema_update(b.average)); /* refused while they are swapped in */
    CASE("an average of another module");
    bench c = begin(true);
    tp_nn_replace(c.m, "0", tp_nn_init(tp_nn_linear(3, 8), tp_device_open("cpu")));
    o = good, o.average = c.average;
    ARG(tp_train_fit(b.m, o, NULL), "make the averages after that");
    end(b), end(c);
}
