/*
 * copy.c - making tensors from values, and copies between host, device and layouts.
 */
#include "tensor/internal.h"

#include <math.h>
#include <string.h>

atomic_long tp__layout_copies;

static bool filled(tp_tensor *t, double v)
{
    tp_loop l;

    if (!t) return false;
    l = tp__loop(&t->shape, TP_LIST(t));
    return TP_RUN(fill, t, &l, v, tp__data(t));
}

static tp_tensor *full(const char *where, tp_shape s, double v, tp_dtype d, tp_device *dev)
{
    tp_tensor *t;

    if (!tp_ok() || !tp__shape_ok(where, s)) return NULL;
    TP_REQUIRE_IN(where, (unsigned)d < TP_DTYPES, TP_ERR_DTYPE, "there is no dtype %d", (int)d);
    TP_REQUIRE_IN(where, dev, TP_ERR_DEVICE, "missing device");
    t = tp__new(s, d, dev);
    return filled(t, v) ? t : NULL;
}

tp_tensor *tp_full(tp_shape s, double v, tp_dtype d, tp_device *dev)
{
    return full(__func__, s, v, d, dev);
}

tp_tensor *tp_zeros(tp_shape s, tp_dtype d, tp_device *dev)
{
    return full(__func__, s, 0, d, dev);
}

tp_tensor *tp_ones(tp_shape s, tp_dtype d, tp_device *dev)
{
    return full(__func__, s, 1, d, dev);
}

static tp_tensor *like(const char *where, tp_tensor *t, double v)
{
    tp_tensor *y;

    if (!tp__check(where, TP_LIST(t), 1)) return NULL;
    y = tp__new_as(t->shape, (tp_dtype)t->dtype, tp__device(t), tp__layout_of(t));
    return filled(y, v) ? y : NULL;
}

tp_tensor *tp_zeros_like(tp_tensor *t)
{
    return like(__func__, t, 0);
}

tp_tensor *tp_ones_like(tp_tensor *t)
{
    return like(__func__, t, 1);
}

bool tp__upload(const char *where, tp_ctx *c, void *to, const void *host, size_t bytes)
{
    int failed = bytes ? c->backend->upload(c, to, host, bytes) : 0;

    return !failed || tp__device_failed(where, c, failed);
}

tp_tensor *tp__constant(const char *where, const void *host, tp_shape s, tp_dtype d, tp_device *dev)
{
    tp_tensor *t = tp__new(s, d, dev);
    tp_ctx *c = t ? tp__ctx(t) : NULL;

    return c && tp__upload(where, c, tp__data(t), host, t->storage->bytes) ? t : NULL;
}

tp_tensor *tp_from(const void *host, tp_shape s, tp_dtype d, tp_device *dev)
{
    if (!tp_ok() || !tp__shape_ok(__func__, s)) return NULL;
    TP_REQUIRE((unsigned)d < TP_DTYPES, TP_ERR_DTYPE, "there is no dtype %d", (int)d);
    TP_REQUIRE(dev, TP_ERR_DEVICE, "missing device");
    TP_REQUIRE(host || tp__elements(&s) == 0, TP_ERR_ARG, "missing memory");
    if (!tp__replayable(__func__, "each replay would see the same numbers; make the tensor before, and tp_copy_ "
                                  "into it between steps"))
        return NULL;
    return tp__constant(__func__, host, s, d, dev);
}

bool tp__copy(tp_tensor *to, const tp_tensor *from, bool add)
{
    tp_tensor *x = (tp_tensor *)(uintptr_t)from;
    tp_loop l = tp__loop(&to->shape, TP_LIST(to, x));

    if (to->shape.rank == 4 && l.rank > 1 &&
        tp__layout_among(TP_LIST(to, x)) != tp__layout_among(TP_LIST(x, to))) /* each speaks for another */
        atomic_fetch_add_explicit(&tp__layout_copies, 1, memory_order_relaxed);
    return TP_RUN(copy, to, &l, tp__data(from), add, tp__data(to));
}

bool tp_read(const tp_tensor *t, void *host, size_t bytes)
{
    const tp_tensor *dense = t;
    tp_tensor *copy;
    tp_ctx *c;
    int failed;

    TP_SCOPE;
    if (!tp__check(__func__, TP_LIST((tp_tensor *)t), 1)) return false;
    TP_REQUIRE(bytes == (size_t)tp_count(t) * tp_dtype_size((tp_dtype)t->dtype), TP_ERR_ARG,
               "%zu bytes for %s", bytes, tp__text(t));
    TP_REQUIRE(host || !bytes, TP_ERR_ARG, "missing memory");
    if (!tp__replayable(__func__, "there is no number yet; read it after the step")) return false;
    if (!bytes) return true;
    if (!tp_is_contiguous(t)) {
        dense = copy = tp__new_like(t, t->shape);
        if (!copy || !tp__copy(copy, t, false)) return false;
    }
    if (!(c = tp__ctx(t))) return false;
    failed = c->backend->download(c, host, tp__data(dense), bytes);
    return !failed || tp__device_failed(__func__, c, failed);
}

double tp_item(const tp_tensor *t)
{
    double d = NAN;
    tp_tensor *wide;
    tp_loop l;

    TP_SCOPE;
    if (!tp__check(__func__, TP_LIST((tp_tensor *)t), 1)) return NAN;
    if (!tp__replayable(__func__, "there is no number yet; read it after the step")) return NAN;
    if (tp_count(t) != 1) {
        tp__fail(TP_ERR_SHAPE, __func__, "%s has more or less than one element", tp__text(t));
        return NAN;
    }
    if (t->dtype == TP_F64) return tp_read(t, &d, sizeof d) ? d : NAN;
    if (!(wide = tp__new(t->shape, TP_F64, tp__device(t)))) return NAN;
    l = tp__loop(&t->shape, TP_LIST(wide, (tp_tensor *)t));
    if (!TP_RUN(cast, t, &l, tp__data(t), TP_F64, tp__data(wide))) return NAN;
    return tp_read(wide, &d, sizeof d) ? d : NAN;
}

float *tp_f32(tp_tensor *t)
{
    if (!tp__check(__func__, TP_LIST(t), 1)) return NULL;
    TP_REQUIRE(t->dtype == TP_F32 && tp_is_contiguous(t) && tp__device(t) == tp__cpu(), TP_ERR_ARG,
               "%s on %s: contiguous f32 on the CPU is wanted", tp__text(t), tp__device(t)->name);
    return tp__data(t);
}
