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

/* ---- batch: sums about the first row, which is as far from the mean as any ---- */

template <class T> struct about_first {
    const T *x;
    int64_t cols;
    tp_acc<T> first;

    __device__ void column(int64_t k) { first = tp_load(x[k]); }
    __device__ tp_two<tp_acc<T>> operator()(int64_t r, int64_t k) const
    {
        tp_acc<T> e = tp_load(x[r * cols + k]) - first;

        return { e, e * e };
    }
};

template <class T> struct batch_end {
    typedef tp_acc<T> A;
    const T *x;
    int64_t rows;
    double eps, momentum;
    A *running_mean, *running_var, *mean, *rstd;

    __device__ void operator()(int64_t k, tp_two<A> sum) const
    {
        double n = (double)rows, off = sum.a / n, var = sum.b / n - off * off, m = tp_load(x[k]) + off;

        if (var < 0) var = 0;
        mean[k] = A(m), rstd[k] = A(1 / sqrt(var + eps));
        if (running_mean) running_mean[k] += A(momentum * (m - running_mean[k]));
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
    batch_end<T> end = { (const T *)x, rows, eps, momentum, (A *)running_mean, (A *)running_var, (A *)mean, (A *)rstd };
    tp_two<A> *part;
    int failed;

    if (rows * cols == 0) return 0;
    if (!(part = tp_columns_room<tp_two<A>>(c, rows, cols, 0))) return TP_KERNEL_NO_MEMORY;
    failed = tp_columns(c, __func__, rows, cols, part, about_first<T>{ (const T *)x, cols, 0 }, end);
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
        tp_pack<A, N> pm = means.around(k, cols), pr = rstds.around(k, cols), pw = weight.around(k, cols);
        tp_pack<A, N> ps = slopes.around(k, cols), pl = levels.around(k, cols);

        TP_UNROLL
        for (int j = 0; j < N; j++) {
            A h = (tp_load(v.v[j]) - pm.v[j]) * pr.v[j];

            tp_put(&to.v[j], pr.v[j] * pw.v[j] * (tp_load(g.v[j]) - pl.v[j] / A(rows) - h * (ps.v[j] / A(rows))), add);
        }
        tp_keep<T, N>(dx + i, to, m, whole);
    }
}

template <class T>
static int batch_norm_dx(tp_ctx *c, int64_t rows, int64_t cols, const void *dy, const void *x, const void *mean,
                         const void *rstd, const void *weight, bool add, void *dx, void *dweight, void *dbias)
{
    typedef tp_acc<T> A;
    tp_norm_part<T> f = { (const T *)dy, (const T *)x, (const A *)mean, (const A *)rstd, cols, false, 0, 0 };
    tp_two<A> *part = tp_columns_room<tp_two<A>>(c, rows, cols, cols);
    A *slope = (A *)part, *level = slope + cols;
    int failed;

    if (!part) return TP_KERNEL_NO_MEMORY;
    failed = tp_columns(c, __func__, rows, cols, part + cols, f, batch_sums<A>{ slope, level, (A *)dweight, (A *)dbias });
    if (failed || !dx) return failed;
    return TP_LAUNCH(c, batch_rows_dx<T>, tp_pack_blocks<T>(rows * cols), TP_THREADS, rows, cols, (const T *)dy, (const T *)x,
                     (const A *)mean, (const A *)rstd, (const A *)weight, (const A *)slope, (const A *)level, add, (T *)dx);
}

/* ---- group: a block for each group of a sample ---- */

/* Element i of the group that block b takes: rows of `each` columns. */
struct group_place {
    int64_t rows, cols, each, base, first_col;

    __device__ group_place(int64_t rows, int64_t cols, int64_t groups, int64_t b)
        : rows(rows), cols(cols), each(cols / groups), base(b / groups * rows * cols), first_col(b % groups * (cols / groups))
    {
    }
    __device__ int64_t column(int64_t i) const { return first_col + i % each; }
    __device__ int64_t at(int64_t i) const { return base + i / each * cols + column(i); }
    __device__ int64_t count() const { return rows * each; }
};

template <class T>
static __global__ void group_blocks(int64_t blocks, int64_t rows, int64_t cols, int64_t groups, const T *x,
                                    const tp_acc<T> *w, const tp_acc<T> *b, double eps, tp_acc<T> *means,
                                    tp_acc<T> *rstds, T *y)
{
    typedef tp_acc<T> A;

    for (int64_t g = blockIdx.x; g < blocks; g += gridDim.x) {
        group_place p(rows, cols, groups, g);
        A mean = 0, square = 0, rstd;

        for (int64_t i = threadIdx.x; i < p.count(); i += blockDim.x)
            mean += tp_load(x[p.at(i)]);
        mean = tp_block_fold(mean, tp_plus()) / A(p.count());
        for (int64_t i = threadIdx.x; i < p.count(); i += blockDim.x) {
            A e = tp_load(x[p.at(i)]) - mean;

            square += e * e;
        }
        square = tp_block_fold(square, tp_plus()) / A(p.count());
        rstd = A(1 / sqrt(double(square) + eps));
        for (int64_t i = threadIdx.x; i < p.count(); i += blockDim.x) {
            int64_t k = p.column(i);

            tp_put(&y[p.at(i)], (tp_load(x[p.at(i)]) - mean) * rstd * (w ? w[k] : A(1)) + (b ? b[k] : A(0)));
        }
        if (threadIdx.x == 0) means[g] = mean, rstds[g] = rstd;
    }
}

template <class T>
static __global__ void group_blocks_dx(int64_t blocks, int64_t rows, int64_t cols, int64_t groups, const T *dy,
                                       const T *x, const tp_acc<T> *means, const tp_acc<T> *rstds, const tp_acc<T> *w,
                                       bool add, T *dx)
{
    typedef tp_acc<T> A;

    for (int64_t b = blockIdx.x; b < blocks; b += gridDim.x) {
        group_place p(rows, cols, groups, b);
        A mean = means[b], rstd = rstds[b], level = 0, slope = 0;

        for (int64_t i = threadIdx.x; i < p.count(); i += blockDim.x) {
            A g = tp_load(dy[p.at(i)]) * (w ? w[p.column(i)] : A(1));

            level += g, slope += g * ((tp_load(x[p.at(i)]) - mean) * rstd);
        }
        level = tp_block_fold(level, tp_plus()) / A(p.count());
        slope = tp_block_fold(slope, tp_plus()) / A(p.count());
        for (int64_t i = threadIdx.x; i < p.count(); i += blockDim.x) {
            A g = tp_load(dy[p.at(i)]) * (w ? w[p.column(i)] : A(1)), h = (tp_load(x[p.at(i)]) - mean) * rstd;

            tp_put(&dx[p.at(i)], rstd * (g - level - h * slope), add);
        }
    }
}

template <class T>
static int group_norm(tp_ctx *c, int64_t N, int64_t rows, int64_t cols, int64_t groups, const void *x,
                      const void *weight, const void *bias, double eps, void *mean, void *rstd, void *y)
{
    typedef tp_acc<T> A;

    return TP_LAUNCH(c, group_blocks<T>, tp_row_blocks(N * groups), tp_row_threads(rows * cols / groups), N * groups,
                     rows, cols, groups, (const T *)x, (const A *)weight, (const A *)bias, eps, (A *)mean, (A *)rstd, (T *)y);
}

/* Rows are counted over all samples. */
template <class T> struct group_part {
    const T *dy, *x;
    const tp_acc<T> *mean, *rstd;
    int64_t rows, cols, groups;

    __device__ void column(int64_t) {}
    __device__ tp_two<tp_acc<T>> operator()(int64_t r, int64_t k) const
    {
        int64_t b = r / rows * groups + k / (cols / groups);
        tp_acc<T> g = tp_load(dy[r * cols + k]);

        return { g * ((tp_load(x[r * cols + k]) - mean[b]) * rstd[b]), g };
    }
};

template <class T>
static int group_norm_dx(tp_ctx *c, int64_t N, int64_t rows, int64_t cols, int64_t groups, const void *dy,
                         const void *x, const void *mean, const void *rstd, const void *weight, bool add, void *dx,
                         void *dweight, void *dbias)
{
    typedef tp_acc<T> A;
    group_part<T> f = { (const T *)dy, (const T *)x, (const A *)mean, (const A *)rstd, rows, cols, groups };
    tp_two<A> *part;
    int failed = 0;

    if (dx)
        failed = TP_LAUNCH(c, group_blocks_dx<T>, tp_row_blocks(N * groups), tp_row_threads(rows * cols / groups),
                           N * groups, rows, cols, groups, (const T *)dy, (const T *)x, (const A *)mean,
                           (const A *)rstd, (const A *)weight, add, (T *)dx);
    if (failed || (!dweight && !dbias)) return failed;
    if (!(part = tp_columns_room<tp_two<A>>(c, N * rows, cols, 0))) return TP_KERNEL_NO_MEMORY;
    return tp_columns(c, __func__, N * rows, cols, part, f, tp_store_two<A>{ (A *)dweight, (A *)dbias });
}

TP_FLOATS(batch_norm)
TP_FLOATS(batch_norm_dx)
TP_FLOATS(group_norm)
TP_FLOATS(group_norm_dx)
