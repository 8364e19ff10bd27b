/*
 * test_questions.c - comparisons, logic, bits, places of extremes, flips and masks against PyTorch.
 */
#include "tests/golden.h"

/* Answers as numbers of the operands' dtype. */
static tp_tensor *as_number(const kase *k, tp_tensor *y)
{
    return tp_cast(y, tp_dtype_of(k->in[0]));
}

#define ASK(op)      static bool run_##op(kase *k) { return ONE(k, as_number(k, tp_##op(k->in[0]))); }
#define ASK_BOTH(op) static bool run_##op(kase *k) { return ONE(k, as_number(k, tp_##op(k->in[0], k->in[1]))); }
#define ALONG(op)    static bool run_##op(kase *k) { return ONE(k, tp_##op(k->in[0], (int)k->opts[0])); }

ASK_BOTH(eq) ASK_BOTH(ne) ASK_BOTH(lt) ASK_BOTH(le) ASK_BOTH(gt) ASK_BOTH(ge)
ASK_BOTH(logical_and) ASK_BOTH(logical_or) ASK_BOTH(logical_xor)
ASK(logical_not) ASK(isnan) ASK(isinf) ASK(isfinite)
ALONG(argmax) ALONG(argmin) ALONG(flip)

static bool run_bits(kase *k)
{
    tp_tensor *a = k->in[0], *b = k->in[1];

    switch (k->opts[0]) {
    case 0: return ONE(k, tp_bitwise_and(a, b));
    case 1: return ONE(k, tp_bitwise_or(a, b));
    case 2: return ONE(k, tp_bitwise_xor(a, b));
    case 3: return ONE(k, tp_bitwise_left_shift(a, b));
    case 4: return ONE(k, tp_bitwise_right_shift(a, b));
    default: return ONE(k, tp_bitwise_not(a));
    }
}

static bool run_masked_fill(kase *k)
{
    return ONE(k, tp_masked_fill(k->in[0], tp_cast(k->in[1], TP_BOOL), -1.5));
}

GOLDEN(questions, R(eq), R(ne), R(lt), R(le), R(gt), R(ge), R(logical_and), R(logical_or), R(logical_xor), R(logical_not),
       R(isnan), R(isinf), R(isfinite), R(bits), R(argmax), R(argmin), R(flip), R(masked_fill))
