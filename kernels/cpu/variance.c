/*
 * variance.c - the variance along lanes of a dense (outer, n, inner).
 *
 * n is cut into groups by shape alone.  A group is read twice, for its mean, counted from its
 * first element, and for the squares around it, while it lies in the cache; groups are joined in
 * their order (Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for
 * computing sample variances"):
 *
 *     mean += delta m / n,   squares += squares' + delta^2 n' m / n     delta = mean' - mean
 *
 * where n' elements meet m, and n = n' + m.
 */
#include "kernels/cpu/fold.h"

enum {
    RUN = 16384,    /* elements of a group along one lane */
    WIDTH = 256,    /* lanes side by side */
    ROWS = 512,     /* of a group of many lanes */
    GRAIN = 16384
};

typedef struct job {
    tp_lanes d;
    double correction;
    int64_t length, groups, width, blocks;
    const T *x;
    T *y;
    A *means, *squares; /* (outer, groups, inner) */
} job;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- one group ---- */

/* The sum of x - shift, or of its square. */
static A run_sum(int64_t n, const T *x, A shift, bool square)
{
    A v[TP__PIECE];
    tp__cascade s;

    s.count = 0;
    for (int64_t i = 0; i < n; i += TP__PIECE) {
        int64_t some = smaller(n - i, TP__PIECE);

        for (int64_t k = 0; k < some; k++) {
            A e = LOAD(x[i + k]) - shift;
            v[k] = square ? e * e : e;
        }
        tp__cascade_push(&s, tp__fold(some, v));
    }
    return tp__cascade_sum(&s);
}

static void run_group(int64_t n, const T *x, A *mean, A *squares)
{
    *mean = n ? LOAD(x[0]) + run_sum(n, x, LOAD(x[0]), false) / (A)n : 0;
    *squares = run_sum(n, x, *mean, true);
}

static void rows_group(int64_t n, int64_t width, const T *x, int64_t step, A *restrict mean,
                       A *restrict squares)
{
    for (int64_t i = 0; i < width; i++)
        mean[i] = squares[i] = 0;
    for (int64_t r = 1; r < n; r++)
        for (int64_t i = 0; i < width; i++)
            mean[i] += LOAD(x[r * step + i]) - LOAD(x[i]);
    for (int64_t i = 0; n && i < width; i++)
        mean[i] = LOAD(x[i]) + mean[i] / (A)n;
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < width; i++) {
            A e = LOAD(x[r * step + i]) - mean[i];
            squares[i] += e * e;
        }
}

static void body(void *user, int worker, int64_t from, int64_t to)
{
    const job *j = user;

    (void)worker;
    for (int64_t item = from; item < to; item++) {
        int64_t lane = item % j->blocks * j->width, g = item / j->blocks % j->groups;
        int64_t o = item / j->blocks / j->groups, first = g * j->length;
        int64_t n = smaller(j->d.n - first, j->length), at = (o * j->groups + g) * j->d.inner + lane;
        const T *x = j->x + (o * j->d.n + first) * j->d.inner + lane;

        if (j->d.inner == 1)
            run_group(n, x, j->means + at, j->squares + at);
        else
            rows_group(n, smaller(j->d.inner - lane, j->width), x, j->d.inner, j->means + at,
                       j->squares + at);
    }
}

/* ---- all groups ---- */

static void finish_lane(const job *j, int64_t o, int64_t i)
{
    const int64_t inner = j->d.inner, first = o * j->groups * inner + i;
    double freedom = (double)j->d.n - j->correction;
    A mean = j->means[first], squares = j->squares[first];

    for (int64_t g = 1; g < j->groups; g++) {
        A before = (A)(g * j->length), more = (A)smaller(j->d.n - g * j->length, j->length);
        A delta = j->means[first + g * inner] - mean, share = more / (before + more);

        mean += delta * share;
        squares += j->squares[first + g * inner] + delta * delta * before * share;
    }
    j->y[o * inner + i] = STORE(squares / (A)(freedom > 0 ? freedom : 0));
}

int KERNEL(variance)(tp_ctx *c, tp_lanes d, const void *x, double correction, void *y)
{
    job j = { .d = d, .correction = correction, .x = x, .y = y };
    int64_t count;

    if (d.outer * d.inner == 0) return 0;
    j.width = smaller(d.inner, WIDTH), j.blocks = (d.inner + j.width - 1) / j.width;
    j.length = d.inner == 1 ? RUN : ROWS;
    j.groups = d.n > j.length ? (d.n + j.length - 1) / j.length : 1;
    count = d.outer * j.groups * d.inner;
    if (!(j.means = tp_scratch(c, 2 * (size_t)count * sizeof(A)))) return TP_KERNEL_NO_MEMORY;
    j.squares = j.means + count;
    tp__parallel(c, d.outer * j.groups * j.blocks,
                 1 + GRAIN / (1 + smaller(d.n, j.length) * j.width), body, &j);
    for (int64_t o = 0; o < d.outer; o++)
        for (int64_t i = 0; i < d.inner; i++)
            finish_lane(&j, o, i);
    return 0;
}
