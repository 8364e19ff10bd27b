/*
 * conv.c - convolutions over one and two axes, and their adjoints.
 */
#include "nn/internal.h"

#include <math.h>

enum { WEIGHT, BIAS };

typedef struct conv_kind {
    const char *where, *name;
    int axes;
    bool transposed;
    tp_tensor *(*op)(tp_tensor *x, tp_tensor *weight, tp_tensor *bias, tp_conv2d_opts o);
} conv_kind;

static const conv_kind conv2d = { "tp_nn_conv2d", "conv2d", 2, false, tp_conv2d };
static const conv_kind conv1d = { "tp_nn_conv1d", "conv1d", 1, false, tp_conv1d };
static const conv_kind conv_transpose2d = { "tp_nn_conv_transpose2d", "conv_transpose2d", 2, true, tp_conv_transpose2d };
static const conv_kind conv_transpose1d = { "tp_nn_conv_transpose1d", "conv_transpose1d", 1, true, tp_conv_transpose1d };

typedef struct conv {
    const conv_kind *kind;
    tp_conv2d_opts o;
} conv;

static int run(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const conv *k = m->opts;

    (void)room;
    return tp__one(out, k->kind->op(in.t[0], tp__param(m, WEIGHT), tp__param(m, BIAS), k->o));
}

static bool options_fit(const conv_kind *k, tp_conv2d_opts o)
{
    TP_REQUIRE_IN(k->where, o.stride >= 0 && o.padding >= 0 && o.dilation >= 0, TP_ERR_ARG,
                  "stride %d, padding %d, dilation %d: none may be negative", o.stride, o.padding, o.dilation);
    TP_REQUIRE_IN(k->where, !o.rectangular || k->axes == 2, TP_ERR_ARG, "rectangular, and there is one axis");
    TP_REQUIRE_IN(k->where, !o.rectangular || (o.stride_w >= 0 && o.padding_w >= 0 && o.dilation_w >= 0), TP_ERR_ARG,
                  "stride_w %d, padding_w %d, dilation_w %d: none may be negative", o.stride_w, o.padding_w,
                  o.dilation_w);
    return true;
}

/* PyTorch's fan in is that of the weight's second axis, for transposed convolutions too. */
static tp_module *made(const conv_kind *kind, int64_t in, int64_t out, int kernel, tp_conv2d_opts o)
{
    int64_t groups = o.groups ? o.groups : 1, first = kind->transposed ? in : out, second = kind->transposed ? out : in;
    conv k = { kind, o };
    tp_shape s;
    tp_init init;
    tp_module *m;
    double bound;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(kind->where, in > 0 && out > 0 && kernel > 0 && groups > 0 && in % groups == 0 && out % groups == 0,
                  TP_ERR_ARG, "%lld in, %lld out, kernel %d, %lld groups", (long long)in, (long long)out, kernel,
                  (long long)groups);
    if (!options_fit(kind, o)) return NULL;
    second /= groups;
    s = kind->axes == 2 ? TP_SHAPE(first, second, kernel, kernel) : TP_SHAPE(first, second, kernel);
    bound = 1 / sqrt((double)second * pow(kernel, kind->axes));
    init = tp_init_uniform(-bound, bound);
    m = tp__layer(kind->name, run, &k, sizeof k);
    return tp__made(m, tp_nn_param(m, "weight", s, init) &&
                           (o.no_bias || tp_nn_param(m, "bias", TP_SHAPE(out), init)));
}

tp_module *tp_nn_conv2d(int64_t in, int64_t out, int kernel, tp_conv2d_opts o)
{
    return made(&conv2d, in, out, kernel, o);
}

tp_module *tp_nn_conv1d(int64_t in, int64_t out, int kernel, tp_conv2d_opts o)
{
    return made(&conv1d, in, out, kernel, o);
}

tp_module *tp_nn_conv_transpose2d(int64_t in, int64_t out, int kernel, tp_conv2d_opts o)
{
    return made(&conv_transpose2d, in, out, kernel, o);
}

tp_module *tp_nn_conv_transpose1d(int64_t in, int64_t out, int kernel, tp_conv2d_opts o)
{
    return made(&conv_transpose1d, in, out, kernel, o);
}
