/*
 * kernels_memory.c - elementwise CPU kernels and activations, each level and dtype, against
 * plain loops in double; the table of kernels, and two threads that use it at once.
 */
#include "tests/kernels_memory.h"

#include <pthread.h>
#include <stddef.h>

/* ---- references ---- */

static double f_relu(double x)
{
    return x < 0 ? 0 : x;
}
static double f_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}
static double f_square(double x)
{
    return x * x;
}
static double f_gelu(double x)
{
    return x < -60 ? 0 : 0.5 * x * erfc(-x * M_SQRT1_2);
}
static double f_inner(double x)
{
    return 0.79788456080286536 * (x + 0.044715 * x * x * x);
}
static double f_gelu_tanh(double x)
{
    return x < -60 ? 0 : x * f_sigmoid(2 * f_inner(x));
}
static double f_add(double a, double b)
{
    return a + b;
}
static double f_sub(double a, double b)
{
    return a - b;
}
static double f_mul(double a, double b)
{
    return a * b;
}
static double f_div(double a, double b)
{
    return a / b;
}
static double f_sign(double x)
{
    return (x > 0) - (x < 0);
}
static double f_larger_share(double a, double b)
{
    return a < b ? 0 : a == b ? 0.5 : 1;
}
static double f_floor_divide(double a, double b)
{
    return floor(a / b);
}
#define f_maximum   fmax
#define f_minimum   fmin
#define f_pow       pow
#define f_fmod      fmod
#define f_remainder fmod /* of positive numbers */
static double f_relu_dx(double a, double b)
{
    return b > 0 ? a : 0;
}
static double f_tanh_dx(double a, double b)
{
    return a * (1 - b * b);
}
static double f_sigmoid_dx(double a, double b)
{
    return a * b * (1 - b);
}
static double f_bce(double a, double b)
{
    return fmax(a, 0) - a * b + log1p(exp(-fabs(a)));
}
static double f_bce_dx(double a, double b)
{
    return f_sigmoid(a) - b;
}

static double f_gelu_dx(double a, double b)
{
    double density = exp(-b * b / 2) / sqrt(2 * M_PI);

    return a * (0.5 * erfc(-b * M_SQRT1_2) + b * density);
}

static double f_gelu_tanh_dx(double a, double b)
{
    double s = f_sigmoid(2 * f_inner(b)),
           slope = 0.79788456080286536 * (1 + 0.134145 * b * b);

    return a * (s + b * s * (1 - s) * 2 * slope);
}

typedef struct function {
    const char *name;
    size_t slot;
    double (*f)(double);
    double (*g)(double, double);
    double lo, hi; /* of inputs */
} function;

#define UNARY(name, f, lo, hi)                                                           \
    {                                                                                    \
#name, offsetof(tp_backend, name), f, NULL, lo, hi                               \
    }
#define BINARY(name, lo, hi)                                                             \
    {                                                                                    \
#name, offsetof(tp_backend, name), NULL, f_##name, lo, hi                        \
    }

static const function functions[] = {
    UNARY(relu, f_relu, -2, 2),
    UNARY(tanh, tanh, -4, 4),
    UNARY(sigmoid, f_sigmoid, -9, 9),
    UNARY(exp, exp, -9, 3),
    UNARY(log, log, 1e-3, 9),
    UNARY(square, f_square, -2, 2),
    UNARY(sqrt, sqrt, 0, 4),
    UNARY(gelu, f_gelu, -4, 4),
    UNARY(gelu_tanh, f_gelu_tanh, -4, 4),
    BINARY(add, -2, 2),
    BINARY(sub, -2, 2),
    BINARY(mul, -2, 2),
    BINARY(div, 0.5, 2),
    UNARY(sign, f_sign, -2, 2),
    UNARY(floor, floor, -9, 9),
    UNARY(ceil, ceil, -9, 9),
    UNARY(round, rint, -9, 9),
    UNARY(trunc, trunc, -9, 9),
    BINARY(maximum, -2, 2),
    BINARY(minimum, -2, 2),
    BINARY(larger_share, -2, 2),
    BINARY(pow, 0.5, 2),
    BINARY(fmod, 0.5, 4),
    BINARY(remainder, 0.5, 4),
    BINARY(floor_divide, 0.5, 4),
    BINARY(relu_dx, -2, 2),
    BINARY(tanh_dx, -1, 1),
    BINARY(sigmoid_dx, 0, 1),
    BINARY(gelu_dx, -3, 3),
    BINARY(gelu_tanh_dx, -3, 3),
    BINARY(bce, -3, 3),
    BINARY(bce_dx, -3, 3),
};

/* Every kernel of a kind has the type of one of them. */
static int call(const function *f, tp_ctx *c, const tp_loop *l, operand *o, bool add)
{
    const char *slot = (const char *)c->backend + f->slot;

    if (f->f)
        return (*(tp__fn_relu *const *const *)slot)[o->t](c, l, at(&o[1]), add,
                                                          at(&o[0]));
    return (*(tp__fn_add *const *const *)slot)[o->t](c, l, at(&o[1]), at(&o[2]), add,
                                                     at(&o[0]));
}

/* ---- elementwise ---- */

/* One call with each number of threads, from the same y; want is NULL if only the bits of
 * the others are compared. */
static void try_function(const function *f, const tp_backend *b, operand *o, bool add)
{
    int64_t count = o[0].count, room = o[0].room;
    size_t bytes = (size_t)room * type_size(o->t);
    unsigned char *start = malloc(bytes + 1), *first = malloc(bytes + 1);
    double *got = malloc((size_t)(count + 1) * sizeof *got);
    double *want = malloc((size_t)(count + 1) * sizeof *want);
    tp_loop l = loop_of(o, f->f ? 2 : 3, true);
    double terms = 0;

    if (!add) memset(o[0].bytes, 0xff, bytes); /* NaN */
    for (int64_t i = 0; i < count; i++) {
        double v = f->f ? f->f(value(&o[1], i)) : f->g(value(&o[1], i), value(&o[2], i));

        want[i] = add ? value(&o[0], i) + v : v;
        v = fabs(value(&o[1], i)) + (f->g ? fabs(value(&o[2], i)) : 0) + 1;
        terms += v * v; /* y was at most 1 */
    }
    memcpy(start, o[0].bytes, bytes);
    for (int threads = 1; threads <= 3; threads++) {
        tp_ctx c = make_ctx(b, threads);

        memcpy(o[0].bytes, start, bytes);
        CHECK(call(f, &c, &l, o, add) == 0);
        if (threads == 1) memcpy(first, o[0].bytes, bytes);
        CHECK(memcmp(first, o[0].bytes, bytes) == 0);
    }
    for (int64_t i = 0; i < count; i++)
        got[i] = value(&o[0], i);
    check_terms(o->t, got, want, count, sqrt(terms));
    for (int64_t i = 0; i < count; i++) /* what lies between must be as it was */
        memcpy(o[0].bytes + (size_t)place(&o[0], i) * type_size(o->t),
               start + (size_t)place(&o[0], i) * type_size(o->t), type_size(o->t));
    CHECK(memcmp(start, o[0].bytes, bytes) == 0);
    free(start), free(first), free(got), free(want);
}

static void try_layouts(const function *f, const tp_backend *b, tp_dtype t,
                        const space *s, layout ky, layout ka, layout kb)
{
    for (int add = 0; add < 2; add++) {
        operand o[3];

        o[0] = make_operand(t, ky, s->rank, s->n, -1, 1);
        o[1] = make_operand(t, ka, s->rank, s->n, f->lo, f->hi);
        o[2] = make_operand(t, kb, s->rank, s->n, f->lo, f->hi);
        CASE("%s %s %s, y %s, a %s, b %s, rank %d (%lld, %lld), add %d", f->name, level,
             type_names[t], layout_names[ky], layout_names[ka], layout_names[kb], s->rank,
             (long long)s->n[0], (long long)s->n[1], add);
        try_function(f, b, o, add);
        free(o[0].bytes), free(o[1].bytes), free(o[2].bytes);
    }
}

Test(kernels_memory, functions)
{
    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (int i = 0; b && i < LEN(functions) * LEN(float_types); i++) {
            const function *f = &functions[i / LEN(float_types)];
            tp_dtype t = float_types[i % LEN(float_types)];

            for (int s = 0; s < LEN(spaces); s++)
                for (layout ka = DENSE; ka < LAYOUTS; ka++)
                    for (layout kb = f->f ? DENSE : ka % 3;
                         kb < (f->f ? TURNED : LAYOUTS); kb += 3)
                        try_layouts(f, b, t, &spaces[s], (ka + kb + s) % ROW, ka, kb);
            for (int s = 0; s < LEN(large); s++) {
                try_layouts(f, b, t, &large[s], DENSE, DENSE, DENSE);
                try_layouts(f, b, t, &large[s], GAPPED, DENSE, COLUMN);
            }
        }
    }
}

/* y may be one of the inputs. */
Test(kernels_memory, in_place)
{
    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (int i = 0; b && i < LEN(functions); i++) {
            const function *f = &functions[i];
            int64_t n = 1031;
            operand o[3], kept;
            tp_ctx c = make_ctx(b, 1);
            double got[1031], want[1031];
            tp_loop l;

            o[1] = make_operand(TP_F32, DENSE, 1, &n, f->lo, f->hi);
            o[2] = make_operand(TP_F32, DENSE, 1, &n, f->lo, f->hi);
            o[0] = o[1], kept = make_operand(TP_F32, DENSE, 1, &n, 0, 0);
            memcpy(kept.bytes, o[1].bytes, (size_t)n * sizeof(float));
            CASE("%s %s in place", f->name, level);
            l = loop_of(o, f->f ? 2 : 3, true);
            CHECK(call(f, &c, &l, o, false) == 0);
            for (int64_t k = 0; k < n; k++) {
                got[k] = value(&o[0], k);
                want[k] =
                    f->f ? f->f(value(&kept, k)) : f->g(value(&kept, k), value(&o[2], k));
            }
            check_near(TP_F32, got, want, n, 1);
            free(o[1].bytes), free(o[2].bytes), free(kept.bytes);
        }
    }
}

/* One element through a unary kernel. */
static double one(const tp_backend *b, const char *name, tp_dtype t, double x)
{
    double a = 0, y = 0;
    tp_ctx c = make_ctx(b, 1);
    operand o[3] = { { .t = t, .bytes = (unsigned char *)&y },
                     { .t = t, .bytes = (unsigned char *)&a },
                     { .t = t, .bytes = (unsigned char *)&a } };
    tp_loop l = tp_loop_flat(1, 2);

    set_element(t, &a, 0, x);
    for (int i = 0; i < LEN(functions); i++)
        if (strcmp(functions[i].name, name) == 0) call(&functions[i], &c, &l, o, false);
    return get_element(t, &y, 0);
}

Test(kernels_memory, extremes)
{
    static const struct {
        const char *name;
        double x, y;
    } cases[] = {
        { "exp", INFINITY, INFINITY },
        { "exp", -INFINITY, 0 },
        { "exp", NAN, NAN },
        { "exp", 1e30, INFINITY },
        { "exp", -1e30, 0 },
        { "exp", 0, 1 },
        { "log", 0, -INFINITY },
        { "log", -0.0, -INFINITY },
        { "log", -1, NAN },
        { "log", INFINITY, INFINITY },
        { "log", NAN, NAN },
        { "log", 1, 0 },
        { "log", -INFINITY, NAN },
        { "tanh", INFINITY, 1 },
        { "tanh", -INFINITY, -1 },
        { "tanh", NAN, NAN },
        { "tanh", 0, 0 },
        { "sigmoid", 0, 0.5 },
        { "sigmoid", INFINITY, 1 },
        { "sigmoid", -INFINITY, 0 },
        { "sigmoid", NAN, NAN },
        { "gelu", INFINITY, INFINITY },
        { "gelu", -INFINITY, 0 },
        { "gelu", NAN, NAN },
        { "gelu_tanh", -INFINITY, 0 },
        { "gelu_tanh", NAN, NAN },
        { "gelu", 0, 0 },
        { "gelu_tanh", INFINITY, INFINITY },
        { "relu", NAN, NAN },
        { "relu", INFINITY, INFINITY },
        { "relu", -INFINITY, 0 },
        { "sqrt", -1, NAN },
        { "sqrt", INFINITY, INFINITY },
    };

    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (int i = 0; b && i < LEN(cases) * LEN(float_types); i++) {
            tp_dtype t = float_types[i % LEN(float_types)];
            int k = i / LEN(float_types);
            double y = one(b, cases[k].name, t, cases[k].x);

            CASE("%s(%g) %s %s is %g", cases[k].name, cases[k].x, level, type_names[t],
                 y);
            CHECK(y == cases[k].y || (isnan(y) && isnan(cases[k].y)));
        }
    }
}

/* The bounds that vmath.h states, in ulp, at every 1009th float. */
Test(kernels_memory, ulps)
{
    static const struct {
        const char *name;
        double (*f)(double);
        double lo, hi, bound;
    } cases[] = {
        { "exp", exp, -87, 89, 1 },
        { "log", log, 0, INFINITY, 1 },
        { "tanh", tanh, -INFINITY, INFINITY, 2.5 },
        { "sigmoid", f_sigmoid, -87, 99, 2.5 },
        { "gelu", f_gelu, -12, INFINITY, 7 },
        { "gelu", f_gelu, -12.9, -12, 9 },
        { "gelu_tanh", f_gelu_tanh, -1, INFINITY, 3 + 6 * 0.84 },
        { "gelu_tanh", f_gelu_tanh, -5, -1, 3 + 6 * 8.45 },
    };
    enum { BLOCK = 4096 };
    static float x[BLOCK], y[BLOCK];

    for (int v = 0; v < LEN(level_names); v++) {
        const tp_backend *b = level_table(v);

        for (int k = 0; b && k < LEN(cases); k++) {
            tp_ctx c = make_ctx(b, 1);
            operand o[3] = { { .bytes = (unsigned char *)y },
                             { .bytes = (unsigned char *)x } };
            const function *f = functions;
            double worst = 0;
            uint64_t bits = 0;

            while (strcmp(f->name, cases[k].name))
                f++;
            while (bits <= UINT32_MAX) {
                int n = 0;
                tp_loop l;

                for (; n < BLOCK && bits <= UINT32_MAX; bits += 1009) {
                    x[n] = tp__float_of_bits((uint32_t)bits);
                    n += (double)x[n] >= cases[k].lo && (double)x[n] <= cases[k].hi;
                }
                l = tp_loop_flat(n, 2);
                call(f, &c, &l, o, false);
                for (int i = 0; i < n; i++) {
                    double want = cases[k].f((double)x[i]);
                    float near = fabsf((float)want);
                    double ulp = (double)(nextafterf(near, INFINITY) - near);

                    if (!isfinite(near) || near < 0x1p-126f || !isfinite(ulp)) continue;
                    worst = fmax(worst, fabs((double)y[i] - want) / ulp);
                }
            }
            CASE("%s %s: %.2f ulp", cases[k].name, level, worst);
            CHECK(worst <= cases[k].bound);
        }
    }
}

/* ---- threads and tables ---- */

static void *sum_often(void *user)
{
    const float *x = user;
    const tp_backend *b = tp_cpu_backend();
    tp_ctx c = make_ctx(b, 2);
    tp_loop l = tp_loop_flat(200000, 2);
    bool same = true;
    float y, first = 0;

    l.stride[0][0] = 0;
    for (int i = 0; i < 50; i++) {
        b->sum[TP_F32](&c, &l, x, false, &y);
        if (i == 0) first = y;
        same = same && y == first;
    }
    free(c.scratch);
    return (void *)(intptr_t)same;
}

Test(kernels_memory, two_callers)
{
    pthread_t other;
    float *x = numbers(TP_F32, 200000, -1, 1);
    void *fine;

    CASE("two threads call kernels");
    CHECK(pthread_create(&other, NULL, sum_often, x) == 0);
    CHECK(sum_often(x) != NULL);
    pthread_join(other, &fine);
    CHECK(fine != NULL);
    free(x);
}

Test(kernels_memory, table)
{
    const tp_backend *b = tp_cpu_backend();
    tp_ctx c = make_ctx(b, 2);
    char why[64], from[5] = "abcd", to[5] = "";
    void *p;

    CASE("table");
    CHECK(b->count(why, sizeof why) == 1 && b->open(&c) == 0 && b->wait(&c) == 0);
    CHECK(strcmp(b->name, "cpu") == 0 && b->bytes == sizeof *b);
    CHECK(strstr(b->describe(&c), "2 threads") && strstr(b->describe(&c), "OpenBLAS"));
    for (size_t bytes = 0; bytes < 300; bytes += 37) {
        p = b->alloc(&c, bytes);
        CHECK(p && (uintptr_t)p % 64 == 0);
        b->release(&c, p, bytes);
    }
    CHECK(b->alloc(&c, SIZE_MAX) == NULL);
    CHECK(b->upload(&c, to, from, 5) == 0 && strcmp(to, from) == 0);
    CHECK(tp_cpu_backend_level("v9") == NULL);
    b->close(&c);
}
