/*
 * internal.h - what is behind tp_dataset, for the files of data/ alone.
 */
#ifndef TP_DATA_INTERNAL_H
#define TP_DATA_INTERNAL_H

#include "data/data.h"
#include "tensor/internal.h"

struct tp_dataset {
    atomic_int refs;
    tp_source s;
    int64_t classes;
    const char *const *names;   /* of the classes; NULL: none */
    const char *const *columns; /* names of x's columns; NULL: none */
    /* The label of sample i without the rest of it; NULL: there is no such short cut. */
    int64_t (*label)(void *user, int64_t i);
    /* Sample i is, labels included, made of sample *i of another set; NULL: it is made here. */
    tp_dataset *(*locate)(void *user, int64_t *i);
};

static inline tp_got tp__get(const tp_dataset *d, int64_t i, void *const *fields)
{
    return d->s.get(d->s.user, i, fields);
}

/* A set on top of another: classes and names are those below, which s.user keeps alive. */
tp_dataset *tp__data_over(const tp_dataset *below, tp_source s, tp_dataset *(*locate)(void *user, int64_t *i));

static inline size_t tp__field_bytes(const tp_source *s, int field)
{
    return (size_t)tp__elements(&s->shape[field]) * tp_dtype_size(s->dtype[field]);
}

/* What all sets on top of one begin with; d is owned. */
typedef struct tp_over {
    tp_dataset *d;
} tp_over;
tp_dataset *tp__same_place(void *user, int64_t *i); /* locate, where sample i is sample i below */

/* Orders a pass: see data/sampling.h. */
int64_t tp__sampler_count(const tp_sampler *s);
bool tp__sampler_order(const tp_sampler *s, uint64_t seed, int64_t pass, int64_t *order, int64_t samples);

/* The next number of the thread's generator: 32 bits, or uniform in [0, 1). */
uint32_t tp__bits(void);
double tp__uniform(void);
void tp__normals(float *to, int64_t n);

/* Permutes order[n]: the same for the same seed and pass, on every machine. */
void tp__shuffle(int64_t *order, int64_t n, uint64_t seed, int64_t pass);

#endif
