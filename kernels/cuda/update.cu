/*
 * update.cu - optimizer steps over all tensors of a group.
 *
 *     sgd     Sutskever et al. 2013, with PyTorch's dampening and first step
 *     adam    Kingma & Ba 2015; decoupled decay as Loshchilov & Hutter 2019; amsgrad as
 *             Reddi et al. 2018
 *     muon    Jordan et al. 2024
 */
#include "kernels/cuda/update.cuh"

/* m = momentum m + (1 - dampening) d, but d at the first step;  p -= lr m, or, ahead of it
 * (Nesterov), lr (d + momentum m). */
template <class A> struct sgd_rule {
    tp_sgd_args a;
    static const bool writes_w = false;
    struct numbers {
        A over, lr, decay, momentum, take;
        bool start;
    };

    __device__ numbers prepare(const tp_scalars &s) const
    {
        return { tp_over<A>(s, a.maximize), A(*s.lr), A(a.weight_decay), A(a.momentum), A(1 - a.dampening), *s.step <= 1 };
    }
    __device__ bool fresh(const numbers &k) const { return k.start || k.momentum == 0; }
    __device__ void step(const numbers &k, A g, A &p, A &m, A &, A &) const
    {
        A d = g * k.over + k.decay * p, now = d;

        if (k.momentum != 0) {
            if (!k.start) now = k.momentum * m + k.take * d;
            m = now;
            if (a.nesterov) now = d + k.momentum * now;
        }
        p -= k.lr * now;
    }
};

/* m += (1 - beta1) (d - m);  v = beta2 v + (1 - beta2) d^2;
 * p -= lr decay p (decoupled) + lr / fix1 m / (sqrt v / sqrt fix2 + eps)
 *                                                        fix = 1 - beta^step
 * amsgrad: w, the largest v, in place of v. */
template <class A> struct adam_rule {
    tp_adam_args a;
    static const bool writes_w = true;
    struct numbers {
        A over, shrink, decay, rest1, beta2, rest2, eps, step, root2;
    };

    __device__ numbers prepare(const tp_scalars &s) const
    {
        return { tp_over<A>(s, a.maximize), A(a.decoupled ? *s.lr * a.weight_decay : 0),
                 A(a.decoupled ? 0 : a.weight_decay), A(1 - a.beta1), A(a.beta2), A(1 - a.beta2), A(a.eps),
                 A(*s.lr / (1 - pow(a.beta1, *s.step))), A(1 / sqrt(1 - pow(a.beta2, *s.step))) };
    }
    __device__ bool fresh(const numbers &) const { return false; }
    __device__ void step(const numbers &k, A g, A &p, A &m, A &v, A &w) const
    {
        A d = g * k.over + k.decay * p, under;

        m += k.rest1 * (d - m), v = k.beta2 * v + k.rest2 * (d * d), under = v;
        if (a.amsgrad) under = w = tp_most(w, v);
        p -= k.shrink * p + k.step * (m / (sqrt(under) * k.root2 + k.eps));
    }
};

/* m += (1 - momentum) (g - m);  p -= lr decay p + lr w */
template <class A> struct muon_rule {
    tp_muon_args a;
    static const bool writes_w = false;
    struct numbers {
        A over, lr, shrink, rest;
    };

    __device__ numbers prepare(const tp_scalars &s) const
    {
        return { tp_over<A>(s, false), A(*s.lr), A(*s.lr * a.weight_decay), A(1 - a.momentum) };
    }
    __device__ bool fresh(const numbers &) const { return false; }
    __device__ void step(const numbers &k, A g, A &p, A &m, A &, A &w) const
    {
        m += k.rest * (g * k.over - m);
        p -= k.shrink * p + k.lr * w;
    }
};

TP_UPDATE(sgd)
TP_UPDATE(adam)
TP_UPDATE(muon)

/* ---- numbers of training that live on the device ---- */

static __global__ void add_one(double *step, const double *skip)
{
    if (!skip || *skip == 0) *step += 1;
}

static int tick(tp_ctx *c, double *step, const double *skip)
{
    return TP_LAUNCH(c, add_one, 1, 1, step, skip);
}

static __global__ void change_scale(int64_t n, const double *found, tp_grow_args a, double *scale, double *good)
{
    bool bad = false;

    for (int64_t i = 0; i < n; i++)
        bad = bad || found[i] != 0;
    *good = bad ? 0 : *good + 1;
    if (bad) *scale *= a.backoff;
    if (*good < a.interval) return;
    if (isfinite((float)(*scale * a.growth))) *scale *= a.growth;
    *good = 0;
}

static int grow(tp_ctx *c, int64_t n, const double *found, tp_grow_args a, double *scale, double *good)
{
    return TP_LAUNCH(c, change_scale, 1, 1, n, found, a, scale, good);
}

TP_SLOTS(tick, NULL, tick) /* f64 */
TP_SLOTS(grow, NULL, grow)
