/*
 * pool.h - the lower layer of the allocator: segments of a device, cut into blocks.
 */
#ifndef TP_TENSOR_POOL_H
#define TP_TENSOR_POOL_H

#include "tensor/internal.h"

#include <pthread.h>

enum { TP_POOL_BUCKETS = 1024 };

/* A block of a segment, and its neighbours there by address. */
typedef struct tp_block {
    char *p;
    size_t bytes;
    bool free;
    unsigned owner; /* the recorded step that keeps it, or 0 */
    struct tp_block *before, *after; /* in the segment */
    struct tp_block *prev, *next;    /* in the list of free blocks, or (next) in a bucket */
} tp_block;

typedef struct tp_pool {
    pthread_mutex_t lock;
    tp_device *device;
    bool host;    /* blocks may be written to while they are free */
    bool through; /* TAPER_ALLOC=system */
    tp_block *free, *used[TP_POOL_BUCKETS], *records;
    tp_cache spare; /* small blocks of no thread */
    size_t reserved;
    uint64_t calls;
} tp_pool;

void tp__pool_init(tp_pool *pool, tp_device *d, bool host);
/* NULL: the device has no more.  Blocks of an owner lie in segments of its own, and nobody else takes
 * them until they are disowned. */
void *tp__pool_take(tp_pool *pool, size_t bytes, unsigned owner);
bool tp__pool_give(tp_pool *pool, void *p); /* false: it isn't the pool's */
unsigned tp__pool_owner(tp_pool *pool, const void *p);
void tp__pool_disown(tp_pool *pool, unsigned owner);
void tp__pool_trim(tp_pool *pool); /* releases segments that are wholly free and nobody's */
void *tp__pool_system(tp_pool *pool, size_t bytes);
void tp__pool_system_free(tp_pool *pool, void *p, size_t bytes);

#endif
