/*
 * eigen.c - eigenvalues and vectors of a symmetric matrix, in f64.
 *
 * Householder's reflections to a tridiagonal matrix, then implicit QL steps: tred2 and tql2 of
 * Bowdler, Martin, Reinsch & Wilkinson (1968), as EISPACK has them.  d becomes the diagonal and then
 * the values, e the numbers beside it; a becomes the vectors, as rows, so that every inner loop
 * walks along memory: a[c n + r] is what the papers call z(r, c).
 */
#include "train/metric.h"

#include <float.h>
#include <math.h>

/* Column i's first i numbers are in d, `scale` times too large: reflects them onto the last. */
static void reflect(double *a, int64_t n, int64_t i, double *d, double *e, double scale)
{
    double h = 0, f, g, hh;

    for (int64_t k = 0; k < i; k++)
        d[k] /= scale, h += d[k] * d[k], e[k] = 0;
    f = d[i - 1], g = f > 0 ? -sqrt(h) : sqrt(h);
    e[i] = scale * g, h -= f * g, d[i - 1] = f - g;
    for (int64_t j = 0; j < i; j++) {
        const double *z = a + j * n;

        f = d[j], a[i * n + j] = f, g = e[j] + z[j] * f;
        for (int64_t k = j + 1; k < i; k++)
            g += z[k] * d[k], e[k] += z[k] * f;
        e[j] = g;
    }
    f = 0;
    for (int64_t j = 0; j < i; j++)
        e[j] /= h, f += e[j] * d[j];
    hh = f / (h + h);
    for (int64_t j = 0; j < i; j++)
        e[j] -= hh * d[j];
    for (int64_t j = 0; j < i; j++) {
        double *z = a + j * n;

        for (int64_t k = j; k < i; k++)
            z[k] -= d[j] * e[k] + e[j] * d[k];
        d[j] = z[i - 1], z[i] = 0;
    }
    d[i] = h;
}

/* The product of all reflections, in a. */
static void gather(double *a, int64_t n, double *d)
{
    for (int64_t i = 0; i < n - 1; i++) {
        double h = d[i + 1], *next = a + (i + 1) * n;

        a[i * n + n - 1] = a[i * n + i], a[i * n + i] = 1;
        for (int64_t k = 0; h != 0 && k <= i; k++)
            d[k] = next[k] / h;
        for (int64_t j = 0; h != 0 && j <= i; j++) {
            double g = 0, *z = a + j * n;

            for (int64_t k = 0; k <= i; k++)
                g += next[k] * z[k];
            for (int64_t k = 0; k <= i; k++)
                z[k] -= g * d[k];
        }
        for (int64_t k = 0; k <= i; k++)
            next[k] = 0;
    }
    for (int64_t j = 0; j < n; j++)
        d[j] = a[j * n + n - 1], a[j * n + n - 1] = 0;
    a[n * n - 1] = 1;
}

static void to_tridiagonal(double *a, int64_t n, double *d, double *e)
{
    for (int64_t j = 0; j < n; j++)
        d[j] = a[j * n + n - 1];
    for (int64_t i = n - 1; i > 0; i--) {
        double scale = 0;

        for (int64_t k = 0; k < i; k++)
            scale += fabs(d[k]);
        if (scale != 0) {
            reflect(a, n, i, d, e, scale);
            continue;
        }
        e[i] = d[i - 1], d[i] = 0;
        for (int64_t j = 0; j < i; j++)
            d[j] = a[j * n + i - 1], a[i * n + j] = a[j * n + i] = 0;
    }
    gather(a, n, d);
    for (int64_t i = 1; i < n; i++)
        e[i - 1] = e[i];
    e[n - 1] = 0;
}

/* One implicit QL step on rows l to m; gives the shift, which all values from l + 2 on have lost. */
static double ql_step(double *a, int64_t n, int64_t l, int64_t m, double *d, double *e)
{
    double g = d[l], p = (d[l + 1] - g) / (2 * e[l]), r = p < 0 ? -hypot(p, 1) : hypot(p, 1);
    double c = 1, c2 = 1, c3 = 1, s = 0, s2 = 0, first = e[l + 1], next, shift;

    d[l] = e[l] / (p + r), d[l + 1] = next = e[l] * (p + r), shift = g - d[l];
    for (int64_t i = l + 2; i < n; i++)
        d[i] -= shift;
    p = d[m];
    for (int64_t i = m - 1; i >= l; i--) {
        double h = c * p, *z = a + i * n, *y = z + n;

        c3 = c2, c2 = c, s2 = s;
        g = c * e[i], r = hypot(p, e[i]);
        e[i + 1] = s * r, s = e[i] / r, c = p / r;
        p = c * d[i] - s * g, d[i + 1] = h + s * (c * g + s * d[i]);
        for (int64_t k = 0; k < n; k++) {
            double was = y[k];

            y[k] = s * z[k] + c * was, z[k] = c * z[k] - s * was;
        }
    }
    p = -s * s2 * c3 * first * e[l] / next;
    e[l] = s * p, d[l] = c * p;
    return shift;
}

bool tp__symmetric_eigen(double *a, int64_t n, double *d, double *e)
{
    double shift = 0, size = 0;

    for (int64_t i = 0; i < n * n; i++)
        if (!isfinite(a[i])) return false;
    to_tridiagonal(a, n, d, e);
    for (int64_t l = 0; l < n; l++) {
        int64_t m = l;
        int steps = 0;

        size = fmax(size, fabs(d[l]) + fabs(e[l]));
        while (fabs(e[m]) > DBL_EPSILON * size) /* e[n - 1] is 0 */
            m++;
        while (m > l && (steps == 0 || fabs(e[l]) > DBL_EPSILON * size)) {
            if (steps++ == 64) return false;
            shift += ql_step(a, n, l, m, d, e);
        }
        d[l] += shift, e[l] = 0;
    }
    return true;
}
