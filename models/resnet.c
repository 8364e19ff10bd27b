/*
 * resnet.c - residual networks of basic blocks (He et al. 2015, "Deep residual learning for image
 * recognition").
 *
 *     y = relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))
 *
 * A shortcut that changes the shape is a 1x1 convolution with batch norm, or, the paper's option A,
 * every other place of x with channels of zeros around.
 */
#include "models/fits.h"

/* ---- a block ---- */

typedef struct block_opts {
    int64_t in, out;
    int stride;
    bool pad_shortcut;
} block_opts;

static tp_tensor *padded(tp_tensor *x, const block_opts *o)
{
    int64_t more = o->out - o->in;

    if (o->stride > 1)
        x = tp_slice_step(tp_slice_step(x, 2, 0, tp_dim(x, 2), o->stride), 3, 0, tp_dim(x, 3),
                          o->stride);
    return tp_pad(x, TP_SHAPE(0, 0, 0, 0, more / 2, more - more / 2), (tp_pad_opts){ 0 });
}

static tp_tensor *shortcut(tp_module *m, tp_tensor *x)
{
    const block_opts *o = tp_nn_opts(m);

    if (o->in == o->out && o->stride == 1) return x;
    return o->pad_shortcut ? padded(x, o) : tp_nn_call(m, "downsample", x);
}

static int block_forward(void *self, tp_list in, tp_tensor **out, int room)
{
    tp_tensor *x = in.t[0], *y = tp_relu(tp_nn_call(self, "bn1", tp_nn_call(self, "conv1", x)));

    (void)room;
    y = tp_nn_call(self, "bn2", tp_nn_call(self, "conv2", y));
    return tp_nn_gives(out, tp_relu(tp_add(y, shortcut(self, x))));
}

static tp_module *convolution(int64_t in, int64_t out, int kernel, int stride)
{
    return tp_nn_conv2d(
        in, out, kernel,
        (tp_conv2d_opts){ .stride = stride, .padding = kernel / 2, .no_bias = true });
}

static tp_module *block(block_opts o)
{
    tp_module *m = tp_nn_layer("block", block_forward, &o, sizeof o);

    tp_nn_add(m, "conv1", convolution(o.in, o.out, 3, o.stride));
    tp_nn_add(m, "bn1", tp_nn_batch_norm(o.out));
    tp_nn_add(m, "conv2", convolution(o.out, o.out, 3, 1));
    tp_nn_add(m, "bn2", tp_nn_batch_norm(o.out));
    if ((o.in != o.out || o.stride > 1) && !o.pad_shortcut) {
        tp_module *l[] = { convolution(o.in, o.out, 1, o.stride), tp_nn_batch_norm(o.out) };

        tp_nn_add(m, "downsample", tp_nn_sequential(l, TP_LEN(l)));
    }
    return tp_nn_made(m);
}

/* ---- the network ---- */

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_resnet_opts *o = tp_nn_opts(self);
    tp_tensor *x;

    (void)room;
    if (!given(self, in, 1, 1)) return -1;
    x = tp_relu(tp_nn_call(self, "bn1", tp_nn_call(self, "conv1", in.t[0])));
    if (o->large) x = tp_max_pool2d(x, 3, (tp_pool2d_opts){ .stride = 2, .padding = 1 });
    for (int i = 0; i < o->stages; i++) {
        char name[24];

        snprintf(name, sizeof name, "layer%d", i + 1);
        x = tp_nn_call(self, name, x);
    }
    return tp_nn_gives(out, tp_nn_call(self, "fc", tp_flatten(tp_global_avg_pool2d(x), 1)));
}

static tp_module *stage(const tp_resnet_opts *o, int i, int64_t in, int64_t out)
{
    tp_module *s = tp_nn_sequential(NULL, 0);

    for (int b = 0; b < o->blocks[i]; b++)
        tp_nn_append(
            s, block((block_opts){ b ? out : in, out, b || i == 0 ? 1 : 2, o->pad_shortcut }));
    return s;
}

tp_resnet_opts tp_resnet20(void)
{
    return (
        tp_resnet_opts){ .width = 16, .stages = 3, .blocks = { 3, 3, 3 }, .pad_shortcut = true };
}

tp_resnet_opts tp_resnet18(void)
{
    return (tp_resnet_opts){ .width = 64, .stages = 4, .blocks = { 2, 2, 2, 2 } };
}

static bool filled(tp_resnet_opts *o)
{
    static const char where[] = "tp_model_resnet";
    bool fits = in_range(where, "stages", o->stages, 1, 4) &&
                in_range(where, "width", o->width, 1, MOST_WIDTH);

    o->channels = o->channels ? o->channels : 3, o->classes = o->classes ? o->classes : 10;
    for (int i = 0; fits && i < o->stages; i++)
        fits = in_range(where, "blocks", o->blocks[i], 1, MOST_DEPTH);
    return fits && in_range(where, "channels", o->channels, 1, MOST_WIDTH) &&
           in_range(where, "classes", o->classes, 1, MOST_SIZE);
}

tp_module *tp_model_resnet(tp_resnet_opts o)
{
    tp_module *m = filled(&o) ? tp_nn_layer("resnet", forward, &o, sizeof o) : NULL;
    int64_t in = o.width;

    if (!m) return NULL;
    tp_nn_add(m, "conv1", convolution(o.channels, o.width, o.large ? 7 : 3, o.large ? 2 : 1));
    tp_nn_add(m, "bn1", tp_nn_batch_norm(o.width));
    for (int i = 0; tp_ok() && i < o.stages; i++) {
        int64_t width = o.width << i;
        char name[24];

        snprintf(name, sizeof name, "layer%d", i + 1);
        tp_nn_add(m, name, stage(&o, i, in, width));
        in = width;
    }
    tp_nn_add(m, "fc", tp_nn_linear(in, o.classes));
    return tp_nn_made(m);
}
