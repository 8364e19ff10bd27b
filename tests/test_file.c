/*
 * test_file.c - safetensors: what is written is the format, what is read is checked, and an
 * earlier file survives every failure.
 */
#include "tests/files.h"

#include "tensor/file.h"

#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define IN_FOLDER .init = make_test_folder, .fini = remove_test_folder, .timeout = 120

/* ---- round trips ---- */

static bool same_tensor(tp_tensor *a, tp_tensor *b)
{
    size_t n = (size_t)tp_count(a) * tp_dtype_size(tp_dtype_of(a));
    char *x = malloc(n + 1), *y = malloc(n + 1);
    tp_shape s = tp_shape_of(a), t = tp_shape_of(b);
    bool same = a && b && tp__same(&s, &t) && tp_dtype_of(a) == tp_dtype_of(b) && tp_read(a, x, n) && tp_read(b, y, n) &&
                !memcmp(x, y, n);

    free(x), free(y);
    return same;
}

static bool save_one(const char *path, tp_tensor *t)
{
    return tp_file_save(path, &(tp_named){ "t", t }, 1, NULL, 0);
}

Test(file, round_trip, IN_FOLDER)
{
    static const tp_shape shapes[] = { { 0, { 0 } }, { 1, { 0 } }, { 1, { 1 } }, { 1, { 5 } }, { 2, { 3, 0 } },
                                       { 4, { 2, 3, 4, 5 } }, { 8, { 1, 2, 1, 2, 1, 2, 1, 3 } } };
    tp_device *dev;
    tp_named all[TP_DTYPES * TP_LEN(shapes)];
    static char name[TP_LEN(all)][32];
    TP_SCOPE;

    for (int d = 0; (dev = check_device(d)); d++) {
        int n = 0;

        for (int t = 0; t < TP_DTYPES; t++)
            for (int s = 0; s < TP_LEN(shapes); s++, n++) {
                snprintf(name[n], sizeof *name, "%s.%d", tp_dtype_name(t), s);
                all[n] = (tp_named){ name[n], check_numbers(shapes[s], t, 0, 9, dev) };
            }
        CASE("save on %s", tp_device_name(dev));
        CHECK(tp_file_save(in_folder("all"), all, n, NULL, 0));
        tp_file *f = tp_file_open(in_folder("all"));
        CHECK(tp_file_count(f) == n && tp_file_meta_count(f) == 0);
        for (int i = 0; i < n; i++) {
            CASE("%s on %s", all[i].name, tp_device_name(dev));
            int at = tp_file_find(f, all[i].name);
            CHECK(at >= 0 && !strcmp(tp_file_name(f, at), all[i].name));
            CHECK(same_tensor(all[i].t, tp_file_read(f, at, dev)));
        }
        tp_file_close(f);
    }
}

Test(file, other_layouts_are_written_in_logical_order, IN_FOLDER)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");

    for (int t = 0; t < TP_DTYPES; t++) {
        tp_tensor *x = check_numbers(TP_SHAPE(2, 3, 4, 5), t, 0, 9, cpu);
        struct {
            const char *name;
            tp_tensor *t;
        } views[] = { { "transposed", tp_transpose(x, 1, 3) },
                      { "slice", tp_slice(x, 2, 1, 3) },
                      { "every other", tp_slice_step(x, 3, 0, 5, 2) },
                      { "tail", tp_slice(x, 0, 1, 2) },
                      { "expanded", tp_expand(tp_slice(x, 1, 0, 1), TP_SHAPE(2, 6, 4, 5)) },
                      { "channels last", tp_channels_last(x) },
                      { "nothing", tp_slice(tp_transpose(x, 0, 1), 2, 1, 1) } };

        for (int i = 0; i < TP_LEN(views); i++) {
            CASE("%s %s", tp_dtype_name(t), views[i].name);
            CHECK(save_one(in_folder("v"), views[i].t));
            tp_file *f = tp_file_open(in_folder("v"));
            CHECK(same_tensor(views[i].t, tp_file_read(f, 0, cpu)));
            tp_file_close(f);
        }
    }
}

Test(file, is_what_the_format_says, IN_FOLDER)
{
    static const char want[] = "{\"__metadata__\":{\"who\":\"na\xc3\xafve \\\"quoted\\\"\",\"empty\":\"\"},"
                               "\"b\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                               "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]}}";
    static const tp_meta meta[] = { { "who", "na\xc3\xafve \"quoted\"" }, { "empty", "" } };
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_named named[] = { { "b", tp_from((int32_t[]){ 7, -1 }, TP_SHAPE(2), TP_I32, cpu) },
                         { "a", tp_from((float[]){ 1.5f }, TP_SCALAR, TP_F32, cpu) } };
    size_t n, header = (sizeof want - 1 + 7) / 8 * 8;
    float a;

    CASE("bytes");
    CHECK(tp_file_save(in_folder("f"), named, 2, meta, 2));
    char *bytes = read_whole(in_folder("f"), &n);
    CHECK(n == 8 + header + 12 && (unsigned char)bytes[0] == (header & 255) && (unsigned char)bytes[1] == header >> 8);
    CHECK(!memcmp(bytes + 2, "\0\0\0\0\0", 6) && !memcmp(bytes + 8, want, sizeof want - 1));
    CHECK(strspn(bytes + 8 + sizeof want - 1, " ") == header - (sizeof want - 1));
    CHECK(!memcmp(bytes + 8 + header, (int32_t[]){ 7, -1 }, 8));
    memcpy(&a, bytes + n - 4, 4);
    CHECK(a == 1.5f);
    tp_file *f = tp_file_open(in_folder("f"));
    CHECK(tp_file_count(f) == 2 && tp_file_find(f, "a") == 1 && tp_file_find(f, "c") == -1);
    CHECK(tp_file_meta_count(f) == 2 && !strcmp(tp_file_meta(f, "who"), meta[0].value) && !tp_file_meta(f, "c"));
    CHECK(!strcmp(tp_file_meta_at(f, 1).key, "empty") && !*tp_file_meta_at(f, 1).value && !tp_file_meta_at(f, 2).key);
    CHECK(!tp_file_name(f, 2) && !tp_file_name(f, -1) && tp_file_shape(f, 9).rank == 0);
    CHECK_REFUSED(tp_file_read(f, 2, cpu), TP_ERR_ARG, "no tensor 2");
    tp_file_close(f), tp_file_close(NULL), free(bytes);
    CASE("no tensors");
    CHECK(tp_file_save(in_folder("none"), NULL, 0, NULL, 0));
    CHECK((f = tp_file_open(in_folder("none"))) && tp_file_count(f) == 0);
    tp_file_close(f);
}

/* ---- corruption ---- */

static void put_file(const char *path, const char *header, uint64_t length, size_t data)
{
    static const char zeros[256];
    unsigned char head[8];
    FILE *f = fopen(path, "wb");

    for (int i = 0; i < 8; i++)
        head[i] = (unsigned char)(length >> 8 * i);
    fwrite(head, 1, 8, f), fwrite(header, 1, strlen(header), f), fwrite(zeros, 1, data, f), fclose(f);
}

#define T(name, dtype, shape, from, to)                                                  \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

Test(file, wrong_headers_are_refused, IN_FOLDER)
{
    static const struct {
        const char *name, *header;
        int data;
        tp_code code;
        const char *why;
    } rows[] = {
        { "not JSON", "hello", 0, TP_ERR_FORMAT, "no JSON object" },
        { "half JSON", "{\"a\":{\"dtype\"", 0, TP_ERR_FORMAT, "no JSON object" },
        { "a list", "[]", 0, TP_ERR_FORMAT, "no JSON object" },
        { "a number", "12", 0, TP_ERR_FORMAT, "no JSON object" },
        { "nothing", "", 0, TP_ERR_FORMAT, "no JSON object" },
        { "two objects", "{}{}", 0, TP_ERR_FORMAT, "no JSON object" },
        { "not UTF-8", "{\"\xff\":{}}", 0, TP_ERR_FORMAT, "no JSON object" },
        { "duplicate names", "{" T("a", "U8", "[1]", 0, 1) "," T("a", "U8", "[1]", 1, 2) "}", 2, TP_ERR_FORMAT, "JSON" },
        { "a tensor that is a number", "{\"a\":5}", 0, TP_ERR_FORMAT, "without dtype" },
        { "no dtype", "{\"a\":{\"shape\":[],\"data_offsets\":[0,1]}}", 1, TP_ERR_FORMAT, "without dtype" },
        { "dtype a number", "{\"a\":{\"dtype\":1,\"shape\":[],\"data_offsets\":[0,1]}}", 1, TP_ERR_FORMAT, "dtype" },
        { "unknown dtype", "{" T("a", "F8_E4M3", "[1]", 0, 1) "}", 1, TP_ERR_DTYPE, "a is F8_E4M3" },
        { "no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, TP_ERR_FORMAT, "axes, or none" },
        { "shape a number", "{" T("a", "U8", "1", 0, 1) "}", 1, TP_ERR_FORMAT, "axes, or none" },
        { "nine axes", "{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, TP_ERR_FORMAT, "more than 8 axes" },
        { "negative size", "{" T("a", "U8", "[-1]", 0, 1) "}", 1, TP_ERR_FORMAT, "a size that is no number" },
        { "two negative", "{" T("a", "U8", "[-1,-1]", 0, 1) "}", 1, TP_ERR_FORMAT, "a size that is no number" },
        { "fraction", "{" T("a", "U8", "[1.0]", 0, 1) "}", 1, TP_ERR_FORMAT, "a size that is no number" },
        { "overflowing size", "{" T("a", "F64", "[2305843009213693952]", 0, 0) "}", 0, TP_ERR_SHAPE, "too many" },
        { "overflowing product", "{" T("a", "U8", "[4294967296,4294967296]", 0, 0) "}", 0, TP_ERR_SHAPE, "too many" },
        { "too large for i64", "{" T("a", "U8", "[18446744073709551617]", 0, 1) "}", 1, TP_ERR_FORMAT, "JSON" },
        { "no offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[]}}", 1, TP_ERR_FORMAT, "no pair" },
        { "one offset", "{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0]}}", 1, TP_ERR_FORMAT, "no pair" },
        { "three offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1,1]}}", 1, TP_ERR_FORMAT, "no pair" },
        { "backward", "{" T("a", "U8", "[1]", 1, 0) "}", 1, TP_ERR_FORMAT, "outside" },
        { "negative offset", "{" T("a", "U8", "[1]", -1, 0) "}", 1, TP_ERR_FORMAT, "outside" },
        { "beyond the end", "{" T("a", "U8", "[2]", 0, 2) "}", 1, TP_ERR_FORMAT, "outside" },
        { "far beyond", "{" T("a", "U8", "[1]", 9223372036854775806, 9223372036854775807) "}", 1, TP_ERR_FORMAT, "outside" },
        { "too few bytes", "{" T("a", "F32", "[2]", 0, 4) "}", 4, TP_ERR_FORMAT, "don't agree" },
        { "too many bytes", "{" T("a", "F32", "[1]", 0, 8) "}", 8, TP_ERR_FORMAT, "don't agree" },
        { "bytes of an empty one", "{" T("a", "F32", "[0]", 0, 4) "}", 4, TP_ERR_FORMAT, "don't agree" },
        { "overlap", "{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 2, 6) "}", 6, TP_ERR_FORMAT, "overlap" },
        { "the same bytes", "{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 0, 4) "}", 4, TP_ERR_FORMAT, "overlap" },
        { "gap", "{" T("a", "U8", "[1]", 0, 1) "," T("b", "U8", "[1]", 2, 3) "}", 3, TP_ERR_FORMAT, "a gap" },
        { "gap in front", "{" T("a", "U8", "[1]", 1, 2) "}", 2, TP_ERR_FORMAT, "a gap" },
        { "an empty one in the middle", "{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[0]", 2, 2) "}", 4, TP_ERR_FORMAT,
          "overlap" },
        { "bytes behind", "{" T("a", "U8", "[1]", 0, 1) "}", 2, TP_ERR_FORMAT, "behind the last" },
        { "metadata of numbers", "{\"__metadata__\":{\"a\":1}}", 0, TP_ERR_FORMAT, "no text" },
        { "metadata a list", "{\"__metadata__\":[\"a\"]}", 0, TP_ERR_FORMAT, "no text" },
    };

    for (int i = 0; i < TP_LEN(rows); i++) {
        CASE("%s", rows[i].name);
        put_file(in_folder("f"), rows[i].header, strlen(rows[i].header), (size_t)rows[i].data);
        CHECK_REFUSED(tp_file_open(in_folder("f")), rows[i].code, rows[i].why);
    }
    for (int shift = 1; shift <= 64; shift++) {
        uint64_t length = shift == 64 ? UINT64_MAX : (uint64_t)1 << shift;

        CASE("header of %llu bytes", (unsigned long long)length);
        put_file(in_folder("f"), "{}", length, 0);
        if (length == 2) continue;
        CHECK_REFUSED(tp_file_open(in_folder("f")), TP_ERR_FORMAT, "cut short");
    }
    CASE("deep");
    static char deep[100001];
    memset(deep, '[', 100000);
    put_file(in_folder("f"), deep, 100000, 0);
    CHECK_REFUSED(tp_file_open(in_folder("f")), TP_ERR_FORMAT, "no JSON object");
}

Test(file, cut_or_changed_anywhere, IN_FOLDER)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_named named[] = { { "a", check_numbers(TP_SHAPE(2, 3), TP_F32, 0, 1, cpu) }, { "b", tp_zeros(TP_SCALAR, TP_I64, cpu) } };
    size_t n;

    CHECK(tp_file_save(in_folder("whole"), named, 2, NULL, 0));
    char *bytes = read_whole(in_folder("whole"), &n);
    for (size_t cut = 0; cut < n; cut++) {
        CASE("cut at %zu", cut);
        write_whole(in_folder("f"), bytes, cut);
        CHECK_REFUSED(tp_file_open(in_folder("f")), TP_ERR_FORMAT, in_folder("f"));
    }
    CASE("longer");
    write_whole(in_folder("f"), bytes, n + 1); /* the 0 that read_whole adds */
    CHECK_REFUSED(tp_file_open(in_folder("f")), TP_ERR_FORMAT, "behind the last tensor");
    for (size_t at = 0; at < n; at++)
        for (int bit = 0; bit < 8; bit++) { /* may still be a file; then it reads */
            CASE("byte %zu, bit %d", at, bit);
            bytes[at] ^= (char)(1 << bit);
            write_whole(in_folder("f"), bytes, n);
            bytes[at] ^= (char)(1 << bit);
            tp_file *f = tp_file_open(in_folder("f"));
            for (int i = 0; i < tp_file_count(f); i++)
                CHECK(tp_file_read(f, i, cpu));
            CHECK(f || *tp_error());
            tp_file_close(f), tp_clear_error();
        }
    free(bytes);
}

/* ---- places that can't be ---- */

Test(file, lists_that_are_not_there, IN_FOLDER)
{
    CASE("lists");
    CHECK_REFUSED(tp_file_save(in_folder("x"), NULL, 3, NULL, 0), TP_ERR_ARG, "3 tensors, and no pointer to them");
    CHECK_REFUSED(tp_file_save(in_folder("x"), NULL, -1, NULL, 0), TP_ERR_ARG, "-1 tensors");
    CHECK_REFUSED(tp_file_save(in_folder("x"), NULL, 0, NULL, 2), TP_ERR_ARG, "2 texts, and no pointer to them");
    CHECK_REFUSED(tp_file_save(in_folder("x"), NULL, 0, (tp_meta[]){ { "k", NULL } }, 1), TP_ERR_ARG, "text 0 is missing");
    CHECK(!tp_file_exists(in_folder("x")));
}

Test(file, no_such_place, IN_FOLDER)
{
    static const char *const folders[] = { "/proc", "/", "/tmp", "/proc/self" };
    TP_SCOPE;
    tp_tensor *t = tp_ones(TP_SHAPE(3), TP_F32, tp_device_open("cpu"));
    char long_path[5000];

    memset(long_path, 'x', 4999), long_path[4999] = 0;
    for (int i = 0; i < TP_LEN(folders); i++) {
        CASE("%s", folders[i]);
        CHECK_REFUSED(tp_file_open(folders[i]), TP_ERR_IO, "Is a directory");
        CHECK_REFUSED(save_one(folders[i], t), TP_ERR_IO, folders[i]);
    }
    CASE("missing");
    CHECK_REFUSED(tp_file_open(in_folder("nothing")), TP_ERR_IO, "nothing can't be read: No such file");
    CHECK_REFUSED(tp_file_open(NULL), TP_ERR_ARG, "missing path");
    CHECK_REFUSED(tp_file_open(""), TP_ERR_IO, "can't be read");
    CHECK_REFUSED(save_one(in_folder("no/f"), t), TP_ERR_IO, "can't be written: No such file");
    CHECK_REFUSED(save_one("", t), TP_ERR_ARG, "missing path");
    CHECK_REFUSED(save_one(NULL, t), TP_ERR_ARG, "missing path");
    CHECK_REFUSED(save_one("/proc/taper", t), TP_ERR_IO, "/proc/taper can't be written");
    CHECK_REFUSED(save_one(long_path, t), TP_ERR_IO, "tp_file_save: xxx");
    CHECK_REFUSED(save_one(in_folder("f"), NULL), TP_ERR_ARG, "tensor 0 is missing");
    CASE("a file as folder");
    write_whole(in_folder("file"), "x", 1);
    CHECK_REFUSED(tp_file_open(in_folder("file/f")), TP_ERR_IO, "Not a directory");
    CHECK_REFUSED(save_one(in_folder("file/f"), t), TP_ERR_IO, "Not a directory");
    CASE("empty");
    write_whole(in_folder("empty"), "", 0);
    CHECK_REFUSED(tp_file_open(in_folder("empty")), TP_ERR_FORMAT, "it is empty");
    CASE("a pipe and a device don't block");
    cr_assert(mkfifo(in_folder("pipe"), 0600) == 0);
    {
        TP_SCOPE;
        tp_named one = { "a", tp_ones(TP_SHAPE(1), TP_F32, tp_device_open("cpu")) };
        struct stat st;

        CHECK_REFUSED(tp_file_save(in_folder("pipe"), &one, 1, NULL, 0), TP_ERR_IO, "not supported"); /* as a device */
        CHECK(!stat(in_folder("pipe"), &st) && S_ISFIFO(st.st_mode));
    }
    CHECK_REFUSED(tp_file_open(in_folder("pipe")), TP_ERR_IO, "pipe can't be read");
    CHECK_REFUSED(tp_file_open("/dev/zero"), TP_ERR_IO, "can't be read: it is no regular file");
    CHECK_REFUSED(tp_file_open("/dev/null"), TP_ERR_IO, "/dev/null can't be read: it is no regular file");
    CASE("names");
    tp_named twice[] = { { "a", t }, { "a", t } }, reserved = { "__metadata__", t }, latin = { "\xe9", t };
    CHECK_REFUSED(tp_file_save(in_folder("f"), twice, 2, NULL, 0), TP_ERR_ARG, "\"a\" can't be written: it comes twice");
    CHECK_REFUSED(tp_file_save(in_folder("f"), &reserved, 1, NULL, 0), TP_ERR_ARG, "\"__metadata__\" can't be written: the format keeps that name");
    CHECK_REFUSED(tp_file_save(in_folder("f"), &latin, 1, NULL, 0), TP_ERR_ARG, "it isn't UTF-8");
    CHECK_REFUSED(tp_file_save(in_folder("f"), NULL, 0, &(tp_meta){ "k", "\xe9" }, 1), TP_ERR_ARG, "UTF-8");
    CHECK_REFUSED(tp_file_save(in_folder("f"), NULL, 0, &(tp_meta){ NULL, "v" }, 1), TP_ERR_ARG, "text 0 is missing");
    CHECK_REFUSED(tp_file_save(in_folder("f"), NULL, 0, &(tp_meta){ "k", NULL }, 1), TP_ERR_ARG, "text 0 is missing");
    CHECK(!tp_file_exists(in_folder("f")));
    CASE("an error is pending");
    tp_fail(TP_ERR_USER, "mine");
    CHECK(!save_one(in_folder("f"), t) && !tp_file_open(in_folder("empty")) && !strcmp(tp_error(), "mine"));
    tp_clear_error();
    CHECK(!tp_file_exists(in_folder("f")));
}

static void *save_often(void *path)
{
    for (int i = 0; i < 50; i++) {
        TP_SCOPE;
        CHECK(save_one(path, tp_full(TP_SHAPE(1000), i, TP_F32, tp_device_open("cpu"))));
    }
    return NULL;
}

static int files_in(const char *dir)
{
    char command[300];
    int n = 0;

    snprintf(command, sizeof command, "ls -A %s | wc -l", dir);
    FILE *f = popen(command, "r");
    if (!f || fscanf(f, "%d", &n) != 1) n = -1;
    pclose(f);
    return n;
}

static void check_survival(const char *path, const char *dir, tp_tensor *small, tp_tensor *large, const char *why)
{
    int before;

    CHECK(save_one(path, small));
    before = files_in(dir);
    CHECK_REFUSED(save_one(path, large), TP_ERR_IO, why);
    CHECK(files_in(dir) == before); /* no temporary is left */
    tp_file *f = tp_file_open(path);
    CHECK(same_tensor(small, tp_file_read(f, 0, tp_device_open("cpu"))));
    tp_file_close(f);
}

Test(file, an_earlier_file_survives, IN_FOLDER)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_tensor *small = check_numbers(TP_SHAPE(100), TP_F32, 0, 1, cpu), *large = tp_zeros(TP_SHAPE(1 << 20), TP_F32, cpu);
    struct rlimit old, tight = { 100000, 100000 };
    struct stat st;

    CASE("the size of files is limited");
    getrlimit(RLIMIT_FSIZE, &old), tight.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &tight);
    check_survival(in_folder("f"), folder, small, large, "f can't be written: File too large");
    check_survival(in_folder("f"), folder, small, tp_transpose(tp_reshape(large, TP_SHAPE(1024, -1)), 0, 1), "too large");
    setrlimit(RLIMIT_FSIZE, &old);
    CASE("a full disk");
    mkdir(in_folder("disk"), 0700);
    if (mount("none", in_folder("disk"), "tmpfs", 0, "size=1m") == 0) {
        check_survival(in_folder("disk/f"), in_folder("disk"), small, large, "disk/f can't be written: No space left");
        umount(in_folder("disk"));
    } else {
        cr_log_info("no tmpfs may be mounted here: a full disk isn't tried");
    }
    CASE("a mode as any file's");
    mode_t mask = umask(027);
    CHECK(save_one(in_folder("mode"), small) && stat(in_folder("mode"), &st) == 0 && (st.st_mode & 0777) == 0640);
    umask(mask);
    CASE("over a longer and a shorter one");
    CHECK(save_one(in_folder("f"), large) && save_one(in_folder("f"), small));
    CHECK(stat(in_folder("f"), &st) == 0 && st.st_size < 1000);
}

Test(file, what_it_takes_the_place_of, IN_FOLDER)
{
    TP_SCOPE;
    tp_tensor *t = tp_ones(TP_SHAPE(3), TP_F32, tp_device_open("cpu"));
    struct stat st;

    CASE("the target of a link, in another folder, of a link to a link");
    mkdir(in_folder("d"), 0700);
    CHECK(save_one(in_folder("d/real"), t) && symlink("d/real", in_folder("one")) == 0 && symlink(in_folder("one"), in_folder("two")) == 0);
    write_whole(in_folder("d/real"), "old", 3);
    CHECK(save_one(in_folder("two"), t) && stat(in_folder("d/real"), &st) == 0 && st.st_size > 3);
    CHECK(lstat(in_folder("one"), &st) == 0 && S_ISLNK(st.st_mode) && lstat(in_folder("two"), &st) == 0 && S_ISLNK(st.st_mode));
    CASE("a link to nothing yet, and one to itself");
    CHECK(symlink("d/new", in_folder("three")) == 0 && save_one(in_folder("three"), t) && tp_file_exists(in_folder("d/new")));
    CHECK(symlink("loop", in_folder("loop")) == 0);
    CHECK_REFUSED(save_one(in_folder("loop"), t), TP_ERR_IO, "loop can't be written: Too many levels");
    CASE("an earlier file's mode, also one that can't be written to");
    CHECK(chmod(in_folder("d/real"), 0440) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(save_one(in_folder("one"), t) && stat(in_folder("d/real"), &st) == 0 && (st.st_mode & 07777) == 0440);
    CHECK(files_in(in_folder("d")) == 2);
}

Test(file, the_part_that_a_killed_one_left, IN_FOLDER)
{
    TP_SCOPE;
    tp_tensor *t = tp_ones(TP_SHAPE(1 << 16), TP_F32, tp_device_open("cpu"));
    struct stat st;

    CASE("killed again and again, one is left at most, and used again");
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();

        if (child == 0)
            for (;;) (void)!save_one(in_folder("f"), t);
        usleep((useconds_t)(3000 + 1700 * i)), kill(child, SIGKILL), waitpid(child, NULL, 0);
    }
    CHECK(files_in(folder) <= 2);
    write_whole(in_folder("f.part"), "left behind", 11);
    CHECK(save_one(in_folder("f"), t) && files_in(folder) == 1);
    tp_file *f = tp_file_open(in_folder("f"));
    CHECK(same_tensor(t, tp_file_read(f, 0, tp_device_open("cpu"))));
    tp_file_close(f);
    CASE("one that another holds, or that is no file of ours, is left alone");
    int held = open(in_folder("f.part"), O_WRONLY | O_CREAT, 0600);
    CHECK(flock(held, LOCK_EX) == 0 && write(held, "mine", 4) == 4);
    CHECK(save_one(in_folder("f"), t) && stat(in_folder("f.part"), &st) == 0 && st.st_size == 4 && files_in(folder) == 2);
    close(held), unlink(in_folder("f.part"));
    write_whole(in_folder("other"), "mine", 4);
    CHECK(symlink("other", in_folder("f.part")) == 0);
    CHECK(save_one(in_folder("f"), t) && stat(in_folder("other"), &st) == 0 && st.st_size == 4 && files_in(folder) == 3);
    unlink(in_folder("f.part"));
    CASE("threads that save to one name");
    pthread_t many[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&many[i], NULL, save_often, (void *)in_folder("f"));
    for (int i = 0; i < 4; i++)
        pthread_join(many[i], NULL);
    CHECK(tp_file_exists(in_folder("f")) && files_in(folder) == 2);
    f = tp_file_open(in_folder("f"));
    CHECK(f && tp_file_count(f) == 1);
    tp_file_close(f);
}

/* ---- a module's file ---- */

static tp_module *small_net(int64_t hidden, bool more)
{
    tp_module *l[] = { tp_nn_linear(3, hidden), tp_nn_batch_norm(hidden), tp_nn_linear(hidden, 2),
                       more ? tp_nn_linear(2, 2) : NULL };

    return tp_nn_init(tp_nn_sequential(l, more ? 4 : 3), tp_device_open("cpu"));
}

Test(file, modules_load_strictly, IN_FOLDER)
{
    tp_module *a = small_net(4, false), *b = small_net(4, false), *wide = small_net(5, false), *more = small_net(4, true);
    tp_load_report r;
    tp_load_opts o = { .report = &r };

    CASE("save, load");
    CHECK(tp_nn_save(a, in_folder("a")) && tp_nn_load(b, in_folder("a"), o) && tp_nn_save(b, in_folder("b")));
    CHECK(same_files(in_folder("a"), in_folder("b")) && r.loaded == 9 && !r.missing && !r.unexpected && !r.misshaped && !*r.text);
    CASE("mis-shaped");
    CHECK(tp_nn_save(wide, in_folder("wide")));
    CHECK_REFUSED(tp_nn_load(b, in_folder("wide"), o), TP_ERR_FORMAT, "0 missing, 0 unexpected, 7 misshaped");
    CHECK(r.misshaped == 7 && strstr(r.text, "0.weight: (5, 3) in the file, (4, 3) in the model") && r.loaded == 0);
    CHECK(tp_nn_save(b, in_folder("b")) && same_files(in_folder("a"), in_folder("b")));
    CASE("unexpected");
    CHECK(tp_nn_save(more, in_folder("more")));
    CHECK_REFUSED(tp_nn_load(b, in_folder("more"), o), TP_ERR_FORMAT, "0 missing, 2 unexpected, 0 misshaped");
    CHECK(r.unexpected == 2 && strstr(r.text, "unexpected 3.weight") && strstr(r.text, "unexpected 3.bias"));
    CHECK(tp_nn_save(b, in_folder("b")) && same_files(in_folder("a"), in_folder("b")));
    CASE("missing");
    CHECK_REFUSED(tp_nn_load(more, in_folder("a"), o), TP_ERR_FORMAT, "2 missing, 0 unexpected, 0 misshaped");
    CHECK(r.missing == 2 && strstr(r.text, "missing    3.bias"));
    CASE("partial, skip");
    o.partial = true;
    CHECK(tp_nn_load(more, in_folder("a"), o) && r.loaded == 9 && r.missing == 2);
    o.partial = false, o.skip = "3.*";
    CHECK(tp_nn_load(more, in_folder("a"), o) && r.loaded == 9 && r.missing == 0);
    CHECK(tp_nn_load(b, in_folder("more"), o) && r.unexpected == 0);
    CASE("prefix");
    tp_module *outer = tp_nn_container("outer");
    tp_nn_add(outer, "module", tp_nn_clone(a));
    o = (tp_load_opts){ .strip_prefix = "module.", .report = &r };
    CHECK(tp_nn_save(outer, in_folder("outer")) && tp_nn_load(b, in_folder("outer"), o) && r.loaded == 9);
    CASE("into layers not drawn yet, which stay loaded");
    tp_module *l[] = { tp_nn_linear(3, 4), tp_nn_batch_norm(4), tp_nn_linear(4, 2) }, *fresh = tp_nn_sequential(l, 3);
    CHECK(tp_nn_load(fresh, in_folder("a"), (tp_load_opts){ 0 }) && tp_nn_init(fresh, tp_device_open("cpu")));
    CHECK(tp_nn_save(fresh, in_folder("b")) && same_files(in_folder("a"), in_folder("b")));
    CASE("no file: the report says nothing");
    memset(&r, 1, sizeof r);
    CHECK_REFUSED(tp_nn_load(b, in_folder("nothing"), o), TP_ERR_IO, "No such file");
    CHECK(r.loaded == 0 && r.missing == 0 && !*r.text);
    CHECK_REFUSED(tp_nn_load(NULL, in_folder("a"), o), TP_ERR_ARG, "missing module");
    CHECK_REFUSED(tp_nn_load(b, NULL, o), TP_ERR_ARG, "missing path");
    CHECK_REFUSED(tp_nn_save(b, NULL), TP_ERR_ARG, "missing path");
    tp_nn_free(a), tp_nn_free(b), tp_nn_free(wide), tp_nn_free(more), tp_nn_free(outer), tp_nn_free(fresh);
}
