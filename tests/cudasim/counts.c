/*
 * counts.c - what one training step of each workload costs a GPU: counted in the simulator, and the
 * time that it gives, an estimate.
 *
 *   counts [--kernels] [mlp cnn vae lstm gpt gpt384 dcgan ddpm resnet18 gpt2 ...]
 *
 * All nine of speed.md without a name.  --kernels lists which kernels move the bytes.
 *
 * TAPER_CUDA_LIBRARY names the simulator's library.  A kernel or a library's call takes the time of
 * its bytes, all products together that of their operations, both at 80 % of the datasheet's rate.
 * Bytes are those of loads and stores, and of libraries' operands: what a cache saves is not
 * deducted.
 */
#include "tests/bench/workloads.h"
#include "tests/cudasim/cudasim.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- GPT-2, 124 million parameters: 1 sequence of 1024, bf16 ---- */

static void open_gpt2(run *r, tp_device *dev)
{
    tp_gpt_opts o = tp_gpt2();

    o.dropout = 0, o.vocabulary = 50304;
    r->net[0] = tp_nn_init(tp_model_gpt(o), dev);
    r->opt[0] = tp_optim_adamw(tp_nn_params(r->net[0], "*"), tp_adamw(6e-4));
    TP_SCOPE;
    r->x = tp_keep(tp_randint(0, o.vocabulary, TP_SHAPE(BATCHES, 1, 1025), dev));
}

static void step_gpt2(run *r, tp_tensor *x, tp_tensor *y)
{
    TP_AUTOCAST(TP_BF16);
    tp_tensor *logits = tp_nn_forward(r->net[0], tp_slice(x, 1, 0, 1024));

    (void)y;
    tp_optim_zero_grad(r->opt[0]);
    tp_backward(tp_cross_entropy(tp_reshape(logits, TP_SHAPE(1024, -1)),
                                 tp_reshape(tp_slice(x, 1, 1, 1025), TP_SHAPE(1024))));
    tp_optim_clip_norm(r->opt[0], 1);
    tp_optim_step(r->opt[0]);
}

/* 6 x 124 million x 1024, and attention's 12 x layers x width x T^2 / 2 */
static const workload gpt2 = { "gpt2", 820, open_gpt2, step_gpt2 };

/* ---- counting ---- */

static void (*get_stats)(cudasim_stats *);
static void (*set_work)(int);
static int (*take_kernels)(cudasim_kernel *, int);

typedef struct machine {
    const char *name;
    double bytes, f32, bf16; /* a second, by the datasheet */
} machine;

static const machine machines[] = {
    { "A100", 2.039e12, 19.5e12, 312e12 }, /* SXM, 80 GB */
    { "H100", 3.35e12, 67e12, 989e12 },    /* SXM; bf16 without sparsity */
};

static double estimate_ms(const machine *m, const workload *w, double bytes, double flops)
{
    double rate = w == &gpt2 ? m->bf16 : m->f32;

    return 1e3 * (bytes / (0.8 * m->bytes) + fmax(flops, 1e9 * w->gflop) / (0.8 * rate));
}

static cudasim_stats one_step(const workload *w, tp_device *dev)
{
    cudasim_stats before, queued, done;
    run r = { 0 };

    tp_seed(1);
    set_work(CUDASIM_COUNT); /* what is judged of each word takes twelve times its memory */
    w->open(&r, dev);
    tp_device_wait(dev);
    set_work(CUDASIM_SKIP); /* memory is taken in them, and kept */
    for (int i = 0; i < 3; i++) /* memory that is taken is in its place then */
        train_step(w, &r);
    tp_device_wait(dev);
    set_work(CUDASIM_COUNT);
    get_stats(&before), take_kernels(NULL, 0);
    train_step(w, &r);
    get_stats(&queued);
    tp_device_wait(dev); /* kernels run late: their bytes are counted then */
    get_stats(&done);
    close_run(&r);
    done.waits = queued.waits; /* that one is ours */
    return cudasim_between(before, done);
}

static void list_kernels(void)
{
    static cudasim_kernel k[200];
    int n = take_kernels(k, TP_LEN(k));

    printf("\n| kernel | launches | MB |\n|---|---|---|\n");
    for (int i = 0; i < n && k[i].bytes >= 100000; i++)
        printf("| %s | %d | %.1f |\n", k[i].name, (int)k[i].launches, 1e-6 * (double)k[i].bytes);
    printf("\n");
}

static void report(const workload *w, tp_device *dev, bool kernels)
{
    cudasim_stats s = one_step(w, dev);
    double bytes = (double)(s.bytes_read + s.bytes_written), calls = (double)s.call_bytes;

    if (!tp_ok()) fprintf(stderr, "%s: %s\n", w->name, tp_error()), exit(1);
    printf("| %s | %d | %d | %.1f | %.1f | %.2f | %.2f | %d | %d |", w->name, (int)s.launches, (int)s.calls,
           bytes * 1e-6, calls * 1e-6, s.flops * 1e-9, w->gflop, (int)s.waits, (int)s.allocations);
    for (int i = 0; i < TP_LEN(machines); i++)
        printf(" %.3f |", estimate_ms(&machines[i], w, bytes + calls, s.flops));
    printf("\n");
    if (kernels) list_kernels();
    fflush(stdout);
}

int main(int argc, char **argv)
{
    bool kernels = argc > 1 && !strcmp(argv[1], "--kernels");
    tp_device *dev = tp_device_open("cuda");
    const char *path = getenv("TAPER_CUDA_LIBRARY");
    void *lib = path ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL;

    if (lib) {
        *(void **)&get_stats = dlsym(lib, "cudasim_get_stats");
        *(void **)&set_work = dlsym(lib, "cudasim_set_work");
        *(void **)&take_kernels = dlsym(lib, "cudasim_take_kernels");
    }
    if (!dev || !set_work) {
        fprintf(stderr, "counts: TAPER_CUDA_LIBRARY must name the simulator's library%s%s\n", dev ? "" : ": ",
                dev ? "" : tp_error());
        return 2;
    }
    printf("| workload | kernels | calls | kernels' MB | calls' MB | GFLOP of calls | GFLOP | waits | allocations | A100 ms | H100 ms |\n"
           "|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; argc - kernels < 2 && i < WORKLOADS; i++)
        report(&workloads[i], dev, kernels);
    for (int i = 1 + kernels; i < argc; i++)
        report(strcmp(argv[i], "gpt2") ? find_workload(argv[i]) : &gpt2, dev, kernels);
    return 0;
}
