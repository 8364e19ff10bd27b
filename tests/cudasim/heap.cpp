/*
 * heap.cpp - device memory: one reserved region that the host can't touch.
 *
 * Every allocation lies between guard zones, is never used again after its release, and
 * begins as 0xFF, a NaN in every float.
 */
#include "tests/cudasim/sim.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <execinfo.h>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

namespace cudasim
{

byte *heap_base;

namespace
{

/* Opened and closed at every wait, and that takes the kernel a step for each page: huge ones. */
const size_t PAGE = (size_t)2 << 20;
const byte GUARD = 0xA5, FRESH = 0xFF, DEAD = 0xDD;

byte *top; /* heap_base <= what was ever allocated < top */
std::map<const byte *, allocation> all; /* for reports, those that were released too */
std::map<const byte *, const allocation *> live;
int allocations;
bool device;
struct sigaction before;

byte *page_of(byte *p)
{
    return (byte *)((uintptr_t)p & ~(PAGE - 1));
}

/* Of whole pages: a part would break a huge one up. */
void protect(byte *first, byte *end, int how)
{
    if (end > first)
        mprotect(page_of(first), (size_t)(page_of(end - 1) + PAGE - page_of(first)), how);
}

/* The pages of one range, open while this lives: far cheaper than all of the heap. */
struct window {
    byte *first, *end;

    window(byte *from, byte *to) : first(from), end(to)
    {
        protect(first, end, PROT_READ | PROT_WRITE);
    }
    ~window()
    {
        if (!device) protect(first, end, PROT_NONE);
    }
};

int describe(char *text, size_t room, const byte *p)
{
    const allocation *a = heap_find(p);

    if (!a) return std::snprintf(text, room, "%p", (const void *)p);
    return std::snprintf(text, room, "%p (offset %td of allocation %d, %zu bytes%s)",
                         (const void *)p, p - a->first, a->id, a->bytes,
                         a->live ? "" : ", released");
}

/* Host code that touches device memory ends here; other faults go where they went before. */
void on_fault(int number, siginfo_t *info, void *)
{
    char text[400];
    void *calls[32];
    int n;

    if (!heap_holds(info->si_addr)) {
        sigaction(number, &before, NULL); /* and the access is tried again */
        return;
    }
    n = std::snprintf(text, sizeof text, "cudasim: %s code touched device memory at ",
                      device ? "device" : "host");
    n += describe(text + n, sizeof text - (size_t)n - 1, (const byte *)info->si_addr);
    text[n++] = '\n';
    if (write(2, text, (size_t)n) < 0) _exit(97);
    backtrace_symbols_fd(calls, backtrace(calls, 32), 2);
    _exit(97);
}

void start()
{
    void *wanted = (void *)0x7d0000000000;
    struct sigaction action = {};

    heap_base = top = (byte *)mmap(wanted, HEAP_ROOM, PROT_NONE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (heap_base == MAP_FAILED) std::perror("cudasim: mmap"), std::abort();
    madvise(heap_base, HEAP_ROOM, MADV_HUGEPAGE);
    action.sa_sigaction = on_fault, action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &before);
}

size_t padded(size_t bytes)
{
    return (bytes + HEAP_GUARD - 1) / HEAP_GUARD * HEAP_GUARD;
}

/* The first byte of a zone that was overwritten, or NULL. */
const byte *broken(const byte *zone, const byte *end)
{
    for (; zone < end; zone++)
        if (*zone != GUARD) return zone;
    return NULL;
}

void check(const allocation &a, const char *when)
{
    byte *end = a.first + padded(a.bytes) + HEAP_GUARD;
    const byte *low = broken(a.first - HEAP_GUARD, a.first);
    const byte *high = broken(a.first + a.bytes, end);
    const byte *bad = low ? low : high;

    if (!bad) return;
    fault("overwritten guard at offset %td of allocation %d of %zu bytes, seen at %s",
          bad - a.first, a.id, a.bytes, when);
    std::memset(a.first - HEAP_GUARD, GUARD, HEAP_GUARD);
    std::memset(a.first + a.bytes, GUARD, (size_t)(end - a.first) - a.bytes);
}

/* What was released: whole pages go back and read as zeros. */
void bury(byte *first, byte *end)
{
    byte *from = page_of(first + PAGE - 1), *to = page_of(end);

    if (from >= to) {
        std::memset(first, DEAD, (size_t)(end - first));
        return;
    }
    std::memset(first, DEAD, (size_t)(from - first));
    madvise(from, (size_t)(to - from), MADV_DONTNEED);
    std::memset(to, DEAD, (size_t)(end - to));
}

} // namespace

device_mode::device_mode() : outer(device)
{
    if (!outer) protect(heap_base, top, PROT_READ | PROT_WRITE);
    device = true;
}

device_mode::~device_mode()
{
    if (!outer) protect(heap_base, top, PROT_NONE);
    device = outer;
}

host_mode::host_mode()
{
    protect(heap_base, top, PROT_NONE), device = false;
}

host_mode::~host_mode()
{
    protect(heap_base, top, PROT_READ | PROT_WRITE), device = true;
}

void *heap_alloc(size_t bytes)
{
    if (!heap_base) start();
    if (bytes > HEAP_ROOM / 2 ||
        (size_t)(top - heap_base) + padded(bytes) + 2 * HEAP_GUARD > HEAP_ROOM)
        return NULL;
    byte *first = top + HEAP_GUARD;
    top = first + padded(bytes) + HEAP_GUARD;
    window w(first - HEAP_GUARD, top);
    std::memset(first - HEAP_GUARD, GUARD, HEAP_GUARD);
    std::memset(first, FRESH, bytes);
    std::memset(first + bytes, GUARD, padded(bytes) - bytes + HEAP_GUARD);
    all[first] = { first, bytes, true, ++allocations }, live[first] = &all[first];
    holdings.bytes += bytes, stats.allocations++;
    return first;
}

bool heap_free(void *p)
{
    auto a = all.find((const byte *)p);

    if (a == all.end() || !a->second.live) {
        fault("release of %p, which %s", p,
              a == all.end() ? "was never given" : "was released");
        return false;
    }
    byte *first = a->second.first;
    window w(first - HEAP_GUARD, first + padded(a->second.bytes) + HEAP_GUARD);
    check(a->second, "its release");
    a->second.live = false, live.erase(first), holdings.bytes -= a->second.bytes;
    bury(first, first + a->second.bytes);
    return true;
}

const allocation *heap_find(const void *p)
{
    static const allocation *last; /* map nodes stay where they are */

    if (last && (const byte *)p >= last->first &&
        (const byte *)p < last->first + last->bytes)
        return last;
    auto after = all.upper_bound((const byte *)p);
    return after == all.begin() ? NULL : (last = &(--after)->second);
}

void heap_check_guards(const char *when)
{
    device_mode d;

    for (auto &a : live)
        check(*a.second, when);
}

size_t heap_offset(const void *p)
{
    return (size_t)((const byte *)p - heap_base);
}

} // namespace cudasim
