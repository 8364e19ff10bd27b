/*
 * table.c - the CPU as a backend: its memory, and the table of kernels of one instruction
 * set.  Compiled once per level, and gives tp_cpu_backend_base, _v3, _v4.
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/levels.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int count(char *why, size_t room)
{
    (void)why, (void)room;
    return 1;
}

static int open(tp_ctx *c)
{
    c->stream = c->handles = NULL;
    return 0;
}

static void close(tp_ctx *c)
{
    (void)c;
}

enum { HUGE_PAGE = 2 << 20 };

static void *alloc(tp_ctx *c, size_t bytes)
{
    size_t unit = bytes < HUGE_PAGE ? 64 : HUGE_PAGE;
    void *p;

    (void)c;
    if (bytes > SIZE_MAX - unit) return NULL;
    bytes = (bytes + unit - 1) & ~(unit - 1); /* aligned_alloc wants a multiple */
    p = aligned_alloc(unit, bytes ? bytes : unit);
    if (p && unit == HUGE_PAGE) madvise(p, bytes, MADV_HUGEPAGE); /* fewer faults; a wish */
    return p;
}

static void release(tp_ctx *c, void *ptr, size_t bytes)
{
    (void)c, (void)bytes;
    free(ptr);
}

static int upload(tp_ctx *c, void *dst, const void *host, size_t bytes)
{
    (void)c;
    if (bytes) memcpy(dst, host, bytes);
    return 0;
}

static int download(tp_ctx *c, void *host, const void *src, size_t bytes)
{
    return upload(c, host, src, bytes);
}

static int wait(tp_ctx *c)
{
    (void)c;
    return 0;
}

#define TEXT2(x) #x
#define TEXT(x)  TEXT2(x)

static const char *describe(tp_ctx *c)
{
    return tp__cpu_describe(c, TEXT(TP_LEVEL));
}

#define TP__ENTRY(name, dtype, index) [index] = TP__CPU(name, dtype),
#define TP_KERNEL(name, dtypes, args)                                                    \
    static tp__fn_##name *const name##_slots[TP_DTYPES] = { TP_SET_##dtypes(TP__ENTRY,   \
                                                                            name) };
#include "kernels/kernels.def"
#undef TP_KERNEL

const tp_backend TP__JOIN(tp_cpu_backend_, TP_LEVEL) = {
    .name = "cpu",
    .version = TP_BACKEND_VERSION,
    .bytes = sizeof(tp_backend),
    .count = count,
    .open = open,
    .close = close,
    .alloc = alloc,
    .release = release,
    .upload = upload,
    .download = download,
    .wait = wait,
    .describe = describe,
#define TP_KERNEL(name, dtypes, args) .name = name##_slots,
#include "kernels/kernels.def"
#undef TP_KERNEL
};
