/*
 * tick.c - counts an optimizer's steps in device memory.
 */
#include "kernels/cpu/generic.h"

int KERNEL(tick)(tp_ctx *c, double *step)
{
    (void)c;
    *step += 1;
    return 0;
}
