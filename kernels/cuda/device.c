/*
 * device.c - devices, streams and memory of the CUDA backend.
 *
 * A device has one stream, which all threads share, as PyTorch's default one: what one thread has
 * queued is done before what another queues after it.  So a kept tensor may cross threads, and a
 * released block may be given to any of them at once.
 */
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/dnn.h"

#include <cublasLt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The plug-in has its own: it shares no symbol with libtaper. */
int tp__kernel_error(tp_ctx *c, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(c->error, sizeof c->error, fmt, args);
    va_end(args);
    return TP_KERNEL_FAILED;
}

int tp_cuda_error(tp_ctx *c, const char *what, cudaError_t e)
{
    cudaGetLastError(); /* or the next call would report this error again */
    tp__kernel_error(c, "%s: %s", what, cudaGetErrorString(e));
    return e == cudaErrorMemoryAllocation ? TP_KERNEL_NO_MEMORY : TP_DEVICE_FAILED;
}

/* As the CPU's kernels say it. */
static const struct {
    const char *text;
    int from; /* 1: the limit itself is allowed */
} faults[] = {
    [TP_FAULT_LABEL] = { "%s: label %lld is outside 0..%lld", 0 },
    [TP_FAULT_INDEX] = { "%s: index %lld is outside 0..%lld", 0 },
    [TP_FAULT_PROBABILITY] = { "%s: a p is outside 0..1, or isn't a number", 0 },
    [TP_FAULT_LENGTH] = { "%s: length %lld is outside 1..%lld", 1 },
    [TP_FAULT_SAMPLE] = { "%s: %lld times or labels of a sample are outside 0..%lld", 1 },
    [TP_FAULT_ZERO] = { "%s: an integer is divided by 0", 0 },
};

int tp_cuda_waited(tp_ctx *c, const char *what, cudaError_t e)
{
    tp_cuda *h = c->handles;
    int code = *(volatile int *)&h->fault->code;
    tp_fault f;

    if (e) {
        cudaGetLastError();
        tp__kernel_error(c, "%s: %s; the last op of this thread was %s", what, cudaGetErrorString(e), h->last ? h->last : "none");
        return TP_DEVICE_FAILED;
    }
    if (code <= TP_NO_FAULT) return 0;
    f = *h->fault, h->fault->code = TP_NO_FAULT;
    tp__kernel_error(c, faults[code].text, f.op, (long long)f.value, (long long)f.limit - !faults[code].from);
    return TP_BAD_DATA;
}

/* ---- devices ---- */

int tp_cuda_count(char *why, size_t room)
{
    int n = 0, driver = 0; /* without a driver CUDA leaves them unwritten */
    cudaError_t e = cudaGetDeviceCount(&n);

    if (e == cudaSuccess && n > 0) return n;
    cudaGetLastError();
    cudaDriverGetVersion(&driver);
    if (driver == 0)
        snprintf(why, room, "no NVIDIA driver is installed");
    else if (e == cudaErrorInsufficientDriver)
        snprintf(why, room,
                 "the NVIDIA driver is for CUDA %d.%d, older than this library's %d.%d",
                 driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                 CUDART_VERSION % 1000 / 10);
    else if (e == cudaErrorNoDevice || e == cudaSuccess)
        snprintf(why, room, "the NVIDIA driver finds no GPU");
    else
        snprintf(why, room, "%s", cudaGetErrorString(e));
    return 0;
}

const char *tp_cuda_describe(tp_ctx *c)
{
    tp_cuda *h = c->handles;
    struct cudaDeviceProp p;
    int driver = 0, dnn = tp_dnn_version(), at;

    if (cudaGetDeviceProperties(&p, c->index) || cudaDriverGetVersion(&driver))
        return "cuda";
    at = snprintf(h->text, sizeof h->text,
                  "%.100s, %.0f GB, compute %d.%d, driver for CUDA %d.%d", p.name,
                  (double)p.totalGlobalMem * 1e-9, p.major, p.minor, driver / 1000,
                  driver % 1000 / 10);
    if (dnn) snprintf(h->text + at, sizeof h->text - (size_t)at, ", cuDNN %d.%d", dnn / 10000, dnn / 100 % 100);
    return h->text;
}

/* ---- streams ---- */

enum { DEVICES = 16 };
static pthread_mutex_t stream_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    cudaStream_t stream;
    int users;
} shared[DEVICES];

static cudaError_t take_stream(tp_ctx *c)
{
    cudaError_t e = cudaSuccess;

    if (c->index < 0 || c->index >= DEVICES) return cudaErrorInvalidDevice;
    pthread_mutex_lock(&stream_lock);
    if (shared[c->index].users == 0) e = cudaStreamCreateWithFlags(&shared[c->index].stream, cudaStreamNonBlocking);
    if (!e) shared[c->index].users++, c->stream = shared[c->index].stream;
    pthread_mutex_unlock(&stream_lock);
    return e;
}

static void give_stream(tp_ctx *c)
{
    pthread_mutex_lock(&stream_lock);
    if (--shared[c->index].users == 0) cudaStreamDestroy(shared[c->index].stream);
    pthread_mutex_unlock(&stream_lock);
    c->stream = NULL;
}

/* ---- contexts ---- */

static int start_blas(tp_ctx *c, tp_cuda *h)
{
    cublasStatus_t s = cublasLtCreate(&h->blas);

    if (s) tp__kernel_error(c, "cuBLAS can't be started: %s", cublasLtGetStatusString(s));
    return s == CUBLAS_STATUS_ALLOC_FAILED ? TP_KERNEL_NO_MEMORY : s ? TP_DEVICE_FAILED : 0;
}

enum { LEAST_SM = 75 }; /* older GPUs run no code of CUDA 13 */

static int open_all(tp_ctx *c, tp_cuda *h)
{
    cudaError_t e = cudaSetDevice(c->index);
    struct cudaDeviceProp p;
    int failed;

    if (!e) e = cudaGetDeviceProperties(&p, c->index);
    if (!e) h->sm = 10 * p.major + p.minor;
    if (!e && h->sm < LEAST_SM)
        return tp__kernel_error(c, "%.100s has compute capability %d.%d, and %d.%d is the least", p.name, p.major, p.minor,
                                LEAST_SM / 10, LEAST_SM % 10);
    if (!e) e = cudaHostAlloc((void **)&h->fault, sizeof *h->fault, cudaHostAllocMapped);
    if (!e) *h->fault = (tp_fault){ .code = TP_NO_FAULT }, e = take_stream(c);
    if (e) return tp_cuda_error(c, "the device can't be opened", e);
    failed = start_blas(c, h);
    return failed ? failed : tp_dnn_open(c);
}

int tp_cuda_open(tp_ctx *c)
{
    int failed;

    c->stream = NULL;
    c->handles = calloc(1, sizeof(tp_cuda));
    if (!c->handles) return TP_KERNEL_NO_MEMORY;
    failed = open_all(c, c->handles);
    if (failed) tp_cuda_close(c);
    return failed;
}

void tp_cuda_close(tp_ctx *c)
{
    tp_cuda *h = c->handles;

    if (!h) return;
    cudaSetDevice(c->index);
    if (c->stream && tp_cuda_wait(c)) c->warn(c, c->error); /* nobody else will tell */
    tp_dnn_close(c);
    if (h->blas) cublasLtDestroy(h->blas);
    tp_cuda_close_stages(h);
    if (h->fault) cudaFreeHost(h->fault);
    if (c->stream) give_stream(c);
    free(h);
    c->handles = NULL;
}

/* ---- memory ---- */

void *tp_cuda_alloc(tp_ctx *c, size_t bytes)
{
    void *p = NULL;
    cudaError_t e = cudaSetDevice(c->index);

    if (!e) e = cudaMalloc(&p, bytes ? bytes : 1);
    if (e) tp_cuda_error(c, "cudaMalloc", e);
    return e ? NULL : p;
}

void tp_cuda_release(tp_ctx *c, void *ptr, size_t bytes)
{
    (void)bytes;
    cudaSetDevice(c->index);
    cudaFree(ptr);
}

int tp_cuda_wait(tp_ctx *c)
{
    cudaError_t e = cudaSetDevice(c->index);

    if (!e) e = cudaStreamSynchronize(c->stream);
    return tp_cuda_waited(c, "wait", e);
}
