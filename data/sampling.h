/*
 * sampling.h - which samples of a data set, in what order, and made into what.
 *
 * Functions that take a data set own it, also when they fail: tp_data_retain makes another
 * owner.  What they return is a data set like others; classes and names of classes stay.
 */
#ifndef TP_DATA_SAMPLING_H
#define TP_DATA_SAMPLING_H

#include "data/data.h"

TP_API_BEGIN

/* ---- parts and sums ---- */

/* Samples index[0..n) of d, in this order; an index may come more than once.  Takes d. */
tp_dataset *tp_data_subset(tp_dataset *d, const int64_t *index, int64_t n);
/* All of d in n parts at random, disjoint, written to parts[n]; the same for the same seed.
 * share: either n counts that add up to d's, or n fractions that add up to 1 (within 1e-6).
 * Fractions are rounded as PyTorch's random_split does: each down, then what is left over goes
 * one by one to the parts from the first.  Takes d; false: parts are NULL. */
bool tp_data_split(tp_dataset *d, const double *share, int n, uint64_t seed, tp_dataset **parts);
/* Sets of equal fields one after the other, at least one; classes have names where they are the
 * same in all of them.  Takes all of them. */
tp_dataset *tp_data_concat(tp_dataset *const *sets, int n);

/* ---- samples made into others ---- */

typedef struct tp_map {
    int fields; /* of the result; 0: those of the data set, shape and dtype below are not read */
    tp_shape shape[TP_FIELDS];
    tp_dtype dtype[TP_FIELDS];
    /* Makes `to` from sample i; called from workers.  The thread's generator is set by seed,
     * pass and place.  false: failed, tp_fail says why. */
    bool (*f)(void *user, int64_t i, const void *const *from, void *const *to);
    void (*done)(void *user); /* when the data set is freed, also after a failure */
    void *user;
} tp_map;
tp_dataset *tp_data_map(tp_dataset *d, tp_map m); /* takes d; streams too, i is 0 then */

/* (x - mean) / std of f32 field `field`; mean and std are f32 tensors on the CPU with one number
 * per column (the last axis), kept.  Takes d; streams too. */
tp_dataset *tp_data_standardize(tp_dataset *d, int field, tp_tensor *mean, tp_tensor *std);
/* Mean and standard deviation (of the population: divided by n) of each column, the last axis,
 * of f32 field `field` over all of d, in f64, then lent as f32 (columns); NaN is left out, and
 * a column that never changes has deviation 1, as in scikit-learn's StandardScaler. */
bool tp_data_measure(tp_dataset *d, int field, tp_tensor **mean, tp_tensor **std);

/* ---- labels ---- */

/* Field 1 of all samples, which must be i64 (): (n) lent.  Pictures are not decoded for it. */
tp_tensor *tp_data_labels(tp_dataset *d);
/* n / (classes * count of the class), scikit-learn's "balanced": f32 (classes), lent.  labels
 * is i64 (n); a class without a sample has weight 0. */
tp_tensor *tp_data_class_weights(tp_tensor *labels, int64_t classes);
/* The weight of each sample's class, f32 (n): for a weighted sampler that balances classes. */
tp_tensor *tp_data_sample_weights(tp_tensor *labels, int64_t classes);

/* ---- samplers: the order of a pass, for tp_loader_opts; the loader takes its sampler ---- */

/* index[0..n) in this order each pass, or, shuffled, in another order each pass. */
tp_sampler *tp_data_order(const int64_t *index, int64_t n, bool shuffle);
/* All samples each pass, shuffled, so that each `batch` of them are about as long: 32 batches
 * are sorted by length at a time, and the batches shuffled.  lengths: contiguous i64 (samples)
 * on the CPU, copied.  For rows that are padded. */
tp_sampler *tp_data_by_length(tp_tensor *lengths, int64_t batch);
/* n draws a pass, in proportion to weights, f32 or f64 (samples), finite, none negative; with
 * replacement, or without, and then no more than there are weights above 0. */
tp_sampler *tp_data_weighted(tp_tensor *weights, int64_t n, bool replacement);

/* An order of one's own. */
typedef struct tp_order {
    int64_t count; /* samples in a pass */
    /* Writes count sample numbers: the same for the same seed and pass.  false: failed. */
    bool (*order)(void *user, uint64_t seed, int64_t pass, int64_t *order);
    void (*done)(void *user); /* when the sampler is freed, also after a failure */
    void *user;
} tp_order;
tp_sampler *tp_data_sampler(tp_order o);      /* o is copied; its user stays until done */
void tp_data_sampler_free(tp_sampler *s); /* of one that no loader took */

TP_API_END

#endif
