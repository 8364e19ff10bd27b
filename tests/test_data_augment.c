/*
 * test_data_augment.c - steps of augmentation: values against PyTorch's or against the formula
 * with the numbers that were drawn, shapes, refusals, and that workers and places change nothing.
 */
#include "data/internal.h"
#include "tests/data.h"

static tp_tensor *random_pictures(int64_t n, int64_t c, int64_t h, int64_t w)
{
    return check_numbers(TP_SHAPE(n, c, h, w), TP_F32, 0, 1, tp_device_open("cpu"));
}

static tp_dataset *set_of(tp_tensor *x)
{
    int64_t n = tp_dim(x, 0), *y = malloc(sizeof *y * (size_t)n);
    TP_SCOPE;

    for (int64_t i = 0; i < n; i++)
        y[i] = i % 3;
    tp_tensor *labels = tp_from(y, TP_SHAPE(n), TP_I64, tp_device_open("cpu"));
    free(y);
    return tp_data_tensors(TP_LIST(x, labels));
}

/* Sample 0 of x after one step, lent; the generator begins at seed. */
static tp_tensor *after(tp_tensor *x, tp_augment a, uint64_t seed)
{
    tp_dataset *d = tp_data_augment(set_of(x), &a, 1);
    tp_batch b = { 0 };

    tp_seed(seed);
    if (d) tp_data_sample(d, 0, &b);
    tp_data_set_free(d);
    return b.x;
}

static tp_tensor *golden(tp_file *f, const char *what, int i, const char *role)
{
    char name[64];
    int at;

    snprintf(name, sizeof name, "%s.%d.%s", what, i, role);
    at = tp_file_find(f, name);
    return at < 0 ? NULL : tp_file_read(f, at, tp_device_open("cpu"));
}

/* Against values in f64: sums of f32 products, each rounded twice, of values below 1. */
static void check_near_all(tp_tensor *got, tp_tensor *want, double tolerance)
{
    CHECK(got && want && tp_count(got) == tp_count(want));
    for (int64_t i = 0; got && want && i < tp_count(want); i++)
        CHECK_NEAR(check_at(got, i), check_at(want, i), tolerance);
}

Test(augment, resizing_is_that_of_pytorch, .timeout = 120)
{
    tp_file *f = tp_file_open(TP_GOLDEN "/augment.safetensors");
    tp_tensor *x;
    int i;

    cr_assert(f, "%s", tp_error());
    for (i = 0; tp_ok(); i++) {
        TP_SCOPE;
        tp_tensor *y = golden(f, "resize", i, "out");

        if (!y || !(x = golden(f, "resize", i, "in"))) break;
        CASE("resize %d", i);
        x = tp_reshape(x, TP_SHAPE(1, tp_dim(x, 0), tp_dim(x, 1), tp_dim(x, 2)));
        /* at most 2 * 65 terms, with two roundings each */
        check_near_all(after(x, tp_augment_resize(tp_dim(y, 1), tp_dim(y, 2)), 1), y, 0x1p-24 * 2 * sqrt(130) * 2);
    }
    CHECK(i == 7 && tp_ok());
    for (i = 0; tp_ok(); i++) {
        double o[5];
        TP_SCOPE;
        tp_tensor *y = golden(f, "affine", i, "out");

        if (!y || !(x = golden(f, "affine", i, "in"))) break;
        CASE("affine %d", i);
        CHECK(tp_read(golden(f, "affine", i, "opts"), o, sizeof o));
        x = tp_reshape(x, TP_SHAPE(1, tp_dim(x, 0), tp_dim(x, 1), tp_dim(x, 2)));
        tp_augment a = tp_augment_affine((tp_augment_affine_opts){ .degrees = { o[0], o[0] }, .scale = { o[1], o[1] },
                                                                   .shear = { o[2], o[2], o[3], o[3] }, .bilinear = o[4] != 0 });
        check_near_all(after(x, a, 1), y, 0x1p-24 * 8);
    }
    CHECK(i == 12 && tp_ok());
    tp_file_close(f);
}

/* ---- moved pixels ---- */

Test(augment, flips, .timeout = 60)
{
    TP_SCOPE;
    tp_tensor *x = random_pictures(1, 3, 4, 5);

    for (int vertical = 0; vertical < 2; vertical++)
        for (int p = 0; p < 2; p++) {
            tp_tensor *y = after(x, vertical ? tp_augment_flip_vertical(p) : tp_augment_flip(p), 1);

            CASE("vertical %d, p %d", vertical, p);
            for (int k = 0; k < 60; k++) {
                int c = k / 20, r = k / 5 % 4, j = k % 5;

                CHECK_NEAR(check_at(y, k), check_at(x, c * 20 + (p && vertical ? 3 - r : r) * 5 + (p && !vertical ? 4 - j : j)), 0);
            }
        }
    CASE("half of them");
    int flipped = 0;
    for (int seed = 0; seed < 1000; seed++)
        flipped += check_at(after(x, tp_augment_flip(0.5), (uint64_t)seed), 0) != check_at(x, 0);
    CHECK(abs(flipped - 500) <= 5 * 16); /* sqrt(1000 / 4) is 16 */
}

/* Where the crop y of 1 channel came from, if from anywhere; padding by reflection or zeros. */
static bool crop_at(tp_tensor *x, tp_tensor *y, int top, int left, bool reflect)
{
    int H = (int)tp_dim(x, 2), W = (int)tp_dim(x, 3), h = (int)tp_dim(y, 2), w = (int)tp_dim(y, 3);

    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) {
            int r = top + i, c = left + j;
            double want;

            if (reflect) r = r < 0 ? -r : r >= H ? 2 * H - 2 - r : r, c = c < 0 ? -c : c >= W ? 2 * W - 2 - c : c;
            want = r < 0 || r >= H || c < 0 || c >= W ? 0 : check_at(x, r * W + c);
            if (check_at(y, i * w + j) != want) return false;
        }
    return true;
}

Test(augment, crops, .timeout = 120)
{
    TP_SCOPE;
    tp_tensor *x = random_pictures(1, 1, 4, 5);

    for (int reflect = 0; reflect < 2; reflect++) {
        bool seen[5][6] = { { false } };
        int places = 0;

        CASE("padded, reflect %d", reflect);
        for (uint64_t seed = 0; seed < 400; seed++) {
            TP_SCOPE;
            tp_tensor *y = after(x, tp_augment_crop(4, 4, 2, reflect ? TP_EDGE_REFLECT : TP_EDGE_ZERO), seed);
            int found = 0;

            for (int top = 0; top < 5; top++)
                for (int left = 0; left < 6; left++)
                    if (crop_at(x, y, top - 2, left - 2, reflect)) found++, places += !seen[top][left], seen[top][left] = true;
            CHECK(found == 1);
        }
        CHECK(places == 30); /* every place is met */
    }
    CASE("the middle, halves to even as Python's round");
    CHECK(crop_at(x, after(x, tp_augment_center_crop(3, 2), 1), 0, 2, false)); /* 0.5 -> 0, 1.5 -> 2 */
    CHECK(crop_at(x, after(x, tp_augment_center_crop(4, 5), 1), 0, 0, false));
    CASE("the shorter side");
    tp_tensor *y = after(x, tp_augment_resize(8, 0), 1);
    CHECK(tp_dim(y, 2) == 8 && tp_dim(y, 3) == 10);
    y = after(tp_transpose(x, 2, 3), tp_augment_resize(6, 0), 1);
    CHECK(tp_dim(y, 2) == 7 && tp_dim(y, 3) == 6);
}

Test(augment, resized_crops, .timeout = 60)
{
    TP_SCOPE;
    double low = 2, high = -1;
    float ramp[64];

    for (int i = 0; i < 64; i++)
        ramp[i] = (float)(i % 8) / 8; /* values tell the column */
    tp_tensor *x = tp_from(ramp, TP_SHAPE(1, 1, 8, 8), TP_F32, tp_device_open("cpu"));
    CASE("all of it");
    tp_resized_crop_opts whole = { 1, 1, 1, 1 };
    check_near_all(after(x, tp_augment_resized_crop(8, 8, whole), 1), x, 0);
    CASE("parts");
    for (uint64_t seed = 0; seed < 200; seed++) {
        TP_SCOPE;
        tp_tensor *y = after(x, tp_augment_resized_crop(3, 3, (tp_resized_crop_opts){ 0 }), seed);

        for (int i = 0; i < 9; i++)
            low = fmin(low, check_at(y, i)), high = fmax(high, check_at(y, i));
        CHECK(check_at(y, 0) < check_at(y, 2) || check_at(y, 0) == check_at(y, 1));
    }
    CHECK(low >= 0 && low < 0.05 && high <= 7 / 8.0 && high > 0.8);
    CASE("proportions that never fit: the middle");
    tp_resized_crop_opts narrow = { 1, 1, 4, 4 };
    tp_tensor *y = after(x, tp_augment_resized_crop(2, 8, narrow), 1);
    check_near_all(y, tp_slice(x, 2, 3, 5), 0); /* 8 wide, 2 high */
}

/* ---- colours, by the formulas in double, with the numbers drawn anew ---- */

static double grey(const double *p)
{
    return 0.2989 * p[0] + 0.587 * p[1] + 0.114 * p[2];
}

static double cut(double v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* Turns the hue of a pixel: by the angle of the hexagon, not by cases of the maximum. */
static void turn(double *p, double by)
{
    double top = fmax(p[0], fmax(p[1], p[2])), low = fmin(p[0], fmin(p[1], p[2])), span = top - low, six = 0;

    if (span == 0) return;
    if (top == p[0]) six = fmod((p[1] - p[2]) / span + 6, 6);
    else six = top == p[1] ? (p[2] - p[0]) / span + 2 : (p[0] - p[1]) / span + 4;
    six = fmod(six + 6 * by + 12, 6);
    for (int k = 0; k < 3; k++) { /* Wikipedia's f(n), n = 5, 3, 1 */
        double at = fmod((5 - 2 * k) + six, 6), m = fmax(0, fmin(1, fmin(at, 4 - at)));

        p[k] = top - span * m;
    }
}

static void jitter(double (*p)[3], int n, int kind, double f)
{
    double mean = 0;

    for (int i = 0; i < n; i++)
        mean += grey(p[i]) / n;
    for (int i = 0; i < n; i++) {
        double g = grey(p[i]);

        if (kind == 3) turn(p[i], f);
        for (int k = 0; kind < 3 && k < 3; k++)
            p[i][k] = cut(kind == 0 ? f * p[i][k] : f * p[i][k] + (1 - f) * (kind == 1 ? mean : g));
    }
}

Test(augment, color_jitter, .timeout = 60)
{
    enum { N = 30 };
    static const double by[][4] = { { .5, 0, 0, 0 }, { 0, .5, 0, 0 }, { 0, 0, 2, 0 }, { 0, 0, 0, .5 }, { .4, .4, .4, .1 } };
    TP_SCOPE;
    tp_tensor *x = random_pictures(1, 3, 5, 6);

    for (int c = 0; c < TP_LEN(by); c++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            double p[N][3], f[4];
            int order[4] = { 0, 1, 2, 3 };
            TP_SCOPE;
            tp_tensor *y = after(x, tp_augment_color_jitter(by[c][0], by[c][1], by[c][2], by[c][3]), seed);

            CASE("jitter %d, seed %d", c, (int)seed);
            tp_seed(seed);
            for (int k = 0; k < 4; k++) {
                double low = k < 3 ? fmax(0, 1 - by[c][k]) : -by[c][3], high = k < 3 ? 1 + by[c][k] : by[c][3];

                f[k] = low + (high - low) * tp__uniform();
            }
            for (int i = 3; i > 0; i--) {
                int j = (int)(tp__uniform() * (i + 1)), old = order[i];

                order[i] = order[j], order[j] = old;
            }
            for (int i = 0; i < N; i++)
                for (int k = 0; k < 3; k++)
                    p[i][k] = check_at(x, k * N + i);
            for (int i = 0; i < 4; i++)
                if (by[c][order[i]] > 0) jitter(p, N, order[i], f[order[i]]);
            /* a hue's error is eps / span, and spans of random colours are mostly above 1/16 */
            for (int i = 0; i < N; i++)
                for (int k = 0; k < 3; k++)
                    CHECK_NEAR(check_at(y, k * N + i), p[i][k], 0x1p-24 * 16 * 8);
        }
    CASE("grey pictures keep saturation and hue");
    tp_tensor *g = random_pictures(1, 1, 5, 6);
    check_near_all(after(g, tp_augment_color_jitter(0, 0, 1, .5), 3), g, 0);
}

Test(augment, values, .timeout = 60)
{
    TP_SCOPE;
    tp_tensor *x = random_pictures(1, 3, 8, 8), *y;
    const double mean[] = { .1, .2, .3 }, std[] = { 2, 4, 8 };
    double sum = 0, squares = 0;

    CASE("normalize");
    y = after(x, tp_augment_normalize(mean, std, 3), 1);
    for (int i = 0; i < 192; i++)
        CHECK_NEAR(check_at(y, i), (check_at(x, i) - (double)(float)mean[i / 64]) / std[i / 64], 0x1p-24);
    y = after(x, tp_augment_normalize(mean, std, 1), 1);
    CHECK_NEAR(check_at(y, 191), (check_at(x, 191) - .1) / 2, 0x1p-24);
    CASE("grey");
    y = after(x, tp_augment_grayscale(1), 1);
    for (int i = 0; i < 192; i++)
        CHECK_NEAR(check_at(y, i), grey((double[]){ check_at(x, i % 64), check_at(x, 64 + i % 64), check_at(x, 128 + i % 64) }), 0x1p-23);
    check_near_all(after(x, tp_augment_grayscale(0), 1), x, 0);
    CASE("noise");
    tp_tensor *half = tp_full(TP_SHAPE(1, 3, 64, 64), 0.5, TP_F32, tp_device_open("cpu"));
    y = after(half, tp_augment_noise(0.1), 1);
    for (int i = 0; i < 3 * 64 * 64; i++) {
        double v = check_at(y, i) - 0.5;

        sum += v, squares += v * v;
    }
    CHECK(fabs(sum / 12288) < 5 * 0.1 / sqrt(12288) && fabs(sqrt(squares / 12288) - 0.1) < 5 * 0.1 / sqrt(2 * 12288));
    y = after(half, tp_augment_noise(100), 1);
    for (int i = 0; i < 100; i++)
        CHECK(check_at(y, i) >= 0 && check_at(y, i) <= 1);
    CASE("erasing");
    for (uint64_t seed = 0; seed < 100; seed++) {
        int gone = 0, left = 8, right = -1, top = 8, bottom = -1;
        TP_SCOPE;

        y = after(x, tp_augment_erasing(1, (tp_erasing_opts){ .value = -3 }), seed);
        for (int i = 0; i < 64; i++) {
            CHECK((check_at(y, i) == -3) == (check_at(y, 128 + i) == -3) && (check_at(y, i) == -3 || check_at(y, i) == check_at(x, i)));
            if (check_at(y, i) != -3) continue;
            gone++, left = left < i % 8 ? left : i % 8, right = right > i % 8 ? right : i % 8, top = top < i / 8 ? top : i / 8, bottom = i / 8;
        }
        CHECK(gone == (bottom - top + 1) * (right - left + 1) || gone == 0);
        CHECK(gone <= 0.45 * 64); /* sides are rounded */
    }
}

/* ---- two in one ---- */

static tp_dataset *labelled(int64_t n)
{
    char text[4096];
    size_t at = 0;

    for (int64_t i = 0; i < n; i++)
        at += (size_t)sprintf(text + at, "%d,c%d\n", (int)i, (int)(i % 3));
    return tp_data_csv(put_text("t.csv", text), (tp_csv_opts){ .y = "1" });
}

static bool to_picture(void *user, int64_t i, const void *const *from, void *const *to)
{
    (void)user, (void)i;
    for (int k = 0; k < 3 * 8 * 8; k++)
        ((float *)to[0])[k] = *(const float *)from[0];
    *(int64_t *)to[1] = *(const int64_t *)from[1];
    return true;
}

static tp_dataset *plain_pictures(void)
{
    return tp_data_map(labelled(9), (tp_map){ .fields = 2, .shape = { TP_SHAPE(3, 8, 8) }, .dtype = { TP_F32, TP_I64 }, .f = to_picture });
}

Test(augment, two_in_one, IN_FOLDER)
{
    double mean = 0, squares = 0;
    tp_batch b;

    CASE("mixup: x and y tell the same share");
    tp_dataset *d = tp_data_mixup(labelled(9), 0.4);
    CHECK(d && tp_data_dtype(d, 1) == TP_F32 && tp_data_shape(d, 1).n[0] == 3 && tp_data_classes(d) == 3);
    tp_seed(1);
    for (int n = 0; n < 2000; n++) {
        TP_SCOPE;
        double other, own, share, sum;

        CHECK(tp_data_sample(d, 4, &b)); /* x is 4, class 1 */
        own = check_at(b.y, 1), sum = own + check_at(b.y, 0) + check_at(b.y, 2);
        CHECK(fabs(sum - 1) < 1e-6);
        if (own > 0.999999 || own < 1e-6) continue; /* with itself or its own class */
        share = own, other = (check_at(b.x, 0) - 4 * share) / (1 - share);
        if (1 - share > 0.01) CHECK(fabs(other - round(other)) < 1e-3 && other > -0.01 && other < 8.01);
        mean += share / 2000, squares += share * share / 2000;
    }
    CHECK(mean > 0 && squares > 0);
    check_passes(d, (tp_loader_opts){ .batch = 4, .shuffle = true }, NULL, true);
    CASE("cutmix: the share is the area");
    d = tp_data_cutmix(plain_pictures(), 1);
    for (int n = 0; n < 500; n++) {
        TP_SCOPE;
        int own = 0;
        double share;

        CHECK(tp_data_sample(d, 4, &b));
        for (int i = 0; i < 64; i++)
            own += check_at(b.x, i) == 4;
        share = check_at(b.y, 1);
        CHECK(own == 64 || fabs(share - own / 64.0) < 1e-6 || share == 1);
    }
    check_passes(d, (tp_loader_opts){ .batch = 4 }, NULL, true);
    CASE("Beta(2, 2) has mean 1/2 and variance 1/20");
    d = tp_data_mixup(tp_data_range(labelled(9), 0, 2), 2);
    mean = squares = 0;
    int n = 0;
    for (int k = 0; k < 4000; k++) {
        TP_SCOPE;
        double share;

        CHECK(tp_data_sample(d, 0, &b));
        share = check_at(b.y, 0);
        if (check_at(b.y, 1) > 0) mean += share, squares += share * share, n++;
    }
    mean /= n, squares /= n;
    CHECK(abs(n - 2000) < 5 * 32 && fabs(mean - .5) < 5 * sqrt(.05 / 2000) && fabs(squares - mean * mean - .05) < .005);
    tp_data_set_free(d);
    CASE("refusals");
    CHECK_REFUSED(tp_data_mixup(labelled(3), 0), TP_ERR_ARG, "alpha 0");
    CHECK_REFUSED(tp_data_mixup(NULL, 1), TP_ERR_ARG, "missing data set");
    CHECK_REFUSED(tp_data_cutmix(labelled(3), 1), TP_ERR_ARG, "fields are f32 (1)");
    CHECK_REFUSED(tp_data_mixup(set_of(random_pictures(2, 1, 2, 2)), 1), TP_ERR_ARG, "0 classes");
}

/* ---- lists of steps ---- */

static tp_dataset *everything(void)
{
    const double mean[] = { .5, .4, .3 }, std[] = { .2, .2, .3 };
    tp_augment steps[] = { tp_augment_resize(12, 0),
                           tp_augment_crop(10, 10, 2, TP_EDGE_REFLECT),
                           tp_augment_flip(.5),
                           tp_augment_flip_vertical(.5),
                           tp_augment_affine((tp_augment_affine_opts){ .degrees = { -10, 10 }, .translate = { .1, .1 }, .bilinear = true }),
                           tp_augment_rotation(5, false),
                           tp_augment_resized_crop(9, 8, (tp_resized_crop_opts){ 0 }),
                           tp_augment_color_jitter(.2, .2, .2, .1),
                           tp_augment_grayscale(.1),
                           tp_augment_noise(.01),
                           tp_augment_center_crop(8, 8),
                           tp_augment_normalize(mean, std, 3),
                           tp_augment_erasing(.5, (tp_erasing_opts){ 0 }) };
    TP_SCOPE;

    return tp_data_augment(set_of(random_pictures(11, 3, 9, 7)), steps, TP_LEN(steps));
}

Test(augment, lists, .timeout = 300)
{
    tp_dataset *d = everything();

    CASE("everything");
    CHECK(d && tp_data_shape(d, 0).n[1] == 8 && tp_data_shape(d, 0).n[2] == 8 && tp_data_fields(d) == 2);
    CHECK_NEAR(sample_at(d, 4, 1, 0), 1, 0);
    check_passes(d, (tp_loader_opts){ .batch = 4, .shuffle = true, .seed = 9 }, NULL, true);
}

static tp_got next_plain(void *user, void *const *fields)
{
    int *at = user;

    for (int k = 0; k < 3 * 4 * 4; k++)
        ((float *)fields[0])[k] = (float)(k + *at) / 64;
    return ++*at > 7 ? TP_END : TP_ITEM;
}

static bool rewind_plain(void *user)
{
    *(int *)user = 0;
    return true;
}

Test(augment, streams, .timeout = 60)
{
    unsigned char first[1 << 14], got[1 << 14];
    size_t n = 0;
    tp_augment noise = tp_augment_noise(.1);

    for (int workers = 0; workers < 2; workers++) {
        int at = 0;
        tp_dataset *d = tp_data_source((tp_source){ .count = -1, .fields = 1, .shape = { TP_SHAPE(3, 4, 4) }, .dtype = { TP_F32 },
                                                    .next = next_plain, .rewind = rewind_plain, .user = &at });
        tp_loader *l = tp_data_loader(tp_data_augment(d, &noise, 1), (tp_loader_opts){ .batch = 3, .workers = workers });

        CASE("%d workers", workers);
        size_t some = bytes_of(l, 9, got, sizeof got);
        if (!workers) memcpy(first, got, n = some);
        CHECK(n == 7 * 48 * 4 && some == n && !memcmp(first, got, n));
        tp_data_free(l);
    }
}

Test(augment, refuses, .timeout = 60)
{
    TP_SCOPE;
    tp_tensor *x = random_pictures(1, 3, 4, 5);
    const double mean[] = { 0, 0, 0 }, none[] = { 1, 0, 1 };
    const struct {
        tp_augment a;
        const char *why;
    } bad[] = {
        { { 0 }, "step 0 is none" },
        { tp_augment_flip(1.5), "tp_augment_flip: a probability of 1.5" },
        { tp_augment_flip(NAN), "a probability of" },
        { tp_augment_grayscale(-1), "a probability of -1" },
        { tp_augment_crop(5, 5, 0, TP_EDGE_ZERO), "tp_augment_crop: 5 x 5 of pictures of 5 x 4 with 0 around them" },
        { tp_augment_crop(4, 5, 4, TP_EDGE_REFLECT), "must be smaller than 5 x 4" },
        { tp_augment_crop(4, 5, -1, TP_EDGE_ZERO), "with -1 around" },
        { tp_augment_crop(4, 5, 0, (tp_edge)3), "mode 3" },
        { tp_augment_center_crop(0, 5), "tp_augment_center_crop: 5 x 0" },
        { tp_augment_resize(0, 5), "size 5 x 0" },
        { tp_augment_resize(1 << 17, 5), "size 5 x 131072" },
        { tp_augment_resize(60000, 0), "it would make pictures of 75000 x 60000" },
        { tp_augment_resized_crop(4, 4, (tp_resized_crop_opts){ .5, .2, 0, 0 }), "scale 0.5 to 0.2" },
        { tp_augment_resized_crop(4, 0, (tp_resized_crop_opts){ 0 }), "size 0 x 4" },
        { tp_augment_affine((tp_augment_affine_opts){ .degrees = { 5, -5 } }), "from the smaller to the larger" },
        { tp_augment_affine((tp_augment_affine_opts){ .translate = { 2, 0 } }), "translate 2, 0" },
        { tp_augment_affine((tp_augment_affine_opts){ .scale = { -1, 1 } }), "scale -1" },
        { tp_augment_affine((tp_augment_affine_opts){ .shear = { 0, 90, 0, 0 } }), "shear of 90" },
        { tp_augment_rotation(NAN, false), "number 0 of its options" },
        { tp_augment_color_jitter(0, 0, 0, .6), "number 3 is 0.6" },
        { tp_augment_color_jitter(-1, 0, 0, 0), "number 0 is -1" },
        { tp_augment_normalize(mean, none, 2), "2 means for 3 channels" },
        { tp_augment_normalize(mean, mean, 3), "channel 0: mean 0, std 0" },
        { tp_augment_normalize(mean, none, 3), "channel 1: mean 0, std 0" },
        { tp_augment_normalize(NULL, NULL, 3), "std 0" },
        { tp_augment_noise(-1), "sigma -1" },
        { tp_augment_erasing(2, (tp_erasing_opts){ 0 }), "a probability of 2" },
        { tp_augment_erasing(1, (tp_erasing_opts){ .ratio_high = 1 }), "ratio 0 to 1" },
    };

    for (int i = 0; i < TP_LEN(bad); i++) {
        CASE("step %d", i);
        CHECK_REFUSED(tp_data_augment(set_of(x), &bad[i].a, 1), TP_ERR_ARG, bad[i].why);
    }
    tp_augment flip = tp_augment_flip(1);
    CASE("lists");
    CHECK_REFUSED(tp_data_augment(set_of(x), &flip, 0), TP_ERR_ARG, "0 steps");
    CHECK_REFUSED(tp_data_augment(NULL, &flip, 1), TP_ERR_ARG, "a data set");
    CHECK_REFUSED(tp_data_augment(set_of(random_pictures(1, 2, 4, 4)), &flip, 1), TP_ERR_SHAPE, "field 0 is f32 (2, 4, 4)");
    CHECK_REFUSED(tp_data_augment(set_of(check_numbers(TP_SHAPE(2, 3, 4, 4), TP_F64, 0, 1, tp_device_open("cpu"))), &flip, 1), TP_ERR_SHAPE, "f64 (3, 4, 4)");
}

static bool run_everything(void)
{
    tp_dataset *d = everything();
    tp_batch b;
    TP_SCOPE;
    bool ok = d && tp_data_sample(d, 1, &b);

    tp_data_set_free(d);
    return ok;
}

static bool run_mix(void)
{
    tp_dataset *d = tp_data_cutmix(tp_data_mixup(plain_pictures(), 1), 1);

    tp_data_set_free(d);
    tp_batch b;
    TP_SCOPE;
    if (tp_error_code() == TP_ERR_ARG) tp_clear_error(); /* mixed labels can't be mixed again */
    d = tp_data_mixup(plain_pictures(), 1);
    bool ok = d && tp_data_sample(d, 1, &b);

    tp_data_set_free(d);
    return ok;
}

Test(augment, out_of_memory, IN_FOLDER)
{
    CASE("everything");
    check_memory(run_everything);
    CASE("mixup");
    check_memory(run_mix);
}
