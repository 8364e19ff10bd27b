/*
 * launch.cuh - the dialect of the .cu files: how a kernel is launched, how it declares
 * shared memory, its element types, and the folds that every reduction uses.
 *
 * A .cu file compiles with nvcc and, under TP_CUDASIM, with g++ for the simulator of
 * tests/cudasim.  Hence no <<<>>> and no bare __shared__: TP_LAUNCH and TP_SHARED instead.
 * Everything else is CUDA.
 */
#ifndef TP_KERNELS_CUDA_LAUNCH_CUH
#define TP_KERNELS_CUDA_LAUNCH_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

extern "C" {
#include "kernels/cuda/cuda.h"
}

#ifdef TP_CUDASIM
#include "tests/cudasim/device.h"
#else
#define TP_SHARED(type, name, n) __shared__ type name[n]
#define TP_WHOLE(p)              tp_whole(p)
/* A struct that is aligned to its size, in one access.  To the compiler all its words are used at once: else it
 * reads part by part what a condition wants later. */
template <class P> __device__ inline P tp_whole(const P *p)
{
    P x = *p;

    if constexpr (sizeof x == 16) {
        uint32_t w[4];

        memcpy(w, &x, sizeof w);
        asm("" : "+r"(w[0]), "+r"(w[1]), "+r"(w[2]), "+r"(w[3]));
        memcpy(&x, w, sizeof w);
    } else if constexpr (sizeof x == 8) {
        uint32_t w[2];

        memcpy(w, &x, sizeof w);
        asm("" : "+r"(w[0]), "+r"(w[1]));
        memcpy(&x, w, sizeof w);
    }
    return x;
}
#define TP_PUT_WHOLE(p, x)       tp_put_whole(p, x)
/* The same for a store to device memory; left to itself nvcc takes it apart where it forgets how p is aligned, but for
 * numbers of 8 bytes. */
template <class P> __device__ inline void tp_put_whole(P *p, const P &x)
{
    if constexpr (sizeof x.v[0] < 8 && sizeof x == 16) {
        uint32_t w[4];

        memcpy(w, &x, sizeof w);
        asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)), "r"(w[0]), "r"(w[1]),
                     "r"(w[2]), "r"(w[3])
                     : "memory");
    } else if constexpr (sizeof x.v[0] < 8 && sizeof x == 8) {
        uint32_t w[2];

        memcpy(w, &x, sizeof w);
        asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(p)), "r"(w[0]), "r"(w[1])
                     : "memory");
    } else {
        *p = x;
    }
}
/* Of a kernel that waits for memory: registers for 768 threads at once, which keep it busy. */
#define TP_ROOMY                 __launch_bounds__(TP_THREADS, 3)
const int64_t TP_MAX_BLOCKS = 1 << 20;
#endif

/* Before a loop whose index must be a constant: what it indexes then lives in registers. */
#define TP_UNROLL _Pragma("unroll")

enum { TP_THREADS = 256 };

/* Blocks of TP_THREADS for n threads.  Kernels stride over what is beyond them. */
inline int64_t tp_blocks(int64_t n)
{
    int64_t blocks = (n + TP_THREADS - 1) / TP_THREADS;

    return blocks < TP_MAX_BLOCKS ? blocks : TP_MAX_BLOCKS;
}

/* Threads of a block that folds a row: whole warps, few for a short row. */
inline unsigned tp_row_threads(int64_t cols)
{
    return cols <= 128 ? 32 : cols <= 1024 ? 128 : TP_THREADS;
}

inline int64_t tp_row_blocks(int64_t rows)
{
    return rows < TP_MAX_BLOCKS ? rows : TP_MAX_BLOCKS;
}

template <class P> struct tp_same {
    typedef P type;
};

template <class... P>
cudaError_t tp_enqueue(tp_ctx *c, const char *name, void (*kernel)(P...), int64_t blocks, unsigned threads, P &...args)
{
    cudaStream_t stream = (cudaStream_t)c->stream;

#ifdef TP_CUDASIM
    return cudasim::launch(name, kernel, dim3((unsigned)blocks), dim3(threads), stream, args...);
#else
    void *pointers[] = { (void *)&args... };

    (void)name;
    return cudaLaunchKernel((const void *)kernel, dim3((unsigned)blocks), dim3(threads), pointers, 0, stream);
#endif
}

/* Arguments are converted to the kernel's own parameter types.  A kernel's first launch loads its code, which
 * wants memory. */
template <class... P>
int tp_launch(tp_ctx *c, const char *op, const char *name, void (*kernel)(P...), int64_t blocks,
              unsigned threads, typename tp_same<P>::type... args)
{
    cudaError_t e = cudaSetDevice(c->index);

    if (blocks == 0) return 0;
    ((tp_cuda *)c->handles)->last = op;
    if (!e) e = tp_enqueue(c, name, kernel, blocks, threads, args...);
    if (tp_cuda_again(c, e)) e = tp_enqueue(c, name, kernel, blocks, threads, args...);
    return e ? tp_cuda_error(c, name, e) : 0;
}

/* Gives the status that a slot returns.  A kernel with a comma in its name stands in
 * parentheses: TP_LAUNCH(c, (map<T, Op>), ...). */
#define TP_LAUNCH(c, kernel, blocks, threads, ...)                                       \
    TP_LAUNCH_FOR(c, __func__, kernel, blocks, threads, __VA_ARGS__)
/* The same for a function that serves several slots: op is what errors call it. */
#define TP_LAUNCH_FOR(c, op, kernel, blocks, threads, ...)                               \
    tp_launch(c, op, #kernel, kernel, blocks, threads, __VA_ARGS__)

/* ---- what a kernel finds wrong ---- */

inline tp_faults tp_faults_of(tp_ctx *c, const char *op)
{
    return { ((tp_cuda *)c->handles)->fault, op };
}

__device__ inline void tp_report(tp_faults to, int code, int64_t value, int64_t limit)
{
    tp_fault *f = to.first;

    if (atomicCAS(&f->code, TP_NO_FAULT, TP_FAULT_COMING) != TP_NO_FAULT) return;
    f->op = to.op, f->value = value, f->limit = limit;
    __threadfence_system();
    *(volatile int *)&f->code = code;
}

/* ---- elements ---- */

typedef __nv_bfloat16 tp_bf16;
typedef __half tp_f16;

/* tp_acc<T>: what T is computed in. */
template <class T> struct tp_acc_of {
    typedef T type;
};
template <> struct tp_acc_of<tp_bf16> {
    typedef float type;
};
template <> struct tp_acc_of<tp_f16> {
    typedef float type;
};
template <class T> using tp_acc = typename tp_acc_of<T>::type;

template <class T> tp_dtype tp_dtype_of();
template <> inline tp_dtype tp_dtype_of<float>() { return TP_F32; }
template <> inline tp_dtype tp_dtype_of<double>() { return TP_F64; }
template <> inline tp_dtype tp_dtype_of<tp_bf16>() { return TP_BF16; }
template <> inline tp_dtype tp_dtype_of<tp_f16>() { return TP_F16; }

template <class T> __device__ inline tp_acc<T> tp_load(T v)
{
    return tp_acc<T>(v);
}

/* Where sums and products of A are defined: integers wrap around. */
template <class A> struct tp_wide_of {
    typedef A type;
};
template <> struct tp_wide_of<int64_t> {
    typedef uint64_t type;
};
template <> struct tp_wide_of<int32_t> {
    typedef uint32_t type;
};
template <> struct tp_wide_of<uint8_t> {
    typedef uint32_t type;
};
template <class A> using tp_wide = typename tp_wide_of<A>::type;

template <class A> __device__ inline A tp_sum(A a, A b)
{
    return A((tp_wide<A>)a + (tp_wide<A>)b);
}

template <class T> __device__ inline void tp_put(T *y, tp_acc<T> v)
{
    *y = T(v);
}

/* y (+)= v; without add, y may hold anything. */
template <class T> __device__ inline void tp_put(T *y, tp_acc<T> v, bool add)
{
    *y = T(add ? tp_sum<tp_acc<T>>(tp_load(*y), v) : v);
}

/* ---- places in a tp_loop ---- */

/* at[k] = the offset of element i of operand k.  32-bit divisions where they will do. */
template <int K>
__device__ inline void tp_at(const tp_loop &l, int64_t i, int64_t (&at)[K])
{
    uint64_t rest = (uint64_t)i;

    for (int k = 0; k < K; k++)
        at[k] = 0;
    for (int j = l.rank - 1; j >= 0; j--) {
        uint64_t n = (uint64_t)l.n[j], over = 0, place = rest;

        if (j > 0 && (rest | n) >> 32)
            over = rest / n, place = rest % n;
        else if (j > 0)
            over = (uint32_t)rest / (uint32_t)n, place = (uint32_t)rest % (uint32_t)n;
        for (int k = 0; k < K; k++)
            at[k] += (int64_t)place * l.stride[k][j];
        rest = over;
    }
}

/* ---- folds ---- */

struct tp_plus {
    template <class A> __device__ A operator()(A a, A b) const { return a + b; }
};
struct tp_larger {
    template <class A> __device__ A operator()(A a, A b) const { return a > b ? a : b; }
};

struct tp_nan_wins {
    template <class A> __device__ A operator()(A a, A b) const { return b > a || b != b ? b : a; }
};

/* Folds v over a block of whole warps in a fixed order; every thread gets the result, and
 * all threads must come here. */
template <class A, class Fold> __device__ inline A tp_block_fold(A v, Fold fold)
{
    TP_SHARED(A, part, TP_THREADS / 32);

    for (int lane = 16; lane; lane /= 2)
        v = fold(v, __shfl_xor_sync(0xffffffffu, v, lane));
    if (blockDim.x <= 32) return v;
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    v = part[0];
    for (unsigned w = 1; w < blockDim.x / 32; w++)
        v = fold(v, part[w]);
    __syncthreads(); /* the next fold writes part */
    return v;
}

/* ---- the slots: tp_cuda_NAME, in the order of tp_dtype ---- */

/* A template that differs from kernels.def doesn't compile. */
#define TP_SLOTS(name, ...)                                                              \
    extern "C" {                                                                         \
    extern tp__fn_##name *const tp_cuda_##name[TP_DTYPES];                               \
    tp__fn_##name *const tp_cuda_##name[TP_DTYPES] = { __VA_ARGS__ };                    \
    }
/* Of the sets of kernels.def, by a template f that is called otherwise than the slot, or like it. */
#define TP_FLOATS_BY(name, f) TP_SLOTS(name, f<float>, f<double>, f<tp_bf16>, f<tp_f16>)
#define TP_NUMBERS_BY(name, f)                                                           \
    TP_SLOTS(name, f<float>, f<double>, f<tp_bf16>, f<tp_f16>, f<int64_t>, f<int32_t>, f<uint8_t>)
#define TP_ALL_BY(name, f)                                                               \
    TP_SLOTS(name, f<float>, f<double>, f<tp_bf16>, f<tp_f16>, f<int64_t>, f<int32_t>, f<uint8_t>, f<bool>)
#define TP_INTEGERS_BY(name, f)                                                          \
    TP_SLOTS(name, NULL, NULL, NULL, NULL, f<int64_t>, f<int32_t>, f<uint8_t>)
#define TP_BITS_BY(name, f)                                                              \
    TP_SLOTS(name, NULL, NULL, NULL, NULL, f<int64_t>, f<int32_t>, f<uint8_t>, f<bool>)
#define TP_FLOATS_I64_BY(name, f) TP_SLOTS(name, f<float>, f<double>, f<tp_bf16>, f<tp_f16>, f<int64_t>)
#define TP_FLOATS(name)     TP_FLOATS_BY(name, name)
#define TP_ALL_DTYPES(name) TP_ALL_BY(name, name)

#endif
