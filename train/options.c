/*
 * options.c - the flags of a run as JSON, {"lr": "0.001", ...}: kept in its checkpoints, so that a run
 * goes on with the flags that it was begun with.
 */
#include "train/args.h"

#include "tensor/file.h"
#include "tensor/internal.h"
#include "tensor/plain.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Not with how many threads, and into which folder: threads, out. */
static const struct {
    const char *name;
    int flag;
    bool may_differ;
} kept[] = { { "device", DEVICE, true }, { "data", DATA, true },   { "epochs", EPOCHS, true },
             { "steps", STEPS, true },   { "plot", PLOT, true },   { "batch", BATCH, false },
             { "lr", LR, false },        { "seed", SEED, false },  { "amp", AMP, false } };

enum { VALUE = 64 };

/* ---- what flags hold, as text; NULL: nothing ---- */

static const char *yes(bool v)
{
    return v ? "yes" : NULL;
}

/* As short as says it exactly. */
static const char *real_text(double v, char room[VALUE])
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(room, VALUE, "%.*g", digits, v);
        if (tp__strtod(room, NULL) == v) break;
    }
    return room;
}

static const char *common_text(const tp_train_args *a, int flag, char room[VALUE])
{
    switch (flag) {
    case DEVICE:
        return a->device;
    case DATA:
        return a->data;
    case AMP:
        return a->amp;
    case PLOT:
        return yes(a->plot);
    case LR:
        return real_text(a->lr, room);
    case EPOCHS:
        return snprintf(room, VALUE, "%d", a->epochs), room;
    case STEPS:
        return snprintf(room, VALUE, "%lld", (long long)a->steps), room;
    case BATCH:
        return snprintf(room, VALUE, "%lld", (long long)a->batch), room;
    default:
        return snprintf(room, VALUE, "%llu", (unsigned long long)a->seed), room;
    }
}

static const char *own_text(const tp_train_flag *f, char room[VALUE])
{
    switch (f->kind) {
    case TP_FLAG_TEXT:
        return *(const char *const *)f->to;
    case TP_FLAG_YES:
        return yes(*(const bool *)f->to);
    case TP_FLAG_WHOLE:
        return snprintf(room, VALUE, "%lld", (long long)*(const int64_t *)f->to), room;
    default:
        return real_text(*(const double *)f->to, room);
    }
}

/* ---- to be kept ---- */

/* Where it is optional, a text that is no UTF-8 becomes null. */
static bool put(json_t *all, const char *name, const char *text, bool optional)
{
    if (!text) return true;
    return !json_object_set_new(
        all, name, optional && !tp__is_utf8(text) ? json_null() : json_string(text));
}

static bool may_differ(const tp_train_args *a, const char *name)
{
    size_t n = strlen(name);
    const char *at = a->may_differ;

    while (at && (at = strstr(at, name)) &&
           ((at > a->may_differ && at[-1] != ' ') || (at[n] && at[n] != ' ')))
        at++;
    return at;
}

int tp__options_write(tp_train_args *a)
{
    json_t *all = json_object();
    char room[VALUE];
    bool ok = all;
    size_t n;

    TP_PLAIN;
    for (int i = 0; ok && i < TP_LEN(kept); i++)
        ok = put(all, kept[i].name, common_text(a, kept[i].flag, room),
                 kept[i].may_differ);
    for (int i = 0; ok && i < a->n_flags; i++)
        if (a->flags[i].kind != TP_FLAG_TEXT || !may_differ(a, a->flags[i].name))
            ok = put(all, a->flags[i].name, own_text(&a->flags[i], room), false);
    n = ok ? json_dumpb(all, a->options, sizeof a->options - 1, JSON_COMPACT)
           : sizeof a->options;
    json_decref(all);
    if (n < sizeof a->options) return a->options[n] = 0, -1;
    fprintf(stderr, "%s: flags of more than %zu characters, or no UTF-8, can't be kept\n",
            a->program, sizeof a->options);
    return 2;
}

/* ---- to go on with ---- */

static int own_flag(const tp_train_args *a, const char *name)
{
    for (int i = 0; i < a->n_flags; i++)
        if (!strcmp(a->flags[i].name, name)) return i;
    return -1;
}

static int common_flag(const char *name)
{
    for (int i = 0; i < TP_LEN(kept); i++)
        if (!strcmp(kept[i].name, name)) return i;
    return -1;
}

static int refuse(const tp_train_args *a, const char *name, const char *then,
                  const char *now)
{
    if (then)
        fprintf(stderr,
                "%s: %s was begun with --%s %s, and goes on with that, not with %s\n",
                a->program, a->resume, name, then, now);
    else
        fprintf(stderr, "%s: %s was begun without --%s, and goes on without it\n",
                a->program, a->resume, name);
    return 2;
}

/* A flag that is `then` there, `now` here. */
static int settle(tp_train_args *a, int flag, const char *name, const char *then,
                  const char *now, bool given, bool may_differ)
{
    bool same = (!then && !now) || (then && now && !strcmp(then, now));

    if (same || (given && may_differ)) return -1;
    if (given) return refuse(a, name, then, now);
    return then ? tp__take_flag(a, flag, then) : -1;
}

static int refuse_file(const tp_train_args *a, const char *why)
{
    fprintf(stderr, "%s: %s\n", a->program, why);
    return 1;
}

static int settle_all(tp_train_args *a, json_t *run, const tp_given *g)
{
    char room[VALUE];
    int status = -1;

    if (json_is_null(json_object_get(run, "data")) && !g->common[DATA])
        return refuse_file(
            a, "the run was begun with a --data that is no UTF-8: give it again");

    for (int i = 0; status < 0 && i < TP_LEN(kept); i++)
        status = settle(a, kept[i].flag, kept[i].name,
                        json_string_value(json_object_get(run, kept[i].name)),
                        common_text(a, kept[i].flag, room), g->common[kept[i].flag],
                        kept[i].may_differ);
    for (int i = 0; status < 0 && i < a->n_flags; i++)
        status = settle(a, OWN + i, a->flags[i].name,
                        json_string_value(json_object_get(run, a->flags[i].name)),
                        own_text(&a->flags[i], room), g->own[i],
                        may_differ(a, a->flags[i].name));
    return status;
}

static int unknown(const tp_train_args *a, json_t *run)
{
    const char *name;
    json_t *v;

    json_object_foreach(run, name, v) if (own_flag(a, name) < 0 && common_flag(name) < 0)
    {
        fprintf(stderr,
                "%s: %s was begun with --%s, which isn't a flag here: it is a run of "
                "another program\n",
                a->program, a->resume, name);
        return 2;
    }
    return -1;
}

/* Where the checkpoint is. */
static const char *folder_of(const char *path)
{
    static char folder[4096];
    const char *slash = strrchr(path, '/');

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1,
             slash ? path : ".");
    return *folder ? folder : "/";
}

int tp__options_resume(tp_train_args *a, const tp_given *g)
{
    static json_t *run; /* flags go on pointing to its texts */
    tp_file *f = tp_file_open(a->resume);
    const char *text = f ? tp_file_meta(f, "options") : NULL;
    bool there = text;
    int status = f ? -1 : refuse_file(a, tp_error());

    tp_clear_error();
    if (f && !text && tp_file_meta(f, "format") &&
        !strcmp(tp_file_meta(f, "format"), "pt"))
        status = refuse_file(
            a, "--resume wants a run's state.safetensors, and that file holds weights");
    json_decref(run), run = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    tp_file_close(f);
    if (there && !json_is_object(run))
        status = refuse_file(a, "the flags of the run that is resumed can't be read");
    if (status < 0 && !g->common[OUT]) a->out = folder_of(a->resume);
    if (status < 0 && run) status = unknown(a, run);
    return run && status < 0 ? settle_all(a, run, g) : status;
}
