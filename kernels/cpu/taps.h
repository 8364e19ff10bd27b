/*
 * taps.h - tables of resample.h's maps: for each result its elements, or for each element the
 * results that it is part of.  Both are runs of neighbours, since the maps are monotone.
 */
#ifndef TP_KERNELS_CPU_TAPS_H
#define TP_KERNELS_CPU_TAPS_H

#include "kernels/cpu/generic.h"
#include "kernels/resample.h"

typedef struct tp__run {
    int64_t from, count;
    const A *weight; /* (count) */
    A over;          /* the sum is divided by it */
} tp__run;

/* What a table takes: entries and numbers. */
static inline int64_t tp__taps_count(const tp_resample_axis *a)
{
    int64_t n = 0;

    for (int64_t o = 0; o < a->out; o++)
        n += tp_resample_taps(a, o).count;
    return n;
}

static inline size_t tp__runs_bytes(const tp_resample_axis *a, bool adjoint)
{
    return (size_t)(adjoint ? a->n : a->out) * sizeof(tp__run) + (size_t)tp__taps_count(a) * sizeof(A) + 64;
}

/* For each result: its elements. */
static inline void tp__runs_of(const tp_resample_axis *a, tp__run *run)
{
    A *weight = (A *)(void *)(run + a->out);

    for (int64_t o = 0; o < a->out; o++) {
        tp_taps t = tp_resample_taps(a, o);

        run[o] = (tp__run){ t.from, t.count, weight, (A)t.over };
        for (int64_t i = 0; i < t.count; i++)
            *weight++ = (A)(i ? t.rest : t.first);
    }
}

/* For each element: the results that it is part of, and its share in them. */
static inline void tp__runs_onto(const tp_resample_axis *a, tp__run *run)
{
    A *weight = (A *)(void *)(run + a->n);

    for (int64_t i = 0; i < a->n; i++)
        run[i] = (tp__run){ .over = 1 };
    for (int64_t o = 0; o < a->out; o++) {
        tp_taps t = tp_resample_taps(a, o);

        for (int64_t i = t.from; i < t.from + t.count; i++)
            run[i].from = run[i].count++ ? run[i].from : o;
    }
    for (int64_t i = 0; i < a->n; i++)
        run[i].weight = weight, weight += run[i].count;
    for (int64_t o = 0; o < a->out; o++) {
        tp_taps t = tp_resample_taps(a, o);

        for (int64_t i = 0; i < t.count; i++) {
            tp__run *r = &run[t.from + i];

            ((A *)(uintptr_t)r->weight)[o - r->from] = (A)((i ? t.rest : t.first) / t.over);
        }
    }
}

#endif
