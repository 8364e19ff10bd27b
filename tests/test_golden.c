/*
 * test_golden.c - every op of the spine, forward and backward, against what PyTorch computed.
 */
#include "tests/golden.h"

/* ---- the ops ---- */

UNARY(relu) UNARY(gelu) UNARY(gelu_tanh) UNARY(tanh) UNARY(sigmoid) UNARY(square) UNARY(exp) UNARY(log) UNARY(sqrt)
UNARY(global_avg_pool2d) BINARY(add) BINARY(sub) BINARY(mul) BINARY(div) BINARY(matmul)

static bool run_affine(kase *k)
{
    return ONE(k, tp_affine(k->in[0], k->fopts[0], k->fopts[1]));
}

static bool run_sum(kase *k)
{
    return ONE(k, tp_sum(k->in[0], fold_of(k)));
}

static bool run_mean(kase *k)
{
    return ONE(k, tp_mean(k->in[0], fold_of(k)));
}

static bool run_linear(kase *k)
{
    return ONE(k, tp_linear_with(k->in[0], k->in[1], k->in[2], (tp_linear_opts){ (tp_activation)k->opts[0] }));
}

static bool run_reshape(kase *k)
{
    tp_shape s = { .rank = k->n_opts };

    memcpy(s.n, k->opts, sizeof *s.n * (size_t)s.rank);
    return ONE(k, tp_reshape(k->in[0], s));
}

static bool run_transpose(kase *k)
{
    return ONE(k, tp_transpose(k->in[0], (int)k->opts[0], (int)k->opts[1]));
}

static bool run_permute(kase *k)
{
    return ONE(k, tp_permute(k->in[0], axes_of(k, 0)));
}

static bool run_slice(kase *k)
{
    int64_t size = tp_dim(k->in[0], (int)k->opts[0]), to = k->opts[2] < size ? k->opts[2] : size;

    return ONE(k, tp_slice_step(k->in[0], (int)k->opts[0], k->opts[1], to, k->opts[3]));
}

static bool run_concat(kase *k)
{
    return ONE(k, tp_concat((tp_list){ k->in, k->n_in }, (int)k->opts[0]));
}

static bool run_split(kase *k)
{
    k->n_out = k->n_opts - 1;
    return tp_split_sizes(k->in[0], (int)k->opts[0], k->opts + 1, k->n_out, k->out);
}

static bool run_conv2d(kase *k)
{
    const int64_t *o = k->opts;
    tp_conv2d_opts opts = { .stride = (int)o[0], .padding = (int)o[2], .dilation = (int)o[4], .groups = (int)o[6],
                            .rectangular = true, .stride_w = (int)o[1], .padding_w = (int)o[3],
                            .dilation_w = (int)o[5] };

    return ONE(k, tp_conv2d(k->in[0], k->in[1], k->in[2], opts));
}

static bool run_max_pool2d(kase *k)
{
    const int64_t *o = k->opts;
    tp_pool2d_opts opts = { .stride = (int)o[2], .padding = (int)o[4], .dilation = (int)o[6], .rectangular = true,
                            .kernel_w = (int)o[1], .stride_w = (int)o[3], .padding_w = (int)o[5],
                            .dilation_w = (int)o[7] };

    return ONE(k, tp_max_pool2d(k->in[0], (int)o[0], opts));
}

static bool run_batch_norm(kase *k)
{
    tp_batch_norm_opts o = tp_batch_norm_defaults();

    TP_NO_GRAD;
    o.training = k->opts[0], o.eps = k->fopts[0], o.momentum = k->fopts[1];
    k->out[1] = tp_clone(tp_requires_grad(k->in[3], false)), k->out[2] = tp_clone(tp_requires_grad(k->in[4], false));
    {
        TP_WITH_GRAD;
        k->out[0] = tp_batch_norm(k->in[0], k->in[1], k->in[2], k->out[1], k->out[2], o);
    }
    return k->n_out = 3, k->out[0] != NULL;
}

static bool run_layer_norm(kase *k)
{
    tp_shape s = { .rank = (int)k->opts[0] };

    for (int i = 0; i < s.rank; i++)
        s.n[i] = tp_dim(k->in[0], i - s.rank);
    return ONE(k, tp_layer_norm(k->in[0], s, k->in[1], k->in[2], k->fopts[0]));
}

static bool run_embedding(kase *k)
{
    tp_embedding_opts o = tp_embedding_defaults();

    o.padding_idx = k->opts[0];
    return ONE(k, tp_embedding_with(k->in[0], k->in[1], o));
}

/* Through the layer, whose parameters are set to the case's. */
static bool run_lstm(kase *k)
{
    tp_lstm_opts o = { .layers = (int)k->opts[0], .bidirectional = k->opts[1], .batch_first = k->opts[2] };
    tp_module *m = tp_nn_lstm(tp_dim(k->in[0], 2), tp_dim(k->in[1], 2), o);
    int at = 3;
    tp_lstm_out y;

    for (int layer = 0; layer < o.layers; layer++)
        for (int d = 0; d <= o.bidirectional; d++)
            for (int i = 0; i < 4; i++) {
                static const char *const kind[] = { "weight_ih", "weight_hh", "bias_ih", "bias_hh" };
                char name[40];

                snprintf(name, sizeof name, "%s_l%d%s", kind[i], layer, d ? "_reverse" : "");
                if (!tp_is_contiguous(k->in[at])) /* a parameter is dense */
                    k->in[at] = tp_requires_grad(tp_detach(tp_contiguous(k->in[at])), true);
                tp_nn_set(m, name, k->in[at++]);
            }
    y = tp_nn_lstm_forward(m, k->in[0], k->in[1], k->in[2]);
    k->out[0] = y.y, k->out[1] = y.h, k->out[2] = y.c, k->n_out = 3;
    tp_nn_free(m);
    return y.y != NULL;
}

static bool run_cross_entropy(kase *k)
{
    tp_cross_entropy_opts o = tp_cross_entropy_defaults();

    o.reduction = (tp_reduce)k->opts[0], o.ignore_index = k->opts[1];
    return ONE(k, tp_cross_entropy_with(k->in[0], k->in[1], o));
}

static bool run_bce_with_logits(kase *k)
{
    return ONE(
        k, tp_bce_with_logits_with(k->in[0], k->in[1],
                                   (tp_bce_opts){ .reduction = (tp_reduce)k->opts[0] }));
}

GOLDEN(elementwise, R(add), R(sub), R(mul), R(div), R(affine), R(relu), R(gelu), R(gelu_tanh), R(tanh), R(sigmoid),
       R(square), R(exp), R(log), R(sqrt))
GOLDEN(reduce, R(sum), R(mean))
GOLDEN(matmul, R(matmul), { "matmul_vector", run_matmul, false }, R(linear))
GOLDEN(view, R(reshape), R(transpose), R(permute), R(slice), R(concat), R(split))
GOLDEN(conv, R(conv2d))
GOLDEN(pool, R(max_pool2d), R(global_avg_pool2d))
GOLDEN(norm, R_WIDE(batch_norm), R_WIDE(layer_norm))
GOLDEN(embedding, R(embedding))
GOLDEN(recurrent, R(lstm))
GOLDEN(loss, R(cross_entropy), R(bce_with_logits))

Test(golden, promotion)
{
    tp_file *f = open_golden("promotion");
    int64_t want[TP_DTYPES * TP_DTYPES];

    TP_SCOPE;
    cr_assert(f, "%s", tp_error());
    cr_assert(tp_read(get(f, "promote.0", "out", 0, tp_device_open("cpu")), want, sizeof want), "%s", tp_error());
    for (int a = 0; a < TP_DTYPES; a++)
        for (int b = 0; b < TP_DTYPES; b++) {
            CASE("%s with %s", tp_dtype_name((tp_dtype)a), tp_dtype_name((tp_dtype)b));
            CHECK((int64_t)tp_promote((tp_dtype)a, (tp_dtype)b) == want[a * TP_DTYPES + b]);
        }
    tp_file_close(f);
}

/* ---- casts: every bit, but for which NaN it is ---- */

static bool is_nan(tp_tensor *t, int64_t i)
{
    return tp_dtype_of(t) <= TP_F16 && isnan(check_at(t, i));
}

static void check_cast(const tp_file *f, int c, tp_device *dev)
{
    kase k = { .f = f, .dev = dev };
    size_t size;
    unsigned char *a, *b;
    tp_tensor *x, *want, *got;

    TP_SCOPE;
    snprintf(k.name, sizeof k.name, "cast.%d", c);
    get_options(&k);
    x = get(f, k.name, "in", 0, dev), want = get(f, k.name, "out", 0, dev);
    CASE("%s, %s to %s, %s", k.name, tp__text(x), tp_dtype_name((tp_dtype)k.opts[0]), tp_device_name(dev));
    got = tp_cast(tp_slice(tp_concat(TP_LIST(x, x), 0), 0, 0, tp_dim(x, 0)), (tp_dtype)k.opts[0]);
    size = tp_dtype_size(tp_dtype_of(want)), a = malloc(size * (size_t)tp_count(x)), b = malloc(size * (size_t)tp_count(x));
    CHECK(tp_read(got, a, size * (size_t)tp_count(x)) && tp_read(want, b, size * (size_t)tp_count(x)));
    for (int64_t i = 0; tp_ok() && i < tp_count(x); i++)
        cr_expect(!memcmp(a + size * (size_t)i, b + size * (size_t)i, size) || (is_nan(got, i) && is_nan(want, i)),
                  "%s: %.9g became %.9g, not %.9g", check_name, check_at(x, i), check_at(got, i), check_at(want, i));
    tp_clear_error();
    free(a), free(b);
}

/* Of bf16 products: at most three times as far from f64's result as PyTorch's, by norm. */
static void compare_bf16(const kase *k, const char *role, const char *ref, int i, tp_tensor *got)
{
    tp_tensor *theirs = get(k->f, k->name, role, i, k->dev), *want = get(k->f, k->name, ref, i, k->dev);
    double *x, *y, *w, ours = 0, bound = 0;

    CHECK(got && tp_dtype_of(got) == TP_BF16 && tp_count(got) == tp_count(want));
    if (!got || tp_count(got) != tp_count(want)) return;
    x = values(got), y = values(theirs), w = values(want);
    for (int64_t j = 0; j < tp_count(want); j++)
        ours += (x[j] - w[j]) * (x[j] - w[j]), bound += (y[j] - w[j]) * (y[j] - w[j]);
    cr_expect(sqrt(ours) <= 3 * sqrt(bound), "%s: %s %d is off by %.3g, PyTorch's by %.3g", check_name, role, i, sqrt(ours),
              sqrt(bound));
    free(x), free(y), free(w);
}

static void check_linear_bf16(const tp_file *f, int c, tp_device *dev)
{
    kase k = { .f = f, .dev = dev, .dtype = TP_BF16 };

    TP_SCOPE;
    snprintf(k.name, sizeof k.name, "linear_bf16.%d", c);
    CASE("%s, %s", k.name, tp_device_name(dev));
    get_options(&k), load_operands(&k, DENSE);
    CHECK(run_linear(&k) && tp_backward(folded(&k)));
    compare_bf16(&k, "out", "ref", 0, k.out[0]);
    for (int i = 0; i < k.n_in; i++)
        compare_bf16(&k, "grad", "gradref", i, tp_grad(k.in[i]));
    CHECK(tp_ok());
    tp_clear_error();
}

static int check_cases(const tp_file *f, const char *op, void (*check)(const tp_file *f, int c, tp_device *dev))
{
    char name[64];
    tp_device *dev;
    int n = 0;

    for (int d = 0; (dev = check_device(d)); d++)
        for (n = 0; snprintf(name, sizeof name, "%s.%d.out.0", op, n), tp_file_find(f, name) >= 0; n++)
            check(f, n, dev);
    cr_expect(n > 0, "no case of %s", op);
    return n;
}

Test(golden, cast)
{
    tp_file *f = open_golden("cast");
    int n;

    cr_assert(f, "%s", tp_error());
    n = check_cases(f, "cast", check_cast) + check_cases(f, "linear_bf16", check_linear_bf16);
    fprintf(stderr, "golden cast: %d cases\n", n);
    tp_file_close(f);
}
