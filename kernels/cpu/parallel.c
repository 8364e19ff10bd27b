/*
 * parallel.c - see parallel.h.  A pool of threads of our own.
 *
 * A job is cut into as many ranges as may run at once.  Thread k takes range k first and then
 * any that nobody has begun: when the processors have other work, and a thread isn't there in
 * time, the caller does its share instead of waiting for it.  Threads that find nothing to do
 * spin for a moment and then sleep.
 *
 * One job runs at a time.  A caller that finds the pool busy, or is itself a thread of it,
 * runs its job alone; results are the same.
 */
#include "kernels/cpu/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST = 256, SPINS = 20000 };

static struct {
    atomic_flag busy;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int threads;         /* beside the caller */
    atomic_int sleeping; /* of them */
    _Atomic uint64_t job;

    /* of the job that runs: read only by those that have claimed a range */
    tp_body *body;
    void *user;
    int64_t n, grain;
    atomic_int ranges;
    _Atomic uint64_t open[MOST]; /* the number of the job, while nobody has begun the range */
    atomic_int left;             /* ranges that aren't finished */
} pool = { .busy = ATOMIC_FLAG_INIT, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

static _Thread_local bool inside; /* a job */

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* ---- ranges ---- */

static int64_t border(int k)
{
    int64_t grains = (pool.n + pool.grain - 1) / pool.grain;
    int64_t at = (grains / pool.ranges * k + grains % pool.ranges * k / pool.ranges) * pool.grain;

    return at < pool.n ? at : pool.n;
}

static bool claim(int k, uint64_t job)
{
    return atomic_load_explicit(&pool.open[k], memory_order_acquire) == job &&
           atomic_compare_exchange_strong(&pool.open[k], &job, 0);
}

static void run(int range, int worker)
{
    int64_t from = border(range), to = border(range + 1);

    if (from < to) pool.body(pool.user, worker, from, to);
    atomic_fetch_sub_explicit(&pool.left, 1, memory_order_release);
}

/* Range `worker` first, then what is left over. */
static void take_part(int worker, uint64_t job, int ranges)
{
    inside = true;
    for (int i = 0; i < ranges; i++) {
        int k = (worker + i) % ranges;

        if (claim(k, job)) run(k, worker);
    }
    inside = false;
}

/* ---- threads of the pool ---- */

/* The number of a job that isn't `last`; spins, then sleeps. */
static uint64_t await(uint64_t last)
{
    uint64_t job;

    for (int i = 0; i < SPINS; i++) {
        if ((job = atomic_load_explicit(&pool.job, memory_order_acquire)) != last) return job;
        relax();
    }
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleeping, 1);
    while ((job = atomic_load(&pool.job)) == last)
        pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleeping, 1);
    pthread_mutex_unlock(&pool.lock);
    return job;
}

static void *serve(void *user)
{
    int worker = (int)(intptr_t)user, ranges;

    for (uint64_t job = 0;;) {
        job = await(job);
        if (worker < (ranges = atomic_load_explicit(&pool.ranges, memory_order_relaxed)))
            take_part(worker, job, ranges); /* else it has no scratch in this job */
    }
    return NULL;
}

/* The child of a fork has none of them. */
static void forget(void)
{
    pool.threads = 0;
    atomic_store(&pool.sleeping, 0);
    atomic_flag_clear(&pool.busy);
    pthread_mutex_init(&pool.lock, NULL), pthread_cond_init(&pool.wake, NULL);
}

/* How many threads beside the caller there are, after trying for so many. */
static int hire(int wanted)
{
    pthread_attr_t detached;
    pthread_t t;

    if (pool.threads >= wanted) return wanted;
    if (pool.threads == 0) pthread_atfork(NULL, NULL, forget);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    while (pool.threads < wanted && !pthread_create(&t, &detached, serve, (void *)(intptr_t)(pool.threads + 1)))
        pool.threads++;
    pthread_attr_destroy(&detached);
    return pool.threads;
}

/* ---- a job ---- */

static void publish(void)
{
    uint64_t job = atomic_load(&pool.job) + 1;

    for (int k = 0; k < pool.ranges; k++)
        atomic_store_explicit(&pool.open[k], job, memory_order_relaxed);
    atomic_store(&pool.job, job);
    if (!atomic_load(&pool.sleeping)) return;
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
}

int tp__workers(const tp_ctx *c, int64_t n, int64_t grain)
{
    int64_t grains = grain > 0 ? (n + grain - 1) / grain : n;
    int64_t most = c->threads < MOST ? c->threads : MOST;

    return (int)(grains < 1 ? 1 : grains < most ? grains : most < 1 ? 1 : most);
}

void tp__parallel(const tp_ctx *c, int64_t n, int64_t grain, tp_body *body, void *user)
{
    int workers = tp__workers(c, n, grain);

    if (n <= 0) return;
    if (workers < 2 || inside || atomic_flag_test_and_set(&pool.busy)) {
        body(user, 0, 0, n);
        return;
    }
    pool.body = body, pool.user = user, pool.n = n, pool.grain = grain > 0 ? grain : 1;
    pool.ranges = hire(workers - 1) + 1;
    if (pool.ranges > workers) pool.ranges = workers;
    atomic_store(&pool.left, pool.ranges);
    publish();
    take_part(0, atomic_load(&pool.job), pool.ranges);
    for (int i = 0; atomic_load_explicit(&pool.left, memory_order_acquire); i++)
        i < SPINS ? relax() : (void)sched_yield();
    atomic_flag_clear(&pool.busy);
}

int tp__default_threads(void)
{
    const char *asked = getenv("OMP_NUM_THREADS");
    int n = asked ? atoi(asked) : 0;
    cpu_set_t allowed;

    if (n > 0) return n < MOST ? n : MOST;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed)) return (int)sysconf(_SC_NPROCESSORS_ONLN);
    n = CPU_COUNT(&allowed);
    return n < 1 ? 1 : n < MOST ? n : MOST;
}
