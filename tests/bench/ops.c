/*
 * ops.c - each op, forward and backward, at the shapes of the workloads.
 *
 *   ops [part of a family or an op]... [--threads N]
 *   op=linear_relu inputs="-64x784 512x784 512" forward_us=190.1 backward_us=402.5 \
 *       forward=270.4 backward=255.5 unit=GFLOP/s of=458 share=0.59
 *
 * Medians.  Products are in GFLOP/s, of the peak that the probe beside this program shows; all else in
 * GB/s of the bytes that must move (inputs and result once; backward, the gradients too), of what
 * copying a large array reaches: a small tensor stays in the caches and can show more.  share is
 * that of forward and backward together.
 *
 *   ops --list      prints the cases
 *   ops --serve     answers each line "CASE REPEATS" by the two medians, for ops.py
 */
#include "tests/bench/op_cases.h"
#include "tests/bench/timing.h"

#include <ctype.h>
#include <getopt.h>

enum { MOST_REPEATS = 100000 };

/* ---- inputs from words ---- */

static tp_shape shape_of(const char *text)
{
    tp_shape s = { 0 };

    for (char *end; isdigit((unsigned char)*text); text = *end == 'x' ? end + 1 : end)
        s.n[s.rank++] = strtoll(text, &end, 10);
    return s;
}

static tp_tensor *input(const char *word, tp_device *dev)
{
    TP_SCOPE;
    bool wants = true, last = false, half = false, labels = *word == 'i', boolean = *word == 'b';
    double below = labels ? atof(word + 1) : 1;
    tp_tensor *t;

    for (; labels ? *word != ':' : !isdigit((unsigned char)*word); word++)
        wants = wants && *word != '-', last = last || *word == 'c', half = half || *word == 'h';
    t = tp_rand(shape_of(word + labels), dev);
    if (labels) return tp_keep(tp_cast(tp_scale(t, below), TP_I64));
    if (boolean) return tp_keep(tp_lt_scalar(t, 0.5));
    if (last) t = tp_channels_last(t);
    if (half) t = tp_cast(t, TP_BF16);
    return tp_requires_grad(tp_keep(tp_clone(t)), wants);
}

typedef struct run {
    const op_case *c;
    tp_tensor *x[MOST_INPUTS], *dy; /* dy NULL: there is no backward */
    int n;
    double bytes[2]; /* that must move, forward and backward */
} run;

static double bytes_of(const tp_tensor *t)
{
    return (double)tp_count(t) * (double)tp_dtype_size(tp_dtype_of(t));
}

static run open_run(const op_case *c, tp_device *dev)
{
    TP_SCOPE;
    run r = { .c = c };
    char words[128], *rest;
    tp_tensor *y;

    snprintf(words, sizeof words, "%s", c->inputs);
    for (char *w = strtok_r(words, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
        r.x[r.n++] = input(w, dev);
    y = c->call(r.x);
    if (tp_needs_grad(y)) r.dy = tp_keep(tp_clone(tp_detach(y)));
    r.bytes[0] = bytes_of(y);
    for (int i = 0; i < r.n; i++) {
        r.bytes[0] += bytes_of(r.x[i]);
        if (tp_needs_grad(r.x[i])) r.bytes[1] += bytes_of(r.x[i]);
    }
    r.bytes[1] += r.bytes[0];
    return r;
}

static void close_run(run *r)
{
    for (int i = 0; i < r->n; i++)
        tp_free(r->x[i]);
    tp_free(r->dy);
}

/* ---- timing ---- */

static void once(run *r, double *forward, double *backward)
{
    TP_SCOPE;
    double start;
    tp_tensor *y;

    for (int i = 0; i < r->n; i++)
        tp_zero_grad(r->x[i]);
    start = now();
    y = r->c->call(r->x);
    *forward = 1e6 * (now() - start);
    start = now();
    if (r->dy) tp_backward_with(y, (tp_backward_opts){ .grad_output = r->dy });
    *backward = 1e6 * (now() - start);
}

static void medians(run *r, int repeats, double *forward, double *backward)
{
    double *t = malloc(sizeof *t * 2 * (size_t)repeats);

    for (int i = 0; i < repeats; i++)
        once(r, &t[i], &t[repeats + i]);
    *forward = median(t, repeats);
    *backward = r->dy ? median(t + repeats, repeats) : 0;
    free(t);
}

/* ---- the ways of being asked ---- */

/* GB/s of reading and writing 128 MiB each. */
static double copy_speed(tp_device *dev)
{
    TP_SCOPE;
    TP_NO_GRAD;
    tp_tensor *a = tp_zeros(TP_SHAPE(1 << 25), TP_F32, dev), *b = tp_zeros(TP_SHAPE(1 << 25), TP_F32, dev);
    double best = 1e30;

    for (int i = 0; i < 7; i++) {
        double start = now();

        tp_copy_(b, a);
        best = now() - start < best ? now() - start : best;
    }
    return 2e-9 * bytes_of(a) / best;
}

static void report(const op_case *c, double gflops, double gbytes, tp_device *dev)
{
    run r = open_run(c, dev);
    double f, b, work[2] = { c->mflop * 1e-3, 0 }, peak = c->mflop > 0 ? gflops : gbytes;
    double grads = 0;

    for (int i = 0; i < 2; i++)
        grads += r.x[i] && tp_needs_grad(r.x[i]);
    work[1] = work[0] * (c->family[0] == 'a' ? 2.5 : grads); /* attention computes its scores again */
    for (int i = 0; c->mflop <= 0 && i < 2; i++)
        work[i] = r.bytes[i] * 1e-9;
    medians(&r, 5, &f, &b);
    medians(&r, (int)(5 + 2e5 / (f + b + 1)), &f, &b);
    printf("%-13s op=%s inputs=\"%s\" forward_us=%.1f backward_us=%.1f forward=%.1f backward=%.1f unit=%s of=%.0f share=%.2f\n",
           c->family, c->op, c->inputs, f, b, 1e6 * work[0] / f, b > 0 ? 1e6 * work[1] / b : 0,
           c->mflop > 0 ? "GFLOP/s" : "GB/s", peak,
           peak > 0 ? 1e6 * (work[0] + (b > 0 ? work[1] : 0)) / (f + b) / peak : 0);
    fflush(stdout);
    close_run(&r);
}

static void serve(tp_device *dev)
{
    run r = { 0 };
    char line[64];

    for (int at = -1, which, repeats; tp_ok() && fgets(line, sizeof line, stdin);) {
        double f, b;

        if (sscanf(line, "%d %d", &which, &repeats) != 2 || which < 0 || which >= TP_LEN(op_cases) || repeats < 1
            || repeats > MOST_REPEATS)
            continue;
        if (which != at) close_run(&r), r = open_run(&op_cases[which], dev), at = which;
        medians(&r, repeats, &f, &b);
        printf("%.3f %.3f\n", f, b);
        fflush(stdout);
    }
    close_run(&r);
}

static bool wanted(const op_case *c, char **part, int n)
{
    for (int i = 0; i < n; i++)
        if (strstr(c->family, part[i]) || strstr(c->op, part[i])) return true;
    return n == 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "list", no_argument, NULL, 'l' },
                                             { "serve", no_argument, NULL, 's' },
                                             { "threads", required_argument, NULL, 't' },
                                             { NULL, 0, NULL, 0 } };
    tp_device *dev = tp_device_open("cpu");
    bool list = false, served = false;
    double gflops, gbytes;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'l') list = true;
        else if (c == 's') served = true;
        else if (c == 't') tp_set_threads(atoi(optarg));
        else return 2;
    }
    tp_seed(1);
    if (served) serve(dev);
    gflops = list || served ? 0 : peak_gflops(argv[0]), gbytes = list || served ? 0 : copy_speed(dev);
    for (int i = 0; !served && tp_ok() && i < TP_LEN(op_cases); i++) {
        if (!wanted(&op_cases[i], argv + optind, argc - optind)) continue;
        if (list) printf("%d\t%s\t%s\t%s\n", i, op_cases[i].family, op_cases[i].op, op_cases[i].inputs);
        else report(&op_cases[i], gflops, gbytes, dev);
    }
    if (!tp_ok()) fprintf(stderr, "ops: %s\n", tp_error());
    return !tp_ok();
}
