/*
 * update.c - optimizer steps and gradient clipping, over all tensors of a group in one call.
 *
 *     sgd     Sutskever et al. 2013, with PyTorch's dampening and first step
 *     adam    Kingma & Ba 2015; decoupled decay as Loshchilov & Hutter 2019
 *
 * Every tensor is cut into chunks of a fixed size; threads take ranges of chunks.  Each
 * element is read once and written once: memory is what a step costs.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/vector.h"

#include <math.h>

#if TP_IS(f64)
#define ROOT(x) sqrt(x)
#else
#define ROOT(x) sqrtf(x)
#endif

enum {
    CHUNK = 8192,
    ALONE = 16384 /* elements that aren't worth a second thread */
};

typedef struct update_job update_job;
typedef void update_chunk(const update_job *j, const tp_update *u, int64_t first,
                          int64_t n, int64_t chunk);

struct update_job {
    int count;
    const tp_update *u;
    update_chunk *f;
    A lr, momentum, take, decay; /* sgd */
    bool first, nesterov;
    A shrink, rest1, beta2, rest2, root2, eps, step; /* adam */
    A over;                                          /* 1 / the loss's scale */
    A factor;                                        /* clip */
    double *sums;                                    /* of squares, one per chunk */
};

static int64_t chunks_of(const tp_update *u)
{
    return (u->n + CHUNK - 1) / CHUNK;
}

static void update_body(void *user, int worker, int64_t from, int64_t to)
{
    const update_job *j = user;
    const tp_update *u = j->u;
    int64_t before = 0; /* chunks of the tensors before u */

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        int64_t first, left;

        while (i - before >= chunks_of(u))
            before += chunks_of(u++);
        first = (i - before) * CHUNK, left = u->n - first;
        j->f(j, u, first, left < CHUNK ? left : CHUNK, i);
    }
}

static int64_t chunks_of_all(const update_job *j)
{
    int64_t chunks = 0;

    for (int k = 0; k < j->count; k++)
        chunks += chunks_of(&j->u[k]);
    return chunks;
}

static int update(tp_ctx *c, update_job *j)
{
    int64_t chunks = chunks_of_all(j), elements = 0;

    for (int k = 0; k < j->count; k++)
        elements += j->u[k].n;
    if (chunks) tp__parallel(c, chunks, elements > ALONE ? 1 : chunks, update_body, j);
    return 0;
}

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

static bool skipped(const tp_scalars *s)
{
    return s->skip && *s->skip != 0;
}

static A over(const tp_scalars *s)
{
    return (A)(s->scale ? 1 / *s->scale : 1);
}

int KERNEL(sgd)(tp_ctx *c, int count, const tp_update *u, tp_sgd_args a, tp_scalars s)
{
    update_job j = { .count = count, .u = u, .over = over(&s) };

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

int KERNEL(adam)(tp_ctx *c, int count, const tp_update *u, tp_adam_args a, tp_scalars s)
{
    update_job j = { .count = count, .u = u, .f = adam_chunk, .over = over(&s) };
    double fix1 = 1 - pow(a.beta1, *s.step), fix2 = 1 - pow(a.beta2, *s.step);

    if (skipped(&s)) return 0;
    j.shrink = (A)(a.decoupled ? *s.lr * a.weight_decay : 0);
    j.decay = (A)(a.decoupled ? 0 : a.weight_decay);
    j.rest1 = (A)(1 - a.beta1), j.beta2 = (A)a.beta2, j.rest2 = (A)(1 - a.beta2);
    j.root2 = (A)(1 / sqrt(fix2)), j.eps = (A)a.eps, j.step = (A)(*s.lr / fix1);
    return update(c, &j);
}

/* ---- clipping ---- */

enum { BUFFER = 512, DOUBLES = TP__VECTOR / 8 };

typedef double lanes __attribute__((vector_size(TP__VECTOR)));
typedef A narrow_lanes __attribute__((vector_size(TP__VECTOR / 8 * sizeof(A))));

/* In double, so that neither squares overflow nor their sum loses much. */
static double squares(int64_t n, const A *x)
{
    lanes s[4] = { 0 }, d;
    narrow_lanes v;
    double total = 0;
    int64_t i = 0;

    for (; i + 4 * DOUBLES <= n; i += 4 * DOUBLES)
        for (int k = 0; k < 4; k++) {
            memcpy(&v, x + i + k * DOUBLES, sizeof v);
            d = __builtin_convertvector(v, lanes), s[k] += d * d;
        }
    s[0] = (s[0] + s[1]) + (s[2] + s[3]);
    for (int k = 0; k < DOUBLES; k++)
        total += s[0][k];
    for (; i < n; i++)
        total += (double)x[i] * (double)x[i];
    return total;
}

static void squares_chunk(const update_job *j, const tp_update *u, int64_t first,
                          int64_t n, int64_t chunk)
{
    const T *g = (const T *)u->g + first;

#if TP_IS(bf16)
    A v[BUFFER];
    double total = 0;

    for (int64_t i = 0; i < n; i += BUFFER) {
        int64_t some = n - i < BUFFER ? n - i : BUFFER;

        for (int64_t k = 0; k < some; k++)
            v[k] = LOAD(g[i + k]);
        total += squares(some, v);
    }
    j->sums[chunk] = total;
#else
    j->sums[chunk] = squares(n, g);
#endif
}

int KERNEL(sum_squares)(tp_ctx *c, int count, const tp_update *u, bool add, double *norm)
{
    update_job j = { .count = count, .u = u, .f = squares_chunk };
    int64_t chunks = chunks_of_all(&j);
    double total = 0;

    j.sums = tp_scratch(c, (size_t)(chunks + 1) * sizeof(double));
    if (!j.sums) return TP_KERNEL_NO_MEMORY;
    update(c, &j);
    for (int64_t i = 0; i < chunks; i++)
        total += j.sums[i];
    *norm = add ? *norm + total : total;
    return 0;
}

static void scale_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                        int64_t chunk)
{
    T *g = (T *)(uintptr_t)u->g + first;
    A factor = j->factor;

    (void)chunk;
    for (int64_t i = 0; i < n; i++)
        g[i] = STORE(LOAD(g[i]) * factor);
}

int KERNEL(clip_norm)(tp_ctx *c, int count, const tp_update *u, const double *norm,
                      double max)
{
    update_job j = { .count = count, .u = u, .f = scale_chunk };
    double factor = max / (sqrt(*norm) + 1e-6);

    if (factor >= 1) return 0; /* a NaN isn't: it marks every gradient, as in PyTorch */
    j.factor = (A)factor;
    return update(c, &j);
}
