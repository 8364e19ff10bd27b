/*
 * draw.c - single numbers of the thread's generator, one counter each, for what draws on the
 * host.  A loader sets that generator for each sample.
 */
#include "data/internal.h"

#include "kernels/philox.h"

uint32_t tp__bits(void)
{
    tp_rng *rng = &tp__me()->rng;
    uint32_t r[4];

    tp_philox(rng->seed, rng->offset++, r);
    return r[0];
}

double tp__uniform(void)
{
    return tp__bits() * 0x1p-32;
}

void tp__normals(float *to, int64_t n)
{
    tp_rng *rng = &tp__me()->rng;

    for (int64_t i = 0; i < n; i += 2) {
        uint32_t r[4];
        float two[2];

        tp_philox(rng->seed, rng->offset++, r);
        tp_philox_normal(r[0], r[1], two);
        to[i] = two[0];
        if (i + 1 < n) to[i + 1] = two[1];
    }
}
