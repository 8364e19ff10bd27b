/*
 * plot_marks.c - dots and histograms, in the axes of plot.c.
 */
#include "train/axes.h"

#include "tensor/internal.h"

#include <math.h>

/* ---- dots ---- */

static void draw_dots(tp_canvas *c, const tp_frame *f, const tp_series *s, tp_color pen)
{
    for (int64_t i = 0; i < s->n; i++) {
        double x, y;

        if (!tp__axes_drawable(f, tp__x_of(s, i), s->y[i])) continue;
        x = tp__axes_x(f, tp__x_of(s, i)), y = tp__axes_y(f, s->y[i]);
        tp__canvas_line(c, x, y, x, y, 2 + 2 * f->scale, pen);
    }
}

/* Dots at the edge are whole. */
static void leave_margin(double *from, double *to)
{
    double margin = tp__half_span(*from, *to) * 0.04;

    if (isfinite(*from - margin) && isfinite(*to + margin)) *from -= margin, *to += margin;
}

bool tp_plot_scatter(const char *png, const tp_series *s, int n, tp_plot_opts o)
{
    tp_canvas c;
    tp_frame f;

    TP_REQUIRE(!o.diagonal || o.log_x == o.log_y, TP_ERR_ARG, "a diagonal needs two axes of one kind");
    if (!tp__plot_begin(__func__, png, s, n, o, &c, &f)) return false;
    tp__axes_range(s, n, &f);
    if (o.diagonal) f.x0 = f.y0 = fmin(f.x0, f.y0), f.x1 = f.y1 = fmax(f.x1, f.y1);
    tp__axes_widen(&f);
    leave_margin(&f.x0, &f.x1), leave_margin(&f.y0, &f.y1);
    tp__axes_grid(&c, &f);
    if (o.diagonal) tp__canvas_line(&c, f.left, f.bottom, f.right, f.top, 1.5, tp__ink);
    for (int k = 0; k < n; k++)
        draw_dots(&c, &f, &s[k], tp__pen[k % TP_PENS]);
    tp__plot_names(&c, &f, s, n, o.y_label, 0);
    tp__plot_x_label(&c, &f, o.x_label);
    return tp__canvas_end(__func__, &c, png);
}

/* ---- histograms ---- */

/* The range of all y, as the frame's x, and how many they are. */
static int64_t range_of_y(const tp_series *s, int n, tp_frame *f)
{
    int64_t seen = 0;

    f->x0 = INFINITY, f->x1 = -INFINITY;
    for (int k = 0; k < n; k++)
        for (int64_t i = 0; i < s[k].n; i++)
            if (isfinite(s[k].y[i]))
                f->x0 = fmin(f->x0, s[k].y[i]), f->x1 = fmax(f->x1, s[k].y[i]), seen++;
    if (!seen) f->x0 = 0, f->x1 = 1;
    return seen;
}

/* The last part has both its ends, as NumPy's. */
static void count(const tp_series *s, const tp_frame *f, int bins, double *counts)
{
    for (int b = 0; b < bins; b++)
        counts[b] = 0;
    for (int64_t i = 0; i < s->n; i++) {
        double at = tp__half_span(f->x0, s->y[i]) / tp__half_span(f->x0, f->x1) * bins;

        if (isfinite(s->y[i])) counts[at < bins ? (int)fmax(at, 0) : bins - 1]++;
    }
}

static void draw_bars(tp_canvas *c, const tp_frame *f, const double *counts, int bins)
{
    for (int b = 0; b < bins; b++) {
        int from = f->left + (int)((int64_t)(f->right - f->left) * b / bins) + 1,
            to = f->left + (int)((int64_t)(f->right - f->left) * (b + 1) / bins);
        int top = counts[b] > 0 ? (int)tp__axes_y(f, counts[b]) : f->bottom;

        tp__canvas_fill(c, from, top, to - from > 0 ? to - from : 1, f->bottom - top, tp__pen[0]);
    }
}

static void draw_outline(tp_canvas *c, const tp_frame *f, const double *counts, int bins, tp_color pen)
{
    double last = f->bottom, x = f->left, thick = 0.8 + 0.8 * f->scale;

    for (int b = 0; b < bins; b++) {
        double next = f->left + (double)(f->right - f->left) * (b + 1) / bins,
               y = counts[b] > 0 ? tp__axes_y(f, counts[b]) : f->bottom;

        tp__canvas_line(c, x, last, x, y, thick, pen), tp__canvas_line(c, x, y, next, y, thick, pen);
        x = next, last = y;
    }
    tp__canvas_line(c, x, last, x, f->bottom, thick, pen);
}

static void draw_counts(tp_canvas *c, tp_frame *f, const tp_series *s, int n, double *counts, int bins)
{
    double most = 0;

    for (int k = 0; k < n; k++) {
        count(&s[k], f, bins, counts + k * bins);
        for (int b = 0; b < bins; b++)
            most = fmax(most, counts[k * bins + b]);
    }
    f->y0 = f->log_y ? log10(0.5) : 0, f->y1 = f->log_y ? log10(fmax(1, most) * 1.3) : fmax(1, most) * 1.05;
    tp__axes_grid(c, f);
    if (n == 1) draw_bars(c, f, counts, bins);
    for (int k = 0; n > 1 && k < n; k++)
        draw_outline(c, f, counts + k * bins, bins, tp__pen[k % TP_PENS]);
}

bool tp_plot_histogram(const char *png, const tp_series *s, int n, int bins, tp_plot_opts o)
{
    tp_canvas c;
    tp_frame f;
    double *counts;
    size_t bytes;
    int64_t seen;

    TP_REQUIRE(bins >= 0 && bins <= 4096 && !o.log_x, TP_ERR_ARG, "%d bins%s: up to 4096, on an axis of numbers", bins,
               o.log_x ? " of logarithms" : "");
    if (!tp__plot_begin(__func__, png, s, n, o, &c, &f)) return false;
    seen = range_of_y(s, n, &f);
    f.y0 = 0, f.y1 = 1, tp__axes_widen(&f);
    if (!bins) bins = (int)fmin(100, fmax(5, 2 * ceil(log2((double)seen + 1))));
    bytes = (size_t)n * (size_t)bins * sizeof *counts;
    if (!(counts = tp__alloc(bytes))) return tp__canvas_free(&c), false;
    draw_counts(&c, &f, s, n, counts, bins);
    tp__release(counts, bytes);
    tp__plot_names(&c, &f, s, n, o.y_label, 0);
    tp__plot_x_label(&c, &f, o.x_label);
    return tp__canvas_end(__func__, &c, png);
}
