/*
 * test_lbfgs.c - L-BFGS: its path against PyTorch's, failures in the closure, saved and resumed,
 * refused; and closures of the other optimizers.
 */
#include "tests/calls.h"
#include "tests/files.h"

#ifndef TP_GOLDEN
#define TP_GOLDEN "tests/golden"
#endif

enum { STEPS = 6, MOST_PARAMS = 4 };

/* What a closure works on: bare parameters p0, p1, ... and the loss of them. */
typedef struct problem {
    tp_module *m;
    tp_optim *o;
    tp_tensor *x, *y;
    tp_tensor *(*value)(struct problem *q);
    double sign;
    int n, calls, fail_at; /* the call that fails; 0: none */
} problem;

static tp_tensor *param(const problem *q, int i)
{
    char name[16];

    snprintf(name, sizeof name, "p%d", i);
    return tp_nn_tensor(q->m, name);
}

static tp_tensor *rosenbrock(problem *q)
{
    tp_tensor *p = param(q, 0), *a = tp_slice(p, 0, 0, 3), *b = tp_slice(p, 0, 1, 4);
    tp_tensor *far = tp_square(tp_sub(b, tp_square(a)));

    return tp_sum(tp_add(tp_scale(far, 100), tp_square(tp_affine(a, -1, 1))), TP_ALL);
}

static tp_tensor *mlp(problem *q)
{
    tp_tensor *h = tp_tanh(tp_linear(q->x, param(q, 0), param(q, 1)));

    return tp_mse(tp_linear(h, param(q, 2), param(q, 3)), q->y);
}

static tp_tensor *closure(void *user)
{
    problem *q = user;
    tp_tensor *loss;

    tp_optim_zero_grad(q->o);
    loss = tp_scale(q->value(q), q->sign);
    if (++q->calls == q->fail_at) return tp_fail(TP_ERR_USER, "the data ran out");
    return tp_backward(loss) ? loss : NULL;
}

static tp_tensor *part(const tp_file *f, const char *name, int c, const char *what, int i,
                       tp_device *dev)
{
    char full[64];

    if (i < 0) snprintf(full, sizeof full, "%s.%d.%s", name, c, what);
    else snprintf(full, sizeof full, "%s.%d.%s.%d", name, c, what, i);
    return tp_file_find(f, full) < 0 ? NULL : tp_file_read(f, tp_file_find(f, full), dev);
}

static tp_lbfgs_opts opts_of(tp_tensor *v)
{
    tp_lbfgs_opts o = tp_lbfgs(check_at(v, 0));

    o.max_iter = (int64_t)check_at(v, 1), o.max_eval = (int64_t)check_at(v, 2),
    o.tolerance_grad = check_at(v, 3);
    o.tolerance_change = check_at(v, 4), o.history_size = (int)check_at(v, 5);
    o.line_search = (tp_line_search)check_at(v, 6), o.maximize = check_at(v, 7) != 0;
    return o;
}

/* Case c as its file begins; end_problem ends it.  The caller's scope has x and y. */
static problem begin_problem(const tp_file *f, const char *name, int c, tp_dtype d, tp_device *dev)
{
    problem q = { .m = tp_nn_container("problem"), .sign = 1 };
    tp_tensor *start[MOST_PARAMS];
    char p[16];

    for (; (start[q.n] = part(f, name, c, "p", q.n, dev)); q.n++) {
        snprintf(p, sizeof p, "p%d", q.n);
        tp_nn_param(q.m, p, tp_shape_of(start[q.n]), (tp_init){ 0 });
        if (q.n == MOST_PARAMS - 1) { q.n++; break; }
    }
    CHECK(tp_nn_cast(q.m, d) && tp_nn_init(q.m, dev));
    for (int i = 0; i < q.n; i++) {
        TP_NO_GRAD;
        CHECK(tp_copy_(param(&q, i), start[i]));
    }
    q.value = strcmp(name, "mlp") ? rosenbrock : mlp;
    if (q.value == mlp)
        q.x = tp_cast(part(f, name, c, "x", -1, dev), d),
        q.y = tp_cast(part(f, name, c, "y", -1, dev), d);
    q.o = tp_optim_lbfgs(tp_nn_params(q.m, "*"), opts_of(part(f, name, c, "fopts", -1, dev)));
    if (check_at(part(f, name, c, "fopts", -1, dev), 7) != 0) q.sign = -1;
    cr_assert(q.o, "%s", tp_error());
    return q;
}

static void end_problem(problem *q)
{
    tp_optim_free(q->o), tp_nn_free(q->m);
}

static void follow(const tp_file *f, const char *name, int c, tp_device *dev)
{
    TP_SCOPE;
    problem q = begin_problem(f, name, c, TP_F64, dev);
    tp_tensor *losses = part(f, name, c, "loss", -1, dev);

    for (int s = 0; s < STEPS; s++) {
        TP_SCOPE;
        tp_tensor *loss = tp_optim_step_with(q.o, closure, &q);

        CASE("%s %d on %s, step %d", name, c, tp_device_name(dev), s);
        CHECK(loss && !tp_needs_grad(loss) && tp_optim_steps(q.o) == s + 1);
        CHECK_NEAR(check_at(loss, 0), check_at(losses, s),
                   1e-8 * fmax(1, fabs(check_at(losses, s))));
        for (int i = 0; i < q.n; i++) {
            tp_tensor *all = part(f, name, c, "after", i, dev), *p = param(&q, i);

            for (int64_t e = 0; e < tp_count(p); e++)
                CHECK_NEAR(check_at(p, e), check_at(all, s * tp_count(p) + e), 1e-8);
        }
    }
    end_problem(&q);
}

ON_EACH_DEVICE(lbfgs, trajectories)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/lbfgs.safetensors");

    cr_assert(f, "%s", tp_error());
    for (int c = 0; c < 5; c++)
        follow(f, "rosenbrock", c, dev), follow(f, "mlp", c, dev);
    tp_file_close(f);
}

/* ---- f32 and bf16 go down too, and a cast module takes its optimizer along ---- */

ON_EACH_DEVICE(lbfgs, narrow_dtypes)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/lbfgs.safetensors");

    for (tp_dtype d = TP_F32; d <= TP_BF16; d++) {
        TP_SCOPE;
        problem q = begin_problem(f, "mlp", 0, d, dev);
        tp_tensor *first = tp_optim_step_with(q.o, closure, &q), *last = NULL;

        CASE("%s on %s", tp_dtype_name(d), tp_device_name(dev));
        for (int s = 0; s < 3; s++)
            last = tp_optim_step_with(q.o, closure, &q);
        CHECK(tp_ok() && check_at(last, 0) < 0.8 * check_at(first, 0));
        CHECK(tp_nn_cast(q.m, TP_F64));
        q.x = tp_cast(q.x, TP_F64), q.y = tp_cast(q.y, TP_F64);
        last = tp_optim_step_with(q.o, closure, &q);
        CHECK(tp_dtype_of(last) == TP_F64 && check_at(last, 0) < 0.8 * check_at(first, 0));
        end_problem(&q);
    }
    tp_file_close(f);
}

/* ---- nothing happens where the closure fails ---- */

/* All that an optimizer and its parameters are, as one line of numbers. */
typedef struct snapshot {
    double v[4096];
    int n;
} snapshot;

static bool take(void *user, const char *name, tp_tensor **t)
{
    snapshot *s = user;

    (void)name;
    for (int64_t i = 0; i < tp_count(*t) && s->n < TP_LEN(s->v); i++)
        s->v[s->n++] = check_at(*t, i);
    return true;
}

static snapshot snap(const problem *q)
{
    snapshot s = { .n = 0 };
    TP_SCOPE;

    CHECK(tp_optim_each(q->o, take, &s) > 0);
    CHECK(tp_nn_each(tp_nn_params(q->m, "*"), true, take, &s) > 0);
    return s;
}

static bool equal(const snapshot *a, const snapshot *b)
{
    return a->n == b->n && !memcmp(a->v, b->v, sizeof *a->v * (size_t)a->n);
}

ON_EACH_DEVICE(lbfgs, a_failing_closure_changes_nothing)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/lbfgs.safetensors");

    for (int which = 0; which < 4; which++) {
        const char *name = which % 2 ? "mlp" : "rosenbrock";
        TP_SCOPE;
        problem q = begin_problem(f, name, which < 2 ? 1 : which == 2 ? 4 : 1, TP_F64, dev);
        snapshot before;
        int calls;

        CHECK(tp_optim_step_with(q.o, closure, &q) != NULL);
        before = snap(&q), q.calls = 0;
        for (int at = 1; at <= 4; at++) {
            snapshot after;

            q.calls = 0, q.fail_at = at;
            CASE("%s on %s, call %d fails", name, tp_device_name(dev), at);
            CHECK_REFUSED(tp_optim_step_with(q.o, closure, &q), TP_ERR_USER, "the data ran out");
            after = snap(&q);
            CHECK(equal(&before, &after));
        }
        q.fail_at = 0, calls = q.calls;
        CHECK(calls == 4 && tp_optim_step_with(q.o, closure, &q));
        end_problem(&q);
    }
    tp_file_close(f);
}

ON_EACH_DEVICE(lbfgs, out_of_memory)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/lbfgs.safetensors");
    TP_SCOPE;
    problem q = begin_problem(f, "mlp", 0, TP_F64, dev);
    snapshot before, after;
    int failures = 0;

    CHECK(tp_optim_step_with(q.o, closure, &q) != NULL);
    before = snap(&q);
    for (long n = 0;; n += 1 + n / 16) {
        tp_tensor *loss;
        TP_SCOPE;

        CASE("allocation %ld on %s", n, tp_device_name(dev));
        tp__fail_after = n, loss = tp_optim_step_with(q.o, closure, &q), tp__fail_after = -1;
        if (loss) break;
        CHECK(tp_error_code() == TP_ERR_MEMORY);
        tp_clear_error(), failures++;
        after = snap(&q);
        CHECK(equal(&before, &after));
    }
    CHECK(failures > 20);
    for (long n = 0; n < 40; n += 3) {
        tp_optim *o;

        tp__fail_after = n, o = tp_optim_lbfgs(tp_nn_params(q.m, "*"), tp_lbfgs(1)),
        tp__fail_after = -1;
        CHECK(o ? tp_ok() : tp_error_code() == TP_ERR_MEMORY);
        tp_clear_error(), tp_optim_free(o);
    }
    end_problem(&q), tp_file_close(f);
}

/* ---- saved and resumed: the same bits ---- */

static tp_state *state_of(problem *q)
{
    tp_state *s = tp_state_new();

    CHECK(tp_state_module(s, "model", q->m) && tp_state_optim(s, "optim", q->o));
    return s;
}

ON_EACH_DEVICE(lbfgs, resumed_exactly)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/lbfgs.safetensors");

    make_test_folder();
    for (int c = 0; c < 2; c++) {
        TP_SCOPE;
        problem a = begin_problem(f, "mlp", c, TP_F64, dev),
                b = begin_problem(f, "mlp", c, TP_F64, dev);
        tp_state *sa = state_of(&a), *sb = state_of(&b);
        snapshot one, two;

        CASE("case %d on %s", c, tp_device_name(dev));
        for (int s = 0; s < 2; s++)
            CHECK(tp_optim_step_with(a.o, closure, &a) != NULL);
        CHECK(tp_optim_set_lr(a.o, 0, 0.25) && tp_state_save(sa, in_folder("state")) &&
              tp_state_load(sb, in_folder("state")));
        CHECK(tp_optim_lr(b.o, 0) == 0.25 && tp_optim_steps(b.o) == 2);
        for (int s = 0; s < 3; s++)
            CHECK(tp_optim_step_with(a.o, closure, &a) && tp_optim_step_with(b.o, closure, &b));
        one = snap(&a), two = snap(&b);
        CHECK(equal(&one, &two));
        tp_state_free(sa), tp_state_free(sb), end_problem(&a), end_problem(&b);
    }
    remove_test_folder(), tp_file_close(f);
}

static bool spoil(void *user, const char *name, tp_tensor **t)
{
    TP_NO_GRAD;
    return strcmp(name, "0.numbers") || tp_fill_(*t, *(double *)user);
}

ON_EACH_DEVICE(lbfgs, a_state_that_cannot_be)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/lbfgs.safetensors");
    TP_SCOPE;
    problem q = begin_problem(f, "mlp", 0, TP_F64, dev);
    double bad[] = { 1e9, -1, 0.5, NAN }, good = 0;

    for (int i = 0; i < TP_LEN(bad); i++) {
        CASE("%g on %s", bad[i], tp_device_name(dev));
        CHECK(tp_optim_load_begin(q.o) && tp_optim_each(q.o, spoil, &bad[i]) > 0);
        CHECK_REFUSED(tp_optim_load_end(q.o), TP_ERR_FORMAT, "can't be: 0 to 100");
        CHECK_REFUSED(tp_optim_step_with(q.o, closure, &q), TP_ERR_ARG,
                      "load its state or free it");
    }
    CHECK(tp_optim_load_begin(q.o) && tp_optim_each(q.o, spoil, &good) > 0 &&
          tp_optim_load_end(q.o));
    CHECK(tp_optim_step_with(q.o, closure, &q) != NULL);
    end_problem(&q), tp_file_close(f);
}

/* ---- refused, and as a user may call it ---- */

static tp_tensor *again(void *user)
{
    problem *q = user;

    return tp_optim_step_with(q->o, closure, q);
}

static tp_tensor *nothing(void *user)
{
    (void)user;
    return NULL;
}

static tp_tensor *two(void *user)
{
    problem *q = user;

    return tp_backward(q->value(q)) ? tp_ones(TP_SHAPE(2), TP_F64, tp_device_of(param(q, 0)))
                                    : NULL;
}

static tp_tensor *freeing(void *user)
{
    problem *q = user;
    tp_tensor *loss = closure(user);

    tp_optim_free(q->o), q->o = NULL;
    return loss;
}

static tp_tensor *casting(void *user)
{
    problem *q = user;

    if (q->calls++ == 2) tp_nn_cast(q->m, TP_F32);
    tp_optim_zero_grad(q->o);
    return tp_backward(q->value(q)) ? q->value(q) : NULL;
}

static tp_tensor *constant(void *user) /* nothing of it depends on a parameter */
{
    return tp_ones(TP_SCALAR, TP_F64, tp_device_of(param(user, 0)));
}

static tp_lbfgs_opts with(int field, double v)
{
    tp_lbfgs_opts o = tp_lbfgs(1);

    if (field == 0) o.lr = v;
    if (field == 1) o.max_iter = (int64_t)v;
    if (field == 2) o.max_eval = (int64_t)v;
    if (field == 3) o.tolerance_grad = v;
    if (field == 4) o.tolerance_change = v;
    if (field == 5) o.history_size = (int)v;
    if (field == 6) o.line_search = (tp_line_search)v;
    return o;
}

ON_EACH_DEVICE(lbfgs, refusals)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/lbfgs.safetensors");
    TP_SCOPE;
    problem q = begin_problem(f, "mlp", 0, TP_F64, dev);
    tp_params all = tp_nn_params(q.m, "*");
    tp_module *mixed = tp_nn_container("mixed");
    tp_optim *sgd = tp_optim_sgd(all, tp_sgd(.1));

    ARG(tp_optim_lbfgs(all, (tp_lbfgs_opts){ 0 }), "start from tp_lbfgs(lr)");
    ARG(tp_optim_lbfgs(all, with(0, -1)), "learning rate -1");
    ARG(tp_optim_lbfgs(all, with(0, NAN)), "learning rate nan");
    ARG(tp_optim_lbfgs(all, with(1, 0)), "max_iter 0");
    ARG(tp_optim_lbfgs(all, with(2, -1)), "max_eval -1");
    ARG(tp_optim_lbfgs(all, with(3, -1)), "tolerance_grad -1");
    ARG(tp_optim_lbfgs(all, with(4, NAN)), "tolerance_change nan");
    ARG(tp_optim_lbfgs(all, with(5, 0)), "history_size 0");
    ARG(tp_optim_lbfgs(all, with(6, 7)), "line_search 7");
    ARG(tp_optim_lbfgs(tp_nn_params(q.m, "q*"), tp_lbfgs(1)), "q*");
    ARG(tp_optim_lbfgs((tp_params){ 0 }, tp_lbfgs(1)), "missing");
    CHECK(tp_nn_add(mixed, "a", tp_nn_linear(2, 2)) && tp_nn_add(mixed, "b", tp_nn_linear(2, 2)));
    CHECK(tp_nn_cast(tp_nn_get(mixed, "b"), TP_F64) && tp_nn_init(mixed, dev));
    DTYPE(tp_optim_lbfgs(tp_nn_params(mixed, "*"), tp_lbfgs(1)), "one dtype is wanted");
    ARG(tp_optim_step(q.o), "lbfgs evaluates the loss again and again: call tp_optim_step_with");
    ARG(tp_optim_add_sgd_group(q.o, all, tp_sgd(1)), "another kind");
    ARG(tp_optim_step_with(NULL, closure, &q), "missing optimizer");
    ARG(tp_optim_step_with(q.o, NULL, &q), "missing closure");
    ARG(tp_optim_step_with(q.o, again, &q), "the closure steps the optimizer that called it");
    REFUSED(tp_optim_step_with(q.o, nothing, &q), TP_ERR_USER, "the closure gave no loss");
    REFUSED(tp_optim_step_with(sgd, nothing, &q), TP_ERR_USER, "the closure gave no loss");
    SHAPE(tp_optim_step_with(q.o, two, &q), "more or less than one element");
    DTYPE(tp_optim_step_with(q.o, casting, &q), "");
    tp_optim_free(sgd), tp_nn_free(mixed), end_problem(&q), tp_file_close(f);
}

ON_EACH_DEVICE(lbfgs, as_a_user_calls_it)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/lbfgs.safetensors");
    TP_SCOPE;
    problem q = begin_problem(f, "mlp", 0, TP_F64, dev);
    tp_optim *lbfgs = q.o;
    snapshot before = snap(&q), after;
    tp_sched *halves = tp_sched_step(q.o, 1, .5);
    double first, value;

    CHECK(tp_optim_step_with(q.o, constant, &q) != NULL); /* no gradient: nothing to do */
    CHECK(tp_optim_zero_grad(q.o) &&
          tp_nn_each(tp_nn_params(q.m, "*"), true, take, &(snapshot){ .n = 0 }) > 0);
    after = snap(&q);
    for (int i = before.n - 26; i < before.n; i++)
        CHECK(before.v[i] == after.v[i]);
    CHECK(tp_sched_advance(halves) && tp_optim_lr(q.o, 0) == .5);
    {
        TP_NO_GRAD; /* the closure records all the same */
        CHECK(tp_optim_step_with(q.o, closure, &q) != NULL);
    }
    q.o = tp_optim_lbfgs(tp_nn_params(q.m, "*"), tp_lbfgs(1));
    CHECK(tp_nn_freeze(q.m, "p0", true) > 0);
    first = check_at(param(&q, 0), 0);
    CHECK(tp_optim_step_with(q.o, closure, &q) &&
          check_at(param(&q, 0), 0) == first); /* frozen: it stays */
    CHECK(tp_nn_freeze(q.m, "p0", false) > 0);
    tp_optim_free(q.o);
    CASE("other optimizers on %s", tp_device_name(dev));
    q.o = tp_optim_sgd(tp_nn_params(q.m, "*"), tp_sgd(.1)), q.calls = 0;
    value = check_at(tp_optim_step_with(q.o, closure, &q), 0);
    CHECK(q.calls == 1 && check_at(tp_optim_step_with(q.o, closure, &q), 0) < value);
    CHECK(tp_optim_step_with(q.o, freeing, &q) && !q.o);
    q.o = lbfgs;
    tp_sched_free(halves);
    CHECK(tp_optim_step_with(q.o, freeing, &q) == NULL ||
          !q.o); /* the last reference goes with the step */
    tp_clear_error();
    end_problem(&q), tp_file_close(f);
}

/* One tensor under two names is one part of the vector. */
ON_EACH_DEVICE(lbfgs, shared_parameters)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/lbfgs.safetensors");
    TP_SCOPE;
    problem q = begin_problem(f, "mlp", 0, TP_F64, dev),
            alone = begin_problem(f, "mlp", 0, TP_F64, dev);

    tp_optim_free(q.o);
    CHECK(tp_nn_param(q.m, "again", tp_shape_of(param(&q, 0)), (tp_init){ 0 }) &&
          tp_nn_init(q.m, dev));
    CHECK(tp_nn_set(q.m, "again", param(&q, 0)));
    q.o = tp_optim_lbfgs(tp_nn_params(q.m, "*"), opts_of(part(f, "mlp", 0, "fopts", -1, dev)));
    for (int s = 0; s < 3; s++)
        CHECK(tp_optim_step_with(q.o, closure, &q) && tp_optim_step_with(alone.o, closure, &alone));
    for (int i = 0; i < q.n; i++)
        for (int64_t e = 0; e < tp_count(param(&q, i)); e++)
            CHECK(check_at(param(&q, i), e) == check_at(param(&alone, i), e));
    end_problem(&q), end_problem(&alone), tp_file_close(f);
}

/* A NaN loss is PyTorch's: the parameters show it. */
static tp_tensor *nan_loss(void *user)
{
    problem *q = user;
    tp_tensor *loss = tp_scale(q->value(q), NAN);

    tp_optim_zero_grad(q->o);
    return tp_backward(loss) ? loss : NULL;
}

ON_EACH_DEVICE(lbfgs, nan_ends)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/lbfgs.safetensors");

    for (int c = 0; c < 2; c++) {
        TP_SCOPE;
        problem q = begin_problem(f, "mlp", c, TP_F64, dev);

        CASE("case %d on %s", c, tp_device_name(dev));
        CHECK(isnan(check_at(tp_optim_step_with(q.o, nan_loss, &q), 0)) &&
              isnan(check_at(param(&q, 0), 0)));
        end_problem(&q);
    }
    tp_file_close(f);
}
