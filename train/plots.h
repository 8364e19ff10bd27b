/*
 * plots.h - pictures of numbers, as PNG files.  Included by train/train.h.
 *
 * What is there already is replaced when the new picture is whole.  Names are ASCII; other
 * characters show as '?'.  What doesn't fit is shortened, with dots.
 */
#ifndef TP_TRAIN_PLOTS_H
#define TP_TRAIN_PLOTS_H

#include "train/metrics.h"

TP_API_BEGIN

/* One curve, or one cloud of dots. */
typedef struct tp_series {
    const char *name;
    const double *x, *y; /* NaN: a gap; x NULL: 0, 1, 2 ... */
    int64_t n;
} tp_series;
typedef struct tp_plot_opts {
    const char *title, *x_label, *y_label;
    int width, height; /* 0: 960 by 540 */
    bool log_x, log_y; /* axes of logarithms; what is 0 or below isn't drawn there */
    bool diagonal;     /* of tp_plot_scatter: both axes have one range, and the line y = x is drawn */
} tp_plot_opts;
/* Lines through the points of each series, in their order. */
bool tp_plot_lines(const char *png, const tp_series *s, int n, tp_plot_opts o)
    __attribute__((warn_unused_result));
/* Dots; as predicted (y) against true (x) numbers with diagonal. */
bool tp_plot_scatter(const char *png, const tp_series *s, int n, tp_plot_opts o)
    __attribute__((warn_unused_result));
/* How many of each series' y lie in each of `bins` parts of the range of all (0: about log2 of their
 * number, from 5 to 100).  x isn't read.  One series is drawn as bars, several as outlines.  NaN
 * and infinities don't count.  log_x is refused. */
bool tp_plot_histogram(const char *png, const tp_series *s, int n, int bins, tp_plot_opts o)
    __attribute__((warn_unused_result));

typedef struct tp_heat_opts {
    const char *title, *x_label, *y_label;
    const char *const *row, *const *column; /* a name each, or NULL: their numbers */
} tp_heat_opts;
/* cells[r * columns + c] as squares from white, the least, to dark, the largest; NaN is grey.  Up to
 * 32 columns each square has its number.  At most 512 by 512. */
bool tp_plot_heat(const char *png, const double *cells, int rows, int columns, tp_heat_opts o)
    __attribute__((warn_unused_result));
/* The counts of a metric that counts classes: rows are labels, columns what they were taken for, each
 * row shaded by its own shares.  name NULL: numbers. */
bool tp_metric_plot_confusion(const char *png, const tp_metric *m, const char *const *name, const char *title)
    __attribute__((warn_unused_result));

TP_API_END

#endif
