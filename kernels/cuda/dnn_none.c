/*
 * dnn_none.c - dnn.h without cuDNN: every convolution is our own kernel's.
 */
#include "kernels/cuda/dnn.h"

int tp_dnn_conv2d(tp_ctx *c, tp_dtype t, const tp_window *g, const void *x, const void *w,
                  const void *bias, void *y)
{
    (void)c, (void)t, (void)g, (void)x, (void)w, (void)bias, (void)y;
    return TP_NO_KERNEL;
}

int tp_dnn_conv2d_dx(tp_ctx *c, tp_dtype t, const tp_window *g, const void *dy,
                     const void *w, bool add, void *dx)
{
    (void)c, (void)t, (void)g, (void)dy, (void)w, (void)add, (void)dx;
    return TP_NO_KERNEL;
}

int tp_dnn_conv2d_dw(tp_ctx *c, tp_dtype t, const tp_window *g, const void *x,
                     const void *dy, bool add, void *dw)
{
    (void)c, (void)t, (void)g, (void)x, (void)dy, (void)add, (void)dw;
    return TP_NO_KERNEL;
}

int tp_dnn_open(tp_ctx *c)
{
    (void)c;
    return 0;
}

void tp_dnn_close(tp_ctx *c)
{
    (void)c;
}

int tp_dnn_version(void)
{
    return 0;
}
