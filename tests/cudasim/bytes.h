/*
 * bytes.h - what a kernel's memory moves, as the simulator counts it, against the least it could.
 *
 *     COST(gelu, t, 2 * each, 15, NULL, &two, ON(a), false, ON(y));
 *
 * runs the slot for dtype t on CUDA.  The least is in bytes: every operand once; where a kernel can't do
 * with that, its second reading is part of the least and the text says why.  A tenth more is allowed, for
 * all.  Then how many bytes an access moves, at least: a GPU's threads move 16 at most.  Of nvcc's own code, too,
 * which may keep in registers what the source reads again.
 */
#ifndef TP_TESTS_CUDASIM_BYTES_H
#define TP_TESTS_CUDASIM_BYTES_H

#include "tests/cudasim/cudasim.h"
#include "tests/cudasim/slots.h"

static void (*get_stats)(cudasim_stats *);

static inline void open_counted(void)
{
    const char *file = getenv("TAPER_CUDA_LIBRARY");
    void (*count_memory)(bool);
    void *library;

    open_machines();
    library = dlopen(file ? file : "libtaper_cuda.so", RTLD_NOW | RTLD_LOCAL);
    *(void **)&get_stats = dlsym(library, "cudasim_get_stats");
    *(void **)&count_memory = dlsym(library, "cudasim_count_memory");
    if (!get_stats || !count_memory) cr_skip_test("a GPU doesn't count bytes");
    count_memory(true);
}

static inline void judge(const char *slot, tp_dtype t, double least, double width,
                         const char *why, cudasim_stats is)
{
    double moved = (double)(is.memory_read + is.memory_written),
           at_once = moved / (double)is.memory_accesses;

    printf("%-18s %-5s %9.0f %9.0f %5.2f  %5.1f >= %4.1f  %s\n", slot, dtype_names[t],
           least, moved, moved / least, at_once, width, why ? why : "");
    cr_expect(moved <= 1.1 * least, "%s, %s: moves %.2f times the least", slot,
              dtype_names[t], moved / least);
    cr_expect(moved >= 0.99 * least || (why && getenv("CUDASIM_PTX")), "%s, %s: %.2f: the least is wrong", slot,
              dtype_names[t], moved / least);
    cr_expect(at_once >= width, "%s, %s: %.1f bytes at once", slot, dtype_names[t],
              at_once);
}

#define COST_OF(name, run, t, least, width, why, ...)                                    \
    do {                                                                                 \
        tp_ctx *c_ = &ctx[CUDA];                                                         \
        cudasim_stats from_, to_;                                                        \
                                                                                         \
        get_stats(&from_);                                                               \
        cr_expect(!(run)[t](c_, __VA_ARGS__) && !c_->backend->wait(c_), "%s",            \
                  c_->error);                                                            \
        get_stats(&to_);                                                                 \
        judge(name, t, (double)(least), width, why, cudasim_between(from_, to_));        \
    } while (0)
#define COST(slot, ...) COST_OF(#slot, ctx[CUDA].backend->slot, __VA_ARGS__)

#define ON(b) ((b).at[CUDA])

static const tp_dtype kinds[] = { TP_F32, TP_BF16 };

static inline double bytes_of(int64_t n, tp_dtype t)
{
    return (double)n * (double)dtype_size[t];
}

#endif
