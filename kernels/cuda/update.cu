/*
 * update.cu - optimizer steps, over all tensors of a group in one launch.
 *
 *     sgd     Sutskever et al. 2013, with PyTorch's dampening and first step
 *     adam    Kingma & Ba 2015; decoupled decay as Loshchilov & Hutter 2019
 *
 * Every tensor is cut into chunks and a block takes one.  The table of tensors travels as
 * a kernel argument, so a group of more than TENSORS is several launches.
 */
#include "kernels/cuda/launch.cuh"

enum { TENSORS = 48, CHUNK = 4096 };

struct group {
    int count;
    int64_t first[TENSORS + 1]; /* chunk of tensor i, counted over all of them */
    tp_update u[TENSORS];
};

/* Which tensor this block's chunk lies in, and where. */
static __device__ int chunk_of(const group &g, int64_t *from, int64_t *to)
{
    int i = 0;

    while (blockIdx.x >= g.first[i + 1])
        i++;
    *from = (blockIdx.x - g.first[i]) * CHUNK, *to = *from + CHUNK;
    if (*to > g.u[i].n) *to = g.u[i].n;
    return i;
}

/* m = momentum m + (1 - dampening) d, but d at the first step;  p -= lr m, or, ahead of it
 * (Nesterov), lr (d + momentum m). */
template <class T>
static __global__ void sgd_chunk(group all, tp_sgd_args a, const double *lr,
                                 const double *step)
{
    typedef tp_acc<T> A;
    int64_t from, to;
    int t = chunk_of(all, &from, &to);
    const T *g = (const T *)all.u[t].g;
    T *p = (T *)all.u[t].p, *m = (T *)all.u[t].m;
    A rate = A(*lr), momentum = A(a.momentum), take = A(1 - a.dampening);
    A decay = A(a.weight_decay);
    bool start = *step <= 1;

    for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x) {
        A w = tp_load(p[i]), d = tp_load(g[i]) + decay * w, now = d;

        if (momentum != 0) {
            if (!start) now = momentum * tp_load(m[i]) + take * d;
            tp_put(&m[i], now);
            if (a.nesterov) now = d + momentum * now;
        }
        tp_put(&p[i], w - rate * now);
    }
}

/* m += (1 - beta1) (d - m);  v = beta2 v + (1 - beta2) d^2;
 * p -= lr decay p (decoupled) + lr / fix1 m / (sqrt v / sqrt fix2 + eps)
 *                                                        fix = 1 - beta^step */
template <class T>
static __global__ void adam_chunk(group all, tp_adam_args a, const double *lr,
                                  const double *step)
{
    typedef tp_acc<T> A;
    TP_SHARED(A, once, 2); /* powers in double are dear: one thread's work */
    int64_t from, to;
    int t = chunk_of(all, &from, &to);
    const T *g = (const T *)all.u[t].g;
    T *p = (T *)all.u[t].p, *m = (T *)all.u[t].m, *v = (T *)all.u[t].v;
    A shrink = A(a.decoupled ? *lr * a.weight_decay : 0);
    A decay = A(a.decoupled ? 0 : a.weight_decay), rest1 = A(1 - a.beta1);
    A beta2 = A(a.beta2), rest2 = A(1 - a.beta2), eps = A(a.eps);

    if (threadIdx.x == 0) {
        once[0] = A(*lr / (1 - pow(a.beta1, *step)));
        once[1] = A(1 / sqrt(1 - pow(a.beta2, *step)));
    }
    __syncthreads();
    for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x) {
        A w = tp_load(p[i]), d = tp_load(g[i]) + decay * w, old = tp_load(m[i]);
        A mean = old + rest1 * (d - old),
          square = beta2 * tp_load(v[i]) + rest2 * (d * d);

        tp_put(&m[i], mean), tp_put(&v[i], square);
        tp_put(&p[i],
               w - (shrink * w + once[0] * (mean / (sqrt(square) * once[1] + eps))));
    }
}

static __global__ void add_one(double *step)
{
    *step += 1;
}

/* ---- the slots ---- */

/* The tensors of u from `*next` on that fit one launch. */
static group take(int count, const tp_update *u, int *next)
{
    group g = {};

    for (; *next < count && g.count < TENSORS; ++*next) {
        int64_t chunks = (u[*next].n + CHUNK - 1) / CHUNK;

        if (chunks == 0) continue;
        g.u[g.count] = u[*next];
        g.first[g.count + 1] = g.first[g.count] + chunks;
        g.count++;
    }
    return g;
}

template <class T>
static int sgd(tp_ctx *c, int count, const tp_update *u, tp_sgd_args a, const double *lr,
               const double *step)
{
    int failed = 0;

    for (int next = 0; !failed && next < count;) {
        group g = take(count, u, &next);

        failed = TP_LAUNCH(c, sgd_chunk<T>, g.first[g.count], TP_THREADS, g, a, lr, step);
    }
    return failed;
}

template <class T>
static int adam(tp_ctx *c, int count, const tp_update *u, tp_adam_args a,
                const double *lr, const double *step)
{
    int failed = 0;

    for (int next = 0; !failed && next < count;) {
        group g = take(count, u, &next);

        failed =
            TP_LAUNCH(c, adam_chunk<T>, g.first[g.count], TP_THREADS, g, a, lr, step);
    }
    return failed;
}

static int tick(tp_ctx *c, double *step)
{
    return TP_LAUNCH(c, add_one, 1, 1, step);
}

TP_FLOATS(sgd)
TP_FLOATS(adam)
TP_SLOTS(tick, NULL, tick) /* f64 */
