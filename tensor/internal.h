/*
 * internal.h - what is behind tp_tensor, for the library alone.
 */
#ifndef TP_TENSOR_INTERNAL_H
#define TP_TENSOR_INTERNAL_H

#include "kernels/backend.h"
#include "tensor/tensor.h"
#include "tensor/thread.h"

#include <stdatomic.h>

/* Something counted that tensor/ holds without knowing it: the node that made a tensor. */
typedef struct tp_counted {
    atomic_int refs;
    void (*release)(struct tp_counted *self); /* called at 0 */
    void (*unhandled)(struct tp_counted *self); /* called when a tensor lets go; may be NULL */
} tp_counted;

/* Bytes on a device, shared by views and by what autograd saves. */
typedef struct tp_storage {
    atomic_int refs;
    unsigned version; /* counts in-place writes; checked when a saved tensor is unpacked */
    tp_device *device;
    size_t bytes;
    void *data;
    void (*done)(void *user); /* called when the bytes are no longer needed; NULL: nothing */
    void *user;
    unsigned block; /* bytes of this record, and of small data behind it */
    bool borrowed;  /* data is the caller's */
    bool recorded;  /* a gradient that a recorded step writes: it stays where it is */
} tp_storage;

enum { TP_STORAGE_HEAD = 64 };
_Static_assert(sizeof(tp_storage) <= TP_STORAGE_HEAD, "small data begins there");

struct tp_tensor {
    atomic_int refs;
    int lent; /* position among the thread's lent tensors, or -1 */
    unsigned char dtype;
    bool placed; /* already lies in a gradient: see tp__place */
    unsigned short out; /* which output of the node */
    atomic_ushort held; /* parameters and buffers of modules that it is */
    bool replaced;      /* was the last of them, until a module was given another */
    atomic_int kept;    /* of refs, those of the program's own: tp_keep less tp_free */
#ifdef TP_DEBUG
    unsigned alive;
#endif
    tp_storage *storage;
    tp_counted *node; /* what made it, or its leaf; NULL when no gradient is wanted */
    int64_t offset;   /* in elements */
    tp_shape shape;
    int64_t stride[TP_MAX_AXES]; /* in elements */
};

/* Gives up one reference; true for the last.  Who holds the only one needs no locked
 * subtraction: nobody else can be taking another. */
static inline bool tp__last(atomic_int *refs)
{
    return atomic_load_explicit(refs, memory_order_acquire) == 1 ||
           atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

/* Debug builds tell a tensor that was used after its scope or its tp_free. */
enum { TP_ALIVE = 0x7a9e5 };
static inline bool tp__alive(const tp_tensor *t)
{
#ifdef TP_DEBUG
    return t->alive == TP_ALIVE;
#else
    (void)t;
    return true;
#endif
}
bool tp__dead(const char *where); /* records the error; false */
/* Is t there?  The gate of all that takes one tensor without tp__check. */
static inline bool tp__there(const char *where, const tp_tensor *t)
{
    return t && (tp__alive(t) || tp__dead(where));
}

/* ---- errors ---- */

void *tp__fail(tp_code code, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define TP_REQUIRE_IN(where, cond, code, ...)                                            \
    do {                                                                                 \
        if (!(cond)) return tp__fail(code, where, __VA_ARGS__);                          \
    } while (0)
#define TP_REQUIRE(cond, code, ...) TP_REQUIRE_IN(__func__, cond, code, __VA_ARGS__)
const char *tp__text(const tp_tensor *t); /* "f32 (2, 3)"; one of a few rotating buffers */
const char *tp__shape_text(tp_shape s);
/* Is every tensor there, alive and on the first one's device?  Entries from n_must on may be
 * NULL. */
bool tp__check(const char *where, tp_list in, int n_must);
void tp__log(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- memory: the one door; sizes are given back with the block ---- */

void *tp__alloc(size_t bytes); /* host, aligned to 64, not cleared; NULL records an error */
void *tp__alloc_zeroed(size_t bytes);
void *tp__grow(void *p, size_t old_bytes, size_t bytes); /* keeps the content */
void tp__release(void *p, size_t bytes);
char *tp__strdup(const char *s);
void tp__free_text(char *s); /* of tp__strdup; NULL is allowed */
void *tp__pool_alloc(tp_device *d, size_t bytes); /* on a device */
void tp__pool_release(tp_device *d, void *p, size_t bytes);
void tp__pool_stats(tp_device *d, tp_memory *m);
void tp__pool_flush_thread(tp_thread *t); /* a thread's cached blocks become everybody's */
/* For tests: the n-th allocation from now on fails (-1: none); blocks in use. */
extern _Thread_local long tp__fail_after;
long tp__live(void);

/* tp_file_save into a temporary file that is taken away again. */
struct tp_named;
struct tp_meta;
bool tp__is_utf8(const char *text); /* as JSON takes it */
bool tp__file_try(const char *path, const struct tp_named *tensors, int n, const struct tp_meta *meta, int n_meta);

/* ---- handles and storage ---- */

/* Every handle is born here, lent; NULL while an error is pending, so every op refuses then.
 * stride NULL: row-major. */
tp_tensor *tp__handle(tp_storage *s, tp_dtype d, const tp_shape *shape, const int64_t *stride,
                      int64_t offset);

/* How a dense tensor lies in memory. */
typedef enum tp_layout { TP_ROW_MAJOR, TP_CHANNELS_LAST } tp_layout;

/* Of what is fixed: tp_from for ops, also in a captured step. */
tp_tensor *tp__constant(const char *where, const void *host, tp_shape s, tp_dtype d, tp_device *dev);
/* The number of one element as it is now, to be read later; tp__later_item frees it. */
typedef struct tp_later tp_later;
tp_later *tp__later(const char *where, const tp_tensor *t);
double tp__later_item(tp_later *l);
void tp__later_free(tp_later *l);

/* Dense, not initialized. */
tp_tensor *tp__new(tp_shape s, tp_dtype d, tp_device *dev);
tp_tensor *tp__new_as(tp_shape s, tp_dtype d, tp_device *dev, tp_layout layout);
static inline tp_tensor *tp__new_like(const tp_tensor *t, tp_shape s)
{
    return tp__new(s, (tp_dtype)t->dtype, t->storage->device);
}
tp_tensor *tp__view(const tp_tensor *t, tp_shape shape, const int64_t *stride, int64_t offset);
tp_tensor *tp__alias(const tp_tensor *t); /* a second handle, not recorded */
tp_tensor *tp__retain(tp_tensor *t);
/* tp_keep and tp_free for what the library owns: the program can't free these references. */
tp_tensor *tp__keep(tp_tensor *t);
void tp__free(tp_tensor *t);
void tp__swap(tp_tensor *a, tp_tensor *b); /* each becomes what the other was; handles stay */
void tp__drop(tp_tensor *t); /* ends t now if the innermost scope lent it; else nothing */
void tp__quarantine_end(void); /* debug builds keep freed headers for a while */
tp_storage *tp__storage_new(tp_device *dev, size_t bytes);
tp_storage *tp__storage_wrap(void *host, size_t bytes, void (*done)(void *), void *user);
tp_storage *tp__storage_retain(tp_storage *s);
void tp__storage_release(tp_storage *s);
void tp__counted_release(tp_counted *c);

/* ---- shapes ---- */

bool tp__shape_ok(const char *where, tp_shape s); /* rank and sizes are possible */
int64_t tp__countable(const tp_shape *s); /* its elements; -1: tp__shape_ok tells what is wrong */
bool tp__same(const tp_shape *a, const tp_shape *b);
int64_t tp__elements(const tp_shape *s);
void tp__strides(const tp_shape *s, tp_layout layout, int64_t *stride);
bool tp__dense(const tp_tensor *t, tp_layout layout); /* without gaps, in this layout */
/* The layout that a result takes from its operands, of those that keep it: the first with four axes
 * whose strides speak for one layout alone decides, dense or not. */
tp_layout tp__layout_among(tp_list operands);
tp_layout tp__layout_of(const tp_tensor *t); /* of one */
tp_shape tp__broadcast(const tp_shape *a, const tp_shape *b); /* rank -1: they don't fit */
bool tp__expanded(const tp_tensor *t, const tp_shape *s, int64_t *stride);
tp_loop tp__loop(const tp_shape *s, tp_list operands); /* operands broadcast to s */
tp_loop tp__loop_logical(const tp_shape *s, tp_list operands);
int tp__axis(const char *where, const tp_tensor *t, int axis); /* from the front; -1 and an error when absent */
/* Several axes as a mask; false and an error when one is absent or named twice. */
bool tp__axes_mask(const char *where, const tp_tensor *t, tp_axes axes, bool *gone);

/* ---- devices ---- */

struct tp_device {
    const tp_backend *backend;
    int index, id; /* "cuda:index"; the place in a thread's contexts */
    char name[16];
    struct tp_pool *pool;
    atomic_size_t now, peak;
};

tp_device *tp__cpu(void);
/* The device of the step that is being noted, or NULL. */
static inline tp_device *tp__tape_on(const tp_thread *me)
{
    return me->tape && me->tape->owner ? me->tape->device : NULL;
}
/* What a recorded step can't do: false and an error that says so. */
static inline bool tp__replayable(const char *where, const char *why)
{
    TP_REQUIRE_IN(where, !tp__me()->tape, TP_ERR_ARG, "not in a captured step: %s", why);
    return true;
}
tp_ctx *tp__device_ctx(tp_device *d); /* this thread's; NULL and an error when it can't open */
extern atomic_int tp__threads_wanted;
extern atomic_bool tp__tf32_wanted;

static inline void *tp__data(const tp_tensor *t)
{
    static const unsigned char shift[TP_DTYPES] = { 2, 3, 1, 1, 3, 2, 0, 0 };

    return t ? (char *)t->storage->data + ((size_t)t->offset << shift[t->dtype]) : NULL;
}
static inline tp_device *tp__device(const tp_tensor *t)
{
    return t->storage->device;
}
static inline tp_ctx *tp__ctx(const tp_tensor *t)
{
    tp_thread *me = tp__me();
    tp_ctx *c = me->ctx[t->storage->device->id];
    const tp_device *recording = tp__tape_on(me);

    TP_REQUIRE_IN("tp_capture_run", !recording || recording == t->storage->device, TP_ERR_DEVICE,
                  "not in a captured step of %s: work on %s, which no replay does", recording->name,
                  t->storage->device->name);
    if (!c) return tp__device_ctx(t->storage->device);
    c->threads = atomic_load_explicit(&tp__threads_wanted, memory_order_relaxed);
    c->tf32 = atomic_load_explicit(&tp__tf32_wanted, memory_order_relaxed);
    return c;
}
static inline const tp_backend *tp__backend(const tp_tensor *t)
{
    return t->storage->device->backend;
}
static inline bool tp__is_float(const tp_tensor *t)
{
    return t->dtype <= TP_F16;
}

/* Runs a kernel for t's dtype on t's device:  TP_RUN(tanh, t, &loop, ...).  false and an error
 * that names kernel, dtype and device when it is missing or fails. */
#define TP_RUN(name, t, ...) TP_RUN_SLOT(#name, tp__backend(t)->name, t, __VA_ARGS__)
#define TP_RUN_SLOT(text, slots, t, ...) tp__ran(text, t, TP__STATUS(slots, t, __VA_ARGS__))
#define TP__STATUS(slots, t, ...)                                                        \
    ((slots)[(t)->dtype] && tp__ctx(t)                                                   \
         ? (tp__kernel_begins(),                                                         \
            (slots)[(t)->dtype](tp__me()->ctx[tp__device(t)->id], __VA_ARGS__))          \
         : TP_NO_KERNEL)
/* For what a kernel may decline: false, and no error, where it is missing or says TP_NO_KERNEL. */
#define TP_TRY(name, t, ...) tp__tried(#name, t, TP__STATUS(tp__backend(t)->name, t, __VA_ARGS__))
bool tp__upload(const char *where, tp_ctx *c, void *to, const void *host, size_t bytes); /* with an error that says why not */
void *tp__device_failed(const char *where, const tp_ctx *c, int status); /* of a backend's function that is no kernel; NULL */
bool tp__kernel_failed(const char *kernel, const tp_tensor *t, int status);
static inline void tp__kernel_begins(void)
{
    tp_probe *p = tp__me()->probe;

    if (p && p->kernel_begins) p->kernel_begins(p);
}
static inline bool tp__ran(const char *kernel, const tp_tensor *t, int status)
{
    tp_probe *p = tp__me()->probe;

    if (p && p->kernel) p->kernel(p, kernel, t);
    return status == 0 || tp__kernel_failed(kernel, t, status);
}
static inline bool tp__tried(const char *kernel, const tp_tensor *t, int status)
{
    return status != TP_NO_KERNEL && tp__ran(kernel, t, status);
}

/* Counters for n numbers of this thread's generator: asked for after all that can fail. */
bool tp__draw(tp_device *dev, int64_t n, tp_draw *d);

/* Copies without recording; to and from share a shape, or from broadcasts. */
bool tp__copy(tp_tensor *to, const tp_tensor *from, bool add);
extern atomic_long tp__layout_copies; /* 4-D copies from one layout to another */

#endif
