/*
 * conv.h - what the files of convolutions share.
 */
#ifndef TP_AUTOGRAD_OPS_CONV_H
#define TP_AUTOGRAD_OPS_CONV_H

#include "autograd/op.h"

/* The adjoint of conv2d in x, an op itself: (N, O, OH, OW) -> (N, C, H, W). */
tp_tensor *tp__conv2d_dx(tp_sink to, tp_tensor *dy, tp_tensor *w, const tp_window *g);

bool tp__conv_opts_fit(const char *name, tp_conv2d_opts o);
bool tp__conv_dtypes_fit(const char *name, const tp_tensor *x, const tp_tensor *w, const tp_tensor *bias);

/* One axis as a map of height 1, and back. */
bool tp__conv_has_one_axis(const char *name, const tp_tensor *x, const tp_tensor *w, tp_conv2d_opts o);
tp_conv2d_opts tp__conv_flat(tp_conv2d_opts o);
tp_tensor *tp__conv_as_map(tp_tensor *x);
tp_tensor *tp__conv_as_line(tp_tensor *y);

#endif
