/*
 * train.h - what surrounds a training loop: the whole state as one file, logs, a progress bar,
 * plots, arguments.  Logs are in train/logs.h, metrics in train/metrics.h, plots in train/plots.h, a
 * run as one call in train/fit.h, of several optimizers in train/turns.h, where its time goes in
 * train/profile.h.
 */
#ifndef TP_TRAIN_H
#define TP_TRAIN_H

#include "data/data.h"
#include "nn/nn.h"
#include "optim/optim.h"
#include "train/fit.h"
#include "train/logs.h"
#include "train/metrics.h"
#include "train/plots.h"
#include "train/profile.h"
#include "train/turns.h"

TP_API_BEGIN

/* ---- state: everything that a run must find again, by name, in one safetensors file ---- */

typedef struct tp_state tp_state; /* made: tp_state_free */

/* What is registered stays its owner's and must outlive the state's use. */
tp_state *tp_state_new(void);
bool tp_state_module(tp_state *s, const char *name, tp_module *m);
bool tp_state_optim(tp_state *s, const char *name, tp_optim *o);
bool tp_state_ema(tp_state *s, const char *name, tp_ema *e);
bool tp_state_scaler(tp_state *s, const char *name, tp_scaler *sc);
bool tp_state_sched(tp_state *s, const char *name, tp_sched *sc);
bool tp_state_loader(tp_state *s, const char *name, tp_loader *l);
bool tp_state_tensor(tp_state *s, const char *name, tp_tensor **t); /* as tp_store keeps it */
bool tp_state_i64(tp_state *s, const char *name, int64_t *v);
bool tp_state_count(tp_state *s, const char *name, int64_t *v); /* a file with less than 0 is refused */
bool tp_state_f64(tp_state *s, const char *name, double *v);
/* A text for who reads the file: metadata, of tp_file_meta.  It is copied; loading doesn't look at it. */
bool tp_state_text(tp_state *s, const char *name, const char *text);
/* With the thread's generator.  Loading checks all of the file before it changes anything: a
 * loader of another batch size or number of samples is refused, and a module with other notes.  It notes through tp_set_log
 * when threads, processor or BLAS differ, so that the same bits can't be promised, when a
 * loader is shuffled by another seed, and when a schedule goes on with another rate. */
bool tp_state_save(tp_state *s, const char *path) __attribute__((warn_unused_result));
/* Could it be saved there?  Writes all of it to a temporary file beside path and takes it away, so
 * that a full disk or a wrong folder is found before the training. */
bool tp_state_try(tp_state *s, const char *path) __attribute__((warn_unused_result));
bool tp_state_load(tp_state *s, const char *path) __attribute__((warn_unused_result));
void tp_state_free(tp_state *s); /* what is registered stays */

/* ---- averaged weights ---- */

/* The running statistics of m's batch norms anew: means over one pass of l, as if their momentum
 * were PyTorch's None, in training mode and without gradients; modes and momenta come back.  For
 * weights that no batch has seen: after tp_ema_copy_to, or within TP_WITH_EMA.  l is at the beginning of a
 * pass.  torch.optim.swa_utils.update_bn */
bool tp_swa_update_bn(tp_loader *l, tp_module *m);

/* ---- looking ---- */

/* Share of argmax == y over one pass: scores (N, C), labels (N) from 0 to C - 1, all others are
 * refused.  NaN after an error. */
double tp_train_accuracy(tp_module *m, tp_loader *l);

typedef struct tp_grid_opts {
    int columns;              /* 0: as square as can be */
    int scale;                /* pixels per pixel; 0: so that a picture is at least 56 wide */
    const char *const *label; /* one below each picture, or NULL */
    const bool *mark;         /* those drawn in red, or NULL */
} tp_grid_opts;
/* images (N, 1 or 3, H, W) in [0, 1] */
bool tp_image_grid(const char *png, tp_tensor *images, tp_grid_opts o)
    __attribute__((warn_unused_result));

/* ---- programs ---- */

/* What the value of a flag is: any text, a whole number, a number, or no value: the flag is a yes. */
typedef enum tp_flag_kind { TP_FLAG_TEXT, TP_FLAG_WHOLE, TP_FLAG_REAL, TP_FLAG_YES } tp_flag_kind;
/* A flag of the program's own: --name VALUE, or --name alone where it is a yes.  `to` points to a
 * const char *, int64_t, double or bool, which holds the default. */
typedef struct tp_train_flag {
    const char *name, *help;
    tp_flag_kind kind;
    void *to;
    double least, most; /* of numbers; both 0: any */
} tp_train_flag;

typedef struct tp_train_args {
    const char *program, *about, *device, *data, *out, *amp;
    const char *resume; /* a checkpoint, or NULL */
    int epochs, threads;
    int64_t steps, batch; /* steps 0: by epochs, and so it becomes where --epochs is given alone */
    double lr;
    uint64_t seed;
    bool plot;
    const tp_train_flag *flags; /* more of them, and how many; at most 32 */
    int n_flags;
    const char *may_differ;     /* names of those, blanks between, that may be others in a run that is resumed:
                                 * of what is shown, not of what is learned */
    char options[16384]; /* what --resume finds again, as JSON: becomes tp_fit_opts.options */
} tp_train_args;
/* a holds the defaults.  -1: go on; else exit with it: 0 after --help, 2 after one line on what
 * is wrong, 1 when help can't be written, or the checkpoint not read.  Sets threads and the seed; notes
 * and warnings go to stderr from here on.
 * With --resume a flag that isn't given is that of the run that is resumed, where its checkpoint has
 * them ("options"; its texts stay until the next call with --resume), and out the checkpoint's folder.
 * One that is given may be another where that takes no part in what was learned: device, data, epochs, steps,
 * plot, and those that may_differ.  On another device a run goes on, but no longer bit by bit. */
int tp_train_parse(tp_train_args *a, int argc, char **argv);
tp_dtype tp_train_amp(const tp_train_args *a); /* what --amp says: TP_F32 (off), TP_BF16 or TP_F16 */
/* Makes the folder, those above it too, where it isn't there; false and an error where it can't be
 * written to. */
bool tp_train_folder(const char *dir);
/* Writes to standard output, at once; false and an error when that is full or closed. */
bool tp_train_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* From now on Ctrl-C and SIGTERM ask instead of ending the program, a second one ends it; a reader
 * of the program's output that goes away doesn't (SIGPIPE is ignored). */
void tp_train_catch_interrupt(void);
bool tp_train_interrupted(void);
int tp_train_status(void); /* what main returns: 1 after an error, 130 after Ctrl-C, 143 SIGTERM, or 0 */

TP_API_END

#endif
