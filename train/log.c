/*
 * log.c - the values of a run: a row of log.csv for each step, and a line on the terminal.
 *
 * A number on a device is copied to the host when it is added, and waited for one step later, when the
 * device has long finished with it.  A state that is saved between has its row written ahead; what
 * comes for that step afterwards takes the row back and writes it anew.
 */
#include "train/log.h"

#include "tensor/part.h"
#include "tensor/plain.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 8192 }; /* more than all keys, or numbers, take */

double tp__now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- all that are open, so that a saved state finds their rows on disk ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static tp_logger *open_ones;

static void enlist(tp_logger *l)
{
    pthread_mutex_lock(&lock);
    l->next = open_ones, open_ones = l;
    pthread_mutex_unlock(&lock);
}

static void delist(tp_logger *l)
{
    pthread_mutex_lock(&lock);
    for (tp_logger **at = &open_ones; *at; at = &(*at)->next)
        if (*at == l) {
            *at = l->next;
            break;
        }
    pthread_mutex_unlock(&lock);
}

static void flush_files(tp_logger *l)
{
    if (l->csv) fflush(l->csv);
    if (l->json) fflush(l->json);
    if (l->events) fflush(l->events);
}

/* ---- opening ---- */

static void remember(tp_track *t, int64_t step, double v)
{
    if (t->n == t->room) { /* every other point goes: a curve has no more pixels than that */
        for (int64_t i = 0; i < t->n / 2; i++)
            t->x[i] = t->x[2 * i], t->y[i] = t->y[2 * i];
        t->n /= 2, t->every = t->every ? 2 * t->every : 2;
    }
    if (t->every && step % t->every) return;
    t->x[t->n] = (double)step, t->y[t->n++] = v;
}

static bool has_room(tp_track *t)
{
    if (t->x) return true;
    t->x = tp__alloc(sizeof *t->x * TP_POINTS), t->y = tp__alloc(sizeof *t->y * TP_POINTS);
    t->room = t->x && t->y ? TP_POINTS : 0;
    return t->room > 0;
}

/* An earlier row, the step, then a number or nothing for each key: for the curves, or, of the step
 * where ours begin, to be gone on with. */
static void take_row(tp_logger *l, const char *line, int64_t step)
{
    bool ours = l->o.from && step == l->o.from;

    for (int i = 0; i < l->n && (line = strchr(line, ',')); i++) {
        tp_track *t = &l->track[i];
        char *end;
        double v = tp__strtod(++line, &end);

        if (end == line || isnan(v)) continue;
        if (ours) t->now = v, t->told = true;
        else if (l->o.plot && has_room(t)) remember(t, step, v);
    }
    l->ahead = ours;
}

/* Where an earlier log's rows end that ours go on below: before those of steps that are made
 * again, and before one cut short. */
static long end_of_rows(tp_logger *l, FILE *f)
{
    char line[LINE];
    long end = ftell(f);

    while (fgets(line, sizeof line, f) && strchr(line, '\n') && (!l->o.from || atoll(line) <= l->o.from)) {
        l->csv_at = end;
        take_row(l, line, atoll(line));
        end = ftell(f);
    }
    return end;
}

/* An earlier log's columns, so that ours go on below them. */
static bool read_columns(tp_logger *l, const char *path)
{
    FILE *f = fopen(path, "r+");
    char line[LINE];

    if (!f) return true;
    if (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        for (char *rest = line, *key = strtok_r(line, ",", &rest); key; key = strtok_r(NULL, ",", &rest))
            if (strcmp(key, "step") != 0 && !tp__log_track(l, key)) break;
        l->columns = l->n;
        if (ftruncate(fileno(f), end_of_rows(l, f)))
            tp__fail(TP_ERR_IO, "tp_log_open", "%s can't be written: %s", path, strerror(errno));
    }
    fclose(f);
    return tp_ok();
}

/* The folder is ours until the log is closed.  Where it can't be locked at all (some network file systems
 * have no locks) it is ours too. */
static bool lock_folder(tp_logger *l)
{
    l->folder = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    TP_REQUIRE_IN("tp_log_open", l->folder < 0 || !flock(l->folder, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK,
                  TP_ERR_IO, "another run writes its log into %s: give each a folder of its own", l->dir);
    return true;
}

FILE *tp__log_file(const char *path, bool append)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : 0), 0666);
    FILE *f = fd < 0 ? NULL : fdopen(fd, append ? "a" : "w");

    if (fd >= 0 && !f) close(fd);
    return f;
}

/* A device, which has no end, can't be emptied, and needn't. */
static bool empty(FILE *f)
{
    return !f || (fseek(f, 0, SEEK_SET) == 0 && ftruncate(fileno(f), 0) == 0) || errno == EINVAL || errno == ESPIPE;
}

/* An earlier log that ours doesn't go on below gives way to it, and not to a run that fails at once. */
void tp__log_start(tp_logger *l)
{
    if (l->started) return;
    l->started = true;
    if (!l->o.append && !empty(l->csv)) l->incomplete = true;
    if (!l->o.append && !empty(l->json)) l->json_lost = true;
    if (!l->o.append && !empty(l->events)) l->events_lost = true;
    tp__log_events_start(l);
}

static bool open_csv(tp_logger *l)
{
    char path[4096];

    if (!l->dir) return true;
    if (!tp_train_folder(l->dir) || !lock_folder(l)) return false;
    snprintf(path, sizeof path, "%s/log.csv", l->dir);
    if (l->o.append && !read_columns(l, path)) return false;
    l->csv = tp__log_file(path, l->o.append);
    TP_REQUIRE_IN("tp_log_open", l->csv, TP_ERR_IO, "%s can't be written: %s", path, strerror(errno));
    return true;
}

tp_logger *tp_log_open(tp_log_opts o)
{
    tp_logger *l = tp_ok() ? tp__alloc_zeroed(sizeof *l) : NULL;

    if (!l) return NULL;
    l->o = o, l->step = o.from, l->start = tp__now();
    l->thread = tp__me();
    l->json_at = -1, l->folder = -1;
    l->terminal = o.bar && isatty(STDERR_FILENO);
    if ((!o.dir || (l->dir = tp__strdup(o.dir))) && open_csv(l) && tp__log_json_open(l) && tp__log_events_open(l))
        return enlist(l), l;
    if (l->csv) fclose(l->csv);
    if (l->json) fclose(l->json);
    if (l->events) fclose(l->events);
    tp__log_free(l);
    return NULL;
}

/* ---- values ---- */

tp_track *tp__log_track(tp_logger *l, const char *key)
{
    for (int i = 0; i < l->n; i++)
        if (!strcmp(l->track[i].key, key)) return &l->track[i];
    TP_REQUIRE_IN("tp_log", l->n < TP_TRACKS && strlen(key) < sizeof l->track->key &&
                  !strpbrk(key, ",\"\n\r") && strcmp(key, "step") != 0, TP_ERR_ARG,
                  "\"%s\" can't be logged: at most %d keys of 63 characters, without commas, and not step",
                  key, TP_TRACKS);
    TP_REQUIRE_IN("tp_log", (!l->json && !l->events) || tp__is_utf8(key), TP_ERR_ARG,
                  "a key that isn't UTF-8 can't be logged as JSON or for TensorBoard");
    strcpy(l->track[l->n].key, key);
    l->track[l->n].now = NAN;
    return &l->track[l->n++];
}

static tp_track *track_for(const char *where, tp_logger *l, const char *key)
{
    if (!l || !tp_ok()) return NULL;
    TP_REQUIRE_IN(where, key && *key, TP_ERR_ARG, "missing key");
    return tp__log_track(l, key);
}

void tp_log_value(tp_logger *l, const char *key, double v)
{
    tp_track *t = track_for(__func__, l, key);

    if (t) t->now = v, t->told = false, l->late = true;
}

static bool is_one(const char *where, const char *key, const tp_tensor *t)
{
    TP_REQUIRE_IN(where, t, TP_ERR_ARG, "\"%s\": missing tensor", key);
    if (!tp__there(where, t)) return false;
    TP_REQUIRE_IN(where, tp_count(t) == 1, TP_ERR_SHAPE, "\"%s\" is %s: one element is wanted", key,
                  tp__text(t));
    return true;
}

void tp_log_add(tp_logger *l, const char *key, tp_tensor *value)
{
    tp_track *t = track_for(__func__, l, key);

    if (!t || !is_one(__func__, key, value)) return;
    tp__later_free(t->added);
    t->added = tp__later(__func__, value);
}

/* ---- steps ---- */

static void read_due(tp_track *t)
{
    if (t->due) t->now = tp__later_item(t->due), t->due = NULL;
}

/* The value that belongs to the step that ends the row, or NaN. */
static double settle(tp_logger *l, tp_track *t)
{
    double v;

    read_due(t);
    v = t->now, t->now = NAN;
    t->due = t->added, t->added = NULL;
    if (!isnan(v)) t->last = v, t->seen = true;
    if (!isnan(v) && has_room(t)) remember(t, l->row, v);
    return v;
}

static void put_header(const tp_logger *l, FILE *f)
{
    fputs("step", f);
    for (int i = 0; i < l->n; i++)
        fprintf(f, ",%s", l->track[i].key);
    fputc('\n', f);
}

/* Keys that came after the header: it is written anew, above the same rows. */
static bool widen_header(const tp_logger *l, const char *path)
{
    FILE *old = fopen(path, "r");
    char line[LINE];
    tp_part p;
    bool ok;

    if (!old) return errno == ENOENT; /* taken away meanwhile */
    if ((ok = tp__part_open(&p, path))) {
        put_header(l, p.f);
        for (bool first = true; fgets(line, sizeof line, old); first = false)
            if (!first) fputs(line, p.f);
        if ((ok = !ferror(old))) ok = tp__part_take(&p);
        else tp__part_drop(&p);
    }
    fclose(old);
    return ok;
}

/* The file goes on behind the new header; when that fails the old one does, and closing tells. */
static void widen(tp_logger *l)
{
    char path[4096];
    FILE *again;

    snprintf(path, sizeof path, "%s/log.csv", l->dir);
    if (fflush(l->csv) || !widen_header(l, path) || !(again = fopen(path, "a"))) {
        l->incomplete = true;
        return;
    }
    pthread_mutex_lock(&lock);
    fclose(l->csv), l->csv = again;
    pthread_mutex_unlock(&lock);
}

/* The header is on disk as soon as there are keys. */
static void show_keys(tp_logger *l)
{
    if (!l->csv || l->n == l->columns) return;
    if (l->columns) widen(l);
    else put_header(l, l->csv), fflush(l->csv);
    l->columns = l->n;
}

/* For TensorBoard each value is a record of its own: those that it has already are left out. */
static void tell_events(tp_logger *l, const double *v)
{
    double fresh[TP_TRACKS];

    for (int i = 0; i < l->n; i++)
        fresh[i] = l->track[i].told ? NAN : v[i], l->track[i].told = !isnan(v[i]);
    tp__log_events_row(l, fresh);
}

static void put_csv(const tp_logger *l, const double *v)
{
    if (!l->n) return; /* without a key there is no header yet */
    fprintf(l->csv, "%lld", (long long)l->row);
    for (int i = 0; i < l->n; i++)
        fprintf(l->csv, isnan(v[i]) ? "," : ",%.9g", v[i]);
    fputc('\n', l->csv);
}

/* Rows are on disk a second later, whatever ends the program. */
static void put_row(tp_logger *l, const double *v)
{
    TP_PLAIN;
    if (!l->csv) return;
    put_csv(l, v);
    tp__log_json_row(l, v), tell_events(l, v);
    if (tp__now() - l->flushed < 1) return;
    flush_files(l), l->flushed = tp__now();
}

/* What f has from `at` on goes. */
static bool cut(FILE *f, long at)
{
    struct stat st;

    if (!f || at < 0) return true;
    if (fflush(f) || fstat(fileno(f), &st)) return false;
    return st.st_size <= at || (ftruncate(fileno(f), at) == 0 && fseek(f, at, SEEK_SET) == 0);
}

/* Before a row: the one that was written ahead goes, if this is the same; the header stands. */
static void begin_row(tp_logger *l)
{
    tp__log_start(l);
    if (l->ahead && !cut(l->csv, l->csv_at)) l->incomplete = true;
    if (l->ahead && !cut(l->json, l->json_at)) l->json_lost = true;
    show_keys(l);
}

static void end_row(tp_logger *l)
{
    bool whole = l->ahead && !l->late, any = false;
    double v[TP_TRACKS];

    if (whole) show_keys(l); /* of the next row */
    else begin_row(l);
    for (int i = 0; i < l->n; i++)
        v[i] = settle(l, &l->track[i]), any = any || !isnan(v[i]);
    if (!whole && (any || l->row != l->o.from)) put_row(l, v);
    for (int i = 0; i < l->n; i++)
        l->track[i].told = false;
    l->ahead = l->late = false;
}

static long end_of(FILE *f)
{
    return f && !fseek(f, 0, SEEK_END) ? ftell(f) : -1;
}

/* The row of the last step that ended, before the next one writes it. */
static void write_ahead(tp_logger *l)
{
    double v[TP_TRACKS];
    bool any = false;

    l->row = l->step;
    begin_row(l);
    for (int i = 0; i < l->n; i++)
        read_due(&l->track[i]), v[i] = l->track[i].now, any = any || !isnan(v[i]);
    l->csv_at = end_of(l->csv), l->json_at = end_of(l->json);
    if (any || l->row != l->o.from) put_row(l, v);
    l->ahead = true, l->late = false;
}

/* One of this thread's whose last row isn't written; others make their steps meanwhile. */
static tp_logger *next_behind(void)
{
    tp_logger *l;

    pthread_mutex_lock(&lock);
    for (l = open_ones; l && (l->thread != tp__me() || (l->ahead && !l->late)); l = l->next) {
    }
    pthread_mutex_unlock(&lock);
    return l;
}

void tp__log_flush_all(void)
{
    for (tp_logger *l; tp_ok() && (l = next_behind());)
        write_ahead(l);
    pthread_mutex_lock(&lock);
    for (tp_logger *l = open_ones; l; l = l->next)
        flush_files(l);
    pthread_mutex_unlock(&lock);
}

void tp_log_step(tp_logger *l)
{
    if (!l || !tp_ok()) return;
    l->thread = tp__me();
    l->row = l->step; /* what was due belongs to the step before */
    end_row(l);
    l->step++;
    l->done += l->items ? l->items : l->o.items ? l->o.items : 1, l->items = 0;
    tp__log_bar(l, false);
}

void tp_log_items(tp_logger *l, int64_t n)
{
    if (l && n > 0) l->items = n;
}

double tp_log_seconds(const tp_logger *l)
{
    return l ? tp__now() - l->start : 0;
}

double tp_log_rate(const tp_logger *l)
{
    double seconds = tp_log_seconds(l);

    return seconds > 0 ? (double)l->done / seconds : 0;
}

/* ---- closing ---- */

void tp__log_free(tp_logger *l)
{
    for (int i = 0; i < l->n; i++) {
        tp_track *t = &l->track[i];

        tp__later_free(t->added), tp__later_free(t->due);
        tp__release(t->x, sizeof *t->x * TP_POINTS), tp__release(t->y, sizeof *t->y * TP_POINTS);
    }
    if (l->folder >= 0) close(l->folder);
    tp__free_text(l->dir);
    tp__release(l, sizeof *l);
}

/* lost: something wasn't written before now. */
static bool close_file(tp_logger *l, FILE *f, bool lost, const char *name)
{
    bool ok = !f || (!ferror(f) && !lost);

    if (f && fclose(f)) ok = false;
    if (!ok) tp__fail(TP_ERR_IO, "tp_log_close", "%s/%s is not complete: %s", l->dir, name, strerror(errno));
    return ok;
}

/* All of them, also after one that failed; the first error stands. */
static bool close_files(tp_logger *l)
{
    bool csv = close_file(l, l->csv, l->incomplete, "log.csv"), json = close_file(l, l->json, l->json_lost, "log.jsonl");

    return close_file(l, l->events, l->events_lost, "events.out.tfevents.taper") && csv && json;
}

bool tp_log_close(tp_logger *l)
{
    bool ok;

    if (!l) return true;
    if (tp_ok()) l->row = l->step, end_row(l);
    tp__log_bar(l, true);
    delist(l);
    ok = close_files(l);
    if (ok && l->o.plot && tp_ok()) ok = tp__log_plot(l);
    tp__log_free(l);
    return ok && tp_ok();
}
