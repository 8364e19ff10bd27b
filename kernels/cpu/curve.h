/*
 * curve.h - kernels of functions of one variable, each beside its derivatives.
 *
 * f, f' and f'' are expressions in x and in k0, k1 and k2, the function's numbers.
 */
#ifndef TP_KERNELS_CPU_CURVE_H
#define TP_KERNELS_CPU_CURVE_H

#include "kernels/cpu/map.h"

#define CURVE_VALUE(name, grain, value)                                                  \
    TP__MAP_BLOCKS(name, value)                                                          \
    int KERNEL(name)(tp_ctx * c, const tp_loop *l, const void *x, const double *k,       \
                     bool add, void *y)                                                  \
    {                                                                                    \
        const A n[TP__MAP_NUMBERS] = { (A)k[0], (A)k[1], (A)k[2] };                      \
                                                                                         \
        return tp__map_with(c, l, grain, name##_blocks, x, NULL, n, add, y);             \
    }

#define CURVE_SLOPE(name, grain, value)                                                  \
    TP__MAP_BLOCKS(name, value)                                                          \
    int KERNEL(name)(tp_ctx * c, const tp_loop *l, const void *x, const void *z,         \
                     const double *k, bool add, void *y)                                 \
    {                                                                                    \
        const A n[TP__MAP_NUMBERS] = { (A)k[0], (A)k[1], (A)k[2] };                      \
                                                                                         \
        return tp__map_with(c, l, grain, name##_blocks, x, z, n, add, y);                \
    }

/* F and DF are macros of x, k0, k1, k2. */
#define BENT(name, grain, F, DF)                                                         \
    CURVE_VALUE(name, grain, F(a))                                                       \
    CURVE_SLOPE(name##_dx, grain, (a * DF(b)))

#define CURVE(name, grain, F, DF, DDF)                                                   \
    BENT(name, grain, F, DF)                                                             \
    CURVE_SLOPE(name##_ddx, grain, (a * DDF(b)))

#if TP_IS(f64)
#define ABS(x)  fabs(x)
#define ROOT(x) sqrt(x)
#else
#define ABS(x)  fabsf(x)
#define ROOT(x) sqrtf(x)
#endif

#endif
