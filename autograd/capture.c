/*
 * capture.c - a step, recorded once and replayed.
 *
 * While a thread has a tape, memory of the device comes from blocks that the tape owns, so that what a replay
 * writes is nobody else's; draws count from a generator on the device, which is set before each replay;
 * and whatever a replay couldn't repeat is refused.
 */
#include "autograd/capture.h"

#include "autograd/pass.h"
#include "tensor/pool.h"

#include <string.h>

enum { WARM_UPS = 2 };

/* What was launched, as a number: kernels, dtypes and shapes in their order. */
typedef struct count {
    tp_probe probe; /* first */
    uint64_t hash;
    int64_t kernels;
} count;

struct tp_capture {
    tp_device *device;
    tp_step_fn *step;
    void *user;
    void *graph;       /* NULL: not recorded */
    tp_tensor *result; /* of the graph, kept; may be NULL */
    unsigned owner;
    uint64_t *generator;
    uint64_t draws; /* counters that a step uses */
    void *scratch;
    size_t scratch_bytes;
    int runs; /* until there is a graph */
    count last;
    tp_tape rehearsal; /* the last call before the recording */
    unsigned long context; /* that recorded it */
};

static atomic_uint owners;

tp_capture *tp_capture_new(tp_device *dev, tp_step_fn *step, void *user)
{
    tp_capture *c;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(dev, TP_ERR_ARG, "missing device");
    TP_REQUIRE(step, TP_ERR_ARG, "missing function");
    if (!(c = tp__alloc_zeroed(sizeof *c))) return NULL;
    c->device = c->rehearsal.device = dev, c->step = step, c->user = user;
    return c;
}

bool tp_capture_recorded(const tp_capture *c)
{
    return c && c->graph;
}

/* ---- what a step launches ---- */

static void mix(count *k, uint64_t v)
{
    k->hash = (k->hash ^ v) * 0x100000001B3;
}

static void on_kernel(tp_probe *p, const char *name, const tp_tensor *t)
{
    count *k = (count *)p;

    if (!strcmp(name, "fill"))
        return; /* gradients that stay are set to 0, others dropped */
    for (; *name; name++)
        mix(k, (unsigned char)*name);
    mix(k, t->dtype);
    for (int i = 0; i < t->shape.rank; i++)
        mix(k, (uint64_t)t->shape.n[i]);
    k->kernels++;
}

/* Replays cast anew what they have updated, so a recording has casts of its own. */
static void forget_casts(tp_thread *me)
{
    if (me->casts) me->forget_casts(me);
}

/* step, with its kernels counted instead of profiled; its result outlives its scope. */
static tp_tensor *counted(tp_capture *c, count *k)
{
    tp_thread *me = tp__me();
    tp_probe *before = me->probe;
    tp_tensor *y;
    TP_SCOPE;

    *k = (count){ .probe = { .kernel = on_kernel } };
    me->probe = &k->probe;
    forget_casts(me);
    y = c->step(c->user);
    forget_casts(me);
    me->probe = before;
    return tp_ok() && y ? tp_pass(tp_detach(y)) : NULL;
}

/* ---- leaves that it reaches ---- */

bool tp__note_leaf(tp_node *n)
{
    tp_tape *t = tp__me()->tape;
    int room = t->room ? 2 * t->room : 64;

    if (t->owner) n->out[0].grad->storage->recorded = true;
    if (t->leaves == t->room) {
        struct tp_counted **leaf = tp__grow(t->leaf, sizeof *leaf * (size_t)t->room,
                                            sizeof *leaf * (size_t)room);

        if (!leaf) return false;
        t->leaf = leaf, t->room = room;
    }
    atomic_fetch_add(&n->counted.refs, 1);
    t->leaf[t->leaves++] = &n->counted;
    return true;
}

static bool its_own(const tp_tape *t, const tp_tensor *x)
{
    return t && t->owner && tp__pool_owner(t->device->pool, x->storage->data) == t->owner;
}

bool tp__grad_stays(const tp_tensor *grad)
{
    return grad->storage->recorded && !its_own(tp__me()->tape, grad);
}

/* Of a recording that failed nothing was computed: gradients that it made are none. */
static void let_go(tp_tape *t, bool failed)
{
    for (int i = 0; i < t->leaves; i++) {
        tp_slot *s = &((tp_node *)t->leaf[i])->out[0];

        if (failed && s->grad && its_own(t, s->grad)) tp__slot_forget(s);
        tp__counted_release(t->leaf[i]);
    }
    tp__release(t->leaf, sizeof *t->leaf * (size_t)t->room);
    *t = (tp_tape){ .device = t->device };
}

/* A graph either writes a gradient or adds to it.  With a 0 where there is none it adds, which is right
 * whatever happens to gradients between replays; where the step drops them itself, it writes. */
static bool ready(const tp_tape *t)
{
    for (int i = 0; i < t->leaves; i++)
        if (!tp__slot_zero(&((tp_node *)t->leaf[i])->out[0])) return false;
    return true;
}

/* ---- recording ---- */

static bool may_record(tp_capture *c)
{
    tp_thread *me = tp__me();

    TP_REQUIRE_IN(
        "tp_capture_run", !tp__anomaly(me), TP_ERR_ARG,
        "anomaly mode reads every result: a captured step can't be recorded in it");
    if (!c->generator) c->generator = tp__pool_alloc(c->device, 2 * sizeof *c->generator);
    return c->generator && ready(&c->rehearsal);
}

/* The context's scratch is another's: the graph keeps its own. */
static void swap_scratch(tp_capture *c, tp_ctx *k)
{
    void *p = c->scratch;
    size_t bytes = c->scratch_bytes;

    c->scratch = k->scratch, c->scratch_bytes = k->scratch_bytes;
    k->scratch = p, k->scratch_bytes = bytes;
}

static bool same_as_before(const count *a, const count *b)
{
    TP_REQUIRE_IN("tp_capture_run", a->kernels == b->kernels && a->hash == b->hash,
                  TP_ERR_ARG,
                  "the step launched %lld kernels, and %lld the time before, or others: "
                  "what it does must not "
                  "change",
                  (long long)b->kernels, (long long)a->kernels);
    return true;
}

/* The step with kernels noted by the device; its result, which no replay has computed yet. */
static tp_tensor *note(tp_capture *c, tp_ctx *k, tp_tape *t)
{
    tp_thread *me = tp__me();
    tp_tensor *y;
    count now;
    int failed = k->backend->record(k);

    if (failed) return tp__device_failed("tp_capture_run", k, failed);
    swap_scratch(c, k);
    me->tape = t;
    y = counted(c, &now);
    me->tape = NULL;
    swap_scratch(c, k);
    if (tp_ok()) same_as_before(&c->last, &now);
    failed = k->backend->recorded(k, tp_ok() ? &c->graph : NULL);
    if (failed) tp__device_failed("tp_capture_run", k, failed);
    return tp_ok() ? y : NULL;
}

static void forget(tp_capture *c, tp_ctx *k)
{
    if (c->graph) k->backend->discard(k, c->graph);
    if (c->scratch) tp__pool_release(c->device, c->scratch, c->scratch_bytes);
    tp__pool_disown(c->device->pool, c->owner);
    c->graph = c->scratch = NULL, c->scratch_bytes = 0, c->owner = 0;
}

static bool record(tp_capture *c, tp_ctx *k)
{
    tp_thread *me = tp__me();
    tp_tape t = {
        .device = c->device, .owner = ++owners, .generator = c->generator, .from = me->rng
    };
    tp_tensor *y;
    TP_SCOPE;

    c->owner = t.owner;
    y = note(c, k, &t);
    c->draws = me->rng.offset - t.from.offset, me->rng = t.from;
    if (y) c->result = tp__keep(y);
    let_go(&t, !tp_ok());
    if (tp_ok()) let_go(&c->rehearsal, false);
    else forget(c, k);
    c->context = k->serial;
    return tp_ok();
}

/* ---- running ---- */

static bool replay(tp_capture *c, tp_ctx *k)
{
    tp_thread *me = tp__me();
    uint64_t now[2] = { me->rng.seed, me->rng.offset };
    int failed;

    if (c->draws && !tp__upload("tp_capture_run", k, c->generator, now, sizeof now)) return false;
    if ((failed = k->backend->replay(k, c->graph))) return tp__device_failed("tp_capture_run", k, failed);
    me->rng.offset += c->draws;
    forget_casts(me); /* of what it has written without telling versions */
    return true;
}

/* Under the rules of a recording from the second time on. */
static tp_tensor *call(tp_capture *c)
{
    tp_thread *me = tp__me();
    tp_tensor *y;

    let_go(&c->rehearsal, false);
    if (c->runs > 0) c->rehearsal.from = me->rng, c->rehearsal.furthest = 0, me->tape = &c->rehearsal;
    y = counted(c, &c->last);
    me->tape = NULL;
    if (tp_ok()) c->runs++;
    return y;
}

tp_tensor *tp_capture_run(tp_capture *c)
{
    tp_ctx *k;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(c, TP_ERR_ARG, "missing capture");
    if (!tp__replayable(__func__, "a step within a step") ||
        !(k = tp__device_ctx(c->device)))
        return NULL;
    if (c->runs < WARM_UPS || !k->backend->record) return call(c);
    if (!c->graph && (!may_record(c) || !record(c, k))) return NULL;
    TP_REQUIRE(c->context == k->serial, TP_ERR_ARG,
               "another thread has recorded it, or this one before tp_thread_end");
    return replay(c, k) && c->result ? tp__alias(c->result) : NULL;
}

void tp_capture_free(tp_capture *c)
{
    tp_ctx *k = c && c->owner ? tp__device_ctx(c->device) : NULL;

    if (!c) return;
    tp__free(c->result);
    let_go(&c->rehearsal, false);
    if (k) forget(c, k);
    if (c->generator) tp__pool_release(c->device, c->generator, 2 * sizeof *c->generator);
    tp__release(c, sizeof *c);
}
