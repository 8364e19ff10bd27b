/*
 * test_clip.c - gradients clipped by a norm of any order, against PyTorch's clip_grad_norm_;
 * norms that aren't finite; refusals.
 */
#include "tests/calls.h"

#ifndef TP_GOLDEN
#define TP_GOLDEN "tests/golden"
#endif

enum { PARAMS = 3, CASES = 7 };

static tp_tensor *get(const tp_file *f, int c, const char *what, int i, tp_device *dev)
{
    char full[64];

    if (i < 0) snprintf(full, sizeof full, "clip.%d.%s", c, what);
    else snprintf(full, sizeof full, "clip.%d.%s.%d", c, what, i);
    return tp_file_read(f, tp_file_find(f, full), dev);
}

static tp_tensor *param(tp_module *m, int i)
{
    return tp_nn_tensor(m, i == 0 ? "p0" : i == 1 ? "p1" : "p2");
}

/* p0 (3, 4), p1 (5), p2 (2, 6), and an empty one. */
static tp_module *params(tp_dtype d, tp_device *dev)
{
    tp_module *m = tp_nn_container("params");

    tp_nn_param(m, "p0", TP_SHAPE(3, 4), (tp_init){ 0 }),
        tp_nn_param(m, "p1", TP_SHAPE(5), (tp_init){ 0 });
    tp_nn_param(m, "p2", TP_SHAPE(2, 6), (tp_init){ 0 }),
        tp_nn_param(m, "none", TP_SHAPE(0), (tp_init){ 0 });
    CHECK(tp_nn_cast(m, d));
    return tp_nn_init(m, dev);
}

static void give(tp_tensor *p, tp_tensor *g)
{
    TP_SCOPE;
    CHECK(tp_zero_grad(p) && tp_backward(tp_sum(tp_mul(p, tp_cast(g, tp_dtype_of(p))), TP_ALL)));
}

static void clip_one(const tp_file *f, int c, tp_dtype d, tp_device *dev)
{
    TP_SCOPE;
    tp_module *m = params(d, dev);
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
    tp_tensor *k = get(f, c, "fopts", -1, dev), *norm;
    double want = check_at(get(f, c, "norm", -1, dev), 0), eps = d == TP_F64   ? 0x1p-52
                                                                 : d == TP_F32 ? 0x1p-23
                                                                               : 0x1p-8;

    for (int i = 0; i < PARAMS; i++)
        give(param(m, i), get(f, c, "grad", i, dev));
    give(tp_nn_tensor(m, "none"), tp_zeros(TP_SHAPE(0), d, dev));
    norm = tp_optim_clip_norm_with(
        o, check_at(k, 0),
        (tp_clip_opts){ .norm_type = check_at(k, 1), .error_if_nonfinite = c % 2 });
    CASE("clip %d in %s on %s", c, tp_dtype_name(d), tp_device_name(dev));
    CHECK(tp_dtype_of(norm) == TP_F64);
    CHECK_NEAR(check_at(norm, 0), want, 8 * eps * sqrt(29) * want);
    for (int i = 0; i < PARAMS; i++) {
        tp_tensor *after = get(f, c, "after", i, dev), *g = tp_grad(param(m, i));

        for (int64_t e = 0; e < tp_count(after); e++)
            CHECK_NEAR(check_at(g, e), check_at(after, e),
                       8 * eps * sqrt(29) * fmax(fabs(check_at(after, e)), eps));
    }
    tp_optim_free(o), tp_nn_free(m);
}

ON_EACH_DEVICE(clip, norms_of_each_order)
{
    static const tp_dtype dtype[] = { TP_F64, TP_F32, TP_BF16 };
    tp_file *f = tp_file_open(TP_GOLDEN "/clip.safetensors");

    cr_assert(f, "%s", tp_error());
    for (int c = 0; c < CASES; c++)
        for (int d = 0; d < TP_LEN(dtype); d++)
            clip_one(f, c, dtype[d], dev);
    tp_file_close(f);
}

ON_EACH_DEVICE(clip, not_finite)
{
    static const double order[] = { 1, 2, 3, INFINITY }, bad[] = { NAN, INFINITY };

    for (int p = 0; p < TP_LEN(order); p++)
        for (int b = 0; b < 2; b++) {
            TP_SCOPE;
            tp_module *m = params(TP_F32, dev);
            tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));
            tp_clip_opts k = { .norm_type = order[p], .error_if_nonfinite = true };
            tp_tensor *norm;

            CASE("order %g, %g on %s", order[p], bad[b], tp_device_name(dev));
            give(param(m, 0), tp_ones(TP_SHAPE(3, 4), TP_F32, dev));
            give(param(m, 1), tp_full(TP_SHAPE(5), bad[b], TP_F32, dev));
            CHECK_REFUSED(tp_optim_clip_norm_with(o, 1, k), TP_ERR_NONFINITE,
                          "they were left as they are");
            CHECK(check_at(tp_grad(param(m, 0)), 0) == 1);
            k.error_if_nonfinite = false, norm = tp_optim_clip_norm_with(o, 1, k);
            CHECK(norm && !isfinite(check_at(norm, 0)));
            CHECK(b ? check_at(tp_grad(param(m, 0)), 0) == 0
                    : isnan(check_at(tp_grad(param(m, 0)), 0)));
            tp_optim_free(o), tp_nn_free(m);
        }
}

ON_EACH_DEVICE(clip, refusals_and_no_gradients)
{
    TP_SCOPE;
    tp_module *m = params(TP_F32, dev);
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(1));

    for (int p = 0; p < 3; p++) /* none has arrived: 0, and nothing to scale */
        CHECK(check_at(tp_optim_clip_norm_with(
                           o, 1, (tp_clip_opts){ .norm_type = p == 2 ? INFINITY : p }),
                       0) == 0);
    ARG(tp_optim_clip_norm_with(o, 1, (tp_clip_opts){ .norm_type = -1 }),
        "norm_type -1: more than 0 is wanted");
    ARG(tp_optim_clip_norm_with(o, 1, (tp_clip_opts){ .norm_type = NAN }), "norm_type nan");
    ARG(tp_optim_clip_norm_with(o, -1, (tp_clip_opts){ .norm_type = 1 }), "a norm of at most -1");
    ARG(tp_optim_clip_norm_with(NULL, 1, (tp_clip_opts){ 0 }), "missing optimizer");
    for (long n = 0; n < 30; n++) {
        bool ok;
        TP_SCOPE;

        give(param(m, 1), tp_ones(TP_SHAPE(5), TP_F32, dev));
        tp__fail_after = n,
        ok = tp_optim_clip_norm_with(o, 1, (tp_clip_opts){ .norm_type = 1 }) != NULL,
        tp__fail_after = -1;
        CASE("allocation %ld on %s", n, tp_device_name(dev));
        CHECK(ok ? tp_ok() : tp_error_code() == TP_ERR_MEMORY);
        tp_clear_error();
        CHECK(check_at(tp_grad(param(m, 1)), 0) == (ok ? (float)(1 / (5 + 1e-6)) : 1));
    }
    tp_optim_free(o), tp_nn_free(m);
}
