/*
 * matmul.h - what a product of matrices is to a kernel, for matmul.c and linear.c.
 */
#ifndef TP_AUTOGRAD_OPS_MATMUL_H
#define TP_AUTOGRAD_OPS_MATMUL_H

#include "autograd/op.h"

typedef struct tp_product {
    tp_gemm_args g;
    const void *a, *b;
} tp_product;

/* op(a) op(b) of matrices, or of batches of them, read as they lie; where a kernel can't, dense
 * copies, which live as long as the scope.  false when memory is out. */
bool tp__product(tp_tensor *a, bool ta, tp_tensor *b, bool tb, tp_product *p);

#endif
