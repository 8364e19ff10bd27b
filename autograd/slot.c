/*
 * slot.c - gradients on their way: who may write where, and what is shared.
 */
#include "autograd/pass.h"

#include <string.h>

static tp_slot *slot_of(const tp_node *n, int input)
{
    return &n->in[input].node->out[n->in[input].out];
}

tp_shape tp__slot_shape(const tp_slot *s)
{
    tp_shape shape = { .rank = s->rank };

    for (int i = 0; i < s->rank; i++)
        shape.n[i] = s->n[i];
    return shape;
}

bool tp__wants(const tp_node *n, int input)
{
    const tp_edge *e = &n->in[input];

    return e->node && (e->node->wanted || e->node->out[e->out].asked);
}

tp_shape tp__in_shape(const tp_node *n, int input)
{
    return n->in[input].node ? tp__slot_shape(slot_of(n, input)) : TP_SCALAR;
}

int tp__inputs(const tp_node *n)
{
    return n->n_in;
}

int tp__outputs(const tp_node *n)
{
    return n->n_out;
}

const void *tp__attr(const tp_node *n)
{
    return n->attr;
}

tp_tensor *tp__dy(tp_node *n, int output)
{
    return n->out[output].grad;
}

const tp_op *tp__op(const tp_node *n)
{
    return n->op;
}

/* Views are passed where a place in their gradient may be one in their base's: see passes_on. */
tp_node *tp__maker(const tp_node *n, int input)
{
    for (tp_edge e = n->in[input]; e.node && e.node->op; e = e.node->in[0]) {
        const tp_slot *s = &e.node->out[e.out];

        if (e.node->n_out != 1 || e.node->uses != 1 || s->grad || s->hooks || s->asked) break;
        if (!e.node->op->view) return e.node;
    }
    return NULL;
}

void tp__tell_past(tp_node *n)
{
    n->out[0].past = true;
}

bool tp__is_past(const tp_node *n)
{
    return n->out[0].past;
}

bool tp__recording(void)
{
    return !tp__me()->no_grad;
}

/* ---- what was saved ---- */

static tp_tensor *unpack(tp_node *n, int i)
{
    tp_saved *s = &n->saved[i];
    tp_edge from = { NULL, 0 };
    tp_shape shape = { .rank = s->rank };
    tp_tensor *t;

    if (s->absent || !tp_ok() || (s->segment && !tp__segment_filled(s))) return NULL;
    for (int a = 0; a < s->rank; a++)
        shape.n[a] = s->n[a];
    if (!(t = tp__handle(s->storage, (tp_dtype)s->dtype, &shape, s->n + s->rank, s->offset)))
        return NULL;
    if (s->from < 0) from = (tp_edge){ n, -1 - s->from };
    else if (s->from != TP_INNER) from = n->in[s->from];
    if (from.node && tp__recording()) tp__attach(t, from.node, from.out);
    return t;
}

tp_tensor *tp__saved(tp_node *n, int i)
{
    TP_REQUIRE_IN("backward", n->saved[i].from != TP_INNER || !tp__recording() || n->saved[i].absent,
                  TP_ERR_ARG, "%s has no second derivative", tp__node_name(n));
    return unpack(n, i);
}

tp_tensor *tp__saved_constant(tp_node *n, int i)
{
    return unpack(n, i);
}

/* ---- who may write ---- */

bool tp__slot_put(tp_slot *s, tp_tensor *t, bool own)
{
    if (!t) return false;
    tp__retain(t);
    tp__free(s->grad);
    s->grad = t, s->own = own;
    return true;
}

void tp__slot_forget(tp_slot *s)
{
    tp__free(s->grad);
    s->grad = NULL, s->own = s->past = false;
}

/* Yes if the slot alone refers to the bytes, densely and in the tensor's layout. */
static bool exclusive(const tp_slot *s)
{
    return s->own || (atomic_load(&s->grad->refs) == 1 && atomic_load(&s->grad->storage->refs) == 1 &&
                      !s->grad->storage->borrowed && tp__dense(s->grad, (tp_layout)s->layout));
}

static tp_tensor *fresh(const tp_slot *s)
{
    return tp__new_as(tp__slot_shape(s), (tp_dtype)s->dtype, s->device, (tp_layout)s->layout);
}

bool tp__slot_separate(tp_slot *s)
{
    tp_tensor *t;

    if (exclusive(s)) return s->own = true;
    t = fresh(s);
    return t && tp__copy(t, s->grad, false) && tp__slot_put(s, t, true);
}

/* ---- places: where a derivative op writes ---- */

enum { DEEPEST = 16 }; /* views of views beyond this get gradients of their own */

static bool passes_on(const tp_node *n, int k, int depth, tp_look *look);

/* The strides that the gradient of output k of n will have when it is opened. */
static void predict(const tp_node *n, int k, int depth, int64_t *stride)
{
    const tp_slot *s = &n->out[k];
    tp_shape shape = tp__slot_shape(s);
    tp_look look;

    if (passes_on(n, k, depth, &look)) memcpy(stride, look.stride, sizeof look.stride);
    else tp__strides(&shape, (tp_layout)s->layout, stride);
}

/* May the gradient of this view be written into that of its base?  Then *look says where. */
static bool passes_on(const tp_node *n, int k, int depth, tp_look *look)
{
    const tp_slot *s = &n->out[k];
    int64_t stride[TP_MAX_AXES];
    tp_shape base;

    if (!n->op || !n->op->view || s->grad || s->asked || s->hooks || depth == DEEPEST ||
        !tp__wants(n, 0))
        return false;
    base = tp__slot_shape(slot_of(n, 0));
    predict(n->in[0].node, n->in[0].out, depth + 1, stride);
    return n->op->view(n, k, &base, stride, look);
}

/* Can a kernel that writes only dense tensors write the gradient where it belongs? */
static bool writable(const tp_node *n, int k, tp_layout as)
{
    tp_shape s = tp__slot_shape(&n->out[k]);
    int64_t stride[TP_MAX_AXES], dense[TP_MAX_AXES];

    predict(n, k, 0, stride);
    tp__strides(&s, as, dense);
    for (int i = 0; i < s.rank; i++)
        if (s.n[i] != 1 && stride[i] != dense[i]) return false;
    return true;
}

static bool zero(tp_tensor *t)
{
    tp_loop l = tp__loop(&t->shape, TP_LIST(t));

    return TP_RUN(fill, t, &l, 0, tp__data(t));
}

bool tp__slot_zero(tp_slot *s)
{
    TP_SCOPE;
    return s->grad || (tp__slot_put(s, fresh(s), true) && zero(s->grad));
}

/* That gradient, as a tensor to write through; *add says that it holds something already. */
static tp_tensor *open(tp_node *n, int k, int depth, bool *add)
{
    tp_slot *s = &n->out[k];
    tp_shape shape = tp__slot_shape(s);
    tp_tensor *t;
    tp_look look;

    *add = true;
    if (passes_on(n, k, depth, &look)) {
        if (!(t = open(n->in[0].node, n->in[0].out, depth + 1, add))) return NULL;
        if (!*add && tp__elements(&shape) != tp_count(t)) { /* the view leaves some of it out */
            if (!zero(t)) return NULL;
            *add = true;
        }
        return tp__view(t, shape, look.stride, t->offset + look.offset);
    }
    if (s->grad) return tp__slot_separate(s) ? s->grad : NULL;
    *add = false;
    t = fresh(s);
    return tp__slot_put(s, t, true) ? t : NULL;
}

tp_place tp__place(tp_sink to, tp_shape shape, const tp_tensor *like, tp_layout as, tp_want want)
{
    tp_place p = { NULL, false };
    tp_edge e = to.node ? to.node->in[to.input] : (tp_edge){ NULL, 0 };

    if (e.node && !tp__recording() && tp__wants(to.node, to.input) &&
        e.node->out[e.out].dtype == like->dtype &&
        (want == TP_ANY_STRIDES || writable(e.node, e.out, as))) {
        p.t = open(e.node, e.out, 0, &p.add);
        if (p.t) p.t->placed = true, p.t->storage->version++;
        return p;
    }
    p.t = tp__new_as(shape, (tp_dtype)like->dtype, tp__device(like), as);
    return p;
}

/* ---- giving ---- */

bool tp__slot_fits(const char *what, const tp_slot *s, const tp_tensor *g)
{
    tp_shape shape = tp__slot_shape(s);

    TP_REQUIRE_IN(what, tp__same(&g->shape, &shape) && g->dtype == s->dtype, TP_ERR_SHAPE,
                  "the gradient of %s %s can't be %s", tp_dtype_name((tp_dtype)s->dtype),
                  tp__shape_text(shape), tp__text(g));
    TP_REQUIRE_IN(what, tp__device(g) == s->device, TP_ERR_DEVICE, "a gradient on %s for a tensor on %s",
                  tp__device(g)->name, s->device->name);
    return true;
}

void tp__slot_add(tp_slot *s, tp_tensor *dx)
{
    if (!s->grad) {
        tp__slot_put(s, dx, false); /* shared with whoever else was given it */
    } else if (tp__recording()) {
        tp__slot_put(s, tp_add(s->grad, dx), false);
    } else if (tp__slot_separate(s)) {
        s->grad->storage->version++;
        tp__copy(s->grad, dx, true);
    }
}

void tp__give(tp_node *n, int input, tp_tensor *dx)
{
    tp_slot *s;

    if (!tp__wants(n, input) || !dx || !tp_ok()) return;
    if (dx->placed) { /* it lies there: from here on a gradient like others */
        dx->placed = false;
        return;
    }
    s = slot_of(n, input);
    if (tp__slot_fits(tp__node_name(n), s, dx)) tp__slot_add(s, dx);
}
