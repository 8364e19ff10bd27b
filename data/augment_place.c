/*
 * augment_place.c - steps that move pixels: flips, crops, resizing, affine maps.
 *
 * An affine map takes each place of the result to one of the picture, measured from the middles:
 * x' = (R S)^-1 (x - t), with rotation, shear and scale as torchvision composes them.
 */
#include "data/steps.h"

#include <math.h>

/* ---- flips ---- */

static bool run_flip(const tp_augment *a, const tp_picture *x, const tp_picture *y)
{
    if (!tp__chance(a->v[0])) return tp__copy_picture(x, y), true;
    for (int64_t r = 0; r < x->channels * x->h; r++)
        for (int64_t c = 0; c < x->w; c++)
            y->v[r * x->w + c] = x->v[r * x->w + x->w - 1 - c];
    return true;
}

static bool run_flip_vertical(const tp_augment *a, const tp_picture *x, const tp_picture *y)
{
    if (!tp__chance(a->v[0])) return tp__copy_picture(x, y), true;
    for (int k = 0; k < x->channels; k++)
        for (int64_t r = 0; r < x->h; r++)
            memcpy(y->v + (k * x->h + r) * x->w, x->v + (k * x->h + x->h - 1 - r) * x->w,
                   sizeof *x->v * (size_t)x->w);
    return true;
}

tp_augment tp_augment_flip(double p)
{
    static const struct tp_augment_kind kind = { "tp_augment_flip", tp__plan_chance, run_flip };

    return (tp_augment){ &kind, { p } };
}

tp_augment tp_augment_flip_vertical(double p)
{
    static const struct tp_augment_kind kind = { "tp_augment_flip_vertical", tp__plan_chance,
                                                 run_flip_vertical };

    return (tp_augment){ &kind, { p } };
}

/* ---- crops: height, width, padding, mode ---- */

static bool whole(double v)
{
    return v >= 0 && v < 1 << 17 && v == floor(v);
}

static bool plan_crop(const tp_augment *a, const tp_picture *x, tp_picture *y)
{
    double pad = a->v[2];

    TP_STEP(a->kind->name,
            whole(a->v[0]) && whole(a->v[1]) && whole(pad) && a->v[0] >= 1 && a->v[1] >= 1 &&
                a->v[0] <= (double)x->h + 2 * pad && a->v[1] <= (double)x->w + 2 * pad,
            "%g x %g of pictures of %lld x %lld with %g around them", a->v[1], a->v[0],
            (long long)x->w, (long long)x->h, pad);
    TP_STEP(a->kind->name,
            a->v[3] == TP_EDGE_ZERO ||
                (a->v[3] == TP_EDGE_REFLECT && pad < (double)x->h && pad < (double)x->w),
            "padding %g in mode %g: reflected, it must be smaller than %lld x %lld", pad, a->v[3],
            (long long)x->w, (long long)x->h);
    y->h = (int64_t)a->v[0], y->w = (int64_t)a->v[1];
    return true;
}

/* Where place i of 0 to n - 1 is, reflected; -1: outside. */
static int64_t inside(int64_t i, int64_t n, bool reflect)
{
    if (i >= 0 && i < n) return i;
    return !reflect ? -1 : i < 0 ? -i : 2 * (n - 1) - i;
}

static void crop(const tp_picture *x, int64_t top, int64_t left, bool reflect, const tp_picture *y)
{
    for (int64_t k = 0; k < y->channels * y->h; k++) {
        int64_t r = inside(top + k % y->h, x->h, reflect);
        const float *from = x->v + (k / y->h * x->h + r) * x->w;

        for (int64_t c = 0; c < y->w; c++) {
            int64_t at = inside(left + c, x->w, reflect);

            y->v[k * y->w + c] = r < 0 || at < 0 ? 0 : from[at];
        }
    }
}

static bool run_crop(const tp_augment *a, const tp_picture *x, const tp_picture *y)
{
    int64_t pad = (int64_t)a->v[2];
    int64_t top = tp__below(x->h + 2 * pad - y->h + 1), left = tp__below(x->w + 2 * pad - y->w + 1);

    crop(x, top - pad, left - pad, a->v[3] == TP_EDGE_REFLECT, y);
    return true;
}

static bool run_center_crop(const tp_augment *a, const tp_picture *x, const tp_picture *y)
{
    (void)a;
    crop(x, tp__round((double)(x->h - y->h) / 2), tp__round((double)(x->w - y->w) / 2), false, y);
    return true;
}

tp_augment tp_augment_crop(int64_t height, int64_t width, int64_t padding, tp_edge mode)
{
    static const struct tp_augment_kind kind = { "tp_augment_crop", plan_crop, run_crop };

    return (tp_augment){ &kind, { (double)height, (double)width, (double)padding, mode } };
}

tp_augment tp_augment_center_crop(int64_t height, int64_t width)
{
    static const struct tp_augment_kind kind = { "tp_augment_center_crop", plan_crop,
                                                 run_center_crop };

    return (tp_augment){ &kind, { (double)height, (double)width } };
}

/* ---- resizing: height, width ---- */

static bool plan_resize(const tp_augment *a, const tp_picture *x, tp_picture *y)
{
    TP_STEP(a->kind->name, whole(a->v[0]) && whole(a->v[1]) && a->v[0] >= 1, "size %g x %g",
            a->v[1], a->v[0]);
    y->h = (int64_t)a->v[0], y->w = (int64_t)a->v[1];
    if (y->w) return true;
    y->w = y->h;
    if (x->w > x->h)
        y->w = (int64_t)((double)y->h * (double)x->w / (double)x->h);
    else
        y->h = (int64_t)((double)y->w * (double)x->h / (double)x->w);
    return true;
}

static bool run_resize(const tp_augment *a, const tp_picture *x, const tp_picture *y)
{
    (void)a;
    return tp__resize(x, (tp_box){ 0, 0, x->h, x->w }, y);
}

tp_augment tp_augment_resize(int64_t height, int64_t width)
{
    static const struct tp_augment_kind kind = { "tp_augment_resize", plan_resize, run_resize };

    return (tp_augment){ &kind, { (double)height, (double)width } };
}

/* ---- resized crops: height, width, scale, ratio ---- */

static bool plan_resized_crop(const tp_augment *a, const tp_picture *x, tp_picture *y)
{
    const double *v = a->v;

    TP_STEP(
        a->kind->name,
        v[2] > 0 && v[2] <= v[3] && v[3] <= 1 && v[4] > 0 && v[4] <= v[5] && isfinite(v[5]),
        "scale %g to %g, ratio %g to %g: above 0, from the smaller to the larger, scale at most 1",
        v[2], v[3], v[4], v[5]);
    TP_STEP(a->kind->name, v[1] >= 1, "size %g x %g", v[1], v[0]);
    return plan_resize(a, x, y);
}

/* The middle of the picture, cut to proportions within the wanted ones. */
static tp_box fallback(const tp_picture *x, double low, double high)
{
    double ratio = (double)x->w / (double)x->h;
    tp_box b = { 0, 0, x->h, x->w };

    if (ratio < low)
        b.h = tp__round((double)x->w / low);
    else if (ratio > high)
        b.w = tp__round((double)x->h * high);
    b.h = b.h < 1 ? 1 : b.h, b.w = b.w < 1 ? 1 : b.w;
    b.top = (x->h - b.h) / 2, b.left = (x->w - b.w) / 2;
    return b;
}

static tp_box random_box(const tp_augment *a, const tp_picture *x)
{
    for (int tries = 0; tries < 10; tries++) {
        double area = (double)(x->h * x->w) * tp__between(a->v[2], a->v[3]);
        double ratio = exp(tp__between(log(a->v[4]), log(a->v[5])));
        int64_t w = tp__round(sqrt(area * ratio)), h = tp__round(sqrt(area / ratio));

        if (w > 0 && w <= x->w && h > 0 && h <= x->h)
            return (tp_box){ tp__below(x->h - h + 1), tp__below(x->w - w + 1), h, w };
    }
    return fallback(x, a->v[4], a->v[5]);
}

static bool run_resized_crop(const tp_augment *a, const tp_picture *x, const tp_picture *y)
{
    return tp__resize(x, random_box(a, x), y);
}

tp_augment tp_augment_resized_crop(int64_t height, int64_t width, tp_resized_crop_opts o)
{
    static const struct tp_augment_kind kind = { "tp_augment_resized_crop", plan_resized_crop,
                                                 run_resized_crop };

    if (o.scale_low == 0 && o.scale_high == 0) o.scale_low = 0.08, o.scale_high = 1;
    if (o.ratio_low == 0 && o.ratio_high == 0) o.ratio_low = 3 / 4.0, o.ratio_high = 4 / 3.0;
    return (tp_augment){ &kind,
                         { (double)height, (double)width, o.scale_low, o.scale_high, o.ratio_low,
                           o.ratio_high } };
}

/* ---- affine maps: degrees, translate, scale, shear (4), bilinear, fill ---- */

static bool plan_affine(const tp_augment *a, const tp_picture *x, tp_picture *y)
{
    const double *v = a->v;

    (void)x, (void)y;
    for (int i = 0; i < 12; i++)
        TP_STEP(a->kind->name, isfinite(v[i]), "number %d of its options is %g", i, v[i]);
    TP_STEP(a->kind->name, v[0] <= v[1] && v[4] <= v[5] && v[6] <= v[7] && v[8] <= v[9],
            "degrees, scale and shear go from the smaller to the larger");
    TP_STEP(a->kind->name, v[2] >= 0 && v[2] <= 1 && v[3] >= 0 && v[3] <= 1,
            "translate %g, %g: shares of 0 to 1", v[2], v[3]);
    TP_STEP(a->kind->name, v[4] > 0, "scale %g", v[4]);
    TP_STEP(a->kind->name, fabs(v[6]) < 90 && fabs(v[7]) < 90 && fabs(v[8]) < 90 && fabs(v[9]) < 90,
            "shear of 90 degrees or more");
    return true;
}

/* m takes places of the result to places of the picture. */
static void inverse(double angle, double tx, double ty, double scale, double shear_x,
                    double shear_y, double m[6])
{
    const double turn = 3.14159265358979323846 / 180;
    double r = angle * turn, sx = shear_x * turn, sy = shear_y * turn;
    double a = cos(r - sy) / cos(sy), b = -cos(r - sy) * tan(sx) / cos(sy) - sin(r);
    double c = sin(r - sy) / cos(sy), d = -sin(r - sy) * tan(sx) / cos(sy) + cos(r);

    m[0] = d / scale, m[1] = -b / scale, m[3] = -c / scale, m[4] = a / scale;
    m[2] = -m[0] * tx - m[1] * ty, m[5] = -m[3] * tx - m[4] * ty;
}

static float at_or(const float *plane, const tp_picture *x, int64_t r, int64_t c, float fill)
{
    return r < 0 || r >= x->h || c < 0 || c >= x->w ? fill : plane[r * x->w + c];
}

static float between_four(const float *plane, const tp_picture *x, double r, double c, float fill)
{
    double top = floor(r), left = floor(c);
    float down = (float)(r - top), right = (float)(c - left);
    int64_t i = (int64_t)top, j = (int64_t)left;

    return at_or(plane, x, i, j, fill) * (1 - down) * (1 - right) +
           at_or(plane, x, i, j + 1, fill) * (1 - down) * right +
           at_or(plane, x, i + 1, j, fill) * down * (1 - right) +
           at_or(plane, x, i + 1, j + 1, fill) * down * right;
}

static bool run_affine(const tp_augment *a, const tp_picture *x, const tp_picture *y)
{
    const double *v = a->v, far_x = v[2] * (double)x->w, far_y = v[3] * (double)x->h;
    double angle = tp__between(v[0], v[1]), u = tp__between(-far_x, far_x),
           w = tp__between(-far_y, far_y), m[6];
    double scale = tp__between(v[4], v[5]), shear_x = tp__between(v[6], v[7]),
           shear_y = tp__between(v[8], v[9]);
    float *to = y->v, fill = (float)v[11];

    inverse(angle, (double)tp__round(u), (double)tp__round(w), scale, shear_x, shear_y, m);
    for (int k = 0; k < x->channels; k++)
        for (int64_t i = 0; i < x->h; i++)
            for (int64_t j = 0; j < x->w; j++) {
                const float *plane = x->v + k * x->h * x->w;
                double from_x = (double)j + 0.5 - (double)x->w / 2,
                       from_y = (double)i + 0.5 - (double)x->h / 2;
                double c = m[0] * from_x + m[1] * from_y + m[2] + (double)x->w / 2 - 0.5;
                double r = m[3] * from_x + m[4] * from_y + m[5] + (double)x->h / 2 - 0.5;
                bool near =
                    fabs(c) < 1 << 20 && fabs(r) < 1 << 20; /* else no integer need hold it */

                *to++ = !near        ? fill
                        : v[10] != 0 ? between_four(plane, x, r, c, fill)
                                     : at_or(plane, x, tp__round(r), tp__round(c), fill);
            }
    return true;
}

tp_augment tp_augment_affine(tp_augment_affine_opts o)
{
    static const struct tp_augment_kind kind = { "tp_augment_affine", plan_affine, run_affine };

    if (o.scale[0] == 0 && o.scale[1] == 0) o.scale[0] = o.scale[1] = 1;
    return (tp_augment){ &kind,
                         { o.degrees[0], o.degrees[1], o.translate[0], o.translate[1], o.scale[0],
                           o.scale[1], o.shear[0], o.shear[1], o.shear[2], o.shear[3], o.bilinear,
                           o.fill } };
}

tp_augment tp_augment_rotation(double degrees, bool bilinear)
{
    return tp_augment_affine(
        (tp_augment_affine_opts){ .degrees = { -degrees, degrees }, .bilinear = bilinear });
}
