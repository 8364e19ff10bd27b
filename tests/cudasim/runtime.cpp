/*
 * runtime.cpp - the CUDA runtime's functions: devices, streams, events, copies.
 *
 * More devices than one share the heap; but what is queued on a stream, or asked of a library, must come
 * while its device is the thread's.
 *
 * Streams are lazy: nothing runs before somebody waits, and then ready streams take turns
 * in the order asked for.  So a copy from the host reads its memory late, and one to the
 * host spoils the target at once and fills it late.  Harsher than CUDA, never softer.
 */
#include "tests/cudasim/settings.h"
#include "tests/cudasim/sim.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <map>

struct CUevent_st {
    uint64_t recorded, done; /* how often */
};

namespace
{

using namespace cudasim;

struct operation {
    std::function<void()> run;
    cudaEvent_t record, await;
    uint64_t version; /* of the event */
    bool on_host;
};

} // namespace

struct CUgraph_st {
    std::vector<std::function<void()>> work; /* one after the other */
};

struct CUgraphExec_st {
    CUgraph_st graph;
};

struct CUstream_st {
    std::deque<operation> queue;
    CUgraph_st *graph = NULL; /* while it is captured */
    bool broken = false;      /* by a call that can't be captured */
    int device = 0;
};

namespace
{

CUstream_st null_stream;
std::vector<CUstream_st *> streams = { &null_stream };
struct pinned_block {
    size_t bytes;
    bool mapped; /* open to kernels; CUDA opens all of it, but ours ask */
};
std::map<const byte *, pinned_block> pinned;
std::recursive_mutex lock;
thread_local cudaError_t last_error;
thread_local int device;

typedef std::lock_guard<std::recursive_mutex> guard;

cudaError_t result(cudaError_t e)
{
    if (e) last_error = e;
    return e;
}

/* The error of a call that a test wants to fail. */
cudaError_t refused(const char *call)
{
    bool allocates = std::strstr(call, "Alloc") || std::strstr(call, "alloc") ||
                     std::strstr(call, "Create") || std::strstr(call, "Instantiate");

    return result(trouble(call, allocates ? cudaErrorMemoryAllocation : cudaErrorUnknown));
}

CUstream_st *stream_of(cudaStream_t s)
{
    return s ? s : &null_stream;
}

bool ready(const CUstream_st *s)
{
    if (s->queue.empty()) return false;
    const operation &o = s->queue.front();
    return !o.await || o.await->done >= o.version;
}

void step(CUstream_st *s)
{
    operation o = std::move(s->queue.front());

    s->queue.pop_front();
    if (o.run) o.run();
    if (o.record) o.record->done = o.version;
}

/* Runs what is queued until `done` says so; fails after a fault. */
template <class F> cudaError_t drain(const F &done)
{
    stats.waits++;
    if (!done()) {
        device_mode d;

        while (!done()) {
            CUstream_st *next = NULL;

            for (int i : turns((int)streams.size()))
                if (!next && ready(streams[(size_t)i])) next = streams[(size_t)i];
            if (!next) {
                fault("streams wait for events that nobody records");
                break;
            }
            step(next);
        }
        heap_check_guards("a wait"); /* only what ran can have broken one */
    }
    return result(fault_pending() ? cudaErrorLaunchFailure : cudaSuccess);
}

/* What a program waits by has told of the fault. */
cudaError_t told(cudaError_t e)
{
    fault_told();
    return e;
}

cudaError_t drain_all()
{
    return drain([] {
        for (CUstream_st *s : streams)
            if (!s->queue.empty()) return false;
        return true;
    });
}

void queue(cudaStream_t s, std::function<void()> run)
{
    if (s && s->device != device)
        fault("work for a stream of device %d while device %d is this thread's", s->device, device);
    if (stream_of(s)->graph)
        stream_of(s)->graph->work.push_back(std::move(run));
    else
        stream_of(s)->queue.push_back({ std::move(run), NULL, NULL, 0, false });
}

/* What waits for a captured stream, or for its events, ends the capture. */
bool breaks_capture(cudaStream_t s)
{
    if (!stream_of(s)->graph) return false;
    result(cudaErrorStreamCaptureUnsupported);
    return stream_of(s)->broken = true;
}

/* ---- copies ---- */

bool in_device(const void *p, size_t bytes, const char *what)
{
    const allocation *a = heap_holds(p) ? heap_find(p) : NULL;

    if (a && a->live && (const byte *)p + bytes <= a->first + a->bytes) return true;
    fault("%s: %zu bytes at %p aren't inside a live allocation", what, bytes, p);
    return false;
}

void copy_now(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    stats.copies++;
    if (kind != cudaMemcpyHostToDevice) {
        if (!in_device(from, bytes, "copy from the device")) return;
        if (!shadow_is_init(from, bytes))
            fault("copy of %zu uninitialized bytes from %p", bytes, from);
    }
    if (kind != cudaMemcpyDeviceToHost) {
        if (!in_device(to, bytes, "copy to the device")) return;
        shadow_init(to, bytes);
    }
    std::memcpy(to, from, bytes);
}

} // namespace

int cudasim::capability = 80;

bool cudasim::mapped_holds(const byte *p, size_t bytes)
{
    auto after = pinned.upper_bound(p);

    if (after == pinned.begin()) return false;
    --after;
    return after->second.mapped && p + bytes <= after->first + after->second.bytes;
}

/* ---- work of stand-in libraries and kernels ---- */

cudaError_t cudasim_enqueue(cudaStream_t stream, cudasim_work *run, const void *argument,
                            size_t bytes)
{
    guard g(lock);
    std::vector<byte> copy((const byte *)argument, (const byte *)argument + bytes);

    if (cudaError_t e = refused(__func__)) return e;
    stats.calls++;
    queue(stream, [run, copy]() mutable {
        if (work != CUDASIM_SKIP) run(copy.data());
    });
    return cudaSuccess;
}

extern "C" cudaError_t cudasim_launch(const char *name, cudasim_work *run,
                                      const void *call, size_t bytes, dim3 grid,
                                      dim3 block, cudaStream_t stream)
{
    guard g(lock);
    std::vector<byte> copy((const byte *)call, (const byte *)call + bytes);
    size_t count = (size_t)block.x * block.y * block.z;

    if (!count || count > 1024 || !grid.x || !grid.y || !grid.z || bytes > PARAMETERS + 64)
        return result(cudaErrorInvalidConfiguration);
    if (cudaError_t e = refused("cudaLaunchKernel")) return e;
    stats.launches++;
    queue(stream, [=]() mutable {
        if (work != CUDASIM_SKIP)
            run_grid(name, run, copy.data(), copy.size(), grid, block);
    });
    return cudaSuccess;
}

extern "C" int cudasim_device(void)
{
    return device;
}

extern "C" void cudasim_on_device(int wanted, const char *who)
{
    if (wanted != device) fault("%s: for device %d while device %d is this thread's", who, wanted, device);
}

/* ---- the runtime ---- */

extern "C" {

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = cudasim_setting("CUDASIM_DEVICES", 0, 64, 1);
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int d)
{
    int n;

    cudaGetDeviceCount(&n);
    if (d < 0 || d >= n) return result(cudaErrorInvalidDevice);
    device = d;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *v)
{
    *v = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int)
{
    int capability = cudasim_setting("CUDASIM_SM", 50, 129, cudasim::capability);

    std::memset((void *)p, 0, sizeof *p);
    std::snprintf(p->name, sizeof p->name, "cudasim");
    p->totalGlobalMem = HEAP_ROOM, p->warpSize = 32;
    p->major = capability / 10, p->minor = capability % 10;
    p->multiProcessorCount = 4, p->maxThreadsPerBlock = 1024;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    guard g(lock);

    if (cudaError_t e = refused(__func__)) return e;
    *p = heap_alloc(bytes);
    if (!*p) return result(cudaErrorMemoryAllocation);
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    guard g(lock);

    if (!p) return cudaSuccess;
    cudaError_t e = drain_all(); /* CUDA waits here, too; but nobody asks a release what failed before it */
    return heap_free(p) ? e : result(cudaErrorInvalidValue);
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned flags)
{
    guard g(lock);

    if (cudaError_t e = refused(__func__)) return e;
    *p = std::malloc(bytes);
    holdings.objects++;
    pinned[(const byte *)*p] = { bytes, (flags & cudaHostAllocMapped) != 0 };
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    return cudaHostAlloc(p, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *p)
{
    guard g(lock);
    cudaError_t e = drain_all();

    if (!p) return e;
    if (!pinned.erase((const byte *)p)) return result(cudaErrorInvalidValue);
    std::free(p), holdings.objects--;
    return e;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    guard g(lock);

    if (cudaError_t e = refused(__func__)) return e;
    if (kind == cudaMemcpyDeviceToHost && !stream_of(stream)->graph)
        std::memset(to, 0xFF, bytes);
    queue(stream, [=] { copy_now(to, from, bytes, kind); });
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
    guard g(lock);

    if (cudaError_t e = refused(__func__)) return e;
    streams.push_back(*s = new CUstream_st), holdings.objects++;
    (*s)->device = device;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    guard g(lock);

    if (breaks_capture(s)) return cudaErrorStreamCaptureUnsupported;
    cudaError_t e = told(drain([s] { return stream_of(s)->queue.empty(); }));
    return e ? e : refused("cudaStreamSynchronize");
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    guard g(lock);
    cudaError_t e = drain([s] { return stream_of(s)->queue.empty(); });

    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i] == s) streams.erase(streams.begin() + (std::ptrdiff_t)i--);
    delete s, holdings.objects--;
    return e;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode)
{
    guard g(lock);

    if (cudaError_t e = refused(__func__)) return e;
    if (!s || s->graph) return result(cudaErrorIllegalState);
    s->graph = new CUgraph_st, s->broken = false;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *to)
{
    guard g(lock);

    *to = NULL;
    if (!s || !s->graph) return result(cudaErrorIllegalState);
    cudaError_t e = s->broken ? result(cudaErrorStreamCaptureInvalidated) : refused(__func__);
    if (e)
        delete s->graph;
    else
        *to = s->graph, holdings.objects++;
    s->graph = NULL;
    return e;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus *to)
{
    guard g(lock);

    *to =
        stream_of(s)->graph ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *to, cudaGraph_t from,
                                 unsigned long long)
{
    guard g(lock);

    if (cudaError_t e = refused(__func__)) return e;
    *to = new CUgraphExec_st{ *from }, holdings.objects++;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    guard now(lock);

    delete g, holdings.objects--;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s)
{
    guard g(lock);

    if (cudaError_t e = refused(__func__)) return e;
    stats.replays++;
    for (const std::function<void()> &f : e->graph.work)
        queue(s, f);
    return cudaSuccess;
}

/* CUDA lets it be destroyed while it runs; what is queued has copies. */
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e)
{
    guard g(lock);

    delete e, holdings.objects--;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    guard g(lock);

    return told(drain_all());
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned)
{
    guard g(lock);

    if (cudaError_t refusal = refused(__func__)) return refusal;
    *e = new CUevent_st(), holdings.objects++;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    guard g(lock);

    if (cudaError_t refusal = refused(__func__)) return refusal;
    if (breaks_capture(s)) return cudaErrorStreamCaptureUnsupported;
    stream_of(s)->queue.push_back({ nullptr, e, NULL, ++e->recorded, false });
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    guard g(lock);
    uint64_t version = e->recorded;

    cudaError_t failed = told(drain([=] { return e->done >= version; }));
    return failed ? failed : refused(__func__);
}

cudaError_t cudaEventQuery(cudaEvent_t e)
{
    guard g(lock);

    return e->done >= e->recorded ? cudaSuccess : result(cudaErrorNotReady);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    guard g(lock);

    if (breaks_capture(s)) return cudaErrorStreamCaptureUnsupported;
    stream_of(s)->queue.push_back({ nullptr, NULL, e, e->recorded, false });
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    guard g(lock);
    cudaError_t status = drain_all(); /* it may still stand in a queue */

    delete e, holdings.objects--;
    return status;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t e = last_error;

    last_error = cudaSuccess;
    return e;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

const char *cudaGetErrorString(cudaError_t e)
{
    switch (e) {
    case cudaSuccess:
        return "no error";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorLaunchFailure:
        return cudasim_last_fault();
    case cudaErrorInvalidDeviceFunction:
        return "invalid device function";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    default:
        return "a CUDA error";
    }
}
}
