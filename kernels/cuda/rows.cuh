/*
 * rows.cuh - rows that a block reads once and looks at more than once.
 *
 * A row is cut into packs of 16 bytes, dealt out to the threads in turn.  A thread keeps its first
 * ones in registers, which are all but in very long rows; others it fetches again.  A row that isn't
 * aligned is cut the same way and moved number by number: the order of a sum, and thus its bits, are
 * the shape's alone.
 */
#ifndef TP_KERNELS_CUDA_ROWS_CUH
#define TP_KERNELS_CUDA_ROWS_CUH

#include "kernels/cuda/pack.cuh"

/* Where the pack of number i lies; its numbers are neighbours. */
struct tp_side_by_side {
    __device__ int64_t at(int64_t i) const { return i; }
};

/* R rows of n numbers, in packs of N at the same places from p[0], p[1] ... on; `out` is a row that will be
 * written. */
template <class T, int R, class Place = tp_side_by_side, int PACK = 16 / sizeof(T)> struct tp_rows {
    enum { N = PACK };
    enum { PACKS = (sizeof(T) == 4 ? 64 : 32) / (sizeof(T) * N) }; /* leaves registers for 768 threads */
    enum { KEPT = (PACKS < 4 ? PACKS : 4) / R };
    typedef tp_pack<T, N> pack;
    const T *p[R];
    int64_t n;
    T *out;
    Place place;
    bool aligned;
    pack kept[KEPT][R];

    __device__ void take(const T *const (&rows)[R], int64_t count, T *to, Place places = Place())
    {
        n = count, out = to, place = places, aligned = fits(to);
        TP_UNROLL
        for (int r = 0; r < R; r++)
            p[r] = rows[r], aligned = aligned && fits(p[r]);
        TP_UNROLL
        for (int k = 0; k < KEPT; k++)
            if (start(k) < n) fetch(start(k), kept[k]);
    }
    static __device__ bool fits(const T *p) { return (uintptr_t)p % alignof(pack) == 0; }
    __device__ int64_t start(int64_t k) const
    {
        return (k * blockDim.x + threadIdx.x) * N;
    }
    __device__ int count(int64_t i) const { return n - i < N ? (int)(n - i) : N; }
    __device__ bool whole(int64_t i) const { return aligned && n - i >= N; }
    __device__ void fetch(int64_t i, pack (&v)[R]) const
    {
        int64_t at = place.at(i);

        TP_UNROLL
        for (int r = 0; r < R; r++)
            v[r] = tp_fetch<T, N>(p[r] + at, count(i), whole(i));
    }
    /* f(i, m, v) for each of this thread's packs in turn: numbers i to i + m - 1, v[r].v[j] of row r. */
    template <class F> __device__ void each(F f) const
    {
        TP_UNROLL
        for (int k = 0; k < KEPT; k++)
            if (start(k) < n) f(start(k), count(start(k)), kept[k]);
        for (int64_t k = KEPT; start(k) < n; k++) {
            pack v[R];

            fetch(start(k), v);
            f(start(k), count(start(k)), v);
        }
    }
    /* out (+)= what f(i, m, v, y) leaves in y */
    template <class F> __device__ void put(bool add, F f) const
    {
        each([&](int64_t i, int m, const pack(&v)[R]) {
            T *at = out + place.at(i);
            pack to = tp_fetch<T, N>(add ? at : NULL, m, whole(i));
            tp_acc<T> y[N];

            f(i, m, v, y);
            TP_UNROLL
            for (int j = 0; j < N; j++)
                tp_put(&to.v[j], y[j], add);
            tp_keep<T, N>(at, to, m, whole(i));
        });
    }
    /* The sum of f(j, v) over the row, for every thread. */
    template <class F> __device__ tp_acc<T> sum(F f) const
    {
        tp_acc<T> total = 0;

        each([&](int64_t, int m, const pack(&v)[R]) {
            TP_UNROLL
            for (int j = 0; j < N; j++)
                if (j < m) total += f(j, v);
        });
        return tp_block_fold(total, tp_plus());
    }
};

/* N numbers at a time of weights that all rows share, which may be NULL: `none` then. */
template <class A, int N> struct tp_weights {
    const A *p;
    A none;

    __device__ tp_pack<A, N> at(int64_t i, int m) const
    {
        tp_pack<A, N> w;

        if (p) return tp_fetch<A, N>(p + i, m, m == N && tp_aligned(p));
        TP_UNROLL
        for (int j = 0; j < N; j++)
            w.v[j] = none;
        return w;
    }
    /* Those of columns k, k + 1 ... of `cols`, and then of column 0 again. */
    __device__ tp_pack<A, N> around(int64_t k, int64_t cols) const
    {
        if (!p || cols % N == 0) return at(k, N);
        tp_pack<A, N> w;

        TP_UNROLL
        for (int j = 0; j < N; j++)
            w.v[j] = p[k], k = k + 1 < cols ? k + 1 : 0;
        return w;
    }
};

/* The largest of a row, NaN before numbers, and the sum of e^(x - top), in one reading: the sum so far
 * shrinks where a larger number comes. */
template <class T>
__device__ inline void tp_top_and_sum(const tp_rows<T, 1> &x, tp_acc<T> *top,
                                      tp_acc<T> *sum)
{
    typedef tp_acc<T> A;
    typedef tp_rows<T, 1> row;
    A mine = A(-INFINITY), total = 0;

    x.each([&](int64_t, int m, const typename row::pack(&v)[1]) {
        A best = mine;

        TP_UNROLL
        for (int j = 0; j < row::N; j++)
            if (j < m) best = tp_nan_wins()(best, tp_load(v[0].v[j]));
        if (best == A(-INFINITY)) return; /* e^(-inf + inf) */
        if (best != mine) total *= exp(mine - best), mine = best;
        TP_UNROLL
        for (int j = 0; j < row::N; j++)
            if (j < m) total += exp(tp_load(v[0].v[j]) - mine);
    });
    *top = tp_block_fold(mine, tp_nan_wins());
    *sum =
        tp_block_fold(mine == A(-INFINITY) ? A(0) : total * exp(mine - *top), tp_plus());
}

/* The mean of a row, and the sum of squares about it, in one reading (Chan, Golub & LeVeque 1979): pack
 * after pack, then those of all threads.  What is squared is a distance from a mean, never a number. */
template <class T, class Place, int PACK>
__device__ inline void tp_mean_and_squares(const tp_rows<T, 1, Place, PACK> &x, tp_acc<T> *mean, tp_acc<T> *squares)
{
    typedef tp_acc<T> A;
    typedef tp_rows<T, 1, Place, PACK> row;
    A mine = 0, about = 0, seen = 0;

    x.each([&](int64_t, int m, const typename row::pack(&v)[1]) {
        A sum = 0, off, share = A(m) / (seen + A(m));

        TP_UNROLL
        for (int j = 0; j < row::N; j++)
            if (j < m) sum += tp_load(v[0].v[j]) - mine;
        off = sum / A(m);
        about += off * seen * share * off; /* 0 at first, however large off is */
        TP_UNROLL
        for (int j = 0; j < row::N; j++) {
            A e = tp_load(v[0].v[j]) - mine - off;

            if (j < m) about += e * e;
        }
        mine += off * share, seen += A(m);
    });
    *mean = tp_block_fold(mine * seen, tp_plus()) / A(x.n);
    *squares = tp_block_fold(about + seen * (mine - *mean) * (mine - *mean), tp_plus());
}

#endif
