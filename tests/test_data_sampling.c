/*
 * test_data_sampling.c - subsets, splits, sums of sets, maps, standardization, labels, samplers:
 * what comes, and that places and workers change nothing.
 */
#include "tests/data.h"

/* n samples: x (2) is i and -i, y is i % 3. */
static tp_dataset *numbers(int n)
{
    float *x = malloc(sizeof *x * 2 * (size_t)n + 1);
    int64_t *y = malloc(sizeof *y * (size_t)n + 1);
    tp_device *cpu = tp_device_open("cpu");
    TP_SCOPE;

    for (int i = 0; i < n; i++)
        x[2 * i] = (float)i, x[2 * i + 1] = (float)-i, y[i] = i % 3;
    tp_dataset *d = tp_data_tensors(TP_LIST(tp_from(x, TP_SHAPE(n, 2), TP_F32, cpu), tp_from(y, TP_SHAPE(n), TP_I64, cpu)));
    free(x), free(y);
    return d;
}

static bool holds(tp_dataset *d, int n, const int *want)
{
    if (!d || tp_data_count(d) != n) return false;
    for (int i = 0; i < n; i++)
        if (sample_at(d, i, 0, 0) != want[i] || sample_at(d, i, 1, 0) != want[i] % 3) return false;
    return true;
}

Test(sampling, subsets, .timeout = 60)
{
    static const int64_t index[] = { 5, 0, 9, 5 }, again[] = { 3, 1 };
    tp_dataset *d = numbers(10), *s = tp_data_subset(tp_data_retain(d), index, 4);

    CASE("by index");
    CHECK(holds(s, 4, (int[]){ 5, 0, 9, 5 }));
    s = tp_data_subset(s, again, 2);
    CHECK(holds(s, 2, (int[]){ 5, 0 }));
    s = tp_data_range(s, 1, 2);
    CHECK(holds(s, 1, (int[]){ 0 }));
    tp_data_set_free(s);
    s = tp_data_subset(tp_data_retain(d), NULL, 0);
    CHECK(s && tp_data_count(s) == 0);
    tp_data_set_free(s);
    CASE("refusals");
    CHECK_REFUSED(tp_data_subset(tp_data_retain(d), (int64_t[]){ 0, 10 }, 2), TP_ERR_ARG, "index 1 is 10: there are 10 samples");
    CHECK_REFUSED(tp_data_subset(tp_data_retain(d), (int64_t[]){ -1 }, 1), TP_ERR_ARG, "index 0 is -1");
    CHECK_REFUSED(tp_data_subset(tp_data_retain(d), NULL, 2), TP_ERR_ARG, "2 indices");
    CHECK_REFUSED(tp_data_subset(NULL, index, 2), TP_ERR_ARG, "missing data set");
    tp_data_set_free(d);
}

/* Each of the parts' samples once. */
static void check_parts(tp_dataset **part, int n, int all, const int *size)
{
    bool seen[64] = { false };

    for (int k = 0; k < n; k++) {
        CHECK(part[k] && tp_data_count(part[k]) == size[k]);
        for (int i = 0; i < size[k]; i++) {
            int v = (int)sample_at(part[k], i, 0, 0);

            CHECK(v >= 0 && v < all && !seen[v]);
            seen[v] = true;
        }
        tp_data_set_free(part[k]);
    }
}

Test(sampling, splits, .timeout = 60)
{
    /* sizes as torch.utils.data.random_split gives them */
    static const struct {
        int all, n;
        double share[3];
        int size[3];
    } split[] = { { 10, 2, { 7, 3 }, { 7, 3 } }, { 10, 3, { .3, .3, .4 }, { 3, 3, 4 } }, { 11, 3, { .3, .3, .4 }, { 4, 3, 4 } },
                  { 13, 3, { .5, .25, .25 }, { 7, 3, 3 } }, { 14, 3, { .5, .25, .25 }, { 8, 3, 3 } }, { 5, 2, { 0, 5 }, { 0, 5 } },
                  { 7, 3, { .1, .1, .8 }, { 1, 1, 5 } }, { 1, 2, { .5, .5 }, { 1, 0 } }, { 1, 2, { 0, 1 }, { 0, 1 } }, { 0, 2, { 0, 0 }, { 0, 0 } } };
    tp_dataset *a[3], *b[3];

    for (int i = 0; i < TP_LEN(split); i++) {
        CASE("split %d", i);
        CHECK(tp_data_split(numbers(split[i].all), split[i].share, split[i].n, 1, a));
        check_parts(a, split[i].n, split[i].all, split[i].size);
    }
    CASE("the seed decides");
    int differ = 0;
    for (int seed = 0; seed < 2; seed++) {
        CHECK(tp_data_split(numbers(20), (double[]){ .5, .5 }, 2, 7, a) && tp_data_split(numbers(20), (double[]){ 10, 10 }, 2, 7 + seed, b));
        for (int i = 0; i < 10; i++)
            differ += sample_at(a[0], i, 0, 0) != sample_at(b[0], i, 0, 0);
        CHECK(seed ? differ > 0 : differ == 0);
        for (int k = 0; k < 2; k++)
            tp_data_set_free(a[k]), tp_data_set_free(b[k]);
    }
    CASE("refusals");
    CHECK_REFUSED(tp_data_split(numbers(10), (double[]){ 5, 4 }, 2, 1, a), TP_ERR_ARG, "the shares add up to 9: 10 samples, or 1, are wanted");
    CHECK(!a[0] && !a[1]);
    CHECK_REFUSED(tp_data_split(numbers(10), (double[]){ .5, .4 }, 2, 1, a), TP_ERR_ARG, "add up to 0.9");
    CHECK_REFUSED(tp_data_split(numbers(10), (double[]){ 9.5, .5 }, 2, 1, a), TP_ERR_ARG, "share 0 is 9.5, and counts are whole");
    CHECK_REFUSED(tp_data_split(numbers(10), (double[]){ -1, 2 }, 2, 1, a), TP_ERR_ARG, "share 0 is -1");
    CHECK_REFUSED(tp_data_split(numbers(10), (double[]){ NAN, 1 }, 2, 1, a), TP_ERR_ARG, "share 0 is");
    CHECK_REFUSED(tp_data_split(numbers(10), (double[]){ 1 }, 0, 1, a), TP_ERR_ARG, "0 parts");
    CHECK_REFUSED(tp_data_split(NULL, (double[]){ 1 }, 1, 1, a), TP_ERR_ARG, "missing data set");
}

Test(sampling, sums_of_sets, .timeout = 60)
{
    tp_dataset *part[] = { tp_data_range(numbers(10), 7, 9), tp_data_range(numbers(4), 0, 0), tp_data_range(numbers(9), 1, 4) };
    tp_dataset *d = tp_data_concat(part, 3);

    CASE("concat");
    CHECK(holds(d, 5, (int[]){ 7, 8, 1, 2, 3 }));
    tp_data_set_free(d);
    CASE("refusals");
    tp_dataset *odd[] = { numbers(3), tp_data_tensors(TP_LIST(tp_zeros(TP_SHAPE(3, 4), TP_F32, tp_device_open("cpu")))) };
    CHECK_REFUSED(tp_data_concat(odd, 2), TP_ERR_SHAPE, "the samples of set 1 are not like those of set 0");
    tp_dataset *lacks[] = { numbers(3), NULL };
    CHECK_REFUSED(tp_data_concat(lacks, 2), TP_ERR_ARG, "set 1 is missing");
    CHECK_REFUSED(tp_data_concat(NULL, 0), TP_ERR_ARG, "0 data sets");
}

/* ---- maps ---- */

static int freed;

static bool add_noise(void *user, int64_t i, const void *const *from, void *const *to)
{
    float noise[2];
    TP_SCOPE;

    (void)i;
    if (user) return *(bool *)user ? false : (tp_fail(TP_ERR_USER, "sample %lld can't be mapped", (long long)i), false);
    if (!tp_read(tp_rand(TP_SHAPE(2), tp_device_open("cpu")), noise, sizeof noise)) return false;
    for (int k = 0; k < 2; k++)
        ((float *)to[0])[k] = ((const float *)from[0])[k] + noise[k];
    *(int64_t *)to[1] = *(const int64_t *)from[1];
    return true;
}

static bool sum_of(void *user, int64_t i, const void *const *from, void *const *to)
{
    (void)user, (void)i;
    *(double *)to[0] = ((const float *)from[0])[0] + 10.0 * (double)*(const int64_t *)from[1];
    return true;
}

static void count_freed(void *user)
{
    (void)user;
    freed++;
}

Test(sampling, maps, .timeout = 120)
{
    bool silent = false;

    CASE("other fields");
    tp_dataset *d = tp_data_map(numbers(5), (tp_map){ .fields = 1, .dtype = { TP_F64 }, .f = sum_of, .done = count_freed });
    CHECK(d && tp_data_fields(d) == 1 && tp_data_dtype(d, 0) == TP_F64);
    CHECK_NEAR(sample_at(d, 4, 0, 0), 14, 0);
    tp_data_set_free(d);
    CHECK(freed == 1);
    CASE("draws depend on pass and place alone");
    check_passes(tp_data_map(numbers(23), (tp_map){ .f = add_noise }), (tp_loader_opts){ .batch = 4, .shuffle = true, .seed = 3 }, NULL, true);
    check_passes(tp_data_map(numbers(23), (tp_map){ .f = add_noise }), (tp_loader_opts){ .batch = 4 }, NULL, true);
    CASE("failures");
    tp_batch b;
    d = tp_data_map(numbers(5), (tp_map){ .f = add_noise, .user = &silent });
    CHECK_REFUSED(tp_data_sample(d, 3, &b), TP_ERR_USER, "sample 3 can't be mapped");
    silent = true;
    CHECK_REFUSED(tp_data_sample(d, 3, &b), TP_ERR_USER, "sample 3: the function failed without an error");
    tp_data_set_free(d);
    CHECK_REFUSED(tp_data_map(numbers(5), (tp_map){ .done = count_freed }), TP_ERR_ARG, "missing data set or function");
    CHECK_REFUSED(tp_data_map(NULL, (tp_map){ .f = sum_of, .done = count_freed }), TP_ERR_ARG, "missing data set or function");
    CHECK_REFUSED(tp_data_map(numbers(5), (tp_map){ .f = sum_of, .fields = 9, .done = count_freed }), TP_ERR_ARG, "9 fields");
    CHECK(freed == 4);
}

Test(sampling, standardized, .timeout = 60)
{
    static const float x[] = { 1, 10, 5, 2, 10, NAN, 6, 10, 7 };
    tp_tensor *mean, *std;
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_dataset *d = tp_data_tensors(TP_LIST(tp_from(x, TP_SHAPE(3, 3), TP_F32, cpu)));

    CASE("measured");
    CHECK(tp_data_measure(d, 0, &mean, &std));
    CHECK_NEAR(check_at(mean, 0), 3, 0);
    CHECK_NEAR(check_at(mean, 1), 10, 0);
    CHECK_NEAR(check_at(mean, 2), 6, 0);
    CHECK_NEAR(check_at(std, 0), (float)sqrt(14 / 3.0), 0);
    CHECK_NEAR(check_at(std, 1), 1, 0); /* never changes */
    CHECK_NEAR(check_at(std, 2), 1, 0);
    CASE("applied");
    tp_dataset *s = tp_data_standardize(tp_data_retain(d), 0, mean, std);
    CHECK_NEAR(sample_at(s, 2, 0, 0), (6 - 3) / (float)sqrt(14 / 3.0), 1e-7);
    CHECK_NEAR(sample_at(s, 1, 0, 1), 0, 0);
    CHECK_NEAR(sample_at(s, 1, 0, 2), NAN, 0);
    tp_data_set_free(s);
    CASE("refusals");
    CHECK_REFUSED(tp_data_standardize(tp_data_retain(d), 1, mean, std), TP_ERR_ARG, "field 1 isn't f32");
    CHECK_REFUSED(tp_data_standardize(tp_data_retain(d), 0, mean, tp_zeros(TP_SHAPE(3), TP_F32, cpu)), TP_ERR_ARG, "std of column 0 is 0");
    CHECK_REFUSED(tp_data_standardize(tp_data_retain(d), 0, tp_zeros(TP_SHAPE(2), TP_F32, cpu), std), TP_ERR_SHAPE, "f32 (2): f32 (3)");
    CHECK_REFUSED(tp_data_standardize(tp_data_retain(d), 0, NULL, std), TP_ERR_ARG, "input 0 is missing");
    CHECK_REFUSED(tp_data_measure(d, -1, &mean, &std), TP_ERR_ARG, "field -1");
    tp_dataset *none = tp_data_range(tp_data_retain(d), 1, 1);
    CHECK_REFUSED(tp_data_measure(none, 0, &mean, &std), TP_ERR_ARG, "0 samples");
    tp_data_set_free(none), tp_data_set_free(d);
}

Test(sampling, labels_and_weights, .timeout = 60)
{
    TP_SCOPE;
    tp_dataset *d = tp_data_range(numbers(12), 2, 9); /* 2 0 1 2 0 1 2 */
    tp_tensor *y = tp_data_labels(d), *w = tp_data_class_weights(y, 4), *each = tp_data_sample_weights(y, 4);

    CASE("balanced");
    CHECK(tp_count(y) == 7 && check_at(y, 0) == 2 && check_at(y, 5) == 1);
    CHECK_NEAR(check_at(w, 0), (float)(7 / (4 * 2.0)), 0);
    CHECK_NEAR(check_at(w, 2), (float)(7 / (4 * 3.0)), 0);
    CHECK_NEAR(check_at(w, 3), 0, 0);
    CHECK_NEAR(check_at(each, 3), (float)(7 / (4 * 3.0)), 0);
    CASE("refusals");
    CHECK_REFUSED(tp_data_class_weights(y, 2), TP_ERR_ARG, "label 0 is 2: there are 2 classes");
    CHECK_REFUSED(tp_data_sample_weights(w, 4), TP_ERR_ARG, "labels are f32 (4)");
    tp_dataset *plain = tp_data_tensors(TP_LIST(w));
    CHECK_REFUSED(tp_data_labels(plain), TP_ERR_ARG, "field 1 isn't a label");
    tp_data_set_free(plain), tp_data_set_free(d);
}

/* ---- samplers ---- */

static const float weight[] = { 0, 1, 2, 0, 4, 1, 0, 8, 0, 0 };

static tp_sampler *with(void)
{
    TP_SCOPE;
    return tp_data_weighted(tp_from(weight, TP_SHAPE(10), TP_F32, tp_device_open("cpu")), 23, true);
}

static tp_sampler *without(void)
{
    TP_SCOPE;
    return tp_data_weighted(tp_from(weight, TP_SHAPE(10), TP_F32, tp_device_open("cpu")), 4, false);
}

static const int64_t chosen[] = { 3, 9, 1, 1, 7, 0, 2 };

static tp_sampler *in_order(void)
{
    return tp_data_order(chosen, 7, false);
}

static tp_sampler *mixed(void)
{
    return tp_data_order(chosen, 7, true);
}

static bool beyond(void *user, uint64_t seed, int64_t pass, int64_t *order)
{
    (void)seed;
    order[0] = 0, order[1] = pass ? 10 : 9;
    return user == NULL;
}

Test(sampling, samplers_and_places, .timeout = 300)
{
    tp_sampler *(*const all[])(void) = { with, without, in_order, mixed };

    for (int i = 0; i < TP_LEN(all); i++) {
        CASE("sampler %d", i);
        check_passes(numbers(10), (tp_loader_opts){ .batch = 3, .seed = 5 }, all[i], i != 2);
        CASE("sampler %d, with draws", i);
        check_passes(tp_data_map(numbers(10), (tp_map){ .f = add_noise }), (tp_loader_opts){ .batch = 2, .seed = 5 }, all[i], true);
    }
    CASE("the order itself");
    tp_loader *l = tp_data_loader(numbers(10), (tp_loader_opts){ .batch = 7, .sampler = in_order() });
    tp_batch b;
    CHECK(tp_data_batches(l) == 1 && tp_data_next(l, &b));
    for (int i = 0; i < 7; i++)
        CHECK_NEAR(check_at(b.x, 2 * i), (double)chosen[i], 0);
    tp_data_free(l);
}

Test(sampling, weights_are_shares, .timeout = 120)
{
    enum { N = 64000 };
    int64_t count[10] = { 0 };
    TP_SCOPE;
    tp_tensor *w = tp_from(weight, TP_SHAPE(10), TP_F32, tp_device_open("cpu"));
    tp_loader *l = tp_data_loader(numbers(10), (tp_loader_opts){ .batch = N, .sampler = tp_data_weighted(w, N, true) });
    tp_batch b;
    static float x[2 * N];

    CASE("with replacement");
    CHECK(tp_data_next(l, &b) && tp_read(b.x, x, sizeof x));
    for (int i = 0; i < N; i++)
        count[(int)x[2 * i]]++;
    for (int k = 0; k < 10; k++) { /* five deviations of a binomial count */
        double p = weight[k] / 16.0, far = fabs((double)count[k] - N * p);

        CHECK(far <= 5 * sqrt(N * p * (1 - p)));
    }
    tp_data_free(l);
    CASE("without: the first drawn is a share, and none comes twice");
    memset(count, 0, sizeof count);
    l = tp_data_loader(numbers(10), (tp_loader_opts){ .batch = 5, .endless = true, .sampler = tp_data_weighted(w, 5, false) });
    for (int pass = 0; pass < 3200; pass++) {
        unsigned seen = 0;
        TP_SCOPE;

        CHECK(tp_data_next(l, &b) && b.size == 5 && tp_read(b.x, x, 40));
        for (int i = 0; i < 5; i++) {
            CHECK(weight[(int)x[2 * i]] > 0 && !(seen & 1u << (int)x[2 * i]));
            seen |= 1u << (int)x[2 * i];
        }
        count[(int)x[0]]++;
    }
    for (int k = 0; k < 10; k++)
        CHECK(fabs((double)count[k] - 200 * weight[k]) <= 5 * sqrt(200 * weight[k] * (1 - weight[k] / 16)));
    tp_data_free(l);
    CASE("one weight, huge weights");
    l = tp_data_loader(numbers(3), (tp_loader_opts){ .batch = 2, .sampler = tp_data_weighted(tp_from((double[]){ 0, 1e300, 1e-300 }, TP_SHAPE(3), TP_F64, tp_device_open("cpu")), 2, false) });
    CHECK(tp_data_next(l, &b) && check_at(b.x, 0) == 1 && check_at(b.x, 2) == 2);
    tp_data_free(l);
}

Test(sampling, samplers_refuse, .timeout = 60)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_tensor *w = tp_from(weight, TP_SHAPE(10), TP_F32, cpu);
    tp_batch b;

    CASE("weights");
    CHECK_REFUSED(tp_data_weighted(w, 6, false), TP_ERR_ARG, "6 draws without replacement: 5 weights are above 0");
    CHECK_REFUSED(tp_data_weighted(w, -1, true), TP_ERR_ARG, "-1 draws");
    CHECK_REFUSED(tp_data_weighted(tp_zeros(TP_SHAPE(3), TP_F32, cpu), 1, true), TP_ERR_ARG, "no weight is above 0");
    CHECK_REFUSED(tp_data_weighted(tp_full(TP_SHAPE(3), NAN, TP_F32, cpu), 1, true), TP_ERR_ARG, "weight 0 is");
    CHECK_REFUSED(tp_data_weighted(tp_full(TP_SHAPE(3), -1, TP_F32, cpu), 1, true), TP_ERR_ARG, "weight 0 is -1");
    CHECK_REFUSED(tp_data_weighted(tp_full(TP_SHAPE(3), INFINITY, TP_F32, cpu), 1, true), TP_ERR_ARG, "weight 0 is inf");
    CHECK_REFUSED(tp_data_weighted(tp_full(TP_SHAPE(3), 1e308, TP_F64, cpu), 1, true), TP_ERR_ARG, "sum of the weights is infinite");
    CHECK_REFUSED(tp_data_weighted(tp_zeros(TP_SHAPE(3, 1), TP_F32, cpu), 1, true), TP_ERR_ARG, "f32 (3, 1)");
    CHECK_REFUSED(tp_data_weighted(tp_zeros(TP_SHAPE(3), TP_I64, cpu), 1, true), TP_ERR_ARG, "i64 (3)");
    CASE("orders");
    CHECK_REFUSED(tp_data_order(NULL, 2, false), TP_ERR_ARG, "2 indices");
    CHECK_REFUSED(tp_data_sampler((tp_order){ .count = 2 }), TP_ERR_ARG, "a function that orders them");
    CHECK_REFUSED(tp_data_loader(numbers(9), (tp_loader_opts){ .sampler = in_order() }), TP_ERR_ARG, "the sampler's place 1 is sample 9: there are 9");
    CHECK_REFUSED(tp_data_loader(numbers(10), (tp_loader_opts){ .sampler = in_order(), .shuffle = true }), TP_ERR_ARG, "neither with shuffle");
    CHECK_REFUSED(tp_data_loader(numbers(10), (tp_loader_opts){ .sampler = tp_data_sampler((tp_order){ .count = 2, .order = beyond, .user = &b }) }), TP_ERR_USER, "failed without an error");
    for (int workers = 0; workers < 3; workers++) {
        tp_loader *l = tp_data_loader(numbers(10), (tp_loader_opts){ .batch = 2, .workers = workers, .sampler = tp_data_sampler((tp_order){ .count = 2, .order = beyond }) });

        CASE("beyond the set in pass 1, %d workers", workers);
        CHECK(tp_data_next(l, &b) && !tp_data_next(l, &b) && tp_ok());
        for (int again = 0; again < 2; again++)
            CHECK_REFUSED(tp_data_next(l, &b), TP_ERR_ARG, "the sampler's place 1 is sample 10");
        CHECK(tp_data_seek(l, (tp_position){ 0, 0 }) && tp_data_next(l, &b) && b.size == 2);
        tp_data_free(l);
    }
    CASE("an empty one");
    tp_loader *l = tp_data_loader(numbers(3), (tp_loader_opts){ .sampler = tp_data_order(NULL, 0, true), .workers = 1 });
    CHECK(l && tp_data_batches(l) == 0 && !tp_data_next(l, &b) && tp_ok());
    tp_data_free(l), tp_data_sampler_free(in_order()), tp_data_sampler_free(NULL);
}

static bool all_of_it(void)
{
    static const int64_t index[] = { 1, 2, 0 };
    tp_dataset *part[2] = { 0 };
    tp_tensor *mean, *std, *y;
    tp_batch b;
    TP_SCOPE;
    tp_dataset *d = tp_data_subset(numbers(4), index, 3);
    bool ok;

    if (!tp_data_split(d, (double[]){ .5, .5 }, 2, 1, part)) return false;
    d = tp_data_concat(part, 2);
    if (!tp_data_measure(d, 0, &mean, &std) || !(y = tp_data_labels(d)) || !tp_data_class_weights(y, 3))
        return tp_data_set_free(d), false;
    d = tp_data_map(tp_data_standardize(d, 0, mean, std), (tp_map){ .f = add_noise });
    tp_sampler *s = tp_data_weighted(tp_from((float[]){ 1, 1, 2 }, TP_SHAPE(3), TP_F32, tp_device_open("cpu")), 3, false);
    tp_loader *l = tp_data_loader(d, (tp_loader_opts){ .batch = 2, .sampler = s });
    ok = l && tp_data_seek(l, (tp_position){ 1, 0 }) && tp_data_next(l, &b);
    tp_data_free(l);
    return ok;
}

Test(sampling, out_of_memory, .timeout = 120)
{
    CASE("all of it");
    check_memory(all_of_it);
}
