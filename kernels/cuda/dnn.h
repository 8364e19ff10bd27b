/*
 * dnn.h - convolutions by cuDNN, for the slots of conv.cu.
 *
 * TP_NO_KERNEL: cuDNN doesn't compute this one and nothing was done; the caller's own kernel
 * goes on.  A library that is built without cuDNN has dnn_none.c, whose answer that always is.
 */
#ifndef TP_KERNELS_CUDA_DNN_H
#define TP_KERNELS_CUDA_DNN_H

#include "kernels/backend.h"

int tp_dnn_conv2d(tp_ctx *c, tp_dtype t, const tp_window *g, const void *x, const void *w,
                  const void *bias, void *y);
int tp_dnn_conv2d_dx(tp_ctx *c, tp_dtype t, const tp_window *g, const void *dy,
                     const void *w, bool add, void *dx);
int tp_dnn_conv2d_dw(tp_ctx *c, tp_dtype t, const tp_window *g, const void *x,
                     const void *dy, bool add, void *dw);

int tp_dnn_open(tp_ctx *c); /* refuses a cuDNN of another version */
void tp_dnn_close(tp_ctx *c);
int tp_dnn_version(void); /* of what is loaded: 91900 for 9.19.0; 0: none */

#endif
