/*
 * lt.h - one product by cuBLASLt, with what may follow it in the same kernel.
 *
 * cuBLAS is column-major: a row-major matrix is its transpose there, so Y = A B is computed
 * as Y' = B' A' with nothing moved.
 */
#ifndef TP_KERNELS_CUDA_LT_H
#define TP_KERNELS_CUDA_LT_H

#include "kernels/cuda/cuda.h"

#include <cublasLt.h>

/* What is asked for, then what tp_lt_find found. */
typedef struct tp_lt {
    const tp_gemm_args *g; /* sizes, strides, add; what follows the product is said below */
    const void *a, *b;
    void *y;
    cudaDataType type, type_y; /* of a and b; of y */
    cublasLtEpilogue_t epilogue;
    void *vector; /* in type_y: of n numbers, the bias; or, of m, the sums of op(a)'s rows */
    void *aux;    /* as y: what GELU is applied to, or was */

    size_t workspace; /* bytes */
    cublasLtMatmulDescOpaque_t op;
    cublasLtMatrixLayoutOpaque_t la, lb, ly;
    cublasLtMatmulAlgo_t algorithm;
} tp_lt;

/* TP_NO_KERNEL where cuBLAS offers none for it.  a and y may be NULL if they will be aligned to
 * 16 bytes. */
int tp_lt_find(tp_ctx *c, tp_lt *p);
/* The same for many products of one shape with b: a and y, aligned to 16 bytes, are given before each run.
 * None is an error.  blas.c */
int tp_lt_find_steps(tp_ctx *c, tp_dtype t, const tp_gemm_args *g, const void *b, tp_lt *p);
/* After tp_lt_find; workspace: that many bytes on the device, aligned to 256. */
int tp_lt_run(tp_ctx *c, tp_lt *p, void *workspace);

#endif
