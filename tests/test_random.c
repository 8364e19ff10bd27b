/*
 * test_random.c - draws: bernoulli, integers, permutations, multinomial; and searching in rows.
 */
#include "tests/calls.h"
#include "tests/gradients.h"

/* Counts of n kinds among a tensor's i64 numbers. */
static void count(tp_tensor *t, int64_t *kinds, int64_t n)
{
    int64_t size = tp_count(t), *v = malloc(sizeof *v * (size_t)(size + 1));

    memset(kinds, 0, sizeof *kinds * (size_t)n);
    CHECK(tp_read(t, v, sizeof *v * (size_t)size));
    for (int64_t i = 0; i < size; i++) {
        cr_expect(v[i] >= 0 && v[i] < n, "%s: %lld of %lld", check_name, (long long)v[i], (long long)n);
        if (v[i] >= 0 && v[i] < n) kinds[v[i]]++;
    }
    free(v);
}

/* Within 5 standard deviations of a binomial count: a fair draw fails once in millions. */
static void fair(int64_t got, double p, double draws)
{
    cr_expect(fabs((double)got - p * draws) <= 5 * sqrt(draws * p * (1 - p)) + 1e-9, "%s: %lld of %g with probability %g", check_name,
              (long long)got, draws, p);
}

ON_EACH_DEVICE(random, frequencies)
{
    static const double weight[] = { 1, 0, 3, 4 };
    int64_t kinds[10];
    tp_tensor *w;

    TP_SCOPE;
    tp_seed(7);
    CASE("bernoulli");
    count(tp_cast(tp_bernoulli(tp_full(TP_SHAPE(10000), .3, TP_F32, dev)), TP_I64), kinds, 2), fair(kinds[1], .3, 10000);
    CHECK(tp_item(tp_sum(tp_bernoulli(tp_zeros(TP_SHAPE(100), TP_F64, dev)), TP_ALL)) == 0);
    CHECK(tp_item(tp_sum(tp_bernoulli(tp_ones(TP_SHAPE(100), TP_BF16, dev)), TP_ALL)) == 100);
    CASE("randint");
    count(tp_shift(tp_randint(-3, 7, TP_SHAPE(100, 100), dev), 3), kinds, 10);
    for (int i = 0; i < 10; i++)
        fair(kinds[i], .1, 10000);
    w = tp_from(weight, TP_SHAPE(4), TP_F64, dev);
    for (int alone = 0; alone < 2; alone++) {
        CASE("multinomial %d", alone);
        for (int k = 0; k < 4; k++)
            kinds[k] = 0;
        if (!alone) count(tp_multinomial(w, 10000, true), kinds, 4);
        else count(tp_multinomial(tp_expand(w, TP_SHAPE(10000, 4)), 1, false), kinds, 4);
        for (int k = 0; k < 4; k++)
            fair(kinds[k], weight[k] / 8, 10000);
    }
    CASE("without replacement");
    count(tp_multinomial(w, 3, false), kinds, 4);
    CHECK(kinds[0] == 1 && kinds[1] == 0 && kinds[2] == 1 && kinds[3] == 1);
    CASE("randperm");
    count(tp_randperm(10, dev), kinds, 10);
    for (int i = 0; i < 10; i++)
        CHECK(kinds[i] == 1);
    CHECK(tp_count(tp_randperm(0, dev)) == 0 && tp_dim(tp_multinomial(tp_cast(w, TP_F32), 2, true), 0) == 2);
}

ON_EACH_DEVICE(random, one_seed_one_draw)
{
    tp_tensor *a, *b;

    TP_SCOPE;
    tp_seed(3), a = tp_multinomial(tp_ones(TP_SHAPE(5, 9), TP_F32, dev), 20, true);
    tp_seed(3), b = tp_multinomial(tp_ones(TP_SHAPE(5, 9), TP_F32, dev), 20, true);
    CASE("multinomial");
    CHECK(tp_item(tp_all(tp_eq(a, b), TP_ALL)) == 1);
    CHECK(tp_item(tp_all(tp_eq(b, tp_multinomial(tp_ones(TP_SHAPE(5, 9), TP_F32, dev), 20, true)), TP_ALL)) == 0);
}

ON_EACH_DEVICE(random, searchsorted)
{
    static const double want[] = { 0, 1, 2, 4, 4 }, right[] = { 0, 1, 4, 4, 4 };
    tp_tensor *rows, *x, *l, *r;

    TP_SCOPE;
    CASE("searchsorted");
    rows = tp_from((double[]){ 1, 2, 2, 2 + 1e-9 }, TP_SHAPE(1, 4), TP_F64, dev);
    rows = tp_concat(TP_LIST(rows, tp_full(TP_SHAPE(1, 4), INFINITY, TP_F64, dev)), 0);
    x = tp_expand(tp_from((double[]){ .5, 1.5, 2, 3, INFINITY }, TP_SHAPE(5), TP_F64, dev), TP_SHAPE(2, 5));
    l = tp_searchsorted(rows, x, false), r = tp_searchsorted(rows, x, true);
    for (int i = 0; i < 5; i++) {
        CHECK_NEAR(check_at(l, i), i == 2 ? 1 : want[i], 0);
        CHECK_NEAR(check_at(r, i), i == 2 ? 3 : right[i], 0);
        CHECK_NEAR(check_at(l, 5 + i), 0, 0);
    }
    CHECK(check_at(r, 9) == 4);
    CHECK(tp_count(tp_searchsorted(F32(2, 0), F32(2, 3), false)) == 6 && tp_count(tp_searchsorted(F32(2, 3), F32(2, 0), false)) == 0);
}

F(f_masked, tp_square(tp_masked_fill(tp_exp(a), tp_gt_scalar(a, .2), 3)))

/* The same is dropped at each call. */
static tp_tensor *seeded(tp_tensor *(*drop)(tp_tensor *x, double p), tp_tensor *x, double p)
{
    tp_seed(5);
    return drop(x, p);
}

F(f_channels, tp_square(seeded(tp_dropout2d, tp_exp(a), .4)))
F(f_alpha, tp_square(seeded(tp_alpha_dropout, tp_exp(a), .4)))
static const row rows[] = {
    { "masked_fill", f_masked, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "dropout2d", f_channels, 1, { R4(2, 3, 2, 2) }, -1, NULL, 0 },
    { "alpha_dropout", f_alpha, 1, { R2(3, 4) }, -1, NULL, 0 },
};

GRADIENTS(random, rows)

/* ---- dropping ---- */

ON_EACH_DEVICE(random, whole_channels)
{
    const int64_t C = 500;
    tp_tensor *x, *y, *last;
    int64_t dropped = 0;

    TP_SCOPE;
    CASE("dropout2d");
    x = check_numbers(TP_SHAPE(2, C, 2, 3), TP_F64, 1, 2, dev);
    y = seeded(tp_dropout2d, x, .25), last = seeded(tp_dropout2d, tp_channels_last(x), .25);
    CHECK(tp__layout_of(last) == TP_CHANNELS_LAST && tp_item(tp_all(tp_eq(y, last), TP_ALL)) == 1);
    for (int64_t c = 0; c < 2 * C; c++) {
        double kept = check_at(y, 6 * c) != 0;

        dropped += kept == 0;
        for (int64_t i = 6 * c; c < 40 && i < 6 * c + 6; i++)
            CHECK_NEAR(check_at(y, i), kept * check_at(x, i) / .75, 1e-15);
    }
    fair(dropped, .25, 2 * (double)C);
    CHECK(tp_item(tp_all(tp_eq(x, tp_dropout2d(x, 0)), TP_ALL)) == 1);
    CHECK(tp_item(tp_sum(tp_dropout2d(x, 1), TP_ALL)) == 0);
    CHECK(tp_count(tp_dropout2d(F32(0, 3, 2), .5)) == 0 && tp_count(tp_dropout2d(F32(2, 3), .5)) == 6);
}

ON_EACH_DEVICE(random, mean_and_deviation_stay)
{
    const double n = 40000, p = .3, low = -1.7580993408473766;
    const double a = 1 / sqrt((1 - p) * (1 + p * low * low));
    tp_tensor *x, *y, *dropped, *kept;

    TP_SCOPE;
    CASE("alpha_dropout");
    tp_seed(3);
    x = tp_cast(tp_randn(TP_SHAPE((int64_t)n), dev), TP_F64), y = tp_alpha_dropout(x, p);
    CHECK_NEAR(tp_item(tp_mean(y, TP_ALL)), 0, 5 / sqrt(n));
    CHECK_NEAR(tp_item(tp_mean(tp_square(y), TP_ALL)), 1, 5 * sqrt(3 / n));
    dropped = tp_lt_scalar(tp_abs(tp_shift(y, -(a * low - a * p * low))), 1e-12);
    fair((int64_t)tp_item(tp_count_nonzero(dropped, TP_ALL)), p, n);
    kept = tp_lt_scalar(tp_abs(tp_sub(y, tp_affine(x, a, -a * p * low))), 1e-12);
    CHECK(tp_item(tp_all(tp_logical_xor(kept, dropped), TP_ALL)) == 1);
    CHECK(tp_item(tp_all(tp_isclose(x, tp_alpha_dropout(x, 0), 1e-14, 0), TP_ALL)) == 1);
    CHECK(tp_item(tp_sum(tp_square(tp_alpha_dropout(x, 1)), TP_ALL)) == 0);
    CHECK(tp_count(tp_alpha_dropout(F32(0, 3), .5)) == 0);
}

/* A failed op consumes no random numbers. */
ON_EACH_DEVICE(random, failure_draws_nothing)
{
    static tp_tensor *(*const drop[])(tp_tensor *, double) = { tp_dropout2d, tp_alpha_dropout };
    tp_tensor *x, *want;

    TP_SCOPE;
    x = F32(2, 3, 4);
    for (int i = 0; i < 2; i++) {
        tp_seed(3), want = tp_rand(TP_SHAPE(4), dev);
        for (int after = 0, done = 0; !done && after < 100; after++) {
            CASE("op %d, allocation %d on %s", i, after, tp_device_name(dev));
            tp_seed(3), tp__fail_after = after, done = drop[i](x, .5) != NULL, tp__fail_after = -1;
            if (done) break;
            CHECK(tp_error_code() == TP_ERR_MEMORY);
            tp_clear_error();
            CHECK(tp_item(tp_all(tp_eq(want, tp_rand(TP_SHAPE(4), dev)), TP_ALL)) == 1);
        }
    }
}

ON_EACH_DEVICE(random, refusals)
{
    tp_tensor *x, *mask;

    TP_SCOPE;
    x = F32(2, 3), mask = tp_cast(x, TP_BOOL);
    DTYPE(tp_bernoulli(I64(2)), "bernoulli: probabilities are f32, f64 or bf16, on a GPU f16 too, not i64 (2)");
    ARG(tp_randint(3, 3, TP_SHAPE(2), dev), "from 3 to below 3");
    ARG(tp_randint(0, (int64_t)1 << 48, TP_SHAPE(2), dev), "at most 2^47 numbers");
    ARG(tp_randint(INT64_MIN, INT64_MAX, TP_SHAPE(2), dev), "at most 2^47 numbers");
    DEVICE(tp_randint(0, 3, TP_SHAPE(2), NULL), "missing device");
    SHAPE(tp_randperm(-1, dev), "-1");
    SHAPE(tp_multinomial(F32(1, 2, 3), 1, true), "must be (n) or (rows, n), not f32 (1, 2, 3)");
    DTYPE(tp_multinomial(I64(3), 1, true), "weights must be floats");
    ARG(tp_multinomial(x, 0, true), "0 samples");
    ARG(tp_multinomial(x, 4, false), "fewer weights above 0 than the 4 samples");
    ARG(tp_multinomial(tp_neg(x), 1, true), "must be finite and not negative");
    ARG(tp_multinomial(tp_full(TP_SHAPE(3), NAN, TP_F32, dev), 1, true), "must be finite");
    ARG(tp_multinomial(tp_zeros(TP_SHAPE(3), TP_F32, dev), 1, true), "a row has no weight above 0");
    SHAPE(tp_searchsorted(x, F32(3), false), "as many axes are wanted");
    SHAPE(tp_searchsorted(x, F32(3, 3), false), "must differ along the last axis alone");
    SHAPE(tp_dropout2d(F32(3), .5), "x must be (N, C, ...), not f32 (3)");
    ARG(tp_dropout2d(x, -1), "dropout2d: p is -1: a probability is wanted");
    DTYPE(tp_dropout2d(I64(2, 3), .5), "dropout2d: not offered for i64 (2, 3)");
    ARG(tp_alpha_dropout(x, 1.5), "alpha_dropout: p is 1.5");
    DTYPE(tp_alpha_dropout(mask, .5), "alpha_dropout: not offered for bool (2, 3)");
    ARG(tp_alpha_dropout(NULL, .5), "alpha_dropout: missing input");
    ARG(tp_dropout2d(NULL, .5), "dropout2d: missing input");
    DTYPE(tp_masked_fill(x, x, 0), "the mask must be bool, not f32 (2, 3)");
    SHAPE(tp_masked_fill(F32(3), mask, 0), "the mask bool (2, 3) doesn't broadcast to f32 (3)");
}
