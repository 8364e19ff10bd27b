/*
 * report.cpp - faults, counters, and the order in which things take turns.
 */
#include "tests/cudasim/settings.h"
#include "tests/cudasim/sim.hpp"

#include <algorithm>
#include <cctype>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <string>

namespace cudasim
{

cudasim_stats stats;
int work;

namespace
{

enum { PRINTED = 8 };

int faults;
bool pending;
char last[400];

enum { FORWARD, REVERSE, RANDOM } order;
uint64_t seed = 1;
bool order_read; /* from the environment */

uint64_t next_random()
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 33;
}

void set_order(const char *text)
{
    char *end = NULL;

    order_read = true, seed = 1;
    if (!std::strcmp(text, "forward"))
        order = FORWARD;
    else if (!std::strcmp(text, "reverse"))
        order = REVERSE;
    else if (!std::strcmp(text, "random"))
        order = RANDOM;
    else {
        order = RANDOM;
        if (!std::strncmp(text, "random:", 7) && std::isdigit((unsigned char)text[7]))
            seed = std::strtoull(text + 7, &end, 10) * 2654435761u + 1;
        if (!end || *end) cudasim_refuse("CUDASIM_ORDER", text, "forward, reverse or random:SEED");
    }
}

std::map<std::string, cudasim_kernel> kernels;

} // namespace

void note_kernel(const char *name, uint64_t bytes)
{
    cudasim_kernel &k = kernels[name];

    k.name = name, k.launches++, k.bytes += bytes;
}

void fault(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    std::vsnprintf(last, sizeof last, fmt, args);
    va_end(args);
    pending = true;
    if (faults++ < PRINTED) std::fprintf(stderr, "cudasim: %s\n", last);
    if (cudasim_setting("CUDASIM_ABORT", 1, 1, 0)) std::abort(); /* for a debugger */
}

bool fault_pending()
{
    return pending;
}

void fault_told()
{
    pending = false;
}

/* library+offset: what addr2line takes. */
const char *where(const void *pc)
{
    static char text[300];
    Dl_info info;

    if (!dladdr(pc, &info)) return "?";
    const char *file = std::strrchr(info.dli_fname, '/');
    std::snprintf(text, sizeof text, "%s+%#zx", file ? file + 1 : info.dli_fname,
                  (size_t)((const byte *)pc - (const byte *)info.dli_fbase) - 1);
    return text;
}

const std::vector<int> &turns(int n)
{
    static std::vector<int> all;
    const char *wanted = order_read ? NULL : std::getenv("CUDASIM_ORDER");

    if (!order_read) set_order(wanted ? wanted : "forward");
    all.resize((size_t)n);
    for (int i = 0; i < n; i++)
        all[(size_t)i] = order == REVERSE ? n - 1 - i : i;
    for (int i = n - 1; order == RANDOM && i > 0; i--)
        std::swap(all[(size_t)i], all[next_random() % (size_t)(i + 1)]);
    return all;
}

} // namespace cudasim

using namespace cudasim;

int cudasim_faults(void)
{
    return faults;
}

const char *cudasim_last_fault(void)
{
    return faults ? last : "";
}

void cudasim_clear(void)
{
    faults = 0, pending = false, last[0] = 0;
}

void cudasim_get_stats(cudasim_stats *to)
{
    *to = stats;
}

int cudasim_take_kernels(cudasim_kernel *to, int room)
{
    std::vector<cudasim_kernel> all;
    int n;

    for (auto &k : kernels)
        all.push_back(k.second);
    kernels.clear();
    std::sort(all.begin(), all.end(), [](auto &a, auto &b) { return a.bytes > b.bytes; });
    n = (int)std::min(all.size(), (size_t)room);
    std::copy_n(all.begin(), n, to);
    return n;
}

void cudasim_set_work(int how)
{
    work = how;
}

void cudasim_set_order(const char *text)
{
    set_order(text);
}
