/*
 * sim.hpp - what the parts of the simulator share.
 */
#ifndef CUDASIM_SIM_HPP
#define CUDASIM_SIM_HPP

#include "tests/cudasim/trouble.h"

#include <cstddef>
#include <cstdint>
#include <vector>

typedef unsigned char byte;

namespace cudasim
{

/* ---- report.cpp ---- */
extern cudasim_stats stats;
extern int work; /* CUDASIM_CHECK and its kin */
void note_kernel(const char *name, uint64_t bytes); /* of a launch that has run */
void fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool fault_pending(); /* the next wait fails, */
void fault_told();    /* and no other */
const char *where(const void *pc);

/* 0 .. n - 1 in the order that the environment asks for. */
const std::vector<int> &turns(int n);

/* ---- fail.cpp ---- */
extern cudasim_holdings holdings;
cudaError_t trouble(const char *call, cudaError_t e); /* e, or cudaSuccess: it needn't fail */

/* ---- heap.cpp: device memory ---- */
struct allocation {
    byte *first;
    size_t bytes;
    bool live;
    int id;
};

extern byte *heap_base;
static const size_t HEAP_ROOM = (size_t)16 << 30;

/* Device memory, allocated or not. */
inline bool heap_holds(const void *p)
{
    return heap_base && (size_t)((const byte *)p - heap_base) < HEAP_ROOM;
}

/* Device memory can be touched while one of these lives, and at no other time. */
struct device_mode {
    device_mode();
    ~device_mode();
    bool outer;
};
struct host_mode { /* within device_mode */
    host_mode();
    ~host_mode();
};

void *heap_alloc(size_t bytes); /* NULL: out of memory */
bool heap_free(void *p);
const allocation *heap_find(const void *p); /* the one at or just before p */
void heap_check_guards(const char *when);
size_t heap_offset(const void *p); /* index into shadows */

/* ---- runtime.cpp ---- */
extern int capability; /* of the device: 80 is 8.0; CUDASIM_SM overrides it */
bool mapped_holds(const byte *p, size_t bytes); /* host memory that kernels may touch */

/* ---- shadow.cpp: what is known of each word ---- */
void shared_forget(size_t offset, size_t bytes); /* a new block: uninitialized again */
void shadow_init(const void *p, size_t bytes);
bool shadow_is_init(const void *p, size_t bytes);
void access(byte *p, int bytes, bool write, const void *pc); /* by the running thread */

/* ---- traffic.cpp: of a kernel's accesses, those that reach memory ---- */
extern bool counting_memory;
void count_memory(const byte *p, int bytes, bool write, const void *pc);

/* ---- block.cpp: the block that runs ---- */
struct shared_array {
    const void *place;
    byte *first;
    size_t bytes;
};

extern const char *kernel_name;
extern uint32_t launch_number, block_number;
extern uint32_t barrier_number; /* barriers that this block has passed */

/* The device thread that runs, if this thread of the host runs any: host code of .cu files calls the hooks,
 * too, while another thread waits for the device. */
struct runner {
    int number;        /* in its block */
    uint32_t epoch;    /* warp operations so far */
    const byte *stack; /* its lowest address; NULL: none runs */
};
extern __thread runner now __attribute__((tls_model("initial-exec")));
extern byte *arena; /* of shared memory */

enum {
    SHARED_BYTES = 227 << 10,
    HEAP_GUARD = 256,
    STACK = 64 << 10,
    PARAMETERS = 32764 /* bytes of a kernel's, since CUDA 12.1 */
};

inline bool running()
{
    return now.stack != NULL;
}

inline int lane_number()
{
    return now.number % 32;
}

inline bool on_own_stack(const byte *p)
{
    return (size_t)(p - now.stack) < STACK;
}

inline bool shared_holds(const byte *p)
{
    return arena && (size_t)(p - arena) < 2 * SHARED_BYTES;
}

const shared_array *shared_find(const byte *p,
                                size_t bytes); /* the array that holds it */
void run_grid(const char *name, cudasim_work *run, void *call, size_t bytes, dim3 grid,
              dim3 block);

typedef cudasim_words words;

} // namespace cudasim

extern "C" {
const cudasim_words *cudasim_exchange(unsigned mask, cudasim_words value,
                                      unsigned *present);
void cudasim_absent_lane(int lane);
int64_t cudasim_most_blocks(void);
}

#endif
