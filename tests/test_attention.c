/*
 * test_attention.c - attention by tiles, against PyTorch, against its formula in other ops, and
 * where rows meet nothing.
 */
#include "tests/golden.h"
#include "tests/gradients.h"

static const tp_attention_opts plain;

/* ---- finite differences ---- */

static tp_tensor *ones_of(tp_tensor *x, tp_shape s, const uint8_t *v)
{
    return tp_cast(tp_from(v, s, TP_U8, tp_device_of(x)), TP_BOOL);
}

static tp_tensor *some_met(tp_tensor *x) /* (3, 4); the last row meets nothing */
{
    return ones_of(x, TP_SHAPE(3, 4), (uint8_t[]){ 1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0 });
}

static tp_tensor *some_left_out(tp_tensor *x) /* (2, 4) */
{
    return ones_of(x, TP_SHAPE(2, 4), (uint8_t[]){ 0, 0, 1, 0, 1, 0, 0, 1 });
}

static tp_tensor *with_dropout(tp_tensor *q, tp_tensor *k, tp_tensor *v)
{
    tp_seed(7); /* the same weights are dropped at each call */
    return tp_attention(q, k, v, (tp_attention_opts){ .dropout = .3 });
}

F(f_plain, tp_attention(a, b, c, plain))
F(f_curved, tp_square(tp_attention(tp_tanh(a), b, tp_exp(c), plain)))
F(f_causal, tp_attention(a, b, c, (tp_attention_opts){ .causal = true, .scale = .7 }))
F(f_met, tp_attention(a, b, c, (tp_attention_opts){ .mask = some_met(a) }))
F(f_left_out, tp_attention(a, b, c, (tp_attention_opts){ .key_padding_mask = some_left_out(a) }))
F(f_added, tp_attention(a, b, c, (tp_attention_opts){ .mask = in.t[3] }))
F(f_dropout, with_dropout(a, b, c))
F(f_itself, tp_attention(a, a, a, plain))

#define QKV R4(2, 2, 3, 2), R4(2, 2, 4, 2), R4(2, 2, 4, 3)
static const row rows[] = {
    { "attention", f_plain, 3, { QKV }, -1, NULL, 0 },
    { "attention of curves", f_curved, 3, { QKV }, -1, NULL, 0 },
    { "attention, shared keys", f_plain, 3, { R4(1, 4, 2, 2), R4(1, 2, 3, 2), R4(1, 2, 3, 1) }, -1, NULL, 0 },
    { "attention causal", f_causal, 3, { QKV }, -1, NULL, 0 },
    { "attention masked", f_met, 3, { QKV }, -1, NULL, 0 },
    { "attention padded", f_left_out, 3, { QKV }, -1, NULL, 0 },
    { "attention added to", f_added, 4, { QKV, R2(3, 4) }, -1, NULL, 0 },
    { "attention dropout", f_dropout, 3, { QKV }, -1, NULL, 0 },
    { "attention of itself", f_itself, 1, { R4(1, 2, 3, 2) }, -1, NULL, 0 },
};

GRADIENTS(attention, rows)

/* ---- PyTorch ---- */

static bool run_attention(kase *k)
{
    tp_attention_opts o = { .causal = k->opts[0] != 0, .scale = k->fopts[0] };
    int next = 3;

    if (k->opts[1]) o.mask = k->opts[1] == 1 ? tp_cast(k->in[next], TP_BOOL) : k->in[next];
    if (k->opts[1] == 2) o.mask = tp_detach(o.mask);
    if (k->opts[1]) next++;
    if (k->opts[2]) o.key_padding_mask = tp_cast(k->in[next], TP_BOOL);
    return ONE(k, tp_attention(k->in[0], k->in[1], k->in[2], o));
}

GOLDEN(attention, R(attention))

/* ---- against the formula in other ops, over several blocks, with the same weights dropped ---- */

static tp_tensor *formula(tp_tensor *q, tp_tensor *k, tp_tensor *v, double p)
{
    tp_tensor *s = tp_scale(tp_matmul(q, tp_transpose(k, 2, 3)), 1 / sqrt((double)tp_dim(q, 3)));

    s = tp_softmax(s, -1);
    return tp_matmul(p > 0 ? tp_dropout(s, p) : s, v);
}

static void gradients_of(tp_tensor *const *x, double p, bool fused, tp_tensor **out)
{
    tp_tensor *in[3], *y;

    for (int i = 0; i < 3; i++)
        in[i] = tp_requires_grad(tp_detach(x[i]), true);
    tp_seed(11);
    y = fused ? tp_attention(in[0], in[1], in[2], (tp_attention_opts){ .dropout = p }) : formula(in[0], in[1], in[2], p);
    tp_backward(tp_sum(tp_square(y), TP_ALL));
    out[0] = tp_detach(y);
    for (int i = 0; i < 3; i++)
        out[i + 1] = tp_grad(in[i]);
}

ON_EACH_DEVICE(attention, equals_its_formula)
{
    static const double ps[] = { 0, .4, 1 };
    static const char *const name[] = { "y", "dq", "dk", "dv" };

    for (int i = 0; i < TP_LEN(ps); i++) {
        tp_tensor *x[3], *got[4], *want[4];

        TP_SCOPE;
        x[0] = check_numbers(TP_SHAPE(2, 3, 70, 5), TP_F64, -1, 1, dev);
        x[1] = check_numbers(TP_SHAPE(2, 3, 261, 5), TP_F64, -1, 1, dev);
        x[2] = check_numbers(TP_SHAPE(2, 3, 261, 6), TP_F64, -1, 1, dev);
        gradients_of(x, ps[i], true, got);
        gradients_of(x, ps[i], false, want);
        for (int k = 0; k < 4; k++) {
            double off = sqrt(tp_item(tp_sum(tp_square(tp_sub(got[k], want[k])), TP_ALL)));

            CASE("%s, dropout %g on %s", name[k], ps[i], tp_device_name(dev));
            CHECK(off <= 8 * 0x1p-52 * sqrt(261) * (1 + sqrt(tp_item(tp_sum(tp_square(want[k]), TP_ALL)))));
        }
    }
}

/* ---- views of one product of q, k and v, as they come from a projection of all heads ---- */

static tp_tensor *of_product(tp_tensor *all, bool copies)
{
    tp_tensor *part[3], *x = tp_permute(all, TP_AXES(2, 0, 3, 1, 4)); /* (N, L, 3, heads, E) -> (3, N, heads, L, E) */

    if (!tp_unbind(x, 0, 3, part)) return NULL;
    for (int i = 0; copies && i < 3; i++)
        part[i] = tp_contiguous(part[i]);
    return tp_attention(part[0], part[1], part[2], (tp_attention_opts){ .causal = true });
}

ON_EACH_DEVICE(attention, views)
{
    tp_tensor *x, *y, *a, *b, *da;
    long before;

    TP_SCOPE;
    x = check_leaf(TP_SHAPE(2, 9, 3, 2, 8), -1, 1, dev);
    before = tp__layout_copies;
    a = of_product(x, false);
    y = tp_transpose(a, 1, 2);
    CHECK(tp_is_contiguous(y) && tp__layout_copies == before);
    CHECK(tp_backward(tp_sum(tp_square(a), TP_ALL)));
    da = tp_clone(tp_detach(tp_grad(x)));
    tp_zero_grad(x);
    b = of_product(x, true);
    CHECK(tp_is_contiguous(b) && tp_item(tp_sum(tp_square(tp_sub(a, b)), TP_ALL)) == 0);
    CHECK(tp_backward(tp_sum(tp_square(b), TP_ALL)));
    CHECK_NEAR(tp_item(tp_sum(tp_square(tp_sub(da, tp_grad(x))), TP_ALL)), 0, 0);
}

/* ---- rows that meet nothing, infinite and missing scores, nothing at all ---- */

ON_EACH_DEVICE(attention, extremes)
{
    tp_tensor *q, *k, *v, *y, *none;
    tp_attention_opts o = { 0 };

    TP_SCOPE;
    q = check_leaf(TP_SHAPE(1, 1, 2, 3), -1, 1, dev), k = check_leaf(TP_SHAPE(1, 1, 2, 3), -1, 1, dev);
    v = check_leaf(TP_SHAPE(1, 1, 2, 3), -1, 1, dev);
    o.mask = tp_full(TP_SHAPE(2, 2), -INFINITY, TP_F64, dev);
    y = tp_attention(q, k, v, o);
    CHECK(tp_backward(tp_sum(y, TP_ALL)));
    CHECK_NEAR(tp_item(tp_sum(tp_square(y), TP_ALL)), 0, 0);
    CHECK_NEAR(tp_item(tp_sum(tp_square(tp_grad(q)), TP_ALL)), 0, 0);
    CHECK_NEAR(tp_item(tp_sum(tp_square(tp_grad(k)), TP_ALL)), 0, 0);
    CHECK_NEAR(tp_item(tp_sum(tp_square(tp_grad(v)), TP_ALL)), 0, 0);
    CASE("huge scores on %s", tp_device_name(dev)); /* all weight on one key */
    y = tp_attention(tp_full(TP_SHAPE(1, 1, 1, 1), 1e4, TP_F32, dev), tp_from((float[]){ -1e4f, 1e4f, 0 }, TP_SHAPE(1, 1, 3, 1), TP_F32, dev),
                     tp_from((float[]){ 1, 2, 3 }, TP_SHAPE(1, 1, 3, 1), TP_F32, dev), plain);
    CHECK_NEAR(tp_item(y), 2, 0);
    CASE("NaN on %s", tp_device_name(dev));
    y = tp_attention(q, tp_full(TP_SHAPE(1, 1, 2, 3), NAN, TP_F64, dev), v, plain);
    CHECK(isnan(check_at(y, 0)) && isnan(check_at(y, 5)));
    CASE("nothing on %s", tp_device_name(dev));
    none = tp_requires_grad(tp_zeros(TP_SHAPE(1, 1, 0, 3), TP_F64, dev), true);
    y = tp_attention(q, none, none, plain);
    CHECK(tp_count(y) == 6 && tp_item(tp_sum(tp_square(y), TP_ALL)) == 0);
    CHECK(tp_backward(tp_sum(y, TP_ALL)) && tp_count(tp_grad(none)) == 0);
    y = tp_attention(none, k, v, plain);
    CHECK(tp_count(y) == 0 && tp_backward(tp_sum(y, TP_ALL)));
    y = tp_attention(q, k, tp_zeros(TP_SHAPE(1, 1, 2, 0), TP_F64, dev), plain);
    CHECK(tp_count(y) == 0 && tp_dim(y, 2) == 2);
    CHECK(tp_count(tp_attention(tp_zeros(TP_SHAPE(0, 2, 3, 4), TP_F32, dev), tp_zeros(TP_SHAPE(0, 2, 3, 4), TP_F32, dev),
                                tp_zeros(TP_SHAPE(0, 2, 3, 4), TP_F32, dev), plain)) == 0);
}

/* ---- the same bits for any number of threads: few heads, cut into chunks; and many ---- */

static void bits_of(tp_device *dev, tp_shape s, int threads, float *to)
{
    tp_tensor *x[3], *y;
    int64_t n = tp__elements(&s);

    TP_SCOPE;
    tp_set_threads(threads), tp_seed(3);
    for (int i = 0; i < 3; i++)
        x[i] = tp_requires_grad(tp_detach(tp_randn(s, dev)), true);
    y = tp_attention(x[0], x[1], x[2], (tp_attention_opts){ .causal = true, .dropout = .1 });
    if (!y) return;
    CHECK(tp_read(y, to, sizeof(float) * (size_t)n) && tp_backward(tp_sum(tp_square(y), TP_ALL)));
    for (int i = 0; i < 3; i++)
        CHECK(tp_read(tp_grad(x[i]), to + (i + 1) * n, sizeof(float) * (size_t)n));
}

ON_EACH_DEVICE(attention, threads)
{
    static const tp_shape shapes[] = { { 4, { 1, 2, 200, 7 } }, { 4, { 3, 6, 40, 16 } } };
    int before = tp_threads();

    for (int i = 0; i < TP_LEN(shapes); i++) {
        size_t bytes = sizeof(float) * 4 * (size_t)tp__elements(&shapes[i]);
        float *want = malloc(bytes), *got = malloc(bytes);

        for (int threads = 1; threads <= 3; threads++) {
            CASE("%s, %d threads on %s", tp__shape_text(shapes[i]), threads, tp_device_name(dev));
            bits_of(dev, shapes[i], threads, threads == 1 ? want : got);
            if (threads > 1) CHECK(!memcmp(want, got, bytes));
        }
        free(want), free(got);
    }
    tp_set_threads(before);
}

/* ---- refusals ---- */

ON_EACH_DEVICE(attention, refusals)
{
    tp_tensor *q, *k, *three, *flat;
    tp_attention_opts o = { 0 };

    TP_SCOPE;
    q = tp_ones(TP_SHAPE(2, 3, 4, 5), TP_F32, dev), k = tp_ones(TP_SHAPE(2, 2, 4, 5), TP_F32, dev);
    three = tp_ones(TP_SHAPE(2, 3, 6, 5), TP_F32, dev), flat = tp_ones(TP_SHAPE(2, 4, 5), TP_F32, dev);
    CASE("attention on %s", tp_device_name(dev));
    CHECK_REFUSED(tp_attention(NULL, q, q, o), TP_ERR_ARG, "attention: input 0 is missing");
    CHECK_REFUSED(tp_attention(q, q, NULL, o), TP_ERR_ARG, "attention: input 2 is missing");
    CHECK_REFUSED(tp_attention(flat, q, q, o), TP_ERR_SHAPE, "q f32 (2, 4, 5), k f32 (2, 3, 4, 5)");
    CHECK_REFUSED(tp_attention(q, q, three, o), TP_ERR_SHAPE, "(N, kv heads, S, Ev) are wanted");
    CHECK_REFUSED(tp_attention(q, k, k, o), TP_ERR_SHAPE, "the heads of k f32 (2, 2, 4, 5) don't divide those of q");
    CHECK_REFUSED(tp_attention(q, q, tp_cast(q, TP_F64), o), TP_ERR_DTYPE, "floats of one dtype are wanted");
    CHECK_REFUSED(tp_attention(tp_cast(q, TP_I64), tp_cast(q, TP_I64), tp_cast(q, TP_I64), o), TP_ERR_DTYPE, "floats of one dtype");
    CHECK_REFUSED_ON_CPU(dev, tp_attention(tp_cast(q, TP_F16), tp_cast(q, TP_F16), tp_cast(q, TP_F16), o), TP_ERR_DTYPE, "f16");
    o.mask = tp_ones(TP_SHAPE(4, 3), TP_F32, dev);
    CHECK_REFUSED(tp_attention(q, q, q, o), TP_ERR_SHAPE, "a mask f32 (4, 3) doesn't broadcast to scores (2, 3, 4, 4)");
    o.mask = tp_ones(TP_SHAPE(4, 4), TP_I64, dev);
    CHECK_REFUSED(tp_attention(q, q, q, o), TP_ERR_DTYPE, "the mask is i64 (4, 4), not bool or a float");
    o.mask = NULL, o.key_padding_mask = tp_ones(TP_SHAPE(2, 4), TP_F32, dev);
    CHECK_REFUSED(tp_attention(q, q, q, o), TP_ERR_DTYPE, "the key padding mask is f32 (2, 4), not bool");
    o.key_padding_mask = tp_ones(TP_SHAPE(4), TP_BOOL, dev);
    CHECK_REFUSED(tp_attention(q, q, q, o), TP_ERR_SHAPE, "the key padding mask is bool (4), not (2, 4)");
    o.key_padding_mask = NULL, o.dropout = 1.5;
    CHECK_REFUSED(tp_attention(q, q, q, o), TP_ERR_ARG, "dropout is 1.5: a probability is wanted");
}
