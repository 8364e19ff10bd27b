/*
 * transfer.c - copies between the host and the device, through pinned memory.
 *
 * An upload returns once the caller's bytes are read, a fetch before the device has computed what it
 * asks for.  Both take a stage: pinned memory with an event, which is used again once its copy is done.
 * Stages of one size are taken in the order of the stream, so it is enough to ask the oldest.
 */
#include "kernels/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

enum { SMALLEST = 12, LARGEST = 23 }; /* log2 of a stage's bytes */
_Static_assert(LARGEST - SMALLEST + 1 == TP_STAGE_SIZES, "a list for each");
static const size_t MOST_PINNED = (size_t)256 << 20; /* of a thread; then uploads wait for older ones */

struct tp_stage {
    struct tp_stage *next;
    void *bytes;
    int size; /* SMALLEST + size is the logarithm */
    cudaEvent_t done;
};

/* ---- stages ---- */

static void free_stage(tp_stage *s)
{
    if (s->done) cudaEventDestroy(s->done);
    if (s->bytes) cudaFreeHost(s->bytes);
    free(s);
}

static cudaError_t new_stage(tp_cuda *h, int size, tp_stage **to)
{
    tp_stage *s = calloc(1, sizeof *s);
    cudaError_t e = s ? cudaMallocHost(&s->bytes, (size_t)1 << (SMALLEST + size)) : cudaErrorMemoryAllocation;

    if (!e) e = cudaEventCreateWithFlags(&s->done, cudaEventDisableTiming);
    if (e) {
        if (s) free_stage(s);
        return e;
    }
    s->size = size, *to = s;
    h->pinned += (size_t)1 << (SMALLEST + size);
    return cudaSuccess;
}

static int size_of(size_t bytes)
{
    int size = 0;

    while ((size_t)1 << (SMALLEST + size) < bytes)
        size++;
    return size;
}

/* One that no copy uses: the oldest, or a new one; with too many, or no memory, the oldest as soon as it can be had. */
static cudaError_t take_stage(tp_cuda *h, size_t bytes, tp_stage **to)
{
    tp_stages *of = &h->stage[size_of(bytes)];
    tp_stage *s = of->oldest;
    cudaError_t e = s ? cudaEventQuery(s->done) : cudaErrorNotReady;

    if (e == cudaErrorNotReady) {
        cudaGetLastError();
        e = !s || h->pinned < MOST_PINNED ? new_stage(h, size_of(bytes), to) : cudaErrorMemoryAllocation;
        if (e != cudaErrorMemoryAllocation || !s) return e;
        cudaGetLastError();
        e = cudaEventSynchronize(s->done);
    }
    if (e) return e;
    of->oldest = s->next, *to = s;
    return cudaSuccess;
}

/* Its copy is queued, or none is. */
static void give_stage(tp_cuda *h, tp_stage *s)
{
    tp_stages *of = &h->stage[s->size];

    s->next = NULL;
    if (of->oldest) of->newest->next = s;
    else of->oldest = s;
    of->newest = s;
}

/* Notes behind its copy when the stage is free again; where that fails, waits for the copy. */
static cudaError_t mark(tp_ctx *c, tp_stage *s)
{
    cudaError_t e = cudaEventRecord(s->done, c->stream);

    if (e) cudaStreamSynchronize(c->stream);
    return e;
}

void tp_cuda_close_stages(tp_cuda *h)
{
    for (int i = 0; i < TP_STAGE_SIZES; i++)
        for (tp_stage *s; (s = h->stage[i].oldest);) {
            h->stage[i].oldest = s->next;
            free_stage(s);
        }
}

/* ---- to the device ---- */

static cudaError_t upload_part(tp_ctx *c, void *dst, const void *host, size_t bytes)
{
    tp_cuda *h = c->handles;
    tp_stage *s;
    cudaError_t e = take_stage(h, bytes, &s);

    if (e) return e;
    memcpy(s->bytes, host, bytes);
    e = cudaMemcpyAsync(dst, s->bytes, bytes, cudaMemcpyHostToDevice, c->stream);
    if (!e) e = mark(c, s);
    give_stage(h, s);
    return e;
}

int tp_cuda_upload(tp_ctx *c, void *dst, const void *host, size_t bytes)
{
    const size_t most = (size_t)1 << LARGEST;
    cudaError_t e = cudaSetDevice(c->index);

    if (!e && ((tp_cuda *)c->handles)->device_stream) return tp_cuda_constant(c, dst, host, bytes);
    for (size_t at = 0; !e && at < bytes; at += most)
        e = upload_part(c, (char *)dst + at, (const char *)host + at, bytes - at < most ? bytes - at : most);
    return e ? tp_cuda_error(c, "upload", e) : 0;
}

/* ---- from the device ---- */

int tp_cuda_download(tp_ctx *c, void *host, const void *src, size_t bytes)
{
    cudaError_t e = cudaSetDevice(c->index);

    if (!e && bytes)
        e = cudaMemcpyAsync(host, src, bytes, cudaMemcpyDeviceToHost, c->stream);
    if (!e) e = cudaStreamSynchronize(c->stream);
    return tp_cuda_waited(c, "download", e);
}

int tp_cuda_fetch(tp_ctx *c, const void *src, size_t bytes, void **ticket)
{
    tp_cuda *h = c->handles;
    tp_stage *s;
    cudaError_t e = cudaSetDevice(c->index);

    if (!e) e = take_stage(h, bytes, &s);
    if (e) return tp_cuda_error(c, "fetch", e);
    e = cudaMemcpyAsync(s->bytes, src, bytes, cudaMemcpyDeviceToHost, c->stream);
    if (!e) e = mark(c, s);
    if (e) {
        give_stage(h, s);
        return tp_cuda_error(c, "fetch", e);
    }
    *ticket = s;
    return 0;
}

int tp_cuda_fetched(tp_ctx *c, void *ticket, void *host, size_t bytes)
{
    tp_stage *s = ticket;
    cudaError_t e = cudaSetDevice(c->index);

    if (!e) e = cudaEventSynchronize(s->done);
    if (!e) memcpy(host, s->bytes, bytes);
    give_stage(c->handles, s);
    return tp_cuda_waited(c, "fetch", e);
}
