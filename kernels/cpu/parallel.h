/*
 * parallel.h - the one place that starts threads for kernels.
 */
#ifndef TP_KERNELS_PARALLEL_H
#define TP_KERNELS_PARALLEL_H

#include "kernels/backend.h"

/* Runs body over [0, n), cut into at most c->threads ranges of whole grains (the last may be
 * cut short); worker counts from 0, and may get several ranges, one after the other.  Which
 * worker gets what must not change any result. */
typedef void tp_body(void *user, int worker, int64_t from, int64_t to);
void tp__parallel(const tp_ctx *c, int64_t n, int64_t grain, tp_body *body, void *user);

/* How many ranges tp__parallel will make: for scratch per worker. */
int tp__workers(const tp_ctx *c, int64_t n, int64_t grain);

/* The processor's count, or what OMP_NUM_THREADS says. */
int tp__default_threads(void);

#endif
