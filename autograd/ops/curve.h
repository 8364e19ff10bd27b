/*
 * curve.h - functions of one variable whose kernels come with two derivatives.
 *
 *   name       y = f(x)            dx = name_dx(dy, x)
 *   name_dx    y = dy f'(x)        given u:  u f'(x) for dy,  name_ddx(u dy, x) for x
 *   name_ddx   y = v f''(x)        not differentiated
 *
 * One without name_ddx is made of straight pieces: f'' is 0.
 */
#ifndef TP_AUTOGRAD_OPS_CURVE_H
#define TP_AUTOGRAD_OPS_CURVE_H

#include "autograd/ops/elementwise.h"

#include <stddef.h>

typedef struct tp__curve {
    tp_op op, dx, ddx;
    size_t at, dx_at, ddx_at; /* of the kernels' slots in a tp_backend; ddx_at 0: none */
} tp__curve;

/* By the kernels of `of`, a function that becomes this one with certain numbers. */
#define TP__CURVE_BY(name, of, ddx_slot)                                                 \
    static const tp__curve name##_curve = {                                              \
        { #name, tp__curve_backward, NULL }, { #name "_dx", tp__slope_backward, NULL },  \
        { #name "_ddx", NULL, NULL },        offsetof(tp_backend, of),                   \
        offsetof(tp_backend, of##_dx),       ddx_slot                                    \
    }
#define TP__CURVE_OF(name, of) TP__CURVE_BY(name, of, offsetof(tp_backend, of##_ddx))
#define TP__BENT_OF(name, of)  TP__CURVE_BY(name, of, 0)
#define TP__CURVE(name)        TP__CURVE_OF(name, name)
#define TP__BENT(name)         TP__BENT_OF(name, name)

void tp__curve_backward(tp_node *n);
void tp__slope_backward(tp_node *n);

/* y = f(x), with the numbers that f takes; the others are 0. */
tp_tensor *tp__curve_of(const tp__curve *f, tp_tensor *x, double k0, double k1, double k2);

#endif
