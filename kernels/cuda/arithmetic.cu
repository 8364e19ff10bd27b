/*
 * arithmetic.cu - signs, bounds, rounding and division with remainder, element by element, of
 * floats and integers; kernels.def has the formulas.
 */
#include "kernels/cuda/map.cuh"

template <class A> __device__ inline bool negative(A v)
{
    if constexpr (std::is_unsigned<A>::value) return false;
    else return v < 0;
}

/* ---- the larger, the smaller: NaN wins ---- */

TP_BINARY(ALL, maximum, a > b || a != a ? a : b)
TP_BINARY(ALL, minimum, a < b || a != a ? a : b)
TP_BINARY(FLOATS, larger_share, a < b ? A(0) : a == b ? A(0.5) : A(1))

/* ---- signs, rounding, bounds ---- */

template <class A> __device__ inline A magnitude(A a)
{
    if constexpr (std::is_floating_point<A>::value) return fabs(a);
    else return A(negative(a) ? 0 - (tp_wide<A>)a : (tp_wide<A>)a);
}

template <class A> __device__ inline A sign(A a)
{
    return A(A(a > 0) - A(negative(a)));
}

template <class A> __device__ inline A between(A x, A low, A high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* An infinite bound is none: infinity itself lies within. */
template <class A> __device__ inline A within(A x, A low, A high)
{
    bool above = x > low || low == -INFINITY, below = x < high || high == INFINITY;

    return A(above && below && x == x);
}

TP_UNARY(NUMBERS, sign, sign(a))
TP_UNARY(FLOATS, floor, floor(a))
TP_UNARY(FLOATS, ceil, ceil(a))
TP_UNARY(FLOATS, round, rint(a))
TP_UNARY(FLOATS, trunc, trunc(a))
#define F(x)  magnitude(x)
#define DF(x) sign(x)
TP_BENT(NUMBERS, abs, F, DF)
#undef F
#undef DF
#define F(x)  between(x, k0, k1)
#define DF(x) within(x, k0, k1)
TP_BENT(NUMBERS, clamp, F, DF)
#undef F
#undef DF

/* ---- division with remainder ----
 * Of integers: by 0 it is 0, and the next wait tells; the smallest over -1 wraps around. */

template <class A> __device__ inline A rest(A a, A b)
{
    if constexpr (std::is_floating_point<A>::value) return fmod(a, b);
    else return b == 0 || (negative(b) && A(b + 1) == 0) ? A(0) : A(a % b);
}

template <class A> __device__ inline A modulus(A a, A b)
{
    A r = rest(a, b);

    return r != 0 && negative(b) != negative(r) ? A(r + b) : r;
}

/* (a - r) / b is an integer but for its rounding; a / b, rounded down, may be one too high. */
template <class A> __device__ inline A divided_down(A a, A b)
{
    A r = rest(a, b);
    bool down = r != 0 && negative(b) != negative(r);

    if constexpr (std::is_floating_point<A>::value) {
        A q = (a - r) / b - A(down), whole = floor(q);

        return b == 0 ? a / b : q - whole > A(0.5) ? whole + 1 : whole;
    } else {
        if (b == 0) return 0;
        if (negative(b) && A(b + 1) == 0) return A(0 - (tp_wide<A>)a);
        return A(a / b - A(down));
    }
}

#define DIVISION(name, divide)                                                           \
    struct name##_of {                                                                   \
        tp_faults faults;                                                                \
        template <class A> __device__ A operator()(A a, A b) const                       \
        {                                                                                \
            if (!std::is_floating_point<A>::value && b == 0) tp_report(faults, TP_FAULT_ZERO, 0, 0); \
            return divide(a, b);                                                         \
        }                                                                                \
    };                                                                                   \
    template <class T>                                                                   \
    static int k_##name(tp_ctx *c, const tp_loop *l, const void *a, const void *b,       \
                        bool add, void *y)                                               \
    {                                                                                    \
        return tp_map<2, T, T>(c, #name, l, name##_of{ tp_faults_of(c, #name) }, a, b, add, y); \
    }                                                                                    \
    TP_NUMBERS_BY(name, k_##name)

DIVISION(fmod, rest)
DIVISION(remainder, modulus)
DIVISION(floor_divide, divided_down)
