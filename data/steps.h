/*
 * steps.h - what a step of an augmentation is, for the files augment*.c alone.
 */
#ifndef TP_DATA_STEPS_H
#define TP_DATA_STEPS_H

#include "data/augment.h"
#include "data/internal.h"
#include "data/picture.h"

#include <string.h>

struct tp_augment_kind {
    const char *name;
    /* Checks the step for pictures like x, and sets the size of what comes out, which is x's
     * before; false and an error when it can't be. */
    bool (*plan)(const tp_augment *a, const tp_picture *x, tp_picture *y);
    bool (*run)(const tp_augment *a, const tp_picture *x, const tp_picture *y); /* y apart from x */
};

#define TP_STEP(kind, cond, ...) TP_REQUIRE_IN(kind, cond, TP_ERR_ARG, __VA_ARGS__)

static inline double tp__between(double low, double high)
{
    return low + (high - low) * tp__uniform();
}

static inline int64_t tp__below(int64_t n) /* 0 to n - 1 */
{
    return (int64_t)(tp__uniform() * (double)n);
}

static inline bool tp__chance(double p)
{
    return tp__uniform() < p;
}

static inline void tp__copy_picture(const tp_picture *x, const tp_picture *y)
{
    memcpy(y->v, x->v, tp__picture_bytes(x));
}

/* A step that keeps the size, with a probability in v[0]. */
bool tp__plan_chance(const tp_augment *a, const tp_picture *x, tp_picture *y);

#endif
