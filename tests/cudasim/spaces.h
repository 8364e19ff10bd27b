/*
 * spaces.h - spaces of elements, dense and strided, for tests of slots that walk a tp_loop.
 */
#ifndef TP_TESTS_CUDASIM_SPACES_H
#define TP_TESTS_CUDASIM_SPACES_H

#include "tests/cudasim/slots.h"

#define I64S(...) ((const int64_t[]){ __VA_ARGS__ })

typedef struct space {
    const char *name;
    int rank;
    int64_t n[4], a[4], b[4], room; /* strides of two inputs; elements that they span */
} space;

static const space spaces[] = {
    { "one", 1, { 1 }, { 1 }, { 1 }, 1 },
    { "a tail", 1, { 37 }, { 1 }, { 1 }, 37 },
    { "dense", 1, { 1000 }, { 1 }, { 1 }, 1000 },
    { "many blocks", 1, { 3001 }, { 1 }, { 1 }, 3001 },
    { "a row", 2, { 5, 33 }, { 33, 1 }, { 0, 1 }, 165 },
    { "a column", 2, { 5, 33 }, { 33, 1 }, { 1, 0 }, 165 },
    { "a number", 2, { 4, 9 }, { 0, 0 }, { 9, 1 }, 36 },
    { "turned", 3, { 3, 4, 5 }, { 20, 1, 4 }, { 1, 3, 12 }, 60 },
    { "gaps", 4, { 2, 3, 2, 7 }, { 96, 32, 16, 2 }, { 0, 14, 0, 1 }, 192 },
    { "nothing", 2, { 3, 0 }, { 1, 1 }, { 1, 1 }, 1 },
};

static inline tp_loop loop_in(const space *s, int inputs)
{
    const int64_t *strides[] = { s->a, s->b };

    return loop_of(s->rank, s->n, inputs, strides, true);
}

static inline int64_t count_in(const space *s)
{
    int64_t n = 1;

    for (int j = 0; j < s->rank; j++)
        n *= s->n[j];
    return n;
}

#define EACH(s, t, add)                                                                  \
    for (int i_ = 0; i_ < LEN(spaces) * LEN(floats) * 2; i_++)                           \
        for (const space *s = &spaces[i_ / 2 / LEN(floats)]; s; s = NULL)                \
            for (int t = (int)floats[i_ / 2 % LEN(floats)], add = i_ % 2; t >= 0; t = -1)

/* The first n elements; the rest may be uninitialized, so only they come back. */
static inline void check_inside(const buffer *b, int64_t n, double c)
{
    buffer some = *b;

    some.n = n;
    check_close(&some, c);
}

#endif
