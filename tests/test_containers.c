/*
 * test_containers.c - residual, list, dict, functions as layers: names, ownership, copies.
 */
#include "tests/check.h"

static tp_tensor *doubled(tp_tensor *x, void *user)
{
    ++*(int *)user;
    return tp_scale(x, 2);
}

static tp_tensor *silent(tp_tensor *x, void *user)
{
    (void)x, (void)user;
    return NULL;
}

static tp_tensor *complaining(tp_tensor *x, void *user)
{
    (void)x;
    return tp_fail(TP_ERR_USER, "%s", (const char *)user);
}

ON_EACH_DEVICE(containers, residual)
{
    int calls = 0;
    tp_module *m = tp_nn_residual(tp_nn_lambda("doubled", doubled, &calls), NULL), *both;
    TP_SCOPE;
    tp_tensor *x = tp_requires_grad(tp_from((float[]){ 1, 2 }, TP_SHAPE(2), TP_F32, dev), true);
    tp_tensor *y = tp_nn_forward(m, x);

    CHECK(check_at(y, 0) == 3 && check_at(y, 1) == 6 && calls == 1);
    CHECK(tp_backward(tp_sum(y, TP_ALL)) && check_at(tp_grad(x), 1) == 3);
    CHECK(tp_nn_children(m) == 1 && !strcmp(tp_nn_child_name(m, 0), "body"));
    both = tp_nn_residual(m, tp_nn_lambda("doubled", doubled, &calls));
    CHECK(check_at(tp_nn_forward(both, x), 1) == 10 && calls == 3);
    CHECK(tp_nn_get(both, "body.body") != NULL && tp_nn_get(both, "shortcut") == tp_nn_child(both, -1));
    CHECK_REFUSED(tp_nn_residual(NULL, NULL), TP_ERR_ARG, "missing child for body");
    CHECK_REFUSED(tp_nn_residual(NULL, tp_nn_relu()), TP_ERR_ARG, "missing child for body");
    CHECK_REFUSED(tp_nn_residual(m, NULL), TP_ERR_ARG, "body already has a parent");
    y = NULL;
    {
        tp_module *same = tp_nn_relu();
        CHECK_REFUSED(tp_nn_residual(same, same), TP_ERR_ARG, "tp_nn_residual: layer 1 is there already");
    }
    tp_nn_free(both);
}

ON_EACH_DEVICE(containers, lists)
{
    tp_module *m = tp_nn_list((tp_module *[]){ tp_nn_linear(2, 3), tp_nn_linear(3, 2) }, 2);
    tp_module *last = tp_nn_append(m, tp_nn_relu()), *row = tp_nn_sequential(NULL, 0), *dict;
    TP_SCOPE;
    tp_tensor *x = tp_ones(TP_SHAPE(1, 2), TP_F32, dev);

    CHECK(last && tp_nn_children(m) == 3 && tp_nn_child(m, 2) == last && tp_nn_child(m, -1) == last &&
          tp_nn_child(m, -3) == tp_nn_get(m, "0") && !strcmp(tp_nn_child_name(m, -1), "2"));
    tp_nn_init(m, dev);
    CHECK(tp_nn_tensor(m, "1.weight") && tp_nn_forward(tp_nn_child(m, 0), x));
    CHECK_REFUSED(tp_nn_forward(m, x), TP_ERR_ARG, "list: a container has no forward");
    CHECK_REFUSED(tp_nn_child(m, 3), TP_ERR_ARG, "tp_nn_child: there is no child 3 of 3 in list");
    CHECK_REFUSED(tp_nn_child_name(m, -4), TP_ERR_ARG, "there is no child -4 of 3");
    CHECK_REFUSED(tp_nn_child(NULL, 0), TP_ERR_ARG, "missing module");
    CHECK(tp_nn_children(NULL) == 0);
    CHECK(tp_nn_append(row, tp_nn_relu()) && tp_nn_append(row, tp_nn_tanh()) && tp_nn_children(row) == 2);
    CHECK_NEAR(check_at(tp_nn_forward(row, x), 0), tanh(1), 8 * 0x1p-23);
    dict = tp_nn_dict((const char *const[]){ "a" }, (tp_module *[]){ tp_nn_relu() }, 1);
    CHECK_REFUSED(tp_nn_append(dict, tp_nn_relu()), TP_ERR_ARG, "tp_nn_append: dict is neither a list nor sequential");
    CHECK_REFUSED(tp_nn_append(NULL, tp_nn_relu()), TP_ERR_ARG, "missing parent for 0");
    CHECK_REFUSED(tp_nn_append(m, NULL), TP_ERR_ARG, "missing child for 3");
    CHECK_REFUSED(tp_nn_list(NULL, 2), TP_ERR_ARG, "tp_nn_list: 2 layers, and no pointer to them");
    CHECK_REFUSED(tp_nn_list((tp_module *[]){ tp_nn_relu(), NULL, tp_nn_relu() }, 3), TP_ERR_ARG, "missing child for 1");
    tp_nn_free(m), tp_nn_free(row), tp_nn_free(dict);
}

ON_EACH_DEVICE(containers, dicts)
{
    static const char *const names[] = { "encoder", "head" }, *const dotted[] = { "a", "b.c" }, *const twice[] = { "a", "a" };
    tp_module *m = tp_nn_dict(names, (tp_module *[]){ tp_nn_linear(2, 3), tp_nn_linear(3, 1) }, 2), *copy;
    TP_SCOPE;

    tp_nn_init(m, dev);
    CHECK(tp_nn_tensor(m, "head.bias") && tp_nn_get(m, "encoder") == tp_nn_child(m, 0));
    CHECK(tp_nn_freeze(m, "encoder.*", true) == 2 && tp_nn_count(m) == 13);
    CHECK(tp_nn_replace(m, "head", tp_nn_linear(3, 4)) && tp_nn_init(m, dev) &&
          tp_dim(tp_nn_tensor(m, "head.weight"), 0) == 4 && !strcmp(tp_nn_child_name(m, 1), "head"));
    copy = tp_nn_clone(m);
    CHECK(tp_nn_children(copy) == 2 && !tp_needs_grad(tp_nn_tensor(copy, "encoder.weight")) &&
          !strcmp(tp_nn_kind(copy), "dict"));
    CHECK(tp_nn_add(m, "extra", tp_nn_relu()) != NULL && tp_nn_children(m) == 3);
    CHECK_REFUSED(tp_nn_dict(dotted, (tp_module *[]){ tp_nn_relu(), tp_nn_relu() }, 2), TP_ERR_ARG, "\"b.c\" can't be a name");
    CHECK_REFUSED(tp_nn_dict(twice, (tp_module *[]){ tp_nn_relu(), tp_nn_relu() }, 2), TP_ERR_ARG, "there is a a already");
    CHECK_REFUSED(tp_nn_dict(NULL, (tp_module *[]){ tp_nn_relu(), tp_nn_relu() }, 2), TP_ERR_ARG,
                  "tp_nn_dict: 2 modules, and no pointer to their names");
    CHECK_REFUSED(tp_nn_dict(names, NULL, 2), TP_ERR_ARG, "and no pointer to them");
    tp_nn_free(m), tp_nn_free(copy), tp_nn_free(tp_nn_dict(NULL, NULL, 0));
}

ON_EACH_DEVICE(containers, functions_as_layers)
{
    int calls = 0;
    tp_module *m = tp_nn_lambda("twice", doubled, &calls), *copy = tp_nn_clone(m), *bad;
    TP_SCOPE;
    tp_tensor *x = tp_ones(TP_SHAPE(2), TP_F32, dev);

    CHECK(check_at(tp_nn_forward(m, x), 0) == 2 && check_at(tp_nn_forward(copy, x), 1) == 2 && calls == 2);
    CHECK(!strcmp(tp_nn_kind(copy), "twice"));
    bad = tp_nn_lambda("silent", silent, NULL);
    CHECK_REFUSED(tp_nn_forward(bad, x), TP_ERR_USER, "silent: its forward failed without an error");
    tp_nn_free(bad), bad = tp_nn_lambda("loud", complaining, "no luck");
    CHECK_REFUSED(tp_nn_forward(bad, x), TP_ERR_USER, "no luck");
    CHECK_REFUSED(tp_nn_lambda(NULL, doubled, NULL), TP_ERR_ARG, "tp_nn_lambda: missing kind");
    CHECK_REFUSED(tp_nn_lambda("f", NULL, NULL), TP_ERR_ARG, "tp_nn_lambda: missing function");
    tp_nn_free(m), tp_nn_free(copy), tp_nn_free(bad);
}

/* ---- a layer of one's own, with options ---- */

typedef struct twice_opts {
    double factor;
} twice_opts;

static int twice_forward(void *self, tp_list in, tp_tensor **out, int room)
{
    const twice_opts *o = tp_nn_opts(self);

    (void)room;
    return tp_nn_gives(out, tp_scale(tp_nn_call(self, "inner.0", in.t[0]), o->factor));
}

static tp_module *twice(twice_opts o, int64_t width)
{
    tp_module *m = tp_nn_layer("twice", twice_forward, &o, sizeof o);
    tp_module *inner = tp_nn_add(m, "inner", tp_nn_list(NULL, 0));

    tp_nn_append(inner, tp_nn_linear(width, width));
    return tp_nn_made(m);
}

Test(containers, a_layer_with_options)
{
    TP_SCOPE;
    tp_device *dev = tp_device_open("cpu");
    tp_module *m = tp_nn_init(twice((twice_opts){ 2 }, 3), dev), *copy = tp_nn_clone(m);
    tp_tensor *x = tp_ones(TP_SHAPE(1, 3), TP_F32, dev), *one = tp_nn_call(m, "inner.0", x);

    CHECK(tp_allclose(tp_nn_forward(m, x), tp_scale(one, 2), 0, 0));
    CHECK(tp_allclose(tp_nn_forward(copy, x), tp_nn_forward(m, x), 0, 0));
    CHECK(tp_nn_has(m, "inner.0") && tp_nn_has(m, "inner.0.weight") && tp_nn_has(m, "") && !tp_nn_has(m, "inner.1"));
    CHECK(!tp_nn_has(m, "inner.0.weights") && !tp_nn_has(NULL, "a") && !tp_nn_has(m, NULL) && !tp_nn_opts(NULL));
    {
        tp_tensor *both[] = { x };

        CHECK_REFUSED(tp_nn_apply(m, (tp_list){ both, 1 }, both, 1) >= 0, TP_ERR_ARG, "would overwrite its inputs");
    }
    CHECK_REFUSED(tp_nn_call(m, "outer", x), TP_ERR_ARG, "there is no module outer");
    CHECK_REFUSED(twice((twice_opts){ 2 }, 0), TP_ERR_ARG, "0 in, 0 out"); /* frees what was made */
    CHECK(!tp_nn_made(NULL) && tp_ok());
    tp_nn_free(copy), tp_nn_free(m);
}

Test(containers, tied_weights_count_once)
{
    TP_SCOPE;
    tp_module *m = tp_nn_list((tp_module *[]){ tp_nn_linear(3, 3), tp_nn_linear(3, 3) }, 2);

    tp_nn_init(m, tp_device_open("cpu"));
    CHECK(tp_nn_count(m) == 24 && tp_nn_set(m, "1.weight", tp_nn_tensor(m, "0.weight")) && tp_nn_count(m) == 15);
    CHECK(tp_nn_freeze(m, "0.bias", true) == 1 && tp_nn_count_trained(m) == 12);
    tp_nn_free(m);
}
