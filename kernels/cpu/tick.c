/*
 * tick.c - counts an optimizer's steps in device memory.
 */
#include "kernels/cpu/generic.h"

int KERNEL(tick)(tp_ctx *c, double *step, const double *skip)
{
    (void)c;
    if (!skip || *skip == 0) *step += 1;
    return 0;
}
