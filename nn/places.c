/*
 * places.c - layers that pool, resize, pad and rearrange.
 */
#include "nn/internal.h"

/* ---- pooling over windows ---- */

typedef struct pooling {
    tp_tensor *(*op)(tp_tensor *x, int kernel, tp_pool2d_opts o);
    int kernel;
    tp_pool2d_opts o;
} pooling;

static int pool(void *self, tp_list in, tp_tensor **out, int room)
{
    const pooling *k = ((const tp_module *)self)->opts;

    (void)room;
    return tp_nn_gives(out, k->op(in.t[0], k->kernel, k->o));
}

static tp_module *pooled(const char *where, const char *kind, pooling k)
{
    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(where, k.kernel > 0, TP_ERR_ARG, "kernel %d", k.kernel);
    TP_REQUIRE_IN(where, k.o.stride >= 0 && k.o.padding >= 0 && k.o.dilation >= 0, TP_ERR_ARG,
                  "stride %d, padding %d, dilation %d: none may be negative", k.o.stride,
                  k.o.padding, k.o.dilation);
    return tp_nn_layer(kind, pool, &k, sizeof k);
}

tp_module *tp_nn_max_pool2d_with(int kernel, tp_pool2d_opts o)
{
    return pooled("tp_nn_max_pool2d", "max_pool2d", (pooling){ tp_max_pool2d, kernel, o });
}

tp_module *tp_nn_max_pool2d(int kernel)
{
    return tp_nn_max_pool2d_with(kernel, (tp_pool2d_opts){ 0 });
}

tp_module *tp_nn_avg_pool2d_with(int kernel, tp_pool2d_opts o)
{
    return pooled("tp_nn_avg_pool2d", "avg_pool2d", (pooling){ tp_avg_pool2d, kernel, o });
}

tp_module *tp_nn_avg_pool2d(int kernel)
{
    return tp_nn_avg_pool2d_with(kernel, (tp_pool2d_opts){ 0 });
}

tp_module *tp_nn_max_pool1d_with(int kernel, tp_pool2d_opts o)
{
    return pooled("tp_nn_max_pool1d", "max_pool1d", (pooling){ tp_max_pool1d, kernel, o });
}

tp_module *tp_nn_max_pool1d(int kernel)
{
    return tp_nn_max_pool1d_with(kernel, (tp_pool2d_opts){ 0 });
}

tp_module *tp_nn_avg_pool1d_with(int kernel, tp_pool2d_opts o)
{
    return pooled("tp_nn_avg_pool1d", "avg_pool1d", (pooling){ tp_avg_pool1d, kernel, o });
}

tp_module *tp_nn_avg_pool1d(int kernel)
{
    return tp_nn_avg_pool1d_with(kernel, (tp_pool2d_opts){ 0 });
}

/* ---- pooling to a size ---- */

typedef struct adapting {
    tp_tensor *(*op)(tp_tensor *x, int64_t h, int64_t w);
    int64_t h, w;
} adapting;

static int adapt(void *self, tp_list in, tp_tensor **out, int room)
{
    const adapting *k = ((const tp_module *)self)->opts;

    (void)room;
    return tp_nn_gives(out, k->op(in.t[0], k->h, k->w));
}

static tp_module *adapted(const char *where, const char *kind, adapting k)
{
    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(where, k.h > 0 && k.w > 0, TP_ERR_ARG, "%lld by %lld parts", (long long)k.h,
                  (long long)k.w);
    return tp_nn_layer(kind, adapt, &k, sizeof k);
}

tp_module *tp_nn_adaptive_avg_pool2d(int64_t h, int64_t w)
{
    return adapted(__func__, "adaptive_avg_pool2d", (adapting){ tp_adaptive_avg_pool2d, h, w });
}

tp_module *tp_nn_adaptive_max_pool2d(int64_t h, int64_t w)
{
    return adapted(__func__, "adaptive_max_pool2d", (adapting){ tp_adaptive_max_pool2d, h, w });
}

/* ---- ops without options ---- */

static int through(void *self, tp_list in, tp_tensor **out, int room)
{
    tp_tensor *(*const *op)(tp_tensor * x) = ((const tp_module *)self)->opts;

    (void)room;
    return tp_nn_gives(out, (*op)(in.t[0]));
}

static tp_module *plain(const char *kind, tp_tensor *(*op)(tp_tensor *x))
{
    return tp_nn_layer(kind, through, &op, sizeof op);
}

static tp_tensor *flatten(tp_tensor *x)
{
    return tp_flatten(x, 1);
}

tp_module *tp_nn_global_avg_pool2d(void)
{
    return plain("global_avg_pool2d", tp_global_avg_pool2d);
}

tp_module *tp_nn_global_max_pool2d(void)
{
    return plain("global_max_pool2d", tp_global_max_pool2d);
}

tp_module *tp_nn_flatten(void)
{
    return plain("flatten", flatten);
}

/* ---- resizing ---- */

static int upsample(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_interpolate_opts *o = ((const tp_module *)self)->opts;

    (void)room;
    return tp_nn_gives(out, tp_interpolate(in.t[0], *o));
}

tp_module *tp_nn_upsample(tp_interpolate_opts o)
{
    if (!tp_ok()) return NULL;
    TP_REQUIRE((unsigned)o.mode <= TP_BILINEAR, TP_ERR_ARG, "there is no mode %d", (int)o.mode);
    TP_REQUIRE(o.h >= 0 && o.w >= 0 && !o.h == !o.w && o.scale >= 0 && o.scale_w >= 0 &&
                   !o.h == (o.scale > 0),
               TP_ERR_ARG, "either h and w or a scale is wanted, not %lld, %lld and %g",
               (long long)o.h, (long long)o.w, o.scale);
    return tp_nn_layer("upsample", upsample, &o, sizeof o);
}

typedef struct shuffling {
    tp_tensor *(*op)(tp_tensor *x, int64_t r);
    int64_t r;
} shuffling;

static int shuffle(void *self, tp_list in, tp_tensor **out, int room)
{
    const shuffling *k = ((const tp_module *)self)->opts;

    (void)room;
    return tp_nn_gives(out, k->op(in.t[0], k->r));
}

static tp_module *shuffled(const char *where, const char *kind, shuffling k)
{
    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(where, k.r > 0 && k.r <= INT16_MAX, TP_ERR_ARG, "blocks of %lld by %lld",
                  (long long)k.r, (long long)k.r);
    return tp_nn_layer(kind, shuffle, &k, sizeof k);
}

tp_module *tp_nn_pixel_shuffle(int64_t r)
{
    return shuffled(__func__, "pixel_shuffle", (shuffling){ tp_pixel_shuffle, r });
}

tp_module *tp_nn_pixel_unshuffle(int64_t r)
{
    return shuffled(__func__, "pixel_unshuffle", (shuffling){ tp_pixel_unshuffle, r });
}

/* ---- padding ---- */

typedef struct padding {
    tp_shape pads;
    tp_pad_opts o;
} padding;

static int pad(void *self, tp_list in, tp_tensor **out, int room)
{
    const padding *k = ((const tp_module *)self)->opts;

    (void)room;
    return tp_nn_gives(out, tp_pad(in.t[0], k->pads, k->o));
}

tp_module *tp_nn_pad(tp_shape pads, tp_pad_opts o)
{
    padding k = { pads, o };

    if (!tp_ok()) return NULL;
    TP_REQUIRE((unsigned)o.mode <= TP_PAD_CIRCULAR, TP_ERR_ARG, "there is no mode %d", (int)o.mode);
    TP_REQUIRE(pads.rank > 0 && pads.rank <= TP_MAX_AXES && pads.rank % 2 == 0, TP_ERR_ARG,
               "%d numbers: two for each axis are wanted", pads.rank);
    return tp_nn_layer("pad", pad, &k, sizeof k);
}

/* ---- one axis in several ---- */

typedef struct splitting {
    int axis;
    tp_shape sizes;
} splitting;

static tp_tensor *split(tp_tensor *x, const splitting *k)
{
    int rank = x->shape.rank, axis = k->axis < 0 ? k->axis + rank : k->axis;
    tp_shape s = { 0 };

    TP_REQUIRE_IN("unflatten", axis >= 0 && axis < rank && rank - 1 + k->sizes.rank <= TP_MAX_AXES,
                  TP_ERR_SHAPE, "axis %d of %s in %d", k->axis, tp__text(x), k->sizes.rank);
    for (int i = 0; i < rank; i++)
        for (int j = 0; j < (i == axis ? k->sizes.rank : 1); j++)
            s.n[s.rank++] = i == axis ? k->sizes.n[j] : x->shape.n[i];
    return tp_reshape(x, s);
}

static int unflatten(void *self, tp_list in, tp_tensor **out, int room)
{
    (void)room;
    return tp_nn_gives(out, tp__check("unflatten", TP_LIST(in.t[0]), 1)
                            ? split(in.t[0], ((const tp_module *)self)->opts)
                            : NULL);
}

tp_module *tp_nn_unflatten(int axis, tp_shape sizes)
{
    splitting k = { axis, sizes };

    if (!tp_ok()) return NULL;
    TP_REQUIRE(sizes.rank > 0 && sizes.rank <= TP_MAX_AXES, TP_ERR_ARG, "an axis in %d",
               sizes.rank);
    return tp_nn_layer("unflatten", unflatten, &k, sizeof k);
}
