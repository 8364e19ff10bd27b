/*
 * test_average.c - averages of parameters against PyTorch's AveragedModel, swapped in and out,
 * saved, refused.
 */
#include "tests/files.h"

#ifndef TP_GOLDEN
#define TP_GOLDEN "tests/golden"
#endif

enum { STEPS = 12 };

static bool set(tp_module *m, const char *name, tp_tensor *to)
{
    TP_NO_GRAD;
    return tp_copy_(tp_nn_tensor(m, name), to);
}

static double first(tp_tensor *t)
{
    TP_SCOPE;
    return check_at(t, 0);
}

static tp_module *five(tp_dtype d, tp_device *dev)
{
    tp_module *m = tp_nn_container("five");

    tp_nn_param(m, "p", TP_SHAPE(5), (tp_init){ 0 });
    CHECK(tp_nn_cast(m, d));
    return tp_nn_init(m, dev);
}

/* ---- against PyTorch, and the warm-up's formula ---- */

static void follow(const tp_file *f, const char *name, tp_dtype d, tp_ema *(*make)(tp_module *m), tp_device *dev)
{
    TP_SCOPE;
    char full[32];
    tp_module *m = five(d, dev);
    tp_ema *e = make(m);
    tp_tensor *p = tp_file_read(f, tp_file_find(f, "average.p"), dev), *want;

    snprintf(full, sizeof full, "average.%s", name);
    want = tp_file_read(f, tp_file_find(f, full), dev);
    for (int s = 0; s < STEPS; s++) {
        CASE("%s in %s on %s, update %d", name, tp_dtype_name(d), tp_device_name(dev), s);
        CHECK(set(m, "p", tp_flatten(tp_slice(p, 0, s, s + 1), 0)));
        CHECK(tp_ema_update(e) && tp_ema_updates(e) == s + 1);
        for (int i = 0; i < 5; i++) /* numbers below 4, three roundings an update */
            CHECK_NEAR(check_at(tp_ema_tensor(e, "p"), i), check_at(want, 5 * s + i), 3 * (s + 1) * (d == TP_F64 ? 0x1p-51 : 0x1p-22));
    }
    tp_ema_free(e), tp_nn_free(m);
}

static tp_ema *decaying(tp_module *m)
{
    return tp_ema_new(m, .9);
}

ON_EACH_DEVICE(average, as_in_pytorch)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/schedules.safetensors");

    for (int d = 0; d < 2; d++) {
        follow(f, "ema", d ? TP_F64 : TP_F32, decaying, dev);
        follow(f, "swa", d ? TP_F64 : TP_F32, tp_swa_new, dev);
    }
    tp_file_close(f);
}

ON_EACH_DEVICE(average, warm)
{
    tp_module *m = five(TP_F64, dev);
    tp_ema *e = tp_ema_new_warm(m, .5);
    double want = 0;

    for (int n = 1; n <= 20; n++) {
        double value = sin(n), decay = fmin(.5, n / (9. + n));
        TP_SCOPE;

        CASE("update %d on %s", n, tp_device_name(dev));
        CHECK(set(m, "p", tp_full(TP_SHAPE(5), value, TP_F64, dev)) && tp_ema_update(e));
        want = n == 1 ? value : decay * want + (1 - decay) * value;
        CHECK_NEAR(first(tp_ema_tensor(e, "p")), want, n * 4 * 0x1p-53);
    }
    tp_ema_free(e), tp_nn_free(m);
}

/* ---- a module with buffers, dtypes that mix, tied weights ---- */

static tp_module *network(tp_device *dev)
{
    tp_module *m = tp_nn_sequential((tp_module *[]){ tp_nn_linear(3, 3), tp_nn_batch_norm(3), tp_nn_linear(3, 3) }, 3);

    CHECK(tp_nn_cast(m, TP_BF16)); /* norms stay f32 */
    CHECK(tp_nn_init(m, dev) && tp_nn_set(m, "2.weight", tp_nn_tensor(m, "0.weight")));
    return m;
}

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

static bits module_bits(tp_module *m)
{
    bits b = { 0 };

    CHECK(tp_nn_each(tp_nn_params(m, "*"), true, shoot, &b) > 0);
    return b;
}

static bits average_bits(tp_ema *e)
{
    bits b = { 0 };

    CHECK(tp_ema_each(e, shoot, &b) > 0);
    return b;
}

static bool same(bits a, bits b) /* gives up both */
{
    bool is = a.n == b.n && !memcmp(a.bytes, b.bytes, a.n);

    free(a.bytes), free(b.bytes);
    return is;
}

static bool train(tp_module *m, tp_optim *o, tp_ema *e, int from, int to)
{
    for (int s = from; s < to; s++) {
        TP_SCOPE;
        tp_tensor *x = tp_reshape(tp_scale(tp_arange(0, 12, 1, TP_F32, tp_device_of(tp_nn_tensor(m, "0.weight"))), .1 * (s + 1)), TP_SHAPE(4, 3));
        tp_tensor *loss = tp_mean(tp_square(tp_nn_forward(m, tp_cast(x, TP_BF16))), TP_ALL);

        if (!tp_optim_zero_grad(o) || !tp_backward(loss) || !tp_optim_step(o) || !tp_ema_update(e)) return false;
    }
    return true;
}

ON_EACH_DEVICE(average, swapped_in_and_out)
{
    tp_module *m = network(dev), *copy = network(dev);
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(.1));
    tp_ema *e = tp_ema_new(m, .5);
    bits live, averages, inside;

    CHECK(train(m, o, e, 0, 4));
    live = module_bits(m), averages = average_bits(e);
    CHECK(tp_ema_copy_to(e, copy));
    CHECK(tp_ema_swap(e));
    inside = module_bits(m);
    CHECK(inside.n == live.n && memcmp(inside.bytes, live.bytes, live.n) != 0 && same(inside, module_bits(copy)));
    CHECK_REFUSED(tp_ema_update(e), TP_ERR_ARG, "the module holds the averages now: swap them back first");
    CHECK_REFUSED(tp_ema_each(e, shoot, &live) >= 0, TP_ERR_ARG, "swap them back first");
    CHECK_REFUSED(tp_ema_copy_to(e, copy), TP_ERR_ARG, "swap them back first");
    CHECK(tp_ema_swap(e) && same(live, module_bits(m)) && same(averages, average_bits(e)));
    live = module_bits(m);
    {
        TP_WITH_EMA(e);
        CHECK(same(module_bits(m), module_bits(copy)));
        tp_fail(TP_ERR_USER, "an evaluation that fails");
    }
    CHECK_REFUSED(false, TP_ERR_USER, "an evaluation that fails");
    CHECK(same(live, module_bits(m)) && train(m, o, e, 4, 6));
    tp_ema_free(e), tp_optim_free(o), tp_nn_free(m), tp_nn_free(copy);
}

/* A graph that saved a parameter must not be used with what was swapped in. */
ON_EACH_DEVICE(average, a_swap_is_seen_by_graphs)
{
    tp_module *m = five(TP_F32, dev);
    tp_ema *e = tp_ema_new(m, .5);
    TP_SCOPE;
    tp_tensor *loss = tp_sum(tp_square(tp_nn_tensor(m, "p")), TP_ALL);

    CHECK(tp_ema_swap(e));
    CHECK_REFUSED(tp_backward(loss), TP_ERR_ARG, "was changed in place");
    tp_ema_free(e), tp_nn_free(m);
}

ON_EACH_DEVICE(average, resumed_bit_for_bit)
{
    tp_module *m[2];
    tp_optim *o[2];
    tp_ema *e[2];
    tp_state *s[2];

    make_test_folder();
    for (int i = 0; i < 2; i++) {
        tp_sgd_opts k = tp_sgd(.1);

        k.momentum = .9;
        m[i] = network(dev), o[i] = tp_optim_sgd(tp_nn_params(m[i], "*"), k), e[i] = tp_ema_new_warm(m[i], .9);
        s[i] = tp_state_new();
        CHECK(tp_state_module(s[i], "net", m[i]) && tp_state_optim(s[i], "opt", o[i]) && tp_state_ema(s[i], "averages", e[i]));
    }
    CHECK(train(m[0], o[0], e[0], 0, 3) && tp_state_save(s[0], in_folder("state")) && tp_state_load(s[1], in_folder("state")));
    CHECK(tp_ema_updates(e[1]) == 3 && same(average_bits(e[0]), average_bits(e[1])));
    CHECK(train(m[0], o[0], e[0], 3, 6) && train(m[1], o[1], e[1], 3, 6));
    CHECK(same(average_bits(e[0]), average_bits(e[1])) && same(module_bits(m[0]), module_bits(m[1])));
    CHECK(tp_ema_swap(e[0]));
    CHECK_REFUSED(tp_state_save(s[0], in_folder("state")), TP_ERR_ARG, "swap them back first");
    for (int i = 0; i < 2; i++)
        tp_state_free(s[i]), tp_ema_free(e[i]), tp_optim_free(o[i]), tp_nn_free(m[i]);
    remove_test_folder();
}

/* ---- memory that ends ---- */

ON_EACH_DEVICE(average, out_of_memory)
{
    tp_module *m = network(dev);
    tp_ema *e = NULL;
    bits before = module_bits(m);
    bool done = false;
    int n = 0;

    for (; !e && n < 1000; n++) {
        CASE("made, allocation %d on %s", n, tp_device_name(dev));
        tp__fail_after = n, e = tp_ema_new(m, .5), tp__fail_after = -1;
        CHECK(e || tp_error_code() == TP_ERR_MEMORY);
        tp_clear_error();
    }
    CHECK(n > 5 && e);
    for (n = 0; !done && n < 1000; n++) {
        CASE("swapped, allocation %d on %s", n, tp_device_name(dev));
        tp__fail_after = n, done = tp_ema_swap(e), tp__fail_after = -1;
        CHECK(done || tp_error_code() == TP_ERR_MEMORY);
        tp_clear_error();
        tp_thread_end(); /* no block that a next try could find again */
    }
    CHECK(tp_ema_swap(e) && same(before, module_bits(m)));
    tp_ema_free(e), tp_nn_free(m);
}

/* ---- refusals ---- */

ON_EACH_DEVICE(average, refusals)
{
    tp_module *m = five(TP_F32, dev), *bare = tp_nn_linear(2, 2), *other = tp_nn_init(tp_nn_linear(2, 2), dev);
    tp_ema *e = tp_ema_new(m, .5);

    CHECK_REFUSED(tp_ema_new(m, 1.5), TP_ERR_ARG, "decay 1.5: 0 to 1 is wanted");
    CHECK_REFUSED(tp_ema_new(m, NAN), TP_ERR_ARG, "decay nan");
    CHECK_REFUSED(tp_ema_new_warm(m, -1), TP_ERR_ARG, "decay -1");
    CHECK_REFUSED(tp_ema_new(NULL, .5), TP_ERR_ARG, "missing module");
    CHECK_REFUSED(tp_ema_new(bare, .5), TP_ERR_ARG, "weight isn't there yet: call tp_nn_init first");
    CHECK_REFUSED(tp_ema_update(NULL), TP_ERR_ARG, "missing averages");
    CHECK_REFUSED(tp_ema_swap(NULL), TP_ERR_ARG, "missing averages");
    CHECK_REFUSED(tp_ema_each(e, NULL, NULL) >= 0, TP_ERR_ARG, "missing function");
    CHECK_REFUSED(tp_ema_tensor(e, "q"), TP_ERR_ARG, "there is no average of q");
    CHECK_REFUSED(tp_ema_copy_to(e, other), TP_ERR_ARG, "the module has 0 of the 1 tensors");
    CHECK(tp_nn_cast(m, TP_F64));
    CHECK_REFUSED(tp_ema_update(e), TP_ERR_DTYPE, "p is f64 (5) on");
    CHECK(tp_nn_cast(m, TP_F32));
    {
        TP_SCOPE;
        CHECK(tp_nn_set(m, "p", tp_requires_grad(tp_zeros(TP_SHAPE(5), TP_F32, dev), true)));
    }
    CHECK_REFUSED(tp_ema_update(e), TP_ERR_ARG, "p was replaced by tp_nn_set");
    tp_ema_free(e), tp_ema_free(NULL), tp_nn_free(m), tp_nn_free(bare), tp_nn_free(other);
}
