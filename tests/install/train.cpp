/* train.cpp - a C++17 program on taper: a line fitted by SGD. */
#include <taper.h>

#include <cmath>
#include <cstdio>

int main()
{
    tp_device *dev = tp_device_open("cpu");
    tp_module *layers[] = { tp_nn_linear(2, 8), tp_nn_tanh(), tp_nn_linear(8, 1) };
    tp_sgd_opts o = tp_sgd(0.1);
    double first = 0, last = 0;

    o.momentum = 0.9;
    tp_seed(1);
    tp_module *net = tp_nn_init(tp_nn_sequential(layers, TP_LEN(layers)), dev);
    tp_optim *opt = tp_optim_sgd(tp_nn_params(net, "*"), o);
    for (int step = 0; step < 100 && tp_ok(); step++) {
        TP_SCOPE;
        tp_tensor *x = tp_randn(TP_SHAPE(32, 2), dev);
        tp_tensor *y = tp_sum(x, TP_KEEPDIM(1));
        tp_tensor *loss = tp_mse(tp_nn_forward(net, x), y);

        tp_optim_zero_grad(opt);
        tp_backward(loss);
        tp_optim_step(opt);
        last = tp_item(loss);
        if (step == 0) first = last;
    }
    {
        TP_SCOPE;
        TP_NO_GRAD;
        tp_tensor *both = tp_concat(TP_LIST(tp_ones(TP_SCALAR, TP_F32, dev), tp_zeros(TP_SHAPE(1), TP_F32, dev)), 0);

        if (both) std::printf("a scalar has no axis to be joined along\n");
        tp_clear_error();
    }
    std::printf("loss %.4f to %.4f\n", first, last);
    tp_optim_free(opt), tp_nn_free(net);
    return !(last < 0.1 * first);
}
