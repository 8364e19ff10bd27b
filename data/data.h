/*
 * data.h - batches in.  Files of many kinds are in data/datasets.h, choices and samplers in
 * data/sampling.h, augmentation in data/augment.h, tokenizers in data/tokenizer.h.
 *
 * Data sets and loaders are made.  A loader takes the data set it is given; tp_data_retain
 * makes another owner.  A batch belongs to its loader until the next call: tp_keep holds longer.
 */
#ifndef TP_DATA_H
#define TP_DATA_H

#include "tensor/tensor.h"

TP_API_BEGIN

enum { TP_FIELDS = 8 };

typedef struct tp_dataset tp_dataset; /* made; a loader takes it, or tp_data_set_free */
typedef struct tp_loader tp_loader;   /* made: tp_data_free */
typedef struct tp_sampler tp_sampler; /* see data/sampling.h */

/* ---- data sets: numbered samples of several fields, each of one shape and dtype ---- */

tp_dataset *tp_data_tensors(tp_list fields); /* rows of tensors on the CPU, kept */

/* A sample; no more of them; failed, and tp_fail says why. */
typedef enum tp_got { TP_ITEM, TP_END, TP_FAILED } tp_got;
typedef struct tp_source {
    int64_t count; /* samples; -1: a stream */
    int fields;
    tp_shape shape[TP_FIELDS]; /* of one sample */
    tp_dtype dtype[TP_FIELDS];
    /* Writes sample i, one pointer per field; called from workers, several at a time.  The
     * thread's generator is set by seed, pass and place, so that what is drawn here (tp_rand)
     * doesn't depend on who draws it.  TP_END ends the batch early. */
    tp_got (*get)(void *user, int64_t i, void *const *fields);
    /* A stream instead: the next sample; rewind starts a new pass.  Called by one thread. */
    tp_got (*next)(void *user, void *const *fields);
    bool (*rewind)(void *user);
    void (*done)(void *user); /* when the data set is freed, also after a failure */
    void *user;
} tp_source;
tp_dataset *tp_data_source(tp_source s); /* s is copied; its user stays until done */

/* One more owner: d itself, to be freed or taken once more. */
tp_dataset *tp_data_retain(tp_dataset *d);
tp_dataset *tp_data_range(tp_dataset *d, int64_t from, int64_t to); /* takes d */
/* Consecutive windows for carried state: the text, a (n) or (n, ...) tensor, is cut into `batch`
 * lanes; sample fields are x and y, each (steps), y one place later.  Use it with batch equal
 * to the loader's and without shuffling. */
tp_dataset *tp_data_lanes(tp_tensor *text, int64_t batch, int64_t steps);
typedef struct tp_windows_opts {
    int64_t steps;  /* places in a window */
    int64_t ahead;  /* y is so many places behind the window; 0: the window one place later */
    int64_t stride; /* from one window to the next; 0: 1.  As steps: each place once */
} tp_windows_opts;
/* Windows of a series (n) or (n, ...), kept: x (steps, ...) and y, for language models (ahead 0) and
 * forecasts. */
tp_dataset *tp_data_windows(tp_tensor *series, tp_windows_opts o);
int64_t tp_data_count(const tp_dataset *d); /* -1: a stream */
int64_t tp_data_classes(const tp_dataset *d); /* 1 + the largest label where that is known, else 0 */
const char *tp_data_class(const tp_dataset *d, int64_t label); /* its name, or NULL */
int tp_data_fields(const tp_dataset *d);                /* how many a sample has */
tp_shape tp_data_shape(const tp_dataset *d, int field); /* of one sample */
tp_dtype tp_data_dtype(const tp_dataset *d, int field); /* of a field */
void tp_data_set_free(tp_dataset *d);                   /* of one that nothing took */

/* IDX files, gzip or plain, as MNIST's: images (N, 1, H, W) f32 in [0, 1], labels i64. */
tp_dataset *tp_data_idx(const char *images, const char *labels);
/* Debian's dataset-fashion-mnist, or any folder with the four files of MNIST.  dir NULL: the
 * package's own.  split: "train" or "test". */
tp_dataset *tp_data_fashion_mnist(const char *dir, const char *split);
const char *tp_data_fashion_mnist_class(int label); /* "T-shirt/top" ...; NULL out of range */

/* ---- loaders ---- */

typedef struct tp_loader_opts {
    int64_t batch; /* 0: 1 */
    bool shuffle, drop_last;
    bool endless;      /* passes follow each other without an end */
    int workers;       /* threads that prepare batches ahead; 0: none */
    uint64_t seed;     /* of the shuffling, with the pass and nothing else */
    tp_device *device; /* NULL: the CPU */
    tp_sampler *sampler; /* which samples, in what order, and no shuffle; the loader takes it */
} tp_loader_opts;

typedef struct tp_batch {
    tp_tensor *x, *y, *extra[TP_FIELDS - 2]; /* (size, ...); NULL where there is no such field */
    int64_t size;
} tp_batch;

/* Sample i alone, as a batch of one on the CPU, lent.  What is drawn for it comes from the
 * thread's generator. */
bool tp_data_sample(tp_dataset *d, int64_t i, tp_batch *b);

tp_loader *tp_data_loader(tp_dataset *d, tp_loader_opts o); /* takes d, also when it fails */
/* false: the end of a pass, or an error: tp_ok tells.  After an end the next pass begins; the second
 * in a row that has no batch is an error, as a loop that waits for one would never end. */
bool tp_data_next(tp_loader *l, tp_batch *b);
int64_t tp_data_batches(const tp_loader *l); /* of one pass; -1: a stream */
bool tp_data_new_pass(const tp_loader *l);   /* the last batch was the first of its pass */
tp_dataset *tp_data_of(const tp_loader *l);  /* the loader's */
tp_loader_opts tp_data_opts(const tp_loader *l); /* as it was made, defaults filled in */
void tp_data_free(tp_loader *l);             /* with its data set and its workers */

enum { TP_PASSES = 1 << 30 }; /* more can't be sought */
/* Where it is: the pass, and the batches taken of it.  Saved with the training state. */
typedef struct tp_position {
    int64_t pass, batch;
} tp_position;
tp_position tp_data_position(const tp_loader *l);
bool tp_data_seek(tp_loader *l, tp_position p); /* the next batch is the one that came after p */

TP_API_END

#endif
