/*
 * capture.c - a thread's kernels of one step as a CUDA graph.
 *
 * They are recorded on a stream of their own: what other threads queue on the device's stream meanwhile runs
 * as ever.  Replays go to the device's stream, between what was queued before and after.
 */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of the host that a copy in a graph reads at each replay. */
typedef struct tp_constant {
    struct tp_constant *next;
    void *bytes;
} tp_constant;

typedef struct graph {
    cudaGraphExec_t exec;
    tp_constant *constants;
} graph;

static void forget(tp_constant *k)
{
    for (tp_constant *next; k; k = next) {
        next = k->next;
        cudaFreeHost(k->bytes);
        free(k);
    }
}

int tp_cuda_record(tp_ctx *c)
{
    tp_cuda *h = c->handles;
    cudaStream_t stream = NULL;
    cudaError_t e = cudaSetDevice(c->index);

    if (!e) e = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    if (!e) e = cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed);
    if (e) {
        if (stream) cudaStreamDestroy(stream);
        return tp_cuda_error(c, "a step can't be recorded", e);
    }
    h->device_stream = c->stream, c->stream = stream, h->constants = NULL;
    return 0;
}

/* While recording: a copy from memory that stays as it is. */
int tp_cuda_constant(tp_ctx *c, void *dst, const void *host, size_t bytes)
{
    tp_cuda *h = c->handles;
    tp_constant *k = calloc(1, sizeof *k);
    cudaError_t e = k ? cudaMallocHost(&k->bytes, bytes) : cudaErrorMemoryAllocation;

    if (e) {
        free(k);
        return tp_cuda_error(c, "pinned memory", e);
    }
    memcpy(k->bytes, host, bytes);
    k->next = h->constants, h->constants = k;
    e = cudaMemcpyAsync(dst, k->bytes, bytes, cudaMemcpyHostToDevice, c->stream);
    return e ? tp_cuda_error(c, "upload", e) : 0;
}

static cudaError_t finish(tp_ctx *c, cudaGraph_t *recorded)
{
    tp_cuda *h = c->handles;
    cudaStream_t stream = c->stream;
    cudaError_t e = cudaStreamEndCapture(stream, recorded);

    c->stream = h->device_stream, h->device_stream = NULL;
    cudaStreamDestroy(stream);
    return e;
}

static cudaError_t instantiate(tp_ctx *c, cudaGraph_t recorded, cudaGraphExec_t *to)
{
    cudaError_t e = cudaGraphInstantiate(to, recorded, 0);

    return tp_cuda_again(c, e) ? cudaGraphInstantiate(to, recorded, 0) : e;
}

int tp_cuda_recorded(tp_ctx *c, void **to)
{
    tp_cuda *h = c->handles;
    cudaGraph_t recorded = NULL;
    graph *g = to ? calloc(1, sizeof *g) : NULL;
    cudaError_t e = finish(c, &recorded);

    if (!e && to && !g) e = cudaErrorMemoryAllocation;
    if (!e && g) e = instantiate(c, recorded, &g->exec);
    if (recorded) cudaGraphDestroy(recorded);
    if (!e && g) {
        g->constants = h->constants, h->constants = NULL, *to = g;
        return 0;
    }
    forget(h->constants), h->constants = NULL, free(g);
    cudaGetLastError();
    return to ? tp_cuda_error(c, "recording", e) : 0;
}

int tp_cuda_replay(tp_ctx *c, void *of)
{
    cudaError_t e = cudaSetDevice(c->index);

    if (!e) e = cudaGraphLaunch(((graph *)of)->exec, c->stream);
    if (tp_cuda_again(c, e)) e = cudaGraphLaunch(((graph *)of)->exec, c->stream);
    ((tp_cuda *)c->handles)->last = "a captured step";
    return e ? tp_cuda_error(c, "replay", e) : 0;
}

/* Its last replay may still run. */
void tp_cuda_discard(tp_ctx *c, void *of)
{
    const tp_cuda *h = c->handles;
    graph *g = of;

    cudaSetDevice(c->index);
    cudaStreamSynchronize(h->device_stream ? h->device_stream : c->stream); /* one that records can't be waited for */
    cudaGraphExecDestroy(g->exec);
    forget(g->constants);
    free(g);
}
