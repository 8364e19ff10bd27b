/*
 * test_dnn.c - convolutions by cuDNN's plans: which engines may run, how long plans are kept, and that
 * our own kernels go on where there is none.  The stand-in's engines that may not run compute NaN.
 */
#include "tests/cudasim/dnn.h"
#include "tests/cudasim/slots.h"

#include <cudnn_version.h>

enum { PLANS = 256 };

/* ---- the machines, in trouble ---- */

static void set_or_not(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

static void enter(const char *trouble, const char *workspace)
{
    set_or_not("CUDASIM_DNN", trouble), set_or_not("TAPER_CUDNN_WORKSPACE", workspace);
    open_machines();
}

static cudasim_dnn_stats now(void)
{
    static void (*get)(cudasim_dnn_stats * to);
    cudasim_dnn_stats s;

    if (!get) {
        void *symbol = dlsym(dlopen(getenv("TAPER_CUDA_LIBRARY"), RTLD_NOW),
                             "cudasim_dnn_get_stats");

        cr_assert(symbol, "%s", dlerror());
        memcpy(&get, &symbol, sizeof get);
    }
    get(&s);
    return s;
}

static int runs(cudasim_dnn_stats s)
{
    int all = 0;

    for (int i = 0; i < CUDASIM_ENGINES; i++)
        all += s.runs[i];
    return all;
}

/* Nothing of cuDNN's outlives the context. */
static void leave(void)
{
    cudasim_dnn_stats s;

    release_all(), close_machines();
    s = now();
    cr_expect(s.handles == 0 && s.descriptors == 0,
              "%d handles and %d descriptors are left", s.handles, s.descriptors);
    cr_expect_eq(s.plans_captured, 0);
}

/* ---- a layer ---- */

typedef struct layer {
    tp_window g;
    tp_dtype t;
    buffer x, w, b, y, dy, dx, dw;
} layer;

static layer layer_of(tp_dtype t, int64_t N, int64_t size, int64_t C, int64_t O,
                      int64_t K)
{
    int64_t out = tp_window_out(size, K, 1, K / 2, 1);
    tp_window g = { N, size, size, C, O, out, out, K, K, 1, 1, K / 2, K / 2, 1, 1, 1 };
    int64_t in = N * size * size * C, outs = N * out * out * O, weights = O * C * K * K;

    return (layer){ g,
                    t,
                    numbers(t, in, -1, 1),
                    numbers(t, weights, -1, 1),
                    numbers(t, O, -1, 1),
                    blank(t, outs),
                    numbers(t, outs, -1, 1),
                    blank(t, in),
                    blank(t, weights) };
}

/* All slots, 5 runs of 4 plans: a gradient of x that is added has one of its own. */
enum { RUNS = 5 };
static void check_layer(layer *k)
{
    RUN(conv2d, k->t, &k->g, AT(k->x), AT(k->w), AT(k->b), AT(k->y));
    check_close(&k->y, 16);
    RUN(conv2d_dx, k->t, &k->g, AT(k->dy), AT(k->w), false, AT(k->dx));
    check_close(&k->dx, 16);
    RUN(conv2d_dx, k->t, &k->g, AT(k->dy), AT(k->w), true, AT(k->dx));
    check_close(&k->dx, 16);
    RUN(conv2d_dw, k->t, &k->g, AT(k->x), AT(k->dy), false, AT(k->dw));
    RUN(conv2d_dw, k->t, &k->g, AT(k->x), AT(k->dy), true, AT(k->dw));
    check_close(&k->dw, 64);
}

static void forward(const layer *k, int expected)
{
    tp_ctx *c = &ctx[CUDA];
    int status = c->backend->conv2d[k->t](c, &k->g, k->x.at[CUDA], k->w.at[CUDA], NULL,
                                          k->y.at[CUDA]);

    cr_expect_eq(status, expected, "%s: status %d: %s", case_name, status,
                 status ? c->error : "");
}

/* ---- plans ---- */

Test(dnn, a_plan_is_made_once)
{
    enter(NULL, NULL);
    for (int i = 0; i < LEN(floats); i++) {
        layer k = layer_of(floats[i], 2, 5, 3, 4, 3);
        cudasim_dnn_stats before = now(), first, second;
        int engine = floats[i] == TP_F32 ? CUDASIM_ORDINARY : CUDASIM_TENSOR_CORE;

        CASE("%s", dtype_names[floats[i]]);
        check_layer(&k), first = now();
        check_layer(&k), second = now();
        cr_expect_eq(first.plans - before.plans >= 4, true, "%s", case_name);
        cr_expect_eq(second.plans, first.plans, "%s: plans are made again", case_name);
        cr_expect_eq(second.searches, first.searches, "%s", case_name);
        cr_expect_eq(second.runs[engine] - before.runs[engine], 2 * RUNS, "%s: %d runs",
                     case_name, second.runs[engine] - before.runs[engine]);
        cr_expect_eq(runs(second) - runs(before), 2 * RUNS, "%s: by other engines",
                     case_name);
    }
    leave();
}

Test(dnn, the_plan_used_longest_ago_makes_room)
{
    layer k[PLANS + 1];
    int alive, plans;

    enter(NULL, NULL);
    for (int i = 0; i < PLANS + 1; i++)
        k[i] = layer_of(TP_F32, 1 + i, 1, 1, 1, 1);
    for (int i = 0; i < PLANS; i++)
        forward(&k[i], 0);
    plans = now().plans;
    forward(&k[0], 0);
    cr_expect_eq(now().plans, plans, "there is room for less than %d plans", PLANS);
    alive = now().descriptors;
    forward(&k[PLANS], 0);
    cr_expect_eq(now().descriptors, alive, "%d descriptors, and %d with one more plan",
                 alive, now().descriptors);
    plans = now().plans;
    forward(&k[0], 0), forward(&k[PLANS], 0);
    cr_expect_eq(now().plans, plans, "a plan used lately is gone");
    forward(&k[1], 0);
    cr_expect(now().plans > plans, "the plan used longest ago is there");
    cr_expect_eq(ctx[CUDA].backend->wait(&ctx[CUDA]), 0, "%s",
                 ctx[CUDA].error); /* no run lost its plan */
    leave();
}

Test(dnn, operands_share_an_alignment)
{
    layer k;
    cudasim_dnn_stats s;

    enter(NULL, NULL);
    k = layer_of(TP_F32, 1, 6, 2, 2, 1);
    k.g.H = k.g.OH = 5; /* room for one row of elements before them */
    k.y = numbers(TP_F32, k.y.n, -1, 1);
    for (int by = 0; by < 3; by++) {
        CASE("operands moved by %d", by);
        RUN(conv2d, k.t, &k.g, offset(&k.x, side, by), AT(k.w), NULL,
            offset(&k.y, side, by));
        check_close(&k.y, 16);
        s = now();
        cr_expect_eq(s.runs[by ? CUDASIM_FRUGAL : CUDASIM_ORDINARY], by ? by : 1, "%s",
                     case_name);
        cr_expect_eq(runs(s), 1 + by, "%s", case_name);
    }
    leave();
}

/* Scratch is aligned to 64, workspaces want 256. */
Test(dnn, scratch_may_start_anywhere)
{
    tp_ctx *c = &ctx[CUDA];
    layer k;
    buffer room;

    enter(NULL, NULL);
    CASE("scratch that starts between");
    k = layer_of(TP_F32, 2, 5, 3, 4, 3), room = blank(TP_U8, 1 << 20);
    c->scratch = (char *)room.at[CUDA] + 64, c->scratch_bytes = (1 << 20) - 64;
    check_layer(&k);
    cr_expect_eq(runs(now()), RUNS);
    c->scratch = NULL, c->scratch_bytes = 0;
    leave();
}

/* ---- engines ---- */

Test(dnn, workspace_is_limited)
{
    static const char *const bad[] = { "many", "",    "-1",
                                       "1x",   "9e9", "99999999999999999999" };
    layer k;

    enter(NULL, "0");
    k = layer_of(TP_F32, 2, 5, 3, 4, 3);
    check_layer(&k);
    cr_expect_eq(runs(now()), RUNS);
    cr_expect_eq(now().runs[CUDASIM_FRUGAL], RUNS);
    leave();
    enter(NULL, "65536"); /* more than there is */
    k = layer_of(TP_F32, 2, 5, 3, 4, 3);
    forward(&k, TP_KERNEL_NO_MEMORY);
    leave();
    for (int i = 0; i < LEN(bad); i++) {
        tp_ctx c = context_of(ctx[CUDA].backend);

        setenv("TAPER_CUDNN_WORKSPACE", bad[i], 1);
        cr_expect_eq(c.backend->open(&c), TP_KERNEL_FAILED, "\"%s\" is taken", bad[i]);
        cr_expect(strstr(c.error, "TAPER_CUDNN_WORKSPACE is \"") &&
                      strstr(c.error, "not a number of MiB"),
                  "%s", c.error);
    }
}

Test(dnn, tf32_where_it_is_allowed)
{
    static const double more[] = { 1 + 0x1p-12 },
                        one[] = { 1 }; /* 1 in 10 bits of fraction */
    static const tp_dtype types[] = { TP_F32, TP_F64 };

    enter(NULL, NULL);
    for (int i = 0; i < 8; i++) { /* back and forth: a plan for TF32 is another plan */
        tp_dtype t = types[i / 2 % 2];
        bool tf32 = i % 2;
        buffer x = values(t, 1, more), w = values(t, 1, one), y = blank(t, 1);
        layer k = {
            { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1 }, t, x, w, x, y, x, x, x
        };
        double got;
        void *host;

        ctx[CUDA].tf32 = tf32;
        forward(&k, 0);
        host = downloaded(&y), got = get(t, host, 0), free(host);
        cr_expect_eq(got, tf32 && t == TP_F32 ? 1 : *more, "%s, TF32 %d: %.9g",
                     dtype_names[t], tf32, got);
    }
    cr_expect_eq(now().runs[CUDASIM_TENSOR_CORE], 2 + 4, "f64 may, of f32 two");
    leave();
}

Test(dnn, turing_has_no_bf16)
{
    layer k;

    setenv("CUDASIM_SM", "75", 1);
    enter(NULL, NULL);
    CASE("bf16 of Turing");
    k = layer_of(TP_BF16, 2, 5, 3, 4, 3), check_layer(&k);
    cr_expect_eq(runs(now()), 0);
    k = layer_of(TP_F16, 2, 5, 3, 4, 3), check_layer(&k);
    cr_expect_eq(runs(now()), RUNS);
    leave();
}

/* ---- our own kernels go on ---- */

Test(dnn, no_engine_is_remembered)
{
    layer k;
    int searches;

    enter("none", NULL);
    CASE("no engine");
    k = layer_of(TP_F32, 2, 5, 3, 4, 3);
    check_layer(&k), searches = now().searches;
    check_layer(&k);
    cr_expect(searches > 0 && now().searches == searches, "%d, then %d searches",
              searches, now().searches);
    cr_expect_eq(runs(now()), 0);
    leave();
}

Test(dnn, plans_that_cannot_be_made_or_run)
{
    static const char *const trouble[] = { "finalize", "execute", "create" };
    static const char *const told[] = { "", "cuDNN can't run its plan: CUDNN_STATUS_EXECUTION_FAILED;",
                                        "cuDNN can't be started: CUDNN_STATUS_NOT_INITIALIZED;" };

    for (int i = 0; i < LEN(trouble); i++) {
        layer k;

        enter(trouble[i], NULL);
        CASE("%s", trouble[i]);
        k = layer_of(TP_F32, 2, 5, 3, 4, 3);
        check_layer(&k);
        unsetenv("CUDASIM_DNN"); /* the same shape stays with the same kernel */
        check_layer(&k);
        cr_expect_eq(runs(now()), 0, "%s", case_name);
        cr_expect(!*told[i] ? !*warning : strstr(warning, told[i]) == warning, "%s: \"%s\"", case_name, warning);
        leave();
    }
}

/* The cache's memory is given back for a handle, once. */
Test(dnn, a_handle_that_finds_no_memory)
{
    layer k;

    enter("memory", NULL);
    CASE("a handle of no memory");
    k = layer_of(TP_F32, 2, 5, 3, 4, 3);
    check_layer(&k);
    cr_expect(flushes == 1 && runs(now()) == RUNS && !*warning, "%d: %s", flushes, warning);
    leave();
}

Test(dnn, a_plan_that_does_not_add)
{
    layer k;

    enter("writing", NULL);
    CASE("no plan adds");
    k = layer_of(TP_F16, 2, 5, 3, 4, 3);
    check_layer(&k);
    cr_expect_eq(runs(now()), RUNS);
    leave();
}

/* While recording, where nothing runs, a convolution of our own is launched and one of cuDNN's refused. */
Test(dnn, sizes_beyond_it)
{
    int64_t half = (int64_t)1 << 16, n = half / 2;
    tp_window wide_x = { half, half, 1, 1, 1, 1, 1, 1, 1, half, 1, 0, 0, 1, 1, 1 };
    tp_window wide_y = { half, 1, 1, 1, half, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1 };
    tp_window wide_w = { 1, 1, 1, half, half, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1 };
    tp_window within = { n, half - 1, 1, 1, 1, 1, 1, 1, 1, half, 1, 0, 0, 1, 1, 1 };
    tp_window windows[] = { wide_x, wide_y, wide_w, within };
    tp_ctx *c = &ctx[CUDA];

    enter(NULL, NULL);
    for (int i = 0; i < LEN(windows); i++) {
        buffer x = blank(TP_F16, 1);
        void *p = x.at[CUDA];
        int status;

        cr_assert_eq(c->backend->record(c), 0);
        c->scratch = p, c->scratch_bytes = SIZE_MAX; /* none of it is touched */
        status = c->backend->conv2d[TP_F16](c, &windows[i], p, p, NULL, p);
        cr_expect_eq(status, i < 3 ? 0 : TP_KERNEL_FAILED, "window %d: %d: %s", i, status,
                     c->error);
        status = c->backend->conv2d_dx[TP_F16](c, &windows[i], p, p, false, p);
        cr_expect_eq(status, i < 3 ? 0 : TP_KERNEL_FAILED, "window %d: %d: %s", i, status,
                     c->error);
        cr_expect_eq(c->backend->recorded(c, NULL), 0);
        c->scratch = NULL, c->scratch_bytes = 0;
    }
    leave();
}

Test(dnn, nothing_of_an_empty_batch)
{
    tp_window g = { 0, 5, 5, 3, 4, 5, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1 };
    buffer none, w, dw;

    enter(NULL, NULL);
    CASE("an empty batch");
    none = blank(TP_F32, 0), w = numbers(TP_F32, 108, -1, 1), dw = blank(TP_F32, 108);
    RUN(conv2d, TP_F32, &g, AT(none), AT(w), NULL, AT(none));
    RUN(conv2d_dx, TP_F32, &g, AT(none), AT(w), false, AT(none));
    RUN(conv2d_dw, TP_F32, &g, AT(none), AT(none), false, AT(dw));
    check_same(&dw); /* 0 */
    cr_expect(now().searches == 0 && now().handles == 0);
    leave();
}

/* ---- versions ---- */

Test(dnn, another_version_is_refused)
{
    static const struct {
        const char *loaded, *text; /* NULL: taken */
    } cases[] = { { "90700", "cuDNN 9.7 is loaded" },
                  { "8907", "cuDNN 8.9 is loaded" },
                  { "109900", "cuDNN 10.99 is loaded" },
                  { "99900", NULL } };
    char built[40];

    snprintf(built, sizeof built, "built for %d.%d:", CUDNN_MAJOR, CUDNN_MINOR);
    enter(NULL, NULL);
    for (int i = 0; i < LEN(cases); i++) {
        tp_ctx c = context_of(ctx[CUDA].backend);
        int failed;

        setenv("CUDASIM_DNN", cases[i].loaded, 1);
        failed = c.backend->open(&c);
        cr_expect_eq(failed, cases[i].text ? TP_KERNEL_FAILED : 0, "%s: %d",
                     cases[i].loaded, failed);
        if (cases[i].text)
            cr_expect(strstr(c.error, cases[i].text) && strstr(c.error, built), "%s",
                      c.error);
        else
            c.backend->close(&c);
    }
    leave();
}

/* ---- recorded steps ---- */

Test(dnn, no_first_plan_while_recording)
{
    tp_ctx *c = &ctx[CUDA];
    layer k;

    enter(NULL, NULL);
    CASE("recording");
    k = layer_of(TP_F32, 2, 5, 3, 4, 3);
    cr_assert_eq(c->backend->record(c), 0);
    forward(&k, TP_KERNEL_FAILED);
    cr_expect(strstr(c->error, "conv2d: cuDNN's plan") && strstr(c->error, "recorded"),
              "%s", c->error);
    cr_expect_eq(c->backend->recorded(c, NULL), 0, "%s", c->error);
    check_layer(&k);
    leave();
}

static void *recorded_forward(layer *k)
{
    tp_ctx *c = &ctx[CUDA];
    void *graph = NULL;

    cr_assert_eq(c->backend->record(c), 0);
    forward(k, 0);
    cr_assert_eq(c->backend->recorded(c, &graph), 0, "%s", c->error);
    return graph;
}

/* Its plans may have left the cache since. */
Test(dnn, a_recorded_plan_outlives_the_cache)
{
    tp_ctx *c = &ctx[CUDA];
    layer k;
    void *graph;
    float before[50], after[50];

    enter(NULL, NULL);
    k = layer_of(TP_F32, 2, 5, 1, 1, 3);
    forward(&k, 0);
    cr_assert_eq(c->backend->download(c, before, k.y.at[CUDA], sizeof before), 0);
    graph = recorded_forward(&k);
    for (int i = 0; i < PLANS; i++) {
        layer other = layer_of(TP_F32, 1 + i, 1, 1, 1, 1);

        forward(&other, 0);
    }
    k.y.at[CPU] = memset(k.y.at[CPU], 0, bytes_at(&k.y, CPU)), upload(&k.y);
    cr_assert_eq(c->backend->replay(c, graph), 0);
    cr_assert_eq(c->backend->download(c, after, k.y.at[CUDA], sizeof after), 0, "%s",
                 c->error);
    cr_expect_arr_eq(after, before, sizeof after);
    c->backend->discard(c, graph);
    leave();
}

/* Its graph keeps a plan that other calls have given up. */
Test(dnn, a_recorded_plan_that_fails_later)
{
    tp_ctx *c = &ctx[CUDA];
    layer k;
    void *graph;

    enter(NULL, NULL);
    k = layer_of(TP_F32, 2, 5, 3, 4, 3);
    forward(&k, 0);
    graph = recorded_forward(&k);
    setenv("CUDASIM_DNN", "execute", 1);
    forward(&k, 0);
    unsetenv("CUDASIM_DNN");
    forward(&k, 0);
    cr_expect_eq(runs(now()), 2);
    cr_expect(c->backend->replay(c, graph) == 0 && c->backend->wait(c) == 0, "%s",
              c->error);
    c->backend->discard(c, graph);
    leave();
}

/* A gradient that calls write and the recording adds to, from 0, has the same bits. */
Test(dnn, a_recording_adds_what_calls_wrote)
{
    tp_ctx *c = &ctx[CUDA];
    layer k;
    void *graph;
    float before[150], after[150];

    enter(NULL, NULL);
    k = layer_of(TP_F32, 2, 5, 3, 4, 3);
    cr_assert_eq(c->backend->conv2d_dx[k.t](c, &k.g, k.dy.at[CUDA], k.w.at[CUDA], false,
                                            k.dx.at[CUDA]),
                 0);
    cr_assert_eq(c->backend->download(c, before, k.dx.at[CUDA], sizeof before), 0);
    memset(k.dx.at[CPU], 0, sizeof after), upload(&k.dx);
    cr_assert(grow(c, 1 << 20)); /* what the result that is added needs besides */
    cr_assert_eq(c->backend->record(c), 0);
    cr_expect_eq(c->backend->conv2d_dx[k.t](c, &k.g, k.dy.at[CUDA], k.w.at[CUDA], true,
                                            k.dx.at[CUDA]),
                 0, "%s", c->error);
    cr_assert_eq(c->backend->recorded(c, &graph), 0, "%s", c->error);
    cr_assert_eq(c->backend->replay(c, graph), 0);
    cr_assert_eq(c->backend->download(c, after, k.dx.at[CUDA], sizeof after), 0, "%s",
                 c->error);
    cr_expect_arr_eq(after, before, sizeof after);
    c->backend->discard(c, graph);
    leave();
}
