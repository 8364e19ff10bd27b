/*
 * test_summary.c - the table of a model, and that making it leaves everything as it was.
 */
#include "tests/files.h"

static int hooked;

static void count_hook(tp_module *m, tp_list in, tp_list out, void *user)
{
    (void)m, (void)in, (void)out, (void)user;
    hooked++;
}

static tp_tensor *noisy(tp_tensor *x, void *user)
{
    (void)user;
    return tp_add(x, tp_rand_like(x));
}

static tp_module *network(void)
{
    return tp_nn_sequential((tp_module *[]){ tp_nn_conv2d(1, 4, 3, (tp_conv2d_opts){ 0 }), tp_nn_batch_norm(4), tp_nn_relu(),
                                             tp_nn_residual(tp_nn_lambda("noisy", noisy, NULL), NULL), tp_nn_dropout(.5),
                                             tp_nn_flatten(), tp_nn_linear(144, 10) }, 7);
}

static const char wanted[] =
    "layer   kind        output        parameters  trainable  param mem  out mem\n"
    "---------------------------------------------------------------------------\n"
    "(all)   sequential  (2, 10)                -          -        0 B     80 B\n"
    "0       conv2d      (2, 4, 6, 6)          40     frozen      160 B   1.2 KB\n"
    "1       batch_norm  (2, 4, 6, 6)           8          8       72 B   1.2 KB\n"
    "2       relu        (2, 4, 6, 6)           -          -        0 B   1.2 KB\n"
    "3       residual    (2, 4, 6, 6)           -          -        0 B   1.2 KB\n"
    "3.body  noisy       (2, 4, 6, 6)           -          -        0 B   1.2 KB\n"
    "4       dropout     (2, 4, 6, 6)           -          -        0 B      0 B\n"
    "5       flatten     (2, 144)               -          -        0 B   1.2 KB\n"
    "6       linear      (2, 10)             1450       1450     5.8 KB     80 B\n"
    "---------------------------------------------------------------------------\n"
    "1498 parameters, 1458 trainable, 40 frozen\n"
    "6.0 KB of parameters and buffers, 5.8 KB of outputs of layers\n";

ON_EACH_DEVICE(summary, table_and_all_as_before)
{
    tp_module *m = tp_nn_init(network(), dev);
    char text[4096], small[20];
    TP_SCOPE;
    tp_tensor *x = tp_ones(TP_SHAPE(2, 1, 8, 8), TP_F32, dev);
    tp_rng before;
    size_t n;

    tp_nn_freeze(m, "0.*", true), tp_nn_train(m, "1", false);
    CHECK(tp_nn_add_hook(tp_nn_get(m, "2"), count_hook, NULL));
    hooked = 0, before = tp_rng_save();
    n = tp_summary_text(m, TP_LIST(x), text, sizeof text);
    cr_expect(n == strlen(text) && !strcmp(text, wanted), "%s\n%s", tp_error(), text);
    CHECK(tp_summary_text(m, TP_LIST(x), small, sizeof small) == n && !strncmp(small, wanted, 19) && !small[19]);
    CHECK(tp_summary_text(m, TP_LIST(x), NULL, 0) == n);
    CHECK(hooked == 0 && tp_rng_save().offset == before.offset && tp_grad_enabled());
    CHECK(tp_nn_training(m) && !tp_nn_training(tp_nn_get(m, "1")) && tp_nn_training(tp_nn_get(m, "4")));
    CHECK(check_at(tp_nn_tensor(m, "1.num_batches_tracked"), 0) == 0 && check_at(tp_nn_tensor(m, "1.running_var"), 0) == 1);
    CHECK(tp_nn_forward(m, x) && hooked == 1);
    /* after a failure too */
    CHECK_REFUSED(tp_summary_text(m, TP_LIST(tp_ones(TP_SHAPE(2, 2), TP_F32, dev)), text, sizeof text), TP_ERR_SHAPE,
                  "conv2d");
    CHECK(!*text && tp_nn_training(m) && !tp_nn_training(tp_nn_get(m, "1")) && tp_nn_forward(m, x) && hooked == 2);
    tp_nn_free(m);
}

/* ---- long names, several outputs, what didn't run, ties ---- */

static int half(void *self, tp_list in, tp_tensor **out, int room)
{
    tp_module *m = self;

    if (room < 2) return -1;
    out[0] = tp_nn_forward(tp_nn_get(m, "used"), in.t[0]), out[1] = tp_nn_forward(tp_nn_get(m, "used"), in.t[1]);
    return 2;
}

ON_EACH_DEVICE(summary, wide_and_odd)
{
    tp_module *m = tp_nn_from("half", NULL, half, NULL), *deep = tp_nn_sequential(NULL, 0), *at;
    char text[8192], name[64];
    TP_SCOPE;
    tp_tensor *x = tp_ones(TP_SHAPE(1, 3), TP_F64, dev);

    tp_nn_add(m, "used", tp_nn_linear(3, 3)), tp_nn_add(m, "unused", tp_nn_linear(3, 3));
    CHECK(tp_nn_cast(m, TP_F64) && tp_nn_init(m, dev) && tp_nn_set(m, "unused.weight", tp_nn_tensor(m, "used.weight")));
    CHECK(tp_summary_text(m, TP_LIST(x, x), text, sizeof text) > 0);
    cr_expect(strstr(text, "(all)   half    (1, 3), ...           -") && strstr(text, "used    linear  (1, 3)               12") &&
              strstr(text, "unused  linear  -                     3          3       24 B      0 B\n") &&
              strstr(text, "15 parameters, 15 trainable, 0 frozen\n120 B of parameters and buffers, 48 B of outputs"), "%s", text);
    at = deep;
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "a_level_with_quite_a_long_name_%d", i);
        at = tp_nn_add(at, name, i < 2 ? tp_nn_sequential(NULL, 0) : tp_nn_lambda("a_kind_whose_name_is_longer_than_any", noisy, NULL));
    }
    x = tp_ones(TP_SHAPE(1, 1, 1, 1, 1, 1, 1000, 1000), TP_F32, dev);
    CHECK(tp_summary_text(deep, TP_LIST(x), text, sizeof text) > 0);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        cr_expect(end - line <= 100, "%.*s", (int)(end - line), line);
    cr_expect(strstr(text, "long_name_2  ") && strstr(text, "..") && strstr(text, "1000, 1000)"), "%s", text);
    tp_nn_free(m), tp_nn_free(deep);
}

/* ---- to a file, and refusals ---- */

Test(summary, file_and_refusals, .init = make_test_folder, .fini = remove_test_folder)
{
    tp_device *dev = tp_device_open("cpu");
    tp_module *m = network(), *list = tp_nn_list(NULL, 0);
    tp_tensor *x = tp_ones(TP_SHAPE(2, 1, 8, 8), TP_F32, dev);
    FILE *f = fopen(in_folder("table"), "w"), *full = fopen("/dev/full", "w");
    char *text;

    CASE("file");
    CHECK_REFUSED(tp_summary(f, m, x), TP_ERR_ARG, "weight isn't there yet: call tp_nn_init first");
    tp_nn_init(m, dev), tp_nn_freeze(m, "0.*", true);
    CHECK(tp_summary(f, m, x) && !fclose(f));
    text = read_whole(in_folder("table"), NULL);
    CHECK(!strcmp(text, wanted));
    if (full) CHECK_REFUSED(tp_summary(full, m, x), TP_ERR_IO, "it can't be written");
    if (full) fclose(full);
    CHECK_REFUSED(tp_summary(NULL, m, x), TP_ERR_ARG, "tp_summary: missing file");
    CHECK_REFUSED(tp_summary(stdout, NULL, x), TP_ERR_ARG, "tp_summary: missing module");
    CHECK_REFUSED(tp_summary(stdout, m, NULL), TP_ERR_ARG, "missing input");
    CHECK_REFUSED(tp_summary(stdout, list, x), TP_ERR_ARG, "list: a container has no forward");
    CHECK_REFUSED(tp_summary_text(NULL, TP_LIST(x), NULL, 0), TP_ERR_ARG, "tp_summary_text: missing module");
    free(text), tp_nn_free(m), tp_nn_free(list);
}
