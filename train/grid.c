/*
 * grid.c - pictures beside each other as one PNG, each with a line of text below it.
 */
#include "train/canvas.h"
#include "train/train.h"

#include "autograd/ops.h"
#include "tensor/internal.h"

#include <math.h>

enum { GAP = 6, LINE = 14 };

static const tp_color paper = { 250, 250, 250 }, ink = { 40, 40, 50 }, wrong = { 200, 30, 30 };

typedef struct layout {
    int n, channels, h, w, columns, scale, cell_w, cell_h;
} layout;

static unsigned char level(float v)
{
    return (unsigned char)(fminf(1, fmaxf(0, v)) * 255 + 0.5f); /* NaN is black */
}

static void draw_picture(tp_canvas *c, const layout *k, const float *v, int x0, int y0)
{
    int plane = k->channels == 3 ? k->h * k->w : 0;

    for (int y = 0; y < k->h; y++)
        for (int x = 0; x < k->w; x++) {
            const float *p = v + y * k->w + x;
            tp_color color = { level(p[0]), level(p[plane]), level(p[2 * plane]) };

            tp__canvas_fill(c, x0 + x * k->scale, y0 + y * k->scale, k->scale, k->scale, color);
        }
}

static bool lay_out(const tp_tensor *t, tp_grid_opts o, layout *k)
{
    int words = 0;

    *k = (layout){ (int)tp_dim(t, 0), (int)tp_dim(t, 1), (int)tp_dim(t, 2), (int)tp_dim(t, 3), o.columns, o.scale, 0, 0 };
    TP_REQUIRE_IN("tp_image_grid", o.columns >= 0 && o.scale >= 0 && (double)o.scale * (double)tp_dim(t, 2) < 16384 &&
                  (double)o.scale * (double)tp_dim(t, 3) < 16384, TP_ERR_ARG, "%d columns of %s, %d times as large",
                  o.columns, tp__text(t), o.scale);
    if (!k->columns) k->columns = (int)ceil(sqrt(k->n));
    if (!k->scale) k->scale = (56 + k->w - 1) / k->w;
    for (int i = 0; o.label && i < k->n; i++) {
        int wide = o.label[i] ? tp__canvas_text_width(o.label[i], 1) : 0;

        words = wide > words ? wide : words;
    }
    k->cell_w = (k->w * k->scale > words ? k->w * k->scale : words) + GAP;
    k->cell_h = k->h * k->scale + GAP + (o.label ? LINE : 0);
    TP_REQUIRE_IN("tp_image_grid", (double)k->cell_w * k->columns < 16384 &&
                  (double)k->cell_h * ((k->n + k->columns - 1) / k->columns) < 16384, TP_ERR_ARG,
                  "%s in %d columns, %d times as large, would be too large a picture", tp__text(t), k->columns, k->scale);
    return true;
}

static bool draw(const char *png, const layout *k, const float *v, tp_grid_opts o)
{
    int rows = (k->n + k->columns - 1) / k->columns;
    tp_canvas c;

    if (!tp__canvas_begin(&c, k->columns * k->cell_w + GAP, rows * k->cell_h + GAP, paper)) return false;
    for (int i = 0; i < k->n; i++) {
        int x = GAP + i % k->columns * k->cell_w, y = GAP + i / k->columns * k->cell_h;

        draw_picture(&c, k, v + (size_t)i * (size_t)(k->channels * k->h * k->w), x, y);
        if (o.label && o.label[i])
            tp__canvas_text(&c, x, y + k->h * k->scale + 3, 1, o.label[i], o.mark && o.mark[i] ? wrong : ink);
    }
    return tp__canvas_end("tp_image_grid", &c, png);
}

bool tp_image_grid(const char *png, tp_tensor *images, tp_grid_opts o)
{
    size_t bytes = (size_t)tp_count(images) * sizeof(float);
    float *v;
    layout k;
    bool ok;

    TP_SCOPE;
    if (!tp__check(__func__, TP_LIST(images), 1)) return false;
    TP_REQUIRE(png, TP_ERR_ARG, "missing path");
    TP_REQUIRE(tp_rank(images) == 4 && tp_count(images) > 0 && (tp_dim(images, 1) == 1 || tp_dim(images, 1) == 3),
               TP_ERR_SHAPE, "%s: (N, 1 or 3, H, W) is wanted", tp__text(images));
    if (!lay_out(images, o, &k) || !(v = tp__alloc(bytes))) return false;
    ok = tp_read(tp_cast(tp_detach(images), TP_F32), v, bytes) && draw(png, &k, v, o);
    tp__release(v, bytes);
    return ok;
}
