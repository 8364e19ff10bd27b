/*
 * random.c - draws of other kinds than rand and randn, made of them; none has a gradient.
 *
 *   bernoulli     1 where u < p
 *   randint       low + a whole number of two draws, modulo the range
 *   randperm      the order of n draws
 *   multinomial   with replacement: where u times the sum falls among the running sums of the weights;
 *                 without: the largest log w - log(-log u) (Gumbel 1954; Efraimidis & Spirakis 2006)
 */
#include "autograd/op.h"

#include <math.h>

static tp_tensor *bernoulli(tp_tensor *p)
{
    tp_tensor *y = tp__new_as(p->shape, (tp_dtype)p->dtype, tp__device(p), tp__layout_of(p));
    tp_draw d;
    tp_loop l;

    if (!y || !tp__draw(tp__device(p), tp_count(p), &d)) return NULL;
    l = tp__loop_logical(&p->shape, TP_LIST(y, p));
    return TP_RUN(bernoulli, p, &l, tp__data(p), d, tp__data(y)) ? y : NULL;
}

/* Without the kernel nobody looks at the probabilities: that would wait for the device. */
tp_tensor *tp_bernoulli(tp_tensor *p)
{
    tp_rng before = tp_rng_save();
    tp_tensor *y;
    bool kernel;

    TP_SCOPE;
    TP_NO_GRAD;
    if (!tp__check("bernoulli", TP_LIST(p), 1)) return NULL;
    kernel = tp__backend(p)->bernoulli[p->dtype];
    TP_REQUIRE_IN("bernoulli", tp__is_float(p) && (kernel || p->dtype != TP_F16), TP_ERR_DTYPE,
                  "probabilities are f32, f64 or bf16, on a GPU f16 too, not %s", tp__text(p));
    if (kernel) y = bernoulli(p);
    else y = tp_cast(tp_lt(tp_rand_like(p), p), (tp_dtype)p->dtype);
    if (!y) tp__me()->rng = before; /* a failed op consumes no random numbers */
    return tp_pass(y);
}

tp_tensor *tp_randint(int64_t low, int64_t high, tp_shape s, tp_device *dev)
{
    tp_tensor *upper, *lower, *number, *range;
    const double step = 0x1p24; /* a draw has so many values */

    TP_SCOPE;
    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("randint", low < high && (low >= 0 || high < INT64_MAX + low) && high - low <= (int64_t)1 << 47, TP_ERR_ARG,
                  "from %lld to below %lld: at most 2^47 numbers", (long long)low, (long long)high);
    TP_REQUIRE_IN("randint", dev, TP_ERR_DEVICE, "missing device");
    upper = tp_cast(tp_scale(tp_rand(s, dev), step), TP_I64), lower = tp_cast(tp_scale(tp_rand(s, dev), step), TP_I64);
    number = tp_add(tp_scale(upper, step), lower);
    range = tp_full(TP_SCALAR, (double)(high - low), TP_I64, dev);
    return tp_pass(tp_shift(tp_remainder(number, range), (double)low));
}

tp_tensor *tp_randperm(int64_t n, tp_device *dev)
{
    TP_SCOPE;
    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("randperm", dev, TP_ERR_DEVICE, "missing device");
    if (!tp__shape_ok("randperm", TP_SHAPE(n))) return NULL;
    return tp_pass(tp_argsort(tp_rand(TP_SHAPE(n), dev), 0, false));
}

tp_tensor *tp_searchsorted(tp_tensor *sorted, tp_tensor *x, bool right)
{
    int64_t rows, cols, n;
    tp_shape s;
    tp_tensor *y;

    TP_SCOPE;
    TP_NO_GRAD;
    if (!tp__meet("searchsorted", &sorted, &x)) return NULL;
    TP_REQUIRE_IN("searchsorted", sorted->shape.rank > 0 && sorted->shape.rank == x->shape.rank, TP_ERR_SHAPE,
                  "as many axes are wanted, at least one, not %s and %s", tp__text(sorted), tp__text(x));
    cols = tp_dim(sorted, -1), n = tp_dim(x, -1);
    s = sorted->shape, s.n[s.rank - 1] = n;
    TP_REQUIRE_IN("searchsorted", tp__same(&s, &x->shape), TP_ERR_SHAPE, "%s and %s must differ along the last axis alone",
                  tp__text(sorted), tp__text(x));
    rows = n ? tp_count(x) / n : 0;
    if (!(sorted = tp__rows(sorted)) || !(x = tp__rows(x)) || !(y = tp__new(s, TP_I64, tp__device(x)))) return NULL;
    if (!TP_RUN(search, x, rows, cols, n, tp__data(sorted), tp__data(x), right, tp__data(y))) return NULL;
    return tp_pass(y);
}

/* ---- multinomial ---- */

static bool weights_ok(tp_tensor *w, int64_t samples, bool replacement)
{
    tp_tensor *fine = tp_logical_and(tp_ge_scalar(w, 0), tp_isfinite(w));
    tp_tensor *enough = tp_ge_scalar(tp_count_nonzero(w, TP_AXES(-1)), replacement ? 1 : (double)samples);
    double all = tp_item(tp_all(fine, TP_ALL)), some = tp_item(tp_all(enough, TP_ALL));

    if (!tp_ok()) return false;
    TP_REQUIRE_IN("multinomial", all, TP_ERR_ARG, "weights must be finite and not negative");
    TP_REQUIRE_IN("multinomial", some || !replacement, TP_ERR_ARG,
                  "a row has no weight above 0: one is wanted");
    TP_REQUIRE_IN(
        "multinomial", some, TP_ERR_ARG,
        "a row has fewer weights above 0 than the %lld samples without replacement",
        (long long)samples);
    return true;
}

tp_tensor *tp_multinomial(tp_tensor *weights, int64_t samples, bool replacement)
{
    tp_tensor *w, *u, *place, *sums;
    tp_shape s;

    TP_SCOPE;
    TP_NO_GRAD;
    if (!tp__check("multinomial", TP_LIST(weights), 1)) return NULL;
    TP_REQUIRE_IN("multinomial", (weights->shape.rank == 1 || weights->shape.rank == 2) && tp_dim(weights, -1) > 0, TP_ERR_SHAPE,
                  "weights must be (n) or (rows, n), not %s", tp__text(weights));
    TP_REQUIRE_IN("multinomial", tp__is_float(weights), TP_ERR_DTYPE, "weights must be floats, not %s", tp__text(weights));
    TP_REQUIRE_IN("multinomial", samples > 0, TP_ERR_ARG,
                  "%lld samples: 1 or more are wanted", (long long)samples);
    w = tp_cast(tp_detach(weights), TP_F64);
    if (!weights_ok(w, samples, replacement)) return NULL;
    if (!replacement) { /* 1 - u lies in (0, 1] */
        u = tp_neg(tp_log(tp_affine(tp_rand_like(w), -1, 1)));
        tp_topk(tp_sub(tp_log(w), tp_log(u)), samples, -1, true, &place);
        return tp_pass(place);
    }
    s = w->shape, s.n[s.rank - 1] = samples;
    sums = tp_cumsum(w, -1);
    u = tp_mul(tp_rand_like(tp_zeros(s, TP_F64, tp_device_of(w))), tp_slice(sums, -1, -1, tp_dim(sums, -1)));
    return tp_pass(tp_searchsorted(sums, u, true));
}
