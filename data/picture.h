/*
 * picture.h - pictures as planes of floats, (C, H, W): reading, resizing, turning; for the files
 * of data/ alone.
 */
#ifndef TP_DATA_PICTURE_H
#define TP_DATA_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_picture {
    int channels;
    int64_t h, w;
    float *v; /* owned where tp__picture_read made it */
} tp_picture;

static inline size_t tp__picture_bytes(const tp_picture *p)
{
    return sizeof *p->v * (size_t)(p->channels * p->h * p->w);
}

/* Channels and size as the header tells; v is NULL. */
bool tp__picture_look(const char *where, const char *path, tp_picture *p);
/* channels 1, 3, or 0: as stored, without alpha.  Values in [0, 1]. */
bool tp__picture_read(const char *where, const char *path, int channels, tp_picture *p);
void tp__picture_free(tp_picture *p);

/* A rectangle of a picture. */
typedef struct tp_box {
    int64_t top, left, h, w;
} tp_box;

/* y (its h, w and channels are set) = the box of x, resized: bilinear, antialiased when it gets
 * smaller, as torch.nn.functional.interpolate(antialias=True, align_corners=False). */
bool tp__resize(const tp_picture *x, tp_box box, const tp_picture *y);

/* Python's round(): halves to even. */
int64_t tp__round(double v);

#endif
