/*
 * launch.cpp - the part of libcudart that nvcc's host code calls: kernels are registered by
 * name and launched by the address of their host stub, run as translated PTX.
 *
 * CUDASIM_PTX names the library of translated kernels; they register when it is loaded.
 */
#include "tests/cudasim/sim.hpp"
extern "C" {
#include "tests/cudasim/ptx/ptx.h"
}

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <string>

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

extern "C" {
void cudasim_barrier(int line);
const uint64_t *cudasim_exchange(unsigned mask, uint64_t value, unsigned *present);
void cudasim_absent_lane(int lane);
void *cudasim_shared(const void *place, size_t bytes);
cudaError_t cudasim_launch(const char *name, cudasim_work *run, const void *call,
                           size_t bytes, dim3 grid, dim3 block, cudaStream_t stream);
}

static std::map<std::string, const ptx_kernel *> &kernels()
{
    static std::map<std::string, const ptx_kernel *> all;

    return all;
}

static std::map<const void *, std::string> &stubs()
{
    static std::map<const void *, std::string> all;

    return all;
}

/* NULL: the library lacks it, which was printed. */
static const ptx_kernel *find(const void *stub)
{
    static bool loaded;
    const char *file = std::getenv("CUDASIM_PTX");

    if (!loaded && (!file || !dlopen(file, RTLD_NOW | RTLD_LOCAL)))
        std::fprintf(stderr, "cudasim: CUDASIM_PTX: %s\n", file ? dlerror() : "not set");
    loaded = true;
    auto name = stubs().find(stub);
    if (name == stubs().end()) return NULL;
    auto kernel = kernels().find(name->second);
    if (kernel != kernels().end()) return kernel->second;
    std::fprintf(stderr, "cudasim: %s has no translated PTX\n", name->second.c_str());
    return NULL;
}

extern "C" {

CUDASIM_API void ptx_register(const ptx_kernel *all, int n)
{
    for (int i = 0; i < n; i++)
        kernels()[all[i].name] = &all[i];
}

CUDASIM_API void ptx_places(uint32_t at[12])
{
    const uint32_t all[12] = { threadIdx.x, threadIdx.y, threadIdx.z, blockDim.x,
                               blockDim.y,  blockDim.z,  blockIdx.x,  blockIdx.y,
                               blockIdx.z,  gridDim.x,   gridDim.y,   gridDim.z };

    std::memcpy(at, all, sizeof all);
}

CUDASIM_API void ptx_barrier(int line)
{
    cudasim_barrier(line);
}

CUDASIM_API const uint64_t *ptx_exchange(uint32_t mask, uint64_t v, uint32_t *present)
{
    return cudasim_exchange(mask, v, present);
}

CUDASIM_API void ptx_absent_lane(int lane)
{
    cudasim_absent_lane(lane);
}

CUDASIM_API void *ptx_shared(const void *place, size_t bytes)
{
    return cudasim_shared(place, bytes);
}

CUDASIM_API void ptx_access(void *p, int bytes, bool write)
{
    cudasim::access((byte *)p, bytes, write, __builtin_return_address(0));
}

/* ---- what nvcc's objects call, undocumented but for crt/host_runtime.h ---- */

CUDASIM_API void **__cudaRegisterFatBinary(void *)
{
    static void *handle;

    return &handle;
}

CUDASIM_API void __cudaRegisterFatBinaryEnd(void **) {}

CUDASIM_API void __cudaUnregisterFatBinary(void **) {}

CUDASIM_API void __cudaRegisterFunction(void **, const char *stub, char *, const char *name, int,
                                        void *, void *, void *, void *, int *)
{
    stubs()[stub] = name;
}

CUDASIM_API unsigned __cudaPushCallConfiguration(dim3, dim3, size_t, void *)
{
    return 1; /* <<<>>> isn't ours */
}

CUDASIM_API cudaError_t __cudaPopCallConfiguration(dim3 *, dim3 *, size_t *, void *)
{
    return cudaErrorUnknown;
}

CUDASIM_API cudaError_t cudaLaunchKernel(const void *stub, dim3 grid, dim3 block, void **arguments,
                                         size_t, cudaStream_t stream)
{
    const ptx_kernel *k = find(stub);
    byte packed[4096 + 64] = {};

    if (!k) return cudaErrorInvalidDeviceFunction;
    if (block.x * block.y * block.z > (unsigned)k->threads) return cudaErrorInvalidValue;
    for (int i = 0; i < k->n_params; i++)
        std::memcpy(packed + k->params[i].offset, arguments[i], (size_t)k->params[i].bytes);
    return cudasim_launch(k->name, k->run, packed, (size_t)k->bytes, grid, block, stream);
}

CUDASIM_API cudaError_t __cudaGetKernel(void **kernel, const void *stub)
{
    *kernel = const_cast<void *>(stub);
    return cudaSuccess;
}

CUDASIM_API cudaError_t __cudaLaunchKernel(void *stub, dim3 grid, dim3 block, void **arguments,
                                           size_t bytes, cudaStream_t stream)
{
    return cudaLaunchKernel(stub, grid, block, arguments, bytes, stream);
}
}
