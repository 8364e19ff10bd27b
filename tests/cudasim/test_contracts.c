/*
 * test_contracts.c - what the library promises of a device whose work is done later, with two
 * threads on it.
 */
#include "tests/check.h"

#include <dlfcn.h>
#include <pthread.h>

enum { N = 1 << 16, ROUNDS = 20 };

typedef struct pair {
    tp_device *dev;
    pthread_barrier_t gate;
    tp_tensor *shared;
    int wrong;
} pair;

static tp_device *simulated(void)
{
    tp_device *dev = tp_device_open("cuda");

    cr_assert(dev, "%s", tp_error());
    return dev;
}

/* Whether this is the simulator, and no GPU. */
static bool counted(void)
{
    const char *file = getenv("TAPER_CUDA_LIBRARY");

    return file && dlsym(dlopen(file, RTLD_NOW), "cudasim_get_stats");
}

static void with_other(pair *p, void *(*other)(void *), void (*round)(pair *p, int r))
{
    pthread_t t;

    pthread_barrier_init(&p->gate, NULL, 2);
    cr_assert_eq(pthread_create(&t, NULL, other, p), 0);
    for (int r = 0; r < ROUNDS; r++) {
        round(p, r);
        pthread_barrier_wait(&p->gate), pthread_barrier_wait(&p->gate);
        tp_free(p->shared), p->shared = NULL;
    }
    pthread_join(t, NULL);
    pthread_barrier_destroy(&p->gate);
    cr_expect_eq(p->wrong, 0, "%d of %d rounds are wrong; %s", p->wrong, ROUNDS, tp_error());
    tp_clear_error();
    tp_thread_end();
}

/* ---- a block that one thread released may be given to another while its last write waits ---- */

static void write_and_release(pair *p, int r)
{
    TP_SCOPE;
    (void)r;
    tp_full(TP_SHAPE(N), 1, TP_F32, p->dev);
}

static void *fill_and_sum(void *user)
{
    pair *p = user;

    for (int r = 0; r < ROUNDS; r++) {
        TP_SCOPE;
        pthread_barrier_wait(&p->gate);
        p->wrong += tp_item(tp_sum(tp_full(TP_SHAPE(N), 100, TP_F32, p->dev), TP_ALL)) != 100.0 * N;
        pthread_barrier_wait(&p->gate);
    }
    return NULL;
}

Test(contracts, released_blocks_cross_threads)
{
    pair p = { .dev = simulated() };

    with_other(&p, fill_and_sum, write_and_release);
}

/* ---- a kept tensor is read by another thread while its kernel waits ---- */

static void write_and_keep(pair *p, int r)
{
    TP_SCOPE;
    p->shared = tp_keep(tp_shift(tp_full(TP_SHAPE(N), r, TP_F32, p->dev), 1));
}

static void *read_shared(void *user)
{
    pair *p = user;

    for (int r = 0; r < ROUNDS; r++) {
        TP_SCOPE;
        pthread_barrier_wait(&p->gate);
        p->wrong += tp_item(tp_sum(tp_add(p->shared, p->shared), TP_ALL)) != 2.0 * (r + 1) * N;
        pthread_barrier_wait(&p->gate);
    }
    return NULL;
}

Test(contracts, kept_tensors_cross_threads)
{
    pair p = { .dev = simulated() };

    with_other(&p, read_shared, write_and_keep);
}

/* ---- a bad label: the loss is NaN, and the next wait tells ---- */

Test(contracts, a_bad_label_is_an_error_at_the_next_wait)
{
    tp_device *dev = simulated();
    tp_tensor *loss, *x, *y;

    TP_SCOPE;
    x = tp_ones(TP_SHAPE(2, 3), TP_F32, dev), y = tp_from((int64_t[]){ 1, 7 }, TP_SHAPE(2), TP_I64, dev);
    loss = tp_cross_entropy(x, y);
    cr_expect(loss && tp_ok());
    cr_expect(isnan(tp_item(loss)));
    cr_expect(strstr(tp_error(), "cross_entropy: label 7 is outside 0..2"), "%s", tp_error());
    tp_clear_error();
    tp_cross_entropy(x, y);
    cr_expect(!tp_device_wait(dev) && strstr(tp_error(), "label 7"), "%s", tp_error());
    tp_clear_error();
    cr_expect(tp_device_wait(dev) && tp_item(tp_cross_entropy(x, tp_ones(TP_SHAPE(2), TP_I64, dev))) > 1, "%s", tp_error());
}

/* ---- TF32: only where it is allowed, and of f32 alone ---- */

Test(contracts, tf32_rounds_operands_where_it_is_allowed)
{
    static const double more = 1 + 0x1p-12; /* 1 in 10 bits of fraction */
    tp_device *dev = simulated();

    for (int i = 0; i < 4; i++) {
        tp_dtype t = i < 2 ? TP_F32 : TP_F64;
        bool may_round = i % 2 && t == TP_F32; /* a GPU needn't; the simulator does */
        double y;
        TP_SCOPE;

        tp_set_tf32(i % 2);
        y = tp_item(tp_matmul(tp_full(TP_SHAPE(1, 1), more, t, dev), tp_ones(TP_SHAPE(1, 1), t, dev)));
        cr_expect(may_round ? y == 1 || (y == more && !counted()) : y == more, "%s: %.17g, %s", tp_dtype_name(t), y, tp_error());
    }
    tp_set_tf32(false);
}

/* ---- two devices of one thread: what is asked of either comes while it is the thread's ---- */

typedef tp_tensor *of_device(tp_device *dev);

static tp_tensor *a_layer(tp_device *dev)
{
    tp_tensor *x = tp_requires_grad(tp_ones(TP_SHAPE(3, 2, 4), TP_F32, dev), true), *w = tp_ones(TP_SHAPE(6, 4), TP_F32, dev);

    return tp_gru(x, NULL, w, tp_ones(TP_SHAPE(6, 2), TP_F32, dev), NULL, NULL, (tp_recurrent_opts){ 0 }).y;
}

static tp_tensor *a_product(tp_device *dev)
{
    tp_tensor *x = tp_requires_grad(tp_ones(TP_SHAPE(3, 4), TP_F32, dev), true);

    return tp_linear(x, tp_ones(TP_SHAPE(5, 4), TP_F32, dev), NULL);
}

static tp_tensor *a_convolution(tp_device *dev)
{
    tp_tensor *x = tp_requires_grad(tp_ones(TP_SHAPE(2, 8, 6, 6), TP_F32, dev), true);

    return tp_conv2d(x, tp_ones(TP_SHAPE(8, 8, 3, 3), TP_F32, dev), NULL, (tp_conv2d_opts){ 0 });
}

Test(contracts, devices_take_turns)
{
    static of_device *const ops[] = { a_layer, a_product, a_convolution };
    tp_device *dev[2];
    double sum[2];

    setenv("CUDASIM_DEVICES", "2", 1);
    dev[0] = simulated(), dev[1] = tp_device_open("cuda:1");
    if (!dev[1]) tp_clear_error(), cr_skip_test("there is one device");
    for (int i = 0; i < 2 * TP_LEN(ops); i++)
        for (int d = 0; d < 2; d++) { /* each op on one device, the next call on the other */
            tp_tensor *y;
            TP_SCOPE;

            y = tp_sum(ops[i / 2](dev[d]), TP_ALL);
            cr_expect(tp_backward(y), "op %d: %s", i / 2, tp_error());
            sum[d] = tp_item(y);
            cr_expect(tp_device_wait(dev[d]) && sum[d] == sum[0], "op %d on %d: %s", i / 2, d, tp_error());
            tp_clear_error();
        }
}

/* ---- what must be offered: the ops that prove the interface, in every float dtype ---- */

Test(contracts, four_ops_are_offered)
{
    static const tp_dtype dtypes[] = { TP_F32, TP_F64, TP_BF16, TP_F16 };
    tp_device *dev = simulated();

    for (int i = 0; i < TP_LEN(dtypes); i++) {
        tp_tensor *x, *w, *y;

        TP_SCOPE;
        x = tp_requires_grad(tp_ones(TP_SHAPE(3, 4), dtypes[i], dev), true), w = tp_ones(TP_SHAPE(5, 4), dtypes[i], dev);
        y = tp_layer_norm(tp_linear(tp_add(x, tp_ones(TP_SHAPE(4), dtypes[i], dev)), w, NULL), TP_SHAPE(5), NULL, NULL, 1e-5);
        y = tp_cross_entropy(y, tp_ones(TP_SHAPE(3), TP_I64, dev));
        cr_expect(tp_backward(y) && tp_grad(x), "%s: %s", tp_dtype_name(dtypes[i]), tp_error());
        tp_clear_error();
    }
}
