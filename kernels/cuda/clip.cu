/*
 * clip.cu - gradients clipped, unscaled and looked through, and averages of parameters, over all
 * tensors of a group.
 */
#include "kernels/cuda/update.cuh"

/* ---- looked through: something of each chunk, its sum in one block ---- */

/* Chunk `block` gives the sum of f(g), in double, where squares neither overflow nor lose much; and g times a
 * factor, if f has one, takes its place. */
template <class T, class F> static __global__ void look(tp_group all, F f, double *part)
{
    const int N = 16 / sizeof(T);
    int64_t from, to;
    T *g = (T *)all.u[tp_chunk_of(all, &from, &to)].g;
    double sum = 0;
    tp_acc<T> by = 1;
    bool changes = f.factor(&by);

    for (int64_t i = from + (int64_t)threadIdx.x * N; i < to; i += (int64_t)blockDim.x * N) {
        int n = to - i < N ? (int)(to - i) : N;
        bool whole = n == N && tp_aligned(g);
        tp_pack<T, N> x = tp_fetch<T, N>(g + i, n, whole);

        TP_UNROLL
        for (int j = 0; j < N; j++)
            sum += f((double)tp_load(x.v[j])); /* f of 0, behind the end, is 0 */
        if (!changes) continue;
        TP_UNROLL
        for (int j = 0; j < N; j++)
            tp_put(&x.v[j], tp_load(x.v[j]) * by);
        tp_keep<T, N>(g + i, x, n, whole);
    }
    sum = tp_block_fold(sum, tp_plus());
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

struct square {
    __device__ double operator()(double v) const { return v * v; }
    template <class A> __device__ bool factor(A *) const { return false; }
};

struct not_finite {
    const double *scale; /* that the gradients have too much; NULL: they stay */

    __device__ double operator()(double v) const { return v - v != 0; /* 0 of finite numbers alone */ }
    template <class A> __device__ bool factor(A *by) const
    {
        if (scale) *by = A(1 / *scale);
        return scale != NULL;
    }
};

/* *to (+)= the sum of part, or whether it isn't 0. */
static __global__ void fold_parts(int64_t n, const double *part, bool add, bool flag, double *to)
{
    double sum = 0;

    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
        sum += part[i];
    sum = tp_block_fold(sum, tp_plus());
    if (threadIdx.x != 0) return;
    if (flag) *to = sum != 0 ? 1 : add ? *to : 0;
    else *to = add ? *to + sum : sum;
}

template <class T, class F>
static int look_through(tp_ctx *c, const char *op, int count, const tp_update *u, F f, bool add, bool flag, double *to)
{
    int64_t chunks = 0, done = 0;
    double *part;
    int failed = 0;

    for (int i = 0; i < count; i++)
        chunks += (u[i].n + CHUNK - 1) / CHUNK;
    part = (double *)tp_scratch(c, (size_t)(chunks + 1) * sizeof *part);
    if (!part) return TP_KERNEL_NO_MEMORY;
    for (int next = 0; !failed && next < count;) {
        tp_group g = tp_take(count, u, &next);

        failed = TP_LAUNCH_FOR(c, op, (look<T, F>), g.first[g.count], TP_THREADS, g, f, part + done);
        done += g.first[g.count];
    }
    return failed ? failed : TP_LAUNCH_FOR(c, op, fold_parts, 1, TP_THREADS, chunks, part, add, flag, to);
}

template <class T> static int sum_squares(tp_ctx *c, int count, const tp_update *u, bool add, double *norm)
{
    return look_through<T>(c, "sum_squares", count, u, square(), add, false, norm);
}

/* ---- gradients changed where they lie ---- */

/* A rule of one number for all: v = f(v, k), unless it is none. */
template <class T, class F> static __global__ void change(tp_group all, F f)
{
    const int N = 16 / sizeof(T);
    int64_t from, to;
    T *g = (T *)all.u[tp_chunk_of(all, &from, &to)].g;
    tp_acc<T> k = 0;

    if (!f.prepare(&k)) return;
    for (int64_t i = from + (int64_t)threadIdx.x * N; i < to; i += (int64_t)blockDim.x * N) {
        int n = to - i < N ? (int)(to - i) : N;
        bool whole = n == N && (uintptr_t)g % 16 == 0;
        tp_pack<T, N> x = tp_fetch<T, N>(g + i, n, whole);

        TP_UNROLL
        for (int j = 0; j < N; j++)
            tp_put(&x.v[j], f(tp_load(x.v[j]), k));
        tp_keep<T, N>(g + i, x, n, whole);
    }
}

template <class T, class F> static int change_all(tp_ctx *c, const char *op, int count, const tp_update *u, F f)
{
    int failed = 0;

    for (int next = 0; !failed && next < count;) {
        tp_group g = tp_take(count, u, &next);

        failed = TP_LAUNCH_FOR(c, op, (change<T, F>), g.first[g.count], TP_THREADS, g, f);
    }
    return failed;
}

/* A NaN isn't at least 1: it marks every gradient, as in PyTorch. */
struct shrink {
    const double *norm;
    double max;

    template <class A> __device__ bool prepare(A *k) const
    {
        double factor = max / (sqrt(*norm) + 1e-6);

        *k = A(factor);
        return !(factor >= 1);
    }
    template <class A> __device__ A operator()(A v, A k) const { return v * k; }
};

struct bound {
    double max;

    template <class A> __device__ bool prepare(A *k) const
    {
        *k = A(max);
        return true;
    }
    template <class A> __device__ A operator()(A v, A k) const
    {
        v = v > k ? k : v; /* NaN stays */
        return v < -k ? -k : v;
    }
};

template <class T> static int clip_norm(tp_ctx *c, int count, const tp_update *u, const double *norm, double max)
{
    return change_all<T>(c, "clip_norm", count, u, shrink{ norm, max });
}

template <class T> static int clip_value(tp_ctx *c, int count, const tp_update *u, double max)
{
    return change_all<T>(c, "clip_value", count, u, bound{ max });
}

template <class T>
static int unscale(tp_ctx *c, int count, const tp_update *u, const double *scale, bool add, double *found)
{
    return look_through<T>(c, "unscale", count, u, not_finite{ scale }, add, true, found);
}

/* ---- averages: p += weight (g - p), all of g the first time ---- */

template <class A> struct average_rule {
    tp_average_args a;
    const double *n;
    static const bool writes_w = false;
    struct numbers {
        A weight;
        bool all;
    };

    __device__ numbers prepare(const tp_scalars &) const
    {
        double warm = *n / (9 + *n), decay = a.kind == TP_AVERAGE_WARM && warm < a.decay ? warm : a.decay;

        return { A(a.kind == TP_AVERAGE_MEAN ? 1 / *n : 1 - decay), *n <= 1 };
    }
    __device__ bool fresh(const numbers &) const { return false; }
    __device__ void step(const numbers &k, A g, A &p, A &, A &, A &) const
    {
        p = k.all ? g : p + k.weight * (g - p);
    }
};

template <class T> static int average(tp_ctx *c, int count, const tp_update *u, tp_average_args a, const double *n)
{
    return tp_update_all<T>(c, "average", count, u, average_rule<tp_acc<T>>{ a, n }, tp_scalars{});
}

TP_FLOATS(sum_squares)
TP_FLOATS(clip_norm)
TP_FLOATS(clip_value)
TP_FLOATS(unscale)
TP_FLOATS(average)
