/*
 * metric_frechet.c - the Frechet distance of two sets of features (Heusel et al. 2017).
 *
 * Of each set the sums of x and x x' are kept, of x less the first row seen, so that features far
 * from 0 lose no digits.  tr (C1 C2)^(1/2) is the sum of the roots of the eigenvalues of
 * C1^(1/2) C2 C1^(1/2), which is symmetric where C1 C2 isn't.
 */
#include "train/metric.h"
#include "train/train.h"

#include "autograd/ops.h"

#include <math.h>

enum { MOST_FEATURES = 8192 };

typedef struct set {
    int64_t n;
    tp_tensor *origin, *sum, *products; /* (1, d), (1, d), (d, d); f64 on the CPU, kept */
} set;

typedef struct frechet {
    tp_metric base;
    int64_t features;
    set side[2];
} frechet;

static void set_clear(set *s)
{
    tp_free(s->origin), tp_free(s->sum), tp_free(s->products);
    *s = (set){ 0 };
}

/* What s is with the rows of t too; kept.  products NULL and an error: s stands. */
static set grown(const set *s, tp_tensor *t)
{
    tp_tensor *x = tp_to(tp_cast(tp_detach(t), TP_F64), tp_device_open("cpu"));
    tp_tensor *origin = s->origin ? s->origin : tp_shift(tp_slice(x, 0, 0, 1), 0), *from = tp_sub(x, origin);
    tp_tensor *sum = tp_sum(from, (tp_axes){ .n = 1, .keep = true }), *products = tp_matmul(tp_transpose(from, 0, 1), from);
    set now = { s->n + tp_dim(t, 0), NULL, NULL, NULL };

    if (s->n) sum = tp_add(sum, s->sum), products = tp_add(products, s->products);
    if (tp_store(&now.origin, origin) && tp_store(&now.sum, sum) && tp_store(&now.products, products)) return now;
    set_clear(&now);
    return now;
}

static bool frechet_update(tp_metric *base, tp_tensor *x, tp_tensor *y)
{
    frechet *m = (frechet *)base;
    tp_tensor *t[2] = { x, y };
    set now[2] = { { 0 }, { 0 } };

    for (int i = 0; i < 2; i++)
        TP_REQUIRE_IN(base->kind->name, !t[i] || (tp__is_float(t[i]) && tp_rank(t[i]) == 2 && tp_dim(t[i], 1) == m->features),
                      TP_ERR_SHAPE, "features are %s: floats (N, %lld) are wanted", tp__text(t[i]), (long long)m->features);
    for (int i = 0; i < 2; i++)
        if (t[i] && tp_dim(t[i], 0)) now[i] = grown(&m->side[i], t[i]);
    for (int i = 0; i < 2; i++)
        if (!tp_ok()) set_clear(&now[i]);
        else if (now[i].n) set_clear(&m->side[i]), m->side[i] = now[i];
    base->seen = m->side[0].n + m->side[1].n;
    return tp_ok();
}

/* ---- the value ---- */

static tp_tensor *mean_of(const set *s)
{
    return tp_add(s->origin, tp_scale(s->sum, 1 / (double)s->n));
}

/* (sum x x' - n m m') / (n - 1), of x less the origin */
static tp_tensor *covariance(const set *s)
{
    tp_tensor *m = tp_scale(s->sum, 1 / (double)s->n), *outer = tp_matmul(tp_transpose(m, 0, 1), m);

    return tp_scale(tp_sub(s->products, tp_scale(outer, (double)s->n)), 1 / (double)(s->n - 1));
}

/* The vectors of c as rows, and its values (d, 1), in f64. */
typedef struct spectrum {
    tp_tensor *vectors, *values;
} spectrum;

static spectrum spectrum_of(tp_tensor *c)
{
    int64_t d = tp_dim(c, 0);
    size_t bytes = (size_t)(d * d) * sizeof(double), row = (size_t)d * sizeof(double);
    double *a = tp__alloc(bytes), *value = tp__alloc(row), *scratch = tp__alloc(row);
    tp_device *cpu = tp_device_open("cpu");
    spectrum s = { NULL, NULL };

    if (a && value && scratch && tp_read(c, a, bytes)) {
        if (!tp__symmetric_eigen(a, d, value, scratch))
            tp__fail(TP_ERR_NONFINITE, "tp_metric_frechet", "the features hold NaN or infinity");
        s.vectors = tp_from(a, TP_SHAPE(d, d), TP_F64, cpu), s.values = tp_from(value, TP_SHAPE(d, 1), TP_F64, cpu);
    }
    tp__release(a, bytes), tp__release(value, row), tp__release(scratch, row);
    return s;
}

/* A covariance has no values below 0 but those of rounding. */
static tp_tensor *roots(tp_tensor *values)
{
    return tp_sqrt(tp_relu(values));
}

static double frechet_value(tp_metric *base)
{
    const frechet *m = (const frechet *)base;
    tp_tensor *c[2], *root, *gap, *unit = tp_eye(m->features, m->features, TP_F64, tp_device_open("cpu"));
    spectrum s;
    double trace = 0, cross;

    if (m->side[0].n < 2 || m->side[1].n < 2) return (double)NAN;
    for (int i = 0; i < 2; i++)
        c[i] = covariance(&m->side[i]), trace += tp_item(tp_sum(tp_mul(c[i], unit), TP_ALL));
    s = spectrum_of(c[0]);
    root = tp_matmul(tp_transpose(s.vectors, 0, 1), tp_mul(s.vectors, roots(s.values)));
    root = tp_matmul(tp_matmul(root, c[1]), root);
    cross = tp_item(tp_sum(roots(spectrum_of(tp_scale(tp_add(root, tp_transpose(root, 0, 1)), 0.5)).values), TP_ALL));
    gap = tp_sum(tp_square(tp_sub(mean_of(&m->side[0]), mean_of(&m->side[1]))), TP_ALL);
    return tp_item(gap) + trace - 2 * cross;
}

static void frechet_reset(tp_metric *base)
{
    for (int i = 0; i < 2; i++)
        set_clear(&((frechet *)base)->side[i]);
}

tp_metric *tp_metric_frechet(int64_t features)
{
    static const tp_metric_kind kind = { .name = "tp_metric_frechet", .bytes = sizeof(frechet), .one_sided = true,
                                         .update = frechet_update, .value = frechet_value, .reset = frechet_reset,
                                         .release = frechet_reset };
    frechet *m;

    TP_REQUIRE(features > 0 && features <= MOST_FEATURES, TP_ERR_ARG, "%lld features: 1 to %d are wanted",
               (long long)features, MOST_FEATURES);
    if ((m = tp__metric_new(&kind))) m->features = features;
    return m ? &m->base : NULL;
}

/* ---- over loaders ---- */

static tp_tensor *features_of(tp_module *m, tp_tensor *x)
{
    tp_tensor *y = tp_nn_predict(m, x);

    TP_REQUIRE_IN("tp_train_frechet", !y || tp_rank(y) > 1, TP_ERR_SHAPE, "the module gives %s: (N, ...) is wanted", tp__text(y));
    return tp_rank(y) > 2 ? tp_flatten(y, 1) : y;
}

static bool gather(tp_metric **k, tp_module *m, tp_loader *l, bool made)
{
    for (tp_batch b; tp_data_next(l, &b);) {
        TP_SCOPE;
        tp_tensor *y = features_of(m, b.x);

        if (y && !*k) *k = tp_metric_frechet(tp_dim(y, 1));
        if (!tp_metric_update(*k, made ? NULL : y, made ? y : NULL)) return false;
    }
    return tp_ok();
}

double tp_train_frechet(tp_module *m, tp_loader *real, tp_loader *made)
{
    tp_metric *k = NULL;
    double d;

    if (tp_data_opts(real).endless || tp_data_opts(made).endless)
        tp__fail(TP_ERR_ARG, __func__, "an endless loader has no pass that ends");
    d = tp_ok() && gather(&k, m, real, false) && gather(&k, m, made, true) ? tp_metric_value(k) : (double)NAN;

    tp_metric_free(k);
    return d;
}
