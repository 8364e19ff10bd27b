/*
 * turns.h - a training run of several optimizers by turns: a generator and its discriminator, say.
 * Included by train/train.h.
 */
#ifndef TP_TRAIN_TURNS_H
#define TP_TRAIN_TURNS_H

#include "train/fit.h"

TP_API_BEGIN

/* What one of them does in each step. */
typedef struct tp_turn {
    const char *name; /* of its loss, in the log and in errors */
    tp_optim *optim;  /* of some parameters of m; not L-BFGS */
    /* One number with its graph, NULL after tp_fail.  Gradients go wherever it leads: those of the
     * optimizer's parameters are dropped before. */
    tp_tensor *(*loss)(tp_module *m, tp_batch b, void *user);
    int64_t batches;  /* updates in a step, each on the next batch; 0: one, on the batch of the turn
                       * before, which the first turn doesn't have */
} tp_turn;

typedef struct tp_turns_opts {
    const tp_turn *turn; /* and how many, 1 to 8 */
    int n;
    tp_loader *train;
    void *user;             /* of the losses and the callbacks */
    int64_t epochs, steps;  /* the end, whichever is first; 0: no such end.  One is needed. */
    tp_dtype amp;           /* as tp_fit_opts has it, with a tp_scaler for each turn */
    tp_ema *average;        /* updated after each step, or NULL */
    /* Each may be NULL, has a scope of its own, and isn't called after an error. */
    tp_fit_fn *on_epoch, *on_end;
    const char *checkpoint; /* the whole run as a file, or NULL; after each epoch and at the end */
    const char *resume;     /* a checkpoint of a run with the same options, or NULL */
    const char *options;    /* as tp_fit_opts has them */
    tp_log_opts log;        /* the losses by name; as tp_fit_opts has it */
} tp_turns_opts;

/* Trains m, the module that has all the networks, as tp_train_fit does one: the same checkpoints,
 * logs, ends and waits.  An epoch is as many whole steps as the loader has batches for; a step that meets
 * a pass's end goes on in the next.  Where a loss is NaN or infinite, its update isn't made: it is
 * run again in anomaly mode by the same random numbers, and the error (TP_ERR_NONFINITE) names
 * step, turn and op; the last checkpoint stays.  r may be NULL; its loss is the last turn's, and
 * its scores are NaN. */
bool tp_train_turns(tp_module *m, tp_turns_opts o, tp_fit_result *r);

TP_API_END

#endif
