/*
 * probe.c - what the machine gives at this moment, to judge a timing by.
 *
 *     probe gflops1=114.8 gflops2=229.1 pingpong_ns=37.2
 *
 * gflops1, gflops2: f32 fused multiply-adds of one thread and of two, in registers alone.
 * pingpong_ns: a cache line handed from one processor to another, one way.  On virtual
 * machines both change for seconds at a time without a sign in /proc/stat.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3,fp-contract=fast") /* a * x + y must be one instruction */
#endif

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 24")
#endif

enum {
    CHAINS = 24,
    HANDOVERS = 100000
}; /* 24 sums in flight hide an addition's latency */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void pin(int processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_setaffinity(0, sizeof set,
                      &set); /* where it isn't allowed, the scheduler decides */
}

/* ---- peak ---- */

/* One instruction set: CHAINS independent chains of vectors of `lanes` floats. */
#define PEAK(name, attribute, lanes)                                                     \
    typedef float name##_vector __attribute__((vector_size(4 * lanes)));                 \
    attribute static float name(int64_t rounds)                                          \
    {                                                                                    \
        name##_vector a[CHAINS], scale = { 0 }, shift = { 0 };                           \
                                                                                         \
        scale += 0.999999f, shift += 1e-7f;                                              \
        UNROLL for (int i = 0; i < CHAINS; i++) a[i] = shift * (float)i;                 \
        for (int64_t k = 0; k < rounds; k++)                                             \
            UNROLL for (int i = 0; i < CHAINS; i++) a[i] = a[i] * scale + shift;         \
        UNROLL for (int i = 1; i < CHAINS; i++) a[0] += a[i];                            \
        return a[0][0];                                                                  \
    }

PEAK(peak_any, , 4)
#ifdef __x86_64__
PEAK(peak_v3, __attribute__((target("avx2,fma"))), 8)
PEAK(peak_v4, __attribute__((target("avx512f"))), 16)
#endif

typedef struct machine {
    float (*peak)(int64_t rounds);
    int lanes;
} machine;

static machine choose(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f")) return (machine){ peak_v4, 16 };
    if (__builtin_cpu_supports("fma")) return (machine){ peak_v3, 8 };
#endif
    return (machine){ peak_any, 4 };
}

typedef struct worker {
    machine m;
    int64_t rounds;
    int processor;
    float result; /* kept, so that the work isn't optimized away */
} worker;

static void *work(void *user)
{
    worker *w = user;

    if (w->processor >= 0) pin(w->processor);
    w->result = w->m.peak(w->rounds);
    return NULL;
}

static double gflops(machine m, int threads, int64_t rounds)
{
    worker w[2] = { { m, rounds, threads > 1 ? 0 : -1, 0 }, { m, rounds, 1, 0 } };
    pthread_t other;
    double start = now();

    if (threads > 1 && pthread_create(&other, NULL, work, &w[1])) return 0;
    work(&w[0]);
    if (threads > 1) pthread_join(other, NULL);
    return 2e-9 * CHAINS * m.lanes * threads * (double)rounds / (now() - start);
}

/* ---- ping-pong ---- */

static _Alignas(128) atomic_int ball;

static void await(int value)
{
    while (atomic_load_explicit(&ball, memory_order_acquire) != value)
        ;
}

static void *pong(void *unused)
{
    (void)unused;
    pin(1);
    for (int i = 0; i < HANDOVERS; i++) {
        await(2 * i + 1);
        atomic_store_explicit(&ball, 2 * i + 2, memory_order_release);
    }
    return NULL;
}

static double pingpong(void)
{
    pthread_t other;
    double start;

    pin(0);
    if (pthread_create(&other, NULL, pong, NULL)) return 0;
    start = now();
    for (int i = 0; i < HANDOVERS; i++) {
        atomic_store_explicit(&ball, 2 * i + 1, memory_order_release);
        await(2 * i + 2);
    }
    start = now() - start;
    pthread_join(other, NULL);
    return 1e9 * start / HANDOVERS / 2;
}

int main(int argc, char **argv)
{
    machine m = choose();
    int64_t rounds = argc > 1 ? atoll(argv[1]) : 4000000;
    double one = gflops(m, 1, rounds), two = gflops(m, 2, rounds);

    printf("probe gflops1=%.1f gflops2=%.1f pingpong_ns=%.1f\n", one, two, pingpong());
    return 0;
}
