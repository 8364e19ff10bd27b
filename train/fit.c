/*
 * fit.c - a training run, with public calls alone.
 */
#include "train/run.h"

/* A copy of all parameters and buffers, in the order of tp_nn_each. */
typedef struct copies {
    tp_tensor **t;
    int n, room, at;
    tp_state *state; /* each is registered there as it is made */
} copies;

typedef struct run {
    course c;
    tp_fit_opts o;
    copies best;
    tp_scaler *scaler; /* of f16; or NULL */
    int64_t judged; /* the step of the last validation; 0: none yet */
    int64_t waited, samples; /* validations since the best; of this step */
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
    return tp_nn_each(tp_nn_params(k->c.at.m, "*"), true, f, &k->best) >= 0;
}

static bool make_copies(run *k)
{
    if (!k->o.restore_best) return true;
    k->best.state = k->c.state;
    if (!each_tensor(k, count_one)) return false;
    k->best.t = calloc((size_t)k->best.room + 1, sizeof *k->best.t);
    if (!k->best.t) return tp_fail(TP_ERR_MEMORY, "tp_train_fit: out of memory"), false;
    return each_tensor(k, make_one);
}

/* ---- one batch ---- */

static tp_tensor *loss_of(run *k, tp_batch b, bool validating)
{
    const tp_fit_opts *o = &k->o;
    tp_tensor *y = o->forward   ? o->forward(k->c.at.m, b, o->user)
                   : validating ? tp_nn_predict(k->c.at.m, b.x)
                                : tp_nn_forward(k->c.at.m, b.x);
    bool is_loss = o->forward && !o->loss && tp_rank(y) == 0;
    tp_tensor *loss = !y || is_loss ? y : o->loss ? o->loss(y, b, o->user) : tp_cross_entropy(y, b.y);

    if (!loss && tp_ok()) tp_fail(TP_ERR_USER, "tp_train_fit: no %s, and no error that says why", y ? "loss" : "output");
    return loss;
}

typedef struct lesson {
    run *k;
    tp_batch b;
} lesson;

static tp_tensor *loss_of_lesson(void *user)
{
    lesson *l = user;

    return loss_of(l->k, l->b, false);
}

/* One of `share` batches of a step. */
static bool learn(run *k, tp_batch b, int64_t share, double *sum)
{
    TP_SCOPE;
    TP_AUTOCAST(k->o.amp);
    lesson l = { k, b };
    double v;

    if (!learn_from(&k->c, loss_of_lesson, &l, share, NULL, k->scaler, &v)) return false;
    *sum += v / (double)share, k->samples += b.size;
    return true;
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
    if (k->o.clip_norm > 0 && k->scaler && !tp_scaler_unscale(k->scaler, k->o.optim)) return false;
    if (k->o.clip_norm > 0 && !tp_optim_clip_norm(k->o.optim, k->o.clip_norm)) return false;
    return step_by(k->o.optim, k->scaler) && (!k->o.sched || tp_sched_advance(k->o.sched));
}

static bool averages_now(const run *k)
{
    int64_t since = k->c.at.step - k->o.average_from;

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
    k->c.at.step++, k->c.at.loss = loss;
    if (averages_now(k) && !tp_ema_update(k->o.average)) return false;
    tp_log_items(k->c.log, k->samples), tp_log_step(k->c.log);
    tp_log_value(k->c.log, "loss", k->c.at.loss);
    return true;
}

/* ---- what happens now and then ---- */

static double mean_loss(run *k)
{
    double sum = 0, n = 0;

    if (k->o.forward) tp_nn_train(k->c.at.m, "*", false);
    for (tp_batch b; tp_data_next(k->o.validation, &b);) {
        TP_SCOPE;
        TP_NO_GRAD;
        TP_AUTOCAST(k->o.amp);
        tp_tensor *loss = loss_of(k, b, true);

        sum += loss ? tp_item(loss) * (double)b.size : 0, n += (double)b.size;
        if (!tp_ok()) break;
    }
    if (k->o.forward) tp_nn_train(k->c.at.m, "*", true);
    return n > 0 ? sum / n : (double)NAN;
}

/* Above the best by more than min_delta; the first that is a number always is. */
static bool is_better(const run *k, double score)
{
    double gain = k->o.higher_is_better ? score - k->c.at.best : k->c.at.best - score;

    return isnan(k->c.at.best) ? !isnan(score) : gain > k->o.min_delta;
}

static bool keep_best(run *k)
{
    if (k->o.restore_best && !each_tensor(k, take_one)) return false;
    return !k->o.best || tp_nn_save(k->c.at.m, k->o.best);
}

static void judge(run *k)
{
    double score;

    if (!tp_ok()) return;
    score = k->o.score ? k->o.score(k->c.at.m, k->o.validation, k->o.user) : mean_loss(k);
    if (!tp_ok()) return;
    k->c.at.score = score, k->c.at.improved = is_better(k, score), k->waited++;
    tp_log_value(k->c.log, "score", score);
    if (k->c.at.improved) k->c.at.best = score, k->waited = 0, keep_best(k);
    tell(&k->c, k->o.on_validation);
    if (k->o.patience && k->waited >= k->o.patience) end(&k->c, TP_FIT_PATIENCE);
}

static void judge_averages(run *k)
{
    TP_WITH_EMA(k->o.average);
    if (!k->o.statistics || tp_swa_update_bn(k->o.statistics, k->c.at.m)) judge(k);
}

static void validate(run *k)
{
    if (!k->o.validation || !tp_ok() || k->judged == k->c.at.step) return;
    k->judged = k->c.at.step;
    if (k->o.average && tp_ema_updates(k->o.average) > 0) judge_averages(k);
    else judge(k);
}

static bool every(int64_t steps, int64_t at)
{
    return steps > 0 && at % steps == 0;
}

static void after_step(run *k)
{
    if (every(k->o.validate_every, k->c.at.step)) validate(k);
    tell(&k->c, k->o.on_step);
    if (every(k->o.checkpoint_every, k->c.at.step) && !save(&k->c)) return;
    end_where_done(&k->c);
}

static void after_pass(run *k)
{
    k->c.at.epoch++;
    if (!k->o.validate_every) validate(k);
    tell(&k->c, k->o.on_epoch);
    if (!k->o.checkpoint_every && !save(&k->c)) return;
    end_where_done(&k->c);
}

/* ---- the run ---- */

static bool options_ok(tp_module *m, const tp_fit_opts *o)
{
    const char *wrong = NULL;

    if (!tp_ok()) return false;
    if (!m || !o->optim || !o->train) wrong = "a module, an optimizer and a loader to train from are wanted";
    else if (o->epochs < 0 || o->steps < 0 || (!o->epochs && !o->steps)) wrong = "epochs or steps, above 0, are wanted";
    else if (!o->steps && tp_data_opts(o->train).endless) wrong = "an endless loader has no epochs: steps are wanted";
    else if (o->validation && tp_data_opts(o->validation).endless) wrong = "an endless loader can't validate: no pass ends";
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
    tp_state *s = k->c.state = tp_state_new();

    return s && tp_state_module(s, "model", k->c.at.m) && tp_state_optim(s, "optim", k->o.optim) &&
           (!k->o.average || tp_state_ema(s, "average", k->o.average)) &&
           (!k->o.sched || tp_state_sched(s, "sched", k->o.sched)) && tp_state_loader(s, "train", k->o.train) &&
           tp_state_count(s, "step", &k->c.at.step) && tp_state_count(s, "epoch", &k->c.at.epoch) &&
           tp_state_count(s, "waited", &k->waited) && tp_state_count(s, "judged", &k->judged) &&
           tp_state_f64(s, "loss", &k->c.at.loss) &&
           tp_state_f64(s, "score", &k->c.at.score) && tp_state_f64(s, "best", &k->c.at.best) &&
           scale_for(&k->c, k->o.amp, "scaler", &k->scaler) && make_copies(k);
}

static bool begin(run *k)
{
    int64_t batches = tp_data_batches(k->o.train), share = k->o.accumulate;
    bool ok = register_all(k) && set_out(&k->c, k->o.log, batches > 0 ? (batches + share - 1) / share : 0);

    if (k->o.patience && k->waited >= k->o.patience) end(&k->c, TP_FIT_PATIENCE);
    return ok;
}

static void loop(run *k)
{
    while (tp_ok() && !k->c.ended) {
        if (tp_train_interrupted()) end(&k->c, TP_FIT_INTERRUPTED);
        else if (step(k)) after_step(k);
        else if (tp_ok()) after_pass(k);
    }
}

/* The checkpoint has the last weights, so that it can be gone on from, and is written before what a run
 * that goes on wouldn't do here: the last validation.  m then gets the best. */
static void finish(run *k)
{
    if (tp_ok() && k->c.ended && save(&k->c) && k->c.why == TP_FIT_DONE) validate(k);
    if (tp_ok() && k->c.ended && k->o.restore_best && !isnan(k->c.at.best) && k->c.why != TP_FIT_INTERRUPTED)
        each_tensor(k, give_one);
    if (k->c.ended) tell(&k->c, k->o.on_end);
}

bool tp_train_fit(tp_module *m, tp_fit_opts o, tp_fit_result *r)
{
    run k = { .c = course_of(__func__, m), .o = o };
    bool ok;

    k.c.steps = o.steps, k.c.epochs = o.epochs, k.c.user = o.user;
    k.c.checkpoint = o.checkpoint, k.c.resume = o.resume, k.c.options = o.options;
    if (!k.o.accumulate) k.o.accumulate = 1;
    if (!k.o.average_every) k.o.average_every = 1;
    if (options_ok(m, &o)) {
        if (begin(&k)) loop(&k);
        finish(&k);
    }
    ok = arrive(&k.c, r);
    for (int i = 0; i < k.best.n; i++)
        tp_free(k.best.t[i]);
    free(k.best.t), tp_scaler_free(k.scaler);
    return ok;
}
