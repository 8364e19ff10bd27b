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

/* Each level's question: what this processor lacks of it, NULL for nothing. */

#ifdef TP_HAVE_base
static const char *base_lacks(void)
{
    return NULL;
}
#endif

#define LACKS(feature)                                                                   \
    if (!__builtin_cpu_supports(feature)) return feature

#if defined(TP_HAVE_v3) || defined(TP_HAVE_v4)
/* What the x86-64 psABI lists for each level, as far as our code can contain it. */
static const char *v3_lacks(void)
{
    LACKS("avx2");
    LACKS("fma");
    LACKS("bmi");
    LACKS("bmi2");
    LACKS("popcnt");
    return NULL;
}
#endif

#ifdef TP_HAVE_v4
static const char *v4_lacks(void)
{
    LACKS("avx512f");
    LACKS("avx512bw");
    LACKS("avx512cd");
    LACKS("avx512dq");
    LACKS("avx512vl");
    return v3_lacks();
}
#endif

/* Best first. */
static const struct {
    const char *name;
    const tp_backend *backend;
    const char *(*lacks)(void);
} levels[] = {
#ifdef TP_HAVE_v4
    { "v4", &tp_cpu_backend_v4, v4_lacks },
#endif
#ifdef TP_HAVE_v3
    { "v3", &tp_cpu_backend_v3, v3_lacks },
#endif
#ifdef TP_HAVE_base
    { "base", &tp_cpu_backend_base, base_lacks },
#endif
};

enum { LEVELS = sizeof levels / sizeof *levels };

/* -1: not compiled. */
static int find(const char *level)
{
    int i = LEVELS - 1;

    while (i >= 0 && strcmp(levels[i].name, level))
        i--;
    return i;
}

const tp_backend *tp_cpu_backend_level(const char *level)
{
    int i = find(level);

    return i >= 0 && !levels[i].lacks() ? levels[i].backend : NULL;
}

static const tp_backend *chosen;
static char trouble[200];

/* The names of all levels. */
static const char *names(void)
{
    static char text[40];

    for (int i = 0; i < LEVELS; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? ", " : "",
                 levels[i].name);
    return text;
}

/* What was asked for, or else the best that runs; where that can't be, memory is all that is
 * asked of it. */
static void choose(void)
{
    const char *asked = getenv("TAPER_CPU"), *lacks = NULL;
    bool one = asked && *asked;
    int i = one ? find(asked) : 0;

    if (i < 0)
        snprintf(trouble, sizeof trouble, "TAPER_CPU is \"%.40s\": this build has %s", asked,
                 names());
    for (i = i < 0 ? LEVELS - 1 : i; (lacks = levels[i].lacks()) && !one && i < LEVELS - 1;)
        i++;
    if (lacks && !*trouble)
        snprintf(trouble, sizeof trouble,
                 "kernels for %s need %s, which this processor lacks; this build has %s",
                 levels[i].name, lacks, names());
    chosen = levels[i].backend;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

const tp_backend *tp_cpu_backend(void)
{
    pthread_once(&once, choose);
    return chosen;
}

const char *tp_cpu_backend_trouble(void)
{
    pthread_once(&once, choose);
    return *trouble ? trouble : NULL;
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
