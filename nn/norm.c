/*
 * norm.c - normalization: weights, and the running statistics that training moves.
 */
#include "nn/internal.h"

enum { WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR, TRACKED };

static bool add_running(tp_module *m, tp_shape s)
{
    return tp_nn_buffer(m, "running_mean", s, TP_F32, 0) &&
           tp_nn_buffer(m, "running_var", s, TP_F32, 1) &&
           tp_nn_buffer(m, "num_batches_tracked", TP_SCALAR, TP_I64, 0);
}

static bool add_affine(tp_module *m, tp_shape s, bool weight, bool bias)
{
    return (!weight || tp_nn_param(m, "weight", s, tp_init_constant(1))) &&
           (!bias || tp_nn_param(m, "bias", s, tp_init_constant(0)));
}

/* Entries come in this order, weight and bias only where it is affine.  NULL: it isn't there. */
static tp_tensor *entry_of(const tp_module *m, bool affine, int i)
{
    if (i <= BIAS) return affine ? tp__param(m, i) : NULL;
    return tp__param(m, affine ? i : i - RUNNING_MEAN);
}

/* ---- batch ---- */

/* On the device: a host count would make every step wait. */
static bool count_batch(tp_tensor *n)
{
    tp_tensor *one;

    TP_SCOPE;
    one = tp_ones(TP_SCALAR, TP_I64, tp_device_of(n));
    return one && tp__copy(n, one, true);
}

static int batch_norm(void *self, tp_list in, tp_tensor **out, int room)
{
    tp_module *m = self;
    tp_batch_norm_opts o = *(const tp_batch_norm_opts *)m->opts;
    bool affine = !o.no_affine, moves = m->training && !o.no_running && !tp__me()->second_run;
    tp_tensor *y;

    (void)room;
    o.training = m->training || o.no_running;
    if (o.cumulative && moves) o.momentum = 1 / (tp_item(entry_of(m, affine, TRACKED)) + 1);
    y = tp_batch_norm(in.t[0], entry_of(m, affine, WEIGHT), entry_of(m, affine, BIAS),
                      entry_of(m, affine, RUNNING_MEAN), entry_of(m, affine, RUNNING_VAR), o);
    if (y && moves && !count_batch(entry_of(m, affine, TRACKED))) return -1;
    return tp_nn_gives(out, y);
}

tp_module *tp_nn_batch_norm_with(int64_t channels, tp_batch_norm_opts o)
{
    tp_shape s = TP_SHAPE(channels);
    tp_module *m;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_nn_batch_norm", o.filled, TP_ERR_ARG, "start from tp_batch_norm_defaults()");
    TP_REQUIRE_IN("tp_nn_batch_norm", channels > 0, TP_ERR_ARG, "%lld channels",
                  (long long)channels);
    TP_REQUIRE_IN("tp_nn_batch_norm", o.eps >= 0 && o.momentum >= 0, TP_ERR_ARG,
                  "eps %g, momentum %g: neither may be negative", o.eps, o.momentum);
    m = tp_nn_layer("batch_norm", batch_norm, &o, sizeof o);
    return tp__made(m, add_affine(m, s, !o.no_affine, !o.no_affine) &&
                           (o.no_running || add_running(m, s)));
}

tp_module *tp_nn_batch_norm(int64_t channels)
{
    return tp_nn_batch_norm_with(channels, tp_batch_norm_defaults());
}

/* ---- layer, group, RMS ---- */

tp_norm_layer_opts tp_norm_layer_defaults(void)
{
    return (tp_norm_layer_opts){ .eps = -1, .filled = true };
}

typedef struct norm {
    tp_shape shape; /* that is normalized over */
    int64_t groups;
    double eps;
} norm;

static int layer_norm(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const norm *k = m->opts;

    (void)room;
    return tp_nn_gives(
        out, tp_layer_norm(in.t[0], k->shape, tp__param(m, WEIGHT), tp__param(m, BIAS), k->eps));
}

static int group_norm(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const norm *k = m->opts;
    tp_tensor *x = in.t[0];

    (void)room;
    if (x && tp_dim(x, 1) != k->shape.n[0])
        return tp__fail(TP_ERR_SHAPE, m->kind, "x must be (N, %lld, ...), not %s",
                        (long long)k->shape.n[0], tp__text(x)),
               -1;
    return tp_nn_gives(out,
                   tp_group_norm(x, k->groups, tp__param(m, WEIGHT), tp__param(m, BIAS), k->eps));
}

static int rms_norm(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const norm *k = m->opts;

    (void)room;
    return tp_nn_gives(out, tp_rms_norm(in.t[0], k->shape, tp__param(m, WEIGHT), k->eps));
}

static bool norm_fits(const char *where, tp_norm_layer_opts o)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, o.filled, TP_ERR_ARG, "start from tp_norm_layer_defaults()");
    TP_REQUIRE_IN(where, o.eps == o.eps, TP_ERR_ARG, "eps isn't a number");
    return true;
}

static tp_module *over_last(const char *kind, tp_nn_fn *run, tp_shape shape, double eps,
                            tp_norm_layer_opts o)
{
    norm k = { .shape = shape, .eps = o.eps < 0 ? eps : o.eps };
    tp_module *m = tp_nn_layer(kind, run, &k, sizeof k);

    return tp__made(m, add_affine(m, shape, !o.no_affine, !o.no_affine && !o.no_bias));
}

tp_module *tp_nn_layer_norm_with(tp_shape shape, tp_norm_layer_opts o)
{
    if (!norm_fits("tp_nn_layer_norm", o)) return NULL;
    TP_REQUIRE_IN("tp_nn_layer_norm", shape.rank > 0, TP_ERR_SHAPE, "no axes to normalize over");
    if (!tp__shape_ok("tp_nn_layer_norm", shape)) return NULL;
    return over_last("layer_norm", layer_norm, shape, 1e-5, o);
}

tp_module *tp_nn_layer_norm(tp_shape shape)
{
    return tp_nn_layer_norm_with(shape, tp_norm_layer_defaults());
}

tp_module *tp_nn_rms_norm_with(tp_shape shape, tp_norm_layer_opts o)
{
    if (!norm_fits("tp_nn_rms_norm", o)) return NULL;
    TP_REQUIRE_IN("tp_nn_rms_norm", shape.rank > 0, TP_ERR_SHAPE, "no axes to normalize over");
    if (!tp__shape_ok("tp_nn_rms_norm", shape)) return NULL;
    o.no_bias = true;
    return over_last("rms_norm", rms_norm, shape, -1, o);
}

tp_module *tp_nn_rms_norm(tp_shape shape)
{
    return tp_nn_rms_norm_with(shape, tp_norm_layer_defaults());
}

tp_module *tp_nn_group_norm_with(int64_t groups, int64_t channels, tp_norm_layer_opts o)
{
    norm k = { TP_SHAPE(channels), groups, o.eps < 0 ? 1e-5 : o.eps };
    tp_module *m;

    if (!norm_fits("tp_nn_group_norm", o)) return NULL;
    TP_REQUIRE_IN("tp_nn_group_norm", groups > 0 && channels > 0 && channels % groups == 0,
                  TP_ERR_ARG, "%lld groups of %lld channels", (long long)groups,
                  (long long)channels);
    m = tp_nn_layer("group_norm", group_norm, &k, sizeof k);
    return tp__made(m, add_affine(m, k.shape, !o.no_affine, !o.no_affine && !o.no_bias));
}

tp_module *tp_nn_group_norm(int64_t groups, int64_t channels)
{
    return tp_nn_group_norm_with(groups, channels, tp_norm_layer_defaults());
}

/* ---- instance ---- */

tp_instance_norm_opts tp_instance_norm_defaults(void)
{
    return (tp_instance_norm_opts){ .eps = 1e-5, .momentum = .1, .filled = true };
}

typedef struct instance {
    int64_t channels;
    tp_instance_norm_opts o;
} instance;

static tp_tensor *instance_entry(const tp_module *m, int i)
{
    return entry_of(m, ((const instance *)m->opts)->o.affine, i);
}

/* running = (1 - momentum) running + momentum mean over N of each sample's */
static bool move_one(tp_tensor *running, tp_tensor *each, double momentum)
{
    tp_tensor *batch = tp_cast(tp_mean(each, TP_AXES(0)), tp_dtype_of(running));

    return tp_copy_(running, tp_add(tp_scale(running, 1 - momentum), tp_scale(batch, momentum)));
}

/* The variance that they gather is unbiased. */
static bool move_running(const tp_module *m, tp_tensor *x, double momentum)
{
    tp_tensor *rows;

    TP_SCOPE;
    TP_NO_GRAD;
    rows = tp_flatten(tp_detach(x), 2);
    rows = tp_cast(rows, tp_dtype_of(instance_entry(m, RUNNING_MEAN)));
    return move_one(instance_entry(m, RUNNING_MEAN), tp_mean(rows, TP_AXES(2)), momentum) &&
           move_one(instance_entry(m, RUNNING_VAR), tp_var(rows, TP_AXES(2), 1), momentum);
}

static tp_tensor *by_running(const tp_module *m, tp_tensor *x, double eps)
{
    tp_batch_norm_opts o = tp_batch_norm_defaults();

    o.eps = eps, o.training = false;
    return tp_batch_norm(x, instance_entry(m, WEIGHT), instance_entry(m, BIAS),
                         instance_entry(m, RUNNING_MEAN), instance_entry(m, RUNNING_VAR), o);
}

static int instance_norm(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const instance *k = m->opts;
    tp_tensor *x = in.t[0], *y;

    (void)room;
    if (x && (x->shape.rank < 3 || tp_dim(x, 1) != k->channels))
        return tp__fail(TP_ERR_SHAPE, m->kind, "x must be (N, %lld, L, ...), not %s",
                        (long long)k->channels, tp__text(x)),
               -1;
    if (k->o.track_running_stats && !m->training) return tp_nn_gives(out, by_running(m, x, k->o.eps));
    y = tp_instance_norm(x, instance_entry(m, WEIGHT), instance_entry(m, BIAS), k->o.eps);
    if (y && k->o.track_running_stats && tp_count(x) && !tp__me()->second_run &&
        !move_running(m, x, k->o.momentum))
        return -1;
    return tp_nn_gives(out, y);
}

tp_module *tp_nn_instance_norm_with(int64_t channels, tp_instance_norm_opts o)
{
    instance k = { channels, o };
    tp_shape s = TP_SHAPE(channels);
    tp_module *m;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_nn_instance_norm", o.filled, TP_ERR_ARG,
                  "start from tp_instance_norm_defaults()");
    TP_REQUIRE_IN("tp_nn_instance_norm", channels > 0, TP_ERR_ARG, "%lld channels",
                  (long long)channels);
    TP_REQUIRE_IN("tp_nn_instance_norm", o.eps >= 0 && o.momentum >= 0, TP_ERR_ARG,
                  "eps %g, momentum %g: neither may be negative", o.eps, o.momentum);
    m = tp_nn_layer("instance_norm", instance_norm, &k, sizeof k);
    return tp__made(m, add_affine(m, s, o.affine, o.affine) &&
                           (!o.track_running_stats || add_running(m, s)));
}

tp_module *tp_nn_instance_norm(int64_t channels)
{
    return tp_nn_instance_norm_with(channels, tp_instance_norm_defaults());
}
