/*
 * parallel.c - see parallel.h.  OpenMP, or, with TP_PTHREADS, threads made and joined in each
 * call: ThreadSanitizer understands those and not libgomp's.
 */
#include "kernels/cpu/parallel.h"

#ifdef TP_PTHREADS
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#else
#include <omp.h>
#endif

enum { MOST_WORKERS = 256 };

/* One call: n elements in whole grains, cut as evenly as grains allow. */
typedef struct job {
    int64_t n, grain, grains;
    int workers;
    tp_body *body;
    void *user;
} job;

int tp__workers(const tp_ctx *c, int64_t n, int64_t grain)
{
    int64_t grains, most = c->threads < MOST_WORKERS ? c->threads : MOST_WORKERS;

    if (n <= grain || most <= 1) return 1;
    grains = (n + grain - 1) / grain;
    return (int)(grains < most ? grains : most);
}

static void range(const job *j, int worker)
{
    int64_t each = j->grains / j->workers, rest = j->grains % j->workers;
    int64_t from = worker * each + (worker < rest ? worker : rest);
    int64_t to = (from + each + (worker < rest)) * j->grain;

    j->body(j->user, worker, from * j->grain, to < j->n ? to : j->n);
}

#ifdef TP_PTHREADS

typedef struct part {
    const job *j;
    int worker;
    pthread_t thread;
} part;

static _Thread_local bool inside; /* a body runs on this thread */

static void *work(void *arg)
{
    const part *p = arg;

    inside = true;
    range(p->j, p->worker);
    return NULL;
}

/* A thread that can't be made is no failure: its range is done here. */
static void run(const job *j)
{
    part p[MOST_WORKERS];
    bool made[MOST_WORKERS];

    for (int w = 1; w < j->workers; w++) {
        p[w].j = j, p[w].worker = w;
        made[w] = pthread_create(&p[w].thread, NULL, work, &p[w]) == 0;
    }
    inside = true;
    range(j, 0);
    for (int w = 1; w < j->workers; w++)
        if (made[w])
            pthread_join(p[w].thread, NULL);
        else
            range(j, w);
    inside = false;
}

static bool nested(void)
{
    return inside;
}

int tp__default_threads(void)
{
    const char *asked = getenv("OMP_NUM_THREADS");
    int n = asked ? atoi(asked) : 0;

    if (n < 1) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n < MOST_WORKERS ? n : MOST_WORKERS;
}

#else

/* The region may get fewer threads than it asked for; every range is still done. */
static void run(const job *j)
{
#pragma omp parallel num_threads(j->workers)
    for (int w = omp_get_thread_num(); w < j->workers; w += omp_get_num_threads())
        range(j, w);
}

static bool nested(void)
{
    return omp_in_parallel();
}

int tp__default_threads(void)
{
    int n = omp_get_max_threads();

    return n < MOST_WORKERS ? n : MOST_WORKERS;
}

#endif

void tp__parallel(const tp_ctx *c, int64_t n, int64_t grain, tp_body *body, void *user)
{
    job j = { .n = n, .grain = grain, .body = body, .user = user };

    if (n <= 0) return;
    j.workers = tp__workers(c, n, grain);
    if (j.workers == 1 || nested()) {
        body(user, 0, 0, n);
        return;
    }
    j.grains = (n + grain - 1) / grain;
    run(&j);
}
