/*
 * levels.h - the tables that table.c gives, one per instruction set, and what they share.
 */
#ifndef TP_KERNELS_CPU_LEVELS_H
#define TP_KERNELS_CPU_LEVELS_H

#include "kernels/backend.h"

extern const tp_backend tp_cpu_backend_base, tp_cpu_backend_v3, tp_cpu_backend_v4;

/* "x86-64-v4, 2 threads, OpenBLAS 0.3.21 openmp"; valid until the thread's next call. */
const char *tp__cpu_describe(const tp_ctx *c, const char *level);

#endif
