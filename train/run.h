/*
 * run.h - what tp_train_fit and tp_train_turns have in common, with public calls alone.
 */
#ifndef TP_TRAIN_RUN_H
#define TP_TRAIN_RUN_H

#include "train/train.h"

#include "autograd/autograd.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A run's place and ends, its checkpoint and its log. */
typedef struct course {
    const char *name; /* of the function, for errors */
    tp_fit_at at;
    tp_fit_why why;
    bool ended;
    int64_t steps, epochs;                     /* the ends; 0: no such end */
    const char *checkpoint, *resume, *options; /* or NULL */
    void *user;                                /* of the callbacks */
    tp_state *state;
    tp_logger *log;
} course;

static inline course course_of(const char *name, tp_module *m)
{
    return (course){ .name = name,
                     .at = { .m = m, .loss = NAN, .score = NAN, .best = NAN },
                     .why = TP_FIT_FAILED };
}

/* ---- one batch ---- */

typedef tp_tensor *loss_fn(void *user);

/* The same again, with the same random numbers, in search of the op that gave NaN. */
static inline bool blame(const course *c, loss_fn *f, void *user, const char *turn,
                         tp_rng rng, double loss)
{
    char why[512] = "no op gave NaN";
    TP_ANOMALY;

    tp_rng_restore(rng);
    tp_backward(f(user));
    if (!tp_ok()) snprintf(why, sizeof why, "%s", tp_error());
    tp_clear_error();
    if (isnan(loss)) loss = NAN; /* without a sign */
    return tp_fail(TP_ERR_NONFINITE, "%s: the loss of %s%s%sstep %lld is %g: %s", c->name,
                   turn ? "the " : "", turn ? turn : "", turn ? " in " : "",
                   (long long)c->at.step + 1, loss, why);
}

/* Gradients of a loss, times the scale of s unless that is NULL, which is one of `share` that a step
 * has the mean of.  Its number is read when the backward is queued, so that a device has work
 * meanwhile, and before any step: where it is none, that is an error.  turn: whose loss it is, or
 * NULL. */
static inline bool learn_from(const course *c, loss_fn *f, void *user, int64_t share,
                              const char *turn, tp_scaler *s, double *value)
{
    tp_rng rng = tp_rng_save();
    tp_tensor *loss = f(user),
              *part = share > 1 ? tp_scale(loss, 1 / (double)share) : loss;

    if (!tp_backward(s ? tp_scaler_scale(s, part) : part)) return false;
    *value = tp_item(loss);
    return tp_ok() && (isfinite(*value) || blame(c, f, user, turn, rng, *value));
}

/* ---- f16 ---- */

static inline bool note_device(void *dev, const char *name, tp_tensor **t)
{
    (void)name;
    *(tp_device **)dev = tp_device_of(*t);
    return true;
}

/* A scaler, part of the checkpoint, where amp is f16; *s stays NULL where it isn't. */
static inline bool scale_for(course *c, tp_dtype amp, const char *name, tp_scaler **s)
{
    tp_device *dev = NULL;

    if (amp != TP_F16) return true;
    return tp_nn_each(tp_nn_params(c->at.m, "*"), false, note_device, &dev) >= 0 &&
           (*s = tp_scaler_new(dev, tp_scaler_options())) &&
           tp_state_scaler(c->state, name, *s);
}

static inline bool step_by(tp_optim *o, tp_scaler *s)
{
    return s ? tp_scaler_step(s, o) && tp_scaler_update(s) : tp_optim_step(o);
}

/* ---- what happens now and then ---- */

static inline void end(course *c, tp_fit_why why)
{
    if (!c->ended) c->ended = true, c->why = why;
}

static inline void tell(course *c, tp_fit_fn *f)
{
    TP_SCOPE;
    if (tp_ok() && f && !f(&c->at, c->user)) end(c, TP_FIT_ASKED);
}

static inline bool save(const course *c)
{
    return !c->checkpoint || !tp_ok() || tp_state_save(c->state, c->checkpoint);
}

static inline void end_where_done(course *c)
{
    if ((c->steps && c->at.step >= c->steps) || (c->epochs && c->at.epoch >= c->epochs))
        end(c, TP_FIT_DONE);
}

/* ---- begin and end ---- */

/* a_pass: steps in a pass; 0: who knows. */
static inline bool open_log(course *c, tp_log_opts o, int64_t a_pass)
{
    if (!o.dir && !o.bar) return true;
    o.from = c->at.step, o.append = c->resume != NULL;
    o.total = a_pass * c->epochs;
    if (c->steps && (!o.total || c->steps < o.total)) o.total = c->steps;
    return (c->log = tp_log_open(o)) != NULL;
}

/* With everything registered; also where a checkpoint is already at its end, or was saved at it. */
static inline bool set_out(course *c, tp_log_opts o, int64_t a_pass)
{
    if (c->options && !tp_state_text(c->state, "options", c->options)) return false;
    if ((c->resume && !tp_state_load(c->state, c->resume)) || !open_log(c, o, a_pass))
        return false;
    end_where_done(c);
    if (c->ended && c->resume && c->checkpoint && !strcmp(c->resume, c->checkpoint))
        c->checkpoint = NULL; /* as it is there already */
    return !c->checkpoint || tp_state_try(c->state, c->checkpoint);
}

/* false after an error. */
static inline bool arrive(course *c, tp_fit_result *r)
{
    if (!tp_log_close(c->log) || !tp_ok()) c->why = TP_FIT_FAILED;
    tp_state_free(c->state);
    if (r) *r = (tp_fit_result){ c->why, c->at };
    return c->why != TP_FIT_FAILED;
}

#endif
