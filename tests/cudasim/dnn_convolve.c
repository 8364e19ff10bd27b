/*
 * dnn_convolve.c - the numbers of the stand-in for cuDNN: a convolution or one of its adjoints in
 * double, when the stream gets there.
 */
#include "tests/cudasim/dnn.h"
#include "tests/cudasim/numbers.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static double number_at(const convolution *k, const void *p, size_t i)
{
    double v = cudasim_get(k->type, p, (int64_t)i);

    return k->engine == CUDASIM_TENSOR_CORE && k->type == CUDA_R_32F ? cudasim_tf32(v) : v;
}

static const int64_t *sizes_of(const convolution *k, int operand)
{
    return operand == X ? k->x : operand == W ? k->w : k->y;
}

static size_t count_of(const convolution *k, int operand)
{
    const int64_t *n = sizes_of(k, operand);

    return (size_t)(n[0] * n[1] * n[2] * n[3]);
}

/* One window place: what result o of it has to do with the C channels of one tap. */
static void meet(int result, int64_t C, double *x, double *w, double *y)
{
    if (result == Y)
        for (int64_t c = 0; c < C; c++)
            *y += x[c] * w[c];
    else if (result == X)
        for (int64_t c = 0; c < C; c++)
            x[c] += *y * w[c];
    else
        for (int64_t c = 0; c < C; c++)
            w[c] += *y * x[c];
}

static void tap(const convolution *k, int64_t image, const int64_t *out,
                const int64_t *at, double *const *v)
{
    int64_t h = out[0] * k->stride[0] - k->pad[0] + at[0] * k->dilation[0];
    int64_t u = out[1] * k->stride[1] - k->pad[1] + at[1] * k->dilation[1];
    int64_t C = k->w[3], O = k->y[3], groups = k->x[3] / C;

    if (h < 0 || h >= k->x[1] || u < 0 || u >= k->x[2]) return;
    for (int64_t o = 0; o < O; o++)
        meet(k->result, C,
             v[X] + ((image * k->x[1] + h) * k->x[2] + u) * k->x[3] +
                 o / (O / groups) * C,
             v[W] + ((o * k->w[1] + at[0]) * k->w[2] + at[1]) * C,
             v[Y] + ((image * k->y[1] + out[0]) * k->y[2] + out[1]) * O + o);
}

static void convolve(const convolution *k, double *const *v)
{
    for (int64_t image = 0; image < k->x[0]; image++)
        for (int64_t i = 0; i < k->y[1] * k->y[2]; i++)
            for (int64_t j = 0; j < k->w[1] * k->w[2]; j++)
                tap(k, image, (int64_t[]){ i / k->y[2], i % k->y[2] },
                    (int64_t[]){ j / k->w[2], j % k->w[2] }, v);
}

static double *wide(const convolution *k, int operand)
{
    size_t n = count_of(k, operand);
    double *v = calloc(n, sizeof *v);

    for (size_t i = 0; v && operand != k->result && i < n; i++)
        v[i] = number_at(k, k->at[operand], i);
    return v;
}

/* The rule beta 0 means that the result may have held anything. */
static void give(const convolution *k, const double *v)
{
    char *to = k->at[k->result];
    bool wrong = k->engine < CUDASIM_TENSOR_CORE;

    for (size_t i = 0; i < count_of(k, k->result); i++)
        cudasim_set(k->type, to, (int64_t)i,
            wrong ? NAN
                  : k->alpha * v[i] + (k->beta != 0 ? k->beta * number_at(k, to, i) : 0));
}

static bool overlap(const char *a, size_t bytes_a, const char *b, size_t bytes_b)
{
    return a < b + bytes_b && b < a + bytes_a;
}

/* The result and the workspace lie apart from all else. */
static bool apart(const convolution *k)
{
    const char *result = k->at[k->result];
    size_t work = (size_t)k->workspace_bytes, size = cudasim_bytes(k->type);

    for (int i = 0; i < OPERANDS; i++) {
        size_t bytes = count_of(k, i) * size;

        if (i != k->result &&
            overlap(k->at[i], bytes, result, count_of(k, k->result) * size))
            return false;
        if (work && overlap(k->at[i], bytes, k->workspace, work)) return false;
    }
    return true;
}

static void check(const convolution *k)
{
    static const char *const who[] = { "convolution's x", "convolution's w",
                                       "convolution's y" };

    for (int i = 0; i < OPERANDS; i++) {
        size_t bytes = count_of(k, i) * cudasim_bytes(k->type);

        if (i != k->result || k->beta != 0) cudasim_reads(k->at[i], bytes, who[i]);
        if (i == k->result) cudasim_writes(k->at[i], bytes, who[i]);
    }
    if (!apart(k)) cudasim_reads(NULL, 1, "a convolution of operands that overlap");
    if (!*k->alive) cudasim_reads(NULL, 1, "a run of a plan that is destroyed");
    if (k->workspace_bytes)
        cudasim_writes(k->workspace, (size_t)k->workspace_bytes,
                       "convolution's workspace");
}

void cudasim_convolve(void *convolution_)
{
    const convolution *k = convolution_;
    double *v[OPERANDS];

    check(k);
    cudasim_multiplies((double)count_of(k, Y) * (double)(k->w[1] * k->w[2] * k->w[3]));
    if (cudasim_faults()) return;
    if (k->workspace_bytes) memset(k->workspace, 0xA5, (size_t)k->workspace_bytes);
    for (int i = 0; i < OPERANDS; i++)
        v[i] = wide(k, i);
    if (v[X] && v[W] && v[Y]) convolve(k, v), give(k, v[k->result]);
    for (int i = 0; i < OPERANDS; i++)
        free(v[i]);
}
