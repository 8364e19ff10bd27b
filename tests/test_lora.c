/*
 * test_lora.c - adapters: what they compute, what they train, merging, files, refusals.
 */
#include "tests/calls.h"
#include "tests/files.h"
#include "tests/oom.h"

#define ADAPTERS "*lora_[AB].weight"
static const tp_lora_opts plain;

static double distance(tp_tensor *a, tp_tensor *b)
{
    return tp_item(tp_amax(tp_abs(tp_sub(tp_cast(a, TP_F64), tp_cast(b, TP_F64))), TP_ALL));
}

static tp_module *net_of(void)
{
    tp_module *m = tp_nn_container("net");

    tp_nn_add(m, "q_proj", tp_nn_linear(4, 6));
    tp_nn_add(
        m, "act",
        tp_nn_linear_with(6, 5, (tp_linear_layer_opts){ .activation = TP_GELU, .no_bias = true }));
    tp_nn_add(m, "norm", tp_nn_layer_norm(TP_SHAPE(5)));
    tp_nn_add(m, "head", tp_nn_linear(5, 2));
    return m;
}

static tp_tensor *run(tp_module *m, tp_tensor *x)
{
    static const char *const layers[] = { "q_proj", "act", "norm", "head" };

    for (int i = 0; i < 4; i++)
        x = tp_nn_forward(tp_nn_get(m, layers[i]), x);
    return x;
}

static void fill_adapters(tp_module *m, const char *name)
{
    tp_tensor *t = tp_nn_tensor(m, name);

    TP_NO_GRAD;
    CHECK(tp_copy_(t, check_numbers(tp_shape_of(t), tp_dtype_of(t), -1, 1, tp_device_of(t))));
}

/* ---- at first nothing has changed; names, counts, what trains; drawn before or after ---- */

static bool list_one(void *user, const char *name, tp_tensor **t)
{
    strcat(strcat(user, name), tp_needs_grad(*t) ? "+ " : " ");
    return true;
}

ON_EACH_DEVICE(lora, begins_as_the_base)
{
    for (int before = 0; before < 2; before++) {
        tp_module *m = net_of(), *layer;
        tp_tensor *x, *y = NULL;
        char names[512] = "";

        TP_SCOPE;
        CASE("drawn %s on %s", before ? "before" : "after", tp_device_name(dev));
        x = check_numbers(TP_SHAPE(2, 3, 4), TP_F32, -1, 1, dev), layer = tp_nn_get(m, "q_proj");
        if (before) tp_nn_init(m, dev), y = run(m, x);
        CHECK(tp_nn_lora(m, "*_proj", (tp_lora_opts){ .rank = 2, .alpha = 6 }) == 1 &&
              tp_nn_lora(m, "act", (tp_lora_opts){ .rank = 3 }) == 1);
        if (!before)
            tp_nn_init(m, dev);
        else
            CHECK(distance(y, run(m, x)) == 0);
        CHECK(tp_nn_get(m, "q_proj") == layer && !strcmp(tp_nn_kind(layer), "lora_linear"));
        CHECK(tp_nn_each(tp_nn_params(m, "*"), true, list_one, names) > 0);
        cr_expect(!strcmp(names, "q_proj.weight q_proj.bias q_proj.lora_A.weight+ "
                                 "q_proj.lora_B.weight+ act.weight act.lora_A.weight+ "
                                 "act.lora_B.weight+ norm.weight norm.bias head.weight head.bias "),
                  "%s: %s", check_name, names);
        CHECK(tp_nn_count_trained(m) == 2 * 4 + 6 * 2 + 3 * 6 + 5 * 3 &&
              tp_nn_count(m) == tp_nn_count_trained(m) + 24 + 6 + 30 + 10 + 12);
        CHECK(tp_item(tp_amax(tp_abs(tp_nn_tensor(m, "q_proj.lora_A.weight")), TP_ALL)) <= .5);
        CHECK(tp_item(tp_norm(tp_nn_tensor(m, "q_proj.lora_A.weight"), 2, TP_ALL)) > 0);
        CHECK(tp_item(tp_norm(tp_nn_tensor(m, "act.lora_B.weight"), 2, TP_ALL)) == 0);
        CHECK(tp_nn_freeze(m, "head.*", false) == 2 && tp_needs_grad(tp_nn_tensor(m, "head.bias")));
        tp_nn_free(m);
    }
}

/* ---- the formula; merged and not; back again; gradients ---- */

static tp_tensor *by_formula(tp_module *m, tp_tensor *x, double scale)
{
    tp_tensor *w = tp_nn_tensor(m, "weight"), *a = tp_nn_tensor(m, "lora_A.weight"),
              *b = tp_nn_tensor(m, "lora_B.weight");
    tp_tensor *low = tp_matmul(tp_matmul(x, tp_transpose(a, 0, 1)), tp_transpose(b, 0, 1));

    return tp_add(tp_linear(x, w, tp_nn_tensor(m, "bias")), tp_scale(low, scale));
}

ON_EACH_DEVICE(lora, formula)
{
    static const tp_activation acts[] = { TP_LINEAR, TP_RELU, TP_GELU, TP_GELU_TANH };
    static tp_tensor *(*const f[])(tp_tensor *) = { NULL, tp_relu, tp_gelu, tp_gelu_tanh };

    for (int i = 0; i < TP_LEN(acts); i++) {
        tp_module *m =
            tp_nn_init(tp_nn_linear_with(4, 3, (tp_linear_layer_opts){ acts[i], false }), dev);
        tp_tensor *x, *y, *w;

        TP_SCOPE;
        CASE("activation %d on %s", i, tp_device_name(dev));
        tp_nn_cast(m, TP_F64);
        CHECK(tp_nn_lora(m, "", (tp_lora_opts){ .rank = 2, .alpha = 3 }) ==
              1); /* itself is named "" */
        CHECK(tp_dtype_of(tp_nn_tensor(m, "lora_A.weight")) == TP_F64);
        fill_adapters(m, "lora_A.weight"), fill_adapters(m, "lora_B.weight");
        x = check_numbers(TP_SHAPE(5, 4), TP_F64, -1, 1, dev),
        w = tp_clone(tp_nn_tensor(m, "weight"));
        y = by_formula(m, x, 1.5), y = f[i] ? f[i](y) : y;
        CHECK(distance(y, tp_nn_forward(m, x)) < 1e-14);
        CHECK(tp_nn_lora_merge(m) == 1 && distance(y, tp_nn_forward(m, x)) < 1e-14 &&
              distance(w, tp_nn_tensor(m, "weight")) > .1);
        CHECK(!tp_needs_grad(tp_nn_forward(m, x)));
        CHECK(tp_nn_lora_unmerge(m) == 1 && distance(w, tp_nn_tensor(m, "weight")) < 1e-14);
        CHECK(tp_backward(tp_sum(tp_square(tp_nn_forward(m, x)), TP_ALL)));
        CHECK(tp_grad(tp_nn_tensor(m, "lora_A.weight")) &&
              tp_grad(tp_nn_tensor(m, "lora_B.weight")) && !tp_grad(tp_nn_tensor(m, "weight")));
        tp_nn_free(m);
    }
}

static tp_tensor *forward(tp_list in, void *user)
{
    return tp_sigmoid(tp_nn_forward(user, in.t[0]));
}

ON_EACH_DEVICE(lora, slopes)
{
    tp_module *m = tp_nn_init(tp_nn_linear(3, 2), dev);
    tp_gradcheck_report r;
    tp_list in;

    TP_SCOPE;
    tp_nn_cast(m, TP_F64), tp_nn_lora(m, "*", (tp_lora_opts){ .rank = 2 });
    fill_adapters(m, "lora_B.weight");
    in = TP_LIST(check_leaf(TP_SHAPE(2, 3), -1, 1, dev), tp_nn_tensor(m, "lora_A.weight"),
                 tp_nn_tensor(m, "lora_B.weight"));
    CASE("slopes on %s", tp_device_name(dev));
    CHECK(tp_gradcheck(forward, in, m, &r));
    CHECK(tp_gradgradcheck(forward, in, m, &r));
    tp_nn_free(m);
}

/* ---- dropout in training alone ---- */

ON_EACH_DEVICE(lora, modes)
{
    tp_module *m = tp_nn_init(tp_nn_linear(40, 3), dev), *copy;
    tp_tensor *x, *y;

    TP_SCOPE;
    CASE("modes on %s", tp_device_name(dev));
    tp_nn_lora(m, "*", (tp_lora_opts){ .dropout = .5 }), fill_adapters(m, "lora_B.weight");
    x = check_numbers(TP_SHAPE(5, 40), TP_F32, -1, 1, dev);
    CHECK(distance(tp_nn_forward(m, x), tp_nn_forward(m, x)) > 0);
    y = tp_nn_predict(m, x);
    CHECK(distance(y, tp_nn_predict(m, x)) == 0 && distance(y, by_formula(m, x, 1)) < 1e-5);
    copy = tp_nn_clone(m);
    CHECK(distance(y, tp_nn_predict(copy, x)) == 0 && tp_nn_count_trained(copy) == 8 * 43);
    CHECK(tp_nn_cast(copy, TP_BF16) && distance(y, tp_nn_predict(copy, tp_cast(x, TP_BF16))) < .5);
    {
        TP_AUTOCAST(TP_BF16);
        CHECK(distance(y, tp_nn_predict(m, x)) < .5);
    }
    CHECK(tp_nn_lora_merge(copy) == 1);
    tp_nn_free(m), tp_nn_free(copy);
}

/* ---- fine-tuning: the adapters learn, the base stays, and they are saved and loaded alone ---- */

ON_EACH_DEVICE(lora, fine_tuning)
{
    tp_module *m = tp_nn_init(net_of(), dev), *base = tp_nn_clone(m), *other = tp_nn_clone(m);
    tp_load_report r;
    tp_optim *o;
    double first = 0, last = 0;
    tp_tensor *x, *want;
    tp_named named[2];

    TP_SCOPE;
    make_test_folder();
    CASE("fine-tuning on %s", tp_device_name(dev));
    CHECK(tp_nn_lora(m, "*", (tp_lora_opts){ .rank = 2, .alpha = 4 }) == 3);
    o = tp_optim_adam(tp_nn_params(m, "*lora_[AB].weight"), tp_adam(.03));
    x = check_numbers(TP_SHAPE(6, 4), TP_F32, -1, 1, dev),
    want = check_numbers(TP_SHAPE(6, 2), TP_F32, -1, 1, dev);
    for (int i = 0; i < 80; i++) {
        tp_tensor *loss;

        TP_SCOPE;
        loss = tp_mean(tp_square(tp_sub(run(m, x), want)), TP_ALL);
        CHECK(tp_optim_zero_grad(o) && tp_backward(loss) && tp_optim_step(o));
        last = tp_item(loss), first = i ? first : last;
    }
    CHECK(last < .3 * first &&
          distance(tp_nn_tensor(m, "act.weight"), tp_nn_tensor(base, "act.weight")) == 0);
    /* the adapters alone */
    CHECK(tp_nn_save_with(m, in_folder("adapter"), (tp_save_opts){ .only = ADAPTERS }));
    CHECK(tp_nn_lora(other, "*", (tp_lora_opts){ .rank = 2, .alpha = 4 }) == 3);
    CHECK(
        tp_nn_load(other, in_folder("adapter"), (tp_load_opts){ .only = ADAPTERS, .report = &r }) &&
        r.loaded == 6);
    CHECK(distance(run(m, x), run(other, x)) == 0);
    CHECK_REFUSED(tp_nn_load(other, in_folder("adapter"), (tp_load_opts){ 0 }), TP_ERR_FORMAT,
                  "missing    q_proj.weight");
    /* by PEFT's names */
    named[0] = (tp_named){ "base_model.model.q_proj.lora_A.weight",
                           check_numbers(TP_SHAPE(2, 4), TP_F32, -1, 1, dev) };
    named[1] = (tp_named){ "base_model.model.q_proj.lora_B.weight", F32(6, 2) };
    CHECK(tp_file_save(in_folder("peft"), named, 2, NULL, 0));
    CHECK(tp_nn_load(
        other, in_folder("peft"),
        (tp_load_opts){ .only = "q_proj.lora_?.weight", .strip_prefix = "base_model.model." }));
    CHECK(distance(tp_nn_tensor(other, "q_proj.lora_A.weight"), named[0].t) == 0);
    CHECK(tp_nn_load(other, in_folder("adapter"), (tp_load_opts){ .only = ADAPTERS }));
    /* merged, without adapters, for a plain network; and the base of a network with adapters */
    CHECK(tp_nn_lora_merge(m) == 3 &&
          tp_nn_save_with(m, in_folder("merged"), (tp_save_opts){ .skip = ADAPTERS }));
    CHECK(tp_nn_load(base, in_folder("merged"), (tp_load_opts){ .report = &r }) && r.loaded == 7 &&
          distance(run(m, x), run(base, x)) < 1e-5);
    CHECK(
        tp_nn_load(other, in_folder("merged"), (tp_load_opts){ .skip = ADAPTERS, .report = &r }) &&
        r.loaded == 7);
    CHECK_REFUSED(tp_nn_save_with(base, in_folder("none"), (tp_save_opts){ .only = ADAPTERS }),
                  TP_ERR_ARG, "no name is left by skip");
    CHECK_REFUSED(tp_nn_load(base, in_folder("adapter"), (tp_load_opts){ .only = "none*" }),
                  TP_ERR_ARG, "no name matches \"none*\"");
    CHECK_REFUSED(tp_nn_load(base, in_folder("adapter"), (tp_load_opts){ .only = ADAPTERS }),
                  TP_ERR_ARG, "no name matches");
    remove_test_folder();
    tp_optim_free(o), tp_nn_free(m), tp_nn_free(base), tp_nn_free(other);
}

/* ---- in a Transformer: out_proj and feed-forward layers, activated after the sum ---- */

ON_EACH_DEVICE(lora, of_a_transformer)
{
    tp_transformer_opts o = tp_transformer_defaults();
    tp_module *m;
    tp_tensor *x, *y;

    TP_SCOPE;
    CASE("encoder on %s", tp_device_name(dev));
    o.dropout = 0, o.dim_feedforward = 12, o.batch_first = true;
    m = tp_nn_init(tp_nn_transformer_encoder(tp_nn_transformer_encoder_layer(8, 2, o), 2, NULL),
                   dev);
    x = check_numbers(TP_SHAPE(2, 3, 8), TP_F32, -1, 1, dev), y = tp_nn_forward(m, x);
    CHECK(tp_nn_lora(m, "*", plain) == 6 && distance(y, tp_nn_forward(m, x)) < 1e-5);
    fill_adapters(m, "layers.0.linear1.lora_B.weight"),
        fill_adapters(m, "layers.1.self_attn.out_proj.lora_B.weight");
    y = tp_nn_forward(m, x);
    CHECK(tp_backward(tp_sum(tp_square(y), TP_ALL)) && tp_nn_lora_merge(m) == 6 &&
          distance(y, tp_nn_forward(m, x)) < 1e-4);
    tp_nn_free(m);
}

/* ---- memory ends ---- */

typedef struct wrapping {
    tp_module *m;
    tp_tensor *x, *y;
    long live;
} wrapping;

static bool wrap(void *user)
{
    wrapping *k = user;
    tp_module *copy;
    bool ok;

    TP_SCOPE;
    copy = tp_nn_clone(k->m);
    ok = copy && tp_nn_lora(copy, "*", plain) == 3 && run(copy, k->x) &&
         tp_nn_lora_merge(copy) == 3 && tp_nn_lora_unmerge(copy) == 3;
    if (copy) { /* what a failure left still runs */
        tp_code code = tp_error_code();

        tp_clear_error(), tp__fail_after = -1;
        CHECK(distance(run(copy, k->x), k->y) < 1e-5);
        if (code != TP_OK) tp_fail(code, "again");
    }
    tp_nn_free(copy);
    return ok;
}

static void nothing_stays(void *user, bool done)
{
    wrapping *k = user;

    (void)done;
    tp_thread_end();
    CHECK(tp__live() == k->live);
}

ON_EACH_DEVICE(lora, memory_ends)
{
    wrapping k = { .m = tp_nn_init(net_of(), dev) };
    tp_scope s = tp_scope_begin();

    k.x = tp_keep(check_numbers(TP_SHAPE(2, 4), TP_F32, -1, 1, dev)),
    k.y = tp_keep(tp_detach(run(k.m, k.x)));
    tp_scope_end(s);
    CASE("wrapping");
    CHECK(wrap(&k));
    tp_thread_end(), k.live = tp__live();
    CHECK(at_every_allocation(wrap, nothing_stays, &k) > 50);
    tp_nn_free(k.m), tp_free(k.x), tp_free(k.y);
}

/* ---- refusals ---- */

#define COUNT(call, text)                                                                          \
    do {                                                                                           \
        CASE("%.150s", #call);                                                                     \
        CHECK_REFUSED((call) >= 0, TP_ERR_ARG, text);                                              \
    } while (0)

ON_EACH_DEVICE(lora, refusals)
{
    tp_module *m = net_of();

    TP_SCOPE;
    COUNT(tp_nn_lora(NULL, "*", plain), "tp_nn_lora: missing module or pattern");
    COUNT(tp_nn_lora(m, NULL, plain), "missing module or pattern");
    COUNT(tp_nn_lora(m, "k_proj", plain), "no linear layer's name matches \"k_proj\"");
    COUNT(tp_nn_lora(m, "norm", plain), "no linear layer's name matches \"norm\"");
    COUNT(tp_nn_lora(m, "*", (tp_lora_opts){ .rank = -1 }), "rank -1");
    COUNT(tp_nn_lora(m, "*", (tp_lora_opts){ .dropout = 1.5 }),
          "dropout is 1.5: a probability is wanted");
    COUNT(tp_nn_lora_merge(m), "there is nothing to merge");
    COUNT(tp_nn_lora_unmerge(m), "there is nothing to take out");
    COUNT(tp_nn_lora_merge(NULL), "missing module");
    CHECK(tp_nn_lora(m, "q_proj", plain) == 1);
    COUNT(tp_nn_lora(m, "q_proj", plain), "no linear layer's name matches \"q_proj\"");
    COUNT(tp_nn_lora(m, "q_proj*", plain), "no linear layer's name matches");
    COUNT(tp_nn_lora_merge(m), "q_proj.weight isn't there yet: call tp_nn_init first");
    tp_nn_init(m, dev);
    COUNT(tp_nn_lora_unmerge(m), "there is nothing to take out");
    CHECK(tp_nn_lora_merge(m) == 1);
    COUNT(tp_nn_lora_merge(m), "there is nothing to merge");
    tp_nn_weight_norm(m, "q_proj.weight", (tp_weight_norm_opts){ 0 });
    COUNT(tp_nn_lora_unmerge(m), "q_proj.weight is computed: remove its parametrization first");
    CHECK(tp_nn_count_trained(NULL) == 0);
    tp_nn_free(m);
}
