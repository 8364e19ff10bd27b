/*
 * translate.h - what goes into both sides of tp_model_translate, for translate.c and beam.c alone.
 */
#ifndef TP_MODELS_TRANSLATE_H
#define TP_MODELS_TRANSLATE_H

#include "models/models.h"
#include "models/waves.h"

#include <math.h>

/* (T, width) of places from, from + 1, ... in like's dtype */
static inline tp_tensor *waves(int64_t from, int64_t T, int64_t width, tp_tensor *like)
{
    tp_tensor *place = tp_arange((double)from, (double)(from + T), 1, TP_F64, tp_device_of(like));
    tp_tensor *angle = wave_angles(place, width), *both = tp_stack(TP_LIST(tp_sin(angle), tp_cos(angle)), 2);

    return tp_cast(tp_slice(tp_flatten(both, 1), 1, 0, width), tp_dtype_of(like));
}

/* Tokens (N, T) at places from, from + 1, ... -> (N, T, width) */
static inline tp_tensor *embedded(tp_module *m, tp_tensor *tokens, int64_t from)
{
    const tp_translate_opts *o = tp_nn_opts(m);
    int64_t T = tp_dim(tokens, 1);
    tp_tensor *x = tp_scale(tp_nn_call(m, "embedding", tokens), sqrt((double)o->width));

    if (tp_ok() && from + T > o->context)
        tp_fail(TP_ERR_SHAPE, "translate: %lld symbols are more than its context of %lld",
                (long long)(from + T), (long long)o->context);
    if (!tp_ok()) return NULL;
    return tp_add(
        x, o->learned ? tp_slice(tp_nn_tensor(m, "positions.weight"), 0, from, from + T)
                      : waves(from, T, o->width, x));
}

#endif
