/*
 * tiny.c - what one op costs beside its arithmetic: a product of 16 floats.
 *
 *   tiny op=mul count=16 plain_ns=1.4 forward_ns=180 backward_ns=240
 *
 * forward: a recorded op; backward: its share of tp_backward.  Each includes the release of
 * what it made.  The best of many rounds, on one processor.
 */
#include "taper.h"

#include <stdio.h>
#include <time.h>

enum { CHAIN = 100, ROUNDS = 5000 };

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static __attribute__((noinline)) void plain(const float *a, const float *b, float *y)
{
    for (int i = 0; i < 16; i++)
        y[i] = a[i] * b[i];
    __asm__ volatile("" ::: "memory");
}

typedef struct times {
    double plain, forward, forward_free, backward, free;
} times;

static times measure(tp_tensor *x, tp_tensor *b)
{
    static float fa[16], fb[16], fy[16];
    times t = { 0 };
    double at = now();

    for (int i = 0; i < CHAIN; i++)
        plain(fa, fb, fy);
    t.plain = now() - at, at = now();
    {
        TP_SCOPE;
        tp_tensor *y = x;

        for (int i = 0; i < CHAIN; i++)
            y = tp_mul(y, b);
        t.forward = now() - at;
    }
    t.forward_free = now() - at;
    {
        TP_SCOPE;
        tp_tensor *y = x, *loss;

        for (int i = 0; i < CHAIN; i++)
            y = tp_mul(y, b);
        loss = tp_sum(y, TP_ALL);
        at = now();
        tp_backward(loss);
        t.backward = now() - at;
        tp_zero_grad(x);
        at = now();
    }
    t.free = now() - at;
    return t;
}

static double least(double a, double b)
{
    return b < a ? b : a;
}

int main(void)
{
    times best = { 1e30, 1e30, 1e30, 1e30, 1e30 };
    tp_device *dev = tp_device_open("cpu");
    TP_SCOPE;
    tp_tensor *b = tp_full(TP_SHAPE(16), 1, TP_F32, dev);
    tp_tensor *x = tp_requires_grad(tp_full(TP_SHAPE(16), .5, TP_F32, dev), true);

    tp_set_threads(1);
    for (int r = 0; r < ROUNDS && tp_ok(); r++) {
        times t = measure(x, b);

        best.plain = least(best.plain, t.plain), best.forward = least(best.forward, t.forward);
        best.forward_free = least(best.forward_free, t.forward_free);
        best.backward = least(best.backward, t.backward), best.free = least(best.free, t.free);
    }
    printf("tiny op=mul count=16 plain_ns=%.1f forward_ns=%.0f (%.0f before release) backward_ns=%.0f\n",
           best.plain / CHAIN, best.forward_free / CHAIN, best.forward / CHAIN, best.backward / CHAIN);
    if (!tp_ok()) fprintf(stderr, "tiny: %s\n", tp_error());
    return !tp_ok();
}
