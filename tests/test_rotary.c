/*
 * test_rotary.c - rotary embedding against complex numbers in PyTorch, finite differences, what
 * it is for, views, threads.
 */
#include "tests/calls.h"
#include "tests/golden.h"
#include "tests/gradients.h"

static const tp_rotary_opts plain;

static tp_tensor *places(tp_tensor *x)
{
    return tp_from((int64_t[]){ 4, 0, 9, 2, 2, 7 }, TP_SHAPE(2, 3), TP_I64, tp_device_of(x));
}

F(f_pairs, tp_square(tp_rotary(tp_exp(a), plain)))
F(f_halves, tp_square(tp_rotary(a, (tp_rotary_opts){ .halves = true, .dims = 4, .offset = 3 })))
F(f_places, tp_mul(tp_rotary(a, (tp_rotary_opts){ .positions = places(a), .base = 10 }), b))
static const row rows[] = {
    { "rotary", f_pairs, 1, { R4(2, 2, 3, 4) }, -1, NULL, 0 },
    { "rotary by halves", f_halves, 1, { R4(1, 2, 3, 5) }, -1, NULL, 0 },
    { "rotary at places", f_places, 2, { R4(2, 1, 3, 4), R4(2, 1, 3, 4) }, -1, NULL, 0 },
};

GRADIENTS(rotary, rows)

static bool run_rotary(kase *k)
{
    tp_rotary_opts o = {
        .halves = k->opts[0], .dims = k->opts[1], .offset = k->opts[2], .base = k->fopts[0]
    };

    if (k->opts[3]) o.positions = k->in[1];
    return ONE(k, tp_rotary(k->in[0], o));
}

GOLDEN(rotary, R(rotary))

static double distance(tp_tensor *a, tp_tensor *b)
{
    return tp_item(tp_amax(tp_abs(tp_sub(a, b)), TP_ALL));
}

/* ---- what it is for: scores depend on distances alone, and keys can be cached ---- */

ON_EACH_DEVICE(rotary, scores_see_distances)
{
    for (int halves = 0; halves < 2; halves++) {
        tp_rotary_opts near = { .halves = halves }, far = { .halves = halves, .offset = 100000 };
        tp_tensor *q, *k, *a, *b;

        TP_SCOPE;
        CASE("halves %d on %s", halves, tp_device_name(dev));
        q = check_numbers(TP_SHAPE(2, 2, 6, 8), TP_F64, -1, 1, dev),
        k = check_numbers(TP_SHAPE(2, 2, 6, 8), TP_F64, -1, 1, dev);
        a = tp_matmul(tp_rotary(q, near), tp_transpose(tp_rotary(k, near), 2, 3));
        b = tp_matmul(tp_rotary(q, far), tp_transpose(tp_rotary(k, far), 2, 3));
        CHECK(distance(a, b) < 1e-9); /* angles of 1e5 have 11 digits behind the point */
        far.offset = 4;
        a = tp_slice(tp_rotary(q, near), 2, 4, 6), b = tp_rotary(tp_slice(q, 2, 4, 6), far);
        CHECK(distance(a, b) == 0);
        far.offset = 0, far.positions = tp_arange(4, 6, 1, TP_I32, dev);
        CHECK(distance(a, tp_rotary(tp_slice(q, 2, 4, 6), far)) == 0);
        CHECK_NEAR(tp_item(tp_norm(q, 2, TP_ALL)), tp_item(tp_norm(tp_rotary(q, near), 2, TP_ALL)),
                   1e-13);
    }
}

/* ---- views of a projection are read where they are, and y lies as they do ---- */

ON_EACH_DEVICE(rotary, views)
{
    tp_tensor *all, *x, *y, *dx;

    TP_SCOPE;
    all = check_leaf(TP_SHAPE(2, 5, 3, 4), -1, 1, dev); /* (N, T, heads, D) */
    x = tp_transpose(all, 1, 2), y = tp_rotary(x, plain);
    CASE("views on %s", tp_device_name(dev));
    CHECK(tp_is_contiguous(tp_transpose(y, 1, 2)));
    CHECK(distance(y, tp_rotary(tp_contiguous(x), plain)) == 0);
    CHECK(tp_backward(tp_sum(tp_mul(y, x), TP_ALL)));
    dx = tp_add(tp_detach(y),
                tp_rotary(tp_detach(x),
                          (tp_rotary_opts){ .positions = tp_arange(0, -5, -1, TP_I64, dev) }));
    CHECK(distance(tp_transpose(dx, 1, 2), tp_grad(all)) < 1e-15);
    CHECK(distance(tp_rotary(tp_transpose(tp_contiguous(tp_transpose(x, 2, 3)), 2, 3), plain), y) ==
          0);
}

ON_EACH_DEVICE(rotary, extremes)
{
    tp_tensor *x, *y;

    TP_SCOPE;
    CASE("rotary on %s", tp_device_name(dev));
    y = tp_rotary(F32(1, 1, 1, 0), plain);
    CHECK(tp_count(y) == 0 && tp_count(tp_rotary(F32(0, 2, 3, 4), plain)) == 0 &&
          tp_count(tp_rotary(F32(2, 3, 0, 4), plain)) == 0);
    x = tp_requires_grad(tp_zeros(TP_SHAPE(2, 0, 3, 4), TP_F64, dev), true);
    CHECK(tp_backward(tp_sum(tp_rotary(x, plain), TP_ALL)) && tp_count(tp_grad(x)) == 0);
    y = tp_rotary(tp_from((float[]){ NAN, 1, 2, 3 }, TP_SHAPE(1, 1, 1, 4), TP_F32, dev), plain);
    CHECK(isnan(check_at(y, 0)) && isnan(check_at(y, 1)) && check_at(y, 2) == 2 &&
          check_at(y, 3) == 3);
}

ON_EACH_DEVICE(rotary, threads)
{
    float want[2 * 3 * 70 * 16], got[2 * 3 * 70 * 16];
    int before = tp_threads();

    for (int threads = 1; threads <= 3; threads++) {
        tp_tensor *y;

        TP_SCOPE;
        CASE("%d threads on %s", threads, tp_device_name(dev));
        tp_set_threads(threads), tp_seed(3);
        y = tp_rotary(tp_randn(TP_SHAPE(2, 3, 70, 16), dev), plain);
        CHECK(tp_read(y, threads == 1 ? want : got, sizeof want));
        CHECK(threads == 1 || !memcmp(want, got, sizeof want));
    }
    tp_set_threads(before);
}

ON_EACH_DEVICE(rotary, refusals)
{
    tp_tensor *x;

    TP_SCOPE;
    x = F32(2, 3, 4, 6);
    ARG(tp_rotary(NULL, plain), "rotary: input 0 is missing");
    SHAPE(tp_rotary(F32(2, 3, 4), plain), "x must be (N, heads, T, D), not f32 (2, 3, 4)");
    ARG(tp_rotary(F32(2, 3, 4, 5), plain),
        "5 numbers of the rows of x f32 (2, 3, 4, 5) can't turn in pairs");
    ARG(tp_rotary(x, (tp_rotary_opts){ .dims = 8 }), "8 numbers of the rows");
    ARG(tp_rotary(x, (tp_rotary_opts){ .dims = -2 }), "-2 numbers of the rows");
    ARG(tp_rotary(x, (tp_rotary_opts){ .base = -1 }), "base -1: a number above 0 is wanted");
    DTYPE(tp_rotary(I64(2, 3, 4, 6), plain), "rotary: not offered for i64 (2, 3, 4, 6)");
    CHECK_REFUSED_ON_CPU(dev, tp_rotary(make(TP_F16, dev, TP_SHAPE(2, 3, 4, 6)), plain), TP_ERR_DTYPE, "not offered for f16");
    DTYPE(tp_rotary(x, (tp_rotary_opts){ .positions = F32(4) }),
          "positions must be i64, i32 or u8, not f32 (4)");
    SHAPE(tp_rotary(x, (tp_rotary_opts){ .positions = I64(3) }),
          "positions i64 (3) for x f32 (2, 3, 4, 6): (T) or (N, T)");
    SHAPE(tp_rotary(x, (tp_rotary_opts){ .positions = I64(3, 4) }), "(T) or (N, T) are wanted");
}
