/*
 * cnn.c - two convolutions and two linear layers: LeNet (LeCun et al. 1998) with 3x3 kernels, ReLU
 * and max-pool.
 *
 * ReLU and max-pool commute: with the pooling first, ReLU has a quarter of the work.
 */
#include "models/models.h"

static tp_tensor *features(tp_module *m, tp_tensor *x)
{
    x = tp_relu(tp_max_pool2d(tp_nn_call(m, "conv1", x), 2, (tp_pool2d_opts){ 0 }));
    x = tp_relu(tp_max_pool2d(tp_nn_call(m, "conv2", x), 2, (tp_pool2d_opts){ 0 }));
    return tp_nn_call(m, "fc1", tp_nn_call(m, "dropout1", tp_flatten(x, 1)));
}

static int forward(void *self, tp_list in, tp_tensor **out, int room)
{
    (void)room;
    return tp_nn_gives(out, tp_nn_call(self, "fc2", tp_nn_call(self, "dropout2", features(self, in.t[0]))));
}

tp_module *tp_model_cnn(tp_cnn_opts o)
{
    int64_t channels = o.channels ? o.channels : 1, size = o.size ? o.size : 28, width = o.width ? o.width : 32;
    int64_t hidden = o.hidden ? o.hidden : 128, flat = 2 * width * (size / 4) * (size / 4);
    tp_conv2d_opts same = { .padding = 1 };
    tp_module *m = tp_nn_layer("cnn", forward, &o, sizeof o);

    tp_nn_add(m, "conv1", tp_nn_conv2d(channels, width, 3, same));
    tp_nn_add(m, "conv2", tp_nn_conv2d(width, 2 * width, 3, same));
    tp_nn_add(m, "dropout1", tp_nn_dropout(o.dropout));
    tp_nn_add(m, "fc1", tp_nn_linear_with(flat, hidden, (tp_linear_layer_opts){ TP_RELU, false }));
    tp_nn_add(m, "dropout2", tp_nn_dropout(o.dropout));
    tp_nn_add(m, "fc2", tp_nn_linear(hidden, o.classes ? o.classes : 10));
    return tp_nn_made(m);
}

tp_tensor *tp_model_cnn_features(tp_module *cnn, tp_tensor *x)
{
    TP_SCOPE;
    return tp_pass(features(cnn, x));
}
