/*
 * scaler.c - the scale of a loss and what follows from gradients that aren't finite, after
 * torch.amp.GradScaler.
 *
 * Scale, count and what was found are device scalars: the optimizer's kernels read them.
 */
#include "optim/internal.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"

#include <math.h>

enum { MOST = 16 };

/* Where an optimizer stands between two updates. */
typedef enum stage { READY, UNSCALED, STEPPED } stage;

struct tp_scaler {
    tp_grow_args how;
    tp_tensor *scale, *good; /* f64; steps in a row that were finite */
    tp_tensor *found;        /* f64 (MOST): 1 where an optimizer's gradients weren't finite */
    tp_optim *optim[MOST];
    stage stage[MOST];
    int n;
};

tp_scaler_opts tp_scaler_options(void)
{
    return (tp_scaler_opts){ 65536, 2, 0.5, 2000, true };
}

void tp_scaler_free(tp_scaler *s)
{
    if (!s) return;
    for (int i = 0; i < s->n; i++)
        tp_optim_free(s->optim[i]);
    tp__free(s->scale), tp__free(s->good), tp__free(s->found);
    tp__release(s, sizeof *s);
}

tp_scaler *tp_scaler_new(tp_device *dev, tp_scaler_opts o)
{
    tp_scaler *s;
    TP_SCOPE;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(dev, TP_ERR_ARG, "missing device");
    TP_REQUIRE(o.filled, TP_ERR_ARG, "options are not filled: start from tp_scaler_options()");
    TP_REQUIRE(o.init_scale > 0 && isfinite(o.init_scale), TP_ERR_ARG, "init_scale %g: a positive number is wanted", o.init_scale);
    TP_REQUIRE(o.growth_factor > 1 && isfinite(o.growth_factor), TP_ERR_ARG, "growth_factor %g: more than 1 is wanted",
               o.growth_factor);
    TP_REQUIRE(o.backoff_factor > 0 && o.backoff_factor < 1, TP_ERR_ARG, "backoff_factor %g: between 0 and 1 is wanted",
               o.backoff_factor);
    TP_REQUIRE(o.growth_interval > 0, TP_ERR_ARG, "growth_interval %lld: a positive number is wanted",
               (long long)o.growth_interval);
    if (!(s = tp__alloc_zeroed(sizeof *s))) return NULL;
    s->how = (tp_grow_args){ o.growth_factor, o.backoff_factor, (double)o.growth_interval };
    s->scale = tp__keep(tp_full(TP_SCALAR, o.init_scale, TP_F64, dev));
    s->good = tp__keep(tp_zeros(TP_SCALAR, TP_F64, dev)),
    s->found = tp__keep(tp_zeros(TP_SHAPE(MOST), TP_F64, dev));
    if (tp_ok()) return s;
    tp_scaler_free(s);
    return NULL;
}

static bool usable(const char *where, const tp_scaler *s)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, s, TP_ERR_ARG, "missing scaler");
    return true;
}

tp_tensor *tp_scaler_scale(tp_scaler *s, tp_tensor *loss)
{
    TP_SCOPE;
    if (!usable(__func__, s) || !tp__check(__func__, TP_LIST(loss), 1)) return NULL;
    TP_REQUIRE(tp__is_float(loss), TP_ERR_DTYPE, "the loss is %s", tp__text(loss));
    TP_REQUIRE(tp__device(loss) == tp__device(s->scale), TP_ERR_DEVICE, "the loss is on %s, the scaler on %s",
               tp__device(loss)->name, tp__device(s->scale)->name);
    return tp_pass(tp_mul(loss, tp_cast(s->scale, (tp_dtype)loss->dtype)));
}

/* ---- one optimizer's gradients ---- */

/* Its place, a new one if need be; -1 and an error. */
static int place_of(const char *where, tp_scaler *s, tp_optim *o)
{
    for (int i = 0; i < s->n; i++)
        if (s->optim[i] == o) return i;
    if (s->n == MOST) tp__fail(TP_ERR_ARG, where, "a scaler serves at most %d optimizers", MOST);
    if (o->device != tp__device(s->scale))
        tp__fail(TP_ERR_DEVICE, where, "the optimizer is on %s, the scaler on %s", o->device->name, tp__device(s->scale)->name);
    if (!tp_ok()) return -1;
    s->optim[s->n] = tp__optim_retain(o), s->stage[s->n] = READY;
    return s->n++;
}

static double *found_of(const tp_scaler *s, int place)
{
    return (double *)tp__data(s->found) + place;
}

/* Looks for what isn't finite, and divides by the scale unless that is NULL.  The number of
 * launches; -1 after a failure. */
static int look(tp_scaler *s, tp_optim *o, int place, const double *scale)
{
    int n = 0;

    for (int i = 0; i < o->n; i++) {
        tp_slotted *k = &o->each[i];
        int some;

        if (!k->grad || k->done) continue;
        some = tp__optim_launch_of(o, i);
        if (!TP_RUN(unscale, k->p, some, o->update, scale, n > 0, found_of(s, place))) return -1;
        n++;
    }
    return n;
}

static bool any_gradient(const char *where, const tp_optim *o)
{
    for (int i = 0; i < o->n; i++)
        if (o->each[i].grad) return true;
    TP_REQUIRE_IN(where, false, TP_ERR_ARG, "no gradient has arrived: call tp_backward first");
    return false;
}

bool tp_scaler_unscale(tp_scaler *s, tp_optim *o)
{
    int place;
    TP_SCOPE;

    if (!usable(__func__, s) || !tp__optim_gather(__func__, o)) return false;
    if (!any_gradient(__func__, o) || (place = place_of(__func__, s, o)) < 0) return false;
    TP_REQUIRE(s->stage[place] != UNSCALED, TP_ERR_ARG, "these gradients are unscaled already: call tp_scaler_update first");
    TP_REQUIRE(s->stage[place] != STEPPED, TP_ERR_ARG, "after tp_scaler_step: call tp_scaler_update first");
    if (look(s, o, place, tp__data(s->scale)) < 0) return false;
    for (int i = 0; i < o->n; i++)
        if (o->each[i].grad) o->each[i].grad->storage->version++;
    s->stage[place] = UNSCALED;
    return true;
}

bool tp_scaler_step(tp_scaler *s, tp_optim *o)
{
    bool unscaled;
    int place;
    TP_SCOPE;

    if (!usable(__func__, s) || !tp__optim_gather(__func__, o)) return false;
    if (!any_gradient(__func__, o) || (place = place_of(__func__, s, o)) < 0) return false;
    TP_REQUIRE(s->stage[place] != STEPPED, TP_ERR_ARG, "it has stepped already: call tp_scaler_update first");
    unscaled = s->stage[place] == UNSCALED;
    if (!unscaled && look(s, o, place, NULL) < 0) return false;
    if (!tp__optim_step(o, unscaled ? NULL : s->scale, found_of(s, place))) return false;
    s->stage[place] = STEPPED;
    return true;
}

/* ---- the scale ---- */

/* The places of those that did nothing since the last update hold 0. */
bool tp_scaler_update(tp_scaler *s)
{
    bool any = false;
    TP_SCOPE;

    if (!usable(__func__, s)) return false;
    for (int i = 0; i < s->n; i++)
        any = any || s->stage[i] != READY;
    TP_REQUIRE(any, TP_ERR_ARG, "no optimizer has been stepped with this scaler since the last update");
    if (!TP_RUN(grow, s->scale, s->n, tp__data(s->found), s->how, tp__data(s->scale), tp__data(s->good))) return false;
    for (int i = 0; i < s->n; i++)
        s->stage[i] = READY;
    s->scale->storage->version++;
    return tp_fill_(s->found, 0);
}

double tp_scaler_value(tp_scaler *s)
{
    return usable(__func__, s) ? tp_item(s->scale) : NAN;
}

int tp_scaler_each(tp_scaler *s, tp_nn_each_fn *f, void *user)
{
    if (!usable(__func__, s)) return -1;
    if (!f) return tp__fail(TP_ERR_ARG, __func__, "missing function"), -1;
    return f(user, "scale", &s->scale) && f(user, "growth_tracker", &s->good) ? 2 : -1;
}
