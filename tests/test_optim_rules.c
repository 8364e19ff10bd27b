/*
 * test_optim_rules.c - every optimizer against PyTorch's steps, and what each must survive:
 * resuming, gradients that are missing, memory that ends, any number of threads.
 *
 * tests/golden/family_optim.py tells the names in the file.
 */
#include "tests/files.h"

#ifndef TP_GOLDEN
#define TP_GOLDEN "tests/golden"
#endif

enum { STEPS = 12, PARAMS = 3 };

/* ---- the rules, their options from numbers in the file's order ---- */

static tp_sgd_opts sgd_of(const double *k)
{
    tp_sgd_opts o = tp_sgd(k[0]);

    o.momentum = k[1], o.dampening = k[2], o.weight_decay = k[3], o.nesterov = k[4] != 0, o.maximize = k[5] != 0;
    return o;
}

static tp_adam_opts adam_of(const double *k)
{
    tp_adam_opts o = tp_adam(k[0]);

    o.beta1 = k[1], o.beta2 = k[2], o.eps = k[3], o.weight_decay = k[4], o.amsgrad = k[5] != 0, o.maximize = k[6] != 0;
    return o;
}

static tp_rmsprop_opts rmsprop_of(const double *k)
{
    tp_rmsprop_opts o = tp_rmsprop(k[0]);

    o.alpha = k[1], o.eps = k[2], o.weight_decay = k[3], o.momentum = k[4], o.centered = k[5] != 0;
    o.maximize = k[6] != 0;
    return o;
}

static tp_adagrad_opts adagrad_of(const double *k)
{
    tp_adagrad_opts o = tp_adagrad(k[0]);

    o.lr_decay = k[1], o.weight_decay = k[2], o.initial_accumulator_value = k[3], o.eps = k[4], o.maximize = k[5] != 0;
    return o;
}

static tp_adadelta_opts adadelta_of(const double *k)
{
    tp_adadelta_opts o = tp_adadelta(k[0]);

    o.rho = k[1], o.eps = k[2], o.weight_decay = k[3], o.maximize = k[4] != 0;
    return o;
}

static tp_adamax_opts adamax_of(const double *k)
{
    tp_adamax_opts o = tp_adamax(k[0]);

    o.beta1 = k[1], o.beta2 = k[2], o.eps = k[3], o.weight_decay = k[4], o.maximize = k[5] != 0;
    return o;
}

static tp_nadam_opts nadam_of(const double *k)
{
    tp_nadam_opts o = tp_nadam(k[0]);

    o.beta1 = k[1], o.beta2 = k[2], o.eps = k[3], o.weight_decay = k[4], o.momentum_decay = k[5];
    o.decoupled_weight_decay = k[6] != 0, o.maximize = k[7] != 0;
    return o;
}

static tp_radam_opts radam_of(const double *k)
{
    tp_radam_opts o = tp_radam(k[0]);

    o.beta1 = k[1], o.beta2 = k[2], o.eps = k[3], o.weight_decay = k[4], o.decoupled_weight_decay = k[5] != 0;
    o.maximize = k[6] != 0;
    return o;
}

static tp_lion_opts lion_of(const double *k)
{
    tp_lion_opts o = tp_lion(k[0]);

    o.beta1 = k[1], o.beta2 = k[2], o.weight_decay = k[3], o.maximize = k[4] != 0;
    return o;
}

static tp_muon_opts muon_of(const double *k)
{
    tp_muon_opts o = tp_muon(k[0]);

    o.weight_decay = k[1], o.momentum = k[2], o.ns_coefficients[0] = k[3], o.ns_coefficients[1] = k[4];
    o.ns_coefficients[2] = k[5], o.eps = k[6], o.ns_steps = (int)k[7], o.nesterov = k[8] != 0;
    o.adjust_lr = k[9] != 0 ? TP_MUON_MATCH_RMS_ADAMW : TP_MUON_ORIGINAL;
    return o;
}

typedef struct rule {
    const char *name;
    int cases, decay; /* in the file; the place of weight_decay */
    const double *numbers; /* where no file says others: every state in use */
    int options;
    tp_optim *(*make)(tp_params p, const double *k);
    bool (*add)(tp_optim *o, tp_params p, const double *k);
} rule;

#define MAKERS(name, of, group)                                                                  \
    static tp_optim *make_##name(tp_params p, const double *k) { return tp_optim_##name(p, of(k)); } \
    static bool add_##name(tp_optim *o, tp_params p, const double *k)                            \
    {                                                                                            \
        return tp_optim_add_##group##_group(o, p, of(k));                                        \
    }
MAKERS(sgd, sgd_of, sgd)
MAKERS(adam, adam_of, adam)
MAKERS(adamw, adam_of, adam)
MAKERS(rmsprop, rmsprop_of, rmsprop)
MAKERS(adagrad, adagrad_of, adagrad)
MAKERS(adadelta, adadelta_of, adadelta)
MAKERS(adamax, adamax_of, adamax)
MAKERS(nadam, nadam_of, nadam)
MAKERS(radam, radam_of, radam)
MAKERS(lion, lion_of, lion)
MAKERS(muon, muon_of, muon)

#define NUMBERS(...) (const double[]){ __VA_ARGS__ }, TP_LEN(((const double[]){ __VA_ARGS__ }))
static const rule rules[] = {
    { "sgd", 3, 3, NUMBERS(.1, .9, .1, .05, 0, 0), make_sgd, add_sgd },
    { "adam", 2, 4, NUMBERS(.05, .8, .95, 1e-3, .1, 1, 0), make_adam, add_adam },
    { "adamw", 2, 4, NUMBERS(.05, .8, .95, 1e-3, .1, 0, 0), make_adamw, add_adamw },
    { "rmsprop", 4, 3, NUMBERS(.02, .95, 1e-4, .01, .8, 1, 0), make_rmsprop, add_rmsprop },
    { "adagrad", 2, 2, NUMBERS(.1, .05, .1, .5, 1e-6, 0), make_adagrad, add_adagrad },
    { "adadelta", 2, 3, NUMBERS(.5, .8, 1e-3, .1, 0), make_adadelta, add_adadelta },
    { "adamax", 2, 4, NUMBERS(.05, .8, .9, 1e-3, .1, 0), make_adamax, add_adamax },
    { "nadam", 3, 4, NUMBERS(.05, .8, .9, 1e-3, .1, .3, 0, 0), make_nadam, add_nadam },
    { "radam", 3, 4, NUMBERS(.05, .8, .9, 1e-3, .1, 0, 0), make_radam, add_radam },
    { "lion", 2, 3, NUMBERS(.05, .8, .9, .1, 0), make_lion, add_lion },
    { "muon", 2, 1, NUMBERS(.05, .1, .95, 3.4445, -4.775, 2.0315, 1e-7, 5, 1, 0), make_muon, add_muon },
};

/* ---- modules of bare parameters p0, p1, ..., and gradients given to them ---- */

static const char *name_of(int i)
{
    static char name[2][16];

    snprintf(name[i % 2], sizeof name[0], "p%d", i);
    return name[i % 2];
}

static tp_tensor *param(tp_module *m, int i)
{
    return tp_nn_tensor(m, name_of(i));
}

static tp_module *numbers(const tp_shape *s, int n, tp_dtype d, tp_device *dev)
{
    tp_module *m = tp_nn_container("numbers");

    for (int i = 0; i < n; i++)
        tp_nn_param(m, name_of(i), s[i], (tp_init){ 0 });
    CHECK(tp_nn_cast(m, d) && tp_nn_init(m, dev));
    for (int i = 0; i < n; i++) {
        TP_SCOPE;
        TP_NO_GRAD;
        tp_tensor *x = tp_arange(0, (double)tp_count(param(m, i)), 1, TP_F32, dev);

        x = tp_sub(tp_scale(x, .37), tp_scale(tp_square(x), .011 + .001 * i)); /* f32: the same for all */
        CHECK(tp_copy_(param(m, i), tp_reshape(tp_cast(tp_cast(x, TP_BF16), d), s[i])));
    }
    return m;
}

static void give(tp_tensor *p, tp_tensor *g)
{
    TP_SCOPE;
    CHECK(tp_zero_grad(p) && tp_backward(tp_sum(tp_mul(p, tp_cast(g, tp_dtype_of(p))), TP_ALL)));
}

/* Numbers for step s, not too regular, exact in bf16. */
static void give_some(tp_module *m, int i, int s)
{
    tp_tensor *p = param(m, i), *g;
    int64_t n = tp_count(p);
    TP_SCOPE;
    float *v = malloc(sizeof *v * (size_t)(n + 1));

    for (int64_t k = 0; k < n; k++)
        v[k] = (float)((k * 29 + s * 17 + i * 5) % 61 - 27) / 32;
    g = tp_to(tp_from(v, tp_shape_of(p), TP_F32, tp_device_open("cpu")), tp_device_of(p));
    free(v);
    give(p, g);
}

static const tp_shape matrices[] = { { 2, { 3, 4 } }, { 2, { 5, 2 } }, { 2, { 4, 4 } } };

/* p0 and p1, and p2 in a group of its own. */
static tp_optim *grouped(const rule *r, tp_module *m, const double *k)
{
    tp_optim *o = r->make(tp_nn_params(m, "p[01]"), k);
    double second[16];

    memcpy(second, k, sizeof *k * (size_t)r->options);
    second[0] = k[0] / 2, second[r->decay] = k[r->decay] + .01;
    CHECK(r->add(o, tp_nn_params(m, "p2"), second));
    return o;
}

/* ---- against PyTorch ---- */

static tp_tensor *get(const tp_file *f, const char *rule, int k, const char *what, int i, tp_device *dev)
{
    char full[64];
    int at;

    if (i < 0) snprintf(full, sizeof full, "%s.%d.%s", rule, k, what);
    else snprintf(full, sizeof full, "%s.%d.%s.%d", rule, k, what, i);
    at = tp_file_find(f, full);
    cr_assert(at >= 0, "no %s", full);
    return tp_file_read(f, at, dev);
}

static tp_tensor *at_step(tp_tensor *all, int s)
{
    tp_shape one = tp_shape_of(all);

    memmove(one.n, one.n + 1, sizeof *one.n * (size_t)--one.rank);
    return tp_reshape(tp_slice(all, 0, s, s + 1), one);
}

static void follow(const tp_file *f, const rule *r, int c, tp_device *dev)
{
    TP_SCOPE;
    double k[16] = { 0 };
    tp_tensor *opts = get(f, r->name, c, "fopts", -1, dev), *p[PARAMS], *grads[PARAMS], *after[PARAMS];
    tp_shape shapes[PARAMS];
    tp_module *m;
    tp_optim *o;

    for (int i = 0; i < tp_count(opts); i++)
        k[i] = check_at(opts, i);
    for (int i = 0; i < PARAMS; i++)
        p[i] = get(f, r->name, c, "p", i, dev), grads[i] = get(f, r->name, c, "grad", i, dev),
        after[i] = get(f, r->name, c, "after", i, dev), shapes[i] = tp_shape_of(p[i]);
    m = numbers(shapes, PARAMS, TP_F64, dev);
    for (int i = 0; i < PARAMS; i++) {
        TP_NO_GRAD;
        tp_copy_(param(m, i), p[i]);
    }
    o = grouped(r, m, k);
    for (int s = 0; s < STEPS; s++) {
        for (int i = 0; i < PARAMS; i++)
            give(param(m, i), at_step(grads[i], s));
        CHECK(tp_optim_step(o));
        for (int i = 0; i < PARAMS; i++) {
            tp_tensor *want = at_step(after[i], s);

            CASE("%s %d on %s, step %d, parameter %d", r->name, c, tp_device_name(dev), s, i);
            for (int64_t e = 0; e < tp_count(want); e++)
                CHECK_NEAR(check_at(param(m, i), e), check_at(want, e), 1e-8 * fmax(1, fabs(check_at(want, e))));
        }
    }
    tp_optim_free(o), tp_nn_free(m);
}

ON_EACH_DEVICE(optim_rules, trajectories)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/optim.safetensors");

    cr_assert(f, "%s", tp_error());
    for (int r = 0; r < TP_LEN(rules); r++)
        for (int c = 0; c < rules[r].cases; c++)
            follow(f, &rules[r], c, dev);
    tp_file_close(f);
}

/* ---- dtypes: one step in f32 and bf16 is the f64 one, rounded once ---- */

ON_EACH_DEVICE(optim_rules, dtypes)
{
    static const tp_dtype dtype[] = { TP_F32, TP_BF16 };

    for (int r = 0; r < TP_LEN(rules); r++)
        for (int d = 0; d < 2; d++) {
            tp_module *m = numbers(matrices, PARAMS, dtype[d], dev), *exact = numbers(matrices, PARAMS, TP_F64, dev);
            tp_optim *o = grouped(&rules[r], m, rules[r].numbers), *oe = grouped(&rules[r], exact, rules[r].numbers);

            for (int i = 0; i < PARAMS; i++)
                give_some(m, i, 3), give_some(exact, i, 3);
            CASE("%s in %s on %s", rules[r].name, tp_dtype_name(dtype[d]), tp_device_name(dev));
            CHECK(tp_optim_step(o) && tp_optim_step(oe));
            for (int i = 0; i < PARAMS; i++)
                for (int64_t e = 0; e < tp_count(param(m, i)); e++) {
                    double want = check_at(param(exact, i), e), eps = dtype[d] == TP_BF16 ? 0x1p-8 : 64 * 0x1p-23;

                    CHECK_NEAR(check_at(param(m, i), e), want, eps * fmax(.25, fabs(want)));
                }
            tp_optim_free(o), tp_optim_free(oe), tp_nn_free(m), tp_nn_free(exact);
        }
}

/* ---- what a parameter without a gradient sees: nothing, its count included ---- */

ON_EACH_DEVICE(optim_rules, parameters_without_a_gradient)
{
    for (int r = 0; r < TP_LEN(rules); r++) {
        tp_module *both = numbers(matrices, 2, TP_F64, dev), *alone = numbers(matrices, 2, TP_F64, dev);
        tp_optim *o = rules[r].make(tp_nn_params(both, "*"), rules[r].numbers);
        tp_optim *p1 = rules[r].make(tp_nn_params(alone, "p1"), rules[r].numbers);

        CASE("%s on %s", rules[r].name, tp_device_name(dev));
        for (int s = 0; s < 6; s++) {
            CHECK(tp_optim_zero_grad(o));
            give_some(both, 0, s);
            if (s % 2) give_some(both, 1, s), give_some(alone, 1, s);
            CHECK(tp_optim_step(o) && (s % 2 == 0 || tp_optim_step(p1)));
        }
        for (int64_t e = 0; e < tp_count(param(both, 1)); e++)
            CHECK(check_at(param(both, 1), e) == check_at(param(alone, 1), e));
        tp_optim_free(o), tp_optim_free(p1), tp_nn_free(both), tp_nn_free(alone);
    }
}

/* ---- the bits of everything ---- */

typedef struct bits {
    unsigned char *bytes;
    size_t n;
} bits;

static bool shoot(void *user, const char *name, tp_tensor **t)
{
    bits *b = user;
    size_t n = (size_t)tp_count(*t) * tp_dtype_size(tp_dtype_of(*t));

    (void)name;
    b->bytes = realloc(b->bytes, b->n + n + 1);
    b->n += n;
    return tp_read(*t, b->bytes + b->n - n, n);
}

static bits bits_of(tp_module *m, tp_optim *o)
{
    bits b = { 0 };

    CHECK(tp_nn_each(tp_nn_params(m, "*"), false, shoot, &b) > 0 && tp_optim_each(o, shoot, &b) > 0);
    return b;
}

/* Gives up both. */
static bool same_bits(bits a, bits b)
{
    bool same = a.n == b.n && !memcmp(a.bytes, b.bytes, a.n);

    free(a.bytes), free(b.bytes);
    return same;
}

static bool steps(tp_module *m, tp_optim *o, int from, int to)
{
    for (int s = from; s < to; s++) {
        for (int i = 0; i < PARAMS; i++)
            give_some(m, i, s);
        if (!tp_optim_step(o)) return false;
    }
    return true;
}

ON_EACH_DEVICE(optim_rules, resumed_bit_for_bit)
{
    make_test_folder();
    for (int r = 0; r < TP_LEN(rules); r++)
        for (int d = 0; d < 2; d++) {
            tp_dtype type = d ? TP_BF16 : TP_F32;
            tp_module *a = numbers(matrices, PARAMS, type, dev), *b = numbers(matrices, PARAMS, type, dev);
            tp_optim *oa = grouped(&rules[r], a, rules[r].numbers), *ob = grouped(&rules[r], b, rules[r].numbers);
            tp_state *sa = tp_state_new(), *sb = tp_state_new();

            CASE("%s in %s on %s", rules[r].name, tp_dtype_name(type), tp_device_name(dev));
            CHECK(tp_state_module(sa, "net", a) && tp_state_optim(sa, "opt", oa));
            CHECK(tp_state_module(sb, "net", b) && tp_state_optim(sb, "opt", ob));
            CHECK(steps(a, oa, 0, 5) && tp_state_save(sa, in_folder("state")) && steps(a, oa, 5, 9));
            CHECK(steps(b, ob, 3, 5) && tp_state_load(sb, in_folder("state")) && steps(b, ob, 5, 9));
            CHECK(same_bits(bits_of(a, oa), bits_of(b, ob)));
            tp_state_free(sa), tp_state_free(sb), tp_optim_free(oa), tp_optim_free(ob), tp_nn_free(a), tp_nn_free(b);
        }
    remove_test_folder();
}

Test(optim_rules, any_number_of_threads_gives_the_same_bits)
{
    static const tp_shape large[] = { { 2, { 173, 201 } }, { 2, { 9, 1 } }, { 2, { 64, 90 } } };
    tp_device *dev = tp_device_open("cpu");
    int before = tp_threads();

    for (int r = 0; r < TP_LEN(rules); r++) {
        bits first = { 0 };

        for (int threads = 1; threads <= 3; threads++) {
            tp_module *m = numbers(large, PARAMS, TP_F32, dev);
            tp_optim *o = grouped(&rules[r], m, rules[r].numbers);
            bits now;

            CASE("%s, %d threads", rules[r].name, threads);
            tp_set_threads(threads);
            CHECK(steps(m, o, 0, 3));
            now = bits_of(m, o);
            if (threads == 1) first = now;
            else {
                CHECK(first.n == now.n && !memcmp(first.bytes, now.bytes, now.n));
                free(now.bytes);
            }
            tp_optim_free(o), tp_nn_free(m);
        }
        free(first.bytes);
    }
    tp_set_threads(before);
}

/* ---- memory that ends: nothing has changed, and the next step is what it would have been ---- */

ON_EACH_DEVICE(optim_rules, out_of_memory_changes_nothing)
{
    for (int r = 0; r < TP_LEN(rules); r++) {
        tp_module *m = numbers(matrices, PARAMS, TP_F32, dev), *twin = numbers(matrices, PARAMS, TP_F32, dev);
        tp_optim *o = grouped(&rules[r], m, rules[r].numbers), *ot = grouped(&rules[r], twin, rules[r].numbers);
        bool done = false;
        int n = 0;

        CASE("%s on %s", rules[r].name, tp_device_name(dev));
        CHECK(steps(m, o, 0, 1) && steps(twin, ot, 0, 1) && tp_optim_zero_grad(o) && tp_optim_zero_grad(ot));
        for (int i = 0; i < PARAMS; i++) /* p1 gets none: clocks part */
            if (i != 1) give_some(m, i, 1), give_some(twin, i, 1);
        for (; !done && n < 10000; n++) {
            bits before = bits_of(m, o);

            CASE("%s on %s, allocation %d", rules[r].name, tp_device_name(dev), n);
            tp__fail_after = n, done = tp_optim_step(o), tp__fail_after = -1;
            CHECK(done || tp_error_code() == TP_ERR_MEMORY);
            tp_clear_error();
            CHECK(done || same_bits(before, bits_of(m, o)));
            if (done) free(before.bytes);
        }
        CHECK(n > 1 && done && tp_optim_step(ot) && same_bits(bits_of(m, o), bits_of(twin, ot)));
        tp_optim_free(o), tp_optim_free(ot), tp_nn_free(m), tp_nn_free(twin);
    }
}

/* ---- refusals ---- */

#define REFUSED(f, opts, text) CHECK_REFUSED(f(tp_nn_params(m, "*"), opts), TP_ERR_ARG, text)
#define EDITED(name, field, value, text)                                                 \
    do {                                                                                 \
        tp_##name##_opts bad_ = tp_##name(.1);                                           \
        bad_.field = value;                                                              \
        CASE("%s, %s", #name, #field);                                                   \
        REFUSED(tp_optim_##name, bad_, text);                                            \
    } while (0)

ON_EACH_DEVICE(optim_rules, refusals)
{
    tp_module *m = numbers(matrices, 1, TP_F32, dev), *line = tp_nn_init(tp_nn_linear(2, 3), dev);
    tp_optim *o;

    REFUSED(tp_optim_rmsprop, (tp_rmsprop_opts){ 0 }, "start from tp_rmsprop(lr)");
    REFUSED(tp_optim_adagrad, (tp_adagrad_opts){ 0 }, "start from tp_adagrad(lr)");
    REFUSED(tp_optim_adadelta, (tp_adadelta_opts){ 0 }, "start from tp_adadelta(lr)");
    REFUSED(tp_optim_adamax, (tp_adamax_opts){ 0 }, "start from tp_adamax(lr)");
    REFUSED(tp_optim_nadam, (tp_nadam_opts){ 0 }, "start from tp_nadam(lr)");
    REFUSED(tp_optim_radam, (tp_radam_opts){ 0 }, "start from tp_radam(lr)");
    REFUSED(tp_optim_lion, (tp_lion_opts){ 0 }, "start from tp_lion(lr)");
    REFUSED(tp_optim_muon, (tp_muon_opts){ 0 }, "start from tp_muon(lr)");
    EDITED(rmsprop, alpha, -1, "alpha -1: a finite number of 0 or more is wanted");
    EDITED(rmsprop, momentum, NAN, "momentum nan");
    EDITED(adagrad, lr_decay, -1, "lr_decay -1");
    EDITED(adagrad, initial_accumulator_value, -1, "initial_accumulator_value -1");
    EDITED(adadelta, rho, 1.5, "rho 1.5: 0 to 1 is wanted");
    EDITED(adamax, beta2, 1, "beta2 1: 0 or more and less than 1 is wanted");
    EDITED(nadam, momentum_decay, -1, "momentum_decay -1");
    EDITED(radam, eps, INFINITY, "eps inf");
    EDITED(lion, beta1, NAN, "beta1 nan");
    EDITED(lion, lr, -1, "learning rate -1");
    EDITED(muon, ns_steps, 100, "100 ns_steps: 0 to 99 are wanted");
    EDITED(muon, ns_coefficients[1], NAN, "ns_coefficients[1] is nan");
    EDITED(muon, adjust_lr, (tp_muon_adjust)7, "adjust_lr 7 is no tp_muon_adjust");
    CASE("muon of a vector on %s", tp_device_name(dev));
    CHECK_REFUSED(tp_optim_muon(tp_nn_params(line, "*"), tp_muon(.1)), TP_ERR_SHAPE,
                  "bias is f32 (3), no matrix: leave it to an AdamW optimizer");
    o = tp_optim_muon(tp_nn_params(line, "weight"), tp_muon(.1));
    CHECK_REFUSED(tp_optim_add_muon_group(o, tp_nn_params(line, "bias"), tp_muon(.1)), TP_ERR_SHAPE, "no matrix");
    CHECK_REFUSED(tp_optim_add_lion_group(o, tp_nn_params(m, "*"), tp_lion(.1)), TP_ERR_ARG, "one of another kind");
    CHECK(tp_optim_groups(o) == 1);
    tp_optim_free(o), tp_nn_free(m), tp_nn_free(line);
}

/* ---- extremes: no elements, and a NaN that spreads no further than its place ---- */

ON_EACH_DEVICE(optim_rules, extremes)
{
    static const tp_shape odd[] = { { 2, { 0, 3 } }, { 2, { 2, 3 } } };

    for (int r = 0; r < TP_LEN(rules); r++) {
        tp_module *m = numbers(odd, 2, TP_F64, dev);
        tp_optim *o = rules[r].make(tp_nn_params(m, "*"), rules[r].numbers);
        bool spreads = !strcmp(rules[r].name, "muon");
        float v[] = { 1, NAN, -1, 0, 2, 1 };
        TP_SCOPE;

        CASE("%s on %s", rules[r].name, tp_device_name(dev));
        give_some(m, 0, 0), give(param(m, 1), tp_from(v, odd[1], TP_F32, dev));
        CHECK(tp_optim_step(o));
        for (int e = 0; e < 6; e++)
            CHECK(isnan(check_at(param(m, 1), e)) == (spreads || e == 1));
        tp_optim_free(o), tp_nn_free(m);
    }
}

/* ---- gradients as a whole ---- */

ON_EACH_DEVICE(optim_rules, clip_value_and_grad_norm)
{
    static const tp_dtype dtype[] = { TP_F64, TP_F32, TP_BF16 };
    static const tp_shape six = { 1, { 6 } };
    static const float v[] = { 3, -4, .25f, NAN, INFINITY, -INFINITY }, want[] = { 1, -1, .25f, NAN, 1, -1 };

    for (int d = 0; d < 3; d++) {
        tp_module *m = numbers((tp_shape[]){ six, six }, 2, dtype[d], dev);
        tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
        TP_SCOPE;

        CASE("%s on %s", tp_dtype_name(dtype[d]), tp_device_name(dev));
        CHECK(tp_item(tp_optim_grad_norm(o)) == 0 && tp_optim_clip_value(o, 1));
        give(param(m, 0), tp_from((float[]){ 3, 0, 0, -4, 0, 0 }, six, TP_F32, dev));
        CHECK(tp_item(tp_optim_grad_norm(o)) == 5 && check_at(tp_grad(param(m, 0)), 0) == 3);
        give(param(m, 1), tp_from(v, six, TP_F32, dev));
        CHECK(isnan(tp_item(tp_optim_grad_norm(o))));
        CHECK(tp_optim_clip_value(o, 1));
        for (int i = 0; i < 6; i++)
            CHECK_NEAR(check_at(tp_grad(param(m, 1)), i), (double)want[i], 0);
        CHECK_REFUSED(tp_optim_clip_value(o, -1), TP_ERR_ARG, "values of at most -1");
        CHECK_REFUSED(tp_optim_clip_value(o, NAN), TP_ERR_ARG, "values of at most nan");
        CHECK_REFUSED(tp_optim_clip_value(NULL, 1), TP_ERR_ARG, "missing optimizer");
        CHECK_REFUSED(tp_optim_grad_norm(NULL), TP_ERR_ARG, "missing optimizer");
        tp_optim_free(o), tp_nn_free(m);
    }
}

/* ---- parameters in odd circumstances ---- */

/* One tensor under two names is updated once, a frozen one not at all, whatever the rule. */
ON_EACH_DEVICE(optim_rules, shared_and_frozen_parameters)
{
    static const tp_shape square[] = { { 2, { 3, 3 } }, { 2, { 3, 3 } }, { 2, { 3, 3 } } };

    for (int r = 0; r < TP_LEN(rules); r++) {
        tp_module *m = numbers(square, 3, TP_F64, dev), *alone = numbers(square, 1, TP_F64, dev);
        tp_optim *o, *oa;
        double before;

        CASE("%s on %s", rules[r].name, tp_device_name(dev));
        CHECK(tp_nn_set(m, "p2", param(m, 0)) && tp_nn_freeze(m, "p1", true) == 1);
        o = rules[r].make(tp_nn_params(m, "*"), rules[r].numbers);
        oa = rules[r].make(tp_nn_params(alone, "*"), rules[r].numbers);
        before = check_at(param(m, 1), 4);
        for (int s = 0; s < 4; s++) {
            give_some(m, 0, s), give_some(alone, 0, s);
            CHECK(tp_optim_step(o) && tp_optim_step(oa));
        }
        for (int64_t e = 0; e < 9; e++)
            CHECK(check_at(param(m, 2), e) == check_at(param(alone, 0), e));
        CHECK(check_at(param(m, 1), 4) == before && !tp_grad(param(m, 1)));
        tp_optim_free(o), tp_optim_free(oa), tp_nn_free(m), tp_nn_free(alone);
    }
}

/* Rows of an embedding that no index names still have a gradient, of zeros: they decay. */
ON_EACH_DEVICE(optim_rules, rows_that_were_not_used)
{
    for (int r = 0; r < TP_LEN(rules); r++) {
        tp_module *m = tp_nn_init(tp_nn_embedding(4, 3), dev), *dense = tp_nn_init(tp_nn_embedding(4, 3), dev);
        tp_tensor *w = tp_nn_tensor(m, "weight"), *wd = tp_nn_tensor(dense, "weight");
        tp_optim *o = rules[r].make(tp_nn_params(m, "*"), rules[r].numbers), *od = rules[r].make(tp_nn_params(dense, "*"), rules[r].numbers);
        TP_SCOPE;
        tp_tensor *rows = tp_from((int64_t[]){ 2, 0, 2 }, TP_SHAPE(3), TP_I64, dev);
        tp_tensor *same = tp_from((float[]){ 1, 1, 1, 0, 0, 0, 2, 2, 2, 0, 0, 0 }, TP_SHAPE(4, 3), TP_F32, dev);

        CASE("%s on %s", rules[r].name, tp_device_name(dev));
        CHECK(tp_nn_copy(dense, m) && tp_backward(tp_sum(tp_nn_forward(m, rows), TP_ALL)));
        give(wd, same);
        CHECK(tp_optim_step(o) && tp_optim_step(od));
        for (int64_t e = 0; e < 12; e++)
            CHECK(check_at(w, e) == check_at(wd, e));
        tp_optim_free(o), tp_optim_free(od), tp_nn_free(m), tp_nn_free(dense);
    }
}
