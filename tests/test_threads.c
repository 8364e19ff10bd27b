/*
 * test_threads.c - two trainers in two threads, each with a loader that has workers of its own.
 *
 * A plain program, since Criterion doesn't run under ThreadSanitizer: its exit status tells.
 */
#include "taper.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { SAMPLES = 96, WIDTH = 12, STEPS = 60 };

typedef struct trainer {
    uint64_t seed;
    tp_tensor *handed; /* made by the main thread, kept */
    double first, last;
    char error[256], own_error[256];
    bool survived;
} trainer;

static tp_got sample(void *user, int64_t i, void *const *fields)
{
    float *x = fields[0], sum = 0;

    (void)user;
    for (int k = 0; k < WIDTH; k++)
        sum += x[k] = (float)((i * 37 + k * 11) % 23) / 23 - 0.5f;
    *(int64_t *)fields[1] = sum > 0;
    return TP_ITEM;
}

static tp_loader *loader(uint64_t seed)
{
    tp_source s = { .count = SAMPLES, .fields = 2, .shape = { TP_SHAPE(WIDTH), TP_SCALAR },
                    .dtype = { TP_F32, TP_I64 }, .get = sample };

    return tp_data_loader(tp_data_source(s), (tp_loader_opts){ .batch = 16, .shuffle = true, .endless = true,
                                                               .workers = 2, .seed = seed });
}

static tp_got failing_sample(void *user, int64_t i, void *const *fields)
{
    if (i == 70) return tp_fail(TP_ERR_IO, "disk %d is gone", (int)*(uint64_t *)user), TP_FAILED;
    return sample(NULL, i, fields);
}

static tp_loader *failing_loader(uint64_t seed, int i)
{
    static uint64_t number[] = { 0, 1, 2 };
    tp_source s = { .count = SAMPLES, .fields = 2, .shape = { TP_SHAPE(WIDTH), TP_SCALAR },
                    .dtype = { TP_F32, TP_I64 }, .get = failing_sample, .user = &number[seed] };

    return tp_data_loader(tp_data_source(s), (tp_loader_opts){ .batch = 16, .workers = 1 + i % 4 });
}

static double step(tp_module *net, tp_optim *opt, tp_loader *data)
{
    tp_batch b;

    TP_SCOPE;
    if (!tp_data_next(data, &b)) return 0;
    tp_tensor *loss = tp_cross_entropy(tp_nn_forward(net, b.x), b.y);

    tp_optim_zero_grad(opt);
    tp_backward(loss);
    tp_optim_step(opt);
    return tp_item(loss);
}

/* Loaders whose source fails in a worker, sought and freed while workers run: the error comes to
 * this thread alone, each time. */
static bool survives_trouble(uint64_t seed)
{
    char want[32];

    snprintf(want, sizeof want, "disk %d is gone", (int)seed);
    for (int i = 0; i < 30; i++) {
        tp_loader *l = failing_loader(seed, i);
        tp_batch b;
        int n = 0;

        while (tp_data_next(l, &b))
            n++;
        if (n != 4 || !strstr(tp_error(), want)) return false;
        tp_clear_error();
        if (!tp_data_seek(l, (tp_position){ 0, i % 4 }) || !tp_data_next(l, &b)) return false;
        tp_data_free(l);
    }
    return true;
}

static void *train(void *user)
{
    trainer *t = user;
    tp_module *layers[] = { tp_nn_linear(WIDTH, 64), tp_nn_batch_norm(64), tp_nn_relu(), tp_nn_dropout(0.1),
                            tp_nn_linear(64, 2) };
    tp_module *net = tp_nn_sequential(layers, TP_LEN(layers));
    tp_loader *data = loader(t->seed);
    tp_optim *opt;

    tp_seed(t->seed);
    tp_nn_init(net, tp_device_open("cpu"));
    opt = tp_optim_adamw(tp_nn_params(net, "*"), tp_adamw(1e-2));
    for (int i = 0; i < STEPS && tp_ok(); i++) {
        t->last = step(net, opt, data);
        if (i == 0) t->first = t->last;
    }
    {
        TP_SCOPE;
        tp_item(tp_sum(tp_square(t->handed), TP_ALL)); /* a kept tensor may cross threads */
    }
    t->survived = survives_trouble(t->seed);
    snprintf(t->error, sizeof t->error, "%s", tp_error());
    tp_fail(TP_ERR_USER, "of thread %d", (int)t->seed); /* errors are each thread's own */
    snprintf(t->own_error, sizeof t->own_error, "%s", tp_error());
    tp_free(t->handed);
    tp_optim_free(opt), tp_nn_free(net), tp_data_free(data);
    return NULL;
}

static int check(const trainer *t)
{
    char own[32];

    snprintf(own, sizeof own, "of thread %d", (int)t->seed);
    if (t->survived && !t->error[0] && t->last < 0.7 * t->first && !strcmp(t->own_error, own)) return 0;
    fprintf(stderr, "test_threads: trainer %d: loss %g to %g, error \"%s\"\n", (int)t->seed, t->first, t->last, t->error);
    return 1;
}

int main(void)
{
    trainer t[2] = { { .seed = 1 }, { .seed = 2 } };
    pthread_t thread[2];
    int failed = 0;

    tp_set_threads(2); /* both want the pool of kernel threads */
    for (int i = 0; i < 2; i++) {
        TP_SCOPE;
        t[i].handed = tp_keep(tp_randn(TP_SHAPE(300, 300), tp_device_open("cpu")));
    }
    for (int i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, train, &t[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL), failed += check(&t[i]);
    if (!tp_ok()) fprintf(stderr, "test_threads: %s\n", tp_error()), failed++;
    tp_thread_end();
    if (!failed) printf("test_threads: two trainers side by side, loss %.3f and %.3f\n", t[0].last, t[1].last);
    return failed;
}
