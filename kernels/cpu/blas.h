/*
 * blas.h - products that OpenBLAS makes.
 */
#ifndef TP_KERNELS_CPU_BLAS_H
#define TP_KERNELS_CPU_BLAS_H

#include "kernels/backend.h"

/* Large plain products in f64: where it is at least as fast as our own kernels. */
static inline bool tp__blas_wants(const tp_gemm_args *g)
{
    bool plain = !g->bias && !g->preact && g->activation == TP_LINEAR;

    return plain && g->m >= 1024 && g->n >= 1024 && g->k >= 256 && g->m * g->n * g->k >= (int64_t)1 << 29;
}

int tp__blas_gemm_f64(tp_ctx *c, const tp_gemm_args *g, const double *a, const double *b, double *y);

#endif
