/*
 * ctc.cu - connectionist temporal classification (Graves et al. 2006).
 *
 * A labelling of S labels is stretched to 2 S + 1 symbols, a blank before, between and after them.
 * alpha[t, s] is the log of what all paths have in common that are at symbol s at time t, beta that
 * of what is left; both count time t.  A path stays, goes on by one, or, where that skips no label
 * and no blank between equals, by two.  A block takes a sample, a thread some symbols.
 */
#include "kernels/cuda/launch.cuh"

template <class T> struct tp_ctc {
    typedef tp_acc<T> A;
    tp_ctc_args k;
    const T *x;
    const int64_t *labels, *times, *lengths;
    tp_faults faults;
};

/* One sample as a block sees it. */
template <class T> struct tp_sample {
    typedef tp_acc<T> A;
    const T *x; /* of time 0; times lie x_step apart */
    const int64_t *label;
    int64_t x_step, times, symbols, blank, classes, width;

    __device__ tp_sample(const tp_ctc<T> &j, int64_t n)
        : x(j.x + n * j.k.classes), label(j.labels + n * j.k.most), x_step(j.k.batch * j.k.classes), times(j.times[n]),
          symbols(2 * j.lengths[n] + 1), blank(j.k.blank), classes(j.k.classes), width(2 * j.k.most + 1)
    {
    }
    __device__ int64_t symbol(int64_t i) const { return i % 2 ? label[i / 2] : blank; }
    /* May a path go from symbol i - 2 to i? */
    __device__ bool skips(int64_t i) const { return i % 2 && i >= 2 && label[i / 2] != label[i / 2 - 1]; }
    __device__ A at(int64_t t, int64_t i) const { return tp_load(x[t * x_step + symbol(i)]); }
};

template <class A> __device__ inline A log_add(A a, A b)
{
    A high = a > b ? a : b, low = a > b ? b : a;

    return low == A(-INFINITY) ? high : high + log1p(exp(low - high));
}

/* All threads of the block get the same answer; tell: report why not, once for each sample. */
template <class T> static __device__ bool can_be(const tp_ctc<T> &j, int64_t n, bool tell)
{
    int64_t times = j.times[n], length = j.lengths[n];
    bool fits = times >= 0 && times <= j.k.times && length >= 0 && length <= j.k.most;

    tell = tell && threadIdx.x == 0;
    if (!fits && tell)
        tp_report(j.faults, TP_FAULT_SAMPLE, times < 0 || times > j.k.times ? times : length,
                  times < 0 || times > j.k.times ? j.k.times : j.k.most);
    for (int64_t i = 0; fits && i < length; i++) {
        int64_t label = j.labels[n * j.k.most + i];

        if (label >= 0 && label < j.k.classes) continue;
        if (tell) tp_report(j.faults, TP_FAULT_LABEL, label, j.k.classes);
        return false;
    }
    return fits;
}

/* -log of the sum over all paths: they end in the last label or the blank after it. */
template <class T> static __device__ tp_acc<T> negative_log(const tp_sample<T> &s, const tp_acc<T> *alpha)
{
    const tp_acc<T> *last = alpha + (s.times - 1) * s.width;

    if (s.times == 0) return s.symbols == 1 ? tp_acc<T>(0) : tp_acc<T>(INFINITY);
    return s.symbols == 1 ? -last[0] : -log_add(last[s.symbols - 1], last[s.symbols - 2]);
}

template <class T>
static __global__ void forward_paths(tp_ctc<T> j, tp_acc<T> *alphas, tp_acc<T> *all, tp_acc<T> *losses)
{
    typedef tp_acc<T> A;

    for (int64_t n = blockIdx.x; n < j.k.batch; n += gridDim.x) {
        tp_sample<T> s(j, n);
        A *alpha = alphas + n * j.k.times * s.width, loss;

        if (!can_be(j, n, true)) {
            if (threadIdx.x == 0) all[n] = losses[n] = A(NAN);
            continue;
        }
        for (int64_t t = 0; t < s.times; t++) {
            const A *before = alpha + (t - 1) * s.width;

            for (int64_t i = threadIdx.x; i < s.symbols; i += blockDim.x) {
                A sum = t ? before[i] : i < 2 ? A(0) : A(-INFINITY);

                if (t && i >= 1) sum = log_add(sum, before[i - 1]);
                if (t && s.skips(i)) sum = log_add(sum, before[i - 2]);
                alpha[t * s.width + i] = sum + s.at(t, i);
            }
            __syncthreads();
        }
        if (threadIdx.x != 0) continue;
        loss = negative_log(s, alpha);
        all[n] = loss, losses[n] = j.k.zero_infinity && loss == A(INFINITY) ? A(0) : loss;
    }
}

/* ---- the gradient: dx[t, c] = -dloss sum over symbols that are c of e^(alpha + beta - x + loss) ---- */

template <class T>
static __device__ tp_acc<T> beta_of(const tp_sample<T> &s, const tp_acc<T> *after, int64_t t, int64_t i)
{
    tp_acc<T> sum;

    if (t == s.times - 1) return i >= s.symbols - 2 ? s.at(t, i) : tp_acc<T>(-INFINITY);
    sum = after[i];
    if (i + 1 < s.symbols) sum = log_add(sum, after[i + 1]);
    if (i + 2 < s.symbols && s.skips(i + 2)) sum = log_add(sum, after[i + 2]);
    return sum + s.at(t, i);
}

/* betas: two rows of symbols, and a row of their shares, for each block. */
template <class T>
static __global__ void backward_paths(tp_ctc<T> j, const tp_acc<T> *alphas, const tp_acc<T> *all,
                                      const tp_acc<T> *dloss, tp_acc<T> *betas, bool add, T *dx)
{
    typedef tp_acc<T> A;

    for (int64_t n = blockIdx.x; n < j.k.batch; n += gridDim.x) {
        tp_sample<T> s(j, n);
        const A *alpha = alphas + n * j.k.times * s.width;
        A *beta = betas + blockIdx.x * 3 * s.width, *after = beta + s.width, *share = beta + 2 * s.width, loss = all[n];
        bool none = (j.k.zero_infinity && loss == A(INFINITY)) || !can_be(j, n, false);

        for (int64_t t = j.k.times - 1; t >= 0; t--) {
            bool within = t < s.times && !none;

            for (int64_t i = threadIdx.x; within && i < s.symbols; i += blockDim.x) {
                beta[i] = beta_of(s, after, t, i);
                share[i] = exp(alpha[t * s.width + i] + beta[i] - s.at(t, i) + loss);
            }
            __syncthreads();
            for (int64_t c = threadIdx.x; c < s.classes; c += blockDim.x) {
                A sum = 0;

                for (int64_t i = 0; within && i < s.symbols; i++)
                    if (s.symbol(i) == c) sum += share[i];
                tp_put(&dx[(t * j.k.batch + n) * s.classes + c], sum == 0 ? A(0) : -dloss[n] * sum, add);
            }
            __syncthreads(); /* the next time writes share */
            A *swap = beta;

            beta = after, after = swap;
        }
    }
}

template <class T>
static int ctc(tp_ctx *c, const tp_ctc_args *k, const void *x, const int64_t *labels, const int64_t *times,
               const int64_t *lengths, void *alpha, void *all, void *loss)
{
    typedef tp_acc<T> A;
    tp_ctc<T> j = { *k, (const T *)x, labels, times, lengths, tp_faults_of(c, __func__) };

    return TP_LAUNCH(c, forward_paths<T>, tp_row_blocks(k->batch), tp_row_threads(2 * k->most + 1), j, (A *)alpha, (A *)all, (A *)loss);
}

template <class T>
static int ctc_dx(tp_ctx *c, const tp_ctc_args *k, const void *x, const int64_t *labels, const int64_t *times,
                  const int64_t *lengths, const void *alpha, const void *all, const void *dloss, bool add, void *dx)
{
    typedef tp_acc<T> A;
    tp_ctc<T> j = { *k, (const T *)x, labels, times, lengths, tp_faults_of(c, __func__) };
    int64_t blocks = tp_row_blocks(k->batch);
    A *beta = (A *)tp_scratch(c, (size_t)(blocks * 3 * (2 * k->most + 1) + 1) * sizeof *beta);

    if (!beta) return TP_KERNEL_NO_MEMORY;
    return TP_LAUNCH(c, backward_paths<T>, blocks, tp_row_threads(k->classes), j, (const A *)alpha, (const A *)all,
                     (const A *)dloss, beta, add, (T *)dx);
}

TP_FLOATS(ctc)
TP_FLOATS(ctc_dx)
