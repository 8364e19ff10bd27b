/*
 * plot.c - curves as a PNG: axes with round numbers, a grid, names; a log's in panels by scale.
 */
#include "train/axes.h"
#include "train/log.h"

#include <math.h>
#include <string.h>

enum { FEW = 40 }; /* points that are marked, so that one alone is seen */

static void draw_curve(tp_canvas *c, const tp_frame *f, const tp_series *s, tp_color pen)
{
    for (int64_t i = 0; i < s->n; i++) {
        bool joined = i > 0 && tp__axes_drawable(f, tp__x_of(s, i - 1), s->y[i - 1]);
        int64_t from = joined ? i - 1 : i;
        double x, y;

        if (!tp__axes_drawable(f, tp__x_of(s, i), s->y[i])) continue;
        x = tp__axes_x(f, tp__x_of(s, i)), y = tp__axes_y(f, s->y[i]);
        tp__canvas_line(c, tp__axes_x(f, tp__x_of(s, from)), tp__axes_y(f, s->y[from]), x, y, 0.8 + 0.8 * f->scale, pen);
        if (!joined || s->n <= FEW) tp__canvas_line(c, x, y, x, y, 3 + 2 * f->scale, pen);
    }
}

/* Some of a picture's curves, in a range of y of their own and the x of all. */
typedef struct panel {
    const tp_series *s;
    int n, all, first; /* curves here, in the picture, before these */
    const char *x_label, *y_label;
} panel;

/* Names, curves, numbers, and what x is, where f says. */
static void draw_panel(tp_canvas *c, tp_frame f, panel p)
{
    const tp_series *s = p.s + p.first;
    tp_frame whole = f;

    tp__axes_range(s, p.n, &f), tp__axes_range(p.s, p.all, &whole);
    f.x0 = whole.x0, f.x1 = whole.x1;
    tp__axes_widen(&f);
    tp__axes_grid(c, &f);
    for (int k = 0; k < p.n; k++)
        draw_curve(c, &f, &s[k], tp__pen[(p.first + k) % TP_PENS]);
    tp__plot_names(c, &f, s, p.n, p.y_label, p.first);
    tp__plot_x_label(c, &f, p.x_label);
}

bool tp_plot_lines(const char *png, const tp_series *s, int n, tp_plot_opts o)
{
    tp_canvas c;
    tp_frame f;

    if (!tp__plot_begin(__func__, png, s, n, o, &c, &f)) return false;
    draw_panel(&c, f, (panel){ s, n, n, 0, o.x_label, o.y_label });
    return tp__canvas_end(__func__, &c, png);
}

/* ---- a log's own curves: those of one scale share a panel ---- */

/* Means over about a hundred places, drawn above the raw values. */
static void smooth(const tp_track *t, double *y)
{
    int64_t half = t->n / 200 + 1;

    for (int64_t i = 0; i < t->n; i++) {
        int64_t from = i > half ? i - half : 0, to = i + half < t->n ? i + half : t->n - 1;
        double sum = 0;

        for (int64_t k = from; k <= to; k++)
            sum += t->y[k];
        y[i] = sum / (double)(to - from + 1);
    }
}

/* Would the one be flat, or a speck, in the other's range? */
static bool alike(const tp_series *a, const tp_series *b)
{
    tp_frame f = { 0 }, g = { 0 };
    double most, least;

    tp__axes_range(a, 1, &f), tp__axes_range(b, 1, &g);
    most = fmax(tp__half_span(f.y0, f.y1), tp__half_span(g.y0, g.y1)), least = fmin(tp__half_span(f.y0, f.y1), tp__half_span(g.y0, g.y1));
    return least > 0 && most <= 8 * least && f.y0 <= g.y1 && g.y0 <= f.y1;
}

/* Brings those that share a panel together; ends[i] is the first of the panel after the i-th. */
static int panels_of(tp_series *s, int n, int *ends)
{
    int panels = 0;

    for (int first = 0, end; first < n; first = end) {
        end = first + 1;
        for (int k = end; k < n; k++)
            if (alike(&s[first], &s[k])) {
                tp_series swap = s[k];

                s[k] = s[end], s[end++] = swap;
            }
        ends[panels++] = end;
    }
    return panels;
}

static bool draw_log(const char *png, tp_series *s, int n)
{
    int ends[TP_TRACKS], panels = panels_of(s, n, ends), high = panels > 1 ? 300 : 490, top;
    char title[TP_TRACKS * 34] = "";
    tp_canvas c;

    if (!tp__canvas_begin(&c, 960, 50 + panels * high, tp__paper)) return false;
    for (int k = 0; k < n; k++)
        strcat(strcat(title, k ? ", " : ""), s[k].name);
    top = tp__plot_title(&c, 2, title);
    for (int p = 0, first = 0; p < panels; first = ends[p++]) {
        bool last = p + 1 == panels;
        tp_frame f = { .scale = 2, .left = 8 + 64 * 2, .right = c.width - 20 * 2, .top = top + p * high + 18 * 2,
                       .bottom = (last ? c.height : top + (p + 1) * high) - 34 * 2 };

        draw_panel(&c, f, (panel){ s, ends[p] - first, n, first, last ? "step" : NULL, NULL });
    }
    return tp__canvas_end("tp_log_close", &c, png);
}

bool tp__log_plot(tp_logger *l)
{
    size_t bytes = sizeof(double) * TP_POINTS * (size_t)(l->n + 1);
    double *means = tp__alloc(bytes);
    tp_series s[TP_TRACKS];
    char path[4096];
    bool ok;
    int n = 0;

    if (!means || !l->dir) return tp__release(means, bytes), tp_ok();
    for (int i = 0; i < l->n; i++) {
        tp_track *t = &l->track[i];

        if (!t->n) continue;
        smooth(t, means + (size_t)i * TP_POINTS);
        s[n++] = (tp_series){ t->key, t->x, t->n > 100 ? means + (size_t)i * TP_POINTS : t->y, t->n };
    }
    snprintf(path, sizeof path, "%s/curve.png", l->dir);
    ok = n == 0 || draw_log(path, s, n);
    tp__release(means, bytes);
    return ok;
}
