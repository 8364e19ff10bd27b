/*
 * norm.cu - layer normalization, forward and backward; kernels.def has the formulas.
 *
 * Ba, Kiros & Hinton 2016.  A block a row; the variance is the mean of squares about the
 * mean, never a difference of large numbers.  The sums over rows, for the weight and the
 * bias, are cut into chunks of rows by shape alone and folded in a second launch.
 */
#include "kernels/cuda/launch.cuh"

enum { COLUMNS = 32, DEPTH = TP_THREADS / COLUMNS };

template <class T>
static __global__ void layer_rows(int64_t rows, int64_t cols, const T *xs,
                                  const tp_acc<T> *w, const tp_acc<T> *b, double eps,
                                  tp_acc<T> *means, tp_acc<T> *rstds, T *ys)
{
    typedef tp_acc<T> A;

    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const T *x = xs + r * cols;
        A mean = 0, square = 0, rstd;

        for (int64_t k = threadIdx.x; k < cols; k += blockDim.x)
            mean += tp_load(x[k]);
        mean = tp_block_fold(mean, tp_plus()) / A(cols);
        for (int64_t k = threadIdx.x; k < cols; k += blockDim.x)
            square += (tp_load(x[k]) - mean) * (tp_load(x[k]) - mean);
        square = tp_block_fold(square, tp_plus()) / A(cols);
        rstd = A(1 / sqrt(double(square) + eps));
        for (int64_t k = threadIdx.x; k < cols; k += blockDim.x)
            tp_put(&ys[r * cols + k],
                   (tp_load(x[k]) - mean) * rstd * (w ? w[k] : A(1)) + (b ? b[k] : A(0)));
        if (threadIdx.x == 0) means[r] = mean, rstds[r] = rstd;
    }
}

/* With g = dy weight and h = (x - mean) rstd:  dx (+)= rstd (g - mean of g - h mean of g h) */
template <class T>
static __global__ void layer_rows_dx(int64_t rows, int64_t cols, const T *dys,
                                     const T *xs, const tp_acc<T> *means,
                                     const tp_acc<T> *rstds, const tp_acc<T> *w, bool add,
                                     T *dxs)
{
    typedef tp_acc<T> A;

    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        const T *x = xs + r * cols, *dy = dys + r * cols;
        A mean = means[r], rstd = rstds[r], level = 0, slope = 0;

        for (int64_t k = threadIdx.x; k < cols; k += blockDim.x) {
            A g = tp_load(dy[k]) * (w ? w[k] : A(1));

            level += g, slope += g * ((tp_load(x[k]) - mean) * rstd);
        }
        level = tp_block_fold(level, tp_plus()) / A(cols);
        slope = tp_block_fold(slope, tp_plus()) / A(cols);
        for (int64_t k = threadIdx.x; k < cols; k += blockDim.x) {
            A g = tp_load(dy[k]) * (w ? w[k] : A(1)), h = (tp_load(x[k]) - mean) * rstd;

            tp_put(&dxs[r * cols + k], rstd * (g - level - h * slope), add);
        }
    }
}

/* Over a chunk of rows, for 32 columns: part (chunks, 2, cols) = sums of dy h and of dy. */
template <class T>
static __global__ void layer_columns(int64_t rows, int64_t cols, int64_t chunk,
                                     const T *dy, const T *x, const tp_acc<T> *means,
                                     const tp_acc<T> *rstds, tp_acc<T> *part)
{
    typedef tp_acc<T> A;
    TP_SHARED(A, low, TP_THREADS);
    TP_SHARED(A, high, TP_THREADS);
    int64_t tiles = (cols + COLUMNS - 1) / COLUMNS, first = blockIdx.x / tiles * chunk;
    int lane = (int)threadIdx.x % COLUMNS, depth = (int)threadIdx.x / COLUMNS;
    int64_t k = blockIdx.x % tiles * COLUMNS + lane, end = first + chunk;
    A a = 0, b = 0;

    if (end > rows) end = rows;
    for (int64_t r = first + depth; k < cols && r < end; r += DEPTH) {
        A g = tp_load(dy[r * cols + k]);

        a += g * ((tp_load(x[r * cols + k]) - means[r]) * rstds[r]), b += g;
    }
    low[threadIdx.x] = a, high[threadIdx.x] = b;
    __syncthreads();
    if (depth > 0 || k >= cols) return;
    for (int i = 1; i < DEPTH; i++)
        a += low[i * COLUMNS + lane], b += high[i * COLUMNS + lane];
    part += blockIdx.x / tiles * 2 * cols;
    part[k] = a, part[cols + k] = b;
}

template <class A>
static __global__ void fold_columns(int64_t cols, int64_t chunks, const A *part,
                                    A *dweight, A *dbias)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t k = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; k < cols;
         k += step) {
        A a = 0, b = 0;

        for (int64_t i = 0; i < chunks; i++)
            a += part[2 * i * cols + k], b += part[(2 * i + 1) * cols + k];
        if (dweight) dweight[k] = a;
        if (dbias) dbias[k] = b;
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
static int sums_over_rows(tp_ctx *c, int64_t rows, int64_t cols, const void *dy,
                          const void *x, const void *mean, const void *rstd,
                          void *dweight, void *dbias)
{
    typedef tp_acc<T> A;
    int64_t tiles = (cols + COLUMNS - 1) / COLUMNS, chunk = 64, chunks;
    A *part;
    int failed;

    while ((rows + chunk - 1) / chunk > 256)
        chunk *= 2;
    chunks = (rows + chunk - 1) / chunk;
    part = (A *)tp_scratch(c, (size_t)(2 * chunks * cols + 1) * sizeof *part);
    if (!part) return TP_KERNEL_NO_MEMORY;
    failed =
        TP_LAUNCH(c, layer_columns<T>, tiles * chunks, TP_THREADS, rows, cols, chunk,
                  (const T *)dy, (const T *)x, (const A *)mean, (const A *)rstd, part);
    if (failed) return failed;
    return TP_LAUNCH(c, fold_columns<A>, tp_blocks(cols), TP_THREADS, cols, chunks,
                     (const A *)part, (A *)dweight, (A *)dbias);
}

template <class T>
static int layer_norm_dx(tp_ctx *c, int64_t rows, int64_t cols, const void *dy,
                         const void *x, const void *mean, const void *rstd,
                         const void *weight, bool add, void *dx, void *dweight,
                         void *dbias)
{
    typedef tp_acc<T> A;
    int failed = 0;

    if (dx)
        failed = TP_LAUNCH(c, layer_rows_dx<T>, tp_row_blocks(rows), tp_row_threads(cols),
                           rows, cols, (const T *)dy, (const T *)x, (const A *)mean,
                           (const A *)rstd, (const A *)weight, add, (T *)dx);
    if (failed || (!dweight && !dbias)) return failed;
    return sums_over_rows<T>(c, rows, cols, dy, x, mean, rstd, dweight, dbias);
}

TP_FLOATS(layer_norm)
TP_FLOATS(layer_norm_dx)
