/*
 * dot_bf16.h - products of bf16 by instructions for pairs of them; part of the level v4.
 */
#ifndef TP_KERNELS_CPU_DOT_BF16_H
#define TP_KERNELS_CPU_DOT_BF16_H

#include "kernels/backend.h"

bool tp__dot_bf16_runs(void); /* the processor has them */
/* gemm of backend.h, sums in f32; m, n and batch are not 0. */
int tp__dot_bf16(tp_ctx *c, const tp_gemm_args *g, const void *a, const void *b, void *y);

#endif
