/*
 * test_autocast.c - dtypes, values and gradients under autocast against torch.autocast("cpu");
 * casts of parameters are made once, and again when they must be; a network trains.
 */
#include "tests/calls.h"
#include "tests/golden.h"

/* ---- against PyTorch ---- */

static tp_tensor *labels(void)
{
    return tp_from((int64_t[]){ 0, 2, 1 }, TP_SHAPE(3), TP_I64, tp_device_open("cpu"));
}

static tp_tensor *signs(void)
{
    return tp_from((int64_t[]){ 1, -1, 1 }, TP_SHAPE(3), TP_I64, tp_device_open("cpu"));
}

static tp_batch_norm_opts by_batch(void)
{
    return tp_batch_norm_defaults();
}

#define A x[0]
#define B x[1]
#define C x[2]
#define OP(name, y) \
    static tp_tensor *op_##name(tp_tensor **x) { return y; }
static const tp_loss_opts mean_loss = { TP_MEAN };
OP(matmul, tp_matmul(A, B))
OP(linear, tp_linear(A, B, C))
OP(conv2d, tp_conv2d(A, B, C, plain_conv))
OP(conv1d, tp_conv1d(A, B, C, plain_conv))
OP(conv_transpose2d, tp_conv_transpose2d(A, B, C, plain_conv))
OP(attention, tp_attention(A, B, C, (tp_attention_opts){ 0 }))
OP(einsum, tp_einsum("ij,jk->ik", TP_LIST(A, B)))
OP(lstm, tp_lstm(A, NULL, NULL, B, C, x[3], x[4]).y)
OP(outer, tp_outer(A, B))
OP(softmax, tp_softmax(A, 1))
OP(log_softmax, tp_log_softmax(A, 1))
OP(exp, tp_exp(A))
OP(pow, tp_pow_scalar(tp_abs(A), 2.5))
OP(sum, tp_sum(A, TP_ALL))
OP(mean, tp_mean(A, TP_ALL))
OP(prod, tp_prod(A, TP_AXES(1)))
OP(norm, tp_norm(A, 2, TP_ALL))
OP(var, tp_var(A, TP_ALL, 1))
OP(cumsum, tp_cumsum(A, 1))
OP(logsumexp, tp_logsumexp(A, TP_AXES(1)))
OP(gelu, tp_gelu(A))
OP(layer_norm, tp_layer_norm(A, TP_SHAPE(4), B, C, 1e-5))
OP(group_norm, tp_group_norm(A, 2, B, C, 1e-5))
OP(batch_norm, tp_batch_norm(A, B, C, NULL, NULL, by_batch()))
OP(max_pool2d, tp_max_pool2d(A, 2, plain_pool))
OP(avg_pool2d, tp_avg_pool2d(A, 2, plain_pool))
OP(add, tp_add(A, B))
OP(concat, tp_concat(TP_LIST(A, B), 0))
OP(stack, tp_stack(TP_LIST(A, B), 0))
OP(cosine_similarity, tp_cosine_similarity(A, B, 1, 1e-8))
OP(mse_loss, tp_mse(A, B))
OP(l1_loss, tp_l1_loss(A, B, mean_loss))
OP(smooth_l1_loss, tp_smooth_l1_loss(A, B, 1, mean_loss))
OP(huber_loss, tp_huber_loss(A, B, 1, mean_loss))
OP(cross_entropy, tp_cross_entropy(A, labels()))
OP(nll_loss, tp_nll_loss(A, labels(), tp_cross_entropy_defaults()))
OP(bce_with_logits, tp_bce_with_logits(A, B))
OP(kl_div, tp_kl_div(A, tp_exp(B), (tp_kl_div_opts){ .reduction = TP_SUM }))
OP(cosine_embedding_loss, tp_cosine_embedding_loss(A, B, signs(), (tp_cosine_embedding_opts){ 0 }))
OP(hinge_embedding_loss, tp_hinge_embedding_loss(A, signs(), 1, mean_loss))
OP(margin_ranking_loss, tp_margin_ranking_loss(A, B, signs(), (tp_margin_ranking_opts){ 0 }))
OP(triplet_margin_loss, tp_triplet_margin_loss(A, B, C, tp_triplet_defaults()))
#undef A
#undef B
#undef C

static const struct under {
    const char *name;
    tp_tensor *(*f)(tp_tensor **x);
    bool wide; /* all operands but the first stay f32: a norm's weights */
} unders[] = {
#define ROW(name) { #name, op_##name, false }
    ROW(matmul),
    { "matvec", op_matmul, false },
    { "bmm", op_matmul, false },
    ROW(linear),
    ROW(conv2d),
    ROW(conv1d),
    ROW(conv_transpose2d),
    ROW(attention),
    ROW(einsum),
    ROW(lstm),
    ROW(outer),
    ROW(softmax),
    ROW(log_softmax),
    ROW(exp),
    ROW(pow),
    ROW(sum),
    ROW(mean),
    ROW(prod),
    ROW(norm),
    ROW(var),
    ROW(cumsum),
    ROW(logsumexp),
    ROW(gelu),
    { "layer_norm", op_layer_norm, true },
    { "group_norm", op_group_norm, true },
    { "batch_norm", op_batch_norm, true },
    ROW(max_pool2d),
    ROW(avg_pool2d),
    ROW(add),
    ROW(concat),
    ROW(stack),
    ROW(cosine_similarity),
    ROW(mse_loss),
    ROW(l1_loss),
    ROW(smooth_l1_loss),
    ROW(huber_loss),
    ROW(cross_entropy),
    ROW(nll_loss),
    ROW(bce_with_logits),
    ROW(kl_div),
    ROW(cosine_embedding_loss),
    ROW(hinge_embedding_loss),
    ROW(margin_ranking_loss),
    ROW(triplet_margin_loss),
};

static tp_tensor *part(const tp_file *f, const char *name, const char *role, int i)
{
    char full[64];

    snprintf(full, sizeof full, "autocast.%s", name);
    return get(f, full, role, i, tp_device_open("cpu"));
}

/* how: 0 all f32, 1 all bf16, 2 the first alone bf16 */
static void check_dtype(const tp_file *f, const struct under *u, int how)
{
    TP_SCOPE;
    TP_AUTOCAST(TP_BF16);
    double want = check_at(part(f, u->name, "dtypes", -1), how);
    tp_tensor *x[5] = { NULL }, *y;

    for (int i = 0; i < 5 && (x[i] = part(f, u->name, "in", i)); i++)
        if ((how == 1 && !(i && u->wide)) || (how == 2 && i == 0)) x[i] = tp_cast(x[i], TP_BF16);
    y = u->f(x);
    CASE("%s, operands %d", u->name, how);
    if (want < 0) tp_clear_error(); /* what PyTorch refuses may be more here */
    else
        cr_expect(y && tp_dtype_of(y) == (tp_dtype)want, "%s: %s, not %s  [%s]", check_name,
                  tp__text(y), tp_dtype_name((tp_dtype)want), tp_error());
    tp_clear_error();
}

/* The sum of y's elements times 1/4, 2/4 ... 5/4, 1/4 ... */
static tp_tensor *ramped(tp_tensor *y)
{
    tp_tensor *place = tp_arange(0, (double)tp_count(y), 1, TP_F32, tp_device_open("cpu"));
    tp_tensor *ramp = tp_affine(
        tp_sub(place, tp_scale(tp_floor(tp_scale(tp_shift(place, 0.5), 0.2)), 5)), 0.25, 0.25);

    return tp_sum(tp_mul(tp_reshape(tp_cast(y, TP_F32), TP_SHAPE(tp_count(y))), ramp), TP_ALL);
}

static void check_values(const tp_file *f, const struct under *u)
{
    kase k = { .f = f, .dev = tp_device_open("cpu") };
    tp_tensor *x[5] = { NULL }, *y;
    bool down;
    TP_SCOPE;

    CASE("%s", u->name);
    for (; k.n_in < 5 && (x[k.n_in] = part(f, u->name, "in", k.n_in)); k.n_in++)
        k.in[k.n_in] = tp_requires_grad(x[k.n_in], true);
    {
        TP_AUTOCAST(TP_BF16);
        y = u->f(x);
        CHECK(y && tp_backward(ramped(y)));
    }
    down = y && tp_dtype_of(y) == TP_BF16, k.dtype = down ? TP_BF16 : TP_F32;
    compare(&k, "output", 0, tp_cast(tp_detach(y), TP_F64), part(f, u->name, "out", -1),
            longest(&k));
    for (int i = 0; i < k.n_in; i++) {
        CHECK(tp_grad(x[i]) && tp_dtype_of(tp_grad(x[i])) == TP_F32);
        compare(&k, "gradient", i, tp_cast(tp_grad(x[i]), TP_F64),
                tp_cast(part(f, u->name, "grad", i), TP_F64), longest(&k));
    }
}

Test(autocast, as_pytorch)
{
    tp_file *f = open_golden("autocast");

    cr_assert(f, "%s", tp_error());
    for (int i = 0; i < TP_LEN(unders); i++) {
        for (int how = 0; how < 3; how++)
            check_dtype(f, &unders[i], how);
        check_values(f, &unders[i]);
    }
    tp_file_close(f);
}

Test(autocast, f64_stays_and_regions_nest)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_tensor *a = tp_ones(TP_SHAPE(3, 3), TP_F32, cpu), *d = tp_ones(TP_SHAPE(3, 3), TP_F64, cpu);

    CASE("dtypes");
    {
        TP_AUTOCAST(TP_BF16);
        CHECK(tp_dtype_of(tp_matmul(d, d)) == TP_F64 && tp_dtype_of(tp_mse(d, d)) == TP_F64);
        CHECK(tp_dtype_of(tp_matmul(a, a)) == TP_BF16);
        {
            TP_AUTOCAST(TP_F32); /* off inside */
            CHECK(tp_dtype_of(tp_matmul(a, a)) == TP_F32 &&
                  tp_dtype_of(tp_mse(tp_cast(a, TP_BF16), tp_cast(a, TP_BF16))) == TP_BF16);
            {
                TP_AUTOCAST(TP_BF16);
                CHECK(tp_dtype_of(tp_matmul(a, a)) == TP_BF16);
            }
            CHECK(tp_dtype_of(tp_matmul(a, a)) == TP_F32);
        }
        CHECK(tp_dtype_of(tp_matmul(a, a)) == TP_BF16);
        CHECK_REFUSED((tp_autocast_begin(TP_I64), tp_ok()), TP_ERR_DTYPE,
                      "autocast: to i64 isn't offered: bf16 or f16");
        CHECK(tp_dtype_of(tp_matmul(a, a)) == TP_BF16);
    }
    CHECK(tp_dtype_of(tp_matmul(a, a)) == TP_F32);
}

/* ---- casts of leaves ---- */

/* How often an op was recorded forward in what p watched; p is freed. */
static int64_t calls(tp_profile *p, const char *name)
{
    const tp_profile_row *r;
    int64_t n = 0;

    CHECK(tp_profile_end(p));
    for (int i = tp_profile_rows(p, &r); i-- > 0;)
        if (!strcmp(r[i].name, name) && r[i].phase != TP_PHASE_BACKWARD) n += r[i].calls;
    tp_profile_free(p);
    return n;
}

static tp_tensor *weight(double v)
{
    return tp_requires_grad(tp_full(TP_SHAPE(4, 4), v, TP_F32, tp_device_open("cpu")), true);
}

/* The first element of x w, and of w's gradient afterwards. */
static double product(tp_tensor *x, tp_tensor *w)
{
    TP_SCOPE;
    return check_at(tp_matmul(x, w), 0);
}

Test(autocast, a_leaf_is_cast_once)
{
    tp_device *cpu = tp_device_open("cpu");
    TP_SCOPE;
    tp_tensor *w = weight(1), *v = weight(2), *frozen = tp_ones(TP_SHAPE(4, 4), TP_F32, cpu);
    tp_tensor *x = tp_ones(TP_SHAPE(2, 4), TP_BF16, cpu), *y, *z;
    tp_profile *p;
    long live;

    CASE("once for each leaf, every time for what isn't one");
    p = tp_profile_begin((tp_profile_opts){ 0 });
    {
        TP_AUTOCAST(TP_BF16);
        y = tp_matmul(tp_matmul(x, w), w), z = tp_matmul(x, v);
        CHECK(tp_matmul(x, frozen) && tp_matmul(x, frozen));
        CHECK(tp_backward(tp_sum(tp_add(y, z), TP_ALL)));
    }
    CHECK(calls(p, "cast") == 4);
    CHECK(check_at(tp_grad(w), 0) == 16 && check_at(tp_grad(v), 0) == 2); /* of both uses */
    CASE("freed at the end of the region, and made anew in the next");
    live = tp__live();
    for (int i = 0; i < 2; i++) {
        p = tp_profile_begin((tp_profile_opts){ 0 });
        {
            TP_AUTOCAST(TP_BF16);
            CHECK(product(x, w) == 4 && product(x, w) == 4);
        }
        CHECK(calls(p, "cast") >= 1);
    }
    CHECK(tp__live() == live);
    CASE("a backward inside, which has autocast off, forgets nothing");
    p = tp_profile_begin((tp_profile_opts){ 0 });
    {
        TP_AUTOCAST(TP_BF16);
        CHECK(tp_backward(tp_sum(tp_matmul(x, w), TP_ALL)) &&
              tp_backward(tp_sum(tp_matmul(x, w), TP_ALL)));
        y = tp_matmul(x, w);
    }
    CHECK(calls(p, "cast") == 1);
    CASE("a graph that outlives its region");
    CHECK(tp_zero_grad(w) && tp_backward(tp_sum(y, TP_ALL)) && check_at(tp_grad(w), 0) == 2);
}

Test(autocast, a_changed_leaf_is_cast_anew)
{
    tp_device *cpu = tp_device_open("cpu");
    TP_SCOPE;
    tp_tensor *w = weight(1), *x = tp_ones(TP_SHAPE(2, 4), TP_BF16, cpu);
    tp_module *m = tp_nn_init(tp_nn_linear(4, 1), cpu);
    tp_optim *o = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(0.5));
    TP_AUTOCAST(TP_BF16);

    CASE("in place");
    CHECK(product(x, w) == 4);
    {
        TP_NO_GRAD;
        CHECK(tp_fill_(w, 3));
    }
    CHECK(product(x, w) == 12 && product(x, w) == 12);
    CASE("by a step");
    for (int i = 0; i < 3; i++) {
        TP_SCOPE;
        tp_tensor *before = tp_nn_forward(m, x);

        CHECK(tp_optim_zero_grad(o) && tp_backward(tp_sum(before, TP_ALL)) && tp_optim_step(o));
        CHECK(check_at(tp_nn_forward(m, x), 0) < check_at(before, 0));
    }
    CASE("seen without gradients first");
    tp_tensor *v = weight(2);
    {
        TP_NO_GRAD;
        CHECK(product(x, v) == 8 && product(x, v) == 8);
    }
    CHECK(tp_backward(tp_sum(tp_matmul(x, v), TP_ALL)) && tp_grad(v) &&
          check_at(tp_grad(v), 0) == 2);
    CASE("and after");
    {
        TP_NO_GRAD;
        tp_tensor *y = tp_matmul(x, v);

        CHECK(check_at(y, 0) == 8 && !tp_needs_grad(y));
    }
    CASE("no leaf any more, and one again");
    CHECK(tp_requires_grad(v, false) && !tp_needs_grad(tp_matmul(x, v)));
    CHECK(tp_requires_grad(v, true) && tp_backward(tp_sum(tp_matmul(x, v), TP_ALL)) && tp_grad(v));
    CHECK(check_at(tp_grad(v), 0) == 2);
    tp_optim_free(o), tp_nn_free(m);
}

static int twice_w(tp_list in, void *user, tp_tensor **out, int room)
{
    (void)room;
    out[0] = tp_tanh(tp_matmul(tp_matmul(in.t[0], user), user));
    return out[0] ? 1 : -1;
}

/* The same leaf inside a checkpoint and outside: as without it, bit by bit. */
Test(autocast, in_a_checkpoint)
{
    double g[2][16];

    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        TP_SCOPE;
        tp_tensor *w = weight(0.1),
                  *x = check_numbers(TP_SHAPE(3, 4), TP_BF16, -1, 1, tp_device_open("cpu")), *y, *z;
        static double first[12];

        if (!checkpoint) CHECK(tp_read(tp_cast(x, TP_F64), first, sizeof first));
        x = tp_cast(tp_from(first, TP_SHAPE(3, 4), TP_F64, tp_device_open("cpu")), TP_BF16);
        CASE("checkpoint %d", checkpoint);
        {
            TP_AUTOCAST(TP_BF16);
            z = tp_matmul(x, w);
            if (checkpoint) CHECK(tp_checkpoint(twice_w, TP_LIST(z), w, &y, 1) == 1);
            else CHECK(twice_w(TP_LIST(z), w, &y, 1) == 1);
            CHECK(tp_backward(tp_sum(tp_matmul(y, w), TP_ALL)));
        }
        CHECK(tp_read(tp_cast(tp_grad(w), TP_F64), g[checkpoint], sizeof *g));
    }
    CHECK(!memcmp(g[0], g[1], sizeof *g));
}

Test(autocast, a_thread_that_ends_inside_and_memory)
{
    long live;
    tp_mode m;

    CASE("a thread that ends");
    tp_thread_end(), live = tp__live();
    m = tp_autocast_begin(TP_BF16);
    {
        TP_SCOPE;
        tp_tensor *w = weight(1);

        CHECK(product(w, w) == 4);
    }
    tp_thread_end();
    CHECK(tp__live() == live);
    tp_mode_end(m);
    for (long n = 0; n < 60; n++) {
        CASE("allocation %ld", n);
        {
            TP_SCOPE;
            tp_tensor *w = weight(1), *y;
            TP_AUTOCAST(TP_BF16);

            tp__fail_after = n, y = tp_matmul(w, w), tp__fail_after = -1;
            CHECK(y ? tp_ok() : tp_error_code() == TP_ERR_MEMORY);
            tp_clear_error();
            CHECK(product(w, w) == 4);
        }
        tp_thread_end();
        CHECK(tp__live() == live);
    }
}

/* ---- a network ---- */

static tp_tensor *stripes(int n, tp_tensor **y) /* (n, 1, 8, 8): across, or up and down */
{
    float v[32 * 64];
    int64_t label[32];

    for (int i = 0; i < n; i++) {
        label[i] = i % 2;
        for (int k = 0; k < 64; k++)
            v[64 * i + k] = ((i % 2 ? k / 8 : k % 8) + i / 2) % 4 < 2 ? 1 : -1;
    }
    *y = tp_from(label, TP_SHAPE(n), TP_I64, tp_device_open("cpu"));
    return tp_from(v, TP_SHAPE(n, 1, 8, 8), TP_F32, tp_device_open("cpu"));
}

Test(autocast, a_small_cnn_trains)
{
    tp_module *l[] = { tp_nn_conv2d(1, 8, 3, (tp_conv2d_opts){ .padding = 1 }),
                       tp_nn_batch_norm(8),
                       tp_nn_relu(),
                       tp_nn_max_pool2d(2),
                       tp_nn_flatten(),
                       tp_nn_linear(128, 2) },
              *m;
    TP_SCOPE;
    tp_tensor *y, *x = stripes(32, &y);
    double first = 0, last = 0;
    tp_optim *o;

    CASE("a CNN");
    tp_seed(3), m = tp_nn_init(tp_nn_sequential(l, TP_LEN(l)), tp_device_open("cpu"));
    o = tp_optim_adamw(tp_nn_params(m, "*"), tp_adamw(0.01));
    for (int s = 0; s < 40; s++) {
        TP_SCOPE;
        TP_AUTOCAST(TP_BF16);
        tp_tensor *z = tp_nn_forward(m, x), *loss = tp_cross_entropy(z, y);

        CHECK(tp_dtype_of(z) == TP_BF16 && tp_dtype_of(loss) == TP_F32);
        CHECK(tp_optim_zero_grad(o) && tp_backward(loss) && tp_optim_step(o));
        CHECK(tp_dtype_of(tp_grad(tp_nn_tensor(m, "0.weight"))) == TP_F32);
        CHECK(tp_dtype_of(tp_nn_tensor(m, "0.weight")) == TP_F32);
        last = tp_item(loss), first = s ? first : last;
    }
    CHECK(first > 0.4 && last < 0.05);
    tp_optim_free(o), tp_nn_free(m);
}
