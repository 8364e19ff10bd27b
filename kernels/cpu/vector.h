/*
 * vector.h - how long vectors are.  Longer ones than the machine's would be right too, but
 * compilers take their comparisons and shuffles apart into single elements.
 */
#ifndef TP_KERNELS_CPU_VECTOR_H
#define TP_KERNELS_CPU_VECTOR_H

#if defined(__AVX512F__)
#define TP__VECTOR 64 /* bytes */
#elif defined(__AVX__)
#define TP__VECTOR 32
#else
#define TP__VECTOR 16
#endif

#endif
