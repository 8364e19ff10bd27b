/*
 * test_loss.c - losses of numbers, distributions, pairs, triples and labels.
 */
#include "tests/calls.h"
#include "tests/golden.h"
#include "tests/gradients.h"

/* ---- PyTorch's values ---- */

#define HOW(k) ((tp_loss_opts){ (tp_reduce)(k)->opts[0] })
#define LOSS(op, ...) static bool run_##op(kase *k) { return ONE(k, tp_##op(k->in[0], k->in[1], __VA_ARGS__)); }
LOSS(l1_loss, HOW(k))
LOSS(mse_loss, HOW(k))
LOSS(bce, HOW(k))
LOSS(huber_loss, k->fopts[0], HOW(k))
LOSS(smooth_l1_loss, k->fopts[0], HOW(k))
LOSS(hinge_embedding_loss, k->fopts[0], HOW(k))
LOSS(cosine_similarity, (int)k->opts[0], k->fopts[0])

static bool run_bce_weighted(kase *k)
{
    tp_bce_opts o = { .reduction = (tp_reduce)k->opts[0] };

    if (k->opts[1]) o.weight = k->in[2];
    if (k->opts[2]) o.pos_weight = k->in[k->opts[1] ? 3 : 2];
    return ONE(k, tp_bce_with_logits_with(k->in[0], k->in[1], o));
}

static bool run_kl_div(kase *k)
{
    tp_kl_div_opts o = { (tp_reduce)k->opts[0], k->opts[1], k->opts[2] };

    return ONE(k, tp_kl_div(k->in[0], k->in[1], o));
}

static bool run_cosine_embedding_loss(kase *k)
{
    tp_cosine_embedding_opts o = { k->fopts[0], (tp_reduce)k->opts[0] };

    return ONE(k, tp_cosine_embedding_loss(k->in[0], k->in[1], k->in[2], o));
}

static bool run_margin_ranking_loss(kase *k)
{
    tp_margin_ranking_opts o = { k->fopts[0], (tp_reduce)k->opts[0] };

    return ONE(k, tp_margin_ranking_loss(k->in[0], k->in[1], k->in[2], o));
}

static bool run_triplet_margin_loss(kase *k)
{
    tp_triplet_opts o = tp_triplet_defaults();

    o.reduction = (tp_reduce)k->opts[0], o.swap = k->opts[1];
    o.margin = k->fopts[0], o.p = k->fopts[1], o.eps = k->fopts[2];
    return ONE(k, tp_triplet_margin_loss(k->in[0], k->in[1], k->in[2], o));
}

static tp_cross_entropy_opts label_opts(const kase *k)
{
    tp_cross_entropy_opts o = tp_cross_entropy_defaults();

    o.reduction = (tp_reduce)k->opts[0], o.ignore_index = k->opts[1];
    o.weight = k->opts[2] ? tp_detach(k->in[2]) : NULL, o.label_smoothing = k->fopts[0];
    return o;
}

static bool run_nll_loss(kase *k)
{
    return ONE(k, tp_nll_loss(k->in[0], k->in[1], label_opts(k)));
}

static bool run_cross_entropy_general(kase *k)
{
    return ONE(k, tp_cross_entropy_with(k->in[0], k->in[1], label_opts(k)));
}

GOLDEN(losses, R(l1_loss), R(mse_loss), R(bce), R(bce_weighted), R(huber_loss),
       R(smooth_l1_loss), R(kl_div), R(cosine_similarity), R(hinge_embedding_loss),
       R(cosine_embedding_loss), R(margin_ranking_loss), R(triplet_margin_loss))
GOLDEN(labelled, R(nll_loss), R(cross_entropy_general))

/* ---- finite differences ---- */

static const tp_loss_opts mean, each = { TP_NONE };

static tp_tensor *signs(tp_tensor *like)
{
    return tp_from((int32_t[]){ 1, -1, -1 }, TP_SHAPE(3), TP_I32, tp_device_of(like));
}

static tp_tensor *labels(tp_tensor *like)
{
    return tp_from((int64_t[]){ 1, -100, 3, 0 }, TP_SHAPE(4), TP_I64, tp_device_of(like));
}

static tp_cross_entropy_opts smooth(tp_tensor *weight, double e)
{
    tp_cross_entropy_opts o = tp_cross_entropy_defaults();

    o.weight = weight ? tp_detach(weight) : NULL, o.label_smoothing = e;
    return o;
}

F(f_l1, tp_l1_loss(a, b, mean))
F(f_mse, tp_mul(tp_mse_loss(a, b, each), a))
F(f_huber, tp_huber_loss(a, b, .8, mean))
F(f_smooth_l1, tp_smooth_l1_loss(a, b, .5, mean))
F(f_bce, tp_bce(tp_sigmoid(a), b, mean))
F(f_bce_weighted, tp_bce_with_logits_with(a, b,
                                          (tp_bce_opts){ TP_SUM, tp_full_like(b, 3),
                                                         tp_full_like(b, .4) }))
F(f_kl, tp_kl_div(tp_log_softmax(a, -1), tp_softmax(b, -1), (tp_kl_div_opts){ .batch_mean = true }))
F(f_kl_log, tp_kl_div(tp_log_softmax(a, -1), tp_log_softmax(b, -1), (tp_kl_div_opts){ .log_target = true }))
F(f_cosine, tp_cosine_similarity(a, b, 1, 1e-8))
F(f_hinge, tp_hinge_embedding_loss(a, signs(a), 1, mean))
F(f_cosine_embedding, tp_cosine_embedding_loss(a, b, signs(a), (tp_cosine_embedding_opts){ -.5, TP_SUM }))
F(f_ranking, tp_margin_ranking_loss(a, b, signs(a), (tp_margin_ranking_opts){ 3, TP_SUM }))
F(f_triplet, tp_triplet_margin_loss(a, b, c, tp_triplet_defaults()))
F(f_nll, tp_nll_loss(tp_log_softmax(a, 1), labels(a), tp_cross_entropy_defaults()))
F(f_smoothed, tp_cross_entropy_with(a, labels(a), smooth(NULL, .2)))
F(f_places, tp_cross_entropy(a, tp_from((int64_t[]){ 1, 0, 2, 1 }, TP_SHAPE(2, 1, 2), TP_I64, tp_device_of(a))))

static const row rows[] = {
    { "l1_loss", f_l1, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "mse_loss", f_mse, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "huber_loss", f_huber, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "smooth_l1_loss", f_smooth_l1, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "bce", f_bce, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "bce_with_logits weighted", f_bce_weighted, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "kl_div", f_kl, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "kl_div of logarithms", f_kl_log, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "cosine_similarity", f_cosine, 2, { R3(2, 3, 2), R3(2, 3, 2) }, -1, NULL, 0 },
    { "hinge_embedding_loss", f_hinge, 1, { R1(3) }, -1, NULL, 0 },
    { "cosine_embedding_loss", f_cosine_embedding, 2, { R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "margin_ranking_loss", f_ranking, 2, { R1(3), R1(3) }, -1, NULL, 0 },
    { "triplet_margin_loss", f_triplet, 3, { R2(3, 4), R2(3, 4), R2(3, 4) }, -1, NULL, 0 },
    { "nll_loss", f_nll, 1, { R2(4, 5) }, -1, NULL, 0 },
    { "cross_entropy smoothed", f_smoothed, 1, { R2(4, 5) }, -1, NULL, 0 },
    { "cross_entropy over places", f_places, 1, { R4(2, 3, 1, 2) }, -1, NULL, 0 },
};

GRADIENTS(loss, rows)

/* Weights are constants: they are given beside the rows above. */
static tp_tensor *f_weighted(tp_list in, void *user)
{
    return tp_cross_entropy_with(in.t[0], labels(in.t[0]), smooth(user, .2));
}

static tp_tensor *f_probable_weighted(tp_list in, void *user)
{
    return tp_cross_entropy_with(in.t[0], tp_softmax(in.t[1], 1), smooth(user, .1));
}

Test(loss, weights_of_classes)
{
    tp_device *dev = tp_device_open("cpu");
    tp_gradcheck_report r;
    tp_tensor *w, *x, *t;

    TP_SCOPE;
    w = check_numbers(TP_SHAPE(5), TP_F64, .5, 2, dev), x = check_leaf(TP_SHAPE(4, 5), -1, 1, dev), t = check_leaf(TP_SHAPE(4, 5), -1, 1, dev);
    CASE("labels");
    CHECK(tp_gradcheck(f_weighted, TP_LIST(x), w, &r) && tp_gradgradcheck(f_weighted, TP_LIST(x), w, &r));
    CASE("probabilities");
    CHECK(tp_gradcheck(f_probable_weighted, TP_LIST(x, t), w, &r) && tp_gradgradcheck(f_probable_weighted, TP_LIST(x, t), w, &r));
}

/* ---- what is special ---- */

ON_EACH_DEVICE(loss, extremes)
{
    tp_cross_entropy_opts o = tp_cross_entropy_defaults();
    tp_tensor *zero, *one, *none, *q;

    TP_SCOPE;
    CASE("extremes on %s", tp_device_name(dev));
    zero = tp_zeros(TP_SHAPE(1), TP_F32, dev), one = tp_ones(TP_SHAPE(1), TP_F32, dev), none = tp_zeros(TP_SHAPE(0, 3), TP_F32, dev);
    CHECK_NEAR(tp_item(tp_bce(zero, one, mean)), 100, 0); /* sure, and wrong */
    CHECK_NEAR(tp_item(tp_bce(one, one, mean)), 0, 0);
    for (int i = 0; i < 4; i++) { /* the logarithm that is cut off has no gradient, the other has its own */
        tp_tensor *p = tp_requires_grad(tp_full(TP_SHAPE(1), i & 1, TP_F32, dev), true);

        CHECK(tp_backward(tp_bce(p, i & 2 ? one : zero, mean)));
        CHECK_NEAR(check_at(tp_grad(p), 0), i == 0 ? 1 : i == 3 ? -1 : 0, 0);
    }
    CHECK(isnan(tp_item(tp_bce(tp_full(TP_SHAPE(1), NAN, TP_F32, dev), one, mean))));
    CHECK(isnan(tp_item(tp_l1_loss(none, none, mean))) && tp_item(tp_l1_loss(none, none, (tp_loss_opts){ TP_SUM })) == 0);
    q = tp_requires_grad(tp_zeros(TP_SHAPE(1, 3), TP_F64, dev), true); /* p = 0 counts for nothing, gradient too */
    CHECK(tp_backward(tp_kl_div(tp_full(TP_SHAPE(1, 3), -1, TP_F64, dev), q, (tp_kl_div_opts){ 0 })));
    CHECK(isfinite(check_at(tp_grad(q), 0)));
    o.label_smoothing = .1;
    CHECK(isnan(tp_item(tp_cross_entropy_with(F32(2, 3), tp_full(TP_SHAPE(2), -100, TP_I64, dev), o)))); /* all ignored */
    CHECK(tp_dtype_of(tp_cross_entropy_with(tp_cast(F32(2, 3), TP_BF16), tp_zeros(TP_SHAPE(2), TP_I64, dev), o)) == TP_F32);
    CHECK_NEAR(tp_item(tp_cosine_similarity(zero, one, 0, 1e-8)), 0, 0);
    CHECK_NEAR(tp_item(tp_huber_loss(tp_full(TP_SHAPE(1), 3e38, TP_F32, dev), zero, 1, mean)), 3e38, 1e32);
}

/* The probabilities of a large vocabulary would be as large as its logits, as would be a wider copy of those. */
ON_EACH_DEVICE(loss, cross_entropy_keeps_the_logits_alone)
{
    static const tp_dtype dtypes[] = { TP_F32, TP_BF16, TP_F16 };
    static const double bounds[] = { 0, 0x1p-6, 0x1p-9 }; /* twice what rounding changes of numbers up to 2 */

    for (int i = 0; i < 3; i++) {
        tp_tensor *x, *y, *logits, *loss;
        int64_t before;
        double expected;
        TP_SCOPE;

        CASE("%s on %s", tp_dtype_name(dtypes[i]), tp_device_name(dev));
        x = tp_requires_grad(check_numbers(TP_SHAPE(64, 1000), TP_F32, -2, 2, dev), true), y = tp_full(TP_SHAPE(64), 7, TP_I64, dev);
        expected = tp_item(tp_cross_entropy(x, y));
        logits = tp_cast(x, dtypes[i]);
        CHECK(tp_device_wait(dev));
        before = (int64_t)tp_memory_stats(dev).now;
        {
            TP_AUTOCAST(i ? dtypes[i] : TP_F32);
            loss = tp_cross_entropy(logits, y);
        }
        if (dev->backend->cross_entropy[dtypes[i]]) /* else a copy is what makes it work at all */
            CHECK((int64_t)tp_memory_stats(dev).now - before < 64 * 1000);
        CHECK(tp_dtype_of(loss) == TP_F32);
        CHECK_NEAR(tp_item(loss), expected, bounds[i]);
        CHECK(tp_backward(loss) && tp_grad(x));
    }
}

static tp_tensor *bce_sum(tp_tensor *x, tp_tensor *t, tp_loss_opts o)
{
    return tp_bce_with_logits_with(x, t, (tp_bce_opts){ .reduction = o.reduction });
}

/* A target that is no number is no error: the loss isn't either, and nor is the gradient there. */
ON_EACH_DEVICE(loss, nan_targets)
{
    static tp_tensor *(*const of[])(tp_tensor * x, tp_tensor * t,
                                    tp_loss_opts o) = { tp_mse_loss, tp_l1_loss, tp_bce, bce_sum };

    for (int i = 0; i < TP_LEN(of); i++) {
        TP_SCOPE;
        tp_tensor *x = tp_requires_grad(tp_full(TP_SHAPE(2), 0.5, TP_F32, dev), true);
        tp_tensor *t = tp_to(
            tp_from((float[]){ NAN, 0.25f }, TP_SHAPE(2), TP_F32, tp_device_open("cpu")), dev);
        tp_tensor *loss = of[i](x, t, (tp_loss_opts){ TP_SUM });

        CASE("loss %d on %s", i, tp_device_name(dev));
        CHECK(isnan(tp_item(loss)) && tp_backward(loss));
        CHECK((i == 1 || isnan(check_at(tp_grad(x), 0))) && isfinite(check_at(tp_grad(x), 1)));
    }
}

/* ---- refusals ---- */

ON_EACH_DEVICE(loss, refusals)
{
    tp_cross_entropy_opts o = tp_cross_entropy_defaults();
    tp_triplet_opts three = tp_triplet_defaults();
    tp_tensor *x, *y, *i;

    TP_SCOPE;
    x = F32(2, 3), y = F32(3), i = tp_zeros(TP_SHAPE(2), TP_I64, dev);
    SHAPE(tp_l1_loss(x, y, mean), "l1_loss: f32 (2, 3) and f32 (3) must have one shape");
    ARG(tp_mse_loss(NULL, x, mean), "mse_loss: input 0 is missing");
    DTYPE(tp_l1_loss(i, i, mean), "l1_loss: not offered for i64 (2)");
    ARG(tp_l1_loss(x, x, (tp_loss_opts){ (tp_reduce)7 }), "there is no reduction 7");
    SHAPE(tp_bce_with_logits_with(x, x, (tp_bce_opts){ .weight = F32(2) }),
          "weight f32 (2) doesn't broadcast to f32 (2, 3)");
    SHAPE(tp_bce_with_logits_with(x, x, (tp_bce_opts){ .pos_weight = F32(4, 2, 3) }),
          "pos_weight f32 (4, 2, 3) doesn't broadcast");
    ARG(tp_huber_loss(x, x, 0, mean), "delta 0 must be above 0");
    ARG(tp_smooth_l1_loss(x, x, -1, mean), "beta -1 must not be negative");
    SHAPE(tp_kl_div(SCALAR, SCALAR, (tp_kl_div_opts){ .batch_mean = true }), "first axis of a tensor without one");
    ARG(tp_cosine_similarity(x, x, 2, 1e-8), "no axis 2");
    SHAPE(tp_hinge_embedding_loss(x, y, 1, mean), "y must be (2, 3), of 1 and -1, not f32 (3)");
    SHAPE(tp_cosine_embedding_loss(x, x, y, (tp_cosine_embedding_opts){ 0 }), "y must be (2), of 1 and -1, not f32 (3)");
    SHAPE(tp_margin_ranking_loss(x, y, y, (tp_margin_ranking_opts){ 0 }), "must have one shape");
    ARG(tp_triplet_margin_loss(x, x, x, (tp_triplet_opts){ 0 }), "start from tp_triplet_defaults()");
    three.margin = 0;
    ARG(tp_triplet_margin_loss(x, x, x, three), "margin 0 must be above 0");
    SHAPE(tp_nll_loss(y, i, o), "nll_loss: (N, C) is wanted, not f32 (3)");
    SHAPE(tp_nll_loss(x, tp_zeros(TP_SHAPE(3), TP_I64, dev), o), "labels must be (2), not i64 (3)");
    DTYPE(tp_nll_loss(x, F32(2), o), "labels must be i64, i32 or u8, not f32 (2)");
    SHAPE(tp_cross_entropy(x, F32(2, 2)), "probabilities must be (N, C) as the logits, not f32 (2, 2) for f32 (2, 3)");
    SHAPE(tp_cross_entropy(F32(2, 3, 4), i), "labels must be (2, 4), or probabilities of the logits' shape, not i64 (2)");
    o.label_smoothing = 1.5;
    ARG(tp_cross_entropy_with(x, i, o), "label_smoothing 1.5: 0 to 1");
    o.label_smoothing = .1;
    ARG(tp_nll_loss(x, i, o), "smoothed by cross_entropy alone");
    o.weight = F32(2);
    SHAPE(tp_cross_entropy_with(x, i, o), "the weight of classes must be float (3)");
    if (dev != tp_device_open("cpu")) return;
    o.weight = NULL;
    ARG(tp_cross_entropy_with(x, tp_full(TP_SHAPE(2), 3, TP_I64, dev), o), "index 3 is outside 0..2");
}
