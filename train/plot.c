/*
 * plot.c - curves as a PNG: axes with round numbers, a grid, a legend.
 */
#include "train/canvas.h"
#include "train/log.h"

#include <math.h>
#include <string.h>

static const tp_color paper = { 255, 255, 255 }, ink = { 60, 60, 70 }, rule = { 225, 225, 230 };
static const tp_color pens[] = { { 31, 119, 180 }, { 214, 95, 20 }, { 44, 140, 60 },
                                 { 190, 40, 50 },  { 130, 90, 180 }, { 120, 90, 60 } };

typedef struct frame {
    double x0, x1, y0, y1;         /* of the data */
    int left, right, top, bottom; /* of the picture */
} frame;

/* So that no span is infinite. */
static bool drawable(double x, double y)
{
    return fabs(x) < 1e300 && fabs(y) < 1e300;
}

/* A range that steps of a double can't divide is that of a constant. */
static void widen(double *from, double *to)
{
    if (*to - *from <= 1e-9 * fmax(fabs(*from), fabs(*to)) || *to - *from < 1e-300)
        *to = *from + fmax(1, fabs(*from));
}

/* The range of all that can be drawn; never empty. */
static void range_of(const tp_series *s, int n, frame *f)
{
    bool any = false;

    f->x0 = f->y0 = INFINITY, f->x1 = f->y1 = -INFINITY;
    for (int k = 0; k < n; k++)
        for (int64_t i = 0; i < s[k].n; i++) {
            if (!drawable(s[k].x[i], s[k].y[i])) continue;
            any = true;
            f->x0 = fmin(f->x0, s[k].x[i]), f->x1 = fmax(f->x1, s[k].x[i]);
            f->y0 = fmin(f->y0, s[k].y[i]), f->y1 = fmax(f->y1, s[k].y[i]);
        }
    if (!any) f->x0 = f->y0 = 0, f->x1 = f->y1 = 1;
    widen(&f->x0, &f->x1), widen(&f->y0, &f->y1);
}

/* 1, 2 or 5 times a power of ten: about `wanted` of them in a range. */
static double round_step(double span, int wanted)
{
    double raw = span / wanted, ten = pow(10, floor(log10(raw))), lead = raw / ten;

    return ten * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

static double to_x(const frame *f, double x)
{
    return f->left + (x - f->x0) / (f->x1 - f->x0) * (f->right - f->left);
}

static double to_y(const frame *f, double y)
{
    return f->bottom - (y - f->y0) / (f->y1 - f->y0) * (f->bottom - f->top);
}

static void draw_grid(tp_canvas *c, const frame *f)
{
    double step = round_step(f->y1 - f->y0, 6);
    char text[32];

    for (double y = ceil(f->y0 / step) * step; y <= f->y1 + step * 1e-9; y += step) {
        int at = (int)to_y(f, y);

        tp__canvas_fill(c, f->left, at, f->right - f->left, 1, rule);
        snprintf(text, sizeof text, "%.6g", fabs(y) < step * 1e-6 ? 0 : y);
        tp__canvas_text(c, f->left - 8 - tp__canvas_text_width(text, 1), at - 4, 1, text, ink);
    }
    step = round_step(f->x1 - f->x0, 8);
    for (double x = ceil(f->x0 / step) * step; x <= f->x1 + step * 1e-9; x += step) {
        int at = (int)to_x(f, x);

        tp__canvas_fill(c, at, f->top, 1, f->bottom - f->top, rule);
        snprintf(text, sizeof text, "%.7g", fabs(x) < step * 1e-6 ? 0 : x);
        tp__canvas_text(c, at - tp__canvas_text_width(text, 1) / 2, f->bottom + 8, 1, text, ink);
    }
    tp__canvas_fill(c, f->left, f->bottom, f->right - f->left, 1, ink);
    tp__canvas_fill(c, f->left, f->top, 1, f->bottom - f->top, ink);
}

static void draw_curve(tp_canvas *c, const frame *f, const tp_series *s, tp_color pen)
{
    for (int64_t i = 0; i < s->n; i++) {
        bool joined = i > 0 && drawable(s->x[i - 1], s->y[i - 1]);
        int64_t from = joined ? i - 1 : i;

        if (!drawable(s->x[i], s->y[i])) continue;
        tp__canvas_line(c, to_x(f, s->x[from]), to_y(f, s->y[from]), to_x(f, s->x[i]), to_y(f, s->y[i]),
                        joined ? 1.6 : 4, pen);
    }
}

static void draw_words(tp_canvas *c, const frame *f, const tp_series *s, int n, tp_plot_opts o)
{
    int at = f->left;

    if (o.title) tp__canvas_text(c, f->left, 14, 2, o.title, ink);
    if (o.x_label)
        tp__canvas_text(c, (f->left + f->right - tp__canvas_text_width(o.x_label, 1)) / 2, f->bottom + 26, 1,
                        o.x_label, ink);
    if (o.y_label) tp__canvas_text(c, 8, f->top - 16, 1, o.y_label, ink);
    for (int k = 0; k < n; k++) {
        tp__canvas_fill(c, at, c->height - 18, 16, 3, pens[k % TP_LEN(pens)]);
        at += 22 + tp__canvas_text(c, at + 22, c->height - 22, 1, s[k].name ? s[k].name : "", ink) + 18;
    }
}

bool tp_plot_lines(const char *png, const tp_series *s, int n, tp_plot_opts o)
{
    tp_canvas c;
    frame f;

    if (!tp_ok()) return false;
    TP_REQUIRE(png && s && n > 0, TP_ERR_ARG, "missing path or curves");
    if (!o.width) o.width = 960;
    if (!o.height) o.height = 540;
    TP_REQUIRE(o.width >= 200 && o.height >= 150 && o.width <= 8192 && o.height <= 8192, TP_ERR_ARG,
               "a picture of %d by %d: 200 by 150 to 8192 by 8192", o.width, o.height);
    if (!tp__canvas_begin(&c, o.width, o.height, paper)) return false;
    range_of(s, n, &f);
    f.left = 72, f.right = o.width - 24, f.top = 56, f.bottom = o.height - 66;
    draw_grid(&c, &f);
    for (int k = 0; k < n; k++)
        draw_curve(&c, &f, &s[k], pens[k % TP_LEN(pens)]);
    draw_words(&c, &f, s, n, o);
    return tp__canvas_end(__func__, &c, png);
}

/* ---- a log's own curves: the loss, and what is beside it between 0 and 1 ---- */

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
    ok = n == 0 || tp_plot_lines(path, s, n, (tp_plot_opts){ .x_label = "step" });
    tp__release(means, bytes);
    return ok;
}
