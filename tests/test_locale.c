/*
 * test_locale.c - a host program whose locale writes commas: in files, in messages and in what is
 * read there are points all the same, and its locale stays as it was.
 */
#include "tests/files.h"

#include <jansson.h>
#include <locale.h>
#include <pthread.h>

/* The locale of a decimal comma, made in the test's folder where the machine has none. */
static void make_comma(void)
{
    char command[800];

    make_test_folder();
    if (!setlocale(LC_ALL, "de_DE.UTF-8")) {
        snprintf(command, sizeof command, "localedef --no-archive -i de_DE -f UTF-8 %s >%s 2>&1", in_folder("de_DE.UTF-8"), in_folder("said"));
        if (system(command) == 0) setenv("LOCPATH", folder, 1);
        setlocale(LC_ALL, "de_DE.UTF-8");
    }
}

/* Also that the library has left it. */
static bool has_comma(void)
{
    char text[16];

    snprintf(text, sizeof text, "%g", 0.5);
    if (strcmp(text, "0,5") != 0) cr_log_warn("no locale with a decimal comma can be had here: nothing is tried");
    return !strcmp(text, "0,5");
}

#define COMMA .init = make_comma, .fini = remove_test_folder, .timeout = 60

static void check_text(const char *got, const char *want)
{
    cr_expect(got && strstr(got, want), "%s: \"%s\" is not in \"%s\"", check_name, want, got ? got : "nothing");
}

static void log_steps(tp_log_opts o)
{
    tp_logger *l = tp_log_open(o);

    for (int i = 0; i < 2; i++) {
        TP_SCOPE;
        tp_log_add(l, "loss", tp_full(TP_SCALAR, 0.25, TP_F32, tp_device_open("cpu")));
        tp_log_step(l), tp_log_value(l, "score", 1.5);
    }
    CHECK(tp_log_close(l));
}

Test(locale, logs, COMMA)
{
    if (!has_comma()) return;
    tp_log_opts o = { .dir = in_folder("run"), .json = true, .plot = true, .bar = true };
    char *text;

    CASE("rows");
    catch_begin(2), log_steps(o);
    char *line = catch_end();
    check_text(line, "loss 0.25  score 1.5");
    CHECK((text = read_whole(in_folder("run/log.csv"), NULL)) && !strcmp(text, "step,loss,score\n1,0.25,1.5\n2,0.25,1.5\n"));
    free(text), free(line);
    CASE("rows that are gone on with");
    o.append = true, o.from = 1, o.bar = false, log_steps(o);
    CHECK((text = read_whole(in_folder("run/log.csv"), NULL)) &&
          !strcmp(text, "step,loss,score\n1,0.25,1.5\n2,0.25,1.5\n3,0.25,1.5\n"));
    free(text);
    text = read_whole(in_folder("run/log.jsonl"), NULL);
    check_text(text, "\"loss\": 0.25");
    free(text);
    CHECK(has_comma());
}

static void draw_under(const char *locale, const char *png)
{
    double x[2] = { 0.25, 0.75 };
    tp_series s = { "a", x, x, 2 };

    cr_assert(setlocale(LC_ALL, locale));
    CHECK(tp_plot_lines(png, &s, 1, (tp_plot_opts){ 0 }));
}

Test(locale, pictures, COMMA)
{
    if (!has_comma()) return;
    CASE("a plot's labels");
    draw_under("C", in_folder("c.png")), draw_under("de_DE.UTF-8", in_folder("de.png"));
    CHECK(same_files(in_folder("c.png"), in_folder("de.png")));
}

Test(locale, flags_and_text, COMMA)
{
    if (!has_comma()) return;
    TP_SCOPE;
    tp_device *cpu = tp_device_open("cpu");
    double own = 0;
    tp_train_flag flag = { .name = "mix", .help = "of it", .kind = TP_FLAG_REAL, .to = &own };
    tp_train_args a = { .program = "p", .flags = &flag, .n_flags = 1 };
    char *argv[] = { "p", "--lr", "0.25", "--mix", "0.5" }, *help[] = { "p", "--help" }, text[4096];

    CASE("flags");
    CHECK(tp_train_parse(&a, 5, argv) == -1 && a.lr == 0.25 && own == 0.5);
    catch_begin(1);
    CHECK(tp_train_parse(&a, 2, help) == 0 && tp_train_print("%g\n", 0.125));
    char *said = catch_end();
    check_text(said, "learning rate (0.25)"), check_text(said, "of it (0.5)"), check_text(said, "0.125");
    free(said);
    CASE("a tensor");
    tp_print(tp_full(TP_SHAPE(2), 0.5, TP_F32, cpu), text, sizeof text);
    check_text(text, "[0.5, 0.5]");
    CASE("errors");
    CHECK(!tp_dropout(tp_ones(TP_SHAPE(2), TP_F32, cpu), 1.5));
    check_text(tp_error(), "p is 1.5"), tp_clear_error();
    tp_fail(TP_ERR_USER, "%g", 0.5);
    check_text(tp_error(), "0.5"), tp_clear_error();
    CASE("a summary");
    tp_module *m = tp_nn_init(tp_nn_linear(30, 40), cpu);
    CHECK(tp_summary_text(m, TP_LIST(tp_ones(TP_SHAPE(1, 30), TP_F32, cpu)), text, sizeof text) > 0);
    check_text(text, "5.0 KB");
    tp_nn_free(m);
    CHECK(has_comma());
}

Test(locale, a_profile, COMMA)
{
    if (!has_comma()) return;
    TP_SCOPE;
    tp_profile *p = tp_profile_begin((tp_profile_opts){ .trace = in_folder("trace.json") });
    json_error_t why;
    json_t *all;

    CASE("its trace is JSON");
    CHECK(tp_relu(tp_ones(TP_SHAPE(1000), TP_F32, tp_device_open("cpu"))) && tp_profile_end(p));
    all = json_load_file(in_folder("trace.json"), 0, &why);
    cr_expect(all, "%s", why.text);
    json_decref(all);
    CASE("its table");
    catch_begin(1);
    CHECK(tp_profile_print(p));
    char *said = catch_end();
    CHECK(said && strchr(said, '.'));
    for (const char *at = said; (at = strchr(at, ',')); at++)
        CHECK(at[1] == ' '); /* between words */
    free(said), tp_profile_free(p);
}

Test(locale, a_models_file, COMMA)
{
    if (!has_comma()) return;
    tp_device *cpu = tp_device_open("cpu");
    tp_gpt_opts o = { .vocabulary = 7, .context = 4, .layers = 1, .heads = 1, .width = 8, .dropout = 0.25 };
    tp_module *m = tp_nn_init(tp_model_gpt(o), cpu);
    char *text;
    size_t n;

    CASE("its options have points, and are read");
    CHECK(tp_model_save(m, in_folder("m.st")));
    text = read_whole(in_folder("m.st"), &n);
    check_text(text + 8, "dropout=0.25");
    free(text), tp_nn_free(m);
    CHECK((m = tp_model_load(in_folder("m.st"), NULL, cpu)) != NULL);
    CHECK(tp_model_save(m, in_folder("again.st")) && same_files(in_folder("m.st"), in_folder("again.st")));
    tp_nn_free(m);
}

static void *with_own(void *comma)
{
    uselocale(comma);
    tp_fail(TP_ERR_USER, "%g", 0.5);
    check_text(tp_error(), "0.5"), tp_clear_error();
    CHECK(uselocale(comma) == comma);
    return NULL;
}

Test(locale, of_a_thread, COMMA)
{
    locale_t comma;
    pthread_t t;

    if (!has_comma()) return;
    comma = duplocale(LC_GLOBAL_LOCALE), setlocale(LC_ALL, "C");
    CASE("a thread's own locale is back afterwards");
    pthread_create(&t, NULL, with_own, comma), pthread_join(t, NULL);
    freelocale(comma);
}
