/*
 * update_rates.cu - optimizers with a rate for each weight, and Lion.
 *
 *     rmsprop   Tieleman & Hinton 2012; centered as Graves 2013
 *     adagrad   Duchi et al. 2011
 *     adadelta  Zeiler 2012
 *     lion      Chen et al. 2023
 */
#include "kernels/cuda/update.cuh"

/* v = alpha v + (1 - alpha) d^2;  centered: w += (1 - alpha) (d - w), v - w^2 under the root;
 * m = momentum m + d / (root + eps), where there is an m;  p -= lr m */
template <class A> struct rmsprop_rule {
    tp_rmsprop_args a;
    static const bool writes_w = true;
    struct numbers {
        A over, decay, lr, eps, alpha, rest, momentum;
    };

    __device__ numbers prepare(const tp_scalars &s) const
    {
        return { tp_over<A>(s, a.maximize), A(a.weight_decay), A(*s.lr), A(a.eps), A(a.alpha), A(1 - a.alpha), A(a.momentum) };
    }
    __device__ bool fresh(const numbers &) const { return false; }
    __device__ void step(const numbers &k, A g, A &p, A &m, A &v, A &w) const
    {
        A d = g * k.over + k.decay * p, under;

        v = k.alpha * v + k.rest * (d * d), under = v;
        if (a.centered) w += k.rest * (d - w), under = v - w * w;
        m = k.momentum * m + d / (sqrt(under) + k.eps); /* without an m it is 0 before */
        p -= k.lr * m;
    }
};

/* v += d^2;  p -= lr / (1 + (step - 1) lr_decay) d / (sqrt v + eps) */
template <class A> struct adagrad_rule {
    tp_adagrad_args a;
    static const bool writes_w = false;
    struct numbers {
        A over, decay, lr, eps;
    };

    __device__ numbers prepare(const tp_scalars &s) const
    {
        return { tp_over<A>(s, a.maximize), A(a.weight_decay), A(*s.lr / (1 + (*s.step - 1) * a.lr_decay)), A(a.eps) };
    }
    __device__ bool fresh(const numbers &) const { return false; }
    __device__ void step(const numbers &k, A g, A &p, A &, A &v, A &) const
    {
        A d = g * k.over + k.decay * p;

        v += d * d;
        p -= k.lr * (d / (sqrt(v) + k.eps));
    }
};

/* v = rho v + (1 - rho) d^2;  s = sqrt(m + eps) / sqrt(v + eps) d;
 * m = rho m + (1 - rho) s^2;  p -= lr s */
template <class A> struct adadelta_rule {
    tp_adadelta_args a;
    static const bool writes_w = false;
    struct numbers {
        A over, decay, lr, eps, rho, rest;
    };

    __device__ numbers prepare(const tp_scalars &s) const
    {
        return { tp_over<A>(s, a.maximize), A(a.weight_decay), A(*s.lr), A(a.eps), A(a.rho), A(1 - a.rho) };
    }
    __device__ bool fresh(const numbers &) const { return false; }
    __device__ void step(const numbers &k, A g, A &p, A &m, A &v, A &) const
    {
        A d = g * k.over + k.decay * p, by;

        v = k.rho * v + k.rest * (d * d);
        by = sqrt(m + k.eps) / sqrt(v + k.eps) * d;
        m = k.rho * m + k.rest * (by * by);
        p -= k.lr * by;
    }
};

/* p -= lr decay p + lr sign(beta1 m + (1 - beta1) g);  m = beta2 m + (1 - beta2) g */
template <class A> struct lion_rule {
    tp_lion_args a;
    static const bool writes_w = false;
    struct numbers {
        A over, lr, shrink, beta1, rest1, beta2, rest2;
    };

    __device__ numbers prepare(const tp_scalars &s) const
    {
        return { tp_over<A>(s, a.maximize), A(*s.lr), A(*s.lr * a.weight_decay), A(a.beta1), A(1 - a.beta1),
                 A(a.beta2), A(1 - a.beta2) };
    }
    __device__ bool fresh(const numbers &) const { return false; }
    __device__ void step(const numbers &k, A g, A &p, A &m, A &, A &) const
    {
        A d = g * k.over, way = k.beta1 * m + k.rest1 * d, sign = A(way > 0) - A(way < 0);

        if (way != way) sign = way; /* a NaN shows */
        m = k.beta2 * m + k.rest2 * d;
        p -= k.shrink * p + k.lr * sign;
    }
};

TP_UPDATE(rmsprop)
TP_UPDATE(adagrad)
TP_UPDATE(adadelta)
TP_UPDATE(lion)
