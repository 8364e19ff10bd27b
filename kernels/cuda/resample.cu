/*
 * resample.cu - averages over windows and resizing of channels-last maps, and their adjoint; resample.h
 * has the maps.
 */
#include "kernels/cuda/taps.cuh"

template <class T> static __global__ void gather_taps(tp_resample g, int64_t n, const T *x, bool add, T *y)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        int64_t c = i % g.C, w = i / g.C % g.w.out, h = i / g.C / g.w.out % g.h.out, image = i / g.C / g.w.out / g.h.out;
        tp_taps th = tp_resample_taps(&g.h, h), tw = tp_resample_taps(&g.w, w);
        tp_acc<T> sum = 0;

        for (int64_t a = th.from; a < th.from + th.count; a++) {
            tp_acc<T> row = 0;

            for (int64_t b = tw.from; b < tw.from + tw.count; b++)
                row += tp_acc<T>(b == tw.from ? tw.first : tw.rest) * tp_load(x[((image * g.h.n + a) * g.w.n + b) * g.C + c]);
            sum += tp_acc<T>(a == th.from ? th.first : th.rest) * row;
        }
        tp_put(&y[i], sum / tp_acc<T>(th.over * tw.over), add);
    }
}

template <class T> static __global__ void gather_results(tp_resample g, int64_t n, const T *dy, bool add, T *dx)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        int64_t c = i % g.C, w = i / g.C % g.w.n, h = i / g.C / g.w.n % g.h.n, image = i / g.C / g.w.n / g.h.n;
        tp_reach rh = tp_reached(&g.h, h), rw = tp_reached(&g.w, w);
        tp_acc<T> sum = 0;

        for (int64_t a = rh.from; a < rh.end; a++) {
            tp_acc<T> row = 0;

            for (int64_t b = rw.from; b < rw.end; b++)
                row += tp_acc<T>(tp_share(tp_resample_taps(&g.w, b), w)) *
                       tp_load(dy[((image * g.h.out + a) * g.w.out + b) * g.C + c]);
            sum += tp_acc<T>(tp_share(tp_resample_taps(&g.h, a), h)) * row;
        }
        tp_put(&dx[i], sum, add);
    }
}

template <class T> static int resample2d(tp_ctx *c, const tp_resample *g, const void *x, bool add, void *y)
{
    int64_t n = g->N * g->h.out * g->w.out * g->C;

    return TP_LAUNCH(c, gather_taps<T>, tp_blocks(n), TP_THREADS, *g, n, (const T *)x, add, (T *)y);
}

template <class T> static int resample2d_dx(tp_ctx *c, const tp_resample *g, const void *dy, bool add, void *dx)
{
    int64_t n = g->N * g->h.n * g->w.n * g->C;

    return TP_LAUNCH(c, gather_results<T>, tp_blocks(n), TP_THREADS, *g, n, (const T *)dy, add, (T *)dx);
}

TP_FLOATS(resample2d)
TP_FLOATS(resample2d_dx)
