/*
 * draw_save.c - keeps what a draw used, so that a recomputed step draws the same numbers.
 */
#include "kernels/cpu/generic.h"

int KERNEL(draw_save)(tp_ctx *c, tp_draw d, int64_t *to)
{
    (void)c;
    to[0] = (int64_t)d.state[0], to[1] = (int64_t)(d.state[1] + d.add);
    return 0;
}
