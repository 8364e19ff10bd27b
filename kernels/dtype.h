/*
 * dtype.h - the element types.  Public: taper.h shows it; kernels see nothing above it.
 */
#ifndef TP_KERNELS_DTYPE_H
#define TP_KERNELS_DTYPE_H

/* f32 and f64 compute; bf16 computes, its sums kept in f32; f16 is stored and cast, and on a GPU
 * computes as bf16 does. */
typedef enum tp_dtype {
    TP_F32,
    TP_F64,
    TP_BF16,
    TP_F16,
    TP_I64,
    TP_I32,
    TP_U8,
    TP_BOOL /* one byte, 0 or 1 */
} tp_dtype;

enum { TP_DTYPES = TP_BOOL + 1 };

/* What a fused layer applies to its result, in place of an op of its own. */
typedef enum tp_activation {
    TP_LINEAR, /* nothing */
    TP_RELU,
    TP_GELU,      /* x Phi(x), exactly, by erf */
    TP_GELU_TANH, /* its approximation by tanh, as GPT-2's */
    TP_TANH,
    TP_SIGMOID
} tp_activation;

#endif
