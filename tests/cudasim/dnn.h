/*
 * dnn.h - what tests ask of the stand-in for cuDNN, and what its two files share.
 *
 * Engines, in the order in which heuristics offer them: those that our rules leave out compute NaN.
 */
#ifndef CUDASIM_DNN_H
#define CUDASIM_DNN_H

#include "tests/cudasim/cudasim.h"

#include <library_types.h>
#include <stdatomic.h>
#include <stdint.h>

typedef enum cudasim_engine {
    CUDASIM_NONDETERMINISTIC,
    CUDASIM_DOWN_CONVERTING,
    CUDASIM_REDUCED,
    CUDASIM_HUGE,        /* its workspace is 64 GiB */
    CUDASIM_UNPLANNABLE, /* no plan of it is ever made */
    CUDASIM_TENSOR_CORE, /* f32 as TF32 */
    CUDASIM_ORDINARY,    /* wants operands aligned to 16, and 70000 bytes of workspace */
    CUDASIM_FRUGAL,      /* the fallback: no wishes */
    CUDASIM_ENGINES
} cudasim_engine;

typedef struct cudasim_dnn_stats {
    int handles, descriptors; /* alive */
    int searches;             /* answers of heuristics */
    int plans;                /* made */
    int plans_captured;       /* of these, while the stream was captured */
    int runs[CUDASIM_ENGINES];
} cudasim_dnn_stats;

CUDASIM_API void cudasim_dnn_get_stats(cudasim_dnn_stats *to);

/* ---- a convolution: dnn_convolve.c ---- */

enum { X, W, Y, OPERANDS };

/* x is (N, H, W, C) in memory, w (O, KH, KW, C / groups), y (N, OH, OW, O). */
typedef struct convolution {
    cudaDataType type;
    cudasim_engine engine;
    int result;               /* X, W or Y */
    int64_t x[4], w[4], y[4]; /* sizes, in the order of memory */
    int64_t stride[2], pad[2], dilation[2];
    double alpha, beta;
    char *at[OPERANDS], *workspace;
    int64_t workspace_bytes;
    const atomic_bool *alive; /* is its plan? */
} convolution;

void cudasim_convolve(void *convolution); /* a cudasim_work */

#endif
