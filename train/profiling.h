/*
 * profiling.h - what profile.c gathers and profile_write.c shows.
 */
#ifndef TP_TRAIN_PROFILING_H
#define TP_TRAIN_PROFILING_H

#include "tensor/internal.h"
#include "train/profile.h"

#include <stdio.h>

/* Something that ran, in seconds since the beginning. */
typedef struct tp_event {
    int row, thread; /* thread 0: the one that is watched */
    double begin, seconds;
    tp_cost cost;
} tp_event;

enum { TP_PROFILE_DEPTH = 64, TP_PROFILE_PENDING = 16 };

/* What is going on: a backward, an op made of ops, a span. */
typedef struct tp_frame {
    tp_probe_kind kind;
    const char *name;
    double begin, inside; /* inside: the time of what ran in it */
    tp_cost cost;
} tp_frame;

/* A kernel that no op has claimed yet. */
typedef struct tp_ran {
    const char *name;
    double begin, seconds;
} tp_ran;

struct tp_profile {
    tp_probe probe; /* first: it is what the thread holds */
    tp_profile_opts o;
    tp_thread *thread;
    bool on;
    FILE *trace;
    char *path;
    double begin, seconds;
    size_t peak;

    tp_frame frame[TP_PROFILE_DEPTH];
    int depth; /* may be more than there is room for */
    tp_ran pending[TP_PROFILE_PENDING];
    int n_pending;
    double op_begin, kernel_begin;

    tp_profile_row *row; /* by name, module and phase; modules are rows' own */
    int *index;          /* a hash table of rows, -1: none */
    int n_row, room_row, room_index;
    tp_event *event;
    int64_t n_event, room_event, lost; /* lost: no room in the trace */
    void *helper[64];                  /* threads that were seen */
    int n_helper;
    tp_event *aside; /* of helpers, added at the end */
    int64_t n_aside, room_aside;
};

bool tp__profile_write(tp_profile *p); /* the trace; true when there is none */
extern const char *const tp__phase_name[];

#endif
