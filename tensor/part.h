/*
 * part.h - a file that is written beside its target and then takes its name: whatever happens,
 * the old file or the new one is there, whole.
 *
 * The target of a symbolic link is replaced, not the link, and the mode of an earlier file is
 * kept.  The file is target.part, locked while it is written, so that a later process uses again
 * what a killed one left; one of another name is taken only where that one can't be.
 */
#ifndef TP_TENSOR_PART_H
#define TP_TENSOR_PART_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

typedef struct tp_part {
    FILE *f;
    char target[4096], name[4096 + 64];
    mode_t mode; /* of the file that is replaced */
    bool earlier;
} tp_part;

/* false, errno says why, and nothing is left. */
bool tp__part_open(tp_part *p, const char *path);
/* Closes; what was written to f is synced and takes the target's name, or is taken away. */
bool tp__part_take(tp_part *p);
void tp__part_drop(tp_part *p);

#endif
