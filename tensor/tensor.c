/*
 * tensor.c - handles: what they share, how they come and go.
 */
#include "tensor/scope.h"

#include <string.h>

#ifdef TP_DEBUG
/* Freed headers wait here before their memory is used again, so that a tensor used after its
 * scope is told from a live one. */
enum { QUARANTINE = 512 };

static _Thread_local tp_tensor *quarantine[QUARANTINE];
static _Thread_local unsigned next_place;

static void free_handle(tp_tensor *t)
{
    tp_tensor **place = &quarantine[next_place++ % QUARANTINE];

    t->alive = 0;
    if (*place) tp__release(*place, sizeof **place), tp__me()->live++;
    tp__me()->live--; /* waiting blocks count as given back */
    *place = t;
}

void tp__quarantine_end(void)
{
    for (int i = 0; i < QUARANTINE; i++) {
        if (quarantine[i]) tp__release(quarantine[i], sizeof *quarantine[i]), tp__me()->live++;
        quarantine[i] = NULL;
    }
}

static void born(tp_tensor *t)
{
    t->alive = TP_ALIVE;
}
#else
static void free_handle(tp_tensor *t)
{
    tp__release(t, sizeof *t);
}

void tp__quarantine_end(void)
{
}

static void born(tp_tensor *t)
{
    (void)t;
}
#endif

/* Takes the caller's reference to s, also when it fails. */
static tp_tensor *handle(tp_storage *s, tp_dtype d, const tp_shape *shape, int64_t offset)
{
    tp_thread *me = tp__me();
    tp_tensor *t = s && me->error == TP_OK ? tp__alloc(sizeof *t) : NULL;

    if (!t) return tp__storage_release(s), NULL;
    atomic_init(&t->refs, 1);
    t->lent = -1, t->dtype = (unsigned char)d, t->placed = false, t->out = 0;
    atomic_init(&t->held, 0), atomic_init(&t->kept, 0), t->replaced = false;
    t->storage = s, t->node = NULL, t->offset = offset;
    t->shape = *shape;
    born(t);
    if (tp__lend(me, t)) return t;
    tp__free(t);
    return NULL;
}

tp_tensor *tp__handle(tp_storage *s, tp_dtype d, const tp_shape *shape, const int64_t *stride,
                      int64_t offset)
{
    tp_tensor *t = s ? handle(tp__storage_retain(s), d, shape, offset) : NULL;

    if (!t) return NULL;
    if (stride) memcpy(t->stride, stride, sizeof *stride * (size_t)shape->rank);
    else tp__strides(shape, TP_ROW_MAJOR, t->stride);
    return t;
}

tp_tensor *tp__new_as(tp_shape shape, tp_dtype d, tp_device *dev, tp_layout layout)
{
    int64_t n = tp__countable(&shape);
    tp_tensor *t;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("device", dev, TP_ERR_DEVICE, "missing device");
    if (n < 0) return tp__shape_ok("result", shape), NULL; /* of whichever op computed it */
    t = handle(tp__storage_new(dev, (size_t)n * tp_dtype_size(d)), d, &shape, 0);
    if (t) tp__strides(&shape, layout, t->stride);
    return t;
}

tp_tensor *tp__new(tp_shape shape, tp_dtype d, tp_device *dev)
{
    return tp__new_as(shape, d, dev, TP_ROW_MAJOR);
}

tp_tensor *tp__view(const tp_tensor *t, tp_shape shape, const int64_t *stride, int64_t offset)
{
    if (tp__countable(&shape) < 0) return tp__shape_ok("result", shape), NULL;
    return tp__handle(t->storage, (tp_dtype)t->dtype, &shape, stride, offset);
}

tp_tensor *tp__alias(const tp_tensor *t)
{
    return tp__handle(t->storage, (tp_dtype)t->dtype, &t->shape, t->stride, t->offset);
}

static bool wrappable(const void *host, tp_shape s, tp_dtype d)
{
    if (!tp_ok() || !tp__shape_ok("tp_wrap", s)) return false;
    TP_REQUIRE_IN("tp_wrap", (unsigned)d < TP_DTYPES, TP_ERR_DTYPE, "there is no dtype %d", (int)d);
    TP_REQUIRE_IN("tp_wrap", host || !tp__elements(&s), TP_ERR_ARG, "missing memory");
    TP_REQUIRE_IN("tp_wrap", (uintptr_t)host % tp_dtype_size(d) == 0, TP_ERR_ARG,
                  "the memory at %p isn't aligned for %s: a multiple of %zu is wanted", host, tp_dtype_name(d), tp_dtype_size(d));
    return true;
}

tp_tensor *tp_wrap(void *host, tp_shape s, tp_dtype d, void (*done)(void *user), void *user)
{
    tp_storage *storage = NULL;
    tp_tensor *t;

    if (wrappable(host, s, d))
        storage = tp__storage_wrap(host, (size_t)tp__elements(&s) * tp_dtype_size(d), done, user);
    if (!storage) {
        if (done) done(user);
        return NULL;
    }
    t = handle(storage, d, &s, 0);
    if (t) tp__strides(&s, TP_ROW_MAJOR, t->stride);
    return t;
}

tp_tensor *tp__retain(tp_tensor *t)
{
    if (t) atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tp__counted_release(tp_counted *c)
{
    if (c && tp__last(&c->refs)) c->release(c);
}

void tp__free(tp_tensor *t)
{
    if (!tp__there("tp_free", t) || !tp__last(&t->refs)) return;
    if (t->lent >= 0) tp__unlend(t); /* freed before its scope ends */
    tp__storage_release(t->storage);
    if (t->node && t->node->unhandled) t->node->unhandled(t->node);
    tp__counted_release(t->node);
    free_handle(t);
}

tp_tensor *tp__keep(tp_tensor *t)
{
    if (!tp__there("tp_keep", t)) return NULL;
    if (t->lent < 0) return tp__retain(t);
    tp__unlend(t);
    return t;
}

tp_tensor *tp_keep(tp_tensor *t)
{
    t = tp__keep(t);
    if (t) atomic_fetch_add_explicit(&t->kept, 1, memory_order_relaxed);
    return t;
}

/* May the program give up one of its references?  Those of modules, loaders and the like are
 * theirs to end. */
static bool freeable(const tp_tensor *t)
{
    if (!tp__there("tp_free", t)) return false;
    TP_REQUIRE_IN("tp_free", t->lent < 0, TP_ERR_ARG,
                  "it is lent: its scope frees %s, unless tp_keep takes it out first", tp__text(t));
    TP_REQUIRE_IN("tp_free", atomic_load_explicit(&t->kept, memory_order_relaxed) > 0, TP_ERR_ARG,
                  "it is lent: what owns %s frees it; no tp_keep is left to undo", tp__text(t));
    return true;
}

void tp_free(tp_tensor *t)
{
    if (!freeable(t)) return;
    atomic_fetch_sub_explicit(&t->kept, 1, memory_order_relaxed);
    tp__free(t);
}

void tp__swap(tp_tensor *a, tp_tensor *b)
{
    tp_tensor old = *a;

    a->storage = b->storage, a->node = b->node, a->out = b->out, a->dtype = b->dtype;
    a->offset = b->offset, a->shape = b->shape, memcpy(a->stride, b->stride, sizeof a->stride);
    b->storage = old.storage, b->node = old.node, b->out = old.out, b->dtype = old.dtype;
    b->offset = old.offset, b->shape = old.shape, memcpy(b->stride, old.stride, sizeof b->stride);
}

void tp__drop(tp_tensor *t)
{
    const tp_thread *me = tp__me();

    if (t && me->depth && t->lent >= me->mark[me->depth]) tp__free(tp__keep(t));
}

bool tp_store(tp_tensor **slot, tp_tensor *t)
{
    tp_tensor *kept = NULL;

    if (!tp_ok()) return false;
    TP_REQUIRE(slot, TP_ERR_ARG, "missing slot");
    if (!tp__replayable(__func__, "replays would go on from the old tensor; tp_copy_ into it")) return false;
    if (t && (!tp__there(__func__, t) || !(kept = tp_keep(tp__alias(t))))) return false;
    if (*slot && (*slot)->lent < 0) tp_free(*slot); /* a lent one is left to its scope */
    *slot = kept;
    return true;
}
