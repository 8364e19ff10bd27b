/*
 * test_train.c - what surrounds a loop: log.csv, the line on stderr, pictures, flags.
 */
#include "tests/files.h"

#include <float.h>
#include <signal.h>

#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb_image.h>
#pragma GCC diagnostic pop

#define IN_FOLDER .init = make_test_folder, .fini = remove_test_folder, .timeout = 60

/* ---- log.csv ---- */

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

static tp_log_opts into(const char *dir)
{
    return (tp_log_opts){ .dir = in_folder(dir), .total = 10 };
}

Test(log, rows, IN_FOLDER)
{
    TP_SCOPE;
    tp_log_opts o = into("run");

    CASE("tensors are read a step late and written in their own row");
    tp_logger *l = tp_log_open(o);
    for (int i = 1; i <= 3; i++) {
        tp_log_add(l, "loss", scalar(1.0 / i));
        tp_log_step(l);
    }
    CHECK(tp_log_close(l));
    check_csv("step,loss\n1,1\n2,0.5\n3,0.333333343\n");

    CASE("a value goes to the last step that ended, also before the first and after the last");
    l = tp_log_open(o);
    tp_log_value(l, "accuracy", 0.125);
    for (int i = 1; i <= 2; i++) {
        tp_log_add(l, "loss", scalar(i));
        tp_log_step(l);
        tp_log_value(l, "accuracy", 0.25 * i);
    }
    CHECK(tp_log_close(l));
    check_csv("step,accuracy,loss\n0,0.125,\n1,0.25,1\n2,0.5,2\n");

    CASE("late keys");
    l = tp_log_open(o);
    for (int i = 1; i <= 4; i++) {
        tp_log_add(l, "loss", scalar(i));
        tp_log_step(l);
        if (i >= 3) tp_log_value(l, "late", i);
    }
    CHECK(tp_log_close(l));
    check_csv("step,loss,late\n1,1\n2,2\n3,3,3\n4,4,4\n");

    CASE("append");
    o.append = true, o.from = 4;
    l = tp_log_open(o);
    tp_log_add(l, "loss", scalar(5)), tp_log_value(l, "other", 7), tp_log_step(l);
    tp_log_add(l, "loss", scalar(6)), tp_log_step(l);
    tp_log_value(l, "late", 6);
    CHECK(tp_log_close(l));
    check_csv("step,loss,late,other\n1,1\n2,2\n3,3,3\n4,4,4,7\n5,5,,\n6,6,6,\n");

    CASE("append to rows behind the checkpoint, the last cut short: they are written again");
    o.from = 2;
    write_whole(in_folder("run/log.csv"), "step,loss\n1,1\n2,2\n3,3\n4,", 25);
    l = tp_log_open(o);
    tp_log_add(l, "loss", scalar(33)), tp_log_step(l);
    CHECK(tp_log_close(l));
    check_csv("step,loss\n1,1\n2,2\n3,33\n");

    CASE("append to nothing");
    remove(in_folder("run/log.csv"));
    o.from = 0;
    l = tp_log_open(o);
    tp_log_add(l, "loss", scalar(NAN)), tp_log_add(l, "norm", scalar(INFINITY)), tp_log_step(l);
    CHECK(tp_log_close(l));
    check_csv("step,loss,norm\n1,,inf\n");

    CASE("without a step");
    CHECK(tp_log_close(tp_log_open(into("run"))));
    check_csv("");
}

Test(log, many_steps_and_a_curve, IN_FOLDER)
{
    tp_log_opts o = into("deep/er/run");
    tp_logger *l;
    int w, h, c;
    size_t n;

    o.plot = true, o.total = 10000;
    l = tp_log_open(o);
    CASE("10000 steps");
    for (int i = 1; i <= 10000; i++) {
        TP_SCOPE;
        tp_log_add(l, "loss", scalar(1.0 / i));
        tp_log_step(l);
        if (i % 1000 == 0) tp_log_value(l, "accuracy", i / 1e4);
    }
    CHECK(tp_log_close(l));
    char *text = read_whole(in_folder("deep/er/run/log.csv"), &n);
    CHECK(text && lines_of(text) == 10001 && strstr(text, "\n10000,"));
    free(text);
    unsigned char *p = stbi_load(in_folder("deep/er/run/curve.png"), &w, &h, &c, 3);
    CHECK(p && w == 960 && h == 540);
    stbi_image_free(p);
}

/* What a killed program leaves: nothing is closed, so only what was flushed is there. */
Test(log, a_resumed_curve_is_the_whole_one, IN_FOLDER)
{
    tp_log_opts o = into("whole");
    size_t n, m;

    o.plot = true;
    for (int part = 0; part < 3; part++) { /* all steps, the first half, the second half */
        o.dir = in_folder(part ? "parts" : "whole"), o.from = part == 2 ? 20 : 0, o.append = part == 2;
        tp_logger *l = tp_log_open(o);
        for (int i = part == 2 ? 20 : 0; i < (part == 1 ? 20 : 40); i++) {
            TP_SCOPE;
            tp_log_add(l, "loss", scalar(1 + 0.25 * (i % 7)));
            tp_log_step(l);
        }
        CHECK(tp_log_close(l));
    }
    CASE("curves");
    char *a = read_whole(in_folder("whole/curve.png"), &n), *b = read_whole(in_folder("parts/curve.png"), &m);
    CHECK(a && b && n == m && !memcmp(a, b, n));
    free(a), free(b);
}

Test(log, rates_are_of_what_was_done, IN_FOLDER)
{
    tp_logger *l = tp_log_open((tp_log_opts){ .items = 64, .from = 1000, .total = 1002 });

    CASE("two steps, the second short");
    tp_log_step(l), tp_log_items(l, 16), tp_log_step(l);
    usleep(100000);
    CHECK_NEAR(tp_log_rate(l) * tp_log_seconds(l), 80, 1);
    CHECK(tp_log_close(l) && tp_log_seconds(NULL) == 0 && tp_log_rate(NULL) == 0);
}

Test(log, refuses, IN_FOLDER)
{
    TP_SCOPE;
    tp_log_opts o = into("file");
    tp_logger *l;
    char key[65] = "0123456789012345678901234567890123456789012345678901234567890123";

    write_whole(in_folder("file"), "x", 1);
    CASE("a file as folder");
    CHECK_REFUSED(tp_log_open(o), TP_ERR_IO, "file");
    o = into("file/below");
    CHECK_REFUSED(tp_log_open(o), TP_ERR_IO, "can't be written to: Not a directory");
    o.dir = "/proc/taper";
    CHECK_REFUSED(tp_log_open(o), TP_ERR_IO, "/proc/taper can't be written to");
    o.dir = "";
    CHECK_REFUSED(tp_log_open(o), TP_ERR_IO, "can't be written to");
    CASE("keys");
    l = tp_log_open(into("run"));
    tp_log_value(l, "a,b", 1);
    CHECK_REFUSED(false, TP_ERR_ARG, "\"a,b\" can't be logged");
    tp_log_value(l, key, 1);
    CHECK_REFUSED(false, TP_ERR_ARG, "can't be logged");
    for (int i = 0; i < 65; i++)
        snprintf(key, sizeof key, "k%d", i), tp_log_value(l, key, i);
    CHECK_REFUSED(false, TP_ERR_ARG, "\"k64\" can't be logged: at most 64 keys");
    tp_log_add(l, "k1", tp_zeros(TP_SHAPE(2), TP_F32, tp_device_open("cpu")));
    CHECK_REFUSED(false, TP_ERR_SHAPE, "tp_log_add: \"k1\" is f32 (2): one element is wanted");
    tp_log_add(l, "k1", NULL);
    CHECK_REFUSED(false, TP_ERR_ARG, "tp_log_add: \"k1\": missing tensor");
    tp_log_add(l, NULL, scalar(1));
    CHECK_REFUSED(false, TP_ERR_ARG, "tp_log_add: missing key");
    tp_log_value(l, "", 1);
    CHECK_REFUSED(false, TP_ERR_ARG, "tp_log_value: missing key");
    tp_log_value(l, "step", 1);
    CHECK_REFUSED(false, TP_ERR_ARG, "\"step\" can't be logged");
    tp_log_step(l), tp_log_step(l);
    CHECK(tp_ok());
    CHECK(tp_log_close(l));
    CASE("NULL");
    tp_log_add(NULL, "a", NULL), tp_log_value(NULL, "a", 1), tp_log_step(NULL);
    CHECK(tp_log_close(NULL) && tp_log_rate(NULL) == 0);
    CASE("a full disk");
    l = tp_log_open(into("run"));
    for (int i = 0; i < 3; i++)
        tp_log_value(l, "v", i), tp_log_step(l);
    remove(in_folder("run/log.csv"));
    CHECK(tp_log_close(l)); /* taken away meanwhile: nothing to complain of */
    mkdir(in_folder("full"), 0700);
    cr_assert(symlink("/dev/full", in_folder("full/log.csv")) == 0);
    l = tp_log_open(into("full"));
    tp_log_value(l, "v", 1), tp_log_step(l), tp_log_step(l);
    CHECK_REFUSED(tp_log_close(l), TP_ERR_IO, "log.csv is not complete: No space left");
}

Test(log, bar_when_stderr_is_no_terminal, IN_FOLDER)
{
    tp_log_opts o = { .total = 4, .items = 64, .unit = "images", .bar = true };
    tp_logger *l;

    for (int endless = 0; endless < 2; endless++) {
        TP_SCOPE;
        CASE("total %d", endless ? 0 : 4);
        o.total = endless ? 0 : 4;
        catch_begin(STDERR_FILENO);
        l = tp_log_open(o);
        for (int i = 0; i < 4; i++)
            tp_log_add(l, "loss", scalar(0.5)), tp_log_step(l);
        bool closed = tp_log_close(l);
        char *text = catch_end();
        CHECK(closed && text && lines_of(text) <= 2 && !strchr(text, '\r') && !strchr(text, '\033'));
        CHECK(strstr(text, "loss 0.5") && strstr(text, "images/s") && strstr(text, "in all"));
        CHECK(endless || strstr(text, "4/4 [==================> ]") || strstr(text, "4/4 [===================>]"));
        free(text);
    }
}

/* ---- pictures ---- */

static unsigned char *decode(const char *path, int *w, int *h)
{
    int c;
    unsigned char *p = stbi_load(path, w, h, &c, 3);

    cr_expect(p, "%s: %s is no picture", check_name, path);
    return p;
}

static bool pen_in_column(const unsigned char *p, int w, int h, int x)
{
    bool any = false;

    for (int y = 80; y < h - 60; y++) { /* the first pen is blue */
        const unsigned char *q = p + 3 * (y * w + x);

        any = any || q[2] > q[0] + 60;
    }
    return any;
}

Test(pictures, curves_of_all_kinds, IN_FOLDER)
{
    static const double x[] = { 0, 1, 2, 3, 4 };
    static const struct {
        const char *name;
        double y[5];
        int n;
    } rows[] = {
        { "line", { 1, 2, 3, 2, 1 }, 5 },          { "empty", { 0 }, 0 },
        { "one point", { 3 }, 1 },                 { "constant", { 7, 7, 7, 7, 7 }, 5 },
        { "zero", { 0, 0, 0, 0, 0 }, 5 },          { "NaN", { NAN, NAN, NAN, NAN, NAN }, 5 },
        { "infinite", { 1, INFINITY, -INFINITY, 2, 3 }, 5 }, { "huge", { -DBL_MAX, DBL_MAX, 0, 1, 2 }, 5 },
        { "tiny", { DBL_TRUE_MIN, 0, DBL_MIN, 0, 0 }, 5 },
        { "almost constant", { 1, 1 + DBL_EPSILON, 1, 1, 1 }, 5 },
        { "far from zero", { 1e17, 1e17 + 16, 1e17, 1e17, 1e17 }, 5 },
    };

    for (int i = 0; i < TP_LEN(rows); i++)
        for (int swapped = 0; swapped < 2; swapped++) {
            tp_series s = { rows[i].name, swapped ? rows[i].y : x, swapped ? x : rows[i].y, rows[i].n };
            int w, h;

            CASE("%s%s", rows[i].name, swapped ? ", as x" : "");
            CHECK(tp_plot_lines(in_folder("p.png"), &s, 1, (tp_plot_opts){ .title = "t", .width = 400, .height = 300 }));
            unsigned char *p = decode(in_folder("p.png"), &w, &h);
            CHECK(p && w == 400 && h == 300);
            stbi_image_free(p);
        }
}

Test(pictures, a_gap_is_a_gap, IN_FOLDER)
{
    double x[] = { 0, 1, 2, 3, 4 }, y[] = { 1, 1.5, NAN, 1.5, 1 };
    tp_series s = { NULL, x, y, 5 };
    int w, h;

    CASE("gap");
    CHECK(tp_plot_lines(in_folder("p.png"), &s, 1, (tp_plot_opts){ 0 }));
    unsigned char *p = decode(in_folder("p.png"), &w, &h);
    CHECK(p && w == 960 && h == 540 && pen_in_column(p, w, h, 136 + 784 / 8) && !pen_in_column(p, w, h, 136 + 784 / 2 - 3));
    stbi_image_free(p);
}

/* Is any of a picture's edge, that many pixels wide, inked? */
static bool edge_inked(const unsigned char *p, int w, int h, int wide)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            if ((x < wide || x >= w - wide || y < wide || y >= h - wide) && p[3 * (y * w + x)] < 200) return true;
    return false;
}

Test(pictures, huge_numbers_and_long_words, IN_FOLDER)
{
    double x[] = { 0, 1, 2 }, y[] = { 1e308, -1e308, 0 }, top[] = { DBL_MAX, DBL_MAX, DBL_MAX };
    char word[400];
    tp_series s[] = { { NULL, x, y, 3 }, { NULL, x, y, 3 }, { NULL, x, y, 3 } };
    int w, h;

    memset(word, 'W', sizeof word - 1), word[sizeof word - 1] = 0;
    CASE("a range beyond what a double can hold");
    CHECK(tp_plot_lines(in_folder("p.png"), s, 1, (tp_plot_opts){ 0 }));
    unsigned char *p = decode(in_folder("p.png"), &w, &h);
    CHECK(pen_in_column(p, w, h, 136 + 784 / 4) && pen_in_column(p, w, h, 136 + 784 * 3 / 4));
    stbi_image_free(p);
    s[0].y = top;
    CHECK(tp_plot_lines(in_folder("p.png"), s, 1, (tp_plot_opts){ 0 }));
    p = decode(in_folder("p.png"), &w, &h);
    CHECK(pen_in_column(p, w, h, 136 + 784 / 4));
    stbi_image_free(p);
    for (int small = 0; small < 2; small++) {
        CASE("long words, %s", small ? "small" : "large");
        for (int k = 0; k < 3; k++)
            s[k] = (tp_series){ word, x, x, 3 };
        CHECK(tp_plot_lines(in_folder("p.png"), s, 3, (tp_plot_opts){ .title = word, .x_label = word, .y_label = word,
                            .width = small ? 200 : 0, .height = small ? 150 : 0 }));
        p = decode(in_folder("p.png"), &w, &h);
        CHECK(!edge_inked(p, w, h, 3));
        stbi_image_free(p);
    }
    CASE("no numbers");
    s[0] = (tp_series){ "s", x, NULL, 3 };
    CHECK_REFUSED(tp_plot_lines(in_folder("q"), s, 1, (tp_plot_opts){ 0 }), TP_ERR_ARG, "curve 0 has 3 points, and no numbers");
    s[0] = (tp_series){ "s", x, y, -3 };
    CHECK_REFUSED(tp_plot_lines(in_folder("q"), s, 1, (tp_plot_opts){ 0 }), TP_ERR_ARG, "curve 0 has -3 points");
}

/* What is between 0 and 1 beside a loss gets a panel of its own, and one value is seen. */
Test(pictures, a_log_has_panels_by_scale, IN_FOLDER)
{
    tp_log_opts o = into("run");
    int w, h;

    CASE("panels");
    o.plot = true;
    tp_logger *l = tp_log_open(o);
    for (int i = 1; i <= 500; i++)
        tp_log_value(l, "loss", 20.0 / i), tp_log_value(l, "other_loss", 22.0 / i), tp_log_step(l);
    tp_log_value(l, "accuracy", 0.93);
    CHECK(tp_log_close(l));
    unsigned char *p = decode(in_folder("run/curve.png"), &w, &h);
    CHECK(w == 960 && h == 650 && !edge_inked(p, w, h, 3));
    stbi_image_free(p);
}

Test(pictures, refuses, IN_FOLDER)
{
    TP_SCOPE;
    tp_series s = { "s", (double[]){ 0 }, (double[]){ 0 }, 1 };
    tp_device *cpu = tp_device_open("cpu");
    tp_tensor *t = tp_zeros(TP_SHAPE(2, 1, 4, 4), TP_F32, cpu);
    static const tp_grid_opts bad[] = { { .columns = -1 }, { .scale = -3 }, { .scale = 1 << 30 }, { .columns = 1 << 30 } };

    mkdir(in_folder("dir"), 0700);
    CASE("curves");
    CHECK_REFUSED(tp_plot_lines(NULL, &s, 1, (tp_plot_opts){ 0 }), TP_ERR_ARG, "missing path");
    CHECK_REFUSED(tp_plot_lines(in_folder("p"), &s, 0, (tp_plot_opts){ 0 }), TP_ERR_ARG, "or curves");
    CHECK_REFUSED(tp_plot_lines(in_folder("p"), &s, 1, (tp_plot_opts){ .width = 1 << 20 }), TP_ERR_ARG, "1048576 by 540");
    CHECK_REFUSED(tp_plot_lines(in_folder("p"), &s, 1, (tp_plot_opts){ .height = -4 }), TP_ERR_ARG, "by -4");
    CHECK_REFUSED(tp_plot_lines(in_folder("no/p"), &s, 1, (tp_plot_opts){ 0 }), TP_ERR_IO, "No such file");
    CHECK_REFUSED(tp_plot_lines(in_folder("dir"), &s, 1, (tp_plot_opts){ 0 }), TP_ERR_IO, "directory");
    CHECK(!tp_file_exists(in_folder("dir.part")));
    CASE("grids");
    CHECK_REFUSED(tp_image_grid(in_folder("g"), NULL, (tp_grid_opts){ 0 }), TP_ERR_ARG, "missing");
    CHECK_REFUSED(tp_image_grid(in_folder("g"), tp_flatten(t, 1), (tp_grid_opts){ 0 }), TP_ERR_SHAPE, "is wanted");
    CHECK_REFUSED(tp_image_grid(in_folder("g"), tp_reshape(t, TP_SHAPE(1, 2, 4, 4)), (tp_grid_opts){ 0 }), TP_ERR_SHAPE,
                  "1 or 3");
    CHECK_REFUSED(tp_image_grid(in_folder("no/g"), t, (tp_grid_opts){ 0 }), TP_ERR_IO, "can't be written");
    for (int i = 0; i < TP_LEN(bad); i++) {
        CASE("%d columns, scale %d", bad[i].columns, bad[i].scale);
        CHECK_REFUSED(tp_image_grid(in_folder("g"), t, bad[i]), TP_ERR_ARG, "");
    }
}

Test(pictures, grids, IN_FOLDER)
{
    static const char *const label[] = { "plain", NULL, "", "na\xc3\xafve \x01\x7f\xff", "Gr\xc3\xb6\xc3\x9f" "e",
                                         "a long label, which makes the cells as wide as it is" };
    static const bool mark[] = { false, true, true, true, false, true };
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    int w, h;

    for (int colour = 0; colour < 2; colour++) {
        tp_tensor *t = tp_rand(TP_SHAPE(6, colour ? 3 : 1, 5, 4), cpu);

        CASE("%d channels", colour ? 3 : 1);
        CHECK(tp_image_grid(in_folder("g.png"), t, (tp_grid_opts){ .columns = 3, .scale = 2 }));
        unsigned char *p = decode(in_folder("g.png"), &w, &h);
        CHECK(p && w == 3 * (4 * 2 + 6) + 6 && h == 2 * (5 * 2 + 6) + 6);
        for (int k = 0; p && k < 3; k++) /* picture 4, its pixel (2, 1) */
            CHECK_NEAR(p[3 * ((6 + 16 + 4) * w + 6 + 14 + 2) + k],
                       floor(255 * check_at(t, ((4 * (colour ? 3 : 1) + (colour ? k : 0)) * 5 + 2) * 4 + 1) + 0.5), 0);
        stbi_image_free(p);
        CASE("%d channels, labels", colour ? 3 : 1);
        CHECK(tp_image_grid(in_folder("l.png"), tp_channels_last(t), (tp_grid_opts){ .label = label, .mark = mark }));
        stbi_image_free(decode(in_folder("l.png"), &w, &h));
    }
    CASE("strange numbers, other dtypes");
    CHECK(tp_image_grid(in_folder("n.png"), tp_full(TP_SHAPE(1, 1, 2, 2), NAN, TP_F64, cpu), (tp_grid_opts){ 0 }));
    CHECK(tp_image_grid(in_folder("n.png"), tp_full(TP_SHAPE(1, 1, 2, 2), 1e30, TP_BF16, cpu), (tp_grid_opts){ 0 }));
}

/* ---- flags ---- */

Test(flags, wrong_ones_give_one_line_and_2, IN_FOLDER)
{
    static const char *const wrong[][4] = {
        { "--epochs", "0" },   { "--epochs", "-1" },    { "--epochs", "x" },       { "--epochs", "1x" },
        { "--epochs", "" },    { "--epochs", "9999999999999999999999" },           { "--epochs" },
        { "--steps", "-1" },   { "--batch", "0" },      { "--batch", "16777217" }, { "--lr", "0" },
        { "--lr", "-1" },      { "--lr", "nan" },       { "--lr", "inf" },         { "--lr", "1e-3x" },
        { "--lr", "" },        { "--seed", "-1" },      { "--threads", "257" },    { "--threads", "-1" },
        { "--amp", "f8" },    { "--amp", "" },         { "--plot=1" },            { "--nonsense" },
        { "--nonsense=3" },    { "-x" },                { "--epochs", "2", "-xyz" }, { "-" }, { "word" },
        { "--epochs", "1", "word" }, { "--", "word" },  { "--d" },                 { "--device" }, { "--resume" },
    };

    for (int i = 0; i < TP_LEN(wrong); i++) {
        char *argv[6] = { (char *)"/usr/bin/prog" };
        tp_train_args a = { 0 };
        int argc = 1;

        while (argc < 5 && wrong[i][argc - 1])
            argv[argc] = (char *)wrong[i][argc - 1], argc++;
        CASE("%s %s %s", wrong[i][0], wrong[i][1] ? wrong[i][1] : "", wrong[i][2] ? wrong[i][2] : "");
        catch_begin(STDERR_FILENO);
        int status = tp_train_parse(&a, argc, argv);
        char *text = catch_end();
        const char *named = wrong[i][2] ? wrong[i][2] : !strcmp(wrong[i][0], "--") ? "word" : wrong[i][0];
        char head[8];
        snprintf(head, sizeof head, named[0] == '-' && named[1] != '-' ? "%.2s" : "%.7s", named);
        cr_expect(status == 2 && lines_of(text) == 1 && !strncmp(text, "prog: ", 6) && strstr(text, head),
                  "%s: status %d, \"%s\"", check_name, status, text);
        free(text);
    }
}

Test(flags, right_ones, IN_FOLDER)
{
    char *help[] = { (char *)"prog", (char *)"--epochs", (char *)"3", (char *)"--help", NULL };
    char *all[] = { (char *)"prog", (char *)"--device", (char *)"cpu", (char *)"--epochs=7", (char *)"--steps", (char *)"9",
                    (char *)"--batch", (char *)"32", (char *)"--lr", (char *)"0.5", (char *)"--seed", (char *)"42",
                    (char *)"--threads", (char *)"1", (char *)"--data", (char *)"d", (char *)"--out", (char *)"o",
                    (char *)"--amp", (char *)"bf16", (char *)"--plot", NULL };
    tp_train_args a = { .about = "does something", .lr = 2e-3 };

    CASE("--help");
    catch_begin(STDOUT_FILENO);
    int status = tp_train_parse(&a, 4, help);
    char *text = catch_end();
    CHECK(status == 0 && strstr(text, "does something") && strstr(text, "--resume FILE"));
    for (const char *const *flag = (const char *const[]){ "device", "epochs", "steps", "batch", "lr", "seed", "threads",
                                                          "data", "out", "resume", "amp", "plot", "help", NULL };
         *flag; flag++)
        cr_expect(strstr(text, *flag), "--help says nothing of --%s", *flag);
    free(text);
    CASE("defaults");
    a = (tp_train_args){ 0 };
    CHECK(tp_train_parse(&a, 1, all) == -1 && a.epochs == 1 && a.batch == 64 && !strcmp(a.device, "auto") &&
          !strcmp(a.out, "out") && !a.resume && !a.data && !strcmp(a.amp, "off") && a.steps == 0 && !a.plot);
    CASE("all");
    a = (tp_train_args){ 0 };
    CHECK(tp_train_parse(&a, TP_LEN(all) - 1, all) == -1);
    CHECK(!strcmp(a.device, "cpu") && a.epochs == 7 && a.steps == 9 && a.batch == 32 && a.lr == 0.5 && a.seed == 42 &&
          a.threads == 1 && !strcmp(a.data, "d") && !strcmp(a.out, "o") &&
          !strcmp(a.amp, "bf16") && a.plot);
    CHECK(tp_threads() == 1 && tp_rng_save().seed == 42);
    CASE("flags of one's own");
    {
        const char *prompt = "once";
        int64_t sample = 0;
        double heat = 1;
        bool greedy = false;
        const tp_train_flag own[] = { { "prompt", "how it begins", TP_FLAG_TEXT, &prompt, 0, 0 },
                                      { "sample", "symbols to write", TP_FLAG_WHOLE, &sample, 0, 100 },
                                      { "temperature", "of the draw", TP_FLAG_REAL, &heat, 0, 0 },
                                      { "greedy", "the likeliest", TP_FLAG_YES, &greedy, 0, 0 } };
        char *mine[] = { (char *)"prog", (char *)"--prompt", (char *)"two", (char *)"--greedy", (char *)"--sample=7",
                         (char *)"--temperature", (char *)"0.5", (char *)"--batch", (char *)"3", NULL };

        a = (tp_train_args){ .flags = own, .n_flags = TP_LEN(own) };
        CHECK(tp_train_parse(&a, TP_LEN(mine) - 1, mine) == -1 && !strcmp(prompt, "two") && greedy && sample == 7 &&
              heat == 0.5 && a.batch == 3);
        for (int i = 0; i < 4; i++) {
            static const char *const flag[][2] = { { "--sample", "101" }, { "--sample", "1.5" }, { "--temperature", "nan" }, { "--sampel", "1" } };
            static const char *const says[] = { "a whole number from 0 to 100 is wanted", "whole number", "a number is wanted", "isn't a flag here" };

            catch_begin(STDERR_FILENO);
            CHECK(tp_train_parse(&a, 3, (char *[]){ (char *)"prog", (char *)flag[i][0], (char *)flag[i][1], NULL }) == 2);
            text = catch_end();
            cr_expect(strstr(text, says[i]), "%s %s: %s", flag[i][0], flag[i][1], text);
            free(text);
        }
        catch_begin(STDOUT_FILENO);
        CHECK(tp_train_parse(&a, 2, (char *[]){ (char *)"prog", (char *)"--help", NULL }) == 0);
        text = catch_end();
        CHECK(strstr(text, "--prompt TEXT   how it begins (two)") && strstr(text, "--sample N      symbols to write (7)"));
        free(text);
        a.n_flags = 33;
        catch_begin(STDERR_FILENO);
        CHECK(tp_train_parse(&a, 1, mine) == 2);
        free(catch_end());
        a = (tp_train_args){ 0 };
    }
    CASE("-h");
    catch_begin(STDOUT_FILENO);
    status = tp_train_parse(&a, 2, (char *[]){ (char *)"prog", (char *)"-h", NULL });
    text = catch_end();
    CHECK(status == 0 && strstr(text, "--resume FILE"));
    free(text);
    CASE("nothing");
    catch_begin(STDERR_FILENO);
    CHECK(tp_train_parse(NULL, 0, NULL) == 2 && tp_train_parse(&a, 0, NULL) == 2 && tp_train_parse(&a, 2, (char *[]){ (char *)"p", NULL, NULL }) == 2);
    text = catch_end();
    CHECK(lines_of(text) == 3 && strstr(text, "missing arguments"));
    free(text);
    CASE("texts");
    for (int i = 0; i < 3; i++) {
        static const char *const flag[][2] = { { "--batch", "99999999" }, { "--steps", NULL }, { "--lr", "1e10" } };
        static const char *const says[] = { "a number from 1 to 16777216 is wanted", "--steps lacks its value", "below 1e9 is wanted" };
        catch_begin(STDERR_FILENO);
        CHECK(tp_train_parse(&a, flag[i][1] ? 3 : 2, (char *[]){ (char *)"prog", (char *)flag[i][0], (char *)flag[i][1], NULL }) == 2);
        text = catch_end();
        cr_expect(strstr(text, says[i]), "%s: %s", flag[i][0], text);
        free(text);
    }
    CASE("two flags of one name");
    for (int i = 0; i < 2; i++) {
        int64_t v = 1;
        const tp_train_flag own[] = { { i ? "steps" : "width", "x", TP_FLAG_WHOLE, &v, 0, 0 }, { "width", "y", TP_FLAG_WHOLE, &v, 0, 0 } };

        a = (tp_train_args){ .flags = own, .n_flags = TP_LEN(own) };
        catch_begin(STDERR_FILENO);
        CHECK(tp_train_parse(&a, 1, all) == 2);
        text = catch_end();
        CHECK(strstr(text, "two flags of one name"));
        free(text);
    }
    CASE("a folder that is none");
    CHECK_REFUSED(tp_train_folder("/dev/full"), TP_ERR_IO, "/dev/full can't be written to: Not a directory");
    CASE("Ctrl-C");
    tp_train_catch_interrupt();
    CHECK(!tp_train_interrupted());
    raise(SIGINT);
    CHECK(tp_train_interrupted() && tp_train_status() == 130);
    raise(SIGPIPE);
    tp_fail(TP_ERR_USER, "mine");
    CHECK(tp_train_status() == 1);
    tp_clear_error();
}

/* ---- accuracy ---- */

static double accuracy_with(tp_module *m, tp_list fields)
{
    tp_loader *l = tp_data_loader(tp_data_tensors(fields), (tp_loader_opts){ .batch = 2 });
    double share = tp_train_accuracy(m, l);

    tp_data_free(l);
    return share;
}

Test(metric, accuracy_refuses_labels_that_are_none)
{
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_tensor *x = tp_from((float[]){ 1, 0, 0, 1, 1, 0 }, TP_SHAPE(3, 2), TP_F32, cpu);
    tp_module *m = tp_nn_relu();

    CASE("labels");
    CHECK_NEAR(accuracy_with(m, TP_LIST(x, tp_from((int64_t[]){ 0, 1, 1 }, TP_SHAPE(3), TP_I64, cpu))), 2.0 / 3, 1e-15);
    CHECK_NEAR(accuracy_with(m, TP_LIST(x, tp_from((unsigned char[]){ 0, 1, 0 }, TP_SHAPE(3), TP_U8, cpu))), 1, 0);
    CHECK_REFUSED(!isnan(accuracy_with(m, TP_LIST(x, tp_from((int64_t[]){ 0, 2, 1 }, TP_SHAPE(3), TP_I64, cpu)))), TP_ERR_ARG,
                  "tp_train_accuracy: label 2 is none of 2 classes");
    CHECK_REFUSED(!isnan(accuracy_with(m, TP_LIST(x, tp_from((int64_t[]){ 0, 1, -1 }, TP_SHAPE(3), TP_I64, cpu)))), TP_ERR_ARG,
                  "label -1 is none of 2 classes");
    CHECK_REFUSED(!isnan(accuracy_with(m, TP_LIST(x))), TP_ERR_ARG, "the loader gives no labels");
    CHECK_REFUSED(!isnan(accuracy_with(m, TP_LIST(x, x))), TP_ERR_SHAPE, "scores are f32 (2, 2) and labels f32 (2, 2)");
    tp_nn_free(m);
}
