/*
 * test_data.c - data sets and loaders: files that lie, passes, places, workers.
 */
#include "tests/files.h"

#include <pthread.h>
#include <stdatomic.h>
#include <zlib.h>

#define IN_FOLDER .init = make_test_folder, .fini = remove_test_folder, .timeout = 120
#define LIMITED   .timeout = 120

/* ---- IDX ---- */

static size_t make_idx(unsigned char *b, int rank, int n, int side)
{
    int64_t count = rank == 3 ? n * side * side : n;
    unsigned char head[16] = { 0, 0, 8, (unsigned char)rank, 0, 0, 0, (unsigned char)n,
                               0, 0, 0, (unsigned char)side, 0, 0, 0, (unsigned char)side };

    memcpy(b, head, 16);
    b += rank == 3 ? 16 : 8;
    for (int64_t i = 0; i < count; i++)
        b[i] = (unsigned char)(rank == 3 ? i * 7 : i % 10);
    return (size_t)(count + (rank == 3 ? 16 : 8));
}

static size_t squeeze(unsigned char *to, const void *from, size_t n)
{
    z_stream z = { .next_in = (unsigned char *)from, .avail_in = (unsigned)n, .next_out = to, .avail_out = 4096 };

    cr_assert(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK && deflate(&z, Z_FINISH) == Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static unsigned char images[4096], labels[64], packed[4096];
static size_t images_n, labels_n, packed_n;

static void make_files(void)
{
    make_test_folder();
    images_n = make_idx(images, 3, 12, 4), labels_n = make_idx(labels, 1, 12, 0);
    packed_n = squeeze(packed, images, images_n);
    write_whole(in_folder("x"), images, images_n), write_whole(in_folder("y"), labels, labels_n);
    write_whole(in_folder("x.gz"), packed, packed_n);
}

static tp_dataset *open_idx(const char *x, const char *y)
{
    return tp_data_idx(in_folder(x), in_folder(y));
}

Test(idx, plain_and_gzip, .init = make_files, .fini = remove_test_folder)
{
    static const char *const names[] = { "x", "x.gz" };
    tp_batch b;

    for (int i = 0; i < 2; i++) {
        CASE("%s", names[i]);
        tp_dataset *d = open_idx(names[i], "y");
        CHECK(tp_data_count(d) == 12 && tp_data_classes(d) == 10);
        tp_loader *l = tp_data_loader(d, (tp_loader_opts){ .batch = 5 });
        CHECK(tp_data_batches(l) == 3 && tp_data_next(l, &b) && tp_data_next(l, &b));
        CHECK(tp_rank(b.x) == 4 && tp_dim(b.x, 0) == 5 && tp_dim(b.x, 1) == 1 && tp_dim(b.x, 2) == 4 && !b.extra[0]);
        for (int k = 0; k < 5 * 16; k++)
            CHECK_NEAR(check_at(b.x, k), (double)((float)images[16 + 5 * 16 + k] * (1 / 255.0f)), 0);
        for (int k = 0; k < 5; k++)
            CHECK_NEAR(check_at(b.y, k), (5 + k) % 10, 0);
        tp_data_free(l);
    }
}

static void refuse_bytes(const void *bytes, size_t n, tp_code code, const char *why)
{
    write_whole(in_folder("bad"), bytes, n);
    CHECK_REFUSED(open_idx("bad", "y"), code, why);
}

Test(idx, refuses, .init = make_files, .fini = remove_test_folder, .timeout = 120)
{
    static const struct {
        int at, value;
        const char *why;
    } heads[] = { { 0, 1, "no images in IDX format" }, { 2, 9, "no images in IDX format" }, { 3, 1, "no images" },
                  { 4, 0x80, "can't be" }, { 7, 13, "cut short" }, { 7, 11, "more in it than its header says" },
                  { 7, 0, "can't be" }, { 8, 1, "cut short" }, { 5, 0xff, "cut short" } };
    unsigned char b[4096];
    tp_batch batch;

    for (size_t cut = 0; cut < images_n; cut++) {
        CASE("cut at %zu", cut);
        refuse_bytes(images, cut, TP_ERR_FORMAT, "it is cut short");
    }
    for (size_t cut = 3; cut < packed_n; cut++) {
        CASE("gzip cut at %zu of %zu", cut, packed_n);
        write_whole(in_folder("bad"), packed, cut);
        CHECK_REFUSED(open_idx("bad", "y"), TP_ERR_FORMAT, in_folder("bad"));
    }
    for (size_t at = 11; at < packed_n; at++) {
        CASE("gzip changed at %zu of %zu", at, packed_n);
        memcpy(b, packed, packed_n), b[at] ^= 0x10;
        write_whole(in_folder("bad"), b, packed_n);
        CHECK_REFUSED(open_idx("bad", "y"), TP_ERR_FORMAT, in_folder("bad"));
    }
    for (int i = 0; i < TP_LEN(heads); i++) {
        CASE("byte %d is %d", heads[i].at, heads[i].value);
        memcpy(b, images, images_n), b[heads[i].at] = (unsigned char)heads[i].value;
        refuse_bytes(b, images_n, TP_ERR_FORMAT, heads[i].why);
    }
    CASE("a header that lies asks for little");
    memcpy(b, "\0\0\x08\x03\x0f\xff\xff\xff\0\0\x01\0\0\0\x01\0", 16);
    refuse_bytes(b, 16, TP_ERR_FORMAT, "it is cut short");
    CHECK(tp_memory_stats(tp_device_open("cpu")).peak < (size_t)1 << 30);
    CASE("labels");
    CHECK_REFUSED(open_idx("x", "x"), TP_ERR_FORMAT, "no labels in IDX format");
    write_whole(in_folder("few"), labels, make_idx(labels, 1, 11, 0));
    CHECK_REFUSED(open_idx("x", "few"), TP_ERR_FORMAT, "12 images");
    CASE("places");
    CHECK_REFUSED(open_idx("nothing", "y"), TP_ERR_IO, "nothing can't be read: No such file");
    CHECK_REFUSED(open_idx("x", "nothing"), TP_ERR_IO, "nothing can't be read");
    CHECK_REFUSED(tp_data_idx("/tmp", in_folder("y")), TP_ERR_FORMAT, "directory");
    CHECK_REFUSED(tp_data_idx(NULL, "y"), TP_ERR_ARG, "missing path");
    CHECK_REFUSED(tp_data_fashion_mnist(folder, "train"), TP_ERR_IO, "train-images-idx3-ubyte.gz");
    CHECK_REFUSED(tp_data_fashion_mnist(NULL, "valid"), TP_ERR_ARG, "train or test");
    CHECK(!tp_data_fashion_mnist_class(10) && !tp_data_fashion_mnist_class(-1) && tp_data_fashion_mnist_class(9));
    CASE("a label out of range is the loss's error");
    TP_SCOPE;
    tp_loader *l = tp_data_loader(open_idx("x", "y"), (tp_loader_opts){ .batch = 12 });
    CHECK(tp_data_next(l, &batch));
    CHECK_REFUSED(tp_cross_entropy(tp_zeros(TP_SHAPE(12, 9), TP_F32, tp_device_open("cpu")), batch.y), TP_ERR_ARG, "9");
    tp_data_free(l);
}

/* ---- sources whose samples name themselves ---- */

typedef struct source {
    int64_t count, at, fail, end; /* fail: this sample does; end: of the stream */
    bool silent, stuck;           /* fails without an error; can't be rewound */
    atomic_int freed;
} source;

static tp_got get(void *user, int64_t i, void *const *fields)
{
    source *s = user;

    if (i == s->fail) return s->silent ? TP_FAILED : (tp_fail(TP_ERR_IO, "disk %lld is gone", (long long)i), TP_FAILED);
    *(int64_t *)fields[0] = i, ((float *)fields[1])[0] = (float)i, ((float *)fields[1])[1] = (float)-i;
    return TP_ITEM;
}

static tp_got next(void *user, void *const *fields)
{
    source *s = user;

    return s->at >= s->end ? TP_END : get(s, s->at++, fields);
}

static bool rewind_it(void *user)
{
    return ((source *)user)->stuck ? false : (((source *)user)->at = 0, true);
}

static void done(void *user)
{
    ((source *)user)->freed++;
}

static tp_dataset *open_source(source *s, int64_t count)
{
    s->count = count;
    return tp_data_source((tp_source){ .count = count, .fields = 2, .shape = { { 0, { 0 } }, { 1, { 2 } } },
                                       .dtype = { TP_I64, TP_F32 }, .get = get, .next = next, .rewind = rewind_it,
                                       .done = done, .user = s });
}

enum { MOST = 4096 };

/* Takes n batches, or up to the end of a pass (-1), and writes the samples that came. */
static int take(tp_loader *l, int n, int64_t *seen)
{
    int at = 0;
    tp_batch b;

    for (int k = 0; (n < 0 || k < n) && tp_data_next(l, &b); k++) {
        float v[2 * 64];

        if (tp_dim(b.x, 0) != b.size || !tp_read(b.x, seen + at, (size_t)b.size * 8) || !tp_read(b.y, v, (size_t)b.size * 8)) break;
        for (int i = 0; i < b.size; i++)
            CHECK(v[2 * i] == (float)seen[at + i] && v[2 * i + 1] == (float)-seen[at + i]);
        at += (int)b.size;
    }
    return at;
}

static bool is_permutation(const int64_t *seen, int n)
{
    static bool there[MOST];

    memset(there, 0, sizeof there);
    for (int i = 0; i < n; i++) {
        if (seen[i] < 0 || seen[i] >= n || there[seen[i]]) return false;
        there[seen[i]] = true;
    }
    return true;
}

static const int workers[] = { 0, 1, 4 };

Test(loader, same_batches_with_any_number_of_workers, LIMITED)
{
    static int64_t first[3][4][MOST], seen[MOST];
    source s = { .fail = -1 };

    for (int w = 0; w < 3; w++)
        for (int how = 0; how < 4; how++) {
            tp_loader_opts o = { .batch = 7, .shuffle = how & 1, .drop_last = how & 2, .workers = workers[w], .seed = 5 };
            tp_loader *l = tp_data_loader(open_source(&s, 100), o);
            int want = how & 2 ? 98 : 100, n = 0;

            CASE("%d workers, %s%s", workers[w], how & 1 ? "shuffled " : "", how & 2 ? "drop_last" : "");
            CHECK(tp_data_batches(l) == (how & 2 ? 14 : 15));
            for (int pass = 0; pass < 3; pass++) {
                CHECK(tp_data_position(l).pass == pass && tp_data_position(l).batch == 0);
                int got = take(l, -1, seen);
                CHECK(got == want && (how == 3 || is_permutation(seen, got)));
                CHECK(((how & 1) && seen[0] * 100 + seen[1] != 1) || (!(how & 1) && seen[0] == 0 && seen[want - 1] == want - 1));
                memcpy(first[w][how] + n, seen, sizeof *seen * (size_t)got), n += got;
            }
            CHECK(!memcmp(first[w][how], first[0][how], sizeof *seen * (size_t)n));
            CHECK(!(how & 1) || memcmp(first[w][how], first[w][how] + want, sizeof *seen * (size_t)want) != 0);
            tp_data_free(l);
        }
    CASE("another seed");
    tp_loader *l = tp_data_loader(open_source(&s, 100), (tp_loader_opts){ .batch = 7, .shuffle = true, .seed = 6 });
    CHECK(take(l, -1, seen) == 100 && memcmp(seen, first[0][1], sizeof *seen * 100) != 0);
    tp_data_free(l);
    CHECK(s.freed == 13);
}

Test(loader, seek_is_exact, LIMITED)
{
    static int64_t whole[MOST], seen[MOST];
    source s = { .fail = -1, .end = 50 }, other = s;

    for (int kind = 0; kind < 3; kind++) /* in order, shuffled, a stream */
        for (int w = 0; w < 3; w++) {
            tp_loader_opts o = { .batch = 8, .shuffle = kind == 1, .workers = workers[w], .endless = true, .seed = 3 };
            tp_loader *a, *b;

            s.at = other.at = 0;
            a = tp_data_loader(open_source(&s, kind == 2 ? -1 : 50), o);
            int n = take(a, 20, whole);
            CASE("kind %d, %d workers", kind, workers[w]);
            CHECK(n == 50 + 50 + 6 * 8);
            b = tp_data_loader(open_source(&other, kind == 2 ? -1 : 50), o);
            for (int at = 0; at < 20; at++) {
                tp_position p = { at / 7, at % 7 };
                int skip = at / 7 * 50 + at % 7 * 8, got;

                CASE("kind %d, %d workers, batch %d", kind, workers[w], at);
                CHECK(tp_data_seek(b, p));
                CHECK(tp_data_position(b).pass == p.pass && tp_data_position(b).batch == p.batch);
                got = take(b, 20 - at, seen);
                CHECK(got == n - skip && !memcmp(seen, whole + skip, sizeof *seen * (size_t)got));
            }
            CHECK_REFUSED(tp_data_seek(b, (tp_position){ -1, 0 }), TP_ERR_ARG, "no batch 0 of pass -1");
            if (kind < 2) CHECK_REFUSED(tp_data_seek(b, (tp_position){ 0, 8 }), TP_ERR_ARG, "no batch 8");
            tp_data_free(a), tp_data_free(b);
        }
}

Test(loader, streams_end_anywhere, LIMITED)
{
    static int64_t seen[MOST];

    for (int end = 0; end <= 17; end++)
        for (int w = 0; w < 3; w++)
            for (int drop = 0; drop < 2; drop++) {
                source s = { .fail = -1, .end = end };
                tp_loader *l = tp_data_loader(open_source(&s, -1), (tp_loader_opts){ .batch = 8, .drop_last = drop, .workers = workers[w] });
                int want = drop ? end / 8 * 8 : end;

                CASE("end %d, %d workers, drop %d", end, workers[w], drop);
                CHECK(tp_data_batches(l) == -1);
                for (int pass = 0; pass < 3; pass++) {
                    CHECK(take(l, -1, seen) == want && is_permutation(seen, want));
                    if (!want && pass)
                        CHECK_REFUSED(false, TP_ERR_ARG, "a second pass without a batch");
                    CHECK(tp_ok());
                }
                tp_data_free(l);
                CHECK(s.freed == 1);
            }
}

Test(loader, failures_surface_with_their_text, LIMITED)
{
    static int64_t seen[MOST];

    for (int w = 0; w < 3; w++)
        for (int kind = 0; kind < 4; kind++) {
            source s = { .fail = 21, .end = 50, .silent = kind & 2 };
            tp_loader_opts o = { .batch = 8, .workers = workers[w] };
            tp_loader *l = tp_data_loader(open_source(&s, kind & 1 ? -1 : 50), o);

            CASE("%d workers, kind %d", workers[w], kind);
            CHECK(take(l, -1, seen) == 16);
            CHECK_REFUSED(false, kind & 2 ? TP_ERR_USER : TP_ERR_IO, kind & 2 ? "sample 21: its source failed" : "disk 21 is gone");
            s.fail = -1;
            CHECK(take(l, -1, seen) == (kind & 1 ? 0 : 34)); /* made again; a stream can't go back */
            CHECK(take(l, -1, seen) == 50 && tp_ok());
            tp_data_free(l);
        }
    for (int w = 0; w < 3; w++) {
        source s = { .fail = -1, .end = 20, .stuck = true };
        tp_loader *l = tp_data_loader(open_source(&s, -1), (tp_loader_opts){ .batch = 8, .workers = workers[w] });

        CASE("can't be rewound, %d workers", workers[w]);
        CHECK(take(l, 1, seen) == 8);
        CHECK_REFUSED(tp_data_seek(l, (tp_position){ 0, 0 }), TP_ERR_USER, "can't be rewound");
        CHECK(take(l, 1, seen) == 0); /* an error again, not waiting for ever */
        CHECK_REFUSED(false, TP_ERR_USER, "can't be rewound");
        tp_data_free(l);
    }
    CASE("a shuffled sample is named by its own number");
    source s = { .fail = 21, .silent = true };
    tp_loader *l = tp_data_loader(open_source(&s, 50), (tp_loader_opts){ .batch = 50, .shuffle = true });
    CHECK(take(l, -1, seen) == 0);
    CHECK_REFUSED(false, TP_ERR_USER, "sample 21:");
    tp_data_free(l);
}

Test(loader, kept_batches_survive, LIMITED)
{
    for (int w = 0; w < 3; w++) {
        source s = { .fail = -1 };
        tp_loader *l = tp_data_loader(open_source(&s, 40), (tp_loader_opts){ .batch = 4, .workers = workers[w], .endless = true });
        tp_tensor *kept[30], *view[30];
        tp_batch b;

        CASE("%d workers", workers[w]);
        for (int i = 0; i < 30; i++) {
            TP_SCOPE;
            CHECK(tp_data_next(l, &b));
            kept[i] = i % 2 ? tp_keep(b.x) : NULL;
            view[i] = i % 3 ? NULL : tp_keep(tp_slice(b.y, 0, 1, 3));
        }
        tp_data_free(l); /* workers run */
        for (int i = 0; i < 30; i++) {
            if (kept[i]) CHECK_NEAR(check_at(kept[i], 3), i * 4 % 40 + 3, 0);
            if (view[i]) CHECK_NEAR(check_at(view[i], 2), i * 4 % 40 + 2, 0);
            tp_free(kept[i]), tp_free(view[i]);
        }
    }
}

#ifdef TP_DEBUG
enum { CACHED = 0 }; /* freed headers are kept for a while, and sanitizers see each allocation */
#else
enum { CACHED = 1 };
#endif

Test(loader, memory_does_not_grow, LIMITED)
{
    for (int w = 0; w < 3; w++) {
        source s = { .fail = -1 };
        tp_dataset *d = open_source(&s, 10);
        tp_loader *l = tp_data_loader(tp_data_retain(d), (tp_loader_opts){ .batch = 4, .workers = workers[w], .shuffle = true });
        tp_memory before, after;
        tp_batch b;

        CASE("%d workers", workers[w]);
        for (int pass = 0; pass < 3000; pass++) {
            if (pass == 1000) before = tp_memory_stats(tp_device_open("cpu"));
            while (tp_data_next(l, &b))
                ;
        }
        after = tp_memory_stats(tp_device_open("cpu"));
        CHECK(after.now == before.now);
        CHECK(!CACHED || (after.reserved == before.reserved && after.calls == before.calls));
        for (int i = 0; i < 200; i++) { /* begun and freed at once, in the middle of preparing */
            tp_data_free(l);
            l = tp_data_loader(tp_data_retain(d), (tp_loader_opts){ .batch = 1, .workers = workers[w], .endless = true });
            for (int k = 0; k < i % 4; k++)
                CHECK(tp_data_next(l, &b));
        }
        tp_data_free(l), tp_data_set_free(d);
        CHECK(s.freed == 1 && tp_memory_stats(tp_device_open("cpu")).reserved <= after.reserved + (4 << 20));
    }
}

/* ---- tensors, ranges, lanes ---- */

Test(data_sets, tensors_ranges_lanes, LIMITED)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_tensor *x = tp_transpose(check_numbers(TP_SHAPE(3, 10), TP_F64, 0, 1, cpu), 0, 1); /* not contiguous */
    int64_t number[20];
    tp_batch b;

    for (int i = 0; i < 20; i++)
        number[i] = i;
    tp_tensor *y = tp_from(number, TP_SHAPE(10), TP_I64, cpu);
    tp_dataset *d = tp_data_tensors(TP_LIST(x, y, y));
    CASE("tensors");
    tp_loader *l = tp_data_loader(tp_data_range(tp_data_range(tp_data_retain(d), 2, 9), 1, 5), (tp_loader_opts){ .batch = 3 });
    CHECK(tp_data_batches(l) == 2 && tp_data_next(l, &b) && b.size == 3 && b.extra[0] && tp_data_new_pass(l));
    for (int i = 0; i < 9; i++)
        CHECK_NEAR(check_at(b.x, i), check_at(x, 9 + i), 0);
    CHECK_NEAR(check_at(b.y, 0), 3, 0);
    CHECK(tp_data_next(l, &b) && b.size == 1 && !tp_data_new_pass(l) && !tp_data_next(l, &b) && !b.x && b.size == 0 && tp_ok());
    CASE("empty range");
    tp_loader *none = tp_data_loader(tp_data_range(tp_data_retain(d), 4, 4), (tp_loader_opts){ .workers = 2, .shuffle = true });
    CHECK(none && tp_data_batches(none) == 0 && !tp_data_next(none, &b) && tp_ok());
    CHECK_REFUSED(tp_data_next(none, &b), TP_ERR_ARG,
                  "a second pass without a batch: 0 samples, batch 1");
    CASE("a batch larger than all");
    tp_loader *one = tp_data_loader(tp_data_retain(d), (tp_loader_opts){ .batch = INT64_MAX });
    CHECK(tp_data_batches(one) == 1 && tp_data_next(one, &b) && b.size == 10 && !tp_data_next(one, &b));
    tp_data_free(one), tp_data_free(none), tp_data_free(l);
    CASE("refusals");
    CHECK_REFUSED(tp_data_range(tp_data_retain(d), 5, 11), TP_ERR_ARG, "5..11 of 10");
    CHECK_REFUSED(tp_data_range(tp_data_retain(d), 5, 4), TP_ERR_ARG, "5..4");
    CHECK_REFUSED(tp_data_range(NULL, 0, 1), TP_ERR_ARG, "missing data set");
    CHECK_REFUSED(tp_data_tensors(TP_LIST(x, tp_slice(y, 0, 1, 4))), TP_ERR_SHAPE, "10 rows are wanted");
    CHECK_REFUSED(tp_data_tensors(TP_LIST(tp_zeros(TP_SCALAR, TP_F32, tp_device_open("cpu")))), TP_ERR_SHAPE, "tp_data_tensors: field 0 is f32 (): an axis of rows is wanted");
    CHECK_REFUSED(tp_data_tensors(TP_LIST(x, NULL)), TP_ERR_ARG, "input 1 is missing");
    CHECK_REFUSED(tp_data_tensors(TP_LIST(tp_zeros(TP_SCALAR, TP_F32, cpu))), TP_ERR_SHAPE, "field 0");
    CHECK_REFUSED(tp_data_loader(tp_data_retain(d), (tp_loader_opts){ .batch = -1 }), TP_ERR_ARG, "batch -1");
    CHECK_REFUSED(tp_data_loader(tp_data_retain(d), (tp_loader_opts){ .workers = 65 }), TP_ERR_ARG, "65 workers");
    CHECK_REFUSED(tp_data_loader(tp_data_retain(d), (tp_loader_opts){ .batch = 11, .drop_last = true, .endless = true }), TP_ERR_ARG, "no batch of 11");
    CHECK_REFUSED(tp_data_loader(NULL, (tp_loader_opts){ 0 }), TP_ERR_ARG, "missing data set");
    CHECK_REFUSED(tp_data_next(NULL, &b), TP_ERR_ARG, "missing loader");
    source s = { .end = 1, .fail = -1 };
    CHECK_REFUSED(tp_data_loader(open_source(&s, -1), (tp_loader_opts){ .shuffle = true }), TP_ERR_ARG, "stream can't be shuffled");
    CHECK_REFUSED(tp_data_source((tp_source){ .count = 1, .fields = 0, .done = done, .user = &s }), TP_ERR_ARG, "fields");
    CHECK_REFUSED(tp_data_source((tp_source){ .count = -1, .fields = 1, .get = get, .done = done, .user = &s }), TP_ERR_ARG, "needs next");
    CHECK_REFUSED(tp_data_source((tp_source){ .count = -2, .fields = 1, .next = next, .done = done, .user = &s }), TP_ERR_ARG, "-2 samples");
    CHECK(s.freed == 4);
    tp_data_set_free(d), tp_data_set_free(NULL), tp_data_free(NULL);
    CASE("lanes");
    l = tp_data_loader(tp_data_lanes(tp_from(number, TP_SHAPE(20), TP_I64, cpu), 2, 3), (tp_loader_opts){ .batch = 2 });
    for (int k = 0; k < 3; k++) {
        CHECK(tp_data_next(l, &b));
        for (int lane = 0; lane < 2; lane++)
            for (int i = 0; i < 3; i++) {
                CHECK_NEAR(check_at(b.x, lane * 3 + i), lane * 10 + k * 3 + i, 0);
                CHECK_NEAR(check_at(b.y, lane * 3 + i), lane * 10 + k * 3 + i + 1, 0);
            }
    }
    CHECK(!tp_data_next(l, &b) && tp_ok());
    tp_data_free(l);
    CHECK_REFUSED(tp_data_lanes(y, 4, 2), TP_ERR_ARG, "longer than a window");
    CHECK_REFUSED(tp_data_lanes(y, 0, 2), TP_ERR_ARG, "0 lanes");
}

Test(loader, places_that_can_not_be, LIMITED)
{
    TP_SCOPE;
    tp_dataset *d = tp_data_tensors(TP_LIST(tp_ones(TP_SHAPE(20), TP_F32, tp_device_open("cpu"))));
    tp_loader *l = tp_data_loader(d, (tp_loader_opts){ .batch = 4, .shuffle = true });
    tp_batch b;

    CASE("seek");
    CHECK_REFUSED(tp_data_seek(l, (tp_position){ INT64_MAX, 0 }), TP_ERR_ARG, "there is no batch 0 of pass 9223372036854775807");
    CHECK_REFUSED(tp_data_seek(l, (tp_position){ -1, 0 }), TP_ERR_ARG, "there is no batch 0 of pass -1");
    CHECK(tp_data_seek(l, (tp_position){ TP_PASSES, 5 }) && !tp_data_next(l, &b) && tp_data_next(l, &b) && tp_ok());
    tp_data_free(l);
}
