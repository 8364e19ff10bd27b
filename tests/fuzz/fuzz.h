/*
 * fuzz.h - what the fuzzers share: their input as a file, and a check that ends them.
 */
#ifndef TP_TESTS_FUZZ_H
#define TP_TESTS_FUZZ_H

#include "taper.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define fuzz_check(cond)                                                                 \
    do {                                                                                 \
        if (!(cond)) fprintf(stderr, "%s: %s\n", #cond, tp_error()), abort();            \
    } while (0)

/* The path of file 0 or 1 with these bytes, in memory. */
static inline const char *fuzz_file(int which, const uint8_t *bytes, size_t n)
{
    static int fd[2] = { -1, -1 };
    static char path[2][32];

    if (fd[which] < 0) {
        fd[which] = memfd_create("input", 0);
        snprintf(path[which], sizeof *path, "/proc/self/fd/%d", fd[which]);
    }
    if (ftruncate(fd[which], 0) || pwrite(fd[which], bytes, n, 0) != (ssize_t)n) abort();
    return path[which];
}

/* Lets folder/name be file 0 or 1; the folder is made where the fuzzer runs, once for all its runs. */
static inline void fuzz_link(const char *folder, const char *name, int which)
{
    char path[64];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    mkdir(folder, 0777), unlink(path);
    if (symlink(fuzz_file(which, NULL, 0), path)) abort();
}

#endif
