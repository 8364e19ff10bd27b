/*
 * thread.c - the thread's record: made at first use, ended with the thread.
 */
#include "tensor/internal.h"

#include <pthread.h>

_Thread_local tp_thread *tp__thread_now;
static _Thread_local tp_thread own;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void end(void *unused)
{
    (void)unused;
    tp_thread_end();
}

static void make_key(void)
{
    pthread_key_create(&key, end);
}

tp_thread *tp__thread_begin(void)
{
    pthread_once(&once, make_key);
    pthread_setspecific(key, &own);
    return tp__thread_now = &own;
}

static void close_ctx(tp_thread *me, int id)
{
    tp_ctx *c = me->ctx[id];
    tp_device *d;

    if (!c) return;
    d = c->device;
    if (me->rng_state[id]) tp__pool_release(d, me->rng_state[id], 2 * sizeof(uint64_t));
    if (c->scratch) tp__pool_release(d, c->scratch, c->scratch_bytes);
    c->backend->close(c);
    tp__release(c, sizeof *c);
    me->ctx[id] = NULL, me->rng_state[id] = NULL;
}

void tp_thread_end(void)
{
    tp_thread *me = tp__me();

    if (me->casts) me->forget_casts(me);
    me->mark[1] = 0, me->depth = 1;
    tp_scope_end((tp_scope){ 1 });
    tp__quarantine_end();
    tp__release(me->lent, sizeof *me->lent * (size_t)me->room_lent);
    me->lent = NULL, me->n_lent = me->room_lent = 0;
    for (int id = 0; id < TP_DEVICES; id++)
        close_ctx(me, id);
    tp__pool_flush_thread(me);
}
