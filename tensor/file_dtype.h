/*
 * file_dtype.h - what safetensors calls our dtypes.
 */
#ifndef TP_TENSOR_FILE_DTYPE_H
#define TP_TENSOR_FILE_DTYPE_H

#include "kernels/dtype.h"

#include <string.h>

static const char *const tp__file_dtypes[TP_DTYPES] = { "F32", "F64", "BF16", "F16", "I64", "I32", "U8", "BOOL" };

static inline const char *tp__file_dtype(tp_dtype d)
{
    return tp__file_dtypes[d];
}

/* -1: one that taper doesn't have. */
static inline int tp__file_dtype_of(const char *name)
{
    for (int d = 0; name && d < TP_DTYPES; d++)
        if (!strcmp(name, tp__file_dtypes[d])) return d;
    return -1;
}

#endif
