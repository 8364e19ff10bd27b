/*
 * fit.c - a training run, with public calls alone.
 */
#include "train/train.h"

#include "autograd/autograd.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A copy of all parameters and buffers, in the order of tp_nn_each. */
typedef struct copies {
    tp_tensor **t;
    int n, room, at;
    tp_state *state; /* each is registered there as it is made */
} copies;

typedef struct run {
    tp_fit_opts o;
    tp_fit_at at;
    tp_fit_why why;
    tp_state *state;
    tp_logger *log;
    copies best;
    int64_t judged; /* the step of the last validation; 0: none yet */
    int64_t waited, samples; /* validations since the best; of this step */
    bool ended;
} run;

/* ---- copies of the weights ---- */

static bool count_one(void *user, const char *name, tp_tensor **t)
{
    (void)name, (void)t;
    ((copies *)user)->room++;
    return true;
}

static bool make_one(void *user, const char *name, tp_tensor **t)
{
    copies *c = user;
    char entry[512];

    snprintf(entry, sizeof entry, "best.%s", name);
    c->t[c->n] = tp_keep(tp_zeros_like(*t));
    if (!c->t[c->n]) return false;
    c->n++;
    return tp_copy_(c->t[c->n - 1], *t) && tp_state_tensor(c->state, entry, &c->t[c->n - 1]);
}

static bool take_one(void *user, const char *name, tp_tensor **t)
{
    copies *c = user;

    (void)name;
    return tp_copy_(c->t[c->at++], *t);
}

static bool give_one(void *user, const char *name, tp_tensor **t)
{
    copies *c = user;

    (void)name;
    return tp_copy_(*t, c->t[c->at++]);
}

static bool each_tensor(run *k, tp_nn_each_fn *f)
{
    TP_SCOPE;
    TP_NO_GRAD;
    k->best.at = 0;
    return tp_nn_each(tp_nn_params(k->at.m, "*"), true, f, &k->best) >= 0;
}

static bool make_copies(run *k)
{
    if (!k->o.restore_best) return true;
    k->best.state = k->state;
    if (!each_tensor(k, count_one)) return false;
    k->best.t = calloc((size_t)k->best.room + 1, sizeof *k->best.t);
    if (!k->best.t) return tp_fail(TP_ERR_MEMORY, "tp_train_fit: out of memory"), false;
    return each_tensor(k, make_one);
}

/* ---- one batch ---- */

static tp_tensor *loss_of(run *k, tp_batch b, bool validating)
{
    const tp_fit_opts *o = &k->o;
    tp_tensor *y = o->forward   ? o->forward(k->at.m, b, o->user)
                   : validating ? tp_nn_predict(k->at.m, b.x)
                                : tp_nn_forward(k->at.m, b.x);
    bool is_loss = o->forward && !o->loss && tp_rank(y) == 0;
    tp_tensor *loss = !y || is_loss ? y : o->loss ? o->loss(y, b, o->user) : tp_cross_entropy(y, b.y);

    if (!loss && tp_ok()) tp_fail(TP_ERR_USER, "tp_train_fit: no %s, and no error that says why", y ? "loss" : "output");
    return loss;
}

/* The same again, with the same random numbers, in search of the op that gave NaN. */
static bool blame(run *k, tp_batch b, tp_rng rng, double loss)
{
    char why[512] = "no op gave NaN";
    TP_ANOMALY;

    tp_rng_restore(rng);
    tp_backward(loss_of(k, b, false));
    if (!tp_ok()) snprintf(why, sizeof why, "%s", tp_error());
    tp_clear_error();
    tp_fail(TP_ERR_NONFINITE, "tp_train_fit: the loss of step %lld is %g: %s", (long long)k->at.step + 1, loss, why);
    return false;
}

/* One of `share` batches of a step. */
static bool learn(run *k, tp_batch b, int64_t share, double *sum)
{
    TP_SCOPE;
    TP_AUTOCAST(k->o.amp);
    tp_rng rng = tp_rng_save();
    tp_tensor *loss = loss_of(k, b, false);
    double v = loss ? tp_item(loss) : (double)NAN;

    if (!tp_ok()) return false;
    if (!isfinite(v)) return blame(k, b, rng, v);
    *sum += v / (double)share, k->samples += b.size;
    return tp_backward(share > 1 ? tp_scale(loss, 1 / (double)share) : loss);
}

/* ---- one step ---- */

/* How many batches the next step has. */
static int64_t share_of(const run *k)
{
    int64_t all = tp_data_batches(k->o.train), left = all - tp_data_position(k->o.train).batch;

    if (all < 0 || tp_data_opts(k->o.train).endless || left >= k->o.accumulate) return k->o.accumulate;
    return left > 0 ? left : 1;
}

static bool move(run *k)
{
    TP_SCOPE;
    if (k->o.clip_norm > 0 && !tp_optim_clip_norm(k->o.optim, k->o.clip_norm)) return false;
    return tp_optim_step(k->o.optim) && (!k->o.sched || tp_sched_advance(k->o.sched));
}

static bool averages_now(const run *k)
{
    int64_t since = k->at.step - k->o.average_from;

    return k->o.average && since >= 0 && since % k->o.average_every == 0;
}

/* false at a pass's end, and after an error. */
static bool step(run *k)
{
    int64_t share = share_of(k), n = 0;
    double loss = 0;
    tp_batch b;

    if (!tp_optim_zero_grad(k->o.optim)) return false;
    for (k->samples = 0; n < share && tp_data_next(k->o.train, &b); n++)
        if (!learn(k, b, share, &loss)) return false;
    if (!n || !tp_ok() || !move(k)) return false;
    k->at.step++, k->at.loss = loss;
    if (averages_now(k) && !tp_ema_update(k->o.average)) return false;
    tp_log_items(k->log, k->samples), tp_log_step(k->log);
    tp_log_value(k->log, "loss", k->at.loss);
    return true;
}

/* ---- what happens now and then ---- */

static void end(run *k, tp_fit_why why)
{
    if (!k->ended) k->ended = true, k->why = why;
}

static void tell(run *k, tp_fit_fn *f)
{
    if (tp_ok() && f && !f(&k->at, k->o.user)) end(k, TP_FIT_ASKED);
}

static double mean_loss(run *k)
{
    double sum = 0, n = 0;

    if (k->o.forward) tp_nn_train(k->at.m, "*", false);
    for (tp_batch b; tp_data_next(k->o.validation, &b);) {
        TP_SCOPE;
        TP_NO_GRAD;
        TP_AUTOCAST(k->o.amp);
        tp_tensor *loss = loss_of(k, b, true);

        sum += loss ? tp_item(loss) * (double)b.size : 0, n += (double)b.size;
        if (!tp_ok()) break;
    }
    if (k->o.forward) tp_nn_train(k->at.m, "*", true);
    return n > 0 ? sum / n : (double)NAN;
}

/* Above the best by more than min_delta; the first that is a number always is. */
static bool is_better(const run *k, double score)
{
    double gain = k->o.higher_is_better ? score - k->at.best : k->at.best - score;

    return isnan(k->at.best) ? !isnan(score) : gain > k->o.min_delta;
}

static bool keep_best(run *k)
{
    if (k->o.restore_best && !each_tensor(k, take_one)) return false;
    return !k->o.best || tp_nn_save(k->at.m, k->o.best);
}

static void judge(run *k)
{
    double score;

    if (!tp_ok()) return;
    score = k->o.score ? k->o.score(k->at.m, k->o.validation, k->o.user) : mean_loss(k);
    if (!tp_ok()) return;
    k->at.score = score, k->at.improved = is_better(k, score), k->waited++;
    tp_log_value(k->log, "score", score);
    if (k->at.improved) k->at.best = score, k->waited = 0, keep_best(k);
    tell(k, k->o.on_validation);
    if (k->o.patience && k->waited >= k->o.patience) end(k, TP_FIT_PATIENCE);
}

static void judge_averages(run *k)
{
    TP_WITH_EMA(k->o.average);
    if (!k->o.statistics || tp_swa_update_bn(k->o.statistics, k->at.m)) judge(k);
}

static void validate(run *k)
{
    if (!k->o.validation || !tp_ok() || k->judged == k->at.step) return;
    k->judged = k->at.step;
    if (k->o.average && tp_ema_updates(k->o.average) > 0) judge_averages(k);
    else judge(k);
}

static bool save(run *k)
{
    return !k->o.checkpoint || !tp_ok() || tp_state_save(k->state, k->o.checkpoint);
}

static bool every(int64_t steps, int64_t at)
{
    return steps > 0 && at % steps == 0;
}

static void after_step(run *k)
{
    if (every(k->o.validate_every, k->at.step)) validate(k);
    tell(k, k->o.on_step);
    if (every(k->o.checkpoint_every, k->at.step) && !save(k)) return;
    if (k->o.steps && k->at.step >= k->o.steps) end(k, TP_FIT_DONE);
}

static void after_pass(run *k)
{
    k->at.epoch++;
    if (!k->o.validate_every) validate(k);
    tell(k, k->o.on_epoch);
    if (!k->o.checkpoint_every && !save(k)) return;
    if (k->o.epochs && k->at.epoch >= k->o.epochs) end(k, TP_FIT_DONE);
}

/* ---- the run ---- */

static bool options_ok(tp_module *m, const tp_fit_opts *o)
{
    const char *wrong = NULL;

    if (!tp_ok()) return false;
    if (!m || !o->optim || !o->train) wrong = "a module, an optimizer and a loader to train from are wanted";
    else if (o->epochs < 0 || o->steps < 0 || (!o->epochs && !o->steps)) wrong = "epochs or steps, above 0, are wanted";
    else if (!o->steps && tp_data_opts(o->train).endless) wrong = "an endless loader has no epochs: steps are wanted";
    else if (o->accumulate < 0 || o->validate_every < 0 || o->patience < 0 || o->checkpoint_every < 0)
        wrong = "accumulate, validate_every, patience and checkpoint_every can't be below 0";
    else if (!(o->clip_norm >= 0) || !(o->min_delta >= 0)) wrong = "clip_norm and min_delta can't be below 0";
    else if (o->average_from < 0 || o->average_every < 0)
        wrong = "average_from and average_every can't be below 0";
    else if (!o->average && (o->average_from || o->average_every || o->statistics))
        wrong = "average_from, average_every and statistics need an average";
    else if (o->statistics && (o->statistics == o->train || o->statistics == o->validation))
        wrong = "statistics needs a loader of its own";
    else if ((o->patience || o->best || o->restore_best || o->score) && !o->validation)
        wrong = "score, patience, best and restore_best need a loader to validate with";
    else if (o->higher_is_better && !o->score) wrong = "higher_is_better is for a score: of the loss less is better";
    else if (!strcmp(tp_optim_kind(o->optim), "lbfgs"))
        wrong = "L-BFGS steps with a closure: write the loop with tp_optim_step_with";
    else if (!tp_optim_trains(o->optim, m)) wrong = "the optimizer has none of the module's parameters";
    if (wrong) tp_fail(TP_ERR_ARG, "tp_train_fit: %s", wrong);
    return !wrong;
}

static bool register_all(run *k)
{
    tp_state *s = k->state = tp_state_new();

    return s && tp_state_module(s, "model", k->at.m) && tp_state_optim(s, "optim", k->o.optim) &&
           (!k->o.average || tp_state_ema(s, "average", k->o.average)) &&
           (!k->o.sched || tp_state_sched(s, "sched", k->o.sched)) && tp_state_loader(s, "train", k->o.train) &&
           tp_state_count(s, "step", &k->at.step) && tp_state_count(s, "epoch", &k->at.epoch) &&
           tp_state_count(s, "waited", &k->waited) && tp_state_count(s, "judged", &k->judged) &&
           tp_state_f64(s, "loss", &k->at.loss) &&
           tp_state_f64(s, "score", &k->at.score) && tp_state_f64(s, "best", &k->at.best) && make_copies(k);
}

static bool open_log(run *k)
{
    int64_t batches = tp_data_batches(k->o.train), a_pass = (batches + k->o.accumulate - 1) / k->o.accumulate;
    tp_log_opts o = k->o.log;

    if (!o.dir && !o.bar) return true;
    o.from = k->at.step, o.append = k->o.resume != NULL;
    o.total = batches > 0 && k->o.epochs ? a_pass * k->o.epochs : 0;
    if (k->o.steps && (!o.total || k->o.steps < o.total)) o.total = k->o.steps;
    return (k->log = tp_log_open(o)) != NULL;
}

/* Also where a checkpoint is already at its end, or was saved at it. */
static bool begin(run *k)
{
    if (!register_all(k) || (k->o.resume && !tp_state_load(k->state, k->o.resume)) || !open_log(k)) return false;
    if ((k->o.steps && k->at.step >= k->o.steps) || (k->o.epochs && k->at.epoch >= k->o.epochs)) end(k, TP_FIT_DONE);
    if (k->o.patience && k->waited >= k->o.patience) end(k, TP_FIT_PATIENCE);
    return !k->o.checkpoint || tp_state_try(k->state, k->o.checkpoint);
}

static void loop(run *k)
{
    while (tp_ok() && !k->ended) {
        if (tp_train_interrupted()) end(k, TP_FIT_INTERRUPTED);
        else if (step(k)) after_step(k);
        else if (tp_ok()) after_pass(k);
    }
}

/* The checkpoint has the last weights, so that it can be gone on from, and is written before what a run
 * that goes on wouldn't do here: the last validation.  m then gets the best. */
static void finish(run *k)
{
    if (tp_ok() && k->ended && save(k) && k->why == TP_FIT_DONE) validate(k);
    if (tp_ok() && k->ended && k->o.restore_best && !isnan(k->at.best) && k->why != TP_FIT_INTERRUPTED)
        each_tensor(k, give_one);
    if (k->ended) tell(k, k->o.on_end);
    if (!tp_log_close(k->log) || !tp_ok()) k->why = TP_FIT_FAILED;
    tp_state_free(k->state);
    for (int i = 0; i < k->best.n; i++)
        tp_free(k->best.t[i]);
    free(k->best.t);
}

bool tp_train_fit(tp_module *m, tp_fit_opts o, tp_fit_result *r)
{
    run k = { .o = o, .at = { .m = m, .loss = NAN, .score = NAN, .best = NAN }, .why = TP_FIT_FAILED };

    if (!k.o.accumulate) k.o.accumulate = 1;
    if (!k.o.average_every) k.o.average_every = 1;
    if (options_ok(m, &o)) {
        if (begin(&k)) loop(&k);
        finish(&k);
    }
    if (r) *r = (tp_fit_result){ k.why, k.at };
    return k.why != TP_FIT_FAILED;
}
