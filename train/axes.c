/*
 * axes.c - see axes.h.  Round numbers beside a grid; powers of ten on an axis of logarithms.
 */
#include "train/axes.h"

#include "tensor/internal.h"
#include "tensor/plain.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const tp_color tp__paper = { 255, 255, 255 }, tp__ink = { 60, 60, 70 }, tp__rule = { 225, 225, 230 };
const tp_color tp__pen[TP_PENS] = { { 31, 119, 180 }, { 214, 95, 20 }, { 44, 140, 60 },
                                    { 190, 40, 50 },  { 130, 90, 180 }, { 120, 90, 60 } };

bool tp__axes_drawable(const tp_frame *f, double x, double y)
{
    return isfinite(x) && isfinite(y) && (!f->log_x || x > 0) && (!f->log_y || y > 0);
}

/* Of halves, which a span from -DBL_MAX to DBL_MAX needs. */
double tp__half_span(double from, double to)
{
    return to / 2 - from / 2;
}

static void widen(double *from, double *to)
{
    double half = tp__half_span(*from, *to), size = fmax(fabs(*from), fabs(*to));

    if (half > 5e-10 * size && half > 1e-300) return;
    if (size < 1e300) half = fmax(1, size) / 2, *from -= half, *to += half;
    else if (*from < 0) *to = 0;
    else *from = 0;
}

void tp__axes_widen(tp_frame *f)
{
    widen(&f->x0, &f->x1), widen(&f->y0, &f->y1);
}

static double on_axis(bool logarithm, double v)
{
    return logarithm ? log10(v) : v;
}

void tp__axes_range(const tp_series *s, int n, tp_frame *f)
{
    bool any = false;

    f->x0 = f->y0 = INFINITY, f->x1 = f->y1 = -INFINITY;
    for (int k = 0; k < n; k++)
        for (int64_t i = 0; i < s[k].n; i++) {
            double x = tp__x_of(&s[k], i), y = s[k].y[i];

            if (!tp__axes_drawable(f, x, y)) continue;
            any = true, x = on_axis(f->log_x, x), y = on_axis(f->log_y, y);
            f->x0 = fmin(f->x0, x), f->x1 = fmax(f->x1, x);
            f->y0 = fmin(f->y0, y), f->y1 = fmax(f->y1, y);
        }
    if (!any) f->x0 = f->y0 = 0, f->x1 = f->y1 = 1;
}

double tp__axes_x(const tp_frame *f, double x)
{
    return f->left + tp__half_span(f->x0, on_axis(f->log_x, x)) / tp__half_span(f->x0, f->x1) * (f->right - f->left);
}

double tp__axes_y(const tp_frame *f, double y)
{
    return f->bottom - tp__half_span(f->y0, on_axis(f->log_y, y)) / tp__half_span(f->y0, f->y1) * (f->bottom - f->top);
}

/* ---- words that stay within their room ---- */

const char *tp__fitted(const char *text, int scale, int room)
{
    char *cut = tp__text_room();
    size_t n = strlen(text);

    if (n < 256 && tp__canvas_text_width(text, scale) <= room) return text;
    for (n = n < 256 ? n : 256; n; n--) {
        if (((unsigned char)text[n] & 0xc0) == 0x80) continue; /* inside of a character */
        memcpy(cut, text, n), strcpy(cut + n, "...");
        if (tp__canvas_text_width(cut, scale) <= room) return cut;
    }
    return "";
}

int tp__put_text(tp_canvas *c, int x, int y, int scale, const char *text, int room)
{
    return tp__canvas_text(c, x, y, scale, tp__fitted(text ? text : "", scale, room), tp__ink);
}

/* ---- the grid ---- */

/* 1, 2 or 5 times a power of ten: about `wanted` of them in a range. */
static double round_step(double from, double to, int wanted)
{
    double raw = tp__half_span(from, to) / fmax(1, wanted / 2.0), ten = pow(10, floor(log10(raw))), lead = raw / ten;

    return ten * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

static void rule_y(tp_canvas *c, const tp_frame *f, double y)
{
    int at = (int)tp__axes_y(f, y);
    char text[32];

    TP_PLAIN;
    tp__canvas_fill(c, f->left, at, f->right - f->left, 1, tp__rule);
    snprintf(text, sizeof text, "%.6g", y);
    tp__canvas_text(c, f->left - 8 - tp__canvas_text_width(text, f->scale), at - 4 * f->scale, f->scale, text, tp__ink);
}

static void rule_x(tp_canvas *c, const tp_frame *f, double x)
{
    int at = (int)tp__axes_x(f, x), w;
    char text[32];

    TP_PLAIN;
    tp__canvas_fill(c, at, f->top, 1, f->bottom - f->top, tp__rule);
    snprintf(text, sizeof text, "%.7g", x);
    w = tp__canvas_text_width(text, f->scale);
    at = at + w / 2 > c->width - 4 ? c->width - 4 - w : at - w / 2;
    tp__canvas_text(c, at, f->bottom + 8, f->scale, text, tp__ink);
}

typedef void rule_fn(tp_canvas *c, const tp_frame *f, double v);

static void rules(tp_canvas *c, const tp_frame *f, rule_fn *rule, double from, double to, int wanted)
{
    double step = round_step(from, to, wanted);

    for (double k = ceil(from / step); k <= to / step + 1e-9; k++)
        rule(c, f, k == 0 ? 0 : k * step);
}

/* Powers of ten, or where there are few of them round numbers between. */
static void log_rules(tp_canvas *c, const tp_frame *f, rule_fn *rule, double from, double to, int wanted)
{
    double step = fmax(1, ceil((to - from) / fmax(1, wanted)));

    if (to - from < 1.2) {
        rules(c, f, rule, pow(10, from), pow(10, to), wanted);
        return;
    }
    for (double k = ceil(from / step - 1e-9); k <= to / step + 1e-9; k++)
        rule(c, f, pow(10, k * step));
}

void tp__axes_grid(tp_canvas *c, const tp_frame *f)
{
    int high = 12 * f->scale;

    (f->log_y ? log_rules : rules)(c, f, rule_y, f->y0, f->y1, 2 * (f->bottom - f->top) / (5 * high));
    (f->log_x ? log_rules : rules)(c, f, rule_x, f->x0, f->x1, (f->right - f->left) / (8 * high));
    tp__canvas_fill(c, f->left, f->bottom, f->right - f->left, 1, tp__ink);
    tp__canvas_fill(c, f->left, f->top, 1, f->bottom - f->top, tp__ink);
}

/* ---- a whole picture ---- */

int tp__plot_title(tp_canvas *c, int scale, const char *title)
{
    if (title) tp__put_text(c, 8 + 64 * scale, 8, scale + 1, title, c->width - 84 * scale - 8);
    return 12 + 12 * (scale + 1);
}

void tp__plot_names(tp_canvas *c, const tp_frame *f, const tp_series *s, int n, const char *y_label, int first_pen)
{
    int y = f->top - 14 * f->scale, at = f->left, room;

    if (y_label) at = 8 + tp__put_text(c, 8, y, f->scale, y_label, f->right / 3) + 16 * f->scale;
    if (at < f->left) at = f->left;
    room = (f->right - at) / n;
    for (int k = 0; k < n; k++, at += room) {
        int w = tp__put_text(c, at + 22, y, f->scale, s[k].name, room - 22 - 8);

        if (w) tp__canvas_fill(c, at, y + 3 * f->scale, 16, 3, tp__pen[(first_pen + k) % TP_PENS]);
    }
}

void tp__plot_x_label(tp_canvas *c, const tp_frame *f, const char *x_label)
{
    int room = f->right - f->left;

    if (!x_label) return;
    x_label = tp__fitted(x_label, f->scale, room);
    tp__canvas_text(c, f->left + (room - tp__canvas_text_width(x_label, f->scale)) / 2, f->bottom + 8 + 13 * f->scale, f->scale,
                    x_label, tp__ink);
}

static bool series_ok(const char *where, const tp_series *s, int n)
{
    for (int k = 0; k < n; k++) {
        TP_REQUIRE_IN(where, s[k].n >= 0 && (!s[k].n || s[k].y), TP_ERR_ARG, "curve %d has %lld points%s", k,
                      (long long)s[k].n, s[k].y ? "" : ", and no numbers");
    }
    return true;
}

bool tp__plot_begin(const char *where, const char *png, const tp_series *s, int n, tp_plot_opts o, tp_canvas *c, tp_frame *f)
{
    int scale, below;

    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, png && s && n > 0, TP_ERR_ARG, "missing path or curves");
    if (!series_ok(where, s, n)) return false;
    if (!o.width) o.width = 960;
    if (!o.height) o.height = 540;
    TP_REQUIRE_IN(where, o.width >= 200 && o.height >= 150 && o.width <= 8192 && o.height <= 8192, TP_ERR_ARG,
                  "a picture of %d by %d: 200 by 150 to 8192 by 8192", o.width, o.height);
    if (!tp__canvas_begin(c, o.width, o.height, tp__paper)) return false;
    scale = o.width >= 800 && o.height >= 400 ? 2 : 1; /* letters twice as large where there is room */
    below = tp__plot_title(c, scale, o.title);
    *f = (tp_frame){ .scale = scale, .left = 8 + 64 * scale, .right = o.width - 20 * scale, .top = below + 18 * scale,
                     .bottom = o.height - 34 * scale, .log_x = o.log_x, .log_y = o.log_y };
    return true;
}
