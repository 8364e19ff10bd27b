/*
 * block.cpp - runs a grid: block after block, the threads of a block as fibers.
 *
 * A fiber runs until its thread ends or waits, at a barrier of the block or an operation of
 * its warp.  When every thread waits or has ended the barrier opens.  A fiber whose thread
 * has ended takes the next thread, so a kernel without barriers needs one.
 */
#include "tests/cudasim/sim.hpp"

#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#ifndef __x86_64__
#error "cudasim switches stacks in x86-64 assembly: add this processor's"
#endif

/* Saves the callee-saved registers on this stack, and goes on with those on the other. */
extern "C" void cudasim_switch(void **save, void *to);
asm(".text\n"
    ".globl cudasim_switch\n"
    ".hidden cudasim_switch\n"
    ".type cudasim_switch,@function\n"
    "cudasim_switch:\n"
    "    push %rbp\n    push %rbx\n    push %r12\n    push %r13\n    push %r14\n    push "
    "%r15\n"
    "    mov %rsp,(%rdi)\n"
    "    mov %rsi,%rsp\n"
    "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbx\n    pop %rbp\n"
    "    ret\n"
    ".size cudasim_switch,.-cudasim_switch\n");

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cudasim
{

const char *kernel_name = "?";
uint32_t launch_number, block_number, barrier_number;
__thread runner now;
byte *arena;

namespace
{

enum { MAX_THREADS = 1024, PAGE = 4096, ARRAYS = 64 };

enum state { FRESH, READY, RUNS, AT_BARRIER, IN_WARP, DONE };

struct stack {
    void *pointer;   /* while another one runs */
    const void *low; /* its lowest address */
    size_t bytes;    /* a fiber's has this struct at its end */
    void *account; /* AddressSanitizer's, while another one runs */
};

struct thread {
    state is;
    int number, line; /* line: of the barrier it waits at */
    unsigned mask;    /* of the warp operation it waits in */
    unsigned present; /* the lanes that it met there */
    uint32_t epoch;   /* warp operations that it has passed */
    uint3 index;
    stack *on;
};

/* A lane that goes on reads `met` before its warp's next operation opens, and may give its
 * value to that one before the others have read. */
struct warp {
    words given[32], met[32];
};

thread threads[MAX_THREADS];
warp warps[MAX_THREADS / 32];
std::vector<stack *> idle;
thread *current;
int count; /* threads of the block */
stack scheduler; /* of the host's thread that waits */
cudasim_work *body;
alignas(16) byte arguments[1 << 16];

shared_array arrays[ARRAYS];
int n_arrays;
size_t arena_top;

/* ---- fibers ---- */

/* AddressSanitizer hears of each switch: before it on the old stack, after it on the new one. */
void leave(stack *from, const stack *to)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->account, to->low, to->bytes);
#else
    (void)from, (void)to;
#endif
}

void arrive(const stack *at, stack *from)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(at->account, &from->low, &from->bytes);
#else
    (void)at, (void)from;
#endif
}

void go(stack *from, stack *to)
{
    leave(from, to);
    cudasim_switch(&from->pointer, to->pointer);
    arrive(from, to);
}

void park()
{
    go(current->on, &scheduler);
}

void fiber_main()
{
    arrive(current->on, &scheduler);
    for (;;) {
        body(arguments);
        current->is = DONE;
        park();
    }
}

stack *new_fiber()
{
    byte *m = (byte *)mmap(NULL, STACK + PAGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    stack *f = (stack *)(m + PAGE + STACK) - 1;
    void **s = (void **)f - 2;

    static_assert(sizeof *f % 16 == 0, "what lies below it is as aligned");
    mprotect(m, PAGE, PROT_NONE); /* an overflow faults */
    *--s = NULL;               /* fiber_main never returns */
    *--s = (void *)fiber_main; /* where cudasim_switch goes */
    s -= 6;                    /* its registers */
    std::memset(s, 0, 6 * sizeof *s);
    *f = { s, m + PAGE, STACK, NULL };
    return f;
}

void run(thread *t)
{
    current = t, threadIdx = t->index;
    if (t->is == FRESH) {
        if (idle.empty()) idle.push_back(new_fiber());
        t->on = idle.back(), idle.pop_back();
    }
    t->is = RUNS;
    now = { t->number, t->epoch, (const byte *)t->on->low };
    go(&scheduler, t->on);
    if (t->is == DONE) idle.push_back(t->on), t->on = NULL;
    current = NULL, now.stack = NULL;
}

/* ---- waiting ---- */

/* Lets those lanes go whose whole mask has come.  Lanes that have ended don't count. */
bool open_warp(int w)
{
    thread *lane = threads + 32 * w;
    int lanes = count - 32 * w < 32 ? count - 32 * w : 32;
    unsigned waiting = 0, alive = 0, open = 0;

    for (int i = 0; i < lanes; i++) {
        if (lane[i].is == IN_WARP) waiting |= 1u << i;
        if (lane[i].is != DONE) alive |= 1u << i;
    }
    for (int i = 0; i < lanes; i++)
        if (waiting >> i & 1 && !(lane[i].mask & alive & ~waiting)) open |= 1u << i;
    for (int i = 0; i < lanes; i++) {
        if (!(open >> i & 1)) continue;
        if (!(lane[i].mask >> i & 1))
            fault("%s: lane %d isn't in its own mask %#x", kernel_name, i, lane[i].mask);
        warps[w].met[i] = warps[w].given[i];
        lane[i].present = lane[i].mask & open, lane[i].is = READY;
    }
    return open != 0;
}

/* Every thread waits or has ended. */
void open_barrier()
{
    int line = 0;
    bool differ = false;

    for (int i = 0; i < count; i++) {
        if (threads[i].is != AT_BARRIER) continue;
        if (line && threads[i].line != line) differ = true;
        line = threads[i].line;
        threads[i].is = READY;
    }
    if (differ)
        fault("%s: block %u waits in different __syncthreads, one of them of line %d",
              kernel_name, block_number, line);
    barrier_number++;
}

/* Threads that will never go on are left behind with their stacks. */
void give_up()
{
    fault(
        "%s: block %u is stuck: lanes wait for others that wait in __syncthreads or have "
        "ended",
        kernel_name, block_number);
    for (int i = 0; i < count; i++)
        threads[i].is = DONE;
}

int how_many(state s)
{
    int n = 0;

    for (int i = 0; i < count; i++)
        n += threads[i].is == s;
    return n;
}

void run_block(dim3 block)
{
    std::vector<int> order = turns(count); /* a copy: the next block has its own */

    n_arrays = 0, arena_top = 0, barrier_number = 0;
    for (int i = 0; i < count; i++) {
        unsigned u = (unsigned)i;
        uint3 index = { u % block.x, u / block.x % block.y, u / block.x / block.y };

        threads[i] = { FRESH, i, 0, 0, 0, 0, index, NULL };
    }
    while (how_many(DONE) < count) {
        bool moved = false;

        for (int i : order)
            if (threads[i].is == FRESH || threads[i].is == READY)
                run(&threads[i]), moved = true;
        for (int w = 0; w < (count + 31) / 32; w++)
            moved |= open_warp(w);
        if (moved || how_many(DONE) == count) continue;
        if (how_many(IN_WARP))
            give_up();
        else
            open_barrier();
    }
}

} // namespace

const shared_array *shared_find(const byte *p, size_t bytes)
{
    for (int i = 0; i < n_arrays; i++)
        if (p >= arrays[i].first && p + bytes <= arrays[i].first + arrays[i].bytes)
            return &arrays[i];
    return NULL;
}

void run_grid(const char *name, cudasim_work *run, void *call, size_t bytes, dim3 grid,
              dim3 block)
{
    uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z, before = stats.bytes_read + stats.bytes_written;

    if (bytes > sizeof arguments) std::abort();
    std::memcpy(arguments, call, bytes);
    body = run, kernel_name = name, launch_number++;
    blockDim = block, gridDim = grid, count = (int)(block.x * block.y * block.z);
    std::vector<int> order = turns((int)blocks);
    for (int b : order) {
        unsigned u = block_number = (unsigned)b;

        blockIdx = { u % grid.x, u / grid.x % grid.y, u / grid.x / grid.y };
        run_block(block);
    }
    stats.blocks += blocks, stats.threads += blocks * (uint64_t)count;
    note_kernel(name, stats.bytes_read + stats.bytes_written - before);
}

} // namespace cudasim

using namespace cudasim;

extern "C" void cudasim_barrier(int line)
{
    current->is = AT_BARRIER, current->line = line;
    park();
}

extern "C" const words *cudasim_exchange(unsigned mask, words value, unsigned *present)
{
    warp *w = &warps[current->number / 32];

    w->given[current->number % 32] = value;
    current->is = IN_WARP, current->mask = mask;
    park();
    now.epoch = ++current->epoch;
    *present = current->present;
    return w->met;
}

extern "C" void cudasim_absent_lane(int lane)
{
    fault("%s: a warp operation reads lane %d, which doesn't take part", kernel_name,
          lane);
}

extern "C" void *cudasim_shared(const void *place, size_t bytes)
{
    const size_t gap = 64; /* so that a stray index lands in no other array */

    for (int i = 0; i < n_arrays; i++)
        if (arrays[i].place == place) return arrays[i].first;
    if (!arena) /* PTX addresses it by 32 bits */
        arena = (byte *)mmap(NULL, 2 * SHARED_BYTES, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (n_arrays == ARRAYS || arena_top + bytes > SHARED_BYTES) {
        fault("%s: more shared memory than a block has", kernel_name);
        std::abort();
    }
    arrays[n_arrays] = { place, arena + arena_top, bytes };
    std::memset(arena + arena_top, 0xFF, bytes);
    shared_forget(arena_top, bytes);
    arena_top = (arena_top + bytes + gap + 15) / 16 * 16;
    return arrays[n_arrays++].first;
}
