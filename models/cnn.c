/*
 * cnn.c - two convolutions and two linear layers: LeNet (LeCun et al. 1998) with 3x3 kernels, ReLU
 * and max-pool.
 *
 * ReLU and max-pool commute: with the pooling first, ReLU has a quarter of the work.
 */
#include "models/fits.h"

static tp_tensor *pooled(tp_module *m, const char *conv, const char *norm, tp_tensor *x)
{
    x = tp_nn_call(m, norm, tp_nn_call(m, conv, x));
    return tp_relu(tp_max_pool2d(x, 2, (tp_pool2d_opts){ 0 }));
}

static tp_tensor *features(tp_module *m, tp_tensor *x)
{
    x = pooled(m, "conv2", "bn2", pooled(m, "conv1", "bn1", x));
    return tp_nn_call(m, "fc1", tp_nn_call(m, "dropout1", tp_flatten(x, 1)));
}

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const tp_cnn_opts *o = tp_nn_opts(self);
    tp_shape s = TP_SHAPE(0, o->channels, o->size, o->size);

    (void)room;
    if (!given(self, in, 1, 1) || !shaped(self, in.t[0], "x", s, "(N, channels, size, size)"))
        return -1;
    return tp_nn_gives(
        out, tp_nn_call(self, "fc2", tp_nn_call(self, "dropout2", features(self, in.t[0]))));
}

static bool filled(tp_cnn_opts *o)
{
    static const char where[] = "tp_model_cnn";

    o->channels = o->channels ? o->channels : 1, o->size = o->size ? o->size : 28;
    o->classes = o->classes ? o->classes : 10;
    o->width = o->width ? o->width : 32, o->hidden = o->hidden ? o->hidden : 128;
    return in_range(where, "channels", o->channels, 1, MOST_WIDTH) &&
           in_range(where, "size", o->size, 4, 1 << 15) &&
           in_range(where, "classes", o->classes, 1, MOST_SIZE) &&
           in_range(where, "width", o->width, 1, MOST_WIDTH) &&
           in_range(where, "hidden", o->hidden, 1, MOST_SIZE) && is_rate(where, o->dropout);
}

tp_module *tp_model_cnn(tp_cnn_opts o)
{
    tp_module *m = filled(&o) ? tp_nn_layer("cnn", forward, &o, sizeof o) : NULL;
    int64_t flat = m ? 2 * o.width * (o.size / 4) * (o.size / 4) : 0;
    tp_conv2d_opts same = { .padding = 1, .no_bias = o.norm }; /* the norm has one */

    if (!m) return NULL;
    tp_nn_add(m, "conv1", tp_nn_conv2d(o.channels, o.width, 3, same));
    tp_nn_add(m, "bn1", o.norm ? tp_nn_batch_norm(o.width) : tp_nn_identity());
    tp_nn_add(m, "conv2", tp_nn_conv2d(o.width, 2 * o.width, 3, same));
    tp_nn_add(m, "bn2", o.norm ? tp_nn_batch_norm(2 * o.width) : tp_nn_identity());
    tp_nn_add(m, "dropout1", tp_nn_dropout(o.dropout));
    tp_nn_add(m, "fc1",
              tp_nn_linear_with(flat, o.hidden, (tp_linear_layer_opts){ TP_RELU, false }));
    tp_nn_add(m, "dropout2", tp_nn_dropout(o.dropout));
    tp_nn_add(m, "fc2", tp_nn_linear(o.hidden, o.classes));
    return tp_nn_made(m);
}

tp_tensor *tp_model_cnn_features(tp_module *cnn, tp_tensor *x)
{
    TP_SCOPE;
    return is_model(__func__, cnn, "cnn") ? tp_pass(features(cnn, x)) : NULL;
}
