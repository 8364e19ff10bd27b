/*
 * init.c - drawing parameters, where they are and in which dtype.
 *
 * Numbers come from the thread's generator, on the host and in the order of description, so
 * that a seed gives the same weights on every device.
 */
#include "nn/internal.h"

#include <fnmatch.h>
#include <string.h>

static tp_tensor *drawn(const tp_entry *e, tp_init init)
{
    tp_tensor *t = tp__init_draw(e->shape, init, e->dtype);

    if (e->zero_row && t && !tp_fill_(tp_slice(t, 0, e->zero_row - 1, e->zero_row), 0)) return NULL;
    return t;
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
    else tp__entry_put(e, tp__keep(t));
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
    t = tp_to(e->t ? e->t : drawn(e, e->init), dev);
    if (!t || !(t = tp_clone(t)) || /* nobody else's bytes */
        (!e->buffer && !e->frozen && !tp_requires_grad(t, true)))
        return tp__me()->rng = before, false; /* a failure draws nothing */
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

/* ---- other values, by pattern ---- */

typedef struct redraw {
    tp_tensor *of, *fresh; /* both NULL: described only, or tied to one before */
} redraw;

typedef struct redrawing {
    const char *glob;
    tp_init init;
    redraw *list;
    int n, at;
} redrawing;

static bool chosen(const redrawing *k, const char *name, const tp_entry *e)
{
    return !e->buffer && !fnmatch(k->glob, name, 0);
}

static bool check_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    redrawing *k = user;

    (void)m;
    if (!chosen(k, name, e)) return true;
    k->n++;
    return tp__init_fits("tp_nn_init_as", name, e->shape, k->init);
}

static bool redraw_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    redrawing *k = user;
    redraw *r = &k->list[k->at];
    tp_tensor *t;

    TP_SCOPE;
    TP_NO_GRAD;
    (void)m;
    if (!chosen(k, name, e)) return true;
    for (int i = 0; i < k->at; i++)
        if (k->list[i].of == e->t) return k->at++, true;
    k->at++;
    if (!e->t) return true;
    if (!(t = tp_to(drawn(e, k->init), tp_device_of(e->t)))) return false;
    *r = (redraw){ e->t, tp__keep(t) };
    return true;
}

/* Copies that allocate nothing, so that all entries change or none. */
static bool commit_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    redrawing *k = user;
    redraw *r = &k->list[k->at];

    (void)m;
    if (!chosen(k, name, e)) return true;
    k->at++;
    e->init = k->init;
    if (!r->of) return true;
    e->t->storage->version++;
    return tp__copy(e->t, r->fresh, false);
}

static bool redraw_all(tp_module *m, redrawing *k)
{
    size_t bytes = sizeof *k->list * (size_t)k->n;
    tp_rng before = tp_rng_save();
    bool ok;

    if (!(k->list = tp__alloc_zeroed(bytes))) return false;
    ok = tp__entries(m, redraw_one, k);
    if (!ok) tp__me()->rng = before;
    k->at = 0;
    ok = ok && tp__entries(m, commit_one, k);
    for (int i = 0; i < k->n; i++)
        tp__free(k->list[i].fresh);
    tp__release(k->list, bytes);
    return ok;
}

int tp_nn_init_as(tp_params p, tp_init init)
{
    redrawing k = { .glob = p.glob, .init = init };

    if (!tp_ok()) return -1;
    if (!p.m || !p.glob)
        return tp__fail(TP_ERR_ARG, __func__, "missing module or pattern"), -1;
    if (!tp__entries(p.m, check_one, &k)) return -1;
    if (!k.n)
        return tp__fail(TP_ERR_ARG, __func__, "no parameter's name matches \"%s\"", p.glob), -1;
    return redraw_all(p.m, &k) ? k.n : -1;
}

/* ---- dtype ---- */

static bool is_norm(const tp_module *m)
{
    static const char *const kind[] = { "batch_norm", "layer_norm", "group_norm", "instance_norm",
                                        "rms_norm" };

    for (int i = 0; i < TP_LEN(kind); i++)
        if (!strcmp(m->kind, kind[i])) return true;
    return false;
}

static bool cast_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    moving *k = user;
    tp_dtype to = k->dtype == TP_BF16 && is_norm(m) ? TP_F32 : k->dtype;
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
