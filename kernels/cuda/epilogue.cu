/*
 * epilogue.cu - what follows a product of cuBLAS in a linear layer: bias and activation,
 * in one pass over y.
 */
#include "kernels/cuda/math.cuh"

/* sums: the product alone, dense; where it has y's own dtype it may lie in y, as y does.  NULL: it is 0. */
template <class T>
static __global__ void finish(tp_gemm_args g, bool dense, const tp_acc<T> *sums, T *ys)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x, n = g.batch * g.m * g.n;
    const T *bias = (const T *)g.bias;
    T *preact = (T *)g.preact;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        int64_t col = i % g.n, row = i / g.n;
        int64_t at = row / g.m * g.step_y + row % g.m * g.ldy + col;
        tp_acc<T> v = sums ? sums[dense ? i : at] : 0;

        if (bias) v += tp_load(bias[col]);
        if (preact) tp_put(&preact[at], v);
        tp_put(&ys[at], tp_activate(g.activation, v));
    }
}

template <class T>
static int epilogue(tp_ctx *c, const tp_gemm_args *g, const void *sums, void *y)
{
    return TP_LAUNCH(c, finish<T>, tp_blocks(g->batch * g->m * g->n), TP_THREADS, *g,
                     sums != y, (const tp_acc<T> *)sums, (T *)y);
}

extern "C" {
int tp_cuda_epilogue_f32(tp_ctx *c, const tp_gemm_args *g, const void *sums, void *y)
{
    return epilogue<float>(c, g, sums, y);
}

int tp_cuda_epilogue_f64(tp_ctx *c, const tp_gemm_args *g, const void *sums, void *y)
{
    return epilogue<double>(c, g, sums, y);
}

int tp_cuda_epilogue_bf16(tp_ctx *c, const tp_gemm_args *g, const void *sums, void *y)
{
    return epilogue<tp_bf16>(c, g, sums, y);
}
int tp_cuda_epilogue_f16(tp_ctx *c, const tp_gemm_args *g, const void *sums, void *y)
{
    return epilogue<tp_f16>(c, g, sums, y);
}
}
