/*
 * models.c - whole training steps, timed.
 *
 *   models [mlp|cnn|vae|lstm|gpt|gpt384|dcgan|ddpm|resnet18 ...] [--threads N] [--seconds S] [--device cuda]
 *   bench model=mlp threads=2 step_ms=1.602 gflop=0.205 bound=0.620 tensor_mib=9.1 rss_mib=40.2 layout_copies=0
 *
 * step_ms is a median.  bound is what, in ms, the floating-point operations of the products would
 * take at the peak that a probe of this machine shows right before.  tensor_mib is the peak of
 * tensor bytes in a step, layout_copies those of one step.
 *
 *   models --name mlp [--threads N]
 *
 * serves compare.sh instead: each line "step N" on stdin runs N steps and prints their median.
 */
#include "tests/bench/timing.h"
#include "tests/bench/workloads.h"
#include "tensor/internal.h"

#include <getopt.h>
#include <math.h>
#include <sys/resource.h>

enum { MOST_STEPS = 100000 };

/* ---- steps ---- */

/* A GPU is waited for after some steps alone, as a training does. */
static double median_ms(const workload *w, run *r, int steps)
{
    double *t = malloc(sizeof *t * (size_t)steps), m;
    tp_device *dev = tp_device_of(r->x);
    int group = dev == tp_device_open("cpu") ? 1 : 10;

    for (int i = 0; i < steps; i++) {
        double start = now();

        for (int k = 0; k < group; k++)
            train_step(w, r);
        tp_device_wait(dev);
        t[i] = 1e3 * (now() - start) / group;
    }
    m = median(t, steps);
    free(t);
    return m;
}

static void open_run(const workload *w, run *r, tp_device *dev)
{
    *r = (run){ 0 };
    tp_seed(1);
    w->open(r, dev);
    median_ms(w, r, 5);
}

/* ---- the two ways of being asked ---- */

static void report(const workload *w, const char *self, double seconds, tp_device *dev)
{
    double peak = peak_gflops(self), ms, mib = 1024 * 1024;
    struct rusage usage;
    long copies;
    size_t before;
    run r;

    open_run(w, &r, dev);
    before = tp_memory_stats(dev).now - (size_t)(tp_count(r.x) * 4 + tp_count(r.y) * 8);
    copies = atomic_load(&tp__layout_copies);
    tp_memory_reset_peak(dev);
    train_step(w, &r);
    copies = atomic_load(&tp__layout_copies) - copies;
    ms = median_ms(w, &r, 5);
    ms = median_ms(w, &r, (int)fmin(MOST_STEPS, 5 + 1e3 * seconds / ms));
    getrusage(RUSAGE_SELF, &usage);
    printf("bench model=%s threads=%d step_ms=%.3f gflop=%.3f bound=%.3f tensor_mib=%.1f rss_mib=%.1f layout_copies=%ld\n",
           w->name, tp_threads(), ms, w->gflop, peak > 0 ? 1e3 * w->gflop / peak : 0,
           (double)(tp_memory_stats(dev).peak - tp_memory_stats(dev).now + before) / mib,
           (double)usage.ru_maxrss / 1024, copies);
    close_run(&r);
}

static void serve(const workload *w, tp_device *dev)
{
    char line[64];
    run r;

    open_run(w, &r, dev);
    while (fgets(line, sizeof line, stdin)) {
        int n = 0;

        if (sscanf(line, "step %d", &n) != 1 || n < 1 || n > MOST_STEPS) continue;
        printf("bench name=%s step_ms=%.4f\n", w->name, median_ms(w, &r, n));
        fflush(stdout);
    }
    close_run(&r);
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "name", required_argument, NULL, 'n' },
                                             { "threads", required_argument, NULL, 't' },
                                             { "seconds", required_argument, NULL, 's' },
                                             { "device", required_argument, NULL, 'd' },
                                             { NULL, 0, NULL, 0 } };
    const workload *one = NULL;
    const char *device = "cpu";
    double seconds = 2;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'n') one = find_workload(optarg);
        else if (c == 't') tp_set_threads(atoi(optarg));
        else if (c == 's') seconds = atof(optarg);
        else if (c == 'd') device = optarg;
        else return 2;
    }
    tp_device *dev = tp_device_open(device);
    if (one && dev) serve(one, dev);
    for (int i = optind; tp_ok() && i < argc; i++)
        report(find_workload(argv[i]), argv[0], seconds, dev);
    for (int i = 0; tp_ok() && !one && optind == argc && i < WORKLOADS; i++)
        report(&workloads[i], argv[0], seconds, dev);
    if (!tp_ok()) fprintf(stderr, "models: %s\n", tp_error());
    return !tp_ok();
}
