/*
 * slots.h - runs one kernel on the CPU and on CUDA and compares what they wrote.
 *
 *     buffer x = numbers(t, n, -2, 2), y = blank(t, n);
 *
 *     RUN(relu, t, &l, AT(x), false, AT(y));
 *     check_close(&y, 4);
 *
 * The CUDA side is the library that TAPER_CUDA_LIBRARY names: the simulator's, or on a
 * machine with a GPU the real one.
 */
#ifndef TP_TESTS_CUDASIM_SLOTS_H
#define TP_TESTS_CUDASIM_SLOTS_H

#include "kernels/backend.h"
#include "kernels/cpu/half.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEN(array) ((int)(sizeof(array) / sizeof *(array)))

static char case_name[200];
#define CASE(...) snprintf(case_name, sizeof case_name, __VA_ARGS__)

static const tp_dtype floats[] = { TP_F32, TP_F64, TP_BF16, TP_F16 };
static const char *const dtype_names[TP_DTYPES] = { "f32", "f64", "bf16", "f16",
                                                    "i64", "i32", "u8",   "bool" };
static const size_t dtype_size[TP_DTYPES] = { 4, 8, 2, 2, 8, 4, 1, 1 };

/* ---- the two machines ---- */

enum { CPU, CUDA, SIDES };

static tp_ctx ctx[SIDES];
static int side;           /* which of them RUN is at */
static bool f16_as_stored; /* on the CPU too, for kernels that only move numbers */

static inline tp_dtype type_at(int s, tp_dtype t)
{
    return s == CPU && t == TP_F16 && !f16_as_stored ? TP_F32 : t;
}

static inline bool grow(tp_ctx *c, size_t bytes)
{
    if (c->scratch) c->backend->release(c, c->scratch, c->scratch_bytes);
    c->scratch = c->backend->alloc(c, bytes), c->scratch_bytes = bytes;
    return c->scratch != NULL;
}

/* What the backend asks of the library, and what it told the user last. */
static int flushes;
static char warning[200];

static inline void flush(tp_ctx *c)
{
    (void)c;
    flushes++;
}

static inline void warn(tp_ctx *c, const char *text)
{
    (void)c;
    snprintf(warning, sizeof warning, "%s", text);
}

static inline tp_ctx context_of(const tp_backend *b)
{
    return (tp_ctx){ .backend = b, .threads = 1, .grow = grow, .flush = flush, .warn = warn };
}

static inline void open_machines(void)
{
    const char *file = getenv("TAPER_CUDA_LIBRARY");
    void *library = dlopen(file ? file : "libtaper_cuda.so", RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, TP_CUDA_ENTRY) : NULL;
    tp_backend_entry *entry;
    char why[200] = "";

    cr_assert(symbol, "%s", dlerror());
    memcpy(&entry, &symbol, sizeof entry);
    ctx[CPU] = context_of(tp_cpu_backend()), ctx[CUDA] = context_of(entry());
    flushes = 0, warning[0] = 0;
    if (ctx[CUDA].backend->count(why, sizeof why) == 0) cr_skip_test("%s", why);
    for (side = 0; side < SIDES; side++)
        cr_assert_eq(ctx[side].backend->open(&ctx[side]), 0, "%s", ctx[side].error);
}

static inline void close_machines(void)
{
    for (side = 0; side < SIDES; side++) {
        if (ctx[side].scratch)
            ctx[side].backend->release(&ctx[side], ctx[side].scratch,
                                       ctx[side].scratch_bytes);
        ctx[side].backend->close(&ctx[side]);
    }
}

/* f16 is storage alone on the CPU: there kernels run in f32, from the same numbers. */
#define RUN(slot, t, ...)                                                                \
    for (side = 0; side < SIDES; side++) {                                               \
        tp_ctx *c_ = &ctx[side];                                                         \
        int failed_ = c_->backend->slot[type_at(side, t)](c_, __VA_ARGS__) ||            \
                      c_->backend->wait(c_);                                             \
                                                                                         \
        cr_expect(!failed_, "%s: %s on %s: %s", case_name, #slot, c_->backend->name,     \
                  c_->error);                                                            \
    }

/* ---- elements ---- */

static inline double get(tp_dtype t, const void *p, int64_t i)
{
    switch (t) {
    case TP_F32:
        return (double)((const float *)p)[i];
    case TP_F64:
        return ((const double *)p)[i];
    case TP_BF16:
        return (double)tp_bf16_to_f32(((const tp_bf16 *)p)[i]);
    case TP_F16:
        return (double)tp_f16_to_f32(((const tp_f16 *)p)[i]);
    case TP_I64:
        return (double)((const int64_t *)p)[i];
    case TP_I32:
        return (double)((const int32_t *)p)[i];
    default:
        return (double)((const uint8_t *)p)[i];
    }
}

static inline void set(tp_dtype t, void *p, int64_t i, double v)
{
    switch (t) {
    case TP_F32:
        ((float *)p)[i] = (float)v;
        break;
    case TP_F64:
        ((double *)p)[i] = v;
        break;
    case TP_BF16:
        ((tp_bf16 *)p)[i] = tp_bf16_of((float)v);
        break;
    case TP_F16:
        ((tp_f16 *)p)[i] = tp_f16_of((float)v);
        break;
    case TP_I64:
        ((int64_t *)p)[i] = (int64_t)v;
        break;
    case TP_I32:
        ((int32_t *)p)[i] = (int32_t)v;
        break;
    default:
        ((uint8_t *)p)[i] = (uint8_t)v;
    }
}

static inline tp_dtype sum_of(tp_dtype t)
{
    return t == TP_F64 ? TP_F64 : TP_F32;
}

static inline bool is_half(tp_dtype t)
{
    return t == TP_F16 || t == TP_BF16;
}

static inline double epsilon(tp_dtype t)
{
    return t == TP_F64 ? 0x1p-52 : t == TP_F32 ? 0x1p-23 : t == TP_F16 ? 0x1p-11 : 0x1p-8;
}

/* ---- the same bytes on both ---- */

typedef struct buffer {
    tp_dtype t;
    int64_t n;
    void *at[SIDES];
} buffer;

enum { BUFFERS = 4096 };

static buffer made[BUFFERS]; /* for release_all */
static int n_made;

#define AT(b) ((b).at[side])

static inline void *offset(const buffer *b, int s, int64_t elements)
{
    return (char *)b->at[s] + elements * (int64_t)dtype_size[type_at(s, b->t)];
}

static inline size_t bytes_at(const buffer *b, int s)
{
    return (size_t)b->n * dtype_size[type_at(s, b->t)];
}

/* The device's copy is new, and thus uninitialized in the simulator's eyes. */
static inline buffer blank(tp_dtype t, int64_t n)
{
    buffer b = { .t = t, .n = n };

    for (int s = 0; s < SIDES; s++) {
        b.at[s] = ctx[s].backend->alloc(&ctx[s], bytes_at(&b, s));
        cr_assert(b.at[s], "%s", ctx[s].error);
    }
    memset(b.at[CPU], 0xFF, bytes_at(&b, CPU));
    cr_assert(n_made < BUFFERS);
    return made[n_made++] = b;
}

/* Rounded to b's dtype on both sides. */
static inline void upload(buffer *b)
{
    void *host = malloc(bytes_at(b, CUDA) + 1);

    for (int64_t i = 0; i < b->n; i++) {
        set(b->t, host, i, get(type_at(CPU, b->t), b->at[CPU], i));
        if (type_at(CPU, b->t) != b->t) set(type_at(CPU, b->t), b->at[CPU], i, get(b->t, host, i));
    }
    if (type_at(CPU, b->t) == b->t) memcpy(host, b->at[CPU], bytes_at(b, CUDA));
    cr_assert_eq(ctx[CUDA].backend->upload(&ctx[CUDA], b->at[CUDA], host, bytes_at(b, CUDA)), 0);
    free(host);
}

/* Uniform in lo..hi, the same in every run. */
static inline double number(double lo, double hi)
{
    static uint64_t seed = 1;

    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return lo + (hi - lo) * (double)(seed >> 11) * 0x1p-53;
}

static inline buffer numbers(tp_dtype t, int64_t n, double lo, double hi)
{
    buffer b = blank(t, n);

    for (int64_t i = 0; i < n; i++)
        set(type_at(CPU, t), b.at[CPU], i, t == TP_BOOL ? number(0, 1) > 0.5 : number(lo, hi));
    upload(&b);
    return b;
}

static inline buffer values(tp_dtype t, int64_t n, const double *v)
{
    buffer b = blank(t, n);

    for (int64_t i = 0; i < n; i++)
        set(type_at(CPU, t), b.at[CPU], i, v[i]);
    upload(&b);
    return b;
}

static inline void release_all(void)
{
    while (n_made > 0) {
        buffer *b = &made[--n_made];

        for (int s = 0; s < SIDES; s++)
            ctx[s].backend->release(&ctx[s], b->at[s], bytes_at(b, s));
    }
}

/* ---- comparison ---- */

static inline void *downloaded(const buffer *b)
{
    void *host = malloc(bytes_at(b, CUDA) + 1);
    int failed = ctx[CUDA].backend->download(&ctx[CUDA], host, b->at[CUDA], bytes_at(b, CUDA));

    cr_expect(!failed, "%s: %s", case_name, ctx[CUDA].error);
    return host;
}

/* Within c epsilon of the largest number, or of `size` where that is larger; NaN and infinities in the same
 * places.  Only within elements [0, n). */
static inline void check_some_of(const buffer *b, int64_t n, double c, double size)
{
    void *host = downloaded(b);
    tp_dtype here = type_at(CPU, b->t);
    double largest = size, worst = 0;
    int64_t bad = -1;
    char rounded[8];

    for (int64_t i = 0; i < n; i++) {
        double v = fabs(get(here, b->at[CPU], i));

        if (isfinite(v) && v > largest) largest = v;
    }
    for (int64_t i = 0; i < n; i++) {
        double a = get(here, b->at[CPU], i), d = get(b->t, host, i), off;

        if (here != b->t) set(b->t, rounded, 0, a), a = get(b->t, rounded, 0);
        off = fabs(a - d);
        if (a == d || (isnan(a) && isnan(d))) continue;
        if (!(off <= c * epsilon(b->t) * largest)) bad = i;
        if (!(off <= worst)) worst = off;
    }
    cr_expect(
        bad < 0,
        "%s: element %lld: %.9g on the CPU, %.9g on CUDA; off by up to %.3g of %.3g",
        case_name, (long long)bad, get(here, b->at[CPU], bad < 0 ? 0 : bad),
        get(b->t, host, bad < 0 ? 0 : bad), worst, largest);
    free(host);
}

static inline void check_some(const buffer *b, int64_t n, double c)
{
    check_some_of(b, n, c, 0);
}

static inline void check_close(const buffer *b, double c)
{
    check_some(b, b->n, c);
}

static inline void check_same(const buffer *b)
{
    check_some(b, b->n, 0);
}

/* ---- loops ---- */

/* A dense space of up to 4 axes; stride[k] of the inputs, the output's is dense. */
static inline tp_loop loop_of(int rank, const int64_t *n, int inputs,
                              const int64_t *const *stride, bool ordered)
{
    int64_t dense[TP_MAX_RANK], step = 1;
    const int64_t *all[TP_LOOP_OPERANDS] = { dense };

    for (int j = rank - 1; j >= 0; j--)
        dense[j] = step, step *= n[j];
    for (int k = 0; k < inputs; k++)
        all[k + 1] = stride[k];
    return tp_loop_make(rank, n, inputs + 1, all, ordered);
}

#endif
