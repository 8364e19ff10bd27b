/*
 * test_index.c - picking by index, axes and copies, padding, bands, einsum, and what is made of
 * indices.
 */
#include "tests/golden.h"
#include "tests/gradients.h"

/* ---- finite differences ---- */

static tp_tensor *numbers(tp_device *dev, tp_shape s, int64_t from, int64_t times, int64_t below)
{
    int64_t v[64];

    for (int64_t i = 0; i < tp__elements(&s); i++)
        v[i] = (from + i * times) % below;
    return tp_from(v, s, TP_I64, dev);
}

static tp_tensor *index_of(tp_tensor *x, tp_shape s, int axis)
{
    return numbers(tp_device_of(x), s, 1, 2, tp_dim(x, axis));
}

F(f_squeeze, tp_tanh(tp_squeeze(tp_exp(a), TP_AXES(1))))
F(f_unsqueeze, tp_mul(tp_unsqueeze(tp_exp(a), 1), a))
F(f_moveaxis, tp_square(tp_moveaxis(tp_exp(a), 0, 2)))
F(f_stack, tp_square(tp_stack(TP_LIST(tp_tanh(a), b, a), 1)))
F(f_repeat, tp_square(tp_repeat(tp_tanh(a), TP_SHAPE(2, 1, 3))))
F(f_interleave, tp_square(tp_repeat_interleave(tp_tanh(a), 3, 0)))
F(f_roll, tp_mul(tp_roll(tp_tanh(a), -1, 1), a))
F(f_tril, tp_square(tp_tril(tp_exp(a), 1)))
F(f_triu, tp_square(tp_triu(tp_exp(a), -1)))
#define PAD(name, m) F(name, tp_square(tp_pad(tp_exp(a), TP_SHAPE(2, 1, 1, 1), (tp_pad_opts){ m, .5 })))
PAD(f_pad, TP_PAD_CONSTANT)
PAD(f_reflect, TP_PAD_REFLECT)
PAD(f_replicate, TP_PAD_REPLICATE)
PAD(f_circular, TP_PAD_CIRCULAR)
F(f_crop, tp_square(tp_pad(tp_exp(a), TP_SHAPE(-1, 1, 1, -2), (tp_pad_opts){ 0 })))
F(f_gather, tp_square(tp_gather(tp_exp(a), 1, index_of(a, TP_SHAPE(2, 5), 1))))
F(f_gather_first, tp_square(tp_gather(tp_exp(a), 0, index_of(a, TP_SHAPE(4, 3), 0))))
F(f_scatter, tp_square(tp_scatter(tp_exp(a), 1, numbers(tp_device_of(a), TP_SHAPE(3, 2), 0, 1, 3), tp_tanh(b))))
F(f_scatter_add, tp_square(tp_scatter_add(tp_exp(a), 0, index_of(a, TP_SHAPE(4, 3), 0), tp_tanh(b))))
F(f_select_rows, tp_square(tp_index_select(tp_exp(a), 0, index_of(a, TP_SHAPE(5), 0))))
F(f_select_cols, tp_square(tp_index_select(tp_exp(a), 1, index_of(a, TP_SHAPE(5), 1))))
F(f_einsum, tp_square(tp_einsum("bij,kj->bik", TP_LIST(tp_exp(a), b))))
F(f_einsum_three, tp_square(tp_einsum("ij,jk,ki->i", TP_LIST(a, b, c))))
F(f_einsum_trace, tp_square(tp_einsum("ii", TP_LIST(tp_exp(a)))))
F(f_outer, tp_square(tp_outer(a, b)))
F(f_dot, tp_square(tp_dot(a, b)))

static tp_tensor *f_unbind(tp_list in, void *user)
{
    tp_tensor *p[3];

    (void)user; /* the last is not used */
    return tp_unbind(tp_exp(in.t[0]), 0, 3, p) ? tp_mul(p[0], tp_square(p[1])) : NULL;
}

static const row rows[] = {
    { "squeeze", f_squeeze, 1, { R3(2, 1, 3) }, -1, NULL, 0 },
    { "unsqueeze", f_unsqueeze, 1, { R2(2, 2) }, -1, NULL, 0 },
    { "moveaxis", f_moveaxis, 1, { R3(2, 3, 2) }, -1, NULL, 0 },
    { "stack", f_stack, 2, { R2(2, 3), R2(2, 3) }, -1, NULL, 0 },
    { "unbind", f_unbind, 1, { R2(3, 2) }, -1, NULL, 0 },
    { "repeat", f_repeat, 1, { R2(2, 2) }, -1, NULL, 0 },
    { "repeat_interleave", f_interleave, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "roll", f_roll, 1, { R2(2, 3) }, -1, NULL, 0 },
    { "tril", f_tril, 1, { R3(2, 3, 4) }, -1, NULL, 0 },
    { "triu", f_triu, 1, { R2(4, 3) }, -1, NULL, 0 },
    { "pad", f_pad, 1, { R3(2, 2, 3) }, -1, NULL, 0 },
    { "pad channels", f_pad, 1, { R4(1, 2, 2, 3) }, -1, NULL, 0 },
    { "pad reflect", f_reflect, 1, { R3(2, 2, 3) }, -1, NULL, 0 },
    { "pad replicate", f_replicate, 1, { R3(2, 2, 3) }, -1, NULL, 0 },
    { "pad circular", f_circular, 1, { R3(2, 2, 3) }, -1, NULL, 0 },
    { "pad away", f_crop, 1, { R2(3, 3) }, -1, NULL, 0 },
    { "gather", f_gather, 1, { R2(3, 4) }, -1, NULL, 0 },
    { "gather first axis", f_gather_first, 1, { R2(2, 4) }, -1, NULL, 0 },
    { "scatter", f_scatter, 2, { R2(3, 3), R2(4, 2) }, -1, NULL, 0 },
    { "scatter_add", f_scatter_add, 2, { R2(2, 4), R2(5, 4) }, -1, NULL, 0 },
    { "index_select rows", f_select_rows, 1, { R3(3, 2, 2) }, -1, NULL, 0 },
    { "index_select cols", f_select_cols, 1, { R3(2, 3, 2) }, -1, NULL, 0 },
    { "einsum", f_einsum, 2, { R3(2, 2, 3), R2(2, 3) }, -1, NULL, 0 },
    { "einsum of three", f_einsum_three, 3, { R2(2, 3), R2(3, 2), R2(2, 2) }, -1, NULL, 0 },
    { "einsum trace", f_einsum_trace, 1, { R2(3, 3) }, -1, NULL, 0 },
    { "outer", f_outer, 2, { R1(3), R1(2) }, -1, NULL, 0 },
    { "dot", f_dot, 2, { R1(4), R1(4) }, -1, NULL, 0 },
};

GRADIENTS(index, rows)

/* ---- PyTorch's values ---- */

#define AXIS(op, ...) static bool run_##op(kase *k) { return ONE(k, tp_##op(k->in[0], (int)k->opts[0], ##__VA_ARGS__)); }
AXIS(unsqueeze) AXIS(moveaxis, (int)k->opts[1])
AXIS(gather, k->in[1]) AXIS(scatter, k->in[1], k->in[2]) AXIS(scatter_add, k->in[1], k->in[2]) AXIS(index_select, k->in[1])
AXIS(tril) AXIS(triu) BINARY(outer) BINARY(dot)

static bool run_squeeze(kase *k)
{
    return ONE(k, tp_squeeze(k->in[0], TP_AXES((int)k->opts[0])));
}

static bool run_stack(kase *k)
{
    return ONE(k, tp_stack((tp_list){ k->in, k->n_in }, (int)k->opts[0]));
}

static bool run_unbind(kase *k)
{
    k->n_out = (int)tp_dim(k->in[0], (int)k->opts[0]);
    return tp_unbind(k->in[0], (int)k->opts[0], k->n_out, k->out);
}

static tp_shape shape_from(const kase *k, int first)
{
    tp_shape s = { .rank = k->n_opts - first };

    memcpy(s.n, k->opts + first, sizeof *s.n * (size_t)s.rank);
    return s;
}

static bool run_roll(kase *k)
{
    return ONE(k, tp_roll(k->in[0], k->opts[1], (int)k->opts[0]));
}

static bool run_repeat_interleave(kase *k)
{
    return ONE(k, tp_repeat_interleave(k->in[0], k->opts[1], (int)k->opts[0]));
}

static bool run_repeat(kase *k)
{
    return ONE(k, tp_repeat(k->in[0], shape_from(k, 0)));
}

static bool run_pad(kase *k)
{
    return ONE(k, tp_pad(k->in[0], shape_from(k, 1), (tp_pad_opts){ (tp_pad_mode)k->opts[0], k->fopts[0] }));
}

static bool run_einsum(kase *k)
{
    static const char *const equations[] = { /* those of tests/golden/family_shape.py */
        "ij,jk->ik", "bij,bkj->bik", "bhld,bhmd->bhlm", "ij->ji", "ij->", "ii->i", "ii", "i,j->ij", "i,i",
        "ij,ij->ij", "ij,jk,kl->il", "bi,oij,bj->bo", "abc,cd->abd", "ba,ca", "ij,k->k",
    };

    return ONE(k, tp_einsum(equations[k->opts[0]], (tp_list){ k->in, k->n_in }));
}

GOLDEN(arrange, R(stack), R(unbind), R(squeeze), R(unsqueeze), R(moveaxis), R(repeat), R(repeat_interleave), R(roll),
       R(tril), R(triu))
GOLDEN(pad, R(pad))
GOLDEN(index, R(gather), R(scatter), R(scatter_add), R(index_select))
GOLDEN(einsum, R(einsum), R(outer), R(dot))

/* ---- every dtype, by what it must be ---- */

static void check_values(tp_tensor *t, const double *want, int64_t n)
{
    CHECK(tp_count(t) == n);
    for (int64_t i = 0; t && i < n; i++)
        CHECK_NEAR(check_at(t, i), want[i], 0);
}

#define VALUES(t, ...) check_values(t, (double[]){ __VA_ARGS__ }, TP_LEN(((double[]){ __VA_ARGS__ })))

static tp_tensor *counted(tp_dtype d, tp_device *dev) /* 1 0 1 / 0 1 1 as bool, else 1 .. 6, in rows of 3 */
{
    static const uint8_t truth[] = { 1, 0, 1, 0, 1, 1 };
    tp_tensor *x = d == TP_BOOL ? tp_from(truth, TP_SHAPE(6), TP_BOOL, dev) : tp_cast(tp_arange(1, 7, 1, TP_F64, dev), d);

    return tp_reshape(x, TP_SHAPE(2, 3));
}

ON_EACH_DEVICE(index, all_dtypes)
{
    for (int d = 0; d < TP_DTYPES; d++) {
        tp_tensor *x, *index;

        TP_SCOPE;
        CASE("%s on %s", tp_dtype_name((tp_dtype)d), tp_device_name(dev));
        index = tp_from((int32_t[]){ 2, 0, 0, 1 }, TP_SHAPE(2, 2), TP_I32, dev);
        x = tp_gather(counted((tp_dtype)d, dev), 1, index);
        CHECK(tp_dtype_of(x) == (tp_dtype)d);
        if (d == TP_BOOL) VALUES(x, 1, 1, 0, 1);
        else VALUES(x, 3, 1, 4, 5);
        if (d == TP_BOOL) continue; /* the rest is arithmetic on 1 .. 6 */
        x = counted((tp_dtype)d, dev);
        VALUES(tp_scatter(x, 1, index, tp_full(TP_SHAPE(2, 2), 9, (tp_dtype)d, dev)), 9, 2, 9, 9, 9, 6);
        VALUES(tp_scatter_add(x, 0, tp_from((uint8_t[]){ 1, 1, 0 }, TP_SHAPE(1, 3), TP_U8, dev), x), 1, 2, 6, 5, 7, 6);
        VALUES(tp_index_select(x, 0, tp_from((int64_t[]){ 1, 1 }, TP_SHAPE(2), TP_I64, dev)), 4, 5, 6, 4, 5, 6);
        VALUES(tp_pad(x, TP_SHAPE(1, 0), (tp_pad_opts){ .value = 7 }), 7, 1, 2, 3, 7, 4, 5, 6);
        VALUES(tp_triu(x, 1), 0, 2, 3, 0, 0, 6);
        VALUES(tp_roll(x, 1, 1), 3, 1, 2, 6, 4, 5);
        VALUES(tp_full_like(x, 3), 3, 3, 3, 3, 3, 3);
        VALUES(tp_arange(3, 0, -1, (tp_dtype)d, dev), 3, 2, 1);
        VALUES(tp_linspace(0, 8, 5, (tp_dtype)d, dev), 0, 2, 4, 6, 8);
        VALUES(tp_eye(2, 3, (tp_dtype)d, dev), 1, 0, 0, 0, 1, 0);
        CHECK(tp_ok());
    }
}

ON_EACH_DEVICE(index, one_hot_and_ranges)
{
    double first, last;
    tp_tensor *t;

    TP_SCOPE;
    t = tp_one_hot(tp_from((int64_t[]){ 2, 0 }, TP_SHAPE(2), TP_I64, dev), 3);
    CHECK(tp_dtype_of(t) == TP_I64 && tp_rank(t) == 2);
    VALUES(t, 0, 0, 1, 1, 0, 0);
    CHECK(tp_rank(tp_one_hot(tp_zeros(TP_SHAPE(2, 3), TP_U8, dev), 4)) == 3);
    CHECK(tp_count(tp_one_hot(tp_zeros(TP_SHAPE(0), TP_I64, dev), 4)) == 0);
    t = tp_linspace(0.1, 0.7, 7, TP_F64, dev), first = check_at(t, 0), last = check_at(t, 6);
    CHECK(first == 0.1 && last == 0.7); /* both ends exactly */
    CHECK(tp_count(tp_linspace(2, 5, 0, TP_F32, dev)) == 0);
    VALUES(tp_linspace(2, 5, 1, TP_F32, dev), 2);
    CHECK(tp_count(tp_arange(1, 1, 1, TP_F32, dev)) == 0);
    CHECK(tp_count(tp_arange(0, 1.05, 0.1, TP_F32, dev)) == 11);
    VALUES(tp_arange(254, 258, 1, TP_U8, dev), 254, 255, 255, 255); /* what doesn't fit is the nearest that does */
    CHECK(tp_count(tp_eye(0, 3, TP_F32, dev)) == 0 && tp_count(tp_eye(3, 0, TP_F32, dev)) == 0);
}

/* ---- nothing, one, and special numbers ---- */

ON_EACH_DEVICE(index, extremes)
{
    tp_tensor *none, *one, *x;

    TP_SCOPE;
    none = tp_zeros(TP_SHAPE(2, 0), TP_I64, dev), x = tp_randn(TP_SHAPE(2, 3), dev), one = tp_ones(TP_SHAPE(1), TP_F32, dev);
    CHECK(tp_count(tp_gather(x, 1, none)) == 0);
    CHECK(tp_count(tp_scatter(x, 1, none, tp_zeros(TP_SHAPE(2, 0), TP_F32, dev))) == 6);
    CHECK(tp_count(tp_index_select(x, 0, tp_zeros(TP_SHAPE(0), TP_I64, dev))) == 0);
    CHECK_NEAR(tp_item(tp_gather(one, 0, tp_zeros(TP_SHAPE(1), TP_I64, dev))), 1, 0);
    CHECK(tp_count(tp_tril(tp_zeros(TP_SHAPE(2, 0, 3), TP_F32, dev), 0)) == 0);
    CHECK(tp_count(tp_pad(tp_zeros(TP_SHAPE(0), TP_F32, dev), TP_SHAPE(1, 1), (tp_pad_opts){ 0 })) == 2);
    CHECK(tp_count(tp_pad(x, TP_SHAPE(-2, -1), (tp_pad_opts){ 0 })) == 0);
    CHECK(tp_count(tp_repeat(x, TP_SHAPE(0, 1))) == 0 && tp_count(tp_roll(none, 3, 1)) == 0);
    CHECK(tp_rank(tp_squeeze(tp_ones(TP_SHAPE(1, 1), TP_F32, dev), TP_ALL)) == 0);
    x = tp_full(TP_SHAPE(2, 2), NAN, TP_F32, dev);
    VALUES(tp_tril(x, -1), 0, 0, NAN, 0); /* chosen, not multiplied */
    CHECK(tp_is_channels_last(tp_pad(tp_channels_last(tp_randn(TP_SHAPE(2, 3, 4, 4), dev)), TP_SHAPE(1, 1), (tp_pad_opts){ 0 })));
    CHECK_NEAR(tp_item(tp_dot(tp_zeros(TP_SHAPE(0), TP_F32, dev), tp_zeros(TP_SHAPE(0), TP_F32, dev))), 0, 0);
}

/* ---- the same bits for any number of threads, collisions in their order ---- */

ON_EACH_DEVICE(index, threads_change_nothing)
{
    enum { N = 400, C = 96 };
    float *want = malloc(sizeof *want * N * C), *got = malloc(sizeof *got * N * C);
    int before = tp_threads();

    CASE("scatter_add on %s", tp_device_name(dev));
    for (int threads = 1; threads <= 3; threads++) {
        tp_tensor *x, *index, *y;

        TP_SCOPE;
        tp_set_threads(threads), tp_seed(4);
        x = tp_randn(TP_SHAPE(N, C), dev), index = tp_cast(tp_scale(tp_rand(TP_SHAPE(N, C), dev), 7), TP_I64);
        y = tp_scatter_add(tp_zeros(TP_SHAPE(N, C), TP_F32, dev), 0, index, x);
        CHECK(tp_read(y, threads == 1 ? want : got, sizeof *got * N * C));
        if (threads > 1) CHECK(!memcmp(want, got, sizeof *got * N * C));
    }
    tp_set_threads(before);
    free(want), free(got);
}

/* ---- refusals ---- */

ON_EACH_DEVICE(index, refusals)
{
    tp_tensor *x, *i, *cube, *out[4];
    double far = 1e300;

    TP_SCOPE;
    x = tp_ones(TP_SHAPE(2, 3), TP_F32, dev), i = tp_zeros(TP_SHAPE(2, 3), TP_I64, dev);
    cube = tp_ones(TP_SHAPE(1, 1, 1, 1, 1, 1, 1, 1), TP_F32, dev);
    CASE("refusals on %s", tp_device_name(dev));
    CHECK_REFUSED(tp_gather(NULL, 0, i), TP_ERR_ARG, "gather");
    CHECK_REFUSED(tp_gather(x, 2, i), TP_ERR_ARG, "no axis 2");
    CHECK_REFUSED(tp_gather(x, 0, x), TP_ERR_DTYPE, "index must be i64, i32 or u8, not f32 (2, 3)");
    CHECK_REFUSED(tp_gather(x, 0, tp_zeros(TP_SHAPE(2), TP_I64, dev)), TP_ERR_SHAPE, "doesn't lie within x f32 (2, 3)");
    CHECK_REFUSED(tp_gather(x, 1, tp_zeros(TP_SHAPE(3, 1), TP_I64, dev)), TP_ERR_SHAPE, "along the other axes");
    CHECK_REFUSED(tp_scatter(x, 1, i, tp_cast(x, TP_F64)), TP_ERR_DTYPE, "x is f32 (2, 3), the source f64 (2, 3)");
    CHECK_REFUSED(tp_scatter_add(x, 1, i, tp_ones(TP_SHAPE(2, 2), TP_F32, dev)), TP_ERR_SHAPE, "within the source");
    CHECK_REFUSED(tp_index_select(x, 0, i), TP_ERR_SHAPE, "index must be (n), not i64 (2, 3)");
    CHECK_REFUSED(tp_one_hot(i, 0), TP_ERR_ARG, "0 classes");
    CHECK_REFUSED(tp_one_hot(tp_cast(cube, TP_I64), 2), TP_ERR_SHAPE, "too many axes");
    CHECK_REFUSED(tp_unsqueeze(x, 3), TP_ERR_ARG, "can't have a new axis 3");
    CHECK_REFUSED(tp_unsqueeze(cube, 0), TP_ERR_ARG, "can't have a new axis 0");
    CHECK_REFUSED(tp_squeeze(x, TP_AXES(5)), TP_ERR_ARG, "no axis 5");
    CHECK_REFUSED(tp_stack(TP_LIST(x, tp_ones(TP_SHAPE(3), TP_F32, dev)), 0), TP_ERR_SHAPE, "f32 (2, 3) and f32 (3) must have one shape");
    CHECK_REFUSED(tp_stack((tp_list){ NULL, 0 }, 0), TP_ERR_ARG, "0 tensors");
    CHECK_REFUSED(tp_unbind(x, 1, 2, out), TP_ERR_ARG, "room for 2 along axis 1");
    CHECK_REFUSED(tp_moveaxis(x, 0, 2), TP_ERR_ARG, "no axis 2");
    CHECK_REFUSED(tp_repeat(x, TP_SHAPE(2)), TP_ERR_ARG, "1 numbers for f32 (2, 3)");
    CHECK_REFUSED(tp_repeat(x, TP_SHAPE(2, -1)), TP_ERR_ARG, "-1 times along axis 1");
    CHECK_REFUSED(tp_repeat(x, TP_SHAPE(INT64_MAX, INT64_MAX)), TP_ERR_ARG, "times along axis");
    CHECK_REFUSED(tp_repeat_interleave(x, -1, 0), TP_ERR_ARG, "-1 times");
    CHECK_REFUSED(tp_arange(5, 0, -1.5, TP_I64, dev), TP_ERR_ARG, "whole numbers are wanted for i64");
    CHECK_REFUSED(tp_roll(x, 1, 4), TP_ERR_ARG, "no axis 4");
    CHECK_REFUSED(tp_pad(x, TP_SHAPE(1), (tp_pad_opts){ 0 }), TP_ERR_ARG, "1 numbers for f32 (2, 3)");
    CHECK_REFUSED(tp_pad(x, TP_SHAPE(-2, -2), (tp_pad_opts){ 0 }), TP_ERR_SHAPE, "-2 and -2 around axis 1");
    CHECK_REFUSED(tp_pad(x, TP_SHAPE(3, 0), (tp_pad_opts){ TP_PAD_REFLECT, 0 }), TP_ERR_SHAPE, "at most 2 in this mode");
    CHECK_REFUSED(tp_pad(x, TP_SHAPE(INT64_MAX, 1), (tp_pad_opts){ 0 }), TP_ERR_SHAPE, "around axis 1");
    CHECK_REFUSED(tp_pad(x, TP_SHAPE(1, 1), (tp_pad_opts){ (tp_pad_mode)9, 0 }), TP_ERR_ARG, "no mode 9");
    CHECK_REFUSED(tp_tril(tp_ones(TP_SHAPE(3), TP_F32, dev), 0), TP_ERR_SHAPE, "tril: x must be (..., rows, cols)");
    CHECK_REFUSED(tp_arange(0, 5, 0, TP_F32, dev), TP_ERR_ARG, "from 0 to 5 by 0");
    CHECK_REFUSED(tp_arange(5, 0, 1, TP_F32, dev), TP_ERR_ARG, "from 5 to 0 by 1");
    CHECK_REFUSED(tp_arange(0, far, 1, TP_F32, dev), TP_ERR_ARG, "by 1");
    CHECK_REFUSED(tp_arange(0, NAN, 1, TP_F32, dev), TP_ERR_ARG, "nan");
    CHECK_REFUSED(tp_arange(0, 1, 1, TP_F32, NULL), TP_ERR_DEVICE, "missing device");
    CHECK_REFUSED(tp_linspace(0, 1, -1, TP_F32, dev), TP_ERR_SHAPE, "-1");
    CHECK_REFUSED(tp_linspace(0, INFINITY, 3, TP_F32, dev), TP_ERR_ARG, "inf");
    CHECK_REFUSED(tp_eye(-1, 2, TP_F32, dev), TP_ERR_SHAPE, "-1");
    CHECK_REFUSED(tp_einsum("ij,jk->ik", TP_LIST(x)), TP_ERR_ARG, "has 2 operands, not 1");
    CHECK_REFUSED(tp_einsum("ijk->i", TP_LIST(x)), TP_ERR_SHAPE, "operand 0 is f32 (2, 3)");
    CHECK_REFUSED(tp_einsum("ij,ij->i", TP_LIST(x, tp_transpose(x, 0, 1))), TP_ERR_SHAPE, "i is 2, and 3");
    CHECK_REFUSED(tp_einsum("ij->k", TP_LIST(x)), TP_ERR_ARG, "result's k");
    CHECK_REFUSED(tp_einsum("ij->ii", TP_LIST(x)), TP_ERR_ARG, "result's i");
    CHECK_REFUSED(tp_einsum("i1->i", TP_LIST(x)), TP_ERR_ARG, "'1' is no letter");
    CHECK_REFUSED(tp_einsum(NULL, TP_LIST(x)), TP_ERR_ARG, "an equation");
    CHECK_REFUSED(tp_outer(x, x), TP_ERR_SHAPE, "(n) and (m) are wanted");
    CHECK_REFUSED(tp_dot(x, x), TP_ERR_SHAPE, "two (n) are wanted");
}

#define REFUSED_BOTH_WAYS(y)                                                             \
    CHECK_REFUSED_BY_DATA(dev, tp_backward(tp_sum(y, TP_ALL)), TP_ERR_ARG, text, text)

/* What the CPU finds before anything is written; no other device leaves its operands. */
ON_EACH_DEVICE(index, places_outside)
{
    static const int64_t wrong[] = { -1, 3, INT64_MAX, INT64_MIN };
    static const char text[] = "is outside 0..2";
    tp_tensor *x;

    TP_SCOPE;
    x = tp_requires_grad(tp_ones(TP_SHAPE(3, 2), TP_F32, dev), true);
    for (int i = 0; i < TP_LEN(wrong); i++) {
        tp_tensor *at = tp_from((int64_t[]){ 0, wrong[i] }, TP_SHAPE(1, 2), TP_I64, dev);

        CASE("index %lld on %s", (long long)wrong[i], tp_device_name(dev));
        REFUSED_BOTH_WAYS(tp_gather(x, 0, at));
        REFUSED_BOTH_WAYS(tp_scatter_add(x, 0, at, tp_ones(TP_SHAPE(1, 2), TP_F32, dev)));
        REFUSED_BOTH_WAYS(tp_index_select(x, 0, tp_reshape(at, TP_SHAPE(2))));
        REFUSED_BOTH_WAYS(tp_embedding(at, x));
        CHECK_REFUSED_BY_DATA(dev, tp_index_select(tp_cast(x, TP_I32), 0, tp_reshape(at, TP_SHAPE(2))), TP_ERR_ARG, text, text);
    }
    x = tp_full(TP_SHAPE(2), 4, TP_I64, dev);
    CHECK_REFUSED_BY_DATA(dev, tp_one_hot(x, 4), TP_ERR_ARG, "index 4 is outside 0..3", "scatter: index 4 is outside 0..3");
}
