/*
 * params.c - parameters by name: counting, choosing, freezing, copying.
 */
#include "nn/internal.h"

#include <fnmatch.h>
#include <string.h>

tp_params tp_nn_params(tp_module *m, const char *glob)
{
    return (tp_params){ m, glob };
}

typedef struct chosen {
    const char *glob;
    bool buffers;
    tp_nn_each_fn *f;
    void *user;
    int n;
} chosen;

static bool each_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    chosen *c = user;

    (void)m;
    if ((e->buffer && !c->buffers) || fnmatch(c->glob, name, 0)) return true;
    c->n++;
    return c->f(c->user, name, &e->t);
}

int tp_nn_each(tp_params p, bool buffers, tp_nn_each_fn *f, void *user)
{
    chosen c = { p.glob, buffers, f, user, 0 };

    if (!tp_ok()) return -1;
    if (!p.m || !p.glob || !f) return tp__fail(TP_ERR_ARG, "parameters", "missing module, pattern or function"), -1;
    if (!tp__entries(p.m, each_one, &c)) return -1;
    if (!c.n) return tp__fail(TP_ERR_ARG, "parameters", "no name matches \"%s\"", p.glob), -1;
    return c.n;
}

/* Elements of parameters; a tied one counts once, where it comes first. */
typedef struct counting {
    tp_module *root;
    const tp_entry *of; /* whose first entry is looked for */
    bool first, trained;
    int64_t n;
} counting;

static bool is_first(void *user, const char *name, tp_module *m, tp_entry *e)
{
    counting *c = user;

    (void)name, (void)m;
    if (e->t != c->of->t || e->buffer) return true;
    c->first = e == c->of;
    return false; /* ends the walk */
}

static bool count_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    counting *c = user;
    bool tied = e->t && atomic_load(&e->t->held) > 1;

    (void)name, (void)m;
    if (e->buffer || (c->trained && e->frozen)) return true;
    c->of = e, c->first = true;
    if (tied) tp__entries(c->root, is_first, c);
    if (c->first) c->n += tp__elements(&e->shape);
    return true;
}

int64_t tp_nn_count(const tp_module *m)
{
    counting c = { .root = (tp_module *)m };

    if (m) tp__entries((tp_module *)m, count_one, &c);
    return c.n;
}

int64_t tp_nn_count_trained(const tp_module *m)
{
    counting c = { .root = (tp_module *)m, .trained = true };

    if (m) tp__entries((tp_module *)m, count_one, &c);
    return c.n;
}

/* ---- freeze ---- */

typedef struct freezing {
    const char *glob;
    bool on;
    int n;
} freezing;

static bool freeze_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    freezing *k = user;

    (void)m;
    if (e->buffer || fnmatch(k->glob, name, 0)) return true;
    k->n++;
    if (e->t && !tp_requires_grad(e->t, !k->on)) return false;
    e->frozen = k->on;
    return true;
}

int tp_nn_freeze(tp_module *m, const char *glob, bool on)
{
    freezing k = { glob, on, 0 };

    if (!tp_ok()) return -1;
    if (!m || !glob) return tp__fail(TP_ERR_ARG, __func__, "missing module or pattern"), -1;
    if (!tp__entries(m, freeze_one, &k)) return -1;
    if (!k.n) return tp__fail(TP_ERR_ARG, __func__, "no parameter's name matches \"%s\"", glob), -1;
    return k.n;
}

/* ---- copies ---- */

typedef struct copying {
    tp_module *from;
    bool commit;
} copying;

static bool copy_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    copying *k = user;
    tp_entry *from = tp__entry_find(k->from, name);

    TP_NO_GRAD;
    (void)m;
    if (k->commit) return tp_copy_(e->t, from->t);
    TP_REQUIRE_IN("tp_nn_copy", from && from->t && e->t, TP_ERR_ARG, "%s isn't there in both", name);
    TP_REQUIRE_IN("tp_nn_copy", tp__same(&from->shape, &e->shape), TP_ERR_SHAPE, "%s is %s here and %s there", name,
                  tp__text(e->t), tp__text(from->t));
    return true;
}

bool tp_nn_copy(tp_module *to, tp_module *from)
{
    copying k = { from, false };

    if (!tp_ok()) return false;
    TP_REQUIRE(to && from, TP_ERR_ARG, "missing module");
    if (!tp__entries(to, copy_one, &k)) return false;
    k.commit = true;
    return tp__entries(to, copy_one, &k);
}

static bool clone_entry(tp_module *to, const tp_entry *from)
{
    tp_entry e = *from;
    tp_tensor *t;

    TP_SCOPE;
    TP_NO_GRAD;
    e.t = NULL;
    if (!tp__entry_add(to, e)) return false;
    if (!from->t) return true;
    if (!(t = tp_clone(from->t)) || (!e.buffer && !e.frozen && !tp_requires_grad(t, true))) return false;
    tp__entry_put(&to->entry[to->n_entry - 1], tp__keep(t));
    return true;
}

static tp_module *clone_tree(tp_module *m)
{
    tp_module *to;
    bool ok;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_nn_clone", m, TP_ERR_ARG, "missing module");
    TP_REQUIRE_IN("tp_nn_clone", !m->self, TP_ERR_ARG,
                  "%s was made with a self: build another and tp_nn_copy", m->kind);
    to = tp_nn_layer(m->kind, m->forward, m->opts, m->opts_bytes);
    if (to) to->training = m->training, to->settle = m->settle;
    ok = to && tp__notes_copy(&to->notes, &m->notes);
    for (int i = 0; ok && i < m->n_entry; i++)
        ok = clone_entry(to, &m->entry[i]);
    for (int i = 0; ok && i < m->n_child; i++)
        ok = tp_nn_add(to, m->child[i].name, clone_tree(m->child[i].m)) != NULL;
    return tp__made(to, ok);
}

/* What is one tensor under two names in m is one in the clone. */
typedef struct tying {
    tp_module *from, *to;
    const tp_tensor *t;
    char first[TP_NAME];
} tying;

static bool find_first(void *user, const char *name, tp_module *m, tp_entry *e)
{
    tying *k = user;

    (void)m;
    if (e->t != k->t) return true;
    memcpy(k->first, name, strlen(name) + 1);
    return false;
}

static bool tie_one(void *user, const char *name, tp_module *m, tp_entry *e)
{
    tying *k = user;
    tp_entry *a, *b;

    (void)m;
    if (!(k->t = e->t)) return true;
    tp__entries(k->from, find_first, k);
    a = tp__entry_find(k->to, k->first), b = tp__entry_find(k->to, name);
    if (a == b) return true;
    tp__entry_put(b, tp__retain(a->t));
    return true;
}

tp_module *tp_nn_clone(tp_module *m)
{
    tp_module *to = clone_tree(m);

    if (to) tp__entries(m, tie_one, &(tying){ .from = m, .to = to });
    return to;
}
