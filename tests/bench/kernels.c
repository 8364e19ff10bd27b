/*
 * kernels.c - how fast the products, convolutions and recurrences are, f32.
 *
 *     kernels [part of a name]...
 *
 *     NT 64x512x784      1 thread 151.2 (86 %) best 157.1    2 threads 283.0 (80 %) best 301.9
 *
 * GFLOP/s of the median round and, in brackets, against fused multiply-adds in registers
 * timed in the same rounds (two threads: twice that of one); then of the best round.
 * One thread is timed by its processor time, two by the clock: on a machine with other work
 * the first is sound and of the second only the best.
 */
#include "kernels/backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEN(a) ((int)(sizeof(a) / sizeof *(a)))

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 24")
#endif

enum { ROUNDS = 21, CHAINS = 24 };

static double now(int threads)
{
    struct timespec t;

    clock_gettime(threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the peak ---- */

static volatile float sink;

#define PEAK(name, attribute, lanes)                                                     \
    typedef float name##_vector __attribute__((vector_size(4 * lanes)));                 \
    attribute static double name(void)                                                   \
    {                                                                                    \
        name##_vector a[CHAINS], scale = { 0 }, shift = { 0 };                           \
        double start = now(1);                                                           \
                                                                                         \
        scale += 0.999999f, shift += 1e-7f;                                              \
        UNROLL                                                                           \
        for (int i = 0; i < CHAINS; i++)                                                 \
            a[i] = shift * (float)i;                                                     \
        for (int k = 0; k < 40000; k++)                                                  \
            UNROLL                                                                       \
        for (int i = 0; i < CHAINS; i++)                                                 \
            a[i] = a[i] * scale + shift;                                                 \
        UNROLL                                                                           \
        for (int i = 1; i < CHAINS; i++)                                                 \
            a[0] += a[i];                                                                \
        sink = a[0][0];                                                                  \
        return 2e-9 * CHAINS * lanes * 40000 / (now(1) - start);                         \
    }

PEAK(peak_any, , 4)
#ifdef __x86_64__
PEAK(peak_v3, __attribute__((target("avx2,fma"))), 8)
PEAK(peak_v4, __attribute__((target("avx512f"))), 16)
#endif

static double peak(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f")) return peak_v4();
    if (__builtin_cpu_supports("fma")) return peak_v3();
#endif
    return peak_any();
}

/* ---- a case ---- */

typedef struct bench bench;
struct bench {
    char name[80];
    double flops;
    int (*run)(tp_ctx *c, const bench *b);
    tp_gemm_args gemm;
    tp_window window;
    int64_t steps, N, H;
    float *a, *b, *y, *d, *e, *f;
};

static bool grow(tp_ctx *c, size_t bytes)
{
    free(c->scratch);
    c->scratch_bytes = (bytes + 63) & ~(size_t)63;
    c->scratch = aligned_alloc(64, c->scratch_bytes);
    return c->scratch != NULL;
}

static float *numbers(int64_t n, float scale)
{
    float *p = aligned_alloc(64, ((size_t)n * sizeof *p + 63) & ~(size_t)63);

    for (int64_t i = 0; i < n; i++)
        p[i] =
            scale * ((float)((uint32_t)(i * 2654435761u) >> 8 & 1023) / 1024.0f - 0.5f);
    return p;
}

static double seconds(tp_ctx *c, const bench *b, int reps)
{
    double start = now(c->threads);

    for (int i = 0; i < reps; i++)
        b->run(c, b);
    return (now(c->threads) - start) / reps;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof *v, ascending);
    return v[ROUNDS / 2];
}

static void measure(const bench *b)
{
    tp_ctx c[2] = { { .backend = tp_cpu_backend(), .threads = 1, .grow = grow },
                    { .backend = tp_cpu_backend(), .threads = 2, .grow = grow } };
    double t[2][ROUNDS], top[ROUNDS], once;
    int reps;

    seconds(&c[0], b, 1), seconds(&c[1], b, 1);
    once = seconds(&c[0], b, 1), reps = once > 2e-3 ? 1 : (int)(2e-3 / once) + 1;
    for (int r = 0; r < ROUNDS; r++) {
        top[r] = peak();
        for (int i = 0; i < 2; i++)
            t[i][r] = seconds(&c[i], b, reps);
    }
    printf("%-32s", b->name);
    for (int i = 0; i < 2; i++) {
        double mid = median(t[i]);

        printf("  %d thread%s %6.1f (%3.0f %%) best %6.1f", i + 1, i ? "s" : "",
               1e-9 * b->flops / mid, 1e-7 * b->flops / mid / median(top) / (i + 1),
               1e-9 * b->flops / t[i][0]);
    }
    printf("\n"), fflush(stdout);
    free(c[0].scratch), free(c[1].scratch);
}

static bool wanted(const char *name, int count, char **parts)
{
    for (int i = 0; i < count; i++)
        if (strstr(name, parts[i])) return true;
    return count == 0;
}

/* ---- products ---- */

static int run_gemm(tp_ctx *c, const bench *b)
{
    return c->backend->gemm[TP_F32](c, &b->gemm, b->a, b->b, b->y);
}

static void bench_gemm(const char *form, const int64_t *s, int count, char **parts)
{
    bool ta = form[0] == 'T', tb = form[1] == 'T';
    int64_t m = s[1], n = s[2], k = s[3];
    bench b = { .run = run_gemm, .flops = 2.0 * (double)(s[0] * m * n * k) };

    snprintf(b.name, sizeof b.name, "gemm %s %lldx%lldx%lld", form, (long long)m,
             (long long)n, (long long)k);
    if (s[0] > 1) snprintf(b.name + strlen(b.name), 30, " batch %lld", (long long)s[0]);
    if (!wanted(b.name, count, parts)) return;
    b.gemm = (tp_gemm_args){ .batch = s[0],
                             .m = m,
                             .n = n,
                             .k = k,
                             .lda = ta ? m : k,
                             .ldb = tb ? k : n,
                             .ldy = n,
                             .step_a = m * k,
                             .step_b = k * n,
                             .step_y = m * n,
                             .ta = ta,
                             .tb = tb };
    b.a = numbers(s[0] * m * k, 1), b.b = numbers(s[0] * n * k, 1);
    b.y = numbers(s[0] * m * n, 1);
    measure(&b);
    free(b.a), free(b.b), free(b.y);
}

static void products(int count, char **parts)
{
    static const struct {
        const char *form;
        int64_t s[4]; /* batch, m, n, k */
    } cases[] = {
        { "NT", { 1, 64, 512, 784 } },    { "NN", { 1, 64, 784, 512 } },
        { "TN", { 1, 512, 784, 64 } },    { "NT", { 1, 64, 512, 512 } },
        { "NT", { 1, 64, 10, 512 } },     { "NN", { 1, 64, 512, 10 } },
        { "TN", { 1, 10, 512, 64 } },     { "NT", { 1, 128, 400, 784 } },
        { "NT", { 1, 128, 784, 400 } },   { "NT", { 1, 64, 128, 3136 } },
        { "NT", { 32, 256, 256, 64 } },   { "NN", { 32, 256, 64, 256 } },
        { "TN", { 32, 256, 64, 256 } },   { "NT", { 48, 64, 64, 32 } },
        { "NT", { 1, 2048, 1152, 384 } }, { "NN", { 1, 2048, 384, 1152 } },
        { "TN", { 1, 1152, 384, 2048 } }, { "NT", { 1, 768, 512, 128 } },
        { "NT", { 1, 2048, 1536, 384 } }, { "NT", { 1, 32, 1024, 256 } },
        { "NT", { 1, 2048, 1024, 256 } }, { "TN", { 1, 1024, 256, 2048 } },
        { "NN", { 1, 512, 512, 512 } },   { "NN", { 1, 1024, 1024, 1024 } },
    };

    for (int i = 0; i < LEN(cases); i++)
        bench_gemm(cases[i].form, cases[i].s, count, parts);
}

/* ---- convolutions ---- */

static int run_conv2d(tp_ctx *c, const bench *b)
{
    return c->backend->conv2d[TP_F32](c, &b->window, b->a, b->b, b->d, b->y);
}

static int run_conv2d_dx(tp_ctx *c, const bench *b)
{
    return c->backend->conv2d_dx[TP_F32](c, &b->window, b->y, b->b, false, b->a);
}

static int run_conv2d_dw(tp_ctx *c, const bench *b)
{
    return c->backend->conv2d_dw[TP_F32](c, &b->window, b->a, b->y, false, b->b);
}

static void bench_conv(const int64_t *s, int count, char **parts)
{
    static const char *const names[] = { "conv", "conv_dx", "conv_dw" };
    int (*const runs[])(tp_ctx *, const bench *) = { run_conv2d, run_conv2d_dx,
                                                     run_conv2d_dw };
    tp_window w = { .C = s[0],
                    .O = s[1],
                    .KH = s[2],
                    .KW = s[2],
                    .stride_h = s[3],
                    .stride_w = s[3],
                    .pad_h = s[4],
                    .pad_w = s[4],
                    .dilation_h = 1,
                    .dilation_w = 1,
                    .groups = s[7],
                    .H = s[5],
                    .W = s[5],
                    .N = s[6] };
    int64_t outputs, weights;

    w.OH = w.OW = tp_window_out(w.H, w.KH, w.stride_h, w.pad_h, 1);
    outputs = w.N * w.OH * w.OW * w.O, weights = w.O * (w.C / w.groups) * w.KH * w.KW;
    for (int i = 0; i < 3; i++) {
        bench b = { .run = runs[i], .window = w };

        b.flops = 2.0 * (double)outputs * (double)(weights / w.O);
        snprintf(b.name, sizeof b.name, "%s %lld->%lld %lldx%lld s%lld %lld B%lld",
                 names[i], (long long)w.C, (long long)w.O, (long long)w.KH,
                 (long long)w.KH, (long long)w.stride_h, (long long)w.H, (long long)w.N);
        if (!wanted(b.name, count, parts)) continue;
        b.a = numbers(w.N * w.H * w.W * w.C, 1), b.b = numbers(weights, 1);
        b.y = numbers(outputs, 1), b.d = numbers(w.O, 1);
        measure(&b);
        free(b.a), free(b.b), free(b.y), free(b.d);
    }
}

static void convolutions(int count, char **parts)
{
    /* C, O, kernel, stride, padding, H = W, N, groups */
    static const int64_t cases[][8] = {
        { 1, 32, 3, 1, 1, 28, 64, 1 },   { 32, 64, 3, 1, 1, 14, 64, 1 },
        { 64, 64, 3, 1, 1, 28, 64, 1 },  { 128, 128, 3, 1, 1, 16, 64, 1 },
        { 256, 64, 1, 1, 0, 14, 64, 1 }, { 64, 128, 4, 2, 1, 16, 64, 1 },
        { 1, 64, 4, 2, 1, 32, 64, 1 },   { 3, 64, 3, 1, 1, 32, 32, 1 },
        { 64, 64, 3, 1, 1, 32, 32, 1 },  { 64, 128, 3, 2, 1, 32, 32, 1 },
        { 64, 128, 1, 2, 0, 32, 32, 1 }, { 256, 256, 3, 1, 1, 8, 32, 1 },
        { 512, 512, 3, 1, 1, 4, 32, 1 }, { 32, 32, 3, 1, 1, 32, 32, 1 },
        { 64, 64, 3, 1, 1, 32, 32, 64 },
    };

    for (int i = 0; i < LEN(cases); i++)
        bench_conv(cases[i], count, parts);
}

/* ---- LSTM ---- */

static int run_lstm(tp_ctx *c, const bench *b)
{
    tp_recurrent_args g = { .T = b->steps, .N = b->N, .H = b->H };

    return c->backend->recurrent[TP_F32](c, &g, b->a, NULL, b->b, b->b, b->y, b->e, b->d,
                                         NULL, NULL);
}

static int run_lstm_dx(tp_ctx *c, const bench *b)
{
    tp_recurrent_args g = { .T = b->steps, .N = b->N, .H = b->H };

    return c->backend->recurrent_dx[TP_F32](c, &g, b->a, NULL, b->b, b->y, b->e, NULL, b->d,
                                            NULL, NULL, b->f, NULL, NULL, b->b, b->b);
}

static void bench_lstm(int64_t steps, int64_t N, int64_t H, int count, char **parts)
{
    int64_t all = steps * N * H;

    for (int i = 0; i < 2; i++) {
        bench b = { .run = i ? run_lstm_dx : run_lstm, .steps = steps, .N = N, .H = H };

        b.flops = 8.0 * (double)all * (double)H;
        snprintf(b.name, sizeof b.name, "%s T%lld N%lld H%lld", i ? "lstm_dx" : "lstm",
                 (long long)steps, (long long)N, (long long)H);
        if (!wanted(b.name, count, parts)) continue;
        b.a = numbers(4 * H * H, 0.1f), b.b = numbers(N * H, 1),
        b.y = numbers(4 * all, 1);
        b.d = numbers(all, 1), b.e = numbers(all, 1), b.f = numbers(4 * all, 1);
        measure(&b);
        free(b.a), free(b.b), free(b.y), free(b.d), free(b.e), free(b.f);
    }
}

int main(int count, char **names)
{
    printf("%s\n", tp_cpu_backend()->describe(&(tp_ctx){ .threads = 2 }));
    products(count - 1, names + 1);
    convolutions(count - 1, names + 1);
    bench_lstm(64, 32, 256, count - 1, names + 1);
    bench_lstm(64, 64, 512, count - 1, names + 1);
    return 0;
}
