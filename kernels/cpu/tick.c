/*
 * tick.c - numbers of training that live in device memory: the count of steps, the loss's scale.
 */
#include "kernels/cpu/generic.h"

#include <math.h>

int KERNEL(tick)(tp_ctx *c, double *step, const double *skip)
{
    (void)c;
    if (!skip || *skip == 0) *step += 1;
    return 0;
}

int KERNEL(grow)(tp_ctx *c, int64_t n, const double *found, tp_grow_args a, double *scale, double *good)
{
    bool bad = false;

    (void)c;
    for (int64_t i = 0; i < n; i++)
        bad = bad || found[i] != 0;
    *good = bad ? 0 : *good + 1;
    if (bad) *scale *= a.backoff;
    if (*good < a.interval) return 0;
    if (isfinite((float)(*scale * a.growth))) *scale *= a.growth;
    *good = 0;
    return 0;
}
