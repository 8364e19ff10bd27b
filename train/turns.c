/*
 * turns.c - a training run of several optimizers by turns, with public calls alone.
 */
#include "train/train.h"

#include "autograd/autograd.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_TURNS = 8 };

typedef struct run {
    tp_turns_opts o;
    tp_fit_at at;
    tp_fit_why why;
    tp_state *state;
    tp_logger *log;
    double loss[MOST_TURNS]; /* of each turn's last update */
    int64_t a_pass;          /* steps */
    bool ended;
} run;

/* ---- one update ---- */

static tp_tensor *loss_of(run *k, const tp_turn *t, tp_batch b)
{
    tp_tensor *loss = t->loss(k->at.m, b, k->o.user);

    if (!loss && tp_ok())
        tp_fail(TP_ERR_USER, "tp_train_turns: no loss of the %s, and no error that says why", t->name);
    return loss;
}

/* The same again, with the same random numbers, in search of the op that gave NaN. */
static bool blame(run *k, const tp_turn *t, tp_batch b, tp_rng rng, double loss)
{
    char why[512] = "no op gave NaN";
    TP_ANOMALY;

    tp_rng_restore(rng);
    tp_backward(loss_of(k, t, b));
    if (!tp_ok()) snprintf(why, sizeof why, "%s", tp_error());
    tp_clear_error();
    tp_fail(TP_ERR_NONFINITE, "tp_train_turns: the loss of the %s in step %lld is %g: %s", t->name,
            (long long)k->at.step + 1, loss, why);
    return false;
}

static bool update(run *k, const tp_turn *t, tp_batch b, double *value)
{
    TP_SCOPE;
    TP_AUTOCAST(k->o.amp);
    tp_rng rng = tp_rng_save();
    tp_tensor *loss;

    if (!tp_optim_zero_grad(t->optim)) return false;
    loss = loss_of(k, t, b), *value = loss ? tp_item(loss) : (double)NAN;
    if (!tp_ok()) return false;
    if (!isfinite(*value)) return blame(k, t, b, rng, *value);
    return tp_backward(loss) && tp_optim_step(t->optim);
}

/* ---- one step ---- */

static bool next(run *k, tp_batch *b)
{
    return tp_data_next(k->o.train, b) || (tp_ok() && tp_data_next(k->o.train, b));
}

static bool step(run *k)
{
    int64_t items = 0;
    tp_batch b = { 0 };

    for (int i = 0; i < k->o.n; i++) {
        const tp_turn *t = &k->o.turn[i];

        if (!t->batches && !update(k, t, b, &k->loss[i])) return false;
        for (int64_t j = 0; j < t->batches; j++, items += b.size)
            if (!next(k, &b) || !update(k, t, b, &k->loss[i])) return false;
    }
    if (k->o.average && !tp_ema_update(k->o.average)) return false;
    k->at.step++, k->at.loss = k->loss[k->o.n - 1];
    tp_log_items(k->log, items), tp_log_step(k->log);
    for (int i = 0; i < k->o.n; i++)
        tp_log_value(k->log, k->o.turn[i].name, k->loss[i]);
    return tp_ok();
}

/* ---- what happens now and then ---- */

static void end(run *k, tp_fit_why why)
{
    if (!k->ended) k->ended = true, k->why = why;
}

static void tell(run *k, tp_fit_fn *f)
{
    TP_SCOPE;
    if (tp_ok() && f && !f(&k->at, k->o.user)) end(k, TP_FIT_ASKED);
}

static bool save(run *k)
{
    return !k->o.checkpoint || !tp_ok() || tp_state_save(k->state, k->o.checkpoint);
}

static bool is_over(const run *k)
{
    return (k->o.steps && k->at.step >= k->o.steps) || (k->o.epochs && k->at.epoch >= k->o.epochs);
}

static void after_step(run *k)
{
    if (k->a_pass && k->at.step % k->a_pass == 0) {
        k->at.epoch++;
        tell(k, k->o.on_epoch);
        if (!save(k)) return;
    }
    if (is_over(k)) end(k, TP_FIT_DONE);
}

/* ---- the run ---- */

static const char *wrong_turn(tp_module *m, tp_turns_opts o)
{
    for (int i = 0; i < o.n; i++) {
        const tp_turn *t = &o.turn[i];

        if (!t->name || !t->optim || !t->loss) return "a turn has a name, an optimizer and a loss";
        if (t->batches < 0 || (!i && !t->batches))
            return "batches can't be below 0, nor be 0 in the first turn";
        if (!strcmp(tp_optim_kind(t->optim), "lbfgs"))
            return "L-BFGS steps with a closure: it has no turn";
        if (!tp_optim_trains(t->optim, m)) return "an optimizer has none of the module's parameters";
        for (int j = 0; j < i; j++)
            if (!strcmp(o.turn[j].name, t->name) || o.turn[j].optim == t->optim)
                return "two turns have one name, or one optimizer";
    }
    return NULL;
}

static bool options_ok(tp_module *m, tp_turns_opts o)
{
    const char *wrong = NULL;

    if (!tp_ok()) return false;
    if (!m || !o.train || !o.turn) wrong = "a module, turns and a loader to train from are wanted";
    else if (o.n < 1 || o.n > MOST_TURNS) wrong = "1 to 8 turns are wanted";
    else if (o.epochs < 0 || o.steps < 0 || (!o.epochs && !o.steps))
        wrong = "epochs or steps, above 0, are wanted";
    else if (!o.steps && tp_data_batches(o.train) < 0)
        wrong = "a stream has no epochs: steps are wanted";
    else wrong = wrong_turn(m, o);
    if (wrong) tp_fail(TP_ERR_ARG, "tp_train_turns: %s", wrong);
    return !wrong;
}

static bool register_all(run *k)
{
    tp_state *s = k->state = tp_state_new();
    bool ok = s && tp_state_module(s, "model", k->at.m) &&
              tp_state_loader(s, "train", k->o.train) &&
              tp_state_count(s, "step", &k->at.step) && tp_state_count(s, "epoch", &k->at.epoch) &&
              (!k->o.average || tp_state_ema(s, "average", k->o.average));

    for (int i = 0; ok && i < k->o.n; i++) {
        char name[96];

        snprintf(name, sizeof name, "optim.%s", k->o.turn[i].name);
        ok = tp_state_optim(s, name, k->o.turn[i].optim);
    }
    return ok;
}

static bool open_log(run *k)
{
    int64_t all = k->a_pass * k->o.epochs;
    tp_log_opts o = k->o.log;

    if (!o.dir && !o.bar) return true;
    o.from = k->at.step, o.append = k->o.resume != NULL;
    o.total = k->o.steps && (!all || k->o.steps < all) ? k->o.steps : all;
    return (k->log = tp_log_open(o)) != NULL;
}

/* Also where a checkpoint is already at its end, or was saved at it. */
static bool begin(run *k)
{
    int64_t a_step = 0, batches = tp_data_batches(k->o.train);

    for (int i = 0; i < k->o.n; i++)
        a_step += k->o.turn[i].batches;
    k->a_pass = batches < 0 ? 0 : batches > a_step ? batches / a_step : 1;
    if (!register_all(k) || (k->o.resume && !tp_state_load(k->state, k->o.resume)) || !open_log(k))
        return false;
    if (is_over(k)) end(k, TP_FIT_DONE);
    return !k->o.checkpoint || tp_state_try(k->state, k->o.checkpoint);
}

static void finish(run *k)
{
    if (tp_ok() && k->ended && save(k)) tell(k, k->o.on_end);
    if (!tp_log_close(k->log) || !tp_ok()) k->why = TP_FIT_FAILED;
    tp_state_free(k->state);
}

bool tp_train_turns(tp_module *m, tp_turns_opts o, tp_fit_result *r)
{
    run k = { .o = o,
              .at = { .m = m, .loss = NAN, .score = NAN, .best = NAN },
              .why = TP_FIT_FAILED };

    if (options_ok(m, o)) {
        bool begun = begin(&k);

        while (begun && tp_ok() && !k.ended) {
            if (tp_train_interrupted()) end(&k, TP_FIT_INTERRUPTED);
            else if (step(&k)) after_step(&k);
        }
        finish(&k);
    }
    if (r) *r = (tp_fit_result){ k.why, k.at };
    return k.why != TP_FIT_FAILED;
}
