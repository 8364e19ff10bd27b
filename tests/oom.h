/*
 * oom.h - the n-th allocation fails, for every n of whatever a program does.
 */
#ifndef TP_TESTS_OOM_H
#define TP_TESTS_OOM_H

#include "tests/check.h"

enum { MOST_ALLOCATIONS = 200000 }; /* allocations: a loop that never ends is a failure */

/* Which allocations fail: every one, or, where a device is simulated and a step is slow, every so many. */
static inline int oom_stride(void)
{
    const char *each = getenv("TAPER_TEST_OOM_EACH");

    return each ? atoi(each) : 1;
}

/* Runs f with the n-th allocation failing, for n = 0, 1, ... until it succeeds; after each
 * failure `after` looks at what is left.  Gives the number of places where it failed, or might have. */
static inline int at_every_allocation(bool (*f)(void *user), void (*after)(void *user, bool done), void *user)
{
    char name[sizeof check_name];
    int n = 0, each = oom_stride();
    bool done = false;

    memcpy(name, check_name, sizeof name);
    for (; !done && n < MOST_ALLOCATIONS; n += each) {
        CASE("%.80s, allocation %d", name, n);
        tp__fail_after = n;
        done = f(user);
        tp__fail_after = -1;
        if (!done) CHECK(tp_error_code() == TP_ERR_MEMORY);
        CHECK(!done || tp_ok());
        tp_clear_error();
        after(user, done);
    }
    CASE("%.80s", name);
    fprintf(stderr, "out of memory, %s: %d places\n", name, n - each);
    CHECK(n > 1 && n < MOST_ALLOCATIONS);
    return n - each;
}

#endif
