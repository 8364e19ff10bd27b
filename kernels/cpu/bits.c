/*
 * bits.c - integers bit by bit, and bool; kernels.def has the formulas.
 */
#include "kernels/cpu/map.h"
#include "kernels/cpu/number.h"

#define BINARY(name, value)                                                              \
    TP__MAP_BLOCKS(name, value)                                                          \
    int KERNEL(name)(tp_ctx * c, const tp_loop *l, const void *x, const void *z,         \
                     bool add, void *y)                                                  \
    {                                                                                    \
        return tp__map_over(c, l, TP__MAP_CHEAP, name##_blocks, x, z, 0, 0, add, y);     \
    }

BINARY(bit_and, (A)(a & b))
BINARY(bit_or, (A)(a | b))
BINARY(bit_xor, (A)(a ^ b))

#if TP_IS(b8)
TP__MAP_BLOCKS(bit_not, !a)
#else
TP__MAP_BLOCKS(bit_not, (A)~a)
#endif

int KERNEL(bit_not)(tp_ctx *c, const tp_loop *l, const void *x, bool add, void *y)
{
    return tp__map_over(c, l, TP__MAP_CHEAP, bit_not_blocks, x, NULL, 0, 0, add, y);
}

#if !TP_IS(b8)
enum { BITS = 8 * sizeof(T) };

static inline int possible(A b)
{
    return (W)b < BITS; /* a negative one is large */
}

/* A shift by an impossible count is undefined in C: such a count becomes 0, or all but one. */
static inline A left(A a, A b)
{
    W shifted = (W)a << (possible(b) ? b : 0);

    return (A)(possible(b) ? shifted : 0);
}

static inline A right(A a, A b)
{
#if TP_IS(u8)
    return (A)(possible(b) ? a >> b : 0);
#else
    return a >> (possible(b) ? b : BITS - 1);
#endif
}

BINARY(shift_left, left(a, b))
BINARY(shift_right, right(a, b))
#endif
