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
