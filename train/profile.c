/*
 * profile.c - gathers what a thread's probe is told: one row for each op, module and phase.
 *
 * An op is from its check of inputs, or its first kernel, to its record.  Kernels that no record
 * claims before the next check stand for themselves.  A backward is one event, whatever derivative
 * ops it calls; a checkpoint's second run inside it shows its ops, whose time isn't the backward's.
 *
 * Memory comes from malloc and may be short: then something is missing here, and the run goes on.
 */
#include "train/profiling.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static _Atomic(tp_profile *) current;

/* ---- rows ---- */

static unsigned hash_of(const char *name, const char *module, tp_phase phase)
{
    unsigned h = 2166136261u + phase;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    for (; *module; module++)
        h = (h ^ (unsigned char)*module) * 16777619u;
    return h;
}

/* Where the row is in the index, or would be. */
static int *place_of(const tp_profile *p, const char *name, const char *module, tp_phase phase)
{
    unsigned at = hash_of(name, module, phase), mask = (unsigned)p->room_index - 1;

    for (;; at++) {
        int *i = &p->index[at & mask];

        if (*i < 0) return i;
        if (p->row[*i].phase == phase && !strcmp(p->row[*i].name, name) &&
            !strcmp(p->row[*i].module, module))
            return i;
    }
}

static bool more_rows(tp_profile *p)
{
    int room = p->room_row ? 2 * p->room_row : 128;
    tp_profile_row *row = realloc(p->row, sizeof *row * (size_t)room);
    int *index = malloc(sizeof *index * 4 * (size_t)room);

    if (row) p->row = row;
    if (!row || !index) return free(index), false;
    free(p->index), p->index = index, p->room_row = room, p->room_index = 4 * room;
    memset(index, -1, sizeof *index * 4 * (size_t)room);
    for (int i = 0; i < p->n_row; i++)
        *place_of(p, row[i].name, row[i].module, row[i].phase) = i;
    return true;
}

/* Its number; -1 without memory. */
static int row_of(tp_profile *p, const char *name, const char *module, tp_phase phase)
{
    char short_name[sizeof p->row->name], *copy;
    tp_profile_row *r;
    int *i;

    snprintf(short_name, sizeof short_name, "%s", name);
    if (p->n_row == p->room_row && !more_rows(p)) return -1;
    i = place_of(p, short_name, module, phase);
    if (*i >= 0) return *i;
    if (!(copy = malloc(strlen(module) + 1))) return -1;
    strcpy(copy, module);
    r = &p->row[p->n_row], *i = p->n_row++;
    *r = (tp_profile_row){ .module = copy, .phase = phase };
    memcpy(r->name, short_name, sizeof r->name);
    return *i;
}

/* ---- events ---- */

static bool push(tp_profile *p, tp_event **all, int64_t *n, int64_t *room, tp_event e)
{
    if (*n >= p->o.events) return false;
    if (*n == *room) {
        int64_t more = *room ? 2 * *room : 1024;
        tp_event *grown = realloc(*all, sizeof *grown * (size_t)more);

        if (!grown) return false;
        *all = grown, *room = more;
    }
    (*all)[(*n)++] = e;
    return true;
}

/* A call that ended; `inside` of its time belongs to others. */
static void count(tp_profile *p, const char *name, tp_phase phase, double begin, double seconds,
                  double inside, tp_cost c)
{
    int at = row_of(p, name, tp__path_text(), phase);

    if (p->depth > 0 && p->depth <= TP_PROFILE_DEPTH) p->frame[p->depth - 1].inside += seconds;
    if (at < 0) return;
    p->row[at].calls++, p->row[at].seconds += seconds, p->row[at].self += seconds - inside;
    p->row[at].flops += c.flops, p->row[at].bytes += c.bytes;
    if (p->trace &&
        !push(p, &p->event, &p->n_event, &p->room_event, (tp_event){ at, 0, begin, seconds, c }))
        p->lost++;
}

static const tp_frame *top(const tp_profile *p)
{
    return p->depth > 0 && p->depth <= TP_PROFILE_DEPTH ? &p->frame[p->depth - 1] : NULL;
}

/* Within a backward all belongs to it, but for a second run. */
static bool quiet(const tp_profile *p)
{
    const tp_frame *f = top(p);

    return p->depth > TP_PROFILE_DEPTH ||
           (f && f->kind == TP_PROBE_BACKWARD && !tp__me()->second_run);
}

static tp_phase phase_now(void)
{
    return tp__me()->second_run ? TP_PHASE_AGAIN : TP_PHASE_FORWARD;
}

static void unclaimed(tp_profile *p)
{
    for (int i = 0; i < p->n_pending; i++)
        count(p, p->pending[i].name, TP_PHASE_OTHER, p->pending[i].begin, p->pending[i].seconds, 0,
              (tp_cost){ 0, 0 });
    p->n_pending = 0, p->op_begin = 0;
}

/* ---- what the probe is told ---- */

static double now(const tp_profile *p)
{
    return tp__probe_now() - p->begin;
}

static void on_check(tp_probe *probe)
{
    tp_profile *p = (tp_profile *)probe;

    if (quiet(p)) return;
    unclaimed(p);
    p->op_begin = now(p);
}

static void on_kernel_begins(tp_probe *probe)
{
    tp_profile *p = (tp_profile *)probe;

    if (!quiet(p)) p->kernel_begin = now(p);
}

static void on_kernel(tp_probe *probe, const char *name, const tp_tensor *t)
{
    tp_profile *p = (tp_profile *)probe;
    tp_ctx *c = tp__me()->ctx[tp__device(t)->id];

    if (tp__device(t) != tp__cpu() && c) c->backend->wait(c);
    if (quiet(p)) return;
    if (p->n_pending == TP_PROFILE_PENDING) unclaimed(p);
    if (p->op_begin == 0) p->op_begin = p->kernel_begin;
    p->pending[p->n_pending++] = (tp_ran){ name, p->kernel_begin, now(p) - p->kernel_begin };
}

static void on_op(tp_probe *probe, const char *name, tp_cost c)
{
    tp_profile *p = (tp_profile *)probe;
    const tp_frame *f = top(p);
    double end = now(p), begin;

    if (f && f->kind == TP_PROBE_OP && f->name == name) {
        probe->leave(probe, p->depth - 1);
        return;
    }
    if (quiet(p)) return;
    begin = p->op_begin != 0 ? p->op_begin : end;
    if (!p->n_pending) c = (tp_cost){ 0, 0 }; /* a view */
    p->n_pending = 0, p->op_begin = 0;
    count(p, name, phase_now(), begin, end - begin, 0, c);
}

static int on_enter(tp_probe *probe, tp_probe_kind kind, const char *name, tp_cost c)
{
    tp_profile *p = (tp_profile *)probe;

    if (!quiet(p)) unclaimed(p);
    if (p->depth < TP_PROFILE_DEPTH) p->frame[p->depth] = (tp_frame){ kind, name, now(p), 0, c };
    return p->depth++;
}

static tp_phase phase_of(const tp_frame *f)
{
    if (f->kind == TP_PROBE_BACKWARD) return TP_PHASE_BACKWARD;
    return f->kind == TP_PROBE_SPAN ? TP_PHASE_OTHER : phase_now();
}

/* Ends all frames from `entered` on.  An op within a backward is part of it. */
static void on_leave(tp_probe *probe, int entered)
{
    tp_profile *p = (tp_profile *)probe;

    while (p->depth > entered) {
        const tp_frame *ended;
        tp_frame f;

        if (!quiet(p)) unclaimed(p);
        ended = top(p), p->depth--;
        if (!ended) continue;
        f = *ended;
        if (f.kind == TP_PROBE_BACKWARD || !quiet(p))
            count(p, f.name, phase_of(&f), f.begin, now(p) - f.begin, f.inside, f.cost);
    }
    p->op_begin = 0;
}

static int number_of(tp_profile *p, void *thread)
{
    for (int i = 0; i < p->n_helper; i++)
        if (p->helper[i] == thread) return 1 + i;
    if (p->n_helper == TP_LEN(p->helper)) return TP_LEN(p->helper);
    p->helper[p->n_helper++] = thread;
    return p->n_helper;
}

static void on_other(tp_probe *probe, const char *name, double begin, double end)
{
    tp_profile *p = (tp_profile *)probe;
    tp_event e = { -1, number_of(p, tp__me()), begin - p->begin, end - begin, { 0, 0 } };

    (void)name;
    if (begin >= p->begin) push(p, &p->aside, &p->n_aside, &p->room_aside, e);
}

/* ---- beginning ---- */

static bool open_trace(tp_profile *p, const char *path)
{
    if (!path) return true;
    p->path = tp__strdup(path);
    p->trace = p->path ? fopen(path, "w") : NULL;
    TP_REQUIRE_IN("tp_profile_begin", !tp_ok() || p->trace, TP_ERR_IO, "%s can't be written: %s",
                  path, strerror(errno));
    return tp_ok();
}

static void free_all(tp_profile *p)
{
    for (int i = 0; i < p->n_row; i++)
        free((char *)(uintptr_t)p->row[i].module);
    if (p->trace) fclose(p->trace);
    tp__free_text(p->path);
    free(p->row), free(p->index), free(p->event), free(p->aside);
    tp__release(p, sizeof *p);
}

static bool may_begin(tp_profile_opts o)
{
    const tp_profile *other = atomic_load(&current);

    if (!tp_ok()) return false;
    TP_REQUIRE_IN("tp_profile_begin", o.events >= 0 && o.rows >= 0, TP_ERR_ARG,
                  "%lld events, %d rows: neither may be negative", (long long)o.events, o.rows);
    TP_REQUIRE_IN("tp_profile_begin", !other, TP_ERR_ARG,
                  "one is being taken already: tp_profile_end ends it");
    return true;
}

tp_profile *tp_profile_begin(tp_profile_opts o)
{
    tp_profile *p, *none = NULL;

    if (!may_begin(o) || !(p = tp__alloc_zeroed(sizeof *p))) return NULL;
    if (!o.events) o.events = 1000000;
    if (!o.rows) o.rows = 30;
    p->probe =
        (tp_probe){ on_check, on_kernel_begins, on_kernel, on_op, on_enter, on_leave, on_other };
    p->o = o, p->o.trace = NULL, p->thread = tp__me();
    if (!open_trace(p, o.trace)) return free_all(p), NULL;
    if (!atomic_compare_exchange_strong(&current, &none, p)) {
        free_all(p);
        return tp__fail(TP_ERR_ARG, "tp_profile_begin",
                        "one is being taken already, by another thread");
    }
    tp_memory_reset_peak(tp__cpu());
    p->on = true, p->begin = tp__probe_now();
    tp__me()->probe = &p->probe, tp__probe_helpers(&p->probe);
    return p;
}

/* ---- the end ---- */

static int by_self(const void *a, const void *b)
{
    const tp_profile_row *x = a, *y = b;
    int phase = (int)x->phase - (int)y->phase;

    if (x->self != y->self) return x->self < y->self ? 1 : -1;
    return phase ? phase : strcmp(x->name, y->name);
}

static void add_helpers(tp_profile *p)
{
    int at = p->n_aside ? row_of(p, "a batch", "", TP_PHASE_HELPER) : -1;

    for (int64_t i = 0; at >= 0 && i < p->n_aside; i++) {
        tp_event e = p->aside[i];

        e.row = at;
        p->row[at].calls++, p->row[at].seconds += e.seconds, p->row[at].self += e.seconds;
        if (p->trace && !push(p, &p->event, &p->n_event, &p->room_event, e)) p->lost++;
    }
}

/* Rows of one op in several modules become one. */
static void merge_modules(tp_profile *p)
{
    int n = 0;

    for (int i = 0; i < p->n_row; i++) {
        tp_profile_row r = p->row[i];
        int k = 0;

        *(char *)(uintptr_t)r.module = 0;
        while (k < n && (p->row[k].phase != r.phase || strcmp(p->row[k].name, r.name) != 0)) k++;
        if (k == n) {
            p->row[n++] = r;
            continue;
        }
        p->row[k].calls += r.calls, p->row[k].seconds += r.seconds, p->row[k].self += r.self;
        p->row[k].flops += r.flops, p->row[k].bytes += r.bytes;
        free((char *)(uintptr_t)r.module);
    }
    p->n_row = n;
}

static bool stop(tp_profile *p)
{
    bool ok;

    tp__probe_helpers(NULL);
    if (p->n_pending) unclaimed(p);
    p->thread->probe = NULL, p->on = false, p->seconds = now(p);
    atomic_store(&current, NULL);
    p->peak = tp_memory_stats(tp__cpu()).peak;
    add_helpers(p);
    ok = tp__profile_write(p);
    if (!p->o.by_module) merge_modules(p);
    if (p->n_row) qsort(p->row, (size_t)p->n_row, sizeof *p->row, by_self);
    return ok;
}

static bool mine(const char *where, const tp_profile *p)
{
    TP_REQUIRE_IN(where, p, TP_ERR_ARG, "missing profile");
    TP_REQUIRE_IN(where, !p->on || p->thread == tp__me(), TP_ERR_ARG,
                  "it is another thread's, which must end it");
    return true;
}

bool tp_profile_end(tp_profile *p)
{
    if (!mine(__func__, p)) return false;
    TP_REQUIRE(p->on, TP_ERR_ARG, "it has ended already");
    return stop(p) && tp_ok();
}

void tp_profile_free(tp_profile *p)
{
    if (!p || !mine(__func__, p)) return;
    if (p->on) stop(p);
    free_all(p);
}

int tp_profile_rows(const tp_profile *p, const tp_profile_row **rows)
{
    if (rows) *rows = p && !p->on ? p->row : NULL;
    return p && !p->on ? p->n_row : 0;
}

double tp_profile_seconds(const tp_profile *p)
{
    return p && !p->on ? p->seconds : 0;
}

size_t tp_profile_peak(const tp_profile *p)
{
    return p && !p->on ? p->peak : 0;
}
