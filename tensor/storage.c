/*
 * storage.c - counted bytes on a device.
 */
#include "tensor/internal.h"

enum { HEAD = TP_STORAGE_HEAD, INLINE = 4096 }; /* small host data lies behind its own record */

static void account(tp_device *d, size_t bytes)
{
    size_t now = atomic_fetch_add_explicit(&d->now, bytes, memory_order_relaxed) + bytes;
    size_t peak = atomic_load_explicit(&d->peak, memory_order_relaxed);

    while (now > peak && !atomic_compare_exchange_weak(&d->peak, &peak, now)) {
    }
}

static tp_storage *make(tp_device *d, size_t head)
{
    tp_storage *s = tp__alloc(head);

    if (!s) return NULL;
    atomic_init(&s->refs, 1);
    s->version = 0, s->device = d, s->bytes = 0, s->block = (unsigned)head;
    s->data = NULL, s->done = NULL, s->user = NULL, s->borrowed = s->recorded = false;
    return s;
}

tp_storage *tp__storage_new(tp_device *d, size_t bytes)
{
    bool within = d == tp__cpu() && bytes <= INLINE;
    tp_storage *s = make(d, within ? HEAD + bytes : HEAD);

    if (!s) return NULL;
    s->data = within ? (char *)s + HEAD : tp__pool_alloc(d, bytes);
    if (!s->data) {
        tp__release(s, s->block);
        return NULL;
    }
    s->bytes = bytes;
    account(d, bytes);
    return s;
}

tp_storage *tp__storage_wrap(void *host, size_t bytes, void (*done)(void *), void *user)
{
    tp_storage *s = make(tp__cpu(), HEAD);

    if (!s) return NULL;
    s->data = host, s->bytes = bytes, s->done = done, s->user = user, s->borrowed = true;
    account(s->device, bytes);
    return s;
}

tp_storage *tp__storage_retain(tp_storage *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void tp__storage_release(tp_storage *s)
{
    if (!s || !tp__last(&s->refs)) return;
    atomic_fetch_sub_explicit(&s->device->now, s->bytes, memory_order_relaxed);
    if (s->done) s->done(s->user);
    if (!s->borrowed && s->data != (char *)s + HEAD) tp__pool_release(s->device, s->data, s->bytes);
    tp__release(s, s->block);
}

tp_memory tp_memory_stats(tp_device *d)
{
    tp_memory m = { 0, 0, 0, 0 };

    if (!d) return m;
    m.now = atomic_load(&d->now), m.peak = atomic_load(&d->peak);
    tp__pool_stats(d, &m);
    return m;
}

void tp_memory_reset_peak(tp_device *d)
{
    if (d) atomic_store(&d->peak, atomic_load(&d->now));
}
