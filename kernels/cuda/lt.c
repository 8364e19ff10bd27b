/*
 * lt.c - one product by cuBLASLt: its description, the search for an algorithm, the call.
 *
 * The search is cuBLAS's own and kept in its cache.  Products split along k may meet in a
 * workspace of sums alone, not in y: so they are rounded to y's type once, and in one order.
 */
#include "kernels/cuda/lt.h"

#include <limits.h>

/* cuBLAS checks leading dimensions also where there is at most one row. */
static int64_t leading(int64_t ld, int64_t cols)
{
    return ld > cols ? ld : cols > 1 ? cols : 1;
}

static cublasStatus_t lay(cublasLtMatrixLayout_t l, cudaDataType type, int64_t rows,
                          int64_t cols, int64_t ld, const tp_gemm_args *g, int64_t step)
{
    int32_t count = (int32_t)g->batch;
    cublasStatus_t s = cublasLtMatrixLayoutInit(l, type, (uint64_t)cols, (uint64_t)rows,
                                                leading(ld, cols));

    if (!s)
        s = cublasLtMatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                             &count, sizeof count);
    if (!s)
        s = cublasLtMatrixLayoutSetAttribute(
            l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step);
    return s;
}

static cublasStatus_t lay_all(tp_lt *p)
{
    const tp_gemm_args *g = p->g;
    cublasStatus_t s = lay(&p->la, p->type, g->ta ? g->k : g->m, g->ta ? g->m : g->k,
                           g->lda, g, g->step_a);

    if (!s)
        s = lay(&p->lb, p->type, g->tb ? g->n : g->k, g->tb ? g->k : g->n, g->ldb, g,
                g->step_b);
    if (!s) s = lay(&p->ly, p->type_y, g->m, g->n, g->ldy, g, g->step_y);
    return s;
}

static cublasStatus_t say(tp_lt *p, cublasLtMatmulDescAttributes_t what,
                          const void *value, size_t bytes)
{
    return cublasLtMatmulDescSetAttribute(&p->op, what, value, bytes);
}

static cublasStatus_t say_epilogue(tp_lt *p)
{
    const tp_gemm_args *g = p->g;
    cublasStatus_t s =
        say(p, CUBLASLT_MATMUL_DESC_EPILOGUE, &p->epilogue, sizeof p->epilogue);

    if (!s && p->vector)
        s = say(p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->vector, sizeof p->vector);
    if (s || !p->aux) return s;
    s = say(p, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &p->aux, sizeof p->aux);
    if (!s) s = say(p, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &g->ldy, sizeof g->ldy);
    if (!s)
        s = say(p, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, &g->step_y,
                sizeof g->step_y);
    return s;
}

static cublasStatus_t describe(tp_ctx *c, tp_lt *p)
{
    cublasComputeType_t compute = p->type == CUDA_R_64F ? CUBLAS_COMPUTE_64F
                                  : c->tf32 && p->type == CUDA_R_32F
                                      ? CUBLAS_COMPUTE_32F_FAST_TF32
                                      : CUBLAS_COMPUTE_32F;
    cublasOperation_t first = p->g->tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                      second = p->g->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasStatus_t s = cublasLtMatmulDescInit(
        &p->op, compute, p->type == CUDA_R_64F ? CUDA_R_64F : CUDA_R_32F);

    if (!s) s = say(p, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first);
    if (!s) s = say(p, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second);
    if (!s) s = say_epilogue(p);
    return s ? s : lay_all(p);
}

/* What the address is a multiple of: at most 16, which all tensors are, so that the choice of an
 * algorithm doesn't depend on where a tensor happens to lie. */
static uint32_t alignment(const void *p)
{
    uintptr_t bits = (uintptr_t)p | 16;

    return (uint32_t)(bits & -bits);
}

static cublasStatus_t prefer(const tp_ctx *c, const tp_lt *p,
                             cublasLtMatmulPreferenceOpaque_t *to)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES
    };
    uint32_t by[] = { alignment(p->b), alignment(p->a), alignment(p->y),
                      alignment(p->y) };
    uint32_t sums = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    uint64_t room = ((const tp_cuda *)c->handles)->sm >= 90 ? 32 << 20 : 4 << 20; /* as NVIDIA advises */
    cublasStatus_t s = cublasLtMatmulPreferenceInit(to);

    for (int i = 0; !s && i < 4; i++)
        s = cublasLtMatmulPreferenceSetAttribute(to, alignments[i], &by[i], sizeof by[i]);
    if (!s)
        s = cublasLtMatmulPreferenceSetAttribute(
            to, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &sums, sizeof sums);
    if (!s)
        s = cublasLtMatmulPreferenceSetAttribute(
            to, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof room);
    return s;
}

static int failed(tp_ctx *c, const char *doing, cublasStatus_t s)
{
    tp__kernel_error(c, "cuBLAS, %s: %s", doing, cublasLtGetStatusString(s));
    return s == CUBLAS_STATUS_ALLOC_FAILED ? TP_KERNEL_NO_MEMORY : TP_DEVICE_FAILED;
}

/* As tp_cuda_again. */
static bool again(tp_ctx *c, cublasStatus_t s)
{
    return s == CUBLAS_STATUS_ALLOC_FAILED && tp_cuda_again(c, cudaErrorMemoryAllocation);
}

static cublasStatus_t ask(tp_ctx *c, tp_lt *p, cublasLtMatmulPreferenceOpaque_t *preference,
                          cublasLtMatmulHeuristicResult_t *best, int *found)
{
    return cublasLtMatmulAlgoGetHeuristic(((tp_cuda *)c->handles)->blas, &p->op, &p->lb, &p->la, &p->ly, &p->ly,
                                          preference, 1, best, found);
}

int tp_lt_find(tp_ctx *c, tp_lt *p)
{
    cublasLtMatmulPreferenceOpaque_t preference;
    cublasLtMatmulHeuristicResult_t best = { .state = CUBLAS_STATUS_NOT_SUPPORTED };
    cudaError_t e = cudaSetDevice(c->index); /* or cuBLAS asks another */
    cublasStatus_t s;
    int found = 0;

    if (p->g->batch > INT_MAX) return TP_NO_KERNEL;
    if (e) return tp_cuda_error(c, "matmul", e);
    s = describe(c, p);
    if (!s) s = prefer(c, p, &preference);
    if (s) return failed(c, "describing it", s);
    s = ask(c, p, &preference, &best, &found);
    if (again(c, s)) s = ask(c, p, &preference, &best, &found);
    if (s == CUBLAS_STATUS_NOT_SUPPORTED || s == CUBLAS_STATUS_INVALID_VALUE)
        return TP_NO_KERNEL;
    if (s) return failed(c, "choosing how", s);
    if (!found || best.state) return TP_NO_KERNEL;
    p->algorithm = best.algo, p->workspace = best.workspaceSize;
    return 0;
}

static cublasStatus_t multiply(tp_ctx *c, tp_lt *p, void *workspace)
{
    float one32 = 1, beta32 = p->g->add;
    double one64 = 1, beta64 = p->g->add;
    bool wide = p->type == CUDA_R_64F;

    return cublasLtMatmul(((tp_cuda *)c->handles)->blas, &p->op, wide ? (void *)&one64 : (void *)&one32, p->b, &p->lb,
                          p->a, &p->la, wide ? (void *)&beta64 : (void *)&beta32, p->y, &p->ly, p->y, &p->ly,
                          &p->algorithm, workspace, p->workspace, c->stream);
}

/* A product's first run loads cuBLAS's kernel, which wants memory. */
int tp_lt_run(tp_ctx *c, tp_lt *p, void *workspace)
{
    cublasStatus_t s = multiply(c, p, workspace);

    if (again(c, s)) s = multiply(c, p, workspace);
    return s ? failed(c, "running it", s) : 0;
}
