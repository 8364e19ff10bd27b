/*
 * augment_color.c - steps that change values: jitter, grey, normalize, noise, erasing.
 */
#include "data/steps.h"

#include <math.h>

static float clamp(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

static float grey_of(const tp_picture *x, int64_t i) /* ITU-R 601, rounded as torchvision does */
{
    const int64_t n = x->h * x->w;

    return x->channels == 1 ? x->v[i]
                            : 0.2989f * x->v[i] + 0.587f * x->v[n + i] + 0.114f * x->v[2 * n + i];
}

/* ---- jitter: brightness, contrast, saturation, hue ---- */

static bool plan_jitter(const tp_augment *a, const tp_picture *x, tp_picture *y)
{
    (void)x, (void)y;
    for (int i = 0; i < 4; i++)
        TP_STEP(a->kind->name, a->v[i] >= 0 && isfinite(a->v[i]) && (i < 3 || a->v[i] <= 0.5),
                "number %d is %g: 0 or more, hue at most 0.5", i, a->v[i]);
    return true;
}

static void brighten(const tp_picture *y, float f)
{
    for (int64_t i = 0; i < y->channels * y->h * y->w; i++)
        y->v[i] = clamp(f * y->v[i]);
}

static void change_contrast(const tp_picture *y, float f)
{
    const int64_t n = y->h * y->w;
    double sum = 0;
    float mean;

    for (int64_t i = 0; i < n; i++)
        sum += (double)grey_of(y, i);
    mean = (float)(sum / (double)n);
    for (int64_t i = 0; i < y->channels * n; i++)
        y->v[i] = clamp(f * y->v[i] + (1 - f) * mean);
}

static void saturate(const tp_picture *y, float f)
{
    const int64_t n = y->h * y->w;

    for (int64_t i = 0; i < n; i++) {
        float grey = grey_of(y, i);

        for (int k = 0; k < 3; k++)
            y->v[k * n + i] = clamp(f * y->v[k * n + i] + (1 - f) * grey);
    }
}

/* Hue in turns, saturation and value of a colour (Smith 1978), and back. */
static void to_hsv(const float c[3], float hsv[3])
{
    float top = fmaxf(c[0], fmaxf(c[1], c[2])), low = fminf(c[0], fminf(c[1], c[2])),
          span = top - low;
    float r, g, b, h;

    hsv[0] = hsv[1] = 0, hsv[2] = top;
    if (!(span > 0)) return;
    r = (top - c[0]) / span, g = (top - c[1]) / span, b = (top - c[2]) / span;
    h = top == c[0] ? b - g : top == c[1] ? 2 + r - b : 4 + g - r;
    hsv[0] = fmodf(h / 6 + 1, 1), hsv[1] = span / top;
}

static void from_hsv(const float hsv[3], float c[3])
{
    float six = hsv[0] * 6, part = six - floorf(six), v = hsv[2], s = hsv[1];
    float p = clamp(v * (1 - s)), q = clamp(v * (1 - s * part)),
          t = clamp(v * (1 - s * (1 - part)));
    const float of[6][3] = { { v, t, p }, { q, v, p }, { p, v, t },
                             { p, q, v }, { t, p, v }, { v, p, q } };

    memcpy(c, of[(int)floorf(six) % 6], sizeof of[0]);
}

static void turn_hue(const tp_picture *y, float turn)
{
    const int64_t n = y->h * y->w;

    for (int64_t i = 0; i < n; i++) {
        float c[3] = { y->v[i], y->v[n + i], y->v[2 * n + i] }, hsv[3];

        to_hsv(c, hsv);
        hsv[0] += turn, hsv[0] -= floorf(hsv[0]);
        from_hsv(hsv, c);
        y->v[i] = c[0], y->v[n + i] = c[1], y->v[2 * n + i] = c[2];
    }
}

static bool run_jitter(const tp_augment *a, const tp_picture *x, const tp_picture *y)
{
    int order[4] = { 0, 1, 2, 3 };
    float f[4];

    tp__copy_picture(x, y);
    for (int i = 0; i < 4; i++)
        f[i] = (float)(i < 3 ? tp__between(fmax(0, 1 - a->v[i]), 1 + a->v[i])
                             : tp__between(-a->v[3], a->v[3]));
    for (int i = 3; i > 0; i--) {
        int j = (int)tp__below(i + 1), old = order[i];

        order[i] = order[j], order[j] = old;
    }
    for (int i = 0; i < 4; i++) {
        int k = order[i];

        if (a->v[k] == 0 || (k > 1 && y->channels == 1)) continue;
        if (k == 0)
            brighten(y, f[0]);
        else if (k == 1)
            change_contrast(y, f[1]);
        else if (k == 2)
            saturate(y, f[2]);
        else
            turn_hue(y, f[3]);
    }
    return true;
}

tp_augment tp_augment_color_jitter(double brightness, double contrast, double saturation,
                                   double hue)
{
    static const struct tp_augment_kind kind = { "tp_augment_color_jitter", plan_jitter,
                                                 run_jitter };

    return (tp_augment){ &kind, { brightness, contrast, saturation, hue } };
}

/* ---- grey ---- */

static bool run_grayscale(const tp_augment *a, const tp_picture *x, const tp_picture *y)
{
    const int64_t n = x->h * x->w;

    if (!tp__chance(a->v[0])) return tp__copy_picture(x, y), true;
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < x->channels; k++)
            y->v[k * n + i] = grey_of(x, i);
    return true;
}

tp_augment tp_augment_grayscale(double p)
{
    static const struct tp_augment_kind kind = { "tp_augment_grayscale", tp__plan_chance,
                                                 run_grayscale };

    return (tp_augment){ &kind, { p } };
}

/* ---- normalize: mean (3), std (3), how many ---- */

static bool plan_normalize(const tp_augment *a, const tp_picture *x, tp_picture *y)
{
    (void)y;
    TP_STEP(a->kind->name, a->v[6] == 1 || a->v[6] == x->channels, "%g means for %d channels",
            a->v[6], x->channels);
    for (int k = 0; k < (int)a->v[6]; k++)
        TP_STEP(a->kind->name, isfinite(a->v[k]) && isfinite(a->v[3 + k]) && a->v[3 + k] != 0,
                "channel %d: mean %g, std %g", k, a->v[k], a->v[3 + k]);
    return true;
}

static bool run_normalize(const tp_augment *a, const tp_picture *x, const tp_picture *y)
{
    const int64_t n = x->h * x->w;

    for (int k = 0; k < x->channels; k++) {
        int of = a->v[6] == 1 ? 0 : k;
        float mean = (float)a->v[of], std = (float)a->v[3 + of];

        for (int64_t i = 0; i < n; i++)
            y->v[k * n + i] = (x->v[k * n + i] - mean) / std;
    }
    return true;
}

tp_augment tp_augment_normalize(const double *mean, const double *std, int channels)
{
    static const struct tp_augment_kind kind = { "tp_augment_normalize", plan_normalize,
                                                 run_normalize };
    tp_augment a = { &kind, { [6] = channels } };

    for (int k = 0; mean && std && k < channels && k < 3; k++)
        a.v[k] = mean[k], a.v[3 + k] = std[k];
    return a;
}

/* ---- noise ---- */

static bool plan_noise(const tp_augment *a, const tp_picture *x, tp_picture *y)
{
    (void)x, (void)y;
    TP_STEP(a->kind->name, a->v[0] >= 0 && isfinite(a->v[0]), "sigma %g", a->v[0]);
    return true;
}

static bool run_noise(const tp_augment *a, const tp_picture *x, const tp_picture *y)
{
    const int64_t n = x->channels * x->h * x->w;
    float sigma = (float)a->v[0];

    tp__normals(y->v, n);
    for (int64_t i = 0; i < n; i++)
        y->v[i] = clamp(x->v[i] + sigma * y->v[i]);
    return true;
}

tp_augment tp_augment_noise(double sigma)
{
    static const struct tp_augment_kind kind = { "tp_augment_noise", plan_noise, run_noise };

    return (tp_augment){ &kind, { sigma } };
}

/* ---- erasing: p, scale, ratio, value ---- */

static bool plan_erasing(const tp_augment *a, const tp_picture *x, tp_picture *y)
{
    const double *v = a->v;

    TP_STEP(a->kind->name,
            v[1] > 0 && v[1] <= v[2] && v[2] <= 1 && v[3] > 0 && v[3] <= v[4] && isfinite(v[4]) &&
                isfinite(v[5]),
            "scale %g to %g, ratio %g to %g, value %g: one can't be", v[1], v[2], v[3], v[4], v[5]);
    return tp__plan_chance(a, x, y);
}

static void erase(const tp_picture *y, tp_box b, float value)
{
    for (int k = 0; k < y->channels; k++)
        for (int64_t r = b.top; r < b.top + b.h; r++)
            for (int64_t c = b.left; c < b.left + b.w; c++)
                y->v[(k * y->h + r) * y->w + c] = value;
}

static bool run_erasing(const tp_augment *a, const tp_picture *x, const tp_picture *y)
{
    tp__copy_picture(x, y);
    if (!tp__chance(a->v[0])) return true;
    for (int tries = 0; tries < 10; tries++) {
        double area = (double)(x->h * x->w) * tp__between(a->v[1], a->v[2]);
        double ratio = exp(tp__between(log(a->v[3]), log(a->v[4])));
        int64_t h = tp__round(sqrt(area * ratio)), w = tp__round(sqrt(area / ratio));

        if (h >= x->h || w >= x->w) continue;
        erase(y, (tp_box){ tp__below(x->h - h + 1), tp__below(x->w - w + 1), h, w },
              (float)a->v[5]);
        break;
    }
    return true;
}

tp_augment tp_augment_erasing(double p, tp_erasing_opts o)
{
    static const struct tp_augment_kind kind = { "tp_augment_erasing", plan_erasing, run_erasing };

    if (o.scale_low == 0 && o.scale_high == 0) o.scale_low = 0.02, o.scale_high = 0.33;
    if (o.ratio_low == 0 && o.ratio_high == 0) o.ratio_low = 0.3, o.ratio_high = 3.3;
    return (tp_augment){ &kind,
                         { p, o.scale_low, o.scale_high, o.ratio_low, o.ratio_high, o.value } };
}
