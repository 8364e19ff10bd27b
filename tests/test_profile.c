/*
 * test_profile.c - what a profile tells of a step, of a user's op, of a checkpoint and of workers;
 * its trace as JSON; and what is refused.
 */
#include "tests/calls.h"
#include "tests/files.h"

#include <jansson.h>
#include <pthread.h>

#define IN_FOLDER .init = make_test_folder, .fini = remove_test_folder, .timeout = 120

typedef struct net {
    tp_module *m;
    tp_optim *opt;
    tp_tensor *x, *y;
} net;

/* (4, 1, 8, 8) through a convolution of 6, max-pool, and a linear layer of 3 */
static net begin_net(void)
{
    tp_module *l[] = { tp_nn_conv2d(1, 6, 3, (tp_conv2d_opts){ .padding = 1 }), tp_nn_max_pool2d(2),
                       tp_nn_relu(), tp_nn_flatten(), tp_nn_linear(96, 3) };
    tp_device *cpu = tp_device_open("cpu");
    net n = { .m = tp_nn_sequential(l, TP_LEN(l)) };
    TP_SCOPE;

    tp_seed(5);
    tp_nn_init(n.m, cpu), n.opt = tp_optim_adam(tp_nn_params(n.m, "*"), tp_adam(.01));
    n.x = tp_keep(tp_randn(TP_SHAPE(4, 1, 8, 8), cpu)),
    n.y = tp_keep(tp_zeros(TP_SHAPE(4), TP_I64, cpu));
    return n;
}

static void end_net(net n)
{
    tp_optim_free(n.opt), tp_nn_free(n.m), tp_free(n.x), tp_free(n.y);
}

static double step(net n)
{
    TP_SCOPE;
    tp_tensor *loss = tp_cross_entropy(tp_nn_forward(n.m, n.x), n.y);

    CHECK(tp_optim_zero_grad(n.opt) && tp_backward(loss) && tp_optim_step(n.opt));
    return tp_item(loss);
}

static const tp_profile_row *find(const tp_profile *p, const char *name, tp_phase phase,
                                  const char *module)
{
    static const tp_profile_row none;
    const tp_profile_row *r;
    int n = tp_profile_rows(p, &r);

    for (int i = 0; i < n; i++)
        if (!strcmp(r[i].name, name) && r[i].phase == phase && !strcmp(r[i].module, module))
            return &r[i];
    cr_expect(false, "%s: no row %s, phase %d, module \"%s\"", check_name, name, phase, module);
    return &none;
}

static bool has(const tp_profile *p, const char *name, tp_phase phase)
{
    const tp_profile_row *r;
    int n = tp_profile_rows(p, &r);

    for (int i = 0; i < n; i++)
        if (!strcmp(r[i].name, name) && r[i].phase == phase) return true;
    return false;
}

/* ---- a step ---- */

enum { STEPS = 3 };
static const double conv_flops = 2. * 4 * 6 * 8 * 8 * 9, linear_flops = 2. * 4 * 3 * 96;

static void check_sums(const tp_profile *p)
{
    const tp_profile_row *r;
    int n = tp_profile_rows(p, &r);
    double self = 0;

    for (int i = 0; i < n; i++) {
        CHECK(r[i].calls > 0 && r[i].self >= 0 && r[i].self <= r[i].seconds * (1 + 1e-12));
        CHECK(i == 0 || r[i].self <= r[i - 1].self);
        if (r[i].phase != TP_PHASE_HELPER) self += r[i].self;
    }
    CHECK(n > 0 && self <= tp_profile_seconds(p));
}

Test(profile, of_a_step)
{
    for (int by_module = 0; by_module < 2; by_module++) {
        net n = begin_net();
        const char *conv = by_module ? "0" : "", *linear = by_module ? "4" : "";
        tp_profile *p = tp_profile_begin((tp_profile_opts){ .by_module = by_module });
        const tp_profile_row *r;

        CASE("by module: %d", by_module);
        CHECK(p && tp_profile_rows(p, &r) == 0 && !r && tp_profile_seconds(p) == 0 &&
              tp_profile_peak(p) == 0);
        for (int s = 0; s < STEPS; s++)
            step(n);
        CHECK(tp_profile_end(p));
        r = find(p, "conv2d", TP_PHASE_FORWARD, conv);
        CHECK(r->calls == STEPS && r->flops == STEPS * conv_flops && r->seconds > 0);
        CHECK(r->bytes == STEPS * 4. * (4 * 64 + 6 * 9 + 6 + 4 * 6 * 64));
        r = find(p, "conv2d", TP_PHASE_BACKWARD, conv); /* x wants no gradient */
        CHECK(r->calls == STEPS && r->flops == STEPS * conv_flops && r->seconds > 0);
        CHECK(r->bytes == STEPS * 4. * (4 * 64 + 2 * (6 * 9 + 6) + 4 * 6 * 64));
        CHECK(find(p, "linear", TP_PHASE_FORWARD, linear)->flops == STEPS * linear_flops);
        CHECK(find(p, "linear", TP_PHASE_BACKWARD, linear)->flops == 2 * STEPS * linear_flops);
        CHECK(find(p, "cross_entropy", TP_PHASE_FORWARD, "")->calls == STEPS);
        CHECK(find(p, "cross_entropy", TP_PHASE_BACKWARD, "")->calls == STEPS);
        CHECK(find(p, "adam", TP_PHASE_OTHER, "")->calls == STEPS);
        CHECK(tp_profile_peak(p) > 4 * 4 * 6 * 64);
        check_sums(p);
        tp_profile_free(p), end_net(n);
    }
}

Test(profile, changes_no_bit)
{
    net a = begin_net(), b = begin_net();

    for (int s = 0; s < STEPS; s++) {
        double loss = step(a);
        tp_profile *p = tp_profile_begin((tp_profile_opts){ 0 });

        CHECK(step(b) == loss);
        tp_profile_free(p); /* ends it */
    }
    end_net(a), end_net(b);
}

/* ---- products: FLOP from shapes alone ---- */

typedef struct product {
    const char *name;
    tp_tensor *(*f)(tp_device *dev);
    double forward, backward;
    int calls; /* of that name */
} product;

static tp_tensor *leaf(tp_shape s)
{
    return check_leaf(s, -1, 1, tp_device_open("cpu"));
}

static tp_tensor *f_matmul(tp_device *dev)
{
    (void)dev;
    return tp_matmul(leaf(TP_SHAPE(3, 4, 5)), tp_transpose(leaf(TP_SHAPE(3, 6, 5)), 1, 2));
}

static tp_tensor *f_transposed(tp_device *dev)
{
    (void)dev;
    return tp_conv_transpose2d(leaf(TP_SHAPE(2, 4, 5, 5)), leaf(TP_SHAPE(4, 3, 2, 2)), NULL,
                               (tp_conv2d_opts){ .stride = 2 });
}

static tp_tensor *f_groups(tp_device *dev)
{
    (void)dev;
    return tp_conv2d(leaf(TP_SHAPE(2, 4, 5, 5)), leaf(TP_SHAPE(6, 2, 3, 3)), NULL,
                     (tp_conv2d_opts){ .groups = 2 });
}

static tp_tensor *f_attention(tp_device *dev)
{
    (void)dev;
    return tp_attention(leaf(TP_SHAPE(2, 4, 5, 8)), leaf(TP_SHAPE(2, 2, 6, 8)),
                        leaf(TP_SHAPE(2, 2, 6, 3)), (tp_attention_opts){ .causal = true });
}

static tp_tensor *f_lstm(tp_device *dev)
{
    (void)dev;
    return tp_lstm(leaf(TP_SHAPE(5, 2, 3)), NULL, NULL, leaf(TP_SHAPE(16, 3)),
                   leaf(TP_SHAPE(16, 4)), NULL, NULL)
        .y;
}

Test(profile, products)
{
    static const product all[] = {
        { "matmul", f_matmul, 2. * 3 * 4 * 6 * 5, 4. * 3 * 4 * 6 * 5, 1 },
        { "conv2d_dx", f_transposed, 2. * 2 * 4 * 25 * 12, 4. * 2 * 4 * 25 * 12, 1 },
        { "conv2d", f_groups, 2. * 2 * 6 * 9 * 18, 4. * 2 * 6 * 9 * 18, 1 },
        { "attention", f_attention, 2. * 2 * 4 * 5 * 6 * 11, 5. * 2 * 4 * 5 * 6 * 11, 1 },
        { "lstm", f_lstm, 2. * 10 * 16 * 4, 4. * 10 * 16 * 7,
          1 }, /* the product of its inputs is a linear */
    };

    for (int i = 0; i < TP_LEN(all); i++) {
        TP_SCOPE;
        tp_profile *p = tp_profile_begin((tp_profile_opts){ 0 });

        CASE("%s", all[i].name);
        CHECK(tp_backward(tp_sum(all[i].f(tp_device_open("cpu")), TP_ALL)) && tp_profile_end(p));
        CHECK_NEAR(find(p, all[i].name, TP_PHASE_FORWARD, "")->flops, all[i].forward, 0);
        CHECK_NEAR(find(p, all[i].name, TP_PHASE_BACKWARD, "")->flops, all[i].backward, 0);
        CHECK(find(p, all[i].name, TP_PHASE_FORWARD, "")->calls == all[i].calls);
        tp_profile_free(p);
    }
}

/* ---- ops made of ops, second runs, gradients of gradients ---- */

static bool cube(tp_call *c)
{
    c->out[0] = tp_mul(tp_mul(c->in.t[0], c->in.t[0]), c->in.t[0]);
    return c->out[0] != NULL;
}

static bool cube_back(tp_call *c, tp_tensor *const *dy, tp_tensor **dx)
{
    dx[0] = tp_mul(dy[0], tp_scale(tp_square(c->in.t[0]), 3));
    return dx[0] != NULL;
}

static bool failing(tp_call *c)
{
    return tp_mul(c->in.t[0], c->in.t[0]) && tp_fail(TP_ERR_USER, "not today");
}

Test(profile, a_users_op)
{
    static const tp_user_op op = { "cube", cube, cube_back }, bad = { "bad", failing, cube_back };
    TP_SCOPE;
    tp_profile *p = tp_profile_begin((tp_profile_opts){ 0 });
    tp_tensor *x = leaf(TP_SHAPE(100, 100));
    const tp_profile_row *r;

    CASE("cube");
    for (int i = 0; i < 2; i++)
        CHECK(tp_backward(tp_sum(tp_apply(&op, TP_LIST(x), NULL, 0), TP_ALL)));
    CHECK_REFUSED(tp_apply(&bad, TP_LIST(x), NULL, 0), TP_ERR_USER, "not today");
    CHECK(tp_relu(x) && tp_profile_end(p));
    r = find(p, "cube", TP_PHASE_FORWARD, "");
    CHECK(r->calls == 2 && r->self < r->seconds);
    CHECK(find(p, "mul", TP_PHASE_FORWARD, "")->calls == 5); /* 2 in each cube, 1 in the bad one */
    r = find(p, "cube", TP_PHASE_BACKWARD, "");
    CHECK(r->calls == 2 && r->self == r->seconds && !has(p, "mul", TP_PHASE_BACKWARD));
    CHECK(find(p, "relu", TP_PHASE_FORWARD, "")->calls == 1);
    check_sums(p);
    tp_profile_free(p);
}

static int two_layers(tp_list in, void *user, tp_tensor **out, int room)
{
    (void)user, (void)room;
    out[0] = tp_tanh(tp_matmul(in.t[0], in.t[1]));
    return out[0] ? 1 : -1;
}

Test(profile, a_second_run)
{
    TP_SCOPE;
    tp_profile *p = tp_profile_begin((tp_profile_opts){ 0 });
    tp_tensor *a = leaf(TP_SHAPE(30, 40)), *b = leaf(TP_SHAPE(40, 50)), *y;

    CASE("a checkpoint");
    CHECK(tp_checkpoint(two_layers, TP_LIST(a, b), NULL, &y, 1) == 1 &&
          tp_backward(tp_sum(y, TP_ALL)) && tp_profile_end(p));
    CHECK(find(p, "matmul", TP_PHASE_FORWARD, "")->calls == 1 &&
          find(p, "matmul", TP_PHASE_AGAIN, "")->calls == 1);
    CHECK(find(p, "tanh", TP_PHASE_AGAIN, "")->calls == 1 &&
          find(p, "matmul", TP_PHASE_BACKWARD, "")->calls == 1);
    CHECK(find(p, "matmul", TP_PHASE_AGAIN, "")->flops == 2. * 30 * 40 * 50);
    CHECK(find(p, "tanh", TP_PHASE_BACKWARD, "")->self <
          find(p, "tanh", TP_PHASE_BACKWARD, "")->seconds);
    check_sums(p);
    tp_profile_free(p);
    CASE("a gradient of a gradient");
    p = tp_profile_begin((tp_profile_opts){ 0 });
    y = tp_grad_of(tp_sum(tp_square(tp_matmul(a, b)), TP_ALL), a,
                   (tp_grad_opts){ .create_graph = true });
    CHECK(tp_backward(tp_sum(y, TP_ALL)) && tp_profile_end(p));
    CHECK(find(p, "matmul", TP_PHASE_FORWARD, "")->calls == 1 &&
          find(p, "matmul", TP_PHASE_BACKWARD, "")->calls >= 2);
    check_sums(p);
    tp_profile_free(p);
}

/* ---- the trace ---- */

static json_t *events_of(const char *path)
{
    json_error_t why;
    json_t *root = json_load_file(path, 0, &why),
           *events = json_incref(json_object_get(root, "traceEvents"));

    cr_assert(root && json_is_array(events), "%s: %s, line %d", path, why.text, why.line);
    json_decref(root);
    return events;
}

static double number(json_t *e, const char *key)
{
    return json_number_value(json_object_get(e, key));
}

static int count_events(json_t *all, const char *name, const char *cat, const char *module)
{
    int n = 0;

    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *e = json_array_get(all, i);
        const char *is = json_string_value(json_object_get(e, "name")),
                   *in = json_string_value(json_object_get(e, "cat"));
        const char *of = json_string_value(json_object_get(json_object_get(e, "args"), "module"));

        CHECK(is && json_string_value(json_object_get(e, "ph")) && json_object_get(e, "pid"));
        if (!in || !of) continue;
        CHECK(number(e, "ts") >= 0 && number(e, "dur") >= 0);
        n += !strcmp(is, name) && !strcmp(in, cat) && (!module || !strcmp(of, module));
    }
    return n;
}

Test(profile, its_trace, IN_FOLDER)
{
    net n = begin_net();
    TP_SCOPE;
    tp_module *odd = tp_nn_container("odd");
    tp_loader *l = tp_data_loader(tp_data_tensors(TP_LIST(n.x, n.y)),
                                  (tp_loader_opts){ .batch = 1, .workers = 2 });
    tp_profile *p = tp_profile_begin((tp_profile_opts){ .trace = in_folder("trace.json") });
    json_t *all;
    tp_batch b;

    cr_assert(p, "%s", tp_error());
    for (int s = 0; s < STEPS; s++)
        step(n);
    for (int pass = 0; pass < 4; pass++)
        while (tp_data_next(l, &b)) continue;
    CHECK(tp_nn_add(odd, "a\"b\\\n", tp_nn_relu()));
    CHECK(tp_nn_forward(tp_nn_get(odd, "a\"b\\\n"), n.x) != NULL);
    CHECK(tp_profile_end(p));
    CASE("the trace");
    all = events_of(in_folder("trace.json"));
    CHECK(count_events(all, "conv2d", "forward", "0") == STEPS &&
          count_events(all, "conv2d", "backward", "0") == STEPS);
    CHECK(count_events(all, "adam", "other", NULL) == STEPS &&
          count_events(all, "relu", "forward", "a\"b\\\n") == 1);
    CHECK(count_events(all, "tp_data_next", "other", NULL) == 20 &&
          count_events(all, "a batch", "helper", NULL) >= 8);
    CHECK(find(p, "a batch", TP_PHASE_HELPER, "")->calls ==
          count_events(all, "a batch", "helper", NULL));
    json_decref(all), tp_profile_free(p), tp_data_free(l), tp_nn_free(odd);
    CASE("fewer events than there are");
    p = tp_profile_begin((tp_profile_opts){ .trace = in_folder("short.json"), .events = 5 });
    step(n);
    CHECK(tp_profile_end(p) && find(p, "adam", TP_PHASE_OTHER, "")->calls == 1);
    all = events_of(in_folder("short.json"));
    CHECK(json_array_size(all) == 5 + 2); /* and the names of process and thread */
    json_decref(all), tp_profile_free(p), end_net(n);
}

static void print(const tp_profile *p, const char *path)
{
    int old = dup(1), to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    fflush(stdout), dup2(to, 1);
    CHECK(tp_profile_print(p));
    fflush(stdout), dup2(old, 1), close(to), close(old);
}

Test(profile, its_table, IN_FOLDER)
{
    net n = begin_net();
    tp_profile *p = tp_profile_begin((tp_profile_opts){ .by_module = true, .rows = 4 });
    char *text;

    CASE("printed");
    step(n);
    CHECK_REFUSED(tp_profile_print(p), TP_ERR_ARG, "it goes on: tp_profile_end first");
    CHECK(tp_profile_end(p));
    print(p, in_folder("table"));
    text = read_whole(in_folder("table"), NULL);
    CHECK(text && strstr(text, "GFLOP/s") && strstr(text, "self ms") &&
          strstr(text, "  module\n") && strstr(text, "rows more\n"));
    CHECK(text && strstr(text, " MiB of tensors\n"));
    free(text), tp_profile_free(p), end_net(n);
}

/* ---- what is refused ---- */

static void *by_another(void *user)
{
    tp_profile *p = user;

    CASE("by another thread");
    CHECK_REFUSED(tp_profile_end(p), TP_ERR_ARG, "it is another thread's, which must end it");
    tp_profile_free(p);
    CHECK_REFUSED(false, TP_ERR_ARG, "it is another thread's, which must end it");
    CHECK_REFUSED(tp_profile_begin((tp_profile_opts){ 0 }), TP_ERR_ARG,
                  "one is being taken already");
    CHECK(tp_relu(tp_zeros(TP_SHAPE(3), TP_F32, tp_device_open("cpu"))) != NULL);
    return NULL;
}

Test(profile, refusals, IN_FOLDER)
{
    TP_SCOPE;
    tp_profile *p;
    const tp_profile_row *r;
    pthread_t t;

    ARG(tp_profile_begin((tp_profile_opts){ .events = -1 }), "neither may be negative");
    ARG(tp_profile_begin((tp_profile_opts){ .rows = -1 }), "neither may be negative");
    REFUSED(tp_profile_begin((tp_profile_opts){ .trace = in_folder("no/trace") }), TP_ERR_IO,
            "no/trace can't be written: No such file");
    ARG(tp_profile_end(NULL), "missing profile");
    ARG(tp_profile_print(NULL), "missing profile");
    tp_profile_free(NULL);
    p = tp_profile_begin((tp_profile_opts){ 0 });
    ARG(tp_profile_begin((tp_profile_opts){ 0 }),
        "one is being taken already: tp_profile_end ends it");
    cr_assert(pthread_create(&t, NULL, by_another, p) == 0);
    pthread_join(t, NULL);
    CHECK(tp_profile_end(p) && tp_profile_rows(p, &r) == 0); /* of this thread there was nothing */
    ARG(tp_profile_end(p), "it has ended already");
    tp_profile_free(p);
    CASE("a full disk");
    p = tp_profile_begin((tp_profile_opts){ .trace = "/dev/full" });
    CHECK(p && tp_relu(tp_zeros(TP_SHAPE(3), TP_F32, tp_device_open("cpu"))));
    CHECK_REFUSED(tp_profile_end(p), TP_ERR_IO, "/dev/full is not complete: No space left");
    CHECK(tp_profile_rows(p, &r) == 2); /* fill and relu: the table is there all the same */
    tp_profile_free(p);
    CASE("a run that failed has a trace");
    p = tp_profile_begin((tp_profile_opts){ .trace = in_folder("trace.json") });
    tp_fail(TP_ERR_USER, "mine");
    CHECK(!tp_profile_begin((tp_profile_opts){ 0 }) && !tp_profile_print(p));
    CHECK_REFUSED(tp_profile_end(p), TP_ERR_USER, "mine");
    json_decref(events_of(in_folder("trace.json")));
    tp_profile_free(p);
    CASE("out of memory");
    for (int n = 0; n < 4; n++) {
        tp__fail_after = n, p = tp_profile_begin((tp_profile_opts){ .trace = in_folder("t") }),
        tp__fail_after = -1;
        CHECK(p || tp_error_code() == TP_ERR_MEMORY);
        tp_clear_error(), tp_profile_free(p);
    }
}

Test(profile, of_a_step_without_memory)
{
    static const tp_user_op op = { "cube", cube, cube_back };
    bool done = false;

    for (int n = 0; !done && n < 400; n++) {
        long before = (tp_thread_end(), tp__live());
        tp_profile *p = tp_profile_begin((tp_profile_opts){ 0 });

        CASE("allocation %d", n);
        {
            TP_SCOPE;
            tp_tensor *x = leaf(TP_SHAPE(3, 3)), *y;

            tp__fail_after = n;
            y = tp_apply(&op, TP_LIST(tp_matmul(x, x)), NULL, 0);
            done = tp_backward(tp_sum(y, TP_ALL));
            tp__fail_after = -1;
            CHECK(done || tp_error_code() == TP_ERR_MEMORY);
            tp_clear_error();
            CHECK(tp_backward(tp_sum(tp_matmul(x, x), TP_ALL)));
        }
        CHECK(tp_profile_end(p) && find(p, "matmul", TP_PHASE_BACKWARD, "")->calls >= 1);
        check_sums(p);
        tp_profile_free(p), tp_thread_end();
        cr_expect(tp__live() == before, "%s: %ld blocks leak", check_name, tp__live() - before);
    }
    CHECK(done);
}

/* Ended in a hook, in the middle of a backward, and begun there. */
static tp_tensor *end_it(tp_tensor *grad, void *user)
{
    tp_profile **p = user;

    (void)grad;
    if (*p) CHECK(tp_profile_end(*p));
    else *p = tp_profile_begin((tp_profile_opts){ 0 });
    return NULL;
}

static bool back_that_ends(tp_call *c, tp_tensor *const *dy, tp_tensor **dx)
{
    end_it(NULL, *(tp_profile ***)(uintptr_t)c->opts);
    dx[0] = tp_mul(dy[0], c->in.t[0]);
    return dx[0] != NULL;
}

Test(profile, ended_anywhere)
{
    static const tp_user_op op = { "ends", cube, back_that_ends };
    TP_SCOPE;

    for (int begin = 0; begin < 2; begin++)
        for (int inside = 0; inside < 2; inside++) {
            tp_profile *p = begin ? NULL : tp_profile_begin((tp_profile_opts){ 0 }), **at = &p;
            tp_tensor *x = leaf(TP_SHAPE(3)),
                      *y = inside ? tp_apply(&op, TP_LIST(x), &at, sizeof at) : tp_tanh(x);

            CASE("begin %d, inside an op %d", begin, inside);
            if (!inside) CHECK(tp_add_hook(y, end_it, &p));
            CHECK(tp_backward(tp_sum(tp_relu(y), TP_ALL)) && tp_grad(x));
            if (begin) CHECK(tp_profile_end(p));
            CHECK(p && !tp__me()->probe);
            tp_profile_free(p);
        }
}
