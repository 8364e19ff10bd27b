/*
 * backend.h - one machine: its memory and its kernels.
 *
 * A kernel sees pointers, sizes and strides, never a tensor.  It never allocates, and never
 * waits unless there is no memory for its code, or a convolution of yet another shape drops the plan of an
 * old one; scratch comes from tp_scratch.  0 is success; else the text is in c->error.
 */
#ifndef TP_KERNELS_BACKEND_H
#define TP_KERNELS_BACKEND_H

#include "kernels/dtype.h"
#include "kernels/loop.h"
#include "kernels/resample.h"
#include "kernels/window.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a kernel runs in.  One per thread and device, so that nothing here needs a lock. */
typedef struct tp_ctx {
    const struct tp_backend *backend;
    int index;     /* which of the machine's devices: 1 in "cuda:1" */
    unsigned long serial; /* no other context has it, or had it */
    int threads;   /* how many the CPU kernels may use; our kernels' results don't depend on it */
    bool tf32;     /* products and convolutions of f32 may round their operands to TF32 */
    void *stream;  /* cudaStream_t; NULL on the CPU */
    void *device;  /* whose context this is, for grow, flush and warn */
    void *handles; /* the backend's library handles for this thread, made by open */
    void *scratch; /* scratch_bytes on the device, valid until the next kernel of this ctx */
    size_t scratch_bytes;
    bool (*grow)(struct tp_ctx *c, size_t bytes); /* makes scratch at least that large */
    void (*flush)(struct tp_ctx *c); /* gives what is cached back to the device, for a call that found no memory */
    void (*warn)(struct tp_ctx *c, const char *text); /* of what is no error, but the user should know */
    char error[240];                              /* why the last kernel failed */
} tp_ctx;

static inline size_t tp__bytes_of(tp_dtype d)
{
    static const unsigned char bytes[TP_DTYPES] = { 4, 8, 2, 2, 8, 4, 1, 1 };

    return bytes[d];
}

/* The status of a kernel that failed. */
enum {
    TP_KERNEL_FAILED = 1, /* it can't do what is asked */
    TP_KERNEL_NO_MEMORY,
    TP_NO_KERNEL,
    TP_BAD_DATA,     /* told by a wait */
    TP_DEVICE_FAILED /* the device or its libraries did */
};

/* Writes c->error, gives TP_KERNEL_FAILED. */
int tp__kernel_error(tp_ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Scratch of at least `bytes`, aligned to 64, contents undefined; NULL when out of memory:
 * the kernel then returns TP_KERNEL_NO_MEMORY.  A kernel asks once. */
static inline void *tp_scratch(tp_ctx *c, size_t bytes)
{
    return c->scratch_bytes >= bytes || c->grow(c, bytes) ? c->scratch : NULL;
}

/* y[i] (m, n) = act(op(a[i]) op(b[i]) + bias)     i < batch; op transposes when ta, tb
 *
 * a[i] starts step_a elements after a[i - 1]; rows lie lda apart (as stored: (m, k), or
 * (k, m) when ta).  With `add`, y += and neither bias nor activation is given.  preact, if
 * not NULL, receives what the activation is applied to, laid out as y.
 *
 * What backward can have in the same kernel, asked for only where the backend `fuses`; batch is
 * 1 then, there is no bias and no activation, and TP_NO_KERNEL, with nothing done, is an answer:
 *     sums       receives the sums of op(a)'s rows
 *     slope_at   y is multiplied by the derivative of gelu_tanh at this, laid out as y; no add */
typedef struct tp_gemm_args {
    int64_t batch, m, n, k, lda, ldb, ldy, step_a, step_b, step_y;
    bool ta, tb, add;
    tp_activation activation;
    const void *bias; /* (n), or NULL */
    void *preact;
    void *sums;           /* (m), or NULL */
    const void *slope_at; /* or NULL */
} tp_gemm_args;

/* Places along one axis, picked by an index.  A lane is a place along all other axes; the index
 * holds n numbers for each lane, from 0 to size - 1, and what is picked is laid out as it is.
 * Operands of lanes, and of step along the axis: what is picked, the index, the whole. */
typedef struct tp_pick {
    tp_loop lanes;
    int64_t n, size, step[3];
} tp_pick;

/* What a softmax gives for a row of -infinity alone: NaN, or, where it is of masked scores, 0. */
typedef enum tp_softmax_kind { TP_SOFTMAX, TP_SOFTMAX_LOG, TP_SOFTMAX_MASKED } tp_softmax_kind;

/* Attention of q (N, heads, L, E) to k (N, kv_heads, S, E) and v (N, kv_heads, S, Ev); head h of q
 * meets head h / (heads / kv_heads).  Strides are of batch, head and row: the numbers of a row lie
 * side by side.  Those of masks are of all four axes, 0 where they are broadcast. */
typedef struct tp_attention_args {
    int64_t N, heads, kv_heads, L, S, E, Ev;
    int64_t q[3], k[3], v[3], y[3], dy[3], dq[3], dk[3], dv[3];
    double scale, p;     /* p: of weights that are dropped, counted in (N, heads, L, S) */
    bool causal;         /* row i meets no column beyond i */
    const void *bias;    /* added to the scores; NULL: nothing */
    const void *allowed; /* bool: false hides; NULL: nothing */
    const void *padding; /* bool (N, S): true hides; NULL: nothing */
    int64_t bias_step[4], allowed_step[4], padding_step[2];
    const uint64_t *state; /* {key, offset} of the draw */
} tp_attention_args;

/* Pairs among the first `dims` (even) numbers of each row of x (N, heads, T, D) turn by p base^(-2i / dims),
 * i being the pair and p the row's position, which counts from `offset`; the others stay.  Strides
 * are of batch, head and row: the numbers of a row lie side by side. */
typedef struct tp_rotary_args {
    int64_t N, heads, T, D, dims, x[3], y[3];
    double base;
    bool halves;  /* number i pairs with i + dims / 2; else 2i with 2i + 1 */
    bool inverse; /* backwards */
    int64_t offset;
    const int64_t *positions; /* (N, T) of these strides, added to offset; NULL: 0 .. T - 1 */
    int64_t position_step[2];
} tp_rotary_args;

/* A recurrent layer over a sequence of N rows.  Row n is lengths[n] long, from 1 to T; NULL: T. */
typedef enum tp_cell { TP_CELL_LSTM, TP_CELL_GRU, TP_CELL_TANH, TP_CELL_RELU } tp_cell;
typedef struct tp_recurrent_args {
    tp_cell cell;
    bool reverse;
    int64_t T, N, H;
    const int64_t *lengths;
} tp_recurrent_args;

/* Sequences of up to `times` log-probabilities of `classes`, each labelled by up to `most` labels. */
typedef struct tp_ctc_args {
    int64_t times, batch, classes, most, blank;
    bool zero_infinity; /* a sample without a path has loss 0 and no gradient */
} tp_ctc_args;

/* A dense (outer, n, inner), folded or scanned over n. */
typedef struct tp_lanes {
    int64_t outer, n, inner;
} tp_lanes;

/* What compare asks of a and b, or of a alone. */
typedef enum tp_relation {
    TP__EQ,
    TP__NE,
    TP__LT,
    TP__LE,
    TP__GT,
    TP__GE,
    TP__AND, /* of a != 0, b != 0 */
    TP__OR,
    TP__XOR,
    TP__NOT, /* a == 0 */
    TP__ISNAN,
    TP__ISINF,
    TP__ISFINITE,
    TP__RELATIONS
} tp_relation;

/* One parameter of an update; m, v and w may be NULL where the rule has none. */
typedef struct tp_update {
    int64_t n;
    const void *g;
    void *p, *m, *v, *w;
} tp_update;

/* What may change from one replay of a captured step to the next: f64 scalars on the device. */
typedef struct tp_scalars {
    const double *lr, *step; /* step counts from 1: tick adds 1 before */
    const double *scale;     /* gradients are divided by it; NULL: 1 */
    const double *skip;      /* not 0: the update does nothing; NULL: never */
} tp_scalars;

typedef struct tp_adam_args {
    double beta1, beta2, eps, weight_decay;
    bool decoupled; /* AdamW's decay */
    bool amsgrad, maximize;
} tp_adam_args;

typedef struct tp_sgd_args {
    double momentum, dampening, weight_decay;
    bool nesterov, maximize;
} tp_sgd_args;

typedef struct tp_rmsprop_args {
    double alpha, eps, weight_decay, momentum;
    bool centered, maximize;
} tp_rmsprop_args;

typedef struct tp_adagrad_args {
    double lr_decay, eps, weight_decay;
    bool maximize;
} tp_adagrad_args;

typedef struct tp_adadelta_args {
    double rho, eps, weight_decay;
    bool maximize;
} tp_adadelta_args;

typedef struct tp_adamax_args {
    double beta1, beta2, eps, weight_decay;
    bool maximize;
} tp_adamax_args;

typedef struct tp_nadam_args {
    double beta1, beta2, eps, weight_decay, momentum_decay;
    bool decoupled, maximize;
} tp_nadam_args;

typedef struct tp_radam_args {
    double beta1, beta2, eps, weight_decay;
    bool decoupled, maximize;
} tp_radam_args;

typedef struct tp_lion_args {
    double beta1, beta2, weight_decay;
    bool maximize;
} tp_lion_args;

typedef struct tp_muon_args {
    double momentum, weight_decay;
} tp_muon_args;

/* How the scale of a loss changes: by backoff after gradients that aren't finite, by growth after
 * `interval` steps in a row without. */
typedef struct tp_grow_args {
    double growth, backoff, interval;
} tp_grow_args;

/* How much of the new goes into an average at its n-th time, n from 1; the first time, all of it. */
typedef enum tp_average_kind {
    TP_AVERAGE_DECAY, /* 1 - decay */
    TP_AVERAGE_WARM,  /* 1 - min(decay, n / (9 + n)) */
    TP_AVERAGE_MEAN   /* 1 / n */
} tp_average_kind;
typedef struct tp_average_args {
    tp_average_kind kind;
    double decay;
} tp_average_args;

/* A block of random counters: numbers come from Philox of key, at counter offset + add.
 * key and offset lie on the device, so that a replayed step draws anew. */
typedef struct tp_draw {
    const uint64_t *state; /* {key, offset} */
    uint64_t add;
} tp_draw;

/* The type of each kernel: tp__fn_add ... */
#define TP_KERNEL(name, dtypes, args) typedef int tp__fn_##name args;
#include "kernels/kernels.def"
#undef TP_KERNEL

typedef struct tp_backend {
    const char *name; /* "cpu" or "cuda" */
    int version;      /* TP_BACKEND_VERSION; with `bytes` it tells a stale plug-in */
    bool fuses;       /* may be asked for what tp_gemm_args says of backward */
    size_t bytes;     /* sizeof(tp_backend) */

    int (*count)(char *why, size_t room); /* devices; 0 with the reason in why */
    int (*open)(tp_ctx *c);               /* makes stream and handles for a thread */
    void (*close)(tp_ctx *c);
    void *(*alloc)(tp_ctx *c, size_t bytes); /* aligned to 64; NULL when out of memory */
    void (*release)(tp_ctx *c, void *ptr, size_t bytes);
    int (*upload)(tp_ctx *c, void *dst, const void *host, size_t bytes);
    int (*download)(tp_ctx *c, void *host, const void *src, size_t bytes); /* waits */
    /* Copies at most 4 KiB to the host behind what is queued, and doesn't wait; fetched waits for that alone
     * and releases the ticket.  NULL where nothing is ever queued. */
    int (*fetch)(tp_ctx *c, const void *src, size_t bytes, void **ticket);
    int (*fetched)(tp_ctx *c, void *ticket, void *host, size_t bytes);
    int (*wait)(tp_ctx *c);
    /* A step as one: between record and recorded this thread's kernels are noted instead of run, what
     * is uploaded is kept with them; replay runs them all.  recorded with NULL forgets them.  NULL
     * where the machine has no such thing. */
    int (*record)(tp_ctx *c);
    int (*recorded)(tp_ctx *c, void **graph);
    int (*replay)(tp_ctx *c, void *graph);
    void (*discard)(tp_ctx *c, void *graph);
    const char *(*describe)(tp_ctx *c); /* one line for people: model, instruction set */

    /* Kernels: b->add[dtype](c, ...); NULL where the dtype isn't offered. */
#define TP_KERNEL(name, dtypes, args) tp__fn_##name *const *name;
#include "kernels/kernels.def"
#undef TP_KERNEL
} tp_backend;

enum { TP_BACKEND_VERSION = 5 };

/* The CPU's kernels, compiled for the best instruction set that this processor has;
 * TAPER_CPU=base, v3 or v4 chooses (x86-64 levels; base is the reference). */
const tp_backend *tp_cpu_backend(void);
/* NULL, or why it must not run: the processor lacks what all compiled levels need, or TAPER_CPU asks
 * for a level that doesn't exist, isn't compiled, or doesn't run here. */
const char *tp_cpu_backend_trouble(void);
const tp_backend *tp_cpu_backend_level(const char *level); /* NULL: not here; for tests */

/* The one symbol of libtaper_cuda. */
typedef const tp_backend *tp_backend_entry(void);
#define TP_CUDA_ENTRY "tp_cuda_backend"

#endif
