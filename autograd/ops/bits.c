/*
 * bits.c - integers bit by bit; none has a gradient.
 */
#include "autograd/ops/elementwise.h"

static const tp_op and_op = { "bitwise_and", NULL, NULL };
static const tp_op or_op = { "bitwise_or", NULL, NULL };
static const tp_op xor_op = { "bitwise_xor", NULL, NULL };
static const tp_op not_op = { "bitwise_not", NULL, NULL };
static const tp_op left_op = { "bitwise_left_shift", NULL, NULL };
static const tp_op right_op = { "bitwise_right_shift", NULL, NULL };

tp_tensor *tp_bitwise_and(tp_tensor *a, tp_tensor *b)
{
    return tp__binary(TP_FRESH, &and_op, TP_SLOT(a, bit_and), a, b, false);
}

tp_tensor *tp_bitwise_or(tp_tensor *a, tp_tensor *b)
{
    return tp__binary(TP_FRESH, &or_op, TP_SLOT(a, bit_or), a, b, false);
}

tp_tensor *tp_bitwise_xor(tp_tensor *a, tp_tensor *b)
{
    return tp__binary(TP_FRESH, &xor_op, TP_SLOT(a, bit_xor), a, b, false);
}

tp_tensor *tp_bitwise_not(tp_tensor *x)
{
    return tp__unary(TP_FRESH, &not_op, TP_SLOT(x, bit_not), x, TP_KEEP_NOTHING);
}

tp_tensor *tp_bitwise_left_shift(tp_tensor *a, tp_tensor *b)
{
    return tp__binary(TP_FRESH, &left_op, TP_SLOT(a, shift_left), a, b, false);
}

tp_tensor *tp_bitwise_right_shift(tp_tensor *a, tp_tensor *b)
{
    return tp__binary(TP_FRESH, &right_op, TP_SLOT(a, shift_right), a, b, false);
}
