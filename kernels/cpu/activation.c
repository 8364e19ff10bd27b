/*
 * activation.c - exponentials and what is made of them, element by element; kernels.def has
 * the formulas, vmath.h the functions and their error bounds.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/vmath.h"

#if TP_IS(f64)
#define ABS(x) fabs(x)
#else
#define ABS(x) fabsf(x)
#endif

#define UNARY(name, value)                                                               \
    TP__MAP_BLOCKS(name, value)                                                          \
    int KERNEL(name)(tp_ctx * c, const tp_loop *l, const void *x, bool add, void *y)     \
    {                                                                                    \
        return tp__map_over(c, l, TP__MAP_DEAR, name##_blocks, x, NULL, 0, 0, add, y);   \
    }

#define BINARY(name, grain, value)                                                       \
    TP__MAP_BLOCKS(name, value)                                                          \
    int KERNEL(name)(tp_ctx * c, const tp_loop *l, const void *x, const void *z,         \
                     bool add, void *y)                                                  \
    {                                                                                    \
        return tp__map_over(c, l, grain, name##_blocks, x, z, 0, 0, add, y);             \
    }

UNARY(tanh, tp_tanh(a))
UNARY(sigmoid, tp_sigmoid(a))
UNARY(exp, tp_exp(a))
UNARY(log, tp_log(a))
UNARY(gelu, tp_gelu(a))
UNARY(gelu_tanh, tp_gelu_tanh(a))

BINARY(tanh_dx, TP__MAP_CHEAP, a *(1 - b * b))
BINARY(sigmoid_dx, TP__MAP_CHEAP, (a * b * (1 - b)))
BINARY(gelu_dx, TP__MAP_DEAR, (a * tp_gelu_dx(b)))
BINARY(gelu_tanh_dx, TP__MAP_DEAR, (a * tp_gelu_tanh_dx(b)))
BINARY(bce, TP__MAP_DEAR, (a < 0 ? 0 : a) - a * b + tp__log1p_unit(tp_exp(-ABS(a))))
BINARY(bce_dx, TP__MAP_DEAR, tp_sigmoid(a) - b)
