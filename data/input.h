/*
 * input.h - whole files in memory, and lists of names, for the files of data/ alone.
 */
#ifndef TP_DATA_INPUT_H
#define TP_DATA_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tp_bytes {
    char *p;
    size_t n, room;
} tp_bytes;

/* Is there a regular file, or a pipe?  false and an error where not: a device may never end. */
bool tp__input_ends(const char *where, const char *path);
/* All of a file, gzip or plain, with a 0 behind; false and an error, at `where`, when it can't be
 * read. */
bool tp__input(const char *where, const char *path, tp_bytes *b);
/* As it is, at most `most` bytes. */
bool tp__input_raw(const char *where, const char *path, size_t most, tp_bytes *b);
bool tp__bytes_room(tp_bytes *b, size_t n); /* for n more */
void tp__bytes_free(tp_bytes *b);

/* Names, each owned. */
typedef struct tp_names {
    char **name;
    int64_t n, room;
} tp_names;

bool tp__names_add(tp_names *l, const char *name, size_t n);
/* One a line, at most `most`; blanks at the ends of a line and empty lines are left out. */
bool tp__names_lines(tp_names *l, const tp_bytes *b, int64_t most);
void tp__names_sort(tp_names *l); /* by bytes */
void tp__names_free(tp_names *l);

/* A decimal number, with blanks around it, whatever the locale: [+-] digits . digits e digits, or
 * inf, infinity.  Rounded correctly. */
bool tp__number(const char *text, double *v);

#endif
