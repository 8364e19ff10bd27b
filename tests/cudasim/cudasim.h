/*
 * cudasim.h - what tests and stand-in libraries ask of the simulator.
 *
 * A fault that it finds is printed and counted, and the next wait for the device fails with
 * cudaErrorLaunchFailure: a test that checks its statuses fails without asking here.
 */
#ifndef CUDASIM_H
#define CUDASIM_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CUDASIM_API __attribute__((visibility("default")))

typedef struct cudasim_stats {
    uint64_t launches, replays, blocks, threads, copies, waits, allocations;
    uint64_t bytes_read, bytes_written, accesses; /* by threads of kernels, in device memory */
    uint64_t memory_read, memory_written, memory_accesses; /* of these, what isn't a cache's work */
    uint64_t calls, call_bytes;         /* of libraries, and what their operands hold */
    double flops;                       /* of products, by libraries and tensor cores */
} cudasim_stats;

/* What was counted between two times. */
static inline cudasim_stats cudasim_between(cudasim_stats from, cudasim_stats to)
{
    to.launches -= from.launches, to.replays -= from.replays, to.blocks -= from.blocks, to.threads -= from.threads;
    to.copies -= from.copies, to.waits -= from.waits, to.allocations -= from.allocations;
    to.bytes_read -= from.bytes_read, to.bytes_written -= from.bytes_written, to.accesses -= from.accesses;
    to.memory_read -= from.memory_read, to.memory_written -= from.memory_written;
    to.memory_accesses -= from.memory_accesses;
    to.calls -= from.calls, to.call_bytes -= from.call_bytes, to.flops -= from.flops;
    return to;
}

/* What a lane gives in one operation of its warp. */
typedef struct cudasim_words {
    uint64_t of[3];
} cudasim_words;

CUDASIM_API int cudasim_faults(void);             /* since the last clear */
CUDASIM_API const char *cudasim_last_fault(void); /* its text */
CUDASIM_API void cudasim_clear(void);
CUDASIM_API void cudasim_get_stats(cudasim_stats *to);

/* One kernel, in all its dtypes. */
typedef struct cudasim_kernel {
    const char *name; /* as its launcher writes it */
    uint64_t launches, bytes; /* that ran, read and written */
} cudasim_kernel;
/* Those that ran since this was called last, the most bytes first; how many of at most `room`. */
CUDASIM_API int cudasim_take_kernels(cudasim_kernel *to, int room);

/* Whether `memory_...` is counted, which takes time: within a launch an access counts once for each place,
 * instruction, number of earlier visits of the place by the thread with that instruction, and number of
 * barriers before it.  So a number that all threads read counts once, and a second pass over a tensor
 * again.  Grids are as large then as on a GPU, else a few blocks. */
CUDASIM_API void cudasim_count_memory(bool on);

/* How threads, blocks and ready streams take turns: forward, reverse, random:SEED; also by
 * CUDASIM_ORDER in the environment. */
CUDASIM_API void cudasim_set_order(const char *order);

/* What is done with kernels and libraries' calls whose turn has come.  COUNT and SKIP are for counting
 * what data doesn't change: COUNT judges nothing, SKIP runs nothing. */
enum { CUDASIM_CHECK, CUDASIM_COUNT, CUDASIM_SKIP };
CUDASIM_API void cudasim_set_work(int how);

/* ---- for stand-in libraries: work that runs late, on a stream ---- */

typedef void cudasim_work(void *argument);

/* Copies the argument; `run` is called in device mode when the stream gets there. */
CUDASIM_API cudaError_t cudasim_enqueue(cudaStream_t stream, cudasim_work *run,
                                        const void *argument, size_t bytes);
/* The calling thread's device, which a library's handle is for; a fault where it isn't `wanted`. */
CUDASIM_API int cudasim_device(void);
CUDASIM_API void cudasim_on_device(int wanted, const char *who);
/* Within such work: is the range inside one live allocation, and initialized? */
CUDASIM_API void cudasim_reads(const void *p, size_t bytes, const char *who);
CUDASIM_API void cudasim_writes(const void *p, size_t bytes, const char *who);
/* A multiplication and an addition each. */
CUDASIM_API void cudasim_multiplies(double multiplications);

#ifdef __cplusplus
}
#endif

#endif
