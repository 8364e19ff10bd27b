/*
 * fit.h - a whole training run as one call.  Included by train/train.h.
 *
 * train/fit.c, and train/run.h below it, are written with nothing but what <taper.h> shows, so that a
 * loop of one's own can start from them.
 */
#ifndef TP_TRAIN_FIT_H
#define TP_TRAIN_FIT_H

#include "data/data.h"
#include "optim/optim.h"
#include "train/logs.h"

TP_API_BEGIN

/* Where a run is: whole optimizer steps, and whole passes over the data. */
typedef struct tp_fit_at {
    tp_module *m;
    int64_t step, epoch;
    double loss;         /* of the last whole step: the mean over its batches; or NaN */
    double score, best;  /* of the last validation, and the best; NaN before there is one */
    bool improved;       /* the last validation was the best so far */
} tp_fit_at;
/* false ends the run, as done; an error (tp_fail) fails it. */
typedef bool tp_fit_fn(const tp_fit_at *at, void *user);

typedef struct tp_fit_opts {
    tp_optim *optim;                /* of m's parameters, some at least; not L-BFGS */
    tp_sched *sched;                /* advanced after each step, or NULL */
    tp_loader *train, *validation;  /* validation may be NULL */
    /* y of a batch.  NULL: tp_nn_forward(m, b.x), and in validation tp_nn_predict(m, b.x).  With a
     * forward of one's own all modules are put in eval mode for a validation, and in train mode after. */
    tp_tensor *(*forward)(tp_module *m, tp_batch b, void *user);
    tp_tensor *(*loss)(tp_tensor *y, tp_batch b, void *user); /* NULL: tp_cross_entropy(y, b.y), or
                                     * y itself where a forward of one's own gives one number */
    /* How good m is; NULL: the mean loss over the samples of `validation`. */
    double (*score)(tp_module *m, tp_loader *validation, void *user);
    bool higher_is_better;          /* of score */
    /* Each may be NULL and has a scope of its own; on_end comes also after an early stop, not after an
     * error. */
    tp_fit_fn *on_step, *on_epoch, *on_validation, *on_end;
    void *user;

    int64_t epochs, steps;    /* the end, whichever is first; 0: no such end.  One is needed. */
    int64_t accumulate;       /* batches a step, the loss being their mean; 0: 1.  What is left at a pass's
                               * end is a step of fewer; of a stream it is divided by accumulate. */
    double clip_norm;         /* 0: no clipping */
    tp_dtype amp;             /* TP_BF16: products run in it; TP_F16, on a GPU: in that, with a tp_scaler
                               * of PyTorch's defaults; where that skips a step, it counts all the same */
    tp_ema *average;          /* of m, or NULL: updated after a step, and in m's place, once it has
                               * been, in validations: score, on_validation, best and restore_best
                               * see the averages.  In the end m has its own weights, or the best */
    int64_t average_from;     /* the first step after which it is updated, and then */
    int64_t average_every;    /* after so many steps; 0: 1 */
    tp_loader *statistics;    /* training data again, by a loader of its own, or NULL: for
                               * tp_swa_update_bn before each validation of averages */
    int64_t validate_every;   /* steps; 0: after each pass; and once more at the end of steps */
    int64_t patience;         /* validations without a better score by more than min_delta; 0: no end */
    double min_delta;
    const char *best;         /* the weights of the best validation, as a file; or NULL */
    bool restore_best;        /* m has them at the end; they are part of checkpoints */
    const char *checkpoint;   /* the whole run as a file, or NULL; written also at the end */
    int64_t checkpoint_every; /* steps; 0: after each pass */
    const char *resume;       /* a checkpoint of a run with the same options, or NULL: all goes on, bit
                               * by bit, as if it had not ended */
    const char *options;      /* how the program was called, as a text in its checkpoints; those of
                               * tp_train_parse are read by it where a run is resumed; or NULL */
    tp_log_opts log;          /* loss and score; with dir or bar.  total, from and append are filled in */
} tp_fit_opts;

/* Why a run ended. */
typedef enum tp_fit_why {
    TP_FIT_DONE,        /* epochs or steps */
    TP_FIT_PATIENCE,    /* no better score */
    TP_FIT_ASKED,       /* a callback gave false */
    TP_FIT_INTERRUPTED, /* tp_train_interrupted: where the program called tp_train_catch_interrupt */
    TP_FIT_FAILED
} tp_fit_why;
/* Why it ended, and where it was then. */
typedef struct tp_fit_result {
    tp_fit_why why;
    tp_fit_at at;
} tp_fit_result;

/* Trains m.  Every batch's loss is read once its backward is queued, the one wait for a device that a
 * batch has: where it is NaN or infinite, no step is made, the forward and backward are run again in
 * anomaly mode, and the error (TP_ERR_NONFINITE) names step and op; the last checkpoint stays.  false
 * after an error; m then has the parameters of the last whole step, while gradients are what the batch
 * that failed left, and running statistics of norms have seen it.  r may be NULL.  Everything in o
 * stays the caller's. */
bool tp_train_fit(tp_module *m, tp_fit_opts o, tp_fit_result *r);

TP_API_END

#endif
