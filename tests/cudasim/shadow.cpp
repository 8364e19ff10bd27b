/*
 * shadow.cpp - judges every load and store of a kernel.
 *
 * For each 4-byte word: which bytes are initialized, who wrote it last, who read it last, and one
 * who read it before from another block, else from another warp since the last barrier.  Two are
 * enough: a write is of another block, or warp, than one of two readers that differ in it.
 * Two accesses of one launch, one of them a write, race unless they are one thread's, or a
 * barrier of their block lies between them, or an operation of their warp.
 */
#include "tests/cudasim/sim.hpp"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>

extern "C" __attribute__((visibility("hidden"))) char __ehdr_start, _end;

namespace cudasim
{

namespace
{

struct access_record {
    uint32_t launch, block, barrier, warp; /* epochs: equal means nothing lay between */
    uint16_t thread, bytes;                /* bytes: a bit for each of the word */
    bool several;                          /* more threads of this warp read it at once */
};

struct word {
    access_record written, read, other;
};

/* One shadow for the heap and one for shared memory. */
struct shadow {
    word *words;
    byte *init; /* a bit for each byte of the word */
};

shadow device_shadow, shared_shadow;

void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) std::perror("cudasim: mmap"), std::abort();
    return p;
}

shadow &make(shadow &s, size_t bytes)
{
    if (!s.words) {
        s.words = (word *)reserve(bytes / 4 * sizeof(word));
        s.init = (byte *)reserve(bytes / 4);
    }
    return s;
}

shadow &of_heap()
{
    return make(device_shadow, HEAP_ROOM);
}

/* Calls f(word index, bits of its bytes) over a range. */
template <class F> void each_word(size_t offset, size_t bytes, F f)
{
    for (size_t w = offset / 4; bytes; w++) {
        size_t first = offset % 4, n = 4 - first < bytes ? 4 - first : bytes;

        f(w, (unsigned)(((1u << n) - 1) << first));
        offset += n, bytes -= n;
    }
}

bool ordered(const access_record &before, const access_record &now, bool shared)
{
    if (before.launch != now.launch) return true;
    if (before.block != now.block)
        return shared; /* shared memory is anew in each block */
    if (before.thread == now.thread && !before.several) return true;
    if (before.barrier != now.barrier) return true;
    return before.thread / 32 == now.thread / 32 && before.warp != now.warp &&
           !before.several;
}

void race(const access_record &before, const byte *p, bool was_write, bool write,
          bool shared, const void *pc)
{
    fault("%s: race on %s memory %p: thread %d of block %u %s what thread %d of block "
          "%u%s %s, "
          "no barrier between [%s]",
          kernel_name, shared ? "shared" : "device", (const void *)p, now.number,
          block_number, write ? "writes" : "reads", before.thread, before.block,
          before.several ? " and others" : "", was_write ? "wrote" : "read", where(pc));
}

/* Of one warp, with no barrier of the block between; its threads may differ. */
bool of_warp(const access_record &a, const access_record &b)
{
    return a.launch == b.launch && a.block == b.block && a.barrier == b.barrier && a.thread / 32 == b.thread / 32;
}

/* Nobody who may still write after it is ordered behind `before` by being ordered behind `now`. */
bool counts_beside(const access_record &before, const access_record &now, bool shared)
{
    if (before.launch != now.launch || of_warp(before, now)) return false;
    return before.block == now.block ? before.barrier == now.barrier : !shared;
}

void remember_reader(word *w, access_record now, bool shared)
{
    const access_record &last = w->read;
    unsigned both = last.bytes & now.bytes;
    bool other_block = w->other.launch == now.launch && w->other.block != now.block && !shared;

    if (both && of_warp(last, now) && last.warp == now.warp) {
        now.several = last.several || last.thread != now.thread;
        if (now.several) now.bytes = (uint16_t)both;
    }
    if (counts_beside(last, now, shared) && !(other_block && last.block == now.block)) w->other = last;
    w->read = now;
}

void judge(shadow &s, size_t offset, const byte *p, int bytes, bool write, bool shared,
           const void *pc)
{
    access_record now = { launch_number,
                          block_number,
                          barrier_number,
                          cudasim::now.epoch,
                          (uint16_t)cudasim::now.number,
                          0,
                          false };
    bool uninit = false;

    each_word(offset, (size_t)bytes, [&](size_t i, unsigned bits) {
        word &w = s.words[i];

        now.bytes = (uint16_t)bits;
        if (!write && (s.init[i] & bits) != bits) uninit = true;
        if ((w.written.bytes & bits) && !ordered(w.written, now, shared))
            race(w.written, p, true, write, shared, pc);
        for (const access_record *r : { &w.read, &w.other })
            if (write && (r->bytes & bits) && !ordered(*r, now, shared)) race(*r, p, false, write, shared, pc);
        s.init[i] |= (byte)bits;
        if (write) w.written = now;
        else remember_reader(&w, now, shared);
    });
    if (uninit)
        fault("%s: thread %d of block %u reads uninitialized %s memory at %p [%s]",
              kernel_name, cudasim::now.number, block_number,
              shared ? "shared" : "device", (const void *)p, where(pc));
}

bool inside(const allocation *a, const byte *p, int bytes)
{
    return a && a->live && p + bytes <= a->first + a->bytes;
}

void out_of_bounds(const byte *p, int bytes, bool write, const char *what, const void *pc)
{
    fault("%s: thread %d of block %u %s %d bytes at %p, %s [%s]", kernel_name, now.number,
          block_number, write ? "writes" : "reads", bytes, (const void *)p, what,
          where(pc));
}

void count(const byte *p, int bytes, bool write, const void *pc)
{
    (write ? stats.bytes_written : stats.bytes_read) += (uint64_t)bytes;
    stats.accesses++;
    if (counting_memory) count_memory(p, bytes, write, pc);
}

} // namespace

void access(byte *p, int bytes, bool write, const void *pc)
{
    if (!running() || on_own_stack(p)) return;
    if (work == CUDASIM_COUNT) {
        if (heap_holds(p)) count(p, bytes, write, pc);
        return;
    }
    if ((uintptr_t)p % (size_t)bytes)
        out_of_bounds(p, bytes, write, "which is not aligned", pc);
    if (shared_holds(p)) {
        if (!shared_find(p, (size_t)bytes))
            out_of_bounds(p, bytes, write, "outside its shared array", pc);
        else
            judge(make(shared_shadow, 2 * SHARED_BYTES), (size_t)(p - arena), p, bytes,
                  write, true, pc);
        return;
    }
    if (heap_holds(p)) {
        const allocation *a = heap_find(p);

        count(p, bytes, write, pc);
        if (inside(a, p, bytes))
            judge(of_heap(), heap_offset(p), p, bytes, write, false, pc);
        else
            out_of_bounds(p, bytes, write,
                          a && !a->live ? "in released memory" : "outside any allocation",
                          pc);
        return;
    }
    if (p >= (byte *)&__ehdr_start && p < (byte *)&_end)
        return; /* constants, arguments */
    if (mapped_holds(p, (size_t)bytes)) return;
    out_of_bounds(p, bytes, write, "which is the host's", pc);
}

void shared_forget(size_t offset, size_t bytes)
{
    shadow &s = make(shared_shadow, 2 * SHARED_BYTES);

    each_word(offset, bytes, [&](size_t i, unsigned bits) { s.init[i] &= (byte)~bits; });
}

void shadow_init(const void *p, size_t bytes)
{
    each_word(heap_offset(p), bytes,
              [](size_t i, unsigned bits) { of_heap().init[i] |= (byte)bits; });
}

bool shadow_is_init(const void *p, size_t bytes)
{
    bool all = true;

    if (work != CUDASIM_CHECK) return true;
    each_word(heap_offset(p), bytes, [&](size_t i, unsigned bits) {
        all = all && (of_heap().init[i] & bits) == bits;
    });
    return all;
}

} // namespace cudasim

using namespace cudasim;

static bool in_range(const void *p, size_t bytes, const char *who, const char *does)
{
    const allocation *a = heap_holds(p) ? heap_find(p) : NULL;

    if (!bytes || (a && a->live && (const byte *)p + bytes <= a->first + a->bytes))
        return true;
    fault("%s %s %zu bytes at %p, outside any live allocation", who, does, bytes, p);
    return false;
}

void cudasim_reads(const void *p, size_t bytes, const char *who)
{
    stats.call_bytes += bytes;
    if (in_range(p, bytes, who, "reads") && !shadow_is_init(p, bytes))
        fault("%s reads uninitialized device memory within %zu bytes at %p", who, bytes,
              p);
}

void cudasim_writes(const void *p, size_t bytes, const char *who)
{
    stats.call_bytes += bytes;
    if (in_range(p, bytes, who, "writes")) shadow_init(p, bytes);
}

void cudasim_multiplies(double multiplications)
{
    stats.flops += 2 * multiplications;
}
