/*
 * blas.c - stand-in for cuBLAS: real prototypes, OpenBLAS's numbers.
 *
 * A product is queued on the handle's stream and runs late.  Every operand's range must lie
 * in one live allocation and be initialized; arguments that cuBLAS refuses are refused.
 */
#include "kernels/cpu/half.h"
#include "tests/cudasim/cudasim.h"

#include <cblas.h>
#include <cublas_v2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct cublasContext {
    cudaStream_t stream;
};

cublasStatus_t cublasCreate_v2(cublasHandle_t *h)
{
    *h = calloc(1, sizeof **h);
    return *h ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t h)
{
    free(h);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t h, cudaStream_t stream)
{
    h->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusString(cublasStatus_t s)
{
    return s == CUBLAS_STATUS_SUCCESS         ? "success"
           : s == CUBLAS_STATUS_INVALID_VALUE ? "an invalid value"
                                              : "not supported";
}

/* ---- one product, column-major: C (m, n) = alpha op(A) op(B) + beta C ---- */

typedef struct product {
    bool ta, tb, tf32;
    int m, n, k, lda, ldb, ldc, batch;
    long long step_a, step_b, step_c;
    cudaDataType type, type_c;
    double alpha, beta;
    const char *a, *b;
    char *c;
} product;

static size_t size_of(cudaDataType t)
{
    return t == CUDA_R_64F ? 8 : t == CUDA_R_32F ? 4 : 2;
}

/* Columns of a matrix of (rows, cols), ld apart. */
static void each_column(const char *p, int rows, int cols, int ld, size_t size,
                        const char *who, void check(const void *, size_t, const char *))
{
    for (int j = 0; j < cols && rows; j++)
        check(p + (size_t)j * (size_t)ld * size, (size_t)rows * size, who);
}

/* To the nearest of 10 bits of fraction; what a GPU does with the rest isn't documented. */
static float tf32_of(float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    bits = (bits + 0x1000) & 0xFFFFE000u;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static float narrow_at(cudaDataType t, const void *p, size_t i)
{
    if (t == CUDA_R_32F) return tf32_of(((const float *)p)[i]);
    return t == CUDA_R_16BF ? tp_bf16_to_f32(((const tp_bf16 *)p)[i]) : tp_f16_to_f32(((const tp_f16 *)p)[i]);
}

static void put_half(cudaDataType t, void *p, size_t i, float v)
{
    if (t == CUDA_R_16BF) ((tp_bf16 *)p)[i] = tp_bf16_of(v);
    else ((tp_f16 *)p)[i] = tp_f16_of(v);
}

static size_t place(bool t, int row, int col, int ld)
{
    return t ? (size_t)row * (size_t)ld + (size_t)col
             : (size_t)col * (size_t)ld + (size_t)row;
}

static void narrow_gemm(const product *g, const char *a, const char *b, char *c)
{
    for (int j = 0; j < g->n; j++)
        for (int i = 0; i < g->m; i++) {
            size_t at = place(false, i, j, g->ldc);
            float *wide = (float *)(void *)c + at;
            double sum = 0;

            for (int k = 0; k < g->k; k++)
                sum += (double)narrow_at(g->type, a, place(g->ta, i, k, g->lda)) *
                       (double)narrow_at(g->type, b, place(g->tb, k, j, g->ldb));
            sum *= g->alpha;
            if (g->beta != 0) sum += g->beta * (double)(g->type_c == CUDA_R_32F ? *wide : narrow_at(g->type, c, at));
            if (g->type_c == CUDA_R_32F) *wide = (float)sum;
            else put_half(g->type, c, at, (float)sum);
        }
}

static void gemm(const product *g, const char *a, const char *b, char *c)
{
    CBLAS_TRANSPOSE ta = g->ta ? CblasTrans : CblasNoTrans,
                    tb = g->tb ? CblasTrans : CblasNoTrans;

    if (g->type == CUDA_R_16BF || g->type == CUDA_R_16F || g->tf32)
        narrow_gemm(g, a, b, c);
    else if (g->type == CUDA_R_32F)
        cblas_sgemm(CblasColMajor, ta, tb, g->m, g->n, g->k, (float)g->alpha,
                    (const void *)a, g->lda, (const void *)b, g->ldb, (float)g->beta,
                    (void *)c, g->ldc);
    else
        cblas_dgemm(CblasColMajor, ta, tb, g->m, g->n, g->k, g->alpha, (const void *)a,
                    g->lda, (const void *)b, g->ldb, g->beta, (void *)c, g->ldc);
}

static void run(void *argument)
{
    const product *g = argument;
    size_t size = size_of(g->type), size_c = size_of(g->type_c);

    for (int i = 0; i < g->batch; i++) {
        const char *a = g->a + i * g->step_a * (long long)size;
        const char *b = g->b + i * g->step_b * (long long)size;
        char *c = g->c + i * g->step_c * (long long)size_c;

        each_column(a, g->ta ? g->k : g->m, g->ta ? g->m : g->k, g->lda, size, "gemm's A",
                    cudasim_reads);
        each_column(b, g->tb ? g->n : g->k, g->tb ? g->k : g->n, g->ldb, size, "gemm's B",
                    cudasim_reads);
        if (g->beta != 0)
            each_column(c, g->m, g->n, g->ldc, size_c, "gemm's C", cudasim_reads);
        each_column(c, g->m, g->n, g->ldc, size_c, "gemm's C", cudasim_writes);
        if (cudasim_faults() == 0) gemm(g, a, b, c);
    }
}

static double number(const void *p, cublasComputeType_t compute)
{
    return compute == CUBLAS_COMPUTE_64F ? *(const double *)p : (double)*(const float *)p;
}

/* The documented bound of a leading dimension. */
static bool leads(int ld, int rows)
{
    return ld >= (rows > 1 ? rows : 1);
}

cublasStatus_t cublasGemmStridedBatchedEx(
    cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
    const void *alpha, const void *a, cudaDataType type_a, int lda, long long step_a,
    const void *b, cudaDataType type_b, int ldb, long long step_b, const void *beta,
    void *c, cudaDataType type_c, int ldc, long long step_c, int batch,
    cublasComputeType_t compute, cublasGemmAlgo_t algo)
{
    product g = { .ta = ta != CUBLAS_OP_N,
                  .tb = tb != CUBLAS_OP_N,
                  .m = m,
                  .n = n,
                  .k = k,
                  .lda = lda,
                  .ldb = ldb,
                  .ldc = ldc,
                  .batch = batch,
                  .step_a = step_a,
                  .step_b = step_b,
                  .step_c = step_c,
                  .type = type_a,
                  .type_c = type_c,
                  .a = a,
                  .b = b,
                  .c = c };
    bool wide = type_a == CUDA_R_64F;

    (void)algo;
    if (m < 0 || n < 0 || k < 0 || batch < 0 || !leads(lda, g.ta ? k : m) ||
        !leads(ldb, g.tb ? n : k) || !leads(ldc, m))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (type_a != type_b || (type_a != type_c && ((type_a != CUDA_R_16BF && type_a != CUDA_R_16F) || type_c != CUDA_R_32F)) || wide != (compute == CUBLAS_COMPUTE_64F))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    g.tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    if (g.tf32 && type_a != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (m == 0 || n == 0 || batch == 0) return CUBLAS_STATUS_SUCCESS;
    g.alpha = number(alpha, compute), g.beta = number(beta, compute);
    return cudasim_enqueue(h->stream, run, &g, sizeof g) ? CUBLAS_STATUS_EXECUTION_FAILED
                                                         : CUBLAS_STATUS_SUCCESS;
}
