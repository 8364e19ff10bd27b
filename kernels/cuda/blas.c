/*
 * blas.c - products: by cuBLASLt, bias and activation in the same kernel where it offers that
 * and rounds once, else in one of ours that follows.
 */
#include "kernels/cuda/lt.h"

typedef int epilogue(tp_ctx *c, const tp_gemm_args *g, const void *sums, void *y);

typedef struct kind {
    cudaDataType type, sums; /* of the operands; in which products are summed */
    size_t bytes;            /* of a sum */
    epilogue *finish;
} kind;

static const kind kinds[TP_DTYPES] = {
    [TP_F32] = { CUDA_R_32F, CUDA_R_32F, 4, tp_cuda_epilogue_f32 },
    [TP_F64] = { CUDA_R_64F, CUDA_R_64F, 8, tp_cuda_epilogue_f64 },
    [TP_BF16] = { CUDA_R_16BF, CUDA_R_32F, 4, tp_cuda_epilogue_bf16 },
    [TP_F16] = { CUDA_R_16F, CUDA_R_32F, 4, tp_cuda_epilogue_f16 },
};

/* ---- what cuBLASLt can do in one kernel ---- */

static bool plain(const tp_gemm_args *g)
{
    return !g->bias && !g->preact && g->activation == TP_LINEAR;
}

/* Its GELU is the one with tanh.  What its ReLU makes of NaN isn't documented: ours keeps it. */
static bool fuses(const tp_gemm_args *g)
{
    bool in_eights = g->ldy % 8 == 0 && (g->batch == 1 || g->step_y % 8 == 0);

    if (g->activation == TP_LINEAR) return !g->preact;
    return g->activation == TP_GELU_TANH && (!g->preact || in_eights);
}

static cublasLtEpilogue_t epilogue_of(const tp_gemm_args *g)
{
    int e = g->bias ? CUBLASLT_EPILOGUE_BIAS : 0;

    if (g->sums) return CUBLASLT_EPILOGUE_BGRADB;
    if (g->slope_at) return CUBLASLT_EPILOGUE_DGELU;
    if (g->activation == TP_GELU_TANH)
        e |= g->preact ? CUBLASLT_EPILOGUE_GELU_AUX : CUBLASLT_EPILOGUE_GELU;
    return e ? (cublasLtEpilogue_t)e : CUBLASLT_EPILOGUE_DEFAULT;
}

/* ---- running it ---- */

/* One request for scratch: `before` bytes, which take the product, and cuBLAS's workspace. */
static int run(tp_ctx *c, tp_lt *p, size_t before)
{
    int failed = tp_lt_find(c, p);
    char *scratch;

    if (failed) return failed;
    scratch = tp_cuda_scratch(c, tp_cuda_rounded(before) + p->workspace);
    if (!scratch) return TP_KERNEL_NO_MEMORY;
    if (before) p->y = scratch;
    return tp_lt_run(c, p, scratch + tp_cuda_rounded(before));
}

static int fused(tp_ctx *c, const tp_gemm_args *g, const kind *k, const void *a,
                 const void *b, void *y)
{
    tp_lt p = { .g = g,
                .a = a,
                .b = b,
                .y = y,
                .type = k->type,
                .type_y = k->type,
                .epilogue = epilogue_of(g) };

    p.vector = g->sums ? g->sums : (void *)g->bias;
    p.aux = g->slope_at ? (void *)g->slope_at : g->preact;
    return run(c, &p, 0);
}

/* Rounded once, after bias and activation: halves are summed in scratch. */
static int followed(tp_ctx *c, const tp_gemm_args *g, const kind *k, const void *a,
                    const void *b, void *y)
{
    bool inside = k->type == k->sums;
    tp_gemm_args dense = *g;
    tp_lt p = { .g = inside ? g : &dense,
                .a = a,
                .b = b,
                .y = inside ? y : NULL,
                .type = k->type,
                .type_y = k->sums,
                .epilogue = CUBLASLT_EPILOGUE_DEFAULT };
    int failed;

    dense.ldy = g->n, dense.step_y = g->m * g->n;
    failed = run(c, &p, inside ? 0 : (size_t)(g->batch * g->m * g->n) * k->bytes);
    return failed ? failed : k->finish(c, g, p.y, y);
}

static int none(tp_ctx *c, const tp_gemm_args *g)
{
    return tp__kernel_error(
        c, "matmul: cuBLAS has none for %lld of (%lld, %lld) by (%lld, %lld)",
        (long long)g->batch, (long long)g->m, (long long)g->k, (long long)g->k,
        (long long)g->n);
}

static int gemm(tp_ctx *c, const tp_gemm_args *g, const kind *k, const void *a,
                const void *b, void *y)
{
    int status = TP_NO_KERNEL;

    ((tp_cuda *)c->handles)->last = "matmul";
    if (g->sums || g->slope_at)
        return g->m && g->n && g->k ? fused(c, g, k, a, b, y) : TP_NO_KERNEL;
    if (g->batch == 0 || g->m == 0 || g->n == 0 || (g->k == 0 && g->add)) return 0;
    if (g->k == 0) return k->finish(c, g, NULL, y);
    if (fuses(g)) status = fused(c, g, k, a, b, y);
    if (status == TP_NO_KERNEL && !plain(g)) status = followed(c, g, k, a, b, y);
    return status == TP_NO_KERNEL ? none(c, g) : status;
}

int tp_lt_find_steps(tp_ctx *c, tp_dtype t, const tp_gemm_args *g, const void *b, tp_lt *p)
{
    int failed;

    *p = (tp_lt){ .g = g,
                  .b = b,
                  .type = kinds[t].type,
                  .type_y = kinds[t].type,
                  .epilogue = CUBLASLT_EPILOGUE_DEFAULT };
    failed = tp_lt_find(c, p);
    return failed == TP_NO_KERNEL ? none(c, g) : failed;
}

/* ---- the slot ---- */

static int gemm_f32(tp_ctx *c, const tp_gemm_args *g, const void *a, const void *b,
                    void *y)
{
    return gemm(c, g, &kinds[TP_F32], a, b, y);
}

static int gemm_f64(tp_ctx *c, const tp_gemm_args *g, const void *a, const void *b,
                    void *y)
{
    return gemm(c, g, &kinds[TP_F64], a, b, y);
}

static int gemm_bf16(tp_ctx *c, const tp_gemm_args *g, const void *a, const void *b,
                     void *y)
{
    return gemm(c, g, &kinds[TP_BF16], a, b, y);
}

static int gemm_f16(tp_ctx *c, const tp_gemm_args *g, const void *a, const void *b,
                    void *y)
{
    return gemm(c, g, &kinds[TP_F16], a, b, y);
}

extern tp__fn_gemm *const tp_cuda_gemm[TP_DTYPES];
tp__fn_gemm *const tp_cuda_gemm[TP_DTYPES] = {
    [TP_F32] = gemm_f32,
    [TP_F64] = gemm_f64,
    [TP_BF16] = gemm_bf16,
    [TP_F16] = gemm_f16,
};
