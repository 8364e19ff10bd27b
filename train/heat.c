/*
 * heat.c - a matrix as shades of blue, with names, numbers and the scale beside it.
 */
#include "train/axes.h"

#include "tensor/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 512, NAMED = 32, GAP = 8, BAR = 14 };

/* What is drawn: numbers, their shades from 0 to 1, and where. */
typedef struct heat {
    const double *value, *shade;
    int rows, columns, cell_w, cell_h, left, top;
    double least, most;
    bool named;
    tp_heat_opts o;
} heat;

static unsigned char mix(int from, int to, double share)
{
    return (unsigned char)(from + share * (to - from) + 0.5);
}

static tp_color shade_of(double v)
{
    static const tp_color light = { 247, 251, 255 }, dark = { 8, 64, 129 };

    if (isnan(v)) return (tp_color){ 190, 190, 190 };
    v = fmax(0, fmin(1, v));
    return (tp_color){ mix(light.r, dark.r, v), mix(light.g, dark.g, v), mix(light.b, dark.b, v) };
}

/* A row's or column's name. */
static const char *name_of(const char *const *names, int i)
{
    char *number;

    if (names) return names[i] ? names[i] : "";
    number = tp__text_room();
    snprintf(number, TP_TEXT, "%d", i);
    return number;
}

static int widest(const char *const *names, int n)
{
    int most = 0;

    for (int i = 0; i < n; i++) {
        int w = tp__canvas_text_width(name_of(names, i), 1);

        most = w > most ? w : most;
    }
    return most;
}

static int between(int v, int least, int most)
{
    return v < least ? least : v > most ? most : v;
}

/* Gives the size of the picture. */
static void lay_out(heat *h, int *width, int *height)
{
    int words = h->o.title ? tp__canvas_text_width(h->o.title, 2) : 0;

    h->named = h->columns <= NAMED && h->rows <= 2 * NAMED;
    h->cell_w = h->named ? between(widest(h->o.column, h->columns) + 8, 52, 160) : between(768 / h->columns, 2, 24);
    h->cell_h = h->named ? 28 : h->cell_w;
    h->left = GAP + (h->named ? between(widest(h->o.row, h->rows), 0, 240) + GAP : 0);
    h->top = (h->o.title ? 32 : GAP) + (h->o.y_label ? 18 : 0);
    words = words > h->columns * h->cell_w ? words : h->columns * h->cell_w;
    *width = between(h->left + words + 2 * GAP + BAR + 96, 200, 16384);
    *height = h->top + between(h->rows * h->cell_h, 48, 16384) + (h->named ? 18 : 4) + (h->o.x_label ? 18 : 0) + GAP;
}

static void draw_cell(tp_canvas *c, const heat *h, int row, int column)
{
    double v = h->value[row * h->columns + column], shade = h->shade[row * h->columns + column];
    int x = h->left + column * h->cell_w, y = h->top + row * h->cell_h, gap = h->cell_w > 6;
    tp_color ink = shade > 0.5 ? tp__paper : tp__ink;
    const char *fit;
    char text[32];

    tp__canvas_fill(c, x, y, h->cell_w - gap, h->cell_h - gap, shade_of(shade));
    if (!h->named) return;
    snprintf(text, sizeof text, fabs(v) < 1e6 && v == floor(v) ? "%.0f" : "%.3g", v);
    fit = tp__fitted(text, 1, h->cell_w - 4);
    tp__canvas_text(c, x + (h->cell_w - tp__canvas_text_width(fit, 1)) / 2, y + h->cell_h / 2 - 4, 1, fit, ink);
}

static void draw_names(tp_canvas *c, const heat *h)
{
    int below = h->top + h->rows * h->cell_h + 4, room = h->left - 2 * GAP;

    for (int r = 0; h->named && r < h->rows; r++) {
        const char *fit = tp__fitted(name_of(h->o.row, r), 1, room);
        int x = h->left - GAP - tp__canvas_text_width(fit, 1), y = h->top + r * h->cell_h + h->cell_h / 2 - 4;

        tp__canvas_text(c, x, y, 1, fit, tp__ink);
    }
    for (int k = 0; h->named && k < h->columns; k++) {
        const char *fit = tp__fitted(name_of(h->o.column, k), 1, h->cell_w - 4);

        tp__canvas_text(c, h->left + k * h->cell_w + (h->cell_w - tp__canvas_text_width(fit, 1)) / 2, below, 1, fit, tp__ink);
    }
    if (h->named) below += 18;
    if (h->o.title) tp__put_text(c, h->left, 8, 2, h->o.title, c->width - h->left - GAP);
    if (h->o.y_label) tp__put_text(c, GAP, h->top - 16, 1, h->o.y_label, c->width - 2 * GAP);
    if (h->o.x_label) tp__put_text(c, h->left, below, 1, h->o.x_label, c->width - h->left - GAP);
}

/* From the least, below, to the largest. */
static void draw_scale(tp_canvas *c, const heat *h)
{
    int x = h->left + h->columns * h->cell_w + GAP, high = between(h->rows * h->cell_h, 48, 16384);
    char text[32];

    for (int i = 0; i < high; i++)
        tp__canvas_fill(c, x, h->top + i, BAR, 1, shade_of(1 - (double)i / (high - 1)));
    snprintf(text, sizeof text, "%.5g", h->most), tp__canvas_text(c, x + BAR + 6, h->top, 1, text, tp__ink);
    snprintf(text, sizeof text, "%.5g", h->least), tp__canvas_text(c, x + BAR + 6, h->top + high - 10, 1, text, tp__ink);
}

static bool draw(const char *where, const char *png, heat h)
{
    int width, height;
    tp_canvas c;

    lay_out(&h, &width, &height);
    if (!tp__canvas_begin(&c, width, height, tp__paper)) return false;
    for (int r = 0; r < h.rows; r++)
        for (int k = 0; k < h.columns; k++)
            draw_cell(&c, &h, r, k);
    draw_names(&c, &h), draw_scale(&c, &h);
    return tp__canvas_end(where, &c, png);
}

/* Values to shades: the finite ones from 0 to 1, infinities at the ends. */
static void shades_of(heat *h, double *shade)
{
    int n = h->rows * h->columns;

    h->least = INFINITY, h->most = -INFINITY;
    for (int i = 0; i < n; i++)
        if (isfinite(h->value[i])) h->least = fmin(h->least, h->value[i]), h->most = fmax(h->most, h->value[i]);
    if (h->least > h->most) h->least = h->most = 0;
    for (int i = 0; i < n; i++) {
        double span = tp__half_span(h->least, h->most), at = tp__half_span(h->least, h->value[i]);

        shade[i] = isinf(h->value[i]) ? h->value[i] > 0 : span > 0 ? at / span : at - at;
    }
    h->shade = shade;
}

bool tp_plot_heat(const char *png, const double *cells, int rows, int columns, tp_heat_opts o)
{
    heat h = { .value = cells, .rows = rows, .columns = columns, .o = o };
    size_t bytes;
    double *shade;
    bool ok;

    if (!tp_ok()) return false;
    TP_REQUIRE(png && cells, TP_ERR_ARG, "missing path or cells");
    TP_REQUIRE(rows > 0 && columns > 0 && rows <= MOST && columns <= MOST, TP_ERR_ARG, "%d by %d cells: 1 by 1 to %d by %d",
               rows, columns, MOST, MOST);
    bytes = (size_t)rows * (size_t)columns * sizeof *shade;
    if (!(shade = tp__alloc(bytes))) return false;
    shades_of(&h, shade);
    ok = draw(__func__, png, h);
    tp__release(shade, bytes);
    return ok;
}

/* Each row's counts as shares of its sum. */
static void shares_of(const int64_t *count, int n, double *value, double *shade)
{
    for (int r = 0; r < n; r++) {
        double sum = 0;

        for (int k = 0; k < n; k++)
            sum += value[r * n + k] = (double)count[r * n + k];
        for (int k = 0; k < n; k++)
            shade[r * n + k] = sum > 0 ? value[r * n + k] / sum : 0;
    }
}

bool tp_metric_plot_confusion(const char *png, const tp_metric *m, const char *const *name, const char *title)
{
    int64_t n = tp_metric_classes(m), *count;
    size_t bytes = (size_t)(n * n) * sizeof(double);
    tp_heat_opts o = { title, "taken for", "label", name, name };
    double *value, *shade;
    bool ok = false;

    if (!tp_ok()) return false;
    TP_REQUIRE(png && n > 0, TP_ERR_ARG, "a path and a metric that counts classes are wanted");
    TP_REQUIRE(n <= MOST, TP_ERR_ARG, "%lld classes: at most %d can be drawn", (long long)n, MOST);
    count = tp__alloc(bytes), value = tp__alloc(bytes), shade = tp__alloc(bytes);
    if (count && value && shade && tp_metric_counts(m, count, n * n)) {
        shares_of(count, (int)n, value, shade);
        ok = draw(__func__, png, (heat){ .value = value, .shade = shade, .rows = (int)n, .columns = (int)n, .most = 1, .o = o });
    }
    tp__release(count, bytes), tp__release(value, bytes), tp__release(shade, bytes);
    return ok;
}
