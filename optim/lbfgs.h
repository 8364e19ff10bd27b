/*
 * lbfgs.h - what lbfgs.c and line_search.c share, and what optimizer.c knows of them.
 */
#ifndef TP_OPTIM_LBFGS_H
#define TP_OPTIM_LBFGS_H

#include "optim/internal.h"

/* A point t d away: the loss, its gradient, and its slope along d. */
typedef struct tp_trial {
    double t, f, slope;
    tp_tensor *g;
} tp_trial;

typedef struct tp_line {
    bool (*at)(void *user, tp_trial *x); /* fills in the rest of what lies at x->t */
    void *user;
    double longest; /* the largest |element| of d */
} tp_line;

/* x is where the line begins, and becomes where to go: at most `most` + 1 evaluations, the first at
 * t.  false when one failed. */
bool tp__strong_wolfe(const tp_line *line, double t, int64_t most, tp_trial *x);

#endif
