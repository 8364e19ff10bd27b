/*
 * test_traffic.c - the simulator's count of what memory moves, of kernels where it is plain.
 */
#include "tests/cudasim/cudasim.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <string.h>

enum { N = 4096, WARP = 32, BYTES = sizeof(float) };

static const struct {
    const char *name;
    int64_t numbers;
} kernels[] = {
    { "each number once, and one for all", 2 * N + 1 },
    { "a row for all blocks", 2 * N + WARP },
    { "twice by two instructions", 3 * N },
    { "twice by one instruction", 3 * N },
    { "twice by one function, and y three times", 5 * N },
};

static const char *const orders[] = { "forward", "reverse", "random:1" };

typedef int64_t bytes_moved(int which);
typedef void count_memory(bool on);
typedef void set_order(const char *);

static void *symbol(const char *name)
{
    void *library = dlopen(CUDASIM_TRAFFIC, RTLD_NOW | RTLD_LOCAL);
    void *p = library ? dlsym(library, name) : NULL;

    cr_assert(p, "%s", dlerror());
    return p;
}

Test(traffic, counts)
{
    void *m = symbol("bytes_moved"), *c = symbol("cudasim_count_memory"),
         *s = symbol("cudasim_set_order");
    bytes_moved *moved;
    count_memory *count;
    set_order *set;

    memcpy(&moved, &m, sizeof m), memcpy(&count, &c, sizeof c),
        memcpy(&set, &s, sizeof s);
    cr_expect_eq(moved(0), 0, "it isn't counted unless asked for");
    count(true);
    for (int i = 0; i < 15; i++) {
        set(orders[i % 3]);
        int64_t bytes = moved(i / 3);

        cr_expect_eq(bytes, BYTES * kernels[i / 3].numbers, "%s, %s: %lld numbers",
                     kernels[i / 3].name, orders[i % 3], (long long)bytes / BYTES);
    }
}
