/*
 * lbfgs.c - limited-memory BFGS (Liu & Nocedal 1989), as torch.optim.LBFGS.
 *
 *     y_k = g_k - g_(k-1),  s_k = t d,  ro_k = 1 / y_k's_k          kept when y's > 1e-10
 *     d = -H g, H the inverse Hessian that the pairs imply on top of (y's / y'y) I: two loops
 *
 * All parameters are one vector, in their order.  A step works on copies: what the optimizer holds
 * becomes the new only at its end, and where the closure fails the parameters are put back.
 */
#include "optim/lbfgs.h"

#include "autograd/op.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Host numbers, kept as one tensor so that they are saved; ro of each pair follows. */
enum { ITERATIONS, EVALUATIONS, PAIRS, LENGTH, DIAGONAL, LOSS, RO };

struct tp_bfgs {
    tp_lbfgs_opts how;
    tp_tensor *d, *g;   /* (n): the last direction, the gradient it was made from */
    tp_tensor **pair;   /* 2 history_size of (n): each y, then each s, the oldest first */
    tp_tensor *numbers; /* f64, on the host */
    bool stepping;
};

static tp_tensor **y_of(tp_tensor **pair)
{
    return pair;
}

static tp_tensor **s_of(const tp_bfgs *k, tp_tensor **pair)
{
    return pair + k->how.history_size;
}

/* ---- making ---- */

static size_t pair_bytes(const tp_bfgs *k)
{
    return sizeof(tp_tensor *) * 2 * (size_t)k->how.history_size;
}

static void free_pairs(const tp_bfgs *k, tp_tensor **pair)
{
    for (int i = 0; pair && i < 2 * k->how.history_size; i++)
        tp__free(pair[i]);
    tp__release(pair, pair_bytes(k));
}

void tp__lbfgs_free(tp_bfgs *k)
{
    if (!k) return;
    free_pairs(k, k->pair);
    tp__free(k->d), tp__free(k->g), tp__free(k->numbers);
    tp__release(k, sizeof *k);
}

tp_lbfgs_opts tp_lbfgs(double lr)
{
    return (tp_lbfgs_opts){ .lr = lr,
                            .max_iter = 20,
                            .tolerance_grad = 1e-7,
                            .tolerance_change = 1e-9,
                            .history_size = 100,
                            .filled = true };
}

static bool opts_ok(tp_lbfgs_opts o)
{
    const char *where = "tp_optim_lbfgs";

    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, o.filled, TP_ERR_ARG, "options are not filled: start from tp_lbfgs(lr)");
    TP_REQUIRE_IN(where, o.max_iter >= 1 && o.max_eval >= 0, TP_ERR_ARG,
                  "max_iter %lld, max_eval %lld: 1 or more, and 0 or more, are wanted",
                  (long long)o.max_iter, (long long)o.max_eval);
    TP_REQUIRE_IN(where, o.history_size >= 1 && o.history_size <= 1 << 20, TP_ERR_ARG,
                  "history_size %d: 1 to %d is wanted", o.history_size, 1 << 20);
    TP_REQUIRE_IN(where,
                  o.tolerance_grad >= 0 && o.tolerance_change >= 0 && isfinite(o.tolerance_grad) &&
                      isfinite(o.tolerance_change),
                  TP_ERR_ARG,
                  "tolerance_grad %g, tolerance_change %g: finite numbers of 0 or more are wanted",
                  o.tolerance_grad, o.tolerance_change);
    TP_REQUIRE_IN(where, o.line_search == TP_LINE_NONE || o.line_search == TP_LINE_STRONG_WOLFE,
                  TP_ERR_ARG, "line_search %d is no tp_line_search", (int)o.line_search);
    return true;
}

static int64_t elements(const tp_optim *o)
{
    int64_t n = 0;

    for (int i = 0; i < o->n; i++)
        n += tp_count(o->each[i].p);
    return n;
}

static bool one_dtype(const char *where, const tp_optim *o)
{
    for (int i = 1; i < o->n; i++)
        TP_REQUIRE_IN(where, o->each[i].p->dtype == o->each[0].p->dtype, TP_ERR_DTYPE,
                      "%s is %s, %s is %s: one dtype is wanted", o->each[0].name,
                      tp__text(o->each[0].p), o->each[i].name, tp__text(o->each[i].p));
    return true;
}

static bool make_state(tp_optim *o, tp_bfgs *k)
{
    tp_shape all = TP_SHAPE(elements(o));
    tp_dtype d = (tp_dtype)o->each[0].p->dtype;
    TP_SCOPE;

    k->d = tp__keep(tp_zeros(all, d, o->device)), k->g = tp__keep(tp_zeros(all, d, o->device));
    k->numbers = tp__keep(tp_zeros(TP_SHAPE(RO + k->how.history_size), TP_F64, tp__cpu()));
    if (!tp_ok() || !(k->pair = tp__alloc_zeroed(pair_bytes(k)))) return false;
    for (int i = 0; i < 2 * k->how.history_size; i++)
        if (!(k->pair[i] = tp__keep(tp_zeros(all, d, o->device)))) return false;
    return true;
}

static const tp_rule lbfgs_rule = { "lbfgs", NULL, NULL, NULL, NULL };

tp_optim *tp_optim_lbfgs(tp_params p, tp_lbfgs_opts opts)
{
    tp_optim *o = opts_ok(opts)
                      ? tp__optim_new(__func__, &lbfgs_rule, p, (tp_group){ .host_lr = opts.lr })
                      : NULL;

    if (!o) return NULL;
    if (!opts.max_eval) opts.max_eval = opts.max_iter * 5 / 4;
    if ((o->lbfgs = tp__alloc_zeroed(sizeof *o->lbfgs))) o->lbfgs->how = opts;
    if (o->lbfgs && one_dtype(__func__, o) && make_state(o, o->lbfgs)) return o;
    tp_optim_free(o);
    return NULL;
}

/* ---- all its tensors ---- */

int tp__lbfgs_each(tp_bfgs *k, tp_nn_each_fn *f, void *user)
{
    int H = k->how.history_size;
    char name[48];

    if (!f(user, "0.numbers", &k->numbers) || !f(user, "0.direction", &k->d) ||
        !f(user, "0.gradient", &k->g))
        return -1;
    for (int i = 0; i < 2 * H; i++) {
        snprintf(name, sizeof name, "0.%s.%d", i < H ? "y" : "s", i % H);
        if (!f(user, name, &k->pair[i])) return -1;
    }
    return 3 + 2 * H;
}

bool tp__lbfgs_loaded(tp_bfgs *k)
{
    const double *v = tp__data(k->numbers);

    TP_REQUIRE_IN("tp_optim_load_end",
                  v[PAIRS] >= 0 && v[PAIRS] <= k->how.history_size && v[PAIRS] == floor(v[PAIRS]) &&
                      v[ITERATIONS] >= v[PAIRS],
                  TP_ERR_FORMAT, "%g pairs of L-BFGS after %g iterations can't be: 0 to %d",
                  v[PAIRS], v[ITERATIONS], k->how.history_size);
    return true;
}

bool tp__lbfgs_follow(tp_optim *o, tp_bfgs *k)
{
    if (!o->n) return true;
    for (int i = 0; i < 2 * k->how.history_size; i++)
        if (!tp__optim_follow(&k->pair[i], o->each[0].p)) return false;
    return tp__optim_follow(&k->d, o->each[0].p) && tp__optim_follow(&k->g, o->each[0].p);
}

/* ---- a step on its way ---- */

typedef struct work {
    tp_optim *o;
    tp_bfgs *k;
    tp_closure_fn *closure;
    void *user;
    tp_tensor *d, *g;      /* the direction, and the gradient it was made from; kept */
    tp_tensor **pair;      /* as in tp_bfgs */
    double *v;             /* as its numbers */
    tp_tensor **x;    /* the parameters where the line begins; kept */
    tp_tensor **undo; /* and where the step began */
    tp_tensor *loss;       /* the first, of the caller's scope */
    int64_t evaluations;   /* in this step */
} work;

static size_t number_bytes(const work *w)
{
    return sizeof(double) * (size_t)(RO + w->k->how.history_size);
}

static size_t param_bytes(const work *w)
{
    return sizeof(tp_tensor *) * (size_t)w->o->n;
}

static bool copy_params(work *w)
{
    TP_SCOPE;
    w->x = tp__alloc_zeroed(param_bytes(w)), w->undo = tp__alloc_zeroed(param_bytes(w));
    for (int i = 0; w->x && w->undo && i < w->o->n; i++) {
        w->x[i] = tp__keep(tp_clone(w->o->each[i].p)),
        w->undo[i] = tp__keep(tp_clone(w->o->each[i].p));
        if (!tp_ok()) return false;
    }
    return w->x && w->undo;
}

static bool begin(work *w)
{
    tp_bfgs *k = w->k;

    if (!(w->v = tp__alloc(number_bytes(w))) || !(w->pair = tp__alloc_zeroed(pair_bytes(k))))
        return false;
    memcpy(w->v, tp__data(k->numbers), number_bytes(w));
    for (int i = 0; i < 2 * k->how.history_size; i++)
        w->pair[i] = tp__retain(k->pair[i]);
    w->d = tp__retain(k->d), w->g = tp__retain(k->g);
    return copy_params(w);
}

/* Kernels alone, also while an error is pending. */
static void put_back(work *w)
{
    for (int i = 0; w->undo && i < w->o->n; i++) {
        tp_tensor *p = w->o->each[i].p;

        if (!w->undo[i] || p->dtype != w->undo[i]->dtype) continue;
        p->storage->version++;
        w->o->broken = !tp__copy(p, w->undo[i], false) || w->o->broken;
    }
}

static void swap(tp_tensor **a, tp_tensor **b)
{
    tp_tensor *t = *a;

    *a = *b, *b = t;
}

/* What the work has becomes the optimizer's, which takes no memory. */
static void commit(work *w)
{
    tp_bfgs *k = w->k;

    for (int i = 0; i < 2 * k->how.history_size; i++)
        swap(&k->pair[i], &w->pair[i]);
    swap(&k->d, &w->d), swap(&k->g, &w->g);
    memcpy(tp__data(k->numbers), w->v, number_bytes(w));
    k->numbers->storage->version++;
}

static void end(work *w)
{
    for (int i = 0; i < w->o->n; i++) {
        if (w->x) tp__free(w->x[i]);
        if (w->undo) tp__free(w->undo[i]);
    }
    tp__release(w->x, param_bytes(w)), tp__release(w->undo, param_bytes(w));
    tp__release(w->v, number_bytes(w));
    tp__free(w->d), tp__free(w->g);
    free_pairs(w->k, w->pair);
}

/* ---- the vector of all parameters ---- */

/* Of all gradients, zeros where none has arrived. */
static tp_tensor *gradient(work *w)
{
    size_t bytes = param_bytes(w);
    tp_tensor **part = tp__alloc(bytes), *g;

    if (!part) return NULL;
    for (int i = 0; i < w->o->n; i++) {
        const tp_slotted *k = &w->o->each[i];
        tp_shape all = TP_SHAPE(tp_count(k->p));

        part[i] =
            k->grad ? tp_reshape(k->grad, all) : tp_zeros(all, (tp_dtype)k->p->dtype, w->o->device);
    }
    g = tp_concat((tp_list){ part, w->o->n }, 0);
    tp__release(part, bytes);
    if (g && g->dtype != w->d->dtype)
        return tp__fail(TP_ERR_DTYPE, "tp_optim_step_with", "the closure has cast the parameters");
    return w->k->how.maximize && g ? tp_neg(g) : g;
}

/* Parameters = x + t d. */
static bool go(work *w, double t)
{
    int64_t at = 0;

    for (int i = 0; i < w->o->n; i++) {
        TP_SCOPE;
        tp_tensor *p = w->o->each[i].p;
        tp_tensor *part = tp_reshape(tp_slice(w->d, 0, at, at + tp_count(p)), p->shape);

        at += tp_count(p);
        if (!tp_copy_(p, tp_add(w->x[i], tp_scale(part, t)))) return false;
    }
    return true;
}

static bool stay(work *w) /* the line begins here */
{
    for (int i = 0; i < w->o->n; i++)
        if (!tp_copy_(w->x[i], w->o->each[i].p)) return false;
    return true;
}

static double dot(tp_tensor *a, tp_tensor *b)
{
    TP_SCOPE;
    return tp_item(tp_dot(a, b));
}

static double largest(tp_tensor *x)
{
    TP_SCOPE;
    return tp_item(tp_norm(x, INFINITY, TP_ALL));
}

/* ---- the closure ---- */

static tp_tensor *call(work *w)
{
    TP_WITH_GRAD;
    tp_tensor *loss = w->closure(w->user);

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("tp_optim_step_with", loss, TP_ERR_USER,
                  "the closure gave no loss, and no error that says why");
    return loss;
}

/* The loss where the parameters are, and its gradient, lent. */
static bool evaluate(work *w, tp_trial *x)
{
    TP_SCOPE;
    tp_tensor *loss = call(w);

    x->f = loss ? tp_item(loss) : NAN;
    if (!tp_ok() || !tp__optim_gather("tp_optim_step_with", w->o)) return false;
    if (w->k->how.maximize) x->f = -x->f;
    w->v[EVALUATIONS]++;
    if (!w->evaluations++ && !(w->loss = tp__keep(tp_detach(loss)))) return false;
    return (x->g = tp_pass(gradient(w))) != NULL;
}

static bool try_at(void *user, tp_trial *x)
{
    work *w = user;

    if (!go(w, x->t) || !evaluate(w, x)) return false;
    x->slope = dot(x->g, w->d);
    return tp_ok();
}

/* ---- the direction ---- */

static bool store(tp_tensor **to, tp_tensor *t)
{
    t = tp__keep(t);
    if (!t) return false;
    tp__free(*to), *to = t;
    return true;
}

/* Room at the end for one more pair: the oldest goes once there are as many as may be. */
static int room_for_pair(work *w)
{
    tp_tensor **y = y_of(w->pair), **s = s_of(w->k, w->pair);
    int H = w->k->how.history_size, n = (int)w->v[PAIRS];

    if (n < H) return w->v[PAIRS]++, n;
    for (int i = 1; i < H; i++)
        swap(&y[i - 1], &y[i]), swap(&s[i - 1], &s[i]);
    memmove(w->v + RO, w->v + RO + 1, sizeof(double) * (size_t)(H - 1));
    return H - 1;
}

static bool remember(work *w, tp_tensor *g)
{
    TP_SCOPE;
    tp_tensor *y = tp_sub(g, w->g), *s = tp_scale(w->d, w->v[LENGTH]);
    double ys = dot(y, s);
    int at;

    if (!tp_ok() || !(ys > 1e-10)) return tp_ok();
    w->v[DIAGONAL] = ys / dot(y, y);
    if (!tp_ok()) return false;
    at = room_for_pair(w), w->v[RO + at] = 1 / ys;
    return store(&y_of(w->pair)[at], y) && store(&s_of(w->k, w->pair)[at], s);
}

/* -H g by two loops over the pairs; kept in w->d. */
static bool two_loops(work *w, tp_tensor *g)
{
    int n = (int)w->v[PAIRS];
    double *al = tp__alloc(sizeof *al * (size_t)(n + 1));
    tp_tensor *q, **y = y_of(w->pair), **s = s_of(w->k, w->pair);
    TP_SCOPE;

    if (!al) return false;
    q = tp_neg(g);
    for (int i = n - 1; tp_ok() && i >= 0; i--) {
        al[i] = dot(s[i], q) * w->v[RO + i];
        q = tp_add(q, tp_scale(y[i], -al[i]));
    }
    q = tp_scale(q, w->v[DIAGONAL]);
    for (int i = 0; tp_ok() && i < n; i++)
        q = tp_add(q, tp_scale(s[i], al[i] - dot(y[i], q) * w->v[RO + i]));
    tp__release(al, sizeof *al * (size_t)(n + 1));
    return store(&w->d, q);
}

static bool direction(work *w, tp_tensor *g)
{
    if (++w->v[ITERATIONS] > 1) return remember(w, g) && two_loops(w, g) && store(&w->g, g);
    w->v[DIAGONAL] = 1;
    return store(&w->d, tp_neg(g)) && store(&w->g, g);
}

/* ---- the step ---- */

/* Moves along d; whether the search or a plain step, x becomes where the parameters are. */
static bool move(work *w, tp_trial *x, double t, bool last)
{
    const tp_lbfgs_opts *how = &w->k->how;
    tp_line line = { try_at, w, 0 };

    if (how->line_search == TP_LINE_NONE) {
        x->t = w->v[LENGTH] = t;
        return go(w, t) && (last || evaluate(w, x)) && stay(w);
    }
    line.longest = largest(w->d);
    if (!tp_ok() || !tp__strong_wolfe(&line, t, how->max_eval - w->evaluations, x)) return false;
    w->v[LENGTH] = x->t;
    return go(w, x->t) && stay(w);
}

/* One direction and one move along it; *done once there is nothing more to gain. */
static bool iterate(work *w, tp_trial *x, bool last, bool *done)
{
    const tp_lbfgs_opts *how = &w->k->how;
    double lr = w->o->group[0].host_lr, t = lr, before = x->f;
    TP_SCOPE;

    if (!direction(w, x->g)) return false;
    w->v[LOSS] = x->f;
    if (w->v[ITERATIONS] == 1) {
        double sum = tp_item(tp_norm(x->g, 1, TP_ALL));

        t = (1 / sum < 1 ? 1 / sum : 1) * lr;
    }
    w->v[LENGTH] = t, x->slope = dot(x->g, w->d);
    if (!tp_ok()) return false;
    if (x->slope > -how->tolerance_change) return *done = true;
    if (!move(w, x, t, last)) return false;
    x->g = tp_pass(x->g);
    *done = last || w->evaluations >= how->max_eval || largest(x->g) <= how->tolerance_grad ||
            largest(w->d) * fabs(w->v[LENGTH]) <= how->tolerance_change ||
            fabs(x->f - before) < how->tolerance_change;
    return tp_ok();
}

static bool run(work *w)
{
    const tp_lbfgs_opts *how = &w->k->how;
    bool done = false;
    tp_trial x = { 0 };
    TP_NO_GRAD;
    TP_SCOPE;

    if (!evaluate(w, &x)) return false;
    done = largest(x.g) <= how->tolerance_grad;
    for (int64_t i = 1; tp_ok() && !done && i <= how->max_iter; i++)
        if (!iterate(w, &x, i == how->max_iter, &done)) return false;
    return tp_ok();
}

static bool count_step(tp_optim *o)
{
    tp_tensor *step = o->each[0].step;

    return TP_RUN(tick, step, tp__data(step), NULL);
}

tp_tensor *tp__lbfgs_step(tp_optim *o, tp_closure_fn *closure, void *user)
{
    work w = { .o = o, .k = o->lbfgs, .closure = closure, .user = user };
    bool ok;
    TP_SCOPE;

    TP_REQUIRE_IN("tp_optim_step_with", !w.k->stepping, TP_ERR_ARG,
                  "the closure steps the optimizer that called it");
    if (!one_dtype("tp_optim_step_with", o)) return NULL;
    w.k->stepping = true;
    ok = begin(&w) && run(&w) && count_step(o);
    if (ok) commit(&w);
    else put_back(&w);
    w.k->stepping = false;
    end(&w);
    if (!ok) tp__free(w.loss);
    return ok ? w.loss : NULL;
}
