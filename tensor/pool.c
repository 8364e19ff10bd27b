/*
 * pool.c - see pool.h.  One lock per pool; every function of the interface takes it, and what asks the device for
 * something has this thread's context before: opening it may give back what the pool has.
 */
#include "tensor/pool.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, SEGMENT = 32 << 20, HUGE_PAGE = 2 << 20 };

/* The host's blocks need no context; a device's are asked for in this thread's. */
static tp_ctx *context(tp_pool *pool)
{
    static tp_ctx host;

    return pool->host ? &host : tp__device_ctx(pool->device);
}

static void *from_device(tp_pool *pool, tp_ctx *c, size_t bytes)
{
    void *p = pool->device->backend->alloc(c, bytes);

    if (p) pool->reserved += bytes, pool->calls++;
    return p;
}

static void to_device(tp_pool *pool, tp_ctx *c, void *p, size_t bytes)
{
    pool->device->backend->release(c, p, bytes);
    pool->reserved -= bytes;
}

/* ---- records of blocks ---- */

static tp_block *record(tp_pool *pool)
{
    tp_block *b = pool->records;

    if (!b) return calloc(1, sizeof *b);
    pool->records = b->next;
    memset(b, 0, sizeof *b);
    return b;
}

static void unrecord(tp_pool *pool, tp_block *b)
{
    b->next = pool->records, pool->records = b;
}

static tp_block **bucket(tp_pool *pool, const void *p)
{
    return &pool->used[((uintptr_t)p >> 12) * 0x9E3779B97F4A7C15u >> 54];
}

static void add_free(tp_pool *pool, tp_block *b)
{
    b->free = true, b->prev = NULL, b->next = pool->free;
    if (b->next) b->next->prev = b;
    pool->free = b;
}

static void remove_free(tp_pool *pool, tp_block *b)
{
    if (b->prev) b->prev->next = b->next;
    else pool->free = b->next;
    if (b->next) b->next->prev = b->prev;
    b->free = false, b->prev = b->next = NULL;
}

/* An owner may take in a segment that is nobody's and all free. */
static bool may_have(const tp_block *b, unsigned owner)
{
    return b->owner == owner || (!b->owner && !b->before && !b->after);
}

static tp_block *best_fit(const tp_pool *pool, size_t bytes, unsigned owner)
{
    tp_block *best = NULL;

    for (tp_block *b = pool->free; b; b = b->next)
        if (b->bytes >= bytes && may_have(b, owner) && (!best || b->bytes < best->bytes)) best = b;
    return best;
}

/* Cuts what exceeds `bytes` off b; keeps it whole when there is no record for the rest. */
static void split(tp_pool *pool, tp_block *b, size_t bytes)
{
    tp_block *rest = b->bytes - bytes >= PAGE ? record(pool) : NULL;

    if (!rest) return;
    rest->p = b->p + bytes, rest->bytes = b->bytes - bytes, rest->owner = b->owner;
    rest->before = b, rest->after = b->after;
    if (b->after) b->after->before = rest;
    b->after = rest, b->bytes = bytes;
    add_free(pool, rest);
}

/* b takes in the block behind it. */
static void merge(tp_pool *pool, tp_block *b)
{
    tp_block *rest = b->after;

    remove_free(pool, rest);
    b->bytes += rest->bytes, b->after = rest->after;
    if (b->after) b->after->before = b;
    unrecord(pool, rest);
}

static tp_block *new_segment(tp_pool *pool, tp_ctx *c, size_t bytes)
{
    size_t whole = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    tp_block *b = record(pool);

    if (!b) return NULL;
    b->bytes = whole > SEGMENT ? whole : SEGMENT;
    b->p = from_device(pool, c, b->bytes);
    if (!b->p && whole < SEGMENT) b->bytes = whole, b->p = from_device(pool, c, whole);
    if (b->p) return add_free(pool, b), b;
    unrecord(pool, b);
    return NULL;
}

/* ---- the interface ---- */

void tp__pool_init(tp_pool *pool, tp_device *d, bool host)
{
    const char *how = getenv("TAPER_ALLOC");

    pthread_mutex_init(&pool->lock, NULL);
    pool->device = d, pool->host = host;
    pool->through = how && !strcmp(how, "system");
#ifdef __SANITIZE_ADDRESS__
    pool->through = !how || strcmp(how, "pool") != 0;
#endif
}

void *tp__pool_take(tp_pool *pool, size_t bytes, unsigned owner)
{
    size_t whole = bytes > SIZE_MAX / 2 ? SIZE_MAX / 2 : (bytes + PAGE - 1) / PAGE * PAGE;
    tp_ctx *c = context(pool);
    tp_block *b, **in;

    if (!c) return NULL;
    pthread_mutex_lock(&pool->lock);
    b = best_fit(pool, whole ? whole : PAGE, owner);
    if (!b) b = new_segment(pool, c, whole ? whole : PAGE);
    if (b) {
        b->owner = owner;
        remove_free(pool, b);
        split(pool, b, whole ? whole : PAGE);
        in = bucket(pool, b->p);
        b->next = *in, *in = b;
    }
    pthread_mutex_unlock(&pool->lock);
    return b ? b->p : NULL;
}

static tp_block **find(tp_pool *pool, const void *p)
{
    tp_block **in = bucket(pool, p);

    while (*in && (*in)->p != p)
        in = &(*in)->next;
    return in;
}

bool tp__pool_give(tp_pool *pool, void *p)
{
    tp_block *b, **in;

    pthread_mutex_lock(&pool->lock);
    in = find(pool, p);
    if ((b = *in)) {
        *in = b->next;
        add_free(pool, b);
        if (b->after && b->after->free) merge(pool, b);
        if (b->before && b->before->free) merge(pool, b->before);
    }
    pthread_mutex_unlock(&pool->lock);
    return b != NULL;
}

unsigned tp__pool_owner(tp_pool *pool, const void *p)
{
    tp_block *b;
    unsigned owner;

    pthread_mutex_lock(&pool->lock);
    b = *find(pool, p);
    owner = b ? b->owner : 0;
    pthread_mutex_unlock(&pool->lock);
    return owner;
}

static void disown(tp_block *b, unsigned owner)
{
    for (; b; b = b->next)
        if (b->owner == owner) b->owner = 0;
}

void tp__pool_disown(tp_pool *pool, unsigned owner)
{
    pthread_mutex_lock(&pool->lock);
    disown(pool->free, owner);
    for (int i = 0; i < TP_POOL_BUCKETS; i++)
        disown(pool->used[i], owner);
    pthread_mutex_unlock(&pool->lock);
}

void tp__pool_trim(tp_pool *pool)
{
    tp_ctx *c = context(pool);
    tp_block *next;

    if (!c) return;
    pthread_mutex_lock(&pool->lock);
    for (tp_block *b = pool->free; b; b = next) {
        next = b->next;
        if (b->before || b->after || b->owner) continue;
        remove_free(pool, b);
        to_device(pool, c, b->p, b->bytes);
        unrecord(pool, b);
    }
    pthread_mutex_unlock(&pool->lock);
}

void *tp__pool_system(tp_pool *pool, size_t bytes)
{
    tp_ctx *c = context(pool);
    void *p;

    if (!c) return NULL;
    pthread_mutex_lock(&pool->lock);
    p = from_device(pool, c, bytes ? bytes : 1);
    pthread_mutex_unlock(&pool->lock);
    return p;
}

void tp__pool_system_free(tp_pool *pool, void *p, size_t bytes)
{
    tp_ctx *c = context(pool);

    if (!c) return;
    pthread_mutex_lock(&pool->lock);
    to_device(pool, c, p, bytes ? bytes : 1);
    pthread_mutex_unlock(&pool->lock);
}

void tp__pool_stats(tp_device *d, tp_memory *m)
{
    pthread_mutex_lock(&d->pool->lock);
    m->reserved = d->pool->reserved, m->calls = d->pool->calls;
    pthread_mutex_unlock(&d->pool->lock);
}
