/*
 * test_metrics.c - metrics against scikit-learn 1.9, sacrebleu 2 and SciPy's sqrtm, whose numbers
 * stand here as they print them, and against values by hand.  Sums of a few f64 terms: 1e-14.
 */
#include "tests/check.h"

#include "train/metric.h"
#include "train/train.h"

static tp_tensor *numbers(const double *v, tp_shape s)
{
    return tp_from(v, s, TP_F64, tp_device_open("cpu"));
}

static tp_tensor *labels(const int64_t *v, int64_t n)
{
    return tp_from(v, TP_SHAPE(n), TP_I64, tp_device_open("cpu"));
}

/* All that both halves give together is what the whole gives. */
static double in_halves(tp_metric *m, tp_tensor *x, tp_tensor *y)
{
    int64_t n = tp_dim(y, 0), half = n / 2;

    tp_metric_reset(m);
    CHECK(tp_metric_update(m, tp_slice(x, 0, 0, half), tp_slice(y, 0, 0, half)));
    CHECK(tp_metric_update(m, tp_slice(x, 0, half, n), tp_slice(y, 0, half, n)));
    CHECK(tp_metric_update(m, tp_slice(x, 0, 0, 0), tp_slice(y, 0, 0, 0)));
    CHECK(tp_metric_seen(m) == tp_count(y));
    return tp_metric_value(m);
}

/* ---- classes ---- */

static const int64_t truth[] = { 0, 1, 2, 2, 1, 0, 3, 1, 2, 0 }, taken[] = { 0, 2, 2, 2, 1, 1, 3, 2, 0, 4 };

ON_EACH_DEVICE(metrics, class_scores)
{
    static const double want[3][3] = { /* macro, micro, weighted of sklearn.metrics */
        { 0.5, 0.5, 0.55 }, { 0.4666666666666666, 0.5, 0.5 }, { 0.4742857142857143, 0.5, 0.5114285714285715 } };
    static const double each[3][6] = { { 0.5, 0.5, 0.5, 1, 0, 0 }, { 1 / 3.0, 1 / 3.0, 2 / 3.0, 1, 0, 0 }, { 0.4, 0.4, 4 / 7.0, 1, 0, 0 } };
    double got[6];
    TP_SCOPE;

    for (int what = 0; what < 3; what++)
        for (int average = 0; average < 3; average++)
            for (int dtype = 0; dtype < 2; dtype++) {
                tp_metric *m = tp_metric_class_score(6, (tp_class_score)what, (tp_average)average);
                tp_tensor *x = tp_to(tp_cast(labels(taken, 10), dtype ? TP_U8 : TP_I64), dev);

                CASE("score %d, average %d", what, average);
                CHECK(isnan(tp_metric_value(m)));
                CHECK_NEAR(in_halves(m, x, tp_to(labels(truth, 10), dev)), want[what][average], 1e-14);
                CHECK(tp_metric_per_class(m, (tp_class_score)what, got, 6));
                for (int c = 0; c < 6; c++)
                    CHECK_NEAR(got[c], each[what][c], 1e-14);
                tp_metric_free(m);
            }
}

ON_EACH_DEVICE(metrics, confusion_of_scores)
{
    static const double score[] = { 3, 1, 2, 0, 5, 5, 1, NAN, 2, -INFINITY, -INFINITY, -INFINITY }; /* best: 0, 1, 1, 0 */
    static const int64_t label[] = { 0, 2, 1, 2 }, want[] = { 1, 0, 0, 0, 1, 0, 1, 1, 0 };
    static const tp_dtype dtype[] = { TP_F32, TP_F64, TP_BF16, TP_F16 };
    int64_t got[9];
    TP_SCOPE;

    for (int d = 0; d < TP_LEN(dtype); d++) {
        tp_metric *m = tp_metric_confusion(3);
        tp_tensor *x = tp_to(tp_cast(numbers(score, TP_SHAPE(4, 3)), dtype[d]), dev), *y = tp_to(labels(label, 4), dev);

        CASE("confusion of %s", tp_dtype_name(dtype[d]));
        CHECK_NEAR(in_halves(m, x, y), 0.5, 0);
        CHECK(tp_metric_counts(m, got, 9) && !memcmp(got, want, sizeof got));
        CASE("more axes");
        tp_metric_reset(m);
        CHECK(tp_metric_update(m, tp_reshape(x, TP_SHAPE(2, 2, 3)), tp_reshape(y, TP_SHAPE(2, 2))));
        CHECK(tp_metric_counts(m, got, 9) && !memcmp(got, want, sizeof got));
        tp_metric_free(m);
    }
}

ON_EACH_DEVICE(metrics, top_k)
{
    static const double score[] = { 4, 3, 2, 1, 1, 1, 1, 1, 0, NAN, 2, 1 };
    static const int64_t label[] = { 1, 2, 2 };
    static const double want[] = { 0, 2.0 / 3, 1, 1 };
    TP_SCOPE;

    for (int k = 1; k <= 4; k++) {
        tp_metric *m = tp_metric_top_k(k);

        CASE("top %d", k);
        CHECK_NEAR(in_halves(m, tp_to(numbers(score, TP_SHAPE(3, 4)), dev), tp_to(labels(label, 3), dev)), want[k - 1], 1e-15);
        tp_metric_free(m);
    }
}

/* ---- rankings ---- */

ON_EACH_DEVICE(metrics, rankings)
{
    static const double score[] = { 0.1, 0.4, 0.35, 0.8, 0.4, 0.4, 0.9, 0.2 };
    static const int64_t label[] = { 0, 0, 1, 1, 1, 0, 1, 0 };
    static const unsigned char one[] = { 0, 0 };
    TP_SCOPE;
    tp_metric *auc = tp_metric_roc_auc(), *ap = tp_metric_average_precision();
    tp_tensor *x = tp_to(numbers(score, TP_SHAPE(8)), dev), *y = tp_to(labels(label, 8), dev);

    CASE("ties");
    CHECK_NEAR(in_halves(auc, x, y), 0.8125, 1e-15);
    CHECK_NEAR(in_halves(ap, x, y), 0.8166666666666667, 1e-15);
    CASE("many, all equal, and infinite");
    tp_metric_reset(auc);
    for (int i = 0; i < 100; i++)
        CHECK(tp_metric_update(auc, tp_full(TP_SHAPE(8), i % 2 ? 3 : INFINITY, TP_F32, dev), y));
    CHECK_NEAR(tp_metric_value(auc), 0.5, 0);
    CASE("one class");
    tp_metric_reset(auc), tp_metric_reset(ap);
    y = tp_from(one, TP_SHAPE(2), TP_BOOL, dev);
    CHECK(tp_metric_update(auc, tp_slice(x, 0, 0, 2), y) && tp_metric_update(ap, tp_slice(x, 0, 0, 2), y));
    CHECK(isnan(tp_metric_value(auc)) && tp_metric_value(ap) == 0);
    tp_metric_free(auc), tp_metric_free(ap);
}

/* ---- numbers ---- */

typedef tp_metric *maker(void);
static maker *const of_numbers[] = { tp_metric_mae, tp_metric_mse, tp_metric_rmse, tp_metric_mape, tp_metric_r2 };

ON_EACH_DEVICE(metrics, of_predicted_numbers)
{
    static const double x[] = { 2.5, 0, 2, 8, -1.5, 0 }, y[] = { 3, -0.5, 2, 7, -2, 0 };
    static const double want[] = { 0.5, 0.35, 0.5916079783099616, 0.3119047619047619, 0.9636929460580913 };
    static const struct { double x[2], y[2], want[5]; } extreme[] = {
        { { 1, 1 }, { 0, 1 }, { 0.5, 0.5, M_SQRT1_2, 2251799813685248.0, -1 } },
        { { 2, 2 }, { 2, 2 }, { 0, 0, 0, 0, 1 } },
        { { 2, 3 }, { 2, 2 }, { 0.5, 0.5, M_SQRT1_2, 0.25, 0 } },
        { { NAN, 3 }, { 2, 2 }, { NAN, NAN, NAN, NAN, NAN } },
        { { 1e9, 1e9 + 2 }, { 1e9 + 1, 1e9 + 3 }, { 1, 1, 1, 9.99999998e-10, 0 } },
    };
    TP_SCOPE;

    for (int k = 0; k < 5; k++) {
        tp_metric *m = of_numbers[k]();

        CASE("metric %d", k);
        CHECK(isnan(tp_metric_value(m)));
        CHECK_NEAR(in_halves(m, tp_to(numbers(x, TP_SHAPE(5, 1)), dev), tp_to(numbers(y, TP_SHAPE(5, 1)), dev)), want[k], 1e-14);
        for (int i = 0; i < TP_LEN(extreme); i++) {
            CASE("metric %d, extreme %d", k, i);
            tp_metric_reset(m);
            CHECK(tp_metric_update(m, numbers(extreme[i].x, TP_SHAPE(2)), numbers(extreme[i].y, TP_SHAPE(2))));
            CHECK_NEAR(tp_metric_value(m), extreme[i].want[k], 1e-15);
        }
        CASE("metric %d of one sample", k);
        tp_metric_reset(m);
        CHECK(tp_metric_update(m, labels(truth, 1), labels(taken, 1)));
        CHECK_NEAR(tp_metric_value(m), k == 4 ? NAN : 0, 0);
        tp_metric_free(m);
    }
}

/* ---- language ---- */

ON_EACH_DEVICE(metrics, perplexity)
{
    static const double score[] = { 1, 2, 0.5, 0.2, 1.5, -1, 3, 0.1, 0.4, 2, 2, 1 };
    static const int64_t label[] = { 1, 0, 0, -100 };
    static const double huge[] = { 1e5, 0, -1e5 }, lost[] = { -INFINITY, -INFINITY, -INFINITY };
    TP_SCOPE;
    tp_metric *m = tp_metric_perplexity(-100);

    CASE("one is ignored");
    CHECK(tp_metric_update(m, tp_to(numbers(score, TP_SHAPE(2, 2, 3)), dev), tp_to(tp_reshape(labels(label, 4), TP_SHAPE(2, 2)), dev)));
    CHECK_NEAR(tp_metric_value(m), 2.074722704053312, 1e-14);
    CHECK(tp_metric_seen(m) == 3);
    CASE("huge logits, and none possible");
    tp_metric_reset(m);
    CHECK(tp_metric_update(m, numbers(huge, TP_SHAPE(1, 3)), labels(label + 1, 1)));
    CHECK_NEAR(tp_metric_value(m), 1, 0);
    CHECK(tp_metric_update(m, numbers(lost, TP_SHAPE(1, 3)), labels(label, 1)) && isnan(tp_metric_value(m)));
    CASE("all are ignored");
    tp_metric_reset(m);
    CHECK(tp_metric_update(m, numbers(huge, TP_SHAPE(1, 3)), labels(label + 3, 1)) && isnan(tp_metric_value(m)));
    tp_metric_free(m);
}

static double bleu_of(tp_bleu_opts o, const char *const *text, const char *const (*refs)[2], int n, int n_refs)
{
    tp_metric *m = tp_metric_bleu(o);
    double v;

    for (int i = 0; i < n; i++)
        CHECK(tp_metric_bleu_words(m, text[i], refs[i], n_refs));
    v = tp_metric_value(m);
    tp_metric_free(m);
    return v;
}

Test(metrics, bleu)
{
    static const char *const text[] = { "the cat sat on the mat today", "\ta dog  runs \n",
                                        "it is a guide to action which ensures that the military always obeys" };
    static const char *const refs[][2] = {
        { "the cat sat on the mat", "there is a cat on the mat" },
        { "the dog is running", "a dog ran fast away" },
        { "it is a guide to action that ensures that the military will forever heed",
          "it is the guiding principle which guarantees the military forces always" } };
    static const double want[4][2][3] = { /* sacrebleu; max_n 4 and 2 */
        { { 0.5963010623868827, 0, 0 }, { 0.7152129382472043, 0.3894003915357024, 1 } },
        { { 0.5963010623868827, 0.27534765745159184, 0 }, { 0.7152129382472043, 0.3894003915357024, 1 } },
        { { 0.5963010623868827, 0.14643803168582156, 0 }, { 0.7152129382472043, 0.3894003915357024, 1 } },
        { { 0.6149057022428346, 0.38940039153570255, 1 }, { 0.7224741694670768, 0.4769161324512283, 1 } } };

    for (int s = 0; s < 4; s++)
        for (int k = 0; k < 2; k++) {
            tp_bleu_opts o = { .max_n = k ? 2 : 0, .smoothing = (tp_bleu_smoothing)s };

            CASE("smoothing %d, max_n %d", s, o.max_n);
            CHECK_NEAR(bleu_of(o, text, refs, 3, 2), want[s][k][0], 1e-14);
            CHECK_NEAR(bleu_of(o, (const char *const[]){ "a b c d" }, (const char *const[][2]){ { "a b x d e" } }, 1, 1), want[s][k][1], 1e-14);
            CHECK_NEAR(bleu_of(o, (const char *const[]){ "a b" }, (const char *const[][2]){ { "a b" } }, 1, 1), want[s][k][2], 1e-14);
            CASE("nothing, and nothing alike");
            CHECK_NEAR(bleu_of(o, (const char *const[]){ "", " " }, (const char *const[][2]){ { "a", "" }, { "", "b" } }, 2, 2), 0, 0);
            CHECK_NEAR(bleu_of(o, (const char *const[]){ "a b c d e" }, (const char *const[][2]){ { "v w x y z" } }, 1, 1), 0, 0);
        }
}

Test(metrics, bleu_of_tokens)
{
    static const int64_t c[] = { 7, 7, 7, 7, 7, 7, 7 }, r[] = { 7, -1, 1LL << 60, 7, 3, 4 }, q[] = { 1, 2 };
    tp_metric *m = tp_metric_bleu((tp_bleu_opts){ .max_n = 1 });

    CASE("a word that fills the candidate is clipped to its two places (Papineni et al., example 2)");
    CHECK(tp_metric_bleu_tokens(m, (tp_tokens_view){ c, 7 }, (tp_tokens_view[]){ { r, 6 }, { q, 2 } }, 2));
    CHECK_NEAR(tp_metric_value(m), 2.0 / 7, 1e-15);
    CASE("short candidates pay");
    tp_metric_reset(m);
    CHECK(tp_metric_bleu_tokens(m, (tp_tokens_view){ r, 2 }, (tp_tokens_view[]){ { r, 6 } }, 1));
    CHECK_NEAR(tp_metric_value(m), exp(1 - 6.0 / 2), 1e-15);
    tp_metric_free(m);
}

/* ---- distributions ---- */

Test(metrics, eigenvalues)
{
    enum { MOST = 33 };
    static double a[MOST * MOST], v[MOST * MOST], d[MOST], e[MOST];

    for (int n = 1; n <= MOST; n++)
        for (int kind = 0; kind < 4; kind++) { /* dense, of rank 1, diagonal, zero */
            double size = 0, off = 0, angle = 0;

            for (int i = 0; i < n * n; i++) {
                int r = i / n < i % n ? i / n : i % n, c = i / n + i % n - r;
                double x = sin(12.9898 * r + 78.233 * c) * 10;

                a[i] = v[i] = kind == 0 ? x : kind == 1 ? sin(r + 1) * sin(c + 1) : kind == 2 && r == c ? r % 3 : 0;
                size = fmax(size, fabs(a[i]));
            }
            CASE("%d by %d, kind %d", n, n, kind);
            CHECK(tp__symmetric_eigen(v, n, d, e));
            for (int i = 0; i < n; i++)
                for (int k = 0; k < n; k++) {
                    double av = 0, dot = 0;

                    for (int j = 0; j < n; j++)
                        av += a[k * n + j] * v[i * n + j], dot += v[i * n + j] * v[k * n + j];
                    off = fmax(off, fabs(av - d[i] * v[i * n + k])), angle = fmax(angle, fabs(dot - (i == k)));
                }
            CHECK(off <= 1e-15 * size * n * n + 1e-300 && angle <= 1e-15 * n * n + 1e-15);
        }
    a[0] = NAN;
    CHECK(!tp__symmetric_eigen(a, 1, d, e));
}

static const double here[] = { 1, 2, 0.5, 0.2, 1.5, -1, 3, 0.1, 0.4, 2, 2, 1, -1, 0.3, 0.7, 0.6, 1.1, -0.2 };
static const double there[] = { 0.5, 1, 1, 1.2, -0.5, 0, 2, 1.1, 0.9, 1.5, 0.2, -1, 0, 0.8, 1.7 };

ON_EACH_DEVICE(metrics, frechet)
{
    TP_SCOPE;
    tp_metric *m = tp_metric_frechet(3);
    tp_tensor *x = tp_to(numbers(here, TP_SHAPE(6, 3)), dev), *y = tp_to(numbers(there, TP_SHAPE(5, 3)), dev);

    CASE("in parts");
    CHECK(tp_metric_update(m, tp_slice(x, 0, 0, 2), NULL) && isnan(tp_metric_value(m)));
    CHECK(tp_metric_update(m, tp_slice(x, 0, 2, 6), tp_slice(y, 0, 0, 1)) && isnan(tp_metric_value(m)));
    CHECK(tp_metric_update(m, NULL, tp_slice(y, 0, 1, 5)));
    CHECK_NEAR(tp_metric_value(m), 1.533104266479613, 1e-13);
    CHECK(tp_metric_seen(m) == 11);
    CASE("far from 0");
    tp_metric_reset(m);
    CHECK(tp_metric_update(m, tp_shift(x, 4096), tp_shift(y, 4096)));
    CHECK_NEAR(tp_metric_value(m), 1.533104266479613, 1e-9); /* x itself is known to 4096 2^-53 */
    CASE("of itself");
    tp_metric_reset(m);
    CHECK(tp_metric_update(m, x, x));
    CHECK_NEAR(tp_metric_value(m), 0, 1e-13);
    CASE("NaN");
    tp_metric_reset(m);
    CHECK(tp_metric_update(m, tp_scale(x, NAN), y));
    CHECK_REFUSED(!isnan(tp_metric_value(m)), TP_ERR_NONFINITE, "tp_metric_frechet: the features hold NaN");
    tp_metric_free(m);
}

ON_EACH_DEVICE(metrics, frechet_of_loaders)
{
    TP_SCOPE;
    tp_tensor *x = numbers(here, TP_SHAPE(6, 3, 1)), *y = numbers(there, TP_SHAPE(5, 3, 1));
    tp_loader_opts by_two = { .batch = 2, .device = dev };
    tp_loader *a = tp_data_loader(tp_data_tensors(TP_LIST(x)), by_two), *b = tp_data_loader(tp_data_tensors(TP_LIST(y)), by_two);
    tp_module *m = tp_nn_flatten();

    CHECK_NEAR(tp_train_frechet(m, a, b), 1.533104266479613, 1e-13);
    CHECK_REFUSED(!isnan(tp_train_frechet(NULL, a, b)), TP_ERR_ARG, "");
    tp_nn_free(m), tp_data_free(a), tp_data_free(b);
}

static tp_tensor *as_they_are(tp_module *net, tp_tensor *x)
{
    (void)net;
    return tp_shift(x, 0);
}

static double distance(tp_tensor *x, tp_tensor *y)
{
    tp_metric *m = tp_metric_frechet(3);
    double d = tp_metric_update(m, x, y) ? tp_metric_value(m) : NAN;

    tp_metric_free(m);
    return d;
}

/* The classifier takes the largest of three numbers: batches are cut where neither n nor 2 n is. */
ON_EACH_DEVICE(metrics, judge)
{
    static const double real[] = { 1, 0, 0, 0, 2, 0, 0, 0, 1.5, 3, 0, 1, 0, 1.1, 0.2, 0.4, 0, 2, 1, 0.9, 0, 0, 0, 5 };
    static const int64_t label[] = { 0, 1, 2, 0, 1, 2, 1, 2 }, wanted[] = { 0, 1, 2 };
    static const double made[] = { 0.9, 0.1, 0, 0, 2, 1, 1, 0.5, 0.2 };
    TP_SCOPE;
    tp_tensor *x = numbers(real, TP_SHAPE(8, 3)), *y = tp_from(label, TP_SHAPE(8), TP_I64, tp_device_open("cpu"));
    tp_tensor *z = tp_to(numbers(made, TP_SHAPE(3, 3)), dev), *w = tp_to(tp_from(wanted, TP_SHAPE(3), TP_I64, tp_device_open("cpu")), dev);
    tp_loader *l = tp_data_loader(tp_data_tensors(TP_LIST(x, y)), (tp_loader_opts){ .batch = 4, .device = dev });
    tp_loader *few = tp_data_loader(tp_data_tensors(TP_LIST(tp_slice(x, 0, 0, 5), tp_slice(y, 0, 0, 5))),
                                    (tp_loader_opts){ .batch = 4, .device = dev });
    tp_loader *bare = tp_data_loader(tp_data_tensors(TP_LIST(x)), (tp_loader_opts){ .batch = 4, .device = dev });
    tp_module *net = tp_nn_identity();
    tp_judged r;

    CHECK(tp_train_judge(net, as_they_are, l, z, w, &r) && tp_nn_training(net));
    CHECK_NEAR(r.frechet, distance(tp_slice(x, 0, 0, 3), z), 1e-13);
    CHECK_NEAR(r.real_frechet, distance(tp_slice(x, 0, 0, 3), tp_slice(x, 0, 3, 6)), 1e-13);
    CHECK_NEAR(r.recognised, 2. / 3, 1e-15);
    CHECK_NEAR(r.least, 0, 0);
    CHECK_NEAR(r.most, 2. / 3, 1e-15);
    CHECK_NEAR(r.real_recognised, 1, 0);
    CHECK_NEAR(r.accuracy, 7. / 8, 1e-15);
    CHECK(r.compared == 3 && tp_data_position(l).pass == 1 && !tp_data_position(l).batch);
    CHECK(tp_train_judge(net, as_they_are, l, z, NULL, &r) && isnan(r.recognised));
    CHECK_REFUSED(tp_train_judge(net, as_they_are, few, z, w, &r), TP_ERR_SHAPE, "5 real pictures for 3 made ones");
    CHECK(isnan(r.frechet));
    CHECK_REFUSED(tp_train_judge(net, as_they_are, bare, z, w, &r), TP_ERR_ARG, "the real pictures have no labels");
    CHECK_REFUSED(tp_train_judge(net, as_they_are, l, z, y, &r), TP_ERR_SHAPE, "labels are");
    CHECK_REFUSED(tp_train_judge(net, as_they_are, l, NULL, NULL, &r), TP_ERR_ARG, "missing made pictures");
    CHECK_REFUSED(tp_train_judge(net, NULL, l, z, w, &r), TP_ERR_ARG, "missing features");
    tp_nn_free(net), tp_data_free(l), tp_data_free(few), tp_data_free(bare);
}

/* Labels that leave out classes: real ones of the others are neither compared nor asked about. */
ON_EACH_DEVICE(metrics, judge_of_some_classes)
{
    static const double real[] = { 1, 0, 0, 0, 2, 0, 0, 0, 1.5, 3, 0, 1, 0, 1.1, 0.2, 0.4, 0, 2, 1, 0.9, 0, 0, 0, 5 };
    static const double made[] = { 0.9, 0.1, 0, 0, 2, 1, 1, 0.5, 0.2 };
    static const int64_t label[] = { 0, 1, 2, 0, 1, 2, 1, 2 };
    static const struct { int64_t wanted[3], n, first[3], next[3]; double recognised, real_recognised; } some[] = {
        { { 2, 1, 1 }, 3, { 1, 2, 4 }, { 5, 6, 7 }, 1. / 3, 2. / 3 }, { { 0, 1, 1 }, 2, { 0, 1 }, { 3, 4 }, 2. / 3, 1 } };
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_tensor *x = numbers(real, TP_SHAPE(8, 3)), *z = numbers(made, TP_SHAPE(3, 3)), *one = tp_full(TP_SHAPE(3), 1, TP_U8, dev);
    tp_dataset *data = tp_data_tensors(TP_LIST(x, tp_from(label, TP_SHAPE(8), TP_I64, cpu)));
    tp_loader *l = tp_data_loader(data, (tp_loader_opts){ .batch = 4, .device = dev });
    tp_module *net = tp_nn_identity();
    tp_judged r;

    for (int i = 0; i < TP_LEN(some); i++) {
        int64_t n = some[i].n;
        tp_tensor *first = tp_index_select(x, 0, tp_from(some[i].first, TP_SHAPE(n), TP_I64, cpu));
        tp_tensor *next = tp_index_select(x, 0, tp_from(some[i].next, TP_SHAPE(n), TP_I64, cpu));
        tp_tensor *wanted = tp_to(tp_from(some[i].wanted, TP_SHAPE(3), TP_I64, cpu), dev);

        CASE("%lld of each", (long long)n);
        CHECK(tp_train_judge(net, as_they_are, l, tp_to(z, dev), wanted, &r) && r.compared == n);
        CHECK_NEAR(r.frechet, distance(first, tp_slice(z, 0, 0, n)), 1e-13);
        CHECK_NEAR(r.real_frechet, distance(first, next), 1e-13);
        CHECK_NEAR(r.recognised, some[i].recognised, 1e-15);
        CHECK_NEAR(r.most, 2. / 3, 1e-15);
        CHECK_NEAR(r.real_recognised, some[i].real_recognised, 1e-15);
        CHECK_NEAR(r.accuracy, 7. / 8, 1e-15);
    }
    CHECK_REFUSED(tp_train_judge(net, as_they_are, l, tp_to(z, dev), one, &r), TP_ERR_SHAPE,
                  "3 real pictures of the classes that the labels have: 4 or more are wanted");
    CHECK(isnan(r.frechet) && r.compared == 0);
    CHECK_REFUSED(tp_train_judge(net, as_they_are, l, tp_to(z, dev), tp_shift(tp_cast(one, TP_I64), 6), &r), TP_ERR_SHAPE,
                  "0 real pictures of the classes");
    tp_nn_free(net), tp_data_free(l);
}

/* ---- what is refused ---- */

Test(metrics, refusals)
{
    static const int64_t l[] = { 0, 1, 3 };
    TP_SCOPE;
    tp_tensor *x = numbers(here, TP_SHAPE(6, 3)), *three = tp_slice(x, 0, 0, 3), *y = labels(l, 3), *flat = numbers(here, TP_SHAPE(3));
    tp_metric *top = tp_metric_top_k(2), *c = tp_metric_confusion(3), *auc = tp_metric_roc_auc(), *mae = tp_metric_mae(),
              *p = tp_metric_perplexity(-1), *b = tp_metric_bleu((tp_bleu_opts){ 0 }), *f = tp_metric_frechet(2);
    int64_t counts[9];

    CASE("makers");
    CHECK_REFUSED(tp_metric_top_k(0), TP_ERR_ARG, "tp_metric_top_k: k is 0: 1 or more is wanted");
    CHECK_REFUSED(tp_metric_confusion(0), TP_ERR_ARG, "tp_metric_confusion: 0 classes: 1 to 32768 are wanted");
    CHECK_REFUSED(tp_metric_class_score(2, (tp_class_score)3, TP_MICRO), TP_ERR_ARG, "no such score (3)");
    CHECK_REFUSED(tp_metric_bleu((tp_bleu_opts){ .max_n = 17 }), TP_ERR_ARG, "max_n is 17");
    CHECK_REFUSED(tp_metric_frechet(8193), TP_ERR_ARG, "8193 features: 1 to 8192 are wanted");
    CASE("updates");
    CHECK_REFUSED(tp_metric_update(top, three, y), TP_ERR_ARG, "tp_metric_top_k: label 3 is none of 3 classes");
    CHECK_REFUSED(tp_metric_update(top, x, y), TP_ERR_SHAPE, "scores are f64 (6, 3) and labels i64 (3)");
    CHECK_REFUSED(tp_metric_update(top, tp_slice(three, 1, 0, 1), y), TP_ERR_SHAPE, "2 classes or more are wanted");
    CHECK_REFUSED(tp_metric_update(c, y, y), TP_ERR_ARG, "tp_metric_confusion: label 3 is none of 3 classes");
    CHECK_REFUSED(tp_metric_update(c, tp_slice(y, 0, 0, 2), y), TP_ERR_SHAPE, "integers of one shape are wanted");
    CHECK_REFUSED(tp_metric_update(c, tp_slice(three, 1, 0, 2), y), TP_ERR_SHAPE, "(..., 3) is wanted");
    CHECK_REFUSED(tp_metric_update(auc, flat, y), TP_ERR_ARG, "tp_metric_roc_auc: label 3: 0 or 1 is wanted");
    CHECK_REFUSED(tp_metric_update(auc, three, y), TP_ERR_SHAPE, "floats (N) and integers (N) are wanted");
    CHECK_REFUSED(tp_metric_update(auc, tp_scale(tp_slice(flat, 0, 0, 2), NAN), tp_slice(y, 0, 0, 2)), TP_ERR_ARG, "score 0 of the batch is NaN");
    CHECK_REFUSED(tp_metric_update(mae, x, flat), TP_ERR_SHAPE, "predicted is f64 (6, 3) and true f64 (3): one shape is wanted");
    CHECK_REFUSED(tp_metric_update(p, three, y), TP_ERR_ARG, "tp_metric_perplexity: label 3 is none of 3 classes");
    CHECK_REFUSED(tp_metric_update(b, x, y), TP_ERR_ARG, "tp_metric_bleu is given tokens or words");
    CHECK_REFUSED(tp_metric_update(f, x, NULL), TP_ERR_SHAPE, "features are f64 (6, 3): floats (N, 2) are wanted");
    CHECK_REFUSED(tp_metric_update(f, NULL, NULL), TP_ERR_ARG, "tp_metric_frechet: missing x");
    CHECK_REFUSED(tp_metric_update(mae, x, NULL), TP_ERR_ARG, "tp_metric_mae: missing y");
    CASE("looking");
    CHECK_REFUSED(tp_metric_counts(mae, counts, 9), TP_ERR_ARG, "tp_metric_counts: a metric that counts classes");
    CHECK_REFUSED(tp_metric_counts(c, counts, 3), TP_ERR_ARG, "room for 3 numbers: 9 are wanted");
    CHECK_REFUSED(tp_metric_per_class(c, TP_F1, NULL, 3), TP_ERR_ARG, "and room, are wanted");
    CASE("texts");
    CHECK_REFUSED(tp_metric_bleu_words(b, "a", NULL, 1), TP_ERR_ARG, "a text and at least one reference are wanted");
    CHECK_REFUSED(tp_metric_bleu_words(b, "a", (const char *const[]){ NULL }, 1), TP_ERR_ARG, "reference 0 is missing");
    CHECK_REFUSED(tp_metric_bleu_words(mae, "a", (const char *const[]){ "a" }, 1), TP_ERR_ARG, "tp_metric_mae isn't tp_metric_bleu");
    CHECK_REFUSED(tp_metric_bleu_tokens(b, (tp_tokens_view){ NULL, 2 }, (tp_tokens_view[]){ { l, 1 } }, 1), TP_ERR_ARG, "text 0 has 2 tokens, and no numbers");
    CHECK_REFUSED(tp_metric_bleu_tokens(b, (tp_tokens_view){ l, 2 }, NULL, 0), TP_ERR_ARG, "0 references");
    CASE("nothing was changed, and nothing is nothing");
    for (int i = 0; i < 7; i++) {
        tp_metric *m = (tp_metric *[]){ top, c, auc, mae, p, b, f }[i];

        CHECK(tp_metric_seen(m) == 0 && isnan(tp_metric_value(m)));
        tp_metric_free(m);
    }
    CHECK(!tp_metric_update(NULL, x, y) && isnan(tp_metric_value(NULL)) && tp_metric_seen(NULL) == 0);
    tp_metric_reset(NULL), tp_metric_free(NULL);
}

/* ---- out of memory: an update happens whole or not at all ---- */

static tp_metric *nth(int k)
{
    switch (k) {
    case 0: return tp_metric_top_k(1);
    case 1: return tp_metric_class_score(3, TP_F1, TP_MACRO);
    case 2: return tp_metric_roc_auc();
    case 3: return tp_metric_r2();
    case 4: return tp_metric_perplexity(-1);
    case 5: return tp_metric_frechet(3);
    default: return tp_metric_bleu((tp_bleu_opts){ .smoothing = TP_BLEU_ADD_K });
    }
}

static bool some_update(int k, tp_metric *m, tp_tensor *x, tp_tensor *y)
{
    if (k == 2) return tp_metric_update(m, tp_flatten(tp_slice(x, 1, 0, 1), 0), y);
    if (k == 6) return tp_metric_bleu_words(m, "a b c", (const char *const[]){ "a b d" }, 1);
    return tp_metric_update(m, x, k == 3 || k == 5 ? x : y);
}

Test(metrics, out_of_memory)
{
    static const int64_t l[] = { 0, 1, 1, 0, 1, 0 };
    TP_SCOPE;
    tp_tensor *x = numbers(here, TP_SHAPE(6, 3)), *y = labels(l, 6);

    for (int k = 0; k < 7; k++) {
        bool done = false;
        int n = 0;
        tp_metric *whole = nth(k);
        double want = some_update(k, whole, x, y) ? tp_metric_value(whole) : NAN;

        for (; !done && n < 10000; n++) {
            tp_metric *m;
            double v = NAN;

            CASE("metric %d, allocation %d", k, n);
            tp__fail_after = n, m = nth(k);
            bool updated = m && some_update(k, m, x, y);
            if (updated) v = tp_metric_value(m);
            tp__fail_after = -1, done = tp_ok();
            CHECK(done || tp_error_code() == TP_ERR_MEMORY);
            tp_clear_error();
            CHECK(updated || tp_metric_seen(m) == 0);
            if (m && !updated && some_update(k, m, x, y)) v = tp_metric_value(m);
            if (m && (updated ? done : true)) CHECK_NEAR(v, want, 0);
            tp_metric_free(m);
        }
        CHECK(done && n > 1);
        tp_metric_free(whole);
    }
}
