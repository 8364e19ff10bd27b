/*
 * args.h - what args.c and options.c share: flags by number, and what each holds.
 */
#ifndef TP_TRAIN_ARGS_H
#define TP_TRAIN_ARGS_H

#include "train/train.h"

enum {
    DEVICE = 1,
    EPOCHS,
    STEPS,
    BATCH,
    LR,
    SEED,
    THREADS,
    DATA,
    OUT,
    RESUME,
    AMP,
    PLOT,
    HELP,
    OWN = 256 /* beyond any letter */
};
enum { MOST_FLAGS = 32 };

/* Which flags the command line had. */
typedef struct tp_given {
    bool common[HELP + 1], own[MOST_FLAGS];
} tp_given;

/* The flag becomes text; -1, or the status to exit with, what is wrong having been told. */
int tp__take_flag(tp_train_args *a, int flag, const char *text);
/* From the run that a->resume holds, what the command line didn't give; a flag that was given and can't
 * differ is told.  -1 or a status. */
int tp__options_resume(tp_train_args *a, const tp_given *g);
/* a->options: all flags as they are now.  -1 or a status. */
int tp__options_write(tp_train_args *a);

#endif
