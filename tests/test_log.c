/*
 * test_log.c - a log when a state is saved, as JSON lines, and as TensorBoard's event files, taken
 * apart here byte by byte.
 */
#include "tests/files.h"

#include "train/protobuf.h"

#include <jansson.h>
#include <locale.h>

#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb_image.h>
#pragma GCC diagnostic pop

#define IN_FOLDER .init = make_test_folder, .fini = remove_test_folder, .timeout = 60
#define EVENTS "run/events.out.tfevents.taper"

static tp_log_opts both(void)
{
    return (tp_log_opts){ .dir = in_folder("run"), .json = true, .tensorboard = true };
}

static void log_steps(tp_logger *l, int from, int to)
{
    for (int i = from; i <= to; i++) {
        tp_log_step(l);
        tp_log_value(l, "loss", 1.0 / i);
        if (i == 2) tp_log_value(l, "norm \\ \xc3\xa9", INFINITY);
    }
}

/* ---- JSON lines ---- */

/* The numbers of key, row by row, as text: "1 0.5 null -". */
static const char *column(const char *key)
{
    static char text[512];
    char *whole = read_whole(in_folder("run/log.jsonl"), NULL), *rest = NULL;

    text[0] = 0;
    for (char *line = strtok_r(whole, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *row = json_loads(line, 0, NULL), *v = json_object_get(row, key);

        cr_expect(row, "%s: \"%s\" is not JSON", check_name, line);
        snprintf(text + strlen(text), 32, "%s%s", text[0] ? " " : "", !v ? "-" : json_is_null(v) ? "null" : "");
        if (json_is_number(v)) snprintf(text + strlen(text), 32, "%.9g", json_number_value(v));
        json_decref(row);
    }
    free(whole);
    return text;
}

static void check_column(const char *key, const char *want)
{
    const char *got = column(key);

    cr_expect(!strcmp(got, want), "%s: %s is \"%s\", not \"%s\"", check_name, key, got, want);
}

Test(log, json_lines, IN_FOLDER)
{
    tp_log_opts o = both();
    tp_logger *l = tp_log_open(o);

    setlocale(LC_ALL, "de_DE.UTF-8"); /* where there is one, its comma must not show */
    CASE("rows");
    log_steps(l, 1, 3);
    CHECK(tp_log_close(l));
    check_column("step", "1 2 3");
    check_column("loss", "1 0.5 0.333333333");
    check_column("norm \\ \xc3\xa9", "- null -");
    CASE("append behind step 2, the last row cut short");
    FILE *f = fopen(in_folder("run/log.jsonl"), "a");
    fputs("{\"step\": 4, \"lo", f), fclose(f);
    o.append = true, o.from = 2;
    CHECK((l = tp_log_open(o)));
    log_steps(l, 3, 4);
    CHECK(tp_log_close(l));
    check_column("step", "1 2 3 4");
    CASE("anew");
    CHECK(tp_log_close(tp_log_open(both())));
    check_column("step", "");
}

/* ---- a state that is saved between two steps ---- */

static tp_log_opts csv_alone(void)
{
    return (tp_log_opts){ .dir = in_folder("run") };
}

static tp_tensor *scalar(double v)
{
    return tp_full(TP_SCALAR, v, TP_F32, tp_device_open("cpu"));
}

static void check_csv(const char *want)
{
    char *got = read_whole(in_folder("run/log.csv"), NULL);

    cr_expect(got && !strcmp(got, want), "%s: log.csv is\n%s\nnot\n%s", check_name, got ? got : "absent", want);
    free(got);
}

Test(log, rows_are_on_disk_when_a_state_is_saved, IN_FOLDER)
{
    TP_SCOPE;
    tp_state *s = tp_state_new();
    tp_logger *l = tp_log_open(csv_alone());

    CASE("the header at once");
    tp_log_value(l, "loss", 1), tp_log_step(l);
    check_csv("step,loss\n0,1\n");
    CASE("rows when a state is saved, and a wider header");
    for (int i = 1; i <= 3; i++)
        tp_log_value(l, "loss", i), tp_log_step(l);
    tp_log_value(l, "late", 3), tp_log_step(l);
    CHECK(tp_state_save(s, in_folder("s")));
    check_csv("step,loss,late\n0,1\n1,1\n2,2\n3,3\n4,,3\n5,,\n");
    CASE("a second later");
    tp_log_value(l, "loss", 5), usleep(1050000), tp_log_step(l);
    check_csv("step,loss,late\n0,1\n1,1\n2,2\n3,3\n4,,3\n5,5,\n");
    CHECK(tp_log_close(l));
    tp_state_free(s);
}

Test(log, a_states_row_is_on_disk_with_it, IN_FOLDER)
{
    TP_SCOPE;
    tp_log_opts o = csv_alone();
    tp_state *s = tp_state_new();
    tp_logger *l = tp_log_open(o);

    CASE("what is pending is read when the state of its step is saved, once");
    for (int i = 1; i <= 2; i++)
        tp_log_add(l, "loss", scalar(i)), tp_log_step(l);
    for (int i = 0; i < 2; i++) {
        CHECK(tp_state_save(s, in_folder("s")));
        check_csv("step,loss\n1,1\n2,2\n");
    }
    CASE("what comes for that step later joins its row, also in a wider header");
    tp_log_value(l, "score", 0.5);
    tp_log_add(l, "loss", scalar(3));
    CHECK(tp_state_save(s, in_folder("s")));
    check_csv("step,loss,score\n1,1\n2,2,0.5\n");
    tp_log_value(l, "score", 0.25), tp_log_add(l, "norm", scalar(7)), tp_log_step(l);
    CHECK(tp_log_close(l));
    check_csv("step,loss,score,norm\n1,1\n2,2,0.25,\n3,3,,7\n");
    CASE("a log that goes on does so in the row that the state was saved at");
    o = csv_alone(), o.append = true, o.from = 2;
    l = tp_log_open(o);
    tp_log_value(l, "norm", 9);
    CHECK(tp_state_save(s, in_folder("s")));
    check_csv("step,loss,score,norm\n1,1\n2,2,0.25,9\n");
    tp_log_add(l, "loss", scalar(33)), tp_log_step(l);
    CHECK(tp_log_close(l));
    check_csv("step,loss,score,norm\n1,1\n2,2,0.25,9\n3,33,,\n");
    CASE("a wider header above a link's file");
    CHECK(rename(in_folder("run/log.csv"), in_folder("real.csv")) == 0 && symlink("../real.csv", in_folder("run/log.csv")) == 0);
    struct stat st;
    o.dir = in_folder("run"), o.from = 3, l = tp_log_open(o);
    tp_log_value(l, "more", 1), tp_log_step(l);
    CHECK(tp_log_close(l));
    check_csv("step,loss,score,norm,more\n1,1\n2,2,0.25,9\n3,33,,,1\n4,,,,\n");
    CHECK(lstat(in_folder("run/log.csv"), &st) == 0 && S_ISLNK(st.st_mode));
    tp_state_free(s);
}

Test(log, a_row_that_is_written_ahead, IN_FOLDER)
{
    tp_log_opts o = both();
    tp_state *s = tp_state_new();
    tp_logger *l = tp_log_open(o);

    CASE("it is taken back where more comes");
    log_steps(l, 1, 2);
    CHECK(tp_state_save(s, in_folder("s")));
    check_column("step", "1 2");
    tp_log_value(l, "score", 7);
    log_steps(l, 3, 3);
    CHECK(tp_log_close(l));
    check_column("step", "1 2 3");
    check_column("score", "- 7 -");
    CASE("a log that goes on");
    o = both(), o.append = true, o.from = 2;
    CHECK((l = tp_log_open(o)));
    tp_log_value(l, "score", 8);
    CHECK(tp_state_save(s, in_folder("s")) && tp_log_close(l));
    check_column("step", "1 2");
    check_column("loss", "1 0.5");
    check_column("score", "- 8");
    tp_state_free(s);
}

/* ---- event files ---- */

typedef struct field {
    int number, type;
    uint64_t v; /* a number, or the length */
    const unsigned char *p;
} field;

static uint64_t varint(const unsigned char **p, const unsigned char *end)
{
    uint64_t v = 0;

    for (int shift = 0; *p < end && shift < 64; shift += 7) {
        unsigned char b = *(*p)++;

        v |= (uint64_t)(b & 127) << shift;
        if (b < 128) return v;
    }
    cr_expect(false, "%s: a varint without an end", check_name);
    return v;
}

static bool next_field(const unsigned char **p, const unsigned char *end, field *f)
{
    uint64_t key;
    size_t n;

    if (*p >= end) return false;
    key = varint(p, end), f->number = (int)(key >> 3), f->type = (int)(key & 7);
    f->v = f->type == 0 || f->type == 2 ? varint(p, end) : 0, f->p = *p;
    n = f->type == 0 ? 0 : f->type == 1 ? 8 : f->type == 5 ? 4 : (size_t)f->v;
    cr_assert((size_t)(end - *p) >= n && (f->type < 3 || f->type == 5), "%s: field %d is cut", check_name, f->number);
    if (f->type == 1 || f->type == 5) memcpy(&f->v, *p, n);
    *p += n;
    return true;
}

static field find_field(const void *bytes, size_t n, int number)
{
    const unsigned char *p = bytes, *end = p + n;
    field f;

    while (next_field(&p, end, &f))
        if (f.number == number) return f;
    return (field){ 0 };
}

static field inside(field f, int number)
{
    return f.number ? find_field(f.p, (size_t)f.v, number) : f;
}

static uint32_t masked_crc(const void *p, size_t n)
{
    uint32_t crc = tp__crc32c(p, n);

    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* Record i, with both CRCs checked; number 0 behind the last. */
static field record(const char *whole, size_t size, int i)
{
    uint64_t n;
    uint32_t crc;

    for (size_t at = 0; at < size; at += 16 + n, i--) {
        memcpy(&n, whole + at, 8), memcpy(&crc, whole + at + 8, 4);
        CHECK(crc == masked_crc(whole + at, 8));
        cr_assert(n <= size - at - 16, "%s: a record is cut", check_name);
        memcpy(&crc, whole + at + 12 + n, 4);
        CHECK(crc == masked_crc(whole + at + 12, n));
        if (i == 0) return (field){ 1, 2, n, (const unsigned char *)whole + at + 12 };
    }
    return (field){ 0 };
}

static double as_float(field f)
{
    float v;

    memcpy(&v, &f.v, sizeof v);
    return v;
}

static double as_double(const unsigned char *p)
{
    double v;

    memcpy(&v, p, sizeof v);
    return v;
}

static bool says(field f, const char *text)
{
    return f.type == 2 && f.v == strlen(text) && !memcmp(f.p, text, f.v);
}

Test(log, crc32c)
{
    unsigned char up[32];

    CASE("RFC 3720, B.4");
    memset(up, 0, sizeof up);
    CHECK(tp__crc32c(up, 32) == 0x8a9136aau);
    memset(up, 255, sizeof up);
    CHECK(tp__crc32c(up, 32) == 0x62a8ab43u);
    for (int i = 0; i < 32; i++)
        up[i] = (unsigned char)i;
    CHECK(tp__crc32c(up, 32) == 0x46dd794eu && tp__crc32c("123456789", 9) == 0xe3069283u && tp__crc32c("", 0) == 0);
}

Test(log, event_files, IN_FOLDER)
{
    static const double sample[] = { 1, 2, 3, NAN, 3, INFINITY, -1 };
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_logger *l = tp_log_open(both());
    size_t n;

    CASE("writing");
    log_steps(l, 1, 2);
    tp_log_text(l, "note", "**bold** \xc3\xa9");
    tp_log_histogram(l, "weights", tp_from(sample, TP_SHAPE(7), TP_F64, cpu));
    tp_log_histogram(l, "nothing", tp_zeros(TP_SHAPE(0), TP_F32, cpu));
    tp_log_histogram(l, "one", tp_ones(TP_SHAPE(2), TP_I64, cpu));
    tp_log_image(l, "picture", tp_cast(tp_full(TP_SHAPE(3, 2, 5), 1, TP_F32, cpu), TP_BF16));
    log_steps(l, 3, 3);
    CHECK(tp_log_close(l));
    char *whole = read_whole(in_folder(EVENTS), &n);
    CASE("version");
    CHECK(says(inside(record(whole, n, 0), 3), "brain.Event:2"));
    CASE("scalars");
    field e = record(whole, n, 1), value = inside(inside(e, 5), 1);
    CHECK(inside(e, 2).v == 1 && says(inside(value, 1), "loss") && as_float(inside(value, 2)) == 1);
    CHECK(as_double(inside(e, 1).p) > 1e9);
    CASE("text");
    value = inside(inside(record(whole, n, 2), 5), 1);
    CHECK(says(inside(value, 1), "note") && inside(inside(value, 8), 1).v == 7 && says(inside(inside(value, 8), 8), "**bold** \xc3\xa9"));
    CHECK(says(inside(inside(inside(value, 9), 1), 1), "text"));
    CASE("histogram");
    value = inside(inside(record(whole, n, 3), 5), 1);
    field h = inside(value, 5), limits = inside(h, 6), counts = inside(h, 7);
    CHECK(says(inside(value, 1), "weights") && limits.v == 30 * 8 && counts.v == 30 * 8);
    double all = 0;
    for (int k = 0; k < 30; k++)
        all += as_double(counts.p + 8 * k);
    CHECK(all == 5 && as_double(counts.p) == 1 && as_double(counts.p + 8 * 29) == 2 && as_double(limits.p + 8 * 29) == 3);
    CHECK(as_double(inside(h, 1).p) == -1 && as_double(inside(h, 2).p) == 3 && as_double(inside(h, 3).p) == 5);
    CHECK(as_double(inside(h, 4).p) == 8 && as_double(inside(h, 5).p) == 24);
    CASE("a histogram of equal numbers");
    h = inside(inside(inside(record(whole, n, 4), 5), 1), 5);
    CHECK(as_double(inside(h, 7).p) == 2 && as_double(inside(h, 6).p) == 1);
    CASE("image");
    value = inside(inside(record(whole, n, 5), 5), 1);
    field image = inside(value, 4), png = inside(image, 4);
    int w, high, channels;
    unsigned char *pixels = stbi_load_from_memory(png.p, (int)png.v, &w, &high, &channels, 3);
    CHECK(inside(image, 1).v == 2 && inside(image, 2).v == 5 && inside(image, 3).v == 3);
    CHECK(pixels && w == 5 && high == 2 && pixels[0] == 255 && pixels[29] == 255);
    stbi_image_free(pixels);
    CASE("the rest");
    CHECK(inside(record(whole, n, 6), 2).v == 2 && inside(record(whole, n, 7), 2).v == 3 && !record(whole, n, 8).number);
    free(whole);
}

Test(log, event_files_tell_a_value_once, IN_FOLDER)
{
    tp_state *s = tp_state_new();
    tp_logger *l = tp_log_open((both()));
    size_t n;

    log_steps(l, 1, 1);
    CHECK(tp_state_save(s, in_folder("s")) && tp_state_save(s, in_folder("s")));
    tp_log_value(l, "score", 7);
    CHECK(tp_log_close(l));
    char *whole = read_whole(in_folder(EVENTS), &n);
    CASE("the loss, then the score");
    field loss = inside(inside(record(whole, n, 1), 5), 1), score = inside(inside(record(whole, n, 2), 5), 1);
    CHECK(says(inside(loss, 1), "loss") && says(inside(score, 1), "score") && as_float(inside(score, 2)) == 7);
    CHECK(!record(whole, n, 3).number);
    free(whole), tp_state_free(s);
}

Test(log, event_files_go_on, IN_FOLDER)
{
    tp_log_opts o = both();
    tp_logger *l = tp_log_open(o);
    size_t n;

    CASE("a record cut short is taken away, and TensorBoard told to forget the steps made again");
    log_steps(l, 1, 3);
    CHECK(tp_log_close(l));
    char *whole = read_whole(in_folder(EVENTS), &n);
    write_whole(in_folder(EVENTS), whole, n - 3);
    free(whole);
    o.append = true, o.from = 2;
    CHECK((l = tp_log_open(o)));
    log_steps(l, 3, 3);
    CHECK(tp_log_close(l));
    whole = read_whole(in_folder(EVENTS), &n);
    CHECK(inside(record(whole, n, 2), 2).v == 2);
    CHECK(says(inside(record(whole, n, 3), 3), "brain.Event:2"));
    CHECK(inside(inside(record(whole, n, 4), 7), 1).v == 1 && inside(record(whole, n, 4), 2).v == 3);
    CHECK(inside(record(whole, n, 5), 2).v == 3 && !record(whole, n, 6).number);
    free(whole);
}

/* Of all three files, those of the last call kept; is each what it was? */
static bool all_stay(char *kept[3], size_t bytes[3])
{
    static const char *const names[] = { "run/log.csv", "run/log.jsonl", EVENTS };
    bool same = true;

    for (int i = 0; i < 3; i++) {
        size_t n;
        char *now = read_whole(in_folder(names[i]), &n);

        same = same && kept[i] && n == bytes[i] && !memcmp(now, kept[i], n);
        free(kept[i]), kept[i] = now, bytes[i] = n;
    }
    return same;
}

Test(log, an_earlier_one_stays_until_there_is_a_row, IN_FOLDER)
{
    char *kept[3] = { 0 };
    size_t bytes[3] = { 0 };
    tp_logger *l = tp_log_open(both());
    tp_state *s;

    log_steps(l, 1, 5);
    CHECK(tp_log_close(l) && !all_stay(kept, bytes) && bytes[0] && bytes[1] && bytes[2]);
    CASE("a run that fails in its first step");
    l = tp_log_open(both());
    CHECK_REFUSED((tp_log_text(l, "k", "\xff"), false), TP_ERR_ARG, "isn't UTF-8");
    tp_add(NULL, NULL);
    tp_log_value(l, "loss", 1), tp_log_step(l);
    CHECK(!tp_log_close(l));
    tp_clear_error();
    CHECK(all_stay(kept, bytes));
    CASE("a state that is saved before there is a value");
    l = tp_log_open(both()), s = tp_state_new();
    tp_log_step(l);
    CHECK(tp_state_save(s, in_folder("state")));
    tp_log_step(l), tp_log_value(l, "loss", 1);
    CHECK(tp_log_close(l) && !all_stay(kept, bytes));
    CHECK(!strncmp(kept[0], "step,loss\n", 10) && !memchr(kept[0], 0, bytes[0]) && kept[1][0] == '{' && !memchr(kept[1], 0, bytes[1]));
    tp_state_free(s);
    CASE("a shorter one takes its place");
    l = tp_log_open(both()), log_steps(l, 1, 1);
    CHECK(tp_log_close(l) && !all_stay(kept, bytes));
    CHECK(!strcmp(kept[0], "step,loss\n1,1\n") && strchr(kept[1], '\n') == kept[1] + bytes[1] - 1);
    CHECK(says(inside(record(kept[2], bytes[2], 0), 3), "brain.Event:2") && !record(kept[2], bytes[2], 2).number);
    for (int i = 0; i < 3; i++)
        free(kept[i]);
}

Test(log, refusals, IN_FOLDER)
{
    TP_SCOPE;
    tp_tensor *t = tp_ones(TP_SHAPE(2, 3, 3), TP_F32, tp_device_open("cpu"));
    tp_logger *l = tp_log_open(both());

    CASE("values");
    CHECK_REFUSED((tp_log_image(l, "i", t), false), TP_ERR_SHAPE, "tp_log_image: f32 (2, 3, 3): (1 or 3, H, W)");
    CHECK_REFUSED((tp_log_image(l, "i", NULL), false), TP_ERR_ARG, "missing key or value");
    CHECK_REFUSED((tp_log_histogram(l, NULL, t), false), TP_ERR_ARG, "tp_log_histogram: missing key or value");
    CHECK_REFUSED((tp_log_text(l, "k", "\xff"), false), TP_ERR_ARG, "the text of k isn't UTF-8");
    CHECK_REFUSED((tp_log_text(l, "\xff", "t"), false), TP_ERR_ARG, "the key isn't UTF-8");
    CHECK_REFUSED((tp_log_value(l, "\xff", 1), false), TP_ERR_ARG, "a key that isn't UTF-8");
    CHECK(tp_log_close(l));
    CASE("without tensorboard nothing is written, and nothing is wrong");
    l = tp_log_open((tp_log_opts){ .dir = in_folder("plain") });
    tp_log_text(l, "a", "b"), tp_log_image(l, "a", t), tp_log_histogram(NULL, "a", t), tp_log_histogram(l, "a", t);
    CHECK(tp_log_close(l) && !tp_file_exists(in_folder("plain/log.jsonl")));
    CASE("folders in the way");
    CHECK(mkdir(in_folder("bad"), 0700) == 0 && mkdir(in_folder("bad/log.jsonl"), 0700) == 0);
    CHECK_REFUSED(tp_log_open((tp_log_opts){ .dir = in_folder("bad"), .json = true }), TP_ERR_IO, "log.jsonl can't be written");
    CHECK(mkdir(in_folder("bad/events.out.tfevents.taper"), 0700) == 0);
    CHECK_REFUSED(tp_log_open((tp_log_opts){ .dir = in_folder("bad"), .tensorboard = true }), TP_ERR_IO, "tfevents.taper can't be written");
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "events.out.tfevents.taper" : "log.jsonl";
        char path[64];

        CASE("a full disk, %s", name);
        snprintf(path, sizeof path, "full%d/%s", i, name);
        CHECK(mkdir(in_folder(i ? "full1" : "full0"), 0700) == 0 && symlink("/dev/full", in_folder(path)) == 0);
        l = tp_log_open((tp_log_opts){ .dir = in_folder(i ? "full1" : "full0"), .json = !i, .tensorboard = i });
        log_steps(l, 1, 3);
        CHECK(tp_ok());
        CHECK_REFUSED(tp_log_close(l), TP_ERR_IO, "is not complete: No space left on device");
    }
}

Test(log, out_of_memory, IN_FOLDER)
{
    TP_SCOPE;
    tp_tensor *t = tp_ones(TP_SHAPE(1, 9, 9), TP_F32, tp_device_open("cpu"));
    bool done = false;

    for (int n = 0; !done && n < 1000; n++) {
        CASE("allocation %d", n);
        long before = tp__live();
        tp__fail_after = n;
        tp_logger *l = tp_log_open(both());
        if (l) log_steps(l, 1, 2), tp_log_text(l, "a", "b"), tp_log_histogram(l, "h", t), tp_log_image(l, "i", t);
        done = tp_log_close(l) && l;
        tp__fail_after = -1;
        CHECK(done || tp_error_code() == TP_ERR_MEMORY);
        tp_clear_error();
        cr_expect(tp__live() == before, "%s: %ld blocks leak", check_name, tp__live() - before);
    }
    CHECK(done);
}
