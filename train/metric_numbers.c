/*
 * metric_numbers.c - predicted against true numbers: MAE, MSE, RMSE, MAPE, R2.
 *
 * The spread of y is kept as by Welford (1962), so that a large mean takes nothing from it.
 */
#include "train/metric.h"

#include <float.h>
#include <math.h>

typedef struct sums {
    double absolute, squared, relative; /* of the errors */
    double mean, spread; /* of y: its mean, and the sum of squares around it */
} sums;

typedef struct numbers {
    tp_metric base;
    sums s;
} numbers;

static void add_one(sums *s, int64_t before, double x, double y)
{
    double e = fabs(x - y), d = y - s->mean;

    s->absolute += e, s->squared += e * e, s->relative += e / fmax(fabs(y), DBL_EPSILON);
    s->mean += d / (double)(before + 1), s->spread += d * (y - s->mean);
}

static bool numbers_update(tp_metric *base, tp_tensor *x, tp_tensor *y)
{
    numbers *m = (numbers *)base;
    tp_shape s = tp_shape_of(x), t = tp_shape_of(y);
    size_t x_bytes = 0, y_bytes = 0;
    double *got, *want;

    TP_REQUIRE_IN(base->kind->name, tp__same(&s, &t), TP_ERR_SHAPE, "predicted is %s and true %s: one shape is wanted",
                  tp__text(x), tp__text(y));
    got = tp__metric_f64(x, &x_bytes), want = got ? tp__metric_f64(y, &y_bytes) : NULL;
    for (int64_t i = 0; want && i < tp_count(x); i++)
        add_one(&m->s, base->seen++, got[i], want[i]);
    tp__release(got, x_bytes), tp__release(want, y_bytes);
    return want != NULL;
}

static double mean_of(const tp_metric *m, double sum)
{
    return sum / (double)m->seen;
}

static double mae(tp_metric *m)
{
    return mean_of(m, ((numbers *)m)->s.absolute);
}

static double mse(tp_metric *m)
{
    return mean_of(m, ((numbers *)m)->s.squared);
}

static double rmse(tp_metric *m)
{
    return sqrt(mse(m));
}

static double mape(tp_metric *m)
{
    return mean_of(m, ((numbers *)m)->s.relative);
}

static double r2(tp_metric *m)
{
    const sums *s = &((numbers *)m)->s;

    if (m->seen < 2) return (double)NAN;
    if (s->spread == 0) return s->squared == 0 ? 1 : isnan(s->squared) ? s->squared : 0;
    return 1 - s->squared / s->spread;
}

static void numbers_reset(tp_metric *m)
{
    ((numbers *)m)->s = (sums){ 0 };
}

#define NUMBERS(maker, function)                                                         \
    tp_metric *maker(void)                                                               \
    {                                                                                    \
        static const tp_metric_kind kind = { .name = #maker, .bytes = sizeof(numbers),   \
                                             .update = numbers_update, .value = function, \
                                             .reset = numbers_reset };                   \
                                                                                         \
        return tp__metric_new(&kind);                                                    \
    }
NUMBERS(tp_metric_mae, mae)
NUMBERS(tp_metric_mse, mse)
NUMBERS(tp_metric_rmse, rmse)
NUMBERS(tp_metric_mape, mape)
NUMBERS(tp_metric_r2, r2)
