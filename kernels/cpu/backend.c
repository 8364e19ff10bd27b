/*
 * backend.c - which instruction set's kernels this processor runs.
 *
 * The build defines TP_HAVE_base, TP_HAVE_v3, TP_HAVE_v4 for the tables that there are.
 */
#include "kernels/cpu/levels.h"

#include <cblas.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef TP_HAVE_base
static bool base_runs(void)
{
    return true;
}
#endif

#if defined(TP_HAVE_v3) || defined(TP_HAVE_v4)
/* What the x86-64 psABI lists for each level, as far as our code can contain it. */
static bool v3_runs(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}
#endif

#ifdef TP_HAVE_v4
static bool v4_runs(void)
{
    return v3_runs() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

/* Best first. */
static const struct {
    const char *name;
    const tp_backend *backend;
    bool (*runs)(void);
} levels[] = {
#ifdef TP_HAVE_v4
    { "v4", &tp_cpu_backend_v4, v4_runs },
#endif
#ifdef TP_HAVE_v3
    { "v3", &tp_cpu_backend_v3, v3_runs },
#endif
#ifdef TP_HAVE_base
    { "base", &tp_cpu_backend_base, base_runs },
#endif
};

enum { LEVELS = sizeof levels / sizeof *levels };

const tp_backend *tp_cpu_backend_level(const char *level)
{
    for (int i = 0; i < LEVELS; i++)
        if (strcmp(levels[i].name, level) == 0 && levels[i].runs())
            return levels[i].backend;
    return NULL;
}

static const tp_backend *chosen;

static void choose(void)
{
    const char *asked = getenv("TAPER_CPU");

    chosen = asked ? tp_cpu_backend_level(asked) : NULL;
    for (int i = 0; !chosen; i++)
        if (i == LEVELS - 1 || levels[i].runs()) chosen = levels[i].backend;
}

const tp_backend *tp_cpu_backend(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, choose);
    return chosen;
}

/* OpenBLAS's configuration begins "OpenBLAS 0.3.21 ...". */
static const char *blas_threads(void)
{
    switch (openblas_get_parallel()) {
    case OPENBLAS_OPENMP:
        return "openmp";
    case OPENBLAS_THREAD:
        return "pthread (slow beside OpenMP: install its OpenMP build)";
    default:
        return "one thread";
    }
}

const char *tp__cpu_describe(const tp_ctx *c, const char *level)
{
    static _Thread_local char text[200];
    const char *version = strchr(openblas_get_config(), ' ');
    int length;

    version = version ? version + 1 : "";
    length = (int)strcspn(version, " ");
#if defined(__x86_64__)
    snprintf(text, sizeof text, "x86-64%s%s, %d thread%s, OpenBLAS %.*s %s",
             strcmp(level, "base") ? "-" : "", strcmp(level, "base") ? level : "",
             c->threads, c->threads == 1 ? "" : "s", length, version, blas_threads());
#else
    snprintf(text, sizeof text, "%s, %d thread%s, OpenBLAS %.*s %s", level, c->threads,
             c->threads == 1 ? "" : "s", length, version, blas_threads());
#endif
    return text;
}

int tp__kernel_error(tp_ctx *c, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(c->error, sizeof c->error, fmt, args);
    va_end(args);
    return TP_KERNEL_FAILED;
}
