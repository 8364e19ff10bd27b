/*
 * lanes.c - largest, smallest, product and sum along lanes; kernels.def has the formulas.
 */
#include "kernels/cpu/lanes.h"

#include <math.h>

/* ---- largest and smallest: a NaN, once gathered, stays ---- */

#if TP_IS_FLOAT
TP__LANES_FOLD(most, -INFINITY, (v > s) | (v != v) ? v : s, (b > a) | (b != b) ? b : a)
TP__LANES_FOLD(least, INFINITY, (v < s) | (v != v) ? v : s, (b < a) | (b != b) ? b : a)
#else
TP__LANES_FOLD(most, INT64_MIN, (R)v > s ? (R)v : s, a > b ? a : b)
TP__LANES_FOLD(least, INT64_MAX, (R)v < s ? (R)v : s, a < b ? a : b)
#endif

int KERNEL(amax)(tp_ctx *c, tp_lanes d, const void *x, void *y)
{
    return tp__lanes_over(c, d, &most_fold, x, 0, y, NULL);
}

int KERNEL(amin)(tp_ctx *c, tp_lanes d, const void *x, void *y)
{
    return tp__lanes_over(c, d, &least_fold, x, 0, y, NULL);
}

/* ---- products ---- */

#if TP_IS_FLOAT || TP_IS(i64)
TP__LANES_FOLD(product, 1, (R)((UR)s * (UR)v), (R)((UR)a * (UR)b))

int KERNEL(prod)(tp_ctx *c, tp_lanes d, const void *x, void *y)
{
    return tp__lanes_over(c, d, &product_fold, x, 0, y, NULL);
}
#endif

/* ---- sums: of integers; of powers of floats ---- */

#if !TP_IS_FLOAT
TP__LANES_FOLD(sum, 0, (R)((UR)s + (UR)v), (R)((UR)a + (UR)b))

int KERNEL(total)(tp_ctx *c, tp_lanes d, const void *x, void *y)
{
    return tp__lanes_over(c, d, &sum_fold, x, 0, NULL, y);
}
#else

#if TP_IS(f64)
#define ABS(x)      fabs(x)
#define POWER(x, p) pow(x, p)
#else
#define ABS(x)      fabsf(x)
#define POWER(x, p) powf(x, p)
#endif

TP__LANES_FOLD(count, 0, s + (A)(v != 0), a + b)
TP__LANES_FOLD(sizes, 0, s + ABS(v), a + b)
TP__LANES_FOLD(squares, 0, s + (v * v), a + b)
TP__LANES_FOLD(powers, 0, s + POWER(ABS(v), k), a + b)

int KERNEL(power_sum)(tp_ctx *c, tp_lanes d, const void *x, double p, void *y)
{
    const tp__lanes_fold *f = p == 0   ? &count_fold
                              : p == 1 ? &sizes_fold
                              : p == 2 ? &squares_fold
                                       : &powers_fold;

    return tp__lanes_over(c, d, f, x, (A)p, y, NULL);
}
#endif

/* ---- the place of the largest integer; floats have theirs in reduce.c ---- */

#if !TP_IS_FLOAT && !TP_IS(b8)
typedef struct argmax_job {
    int64_t cols;
    const T *x;
    int64_t *y;
} argmax_job;

static void argmax_body(void *user, int worker, int64_t from, int64_t to)
{
    const argmax_job *j = user;

    (void)worker;
    for (int64_t r = from; r < to; r++) {
        const T *x = j->x + r * j->cols;
        R top = most_run(j->cols, x, 0);
        int64_t i = 0;

        while ((R)x[i] != top)
            i++;
        j->y[r] = i;
    }
}

int KERNEL(argmax)(tp_ctx *c, int64_t rows, int64_t cols, const void *x, int64_t *y)
{
    argmax_job j = { .cols = cols, .x = x, .y = y };

    if (rows > 0 && cols < 1) return tp__kernel_error(c, "argmax of no elements");
    tp__parallel(c, rows, 1 + TP__LANES_GRAIN / (cols + 1), argmax_body, &j);
    return 0;
}
#endif
