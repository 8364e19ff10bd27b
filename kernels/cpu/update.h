/*
 * update.h - one call over all tensors of a group: the driver of optimizer steps and clipping.
 *
 * Every tensor is cut into chunks of a fixed size; threads take ranges of chunks.  Each
 * element is read once and written once: memory is what a step costs.
 *
 * A rule fills an update_job with its numbers in A and gives a function for one chunk.
 */
#ifndef TP_KERNELS_CPU_UPDATE_H
#define TP_KERNELS_CPU_UPDATE_H

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
    A over;                             /* 1 / the loss's scale, negative to maximize */
    A lr, decay, shrink;                /* decay into the gradient, or of the weight itself */
    A momentum, take;                   /* sgd, rmsprop */
    A rest1, beta1, beta2, rest2, root2, eps, step, ahead; /* the others: see each */
    A factor;                           /* clip */
    bool first, nesterov, adaptive;
    double *sums; /* of squares, one per chunk */
    int *bad;     /* becomes 1 where a gradient isn't finite */
};

static inline int64_t chunks_of(const tp_update *u)
{
    return (u->n + CHUNK - 1) / CHUNK;
}

static inline void update_body(void *user, int worker, int64_t from, int64_t to)
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

static inline int64_t chunks_of_all(const update_job *j)
{
    int64_t chunks = 0;

    for (int k = 0; k < j->count; k++)
        chunks += chunks_of(&j->u[k]);
    return chunks;
}

static inline int update(tp_ctx *c, update_job *j)
{
    int64_t chunks = chunks_of_all(j), elements = 0;

    for (int k = 0; k < j->count; k++)
        elements += j->u[k].n;
    if (chunks) tp__parallel(c, chunks, elements > ALONE ? 1 : chunks, update_body, j);
    return 0;
}

static inline bool skipped(const tp_scalars *s)
{
    return s->skip && *s->skip != 0;
}

static inline A over(const tp_scalars *s, bool maximize)
{
    double by = s->scale ? 1 / *s->scale : 1;

    return (A)(maximize ? -by : by);
}

/* NaN is larger than any number, as in PyTorch's maximum. */
static inline A larger(A a, A b)
{
    return a > b || a != a ? a : b;
}

#endif
