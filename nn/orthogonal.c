/*
 * orthogonal.c - the orthonormal factor of a matrix of normal numbers.
 *
 * x = q r by Householder's reflections, in double and in a fixed order, with contraction off: the
 * same bits everywhere.  The signs are those that make the diagonal of r positive, which makes q
 * uniform among all orthonormal matrices (Mezzadri 2007) and unique for an x.  Columns are taken a
 * panel at a time, which stays in the cache while all reflections pass over it.
 */
#include "nn/internal.h"

#include <math.h>
#include <string.h>

enum { PANEL = 32 };

typedef struct factoring {
    float *x; /* (rows, cols), rows >= cols: x[r by_row + c by_col] */
    int64_t rows, cols, by_row, by_col;
    double *v;           /* (cols, rows): reflection j is 1 - beta[j] v[j] v[j]', from row j on */
    double *panel;       /* (rows, PANEL) */
    double *beta, *sign; /* (cols) */
} factoring;

/* panel = (1 - beta v v') panel, with reflection j */
static void reflect(const factoring *k, int64_t j)
{
    const double *v = k->v + j * k->rows;
    double w[PANEL] = { 0 };

    for (int64_t r = j; r < k->rows; r++)
        for (int c = 0; c < PANEL; c++)
            w[c] += v[r] * k->panel[r * PANEL + c];
    for (int64_t r = j; r < k->rows; r++) {
        double s = k->beta[j] * v[r];

        for (int c = 0; c < PANEL; c++)
            k->panel[r * PANEL + c] -= s * w[c];
    }
}

/* Reflection j takes column j, which is column c of the panel, onto its diagonal. */
static void make_reflection(factoring *k, int64_t j, int c)
{
    double *v = k->v + j * k->rows, square = 0, norm;

    for (int64_t r = j; r < k->rows; r++)
        v[r] = k->panel[r * PANEL + c], square += v[r] * v[r];
    norm = sqrt(square);
    k->sign[j] = v[j] > 0 ? -1 : 1; /* of the diagonal: no cancellation */
    square += norm * fabs(v[j]);    /* half of v' v with the new v[j] */
    v[j] -= k->sign[j] * norm;
    k->beta[j] = square > 0 ? 1 / square : 0;
}

static int columns_from(const factoring *k, int64_t first)
{
    return k->cols - first < PANEL ? (int)(k->cols - first) : PANEL;
}

static void make_reflections(factoring *k)
{
    for (int64_t first = 0; first < k->cols; first += PANEL) {
        int n = columns_from(k, first);

        for (int64_t r = 0; r < k->rows; r++)
            for (int c = 0; c < PANEL; c++)
                k->panel[r * PANEL + c] = c < n ? k->x[r * k->by_row + (first + c) * k->by_col] : 0;
        for (int64_t j = 0; j < first; j++)
            reflect(k, j);
        for (int c = 0; c < n; c++)
            make_reflection(k, first + c, c), reflect(k, first + c);
    }
}

/* x = gain q: all reflections, the last first, of the columns of an identity with the signs. */
static void make_factor(const factoring *k, double gain)
{
    for (int64_t first = 0; first < k->cols; first += PANEL) {
        int n = columns_from(k, first);

        memset(k->panel, 0, sizeof *k->panel * (size_t)k->rows * PANEL);
        for (int c = 0; c < n; c++)
            k->panel[(first + c) * PANEL + c] = k->sign[first + c];
        for (int64_t j = first + n - 1; j >= 0; j--)
            reflect(k, j);
        for (int64_t r = 0; r < k->rows; r++)
            for (int c = 0; c < n; c++)
                k->x[r * k->by_row + (first + c) * k->by_col] =
                    (float)(gain * k->panel[r * PANEL + c]);
    }
}

bool tp__orthonormal(float *x, int64_t rows, int64_t cols, double gain)
{
    bool wide = rows < cols; /* then its transpose is factored */
    factoring k = { .x = x, .rows = rows, .cols = cols, .by_row = cols, .by_col = 1 };
    size_t bytes;

    if (wide) k = (factoring){ .x = x, .rows = cols, .cols = rows, .by_row = 1, .by_col = cols };
    bytes = sizeof(double) * (size_t)(k.cols * k.rows + k.rows * PANEL + 2 * k.cols);
    if (!(k.v = tp__alloc(bytes))) return false;
    k.panel = k.v + k.cols * k.rows, k.beta = k.panel + k.rows * PANEL, k.sign = k.beta + k.cols;
    make_reflections(&k), make_factor(&k, gain);
    tp__release(k.v, bytes);
    return true;
}
