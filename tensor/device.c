/*
 * device.c - the devices of this process, and a thread's context on each.
 *
 * The CPU is always there.  CUDA lives in a library of its own, libtaper_cuda.so, loaded
 * when it is first asked for; TAPER_CUDA_LIBRARY names another file.
 */
#include "tensor/pool.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CPU, CUDA, MOST_THREADS = 1024 };

static tp_device devices[TP_DEVICES];
static tp_pool pools[TP_DEVICES];
static int n_cuda;
static char why_no_cuda[256];
static pthread_once_t cpu_once = PTHREAD_ONCE_INIT, cuda_once = PTHREAD_ONCE_INIT;
static _Atomic(tp_device *) cpu;
atomic_int tp__threads_wanted;
atomic_bool tp__tf32_wanted;

int tp__default_threads(void); /* kernels/cpu/parallel.h, which ops don't see */

static void make(int id, const tp_backend *b, int index)
{
    tp_device *d = &devices[id];

    d->backend = b, d->index = index, d->id = id, d->pool = &pools[id];
    if (id == CPU) snprintf(d->name, sizeof d->name, "cpu");
    else snprintf(d->name, sizeof d->name, "cuda:%d", index);
    tp__pool_init(d->pool, d, id == CPU);
}

static void make_cpu(void)
{
    atomic_store(&tp__threads_wanted, tp__default_threads());
    make(CPU, tp_cpu_backend(), 0);
    atomic_store(&cpu, &devices[CPU]);
}

tp_device *tp__cpu(void)
{
    tp_device *d = atomic_load_explicit(&cpu, memory_order_acquire);

    if (d) return d;
    pthread_once(&cpu_once, make_cpu);
    return &devices[CPU];
}

/* ---- CUDA ---- */

/* Asked first: the library brings cuBLAS, which takes a tenth of a second to load. */
static bool has_driver(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);

    if (!driver) snprintf(why_no_cuda, sizeof why_no_cuda, "no NVIDIA driver is installed: %s", dlerror());
    else dlclose(driver);
    return driver != NULL;
}

static const tp_backend *load_cuda(void)
{
    const char *file = getenv("TAPER_CUDA_LIBRARY");
    void *library;
    tp_backend_entry *entry = NULL;
    const tp_backend *b;
    void *symbol;

    if (file && !*file) file = NULL;
    if (!file && !has_driver()) return NULL;
    library = dlopen(file ? file : "libtaper_cuda.so", RTLD_NOW | RTLD_LOCAL);
    symbol = library ? dlsym(library, TP_CUDA_ENTRY) : NULL;
    memcpy(&entry, &symbol, sizeof entry); /* C has no cast for this */
    if (!entry) {
        snprintf(why_no_cuda, sizeof why_no_cuda, "the library can't be loaded: %s", dlerror());
        return NULL;
    }
    b = entry();
    if (b->version == TP_BACKEND_VERSION && b->bytes == sizeof *b) return b;
    snprintf(why_no_cuda, sizeof why_no_cuda, "%s is of another version of Taper", file ? file : "libtaper_cuda.so");
    return NULL;
}

static void make_cuda(void)
{
    const tp_backend *b = load_cuda();

    if (!b) return;
    n_cuda = b->count(why_no_cuda, sizeof why_no_cuda);
    if (n_cuda > TP_DEVICES - CUDA) n_cuda = TP_DEVICES - CUDA;
    for (int i = 0; i < n_cuda; i++)
        make(CUDA + i, b, i);
}

static tp_device *open_cuda(const char *name)
{
    char *end = (char *)name + strlen("cuda");
    long index = end[0] == ':' && end[1] >= '0' && end[1] <= '9' ? strtol(end + 1, &end, 10) : 0;

    TP_REQUIRE_IN("tp_device_open", *end == 0,
                  TP_ERR_DEVICE, "no device is named \"%s\": cpu, cuda, cuda:1 or auto", name);
    pthread_once(&cuda_once, make_cuda);
    TP_REQUIRE_IN("tp_device_open", n_cuda > 0, TP_ERR_DEVICE, "%s isn't there: %s", name, why_no_cuda);
    TP_REQUIRE_IN("tp_device_open", index < n_cuda, TP_ERR_DEVICE,
                  "%s isn't there: this machine has %d", name, n_cuda);
    return &devices[CUDA + index];
}

static tp_device *open_cpu(void)
{
    const char *why = tp_cpu_backend_trouble();

    TP_REQUIRE_IN("tp_device_open", !why, TP_ERR_DEVICE, "cpu: %s", why);
    return tp__cpu();
}

/* The first GPU that can be used, else the CPU. */
static tp_device *open_any(void)
{
    pthread_once(&cuda_once, make_cuda);
    for (int i = 0; i < n_cuda; i++) {
        if (tp__device_ctx(&devices[CUDA + i])) return &devices[CUDA + i];
        tp__log(1, "%s", tp_error());
        tp_clear_error();
    }
    tp__log(0, "using the CPU: no CUDA device%s%s", n_cuda ? " that can be used" : ", ", n_cuda ? "" : why_no_cuda);
    return open_cpu();
}

tp_device *tp_device_open(const char *name)
{
    if (!tp_ok()) return NULL;
    TP_REQUIRE(name, TP_ERR_ARG, "missing name");
    if (!strcmp(name, "cpu")) return open_cpu();
    if (!strncmp(name, "cuda", 4)) return open_cuda(name);
    TP_REQUIRE(!strcmp(name, "auto"), TP_ERR_DEVICE,
               "no device is named \"%s\": cpu, cuda, cuda:1 or auto", name);
    return open_any();
}

/* ---- contexts ---- */

static bool grow(tp_ctx *c, size_t bytes)
{
    bool ok = tp_ok();
    size_t whole = bytes + bytes / 4;
    void *p = tp__pool_alloc(c->device, whole);

    if (!p) { /* the kernel's status says it */
        if (ok) tp_clear_error();
        snprintf(c->error, sizeof c->error, "no memory for scratch on %s", tp_device_name(c->device));
        return false;
    }
    if (c->scratch) tp__pool_release(c->device, c->scratch, c->scratch_bytes);
    c->scratch = p, c->scratch_bytes = whole;
    return true;
}

static void flush(tp_ctx *c)
{
    tp_memory_trim(c->device);
}

static void warn(tp_ctx *c, const char *text)
{
    tp__log(1, "%s: %s", tp_device_name(c->device), text);
}

/* Once more where there was no memory. */
static int open_context(tp_ctx *c)
{
    int failed = c->backend->open(c);

    if (failed != TP_KERNEL_NO_MEMORY) return failed;
    flush(c);
    return c->backend->open(c);
}

static tp_ctx *new_context(tp_device *d)
{
    static atomic_ulong made;
    tp_ctx *c = tp__alloc_zeroed(sizeof *c);
    int failed;

    if (!c) return NULL;
    *c = (tp_ctx){ .backend = d->backend, .index = d->index, .device = d, .grow = grow, .flush = flush, .warn = warn,
                   .serial = ++made };
    tp__me()->ctx[d->id] = c; /* what flush gives back goes by it */
    if (!(failed = open_context(c))) return c;
    tp__me()->ctx[d->id] = NULL;
    tp__device_failed(d->name, c, failed);
    tp__release(c, sizeof *c);
    return NULL;
}

tp_ctx *tp__device_ctx(tp_device *d)
{
    tp_thread *me = tp__me();
    tp_ctx *c = me->ctx[d->id];

    if (!c && d->id == CPU && !open_cpu()) return NULL; /* memory that is wrapped opens no device */
    if (!c && !(c = new_context(d))) return NULL;
    c->threads = atomic_load(&tp__threads_wanted);
    c->tf32 = atomic_load(&tp__tf32_wanted);
    return c;
}

const char *tp_device_name(const tp_device *d)
{
    return d ? d->name : "no device";
}

const char *tp_device_describe(tp_device *d)
{
    tp_ctx *c = d && tp_ok() ? tp__device_ctx(d) : NULL;

    return c ? d->backend->describe(c) : "no device";
}

bool tp_device_wait(tp_device *d)
{
    tp_ctx *c;
    int failed;

    if (!tp_ok()) return false;
    TP_REQUIRE(d, TP_ERR_DEVICE, "no device");
    if (!tp__replayable(__func__, "nothing runs yet; wait after the step")) return false;
    if (!(c = tp__device_ctx(d))) return false;
    failed = d->backend->wait(c);
    return !failed || tp__device_failed(__func__, c, failed);
}

void tp_set_threads(int n)
{
    tp__cpu();
    atomic_store(&tp__threads_wanted, n > MOST_THREADS ? MOST_THREADS : n > 0 ? n : tp__default_threads());
}

int tp_threads(void)
{
    tp__cpu();
    return atomic_load(&tp__threads_wanted);
}

void tp_set_tf32(bool allowed)
{
    atomic_store(&tp__tf32_wanted, allowed);
}

bool tp_tf32(void)
{
    return atomic_load(&tp__tf32_wanted);
}
