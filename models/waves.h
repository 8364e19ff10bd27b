/*
 * waves.h - places and times as sines and cosines (Vaswani et al. 2017, section 3.5).
 */
#ifndef TP_MODELS_WAVES_H
#define TP_MODELS_WAVES_H

#include "autograd/autograd.h"

#include <math.h>

/* place / 10000^(2 i / width) for i = 0 .. (width - 1) / 2: (N) -> (N, (width + 1) / 2) f64, as places may be large */
static inline tp_tensor *wave_angles(tp_tensor *place, int64_t width)
{
    tp_tensor *rate = tp_exp(tp_scale(tp_arange(0, (double)width, 2, TP_F64, tp_device_of(place)),
                                      -log(10000) / (double)width));

    return tp_mul(tp_unsqueeze(tp_cast(place, TP_F64), 1), rate);
}

#endif
