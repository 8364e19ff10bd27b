/*
 * muon.c - the direction of Muon's step (Jordan 2024): the momentum of a matrix, made nearly
 * orthogonal by a Newton-Schulz iteration.
 *
 *     u = g + momentum (m - g) if nesterov, else m;      m as it will be after the step
 *     X = u / max(|u|, eps), lying on its side if it has more rows than columns
 *     X = a X + (b S + c S S) X,  S = X X',  ns_steps times
 *
 * All of it is made before anything changes, by ops, in the dtype of u (f32 for bf16).
 */
#include "optim/internal.h"

#include <math.h>

bool tp__muon_takes(const char *where, const char *name, const tp_tensor *t)
{
    TP_REQUIRE_IN(where, tp_rank(t) == 2, TP_ERR_SHAPE,
                  "%s is %s, no matrix: leave it to an AdamW optimizer beside this one", name, tp__text(t));
    return true;
}

/* 1 / max(|u|, eps), a scalar on the device. */
static tp_tensor *over_norm(tp_tensor *u, double eps)
{
    tp_tensor *norm = tp_sqrt(tp_sum(tp_square(u), TP_ALL));
    tp_tensor *rest = tp_relu(tp_shift(norm, -eps)); /* NaN stays */

    return tp_div(tp_ones(TP_SCALAR, tp_dtype_of(u), tp_device_of(u)), tp_shift(rest, eps));
}

static tp_tensor *orthogonal(tp_tensor *u, const tp_muon_opts *o)
{
    const double *k = o->ns_coefficients;
    bool tall = tp_dim(u, 0) > tp_dim(u, 1);
    tp_tensor *x = tp_mul(tall ? tp_transpose(u, 0, 1) : u, over_norm(u, o->eps));

    for (int i = 0; i < o->ns_steps; i++) {
        tp_tensor *s = tp_matmul(x, tp_transpose(x, 0, 1));
        tp_tensor *of = tp_add(tp_scale(s, k[1]), tp_scale(tp_matmul(s, s), k[2]));

        x = tp_add(tp_scale(x, k[0]), tp_matmul(of, x));
    }
    return tall ? tp_transpose(x, 0, 1) : x;
}

static double adjustment(const tp_tensor *p, tp_muon_adjust how)
{
    double rows = (double)tp_dim(p, 0), cols = (double)tp_dim(p, 1);

    if (how == TP_MUON_MATCH_RMS_ADAMW) return 0.2 * sqrt(fmax(rows, cols));
    return cols > 0 ? sqrt(fmax(1, rows / cols)) : 1;
}

/* The momentum after this step, looking ahead if asked. */
static tp_tensor *momentum_of(const tp_slotted *k, const tp_group *g, const tp_tensor *scale)
{
    double momentum = g->muon.momentum;
    tp_dtype d = k->p->dtype == TP_F64 ? TP_F64 : TP_F32;
    tp_tensor *m = tp_cast(k->state[TP_M], d), *now = tp_cast(k->grad, d);

    if (scale) now = tp_div(now, tp_cast((tp_tensor *)(uintptr_t)scale, d));
    m = tp_add(m, tp_scale(tp_sub(now, m), 1 - momentum));
    return g->matrix.nesterov ? tp_add(now, tp_scale(tp_sub(m, now), momentum)) : m;
}

/* Laid out as p is, since the kernel walks through both. */
bool tp__muon_prepare(tp_slotted *k, const tp_group *g, const tp_tensor *scale)
{
    tp_tensor *way, *made = NULL;
    TP_SCOPE;

    if (tp_count(k->p) == 0) return true;
    way = orthogonal(momentum_of(k, g, scale), &g->matrix);
    way = tp_scale(way, adjustment(k->p, g->matrix.adjust_lr));
    way = tp_cast(way, (tp_dtype)k->p->dtype);
    if (way) made = tp_zeros_like(k->p);
    if (!made || !tp__copy(made, way, false)) return false;
    k->made = tp_pass(made);
    return k->made != NULL;
}
