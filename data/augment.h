/*
 * augment.h - pictures changed at random as they are taken, as torchvision.transforms does.
 *
 * A list of steps is applied to field 0, f32 (C, H, W) with values in [0, 1] and C 1 or 3; other
 * fields stay.  Steps draw from the thread's generator, which a loader sets by its seed, the pass
 * and the place in the pass: the same pictures for any number of workers, and after a resume.
 *
 *     tp_augment steps[] = { tp_augment_crop(32, 32, 4, TP_EDGE_REFLECT), tp_augment_flip(0.5) };
 *     d = tp_data_augment(d, steps, TP_LEN(steps));
 */
#ifndef TP_DATA_AUGMENT_H
#define TP_DATA_AUGMENT_H

#include "data/data.h"

TP_API_BEGIN

/* One step, made by a function below, by value; numbers are checked by tp_data_augment. */
typedef struct tp_augment {
    const struct tp_augment_kind *kind; /* NULL: none, refused */
    double v[16];
} tp_augment;

/* Takes d; streams too. */
tp_dataset *tp_data_augment(tp_dataset *d, const tp_augment *steps, int n);

/* ---- place ---- */

tp_augment tp_augment_flip(double p);          /* left and right, with probability p */
tp_augment tp_augment_flip_vertical(double p); /* top and bottom */
typedef enum tp_edge { TP_EDGE_ZERO, TP_EDGE_REFLECT } tp_edge;
/* height x width from anywhere in the picture, which gets `padding` pixels on each side first;
 * reflected padding is smaller than the picture. */
tp_augment tp_augment_crop(int64_t height, int64_t width, int64_t padding, tp_edge mode);
tp_augment tp_augment_center_crop(int64_t height, int64_t width);
/* Bilinear, antialiased when it gets smaller.  width 0: the shorter side becomes height. */
tp_augment tp_augment_resize(int64_t height, int64_t width);
typedef struct tp_resized_crop_opts {
    double scale_low, scale_high; /* share of the picture's area; both 0: 0.08 to 1 */
    double ratio_low, ratio_high; /* width / height, its logarithm is uniform; both 0: 3/4 to 4/3 */
} tp_resized_crop_opts;
/* A rectangle of random area and proportions, resized (Szegedy et al. 2014). */
tp_augment tp_augment_resized_crop(int64_t height, int64_t width, tp_resized_crop_opts o);
typedef struct tp_augment_affine_opts {
    bool bilinear;       /* else the nearest pixel */
    double degrees[2];   /* clockwise, from and to */
    double translate[2]; /* at most this share of width and of height, either way */
    double scale[2];     /* both 0: 1 */
    double shear[4];     /* degrees: along x from and to, along y from and to */
    double fill;         /* where nothing is */
} tp_augment_affine_opts;
tp_augment tp_augment_affine(tp_augment_affine_opts o); /* about the middle; the size stays */
tp_augment tp_augment_rotation(double degrees, bool bilinear); /* from -degrees to degrees */

/* ---- colour ---- */

/* Factors of brightness, contrast and saturation are uniform in [max(0, 1 - b), 1 + b], the shift
 * of hue in [-hue, hue], hue at most 0.5 of a turn; in random order.  A grey picture has neither
 * saturation nor hue: they stay. */
tp_augment tp_augment_color_jitter(double brightness, double contrast, double saturation,
                                   double hue);
tp_augment tp_augment_grayscale(double p); /* of 3 channels, which become equal */
/* (x - mean[c]) / std[c]; channels: how many numbers there are, those of the picture or 1. */
tp_augment tp_augment_normalize(const double *mean, const double *std, int channels);
/* x + sigma * normal, cut to [0, 1]: before normalize. */
tp_augment tp_augment_noise(double sigma);
typedef struct tp_erasing_opts {
    double scale_low, scale_high; /* share of the area; both 0: 0.02 to 0.33 */
    double ratio_low, ratio_high; /* height / width; both 0: 0.3 to 3.3 */
    double value;
} tp_erasing_opts;
/* A rectangle becomes `value` with probability p (Zhong et al. 2017). */
tp_augment tp_augment_erasing(double p, tp_erasing_opts o);

/* ---- two samples in one ---- */

/* Field 0, f32, is mixed with that of another sample of d, drawn at random, and label y, i64 (),
 * becomes shares f32 (classes), for a cross-entropy with probabilities.  Each sample has its own
 * share l ~ Beta(alpha, alpha); torchvision draws one for the batch.  d's classes must be known.
 * mixup (Zhang et al. 2017): l x + (1 - l) other.  cutmix (Yun et al. 2019): a rectangle of area
 * 1 - l is the other's, x is (C, H, W).  Both take d. */
tp_dataset *tp_data_mixup(tp_dataset *d, double alpha);
tp_dataset *tp_data_cutmix(tp_dataset *d, double alpha);

TP_API_END

#endif
