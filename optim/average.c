/*
 * average.c - averages of parameters: exponential (Polyak & Juditsky 1992 in spirit) and plain
 * (SWA: Izmailov et al. 2018).  One launch per dtype updates all of them, another copies buffers.
 */
#include "optim/internal.h"

#include "autograd/autograd.h"

#include <math.h>
#include <string.h>

/* One tensor of the module and its average; a buffer is copied. */
typedef struct slot {
    char *name;
    tp_tensor *live, *average;
    bool buffer, done;
} slot;

struct tp_ema {
    tp_average_args how;
    tp_device *device;
    tp_tensor *updates, *one; /* f64, on the device: how many there were, and 1 */
    slot *each;
    tp_update *update; /* room for one launch */
    int n, room;
    tp_tensor *spare; /* bytes of the largest tensor, while the module holds the averages */
};

/* ---- making ---- */

void tp_ema_free(tp_ema *e)
{
    if (!e) return;
    for (int i = 0; i < e->n; i++) {
        tp__free_text(e->each[i].name);
        tp__free(e->each[i].live), tp__free(e->each[i].average);
    }
    tp__free(e->updates), tp__free(e->one), tp__free(e->spare);
    tp__release(e->each, sizeof *e->each * (size_t)e->room);
    tp__release(e->update, sizeof *e->update * (size_t)e->room);
    tp__release(e, sizeof *e);
}

typedef struct taking {
    const char *where;
    tp_ema *e;
    bool buffers;
} taking;

static bool count_one(void *user, const char *name, tp_tensor **t)
{
    (void)name, (void)t;
    ++*(int *)user;
    return true;
}

/* The same tensor under two names is averaged once. */
static bool known(const tp_ema *e, const tp_tensor *t)
{
    for (int i = 0; i < e->n; i++)
        if (e->each[i].live == t) return true;
    return false;
}

static bool take(void *user, const char *name, tp_tensor **t)
{
    taking *k = user;
    tp_ema *e = k->e;
    slot s = { .buffer = k->buffers };
    TP_SCOPE;
    TP_NO_GRAD;

    TP_REQUIRE_IN(k->where, *t, TP_ERR_ARG, "%s isn't there yet: call tp_nn_init first", name);
    TP_REQUIRE_IN(k->where, tp__dense(*t, TP_ROW_MAJOR) || tp__dense(*t, TP_CHANNELS_LAST), TP_ERR_ARG,
                  "%s is a strided view: tp_contiguous makes it a parameter", name);
    if (known(e, *t)) return true;
    if (!e->device) e->device = tp_device_of(*t);
    TP_REQUIRE_IN(k->where, tp_device_of(*t) == e->device, TP_ERR_DEVICE, "%s is on %s, others on %s", name,
                  tp_device_name(tp_device_of(*t)), tp_device_name(e->device));
    s.average = tp__keep(tp_zeros_like(*t));
    if (!s.average || !tp__copy(s.average, *t, false) || !(s.name = tp__strdup(name))) {
        tp__free(s.average);
        return false;
    }
    s.live = tp__retain(*t);
    e->each[e->n++] = s;
    return true;
}

static bool take_all(const char *where, tp_ema *e, tp_module *m)
{
    tp_params all = tp_nn_params(m, "*");
    taking k = { where, e, false };

    if (tp_nn_each(all, true, count_one, &e->room) < 0) return false;
    e->each = tp__alloc_zeroed(sizeof *e->each * (size_t)e->room);
    e->update = tp__alloc(sizeof *e->update * (size_t)e->room);
    if (!e->each || !e->update || tp_nn_each(all, false, take, &k) < 0) return false;
    k.buffers = true; /* what is left */
    if (tp_nn_each(all, true, take, &k) < 0) return false;
    e->updates = tp__keep(tp_zeros(TP_SCALAR, TP_F64, e->device)), e->one = tp__keep(tp_ones(TP_SCALAR, TP_F64, e->device));
    return e->updates && e->one;
}

static tp_ema *make(const char *where, tp_module *m, tp_average_args how)
{
    tp_ema *e;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(where, how.decay >= 0 && how.decay <= 1, TP_ERR_ARG, "decay %g: 0 to 1 is wanted", how.decay);
    if (!(e = tp__alloc_zeroed(sizeof *e))) return NULL;
    e->how = how;
    if (take_all(where, e, m)) return e;
    tp_ema_free(e);
    return NULL;
}

tp_ema *tp_ema_new(tp_module *m, double decay)
{
    return make(__func__, m, (tp_average_args){ TP_AVERAGE_DECAY, decay });
}

tp_ema *tp_ema_new_warm(tp_module *m, double decay)
{
    return make(__func__, m, (tp_average_args){ TP_AVERAGE_WARM, decay });
}

tp_ema *tp_swa_new(tp_module *m)
{
    return make(__func__, m, (tp_average_args){ TP_AVERAGE_MEAN, 0 });
}

/* ---- updating ---- */

static bool usable(const char *where, const tp_ema *e)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, e, TP_ERR_ARG, "missing averages");
    TP_REQUIRE_IN(where, !e->spare, TP_ERR_ARG, "the module holds the averages now: swap them back first");
    return true;
}

/* Is all as it was when the averages were made? */
static bool fits(const char *where, const tp_ema *e)
{
    for (int i = 0; i < e->n; i++) {
        const slot *s = &e->each[i];

        TP_REQUIRE_IN(where, !s->live->replaced, TP_ERR_ARG,
                      "%s was replaced by tp_nn_set or tp_nn_replace: make the averages after that", s->name);
        TP_REQUIRE_IN(where, s->live->dtype == s->average->dtype && tp__device(s->live) == e->device, TP_ERR_DTYPE,
                      "%s is %s on %s, its average %s on %s: make the averages after tp_nn_cast", s->name,
                      tp__text(s->live), tp__device(s->live)->name, tp__text(s->average), e->device->name);
    }
    return tp__device_ctx(e->device) != NULL;
}

/* All that one launch takes with the first. */
static int launch_of(tp_ema *e, const slot *first)
{
    int n = 0;

    for (slot *s = e->each; s < e->each + e->n; s++) {
        if (s->done || s->buffer != first->buffer || s->live->dtype != first->live->dtype) continue;
        e->update[n++] = (tp_update){ tp_count(s->live), tp__data(s->live), tp__data(s->average), NULL, NULL, NULL };
        s->done = true;
    }
    return n;
}

/* A buffer is what the first update makes of it: a copy. */
static bool update_with(tp_ema *e, const slot *first)
{
    const double *n = tp__data(first->buffer ? e->one : e->updates);

    if (!tp__is_float(first->live)) return tp__copy(first->average, first->live, false);
    return TP_RUN(average, first->live, launch_of(e, first), e->update, e->how, n);
}

static bool update(tp_ema *e)
{
    if (!TP_RUN(tick, e->updates, tp__data(e->updates), NULL)) return false;
    for (int i = 0; i < e->n; i++)
        e->each[i].done = false;
    for (slot *s = e->each; s < e->each + e->n; s++)
        if (!s->done && !update_with(e, s)) return false;
    return true;
}

bool tp_ema_update(tp_ema *e)
{
    return usable(__func__, e) && fits(__func__, e) && update(e);
}

int64_t tp_ema_updates(tp_ema *e)
{
    return e && tp_ok() ? (int64_t)tp_item(e->updates) : 0;
}

/* ---- in the module's place ---- */

static size_t bytes_of(const tp_tensor *t)
{
    return (size_t)tp_count(t) * tp_dtype_size((tp_dtype)t->dtype);
}

/* Kernels alone: what is swapped in is swapped out again though an error is pending. */
static bool exchange(tp_ema *e)
{
    bool ok = true;

    for (int i = 0; i < e->n; i++) {
        const slot *s = &e->each[i];
        tp_loop l = tp__loop(&s->live->shape, TP_LIST(s->average, s->average));

        ok = TP_RUN(copy, s->live, &l, tp__data(s->live), false, tp__data(e->spare)) && ok;
        ok = tp__copy(s->live, s->average, false) && ok;
        ok = TP_RUN(copy, s->live, &l, tp__data(e->spare), false, tp__data(s->average)) && ok;
        s->live->storage->version++;
    }
    return ok;
}

static bool swap_in(const char *where, tp_ema *e)
{
    size_t most = 0;
    TP_SCOPE;

    if (!usable(where, e) || !fits(where, e)) return false;
    for (int i = 0; i < e->n; i++)
        most = bytes_of(e->each[i].live) > most ? bytes_of(e->each[i].live) : most;
    e->spare = tp__keep(tp__new(TP_SHAPE((int64_t)most), TP_U8, e->device));
    return e->spare && exchange(e);
}

static bool swap_out(tp_ema *e)
{
    bool ok = exchange(e);

    tp__free(e->spare), e->spare = NULL;
    return ok;
}

bool tp_ema_swap(tp_ema *e)
{
    if (!tp_ok()) return false;
    TP_REQUIRE(e, TP_ERR_ARG, "missing averages");
    if (!e->spare) return swap_in(__func__, e);
    return fits(__func__, e) && swap_out(e);
}

tp_ema *tp__ema_enter(tp_ema *e)
{
    return swap_in("TP_WITH_EMA", e) ? e : NULL;
}

void tp__ema_leave(tp_ema **e)
{
    if (*e && (*e)->spare) swap_out(*e);
}

/* ---- copies, and all its tensors ---- */

static slot *find(tp_ema *e, const char *name)
{
    for (int i = 0; i < e->n; i++)
        if (!strcmp(e->each[i].name, name)) return &e->each[i];
    return NULL;
}

tp_tensor *tp_ema_tensor(tp_ema *e, const char *name)
{
    const slot *s;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(e && name, TP_ERR_ARG, "missing averages or name");
    s = find(e, name);
    TP_REQUIRE(s, TP_ERR_ARG, "there is no average of %s", name);
    return s->average;
}

typedef struct copying {
    tp_ema *e;
    bool write;
    int n;
} copying;

static bool copy_one(void *user, const char *name, tp_tensor **t)
{
    copying *k = user;
    const slot *s = find(k->e, name);

    if (!s) return true;
    TP_REQUIRE_IN("tp_ema_copy_to", *t && tp__same(&(*t)->shape, &s->average->shape), TP_ERR_SHAPE,
                  "%s is %s, its average %s", name, *t ? tp__text(*t) : "not there", tp__text(s->average));
    return k->n++, !k->write || tp_copy_(*t, s->average);
}

bool tp_ema_copy_to(tp_ema *e, tp_module *m)
{
    copying k = { e, false, 0 };
    TP_SCOPE;
    TP_NO_GRAD;

    if (!usable(__func__, e) || tp_nn_each(tp_nn_params(m, "*"), true, copy_one, &k) < 0) return false;
    TP_REQUIRE(k.n >= e->n, TP_ERR_ARG, "the module has %d of the %d tensors", k.n, e->n);
    k.write = true;
    return tp_nn_each(tp_nn_params(m, "*"), true, copy_one, &k) >= 0;
}

int tp_ema_each(tp_ema *e, tp_nn_each_fn *f, void *user)
{
    if (tp_ok() && !f) tp__fail(TP_ERR_ARG, __func__, "missing function");
    if (!usable(__func__, e)) return -1;
    if (!f(user, "updates", &e->updates)) return -1;
    for (int i = 0; i < e->n; i++)
        if (!f(user, e->each[i].name, &e->each[i].average)) return -1;
    return e->n + 1;
}
