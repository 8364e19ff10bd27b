/*
 * workloads.h - the nine workloads whose training steps are timed and counted; docs/speed.md.
 */
#ifndef TP_BENCH_WORKLOADS_H
#define TP_BENCH_WORKLOADS_H

#include "taper.h"

enum { BATCHES = 20, MOST_NETS = 2, WORKLOADS = 9 };

typedef struct run {
    tp_module *net[MOST_NETS];
    tp_optim *opt[MOST_NETS];
    tp_tensor *x, *y; /* (BATCHES, N, ...) */
    tp_tensor *kept;  /* (1000, 1, 1, 1): what is left of a picture at each time */
    int at;
} run;

typedef struct workload {
    const char *name;
    double gflop; /* of the products in one step */
    void (*open)(run *r, tp_device *dev);
    void (*step)(run *r, tp_tensor *x, tp_tensor *y);
} workload;

extern const workload workloads[WORKLOADS];

const workload *find_workload(const char *name); /* where there is none the program ends */
void train_step(const workload *w, run *r);      /* with the next batch */
void close_run(run *r);

#endif
