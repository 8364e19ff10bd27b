/*
 * clip.c - what is done to many tensors beside an optimizer's step: the norm of gradients, clipping
 * by it or by value, undoing the loss's scale, and averages.
 */
#include "kernels/cpu/update.h"

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

static void value_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                        int64_t chunk)
{
    T *g = (T *)(uintptr_t)u->g + first;
    A most = j->factor;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A v = LOAD(g[i]);

        v = v > most ? most : v;
        g[i] = STORE(v < -most ? -most : v);
    }
}

int KERNEL(clip_value)(tp_ctx *c, int count, const tp_update *u, double max)
{
    update_job j = { .count = count, .u = u, .f = value_chunk, .factor = (A)max };

    return update(c, &j);
}

/* ---- the loss's scale ---- */

static void unscale_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                          int64_t chunk)
{
    T *g = (T *)(uintptr_t)u->g + first;
    A by = j->factor;
    bool write = j->adaptive;
    int bad = 0;

    (void)chunk;
    for (int64_t i = 0; i < n; i++)
        bad |= LOAD(g[i]) - LOAD(g[i]) != 0; /* 0 of finite numbers alone */
    if (bad) __atomic_store_n(j->bad, 1, __ATOMIC_RELAXED);
    for (int64_t i = 0; write && i < n; i++)
        g[i] = STORE(LOAD(g[i]) * by);
}

int KERNEL(unscale)(tp_ctx *c, int count, const tp_update *u, const double *scale, bool add, double *found)
{
    int bad = 0;
    update_job j = { .count = count, .u = u, .f = unscale_chunk, .bad = &bad, .adaptive = scale };

    j.factor = (A)(scale ? 1 / *scale : 1);
    update(c, &j);
    *found = bad ? 1 : add ? *found : 0;
    return 0;
}

/* ---- averages ---- */

static void average_chunk(const update_job *j, const tp_update *u, int64_t first, int64_t n,
                          int64_t chunk)
{
    const T *restrict g = (const T *)u->g + first;
    T *restrict p = (T *)u->p + first;
    A weight = j->take;
    bool all = j->first;

    (void)chunk;
    for (int64_t i = 0; i < n; i++) {
        A now = LOAD(g[i]), before = LOAD(p[i]);

        p[i] = STORE(all ? now : before + weight * (now - before));
    }
}

int KERNEL(average)(tp_ctx *c, int count, const tp_update *u, tp_average_args a, const double *n)
{
    update_job j = { .count = count, .u = u, .f = average_chunk, .first = *n <= 1 };
    double warm = *n / (9 + *n), decay = a.kind == TP_AVERAGE_WARM && warm < a.decay ? warm : a.decay;

    j.take = (A)(a.kind == TP_AVERAGE_MEAN ? 1 / *n : 1 - decay);
    return update(c, &j);
}
