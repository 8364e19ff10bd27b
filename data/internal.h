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
};

static inline size_t tp__field_bytes(const tp_source *s, int field)
{
    return (size_t)tp__elements(&s->shape[field]) * tp_dtype_size(s->dtype[field]);
}

/* Permutes order[n]: the same for the same seed and pass, on every machine. */
void tp__shuffle(int64_t *order, int64_t n, uint64_t seed, int64_t pass);

#endif
