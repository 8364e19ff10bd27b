/*
 * node.c - recorded calls: made in one block, released without recursion.
 */
#include "autograd/cost.h"

#include <string.h>

static _Atomic uint64_t numbers;

const char *tp__node_name(const tp_node *n)
{
    return n->op ? n->op->name : "a leaf";
}

/* ---- release ---- */

static void drop_hooks(tp_slot *s)
{
    for (tp_hook *h; (h = s->hooks);) {
        s->hooks = h->next;
        tp__release(h, sizeof *h);
    }
}

void tp__free_saved(tp_node *n)
{
    for (int i = 0; i < n->n_saved; i++) {
        tp__storage_release(n->saved[i].storage), n->saved[i].storage = NULL;
        if (n->saved[i].segment) tp__segment_drop(&n->saved[i]);
    }
    n->freed = n->freed || n->n_saved > 0;
}

static void drop(tp_node *n)
{
    tp__free_saved(n);
    for (int k = 0; k < n->n_out; k++) {
        tp__free(n->out[k].grad);
        if (n->out[k].hooks) drop_hooks(&n->out[k]);
    }
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i].node) tp__counted_release(&n->in[i].node->counted);
    if (n->note) tp__release(n->note, n->note->size);
    tp__free(n->aside);
    tp__release(n, n->bytes);
}

/* Dropping a node may release the nodes before it; they queue up here instead of on the stack. */
static void release(tp_counted *c)
{
    tp_thread *me = tp__me();
    tp_node *n = (tp_node *)c;

    n->next = me->released, me->released = n;
    if (me->releasing) return;
    me->releasing = true;
    while ((n = me->released)) {
        me->released = n->next;
        drop(n);
    }
    me->releasing = false;
}

static void unhandled(tp_counted *c)
{
    atomic_fetch_sub_explicit(&((tp_node *)c)->handles, 1, memory_order_relaxed);
}

/* ---- making ---- */

static size_t aligned(size_t bytes)
{
    return (bytes + 15) & ~(size_t)15;
}

static int ranks(tp_list l)
{
    int n = 0;

    for (int i = 0; i < l.n; i++)
        n += l.t[i] ? l.t[i]->shape.rank : 0;
    return n;
}

/* The block: node, edges, slots, saved tensors, their sizes, attributes. */
static tp_node *make(const tp_op *op, int n_in, tp_list out, tp_list saved, size_t attr_bytes,
                     int64_t **sizes)
{
    size_t in_at = aligned(sizeof(tp_node)), out_at = in_at + sizeof(tp_edge) * (size_t)n_in;
    size_t saved_at = out_at + sizeof(tp_slot) * (size_t)out.n;
    size_t sizes_at = saved_at + sizeof(tp_saved) * (size_t)saved.n;
    size_t attr_at = aligned(sizes_at + sizeof(int64_t) * (size_t)(ranks(out) + 2 * ranks(saved)));
    char *block = tp__alloc(attr_at + attr_bytes);
    tp_node *n = (tp_node *)block;

    if (!n) return NULL;
    atomic_init(&n->counted.refs, out.n); /* one for each output */
    n->counted.release = release, n->counted.unhandled = op ? NULL : unhandled;
    n->op = op, n->number = atomic_fetch_add_explicit(&numbers, 1, memory_order_relaxed) + 1;
    n->pass = 0, n->wanted = n->freed = false, n->bytes = (unsigned)(attr_at + attr_bytes);
    n->n_in = (unsigned short)n_in, n->n_out = (unsigned short)out.n;
    n->n_saved = (unsigned short)saved.n, n->uses = 0;
    atomic_init(&n->handles, 1); /* a leaf's tensor */
    n->in = (tp_edge *)(block + in_at), n->out = (tp_slot *)(block + out_at);
    n->saved = (tp_saved *)(block + saved_at), n->attr = block + attr_at;
    n->note = NULL, n->aside = NULL, n->next = NULL;
    *sizes = (int64_t *)(block + sizes_at);
    return n;
}

void tp__attach(tp_tensor *t, tp_node *n, int out)
{
    atomic_fetch_add_explicit(&n->counted.refs, 1, memory_order_relaxed);
    if (!n->op) atomic_fetch_add_explicit(&n->handles, 1, memory_order_relaxed);
    t->node = &n->counted, t->out = (unsigned short)out;
}

static int64_t *copy_sizes(int64_t *to, const int64_t *from, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = from[i];
    return to + n;
}

static int64_t *adopt(tp_node *n, int k, tp_tensor *t, int64_t *sizes)
{
    n->out[k] = (tp_slot){ .n = sizes, .rank = (unsigned char)t->shape.rank, .dtype = t->dtype,
                           .layout = (unsigned char)tp__layout_of(t), .device = tp__device(t) };
    t->node = &n->counted, t->out = (unsigned short)k;
    return copy_sizes(sizes, t->shape.n, t->shape.rank);
}

static int where(const tp_tensor *t, tp_list in, tp_list out)
{
    for (int i = 0; i < in.n; i++)
        if (t == in.t[i]) return i;
    for (int k = 0; k < out.n; k++)
        if (t == out.t[k]) return -1 - k;
    return TP_INNER;
}

static int64_t *save(tp_saved *s, const tp_tensor *t, int from, int64_t *sizes)
{
    *s = (tp_saved){ .from = from, .absent = !t };
    if (!t) return sizes;
    s->version = t->storage->version, s->rank = (unsigned char)t->shape.rank;
    s->dtype = t->dtype, s->n = sizes, s->offset = t->offset;
    if (!tp__segment_now() || !tp__segment_save(tp__segment_now(), s, t))
        s->storage = tp__storage_retain(t->storage);
    sizes = copy_sizes(sizes, t->shape.n, t->shape.rank);
    return copy_sizes(sizes, t->stride, t->shape.rank);
}

/* ---- recording ---- */

bool tp__will_record(tp_list in)
{
    if (tp__me()->no_grad) return false;
    for (int i = 0; i < in.n; i++)
        if (in.t[i] && in.t[i]->node) return true;
    return false;
}

static void connect(tp_node *n, tp_list in)
{
    for (int i = 0; i < in.n; i++) {
        tp_node *from = in.t[i] ? (tp_node *)in.t[i]->node : NULL;

        n->in[i] = (tp_edge){ from, from ? in.t[i]->out : 0 };
        if (from) atomic_fetch_add_explicit(&from->counted.refs, 1, memory_order_relaxed);
    }
}

static tp_note *note(const tp_op *op, tp_list in, tp_list out)
{
    const char *path = tp__path_text();
    size_t size = sizeof(tp_note) + strlen(path) + 1;
    tp_note *n = tp__alloc(size);

    if (!n) return NULL;
    n->size = size, n->cost = tp__cost_whole(op->name, in, out);
    strcpy(n->path, path);
    return n;
}

bool tp__record_all(const tp_op *op, tp_list in, tp_list out, tp_list saved, const void *attr,
                    size_t bytes)
{
    tp_thread *me = tp__me();
    int64_t *sizes;
    tp_node *n;

    if (me->error != TP_OK) return false;
    if (me->probe && me->probe->op) me->probe->op(me->probe, op->name, tp__cost_own(op->name, in, out));
    if (tp__anomaly(me) && !tp__nan_free(op->name, "output", 0, out)) return false;
    if (!tp__will_record(in)) return true;
    if (!(n = make(op, in.n, out, saved, bytes, &sizes))) return false;
    connect(n, in);
    for (int i = 0; i < saved.n; i++)
        sizes = save(&n->saved[i], saved.t[i], where(saved.t[i], in, out), sizes);
    if (me->second_run)
        for (int i = 0; i < saved.n; i++)
            if (saved.t[i]) tp__segment_refill(saved.t[i]);
    for (int k = 0; k < out.n; k++)
        sizes = adopt(n, k, out.t[k], sizes);
    if (bytes) memcpy(n->attr, attr, bytes);
    return (!me->probe && !tp__anomaly(me)) || (n->note = note(op, in, out));
}

tp_tensor *tp__record(const tp_op *op, tp_list in, tp_tensor *out, tp_list saved,
                      const void *attr, size_t bytes)
{
    return out && tp__record_all(op, in, TP_LIST(out), saved, attr, bytes) ? out : NULL;
}

/* ---- leaves ---- */

tp_tensor *tp_requires_grad(tp_tensor *t, bool on)
{
    int64_t *sizes;
    tp_node *n;

    if (!tp__check(__func__, TP_LIST(t), 1)) return NULL;
    TP_REQUIRE(tp__is_float(t), TP_ERR_DTYPE, "%s can't have a gradient", tp__text(t));
    n = (tp_node *)t->node;
    TP_REQUIRE(!n || !n->op, TP_ERR_ARG, "the result of %s is no leaf: tp_detach it first",
               tp__node_name(n));
    if (on == (n != NULL)) return t;
    if (on) {
        if (!(n = make(NULL, 0, TP_LIST(t), TP_NONE_SAVED, 0, &sizes))) return NULL;
        adopt(n, 0, t, sizes);
    } else {
        t->node = NULL;
        unhandled(&n->counted);
        tp__counted_release(&n->counted);
    }
    return t;
}

bool tp_needs_grad(const tp_tensor *t)
{
    return tp__there(__func__, t) && t->node;
}

static tp_slot *leaf(const tp_tensor *t)
{
    tp_node *n = t ? (tp_node *)t->node : NULL;

    return n && !n->op ? &n->out[0] : NULL;
}

bool tp__is_leaf(const tp_tensor *t)
{
    return leaf(t) != NULL;
}

tp_tensor *tp__grad_peek(const tp_tensor *t)
{
    tp_slot *s = leaf(t);

    return s ? s->grad : NULL;
}

tp_tensor *tp_grad(tp_tensor *t)
{
    tp_slot *s;

    if (!tp__check(__func__, TP_LIST(t), 1)) return NULL;
    s = leaf(t);
    return s && s->grad ? tp__alias(s->grad) : NULL;
}

bool tp_zero_grad(tp_tensor *t)
{
    tp_slot *s;

    if (!tp__check(__func__, TP_LIST(t), 1)) return false;
    s = leaf(t);
    if (s && s->grad && tp__grad_stays(s->grad)) return tp_fill_(s->grad, 0);
    if (s) tp__free(s->grad), s->grad = NULL, s->own = false;
    return true;
}
