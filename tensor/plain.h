/*
 * plain.h - numbers as text with a point, whatever the locale of the program: setlocale in a host
 * would put commas into files that others read, and refuse the points in them.
 */
#ifndef TP_TENSOR_PLAIN_H
#define TP_TENSOR_PLAIN_H

#include <locale.h>

locale_t tp__plain(void); /* "C", never freed; 0 where there is no memory for it */
double tp__strtod(const char *text, char **end);

/* TP_PLAIN; at the top of a block: what printf and its like write in it, in this thread, has
 * points.  The thread's own locale is back where the block ends, however it is left. */
#define TP_PLAIN                                                                         \
    locale_t tp__before __attribute__((cleanup(tp__plain_end), unused)) = tp__plain_begin()
locale_t tp__plain_begin(void);
void tp__plain_end(locale_t *before);

#endif
