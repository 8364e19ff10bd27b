/*
 * later.c - a number of a device that is copied to the host now and read later.
 *
 * The copy is queued behind the kernels that compute it and before whatever writes there next, so it is
 * the number of now; reading it waits for that copy alone, mostly long done.
 */
#include "tensor/internal.h"

#include <math.h>
#include <string.h>

struct tp_later {
    const char *where; /* of the function that asked, for errors */
    tp_device *device;
    void *ticket; /* NULL: value is there already */
    tp_dtype dtype;
    double value;
};

tp_later *tp__later(const char *where, const tp_tensor *t)
{
    tp_ctx *k;
    tp_later *l;
    int failed;

    if (!tp__replayable(where, "there is no number yet; ask for it after the step")) return NULL;
    if (!(k = tp__ctx(t)) || !(l = tp__alloc_zeroed(sizeof *l))) return NULL;
    *l = (tp_later){ .where = where, .device = tp__device(t), .dtype = (tp_dtype)t->dtype };
    if (!k->backend->fetch) l->value = tp_item(t);
    else if ((failed = k->backend->fetch(k, tp__data(t), tp_dtype_size(l->dtype), &l->ticket)))
        tp__device_failed(where, k, failed);
    if (tp_ok()) return l;
    tp__release(l, sizeof *l);
    return NULL;
}

/* As the host's kernels read it. */
static double number(tp_dtype d, const void *bytes)
{
    tp_tensor *t;
    TP_SCOPE;

    if (!(t = tp__new(TP_SHAPE(), d, tp__cpu()))) return NAN;
    memcpy(tp__data(t), bytes, tp_dtype_size(d));
    return tp_item(t);
}

/* Gives the ticket back; its bytes are in l->value then. */
static int fetched(tp_later *l, tp_ctx *k)
{
    return k->backend->fetched(k, l->ticket, &l->value, tp_dtype_size(l->dtype));
}

double tp__later_item(tp_later *l)
{
    tp_ctx *k = l->ticket ? tp__device_ctx(l->device) : NULL;
    int failed = k ? fetched(l, k) : 0;
    double v = !l->ticket ? l->value : !k || failed ? NAN : number(l->dtype, &l->value);

    if (failed) tp__device_failed(l->where, k, failed);
    tp__release(l, sizeof *l);
    return v;
}

void tp__later_free(tp_later *l)
{
    tp_ctx *k = l && l->ticket ? tp__device_ctx(l->device) : NULL;

    if (k) fetched(l, k);
    if (l) tp__release(l, sizeof *l);
}
