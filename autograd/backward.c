/*
 * backward.c - one pass over the graph: nodes in falling number, each after all its users.
 */
#include "autograd/pass.h"

#include "autograd/cost.h"

#include <string.h>

/* ---- which nodes, in which order: a heap by number ---- */

static _Atomic uint64_t passes;

static bool make_room(pass *p)
{
    int room = p->room ? 2 * p->room : 256;
    size_t old = sizeof(tp_node *) * (size_t)p->room, bytes = sizeof(tp_node *) * (size_t)room;
    tp_node **heap, **order;

    if (p->n + p->n_heap + 1 < p->room) return true;
    if (!(heap = tp__grow(p->heap, old, bytes))) return false;
    p->heap = heap;
    if (!(order = tp__grow(p->order, old, bytes))) {
        p->heap = NULL, tp__release(heap, bytes);
        return false;
    }
    p->order = order, p->room = room;
    return true;
}

static bool running(const pass *p, uint64_t id)
{
    for (p = p->outer; p; p = p->outer)
        if (p->id == id) return true;
    return false;
}

static bool push(pass *p, tp_node *n)
{
    int i;

    if (!n || n->pass == p->id) return true;
    TP_REQUIRE_IN("backward", !running(p, n->pass), TP_ERR_ARG,
                  "%s is being differentiated already: a pass within a pass over the same graph",
                  tp__node_name(n));
    if (!make_room(p)) return false;
    n->pass = p->id, n->wanted = false, n->uses = 0;
    for (i = p->n_heap++; i && p->heap[(i - 1) / 2]->number < n->number; i = (i - 1) / 2)
        p->heap[i] = p->heap[(i - 1) / 2];
    p->heap[i] = n;
    return true;
}

static tp_node *pop(pass *p)
{
    tp_node *top = p->heap[0], *last = p->heap[--p->n_heap];
    int i = 0;

    for (int k; (k = 2 * i + 1) < p->n_heap; i = k) {
        if (k + 1 < p->n_heap && p->heap[k + 1]->number > p->heap[k]->number) k++;
        if (p->heap[k]->number < last->number) break;
        p->heap[i] = p->heap[k];
    }
    p->heap[i] = last;
    return top;
}

static bool collect(pass *p, tp_list roots)
{
    for (int i = 0; i < roots.n; i++)
        if (!push(p, (tp_node *)roots.t[i]->node)) return false;
    while (p->n_heap) {
        tp_node *n = p->order[p->n++] = pop(p);

        for (int i = 0; i < n->n_in; i++)
            if (!push(p, n->in[i].node)) return false;
    }
    return true;
}

/* A node is wanted when something below it is: a leaf that a tensor still refers to, or what
 * was asked for.  It counts those that will give to it. */
static void mark_wanted(pass *p, bool leaves)
{
    for (int k = p->n - 1; k >= 0; k--) {
        tp_node *n = p->order[k];

        n->wanted = leaves && !n->op && atomic_load(&n->handles) > 0;
        for (int i = 0; i < n->n_in; i++)
            if (tp__wants(n, i)) n->wanted = true;
        for (int i = 0; n->wanted && i < n->n_in; i++)
            if (n->in[i].node) n->in[i].node->uses++;
    }
}

/* ---- what can be refused is refused before any gradient has changed ---- */

static bool unchanged(const tp_node *n)
{
    for (int i = 0; i < n->n_saved; i++)
        if (n->saved[i].segment && !tp__segment_unchanged(n->saved[i].segment)) return false;
    for (int i = 0; i < n->n_saved; i++)
        TP_REQUIRE_IN("backward", !n->saved[i].storage ||
                      n->saved[i].storage->version == n->saved[i].version, TP_ERR_ARG,
                      "a tensor that %s needs for its gradient was changed in place after it ran",
                      tp__node_name(n));
    return true;
}

static bool usable(const pass *p)
{
    for (int k = 0; k < p->n; k++) {
        const tp_node *n = p->order[k];

        if (!n->wanted || !n->op) continue;
        TP_REQUIRE_IN("backward", !n->freed, TP_ERR_ARG,
                      "%s was already differentiated: retain_graph keeps what it needs",
                      tp__node_name(n));
        TP_REQUIRE_IN("backward", n->op->backward, TP_ERR_ARG, "%s has no derivative",
                      tp__node_name(n));
        if (!unchanged(n)) return false;
    }
    return true;
}

static bool seed_ok(tp_tensor *y, tp_tensor *dy)
{
    TP_REQUIRE_IN("backward", dy || tp_count(y) == 1, TP_ERR_SHAPE,
                  "%s is no scalar: give grad_output", tp__text(y));
    TP_REQUIRE_IN("backward", !dy || (tp__same(&dy->shape, &y->shape) && dy->dtype == y->dtype),
                  TP_ERR_SHAPE, "grad_output is %s for %s", tp__text(dy), tp__text(y));
    TP_REQUIRE_IN("backward", !dy || tp__device(dy) == tp__device(y), TP_ERR_DEVICE,
                  "grad_output is on %s, the root on %s", tp__device(dy)->name, tp__device(y)->name);
    return true;
}

static bool seed(tp_tensor *y, tp_tensor *dy)
{
    tp_slot *s = &((tp_node *)y->node)->out[y->out];

    if (!dy) dy = tp_full(y->shape, 1, (tp_dtype)y->dtype, tp__device(y));
    if (dy) tp__slot_add(s, dy); /* to what is there: the same root twice, or a leaf */
    return tp_ok();
}

/* ---- visits ---- */

static bool run_hooks(tp_slot *s, bool leaf)
{
    if (!s->hooks || tp__me()->second_run) return true;
    if (!tp__replayable("hook", "a function of the program runs once, replays don't call it")) return false;
    for (tp_hook *h = s->hooks; h && s->grad; h = h->next) {
        tp_tensor *g;

        if (leaf != (h->leaf != NULL)) continue;
        if (leaf) {
            if ((g = tp__alias(s->grad))) h->leaf(g, h->user);
        } else if ((g = h->f(s->grad, h->user))) {
            if (tp__slot_fits("hook", s, g)) tp__slot_put(s, g, false);
        }
        if (!tp_ok()) return false;
    }
    return true;
}

/* All of a leaf's gradient has arrived: it stays, so it must be nobody else's. */
static bool settle(tp_node *n)
{
    tp_slot *s = &n->out[0];
    bool arrived = s->grad != NULL;

    TP_SCOPE;
    if (!n->wanted && !s->asked) return true;
    if (s->asked || tp__recording()) return run_hooks(s, false);
    if (n->aside) {
        if (!run_hooks(s, false)) return false;
        if (s->grad) n->aside->storage->version++;
        if (s->grad && !tp__copy(n->aside, s->grad, true)) return false;
        tp__slot_put(s, n->aside, true);
        tp__free(n->aside), n->aside = NULL;
    } else if (s->hooks && !run_hooks(s, false)) {
        return false;
    }
    if (s->hooks && s->grad && atomic_load(&s->grad->refs) > 1) s->own = false; /* a hook keeps it */
    if (s->grad && !tp__slot_separate(s)) return false;
    if (s->grad && tp__me()->tape && !tp__note_leaf(n)) return false;
    return !arrived || !s->hooks || run_hooks(s, true);
}

/* Kernels that compute gradients are no recorded ops: what they wrote is looked at here. */
static bool gave_no_nan(const tp_node *n)
{
    for (int i = 0; i < n->n_in; i++) {
        tp_tensor *g = tp__wants(n, i) ? n->in[i].node->out[n->in[i].out].grad : NULL;

        if (!tp__nan_free(tp__node_name(n), "the gradient of input", i, TP_LIST(g))) return false;
    }
    return true;
}

static void watched_backward(tp_thread *me, tp_node *n)
{
    int in = tp__probe_enter(me->probe, TP_PROBE_BACKWARD, tp__node_name(n), tp__cost_backward(n));

    n->op->backward(n);
    tp__probe_leave(me->probe, in);
}

static bool differentiate(tp_node *n)
{
    tp_thread *me = tp__me();
    const char *outer = me->backward_of;
    bool any = false;

    for (int k = 0; k < n->n_out; k++) {
        if (n->out[k].hooks && !run_hooks(&n->out[k], false)) return false;
        any = any || n->out[k].grad;
    }
    if (!any || !n->wanted) return true;
    if (n->note) tp__path_push(n->note->path);
    me->backward_of = tp__node_name(n);
    if (me->probe) watched_backward(me, n);
    else n->op->backward(n);
    me->backward_of = outer;
    any = me->error == TP_OK && (!tp__anomaly(me) || gave_no_nan(n));
    if (n->note) tp__path_pop();
    return any;
}

static bool visit(tp_node *n, bool retain)
{
    bool ok;

    if (!n->op) return n->uses != 0 || settle(n); /* else settled when the last had given */
    {
        TP_SCOPE;
        ok = differentiate(n);
    }
    for (int k = 0; k < n->n_out; k++)
        if (!n->out[k].asked) tp__slot_forget(&n->out[k]);
    for (int i = 0; ok && n->wanted && i < n->n_in; i++) {
        tp_node *to = n->in[i].node;

        if (to && !to->op && --to->uses == 0) ok = settle(to), to->uses = -1;
    }
    if (!retain && n->wanted) tp__free_saved(n);
    return ok;
}

/* Leaves with hooks gather this pass's gradient apart from what they have. */
static void set_aside(pass *p, bool leaves)
{
    for (int k = 0; leaves && k < p->n; k++) {
        tp_node *n = p->order[k];

        if (n->op || !n->out[0].hooks || !n->out[0].grad || !tp__slot_separate(&n->out[0])) continue;
        n->aside = n->out[0].grad, n->out[0].grad = NULL, n->out[0].own = false;
    }
}

static void forget_all(pass *p, bool leaves) /* half a gradient is none */
{
    for (int k = 0; k < p->n; k++) {
        tp_node *n = p->order[k];

        tp__free(n->aside), n->aside = NULL;
        for (int i = 0; i < n->n_out; i++)
            if (n->op || leaves) tp__slot_forget(&n->out[i]);
    }
}

static bool walk(pass *p, tp_list ys, tp_grad_opts o, bool leaves)
{
    bool ok = true;

    set_aside(p, leaves);
    for (int i = 0; ok && i < ys.n; i++)
        ok = seed(ys.t[i], i ? NULL : o.grad_output);
    for (int k = 0; ok && k < p->n; k++)
        ok = visit(p->order[k], o.retain_graph || o.create_graph);
    if (!ok || !tp_ok()) forget_all(p, leaves);
    return ok && tp_ok();
}

static _Thread_local pass *innermost;

bool tp__pass_run(tp_list ys, tp_grad_opts o, bool leaves)
{
    TP__MODE(tp_grad_begin(o.create_graph));
    TP__MODE(tp_autocast_begin(TP_F32));
    TP_SCOPE;
    pass p = { .id = ++passes, .outer = innermost };
    bool ok;

    innermost = &p;
    for (int i = 0; i < ys.n; i++)
        if (!seed_ok(ys.t[i], i ? NULL : o.grad_output)) return innermost = p.outer, false;
    ok = collect(&p, ys);
    if (ok) mark_wanted(&p, leaves), ok = usable(&p);
    if (ok) ok = walk(&p, ys, o, leaves);
    tp__release(p.order, sizeof *p.order * (size_t)p.room);
    tp__release(p.heap, sizeof *p.heap * (size_t)p.room);
    innermost = p.outer;
    return ok;
}

/* ---- backward ---- */

bool tp__roots_ok(const char *where, tp_list ys)
{
    if (!tp__check(where, ys, ys.n)) return false;
    for (int i = 0; i < ys.n; i++)
        TP_REQUIRE_IN(where, ys.t[i]->node, TP_ERR_ARG,
                      "nothing that %s was made from requires a gradient", tp__text(ys.t[i]));
    return true;
}

bool tp_backward_with(tp_tensor *loss, tp_backward_opts o)
{
    tp_grad_opts all = { .retain_graph = o.retain_graph, .grad_output = o.grad_output };

    return tp__roots_ok("tp_backward", TP_LIST(loss)) && tp__pass_run(TP_LIST(loss), all, true);
}

bool tp_backward(tp_tensor *loss)
{
    return tp_backward_with(loss, (tp_backward_opts){ 0 });
}
