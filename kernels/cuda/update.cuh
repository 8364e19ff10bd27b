/*
 * update.cuh - one launch over all tensors of a group, for optimizers, clipping and averages.
 *
 * Every tensor is cut into chunks and a block takes one.  The table of tensors travels as a kernel
 * argument, so a group of more than TENSORS is several launches.
 *
 * A rule is a struct with
 *     numbers           what all elements share: powers in double are dear, one thread's work
 *     prepare(s)        makes them from the scalars
 *     fresh(k)          the states m, v and w hold nothing yet
 *     step(k, g, p, m, v, w)   one element, all in tp_acc<T>
 */
#ifndef TP_KERNELS_CUDA_UPDATE_CUH
#define TP_KERNELS_CUDA_UPDATE_CUH

#include "kernels/cuda/map.cuh"

enum { TENSORS = 256, CHUNK = 4096 }; /* 14 KiB of parameters; CUDA takes 32 */

struct tp_group {
    int count;
    int64_t first[TENSORS + 1]; /* chunk of tensor i, counted over all of them */
    tp_update u[TENSORS];
};

/* The tensors of u from `*next` on that fit one launch. */
static inline tp_group tp_take(int count, const tp_update *u, int *next)
{
    tp_group g = {};

    for (; *next < count && g.count < TENSORS; ++*next) {
        int64_t chunks = (u[*next].n + CHUNK - 1) / CHUNK;

        if (chunks == 0) continue;
        g.u[g.count] = u[*next];
        g.first[g.count + 1] = g.first[g.count] + chunks;
        g.count++;
    }
    return g;
}

/* Which tensor this block's chunk lies in, and where. */
static __device__ inline int tp_chunk_of(const tp_group &g, int64_t *from, int64_t *to)
{
    int i = 0, end = g.count;

    while (end - i > 1) {
        int middle = (i + end) / 2;

        if (blockIdx.x < g.first[middle]) end = middle;
        else i = middle;
    }
    *from = (blockIdx.x - g.first[i]) * CHUNK, *to = *from + CHUNK;
    if (*to > g.u[i].n) *to = g.u[i].n;
    return i;
}

/* 1 over the loss's scale, negative to maximize. */
template <class A> static __device__ inline A tp_over(const tp_scalars &s, bool maximize)
{
    double by = s.scale ? 1 / *s.scale : 1;

    return A(maximize ? -by : by);
}

/* NaN is larger than any number, as in PyTorch's maximum. */
template <class A> static __device__ inline A tp_most(A a, A b)
{
    return a > b || a != a ? a : b;
}

template <class T> static __device__ inline T *tp_from(void *p, int64_t i)
{
    return p ? (T *)p + i : NULL;
}

/* ---- the launch ---- */

template <class T, class Rule>
static __global__ void tp_update_chunk(tp_group all, Rule rule, tp_scalars s)
{
    typedef tp_acc<T> A;
    TP_SHARED(typename Rule::numbers, shared, 1);
    const int N = 16 / sizeof(T);
    int64_t from, to;
    const tp_update &u = all.u[tp_chunk_of(all, &from, &to)];
    bool aligned = ((uintptr_t)u.g | (uintptr_t)u.p | (uintptr_t)u.m | (uintptr_t)u.v | (uintptr_t)u.w) % 16 == 0;

    if (s.skip && *s.skip != 0) return; /* all of the block */
    typename Rule::numbers k;

    if (threadIdx.x == 0) k = rule.prepare(s), shared[0] = k;
    __syncthreads();
    k = shared[0];
    bool fresh = rule.fresh(k);

    for (int64_t i = from + (int64_t)threadIdx.x * N; i < to; i += (int64_t)blockDim.x * N) {
        int n = to - i < N ? (int)(to - i) : N;
        bool whole = aligned && n == N;
        T *pp = (T *)u.p + i, *pm = tp_from<T>(u.m, i), *pv = tp_from<T>(u.v, i), *pw = tp_from<T>(u.w, i);
        tp_pack<T, N> g = tp_fetch<T, N>((const T *)u.g + i, n, whole), p = tp_fetch<T, N>(pp, n, whole);
        tp_pack<T, N> m = tp_fetch<T, N>(fresh ? NULL : pm, n, whole), v = tp_fetch<T, N>(fresh ? NULL : pv, n, whole);
        tp_pack<T, N> w = tp_fetch<T, N>(fresh ? NULL : pw, n, whole);

        TP_UNROLL
        for (int j = 0; j < N; j++) {
            A ap = tp_load(p.v[j]), am = tp_load(m.v[j]), av = tp_load(v.v[j]), aw = tp_load(w.v[j]);

            rule.step(k, tp_load(g.v[j]), ap, am, av, aw);
            tp_put(&p.v[j], ap), tp_put(&m.v[j], am), tp_put(&v.v[j], av), tp_put(&w.v[j], aw);
        }
        tp_keep<T, N>(pp, p, n, whole), tp_keep<T, N>(pm, m, n, whole), tp_keep<T, N>(pv, v, n, whole);
        if (Rule::writes_w) tp_keep<T, N>(pw, w, n, whole);
    }
}

template <class T, class Rule>
static int tp_update_all(tp_ctx *c, const char *op, int count, const tp_update *u, Rule rule, tp_scalars s)
{
    int failed = 0;

    for (int next = 0; !failed && next < count;) {
        tp_group g = tp_take(count, u, &next);

        failed = TP_LAUNCH_FOR(c, op, (tp_update_chunk<T, Rule>), g.first[g.count], TP_THREADS, g, rule, s);
    }
    return failed;
}

/* The slot `name` by its rule, a template over tp_acc<T> of tp_NAME_args. */
#define TP_UPDATE(name)                                                                  \
    template <class T>                                                                   \
    static int name(tp_ctx *c, int count, const tp_update *u, tp_##name##_args a,        \
                    tp_scalars s)                                                        \
    {                                                                                    \
        return tp_update_all<T>(c, #name, count, u, name##_rule<tp_acc<T>>{ a }, s);     \
    }                                                                                    \
    TP_FLOATS(name)

#endif
