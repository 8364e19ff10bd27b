/*
 * logs.h - the values of a run, to files and to the terminal.  Included by train/train.h.
 */
#ifndef TP_TRAIN_LOGS_H
#define TP_TRAIN_LOGS_H

#include "tensor/tensor.h"

TP_API_BEGIN

typedef struct tp_logger tp_logger; /* tp_log is the logarithm */
typedef struct tp_log_opts {
    /* log.csv and, with plot, curve.png go there; it is made.  NULL: none.  Rows are on disk within
     * a second, and whenever a tp_state is saved.  The folder is locked until the log is closed: another
     * log into it, of this process too, is refused. */
    const char *dir;
    int64_t total, from; /* steps in all, and already done: for the time left */
    int64_t items;       /* per step, for the rate; 0: steps */
    const char *unit;    /* "images" */
    bool bar;            /* a line on stderr, if that is a terminal; else a line now and then */
    bool plot, append;   /* append: go on with an earlier log.csv, in the curves too */
    /* Beside log.csv: log.jsonl, an object a line with step, seconds and what there is of that step
     * (infinities are null), and events.out.tfevents.taper, which TensorBoard reads. */
    bool json, tensorboard;
} tp_log_opts;
tp_logger *tp_log_open(tp_log_opts o); /* made: tp_log_close */
/* Keys are 1 to 63 characters without commas, quotes and line ends, and not "step"; a log has 64 at
 * most.  What can't be logged is an error, which stays pending as any other does: nothing goes on
 * before tp_clear_error. */
/* A value of this step, of one element, read a step late, so that nothing waits for the device. */
void tp_log_add(tp_logger *l, const char *key, tp_tensor *t);
/* Of the last step that ended, or of tp_log_opts.from. */
void tp_log_value(tp_logger *l, const char *key, double v);
void tp_log_step(tp_logger *l); /* ends a step: a row of log.csv, the bar */
void tp_log_items(tp_logger *l, int64_t n); /* of this step, where they aren't tp_log_opts.items */
double tp_log_rate(const tp_logger *l);     /* items a second since tp_log_open */
double tp_log_seconds(const tp_logger *l);  /* since tp_log_open */
/* For TensorBoard alone, of the last step that ended; nothing without tp_log_opts.tensorboard.
 * They wait for the device. */
void tp_log_image(tp_logger *l, const char *key, tp_tensor *t);     /* (1 or 3, H, W) in [0, 1] */
void tp_log_histogram(tp_logger *l, const char *key, tp_tensor *t); /* of all finite elements */
void tp_log_text(tp_logger *l, const char *key, const char *text);  /* UTF-8; Markdown */
bool tp_log_close(tp_logger *l);        /* false and an error when something was not written */

TP_API_END

#endif
