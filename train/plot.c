/*
 * plot.c - curves as a PNG: axes with round numbers, a grid, names; a log's in panels by scale.
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
    int scale;                    /* of the letters */
} frame;

static bool drawable(double x, double y)
{
    return isfinite(x) && isfinite(y);
}

/* Of halves, which a span from -DBL_MAX to DBL_MAX needs. */
static double half_span(double from, double to)
{
    return to / 2 - from / 2;
}

/* A range that steps of a double can't divide is that of a constant. */
static void widen(double *from, double *to)
{
    double half = half_span(*from, *to), size = fmax(fabs(*from), fabs(*to));

    if (half > 5e-10 * size && half > 1e-300) return;
    if (size < 1e300) half = fmax(1, size) / 2, *from -= half, *to += half;
    else if (*from < 0) *to = 0;
    else *from = 0;
}

/* The range of all that can be drawn; 0 to 1 where nothing can. */
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
}

/* 1, 2 or 5 times a power of ten: about `wanted` of them in a range. */
static double round_step(double from, double to, int wanted)
{
    double raw = half_span(from, to) / fmax(1, wanted / 2.0), ten = pow(10, floor(log10(raw))), lead = raw / ten;

    return ten * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

static double to_x(const frame *f, double x)
{
    return f->left + half_span(f->x0, x) / half_span(f->x0, f->x1) * (f->right - f->left);
}

static double to_y(const frame *f, double y)
{
    return f->bottom - half_span(f->y0, y) / half_span(f->y0, f->y1) * (f->bottom - f->top);
}

/* ---- words that stay within their room ---- */

/* text, or as much of it as fits, with dots; one buffer. */
static const char *fitted(const char *text, int scale, int room)
{
    static _Thread_local char cut[256 + 4];
    size_t n = strlen(text);

    if (n < 256 && tp__canvas_text_width(text, scale) <= room) return text;
    for (n = n < 256 ? n : 256; n; n--) {
        if (((unsigned char)text[n] & 0xc0) == 0x80) continue; /* inside of a character */
        memcpy(cut, text, n), strcpy(cut + n, "...");
        if (tp__canvas_text_width(cut, scale) <= room) return cut;
    }
    return "";
}

static int put_text(tp_canvas *c, int x, int y, int scale, const char *text, int room)
{
    return tp__canvas_text(c, x, y, scale, fitted(text ? text : "", scale, room), ink);
}

/* ---- one panel ---- */

static void draw_grid(tp_canvas *c, const frame *f)
{
    int high = 12 * f->scale;
    double step = round_step(f->y0, f->y1, 2 * (f->bottom - f->top) / (5 * high));
    char text[32];

    for (double k = ceil(f->y0 / step); k <= f->y1 / step + 1e-9; k++) {
        double y = k * step;
        int at = (int)to_y(f, y);

        tp__canvas_fill(c, f->left, at, f->right - f->left, 1, rule);
        snprintf(text, sizeof text, "%.6g", k == 0 ? 0 : y);
        tp__canvas_text(c, f->left - 8 - tp__canvas_text_width(text, f->scale), at - 4 * f->scale, f->scale, text, ink);
    }
    step = round_step(f->x0, f->x1, (f->right - f->left) / (8 * high));
    for (double k = ceil(f->x0 / step); k <= f->x1 / step + 1e-9; k++) {
        double x = k * step;
        int at = (int)to_x(f, x), w;

        tp__canvas_fill(c, at, f->top, 1, f->bottom - f->top, rule);
        snprintf(text, sizeof text, "%.7g", k == 0 ? 0 : x);
        w = tp__canvas_text_width(text, f->scale);
        at = at + w / 2 > c->width - 4 ? c->width - 4 - w : at - w / 2;
        tp__canvas_text(c, at, f->bottom + 8, f->scale, text, ink);
    }
    tp__canvas_fill(c, f->left, f->bottom, f->right - f->left, 1, ink);
    tp__canvas_fill(c, f->left, f->top, 1, f->bottom - f->top, ink);
}

enum { FEW = 40 }; /* points that are marked, so that one alone is seen */

static void draw_curve(tp_canvas *c, const frame *f, const tp_series *s, tp_color pen)
{
    for (int64_t i = 0; i < s->n; i++) {
        bool joined = i > 0 && drawable(s->x[i - 1], s->y[i - 1]);
        int64_t from = joined ? i - 1 : i;
        double x, y;

        if (!drawable(s->x[i], s->y[i])) continue;
        x = to_x(f, s->x[i]), y = to_y(f, s->y[i]);
        tp__canvas_line(c, to_x(f, s->x[from]), to_y(f, s->y[from]), x, y, 0.8 + 0.8 * f->scale, pen);
        if (!joined || s->n <= FEW) tp__canvas_line(c, x, y, x, y, 3 + 2 * f->scale, pen);
    }
}

/* The curves' names in a row above the frame, each with its share of the room. */
static void draw_names(tp_canvas *c, const frame *f, const tp_series *s, int n, const char *y_label, int first_pen)
{
    int y = f->top - 14 * f->scale, at = f->left, room;

    if (y_label) at = 8 + put_text(c, 8, y, f->scale, y_label, f->right / 3) + 16 * f->scale;
    if (at < f->left) at = f->left;
    room = (f->right - at) / n;
    for (int k = 0; k < n; k++, at += room) {
        int w = put_text(c, at + 22, y, f->scale, s[k].name, room - 22 - 8);

        if (w) tp__canvas_fill(c, at, y + 3 * f->scale, 16, 3, pens[(first_pen + k) % TP_LEN(pens)]);
    }
}

/* Letters are twice as large where there is room for them. */
static int scale_of(int width, int height)
{
    return width >= 800 && height >= 400 ? 2 : 1;
}

/* Some of a picture's curves, in a range of y of their own and the x of all. */
typedef struct panel {
    const tp_series *s;
    int n, all, first; /* curves here, in the picture, before these */
    int from, to;      /* rows of the picture */
    const char *x_label, *y_label;
} panel;

/* Names, curves, numbers, and what x is. */
static void draw_panel(tp_canvas *c, int scale, panel p)
{
    frame f = { .scale = scale, .left = 8 + 64 * scale, .right = c->width - 20 * scale, .top = p.from + 18 * scale,
                .bottom = p.to - 34 * scale }, whole;
    const tp_series *s = p.s + p.first;
    int room = f.right - f.left, n = p.n, first_pen = p.first;
    const char *x_label = p.x_label;

    range_of(s, n, &f), range_of(p.s, p.all, &whole);
    f.x0 = whole.x0, f.x1 = whole.x1;
    widen(&f.x0, &f.x1), widen(&f.y0, &f.y1);
    draw_grid(c, &f);
    for (int k = 0; k < n; k++)
        draw_curve(c, &f, &s[k], pens[(first_pen + k) % TP_LEN(pens)]);
    draw_names(c, &f, s, n, p.y_label, first_pen);
    if (x_label) {
        x_label = fitted(x_label, scale, room);
        tp__canvas_text(c, f.left + (room - tp__canvas_text_width(x_label, scale)) / 2, f.bottom + 8 + 13 * scale, scale, x_label, ink);
    }
}

/* Gives the row below the title. */
static int draw_title(tp_canvas *c, int scale, const char *title)
{
    if (title) put_text(c, 8 + 64 * scale, 8, scale + 1, title, c->width - 84 * scale - 8);
    return 12 + 12 * (scale + 1);
}

static bool series_ok(const tp_series *s, int n)
{
    for (int k = 0; k < n; k++)
        TP_REQUIRE_IN("tp_plot_lines", s[k].n >= 0 && (!s[k].n || (s[k].x && s[k].y)), TP_ERR_ARG,
                      "curve %d has %lld points%s", k, (long long)s[k].n, s[k].x && s[k].y ? "" : ", and no numbers");
    return true;
}

bool tp_plot_lines(const char *png, const tp_series *s, int n, tp_plot_opts o)
{
    tp_canvas c;
    int scale;

    if (!tp_ok()) return false;
    TP_REQUIRE(png && s && n > 0, TP_ERR_ARG, "missing path or curves");
    if (!series_ok(s, n)) return false;
    if (!o.width) o.width = 960;
    if (!o.height) o.height = 540;
    TP_REQUIRE(o.width >= 200 && o.height >= 150 && o.width <= 8192 && o.height <= 8192, TP_ERR_ARG,
               "a picture of %d by %d: 200 by 150 to 8192 by 8192", o.width, o.height);
    if (!tp__canvas_begin(&c, o.width, o.height, paper)) return false;
    scale = scale_of(o.width, o.height);
    draw_panel(&c, scale, (panel){ s, n, n, 0, draw_title(&c, scale, o.title), o.height, o.x_label, o.y_label });
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
    frame f, g;
    double most, least;

    range_of(a, 1, &f), range_of(b, 1, &g);
    most = fmax(half_span(f.y0, f.y1), half_span(g.y0, g.y1)), least = fmin(half_span(f.y0, f.y1), half_span(g.y0, g.y1));
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

    if (!tp__canvas_begin(&c, 960, 50 + panels * high, paper)) return false;
    for (int k = 0; k < n; k++)
        strcat(strcat(title, k ? ", " : ""), s[k].name);
    top = draw_title(&c, 2, title);
    for (int p = 0, first = 0; p < panels; first = ends[p++])
        draw_panel(&c, 2, (panel){ s, ends[p] - first, n, first, top + p * high, p + 1 < panels ? top + (p + 1) * high : c.height,
                                   p + 1 < panels ? NULL : "step", NULL });
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
