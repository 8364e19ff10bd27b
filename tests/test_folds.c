/*
 * test_folds.c - folds over axes, scans and order.
 */
#include "tests/golden.h"
#include "tests/gradients.h"

/* ---- derivatives ---- */

F(f_prod, tp_prod(a, TP_AXES(1)))
F(f_prod_first, tp_prod(a, TP_AXES(0, 2)))
F(f_prod_all, tp_prod(a, TP_ALL))
F(f_amax, tp_square(tp_amax(a, TP_AXES(1))))
F(f_amin, tp_square(tp_amin(a, TP_AXES(0))))
F(f_max_along, tp_square(tp_max_along(a, 1, NULL)))
F(f_min_along, tp_square(tp_min_along(a, 0, NULL)))
F(f_median, tp_square(tp_median(a, -1, NULL)))
F(f_var, tp_var(a, TP_AXES(1), 1))
F(f_var_all, tp_var(a, TP_KEEPDIM(0, 2), 0))
F(f_std, tp_std(a, TP_ALL, 1))
static tp_tensor *var_and_mean(tp_tensor *x, tp_axes axes, double correction)
{
    tp_tensor *mean, *var = tp_var_mean(x, axes, correction, &mean);

    return tp_add(var, tp_square(mean));
}

F(f_var_mean, var_and_mean(a, TP_AXES(1), 1))
F(f_norm1, tp_norm(a, 1, TP_AXES(0)))
F(f_norm2, tp_norm(a, 2, TP_AXES(1)))
F(f_norm3, tp_norm(a, 3, TP_ALL))
F(f_norm_half, tp_norm(a, 0.5, TP_AXES(1)))
F(f_norm_inf, tp_norm(a, INFINITY, TP_AXES(1)))
F(f_norm_least, tp_norm(a, -INFINITY, TP_AXES(1)))
F(f_logsumexp, tp_logsumexp(a, TP_AXES(1)))
F(f_logsumexp_keep, tp_logsumexp(a, TP_KEEPDIM(0)))
F(f_cumsum, tp_square(tp_cumsum(a, 1)))
F(f_cumprod, tp_cumprod(a, 0))
F(f_cummax, tp_square(tp_cummax(a, 1, NULL)))
F(f_cummin, tp_square(tp_cummin(a, 0, NULL)))
F(f_sort, tp_mul(tp_sort(a, 1, true, NULL), b))
F(f_topk, tp_square(tp_topk(a, 2, 1, true, NULL)))

static const row rows[] = {
    { "prod", f_prod, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "prod two axes", f_prod_first, 1, { R3(2, 3, 2) }, -1, NULL, 0 },
    { "prod of all", f_prod_all, 1, { R2(2, 2) }, -1, NULL, 0 },
    { "prod of a number", f_prod_all, 1, { R0 }, -1, NULL, 0 },
    { "amax", f_amax, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "amin", f_amin, 1, { R3(2, 3, 2) }, -1, NULL, 0 },
    { "max_along", f_max_along, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "min_along", f_min_along, 1, { R3(2, 3, 2) }, -1, NULL, 0 },
    { "median", f_median, 1, { R2(2, 4) }, -1, NULL, 0 },
    { "var", f_var, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "var two axes", f_var_all, 1, { R3(2, 3, 2) }, -1, NULL, 0 },
    { "std", f_std, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "var and mean", f_var_mean, 1, { R3(2, 3, 2) }, -1, NULL, 0 },
    { "norm 1", f_norm1, 1, { R2(2, 3) }, 0.25, NULL, 0 },
    { "norm 2", f_norm2, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "norm 3", f_norm3, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "norm 1/2", f_norm_half, 1, { R2(2, 3) }, 0.25, NULL, 0 },
    { "norm inf", f_norm_inf, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "norm -inf", f_norm_least, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "logsumexp", f_logsumexp, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "logsumexp first", f_logsumexp_keep, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "cumsum", f_cumsum, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "cumprod", f_cumprod, 1, { R2(3, 2) }, -1, NULL, ONCE },
    { "cummax", f_cummax, 1, { R2(2, 4) }, -1, NULL, 0 },
    { "cummin", f_cummin, 1, { R2(3, 2) }, -1, NULL, 0 },
    { "sort", f_sort, 2, { R2(2, 4), R2(2, 4) }, -1, NULL, 0 },
    { "topk", f_topk, 1, { R2(2, 4) }, -1, NULL, 0 },
};

GRADIENTS(folds, rows)

/* ---- PyTorch's values ---- */

#define FOLD(op) static bool run_##op(kase *k) { return ONE(k, tp_##op(k->in[0], fold_of(k))); }
#define SPREAD(op) static bool run_##op(kase *k) { return ONE(k, tp_##op(k->in[0], fold_of(k), k->fopts[0])); }
#define SCAN(op) static bool run_##op(kase *k) { return ONE(k, tp_##op(k->in[0], (int)k->opts[0])); }
#define PLACES(op)                                                                       \
    static bool run_##op(kase *k)                                                        \
    {                                                                                    \
        k->out[0] = tp_##op(k->in[0], (int)k->opts[0], &k->out[1]), k->n_out = 2;        \
        return k->out[0] && k->out[1];                                                   \
    }

FOLD(amax) FOLD(amin) FOLD(logsumexp) FOLD(prod) SPREAD(var) SPREAD(std) SCAN(cumsum) SCAN(cumprod)
PLACES(cummax) PLACES(cummin) PLACES(max_along) PLACES(min_along) PLACES(median)

static bool run_prod_zeros(kase *k)
{
    return run_prod(k);
}

static bool run_norm(kase *k)
{
    return ONE(k, tp_norm(k->in[0], k->fopts[0], fold_of(k)));
}

static bool run_sort(kase *k)
{
    k->out[0] = tp_sort(k->in[0], (int)k->opts[0], k->opts[1], &k->out[1]), k->n_out = 2;
    return k->out[0] && k->out[1];
}

static bool run_topk(kase *k)
{
    k->out[0] = tp_topk(k->in[0], k->opts[0], (int)k->opts[1], k->opts[2], &k->out[1]), k->n_out = 2;
    return k->out[0] && k->out[1];
}

GOLDEN(extremes, R(amax), R(amin), R(logsumexp))
GOLDEN(variance, R(var), R(std))
GOLDEN(norms, R(norm), R(prod))
GOLDEN(scan, R(cumsum), R(cumprod), R(cummax), R(cummin), R(prod_zeros))
GOLDEN(order, R(max_along), R(min_along), R(median), R(sort), R(topk))

/* ---- long lanes of every form, against plain loops in double ---- */

typedef tp_tensor *folding(tp_tensor *x, tp_axes axes);

static tp_tensor *var_of(tp_tensor *x, tp_axes axes) { return tp_var(x, axes, 1); }
static tp_tensor *std_of(tp_tensor *x, tp_axes axes) { return tp_std(x, axes, 0); }
static tp_tensor *norm2(tp_tensor *x, tp_axes axes) { return tp_norm(x, 2, axes); }
static tp_tensor *norm3(tp_tensor *x, tp_axes axes) { return tp_norm(x, 3, axes); }

enum { AMAX, AMIN, VAR, STD, NORM2, NORM3, LSE, FOLDINGS };
static folding *const foldings[] = { tp_amax, tp_amin, var_of, std_of, norm2, norm3, tp_logsumexp };
static const char *const folding_names[] = { "amax", "amin", "var", "std", "norm 2", "norm 3", "logsumexp" };

static double expected(int f, int64_t n, const float *x, int64_t step)
{
    double most = -INFINITY, least = INFINITY, sum = 0, squares = 0, cubes = 0, e = 0, around = 0;

    for (int64_t i = 0; i < n; i++) {
        double v = (double)x[i * step];

        most = fmax(most, v), least = fmin(least, v), sum += v;
        squares += v * v, cubes += fabs(v * v * v), e += exp(v);
    }
    for (int64_t i = 0; i < n; i++)
        around += ((double)x[i * step] - sum / (double)n) * ((double)x[i * step] - sum / (double)n);
    return f == AMAX    ? most
           : f == AMIN  ? least
           : f == VAR   ? around / (double)(n - 1)
           : f == STD   ? sqrt(around / (double)n)
           : f == NORM2 ? sqrt(squares)
           : f == NORM3 ? cbrt(cubes)
                        : log(e);
}

/* (outer, n, inner): one group and several, blocks and what is left of them */
static const int64_t forms[][3] = { { 1, 40000, 1 }, { 3, 17, 1 }, { 2, 16385, 1 }, { 1, 700, 600 }, { 2, 9, 1100 }, { 5, 1, 3 } };

static void try_form(int f, const int64_t *form, tp_device *dev)
{
    int64_t n = form[0] * form[1] * form[2], outputs = form[0] * form[2];
    float *x = malloc(sizeof *x * (size_t)n), *got[2];
    tp_tensor *t;

    TP_SCOPE;
    t = check_numbers(TP_SHAPE(form[0], form[1], form[2]), TP_F32, -2, 3, dev);
    got[0] = malloc(sizeof(float) * (size_t)outputs), got[1] = malloc(sizeof(float) * (size_t)outputs);
    CHECK(tp_read(t, x, sizeof *x * (size_t)n));
    for (int threads = 1; threads <= 3; threads++) {
        tp_set_threads(threads);
        CHECK(tp_read(foldings[f](t, TP_AXES(1)), got[threads > 1], sizeof(float) * (size_t)outputs));
        if (threads > 1) CHECK(!memcmp(got[0], got[1], sizeof(float) * (size_t)outputs));
    }
    for (int64_t o = 0; form[1] > 1 && o < outputs; o += 1 + outputs / 50) {
        double want = expected(f, form[1], x + o / form[2] * form[1] * form[2] + o % form[2], form[2]);

        /* sums in pairs: their error grows with the logarithm of the length */
        CHECK_NEAR((double)got[0][o], want, 8 * 0x1p-23 * (1 + log2((double)form[1])) * (fabs(want) + 0.1));
    }
    free(x), free(got[0]), free(got[1]);
}

ON_EACH_DEVICE(folds, forms_and_threads)
{
    int before = tp_threads();

    for (int f = 0; f < FOLDINGS; f++)
        for (int i = 0; i < TP_LEN(forms); i++) {
            CASE("%s of (%lld, %lld, %lld) on %s", folding_names[f], (long long)forms[i][0], (long long)forms[i][1],
                 (long long)forms[i][2], tp_device_name(dev));
            try_form(f, forms[i], dev);
        }
    tp_set_threads(before);
}

/* A mean far from 0 takes no digits from the variance, however many groups there are. */
ON_EACH_DEVICE(folds, variance_far_from_zero)
{
    tp_tensor *x;

    TP_SCOPE;
    CASE("on %s", tp_device_name(dev));
    x = tp_shift(tp_cast(tp_remainder(tp_arange(0, 60000, 1, TP_I64, dev), tp_full(TP_SCALAR, 2, TP_I64, dev)), TP_F32), 4096);
    CHECK_NEAR(tp_item(tp_var(x, TP_ALL, 0)), 0.25, 1e-7);
    CHECK_NEAR(check_at(tp_var(tp_reshape(x, TP_SHAPE(20000, 3)), TP_AXES(0), 0), 1), 0.25, 1e-7);
}

/* ---- order of many ---- */

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

ON_EACH_DEVICE(folds, sorts_every_dtype)
{
    for (int d = 0; d < TP_DTYPES; d++)
        for (int n = 1; n <= 3000; n = n * 7 + 3) {
            double *v = malloc(sizeof *v * (size_t)n), *at = malloc(sizeof *at * (size_t)n), *sorted = malloc(sizeof *v * (size_t)n);
            tp_tensor *x, *y, *index;

            TP_SCOPE;
            CASE("%d of %s on %s", n, tp_dtype_name((tp_dtype)d), tp_device_name(dev));
            x = tp_cast(tp_round(check_numbers(TP_SHAPE(n), TP_F64, d == TP_U8 ? 0 : -90, 90, dev)), (tp_dtype)d);
            y = tp_sort(x, 0, false, &index);
            CHECK(tp_read(tp_cast(x, TP_F64), v, sizeof *v * (size_t)n) && tp_read(tp_cast(index, TP_F64), at, sizeof *at * (size_t)n));
            CHECK(tp_read(tp_cast(y, TP_F64), sorted, sizeof *v * (size_t)n) && tp_dtype_of(y) == (tp_dtype)d);
            for (int i = 0; i < n; i++) {
                CHECK(sorted[i] == v[(int)at[i]]);
                if (i) CHECK(sorted[i - 1] < sorted[i] || (sorted[i - 1] == sorted[i] && at[i - 1] < at[i])); /* stable */
            }
            qsort(v, (size_t)n, sizeof *v, rising);
            CHECK(!memcmp(v, sorted, sizeof *v * (size_t)n) || d != TP_I64);
            CHECK(tp_ok());
            free(v), free(at), free(sorted);
        }
}

ON_EACH_DEVICE(folds, order_and_threads)
{
    enum { N = 300 * 120 };
    float *got[2] = { malloc(sizeof(float) * N), malloc(sizeof(float) * N) };
    int before = tp_threads();

    for (int f = 0; f < 4; f++)
        for (int threads = 1; threads <= 3; threads++) {
            tp_tensor *x, *y;

            TP_SCOPE;
            CASE("scan %d with %d threads on %s", f, threads, tp_device_name(dev));
            tp_set_threads(threads), tp_seed(5);
            x = tp_randn(TP_SHAPE(300, 120), dev);
            y = f == 0 ? tp_cumsum(x, 0) : f == 1 ? tp_cumsum(x, 1) : f == 2 ? tp_cumprod(x, 0) : tp_sort(x, 1, true, NULL);
            CHECK(tp_read(y, got[threads > 1], sizeof(float) * N));
            if (threads > 1) CHECK(!memcmp(got[0], got[1], sizeof(float) * N));
        }
    tp_set_threads(before);
    free(got[0]), free(got[1]);
}

/* ---- nothing, one, NaN ---- */

static void check_values(tp_tensor *t, const double *want, int64_t n)
{
    CHECK(tp_count(t) == n);
    for (int64_t i = 0; t && i < n; i++)
        CHECK_NEAR(check_at(t, i), want[i], 0);
}

#define VALUES(t, ...) check_values(t, (double[]){ __VA_ARGS__ }, TP_LEN(((double[]){ __VA_ARGS__ })))

ON_EACH_DEVICE(folds, extremes)
{
    tp_tensor *none, *x, *index, *y;

    TP_SCOPE;
    CASE("on %s", tp_device_name(dev));
    none = tp_zeros(TP_SHAPE(2, 0), TP_F32, dev), x = tp_from((float[]){ 1, NAN, 3 }, TP_SHAPE(3), TP_F32, dev);
    VALUES(tp_prod(none, TP_AXES(1)), 1, 1);
    VALUES(tp_norm(none, 2, TP_AXES(1)), 0, 0);
    VALUES(tp_norm(none, INFINITY, TP_ALL), 0);
    VALUES(tp_norm(x, 0, TP_ALL), 3);
    VALUES(tp_var(none, TP_AXES(1), 1), NAN, NAN);
    VALUES(tp_std(tp_ones(TP_SHAPE(1), TP_F32, dev), TP_ALL, 1), NAN);
    VALUES(tp_logsumexp(none, TP_AXES(1)), -INFINITY, -INFINITY);
    CHECK_NEAR(tp_item(tp_logsumexp(tp_full(TP_SHAPE(2), 1000, TP_F32, dev), TP_ALL)), 1000 + log(2), 1000 * 0x1p-23);
    CHECK_NEAR(tp_item(tp_logsumexp(tp_full(TP_SHAPE(2), -1000, TP_F32, dev), TP_ALL)), -1000 + log(2), 1000 * 0x1p-23);
    VALUES(tp_any(none, TP_AXES(1)), 0, 0);
    VALUES(tp_all(none, TP_AXES(1)), 1, 1);
    VALUES(tp_sum(tp_cast(none, TP_I32), TP_AXES(1)), 0, 0);
    CHECK(tp_count(tp_amax(none, TP_AXES(0))) == 0 && tp_count(tp_cumsum(none, 1)) == 0 && tp_count(tp_cumprod(none, 0)) == 0);
    CHECK(tp_count(tp_sort(none, 1, false, &index)) == 0 && tp_count(index) == 0);
    CHECK(tp_count(tp_topk(x, 0, 0, true, NULL)) == 0);
    VALUES(tp_amax(x, TP_ALL), NAN);
    VALUES(tp_amin(x, TP_ALL), NAN);
    VALUES(tp_max_along(x, 0, &index), NAN);
    VALUES(index, 1);
    VALUES(tp_argmin(x, 0), 1);
    VALUES(tp_amax(tp_full(TP_SCALAR, 4, TP_F32, dev), TP_ALL), 4);
    y = tp_channels_last(tp_randn(TP_SHAPE(2, 3, 4, 5), dev));
    CHECK(tp_allclose(tp_amax(y, TP_AXES(2, 3)), tp_amax(tp_contiguous(y), TP_AXES(2, 3)), 0, 0));
    CHECK(tp_allclose(tp_amax(y, TP_KEEPDIM(1)), tp_amax(tp_contiguous(y), TP_KEEPDIM(1)), 0, 0));
    CHECK(tp_allclose(tp_amin(y, TP_AXES(0, 3)), tp_amin(tp_contiguous(y), TP_AXES(0, 3)), 0, 0));
    CHECK(tp_ok());
}

/* A cumulated product with zeros has a gradient; its second derivative is refused by name. */
ON_EACH_DEVICE(folds, integers_along_axes)
{
    tp_tensor *x, *index;

    TP_SCOPE;
    CASE("on %s", tp_device_name(dev));
    x = tp_from((int32_t[]){ 3, 1, 2, 3, -5, 4 }, TP_SHAPE(2, 3), TP_I32, dev);
    VALUES(tp_max_along(x, 1, &index), 3, 4);
    VALUES(index, 0, 2);
    VALUES(tp_min_along(x, 0, &index), 3, -5, 2);
    VALUES(index, 0, 1, 0);
    VALUES(tp_median(x, 1, &index), 2, 3);
    VALUES(index, 2, 0);
    VALUES(tp_cummax(x, 0, &index), 3, 1, 2, 3, 1, 4);
    VALUES(index, 0, 0, 0, 1, 0, 1);
    VALUES(tp_topk(x, 2, 1, false, &index), 1, 2, -5, 3);
    VALUES(index, 1, 2, 1, 0);
    VALUES(tp_sum(x, TP_AXES(0)), 6, -4, 6);
    VALUES(tp_amin(x, TP_AXES(0)), 3, -5, 2);
}

/* ---- memory that ends anywhere: the error says so, and nothing leaks ---- */

static bool survives(tp_tensor *f(tp_tensor *x), long after, tp_device *dev)
{
    tp_tensor *x, *y;
    bool ok;

    TP_SCOPE;
    x = check_leaf(TP_SHAPE(4, 6), 0.5, 2, dev);
    tp__fail_after = after;
    y = f(x);
    if (y && tp__is_float(y)) tp_backward(tp_sum(y, TP_ALL));
    tp__fail_after = -1;
    ok = tp_ok();
    CHECK(ok ? y != NULL : tp_error_code() == TP_ERR_MEMORY);
    tp_clear_error();
    return ok;
}

static tp_tensor *prod(tp_tensor *x) { return tp_prod(x, TP_AXES(0)); }
static tp_tensor *extremes_of(tp_tensor *x) { return tp_sub(tp_amax(x, TP_AXES(0)), tp_amin(x, TP_AXES(0))); }
static tp_tensor *spread(tp_tensor *x) { return tp_std(tp_square(x), TP_AXES(0), 1); }
static tp_tensor *distance(tp_tensor *x) { return tp_norm(x, 1.5, TP_AXES(1)); }
static tp_tensor *logsum(tp_tensor *x) { return tp_logsumexp(x, TP_AXES(1)); }
static tp_tensor *counted(tp_tensor *x) { return tp_logical_and(tp_any(x, TP_AXES(1)), tp_all(x, TP_AXES(1))); }
static tp_tensor *running(tp_tensor *x) { return tp_cumsum(tp_cumprod(x, 0), 1); }
static tp_tensor *picked(tp_tensor *x)
{
    tp_tensor *a, *b, *c, *y = tp_add(tp_max_along(x, 1, &a), tp_median(x, 1, &b));

    return tp_add(y, tp_reshape(tp_topk(tp_cummax(x, 1, &c), 1, 1, true, &a), TP_SHAPE(4)));
}
static tp_tensor *ordered(tp_tensor *x)
{
    tp_tensor *index, *y = tp_sort(tp_transpose(x, 0, 1), 0, true, &index);

    CHECK(!y == !index);
    return y;
}

ON_EACH_DEVICE(folds, memory_ends)
{
    static tp_tensor *(*const f[])(tp_tensor *) = { prod, extremes_of, spread, distance, logsum, counted, running, picked, ordered };

    for (int i = 0; i < TP_LEN(f); i++) {
        long after = 0;

        CASE("fold %d on %s", i, tp_device_name(dev));
        while (after < 900 && !survives(f[i], after, dev))
            after++;
        CHECK(after > 0 && after < 900);
    }
}

ON_EACH_DEVICE(folds, var_with_mean)
{
    tp_tensor *x, *var, *mean;

    TP_SCOPE;
    x = check_numbers(TP_SHAPE(3, 5), TP_F32, -1, 1, dev);
    var = tp_var_mean(x, TP_KEEPDIM(1), 0, &mean);
    CHECK(tp_item(tp_all(tp_eq(var, tp_var(x, TP_KEEPDIM(1), 0)), TP_ALL)) == 1);
    CHECK(tp_item(tp_all(tp_eq(mean, tp_mean(x, TP_KEEPDIM(1))), TP_ALL)) == 1);
    CHECK(tp_var_mean(x, TP_ALL, 1, NULL) != NULL);
}

/* ---- refusals ---- */

ON_EACH_DEVICE(folds, refusals)
{
    tp_tensor *x, *none, *i, *index;

    TP_SCOPE;
    x = tp_ones(TP_SHAPE(2, 3), TP_F32, dev), none = tp_zeros(TP_SHAPE(2, 0), TP_F32, dev), i = tp_ones(TP_SHAPE(2), TP_I64, dev);
    CASE("refusals on %s", tp_device_name(dev));
    CHECK_REFUSED(tp_amax(none, TP_AXES(1)), TP_ERR_SHAPE, "amax: f32 (2, 0) has nothing along these axes");
    CHECK_REFUSED(tp_argmin(none, 1), TP_ERR_SHAPE, "argmin: f32 (2, 0) has nothing along axis 1");
    index = x;
    CHECK_REFUSED(tp_max_along(none, 1, &index), TP_ERR_SHAPE, "nothing along axis 1");
    CHECK(index == NULL);
    CHECK_REFUSED(tp_median(none, 1, NULL), TP_ERR_SHAPE, "nothing along axis 1");
    CHECK_REFUSED(tp_amax(NULL, TP_ALL), TP_ERR_ARG, "amax: missing input");
    CHECK_REFUSED(tp_amin(x, TP_AXES(0, 0)), TP_ERR_ARG, "amin");
    CHECK_REFUSED(tp_var(x, TP_AXES(3), 1), TP_ERR_ARG, "no axis 3");
    CHECK_REFUSED(tp_var(x, TP_ALL, NAN), TP_ERR_ARG, "the correction is nan");
    index = x;
    CHECK_REFUSED(tp_var_mean(i, TP_ALL, 1, &index), TP_ERR_DTYPE, "var: not offered for i64 (2)");
    CHECK(index == NULL);
    CHECK_REFUSED(tp_std(i, TP_ALL, 1), TP_ERR_DTYPE, "std: not offered for i64 (2)");
    CHECK_REFUSED(tp_norm(i, 2, TP_ALL), TP_ERR_DTYPE, "norm: not offered for i64 (2)");
    CHECK_REFUSED(tp_norm(x, NAN, TP_ALL), TP_ERR_ARG, "norm: p is no number");
    CHECK_REFUSED(tp_logsumexp(i, TP_ALL), TP_ERR_DTYPE, "logsumexp: not offered for i64 (2)");
    CHECK_REFUSED(tp_logsumexp(NULL, TP_ALL), TP_ERR_ARG, "logsumexp: missing input");
    CHECK_REFUSED_ON_CPU(dev, tp_prod(tp_cast(x, TP_F16), TP_ALL), TP_ERR_DTYPE, "prod: not offered for f16 (2, 3)");
    CHECK_REFUSED(tp_prod(NULL, TP_ALL), TP_ERR_ARG, "prod: missing input");
    CHECK_REFUSED_ON_CPU(dev, tp_sum(tp_cast(x, TP_F16), TP_ALL), TP_ERR_DTYPE, "sum: not offered for f16 (2, 3)");
    CHECK_REFUSED(tp_cumsum(x, 2), TP_ERR_ARG, "no axis 2");
    CHECK_REFUSED(tp_cumprod(NULL, 0), TP_ERR_ARG, "cumprod: missing input");
    index = x;
    CHECK_REFUSED(tp_cummax(NULL, 0, &index), TP_ERR_ARG, "cummax: missing input");
    CHECK(index == NULL);
    CHECK_REFUSED(tp_sort(x, 5, false, &index), TP_ERR_ARG, "no axis 5");
    CHECK_REFUSED(tp_argsort(NULL, 0, false), TP_ERR_ARG, "argsort: missing input");
    CHECK_REFUSED(tp_topk(x, 4, 1, true, &index), TP_ERR_ARG, "topk: 4 of f32 (2, 3) along axis 1");
    CHECK_REFUSED(tp_topk(x, -1, 1, true, &index), TP_ERR_ARG, "topk: -1 of");
    CHECK_REFUSED(tp_topk(NULL, 1, 0, true, &index), TP_ERR_ARG, "topk: missing input");
}
