/*
 * test_bugs.c - the simulator must catch every bug of bugs.cu, and name it.
 *
 * Each runs in a process of its own, what it prints being read here.
 */
#include "tests/cudasim/cudasim.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* How it ends: a failed wait, or the simulator's exit. */
enum { WAIT_FAILS = 1, SIMULATOR_ENDS = 97, SIGNAL = 128 /* and its number */ };

static const struct {
    const char *name,
        *says;         /* what it prints */
    const char *order; /* NULL: in every order */
    int ends;          /* SIGNAL: by one, or as WAIT_FAILS */
} bugs[] = {
    { "copy_one_too_many", "outside any allocation", NULL, WAIT_FAILS },
    { "reverse_without_barrier", "shared memory", NULL, WAIT_FAILS }, /* a race, or uninitialized */
    { "shift_in_place", "race on shared memory", NULL, WAIT_FAILS },
    { "other_warp_reads", "race on shared memory", NULL, WAIT_FAILS },
    { "halo_in_place", "race on device memory", NULL, WAIT_FAILS },
    { "beyond_shared", "outside its shared array", NULL, WAIT_FAILS },
    { "sum_into_one", "race on device memory", NULL, WAIT_FAILS },
    { "barrier_for_some", "different __syncthreads", NULL, WAIT_FAILS },
    { "shuffle_from_absent", "doesn't take part", NULL, WAIT_FAILS },
    { "half_a_warp", "stuck", NULL, WAIT_FAILS },
    { "half_an_mma", "doesn't take part", NULL, WAIT_FAILS },
    { "copy_four", "not aligned", NULL, SIGNAL }, /* after the report the processor may refuse it */
    { "double_all", "uninitialized device memory", NULL, WAIT_FAILS },
    { "two_blocks", "race on device memory", NULL, WAIT_FAILS },
    { "host_pointer", "the host's", NULL, WAIT_FAILS },
    { "released", "released memory", NULL, WAIT_FAILS },
    { "before_a_release", "uninitialized device memory", NULL, WAIT_FAILS },
    { "other_stream", "uninitialized device memory", "reverse", WAIT_FAILS },
    { "host_access", "host code touched device memory", NULL, SIMULATOR_ENDS },
    { "early_read", "the host reads NaN before the copy", NULL, WAIT_FAILS },
    { "reused_source", "the device has the later 5", NULL, WAIT_FAILS },
};

enum { BUGS = sizeof bugs / sizeof *bugs };

static const char *const orders[] = { "forward", "reverse", "random:1", "random:2" };

typedef int bug(void);
typedef void set_order(const char *);

static void *symbol(const char *name)
{
    void *library = dlopen(CUDASIM_BUGS, RTLD_NOW | RTLD_LOCAL);
    void *p = library ? dlsym(library, name) : NULL;

    if (!p) fprintf(stderr, "%s\n", dlerror());
    return p;
}

/* In the child: 1 when the bug was seen. */
static int run(const char *name, const char *order)
{
    void *f = symbol(name), *s = symbol("cudasim_set_order");
    bug *call;
    set_order *set;

    if (!f || !s) return 99;
    memcpy(&call, &f, sizeof f), memcpy(&set, &s, sizeof s);
    set(order);
    return call();
}

/* Runs it elsewhere; its exit status, or SIGNAL and more, and what it printed. */
static int outcome(const char *name, const char *order, char *text, size_t room)
{
    int pipes[2], status = 0;
    size_t length = 0;
    ssize_t n;
    pid_t child;

    if (pipe(pipes) || (child = fork()) < 0) return 98;
    if (child == 0) {
        dup2(pipes[1], 2);
        _exit(run(name, order));
    }
    close(pipes[1]);
    while (length < room - 1 &&
           (n = read(pipes[0], text + length, room - 1 - length)) > 0)
        length += (size_t)n;
    text[length] = 0;
    close(pipes[0]);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : SIGNAL + WTERMSIG(status);
}

Test(bugs, are_caught)
{
    static char text[8192];

    for (int i = 0; i < BUGS * 4; i++) {
        const char *order = orders[i % 4];
        int status, wanted = bugs[i / 4].ends;
        char name[64];

        if (bugs[i / 4].order && strcmp(bugs[i / 4].order, order)) continue;
        snprintf(name, sizeof name, "bug_%s", bugs[i / 4].name);
        status = outcome(name, order, text, sizeof text);
        cr_expect(status == wanted || (wanted == SIGNAL && (status > SIGNAL || status == WAIT_FAILS)),
                  "%s, %s: ended with %d, not %d: %s", name, order, status, wanted, text);
        cr_expect(strstr(text, bugs[i / 4].says), "%s, %s: %s", name, order, text);
    }
}

Test(bugs, what_is_right_passes)
{
    static char text[8192];

    for (int i = 0; i < 4; i++)
        cr_expect_eq(outcome("right_double", orders[i], text, sizeof text), 0, "%s: %s",
                     orders[i], text);
}
