/*
 * state.c - all of a run in one safetensors file: parameters, optimizers, schedules, the places
 * of loaders, the generator, and the program's own numbers.
 *
 * Everything is a tensor under NAME or NAME.something.  What lives on the host (a number, a
 * position) is put into a small tensor before saving and taken out of one after loading.
 * Loading reads and checks the whole file before it changes anything.
 */
#include "train/log.h"

#include "autograd/autograd.h"
#include "optim/internal.h"
#include "tensor/file.h"
#include "tensor/internal.h"

#include <stdio.h>
#include <string.h>

typedef enum kind {
    MODULE,
    OPTIM,
    AVERAGES,
    SCALER,
    SCHED,
    LOADER,
    TENSOR,
    I64,
    COUNT,
    F64,
    TEXT,
    RNG
} kind;

/* The numbers of a loader: where it stands, and what makes its order. */
enum { PASS, BATCH, BATCH_SIZE, SAMPLES, SHUFFLED, SEED, LOADER_NUMBERS };
_Static_assert((int)LOADER_NUMBERS >= (int)TP_SCHED_NUMBERS, "one array holds either");

typedef struct entry {
    kind kind;
    char *name;
    void *what;
} entry;

struct tp_state {
    entry *entries;
    int n, room;
};

/* ---- registering ---- */

tp_state *tp_state_new(void)
{
    return tp_ok() ? tp__alloc_zeroed(sizeof(tp_state)) : NULL;
}

void tp_state_free(tp_state *s)
{
    if (!s) return;
    for (int i = 0; i < s->n; i++) {
        entry *e = &s->entries[i];

        if (e->kind == TEXT) tp__free_text(e->what);
        tp__free_text(e->name);
    }
    tp__release(s->entries, sizeof *s->entries * (size_t)s->room);
    tp__release(s, sizeof *s);
}

static bool may_add(const tp_state *s, const char *name, const void *what)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_state", s && what, TP_ERR_ARG,
                  "missing state, or nothing to register");
    TP_REQUIRE_IN("tp_state",
                  name && *name && strlen(name) < 64 && strcmp(name, "rng") != 0,
                  TP_ERR_ARG, "\"%s\" can't be a name: 1 to 63 characters, and not rng",
                  name ? name : "");
    for (int i = 0; i < s->n; i++)
        TP_REQUIRE_IN("tp_state", strcmp(s->entries[i].name, name) != 0, TP_ERR_ARG,
                      "there is a %s already", name);
    return true;
}

static bool add(tp_state *s, kind k, const char *name, void *what)
{
    char *copy;

    if (!may_add(s, name, what)) return false;
    if (s->n == s->room) {
        int room = s->room ? 2 * s->room : 8;
        entry *grown = tp__grow(s->entries, sizeof *grown * (size_t)s->room,
                                sizeof *grown * (size_t)room);

        if (!grown) return false;
        s->entries = grown, s->room = room;
    }
    if (!(copy = tp__strdup(name))) return false;
    s->entries[s->n++] = (entry){ k, copy, what };
    return true;
}

bool tp_state_module(tp_state *s, const char *name, tp_module *m)
{
    return add(s, MODULE, name, m);
}

bool tp_state_optim(tp_state *s, const char *name, tp_optim *o)
{
    return add(s, OPTIM, name, o);
}

bool tp_state_ema(tp_state *s, const char *name, tp_ema *e)
{
    return add(s, AVERAGES, name, e);
}

bool tp_state_scaler(tp_state *s, const char *name, tp_scaler *sc)
{
    return add(s, SCALER, name, sc);
}

bool tp_state_sched(tp_state *s, const char *name, tp_sched *sc)
{
    return add(s, SCHED, name, sc);
}

bool tp_state_loader(tp_state *s, const char *name, tp_loader *l)
{
    return add(s, LOADER, name, l);
}

bool tp_state_tensor(tp_state *s, const char *name, tp_tensor **t)
{
    return add(s, TENSOR, name, t);
}

bool tp_state_i64(tp_state *s, const char *name, int64_t *v)
{
    return add(s, I64, name, v);
}

bool tp_state_count(tp_state *s, const char *name, int64_t *v)
{
    return add(s, COUNT, name, v);
}

bool tp_state_f64(tp_state *s, const char *name, double *v)
{
    return add(s, F64, name, v);
}

bool tp_state_text(tp_state *s, const char *name, const char *text)
{
    char *copy;

    if (!tp_ok()) return false;
    TP_REQUIRE(!name || (strcmp(name, "format") && strcmp(name, "threads") &&
                         strcmp(name, "processor")),
               TP_ERR_ARG, "%s is a text of every state", name);
    copy = text ? tp__strdup(text) : NULL;
    if (add(s, TEXT, name, copy)) return true;
    tp__free_text(copy);
    return false;
}

/* ---- all of it as a list of tensors ---- */

typedef struct item {
    char name[400];
    tp_tensor *t;    /* what is saved, or loaded into */
    tp_tensor *read; /* from the file */
} item;

typedef struct list {
    item *items;
    int n, room;
    const char *prefix;
} list;

static bool push(list *l, const char *name, tp_tensor *t)
{
    item *it;

    TP_REQUIRE_IN("tp_state", t, TP_ERR_ARG, "%s isn't there yet: call tp_nn_init first",
                  name);
    if (l->n == l->room) {
        int room = l->room ? 2 * l->room : 64;
        item *grown = tp__grow(l->items, sizeof *grown * (size_t)l->room,
                               sizeof *grown * (size_t)room);

        if (!grown) return false;
        l->items = grown, l->room = room;
    }
    it = &l->items[l->n++];
    it->t = t, it->read = NULL;
    if (l->prefix)
        snprintf(it->name, sizeof it->name, "%s.%s", l->prefix, name);
    else
        snprintf(it->name, sizeof it->name, "%s", name);
    return true;
}

static bool push_each(void *user, const char *name, tp_tensor **t)
{
    return push(user, name, *t);
}

/* Two host numbers as a lent tensor. */
static tp_tensor *pair(int64_t a, int64_t b)
{
    return tp_from((int64_t[]){ a, b }, TP_SHAPE(2), TP_I64, tp__cpu());
}

static void numbers_of(const tp_loader *l, int64_t *v)
{
    tp_position at = tp_data_position(l);
    tp_loader_opts o = tp_data_opts(l);

    v[PASS] = at.pass, v[BATCH] = at.batch, v[BATCH_SIZE] = o.batch,
    v[SAMPLES] = tp_data_count(tp_data_of(l));
    v[SHUFFLED] = o.shuffle, v[SEED] = (int64_t)o.seed;
}

static tp_tensor *host_value(const entry *e)
{
    int64_t v[LOADER_NUMBERS], at[TP_SCHED_NUMBERS];
    tp_rng rng;

    switch (e->kind) {
    case SCHED:
        return tp_from(at, TP_SHAPE(tp__sched_numbers(e->what, at)), TP_I64, tp__cpu());
    case LOADER:
        return numbers_of(e->what, v),
               tp_from(v, TP_SHAPE(LOADER_NUMBERS), TP_I64, tp__cpu());
    case RNG:
        return rng = tp_rng_save(), pair((int64_t)rng.seed, (int64_t)rng.offset);
    case I64:
    case COUNT:
        return tp_from(e->what, TP_SCALAR, TP_I64, tp__cpu());
    case F64:
        return tp_from(e->what, TP_SCALAR, TP_F64, tp__cpu());
    default:
        return *(tp_tensor **)e->what;
    }
}

static bool gather_one(list *l, const entry *e)
{
    l->prefix = e->name;
    if (e->kind == MODULE)
        return tp_nn_each(tp_nn_params(e->what, "*"), true, push_each, l) >= 0;
    if (e->kind == OPTIM) return tp_optim_each(e->what, push_each, l) >= 0;
    if (e->kind == SCALER) return tp_scaler_each(e->what, push_each, l) >= 0;
    if (e->kind == AVERAGES) return tp_ema_each(e->what, push_each, l) >= 0;
    l->prefix = NULL;
    if (e->kind == TEXT) return true;
    if (e->kind == TENSOR && !*(tp_tensor **)e->what) return true; /* nothing kept yet */
    return push(l, e->name, host_value(e));
}

static const entry generator = { RNG, "rng", NULL };

static bool gather(tp_state *s, list *l)
{
    for (int i = 0; i < s->n; i++)
        if (!gather_one(l, &s->entries[i])) return false;
    return gather_one(l, &generator);
}

static void free_list(list *l)
{
    tp__release(l->items, sizeof *l->items * (size_t)l->room);
}

/* ---- saving ---- */

enum { OF_MACHINE = 3 };
static const char format[] = "taper state 1";

/* What the same bits depend on beside the file. */
static void machine(char *threads, size_t room, tp_meta *meta)
{
    snprintf(threads, room, "%d", tp_threads());
    meta[0] = (tp_meta){ "format", format };
    meta[1] = (tp_meta){ "threads", threads };
    meta[2] = (tp_meta){ "processor", tp_device_describe(tp__cpu()) };
}

/* A text of the program's, or a note of a module's, by its key in the file. */
typedef struct text {
    char key[400];
    const char *text;
    bool is_note;
} text;

/* How many there are; they go to `to` unless that is NULL. */
static int texts_of(const tp_state *s, text *to)
{
    int n = 0;

    for (int i = 0; i < s->n; i++) {
        const entry *e = &s->entries[i];
        const tp_module *m = e->kind == MODULE ? e->what : NULL;
        tp_meta note;

        if (e->kind == TEXT && to)
            to[n].text = e->what, to[n].is_note = false,
            snprintf(to[n].key, sizeof to->key, "%s", e->name);
        n += e->kind == TEXT;
        for (int k = 0; (note = tp_nn_note_at(m, k)).key; k++, n++)
            if (to)
                to[n].text = note.value, to[n].is_note = true,
                snprintf(to[n].key, sizeof to->key, "%s.%s", e->name, note.key);
    }
    return n;
}

static bool write_list(tp_state *s, const list *l, const char *path, bool trial)
{
    int n = texts_of(s, NULL), all = OF_MACHINE + n;
    size_t bytes = sizeof(tp_named) * (size_t)l->n, more = sizeof(tp_meta) * (size_t)all,
           most = sizeof(text) * (size_t)n;
    tp_named *named = tp__alloc(bytes);
    tp_meta *meta = tp__alloc(more);
    text *texts = tp__alloc(most);
    char threads[16];
    bool ok = named && meta && texts;

    for (int i = 0; ok && i < l->n; i++)
        named[i] = (tp_named){ l->items[i].name, l->items[i].t };
    if (ok) machine(threads, sizeof threads, meta), texts_of(s, texts);
    for (int i = 0; ok && i < n; i++)
        meta[OF_MACHINE + i] = (tp_meta){ texts[i].key, texts[i].text };
    ok = ok && (trial ? tp__file_try : tp_file_save)(path, named, l->n, meta, all);
    tp__release(named, bytes), tp__release(meta, more), tp__release(texts, most);
    return ok;
}

static bool save(const char *where, tp_state *s, const char *path, bool trial)
{
    list l = { 0 };
    bool ok;

    TP_SCOPE;
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, s && path, TP_ERR_ARG, "missing state or path");
    ok = gather(s, &l) && write_list(s, &l, path, trial);
    free_list(&l);
    return ok;
}

bool tp_state_save(tp_state *s, const char *path)
{
    tp__log_flush_all(); /* a run that ends after this goes on from here, its log too */
    return save(__func__, s, path, false);
}

bool tp_state_try(tp_state *s, const char *path)
{
    return save(__func__, s, path, true);
}

/* ---- loading: check and read everything, then change ---- */

static bool check_item(tp_file *f, const char *path, item *it)
{
    int i = tp_file_find(f, it->name);
    tp_shape s = tp_file_shape(f, i);

    TP_REQUIRE_IN("tp_state_load", i >= 0, TP_ERR_FORMAT,
                  "%s holds no %s: it is the state of another program", path, it->name);
    TP_REQUIRE_IN("tp_state_load",
                  tp__same(&s, &it->t->shape) && tp_file_dtype(f, i) == it->t->dtype,
                  TP_ERR_FORMAT, "%s: %s is %s %s there and %s here", path, it->name,
                  tp_dtype_name(tp_file_dtype(f, i)), tp__shape_text(s), tp__text(it->t));
    return (it->read = tp_file_read(f, i, tp_device_of(it->t))) != NULL;
}

/* Tensors that the program has not kept yet take the file's shape. */
static bool read_unkept(tp_state *s, tp_file *f, list *l, int *extra)
{
    for (int k = 0; k < s->n; k++) {
        const entry *e = &s->entries[k];
        int i = tp_file_find(f, e->name);
        tp_tensor *t;

        if (e->kind != TENSOR || *(tp_tensor **)e->what || i < 0) continue;
        if (!(t = tp_file_read(f, i, tp__cpu()))) return false;
        l->prefix = NULL;
        if (!push(l, e->name, t)) return false;
        l->items[l->n - 1].read = t, ++*extra;
    }
    return true;
}

static tp_tensor *loaded(const list *l, const char *name)
{
    for (int i = 0; i < l->n; i++)
        if (!strcmp(l->items[i].name, name)) return l->items[i].read;
    return NULL;
}

static bool check_loader(const entry *e, const char *path, tp_tensor *t)
{
    int64_t v[LOADER_NUMBERS], here[LOADER_NUMBERS], most = tp_data_batches(e->what);

    numbers_of(e->what, here);
    if (!tp_read(t, v, sizeof v)) return false;
    TP_REQUIRE_IN(
        "tp_state_load", v[SAMPLES] == here[SAMPLES], TP_ERR_FORMAT,
        "%s: %s has %lld samples there and %lld here: it is of other data (-1: a stream)",
        path, e->name, (long long)v[SAMPLES], (long long)here[SAMPLES]);
    TP_REQUIRE_IN("tp_state_load", v[BATCH_SIZE] == here[BATCH_SIZE], TP_ERR_FORMAT,
                  "%s: %s has a batch size of %lld there and %lld here", path, e->name,
                  (long long)v[BATCH_SIZE], (long long)here[BATCH_SIZE]);
    TP_REQUIRE_IN("tp_state_load",
                  v[PASS] >= 0 && v[PASS] <= TP_PASSES && v[BATCH] >= 0 &&
                      (most < 0 || v[BATCH] <= most),
                  TP_ERR_FORMAT,
                  "%s: %s stands at batch %lld of pass %lld, which can't be", path,
                  e->name, (long long)v[BATCH], (long long)v[PASS]);
    return true;
}

/* Another order is no error: the samples that are left of this pass are others. */
static void note_order(const tp_state *s, const list *l)
{
    for (int i = 0; i < s->n; i++) {
        const entry *e = &s->entries[i];
        int64_t v[LOADER_NUMBERS], here[LOADER_NUMBERS];

        if (e->kind != LOADER || !tp_read(loaded(l, e->name), v, sizeof v)) continue;
        numbers_of(e->what, here);
        if (v[SHUFFLED] != here[SHUFFLED] || (v[SHUFFLED] && v[SEED] != here[SEED]))
            tp__log(1,
                    "%s comes in another order than in the run that is resumed (seed "
                    "%lld there, %lld here): of the pass "
                    "it is in, some samples come twice and others not at all",
                    e->name, (long long)v[SEED], (long long)here[SEED]);
    }
}

/* Places that a schedule or loader would refuse, when it is too late. */
static bool check_place(const entry *e, const char *path, const list *l)
{
    int64_t v[TP_SCHED_NUMBERS] = { 0 }, n = 1;

    if (e->kind == LOADER) return check_loader(e, path, loaded(l, e->name));
    if (e->kind != SCHED && e->kind != COUNT) return true;
    if (e->kind == SCHED) n = tp__sched_numbers(e->what, v);
    if (!tp_read(loaded(l, e->name), v, sizeof *v * (size_t)n)) return false;
    TP_REQUIRE_IN("tp_state_load", v[0] >= 0 && v[2] >= 0 && v[3] >= 0, TP_ERR_FORMAT,
                  "%s: %s stands at %lld: 0 or more is wanted", path, e->name,
                  (long long)(v[0] < 0   ? v[0]
                              : v[2] < 0 ? v[2]
                                         : v[3]));
    return true;
}

/* Notes tell what numbers mean: tokens, classes. */
static bool check_notes(const tp_state *s, const tp_file *f, const char *path)
{
    int n = texts_of(s, NULL);
    text *t = tp__alloc(sizeof *t * (size_t)n);
    bool ok = t != NULL;

    if (ok) texts_of(s, t);
    for (int i = 0; ok && i < n; i++) {
        const char *then = tp_file_meta(f, t[i].key);

        if (!t[i].is_note || (then && !strcmp(then, t[i].text))) continue;
        tp__fail(TP_ERR_FORMAT, "tp_state_load", "%s: %s %s: it is of other data", path,
                 t[i].key, then ? "is another text there" : "isn't there");
        ok = false;
    }
    tp__release(t, sizeof *t * (size_t)n);
    return ok;
}

static bool check(tp_state *s, tp_file *f, const char *path, list *l)
{
    int known = l->n, extra = 0;
    const char *of = tp_file_meta(f, "format");

    TP_REQUIRE_IN("tp_state_load", of && !strcmp(of, format), TP_ERR_FORMAT,
                  "%s is no state of this version: its format is \"%s\", not \"%s\"",
                  path, of ? of : "", format);
    if (!check_notes(s, f, path)) return false;
    for (int i = 0; i < known; i++)
        if (!check_item(f, path, &l->items[i])) return false;
    for (int i = 0; i < s->n; i++)
        if (!check_place(&s->entries[i], path, l)) return false;
    if (!read_unkept(s, f, l, &extra)) return false;
    TP_REQUIRE_IN(
        "tp_state_load", tp_file_count(f) == known + extra, TP_ERR_FORMAT,
        "%s holds %d tensors where %d are known: it is the state of another program",
        path, tp_file_count(f), known + extra);
    return true;
}

/* Optimizers show other tensors once their loading has begun: as many, in the same order. */
static bool begin(tp_state *s, list *l)
{
    list now = { 0 };
    bool ok = true;

    for (int i = 0; ok && i < s->n; i++)
        if (s->entries[i].kind == OPTIM) ok = tp_optim_load_begin(s->entries[i].what);
    ok = ok && gather(s, &now);
    for (int i = 0; ok && i < now.n; i++)
        l->items[i].t = now.items[i].t;
    free_list(&now);
    return ok;
}

static bool apply_host(const entry *e, const list *l)
{
    tp_tensor *t = loaded(l, e->name);
    int64_t v[LOADER_NUMBERS] = { 0 };
    size_t n = 2;

    switch (e->kind) {
    case MODULE:
    case AVERAGES:
    case TEXT:
    case SCALER:
        return true;
    case OPTIM:
        return tp_optim_load_end(e->what);
    case TENSOR:
        return !t || *(tp_tensor **)e->what || tp_store(e->what, t);
    case I64:
    case COUNT:
        return tp_read(t, e->what, sizeof *v);
    case F64:
        return tp_read(t, e->what, sizeof(double));
    default:
        break;
    }
    if (e->kind == SCHED) n = (size_t)tp__sched_numbers(e->what, v);
    if (!tp_read(t, v, e->kind == LOADER ? sizeof v : n * sizeof *v)) return false;
    if (e->kind == SCHED) return tp__sched_restore(e->what, v);
    if (e->kind == LOADER)
        return tp_data_seek(e->what, (tp_position){ v[PASS], v[BATCH] });
    return tp_rng_restore((tp_rng){ (uint64_t)v[0], (uint64_t)v[1] }), true;
}

static bool apply(tp_state *s, const list *l)
{
    TP_NO_GRAD;
    for (int i = 0; i < s->n;
         i++) /* a stream may not find its place: before anything else changes */
        if (s->entries[i].kind == LOADER && !apply_host(&s->entries[i], l)) return false;
    for (int i = 0; i < l->n; i++)
        if (l->items[i].read != l->items[i].t &&
            !tp_copy_(l->items[i].t, l->items[i].read))
            return false;
    for (int i = 0; i < s->n; i++)
        if (s->entries[i].kind != LOADER && s->entries[i].kind != SCHED &&
            !apply_host(&s->entries[i], l))
            return false;
    for (int i = 0; i < s->n;
         i++) /* which look at the rates that optimizers have by now */
        if (s->entries[i].kind == SCHED && !apply_host(&s->entries[i], l)) return false;
    return apply_host(&generator, l);
}

static void note_machine(const tp_file *f)
{
    char threads[16];
    tp_meta meta[OF_MACHINE];

    machine(threads, sizeof threads, meta);
    for (int i = 1; i < OF_MACHINE; i++) {
        const char *then = tp_file_meta(f, meta[i].key);

        if (then && strcmp(then, meta[i].value) != 0)
            tp__log(1,
                    "resuming with %s \"%s\", saved with \"%s\": results need not be the "
                    "same bit for bit",
                    meta[i].key, meta[i].value, then);
    }
}

bool tp_state_load(tp_state *s, const char *path)
{
    list l = { 0 };
    tp_file *f;
    bool ok;

    TP_SCOPE;
    if (!tp_ok()) return false;
    TP_REQUIRE(s && path, TP_ERR_ARG, "missing state or path");
    if (!(f = tp_file_open(path))) return false;
    ok = gather(s, &l) && check(s, f, path, &l) && begin(s, &l) && apply(s, &l);
    if (ok) note_machine(f), note_order(s, &l);
    tp_file_close(f);
    free_list(&l);
    return ok;
}
