/*
 * update.cu - optimizer steps and clipping, over all tensors of a group in one launch.
 *
 *     sgd     Sutskever et al. 2013, with PyTorch's dampening and first step
 *     adam    Kingma & Ba 2015; decoupled decay as Loshchilov & Hutter 2019; amsgrad as
 *             Reddi et al. 2018
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

static __device__ bool skipped(const tp_scalars &s)
{
    return s.skip && *s.skip != 0;
}

template <class A> static __device__ A scale_of(const tp_scalars &s, bool maximize)
{
    double by = s.scale ? 1 / *s.scale : 1;

    return A(maximize ? -by : by);
}

/* m = momentum m + (1 - dampening) d, but d at the first step;  p -= lr m, or, ahead of it
 * (Nesterov), lr (d + momentum m). */
template <class T>
static __global__ void sgd_chunk(group all, tp_sgd_args a, tp_scalars s)
{
    typedef tp_acc<T> A;
    int64_t from, to;
    int t = chunk_of(all, &from, &to);
    const T *g = (const T *)all.u[t].g;
    T *p = (T *)all.u[t].p, *m = (T *)all.u[t].m;
    A rate = A(*s.lr), momentum = A(a.momentum), take = A(1 - a.dampening);
    A decay = A(a.weight_decay), over = scale_of<A>(s, a.maximize);
    bool start = *s.step <= 1;

    if (skipped(s)) return;

    for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x) {
        A w = tp_load(p[i]), d = tp_load(g[i]) * over + decay * w, now = d;

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
 *                                                        fix = 1 - beta^step
 * amsgrad: w, the largest v, in place of v. */
template <class T>
static __global__ void adam_chunk(group all, tp_adam_args a, tp_scalars s)
{
    typedef tp_acc<T> A;
    TP_SHARED(A, once, 2); /* powers in double are dear: one thread's work */
    int64_t from, to;
    int t = chunk_of(all, &from, &to);
    const T *g = (const T *)all.u[t].g;
    T *p = (T *)all.u[t].p, *m = (T *)all.u[t].m, *v = (T *)all.u[t].v, *top = (T *)all.u[t].w;
    A shrink = A(a.decoupled ? *s.lr * a.weight_decay : 0);
    A decay = A(a.decoupled ? 0 : a.weight_decay), rest1 = A(1 - a.beta1);
    A beta2 = A(a.beta2), rest2 = A(1 - a.beta2), eps = A(a.eps), over = scale_of<A>(s, a.maximize);

    if (skipped(s)) return; /* all of the block */
    if (threadIdx.x == 0) {
        once[0] = A(*s.lr / (1 - pow(a.beta1, *s.step)));
        once[1] = A(1 / sqrt(1 - pow(a.beta2, *s.step)));
    }
    __syncthreads();
    for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x) {
        A w = tp_load(p[i]), d = tp_load(g[i]) * over + decay * w, old = tp_load(m[i]);
        A mean = old + rest1 * (d - old),
          square = beta2 * tp_load(v[i]) + rest2 * (d * d);

        tp_put(&m[i], mean), tp_put(&v[i], square);
        if (a.amsgrad) { /* NaN is larger than any number */
            A before = tp_load(top[i]);

            square = before > square || before != before ? before : square;
            tp_put(&top[i], square);
        }
        tp_put(&p[i],
               w - (shrink * w + once[0] * (mean / (sqrt(square) * once[1] + eps))));
    }
}

static __global__ void add_one(double *step, const double *skip)
{
    if (!skip || *skip == 0) *step += 1;
}

/* ---- clipping: squares of each chunk, their sum in one block, then the factor ---- */

template <class T> static __global__ void squares(group all, double *part)
{
    int64_t from, to;
    int t = chunk_of(all, &from, &to);
    const T *g = (const T *)all.u[t].g;
    double sum = 0;

    for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x)
        sum += (double)tp_load(g[i]) * (double)tp_load(g[i]);
    sum = tp_block_fold(sum, tp_plus());
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

static __global__ void fold_squares(int64_t n, const double *part, bool add, double *norm)
{
    double sum = 0;

    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
        sum += part[i];
    sum = tp_block_fold(sum, tp_plus());
    if (threadIdx.x == 0) *norm = add ? *norm + sum : sum;
}

/* A NaN isn't at least 1: it marks every gradient, as in PyTorch. */
template <class T> static __global__ void shrink(group all, const double *norm, double max)
{
    double factor = max / (sqrt(*norm) + 1e-6);
    int64_t from, to;
    int t = chunk_of(all, &from, &to);
    T *g = (T *)all.u[t].g;

    if (factor >= 1) return;
    for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x)
        tp_put(&g[i], tp_load(g[i]) * tp_acc<T>(factor));
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

template <class T> static int sgd(tp_ctx *c, int count, const tp_update *u, tp_sgd_args a, tp_scalars s)
{
    int failed = 0;

    for (int next = 0; !failed && next < count;) {
        group g = take(count, u, &next);

        failed = TP_LAUNCH(c, sgd_chunk<T>, g.first[g.count], TP_THREADS, g, a, s);
    }
    return failed;
}

template <class T> static int adam(tp_ctx *c, int count, const tp_update *u, tp_adam_args a, tp_scalars s)
{
    int failed = 0;

    for (int next = 0; !failed && next < count;) {
        group g = take(count, u, &next);

        failed = TP_LAUNCH(c, adam_chunk<T>, g.first[g.count], TP_THREADS, g, a, s);
    }
    return failed;
}

static int tick(tp_ctx *c, double *step, const double *skip)
{
    return TP_LAUNCH(c, add_one, 1, 1, step, skip);
}

template <class T> static int sum_squares(tp_ctx *c, int count, const tp_update *u, bool add, double *norm)
{
    int64_t chunks = 0, done = 0;
    double *part;
    int failed = 0;

    for (int i = 0; i < count; i++)
        chunks += (u[i].n + CHUNK - 1) / CHUNK;
    part = (double *)tp_scratch(c, (size_t)(chunks + 1) * sizeof *part);
    if (!part) return TP_KERNEL_NO_MEMORY;
    for (int next = 0; !failed && next < count;) {
        group g = take(count, u, &next);

        failed = TP_LAUNCH(c, squares<T>, g.first[g.count], TP_THREADS, g, part + done);
        done += g.first[g.count];
    }
    return failed ? failed : TP_LAUNCH(c, fold_squares, 1, TP_THREADS, chunks, part, add, norm);
}

template <class T> static int clip_norm(tp_ctx *c, int count, const tp_update *u, const double *norm, double max)
{
    int failed = 0;

    for (int next = 0; !failed && next < count;) {
        group g = take(count, u, &next);

        failed = TP_LAUNCH(c, shrink<T>, g.first[g.count], TP_THREADS, g, norm, max);
    }
    return failed;
}

TP_FLOATS(sgd)
TP_FLOATS(adam)
TP_FLOATS(sum_squares)
TP_FLOATS(clip_norm)
TP_SLOTS(tick, NULL, tick) /* f64 */
