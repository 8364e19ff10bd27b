/*
 * files.h - for tests that write: a folder of their own, whole files, and what goes to stderr.
 */
#ifndef TP_TESTS_FILES_H
#define TP_TESTS_FILES_H

#include "tests/check.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[256]; /* of the test that runs; in_folder() names a file in it */

static inline void make_test_folder(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(folder, sizeof folder, "%s/taper-test-XXXXXX", base ? base : "/tmp");
    cr_assert(mkdtemp(folder), "%s can't be made", folder);
}

static inline int remove_one(const char *path, const struct stat *st, int what, struct FTW *place)
{
    (void)st, (void)what, (void)place;
    return remove(path);
}

static inline void remove_test_folder(void)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* One of a few rotating buffers. */
static inline const char *in_folder(const char *name)
{
    static char path[8][512];
    static int at;

    at = (at + 1) % TP_LEN(path);
    snprintf(path[at], sizeof *path, "%s/%s", folder, name);
    return path[at];
}

/* All of a file with a 0 behind it; free it.  NULL when it isn't there. */
static inline char *read_whole(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    size_t room = 1 << 16, got = 0;
    char *text = f ? malloc(room + 1) : NULL;

    for (size_t some; f && (some = fread(text + got, 1, room - got, f)); got += some)
        if (got + some == room) text = realloc(text, (room *= 2) + 1);
    if (f) fclose(f), text[got] = 0;
    if (n) *n = got;
    return text;
}

static inline void write_whole(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");

    cr_assert(f && fwrite(bytes, 1, n, f) == n, "%s can't be written", path);
    fclose(f);
}

static inline bool same_files(const char *a, const char *b)
{
    size_t n = 0, m = 1;
    char *x = read_whole(a, &n), *y = read_whole(b, &m);
    bool same = x && y && n == m && !memcmp(x, y, n);

    free(x), free(y);
    return same;
}

/* Between begin and end what goes to fd is caught; end gives it, to be freed. */
static int caught_fd, caught_old;

static inline void catch_begin(int fd)
{
    int to = open(in_folder("caught"), O_CREAT | O_TRUNC | O_RDWR, 0600);

    fflush(NULL);
    caught_fd = fd, caught_old = dup(fd);
    dup2(to, fd), close(to);
}

static inline char *catch_end(void)
{
    fflush(NULL);
    dup2(caught_old, caught_fd), close(caught_old);
    return read_whole(in_folder("caught"), NULL);
}

static inline int lines_of(const char *text)
{
    int n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

#endif
