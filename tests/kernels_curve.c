/*
 * kernels_curve.c - the error bounds that vmath.h states for functions that come with their
 * derivatives, at every 1009th float, and those derivatives.
 */
#include "tests/kernels_memory.h"

#include <stddef.h>

static double inverse(double x) { return 1 / x; }
static double inverse_root(double x) { return 1 / sqrt(x); }
static double minus_sin(double x) { return -sin(x); }
static double minus_cos(double x) { return -cos(x); }
static double bell(double x) { return 2 / sqrt(M_PI) * exp(-x * x); }
static double inverse_next(double x) { return 1 / (1 + x); }
static double silu(double x) { return x / (1 + exp(-x)); }
static double softplus(double x) { return x > 20 ? x : log1p(exp(x)); }
static double mish(double x) { return x * tanh(log1p(exp(x))); }
static double elu(double x) { return x > 0 ? x : expm1(x); }
static double log_sigmoid(double x) { return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x)); }
static double softsign(double x) { return x / (1 + fabs(x)); }

#define VALUE(name, f, lo, hi, bound)   { #name, offsetof(tp_backend, name), f, lo, hi, bound, false }
#define SLOPE(name, f, lo, hi, bound)   { #name, offsetof(tp_backend, name), f, lo, hi, bound, true }

static const struct curve {
    const char *name;
    size_t slot;
    double (*f)(double);
    double lo, hi, bound;
    bool slope; /* a kernel of two operands, the first being 1 */
} curves[] = {
    VALUE(sin, sin, -INFINITY, INFINITY, 2),
    VALUE(cos, cos, -INFINITY, INFINITY, 2),
    SLOPE(sin_dx, cos, -INFINITY, INFINITY, 2),
    SLOPE(cos_dx, minus_sin, -INFINITY, INFINITY, 2),
    SLOPE(sin_ddx, minus_sin, -INFINITY, INFINITY, 2),
    SLOPE(cos_ddx, minus_cos, -INFINITY, INFINITY, 2),
    VALUE(erf, erf, -INFINITY, INFINITY, 2.5),
    SLOPE(erf_dx, bell, -9, 9, 3),
    VALUE(log1p, log1p, -1, INFINITY, 1.5),
    SLOPE(log1p_dx, inverse_next, -0.5, INFINITY, 2),
    VALUE(expm1, expm1, -INFINITY, 89, 1.5),
    VALUE(reciprocal, inverse, -INFINITY, INFINITY, 0.5),
    VALUE(rsqrt, inverse_root, 0, INFINITY, 1.5),
    VALUE(silu, silu, -80, INFINITY, 2.5),
    VALUE(mish, mish, -80, INFINITY, 5),
    VALUE(softplus, softplus, -87, INFINITY, 2),
    VALUE(elu, elu, -INFINITY, INFINITY, 1.5),
    VALUE(log_sigmoid, log_sigmoid, -INFINITY, 87, 2),
    VALUE(softsign, softsign, -INFINITY, INFINITY, 1.5),
};

enum { BLOCK = 4096 };

static int call(const struct curve *k, tp_ctx *c, int n, const float *x, const float *ones, float *y)
{
    static const double numbers[] = { 1, 20, 0 }, bent[] = { 1, 1, 1 };
    const double *own = strcmp(k->name, "elu") ? numbers : bent;
    const char *slot = (const char *)c->backend + k->slot;
    tp_loop l = tp_loop_flat(n, k->slope ? 3 : 2);

    if (k->slope) return (*(tp__fn_sin_dx *const *const *)(const void *)slot)[TP_F32](c, &l, ones, x, own, false, y);
    return (*(tp__fn_sin *const *const *)(const void *)slot)[TP_F32](c, &l, x, own, false, y);
}

static double worst_ulp(const struct curve *k, const tp_backend *b)
{
    static float x[BLOCK], y[BLOCK], ones[BLOCK];
    tp_ctx c = make_ctx(b, 1);
    double worst = 0;

    for (int i = 0; i < BLOCK; i++)
        ones[i] = 1;
    for (uint64_t bits = 0; bits <= UINT32_MAX;) {
        int n = 0;

        for (; n < BLOCK && bits <= UINT32_MAX; bits += 1009) {
            x[n] = tp__float_of_bits((uint32_t)bits);
            n += (double)x[n] >= k->lo && (double)x[n] <= k->hi;
        }
        CHECK(call(k, &c, n, x, ones, y) == 0);
        for (int i = 0; i < n; i++) {
            double want = k->f((double)x[i]);
            float near = fabsf((float)want);
            double ulp = (double)(nextafterf(near, INFINITY) - near);

            if (!isfinite(near) || near < 0x1p-126f || !isfinite(ulp)) continue;
            worst = fmax(worst, isnan(y[i]) ? INFINITY : fabs((double)y[i] - want) / ulp);
        }
    }
    return worst;
}

Test(kernels_curve, ulps)
{
    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (int k = 0; b && k < LEN(curves); k++) {
            double worst = worst_ulp(&curves[k], b);

            CASE("%s %s: %.2f ulp", curves[k].name, level, worst);
            fprintf(stderr, "%s\n", case_name);
            CHECK(worst <= curves[k].bound);
        }
    }
}
