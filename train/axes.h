/*
 * axes.h - what plots with two axes share: the range of the data, where a point lies, the grid.
 */
#ifndef TP_TRAIN_AXES_H
#define TP_TRAIN_AXES_H

#include "train/canvas.h"
#include "train/plots.h"

/* x0 to y1 are of the data, their logarithms to base 10 on an axis that has those. */
typedef struct tp_frame {
    double x0, x1, y0, y1;
    int left, right, top, bottom; /* of the picture */
    int scale;                    /* of the letters */
    bool log_x, log_y;
} tp_frame;

enum { TP_PENS = 6 };
extern const tp_color tp__paper, tp__ink, tp__rule, tp__pen[TP_PENS];

static inline double tp__x_of(const tp_series *s, int64_t i)
{
    return s->x ? s->x[i] : (double)i;
}

/* Finite, and above 0 on an axis of logarithms. */
bool tp__axes_drawable(const tp_frame *f, double x, double y);
double tp__axes_x(const tp_frame *f, double x); /* in pixels */
double tp__axes_y(const tp_frame *f, double y);
/* The range of all that can be drawn; 0 to 1 where nothing can. */
void tp__axes_range(const tp_series *s, int n, tp_frame *f);
/* A range that steps of a double can't divide becomes that of a constant. */
void tp__axes_widen(tp_frame *f);
void tp__axes_grid(tp_canvas *c, const tp_frame *f);
double tp__half_span(double from, double to);
/* text, or as much of it as fits in room pixels, with dots; one buffer.  put gives the width. */
const char *tp__fitted(const char *text, int scale, int room);
int tp__put_text(tp_canvas *c, int x, int y, int scale, const char *text, int room);

int tp__plot_title(tp_canvas *c, int scale, const char *title); /* gives the row below it */
/* A picture of o's size, with its title, and the frame below it; false and an error, which names
 * `where`, when the size or one of n curves can't be. */
bool tp__plot_begin(const char *where, const char *png, const tp_series *s, int n, tp_plot_opts o, tp_canvas *c, tp_frame *f);
/* The curves' names in a row above the frame, after y_label, each with its share of the room. */
void tp__plot_names(tp_canvas *c, const tp_frame *f, const tp_series *s, int n, const char *y_label, int first_pen);
void tp__plot_x_label(tp_canvas *c, const tp_frame *f, const char *x_label);

#endif
