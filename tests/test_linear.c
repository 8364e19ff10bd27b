/*
 * test_linear.c - layers behind layers: what a backend does for two of them in one kernel is
 * what their parts give.
 */
#include "autograd/op.h"
#include "tensor/probe.h"
#include "tests/check.h"

#include <string.h>

enum { ROWS = 6, IN = 8, HIDDEN = 16, OUT = 12 };

/* Everything is positive, so that no sum cancels and errors relative to results are bounded. */
typedef struct layers {
    tp_tensor *x, *w1, *b1, *w2, *b2;
} layers;

static layers make_layers(tp_dtype t, bool rows, tp_device *dev)
{
    layers l = { check_numbers(rows ? TP_SHAPE(ROWS, IN) : TP_SHAPE(2, ROWS / 2, IN), t, 0.1, 1, dev), check_numbers(TP_SHAPE(HIDDEN, IN), t, 0.1, 0.5, dev),
                 check_numbers(TP_SHAPE(HIDDEN), t, 0.1, 1, dev), check_numbers(TP_SHAPE(OUT, HIDDEN), t, 0.1, 0.5, dev),
                 check_numbers(TP_SHAPE(OUT), t, 0.1, 1, dev) };

    for (int i = 0; i < 5; i++)
        (&l.x)[i] = tp_requires_grad(tp_detach((&l.x)[i]), true);
    return l;
}

/* ---- ways from one layer to the next ---- */

typedef enum way { STRAIGHT, TURNED, SHAPED, USED_BEFORE, USED_AFTER, HOOKED, WAYS } way;
static const char *const way_names[WAYS] = { "straight",    "turned twice", "another shape",
                                             "used before", "used after",   "hooked" };

static int hooked;

static tp_tensor *count_and_shift(tp_tensor *g, void *user)
{
    (void)user;
    hooked++;
    return tp_shift(g, 1); /* no factor: it would do as well on the other side of a GELU */
}

/* The hidden numbers, by one op or by its parts. */
static tp_tensor *hidden(const layers *l, bool whole)
{
    if (whole) return tp_linear_with(l->x, l->w1, l->b1, (tp_linear_opts){ TP_GELU_TANH });
    return tp_gelu_tanh(tp_linear(l->x, l->w1, l->b1));
}

static tp_tensor *between(tp_tensor *h, way how)
{
    switch (how) {
    case TURNED: return tp_transpose(tp_contiguous(tp_transpose(h, 0, 1)), 0, 1);
    case SHAPED: return tp_reshape(tp_reshape(h, TP_SHAPE(ROWS * HIDDEN)), TP_SHAPE(ROWS, HIDDEN));
    case HOOKED: tp_add_hook(h, count_and_shift, NULL); return h;
    default: return h;
    }
}

static tp_tensor *loss_of(const layers *l, way how, bool whole)
{
    tp_tensor *h = hidden(l, whole), *before = how == USED_BEFORE ? tp_sum(h, TP_ALL) : NULL;
    tp_tensor *y = tp_sum(tp_square(tp_linear(between(h, how), l->w2, l->b2)), TP_ALL);

    if (how == USED_AFTER) before = tp_sum(h, TP_ALL);
    return before ? tp_add(y, before) : y;
}

/* Twice, without clearing: what the first pass left behind must not matter. */
static void backward_twice(tp_tensor *loss)
{
    CHECK(tp_backward_with(loss, (tp_backward_opts){ .retain_graph = true }) && tp_backward(loss));
}

/* Longest chain of sums: OUT + HIDDEN + ROWS + IN terms, each a rounding of the accumulator, and at
 * most ten results rounded to the dtype; of the two sides, both times a factor of 2 for what
 * GELU's curve makes of an error. */
static double bound(tp_dtype t)
{
    double u = t == TP_F64 ? 0x1p-53 : t == TP_F32 ? 0x1p-24 : t == TP_BF16 ? 0x1p-8 : 0x1p-11;

    return 2 * 2 * (10 * u + (OUT + HIDDEN + ROWS + IN) * (t == TP_F64 ? 0x1p-53 : 0x1p-24));
}

static void check_gradients(tp_tensor *whole, tp_tensor *parts, double relative)
{
    double a[HIDDEN * OUT], b[HIDDEN * OUT];
    int n = (int)tp_count(whole);

    CHECK(tp_read(tp_cast(whole, TP_F64), a, sizeof *a * (size_t)n) && tp_read(tp_cast(parts, TP_F64), b, sizeof *b * (size_t)n));
    for (int k = 0; k < n; k++) {
        CHECK(isfinite(b[k]));
        CHECK_NEAR(a[k], b[k], relative * fabs(b[k]));
    }
}

static void check_way(tp_dtype t, way how, bool rows, tp_device *dev)
{
    layers whole, parts;

    TP_SCOPE;
    whole = make_layers(t, rows, dev);
    for (int i = 0; i < 5; i++)
        (&parts.x)[i] = tp_requires_grad(tp_clone(tp_detach((&whole.x)[i])), true);
    hooked = 0;
    backward_twice(loss_of(&whole, how, true));
    CHECK(hooked == (how == HOOKED ? 2 : 0));
    backward_twice(loss_of(&parts, how, false));
    for (int i = 0; i < 5; i++) {
        CASE("%s%s, %s on %s, gradient %d", way_names[how], rows ? "" : " in 3 axes", tp_dtype_name(t),
             tp_device_name(dev), i);
        check_gradients(tp_grad((&whole.x)[i]), tp_grad((&parts.x)[i]), bound(t));
    }
}

ON_EACH_DEVICE(linear, behind_linear)
{
    static const tp_dtype dtypes[] = { TP_F32, TP_F64, TP_BF16, TP_F16 };

    for (int t = 0; t < TP_LEN(dtypes); t++)
        for (int how = 0; how < 2 * WAYS; how++)
            if (dtypes[t] != TP_F16 || strcmp(tp_device_name(dev), "cpu"))
                check_way(dtypes[t], (way)(how / 2), how % 2, dev);
}

/* ---- how many products and how many kernels ---- */

static int products, others;

static void count(tp_probe *p, const char *name, const tp_tensor *t)
{
    (void)p, (void)t;
    if (!strcmp(name, "gemm")) products++;
    else others++;
}

ON_EACH_DEVICE(linear, two_calls_a_layer)
{
    tp_probe probe = { .kernel = count };
    tp_tensor *y, *dy;
    layers l;

    TP_SCOPE;
    l = make_layers(TP_F32, false, dev);
    y = tp_linear(hidden(&l, true), l.w2, l.b2), dy = check_numbers(y->shape, TP_F32, 0.1, 1, dev);
    products = others = 0;
    tp__me()->probe = &probe;
    CHECK(tp_backward_with(y, (tp_backward_opts){ .grad_output = dy }));
    tp__me()->probe = NULL;
    CASE("on %s: %d products and %d other kernels", tp_device_name(dev), products, others);
    CHECK(products == 4 && others == (tp__backend(y)->fuses ? 0 : 3)); /* GELU's derivative and two sums */
}
