/*
 * timing.h - the clock, medians, and the machine's peak, for the programs here.
 */
#ifndef TP_BENCH_TIMING_H
#define TP_BENCH_TIMING_H

#include "taper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Seconds. */
static inline double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of v, which is sorted by it. */
static inline double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

/* What the probe beside this program tells of the threads in use; 0 where it isn't built. */
static inline double peak_gflops(const char *self)
{
    char command[4096], line[256] = "";
    const char *slash = strrchr(self, '/'), *at;
    FILE *f;

    snprintf(command, sizeof command, "'%.*s/probe' 2>/dev/null", slash ? (int)(slash - self) : 1, slash ? self : ".");
    if (!(f = popen(command, "r"))) return 0;
    if (!fgets(line, sizeof line, f)) line[0] = 0;
    pclose(f);
    at = strstr(line, tp_threads() > 1 ? "gflops2=" : "gflops1=");
    return at ? atof(strchr(at, '=') + 1) : 0;
}

#endif
