/*
 * traffic.cpp - what the loads and stores of a launch are to a GPU's memory.
 *
 * Threads that reach one place by one instruction ask for it at about the same time, and a cache gives
 * it to all of them: the first counts, in whatever blocks the others are.  A kernel that goes over a
 * tensor once more finds its beginning gone from the cache.  It is told by any of
 *     another instruction,
 *     a thread that comes back to the place by the same one: its n-th visit meets only n-th visits,
 *     barriers: the block has passed more of them, as between sums and results.
 * So what is read once more soon after, and a cache might keep, counts too.
 */
#include "tests/cudasim/sim.hpp"

#include <unordered_map>
#include <unordered_set>

namespace cudasim
{

bool counting_memory;

namespace
{

/* An access; `who` is a thread of the block, or a count of visits and one of barriers. */
struct key {
    const void *pc;
    const byte *p;
    uint64_t who;

    bool operator==(const key &k) const { return pc == k.pc && p == k.p && who == k.who; }
};

struct hash {
    size_t operator()(const key &k) const
    {
        uint64_t h = (uint64_t)k.pc * 0x9E3779B97F4A7C15u ^ k.who;

        h = (h ^ h >> 29) * 0xBF58476D1CE4E5B9u ^ (uint64_t)k.p;
        return (size_t)((h ^ h >> 32) * 0x94D049BB133111EBu >> 8);
    }
};

std::unordered_map<key, uint32_t, hash> visits; /* of this block's threads */
std::unordered_set<key, hash> seen;             /* in this launch */
uint32_t launch_of, block_of;                   /* that these two are about */

void forget_the_last()
{
    if (launch_of != launch_number) seen.clear();
    if (launch_of != launch_number || block_of != block_number) visits.clear();
    launch_of = launch_number, block_of = block_number;
}

} // namespace

void count_memory(const byte *p, int bytes, bool write, const void *pc)
{
    forget_the_last();
    uint64_t lap = visits[{ pc, p, (uint64_t)now.number }]++;

    if (!seen.insert({ pc, p, lap << 32 | barrier_number }).second) return;
    (write ? stats.memory_written : stats.memory_read) += (uint64_t)bytes;
    stats.memory_accesses++;
}

} // namespace cudasim

using namespace cudasim;

void cudasim_count_memory(bool on)
{
    counting_memory = on;
}

/* Few, so that small tests reach the loops of kernels that stride over a large space.  While memory is
 * counted, as many as on a GPU: what a thread reads again in the next lap is read by the next block there. */
int64_t cudasim_most_blocks(void)
{
    return counting_memory ? 1 << 20 : 5;
}
