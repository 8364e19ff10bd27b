/*
 * profile.c - what watching costs: steps of a CNN with a profile and without, in turn.
 *
 *   profile [--threads N] [--steps N] [--trace FILE]
 *   bench profile step_ms=11.402 watched_ms=11.523 overhead_percent=1.06 events=58
 *
 * Each number is a median; the overhead is the median of the pairs' ratios.  --trace keeps the
 * last step.
 */
#include "tests/bench/timing.h"

#include <getopt.h>

enum { N = 64 };

typedef struct run {
    tp_module *net;
    tp_optim *opt;
    tp_tensor *x, *y;
} run;

/* The CNN of bench/models.c. */
static run begin(tp_device *dev)
{
    tp_conv2d_opts same = { .padding = 1 };
    tp_module *l[] = { tp_nn_conv2d(1, 32, 3, same),
                       tp_nn_max_pool2d(2),
                       tp_nn_relu(),
                       tp_nn_conv2d(32, 64, 3, same),
                       tp_nn_max_pool2d(2),
                       tp_nn_relu(),
                       tp_nn_flatten(),
                       tp_nn_linear_with(64 * 49, 128, (tp_linear_layer_opts){ TP_RELU, false }),
                       tp_nn_linear(128, 10) };
    run r = { .net = tp_nn_init(tp_nn_sequential(l, TP_LEN(l)), dev) };
    TP_SCOPE;

    r.opt = tp_optim_adam(tp_nn_params(r.net, "*"), tp_adam(1e-3));
    r.x = tp_keep(tp_rand(TP_SHAPE(N, 1, 28, 28), dev));
    r.y = tp_keep(tp_cast(tp_scale(tp_rand(TP_SHAPE(N), dev), 10), TP_I64));
    return r;
}

static double step_ms(run *r)
{
    double start = now();
    TP_SCOPE;

    tp_optim_zero_grad(r->opt);
    tp_backward(tp_cross_entropy(tp_nn_forward(r->net, r->x), r->y));
    tp_optim_step(r->opt);
    return 1e3 * (now() - start);
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "threads", required_argument, NULL, 't' },
                                             { "steps", required_argument, NULL, 's' },
                                             { "trace", required_argument, NULL, 'o' },
                                             { NULL, 0, NULL, 0 } };
    const char *trace = NULL;
    int steps = 200, events = 0;
    double *off, *on, *ratio;
    run r;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 't') tp_set_threads(atoi(optarg));
        else if (c == 's') steps = atoi(optarg) > 0 ? atoi(optarg) : 1;
        else if (c == 'o') trace = optarg;
        else return 2;
    }
    r = begin(tp_device_open("cpu"));
    off = malloc(3 * sizeof *off * (size_t)steps), on = off + steps, ratio = on + steps;
    for (int i = 0; i < 5; i++)
        step_ms(&r);
    for (int i = 0; tp_ok() && i < steps; i++) {
        const tp_profile_row *row;
        tp_profile *p;

        if (i % 2) off[i] = step_ms(&r); /* neither always comes first */
        p = tp_profile_begin((tp_profile_opts){ .trace = trace ? trace : "/dev/null" });
        on[i] = step_ms(&r);
        tp_profile_end(p), events = 0;
        for (int k = tp_profile_rows(p, &row); k-- > 0;)
            events += (int)row[k].calls;
        if (i == steps - 1) tp_profile_print(p);
        tp_profile_free(p);
        if (i % 2 == 0) off[i] = step_ms(&r);
        ratio[i] = on[i] / off[i];
    }
    printf("bench profile step_ms=%.3f watched_ms=%.3f overhead_percent=%.2f events=%d\n",
           median(off, steps), median(on, steps), 100 * (median(ratio, steps) - 1), events);
    if (!tp_ok()) fprintf(stderr, "profile: %s\n", tp_error());
    tp_optim_free(r.opt), tp_nn_free(r.net), tp_free(r.x), tp_free(r.y), free(off);
    return !tp_ok();
}
