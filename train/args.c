/*
 * args.c - the flags that every program here understands, and Ctrl-C.
 */
#include "train/args.h"

#include "tensor/internal.h"
#include "tensor/plain.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct option common[] = {
    { "device", required_argument, NULL, DEVICE }, { "epochs", required_argument, NULL, EPOCHS },
    { "steps", required_argument, NULL, STEPS },   { "batch", required_argument, NULL, BATCH },
    { "lr", required_argument, NULL, LR },         { "seed", required_argument, NULL, SEED },
    { "threads", required_argument, NULL, THREADS }, { "data", required_argument, NULL, DATA },
    { "out", required_argument, NULL, OUT },       { "resume", required_argument, NULL, RESUME },
    { "amp", required_argument, NULL, AMP },       { "plot", no_argument, NULL, PLOT },
    { "help", no_argument, NULL, HELP },
};

/* What was printed is written only now; a full disk or a closed pipe shows here. */
static bool flush(const char *what)
{
    bool ok = !fflush(stdout) && !ferror(stdout);

    TP_REQUIRE_IN(what, ok, TP_ERR_IO, "standard output can't be written: %s", strerror(errno));
    return true;
}

bool tp_train_print(const char *fmt, ...)
{
    va_list args;

    TP_PLAIN;
    if (!tp_ok()) return false;
    TP_REQUIRE(fmt, TP_ERR_ARG, "missing format");
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    return flush(__func__);
}

static void put_default(const char *text)
{
    printf(" (");
    for (; *text; text++)
        *text == '\n' ? printf("\\n") : printf("%c", *text);
    printf(")");
}

/* "  --name VALUE    what it is (the default)" */
static void help_own(const tp_train_flag *f)
{
    char head[64];

    snprintf(head, sizeof head, "--%s %s", f->name,
             f->kind == TP_FLAG_TEXT ? "TEXT" : f->kind == TP_FLAG_WHOLE ? "N" : f->kind == TP_FLAG_REAL ? "X" : "");
    printf("  %-15s %s", head, f->help);
    if (f->kind == TP_FLAG_TEXT && *(const char *const *)f->to) put_default(*(const char *const *)f->to);
    if (f->kind == TP_FLAG_WHOLE) printf(" (%lld)", (long long)*(const int64_t *)f->to);
    if (f->kind == TP_FLAG_REAL) printf(" (%g)", *(const double *)f->to);
    printf("\n");
}

static int help(const tp_train_args *a)
{
    printf("%s - %s\n\n", a->program, a->about ? a->about : "trains a model");
    printf("  --device NAME   cpu, cuda, cuda:1 or auto (%s)\n", a->device);
    printf("  --epochs N      passes over the data (%d)\n", a->epochs);
    printf("  --steps N       stop after so many steps in all; 0, or --epochs alone: by epochs (%lld)\n", (long long)a->steps);
    printf("  --batch N       samples a step (%lld)\n", (long long)a->batch);
    printf("  --lr X          learning rate (%g)\n", a->lr);
    printf("  --seed N        of weights, shuffling and dropout (%llu)\n", (unsigned long long)a->seed);
    printf("  --threads N     of the CPU; 0: all (%d)\n", a->threads);
    printf("  --data PATH     where the data is (%s)\n", a->data ? a->data : "as packaged");
    printf("  --out DIR       for log, curve, pictures and checkpoint (%s)\n", a->out);
    printf("  --resume FILE   go on from a checkpoint, with the flags of its run\n");
    printf("  --amp MODE      off, bf16, or f16 on a GPU: dtype of products (%s)\n", a->amp);
    printf("  --plot          write the curves as PNG\n");
    for (int i = 0; i < a->n_flags; i++)
        help_own(&a->flags[i]);
    printf("  --help, -h      this\n\n");
    printf("Ctrl-C ends the run after the step it is in: what --resume needs is saved, the status is 130.\n");
    if (flush("--help")) return 0;
    fprintf(stderr, "%s: %s\n", a->program, tp_error());
    return 1;
}

static int wrong(const tp_train_args *a, const char *flag, const char *value, const char *wanted)
{
    fprintf(stderr, "%s: --%s %s: %s is wanted\n", a->program, flag, value, wanted);
    return 2;
}

static bool whole(const char *text, long long least, long long most, long long *v)
{
    char *end;

    errno = 0;
    *v = strtoll(text, &end, 10);
    return end != text && !*end && !errno && *v >= least && *v <= most;
}

static bool positive(const char *text, double *v)
{
    char *end;

    *v = tp__strtod(text, &end);
    return end != text && !*end && *v > 0 && *v < 1e9;
}

static int take_number(tp_train_args *a, int flag, const char *text)
{
    static const struct {
        const char *name, *wanted;
        long long least, most;
    } is[] = { [EPOCHS] = { "epochs", "a number from 1 to 1000000", 1, 1000000 },
               [STEPS] = { "steps", "a number from 0 to 2^62", 0, 1LL << 62 },
               [BATCH] = { "batch", "a number from 1 to 16777216", 1, 1 << 24 },
               [SEED] = { "seed", "a number from 0 to 2^63 - 1", 0, INT64_MAX },
               [THREADS] = { "threads", "a number from 0 to 256", 0, 256 } };
    long long v;

    if (!whole(text, is[flag].least, is[flag].most, &v)) return wrong(a, is[flag].name, text, is[flag].wanted);
    if (flag == EPOCHS) a->epochs = (int)v;
    else if (flag == STEPS) a->steps = v;
    else if (flag == BATCH) a->batch = v;
    else if (flag == SEED) a->seed = (uint64_t)v;
    else a->threads = (int)v;
    return -1;
}

/* A number of f's: whole or not, within its bounds. */
static int take_own_number(const tp_train_args *a, const tp_train_flag *f, const char *text)
{
    bool bounded = f->least < f->most, is_whole = f->kind == TP_FLAG_WHOLE;
    char wanted[96], *end;
    double v;
    long long n = 0;

    errno = 0, v = tp__strtod(text, &end);
    if (is_whole && whole(text, INT64_MIN, INT64_MAX, &n)) v = (double)n;
    else if (is_whole) end = (char *)text;
    if (end != text && !*end && v - v == 0 && (!bounded || (v >= f->least && v <= f->most))) {
        if (is_whole) *(int64_t *)f->to = n;
        else *(double *)f->to = v;
        return -1;
    }
    snprintf(wanted, sizeof wanted, bounded ? "a %snumber from %.15g to %.15g" : "a %snumber", is_whole ? "whole " : "",
             f->least, f->most);
    return wrong(a, f->name, text, wanted);
}

static int take_own(const tp_train_args *a, const tp_train_flag *f, const char *text)
{
    switch (f->kind) {
    case TP_FLAG_TEXT: *(const char **)f->to = text; return -1;
    case TP_FLAG_YES: *(bool *)f->to = true; return -1;
    default: return take_own_number(a, f, text);
    }
}

int tp__take_flag(tp_train_args *a, int flag, const char *text)
{
    if (flag >= OWN && flag < OWN + a->n_flags) return take_own(a, &a->flags[flag - OWN], text);
    switch (flag) {
    case DEVICE: a->device = text; return -1;
    case DATA: a->data = text; return -1;
    case OUT: a->out = text; return -1;
    case RESUME: a->resume = text; return -1;
    case PLOT: a->plot = true; return -1;
    case 'h':
    case HELP: return help(a);
    case AMP:
        a->amp = text;
        return !strcmp(text, "off") || !strcmp(text, "bf16") || !strcmp(text, "f16") ? -1 : wrong(a, "amp", text, "off, bf16 or f16");
    case LR: return positive(text, &a->lr) ? -1 : wrong(a, "lr", text, "a number above 0 and below 1e9");
    default: return take_number(a, flag, text);
    }
}

static void say(void *user, int level, const char *message)
{
    const char *program = user;

    fprintf(stderr, "%s: %s%s\n", program, level ? "warning: " : "", message);
}

static void fill_in(tp_train_args *a, const char *self)
{
    const char *slash = strrchr(self, '/');

    if (!a->program) a->program = slash ? slash + 1 : self;
    if (!a->device) a->device = "auto";
    if (!a->out) a->out = "out";
    if (!a->amp) a->amp = "off";
    if (!a->epochs) a->epochs = 1;
    if (!a->batch) a->batch = 64;
    if (a->lr <= 0) a->lr = 1e-3;
}

static int unknown(const tp_train_args *a, char **argv, bool known)
{
    char letter[] = { '-', (char)optopt, 0 }; /* inside of "-xyz" optind stands before it */

    fprintf(stderr, "%s: %s %s; --help lists the flags\n", a->program, optopt > HELP && optopt < OWN ? letter : argv[optind - 1],
            known ? "lacks its value" : "isn't a flag here");
    return 2;
}

/* Is flag i of the program a common one, or one before it? */
static bool is_taken(const tp_train_args *a, int i)
{
    for (int k = 0; k < TP_LEN(common); k++)
        if (!strcmp(common[k].name, a->flags[i].name)) return true;
    for (int k = 0; k < i; k++)
        if (!strcmp(a->flags[k].name, a->flags[i].name)) return true;
    return false;
}

/* A program's own mistake, but no reason to crash. */
static bool complete(const tp_train_args *a, int argc, char **argv)
{
    bool ok = a && argc > 0 && argv;

    for (int i = 0; ok && i < argc; i++)
        ok = argv[i] != NULL;
    ok = ok && a->n_flags >= 0 && a->n_flags <= MOST_FLAGS && (a->flags || !a->n_flags);
    for (int i = 0; ok && i < a->n_flags; i++)
        ok = a->flags[i].name && a->flags[i].help && a->flags[i].to && !is_taken(a, i);
    if (!ok) fprintf(stderr, "tp_train_parse: missing arguments, or two flags of one name\n");
    return ok;
}

/* The common flags, then the program's own. */
static void list_flags(const tp_train_args *a, struct option *to)
{
    memcpy(to, common, sizeof common), to += TP_LEN(common);
    for (int i = 0; i < a->n_flags; i++)
        *to++ = (struct option){ a->flags[i].name, a->flags[i].kind == TP_FLAG_YES ? no_argument : required_argument,
                                 NULL, OWN + i };
    *to = (struct option){ NULL, 0, NULL, 0 };
}

int tp_train_parse(tp_train_args *a, int argc, char **argv)
{
    struct option options[TP_LEN(common) + MOST_FLAGS + 1];
    tp_given given = { 0 };
    int status;

    TP_PLAIN;
    if (!complete(a, argc, argv)) return 2;
    list_flags(a, options);
    fill_in(a, argv[0]);
    opterr = 0, optind = 0;
    for (int c; (c = getopt_long(argc, argv, ":h", options, NULL)) != -1;) {
        if (c == '?' || c == ':') return unknown(a, argv, c == ':');
        if ((status = tp__take_flag(a, c, optarg)) >= 0) return status;
        *(c >= OWN ? &given.own[c - OWN] : &given.common[c]) = true;
    }
    if (optind < argc) {
        fprintf(stderr, "%s: what is \"%s\"?  --help lists the flags\n", a->program, argv[optind]);
        return 2;
    }
    if (a->resume && (status = tp__options_resume(a, &given)) >= 0) return status;
    if (given.common[EPOCHS] && !given.common[STEPS]) a->steps = 0;
    if ((status = tp__options_write(a)) >= 0) return status;
    tp_set_log(say, (void *)a->program);
    tp_set_threads(a->threads);
    tp_seed(a->seed);
    return -1;
}

tp_dtype tp_train_amp(const tp_train_args *a)
{
    const char *amp = a && a->amp ? a->amp : "off";

    return !strcmp(amp, "bf16") ? TP_BF16 : !strcmp(amp, "f16") ? TP_F16 : TP_F32;
}

/* ---- the folder --out ---- */

static bool make_folders(const char *dir)
{
    char path[4096];
    struct stat st;

    if (strlen(dir) >= sizeof path) return errno = ENAMETOOLONG, false;
    for (size_t i = 0; i <= strlen(dir); i++) {
        if ((dir[i] && dir[i] != '/') || i == 0) continue;
        memcpy(path, dir, i), path[i] = 0;
        if (mkdir(path, 0777) && errno != EEXIST) return false;
    }
    if (stat(dir, &st)) return false;
    if (!S_ISDIR(st.st_mode)) return errno = ENOTDIR, false;
    return access(dir, W_OK) == 0;
}

bool tp_train_folder(const char *dir)
{
    if (!tp_ok()) return false;
    TP_REQUIRE(dir, TP_ERR_ARG, "missing folder");
    TP_REQUIRE(make_folders(dir), TP_ERR_IO, "the folder %s can't be written to: %s", dir, strerror(errno));
    return true;
}

/* ---- Ctrl-C ---- */

static volatile sig_atomic_t asked;

static void on_interrupt(int number)
{
    asked = number;
    signal(number, SIG_DFL); /* a second one ends the program */
}

void tp_train_catch_interrupt(void)
{
    struct sigaction a;

    memset(&a, 0, sizeof a);
    a.sa_handler = on_interrupt;
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    signal(SIGPIPE, SIG_IGN); /* who reads the progress may go away before the run has ended */
}

bool tp_train_interrupted(void)
{
    return asked != 0;
}

int tp_train_status(void)
{
    return !tp_ok() ? 1 : asked ? 128 + (int)asked : 0;
}
