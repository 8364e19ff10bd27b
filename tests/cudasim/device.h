/*
 * device.h - the CUDA language, as far as .cu files speak it, for g++; launch.cuh includes
 * it under TP_CUDASIM.
 *
 * NVIDIA's own headers declare types and prototypes, and define __global__, __device__ and
 * __host__ to nothing outside nvcc.  What remains: threadIdx and its kin, barriers,
 * shuffles, shared memory and launches.
 */
#ifndef CUDASIM_DEVICE_H
#define CUDASIM_DEVICE_H

#include "tests/cudasim/cudasim.h"

#include <cmath>
#include <cstring>
#include <tuple>
#include <type_traits>

#undef __shared__
#define __shared__ use_TP_SHARED_instead

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

extern "C" {
void cudasim_barrier(int line);
/* Every lane of mask gives a value and gets all 32; *present: the lanes that gave one. */
const cudasim_words *cudasim_exchange(unsigned mask, cudasim_words value, unsigned *present);
/* d += a b from the fragments of all lanes: mma.sync.aligned.m16n8k16 */
void cudasim_mma(float *d, const uint32_t *a, const uint32_t *b, bool bf16);
void cudasim_absent_lane(int lane);
/* The block's one array that is declared at `place`; lives until the block ends. */
void *cudasim_shared(const void *place, size_t bytes);
int64_t cudasim_most_blocks(void);
cudaError_t cudasim_launch(const char *name, cudasim_work *run, const void *call,
                           size_t bytes, dim3 grid, dim3 block, cudaStream_t stream);
}

#define TP_MAX_BLOCKS cudasim_most_blocks()

#define __syncthreads() cudasim_barrier(__LINE__)

#define TP_SHARED(type, name, n)                                                         \
    static const char name##_place = 0;                                                  \
    type(&name)[n] =                                                                     \
        *static_cast<type(*)[n]>(cudasim_shared(&name##_place, sizeof(type[n])))

#define TP_WHOLE(p) cudasim::whole(p)
#define TP_PUT_WHOLE(p, x) (*(p) = (x))
#define TP_ROOMY

namespace cudasim
{

template <class T> inline T shuffle(unsigned mask, T v, int source)
{
    static_assert(sizeof v <= 8, "a shuffle moves at most 8 bytes");
    cudasim_words bits = {};
    unsigned present;
    const cudasim_words *all;

    std::memcpy(&bits, &v, sizeof v);
    all = cudasim_exchange(mask, bits, &present);
    if (!(present >> source & 1)) cudasim_absent_lane(source);
    std::memcpy((void *)&v, &all[source], sizeof v);
    return v;
}

/* *p in one access, which g++ would cut into its members. */
template <class P> inline P whole(const P *p)
{
    using bits = std::conditional_t<
        sizeof(P) == 16, unsigned __int128,
        std::conditional_t<sizeof(P) == 8, uint64_t, std::conditional_t<sizeof(P) == 4, uint32_t, uint16_t>>>;
    static_assert(sizeof(P) == sizeof(bits), "a GPU's threads move 2, 4, 8 or 16 bytes");
    typedef bits __attribute__((may_alias)) alias;
    bits b = *(const alias *)p;
    P v;

    std::memcpy((void *)&v, &b, sizeof v);
    return v;
}

/* A kernel and its arguments, as a value that waits in a stream. */
template <class... P> struct call {
    void (*kernel)(P...);
    std::tuple<P...> arguments;

    static void run(void *self)
    {
        call *c = static_cast<call *>(self);

        std::apply(c->kernel, c->arguments);
    }
};

template <class... P>
inline cudaError_t launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                          cudaStream_t stream, const P &...arguments)
{
    static_assert((std::is_trivially_copyable<P>::value && ...),
                  "kernel arguments are bytes");
    call<P...> c = { kernel, { arguments... } };

    return cudasim_launch(name, &call<P...>::run, &c, sizeof c, grid, block, stream);
}

} // namespace cudasim

inline unsigned cudasim_lane()
{
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}

template <class T> inline T __shfl_xor_sync(unsigned mask, T v, int lanes)
{
    return cudasim::shuffle(mask, v, (int)cudasim_lane() ^ lanes);
}

template <class T> inline T __shfl_sync(unsigned mask, T v, int lane)
{
    return cudasim::shuffle(mask, v, lane & 31);
}

template <class T> inline T __shfl_down_sync(unsigned mask, T v, unsigned lanes)
{
    unsigned source = cudasim_lane() + lanes;

    return cudasim::shuffle(mask, v, (int)(source < 32 ? source : cudasim_lane()));
}

/* ldmatrix.sync.aligned.m8n8.x4.trans: lane i reads row i % 8 of matrix i / 8, and gets numbers lane / 4 of
 * rows lane % 4 * 2 and the next of each. */
inline void cudasim_load_turned(uint32_t (&r)[4], const uint4 *row)
{
    uint4 mine = *row;
    cudasim_words bits = {};
    unsigned present, lane = cudasim_lane();
    uint16_t numbers[32][12];

    std::memcpy(&bits, &mine, sizeof mine);
    std::memcpy(numbers, cudasim_exchange(0xffffffffu, bits, &present), sizeof numbers);
    for (int i = 0; i < 32; i++)
        if (!(present >> i & 1)) cudasim_absent_lane(i);
    for (int m = 0; m < 4; m++) {
        const uint16_t(*pair)[12] = numbers + 8 * m + lane % 4 * 2;

        r[m] = pair[0][lane / 4] | (uint32_t)pair[1][lane / 4] << 16;
    }
}

/* sin and cos of pi x */
inline void sincospi(double x, double *s, double *c)
{
    *s = std::sin(3.14159265358979323846 * x), *c = std::cos(3.14159265358979323846 * x);
}

inline void sincospif(float x, float *s, float *c)
{
    double ds, dc;

    sincospi((double)x, &ds, &dc);
    *s = (float)ds, *c = (float)dc;
}

/* Threads of a block take turns, and so do blocks: a call is not interrupted. */
inline int atomicCAS(int *at, int expected, int wanted)
{
    int old = *at;

    if (old == expected) *at = wanted;
    return old;
}

/* Accesses are in the order of the program anyway. */
inline void __threadfence_system()
{
}

inline void __syncwarp(unsigned mask = 0xffffffffu)
{
    unsigned present;

    cudasim_exchange(mask, {}, &present);
}

#endif
