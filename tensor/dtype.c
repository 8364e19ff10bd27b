/*
 * dtype.c - names, sizes and promotion of element types.
 */
#include "tensor/internal.h"

const char *tp_dtype_name(tp_dtype d)
{
    static const char *const names[TP_DTYPES] = { "f32", "f64", "bf16", "f16", "i64", "i32", "u8", "bool" };

    return (unsigned)d < TP_DTYPES ? names[d] : "no dtype";
}

size_t tp_dtype_size(tp_dtype d)
{
    return (unsigned)d < TP_DTYPES ? tp__bytes_of(d) : 0;
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
