/*
 * module.c - the tree of modules: making, names, lifetime.
 */
#include "nn/internal.h"

#include <stdio.h>
#include <string.h>

/* ---- making ---- */

tp_module *tp_nn_from(const char *kind, void *self, tp_nn_fn *forward, void (*release)(void *self))
{
    tp_module *m = tp_ok() && kind ? tp__alloc_zeroed(sizeof *m) : NULL;

    if (!kind) tp__fail(TP_ERR_ARG, "tp_nn_from", "missing kind");
    if (!m || !(m->kind = tp__strdup(kind))) {
        if (release) release(self);
        tp__release(m, sizeof *m);
        return NULL;
    }
    m->name = "", m->training = true;
    m->self = self, m->forward = forward, m->release = release;
    return m;
}

tp_module *tp_nn_container(const char *kind)
{
    return tp_nn_from(kind, NULL, NULL, NULL);
}

tp_module *tp_nn_layer(const char *kind, tp_nn_fn *forward, const void *opts, size_t bytes)
{
    tp_module *m = tp_nn_from(kind, NULL, forward, NULL);

    if (!m || !bytes) return m;
    if (!(m->opts = tp__alloc(bytes))) {
        tp_nn_free(m);
        return NULL;
    }
    m->opts_bytes = bytes;
    memcpy(m->opts, opts, bytes);
    return m;
}

tp_module *tp__made(tp_module *m, bool ok)
{
    if (ok && tp_ok()) return m;
    tp_nn_free(m);
    return NULL;
}

tp_module *tp_nn_made(tp_module *m)
{
    return tp__made(m, true);
}

const void *tp_nn_opts(const tp_module *m)
{
    return m ? m->opts : NULL;
}

static void let_go(tp_entry *e)
{
    if (e->t) atomic_fetch_sub(&e->t->held, 1), tp__free(e->t);
    e->t = NULL;
}

void tp__entry_put(tp_entry *e, tp_tensor *t)
{
    if (t) atomic_fetch_add(&t->held, 1), t->replaced = false;
    if (e->t && atomic_load(&e->t->held) == 1) e->t->replaced = true;
    let_go(e);
    e->t = t;
}

static void free_tree(tp_module *m)
{
    if (!m) return;
    for (int i = 0; i < m->n_child; i++)
        free_tree(m->child[i].m), tp__free_text(m->child[i].name);
    for (int i = 0; i < m->n_entry; i++)
        let_go(&m->entry[i]), tp__free_text(m->entry[i].name);
    if (m->release) m->release(m->self);
    tp__release(m->child, sizeof *m->child * (size_t)m->room_child);
    tp__release(m->entry, sizeof *m->entry * (size_t)m->room_entry);
    tp__release(m->hook, sizeof *m->hook * (size_t)m->n_hook);
    tp__release(m->opts, m->opts_bytes);
    tp__notes_free(&m->notes);
    tp__free_text(m->kind);
    tp__release(m, sizeof *m);
}

void tp_nn_free(tp_module *m)
{
    if (m && m->added)
        tp__fail(TP_ERR_ARG, __func__, "%s has a parent, which frees it", m->name);
    else
        free_tree(m);
}

/* ---- children ---- */

static bool name_ok(const char *where, const char *name)
{
    TP_REQUIRE_IN(where, name && *name && !strchr(name, '.') && strlen(name) < 64, TP_ERR_ARG,
                  "\"%s\" can't be a name: 1 to 63 characters without a dot", name ? name : "");
    return true;
}

static bool taken(const tp_module *m, const char *name)
{
    for (int i = 0; i < m->n_child; i++)
        if (!strcmp(m->child[i].name, name)) return true;
    for (int i = 0; i < m->n_entry; i++)
        if (!strcmp(m->entry[i].name, name)) return true;
    return false;
}

static bool may_add(const tp_module *parent, const char *name, const tp_module *kid)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_nn_add", parent && kid, TP_ERR_ARG, "missing %s for %s", parent ? "child" : "parent",
                  name ? name : "a module");
    TP_REQUIRE_IN("tp_nn_add", !kid->added, TP_ERR_ARG, "%s already has a parent", name ? name : "it");
    if (!name_ok("tp_nn_add", name)) return false;
    TP_REQUIRE_IN("tp_nn_add", !taken(parent, name), TP_ERR_ARG, "there is a %s already", name);
    return true;
}

/* Is `part` m itself or somewhere below it? */
static bool holds(const tp_module *m, const tp_module *part)
{
    for (int i = 0; m != part && i < m->n_child; i++)
        if (holds(m->child[i].m, part)) return true;
    return m == part;
}

static bool room_for_child(tp_module *m)
{
    int room = m->room_child ? 2 * m->room_child : 4;
    tp_child *grown;

    if (m->n_child < m->room_child) return true;
    grown = tp__grow(m->child, sizeof *grown * (size_t)m->room_child, sizeof *grown * (size_t)room);
    if (!grown) return false;
    m->child = grown, m->room_child = room;
    return true;
}

tp_module *tp_nn_add(tp_module *parent, const char *name, tp_module *kid)
{
    char *copy = NULL;

    if (parent && kid && !kid->added && holds(kid, parent)) /* not freed: the parent would go with it */
        return tp__fail(TP_ERR_ARG, "tp_nn_add", "%s can't be a child of its own part", kid->kind);
    if (!may_add(parent, name, kid) || !room_for_child(parent) || !(copy = tp__strdup(name))) {
        if (kid && !kid->added) tp_nn_free(kid);
        return NULL;
    }
    parent->child[parent->n_child++] = (tp_child){ copy, kid };
    kid->added = true, kid->name = copy;
    return kid;
}

/* The child that the first name of path means; path moves behind it. */
static tp_child *step(tp_module *m, const char **path)
{
    size_t n = strcspn(*path, ".");

    for (int i = 0; i < m->n_child; i++)
        if (!strncmp(m->child[i].name, *path, n) && !m->child[i].name[n]) {
            *path += (*path)[n] ? n + 1 : n;
            return &m->child[i];
        }
    return NULL;
}

/* The module of that name, or NULL. */
static tp_module *below(tp_module *m, const char *path)
{
    while (m && *path) {
        tp_child *c = step(m, &path);

        m = c ? c->m : NULL;
    }
    return m;
}

tp_module *tp_nn_get(tp_module *m, const char *path)
{
    if (!tp_ok()) return NULL;
    TP_REQUIRE(m && path, TP_ERR_ARG, "missing module or path");
    m = below(m, path);
    TP_REQUIRE(m, TP_ERR_ARG, "there is no module %s", path);
    return m;
}

int tp_nn_children(const tp_module *m)
{
    return m ? m->n_child : 0;
}

/* Child i, or NULL and an error. */
static const tp_child *child_at(const char *where, const tp_module *m, int i)
{
    int at = m && i < 0 ? i + m->n_child : i;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(where, m, TP_ERR_ARG, "missing module");
    TP_REQUIRE_IN(where, at >= 0 && at < m->n_child, TP_ERR_ARG, "there is no child %d of %d in %s", i, m->n_child,
                  m->kind);
    return &m->child[at];
}

tp_module *tp_nn_child(tp_module *m, int i)
{
    const tp_child *c = child_at(__func__, m, i);

    return c ? c->m : NULL;
}

const char *tp_nn_child_name(const tp_module *m, int i)
{
    const tp_child *c = child_at(__func__, m, i);

    return c ? c->name : NULL;
}

static bool put_nothing(void *user, const char *name, tp_module *m, tp_entry *e)
{
    (void)user, (void)name, (void)m;
    return tp__entry_put(e, NULL), true;
}

tp_module *tp_nn_replace(tp_module *m, const char *path, tp_module *with)
{
    const char *rest = path;
    tp_child *c = NULL;

    if (m && with && !with->added && holds(with, m))
        return tp__fail(TP_ERR_ARG, "tp_nn_replace", "%s can't be a child of its own part", with->kind);
    if (tp_ok() && (!m || !path || !*path || !with || with->added))
        tp__fail(TP_ERR_ARG, "tp_nn_replace", "missing module or path, or the new one has a parent");
    while (tp_ok() && *rest) {
        c = step(c ? c->m : m, &rest);
        if (!c) tp__fail(TP_ERR_ARG, "tp_nn_replace", "there is no module %s", path);
    }
    if (!tp_ok()) {
        if (with && !with->added) tp_nn_free(with);
        return NULL;
    }
    tp__entries(c->m, put_nothing, NULL);
    free_tree(c->m);
    c->m = with, with->added = true, with->name = c->name;
    return with;
}

int tp__child_find(const tp_module *m, const char *name)
{
    for (int i = 0; i < m->n_child; i++)
        if (!strcmp(m->child[i].name, name)) return i;
    return -1;
}

tp_module *tp__child_of(const tp_module *m, const char *name)
{
    int i = tp__child_find(m, name);

    if (i < 0) return tp__fail(TP_ERR_ARG, m->kind, "its %s is gone", name);
    return m->child[i].m;
}

void tp__child_remove(tp_module *m, int i)
{
    tp__entries(m->child[i].m, put_nothing, NULL);
    free_tree(m->child[i].m), tp__free_text(m->child[i].name);
    memmove(m->child + i, m->child + i + 1, sizeof *m->child * (size_t)(m->n_child - i - 1));
    m->n_child--;
}

/* ---- parameters and buffers ---- */

bool tp__entry_add(tp_module *m, tp_entry e)
{
    if (m->n_entry == m->room_entry) {
        int room = m->room_entry ? 2 * m->room_entry : 2;
        tp_entry *grown = tp__grow(m->entry, sizeof *grown * (size_t)m->room_entry, sizeof *grown * (size_t)room);

        if (!grown) return false;
        m->entry = grown, m->room_entry = room;
    }
    if (!(e.name = tp__strdup(e.name))) return false;
    m->entry[m->n_entry++] = e;
    return true;
}

static bool describe(const char *where, tp_module *m, tp_entry e)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, m, TP_ERR_ARG, "missing module for %s", e.name ? e.name : "a parameter");
    TP_REQUIRE_IN(where, (unsigned)e.dtype <= TP_F16 || e.dtype == TP_I64, TP_ERR_DTYPE, "%s can't be %s: i64 or a float is wanted",
                  e.name ? e.name : "a buffer", tp_dtype_name(e.dtype));
    if (!name_ok(where, e.name) || !tp__shape_ok(where, e.shape)) return false;
    if (!tp__init_fits(where, e.name, e.shape, e.init)) return false;
    TP_REQUIRE_IN(where, !taken(m, e.name), TP_ERR_ARG, "there is a %s already", e.name);
    return tp__entry_add(m, e);
}

bool tp_nn_param(tp_module *m, const char *name, tp_shape s, tp_init init)
{
    return describe(__func__, m, (tp_entry){ .name = (char *)name, .shape = s, .init = init });
}

bool tp_nn_buffer(tp_module *m, const char *name, tp_shape s, tp_dtype d, double value)
{
    return describe(__func__, m, (tp_entry){ .name = (char *)name, .shape = s, .dtype = d, .buffer = true,
                                             .init = tp_init_constant(value) });
}

tp_module *tp__owner(tp_module *m, const char *path, const char **name)
{
    tp_child *c;

    for (*name = path; strchr(*name, '.'); m = c->m)
        if (!(c = step(m, name))) return NULL;
    return m;
}

static tp_entry *find(tp_module *m, const char *path, bool computed_too)
{
    const char *name;

    m = tp__owner(m, path, &name);
    for (int i = 0; m && i < m->n_entry; i++)
        if (!strcmp(m->entry[i].name, name) && (computed_too || !m->entry[i].computed)) return &m->entry[i];
    return NULL;
}

tp_entry *tp__entry_find(tp_module *m, const char *path)
{
    return find(m, path, false);
}

bool tp_nn_has(tp_module *m, const char *path)
{
    return m && path && (below(m, path) || find(m, path, true));
}

tp_tensor *tp_nn_tensor(tp_module *m, const char *path)
{
    tp_entry *e;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(m && path, TP_ERR_ARG, "missing module or path");
    e = find(m, path, true);
    TP_REQUIRE(e, TP_ERR_ARG, "there is no parameter or buffer %s", path);
    return e->t;
}

bool tp_nn_set(tp_module *m, const char *path, tp_tensor *t)
{
    tp_entry *e;

    if (!tp__check(__func__, TP_LIST(t), 1)) return false;
    TP_REQUIRE(m && path, TP_ERR_ARG, "missing module or path");
    e = tp__entry_find(m, path);
    TP_REQUIRE(e, TP_ERR_ARG, "there is no parameter %s", path);
    TP_REQUIRE(tp__same(&e->shape, &t->shape), TP_ERR_SHAPE, "%s is %s, not %s", path, tp__shape_text(e->shape),
               tp__text(t));
    TP_REQUIRE(!t->node || tp__is_leaf(t), TP_ERR_ARG, "%s is an op's result, not a leaf: tp_detach it", path);
    TP_REQUIRE(tp__dense(t, TP_ROW_MAJOR), TP_ERR_ARG, "%s is a strided view: tp_contiguous makes it a parameter", path);
    TP_REQUIRE(t->dtype == e->dtype || (tp__is_float(t) && e->dtype <= TP_F16), TP_ERR_DTYPE, "%s is %s, not %s", path,
               tp_dtype_name(e->dtype), tp__text(t));
    if (!e->buffer && !e->frozen && !tp_requires_grad(t, true)) return false;
    tp__entry_put(e, tp__retain(t));
    e->dtype = (tp_dtype)t->dtype;
    return true;
}

const char *tp_nn_kind(const tp_module *m)
{
    return m ? m->kind : "";
}

/* ---- walks; names are built on the way ---- */

typedef struct walk {
    tp__entry_fn *entry;
    tp__module_fn *module;
    void *user;
} walk;

static bool walk_tree(tp_module *m, const char *name, const walk *w)
{
    char longer[TP_NAME];
    const char *dot = *name ? "." : "";

    if (w->module && !w->module(w->user, name, m)) return false;
    for (int i = 0; w->entry && i < m->n_entry; i++) {
        if (m->entry[i].computed) continue;
        snprintf(longer, sizeof longer, "%s%s%s", name, dot, m->entry[i].name);
        if (!w->entry(w->user, longer, m, &m->entry[i])) return false;
    }
    for (int i = 0; i < m->n_child; i++) {
        TP_REQUIRE_IN("module", strlen(name) + 65 < sizeof longer, TP_ERR_ARG, "%s: names are too deep", name);
        snprintf(longer, sizeof longer, "%s%s%s", name, dot, m->child[i].name);
        if (!walk_tree(m->child[i].m, longer, w)) return false;
    }
    return true;
}

bool tp__entries(tp_module *m, tp__entry_fn *f, void *user)
{
    return walk_tree(m, "", &(walk){ f, NULL, user });
}

bool tp__modules(tp_module *m, tp__module_fn *f, void *user)
{
    return walk_tree(m, "", &(walk){ NULL, f, user });
}
