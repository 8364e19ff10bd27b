/*
 * part_max.c - the largest of each part of a channels-last map, and its derivatives.
 *
 * Parts may overlap.  The first of equals wins, and so does the first NaN.  The gradient is
 * gathered: each place asks the parts that it lies in whether it won there.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/taps.h"

enum { CHANNELS = 256 };

typedef struct job {
    const tp_resample *g;
    const tp__run *h, *w;
    const T *x;
    T *y;
    const int32_t *won;
    int32_t *place;
    bool add;
} job;

static int64_t channels(const job *j, int64_t k)
{
    return j->g->C - k < CHANNELS ? j->g->C - k : CHANNELS;
}

/* ---- forward ---- */

static void part(const job *j, const tp__run *h, const tp__run *w, int64_t n, const T *x, T *y, int32_t *to)
{
    A best[CHANNELS];
    int32_t at[CHANNELS];

    for (int64_t k = 0; k < n; k++)
        best[k] = -(A)INFINITY, at[k] = -1;
    for (int64_t a = h->from; a < h->from + h->count; a++)
        for (int64_t b = w->from; b < w->from + w->count; b++) {
            int64_t i = a * j->g->w.n + b;
            const T *p = x + i * j->g->C;

            for (int64_t k = 0; k < n; k++) {
                A v = LOAD(p[k]);
                bool wins = (!(v <= best[k]) && best[k] == best[k]) || at[k] < 0;

                best[k] = wins ? v : best[k], at[k] = wins ? (int32_t)i : at[k];
            }
        }
    for (int64_t k = 0; k < n; k++)
        y[k] = STORE(best[k]), to[k] = at[k];
}

/* Items are rows of y. */
static void forward_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;
    const tp_resample *g = j->g;

    (void)worker;
    for (int64_t i = from; i < to; i++)
        for (int64_t c = 0; c < g->w.out; c++)
            for (int64_t k = 0; k < g->C; k += CHANNELS) {
                int64_t at = (i * g->w.out + c) * g->C + k;

                part(j, &j->h[i % g->h.out], &j->w[c], channels(j, k),
                     j->x + i / g->h.out * g->h.n * g->w.n * g->C + k, j->y + at, j->place + at);
            }
}

static int run(tp_ctx *c, const tp_resample *g, bool adjoint, job *j, tp_body *body)
{
    size_t half = (tp__runs_bytes(&g->h, adjoint) + 63) & ~(size_t)63;
    char *room = tp_scratch(c, half + tp__runs_bytes(&g->w, adjoint));
    tp__run *h = (tp__run *)(void *)room, *w = (tp__run *)(void *)(room + half);

    if (!room) return TP_KERNEL_NO_MEMORY;
    (adjoint ? tp__runs_onto : tp__runs_of)(&g->h, h), (adjoint ? tp__runs_onto : tp__runs_of)(&g->w, w);
    j->g = g, j->h = h, j->w = w;
    tp__parallel(c, g->N * (adjoint ? g->h.n : g->h.out), 1 + TP__MAP_CHEAP / (1 + g->w.n * g->C), body, j);
    return 0;
}

int KERNEL(part_max2d)(tp_ctx *c, const tp_resample *g, const void *x, void *y, int32_t *place)
{
    job j = { .x = x, .y = y, .place = place };

    return run(c, g, false, &j, forward_body);
}

/* ---- its gradient ---- */

static void gather(const job *j, const tp__run *h, const tp__run *w, int64_t i, int64_t n, int64_t first, T *dx)
{
    const tp_resample *g = j->g;
    A sum[CHANNELS];

    for (int64_t k = 0; k < n; k++)
        sum[k] = j->add ? LOAD(dx[k]) : 0;
    for (int64_t a = h->from; a < h->from + h->count; a++)
        for (int64_t b = w->from; b < w->from + w->count; b++) {
            int64_t at = first + (a * g->w.out + b) * g->C;

            for (int64_t k = 0; k < n; k++) {
                A v = LOAD(j->x[at + k]);

                sum[k] += j->won[at + k] == (int32_t)i ? v : 0;
            }
        }
    for (int64_t k = 0; k < n; k++)
        dx[k] = STORE(sum[k]);
}

/* Items are rows of dx. */
static void dx_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;
    const tp_resample *g = j->g;

    (void)worker;
    for (int64_t i = from; i < to; i++)
        for (int64_t c = 0; c < g->w.n; c++)
            for (int64_t k = 0; k < g->C; k += CHANNELS)
                gather(j, &j->h[i % g->h.n], &j->w[c], i % g->h.n * g->w.n + c, channels(j, k),
                       i / g->h.n * g->h.out * g->w.out * g->C + k, j->y + (i * g->w.n + c) * g->C + k);
}

int KERNEL(part_max2d_dx)(tp_ctx *c, const tp_resample *g, const void *dy, const int32_t *place, bool add, void *dx)
{
    job j = { .x = dy, .y = dx, .won = place, .add = add };

    return run(c, g, true, &j, dx_body);
}

/* ---- the gradient of that ---- */

/* Items are rows of ddy. */
static void ddy_body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;
    const tp_resample *g = j->g;
    int64_t row = g->w.out * g->C;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        const T *u = j->x + i / g->h.out * g->h.n * g->w.n * g->C;

        for (int64_t k = i * row; k < (i + 1) * row; k++)
            j->y[k] = u[j->won[k] * g->C + k % g->C];
    }
}

int KERNEL(part_max2d_ddy)(tp_ctx *c, const tp_resample *g, const void *u, const int32_t *place, void *ddy)
{
    job j = { .g = g, .x = u, .y = ddy, .won = place };

    tp__parallel(c, g->N * g->h.out, 1 + TP__MAP_CHEAP / (1 + g->w.out * g->C), ddy_body, &j);
    return 0;
}
