/*
 * init.c - drawing parameters.
 *
 * Numbers come from the thread's generator, on the host and in the order of description, so
 * that a seed gives the same weights on every device.
 */
#include "nn/internal.h"

#include <string.h>

/* In the dtype that the entry wants: drawn in f32, then cast, so a seed means one network. */
static tp_tensor *drawn(const tp_entry *e)
{
    tp_device *host = tp_device_open("cpu");
    tp_tensor *t;

    if (e->init.kind == TP_INIT_CONSTANT) return tp_full(e->shape, e->init.a, e->dtype, host);
    if (e->init.kind == TP_INIT_UNIFORM) {
        t = tp_rand(e->shape, host);
        t = tp_affine(t, e->init.b - e->init.a, e->init.a);
    } else {
        t = tp_affine(tp_randn(e->shape, host), e->init.b, e->init.a);
    }
    if (e->zero_row && t && !tp_fill_(tp_slice(t, 0, e->zero_row - 1, e->zero_row), 0)) return NULL;
    return tp_cast(t, e->dtype);
}

/* Where tensors go, and in which dtype. */
typedef struct moving {
    tp_device *dev;
    tp_dtype dtype;
} moving;

/* The entry's tensor becomes t but stays the same handle: optimizers and tied entries hold it. */
static void become(tp_entry *e, tp_tensor *t)
{
    if (e->t) tp__swap(e->t, t);
    else tp__entry_put(e, tp_keep(t));
}

static bool place(void *user, const char *name, tp_module *m, tp_entry *e)
{
    moving *k = user;
    tp_device *dev = k->dev;
    tp_rng before = tp_rng_save();
    tp_tensor *t;

    TP_SCOPE;
    TP_NO_GRAD;
    (void)name, (void)m;
    if (e->t && tp_device_of(e->t) == dev) return true;
    t = tp_to(e->t ? e->t : drawn(e), dev);
    if (!t || !(t = tp_clone(t)) || /* nobody else's bytes */
        (!e->buffer && !e->frozen && !tp_requires_grad(t, true)))
        return tp_rng_restore(before), false; /* a failure draws nothing */
    e->fresh = e->fresh || !e->t;
    become(e, t);
    return true;
}

static bool settle_one(void *user, const char *name, tp_module *m)
{
    TP_SCOPE;
    TP_NO_GRAD;
    (void)user, (void)name;
    if (m->settle && !m->settle(m)) return false;
    for (int i = 0; i < m->n_entry; i++)
        m->entry[i].fresh = false;
    return true;
}

tp_module *tp_nn_init(tp_module *m, tp_device *dev)
{
    if (!tp_ok()) return m; /* also after a failure: the caller may hold it by this result alone */
    if (!m) return tp__fail(TP_ERR_ARG, __func__, "missing module");
    if (!dev) tp__fail(TP_ERR_DEVICE, __func__, "missing device");
    else if (tp__entries(m, place, &(moving){ .dev = dev })) tp__modules(m, settle_one, NULL);
    return m;
}

/* ---- dtype ---- */

static bool cast_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    bool norm = !strcmp(m->kind, "batch_norm") || !strcmp(m->kind, "layer_norm");
    moving *k = user;
    tp_dtype to = k->dtype == TP_BF16 && norm ? TP_F32 : k->dtype;
    tp_tensor *t;

    TP_SCOPE;
    TP_NO_GRAD;
    (void)name, (void)m;
    if (e->dtype > TP_F16 || e->dtype == to) return true;
    if (e->t && e->t->dtype != (unsigned char)to) { /* else its tied entry was here before */
        if (!(t = tp_cast(e->t, to))) return false;
        if (!e->buffer && !e->frozen && !tp_requires_grad(t, true)) return false;
        become(e, t);
    }
    e->dtype = to;
    return true;
}

bool tp_nn_cast(tp_module *m, tp_dtype d)
{
    if (!tp_ok()) return false;
    TP_REQUIRE(m, TP_ERR_ARG, "missing module");
    TP_REQUIRE(d == TP_F32 || d == TP_F64 || d == TP_BF16, TP_ERR_DTYPE, "parameters can't be %s",
               tp_dtype_name(d));
    return tp__entries(m, cast_one, &(moving){ .dtype = d });
}
