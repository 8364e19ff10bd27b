/*
 * dnn.c - convolutions by cuDNN's plans.
 *
 * cuDNN's fast engines read weights as (O, KH, KW, C / groups); ours are (O, C / groups, KH, KW).
 * So weights are copied to scratch first, and their gradient is computed there and copied, or added,
 * from it.  Where one of the two orders is the other, weights are read where they lie.
 */
#include "kernels/cuda/dnn.h"

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/dnn_cache.h"

enum { MOST_ALIGN = 16 }; /* what plans can make use of */

extern tp__fn_copy *const tp_cuda_copy[TP_DTYPES];

/* ---- sizes ---- */

static int64_t weights_of(const tp_window *g)
{
    return g->O * (g->C / g->groups) * g->KH * g->KW;
}

/* cuDNN's engines count in 32 bits; of nothing it has no plan. */
static bool small(int n, const int64_t *size)
{
    int64_t all = 1;

    for (int i = 0; i < n; i++) {
        if (size[i] < 1 || size[i] > INT32_MAX) return false;
        all *= size[i];
        if (all > INT32_MAX) return false;
    }
    return true;
}

static bool fits(const tp_window *g)
{
    int64_t x[] = { g->N, g->H, g->W, g->C }, y[] = { g->N, g->OH, g->OW, g->O };
    int64_t w[] = { g->O, g->C / g->groups, g->KH, g->KW };

    return small(4, x) && small(4, y) && small(4, w);
}

static bool packs(const tp_window *g)
{
    return g->KH * g->KW > 1 && g->C / g->groups > 1;
}

/* Between our weights and cuDNN's. */
static tp_loop reorder(const tp_window *g, bool to_ours)
{
    int64_t C = g->C / g->groups, n[] = { g->O, g->KH, g->KW, C };
    int64_t ours[] = { C * g->KH * g->KW, g->KW, 1, g->KH * g->KW };
    int64_t theirs[] = { g->KH * g->KW * C, g->KW * C, C, 1 };
    const int64_t *stride[] = { to_ours ? ours : theirs, to_ours ? theirs : ours };

    return tp_loop_make(4, n, 2, stride, true);
}

/* ---- what all three do ---- */

/* Scratch, cut up: weights as cuDNN has them; a result that is added later; workspace. */
typedef struct room {
    char *weights, *sum, *work;
} room;

static bool take_room(tp_ctx *c, size_t weights, size_t sum, const tp_dnn_plan *p,
                      room *to)
{
    char *at = tp_cuda_scratch(c, tp_cuda_rounded(weights) + tp_cuda_rounded(sum) + (size_t)p->workspace);

    if (!at) return false;
    *to = (room){ at, at + tp_cuda_rounded(weights), at + tp_cuda_rounded(weights) + tp_cuda_rounded(sum) };
    return true;
}

/* What the operands' addresses share; NULL stands for scratch. */
static int64_t shared_align(const void *x, const void *w, const void *y)
{
    uintptr_t bits = (uintptr_t)x | (uintptr_t)w | (uintptr_t)y | MOST_ALIGN;

    return (int64_t)(bits & -bits);
}

static tp_dnn_ask ask_of(tp_ctx *c, tp_dtype t, const tp_window *g, tp_dnn_way way,
                         const void *x, const void *w, const void *y)
{
    return (tp_dnn_ask){ .g = *g,
                         .dtype = t,
                         .way = way,
                         .tf32 = c->tf32 && t == TP_F32,
                         .align = shared_align(x, w, y) };
}

static int copy(tp_ctx *c, const char *op, tp_dtype t, const tp_loop *l, const void *from,
                bool add, void *to)
{
    int failed = tp_cuda_copy[t](c, l, from, add, to);

    ((tp_cuda *)c->handles)->last = op;
    return failed;
}

/* Sets *w to weights as cuDNN has them. */
static int pack(tp_ctx *c, const char *op, tp_dtype t, const tp_window *g, const room *r,
                const void **w)
{
    tp_loop l = reorder(g, false);
    const void *ours = *w;

    if (!packs(g)) return 0;
    *w = r->weights;
    return copy(c, op, t, &l, ours, false, r->weights);
}

/* ---- y = x * w + bias ---- */

static int add_bias(tp_ctx *c, const char *op, tp_dtype t, const tp_window *g,
                    const void *bias, void *y)
{
    int64_t n[] = { g->N * g->OH * g->OW, g->O }, dense[] = { g->O, 1 },
            same[] = { 0, 1 };
    const int64_t *stride[] = { dense, same };
    tp_loop l = tp_loop_make(2, n, 2, stride, true);

    return copy(c, op, t, &l, bias, true, y);
}

int tp_dnn_conv2d(tp_ctx *c, tp_dtype t, const tp_window *g, const void *x, const void *w,
                  const void *bias, void *y)
{
    tp_dnn_ask q = ask_of(c, t, g, TP_DNN_Y, x, packs(g) ? NULL : w, y);
    const tp_dnn_plan *p;
    room r;
    int failed = fits(g) ? tp_dnn_find(c, "conv2d", &q, &p) : TP_NO_KERNEL;

    if (failed) return failed;
    if (!take_room(c, packs(g) ? (size_t)weights_of(g) * tp__bytes_of(t) : 0, 0, p, &r))
        return TP_KERNEL_NO_MEMORY;
    failed = pack(c, "conv2d", t, g, &r, &w);
    if (!failed) failed = tp_dnn_run(c, "conv2d", &q, p, x, w, y, r.work);
    return !failed && bias ? add_bias(c, "conv2d", t, g, bias, y) : failed;
}

/* ---- dx (+)= the adjoint in x ---- */

/* A plan that adds; or, where there is none, one that doesn't, whose result is added by a copy.
 * Of a step that wrote a gradient when it was called and adds to it when recorded only the latter
 * is known; then they give the same bits. */
static int find_dx(tp_ctx *c, tp_dnn_ask *q, bool add, const tp_dnn_plan **p)
{
    int failed;

    q->add = add;
    failed = tp_dnn_find(c, "conv2d_dx", q, p);
    if (!failed || !add) return failed;
    q->add = false;
    return tp_dnn_find(c, "conv2d_dx", q, p);
}

int tp_dnn_conv2d_dx(tp_ctx *c, tp_dtype t, const tp_window *g, const void *dy,
                     const void *w, bool add, void *dx)
{
    tp_dnn_ask q = ask_of(c, t, g, TP_DNN_DX, dx, packs(g) ? NULL : w, dy);
    int64_t n = g->N * g->H * g->W * g->C;
    tp_loop flat = tp_loop_flat(n, 2);
    const tp_dnn_plan *p;
    room r;
    int failed = fits(g) ? find_dx(c, &q, add, &p) : TP_NO_KERNEL;
    bool later = add && !q.add;

    if (failed) return failed;
    if (!take_room(c, packs(g) ? (size_t)weights_of(g) * tp__bytes_of(t) : 0,
                   later ? (size_t)n * tp__bytes_of(t) : 0, p, &r))
        return TP_KERNEL_NO_MEMORY;
    failed = pack(c, "conv2d_dx", t, g, &r, &w);
    if (!failed)
        failed = tp_dnn_run(c, "conv2d_dx", &q, p, later ? r.sum : dx, w, dy, r.work);
    return !failed && later ? copy(c, "conv2d_dx", t, &flat, r.sum, true, dx) : failed;
}

/* ---- dw (+)= the adjoint in w ---- */

int tp_dnn_conv2d_dw(tp_ctx *c, tp_dtype t, const tp_window *g, const void *x,
                     const void *dy, bool add, void *dw)
{
    tp_dnn_ask q = ask_of(c, t, g, TP_DNN_DW, x, NULL, dy);
    const tp_dnn_plan *p;
    tp_loop l;
    room r;
    int failed = fits(g) ? tp_dnn_find(c, "conv2d_dw", &q, &p) : TP_NO_KERNEL;

    if (failed) return failed;
    if (!take_room(c, (size_t)weights_of(g) * tp__bytes_of(t), 0, p, &r))
        return TP_KERNEL_NO_MEMORY;
    failed = tp_dnn_run(c, "conv2d_dw", &q, p, x, r.weights, dy, r.work);
    if (failed) return failed;
    l = reorder(g, true);
    return copy(c, "conv2d_dw", t, &l, r.weights, add, dw);
}
