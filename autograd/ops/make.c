/*
 * make.c - tensors made of their own indices.
 *
 *   arange     start, start + step, ... before end
 *   linspace   n numbers from start to end, both included
 *   eye        1 on the diagonal
 *   tril, triu x on one side of a diagonal, else 0       dx = the same of dy
 */
#include "autograd/op.h"

#include <math.h>

enum { X };

/* ---- filled and counted ---- */

tp_tensor *tp_full_like(tp_tensor *t, double v)
{
    tp_tensor *y;
    tp_loop l;

    if (!tp__check("full_like", TP_LIST(t), 1)) return NULL;
    if (!(y = tp__new_as(t->shape, (tp_dtype)t->dtype, tp__device(t), tp__layout_of(t)))) return NULL;
    l = tp__loop(&y->shape, TP_LIST(y));
    return TP_RUN(fill, y, &l, v, tp__data(y)) ? y : NULL;
}

static bool makeable(const char *where, tp_shape s, tp_dtype d, tp_device *dev)
{
    TP_REQUIRE_IN(where, dev, TP_ERR_DEVICE, "missing device");
    TP_REQUIRE_IN(where, (unsigned)d < TP_DTYPES, TP_ERR_DTYPE, "there is no dtype %d", (int)d);
    return tp__shape_ok(where, s);
}

static tp_tensor *row(const char *where, int64_t n, tp_dtype d, tp_device *dev)
{
    return makeable(where, TP_SHAPE(n), d, dev) ? tp__new(TP_SHAPE(n), d, dev) : NULL;
}

tp_tensor *tp_arange(double start, double end, double step, tp_dtype d, tp_device *dev)
{
    double n = ceil((end - start) / step);
    tp_tensor *y;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("arange", n >= 0 && n < 0x1p53, TP_ERR_ARG,
                  "from %g to %g by %g: a step towards the end is wanted", start, end,
                  step);
    TP_REQUIRE_IN("arange", d <= TP_F16 || (start == floor(start) && step == floor(step)), TP_ERR_ARG,
                  "from %g by %g: whole numbers are wanted for %s", start, step, tp_dtype_name(d));
    if (!(y = row("arange", (int64_t)n, d, dev))) return NULL;
    return TP_RUN(iota, y, tp_count(y), start, step, tp__data(y)) ? y : NULL;
}

/* Each half counts from its own end, so that both ends are met exactly. */
tp_tensor *tp_linspace(double start, double end, int64_t n, tp_dtype d, tp_device *dev)
{
    int64_t half = n - n / 2;
    double step = n > 1 ? (end - start) / (double)(n - 1) : 0;
    tp_tensor *y, *back;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN("linspace", isfinite(start) && isfinite(end), TP_ERR_ARG,
                  "from %g to %g: finite numbers are wanted", start, end);
    if (!(y = row("linspace", n, d, dev))) return NULL;
    back = tp__view(y, TP_SHAPE(n - half), y->stride, half);
    if (!back || !TP_RUN(iota, y, half, start, step, tp__data(y)) ||
        !TP_RUN(iota, y, n - half, end - step * (double)(n - half - 1), step, tp__data(back)))
        return NULL;
    return y;
}

tp_tensor *tp_eye(int64_t rows, int64_t cols, tp_dtype d, tp_device *dev)
{
    tp_tensor *y, *diagonal;
    tp_shape s = TP_SHAPE(rows < cols ? rows : cols);
    int64_t stride;
    tp_loop l;

    if (!tp_ok() || !makeable("eye", TP_SHAPE(rows, cols), d, dev)) return NULL;
    if (!(y = tp_zeros(TP_SHAPE(rows, cols), d, dev))) return NULL;
    stride = cols + 1;
    if (!(diagonal = tp__view(y, s, &stride, 0))) return NULL;
    l = tp__loop(&s, TP_LIST(diagonal));
    return TP_RUN(fill, y, &l, 1, tp__data(y)) ? y : NULL;
}

/* ---- tril, triu ---- */

typedef struct band {
    int64_t low, high; /* of column - row */
} band;

static tp_tensor *band_of(const char *where, tp_tensor *x, band k);

static void band_backward(tp_node *n)
{
    tp__give(n, X, band_of("band", tp__dy(n, 0), *(const band *)tp__attr(n)));
}

static const tp_op band_op = { "band", band_backward, NULL };

static tp_tensor *band_of(const char *where, tp_tensor *x, band k)
{
    int64_t rows, cols;
    tp_tensor *y;

    if (!tp__check(where, TP_LIST(x), 1)) return NULL;
    TP_REQUIRE_IN(where, x->shape.rank >= 2, TP_ERR_SHAPE, "x must be (..., rows, cols), not %s", tp__text(x));
    rows = tp_dim(x, -2), cols = tp_dim(x, -1);
    if (!(x = tp__rows(x)) || !(y = tp__new_like(x, x->shape))) return NULL;
    if (tp_count(x) && !TP_RUN(band, x, tp_count(x) / (rows * cols), rows, cols, k.low, k.high, tp__data(x), tp__data(y)))
        return NULL;
    return tp__record(&band_op, TP_LIST(x), y, TP_NONE_SAVED, &k, sizeof k);
}

/* Far beyond any matrix, and far from overflow. */
#define FAR ((int64_t)1 << 60)

static int64_t near(int64_t diagonal)
{
    return diagonal > FAR ? FAR : diagonal < -FAR ? -FAR : diagonal;
}

tp_tensor *tp_tril(tp_tensor *x, int64_t diagonal)
{
    TP_SCOPE;
    return tp_pass(band_of("tril", x, (band){ -2 * FAR, near(diagonal) }));
}

tp_tensor *tp_triu(tp_tensor *x, int64_t diagonal)
{
    TP_SCOPE;
    return tp_pass(band_of("triu", x, (band){ near(diagonal), 2 * FAR }));
}
