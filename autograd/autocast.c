/*
 * autocast.c - what runs in which dtype while autocast is on, as torch.autocast("cpu"), and on a GPU
 * or with f16, whose numbers end at 65504, as torch.autocast("cuda").
 *
 *   down, to its dtype   products: linear, matmul, einsum, conv*, conv_transpose*, attention,
 *                        lstm, gru, rnn
 *   up, to f32           losses (but cross_entropy of labels, whose sums are f32 anyway), and prod;
 *                        on a GPU also exp, expm1, log, log1p, pow, reciprocal, rsqrt, softplus, softmax, log_softmax, logsumexp, sum, mean, norm, var, cumsum,
 *                        cumprod, layer_norm, group_norm, rms_norm
 *   as operands are      all else
 *
 * A parameter is used several times in one region and cast once: leaves that require a gradient
 * are remembered by storage and version.  A change in place is another version, so it is cast anew.
 * All are forgotten where the outermost region ends.
 */
#include "autograd/node.h"

typedef struct tp_made {
    struct tp_made *next;
    tp_storage *storage; /* held, so that its address stays its own */
    unsigned version;
    int64_t offset;
    const tp_counted
        *leaf; /* that its gradient reaches, and whose node it holds; NULL: not recorded */
    tp_tensor *made;
} tp_made;

static void forget(tp_made *c)
{
    tp__free(c->made), tp__storage_release(c->storage);
    tp__release(c, sizeof *c);
}

static void forget_all(tp_thread *me)
{
    for (tp_made *c; (c = me->casts);) {
        me->casts = c->next;
        forget(c);
    }
}

tp_mode tp_autocast_begin(tp_dtype d)
{
    tp_thread *me = tp__me();
    tp_mode m = { TP_MODE_AUTOCAST, (unsigned char)me->autocast };

    if (d == TP_F32 || d == TP_BF16 || d == TP_F16) me->autocast = d;
    else tp__fail(TP_ERR_DTYPE, "autocast", "to %s isn't offered: bf16 or f16", tp_dtype_name(d));
    return m;
}

void tp__autocast_end(tp_thread *me, tp_dtype before)
{
    me->autocast = before;
    if (before == TP_F32) forget_all(me);
}

/* The place in the list where x's cast is, or NULL; one of an older version is forgotten. */
static tp_made *find(tp_thread *me, const tp_tensor *x)
{
    for (tp_made **at = &me->casts, *c; (c = *at); at = &c->next) {
        if (c->storage != x->storage || c->offset != x->offset) continue;
        if (c->made->dtype == me->autocast && c->version == x->storage->version && tp__same(&c->made->shape, &x->shape) &&
            (c->leaf ? c->leaf == x->node : me->no_grad))
            return c;
        *at = c->next;
        forget(c);
        return NULL;
    }
    return NULL;
}

/* Is x what is worth remembering?  A second run makes its own, which its graph must have. */
static bool lasting(const tp_thread *me, const tp_tensor *x)
{
    return tp__is_leaf(x) && !me->second_run;
}

static tp_tensor *cast_once(tp_thread *me, tp_tensor *x)
{
    tp_made *c = find(me, x);
    tp_tensor *y;

    if (c) return c->made;
    if (!(y = tp_cast(x, me->autocast)) || !(c = tp__alloc(sizeof *c))) return NULL;
    *c = (tp_made){ me->casts, tp__storage_retain(x->storage), x->storage->version,
                    x->offset, y->node ? x->node : NULL,       tp__keep(y) };
    me->casts = c, me->forget_casts = forget_all;
    return y;
}

tp_tensor *tp__autocast(tp_tensor *x)
{
    tp_thread *me = tp__me();

    if (!x || me->autocast == TP_F32 || x->dtype == me->autocast || !tp__is_float(x) || x->dtype == TP_F64) return x;
    return lasting(me, x) ? cast_once(me, x) : tp_cast(x, me->autocast);
}

tp_tensor *tp__autocast_loss(tp_tensor *x)
{
    bool narrow = x && (x->dtype == TP_BF16 || x->dtype == TP_F16);

    return narrow && tp__me()->autocast != TP_F32 ? tp_cast(x, TP_F32) : x;
}

tp_tensor *tp__autocast_wide(tp_tensor *x)
{
    tp_dtype to = tp__me()->autocast;
    bool narrow = x && (x->dtype == TP_BF16 || x->dtype == TP_F16);

    return narrow && (to == TP_F16 || (to == TP_BF16 && tp__device(x) != tp__cpu())) ? tp_cast(x, TP_F32) : x;
}
