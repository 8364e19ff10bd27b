/*
 * numbers.h - the floats of stand-in libraries, each as a double.
 */
#ifndef CUDASIM_NUMBERS_H
#define CUDASIM_NUMBERS_H

#include "kernels/cpu/half.h"

#include <library_types.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline size_t cudasim_bytes(cudaDataType t)
{
    return t == CUDA_R_64F ? 8 : t == CUDA_R_32F ? 4 : 2;
}

static inline double cudasim_get(cudaDataType t, const void *p, int64_t i)
{
    switch (t) {
    case CUDA_R_64F: return ((const double *)p)[i];
    case CUDA_R_32F: return (double)((const float *)p)[i];
    case CUDA_R_16BF: return (double)tp_bf16_to_f32(((const tp_bf16 *)p)[i]);
    default: return (double)tp_f16_to_f32(((const tp_f16 *)p)[i]);
    }
}

static inline void cudasim_set(cudaDataType t, void *p, int64_t i, double v)
{
    switch (t) {
    case CUDA_R_64F: ((double *)p)[i] = v; break;
    case CUDA_R_32F: ((float *)p)[i] = (float)v; break;
    case CUDA_R_16BF: ((tp_bf16 *)p)[i] = tp_bf16_of((float)v); break;
    default: ((tp_f16 *)p)[i] = tp_f16_of((float)v);
    }
}

/* To the nearest of 10 bits of fraction; what a GPU does with the rest isn't documented. */
static inline double cudasim_tf32(double v)
{
    float f = (float)v;
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    bits = (bits + 0x1000) & 0xFFFFE000u;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

#endif
