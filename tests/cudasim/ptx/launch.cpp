/*
 * launch.cpp - the part of libcudart that nvcc's host code calls: kernels are registered by
 * name and launched by the address of their host stub, run as translated PTX.
 *
 * CUDASIM_PTX names the libraries of translated kernels, with colons between; they register
 * when they are loaded.
 */
#include "tests/cudasim/ptx/kernel.h"
#include "tests/cudasim/sim.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <set>
#include <sstream>
#include <string>

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

extern "C" cudaError_t cudasim_launch(const char *name, cudasim_work *run,
                                      const void *call, size_t bytes, dim3 grid,
                                      dim3 block, cudaStream_t stream);

namespace
{

/* One .ptx, or the kernels that one .cu file's host code registers: several files may hold kernels of one name. */
typedef std::map<std::string, const ptx_kernel *> translated;
struct module {
    std::set<std::string> names;
    std::map<const void *, std::string> stubs;
    const translated *kernels; /* once it was looked for */
};

/* Functions, since other libraries' constructors come here before our own. */
std::vector<translated> &files()
{
    static std::vector<translated> all;

    return all;
}

std::map<const void *, module *> &owners() /* of stubs */
{
    static std::map<const void *, module *> all;

    return all;
}

void load()
{
    static bool done;
    const char *names = std::getenv("CUDASIM_PTX");
    std::istringstream all(names ? names : "");
    std::string file;

    if (done) return;
    done = true;
    if (!names)
        std::fprintf(stderr,
                     "cudasim: CUDASIM_PTX names no library of translated kernels\n");
    while (std::getline(all, file, ':'))
        if (!dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL))
            std::fprintf(stderr, "cudasim: CUDASIM_PTX: %s\n", dlerror());
}

bool is_of(const translated &file, const module &m)
{
    if (file.size() != m.names.size()) return false;
    for (const auto &k : file)
        if (!m.names.count(k.first)) return false;
    return true;
}

/* The one file with the module's kernels; a choice between two would be a guess. */
const translated *look_for(const module &m)
{
    const translated *found = NULL;

    for (const translated &f : files()) {
        if (!is_of(f, m)) continue;
        if (found)
            std::fprintf(stderr, "cudasim: two .ptx hold the kernels of one .cu file\n"),
                std::abort();
        found = &f;
    }
    return found;
}

/* NULL: no library has it, which is printed. */
const ptx_kernel *find(const void *stub)
{
    auto owner = owners().find(stub);

    if (owner == owners().end()) return NULL;
    module *m = owner->second;
    if (!m->kernels) m->kernels = look_for(*m);
    if (m->kernels) return m->kernels->at(m->stubs[stub]);
    std::fprintf(stderr, "cudasim: no .ptx holds %s and what else is in its .cu file\n",
                 m->stubs[stub].c_str());
    return NULL;
}

} // namespace

extern "C" {

void ptx_register(int capability, const ptx_kernel *all, int n)
{
    translated file;

    cudasim::capability = capability;
    for (int i = 0; i < n; i++)
        file[all[i].name] = &all[i];
    files().push_back(file);
}

void ptx_places(uint32_t at[12])
{
    const uint32_t all[12] = { threadIdx.x, threadIdx.y, threadIdx.z, blockDim.x,
                               blockDim.y,  blockDim.z,  blockIdx.x,  blockIdx.y,
                               blockIdx.z,  gridDim.x,   gridDim.y,   gridDim.z };

    std::memcpy(at, all, sizeof all);
}

void ptx_access(void *p, int bytes, bool write)
{
    cudasim::access((byte *)p, bytes, write, __builtin_return_address(0));
}

/* ---- what nvcc's objects call, undocumented but for crt/host_runtime.h ---- */

void **__cudaRegisterFatBinary(void *)
{
    load();
    return (void **)new module();
}

void __cudaRegisterFatBinaryEnd(void **) {}

void __cudaUnregisterFatBinary(void **) {}

void __cudaRegisterFunction(void **handle, const char *stub, char *, const char *name,
                            int, void *, void *, void *, void *, int *)
{
    module *m = (module *)handle;

    m->names.insert(name), m->stubs[stub] = name;
    owners()[stub] = m;
}

/* For <<<>>>, which the kernels of kernels/cuda don't use. */
unsigned __cudaPushCallConfiguration(dim3, dim3, size_t, void *)
{
    return 1;
}

cudaError_t __cudaPopCallConfiguration(dim3 *, dim3 *, size_t *, void *)
{
    return cudaErrorUnknown;
}

cudaError_t cudaLaunchKernel(const void *stub, dim3 grid, dim3 block, void **arguments,
                             size_t, cudaStream_t stream)
{
    const ptx_kernel *k = find(stub);
    byte packed[cudasim::PARAMETERS] = {};

    if (!k) return cudaErrorInvalidDeviceFunction;
    if (k->bytes > (int)sizeof packed ||
        block.x * block.y * block.z > (unsigned)k->threads)
        return cudaErrorInvalidValue;
    for (int i = 0; i < k->n_params; i++)
        std::memcpy(packed + k->params[i].offset, arguments[i],
                    (size_t)k->params[i].bytes);
    return cudasim_launch(k->name, k->run, packed, (size_t)k->bytes, grid, block, stream);
}

cudaError_t __cudaGetKernel(void **kernel, const void *stub)
{
    *kernel = const_cast<void *>(stub);
    return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(void *stub, dim3 grid, dim3 block, void **arguments,
                               size_t bytes, cudaStream_t stream)
{
    return cudaLaunchKernel(stub, grid, block, arguments, bytes, stream);
}
}
