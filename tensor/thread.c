/*
 * thread.c - the thread's record: made at first use, ended with the thread.
 */
#include "tensor/internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

_Thread_local tp_thread *tp__thread_now;
static tp_thread nobody; /* of threads without memory for a record: an error is pending there */
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void end(void *me)
{
    tp__thread_now = me;
    tp_thread_end();
    tp__thread_now = NULL;
    free(me);
}

static void make_key(void)
{
    pthread_key_create(&key, end);
}

tp_thread *tp__thread_begin(void)
{
    tp_thread *me = calloc(1, sizeof *me);

    pthread_once(&once, make_key);
    if (me && !pthread_setspecific(key, me)) return tp__thread_now = me;
    free(me);
    nobody.error = TP_ERR_MEMORY;
    snprintf(nobody.error_text, sizeof nobody.error_text, "a thread's record: out of memory");
    return &nobody;
}

char *tp__text_room(void)
{
    tp_thread *me = tp__me();

    return me->text[me->next_text++ % TP_TEXTS];
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
