/*
 * part.c - see part.h.
 */
#include "tensor/part.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS = 40, TRIES = 100 };

/* ---- where to ---- */

/* What the link at path leads to, from its own folder where it is relative. */
static bool follow(char *path, size_t room)
{
    char link[4096], copy[4096], joined[sizeof link + sizeof copy];
    ssize_t n = readlink(path, link, sizeof link - 1);

    if (n < 0) return false;
    link[n] = 0;
    snprintf(copy, sizeof copy, "%s", path);
    if (*link == '/') snprintf(joined, sizeof joined, "%s", link);
    else snprintf(joined, sizeof joined, "%s/%s", dirname(copy), link);
    if (strlen(joined) >= room) return errno = ENAMETOOLONG, false;
    strcpy(path, joined);
    return true;
}

/* Also of links whose target isn't there yet. */
static bool find_target(tp_part *p, const char *path)
{
    struct stat st;

    if (strlen(path) >= sizeof p->target) return errno = ENAMETOOLONG, false;
    strcpy(p->target, path);
    for (int i = 0; lstat(p->target, &st) == 0 && S_ISLNK(st.st_mode); i++) {
        if (i == LINKS) return errno = ELOOP, false;
        if (!follow(p->target, sizeof p->target)) return false;
    }
    p->earlier = stat(p->target, &st) == 0;
    if (p->earlier && !S_ISREG(st.st_mode))
        return errno = S_ISDIR(st.st_mode) ? EISDIR : ENOTSUP, false;
    p->mode = p->earlier ? st.st_mode & 07777 : 0;
    return true;
}

/* ---- the file beside it ---- */

/* Is fd a file of ours alone, still of that name, and nobody else's now?  The one that held the
 * lock may have given it the target's name meanwhile. */
static bool is_ours(int fd, const char *name)
{
    struct stat st, there;

    return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && lstat(name, &there) == 0 &&
           S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid == geteuid() &&
           st.st_dev == there.st_dev && st.st_ino == there.st_ino;
}

static int open_fixed(tp_part *p)
{
    int fd;

    snprintf(p->name, sizeof p->name, "%s.part", p->target);
    fd = open(p->name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (fd >= 0 && is_ours(fd, p->name) && ftruncate(fd, 0) == 0) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

static int open_unique(tp_part *p)
{
    static atomic_uint serial;
    int fd = -1;

    for (int i = 0; fd < 0 && (i == 0 || errno == EEXIST) && i < TRIES; i++) {
        snprintf(p->name, sizeof p->name, "%s.%ld-%u.part", p->target, (long)getpid(),
                 atomic_fetch_add(&serial, 1));
        fd = open(p->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    return fd;
}

/* A new file's mode is what any gets: asking for the umask would change it for other threads.
 * While it is written no more may read it than the earlier one, and its owner may write. */
bool tp__part_open(tp_part *p, const char *path)
{
    int fd, why;

    p->f = NULL;
    if (!find_target(p, path)) return false;
    if ((fd = open_fixed(p)) < 0 && (fd = open_unique(p)) < 0) return false;
    if ((!p->earlier || fchmod(fd, (p->mode & 0777) | 0600) == 0) &&
        (p->f = fdopen(fd, "wb")))
        return true;
    why = errno;
    unlink(p->name), close(fd);
    return errno = why, false;
}

/* The new name is on disk only when the folder is. */
static void sync_folder(const char *path)
{
    char copy[4096];
    int fd;

    snprintf(copy, sizeof copy, "%s", path);
    if ((fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) return;
    fsync(fd), close(fd);
}

bool tp__part_take(tp_part *p)
{
    bool ok = !ferror(p->f) && !fflush(p->f) && !fsync(fileno(p->f)) &&
              (!p->earlier || fchmod(fileno(p->f), p->mode) == 0) &&
              rename(p->name, p->target) == 0;
    int why = errno;

    if (!ok) return tp__part_drop(p), errno = why, false;
    fclose(p->f), p->f = NULL; /* and with it the lock, once the name has changed */
    sync_folder(p->target);
    return true;
}

void tp__part_drop(tp_part *p)
{
    if (!p->f) return;
    unlink(p->name);
    fclose(p->f), p->f = NULL;
}
