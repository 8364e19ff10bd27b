/*
 * generic.h - what a source compiled once per dtype and instruction set sees.
 *
 * The build passes TP_FOR=f32, f64, ... and TP_LEVEL=base, v3, v4.
 *     T            the element in memory
 *     A            what it is computed and summed in: f32, f64; for integers themselves
 *     LOAD(v)      T to A;   STORE(v)   A to T
 *     KERNEL(f)    the name tp_cpu_f_f32_v4
 */
#ifndef TP_KERNELS_CPU_GENERIC_H
#define TP_KERNELS_CPU_GENERIC_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/half.h"
#include "kernels/cpu/parallel.h"

#define KERNEL(name) TP__JOIN(TP__JOIN(TP__JOIN(tp_cpu_##name##_, TP_FOR), _), TP_LEVEL)

typedef float tp__t_f32, tp__a_f32, tp__a_bf16, tp__a_f16;
typedef double tp__t_f64, tp__a_f64;
typedef tp_bf16 tp__t_bf16;
typedef tp_f16 tp__t_f16;
typedef int64_t tp__t_i64, tp__a_i64;
typedef int32_t tp__t_i32, tp__a_i32;
typedef uint8_t tp__t_u8, tp__a_u8, tp__t_b8, tp__a_b8;
typedef TP__JOIN(tp__t_, TP_FOR) T;
typedef TP__JOIN(tp__a_, TP_FOR) A;

/* TP_IS_bf16 etc. let a file ask what T is in #if. */
#define TP__IS_f32  1
#define TP__IS_f64  2
#define TP__IS_bf16 3
#define TP__IS_f16  4
#define TP__IS_i64  5
#define TP__IS_i32  6
#define TP__IS_u8   7
#define TP__IS_b8 8
#define TP_IS(dtype) (TP__JOIN(TP__IS_, TP_FOR) == TP__IS_##dtype)
#define TP_IS_FLOAT  (TP__JOIN(TP__IS_, TP_FOR) <= TP__IS_f16)

#if TP_IS(bf16)
#define LOAD(v)  tp_bf16_to_f32(v)
#define STORE(v) tp_bf16_of(v)
#elif TP_IS(f16)
#define LOAD(v)  tp_f16_to_f32(v)
#define STORE(v) tp_f16_of(v)
#elif TP_IS(b8)
#define LOAD(v)  ((A)(v))
#define STORE(v) ((T)((v) != 0)) /* a sum is "or", a product "and" */
#else
#define LOAD(v)  ((A)(v))
#define STORE(v) ((T)(v))
#endif

#endif
