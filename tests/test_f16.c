/*
 * test_f16.c - autocast to f16, where a device computes it: what runs in which dtype, and trainings
 * whose scaler skips the steps that overflow.
 */
#include "tests/files.h"

static bool computes(tp_device *dev)
{
    return strcmp(tp_device_name(dev), "cpu") != 0;
}

/* ---- what runs in which dtype: torch's lists for "cuda", and mean: its sum may be large ---- */

/* clang-format off */
#define OP(name, y) static tp_tensor *op_##name(tp_tensor *x) { return y; }
/* clang-format on */
static const tp_loss_opts sum_of = { TP_SUM };
OP(matmul, tp_matmul(x, x))
OP(linear, tp_linear(x, x, NULL))
OP(einsum, tp_einsum("ij,jk->ik", TP_LIST(x, x)))
OP(add, tp_add(x, x))
OP(relu, tp_relu(x))
OP(tanh, tp_tanh(x))
OP(gelu, tp_gelu(x))
OP(mean, tp_mean(x, TP_ALL))
OP(amax, tp_amax(x, TP_ALL))
OP(exp, tp_exp(x))
OP(expm1, tp_expm1(x))
OP(log, tp_log(x))
OP(log1p, tp_log1p(x))
OP(pow, tp_pow(x, x))
OP(pow_scalar, tp_pow_scalar(x, 2.5))
OP(reciprocal, tp_reciprocal(x))
OP(rsqrt, tp_rsqrt(x))
OP(softplus, tp_softplus(x, 1, 20))
OP(softmax, tp_softmax(x, 1))
OP(log_softmax, tp_log_softmax(x, 1))
OP(logsumexp, tp_logsumexp(x, TP_ALL))
OP(sum, tp_sum(x, TP_ALL))
OP(norm, tp_norm(x, 2, TP_ALL))
OP(var, tp_var(x, TP_ALL, 1))
OP(cumsum, tp_cumsum(x, 1))
OP(cumprod, tp_cumprod(x, 1))
OP(prod, tp_prod(x, TP_ALL))
OP(layer_norm, tp_layer_norm(x, TP_SHAPE(2), NULL, NULL, 1e-5))
OP(rms_norm, tp_rms_norm(x, TP_SHAPE(2), NULL, 1e-5))
OP(group_norm, tp_group_norm(tp_reshape(x, TP_SHAPE(1, 2, 2)), 1, NULL, NULL, 1e-5))
OP(mse, tp_mse(x, x))
OP(l1, tp_l1_loss(x, x, sum_of))

/* clang-format off */
enum { NARROW = TP_DTYPES }; /* the one of autocast */
#define DOWN(name) { #name, op_##name, NARROW, NARROW }
#define UP(name)   { #name, op_##name, TP_F32, TP_F32 }
#define AS(name)   { #name, op_##name, TP_F32, NARROW }
/* clang-format on */
static const struct row {
    const char *name;
    tp_tensor *(*f)(tp_tensor *x);
    int of_f32, of_narrow;
} rows[] = { DOWN(matmul),   DOWN(linear), DOWN(einsum),   AS(add),      AS(relu),
             AS(tanh),       AS(gelu),     AS(amax),       UP(mean),     UP(exp),
             UP(expm1),      UP(log),      UP(log1p),      UP(pow),      UP(pow_scalar),
             UP(reciprocal), UP(rsqrt),    UP(softplus),   UP(softmax),  UP(log_softmax),
             UP(logsumexp),  UP(sum),      UP(norm),       UP(var),      UP(cumsum),
             UP(cumprod),    UP(prod),     UP(layer_norm), UP(rms_norm), UP(group_norm),
             UP(mse),        UP(l1) };

static void check_row(const struct row *r, tp_tensor *x, tp_dtype narrow)
{
    tp_tensor *a = r->f(x), *b = r->f(tp_cast(x, narrow));

    CASE("%s, %s", r->name, tp_dtype_name(narrow));
    cr_expect(a && tp_dtype_of(a) == (r->of_f32 == NARROW ? narrow : TP_F32), "%s: of f32 %s  [%s]", check_name,
              tp_dtype_name(tp_dtype_of(a)), tp_error());
    cr_expect(b && tp_dtype_of(b) == (r->of_narrow == NARROW ? narrow : TP_F32), "%s: of itself %s  [%s]",
              check_name, tp_dtype_name(tp_dtype_of(b)), tp_error());
    CHECK(tp_zero_grad(x) && tp_backward(tp_sum(tp_cast(a, TP_F32), TP_ALL)) && tp_dtype_of(tp_grad(x)) == TP_F32);
}

/* torch.autocast("cuda"): the same lists for both. */
ON_EACH_DEVICE(f16, dtypes)
{
    tp_tensor *x = tp_requires_grad(
        tp_from((float[]){ 0.5f, 2, 1, 0.25f }, TP_SHAPE(2, 2), TP_F32, dev), true);

    for (tp_dtype d = TP_BF16; computes(dev) && d <= TP_F16; d++) {
        TP_AUTOCAST(d);
        for (int i = 0; i < TP_LEN(rows); i++)
            check_row(&rows[i], x, d);
    }
}

ON_EACH_DEVICE(f16, range)
{
    tp_tensor *x = tp_requires_grad(
        tp_from((float[]){ 0.5f, 2, 1, 0.25f }, TP_SHAPE(2, 2), TP_F32, dev), true);
    TP_AUTOCAST(TP_F16);

    if (!computes(dev)) {
        CHECK_REFUSED(tp_matmul(x, x), TP_ERR_DTYPE, "not offered for f16");
        CHECK(tp_dtype_of(tp_exp(x)) == TP_F32);
        return;
    }
    CASE("beyond 65504");
    CHECK_NEAR(
        check_at(tp_exp(tp_cast(tp_full(TP_SHAPE(1), 12, TP_F32, dev), TP_F16)), 0),
        exp(12), 1);
    CHECK(check_at(tp_sum(tp_cast(tp_full(TP_SHAPE(70, 1), 1024, TP_F32, dev), TP_F16),
                          TP_ALL),
                   0) == 71680);
    CASE("bf16 inside, and a leaf's cast of each kind");
    {
        TP_AUTOCAST(TP_BF16);
        CHECK(tp_dtype_of(tp_matmul(x, x)) == TP_BF16);
    }
    CHECK(tp_dtype_of(tp_matmul(x, x)) == TP_F16);
}

/* ---- trainings ---- */

static double grown; /* times this are the losses */

static tp_tensor *loss(tp_tensor *y, tp_batch b, void *unused)
{
    return (void)unused, tp_scale(tp_mse(y, b.y), grown);
}

static tp_module *network(tp_device *dev)
{
    tp_module *l[] = { tp_nn_linear(3, 8), tp_nn_tanh(), tp_nn_linear(8, 1) };

    tp_seed(5);
    return tp_nn_init(tp_nn_sequential(l, TP_LEN(l)), dev);
}

static tp_loader *points(tp_device *dev)
{
    float x[3 * 16], y[16];
    TP_SCOPE;

    for (int i = 0; i < 48; i++)
        x[i] = (float)sin(i * i);
    for (int i = 0; i < 16; i++)
        y[i] = x[3 * i] - x[3 * i + 1] * x[3 * i + 2];
    return tp_data_loader(
        tp_data_tensors(
            TP_LIST(tp_from(x, TP_SHAPE(16, 3), TP_F32, tp_device_open("cpu")),
                    tp_from(y, TP_SHAPE(16, 1), TP_F32, tp_device_open("cpu")))),
        (tp_loader_opts){ .batch = 8, .shuffle = true, .device = dev });
}

/* The last loss of so many steps; the first weight goes to *w. */
static double trained(tp_device *dev, tp_dtype amp, int64_t steps, const char *save,
                      const char *resume, double *w)
{
    tp_module *m = network(dev);
    tp_loader *l = points(dev);
    tp_optim *opt = tp_optim_adam(tp_nn_params(m, "*"), tp_adam(1e-2));
    tp_fit_result r;

    CHECK(tp_train_fit(m,
                       (tp_fit_opts){ .optim = opt,
                                      .train = l,
                                      .loss = loss,
                                      .steps = steps,
                                      .clip_norm = 10 * grown,
                                      .amp = amp,
                                      .checkpoint = save,
                                      .resume = resume },
                       &r));
    *w = check_at(tp_nn_tensor(m, "0.weight"), 0);
    tp_optim_free(opt), tp_nn_free(m), tp_data_free(l);
    return r.at.loss;
}

ON_EACH_DEVICE(f16, trains_as_f32)
{
    double w, first, wide, narrow, again;

    make_test_folder();
    grown = 1;
    if (!computes(dev)) {
        tp_module *m = network(dev);
        tp_loader *l = points(dev);
        tp_optim *opt = tp_optim_adam(tp_nn_params(m, "*"), tp_adam(1e-2));

        CHECK_REFUSED(
            tp_train_fit(
                m,
                (tp_fit_opts){
                    .optim = opt, .train = l, .loss = loss, .steps = 1, .amp = TP_F16 },
                NULL),
            TP_ERR_DTYPE, "f16");
        tp_optim_free(opt), tp_nn_free(m), tp_data_free(l), remove_test_folder();
        return;
    }
    first = trained(dev, TP_F32, 1, NULL, NULL, &w),
    wide = trained(dev, TP_F32, 24, NULL, NULL, &w);
    narrow = trained(dev, TP_F16, 24, in_folder("whole"), NULL, &w);
    CHECK(wide < first / 2 && narrow < first / 2);
    CHECK_NEAR(narrow, wide,
               0.05 * wide + 0.01 * first); /* 24 steps of products with 11 bits */
    CASE("goes on to the same bits");
    trained(dev, TP_F16, 11, in_folder("part"), NULL, &w),
        trained(dev, TP_F16, 24, in_folder("part"), in_folder("part"), &again);
    trained(dev, TP_F16, 24, NULL, NULL, &w);
    CHECK(w == again);
    remove_test_folder();
}

/* Gradients beyond 65504 times the first scale: those steps aren't made, until the scale fits. */
ON_EACH_DEVICE(f16, steps_that_overflow_are_skipped)
{
    double start, w[3];
    tp_module *m;

    if (!computes(dev)) return;
    grown = 64, m = network(dev), start = check_at(tp_nn_tensor(m, "0.weight"), 0),
    tp_nn_free(m);
    for (int i = 0; i < 3; i++)
        trained(dev, TP_F16, (int64_t[]){ 1, 2, 20 }[i], NULL, NULL, &w[i]);
    CHECK(w[0] == start && w[2] != start);
    grown = 1;
}

static tp_tensor *turn_loss(tp_module *m, tp_batch b, void *unused)
{
    return (void)unused, tp_mse(tp_nn_forward(m, b.x), b.y);
}

ON_EACH_DEVICE(f16, by_turns)
{
    tp_module *m = network(dev);
    tp_loader *l = points(dev);
    tp_turn turn[] = {
        { "first", tp_optim_adam(tp_nn_params(m, "0.*"), tp_adam(1e-2)), turn_loss, 2 },
        { "last", tp_optim_adam(tp_nn_params(m, "2.*"), tp_adam(1e-2)), turn_loss, 0 }
    };
    tp_turns_opts o = { .turn = turn, .n = 2, .train = l, .steps = 1, .amp = TP_F16 };
    tp_fit_result one, many;

    if (!computes(dev))
        CHECK_REFUSED(tp_train_turns(m, o, NULL), TP_ERR_DTYPE, "f16");
    else {
        CHECK(tp_train_turns(m, o, &one));
        o.steps = 30;
        CHECK(tp_train_turns(m, o, &many) && many.at.loss < one.at.loss / 2);
    }
    tp_optim_free(turn[0].optim), tp_optim_free(turn[1].optim), tp_nn_free(m),
        tp_data_free(l);
}
