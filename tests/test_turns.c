/*
 * test_turns.c - tp_train_turns against a loop by hand, bit by bit; resuming, stopping, and what goes wrong.
 */
#include "tests/files.h"

#include <signal.h>

#define IN_FOLDER .init = make_test_folder, .fini = remove_test_folder, .timeout = 120

enum { N = 22, BATCH = 3 }; /* 7 whole batches a pass: 2 steps of 3, or 3 of 2 */

/* Two networks of one module, with a norm and dropout; what d learns depends on what g gives. */
typedef struct bench {
    tp_module *both;
    tp_optim *d, *g;
    tp_ema *average;
    tp_loader *train;
} bench;

static bench begin(void)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_module *d[] = { tp_nn_linear(3, 8), tp_nn_relu(), tp_nn_dropout(0.25), tp_nn_linear(8, 1) };
    tp_module *g[] = { tp_nn_linear(2, 6), tp_nn_batch_norm(6), tp_nn_relu(), tp_nn_linear(6, 3) };
    bench b = { .both = tp_nn_container("both") };
    float x[N * 3];

    for (int i = 0; i < N * 3; i++)
        x[i] = (float)sin(i * 3.7);
    tp_seed(11);
    tp_nn_add(b.both, "d", tp_nn_sequential(d, TP_LEN(d))), tp_nn_add(b.both, "g", tp_nn_sequential(g, TP_LEN(g)));
    tp_nn_init(b.both, cpu);
    b.d = tp_optim_adam(tp_nn_params(b.both, "d.*"), tp_adam(0.01));
    b.g = tp_optim_sgd(tp_nn_params(b.both, "g.*"), tp_sgd(0.1));
    b.average = tp_ema_new(tp_nn_get(b.both, "g"), 0.5);
    b.train = tp_data_loader(tp_data_tensors(TP_LIST(tp_from(x, TP_SHAPE(N, 3), TP_F32, cpu))),
                             (tp_loader_opts){ .batch = BATCH, .shuffle = true, .drop_last = true, .seed = 3 });
    return b;
}

static void end(bench b)
{
    tp_ema_free(b.average), tp_optim_free(b.d), tp_optim_free(b.g), tp_nn_free(b.both), tp_data_free(b.train);
}

static tp_tensor *made(tp_module *both, int64_t n)
{
    return tp_nn_call(both, "g", tp_randn(TP_SHAPE(n, 2), tp_device_open("cpu")));
}

static tp_tensor *loss_of_d(tp_module *both, tp_batch b, void *user)
{
    tp_tensor *fake = tp_detach(made(both, b.size));

    (void)user;
    return tp_add(tp_mean(tp_square(tp_nn_call(both, "d", fake)), TP_ALL),
                  tp_mean(tp_square(tp_shift(tp_nn_call(both, "d", b.x), -1)), TP_ALL));
}

static tp_tensor *loss_of_g(tp_module *both, tp_batch b, void *user)
{
    (void)user;
    return tp_mean(tp_square(tp_shift(tp_nn_call(both, "d", made(both, b.size)), -1)), TP_ALL);
}

/* d twice, g once; each step, an epoch 3 steps. */
static tp_turns_opts opts_of(bench b, tp_turn turn[2])
{
    turn[0] = (tp_turn){ "d", b.d, loss_of_d, 2 }, turn[1] = (tp_turn){ "g", b.g, loss_of_g, 0 };
    return (tp_turns_opts){ .turn = turn, .n = 2, .train = b.train, .average = b.average };
}

static void save_weights(bench b, const char *name)
{
    char average[64];
    tp_module *copy = tp_nn_clone(tp_nn_get(b.both, "g"));

    snprintf(average, sizeof average, "%s.average", name);
    CHECK(tp_nn_save(b.both, in_folder(name)) && tp_ema_copy_to(b.average, copy) && tp_nn_save(copy, in_folder(average)));
    tp_nn_free(copy);
}

static bool same_weights(const char *a, const char *b)
{
    char x[512], y[64];
    bool same;

    snprintf(x, sizeof x, "%s", in_folder(a)), same = same_files(x, in_folder(b));
    snprintf(y, sizeof y, "%s.average", a), snprintf(x, sizeof x, "%s", in_folder(y));
    snprintf(y, sizeof y, "%s.average", b);
    return same && same_files(x, in_folder(y));
}

/* ---- the loop itself ---- */

static double update_by_hand(tp_optim *o, tp_tensor *(*loss)(tp_module *, tp_batch, void *), bench b, tp_batch batch, tp_dtype amp)
{
    TP_SCOPE;
    TP_AUTOCAST(amp);
    tp_tensor *l;

    CHECK(tp_optim_zero_grad(o));
    l = loss(b.both, batch, NULL);
    CHECK(tp_backward(l) && tp_optim_step(o));
    return tp_item(l);
}

static double by_hand(bench b, int steps, tp_dtype amp)
{
    double last = NAN;

    for (int s = 0; s < steps; s++) {
        tp_batch batch;

        for (int i = 0; i < 2; i++) {
            CHECK(tp_data_next(b.train, &batch) || tp_data_next(b.train, &batch));
            update_by_hand(b.d, loss_of_d, b, batch, amp);
        }
        last = update_by_hand(b.g, loss_of_g, b, batch, amp);
        CHECK(tp_ema_update(b.average));
    }
    return last;
}

Test(turns, does_what_a_loop_does, IN_FOLDER)
{
    static const struct { int epochs, steps, made; tp_dtype amp; } how[] = {
        { 3, 0, 9, TP_F32 }, { 0, 8, 8, TP_F32 }, { 2, 5, 5, TP_BF16 }, { 1, 100, 3, TP_F32 } };

    for (int i = 0; i < TP_LEN(how); i++) {
        tp_fit_result r;
        tp_turn turn[2];
        bench b = begin();
        tp_turns_opts o = opts_of(b, turn);
        double last;

        CASE("variant %d", i);
        o.epochs = how[i].epochs, o.steps = how[i].steps, o.amp = how[i].amp;
        CHECK(tp_train_turns(b.both, o, &r) && r.why == TP_FIT_DONE && r.at.m == b.both);
        CHECK(r.at.step == how[i].made && r.at.epoch == how[i].made / 3 && isnan(r.at.score) && isnan(r.at.best));
        save_weights(b, "turns"), end(b);
        b = begin(), last = by_hand(b, how[i].made, how[i].amp);
        save_weights(b, "hand"), end(b);
        CHECK(same_weights("turns", "hand") && r.at.loss == last);
    }
}

/* ---- ends, and going on ---- */

typedef struct calls {
    int epochs, ends, stop_at;
} calls;

static bool on_epoch(const tp_fit_at *at, void *user)
{
    calls *c = user;

    c->epochs++;
    CHECK(at->epoch == c->epochs && at->step == 3 * c->epochs && isfinite(at->loss));
    return at->step != c->stop_at;
}

static bool on_end(const tp_fit_at *at, void *user)
{
    (void)at;
    ((calls *)user)->ends++;
    return true;
}

Test(turns, resumes_to_the_same_bits, IN_FOLDER)
{
    calls c = { 0 };
    tp_turn turn[2];
    tp_fit_result r;
    bench b = begin();
    tp_turns_opts o = opts_of(b, turn);
    char state[512], *csv, *whole;

    o.epochs = 4, o.on_epoch = on_epoch, o.on_end = on_end, o.user = &c, o.log.dir = in_folder("whole");
    CHECK(tp_train_turns(b.both, o, &r) && c.epochs == 4 && c.ends == 1);
    save_weights(b, "whole_run"), end(b);

    snprintf(state, sizeof state, "%s", in_folder("state"));
    b = begin(), o = opts_of(b, turn), c = (calls){ .stop_at = 6 };
    o.epochs = 4, o.on_epoch = on_epoch, o.on_end = on_end, o.user = &c, o.checkpoint = state, o.log.dir = in_folder("cut");
    CHECK(tp_train_turns(b.both, o, &r) && r.why == TP_FIT_ASKED && r.at.step == 6 && c.ends == 1);
    end(b);
    b = begin(), o = opts_of(b, turn), tp_seed(99);
    o.epochs = 4, o.checkpoint = o.resume = state, o.log.dir = in_folder("cut");
    CHECK(tp_train_turns(b.both, o, &r) && r.why == TP_FIT_DONE && r.at.step == 12 && r.at.epoch == 4);
    save_weights(b, "cut_run");
    CHECK(same_weights("whole_run", "cut_run"));
    csv = read_whole(in_folder("cut/log.csv"), NULL), whole = read_whole(in_folder("whole/log.csv"), NULL);
    CHECK(csv && whole && !strcmp(csv, whole) && !strncmp(csv, "step,d,g\n", 9));
    free(csv), free(whole);

    CASE("at its end already");
    o.log.dir = NULL;
    CHECK(tp_train_turns(b.both, o, &r) && r.why == TP_FIT_DONE && r.at.step == 12);
    end(b);

    CASE("another model's");
    b = begin(), o = opts_of(b, turn), turn[0].name = "critic";
    o.epochs = 4, o.resume = state;
    CHECK_REFUSED(tp_train_turns(b.both, o, &r), TP_ERR_FORMAT, "critic");
    CHECK(r.why == TP_FIT_FAILED && r.at.step == 0);
    end(b);
}

static bool interrupt_once(const tp_fit_at *at, void *user)
{
    (void)at, (void)user;
    return !raise(SIGINT);
}

Test(turns, stops_at_ctrl_c, IN_FOLDER)
{
    tp_turn turn[2];
    tp_fit_result r;
    bench b = begin();
    tp_turns_opts o = opts_of(b, turn);

    tp_train_catch_interrupt();
    o.epochs = 4, o.on_epoch = interrupt_once, o.checkpoint = in_folder("state");
    CHECK(tp_train_turns(b.both, o, &r) && r.why == TP_FIT_INTERRUPTED && r.at.step == 3 && tp_file_exists(o.checkpoint));
    end(b);
}

/* ---- what goes wrong ---- */

/* NaN from the third call on */
static tp_tensor *breaks(tp_module *both, tp_batch b, void *user)
{
    double by = ++*(int *)user > 2 ? -1.0 : 1.0;

    return tp_mean(tp_log(tp_scale(tp_square(tp_nn_call(both, "d", made(both, b.size))), by)), TP_ALL);
}

static tp_tensor *silent(tp_module *both, tp_batch b, void *user)
{
    (void)both, (void)b, (void)user;
    return NULL;
}

Test(turns, a_loss_that_is_no_number, IN_FOLDER)
{
    int n = 0;
    tp_turn turn[2];
    tp_fit_result r;
    bench b = begin();
    tp_turns_opts o = opts_of(b, turn);

    o.steps = 9, o.user = &n, turn[1].loss = breaks;
    CHECK_REFUSED(tp_train_turns(b.both, o, &r), TP_ERR_NONFINITE, "the loss of the g in step 3 is nan: log");
    CHECK(r.why == TP_FIT_FAILED && r.at.step == 2);
    turn[1].loss = silent;
    CHECK_REFUSED(tp_train_turns(b.both, o, NULL), TP_ERR_USER, "no loss of the g, and no error");
    end(b);
}

#define REFUSED(change, text)                                                                                          \
    do {                                                                                                               \
        tp_turns_opts o = opts_of(b, turn);                                                                            \
        CASE("%s", #change);                                                                                           \
        o.steps = 1, change;                                                                                           \
        CHECK_REFUSED(tp_train_turns(b.both, o, NULL), TP_ERR_ARG, text);                                              \
    } while (0)

Test(turns, options_that_cannot_be)
{
    bench b = begin();
    tp_turn turn[2];
    tp_optim *lbfgs = tp_optim_lbfgs(tp_nn_params(b.both, "g.*"), tp_lbfgs(1));
    tp_turns_opts all;
    tp_module *other = tp_nn_init(tp_nn_linear(1, 1), tp_device_open("cpu"));
    tp_optim *foreign = tp_optim_sgd(tp_nn_params(other, "*"), tp_sgd(1));

    REFUSED(o.steps = 0, "epochs or steps, above 0");
    REFUSED(o.epochs = -1, "epochs or steps, above 0");
    REFUSED(o.n = 0, "1 to 8 turns");
    REFUSED(o.n = 9, "1 to 8 turns");
    REFUSED(o.turn = NULL, "a module, turns and a loader");
    REFUSED(o.train = NULL, "a module, turns and a loader");
    REFUSED(turn[0].batches = 0, "nor be 0 in the first turn");
    REFUSED(turn[1].batches = -1, "batches can't be below 0");
    REFUSED(turn[1].name = NULL, "a name, an optimizer and a loss");
    REFUSED(turn[1].optim = NULL, "a name, an optimizer and a loss");
    REFUSED(turn[0].loss = NULL, "a name, an optimizer and a loss");
    REFUSED(turn[1].optim = lbfgs, "L-BFGS");
    REFUSED(turn[1].optim = foreign, "an optimizer has none of the module's parameters");
    REFUSED(turn[1].optim = turn[0].optim, "two turns have one name, or one optimizer");
    REFUSED(turn[1].name = turn[0].name, "two turns have one name, or one optimizer");
    all = opts_of(b, turn), all.steps = 1;
    CHECK_REFUSED(tp_train_turns(NULL, all, NULL), TP_ERR_ARG, "a module, turns and a loader");
    tp_optim_free(lbfgs), tp_optim_free(foreign), tp_nn_free(other), end(b);
}
