/*
 * test_nn_files.c - copies of modules, and their files: strict, in part, under other names.
 */
#include "tests/files.h"

static const char *const names[] = {
    "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"
};

/* Linear and batch norm; all its tensors hold v. */
static tp_module *filled(int64_t out, double v, tp_device *dev)
{
    tp_module *l[] = { tp_nn_linear(3, out), tp_nn_batch_norm(out) }, *m = tp_nn_init(tp_nn_sequential(l, 2), dev);

    TP_NO_GRAD;
    for (int i = 0; i < TP_LEN(names); i++)
        CHECK(tp_fill_(tp_nn_tensor(m, names[i]), v + i));
    return m;
}

/* Which tensors hold v + their number, as a string of 0 and 1. */
static const char *holds(tp_module *m, double v)
{
    static char text[8];

    for (int i = 0; i < TP_LEN(names); i++)
        text[i] = check_at(tp_nn_tensor(m, names[i]), 0) == v + i ? '1' : '0';
    return text;
}

ON_EACH_DEVICE(nn_files, copies_and_clones)
{
    tp_module *a = filled(4, 10, dev), *b = filled(4, 20, dev), *c = filled(5, 30, dev), *d,
              *bare = tp_nn_linear(3, 4);
    TP_SCOPE;
    void *where = tp__data(tp_nn_tensor(b, "0.weight"));

    CHECK(tp_nn_copy(b, a) && !strcmp(holds(b, 10), "1111111") && tp__data(tp_nn_tensor(b, "0.weight")) == where);
    CHECK_REFUSED(tp_nn_copy(c, a), TP_ERR_SHAPE, "0.weight is f32 (5, 3) here and f32 (4, 3) there");
    CHECK_REFUSED(tp_nn_copy(bare, a), TP_ERR_ARG, "weight isn't there in both");
    CHECK_REFUSED(tp_nn_copy(NULL, a), TP_ERR_ARG, "missing module");
    CHECK(!strcmp(holds(c, 30), "1111111"));
    CHECK(tp_nn_cast(b, TP_F64) && tp_nn_copy(b, a) && tp_nn_copy(a, b) && !strcmp(holds(a, 10), "1111111"));
    CHECK(tp_dtype_of(tp_nn_tensor(b, "1.num_batches_tracked")) == TP_I64 &&
          tp_dtype_of(tp_nn_tensor(b, "1.running_var")) == TP_F64);
    CHECK_REFUSED(tp_nn_cast(a, TP_I64), TP_ERR_DTYPE, "parameters can't be i64");
    tp_nn_freeze(a, "0.bias", true), tp_nn_train(a, "1", false);
    d = tp_nn_clone(a);
    CHECK(d && !strcmp(holds(d, 10), "1111111") && !tp_needs_grad(tp_nn_tensor(d, "0.bias")) &&
          tp_needs_grad(tp_nn_tensor(d, "0.weight")));
    CHECK(!tp_nn_training(tp_nn_get(d, "1")) && tp_nn_training(d) &&
          tp__data(tp_nn_tensor(d, "0.bias")) != tp__data(tp_nn_tensor(a, "0.bias")));
    tp_nn_free(a);
    CHECK(tp_nn_forward(d, tp_ones(TP_SHAPE(2, 3), TP_F32, dev)) != NULL);
    a = tp_nn_clone(bare); /* described, and not drawn */
    CHECK(a && !tp_nn_tensor(a, "weight") && tp_nn_init(a, dev) && tp_nn_tensor(a, "weight"));
    CHECK_REFUSED(tp_nn_clone(NULL), TP_ERR_ARG, "missing module");
    tp_nn_free(a), tp_nn_free(b), tp_nn_free(c), tp_nn_free(d), tp_nn_free(bare);
}

ON_EACH_DEVICE(nn_files, loading_is_strict)
{
    tp_module *a = filled(4, 10, dev), *b = filled(4, 20, dev), *c = filled(5, 30, dev), *bare = tp_nn_batch_norm(4),
              *drawn;
    tp_load_report r = { .loaded = 99 };
    tp_load_opts o = { .report = &r };
    void *where = tp__data(tp_nn_tensor(b, "0.weight"));

    make_test_folder();
    CHECK(tp_nn_save(a, in_folder("weights")) && tp_nn_load(b, in_folder("weights"), o) && !strcmp(holds(b, 10), "1111111"));
    CHECK(r.loaded == 7 && !r.missing && !r.unexpected && !r.misshaped && !*r.text);
    CHECK(tp__data(tp_nn_tensor(b, "0.weight")) == where && tp_needs_grad(tp_nn_tensor(b, "0.weight")));
    CHECK_REFUSED(tp_nn_load(c, in_folder("weights"), o), TP_ERR_FORMAT, "0 missing, 0 unexpected, 6 misshaped");
    CHECK(r.loaded == 0 && r.misshaped == 6 &&
          strstr(r.text, "  misshaped  0.weight: (4, 3) in the file, (5, 3) in the model\n"));
    CHECK(!strcmp(holds(c, 30), "1111111"));
    CHECK_REFUSED(tp_nn_load(bare, in_folder("weights"), o), TP_ERR_FORMAT, "5 missing, 7 unexpected, 0 misshaped");
    CHECK(strstr(r.text, "  missing    running_mean\n") && strstr(r.text, "  unexpected 1.bias\n") &&
          !tp_nn_tensor(bare, "weight"));
    CHECK_REFUSED(tp_nn_save(bare, in_folder("weights")), TP_ERR_ARG, "weight isn't there yet: call tp_nn_init first");
    CHECK_REFUSED(tp_nn_load(b, "/nowhere/x", o), TP_ERR_IO, "/nowhere/x can't be read");
    CHECK_REFUSED(tp_nn_save(a, "/nowhere/x"), TP_ERR_IO, "/nowhere/x can't be");
    CHECK_REFUSED(tp_nn_load(NULL, in_folder("weights"), o), TP_ERR_ARG, "missing module");
    CHECK(r.loaded == 0); /* the report is of this call */
    drawn = tp_nn_sequential((tp_module *[]){ tp_nn_linear(3, 4), tp_nn_batch_norm(4) }, 2);
    CHECK(tp_nn_cast(drawn, TP_F64) && tp_nn_load(drawn, in_folder("weights"), o) &&
          tp_nn_init(drawn, dev)); /* instead of drawing */
    CHECK(!strcmp(holds(drawn, 10), "1111111") && tp_dtype_of(tp_nn_tensor(drawn, "0.weight")) == TP_F64);
    CHECK(tp_needs_grad(tp_nn_tensor(drawn, "0.weight")) && !tp_needs_grad(tp_nn_tensor(drawn, "1.running_mean")));
    tp_nn_free(a), tp_nn_free(b), tp_nn_free(c), tp_nn_free(bare), tp_nn_free(drawn);
    remove_test_folder();
}

ON_EACH_DEVICE(nn_files, loading_in_part)
{
    tp_module *a = filled(4, 10, dev), *b = filled(4, 20, dev), *c = filled(5, 30, dev),
              *other = tp_nn_container("other");
    tp_load_report r;

    make_test_folder();
    CHECK(tp_nn_save(a, in_folder("weights")));
    CHECK(tp_nn_load(b, in_folder("weights"), (tp_load_opts){ .skip = "1.*", .report = &r }));
    CHECK(r.loaded == 2 && !r.missing && !r.unexpected && !strcmp(holds(b, 10), "1100000") &&
          !strcmp(holds(b, 20), "0011111"));
    CHECK(tp_nn_load(c, in_folder("weights"), (tp_load_opts){ .partial = true, .report = &r }));
    CHECK(r.loaded == 1 && r.misshaped == 6 && !strcmp(holds(c, 10), "0000001") && !strcmp(holds(c, 30), "1111110"));
    tp_nn_add(other, "linear", tp_nn_linear(3, 4)), tp_nn_init(other, dev);
    CHECK(tp_nn_load(other, in_folder("weights"), (tp_load_opts){ .partial = true, .report = &r }) && !r.loaded &&
          r.missing == 2 && r.unexpected == 7);
    tp_nn_free(other), remove_test_folder();
    tp_nn_free(a), tp_nn_free(b), tp_nn_free(c);
}

ON_EACH_DEVICE(nn_files, a_prefix_is_taken_off)
{
    tp_module *a = tp_nn_container("wrapped"), *b = filled(4, 20, dev);
    tp_load_report r;

    make_test_folder();
    tp_nn_add(a, "module", filled(4, 10, dev));
    CHECK(tp_nn_save(a, in_folder("weights")));
    CHECK_REFUSED(tp_nn_load(b, in_folder("weights"), (tp_load_opts){ .report = &r }), TP_ERR_FORMAT,
                  "unexpected module.0.weight");
    CHECK(r.missing == 7 && r.unexpected == 7 && !strcmp(holds(b, 20), "1111111"));
    CHECK(tp_nn_load(b, in_folder("weights"), (tp_load_opts){ .strip_prefix = "module.", .report = &r }) && r.loaded == 7);
    CHECK(!strcmp(holds(b, 10), "1111111"));
    CHECK(tp_nn_load(b, in_folder("weights"), (tp_load_opts){ .strip_prefix = "module.", .skip = "?.bias", .report = &r }) &&
          r.loaded == 5);
    tp_nn_free(a), tp_nn_free(b), remove_test_folder();
}

ON_EACH_DEVICE(nn_files, names_that_begin_otherwise)
{
    tp_module *a = tp_nn_container("other"), *b = filled(4, 20, dev), *under = tp_nn_container("whole");
    tp_load_report r;

    make_test_folder();
    tp_nn_add(a, "first", tp_nn_linear(3, 4));
    tp_nn_add(a, "1", tp_nn_batch_norm(4)), tp_nn_init(a, dev);
    CHECK(tp_nn_save(b, in_folder("weights")));
    CHECK_REFUSED(tp_nn_load(a, in_folder("weights"), (tp_load_opts){ 0 }), TP_ERR_FORMAT, "2 missing, 2 unexpected");
    CHECK(tp_nn_load(a, in_folder("weights"), (tp_load_opts){ .rename = "0.=first.", .report = &r }) && r.loaded == 7);
    CHECK(check_at(tp_nn_tensor(a, "first.weight"), 5) == check_at(tp_nn_tensor(b, "0.weight"), 5));
    CHECK_REFUSED(tp_nn_load(b, in_folder("weights"), (tp_load_opts){ .rename = "0.=first." }), TP_ERR_FORMAT,
                  "2 missing, 2 unexpected"); /* a renamed one has no other name */
    tp_nn_add(under, "net", filled(4, 30, dev));
    CHECK(tp_nn_load(under, in_folder("weights"), (tp_load_opts){ .rename = "=net.", .report = &r }) && r.loaded == 7);
    CHECK(check_at(tp_nn_tensor(under, "net.0.weight"), 5) == check_at(tp_nn_tensor(b, "0.weight"), 5));
    CHECK(tp_nn_save(under, in_folder("weights")));
    CHECK(tp_nn_load(a, in_folder("weights"), (tp_load_opts){ .strip_prefix = "net.", .rename = "0=first", .report = &r }) &&
          r.loaded == 7); /* the prefix goes first */
    CHECK_REFUSED(tp_nn_load(a, in_folder("weights"), (tp_load_opts){ .rename = "first" }), TP_ERR_ARG,
                  "rename \"first\" isn't \"from=to\"");
    tp_nn_free(a), tp_nn_free(b), tp_nn_free(under), remove_test_folder();
}

ON_EACH_DEVICE(nn_files, notes_go_with_a_module)
{
    tp_module *a = filled(4, 10, dev), *b = filled(4, 20, dev), *c;
    char name[16], *text = NULL;

    make_test_folder();
    CHECK(!tp_nn_noted(a, "x") && tp_nn_note(a, "x", "one\n\"two\"") && tp_nn_note(a, "y", "") && tp_nn_note(a, "x", "\xC3\xA9"));
    CHECK(!strcmp(tp_nn_noted(a, "x"), "\xC3\xA9") && !strcmp(tp_nn_noted(a, "y"), ""));
    for (int i = 0; i < 100; i++)
        CHECK(snprintf(name, sizeof name, "class.%d", i) && tp_nn_note(a, name, name));
    CHECK(tp_nn_note(a, "class.50", NULL) && !tp_nn_noted(a, "class.50") && !strcmp(tp_nn_noted(a, "class.99"), "class.99"));
    CASE("copied");
    c = tp_nn_clone(a);
    CHECK(!strcmp(tp_nn_noted(c, "class.7"), "class.7"));
    tp_nn_free(c);
    CASE("saved and loaded");
    CHECK(tp_nn_save_with(a, in_folder("w"), (tp_save_opts){ .meta = &(tp_meta){ "own", "text" }, .n_meta = 1 }));
    CHECK(tp_nn_note(b, "mine", "stays") && tp_nn_note(b, "x", "goes") && tp_nn_load(b, in_folder("w"), (tp_load_opts){ 0 }));
    CHECK(!strcmp(tp_nn_noted(b, "x"), "\xC3\xA9") && !strcmp(tp_nn_noted(b, "mine"), "stays") && !strcmp(tp_nn_noted(b, "class.99"), "class.99"));
    CASE("a load that is refused changes none");
    c = tp_nn_linear(1, 1);
    CHECK_REFUSED(tp_nn_load(c, in_folder("w"), (tp_load_opts){ 0 }), TP_ERR_FORMAT, "doesn't fit");
    CHECK(!tp_nn_noted(c, "x"));
    CASE("refused");
    CHECK_REFUSED(tp_nn_note(NULL, "x", "y"), TP_ERR_ARG, "missing module");
    CHECK_REFUSED(tp_nn_note(a, "", "y"), TP_ERR_ARG, "\"\" can't be a name");
    CHECK(!tp_nn_noted(NULL, "x") && !tp_nn_noted(a, NULL) && (text = calloc(1, 1000)));
    memset(text, 'n', 999);
    CHECK_REFUSED(tp_nn_note(a, text, "y"), TP_ERR_ARG, "1 to 250 characters");
    CHECK_REFUSED(tp_nn_note(a, "bad", "\xFF"), TP_ERR_ARG, "\"bad\": name or text is no UTF-8");
    CASE("a load of a part leaves them alone");
    CHECK(tp_nn_note(b, "x", "mine") && tp_nn_load(b, in_folder("w"), (tp_load_opts){ .only = "0.*" }) && !strcmp(tp_nn_noted(b, "x"), "mine"));
    tp_nn_free(a), tp_nn_free(b), tp_nn_free(c), free(text), remove_test_folder();
}

/* A report keeps to its room, however much is wrong. */
ON_EACH_DEVICE(nn_files, reports_of_large_models)
{
    tp_module *a = tp_nn_container("large"), *b = tp_nn_linear(1, 1);
    tp_load_report r;
    char name[80];

    make_test_folder();
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "a_parameter_with_quite_a_long_name_%d", i);
        CHECK(tp_nn_param(a, name, TP_SHAPE(1), (tp_init){ 0 }));
    }
    CHECK(tp_nn_save(tp_nn_init(a, dev), in_folder("weights")));
    CHECK_REFUSED(tp_nn_load(b, in_folder("weights"), (tp_load_opts){ .report = &r }), TP_ERR_FORMAT,
                  "2 missing, 100 unexpected");
    CHECK(r.unexpected == 100 && strlen(r.text) < sizeof r.text && strlen(r.text) > 1900);
    tp_nn_free(a), tp_nn_free(b), remove_test_folder();
}
