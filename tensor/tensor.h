/*
 * tensor.h - arrays on a device: shapes, lifetimes, errors, devices, copies, randomness.
 *
 * What holds for every function of the library, unless its comment says otherwise:
 *
 * - Tensors are lent, objects are made.  A function that returns a tensor lends it: it dies
 *   with the innermost open scope of the thread.  Modules, optimizers, loaders and the like
 *   are made: free each once, in any order; NULL is allowed.
 * - The first error of a thread is kept until tp_clear_error().  A call that fails gives
 *   NULL or false; while an error is pending every other call does too and changes nothing.
 * - Numbers are int64_t, axes int; a negative axis counts from the end.
 */
#ifndef TP_TENSOR_H
#define TP_TENSOR_H

#include "kernels/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define TP_API_BEGIN _Pragma("GCC visibility push(default)") extern "C" {
#define TP_API_END                                                                       \
    }                                                                                    \
    _Pragma("GCC visibility pop")
#else
/* Before the declarations of every public header: exported, in C++ with C's linkage; */
#define TP_API_BEGIN _Pragma("GCC visibility push(default)")
#define TP_API_END   _Pragma("GCC visibility pop") /* and behind them */
#endif

TP_API_BEGIN

typedef struct tp_tensor tp_tensor; /* numbers of one dtype on a device; lent, unless kept */
typedef struct tp_device tp_device; /* where tensors lie and kernels run; never freed */

enum { TP_MAX_AXES = 8 };

/* ---- shapes, by value, outermost axis first ---- */

/* Sizes by axis; rank 0 is one number. */
typedef struct tp_shape {
    int rank;               /* how many axes */
    int64_t n[TP_MAX_AXES]; /* their sizes; what is behind rank isn't read */
} tp_shape;

/* Axes to fold over; n 0 means all.  keep leaves each folded axis with size 1. */
typedef struct tp_axes {
    int n;
    bool keep;
    int axis[TP_MAX_AXES];
} tp_axes;

/* Tensors by pointer; an entry may be NULL where a function says it may be absent.  TP_LIST(a, b)
 * lives to the end of its block in C.  In C++ it is for a call, or for
 *     auto pair = TP_LIST(a, b);
 * which lives as long as its name: a variable of type tp_list would point to what is gone (clang
 * warns of it). */
typedef struct tp_list {
    tp_tensor *const *t;
    int n;
} tp_list;

#define TP_LEN(a) ((int)(sizeof(a) / sizeof *(a))) /* how many elements an array has */

/* As arguments: TP_SHAPE(64, 10), TP_SCALAR with no axes; TP_ALL, TP_AXES(0, -1), and
 * TP_KEEPDIM(1), which leaves the axes with size 1; TP_LIST(a, b). */
#ifndef __cplusplus
#define TP__COUNT(T, ...) ((int)(sizeof((T[]){ __VA_ARGS__ }) / sizeof(T)))
#define TP_SHAPE(...)     ((tp_shape){ TP__COUNT(int64_t, __VA_ARGS__), { __VA_ARGS__ } })
#define TP_SCALAR         ((tp_shape){ 0, { 0 } })
#define TP_ALL            ((tp_axes){ 0, false, { 0 } })
#define TP_AXES(...)      ((tp_axes){ TP__COUNT(int, __VA_ARGS__), false, { __VA_ARGS__ } })
#define TP_KEEPDIM(...)   ((tp_axes){ TP__COUNT(int, __VA_ARGS__), true, { __VA_ARGS__ } })
#define TP_LIST(...)                                                                     \
    ((tp_list){ (tp_tensor *const[]){ __VA_ARGS__ }, TP__COUNT(tp_tensor *, __VA_ARGS__) })
#endif

/* ---- errors ---- */

typedef enum tp_code {
    TP_OK,
    TP_ERR_ARG,       /* a value that can't be */
    TP_ERR_SHAPE,     /* shapes that don't fit */
    TP_ERR_DTYPE,     /* a dtype that isn't offered */
    TP_ERR_DEVICE,    /* a device that isn't there, or failed, or tensors on different ones */
    TP_ERR_MEMORY,    /* out of memory, on the host or a device */
    TP_ERR_IO,        /* a file or folder that can't be read or written */
    TP_ERR_FORMAT,    /* a file that isn't what it should be */
    TP_ERR_NONFINITE, /* NaN or infinity, found in anomaly mode */
    TP_ERR_USER       /* free for programs */
} tp_code;

bool tp_ok(void);             /* no error is pending in this thread */
const char *tp_error(void);   /* its text: op, shapes, dtypes, what was expected; "" if none */
tp_code tp_error_code(void);  /* its kind; TP_OK if none */
void tp_clear_error(void);    /* it is dealt with: calls do something again */
/* Records an error of this thread, with a text as printf's, unless one is pending; gives NULL. */
void *tp_fail(tp_code code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Where the library may say something that is no error; nothing is said without it. */
typedef void tp_log_fn(void *user, int level, const char *message); /* 0 note, 1 warning */
void tp_set_log(tp_log_fn *f, void *user);

/* ---- lifetimes ---- */

typedef struct tp_scope {
    int depth;
} tp_scope;

/* TP_SCOPE; at the top of a block: tensors lent from here on die where the block ends,
 * however it is left.  The calls below it do the same for compilers without the cleanup
 * attribute; scopes opened inside and forgotten end too. */
#define TP__CAT2(a, b) a##b
#define TP__CAT(a, b)  TP__CAT2(a, b)
#define TP_SCOPE                                                                         \
    tp_scope TP__CAT(tp__scope, __COUNTER__)                                                \
        __attribute__((cleanup(tp__scope_close), unused)) = tp_scope_begin()
tp_scope tp_scope_begin(void);
void tp_scope_end(tp_scope s);
void tp__scope_close(tp_scope *s);

tp_tensor *tp_pass(tp_tensor *t); /* t now dies with the parent scope; gives t */
tp_tensor *tp_keep(tp_tensor *t); /* t outlives scopes: one tp_free each; gives t */
/* Of a kept one, once for each tp_keep; of any other it is an error, and nothing is freed. */
void tp_free(tp_tensor *t);
/* *slot = t without its history, kept; what was there is freed, unless it is lent.  For hidden
 * states. */
bool tp_store(tp_tensor **slot, tp_tensor *t);
/* Frees all that this thread was lent, in scopes that are still open, too, and its caches.  Runs by
 * itself when a thread ends. */
void tp_thread_end(void);

/* ---- devices ---- */

/* "cpu", "cuda", "cuda:1", or "auto": cuda where there is one, else the CPU (said through
 * tp_set_log).  The same device each time; never freed. */
tp_device *tp_device_open(const char *name);
const char *tp_device_name(const tp_device *d); /* "cpu", "cuda:0" */
const char *tp_device_describe(tp_device *d); /* one line: processor, instruction set, BLAS */
bool tp_device_wait(tp_device *d);            /* until all work given to it is done */
void tp_set_threads(int n); /* CPU threads for kernels, at most 1024; 0: all processors */
int tp_threads(void);       /* how many they are */
/* May products, and cuDNN's convolutions, of f32 on CUDA round their operands to TF32 (8 bits of exponent, 10
 * of fraction), so that tensor cores multiply them?  For all threads; at first no. */
void tp_set_tf32(bool allowed);
bool tp_tf32(void);

typedef struct tp_memory {
    size_t now, peak; /* bytes of tensors */
    size_t reserved;  /* bytes taken from the device, cached ones among them */
    uint64_t calls;   /* allocations that the device itself was asked for */
} tp_memory;
tp_memory tp_memory_stats(tp_device *d);     /* of the whole process */
void tp_memory_reset_peak(tp_device *d);     /* peak = now */
void tp_memory_trim(tp_device *d); /* gives cached bytes back */

/* ---- making ---- */

tp_tensor *tp_zeros(tp_shape s, tp_dtype d, tp_device *dev);          /* 0 everywhere */
tp_tensor *tp_ones(tp_shape s, tp_dtype d, tp_device *dev);           /* 1 everywhere */
tp_tensor *tp_full(tp_shape s, double v, tp_dtype d, tp_device *dev); /* v everywhere */
tp_tensor *tp_from(const void *host, tp_shape s, tp_dtype d, tp_device *dev); /* a copy */
/* The caller's memory as a tensor on the CPU, not copied, dense, at a multiple of the element's
 * size; done(user) when the last
 * tensor on it has died, also after a failure.  done may be NULL. */
tp_tensor *tp_wrap(void *host, tp_shape s, tp_dtype d, void (*done)(void *user), void *user);

/* In t's shape, dtype, layout and device. */
tp_tensor *tp_zeros_like(tp_tensor *t);
tp_tensor *tp_ones_like(tp_tensor *t);

/* ---- randomness: counter-based; the same numbers on every device ---- */

void tp_seed(uint64_t seed);                      /* of this thread's generator; 0 at first */
tp_tensor *tp_rand(tp_shape s, tp_device *dev);   /* f32, uniform in [0, 1) */
tp_tensor *tp_randn(tp_shape s, tp_device *dev);  /* f32, normal */
tp_tensor *tp_rand_like(tp_tensor *t);            /* in t's dtype and layout */
tp_tensor *tp_randn_like(tp_tensor *t);           /* the same, normal */

/* The thread's generator: what tp_seed set, and how far it has come since. */
typedef struct tp_rng {
    uint64_t seed, offset;
} tp_rng;
tp_rng tp_rng_save(void);      /* as it is */
void tp_rng_restore(tp_rng r); /* it draws again what it drew from there */

/* ---- looking ---- */

tp_shape tp_shape_of(const tp_tensor *t);     /* of NULL: no axes */
int tp_rank(const tp_tensor *t);              /* how many axes; 0 for NULL */
int64_t tp_dim(const tp_tensor *t, int axis); /* 0 where there is no such axis, or no t */
int64_t tp_count(const tp_tensor *t);         /* elements; 0 for NULL */
tp_dtype tp_dtype_of(const tp_tensor *t);     /* TP_F32 for NULL */
const char *tp_dtype_name(tp_dtype d);        /* "f32" */
size_t tp_dtype_size(tp_dtype d); /* bytes */
tp_device *tp_device_of(const tp_tensor *t);  /* NULL for NULL */
bool tp_is_contiguous(const tp_tensor *t);    /* row-major, without gaps */
bool tp_is_channels_last(const tp_tensor *t); /* (N, C, H, W), C innermost in memory */

/* Copies all elements, in logical order, to the host; bytes must be their size.  Waits. */
bool tp_read(const tp_tensor *t, void *host, size_t bytes) __attribute__((warn_unused_result));
double tp_item(const tp_tensor *t); /* the one element; NaN after an error.  Waits. */
/* The elements themselves, of a contiguous f32 tensor on the CPU.  Writes through it are not
 * seen by autograd: use tp_copy_ or tp_fill_ on what a gradient may need. */
float *tp_f32(tp_tensor *t);
/* "f32 (2, 3) on cpu" and the numbers, large ones shortened, as text: at most `room` bytes
 * with the final 0; gives the length of the whole. */
size_t tp_print(const tp_tensor *t, char *text, size_t room);

/* The dtype in which a and b meet: PyTorch's promote_types. */
tp_dtype tp_promote(tp_dtype a, tp_dtype b);

TP_API_END

#ifdef __cplusplus
#if defined(__has_cpp_attribute) && __has_cpp_attribute(clang::lifetimebound)
#define TP__OWN_LIFE [[clang::lifetimebound]]
#else
#define TP__OWN_LIFE
#endif
template <int N>
inline tp_shape tp__shape(const int64_t (&n)[N])
{
    static_assert(N <= TP_MAX_AXES, "a shape has at most 8 axes");
    tp_shape s = { N, { 0 } };
    for (int i = 0; i < N; i++)
        s.n[i] = n[i];
    return s;
}
template <int N>
inline tp_axes tp__axes(bool keep, const int (&axis)[N])
{
    static_assert(N <= TP_MAX_AXES, "a tensor has at most 8 axes");
    tp_axes a = { N, keep, { 0 } };
    for (int i = 0; i < N; i++)
        a.axis[i] = axis[i];
    return a;
}
/* What TP_LIST gives in C++: the pointers themselves, as a list where one is asked for. */
template <int N>
struct tp__pointers {
    tp_tensor *t[N];
    operator tp_list() const TP__OWN_LIFE { return tp_list{ t, N }; }
};
template <int N>
inline tp__pointers<N> tp__list(tp_tensor *const (&t)[N])
{
    tp__pointers<N> p = {};
    for (int i = 0; i < N; i++)
        p.t[i] = t[i];
    return p;
}
#define TP_SHAPE(...)   tp__shape({ __VA_ARGS__ })
#define TP_SCALAR       (tp_shape{ 0, { 0 } })
#define TP_ALL          (tp_axes{ 0, false, { 0 } })
#define TP_AXES(...)    tp__axes(false, { __VA_ARGS__ })
#define TP_KEEPDIM(...) tp__axes(true, { __VA_ARGS__ })
#define TP_LIST(...)    tp__list({ __VA_ARGS__ })
#endif

#endif
