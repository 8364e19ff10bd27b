/*
 * resize.c - bilinear resizing with antialiasing: each axis by itself, every output place a sum
 * over the input places below a triangle whose half width is max(1, in / out), as Pillow and
 * PyTorch do.  Places outside are left out, and the weights add up to 1.
 */
#include "data/picture.h"

#include "tensor/internal.h"

#include <math.h>
#include <string.h>

typedef struct tap {
    int64_t from, n;
} tap;

/* The sums of one axis. */
typedef struct taps {
    int64_t out, most; /* places, and the most of a sum */
    size_t bytes;
    tap *at;  /* [out] */
    float *w; /* [out][most] */
} taps;

static void make_tap(taps *t, int64_t i, int64_t in)
{
    double scale = (double)in / (double)t->out, reach = scale < 1 ? 1 : scale,
           center = scale * ((double)i + 0.5);
    int64_t from = (int64_t)(center - reach + 0.5), to = (int64_t)(center + reach + 0.5);
    float *w = t->w + i * t->most;
    double sum = 0;

    from = from < 0 ? 0 : from, to = to > in ? in : to;
    t->at[i] = (tap){ from, to - from };
    for (int64_t j = from; j < to; j++) {
        double far = fabs((double)j - center + 0.5) / reach;

        w[j - from] = far < 1 ? (float)(1 - far) : 0;
        sum += (double)w[j - from];
    }
    for (int64_t j = 0; j < to - from; j++)
        w[j] = (float)(w[j] / sum);
}

static bool make_taps(taps *t, int64_t in, int64_t out)
{
    t->out = out, t->most = 2 * (in > out ? in / out + 1 : 1) + 1;
    t->bytes = (sizeof *t->at + sizeof *t->w * (size_t)t->most) * (size_t)out;
    if (!(t->at = tp__alloc(t->bytes))) return false;
    t->w = (float *)(t->at + out);
    for (int64_t i = 0; i < out; i++)
        make_tap(t, i, in);
    return true;
}

/* to[r][o] = sum of from[r][...] */
static void along_rows(const taps *t, const float *from, int64_t rows, int64_t stride, float *to)
{
    for (int64_t r = 0; r < rows; r++, from += stride)
        for (int64_t o = 0; o < t->out; o++) {
            const float *x = from + t->at[o].from, *w = t->w + o * t->most;
            float sum = 0;

            for (int64_t j = 0; j < t->at[o].n; j++)
                sum += w[j] * x[j];
            *to++ = sum;
        }
}

/* to[o][c] = sum of from[...][c] */
static void along_columns(const taps *t, const float *from, int64_t columns, float *to)
{
    for (int64_t o = 0; o < t->out; o++, to += columns) {
        const float *x = from + t->at[o].from * columns, *w = t->w + o * t->most;

        memset(to, 0, sizeof *to * (size_t)columns);
        for (int64_t j = 0; j < t->at[o].n; j++, x += columns)
            for (int64_t c = 0; c < columns; c++)
                to[c] += w[j] * x[c];
    }
}

static void copy_box(const tp_picture *x, tp_box b, const tp_picture *y)
{
    for (int c = 0; c < x->channels; c++)
        for (int64_t r = 0; r < b.h; r++)
            memcpy(y->v + (c * y->h + r) * y->w, x->v + (c * x->h + b.top + r) * x->w + b.left,
                   sizeof *y->v * (size_t)b.w);
}

bool tp__resize(const tp_picture *x, tp_box b, const tp_picture *y)
{
    taps across = { 0 }, down = { 0 };
    size_t bytes = sizeof(float) * (size_t)(b.h * y->w);
    float *between = NULL;
    bool ok = true;

    if (b.h == y->h && b.w == y->w) return copy_box(x, b, y), true;
    ok = make_taps(&across, b.w, y->w) && make_taps(&down, b.h, y->h) &&
         (between = tp__alloc(bytes));
    for (int c = 0; ok && c < x->channels; c++) {
        along_rows(&across, x->v + (c * x->h + b.top) * x->w + b.left, b.h, x->w, between);
        along_columns(&down, between, y->w, y->v + c * y->h * y->w);
    }
    tp__release(across.at, across.bytes);
    tp__release(down.at, down.bytes);
    tp__release(between, bytes);
    return ok;
}

int64_t tp__round(double v)
{
    double down = floor(v), rest = v - down;

    if (rest == 0.5) return (int64_t)down + ((int64_t)down & 1);
    return (int64_t)(rest < 0.5 ? down : down + 1);
}
