/*
 * test_fit.c - tp_train_fit against a loop by hand, bit by bit; resuming, stopping, and what goes wrong.
 */
#include "tests/files.h"

#include <signal.h>

#define IN_FOLDER .init = make_test_folder, .fini = remove_test_folder, .timeout = 120

enum { N = 22, BATCH = 4 }; /* 6 batches a pass, the last of 2 */

/* A network with dropout and a norm, its data, and what tp_train_fit is given. */
typedef struct bench {
    tp_module *m;
    tp_optim *opt;
    tp_sched *sched;
    tp_loader *train, *test;
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
    return tp_data_loader(tp_data_tensors(TP_LIST(tp_from(x, TP_SHAPE(N, 3), TP_F32, cpu), tp_from(y, TP_SHAPE(N), TP_I64, cpu))),
                          (tp_loader_opts){ .batch = BATCH, .shuffle = shuffle, .seed = 3 });
}

static bench begin(void)
{
    tp_module *layers[] = { tp_nn_linear(3, 8), tp_nn_batch_norm(8), tp_nn_relu(), tp_nn_dropout(0.25), tp_nn_linear(8, 2) };
    bench b = { .train = numbers(true), .test = numbers(false) };

    tp_seed(11);
    b.m = tp_nn_init(tp_nn_sequential(layers, TP_LEN(layers)), tp_device_open("cpu"));
    b.opt = tp_optim_adamw(tp_nn_params(b.m, "*"), tp_adamw(0.02));
    b.sched = tp_sched_cosine(b.opt, 2, 20, 0.1);
    return b;
}

static void end(bench b)
{
    tp_sched_free(b.sched), tp_optim_free(b.opt), tp_nn_free(b.m), tp_data_free(b.train), tp_data_free(b.test);
}

static tp_fit_opts opts_of(bench b)
{
    return (tp_fit_opts){ .optim = b.opt, .sched = b.sched, .train = b.train, .validation = b.test };
}

static void save_weights(bench b, const char *name)
{
    CHECK(tp_nn_save(b.m, in_folder(name)));
}

/* ---- the loop itself ---- */

static void by_hand(bench b, int epochs, int accumulate, double clip, tp_dtype amp)
{
    tp_batch batch;

    for (int e = 0; e < epochs; e++)
        for (int left = 6; left > 0;) {
            int share = left < accumulate ? left : accumulate;
            TP_SCOPE;

            tp_optim_zero_grad(b.opt);
            for (int i = 0; i < share && tp_data_next(b.train, &batch); i++) {
                TP_AUTOCAST(amp);
                tp_tensor *loss = tp_cross_entropy(tp_nn_forward(b.m, batch.x), batch.y);

                CHECK(tp_backward(share > 1 ? tp_scale(loss, 1.0 / share) : loss));
            }
            if (clip > 0) tp_optim_clip_norm(b.opt, clip);
            CHECK(tp_optim_step(b.opt) && tp_sched_advance(b.sched));
            if (!(left -= share)) CHECK(!tp_data_next(b.train, &batch)); /* the pass's end */
        }
}

Test(fit, does_what_a_loop_does, IN_FOLDER)
{
    static const struct { int accumulate; double clip; tp_dtype amp; int steps; } how[] = {
        { 0, 0, TP_F32, 12 }, { 1, 0.1, TP_BF16, 12 }, { 4, 0.5, TP_F32, 4 }, { 100, 0, TP_F32, 2 } };

    for (int i = 0; i < TP_LEN(how); i++) {
        tp_fit_result r;
        bench b = begin();
        tp_fit_opts o = opts_of(b);

        CASE("variant %d", i);
        o.epochs = 2, o.accumulate = how[i].accumulate, o.clip_norm = how[i].clip, o.amp = how[i].amp, o.validation = NULL;
        CHECK(tp_train_fit(b.m, o, &r) && r.why == TP_FIT_DONE && r.at.step == how[i].steps && r.at.epoch == 2);
        CHECK(isfinite(r.at.loss) && isnan(r.at.score) && isnan(r.at.best));
        save_weights(b, "fit"), end(b);
        b = begin();
        by_hand(b, 2, how[i].accumulate ? how[i].accumulate : 1, how[i].clip, how[i].amp);
        save_weights(b, "hand"), end(b);
        CHECK(same_files(in_folder("fit"), in_folder("hand")));
    }
}

static tp_tensor *fails_twice(tp_tensor *y, tp_batch b, void *user)
{
    int *calls = user;

    if (++*calls % 2) return tp_cross_entropy(y, b.y);
    return tp_fail(TP_ERR_USER, "call %d fails", *calls);
}

/* The loss is that of a whole step: what was summed up before a failure isn't one. */
Test(fit, loss_without_a_step, IN_FOLDER)
{
    bench b = begin();
    tp_fit_opts o = opts_of(b);
    tp_fit_result r;
    int calls = 0;

    o.loss = fails_twice, o.user = &calls, o.steps = 4, o.accumulate = 3, o.validation = NULL;
    o.on_step = o.on_epoch = o.on_validation = o.on_end = NULL;
    CHECK_REFUSED(tp_train_fit(b.m, o, &r), TP_ERR_USER, "call 2 fails");
    CHECK(r.at.step == 0 && isnan(r.at.loss));
    o.epochs = -1;
    CHECK_REFUSED(tp_train_fit(b.m, o, &r), TP_ERR_ARG, "epochs or steps");
    CHECK(isnan(r.at.loss));
    end(b);
}

static bool stop_at_six(const tp_fit_at *at, void *user)
{
    (void)user;
    return at->step != 6;
}

/* Ended behind a pass's last step, before its validation: who goes on makes that up. */
Test(fit, resumed_before_a_validation, IN_FOLDER)
{
    bench b = begin();
    tp_fit_opts o = opts_of(b);
    tp_fit_result r;

    o.epochs = 1, o.checkpoint = in_folder("state"), o.on_step = stop_at_six;
    CHECK(tp_train_fit(b.m, o, &r) && r.why == TP_FIT_ASKED && r.at.step == 6 && isnan(r.at.score));
    end(b), b = begin();
    o = opts_of(b), o.epochs = 1, o.checkpoint = in_folder("state"), o.resume = in_folder("state");
    CHECK(tp_train_fit(b.m, o, &r) && r.why == TP_FIT_DONE && r.at.step == 6 && isfinite(r.at.score));
    end(b);
}

/* A run that ends within a pass is validated all the same. */
Test(fit, validates_at_the_end_of_steps, IN_FOLDER)
{
    bench b = begin();
    tp_fit_opts o = opts_of(b);
    tp_fit_result r;

    o.steps = 8; /* of 6 a pass */
    CHECK(tp_train_fit(b.m, o, &r) && r.why == TP_FIT_DONE && r.at.step == 8 && r.at.epoch == 1);
    {
        TP_SCOPE;
        double sum = 0;

        for (tp_batch batch; tp_data_next(b.test, &batch);)
            sum += tp_item(tp_cross_entropy(tp_nn_predict(b.m, batch.x), batch.y)) * (double)batch.size;
        CHECK(fabs(r.at.score - sum / N) < 1e-6);
    }
    end(b);
}

static tp_tensor *forward(tp_module *m, tp_batch b, void *user)
{
    *(int *)user += tp_nn_training(m) ? 1 : 100;
    return tp_nn_forward(m, b.x);
}

static tp_tensor *loss(tp_tensor *y, tp_batch b, void *user)
{
    (void)user;
    return tp_scale(tp_cross_entropy(y, b.y), 3);
}

Test(fit, validation_is_the_mean_over_samples, IN_FOLDER)
{
    bench b = begin();
    tp_fit_opts o = opts_of(b);
    tp_fit_result r, s;
    int calls = 0;
    TP_SCOPE;

    CASE("of the loss, in eval mode");
    o.epochs = 1;
    CHECK(tp_train_fit(b.m, o, &r));
    tp_batch all;
    tp_loader *whole = tp_data_loader(tp_data_retain(tp_data_of(b.test)), (tp_loader_opts){ .batch = N });
    CHECK(tp_data_next(whole, &all));
    double want = tp_item(tp_cross_entropy(tp_nn_predict(b.m, all.x), all.y)), share = 8 * 0x1p-23 * sqrt(N);
    CHECK_NEAR(r.at.score, want, share * want); /* the rule of golden.h: c epsilon sqrt(length) */
    CHECK(r.at.best == r.at.score && r.at.improved && tp_nn_training(b.m));
    CASE("functions of one's own");
    o.forward = forward, o.loss = loss, o.user = &calls, o.steps = 6, o.epochs = 0, o.validate_every = 6;
    CHECK(tp_optim_set_lr(b.opt, -1, 0));
    o.sched = NULL;
    CHECK(tp_train_fit(b.m, o, &s) && calls == 6 + 600 && tp_nn_training(b.m));
    CHECK(tp_data_next(whole, &all) || tp_data_next(whole, &all));
    want = 3 * tp_item(tp_cross_entropy(tp_nn_predict(b.m, all.x), all.y));
    CHECK_NEAR(s.at.score, want, share * want);
    tp_data_free(whole), end(b);
}

/* ---- ending and going on ---- */

static bool stop_at(const tp_fit_at *at, void *user)
{
    return at->step < *(int *)user;
}

static bool interrupt_at(const tp_fit_at *at, void *user)
{
    if (at->step == *(int *)user) raise(SIGINT);
    return true;
}

Test(fit, goes_on_bit_by_bit, IN_FOLDER)
{
    for (int stop = 1; stop <= 13; stop += 3)
        for (int restore = 0; restore < 2; restore++) {
            char state[512], log[512];
            bench b = begin();
            tp_fit_opts o = opts_of(b);
            tp_fit_result r, whole;

            snprintf(state, sizeof state, "%s", in_folder("state")), snprintf(log, sizeof log, "%s", in_folder("log"));
            CASE("stopped at step %d, restore %d", stop, restore);
            o.epochs = 3, o.restore_best = restore, o.log.dir = log;
            CHECK(tp_train_fit(b.m, o, &whole));
            save_weights(b, "whole"), end(b);
            CHECK(rename(in_folder("log/log.csv"), in_folder("whole.csv")) == 0);
            b = begin(), o.optim = b.opt, o.sched = b.sched, o.train = b.train, o.validation = b.test;
            o.checkpoint = state, o.checkpoint_every = 100, o.on_step = stop_at, o.user = &stop;
            CHECK(tp_train_fit(b.m, o, &r) && r.why == TP_FIT_ASKED && r.at.step == stop);
            end(b), b = begin(), o.optim = b.opt, o.sched = b.sched, o.train = b.train, o.validation = b.test;
            o.on_step = NULL, o.resume = state;
            CHECK(tp_train_fit(b.m, o, &r) && r.why == TP_FIT_DONE && r.at.step == 18);
            CHECK(r.at.best == whole.at.best && r.at.score == whole.at.score && r.at.loss == whole.at.loss);
            save_weights(b, "again");
            CHECK(same_files(in_folder("whole"), in_folder("again")));
            CHECK(same_files(in_folder("log/log.csv"), in_folder("whole.csv")));
            CASE("nothing is left");
            CHECK(tp_train_fit(b.m, o, &r) && r.why == TP_FIT_DONE && r.at.step == 18);
            end(b);
        }
}

Test(fit, ctrl_c, IN_FOLDER)
{
    bench b = begin();
    tp_fit_opts o = opts_of(b);
    tp_fit_result r;
    int at = 4;

    o.epochs = 2, o.on_step = interrupt_at, o.user = &at, o.checkpoint = in_folder("state");
    tp_train_catch_interrupt();
    CHECK(tp_train_fit(b.m, o, &r) && r.why == TP_FIT_INTERRUPTED && r.at.step == 4 && tp_file_exists(o.checkpoint));
    end(b);
}

typedef struct script {
    const double *score;
    int at, ends, epochs, validations;
} script;

static double scripted(tp_module *m, tp_loader *l, void *user)
{
    script *s = user;

    (void)m, (void)l;
    return s->score[s->at++];
}

static bool ended(const tp_fit_at *at, void *user)
{
    return ((script *)user)->ends++, at->m != NULL;
}

static bool passed(const tp_fit_at *at, void *user)
{
    return ((script *)user)->epochs++, at->epoch > 0;
}

static bool validated(const tp_fit_at *at, void *user)
{
    script *s = user;

    if (++s->validations == 2 && at->improved) tp_nn_save(at->m, in_folder("second")) ? 0 : tp_fail(TP_ERR_USER, "saving");
    return true;
}

Test(fit, early_stopping, IN_FOLDER)
{
    static const double score[2][6] = { { 1, 0.5, 0.45, NAN, 0.6, 0.1 }, { 0, 0.5, 0.55, NAN, 0.4, 9 } };

    for (int higher = 0; higher < 2; higher++) {
        bench b = begin();
        tp_fit_opts o = opts_of(b);
        script s = { .score = score[higher] };
        char best[512];
        tp_fit_result r;

        CASE("higher is better: %d; three validations without a gain of 0.1", higher);
        snprintf(best, sizeof best, "%s", in_folder("best"));
        o.epochs = 6, o.patience = 3, o.min_delta = 0.1, o.score = scripted, o.higher_is_better = higher, o.user = &s;
        o.on_validation = validated, o.on_epoch = passed, o.on_end = ended, o.best = best, o.restore_best = true;
        CHECK(tp_train_fit(b.m, o, &r) && r.why == TP_FIT_PATIENCE && r.at.epoch == 5 && r.at.best == 0.5);
        CHECK(s.validations == 5 && s.ends == 1 && s.epochs == 5);
        save_weights(b, "restored");
        CHECK(same_files(best, in_folder("second")) && same_files(best, in_folder("restored")));
        end(b);
    }
}

/* ---- what goes wrong ---- */

static tp_tensor *log_of_negative(tp_tensor *y, tp_batch b, void *user)
{
    tp_tensor *l = tp_cross_entropy(y, b.y);

    return ++*(int *)user < 5 ? l : *(int *)user % 2 ? tp_add(l, tp_log(tp_scale(l, -1))) : tp_add(l, tp_log(tp_scale(l, -2)));
}

static tp_tensor *infinite(tp_tensor *y, tp_batch b, void *user)
{
    (void)user;
    return tp_shift(tp_cross_entropy(y, b.y), INFINITY);
}

static tp_tensor *squares_of_nan(tp_tensor *y, tp_batch b, void *user)
{
    (void)b, (void)user;
    return tp_mse(y, tp_full(tp_shape_of(y), NAN, TP_F32, tp_device_of(y)));
}

static tp_tensor *nothing(tp_tensor *y, tp_batch b, void *user)
{
    (void)y, (void)b, (void)user;
    return NULL;
}

static bool refuses(const tp_fit_at *at, void *user)
{
    (void)user;
    return at->step < 2 || tp_fail(TP_ERR_USER, "mine");
}

Test(fit, a_loss_that_is_no_number, IN_FOLDER)
{
    bench b = begin();
    tp_fit_opts o = opts_of(b);
    tp_fit_result r;
    int calls = 0;

    CASE("the op is named, no step is made, the last checkpoint stays");
    o.steps = 20, o.loss = log_of_negative, o.user = &calls, o.validation = NULL;
    o.checkpoint = in_folder("state"), o.checkpoint_every = 2;
    CHECK_REFUSED(tp_train_fit(b.m, o, &r), TP_ERR_NONFINITE, "tp_train_fit: the loss of step 5 is ");
    CHECK(r.why == TP_FIT_FAILED && r.at.step == 4);
    float failed[24], resumed[24];
    CHECK(tp_read(tp_nn_tensor(b.m, "0.weight"), failed, sizeof failed));
    end(b);
    b = begin(), o.optim = b.opt, o.sched = b.sched, o.train = b.train, o.resume = o.checkpoint, o.steps = 4;
    CHECK(tp_train_fit(b.m, o, &r) && r.at.step == 4);
    CHECK(tp_read(tp_nn_tensor(b.m, "0.weight"), resumed, sizeof resumed) && !memcmp(failed, resumed, sizeof failed));
    CASE("the op");
    o.resume = o.checkpoint = NULL, o.steps = 1, calls = 10;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_NONFINITE, "log: output 0, f32 (), holds NaN");
    CASE("infinite");
    o.loss = infinite;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_NONFINITE, "tp_train_fit: the loss of step 1 is inf: no op gave NaN");
    CASE("a target that is NaN: the op and the step are named");
    o.loss = squares_of_nan;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_NONFINITE,
                  "tp_train_fit: the loss of step 1 is nan: sub: output 0, f32 (4, 2), holds NaN");
    CASE("no loss");
    o.loss = nothing;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_USER, "tp_train_fit: no loss, and no error that says why");
    CASE("a callback's error");
    o.loss = NULL, o.on_step = refuses, o.steps = 9;
    CHECK_REFUSED(tp_train_fit(b.m, o, &r), TP_ERR_USER, "mine");
    CHECK(r.at.step == 2 && r.why == TP_FIT_FAILED);
    end(b);
}

static void count_gradients(tp_tensor *gradient, void *user)
{
    (void)gradient, ++*(int *)user;
}

/* The backward doesn't wait for the loss's number: a device has work while the host reads it. */
Test(fit, the_loss_is_read_behind_its_backward)
{
    bench b = begin();
    tp_fit_opts o = opts_of(b);
    int backwards = 0, calls = 4; /* the next loss is NaN, by an op of the forward: the search doesn't come to a backward */

    CHECK(tp_add_leaf_hook(tp_nn_tensor(b.m, "0.weight"), count_gradients, &backwards));
    o.steps = 1, o.loss = log_of_negative, o.user = &calls, o.validation = NULL;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_NONFINITE, "the loss of step 1 is nan: log");
    CHECK(backwards == 1);
    end(b);
}

Test(fit, refusals, IN_FOLDER)
{
    bench b = begin();
    tp_fit_opts good = opts_of(b), o;
    TP_SCOPE;

    good.epochs = 1;
    CASE("options");
    CHECK_REFUSED(tp_train_fit(NULL, good, NULL), TP_ERR_ARG, "tp_train_fit: a module, an optimizer and a loader");
    o = good, o.optim = NULL;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_ARG, "an optimizer");
    o = good, o.epochs = 0;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_ARG, "epochs or steps, above 0, are wanted");
    o = good, o.accumulate = -1;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_ARG, "can't be below 0");
    o = good, o.clip_norm = NAN;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_ARG, "clip_norm and min_delta");
    o = good, o.validation = NULL, o.patience = 1;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_ARG, "need a loader to validate with");
    o = good, o.higher_is_better = true;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_ARG, "of the loss less is better");
    CASE("optimizers");
    tp_module *other = tp_nn_init(tp_nn_linear(3, 2), tp_device_open("cpu"));
    tp_optim *foreign = tp_optim_sgd(tp_nn_params(other, "*"), tp_sgd(1)),
             *lbfgs = tp_optim_lbfgs(tp_nn_params(b.m, "*"), tp_lbfgs(1));
    o = good, o.optim = foreign, o.sched = NULL;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_ARG,
                  "the optimizer has none of the module's parameters");
    o.optim = lbfgs;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_ARG,
                  "tp_train_fit: L-BFGS steps with a closure");
    tp_optim_free(foreign), tp_optim_free(lbfgs), tp_nn_free(other);
    CASE("files");
    o = good, o.checkpoint = in_folder("no/state");
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_IO, "no/state");
    o = good, o.resume = in_folder("absent");
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_IO, "absent");
    CASE("loaders");
    tp_loader *endless = tp_data_loader(tp_data_retain(tp_data_of(b.train)), (tp_loader_opts){ .batch = 5, .endless = true });
    o = good, o.train = endless;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_ARG, "an endless loader has no epochs: steps are wanted");
    o = good, o.validation = endless;
    CHECK_REFUSED(tp_train_fit(b.m, o, NULL), TP_ERR_ARG, "an endless loader can't validate: no pass ends");
    o = good, o.train = endless, o.epochs = 0, o.steps = 11, o.accumulate = 2;
    tp_fit_result r;
    CHECK(tp_train_fit(b.m, o, &r) && r.at.step == 11 && r.at.epoch == 0);
    tp_data_free(endless);
    tp_loader *empty = tp_data_loader(tp_data_range(tp_data_retain(tp_data_of(b.train)), 0, 2), (tp_loader_opts){ .batch = 5, .drop_last = true });
    o = good, o.train = empty, o.epochs = 0, o.steps = 3;
    CHECK_REFUSED(
        tp_train_fit(b.m, o, NULL), TP_ERR_ARG,
        "tp_data_next: a second pass without a batch: 2 samples, batch 5, drop_last");
    tp_data_free(empty);
    end(b);
}

Test(fit, out_of_memory, IN_FOLDER)
{
    bool done = false;

    for (int n = 0; !done && n < 20000; n += 1 + n / 50) {
        long before = (tp_thread_end(), tp__live());
        bench b = begin();
        tp_fit_opts o = opts_of(b);

        CASE("allocation %d", n);
        o.steps = 2, o.validate_every = 1, o.restore_best = true, o.checkpoint = in_folder("state"), o.log.dir = in_folder("log");
        tp__fail_after = n;
        done = tp_train_fit(b.m, o, NULL);
        tp__fail_after = -1;
        CHECK(done || tp_error_code() == TP_ERR_MEMORY);
        tp_clear_error(), end(b), tp_thread_end();
        cr_assert(tp__live() == before, "%s: %ld blocks leak", check_name, tp__live() - before);
    }
    CHECK(done);
}
