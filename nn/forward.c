/*
 * forward.c - running modules: scopes, names for errors, modes, hooks.
 */
#include "nn/internal.h"

#include <fnmatch.h>
#include <string.h>

int tp_nn_gives(tp_tensor **out, tp_tensor *y)
{
    out[0] = y;
    return y ? 1 : -1;
}

static bool ready(const tp_module *m, tp_list in, tp_tensor **out, int room)
{
    TP_REQUIRE_IN("tp_nn_apply", out && room > 0, TP_ERR_ARG, "no room for an output of %s", m->kind);
    TP_REQUIRE_IN("tp_nn_apply", in.n >= 0 && in.t, TP_ERR_ARG, "a list of %d inputs, or no pointer to them", in.n);
    TP_REQUIRE_IN("tp_nn_apply", out + room <= (tp_tensor **)in.t || in.t + in.n <= (tp_tensor *const *)out, TP_ERR_ARG,
                  "the outputs of %s would overwrite its inputs: use another array", m->kind);
    TP_REQUIRE_IN(m->kind, m->forward, TP_ERR_ARG, "a container has no forward");
    for (int i = 0; i < m->n_entry; i++)
        TP_REQUIRE_IN(m->kind, m->entry[i].t || m->entry[i].computed, TP_ERR_ARG,
                      "%s isn't there yet: call tp_nn_init first", m->entry[i].name);
    return true;
}

static int run(tp_module *m, tp_list in, tp_tensor **out, int room)
{
    int n = -1;

    tp__path_push(*m->name ? m->name : "");
    if (tp__computed_begin(m)) n = m->forward(m->self ? m->self : m, in, out, room);
    if (n > room) tp__fail(TP_ERR_ARG, m->kind, "its forward gave %d outputs where there is room for %d", n, room);
    if (n < 0 && tp_ok()) tp__fail(TP_ERR_USER, m->kind, "its forward failed without an error");
    for (int i = 0; tp_ok() && i < n; i++)
        if (!out[i]) tp__fail(TP_ERR_USER, m->kind, "its forward gave no output %d", i);
    for (int i = 0; tp_ok() && !tp__me()->second_run && i < m->n_hook; i++)
        m->hook[i].f(m, in, (tp_list){ out, n }, m->hook[i].user);
    tp__computed_end(m);
    tp__path_pop();
    return tp_ok() ? n : -1;
}

int tp_nn_apply(tp_module *m, tp_list in, tp_tensor **out, int room)
{
    static tp_tensor *const nothing[4]; /* what layers read where there is no input */
    int n = -1;

    TP_SCOPE;
    if (tp_ok() && !m) tp__fail(TP_ERR_ARG, __func__, "missing module");
    if (!in.n) in.t = nothing;
    if (out && room > 0) memset(out, 0, sizeof *out * (size_t)room);
    if (tp_ok() && ready(m, in, out, room)) n = run(m, in, out, room);
    for (int i = 0; i < n; i++)
        tp_pass(out[i]);
    if (n < 0 && out && room > 0) memset(out, 0, sizeof *out * (size_t)room);
    return n;
}

/* The one output of a run that gave n. */
static tp_tensor *single(const tp_module *m, int n, tp_tensor *y)
{
    TP_REQUIRE_IN(m->kind, n, TP_ERR_USER, "its forward gave no output where one is wanted");
    return y;
}

tp_tensor *tp_nn_forward(tp_module *m, tp_tensor *x)
{
    tp_tensor *y = NULL;
    int n;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(m, TP_ERR_ARG, "missing module");
    n = tp_nn_apply(m, TP_LIST(x), &y, 1);
    return single(m, n, y);
}

tp_tensor *tp_nn_call(tp_module *m, const char *path, tp_tensor *x)
{
    return tp_nn_forward(tp_nn_get(m, path), x);
}

bool tp_nn_add_hook(tp_module *m, tp_nn_hook_fn *f, void *user)
{
    tp_nn_hook *grown;

    if (!tp_ok()) return false;
    TP_REQUIRE(m && f, TP_ERR_ARG, "missing module or function");
    grown = tp__grow(m->hook, sizeof *grown * (size_t)m->n_hook, sizeof *grown * (size_t)(m->n_hook + 1));
    if (!grown) return false;
    m->hook = grown;
    m->hook[m->n_hook++] = (tp_nn_hook){ f, user };
    return true;
}

/* ---- train and eval ---- */

typedef struct train_walk {
    const char *glob;
    bool on;
    int n;
} train_walk;

static bool set_mode(void *user, const char *name, tp_module *m)
{
    train_walk *w = user;

    if (!fnmatch(w->glob, name, 0)) m->training = w->on, w->n++;
    return true;
}

int tp_nn_train(tp_module *m, const char *glob, bool on)
{
    train_walk w = { glob, on, 0 };

    if (!tp_ok()) return -1;
    if (!m || !glob) return tp__fail(TP_ERR_ARG, __func__, "missing module or pattern"), -1;
    if (!tp__modules(m, set_mode, &w)) return -1;
    if (!w.n) return tp__fail(TP_ERR_ARG, __func__, "no module's name matches \"%s\"", glob), -1;
    return w.n;
}

bool tp_nn_training(const tp_module *m)
{
    return m && m->training;
}

/* The modes of a tree, in the order of a walk. */
typedef struct modes {
    bool *on;
    int n, at;
    size_t bytes;
} modes;

static bool count_one(void *user, const char *name, tp_module *m)
{
    (void)name, (void)m;
    ((modes *)user)->n++;
    return true;
}

static bool save_one(void *user, const char *name, tp_module *m)
{
    modes *k = user;

    (void)name;
    k->on[k->at++] = m->training;
    return true;
}

/* Swaps: what was there is saved in turn. */
static bool swap_one(void *user, const char *name, tp_module *m)
{
    modes *k = user;
    bool old = m->training;

    (void)name;
    if (k->at >= k->n) return false;
    m->training = k->on[k->at], k->on[k->at++] = old;
    return true;
}

static bool save_modes(tp_module *m, modes *k)
{
    *k = (modes){ 0 };
    if (!tp__modules(m, count_one, k)) return false;
    k->bytes = (size_t)k->n;
    return (k->on = tp__alloc(k->bytes)) && tp__modules(m, save_one, k);
}

bool tp__in_mode(tp_module *m, bool training, bool (*f)(void *user), void *user)
{
    bool ok = false;
    modes k;

    if (save_modes(m, &k)) {
        ok = tp_nn_train(m, "*", training) >= 0 && f(user);
        k.at = 0;
        tp__modules(m, swap_one, &k);
    }
    tp__release(k.on, k.bytes);
    return ok;
}

typedef struct predicting {
    tp_module *m;
    tp_list in;
    tp_tensor **out;
    int room, n;
} predicting;

static bool predict(void *user)
{
    predicting *p = user;

    return (p->n = tp_nn_apply(p->m, p->in, p->out, p->room)) >= 0;
}

int tp_nn_predict_all(tp_module *m, tp_list in, tp_tensor **out, int room)
{
    predicting p = { m, in, out, room, -1 };

    TP_NO_GRAD;
    if (out && room > 0) memset(out, 0, sizeof *out * (size_t)room);
    if (!tp_ok()) return -1;
    if (!m) return tp__fail(TP_ERR_ARG, "tp_nn_predict", "missing module"), -1;
    return tp__in_mode(m, false, predict, &p) ? p.n : -1;
}

tp_tensor *tp_nn_predict(tp_module *m, tp_tensor *x)
{
    tp_tensor *y = NULL;
    int n = tp_nn_predict_all(m, TP_LIST(x), &y, 1);

    return m ? single(m, n, y) : NULL;
}

/* ---- checkpointing ---- */

typedef struct again {
    tp_module *m;
    modes k;
} again;

static int run_again(tp_list in, void *user, tp_tensor **out, int room)
{
    again *a = user;
    int n = -1;

    a->k.at = 0;
    if (tp__modules(a->m, swap_one, &a->k) && a->k.at == a->k.n)
        n = tp_nn_apply(a->m, in, out, room);
    else
        tp__fail(TP_ERR_ARG, "tp_nn_checkpoint", "the model has changed since its first run");
    a->k.at = 0;
    tp__modules(a->m, swap_one, &a->k); /* back, as far as they went */
    return n;
}

static void free_again(void *user)
{
    again *a = user;

    tp__release(a->k.on, a->k.bytes);
    tp__release(a, sizeof *a);
}

int tp_nn_checkpoint(tp_module *m, tp_list in, tp_tensor **out, int room)
{
    again *a;

    if (!tp_ok()) return -1;
    if (!m) return tp__fail(TP_ERR_ARG, __func__, "missing module"), -1;
    if (!(a = tp__alloc_zeroed(sizeof *a))) return -1;
    a->m = m;
    if (!save_modes(m, &a->k)) return free_again(a), -1;
    return tp__checkpoint(run_again, in, a, free_again, out, room);
}
