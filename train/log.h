/*
 * log.h - what the files of the logger share.
 */
#ifndef TP_TRAIN_LOG_H
#define TP_TRAIN_LOG_H

#include "tensor/internal.h"
#include "train/train.h"

#include <stdio.h>

enum { TP_TRACKS = 64, TP_POINTS = 4096 };

/* One key's values. */
typedef struct tp_track {
    char key[64];
    double now, last;      /* this step's number; the newest known */
    tp_later *added, *due; /* this step's number; the one before's, to be read */
    bool seen, told; /* known; the event file has this step's */
    double *x, *y; /* the curve */
    int64_t n, room, every;
} tp_track;

struct tp_logger {
    tp_log_opts o;
    char *dir;
    FILE *csv, *json, *events; /* the last two where they are wanted */
    int folder;                /* open, and locked; -1: none */
    bool terminal, drawn, started, incomplete, json_lost, events_lost;
    int columns; /* of the header that log.csv has; 0: none yet */
    int64_t step, row;
    /* The row of the last step is in the files already, from there on; a value has come since. */
    bool ahead, late;
    long csv_at, json_at;
    tp_thread *_Atomic thread; /* that makes the steps */
    int64_t items, done; /* of this step, where the program says it; in all, since the start */
    double start, shown, flushed;
    struct tp_logger *next;
    tp_track track[TP_TRACKS];
    int n;
};

double tp__now(void);
tp_track *tp__log_track(tp_logger *l, const char *key); /* made if it isn't there */
FILE *tp__log_file(const char *path, bool append); /* what is there stays until tp__log_start */
void tp__log_start(tp_logger *l); /* before anything is written */
bool tp__log_json_open(tp_logger *l);
void tp__log_json_row(tp_logger *l, const double *v);
bool tp__log_events_open(tp_logger *l);
void tp__log_events_start(tp_logger *l);
void tp__log_events_row(tp_logger *l, const double *v);
void tp__log_free(tp_logger *l);
void tp__log_bar(tp_logger *l, bool last);
void tp__log_flush_all(void); /* rows of every open log go to disk, this thread's up to now */
bool tp__log_plot(tp_logger *l); /* dir/curve.png */

#endif
