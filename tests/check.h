/*
 * check.h - what every test file includes: Criterion, cases with names, tensors to try.
 *
 * A Criterion test is a family: it loops over devices, dtypes, shapes and layouts, names
 * each case with CASE, and goes on after a failure, so one run shows all that is wrong.
 */
#ifndef TP_TESTS_CHECK_H
#define TP_TESTS_CHECK_H

#include "taper.h"
#include "tensor/internal.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char check_name[160];
#define CASE(...) snprintf(check_name, sizeof check_name, __VA_ARGS__)

#define CHECK(cond) cr_expect(cond, "%s: %s  [%s]", check_name, #cond, tp_error())
#define CHECK_NEAR(a, b, tolerance)                                                      \
    do {                                                                                 \
        double got_ = (a), want_ = (b);                                                  \
        cr_expect(fabs(got_ - want_) <= (tolerance) || (isnan(got_) && isnan(want_)) || got_ == want_, \
                  "%s: %s is %.17g, not %.17g  [%s]", check_name, #a, got_, want_,       \
                  tp_error());                                                           \
    } while (0)

/* result is NULL or false, for this reason; the error is cleared. */
#define CHECK_REFUSED(result, code, text)                                                \
    do {                                                                                 \
        cr_expect(!(result), "%s: %s was accepted", check_name, #result);                \
        cr_expect(tp_error_code() == (code) && strstr(tp_error(), text),                 \
                  "%s: %s was refused with \"%s\"", check_name, #result, tp_error());    \
        tp_clear_error();                                                                \
    } while (0)

/* What the CPU refuses and other devices take: f16, which is storage alone there; integers over 0. */
#define CHECK_REFUSED_ON_CPU(dev, result, code, text)                                    \
    do {                                                                                 \
        if (!strcmp(tp_device_name(dev), "cpu")) CHECK_REFUSED(result, code, text);                    \
        else CHECK(result);                                                              \
    } while (0)

/* What numbers on the device make wrong is refused at once on the CPU, by other devices at the next wait. */
#define CHECK_REFUSED_BY_DATA(dev, result, code, text, later)                            \
    do {                                                                                 \
        if (!strcmp(tp_device_name(dev), "cpu")) {                                       \
            CHECK_REFUSED(result, code, text);                                           \
        } else {                                                                         \
            CHECK(result);                                                               \
            CHECK_REFUSED(tp_device_wait(dev), TP_ERR_ARG, later);                       \
        }                                                                                \
    } while (0)

/* cpu, then cuda where there is one:  for (int d = 0; (dev = check_device(d)); d++) */
static inline tp_device *check_device(int d)
{
    tp_device *dev = d == 0 ? tp_device_open("cpu") : NULL;

    if (d == 1 && (getenv("TAPER_CUDA_LIBRARY") || getenv("TAPER_TEST_CUDA"))) {
        dev = tp_device_open("cuda");
        cr_assert(dev, "TAPER_CUDA_LIBRARY is set: %s", tp_error());
    }
    return dev;
}

/* A family that runs on each device, and leaves no error and no block of memory behind. */
#define ON_EACH_DEVICE(suite, family)                                                    \
    static void family(tp_device *dev);                                                  \
    Test(suite, family)                                                                  \
    {                                                                                    \
        tp_device *dev;                                                                  \
        for (int d = 0; (dev = check_device(d)); d++)                                    \
            check_family(family, #family, dev);                                          \
    }                                                                                    \
    static void family(tp_device *dev)

static inline void check_family(void (*family)(tp_device *dev), const char *name, tp_device *dev)
{
    long before;

    tp_thread_end();
    before = tp__live();
    CASE("%s on %s", name, tp_device_name(dev));
    family(dev);
    CASE("%s on %s, at its end", name, tp_device_name(dev));
    cr_expect(tp_ok(), "%s: left an error: %s", check_name, tp_error());
    tp_clear_error();
    tp_thread_end();
    cr_expect(tp__live() == before, "%s: %ld blocks leak", check_name, tp__live() - before);
}

/* Numbers uniform in lo..hi, the same in each run. */
static inline tp_tensor *check_numbers(tp_shape s, tp_dtype t, double lo, double hi,
                                       tp_device *dev)
{
    static uint32_t seed = 1;
    int64_t n = tp__elements(&s);
    double *v = malloc(sizeof *v * (size_t)(n + 1));
    tp_tensor *y;

    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = lo + (hi - lo) * (seed >> 8) * 0x1p-24;
    }
    y = tp_to(tp_cast(tp_from(v, s, TP_F64, tp_device_open("cpu")), t), dev);
    free(v);
    return y;
}

static inline tp_tensor *check_leaf(tp_shape s, double lo, double hi, tp_device *dev)
{
    return tp_requires_grad(tp_detach(check_numbers(s, TP_F64, lo, hi, dev)), true);
}

/* Element i, in logical order, as a double. */
static inline double check_at(tp_tensor *t, int64_t i)
{
    double *v = malloc(sizeof *v * (size_t)(tp_count(t) + 1)), x = NAN;

    if (t && tp_read(tp_cast(t, TP_F64), v, sizeof *v * (size_t)tp_count(t))) x = v[i];
    free(v);
    return x;
}

#endif
