/*
 * dnn_cache.c - makes cuDNN's handle and plans when they are first needed, and keeps those used last.
 */
#include "kernels/cuda/dnn_cache.h"

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/dnn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLANS = 256 };

typedef struct entry {
    uint64_t hash, used; /* when, by the cache's clock */
    tp_dnn_ask ask;
    tp_dnn_plan plan; /* of no parts: cuDNN has none */
    bool recorded;    /* a graph holds its kernels */
} entry;

/* A plan that made room while graphs still hold its kernels. */
typedef struct retired {
    struct retired *next;
    tp_dnn_plan plan;
} retired;

typedef struct tp_dnn {
    cudnnHandle_t handle;
    bool failed;   /* there is no handle to be had */
    int64_t limit; /* bytes of a plan's workspace */
    uint64_t clock;
    int n;
    entry at[PLANS];
    retired *retired;
} tp_dnn;

static tp_dnn *of(tp_ctx *c)
{
    return ((tp_cuda *)c->handles)->dnn;
}

static bool recording(tp_ctx *c)
{
    return ((tp_cuda *)c->handles)->device_stream != NULL;
}

/* ---- the library ---- */

int tp_dnn_version(void)
{
    return (int)cudnnGetVersion();
}

/* NVIDIA promises that a program built with 9.x runs with 9.y for y >= x, and nothing else. */
static int check_version(tp_ctx *c)
{
    int v = tp_dnn_version(), wide = v >= 90000; /* before 9, 8.9.7 was 8907 */
    int major = wide ? v / 10000 : v / 1000, minor = wide ? v / 100 % 100 : v / 100 % 10;

    if (major == CUDNN_MAJOR && minor >= CUDNN_MINOR) return 0;
    return tp__kernel_error(c,
                            "cuDNN %d.%d is loaded, but this library is built for %d.%d: "
                            "it needs that or a later %d.x",
                            major, minor, CUDNN_MAJOR, CUDNN_MINOR, CUDNN_MAJOR);
}

static int read_limit(tp_ctx *c, int64_t *to)
{
    const char *text = getenv("TAPER_CUDNN_WORKSPACE");
    char *end;
    long long v = 1024;

    errno = 0;
    if (text) v = strtoll(text, &end, 10);
    if (text && (end == text || *end || errno || v < 0 || v > INT64_MAX >> 20))
        return tp__kernel_error(c, "TAPER_CUDNN_WORKSPACE is \"%s\", not a number of MiB",
                                text);
    *to = (int64_t)v << 20;
    return 0;
}

int tp_dnn_open(tp_ctx *c)
{
    tp_dnn *d;
    int failed = check_version(c);

    if (failed) return failed;
    d = calloc(1, sizeof *d);
    if (!d) return TP_KERNEL_NO_MEMORY;
    ((tp_cuda *)c->handles)->dnn = d;
    return read_limit(c, &d->limit);
}

void tp_dnn_close(tp_ctx *c)
{
    tp_dnn *d = of(c);

    if (!d) return;
    while (d->n > 0)
        tp_dnn_plan_free(&d->at[--d->n].plan);
    for (retired *next, *r = d->retired; r; r = next) {
        next = r->next;
        tp_dnn_plan_free(&r->plan);
        free(r);
    }
    if (d->handle) cudnnDestroy(d->handle);
    free(d);
    ((tp_cuda *)c->handles)->dnn = NULL;
}

static void warn(tp_ctx *c, const char *what, cudnnStatus_t s)
{
    char text[200];

    cudaGetLastError(); /* or the next kernel would report it */
    snprintf(text, sizeof text, "%s: %s; Taper's own kernels, which are slower, convolve instead", what,
             cudnnGetErrorString(s));
    c->warn(c, text);
}

static cudnnStatus_t start(tp_ctx *c, cudnnHandle_t *to)
{
    cudnnStatus_t s = cudnnCreate(to);

    if (s != CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED) return s;
    c->flush(c);
    return cudnnCreate(to);
}

/* On the stream where kernels are queued now; NULL: there is none to be had. */
static cudnnHandle_t handle_of(tp_ctx *c)
{
    tp_dnn *d = of(c);
    cudnnStatus_t s = CUDNN_STATUS_SUCCESS;

    if (d->failed || cudaSetDevice(c->index)) return NULL;
    if (!d->handle) s = start(c, &d->handle);
    if (!s) s = cudnnSetStream(d->handle, c->stream);
    d->failed = s != CUDNN_STATUS_SUCCESS;
    if (s) warn(c, "cuDNN can't be started", s);
    return s ? NULL : d->handle;
}

/* ---- plans ---- */

/* FNV-1a, by words. */
static uint64_t hash_of(const tp_dnn_ask *q)
{
    uint64_t word[sizeof *q / sizeof(uint64_t)], h = 0xCBF29CE484222325;

    memcpy(word, q, sizeof *q);
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        h = (h ^ word[i]) * 0x100000001B3;
    return h;
}

static entry *known(tp_dnn *d, const tp_dnn_ask *q)
{
    uint64_t hash = hash_of(q);

    for (int i = 0; i < d->n; i++)
        if (d->at[i].hash == hash && !memcmp(&d->at[i].ask, q, sizeof *q))
            return &d->at[i];
    return NULL;
}

/* Of a plan that makes room kernels may wait in the stream, or stand in a graph. */
static bool let_go(tp_ctx *c, entry *e)
{
    retired *r = e->recorded ? malloc(sizeof *r) : NULL;

    if (e->recorded && !r) return false;
    if (r) {
        *r = (retired){ of(c)->retired, e->plan };
        of(c)->retired = r;
    } else if (e->plan.plan) {
        cudaStreamSynchronize(c->stream);
        tp_dnn_plan_free(&e->plan);
    }
    return true;
}

/* An entry without content: a new one, or that of the plan which was used longest ago. */
static entry *place(tp_ctx *c)
{
    tp_dnn *d = of(c);
    entry *oldest = d->at;

    if (d->n < PLANS) return &d->at[d->n++];
    for (int i = 1; i < PLANS; i++)
        if (d->at[i].used < oldest->used) oldest = &d->at[i];
    return let_go(c, oldest) ? oldest : NULL;
}

static entry *made(tp_ctx *c, const tp_dnn_ask *q)
{
    cudnnHandle_t h = handle_of(c);
    entry *e = h ? place(c) : NULL;

    if (!e) return NULL;
    *e = (entry){ .hash = hash_of(q), .ask = *q };
    if (!tp_dnn_plan_make(q, h, NULL, of(c)->limit, &e->plan)) cudaGetLastError();
    return e;
}

int tp_dnn_find(tp_ctx *c, const char *op, const tp_dnn_ask *q, const tp_dnn_plan **to)
{
    tp_dnn *d = of(c);
    entry *e = known(d, q);

    if (!e && recording(c) && !d->failed)
        return tp__kernel_error(
            c,
            "%s: cuDNN's plan for this shape isn't made yet, or is one of more "
            "than %d, and none is made while a step is recorded",
            op, PLANS);
    if (!e) e = made(c, q);
    if (!e) return TP_NO_KERNEL;
    e->used = ++d->clock;
    if (!e->plan.plan) return TP_NO_KERNEL;
    e->recorded |= recording(c);
    *to = &e->plan;
    return 0;
}

int tp_dnn_run(tp_ctx *c, const char *op, const tp_dnn_ask *q, const tp_dnn_plan *p,
               const void *x, const void *w, const void *y, void *workspace)
{
    cudnnHandle_t h = handle_of(c);
    cudnnStatus_t status = CUDNN_STATUS_NOT_INITIALIZED;
    entry *e;

    if (h) status = tp_dnn_plan_run(p, h, x, w, y, workspace);
    ((tp_cuda *)c->handles)->last = op;
    if (!status) return 0;
    if (recording(c)) {
        cudaGetLastError();
        return tp__kernel_error(c, "%s: cuDNN can't be recorded: %s", op,
                                cudnnGetErrorString(status));
    }
    if (h) warn(c, "cuDNN can't run its plan", status);
    e = known(of(c), q);
    if (e && let_go(c, e)) e->plan = (tp_dnn_plan){ 0 }, e->recorded = false;
    return TP_NO_KERNEL;
}
