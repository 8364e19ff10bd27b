/*
 * test_data_numpy.c - NumPy's arrays and archives, as golden/numpy_files.py wrote them; written
 * ones; damaged ones.
 */
#include "tests/data.h"

#define AT TP_GOLDEN "/numpy/"

static const struct {
    const char *name;
    tp_dtype dtype;
} arrays[] = { { "little_f4", TP_F32 }, { "big_f4", TP_F32 }, { "little_f8", TP_F64 }, { "big_f8", TP_F64 }, { "little_f2", TP_F16 },
               { "big_f2", TP_F16 }, { "little_i8", TP_I64 }, { "big_i8", TP_I64 }, { "little_i4", TP_I32 }, { "big_i4", TP_I32 },
               { "u1", TP_U8 }, { "bool", TP_BOOL }, { "fortran", TP_F64 }, { "scalar", TP_F32 }, { "vector", TP_I64 }, { "empty", TP_F32 } };

static void check_array(const tp_tensor *t, int which)
{
    const char *name = arrays[which].name;
    int rank = !strcmp(name, "scalar") ? 0 : !strcmp(name, "vector") ? 1 : !strcmp(name, "empty") ? 2 : 3;

    CHECK(t && tp_dtype_of(t) == arrays[which].dtype && tp_rank(t) == rank);
    CHECK(tp_count(t) == (rank == 0 ? 1 : rank == 1 ? 5 : rank == 2 ? 0 : 24) && (rank < 3 || tp_dim(t, 1) == 4));
    for (int64_t i = 0; i < tp_count(t); i++) {
        int64_t v = i * 3 - 5;

        CHECK_NEAR(check_at((tp_tensor *)t, i), (double)(arrays[which].dtype == TP_BOOL ? v & 1 : arrays[which].dtype == TP_U8 ? v & 255 : v), 0);
    }
}

ON_EACH_DEVICE(numpy, reads_what_numpy_writes)
{
    char path[512], names[1024];

    for (int i = 0; i < TP_LEN(arrays); i++) {
        TP_SCOPE;

        CASE("%s.npy", arrays[i].name);
        snprintf(path, sizeof path, AT "%s.npy", arrays[i].name);
        check_array(tp_data_npy(path, dev), i);
        CASE("%s, stored", arrays[i].name);
        check_array(tp_data_npz(AT "stored.npz", arrays[i].name, dev), i);
        CASE("%s, deflated", arrays[i].name);
        snprintf(path, sizeof path, "%s.npy", arrays[i].name);
        check_array(tp_data_npz(AT "deflated.npz", path, dev), i);
    }
    CASE("names");
    CHECK(tp_data_npz_names(AT "stored.npz", names, sizeof names) == strlen(names) && strstr(names, "little_f4\nbig_f4\n") && lines_of(names) == TP_LEN(arrays));
    CHECK(tp_data_npz_names(AT "deflated.npz", names, 12) > 12 && !strcmp(names, "little_f4\nb"));
}

Test(numpy, writes, IN_FOLDER)
{
    tp_device *cpu = tp_device_open("cpu");

    for (int d = 0; d < TP_DTYPES; d++)
        for (int k = 0; k < 4; k++) {
            TP_SCOPE;
            tp_shape s = k == 0 ? TP_SCALAR : k == 1 ? TP_SHAPE(3) : k == 2 ? TP_SHAPE(2, 3) : TP_SHAPE(2, 0, 3);
            tp_tensor *x = check_numbers(s, (tp_dtype)d, 0, 9, cpu), *y;

            CASE("%s, rank %d", tp_dtype_name((tp_dtype)d), k);
            if (k == 2) x = tp_transpose(x, 0, 1); /* not contiguous: logical order is what counts */
            if (d == TP_BF16) {
                CHECK_REFUSED(tp_data_npy_save(in_folder("w.npy"), x), TP_ERR_DTYPE, "NumPy has no bf16");
                continue;
            }
            CHECK(tp_data_npy_save(in_folder("w.npy"), x) && (y = tp_data_npy(in_folder("w.npy"), cpu)));
            CHECK(tp_rank(y) == tp_rank(x) && tp_dtype_of(y) == (tp_dtype)d && tp_count(y) == tp_count(x));
            for (int64_t i = 0; i < tp_count(x); i++)
                CHECK_NEAR(check_at(y, i), check_at(x, i), 0);
        }
    CASE("the bytes are NumPy's");
    TP_SCOPE;
    CHECK(tp_data_npy_save(in_folder("same.npy"), tp_data_npy(AT "little_f8.npy", cpu)) && same_files(in_folder("same.npy"), AT "little_f8.npy"));
    CHECK(tp_data_npy_save(in_folder("same.npy"), tp_data_npy(AT "vector.npy", cpu)) && same_files(in_folder("same.npy"), AT "vector.npy"));
    CHECK(tp_data_npy_save(in_folder("same.npy"), tp_data_npy(AT "scalar.npy", cpu)) && same_files(in_folder("same.npy"), AT "scalar.npy"));
    CASE("places");
    CHECK_REFUSED(tp_data_npy_save(in_folder("no/x.npy"), tp_ones(TP_SHAPE(1), TP_F32, cpu)), TP_ERR_IO, "can't be written: No such file");
    CHECK_REFUSED(tp_data_npy_save("/dev/full", tp_ones(TP_SHAPE(1), TP_F32, cpu)), TP_ERR_IO, "No space left");
    CHECK_REFUSED(tp_data_npy_save(NULL, tp_ones(TP_SHAPE(1), TP_F32, cpu)), TP_ERR_ARG, "missing path");
    CHECK_REFUSED(tp_data_npy_save(in_folder("x"), NULL), TP_ERR_ARG, "missing input");
}

static tp_tensor *with_header(const char *dict, int version, size_t data)
{
    char b[512] = "\x93NUMPY";
    size_t n = strlen(dict), at = version == 1 ? 10 : 12;

    b[6] = (char)version, b[8] = (char)(n & 255), b[9] = (char)(n >> 8);
    memcpy(b + at, dict, n);
    write_whole(in_folder("h.npy"), b, at + n + data);
    return tp_data_npy(in_folder("h.npy"), tp_device_open("cpu"));
}

Test(numpy, refuses, IN_FOLDER)
{
    static const struct {
        const char *dict;
        tp_code code;
        const char *why;
    } bad[] = {
        { "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", TP_ERR_DTYPE, "h.npy: dtype \"<c8\": f8 f4 f2" },
        { "{'descr': 'f4', 'fortran_order': False, 'shape': (1,), }", TP_ERR_DTYPE, "dtype \"f4\"" },
        { "{'descr': '', 'fortran_order': False, 'shape': (1,), }", TP_ERR_DTYPE, "dtype \"\"" },
        { "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", TP_ERR_FORMAT, "arrays of records aren't read" },
        { "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,), }", TP_ERR_FORMAT, "neither True nor False" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': 1, }", TP_ERR_FORMAT, "its shape is none" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", TP_ERR_FORMAT, "its shape is none" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,2", TP_ERR_FORMAT, "its shape is none" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1 2), }", TP_ERR_FORMAT, "its shape is none" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", TP_ERR_FORMAT, "more than 8 axes" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", TP_ERR_FORMAT, "its shape is none" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", TP_ERR_SHAPE, "too many elements" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", TP_ERR_FORMAT, "it is cut short" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }", TP_ERR_FORMAT, "there is more in it" },
        { "{'descr': '<f4', 'fortran_order': False, }", TP_ERR_FORMAT, "lacks descr, fortran_order or shape" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", TP_ERR_FORMAT, "another entry than" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } x", TP_ERR_FORMAT, "goes on behind them" },
        { "{'descr': '<f4' 'fortran_order': False, 'shape': (2,), }", TP_ERR_FORMAT, "no dict" },
        { "['descr']", TP_ERR_FORMAT, "no dict" },
        { "{'descr': '<f4", TP_ERR_FORMAT, "its dtype is no name" },
        { "", TP_ERR_FORMAT, "no dict" },
    };
    tp_device *cpu = tp_device_open("cpu");
    size_t n;

    for (int i = 0; i < TP_LEN(bad); i++) {
        CASE("header %d", i);
        CHECK_REFUSED(with_header(bad[i].dict, 1, 8), bad[i].code, bad[i].why);
    }
    CASE("versions");
    for (int v = 1; v <= 3; v++)
        CHECK(with_header("{\"shape\":(2,),\"fortran_order\":True,\"descr\":\"=f4\"}", v, 8) != NULL);
    CHECK_REFUSED(with_header("{}", 4, 8), TP_ERR_FORMAT, "its version is neither 1, 2 nor 3");
    CHECK_REFUSED(tp_data_npy(AT "complex.npy", cpu), TP_ERR_DTYPE, "\"<c8\"");
    CHECK_REFUSED(tp_data_npy(AT "records.npy", cpu), TP_ERR_FORMAT, "arrays of records");
    CHECK_REFUSED(tp_data_npy(put_text("t", "hello hello"), cpu), TP_ERR_FORMAT, "it is no .npy file");
    CHECK_REFUSED(tp_data_npy(in_folder("nothing"), cpu), TP_ERR_IO, "nothing can't be read");
    CHECK_REFUSED(tp_data_npy(AT "scalar.npy", NULL), TP_ERR_ARG, "missing device");
    CASE("cut");
    char *b = read_whole(AT "vector.npy", &n);
    for (size_t cut = 0; cut < n; cut++) {
        write_whole(in_folder("cut.npy"), b, cut);
        CHECK_REFUSED(tp_data_npy(in_folder("cut.npy"), cpu), TP_ERR_FORMAT, "cut.npy: it ");
    }
    free(b);
}

Test(numpy, damaged_archives, IN_FOLDER)
{
    tp_device *cpu = tp_device_open("cpu");
    char names[64];
    size_t n;
    char *b = read_whole(AT "deflated.npz", &n);

    CASE("cut");
    for (size_t cut = 0; cut < n; cut++) {
        write_whole(in_folder("cut.npz"), b, cut);
        CHECK_REFUSED(tp_data_npz(in_folder("cut.npz"), "u1", cpu), TP_ERR_FORMAT, "cut.npz: it is no .npz file");
    }
    CASE("a byte changed: an error, or what was there");
    for (size_t at = 0; at < n; at++) {
        TP_SCOPE;
        tp_tensor *t;

        b[at] ^= 0x11;
        write_whole(in_folder("bad.npz"), b, n);
        t = tp_data_npz(in_folder("bad.npz"), "vector", cpu);
        CHECK((t != NULL) == tp_ok() && (!t || (tp_count(t) == 5 && check_at(t, 4) == 7)));
        tp_clear_error();
        tp_data_npz_names(in_folder("bad.npz"), names, sizeof names);
        tp_clear_error();
        b[at] ^= 0x11;
    }
    free(b);
    CASE("others");
    CHECK_REFUSED(tp_data_npz(AT "stored.npz", "nothing", cpu), TP_ERR_ARG, "stored.npz: there is no array \"nothing\" in it");
    CHECK_REFUSED(tp_data_npz(AT "stored.npz", NULL, cpu), TP_ERR_ARG, "missing name");
    CHECK_REFUSED(tp_data_npz(put_text("t", "hello"), "x", cpu), TP_ERR_FORMAT, "it is no .npz file");
    CHECK_REFUSED(tp_data_npz(in_folder("nothing"), "x", cpu), TP_ERR_IO, "nothing can't be read");
    CHECK_REFUSED(tp_data_npz_names(in_folder("nothing"), names, sizeof names), TP_ERR_IO, "nothing can't be read");
}

static bool read_and_write(void)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_tensor *x = tp_data_npy(AT "fortran.npy", cpu);

    return x && tp_data_npz(AT "deflated.npz", "big_f8", cpu) && tp_data_npy_save(in_folder("o.npy"), x);
}

Test(numpy, out_of_memory, IN_FOLDER)
{
    CASE("arrays");
    check_memory(read_and_write);
}
