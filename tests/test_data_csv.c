/*
 * test_data_csv.c - tables: quoting, headers, columns, what is missing, text, labels, numbers, and
 * what is refused.
 */
#include "tests/data.h"

#include <locale.h>
#include <sys/wait.h>
#include <zlib.h>

static tp_dataset *table(const char *text, tp_csv_opts o)
{
    return tp_data_csv(put_text("t.csv", text), o);
}

/* A table gives these rows of x, and y where want_y isn't NULL. */
static void check_table(const char *text, tp_csv_opts o, int rows, int columns, const double *want, const double *want_y)
{
    tp_dataset *d = table(text, o);

    CHECK(d && tp_data_count(d) == rows && tp_data_shape(d, 0).n[0] == columns && tp_data_dtype(d, 0) == TP_F32);
    for (int r = 0; d && r < rows; r++) {
        for (int c = 0; c < columns; c++)
            CHECK_NEAR(sample_at(d, r, 0, c), want[r * columns + c], 0);
        if (want_y) CHECK_NEAR(sample_at(d, r, 1, 0), want_y[r], 0);
    }
    tp_data_set_free(d);
}

Test(csv, fields_and_lines, IN_FOLDER)
{
    static const double want[] = { 1, 2, 3, 4 };
    static const char *const same[] = {
        "a,b\n1,2\n3,4\n", "a,b\n1,2\n3,4", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4\r", "\n\na,b\n\n1,2\n\r\n3,4\n\n",
        "\xEF\xBB\xBF" "a,b\n1,2\n3,4\n", "\"a\",\"b\"\n\"1\",2\n3,\"4\"", "a,b\n 1 ,2\n+3,\t4\n", "1,2\n3,4\n",
        "1e0,2.\n.3e1,40E-1", "\"a \"\"quoted\"\"\",\"b,\nc\"\n1,2\n3,4\n",
    };

    for (int i = 0; i < TP_LEN(same); i++) {
        CASE("table %d", i);
        check_table(same[i], (tp_csv_opts){ 0 }, 2, 2, want, NULL);
    }
    CASE("delimiter");
    check_table("a;b\n1;2\n3;4", (tp_csv_opts){ .delimiter = ';' }, 2, 2, want, NULL);
    check_table("# notes\n# more\n1\t2\n3\t4", (tp_csv_opts){ .delimiter = '\t', .skip = 2 }, 2, 2, want, NULL);
    CASE("quotes as text");
    tp_dataset *d = table("a\tsay \"hi\nb\t\"x", (tp_csv_opts){ .delimiter = '\t', .no_quotes = true, .y = "1", .x = "0",
                                                                 .header = TP_HEADER_NO, .words = TP_WORDS_CODES });
    CHECK(d && tp_data_classes(d) == 2 && !strcmp(tp_data_class(d, 0), "\"x") && !strcmp(tp_data_class(d, 1), "say \"hi"));
    tp_data_set_free(d);
    CASE("a header by option");
    check_table("7,8\n1,2\n3,4", (tp_csv_opts){ .header = TP_HEADER_YES }, 2, 2, want, NULL);
    d = table("\"a \"\"quoted\"\"\",\"b,\nc\"\n1,2\n", (tp_csv_opts){ .y = "\"b,\nc\"" });
    CHECK(d && !strcmp(tp_data_column(d, 0), "a \"quoted\"") && !tp_data_column(d, 1) && tp_data_fields(d) == 2);
    tp_data_set_free(d);
}

Test(csv, gzip_is_read, IN_FOLDER)
{
    static const double want[] = { 1, 2, 3, 4 };
    gzFile f = gzopen(in_folder("t.csv.gz"), "wb");
    size_t n;

    gzputs(f, "a,b\n1,2\n3,4\n"), gzclose(f);
    CASE("whole");
    tp_dataset *d = tp_data_csv(in_folder("t.csv.gz"), (tp_csv_opts){ 0 });
    CHECK(d && tp_data_count(d) == 2);
    CHECK_NEAR(sample_at(d, 1, 0, 1), want[3], 0);
    tp_data_set_free(d);
    char *bytes = read_whole(in_folder("t.csv.gz"), &n);
    for (size_t cut = 3; cut < n; cut++) {
        CASE("cut at %zu", cut);
        write_whole(in_folder("cut.gz"), bytes, cut);
        CHECK_REFUSED(tp_data_csv(in_folder("cut.gz"), (tp_csv_opts){ 0 }), TP_ERR_FORMAT, "cut.gz: it is cut short");
    }
    free(bytes);
}

Test(csv, columns, IN_FOLDER)
{
    static const char text[] = "age,in come,sex,y\n1,10,m,100\n2,20,f,200\n3,30,m,300\n";
    static const double by_name[] = { 10, 1, 20, 2, 30, 3 }, y[] = { 100, 200, 300 };
    tp_dataset *d;

    CASE("names");
    check_table(text, (tp_csv_opts){ .x = "in come,age", .y = "y" }, 3, 2, by_name, y);
    CASE("numbers");
    check_table(text, (tp_csv_opts){ .x = "1,0", .y = "-1" }, 3, 2, by_name, y);
    check_table(text, (tp_csv_opts){ .x = "\"in come\",-4", .y = "3" }, 3, 2, by_name, y);
    CASE("two targets");
    d = table(text, (tp_csv_opts){ .x = "0", .y = "y,1" });
    CHECK(d && tp_data_shape(d, 1).rank == 1 && tp_data_shape(d, 1).n[0] == 2 && tp_data_dtype(d, 1) == TP_F32);
    CHECK_NEAR(sample_at(d, 1, 1, 0), 200, 0);
    CHECK_NEAR(sample_at(d, 1, 1, 1), 20, 0);
    tp_data_set_free(d);
    CASE("one-hot");
    d = table(text, (tp_csv_opts){ .y = "y", .words = TP_WORDS_ONE_HOT });
    CHECK(d && tp_data_shape(d, 0).n[0] == 4 && !strcmp(tp_data_column(d, 2), "sex=f") && !strcmp(tp_data_column(d, 3), "sex=m"));
    CHECK_NEAR(sample_at(d, 1, 0, 2), 1, 0);
    CHECK_NEAR(sample_at(d, 1, 0, 3), 0, 0);
    CHECK_NEAR(sample_at(d, 2, 0, 3), 1, 0);
    tp_data_set_free(d);
    CASE("codes");
    static const double codes[] = { 1, 0, 1 };
    check_table(text, (tp_csv_opts){ .x = "sex", .words = TP_WORDS_CODES }, 3, 1, codes, NULL);
}

Test(csv, labels, IN_FOLDER)
{
    tp_dataset *d;

    CASE("text");
    d = table("x,c\n1,zebra\n2,ant\n3,zebra\n4,bee", (tp_csv_opts){ .y = "c" });
    CHECK(d && tp_data_classes(d) == 3 && tp_data_dtype(d, 1) == TP_I64 && tp_data_shape(d, 1).rank == 0);
    CHECK(!strcmp(tp_data_class(d, 0), "ant") && !strcmp(tp_data_class(d, 2), "zebra") && !tp_data_class(d, 3) && !tp_data_class(d, -1));
    CHECK_NEAR(sample_at(d, 0, 1, 0), 2, 0);
    CHECK_NEAR(sample_at(d, 1, 1, 0), 0, 0);
    CHECK_NEAR(sample_at(d, 3, 1, 0), 1, 0);
    tp_dataset *same_names = tp_data_retain(d), *part = tp_data_range(d, 1, 4);
    CHECK(tp_data_classes(part) == 3 && !strcmp(tp_data_class(part, 1), "bee") && !strcmp(tp_data_column(part, 0), "x"));
    tp_data_set_free(part);
    CASE("sets of the same names, and of others, one after the other");
    tp_dataset *same[] = { tp_data_retain(same_names), same_names };
    part = tp_data_concat(same, 2);
    CHECK(tp_data_classes(part) == 3 && tp_data_count(part) == 8 && !strcmp(tp_data_class(part, 1), "bee"));
    tp_dataset *other[] = { part, table("x,c\n1,cat\n2,ant\n3,dog", (tp_csv_opts){ .y = "c" }) };
    part = tp_data_concat(other, 2);
    CHECK(tp_data_classes(part) == 3 && tp_data_count(part) == 11 && !tp_data_class(part, 1));
    tp_data_set_free(part);
    CASE("infinities are labels like others");
    d = table("1,inf\n2,0\n3,-inf", (tp_csv_opts){ .y = "1", .classes = true });
    CHECK(d && tp_data_classes(d) == 3 && !strcmp(tp_data_class(d, 0), "-inf") && !strcmp(tp_data_class(d, 2), "inf"));
    tp_data_set_free(d);
    CASE("numbers, sorted as numbers");
    d = table("1,10\n2,9\n3,9.0\n4,-1", (tp_csv_opts){ .y = "1", .classes = true });
    CHECK(d && tp_data_classes(d) == 3 && !strcmp(tp_data_class(d, 0), "-1") && !strcmp(tp_data_class(d, 1), "9") && !strcmp(tp_data_class(d, 2), "10"));
    CHECK_NEAR(sample_at(d, 0, 1, 0), 2, 0);
    CHECK_NEAR(sample_at(d, 2, 1, 0), 1, 0);
    CHECK_NEAR(sample_at(d, 3, 1, 0), 0, 0);
    CHECK(!strcmp(tp_data_column(d, 0), "0"));
    tp_data_set_free(d);
}

Test(csv, missing, IN_FOLDER)
{
    static const char text[] = "a,b,s,y\n1,,u,5\n2,4,,6\n3,8,v,7\n";
    static const double nan_[] = { 1, NAN, 2, 4, 3, 8 }, mean[] = { 1, 6, 2, 4, 3, 8 }, drop[] = { 3, 8 };
    static const double y[] = { 5, 6, 7 };

    CASE("refused");
    CHECK_REFUSED(table(text, (tp_csv_opts){ .x = "a,b" }), TP_ERR_FORMAT, "t.csv: line 2, column 1 (b): nothing is there");
    CASE("NaN");
    check_table(text, (tp_csv_opts){ .x = "a,b", .y = "y", .missing = TP_MISSING_NAN }, 3, 2, nan_, y);
    check_table("a,y\n1,\n2,3", (tp_csv_opts){ .y = "y", .missing = TP_MISSING_NAN }, 2, 1, (double[]){ 1, 2 },
                (double[]){ NAN, 3 });
    CASE("mean");
    check_table(text, (tp_csv_opts){ .x = "a,b", .y = "y", .missing = TP_MISSING_MEAN }, 3, 2, mean, y);
    CASE("dropped: only chosen columns count");
    check_table(text, (tp_csv_opts){ .x = "a,b,s", .y = "y", .missing = TP_MISSING_DROP, .words = TP_WORDS_CODES }, 1, 3,
                (double[]){ 3, 8, 0 }, y + 2);
    check_table("a,b\n1,\n3,8", (tp_csv_opts){ .missing = TP_MISSING_DROP }, 1, 2, drop, NULL);
    CASE("text");
    check_table("day,a,note,b\nmon,1,,2\ntue,3,x,4\n", (tp_csv_opts){ .words = TP_WORDS_LEAVE_OUT }, 2, 2, (double[]){ 1, 2, 3, 4 }, NULL);
    check_table(text, (tp_csv_opts){ .x = "s", .missing = TP_MISSING_NAN, .words = TP_WORDS_ONE_HOT }, 3, 2,
                (double[]){ 1, 0, 0, 0, 0, 1 }, NULL);
    check_table(text, (tp_csv_opts){ .x = "s", .missing = TP_MISSING_MEAN, .words = TP_WORDS_ONE_HOT }, 3, 2,
                (double[]){ 1, 0, .5, .5, 0, 1 }, NULL);
    check_table(text, (tp_csv_opts){ .x = "s", .missing = TP_MISSING_NAN, .words = TP_WORDS_CODES }, 3, 1,
                (double[]){ 0, NAN, 1 }, NULL);
    CASE("words for it");
    check_table("a\nNA\nnan\n-NaN\nnull\n<NA>\n#N/A\n  \n1", (tp_csv_opts){ .missing = TP_MISSING_NAN }, 8, 1,
                (double[]){ NAN, NAN, NAN, NAN, NAN, NAN, NAN, 1 }, NULL);
    CASE("refusals");
    CHECK_REFUSED(table(text, (tp_csv_opts){ .x = "s", .missing = TP_MISSING_MEAN, .words = TP_WORDS_CODES }), TP_ERR_ARG, "codes have no mean");
    CHECK_REFUSED(table(text, (tp_csv_opts){ .x = "a", .y = "b", .missing = TP_MISSING_MEAN }), TP_ERR_FORMAT, "line 2, column 1 (b): nothing");
    CHECK_REFUSED(table(text, (tp_csv_opts){ .x = "a", .y = "s", .missing = TP_MISSING_NAN }), TP_ERR_FORMAT, "line 3, column 2 (s): nothing");
    CHECK_REFUSED(table("a,b\n1,\n2,NA", (tp_csv_opts){ .missing = TP_MISSING_MEAN }), TP_ERR_FORMAT, "column 1 of x has nothing to take a mean of");
    CHECK_REFUSED(table("a,b\n1,\n2,NA", (tp_csv_opts){ .missing = TP_MISSING_DROP }), TP_ERR_FORMAT, "every row lacks something");
}

Test(csv, refuses, IN_FOLDER)
{
    static const struct {
        const char *text;
        tp_csv_opts o;
        tp_code code;
        const char *why;
    } bad[] = {
        { "", { 0 }, TP_ERR_FORMAT, "t.csv: there are no rows in it" },
        { "\n\r\n", { 0 }, TP_ERR_FORMAT, "there are no rows in it" },
        { "a,b\n", { 0 }, TP_ERR_FORMAT, "no rows below its header" },
        { "1,2\n3\n", { 0 }, TP_ERR_FORMAT, "line 2 has 1 fields: 2 are wanted" },
        { "a,b\n1,\"2\n\n\",3\n", { 0 }, TP_ERR_FORMAT, "line 2 has 3 fields" },
        { "a,\"b\nc\"\n1,2\n3,4,5\n", { 0 }, TP_ERR_FORMAT, "line 4 has 3 fields" },
        { "a,b\n1,\"2\n3,4\n", { 0 }, TP_ERR_FORMAT, "line 2 begins a quoted field that never ends" },
        { "a,b\n1,\"2\"3\n", { 0 }, TP_ERR_FORMAT, "line 2 has text behind a quoted field" },
        { "a,b\n1,2\n3,four\n", { 0 }, TP_ERR_FORMAT, "line 3, column 1 (b): \"four\" is no number" },
        { "1,2\n3,0x4\n", { 0 }, TP_ERR_FORMAT, "line 2, column 1: \"0x4\" is no number" },
        { "1,2\n3,1e\n", { 0 }, TP_ERR_FORMAT, "\"1e\" is no number" },
        { "1,2\n3,1 2\n", { 0 }, TP_ERR_FORMAT, "\"1 2\" is no number" },
        { "1,2\n3,.\n", { 0 }, TP_ERR_FORMAT, "\".\" is no number" },
        { "1,2\n3,1e39\n", { 0 }, TP_ERR_FORMAT, "line 2, column 1: \"1e39\" is infinite, or too large for f32" },
        { "a,b\n1,2\n3,inf\n", { 0 }, TP_ERR_FORMAT, "line 3, column 1 (b): \"inf\" is infinite" },
        { "a,b\n1,2\n3,-Infinity\n", { .y = "b" }, TP_ERR_FORMAT, "line 3, column 1 (b): \"-Infinity\" is infinite" },
        { "a,b\n,2\n1e999,3\n", { .missing = TP_MISSING_NAN }, TP_ERR_FORMAT, "line 3, column 0 (a): \"1e999\" is infinite" },
        { "a,b\n,2\n-inf,3\n", { .missing = TP_MISSING_DROP }, TP_ERR_FORMAT, "line 3, column 0 (a): \"-inf\" is infinite" },
        { "a,b\n,2\ninf,3\n", { .missing = TP_MISSING_MEAN }, TP_ERR_FORMAT, "line 3, column 0 (a): \"inf\" is infinite" },
        { "a;b\n1;2,5\n", { .delimiter = ';' }, TP_ERR_FORMAT, "line 2, column 1 (b): \"2,5\" is no number: decimals come after a point" },
        { "a;b\n1;2,5,\n", { .delimiter = ';' }, TP_ERR_FORMAT, "\"2,5,\" is no number" },
        { "a,b\n1,2\n", { .x = "c" }, TP_ERR_ARG, "there is no column \"c\": there are 2, column 0 (a) to column 1 (b)" },
        { "a,b\n1,2\n", { .x = "2" }, TP_ERR_ARG, "there is no column \"2\"" },
        { "a,b\n1,2\n", { .x = "-3" }, TP_ERR_ARG, "there is no column \"-3\"" },
        { "a,b\n1,2\n", { .x = "99999999999999999999" }, TP_ERR_ARG, "there is no column" },
        { "a,b\n1,2\n", { .x = "a,0" }, TP_ERR_ARG, "column 0 (a) is chosen twice" },
        { "a,b\n1,2\n", { .x = "a,b", .y = "b" }, TP_ERR_ARG, "column 1 (b) is chosen twice" },
        { "a,b\n1,2\n", { .y = "a,b" }, TP_ERR_ARG, "no column is left for x" },
        { "a,b\n1,2\n", { .y = "" }, TP_ERR_ARG, "y names no column" },
        { "a,b\n1,2\n", { .x = "" }, TP_ERR_ARG, "x names no column" },
        { "a,a\n1,2\n", { .x = "a" }, TP_ERR_ARG, "two columns are named \"a\"" },
        { "a,b,c\n1,2,3\n", { .x = "a", .y = "b,c", .classes = true }, TP_ERR_ARG, "a label is one column, not 2" },
        { "a,b,c\n1,2,w\n", { .x = "a", .y = "b,c" }, TP_ERR_FORMAT, "\"w\" is no number" },
        { "a\n1\n", { .header = (tp_header)7 }, TP_ERR_ARG, "tp_data_csv: header 7: a tp_header is wanted" },
        { "a\n1\n", { .missing = (tp_missing)9 }, TP_ERR_ARG, "tp_data_csv: missing 9: a tp_missing is wanted" },
        { "day,a\nmon,1\ntue,x\n", { .words = TP_WORDS_LEAVE_OUT }, TP_ERR_FORMAT, "line 3, column 1 (a): \"x\" is no number" },
        { "day,a\nmon,1\n3,2\n", { .words = TP_WORDS_LEAVE_OUT }, TP_ERR_FORMAT, "line 2, column 0 (day): \"mon\" is no number" },
        { "day,a\nmon,1\n", { .x = "day", .words = TP_WORDS_LEAVE_OUT }, TP_ERR_FORMAT, "line 2, column 0 (day): \"mon\" is no number" },
        { "day,a\nmon,1\ntue,2\n", { .x = "day", .words = TP_WORDS_LEAVE_OUT }, TP_ERR_FORMAT, "\"mon\" is no number" },
        { "day,a,b\nmon,\"1,5\",1\ntue,\"2,5\",2\n", { .words = TP_WORDS_LEAVE_OUT }, TP_ERR_FORMAT, "line 2, column 1 (a): \"1,5\" is no number: decimals" },
        { "a\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18\n19\n20\noops\n21\n", { .words = TP_WORDS_ONE_HOT }, TP_ERR_FORMAT, "line 22, column 0 (a): \"oops\" is no number" },
        { "day\nmon\n", { .words = TP_WORDS_LEAVE_OUT }, TP_ERR_FORMAT, "\"mon\" is no number" },
        { "a\n1\n", { .words = (tp_words)-1 }, TP_ERR_ARG, "tp_data_csv: words -1: a tp_words is wanted" },
        { "a\n1\n", { .skip = -1 }, TP_ERR_ARG, "tp_data_csv: skip -1: 0 or more lines are wanted" },
        { "a\n1\n", { .delimiter = '"' }, TP_ERR_ARG, "a delimiter that" },
        { "a\n1\n", { .skip = 9 }, TP_ERR_FORMAT, "no rows" },
    };
    char many[20000] = "w\n";
    size_t n = 2;

    for (int i = 0; i < TP_LEN(bad); i++) {
        CASE("table %d", i);
        CHECK_REFUSED(table(bad[i].text, bad[i].o), bad[i].code, bad[i].why);
    }
    CASE("a 0");
    write_whole(in_folder("z"), "1,2\n3,\0", 7);
    CHECK_REFUSED(tp_data_csv(in_folder("z"), (tp_csv_opts){ 0 }), TP_ERR_FORMAT, "byte 6 is 0");
    CASE("places");
    CHECK_REFUSED(tp_data_csv(in_folder("nothing"), (tp_csv_opts){ 0 }), TP_ERR_IO, "nothing can't be read: No such file");
    CHECK_REFUSED(tp_data_csv(NULL, (tp_csv_opts){ 0 }), TP_ERR_ARG, "missing path");
    CHECK_REFUSED(tp_data_csv("/tmp", (tp_csv_opts){ 0 }), TP_ERR_IO, "Is a directory");
    CASE("what may never end is no file");
    static const char *const endless[] = { "/dev/full", "/dev/zero", "/dev/null" };
    for (int i = 0; i < TP_LEN(endless); i++) {
        CHECK_REFUSED(tp_data_csv(endless[i], (tp_csv_opts){ 0 }), TP_ERR_IO, "can't be read: it is neither a regular file nor a pipe");
        CHECK_REFUSED(tp_data_npy(endless[i], tp_device_open("cpu")), TP_ERR_IO, "neither a regular file nor a pipe");
    }
    CASE("a pipe is read");
    cr_assert(mkfifo(in_folder("pipe"), 0600) == 0);
    pid_t child = fork();
    if (child == 0) write_whole(in_folder("pipe"), "1,2\n3,4\n", 8), _exit(0);
    tp_dataset *piped = tp_data_csv(in_folder("pipe"), (tp_csv_opts){ 0 });
    waitpid(child, NULL, 0);
    CHECK(piped && tp_data_count(piped) == 2);
    tp_data_set_free(piped);
    CASE("more texts than categories");
    for (int i = 0; i < 1001; i++)
        n += (size_t)sprintf(many + n, "w%d\n", i);
    CHECK_REFUSED(table(many, (tp_csv_opts){ .words = TP_WORDS_ONE_HOT }), TP_ERR_FORMAT, "1001 different texts: at most 1000");
}

/* Numbers as Python reads them, whatever the locale of the program. */
Test(csv, numbers_are_rounded_correctly, IN_FOLDER)
{
    static const struct {
        const char *text;
        double v;
    } number[] = { { "0.1", 0.1f }, { "-0", -0.0 }, { "1.17549435e-38", 0x1p-126 }, { "1e-45", 0x1p-149 }, { "1e-400", 0 },
                   { "3.4028234663852886e38", 0x1.fffffep127 }, { "-3.4028235e38", -0x1.fffffep127 },
                   { "16777217", 16777216 }, { "16777219", 16777220 }, { "0.00000000000000000000000000000000000000000000000001e50", 1 },
                   { "123456789012345678901234567890", 123456789012345678901234567890.0f }, { "+.5", 0.5 }, { "5.", 5 } };
    bool other = setlocale(LC_NUMERIC, "de_DE.UTF-8") || setlocale(LC_NUMERIC, "fr_FR.UTF-8") || setlocale(LC_NUMERIC, "de_DE.utf8");
    char text[256];

    for (int i = 0; i < TP_LEN(number); i++) {
        CASE("%s%s", number[i].text, other ? ", a locale with a comma" : "");
        snprintf(text, sizeof text, "v\n%s\n", number[i].text);
        tp_dataset *d = table(text, (tp_csv_opts){ 0 });
        CHECK_NEAR(sample_at(d, 0, 0, 0), number[i].v, 0);
        tp_data_set_free(d);
    }
    setlocale(LC_NUMERIC, "C");
}

static bool open_and_read(void)
{
    tp_dataset *d = tp_data_csv(in_folder("m.csv"), (tp_csv_opts){ .y = "c", .words = TP_WORDS_ONE_HOT, .missing = TP_MISSING_MEAN });
    tp_batch b;
    TP_SCOPE;
    bool ok = d && tp_data_sample(d, 0, &b);

    tp_data_set_free(d);
    return ok;
}

Test(csv, out_of_memory, IN_FOLDER)
{
    CASE("a table");
    put_text("m.csv", "a,s,c\n1,u,yes\n,v,no\n3,u,yes\n");
    check_memory(open_and_read);
}
