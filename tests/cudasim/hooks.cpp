/*
 * hooks.cpp - what g++ -fsanitize=thread calls before every load and store of a kernel.
 *
 * Kernels are compiled with that option but linked with these functions instead of
 * ThreadSanitizer's own.
 */
#include "tests/cudasim/sim.hpp"

#define HOOK(name, bytes, write)                                                         \
    void __tsan_##name(void *p)                                                          \
    {                                                                                    \
        cudasim::access((byte *)p, bytes, write, __builtin_return_address(0));           \
    }
#define HOOKS(n)                                                                         \
    HOOK(read##n, n, false)                                                              \
    HOOK(write##n, n, true)                                                              \
    HOOK(unaligned_read##n, n, false)                                                    \
    HOOK(unaligned_write##n, n, true)                                                    \
    HOOK(volatile_read##n, n, false)                                                     \
    HOOK(volatile_write##n, n, true)

static void range(byte *p, size_t bytes, bool write, const void *pc)
{
    for (size_t i = 0; i < bytes; i++)
        cudasim::access(p + i, 1, write, pc);
}

extern "C" {

HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void __tsan_read_range(void *p, long bytes)
{
    range((byte *)p, (size_t)bytes, false, __builtin_return_address(0));
}

void __tsan_write_range(void *p, long bytes)
{
    range((byte *)p, (size_t)bytes, true, __builtin_return_address(0));
}

void __tsan_func_entry(void *) {}

void __tsan_func_exit(void *) {}

void __tsan_init(void) {}

/* Struct copies that the compiler leaves to the library come here too. */
void *__tsan_memcpy(void *to, const void *from, size_t bytes)
{
    range((byte *)from, bytes, false, __builtin_return_address(0));
    range((byte *)to, bytes, true, __builtin_return_address(0));
    return __builtin_memcpy(to, from, bytes);
}

void *__tsan_memset(void *to, int value, size_t bytes)
{
    range((byte *)to, bytes, true, __builtin_return_address(0));
    return __builtin_memset(to, value, bytes);
}
}
