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
static const conv_kind conv_transpose2d = { "tp_nn_conv_transpose2d", "conv_transpose2d", 2, true,
                                            tp_conv_transpose2d };
static const conv_kind conv_transpose1d = { "tp_nn_conv_transpose1d", "conv_transpose1d", 1, true,
                                            tp_conv_transpose1d };

typedef struct conv {
    const conv_kind *kind;
    tp_conv2d_opts o;
} conv;

/* Before and after one axis: half of what "same" needs, the odd one behind, as PyTorch's. */
static void pads_of(int64_t to[2], const conv *k, int64_t size, int padding, int dilation)
{
    int64_t all = (dilation ? dilation : 1) * (size - 1);

    to[0] = k->o.same ? all / 2 : padding;
    to[1] = k->o.same ? all - all / 2 : padding;
}

/* x padded by something else than zeros, of which o then has none. */
static tp_tensor *padded(tp_tensor *x, const conv *k, const tp_tensor *w, tp_conv2d_opts *o)
{
    bool own = k->o.rectangular;
    tp_shape pads = { .rank = 2 * k->kind->axes };

    pads_of(pads.n, k, tp_dim(w, -1), own ? o->padding_w : o->padding,
            own ? o->dilation_w : o->dilation);
    if (k->kind->axes == 2) pads_of(pads.n + 2, k, tp_dim(w, 2), o->padding, o->dilation);
    o->padding = o->padding_w = 0, o->same = false;
    return tp_pad(x, pads, (tp_pad_opts){ .mode = o->padding_mode });
}

static int run(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_module *m = self;
    const conv *k = m->opts;
    tp_conv2d_opts o = k->o;
    tp_tensor *x = in.t[0], *w = tp__param(m, WEIGHT);

    (void)room;
    if (x && o.padding_mode != TP_PAD_CONSTANT && x->shape.rank == k->kind->axes + 2)
        x = padded(x, k, w, &o);
    return tp_nn_gives(out, k->kind->op(x, w, tp__param(m, BIAS), o));
}

static bool options_fit(const conv_kind *k, tp_conv2d_opts o)
{
    TP_REQUIRE_IN(k->where, o.stride >= 0 && o.padding >= 0 && o.dilation >= 0, TP_ERR_ARG,
                  "stride %d, padding %d, dilation %d: none may be negative", o.stride, o.padding,
                  o.dilation);
    TP_REQUIRE_IN(k->where,
                  !o.same || (o.stride <= 1 && (!o.rectangular || o.stride_w <= 1)),
                  TP_ERR_ARG, "the same size needs stride 1, not %d",
                  o.stride > 1 ? o.stride : o.stride_w);
    TP_REQUIRE_IN(k->where, !o.rectangular || k->axes == 2, TP_ERR_ARG,
                  "rectangular, and there is one axis");
    TP_REQUIRE_IN(k->where, o.kernel_w >= 0 && (!o.kernel_w || o.rectangular), TP_ERR_ARG,
                  "kernel_w %d, of a kernel that %s rectangular", o.kernel_w,
                  o.rectangular ? "is" : "isn't");
    TP_REQUIRE_IN(k->where, (unsigned)o.padding_mode <= TP_PAD_CIRCULAR, TP_ERR_ARG,
                  "there is no padding mode %d", (int)o.padding_mode);
    TP_REQUIRE_IN(k->where, !o.padding_mode || !k->transposed, TP_ERR_ARG,
                  "a transposed convolution pads with zeros alone");
    TP_REQUIRE_IN(k->where,
                  !o.rectangular || (o.stride_w >= 0 && o.padding_w >= 0 && o.dilation_w >= 0),
                  TP_ERR_ARG, "stride_w %d, padding_w %d, dilation_w %d: none may be negative",
                  o.stride_w, o.padding_w, o.dilation_w);
    return true;
}

/* PyTorch's fan in is that of the weight's second axis, for transposed convolutions too. */
static tp_module *made(const conv_kind *kind, int64_t in, int64_t out, int kernel, tp_conv2d_opts o)
{
    int64_t groups = o.groups ? o.groups : 1, first = kind->transposed ? in : out,
            second = kind->transposed ? out : in;
    conv k = { kind, o };
    int width;
    tp_shape s;
    tp_init init;
    tp_module *m;
    double bound;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(
        kind->where,
        in > 0 && out > 0 && kernel > 0 && groups > 0 && in % groups == 0 &&
            out % groups == 0,
        TP_ERR_ARG,
        "%lld in, %lld out, kernel %d, %lld groups: numbers above 0 are wanted, and "
        "groups that divide in and out",
        (long long)in, (long long)out, kernel, (long long)groups);
    if (!options_fit(kind, o)) return NULL;
    second /= groups, width = o.kernel_w ? o.kernel_w : kernel;
    s = kind->axes == 2 ? TP_SHAPE(first, second, kernel, width) : TP_SHAPE(first, second, kernel);
    bound = 1 / sqrt((double)second * kernel * (kind->axes == 2 ? width : 1));
    init = tp_init_uniform(-bound, bound);
    m = tp_nn_layer(kind->name, run, &k, sizeof k);
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
