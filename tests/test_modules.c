/*
 * test_modules.c - each layer against torch.nn's: the names of its state dict, values in training and
 * eval from loaded weights, gradients; then files, copies, dtypes, names and refusals.
 */
#include "tests/files.h"
#include "tests/golden.h"

/* ---- the layers of golden/family_modules.py ---- */

static tp_norm_layer_opts norm_opts(double eps, bool no_affine, bool no_bias)
{
    tp_norm_layer_opts o = tp_norm_layer_defaults();

    o.eps = eps, o.no_affine = no_affine, o.no_bias = no_bias;
    return o;
}

static tp_batch_norm_opts batch_opts(double eps, bool no_affine, bool no_running)
{
    tp_batch_norm_opts o = tp_batch_norm_defaults();

    o.eps = eps, o.no_affine = no_affine, o.no_running = no_running;
    return o;
}

static tp_instance_norm_opts instance_opts(double eps, double momentum, bool affine, bool tracked)
{
    tp_instance_norm_opts o = tp_instance_norm_defaults();

    o.eps = eps, o.momentum = momentum, o.affine = affine, o.track_running_stats = tracked;
    return o;
}

static tp_module *block(void)
{
    return tp_nn_sequential((tp_module *[]){ tp_nn_linear(3, 5), tp_nn_tanh(), tp_nn_linear(5, 3) }, 3);
}

#define LAYERS(X)                                                                        \
    X(relu6, tp_nn_relu6())                                                              \
    X(gelu_tanh, tp_nn_gelu_tanh())                                                      \
    X(silu, tp_nn_silu())                                                                \
    X(mish, tp_nn_mish())                                                                \
    X(selu, tp_nn_selu())                                                                \
    X(log_sigmoid, tp_nn_log_sigmoid())                                                  \
    X(softsign, tp_nn_softsign())                                                        \
    X(tanhshrink, tp_nn_tanhshrink())                                                    \
    X(hardsigmoid, tp_nn_hardsigmoid())                                                  \
    X(hardswish, tp_nn_hardswish())                                                      \
    X(leaky_relu, tp_nn_leaky_relu(.2))                                                  \
    X(elu, tp_nn_elu(.7))                                                                \
    X(celu, tp_nn_celu(2)  )                                                             \
    X(softplus, tp_nn_softplus(2, 3))                                                    \
    X(softshrink, tp_nn_softshrink(.3))                                                  \
    X(hardshrink, tp_nn_hardshrink(.4))                                                  \
    X(hardtanh, tp_nn_hardtanh(-.5, .8))                                                 \
    X(threshold, tp_nn_threshold(.1, -2))                                                \
    X(prelu, tp_nn_prelu(1, .25))                                                        \
    X(prelu_channels, tp_nn_prelu(4, .25))                                               \
    X(glu, tp_nn_glu(1))                                                                 \
    X(softmax, tp_nn_softmax(1))                                                         \
    X(log_softmax, tp_nn_log_softmax(-1))                                                \
    X(identity, tp_nn_identity())                                                        \
    X(dropout_eval, tp_nn_dropout(.5))                                                   \
    X(linear, tp_nn_linear(6, 2))                                                        \
    X(conv2d, tp_nn_conv2d(4, 3, 3, (tp_conv2d_opts){ .stride = 2, .padding = 1, .no_bias = true })) \
    X(conv1d, tp_nn_conv1d(4, 6, 3, (tp_conv2d_opts){ .stride = 2, .padding = 1, .groups = 2 })) \
    X(conv1d_bare, tp_nn_conv1d(4, 2, 2, (tp_conv2d_opts){ .dilation = 2, .no_bias = true })) \
    X(conv1d_circular, tp_nn_conv1d(4, 3, 4, (tp_conv2d_opts){ .dilation = 2, .same = true, .padding_mode = TP_PAD_CIRCULAR })) \
    X(conv2d_reflect, tp_nn_conv2d(4, 3, 3, (tp_conv2d_opts){ .rectangular = true, .kernel_w = 2, .stride = 2, .padding = 1, \
                                                              .padding_w = 2, .padding_mode = TP_PAD_REFLECT })) \
    X(conv2d_replicate, tp_nn_conv2d(4, 2, 2, (tp_conv2d_opts){ .rectangular = true, .kernel_w = 3, .same = true, \
                                                                .padding_mode = TP_PAD_REPLICATE })) \
    X(conv_transpose2d_wide, tp_nn_conv_transpose2d(4, 3, 2, (tp_conv2d_opts){ .rectangular = true, .kernel_w = 3, \
                                                                               .stride_w = 2 })) \
    X(conv_transpose2d, tp_nn_conv_transpose2d(4, 6, 3, (tp_conv2d_opts){ .stride = 2, .padding = 1, .groups = 2, \
                                                                          .output_padding = 1 })) \
    X(conv_transpose2d_bare, tp_nn_conv_transpose2d(4, 3, 2, (tp_conv2d_opts){ .no_bias = true })) \
    X(conv_transpose1d, tp_nn_conv_transpose1d(4, 3, 4, (tp_conv2d_opts){ .stride = 2 }))  \
    X(batch_norm, tp_nn_batch_norm(4))                                                   \
    X(batch_norm_eval, tp_nn_batch_norm(4))                                              \
    X(batch_norm_bare, tp_nn_batch_norm_with(4, batch_opts(1e-5, true, false)))          \
    X(batch_norm_untracked_eval, tp_nn_batch_norm_with(4, batch_opts(1e-3, false, true))) \
    X(layer_norm, tp_nn_layer_norm_with(TP_SHAPE(6, 5), norm_opts(1e-3, false, true)))   \
    X(layer_norm_bare, tp_nn_layer_norm_with(TP_SHAPE(6), norm_opts(-1, true, false)))   \
    X(rms_norm, tp_nn_rms_norm(TP_SHAPE(5)))                                             \
    X(rms_norm_bare, tp_nn_rms_norm_with(TP_SHAPE(6, 5), norm_opts(1e-2, true, false)))  \
    X(group_norm, tp_nn_group_norm(2, 4))                                                \
    X(group_norm_bare, tp_nn_group_norm_with(1, 4, norm_opts(1e-2, true, false)))        \
    X(instance_norm, tp_nn_instance_norm(4))                                             \
    X(instance_norm_affine, tp_nn_instance_norm_with(4, instance_opts(1e-3, .1, true, false))) \
    X(instance_norm_tracked, tp_nn_instance_norm_with(4, instance_opts(1e-5, .3, false, true))) \
    X(instance_norm_eval, tp_nn_instance_norm_with(4, instance_opts(1e-5, .1, true, true))) \
    X(max_pool1d, tp_nn_max_pool1d_with(3, (tp_pool2d_opts){ .stride = 2, .padding = 1 }))  \
    X(avg_pool1d, tp_nn_avg_pool1d_with(3, (tp_pool2d_opts){ .stride = 2, .padding = 1 }))  \
    X(avg_pool2d, tp_nn_avg_pool2d(2))                                                   \
    X(adaptive_avg_pool2d, tp_nn_adaptive_avg_pool2d(4, 3))                              \
    X(adaptive_max_pool2d, tp_nn_adaptive_max_pool2d(2, 3))                              \
    X(global_max_pool2d, tp_nn_global_max_pool2d())                                      \
    X(upsample, tp_nn_upsample((tp_interpolate_opts){ .scale = 2 }))                     \
    X(upsample_bilinear, tp_nn_upsample((tp_interpolate_opts){ TP_BILINEAR, .h = 7, .w = 9, .align_corners = true })) \
    X(pixel_shuffle, tp_nn_pixel_shuffle(2))                                             \
    X(pixel_unshuffle, tp_nn_pixel_unshuffle(3))                                         \
    X(pad_constant, tp_nn_pad(TP_SHAPE(2, 1), (tp_pad_opts){ TP_PAD_CONSTANT, .5 }))     \
    X(pad_reflect, tp_nn_pad(TP_SHAPE(1, 2, 3, 0), (tp_pad_opts){ TP_PAD_REFLECT, 0 }))  \
    X(pad_replicate, tp_nn_pad(TP_SHAPE(2, 2, 2, 2), (tp_pad_opts){ TP_PAD_REPLICATE, 0 })) \
    X(pad_circular, tp_nn_pad(TP_SHAPE(0, 1, 2, 3), (tp_pad_opts){ TP_PAD_CIRCULAR, 0 }))  \
    X(flatten, tp_nn_flatten())                                                          \
    X(unflatten, tp_nn_unflatten(1, TP_SHAPE(2, -1)))                                    \
    X(residual, tp_nn_residual(block(), NULL))                                           \
    X(residual_shortcut, tp_nn_residual(tp_nn_linear(6, 2), tp_nn_linear_with(6, 2, (tp_linear_layer_opts){ .no_bias = true })))

#define NAME_OF(name, make) #name,
#define MADE(name, make) make,
static const char *const layer_name[] = { LAYERS(NAME_OF) };
enum { N = TP_LEN(layer_name) };

static const char *golden_path(void)
{
    return TP_GOLDEN "/modules.safetensors";
}

static tp_module *all_layers(void)
{
    return tp_nn_dict(layer_name, (tp_module *[]){ LAYERS(MADE) }, N);
}

/* With PyTorch's weights: strictly, so that names and shapes are those of its state dict. */
static tp_module *loaded_layers(tp_dtype d, tp_device *dev)
{
    tp_module *m = tp_nn_init(all_layers(), dev);

    cr_assert(tp_nn_children(m) == N && tp_nn_load(m, golden_path(), (tp_load_opts){ .skip = "io.*" }), "%s",
              tp_error());
    cr_assert(tp_nn_cast(m, d) && tp_nn_train(m, "*_eval", false) > 0, "%s", tp_error());
    return m;
}

/* ---- values ---- */

typedef struct trial {
    kase k; /* f64 */
    tp_module *m;
    char io[100];
    double length;
} trial;

static tp_tensor *wanted(const trial *t, const char *what, const char *of)
{
    char name[300];
    int i;

    snprintf(name, sizeof name, "%s.%s%s", t->io, what, of);
    i = tp_file_find(t->k.f, name);
    return i < 0 ? NULL : tp_file_read(t->k.f, i, t->k.dev);
}

static bool check_entry(void *user, const char *name, tp_tensor **p)
{
    trial *t = user;
    tp_tensor *grad = wanted(t, "grad.", name), *after = wanted(t, "after.", name);

    TP_SCOPE;
    CHECK(grad || after);
    if (grad) compare(&t->k, name, 0, tp_grad(*p), grad, t->length);
    if (after) compare(&t->k, name, 0, *p, after, t->length);
    return true;
}

static void check_layer(const tp_file *f, tp_module *m, const char *name, tp_device *dev)
{
    trial t = { .k = { .f = f, .dev = dev, .dtype = TP_F64 }, .m = m };
    tp_tensor *x, *y;

    TP_SCOPE;
    CASE("%s on %s", name, tp_device_name(dev));
    snprintf(t.io, sizeof t.io, "io.%s", name);
    x = tp_requires_grad(tp_detach(wanted(&t, "x", "")), true);
    t.length = fmax((double)tp_count(x), 60); /* no weight has more */
    y = tp_nn_forward(m, x);
    compare(&t.k, "y", 0, y, wanted(&t, "y", ""), t.length);
    CHECK(tp_backward_with(y, (tp_backward_opts){ .grad_output = wanted(&t, "dy", "") }));
    compare(&t.k, "dx", 0, tp_grad(x), wanted(&t, "dx", ""), t.length);
    if (tp_nn_count(m)) CHECK(tp_nn_each(tp_nn_params(m, "*"), true, check_entry, &t) > 0);
    tp_clear_error();
}

ON_EACH_DEVICE(modules, values_are_pytorchs)
{
    tp_file *f = tp_file_open(golden_path());
    tp_module *m = loaded_layers(TP_F64, dev), *copy;

    copy = tp_nn_clone(m);
    for (int i = 0; i < N; i++) {
        CHECK(!strcmp(tp_nn_child_name(m, i), layer_name[i]));
        check_layer(f, tp_nn_child(m, i), layer_name[i], dev);
        check_layer(f, tp_nn_child(copy, i), layer_name[i], dev); /* nothing is shared */
    }
    tp_nn_free(m), tp_nn_free(copy), tp_file_close(f);
}

/* The other way: y has x's dtype, and weights of norms are wider. */
ON_EACH_DEVICE(modules, bf16)
{
    tp_file *f = tp_file_open(golden_path());
    tp_module *m = loaded_layers(TP_BF16, dev);
    trial t = { .k = { .f = f, .dev = dev, .dtype = TP_BF16 } };

    CHECK(tp_dtype_of(tp_nn_tensor(m, "conv1d.weight")) == TP_BF16 &&
          tp_dtype_of(tp_nn_tensor(m, "residual.body.0.bias")) == TP_BF16 &&
          tp_dtype_of(tp_nn_tensor(m, "group_norm.weight")) == TP_F32 &&
          tp_dtype_of(tp_nn_tensor(m, "rms_norm.weight")) == TP_F32 &&
          tp_dtype_of(tp_nn_tensor(m, "instance_norm_tracked.running_var")) == TP_F32);
    for (int i = 0; i < N; i++) {
        tp_tensor *x, *y;
        TP_SCOPE;

        CASE("%s in bf16 on %s", layer_name[i], tp_device_name(dev));
        snprintf(t.io, sizeof t.io, "io.%s", layer_name[i]);
        x = tp_cast(wanted(&t, "x", ""), TP_BF16), y = tp_nn_forward(tp_nn_child(m, i), x);
        CHECK(tp_dtype_of(y) == TP_BF16);
        compare(&t.k, "y", 0, y, wanted(&t, "y", ""), fmax((double)tp_count(x), 60));
    }
    tp_nn_free(m), tp_file_close(f);
}

/* ---- files and names ---- */

static bool find_equal(void *user, const char *name, tp_tensor **t)
{
    tp_tensor *other = tp_nn_tensor(user, name);
    bool same = tp_count(other) == tp_count(*t);

    for (int64_t i = 0; same && i < tp_count(*t); i++)
        same = check_at(*t, i) == check_at(other, i);
    cr_expect(same, "%s: %s differs", check_name, name);
    return true;
}

Test(modules, files, .init = make_test_folder, .fini = remove_test_folder)
{
    tp_device *dev = tp_device_open("cpu");
    tp_module *m = loaded_layers(TP_F32, dev), *other = tp_nn_init(all_layers(), dev);

    CASE("files");
    CHECK(tp_nn_save(m, in_folder("all")) && tp_nn_load(other, in_folder("all"), (tp_load_opts){ 0 }));
    CHECK(tp_nn_each(tp_nn_params(m, "*"), true, find_equal, other) == 57);
    tp_nn_free(m), tp_nn_free(other);
}

ON_EACH_DEVICE(modules, by_name)
{
    tp_module *m = tp_nn_init(all_layers(), dev);
    TP_SCOPE;

    CHECK(tp_nn_freeze(m, "residual*.body.*", true) == 6);
    CHECK(!tp_needs_grad(tp_nn_tensor(m, "residual.body.2.bias")) &&
          tp_needs_grad(tp_nn_tensor(m, "residual_shortcut.shortcut.weight")));
    CHECK(tp_nn_replace(m, "residual.body.1", tp_nn_silu()) == tp_nn_get(m, "residual.body.1"));
    CHECK(tp_nn_replace(m, "residual_shortcut.shortcut", tp_nn_init(tp_nn_linear(6, 2), dev)) != NULL);
    CHECK(tp_nn_tensor(m, "residual_shortcut.shortcut.bias") != NULL);
    CHECK(tp_nn_forward(tp_nn_get(m, "residual"), tp_ones(TP_SHAPE(2, 3), TP_F32, dev)) != NULL);
    CHECK(tp_nn_train(m, "residual.body.?", false) == 3 && tp_nn_training(tp_nn_get(m, "residual.body")));
    tp_nn_free(m);
}

/* ---- running statistics ---- */

static int run_module(tp_list in, void *user, tp_tensor **out, int room)
{
    return tp_nn_apply(user, in, out, room);
}

ON_EACH_DEVICE(modules, instance_statistics_move_once)
{
    tp_module *m = tp_nn_init(tp_nn_instance_norm_with(1, instance_opts(1e-5, .5, false, true)), dev);
    TP_SCOPE;
    tp_tensor *x = tp_requires_grad(tp_from((float[]){ 0, 2, 4, 8 }, TP_SHAPE(2, 1, 2), TP_F32, dev), true), *y = NULL;
    double at[] = { -1, 1, -1, 1 };

    CHECK(tp_checkpoint(run_module, TP_LIST(x), m, &y, 1) == 1 && tp_backward(tp_sum(y, TP_ALL)));
    CHECK_NEAR(check_at(tp_nn_tensor(m, "running_mean"), 0), 1.75, 8 * 0x1p-23 * 1.75); /* .5 (1 + 6) / 2 */
    CHECK_NEAR(check_at(tp_nn_tensor(m, "running_var"), 0), 3, 8 * 0x1p-23 * 3); /* .5 + .5 (2 + 8) / 2 */
    for (int i = 0; i < 4; i++)
        CHECK_NEAR(check_at(y, i), at[i] / sqrt(1 + 1e-5 / (i < 2 ? 1 : 4)), 16 * 0x1p-23);
    y = tp_nn_predict(m, x);
    CHECK_NEAR(check_at(y, 3), (8 - 1.75) / sqrt(3 + 1e-5), 32 * 0x1p-23);
    CHECK(check_at(tp_nn_tensor(m, "running_mean"), 0) == 1.75 &&
          check_at(tp_nn_tensor(m, "num_batches_tracked"), 0) == 0);
    tp_nn_free(m);
}

/* ---- how weights begin ---- */

ON_EACH_DEVICE(modules, initial_bounds)
{
    tp_module *m[] = { tp_nn_conv1d(20, 30, 5, (tp_conv2d_opts){ .groups = 2 }),
                       tp_nn_conv_transpose1d(20, 30, 5, (tp_conv2d_opts){ .groups = 2 }),
                       tp_nn_conv_transpose2d(20, 30, 3, (tp_conv2d_opts){ .groups = 2 }) };
    double fan[] = { 10 * 5, 15 * 5, 15 * 9 };

    for (int i = 0; i < TP_LEN(m); i++) {
        double bound = 1 / sqrt(fan[i]), most = 0;
        tp_tensor *w = tp_nn_tensor(tp_nn_init(m[i], dev), "weight");

        CASE("%s", tp_nn_kind(m[i]));
        for (int64_t j = 0; j < tp_count(w); j++)
            most = fmax(most, fabs(check_at(w, j)));
        CHECK(most <= bound && most > bound * (1 - 12. / (double)tp_count(w)));
        CHECK(tp_count(tp_nn_tensor(m[i], "bias")) == 30);
        tp_nn_free(m[i]);
    }
}

/* ---- refusals ---- */

#define ARG(call, text)    CHECK_REFUSED(call, TP_ERR_ARG, text)
#define SHAPES(call, text) CHECK_REFUSED(call, TP_ERR_SHAPE, text)

Test(modules, options_that_cannot_be)
{
    tp_norm_layer_opts none = { 0 };
    tp_instance_norm_opts unfilled = { 0 };

    ARG(tp_nn_leaky_relu(NAN), "tp_nn_leaky_relu: the slope isn't a number");
    ARG(tp_nn_elu(NAN), "alpha isn't a number");
    ARG(tp_nn_celu(0), "tp_nn_celu: alpha is 0, and divides");
    ARG(tp_nn_softplus(0, 20), "beta is 0, and divides");
    ARG(tp_nn_softshrink(-1), "lambda is -1: 0 or more is wanted");
    ARG(tp_nn_hardshrink(NAN), "lambda isn't a number");
    ARG(tp_nn_hardtanh(1, -1), "tp_nn_hardtanh: from 1 to -1");
    ARG(tp_nn_threshold(NAN, 0), "the threshold isn't a number");
    ARG(tp_nn_softmax(8), "tp_nn_softmax: axis 8");
    ARG(tp_nn_log_softmax(-9), "axis -9");
    ARG(tp_nn_glu(99), "axis 99");
    ARG(tp_nn_prelu(0, .25), "tp_nn_prelu: 0 slopes");
    ARG(tp_nn_conv1d(3, 4, 0, (tp_conv2d_opts){ 0 }), "tp_nn_conv1d: 3 in, 4 out, kernel 0, 1 groups");
    ARG(tp_nn_conv1d(3, 4, 3, (tp_conv2d_opts){ .rectangular = true }), "rectangular, and there is one axis");
    ARG(tp_nn_conv2d(3, 4, 3, (tp_conv2d_opts){ .kernel_w = 2 }), "kernel_w 2, of a kernel that isn't rectangular");
    ARG(tp_nn_conv2d(3, 4, 3, (tp_conv2d_opts){ .kernel_w = -2, .rectangular = true }), "kernel_w -2");
    ARG(tp_nn_conv2d(3, 4, 3, (tp_conv2d_opts){ .padding_mode = (tp_pad_mode)4 }), "there is no padding mode 4");
    ARG(tp_nn_conv_transpose1d(3, 4, 3, (tp_conv2d_opts){ .padding_mode = TP_PAD_REFLECT }), "pads with zeros alone");
    ARG(tp_nn_conv_transpose2d(4, 6, 3, (tp_conv2d_opts){ .groups = 4 }), "tp_nn_conv_transpose2d: 4 in, 6 out");
    ARG(tp_nn_conv_transpose1d(4, 4, 3, (tp_conv2d_opts){ .stride = -1 }), "none may be negative");
    ARG(tp_nn_group_norm(3, 4), "tp_nn_group_norm: 3 groups of 4 channels");
    ARG(tp_nn_group_norm_with(1, 4, none), "start from tp_norm_layer_defaults()");
    ARG(tp_nn_rms_norm_with(TP_SHAPE(3), none), "start from tp_norm_layer_defaults()");
    ARG(tp_nn_layer_norm_with(TP_SHAPE(3), norm_opts(NAN, false, false)), "tp_nn_layer_norm: eps isn't a number");
    SHAPES(tp_nn_rms_norm(TP_SCALAR), "tp_nn_rms_norm: no axes to normalize over");
    SHAPES(tp_nn_rms_norm((tp_shape){ .rank = 99 }), "tp_nn_rms_norm");
    ARG(tp_nn_instance_norm(0), "tp_nn_instance_norm: 0 channels");
    ARG(tp_nn_instance_norm_with(3, unfilled), "start from tp_instance_norm_defaults()");
    ARG(tp_nn_instance_norm_with(3, instance_opts(-1, .1, false, false)), "eps -1, momentum 0.1");
    ARG(tp_nn_max_pool1d(0), "tp_nn_max_pool1d: kernel 0");
    ARG(tp_nn_avg_pool1d_with(2, (tp_pool2d_opts){ .padding = -1 }), "none may be negative");
    ARG(tp_nn_avg_pool2d_with(-2, (tp_pool2d_opts){ 0 }), "tp_nn_avg_pool2d: kernel -2");
    ARG(tp_nn_adaptive_avg_pool2d(0, 2), "tp_nn_adaptive_avg_pool2d: 0 by 2 parts");
    ARG(tp_nn_adaptive_max_pool2d(2, -1), "2 by -1 parts");
    ARG(tp_nn_upsample((tp_interpolate_opts){ 0 }), "either h and w or a scale is wanted, not 0, 0 and 0");
    ARG(tp_nn_upsample((tp_interpolate_opts){ .h = 2, .w = 2, .scale = 2 }), "either h and w or a scale");
    ARG(tp_nn_upsample((tp_interpolate_opts){ (tp_interpolation)9, .scale = 2 }), "there is no mode 9");
    ARG(tp_nn_pixel_shuffle(0), "tp_nn_pixel_shuffle: blocks of 0 by 0");
    ARG(tp_nn_pixel_unshuffle(-1), "blocks of -1 by -1");
    ARG(tp_nn_pad(TP_SHAPE(1), (tp_pad_opts){ 0 }), "1 numbers: two for each axis are wanted");
    ARG(tp_nn_pad(TP_SHAPE(1, 1), (tp_pad_opts){ .mode = (tp_pad_mode)7 }), "there is no mode 7");
    ARG(tp_nn_unflatten(1, TP_SCALAR), "an axis in 0");
}

/* m on x, freed. */
static tp_tensor *run_once(tp_module *m, tp_tensor *x)
{
    tp_tensor *y = tp_nn_forward(tp_nn_init(m, tp_device_open("cpu")), x);

    tp_nn_free(m);
    return y;
}

Test(modules, inputs_that_cannot_be)
{
    TP_SCOPE;
    tp_tensor *x = tp_ones(TP_SHAPE(2, 3), TP_F32, tp_device_open("cpu"));
    tp_tensor *image = tp_ones(TP_SHAPE(2, 3, 4, 4), TP_F32, tp_device_open("cpu"));

    ARG(run_once(tp_nn_identity(), NULL), "identity: missing input");
    ARG(run_once(tp_nn_unflatten(1, TP_SHAPE(3, 1)), NULL), "unflatten: missing input");
    ARG(run_once(tp_nn_residual(tp_nn_relu(), NULL), NULL), "missing input");
    ARG(run_once(tp_nn_leaky_relu(.1), NULL), "leaky_relu");
    SHAPES(run_once(tp_nn_unflatten(2, TP_SHAPE(3, 1)), x), "unflatten: axis 2 of f32 (2, 3) in 2");
    SHAPES(run_once(tp_nn_unflatten(1, TP_SHAPE(2, 2)), x), "(2, 2, 2)");
    SHAPES(run_once(tp_nn_group_norm(2, 4), image), "group_norm: x must be (N, 4, ...), not f32 (2, 3, 4, 4)");
    SHAPES(run_once(tp_nn_instance_norm(3), x), "instance_norm: x must be (N, 3, L, ...), not f32 (2, 3)");
    SHAPES(run_once(tp_nn_conv1d(3, 2, 2, (tp_conv2d_opts){ 0 }), x), "conv1d");
    SHAPES(run_once(tp_nn_conv1d(3, 2, 2, (tp_conv2d_opts){ .padding = 1, .padding_mode = TP_PAD_REFLECT }), x), "conv1d");
    SHAPES(run_once(tp_nn_conv2d(3, 2, 3, (tp_conv2d_opts){ .padding = 9, .padding_mode = TP_PAD_REFLECT }), image), "pad");
    SHAPES(run_once(tp_nn_residual(tp_nn_linear(3, 1), NULL), x),
           "residual: the body gives f32 (2, 1), the shortcut f32 (2, 3)");
    SHAPES(run_once(tp_nn_prelu(2, .25), image), "prelu");
    CHECK(run_once(tp_nn_identity(), x) == x);
    SHAPES(run_once(tp_nn_avg_pool1d(2), x), "avg_pool1d");
}

/* ---- dropping ---- */

typedef struct dropper {
    tp_module *(*layer)(double p);
    tp_tensor *(*op)(tp_tensor *x, double p);
    const char *kind;
} dropper;

Test(modules, droppers_do_as_their_ops_in_training_alone)
{
    static const dropper all[] = { { tp_nn_dropout, tp_dropout, "dropout" },
                                   { tp_nn_dropout2d, tp_dropout2d, "dropout2d" },
                                   { tp_nn_alpha_dropout, tp_alpha_dropout, "alpha_dropout" } };

    for (int i = 0; i < TP_LEN(all); i++) {
        TP_SCOPE;
        tp_tensor *x = tp_ones(TP_SHAPE(2, 5, 3, 3), TP_F32, tp_device_open("cpu")), *y, *want;
        tp_module *m = all[i].layer(0.4), *never = all[i].layer(0);
        tp_rng before = tp_rng_save();

        CASE("%s", all[i].kind);
        CHECK(!strcmp(tp_nn_kind(m), all[i].kind) && (y = tp_nn_forward(m, x)));
        tp_rng_restore(before), want = all[i].op(x, 0.4);
        CHECK(tp_allclose(y, want, 0, 0) && !tp_allclose(y, x, 0, 0));
        before = tp_rng_save();
        CHECK(tp_nn_predict(m, x) == x && tp_nn_forward(never, x) == x &&
              tp_rng_save().offset == before.offset);
        if (i == 1)
            SHAPES(tp_nn_forward(m, tp_reshape(x, TP_SHAPE(-1))),
                   "dropout2d: x must be (N, C, ...)");
        ARG(tp_nn_forward(m, NULL), "missing input");
        ARG(all[i].layer(1.5), "p is 1.5: a probability is wanted");
        ARG(all[i].layer(NAN), "p is nan");
        tp_nn_free(m), tp_nn_free(never);
    }
}
