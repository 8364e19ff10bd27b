/*
 * cifar.c - CIFAR-10 and CIFAR-100 (Krizhevsky 2009), binary: records of one label (CIFAR-100: the
 * coarse and the fine one) and 3072 bytes, the red, green and blue planes of 32 rows.
 */
#include "data/datasets.h"
#include "data/input.h"
#include "data/internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PIXELS = 3 * 32 * 32, MOST_FILES = 100 };

/* What the two have different. */
typedef struct kind {
    const char *where, *train, *test, *names;
    int labels, classes; /* bytes before the pixels; of the last of them */
} kind;

static const kind ten = {
    "tp_data_cifar10", "data_batch_%d.bin", "test_batch.bin", "batches.meta.txt", 1, 10
};
static const kind hundred = { "tp_data_cifar100",     "train.bin", "test.bin",
                              "fine_label_names.txt", 2,           100 };

typedef struct records {
    tp_bytes b;
    int labels;
    tp_names names;
} records;

static const unsigned char *record(const records *r, int64_t i)
{
    return (const unsigned char *)r->b.p + (size_t)i * (size_t)(PIXELS + r->labels);
}

static tp_got get_record(void *user, int64_t i, void *const *fields)
{
    const records *r = user;
    const unsigned char *from = record(r, i);
    float *x = fields[0];

    for (int k = 0; k < r->labels; k++) /* the fine one first */
        *(int64_t *)fields[1 + k] = from[r->labels - 1 - k];
    for (int k = 0; k < PIXELS; k++)
        x[k] = (float)from[r->labels + k] * (1 / 255.0f);
    return TP_ITEM;
}

static int64_t label_of(void *user, int64_t i)
{
    const records *r = user;

    return record(r, i)[r->labels - 1];
}

static void free_records(void *user)
{
    records *r = user;

    tp__bytes_free(&r->b), tp__names_free(&r->names);
    tp__release(r, sizeof *r);
}

static bool labels_ok(const kind *k, const char *path, const unsigned char *b, size_t n)
{
    const size_t bytes = (size_t)(PIXELS + k->labels);

    TP_REQUIRE_IN(k->where, n && n % bytes == 0, TP_ERR_FORMAT,
                  "%s has %zu bytes: records of %zu are wanted", path, n, bytes);
    for (size_t i = 0; i < n; i += bytes) {
        TP_REQUIRE_IN(k->where, k->labels == 1 || b[i] < 20, TP_ERR_FORMAT,
                      "%s: record %zu has the coarse label %d", path, i / bytes, b[i]);
        TP_REQUIRE_IN(k->where, b[i + (size_t)k->labels - 1] < k->classes, TP_ERR_FORMAT,
                      "%s: record %zu has the label %d: there are %d classes", path, i / bytes,
                      b[i + (size_t)k->labels - 1], k->classes);
    }
    return true;
}

static bool add_file(const kind *k, const char *path, tp_bytes *all)
{
    tp_bytes b;
    bool ok;

    if (!tp__input(k->where, path, &b)) return false;
    ok = labels_ok(k, path, (const unsigned char *)b.p, b.n) && tp__bytes_room(all, b.n);
    if (ok) memcpy(all->p + all->n, b.p, b.n), all->n += b.n;
    tp__bytes_free(&b);
    return ok;
}

/* The path of file `number` of a split, with .gz where only that is there. */
static void path_of(const char *dir, const char *name, int number, char *path, size_t room)
{
    char file[64], zipped[4096];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(file, sizeof file, name, number);
#pragma GCC diagnostic pop
    snprintf(path, room, "%s/%s", dir, file);
    snprintf(zipped, sizeof zipped, "%s/%s.gz", dir, file);
    if (access(path, F_OK) && !access(zipped, F_OK)) snprintf(path, room, "%s", zipped);
}

static bool read_split(const kind *k, const char *dir, bool train, tp_bytes *all)
{
    const char *name = train ? k->train : k->test;
    bool many = strchr(name, '%') != NULL;
    char path[4096];

    for (int i = 1; i <= (many ? MOST_FILES : 1); i++) {
        path_of(dir, name, i, path, sizeof path);
        if (i > 1 && access(path, F_OK)) break;
        if (!add_file(k, path, all)) return false;
    }
    return true;
}

/* Names are taken where they are; a file of names that are too few is refused. */
static bool read_names(const kind *k, const char *dir, tp_names *names)
{
    char path[4096];
    tp_bytes b;
    bool ok;

    snprintf(path, sizeof path, "%s/%s", dir, k->names);
    if (access(path, F_OK)) return true;
    if (!tp__input(k->where, path, &b)) return false;
    ok = tp__names_lines(names, &b, k->classes);
    tp__bytes_free(&b);
    if (!ok) return false;
    TP_REQUIRE_IN(k->where, names->n == k->classes, TP_ERR_FORMAT, "%s: %lld names: %d are wanted",
                  path, (long long)names->n, k->classes);
    return true;
}

static tp_dataset *open_kind(const kind *k, const char *dir, const char *split)
{
    tp_source s = { .fields = 1 + k->labels,
                    .shape = { TP_SHAPE(3, 32, 32) },
                    .dtype = { TP_F32, TP_I64, TP_I64 },
                    .get = get_record,
                    .done = free_records };
    tp_dataset *d;
    records *r;

    if (!tp_ok()) return NULL;
    TP_REQUIRE_IN(k->where, dir, TP_ERR_ARG, "missing folder");
    TP_REQUIRE_IN(k->where, split && (!strcmp(split, "train") || !strcmp(split, "test")),
                  TP_ERR_ARG, "split \"%s\": train or test", split ? split : "");
    if (!(r = tp__alloc_zeroed(sizeof *r))) return NULL;
    r->labels = k->labels;
    if (!read_split(k, dir, !strcmp(split, "train"), &r->b) || !read_names(k, dir, &r->names))
        return free_records(r), NULL;
    s.count = (int64_t)(r->b.n / (size_t)(PIXELS + k->labels)), s.user = r;
    if (!(d = tp_data_source(s))) return NULL;
    d->classes = k->classes, d->names = (const char *const *)r->names.name, d->label = label_of;
    return d;
}

tp_dataset *tp_data_cifar10(const char *dir, const char *split)
{
    return open_kind(&ten, dir, split);
}

tp_dataset *tp_data_cifar100(const char *dir, const char *split)
{
    return open_kind(&hundred, dir, split);
}
