/*
 * test_trouble.c - calls of the CUDA runtime that fail: memory that isn't there, of the device and of the host,
 * streams, events, launches, copies, recordings.
 *
 * What must hold each time: an error that says why, nothing lost that was there, nothing left behind, and what
 * comes next works.  That a lost device ends all this is not tried: no call works any more then.
 */
#include "tests/cudasim/trouble.h"
#include "tests/trainer.h"

#include <dlfcn.h>
#include <pthread.h>

enum { MOST_CALLS = 20000, ALWAYS = 1 << 30 };

static void (*fail)(const char *call, int after, int times);
static void (*fail_with)(cudaError_t e);
static int (*failed)(void);
static void (*get_holdings)(cudasim_holdings *to);

static void *symbol(void *library, const char *name)
{
    void *p = dlsym(library, name);

    cr_assert(p, "%s", dlerror());
    return p;
}

static tp_device *simulated(void)
{
    void *library;
    tp_device *dev;

    setenv("CUDASIM_DNN", "none",
           1); /* convolutions by one kernel, whatever has failed: the same bits */
    dev = tp_device_open("cuda");
    cr_assert(dev, "%s", tp_error());
    library = dlopen(getenv("TAPER_CUDA_LIBRARY"), RTLD_NOW);
    *(void **)&fail = symbol(library, "cudasim_fail");
    *(void **)&fail_with = symbol(library, "cudasim_fail_with");
    *(void **)&failed = symbol(library, "cudasim_failed");
    *(void **)&get_holdings = symbol(library, "cudasim_get_holdings");
    return dev;
}

static cudasim_holdings now(void)
{
    cudasim_holdings s;

    get_holdings(&s);
    return s;
}

static void all_is_well(void)
{
    fail("", 0, 0);
}

/* What there is while this thread has a context and nothing else. */
static cudasim_holdings settled(tp_device *dev)
{
    all_is_well();
    CHECK(tp_device_wait(dev));
    tp_memory_trim(dev);
    return now();
}

static void nothing_left(tp_device *dev, cudasim_holdings before)
{
    cudasim_holdings after = settled(dev);

    cr_expect(after.bytes == before.bytes, "%s: %lld bytes of the device leak",
              check_name, (long long)(after.bytes - before.bytes));
    cr_expect(after.objects == before.objects,
              "%s: %lld streams, events, graphs or pinned blocks leak", check_name,
              (long long)(after.objects - before.objects));
}

static bool at_call(int n, bool (*f)(void *user), void (*after)(void *user, bool done),
                    void *user)
{
    bool done, reached;

    fail("", n, 1);
    done = f(user), reached = failed() > 0;
    all_is_well();
    CHECK(done == tp_ok() && (done || *tp_error()));
    CHECK(done || tp_error_code() == TP_ERR_DEVICE || tp_error_code() == TP_ERR_MEMORY);
    CHECK(reached || done);
    tp_clear_error();
    after(user, done);
    return reached;
}

/* Runs f with the n-th call that may fail failing, for n = 0, stride, ... until all of it has run, and for each
 * of the last ones; `after` looks at what is left.  Gives the number of calls. */
static int at_calls(const char *what, int stride, bool (*f)(void *user),
                    void (*after)(void *user, bool done), void *user)
{
    int n = 0, tried = 0;

    for (; n < MOST_CALLS; n += stride, tried++) {
        CASE("%s, call %d", what, n);
        if (at_call(n, f, after, user)) continue;
        if (stride == 1) break;
        n = n < 2 * stride ? -1 : n - 2 * stride, stride = 1;
    }
    CASE("%s", what);
    fprintf(stderr, "calls that fail, %s: %d of %d\n", what, tried, n);
    CHECK(n > 0 && n < MOST_CALLS);
    return n;
}

/* ---- memory of the device ---- */

static tp_tensor *millions(int n, double value, tp_device *dev)
{
    return tp_full(TP_SHAPE(n, 1 << 20), value, TP_U8, dev);
}

static int64_t reserved(tp_device *dev)
{
    return tp_memory_stats(dev).reserved;
}

/* What is cached goes back to the device, and the call is made again: once. */
Test(trouble, memory_is_asked_for_again_when_the_cache_was_given_back)
{
    tp_device *dev = simulated();
    tp_tensor *kept = tp_keep(tp_full(TP_SHAPE(100), 3, TP_F32, dev));
    int64_t before = reserved(dev);

    CASE("asked again");
    {
        TP_SCOPE;
        CHECK(millions(40, 1, dev));
    }
    {
        TP_SCOPE;
        tp_tensor *x;

        fail("cudaMalloc", 0, 1);
        x = millions(48, 5, dev);
        CHECK(failed() == 1);
        all_is_well();
        CHECK(x && tp_ok() && reserved(dev) == before + (48 << 20));
        CHECK(check_at(tp_slice(x, 0, 47, 48), (1 << 20) - 1) == 5 &&
              check_at(kept, 99) == 3);
    }
    tp_free(kept);
}

/* A kernel's first launch loads its code: the same. */
Test(trouble, a_launch_is_made_again_when_the_cache_was_given_back)
{
    tp_device *dev = simulated();
    TP_SCOPE;
    tp_tensor *x = tp_full(TP_SHAPE(100), 3, TP_F32, dev);
    int64_t before = reserved(dev);

    {
        TP_SCOPE;
        CHECK(millions(40, 1, dev) && reserved(dev) > before);
    }
    fail("cudaLaunchKernel", 0, 1), fail_with(cudaErrorMemoryAllocation);
    x = tp_add(x, x);
    CHECK(failed() == 1 && reserved(dev) == before && check_at(x, 99) == 6);
    fail("cudaLaunchKernel", 0, ALWAYS), fail_with(cudaErrorMemoryAllocation);
    CHECK_REFUSED(tp_add(x, x), TP_ERR_MEMORY, "out of memory");
    CHECK(failed() == 2);
    all_is_well();
    CHECK(check_at(tp_add(x, x), 99) == 12);
}

/* So does cuBLAS. */
Test(trouble, a_product_is_made_again_when_the_cache_was_given_back)
{
    tp_device *dev = simulated();
    TP_SCOPE;
    tp_tensor *x = tp_full(TP_SHAPE(8, 8), 3, TP_F32, dev);

    fail("cudasim_enqueue", 0, 1), fail_with(cudaErrorMemoryAllocation);
    CHECK(check_at(tp_matmul(x, x), 63) == 72 && failed() == 1);
    fail("cudasim_enqueue", 0, ALWAYS), fail_with(cudaErrorMemoryAllocation);
    CHECK_REFUSED(tp_matmul(x, x), TP_ERR_MEMORY, "cuBLAS, running it");
    CHECK(failed() == 2);
    all_is_well();
    CHECK(check_at(tp_matmul(x, x), 63) == 72);
}

static void no_room(tp_device *dev, tp_tensor *kept, const char *amount)
{
    char text[80];

    snprintf(text, sizeof text, "no %s bytes left on %s", amount, tp_device_name(dev));
    CHECK(tp_error_code() == TP_ERR_MEMORY && strstr(tp_error(), text));
    CHECK(!tp_add(kept, kept)); /* the error is pending */
    tp_clear_error();
    all_is_well();
    CHECK(check_at(tp_add(kept, kept), 7) == 6);
}

Test(trouble, without_memory_the_program_goes_on)
{
    tp_device *dev = simulated();
    TP_SCOPE;
    tp_tensor *kept = tp_full(TP_SHAPE(1000), 3, TP_F32, dev);
    cudasim_holdings before = now();

    CASE("48 MiB that aren't there");
    fail("cudaMalloc", 0, ALWAYS);
    CHECK(!millions(48, 1, dev) && failed() == 2);
    no_room(dev, kept, "50331648");
    CHECK(millions(48, 1, dev));
    CASE("more than the device has");
    CHECK(!tp_zeros(TP_SHAPE(9, 1 << 30), TP_U8, dev));
    no_room(dev, kept, "9663676416");
    CHECK(now().bytes <= before.bytes + (64 << 20));
}

/* ---- a thread's context: pinned memory, a stream, events ---- */

typedef struct opening {
    tp_device *dev;
    int calls;
} opening;

static bool open_context(void *user)
{
    return tp_device_wait(((opening *)user)->dev);
}

static void after_opening(void *user, bool done)
{
    opening *o = user;

    TP_SCOPE;
    CHECK(check_at(tp_full(TP_SHAPE(3), 2, TP_F32, o->dev), 2) ==
          2); /* the next attempt, or what there is */
    (void)done; /* what finds no memory is tried again, once */
    o->calls++;
    tp_thread_end();
}

static void *open_at_every_call(void *user)
{
    at_calls("opening", 1, open_context, after_opening, user);
    return NULL;
}

static void in_a_thread(void *(*f)(void *user), void *user)
{
    pthread_t t;

    cr_assert_eq(pthread_create(&t, NULL, f, user), 0);
    pthread_join(t, NULL);
}

static void keep_text(void *user, int level, const char *text)
{
    if (level == 1) snprintf(user, 200, "%s", text);
}

Test(trouble, a_device_that_is_too_old)
{
    char told[200] = "";

    if (getenv("CUDASIM_PTX")) cr_skip_test("a PTX has its own capability");
    setenv("CUDASIM_SM", "70", 1);
    CHECK_REFUSED(tp_device_wait(simulated()), TP_ERR_DEVICE, "has compute capability 7.0, and 7.5 is the least");
    CASE("auto takes another");
    tp_set_log(keep_text, told);
    CHECK(tp_device_open("auto") == tp_device_open("cpu") && tp_ok());
    CHECK(strstr(told, "has compute capability 7.0"));
}

/* What nobody waited for is told when the thread ends. */
static void *leave_a_fault(void *user)
{
    tp_device *dev = user;
    TP_SCOPE;

    CHECK(tp_one_hot(tp_full(TP_SHAPE(2), 5, TP_I64, dev), 3));
    return NULL;
}

Test(trouble, a_fault_that_nobody_waited_for)
{
    char told[200] = "";

    tp_set_log(keep_text, told);
    in_a_thread(leave_a_fault, simulated());
    CHECK(strstr(told, "cuda:0: scatter: index 5 is outside 0..2"));
    tp_set_log(NULL, NULL);
}

/* Alone, and beside a thread that has the device's stream. */
Test(trouble, a_context_that_cannot_be_opened_leaves_nothing)
{
    opening o = { .dev = simulated() };
    cudasim_holdings before = now();

    in_a_thread(open_at_every_call, &o);
    CHECK(now().objects == before.objects);
    CHECK(o.calls > 3); /* the device's properties, the fault's place, the stream, and without trouble */
    before = settled(o.dev), o.calls = 0;
    in_a_thread(open_at_every_call, &o);
    CHECK(o.calls > 2); /* without the stream */
    nothing_left(o.dev, before);
}

/* The pool asks for memory in this thread's context, which isn't open yet and finds none itself. */
static void *first_op_without_memory(void *user)
{
    tp_device *dev = user;
    TP_SCOPE;

    CASE("a first op");
    fail("cudaHostAlloc", 0, 1);
    CHECK(check_at(tp_full(TP_SHAPE(3), 2, TP_F32, dev), 2) == 2 && failed() == 1);
    all_is_well();
    return NULL;
}

Test(trouble, a_context_that_an_op_opens_finds_no_memory_at_first, .timeout = 60)
{
    in_a_thread(first_op_without_memory, simulated());
}

static void *without_pinned_memory(void *user)
{
    tp_device *dev = user;

    CASE("no pinned memory");
    fail("cudaHostAlloc", 0, ALWAYS);
    CHECK_REFUSED(tp_device_wait(dev), TP_ERR_MEMORY, "out of memory");
    fail("cudaHostAlloc", 1, ALWAYS); /* not the context's, but an upload's */
    CHECK_REFUSED(tp_from((float[]){ 1 }, TP_SHAPE(1), TP_F32, dev), TP_ERR_MEMORY, "out of memory");
    all_is_well();
    CHECK(check_at(tp_from((float[]){ 1 }, TP_SHAPE(1), TP_F32, dev), 0) == 1);
    return NULL;
}

Test(trouble, without_pinned_memory_it_is_the_error_of_memory)
{
    tp_device *dev = simulated();
    cudasim_holdings before = now();

    in_a_thread(without_pinned_memory, dev);
    CHECK(now().objects == before.objects);
}

/* ---- a training step ---- */

/* An update that failed half way says so from then on, until its state is loaded. */
static bool half_way(tp_optim *o)
{
    bool half =
        !tp_optim_step(o) && strstr(tp_error(), "failed half way: load its state");

    CHECK(half || tp_ok());
    tp_clear_error();
    return half;
}

/* Nothing has changed, or the optimizer says that something may have, and is loaded again. */
static void after_step(void *user, bool done)
{
    trainer *k = user;
    bool half;

    CHECK(tp_device_wait(tp_device_of(k->pictures)) && tp_optim_zero_grad(k->opt));
    half = half_way(k->opt);
    if (!half) {
        all_tensors(&k->now, k->net, k->opt);
        CHECK(same(&k->now, done ? &k->after : &k->start));
        CHECK(tp_optim_steps(k->opt) == done);
    }
    k->halves += half;
    if (half) CHECK(tp_optim_load_begin(k->opt));
    trainer_rewind(k);
    if (half) CHECK(tp_optim_load_end(k->opt));
    CHECK(step(k));
    all_tensors(&k->now, k->net, k->opt);
    CHECK(same(&k->now, &k->after)); /* as if nothing had happened */
    trainer_rewind(k);
    CHECK(tp_optim_zero_grad(k->opt));
    tp_thread_end();
    CHECK(tp__live() == k->live);
}

static bool every_call(void)
{
    const char *wanted = getenv("CUDASIM_EVERY_CALL");

    cr_assert(!wanted || !strcmp(wanted, "1"), "CUDASIM_EVERY_CALL=%s: 1 is wanted", wanted);
    return wanted;
}

/* With CUDASIM_EVERY_CALL=1, which takes its time, at each of them. */
static void steps(const char *what, int stride, bool adam, tp_dtype autocast)
{
    tp_device *dev = simulated();
    trainer k = { .autocast = autocast };
    cudasim_holdings before;

    trainer_open(&k, adam, dev);
    before = settled(dev);
    CHECK(at_calls(what, every_call() ? 1 : stride, step, after_step,
                   &k) > 200);
    CHECK(k.halves > 0); /* its last calls are an update */
    nothing_left(dev, before);
    trainer_close(&k);
}

Test(trouble, each_call_of_a_step_of_sgd, .timeout = 3000)
{
    steps("sgd", 29, false, TP_F32);
}

Test(trouble, each_call_of_a_step_of_adamw_under_autocast, .timeout = 3000)
{
    steps("adamw, bf16", 23, true, TP_BF16);
}

/* ---- copies and waits ---- */

enum { N = 5 << 19 }; /* f32, 10 MiB: more than a stage of pinned memory holds */

typedef struct copies {
    tp_device *dev;
    float *host, *back;
} copies;

static bool there_and_back(void *user)
{
    copies *c = user;
    TP_SCOPE;

    return tp_read(tp_from(c->host, TP_SHAPE(N), TP_F32, c->dev), c->back,
                   N * sizeof *c->back);
}

static void after_copies(void *user, bool done)
{
    copies *c = user;

    (void)done;
    CHECK(tp_device_wait(c->dev));
    memset(c->back, 0, N * sizeof *c->back);
    CHECK(there_and_back(c) && !memcmp(c->back, c->host, N * sizeof *c->back));
}

Test(trouble, each_call_of_copies)
{
    copies c = { simulated(), calloc(N, sizeof(float)), calloc(N, sizeof(float)) };
    cudasim_holdings before;

    for (int i = 0; i < N; i++)
        c.host[i] = (float)i;
    CHECK(there_and_back(&c));
    before = settled(c.dev);
    at_calls("copies", 1, there_and_back, after_copies, &c);
    nothing_left(c.dev, before);
    free(c.host), free(c.back);
}

/* A number is fetched; its stage, whose event failed, mustn't be written into while the copy is on its way. */
Test(trouble, a_fetch_that_fails_half_way)
{
    tp_device *dev = simulated();
    TP_SCOPE;
    tp_tensor *x = tp_full(TP_SHAPE(1), 7, TP_F32, dev);
    tp_later *l = tp__later("warm", x);

    CHECK(tp__later_item(l) == 7);
    fail("cudaEventRecord", 0, 1);
    CHECK_REFUSED(tp__later("again", x), TP_ERR_DEVICE, "fetch");
    all_is_well();
    CHECK(check_at(tp_from((float[]){ 1 }, TP_SHAPE(1), TP_F32, dev), 0) == 1);
}

/* An upload reads the host's memory at once, and writes after the kernels before it and before those after. */
Test(trouble, copies_keep_their_place_between_kernels)
{
    tp_device *dev = simulated();
    TP_SCOPE;
    tp_tensor *x = tp_full(TP_SHAPE(N), 0, TP_F32, dev), *sums[6];
    float *host = malloc(N * sizeof *host);

    for (int i = 0; i < 6; i++) {
        for (int k = 0; k < N; k++)
            host[k] = (float)(i + 1);
        CHECK(tp_copy_(x, tp_from(host, TP_SHAPE(N), TP_F32, dev)));
        memset(host, 0xFF, N * sizeof *host); /* NaN */
        sums[i] = tp_mean(x, TP_ALL);
    }
    for (int i = 5; i >= 0; i--)
        CHECK(tp_item(sums[i]) == i + 1);
    free(host);
}

/* More than may be on the way at once: then one waits for another. */
Test(trouble, uploads_are_as_many_as_one_likes)
{
    tp_device *dev = simulated();
    const int64_t n = 1 << 20;
    double *host = calloc((size_t)n, sizeof *host);
    TP_SCOPE;
    tp_tensor *x = NULL;

    for (int i = 0; i < 40; i++) { /* of 8 MiB */
        TP_SCOPE;
        host[0] = host[n - 1] = i;
        x = tp_pass(tp_from(host, TP_SHAPE(n), TP_F64, dev));
    }
    CHECK(check_at(x, 0) == 39 && check_at(x, n - 1) == 39);
    free(host);
}

/* ---- recorded steps ---- */

typedef struct recording {
    tp_device *dev;
    tp_tensor *x, *w;
    tp_capture *c;
    int runs; /* that were steps */
} recording;

/* w += x.  Its op uploads an index, which a graph keeps in pinned memory. */
static tp_tensor *add_x(void *user)
{
    recording *r = user;
    TP_NO_GRAD;
    tp_tensor *x = tp_slice(
        tp_pad(r->x, TP_SHAPE(2, 0), (tp_pad_opts){ .mode = TP_PAD_REFLECT }), 1, 2, 6);

    tp_copy_(r->w, tp_add(r->w, x));
    return tp_sum(r->w, TP_ALL);
}

static void open_recording(recording *r, tp_device *dev, double value)
{
    TP_SCOPE;
    *r = (recording){ .dev = dev, .c = tp_capture_new(dev, add_x, r) };
    r->x = tp_keep(tp_full(TP_SHAPE(2, 4), value, TP_F32, dev)),
    r->w = tp_keep(tp_zeros(TP_SHAPE(2, 4), TP_F32, dev));
    CHECK(tp_ok());
}

static void close_recording(recording *r)
{
    tp_capture_free(r->c), tp_free(r->x), tp_free(r->w);
}

static bool run_recording(void *user)
{
    recording *r = user;
    TP_SCOPE;
    bool done = tp_capture_run(r->c);

    r->runs += done;
    return done;
}

/* A run that failed was no step. */
static void check_runs(const recording *r)
{
    CHECK(check_at(r->w, 7) == r->runs * check_at(r->x, 0));
}

/* Those of a thread that has run so often. */
static void run_times(recording *r, int times)
{
    for (int i = 0; i < times; i++)
        CHECK(run_recording(r));
}

static void after_recording(void *user, bool done)
{
    recording *r = user;
    tp_device *dev = r->dev;

    TP_SCOPE;
    (void)done;
    check_runs(r);
    run_times(r, 2), check_runs(r);
    CHECK(tp_capture_recorded(r->c));
    close_recording(r), open_recording(r, dev, 3), run_times(r, 2);
}

static void after_replay(void *user, bool done)
{
    recording *r = user;

    TP_SCOPE;
    (void)done;
    check_runs(r);
    run_times(r, 1), check_runs(r);
}

Test(trouble, each_call_of_a_recording_and_of_a_replay)
{
    tp_device *dev = simulated();
    recording r;
    cudasim_holdings before;

    open_recording(&r, dev, 3), run_times(&r, 3), close_recording(&r);
    before = settled(dev);
    open_recording(&r, dev, 3), run_times(&r, 2);
    CHECK(at_calls("recording", 1, run_recording, after_recording, &r) > 5);
    run_times(&r, 3);
    CHECK(at_calls("replay", 1, run_recording, after_replay, &r) >= 1);
    close_recording(&r);
    nothing_left(dev, before);
}

Test(trouble, without_memory_for_a_recording_it_is_that_error)
{
    static const char *const call[] = { "cudaStreamCreate", "cudaHostAlloc",
                                        "cudaGraphInstantiate" };
    recording r;

    open_recording(&r, simulated(), 3), run_times(&r, 2);
    for (int i = 0; i < TP_LEN(call); i++) {
        CASE("recording without %s", call[i]);
        fail(call[i], 0, 2);
        CHECK_REFUSED(run_recording(&r), TP_ERR_MEMORY, "out of memory");
        all_is_well(), check_runs(&r);
    }
    CASE("instantiated at the second try");
    fail("cudaGraphInstantiate", 0, 1), run_times(&r, 1);
    CHECK(failed() == 1 && tp_capture_recorded(r.c));
    all_is_well();
    run_times(&r, 2), check_runs(&r);
    close_recording(&r);
}

/* ---- two threads, and two streams while one of them records ---- */

enum { ROUNDS = 30 };

typedef struct beside {
    tp_device *dev;
    int wrong;
} beside;

static void *compute(void *user)
{
    beside *b = user;

    for (int i = 0; i < ROUNDS; i++) {
        TP_SCOPE;
        tp_tensor *x = tp_full(TP_SHAPE(100), i, TP_F32, b->dev);

        b->wrong += tp_item(tp_sum(tp_square(tp_add(x, x)), TP_ALL)) != 400.0 * i * i;
    }
    tp_thread_end();
    return NULL;
}

Test(trouble, a_thread_records_while_another_computes)
{
    beside b = { .dev = simulated() };
    pthread_t t;

    CASE("two threads");
    cr_assert_eq(pthread_create(&t, NULL, compute, &b), 0);
    for (int i = 0; i < ROUNDS / 5; i++) {
        recording r;
        TP_SCOPE;

        open_recording(&r, b.dev, i + 1);
        run_times(&r, 5), check_runs(&r);
        close_recording(&r);
    }
    pthread_join(t, NULL);
    cr_expect_eq(b.wrong, 0, "%d of %d rounds are wrong", b.wrong, ROUNDS);
}
