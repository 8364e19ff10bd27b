/* train.c - a small convolutional network on Fashion-MNIST.        ./train [cpu|cuda|auto] [steps] */
#include <taper.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    tp_device *dev = tp_device_open(argc > 1 ? argv[1] : "auto");
    tp_conv2d_opts same = { .padding = 1 };
    tp_module *layers[] = {
        tp_nn_conv2d(1, 32, 3, same), tp_nn_relu(), tp_nn_max_pool2d(2),  /* (N, 32, 14, 14) */
        tp_nn_conv2d(32, 64, 3, same), tp_nn_relu(), tp_nn_max_pool2d(2), /* (N, 64, 7, 7) */
        tp_nn_flatten(), tp_nn_linear(64 * 7 * 7, 10),
    };
    tp_loader_opts how = { .batch = 64, .shuffle = true, .device = dev };
    tp_loader *train = tp_data_loader(tp_data_fashion_mnist(NULL, "train"), how);
    tp_loader *test = tp_data_loader(tp_data_fashion_mnist(NULL, "test"), how);
    int64_t total = argc > 2 ? atoll(argv[2]) : 3 * tp_data_batches(train);

    tp_seed(1);
    tp_module *net = tp_nn_init(tp_nn_sequential(layers, TP_LEN(layers)), dev); /* owns the layers */
    tp_optim *opt = tp_optim_adamw(tp_nn_params(net, "*"), tp_adamw(1e-3));
    tp_logger *log = tp_log_open((tp_log_opts){ .dir = "out", .total = total, .bar = true, .plot = true });

    for (int64_t step = 0; tp_ok() && step < total;) {
        for (tp_batch b; step < total && tp_data_next(train, &b); step++) {
            TP_SCOPE; /* every tensor made below is freed at the closing brace */
            tp_tensor *loss = tp_cross_entropy(tp_nn_forward(net, b.x), b.y);

            tp_optim_zero_grad(opt);
            tp_backward(loss);
            tp_optim_step(opt); /* does nothing if anything above failed */
            tp_log_add(log, "loss", loss), tp_log_step(log);
        }
        tp_log_value(log, "accuracy", tp_train_accuracy(net, test));
    }
    if (!tp_nn_save(net, "out/cnn.safetensors")) /* refuses after an error; Python reads the file */
        fprintf(stderr, "train: %s\n", tp_error());
    tp_log_close(log), tp_optim_free(opt), tp_nn_free(net); /* all take NULL, in any order */
    tp_data_free(train), tp_data_free(test);
    return !tp_ok();
}
