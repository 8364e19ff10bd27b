/*
 * norm.cu - normalization of rows, forward and backward; kernels.def has the formulas.
 *
 *     layer   Ba, Kiros & Hinton 2016
 *     rms     Zhang & Sennrich 2019
 *
 * A block a row; a variance is the mean of squares about a mean, never a difference of large numbers.
 */
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/rows.cuh"

template <class T>
static __global__ void TP_ROOMY layer_rows(int64_t rows, int64_t cols, const T *xs, const tp_acc<T> *w, const tp_acc<T> *b,
                                  double eps, tp_acc<T> *means, tp_acc<T> *rstds, T *ys)
{
    typedef tp_acc<T> A;
    const int N = tp_rows<T, 1>::N;
    typedef tp_pack<T, N> pack;
    tp_weights<A, N> weight = { w, 1 }, bias = { b, 0 };

    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        tp_rows<T, 1> x;
        A mean, square, rstd;

        x.take({ xs + r * cols }, cols, ys + r * cols);
        tp_mean_and_squares(x, &mean, &square);
        rstd = A(1 / sqrt(double(square / A(cols)) + eps));
        x.put(false, [&](int64_t i, int m, const pack(&v)[1], A(&y)[N]) {
            tp_pack<A, N> pw = weight.at(i, m), pb = bias.at(i, m);

            TP_UNROLL
            for (int j = 0; j < N; j++)
                y[j] = (tp_load(v[0].v[j]) - mean) * rstd * pw.v[j] + pb.v[j];
        });
        if (threadIdx.x == 0) means[r] = mean, rstds[r] = rstd;
    }
}

/* With g = dy weight and h = (x - mean) rstd:  dx (+)= rstd (g - mean of g - h mean of g h) */
template <class T>
static __global__ void layer_rows_dx(int64_t rows, int64_t cols, const T *dys, const T *xs, const tp_acc<T> *means,
                                     const tp_acc<T> *rstds, const tp_acc<T> *w, bool add, T *dxs)
{
    typedef tp_acc<T> A;
    const int N = tp_rows<T, 1>::N;
    typedef tp_pack<T, N> pack;
    tp_weights<A, N> weight = { w, 1 };

    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        tp_rows<T, 2> x; /* dy and x */
        A mean = means[r], rstd = rstds[r], level = 0, slope = 0;

        x.take({ dys + r * cols, xs + r * cols }, cols, dxs + r * cols);
        x.each([&](int64_t i, int m, const pack(&v)[2]) {
            tp_pack<A, N> pw = weight.at(i, m);

            TP_UNROLL
            for (int j = 0; j < N; j++) {
                A g = tp_load(v[0].v[j]) * pw.v[j];

                if (j < m) level += g, slope += g * ((tp_load(v[1].v[j]) - mean) * rstd);
            }
        });
        level = tp_block_fold(level, tp_plus()) / A(cols);
        slope = tp_block_fold(slope, tp_plus()) / A(cols);
        x.put(add, [&](int64_t i, int m, const pack(&v)[2], A(&y)[N]) {
            tp_pack<A, N> pw = weight.at(i, m);

            TP_UNROLL
            for (int j = 0; j < N; j++)
                y[j] = rstd * (tp_load(v[0].v[j]) * pw.v[j] - level - (tp_load(v[1].v[j]) - mean) * rstd * slope);
        });
    }
}

/* ---- the slots ---- */

template <class T>
static int layer_norm(tp_ctx *c, int64_t rows, int64_t cols, const void *x,
                      const void *weight, const void *bias, double eps, void *mean,
                      void *rstd, void *y)
{
    typedef tp_acc<T> A;

    return TP_LAUNCH(c, layer_rows<T>, tp_row_blocks(rows), tp_row_threads(cols), rows,
                     cols, (const T *)x, (const A *)weight, (const A *)bias, eps,
                     (A *)mean, (A *)rstd, (T *)y);
}

template <class T>
static int layer_norm_dx(tp_ctx *c, int64_t rows, int64_t cols, const void *dy,
                         const void *x, const void *mean, const void *rstd,
                         const void *weight, bool add, void *dx, void *dweight,
                         void *dbias)
{
    typedef tp_acc<T> A;
    tp_two<A> *part;
    int failed = 0;

    if (dx)
        failed = TP_LAUNCH(c, layer_rows_dx<T>, tp_row_blocks(rows), tp_row_threads(cols),
                           rows, cols, (const T *)dy, (const T *)x, (const A *)mean,
                           (const A *)rstd, (const A *)weight, add, (T *)dx);
    if (failed || (!dweight && !dbias)) return failed;
    if (!(part = tp_columns_room<tp_two<A>>(c, rows, cols, 0))) return TP_KERNEL_NO_MEMORY;
    return tp_columns(c, __func__, rows, cols, part,
                         tp_norm_part<T>{ (const T *)dy, (const T *)x, (const A *)mean, (const A *)rstd, cols, true,
                                         tp_columns_packed<T>(cols, dy, x), {}, {} },
                         tp_store_two<A>{ (A *)dweight, (A *)dbias });
}

/* ---- rms:  dx (+)= rstd g - x rstd^3 mean of g x,  g = dy weight ---- */

template <class T>
static __global__ void rms_rows(int64_t rows, int64_t cols, const T *xs, const tp_acc<T> *w, double eps,
                                tp_acc<T> *rstds, T *ys)
{
    typedef tp_acc<T> A;
    const int N = tp_rows<T, 1>::N;
    typedef tp_pack<T, N> pack;
    tp_weights<A, N> weight = { w, 1 };

    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        tp_rows<T, 1> x;
        A square, rstd;

        x.take({ xs + r * cols }, cols, ys + r * cols);
        square = x.sum([&](int j, const pack(&v)[1]) { return tp_load(v[0].v[j]) * tp_load(v[0].v[j]); });
        rstd = A(1 / sqrt(double(square / A(cols)) + eps));
        x.put(false, [&](int64_t i, int m, const pack(&v)[1], A(&y)[N]) {
            tp_pack<A, N> pw = weight.at(i, m);

            TP_UNROLL
            for (int j = 0; j < N; j++)
                y[j] = tp_load(v[0].v[j]) * rstd * pw.v[j];
        });
        if (threadIdx.x == 0) rstds[r] = rstd;
    }
}

template <class T>
static __global__ void rms_rows_dx(int64_t rows, int64_t cols, const T *dys, const T *xs, const tp_acc<T> *rstds,
                                   const tp_acc<T> *w, bool add, T *dxs)
{
    typedef tp_acc<T> A;
    const int N = tp_rows<T, 1>::N;
    typedef tp_pack<T, N> pack;
    tp_weights<A, N> weight = { w, 1 };

    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        tp_rows<T, 2> x; /* dy and x */
        A rstd = rstds[r], slope = 0;

        x.take({ dys + r * cols, xs + r * cols }, cols, dxs + r * cols);
        x.each([&](int64_t i, int m, const pack(&v)[2]) {
            tp_pack<A, N> pw = weight.at(i, m);

            TP_UNROLL
            for (int j = 0; j < N; j++)
                if (j < m) slope += tp_load(v[0].v[j]) * pw.v[j] * tp_load(v[1].v[j]);
        });
        slope = tp_block_fold(slope, tp_plus()) / A(cols) * rstd * rstd * rstd;
        x.put(add, [&](int64_t i, int m, const pack(&v)[2], A(&y)[N]) {
            tp_pack<A, N> pw = weight.at(i, m);

            TP_UNROLL
            for (int j = 0; j < N; j++)
                y[j] = rstd * tp_load(v[0].v[j]) * pw.v[j] - tp_load(v[1].v[j]) * slope;
        });
    }
}

template <class T> struct rms_part {
    enum { N = 16 / sizeof(T) };
    const T *dy, *x;
    const tp_acc<T> *rstd;
    int64_t cols;
    bool whole;

    __device__ void columns(int64_t, int) {}
    __device__ void add(int64_t r, int64_t k, int m, tp_one<tp_acc<T>> (&sum)[N]) const
    {
        tp_pack<T, N> g = tp_fetch<T, N>(dy + r * cols + k, m, whole), v = tp_fetch<T, N>(x + r * cols + k, m, whole);
        tp_acc<T> by = rstd[r];

        TP_UNROLL
        for (int j = 0; j < N; j++)
            if (j < m) sum[j] += { tp_load(g.v[j]) * tp_load(v.v[j]) * by };
    }
};

template <class A> struct store_one {
    A *a;

    __device__ void operator()(int64_t k, tp_one<A> sum) const { a[k] = sum.a; }
};

template <class T>
static int rms_norm(tp_ctx *c, int64_t rows, int64_t cols, const void *x, const void *weight, double eps, void *rstd,
                    void *y)
{
    typedef tp_acc<T> A;

    return TP_LAUNCH(c, rms_rows<T>, tp_row_blocks(rows), tp_row_threads(cols), rows, cols, (const T *)x,
                     (const A *)weight, eps, (A *)rstd, (T *)y);
}

template <class T>
static int rms_norm_dx(tp_ctx *c, int64_t rows, int64_t cols, const void *dy, const void *x, const void *rstd,
                       const void *weight, bool add, void *dx, void *dweight)
{
    typedef tp_acc<T> A;
    tp_one<A> *part;
    int failed = 0;

    if (dx)
        failed = TP_LAUNCH(c, rms_rows_dx<T>, tp_row_blocks(rows), tp_row_threads(cols), rows, cols, (const T *)dy,
                           (const T *)x, (const A *)rstd, (const A *)weight, add, (T *)dx);
    if (failed || !dweight) return failed;
    if (!(part = tp_columns_room<tp_one<A>>(c, rows, cols, 0))) return TP_KERNEL_NO_MEMORY;
    return tp_columns(c, __func__, rows, cols, part, rms_part<T>{ (const T *)dy, (const T *)x, (const A *)rstd, cols, tp_columns_packed<T>(cols, dy, x) },
                         store_one<A>{ (A *)dweight });
}

TP_FLOATS(layer_norm)
TP_FLOATS(layer_norm_dx)
TP_FLOATS(rms_norm)
TP_FLOATS(rms_norm_dx)
