/*
 * test_workers.c - everything that loader workers run at once: pictures, augmentation, maps, mixing,
 * samplers, a profile of all of it; and threads that share a tokenizer.
 *
 * A plain program, since Criterion doesn't run under ThreadSanitizer: its exit status tells.
 */
#include "taper.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PICTURES = 4, CLASSES = 2, SIDE = 8, THREADS = 3 };

static char folder[256];

static const char *path_of(int class, int i)
{
    static char path[320];

    snprintf(path, sizeof path, i < 0 ? "%s/c%d" : "%s/c%d/%d.png", folder, class, i);
    return path;
}

static bool make_pictures(tp_device *dev)
{
    const char *base = getenv("TMPDIR");
    bool ok = snprintf(folder, sizeof folder, "%.200s/taper-workers-XXXXXX", base ? base : P_tmpdir) > 0 && mkdtemp(folder);

    for (int c = 0; ok && c < CLASSES; c++) {
        ok = !mkdir(path_of(c, -1), 0700);
        for (int i = 0; ok && i < PICTURES; i++) {
            TP_SCOPE;
            ok = tp_image_grid(path_of(c, i), tp_rand(TP_SHAPE(1, 3, SIDE + i, SIDE), dev), (tp_grid_opts){ .scale = 1 });
        }
    }
    return ok;
}

static void remove_pictures(void)
{
    for (int c = 0; c < CLASSES; c++) {
        for (int i = 0; i < PICTURES; i++)
            unlink(path_of(c, i));
        rmdir(path_of(c, -1));
    }
    rmdir(folder);
}

static bool twice(void *user, int64_t i, const void *const *from, void *const *to)
{
    const float *x = from[0];
    float *y = to[0];

    (void)user, (void)i;
    for (int k = 0; k < 3 * SIDE * SIDE; k++)
        y[k] = 2 * x[k];
    memcpy(to[1], from[1], sizeof(int64_t));
    return true;
}

static tp_loader *loader(tp_device *dev)
{
    TP_SCOPE;
    tp_augment steps[] = { tp_augment_crop(SIDE, SIDE, 2, TP_EDGE_REFLECT), tp_augment_flip(0.5),
                           tp_augment_color_jitter(0.2, 0.2, 0.2, 0.1) };
    tp_dataset *d = tp_data_image_folder(folder, (tp_images_opts){ .height = SIDE, .fit = TP_FIT_STRETCH });

    d = tp_data_mixup(tp_data_map(tp_data_augment(d, steps, TP_LEN(steps)), (tp_map){ .f = twice }), 0.4);
    return tp_data_loader(d, (tp_loader_opts){ .batch = 3, .workers = 4,
                                               .sampler = tp_data_weighted(tp_ones(TP_SHAPE(PICTURES * CLASSES), TP_F32, dev), 20, true) });
}

static tp_module *network(tp_device *dev)
{
    tp_module *l[] = { tp_nn_conv2d(3, 8, 3, (tp_conv2d_opts){ 0 }), tp_nn_batch_norm(8), tp_nn_relu(), tp_nn_flatten(),
                       tp_nn_linear(8 * (SIDE - 2) * (SIDE - 2), CLASSES) };

    return tp_nn_init(tp_nn_sequential(l, TP_LEN(l)), dev);
}

static int train(tp_device *dev)
{
    tp_loader *l = loader(dev);
    tp_module *net = network(dev);
    tp_optim *opt = tp_optim_adamw(tp_nn_params(net, "*"), tp_adamw(1e-3));
    tp_profile *p = tp_profile_begin((tp_profile_opts){ 0 });
    int steps = 0;

    for (int pass = 0; pass < 4; pass++)
        for (tp_batch b; tp_data_next(l, &b); steps++) {
            TP_SCOPE;
            tp_tensor *loss = tp_cross_entropy(tp_nn_forward(net, b.x), b.y);

            tp_optim_zero_grad(opt), tp_backward(loss), tp_optim_step(opt);
        }
    tp_profile_end(p), tp_profile_free(p);
    tp_data_free(l), tp_optim_free(opt), tp_nn_free(net);
    return steps;
}

static void *encode(void *tokenizer)
{
    long wrong = 0;

    for (int i = 0; i < 50; i++) {
        TP_SCOPE;
        wrong += tp_count(tp_data_encode(tokenizer, "a cab", 5)) != 5;
    }
    tp_thread_end();
    return (void *)wrong;
}

static int share_tokenizer(void)
{
    tp_tokenizer *t = tp_data_chars("abc ", 4, NULL);
    pthread_t thread[THREADS];
    void *wrong;
    int failed = 0;

    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, encode, t);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], &wrong), failed += wrong != NULL;
    tp_data_tokenizer_free(t);
    return failed;
}

int main(void)
{
    tp_device *dev = tp_device_open("cpu");
    int steps = 0, failed;

    tp_set_threads(2);
    if (make_pictures(dev)) steps = train(dev);
    remove_pictures();
    failed = (steps != 4 * 7) + share_tokenizer() + !tp_ok();
    if (failed) fprintf(stderr, "test_workers: %d steps: %s\n", steps, tp_error());
    else printf("test_workers: %d steps\n", steps);
    tp_thread_end();
    return failed;
}
