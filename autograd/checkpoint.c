/*
 * checkpoint.c - memory for time (Chen et al. 2016, "Training Deep Nets with Sublinear Memory
 * Cost"), by running a function again when backward first asks for what it saved.
 *
 * During the first run a saved tensor leaves only its place in a list.  The second run saves
 * the same tensors in the same order, which fills the list; it happens under the random
 * numbers and modes of the first and records nothing that outlives it.
 */
#include "autograd/node.h"

#include <string.h>

enum { MOST_IN = 16, MOST_OUT = 16 };

typedef struct entry {
    tp_storage *storage; /* of the second run */
    tp_storage *first;   /* of the first run, if it was a leaf's: a parameter, held */
    int64_t offset, stride[TP_MAX_AXES];
    unsigned version;
    unsigned char dtype;
    tp_shape shape;
} entry;

typedef struct tp_segment {
    atomic_int refs;
    tp_multi_fn *f;
    void *user;
    void (*done)(void *user);
    tp_tensor *in[MOST_IN];
    unsigned version[MOST_IN];
    int n_in;
    tp_rng rng;
    tp_dtype autocast;
    bool filled;
    entry *saved;
    int n, room, at;
} tp_segment;

static _Thread_local tp_segment *first_run, *second_run;

tp_segment *tp__segment_now(void)
{
    return first_run;
}

static void release(tp_segment *g)
{
    if (!g || atomic_fetch_sub(&g->refs, 1) != 1) return;
    for (int i = 0; i < g->n_in; i++)
        tp__free(g->in[i]);
    for (int i = 0; i < g->n; i++)
        tp__storage_release(g->saved[i].storage), tp__storage_release(g->saved[i].first);
    if (g->done) g->done(g->user);
    tp__release(g->saved, sizeof *g->saved * (size_t)g->room);
    tp__release(g, sizeof *g);
}

void tp__segment_drop(tp_saved *s)
{
    tp_segment *g = s->segment;

    tp__storage_release(g->saved[s->place].storage);
    g->saved[s->place].storage = NULL;
    s->segment = NULL;
    release(g);
}

bool tp__segment_save(tp_segment *g, tp_saved *s, const tp_tensor *t)
{
    const tp_node *n = (const tp_node *)t->node;

    if (g->n == g->room) {
        int room = g->room ? 2 * g->room : 32;
        entry *grown = tp__grow(g->saved, sizeof *grown * (size_t)g->room, sizeof *grown * (size_t)room);

        if (!grown) return false; /* saved in the ordinary way; the pending error ends the call */
        g->saved = grown, g->room = room;
    }
    g->saved[g->n] = (entry){ .version = t->storage->version, .dtype = t->dtype, .shape = t->shape };
    if (n && !n->op) g->saved[g->n].first = tp__storage_retain(t->storage);
    s->segment = g, s->place = (unsigned)g->n++;
    atomic_fetch_add(&g->refs, 1);
    return true;
}

/* The second run saves t: it is what the first saved at the same place. */
void tp__segment_refill(const tp_tensor *t)
{
    tp_segment *g = second_run;
    entry *e = g && g->at < g->n ? &g->saved[g->at] : NULL;

    if (first_run) return; /* a checkpoint inside this one keeps its own list */
    if (g) g->at++;
    if (!e) return;
    if (!tp__same(&e->shape, &t->shape) || e->dtype != t->dtype) {
        tp__fail(TP_ERR_SHAPE, "tp_checkpoint", "the function saved %s %s the first time and %s the second",
                 tp_dtype_name((tp_dtype)e->dtype), tp__shape_text(e->shape), tp__text(t));
        return;
    }
    e->storage = tp__storage_retain(t->storage);
    e->offset = t->offset, memcpy(e->stride, t->stride, sizeof e->stride);
}

/* Asked before a pass begins, so that a refusal changes nothing. */
bool tp__segment_unchanged(const tp_segment *g)
{
    for (int i = 0; i < g->n_in; i++)
        TP_REQUIRE_IN("tp_checkpoint", !g->in[i] || g->in[i]->storage->version == g->version[i], TP_ERR_ARG,
                      "input %d was changed in place since the first run", i);
    for (int i = 0; i < g->n; i++)
        TP_REQUIRE_IN("tp_checkpoint", !g->saved[i].first || g->saved[i].first->version == g->saved[i].version,
                      TP_ERR_ARG, "a parameter, %s, was changed in place since the first run",
                      tp__shape_text(g->saved[i].shape));
    return true;
}

/* ---- the second run ---- */

static bool inputs_again(tp_segment *g, tp_tensor **in)
{
    for (int i = 0; i < g->n_in; i++) {
        in[i] = g->in[i] ? tp__alias(g->in[i]) : NULL;
        if (!in[i]) continue;
        TP_REQUIRE_IN("tp_checkpoint", in[i]->storage->version == g->version[i], TP_ERR_ARG,
                      "input %d was changed in place since the first run", i);
        if (g->in[i]->node && !tp_requires_grad(in[i], true)) return false;
    }
    return tp_ok();
}

static bool again(tp_segment *g)
{
    tp_thread *me = tp__me();
    tp_segment *outer = second_run, *outer_first = first_run;
    tp_rng rng = tp_rng_save();
    bool was = me->second_run;
    tp_tensor *in[MOST_IN], *out[MOST_OUT];
    TP_WITH_GRAD;
    TP_AUTOCAST(g->autocast);
    TP_SCOPE;

    second_run = g, first_run = NULL, g->at = 0, me->second_run = true;
    me->rng = g->rng;
    if (inputs_again(g, in)) g->f((tp_list){ in, g->n_in }, g->user, out, MOST_OUT);
    me->rng = rng;
    second_run = outer, first_run = outer_first, me->second_run = was;
    TP_REQUIRE_IN("tp_checkpoint", g->at == g->n || !tp_ok(), TP_ERR_ARG,
                  "the function saved %d tensors the first time and %d the second", g->n, g->at);
    return g->filled = tp_ok();
}

static void forget(tp_segment *g)
{
    for (int i = 0; i < g->n; i++)
        tp__storage_release(g->saved[i].storage), g->saved[i].storage = NULL;
}

bool tp__segment_filled(tp_saved *s)
{
    tp_segment *g = s->segment;
    entry *e = &g->saved[s->place];

    if (!g->filled && !again(g)) return forget(g), false;
    s->storage = tp__storage_retain(e->storage);
    s->version = e->storage->version, s->offset = e->offset;
    memcpy(s->n + s->rank, e->stride, sizeof *e->stride * s->rank);
    tp__segment_drop(s);
    return true;
}

/* ---- the first run ---- */

static tp_segment *begin(tp_multi_fn *f, tp_list in, void *user, void (*done)(void *))
{
    tp_segment *g = tp__alloc_zeroed(sizeof *g);

    if (!g) return NULL;
    atomic_init(&g->refs, 1);
    g->f = f, g->user = user, g->done = done, g->rng = tp_rng_save(), g->autocast = tp__me()->autocast;
    for (int i = 0; i < in.n; i++) {
        g->in[i] = in.t[i] ? tp__keep(tp__alias(in.t[i])) : NULL;
        g->n_in++;
        if (!g->in[i]) continue;
        if (in.t[i]->node) tp__attach(g->in[i], (tp_node *)in.t[i]->node, in.t[i]->out);
        g->version[i] = in.t[i]->storage->version;
    }
    return g;
}

static bool possible(tp_multi_fn *f, tp_list in, tp_tensor **out, int room)
{
    if (!tp__check("tp_checkpoint", in, 0)) return false;
    TP_REQUIRE_IN("tp_checkpoint", f && out, TP_ERR_ARG, "missing function, or no room for its outputs");
    TP_REQUIRE_IN("tp_checkpoint", in.n <= MOST_IN && room <= MOST_OUT && room > 0, TP_ERR_ARG,
                  "%d inputs and room for %d outputs: at most %d, and 1 to %d", in.n, room, MOST_IN, MOST_OUT);
    return true;
}

int tp__checkpoint(tp_multi_fn *f, tp_list in, void *user, void (*done)(void *user), tp_tensor **out,
                   int room)
{
    tp_segment *outer = first_run, *g = NULL;
    int n = -1;

    TP_SCOPE; /* what happens inside is gone afterwards: that is the point */
    if (possible(f, in, out, room) && tp__recording()) g = begin(f, in, user, done);
    if (g) first_run = g;
    if (tp_ok()) n = f(in, user, out, room);
    first_run = outer;
    if (n > room) tp__fail(TP_ERR_ARG, "tp_checkpoint", "%d outputs where there is room for %d", n, room);
    if (n < 0 && tp_ok()) tp__fail(TP_ERR_USER, "tp_checkpoint", "the function failed without an error");
    for (int i = 0; tp_ok() && i < n; i++)
        if (!tp_pass(out[i])) tp__fail(TP_ERR_ARG, "tp_checkpoint", "the function gave no output %d", i);
    if (g) release(g);
    else if (done) done(user);
    return tp_ok() ? n : -1;
}

int tp_checkpoint(tp_multi_fn *f, tp_list in, void *user, tp_tensor **out, int room)
{
    return tp__checkpoint(f, in, user, NULL, out, room);
}
