/*
 * turns.c - a training run of several optimizers by turns, with public calls alone.
 */
#include "train/run.h"

enum { MOST_TURNS = 8 };

typedef struct run {
    course c;
    tp_turns_opts o;
    double loss[MOST_TURNS]; /* of each turn's last update */
    tp_scaler *scaler[MOST_TURNS];
    int64_t a_pass;          /* steps */
} run;

/* ---- one update ---- */

typedef struct lesson {
    run *k;
    const tp_turn *t;
    tp_batch b;
} lesson;

static tp_tensor *loss_of(void *user)
{
    lesson *l = user;
    tp_tensor *loss = l->t->loss(l->k->c.at.m, l->b, l->k->o.user);

    if (!loss && tp_ok())
        tp_fail(TP_ERR_USER, "tp_train_turns: no loss of the %s, and no error that says why", l->t->name);
    return loss;
}

static bool update(run *k, const tp_turn *t, tp_batch b, double *value)
{
    TP_SCOPE;
    TP_AUTOCAST(k->o.amp);
    lesson l = { k, t, b };

    tp_scaler *s = k->scaler[t - k->o.turn];

    return tp_optim_zero_grad(t->optim) && learn_from(&k->c, loss_of, &l, 1, t->name, s, value) && step_by(t->optim, s);
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
    k->c.at.step++, k->c.at.loss = k->loss[k->o.n - 1];
    tp_log_items(k->c.log, items), tp_log_step(k->c.log);
    for (int i = 0; i < k->o.n; i++)
        tp_log_value(k->c.log, k->o.turn[i].name, k->loss[i]);
    return tp_ok();
}

/* ---- what happens now and then ---- */

static void after_step(run *k)
{
    if (k->a_pass && k->c.at.step % k->a_pass == 0) {
        k->c.at.epoch++;
        tell(&k->c, k->o.on_epoch);
        if (!save(&k->c)) return;
    }
    end_where_done(&k->c);
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
    tp_state *s = k->c.state = tp_state_new();
    bool ok = s && tp_state_module(s, "model", k->c.at.m) &&
              tp_state_loader(s, "train", k->o.train) &&
              tp_state_count(s, "step", &k->c.at.step) && tp_state_count(s, "epoch", &k->c.at.epoch) &&
              (!k->o.average || tp_state_ema(s, "average", k->o.average));

    for (int i = 0; ok && i < k->o.n; i++) {
        char name[96];

        snprintf(name, sizeof name, "optim.%s", k->o.turn[i].name);
        ok = tp_state_optim(s, name, k->o.turn[i].optim);
        snprintf(name, sizeof name, "scaler.%s", k->o.turn[i].name);
        ok = ok && scale_for(&k->c, k->o.amp, name, &k->scaler[i]);
    }
    return ok;
}

static bool begin(run *k)
{
    int64_t a_step = 0, batches = tp_data_batches(k->o.train);

    for (int i = 0; i < k->o.n; i++)
        a_step += k->o.turn[i].batches;
    k->a_pass = batches < 0 ? 0 : batches > a_step ? batches / a_step : 1;
    return register_all(k) && set_out(&k->c, k->o.log, k->a_pass);
}

static void loop(run *k)
{
    while (tp_ok() && !k->c.ended) {
        if (tp_train_interrupted()) end(&k->c, TP_FIT_INTERRUPTED);
        else if (step(k)) after_step(k);
    }
}

bool tp_train_turns(tp_module *m, tp_turns_opts o, tp_fit_result *r)
{
    run k = { .c = course_of(__func__, m), .o = o };

    k.c.steps = o.steps, k.c.epochs = o.epochs, k.c.user = o.user;
    k.c.checkpoint = o.checkpoint, k.c.resume = o.resume, k.c.options = o.options;
    if (options_ok(m, o)) {
        if (begin(&k)) loop(&k);
        if (tp_ok() && k.c.ended && save(&k.c)) tell(&k.c, o.on_end);
    }
    for (int i = 0; i < MOST_TURNS; i++)
        tp_scaler_free(k.scaler[i]);
    return arrive(&k.c, r);
}
