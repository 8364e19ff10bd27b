/*
 * models.c - whole training steps, timed.
 *
 *   models [mlp|cnn|vae ...] [--threads N] [--seconds S]
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
#include "taper.h"
#include "tensor/internal.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BATCHES = 50, MOST_STEPS = 100000 };

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- workloads ---- */

typedef struct run {
    tp_module *net;
    tp_optim *opt;
    tp_tensor *x, *y; /* (BATCHES, N, ...) */
    int at;
} run;

typedef struct workload {
    const char *name;
    double gflop; /* of the products in one step */
    void (*open)(run *r, tp_device *dev);
    tp_tensor *(*loss)(run *r, tp_tensor *x, tp_tensor *y);
} workload;

static void data(run *r, tp_shape s, int64_t labels, tp_device *dev)
{
    TP_SCOPE;
    r->x = tp_keep(tp_rand(s, dev));
    if (labels)
        r->y = tp_keep(tp_cast(tp_scale(tp_rand(TP_SHAPE(s.n[0], s.n[1]), dev), (double)labels), TP_I64));
}

static tp_tensor *batch(tp_tensor *all, int i)
{
    tp_shape s = tp_shape_of(all);

    s.rank--;
    memmove(s.n, s.n + 1, sizeof *s.n * (size_t)s.rank);
    return tp_reshape(tp_slice(all, 0, i, i + 1), s);
}

static tp_tensor *classify(run *r, tp_tensor *x, tp_tensor *y)
{
    return tp_cross_entropy(tp_nn_forward(r->net, x), y);
}

/* 784-512-512-10, batch 64, Adam */
static void open_mlp(run *r, tp_device *dev)
{
    tp_linear_layer_opts relu = { TP_RELU, false };
    tp_module *l[] = { tp_nn_linear_with(784, 512, relu), tp_nn_linear_with(512, 512, relu), tp_nn_linear(512, 10) };

    r->net = tp_nn_sequential(l, TP_LEN(l));
    data(r, TP_SHAPE(BATCHES, 64, 784), 10, dev);
}

/* Two 3x3 convolutions with max-pool, one hidden layer; 28x28, batch 64, Adam.  relu and
 * max-pool commute: with the pooling first relu has a quarter of the work. */
static void open_cnn(run *r, tp_device *dev)
{
    tp_conv2d_opts same = { .padding = 1 };
    tp_module *l[] = { tp_nn_conv2d(1, 32, 3, same), tp_nn_max_pool2d(2), tp_nn_relu(),
                       tp_nn_conv2d(32, 64, 3, same), tp_nn_max_pool2d(2), tp_nn_relu(), tp_nn_flatten(),
                       tp_nn_linear_with(64 * 49, 128, (tp_linear_layer_opts){ TP_RELU, false }),
                       tp_nn_linear(128, 10) };

    r->net = tp_nn_sequential(l, TP_LEN(l));
    data(r, TP_SHAPE(BATCHES, 64, 1, 28, 28), 10, dev);
}

/* 784-400-20 (Kingma & Welling 2014), batch 128, Adam */
static void open_vae(run *r, tp_device *dev)
{
    r->net = tp_nn_container("vae");
    tp_nn_add(r->net, "fc1", tp_nn_linear_with(784, 400, (tp_linear_layer_opts){ TP_RELU, false }));
    tp_nn_add(r->net, "fc21", tp_nn_linear(400, 20));
    tp_nn_add(r->net, "fc22", tp_nn_linear(400, 20));
    tp_nn_add(r->net, "fc3", tp_nn_linear_with(20, 400, (tp_linear_layer_opts){ TP_RELU, false }));
    tp_nn_add(r->net, "fc4", tp_nn_linear(400, 784));
    data(r, TP_SHAPE(BATCHES, 128, 784), 0, dev);
}

static tp_tensor *layer(run *r, const char *name, tp_tensor *x)
{
    return tp_nn_forward(tp_nn_get(r->net, name), x);
}

static tp_tensor *elbo(run *r, tp_tensor *x, tp_tensor *y)
{
    tp_tensor *h = layer(r, "fc1", x), *mu = layer(r, "fc21", h), *logvar = layer(r, "fc22", h);
    tp_tensor *z = tp_add(mu, tp_mul(tp_exp(tp_scale(logvar, 0.5)), tp_randn_like(mu)));
    tp_tensor *logits = layer(r, "fc4", layer(r, "fc3", z));
    tp_tensor *rec = tp_bce_with_logits_with(logits, x, (tp_loss_opts){ TP_SUM });
    tp_tensor *kl = tp_sub(tp_add(tp_square(mu), tp_exp(logvar)), tp_shift(logvar, 1));

    (void)y;
    return tp_add(rec, tp_scale(tp_sum(kl, TP_ALL), 0.5));
}

static const workload workloads[] = {
    { "mlp", 0.205, open_mlp, classify },
    { "cnn", 1.60, open_cnn, classify },
    { "vae", 0.42, open_vae, elbo },
};

/* ---- steps ---- */

static void step(const workload *w, run *r)
{
    TP_SCOPE;
    tp_tensor *x = batch(r->x, r->at), *y = r->y ? batch(r->y, r->at) : NULL;
    tp_tensor *loss = w->loss(r, x, y);

    r->at = (r->at + 1) % BATCHES;
    tp_optim_zero_grad(r->opt);
    tp_backward(loss);
    tp_optim_step(r->opt);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_ms(const workload *w, run *r, int steps)
{
    double *t = malloc(sizeof *t * (size_t)steps), m;

    for (int i = 0; i < steps; i++) {
        double start = now();

        step(w, r);
        t[i] = 1e3 * (now() - start);
    }
    qsort(t, (size_t)steps, sizeof *t, by_value);
    m = t[steps / 2];
    free(t);
    return m;
}

static void open_run(const workload *w, run *r, tp_device *dev)
{
    *r = (run){ 0 };
    tp_seed(1);
    w->open(r, dev);
    tp_nn_init(r->net, dev);
    r->opt = tp_optim_adam(tp_nn_params(r->net, "*"), tp_adam(1e-3));
    median_ms(w, r, 5);
}

static void close_run(run *r)
{
    tp_optim_free(r->opt), tp_nn_free(r->net), tp_free(r->x), tp_free(r->y);
}

/* ---- the two ways of being asked ---- */

/* The probe beside this program; 0 where it isn't built. */
static double peak_gflops(const char *self)
{
    char command[4096], line[256] = "";
    const char *slash = strrchr(self, '/'), *at;
    FILE *f;

    snprintf(command, sizeof command, "'%.*s/probe' 2>/dev/null", slash ? (int)(slash - self) : 1, slash ? self : ".");
    if (!(f = popen(command, "r"))) return 0;
    if (!fgets(line, sizeof line, f)) line[0] = 0;
    pclose(f);
    at = strstr(line, tp_threads() > 1 ? "gflops2=" : "gflops1=");
    return at ? atof(strchr(at, '=') + 1) : 0;
}

static void report(const workload *w, const char *self, double seconds)
{
    double peak = peak_gflops(self), ms, mib = 1024 * 1024;
    tp_device *dev = tp_device_open("cpu");
    struct rusage usage;
    long copies;
    size_t before;
    run r;

    open_run(w, &r, dev);
    before = tp_memory_stats(dev).now - (size_t)(tp_count(r.x) * 4 + tp_count(r.y) * 8);
    copies = atomic_load(&tp__layout_copies);
    tp_memory_reset_peak(dev);
    step(w, &r);
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

static void serve(const workload *w)
{
    char line[64];
    run r;

    open_run(w, &r, tp_device_open("cpu"));
    while (fgets(line, sizeof line, stdin)) {
        int n = 0;

        if (sscanf(line, "step %d", &n) != 1 || n < 1 || n > MOST_STEPS) continue;
        printf("bench name=%s step_ms=%.4f\n", w->name, median_ms(w, &r, n));
        fflush(stdout);
    }
    close_run(&r);
}

static const workload *find(const char *name)
{
    for (int i = 0; i < TP_LEN(workloads); i++)
        if (!strcmp(workloads[i].name, name)) return &workloads[i];
    fprintf(stderr, "models: there is no model %s\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "name", required_argument, NULL, 'n' },
                                             { "threads", required_argument, NULL, 't' },
                                             { "seconds", required_argument, NULL, 's' },
                                             { NULL, 0, NULL, 0 } };
    const workload *one = NULL;
    double seconds = 2;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'n') one = find(optarg);
        else if (c == 't') tp_set_threads(atoi(optarg));
        else if (c == 's') seconds = atof(optarg);
        else return 2;
    }
    if (one) serve(one);
    for (int i = optind; i < argc; i++)
        report(find(argv[i]), argv[0], seconds);
    for (int i = 0; !one && optind == argc && i < TP_LEN(workloads); i++)
        report(&workloads[i], argv[0], seconds);
    if (!tp_ok()) fprintf(stderr, "models: %s\n", tp_error());
    return !tp_ok();
}
