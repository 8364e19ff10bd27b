/*
 * channel_norm.cu - normalization over the places of a map, forward and backward; kernels.def has the
 * formulas.
 *
 *     batch   Ioffe & Szegedy 2015: over the rows, for each column
 *     group   Wu & He 2018: over the rows and some columns of a sample
 *
 * With h = (x - mean) rstd and g = dy weight:  dx (+)= rstd (g - mean of g - h mean of g h), the means
 * over what was normalized together.
 */
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/rows.cuh"

/* ---- batch ---- */

/* Of n numbers: their mean, and the sum of squares about it.  Two lots become one without a difference
 * of large sums (Chan, Golub & LeVeque 1979). */
template <class A> struct spread {
    A n, mean, squares;

    __device__ void operator+=(const spread &v)
    {
        if (v.n == 0) return;
        A off = v.mean - mean, share = v.n / (n + v.n);

        squares += v.squares + off * n * share * off; /* 0 at first, however large off is */
        mean += off * share, n += v.n;
    }
};

/* Of a thread's rows, one after the other (Welford 1962): all columns have seen as many. */
template <class T> struct batch_part {
    enum { N = 16 / sizeof(T) };
    typedef tp_acc<T> A;
    const T *x;
    int64_t cols;
    bool whole;
    A seen;

    __device__ void columns(int64_t, int) { seen = 0; }
    __device__ void add(int64_t r, int64_t k, int m, spread<A> (&sum)[N])
    {
        tp_pack<T, N> v = tp_fetch<T, N>(x + r * cols + k, m, whole);
        A share = 1 / (seen += 1);

        TP_UNROLL
        for (int j = 0; j < N; j++) {
            A off = tp_load(v.v[j]) - sum[j].mean;

            sum[j].mean += off * share, sum[j].n = seen;
            sum[j].squares += off * (tp_load(v.v[j]) - sum[j].mean);
        }
    }
};

template <class T> struct batch_end {
    typedef tp_acc<T> A;
    int64_t rows;
    double eps, momentum;
    A *running_mean, *running_var, *mean, *rstd;

    __device__ void operator()(int64_t k, spread<A> sum) const
    {
        double n = (double)rows, var = sum.squares / n;

        mean[k] = sum.mean, rstd[k] = A(1 / sqrt(var + eps));
        if (running_mean) running_mean[k] += A(momentum * (sum.mean - running_mean[k]));
        if (running_var) running_var[k] += A(momentum * (var * n / (n - 1) - running_var[k]));
    }
};

template <class T>
static __global__ void batch_rows(int64_t n, int64_t cols, const T *x, const tp_acc<T> *mean, const tp_acc<T> *rstd,
                                  const tp_acc<T> *w, const tp_acc<T> *b, T *y)
{
    typedef tp_acc<T> A;
    const int N = 16 / sizeof(T);
    tp_weights<A, N> means = { mean, 0 }, rstds = { rstd, 1 }, weight = { w, 1 }, bias = { b, 0 };
    int64_t step = (int64_t)gridDim.x * blockDim.x * N;
    bool aligned = tp_aligned(x) && tp_aligned(y);

    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N; i < n; i += step) {
        int64_t k = i % cols;
        int m = n - i < N ? (int)(n - i) : N;
        tp_pack<T, N> v = tp_fetch<T, N>(x + i, m, aligned && m == N), to;
        tp_pack<A, N> pm = means.around(k, cols), pr = rstds.around(k, cols), pw = weight.around(k, cols),
                      pb = bias.around(k, cols);

        TP_UNROLL
        for (int j = 0; j < N; j++)
            tp_put(&to.v[j], (tp_load(v.v[j]) - pm.v[j]) * pr.v[j] * pw.v[j] + pb.v[j]);
        tp_keep<T, N>(y + i, to, m, aligned && m == N);
    }
}

template <class T>
static int batch_norm(tp_ctx *c, int64_t rows, int64_t cols, const void *x, const void *weight, const void *bias,
                      double eps, double momentum, void *running_mean, void *running_var, void *mean, void *rstd, void *y)
{
    typedef tp_acc<T> A;
    batch_end<T> end = { rows, eps, momentum, (A *)running_mean, (A *)running_var, (A *)mean, (A *)rstd };
    spread<A> *part;
    int failed;

    if (rows * cols == 0) return 0;
    if (!(part = tp_columns_room<spread<A>>(c, rows, cols, 0))) return TP_KERNEL_NO_MEMORY;
    failed = tp_columns(c, __func__, rows, cols, part, batch_part<T>{ (const T *)x, cols, tp_columns_packed<T>(cols, x, x), 0 }, end);
    return failed ? failed : TP_LAUNCH(c, batch_rows<T>, tp_pack_blocks<T>(rows * cols), TP_THREADS, rows * cols, cols,
                                       (const T *)x, (const A *)mean, (const A *)rstd, (const A *)weight,
                                       (const A *)bias, (T *)y);
}

/* Keeps the sums for dx, and gives them as the gradients that are asked for. */
template <class A> struct batch_sums {
    A *slope, *level, *dweight, *dbias;

    __device__ void operator()(int64_t k, tp_two<A> sum) const
    {
        slope[k] = sum.a, level[k] = sum.b;
        if (dweight) dweight[k] = sum.a;
        if (dbias) dbias[k] = sum.b;
    }
};

template <class T>
static __global__ void TP_ROOMY batch_rows_dx(int64_t rows, int64_t cols, const T *dy, const T *x, const tp_acc<T> *mean,
                                     const tp_acc<T> *rstd, const tp_acc<T> *w, const tp_acc<T> *slope,
                                     const tp_acc<T> *level, bool add, T *dx)
{
    typedef tp_acc<T> A;
    const int N = 16 / sizeof(T);
    tp_weights<A, N> means = { mean, 0 }, rstds = { rstd, 1 }, weight = { w, 1 }, slopes = { slope, 0 }, levels = { level, 0 };
    int64_t step = (int64_t)gridDim.x * blockDim.x * N, n = rows * cols;
    bool aligned = tp_aligned(x) && tp_aligned(dy) && tp_aligned(dx);

    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N; i < n; i += step) {
        int64_t k = i % cols;
        int m = n - i < N ? (int)(n - i) : N;
        bool whole = aligned && m == N;
        tp_pack<T, N> v = tp_fetch<T, N>(x + i, m, whole), g = tp_fetch<T, N>(dy + i, m, whole);
        tp_pack<T, N> to = tp_fetch<T, N>(add ? dx + i : NULL, m, whole);
        tp_pack<A, N> pm = means.around(k, cols), pr = rstds.around(k, cols);
        A d[N];

        /* Step by step: no column's numbers are in registers longer than they are wanted. */
        TP_UNROLL
        for (int j = 0; j < N; j++)
            d[j] = (tp_load(v.v[j]) - pm.v[j]) * pr.v[j];
        tp_pack<A, N> ps = slopes.around(k, cols);
        TP_UNROLL
        for (int j = 0; j < N; j++)
            d[j] = tp_load(g.v[j]) - d[j] * (ps.v[j] / A(rows));
        tp_pack<A, N> pl = levels.around(k, cols), pw = weight.around(k, cols);
        TP_UNROLL
        for (int j = 0; j < N; j++)
            tp_put(&to.v[j], pr.v[j] * pw.v[j] * (d[j] - pl.v[j] / A(rows)), add);
        tp_keep<T, N>(dx + i, to, m, whole);
    }
}

template <class T>
static int batch_norm_dx(tp_ctx *c, int64_t rows, int64_t cols, const void *dy, const void *x, const void *mean,
                         const void *rstd, const void *weight, bool add, void *dx, void *dweight, void *dbias)
{
    typedef tp_acc<T> A;
    tp_norm_part<T> f = { (const T *)dy, (const T *)x, (const A *)mean, (const A *)rstd, cols, false,
                          tp_columns_packed<T>(cols, dy, x), {}, {} };
    tp_two<A> *part = tp_columns_room<tp_two<A>>(c, rows, cols, cols);
    A *slope = (A *)part, *level = slope + cols;
    int failed;

    if (!part) return TP_KERNEL_NO_MEMORY;
    failed = tp_columns(c, __func__, rows, cols, part + cols, f, batch_sums<A>{ slope, level, (A *)dweight, (A *)dbias });
    if (failed || !dx) return failed;
    return TP_LAUNCH(c, batch_rows_dx<T>, tp_pack_blocks<T>(rows * cols), TP_THREADS, rows, cols, (const T *)dy, (const T *)x,
                     (const A *)mean, (const A *)rstd, (const A *)weight, (const A *)slope, (const A *)level, add, (T *)dx);
}

/* ---- group: a block for each group of a sample, N neighbours at a time, which its width is a multiple of ---- */

/* Of a group: rows of `each` columns, counted one row after the other; fewer than 2^32 numbers. */
struct group_place {
    uint32_t each;
    int64_t gap;

    __device__ int64_t at(int64_t i) const { return i + (uint32_t)i / each * gap; }
    __device__ uint32_t column(int64_t i) const { return (uint32_t)i % each; }
};

template <class T, int N>
static __global__ void TP_ROOMY group_blocks(int64_t blocks, int64_t rows, int64_t cols, int64_t groups, const T *xs,
                                    const tp_acc<T> *w, const tp_acc<T> *b, double eps, tp_acc<T> *means,
                                    tp_acc<T> *rstds, T *ys)
{
    typedef tp_acc<T> A;
    typedef tp_rows<T, 1, group_place, N> group;

    for (int64_t g = blockIdx.x; g < blocks; g += gridDim.x) {
        int64_t each = cols / groups, count = rows * each, k = g % groups * each, first = g / groups * rows * cols + k;
        group_place p = { (uint32_t)each, cols - each };
        tp_weights<A, N> weight = { w ? w + k : NULL, 1 }, bias = { b ? b + k : NULL, 0 };
        group x;
        A mean, squares, rstd;

        x.take({ xs + first }, count, ys + first, p);
        tp_mean_and_squares(x, &mean, &squares);
        rstd = A(1 / sqrt(double(squares / A(count)) + eps));
        x.put(false, [&](int64_t i, int, const typename group::pack(&v)[1], A(&y)[N]) {
            tp_pack<A, N> pw = weight.at(p.column(i), N), pb = bias.at(p.column(i), N);

            TP_UNROLL
            for (int j = 0; j < N; j++)
                y[j] = (tp_load(v[0].v[j]) - mean) * rstd * pw.v[j] + pb.v[j];
        });
        if (threadIdx.x == 0) means[g] = mean, rstds[g] = rstd;
    }
}

template <class T, int N>
static __global__ void TP_ROOMY group_blocks_dx(int64_t blocks, int64_t rows, int64_t cols, int64_t groups, const T *dys,
                                       const T *xs, const tp_acc<T> *means, const tp_acc<T> *rstds, const tp_acc<T> *w,
                                       bool add, T *dxs)
{
    typedef tp_acc<T> A;
    typedef tp_rows<T, 2, group_place, N> group; /* dy and x */

    for (int64_t b = blockIdx.x; b < blocks; b += gridDim.x) {
        int64_t each = cols / groups, count = rows * each, k = b % groups * each, first = b / groups * rows * cols + k;
        group_place p = { (uint32_t)each, cols - each };
        tp_weights<A, N> weight = { w ? w + k : NULL, 1 };
        group x;
        A mean = means[b], rstd = rstds[b], level = 0, slope = 0;

        x.take({ dys + first, xs + first }, count, dxs + first, p);
        x.each([&](int64_t i, int, const typename group::pack(&v)[2]) {
            tp_pack<A, N> pw = weight.at(p.column(i), N);

            TP_UNROLL
            for (int j = 0; j < N; j++) {
                A g = tp_load(v[0].v[j]) * pw.v[j];

                level += g, slope += g * ((tp_load(v[1].v[j]) - mean) * rstd);
            }
        });
        level = tp_block_fold(level, tp_plus()) / A(count);
        slope = tp_block_fold(slope, tp_plus()) / A(count);
        x.put(add, [&](int64_t i, int, const typename group::pack(&v)[2], A(&y)[N]) {
            tp_pack<A, N> pw = weight.at(p.column(i), N);

            TP_UNROLL
            for (int j = 0; j < N; j++)
                y[j] = rstd * (tp_load(v[0].v[j]) * pw.v[j] - level - (tp_load(v[1].v[j]) - mean) * rstd * slope);
        });
    }
}

template <class T, int N = 16 / sizeof(T)>
static int group_norm(tp_ctx *c, int64_t samples, int64_t rows, int64_t cols, int64_t groups, const void *x,
                      const void *weight, const void *bias, double eps, void *mean, void *rstd, void *y)
{
    typedef tp_acc<T> A;

    if (rows * (cols / groups) >> 32) return tp__kernel_error(c, "group_norm: groups of 2^32 numbers or more");
    if constexpr (N > 1)
        if (cols / groups % N)
            return group_norm<T, N / 2>(c, samples, rows, cols, groups, x, weight, bias, eps, mean, rstd, y);
    return TP_LAUNCH(c, (group_blocks<T, N>), tp_row_blocks(samples * groups), tp_row_threads(rows * cols / groups),
                     samples * groups, rows, cols, groups, (const T *)x, (const A *)weight, (const A *)bias, eps,
                     (A *)mean, (A *)rstd, (T *)y);
}

template <class T, int N = 16 / sizeof(T)>
static int group_slopes(tp_ctx *c, int64_t blocks, int64_t rows, int64_t cols, int64_t groups, const void *dy,
                        const void *x, const void *mean, const void *rstd, const void *weight, bool add, void *dx)
{
    typedef tp_acc<T> A;

    if constexpr (N > 1)
        if (cols / groups % N)
            return group_slopes<T, N / 2>(c, blocks, rows, cols, groups, dy, x, mean, rstd, weight, add, dx);
    return TP_LAUNCH_FOR(c, "group_norm_dx", (group_blocks_dx<T, N>), tp_row_blocks(blocks),
                         tp_row_threads(rows * cols / groups), blocks, rows, cols, groups, (const T *)dy, (const T *)x,
                         (const A *)mean, (const A *)rstd, (const A *)weight, add, (T *)dx);
}

/* Rows are counted over all samples. */
template <class T> struct group_part {
    enum { N = 16 / sizeof(T) };
    typedef tp_acc<T> A;
    const T *dy, *x;
    const A *mean, *rstd;
    int64_t rows, cols, groups;
    bool whole;
    int group[N]; /* of each column */

    __device__ void columns(int64_t k, int)
    {
        TP_UNROLL
        for (int j = 0; j < N; j++)
            group[j] = (int)((k + j) / (cols / groups));
    }
    __device__ void add(int64_t r, int64_t k, int m, tp_two<A> (&sum)[N]) const
    {
        tp_pack<T, N> g = tp_fetch<T, N>(dy + r * cols + k, m, whole), v = tp_fetch<T, N>(x + r * cols + k, m, whole);
        int64_t sample = r / rows * groups;

        TP_UNROLL
        for (int j = 0; j < N; j++)
            if (j < m)
                sum[j] += { tp_load(g.v[j]) * ((tp_load(v.v[j]) - mean[sample + group[j]]) * rstd[sample + group[j]]),
                            tp_load(g.v[j]) };
    }
};

template <class T>
static int group_norm_dx(tp_ctx *c, int64_t samples, int64_t rows, int64_t cols, int64_t groups, const void *dy,
                         const void *x, const void *mean, const void *rstd, const void *weight, bool add, void *dx,
                         void *dweight, void *dbias)
{
    typedef tp_acc<T> A;
    group_part<T> f = { (const T *)dy, (const T *)x, (const A *)mean, (const A *)rstd, rows, cols, groups,
                        tp_columns_packed<T>(cols, dy, x), {} };
    tp_two<A> *part;
    int failed = 0;

    if (rows * (cols / groups) >> 32) return tp__kernel_error(c, "group_norm_dx: groups of 2^32 numbers or more");
    if (dx) failed = group_slopes<T>(c, samples * groups, rows, cols, groups, dy, x, mean, rstd, weight, add, dx);
    if (failed || (!dweight && !dbias)) return failed;
    if (!(part = tp_columns_room<tp_two<A>>(c, samples * rows, cols, 0))) return TP_KERNEL_NO_MEMORY;
    return tp_columns(c, __func__, samples * rows, cols, part, f, tp_store_two<A>{ (A *)dweight, (A *)dbias });
}

TP_FLOATS(batch_norm)
TP_FLOATS(batch_norm_dx)
TP_SLOTS(group_norm, group_norm<float>, group_norm<double>, group_norm<tp_bf16>, group_norm<tp_f16>)
TP_FLOATS(group_norm_dx)
