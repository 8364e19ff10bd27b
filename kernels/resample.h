/*
 * resample.h - averages over windows, and resizing: maps of one axis, each result a weighted sum of
 * neighbours.  Over both spatial axes the weights are products.
 */
#ifndef TP_KERNELS_RESAMPLE_H
#define TP_KERNELS_RESAMPLE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __CUDACC__
#define TP_RESAMPLE_FN static inline __host__ __device__
#else
#define TP_RESAMPLE_FN static inline
#endif

typedef enum tp_resample_rule {
    TP_BY_WINDOW,   /* means of windows, as tp_window's without dilation */
    TP_BY_PART,     /* means of `out` parts of about equal size */
    TP_BY_NEAREST,  /* element floor(o scale) */
    TP_BY_LINE,     /* between two elements, at (o + 1/2) scale - 1/2 */
    TP_BY_CORNERS   /* the same at o scale */
} tp_resample_rule;

typedef struct tp_resample_axis {
    int64_t n, out; /* elements, results */
    tp_resample_rule rule;
    int64_t kernel, stride, pad, divisor; /* of windows; divisor 0: what a window counts */
    bool skip_pad;                        /* padding doesn't count */
    double scale;
} tp_resample_axis;

/* x (N, H, W, C) to y (N, OH, OW, C), dense. */
typedef struct tp_resample {
    int64_t N, C;
    tp_resample_axis h, w;
} tp_resample;

/* Result o is (first x[from] + rest (x[from + 1] + ...)) / over. */
typedef struct tp_taps {
    int64_t from, count;
    double first, rest, over;
} tp_taps;

TP_RESAMPLE_FN tp_taps tp__taps(int64_t from, int64_t count, double first, double rest, double over)
{
    tp_taps t = { from, count, first, rest, over };

    return t;
}

TP_RESAMPLE_FN tp_taps tp__window_taps(const tp_resample_axis *a, int64_t o)
{
    int64_t from = o * a->stride - a->pad, to = from + a->kernel, size;

    to = to < a->n + a->pad ? to : a->n + a->pad, size = to - from;
    from = from > 0 ? from : 0, to = to < a->n ? to : a->n;
    if (a->skip_pad) size = to - from;
    if (a->divisor) size = a->divisor;
    return tp__taps(from, to > from ? to - from : 0, 1, 1, (double)size);
}

TP_RESAMPLE_FN tp_taps tp__line_taps(const tp_resample_axis *a, int64_t o)
{
    double at = a->rule == TP_BY_CORNERS ? (double)o * a->scale : ((double)o + 0.5) * a->scale - 0.5, part;
    int64_t from;

    at = at > 0 ? at : 0, from = (int64_t)at;
    from = from < a->n - 1 ? from : a->n - 1, part = at - (double)from;
    if (from == a->n - 1) return tp__taps(from, 1, 1, 1, 1);
    return tp__taps(from, 2, 1 - part, part, 1);
}

/* The place is computed in float, as PyTorch does: another rounding would pick a neighbour. */
TP_RESAMPLE_FN tp_taps tp__nearest_taps(const tp_resample_axis *a, int64_t o)
{
    int64_t from = (int64_t)floorf((float)o * (float)a->scale);

    return tp__taps(from < a->n - 1 ? from : a->n - 1, 1, 1, 1, 1);
}

TP_RESAMPLE_FN tp_taps tp_resample_taps(const tp_resample_axis *a, int64_t o)
{
    int64_t from, to;

    if (a->rule == TP_BY_WINDOW) return tp__window_taps(a, o);
    if (a->rule == TP_BY_NEAREST) return tp__nearest_taps(a, o);
    if (a->rule != TP_BY_PART) return tp__line_taps(a, o);
    from = o * a->n / a->out, to = ((o + 1) * a->n + a->out - 1) / a->out;
    return tp__taps(from, to - from, 1, 1, (double)(to - from));
}

#endif
