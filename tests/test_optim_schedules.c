/*
 * test_optim_schedules.c - every schedule against PyTorch's rates, sought, resumed and refused.
 *
 * tests/golden/family_optim.py tells the names in the file.  Rates are closed forms here and often
 * products of steps there: a rounding a step is allowed.
 */
#include "tests/files.h"

#ifndef TP_GOLDEN
#define TP_GOLDEN "tests/golden"
#endif

enum { STEPS = 25, OBSERVED = 30 };

static tp_module *pair(tp_device *dev)
{
    tp_module *m = tp_nn_container("pair");

    tp_nn_param(m, "p0", TP_SHAPE(1), (tp_init){ 0 }), tp_nn_param(m, "p1", TP_SHAPE(1), (tp_init){ 0 });
    return tp_nn_init(m, dev);
}

/* Groups of 0.8 and 0.2, with a momentum. */
static tp_optim *grouped(tp_module *m)
{
    tp_sgd_opts o = tp_sgd(.8);
    tp_optim *opt;

    o.momentum = .9;
    opt = tp_optim_sgd(tp_nn_params(m, "p0"), o), o.lr = .2;
    CHECK(tp_optim_add_sgd_group(opt, tp_nn_params(m, "p1"), o));
    return opt;
}

/* ---- the schedules of the file ---- */

static tp_sched *step(tp_optim *o) { return tp_sched_step(o, 3, .5); }
static tp_sched *multi_step(tp_optim *o) { return tp_sched_multi_step(o, (int64_t[]){ 2, 7, 8 }, 3, .3); }
static tp_sched *constant(tp_optim *o) { return tp_sched_constant(o, .25, 4); }
static tp_sched *linear(tp_optim *o) { return tp_sched_linear(o, 1 / 3., 1, 5); }
static tp_sched *linear_down(tp_optim *o) { return tp_sched_linear(o, .9, .1, 7); }
static tp_sched *exponential(tp_optim *o) { return tp_sched_exponential(o, .9); }
static double less(int64_t step, void *unused) { return (void)unused, 1 - .5 / ((double)step + 1); }
static tp_sched *multiplicative(tp_optim *o) { return tp_sched_multiplicative(o, less, NULL); }
static tp_sched *swa(tp_optim *o) { return tp_sched_swa(o, .05, 7, false); }
static tp_sched *swa_linear(tp_optim *o) { return tp_sched_swa(o, .05, 4, true); }
static tp_sched *polynomial(tp_optim *o) { return tp_sched_polynomial(o, 9, 2); }
static tp_sched *cosine_annealing(tp_optim *o) { return tp_sched_cosine_annealing(o, 8, .01); }
static tp_sched *cosine_restarts(tp_optim *o) { return tp_sched_cosine_restarts(o, 3, 2, .01); }
static tp_sched *cosine_restarts_even(tp_optim *o) { return tp_sched_cosine_restarts(o, 5, 1, 0); }
static tp_sched *one_cycle(tp_optim *o) { return tp_sched_one_cycle(o, tp_one_cycle(1, 25)); }

static tp_sched *one_cycle_linear(tp_optim *o)
{
    tp_one_cycle_opts k = tp_one_cycle(.5, 25);

    k.pct_start = .25, k.linear = k.three_phase = true, k.base_momentum = .5, k.max_momentum = .75;
    k.div_factor = 10, k.final_div_factor = 100;
    return tp_sched_one_cycle(o, k);
}

static tp_sched *cycle(tp_optim *o, int64_t up, int64_t down, tp_cyclic_mode mode, double gamma, bool momentum)
{
    tp_cyclic_opts k = tp_cyclic(.1, .5);

    k.step_size_up = up, k.step_size_down = down, k.mode = mode, k.gamma = gamma, k.cycle_momentum = momentum;
    return tp_sched_cyclic(o, k);
}

static tp_sched *cyclic(tp_optim *o) { return cycle(o, 4, 0, TP_CYCLIC_TRIANGULAR, 1, true); }
static tp_sched *cyclic_uneven(tp_optim *o) { return cycle(o, 3, 5, TP_CYCLIC_TRIANGULAR2, 1, false); }
static tp_sched *cyclic_exp(tp_optim *o) { return cycle(o, 3, 5, TP_CYCLIC_EXP_RANGE, .9, true); }

static tp_sched *sequence(tp_optim *o)
{
    tp_sched *parts[] = { tp_sched_linear(o, .1, 1, 5), tp_sched_cosine_annealing(o, 10, .01), tp_sched_exponential(o, .8) };

    return tp_sched_sequence(parts, (int64_t[]){ 5, 15 }, 3);
}

#define S(name) { #name, name }
static const struct {
    const char *name;
    tp_sched *(*make)(tp_optim *o);
} schedules[] = { S(step), S(multi_step), S(constant), S(linear), S(linear_down), S(exponential), S(polynomial),
                  S(multiplicative), S(swa), S(swa_linear),
                  S(cosine_annealing), S(cosine_restarts), S(cosine_restarts_even), S(one_cycle), S(one_cycle_linear),
                  S(cyclic), S(cyclic_uneven), S(cyclic_exp), S(sequence) };

static tp_tensor *get(const tp_file *f, const char *name, const char *what)
{
    char full[64];
    int i;

    snprintf(full, sizeof full, "%s.%s", name, what);
    i = tp_file_find(f, full);
    return i < 0 ? NULL : tp_file_read(f, i, tp_device_open("cpu"));
}

/* The momentum shows in a step: m = momentum m + g with g 0 and m 1. */
static bool set_one(void *user, const char *name, tp_tensor **t)
{
    TP_NO_GRAD;
    (void)user;
    return !strstr(name, ".m") || tp_fill_(*t, 1);
}

static bool read_m(void *user, const char *name, tp_tensor **t)
{
    if (!strcmp(name, "0.p0.m")) *(double *)user = tp_item(*t);
    return true;
}

static double momentum_of(tp_module *m, tp_optim *o)
{
    double momentum = NAN;
    TP_SCOPE;
    tp_tensor *p = tp_nn_tensor(m, "p0");

    for (int i = 0; i < 2; i++) { /* the very first step takes the gradient alone */
        CHECK(tp_optim_each(o, set_one, NULL) > 0);
        CHECK(tp_zero_grad(p) && tp_backward(tp_sum(tp_scale(p, 0), TP_ALL)) && tp_optim_step(o));
    }
    CHECK(tp_optim_each(o, read_m, &momentum) > 0);
    return momentum;
}

static void compare(const tp_file *f, int k, tp_device *dev)
{
    TP_SCOPE;
    tp_module *m = pair(dev);
    tp_optim *o = grouped(m);
    tp_tensor *lr = get(f, schedules[k].name, "lr"), *momentum = get(f, schedules[k].name, "momentum");
    tp_sched *s = schedules[k].make(o);

    for (int i = 0; i < STEPS; i++) {
        CASE("%s on %s, step %d", schedules[k].name, tp_device_name(dev), i);
        CHECK(tp_sched_at(s) == i);
        for (int g = 0; g < 2; g++)
            CHECK_NEAR(tp_optim_lr(o, g), check_at(lr, 2 * i + g), (i + 8) * 0x1p-52);
        if (momentum) CHECK_NEAR(momentum_of(m, o), check_at(momentum, i), 0x1p-22); /* m is f32 */
        if (i + 1 < STEPS) CHECK(tp_sched_advance(s));
    }
    for (int i = STEPS - 1; i >= 0; i -= 7) {
        CASE("%s on %s, sought %d", schedules[k].name, tp_device_name(dev), i);
        CHECK(tp_sched_seek(s, i) && tp_sched_at(s) == i);
        CHECK_NEAR(tp_optim_lr(o, 1), check_at(lr, 2 * i + 1), (i + 8) * 0x1p-52);
    }
    CHECK_REFUSED(tp_sched_observe(s, 1), TP_ERR_ARG, "follows steps, not values");
    tp_sched_free(s), tp_optim_free(o), tp_nn_free(m);
}

ON_EACH_DEVICE(optim_schedules, rates)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/schedules.safetensors");

    cr_assert(f, "%s", tp_error());
    for (int k = 0; k < TP_LEN(schedules); k++)
        compare(f, k, dev);
    tp_file_close(f);
}

/* ---- plateaus ---- */

static tp_plateau_opts plateau(int i)
{
    tp_plateau_opts k = tp_plateau();

    if (i == 0) k.factor = .5, k.patience = 2;
    if (i == 1) k.max = k.absolute = true, k.patience = 1, k.threshold = .5, k.cooldown = 2, k.min_lr = .01;
    if (i == 2) k.factor = .2, k.patience = 0, k.threshold = .1, k.min_lr = .05, k.eps = .01;
    return k;
}

ON_EACH_DEVICE(optim_schedules, plateaus_and_their_state)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/schedules.safetensors");

    make_test_folder();
    for (int k = 0; k < 3; k++) {
        TP_SCOPE;
        char name[16];
        tp_module *m[2] = { pair(dev), pair(dev) };
        tp_optim *o[2] = { grouped(m[0]), grouped(m[1]) };
        tp_sched *s[2] = { tp_sched_plateau(o[0], plateau(k)), tp_sched_plateau(o[1], plateau(k)) };
        tp_state *state[2] = { tp_state_new(), tp_state_new() };

        snprintf(name, sizeof name, "plateau.%d", k);
        tp_tensor *values = get(f, name, "values"), *lr = get(f, name, "lr");
        for (int i = 0; i < 2; i++)
            CHECK(tp_state_optim(state[i], "opt", o[i]) && tp_state_sched(state[i], "sched", s[i]));
        for (int i = 0; i < OBSERVED; i++) { /* from the middle on by the one that resumes */
            int who = i >= OBSERVED / 2;

            CASE("%s on %s, value %d", name, tp_device_name(dev), i);
            if (i == OBSERVED / 2) CHECK(tp_state_save(state[0], in_folder("state")) && tp_state_load(state[1], in_folder("state")));
            CHECK(tp_sched_observe(s[who], check_at(values, i)) && tp_sched_at(s[who]) == i + 1);
            for (int g = 0; g < 2; g++)
                CHECK_NEAR(tp_optim_lr(o[who], g), check_at(lr, 2 * i + g), OBSERVED * 0x1p-53);
        }
        CHECK(tp_optim_lr(o[1], 0) < .8);
        CHECK_REFUSED(tp_sched_advance(s[0]), TP_ERR_ARG, "a plateau follows values, not steps");
        CHECK_REFUSED(tp_sched_seek(s[0], 1), TP_ERR_ARG, "a plateau follows values, not steps");
        for (int i = 0; i < 2; i++)
            tp_state_free(state[i]), tp_sched_free(s[i]), tp_optim_free(o[i]), tp_nn_free(m[i]);
    }
    remove_test_folder(), tp_file_close(f);
}

/* NaN is never better, and a rate that can't be set leaves the counts. */
ON_EACH_DEVICE(optim_schedules, plateau_extremes)
{
    tp_module *m = pair(dev);
    tp_optim *o = grouped(m);
    tp_plateau_opts k = tp_plateau();
    tp_sched *s;

    k.patience = 1;
    s = tp_sched_plateau(o, k);
    CHECK(tp_sched_observe(s, NAN) && tp_optim_lr(o, 0) == .8);
    CHECK(tp_sched_observe(s, NAN) && tp_optim_lr(o, 0) == .8 * .1 && tp_optim_lr(o, 1) == .2 * .1);
    CHECK_REFUSED(tp_sched_observe(NULL, 1), TP_ERR_ARG, "missing schedule");
    tp_sched_free(s), tp_optim_free(o), tp_nn_free(m);
}

/* ---- refusals ---- */

static double one(int64_t at, void *user)
{
    (void)at, (void)user;
    return 1;
}

#define NO(call, text) CHECK_REFUSED(call, TP_ERR_ARG, text)

ON_EACH_DEVICE(optim_schedules, refusals)
{
    tp_module *m = pair(dev), *other = pair(dev);
    tp_optim *o = grouped(m), *o2 = grouped(other), *still = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
    tp_one_cycle_opts k = tp_one_cycle(1, 10);
    tp_cyclic_opts c = tp_cyclic(.1, 1);
    tp_plateau_opts p = tp_plateau();
    tp_sched *s, *twice[2];

    NO(tp_sched_multi_step(o, (int64_t[]){ 4, 4 }, 2, .5), "milestone 4 after 4: positive steps that rise");
    NO(tp_sched_multi_step(o, (int64_t[]){ 0 }, 1, .5), "milestone 0 after 0");
    NO(tp_sched_multi_step(o, NULL, 2, .5), "missing milestones");
    NO(tp_sched_multi_step(o, NULL, -1, .5), "-1 milestones");
    NO(tp_sched_constant(o, .5, 0), "total_iters 0: a positive number is wanted");
    NO(tp_sched_constant(o, 2, 5), "factor 2: at most 1");
    NO(tp_sched_linear(o, 0, 1, 5), "factors 0 to 1");
    NO(tp_sched_linear(o, .5, 1, -5), "total_iters -5");
    NO(tp_sched_exponential(o, NAN), "gamma nan");
    NO(tp_sched_polynomial(o, 0, 1), "total_iters 0");
    NO(tp_sched_multiplicative(o, NULL, NULL), "missing optimizer or function");
    NO(tp_sched_swa(o, -1, 7, false), "swa_lr -1");
    NO(tp_sched_swa(o, .1, -7, false), "anneal_steps -7");
    NO(tp_sched_cosine_annealing(o, 0, 0), "T_max 0");
    NO(tp_sched_cosine_annealing(o, 5, -1), "eta_min -1");
    NO(tp_sched_cosine_restarts(o, 0, 1, 0), "T_0 0");
    NO(tp_sched_cosine_restarts(o, 5, 0, 0), "T_mult 0");
    NO(tp_sched_one_cycle(o, (tp_one_cycle_opts){ 0 }), "start from tp_one_cycle(max_lr, total_steps)");
    NO(tp_sched_one_cycle(o, tp_one_cycle(1, 0)), "total_steps 0");
    NO(tp_sched_one_cycle(still, k), "sgd has no momentum to cycle: set cycle_momentum to false");
    k.pct_start = 2;
    NO(tp_sched_one_cycle(o, k), "pct_start 2: 0 to 1 is wanted");
    k.pct_start = .3;
    k.max_momentum = 1;
    NO(tp_sched_one_cycle(o, k), "momentum 0.85 to 1");
    k.max_momentum = .9;
    s = tp_sched_one_cycle(o, k);
    CHECK(tp_sched_seek(s, 9) && tp_sched_seek(s, 10));
    NO(tp_sched_advance(s), "step 11 of a schedule of 10");
    CHECK(tp_sched_at(s) == 10);
    tp_sched_free(s);
    NO(tp_sched_cyclic(o, (tp_cyclic_opts){ 0 }), "start from tp_cyclic(base_lr, max_lr)");
    c.step_size_up = 0;
    NO(tp_sched_cyclic(o, c), "step_size_up 0");
    c.step_size_up = 5;
    c.step_size_down = -1;
    NO(tp_sched_cyclic(o, c), "step_size_down -1");
    c.step_size_down = 0;
    c.mode = (tp_cyclic_mode)9;
    NO(tp_sched_cyclic(o, c), "mode 9 is no tp_cyclic_mode");
    NO(tp_sched_plateau(o, (tp_plateau_opts){ 0 }), "start from tp_plateau()");
    p.factor = 1;
    NO(tp_sched_plateau(o, p), "factor 1: 0 or more and less than 1");
    p.factor = .1;
    p.patience = -1;
    NO(tp_sched_plateau(o, p), "patience -1");
    p.patience = 1;
    NO(tp_sched_plateau(NULL, p), "missing optimizer");
    NO(tp_sched_sequence(NULL, NULL, 0), "0 schedules");
    NO(tp_sched_sequence(((tp_sched *[]){ tp_sched_step(o, 1, .5), NULL }), (int64_t[]){ 3 }, 2), "schedule 1 is missing");
    NO(tp_sched_sequence(((tp_sched *[]){ tp_sched_step(o, 1, .5), tp_sched_step(o2, 1, .5) }), (int64_t[]){ 3 }, 2), "of another optimizer");
    NO(tp_sched_sequence(((tp_sched *[]){ tp_sched_step(o, 1, .5), tp_sched_plateau(o, p) }), (int64_t[]){ 3 }, 2), "schedule 1 is a plateau");
    NO(tp_sched_sequence(((tp_sched *[]){ tp_sched_step(o, 1, .5), tp_sched_from(o, one, NULL) }), (int64_t[]){ 0 }, 2), "milestone 0");
    twice[0] = twice[1] = tp_sched_step(o, 1, .5);
    NO(tp_sched_sequence(twice, (int64_t[]){ 3 }, 2), "schedule 1 is schedule 0 again");
    tp_optim_free(o), tp_optim_free(o2), tp_optim_free(still), tp_nn_free(m), tp_nn_free(other);
}

/* Schedules that live at once share what the rates were before the first of them. */
ON_EACH_DEVICE(optim_schedules, bases)
{
    tp_module *m = pair(dev);
    tp_optim *o = grouped(m);
    tp_sched *a = tp_sched_linear(o, .5, 1, 4), *b = tp_sched_step(o, 2, .5);

    CHECK(tp_optim_lr(o, 0) == .8 && tp_sched_advance(b) && tp_optim_lr(o, 0) == .8);
    CHECK(tp_sched_seek(a, 0) && tp_optim_lr(o, 0) == .4);
    tp_sched_free(a), tp_sched_free(b);
    a = tp_sched_exponential(o, .5); /* none lived any more: from what it is now */
    CHECK(tp_sched_seek(a, 1) && tp_optim_lr(o, 0) == .2);
    tp_sched_free(a), tp_optim_free(o), tp_nn_free(m);
}

/* A file of another kind of schedule isn't one for a plateau. */
ON_EACH_DEVICE(optim_schedules, another_kind_in_the_file)
{
    tp_module *m = pair(dev);
    tp_optim *o = grouped(m);
    tp_sched *a = tp_sched_step(o, 2, .5), *b = tp_sched_plateau(o, tp_plateau());
    tp_state *sa = tp_state_new(), *sb = tp_state_new();

    make_test_folder();
    CHECK(tp_state_sched(sa, "sched", a) && tp_state_sched(sb, "sched", b) && tp_state_save(sa, in_folder("state")));
    CHECK_REFUSED(tp_state_load(sb, in_folder("state")), TP_ERR_FORMAT, "sched is i64 (2) there and i64 (5) here");
    remove_test_folder();
    tp_state_free(sa), tp_state_free(sb), tp_sched_free(a), tp_sched_free(b), tp_optim_free(o), tp_nn_free(m);
}
