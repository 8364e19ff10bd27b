/*
 * orthogonal.c - the orthonormal factor of a matrix of normal numbers.
 *
 * a = q r by Householder's reflections, in double and in a fixed order, with contraction off: the
 * same bits everywhere.  The signs are those that make the diagonal of r positive, which makes q
 * uniform among all orthonormal matrices (Mezzadri 2007) and unique for an a.
 */
#include "nn/internal.h"

#include <math.h>
#include <string.h>

/* A matrix (rows, cols), rows >= cols, and room for what reflects it. */
typedef struct factoring {
    int64_t rows, cols;
    double *a, *q;           /* (rows, cols); below and on a's diagonal: the reflections' vectors */
    double *beta, *sign, *w; /* (cols) */
    double *v;               /* (rows) */
} factoring;

/* m -= beta v (v' m), in the rows and columns from these on */
static void reflect(const factoring *k, double *m, int64_t top, int64_t left, double beta)
{
    memset(k->w, 0, sizeof *k->w * (size_t)k->cols);
    for (int64_t r = top; r < k->rows; r++)
        for (int64_t c = left; c < k->cols; c++)
            k->w[c] += k->v[r] * m[r * k->cols + c];
    for (int64_t r = top; r < k->rows; r++) {
        double s = beta * k->v[r];

        for (int64_t c = left; c < k->cols; c++)
            m[r * k->cols + c] -= s * k->w[c];
    }
}

/* The vector that reflects column c onto its diagonal. */
static void make_vector(factoring *k, int64_t c)
{
    double square = 0, norm;

    for (int64_t r = c; r < k->rows; r++)
        k->v[r] = k->a[r * k->cols + c], square += k->v[r] * k->v[r];
    norm = sqrt(square);
    k->sign[c] = k->v[c] > 0 ? -1 : 1; /* of the diagonal: no cancellation */
    square += norm * fabs(k->v[c]);    /* half of v' v with the new v[c] */
    k->v[c] -= k->sign[c] * norm;
    k->beta[c] = square > 0 ? 1 / square : 0;
    for (int64_t r = c; r < k->rows; r++)
        k->a[r * k->cols + c] = k->v[r];
}

static void factor(factoring *k)
{
    for (int64_t c = 0; c < k->cols; c++) {
        make_vector(k, c);
        reflect(k, k->a, c, c + 1, k->beta[c]);
    }
    for (int64_t c = 0; c < k->cols; c++)
        k->q[c * k->cols + c] = k->sign[c];
    for (int64_t c = k->cols - 1; c >= 0; c--) {
        for (int64_t r = c; r < k->rows; r++)
            k->v[r] = k->a[r * k->cols + c];
        reflect(k, k->q, c, c, k->beta[c]);
    }
}

bool tp__orthonormal(float *x, int64_t rows, int64_t cols, double gain)
{
    bool wide = rows < cols; /* then its transpose is factored */
    factoring k = { .rows = wide ? cols : rows, .cols = wide ? rows : cols };
    size_t n = (size_t)rows * (size_t)cols,
           bytes = (2 * n + 3 * (size_t)k.cols + (size_t)k.rows) * sizeof(double);
    double *room = tp__alloc_zeroed(bytes);

    if (!room) return false;
    k.a = room, k.q = k.a + n, k.beta = k.q + n, k.sign = k.beta + k.cols, k.w = k.sign + k.cols,
    k.v = k.w + k.cols;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            k.a[wide ? c * rows + r : r * cols + c] = x[r * cols + c];
    factor(&k);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            x[r * cols + c] = (float)(gain * k.q[wide ? c * rows + r : r * cols + c]);
    tp__release(room, bytes);
    return true;
}
