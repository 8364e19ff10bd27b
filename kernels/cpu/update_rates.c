/*
 * update_rates.c - optimizer steps that divide by past gradients, or take their signs.
 *
 *     rmsprop    Hinton 2012, centered as Graves 2013
 *     adagrad    Duchi et al. 2011
 *     adadelta   Zeiler 2012
 *     lion       Chen et al. 2023
 *     muon       Jordan 2024: its direction, the momentum made orthogonal, is given
 *
 * d is the gradient, unscaled, with the weight's decay.
 */
#include "kernels/cpu/update.h"

/* v = alpha v + (1 - alpha) d^2;  centered: w += (1 - alpha) (d - w), v - w^2 under the root;
 * s = d / (sqrt v + eps);  m = momentum m + s;  p -= lr m. */
static void rmsprop_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                          int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first;
    T *restrict p = (T *)u->p + first, *restrict v = (T *)u->v + first;
    T *m = u->m ? (T *)u->m + first : NULL, *mean = u->w ? (T *)u->w + first : NULL;
    A over = j->over, decay = j->decay, lr = j->lr, eps = j->eps, alpha = j->beta2, rest = j->rest2;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A w = LOAD(p[i]), d = LOAD(g[i]) * over + decay * w;
        A square = alpha * LOAD(v[i]) + rest * (d * d), under = square, step;

        v[i] = STORE(square);
        if (mean) {
            A now = LOAD(mean[i]) + rest * (d - LOAD(mean[i]));

            mean[i] = STORE(now), under = square - now * now;
        }
        step = d / (ROOT(under) + eps);
        if (m) step += j->momentum * LOAD(m[i]), m[i] = STORE(step);
        p[i] = STORE(w - lr * step);
    }
}

int KERNEL(rmsprop)(tp_ctx *c, int count, const tp_update *u, tp_rmsprop_args a, tp_scalars s)
{
    update_job j = { .count = count, .u = u, .f = rmsprop_chunk, .over = over(&s, a.maximize) };

    if (skipped(&s)) return 0;
    j.lr = (A)*s.lr, j.decay = (A)a.weight_decay, j.momentum = (A)a.momentum, j.eps = (A)a.eps;
    j.beta2 = (A)a.alpha, j.rest2 = (A)(1 - a.alpha);
    return update(c, &j);
}

/* v += d^2;  p -= lr / (1 + (step - 1) lr_decay) d / (sqrt v + eps) */
static void adagrad_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                          int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first;
    T *restrict p = (T *)u->p + first, *restrict v = (T *)u->v + first;
    A over = j->over, decay = j->decay, lr = j->lr, eps = j->eps;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A w = LOAD(p[i]), d = LOAD(g[i]) * over + decay * w, sum = LOAD(v[i]) + d * d;

        v[i] = STORE(sum);
        p[i] = STORE(w - lr * (d / (ROOT(sum) + eps)));
    }
}

int KERNEL(adagrad)(tp_ctx *c, int count, const tp_update *u, tp_adagrad_args a, tp_scalars s)
{
    update_job j = { .count = count, .u = u, .f = adagrad_chunk, .over = over(&s, a.maximize) };

    if (skipped(&s)) return 0;
    j.lr = (A)(*s.lr / (1 + (*s.step - 1) * a.lr_decay));
    j.decay = (A)a.weight_decay, j.eps = (A)a.eps;
    return update(c, &j);
}

/* v = rho v + (1 - rho) d^2;  s = sqrt(m + eps) / sqrt(v + eps) d;
 * m = rho m + (1 - rho) s^2;  p -= lr s */
static void adadelta_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                           int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first;
    T *restrict p = (T *)u->p + first;
    T *restrict m = (T *)u->m + first, *restrict v = (T *)u->v + first;
    A over = j->over, decay = j->decay, lr = j->lr, eps = j->eps, rho = j->beta2, rest = j->rest2;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A w = LOAD(p[i]), d = LOAD(g[i]) * over + decay * w, old = LOAD(m[i]);
        A square = rho * LOAD(v[i]) + rest * (d * d);
        A step = ROOT(old + eps) / ROOT(square + eps) * d;

        v[i] = STORE(square), m[i] = STORE(rho * old + rest * (step * step));
        p[i] = STORE(w - lr * step);
    }
}

int KERNEL(adadelta)(tp_ctx *c, int count, const tp_update *u, tp_adadelta_args a, tp_scalars s)
{
    update_job j = { .count = count, .u = u, .f = adadelta_chunk, .over = over(&s, a.maximize) };

    if (skipped(&s)) return 0;
    j.lr = (A)*s.lr, j.decay = (A)a.weight_decay, j.eps = (A)a.eps;
    j.beta2 = (A)a.rho, j.rest2 = (A)(1 - a.rho);
    return update(c, &j);
}

/* p -= lr decay p + lr sign(beta1 m + (1 - beta1) g);  m = beta2 m + (1 - beta2) g */
static void lion_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                       int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first;
    T *restrict p = (T *)u->p + first, *restrict m = (T *)u->m + first;
    A over = j->over, shrink = j->shrink, lr = j->lr;
    A beta1 = j->beta1, rest1 = j->rest1, beta2 = j->beta2, rest2 = j->rest2;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A w = LOAD(p[i]), d = LOAD(g[i]) * over, old = LOAD(m[i]);
        A way = beta1 * old + rest1 * d, sign = (A)(way > 0) - (A)(way < 0);

        sign = way != way ? way : sign; /* a NaN shows */
        m[i] = STORE(beta2 * old + rest2 * d);
        p[i] = STORE(w - (shrink * w + lr * sign));
    }
}

int KERNEL(lion)(tp_ctx *c, int count, const tp_update *u, tp_lion_args a, tp_scalars s)
{
    update_job j = { .count = count, .u = u, .f = lion_chunk, .over = over(&s, a.maximize) };

    if (skipped(&s)) return 0;
    j.lr = (A)*s.lr, j.shrink = (A)(*s.lr * a.weight_decay);
    j.beta1 = (A)a.beta1, j.rest1 = (A)(1 - a.beta1);
    j.beta2 = (A)a.beta2, j.rest2 = (A)(1 - a.beta2);
    return update(c, &j);
}

/* m += (1 - momentum) (g - m);  p -= lr decay p + lr w */
static void muon_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                       int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first, *restrict way = (const T *)u->w + first;
    T *restrict p = (T *)u->p + first, *restrict m = (T *)u->m + first;
    A over = j->over, shrink = j->shrink, lr = j->lr, rest = j->take;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A w = LOAD(p[i]), old = LOAD(m[i]);

        m[i] = STORE(old + rest * (LOAD(g[i]) * over - old));
        p[i] = STORE(w - (shrink * w + lr * LOAD(way[i])));
    }
}

int KERNEL(muon)(tp_ctx *c, int count, const tp_update *u, tp_muon_args a, tp_scalars s)
{
    update_job j = { .count = count, .u = u, .f = muon_chunk, .over = over(&s, false) };

    if (skipped(&s)) return 0;
    j.lr = (A)*s.lr, j.shrink = (A)(*s.lr * a.weight_decay), j.take = (A)(1 - a.momentum);
    return update(c, &j);
}
