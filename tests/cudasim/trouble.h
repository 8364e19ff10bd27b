/*
 * trouble.h - calls of the simulated runtime that fail because a test asks for it, and what they leave behind.
 */
#ifndef CUDASIM_TROUBLE_H
#define CUDASIM_TROUBLE_H

#include "tests/cudasim/cudasim.h"

#ifdef __cplusplus
extern "C" {
#endif

/* After `after` calls whose names begin with `call`, "" meaning all that may fail, the next `times` fail: those
 * that allocate for want of memory.  Tells how many have failed since. */
CUDASIM_API void cudasim_fail(const char *call, int after, int times);
CUDASIM_API int cudasim_failed(void);
CUDASIM_API void cudasim_fail_with(cudaError_t e); /* instead of their usual error, until the next cudasim_fail */

/* What there is: bytes of device memory; streams, events, graphs and pinned blocks. */
typedef struct cudasim_holdings {
    uint64_t bytes, objects;
} cudasim_holdings;

CUDASIM_API void cudasim_get_holdings(cudasim_holdings *to);

#ifdef __cplusplus
}
#endif

#endif
