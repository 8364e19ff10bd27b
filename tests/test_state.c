/*
 * test_state.c - the whole training state: what a file holds, what is refused, and runs that go
 * on in another process bit for bit.
 */
#include "tests/files.h"

#include <sys/wait.h>

/* ---- a run with everything that a state can hold ---- */

typedef struct kind {
    const char *name;
    bool sgd;
    int workers;
    int64_t hidden, samples; /* others than usual: another program */
    const char *extra;       /* one more entry; NULL: none */
} kind;

typedef struct run {
    tp_module *net;
    tp_optim *opt;
    tp_sched *sched;
    tp_loader *loader;
    tp_state *state;
    tp_tensor *kept;
    int64_t seen, more;
    double mean;
} run;

enum { BATCH = 8, HALF = 10 };

static tp_dataset *samples(int64_t n)
{
    float x[64 * 6];
    int64_t y[64];
    TP_SCOPE;

    for (int i = 0; i < 64 * 6; i++)
        x[i] = (float)sin(0.7 * i * i + i);
    for (int i = 0; i < 64; i++)
        y[i] = (x[6 * i] > 0) + (x[6 * i + 1] > 0.3f);
    tp_device *cpu = tp_device_open("cpu");
    return tp_data_tensors(TP_LIST(tp_from(x, TP_SHAPE(n, 6), TP_F32, cpu), tp_from(y, TP_SHAPE(n), TP_I64, cpu)));
}

static tp_optim *optimizer(const kind *k, tp_module *net)
{
    tp_adam_opts rest = tp_adamw(3e-3);
    tp_sgd_opts slow = tp_sgd(0.02), fast = tp_sgd(0.05);
    tp_params a = tp_nn_params(net, "[01].*"), b = tp_nn_params(net, "4.*");
    tp_optim *o;

    slow.momentum = fast.momentum = 0.9, slow.nesterov = true, rest.weight_decay = 0.1;
    o = k->sgd ? tp_optim_sgd(a, slow) : tp_optim_adamw(a, tp_adamw(1e-2));
    if (k->sgd) tp_optim_add_sgd_group(o, b, fast);
    else tp_optim_add_adam_group(o, b, rest);
    return o;
}

static void open_run(run *r, const kind *k)
{
    int64_t hidden = k->hidden ? k->hidden : 16;
    tp_module *layers[] = { tp_nn_linear(6, hidden), tp_nn_batch_norm(hidden), tp_nn_relu(), tp_nn_dropout(0.25),
                            tp_nn_linear(hidden, 3) };
    tp_loader_opts how = { .batch = BATCH, .shuffle = true, .endless = true, .workers = k->workers, .seed = 7 };

    *r = (run){ 0 };
    tp_seed(11);
    r->net = tp_nn_init(tp_nn_sequential(layers, TP_LEN(layers)), tp_device_open("cpu"));
    r->opt = optimizer(k, r->net);
    r->sched = tp_sched_cosine(r->opt, 3, 2 * HALF + 5, 0.1);
    r->loader = tp_data_loader(samples(k->samples ? k->samples : 50), how);
    r->state = tp_state_new();
    tp_state_module(r->state, "net", r->net), tp_state_optim(r->state, "opt", r->opt);
    tp_state_sched(r->state, "sched", r->sched), tp_state_loader(r->state, "loader", r->loader);
    tp_state_tensor(r->state, "kept", &r->kept), tp_state_i64(r->state, "seen", &r->seen);
    tp_state_f64(r->state, "mean", &r->mean);
    if (k->extra) tp_state_i64(r->state, k->extra, &r->more);
}

static void close_run(run *r)
{
    tp_state_free(r->state), tp_data_free(r->loader), tp_sched_free(r->sched);
    tp_optim_free(r->opt), tp_nn_free(r->net), tp_free(r->kept);
}

static float train_step(run *r)
{
    tp_batch b;
    TP_SCOPE;
    tp_data_next(r->loader, &b);
    tp_tensor *out = tp_nn_forward(r->net, b.x), *loss = tp_cross_entropy(out, b.y);

    tp_optim_zero_grad(r->opt);
    tp_backward(loss);
    tp_optim_clip_norm(r->opt, 1);
    tp_optim_step(r->opt);
    tp_sched_advance(r->sched);
    tp_store(&r->kept, tp_mean(out, TP_AXES(0)));
    r->seen += b.size;
    r->mean = 0.9 * r->mean + 0.1 * tp_item(loss);
    return (float)tp_item(loss);
}

/* ---- a process of its own: this program with TAPER_TEST_RUN="kind part folder" ---- */

static const kind kinds[] = { { "adamw", false, 0, 0, 0, NULL }, { "adamw, 2 workers", false, 2, 0, 0, NULL },
                              { "sgd", true, 0, 0, 0, NULL } };

static int run_part(const char *what)
{
    float loss[2 * HALF];
    char part, path[512];
    int which, n = HALF;
    run r;

    if (sscanf(what, "%d %c %255s", &which, &part, folder) != 3) return 2;
    open_run(&r, &kinds[which]);
    if (part == 'w') n = 2 * HALF;
    snprintf(path, sizeof path, "%s/half", folder);
    if (part == 's' && !tp_state_load(r.state, path)) fprintf(stderr, "%s\n", tp_error());
    for (int i = 0; i < n; i++)
        loss[i] = train_step(&r);
    if (part == 'f' && !tp_state_save(r.state, path)) fprintf(stderr, "%s\n", tp_error());
    snprintf(path, sizeof path, "%s/%c.losses", folder, part);
    FILE *f = fopen(path, "wb");
    fwrite(loss, sizeof *loss, (size_t)n, f), fclose(f);
    snprintf(path, sizeof path, "%s/%c.end", folder, part);
    if (!tp_state_save(r.state, path)) fprintf(stderr, "%s\n", tp_error());
    close_run(&r);
    return !tp_ok();
}

__attribute__((constructor)) static void maybe_part(void)
{
    const char *what = getenv("TAPER_TEST_RUN");

    if (what) exit(run_part(what));
}

static int start_part(int which, char part)
{
    char what[300];
    int status = -1;
    pid_t child;

    snprintf(what, sizeof what, "%d %c %s", which, part, folder);
    if (!(child = fork())) {
        setenv("TAPER_TEST_RUN", what, 1);
        execl("/proc/self/exe", "test_state", (char *)NULL);
        _exit(127);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(state, a_run_goes_on_in_another_process_bit_for_bit, .init = make_test_folder, .fini = remove_test_folder)
{
    for (int i = 0; i < TP_LEN(kinds); i++) {
        size_t n = 0, m = 0, k = 0;

        CASE("%s", kinds[i].name);
        for (const char *part = "wfs"; *part; part++)
            CHECK(start_part(i, *part) == 0);
        char *whole = read_whole(in_folder("w.losses"), &n), *first = read_whole(in_folder("f.losses"), &m);
        char *second = read_whole(in_folder("s.losses"), &k);
        CHECK(whole && first && second && n == 2 * HALF * sizeof(float) && m == n / 2 && k == n / 2);
        CHECK(!memcmp(whole, first, m) && !memcmp(whole + m, second, k));
        CHECK(memcmp(first, second, m) != 0);
        CHECK(same_files(in_folder("w.end"), in_folder("s.end")));
        CHECK(!same_files(in_folder("w.end"), in_folder("f.end")));
        free(whole), free(first), free(second);
    }
}

/* ---- round trip in one process ---- */

Test(state, loads_what_it_saved, .init = make_test_folder, .fini = remove_test_folder)
{
    for (int i = 0; i < TP_LEN(kinds); i++) {
        run a, b;

        CASE("%s", kinds[i].name);
        open_run(&a, &kinds[i]), open_run(&b, &kinds[i]);
        CHECK(tp_state_save(a.state, in_folder("fresh"))); /* nothing is kept yet */
        CHECK(tp_state_load(b.state, in_folder("fresh")) && !b.kept);
        for (int k = 0; k < 13; k++)
            train_step(&a);
        CHECK(tp_state_save(a.state, in_folder("a")));
        CHECK(tp_state_load(b.state, in_folder("a")));
        CHECK(b.seen == a.seen && b.mean == a.mean && tp_count(b.kept) == 3);
        CHECK(tp_optim_lr(a.opt, 0) == tp_optim_lr(b.opt, 0) && tp_optim_lr(a.opt, 1) == tp_optim_lr(b.opt, 1));
        CHECK(tp_sched_at(b.sched) == 13 && tp_optim_steps(b.opt) == 13);
        CHECK(tp_data_position(b.loader).pass == tp_data_position(a.loader).pass &&
              tp_data_position(b.loader).batch == tp_data_position(a.loader).batch);
        CHECK(tp_state_save(b.state, in_folder("b")));
        CHECK(same_files(in_folder("a"), in_folder("b")));
        tp_rng rng = tp_rng_save();
        for (int k = 0; k < 9; k++) {
            tp_rng_restore(rng); /* of the thread, so of both */
            float want = train_step(&a);
            tp_rng_restore(rng);
            CHECK_NEAR(train_step(&b), want, 0);
            rng = tp_rng_save();
        }
        close_run(&a), close_run(&b);
    }
}

/* ---- what is refused changes nothing ---- */

static void check_refusal(run *r, const char *file, tp_code code, const char *why)
{
    CHECK(tp_state_save(r->state, in_folder("before")));
    CHECK_REFUSED(tp_state_load(r->state, file), code, why);
    CHECK(tp_state_save(r->state, in_folder("after")));
    CHECK(same_files(in_folder("before"), in_folder("after")));
}

Test(state, refuses_other_programs_and_changes_nothing, .init = make_test_folder, .fini = remove_test_folder)
{
    static const struct {
        kind k;
        const char *why;
    } others[] = {
        { { "wider", false, 0, 20, 0, NULL }, "is f32 (20, 6) there and f32 (16, 6) here" },
        { { "sgd", true, 0, 0, 0, NULL }, "another program" },
        { { "more", false, 0, 0, 0, "epoch" }, "another program" },
        { { "longer data", false, 0, 0, 64, NULL }, "loader has 64 samples there and 50 here: it is of other data" },
    };
    kind lacking = { "less", false, 0, 0, 0, "epoch" };
    run r, other;

    for (int i = 0; i < TP_LEN(others); i++) {
        CASE("%s", others[i].k.name);
        open_run(&other, &others[i].k);
        for (int k = 0; k < 8; k++)
            train_step(&other);
        CHECK(tp_state_save(other.state, in_folder("other")));
        open_run(&r, &kinds[0]);
        train_step(&r);
        check_refusal(&r, in_folder("other"), TP_ERR_FORMAT, others[i].why);
        close_run(&r), close_run(&other);
    }
    CASE("an entry too few");
    open_run(&other, &kinds[0]), open_run(&r, &lacking);
    CHECK(tp_state_save(other.state, in_folder("other")));
    check_refusal(&r, in_folder("other"), TP_ERR_FORMAT, "holds no epoch");
    CASE("weights alone");
    CHECK(tp_nn_save(r.net, in_folder("weights")));
    check_refusal(&r, in_folder("weights"), TP_ERR_FORMAT, "weights is no state of this version: its format is \"pt\", not \"taper state 1\"");
    CASE("of no version");
    CHECK(tp_file_save(in_folder("plain"), NULL, 0, NULL, 0));
    check_refusal(&r, in_folder("plain"), TP_ERR_FORMAT, "plain is no state of this version: its format is \"\"");
    CHECK(tp_file_save(in_folder("plain"), NULL, 0, (tp_meta[]){ { "format", "taper state 2" } }, 1));
    check_refusal(&r, in_folder("plain"), TP_ERR_FORMAT, "its format is \"taper state 2\"");
    CASE("missing");
    check_refusal(&r, in_folder("nothing"), TP_ERR_IO, "nothing can't be read: No such file");
    close_run(&r), close_run(&other);
}

Test(state, refuses_a_file_cut_anywhere, .init = make_test_folder, .fini = remove_test_folder)
{
    size_t n;
    run r;

    open_run(&r, &kinds[0]);
    train_step(&r);
    CHECK(tp_state_save(r.state, in_folder("whole")));
    char *bytes = read_whole(in_folder("whole"), &n);
    train_step(&r);
    for (size_t cut = 0; cut < n; cut += cut < 40 || cut + 9 > n ? 1 : 97) {
        CASE("cut at %zu of %zu", cut, n);
        write_whole(in_folder("cut"), bytes, cut);
        check_refusal(&r, in_folder("cut"), TP_ERR_FORMAT, "is not a safetensors file");
    }
    free(bytes), close_run(&r);
}

/* The clocks that a load takes apart must be together again after a refusal: the norm's sums fold
 * in launches. */
Test(state, a_refusal_leaves_the_next_steps_alone, .init = make_test_folder, .fini = remove_test_folder)
{
    kind lacking = kinds[0];
    run a, b, other;

    CASE("refused, then trained");
    lacking.extra = "epoch";
    open_run(&other, &lacking), open_run(&a, &kinds[0]), open_run(&b, &kinds[0]);
    CHECK(tp_state_save(other.state, in_folder("other")));
    CHECK_REFUSED(tp_state_load(b.state, in_folder("other")), TP_ERR_FORMAT, "another program");
    tp_rng rng = { 5, 0 };
    for (int k = 0; k < 6; k++) {
        tp_rng_restore(rng);
        float want = train_step(&a);
        tp_rng_restore(rng);
        CHECK_NEAR(train_step(&b), want, 0);
        rng = tp_rng_save();
    }
    close_run(&a), close_run(&b), close_run(&other);
}

Test(state, registering_refuses, .init = make_test_folder, .fini = remove_test_folder)
{
    char long_name[80];
    int64_t v = 3;
    double f = NAN;
    tp_state *s = tp_state_new();
    tp_module *undrawn = tp_nn_linear(2, 2);

    memset(long_name, 'x', 79), long_name[79] = 0;
    CASE("names");
    CHECK(tp_state_i64(s, "v", &v));
    CHECK_REFUSED(tp_state_i64(s, "v", &v), TP_ERR_ARG, "there is a v already");
    CHECK_REFUSED(tp_state_i64(s, "", &v), TP_ERR_ARG, "can't be a name");
    CHECK_REFUSED(tp_state_i64(s, "rng", &v), TP_ERR_ARG, "not rng");
    CHECK_REFUSED(tp_state_i64(s, NULL, &v), TP_ERR_ARG, "can't be a name");
    CHECK_REFUSED(tp_state_i64(s, long_name, &v), TP_ERR_ARG, "can't be a name");
    CHECK_REFUSED(tp_state_i64(NULL, "w", &v), TP_ERR_ARG, "missing state");
    CHECK_REFUSED(tp_state_module(s, "w", NULL), TP_ERR_ARG, "nothing to register");
    CHECK_REFUSED(tp_state_save(s, NULL), TP_ERR_ARG, "missing");
    CHECK_REFUSED(tp_state_load(NULL, "x"), TP_ERR_ARG, "missing");
    CASE("a number that is none");
    CHECK(tp_state_f64(s, "f", &f) && tp_state_save(s, in_folder("s")));
    v = 0, f = 0;
    CHECK(tp_state_load(s, in_folder("s")) && v == 3 && isnan(f));
    CASE("not UTF-8");
    CHECK(tp_state_i64(s, "\xff\xfe", &v)); /* seen when it is written */
    CHECK_REFUSED(tp_state_save(s, in_folder("t")), TP_ERR_ARG, "UTF-8");
    CHECK(!tp_file_exists(in_folder("t")));
    CASE("a module without weights");
    tp_state *t = tp_state_new();
    CHECK(tp_state_module(t, "net", undrawn));
    CHECK_REFUSED(tp_state_save(t, in_folder("t")), TP_ERR_ARG, "call tp_nn_init first");
    CASE("an error is pending");
    tp_fail(TP_ERR_USER, "mine");
    CHECK(!tp_state_save(s, in_folder("t")) && !tp_state_load(s, in_folder("s")) && !tp_state_i64(s, "z", &v));
    CHECK(!strcmp(tp_error(), "mine") && !tp_file_exists(in_folder("t")));
    tp_clear_error();
    tp_state_free(s), tp_state_free(t), tp_state_free(NULL), tp_nn_free(undrawn);
}

static int noted;

static void note(void *user, int level, const char *message)
{
    noted += level == 1 && strstr(message, user) != NULL;
}

Test(state, notes_another_thread_count, .init = make_test_folder, .fini = remove_test_folder)
{
    int64_t v = 1;
    tp_state *s = tp_state_new();
    int threads = tp_threads();

    CASE("threads");
    tp_state_i64(s, "v", &v);
    CHECK(tp_state_save(s, in_folder("s")));
    tp_set_log(note, "need not be the same bit for bit");
    CHECK(tp_state_load(s, in_folder("s")) && noted == 0);
    tp_set_threads(threads + 1);
    CHECK(tp_state_load(s, in_folder("s")));
    CHECK(noted >= 1); /* the processor's line may name threads too */
    tp_set_log(NULL, NULL);
    tp_state_free(s);
}

/* ---- where a loader stands, and numbers that can't be ---- */

static tp_loader *counted_loader(int64_t n, tp_loader_opts o)
{
    return tp_data_loader(samples(n), o);
}

/* A state with the loader and a count, saved or loaded. */
static bool with_loader(tp_loader *l, int64_t *done, bool saving)
{
    tp_state *s = tp_state_new();
    bool ok = tp_state_loader(s, "train", l) && tp_state_count(s, "done", done) &&
              (saving ? tp_state_save(s, in_folder("s")) : tp_state_load(s, in_folder("s")));

    tp_state_free(s);
    return ok;
}

Test(state, a_loader_must_be_the_one_that_was_saved, .init = make_test_folder, .fini = remove_test_folder)
{
    tp_loader_opts o = { .batch = 8, .shuffle = true, .seed = 3 }, wider = o, other = o;
    tp_loader *l = counted_loader(40, o);
    int64_t done = 7;
    tp_batch b;

    CASE("saved in the second pass");
    for (int i = 0; i < 8; i++)
        tp_data_next(l, &b);
    CHECK(tp_ok() && with_loader(l, &done, true));
    tp_data_free(l);
    wider.batch = 10, other.seed = 4;
    CASE("another batch size");
    l = counted_loader(40, wider);
    CHECK_REFUSED(with_loader(l, &done, false), TP_ERR_FORMAT, "train has a batch size of 8 there and 10 here");
    tp_data_free(l);
    CASE("another data set");
    l = counted_loader(41, o);
    CHECK_REFUSED(with_loader(l, &done, false), TP_ERR_FORMAT, "train has 40 samples there and 41 here");
    tp_data_free(l);
    CASE("another order is said");
    noted = 0;
    tp_set_log(note, (void *)"train comes in another order than in the run that is resumed (seed 3 there, 4 here)");
    l = counted_loader(40, other);
    CHECK(with_loader(l, &done, false) && noted == 1 && tp_data_position(l).pass == 1);
    tp_data_free(l);
    noted = 0;
    l = counted_loader(40, o);
    CHECK(with_loader(l, &done, false) && noted == 0);
    tp_set_log(NULL, NULL);
    CASE("a schedule of another length is said, or of another rate");
    for (int i = 0; i < 3; i++) {
        tp_module *m = tp_nn_init(tp_nn_linear(1, 1), tp_device_open("cpu"));
        tp_optim *opt = tp_optim_sgd(tp_nn_params(m, "*"), tp_sgd(i == 2 ? 0.2 : 0.1));
        tp_sched *sched = tp_sched_cosine(opt, 0, i == 1 ? 200 : 100, 0);
        tp_state *s = tp_state_new();

        noted = 0;
        tp_set_log(note, (void *)"step 10 goes on with a rate of");
        CHECK(tp_state_sched(s, "sched", sched) && tp_state_optim(s, "optim", opt)); /* in either order */
        CHECK(i ? tp_state_load(s, in_folder("s")) : tp_sched_seek(sched, 10) && tp_state_save(s, in_folder("s")) && tp_state_load(s, in_folder("s")));
        CHECK(noted == (i > 0) && tp_sched_at(sched) == 10);
        tp_state_free(s), tp_sched_free(sched), tp_optim_free(opt), tp_nn_free(m);
    }
    tp_set_log(NULL, NULL);
    CASE("another note is refused, as of other data");
    for (int i = 0; i < 3; i++) {
        tp_module *m = tp_nn_init(tp_nn_linear(1, 1), tp_device_open("cpu"));
        tp_state *s = tp_state_new();

        CHECK(tp_nn_note(m, "class.0", i == 1 ? "dog" : "cat") && (i < 2 || tp_nn_note(m, "class.1", "dog")) && tp_state_module(s, "model", m));
        if (!i) CHECK(tp_state_save(s, in_folder("n")) && tp_state_load(s, in_folder("n")));
        if (i == 1) CHECK_REFUSED(tp_state_load(s, in_folder("n")), TP_ERR_FORMAT, "model.note.class.0 is another text there: it is of other data");
        if (i == 2) CHECK_REFUSED(tp_state_load(s, in_folder("n")), TP_ERR_FORMAT, "model.note.class.1 isn't there");
        tp_state_free(s), tp_nn_free(m);
    }
    CASE("a count below zero");
    done = -1085102592571149730;
    CHECK(with_loader(l, &done, true));
    done = 5;
    CHECK_REFUSED(with_loader(l, &done, false), TP_ERR_FORMAT, "done stands at -1085102592571149730: 0 or more is wanted");
    CHECK(done == 5);
    tp_data_free(l);
}

Test(state, a_trial_leaves_nothing, .init = make_test_folder, .fini = remove_test_folder)
{
    tp_state *s = tp_state_new();
    int64_t v = 3;

    CASE("trial");
    CHECK(tp_state_i64(s, "v", &v) && tp_state_try(s, in_folder("s")) && !tp_file_exists(in_folder("s")));
    CHECK(rmdir(folder) == 0 && mkdir(folder, 0700) == 0); /* nothing is left */
    CHECK(tp_state_save(s, in_folder("s")));
    v = 4;
    CHECK(tp_state_try(s, in_folder("s")) && tp_state_load(s, in_folder("s")) && v == 3);
    CHECK(mkdir(in_folder("d"), 0700) == 0);
    CHECK_REFUSED(tp_state_try(s, in_folder("d")), TP_ERR_IO, "Is a directory");
    CHECK_REFUSED(tp_state_try(s, in_folder("no/s")), TP_ERR_IO, "No such file");
    tp_state_free(s);
}
