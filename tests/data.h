/*
 * data.h - for tests of data sets: files with a text, samples as numbers, passes compared over
 * numbers of workers and places, memory that ends.
 */
#ifndef TP_TESTS_DATA_H
#define TP_TESTS_DATA_H

#include "tests/files.h"

#define IN_FOLDER .init = make_test_folder, .fini = remove_test_folder, .timeout = 300

/* A file in the test's folder; gives its path. */
static inline const char *put_text(const char *name, const char *text)
{
    write_whole(in_folder(name), text, strlen(text));
    return in_folder(name);
}

/* Number k of field f (0 x, 1 y, ...) of sample i. */
static inline double sample_at(tp_dataset *d, int64_t i, int f, int64_t k)
{
    tp_batch b;
    TP_SCOPE;

    if (!tp_data_sample(d, i, &b)) return NAN;
    return check_at(f == 0 ? b.x : f == 1 ? b.y : b.extra[f - 2], k);
}

/* All bytes of the batches of a loader from where it is, n of them, one after the other. */
static inline size_t bytes_of(tp_loader *l, int n, unsigned char *to, size_t room)
{
    size_t at = 0;
    tp_batch b;

    for (int k = 0; k < n && tp_data_next(l, &b); k++) {
        tp_tensor *t[TP_FIELDS] = { b.x, b.y };

        memcpy(t + 2, b.extra, sizeof b.extra);
        for (int f = 0; f < TP_FIELDS; f++) {
            size_t bytes = (size_t)tp_count(t[f]) * tp_dtype_size(tp_dtype_of(t[f]));

            if (!t[f]) continue;
            cr_assert(at + bytes <= room && tp_read(t[f], to + at, bytes), "%s: %s", check_name, tp_error());
            at += bytes;
        }
    }
    return at;
}

/* Two passes of d with 0, 1 and 3 workers, and from each batch anew: always the same bytes.
 * Takes d.  differs: the second pass must not be the first. */
static inline void check_passes(tp_dataset *d, tp_loader_opts o, tp_sampler *(*sampler)(void), bool differs)
{
    enum { ROOM = 1 << 22 };
    unsigned char *whole = malloc(ROOM), *got = malloc(ROOM);
    size_t n = 0, pass = 0;
    int64_t batches;

    o.endless = true;
    for (int workers = 0; workers <= 3; workers += workers ? 2 : 1) {
        o.workers = workers, o.sampler = sampler ? sampler() : NULL;
        tp_loader *l = tp_data_loader(tp_data_retain(d), o);

        cr_assert(l, "%s: %s", check_name, tp_error());
        batches = tp_data_batches(l);
        if (!workers) pass = bytes_of(l, (int)batches, whole, ROOM), n = pass + bytes_of(l, (int)batches, whole + pass, ROOM - pass);
        else CHECK(bytes_of(l, 2 * (int)batches, got, ROOM) == n && !memcmp(got, whole, n));
        CHECK(n == 2 * pass && n > 0 && differs == (memcmp(whole, whole + pass, pass) != 0));
        for (int64_t k = 0; k < batches; k++) {
            size_t rest;

            CHECK(tp_data_seek(l, (tp_position){ 1, k }));
            rest = bytes_of(l, (int)(batches - k), got, ROOM);
            CHECK(rest > 0 && !memcmp(got, whole + n - rest, rest));
        }
        tp_data_free(l);
    }
    tp_data_set_free(d);
    free(whole), free(got);
}

/* f, which leaves nothing behind, with the n-th allocation failing, for n = 0, 1, ... until it is
 * done: each failure is TP_ERR_MEMORY, and no block leaks. */
static inline void check_memory(bool (*f)(void))
{
    long before;
    int n;

    tp_thread_end();
    before = tp__live();
    for (n = 0; n < 100000; n++) {
        bool done;

        tp__fail_after = n;
        done = f();
        tp__fail_after = -1;
        if (!done) cr_assert(tp_error_code() == TP_ERR_MEMORY, "%s: allocation %d: %s", check_name, n, tp_error());
        tp_clear_error();
        tp_thread_end();
        cr_expect(tp__live() == before, "%s: allocation %d: %ld blocks leak", check_name, n, tp__live() - before);
        if (done) break;
    }
    CHECK(n > 0 && n < 100000);
}

#endif
