/*
 * dtype.c - names, sizes and promotion of element types.
 */
#include "tensor/internal.h"

static const struct {
    const char *name;
    unsigned char bytes;
} types[TP_DTYPES] = { { "f32", 4 }, { "f64", 8 }, { "bf16", 2 }, { "f16", 2 },
                       { "i64", 8 }, { "i32", 4 }, { "u8", 1 },   { "bool", 1 } };

const char *tp_dtype_name(tp_dtype d)
{
    return (unsigned)d < TP_DTYPES ? types[d].name : "no dtype";
}

size_t tp_dtype_size(tp_dtype d)
{
    return (unsigned)d < TP_DTYPES ? types[d].bytes : 0;
}

/* bool < u8 < i32 < i64 < {bf16, f16} < f32 < f64; bf16 and f16 meet in f32. */
tp_dtype tp_promote(tp_dtype a, tp_dtype b)
{
    static const unsigned char order[TP_DTYPES] = {
        [TP_BOOL] = 0, [TP_U8] = 1,  [TP_I32] = 2, [TP_I64] = 3,
        [TP_BF16] = 4, [TP_F16] = 4, [TP_F32] = 5, [TP_F64] = 6,
    };

    if ((unsigned)a >= TP_DTYPES || (unsigned)b >= TP_DTYPES || a == b) return a;
    if (order[a] == order[b]) return TP_F32;
    return order[a] > order[b] ? a : b;
}
