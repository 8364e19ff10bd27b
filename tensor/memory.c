/*
 * memory.c - one caching allocator for every device.
 *
 * Two layers.  Below, a pool per device: segments taken from the backend are cut into
 * blocks, best fit first, and neighbours that are free become one again.  Above, for host
 * memory up to 1 MiB, lists of blocks per size class in each thread, without a lock: a step
 * frees what the next step takes.  A list that grows too long hands blocks to the pool's
 * own lists, where threads that only take find them.
 *
 * TAPER_ALLOC=system passes every call through, for sanitizers and simulators.
 */
#include "tensor/pool.h"

#include <stdlib.h>
#include <string.h>

_Thread_local long tp__fail_after = -1;

enum { STEP = 64, CARVED = 4096, RUN = 64 << 10, LARGEST = 1 << 20 };

/* Multiples of 64 up to 512, then four sizes per doubling. */
static int class_of(size_t bytes)
{
    size_t b = bytes ? bytes - 1 : 0;
    int e;

    if (b < 512) return (int)(b / STEP);
    e = 63 - __builtin_clzll(b);
    return 8 + (e - 9) * 4 + (int)(b >> (e - 2) & 3);
}

static size_t class_size(int c)
{
    if (c < 8) return STEP * (size_t)(c + 1);
    return (size_t)(5 + (c - 8) % 4) << ((c - 8) / 4 + 7);
}

static int most_cached(int c)
{
    size_t n = ((size_t)8 << 20) / class_size(c);

    return n > 4096 ? 4096 : n < 8 ? 8 : (int)n;
}

static void push(tp_cache *k, int c, void *p)
{
    *(void **)p = k->first[c];
    k->first[c] = p, k->count[c]++;
}

static void *pop(tp_cache *k, int c)
{
    void *p = k->first[c];

    if (p) k->first[c] = *(void **)p, k->count[c]--;
    return p;
}

/* Blocks of class c for a thread that has none: others' first, then new ones. */
static void *refill(tp_pool *pool, tp_thread *me, int c)
{
    size_t size = class_size(c), n = size <= CARVED ? RUN / size : 1;
    char *p;

    pthread_mutex_lock(&pool->lock);
    for (int i = 0; i < 16 && pool->spare.first[c]; i++)
        push(&me->cache, c, pop(&pool->spare, c));
    pthread_mutex_unlock(&pool->lock);
    if (me->cache.first[c]) return pop(&me->cache, c);
    if (!(p = tp__pool_take(pool, n * size, 0))) return NULL;
    for (size_t i = 1; i < n; i++)
        push(&me->cache, c, p + i * size);
    return p;
}

static void put_back(tp_pool *pool, tp_thread *me, int c, void *p)
{
    if (me->cache.count[c] < 8 || me->cache.count[c] < most_cached(c)) {
        push(&me->cache, c, p);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    push(&pool->spare, c, p);
    pthread_mutex_unlock(&pool->lock);
}

/* Gives what can be given to the pool and from there to the device, so that a failed
 * allocation may be tried again. */
static void flush(tp_pool *pool, tp_thread *me)
{
    for (int c = class_of(CARVED) + 1; pool->host && c <= class_of(LARGEST); c++) {
        for (void *p; (p = pop(&me->cache, c));)
            tp__pool_give(pool, p);
        for (void *p;;) {
            pthread_mutex_lock(&pool->lock);
            p = pop(&pool->spare, c);
            pthread_mutex_unlock(&pool->lock);
            if (!p) break;
            tp__pool_give(pool, p);
        }
    }
    tp__pool_trim(pool);
}

static void *take(tp_pool *pool, tp_thread *me, size_t bytes)
{
    unsigned owner = pool->device == tp__tape_on(me) ? me->tape->owner : 0;
    void *p;

    if (pool->through && !owner) return tp__pool_system(pool, bytes);
    if (!pool->host || bytes > LARGEST) return tp__pool_take(pool, bytes, owner);
    p = pop(&me->cache, class_of(bytes));
    return p ? p : refill(pool, me, class_of(bytes));
}

void *tp__pool_alloc(tp_device *d, size_t bytes)
{
    tp_thread *me = tp__me();
    void *p = NULL;

    if (tp__fail_after < 0 || tp__fail_after-- > 0) {
        p = take(d->pool, me, bytes);
        if (!p) flush(d->pool, me), p = take(d->pool, me, bytes);
    }
    if (!p) return tp__fail(TP_ERR_MEMORY, "memory", "no %zu bytes left on %s", bytes, d->name);
    me->live++;
    return p;
}

void tp__pool_release(tp_device *d, void *p, size_t bytes)
{
    tp_thread *me = tp__me();
    tp_pool *pool = d->pool;

    if (!p) return;
    me->live--;
    if (pool->through) {
        if (!tp__pool_give(pool, p)) tp__pool_system_free(pool, p, bytes);
    } else if (pool->host && bytes <= LARGEST)
        put_back(pool, me, class_of(bytes), p);
    else
        tp__pool_give(pool, p);
}

void tp__pool_flush_thread(tp_thread *me)
{
    tp_pool *pool = tp__cpu()->pool;

    pthread_mutex_lock(&pool->lock);
    for (int c = 0; c <= class_of(LARGEST); c++)
        for (void *p; (p = pop(&me->cache, c));)
            push(&pool->spare, c, p);
    pthread_mutex_unlock(&pool->lock);
}

void tp_memory_trim(tp_device *d)
{
    if (d && d->pool) flush(d->pool, tp__me());
}

long tp__live(void)
{
    return tp__me()->live;
}

/* ---- host memory ---- */

void *tp__alloc(size_t bytes)
{
    tp_thread *me = tp__me();
    void *p = bytes <= LARGEST && tp__fail_after < 0 ? pop(&me->cache, class_of(bytes)) : NULL;

    if (!p) return tp__pool_alloc(tp__cpu(), bytes);
    me->live++;
    return p;
}

void *tp__alloc_zeroed(size_t bytes)
{
    void *p = tp__alloc(bytes);

    return p ? memset(p, 0, bytes) : NULL;
}

void tp__release(void *p, size_t bytes)
{
    tp__pool_release(tp__cpu(), p, bytes);
}

void *tp__grow(void *old, size_t old_bytes, size_t bytes)
{
    void *p = tp__alloc(bytes);

    if (!p) return NULL;
    if (old) memcpy(p, old, old_bytes < bytes ? old_bytes : bytes);
    tp__release(old, old_bytes);
    return p;
}

char *tp__strdup(const char *s)
{
    char *p = tp__alloc(strlen(s) + 1);

    return p ? strcpy(p, s) : NULL;
}

void tp__free_text(char *s)
{
    if (s) tp__release(s, strlen(s) + 1);
}
