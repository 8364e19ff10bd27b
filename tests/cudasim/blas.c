/*
 * blas.c - stand-in for cuBLASLt: real prototypes, OpenBLAS's numbers.
 *
 * A product is queued on the stream and runs late.  Every operand's range must lie in one live
 * allocation and be initialized, the workspace is scribbled on, what cuBLAS refuses is refused,
 * and what it was told of alignments must be so.  Where it may sum in y, as a program that wants
 * the same bits must not let it, the result is NaN.
 */
#include "tests/cudasim/cudasim.h"
#include "tests/cudasim/numbers.h"

#include <cblas.h>
#include <cublasLt.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- what lies in cuBLAS's opaque structs ---- */

typedef struct op {
    cublasComputeType_t compute;
    cublasOperation_t ta, tb;
    cublasLtEpilogue_t epilogue;
    char *vector, *aux;
    int64_t aux_ld, aux_step;
} op;

typedef struct layout {
    cudaDataType type;
    int32_t batch;
    int64_t rows, cols, ld, step;
} layout;

typedef struct preference {
    uint64_t room;
    uint32_t schemes, align[4]; /* of A, B, C, D */
} preference;

typedef struct algorithm {
    bool in_place;
    uint32_t align[4];
    uint64_t workspace, problem; /* of which it was chosen: a sum of its sizes */
} algorithm;

_Static_assert(sizeof(op) <= sizeof(cublasLtMatmulDescOpaque_t), "it fits");
_Static_assert(sizeof(layout) <= sizeof(cublasLtMatrixLayoutOpaque_t), "it fits");
_Static_assert(sizeof(preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t), "it fits");
_Static_assert(sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t), "it fits");

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t d, size_t size,
                                               cublasComputeType_t compute,
                                               cudaDataType_t scale)
{
    op o = { .compute = compute,
             .ta = CUBLAS_OP_N,
             .tb = CUBLAS_OP_N,
             .epilogue = CUBLASLT_EPILOGUE_DEFAULT };

    if (size < sizeof o || (scale == CUDA_R_64F) != (compute == CUBLAS_COMPUTE_64F))
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(d, &o, sizeof o);
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t put(void *to, size_t room, const void *from, size_t bytes)
{
    if (room != bytes) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, from, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t a,
                                              const void *v, size_t n)
{
    op *o = (op *)(void *)d;

    switch (a) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return put(&o->ta, sizeof o->ta, v, n);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return put(&o->tb, sizeof o->tb, v, n);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return put(&o->epilogue, sizeof o->epilogue, v, n);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return put(&o->vector, sizeof o->vector, v, n);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
        return put(&o->aux, sizeof o->aux, v, n);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
        return put(&o->aux_ld, sizeof o->aux_ld, v, n);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE:
        return put(&o->aux_step, sizeof o->aux_step, v, n);
    default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t l, size_t size,
                                                 cudaDataType type, uint64_t rows,
                                                 uint64_t cols, int64_t ld)
{
    layout m = {
        .type = type, .batch = 1, .rows = (int64_t)rows, .cols = (int64_t)cols, .ld = ld
    };

    if (size < sizeof m || rows == 0 || cols == 0 || ld < m.rows)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(l, &m, sizeof m);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l,
                                                cublasLtMatrixLayoutAttribute_t a,
                                                const void *v, size_t n)
{
    layout *m = (layout *)(void *)l;

    switch (a) {
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return put(&m->batch, sizeof m->batch, v, n);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return put(&m->step, sizeof m->step, v, n);
    default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t p,
                                                     size_t size)
{
    preference all = { .schemes = CUBLASLT_REDUCTION_SCHEME_MASK,
                       .align = { 256, 256, 256, 256 } };

    if (size < sizeof all) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(p, &all, sizeof all);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t to,
                                     cublasLtMatmulPreferenceAttributes_t a,
                                     const void *v, size_t n)
{
    preference *p = (preference *)(void *)to;

    switch (a) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return put(&p->room, sizeof p->room, v, n);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return put(&p->schemes, sizeof p->schemes, v, n);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return put(&p->align[0], 4, v, n);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return put(&p->align[1], 4, v, n);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return put(&p->align[2], 4, v, n);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return put(&p->align[3], 4, v, n);
    default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

/* ---- handles ---- */

struct cublasLtContext {
    int device;
};

cublasStatus_t cublasLtCreate(cublasLtHandle_t *h)
{
    *h = malloc(sizeof **h);
    if (!*h) return CUBLAS_STATUS_ALLOC_FAILED;
    (*h)->device = cudasim_device();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t h)
{
    free(h);
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasLtGetStatusString(cublasStatus_t s)
{
    return s == CUBLAS_STATUS_SUCCESS         ? "success"
           : s == CUBLAS_STATUS_INVALID_VALUE ? "an invalid value"
                                              : "not supported";
}

/* ---- one product, column-major: D (m, n) = alpha op(A) op(B) + beta C, and its epilogue ---- */

typedef struct product {
    op o;
    layout a, b, d;
    algorithm how;
    double alpha, beta;
    const char *pa, *pb;
    char *pd, *workspace;
} product;

/* Dense columns, in double. */
static double *widened(const layout *l, const char *p, bool tf32)
{
    double *to = malloc(sizeof(double) * (size_t)(l->rows * l->cols));

    for (int64_t j = 0; to && j < l->cols; j++)
        for (int64_t i = 0; i < l->rows; i++) {
            double v = cudasim_get(l->type, p, j * l->ld + i);

            to[j * l->rows + i] = tf32 ? cudasim_tf32(v) : v;
        }
    return to;
}

static double gelu_slope(double x)
{
    double t = tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x));

    return 0.5 * (1 + t) +
           0.5 * x * (1 - t * t) * 0.79788456080286535588 * (1 + 3 * 0.044715 * x * x);
}

/* What becomes of sum (i, j) of a matrix whose aux is at `aux`. */
static double after(const product *g, char *aux, int64_t i, int64_t j, double v)
{
    int e = (int)g->o.epilogue;

    if (e == CUBLASLT_EPILOGUE_DGELU)
        return v * gelu_slope(cudasim_get(g->d.type, aux, j * g->o.aux_ld + i));
    if (e & CUBLASLT_EPILOGUE_BIAS) v += cudasim_get(g->d.type, g->o.vector, i);
    if (e & 128) cudasim_set(g->d.type, aux, j * g->o.aux_ld + i, v);
    if (e & CUBLASLT_EPILOGUE_GELU)
        v = 0.5 * v * (1 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v)));
    return v;
}

static void finish(const product *g, const double *sums, char *d, char *aux)
{
    for (int64_t j = 0; j < g->d.cols; j++)
        for (int64_t i = 0; i < g->d.rows; i++) {
            int64_t at = j * g->d.ld + i;
            double v = g->alpha * sums[j * g->d.rows + i];

            if (g->beta != 0) v += g->beta * cudasim_get(g->d.type, d, at);
            cudasim_set(g->d.type, d, at, g->how.in_place ? (double)NAN : after(g, aux, i, j, v));
        }
}

/* Of op(B)'s columns, one number for each column of D. */
static void sum_columns(const product *g, const double *b, int64_t k)
{
    for (int64_t j = 0; j < g->d.cols; j++) {
        double sum = 0;

        for (int64_t i = 0; i < k; i++)
            sum += g->o.tb ? b[i * g->b.rows + j] : b[j * g->b.rows + i];
        cudasim_set(g->d.type, g->o.vector, j, sum);
    }
}

static void multiply(const product *g, const char *pa, const char *pb, char *pd,
                     char *aux)
{
    bool tf32 = g->o.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    int k = (int)(g->o.ta ? g->a.rows : g->a.cols), m = (int)g->d.rows,
        n = (int)g->d.cols;
    double *a = widened(&g->a, pa, tf32), *b = widened(&g->b, pb, tf32);
    double *sums = malloc(sizeof(double) * (size_t)(g->d.rows * g->d.cols));

    if (!a || !b || !sums) abort();
    cblas_dgemm(CblasColMajor, g->o.ta ? CblasTrans : CblasNoTrans,
                g->o.tb ? CblasTrans : CblasNoTrans, m, n, k, 1, a, (int)g->a.rows, b,
                (int)g->b.rows, 0, sums, m);
    if (g->o.epilogue == CUBLASLT_EPILOGUE_BGRADB) sum_columns(g, b, k);
    finish(g, sums, pd, aux);
    free(a), free(b), free(sums);
}

/* ---- late, on the stream ---- */

typedef void look(const void *, size_t, const char *);

static void each_column(const layout *l, const char *p, int64_t ld, const char *who,
                        look *check)
{
    for (int64_t j = 0; j < l->cols; j++)
        check(p + (size_t)(j * ld) * cudasim_bytes(l->type), (size_t)l->rows * cudasim_bytes(l->type),
              who);
}

static void check_epilogue(const product *g, char *aux)
{
    cublasLtEpilogue_t e = g->o.epilogue;
    size_t size = cudasim_bytes(g->d.type);

    if (e == CUBLASLT_EPILOGUE_BGRADB)
        cudasim_writes(g->o.vector, (size_t)g->d.cols * size, "the product's sums");
    else if (e & CUBLASLT_EPILOGUE_BIAS)
        cudasim_reads(g->o.vector, (size_t)g->d.rows * size, "the product's bias");
    if (e & 128)
        each_column(&g->d, aux, g->o.aux_ld, "the product's aux",
                    e == CUBLASLT_EPILOGUE_DGELU ? cudasim_reads : cudasim_writes);
}

static void run(void *argument)
{
    const product *g = argument;

    cudasim_multiplies((double)g->d.batch * (double)g->d.rows * (double)g->d.cols *
                       (double)(g->o.ta ? g->a.rows : g->a.cols));
    cudasim_writes(g->workspace, g->how.workspace, "the product's workspace");
    if (cudasim_faults() == 0) memset(g->workspace, 0xff, g->how.workspace);
    for (int i = 0; i < g->d.batch; i++) {
        const char *a = g->pa + i * g->a.step * (int64_t)cudasim_bytes(g->a.type);
        const char *b = g->pb + i * g->b.step * (int64_t)cudasim_bytes(g->b.type);
        char *d = g->pd + i * g->d.step * (int64_t)cudasim_bytes(g->d.type);
        char *aux =
            g->o.aux ? g->o.aux + i * g->o.aux_step * (int64_t)cudasim_bytes(g->d.type) : NULL;

        each_column(&g->a, a, g->a.ld, "the product's A", cudasim_reads);
        each_column(&g->b, b, g->b.ld, "the product's B", cudasim_reads);
        if (g->beta != 0)
            each_column(&g->d, d, g->d.ld, "the product's C", cudasim_reads);
        each_column(&g->d, d, g->d.ld, "the product's D", cudasim_writes);
        check_epilogue(g, aux);
        if (cudasim_faults() == 0) multiply(g, a, b, d, aux);
    }
}

/* ---- asking and calling ---- */

static bool fits_epilogue(const product *g)
{
    cublasLtEpilogue_t e = g->o.epilogue;
    bool in_eights =
        g->o.aux_ld % 8 == 0 && g->o.aux_ld >= g->d.rows && g->o.aux_step % 8 == 0;

    if (e == CUBLASLT_EPILOGUE_DEFAULT) return true;
    if (g->d.type == CUDA_R_64F)
        return false; /* as it may be: then kernels of ours follow */
    if ((e & 128) && (!in_eights || !g->o.aux)) return false;
    if (e == CUBLASLT_EPILOGUE_BGRADB)
        return g->o.vector && g->d.batch == 1 && g->d.cols % 2 == 0;
    if (e == CUBLASLT_EPILOGUE_DGELU) return g->beta == 0;
    return !(e & ~(128 | CUBLASLT_EPILOGUE_BIAS | CUBLASLT_EPILOGUE_GELU)) &&
           (!(e & CUBLASLT_EPILOGUE_BIAS) || g->o.vector);
}

static bool fits_types(const product *g)
{
    bool half = g->a.type == CUDA_R_16BF || g->a.type == CUDA_R_16F,
         wide = g->a.type == CUDA_R_64F;
    cublasComputeType_t how = g->o.compute;

    if (how == CUBLAS_COMPUTE_32F_FAST_TF32 && g->a.type != CUDA_R_32F) return false;
    return g->a.type == g->b.type && wide == (how == CUBLAS_COMPUTE_64F) &&
           (g->d.type == g->a.type || (half && g->d.type == CUDA_R_32F));
}

static bool fits_sizes(const product *g)
{
    int64_t m = g->o.ta ? g->a.cols : g->a.rows, k = g->o.ta ? g->a.rows : g->a.cols;
    int64_t n = g->o.tb ? g->b.rows : g->b.cols, kb = g->o.tb ? g->b.cols : g->b.rows;

    return m == g->d.rows && n == g->d.cols && k == kb && g->a.batch == g->d.batch &&
           g->b.batch == g->d.batch;
}

static product gather(cublasLtMatmulDesc_t o, cublasLtMatrixLayout_t a,
                      cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t d)
{
    product g = { 0 };

    memcpy(&g.o, o, sizeof g.o), memcpy(&g.a, a, sizeof g.a);
    memcpy(&g.b, b, sizeof g.b), memcpy(&g.d, d, sizeof g.d);
    return g;
}

static uint64_t problem(const product *g)
{
    return (uint64_t)(g->d.rows + 1000 * g->d.cols +
                      1000000 * (g->o.ta ? g->a.rows : g->a.cols)) +
           ((uint64_t)g->o.epilogue << 48);
}

cublasStatus_t
cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t o,
                               cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                               cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                               cublasLtMatmulPreference_t preferred, int room,
                               cublasLtMatmulHeuristicResult_t to[], int *found)
{
    product g = gather(o, a, b, d);
    const preference *p = (const preference *)(const void *)preferred;
    algorithm how = { .in_place = p->schemes & (CUBLASLT_REDUCTION_SCHEME_INPLACE |
                                                CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE),
                      .workspace = p->room < 768 ? 0 : 768,
                      .problem = problem(&g) };

    *found = 0;
    if (h) cudasim_on_device(h->device, "cublasLtMatmulAlgoGetHeuristic");
    if (!h || room < 1 || !fits_sizes(&g)) return CUBLAS_STATUS_INVALID_VALUE;
    if (!fits_types(&g) || !fits_epilogue(&g) || memcmp(c, d, sizeof(layout)) != 0)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    memcpy(how.align, p->align, sizeof how.align);
    to[0] = (cublasLtMatmulHeuristicResult_t){ .workspaceSize = how.workspace,
                                               .state = CUBLAS_STATUS_SUCCESS };
    memcpy(&to[0].algo, &how, sizeof how);
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

static double number(const void *p, cublasComputeType_t compute)
{
    return compute == CUBLAS_COMPUTE_64F ? *(const double *)p : (double)*(const float *)p;
}

static bool aligned(const void *p, uint32_t by)
{
    return (uintptr_t)p % by == 0;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t o,
                              const void *alpha, const void *a, cublasLtMatrixLayout_t la,
                              const void *b, cublasLtMatrixLayout_t lb, const void *beta,
                              const void *c, cublasLtMatrixLayout_t lc, void *d,
                              cublasLtMatrixLayout_t ld,
                              const cublasLtMatmulAlgo_t *chosen, void *workspace,
                              size_t bytes, cudaStream_t stream)
{
    product g = gather(o, la, lb, ld);

    (void)lc;
    if (h) cudasim_on_device(h->device, "cublasLtMatmul");
    memcpy(&g.how, chosen, sizeof g.how);
    g.pa = a, g.pb = b, g.pd = d, g.workspace = workspace;
    g.alpha = number(alpha, g.o.compute), g.beta = number(beta, g.o.compute);
    if (!h || c != d || !fits_sizes(&g) || !fits_epilogue(&g) ||
        problem(&g) != g.how.problem || bytes < g.how.workspace ||
        !aligned(workspace, 256) || !aligned(a, g.how.align[0]) ||
        !aligned(b, g.how.align[1]) || !aligned(c, g.how.align[2]) ||
        !aligned(d, g.how.align[3]))
        return CUBLAS_STATUS_INVALID_VALUE;
    switch (cudasim_enqueue(stream, run, &g, sizeof g)) {
    case cudaSuccess:
        return CUBLAS_STATUS_SUCCESS;
    case cudaErrorMemoryAllocation:
        return CUBLAS_STATUS_ALLOC_FAILED;
    default:
        return CUBLAS_STATUS_EXECUTION_FAILED;
    }
}
