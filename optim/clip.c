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

/* The p-norms of the gradients one by one, then of all of them: f64. */
static tp_tensor *joint_norm(tp_optim *o, double p)
{
    size_t bytes = sizeof(tp_tensor *) * (size_t)(o->n + 1);
    tp_tensor **each = tp__alloc(bytes), *norm;
    int n = 0;

    if (!each) return NULL;
    for (int i = 0; i < o->n; i++) {
        tp_tensor *g = o->each[i].grad;

        if (!g || !tp_count(g)) continue;
        if (g->dtype == TP_BF16 || g->dtype == TP_F16) g = tp_cast(g, TP_F32);
        each[n++] = tp_cast(tp_norm(g, p, TP_ALL), TP_F64);
    }
    norm = n ? tp_norm(tp_stack((tp_list){ each, n }, 0), p, TP_ALL)
             : tp_zeros(TP_SCALAR, TP_F64, o->device);
    tp__release(each, bytes);
    return norm;
}

static bool all_finite(const tp_tensor *norm, double p)
{
    double v = tp_item(norm);

    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_optim_clip_norm", isfinite(v), TP_ERR_NONFINITE,
                  "the norm of order %g of all gradients is %g: they were left as they are", p, v);
    return true;
}

tp_tensor *tp_optim_clip_norm_with(tp_optim *o, double max, tp_clip_opts opts)
{
    tp_tensor *squares, *norm;
    double p = opts.norm_type == 0 ? 2 : opts.norm_type;

    TP_SCOPE;
    TP_NO_GRAD;
    if (!tp__optim_gather("tp_optim_clip_norm", o)) return NULL;
    TP_REQUIRE_IN("tp_optim_clip_norm", max >= 0, TP_ERR_ARG, "a norm of at most %g", max);
    TP_REQUIRE_IN("tp_optim_clip_norm", p > 0, TP_ERR_ARG, "norm_type %g: more than 0 is wanted",
                  p);
    if (p == 2) squares = squares_of(o), norm = tp_sqrt(squares);
    else norm = joint_norm(o, p), squares = tp_square(norm);
    if (!squares || !norm || (opts.error_if_nonfinite && !all_finite(norm, p))) return NULL;
    if (!launches(o, tp__data(squares), max, BY_NORM)) return NULL;
    changed(o);
    return tp_pass(norm);
}

tp_tensor *tp_optim_clip_norm(tp_optim *o, double max)
{
    return tp_optim_clip_norm_with(o, max, (tp_clip_opts){ 0 });
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
