/*
 * cross_entropy.cu - softmax with the negative log likelihood of labels, and two
 * derivatives; kernels.def has the formulas.
 *
 * Forward: a block a row, which it reads once and writes two numbers of, then one block over
 * the rows.  A bad label can't be an error here without a wait: the loss and its row's gradient
 * become NaN, and the next wait tells why.
 */
#include "kernels/cuda/rows.cuh"

/* p = e^(x - top) scale, of each number x of a row */
template <class A> struct tp_soft {
    A top, scale;

    __device__ A operator()(A x) const { return exp(x - top) * scale; }
};

template <class T>
static __global__ void losses(int64_t rows, int64_t cols, const T *logits, const int64_t *y,
                              int64_t ignore, tp_acc<T> *soft, tp_acc<T> *row, tp_faults faults)
{
    typedef tp_acc<T> A;

    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        tp_rows<T, 1> x;
        A top, sum;
        int64_t label;

        x.take({ logits + r * cols }, cols, NULL);
        tp_top_and_sum(x, &top, &sum);
        if (threadIdx.x > 0) continue;
        soft[2 * r] = top, soft[2 * r + 1] = 1 / sum, row[r] = 0, label = y[r];
        if (label == ignore) continue;
        if (label >= 0 && label < cols)
            row[r] = top + log(sum) - tp_load(logits[r * cols + label]); /* not -log p: p may be 0 */
        else
            row[r] = A(NAN), tp_report(faults, TP_FAULT_LABEL, label, cols);
    }
}

/* One block; A is the accumulator. */
template <class A>
static __global__ void fold_rows(int64_t rows, const A *row, const int64_t *y,
                                 int64_t ignore, bool mean, A *loss, A *count)
{
    double total = 0, n = 0;

    for (int64_t r = threadIdx.x; r < rows; r += blockDim.x)
        total += row[r], n += y[r] != ignore;
    total = tp_block_fold(total, tp_plus());
    n = tp_block_fold(n, tp_plus());
    if (threadIdx.x == 0) *loss = A(mean ? total / n : total), *count = A(n);
}

/* A label that is no class makes a row's gradient NaN. */
template <class A> __device__ inline A share_of(int64_t label, int64_t cols, int64_t ignore, A dloss)
{
    return label == ignore || (label >= 0 && label < cols) ? dloss : A(NAN);
}

template <class T>
static __global__ void gradient(int64_t rows, int64_t cols, const T *logits,
                                const tp_acc<T> *soft, const int64_t *y, int64_t ignore,
                                bool mean, const tp_acc<T> *dloss, int64_t dloss_step,
                                const tp_acc<T> *count, bool add, T *dx)
{
    typedef tp_acc<T> A;
    const int N = tp_rows<T, 1>::N;
    typedef tp_pack<T, N> pack;

    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        int64_t label = y[r];
        A g = share_of(label, cols, ignore, dloss[r * dloss_step]), over = mean ? *count : A(1);
        tp_soft<A> p = { soft[2 * r], soft[2 * r + 1] };
        tp_rows<T, 1> x;

        x.take({ logits + r * cols }, cols, dx + r * cols);
        x.put(add, [&](int64_t i, int, const pack(&v)[1], A(&d)[N]) {
            TP_UNROLL
            for (int j = 0; j < N; j++)
                d[j] = label == ignore ? A(0) : g * (p(tp_load(v[0].v[j])) - (i + j == label)) / over;
        });
    }
}

template <class T>
static __global__ void
second(int64_t rows, int64_t cols, const T *logits, const tp_acc<T> *soft,
       const int64_t *y, int64_t ignore, bool mean, const tp_acc<T> *dloss, int64_t dloss_step, const tp_acc<T> *count,
       const T *du, T *ddx, tp_acc<T> *ddloss)
{
    typedef tp_acc<T> A;
    const int N = tp_rows<T, 1>::N;
    typedef tp_pack<T, N> pack;

    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        bool counts = y[r] != ignore;
        A over = mean ? *count : A(1), g = share_of(y[r], cols, ignore, dloss[r * dloss_step]) / over, dot;
        tp_soft<A> p = { soft[2 * r], soft[2 * r + 1] };
        tp_rows<T, 2> x; /* and u */

        x.take({ logits + r * cols, du + r * cols }, cols, ddx + r * cols);
        dot = x.sum([&](int j, const pack(&v)[2]) { return tp_load(v[1].v[j]) * p(tp_load(v[0].v[j])); });
        x.put(false, [&](int64_t, int, const pack(&v)[2], A(&d)[N]) {
            TP_UNROLL
            for (int j = 0; j < N; j++)
                d[j] = counts ? g * p(tp_load(v[0].v[j])) * (tp_load(v[1].v[j]) - dot) : A(0);
        });
        if (threadIdx.x > 0) continue;
        if (!counts) ddloss[r] = 0;
        else if (y[r] >= 0 && y[r] < cols) ddloss[r] = (dot - tp_load(du[r * cols + y[r]])) / over;
        else ddloss[r] = A(NAN);
    }
}

/* ---- the slots ---- */

template <class T>
static int cross_entropy(tp_ctx *c, int64_t rows, int64_t cols, const void *x,
                         const int64_t *y, int64_t ignore, bool mean, void *soft, void *row,
                         void *loss, void *count)
{
    typedef tp_acc<T> A;
    int failed = TP_LAUNCH(c, losses<T>, tp_row_blocks(rows), tp_row_threads(cols), rows, cols, (const T *)x, y,
                           ignore, (A *)soft, (A *)row, tp_faults_of(c, __func__));

    if (failed) return failed;
    return TP_LAUNCH(c, fold_rows<A>, 1, TP_THREADS, rows, (const A *)row, y, ignore,
                     mean, (A *)loss, (A *)count);
}

template <class T>
static int cross_entropy_dx(tp_ctx *c, int64_t rows, int64_t cols, const void *x,
                            const void *soft, const int64_t *y, int64_t ignore, bool mean,
                            const void *dloss, int64_t dloss_step, const void *count,
                            bool add, void *dx)
{
    typedef tp_acc<T> A;

    return TP_LAUNCH(c, gradient<T>, tp_row_blocks(rows), tp_row_threads(cols), rows, cols,
                     (const T *)x, (const A *)soft, y, ignore, mean, (const A *)dloss,
                     dloss_step, (const A *)count, add, (T *)dx);
}

template <class T>
static int cross_entropy_ddx(tp_ctx *c, int64_t rows, int64_t cols, const void *x,
                             const void *soft, const int64_t *y, int64_t ignore, bool mean,
                             const void *dloss, int64_t dloss_step, const void *count,
                             const void *u, void *ddx, void *ddloss)
{
    typedef tp_acc<T> A;

    if (cols == 0) return 0;
    return TP_LAUNCH(c, second<T>, tp_row_blocks(rows), tp_row_threads(cols), rows, cols,
                     (const T *)x, (const A *)soft, y, ignore, mean, (const A *)dloss,
                     dloss_step, (const A *)count, (const T *)u, (T *)ddx, (A *)ddloss);
}

TP_FLOATS(cross_entropy)
TP_FLOATS(cross_entropy_dx)
TP_FLOATS(cross_entropy_ddx)
