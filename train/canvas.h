/*
 * canvas.h - a picture in memory: fills, lines, text; and out as PNG.
 */
#ifndef TP_TRAIN_CANVAS_H
#define TP_TRAIN_CANVAS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tp_color {
    unsigned char r, g, b;
} tp_color;

typedef struct tp_canvas {
    int width, height;
    unsigned char *rgb;
    size_t bytes;
    void *letters; /* room for those of one text */
} tp_canvas;

bool tp__canvas_begin(tp_canvas *c, int width, int height, tp_color paper);
void tp__canvas_fill(tp_canvas *c, int x, int y, int w, int h, tp_color color);
void tp__canvas_line(tp_canvas *c, double x0, double y0, double x1, double y1, double thick, tp_color color);
/* Letters of 7 by 12 pixels times scale; gives the width.  color by value. */
int tp__canvas_text(tp_canvas *c, int x, int y, int scale, const char *text, tp_color color);
int tp__canvas_text_width(const char *text, int scale);
/* Writes and frees; through a temporary file, so that an earlier picture stays whole. */
bool tp__canvas_end(const char *where, tp_canvas *c, const char *png);
/* The PNG's bytes, a piece at a time. */
bool tp__canvas_encode(const tp_canvas *c, void (*put)(void *user, void *bytes, int n), void *user);
void tp__canvas_free(tp_canvas *c);

#endif
