/*
 * bits.cu - integers bit by bit, and bool; kernels.def has the formulas.
 */
#include "kernels/cuda/map.cuh"

template <class A> __device__ inline A flipped(A a)
{
    if constexpr (std::is_same<A, bool>::value) return !a;
    else return A(~a);
}

/* A shift by an impossible count is undefined in C: such a count becomes 0, or all but one. */
template <class A> __device__ inline bool possible(A b)
{
    return (tp_wide<A>)b < 8 * sizeof(A); /* a negative one is large */
}

template <class A> __device__ inline A left(A a, A b)
{
    return possible(b) ? A((tp_wide<A>)a << b) : A(0);
}

template <class A> __device__ inline A right(A a, A b)
{
    if constexpr (std::is_unsigned<A>::value) return possible(b) ? A(a >> b) : A(0);
    else return A(a >> (possible(b) ? b : A(8 * sizeof(A) - 1)));
}

TP_BINARY(BITS, bit_and, a &b)
TP_BINARY(BITS, bit_or, a | b)
TP_BINARY(BITS, bit_xor, a ^ b)
TP_UNARY(BITS, bit_not, flipped(a))
TP_BINARY(INTEGERS, shift_left, left(a, b))
TP_BINARY(INTEGERS, shift_right, right(a, b))
