/*
 * cuda.h - what the files of the CUDA backend share; C and, from launch.cuh, C++.
 */
#ifndef TP_KERNELS_CUDA_CUDA_H
#define TP_KERNELS_CUDA_CUDA_H

#include "kernels/backend.h"

#include <cuda_runtime_api.h>

/* Pinned memory through which copies pass, by size; see transfer.c. */
enum { TP_STAGE_SIZES = 12 };
typedef struct tp_stage tp_stage;
typedef struct tp_stages {
    tp_stage *oldest, *newest;
} tp_stages;

/* What a kernel found wrong in its data, in mapped host memory: read at the next wait, when the kernel's
 * result, NaN, is too late for an error of its own.  The first one stays. */
typedef enum tp_fault_code {
    TP_FAULT_COMING = -1, /* a kernel is about to write it */
    TP_NO_FAULT,
    TP_FAULT_LABEL,
    TP_FAULT_INDEX,
    TP_FAULT_PROBABILITY,
    TP_FAULT_LENGTH,
    TP_FAULT_SAMPLE,
    TP_FAULT_ZERO
} tp_fault_code;
typedef struct tp_fault {
    int code;
    const char *op;       /* the host's text */
    int64_t value, limit; /* the number, and how many there are from 0 */
} tp_fault;

/* Where a kernel reports to, and as what. */
typedef struct tp_faults {
    tp_fault *first;
    const char *op;
} tp_faults;

/* A thread's handles on a device: c->handles. */
typedef struct tp_cuda {
    struct cublasLtContext *blas; /* cublasLtHandle_t */
    struct tp_dnn *dnn;           /* plans of convolutions; see dnn_cache.c */
    tp_stages stage[TP_STAGE_SIZES];
    size_t pinned;  /* bytes of all of them */
    int sm;         /* compute capability, 80 for 8.0 */
    tp_fault *fault;
    const char *last; /* the op that was launched last */
    cudaStream_t device_stream;    /* while c->stream records; else NULL */
    struct tp_constant *constants; /* of what is being recorded; see capture.c */
    char text[200];   /* describe's answer */
} tp_cuda;

/* Records what failed and why; gives TP_KERNEL_FAILED, or TP_KERNEL_NO_MEMORY. */
int tp_cuda_error(tp_ctx *c, const char *what, cudaError_t e);
/* The same after a wait, where an error may be that of any kernel before it, and 0 where there is none. */
int tp_cuda_waited(tp_ctx *c, const char *what, cudaError_t e);

/* Whether a call that gave e is made once more: it found no memory, and what was cached is the device's again. */
static inline bool tp_cuda_again(tp_ctx *c, cudaError_t e)
{
    if (e != cudaErrorMemoryAllocation) return false;
    cudaGetLastError();
    c->flush(c);
    return true;
}

/* backend.h's memory functions */
int tp_cuda_count(char *why, size_t room);
int tp_cuda_open(tp_ctx *c);
void tp_cuda_close(tp_ctx *c);
void *tp_cuda_alloc(tp_ctx *c, size_t bytes);
void tp_cuda_release(tp_ctx *c, void *ptr, size_t bytes);
int tp_cuda_upload(tp_ctx *c, void *dst, const void *host, size_t bytes);
int tp_cuda_download(tp_ctx *c, void *host, const void *src, size_t bytes);
int tp_cuda_fetch(tp_ctx *c, const void *src, size_t bytes, void **ticket);
int tp_cuda_fetched(tp_ctx *c, void *ticket, void *host, size_t bytes);
int tp_cuda_wait(tp_ctx *c);
const char *tp_cuda_describe(tp_ctx *c);
int tp_cuda_record(tp_ctx *c);
int tp_cuda_recorded(tp_ctx *c, void **graph);
int tp_cuda_replay(tp_ctx *c, void *graph);
void tp_cuda_discard(tp_ctx *c, void *graph);

void tp_cuda_close_stages(tp_cuda *h);
int tp_cuda_constant(tp_ctx *c, void *dst, const void *host, size_t bytes); /* upload, while recording */

/* Scratch as libraries want their workspace, aligned to 256; what comes before it in one request is rounded up. */
static inline size_t tp_cuda_rounded(size_t bytes)
{
    return (bytes + 255) & ~(size_t)255;
}
static inline char *tp_cuda_scratch(tp_ctx *c, size_t bytes)
{
    void *p = tp_scratch(c, bytes + 256);

    return p ? (char *)tp_cuda_rounded((uintptr_t)p) : NULL;
}

/* y[i] = act(sums[i] + bias) over `batch` matrices (m, n) of accumulators: dense, or y itself, or
 * NULL for 0; preact as in tp_gemm_args. */
int tp_cuda_epilogue_f32(tp_ctx *c, const tp_gemm_args *g, const void *sums, void *y);
int tp_cuda_epilogue_f64(tp_ctx *c, const tp_gemm_args *g, const void *sums, void *y);
int tp_cuda_epilogue_bf16(tp_ctx *c, const tp_gemm_args *g, const void *sums, void *y);
int tp_cuda_epilogue_f16(tp_ctx *c, const tp_gemm_args *g, const void *sums, void *y);

#endif
