/*
 * resample.c - means over windows and resizing, and their adjoint, of channels-last maps.
 *
 * Both directions gather: a place is the weighted sum of a rectangle of places, in a fixed order.
 * Loops over channels are the inner ones.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/taps.h"

enum { CHANNELS = 64 /* worked on at a time, in registers */ };

typedef struct job {
    int64_t rows, cols, C; /* of the result */
    int64_t x_rows, x_cols;
    const tp__run *h, *w;
    const T *x;
    T *y;
    bool add;
} job;

static inline void put(int64_t n, const A *sum, A over, bool add, T *restrict y)
{
    if (add)
        for (int64_t k = 0; k < n; k++)
            y[k] = STORE(LOAD(y[k]) + sum[k] / over);
    else
        for (int64_t k = 0; k < n; k++)
            y[k] = STORE(sum[k] / over);
}

/* n channels of one place; x is the first of them in the image's first place. */
static inline __attribute__((always_inline)) void place(const job *j, const tp__run *h, const tp__run *w, int64_t n, const T *x, T *y)
{
    A sum[CHANNELS] = { 0 };

    for (int64_t a = 0; a < h->count; a++)
        for (int64_t b = 0; b < w->count; b++) {
            const T *from = x + ((h->from + a) * j->x_cols + w->from + b) * j->C;
            A weight = h->weight[a] * w->weight[b];

            for (int64_t k = 0; k < n; k++)
                sum[k] += weight * LOAD(from[k]);
        }
    put(n, sum, h->over * w->over, j->add, y);
}

/* Items are rows of y. */
static void body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t i = from; i < to; i++) {
        const T *x = j->x + i / j->rows * j->x_rows * j->x_cols * j->C;

        for (int64_t c = 0; c < j->cols; c++)
            for (int64_t k = 0; k < j->C; k += CHANNELS) {
                const tp__run *h = &j->h[i % j->rows], *w = &j->w[c];
                T *y = j->y + (i * j->cols + c) * j->C + k;

                if (j->C - k >= CHANNELS) place(j, h, w, CHANNELS, x + k, y);
                else place(j, h, w, j->C - k, x + k, y);
            }
    }
}

static int resample(tp_ctx *c, const tp_resample *g, bool adjoint, job *j)
{
    size_t half = (tp__runs_bytes(&g->h, adjoint) + 63) & ~(size_t)63;
    char *room = tp_scratch(c, half + tp__runs_bytes(&g->w, adjoint));
    tp__run *h = (tp__run *)(void *)room, *w = (tp__run *)(void *)(room + half);
    int64_t taps;

    if (!room) return TP_KERNEL_NO_MEMORY;
    (adjoint ? tp__runs_onto : tp__runs_of)(&g->h, h), (adjoint ? tp__runs_onto : tp__runs_of)(&g->w, w);
    j->h = h, j->w = w, j->C = g->C;
    j->rows = adjoint ? g->h.n : g->h.out, j->x_rows = adjoint ? g->h.out : g->h.n;
    j->cols = adjoint ? g->w.n : g->w.out, j->x_cols = adjoint ? g->w.out : g->w.n;
    taps = (1 + tp__taps_count(&g->h) / (1 + j->rows)) * tp__taps_count(&g->w);
    tp__parallel(c, g->N * j->rows, 1 + TP__MAP_CHEAP / (1 + taps * g->C), body, j);
    return 0;
}

int KERNEL(resample2d)(tp_ctx *c, const tp_resample *g, const void *x, bool add, void *y)
{
    job j = { .x = x, .y = y, .add = add };

    return resample(c, g, false, &j);
}

int KERNEL(resample2d_dx)(tp_ctx *c, const tp_resample *g, const void *dy, bool add, void *dx)
{
    job j = { .x = dy, .y = dx, .add = add };

    return resample(c, g, true, &j);
}
