/*
 * update.c - steps of the two common optimizers.
 *
 *     sgd     Sutskever et al. 2013, with PyTorch's dampening and first step
 *     adam    Kingma & Ba 2015; decoupled decay as Loshchilov & Hutter 2019; amsgrad as
 *             Reddi et al. 2018
 */
#include "kernels/cpu/update.h"

/* ---- sgd ---- */

static void sgd_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                      int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first;
    T *restrict p = (T *)u->p + first;
    A lr = j->lr, decay = j->decay, over = j->over;

    (void)chunk;
    for (int64_t i = 0; i < n; i++)
        p[i] = STORE(LOAD(p[i]) - lr * (LOAD(g[i]) * over + decay * LOAD(p[i])));
}

/* m = momentum m + (1 - dampening) d, but d at the first step;  p -= lr m, or, ahead of it
 * (Nesterov), lr (d + momentum m). */
static void momentum_chunk(const update_job *j, const tp_update *u, int64_t first,
                           int64_t n, int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first;
    T *restrict p = (T *)u->p + first, *restrict m = (T *)u->m + first;
    A lr = j->lr, decay = j->decay, momentum = j->momentum, take = j->take, over = j->over;
    bool start = j->first;
    A ahead = j->nesterov ? momentum : 1, direct = j->nesterov;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A w = LOAD(p[i]), d = LOAD(g[i]) * over + decay * w, old = LOAD(m[i]);
        A now =
            start ? d : momentum * old + take * d; /* old may hold anything at first */

        m[i] = STORE(now);
        p[i] = STORE(w - lr * (direct * d + ahead * now));
    }
}

int KERNEL(sgd)(tp_ctx *c, int count, const tp_update *u, tp_sgd_args a, tp_scalars s)
{
    update_job j = { .count = count, .u = u, .over = over(&s, a.maximize) };

    if (skipped(&s)) return 0;
    j.lr = (A)*s.lr, j.momentum = (A)a.momentum, j.take = (A)(1 - a.dampening);
    j.decay = (A)a.weight_decay, j.first = *s.step <= 1, j.nesterov = a.nesterov;
    j.f = a.momentum != 0 ? momentum_chunk : sgd_chunk;
    return update(c, &j);
}

/* ---- adam ---- */

/* m += (1 - beta1) (d - m);  v = beta2 v + (1 - beta2) d^2;
 * p -= lr decay p (decoupled) + lr / fix1 m / (sqrt v / sqrt fix2 + eps)
 *                                                        fix = 1 - beta^step */
static void adam_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                       int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first;
    T *restrict p = (T *)u->p + first;
    T *restrict m = (T *)u->m + first, *restrict v = (T *)u->v + first;
    A shrink = j->shrink, decay = j->decay, rest1 = j->rest1, beta2 = j->beta2,
      rest2 = j->rest2;
    A root2 = j->root2, eps = j->eps, step = j->step, over = j->over;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A w = LOAD(p[i]), d = LOAD(g[i]) * over + decay * w, old = LOAD(m[i]);
        A mean = old + rest1 * (d - old), square = beta2 * LOAD(v[i]) + rest2 * (d * d);

        m[i] = STORE(mean), v[i] = STORE(square);
        p[i] = STORE(w - (shrink * w + step * (mean / (ROOT(square) * root2 + eps))));
    }
}

/* The same with the largest v there has been under the root. */
static void amsgrad_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                          int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first;
    T *restrict p = (T *)u->p + first, *restrict top = (T *)u->w + first;
    T *restrict m = (T *)u->m + first, *restrict v = (T *)u->v + first;
    A shrink = j->shrink, decay = j->decay, rest1 = j->rest1, beta2 = j->beta2,
      rest2 = j->rest2;
    A root2 = j->root2, eps = j->eps, step = j->step, over = j->over;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A w = LOAD(p[i]), d = LOAD(g[i]) * over + decay * w, old = LOAD(m[i]);
        A mean = old + rest1 * (d - old), square = beta2 * LOAD(v[i]) + rest2 * (d * d);
        A most = larger(LOAD(top[i]), square);

        m[i] = STORE(mean), v[i] = STORE(square), top[i] = STORE(most);
        p[i] = STORE(w - (shrink * w + step * (mean / (ROOT(most) * root2 + eps))));
    }
}

int KERNEL(adam)(tp_ctx *c, int count, const tp_update *u, tp_adam_args a, tp_scalars s)
{
    update_job j = { .count = count, .u = u, .f = a.amsgrad ? amsgrad_chunk : adam_chunk, .over = over(&s, a.maximize) };
    double fix1 = 1 - pow(a.beta1, *s.step), fix2 = 1 - pow(a.beta2, *s.step);

    if (skipped(&s)) return 0;
    j.shrink = (A)(a.decoupled ? *s.lr * a.weight_decay : 0);
    j.decay = (A)(a.decoupled ? 0 : a.weight_decay);
    j.rest1 = (A)(1 - a.beta1), j.beta2 = (A)a.beta2, j.rest2 = (A)(1 - a.beta2);
    j.root2 = (A)(1 / sqrt(fix2)), j.eps = (A)a.eps, j.step = (A)(*s.lr / fix1);
    return update(c, &j);
}
