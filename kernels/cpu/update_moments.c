/*
 * update_moments.c - steps of Adam's relatives, which keep a mean m of the gradients and a
 * measure v of their size.
 *
 *     adamax   Kingma & Ba 2015, section 7.1
 *     nadam    Dozat 2016
 *     radam    Liu et al. 2020
 *
 * d is the gradient, unscaled, with the weight's decay unless that is decoupled;
 * m += (1 - beta1) (d - m).
 */
#include "kernels/cpu/update.h"

static void decay_of(update_job *j, double lr, double weight_decay, bool decoupled)
{
    j->shrink = (A)(decoupled ? lr * weight_decay : 0);
    j->decay = (A)(decoupled ? 0 : weight_decay);
}

static void betas_of(update_job *j, double beta1, double beta2, double eps)
{
    j->rest1 = (A)(1 - beta1), j->beta2 = (A)beta2, j->rest2 = (A)(1 - beta2), j->eps = (A)eps;
}

/* v = max(beta2 v, |d| + eps);  p -= lr / (1 - beta1^step) m / v */
static void adamax_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                         int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first;
    T *restrict p = (T *)u->p + first;
    T *restrict m = (T *)u->m + first, *restrict v = (T *)u->v + first;
    A over = j->over, decay = j->decay, rest1 = j->rest1, beta2 = j->beta2, eps = j->eps,
      step = j->step;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A w = LOAD(p[i]), d = LOAD(g[i]) * over + decay * w, old = LOAD(m[i]);
        A mean = old + rest1 * (d - old);
        A most = larger(beta2 * LOAD(v[i]), (d < 0 ? -d : d) + eps);

        m[i] = STORE(mean), v[i] = STORE(most);
        p[i] = STORE(w - step * (mean / most));
    }
}

int KERNEL(adamax)(tp_ctx *c, int count, const tp_update *u, tp_adamax_args a, tp_scalars s)
{
    update_job j = { .count = count, .u = u, .f = adamax_chunk, .over = over(&s, a.maximize) };

    if (skipped(&s)) return 0;
    decay_of(&j, *s.lr, a.weight_decay, false), betas_of(&j, a.beta1, a.beta2, a.eps);
    j.step = (A)(*s.lr / (1 - pow(a.beta1, *s.step)));
    return update(c, &j);
}

/* v = beta2 v + (1 - beta2) d^2;  r = sqrt(v / (1 - beta2^step)) + eps;
 * p -= lr (1 - mu_t) / (1 - prod_t) d / r + lr mu_(t+1) / (1 - prod_(t+1)) m / r
 *     mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2), prod_t = mu_1 ... mu_t */
static void nadam_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                        int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first;
    T *restrict p = (T *)u->p + first;
    T *restrict m = (T *)u->m + first, *restrict v = (T *)u->v + first;
    A over = j->over, decay = j->decay, shrink = j->shrink, rest1 = j->rest1, beta2 = j->beta2,
      rest2 = j->rest2;
    A root2 = j->root2, eps = j->eps, step = j->step, ahead = j->ahead;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A w = LOAD(p[i]), d = LOAD(g[i]) * over + decay * w, old = LOAD(m[i]);
        A mean = old + rest1 * (d - old), square = beta2 * LOAD(v[i]) + rest2 * (d * d);

        m[i] = STORE(mean), v[i] = STORE(square);
        p[i] = STORE(w - (shrink * w + (step * d + ahead * mean) / (ROOT(square) * root2 + eps)));
    }
}

/* prod_t from t alone: nothing more to keep.  What is below 2^-60 is lost beside 1. */
static double product_of(const tp_nadam_args *a, double step)
{
    double q = pow(0.96, a->momentum_decay), power = 1, product = 1;

    for (double t = 1; t <= step && product > 0x1p-60; t++)
        power *= q, product *= a->beta1 * (1 - 0.5 * power);
    return product;
}

int KERNEL(nadam)(tp_ctx *c, int count, const tp_update *u, tp_nadam_args a, tp_scalars s)
{
    update_job j = { .count = count, .u = u, .f = nadam_chunk, .over = over(&s, a.maximize) };
    double t = *s.step, mu, next, product;

    if (skipped(&s)) return 0;
    decay_of(&j, *s.lr, a.weight_decay, a.decoupled), betas_of(&j, a.beta1, a.beta2, a.eps);
    mu = a.beta1 * (1 - 0.5 * pow(0.96, t * a.momentum_decay));
    next = a.beta1 * (1 - 0.5 * pow(0.96, (t + 1) * a.momentum_decay));
    product = product_of(&a, t);
    j.step = (A)(*s.lr * (1 - mu) / (1 - product)), j.ahead = (A)(*s.lr * next / (1 - product * next));
    j.root2 = (A)(1 / sqrt(1 - pow(a.beta2, t)));
    return update(c, &j);
}

/* v = beta2 v + (1 - beta2) d^2;  p -= lr / fix1 m, or, once enough is known (rho > 5),
 * lr / fix1 m sqrt(fix2) / (sqrt v + eps) rect
 *     fix = 1 - beta^step, rho = top - 2 step beta2^step / fix2, top = 2 / (1 - beta2) - 1,
 *     rect^2 = (rho - 4) (rho - 2) top / ((top - 4) (top - 2) rho) */
static void radam_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                        int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first;
    T *restrict p = (T *)u->p + first;
    T *restrict m = (T *)u->m + first, *restrict v = (T *)u->v + first;
    A over = j->over, decay = j->decay, shrink = j->shrink, rest1 = j->rest1, beta2 = j->beta2,
      rest2 = j->rest2;
    A eps = j->eps, step = j->step;
    bool adaptive = j->adaptive;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A w = LOAD(p[i]), d = LOAD(g[i]) * over + decay * w, old = LOAD(m[i]);
        A mean = old + rest1 * (d - old), square = beta2 * LOAD(v[i]) + rest2 * (d * d);

        m[i] = STORE(mean), v[i] = STORE(square);
        p[i] = STORE(w - (shrink * w + step * (adaptive ? mean / (ROOT(square) + eps) : mean)));
    }
}

int KERNEL(radam)(tp_ctx *c, int count, const tp_update *u, tp_radam_args a, tp_scalars s)
{
    update_job j = { .count = count, .u = u, .f = radam_chunk, .over = over(&s, a.maximize) };
    double t = *s.step, fix1 = 1 - pow(a.beta1, t), fix2 = 1 - pow(a.beta2, t);
    double top = 2 / (1 - a.beta2) - 1, rho = top - 2 * t * pow(a.beta2, t) / fix2, rect = 1;

    if (skipped(&s)) return 0;
    decay_of(&j, *s.lr, a.weight_decay, a.decoupled), betas_of(&j, a.beta1, a.beta2, a.eps);
    j.adaptive = rho > 5;
    if (j.adaptive) rect = sqrt(fix2 * (rho - 4) * (rho - 2) * top / ((top - 4) * (top - 2) * rho));
    j.step = (A)(*s.lr / fix1 * rect);
    return update(c, &j);
}
