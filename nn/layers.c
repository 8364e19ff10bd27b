/*
 * layers.c - linear, convolution, normalization, embedding: parameters for one op each.
 */
#include "nn/internal.h"

#include <math.h>

static tp_init within(double bound)
{
    return (tp_init){ TP_INIT_UNIFORM, -bound, bound };
}

static tp_init constant(double v)
{
    return (tp_init){ TP_INIT_CONSTANT, v, 0 };
}

static tp_tensor *entry(const tp_module *m, int i)
{
    return i < m->n_entry ? m->entry[i].t : NULL;
}

enum { WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR, TRACKED };

/* ---- linear ---- */

static int linear(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const tp_linear_layer_opts *o = m->opts;

    (void)room;
    return tp__one(out, tp_linear_with(in.t[0], entry(m, WEIGHT), entry(m, BIAS),
                                       (tp_linear_opts){ o->activation }));
}

/* He et al. 2015 with a = sqrt 5, as PyTorch: both uniform within 1 / sqrt(in). */
tp_module *tp_nn_linear_with(int64_t in, int64_t out, tp_linear_layer_opts o)
{
    tp_module *m;
    double bound = in > 0 ? 1 / sqrt((double)in) : 0;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_nn_linear", in > 0 && out > 0, TP_ERR_ARG, "%lld in, %lld out", (long long)in, (long long)out);
    TP_REQUIRE_IN("tp_nn_linear", (unsigned)o.activation <= TP_GELU_TANH, TP_ERR_ARG, "there is no activation %d",
                  (int)o.activation);
    m = tp__layer("linear", linear, &o, sizeof o);
    return tp__made(m, tp_nn_param(m, "weight", TP_SHAPE(out, in), within(bound)) &&
                           (o.no_bias || tp_nn_param(m, "bias", TP_SHAPE(out), within(bound))));
}

tp_module *tp_nn_linear(int64_t in, int64_t out)
{
    return tp_nn_linear_with(in, out, (tp_linear_layer_opts){ TP_LINEAR, false });
}

/* ---- convolution ---- */

static int conv2d(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;

    (void)room;
    return tp__one(out, tp_conv2d(in.t[0], entry(m, WEIGHT), entry(m, BIAS), *(const tp_conv2d_opts *)m->opts));
}

tp_module *tp_nn_conv2d(int64_t in, int64_t out, int kernel, tp_conv2d_opts o)
{
    int64_t groups = o.groups ? o.groups : 1;
    tp_module *m;
    double bound;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(in > 0 && out > 0 && kernel > 0 && groups > 0 && in % groups == 0 && out % groups == 0, TP_ERR_ARG,
               "%lld in, %lld out, kernel %d, %lld groups", (long long)in, (long long)out, kernel, (long long)groups);
    TP_REQUIRE(o.stride >= 0 && o.padding >= 0 && o.dilation >= 0, TP_ERR_ARG,
               "stride %d, padding %d, dilation %d: none may be negative", o.stride, o.padding, o.dilation);
    TP_REQUIRE(!o.rectangular || (o.stride_w >= 0 && o.padding_w >= 0 && o.dilation_w >= 0), TP_ERR_ARG,
               "stride_w %d, padding_w %d, dilation_w %d: none may be negative", o.stride_w, o.padding_w, o.dilation_w);
    bound = 1 / sqrt((double)(in / groups) * kernel * kernel);
    m = tp__layer("conv2d", conv2d, &o, sizeof o);
    return tp__made(m, tp_nn_param(m, "weight", TP_SHAPE(out, in / groups, kernel, kernel), within(bound)) &&
                           (o.no_bias || tp_nn_param(m, "bias", TP_SHAPE(out), within(bound))));
}

/* ---- normalization ---- */

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
    tp_tensor *y;

    (void)room;
    o.training = m->training;
    if (o.cumulative && m->training) o.momentum = 1 / (tp_item(entry(m, TRACKED)) + 1);
    y = tp_batch_norm(in.t[0], entry(m, WEIGHT), entry(m, BIAS), entry(m, RUNNING_MEAN), entry(m, RUNNING_VAR), o);
    if (y && m->training && !tp__me()->second_run && !count_batch(entry(m, TRACKED))) return -1;
    return tp__one(out, y);
}

tp_module *tp_nn_batch_norm_with(int64_t channels, tp_batch_norm_opts o)
{
    tp_shape s = TP_SHAPE(channels);
    tp_module *m;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_nn_batch_norm", o.filled, TP_ERR_ARG, "start from tp_batch_norm_defaults()");
    TP_REQUIRE_IN("tp_nn_batch_norm", channels > 0, TP_ERR_ARG, "%lld channels", (long long)channels);
    TP_REQUIRE_IN("tp_nn_batch_norm", o.eps >= 0 && o.momentum >= 0, TP_ERR_ARG,
                  "eps %g, momentum %g: neither may be negative", o.eps, o.momentum);
    m = tp__layer("batch_norm", batch_norm, &o, sizeof o);
    return tp__made(m, tp_nn_param(m, "weight", s, constant(1)) && tp_nn_param(m, "bias", s, constant(0)) &&
                           tp_nn_buffer(m, "running_mean", s, TP_F32, 0) &&
                           tp_nn_buffer(m, "running_var", s, TP_F32, 1) &&
                           tp_nn_buffer(m, "num_batches_tracked", TP_SCALAR, TP_I64, 0));
}

tp_module *tp_nn_batch_norm(int64_t channels)
{
    return tp_nn_batch_norm_with(channels, tp_batch_norm_defaults());
}

static int layer_norm(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;

    (void)room;
    return tp__one(out, tp_layer_norm(in.t[0], m->entry[WEIGHT].shape, entry(m, WEIGHT), entry(m, BIAS), 1e-5));
}

tp_module *tp_nn_layer_norm(tp_shape shape)
{
    tp_module *m;

    if (!tp_ok()) return NULL;
    TP_REQUIRE(shape.rank > 0, TP_ERR_SHAPE, "no axes to normalize over");
    m = tp__layer("layer_norm", layer_norm, NULL, 0);
    return tp__made(m, tp_nn_param(m, "weight", shape, constant(1)) && tp_nn_param(m, "bias", shape, constant(0)));
}

/* ---- embedding ---- */

static int embedding(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;

    (void)room;
    return tp__one(out, tp_embedding_with(in.t[0], entry(m, WEIGHT), *(const tp_embedding_opts *)m->opts));
}

tp_module *tp_nn_embedding_with(int64_t rows, int64_t cols, tp_embedding_opts o)
{
    tp_module *m;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_nn_embedding", o.filled, TP_ERR_ARG, "start from tp_embedding_defaults()");
    TP_REQUIRE_IN("tp_nn_embedding", rows > 0 && cols > 0, TP_ERR_ARG, "%lld rows, %lld columns", (long long)rows,
                  (long long)cols);
    TP_REQUIRE_IN("tp_nn_embedding", o.padding_idx >= -1 && o.padding_idx < rows, TP_ERR_ARG,
                  "padding_idx %lld of %lld rows", (long long)o.padding_idx, (long long)rows);
    m = tp__layer("embedding", embedding, &o, sizeof o);
    if (!tp_nn_param(m, "weight", TP_SHAPE(rows, cols), (tp_init){ TP_INIT_NORMAL, 0, 1 })) return tp__made(m, false);
    m->entry[WEIGHT].zero_row = o.padding_idx + 1;
    return m;
}

tp_module *tp_nn_embedding(int64_t rows, int64_t cols)
{
    return tp_nn_embedding_with(rows, cols, tp_embedding_defaults());
}
