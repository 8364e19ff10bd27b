/*
 * probe.h - who watches what a thread runs: the profiler of train/.
 *
 * A thread's probe is NULL but for that: each place that tells it something costs one test then.
 * Nothing here may fail, or change what is watched.
 */
#ifndef TP_TENSOR_PROBE_H
#define TP_TENSOR_PROBE_H

#include "tensor/tensor.h"

/* What a call is counted as. */
typedef struct tp_cost {
    double flops; /* of products alone: a multiplication and an addition are two */
    double bytes; /* of what goes in and comes out, each once */
} tp_cost;

typedef enum tp_probe_kind { TP_PROBE_BACKWARD, TP_PROBE_OP, TP_PROBE_SPAN } tp_probe_kind;

/* What it has no function for it isn't told. */
typedef struct tp_probe tp_probe;
struct tp_probe {
    void (*check)(tp_probe *p);                      /* an op begins, or something else */
    void (*kernel_begins)(tp_probe *p);
    void (*kernel)(tp_probe *p, const char *name, const tp_tensor *t); /* has run */
    void (*op)(tp_probe *p, const char *name, tp_cost c);             /* has run */
    /* What lies between belongs to it.  TP_PROBE_OP: an op made of ops, which ends in `op` under
     * the same name; leave then finds nothing to do. */
    int (*enter)(tp_probe *p, tp_probe_kind kind, const char *name, tp_cost c);
    void (*leave)(tp_probe *p, int entered);
    /* Of any thread, one at a time. */
    void (*other)(tp_probe *p, const char *name, double begin, double end);
};

static inline int tp__probe_enter(tp_probe *p, tp_probe_kind kind, const char *name, tp_cost c)
{
    return p && p->enter ? p->enter(p, kind, name, c) : 0;
}
static inline void tp__probe_leave(tp_probe *p, int entered)
{
    if (p && p->leave) p->leave(p, entered);
}

double tp__probe_now(void); /* seconds */
/* Threads that help: around what they do.  0: nobody watches. */
double tp__probe_begins(void);
void tp__probe_did(const char *name, double begin);
/* Sets who watches the helpers; once this returns, nobody is inside the one before. */
void tp__probe_helpers(tp_probe *p);

#endif
