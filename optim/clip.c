/*
 * clip.c - gradients of all parameters as a whole: their norm, and clipping.
 */
#include "optim/internal.h"

#include "autograd/op.h"

#include <math.h>

typedef enum deed { MEASURE, BY_NORM, BY_VALUE } deed;

/* One launch per group, dtype and clock. */
static bool launches(tp_optim *o, double *norm, double max, deed what)
{
    bool add = false;

    for (int i = 0; i < o->n; i++)
        o->each[i].done = false;
    for (int i = 0; i < o->n; i++) {
        tp_slotted *k = &o->each[i];
        int n;

        if (!k->grad || k->done) continue;
        n = tp__optim_launch_of(o, i);
        if (!(what == MEASURE   ? TP_RUN(sum_squares, k->p, n, o->update, add, norm)
              : what == BY_NORM ? TP_RUN(clip_norm, k->p, n, o->update, norm, max)
                                : TP_RUN(clip_value, k->p, n, o->update, max)))
            return false;
        add = true;
    }
    return true;
}

/* Graphs that saved the gradients before must not use them now. */
static void changed(tp_optim *o)
{
    for (int i = 0; i < o->n; i++)
        if (o->each[i].grad) o->each[i].grad->storage->version++;
}

static tp_tensor *squares_of(tp_optim *o)
{
    tp_tensor *squares = tp_zeros(TP_SCALAR, TP_F64, o->device);

    return squares && launches(o, tp__data(squares), 0, MEASURE) ? squares : NULL;
}

tp_tensor *tp_optim_grad_norm(tp_optim *o)
{
    TP_SCOPE;
    TP_NO_GRAD;
    if (!tp__optim_gather(__func__, o)) return NULL;
    return tp_pass(tp_sqrt(squares_of(o)));
}

tp_tensor *tp_optim_clip_norm(tp_optim *o, double max)
{
    tp_tensor *squares, *norm;

    TP_SCOPE;
    TP_NO_GRAD;
    if (!tp__optim_gather(__func__, o)) return NULL;
    TP_REQUIRE(max >= 0, TP_ERR_ARG, "a norm of at most %g", max);
    if (!(squares = squares_of(o)) || !(norm = tp_sqrt(squares))) return NULL;
    if (!launches(o, tp__data(squares), max, BY_NORM)) return NULL;
    changed(o);
    return tp_pass(norm);
}

bool tp_optim_clip_value(tp_optim *o, double max)
{
    TP_SCOPE;
    if (!tp__optim_gather(__func__, o)) return false;
    TP_REQUIRE(max >= 0, TP_ERR_ARG, "values of at most %g", max);
    if (!launches(o, NULL, max, BY_VALUE)) return false;
    changed(o);
    return true;
}
