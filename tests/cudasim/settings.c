/*
 * settings.c - variables of the environment, read strictly.
 */
#include "tests/cudasim/settings.h"

#include <stdio.h>
#include <stdlib.h>

void cudasim_refuse(const char *name, const char *text, const char *wanted)
{
    fprintf(stderr, "cudasim: %s=%s: %s is wanted\n", name, text, wanted);
    exit(2);
}

int cudasim_setting(const char *name, int least, int most, int otherwise)
{
    const char *text = getenv(name);
    char wanted[80], *end;
    long v;

    if (!text) return otherwise;
    v = strtol(text, &end, 10);
    if (end != text && !*end && v >= least && v <= most) return (int)v;
    snprintf(wanted, sizeof wanted, "a whole number from %d to %d", least, most);
    cudasim_refuse(name, text, wanted);
}
