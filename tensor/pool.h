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
void *tp__pool_take(tp_pool *pool, size_t bytes); /* NULL: the device has no more */
void tp__pool_give(tp_pool *pool, void *p);
void tp__pool_trim(tp_pool *pool); /* releases segments that are wholly free */
void *tp__pool_system(tp_pool *pool, size_t bytes);
void tp__pool_system_free(tp_pool *pool, void *p, size_t bytes);

#endif
