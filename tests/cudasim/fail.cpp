/*
 * fail.cpp - calls that fail because a test asks for it.
 *
 * A call that fails has done nothing, but for waits: they run what they wait for first.  CUDA's
 * errors of this kind leave the device as it was; after others no call works any more.
 */
#include "tests/cudasim/sim.hpp"

#include <cstring>
#include <mutex>

namespace
{

std::mutex lock;
char wanted[64];
int before, left, failed; /* before: calls that succeed first */
cudaError_t as;           /* cudaSuccess: as the call usually fails */

} // namespace

cudasim_holdings cudasim::holdings;

cudaError_t cudasim::trouble(const char *call, cudaError_t e)
{
    std::lock_guard<std::mutex> g(lock);

    if (!left || std::strncmp(call, wanted, std::strlen(wanted))) return cudaSuccess;
    if (before > 0) return before--, cudaSuccess;
    left--, failed++;
    return as ? as : e;
}

void cudasim_fail(const char *call, int after, int times)
{
    std::lock_guard<std::mutex> g(lock);

    std::strncpy(wanted, call, sizeof wanted - 1);
    before = after, left = times, failed = 0, as = cudaSuccess;
}

void cudasim_fail_with(cudaError_t e)
{
    std::lock_guard<std::mutex> g(lock);

    as = e;
}

int cudasim_failed(void)
{
    std::lock_guard<std::mutex> g(lock);

    return failed;
}

void cudasim_get_holdings(cudasim_holdings *to)
{
    *to = cudasim::holdings;
}
