/*
 * loader.c - batches in order, prepared ahead by worker threads.
 *
 * Batch k of a pass is fixed by seed, pass and k alone; workers only decide when it is ready.
 * A ring of slots holds what is prepared or in preparation; the consumer takes slot k % depth.
 * Workers use kept tensors, which may cross threads, and leave their error in the slot.
 */
#include "data/internal.h"
#include "data/sampling.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef struct slot {
    tp_tensor *field[TP_FIELDS];
    int64_t k; /* the batch that is, or will be, in it; -1: none */
    int64_t size;
    bool ready;
    tp_code code; /* of a failure */
    char error[512];
} slot;

struct tp_loader {
    tp_dataset *d;
    tp_loader_opts o;
    int64_t *order; /* of samples in this pass; NULL: as they come */
    int64_t n, batches, pass, given;
    bool ended, fresh; /* told the end; the last batch began a pass */
    bool any;          /* this pass has given a batch, or was sought beyond one */
    int empty;         /* passes in a row that had none */
    bool over, drained, begun; /* a stream: has ended, for the consumer and for workers; was read */
    slot *slots;
    int depth;
    tp_tensor *out[TP_FIELDS]; /* what the consumer has, on the device */

    pthread_t *thread;
    int n_threads;
    pthread_mutex_t lock, stream;
    pthread_cond_t wanted, ready;
    int64_t next; /* batch to prepare */
    int busy;     /* workers inside prepare */
    bool stop, paused;
    bool failed; /* workers wait until the consumer asks again */
};

/* ---- one batch ---- */

/* The slot's tensor if nobody else looks at it, else a new one. */
static tp_tensor *room_for(tp_loader *l, slot *s, int field, int64_t size)
{
    tp_tensor *t = s->field[field];
    tp_shape shape = { .rank = l->d->s.shape[field].rank + 1, .n = { size } };

    memcpy(shape.n + 1, l->d->s.shape[field].n, sizeof *shape.n * (size_t)(shape.rank - 1));
    if (t && atomic_load(&t->refs) == 1 && atomic_load(&t->storage->refs) == 1 && tp__same(&t->shape, &shape))
        return t;
    tp__free(t);
    return s->field[field] = tp__keep(tp__new(shape, l->d->s.dtype[field], tp__cpu()));
}

static tp_got fetch(tp_loader *l, slot *s, int64_t i, int64_t row)
{
    const tp_source *from = &l->d->s;
    void *at[TP_FIELDS];

    for (int f = 0; f < from->fields; f++)
        at[f] = (char *)tp__data(s->field[f]) + (size_t)row * tp__field_bytes(from, f);
    tp__me()->rng = (tp_rng){ l->o.seed + 0x9E3779B97F4A7C15u * (uint64_t)(l->pass + 1), (uint64_t)i << 24 };
    if (from->count < 0) return from->next(from->user, at);
    return from->get(from->user, l->order ? l->order[i] : i, at);
}

static bool fill(tp_loader *l, slot *s, int64_t k)
{
    int64_t first = k * l->o.batch, want = l->o.batch;

    if (l->n >= 0 && first + want > l->n) want = l->n - first;
    for (int f = 0; f < l->d->s.fields; f++)
        if (!room_for(l, s, f, want)) return false;
    for (s->size = 0; s->size < want; s->size++) {
        tp_got got = fetch(l, s, first + s->size, s->size);

        if (got == TP_FAILED && tp_ok()) tp_fail(TP_ERR_USER, "sample %lld: its source failed without an error",
                                                 (long long)(l->order ? l->order[first + s->size] : first + s->size));
        if (got == TP_FAILED) return false;
        if (got == TP_END) break;
    }
    return tp_ok();
}

static void prepare(tp_loader *l, slot *s, int64_t k)
{
    bool stream = l->d->s.count < 0;
    tp_rng own = tp__me()->rng;

    TP_SCOPE;
    if (stream) pthread_mutex_lock(&l->stream);
    s->code = TP_OK;
    if (!fill(l, s, k)) {
        s->code = tp_error_code();
        snprintf(s->error, sizeof s->error, "%s", tp_error());
        tp_clear_error();
    }
    tp__me()->rng = own;
    if (stream) pthread_mutex_unlock(&l->stream);
}

/* ---- workers ---- */

static bool work_to_do(const tp_loader *l)
{
    const slot *s = &l->slots[l->next % l->depth];

    return !l->paused && !l->drained && (l->batches < 0 || l->next < l->batches) && l->next < l->given + l->depth && s->k < 0;
}

static void *worker(void *user)
{
    tp_loader *l = user;

    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        slot *s;
        int64_t k;
        double watched;

        if (!work_to_do(l)) {
            pthread_cond_wait(&l->wanted, &l->lock);
            continue;
        }
        k = l->next++, s = &l->slots[k % l->depth];
        s->k = k, s->ready = false, l->busy++;
        pthread_mutex_unlock(&l->lock);
        watched = tp__probe_begins();
        prepare(l, s, k);
        tp__probe_did("a batch", watched);
        pthread_mutex_lock(&l->lock);
        s->ready = true, l->busy--;
        if (l->n < 0 && s->size < l->o.batch) l->drained = true;
        pthread_cond_broadcast(&l->ready);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Waits until no worker is inside, and keeps them out; what was prepared is forgotten. */
static void pause_workers(tp_loader *l)
{
    pthread_mutex_lock(&l->lock);
    l->paused = true;
    while (l->busy)
        pthread_cond_wait(&l->ready, &l->lock);
    for (int i = 0; i < l->depth; i++)
        l->slots[i].k = -1;
    pthread_mutex_unlock(&l->lock);
}

static void resume_workers(tp_loader *l)
{
    pthread_mutex_lock(&l->lock);
    l->next = l->given, l->paused = l->failed = false;
    pthread_cond_broadcast(&l->wanted);
    pthread_mutex_unlock(&l->lock);
}

/* ---- passes ---- */

static bool make_order(tp_loader *l)
{
    if (l->o.sampler) return tp__sampler_order(l->o.sampler, l->o.seed, l->pass, l->order, l->d->s.count);
    for (int64_t i = 0; i < l->n; i++)
        l->order[i] = i;
    tp__shuffle(l->order, l->n, l->o.seed, l->pass);
    return true;
}

/* Sets the order of this pass, and the place in it. */
static bool begin_pass(tp_loader *l, int64_t batch)
{
    pause_workers(l);
    if (l->order && !make_order(l)) return l->ended = true, false;
    if (l->n < 0 && l->begun && l->d->s.rewind && !l->d->s.rewind(l->d->s.user)) {
        if (tp_ok()) tp__fail(TP_ERR_USER, "data", "the stream can't be rewound");
        return l->ended = true, false; /* workers are out: the next call must begin again */
    }
    l->any = batch > 0, l->given = 0, l->ended = false, l->over = l->drained = false,
    l->begun = true;
    for (int64_t k = 0; l->n < 0 && k < batch; k++) { /* a stream is read up to its place */
        prepare(l, &l->slots[0], k);
        if (!l->slots[0].code && l->slots[0].size == l->o.batch) continue;
        if (l->slots[0].code) tp__fail(l->slots[0].code, "data", "%s", l->slots[0].error);
        else if (k == batch - 1) break; /* its last batch, and a short one */
        else tp__fail(TP_ERR_ARG, "data", "the stream ends before batch %lld", (long long)batch);
        return l->ended = true, false;
    }
    l->given = batch;
    resume_workers(l);
    return true;
}

static slot *take_slot(tp_loader *l)
{
    slot *s = &l->slots[l->given % l->depth];

    if (!l->n_threads) {
        prepare(l, s, l->given);
        return s;
    }
    pthread_mutex_lock(&l->lock);
    while (s->k != l->given || !s->ready)
        pthread_cond_wait(&l->ready, &l->lock);
    pthread_mutex_unlock(&l->lock);
    return s;
}

/* The batch leaves its slot; the tensors of the batch before take its place. */
static bool hand_over(tp_loader *l, slot *s, tp_batch *b)
{
    bool elsewhere = l->o.device && l->o.device != tp__cpu();
    tp_tensor **to[TP_FIELDS] = { &b->x, &b->y };

    for (int f = 2; f < TP_FIELDS; f++)
        to[f] = &b->extra[f - 2];
    for (int f = 0; f < l->d->s.fields; f++) {
        tp_tensor *t = s->field[f];

        TP_SCOPE;
        if (s->size < tp_dim(t, 0)) { /* a stream ended within it */
            tp_shape shape = t->shape;

            shape.n[0] = s->size;
            t = tp__keep(tp__view(t, shape, t->stride, t->offset));
            if (!t) return false;
            tp__free(s->field[f]), s->field[f] = elsewhere ? t : NULL;
        }
        if (elsewhere) {
            tp_ctx *c = tp__device_ctx(l->o.device);
            tp_tensor *on = tp__new(t->shape, (tp_dtype)t->dtype, l->o.device);

            if (!c || !on) return false;
            if (c->backend->upload(c, tp__data(on), tp__data(t), on->storage->bytes))
                return tp__fail(TP_ERR_DEVICE, "data", "%s", c->error), false;
            t = tp__keep(on);
        } else if (t == s->field[f]) {
            s->field[f] = l->out[f], l->out[f] = NULL;
        }
        tp__free(l->out[f]);
        l->out[f] = *to[f] = t;
    }
    b->size = s->size;
    return tp_ok();
}

static void give_back(tp_loader *l, slot *s)
{
    pthread_mutex_lock(&l->lock);
    s->k = -1, l->given++;
    pthread_cond_broadcast(&l->wanted);
    pthread_mutex_unlock(&l->lock);
}

static bool finished(const tp_loader *l)
{
    return l->over || (l->batches >= 0 && l->given >= l->batches);
}

/* A numbered batch that failed is made again when the caller has cleared the error; a stream
 * can't go back. */
static bool retry(tp_loader *l, slot *s)
{
    tp_fail(s->code, "%s", s->error);
    if (l->n < 0) l->over = true;
    pause_workers(l), l->failed = true;
    return false;
}

static bool next_batch(tp_loader *l, tp_batch *b)
{
    slot *s = take_slot(l);
    bool ok = false, partial = s->size < l->o.batch;

    if (s->code) return retry(l, s);
    if (s->size && !(l->n < 0 && partial && l->o.drop_last)) ok = hand_over(l, s, b);
    l->over = l->n < 0 && partial;
    l->fresh = l->given == 0;
    give_back(l, s);
    return ok;
}

/* A pass is over.  A loop that asks on and on would never end where none has a batch. */
static bool close_pass(tp_loader *l)
{
    l->pass++, l->ended = true; /* the next call begins anew */
    l->empty = l->any ? 0 : l->empty + 1;
    if (l->empty < 2) return true;
    l->empty = 1;
    TP_REQUIRE_IN("tp_data_next", l->n < 0, TP_ERR_ARG,
                  "a second pass without a batch: %lld samples, batch %lld%s: a smaller batch is wanted", (long long)l->n,
                  (long long)l->o.batch, l->o.drop_last ? ", drop_last" : "");
    tp__fail(TP_ERR_ARG, "tp_data_next",
             "a second pass without a batch: the stream ends before one of %lld%s is whole",
             (long long)l->o.batch, l->o.drop_last ? ", drop_last," : "");
    return false;
}

static bool next(tp_loader *l, tp_batch *b)
{
    if (b) memset(b, 0, sizeof *b);
    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_data_next", l && b, TP_ERR_ARG, "missing loader or batch");
    if (l->failed) resume_workers(l);
    if (l->ended && !begin_pass(l, 0)) return false;
    for (int tries = 0; tries < 2; tries++) {
        if (!finished(l) && next_batch(l, b)) return l->any = true;
        if (!tp_ok() || !close_pass(l)) return false;
        if (!l->o.endless || !begin_pass(l, 0)) return false;
    }
    return false;
}

bool tp_data_next(tp_loader *l, tp_batch *b)
{
    tp_probe *p = tp__me()->probe;
    int entered = tp__probe_enter(p, TP_PROBE_SPAN, __func__, (tp_cost){ 0, 0 });
    bool ok = next(l, b);

    if (p == tp__me()->probe) tp__probe_leave(p, entered);
    return ok;
}

/* ---- making ---- */

static bool start_threads(tp_loader *l)
{
    size_t bytes = sizeof *l->thread * (size_t)l->o.workers;

    if (!l->o.workers) return true;
    if (!(l->thread = tp__alloc(bytes))) return false;
    for (; l->n_threads < l->o.workers; l->n_threads++)
        TP_REQUIRE_IN("tp_data_loader", pthread_create(&l->thread[l->n_threads], NULL, worker, l) == 0, TP_ERR_MEMORY,
                      "no more threads after %d", l->n_threads);
    return true;
}

static bool set_up(tp_loader *l)
{
    l->n = l->o.sampler ? tp__sampler_count(l->o.sampler) : l->d->s.count;
    if (l->n < 0 && l->o.workers > 1) l->o.workers = 1; /* its samples come in one order */
    l->batches = l->n < 0 ? -1 : l->n / l->o.batch + (!l->o.drop_last && l->n % l->o.batch != 0);
    l->depth = l->o.workers ? 2 * l->o.workers + 1 : 1;
    if (!(l->slots = tp__alloc_zeroed(sizeof *l->slots * (size_t)l->depth))) return false;
    for (int i = 0; i < l->depth; i++)
        l->slots[i].k = -1;
    if ((l->o.shuffle || l->o.sampler) && !(l->order = tp__alloc(sizeof *l->order * (size_t)l->n))) return false;
    l->paused = true;
    return start_threads(l) && begin_pass(l, 0);
}

static bool possible(const tp_dataset *d, const tp_loader_opts *o)
{
    int64_t n = o->sampler ? tp__sampler_count(o->sampler) : tp_data_count(d);

    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_data_loader", d, TP_ERR_ARG, "missing data set");
    TP_REQUIRE_IN("tp_data_loader", o->batch > 0 && o->workers >= 0 && o->workers <= 64, TP_ERR_ARG,
                  "batch %lld, %d workers: at least 1, and 0 to 64", (long long)o->batch, o->workers);
    TP_REQUIRE_IN("tp_data_loader", !o->shuffle || d->s.count >= 0, TP_ERR_ARG, "a stream can't be shuffled");
    TP_REQUIRE_IN("tp_data_loader", !o->sampler || (!o->shuffle && d->s.count >= 0), TP_ERR_ARG,
                  "a sampler goes neither with shuffle nor with a stream");
    TP_REQUIRE_IN("tp_data_loader", !o->endless || n < 0 || n >= (o->drop_last ? o->batch : 1), TP_ERR_ARG,
                  "no batch of %lld in %lld samples: an endless loader would have none", (long long)o->batch,
                  (long long)n);
    return true;
}

tp_loader *tp_data_loader(tp_dataset *d, tp_loader_opts o)
{
    tp_loader *l;

    if (!o.batch) o.batch = 1;
    if (!possible(d, &o) || !(l = tp__alloc_zeroed(sizeof *l))) {
        tp_data_set_free(d), tp_data_sampler_free(o.sampler);
        return NULL;
    }
    l->d = d, l->o = o;
    pthread_mutex_init(&l->lock, NULL), pthread_mutex_init(&l->stream, NULL);
    pthread_cond_init(&l->wanted, NULL), pthread_cond_init(&l->ready, NULL);
    if (set_up(l)) return l;
    tp_data_free(l);
    return NULL;
}

static void stop_threads(tp_loader *l)
{
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->wanted);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->n_threads; i++)
        pthread_join(l->thread[i], NULL);
    tp__release(l->thread, sizeof *l->thread * (size_t)l->o.workers);
}

void tp_data_free(tp_loader *l)
{
    if (!l) return;
    stop_threads(l);
    for (int f = 0; f < TP_FIELDS; f++) {
        for (int i = 0; l->slots && i < l->depth; i++)
            tp__free(l->slots[i].field[f]);
        tp__free(l->out[f]);
    }
    pthread_mutex_destroy(&l->lock), pthread_mutex_destroy(&l->stream);
    pthread_cond_destroy(&l->wanted), pthread_cond_destroy(&l->ready);
    tp__release(l->slots, sizeof *l->slots * (size_t)l->depth);
    tp__release(l->order, sizeof *l->order * (size_t)l->n);
    tp_data_set_free(l->d), tp_data_sampler_free(l->o.sampler);
    tp__release(l, sizeof *l);
}

/* ---- questions, and the place ---- */

int64_t tp_data_batches(const tp_loader *l)
{
    return l ? l->batches : 0;
}

bool tp_data_new_pass(const tp_loader *l)
{
    return l && l->fresh;
}

tp_dataset *tp_data_of(const tp_loader *l)
{
    return l ? l->d : NULL;
}

tp_loader_opts tp_data_opts(const tp_loader *l)
{
    return l ? l->o : (tp_loader_opts){ 0 };
}

tp_position tp_data_position(const tp_loader *l)
{
    if (!l) return (tp_position){ 0, 0 };
    return (tp_position){ l->pass, l->ended ? 0 : l->given };
}

bool tp_data_seek(tp_loader *l, tp_position p)
{
    if (!tp_ok()) return false;
    TP_REQUIRE(l && p.pass >= 0 && p.pass <= TP_PASSES && p.batch >= 0 && (l->batches < 0 || p.batch <= l->batches), TP_ERR_ARG,
               "there is no batch %lld of pass %lld", (long long)p.batch, (long long)p.pass);
    l->pass = p.pass, l->empty = 0;
    return begin_pass(l, p.batch);
}
