/*
 * kernels_memory.h - what tests of single CPU kernels stand on: contexts, operands of any
 * dtype and layout, and the comparison with a reference in double.
 *
 * A result passes when, as a vector, it is within C_ERROR eps(dtype) sqrt(length) of the
 * reference, length being how many terms each element sums; where terms may cancel, their
 * own size counts with the reference's.  Threads must not change a bit.
 */
#ifndef TP_TESTS_KERNELS_MEMORY_H
#define TP_TESTS_KERNELS_MEMORY_H

#include "kernels/backend.h"
#include "kernels/cpu/half.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define C_ERROR 4.0

#define LEN(array) ((int)(sizeof(array) / sizeof *(array)))

static char case_name[256];
#define CASE(...)   snprintf(case_name, sizeof case_name, __VA_ARGS__)
#define CHECK(cond) cr_expect(cond, "%s: %s", case_name, #cond)

static const char *const level_names[] = { "base", "v3", "v4" };
static const tp_dtype float_types[] = { TP_F32, TP_F64, TP_BF16 };
static const char *const type_names[TP_DTYPES] = { "f32", "f64", "bf16", "f16",
                                                   "i64", "i32", "u8",   "bool" };

/* ---- contexts ---- */

static const char *level; /* the one that is tried, for names of cases */

/* The table of level v, or NULL where this processor or build has none. */
static inline const tp_backend *level_table(int v)
{
    level = level_names[v];
    return tp_cpu_backend_level(level);
}

static inline bool grow(tp_ctx *c, size_t bytes)
{
    size_t room = (bytes + 63) & ~(size_t)63;

    free(c->scratch);
    c->scratch = aligned_alloc(64, room), c->scratch_bytes = bytes;
    memset(c->scratch, 0xff, room); /* NaN: scratch holds nothing of use */
    return true;
}

static inline tp_ctx make_ctx(const tp_backend *b, int threads)
{
    return (tp_ctx){ .backend = b, .threads = threads, .grow = grow };
}

/* ---- elements ---- */

static inline size_t type_size(tp_dtype t)
{
    static const size_t size[TP_DTYPES] = { 4, 8, 2, 2, 8, 4, 1, 1 };

    return size[t];
}

static inline double type_eps(tp_dtype t)
{
    return t == TP_F64    ? 0x1p-52
           : t == TP_F32  ? 0x1p-23
           : t == TP_BF16 ? 0x1p-7
                          : 0x1p-10;
}

static inline tp_dtype sum_type(tp_dtype t)
{
    return t == TP_F64 ? TP_F64 : TP_F32;
}

static inline double get_element(tp_dtype t, const void *p, int64_t i)
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

static inline void set_element(tp_dtype t, void *p, int64_t i, double v)
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
        break;
    }
}

/* Uniform in lo..hi, the same in every run. */
static inline double number(double lo, double hi)
{
    static uint64_t seed = 1;

    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return lo + (hi - lo) * (double)(seed >> 11) * 0x1p-53;
}

/* n elements; exactly as many bytes, so that a sanitizer sees what strays. */
static inline void *numbers(tp_dtype t, int64_t n, double lo, double hi)
{
    void *p = malloc((size_t)n * type_size(t) + !n);

    for (int64_t i = 0; i < n; i++)
        set_element(t, p, i, t == TP_BOOL ? number(0, 1) > 0.5 : number(lo, hi));
    return p;
}

static inline void *nans(tp_dtype t, int64_t n)
{
    void *p = malloc((size_t)n * type_size(t) + !n);

    memset(p, 0xff, (size_t)n * type_size(t));
    return p;
}

/* ---- operands ---- */

typedef enum layout {
    DENSE,
    TURNED,  /* axes in reverse order */
    GAPPED,  /* dense but for gaps between neighbours */
    LAST,    /* axis 1 innermost: channels-last */
    FLIPPED, /* dense, the last axis backwards */
    ROW,     /* broadcast along all axes but the last */
    COLUMN,  /* along the last */
    NUMBER,  /* along all */
    LAYOUTS
} layout;

static const char *const layout_names[LAYOUTS] = {
    "dense", "turned", "gapped", "last", "flipped", "row", "column", "number"
};

typedef struct operand {
    tp_dtype t;
    int rank;
    int64_t n[TP_MAX_RANK], stride[TP_MAX_RANK], count, room, first;
    unsigned char *bytes; /* room elements; logical element 0 is number `first` */
} operand;

static inline void *at(const operand *o)
{
    return o->bytes + (size_t)o->first * type_size(o->t);
}

static inline int64_t place(const operand *o, int64_t i)
{
    int64_t p = o->first;

    for (int j = o->rank - 1; j >= 0; j--)
        p += i % o->n[j] * o->stride[j], i /= o->n[j];
    return p;
}

static inline double value(const operand *o, int64_t i)
{
    return get_element(o->t, o->bytes, place(o, i));
}

/* Which axis comes `i`-th from inside. */
static inline int axis_of(layout k, int rank, int i)
{
    if (k == TURNED) return i;
    if (k != LAST || rank < 3) return rank - 1 - i;
    return i == 0 ? 1 : i < rank - 1 ? rank - i : 0;
}

static inline operand make_operand(tp_dtype t, layout k, int rank, const int64_t *n,
                                   double lo, double hi)
{
    operand o = { .t = t, .rank = rank, .count = 1 };
    int64_t step = k == GAPPED ? 2 : 1;

    for (int i = 0; i < rank; i++) {
        int j = axis_of(k, rank, i);
        bool still =
            k == NUMBER || (k == ROW && j != rank - 1) || (k == COLUMN && j == rank - 1);

        o.n[j] = n[j], o.stride[j] = still ? 0 : step;
        if (!still) step *= n[j];
        o.count *= n[j];
    }
    o.room = o.count ? 1 : 0;
    for (int j = 0; j < rank && o.count; j++)
        o.room += (n[j] - 1) * o.stride[j];
    if (k == FLIPPED && rank && o.count) {
        o.first = (n[rank - 1] - 1) * o.stride[rank - 1];
        o.stride[rank - 1] *= -1;
    }
    o.bytes = numbers(t, o.room, lo, hi);
    return o;
}

static inline tp_loop loop_of(const operand *o, int operands, bool ordered)
{
    const int64_t *stride[TP_LOOP_OPERANDS];

    for (int k = 0; k < operands; k++)
        stride[k] = o[k].stride;
    return tp_loop_make(o[0].rank, o[0].n, operands, stride, ordered);
}

/* ---- sizes ---- */

typedef struct space {
    int rank;
    int64_t n[4];
} space;

static const space spaces[] = {
    { 0, { 0 } },    { 1, { 0 } },        { 1, { 1 } },
    { 1, { 16 } },   { 1, { 1031 } },     { 2, { 5, 7 } },
    { 2, { 3, 0 } }, { 3, { 4, 3, 35 } }, { 4, { 2, 5, 3, 4 } },
};

static const space large[] = { { 1, { 70001 } },
                               { 2, { 3, 40007 } },
                               { 2, { 411, 257 } } };

/* ---- comparison ---- */

static inline bool is_near(tp_dtype t, const double *got, const double *want, int64_t n,
                           double length, double terms, char why[160])
{
    double off = 0, size = terms * terms;

    for (int64_t i = 0; i < n; i++) {
        if ((isnan(want[i]) && isnan(got[i])) || got[i] == want[i]) {
            if (isfinite(want[i])) size += want[i] * want[i];
            continue;
        }
        if (!isfinite(want[i]) || !isfinite(got[i])) {
            snprintf(why, 160, "element %lld is %g, not %g", (long long)i, got[i],
                     want[i]);
            return false;
        }
        off += (got[i] - want[i]) * (got[i] - want[i]), size += want[i] * want[i];
    }
    snprintf(why, 160, "off by %.3g of %.3g", sqrt(off), sqrt(size));
    return sqrt(off) <= C_ERROR * type_eps(t) * sqrt(length) * sqrt(size) +
                            (t == TP_F64 ? 1e-300 : 1e-37); /* what underflows */
}

static inline void check_near(tp_dtype t, const double *got, const double *want,
                              int64_t n, double length)
{
    char why[160];
    bool near = is_near(t, got, want, n, length, 0, why);

    cr_expect(near, "%s: %s", case_name, why);
}

/* As above, with the norm of terms that may have cancelled. */
static inline void check_terms(tp_dtype t, const double *got, const double *want,
                               int64_t n, double terms)
{
    char why[160];
    bool near = is_near(t, got, want, n, 1, terms, why);

    cr_expect(near, "%s: %s", case_name, why);
}

/* n dense elements of dtype t against a reference. */
static inline void check_array(tp_dtype t, tp_dtype precision, const void *got,
                               const double *want, int64_t n, double length)
{
    double *v = malloc((size_t)(n + 1) * sizeof *v);

    for (int64_t i = 0; i < n; i++)
        v[i] = get_element(t, got, i);
    check_near(precision, v, want, n, length);
    free(v);
}

/* ---- trials ---- */

/* Runs f for each level, dtype and count of threads; outputs must be equal between counts. */
typedef struct trial {
    const tp_backend *b;
    tp_dtype t, s; /* of elements; of sums */
    tp_ctx c;
} trial;

static inline void each_trial(void (*f)(trial *, int), int cases)
{
    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (int i = 0; b && i < LEN(float_types) * cases; i++) {
            tp_dtype t = float_types[i / cases];
            trial try = { b, t, sum_type(t), make_ctx(b, 1) };

            f(&try, i % cases);
            free(try.c.scratch);
        }
    }
}

static inline double *doubles(int64_t n)
{
    return calloc((size_t)n + 1, sizeof(double));
}

static inline double *as_doubles(tp_dtype t, const void *p, int64_t n)
{
    double *v = doubles(n);

    for (int64_t i = 0; i < n; i++)
        v[i] = get_element(t, p, i);
    return v;
}

/* The same bytes as at the first count of threads? */
static inline void same_bits(void **kept, const void *p, size_t bytes, int threads)
{
    if (threads == 1) *kept = memcpy(malloc(bytes + 1), p, bytes);
    CHECK(memcmp(*kept, p, bytes) == 0);
    if (threads == 3) free(*kept);
}

#endif
