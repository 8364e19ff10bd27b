/*
 * canvas.c - see canvas.h.  Letters are those of stb_easy_font, which draws them as quads; PNG
 * is stb_image_write's.
 */
#include "train/canvas.h"

#include "tensor/internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wshadow"
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb_image_write.h>
#include <stb_easy_font.h>
#pragma GCC diagnostic pop

/* What stb_easy_font draws: a corner of a quad, four of them each. */
typedef struct corner {
    float x, y, z;
    unsigned char color[4];
} corner;

enum { LETTERS = 4 * 4096 * sizeof(corner) };

bool tp__canvas_begin(tp_canvas *c, int width, int height, tp_color paper)
{
    *c = (tp_canvas){ .width = width, .height = height, .bytes = (size_t)width * (size_t)height * 3 };
    c->rgb = tp__alloc(c->bytes), c->letters = tp__alloc(LETTERS);
    if (!c->rgb || !c->letters) return tp__canvas_free(c), false;
    tp__canvas_fill(c, 0, 0, width, height, paper);
    return true;
}

void tp__canvas_free(tp_canvas *c)
{
    tp__release(c->rgb, c->bytes), tp__release(c->letters, LETTERS);
    c->rgb = NULL, c->letters = NULL;
}

static void put(tp_canvas *c, int x, int y, tp_color color, double cover)
{
    unsigned char to[3] = { color.r, color.g, color.b }, *p;

    if (x < 0 || y < 0 || x >= c->width || y >= c->height || cover <= 0) return;
    p = c->rgb + ((size_t)y * (size_t)c->width + (size_t)x) * 3;
    for (int k = 0; k < 3; k++)
        p[k] = (unsigned char)(p[k] + (to[k] - p[k]) * fmin(cover, 1) + 0.5);
}

void tp__canvas_fill(tp_canvas *c, int x, int y, int w, int h, tp_color color)
{
    for (int i = 0; i < h; i++)
        for (int k = 0; k < w; k++)
            put(c, x + k, y + i, color, 1);
}

/* How much of a pixel a line covers: by its centre's distance. */
void tp__canvas_line(tp_canvas *c, double x0, double y0, double x1, double y1, double thick, tp_color color)
{
    double dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy, reach = thick / 2 + 1;

    for (int y = (int)(fmin(y0, y1) - reach); y <= (int)(fmax(y0, y1) + reach); y++)
        for (int x = (int)(fmin(x0, x1) - reach); x <= (int)(fmax(x0, x1) + reach); x++) {
            double t = length > 0 ? ((x - x0) * dx + (y - y0) * dy) / length : 0;

            t = fmax(0, fmin(1, t));
            put(c, x, y, color, thick / 2 + 0.5 - hypot(x - x0 - t * dx, y - y0 - t * dy));
        }
}

/* The font has ASCII alone, and reads beyond its tables for the rest: a '?' for each character. */
static char *plain(const char *text, char copy[TP_TEXT])
{
    size_t n = 0;

    for (; *text && n + 1 < TP_TEXT; text++)
        if ((*text & 0xc0) != 0x80) copy[n++] = *text == '\n' || (*text >= ' ' && *text <= '~') ? *text : '?';
    copy[n] = 0;
    return copy;
}

int tp__canvas_text_width(const char *text, int scale)
{
    char copy[TP_TEXT];

    return stb_easy_font_width(plain(text, copy)) * scale;
}

int tp__canvas_text(tp_canvas *c, int x, int y, int scale, const char *text, tp_color color)
{
    char copy[TP_TEXT];
    corner *quads = c->letters;
    int n = stb_easy_font_print(0, 0, plain(text, copy), NULL, quads, LETTERS);

    for (int q = 0; q < n; q++) {
        const corner *a = &quads[4 * q], *b = a + 2;

        tp__canvas_fill(c, x + (int)(a->x * (float)scale), y + (int)(a->y * (float)scale),
                        (int)((b->x - a->x) * (float)scale), (int)((b->y - a->y) * (float)scale), color);
    }
    return tp__canvas_text_width(text, scale);
}

typedef struct sink {
    FILE *f;
    bool ok;
} sink;

static void write_some(void *user, void *data, int size)
{
    sink *s = user;

    s->ok = s->ok && fwrite(data, 1, (size_t)size, s->f) == (size_t)size;
}

bool tp__canvas_encode(const tp_canvas *c, void (*put_some)(void *user, void *bytes, int n), void *user)
{
    return stbi_write_png_to_func(put_some, user, c->width, c->height, 3, c->rgb, c->width * 3) != 0;
}

static bool write_png(const tp_canvas *c, const char *path)
{
    sink s = { fopen(path, "wb"), true };
    bool drawn;

    if (!s.f) return false;
    drawn = tp__canvas_encode(c, write_some, &s);
    if (fclose(s.f)) s.ok = false;
    return drawn && s.ok;
}

bool tp__canvas_end(const char *where, tp_canvas *c, const char *png)
{
    char temporary[4096];
    bool ok;
    int why;

    snprintf(temporary, sizeof temporary, "%s.part", png);
    ok = strlen(png) + 6 < sizeof temporary && tp__file_replaceable(png) && write_png(c, temporary) && rename(temporary, png) == 0;
    why = errno;
    if (!ok) unlink(temporary);
    tp__canvas_free(c);
    TP_REQUIRE_IN(where, ok, TP_ERR_IO, "%s can't be written: %s", png, strerror(why));
    return true;
}
