/*
 * blas.c - products by cuBLAS.
 *
 * cuBLAS is column-major: a row-major matrix is its transpose there, so Y = A B is computed
 * as Y' = B' A' with nothing moved.  Bias and activation follow in one kernel of ours.
 */
#include "kernels/cuda/cuda.h"

#include <cublas_v2.h>
#include <limits.h>

typedef int epilogue(tp_ctx *c, const tp_gemm_args *g, const void *sums, void *y);

typedef struct kind {
    cudaDataType type;
    cublasComputeType_t compute;
    epilogue *finish;
} kind;

static bool fits(const tp_gemm_args *g)
{
    int64_t sizes[] = { g->batch, g->m, g->n, g->k, g->lda, g->ldb, g->ldy };

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] > INT_MAX) return false;
    return true;
}

/* cuBLAS checks leading dimensions also where there is at most one row. */
static int leading(int64_t ld, int64_t cols)
{
    return (int)(ld > cols ? ld : cols > 1 ? cols : 1);
}

/* type_y: k's type, or f32, in which products of halves are summed. */
static cublasStatus_t product(tp_ctx *c, const tp_gemm_args *g, const kind *k,
                              const void *a, const void *b, cudaDataType type_y, void *y)
{
    tp_cuda *h = c->handles;
    float one32 = 1, beta32 = g->add;
    double one64 = 1, beta64 = g->add;
    bool wide = k->type == CUDA_R_64F, tf32 = c->tf32 && k->type == CUDA_R_32F;

    return cublasGemmStridedBatchedEx(
        h->blas, g->tb ? CUBLAS_OP_T : CUBLAS_OP_N, g->ta ? CUBLAS_OP_T : CUBLAS_OP_N,
        (int)g->n, (int)g->m, (int)g->k, wide ? (void *)&one64 : (void *)&one32, b,
        k->type, leading(g->ldb, g->tb ? g->k : g->n), g->step_b, a, k->type,
        leading(g->lda, g->ta ? g->m : g->k), g->step_a,
        wide ? (void *)&beta64 : (void *)&beta32, y, type_y, leading(g->ldy, g->n),
        g->step_y, (int)g->batch, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : k->compute,
        CUBLAS_GEMM_DEFAULT);
}

static int gemm(tp_ctx *c, const tp_gemm_args *g, const kind *k, const void *a,
                const void *b, void *y)
{
    bool plain = !g->bias && !g->preact && g->activation == TP_LINEAR;
    cudaError_t e = cudaSetDevice(c->index);
    cudaDataType type_y = k->type;
    tp_gemm_args whole = *g;
    void *sums = y;
    cublasStatus_t status;

    if (e) return tp_cuda_error(c, "matmul", e);
    ((tp_cuda *)c->handles)->last = "matmul";
    if (g->batch == 0 || g->m == 0 || g->n == 0) return 0;
    if (!fits(g))
        return tp__kernel_error(c, "matmul: cuBLAS takes sizes up to %d", INT_MAX);
    if (!plain && k->compute == CUBLAS_COMPUTE_32F && k->type != CUDA_R_32F) { /* rounded once, after bias and activation */
        sums = tp_scratch(c, (size_t)(g->batch * g->m * g->n) * sizeof(float));
        if (!sums) return TP_KERNEL_NO_MEMORY;
        whole.ldy = g->n, whole.step_y = g->m * g->n, type_y = CUDA_R_32F;
    }
    status = product(c, &whole, k, a, b, type_y, sums);
    if (status != CUBLAS_STATUS_SUCCESS)
        return tp__kernel_error(c, "matmul: cuBLAS: %s", cublasGetStatusString(status));
    return plain ? 0 : k->finish(c, g, sums, y);
}

/* ---- the slot ---- */

static int gemm_f32(tp_ctx *c, const tp_gemm_args *g, const void *a, const void *b,
                    void *y)
{
    static const kind k = { CUDA_R_32F, CUBLAS_COMPUTE_32F, tp_cuda_epilogue_f32 };

    return gemm(c, g, &k, a, b, y);
}

static int gemm_f64(tp_ctx *c, const tp_gemm_args *g, const void *a, const void *b,
                    void *y)
{
    static const kind k = { CUDA_R_64F, CUBLAS_COMPUTE_64F, tp_cuda_epilogue_f64 };

    return gemm(c, g, &k, a, b, y);
}

static int gemm_bf16(tp_ctx *c, const tp_gemm_args *g, const void *a, const void *b,
                     void *y)
{
    static const kind k = { CUDA_R_16BF, CUBLAS_COMPUTE_32F, tp_cuda_epilogue_bf16 };

    return gemm(c, g, &k, a, b, y);
}

static int gemm_f16(tp_ctx *c, const tp_gemm_args *g, const void *a, const void *b,
                    void *y)
{
    static const kind k = { CUDA_R_16F, CUBLAS_COMPUTE_32F, tp_cuda_epilogue_f16 };

    return gemm(c, g, &k, a, b, y);
}

extern tp__fn_gemm *const tp_cuda_gemm[TP_DTYPES];
tp__fn_gemm *const tp_cuda_gemm[TP_DTYPES] = {
    [TP_F32] = gemm_f32,
    [TP_F64] = gemm_f64,
    [TP_BF16] = gemm_bf16,
    [TP_F16] = gemm_f16,
};
