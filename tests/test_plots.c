/*
 * test_plots.c - dots, histograms, axes of logarithms, heat maps: that what is drawn stands where the
 * numbers say, that nothing strange is too strange, and what is refused.
 */
#include "tests/files.h"

#include "train/axes.h"
#include "train/train.h"

#include <float.h>

#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb_image.h>
#pragma GCC diagnostic pop

#define IN_FOLDER .init = make_test_folder, .fini = remove_test_folder, .timeout = 60

typedef struct picture {
    unsigned char *p;
    int w, h;
} picture;

static picture look(const char *name)
{
    picture k;
    int channels;

    k.p = stbi_load(in_folder(name), &k.w, &k.h, &channels, 3);
    cr_assert(k.p, "%s: %s is no picture", check_name, name);
    return k;
}

static bool is(picture k, int x, int y, tp_color c)
{
    const unsigned char *p = k.p + 3 * (y * k.w + x);

    return x >= 0 && y >= 0 && x < k.w && y < k.h && p[0] == c.r && p[1] == c.g && p[2] == c.b;
}

/* Pixels of a colour in columns from x0 on and before x1. */
static int pixels(picture k, tp_color c, int x0, int x1)
{
    int n = 0;

    for (int y = 0; y < k.h; y++)
        for (int x = x0; x < x1 && x < k.w; x++)
            n += is(k, x, y, c);
    return n;
}

/* No letter is cut off: the picture's border is paper. */
static void check_border(picture k)
{
    int bad = 0;

    for (int x = 0; x < k.w; x++)
        bad += !is(k, x, 0, tp__paper) + !is(k, x, k.h - 1, tp__paper);
    for (int y = 0; y < k.h; y++)
        bad += !is(k, 0, y, tp__paper) + !is(k, k.w - 1, y, tp__paper);
    cr_expect(bad == 0, "%s: %d pixels of the border are drawn on", check_name, bad);
}

Test(plots, axes_of_logarithms)
{
    static const double x[] = { 1, 10, 100, 1000, 0, -5 }, y[] = { 1e-3, 1e-2, 1e-1, 1, 1, 1 };
    tp_series s = { "s", x, y, 6 };
    tp_frame f = { .left = 0, .right = 300, .top = 0, .bottom = 600, .log_x = true, .log_y = true };

    CASE("a power of ten is a step of one length, and what has no logarithm isn't there");
    tp__axes_range(&s, 1, &f);
    for (int i = 0; i < 4; i++) {
        CHECK_NEAR(tp__axes_x(&f, x[i]), 100 * i, 1e-10);
        CHECK_NEAR(tp__axes_y(&f, y[i]), 600 - 200 * i, 1e-10);
    }
    CHECK(!tp__axes_drawable(&f, 0, 1) && !tp__axes_drawable(&f, 1, -5) && tp__axes_drawable(&f, 1, DBL_MIN));
}

Test(plots, lines_on_logarithms, IN_FOLDER)
{
    static const double x[] = { 1, 10, 100, 1e3, 1e4, 1e5 }, y[] = { 3, 0.5, 0.02, 1e-3, 4e-5, 2e-6 }, near[] = { 3, 3.1, 3.5, 4, 4.2, 4.5 },
                        none[] = { 0, -1, NAN, INFINITY, -INFINITY, 0 };
    const double *const all[] = { y, near, none };

    for (int i = 0; i < 3; i++) {
        tp_series s[] = { { "loss", x, all[i], 6 }, { "other", x, near, i ? 0 : 6 } };

        CASE("curve %d", i);
        CHECK(tp_plot_lines(in_folder("l.png"), s, 2, (tp_plot_opts){ .title = "Loss", .x_label = "step", .log_x = true, .log_y = true }));
        picture k = look("l.png");
        CHECK(k.w == 960 && k.h == 540 && (pixels(k, tp__pen[0], 160, k.w) > 100 || i == 2));
        check_border(k);
        stbi_image_free(k.p);
    }
}

Test(plots, scatter, IN_FOLDER)
{
    static const double t[] = { 1, 2, 3, 4, NAN }, p[] = { 1, 2, 3, 4, 1 }, q[] = { 4, 3.5, 1, 0, 1 };
    static const double huge[] = { -DBL_MAX, DBL_MAX, 0, INFINITY, 1 };
    tp_series s[] = { { "train", t, p, 5 }, { "test", t, q, 5 } }, one = { NULL, huge, huge, 5 };

    CASE("predicted against true");
    CHECK(tp_plot_scatter(in_folder("s.png"), s, 2, (tp_plot_opts){ .title = "Prices", .x_label = "true", .y_label = "predicted", .diagonal = true }));
    picture k = look("s.png");
    CHECK(pixels(k, tp__pen[0], 160, k.w) >= 4 * 12 && pixels(k, tp__pen[1], 160, k.w) >= 4 * 12);
    CHECK(pixels(k, tp__ink, 300, 700) > 100); /* the diagonal */
    check_border(k), stbi_image_free(k.p);
    CASE("strange numbers");
    CHECK(tp_plot_scatter(in_folder("s.png"), &one, 1, (tp_plot_opts){ .width = 200, .height = 150 }));
    stbi_image_free(look("s.png").p);
    CHECK(tp_plot_scatter(in_folder("s.png"), &(tp_series){ "none", NULL, NULL, 0 }, 1, (tp_plot_opts){ .diagonal = true, .log_x = true, .log_y = true }));
    stbi_image_free(look("s.png").p);
}

/* The height of bar b of `bins`, in pixels. */
static int bar(picture k, int b, int bins)
{
    int left = 136, right = k.w - 40, x = left + (int)((b + 0.5) * (right - left) / bins), n = 0;

    for (int y = 80; y < k.h; y++)
        n += is(k, x, y, tp__pen[0]);
    return n;
}

Test(plots, histogram, IN_FOLDER)
{
    static const double v[] = { 0, 0.1, 1.5, 2.5, 2.6, 2.7, 2.9, 4, NAN, INFINITY }, flat[] = { 7, 7, 7 };
    tp_series s[] = { { "weights", NULL, v, 10 }, { "flat", NULL, flat, 3 } };

    CASE("counts 2, 1, 4, 1, as numpy.histogram's with 4 bins");
    CHECK(tp_plot_histogram(in_folder("h.png"), s, 1, 4, (tp_plot_opts){ .title = "Weights", .y_label = "count" }));
    picture k = look("h.png");
    int unit = bar(k, 1, 4);
    CHECK(unit > 50 && abs(bar(k, 0, 4) - 2 * unit) <= 2 && abs(bar(k, 2, 4) - 4 * unit) <= 4 && abs(bar(k, 3, 4) - unit) <= 1);
    check_border(k), stbi_image_free(k.p);
    for (int i = 0; i < 16; i++) {
        int n = i & 1 ? 2 : 1;
        tp_plot_opts o = { .log_y = i & 2, .width = i & 4 ? 200 : 0, .height = i & 4 ? 150 : 0 };

        CASE("variant %d", i);
        CHECK(tp_plot_histogram(in_folder("h.png"), i & 8 ? &s[1] : s, i & 8 ? 1 : n, i & 8 ? 1 : 0, o));
        k = look("h.png");
        CHECK(pixels(k, tp__pen[0], 72, k.w) > 10);
        check_border(k), stbi_image_free(k.p);
    }
    CASE("nothing");
    CHECK(tp_plot_histogram(in_folder("h.png"), &(tp_series){ 0 }, 1, 0, (tp_plot_opts){ 0 }));
}

Test(plots, heat_maps, IN_FOLDER)
{
    static const double v[] = { 0, 1, 2, NAN, 4, INFINITY, -INFINITY, 1e-7, 123456789 }, ends[] = { -DBL_MAX, DBL_MAX }, same[] = { 3 };
    static const char *const name[] = { "short", "a name that is far too long for any cell in this picture", NULL };
    static double many[512 * 512];
    picture k;

    CASE("two cells, by their colours");
    CHECK(tp_plot_heat(in_folder("m.png"), ends, 1, 2, (tp_heat_opts){ 0 }));
    k = look("m.png");
    CHECK(pixels(k, (tp_color){ 247, 251, 255 }, 0, k.w) > 800 && pixels(k, (tp_color){ 8, 64, 129 }, 0, k.w) > 800);
    check_border(k), stbi_image_free(k.p);
    CASE("strange numbers and names");
    CHECK(tp_plot_heat(in_folder("m.png"), v, 3, 3, (tp_heat_opts){ "A title that is wider than the picture would be", "x", "y", name, name }));
    k = look("m.png");
    CHECK(pixels(k, (tp_color){ 190, 190, 190 }, 0, k.w) > 800);
    check_border(k), stbi_image_free(k.p);
    CHECK(tp_plot_heat(in_folder("m.png"), same, 1, 1, (tp_heat_opts){ 0 }));
    CASE("the largest");
    for (int i = 0; i < TP_LEN(many); i++)
        many[i] = sin(i * 1e-3);
    CHECK(tp_plot_heat(in_folder("m.png"), many, 512, 512, (tp_heat_opts){ .title = "many" }));
    check_border(k = look("m.png")), stbi_image_free(k.p);
}

Test(plots, confusion, IN_FOLDER)
{
    static const int64_t y[] = { 0, 0, 0, 1, 1, 2 }, x[] = { 0, 0, 1, 1, 1, 0 };
    static const char *const name[] = { "T-shirt/top", "Trouser", "Pullover" };
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    tp_metric *m = tp_metric_confusion(3), *other = tp_metric_mae();
    picture k;

    CHECK(tp_metric_update(m, tp_from(x, TP_SHAPE(6), TP_I64, cpu), tp_from(y, TP_SHAPE(6), TP_I64, cpu)));
    for (int i = 0; i < 2; i++) {
        CASE("confusion %d", i);
        CHECK(tp_metric_plot_confusion(in_folder("c.png"), m, i ? name : NULL, i ? "Fashion-MNIST" : NULL));
        k = look("c.png");
        CHECK(pixels(k, (tp_color){ 8, 64, 129 }, 0, k.w) > 2 * 800); /* two cells hold all of their rows */
        check_border(k), stbi_image_free(k.p);
    }
    CHECK_REFUSED(tp_metric_plot_confusion(in_folder("c.png"), other, NULL, NULL), TP_ERR_ARG, "a metric that counts classes");
    CHECK_REFUSED(tp_metric_plot_confusion(NULL, m, NULL, NULL), TP_ERR_ARG, "a path");
    tp_metric_free(m), tp_metric_free(other);
    m = tp_metric_confusion(600);
    CHECK_REFUSED(tp_metric_plot_confusion("c", m, NULL, NULL), TP_ERR_ARG, "600 classes: at most 512");
    tp_metric_free(m);
}

Test(plots, refusals, IN_FOLDER)
{
    static const double v[] = { 1, 2 };
    tp_series s = { "s", NULL, v, 2 }, none = { "s", v, NULL, 2 }, less = { "s", v, v, -1 };
    tp_plot_opts plain = { 0 };

    CASE("refusals");
    CHECK_REFUSED(tp_plot_scatter(in_folder("p"), &none, 1, plain), TP_ERR_ARG, "tp_plot_scatter: curve 0 has 2 points, and no numbers");
    CHECK_REFUSED(tp_plot_scatter(in_folder("p"), &less, 1, plain), TP_ERR_ARG, "curve 0 has -1 points");
    CHECK_REFUSED(tp_plot_scatter(in_folder("p"), &s, 1, (tp_plot_opts){ .log_x = true, .diagonal = true }), TP_ERR_ARG, "two axes of one kind");
    CHECK_REFUSED(tp_plot_histogram(in_folder("p"), &s, 1, -1, plain), TP_ERR_ARG, "tp_plot_histogram: -1 bins");
    CHECK_REFUSED(tp_plot_histogram(in_folder("p"), &s, 1, 9, (tp_plot_opts){ .log_x = true }), TP_ERR_ARG, "axis of numbers");
    CHECK_REFUSED(tp_plot_histogram(NULL, &s, 1, 9, plain), TP_ERR_ARG, "missing path or curves");
    CHECK_REFUSED(tp_plot_heat(in_folder("p"), v, 0, 2, (tp_heat_opts){ 0 }), TP_ERR_ARG, "0 by 2 cells: 1 by 1 to 512 by 512");
    CHECK_REFUSED(tp_plot_heat(in_folder("p"), NULL, 1, 2, (tp_heat_opts){ 0 }), TP_ERR_ARG, "missing path or cells");
    CHECK_REFUSED(tp_plot_heat(in_folder("no/p"), v, 1, 2, (tp_heat_opts){ 0 }), TP_ERR_IO, "No such file");
    CASE("a link's target is replaced, and its mode kept");
    struct stat st;
    write_whole(in_folder("real.png"), "old", 3), chmod(in_folder("real.png"), 0604);
    CHECK(symlink("real.png", in_folder("link.png")) == 0 && tp_plot_heat(in_folder("link.png"), v, 1, 2, (tp_heat_opts){ 0 }));
    CHECK(stat(in_folder("real.png"), &st) == 0 && st.st_size > 3 && (st.st_mode & 0777) == 0604);
    CHECK(lstat(in_folder("link.png"), &st) == 0 && S_ISLNK(st.st_mode));
}

Test(plots, out_of_memory, IN_FOLDER)
{
    static const double v[] = { 1, 2 };
    tp_series s = { "s", v, v, 2 };

    for (int what = 0; what < 3; what++)
        for (int n = 0, done = 0; !done; n++) {
            long before = tp__live();

            CASE("plot %d, allocation %d", what, n);
            tp__fail_after = n;
            done = what == 0   ? tp_plot_scatter(in_folder("o.png"), &s, 1, (tp_plot_opts){ 0 })
                   : what == 1 ? tp_plot_histogram(in_folder("o.png"), &s, 1, 3, (tp_plot_opts){ 0 })
                               : tp_plot_heat(in_folder("o.png"), v, 1, 2, (tp_heat_opts){ 0 });
            tp__fail_after = -1;
            CHECK(done || tp_error_code() == TP_ERR_MEMORY);
            tp_clear_error();
            cr_assert(tp__live() == before && n < 100, "%s leaks", check_name);
        }
}
