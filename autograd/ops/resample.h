/*
 * resample.h - what the files of pooling and resizing share.
 */
#ifndef TP_AUTOGRAD_OPS_RESAMPLE_H
#define TP_AUTOGRAD_OPS_RESAMPLE_H

#include "autograd/op.h"

/* (N, C, H, W) -> (N, C, OH, OW), channels-last, by a map of kernels/resample.h. */
tp_tensor *tp__resample(tp_sink to, tp_tensor *x, const tp_resample *g);

/* The map of h by w parts; false and an error when there are none. */
bool tp__parts(const char *name, const tp_tensor *x, int64_t h, int64_t w, tp_resample *g);

#endif
