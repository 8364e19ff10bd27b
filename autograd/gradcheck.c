/*
 * gradcheck.c - finite differences against backward, in f64.
 *
 * A function of any shape is folded into a number by fixed weights w: L = sum w f(x).  Each
 * element of each input that requires a gradient is moved by +-h: the error is
 * |dL - (L(x + h) - L(x - h)) / 2h| relative to the largest gradient, or to 1.
 */
#include "autograd/node.h"

#include <math.h>
#include <stdio.h>

enum { MOST = 16 };

/* Different, irrational, and the same each time. */
static tp_tensor *weights_like(const tp_tensor *y)
{
    size_t bytes = (size_t)tp_count(y) * sizeof(double);
    tp_tensor *w = NULL;
    double *d = y ? tp__alloc(bytes) : NULL;

    if (!d) return NULL;
    for (int64_t i = 0; i < tp_count(y); i++)
        d[i] = 0.5 + fmod(0.618033988749895 * (double)(i + 1), 1);
    w = tp_from(d, y->shape, TP_F64, tp__device(y));
    tp__release(d, bytes);
    return w;
}

static double folded(tp_function *f, tp_list in, void *user)
{
    TP_SCOPE;
    tp_tensor *y = f(in, user);

    return tp_item(tp_sum(tp_mul(y, weights_like(y)), TP_ALL));
}

/* Sets one element, wherever the tensor lies. */
static bool poke(tp_tensor *x, int64_t i, double v)
{
    int64_t at = x->offset;
    tp_tensor *one;
    tp_loop l;

    TP_SCOPE;
    for (int a = x->shape.rank - 1; a >= 0; i /= x->shape.n[a], a--)
        at += i % x->shape.n[a] * x->stride[a];
    if (!(one = tp__view(x, TP_SCALAR, NULL, at))) return false;
    l = tp__loop(&one->shape, TP_LIST(one));
    return TP_RUN(fill, one, &l, v, tp__data(one));
}

/* Puts an element back, also while an error is pending. */
static void put_back(tp_tensor *x, int64_t i, double v)
{
    tp_code code = tp_error_code();
    char text[768];

    snprintf(text, sizeof text, "%s", tp_error());
    tp_clear_error();
    poke(x, i, v);
    if (code != TP_OK) tp__fail(code, NULL, "%s", text);
}

typedef struct probe {
    tp_function *f;
    tp_list in;
    void *user;
    tp_gradcheck_report *r;
} probe;

static bool compare(const probe *p, int i, const double *x, const double *d)
{
    double h = 1e-5, scale = 1;

    for (int64_t j = 0; d && j < tp_count(p->in.t[i]); j++)
        scale = fmax(scale, fabs(d[j]));
    for (int64_t j = 0; tp_ok() && j < tp_count(p->in.t[i]); j++) {
        double up, down, error;

        poke(p->in.t[i], j, x[j] + h), up = folded(p->f, p->in, p->user);
        poke(p->in.t[i], j, x[j] - h), down = folded(p->f, p->in, p->user);
        put_back(p->in.t[i], j, x[j]);
        error = fabs((up - down) / (2 * h) - (d ? d[j] : 0)) / scale;
        if (error <= p->r->worst) continue; /* NaN goes on */
        p->r->worst = error;
        snprintf(p->r->where, sizeof p->r->where, "input %d element %lld", i, (long long)j);
        if (isnan(error)) return false;
    }
    return tp_ok();
}

static bool check_input(const probe *p, int i, const tp_tensor *g)
{
    size_t bytes = (size_t)tp_count(p->in.t[i]) * sizeof(double);
    double *x = tp__alloc(bytes), *d = tp__alloc(bytes);
    bool ok = x && d && tp_read(p->in.t[i], x, bytes) && (!g || tp_read(g, d, bytes)) &&
              compare(p, i, x, g ? d : NULL);

    tp__release(x, bytes), tp__release(d, bytes);
    return ok;
}

static int wanted_of(tp_list in, tp_tensor **wanted, int *at)
{
    int n = 0;

    for (int i = 0; i < in.n; i++)
        if (in.t[i] && in.t[i]->node) wanted[n] = in.t[i], at[n++] = i;
    return n;
}

bool tp_gradcheck(tp_function *f, tp_list in, void *user, tp_gradcheck_report *r)
{
    tp_tensor *wanted[MOST], *g[MOST], *y;
    tp_gradcheck_report own;
    int n, at[MOST];

    TP_SCOPE;
    TP_WITH_GRAD;
    if (!r) r = &own;
    *r = (tp_gradcheck_report){ 0 };
    if (!tp__check(__func__, in, 0)) return false;
    TP_REQUIRE(f && in.n <= MOST, TP_ERR_ARG, "missing function, or more than %d inputs", MOST);
    n = wanted_of(in, wanted, at);
    for (int k = 0; k < n; k++)
        TP_REQUIRE(wanted[k]->dtype == TP_F64, TP_ERR_DTYPE, "input %d is %s: f64 is checked", at[k],
                   tp__text(wanted[k]));
    if (!(y = f(in, user))) return false;
    if (!tp_grads_of(TP_LIST(y), (tp_list){ wanted, n }, g,
                     (tp_grad_opts){ .allow_unused = true, .grad_output = weights_like(y) }))
        return false;
    for (int k = 0; k < n; k++)
        if (!check_input(&(probe){ f, in, user, r }, at[k], g[k])) return false;
    return r->worst <= 1e-6;
}

/* ---- twice: the gradient itself is the function, of the inputs and of dy ---- */

typedef struct inner {
    tp_function *f;
    void *user;
    int n;
} inner;

static tp_tensor *first_gradients(tp_list all, void *user)
{
    const inner *k = user;
    tp_list in = { all.t, k->n };
    tp_tensor *wanted[MOST], *g[MOST], *sum = NULL, *y = k->f(in, k->user);
    int at[MOST], n = wanted_of(in, wanted, at);

    if (!y || !tp_grads_of(TP_LIST(y), (tp_list){ wanted, n }, g,
                           (tp_grad_opts){ .create_graph = true, .allow_unused = true, .grad_output = all.t[k->n] }))
        return NULL;
    for (int i = 0; i < n; i++) {
        tp_tensor *part = g[i] ? tp_sum(tp_mul(g[i], weights_like(g[i])), TP_ALL) : NULL;

        if (part) sum = sum ? tp_add(sum, part) : part;
    }
    return sum;
}

bool tp_gradgradcheck(tp_function *f, tp_list in, void *user, tp_gradcheck_report *r)
{
    inner k = { f, user, in.n };
    tp_tensor *all[MOST], *y;

    TP_SCOPE;
    TP_WITH_GRAD;
    if (!tp__check(__func__, in, 0)) return false;
    TP_REQUIRE(f && in.n < MOST, TP_ERR_ARG, "missing function, or more than %d inputs", MOST - 1);
    if (!(y = f(in, user))) return false;
    for (int i = 0; i < in.n; i++)
        all[i] = in.t[i];
    all[in.n] = tp_requires_grad(weights_like(y), true);
    return all[in.n] && tp_gradcheck(first_gradients, (tp_list){ all, in.n + 1 }, &k, r);
}
