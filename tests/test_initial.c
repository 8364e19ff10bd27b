/*
 * test_initial.c - initial values: moments, bounds, orthogonality, fans and gains as
 * torch.nn.init's, the same bits on every machine, and drawing anew by pattern.
 */
#include "tests/check.h"

#include "nn/internal.h"

/* One parameter drawn so, lent. */
static tp_tensor *drawn(tp_shape s, tp_init init)
{
    tp_module *m = tp_nn_container("m");
    tp_tensor *t = NULL;

    if (tp_nn_param(m, "w", s, init) && tp_ok() && tp_nn_init(m, tp_device_open("cpu")))
        t = tp_detach(tp_clone(tp_nn_tensor(m, "w")));
    tp_nn_free(m);
    return t;
}

/* ---- moments ---- */

typedef struct spread {
    double lo, hi, mean, var;
} spread;

static spread spread_of(tp_tensor *t)
{
    spread s = { INFINITY, -INFINITY, 0, 0 };
    double n = (double)tp_count(t);
    const float *v = tp_f32(t);

    for (int64_t i = 0; i < tp_count(t); i++)
        s.lo = fmin(s.lo, v[i]), s.hi = fmax(s.hi, v[i]), s.mean += v[i] / n;
    for (int64_t i = 0; i < tp_count(t); i++)
        s.var += (v[i] - s.mean) * (v[i] - s.mean) / n;
    return s;
}

/* Mean and variance within five deviations of those of n such numbers; kurtosis is E (x - mean)^4 /
 * var^2. */
static void has_moments(tp_tensor *t, double mean, double std, double kurtosis)
{
    spread s = spread_of(t);
    double n = (double)tp_count(t);

    CHECK_NEAR(s.mean, mean, 5 * std / sqrt(n));
    CHECK_NEAR(s.var, std * std, 5 * std * std * sqrt((kurtosis - 1) / n));
}

static void is_uniform(tp_init init, tp_shape s, double bound)
{
    TP_SCOPE;
    tp_tensor *t = drawn(s, init);
    spread p = spread_of(t);

    CHECK(p.lo >= -bound * (1 + 0x1p-23) && p.hi <= bound * (1 + 0x1p-23) &&
          p.hi - p.lo > 2 * bound * (1 - 12 / (double)tp_count(t)));
    has_moments(t, 0, bound / sqrt(3), 1.8);
}

static void is_normal(tp_init init, tp_shape s, double mean, double std)
{
    TP_SCOPE;
    has_moments(drawn(s, init), mean, std, 3);
}

Test(initial, fans_and_gains)
{
    tp_shape conv = TP_SHAPE(40, 10, 3, 3), flat = TP_SHAPE(60, 50); /* fans 90, 360 and 50, 60 */
    tp_kaiming_opts none = { 0 }, relu_out = { .mode = TP_FAN_OUT, .nonlinearity = "relu" };
    tp_kaiming_opts leaky = { .a = sqrt(5) }, tanh_in = { .nonlinearity = "tanh" };

    tp_seed(7);
    CASE("uniform");
    is_uniform(tp_init_uniform(-2, 2), flat, 2);
    CASE("normal");
    is_normal(tp_init_normal(3, .5), flat, 3, .5);
    CASE("xavier");
    is_uniform(tp_init_xavier_uniform(1), flat, sqrt(6. / 110));
    is_uniform(tp_init_xavier_uniform(2), conv, 2 * sqrt(6. / 450));
    is_normal(tp_init_xavier_normal(1), flat, 0, sqrt(2. / 110));
    is_normal(tp_init_xavier_normal(.5), conv, 0, .5 * sqrt(2. / 450));
    CASE("kaiming");
    is_uniform(tp_init_kaiming_uniform(none), flat, sqrt(6. / 50));
    is_uniform(tp_init_kaiming_uniform(leaky), conv, sqrt(1. / 90)); /* what PyTorch's layers begin with */
    is_uniform(tp_init_kaiming_uniform(relu_out), flat, sqrt(6. / 60));
    is_normal(tp_init_kaiming_normal(relu_out), conv, 0, sqrt(2. / 360));
    is_normal(tp_init_kaiming_normal(tanh_in), flat, 0, 5. / 3 / sqrt(50));
    CASE("gains");
    CHECK(tp_init_gain("linear", 9) == 1 && tp_init_gain("sigmoid", 0) == 1 && tp_init_gain("conv2d", 0) == 1 &&
          tp_init_gain("conv_transpose3d", 0) == 1);
    CHECK(tp_init_gain("tanh", 0) == 5. / 3 && tp_init_gain("relu", 0) == sqrt(2) && tp_init_gain("selu", 0) == .75);
    CHECK(tp_init_gain("leaky_relu", 0) == sqrt(2) && tp_init_gain("leaky_relu", .01) == sqrt(2 / (1 + .01 * .01)));
    tp_thread_end();
}

/* ---- truncated normal ---- */

static double density(double z)
{
    return isfinite(z) ? exp(-z * z / 2) / sqrt(2 * M_PI) : 0;
}

/* Above z, without losing what is small. */
static double above(double z)
{
    return erfc(z / sqrt(2)) / 2;
}

/* Mean and variance of a standard normal number within [lo, hi]. */
static void truncated_as_it_should_be(double mean, double std, double a, double b)
{
    double lo = (a - mean) / std, hi = (b - mean) / std, p = above(lo) - above(hi);
    double m = (density(lo) - density(hi)) / p;
    double v = 1 + ((isfinite(lo) ? lo * density(lo) : 0) - (isfinite(hi) ? hi * density(hi) : 0)) / p - m * m;
    spread s;
    tp_tensor *t;

    TP_SCOPE;
    CASE("normal %g %g in %g %g", mean, std, a, b);
    t = drawn(TP_SHAPE(200, 100), tp_init_trunc_normal(mean, std, a, b));
    s = spread_of(t);
    CHECK(s.lo >= (float)a && s.hi <= (float)b);
    has_moments(t, mean + std * m, std * sqrt(v), 9); /* 9 is an exponential's, the widest of them */
}

Test(initial, truncated_normal)
{
    tp_seed(11);
    truncated_as_it_should_be(0, 1, -2, 2);
    truncated_as_it_should_be(0, .02, -2, 2); /* no bound is near */
    truncated_as_it_should_be(1, 2, 0, 4);
    truncated_as_it_should_be(0, 1, -INFINITY, INFINITY);
    truncated_as_it_should_be(0, 1, 1, INFINITY);
    truncated_as_it_should_be(0, 1, 6, 1000);
    truncated_as_it_should_be(0, 1, -1000, -4);
    truncated_as_it_should_be(0, 1, -.01, .01);
    CASE("one place");
    CHECK(check_at(drawn(TP_SHAPE(3), tp_init_trunc_normal(0, 1, .5, .5)), 2) == .5);
    tp_thread_end();
}

/* ---- orthogonal ---- */

/* q of (out, in) has orthonormal rows or columns times gain, and is that factor of the same normal
 * numbers whose other factor is triangular with a positive diagonal. */
static void is_orthogonal(tp_shape s, double gain)
{
    int64_t rows = s.n[0], cols = tp__elements(&s) / rows;
    bool wide = rows < cols;
    int64_t n = wide ? rows : cols;
    tp_tensor *q, *a, *gram, *r;
    double close = 8 * 0x1p-23 * sqrt((double)(wide ? cols : rows));

    TP_SCOPE;
    CASE("%s, gain %g", tp__shape_text(s), gain);
    tp_seed(5), q = tp_cast(tp_reshape(drawn(s, tp_init_orthogonal(gain)), TP_SHAPE(rows, cols)), TP_F64);
    tp_seed(5), a = tp_cast(tp_randn(TP_SHAPE(rows, cols), tp_device_open("cpu")), TP_F64);
    if (wide) q = tp_transpose(q, 0, 1), a = tp_transpose(a, 0, 1);
    gram = tp_matmul(tp_transpose(q, 0, 1), q), r = tp_matmul(tp_transpose(q, 0, 1), a);
    for (int64_t i = 0; i < n * n; i++) {
        CHECK_NEAR(check_at(gram, i), i / n == i % n ? gain * gain : 0, close * gain * gain);
        if (i / n > i % n) CHECK_NEAR(check_at(r, i), 0, close * fabs(gain) * 4 * sqrt((double)rows * (double)cols));
        if (i / n == i % n) CHECK(check_at(r, i) * gain > 0);
    }
}

Test(initial, orthogonal)
{
    is_orthogonal(TP_SHAPE(5, 5), 1);
    is_orthogonal(TP_SHAPE(9, 4), 2);
    is_orthogonal(TP_SHAPE(4, 9), .5);
    is_orthogonal(TP_SHAPE(6, 2, 3, 2), 1);
    is_orthogonal(TP_SHAPE(1, 1), 1);
    is_orthogonal(TP_SHAPE(1, 7), 1);
    is_orthogonal(TP_SHAPE(12, 12), -1);
    CASE("empty");
    CHECK(tp_count(drawn(TP_SHAPE(0, 3), tp_init_orthogonal(1))) == 0 && tp_ok());
    CHECK(tp_count(drawn(TP_SHAPE(3, 0), tp_init_kaiming_normal((tp_kaiming_opts){ 0 }))) == 0 && tp_ok());
    CHECK(tp_count(drawn(TP_SHAPE(0), tp_init_trunc_normal(0, 1, -2, 2))) == 0 && tp_ok());
    CHECK(tp_count(drawn(TP_SHAPE(0, 2, 3), tp_init_dirac(1))) == 0 && tp_ok());
    tp_thread_end();
}

/* ---- identities: they pass on what they are given ---- */

Test(initial, identities)
{
    tp_device *dev = tp_device_open("cpu");
    tp_tensor *w, *x = check_numbers(TP_SHAPE(1, 4, 5, 6), TP_F32, -1, 1, dev), *y;

    CASE("eye");
    w = drawn(TP_SHAPE(2, 3), tp_init_eye());
    for (int i = 0; i < 6; i++)
        CHECK(check_at(w, i) == (i == 0 || i == 4));
    CASE("dirac");
    w = drawn(TP_SHAPE(6, 4, 3, 3), tp_init_dirac(1));
    y = tp_conv2d(x, w, NULL, (tp_conv2d_opts){ .padding = 1 });
    for (int i = 0; i < 6 * 30; i++)
        CHECK(check_at(y, i) == (i < 4 * 30 ? check_at(x, i) : 0));
    w = drawn(TP_SHAPE(4, 2, 3, 5), tp_init_dirac(2));
    y = tp_conv2d(x, w, NULL, (tp_conv2d_opts){ .groups = 2, .padding = 1, .rectangular = true, .padding_w = 2 });
    for (int i = 0; i < 4 * 30; i++)
        CHECK(check_at(y, i) == check_at(x, i));
    w = drawn(TP_SHAPE(3, 2, 4), tp_init_dirac(3)); /* the middle of 4 is 2, as PyTorch's */
    for (int i = 0; i < 24; i++)
        CHECK(check_at(w, i) == (i % 8 == 2));
    tp_thread_end();
}

/* ---- the same bits everywhere ---- */

/* FNV-1a over the numbers. */
static uint32_t print_of(tp_tensor *t)
{
    const unsigned char *p = (const unsigned char *)tp_f32(t);
    uint32_t h = 2166136261u;

    for (int64_t i = 0; p && i < tp_count(t) * 4; i++)
        h = (h ^ p[i]) * 16777619u;
    return h;
}

Test(initial, same_bits_everywhere)
{
    static const struct {
        const char *name;
        tp_init init;
        uint32_t print;
    } kind[] = {
        { "uniform", { TP_INIT_UNIFORM, -.3, .7, 0, 0 }, 0x92765519 },
        { "normal", { TP_INIT_NORMAL, .1, .3, 0, 0 }, 0x6ae470c9 },
        { "trunc_normal", { TP_INIT_TRUNC_NORMAL, .1, .3, -.2, .9 }, 0x4d268679 },
        { "xavier_uniform", { TP_INIT_XAVIER_UNIFORM, 1.5, 0, 0, 0 }, 0x92af77e3 },
        { "xavier_normal", { TP_INIT_XAVIER_NORMAL, 1.5, 0, 0, 0 }, 0xe0520f57 },
        { "kaiming_uniform", { TP_INIT_KAIMING_UNIFORM, 1.5, TP_FAN_IN, 0, 0 }, 0xa23ca257 },
        { "kaiming_normal", { TP_INIT_KAIMING_NORMAL, 1.5, TP_FAN_OUT, 0, 0 }, 0xd90243d },
        { "orthogonal", { TP_INIT_ORTHOGONAL, 1.5, 0, 0, 0 }, 0xa4088ac4 },
    };

    for (int i = 0; i < TP_LEN(kind); i++) {
        TP_SCOPE;
        tp_tensor *t;

        tp_seed(2024), t = drawn(TP_SHAPE(17, 23), kind[i].init);
        cr_expect(print_of(t) == kind[i].print, "%s: %#x", kind[i].name, print_of(t));
    }
    tp_thread_end();
}

/* ---- by pattern ---- */

static tp_module *network(void)
{
    tp_embedding_opts padded = tp_embedding_defaults();

    padded.padding_idx = 1;
    return tp_nn_sequential((tp_module *[]){ tp_nn_embedding_with(4, 3, padded), tp_nn_linear(3, 5), tp_nn_linear(5, 2) }, 3);
}

static bool equal(tp_module *a, tp_module *b, const char *name)
{
    tp_tensor *x = tp_nn_tensor(a, name), *y = tp_nn_tensor(b, name);
    bool same = x && y && tp_count(x) == tp_count(y);

    for (int64_t i = 0; same && i < tp_count(x); i++)
        same = check_at(x, i) == check_at(y, i);
    return same;
}

ON_EACH_DEVICE(initial, described_and_drawn_are_drawn_alike)
{
    tp_kaiming_opts relu = { .nonlinearity = "relu" };
    tp_module *late = tp_nn_init(network(), dev), *early = network();
    tp_tensor *w = tp_nn_tensor(late, "1.weight");
    double bias = check_at(tp_nn_tensor(late, "2.bias"), 0);
    TP_SCOPE;

    CHECK(tp_nn_init_as(tp_nn_params(early, "*.weight"), tp_init_kaiming_normal(relu)) == 3);
    CHECK(tp_nn_init_as(tp_nn_params(early, "*.bias"), tp_init_constant(.5)) == 2);
    CHECK(!tp_nn_tensor(early, "1.weight"));
    tp_seed(1);
    CHECK(tp_nn_init(early, dev));
    CHECK(tp_nn_freeze(late, "1.*", true) == 2);
    tp_seed(1);
    CHECK(tp_nn_init_as(tp_nn_params(late, "*.weight"), tp_init_kaiming_normal(relu)) == 3);
    CHECK(equal(early, late, "0.weight") && equal(early, late, "1.weight") && equal(early, late, "2.weight"));
    CHECK(check_at(tp_nn_tensor(early, "2.bias"), 1) == .5 && check_at(tp_nn_tensor(late, "2.bias"), 0) == bias);
    CHECK(tp_nn_tensor(late, "1.weight") == w && !tp_needs_grad(w) && tp_needs_grad(tp_nn_tensor(late, "2.weight")));
    CHECK(check_at(tp_nn_tensor(late, "0.weight"), 3) == 0 && check_at(tp_nn_tensor(late, "0.weight"), 2) != 0);
    CHECK(tp_nn_init_as(tp_nn_params(late, "0.*"), tp_init_constant(2)) == 1);
    CHECK(check_at(tp_nn_tensor(late, "0.weight"), 5) == 0 && check_at(tp_nn_tensor(late, "0.weight"), 6) == 2);
    tp_nn_free(late), tp_nn_free(early);
}

ON_EACH_DEVICE(initial, dtypes_ties_and_graphs)
{
    tp_module *m = tp_nn_sequential((tp_module *[]){ tp_nn_linear(3, 3), tp_nn_linear(3, 3) }, 2);
    TP_SCOPE;
    tp_tensor *x, *y;
    tp_rng after;

    tp_nn_init(m, dev);
    CHECK(tp_nn_set(m, "1.weight", tp_nn_tensor(m, "0.weight")) && tp_nn_cast(m, TP_F64));
    tp_seed(3);
    CHECK(tp_nn_init_as(tp_nn_params(m, "*.weight"), tp_init_orthogonal(1)) == 2);
    after = tp_rng_save(), tp_seed(3);
    x = tp_randn(TP_SHAPE(3, 3), dev);
    CHECK(tp_rng_save().offset == after.offset && tp_dtype_of(tp_nn_tensor(m, "1.weight")) == TP_F64); /* one draw for both */
    CHECK(tp_nn_tensor(m, "1.weight") == tp_nn_tensor(m, "0.weight"));
    y = tp_nn_forward(m, tp_cast(x, TP_F64));
    CHECK(tp_nn_init_as(tp_nn_params(m, "1.weight"), tp_init_constant(.1)) == 1);
    CHECK(check_at(tp_nn_tensor(m, "0.weight"), 4) == .1); /* a constant is exact in its dtype */
    CHECK(!tp_backward(tp_sum(y, TP_ALL)) && strstr(tp_error(), "changed")); /* what it saved is gone */
    tp_clear_error();
    tp_nn_free(m);
}

/* What PyTorch's programs do: for p in parameters: if p.dim() > 1. */
static bool draw_matrix(void *user, const char *name, tp_tensor **t)
{
    return tp_rank(*t) < 2 || tp_nn_init_as(tp_nn_params(user, name), tp_init_orthogonal(1)) == 1;
}

ON_EACH_DEVICE(initial, matrices_alone)
{
    tp_module *m = tp_nn_sequential((tp_module *[]){ tp_nn_linear(2, 2), tp_nn_batch_norm(2), tp_nn_linear(2, 2) }, 3);
    TP_SCOPE;
    tp_tensor *gram;

    tp_nn_init(m, dev);
    CHECK(tp_nn_each(tp_nn_params(m, "*"), false, draw_matrix, m) == 6);
    gram = tp_matmul(tp_nn_tensor(m, "2.weight"), tp_transpose(tp_nn_tensor(m, "2.weight"), 0, 1));
    CHECK_NEAR(check_at(gram, 0), 1, 8 * 0x1p-23 * sqrt(2));
    CHECK_NEAR(check_at(gram, 1), 0, 8 * 0x1p-23 * sqrt(2));
    CHECK(check_at(tp_nn_tensor(m, "1.weight"), 1) == 1);
    tp_nn_free(m);
}

/* ---- refusals ---- */

#define PARAM(s, init, code, text) CHECK_REFUSED(tp_nn_param(m, "w", s, init), code, "tp_nn_param: " text)

Test(initial, refusals)
{
    tp_module *m = tp_nn_init(network(), tp_device_open("cpu"));
    double first = check_at(tp_nn_tensor(m, "0.weight"), 0);
    tp_init bad;

    CASE("refusals");
    PARAM(TP_SHAPE(3), tp_init_xavier_uniform(1), TP_ERR_SHAPE, "w is (3): fans are of 2 axes or more");
    PARAM(TP_SCALAR, tp_init_kaiming_normal((tp_kaiming_opts){ 0 }), TP_ERR_SHAPE, "w is (): fans");
    PARAM(TP_SHAPE(3), tp_init_orthogonal(1), TP_ERR_SHAPE, "w is (3): orthogonal is a matrix");
    PARAM(TP_SHAPE(3, 3, 3), tp_init_eye(), TP_ERR_SHAPE, "w is (3, 3, 3): an identity has 2 axes");
    PARAM(TP_SHAPE(3, 3), tp_init_dirac(1), TP_ERR_SHAPE, "w is (3, 3): dirac is for a convolution's weight");
    PARAM(TP_SHAPE(3, 3, 3), tp_init_dirac(2), TP_ERR_ARG, "w is (3, 3, 3): its first axis has no 2 groups");
    PARAM(TP_SHAPE(3, 3, 3), tp_init_dirac(0), TP_ERR_ARG, "w is (3, 3, 3): its first axis has no 0 groups");
    PARAM(TP_SHAPE(3), tp_init_uniform(1, 0), TP_ERR_ARG, "w: uniform from 1 to 0");
    PARAM(TP_SHAPE(3), tp_init_normal(0, -1), TP_ERR_ARG, "w: a deviation of -1");
    PARAM(TP_SHAPE(3), tp_init_trunc_normal(0, 0, -1, 1), TP_ERR_ARG, "w: normal with mean 0 and deviation 0");
    PARAM(TP_SHAPE(3), tp_init_trunc_normal(0, 1, 1, -1), TP_ERR_ARG, "w: normal with mean 0 and deviation 1 from 1 to -1");
    PARAM(TP_SHAPE(3, 3), tp_init_orthogonal(NAN), TP_ERR_ARG, "w: a gain of nan");
    PARAM(TP_SHAPE(3, 3), tp_init_kaiming_normal((tp_kaiming_opts){ .mode = (tp_fan)5 }), TP_ERR_ARG, "w: there is no fan 5");
    CHECK_REFUSED(tp_nn_param(m, "w", TP_SHAPE(2), (tp_init){ .kind = (tp_init_kind)11 }), TP_ERR_ARG, "no kind 11");
    CHECK_REFUSED(isnan(tp_init_gain("gelu", 0)) ? 0 : 1, TP_ERR_ARG, "tp_init_gain: there is no gain for \"gelu\"");
    CHECK_REFUSED(isnan(tp_init_gain(NULL, 0)) ? 0 : 1, TP_ERR_ARG, "missing nonlinearity");
    bad = tp_init_kaiming_normal((tp_kaiming_opts){ .nonlinearity = "swish" });
    CHECK_REFUSED(tp_nn_param(m, "w", TP_SHAPE(2, 2), bad), TP_ERR_ARG, "there is no gain for \"swish\"");
    PARAM(TP_SHAPE(2, 2), bad, TP_ERR_ARG, "w: a gain of nan");
    /* one that doesn't fit, and none is drawn */
    CHECK_REFUSED(tp_nn_init_as(tp_nn_params(m, "*"), tp_init_orthogonal(1)) >= 0, TP_ERR_SHAPE,
                  "tp_nn_init_as: 1.bias is (5): orthogonal");
    CHECK(check_at(tp_nn_tensor(m, "0.weight"), 0) == first);
    CHECK_REFUSED(tp_nn_init_as(tp_nn_params(m, "3.*"), tp_init_constant(1)) >= 0, TP_ERR_ARG,
                  "no parameter's name matches \"3.*\"");
    CHECK_REFUSED(tp_nn_init_as(tp_nn_params(NULL, "*"), tp_init_constant(1)) >= 0, TP_ERR_ARG, "missing module or pattern");
    tp_nn_free(m);
}
