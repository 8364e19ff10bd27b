/*
 * line_search.c - how far to go along a direction: until the strong Wolfe conditions hold
 * (Nocedal & Wright 2006, algorithms 3.5 and 3.6; minFunc's and PyTorch's form of them).
 *
 *     f(t) <= f(0) + c1 t f'(0)     enough is gained
 *     |f'(t)| <= c2 |f'(0)|         and there is little more to gain nearby
 *
 * First the step grows until such a point lies between two that are known, then the two close in
 * on it.  Each new step is the minimum of the cubic through both ends.
 */
#include "optim/lbfgs.h"

#include <math.h>

static const double c1 = 1e-4, c2 = 0.9, narrow = 1e-9;

/* The minimum within lo to hi of the cubic through a and b. */
static double cubic(const tp_trial *a, const tp_trial *b, double lo, double hi)
{
    double d1 = a->slope + b->slope - 3 * (a->f - b->f) / (a->t - b->t),
           square = d1 * d1 - a->slope * b->slope, d2, t;

    if (!(square >= 0)) return (lo + hi) / 2;
    d2 = sqrt(square);
    t = a->t <= b->t
            ? b->t - (b->t - a->t) * ((b->slope + d2 - d1) / (b->slope - a->slope + 2 * d2))
            : a->t - (a->t - b->t) * ((a->slope + d2 - d1) / (a->slope - b->slope + 2 * d2));
    t = lo > t ? lo : t; /* a NaN stays, so that the caller's loss shows it */
    return hi < t ? hi : t;
}

/* A search on its way. */
typedef struct search {
    const tp_line *line;
    tp_trial zero, end[2]; /* where it began; the two that are known */
    int n;                 /* of them */
    int64_t left;          /* evaluations */
    bool found;
} search;

static bool too_high(const search *s, const tp_trial *x)
{
    return x->f > s->zero.f + c1 * x->t * s->zero.slope;
}

static bool flat(const search *s, const tp_trial *x)
{
    return fabs(x->slope) <= -c2 * s->zero.slope;
}

static bool look(search *s, tp_trial *x, double t)
{
    x->t = t;
    return s->line->at(s->line->user, x);
}

static void ends(search *s, tp_trial a, tp_trial b)
{
    s->end[0] = a, s->end[1] = b, s->n = 2;
}

/* Grows the step from t until two points have the one that is wanted between them. */
static bool bracket(search *s, double t)
{
    tp_trial before = s->zero, x, next;
    int64_t tried = 0;

    if (!look(s, &x, t)) return false;
    for (; s->left > 0; s->left--, tried++) {
        if (too_high(s, &x) || (tried > 1 && x.f >= before.f)) return ends(s, before, x), true;
        if (flat(s, &x)) return s->end[0] = s->end[1] = x, s->n = 1, s->found = true;
        if (x.slope >= 0) return ends(s, before, x), true;
        if (!look(s, &next, cubic(&before, &x, x.t + 0.01 * (x.t - before.t), x.t * 10)))
            return false;
        before = x, x = next;
    }
    return ends(s, s->zero, x), true;
}

/* The next step between the ends, kept away from them when it comes too close twice. */
static double between(const search *s, bool *close)
{
    const tp_trial *a = &s->end[0], *b = &s->end[1];
    double lo = b->t < a->t ? b->t : a->t, hi = b->t > a->t ? b->t : a->t, t = cubic(a, b, lo, hi),
           away = 0.1 * (hi - lo);
    bool near = (t - lo < hi - t ? t - lo : hi - t) < away;

    if (near && (*close || t >= hi || t <= lo)) {
        *close = false;
        return fabs(t - hi) < fabs(t - lo) ? hi - away : lo + away;
    }
    *close = near;
    return t;
}

/* Moves the ends together; low is the better one. */
static bool zoom(search *s, int *low)
{
    bool close = false;
    tp_trial x;

    for (; !s->found && s->left > 0; s->left--) {
        int high = 1 - *low;

        if (fabs(s->end[1].t - s->end[0].t) * s->line->longest < narrow) break;
        if (!look(s, &x, between(s, &close))) return false;
        if (too_high(s, &x) || x.f >= s->end[*low].f) {
            s->end[high] = x;
            *low = s->end[0].f <= s->end[1].f ? 0 : 1;
            continue;
        }
        s->found = flat(s, &x);
        if (!s->found && x.slope * (s->end[high].t - s->end[*low].t) >= 0)
            s->end[high] = s->end[*low];
        s->end[*low] = x;
    }
    return true;
}

bool tp__strong_wolfe(const tp_line *line, double t, int64_t most, tp_trial *x)
{
    search s = { .line = line, .zero = *x, .left = most };
    int low;

    s.zero.t = 0;
    if (!bracket(&s, t)) return false;
    low = s.n == 1 || s.end[0].f <= s.end[1].f ? 0 : 1;
    if (!zoom(&s, &low)) return false;
    *x = s.end[low];
    return true;
}
