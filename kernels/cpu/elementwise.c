/*
 * elementwise.c - arithmetic, element by element, broadcasting by stride 0; kernels.def has
 * the formulas.
 *
 * One expression is one kernel; map.h makes the loops and spreads them over threads.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/number.h"

#include <math.h>

#if TP_IS(f64)
#define ROOT(x) sqrt(x)
#else
#define ROOT(x) sqrtf(x)
#endif

#define UNARY(name, value)                                                               \
    TP__MAP_BLOCKS(name, value)                                                          \
    int KERNEL(name)(tp_ctx * c, const tp_loop *l, const void *x, bool add, void *y)     \
    {                                                                                    \
        return tp__map_over(c, l, TP__MAP_CHEAP, name##_blocks, x, NULL, 0, 0, add, y);  \
    }

#define BINARY(name, value)                                                              \
    TP__MAP_BLOCKS(name, value)                                                          \
    int KERNEL(name)(tp_ctx * c, const tp_loop *l, const void *x, const void *z,         \
                     bool add, void *y)                                                  \
    {                                                                                    \
        return tp__map_over(c, l, TP__MAP_CHEAP, name##_blocks, x, z, 0, 0, add, y);     \
    }

BINARY(add, (A)((W)a + (W)b))
BINARY(mul, (A)((W)a *(W)b))

#if !TP_IS(b8) /* neither less nor more than no and yes */
UNARY(square, (A)((W)a *(W)a))
BINARY(sub, (A)((W)a - (W)b))

TP__MAP_BLOCKS(affine, (A)((W)k0 * (W)a + (W)k1))

int KERNEL(affine)(tp_ctx *c, const tp_loop *l, const void *x, double a, double b,
                   bool add, void *y)
{
    return tp__map_over(c, l, TP__MAP_CHEAP, affine_blocks, x, NULL,
                        tp__wrapped_from_double(a), tp__wrapped_from_double(b), add, y);
}
#endif

#if TP_IS_FLOAT
UNARY(relu, a < 0 ? 0 : a) /* a NaN isn't less */
UNARY(sqrt, ROOT(a))
BINARY(div, a / b)
BINARY(relu_dx, b > 0 ? a : 0)
#endif
