/*
 * profile.h - where the time of a run goes.  Included by train/train.h.
 *
 *     tp_profile *p = tp_profile_begin((tp_profile_opts){ .trace = "trace.json" });
 *     ... some steps ...
 *     tp_profile_end(p), tp_profile_print(p), tp_profile_free(p);
 *
 * Ops are timed as they run, forward and backward, with the floating-point operations of products,
 * convolutions, attention and recurrent layers (from their shapes; a multiplication and an addition
 * are two; causal attention counts all scores) and the bytes of what goes in and comes out.  What
 * no op is responsible for, an optimizer's step for one, appears under its kernels' names.  On a
 * GPU every kernel is waited for.
 */
#ifndef TP_TRAIN_PROFILE_H
#define TP_TRAIN_PROFILE_H

#include "tensor/tensor.h"

TP_API_BEGIN

typedef struct tp_profile tp_profile; /* made: tp_profile_free */

typedef struct tp_profile_opts {
    const char *trace; /* a file that chrome://tracing and Perfetto open, or NULL */
    int64_t events;    /* at most so many in the trace; 0: a million.  The table counts all. */
    bool by_module;    /* a row for each op in each module, not for each op */
    int rows;          /* that are printed; 0: 30 */
} tp_profile_opts;

/* What an op ran for. */
typedef enum tp_phase {
    TP_PHASE_FORWARD,
    TP_PHASE_BACKWARD,
    TP_PHASE_AGAIN, /* forward once more, for a checkpoint's backward */
    TP_PHASE_OTHER, /* kernels outside of ops, and waiting for a batch */
    TP_PHASE_HELPER /* what a loader's workers do meanwhile */
} tp_phase;

typedef struct tp_profile_row {
    char name[48];
    const char *module; /* "encoder.0.attn"; "" where it isn't known, or not asked for */
    tp_phase phase;
    int64_t calls;
    double seconds, self; /* self: without what ran inside, ops of a user's op for one */
    double flops, bytes;
} tp_profile_row;

/* Watches this thread until tp_profile_end, and workers of loaders.  One at a time.  NULL when the
 * trace can't be written, for one. */
tp_profile *tp_profile_begin(tp_profile_opts o);
/* Ends it, by the thread that began it, and writes the trace, also while an error is pending;
 * false when that is so, or when the trace isn't complete. */
bool tp_profile_end(tp_profile *p);

/* After the end: rows, the largest self time first; its length; the most bytes of tensors on the
 * CPU at any moment.  Rows live as long as p. */
int tp_profile_rows(const tp_profile *p, const tp_profile_row **rows);
double tp_profile_seconds(const tp_profile *p);
size_t tp_profile_peak(const tp_profile *p);
bool tp_profile_print(const tp_profile *p); /* a table on standard output */
void tp_profile_free(tp_profile *p);        /* ends it where that hasn't happened */

TP_API_END

#endif
