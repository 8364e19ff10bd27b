/*
 * blas.c - see blas.h.
 *
 * The rows of y are cut into pieces of a fixed height, and each piece is one product by one
 * thread: so the bits don't depend on how many threads there are, only on the processor and
 * the version of OpenBLAS.
 */
#include "kernels/cpu/blas.h"

#include "kernels/cpu/parallel.h"

#include <cblas.h>

/* libgomp's, which OpenBLAS brings along: how many threads the calling thread may start. */
extern int omp_get_max_threads(void) __attribute__((weak));
extern void omp_set_num_threads(int n) __attribute__((weak));

enum { PIECE = 256 };

typedef struct product {
    const tp_gemm_args *g;
    const double *a, *b;
    double *y;
    int64_t pieces; /* of one product of the batch */
} product;

static void one_piece(const product *p, int64_t i)
{
    const tp_gemm_args *g = p->g;
    int64_t at = i / p->pieces, first = i % p->pieces * PIECE, rows = g->m - first;
    const double *a = p->a + at * g->step_a + (g->ta ? first : first * g->lda);

    cblas_dgemm(CblasRowMajor, g->ta ? CblasTrans : CblasNoTrans, g->tb ? CblasTrans : CblasNoTrans,
                (int)(rows < PIECE ? rows : PIECE), (int)g->n, (int)g->k, 1, a, (int)g->lda, p->b + at * g->step_b,
                (int)g->ldb, g->add, p->y + at * g->step_y + first * g->ldy, (int)g->ldy);
}

static void pieces(void *user, int worker, int64_t from, int64_t to)
{
    int threads = omp_get_max_threads ? omp_get_max_threads() : 1;

    (void)worker;
    if (omp_set_num_threads) omp_set_num_threads(1); /* of this thread; put back below */
    for (int64_t i = from; i < to; i++)
        one_piece(user, i);
    if (omp_set_num_threads) omp_set_num_threads(threads);
}

int tp__blas_gemm_f64(tp_ctx *c, const tp_gemm_args *g, const double *a, const double *b, double *y)
{
    product p = { g, a, b, y, (g->m + PIECE - 1) / PIECE };

    tp__parallel(c, g->batch * p.pieces, 1, pieces, &p);
    return 0;
}
