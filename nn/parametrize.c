/*
 * parametrize.c - weight norm and spectral norm; and how a layer comes to a computed parameter.
 *
 *   weight norm      w = v (g / |v|)
 *   spectral norm    u = W v / |W v|,  v = W' u / |W' u|,  w = W / (u' W v)
 *
 * The parameter's entry stays where its layer looks for it, marked as computed, so that walks pass
 * over it.  The module parametrizations.NAME holds what it is made of, and its forward makes it:
 * the result lies in the entry while the layer's forward runs.
 */
#include "nn/internal.h"
#include "nn/parametrize.h"

#include <math.h>
#include <string.h>

static const char list_name[] = "parametrizations";

/* ---- around a forward ---- */

static tp_module *source(const tp_module *m, const char *name)
{
    int i = tp__child_find(m, list_name), k = i < 0 ? -1 : tp__child_find(m->child[i].m, name);

    return k < 0 ? NULL : m->child[i].m->child[k].m;
}

static tp_tensor *compute(const tp_module *m, const tp_entry *e, bool training)
{
    tp_module *from = source(m, e->name);
    tp_tensor *w = NULL;

    TP_AUTOCAST(TP_F32); /* off: a weight, not a product */
    TP_REQUIRE_IN(m->kind, from, TP_ERR_ARG, "%s is computed, but %s.%s is gone", e->name,
                  list_name, e->name);
    from->training = training;
    if (tp_nn_apply(from, (tp_list){ 0 }, &w, 1) != 1) return NULL;
    TP_REQUIRE_IN(m->kind, tp__same(&w->shape, &e->shape), TP_ERR_SHAPE,
                  "%s was computed as %s, not %s", e->name, tp__text(w), tp__shape_text(e->shape));
    return w;
}

static bool computes(const tp_module *m)
{
    for (int i = 0; i < m->n_entry; i++)
        if (m->entry[i].computed) return true;
    return false;
}

bool tp__computed_begin(tp_module *m)
{
    if (!computes(m) || m->running++) return true; /* within a forward of its own it is there */
    for (int i = 0; tp_ok() && i < m->n_entry; i++)
        if (m->entry[i].computed) m->entry[i].t = compute(m, &m->entry[i], m->training);
    return tp_ok();
}

void tp__computed_end(tp_module *m)
{
    if (!computes(m) || --m->running) return;
    for (int i = 0; i < m->n_entry; i++)
        if (m->entry[i].computed) m->entry[i].t = NULL;
}

/* ---- weight norm ---- */

enum { G, V }; /* entries */

/* |v| along all axes but dim, which are kept with size 1. */
static tp_tensor *lengths(tp_tensor *v, const tp_weight_norm_opts *o)
{
    tp_axes over = { .keep = true };

    for (int a = 0; v && a < v->shape.rank; a++)
        if (a != o->dim) over.axis[over.n++] = a;
    if (o->whole) return tp_norm(v, 2, TP_ALL);
    return over.n ? tp_norm(v, 2, over) : tp_abs(v);
}

static int weight_norm(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    tp_tensor *v = m->entry[V].t;

    (void)in, (void)room;
    return tp_nn_gives(out, tp_mul(v, tp_div(m->entry[G].t, lengths(v, m->opts))));
}

static bool settle_lengths(tp_module *m)
{
    return !m->entry[G].fresh || tp_copy_(m->entry[G].t, lengths(m->entry[V].t, m->opts));
}

/* ---- spectral norm ---- */

enum { FIRST_ITERATIONS = 15 };
enum { MOVED_U, MOVED_V }; /* entries of the child "0" */

static tp_tensor *matrix(tp_tensor *w, int dim)
{
    return tp_flatten(dim ? tp_moveaxis(w, dim, 0) : w, 1);
}

static tp_tensor *unit(tp_tensor *x, double eps)
{
    return tp_div(x, tp_clamp(tp_norm(x, 2, TP_ALL), eps, INFINITY));
}

static bool iterate(tp_module *state, tp_tensor *w, const tp_spectral_norm_opts *o, int times)
{
    tp_tensor *u = state->entry[MOVED_U].t, *v = state->entry[MOVED_V].t;

    TP_SCOPE;
    TP_NO_GRAD;
    if (!(w = matrix(w, o->dim))) return false;
    for (int i = 0; i < times; i++) {
        u = unit(tp_matmul(w, v), o->eps);
        v = unit(tp_matmul(tp_transpose(w, 0, 1), u), o->eps);
    }
    return tp_ok() && tp_copy_(state->entry[MOVED_U].t, u) && tp_copy_(state->entry[MOVED_V].t, v);
}

/* Of copies: the next forward moves u and v, and this one's graph goes on with them as they are. */
static tp_tensor *largest_singular_value(const tp_module *state, tp_tensor *w, int dim)
{
    tp_tensor *u = tp_clone(state->entry[MOVED_U].t), *v = tp_clone(state->entry[MOVED_V].t);

    return tp_dot(u, tp_matmul(matrix(w, dim), v));
}

static int spectral_norm(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const tp_spectral_norm_opts *o = m->opts;
    tp_module *state = m->child[0].m;
    tp_tensor *w = m->entry[0].t;

    (void)in, (void)room;
    if (!state->n_entry) return tp_nn_gives(out, unit(w, o->eps));
    if (m->training && !tp__me()->second_run && !iterate(state, w, o, o->n_power_iterations))
        return -1;
    return tp_nn_gives(out, tp_div(w, largest_singular_value(state, w, o->dim)));
}

static bool settle_directions(tp_module *m)
{
    tp_module *state = m->child[0].m;

    if (!state->n_entry || !state->entry[MOVED_U].fresh) return true;
    return iterate(state, m->entry[0].t, m->opts, FIRST_ITERATIONS);
}

/* ---- putting on ---- */

/* The owner and entry of a plain parameter, or of a computed one. */
static tp_entry *wanted(const char *where, tp_module *m, const char *path, bool computed,
                        tp_module **owner)
{
    const char *name;
    tp_entry *e = NULL;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(where, m && path, TP_ERR_ARG, "missing module or path");
    *owner = tp__owner(m, path, &name);
    for (int i = 0; *owner && i < (*owner)->n_entry; i++)
        if (!strcmp((*owner)->entry[i].name, name)) e = &(*owner)->entry[i];
    TP_REQUIRE_IN(where, e && !e->buffer, TP_ERR_ARG, "there is no parameter %s", path);
    TP_REQUIRE_IN(where, e->computed == computed, TP_ERR_ARG, "%s is %s", path,
                  computed ? "a plain parameter" : "computed already: remove that first");
    TP_REQUIRE_IN(where, !(*owner)->running, TP_ERR_ARG, "%s is needed by the forward that runs",
                  path);
    return e;
}

/* An entry like e, of another name. */
static bool describe(tp_module *m, const char *name, const tp_entry *e)
{
    tp_entry like = *e;

    like.name = (char *)name, like.t = NULL, like.fresh = false;
    return tp__entry_add(m, like);
}

/* e becomes computed by `from`, whose entry at `original` takes its tensor. */
static bool put_on(tp_module *owner, tp_entry *e, tp_module *from, int original)
{
    int i = tp__child_find(owner, list_name);
    tp_module *list = i < 0 ? tp_nn_container("parametrization_list") : owner->child[i].m;

    if (e->t) {
        tp__entry_put(&from->entry[original], tp__retain(e->t));
        tp_nn_init(from, tp__device(e->t));
    }
    if (!tp_ok() || !list) {
        tp_nn_free(from);
        if (i < 0) tp_nn_free(list);
        return false;
    }
    if (!tp_nn_add(list, e->name, from)) { /* which frees it */
        if (i < 0) tp_nn_free(list);
        return false;
    }
    if (i < 0 && !tp_nn_add(owner, list_name, list)) return false;
    tp__entry_put(e, NULL);
    e->computed = true;
    return true;
}

static tp_shape shape_of_lengths(const tp_shape *v, const tp_weight_norm_opts *o)
{
    tp_shape s = *v;

    if (o->whole) return TP_SCALAR;
    for (int a = 0; a < s.rank; a++)
        if (a != o->dim) s.n[a] = 1;
    return s;
}

/* The axis from the front; false and an error when there is none. */
static bool axis_ok(const char *where, const char *path, const tp_entry *e, int *dim)
{
    int a = *dim < 0 ? *dim + e->shape.rank : *dim;

    TP_REQUIRE_IN(where, a >= 0 && a < e->shape.rank, TP_ERR_ARG, "%s %s has no axis %d", path,
                  tp__shape_text(e->shape), *dim);
    *dim = a;
    return true;
}

tp_module *tp_nn_weight_norm(tp_module *m, const char *path, tp_weight_norm_opts o)
{
    tp_module *owner, *from;
    tp_entry *e = wanted(__func__, m, path, false, &owner), g;

    if (!e || (!o.whole && !axis_ok(__func__, path, e, &o.dim))) return m;
    g = *e, g.shape = shape_of_lengths(&e->shape, &o), g.zero_row = 0;
    g.init = tp_init_constant(0);
    from = tp_nn_layer("weight_norm", weight_norm, &o, sizeof o);
    if (!from || !describe(from, "original0", &g) || !describe(from, "original1", e)) {
        tp_nn_free(from);
        return m;
    }
    from->settle = settle_lengths;
    put_on(owner, e, from, V);
    return m;
}

/* u and v of a matrix with `rows` rows, in the child "0". */
static bool describe_directions(tp_module *from, const tp_entry *e, int64_t rows)
{
    tp_module *state = tp_nn_add(from, "0", tp_nn_container("spectral_norm"));
    tp_entry x = *e;

    if (!state || e->shape.rank < 2) return state;
    x.buffer = true, x.zero_row = 0, x.init = tp_init_normal(0, 1);
    x.shape = TP_SHAPE(rows);
    if (!describe(state, "_u", &x)) return false;
    x.shape = TP_SHAPE(tp__elements(&e->shape) / rows);
    return describe(state, "_v", &x);
}

tp_module *tp_nn_spectral_norm(tp_module *m, const char *path, tp_spectral_norm_opts o)
{
    tp_module *owner, *from;
    tp_entry *e = wanted(__func__, m, path, false, &owner);

    if (!e) return m;
    if (!o.dim && !strncmp(owner->kind, "conv_transpose", 14)) o.dim = 1;
    if (!o.n_power_iterations) o.n_power_iterations = 1;
    if (o.eps == 0) o.eps = 1e-12;
    if (!axis_ok(__func__, path, e, &o.dim)) return m;
    if (o.n_power_iterations < 0 || !(o.eps > 0) || !tp__elements(&e->shape))
        return tp__fail(TP_ERR_ARG, __func__, "%s %s, %d power iterations, eps %g", path,
                        tp__shape_text(e->shape), o.n_power_iterations, o.eps),
               m;
    from = tp_nn_layer("spectral_norm", spectral_norm, &o, sizeof o);
    if (!from || !describe(from, "original", e) ||
        !describe_directions(from, e, e->shape.n[o.dim])) {
        tp_nn_free(from);
        return m;
    }
    from->settle = settle_directions;
    put_on(owner, e, from, 0);
    return m;
}

/* ---- looking, and taking off ---- */

tp_tensor *tp_nn_computed(tp_module *m, const char *path)
{
    tp_module *owner;
    tp_entry *e = wanted(__func__, m, path, true, &owner);

    return e ? compute(owner, e, false) : NULL;
}

/* The entry takes what it would be now, if that is there at all. */
static bool bake(const tp_module *owner, tp_entry *e)
{
    tp_tensor *w;

    TP_SCOPE;
    TP_NO_GRAD;
    if (!(w = compute(owner, e, false)) || !(w = tp_contiguous(w))) return false;
    if (!e->frozen && !tp_requires_grad(w, true)) return false;
    tp__entry_put(e, tp__keep(w));
    e->dtype = (tp_dtype)w->dtype;
    return true;
}

bool tp_nn_remove_parametrizations(tp_module *m, const char *path)
{
    tp_module *owner, *from;
    tp_entry *e = wanted(__func__, m, path, true, &owner);
    int i;

    if (!e) return false;
    from = source(owner, e->name);
    TP_REQUIRE(from, TP_ERR_ARG, "%s.%s is gone", list_name, path);
    e->frozen = from->entry[from->n_entry - 1].frozen;
    if (from->entry[from->n_entry - 1].t && !bake(owner, e)) return false;
    e->computed = false;
    i = tp__child_find(owner, list_name);
    tp__child_remove(owner->child[i].m, tp__child_find(owner->child[i].m, e->name));
    if (!owner->child[i].m->n_child) tp__child_remove(owner, i);
    return true;
}
