/*
 * update_moments.cu - optimizers with two moments.
 *
 *     adamax  Kingma & Ba 2015, section 7
 *     nadam   Dozat 2016
 *     radam   Liu et al. 2020
 */
#include "kernels/cuda/update.cuh"

/* v = max(beta2 v, |d| + eps);  p -= lr / (1 - beta1^step) m / v */
template <class A> struct adamax_rule {
    tp_adamax_args a;
    static const bool writes_w = false;
    struct numbers {
        A over, decay, rest1, beta2, eps, step;
    };

    __device__ numbers prepare(const tp_scalars &s) const
    {
        return { tp_over<A>(s, a.maximize), A(a.weight_decay), A(1 - a.beta1), A(a.beta2), A(a.eps),
                 A(*s.lr / (1 - pow(a.beta1, *s.step))) };
    }
    __device__ bool fresh(const numbers &) const { return false; }
    __device__ void step(const numbers &k, A g, A &p, A &m, A &v, A &) const
    {
        A d = g * k.over + k.decay * p;

        m += k.rest1 * (d - m), v = tp_most(k.beta2 * v, fabs(d) + k.eps);
        p -= k.step * (m / v);
    }
};

/* v = beta2 v + (1 - beta2) d^2;  r = sqrt(v / (1 - beta2^step)) + eps;
 * p -= lr ((1 - mu_t) / (1 - prod_t) d + mu_(t+1) / (1 - prod_(t+1)) m) / r */
template <class A> struct nadam_rule {
    tp_nadam_args a;
    static const bool writes_w = false;
    struct numbers {
        A over, decay, shrink, rest1, beta2, rest2, root2, eps, step, ahead;
    };

    __device__ double mu(double t) const { return a.beta1 * (1 - 0.5 * pow(0.96, t * a.momentum_decay)); }
    /* From t alone: nothing more to keep.  What is below 2^-60 is lost beside 1. */
    __device__ double product(double step) const
    {
        double q = pow(0.96, a.momentum_decay), power = 1, product = 1;

        for (double t = 1; t <= step && product > 0x1p-60; t++)
            power *= q, product *= a.beta1 * (1 - 0.5 * power);
        return product;
    }
    __device__ numbers prepare(const tp_scalars &s) const
    {
        double t = *s.step, next = mu(t + 1), all = product(t);

        return { tp_over<A>(s, a.maximize), A(a.decoupled ? 0 : a.weight_decay),
                 A(a.decoupled ? *s.lr * a.weight_decay : 0), A(1 - a.beta1), A(a.beta2), A(1 - a.beta2),
                 A(1 / sqrt(1 - pow(a.beta2, t))), A(a.eps), A(*s.lr * (1 - mu(t)) / (1 - all)),
                 A(*s.lr * next / (1 - all * next)) };
    }
    __device__ bool fresh(const numbers &) const { return false; }
    __device__ void step(const numbers &k, A g, A &p, A &m, A &v, A &) const
    {
        A d = g * k.over + k.decay * p;

        m += k.rest1 * (d - m), v = k.beta2 * v + k.rest2 * (d * d);
        p -= k.shrink * p + (k.step * d + k.ahead * m) / (sqrt(v) * k.root2 + k.eps);
    }
};

/* v = beta2 v + (1 - beta2) d^2;  p -= lr / fix1 m, or, once enough is known (rho > 5),
 * that times the rectification sqrt(fix2) r over (sqrt v + eps) */
template <class A> struct radam_rule {
    tp_radam_args a;
    static const bool writes_w = false;
    struct numbers {
        A over, decay, shrink, rest1, beta2, rest2, eps, step;
        bool adaptive;
    };

    __device__ numbers prepare(const tp_scalars &s) const
    {
        double t = *s.step, fix1 = 1 - pow(a.beta1, t), fix2 = 1 - pow(a.beta2, t);
        double top = 2 / (1 - a.beta2) - 1, rho = top - 2 * t * pow(a.beta2, t) / fix2, rect = 1;

        if (rho > 5) rect = sqrt(fix2 * (rho - 4) * (rho - 2) * top / ((top - 4) * (top - 2) * rho));
        return { tp_over<A>(s, a.maximize), A(a.decoupled ? 0 : a.weight_decay),
                 A(a.decoupled ? *s.lr * a.weight_decay : 0), A(1 - a.beta1), A(a.beta2), A(1 - a.beta2), A(a.eps),
                 A(*s.lr / fix1 * rect), rho > 5 };
    }
    __device__ bool fresh(const numbers &) const { return false; }
    __device__ void step(const numbers &k, A g, A &p, A &m, A &v, A &) const
    {
        A d = g * k.over + k.decay * p;

        m += k.rest1 * (d - m), v = k.beta2 * v + k.rest2 * (d * d);
        p -= k.shrink * p + k.step * (k.adaptive ? m / (sqrt(v) + k.eps) : m);
    }
};

TP_UPDATE(adamax)
TP_UPDATE(nadam)
TP_UPDATE(radam)
