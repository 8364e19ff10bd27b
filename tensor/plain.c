/*
 * plain.c - see plain.h.
 */
#include "tensor/plain.h"

#include <pthread.h>
#include <stdlib.h>

static locale_t plain;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_plain(void)
{
    plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

locale_t tp__plain(void)
{
    pthread_once(&once, make_plain);
    return plain;
}

double tp__strtod(const char *text, char **end)
{
    return tp__plain() ? strtod_l(text, end, plain) : strtod(text, end);
}

locale_t tp__plain_begin(void)
{
    return uselocale(tp__plain()); /* 0 changes nothing */
}

void tp__plain_end(locale_t *before)
{
    uselocale(*before);
}
