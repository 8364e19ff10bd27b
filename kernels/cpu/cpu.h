/*
 * cpu.h - the CPU kernels' prototypes, and what a dtype set stands for.
 *
 * Every source of kernels/cpu that includes generic.h is compiled once per dtype and per
 * instruction set, and gives the functions of its set: tp_cpu_add_f32_v4.
 */
#ifndef TP_KERNELS_CPU_H
#define TP_KERNELS_CPU_H

#include "kernels/backend.h"

#define TP_SET_F64(X, name)    X(name, f64, TP_F64)
#define TP_SET_I64(X, name)    X(name, i64, TP_I64)
#define TP_SET_FLOATS(X, name) X(name, f32, TP_F32) X(name, f64, TP_F64) X(name, bf16, TP_BF16)
#define TP_SET_INTEGERS(X, name) X(name, i64, TP_I64) X(name, i32, TP_I32) X(name, u8, TP_U8)
#define TP_SET_BITS(X, name)     TP_SET_INTEGERS(X, name) X(name, b8, TP_BOOL)
#define TP_SET_NUMBERS(X, name)  TP_SET_FLOATS(X, name) TP_SET_INTEGERS(X, name)
#define TP_SET_ORDERED(X, name)  TP_SET_FLOATS(X, name) TP_SET_BITS(X, name)
#define TP_SET_FLOATS_I64(X, name) TP_SET_FLOATS(X, name) X(name, i64, TP_I64)
#define TP_SET_ALL(X, name)                                                              \
    TP_SET_FLOATS(X, name)                                                               \
    X(name, f16, TP_F16) X(name, i64, TP_I64) X(name, i32, TP_I32) X(name, u8, TP_U8)    \
        X(name, b8, TP_BOOL)

#define TP__JOIN2(a, b) a##b
#define TP__JOIN(a, b)  TP__JOIN2(a, b)

/* TP_LEVEL, from the build: base, v3 or v4. */
#define TP__CPU(name, dtype) TP__JOIN(tp_cpu_##name##_##dtype##_, TP_LEVEL)

#define TP__PROTOTYPE(name, dtype, index) tp__fn_##name TP__CPU(name, dtype);
#define TP_KERNEL(name, dtypes, args)     TP_SET_##dtypes(TP__PROTOTYPE, name)
#include "kernels/kernels.def"
#undef TP_KERNEL

#endif
