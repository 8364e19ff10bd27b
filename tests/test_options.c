/*
 * test_options.c - the flags of a run in its checkpoint: a run goes on with those that it was begun with.
 */
#include "tests/files.h"

static const char *prompt, *style;
static int64_t heads, shown;
static double dropout;
static bool tied;

static const tp_train_flag own[] = {
    { "prompt", "how it begins", TP_FLAG_TEXT, &prompt, 0, 0 },
    { "heads", "of each layer", TP_FLAG_WHOLE, &heads, 1, 64 },
    { "shown", "pictures", TP_FLAG_WHOLE, &shown, 0, 100 },
    { "dropout", "of all", TP_FLAG_REAL, &dropout, 0, 1 },
    { "tied", "one table", TP_FLAG_YES, &tied, 0, 0 },
    { "style", "of it", TP_FLAG_TEXT, &style, 0, 0 },
};

/* The program's defaults, then a command line, its words parted by blanks, changed here. */
static int parse(tp_train_args *a, char *line)
{
    char *argv[32] = { (char *)"prog" };
    int argc = 1;

    prompt = style = NULL, heads = 4, shown = 8, dropout = 0.1, tied = false;
    *a = (tp_train_args){ .epochs = 3,
                          .lr = 1e-3,
                          .seed = 1,
                          .flags = own,
                          .n_flags = TP_LEN(own),
                          .may_differ = "shown prompt" };
    for (char *word; (word = strsep(&line, " ")) && argc < 31;)
        if (*word) argv[argc++] = word;
    return tp_train_parse(a, argc, argv);
}

/* A run begun by that line has saved its state. */
static void begin(const char *flags, const char *path)
{
    char line[256];
    tp_train_args a;
    tp_state *s = tp_state_new();
    int64_t step = 7;

    snprintf(line, sizeof line, "%s", flags);
    CHECK(parse(&a, line) == -1 && tp_state_count(s, "step", &step) &&
          tp_state_text(s, "options", a.options) && tp_state_save(s, path));
    tp_state_free(s);
}

/* --resume with more flags; what it says is compared unless `says` is NULL. */
static int resume(tp_train_args *a, const char *path, const char *flags, const char *says)
{
    static char line[1024]; /* flags point into it */
    char *text;
    int status;

    snprintf(line, sizeof line, "--resume %s %s", path, flags);
    catch_begin(STDERR_FILENO);
    status = parse(a, line);
    text = catch_end();
    cr_expect(says ? strstr(text, says) != NULL : !*text, "%s: \"%s\"", flags, text);
    free(text);
    return status;
}

#define IN_FOLDER .init = make_test_folder, .fini = remove_test_folder

Test(options, a_run_goes_on_with_its_flags, IN_FOLDER)
{
    char path[512];
    tp_train_args a;

    snprintf(path, sizeof path, "%s", in_folder("state"));
    begin("--lr 0.25 --batch 32 --seed 9 --epochs 5 --data some --out there --amp bf16 --device cuda "
          "--plot --prompt a --style \xC3\xA9 --heads 2 --dropout 0.3 --tied",
          path);
    CASE("none is given");
    CHECK(resume(&a, path, "", NULL) == -1);
    CHECK(a.lr == 0.25 && a.batch == 32 && a.seed == 9 && a.epochs == 5 &&
          !strcmp(a.device, "cuda") && !strcmp(a.data, "some") && !strcmp(a.amp, "bf16") && a.plot && !prompt &&
          !strcmp(style, "\xC3\xA9") && heads == 2 && shown == 8 && dropout == 0.3 &&
          tied);
    CHECK(tp_rng_save().seed == 9 &&
          !strcmp(a.out, folder)); /* where the checkpoint is, wherever it was then */
    CASE("the same are given, otherwise written");
    CHECK(resume(&a, path, "--lr 2.5e-1 --heads 02 --tied --batch=32", NULL) == -1 &&
          a.lr == 0.25 && heads == 2);
    CASE("others, of what may differ");
    CHECK(resume(&a, path,
                 "--epochs 8 --steps 100 --data more --out here --shown 3 --prompt x "
                 "--threads 1 --device cpu",
                 NULL) == -1);
    CHECK(a.epochs == 8 && a.steps == 100 && !strcmp(a.device, "cpu") && !strcmp(a.data, "more") &&
          !strcmp(a.out, "here") && shown == 3 && !strcmp(prompt, "x") && heads == 2);
    CASE("what they became is kept again");
    begin("--epochs 8", in_folder("again"));
    CHECK(resume(&a, in_folder("again"), "", NULL) == -1 && a.epochs == 8 &&
          a.lr == 1e-3 && !a.data && !tied);
}

Test(options, refused, IN_FOLDER)
{
    static const char *const wrong[][2] = {
        { "--lr 0.3", "was begun with --lr 0.25, and goes on with that, not with 0.3" },
        { "--batch 64", "was begun with --batch 32" },
        { "--seed 2", "was begun with --seed 1" },
        { "--amp bf16", "was begun with --amp off" },
        { "--heads 8", "was begun with --heads 4, and goes on with that, not with 8" },
        { "--dropout 0", "was begun with --dropout" },
        { "--tied", "was begun without --tied, and goes on without it" },
    };
    char path[512], other[512];
    tp_state *s = tp_state_new();
    int64_t step = 1;
    tp_train_args a;

    snprintf(path, sizeof path, "%s", in_folder("state")),
        snprintf(other, sizeof other, "%s", in_folder("other"));
    begin("--lr 0.25 --batch 32", path);
    for (int i = 0; i < TP_LEN(wrong); i++) {
        CASE("%s", wrong[i][0]);
        CHECK(resume(&a, path, wrong[i][0], wrong[i][1]) == 2);
    }
    CASE("a run of another program");
    CHECK(tp_state_count(s, "step", &step) &&
          tp_state_text(s, "options", "{\"width\":\"3\"}") && tp_state_save(s, other));
    CHECK(resume(&a, other, "",
                 "--width, which isn't a flag here: it is a run of another program") ==
          2);
    tp_state_free(s);
    CASE("a value that can't be");
    CHECK((s = tp_state_new()) && tp_state_text(s, "options", "{\"heads\":\"99\"}") &&
          tp_state_save(s, other));
    CHECK(resume(&a, other, "", "--heads 99: a whole number from 1 to 64 is wanted") ==
          2);
    tp_state_free(s);
    CASE("no options, and none that can be read");
    CHECK((s = tp_state_new()) && tp_state_save(s, other) &&
          resume(&a, other, "--lr 0.5", NULL) == -1 && a.lr == 0.5);
    CHECK(tp_state_text(s, "options", "{") && tp_state_save(s, other));
    CHECK(resume(&a, other, "", "the flags of the run that is resumed can't be read") ==
          1);
    CASE("no file");
    CHECK(resume(&a, in_folder("nothing"), "", "nothing can't be read") == 1 && tp_ok());
    CASE("texts of a state");
    CHECK_REFUSED(tp_state_text(s, "threads", "x"), TP_ERR_ARG,
                  "threads is a text of every state");
    CHECK_REFUSED(tp_state_text(s, "options", "x"), TP_ERR_ARG,
                  "there is a options already");
    CHECK_REFUSED(tp_state_text(s, "x", NULL), TP_ERR_ARG, "nothing to register");
    tp_state_free(s);
}

Test(options, too_long)
{
    static char line[20000];
    tp_train_args a;
    char *text;

    CASE("of what may differ");
    memset(line, 'x', sizeof line - 1), memcpy(line, "--prompt ", 9);
    CHECK(parse(&a, line) == -1 && strlen(prompt) == sizeof line - 10);
    CHECK(parse(&a, strcpy(line, "--prompt \xFF")) == -1);
    CASE("of what may not");
    memset(line, 'x', sizeof line - 1), memcpy(line, "--style ", 8);
    catch_begin(STDERR_FILENO);
    CHECK(parse(&a, line) == 2);
    text = catch_end();
    CHECK(strstr(text, "prog: flags of more than 16384 characters"));
    free(text);
}
