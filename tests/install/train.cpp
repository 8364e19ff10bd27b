// train.cpp - C++17 against the C headers: a line is fitted, and every macro is used once.
#include <taper.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

static double forward_only(tp_module *net, tp_tensor *x)
{
    TP_SCOPE;
    TP_NO_GRAD;
    return tp_item(tp_sum(tp_nn_forward(net, x), TP_ALL));
}

int main()
{
    tp_device *cpu = tp_device_open("cpu");
    tp_module *layers[] = { tp_nn_linear(2, 8), tp_nn_tanh(), tp_nn_linear(8, 1) };
    tp_module *net = tp_nn_init(tp_nn_sequential(layers, TP_LEN(layers)), cpu);
    tp_sgd_opts opts = tp_sgd(0.1);
    std::vector<float> x(64), y(32);
    double first = 0, last = 0;

    opts.momentum = 0.9;
    tp_optim *opt = tp_optim_sgd(tp_nn_params(net, "*"), opts);
    for (int i = 0; i < 32; i++) {
        x[2 * i] = std::sin(1.0f * i), x[2 * i + 1] = std::cos(2.0f * i);
        y[i] = 0.5f * x[2 * i] - x[2 * i + 1];
    }
    for (int step = 0; step < 50 && tp_ok(); step++) {
        TP_SCOPE;
        TP_AUTOCAST(TP_F32);
        tp_tensor *in = tp_from(x.data(), TP_SHAPE(32, 2), TP_F32, cpu);
        tp_tensor *want = tp_from(y.data(), TP_SHAPE(32, 1), TP_F32, cpu);
        tp_tensor *loss = tp_mse(tp_nn_forward(net, in), want);

        tp_optim_zero_grad(opt);
        tp_backward(loss);
        tp_optim_step(opt);
        last = tp_item(loss);
        if (step == 0) first = last;
    }
    {
        TP_SCOPE;
        tp_tensor *a = tp_ones(TP_SHAPE(2, 3), TP_F32, cpu), *s = tp_zeros(TP_SCALAR, TP_F32, cpu);
        auto twice = TP_LIST(a, a);
        tp_tensor *both = tp_concat(twice, 0);
        tp_shape kept = tp_shape_of(tp_sum(both, TP_KEEPDIM(0))), folded = tp_shape_of(tp_sum(both, TP_AXES(0, 1)));

        if (kept.rank != 2 || kept.n[0] != 1 || folded.rank != 0 || tp_item(s) != 0) return 1;
        if (!std::isfinite(forward_only(net, tp_ones(TP_SHAPE(1, 2), TP_F32, cpu)))) return 1;
        if (tp_count(tp_concat(twice, 1)) != 12 || tp_rank(tp_ones(TP_SHAPE(1, 1, 1, 1, 1, 1, 1, 2), TP_F32, cpu)) != 8) return 1;
        tp_reshape(a, TP_SHAPE(4, 4));
        if (tp_ok() || std::string(tp_error()).find("(2, 3)") == std::string::npos) return 1;
        tp_clear_error();
    }
    std::printf("mse %.4f, then %.4f\n", first, last);
    tp_optim_free(opt), tp_nn_free(net);
    return tp_ok() && last < first / 4 ? 0 : 1;
}
